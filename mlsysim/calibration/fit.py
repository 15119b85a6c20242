"""Assumptions (or hardware figures) fitted to measured runs: `calibrate`.

Least squares on the logarithm of predicted over measured, every source of equal weight, a robust loss so that a
wrong row does not lead.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mlsysim.calibration import arguments
from mlsysim.calibration.figures import COLUMNS, Calibration
from mlsysim.calibration.holdout import held_out, with_figures
from mlsysim.calibration.least_squares import Solution, solve
from mlsysim.calibration.problem import Problem
from mlsysim.calibration.runs import Runs, read
from mlsysim.calibration.system import Knob, System, groups_of, read_off
from mlsysim.calibration.validate import REASONS, changed, predictions
from mlsysim.engine.progress import Progress, watched
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.check import teller, whole
from mlsysim.schema.variables import VARIABLES

#: times that blank settings are filled again with what was fitted
ROUNDS = 2
#: standard error, as a factor, beyond which a figure is not identified
UNCERTAIN = math.log(1.5)
#: correlation from which two figures cannot be told apart
ENTANGLED = 0.95
#: spread (log) of a framework's own figure around what others do, where a pull is asked for: a factor of two; host times and
#: re-reads of the zoo's frameworks lie by factors of 1.2 to 6 from the usual ones
BETWEEN_FRAMEWORKS = 0.7
#: rows of one source, per fitted figure, below which only a level is fitted
FEW = 4
NORMAL95 = 1.959963984540054  #: 97.5 % quantile of the normal distribution
#: what is fitted when nobody says what
USUAL = {
    "training": (
        "training_gemm_factor",
        "training_attention_factor",
        "elementwise_slowdown",
        "data_overlap",
        "grouped_gemm_factor",
        "straggler_loss",
    ),
    "serving": (
        "serving_gemm_factor",
        "serving_elementwise_slowdown",
        "expert_bandwidth_efficiency",
        "host_step_time",
        "host_sequence_time",
        "frontend_token_time",
    ),
    "stream": ("serving_gemm_factor", "vector_product_efficiency", "elementwise_kernel_time", "host_step_time"),
    "network": ("collective_level", "collective_call"),
    "vision": ("network_level", "convolution_efficiency", "depthwise_efficiency", "layer_kernel_time"),
}
LEVEL = {
    "training": "training_level",
    "serving": "serving_level",
    "stream": "serving_level",
    "network": "collective_level",
    "vision": "network_level",
}


def calibrate(
    resolver: Any,
    runs: pd.DataFrame | str | os.PathLike[str],
    fit: Sequence[str] | None = None,
    by: str | None = None,
    loss: str = "soft_l1",
    holdout: str | Sequence[str] | float | None = "source",
    prior: float | None = None,
    assume: Assumptions | None = None,
    refit: bool = False,
    bootstrap: int = 40,
    seed: int = 0,
    progress: Progress = None,
    columns: Mapping[str, Any] | None = None,
) -> Calibration:
    """Fit assumptions or hardware figures to measured runs.

    Parameters
    ----------
    resolver : Resolver or None
        DistributedModel for training runs; ServingModel (or ContinuousBatchingModel) for serving measurements, whose
        scenario decides between the two.  None takes what the columns say.
    runs : DataFrame or path
        See `validate`.
    fit : sequence of str, optional
        Names of `Assumptions` or of fields of the hardware (``gemm_bandwidth_efficiency``).  Default: the usual ones,
        or a level alone where there are fewer than four runs for each.
    by : str, optional
        A column (``"hardware"``): each of its values gets figures of its own.
    loss : {"soft_l1", "linear", "huber", "cauchy"}
        What errors beyond 5 % count.
    holdout : "source", "publication", sequence of str, float or None
        Which runs to predict without having fitted them: each source in turn (where there are three), the sources named,
        or a random share of the rows.  "publication" leaves out every source of a paper or page at once, and with them what no
        other run supports: frameworks, versions and mechanisms that only they name are forgotten, and their runs
        predicted as those of what such a framework is like, or as usual ones of their year.
    prior : float, optional
        Keep figures near their defaults: a pull as strong as if the default were known to `prior` times its stated spread,
        and what a framework does by figures of its own (`refit`) to a factor of two either way.
    assume : Assumptions, optional
        Where to start from.
    refit : bool
        Fit anew, too, what frameworks do by figures that were read off published runs (`fitted` in the zoo's frameworks
        table); such a figure is forgotten where the runs that showed it are left out.
    bootstrap : int
        Resamplings (of sources, or of the rows of a single one) behind the intervals; 0 takes them from the covariance.
    seed : int
    progress : bool or callable, optional
        True draws a bar; a function is told how many of the fits without some runs are done, and how many there are.
    columns : mapping, optional
        What holds for every run and the table does not say: see `validate`.

    Returns
    -------
    Calibration

    Raises
    ------
    ValueError
        What `validate` raises; an argument that is none of what is listed here; too few runs for the figures.

    Notes
    -----
    Every source weighs the same, whatever its number of rows.  Intervals hold 95 %; a figure is *not identified* when its
    standard error exceeds a factor of 1.5, when it moves the predictions as another one does, when nothing depends on it or it
    ends at its bound: it then has no interval (`low` and `high` are NaN) and `why` says so.  Least squares over all targets may
    make one of them worse: `Calibration.worse` and its text name it.
    """
    asked = arguments.figures(fit)
    loss, prior, holdout = arguments.loss_named(loss), arguments.pull(prior), arguments.left_out(holdout)
    refit, assume = arguments.truth("refit", refit), arguments.assumed(assume)
    bootstrap, seed = whole("bootstrap", bootstrap, 0), whole("seed", seed, 0)
    teller(progress)
    data = read(runs, columns)
    _matches(resolver, data.kind)
    if isinstance(by, str):  # a heading of the file
        by = next((column for column, heading in data.read_as.items() if heading == by), by)
    if by is not None and (not isinstance(by, str) or by not in data.table):
        raise ValueError(f"by={arguments.shown(by)}: the runs have no such column; columns: {', '.join(data.table)}")
    names = asked if asked is not None else _usual(data, by)
    moving = [*names, *(n for n in read_off(refit) if n not in names)]
    problem = Problem(data, assume, fixed=changed(assume), moving=moving)
    chosen = problem.chosen()
    system = System(problem, names, by, chosen, refit)
    if not system.good.any():
        why = (
            "; ".join(list(dict.fromkeys(problem.refused.values()))[:REASONS])
            or "nothing that is predicted was measured"
        )
        raise ValueError(f"no run to fit: {why}")
    if int(system.good.sum()) < len(system.knobs):
        raise ValueError(
            f"{int(system.good.sum())} measured figures cannot fix {len(system.knobs)} parameters: "
            "fit fewer, or without by="
        )
    pull = _prior(system.knobs, prior, problem.assume)
    best = solve(system, system.weights(system.good), loss, pull)
    before = predictions(problem)
    if by is None:  # what sources leave blank is filled again, with the fitted figures
        for _ in range(ROUNDS):
            again = Problem(
                data, moved(problem.assume, system.knobs, best.x, "fit"), fixed=changed(assume), moving=moving
            )
            filled = again.chosen()
            if all(np.array_equal(a, b) for a, b in zip(filled, chosen)):
                break
            chosen = filled
            system = System(problem, names, by, chosen, refit)
            best = solve(system, system.weights(system.good), loss, pull, best.x)
        before = with_figures(problem, system, np.zeros(len(system.knobs)), before)
    everything = system.good.copy()
    spread = np.sqrt(np.maximum(np.diag(best.covariance), 0.0))
    lows, highs = best.x - NORMAL95 * spread, best.x + NORMAL95 * spread
    if bootstrap:
        draws = _resampled(system, loss, pull, best.x, bootstrap, seed)
        off = np.sort(draws - best.x, axis=0)
        spread_drawn = 0.5 * (np.quantile(off, 0.84, axis=0) - np.quantile(off, 0.16, axis=0))
        wide = np.maximum(spread, spread_drawn)
        lows, highs = best.x - NORMAL95 * wide, best.x + NORMAL95 * wide
        spread = wide
    table = _described(system, best, spread, lows, highs)
    about = f"fitted to {int(everything.sum())} measured figures of {len(set(system.sources))} sources in {data.name}"
    fitted = with_figures(problem, system, best.x, before)
    with watched(progress, noun="fits") as tell:
        held = held_out(problem, system, holdout, loss, pull, best.x, before, seed, tell)
    return Calibration(table, data.kind, by, about, fitted, before, held, assume, data.name, digest(data))


def digest(data: Runs) -> str:
    """SHA-256 of a table of runs as it was read."""
    return hashlib.sha256(data.table.to_csv(index=False).encode("utf-8", "replace")).hexdigest()


def moved(assume: Assumptions, knobs: Sequence[Knob], x: np.ndarray, about: str) -> Assumptions:
    """Assumptions with the knobs turned."""
    found = {}
    for knob, at in zip(knobs, x):
        if knob.name in Assumptions._fields and not knob.own:
            known = Assumptions._field_defaults[knob.name]
            found[knob.name] = known.moved(knob.default * math.exp(at), about)
    return assume._replace(**found)


def _matches(resolver: Any, kind: str) -> None:
    if kind not in LEVEL:
        raise ValueError(f"{kind}: such figures are predicted, nothing is fitted to them")
    name = getattr(resolver, "name", None)
    if resolver is None:
        return
    expected = {
        "training": ("DistributedModel",),
        "serving": ("ServingModel", "ContinuousBatchingModel"),
        "stream": ("ServingModel",),
        "network": ("TopologyModel",),
        "vision": ("SingleNodeModel",),
    }[kind]
    if name not in expected:
        raise ValueError(f"{kind} runs calibrate {' or '.join(expected)}, not {name or resolver!r}")


def _usual(data: Runs, by: str | None) -> list[str]:
    groups = max(len(set(groups_of(data, by))), 1)
    usual = USUAL[data.kind]
    rows = int((data.table.suspect != 1).sum()) if "suspect" in data.table else len(data.table)
    return list(usual) if rows >= FEW * len(usual) * groups else [LEVEL[data.kind]]


def _prior(knobs: Sequence[Knob], prior: float | None, assume: Assumptions) -> np.ndarray:
    if prior is None:
        return np.full(len(knobs), np.inf)
    spreads = [float(getattr(getattr(assume, k.name, 0.0), "spread", 0.2)) or 0.2 for k in knobs]
    return np.array([BETWEEN_FRAMEWORKS if k.own else prior * spread for k, spread in zip(knobs, spreads)])


def _resampled(system: System, loss: str, pull: np.ndarray, at: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Estimates from resampled sources; of fewer than five sources the rows are resampled instead."""
    rng = np.random.default_rng(seed)
    base = system.weights(system.good)
    names = np.unique(system.sources[system.good])
    units = system.sources if len(names) >= 5 else system.positions.astype(str)
    labels_, number = np.unique(units[system.good], return_inverse=True)
    full = np.zeros(len(units), dtype=np.intp)
    full[system.good] = number
    found = []
    for _ in range(n):
        count = np.bincount(rng.integers(0, len(labels_), len(labels_)), minlength=len(labels_))
        found.append(solve(system, base * count[full], loss, pull, at, rough=True).x)
    return np.array(found)


