"""The equations behind a number: calls of a kernel that is recorded, read at one point."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.engine.graph import Node
from mlsysim.engine.recording import anew
from mlsysim.equations.stage import Stage
from mlsysim.resolver import Composition, Model, Resolver
from mlsysim.schema.check import shown
from mlsysim.schema.variables import VARIABLES, field_of
from mlsysim.why import docstrings
from mlsysim.why.equation import Equation, Figure, Trace
from mlsysim.why.expression import Point, exponents, unit_of
from mlsysim.why.observe import Call, observed

if TYPE_CHECKING:
    from mlsysim.engine.program import Program

DEPTH = 3  #: equations inside equations, unless a call says otherwise


def trace(resolver: Resolver, *, output: str | None = None, depth: int = DEPTH, **point: Any) -> Trace:
    """The equations behind the outputs of one configuration, with values, formulas and references.

    Parameters
    ----------
    resolver : Resolver
        A model or a composition.
    output : str, optional
        Only what this output rests on.
    depth : int
        How deep the text goes; `Trace.equations` has all.
    **point
        Inputs, one value each.

    Returns
    -------
    Trace
        Every value is the one that the answer of `solve` rests on, bit for bit.

    Raises
    ------
    TypeError
        A resolver that has no kernel of its own (a solver, an optimizer).
    ValueError
        Several values of an input; an output that is not known.

    Examples
    --------
    >>> import mlsysim as ms
    >>> found = ms.trace(ms.ReliabilityModel, output="failure_probability", fleet="dgx_h100", job_duration="1 day")
    >>> [equation.name for equation in found.equations][:2]
    ['reliability.failure_rate', 'reliability.failure_probability']
    """
    from mlsysim.engine.program import Program
    from mlsysim.schema.check import whole

    if not isinstance(resolver, Resolver):
        raise TypeError(f"trace: {shown(resolver)} is no resolver")
    kernels = {one.kernel.function.__code__: one.kernel for one in _models(resolver)}
    with anew(), observed(kernels) as calls:
        program = Program(resolver, {**resolver.bound, **point})  # recorded once, where it is watched
    if program.n_points > 1:
        several = ", ".join(f"{name} has {size:,}" for name, size in program.sizes.items())
        raise ValueError(f"trace takes one configuration, a value for each input; {several}")
    wanted, _ = program.available(None if output is None else [output])
    return Trace(resolver.name, *_Reading(program, wanted, calls).read(), whole("depth", depth, 0))


def _models(resolver: Resolver) -> list[Model]:
    """The models whose kernels a resolver runs."""
    if isinstance(resolver, Composition):
        return [model for stage in resolver.stages for model in _models(stage)]
    if not isinstance(resolver, Model):
        raise resolver.no_stage("trace")
    return [resolver]


def _nodes(value: Any, name: str = "") -> Iterator[tuple[str, Node]]:
    """The symbols in an argument or a result, each with its name."""
    if isinstance(value, Node):
        yield name, value
    elif isinstance(value, (tuple, list, dict)):
        keys = value if isinstance(value, dict) else getattr(value, "_fields", None)
        for i, part in enumerate(value.values() if isinstance(value, dict) else value):
            inner = f"[{i}]" if keys is None else list(keys)[i]
            yield from _nodes(part, f"{name}.{inner}" if name and keys is not None else f"{name}{inner}")


def _joined(label: str, function: str, key: str) -> str:
    """What a result of an equation is called around it: ``step.time``, ``queue[1]``, or the equation itself."""
    return (
        f"{label}{key.removeprefix(function)}"
        if key == function or key.startswith(f"{function}[")
        else f"{label}.{key}"
    )


class _Reading:
    """Calls of a recorded program, read at its one point."""

    def __init__(self, program: Program, wanted: Mapping[str, Node], calls: list[Call]):
        self.wanted, self.calls = wanted, calls
        nodes = program.graph.nodes
        found = program.at({str(n.index): n for n in nodes}, {})
        self.values = {n.index: found[str(n.index)][0] for n in nodes}
        self.point = Point(self.values)
        self.needed = self.point.behind(wanted.values())
        self.units: dict[int, Any] = {}
        for call in calls:
            self._stated(call)

    def _stated(self, call: Call) -> None:
        """The unit that a docstring states of a result, noted for what is computed from it."""
        for inside in call.inner:
            self._stated(inside)
        result = call.result
        unit = docstrings.unit(inspect.getdoc(type(result) if isinstance(result, tuple) else call.function) or "")
        for _, node in _nodes(result) if unit else ():
            if not unit_of(node, self.units) and node.op != "const":
                self.units[node.index] = exponents(unit)

    def read(self) -> tuple[tuple[Figure, ...], tuple[Equation, ...]]:
        """The outputs, and the equations that the kernels call; of several kernels each with its own."""
        names = {i: name for call in self.calls for i, name in self._names(call).items()}
        outputs = tuple(self.figure(k, n, names, VARIABLES[field_of(k)].unit) for k, n in self.wanted.items())
        kernels = [found for call in self.calls if (found := self.equation(call)) is not None]
        if len(self.calls) == 1:
            return outputs, kernels[0].inner if kernels else ()
        return outputs, tuple(kernels)

    def figure(self, name: str, node: Node, names: Mapping[int, str], unit: str = "") -> Figure:
        """A number with its unit and from what it was computed."""
        told, inside = "", self.point.taken(node)
        if names and not self.point.constant(node) and inside.op != "leaf":
            told = names.get(inside.index, "") if inside is not node else ""
            told = told or self.point.expression(inside, names) or names.get(node.index, "")
        return Figure(name, self.values[node.index], unit or unit_of(inside, self.units), "" if told == name else told)

    def plain(self, value: Any) -> Any:
        """Symbols as their values."""
        if isinstance(value, Node):
            found = self.values[value.index]
            return np.bool_(found) if value.truth else np.float64(found)
        if isinstance(value, (tuple, list)):
            parts = [self.plain(part) for part in value]
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        return {k: self.plain(v) for k, v in value.items()} if isinstance(value, dict) else value

    def given(self, call: Call) -> list[tuple[str, Node]]:
        """The symbols that a call was handed."""
        return [pair for name, value in call.arguments.items() for pair in _nodes(value, name)]

    def made(self, call: Call) -> list[tuple[str, Node]]:
        """What a call returns, is needed, depends on something, and was not handed in as it is."""
        given = {n.index for _, n in self.given(call)}
        found = []
        for name, node in _nodes(call.result):
            inside = self.point.taken(node)
            fresh = inside.index not in given and inside.op != "leaf" and not self.point.constant(node)
            if fresh and node.index in self.needed:
                own = call.function.__name__
                found.append((f"{own}{name}" if not name or name.startswith("[") else name, node))
        return found

    def _names(self, call: Call) -> dict[int, str]:
        """What the nodes are called that a call knows: its arguments, and what the equations inside return."""
        names: dict[int, str] = {}
        for inside, label in self.labels(call):
            for key, node in self.made(inside):
                names.setdefault(node.index, _joined(label, inside.function.__name__, key))
        for name, node in self.given(call):
            if not self.point.constant(node):
                names[node.index] = name
        return names

    def labels(self, call: Call) -> list[tuple[Call, str]]:
        """The calls inside one that matter, each once and with a name of its own."""
        found: dict[Any, tuple[Call, str]] = {}
        count: Counter[str] = Counter()
        for inside in call.inner:
            name = inside.function.__name__
            key = (name, tuple(n.index for _, n in self.made(inside)))
            if key[1] and key not in found:
                count[name] += 1
                found[key] = inside, name if count[name] == 1 else f"{name}_{count[name]}"
        return list(found.values())

    def equation(self, call: Call, label: str = "") -> Equation | None:
        """A call that the wanted outputs rest on."""
        made, given, function = self.made(call), self.given(call), call.function
        if not made:
            return None
        behind = self.point.behind([n for _, n in made], {n.index for _, n in given})
        doc = docstrings.text(function)
        plain = {name for name, value in call.arguments.items() if isinstance(value, Node)}
        names = self._names(call)
        inner = [self.equation(inside, own) for inside, own in self.labels(call)]
        return Equation(
            name=f"{function.__module__.rpartition('.')[2]}.{function.__name__}",
            label=label or function.__name__,
            meaning=docstrings.meaning(doc),
            formula=docstrings.formula(doc),
            reference=docstrings.reference(function),
            arguments=tuple(
                self.figure(name, n, {})
                for name, n in given
                if name in plain or (n.index in behind and not self.point.constant(n))
            ),
            values=tuple(self.figure(k, n, {} if isinstance(function, Stage) else names) for k, n in made),
            inner=tuple(one for one in inner if one is not None),
            function=function,
            inputs={name: self.plain(value) for name, value in call.arguments.items()},
            result=self.plain(call.result),
        )
