"""The value of one input at which an output meets its target, at every point of a grid.

Bisection on the doubles themselves: a double's bits are an ordered integer, so 64 halvings end at two
neighbouring numbers whatever the scale, and nothing but a change of sign is asked of the function.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from mlsysim.engine import label
from mlsysim.engine.bind import check
from mlsysim.engine.evaluate import evaluate
from mlsysim.engine.graph import Node, reached
from mlsysim.engine.program import Program
from mlsysim.schema.records import Assumptions
from mlsysim.schema.variables import VARIABLES

WIDEST = (1e-18, 1e27)  #: where to look for a positive quantity without bounds of its own
POINTS = 1 << 16  #: points that are bisected together
CLOSE = 1e-9  #: relative distance to the target within which a crossing counts as met


class Function:
    """An output as a function of one input, at paired points of the grid."""

    def __init__(self, program: Program, unknown: Node, output: Node, index: Mapping[str, np.ndarray]):
        self.unknown, self.output = unknown, output
        nodes = reached([output])
        moved: set[int] = {unknown.index}
        for node in nodes:
            if any(a.index in moved for a in node.args):
                moved.add(node.index)
        self.moving = [n for n in nodes if n.index in moved]
        edge = {a.index: a for n in self.moving for a in n.args if a.index not in moved}
        fixed = reached(edge.values())
        known = {n.index: program.leaf_at(n, index) for n in fixed if n.op == "leaf"}
        self.known = evaluate(fixed, known, list(edge.values()))
        self.size = len(next(iter(index.values()))) if index else 1

    def __call__(self, x: np.ndarray) -> np.ndarray:
        values = {**self.known, self.unknown.index: x}
        result = evaluate(self.moving, values, [self.output])[self.output.index]
        return np.broadcast_to(np.asarray(result, dtype=np.float64), (self.size,))


def _ordinal(x: np.ndarray) -> np.ndarray:
    """Doubles as integers in the same order."""
    bits = np.ascontiguousarray(x, dtype=np.float64).view(np.int64)
    return np.where(bits < 0, np.int64(-(2**63)) - bits, bits)


def _double(i: np.ndarray) -> np.ndarray:
    bits = np.where(i < 0, np.int64(-(2**63)) - i, i)
    return np.ascontiguousarray(bits).view(np.float64)


def bisect(function, low: np.ndarray, high: np.ndarray, target: np.ndarray, whole: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ends of the last bracket and whether there was one: the change of sign lies between `low` and `high`."""
    below = function(low) - target
    above = function(high) - target
    found = ((below <= 0) & (above >= 0)) | ((below >= 0) & (above <= 0))
    falling = (below > 0) | ((below == 0) & (above < 0))
    a = low.copy() if whole else _ordinal(low)
    b = high.copy() if whole else _ordinal(high)
    for _ in range(64):
        if whole:
            middle = np.floor(a + (b - a) / 2)
            x = middle
        else:
            middle = (a >> 1) + (b >> 1) + (a & b & 1)
            x = _double(middle)
        value = function(x) - target
        # keep the far side: a never meets the target from beyond, b does
        beyond = np.where(falling, value <= 0, value >= 0)
        b = np.where(beyond, middle, b)
        a = np.where(beyond, a, middle)
    return (a, b, found) if whole else (_double(a), _double(b), found)


