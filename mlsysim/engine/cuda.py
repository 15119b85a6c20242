"""The walk: the nest's sibling for a GPU, a recorded graph as a CUDA kernel in lines that numba-cuda compiles.

A *block* of a device walks a *span*: steps of the outer loops, one after another, for one chunk of the tile.  Each of its
threads, a *lane*, stays at one place of the tile meanwhile.  What does not depend on the loops that move stays in a
register of the lane, so nothing is shared and no lane waits for another until the span is done.  What is done with a point,
and what is left of a span, is a *pick*: the least point (`least`), what is not behind a bar (`below`), what no row of a
front dominates (`front`).

A device has the CPU's bits.  `times` is a multiplication that no compiler fuses with an addition, as it would ``a * b``;
additions, divisions and square roots round correctly there, too; and exponentials, logarithms and powers are made of these
(see `mlsysim.engine.elementary`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlsysim.engine.graph import Node
from mlsysim.engine.nest import Source, Writer
from mlsysim.engine.plan import Layout

LANES = 256  #: most threads of a block; a power of two
NOWHERE = 2**64 - 1  #: a place behind all places
STRAIGHT = 256  #: lines without a branch; numba takes time with the square of their number (4,100 of them: 60 s, or 15)

_HEAD = ("import numpy as np", "from numba import cuda", "", "INF = np.inf", "NAN = np.nan", "", "")


@dataclass(frozen=True)
class Pick:
    """Lines of a walk besides the physics.

    In them ``k0``, ``k1`` ... are the columns of a point, ``verdict`` the last of them, ``alive`` says if the lane has a
    point, and ``PLACE`` stands for its place along the axes.

    Attributes
    ----------
    arguments : tuple of str
        Besides those of every walk.
    width : int
        Columns that it looks at.
    verdicts : int
        Kinds of verdicts that it counts, if any.
    before, at_point, after : tuple of str
        Before a span, at each of its points, after it.
    """

    arguments: tuple[str, ...]
    width: int
    verdicts: int
    before: tuple[str, ...]
    at_point: tuple[str, ...]
    after: tuple[str, ...]


def _counting(verdicts: int) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Count each of so many verdicts and, behind them, what is accepted: a row of `tally` for each block."""
    every = f"for i in range(lane, u({verdicts + 1}), lanes):"
    before = (
        f"bins = cuda.shared.array({verdicts + 1}, np.int32)",
        every,
        "    bins[i] = 0",
        "cuda.syncthreads()",
        "accepted = 0",
    )
    at_point = ("if alive:", "    cuda.atomic.add(bins, u(verdict), 1)") if verdicts else ()
    after = (
        f"cuda.atomic.add(bins, u({verdicts}), accepted)",
        "cuda.syncthreads()",
        every,
        "    tally[number, i] = bins[i]",
    )
    return before, at_point, after


def _precedes(one: Sequence[str], other: Sequence[str], decided: str) -> str:
    """Does a point come before another: by its key, by what decides among equals, else as `decided`?

    A key is a number; what decides among equals may be NaN, which comes last.
    """
    text = decided
    for i, (a, b) in reversed(list(enumerate(zip(one, other)))):
        less, same = f"{a} < {b}", f"{a} == {b}"
        if i:
            less, same = f"({less} or ({a} == {a} and {b} != {b}))", f"({same} or ({a} != {a} and {b} != {b}))"
        text = f"{less} or ({same} and ({text}))"
    return text


def least(width: int, verdicts: int) -> Pick:
    """The least point of each span by some columns, the first of them the key; with none it only counts."""
    before, at_point, after = _counting(verdicts)
    if not width:
        return Pick(("tally",), 0, verdicts, before, at_point, after)
    keys, own, rows = ([f"{name}{i}" for i in range(width)] for name in ("k", "least", "row"))
    mine, theirs = ([f"{row}[{lane}]" for row in rows] for lane in ("lane", "other"))
    start = (*(f"{name} = INF" for name in own), f"least_at = u({NOWHERE})")
    enter = (
        "if alive and k0 != INF:",
        "    accepted += 1",
        "    if k0 <= least0:",
        "        place = PLACE",
        f"        if {_precedes(keys, own, 'place < least_at')}:",
        *(f"            {name} = {key}" for name, key in zip(own, keys)),
        "            least_at = place",
    )
    meet = (
        *(f"{row} = cuda.shared.array({LANES}, np.float64)" for row in rows),
        f"row_at = cuda.shared.array({LANES}, np.uint64)",
        *(f"{row} = {name}" for row, name in zip(mine, own)),
        "row_at[lane] = least_at",
        "cuda.syncthreads()",
        f"half = u({LANES // 2})",
        "while half > u(0):",
        "    other = lane + half",
        "    if lane < half and other < lanes:",
        f"        if {_precedes(theirs, mine, 'row_at[other] < row_at[lane]')}:",
        *(f"            {a} = {b}" for a, b in zip(mine, theirs)),
        "            row_at[lane] = row_at[other]",
        "    cuda.syncthreads()",
        "    half = half // u(2)",
        "if lane == u(0):",
        *(f"    keys[number, {i}] = {row}[0]" for i, row in enumerate(rows)),
        "    places[number] = row_at[0]",
    )
    arguments = ("keys", "places", "tally")
    return Pick(arguments, width, verdicts, (*before, *start), (*enter, *at_point), (*after, *meet))


