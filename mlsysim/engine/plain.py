"""The plain plan of a sweep: tile by tile with NumPy, and what the outer loops leave as it was is not computed again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mlsysim.engine.elsewhere import cut_of
from mlsysim.engine.graph import Node
from mlsysim.engine.interpret import Steps
from mlsysim.engine.tables import spread

if TYPE_CHECKING:
    from mlsysim.engine.run import Sweep


class Loop(NamedTuple):
    """What is computed when one of the outer loops comes round."""

    depth: int  #: how many of the outer axes it depends on, from the outermost
    inputs: list[Node]
    needed: list[int]  #: what of the loops around it the steps begin with
    steps: Steps


class Plain:
    """Evaluates the tiles of a sweep, on one thread.

    Parameters
    ----------
    sweep : Sweep
        Its inputs are tabulated.
    """

    def __init__(self, sweep: Sweep):
        self.sweep = sweep
        self.constants = {n.index: np.asarray(n.payload) for n in sweep.nodes if n.op == "const"}
        depth = dict.fromkeys(self.constants, 0)
        for n in sweep.inputs:
            depth[n.index] = max((i + 1 for i, a in enumerate(sweep.layout.outer) if self._varies(n, a)), default=0)
        for n in sweep.body:
            depth[n.index] = max(depth[a.index] for a in n.args)
        self.loops = [self._loop(at, depth) for at in sorted(set(depth.values()))]
        self.held: dict[
            int, tuple[tuple[int, ...], dict[int, np.ndarray]]
        ] = {}  #: by depth: the places, the values there

    def _varies(self, node: Node, axis: str) -> bool:
        """Does an input vary along an axis?"""
        sweep, shape = self.sweep, self.sweep.tables[node.index].shape
        if sweep.kinds is not None and axis == sweep.kinds.axis and node.index in sweep.by_kind:
            return True
        return bool(shape) and shape[sweep.names.index(axis)] > 1

    def _loop(self, at: int, depth: dict[int, int]) -> Loop:
        nodes = [n for n in self.sweep.body if depth[n.index] == at]
        own = {n.index for n in nodes}
        read = {a.index for n in self.sweep.body if depth[n.index] > at for a in n.args}
        read |= {c.index for c in self.sweep.columns}
        known = depth.keys() - own
        needed = {a.index for n in nodes for a in n.args} - own
        wanted = [n for n in nodes if n.index in read]
        inputs = [n for n in self.sweep.inputs if depth[n.index] == at]
        return Loop(at, inputs, sorted(needed), Steps(nodes, known, wanted))

    def rows(self, tile: int) -> np.ndarray:
        """The columns at the points of a tile; where they are stored, they are written, and nothing is left."""
        sweep, layout = self.sweep, self.sweep.layout
        outer = {a: int(i) for a, i in layout.outer_index(np.int64(tile)).items()}
        first = tile // layout.rounds * layout.chunk if layout.tile else 0
        cut = []
        for axis in sweep.names:
            if axis in outer:
                cut.append(slice(outer[axis], outer[axis] + 1))
            elif layout.chunks > 1 and axis == layout.tile[-1]:
                cut.append(slice(first, first + layout.chunk))
            else:
                cut.append(slice(None))
        found = self._found(first, [outer[a] for a in layout.outer], cut)
        if sweep.stored is not None:
            for column, array in zip(sweep.columns, sweep.stored):
                self._place(column, array, found[column.index], cut)
            return np.empty((0, 0))
        shape = [len(range(*c.indices(sweep.sizes[a]))) for a, c in zip(sweep.names, cut)]
        order = [sweep.names.index(a) for a in layout.tile]
        rest = [i for i in range(len(shape)) if i not in order]
        rows = np.empty((max(1, len(sweep.columns)), math.prod(shape)))
        for row, column in zip(rows, sweep.columns):
            full = np.broadcast_to(found[column.index], shape)
            row[:] = np.transpose(full, rest + order).reshape(-1)
        return rows

    def _found(self, first: int, outer: list[int], cut: list[slice]) -> dict[int, np.ndarray]:
        """Values of what is read beyond its loop, at one tile."""
        known = dict(self.constants)
        for loop in self.loops:
            places = (first, *outer[: loop.depth])
            if loop.depth not in self.held or self.held[loop.depth][0] != places:
                pieces = {n.index: self._piece(n.index, cut) for n in loop.inputs}
                known |= pieces
                made = loop.steps.take({i: known[i] for i in loop.needed})
                self.held[loop.depth] = places, pieces | made
            known |= self.held[loop.depth][1]
        return known

    def _piece(self, index: int, cut: list[slice]) -> np.ndarray:
        """What a tile reads of a table."""
        sweep, table = self.sweep, self.sweep.tables[index]
        if index not in sweep.by_kind or sweep.kinds is None:
            return cut_of(table, cut)
        part = cut[sweep.names.index(sweep.kinds.axis)]
        rest = [slice(None) if a == sweep.kinds.axis else c for a, c in zip(sweep.names, cut)]
        return cut_of(spread(sweep.kinds, sweep.names, table, part), rest)

    def _place(self, column: Node, array: np.ndarray, value: np.ndarray, cut: list[slice]) -> None:
        """Write a column of a tile where it belongs in its own array."""
        names = self.sweep.names
        own = [a for a in names if a in self.sweep.dims[column.index]]
        target = array.reshape([self.sweep.sizes[a] for a in own])
        where = tuple(c for a, c in zip(names, cut) if a in own)
        drop = tuple(i for i, a in enumerate(names) if a not in own)
        target[where] = np.asarray(value).squeeze(axis=drop) if value.ndim else value
