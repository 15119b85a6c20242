"""Recording a kernel: what it computes, as a graph of IEEE double operations.

The engine calls a kernel once with `Node` objects in place of numbers.  Every operation is entered in a
`Graph`, where equal expressions are one node, constants are folded and neutral elements vanish, so that
what an option switches off (no experts, no pipeline, one schedule) is gone before anything is planned.
Folding uses only identities that are exact for IEEE doubles: all plans give the same bits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NoReturn

import numpy as np

from mlsysim.engine.arrays import FUNCTIONS

#: NumPy's name of an operation -> (ours, does it give a truth value)
UFUNCS: dict[str, tuple[str, bool]] = {
    "add": ("add", False),
    "subtract": ("sub", False),
    "multiply": ("mul", False),
    "divide": ("div", False),
    "negative": ("neg", False),
    "minimum": ("min", False),
    "maximum": ("max", False),
    "fmin": ("min", False),
    "fmax": ("max", False),
    "sqrt": ("sqrt", False),
    "absolute": ("abs", False),
    "fabs": ("abs", False),
    "exp": ("exp", False),
    "log": ("log", False),
    "expm1": ("expm1", False),
    "log1p": ("log1p", False),
    "power": ("pow", False),
    "float_power": ("pow", False),
    "floor": ("floor", False),
    "ceil": ("ceil", False),
    "rint": ("rint", False),
    "less": ("lt", True),
    "less_equal": ("le", True),
    "greater": ("gt", True),
    "greater_equal": ("ge", True),
    "equal": ("eq", True),
    "not_equal": ("ne", True),
    "logical_and": ("and", True),
    "logical_or": ("or", True),
    "logical_not": ("not", True),
    "bitwise_and": ("and", True),
    "bitwise_or": ("or", True),
    "invert": ("not", True),
}

#: How each operation is done with NumPy, and (in the nest) with a line of Python that numba compiles.
NUMPY: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
    "min": np.minimum,
    "max": np.maximum,
    "sqrt": np.sqrt,
    "abs": np.abs,
    **FUNCTIONS,
    "floor": np.floor,
    "ceil": np.ceil,
    "rint": np.rint,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "where": np.where,
    "float": np.float64,
}

_INDEX = attrgetter("index")
_LOGICAL = {"and", "or", "not"}
_COMMUTES = {"add", "mul", "min", "max", "eq", "ne", "and", "or"}
_POWERS: dict[float, Callable[[Any], Any]] = {
    1.0: lambda x: x,
    2.0: lambda x: x * x,
    0.5: np.sqrt,
    -1.0: lambda x: 1.0 / x,
}


class Node:
    """One value of a recorded kernel; behaves as a number under NumPy's vocabulary."""

    __slots__ = ("args", "graph", "index", "op", "payload", "truth")
    __array_priority__ = 1000

    def __init__(self, graph: Graph, index: int, op: str, args: tuple[Node, ...], truth: bool, payload: Any):
        self.graph, self.index, self.op, self.args, self.truth, self.payload = graph, index, op, args, truth, payload

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        inside = self.payload if self.op in ("const", "leaf") else ", ".join(f"#{a.index}" for a in self.args)
        return f"#{self.index}={self.op}({inside})"

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a kernel branches on a value that varies over the grid: write np.where(condition, a, b), "
            "and & | ~ for and, or, not; a loop of varying length belongs in a @stage"
        )

    def __float__(self) -> NoReturn:
        raise TypeError("a kernel turns a value that varies over the grid into a plain number: use NumPy functions")

    __int__ = __index__ = __iter__ = __float__

    def __floordiv__(self, other: Any) -> NoReturn:
        raise TypeError(
            "// and % are not recorded: mlsysim.equations.counting has floor_div, ceil_div and divides, which "
            "round as they should"
        )

    __rfloordiv__ = __mod__ = __rmod__ = __floordiv__

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Node:
        if method != "__call__" or kwargs or ufunc.__name__ not in UFUNCS:
            raise TypeError(
                f"np.{ufunc.__name__} is not recorded; a kernel may use np.where and {', '.join(sorted(UFUNCS))}"
            )
        op, truth = UFUNCS[ufunc.__name__]
        return self.graph.apply(op, inputs, truth)

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        if func is np.where and len(args) == 3 and not kwargs:
            return self.graph.apply("where", args, False)
        return NotImplemented

    def __stage__(self, stage: Any, args: Iterable[Any]) -> Node | tuple[Node, ...]:
        return self.graph.stage(stage, args)

    def __add__(self, other: Any) -> Node:
        return self.graph.apply("add", (self, other))

    def __radd__(self, other: Any) -> Node:
        return self.graph.apply("add", (other, self))

    def __sub__(self, other: Any) -> Node:
        return self.graph.apply("sub", (self, other))

    def __rsub__(self, other: Any) -> Node:
        return self.graph.apply("sub", (other, self))

    def __mul__(self, other: Any) -> Node:
        return self.graph.apply("mul", (self, other))

    def __rmul__(self, other: Any) -> Node:
        return self.graph.apply("mul", (other, self))

    def __truediv__(self, other: Any) -> Node:
        return self.graph.apply("div", (self, other))

    def __rtruediv__(self, other: Any) -> Node:
        return self.graph.apply("div", (other, self))

    def __pow__(self, other: Any) -> Node:
        return self.graph.apply("pow", (self, other))

    def __rpow__(self, other: Any) -> Node:
        return self.graph.apply("pow", (other, self))

    def __neg__(self) -> Node:
        return self.graph.apply("neg", (self,))

    def __abs__(self) -> Node:
        return self.graph.apply("abs", (self,))

    def __lt__(self, other: Any) -> Node:
        return self.graph.apply("lt", (self, other), True)

    def __le__(self, other: Any) -> Node:
        return self.graph.apply("le", (self, other), True)

    def __gt__(self, other: Any) -> Node:
        return self.graph.apply("gt", (self, other), True)

    def __ge__(self, other: Any) -> Node:
        return self.graph.apply("ge", (self, other), True)

    def __eq__(self, other: Any) -> Node:  # type: ignore[override]
        return self.graph.apply("eq", (self, other), True)

    def __ne__(self, other: Any) -> Node:  # type: ignore[override]
        return self.graph.apply("ne", (self, other), True)

    def __and__(self, other: Any) -> Node:
        return self.graph.apply("and", (self, other), True)

    __rand__ = __and__

    def __or__(self, other: Any) -> Node:
        return self.graph.apply("or", (self, other), True)

    __ror__ = __or__

    def __invert__(self) -> Node:
        return self.graph.apply("not", (self,), True)


