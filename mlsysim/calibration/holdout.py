"""Predictions of runs that figures were not fitted to."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from mlsysim.calibration.least_squares import solve
from mlsysim.calibration.problem import Problem
from mlsysim.calibration.system import System
from mlsysim.calibration.validate import SAMPLES, Validation, predictions

PAPER = re.compile(r"(?<!\d)\d{4}\.\d{5}(?!\d)")  #: number of an arXiv paper
PAGE = re.compile(r"(?<![\w./])(?:github\.com/)?([\w-]+/[\w.-]+) +([\w./-]+\.\w+)")  #: repository and file


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
    strange: list[frozenset[str]] = []
    if isinstance(holdout, str) and holdout == "source":
        if len(names) < 3:
            return None
        folds = [system.sources == name for name in names]
    elif isinstance(holdout, str) and holdout == "publication":
        of_run = publications(problem)
        of_figure = np.array([of_run[p] for p in system.positions])
        every = list(dict.fromkeys(of_figure[system.good]))
        if len(every) < 3:
            return None
        folds = [of_figure == name for name in every]
        strange = [known_alone(problem, of_run, name) for name in every]
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
    widths: dict[tuple[int, str], tuple[float, float]] = {}
    for i, out in enumerate(folds):
        kept = system.good & ~out
        if progress is not None:
            progress(i, len(folds))
        found = solve(system, system.weights(kept), loss, pull, at, rough=True)
        # a figure that only the left-out rows could fix keeps its default
        depends = np.sqrt(np.maximum(np.diag(found.information), 0.0)) > 1e-6
        x = np.where(depends, found.x, [k.centre for k in system.knobs])
        if strange:
            residual[out], own = as_strangers(problem, system, x, out, strange[i])
            widths |= own
        else:
            residual[out] = system.residuals(x)[out]
    rows = np.isfinite(residual) & system.good
    frame = with_figures(problem, system, at, before, rows)
    lines = {
        (problem.runs.lines[p], t): r for p, t, r in zip(system.positions[rows], system.targets[rows], residual[rows])
    }
    error = np.array([math.expm1(lines[row, target]) for row, target in zip(frame.rows.row, frame.rows.target)])
    frame.rows["error"], frame.rows["predicted"] = error, frame.rows.measured * (1.0 + error)
    if strange:
        factors = [widths[row, target] for row, target in zip(frame.rows.row, frame.rows.target)]
        frame.rows[["low", "high"]] = frame.rows.predicted.to_numpy()[:, None] * np.array(factors)
    return frame


# --- runs of which nothing is known -------------------------------------------------------------------------


def page(source: str) -> str:
    """The paper, or the page of a repository, that a source names, however many tables and versions of it there are.

    >>> page("Korthikanti et al. 2022 Table 5 (arXiv:2205.05198), as carried elsewhere"), page("a file of ours")
    ('2205.05198', 'a file of ours')
    >>> page("github.com/mosaicml/llm-foundry scripts/train/README.md section H100")
    'mosaicml/llm-foundry scripts/train/README.md'
    """
    if found := PAPER.search(source):
        return found[0]
    found = PAGE.search(source)
    return " ".join(part for part in found.groups() if part) if found else source


def publications(problem: Problem) -> dict[int, str]:
    """The publication of each row that can be predicted: sources that share a page, and pages that share a source, are one."""
    told = problem.runs.table.to_dict("list").get("source")
    pages = {r.position: page(str(told[r.position])) if told else r.source for r in problem.kept}
    one: dict[str, str] = {}

    def first(name: str) -> str:
        while one.get(name, name) != name:
            name = one[name]
        return name

    for run in problem.kept:
        a, b = first(f"source {run.source}"), first(f"page {pages[run.position]}")
        one[max(a, b)] = min(a, b)
    return {run.position: first(f"source {run.source}") for run in problem.kept}


def known_alone(problem: Problem, of_run: dict[int, str], name: str) -> frozenset[str]:
    """Lines of settings that runs of one publication call for and no other run does."""
    here, elsewhere = (
        {key for run in problem.kept if (of_run[run.position] == name) is inside for key in run.known}
        for inside in (True, False)
    )
    return frozenset(here - elsewhere)


def as_strangers(
    problem: Problem, system: System, x: np.ndarray, out: np.ndarray, forgotten: frozenset[str]
) -> tuple[np.ndarray, dict[tuple[int, str], tuple[float, float]]]:
    """Left-out rows as runs of which nothing is known: what only they support is forgotten, too.

    Returns
    -------
    residuals : of the figures of `out`.
    widths : line and target -> ends of the interval of 10 to 90 % over the prediction.
    """
    places = sorted({int(p) for p in system.positions[out]})
    runs = problem.runs
    table = runs.table.iloc[places]
    some = runs._replace(table=table, lines=[runs.lines[p] for p in places])
    again = Problem(some, problem.assume, forgotten=forgotten, **problem.options)
    theirs = System(again, system.names, None, again.chosen(), system.refit)
    at = {(knob.name, knob.group): value for knob, value in zip(system.knobs, x)}
    turned = np.array([at.get((k.name, k.group), k.centre) for k in theirs.knobs])
    found = {
        (places[p], target): value
        for p, target, value in zip(theirs.positions, theirs.targets, theirs.residuals(turned))
    }
    wanted = zip(system.positions[out], system.targets[out])
    told = predictions(again, SAMPLES).rows
    ends = zip(told.low / told.predicted, told.high / told.predicted)
    widths = dict(zip(zip(told.row, told.target), ends))
    return np.array([found.get((int(p), target), np.nan) for p, target in wanted]), widths
