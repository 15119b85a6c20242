"""The value of one input at which an output meets its target, at every point of a grid (see `bisection`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from mlsysim.engine import label
from mlsysim.engine.graph import reached
from mlsysim.engine.program import Program
from mlsysim.engine.progress import Progress, watched
from mlsysim.engine.reevaluate import PartialProgram
from mlsysim.schema.check import mapping, shown
from mlsysim.schema.variables import VARIABLES, field_of
from mlsysim.search.bisection import LANES, POINTS, crossing, foresee, search_range, tentative
from mlsysim.search.target import target as read

CLOSE = 1e-9  #: relative distance to the target within which a crossing counts as met


def root(
    resolver: Any,
    unknown: str,
    target: Mapping[str, Any],
    bounds: tuple[Any, Any] | None,
    inputs: Mapping[str, Any],
    progress: Progress = None,
) -> xr.Dataset:
    """See `mlsysim.resolver.Resolver.root`."""
    if not isinstance(unknown, str):
        raise TypeError(f"unknown={shown(unknown)}: must be the name of an input")
    target = mapping("target", target, "{'itl': '20 ms'}")
    if len(target) != 1:
        raise ValueError(f"target={shown(target)}: give one output, target={{'itl': 0.02}}")
    if unknown in inputs:
        raise TypeError(f"{unknown} is the unknown and must not be given")
    output_name, wanted = next(iter(target.items()))
    low, high, whole = search_range(unknown, bounds)
    inside = next((x for x in (low, high, math.sqrt(max(low, 1e-300) * high)) if x not in (0.0, 1.0)), 2.0)
    program = Program(resolver, {**inputs, unknown: tentative(unknown, inside)}, {unknown, field_of(unknown)})
    node = program.named(unknown)
    if node.op != "leaf":
        raise ValueError(f"{unknown} is an option: a root needs a number")
    output = program.output(output_name)
    program.available([output_name])
    moved = {node.payload, *program.binder.followers([node.payload])}
    if not any(n.op == "leaf" and n.payload in moved for n in reached([output])):
        raise ValueError(f"{output_name} does not depend on {unknown} in this call")
    asked = read(output_name, wanted)
    if asked.sign:
        raise ValueError(
            f"target: {output_name}={shown(wanted)}: a root meets its target; SynthesisSolver takes {asked.sign}="
        )
    asked.widen(program)
    n = program.n_points
    foresee(program, [node], [output], 4)
    names = list(program.axes)
    columns: dict[str, np.ndarray] = {k: np.empty(n) for k in (unknown, "reached", "nearest")}
    found = np.empty(n, dtype=bool)
    with watched(progress) as tell:
        for start in range(0, n, POINTS):
            part = slice(start, min(start + POINTS, n))
            index = dict(zip(names, np.unravel_index(np.arange(part.start, part.stop), program.shape))) if names else {}
            function = PartialProgram(program, node, output, index)
            size = part.stop - part.start
            goal = asked.at(index, size)
            with np.errstate(invalid="ignore"):
                falling = function(np.full(size, low)) > goal

                def look(
                    x: np.ndarray,
                    function: PartialProgram = function,
                    falling: np.ndarray = falling,
                    goal: np.ndarray = goal,
                ) -> tuple[np.ndarray, np.ndarray]:
                    value = function(x)
                    return np.where(falling, value <= goal, value >= goal), np.abs(value - goal)

                a, b, crossed, _, closest, miss = crossing(look, low, high, size, whole, 1 if function.loops else LANES)
                at_a, at_b = function(a), function(b)
                if whole:  # the boundary: the last count that still keeps to the side of the target that is wanted
                    keeps = at_a >= goal if _better(output_name) == "more" else at_a <= goal
                    first = keeps & (at_b != goal)
                else:
                    first = np.abs(at_a - goal) < np.abs(at_b - goal)
                x = np.where(first, a, b)
                jumps = ~(np.abs(function(x) - goal) <= miss) & (not whole)  # over the target, which is met elsewhere
                x = np.where(crossed & ~jumps, x, closest)
                reached_ = function(x)
                close = np.abs(reached_ - goal) <= CLOSE * np.maximum(np.abs(goal), 1e-300)
                met = close | (crossed & whole)
            columns["nearest"][part] = x
            columns["reached"][part] = reached_
            columns[unknown][part] = np.where(met, x, np.nan)
            found[part] = met
            if tell is not None:
                tell(part.stop, n)
    dims, shape = tuple(program.axes), program.shape
    coords = {k: v for k, v in label.coordinates(program).items() if k != unknown}
    result = label.dataset(
        program,
        {k: v.reshape(shape) for k, v in columns.items()},
        dims,
        coords,
        label.story(program, {}, unknown=unknown, target=str(asked), bounds=f"{low:g} to {high:g}"),
    )
    about = {"units": "1", "long_name": f"is there a {unknown} that meets the target"}
    result = result.assign(found=(dims, found.reshape(shape), about))
    result["reached"].attrs = label.attributes(output_name)
    result["reached"].attrs["long_name"] = f"{output_name} at that value, or the best that can be reached"
    result["nearest"].attrs = label.attributes(unknown) | {"long_name": f"{unknown} at which `reached` is reached"}
    return result


def _better(name: str) -> str:
    return VARIABLES[name].better if name in VARIABLES else ""
