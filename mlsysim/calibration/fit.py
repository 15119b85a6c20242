"""Assumptions (or hardware figures) fitted to measured runs: `calibrate`.

Least squares on the logarithm of predicted over measured, every source of equal weight, a robust loss so that a
wrong row does not lead.  A fitted figure moves in log space from its default, at every point in proportion: what a framework
does differently (an overlap it lacks, twice the element-wise work) keeps its ratio.  The call is recorded once; of
its graph only what depends on the fitted figures is evaluated again.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from mlsysim import zoo
from mlsysim.calibration.problem import Part, Problem
from mlsysim.calibration.runs import Runs, read
from mlsysim.calibration.validate import Validation, changed, predictions
from mlsysim.engine.function import Function
from mlsysim.engine.graph import reached
from mlsysim.schema.records import Accelerator, Assumed, Assumptions
from mlsysim.schema.variables import VARIABLES
from mlsysim.zoo.tables import Row

#: log error beyond which a residual counts linearly (what errors of "soft_l1" are about)
ROBUST = 0.05
#: times that blank settings are filled again with what was fitted
ROUNDS = 2
#: standard error, as a factor, beyond which a figure is not identified
UNCERTAIN = math.log(1.5)
#: correlation from which two figures cannot be told apart
ENTANGLED = 0.95
#: rows of one source, per fitted figure, below which only a level is fitted
FEW = 4
NORMAL95 = 1.959963984540054  #: 97.5 % quantile of the normal distribution
#: endings of the names of shares, which end at 1
SHARES = ("_overlap", "_efficiency", "_share", "_fraction")
#: what is fitted when nobody says what
USUAL = {
    "training": (
        "training_gemm_factor", "training_attention_factor", "elementwise_slowdown", "data_overlap", "tensor_overlap",
        "grouped_gemm_factor", "straggler_loss",
    ),
    "serving": (
        "serving_gemm_factor", "serving_elementwise_slowdown", "expert_bandwidth_efficiency", "host_step_time",
        "host_sequence_time", "frontend_token_time",
    ),
}  # fmt: skip
LEVEL = {"training": "training_level", "serving": "serving_level"}


class Knob(NamedTuple):
    """One fitted figure: a name, and the group of rows for which it holds."""

    name: str
    group: str
    default: float
    low: float  #: bounds of the logarithm of value over default
    high: float
    own: bool = False  #: a framework's own, read off published runs
    centre: float = 0.0  #: where that logarithm is, when nothing is measured


class _System:
    """Residuals of a problem as a function of the knobs' logarithms.

    With `refit`, settings of frameworks that were read off published runs are knobs too, a framework's own.
    """

    def __init__(self, problem: Problem, names: Sequence[str], by: str | None, chosen: list[np.ndarray], refit: bool = False):
        self.problem, self.names, self.refit = problem, list(names), refit
        moving = [*names, *(n for n in _read_off(refit) if n not in names)]
        kept = {run.position: run for run in problem.kept}
        groups = _groups(problem.runs, by)
        self.knobs: list[Knob] = []
        index: dict[tuple[str, str], int] = {}
        self.pieces: list[tuple] = []
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
            function = Function(part.program, nodes, outputs, at)
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


def _groups(runs: Runs, by: str | None) -> list[str]:
    if by is None:
        return [""] * len(runs.table)
    if by not in runs.table.columns:
        raise ValueError(f"by={by!r}: the runs have no such column")
    return [str(v) for v in runs.table[by]]


def _read_off(refit: bool) -> list[str]:
    """Assumptions that frameworks set to what was read off published runs."""
    cells = [row.values_by_column["fitted"] or "" for row in zoo.find("frameworks")] if refit else []
    return [name for name in dict.fromkeys(" ".join(cells).split()) if name in Assumptions._fields]


def _knob(name: str, group: str, assume: Assumptions, base: float, own: bool = False) -> Knob:
    plain = float(getattr(assume, name)) if name in Assumptions._fields else float(base)
    default = float(base) if own else plain
    if default == 0.0:
        raise ValueError(f"{name} is 0 and moves in proportion: give it another value to start from, assume=...")
    variable = VARIABLES.get(name)
    most = variable.high if variable is not None else (1.0 if name.endswith(SHARES) else math.inf)
    top = math.log(most / default) if math.isfinite(most) else math.log(50.0)
    return Knob(name, group, default, -math.log(50.0), max(top, 1e-6), own, math.log(plain / default))


# --- solving -------------------------------------------------------------------------------------------------


def _softened(residual: np.ndarray, loss: str, scale: float) -> np.ndarray:
    """A residual whose square is the loss: linear beyond `scale`."""
    if loss == "linear":
        return residual
    z = (residual / scale) ** 2
    if loss == "soft_l1":
        rho = 2.0 * (np.sqrt(1.0 + z) - 1.0)
    elif loss == "huber":
        rho = np.where(z <= 1.0, z, 2.0 * np.sqrt(z) - 1.0)
    elif loss == "cauchy":
        rho = np.log1p(z)
    else:
        raise ValueError(f"loss={loss!r}: allowed are linear, soft_l1, huber, cauchy")
    return np.sign(residual) * scale * np.sqrt(rho)


class _Solution(NamedTuple):
    x: np.ndarray
    covariance: np.ndarray  #: of x, from the data alone; inf where nothing is known
    information: np.ndarray  #: normal matrix of the data


def _solve(system: _System, weight: np.ndarray, loss: str, prior: np.ndarray, start: np.ndarray | None = None,
           rough: bool = False) -> _Solution:  # fmt: skip
    """The knobs at which the weighted loss is least (to a hundredth when `rough`), and what is known about them."""
    from scipy.optimize import least_squares

    n = len(system.knobs)
    used = np.flatnonzero((weight > 0) & system.good)
    root = np.sqrt(weight[used] / weight[used].sum())
    pull = np.where(np.isfinite(prior), 1.0 / np.where(np.isfinite(prior), prior, 1.0), 0.0)
    scale = 1.0 / math.sqrt(max(len(used), 1))
    centre = np.array([k.centre for k in system.knobs])

    def cost(x: np.ndarray) -> np.ndarray:
        residual = system.residuals(x)[used]
        residual = np.where(np.isfinite(residual), residual, 5.0)
        return np.concatenate([root * _softened(residual, loss, ROBUST), ROBUST * scale * pull * (x - centre)])

    low, high = np.array([k.low for k in system.knobs]), np.array([k.high for k in system.knobs])
    at = np.zeros(n) if start is None else start
    found = least_squares(cost, np.clip(at, low + 1e-9, high - 1e-9), bounds=(low, high), diff_step=1e-4, x_scale=0.1,
                          ftol=1e-4 if rough else 1e-7, xtol=1e-3 if rough else 1e-5, gtol=1e-9, max_nfev=60)
    x = found.x
    jacobian = found.jac[: len(used)]
    residual = cost(x)[: len(used)]
    information = jacobian.T @ jacobian
    return _Solution(x, _covariance(jacobian, residual, system.sources[used], information), information)


def _covariance(jacobian: np.ndarray, residual: np.ndarray, sources: np.ndarray, information: np.ndarray) -> np.ndarray:
    """Covariance of the estimates: sources are independent, the rows of one are not.

    A figure that a single source fixes is as uncertain as that source's rows, or as all rows together, say.
    """
    n = information.shape[0]
    inverse = np.linalg.pinv(information, rcond=1e-10, hermitian=True)
    freedom = max(len(residual) - n, 1)
    names = np.unique(sources)
    meats = [(jacobian * residual[:, None]).T @ (jacobian * residual[:, None]) * (len(residual) / freedom),
             information * float(residual @ residual) / freedom]  # fmt: skip
    if len(names) > n:
        scores = np.array([jacobian[sources == name].T @ residual[sources == name] for name in names])
        meats.append(scores.T @ scores * (len(names) / (len(names) - n)))
    each = [inverse @ meat @ inverse for meat in meats]
    widest = np.max([np.diag(c) for c in each], axis=0)
    stretch = np.sqrt(widest / np.maximum(np.diag(each[-1]), 1e-300))
    covariance = each[-1] * np.outer(stretch, stretch)
    np.fill_diagonal(covariance, widest)
    values, vectors = np.linalg.eigh(information)
    lost = values < 1e-9 * max(values.max(), 1e-300)
    for vector in vectors.T[lost]:
        covariance += 1e6 * np.outer(vector, vector)
    return covariance


# --- the result ------------------------------------------------------------------------------------------------


class Calibration:
    """Figures fitted to measured runs (see `calibrate`).

    Attributes
    ----------
    table : pandas.DataFrame
        One line a figure (and group): `value`, `default`, `low` and `high` (2.5 to 97.5 %), `spread` (relative standard error),
        `identified`, `why` it is not, `unit`.
    fitted : Validation
        Predictions with the fitted figures.
    before : Validation
        Predictions with the defaults.
    held_out : Validation or None
        Predictions of runs that the figures were not fitted to.
    """

    def __init__(self, table: pd.DataFrame, kind: str, by: str | None, about: str,
                 fitted: Validation | None = None, before: Validation | None = None, held_out: Validation | None = None,
                 assume: Assumptions | None = None):  # fmt: skip
        self.table, self.kind, self.by, self.about = table, kind, by, about
        self.fitted, self.before, self.held_out = fitted, before, held_out
        self._assume = assume or Assumptions()

    @property
    def assumptions(self) -> Assumptions:
        """The assumptions with the fitted ones in place, each with unit, meaning, source and spread."""
        if self.by is not None and len(set(self.table.group)) > 1:
            groups = ", ".join(sorted(set(self.table.group)))
            raise ValueError(f"fitted by {self.by}: ask assumptions_of(...) for one of {groups}")
        return self.assumptions_of("" if self.by is None else str(self.table.group.iloc[0]))

    def assumptions_of(self, group: str) -> Assumptions:
        """The assumptions of one group of a fit by group."""
        lines = self._lines(group)
        found = {}
        for line in lines.itertuples():
            if line.name in Assumptions._fields:
                known = Assumptions._field_defaults[line.name]
                found[line.name] = Assumed(line.value, known.unit, known.meaning, self.about, float(line.spread))
        return self._assume._replace(**found)

    def hardware(self, base: str | Row, name: str | None = None) -> Row:
        """A row of one's own with the fitted figures of that device, usable wherever a name is.

        Parameters
        ----------
        base : str or Row
            The device that was measured.
        name : str, optional
            What the row is called; it is registered under it.
        """
        row = zoo.hardware(base)
        lines = self._lines(row.key)
        fields = {line.name: line.value for line in lines.itertuples() if line.name in Accelerator._fields}
        own = {line.name: line for line in lines.itertuples() if line.name in Assumptions._fields}
        made = zoo.Hardware(row, name=name or f"{row.key} calibrated", **fields)
        assumed = self.assumptions_of(str(lines.group.iloc[0]))
        made.assumed = {n: getattr(assumed, n) for n in own}
        return zoo.register(made) if name else made

    def _lines(self, group: str) -> pd.DataFrame:
        if self.by is None:
            return self.table[self.table.group == ""]
        every = {str(g) for g in self.table.group}
        if group not in every:
            for g in every:
                try:
                    if self.by == "hardware" and zoo.hardware(g).key == group:
                        return self.table[self.table.group == g]
                except ValueError:
                    continue
            raise ValueError(f"{group!r} was not measured; fitted: {', '.join(sorted(every))}")
        return self.table[self.table.group == group]

    def to_toml(self, path: str | os.PathLike) -> Path:
        """Write the figures to a file that `from_toml` reads."""
        lines = ["# figures fitted to measured runs; read by mlsysim.calibration.from_toml", "[calibration]",
                 f"kind = {_quoted(self.kind)}", f"about = {_quoted(self.about)}"]  # fmt: skip
        if self.by is not None:
            lines.append(f"by = {_quoted(self.by)}")
        for row in self.table.to_dict("records"):
            lines += ["", "[[figure]]"]
            for key, value in row.items():
                if isinstance(value, (bool, np.bool_)):
                    lines.append(f"{key} = {str(bool(value)).lower()}")
                elif isinstance(value, str):
                    lines.append(f"{key} = {_quoted(value)}")
                else:
                    lines.append(f"{key} = {_toml_number(float(value))}")
        target = Path(path)
        target.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return target

    @classmethod
    def from_toml(cls, path: str | os.PathLike) -> Calibration:
        """Read what `to_toml` wrote."""
        try:
            with open(path, "rb") as handle:
                text = tomllib.load(handle)
            head, figures = text["calibration"], text["figure"]
            table = pd.DataFrame(figures)
            return cls(table[COLUMNS], head["kind"], head.get("by"), head["about"])
        except FileNotFoundError:
            raise ValueError(f"{path}: there is no such file") from None
        except (tomllib.TOMLDecodeError, KeyError) as error:
            raise ValueError(f"{Path(path).name}: no figures of a calibration ({error})") from None

    def plot(self, ax: Any = None, held_out: bool = False) -> Any:
        """Predicted against measured, one mark a figure (needs matplotlib)."""
        from mlsysim.calibration.parity import parity

        shown = self.held_out if held_out else self.fitted
        if shown is None:
            raise ValueError("nothing to draw: figures read from a file come without runs")
        return parity(shown, ax)

    def __repr__(self) -> str:
        lines = [f"<calibration of {self.kind}: {len(self.table)} figures>"]
        for row in self.table.itertuples():
            where = f" [{row.group}]" if row.group else ""
            mark = "" if row.identified else f"  not identified: {row.why}"
            lines.append(f"  {row.name}{where} = {row.value:.4g} ({row.low:.4g} to {row.high:.4g}; "
                         f"default {row.default:.4g}){mark}")
        for name, result in (("before", self.before), ("fitted", self.fitted), ("held out", self.held_out)):
            if result is not None:
                lines.append(f"  {name}: {result!r}")
        return "\n".join(lines)


COLUMNS = ["name", "group", "value", "default", "low", "high", "spread", "identified", "why", "unit"]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def _toml_number(value: float) -> str:
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf") if math.isinf(value) else repr(value)


# --- calibrate -------------------------------------------------------------------------------------------------


def calibrate(resolver: Any, runs: pd.DataFrame | str | os.PathLike, fit: Sequence[str] | None = None, by: str | None = None,
              loss: str = "soft_l1", holdout: str | Sequence[str] | float | None = "source", prior: float | None = None,
              assume: Assumptions | None = None, refit: bool = False, bootstrap: int = 40, seed: int = 0,
              progress: Callable[[int, int], None] | None = None) -> Calibration:  # fmt: skip
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
    holdout : "source", sequence of str, float or None
        Which runs to predict without having fitted them: each source in turn (where there are three), the sources named,
        or a random share of the rows.
    prior : float, optional
        Keep figures near their defaults: a pull as strong as if the default were known to `prior` times its stated spread.
    assume : Assumptions, optional
        Where to start from.
    refit : bool
        Fit anew, too, what frameworks do by figures that were read off published runs (`fitted` in the zoo's frameworks
        table); such a figure is forgotten where the runs that showed it are left out.
    bootstrap : int
        Resamplings (of sources, or of the rows of a single one) behind the intervals; 0 takes them from the covariance.
    seed : int

    Returns
    -------
    Calibration

    Notes
    -----
    Every source weighs the same, whatever its number of rows.  Intervals hold 95 %; a figure is *not identified* when its
    standard error exceeds a factor of 1.5 or when it moves the predictions as another one does.
    """
    data = read(runs)
    _matches(resolver, data.kind)
    names = list(fit) if fit is not None else _usual(data, by)
    for name in names:
        if name not in Assumptions._fields and name not in Accelerator._fields:
            from mlsysim.engine.check import nearest

            near = nearest(name, [*Assumptions._fields, *Accelerator._fields])
            raise ValueError(f"fit: {name!r} is no assumption and no figure of hardware{near}")
    if not names:
        raise ValueError("fit=[]: name at least one figure")
    moving = [*names, *(n for n in _read_off(refit) if n not in names)]
    problem = Problem(data, assume, fixed=changed(assume), moving=moving)
    chosen = problem.chosen()
    system = _System(problem, names, by, chosen, refit)
    if not system.good.any():
        why = "; ".join(dict.fromkeys(problem.refused.values())) or "nothing that is predicted was measured"
        raise ValueError(f"no run to fit: {why}")
    if int(system.good.sum()) < len(system.knobs):
        raise ValueError(f"{int(system.good.sum())} measured figures cannot fix {len(system.knobs)} parameters: "
                         "fit fewer, or without by=")
    pull = _prior(system.knobs, prior, problem.assume)
    best = _solve(system, system.weights(system.good), loss, pull)
    before = predictions(problem)
    if by is None:  # what sources leave blank is filled again, with the fitted figures
        for _ in range(ROUNDS):
            moved = Problem(data, _moved(problem.assume, system.knobs, best.x, "fit"), fixed=changed(assume), moving=moving)
            again = moved.chosen()
            if all(np.array_equal(a, b) for a, b in zip(again, chosen)):
                break
            chosen = again
            system = _System(problem, names, by, chosen, refit)
            best = _solve(system, system.weights(system.good), loss, pull, best.x)
        before = _with(problem, system, np.zeros(len(system.knobs)), before)
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
    fitted = _with(problem, system, best.x, before)
    held = _held_out(problem, system, holdout, loss, pull, best.x, before, seed, progress)
    return Calibration(table, data.kind, by, about, fitted, before, held, assume)


