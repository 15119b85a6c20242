"""What is installed and what is known: ``mlsysim doctor`` and ``mlsysim zoo``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import sys
import time
from typing import Any

import mlsysim
from mlsysim.cli import asjson, show

NEEDED = ("numpy", "xarray", "numba", "pandas", "scipy", "typer", "rich")
EXTRAS = {
    "plot": ("matplotlib",),
    "store": ("zarr", "h5netcdf", "h5py"),
    "distributed": ("dask", "distributed", "zarr"),
    "units": ("pint", "pint_xarray"),
    "notebooks": ("nbclient", "ipykernel", "matplotlib"),
}
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
    "reliability": ("component", "metric", "value", "unit", "population"),
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


def _version(module: str) -> str:
    try:
        return importlib.metadata.version(module.replace("_", "-"))
    except importlib.metadata.PackageNotFoundError:
        return "?" if importlib.util.find_spec(module) else ""


def kernel_cache() -> dict[str, Any]:
    """Where compiled code is kept, how much, whether it can be read and written, and what stands in the way."""
    from mlsysim.engine import folder

    works, how = _compiles()
    tried = []
    for place in folder.places():
        tried.append(folder.standing(place))
        if not tried[-1].unwritten:
            break
    found = next((s for s in reversed(tried) if not s.unwritten), next((s for s in tried if not s.unread), None))
    trouble = [f"{s.path}: {s.unread or s.unwritten}" for s in tried if s.unread or s.unwritten]
    if folder.off():
        how += "; MLSYSIM_CACHE is off, so nothing is kept between runs"
    elif found is None:
        how += "; nothing is kept between runs"
    else:
        size = f"{show.quantity(found.size, 'byte')} of {show.quantity(folder.bound(), 'byte')}"
        how += f"; {found.files} kernels kept, {size}; {'only read' if found.unwritten else 'read and written'}"
    return {
        "cache": str(found.path) if found is not None else "in memory only",
        "cache_works": works and (folder.off() or found is not None),
        "cache_note": "; ".join([how, *trouble, *([folder.REMEDY] if trouble else [])]),
        "cache_kernels": found.files if found is not None else 0,
        "cache_size": found.size if found is not None else 0,
        "cache_bound": folder.bound(),
        "cache_readable": found is not None,
        "cache_writable": found is not None and not found.unwritten,
        "cache_trouble": trouble,
    }


def _compiles() -> tuple[bool, str]:
    """Does the compiler work, and how fast?"""
    from mlsysim.engine import cache

    begin = time.perf_counter()
    try:
        nest = cache.compiled("def nest(x):\n    return x + 1.0\n", "float64(float64)")
        works = nest is None or nest(1.0) == 2.0
    except Exception as error:
        return False, f"{type(error).__name__}: {' '.join(str(error).split())}"
    if nest is None:
        return True, "there is no compiler (NUMBA_DISABLE_JIT, or numba cannot be imported): large sweeps are slow"
    return works, f"compiled or loaded one in {time.perf_counter() - begin:.2f} s"


def doctor(json: bool) -> bool:
    """Print what is installed; is all well?"""
    from mlsysim import zoo as tables
    from mlsysim.engine.memory import free_memory
    from mlsysim.engine.run import threads_wanted

    cache = kernel_cache()
    works = cache["cache_works"]
    extras = {extra: {m: _version(m) for m in modules} for extra, modules in EXTRAS.items()}
    found: dict[str, Any] = {
        "mlsysim": mlsysim.__version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": {m: _version(m) for m in NEEDED},
        "cores": os.cpu_count(),
        "threads": threads_wanted(None),
        "free_memory": free_memory(),
        **cache,
        "resolvers": len(mlsysim.RESOLVERS),
        "data": tables.digest(),
        "extras": {extra: all(modules.values()) for extra, modules in extras.items()},
    }
    if json:
        print(asjson.text(found))
        return works
    rows = [[k, str(found[k])] for k in ("mlsysim", "python", "platform")]
    rows += [[m, v] for m, v in found["versions"].items()]
    rows += [
        ["threads", f"{found['threads']} of {found['cores']} cores"],
        ["free memory", show.quantity(found["free_memory"], "byte")],
        ["kernel cache", f"{cache['cache']} ({'works' if works else 'DOES NOT WORK'}: {cache['cache_note']})"],
        ["resolvers", str(found["resolvers"])],
        ["data", found["data"]],
    ]
    for extra, modules in extras.items():
        missing = [m for m, v in modules.items() if not v]
        rows.append(
            [
                f"extra {extra}",
                f"missing {', '.join(missing)}: pip install 'mlsysim-sweep[{extra}]'"
                if missing
                else ", ".join(f"{m} {v}" for m, v in modules.items()),
            ]
        )
    show.grid([show.Column("", [r[0] for r in rows]), show.Column("", [r[1] for r in rows])])
    return works


def zoo(table: str | None, name: str | None, json: bool) -> None:
    """Print the tables, a table, or a row."""
    from mlsysim import zoo as tables

    if table is None:
        counts = {t: len(tables.names(t)) for t in tables.TABLES}
        if json:
            print(asjson.text({"tables": counts, "data": tables.digest()}))
            return
        show.grid(
            [
                show.Column("table", list(counts)),
                show.Column("rows", [str(n) for n in counts.values()], True),
                show.Column("for example", [", ".join(tables.names(t)[:3]) for t in counts]),
            ]
        )
        return
    key = _SINGULAR.get(table.lower(), table.lower())
    if key not in tables.TABLES:
        from mlsysim.engine.check import nearest

        raise ValueError(f"no table is named {table!r}{nearest(key, tables.TABLES)}")
    if name is None:
        _list(key, json)
        return
    row = tables.lookup(key, name, table)
    if not json:
        print(row)
        return
    fields = {
        field: {
            "value": row[field],
            "unit": row.unit(field),
            **({"derived": row.derived[field]} if field in row.derived else {}),
        }
        for field in dict.fromkeys([*row, *tables.tables.FIELDS.get(key, ())])
    }
    print(
        asjson.text(
            {"table": key, "key": row.key, "source": row.sources, "verified": row.verified, "fields": fields}
        )
    )


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
        return show.quantity(value, row.unit(column)) + ("*" if column in row.derived else "")
    return show.number(value)
