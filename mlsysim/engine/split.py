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
from mlsysim.engine.shared import Shared, shared
from mlsysim.engine.tables import computed_again, of_kinds

MOST_NODES = 300_000  #: of all that is kept
MOST_SETTLED = 8  #: ways to settle the conditions of a call
MOST_STAGED = 1 << 26  #: points of a stage
TOGETHER = 1 << 13  #: points of the largest table up to which nodes that are alike are evaluated together


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
        self.asked = list(read)
        self.sources: dict[Hashable, Source] = {}  #: nests that were written for it
        self._shared: list[Shared | None] = []
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
        alike = max((points[n.index] for n in self.tabled), default=0) <= TOGETHER
        self.together = len(program.axes) if alike else None
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
                found[index] = found[index] // program.axes[kinds.axis].size * kinds.number
        return found

    @functools.cached_property
    def needed(self) -> list[Node]:
        """What the tables are made of, but for what has a value for each kind of point."""
        return [n for n in reached(self.inputs) if n.index not in self.by_kind]

    @functools.cached_property
    def read(self) -> list[Node]:
        """Of what has a value a kind, what the others are made of."""
        found = {a.index: a for n in self.needed for a in n.args if a.index in self.by_kind}
        return list(found.values())

    @functools.cached_property
    def kind_steps(self) -> tuple[list[Node], Steps] | None:
        """How what has a value for each kind is evaluated, and the leaves that it begins with; None where nothing has."""
        wanted = [*self.read, *(n for n in self.inputs if n.index in self.by_kind)]
        nodes = reached(wanted)
        leaves = [n for n in nodes if n.op == "leaf"]
        return (leaves, Steps(nodes, {n.index for n in leaves}, wanted)) if wanted else None

    @functools.cached_property
    def leaves(self) -> list[Node]:
        """Leaves among what is needed."""
        return [n for n in self.needed if n.op == "leaf"]

    @functools.cached_property
    def wanted(self) -> list[Node]:
        """The tables that have no value a kind."""
        return [n for n in self.inputs if n.index not in self.by_kind]

    @functools.cached_property
    def steps(self) -> Steps:
        """How the tables are evaluated, from what is read of the kinds."""
        return Steps(self.needed, {n.index for n in (*self.leaves, *self.read)}, self.wanted, self.together)

    def shared(self, program: Program) -> Shared | None:
        """How the tables are evaluated by patterns of points, where a table of points is long; the same for all such calls."""
        if not self._shared:
            self._shared.append(shared(program, self.needed, self.read, self.wanted))
        return self._shared[0]

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
        for n in whole.asked if along else ():
            if self.dims[self.found[n.index].index] != self.dims[n.index]:
                self.found[n.index] = n
        self.asked = [self.found[n.index] for n in whole.asked]
        self.sources, self._settled, self._shared = {}, {}, []
        table, left = {n.index for n in whole.tabled}, dict[int, Node]()
        pending = list(self.asked)
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
    key = (program.shaped(), tuple(n.index for n in read), limit, lanes)
    found = _kept.get(key)
    if found is None:
        found = Split(program, read, limit, lanes)
        _kept.put(key, found)
    return found
