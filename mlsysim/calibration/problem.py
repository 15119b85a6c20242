"""A table of measured runs: which rows can be predicted, and the parts that predict them (`mlsysim.calibration.part`)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from mlsysim import zoo
from mlsysim.calibration import (
    checks,
    clusters,
    frameworks,
    networks,
    operations,
    overrides,
    serving,
    streams,
    training,
    vision,
)
from mlsysim.calibration.part import Part, Uncertain
from mlsysim.calibration.rules import GIB, Refused, device, given
from mlsysim.calibration.runs import Runs
from mlsysim.calibration.training_files import HOW
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Limit, label
from mlsysim.zoo.frameworks import spread_of

#: what a row leaves open beside the assumptions, by kind of runs
SPREADS: dict[str, Callable[[Mapping[str, Any]], Uncertain]] = {
    "serving": serving.uncertain,
    "vision": vision.uncertain,
    "cluster": clusters.uncertain,
    "stream": streams.uncertain,
    "network": networks.uncertain,
}
SLOTS = "max_active_requests"  #: requests that a server has room for
CLOSED = ("closed", "cluster")  #: resolvers of clients that have a request each
ENGINES = ("serving", "cluster", "stream")  #: kinds of runs that an engine makes


class Run(NamedTuple):
    """One measured row that can be predicted."""

    position: int  #: in the table
    source: str
    group: str
    measured: dict[str, float]
    fitted: dict[str, str]  #: settings of its framework that were read off published runs, see `frameworks.read_off`
    known: tuple[str, ...]  #: lines of settings that its labels call for
    uncertain: Uncertain  #: see there


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
        self.late: dict[
            int, tuple[float, str]
        ] = {}  # first tokens that only a wait for a slot explains: clients, and why
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
            spreads = operations.SPREADS.get(told.group, {})
            self.kept.append(Run(position, _source(run), told.group, {name: told.measured}, {}, (), spreads))
            targets_ = {name: tuple(spec), **({"step_time": ("step_time", 1.0, 1.0)} if len(told.points) > 1 else {})}
            alike = (told.resolver, f"{name}: {spec[0]}", *sorted({*told.points[0], *told.assumed}))
            questions.setdefault(alike, []).append((told.points, told.assumed, position, targets_, told.modes))
            return
        asked, group = self._question(run)
        if not asked.measured:
            raise Refused("no measured figure")
        source = serving.source(run) if self.runs.kind == "serving" else _source(run)
        by_engine = self.runs.kind in ENGINES and run.get("phase") != streams.SERVICE
        labels = {**run, "engine": streams.engine(run, streams.hardware(run))} if self.runs.kind == "stream" else run
        if asked.resolver in CLOSED and (why := checks.late_first_token(asked.measured, asked.inputs)):
            self.late[position] = asked.inputs["users"], why
        uncertain: Uncertain = {
            **(SPREADS[self.runs.kind](run) if self.runs.kind in SPREADS else {}),
            **_uncertain(asked.fitted, "engine", labels if by_engine else None, self.forgotten),
        }
        self.kept.append(Run(position, source, group, asked.measured, asked.fitted, asked.known, uncertain))
        self._say(position, frameworks.strange(run) if by_engine else "")
        self._say(position, clusters.told(run, asked) if self.runs.kind == "cluster" else "")
        self._say(position, overrides.told(asked.inputs["model"]) if "model" in asked.inputs else "")
        same = (asked.resolver, *(f"{t}: {spec[0]}" for t, spec in sorted(asked.targets.items())))
        questions.setdefault(same, []).append(([asked.inputs], asked.assumed, position, asked.targets, [0]))

    def _question(self, run: dict[str, Any]) -> tuple[serving.Question, str]:
        """A row as one question, and the group that it stands in."""
        if self.runs.kind == "stream":
            return streams.question(run, self.forgotten), streams.group(run)
        if self.runs.kind == "cluster":
            return clusters.question(run, self.forgotten), clusters.group(run)
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
        uncertain = _uncertain(fitted, "trainer", run, self.forgotten)
        self.kept.append(Run(position, _source(run), kind, measured, fitted, known, uncertain))
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
            extra = [n for n in ("limit", "memory_per_device", SLOTS) if n in part.program.outputs]
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
                elif position in self.late and SLOTS in values and values[SLOTS][start] >= self.late[position][0]:
                    self.refused[position] = self.late[position][1]
                    continue
                point = int(start) + best
                self.told[position] = {n: float(values[n][point]) for n in values}
                chosen.append(point)
            found.append(np.array(chosen, dtype=np.intp))
        return found


def _uncertain(
    fitted: Mapping[str, str], kind: str, run: Mapping[str, Any] | None, forgotten: Collection[str]
) -> dict[str, float]:
    """Assumptions and targets that are uncertain for the framework of a run, and how much: what was fitted, who it is."""
    spreads = {name: spread_of(key, name) for name, key in fitted.items() if name in Assumptions._fields}
    if run is not None:
        spreads |= frameworks.between(kind, run, forgotten)
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
    from mlsysim.models.disaggregated_serving import DisaggregatedServingModel
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
        "cluster": DisaggregatedServingModel,
        "sustainability": SustainabilityModel,
        "reliability": ReliabilityModel,
        "checkpoint": CheckpointModel,
        "data": DataModel,
    }[name]