def _written(width: int) -> tuple[str, ...]:
    """Write a point down; those for which there is no room are counted all the same."""
    return (
        "slot = cuda.atomic.add(count, 0, 1)",
        "if slot < len(places):",
        *(f"    keys[slot, {i}] = k{i}" for i in range(width)),
        "    places[slot] = PLACE",
    )


def below(width: int) -> Pick:
    """What does not come behind the bar of its cell."""
    bars = [f"bars[cell, {i}]" for i in range(width)]
    at_point = (
        "if alive and k0 != INF and k0 <= bars[cell, 0]:",
        f"    if {_precedes([f'k{i}' for i in range(width)], bars, '(PLACE) <= ends[cell]')}:",
        *(f"        {line}" for line in _written(width)),
    )
    return Pick(("bars", "ends", "keys", "places", "count"), width, 0, (), at_point, ())


def front(width: int, verdicts: int) -> Pick:
    """What no row of a front dominates; what equals a row is counted with it, and its lowest place kept."""
    before, at_point, after = _counting(verdicts)
    enter = (
        "if alive and k0 < INF:",
        "    accepted += 1",
        "    free = True",
        "    for row in range(len(rows)):",
        f"        if {' and '.join(f'rows[row, {i}] <= k{i}' for i in range(width))}:",
        f"            if {' and '.join(f'rows[row, {i}] == k{i}' for i in range(width))}:",
        "                cuda.atomic.add(equals, row, 1)",
        "                cuda.atomic.min(lowest, row, PLACE)",
        "            free = False",
        "            break",
        "    if free:",
        *(f"        {line}" for line in _written(width)),
    )
    arguments = ("rows", "equals", "lowest", "keys", "places", "count", "tally")
    return Pick(arguments, width, verdicts, before, (*enter, *at_point), after)


