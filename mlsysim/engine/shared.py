"""Tables of points: what depends on few of their columns is computed once for each pattern of their values.

A table of layouts has tens of thousands of points, but a degree of parallelism has a handful of values, and most
equations depend on two or three degrees.  Such a node is evaluated at one point of each pattern that occurs, and what
depends on more columns reads it from there.  The bits are those of an evaluation at every point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlsysim.engine.graph import NUMPY, Node, reached
from mlsysim.engine.interpret import made
from mlsysim.engine.leaves import Leaf
from mlsysim.engine.patterns import Gathered, Patterns, of_values, together
from mlsysim.engine.program import Program

LEAST = 2048  #: points of a table from which on patterns are told apart
NODES = 12  #: nodes over the same columns from which on their patterns are looked for: finding them takes as long as some nodes
SHARE = 0.75  #: of the points that the patterns may be: more of them are no gain
KEPT = 8  #: ways of evaluating that are kept, by the patterns that serve

Columns = frozenset[str]
Between = tuple[Columns | None, Columns | None]
KIND = " kind"  #: stands for all columns that tell kinds of points apart (see `mlsysim.engine.kinds`)
KINDS, NONE = frozenset({KIND}), frozenset[str]()


class Step(NamedTuple):
    """One operation: of NumPy on values, or the gathering of a value for other patterns."""

    key: int  #: under which its value is kept
    arguments: list[int]
    ends: list[int]  #: values that are needed for the last time
    operation: Any = None
    node: Node | None = None
    between: Between | None = None  #: of a gathering: from which patterns to which; None stands for the points


class Shared:
    """How some nodes over a long table of points are evaluated by patterns.

    Parameters
    ----------
    axis : str
        Of the points.
    nodes : sequence of Node
        What is computed, in computable order, with all that it is made of.
    given : mapping of int to frozenset of str
        Of the nodes whose values are given and vary along the points: the columns that they follow from.
    by_kind : set of int
        Those of them that have a value for each kind of point.
    whole : set of str
        Columns that have no patterns, as they vary along other axes, too.
    wanted : sequence of Node
    """

    def __init__(
        self,
        axis: str,
        nodes: Sequence[Node],
        given: Mapping[int, Columns],
        by_kind: set[int],
        whole: set[str],
        wanted: Sequence[Node],
    ):
        self.axis, self.nodes, self.wanted, self.given, self.by_kind = axis, nodes, wanted, given, by_kind
        self.over = dict(given)
        number: dict[Columns, int] = {}
        of_kind = NONE.union(*(columns for index, columns in given.items() if index in by_kind)) - KINDS
        for n in nodes:
            if n.index not in given:
                over = NONE.union(*(self.over[a.index] for a in n.args))
                self.over[n.index] = over = over - of_kind if KIND in over else over
                number[over] = number.get(over, 0) + 1
        often = [c for c, count in number.items() if c and c != KINDS and count >= NODES and not c & whole]
        self.candidates = sorted(often, key=lambda c: (len(c), sorted(c)))
        #: by the patterns that serve: the steps, and at which of them each node that is wanted has its values
        self.kept: dict[tuple[Columns, ...], tuple[list[Step], dict[int, Columns | None]]] = {}

    def take(self, program: Program, values: dict[int, np.ndarray]) -> dict[int, np.ndarray | Gathered]:
        """Values of what is wanted, at every point; those that are given (at every point, or kind) are used up on the way."""
        patterns = self._patterns(program)
        chosen = tuple(sorted(patterns, key=lambda c: len(patterns[c].first)))
        made_before = self.kept.get(chosen)
        if made_before is None:
            if len(self.kept) >= KEPT:
                self.kept.clear()
            made_before = self.kept[chosen] = self._steps(chosen)
        steps, found = made_before
        axis, maps = list(program.axes).index(self.axis), dict[Between, np.ndarray]()
        stages: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        with np.errstate(all="ignore"):
            for key, arguments, ends, operation, node, between in steps:
                if operation is not None:
                    values[key] = operation(*[values[a] for a in arguments])
                elif between is not None:
                    if between not in maps:
                        maps[between] = _map(patterns, *between)
                    values[key] = values[arguments[0]].take(maps[between], axis=axis)
                else:
                    assert node is not None
                    values[key] = made(node, arguments, values, stages)
                for end in ends:
                    del values[end]
        return {
            index: Gathered(values[index], patterns[place].codes, axis) if place else values[index]
            for index, place in found.items()
        }

    def _patterns(self, program: Program) -> dict[Columns, Patterns]:
        """The patterns that are few enough to serve, and the kinds."""
        kinds = None if program.kinds is None else program.kinds.patterns
        alone: dict[str, Patterns] = {} if kinds is None else {KIND: kinds}
        found: dict[Columns, Patterns] = {} if kinds is None else {KINDS: kinds}
        for columns in self.candidates:
            begin = max((c for c in found if c <= columns), key=len, default=NONE)
            own = found.get(begin)
            for name in sorted(columns - begin):
                if name not in alone:
                    alone[name] = _of_column(program.binder.leaves[name], self.axis, kinds)
                own = alone[name] if own is None else together(own, alone[name])
                if own is None:
                    break
            if own is not None and len(own.first) <= SHARE * len(own.codes):
                found[columns] = own
        return found

    def _steps(self, chosen: Sequence[Columns]) -> tuple[list[Step], dict[int, Columns | None]]:
        """What is done, in order, where the patterns of `chosen`, few ones first, serve."""
        #: the patterns at which a node has its values (None: at every point); of none, where it has one
        place: dict[int, Columns | None] = {i: KINDS if i in self.by_kind else None for i in self.given}
        for n in self.nodes:
            if n.index not in self.given:
                over = self.over[n.index]
                place[n.index] = next((c for c in chosen if over <= c), None) if over else over
        steps: list[Step] = []
        gathered: dict[tuple[int, Columns | None], int] = {}

        def at(index: int, where: Columns | None) -> int:
            """A value where it is needed."""
            if place[index] in (where, NONE):
                return index
            key = (index, where)
            if key not in gathered:
                gathered[key] = -1 - len(gathered)
                steps.append(Step(gathered[key], [index], [], between=(place[index], where)))
            return gathered[key]

        for n in self.nodes:
            if n.op != "leaf" and n.index not in self.given:
                arguments = [at(a.index, place[n.index]) for a in n.args]
                steps.append(Step(n.index, arguments, [], NUMPY.get(n.op), n))
        last = {a: i for i, step in enumerate(steps) for a in step.arguments}
        for key in last.keys() - {n.index for n in self.wanted}:
            steps[last[key]].ends.append(key)
        return steps, {n.index: place[n.index] for n in self.wanted}


def _of_column(leaf: Leaf, axis: str, kinds: Patterns | None) -> Patterns:
    """The patterns of one column, which is given at every point or at every kind of them."""
    own = of_values(leaf.values)
    if leaf.dims == (axis,):
        return own
    assert kinds is not None
    return Patterns(own.codes[kinds.codes], kinds.first[own.first])


def _map(patterns: Mapping[Columns, Patterns], before: Columns | None, after: Columns | None) -> np.ndarray:
    """For each of some patterns (or points, where it is None) the one of others in which it lies."""
    if before is None:
        assert after is not None
        return patterns[after].first
    codes = patterns[before].codes
    return codes if after is None else codes[patterns[after].first]


def shared(program: Program, nodes: Sequence[Node], read: Sequence[Node], wanted: Sequence[Node]) -> Shared | None:
    """How nodes over the longest table of points of a call are evaluated; None where no table is long, or too little is shared.

    Parameters
    ----------
    read : sequence of Node
        Whose values are given by kind.
    """
    leaves = {n.index: program.binder.leaves[n.payload] for n in nodes if n.op == "leaf"}
    along: dict[str, dict[int, Columns]] = {}
    for index, leaf in leaves.items():
        for axis in leaf.dims:
            if axis in program.axes and program.axes[axis].size >= LEAST:
                along.setdefault(axis, {})[index] = frozenset({leaf.name})
    if read and program.kinds is not None and program.axes[program.kinds.axis].size >= LEAST:
        along.setdefault(program.kinds.axis, {}).update(_of_kinds(program, read))
    axis = max(along, key=lambda a: (len(along[a]), program.axes[a].size, a), default="")
    if len(along.get(axis, ())) < 2:
        return None
    given = along[axis]
    whole = {leaf.name for index, leaf in leaves.items() if index in given and leaf.dims != (axis,)}
    found = Shared(axis, nodes, given, {n.index for n in read}, whole, wanted)
    return found if found.candidates else None


def _of_kinds(program: Program, read: Sequence[Node]) -> dict[int, Columns]:
    """The columns from which values of kinds follow: those of numbers, or all that tell kinds apart."""
    assert program.kinds is not None
    plain, over = program.binder.columns, dict[int, Columns]()
    for n in reached(read):
        if n.op == "leaf":
            dims = program.binder.leaves[n.payload].dims
            if program.kinds.name not in dims:
                over[n.index] = NONE
            else:
                alone = dims == (program.kinds.name,) and n.payload in plain
                over[n.index] = frozenset({n.payload}) if alone else KINDS
        else:
            found = NONE.union(*(over[a.index] for a in n.args))
            over[n.index] = KINDS if KIND in found else found
    return {n.index: over[n.index] for n in read}
