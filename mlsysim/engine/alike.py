"""Nodes that do the same to other values, side by side: NumPy takes a microsecond for an operation, on however few numbers.

A kernel that asks an equation for a few values (a step for one batch after another) records it as often.  Over a small table
such nodes are evaluated together, as one array with a dim in front of all others; element by element nothing changes.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Container, Hashable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from mlsysim.engine.graph import NUMPY, Node

LEAST = 3  #: nodes that are worth being put side by side
#: whose arguments may change places, and whose may where one of them is no zero: 0.0 and -0.0 are told apart by place
_EITHER_WAY, _BUT_ZEROS = {"add", "mul"}, {"min", "max"}


class Step(NamedTuple):
    """One operation: the key of its value, how that is made of others, and its node where it stands alone."""

    key: Hashable
    operation: Callable[..., Any] | None
    arguments: Sequence[Hashable]
    node: Node | None = None


class Along(NamedTuple):
    """An argument that runs along a row: which, and how far ahead of the first argument that runs along one."""

    row: int
    ahead: int


#: an argument of nodes that may make a row: one that is the same for all of them (its index), constants, or `Along`
Argument = int | str | Along
#: what the nodes of a row have in common: their operation, and each argument
Pattern = tuple[str, tuple[Argument, ...]]


def alone(nodes: Sequence[Node], known: Container[int]) -> list[Step]:
    """Each node as a step of its own."""
    return [Step(n.index, NUMPY.get(n.op), [a.index for a in n.args], n) for n in nodes if n.index not in known]


class Rows:
    """Which nodes are evaluated side by side.

    Nodes of one operation make a row where each argument is the same node for all of them, or a constant, or runs along
    another row.  Where a node may belong to several, it goes where most others may go.

    Parameters
    ----------
    nodes : sequence of Node
        In computable order.
    known : container of int
        Indices of the nodes whose values will be given.
    dims : int
        Of the arrays of their values.
    """

    def __init__(self, nodes: Sequence[Node], known: Container[int], dims: int):
        self.known, self.dims = known, dims
        self.nodes = {n.index: n for n in nodes}
        self.place: dict[int, tuple[int, int]] = {}  #: of a node in a row: which row, and where in it
        self.lengths: list[int] = []  #: of the rows
        self.made: dict[Hashable, Step] = {}  #: rows, and what is made of them
        depth: dict[int, int] = {}
        levels: dict[int, list[Node]] = {}
        for n in nodes:
            depth[n.index] = 1 + max((depth.get(a.index, 0) for a in n.args), default=0)  # what is known stands apart
            if n.index not in known and n.op in NUMPY:
                levels.setdefault(depth[n.index], []).append(n)
        for level in sorted(levels):
            patterns = {n.index: self._patterns(n) for n in levels[level]}
            often = Counter(itertools.chain.from_iterable(patterns.values()))
            alike: dict[Pattern, list[Node]] = {}
            for n in levels[level]:
                alike.setdefault(max(patterns[n.index], key=often.__getitem__), []).append(n)
            for pattern, row in alike.items():
                self._enter(row, pattern)

    def _arguments(self, node: Node) -> Sequence[Node]:
        """The arguments of a node, in an order that those share that are alike."""
        constant = any(a.op == "const" and a.payload for a in node.args)
        if node.op in _EITHER_WAY or (node.op in _BUT_ZEROS and constant):
            return sorted(node.args, key=lambda a: (a.op != "const", *self.place.get(a.index, (-1, a.index))))
        return node.args

    def _patterns(self, node: Node) -> list[Pattern]:
        """What the nodes of a row that this one is in may have in common."""
        ways: list[list[Argument | tuple[int, int]]] = []
        for arg in self._arguments(node):
            same = ("truths" if arg.truth else "numbers") if arg.op == "const" else arg.index
            place = self.place.get(arg.index)
            ways.append([same] if place is None else [place, same])
        found: list[Pattern] = []
        for way in itertools.product(*ways):
            first = next((at[1] for at in way if isinstance(at, tuple)), 0)
            found.append((node.op, tuple(Along(at[0], at[1] - first) if isinstance(at, tuple) else at for at in way)))
        return found

    def _enter(self, row: Sequence[Node], pattern: Pattern) -> None:
        """Put some nodes side by side, where they are enough, and meet each place of other rows once."""
        if len(row) < LEAST:
            return
        operation, arguments = pattern
        leading = next((i for i, at in enumerate(arguments) if isinstance(at, Along)), None)
        if leading is not None:
            places = {n.index: self.place[self._arguments(n)[leading].index][1] for n in row}
            if len(set(places.values())) < len(row):
                self._enter_apart(row, pattern)
                return
            row = sorted(row, key=lambda n: places[n.index])
        keys = [self._column(*one) for one in zip(zip(*map(self._arguments, row)), arguments)]
        if None not in keys:
            number = len(self.lengths)
            self.lengths.append(len(row))
            self.made["row", number] = Step(("row", number), NUMPY[operation], keys)
            self.place |= {n.index: (number, i) for i, n in enumerate(row)}

    def _enter_apart(self, row: Sequence[Node], pattern: Pattern) -> None:
        """The same for the nodes with each of some constants, where they have several."""
        apart: dict[Hashable, list[Node]] = {}
        for n in row:
            apart.setdefault(tuple(a.index for a in n.args if a.op == "const"), []).append(n)
        for part in apart.values() if len(apart) > 1 else ():
            self._enter(part, pattern)

    def _column(self, args: Sequence[Node], at: Argument) -> Hashable | None:
        """The value that holds an argument of each of a row; None where there is none."""
        if all(a is args[0] for a in args):
            return args[0].index
        if not isinstance(at, Along):
            held = np.array([a.payload for a in args]).reshape(-1, *[1] * self.dims)
            constants = ("constants", *(a.index for a in args))
            self.made[constants] = Step(constants, lambda: held, ())
            return constants
        places = [self.place[a.index][1] for a in args]
        run = range(places[0], places[-1] + 1, places[1] - places[0])
        if places != list(run):
            return None
        if len(args) == self.lengths[at.row]:
            return "row", at.row
        part = ("part", at.row, run.start, run.stop, run.step)
        self.made[part] = Step(part, itemgetter(slice(run.start, run.stop, run.step)), [("row", at.row)])
        return part

    def step(self, key: Hashable) -> Step:
        """How a value is made."""
        if key not in self.made:
            assert isinstance(key, int)
            place = self.place.get(key)
            picked = None if place is None else Step(key, itemgetter(place[1]), [("row", place[0])])
            self.made[key] = picked or alone([self.nodes[key]], ())[0]
        return self.made[key]

    def steps(self, wanted: Sequence[Node]) -> list[Step]:
        """What is done, in order, for the values of some nodes."""
        done: set[Hashable] = set()
        found: list[Step] = []
        pending: list[tuple[Hashable, bool]] = [(n.index, False) for n in reversed(wanted)]
        while pending:
            key, ready = pending.pop()
            if key in done or key in self.known:
                continue
            step = self.step(key)
            if ready:
                done.add(key)
                found.append(step)
            else:
                pending += [(key, True), *((a, False) for a in reversed(step.arguments))]
        return found
