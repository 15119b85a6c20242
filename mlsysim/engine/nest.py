"""The specialised nest: loop source for one sweep, compiled by numba and kept on disk.

The source holds the physics as straight lines, written from the recorded graph; it is therefore its own
key: whoever edits an equation gets other source, and never an old number.  Axes stand in it by number and
nodes by index, so no word of a user is ever in the source.  All buffers lie in one
workspace at constant offsets, so that LLVM sees that they do not overlap and vectorises every loop
without checks; no fast-math flag is set (`mlsysim.equations.counting` says why).  Measured on one core:
490 million points/s for 100 operations over a tile whose 800 other operations are hoisted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlsysim.engine import lanes, lines
from mlsysim.engine.graph import Node
from mlsysim.engine.plan import Layout
from mlsysim.engine.workspace import Buffer, Workspace

#: Buffers of different shapes lie at distances that vary from row to row, and LLVM compares every pair of them
#: before it vectorises; with more stores than this in one loop it gives up (16 outputs: 0.57 s in place of 0.16 s).
#: Such a loop works on row buffers at constant distances, filled and emptied by copies.
STORES = 8

#: Room for a row from which the widest vectors pay: 1.1 to 1.35 times as fast with rows of 1,024, slower by a sixth with
#: short ones, of which more is left over.
WIDE = 512

_HEAD = (
    "import math",
    "",
    "import numpy as np",
    "from numpy import uint64 as u",
    "",
    "from mlsysim.engine.intrinsics import {}",
    "",
    "INF = np.inf",
    "NAN = np.nan",
    "",
    "",
)


@dataclass
class Source:
    """A generated nest and what to call it with."""

    text: str
    workspace: int
    inputs: list[Node]  #: in the order of `at`
    input_dims: list[tuple[str, ...]]


class Writer:
    """Writes the nest of a layout.

    Parameters
    ----------
    layout : Layout
    body : sequence of Node
        What the nest computes, in computable order.
    inputs : sequence of Node
        Leaves and tables that it reads.
    dims : mapping
        Axes of every node, by index.
    columns : sequence of Node
        What it delivers, one row of `out` each (in tile order) ...
    stored : bool
        ... or one flat array each, in the order of `order`.
    kinds : (str, frozenset of int), optional
        The axis of points that are of few kinds, and the nodes that have a value a kind (see `mlsysim.engine.kinds`).
    """

    intrinsics: tuple[str, ...] = ("exp", "expm1", "log", "log1p", "power", "select")  #: that the source uses
    result = "position"  #: what the nest returns

    def __init__(
        self,
        layout: Layout,
        body: Sequence[Node],
        inputs: Sequence[Node],
        dims: Mapping[int, frozenset[str]],
        columns: Sequence[Node],
        stored: bool = False,
        order: Sequence[str] = (),
        kinds: tuple[str, frozenset[int]] | None = None,
    ):
        self.kinds = kinds
        self.layout, self.body, self.inputs, self.dims = layout, list(body), list(inputs), dims
        self.columns, self.stored, self.order = list(columns), stored, list(order)
        self.chunked = layout.chunks > 1
        self.outer = list(layout.outer)
        self.axis = {a: i for i, a in enumerate(layout.sizes)}
        self.number = {node.index: i for i, node in enumerate(self.inputs)}
        self.buffers: dict[int, Buffer] = {}
        self.workspace = Workspace(layout)
        self.lines: list[str] = []
        self.groups: dict[tuple[int, int, int, tuple[str, ...]], list[Node]] = {}  #: nodes by where they are computed
        self.turns: dict[int, int] = {}  #: of the nodes behind others, or stages themselves
        self.wanted: set[int] = set()  #: nodes that are kept in the workspace
        self.places: dict[str, str] = {}  #: names of places in tables that a tile has one value of
        self.depth_max = len(self.outer)

    # --- where things are ----------------------------------------------------------------------------------

    def inside(self, node: Node) -> tuple[str, ...]:
        """Tile axes of a node, in loop order."""
        return tuple(a for a in self.layout.tile if a in self.dims[node.index])

    def level(self, node: Node) -> int:
        """The outer loop in which a node is computed: 0 before all of them."""
        depth = max((i + 1 for i, a in enumerate(self.outer) if a in self.dims[node.index]), default=0)
        return self.layout.levels[depth] if self.layout.levels else depth

    def phase(self, node: Node) -> int:
        """What of a tile it belongs to: 0 is computed at once, more where it turns out to be needed."""
        return 0

    def where(self, node: Node) -> tuple[int, int, int, tuple[str, ...]]:
        """Where a node is computed: in which phase, outer loop, turn and loop over the tile."""
        return self.phase(node), self.level(node), self.turns.get(node.index, 0), self.inside(node)

    def is_stage(self, node: Node) -> bool:
        """Is a node a stage that the nest evaluates, rather than reads?"""
        return node.op == "stage" and node.index not in self.number

    def is_read(self, node: Node) -> bool:
        """Is a node an input that a tile has one value of?  It is read where it is needed: copies would have to be compiled."""
        return node.index in self.number and not self.inside(node) and not self.of_kind(node)

    def take_turns(self) -> None:
        """Stages have loops of their own, so what is computed in one place takes turns: even ones, and odd ones of stages."""
        if not any(map(self.is_stage, self.body)):
            return
        for node in self.body:
            place = self.phase(node), self.level(node)
            before = [self.turns.get(a.index, 0) for a in node.args if (self.phase(a), self.level(a)) == place]
            turn = max((turn + turn % 2 for turn in before), default=0)
            self.turns[node.index] = turn + 1 if self.is_stage(node) else turn

    def buffer(self, node: Node) -> Buffer:
        """The place of a node in the workspace."""
        if node.index not in self.buffers:
            self.buffers[node.index] = self.workspace.buffer(self.inside(node))
        return self.buffers[node.index]

    def place(self, node: Node) -> str:
        """Where a node is kept, for the current loop indices: in the workspace, or in the table that it is read from."""
        return self.of_tile(node) if self.is_read(node) else self.buffer(node).element(self.axis)

    # --- expressions ---------------------------------------------------------------------------------------

    name = staticmethod(lines.name)

    def expression(self, node: Node) -> str:
        return lines.expression(node)

    # --- lines ---------------------------------------------------------------------------------------------

    def put(self, depth: int, *lines: str) -> None:
        self.lines.extend("    " * depth + line for line in lines)

    def fetch(self, node: Node, row: str | None = None) -> str:
        place = row or self.place(node)
        return f"{self.name(node)} = {place} != 0.0" if node.truth else f"{self.name(node)} = {place}"

    def keep(self, node: Node, row: str | None = None) -> str:
        return f"{row or self.place(node)} = {'1.0 if ' + self.name(node) + ' else 0.0' if node.truth else self.name(node)}"

    def group(self, depth: int, nodes: list[Node], inside: tuple[str, ...], passed: Sequence[str] = ()) -> None:
        """All nodes of one level over the same tile axes: scalars, or a loop nest; `passed` stands before its last loop."""
        if self.is_stage(nodes[0]):
            for node in nodes:
                self.stage(depth, node, inside, passed)
            return
        here = {n.index for n in nodes}
        outside: dict[int, Node] = {}
        for node in nodes:
            for arg in node.args if node.index not in self.number else ():
                if arg.op != "const" and arg.index not in here:
                    outside.setdefault(arg.index, arg)
        waiting = sorted(outside.values(), key=lambda n: n.index)
        vector = inside[-1] if inside else None
        steady = [n for n in waiting if vector is None or vector not in self.inside(n)]
        moving = [n for n in waiting if vector is not None and vector in self.inside(n)]
        fetched_already: set[int] = set()

        def fetched(depth: int, known: set[str]) -> None:
            for n in steady:
                if n.index not in fetched_already and set(self.inside(n)) <= known:
                    self.put(depth, self.fetch(n))
                    fetched_already.add(n.index)

        known: set[str] = set()
        fetched(depth, known)
        for axis in inside:
            self.put(
                depth, *(passed if axis == vector else ()), f"for j_{self.axis[axis]} in range(m_{self.axis[axis]}):"
            )
            depth += 1
            known.add(axis)
            if axis != vector:
                fetched(depth, known)
        kept = [n for n in nodes if n.index in self.wanted]
        by_row = len(inside) > 1 and len(kept) > STORES
        rows: dict[int, str] = {}
        gathered = self.gather(depth, [n for n in nodes if n.index in self.number and self.of_kind(n)], vector)
        if by_row:
            step, loop = f"j_{self.axis[inside[-1]]}", self.lines.pop()
            for n in [*moving, *kept]:
                rows[n.index] = f"w[u({self.workspace.row(len(gathered) + len(rows))}) + {step}]"
            for n in moving:
                self.lines.append(loop)
                self.put(depth, f"{rows[n.index]} = {self.place(n)}")
            self.lines.append(loop)
        for n in moving:
            self.put(depth, self.fetch(n, rows.get(n.index)))
        for node in nodes:
            if node.index in gathered:
                self.put(depth, self.fetch(node, gathered[node.index]))
            elif node.index in self.number:
                self.put(depth, self.read(node))
            else:
                self.put(depth, f"{self.name(node)} = {self.expression(node)}")
            if node.index in self.wanted:
                self.put(depth, self.keep(node, rows.get(node.index)))
        if by_row:
            for n in kept:
                self.lines.append(loop)
                self.put(depth, f"{self.place(n)} = {rows[n.index]}")

    def stage(self, depth: int, node: Node, inside: tuple[str, ...], passed: Sequence[str]) -> None:
        """A stage along the rows of a tile (see `mlsysim.engine.lanes`); `passed` stands before each."""
        steady = {a.index: a for a in node.args if self.is_read(a)}
        self.put(depth, *map(self.fetch, steady.values()))
        for axis in inside[:-1]:
            self.put(depth, f"for j_{self.axis[axis]} in range(m_{self.axis[axis]}):")
            depth += 1
        lane, length = (f"j_{self.axis[inside[-1]]}", f"m_{self.axis[inside[-1]]}") if inside else ("lane", "u(1)")
        fetch = [self.name(a) if a.index in steady else self.value(a) for a in node.args]
        stage = lanes.lined(node.payload[0])
        self.put(depth, *passed, *lanes.loops(stage, fetch, self.place(node), lane, length, self.workspace.lanes))

    def of_kind(self, node: Node) -> bool:
        """Has an input a value for each kind of point?"""
        return self.kinds is not None and node.index in self.kinds[1]

    def gather(self, depth: int, inputs: list[Node], vector: str | None) -> dict[int, str]:
        """Find the kind of a point; along the axis of points, take what is read of it into row buffers first.

        A compiler cannot tell that what it reads from a place that depends on data is not what it writes, and so would
        vectorise nothing of a loop that does both.
        """
        if not inputs or self.kinds is None:
            return {}
        kind = f"kind = u(at[u({len(self.inputs)}) + {self.step(self.kinds[0])}])"
        if vector is None:
            self.put(depth, kind)
            return {}
        loop = self.lines.pop()
        gathered: dict[int, str] = {}
        if vector == self.kinds[0]:
            for n in inputs:  # in a loop each: rows that lie a power of two apart share a line of the cache
                gathered[n.index] = f"w[u({self.workspace.row(len(gathered))}) + j_{self.axis[vector]}]"
                self.lines.append(loop)
                self.put(depth, kind, f"{gathered[n.index]} = {self.element(n)}")
        else:
            self.put(depth - 1, kind)
        self.lines.append(loop)
        return gathered

    def along(self, node: Node) -> list[str]:
        """Axes of an input array: outer ones first, then those of the tile; a kind of point stands before all of them."""
        own = [a for a in (*self.outer, *self.layout.tile) if a in self.dims[node.index]]
        return [a for a in own if self.kinds is None or not self.of_kind(node) or a != self.kinds[0]]

    def step(self, axis: str) -> str:
        """The position along an axis."""
        if axis in self.outer:
            return f"i_{self.axis[axis]}"
        step = f"j_{self.axis[axis]}"
        return f"(first + {step})" if axis == self.layout.tile[-1] and self.chunked else step

    def index(self, node: Node) -> str:
        """Where the element of an input array lies that is read; empty for a number."""
        index = "kind" if self.of_kind(node) else ""
        for axis in self.along(node):
            index = f"({index}) * n_{self.axis[axis]} + {self.step(axis)}" if index else self.step(axis)
        return index

    def element(self, node: Node) -> str:
        """The element of an input array that is read."""
        number, index = self.number[node.index], self.index(node)
        return f"data[at_{number} + {index}]" if index else f"data[at_{number}]"

    def of_tile(self, node: Node) -> str:
        """The same where a tile has one: inputs over the same axes share the name of their place."""
        number, index = self.number[node.index], self.index(node)
        if not index:
            return f"data[u(at[{number}])]"
        return f"data[u(at[{number}]) + {self.places.setdefault(index, f'place_{len(self.places)}')}]"

    def read(self, node: Node) -> str:
        """Take a value of an input array."""
        return self.fetch(node, self.element(node))

    def write(self) -> Source:
        self.take_turns()
        for node in [*self.inputs, *self.body]:
            if not self.is_read(node):
                self.groups.setdefault(self.where(node), []).append(node)
        self.wanted |= {c.index for c in self.columns}
        for node in self.body:
            self.wanted |= {arg.index for arg in node.args if arg.op != "const" and self.where(arg) != self.where(node)}
        wide = bool(self.layout.tile) and self.workspace.capacity(self.layout.tile[-1]) >= WIDE
        also = ("count",) * any(map(self.is_stage, self.body)) + ("wide",) * wide
        text = "\n".join(_HEAD).format(", ".join(dict.fromkeys((*self.intrinsics, *also))))
        self.put(0, text, f"def nest(lo, hi, sizes, at, data, w, {self.outs()}):")
        self.put(1, *["wide()"] * wide)
        for axis, i in self.axis.items():
            self.put(1, f"n_{i} = u(sizes[{i}])")
            if axis in self.layout.tile:
                self.put(1, f"m_{i} = n_{i}")
        self.put(
            1, *(f"at_{number} = u(at[{number}])" for number, node in enumerate(self.inputs) if not self.is_read(node))
        )
        self.put(1, "position = u(0)", *self.before(), "for tile in range(lo, hi):", "    rest = u(tile)")
        for axis in reversed(self.outer):
            i = self.axis[axis]
            self.put(2, f"i_{i} = rest % n_{i}", f"rest = rest // n_{i}")
        if self.chunked:  # the chunks are the outermost loop: what is hoisted of a chunk stays
            last, chunk = self.axis[self.layout.tile[-1]], f"u({self.layout.chunk})"
            self.put(2, f"first = rest * {chunk}", f"m_{last} = min({chunk}, n_{last} - first)")
        head = len(self.lines)
        inner = [f"i_{self.axis[a]}" for a in self.outer]
        for level in range(self.depth_max + 1):
            groups, begun = self.insides(0, level), self.begun(level)
            if not groups and not begun and not (self.stored or level == self.depth_max):
                continue
            depth = 2
            if level < self.depth_max:
                still = " and ".join(f"{name} == 0" for name in inner[level:])
                self.put(2, f"if tile == lo or ({still}):" if level or self.chunked else "if tile == lo:")
                depth = 3
                self.put(depth, *(begun or ["pass"]))
            for turn, inside in groups:
                self.group(depth, self.groups[0, level, turn, inside], inside)
            self.computed(depth, level)
            if self.stored:
                for number, column in enumerate(self.columns):
                    if self.level(column) == level:
                        self.store(depth, number, column)
        if not self.stored:
            self.deliver(2)
        self.lines[head:head] = [f"        {name} = {index}" for index, name in self.places.items()]
        self.put(1, f"return {self.result}")
        dims = [tuple(self.along(n)) for n in self.inputs]
        return Source("\n".join(self.lines) + "\n", self.workspace.used + 16, self.inputs, dims)

    def insides(self, phase: int, level: int) -> list[tuple[int, tuple[str, ...]]]:
        """Turns and tile axes of the groups of a level, in the order in which they are written."""
        found = [(turn, inside) for p, at, turn, inside in self.groups if (p, at) == (phase, level)]
        return sorted(found, key=lambda group: (group[0], self._in_order(group[1])))

    def before(self) -> list[str]:
        """What stands before the loop over the tiles."""
        return []

    def begun(self, level: int) -> list[str]:
        """What is to be noted when an outer loop comes round."""
        return []

    def computed(self, depth: int, level: int) -> None:
        """What follows when all of an outer loop is computed."""

    def points(self) -> str:
        """How many points the tile has."""
        return " * ".join(f"m_{self.axis[a]}" for a in self.layout.tile) or "u(1)"

    def outs(self) -> str:
        """The arguments behind the workspace: what is written, and what it takes to know where."""
        return ", ".join(f"out_{i}" for i in range(len(self.columns))) if self.stored else "out"

    def _in_order(self, inside: tuple[str, ...]) -> tuple[int, list[int]]:
        """Rank of a loop nest among its neighbours: by its axes' numbers, as a name must not change the source."""
        return len(inside), [self.axis[a] for a in inside]

    def value(self, column: Node) -> str:
        if column.op == "const":
            return self.name(column)
        return self.place(column)

    def deliver(self, depth: int) -> None:
        """Copy the columns of a tile to the block, packed."""
        tile = self.layout.tile
        for number, column in enumerate(self.columns):
            at = depth
            step = "u(0)"
            for axis in tile:
                self.put(at, f"for j_{self.axis[axis]} in range(m_{self.axis[axis]}):")
                at += 1
                step = (
                    f"({step}) * m_{self.axis[axis]} + j_{self.axis[axis]}"
                    if step != "u(0)"
                    else f"j_{self.axis[axis]}"
                )
            self.put(at, f"out[{number}, position + {step}] = {self.value(column)}")
        self.put(depth, f"position += {self.points()}")

    def store(self, depth: int, number: int, column: Node) -> None:
        """Write an output where it belongs in its own array."""
        index = ""
        own = [a for a in self.order if a in self.dims[column.index]]
        idle = [a for a in self.outer[: self.level(column)] if a not in own]
        if idle:  # once, not again for every value of an axis on which it does not depend
            self.put(depth, f"if {' and '.join(f'i_{self.axis[a]} == 0' for a in idle)}:")
            depth += 1
        for axis in self.inside(column):
            self.put(depth, f"for j_{self.axis[axis]} in range(m_{self.axis[axis]}):")
            depth += 1
        for axis in own:
            i = self.axis[axis]
            index = f"({index}) * n_{i} + {self.step(axis)}" if index else self.step(axis)
        self.put(depth, f"out_{number}[{index or '0'}] = {self.value(column)}")