def _described(system: System, best: Solution, spread: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> pd.DataFrame:
    scale = np.sqrt(np.maximum(np.diag(best.information), 1e-300))
    inverse = np.linalg.pinv(best.information, rcond=1e-12, hermitian=True)
    known = np.sqrt(np.maximum(np.diag(inverse), 1e-300))
    correlation = inverse / np.outer(known, known)
    lines = []
    for i, knob in enumerate(system.knobs):
        why = ""
        others = [j for j in range(len(system.knobs)) if j != i and abs(correlation[i, j]) > ENTANGLED]
        if scale[i] < 1e-6:
            why = "nothing that was measured depends on it"
        elif others:
            why = "moves the predictions as " + ", ".join(system.knobs[j].name for j in others)
        elif spread[i] > UNCERTAIN:
            why = f"its standard error is a factor of {math.exp(min(spread[i], 20.0)):.2g}"
        elif min(best.x[i] - knob.low, knob.high - best.x[i]) < 1e-3:
            why = "it ends at its bound"
        unit = VARIABLES[knob.name].unit
        factor = np.exp(np.clip([best.x[i], lows[i], highs[i]], -40.0, 40.0))
        lines.append(
            {
                "name": knob.name,
                "group": knob.group,
                "value": knob.default * factor[0],
                "default": knob.default,
                "low": math.nan if why else knob.default * factor[1],
                "high": math.nan if why else knob.default * factor[2],
                "spread": float(min(spread[i], 40.0)),
                "identified": not why,
                "why": why,
                "unit": unit,
            }
        )
    return pd.DataFrame(lines, columns=COLUMNS)


def usual(kind: str) -> Mapping[str, float]:
    """What is fitted when nobody says what, with its default."""
    defaults = Assumptions._field_defaults
    return {name: float(defaults[name]) for name in USUAL[kind]}
