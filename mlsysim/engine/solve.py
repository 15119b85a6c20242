"""Storing every output of a grid."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import xarray as xr

from mlsysim.engine import label
from mlsysim.engine.graph import Node
from mlsysim.engine.program import Program
from mlsysim.engine.run import Sweep


class TooLarge(ValueError):
    """The result would not fit in memory."""


def free_memory() -> int:
    """Bytes that could be allocated now."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return 4 << 30


def axes_of(program: Program, node: Node) -> list[str]:
    """Axes of an output, in the order of the result."""
    dims = program.dims(node)
    return [a for a in program.axes if a in dims]


def result_bytes(program: Program, nodes: dict[str, Node]) -> int:
    """Bytes that storing some outputs takes: each over just the axes on which it depends."""
    sizes = program.sizes
    return sum(np.dtype(label.dtype(k)).itemsize * math.prod(sizes[a] for a in axes_of(program, n)) for k, n in nodes.items())


def solve(program: Program, keep: Iterable[str] | None = None, threads: int | None = None,
          progress: Callable[[int, int], None] | None = None, plan: str = "auto") -> xr.Dataset:
    """Every output (or those in `keep`) at every point of the grid.

    An output is stored once per distinct combination of the axes that it depends on; in the Dataset it
    is a read-only view broadcast over all of them (copy a variable before writing into it).

    Raises
    ------
    TooLarge
        The result would take more than half of the free memory.
    """
    if isinstance(keep, str):
        keep = [keep]
    nodes, omitted = program.available(list(keep) if keep is not None else None)
    size, room = result_bytes(program, nodes), free_memory() // 2
    if size > room:
        raise TooLarge(
            f"{program.n_points:,} points x {len(nodes)} outputs would take {size / 1e9:.1f} GB, more than half of what is free "
            f"({room / 1e9:.1f} GB): keep fewer outputs (keep=[...]), reduce while sweeping (best, top, pareto), or write to a store"
        )
    dims = tuple(program.axes)
    shape = program.shape
    arrays = {k: np.empty(math.prod(program.sizes[a] for a in axes_of(program, n)), dtype=_storage(k)) for k, n in nodes.items()}
    if nodes:
        # an output that varies along no axis is one number: the plain plan gives it at once
        sweep = Sweep(program, list(nodes.values()), plan=plan if plan != "generic" else "nest", stored=list(arrays.values()))
        sweep.run(threads=threads, progress=progress)
    full = {}
    for name, node in nodes.items():
        own = axes_of(program, node)
        array = arrays[name].view(np.bool_) if label.dtype(name) is np.bool_ else arrays[name]
        array = array.reshape([program.sizes[a] if a in own else 1 for a in dims])
        full[name] = np.broadcast_to(array, shape)
    return label.dataset(program, full, dims, label.coordinates(program), label.story(program, omitted))


def _storage(name: str) -> type:
    kind = label.dtype(name)
    return np.uint8 if kind is np.bool_ else kind
