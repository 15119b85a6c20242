"""What is installed and whether it works: ``mlsysim doctor``."""

from __future__ import annotations

import importlib
import json as json_module
import os
import platform
import sys
import time
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import mlsysim
from mlsysim import sizes
from mlsysim.cli import asjson, show
from mlsysim.cli.options import Json
from mlsysim.cli.results import BAD, FINE, say

#: lies outside of the package where it is installed, and in it where a clone is not
mlsweep: Any = importlib.import_module("mlsweep" if find_spec("mlsweep") else "mlsysim.cli.outside.mlsweep")

if TYPE_CHECKING:
    from packaging.requirements import Requirement

ASIDE = ("test", "docs")  #: extras that serve the project, not those who use it


def requirements() -> dict[str, dict[str, str]]:
    """What the package declares: extra -> package -> its version, "" where it is not installed; "" is what every call needs.

    Empty where mlsysim-sweep is imported but not installed.
    """
    from packaging.requirements import Requirement

    try:
        about = metadata.metadata(mlsweep.OURS)
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, dict[str, str]] = {"": {}}
    found |= {extra: {} for extra in about.get_all("Provides-Extra") or () if extra not in ASIDE}
    for line in about.get_all("Requires-Dist") or ():
        wish = Requirement(line)
        for extra, packages in found.items():
            if wish.marker is None and extra:
                continue
            if wish.marker is None or wish.marker.evaluate({"extra": extra}):
                packages[wish.name] = _version(wish.name, wish)
    return found


def _version(package: str, wish: Requirement) -> str:
    """The version of a package, with what is asked for where it is too old."""
    try:
        found = metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
    return found if wish.specifier.contains(found, prereleases=True) else f"{found} ({wish.specifier} is needed)"


def how_to_install(extra: str) -> str:
    """The command that installs an extra where this package comes from: an index, or a clone.

    >>> how_to_install("plot").startswith("pip install ") and "[plot]" in how_to_install("plot")
    True
    """
    try:
        origin = json_module.loads(metadata.distribution(mlsweep.OURS).read_text("direct_url.json") or "{}")
    except metadata.PackageNotFoundError:
        origin = {}
    if not origin.get("dir_info", {}).get("editable"):
        return f"pip install '{mlsweep.OURS}[{extra}]'"
    return f"pip install -e '{url2pathname(urlsplit(origin['url']).path)}[{extra}]'"


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
        size = f"{sizes.quantity(found.size, 'byte')} of {sizes.quantity(folder.bound(), 'byte')}"
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


def _own_rows(found: dict[str, Any]) -> str:
    """How many rows of one's own there are, and where."""
    if found["own_rows_in"] is None:
        return "none are kept (MLSYSIM_ZOO)"
    lost = len(found["own_rows_unreadable"])
    return f"{found['own_rows']} in {found['own_rows_in']}{f'; {lost} cannot be read: mlsysim zoo' if lost else ''}"


def doctor(json: Json = False) -> int:
    """Versions, the kernel cache and whether it works, threads, memory, extras."""
    from mlsysim import zoo as tables
    from mlsysim.engine.block import threads_wanted
    from mlsysim.engine.memory import free_memory
    from mlsysim.zoo import own

    cache = kernel_cache()
    works = cache["cache_works"]
    required = requirements()
    needed, extras = required.pop("", {}), required
    clash = mlsweep.clash()
    found: dict[str, Any] = {
        "mlsysim": mlsysim.__version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "versions": needed,
        "cores": os.cpu_count(),
        "threads": threads_wanted(None),
        "free_memory": free_memory(),
        **cache,
        "resolvers": len(mlsysim.RESOLVERS),
        "data": tables.digest(),
        "own_rows": sum(len(own.kept(table)) for table in tables.TABLES),
        "own_rows_in": None if own.folder() is None else str(own.folder()),
        "own_rows_unreadable": [str(path) for _, path, _ in own.unreadable()],
        "clash": clash,
        "extras": extras,
    }
    if json:
        print(asjson.text(found))
        return FINE if works and not clash else BAD
    rows = [[k, str(found[k])] for k in ("mlsysim", "python", "platform")]
    rows += [[m, v or "MISSING"] for m, v in needed.items()]
    rows += [
        ["threads", f"{found['threads']} of {found['cores']} cores"],
        ["free memory", sizes.quantity(found["free_memory"], "byte")],
        ["kernel cache", f"{cache['cache']} ({'works' if works else 'DOES NOT WORK'}: {cache['cache_note']})"],
        ["resolvers", str(found["resolvers"])],
        ["data", found["data"]],
        ["rows of your own", _own_rows(found)],
    ]
    show.grid([show.Column("", [r[0] for r in rows]), show.Column("", [r[1] for r in rows])])
    lines = [
        (
            extra,
            ", ".join(f"{package} {version}" for package, version in packages.items() if version),
            ", ".join(package for package, version in packages.items() if not version),
            "" if all(packages.values()) else how_to_install(extra),
        )
        for extra, packages in extras.items()
    ]
    if lines:
        heads = ("extra", "there", "missing", "to install it")
        show.grid([show.Column(head, list(cells)) for head, cells in zip(heads, zip(*lines))])
    else:
        say(f"{mlsweep.OURS} is imported from {mlsweep.package()}, not installed: its extras are not known")
    if clash:
        say(f"error: {clash}")
    return FINE if works and not clash else BAD
