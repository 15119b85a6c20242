"""Data that nobody published, and the figures of a call that would need them.

A device without a power limit still has a step time, and one without a network still answers on a single node: a
missing datum matters only where a condition of the physics lets it in.  So every node is looked at in each place
(a combination of rows) where something is missing, with the conditions as they are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mlsysim.engine.graph import NUMPY, Graph, Node
from mlsysim.engine.leaves import NO_ROW, Axis, Leaf, expand

MOST = 512  #: places that are looked at one by one; beyond, only conditions that hold everywhere count
NONE = -1


class Holes:
    """What is missing in a recorded call.

    Parameters
    ----------
    graph : Graph
    leaves : mapping
        The leaves of the call by name; what nobody published is NaN in them.
    axes : mapping
        The axes of the call by name.
    """

    def __init__(self, graph: Graph, leaves: Mapping[str, Leaf], axes: Mapping[str, Axis]):
        self.graph, self.leaves = graph, leaves
        self.open: frozenset[str] = frozenset()  #: leaves that will have other values: no condition on them is decided
        self.lacking = [leaf for leaf in leaves.values() if leaf.missing]
        wanted = {d for leaf in self.lacking for d in leaf.dims}
        self.dims = tuple(d for d in axes if d in wanted)
        anywhere = np.zeros([axes[d].size for d in self.dims], dtype=bool)
        for leaf in self.lacking:
            anywhere |= expand(np.isnan(leaf.values), leaf.dims, self.dims)
        self.places = np.argwhere(anywhere)
        self.all_over = bool(anywhere.all())
        self.apart = len(self.places) <= MOST
        self._none = np.full(len(self.places) if self.apart else 1, NONE)  #: of all nodes that need nothing missing
        self._holes: list[np.ndarray] = []  #: by node: which of `lacking` it needs, by place
        self._known: dict[int, np.ndarray | None] = {}  #: what `_steady` found, by node

    def of(self, node: Node) -> Leaf | None:
        """The first missing datum that a node would need, called after the row that lacks it; None if there is none."""
        if not self.lacking:
            return None
        found = self._at(node)
        if (found == NONE).all():
            return None
        first = int(np.argmax(found != NONE))
        leaf = self.lacking[found[first]]
        if leaf.missing == NO_ROW or leaf.labels is None or not self.apart:
            return leaf
        where = tuple(int(self.places[first][self.dims.index(d)]) for d in leaf.dims)
        return replace(leaf, missing=str(leaf.labels[where]))

    def known_along(self, axis: str, size: int, nodes: Sequence[Node]) -> np.ndarray:
        """Where along an axis nothing is missing that some nodes need and that varies along it."""
        known = np.ones(size, dtype=bool)
        if axis not in self.dims:
            return known
        for node in nodes:
            found = self._at(node)
            if self.apart:
                known[self.places[found != NONE][:, self.dims.index(axis)]] = False
                continue
            for leaf in (self.lacking[i] for i in set(found.tolist()) - {NONE}):
                if axis in leaf.dims:
                    known &= ~np.isnan(leaf.values).any(axis=tuple(i for i, d in enumerate(leaf.dims) if d != axis))
        return known

    def everywhere(self, node: Node) -> bool:
        """Does a node need something that is missing, wherever it is looked at?"""
        found = self._at(node)
        if self.apart:
            return self.all_over and bool((found != NONE).all())
        return any(not self.lacking[i].dims for i in set(found.tolist()) - {NONE})

    def covered(self, node: Node, others: Sequence[Node]) -> bool:
        """Is something missing for one of the others wherever it is for a node?"""
        elsewhere = [self._at(other) != NONE for other in others]
        return bool(elsewhere) and bool((np.any(elsewhere, axis=0) | (self._at(node) == NONE)).all())

    def told(self, nodes: Sequence[Node]) -> str:
        """What is missing for some nodes, and where: the first datum of each place."""
        found: dict[str, dict[str, None]] = {}
        for which in map(self._at, nodes):
            for i in sorted(set(which.tolist()) - {NONE}):
                leaf = self.lacking[i]
                at: tuple[np.ndarray, ...] = np.nonzero(np.isnan(leaf.values))
                if self.apart:
                    at = tuple(self.places[which == i][:, self.dims.index(d)] for d in leaf.dims)
                names = [leaf.missing] if leaf.labels is None else np.asarray(leaf.labels[at]).reshape(-1).tolist()
                found.setdefault(leaf.name.rsplit(".", 1)[-1], {}).update(dict.fromkeys(map(str, names)))
        return "; ".join(
            f"where {datum} is not known: {', '.join([*labels][:12])}{', ...' if len(labels) > 12 else ''}"
            for datum, labels in found.items()
        )

    def _at(self, node: Node) -> np.ndarray:
        """Which missing datum a node needs, by place; -1 for none."""
        holes, none = self._holes, self._none
        for n in self.graph.since(len(holes)):
            for arg in n.args:
                if holes[arg.index] is not none:
                    holes.append(self._needed(n))
                    break
            else:  # of most nodes nothing is missing
                holes.append(self._needed(n) if n.op == "leaf" else none)
        return holes[node.index]

    def _needed(self, node: Node) -> np.ndarray:
        if node.op == "leaf" and self.leaves[node.payload].missing:
            leaf = self.leaves[node.payload]
            which = next(i for i, other in enumerate(self.lacking) if other is leaf)
            values = self._there(leaf)
            lacks = True if values is None else np.isnan(values)
            return np.where(np.broadcast_to(lacks, self._none.shape), which, NONE)
        needed = [self._holes[arg.index] for arg in node.args]
        if node.op == "where" and not (needed[1] is self._none and needed[2] is self._none):
            steady = self._steady(node.args[0])
            if steady is not None:
                met = np.broadcast_to(steady, self._none.shape).astype(bool)
                either = np.where(met, needed[1], needed[2])
                needed = [needed[0], either if (either != NONE).any() else self._none]
        found = self._none
        for some in needed:
            if some is not self._none:
                found = some if found is self._none else np.where(found != NONE, found, some)
        return found

    def _steady(self, node: Node) -> np.ndarray | None:
        """The value of a node by place, None where it is not the same all over the rest."""
        pending = [node]
        while pending:
            top = pending[-1]
            waiting = [a for a in top.args if a.index not in self._known]
            if waiting:
                pending.extend(waiting)
                continue
            pending.pop()
            if top.index not in self._known:
                self._known[top.index] = self._value(top)
        return self._known[node.index]

    def _value(self, node: Node) -> np.ndarray | None:
        if node.op == "const":
            return np.asarray(node.payload)
        if node.op == "leaf":
            return self._there(self.leaves[node.payload])
        values = [known for a in node.args if (known := self._known[a.index]) is not None]
        if node.op not in NUMPY or len(values) < len(node.args):
            return None
        with np.errstate(all="ignore"):
            return np.asarray(NUMPY[node.op](*values))

    def _there(self, leaf: Leaf) -> np.ndarray | None:
        """A leaf in every place, None where it varies along other axes as well."""
        if leaf.name in self.open:
            return None
        if not self.apart:
            return None if leaf.dims or leaf.missing else leaf.values
        if not set(leaf.dims) <= set(self.dims):
            return None
        return np.asarray(leaf.values[tuple(self.places[:, self.dims.index(d)] for d in leaf.dims)])