def _moved(assume: Assumptions, knobs: Sequence[Knob], x: np.ndarray, about: str) -> Assumptions:
    """Assumptions with the knobs turned."""
    found = {}
    for knob, at in zip(knobs, x):
        if knob.name in Assumptions._fields and not knob.own:
            known = Assumptions._field_defaults[knob.name]
            found[knob.name] = Assumed(knob.default * math.exp(at), known.unit, known.meaning, about, known.spread)
    return assume._replace(**found)


def _matches(resolver: Any, kind: str) -> None:
    name = getattr(resolver, "name", None)
    if resolver is None:
        return
    expected = {"training": ("DistributedModel",), "serving": ("ServingModel", "ContinuousBatchingModel")}[kind]
    if name not in expected:
        raise ValueError(f"{kind} runs calibrate {' or '.join(expected)}, not {name or resolver!r}")


def _usual(data: Runs, by: str | None) -> list[str]:
    groups = max(len(set(_groups(data, by))), 1)
    usual = USUAL[data.kind]
    rows = int((data.table.suspect != 1).sum()) if "suspect" in data.table else len(data.table)
    return list(usual) if rows >= FEW * len(usual) * groups else [LEVEL[data.kind]]


def _prior(knobs: Sequence[Knob], prior: float | None, assume: Assumptions) -> np.ndarray:
    if prior is None:
        return np.full(len(knobs), np.inf)
    spreads = [float(getattr(getattr(assume, k.name, 0.0), "spread", 0.2)) or 0.2 for k in knobs]
    return prior * np.array(spreads)


