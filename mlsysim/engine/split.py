"""What of a call is tabulated once and what is computed point by point; kept for calls of the same shape."""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable, Sequence

from mlsysim.engine.graph import Node, reached
from mlsysim.engine.interpret import Steps
from mlsysim.engine.memo import Memo
from mlsysim.engine.nest import Source
from mlsysim.engine.plan import weight
from mlsysim.engine.program import Program
from mlsysim.engine.tables import computed_again, of_kinds

MOST_NODES = 300_000  #: of all that is kept
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
        self.sources: dict[Hashable, Source] = {}  #: nests that were written for it
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
