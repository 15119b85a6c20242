"""Measured runs as one recorded call per kind of question: every row, and every way to fill it, at once.

A `Part` is a resolver bound to a table of paired points (the candidates of all rows that ask it), recorded once;
`Part.predict` evaluates the targets and picks each row's candidate.  What the framework of a row decides differs
from point to point; a fitted assumption moves it in proportion (an overlap that a framework lacks stays 0).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from mlsysim import zoo
from mlsysim.calibration import checks, frameworks, networks, operations, overrides, serving, streams, training, vision
from mlsysim.calibration.rules import GIB, Refused, device, given
from mlsysim.calibration.runs import Runs
from mlsysim.calibration.training_files import HOW
from mlsysim.engine.draws import Draws
from mlsysim.engine.graph import reached
from mlsysim.engine.program import Program
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Limit, label
from mlsysim.schema.records import Format
from mlsysim.schema.variables import VARIABLES, field_of
from mlsysim.zoo.frameworks import spread_of

#: targets in the order in which they are told
SPEED = ("step_time", "memory_per_device", "itl", "ttft", "tokens_per_s", "collective_time")
TARGETS = tuple(dict.fromkeys((*SPEED, *operations.TARGETS, "samples_per_s", "energy_per_sample")))

ENGINES = ("serving", "stream")  #: kinds of runs that an engine makes


class Run(NamedTuple):
    """One measured row that can be predicted."""

    position: int  #: in the table
    source: str
    group: str
    measured: dict[str, float]
    fitted: dict[str, str]  #: settings of its framework that were read off published runs, see `frameworks.read_off`
    known: tuple[str, ...]  #: lines of settings that its labels call for
    uncertain: dict[str, float] = {}  #: assumptions that are uncertain in a run of its framework, and their spread


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
        Assumptions that are uncertain in a run of their framework, one mapping a point: name -> spread.
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
        uncertain: Sequence[Mapping[str, float]],
        assume: Assumptions,
        fixed: Iterable[str] = (),
        sample: int | None = None,
        moving: Collection[str] = (),
    ):
        self.resolver, self.rows, self.modes = resolver, np.asarray(rows), np.asarray(modes)
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
            for name in {n for spreads in uncertain for n in spreads} - fixed:
                scalars.pop(name, points.pop(name, None))
                extra[name] = self._uncertain(name, uncertain, Draws(sample))
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

    def _uncertain(self, name: str, spreads: Sequence[Mapping[str, float]], draws: Draws) -> xr.DataArray:
        """An assumption at every point, drawn where it is uncertain in a run of its framework."""
        spread = np.array([own.get(name, 0.0) for own in spreads])
        value = self.assumed.get(name, np.full(len(spread), float(getattr(self._given[-2], name))))
        values = value[:, None] * draws.factor(name, 1.0) ** spread[:, None]
        axis = ("sample", np.arange(draws.n), {"seed": draws.seed})
        return xr.DataArray(values, {"sample": axis}, dims=("config", "sample"))

    def drawn(self, points: np.ndarray, sample: int, seed: int = 0) -> dict[str, np.ndarray]:
        """Targets at some points with what is uncertain drawn: arrays (points, draws).

        The default assumptions are drawn, and those that are uncertain in a run of its framework; what a framework
        documents or the user states is not.
        """
        resolver, *each, assume, fixed = self._given
        each = [[given[p] for p in points] for given in each]
        part = Part(resolver, *each, assume, fixed, sample=sample)
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
            if name in operations.SPREADS:
                found[name] = found[name] * Draws(sample, seed).factor(name, operations.SPREADS[name])
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


class Problem:
    """A table of measured runs, bound and recorded.

    Attributes
    ----------
    runs : Runs
    kept : list of Run
        Rows that can be predicted.
    refused : dict
        Position -> why not.
    said : dict
        Position -> what was read otherwise than by its name.
    suspect : list of int
        Positions left out because the table marks them so.
    parts : list of Part
    """

    def __init__(
        self,
        runs: Runs,
        assume: Assumptions | None = None,
        fixed: Iterable[str] = (),
        sample: int | None = None,
        moving: Iterable[str] = (),
        resolver: Any = None,
        forgotten: Collection[str] = (),
    ):
        self.runs, self.forgotten = runs, frozenset(forgotten)
        self.kept: list[Run] = []
        self.refused: dict[int, str] = {}
        self.suspect: list[int] = []
        self.parts: list[Part] = []
        self.assume = assume or Assumptions()
        self.told: dict[int, dict[str, Any]] = {}
        self.said: dict[int, str] = {}  # of rows that are answered, what was read otherwise than by name
        self.options: dict[str, Any] = {"fixed": fixed, "sample": sample, "moving": moving}
        self._models: dict[tuple[Any, ...], zoo.Row] = {}
        self._devices: dict[tuple[Any, ...], zoo.Row] = {}
        questions: dict[
            tuple[str, ...], list[tuple[Any, ...]]
        ] = {}  # by resolver and by the outputs that are asked for
        for position, run in enumerate(runs.table.to_dict("records")):
            if run.get("suspect") == 1:
                self.suspect.append(position)
                continue
            if position in runs.odd:
                self.refused[position] = runs.odd[position]
                continue
            try:
                checks.settings(run)
                self._ask(position, run, questions)
                self._say(position, str(run.get(HOW) or ""))
            except (
                ValueError,
                ArithmeticError,
                TypeError,
                LookupError,
            ) as error:  # nothing that a row holds ends the others
                self.refused[position] = _one_line(error)
        for name, asked in questions.items():
            self._enter(resolver or _resolver(name[0]), asked)

    def _ask(self, position: int, run: dict[str, Any], questions: dict[tuple[str, ...], list[tuple[Any, ...]]]) -> None:
        """Keep a row and put its question beside those that ask the same; a row that cannot be asked raises."""
        if self.runs.kind == "training":
            self._ask_layout(position, run, questions)
            return
        if self.runs.kind == "operations":
            told = operations.question(run)
            name, *spec = told.target
            self.kept.append(Run(position, _source(run), told.group, {name: told.measured}, {}, ()))
            targets_ = {name: tuple(spec), **({"step_time": ("step_time", 1.0, 1.0)} if len(told.points) > 1 else {})}
            alike = (told.resolver, f"{name}: {spec[0]}", *sorted({*told.points[0], *told.assumed}))
            questions.setdefault(alike, []).append((told.points, told.assumed, position, targets_, told.modes))
            return
        asked, group = self._question(run)
        if not asked.measured:
            raise Refused("no measured figure")
        source = serving.source(run) if self.runs.kind == "serving" else _source(run)
        strange = frameworks.strange(run) if self.runs.kind in ENGINES and run.get("phase") != streams.SERVICE else ""
        uncertain = _uncertain(asked.fitted) | ({"serving_level": frameworks.BETWEEN_ENGINES} if strange else {})
        self.kept.append(Run(position, source, group, asked.measured, asked.fitted, asked.known, uncertain))
        self._say(position, strange)
        self._say(position, overrides.told(asked.inputs["model"]) if "model" in asked.inputs else "")
        same = (asked.resolver, *(f"{t}: {spec[0]}" for t, spec in sorted(asked.targets.items())))
        questions.setdefault(same, []).append(([asked.inputs], asked.assumed, position, asked.targets, [0]))

    def _question(self, run: dict[str, Any]) -> tuple[serving.Question, str]:
        """A row as one question, and the group that it stands in."""
        if self.runs.kind == "stream":
            return streams.question(run, self.forgotten), streams.group(run)
        if self.runs.kind == "network":
            return networks.question(run), networks.group(run)
        if self.runs.kind == "vision":
            return vision.question(run), vision.group(run)
        asked = serving.question(run, self.forgotten)
        return asked, serving.group(run, asked.inputs["model"])

    def _ask_layout(
        self, position: int, run: dict[str, Any], questions: dict[tuple[str, ...], list[tuple[Any, ...]]]
    ) -> None:
        """A training run: every layout that it may have had is a point of its question."""
        hardware = self._device(run)
        workload = self._model(run)
        found, setting = frameworks.of_run("trainer", run, (), self.forgotten)
        precision = training.precision(run, hardware)
        candidates = training.candidates(run, workload, setting, found[0]["since"])
        shared = {
            "model": workload,
            "hardware": hardware,
            "precision": int(precision),
            **training.options(setting, hardware),
        }
        time = training.measured(run, workload, hardware, setting, candidates[0].inputs)
        checks.training(run, workload, hardware, candidates[0].inputs, time, self.runs.ambiguous)
        self._say(position, overrides.told(workload))
        measured = {} if math.isnan(time) else {"step_time": time}
        if given(run, "measured_mem_gb") is not None:
            measured["memory_per_device"] = run["measured_mem_gb"] * GIB
        if not measured:
            raise Refused("no measured figure")
        group = "moe" if workload["n_experts"] else "dense"
        fitted = frameworks.read_off(found, frameworks.own_settings(run))
        known = frameworks.known_of(found)
        kind = f"{group}/{precision.name.lower()}"
        self.kept.append(Run(position, _source(run), kind, measured, fitted, known, _uncertain(fitted)))
        targets = {name: (name, 1.0, 1.0) for name in ("step_time", "memory_per_device")}
        inputs = [{**shared, **c.inputs} for c in candidates]
        asked_ = (inputs, training.assumed(setting), position, targets, [c.recompute for c in candidates])
        questions.setdefault(("training",), []).append(asked_)

    def _device(self, run: Mapping[str, Any]) -> zoo.Row:
        """One row object per device, so that equal devices are bound once."""
        key = (run.get("hardware"), run.get("gpu"))
        if key not in self._devices:
            self._devices[key] = device(run)
        return self._devices[key]

    def _model(self, run: Mapping[str, Any]) -> zoo.Row:
        columns = ("model_key", "model", *overrides.FIELDS, "n_params")
        key = tuple(str(run.get(c)) for c in columns)
        if key not in self._models:
            self._models[key] = training.model(run)
        return self._models[key]

    def _say(self, position: int, what: str) -> None:
        """Note that a row was read otherwise than by its names and figures."""
        if what:
            self.said[position] = "; ".join(filter(None, (self.said.get(position), what)))

    def _enter(self, resolver: Any, asked: list[tuple[Any, ...]]) -> None:
        """The rows that ask a resolver as a part; those that it does not take are refused one by one."""
        try:
            self._bind(resolver, asked)
        except (ValueError, ArithmeticError) as error:
            if len(asked) == 1:
                self.refused[asked[0][2]] = _one_line(error)
                return
            middle = len(asked) // 2
            self._enter(resolver, asked[:middle])
            self._enter(resolver, asked[middle:])

    def _bind(self, resolver: Any, asked: list[tuple[Any, ...]]) -> None:
        inputs, assumed, rows, targets, modes, uncertain = [], [], [], [], [], []
        known = {run.position: run.uncertain for run in self.kept}
        for points, own, position, wanted, recompute in asked:
            for point, mode in zip(points, recompute):
                inputs.append(point)
                assumed.append(own)
                rows.append(position)
                targets.append(wanted)
                modes.append(mode)
                uncertain.append(known[position])
        self.parts.append(Part(resolver, inputs, assumed, rows, targets, modes, uncertain, self.assume, **self.options))

    def chosen(self) -> list[np.ndarray]:
        """For every part, the point of each row that the rules take; rows without one are refused."""
        found = []
        for part in self.parts:
            chosen = []
            named = list(dict.fromkeys(t.output for t in part.targets.values()))
            extra = [n for n in ("limit", "memory_per_device") if n in part.program.outputs]
            values = part.values([*named, *(n for n in extra if n not in named)])
            starts = np.flatnonzero(np.r_[True, part.rows[1:] != part.rows[:-1]])
            for start, end in zip(starts, [*starts[1:], part.size]):
                position = int(part.rows[start])
                best = 0
                if "step_time" in named:  # layouts: the rules of training runs take one
                    here = slice(start, end)
                    time, limit, memory = (values[n][here] for n in ("step_time", "limit", "memory_per_device"))
                    taken = training.pick(time, limit, memory, part.modes[here])
                    if taken is None:
                        self.refused[position] = _why(int(limit[0]))
                        continue
                    best = taken
                elif "limit" in values and int(values["limit"][start]) == int(Limit.SHAPE):
                    self.refused[position] = _why(int(Limit.SHAPE))
                    continue
                point = start + best
                self.told[position] = {n: float(values[n][point]) for n in values}
                chosen.append(point)
            found.append(np.array(chosen, dtype=np.intp))
        return found


def _uncertain(fitted: Mapping[str, str]) -> dict[str, float]:
    """Assumptions that a framework sets by what was read off published runs, and how uncertain each is."""
    spreads = {name: spread_of(key, name) for name, key in fitted.items() if name in Assumptions._fields}
    return {name: spread for name, spread in spreads.items() if spread}


def _source(run: Mapping[str, Any]) -> str:
    """Where a row was read."""
    return str(given(run, "source_id", "source") or "?")


def _one_line(error: BaseException) -> str:
    """What an error says, in one line that can be read: of a word that fills it only the beginning."""
    return re.sub(r"\S{60,}", lambda word: f"{word[0][:40]}...", " ".join(str(error).split()))


def _why(limit: int) -> str:
    reasons = {
        int(Limit.SHAPE): "the layout is impossible: degrees must divide heads, layers, sequence and batch",
        int(Limit.CAPABILITY): "the device does not compute in this precision",
    }
    return reasons.get(limit, f"not possible ({label(Limit(limit))})")


def _resolver(name: str) -> Any:
    from mlsysim.models.checkpoint import CheckpointModel
    from mlsysim.models.continuous_batching import ContinuousBatchingModel
    from mlsysim.models.data import DataModel
    from mlsysim.models.distributed import DistributedModel
    from mlsysim.models.reliability import ReliabilityModel
    from mlsysim.models.serving import ServingModel
    from mlsysim.models.single_node import SingleNodeModel
    from mlsysim.models.sustainability import SustainabilityModel
    from mlsysim.models.topology import TopologyModel
    from mlsysim.models.weight_streaming import WeightStreamingModel

    return {
        "pass": SingleNodeModel,
        "resident": WeightStreamingModel,
        "training": DistributedModel,
        "network": TopologyModel,
        "serving": ServingModel,
        "closed": ContinuousBatchingModel,
        "saturated": ContinuousBatchingModel,
        "sustainability": SustainabilityModel,
        "reliability": ReliabilityModel,
        "checkpoint": CheckpointModel,
        "data": DataModel,
    }[name]