class Graph:
    """Nodes in the order in which they can be computed."""

    def __init__(self) -> None:
        self.entered: list[Node] = []
        self.first = 0  #: number of the first of them
        self._known: dict[tuple[Any, ...], Node] = {}
        self._lifted: dict[tuple[type, Any], Node] = {}  #: what `lift` made of a number
        self._applied: dict[tuple[Any, ...], Node] = {}  #: what `apply` made of an operation and its arguments
        self.frozen = False  #: is it kept, and read by several calls?

    def freeze(self) -> None:
        """Let nothing be entered any more: whoever goes on does so in a branch (see `mlsysim.engine.branch`)."""
        self.frozen = True
        self._applied.clear()
        self._lifted.clear()

    def _enter(self, op: str, args: tuple[Node, ...], truth: bool, payload: Any = None, key: Any = None) -> Node:
        identity = (op, tuple(map(_INDEX, args)), key if key is not None else payload)
        node = self._known.get(identity)
        if node is None:
            if self.frozen:
                raise RuntimeError("a recording that is kept would change: enter nodes in a branch of it")
            node = Node(self, self.first + len(self.entered), op, args, truth, payload)
            self.entered.append(node)
            self._known[identity] = node
        return node

    def known(self, op: str, args: tuple[Node, ...], key: Any) -> Node | None:
        """The node of an operation, where it is entered already."""
        return self._known.get((op, tuple(map(_INDEX, args)), key))

    @property
    def nodes(self) -> list[Node]:
        """All nodes, by number."""
        return self.since(0)

    def since(self, first: int) -> list[Node]:
        """The nodes from a number on."""
        return self.entered[first:]

    def constant(self, value: Any) -> Node:
        """A number or truth value that is the same everywhere."""
        truth = isinstance(value, (bool, np.bool_))
        value = bool(value) if truth else float(value)
        return self._enter("const", (), truth, value, key=(truth, repr(value)))

    def leaf(self, name: str) -> Node:
        """An input, by name."""
        return self._enter("leaf", (), False, name)

    def lift(self, value: Any) -> Node:
        """`value` as a node of this graph."""
        if isinstance(value, Node):
            return value
        if isinstance(value, np.ndarray):
            if value.ndim:
                raise TypeError("a kernel may hold numbers, not arrays: arrays are inputs")
            value = value[()]
        if not value:  # 0.0 and -0.0 are equal, and differ
            return self.constant(value)
        key = (type(value), value)
        known = self._lifted.get(key)
        if known is None:
            known = self._lifted[key] = self.constant(value)
        return known

    def as_truth(self, node: Node) -> Node:
        return node if node.truth else self.apply("ne", (node, 0.0), True)

    def as_number(self, node: Node) -> Node:
        if not node.truth:
            return node
        return self.constant(float(node.payload)) if node.op == "const" else self._enter("float", (node,), False)

    def apply(self, op: str, args: Sequence[Any], truth: bool = False) -> Node:
        """Enter an operation, folded where its outcome is known.

        A kernel states most operations several times (a step for one batch after another): those are looked up.
        """
        if len(args) == 2:  # as most have: in so many words, as this is where recording spends its time
            a, b = args
            nodes = [a if type(a) is Node else self.lift(a), b if type(b) is Node else self.lift(b)]
            key: tuple[Any, ...] = (op, nodes[0].index, nodes[1].index)
        else:
            nodes = [a if type(a) is Node else self.lift(a) for a in args]
            key = (op, *map(_INDEX, nodes))
        known = self._applied.get(key)
        if known is None:
            known = self._applied[key] = self._apply(op, nodes, truth)
        return known

    def _apply(self, op: str, nodes: list[Node], truth: bool) -> Node:
        if op in _LOGICAL:
            nodes = [self.as_truth(n) for n in nodes]
        elif op == "where":
            nodes[0] = self.as_truth(nodes[0])
            truth = nodes[1].truth and nodes[2].truth
            if not truth:
                nodes[1:] = [self.as_number(n) for n in nodes[1:]]
        else:
            nodes = [self.as_number(n) for n in nodes]
        known = self._fold(op, nodes)
        if known is not None:
            return known
        if op in _COMMUTES and nodes[0].index > nodes[1].index:
            nodes.reverse()
        return self._enter(op, tuple(nodes), truth)

    def stage(self, stage: Any, args: Iterable[Any]) -> Node | tuple[Node, ...]:
        """Enter a function with loops (see `mlsysim.equations.stage`)."""
        nodes = tuple(self.as_number(self.lift(a)) for a in args)
        found = tuple(self.staged((stage, k), nodes) for k in range(stage.outputs))
        return found[0] if stage.outputs == 1 else found

    def staged(self, payload: tuple[Any, int], nodes: Iterable[Node]) -> Node:
        """Enter an output of a stage: which, and of what."""
        return self._enter("stage", tuple(nodes), False, payload, key=(id(payload[0]), payload[1]))

    def _fold(self, op: str, n: list[Node]) -> Node | None:
        """The node that this operation equals, bit for bit, if there is one already."""
        const = [a.op == "const" for a in n]
        if False not in const:
            with np.errstate(all="ignore"):
                return self.constant(NUMPY[op](*(a.payload if a.truth else np.float64(a.payload) for a in n))[()])
        if op == "where":
            if const[0]:
                return n[1] if n[0].payload else n[2]
            if n[1].index == n[2].index:
                return n[1]
            return None
        if op in ("and", "or"):
            for this, other in ((0, 1), (1, 0)):
                if const[this]:
                    return n[other] if n[this].payload == (op == "and") else self.constant(op == "or")
            return n[0] if n[0].index == n[1].index else None
        if op == "not":
            return n[0].args[0] if n[0].op == "not" else None
        if op in ("min", "max"):
            return n[0] if n[0].index == n[1].index else None
        if op == "pow" and const[1]:
            simple = _POWERS.get(n[1].payload)
            return simple(n[0]) if simple else None
        neutral = {"add": 0.0, "sub": 0.0, "mul": 1.0, "div": 1.0}.get(op)
        if neutral is not None:
            if const[1] and n[1].payload == neutral:
                return n[0]
            if op in ("add", "mul") and const[0] and n[0].payload == neutral:
                return n[1]
        return None


def reached(outputs: Iterable[Node]) -> list[Node]:
    """Every node that `outputs` need, in the order in which they can be computed."""
    found: dict[int, Node] = {}
    pending = list(outputs)
    while pending:
        node = pending.pop()
        if node.index not in found:
            found[node.index] = node
            pending += node.args
    return [found[index] for index in sorted(found)]


def digest(outputs: Iterable[Node]) -> str:
    """What some nodes compute from which leaves, whatever else stands in their graph."""
    wanted = list(outputs)
    known: dict[int, str] = {}
    for node in reached(wanted):
        payload = node.payload
        if node.op == "const":
            payload = float(payload).hex()
        elif node.op == "stage":
            payload = (payload[0].source, payload[1])
        text = repr((node.op, payload, [known[a.index] for a in node.args]))
        known[node.index] = hashlib.sha256(text.encode()).hexdigest()
    return hashlib.sha256(" ".join(known[n.index] for n in wanted).encode()).hexdigest()
