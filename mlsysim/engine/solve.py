"""Storing every output of a grid."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from mlsysim.engine import label
from mlsysim.engine.graph import Node
from mlsysim.engine.program import MissingDatum, Program
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
    if not nodes and keep is None:
        data = {why: name for name, why in omitted.items() if why.startswith("needs")}
        raise MissingDatum(f"{program.resolver.name} can tell nothing of this call: "
                           + "; ".join(f"{name} {why}" for why, name in data.items()))
    size, room = result_bytes(program, nodes), free_memory() // 2
    if size > room:
        raise TooLarge(
            f"{program.n_points:,} points x {len(nodes)} outputs would take {size / 1e9:.1f} GB, more than half of what is free "
            f"({room / 1e9:.1f} GB): keep fewer outputs (keep=[...]), reduce while sweeping (best, top, pareto), or write to a "
            "store"
        )
    dims = tuple(program.axes)
    shape = program.shape
    arrays: dict[str, np.ndarray] = {}
    for name, node in nodes.items():
        arrays[name] = np.empty(math.prod(program.sizes[a] for a in axes_of(program, node)), dtype=_storage(name))
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


def quantiles(result: xr.Dataset, levels: Sequence[float]) -> xr.Dataset:
    """A sampled result by its quantiles: dim `quantile` instead of `sample`; flags become the share of samples."""
    if isinstance(levels, str) or not all(isinstance(q, numbers.Real) and 0 <= q <= 1 for q in levels) or not len(levels):
        raise ValueError(f"quantile={levels!r}: a number from 0 to 1, or several")
    at = [float(q) for q in levels]
    arrays: dict[str, tuple] = {}
    for name, array in result.data_vars.items():
        kind = label.dtype(str(name))
        if "sample" not in array.dims:
            arrays[str(name)] = (array.dims, array.values, array.attrs)
            continue
        axis = array.dims.index("sample")
        dims = tuple(d for d in array.dims if d != "sample")
        if array.strides[axis] == 0 if hasattr(array, "strides") else array.values.strides[axis] == 0:
            arrays[str(name)] = (dims, np.take(array.values, 0, axis=axis), array.attrs)
        elif kind is np.bool_:
            about = {**array.attrs, "long_name": f"share of samples: {array.attrs.get('long_name', name)}"}
            arrays[str(name)] = (dims, array.values.mean(axis=axis), about)
        elif kind is np.float64:
            arrays[str(name)] = (("quantile", *dims), np.quantile(array.values, at, axis=axis, method="linear"), array.attrs)
    coords = {k: v for k, v in result.coords.items() if k != "sample"}
    return xr.Dataset(arrays, coords={**coords, "quantile": at}, attrs={**result.attrs, "samples": result.sizes["sample"]})


def _storage(name: str) -> type:
    kind = label.dtype(name)
    return np.uint8 if kind is np.bool_ else kind