def root(resolver: Any, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None, inputs: Mapping[str, Any]) -> xr.Dataset:
    """See `mlsysim.resolver.Resolver.root`."""
    if len(target) != 1:
        raise ValueError(f"target={dict(target)!r}: give one output, target={{'itl': 0.02}}")
    if unknown in inputs:
        raise TypeError(f"{unknown} is the unknown and must not be given")
    output_name, wanted = next(iter(target.items()))
    low, high, whole = _bounds(unknown, bounds)
    inside = next((x for x in (low, high, math.sqrt(max(low, 1e-300) * high)) if x not in (0.0, 1.0)), 2.0)
    program = Program(resolver, {**inputs, unknown: inside})
    node = program.named(unknown)
    if node.op != "leaf":
        raise ValueError(f"{unknown} is an option: a root needs a number")
    output = program.output(output_name)
    program.available([output_name])
    if node.index not in {n.index for n in reached([output])}:
        raise ValueError(f"{output_name} does not depend on {unknown} in this call")
    goal = check(output_name, wanted) if output_name in VARIABLES else float(wanted)
    n = program.n_points
    names = list(program.axes)
    columns: dict[str, np.ndarray] = {k: np.empty(n) for k in (unknown, "reached", "nearest")}
    found = np.empty(n, dtype=bool)
    for start in range(0, n, POINTS):
        part = slice(start, min(start + POINTS, n))
        index = dict(zip(names, np.unravel_index(np.arange(part.start, part.stop), program.shape))) if names else {}
        function = Function(program, node, output, index)
        size = part.stop - part.start
        lo, hi, goals = np.full(size, low), np.full(size, high), np.full(size, goal)
        a, b, crossed = bisect(function, lo, hi, goals, whole)
        at_a, at_b = function(a), function(b)
        if whole:  # the boundary: the last count that still keeps to the target's side it started on
            meets_a = np.where(_better(output_name) == "more", at_a >= goals, at_a <= goals)
            x, reached_ = np.where(meets_a & (a != b) & (at_b != goals), a, b), np.where(meets_a & (a != b) & (at_b != goals), at_a, at_b)
            met = crossed
        else:
            nearer = np.abs(at_a - goals) < np.abs(at_b - goals)
            x, reached_ = np.where(nearer, a, b), np.where(nearer, at_a, at_b)
            met = crossed & (np.abs(reached_ - goals) <= CLOSE * np.maximum(np.abs(goals), 1e-300))
        end_low, end_high = function(lo), function(hi)
        with np.errstate(invalid="ignore"):
            use_low = ~(np.abs(end_high - goals) < np.abs(end_low - goals))
        columns["nearest"][part] = np.where(crossed, x, np.where(use_low, lo, hi))
        columns["reached"][part] = np.where(crossed, reached_, np.where(use_low, end_low, end_high))
        columns[unknown][part] = np.where(met, x, np.nan)
        found[part] = met
    dims, shape = tuple(program.axes), program.shape
    coords = {k: v for k, v in label.coordinates(program).items() if k != unknown}
    result = label.dataset(program, {k: v.reshape(shape) for k, v in columns.items()}, dims, coords,
                           label.story(program, {}, unknown=unknown, target=f"{output_name} = {wanted}", bounds=f"{low:g} to {high:g}"))
    result = result.assign(found=(dims, found.reshape(shape), {"units": "1", "long_name": f"is there a {unknown} that meets the target"}))
    result["reached"].attrs = label.attributes(output_name) | {"long_name": f"{output_name} at that value, or the best that can be reached"}
    result["nearest"].attrs = label.attributes(unknown) | {"long_name": f"{unknown} at which `reached` is reached"}
    return result


def _better(name: str) -> str:
    return VARIABLES[name].better if name in VARIABLES else ""


def _bounds(unknown: str, bounds: tuple[Any, Any] | None) -> tuple[float, float, bool]:
    short = unknown.rsplit(".", 1)[-1]
    variable = VARIABLES.get(short)
    if variable is None:
        if short not in Assumptions._fields:
            from mlsysim.engine.bind import nearest

            raise ValueError(f"{unknown!r} is no input{nearest(short, VARIABLES)}")
        low, high, whole = WIDEST[0], WIDEST[1], False
    else:
        if variable.kind in ("option", "flag"):
            raise ValueError(f"{unknown} is an option: a root needs a number")
        whole = variable.kind == "count"
        low = variable.low if variable.low > 0 else (1.0 if whole else WIDEST[0])
        high = variable.high if math.isfinite(variable.high) else (2.0**40 if whole else WIDEST[1])
    if bounds is not None:
        if len(bounds) != 2:
            raise ValueError(f"bounds={bounds!r}: give (low, high)")
        low, high = (check(short, b) if variable is not None else float(b) for b in bounds)
        if not low < high:
            raise ValueError(f"bounds={bounds!r}: low must be below high")
    return low, high, whole
