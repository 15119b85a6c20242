"""Residuals of measured runs as a function of the figures that are fitted.

A figure moves in log space from its default, at every point in proportion: what a framework does differently (an overlap
it lacks, twice the element-wise work) keeps its ratio.  The call is recorded once; of its graph only what depends on
the fitted figures is evaluated again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mlsysim import zoo
from mlsysim.calibration.part import Part
from mlsysim.calibration.problem import Problem
from mlsysim.calibration.runs import Runs
from mlsysim.engine.graph import reached
from mlsysim.engine.reevaluate import PartialProgram
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.variables import VARIABLES


class Knob(NamedTuple):
    """One fitted figure: a name, and the group of rows for which it holds."""

    name: str
    group: str
    default: float
    low: float  #: bounds of the logarithm of value over default
    high: float
    own: bool = False  #: a framework's own, read off published runs
    centre: float = 0.0  #: where that logarithm is, when nothing is measured


class System:
    """Residuals of a problem as a function of the knobs' logarithms.

    With `refit`, settings of frameworks that were read off published runs are knobs too, a framework's own.
    """

    def __init__(
        self, problem: Problem, names: Sequence[str], by: str | None, chosen: list[np.ndarray], refit: bool = False
    ):
        self.problem, self.names, self.refit = problem, list(names), refit
        moving = [*names, *(n for n in read_off(refit) if n not in names)]
        kept = {run.position: run for run in problem.kept}
        groups = groups_of(problem.runs, by)
        self.knobs: list[Knob] = []
        index: dict[tuple[str, str], int] = {}
        self.pieces: list[tuple[Any, ...]] = []
        sources: list[str] = []
        targets: list[str] = []
        positions: list[int] = []
        logs: list[np.ndarray] = []
        for part, points in zip(problem.parts, chosen):
            if not len(points):
                continue
            used = list(part.targets)
            outputs = [part.program.output(part.targets[t].output) for t in used]
            nodes, bases, which = [], [], []
            depends = {n.index for n in reached(outputs)}
            at = part.index(points)
            for name in moving:
                node = _leaf(part, name)
                if node is None or node.index not in depends:
                    continue
                base = np.broadcast_to(part.program.leaf_at(node, at), (len(points),)).astype(float)
                numbers = np.full(len(points), -1)
                for i, point in enumerate(points):
                    position = int(part.rows[point])
                    own = kept[position].fitted.get(name) if refit and base[i] else None
                    if own is None and name not in self.names:
                        continue
                    key = (name, groups[position] if own is None else own)
                    if key not in index:
                        index[key] = len(self.knobs)
                        self.knobs.append(_knob(name, key[1], problem.assume, base[i], own is not None))
                    numbers[i] = index[key]
                nodes.append(node)
                bases.append(base)
                which.append(numbers)
            function = PartialProgram(part.program, nodes, outputs, at)
            rows, measured, pick = [], [], []
            for k, target in enumerate(used):
                spec = part.targets[target]
                for i, point in enumerate(points):
                    run = kept[int(part.rows[point])]
                    value = run.measured.get(target)
                    if value is None or math.isnan(spec.factor[point]):
                        continue
                    pick.append((k, i))
                    measured.append(math.log(value) - math.log(spec.factor[point]))
                    rows.append(spec.power[point])
                    sources.append(run.source)
                    targets.append(target)
                    positions.append(run.position)
            if pick:
                self.pieces.append((function, bases, which, tuple(np.array(pick).T), np.array(rows)))
                logs.append(np.array(measured))
        for name in self.names:
            if not any(k.name == name for k in self.knobs):
                if name not in Assumptions._fields:
                    raise ValueError(f"nothing that was measured depends on {name}: leave it out")
                self.knobs.append(_knob(name, groups[0] if by else "", problem.assume, math.nan))
        self.measured = np.concatenate(logs) if logs else np.empty(0)
        self.sources, self.targets = np.array(sources), np.array(targets)
        self.positions = np.array(positions)
        good = np.isfinite(self.residuals(np.zeros(len(self.knobs))))
        self.good = good

    def residuals(self, x: np.ndarray) -> np.ndarray:
        """Logarithm of predicted over measured, one a measured figure."""
        found = []
        factor = np.exp(np.append(x, 0.0))  # the last one for what no knob moves
        for function, bases, which, pick, power in self.pieces:
            leaves = [base * factor[numbers] for base, numbers in zip(bases, which)]
            values = function(*leaves) if leaves else function()
            with np.errstate(all="ignore"):
                found.append(power * np.log(values[pick]))
        return np.concatenate(found) - self.measured if found else np.empty(0)

    def weights(self, rows: np.ndarray) -> np.ndarray:
        """Weights of the residuals: every source counts once for each target."""
        weight = np.zeros(len(rows))
        for target in np.unique(self.targets[rows]):
            here = rows & (self.targets == target)
            names, number = np.unique(self.sources[here], return_counts=True)
            each = dict(zip(names, number))
            weight[here] = [1.0 / each[s] / len(names) for s in self.sources[here]]
        return weight


def _leaf(part: Part, name: str) -> Any:
    try:
        full = part.program.leaf_name(name)
    except (TypeError, ValueError):
        return None
    node = part.program.named(full)
    return node if node.op == "leaf" else None


def groups_of(runs: Runs, by: str | None) -> list[str]:
    """The group of each row: its value in the column `by`."""
    if by is None:
        return [""] * len(runs.table)
    return [str(v) for v in runs.table[by]]


def read_off(refit: bool) -> list[str]:
    """Assumptions that frameworks set to what was read off published runs."""
    cells = [row.values_by_column["fitted"] or "" for row in zoo.find("frameworks")] if refit else []
    return [name for name in dict.fromkeys(" ".join(cells).split()) if name in Assumptions._fields]


def _knob(name: str, group: str, assume: Assumptions, base: float, own: bool = False) -> Knob:
    plain = float(getattr(assume, name)) if name in Assumptions._fields else float(base)
    default = float(base) if own else plain
    if default == 0.0:
        raise ValueError(f"{name} is 0 and moves in proportion: give it another value to start from, assume=...")
    most = VARIABLES[name].high
    top = math.log(most / default) if math.isfinite(most) else math.log(50.0)
    return Knob(name, group, default, -math.log(50.0), max(top, 1e-6), own, math.log(plain / default))
