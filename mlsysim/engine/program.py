"""One call, recorded: axes, leaves, and the graph of everything that was asked for."""

from __future__ import annotations

import ast
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mlsysim import units
from mlsysim.engine.bind import Axis, Binder, Leaf
from mlsysim.engine.check import nearest
from mlsysim.engine.draws import Draws
from mlsysim.engine.evaluate import evaluate
from mlsysim.engine.graph import NUMPY, Graph, Node, reached
from mlsysim.engine.selectors import Parameter
from mlsysim.schema import codes
from mlsysim.schema.variables import VARIABLES


class MissingDatum(ValueError):
    """A wanted figure needs a datum that nobody published."""


class Program:
    """A resolver bound to the inputs of one call and recorded.

    Parameters
    ----------
    resolver : Resolver
        Anything with ``name``, ``parameters(given)`` and ``record(arguments, given)``.
    inputs : mapping
        Inputs by name, in the order in which the user mentioned them; ``points`` takes paired inputs,
        ``sample`` draws what is uncertain that often (axis `sample`, last), from ``seed``.
    moving : collection of str
        Inputs that a solver will move: they stay leaves where their value would be folded into the physics.
    """

    def __init__(self, resolver: Any, inputs: Mapping[str, Any], moving: Collection[str] = ()):
        self.resolver, self.moving = resolver, frozenset(moving)
        inputs = dict(inputs)
        sample, seed = inputs.pop("sample", None), inputs.pop("seed", 0)
        points = inputs.get("points")
        groups = [] if points is None else points if isinstance(points, (list, tuple)) else [points]
        given = {name for name, value in inputs.items() if value is not None and name != "points"}
        given |= {str(name) for group in groups for name in (group if hasattr(group, "keys") else ())}
        parameters = resolver.parameters(given)
        self.draws = Draws(sample, seed) if sample is not None else None
        self.binder = binder = Binder(parameters, resolver.name, self.draws)
        for name, value in inputs.items():
            if name == "points":
                for i, group in enumerate(groups):
                    binder.points(group, "config" if i == 0 else f"config_{i + 1}")
            else:
                binder.add(name, value)
        self.graph = Graph()
        self.parameters: dict[str, Parameter] = parameters
        self._nodes: dict[str, Node] = {}
        arguments: dict[str, Any] = {}
        for name, p in parameters.items():
            if p.record is None:
                leaf = binder.plain(name)
                arguments[name] = None if leaf is None else self._enter(leaf)
            else:
                leaves = binder.record(p)
                arguments[name] = None if leaves is None else p.record(**{f: self._enter(lf) for f, lf in leaves.items()})
        self.axes: dict[str, Axis] = {n: a for n, a in binder.axes.items() if a.size > 1}
        self.single: dict[str, Axis] = {n: a for n, a in binder.axes.items() if a.size == 1}
        self.shape = tuple(a.size for a in self.axes.values())
        outputs = resolver.record(arguments, given)
        self.outputs: dict[str, Node] = {k: self.graph.lift(v) for k, v in outputs.items() if v is not None}
        self.absent = [k for k, v in outputs.items() if v is None]
        for name in binder.axes:
            if name not in binder.columns and name in outputs:
                raise ValueError(f"axis {name!r} bears the name of an output: rename that dim")
        self.arguments = arguments
        self._dims: dict[int, frozenset[str]] = {}
        self._holes: list[Leaf | None] = []  #: by node: a datum that nobody published and that it needs
        self._steady: dict[int, Any] = {}  #: nodes that have one value everywhere

    @property
    def n_points(self) -> int:
        return math.prod(self.shape)

    @property
    def sizes(self) -> dict[str, int]:
        return {n: a.size for n, a in self.axes.items()}

    def _enter(self, leaf: Leaf) -> Node:
        """The node of a leaf; what is an option, 0 or 1 everywhere is folded into the physics."""
        variable = VARIABLES.get(leaf.name.rsplit(".", 1)[-1])
        if leaf.values.ndim == 0:
            value = float(leaf.values)
            moves = not self.moving.isdisjoint((leaf.name, leaf.name.rsplit(".", 1)[-1]))
            if (value in (0.0, 1.0) and not moves) or (variable is not None and variable.kind == "option"):
                node = self.graph.constant(value)
                self._nodes[leaf.name] = node
                return node
        node = self.graph.leaf(leaf.name)
        self._nodes[leaf.name] = node
        return node

    def leaf_name(self, name: str) -> str:
        """The leaf of a plain input or record field (or of its alias), by its short or dotted name."""
        name, _ = self.binder.canonical(name)
        if name in self._nodes:
            return name
        full = f"{self.binder.fields[name][0]}.{name}" if name in self.binder.fields else name
        if full not in self._nodes:
            raise ValueError(f"{name} has no value in this call: give {name}=...")
        return full

    def widen(self, axis: str, values: np.ndarray) -> None:
        """Add an axis of a solver's own to a recorded call: which parameter, which draw."""
        if axis in self.binder.axes:
            raise ValueError(f"the axis {axis!r} is the solver's own: rename yours")
        made = self.binder.axes[axis] = Axis(axis, len(values), values)
        (self.axes if made.size > 1 else self.single)[axis] = made
        self.shape = tuple(a.size for a in self.axes.values())

    def assign(self, name: str, values: np.ndarray, dims: tuple[str, ...]) -> None:
        """Give a leaf of a recorded call other values, along other axes perhaps."""
        self.binder.leaves[name] = Leaf(name, dims, np.asarray(values, dtype=np.float64))
        self._dims.clear()

    # --- dims and data -------------------------------------------------------------------------------------

    def dims(self, node: Node) -> frozenset[str]:
        """Axes on which a node depends."""
        pending = [node]
        while pending:
            top = pending[-1]
            if top.index in self._dims:
                pending.pop()
                continue
            waiting = [a for a in top.args if a.index not in self._dims]
            if waiting:
                pending.extend(waiting)
                continue
            if top.op == "leaf":
                self._dims[top.index] = frozenset(d for d in self.binder.leaves[top.payload].dims if d in self.axes)
            else:
                self._dims[top.index] = frozenset().union(*(self._dims[a.index] for a in top.args))
            pending.pop()
        return self._dims[node.index]

    def leaf_array(self, node: Node) -> np.ndarray:
        """Values of a leaf, shaped to broadcast over all axes."""
        leaf = self.binder.leaves[node.payload]
        names = list(self.axes)
        order = sorted(range(len(leaf.dims)), key=lambda i: names.index(leaf.dims[i]) if leaf.dims[i] in names else -1)
        array = np.transpose(leaf.values, order)
        own = [leaf.dims[i] for i in order]
        array = array.reshape([n for n, d in zip(array.shape, own) if d in self.axes])
        sizes = iter(array.shape)
        return array.reshape([next(sizes) if d in leaf.dims else 1 for d in names]) if names else array.reshape(())

    def leaf_at(self, node: Node, index: Mapping[str, np.ndarray]) -> np.ndarray:
        """Values of a leaf at paired positions along the axes."""
        leaf = self.binder.leaves[node.payload]
        where = tuple(index[d] if d in self.axes else 0 for d in leaf.dims)
        return np.asarray(leaf.values[where])

    def at(self, nodes: Mapping[str, Node], index: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Values of some nodes at paired positions along the axes (by the plain plan)."""
        needed = reached(nodes.values())
        values = {n.index: self.leaf_at(n, index) for n in needed if n.op == "leaf"}
        size = len(next(iter(index.values()))) if index else 1
        found = evaluate(needed, values, list(nodes.values()))
        return {k: np.broadcast_to(found[n.index], (size,)) for k, n in nodes.items()}

    # --- what was asked for --------------------------------------------------------------------------------

    def missing(self, node: Node) -> Leaf | None:
        """The first unpublished datum that a node would need: not for what a condition, the same everywhere, leaves out."""
        if not any(leaf.missing for leaf in self.binder.leaves.values()):
            return None
        for n in self.graph.nodes[len(self._holes) :]:
            leaf = self.binder.leaves[n.payload] if n.op == "leaf" else None
            needs = n.args
            if n.op == "where" and n.args[0].index in self._steady:
                needs = (n.args[1] if self._steady[n.args[0].index] else n.args[2],)
            if leaf is not None and leaf.missing:
                self._holes.append(leaf)
                continue
            self._holes.append(next((h for a in needs if (h := self._holes[a.index])), None))
            if n.op == "const":
                self._steady[n.index] = n.payload
            elif leaf is not None and not leaf.dims:
                self._steady[n.index] = float(leaf.values)
            elif n.op in NUMPY and all(a.index in self._steady for a in n.args):
                with np.errstate(all="ignore"):
                    self._steady[n.index] = NUMPY[n.op](*(self._steady[a.index] for a in n.args))
        return self._holes[node.index]

    def known_along(self, axis: str, wanted: Sequence[str]) -> np.ndarray:
        """Where along an axis every datum that some outputs need and that varies along it is published."""
        known = np.ones(self.binder.axes[axis].size, dtype=bool)
        for node in reached([self.output(name) for name in wanted]):
            leaf = self.binder.leaves[node.payload] if node.op == "leaf" else None
            if leaf is not None and leaf.missing and axis in leaf.dims:
                known &= ~np.isnan(leaf.values).any(axis=tuple(i for i, d in enumerate(leaf.dims) if d != axis))
        return known

    def available(self, wanted: Sequence[str] | None = None) -> tuple[dict[str, Node], dict[str, str]]:
        """Outputs that can be given, and why each other one is omitted.

        Parameters
        ----------
        wanted : sequence of str, optional
            Outputs that must be there.  Nobody named any: whatever the data allow.
        """
        found: dict[str, Node] = {}
        omitted: dict[str, str] = {}
        for name in wanted if wanted is not None else self.outputs:
            node = self.output(name)
            if wanted is not None:
                self.require(name, node)
            hole = self.missing(node)
            if hole is None:
                found[name] = node
            else:
                omitted[name] = f"needs {self._give(hole)}"
        for name in self.absent:
            omitted[name] = "an optional input was not given"
        return found, omitted

    def require(self, name: str, node: Any) -> None:
        """Raise when `node`, called `name`, needs an unpublished datum."""
        hole = self.missing(node) if isinstance(node, Node) else None
        if hole is not None:
            raise MissingDatum(f"{name} needs {self._give(hole)}")

    def _give(self, leaf: Leaf) -> str:
        name = leaf.name.rsplit(".", 1)[-1]
        variable = VARIABLES.get(name)
        about = f" ({variable.meaning}, {variable.unit})" if variable else ""
        others = "or leave that one out"
        if leaf.missing == "this input":  # no row was named that could have it
            rows = [p for p in self.binder.picks if p in ("fleet", "hardware")]
            others = "or " + " or ".join(f"{p}=..." for p in rows) if rows else others
        return f"{name}{about}, which is not known for {leaf.missing}: give {name}=..., {others}"

    def output(self, name: str) -> Node:
        """The node of an output, by name."""
        if name in self.outputs:
            return self.outputs[name]
        if name in self.absent:
            raise ValueError(f"{self.resolver.name} gives {name} only when an optional input is given "
                             f"(see {self.resolver.name}.schema)")
        raise ValueError(f"{self.resolver.name} has no output {name!r}{nearest(name, [*self.outputs, *self.absent])}")

    def named(self, name: str) -> Node:
        """The node of an output, of an input or of a record field."""
        if name in self.outputs or name in self.absent:
            return self.output(name)
        if name in self._nodes:
            return self._nodes[name]
        for full, node in self._nodes.items():
            if full.rsplit(".", 1)[-1] == name:
                return node
        raise ValueError(f"{self.resolver.name} has no output or input {name!r}"
                         f"{nearest(name, [*self.outputs, *(n.rsplit('.', 1)[-1] for n in self._nodes), *self.axes])}")

    def labels(self, name: str) -> tuple[np.ndarray, tuple[str, ...]] | None:
        """Labels of a selector or option and the dims along which they run."""
        column = self.binder.columns.get(name)
        return None if column is None else (column.labels, column.dims)

    def extra_leaf(self, name: str, values: np.ndarray, dims: tuple[str, ...]) -> Node:
        """Enter data that is no input (a truth table over labels, a threshold)."""
        self.binder.leaves[name] = Leaf(name, dims, np.asarray(values, dtype=np.float64))
        return self.graph.leaf(name)

    def clauses(self, where: str | Iterable[str] | None) -> list[tuple[str, Node]]:
        """The conditions of a `where`, one node each.

        Names are outputs, inputs, record fields or axes; labels compare with text:
        ``"itl < 0.05 and hardware != 'mi300x'"``.  Numbers are in base units, quantities in quotes: ``"itl < '50 ms'"``.
        """
        if where is None:
            return []
        texts = [where] if isinstance(where, str) or not isinstance(where, Iterable) else list(where)
        found = []
        for text in texts:
            try:
                tree = ast.parse(text, mode="eval").body
            except (SyntaxError, TypeError, ValueError):
                raise ValueError(f"where={text!r} is no condition; write for example \"itl < 0.05 and tp <= 8\"") from None
            parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
            for part in parts:
                clause = self.graph.lift(self._expression(part))
                if not clause.truth and not (isinstance(part, ast.Name) and self._is_flag(part.id)):
                    raise ValueError(f"where={ast.unparse(part)!r} is a number, no condition; write for example \"itl < 0.05\"")
                found.append((ast.unparse(part), self.graph.as_truth(clause)))
        return found

    @staticmethod
    def _is_flag(name: str) -> bool:
        return name in VARIABLES and VARIABLES[name].kind == "flag"

    def _expression(self, tree: ast.AST) -> Any:
        match tree:
            case ast.Constant(value=bool() | int() | float() as value):
                if isinstance(value, bool):
                    return value
                return self.extra_leaf(f"literal {len(self.binder.leaves)}", np.asarray(float(value)), ())
            case ast.Name(id=name):
                return self.named(name)
            case ast.Attribute():  # an output prefixed by its stage, a field of one of two records
                return self.named(ast.unparse(tree))
            case ast.BoolOp(op=op, values=values):
                nodes = [self.graph.as_truth(self.graph.lift(self._expression(v))) for v in values]
                result = nodes[0]
                for node in nodes[1:]:
                    result = result & node if isinstance(op, ast.And) else result | node
                return result
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ~self.graph.as_truth(self.graph.lift(self._expression(operand)))
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._expression(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op).__name__ in _ARITHMETIC:
                return self.graph.apply(_ARITHMETIC[type(op).__name__], (self._expression(left), self._expression(right)))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                chained: Any = None
                for comparison, a, b in zip(ops, [left, *comparators], comparators):
                    one = self._compare(comparison, a, b)
                    chained = one if chained is None else chained & one
                return chained
        raise ValueError(f"where: {ast.unparse(tree)!r} is not understood; use names, numbers, labels in quotes, "
                         "comparisons, arithmetic, and, or, not, in")

    def _compare(self, op: ast.cmpop, left: ast.AST, right: ast.AST) -> Node:
        kind = type(op).__name__
        left, right = _quantity(left, right), _quantity(right, left)
        texts = [n.value for n in ([right] if isinstance(right, ast.Constant) else getattr(right, "elts", []))
                 if isinstance(n, ast.Constant) and isinstance(n.value, str)]  # fmt: skip
        if isinstance(left, (ast.Name, ast.Attribute)) and texts and kind in ("Eq", "NotEq", "In", "NotIn"):
            return self._matches(ast.unparse(left), texts, kind in ("NotEq", "NotIn"))
        if kind in ("In", "NotIn") and isinstance(right, (ast.List, ast.Tuple, ast.Set)):
            node: Any = False
            for element in right.elts:
                node = self.graph.apply("or", (node, self._compare(ast.Eq(), left, element)), True)
            return ~node if kind == "NotIn" else node
        if kind not in _COMPARISONS:
            raise ValueError(f"where: comparison {ast.unparse(left)} {kind} ... is not understood")
        return self.graph.apply(_COMPARISONS[kind], (self._expression(left), self._expression(right)), True)

    def _matches(self, name: str, texts: list[str], negate: bool) -> Node:
        labelled = self.labels(name)
        if labelled is None:
            variable = VARIABLES.get(name.rsplit(".", 1)[-1])
            if variable is not None and variable.options is not None:  # an output such as limit
                known = codes.labels(variable.options)
                node: Any = False
                for text in texts:
                    if text not in known:
                        raise ValueError(f"where: {name} has no label {text!r}{nearest(text, known)}")
                    same = self.graph.apply("eq", (self.named(name), float(known[text])), True)
                    node = self.graph.apply("or", (node, same), True)
                return ~node if negate else node
            raise ValueError(f"where: {name} has no labels in this call")
        labels, dims = labelled
        for text in texts:
            if text not in {str(v) for v in labels.reshape(-1)}:
                raise ValueError(f"where: {name} has no label {text!r}{nearest(text, {str(v) for v in labels.reshape(-1)})}")
        hit = np.isin(labels.astype(str), texts) != negate
        node = self.extra_leaf(f"{name} in {sorted(texts)} {negate}", hit.astype(np.float64), dims)
        return self.graph.as_truth(node)


def _quantity(side: ast.AST, other: ast.AST) -> ast.AST:
    """A quantity in quotes, compared with a number: ``itl < '50 ms'``."""
    variable = VARIABLES.get(other.id) if isinstance(other, ast.Name) else None
    if variable is None or variable.kind not in ("real", "count"):
        return side
    if not (isinstance(side, ast.Constant) and isinstance(side.value, str)):
        return side
    return ast.Constant(units.parse(side.value, variable.unit, f"where: {variable.name}"))


_ARITHMETIC = {"Add": "add", "Sub": "sub", "Mult": "mul", "Div": "div", "Pow": "pow"}
_COMPARISONS = {"Lt": "lt", "LtE": "le", "Gt": "gt", "GtE": "ge", "Eq": "eq", "NotEq": "ne"}
