"""What is computed point by point, without the questions that a call settles: what holds everywhere, or nowhere.

A kernel asks whether a model has experts, a device measured all-reduces, a format scales.  Such a condition is tabulated before
a nest runs; where its table has one truth value, what is computed for the other is left out.  Only identities that are exact for
IEEE doubles are used, so that the bits are those of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mlsysim.engine.graph import Graph, Node
from mlsysim.engine.sieve import Gate, Sought
from mlsysim.engine.tables import Table

MOST = 1 << 17  #: elements of a table that is looked through


class Exact(Graph):
    """A graph that goes on behind the nodes of another, and folds nothing that would change a bit: ``-0.0 + 0.0`` is 0."""

    def __init__(self, first: int):
        super().__init__()
        self.first = first

    def _fold(self, op: str, n: list[Node]) -> Node | None:
        some = [a.op == "const" for a in n]
        return None if op in ("add", "pow") and any(some) and not all(some) else super()._fold(op, n)


def settled(inputs: Sequence[Node], tables: Mapping[int, Table]) -> dict[int, bool]:
    """The conditions among the inputs of a nest that have one truth value in the whole call, by index."""
    found = {}
    for node in inputs:
        if node.truth:
            values = np.asarray(tables[node.index])
            if 0 < values.size <= MOST and bool(values.all()) == bool(values.any()):
                found[node.index] = bool(values.flat[0])
    return found


def without(nodes: Sequence[Node], body: Sequence[Node], known: Mapping[int, bool]) -> tuple[dict[int, Node], Graph]:
    """Every node as what it comes to once some conditions are known, by its index, and the graph of those that are new.

    Parameters
    ----------
    nodes : sequence of Node
        All, in computable order.
    body : sequence of Node
        Those that are computed point by point.
    known : mapping
        Truth values of conditions that are not, by index.
    """
    graph = Exact(max(n.index for n in nodes) + 1)
    found = {n.index: n for n in nodes} | {i: graph.constant(value) for i, value in known.items()}
    for node in body:
        args = [found[a.index] for a in node.args]
        if any(a.index != b.index for a, b in zip(args, node.args)):
            stage = node.payload if node.op == "stage" else None
            found[node.index] = graph.apply(node.op, args, node.truth) if stage is None else graph.staged(stage, args)
    return found, graph


def sought_in(sought: Sought, found: Mapping[int, Node]) -> Sought | None:
    """What is sought, of the nodes that are left; None where a gate is shut everywhere."""
    gates = []
    for gate in sought.gates:
        conditions = [found[c.index] for c in gate.conditions if c.op != "const"]
        if any(c.op == "const" and not c.payload for c in conditions):
            return None
        left = tuple(c for c in conditions if c.op != "const")
        if left:
            gates.append(Gate(left, None if gate.verdict is None else found[gate.verdict.index]))
    return replace(sought, gates=gates)
