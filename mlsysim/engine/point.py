"""One point: a recorded graph as a plain function of numbers.

NumPy takes a microsecond for an operation on one number, Python's own arithmetic thirty nanoseconds: so the graph is
written once as Python's lines.  They do what the plain plan does, to the last bit: a division by zero gives infinity or
NaN and raises nothing.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from mlsysim.engine import staged
from mlsysim.engine.elementary import NAMES, NUMBERS
from mlsysim.engine.graph import Node, reached
from mlsysim.engine.interpret import Steps
from mlsysim.engine.lines import INFIX


def _over_zero(a: float, b: float) -> float:
    """``a / b`` for a `b` that is zero."""
    if a == 0.0 or a != a:
        return math.nan
    return math.copysign(math.inf, a) * math.copysign(1.0, b)


def _rounded(how: Callable[[float], int]) -> Callable[[float], float]:
    """A function that rounds, with signed zeros, infinity and NaN."""
    return lambda x: math.copysign(how(x), x) if x - x == 0.0 else x


_SCOPE: dict[str, Any] = {
    "nan": math.nan,
    "inf": math.inf,
    "root": math.sqrt,
    "over_zero": _over_zero,
    "floor": _rounded(math.floor),
    "ceil": _rounded(math.ceil),
    "rint": _rounded(round),
    **NUMBERS,
}


class Lines:
    """The lines of a function that computes some nodes from others.

    Parameters
    ----------
    nodes : sequence of Node
        What to compute, in computable order.
    known : collection of int
        Nodes that are given; they and constants take no line.
    called : mapping of int to str, optional
        What to write for some nodes in place of a variable: a number, or the name of another.
    stage : callable, optional
        Gives the function of numbers that a stage is.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        known: Collection[int],
        called: Mapping[int, str] | None = None,
        stage: Callable[[Any], Callable[..., Any]] = staged.one,
    ):
        self.scope = dict(_SCOPE)
        self.text: list[str] = []
        self.called = called or {}
        self._stages: dict[tuple[Any, ...], str] = {}
        self._stage_at = stage
        for node in nodes:
            if node.index not in known and node.index not in self.called and node.op != "const":
                self.text.append(f"{self.name(node)} = {self.expression(node)}")

    def name(self, node: Node) -> str:
        """How a node is called in the lines."""
        return self.called.get(node.index) or (f"x{node.index}" if node.op != "const" else repr(node.payload))

    def expression(self, node: Node) -> str:
        """What stands on the right side of the line of a node."""
        op, names = node.op, [self.name(a) for a in node.args]
        a, b = (*names, "", "")[:2]
        if op in INFIX and op != "div":
            return f"{a} {INFIX[op]} {b}"
        if op == "where":
            return f"{b} if {a} else {names[2]}"
        if op in ("min", "max"):
            return f"{a} if {a} {'<' if op == 'min' else '>'} {b} or {a} != {a} else {b}"
        plain = {"neg": f"-{a}", "not": f"not {a}", "float": f"1.0 if {a} else 0.0", "abs": f"abs({a})"}
        return plain.get(op) or self.special(node, names)

    def special(self, node: Node, names: Sequence[str]) -> str:
        """An operation that Python and a compiler write differently."""
        a, b = (*names, "")[:2]
        if node.op == "div":
            return f"{a} / {b} if {b} else over_zero({a}, {b})"
        if node.op == "sqrt":
            return f"root({a}) if {a} >= 0.0 else nan"
        if node.op == "stage":
            return self._stage(node)
        return f"{node.op}({', '.join(names)})"

    def _stage(self, node: Node) -> str:
        stage, which = node.payload
        key = (id(stage), tuple(a.index for a in node.args))
        if key not in self._stages:
            name = self._stages[key] = f"s{len(self._stages)}"
            self.scope[f"{name}_at"] = self._stage_at(stage)
            self.text.append(f"{name} = {name}_at({', '.join(map(self.name, node.args))})")
        return f"{self._stages[key]}[{which}]"

    def function(self, given: Sequence[Node], wanted: Sequence[Node], title: str = "point") -> Callable[..., Any]:
        """The function: a sequence of the values of `given` to a tuple of those of `wanted`."""
        unpacked = [f"({', '.join(self.name(n) for n in given)},) = given"] if given else []
        found = f"return ({''.join(self.name(n) + ', ' for n in wanted)})"
        return self.made([f"def {title}(given):", *unpacked, *self.text, found], title)

    def made(self, lines: Sequence[str], title: str) -> Callable[..., Any]:
        """The function of some lines, of which the first is its head."""
        exec(compile("\n    ".join(lines), f"<{title}>", "exec"), self.scope)
        found: Callable[..., Any] = self.scope[title]
        return found


class CompiledLines(Lines):
    """The same lines as numba compiles them: what an operation gives for zero, infinity and NaN is the processor's."""

    def expression(self, node: Node) -> str:
        names = [self.name(a) for a in node.args]
        if node.op == "where":  # both sides are known: no branch, which is quicker to run and to compile
            return f"select({', '.join(names)})"
        if node.op in ("min", "max"):
            a, b = names
            return f"select(({a} {'<' if node.op == 'min' else '>'} {b}) | ({a} != {a}), {a}, {b})"
        return super().expression(node)

    def special(self, node: Node, names: Sequence[str]) -> str:
        if node.op == "div":
            return f"{names[0]} / {names[1]}"
        if node.op in NAMES:
            return f"{NAMES[node.op].__name__}({', '.join(names)})"
        return f"{'math' if node.op == 'sqrt' else 'np'}.{node.op}({names[0]})"


class Asked:
    """Some nodes of a graph, evaluated at paired points: many by NumPy, a few by a function of numbers.

    Writing that function takes as long as evaluating a few hundred points with it: it is written for who asks again.

    Parameters
    ----------
    wanted : sequence of Node
    """

    def __init__(self, wanted: Sequence[Node]):
        self.wanted = list(wanted)
        self.nodes = reached(self.wanted)
        self.leaves = [n for n in self.nodes if n.op == "leaf"]
        self._again = False

    @functools.cached_property
    def steps(self) -> Steps:
        return Steps(self.nodes, {n.index for n in self.leaves}, self.wanted)

    @functools.cached_property
    def function(self) -> Callable[..., tuple[float | bool, ...]]:
        return Lines(self.nodes, {n.index for n in self.leaves}).function(self.leaves, self.wanted)

    def one(self, values: Sequence[float]) -> tuple[float | bool, ...]:
        """What is wanted at one point, from the values of `leaves` there."""
        if not self._again:
            self._again = True
            found = self.many(list(map(np.asarray, values)))
            return tuple(array.item() for array in found)
        with np.errstate(all="ignore"):
            return self.function(values)

    def many(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What is wanted at several points, from the values of `leaves` there."""
        found = self.steps.take({n.index: value for n, value in zip(self.leaves, values)})
        return [found[n.index] for n in self.wanted]
