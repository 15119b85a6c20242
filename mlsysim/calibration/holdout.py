"""Predictions of runs that figures were not fitted to."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mlsysim.calibration.least_squares import solve
from mlsysim.calibration.problem import Problem
from mlsysim.calibration.system import System
from mlsysim.calibration.validate import Validation


def with_figures(
    problem: Problem, system: System, x: np.ndarray, before: Validation, rows: np.ndarray | None = None
) -> Validation:
    """The predictions at some values of the knobs (of some rows only)."""
    residual = system.residuals(x)
    frame = before.rows.copy()
    lines = {(problem.runs.lines[p], t): r for p, t, r in zip(system.positions, system.targets, residual)}
    error = np.array([math.expm1(lines[row, target]) for row, target in zip(frame.row, frame.target)])
    frame["error"], frame["predicted"] = error, frame.measured * (1.0 + error)
    if rows is not None:
        wanted = {(problem.runs.lines[p], t) for p, t in zip(system.positions[rows], system.targets[rows])}
        frame = frame[[key in wanted for key in zip(frame.row, frame.target)]].reset_index(drop=True)
    return Validation(
        before.kind, before.n_rows, frame, before.refused, before.suspect, before.answered, before.read_as, before.said
    )


def held_out(
    problem: Problem,
    system: System,
    holdout: Any,
    loss: str,
    pull: np.ndarray,
    at: np.ndarray,
    before: Validation,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> Validation | None:
    """Each fold predicted with the figures that the other runs give; None where there is nothing to leave out."""
    if holdout is None:
        return None
    names = list(dict.fromkeys(system.sources[system.good]))
    folds: list[np.ndarray]
    if isinstance(holdout, str) and holdout == "source":
        if len(names) < 3:
            return None
        folds = [system.sources == name for name in names]
    elif isinstance(holdout, float):
        rng = np.random.default_rng(seed)
        left = rng.permutation(np.unique(system.positions))
        folds = [np.isin(system.positions, left[: max(round(holdout * len(left)), 1)])]
    else:
        wanted = [holdout] if isinstance(holdout, str) else list(holdout)
        unknown = [w for w in wanted if w not in names]
        if unknown:
            raise ValueError(f"holdout: no source is named {unknown[0]!r}; sources: {', '.join(names)}")
        folds = [np.isin(system.sources, wanted)]
    residual = np.full(len(system.sources), np.nan)
    for i, out in enumerate(folds):
        kept = system.good & ~out
        if progress is not None:
            progress(i, len(folds))
        found = solve(system, system.weights(kept), loss, pull, at, rough=True)
        # a figure that only the left-out rows could fix keeps its default
        depends = np.sqrt(np.maximum(np.diag(found.information), 0.0)) > 1e-6
        x = np.where(depends, found.x, [k.centre for k in system.knobs])
        residual[out] = system.residuals(x)[out]
    rows = np.isfinite(residual) & system.good
    frame = with_figures(problem, system, at, before, rows)
    lines = {
        (problem.runs.lines[p], t): r for p, t, r in zip(system.positions[rows], system.targets[rows], residual[rows])
    }
    error = np.array([math.expm1(lines[row, target]) for row, target in zip(frame.rows.row, frame.rows.target)])
    frame.rows["error"], frame.rows["predicted"] = error, frame.rows.measured * (1.0 + error)
    return frame
