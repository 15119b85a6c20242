"""The equations behind a number, with their values and references."""

from __future__ import annotations

import html
import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.engine.graph import Node
from mlsysim.equations.stage import Stage
from mlsysim.resolver import Composition, Model, Resolver
from mlsysim.schema import codes
from mlsysim.schema.check import shown
from mlsysim.schema.variables import VARIABLES, field_of
from mlsysim.sizes import quantity
from mlsysim.why import docstrings
from mlsysim.why.expression import Point, exponents, unit_of
from mlsysim.why.observe import Call, observed

if TYPE_CHECKING:
    import pandas as pd

    from mlsysim.engine.program import Program

DEPTH = 3  #: equations inside equations, unless a call says otherwise
MOST = 12  #: arguments of an equation that its line names


@dataclass(frozen=True)
class Figure:
    """A number of a trace."""

    name: str
    value: Any
    unit: str = ""  #: ``""`` where nobody says
    computed: str = ""  #: from what, at this point, in the names of arguments and of equations inside

    def __str__(self) -> str:
        return f"{self.name} = {self.said}"

    @property
    def said(self) -> str:
        """The value as one speaks of it; an option by its label."""
        variable = VARIABLES.get(field_of(self.name))
        if variable is not None and variable.options is not None and self.value in list(variable.options):
            return codes.label(variable.options(int(self.value)))
        return quantity(self.value, self.unit or "1")


@dataclass(frozen=True)
class Equation:
    """One equation, as it was called."""

    name: str  #: with the module of `mlsysim.equations` that has it
    label: str  #: what expressions of the equation around it call it
    meaning: str
    formula: str  #: as its docstring has it; ``""`` where it has none
    reference: str
    arguments: tuple[Figure, ...]  #: on which the values rest
    values: tuple[Figure, ...]  #: that the outputs asked for rest on
    inner: tuple[Equation, ...]
    function: Callable[..., Any] = field(repr=False)
    inputs: dict[str, Any] = field(repr=False)  #: all arguments as plain numbers and records of them
    result: Any = field(repr=False)  #: what it returned, likewise

    def recomputed(self) -> Any:
        """The equation called again with `inputs`: what `result` is.

        Raises
        ------
        TypeError
            An input is itself a function, recorded around symbols.
        """
        if functions := [name for name, value in self.inputs.items() if callable(value)]:
            raise TypeError(f"{self.name}: {functions[0]} is a function of what was recorded, not a number")
        call = inspect.signature(self.function).bind_partial()
        call.arguments.update(self.inputs)
        with np.errstate(all="ignore"):
            return self.function(*call.args, **call.kwargs)

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Equation]]:
        """This equation and those inside it, each with its depth."""
        yield depth, self
        for equation in self.inner:
            yield from equation.walk(depth + 1)


class Trace:
    """What `trace` answers: ``print`` it, or read `outputs`, `equations` and `table`.

    Attributes
    ----------
    resolver : str
    outputs : dict
        Output -> value, as `solve` gives it.
    figures : tuple of Figure
        The outputs with unit and expression.
    equations : tuple of Equation
        Those that the kernels call, each with the equations inside.
    depth : int
        How deep the text goes.
    """

    def __init__(self, resolver: str, figures: tuple[Figure, ...], equations: tuple[Equation, ...], depth: int):
        self.resolver, self.figures, self.equations, self.depth = resolver, figures, equations, depth

    @property
    def outputs(self) -> dict[str, Any]:
        return {figure.name: figure.value for figure in self.figures}

    @property
    def table(self) -> pd.DataFrame:
        """One row per value of an equation, all depths."""
        import pandas as pd

        rows = [
            {
                "depth": depth,
                "equation": e.name,
                "value_of": f.name,
                "value": f.value,
                "unit": f.unit,
                "computed": f.computed,
                "formula": e.formula,
                "reference": e.reference,
            }
            for top in self.equations
            for depth, e in top.walk()
            for f in e.values
        ]
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"

    def _lines(self) -> Iterator[str]:
        sources: dict[str, int] = {}
        seen: set[tuple[str, str]] = set()
        yield f"{self.resolver}: {', '.join(f.name for f in self.figures[:6])}{' ...' if len(self.figures) > 6 else ''}"
        for figure in self.figures:
            yield f"  {_line(figure)}"
            if (variable := VARIABLES.get(field_of(figure.name))) is not None:
                yield f"      {variable.meaning}"
        for equation in self.equations:
            yield from self._told(equation, 1, sources, seen)
        for text, number in sources.items():
            yield f"[{number}] {text}"

    def _told(self, e: Equation, level: int, sources: dict[str, int], seen: set[tuple[str, str]]) -> Iterator[str]:
        pad = "  " * level
        mark = f" [{sources.setdefault(e.reference, len(sources) + 1)}]" if e.reference else ""
        alias = "" if e.name.endswith(f".{e.label}") else f" ({e.label})"
        yield f"{pad}{e.name}{alias}: {e.meaning}{mark}"
        if e.formula and f"``{e.formula}``" not in e.meaning:
            yield f"{pad}    formula: {e.formula}"
        for figure in e.values:
            yield f"{pad}    {_line(figure)}"
        if (key := (e.name, str(e.inputs))) in seen:
            yield f"{pad}    (as above)"
            return
        seen.add(key)
        if e.arguments:
            more = f" and {len(e.arguments) - MOST} more" if len(e.arguments) > MOST else ""
            yield f"{pad}    with {', '.join(map(str, e.arguments[:MOST]))}{more}"
        if level >= self.depth and e.inner:
            count = sum(1 for _ in e.walk()) - 1
            yield f"{pad}    ({count} more equation{'s' if count > 1 else ''} inside: depth={level + 1})"
            return
        for equation in e.inner:
            yield from self._told(equation, level + 1, sources, seen)


def _line(figure: Figure) -> str:
    return f"{figure.name} = {figure.computed} = {figure.said}" if figure.computed else str(figure)


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
    from mlsysim.schema.check import whole

    if not isinstance(resolver, Resolver):
        raise TypeError(f"trace: {shown(resolver)} is no resolver")
    kernels = {one.kernel.function.__code__: one.kernel for one in _models(resolver)}
    with observed(kernels) as calls:
        program = resolver.program(**point)
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
