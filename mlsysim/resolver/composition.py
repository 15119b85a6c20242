"""Compositions: several resolvers as one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlsysim.resolver.base import Resolver
from mlsysim.schema.variables import ALIASES, VARIABLES

if TYPE_CHECKING:
    from mlsysim.engine.parameters import Parameter


class Wire(NamedTuple):
    """One connection of a composition."""

    stage: str
    input: str
    source: str
    output: str


class Composition(Resolver):
    """Several resolvers as one fused kernel: outputs feed later inputs of their name or of a synonym."""

    def __init__(self, stages: Sequence[Resolver], wire: Mapping[str, str] | None = None, name: str = ""):
        from mlsysim.schema.check import hint, mapping

        self.stages = tuple(stages)
        if not self.stages:
            raise ValueError("compose needs at least one resolver")
        for stage in self.stages:
            if not isinstance(stage, Resolver):
                raise TypeError(f"compose: {stage!r} is no resolver")
            if type(stage).record is Resolver.record:
                raise stage.no_stage("a stage of a composition")
        names = [s.name for s in self.stages]
        for stage_name in names:
            if names.count(stage_name) > 1:
                raise ValueError(f"compose: {stage_name} occurs twice")
        mapping("wire", wire, "{'duration': 'training_time'}")
        if not isinstance(name, str) or not all(isinstance(output, str) for output in (wire or {}).values()):
            raise TypeError("compose: name, and what wire= names, must be text")
        inputs = {n for s in self.stages[1:] for p in s.parameters(s.bound) for n in (p, f"{s.name}.{p}")}
        for key in wire or {}:
            if key not in inputs:
                from mlsysim.schema.check import hint

                raise ValueError(f"wire: no stage after the first has an input {key!r}{hint(key, inputs)}")
        self.wire = dict(wire or {})
        self.name = name or " + ".join(s.name for s in self.stages)
        self.prose = f"{', then '.join(s.name for s in self.stages)}: outputs feed later inputs of their name."
        self.domain = self.stages[-1].domain
        self.walls = tuple(w for s in self.stages for w in s.walls)
        self.bound = {}
        for stage in self.stages:
            self.bound.update(stage.bound)

    def wiring(self, given: Iterable[str] = ()) -> list[Wire]:
        """Which output feeds which input; what the user gave is never wired."""
        given = {ALIASES.get(n, (n, 1.0))[0] for n in {*given, *self.bound}}
        wires: list[Wire] = []
        known: dict[str, str] = {}
        for position, stage in enumerate(self.stages):
            for name, p in stage.parameters(given).items():
                if p.record is not None or name in given or position == 0:
                    continue
                wish = self.wire.get(f"{stage.name}.{name}") or self.wire.get(name)
                accepted = (wish,) if wish else (name, *VARIABLES[name].takes)
                for output in accepted:
                    if output in known:
                        wires.append(Wire(stage.name, name, known[output], output))
                        break
                else:
                    if wish:
                        raise ValueError(
                            f"wire: no stage before {stage.name} gives {wish!r}; known: {', '.join(sorted(known))}"
                        )
            known.update(dict.fromkeys(stage.outputs, stage.name))
        return wires

    def wires(self, given: Iterable[str]) -> list[str] | None:
        return [f"{w.stage}.{w.input} <- {w.source}.{w.output}" for w in self.wiring(given)]

    def parameters(self, given: Iterable[str] = ()) -> dict[str, Parameter]:
        from mlsysim.engine.parameters import REQUIRED

        given = set(given) | set(self.bound)
        wired = {(w.stage, w.input) for w in self.wiring(given)}
        found: dict[str, Parameter] = {}
        for stage in self.stages:
            for name, p in stage.parameters(given).items():
                if (stage.name, name) in wired:
                    continue
                if name not in found or (found[name].default is None and p.default is REQUIRED):
                    found[name] = p
        return found

    def record(self, arguments: Mapping[str, Any], given: Iterable[str]) -> dict[str, Any]:
        given = set(given) | set(self.bound)
        wires = {(w.stage, w.input): w for w in self.wiring(given)}
        results: dict[str, dict[str, Any]] = {}
        merged: dict[str, Any] = {}
        feasible: Any = True
        limits: list[Any] = []
        for stage in self.stages:
            own: dict[str, Any] = {}
            for name, p in stage.parameters(given).items():
                w = wires.get((stage.name, name))
                own[name] = arguments[name] if w is None else results[w.source][w.output]
                if own[name] is None and w is not None and p.default is not None:
                    raise TypeError(
                        f"{stage.name} needs {name}: {w.source} gives {w.output} only when an optional input is "
                        f"given; give {name}=... or that input (tokens=... for training)"
                    )
            outputs = stage.record(own, given)
            for name, value in outputs.items():
                if name in ("feasible", "limit"):
                    continue
                if name in merged and merged[name] is not value:
                    merged[f"{stage.name}.{name}"] = value
                else:
                    merged[name] = value
            if outputs.get("feasible") is not None:
                feasible = feasible & outputs["feasible"]
            if outputs.get("limit") is not None:
                limits.append(outputs["limit"])
            results[stage.name] = outputs
        limit: Any = 0.0
        for value in reversed(limits):
            limit = np.where(value == 0, limit, value)
        return {**merged, "feasible": feasible, "limit": limit}

    def recorded_from(self, given: Iterable[str]) -> tuple[Hashable, tuple[Callable[..., Any], ...]] | None:
        if type(self).record is not Composition.record:
            return None
        given = set(given) | set(self.bound)
        stages = [(stage.name, tuple(stage.parameters(given)), stage.recorded_from(given)) for stage in self.stages]
        key = tuple((name, inputs, found and found[0]) for name, inputs, found in stages)
        if not all(found for _, _, found in stages):
            return None
        return (key, tuple(self.wiring(given))), tuple(f for _, _, found in stages for f in (found[1] if found else ()))

    @property
    def outputs(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for stage in self.stages:
            for name in stage.outputs:
                if name in found and name not in ("feasible", "limit"):
                    found[f"{stage.name}.{name}"] = None
                found[name] = None
        return tuple(found)


def compose(*stages: Resolver, wire: Mapping[str, str] | None = None, name: str = "") -> Composition:
    """Chain resolvers into one kernel: an input takes the latest earlier output of its name or of a synonym.

    Parameters
    ----------
    *stages : Resolver
    wire : mapping, optional
        ``{"duration": "step_time"}`` or ``{"EconomicsModel.duration": "training_time"}`` overrides.
    name : str, optional

    Notes
    -----
    An input that the user binds is never wired.  `feasible` is the conjunction, `limit` the first failing
    stage's; any other output of a name already taken is prefixed by its stage.  ``explain()`` prints the wiring.
    """
    return Composition(stages, wire, name)
