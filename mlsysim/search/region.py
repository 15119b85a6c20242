"""The values of one input for which several conditions hold, at every point of a grid: where that region begins or ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from mlsysim.engine import label
from mlsysim.engine.graph import Node, reached
from mlsysim.engine.program import Program
from mlsysim.engine.reevaluate import PartialProgram
from mlsysim.schema.codes import Region
from mlsysim.schema.variables import field_of
from mlsysim.search.bisection import LANES, POINTS, crossing, foresee, search_range, tentative
from mlsysim.search.target import Target, condition


def region(
    resolver: Any,
    unknown: str,
    conditions: Sequence[Target],
    bounds: tuple[Any, Any] | None,
    inputs: Mapping[str, Any],
    feasible: bool | None = None,
    only_dependent: bool = False,
) -> xr.Dataset | None:
    """The first value of `unknown` from below at which the conditions begin, or cease, to hold together.

    Parameters
    ----------
    conditions : sequence of Target, each with a side
    bounds : (low, high), optional
        Default the bounds of the schema.
    feasible : bool, optional
        Must the configuration work?  Default: if that depends on the unknown.
    only_dependent : bool
        Leave out the conditions that do not depend on the unknown (None when none is left).

    Returns
    -------
    xarray.Dataset
        The unknown (NaN where there is no such value), `side` (which side of it holds), the outputs there or at
        the nearest miss, `binding_target`, `nearest`.
    """
    if unknown in inputs:
        raise TypeError(f"{unknown} is the unknown and must not be given")
    low, high, whole = search_range(unknown, bounds)
    inside = low if whole else float(np.sqrt(max(low, 1e-300) * high))
    program = Program(resolver, {**inputs, unknown: tentative(unknown, inside)}, {unknown, field_of(unknown)})
    node = program.graph.leaf(program.leaf_name(unknown))
    moved = {node.payload, *program.binder.followers([node.payload])}

    def depends(output: Node) -> bool:
        return any(n.op == "leaf" and n.payload in moved for n in reached([output]))

    conditions = [c for c in conditions if not only_dependent or depends(program.output(c.output))]
    works = program.outputs.get("feasible")
    asked = all(c.output != "feasible" for c in conditions)
    if works is not None and asked and (depends(works) if feasible is None else feasible):
        conditions = [*conditions, condition("feasible", True)]
    wanted = [c.output for c in conditions]
    if not any(depends(program.output(o)) for o in wanted):
        if only_dependent:
            return None
        raise ValueError(f"{', '.join(wanted)} does not depend on {unknown} in this call")
    program.available(wanted)
    for c in conditions:
        c.widen(program)
    outputs = [program.graph.as_number(program.output(o)) for o in wanted]
    dims, shape, n = tuple(program.axes), program.shape, program.n_points
    foresee(program, [node], outputs, 4 + len(outputs))
    answer, closest = np.empty(n), np.empty(n)
    side, binding = np.empty(n, dtype=np.int8), np.empty(n, dtype=np.int64)
    at = np.empty((len(outputs), n))
    for begin in range(0, n, POINTS):
        part = slice(begin, min(begin + POINTS, n))
        size = part.stop - part.start
        index = dict(zip(dims, np.unravel_index(np.arange(part.start, part.stop), shape))) if dims else {}
        function = PartialProgram(program, node, outputs, index)
        goals = [c.at(index, size) for c in conditions]

        def look(
            x: np.ndarray, function: PartialProgram = function, goals: list[Any] = goals
        ) -> tuple[np.ndarray, np.ndarray]:
            values = function(x)
            holds = np.all([c.met(v, g) for c, v, g in zip(conditions, values, goals)], axis=0)
            return holds, np.max([c.excess(v, g) for c, v, g in zip(conditions, values, goals)], axis=0)

        before, after, found, start, best, _ = crossing(look, low, high, size, whole, 1 if function.loops else LANES)
        holds = np.where(start, before, after)
        fails = np.where(start, after, before)
        place = np.where(found, holds, best)
        values = function(place)
        other = function(np.where(found, fails, best))
        excess = np.array([c.excess(v, g) for c, v, g in zip(conditions, other, goals)])
        answer[part] = np.where(found, holds, np.nan)
        closest[part] = place
        one_side = np.where(start, Region.AT_MOST, Region.AT_LEAST)
        side[part] = np.where(found, one_side, np.where(start, Region.ALWAYS, Region.NEVER))
        binding[part] = np.where(~found & start, len(conditions), np.argmax(excess, axis=0))
        at[:, part] = values
    short = field_of(unknown)
    coords = {k: v for k, v in label.coordinates(program).items() if k != unknown}
    for c in conditions:
        own = f"target_{c.output}"
        if own in coords:
            coords[own] = (*coords[own][:2], label.attributes(c.output))
    data = {
        unknown: (dims, answer.reshape(shape), label.attributes(short)),
        "side": (dims, side.reshape(shape), label.attributes("side")),
        "binding_target": (
            dims,
            np.array([*wanted, "none"])[binding].reshape(shape),
            label.attributes("binding_target"),
        ),
        "nearest": (dims, closest.reshape(shape), label.attributes(short)),
    }
    data["nearest"][2]["long_name"] = f"{unknown}, or where the targets are missed by least"
    for name, values in zip(wanted, at):
        data[name] = (dims, values.astype(label.dtype(name)).reshape(shape), label.attributes(name))
    attrs = label.story(
        program, {}, unknown=unknown, targets="; ".join(map(str, conditions)), bounds=f"{low:g} to {high:g}"
    )
    return xr.Dataset(data, coords=coords, attrs=attrs)
