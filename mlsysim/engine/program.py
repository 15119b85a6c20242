"""One call, recorded: axes, leaves, and the graph of everything that was asked for."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlsysim.engine import forks
from mlsysim.engine.bind import Binder
from mlsysim.engine.branch import Branch
from mlsysim.engine.draws import Draws
from mlsysim.engine.graph import Node, reached
from mlsysim.engine.holes import Holes
from mlsysim.engine.interpret import stage_bytes
from mlsysim.engine.kinds import Kinds
from mlsysim.engine.leaves import NO_ROW, Axis, Leaf, Leaves, folded, is_option
from mlsysim.engine.memo import Memo
from mlsysim.engine.parameters import Parameter
from mlsysim.engine.point import Asked
from mlsysim.engine.recording import recording
from mlsysim.engine.unread import unread
from mlsysim.engine.unsaid import take_usual
from mlsysim.schema.check import hint, shown
from mlsysim.schema.variables import VARIABLES, field_of

PART = 1 << 16  #: points at which outputs are evaluated together
MOST_NODES = 300_000  #: of the graphs whose stages are kept in mind
PLACES = 1 << 63  #: a point of the grid is known by its number, a signed integer of 64 bits


class Staged(NamedTuple):
    """What stages hold at most."""

    bytes: int
    nodes: int  #: that were looked at


_staged: Memo[Staged] = Memo(MOST_NODES, lambda staged: staged.nodes)


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
        forks.settle()
        self.resolver, self.moving = resolver, frozenset(moving)
        inputs = dict(inputs)
        sample, seed = inputs.pop("sample", None), inputs.pop("seed", None)
        if seed is not None and sample is None:
            raise TypeError(f"seed={shown(seed)} goes with sample=n (or quantile=): nothing is drawn without")
        points = inputs.get("points")
        groups = [] if points is None else points if isinstance(points, (list, tuple)) else [points]
        given = {name for name, value in inputs.items() if value is not None and name != "points"}
        given |= {str(name) for group in groups for name in (group if hasattr(group, "keys") else ())}
        parameters = resolver.parameters(given)
        self.draws = Draws(sample, 0 if seed is None else seed) if sample is not None else None
        self.binder = binder = Binder(parameters, resolver.name, self.draws)
        binder.by_kind = not self.moving
        for name, value in inputs.items():
            if name == "points":
                for i, group in enumerate(groups):
                    binder.points(group, "config" if i == 0 else f"config_{i + 1}")
            else:
                binder.add(name, value)
        binder.settle()
        stages = [stage.name for stage in getattr(resolver, "stages", (resolver,))]
        binder.vocabulary.require(resolver.name, frozenset(binder.columns), tuple(stages))
        take_usual(binder)
        self.parameters: dict[str, Parameter] = parameters
        self._following: set[str] = set()  #: leaves that follow what a solver will move
        entered: dict[str, Leaf | Leaves | None] = {}
        folds: dict[str, Any] = {}
        for name, p in parameters.items():
            entered[name] = one = binder.plain(name) if p.record is None else binder.record(p)
            self._follow(name)
            folds[name] = self._folds(one)
        self._lay_out()
        self.entered, self.given = entered, frozenset(given)
        self.recorded = recorded = recording(resolver, given, parameters, entered, folds)
        self.graph = Branch(recorded.graph)
        self._nodes, self.arguments, self.absent = recorded.nodes, recorded.arguments, recorded.absent
        self.outputs: dict[str, Node] = self.graph.owned(recorded.outputs)
        for name in binder.axes:
            if name not in binder.columns and (name in self.outputs or name in self.absent):
                raise ValueError(f"axis {name!r} bears the name of an output: rename that dim")
        self._dims: dict[int, frozenset[str]] = {}
        self._known: dict[tuple[int, ...], Asked] = {}  #: of `at`, by what is wanted
        self._holes = Holes(self.graph, binder.leaves, binder.axes)
        self.spared: list[Node] = []  #: nodes that a search does without where a datum of theirs is missing

    @functools.cached_property
    def unread(self) -> dict[str, str]:
        """Inputs that are given and that no output depends on, and why."""
        return unread(self)

    @property
    def n_points(self) -> int:
        return math.prod(self.shape)

    @property
    def sizes(self) -> dict[str, int]:
        return {n: a.size for n, a in self.axes.items()}

    @property
    def kinds(self) -> Kinds | None:
        """The kinds of points of a long table, if there is one."""
        return self.binder.kinds

    def real(self, dim: str) -> str:
        """The axis of the grid along which a leaf varies: kinds of points vary along that of the points."""
        return self.kinds.axis if self.kinds is not None and dim == self.kinds.name else dim

    def _lay_out(self) -> None:
        """The grid of all axes, those with a single value apart."""
        kinds = self.kinds
        axes = [(n, a) for n, a in self.binder.axes.items() if kinds is None or n != kinds.name]
        self.axes: dict[str, Axis] = {n: a for n, a in axes if a.size > 1}
        self.single: dict[str, Axis] = {n: a for n, a in axes if a.size == 1}
        self.shape = tuple(a.size for a in self.axes.values())
        if self.n_points >= PLACES:
            longest = sorted(self.axes.values(), key=lambda a: -a.size)[:3]
            raise ValueError(
                f"{self.resolver.name}: about 1e{math.log10(self.n_points):.0f} points, 2**63 are the most: ask "
                f"for fewer axes, or fewer values ({', '.join(f'{a.name} has {a.size:,}' for a in longest)})"
            )

    def _moves(self, name: str) -> bool:
        """Will a solver move a leaf, or what it follows?"""
        return name in self._following or not self.moving.isdisjoint((name, field_of(name)))

    def _follow(self, parameter: str) -> None:
        """Note which fields of a record follow what a solver will move."""
        recipe = self.binder.recipes.get(parameter)
        if recipe is not None and self.moving:
            own = [field for name, field in recipe.accepts.items() if self._moves(name)]
            self._following |= {f"{parameter}.{field}" for field in recipe.followers(own)} if own else set()

    def _folds(self, entered: Leaf | Leaves | None) -> Any:
        """What is folded into the physics in the place of a leaf, or of each leaf of a record."""
        if isinstance(entered, Leaf):
            fold = folded(entered)
            return fold if fold is None or not self._moves(entered.name) or is_option(entered) else None
        if entered is None or not self.moving:
            return entered and entered.folds
        return tuple(self._folds(leaf) for leaf in entered.values())

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
        self.binder.axes[axis] = Axis(axis, len(values), values)
        self._lay_out()

    def assign(self, leaves: Iterable[Leaf]) -> None:
        """Give leaves of a recorded call other values, along other axes perhaps; what is derived from them follows."""
        moved = {leaf.name: leaf for leaf in leaves}
        self.replace((self.binder.following(moved) | moved).values())

    def replace(self, leaves: Iterable[Leaf]) -> None:
        """Put other leaves in the place of those of their names, and no more."""
        self.binder.leaves.update((leaf.name, leaf) for leaf in leaves)
        self._dims.clear()

    # --- dims and data -------------------------------------------------------------------------------------

    def dims(self, node: Node) -> frozenset[str]:
        """Axes on which a node depends."""
        if not self._dims:
            self._dims = self.recorded.dims({name: self._own_dims(leaf) for name, leaf in self.binder.leaves.items()})
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
                self._dims[top.index] = self._own_dims(self.binder.leaves[top.payload])
            else:
                self._dims[top.index] = frozenset().union(*(self._dims[a.index] for a in top.args))
            pending.pop()
        return self._dims[node.index]

    def _own_dims(self, leaf: Leaf) -> frozenset[str]:
        """Axes along which a leaf varies."""
        return frozenset(d for d in map(self.real, leaf.dims) if d in self.axes)

    def shaped(self) -> Hashable:
        """What is recorded, and over which axes: all that the plan of a sweep follows from."""
        own = tuple(
            (n.op, tuple(a.index for a in n.args), n.payload if n.op == "stage" else repr(n.payload))
            for n in self.graph.entered
        )
        leaves = tuple((name, leaf.dims) for name, leaf in self.binder.leaves.items())
        kinds = None if self.kinds is None else (self.kinds.axis, self.kinds.number)
        return self.recorded, own, tuple(self.sizes.items()), leaves, kinds

    def points_of(self, node: Node) -> int:
        """At how many points a node has a value of its own."""
        return math.prod(self.axes[a].size for a in self.dims(node))

    def stage_bytes(self, wanted: Iterable[Node]) -> int:
        """The most that is held while the stages that some nodes need are evaluated."""
        if not self.recorded.loops:
            return 0
        first = list(wanted)
        key = (self.shaped(), tuple(n.index for n in first))
        found = _staged.get(key)
        if found is None:
            nodes = reached(first)
            found = Staged(stage_bytes(nodes, self.points_of), len(nodes))
            _staged.put(key, found)
        return found.bytes

    def leaf_array(self, node: Node) -> np.ndarray:
        """Values of a leaf, shaped to broadcast over all axes."""
        leaf = self.binder.leaves[node.payload]
        values, dims = (leaf.values, leaf.dims) if self.kinds is None else self.kinds.spread(leaf.values, leaf.dims)
        return self._over(values, dims, list(self.axes))

    def by_kind(self, node: Node) -> np.ndarray:
        """Values of a leaf, shaped to broadcast over all axes and, last, the kinds of points."""
        leaf = self.binder.leaves[node.payload]
        return self._over(leaf.values, leaf.dims, [*self.axes, *([self.kinds.name] if self.kinds else [])])

    def _over(self, values: np.ndarray, dims: tuple[str, ...], names: list[str]) -> np.ndarray:
        order = sorted(range(len(dims)), key=lambda i: names.index(dims[i]) if dims[i] in names else -1)
        array = np.transpose(values, order)
        array = array.reshape([n for n, i in zip(array.shape, order) if dims[i] in names])
        sizes = iter(array.shape)
        return array.reshape([next(sizes) if d in dims else 1 for d in names]) if names else array.reshape(())

    def leaf_at(self, node: Node, index: Mapping[str, np.ndarray]) -> np.ndarray:
        """Values of a leaf at paired positions along the axes."""
        leaf = self.binder.leaves[node.payload]
        where = tuple(self._place(d, index) for d in leaf.dims)
        return np.asarray(leaf.values[where])

    def _place(self, dim: str, index: Mapping[str, np.ndarray]) -> Any:
        if self.kinds is not None and dim == self.kinds.name:
            return self.kinds.codes[index[self.kinds.axis]]
        return index[dim] if dim in self.axes else 0

    def with_kinds(self, index: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Positions along the axes, and along the kinds of points where there are any."""
        more = {self.kinds.name: self.kinds.codes[index[self.kinds.axis]]} if self.kinds is not None else {}
        return {**index, **more}

    def at(self, nodes: Mapping[str, Node], index: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Values of some nodes at paired positions along the axes (by the plain plan)."""
        size = len(next(iter(index.values()))) if index else 1
        if size > PART:  # a part after the other: the plain plan holds many intermediate results
            cuts = [{a: i[lo : lo + PART] for a, i in index.items()} for lo in range(0, size, PART)]
            parts = [self.at(nodes, cut) for cut in cuts]
            return {k: np.concatenate([part[k] for part in parts]) for k in nodes}
        asked = self._asked(nodes)
        if size == 1:
            values = [self.leaf_at(n, index).item() for n in asked.leaves]
            return {k: np.array([value]) for k, value in zip(nodes, asked.one(values))}
        found = asked.many([self.leaf_at(n, index) for n in asked.leaves])
        return {k: np.broadcast_to(value, (size,)) for k, value in zip(nodes, found)}

    def one(self, nodes: Mapping[str, Node]) -> dict[str, float | bool]:
        """Values of some nodes in a call without axes."""
        asked, leaves = self._asked(nodes), self.binder.leaves
        return dict(zip(nodes, asked.one([leaves[n.payload].values.item() for n in asked.leaves])))

    def _asked(self, nodes: Mapping[str, Node]) -> Asked:
        """How some nodes are evaluated: several searches of one pass ask for the same at their winners."""
        key = tuple(n.index for n in nodes.values())
        if key not in self._known:
            self._known[key] = self.recorded.asked(list(nodes.values()))
        return self._known[key]

    # --- what was asked for --------------------------------------------------------------------------------

    def missing(self, node: Node) -> Leaf | None:
        """The first unpublished datum that a node would need: not what a condition of the physics leaves out."""
        return self._holes.of(node)

    def leave_open(self, leaves: Iterable[str]) -> None:
        """Count on no value of some leaves where it decides which data are needed, before anything was looked at."""
        self._holes.open = frozenset({*leaves, *self.binder.followers(leaves)})

    def known_along(self, axis: str, wanted: Sequence[str]) -> np.ndarray:
        """Where along an axis every datum that some outputs need and that varies along it is published."""
        return self._holes.known_along(axis, self.binder.axes[axis].size, [self.output(name) for name in wanted])

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
            if hole is None or self._holes.covered(node, self.spared):
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

    def spare(self, name: str, node: Any) -> None:
        """Let a search go on where the data of `node`, called `name`, are published; raise where they are nowhere."""
        if isinstance(node, Node) and self.missing(node) is not None:
            if self._holes.everywhere(node):
                self.require(name, node)
            self.spared.append(node)

    def gone_without(self) -> str:
        """What is missing, and for which labels, where a search went on without them."""
        return self._holes.told(self.spared)

    def _give(self, leaf: Leaf) -> str:
        name = field_of(leaf.name)
        variable = VARIABLES.get(name)
        about = f" ({variable.meaning}, {variable.unit})" if variable else ""
        others = "or leave that one out"
        if leaf.missing == NO_ROW:
            rows = [p for p in self.binder.picks if p in ("fleet", "hardware")]
            others = "or " + " or ".join(f"{p}=..." for p in rows) if rows else others
        return f"{name}{about}, which is not known for {leaf.missing}: give {name}=..., {others}"

    def output(self, name: str) -> Node:
        """The node of an output, by name."""
        if name in self.outputs:
            return self.outputs[name]
        if name in self.absent:
            raise ValueError(
                f"{self.resolver.name} gives {name} only when an optional input is given "
                f"(see {self.resolver.name}.schema)"
            )
        raise ValueError(f"{self.resolver.name} has no output {shown(name)}{hint(name, [*self.outputs, *self.absent])}")

    def named(self, name: str) -> Node:
        """The node of an output, of an input or of a record field."""
        if name in self.outputs or name in self.absent:
            return self.output(name)
        if name in self._nodes:
            return self.graph.own(self._nodes[name])
        for full, node in self._nodes.items():
            if field_of(full) == name:
                return self.graph.own(node)
        raise ValueError(
            f"{self.resolver.name} has no output or input {shown(name)}"
            f"{hint(name, [*self.outputs, *(field_of(n) for n in self._nodes), *self.axes])}"
        )

    def labels(self, name: str) -> tuple[np.ndarray, tuple[str, ...]] | None:
        """Labels of a selector or option and the dims along which they run."""
        column = self.binder.columns.get(name)
        return None if column is None else (column.labels, column.dims)

    def extra_leaf(self, name: str, values: np.ndarray, dims: tuple[str, ...]) -> Node:
        """Enter data that is no input (a truth table over labels, a threshold)."""
        self.binder.leaves[name] = Leaf(name, dims, np.asarray(values, dtype=np.float64))
        return self.graph.leaf(name)