def _resampled(system: _System, loss: str, pull: np.ndarray, at: np.ndarray, n: int, seed: int) -> np.ndarray:
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
        found.append(_solve(system, base * count[full], loss, pull, at, rough=True).x)
    return np.array(found)


def _described(system: _System, best: _Solution, spread: np.ndarray, lows: np.ndarray, highs: np.ndarray) -> pd.DataFrame:
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
        unit = Assumptions._field_defaults[knob.name].unit if knob.name in Assumptions._fields else VARIABLES[knob.name].unit
        factor = np.exp(np.clip([best.x[i], lows[i], highs[i]], -40.0, 40.0))
        lines.append({
            "name": knob.name, "group": knob.group, "value": knob.default * factor[0], "default": knob.default,
            "low": knob.default * factor[1], "high": knob.default * factor[2], "spread": float(min(spread[i], 40.0)),
            "identified": not why, "why": why, "unit": unit,
        })  # fmt: skip
    return pd.DataFrame(lines, columns=COLUMNS)


def _with(problem: Problem, system: _System, x: np.ndarray, before: Validation, rows: np.ndarray | None = None) -> Validation:
    """The predictions at some values of the knobs (of some rows only)."""
    residual = system.residuals(x)
    frame = before.rows.copy()
    lines = {(problem.runs.lines[p], t): r for p, t, r in zip(system.positions, system.targets, residual)}
    error = np.array([math.expm1(lines[row, target]) for row, target in zip(frame.row, frame.target)])
    frame["error"], frame["predicted"] = error, frame.measured * (1.0 + error)
    if rows is not None:
        wanted = {(problem.runs.lines[p], t) for p, t in zip(system.positions[rows], system.targets[rows])}
        frame = frame[[key in wanted for key in zip(frame.row, frame.target)]].reset_index(drop=True)
    return Validation(before.kind, before.n_rows, frame, before.refused, before.suspect, before.answered)


