"""Devices of the zoo that meet some targets, and where none does, the one that misses by least."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from mlsysim import sizes, zoo
from mlsysim.engine import label
from mlsysim.engine.program import Program
from mlsysim.engine.progress import Progress
from mlsysim.engine.solve import solve
from mlsysim.resolver import Resolver
from mlsysim.schema import codes
from mlsysim.schema.codes import Limit
from mlsysim.schema.records import Accelerator
from mlsysim.schema.variables import VARIABLES, field_of
from mlsysim.search.near import FARTHEST, amounts
from mlsysim.search.target import Target


def fitting_devices(
    resolver: Resolver,
    conditions: Sequence[Target],
    given: Mapping[str, Any],
    most: int,
    threads: int | None,
    progress: Progress,
    plan: str,
) -> xr.Dataset:
    """Devices of the zoo that meet the targets, least to spare first, along `place`; where there is none, the nearest."""
    rest = {k: v for k, v in given.items() if k.removeprefix("hardware.") not in ("hardware", *Accelerator._fields)}
    wanted = [c.output for c in conditions]
    wanted = [*dict.fromkeys([*wanted, *(n for n in ("feasible", "limit") if n in resolver.outputs)])]
    rows = [row for n in zoo.names("hardware") if (row := zoo.hardware(n))["status"] == "shipping"]
    known = Program(resolver, {**rest, "hardware": rows}).known_along("hardware", wanted)
    rows = [row for row, k in zip(rows, known) if k]
    names = [row.key for row in rows]
    program = Program(resolver, {**rest, "hardware": rows or ["h100"]})
    if not names or any(program.missing(program.output(n)) for n in wanted):
        return xr.Dataset()
    for c in conditions:
        c.widen(program)
    values = solve(program, wanted, threads, progress, plan)
    meets = values["feasible"].astype(bool) if "feasible" in values else xr.ones_like(values[wanted[0]], dtype=bool)
    spare = xr.full_like(values[wanted[0]], np.inf, dtype=np.float64)
    for c in conditions:
        meets = meets & c.met(values[c.output], c.array)
        if c.output != "feasible":
            spare = np.minimum(spare, -c.excess(values[c.output], c.array))
    dims = tuple(a for a in program.axes if a != "hardware")
    if "hardware" not in meets.dims:
        meets, spare = meets.expand_dims("hardware"), spare.expand_dims("hardware")
    fits, score = (
        meets.transpose(*dims, "hardware").values,
        spare.where(meets, np.inf).transpose(*dims, "hardware").values,
    )
    order = np.argsort(score, axis=-1, kind="stable")[..., :most]
    prices = np.array([row["price"] if row["price"] is not None else np.nan for row in rows])
    coords = {k: v for k, v in label.coordinates(program).items() if "hardware" not in (k, *np.atleast_1d(v[0]))}
    coords["place"] = (
        "place",
        np.arange(1, order.shape[-1] + 1),
        {"long_name": "1 meets the targets with least to spare"},
    )
    there = np.take_along_axis(fits, order, axis=-1)
    found = {
        "device": ((*dims, "place"), np.where(there, np.array(names)[order], "")),
        "device_price": ((*dims, "place"), np.where(there, prices[order], np.nan)),
    }
    if not fits.any(axis=-1).all():
        found |= {k: (dims, v) for k, v in _nearest(program, conditions, values, fits, names).items()}
    return xr.Dataset({k: (*v, label.attributes(k)) for k, v in found.items()}, coords=coords)


def _nearest(
    program: Program, conditions: Sequence[Target], values: xr.Dataset, fits: np.ndarray, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Where no device meets the targets: the one that misses by least, what stops it, and by how much (see `search.near`)."""
    shape, dims = fits.shape[:-1], tuple(a for a in program.axes if a != "hardware")
    lost = np.flatnonzero(~fits.any(axis=-1))
    size = len(lost) * len(names)  # a point each, of all devices
    own = zip(dims, np.unravel_index(lost, shape)) if dims else ()
    index = {axis: np.repeat(at, len(names)) for axis, at in own} | {
        "hardware": np.tile(np.arange(len(names)), len(lost))
    }
    along = [index[axis] for axis in program.axes]
    places = np.ravel_multi_index(along, program.shape) if along else np.zeros(size, dtype=np.intp)

    def at(name: str) -> np.ndarray:
        array = values[name]
        return np.asarray(array.values[tuple(index[str(d)] for d in array.dims)]) * np.ones(size)

    stopped, far, why = np.zeros(size), np.zeros(size), np.full(size, -1)
    if "limit" in values:
        stopped = at("limit")
        over = amounts(program, places)
        far = np.where(stopped == Limit.NONE, 0.0, np.where(np.isnan(over), FARTHEST, over))
    excess = far.copy()
    for number, c in enumerate(conditions):
        value, goal = at(c.output), c.at(index, size)
        with np.errstate(all="ignore"):
            ratio = value / goal if c.sign == "<" else goal / value
        misses = ~c.met(value, goal)
        missed = np.where(misses, np.where(ratio >= 1.0, np.minimum(ratio, FARTHEST), FARTHEST), 0.0)
        first = misses & (stopped == Limit.NONE) & (why < 0)
        why, excess = np.where(first, number, why), np.where(first, missed, excess)
        far = np.maximum(far, missed)
    which = np.argmin(far.reshape(-1, len(names)), axis=1)
    best = which + len(names) * np.arange(len(lost))

    def reason(i: int) -> str:
        return _text(conditions[why[i]], index, i) if why[i] >= 0 else codes.label(Limit(int(stopped[i])))

    def spread(found: np.ndarray, otherwise: Any) -> np.ndarray:
        whole = np.full(math.prod(shape), otherwise, dtype=found.dtype)
        whole[lost] = found
        return whole.reshape(shape)

    return {
        "nearest_device": spread(np.array(names)[which], ""),
        "nearest_limit": spread(np.array([reason(i) for i in best.tolist()]), ""),
        "nearest_excess": spread(np.where(excess[best] < FARTHEST, excess[best], np.nan), np.nan),
    }


def _text(target: Target, index: Mapping[str, np.ndarray], place: int) -> str:
    """A target at one place, as one writes it."""
    goal = float(target.at({a: i[place : place + 1] for a, i in index.items()}, 1)[0])
    variable = VARIABLES.get(field_of(target.output))
    return f"{target.output} {target.sign}= {sizes.text(float(f'{goal:.4g}'), variable.unit if variable else '1')}"