class Walk(Writer):
    """Writes the walks of a layout.

    Parameters
    ----------
    layout, body, inputs, dims, columns, kinds
        See `mlsysim.engine.nest.Writer`.
    cells : int
        How many of the outer axes, the first of them, stand still in a span.
    run : int
        Steps of a span.
    strides : mapping of str to int
        What a step along each axis adds to a place.
    """

    def __init__(
        self,
        layout: Layout,
        body: Sequence[Node],
        inputs: Sequence[Node],
        dims: Mapping[int, frozenset[str]],
        columns: Sequence[Node],
        kinds: tuple[str, frozenset[int]] | None,
        cells: int,
        run: int,
        strides: Mapping[str, int],
    ):
        super().__init__(layout, body, inputs, dims, columns, kinds=kinds)
        self.cells, self.run, self.strides = cells, run, strides
        self.steps = math.prod(layout.sizes[a] for a in layout.outer[cells:])
        self.runs = -(-self.steps // run)

    def level(self, node: Node) -> int:
        """The outer loop in which a node is computed: 0 before all of them, where it is of the tile alone."""
        return max((i + 1 for i, a in enumerate(self.outer) if a in self.dims[node.index]), default=0)

    def expression(self, node: Node) -> str:
        names = [self.name(a) for a in node.args]
        if node.op == "mul":
            return f"times({names[0]}, {names[1]})"
        if node.op == "div" and node.args[1].op == "const" and abs(math.frexp(node.args[1].payload)[0]) == 0.5:
            return f"times({names[0]}, {1.0 / node.args[1].payload!r})"  # a compiler would do so, and fuse it
        if node.op == "float":
            return f"select({names[0]}, 1.0, 0.0)"
        if node.op in ("sqrt", "floor", "ceil", "rint"):
            return f"{node.op}({names[0]})"
        return super().expression(node)

    def reads(self) -> Source:
        """What a walk reads, for `mlsysim.engine.tables.pack`."""
        return Source("", 0, self.inputs, [tuple(self.along(n)) for n in self.inputs])

    def picking(self, pick: Pick, at: Sequence[int]) -> str:
        """The walk for a pick; `at` says where each input begins."""
        self.lines = []
        by_level: dict[int, list[Node]] = {}
        for node in [*self.inputs, *self.body]:
            by_level.setdefault(self.level(node), []).append(node)
        self.put(0, *_HEAD)
        self.put(0, f"def walk({', '.join(('which', 'kinds', 'data', *pick.arguments))}):")
        self.stand(at)
        self.put(1, *pick.before)
        self.compute(1, by_level.get(0, []))
        self.put(1, "since = u(0)", "for step in range(end):")
        for level in range(1, len(self.outer) + 1):
            if level in by_level:
                always = level == len(self.outer)
                if not always:
                    self.put(2, f"if since <= u({level}):")
                self.compute(2 if always else 3, by_level[level])
        self.put(2, *(f"k{i} = {self.name(column)}" for i, column in enumerate(self.columns[: pick.width])))
        if pick.verdicts:
            self.put(2, f"verdict = {self.name(self.columns[-1])}")
        place = " + ".join(f"{self.step(axis)} * u({self.strides[axis]})" for axis in self.axis) or "u(0)"
        self.put(2, *(line.replace("PLACE", place) for line in pick.at_point))
        self.advance()
        self.put(1, *pick.after)
        return "\n".join(self.lines) + "\n"

    def stand(self, at: Sequence[int]) -> None:
        """Where a block stands: its span, and the place of each of its lanes in the tile.

        Lengths and offsets are written as they are: in registers they would crowd out half of the lanes.
        """
        self.put(1, *(f"n_{i} = u({self.layout.sizes[axis]})" for axis, i in self.axis.items()))
        self.put(1, *(f"at_{number} = u({at[number]})" for number in range(len(self.inputs))))
        self.put(
            1,
            f"length, chunks = u({self.layout.chunk}), u({self.layout.chunks})",
            f"run, runs, steps = u({self.run}), u({self.runs}), u({self.steps})",
            "lane = u(cuda.threadIdx.x)",
            "lanes = u(cuda.blockDim.x)",
            "number = u(cuda.blockIdx.x)",
            "block = u(which[number])",
            "chunk = block % chunks",
            "cell = block // chunks // runs",
            "begin = (block // chunks % runs) * run",
            "end = min(run, steps - begin)",
        )
        for axes, start in ((self.outer[: self.cells], "cell"), (self.outer[self.cells :], "begin")):
            self.put(1, f"rest = {start}")
            for i in (self.axis[a] for a in reversed(axes)):
                self.put(1, f"i_{i} = rest % n_{i}", f"rest = rest // n_{i}")
        self.put(1, "rest = lane")
        for axis in reversed(self.layout.tile):
            i, m = self.axis[axis], f"n_{self.axis[axis]}"
            if axis == self.layout.tile[-1]:
                m = "extent"
                self.put(1, "first = chunk * length", f"{m} = min(length, n_{i} - first)")
            self.put(1, f"j_{i} = rest % {m}", f"rest = rest // {m}")
        self.put(1, "alive = rest == u(0)")

    def compute(self, depth: int, nodes: Sequence[Node]) -> None:
        """The lines of the nodes of a loop."""
        if self.kinds is not None and any(n.index in self.number and self.of_kind(n) for n in nodes):
            self.put(depth, f"kind = u(kinds[{self.step(self.kinds[0])}])")
        for number, node in enumerate(nodes, 1):
            given = node.index in self.number
            self.put(depth, self.read(node) if given else f"{self.name(node)} = {self.expression(node)}")
            if number % STRAIGHT == 0:
                self.put(depth, f"if lane == u({NOWHERE}):", "    return")

    def advance(self) -> None:
        """Go on to the next step, and note the outermost loop that moves."""
        moving = list(enumerate(self.outer))[self.cells :]
        for depth, (number, axis) in enumerate(reversed(moving), 2):
            i = self.axis[axis]
            self.put(depth, f"i_{i} += u(1)", f"since = u({number + 1})")
            if number > self.cells:
                self.put(depth, f"if i_{i} == n_{i}:", f"    i_{i} = u(0)")
