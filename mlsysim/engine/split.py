"""What of a call is tabulated once and what is computed point by point; kept for calls of the same shape."""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable, Mapping, Sequence

from mlsysim.engine.graph import Node, reached
from mlsysim.engine.interpret import Steps
from mlsysim.engine.memo import Memo
from mlsysim.engine.nest import Source
from mlsysim.engine.plan import weight
from mlsysim.engine.program import Program
from mlsysim.engine.settle import without
from mlsysim.engine.tables import computed_again, of_kinds

MOST_NODES = 300_000  #: of all that is kept
MOST_SETTLED = 8  #: ways to settle the conditions of a call
MOST_STAGED = 1 << 26  #: points of a stage


class Split:
    """The nodes that a sweep reads, as tables (evaluated once, plainly) and a body (evaluated point by point).

    Parameters
    ----------
    program : Program
    read : sequence of Node
        What must come out.
    limit : float
        Points of the largest table.
    lanes : bool
        Are stages that run in lanes computed point by point, where their tables would be larger than that?
    """

    def __init__(self, program: Program, read: Sequence[Node], limit: float, lanes: bool = False):
        self.nodes = reached(read)
        self.dims = {n.index: program.dims(n) for n in self.nodes}
        self.by_kind = of_kinds(program, self.nodes, self.dims)
        self.read = list(read)
        self.sources: dict[Hashable, Source] = {}  #: nests that were written for it
        self._settled: dict[Hashable, Settled] = {}
        points = self._points(program)
        table = {n.index for n in self.nodes if n.op == "leaf" or points[n.index] <= limit}
        table |= {n.index for n in self.nodes if n.op == "stage" and not (lanes and n.payload[0].lanes)}
        for node in reversed(self.nodes):  # what a table needs is a table
            if node.index in table:
                table.update(a.index for a in node.args)
        self.body = [n for n in self.nodes if n.index not in table and n.op != "const"]
        if self.by_kind:
            table -= computed_again(self.body, read, self.by_kind)
            self.body = [n for n in self.nodes if n.index not in table and n.op != "const"]
        inputs = {a.index: a for n in self.body for a in n.args if a.index in table and a.op != "const"}
        inputs |= {c.index: c for c in read if c.index in table and c.op != "const"}
        self.inputs = [inputs[i] for i in sorted(inputs)]
        self.tabled = [n for n in self.nodes if n.index in table or n.op == "const"]
        largest = max((points[n.index] for n in self.tabled if n.op == "stage"), default=0)
        if largest > MOST_STAGED:
            raise ValueError(
                f"a stage would be evaluated at {largest:,} points: fewer values on the axes it depends on, please"
            )

    def settled(self, known: Mapping[int, bool], along: bool) -> Settled:
        """What is left of the body where some conditions among its inputs are known (see `mlsysim.engine.settle`).

        Parameters
        ----------
        along : bool
            Must what comes out lie along all axes that it lay along, as an array for it does?
        """
        key = tuple(sorted(known.items())), along
        found = self._settled.pop(key, None) or Settled(self, known, along)
        self._settled[key] = found
        for other in list(self._settled)[:-MOST_SETTLED]:  # what was not asked for the longest time
            self._settled.pop(other, None)
        return found

    def _points(self, program: Program) -> dict[int, int]:
        """At how many points each node has a value of its own."""
        over = {axes: math.prod(program.axes[a].size for a in axes) for axes in set(self.dims.values())}
        found = {index: over[axes] for index, axes in self.dims.items()}
        kinds = program.kinds
        if kinds is not None:
            for index in self.by_kind:
                found[index] = found[index] // program.axes[kinds.axis].size * len(next(iter(kinds.rows.values())))
        return found

    @functools.cached_property
    def leaves(self) -> list[Node]:
        """What the tables begin with."""
        return [n for n in reached(self.inputs) if n.op == "leaf"]

    @functools.cached_property
    def steps(self) -> Steps:
        """How the tables are evaluated."""
        return Steps(reached(self.inputs), {n.index for n in self.leaves}, self.inputs)

    def loads(self, columns: Sequence[Node]) -> dict[frozenset[str], float]:
        """Operations by the axes over which they are repeated, a plain one counted as 1."""
        loads: dict[frozenset[str], float] = {}
        for node in self.body:
            loads[self.dims[node.index]] = loads.get(self.dims[node.index], 0.0) + weight(node)
        for node in [*self.inputs, *columns]:
            loads[self.dims[node.index]] = loads.get(self.dims[node.index], 0.0) + 0.5
        return loads


class Settled(Split):
    """A split without the conditions that are known.

    Attributes
    ----------
    found : dict
        What each node of the whole comes to, by its index.
    """

    def __init__(self, whole: Split, known: Mapping[int, bool], along: bool):
        self.found, graph = without(whole.nodes, whole.body, known)
        self.dims, self.by_kind, self.tabled = dict(whole.dims), whole.by_kind, whole.tabled
        for n in graph.entered:
            self.dims[n.index] = frozenset().union(*(self.dims[a.index] for a in n.args))
        for n in whole.read if along else ():
            if self.dims[self.found[n.index].index] != self.dims[n.index]:
                self.found[n.index] = n
        self.read = [self.found[n.index] for n in whole.read]
        self.sources, self._settled = {}, {}
        table, left = {n.index for n in whole.tabled}, dict[int, Node]()
        pending = list(self.read)
        while pending:
            node = pending.pop()
            if node.index not in left:
                left[node.index] = node
                pending += () if node.index in table else node.args
        self.nodes = [left[i] for i in sorted(left)]
        self.body = [n for n in self.nodes if n.index not in table and n.op != "const"]
        self.inputs = [n for n in self.nodes if n.index in table and n.op != "const"]


_kept: Memo[Split] = Memo(MOST_NODES, lambda split: len(split.nodes))


def split(program: Program, read: Sequence[Node], limit: float, lanes: bool = False) -> Split:
    """The split of a call: made now, or for an earlier call with the same recording and the same axes."""
    if program.kinds is not None:
        return Split(program, read, limit, lanes)
    key = (program.shaped(), tuple(n.index for n in read), limit, lanes)
    found = _kept.get(key)
    if found is None:
        found = Split(program, read, limit, lanes)
        _kept.put(key, found)
    return found
