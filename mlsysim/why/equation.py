"""What a trace tells: figures, the equations that made them, and the whole as text and table."""

from __future__ import annotations

import html
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.schema import codes
from mlsysim.schema.variables import VARIABLES, field_of
from mlsysim.sizes import quantity

if TYPE_CHECKING:
    import pandas as pd

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
        """The equation called again with `inputs`: what `result` is, but for the last digit of exponentials and logarithms,
        which are NumPy's here.

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
