"""What is known: ``mlsysim zoo``, the tables of the zoo and their rows, and rows of one's own that are kept."""

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

#: what stands below the options
EPILOG = """\b
mlsysim zoo hardware h100        a row with its sources
mlsysim zoo add mine.toml        keep a device of your own: the arguments of ms.Hardware
                                 (table = "systems": of ms.System; models, grids, datacenters)
mlsysim zoo add config.json      keep a model of your own; or its folder, or hf://org/name
mlsysim zoo remove mine          forget it
What is added is copied into the folder MLSYSIM_ZOO (off: nothing is kept), else into mlsysim/zoo
in your folder for settings; its name is known from then on."""

Table = Annotated[
    str | None,
    typer.Argument(
        help="models, hardware, fabrics, systems, grids, datacenters ...; or add, remove.",
        autocompletion=complete.a_table,
    ),
]
Row = Annotated[
    str | None,
    typer.Argument(help="A row, by key or alias; the file to add; the row to remove.", autocompletion=complete.a_row),
]
Name = Annotated[str | None, typer.Option("--name", help="What the row that is added is called.")]


def zoo(
    table: Table = None,
    name: Row = None,
    called: Name = None,
    json: Json = False,
) -> int:
    """Hardware, models, grids ...: tables, a table, or one row with its sources; rows of your own."""
    from mlsysim import zoo as tables
    from mlsysim.zoo.row import FIELDS

    if table in ("add", "remove"):
        return _change(table, name, called, json)
    if called is not None:
        raise ValueError(f"--name {called}: goes with mlsysim zoo add")
    if table is None:
        _tables(json)
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
        asjson.text(
            {
                "table": key,
                "key": row.key,
                "source": row.sources,
                "own": row.own,
                "verified": row.verified,
                "fields": fields,
            }
        )
    )
    return FINE


def _change(word: str, name: str | None, called: str | None, json: bool) -> int:
    """Add a row of one's own, or remove one."""
    from mlsysim import zoo as tables

    if name is None:
        needs = "a file: mlsysim zoo add mine.toml" if word == "add" else "a name: mlsysim zoo remove mine"
        raise ValueError(f"mlsysim zoo {word} needs {needs}")
    if word == "remove":
        if called is not None:
            raise ValueError(f"--name {called}: goes with mlsysim zoo add")
        gone = str(tables.remove(name))
        print(asjson.text({"removed": gone}) if json else f"removed {gone}")
        return FINE
    row = tables.add(name, name=called)
    if json:
        print(asjson.text({"table": row.table, "key": row.key, "own": row.own}))
    else:
        print(row)
    return FINE


def _tables(json: bool) -> None:
    """All tables, and what is one's own in them."""
    from mlsysim import zoo as tables
    from mlsysim.zoo import own

    counts = {t: len(tables.names(t)) for t in tables.TABLES}
    mine = {t: [r.key for r in own.kept(t).values()] for t in counts if own.kept(t)}
    damaged = own.unreadable()
    if json:
        faults = [{"table": t, "file": str(path), "reason": why} for t, path, why in damaged]
        print(asjson.text({"tables": counts, "data": tables.digest(), "own": mine, "unreadable": faults}))
        return
    show.grid(
        [
            show.Column("table", list(counts)),
            show.Column("rows", [str(n) for n in counts.values()], True),
            show.Column("for example", [", ".join(tables.names(t)[:3]) for t in counts]),
        ]
    )
    for t, keys in mine.items():
        show.note(f"yours in {t}: {', '.join(keys)}")
    for _, path, why in damaged:
        show.note(f"cannot be read: {path}: {why}")


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
    if mine := [row.key for row in rows if row.own]:
        show.note(f"yours: {', '.join(mine)}")


def _cell(row: Any, column: str) -> str:
    value = row[column]
    if (column.endswith("year") or column == "since") and isinstance(value, float):
        return f"{value:.0f}"
    if isinstance(value, float):
        return sizes.quantity(value, row.unit(column)) + ("*" if column in row.derived else "")
    return sizes.number(value)