def _held_out(problem: Problem, system: _System, holdout: Any, loss: str, pull: np.ndarray, at: np.ndarray, before: Validation,
              seed: int, progress: Callable[[int, int], None] | None) -> Validation | None:  # fmt: skip
    if holdout is None:
        return None
    names = list(dict.fromkeys(system.sources[system.good]))
    folds: list[np.ndarray]
    if isinstance(holdout, str) and holdout == "source":
        if len(names) < 3:
            return None
        folds = [system.sources == name for name in names]
    elif isinstance(holdout, float):
        if not 0.0 < holdout < 1.0:
            raise ValueError(f"holdout={holdout!r}: a share of the rows lies between 0 and 1")
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
        found = _solve(system, system.weights(kept), loss, pull, at, rough=True)
        # a figure that only the left-out rows could fix keeps its default
        depends = np.sqrt(np.maximum(np.diag(found.information), 0.0)) > 1e-6
        x = np.where(depends, found.x, [k.centre for k in system.knobs])
        residual[out] = system.residuals(x)[out]
        if system.refit and (lost := _only_there(system, out)):
            residual[out] = _without(problem, system, x, lost)[out]
    rows = np.isfinite(residual) & system.good
    frame = _with(problem, system, at, before, rows)
    lines = {(problem.runs.lines[p], t): r for p, t, r in zip(system.positions[rows], system.targets[rows], residual[rows])}
    error = np.array([math.expm1(lines[row, target]) for row, target in zip(frame.rows.row, frame.rows.target)])
    frame.rows["error"], frame.rows["predicted"] = error, frame.rows.measured * (1.0 + error)
    return frame


