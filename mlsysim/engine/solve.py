"""Storing every output of a grid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from mlsysim.engine import estimate, label
from mlsysim.engine.block import planned, threads_wanted
from mlsysim.engine.device import Device
from mlsysim.engine.graph import Node
from mlsysim.engine.memory import free_memory, require
from mlsysim.engine.program import MissingDatum, Program
from mlsysim.engine.progress import Progress, watched
from mlsysim.engine.run import Sweep
from mlsysim.schema.check import is_fraction, names, shown

#: what to ask instead of a result that is too large
WAYS = (
    "keep fewer outputs (keep=[...]), reduce while sweeping (best, top, pareto), ask for fewer points (fewer axes, fewer "
    "values on them, fewer samples), or write them to a store (store='run.zarr')"
)
TOGETHER = 32  #: outputs that a kernel of a device stores
SORTED = 1 << 20  #: values whose quantiles are found together


def axes_of(program: Program, node: Node) -> list[str]:
    """Axes of an output, in the order of the result."""
    dims = program.dims(node)
    return [a for a in program.axes if a in dims]


def result_bytes(program: Program, nodes: dict[str, Node]) -> int:
    """Bytes that storing some outputs takes: each over just the axes on which it depends."""
    return sum(np.dtype(label.dtype(k)).itemsize * program.points_of(n) for k, n in nodes.items())


def solve(
    program: Program,
    keep: Iterable[str] | None = None,
    threads: int | None = None,
    progress: Progress = None,
    plan: str = "auto",
) -> xr.Dataset:
    """Every output (or those in `keep`, and whether and why not each point works) at every point of the grid.

    An output is stored once per distinct combination of the axes that it depends on; in the Dataset it
    is a read-only view broadcast over all of them (copy a variable before writing into it).

    Raises
    ------
    TooLarge
        The result would take more than half of the free memory.
    """
    nodes, omitted = outputs(program, keep)
    if not program.axes and plan == "auto" and progress is None:
        threads_wanted(threads)
        return label.single(program, program.one(nodes), omitted)
    size = result_bytes(program, nodes) + program.stage_bytes(nodes.values())
    require(
        size,
        f"{program.n_points:,} points x {len(nodes)} outputs",
        WAYS,
        free_memory(),
    )
    arrays: dict[str, np.ndarray] = {}
    for name, node in nodes.items():
        arrays[name] = np.empty(math.prod(program.sizes[a] for a in axes_of(program, node)), dtype=storage(name))
    if nodes:
        # an output that varies along no axis is one number: the plain plan gives it at once
        how = "nest" if planned(plan) == "generic" else plan
        with watched(progress) as tell:
            if how == "cuda":
                _on_device(program, list(nodes.values()), list(arrays.values()), tell)
                return assembled(program, nodes, omitted, arrays)
            sweep = Sweep(program, list(nodes.values()), plan=how, stored=list(arrays.values()))
            estimate.warn(estimate.seconds(program, sweep.loads(), threads), program.n_points)
            sweep.run(threads=threads, progress=tell)
    return assembled(program, nodes, omitted, arrays)


def _on_device(program: Program, nodes: Sequence[Node], arrays: Sequence[np.ndarray], tell: Any) -> None:
    """Fill the arrays of some outputs on a device, some after others: a kernel takes only so many arguments."""
    for first in range(0, len(nodes), TOGETHER):
        some = slice(first, first + TOGETHER)
        done, device = 0, Device(program, nodes[some], (), dict.fromkeys(program.axes, 0), 0)
        for points in device.store(arrays[some]):
            done += points
            if tell is not None:
                tell(done, program.n_points)


def outputs(program: Program, keep: Iterable[str] | None) -> tuple[dict[str, Node], dict[str, str]]:
    """The outputs of a call that are asked for, and why others are omitted."""
    nodes, omitted = program.available(names(keep, "keep") if keep is not None else None)
    nodes |= {} if keep is None else _whether(program, nodes)
    if not nodes and keep is None:
        data = {why: name for name, why in omitted.items() if why.startswith("needs")}
        raise MissingDatum(
            f"{program.resolver.name} can tell nothing of this call: "
            + "; ".join(f"{name} {why}" for why, name in data.items())
        )
    return nodes, omitted


def assembled(
    program: Program, nodes: Mapping[str, Node], omitted: Mapping[str, str], arrays: Mapping[str, np.ndarray]
) -> xr.Dataset:
    """The answer, of arrays of each output over its own axes."""
    dims, full = tuple(program.axes), {}
    for name, node in nodes.items():
        own = axes_of(program, node)
        array = arrays[name].view(np.bool_) if label.dtype(name) is np.bool_ else arrays[name]
        array = array.reshape([program.sizes[a] if a in own else 1 for a in dims])
        full[name] = np.broadcast_to(array, program.shape)
    return label.dataset(program, full, dims, label.coordinates(program), label.story(program, omitted))


def _whether(program: Program, nodes: dict[str, Node]) -> dict[str, Node]:
    """`feasible` and `limit`, which no choice of outputs leaves out: a number alone would pass for one that works."""
    found = {
        name: program.output(name) for name in ("feasible", "limit") if name in program.outputs and name not in nodes
    }
    return {name: node for name, node in found.items() if program.missing(node) is None}


def levels(quantile: Any) -> list[float]:
    """Which quantiles are asked for, each once."""
    several = isinstance(quantile, (list, tuple)) or getattr(quantile, "ndim", 0) == 1
    given = list(quantile) if several else [quantile]
    if not given or not all(is_fraction(q) for q in given):
        raise ValueError(f"quantile={shown(quantile)}: a number from 0 to 1, or several")
    if len(set(given)) < len(given):
        raise ValueError(f"quantile={shown(quantile)}: a number is given twice")
    return [float(q) for q in given]


def quantiles(result: xr.Dataset, at: Sequence[float]) -> xr.Dataset:
    """A sampled result by its quantiles: dim `quantile` instead of `sample`; flags become the share of samples."""
    if "quantile" in result.dims:
        raise ValueError("axis 'quantile' bears the name of the quantiles that are asked for: rename that dim")
    arrays: dict[str, tuple[Any, ...]] = {}
    for name, array in result.data_vars.items():
        kind, about = label.dtype(str(name)), array.attrs
        if "sample" not in array.dims:
            arrays[str(name)] = (array.dims, array.values, about)
            continue
        axis, values = array.dims.index("sample"), array.values
        dims = tuple(d for d in array.dims if d != "sample")
        shape = tuple(result.sizes[d] for d in dims)
        own = values[tuple(slice(0, 1) if step == 0 else slice(None) for step in values.strides)]  # where it varies
        if values.strides[axis] == 0:
            arrays[str(name)] = (dims, np.broadcast_to(own.squeeze(axis), shape), about)
        elif kind is np.bool_:
            about = {**about, "long_name": f"share of samples: {about.get('long_name', name)}"}
            arrays[str(name)] = (dims, np.broadcast_to(own.mean(axis=axis), shape), about)
        elif kind is np.float64:
            found = _levels(np.moveaxis(own, axis, -1), at)
            arrays[str(name)] = (("quantile", *dims), np.broadcast_to(found, (len(at), *shape)), about)
    coords = {k: v for k, v in result.coords.items() if k != "sample"}
    return xr.Dataset(
        arrays, coords={**coords, "quantile": list(at)}, attrs={**result.attrs, "samples": result.sizes["sample"]}
    )


def _levels(values: np.ndarray, at: Sequence[float]) -> np.ndarray:
    """Quantiles along the last axis, some rows after others: sorting all of them at once would copy them."""
    rows = values.reshape(-1, values.shape[-1])
    found = np.empty((len(at), len(rows)))
    step = max(1, SORTED // rows.shape[1])
    for begin in range(0, len(rows), step):
        found[:, begin : begin + step] = np.quantile(rows[begin : begin + step], at, axis=1, method="linear")
    return found.reshape(len(at), *values.shape[:-1])


def storage(name: str) -> type:
    """Type in which the values of an output are computed."""
    kind = label.dtype(name)
    return np.uint8 if kind is np.bool_ else kind
