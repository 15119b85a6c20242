"""From rows to records: what a kernel receives, as plain floats in base units.

Every function returns a NamedTuple of `mlsysim.schema.records`; NaN is a datum nobody published.  A value
that no source gives but that follows from others by a stated rule is listed in ``row.derived`` with its
relative spread; the rules are in `workloads`, `accelerators`, `fleets` and `curves`.
"""

from __future__ import annotations

from typing import Any

from mlsysim.schema.records import Site
from mlsysim.zoo import accelerators, curves, fleets, tables, workloads
from mlsysim.zoo.accelerators import usual_precision
from mlsysim.zoo.fields import NAN, known, stored
from mlsysim.zoo.tables import Derived, Row


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


# --- rows ------------------------------------------------------------------------------------------------


def describe(row: Row) -> tuple[dict[str, Any], dict[str, Derived]]:
    """All canonical fields of a row and how the derived ones came about."""
    if row.table == "models":
        return workloads.described(row)
    if row.table == "hardware":
        fields, derived = accelerators.described(row, usual_precision(row), None)
        return fields, {name: text for name, text in derived.items() if known(fields[name])}
    if row.table == "systems":
        return fleets.described(
            row, tables.lookup("hardware", row.values_by_column["accelerator"] or "", "accelerator")
        )
    if row.table in ("grids", "datacenters"):
        names = (
            ("carbon_intensity", "electricity_price", "offsite_water")
            if row.table == "grids"
            else ("pue", "wue")
        )
        fields, derived = _site(
            row if row.table == "grids" else None, row if row.table == "datacenters" else None
        )
        return {name: fields[name] for name in names}, derived
    return {}, {}


def fitted_spread(row: Row, field: str) -> float:
    """Relative spread of a field fitted to measurements, 0 for one that was read."""
    return curves.fitted(row, field, usual_precision(row))[0] if row.table == "hardware" else 0.0


def fitted_source(row: Row, field: str) -> str:
    """What a field was fitted to, empty for one that was read."""
    return curves.fitted(row, field, usual_precision(row))[1] if row.table == "hardware" else ""
