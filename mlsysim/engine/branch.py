"""A graph that goes on from one that is kept: what a call adds to a recording is the call's own.

The numbers of its nodes go on from those of the trunk, as if the call had recorded the kernel itself: what is written
and compiled for it is the same whatever other calls asked of the same recording.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlsysim.engine.graph import Graph, Node


class Branch(Graph):
    """A graph whose first nodes are those of a frozen one.

    Parameters
    ----------
    trunk : Graph
        Frozen; it is read, and never changed.
    """

    def __init__(self, trunk: Graph):
        super().__init__()
        self.trunk, self.first = trunk, len(trunk.entered)
        self._twins: dict[int, Node] = {}  #: nodes of the trunk as nodes of this graph, by number

    def own(self, node: Node) -> Node:
        """A node of the trunk, as one whose operations are entered here."""
        if node.graph is self:
            return node
        twin = self._twins.get(node.index)
        if twin is None:
            twin = Node(self, node.index, node.op, node.args, node.truth, node.payload)
            self._twins[node.index] = twin
        return twin

    def owned(self, nodes: Mapping[str, Node]) -> dict[str, Node]:
        """Nodes of the trunk by name, as nodes of this graph."""
        return {name: self.own(node) for name, node in nodes.items()}

    def _enter(self, op: str, args: tuple[Node, ...], truth: bool, payload: Any = None, key: Any = None) -> Node:
        known = self.trunk.known(op, args, key if key is not None else payload)
        if known is not None:
            return self.own(known)
        return super()._enter(op, args, truth, payload, key)

    def lift(self, value: Any) -> Node:
        return self.own(super().lift(value))

    def apply(self, op: str, args: Sequence[Any], truth: bool = False) -> Node:
        return self.own(super().apply(op, args, truth))

    def since(self, first: int) -> list[Node]:
        if first < self.first:
            return [*self.trunk.since(first), *self.entered]
        return self.entered[first - self.first :]