def _only_there(system: _System, out: np.ndarray) -> set[str]:
    """Load generators and features whose settings were read off rows that are left out, and off no other."""
    seen: list[set[str]] = [set(), set()]
    for run in system.problem.kept:
        plain = {key for name, key in run.fitted.items() if name not in Assumptions._fields}
        seen[int(run.position in set(system.positions[out]))] |= plain
    return seen[1] - seen[0]


def _without(problem: Problem, system: _System, x: np.ndarray, lost: set[str]) -> np.ndarray:
    """Residuals where some load generators and features are not known."""
    moving = sorted({k.name for k in system.knobs})
    plain = Problem(problem.runs, problem.assume, moving=moving, without=lost)
    other = _System(plain, system.names, None, plain.chosen(), True)
    at = {(k.name, k.group): value for k, value in zip(system.knobs, x)}
    found = other.residuals(np.array([at.get((k.name, k.group), k.centre) for k in other.knobs]))
    by_key = {(p, t): r for p, t, r in zip(other.positions, other.targets, found)}
    return np.array([by_key.get((p, t), math.nan) for p, t in zip(system.positions, system.targets)])


def read_figures(path: str | os.PathLike) -> Calibration:
    """Figures written by `Calibration.to_toml`."""
    return Calibration.from_toml(path)


def usual(kind: str) -> Mapping[str, float]:
    """What is fitted when nobody says what, with its default."""
    defaults = Assumptions._field_defaults
    return {name: float(defaults[name]) for name in USUAL[kind]}
