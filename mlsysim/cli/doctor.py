"""What is installed and whether it works: ``mlsysim doctor``."""

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
from mlsysim.cli.options import Json
from mlsysim.cli.results import BAD, FINE

NEEDED = ("numpy", "xarray", "numba", "pandas", "scipy", "typer", "rich")
EXTRAS = {
    "plot": ("matplotlib",),
    "report": ("plotly",),
    "store": ("zarr", "h5netcdf", "h5py"),
    "distributed": ("dask", "distributed", "zarr"),
    "units": ("pint", "pint_xarray"),
    "notebooks": ("nbclient", "ipykernel", "matplotlib"),
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


def doctor(json: Json = False) -> int:
    """Versions, the kernel cache and whether it works, threads, memory, extras."""
    from mlsysim import zoo as tables
    from mlsysim.engine.block import threads_wanted
    from mlsysim.engine.memory import free_memory

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
        return FINE if works else BAD
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
    return FINE if works else BAD
