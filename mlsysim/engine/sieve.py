"""The nest of a search: it hands out only the tiles in which something may win, and counts all the others.

What a search has found so far stands in *bars*: by cell of its `by`, the key that a newcomer must not exceed, and the
place that one of the same key must come before.  A tile is handed out where any of its points passes; that is rare once
the bars are low, so the least key and the numbers of what works and of what is rejected stay in registers, and no
column leaves the first-level cache.  A bar that is out of date lets more through, never less.

What must hold for a point to work stands in *gates*.  They are looked at first, and where no point of a tile passes, the
rest of the equations (the objective, mostly) is not computed for it: all of its points are known to be rejected, and why.
Nor is it for a row of a tile, a run of its innermost axis, in which no point passes.
What belongs to the rest and depends on few of the outer loops is computed when it is first needed, and then kept.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mlsysim.engine.graph import Node, reached
from mlsysim.engine.nest import Writer
from mlsysim.engine.plan import weight
from mlsysim.engine.workspace import Buffer

MOST_VERDICTS = 48  #: kinds of verdicts that are counted side by side
BEHIND = (
    16.0  #: operations at every point behind a gate that are worth another loop over the tile, for each 16 of its own
)
LONG = 1000.0  #: operations at a point beyond which a loop is not cut in two: nothing was gained of ContinuousBatchingModel


class Gate(NamedTuple):
    """What must hold for a point to work."""

    conditions: tuple[Node, ...]  #: all of them
    verdict: Node | None = None  #: why a point is rejected that fails here or before; None where nobody asks

    @property
    def nodes(self) -> list[Node]:
        """What is read of it."""
        return [n for n in (*self.conditions, self.verdict) if n is not None and n.op != "const"]


@dataclass
class Sought:
    """What the reductions of a pass seek.

    Attributes
    ----------
    keys : sequence of (int, tuple of str)
        Columns that are minimized, none of them ever NaN, and the axes of the cells of each.
    verdicts : sequence of (int, tuple of int)
        Columns whose values are counted, and which values they have.
    strides : mapping
        By axis, what a step along it adds to the place of a point among equals.
    gates : sequence of Gate
        Where one of them fails, every key is infinite and every verdict is that of the gate.
    bars : callable
        Of the state of a thread: the key and the place to beat by cell, one after the other for all of `keys`.
    """

    keys: Sequence[tuple[int, tuple[str, ...]]]
    verdicts: Sequence[tuple[int, tuple[int, ...]]]
    strides: Mapping[str, int]
    gates: Sequence[Gate]
    bars: Callable[[Any], list[np.ndarray]]

    @property
    def nodes(self) -> list[Node]:
        """What is read besides the columns."""
        return [node for gate in self.gates for node in gate.nodes]

    @property
    def text(self) -> str:
        """All of it that stands in a source."""
        gates = [
            ([c.index for c in gate.conditions], None if gate.verdict is None else gate.verdict.index)
            for gate in self.gates
        ]
        return repr((self.keys, self.verdicts, gates))

    @property
    def n_tallies(self) -> int:
        """Numbers that the nest counts: tiles that it keeps, what works of every key, verdicts."""
        return 1 + len(self.keys) + sum(len(values) for _, values in self.verdicts)

    def tallied(self, counted: np.ndarray) -> dict[int, np.ndarray]:
        """What the nest counted, by column: of a key how often it is finite, of a verdict how often it has each value."""
        found = {column: counted[1 + i : 2 + i] for i, (column, _) in enumerate(self.keys)}
        at = 1 + len(self.keys)
        for column, values in self.verdicts:
            found[column] = np.zeros(max(values) + 1, dtype=np.int64)
            found[column][list(values)] = counted[at : at + len(values)]
            at += len(values)
        return found


def values_of(node: Node) -> tuple[int, ...] | None:
    """The values that a node can have, where it chooses among a few whole numbers; else None."""
    found, seen, pending = set[int](), set[int](), [node]
    while pending:
        top = pending.pop()
        if top.index in seen:
            continue
        seen.add(top.index)
        if top.op == "where":
            pending += top.args[1:]
        elif top.op == "const" and float(top.payload).is_integer() and top.payload >= 0:
            found.add(int(top.payload))
        else:
            return None
    return tuple(sorted(found)) if len(found) <= MOST_VERDICTS else None


class Sieve(Writer):
    """Writes the nest of a search (see `mlsysim.engine.nest.Writer`)."""

    intrinsics = (*Writer.intrinsics, "count", "lower")
    result = "u(hi)"  #: the tile to go on with

    def __init__(self, sought: Sought, *args: Any):
        super().__init__(*args)
        self.sought = sought
        known = {n.index for n in self.inputs}
        self.gates = [gate for gate in _together(sought.gates, known) if self._pays(gate)]
        self.phases: dict[int, int] = {}
        self.rows: dict[int, Buffer] = {}  #: by gate: how many points of a row of the tile pass
        for phase, gate in reversed(list(enumerate(self.gates))):
            self.phases |= {n.index: phase for n in reached(gate.nodes)}
            self.wanted |= {n.index for n in gate.nodes}

    def _pays(self, gate: Gate) -> bool:
        """Is enough spared where a gate is closed, and little lost where it is open?"""
        needed = {n.index for n in reached(gate.nodes)}
        own = behind = 0.0
        for node in self.body:
            each = weight(node) / math.prod(self.layout.sizes[a] for a in self._idle(node, self.level(node)))
            own, behind = (own + each, behind) if node.index in needed else (own, behind + each)
        return behind >= BEHIND * max(1.0, own / 16.0) and (not own or own + behind <= LONG)

    def _idle(self, node: Node, level: int) -> list[str]:
        """Axes along which a node is not computed again."""
        return [*self.outer[level:], *(a for a in self.layout.tile if a not in self.dims[node.index])]

    def phase(self, node: Node) -> int:
        return self.phases.get(node.index, len(self.gates))

    def before(self) -> list[str]:
        stale = [line for level in range(self.depth_max) for line in self.begun(level)]
        known = [f"also_{level} = True" for level in sorted({self.level(c) for c in self._apart(0)})]
        return [*stale, *known, f"open_0 = u({0 if self._moving(0) else 1})"] if self.gates else stale

    def begun(self, level: int) -> list[str]:
        late = sorted({phase for phase, at, *_ in self.groups if phase and at == level < self.depth_max})
        return [f"stale_{phase}_{level} = True" for phase in late]

    def outs(self) -> str:
        bars = "".join(f", bar_{k}, before_{k}" for k in range(len(self.sought.keys)))
        return f"out, kept, counted, strides{bars}"

    def deliver(self, depth: int) -> None:
        """Go through the gates, count what is in the tile, and hand it out where something of it passes the bars."""
        self._pass(depth, 0)

    def _pass(self, depth: int, phase: int) -> None:
        """What is done with a tile in which some point passed all gates before one."""
        if phase:
            self._late(depth, phase)
        if phase == len(self.gates):
            self._search(depth)
            return
        if phase:
            self._open(depth, phase)
        self.put(depth, f"if {self._passed(phase)}:")
        self._pass(depth + 1, phase + 1)
        verdict = self.gates[phase].verdict
        if verdict is not None and self.sought.verdicts:
            self.put(depth, "else:")
            at = 1 + len(self.sought.keys)
            for _, values in self.sought.verdicts:
                self._tally(depth + 1, verdict, values, at, works=False)
                at += len(values)

    def computed(self, depth: int, level: int) -> None:
        """Count what passes the first gate where all that it takes is known; what comes later in the loops, stands alone."""
        if self.gates and level == self._known_at(0):
            self._open(depth, 0)
        late = [c for c in self._apart(0) if self.level(c) == level]
        if late:
            self.put(depth, f"also_{level} = {self._all(late)}")

    def _moving(self, phase: int) -> list[Node]:
        """Conditions of a gate that vary in a tile, with those of the gates before it."""
        return [c for gate in self.gates[: phase + 1] for c in gate.conditions if self.inside(c)]

    def _known_at(self, phase: int) -> int:
        """The outer loop in which the moving conditions of a gate are known; its own place for a later gate."""
        return self.depth_max if phase else max((self.level(c) for c in self._moving(0)), default=0)

    def _apart(self, phase: int) -> list[Node]:
        """Conditions of the first gate that are known only deeper in the loops than those that vary in a tile."""
        if phase or not self.gates:
            return []
        return [c for c in self.gates[0].conditions if not self.inside(c) and self.level(c) > self._known_at(0)]

    def _all(self, conditions: Sequence[Node]) -> str:
        return " and ".join(f"{self.value(c)} != 0.0" for c in conditions)

    def _passed(self, phase: int) -> str:
        """Does any point of a tile pass a gate?"""
        late = sorted({self.level(c) for c in self._apart(phase)})
        return " and ".join([f"open_{phase} != u(0)", *(f"also_{level}" for level in late)])

    def _open(self, depth: int, phase: int) -> None:
        """Count the points of a tile that pass a gate and all before it."""
        moving, apart = self._moving(phase), self._apart(phase)
        fixed = [
            c for c in self.gates[phase].conditions if not self.inside(c) and c.index not in {n.index for n in apart}
        ]
        self.put(depth, f"open_{phase} = u({0 if moving else 1})")
        inner = depth
        if fixed:
            self.put(depth, f"if {self._all(fixed)}:" if moving else f"if not ({self._all(fixed)}):")
            inner += 1
            if not moving:
                self.put(inner, f"open_{phase} = u(0)")
        if moving:
            self._count(inner, phase, moving)

    def _count(self, depth: int, phase: int, moving: Sequence[Node]) -> None:
        """Add up the points that pass a gate, and keep how many of each row do."""
        *over, vector = self.layout.tile
        rows = [a for a in over if any(a in self.inside(c) for c in moving)]
        along = [vector] if any(vector in self.inside(c) for c in moving) else []
        passes = f"count({' & '.join(f'({self.value(c)} != 0.0)' for c in moving)})"
        inner = self._loops(depth, rows)
        if not rows:
            self.put(self._loops(inner, along), f"open_{phase} += {passes}")
            return
        self.rows[phase] = self.workspace.buffer(rows)
        self.put(inner, "passing = u(0)")
        self.put(self._loops(inner, along), f"passing += {passes}")
        self.put(inner, f"{self.rows[phase].element(self.axis)} = passing", f"open_{phase} += passing")

    def _closed(self, phase: int, level: int, nodes: Sequence[Node], inside: tuple[str, ...]) -> list[str]:
        """Leave out a row in which no point passes the gates before a phase: its keys are infinite, its verdicts theirs."""
        row, gate = self.rows.get(phase - 1), self.gates[phase - 1]
        known = self._known_at(phase - 1) <= level
        if row is None or not known or inside != self.layout.tile or sum(map(weight, nodes)) < BEHIND:
            return []
        here = {n.index: n for n in nodes if n.index in self.wanted}
        lines = [f"{self.place(here[n])} = INF" for n in sorted(self._keys() & here.keys())]
        if gate.verdict is not None:
            why = self.value(gate.verdict)
            lines += [f"{self.place(here[n])} = {why}" for n in sorted(self._told(phase) & here.keys())]
        loop = f"    for j_{self.axis[inside[-1]]} in range(m_{self.axis[inside[-1]]}):"
        each = [line for one in lines for line in (loop, f"        {one}")]
        return [f"if {row.element(self.axis)} == 0.0:", *each, "    continue"]

    def _keys(self) -> set[int]:
        """Nodes that are minimized."""
        return {self.columns[column].index for column, _ in self.sought.keys}

    def _told(self, phase: int) -> set[int]:
        """Nodes that say why a point is rejected, from a phase on."""
        later = {gate.verdict.index for gate in self.gates[phase:] if gate.verdict is not None}
        return later | {self.columns[column].index for column, _ in self.sought.verdicts}

    def _late(self, depth: int, phase: int) -> None:
        """Compute what belongs to a phase: of an outer loop what was not computed since it came round."""
        for level in range(self.depth_max + 1):
            groups, at = self.insides(phase, level), depth
            if groups and level < self.depth_max:
                self.put(depth, f"if stale_{phase}_{level}:", f"    stale_{phase}_{level} = False")
                at += 1
            for turn, inside in groups:
                nodes = self.groups[phase, level, turn, inside]
                self.group(at, nodes, inside, self._closed(phase, level, nodes, inside))

    def _search(self, depth: int) -> None:
        """Count what is in the tile, and hand it out where something passes the bars."""
        hits = [self._seek(depth, k, self.columns[column], by) for k, (column, by) in enumerate(self.sought.keys)]
        if hits:
            self.put(depth, f"if {' | '.join(hits)}:")
            self.put(depth + 1, f"if position + {self.points()} > u(out.shape[1]):", "    return u(tile)")
            self.put(depth + 1, "kept[counted[0]] = tile", "counted[0] += u(1)")
            super().deliver(depth + 1)
        for k in range(len(self.sought.keys)):
            self.put(depth, f"counted[{1 + k}] += works_{k}")
        at = 1 + len(self.sought.keys)
        for column, values in self.sought.verdicts:
            self._tally(depth, self.columns[column], values, at)
            at += len(values)

    def _loops(self, depth: int, axes: Sequence[str] | None = None) -> int:
        """Open the loops over a tile, or over some of its axes."""
        for axis in self.layout.tile if axes is None else axes:
            self.put(depth, f"for j_{self.axis[axis]} in range(m_{self.axis[axis]}):")
            depth += 1
        return depth

    def _seek(self, depth: int, k: int, column: Node, by: Sequence[str]) -> str:
        """Look for what passes the bar of a key; the condition under which something does."""
        cell = ""
        for axis in by:
            cell = f"({cell}) * n_{self.axis[axis]} + {self.step(axis)}" if cell else self.step(axis)
        apart = any(axis in self.layout.tile for axis in by)  # the points of a tile lie in several cells
        first = [f"{self.step(a)} * u(strides[{self.axis[a]}])" for a in self.outer]
        if self.chunked:
            first.append(f"first * u(strides[{self.axis[self.layout.tile[-1]]}])")
        self.put(depth, f"works_{k} = u(0)", f"first_{k} = {' + '.join(first) or 'u(0)'}")
        if not apart:
            self.put(depth, f"least_{k} = INF")
            inner = self._loops(depth)
            self.put(
                inner, f"x = {self.value(column)}", f"works_{k} += count(x != INF)", f"least_{k} = lower(least_{k}, x)"
            )
            self.put(depth, f"cell = {cell or 'u(0)'}")
            equal = f"(least_{k} == bar_{k}[cell]) & (first_{k} < before_{k}[cell])"
            self.put(depth, f"pass_{k} = (least_{k} < bar_{k}[cell]) | ({equal})")
            return f"pass_{k}"
        self.put(depth, f"pass_{k} = u(0)")
        inner = self._loops(depth)
        place = " + ".join(
            [f"first_{k}", *(f"j_{self.axis[a]} * u(strides[{self.axis[a]}])" for a in self.layout.tile)]
        )
        self.put(inner, f"x = {self.value(column)}", f"works_{k} += count(x != INF)", f"cell = {cell}")
        equal = f"(x == bar_{k}[cell]) & ({place} < before_{k}[cell])"
        self.put(inner, f"pass_{k} += count((x < bar_{k}[cell]) | ({equal}))")
        return f"(pass_{k} != u(0))"

    def _tally(self, depth: int, column: Node, values: Sequence[int], at: int, works: bool = True) -> None:
        """Count how often a column has each of some values; of those that it can have, the last takes what is left.

        Parameters
        ----------
        at : int
            Where the numbers of `values` begin among what is counted.
        works : bool
            May any point of the tile work (value 0)?
        """
        possible = values_of(column) or values
        *others, last = [(at + i, v) for i, v in enumerate(values) if v in possible and (v or works)]
        self.put(depth, f"left = {self.points()}")
        for i in range(0, len(others), 8):
            some = others[i : i + 8]
            self.put(depth, *(f"met_{n} = u(0)" for n, _ in some))
            inner = self._loops(depth)
            self.put(inner, f"x = {self.value(column)}", *(f"met_{n} += count(x == {v}.0)" for n, v in some))
            for n, _ in some:
                self.put(depth, f"counted[{n}] += met_{n}", f"left -= met_{n}")
        self.put(depth, f"counted[{last[0]}] += left")


def _together(gates: Sequence[Gate], known: set[int]) -> list[Gate]:
    """Gates as two: those at the head that cost nothing, as all their conditions are inputs, and the rest."""
    free = list(itertools.takewhile(lambda gate: all(c.index in known for c in gate.conditions), gates))
    found = [some for some in (free, list(gates[len(free) :])) if some]
    return [
        Gate(tuple(c for gate in some for c in gate.conditions if c.op != "const"), some[-1].verdict) for some in found
    ]
