"""Where it runs: the record of a grid and a building, from their rows.

NaN is a datum nobody published.  What a place takes from the state, country or union around it is in ``row.derived``.
"""

from __future__ import annotations

from typing import Any

from mlsysim.schema.records import Site
from mlsysim.zoo import tables
from mlsysim.zoo.row import FIELDS, NAN, RULES, Derived, Row, Rule, known, stored


def _site(grid: Row | None, building: Row | None) -> tuple[dict[str, Any], dict[str, Derived]]:
    fields = dict.fromkeys(Site._fields, NAN)
    derived: dict[str, Derived] = {}
    if grid is not None:
        for name in ("carbon_intensity", "electricity_price", "offsite_water"):
            fields[name] = stored(grid, name)
        above = grid
        while (parent := above.values_by_column.get("parent")) is not None:
            above = tables.rows("grids")[parent]
            for name, spread in (("electricity_price", 0.25), ("offsite_water", 0.4)):
                value = stored(above, name)
                if not known(fields[name]) and known(value):
                    fields[name] = value
                    derived[name] = Derived(
                        f"not published for {grid.key}: that of {above.key} ({above['name']}; "
                        f"{above.sources})",
                        spread,
                    )
    if building is not None:
        for name in ("pue", "wue"):
            fields[name] = stored(building, name)
    return fields, derived


def site_record(grid: Row | str | None, datacenter: Row | str, **given: Any) -> Site:
    """Where it runs: the grid's carbon, price and water, the building's PUE and WUE.

    A cloud region without a price takes that of its state or country, a state its country's, a country
    of the European Union that of the Union; off-site water likewise.  Fields in `given` hold.
    """
    fields, _ = _site(
        None if grid is None else tables.lookup("grids", grid, "region"),
        tables.lookup("datacenters", datacenter, "datacenter"),
    )
    return Site(**{**fields, **given})


def _of_grid(row: Row) -> tuple[dict[str, Any], dict[str, Derived]]:
    fields, derived = _site(row, None)
    return {name: fields[name] for name in FIELDS["grids"]}, derived


def _of_building(row: Row) -> tuple[dict[str, Any], dict[str, Derived]]:
    fields, derived = _site(None, row)
    return {name: fields[name] for name in FIELDS["datacenters"]}, derived


RULES["grids"], RULES["datacenters"] = Rule(_of_grid), Rule(_of_building)
