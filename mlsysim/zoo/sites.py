"""Where it runs: the record of a grid and a building, from their rows.

NaN is a datum nobody published.  What a place takes from the state, country or union around it is in ``row.derived``.
"""

from __future__ import annotations

from typing import Any

from mlsysim.schema.records import Site
from mlsysim.zoo import tables
from mlsysim.zoo.row import FIELDS, NAN, RULES, Derived, Row, Rule, known, stored

#: field -> relative spread of what a place takes from the state, country or union around it.  Carbon: of the 55
#: regions with a figure of their own, 60 % lie within a factor exp(0.35) of their state or country
AROUND = {"carbon_intensity": 0.35, "electricity_price": 0.25, "offsite_water": 0.4}


def carbon_class(grid: Row) -> str:
    """How the carbon figure of a place was counted, its own or that of what lies around it; empty where there is none."""
    around = grid.values_by_column.get("parent")
    own = grid.values_by_column.get("carbon_class")
    return str(own) if own else carbon_class(tables.rows("grids")[around]) if around else ""


def _site(grid: Row | None, building: Row | None) -> tuple[dict[str, Any], dict[str, Derived]]:
    fields = dict.fromkeys(Site._fields, NAN)
    derived: dict[str, Derived] = {}
    if grid is not None:
        for name in AROUND:
            fields[name] = stored(grid, name)
        above = grid
        while (parent := above.values_by_column.get("parent")) is not None:
            above = tables.rows("grids")[parent]
            for name, spread in AROUND.items():
                value = stored(above, name)
                if not known(fields[name]) and known(value):
                    fields[name] = value
                    said = above["price_basis"] if name == "electricity_price" else above.sources
                    why = f"not published for {grid.key}: that of {above.key} ({above['name']}; {said})"
                    derived[name] = Derived(why, spread)
    if building is not None:
        for name in ("pue", "wue"):
            fields[name] = stored(building, name)
    return fields, derived


def site_record(grid: Row | str | None, datacenter: Row | str, **given: Any) -> Site:
    """Where it runs: the grid's carbon, price and water, the building's PUE and WUE.

    A cloud region without a carbon figure or a price of its own takes that of its state or country, a state its
    country's, a country of the European Union that of the Union; off-site water likewise.  Fields in `given` hold.
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
