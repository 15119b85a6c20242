"""What is known: ``mlsysim zoo``, the tables of the zoo and their rows."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mlsysim import sizes
from mlsysim.cli import asjson, complete, show
from mlsysim.cli.options import Json
from mlsysim.cli.results import FINE

#: table -> columns that its list shows
COLUMNS = {
    "hardware": (
        "vendor",
        "release_year",
        "peak_bf16",
        "peak_fp8",
        "mem_capacity",
        "mem_bandwidth",
        "tdp",
        "price",
        "hourly_price",
        "default_system",
    ),
    "models": ("family", "kind", "total_params", "active_params", "n_layers", "hidden", "max_context"),
    "fabrics": ("family", "scope", "bandwidth", "latency", "topology"),
    "systems": (
        "kind",
        "accelerator",
        "accelerators_per_node",
        "intra_fabric",
        "inter_fabric",
        "node_power_max_W",
    ),
    "grids": ("name", "kind", "carbon_intensity", "electricity_price", "carbon_class"),
    "datacenters": ("operator", "scope", "year", "pue", "wue"),
    "reliability": ("component", "metric", "value", "unit", "population", "failure_level"),
    "constants": ("topic", "value", "unit", "conditions"),
    "frameworks": ("kind", "since", "attention", "reserve", "host_step_time", "notes"),
}
_SINGULAR = {
    "model": "models",
    "device": "hardware",
    "devices": "hardware",
    "fabric": "fabrics",
    "system": "systems",
    "fleet": "systems",
    "fleets": "systems",
    "grid": "grids",
    "region": "grids",
    "regions": "grids",
    "datacenter": "datacenters",
    "constant": "constants",
}

Table = Annotated[
    str | None,
    typer.Argument(help="models, hardware, fabrics, systems, grids, datacenters ...", autocompletion=complete.a_table),
]
Row = Annotated[str | None, typer.Argument(help="A row, by key or alias.", autocompletion=complete.a_row)]


def zoo(
    table: Table = None,
    name: Row = None,
    json: Json = False,
) -> int:
    """Hardware, models, grids ...: tables, a table, or one row with its sources."""
    from mlsysim import zoo as tables
    from mlsysim.zoo.row import FIELDS

    if table is None:
        counts = {t: len(tables.names(t)) for t in tables.TABLES}
        if json:
            print(asjson.text({"tables": counts, "data": tables.digest()}))
            return FINE
        show.grid(
            [
                show.Column("table", list(counts)),
                show.Column("rows", [str(n) for n in counts.values()], True),
                show.Column("for example", [", ".join(tables.names(t)[:3]) for t in counts]),
            ]
        )
        return FINE
    key = _SINGULAR.get(table.lower(), table.lower())
    if key not in tables.TABLES:
        from mlsysim.schema.check import hint

        raise ValueError(f"no table is named {table!r}{hint(key, tables.TABLES)}")
    if name is None:
        _list(key, json)
        return FINE
    row = tables.lookup(key, name, table)
    if not json:
        print(row)
        return FINE
    fields = {
        field: {
            "value": row[field],
            "unit": row.unit(field),
            **({"derived": row.derived[field]} if field in row.derived else {}),
        }
        for field in dict.fromkeys([*row, *FIELDS.get(key, ())])
    }
    print(
        asjson.text({"table": key, "key": row.key, "source": row.sources, "verified": row.verified, "fields": fields})
    )
    return FINE


def _list(table: str, json: bool) -> None:
    from mlsysim import zoo as tables

    rows = [tables.lookup(table, key) for key in tables.names(table)]
    if json:
        print(
            asjson.text(
                {
                    "table": table,
                    "rows": [{"key": r.key, "aliases": list(r.aliases), **dict(r)} for r in rows],
                    "units": {field: rows[0].unit(field) for field in rows[0]} if rows else {},
                }
            )
        )
        return
    columns = (
        [show.Column(show.head(c), [_cell(row, c) for row in rows], droppable=True) for c in COLUMNS[table]]
        if table in COLUMNS
        else []
    )
    show.grid(
        [show.Column("key", [row.key for row in rows]), *columns],
        f"{table}: {len(rows)} rows; * derived; mlsysim zoo {table} KEY shows the sources",
    )


def _cell(row: Any, column: str) -> str:
    value = row[column]
    if (column.endswith("year") or column == "since") and isinstance(value, float):
        return f"{value:.0f}"
    if isinstance(value, float):
        return sizes.quantity(value, row.unit(column)) + ("*" if column in row.derived else "")
    return sizes.number(value)
