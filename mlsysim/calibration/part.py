"""Measured runs as one recorded call per kind of question: every row, and every way to fill it, at once.

A `Part` is a resolver bound to a table of paired points (the candidates of all rows that ask it), recorded once;
`Part.values` evaluates it at every point, `Part.drawn` with what is uncertain drawn.  What the framework of a row decides differs
from point to point; a fitted assumption moves it in proportion (an overlap that a framework lacks stays 0).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from mlsysim import zoo
from mlsysim.calibration import operations
from mlsysim.engine.draws import Draws, family, spread_of
from mlsysim.engine.graph import reached
from mlsysim.engine.program import Program
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Format
from mlsysim.schema.variables import VARIABLES, field_of

#: targets in the order in which they are told
SPEED = (
    "step_time",
    "memory_per_device",
    "itl",
    "ttft",
    "e2e_latency",
    "tokens_per_s",
    "tokens_per_s_per_device",
    "collective_time",
)
TARGETS = tuple(dict.fromkeys((*SPEED, *operations.TARGETS, "samples_per_s", "energy_per_sample")))


#: what is uncertain in a run: spreads (log) of assumptions and targets, and values that an input or assumption
#: which it leaves open may have had, each as likely, None for the one that is taken
Uncertain = Mapping[str, float | tuple[float | None, ...]]


class Target(NamedTuple):
    """How a target follows from an output at every point: ``factor * output ** power`` (power 1 or -1)."""

    output: str
    factor: np.ndarray
    power: np.ndarray


class Part:
    """The rows that ask one resolver, as points of one recorded call.

    Parameters
    ----------
    resolver : Resolver
    inputs : list of dict
        Inputs by name, one dict a point; what a point lacks takes the resolver's default.
    assumed : list of dict
        Assumptions that differ from the default, one dict a point.
    rows : sequence of int
        Row of the table to which each point belongs; candidates of a row are adjacent.
    targets : list of dict
        Target -> (output, factor, power), one dict a point.
    modes : sequence of int
        How far recomputation goes, for the rule of `training.pick`.
    uncertain : sequence of mappings
        What is uncertain in a run of their framework, one mapping a point (`Uncertain`).
    assume : mapping
        Assumptions of the user's, which go before the framework's.
    """

    def __init__(
        self,
        resolver: Any,
        inputs: list[dict[str, Any]],
        assumed: list[dict[str, float]],
        rows: Sequence[int],
        targets: list[dict[str, tuple[str, float, float]]],
        modes: Sequence[int],
        uncertain: Sequence[Uncertain],
        assume: Assumptions,
        fixed: Iterable[str] = (),
        sample: int | None = None,
        moving: Collection[str] = (),
    ):
        self.resolver, self.rows, self.modes = resolver, np.asarray(rows), np.asarray(modes)
        self.uncertain = uncertain
        self._given = (resolver, inputs, assumed, list(rows), targets, list(modes), uncertain, assume, set(fixed))
        names = list(dict.fromkeys(n for point in inputs for n in point))
        table: dict[str, list[Any]] = {}
        for name in names:
            table[name] = [point[name] if name in point else _default(resolver, name, point) for point in inputs]
        fixed = set(fixed)
        self.assumed: dict[str, np.ndarray] = {}
        for name in dict.fromkeys(n for point in assumed for n in point):
            own, default = float(getattr(assume, name)), float(Assumptions._field_defaults[name])
            ratio = own / default if default and name not in fixed else 1.0
            values = [own if name in fixed or name not in point else point[name] * ratio for point in assumed]
            self.assumed[name] = np.array(values)
            table[name] = values
        scalars = {n: v[0] for n, v in table.items() if n not in ("model", "hardware") and len(set(map(repr, v))) == 1}
        points = {n: v for n, v in table.items() if n not in scalars}
        extra: dict[str, Any] = {} if sample is None else {"sample": sample}
        if sample is not None:
            drawn = dict.fromkeys([*self.assumed, *(n for own in uncertain for n in own if n in Assumptions._fields)])
            for name in [n for n in drawn if n not in fixed]:
                if (spread := self._spread(name, assumed)).any():
                    scalars.pop(name, points.pop(name, None))
                    extra[name] = self._uncertain(name, spread, Draws(sample))
            for name in dict.fromkeys(n for own in uncertain for n, values in own.items() if isinstance(values, tuple)):
                scalars.pop(name, points.pop(name, None))
                usual = float(getattr(assume, name)) if name in Assumptions._fields else None
                stated = np.array(table.get(name, [usual] * len(inputs)), dtype=float)
                taken = extra[name].values if name in extra else np.repeat(stated[:, None], sample, axis=1)
                extra[name] = self._open(name, taken, Draws(sample))
        if "assume" in resolver.parameters():
            extra["assume"] = assume
        self.program = Program(resolver, {"points": points, **scalars, **extra}, moving=moving)
        self.size = len(self.rows)
        self.targets: dict[str, Target] = {}
        for target in TARGETS:
            having = [point.get(target) for point in targets]
            if any(having):
                output = next(h[0] for h in having if h)
                factor = np.array([h[1] if h else math.nan for h in having])
                self.targets[target] = Target(output, factor, np.array([h[2] if h else 1.0 for h in having]))

    def _spread(self, name: str, assumed: Sequence[Mapping[str, float]]) -> np.ndarray:
        """Spread of an assumption at every point: of its framework, none where that documents it, else the default's.

        So the interval of a row is that of the row alone, whatever other rows of its table say.
        """
        usual = spread_of(self._given[-2], name)
        spreads = [own.get(name, 0.0 if name in told else usual) for own, told in zip(self.uncertain, assumed)]
        return np.array([0.0 if isinstance(spread, tuple) else spread for spread in spreads])

    def _uncertain(self, name: str, spread: np.ndarray, draws: Draws) -> xr.DataArray:
        """An assumption at every point, drawn with a spread of the point's own."""
        value = self.assumed.get(name, np.full(len(spread), float(getattr(self._given[-2], name))))
        values = value[:, None] * draws.factor(f"assume.{family(name)}", 1.0) ** spread[:, None]
        if VARIABLES[name].high == 1.0:
            values = np.minimum(values, 1.0)
        axis = ("sample", np.arange(draws.n), {"seed": draws.seed})
        return xr.DataArray(values, {"sample": axis}, dims=("config", "sample"))

    def _open(self, name: str, taken: np.ndarray, draws: Draws) -> xr.DataArray:
        """An input or assumption that some points leave open, at every point and draw: each of its values as often.

        Parameters
        ----------
        taken : what it is where it is not open, and where None stands for it.
        """
        values = taken.copy()
        for point, own in enumerate(self.uncertain):
            if isinstance(may := own.get(name), tuple):
                chosen = np.array([math.nan if v is None else v for v in may])[draws.choice(name, len(may))]
                values[point] = np.where(np.isnan(chosen), taken[point], chosen)
        axis = ("sample", np.arange(draws.n), {"seed": draws.seed})
        return xr.DataArray(values, {"sample": axis}, dims=("config", "sample"))

    def drawn(self, points: np.ndarray, sample: int, seed: int = 0) -> dict[str, np.ndarray]:
        """Targets at some points with what is uncertain drawn: arrays (points, draws).

        The default assumptions are drawn, and those that are uncertain in a run of its framework; what a framework
        documents or the user states is not.
        """
        resolver, inputs, assumed, rows, targets, modes, uncertain, assume, fixed = self._given
        inputs, assumed, rows, targets, modes, uncertain = (
            [given[p] for p in points] for given in (inputs, assumed, rows, targets, modes, uncertain)
        )
        part = Part(resolver, inputs, assumed, rows, targets, modes, uncertain, assume, fixed, sample=sample)
        names = list(dict.fromkeys(t.output for t in part.targets.values()))
        nodes = {name: part.program.output(name) for name in names}
        where = np.repeat(np.arange(len(points)), sample)
        index = {"config": where} if "config" in part.program.axes else {}
        index["sample"] = np.tile(np.arange(sample), len(points))
        index = {d: i for d, i in index.items() if d in part.program.axes}
        values = part.program.at(nodes, index)
        found = {}
        for name, target in part.targets.items():
            grid = np.broadcast_to(values[target.output], (len(where),)).reshape(len(points), sample)
            found[name] = target.factor[:, None] * grid ** target.power[:, None]
            spread = np.array([own.get(name, 0.0) for own in part.uncertain])
            found[name] = found[name] * Draws(sample, seed).factor(name, 1.0) ** spread[:, None]
        return found

    def index(self, points: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Positions of some points along the axes of the recorded call."""
        points = np.arange(self.size) if points is None else points
        return {"config": points} if "config" in self.program.axes else {}

    def values(self, outputs: Sequence[str]) -> dict[str, np.ndarray]:
        """Outputs at every point."""
        nodes = {name: self.program.output(name) for name in outputs}
        return {k: np.broadcast_to(v, (self.size,)) for k, v in self.program.at(nodes, self.index()).items()}

    def hole(self, output: str, point: int) -> str:
        """The first unpublished datum that an output needs at a point, as a sentence; empty if there is none."""
        at = self.index(np.array([point]))
        for node in reached([self.program.output(output)]):
            if node.op == "leaf" and np.isnan(self.program.leaf_at(node, at)).any():
                name = field_of(node.payload)
                meaning = f" ({VARIABLES[name].meaning})" if name in VARIABLES else ""
                return f"{output} needs {name}{meaning}, which is not known"
        return ""


def _default(resolver: Any, name: str, point: Mapping[str, Any]) -> Any:
    """What an input is at a point that does not give it: the resolver's default, or what the format says."""
    if name in Format._fields:
        return getattr(zoo.format_record(point["precision"], point.get("kv_precision")), name)
    return resolver.parameters()[name].default
