"""Which axes run innermost: the layout of a sweep.

A node is evaluated once per distinct combination of the axes that it depends on, as far as the order of
the loops allows.  The grid is walked tile by tile: a *tile* is the product of a few axes, small enough
for the cache; the other axes are *outer* loops.  Inside a tile every group of nodes with the same axes is
one vector loop over just those axes; what does not depend on the tile is a scalar of its outer loop.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mlsysim.engine.graph import Node

CHUNK = 1024  #: longest run of one axis inside a tile
TILE = 4096  #: most points of a tile (its buffers fit the second-level cache)
ENOUGH = 512  #: points below which the overhead of a tile shows
#: what operations take, an addition counted as 1; stages as measured in lanes
WEIGHTS = {"div": 4.0, "sqrt": 4.0, "exp": 20.0, "log": 20.0, "pow": 20.0, "expm1": 20.0, "log1p": 20.0, "stage": 100.0}
LOOP = (
    1.0e7  #: scalar operations that a loop fewer to compile is worth (30 ms of 100, as a nest is kept for later runs)
)


@dataclass(frozen=True)
class Layout:
    """How the grid is cut into tiles.

    Attributes
    ----------
    outer, tile : tuple of str
        Axes from the outermost loop inwards; the last of `tile` runs fastest, in chunks of `chunk`.
    levels : tuple of int
        Computing a little more often than needed spares loops to compile.
    sizes : mapping
        Length of every axis.
    """

    outer: tuple[str, ...]
    tile: tuple[str, ...]
    sizes: Mapping[str, int]
    chunk: int
    levels: tuple[int, ...] = ()  #: the outer loop in which what could be computed in loop i is computed

    @property
    def cut(self) -> tuple[Any, ...]:
        """All of it but the lengths of the axes."""
        return self.outer, self.tile, self.chunk, self.levels

    @functools.cached_property
    def repeats(self) -> list[int]:
        """How often each outer loop comes round, the place before all of them first."""
        return [1, *itertools.accumulate((self.sizes[a] for a in self.outer), lambda x, y: x * y)]

    @property
    def chunks(self) -> int:
        return -(-self.sizes[self.tile[-1]] // self.chunk) if self.tile else 1

    @property
    def rows(self) -> int:
        """Points of a tile per element of its last axis."""
        return math.prod(self.sizes[a] for a in self.tile[:-1])

    @property
    def rounds(self) -> int:
        """Tiles of a chunk: the chunks are the outermost loop."""
        return math.prod(self.sizes[a] for a in self.outer)

    @property
    def n_tiles(self) -> int:
        return self.rounds * self.chunks

    @property
    def tile_points(self) -> int:
        """Points of a full tile."""
        return self.rows * min(self.chunk, self.sizes[self.tile[-1]]) if self.tile else 1

    def starts(self, tiles: np.ndarray) -> np.ndarray:
        """Where each of some tiles begins in a block of them, and the end of the last."""
        if not self.tile:
            return np.arange(len(tiles) + 1)
        length = self.sizes[self.tile[-1]]
        points = self.rows * np.minimum(self.chunk, length - tiles // self.rounds * self.chunk)
        return np.concatenate([[0], np.cumsum(points)])

    def points_before(self, tile: int) -> int:
        """Points of the tiles before one."""
        if not self.tile:
            return tile
        chunk, more = divmod(tile, self.rounds)
        begins = min(chunk * self.chunk, self.sizes[self.tile[-1]])  # behind the last tile: the end
        length = min(self.chunk, self.sizes[self.tile[-1]] - begins)
        return self.rows * (begins * self.rounds + length * more)

    def outer_index(self, tiles: np.ndarray | np.int64) -> dict[str, np.ndarray]:
        """Position along each outer axis of some tiles."""
        rest = tiles % self.rounds
        found: dict[str, np.ndarray] = {}
        for axis in reversed(self.outer):
            rest, found[axis] = np.divmod(rest, self.sizes[axis])
        return found

    def index(self, tiles: np.ndarray, starts: np.ndarray, positions: np.ndarray) -> dict[str, np.ndarray]:
        """Position along every axis of points of a block of some tiles."""
        which = np.searchsorted(starts, positions, side="right") - 1
        tiles = tiles[which]
        found = self.outer_index(tiles)
        rest = positions - starts[which]
        for i, axis in enumerate(reversed(self.tile)):
            if i == 0:
                chunk = tiles // self.rounds
                length = np.minimum(self.chunk, self.sizes[axis] - chunk * self.chunk)
                rest, inside = np.divmod(rest, length)
                found[axis] = inside + chunk * self.chunk
            else:
                rest, found[axis] = np.divmod(rest, self.sizes[axis])
        return found


def weight(node: Node) -> float:
    """What an operation takes, an addition counted as 1."""
    return WEIGHTS.get(node.op, 1.0)


def cost(layout: Layout, loads: Mapping[frozenset[str], float]) -> tuple[float, int]:
    """Estimated time of a sweep, in scalar operations, and the weight of the loops to compile.

    A vector operation costs a quarter of a scalar one; starting an inner loop costs about fifteen.
    """
    total, weight, done = 0.0, 0, set()
    for depth, inside, operations in _work(layout, loads):
        if layout.levels:
            depth = layout.levels[depth]
        total += layout.repeats[depth] * operations
        if inside and (depth, inside) not in done:
            done.add((depth, inside))
            weight += len(inside) ** 2  # LLVM works on every loop of a nest together
    return total, weight


def _work(layout: Layout, loads: Mapping[frozenset[str], float]) -> Iterator[tuple[int, tuple[str, ...], float]]:
    """For each load the outer loop on which it depends, its axes of the tile, and its operations each time."""
    depths, place = {a: i + 1 for i, a in enumerate(layout.outer)}, {a: i for i, a in enumerate(layout.tile)}
    for axes, operations in loads.items():
        depth = max(depths.get(a, 0) for a in axes) if axes else 0
        inside = tuple(sorted((a for a in axes if a in place), key=place.__getitem__))
        if inside:
            points = math.prod(layout.sizes[a] for a in inside)
            last = min(layout.sizes[inside[-1]], layout.chunk)
            operations = (points / last) * (15.0 + operations * math.ceil(last / 4))
        yield depth, inside, operations


def gathered(layout: Layout, loads: Mapping[frozenset[str], float]) -> tuple[float, Layout]:
    """The layout with the outer loops at which computing pays, counting the time to compile.

    What depends on loop i is computed in the next one at which anything is computed, its *stop*.  The price is a sum over
    the stretches between stops, so the cheapest stops up to one follow from the cheapest up to those before.
    """
    n = len(layout.outer)
    operations = [0.0] * (n + 1)
    insides: list[set[tuple[str, ...]]] = [set() for _ in range(n + 1)]
    for depth, inside, each in _work(layout, loads):
        operations[depth] += each
        insides[depth] |= {inside} if inside else set()
    best: list[tuple[float, int]] = []  #: the least price up to a stop, and the stop before it
    for stop in range(n + 1):
        found, gathering, loops = (math.inf, -1), 0.0, set[tuple[str, ...]]()
        for before in range(stop - 1, -2, -1):  # the stretch grows downwards
            gathering += operations[before + 1]
            loops |= insides[before + 1]
            price = (best[before][0] if before >= 0 else 0.0) + layout.repeats[stop] * gathering
            found = min(found, (price + LOOP * sum(len(inside) ** 2 for inside in loops), before))
        best.append(found)
    levels, stop = [0] * (n + 1), n
    while stop >= 0:
        before = best[stop][1]
        levels[before + 1 : stop + 1] = [stop] * (stop - before)
        stop = before
    return best[n][0], replace(layout, levels=tuple(levels))


def choose(sizes: Mapping[str, int], loads: Mapping[frozenset[str], float], outermost: Sequence[str] = ()) -> Layout:
    """`cheapest`, remembered: a search in a loop asks for the same sweep again, perhaps along dims of other names."""
    number = {axis: f"a{i}" for i, axis in enumerate(sizes)}
    axis = {n: a for a, n in number.items()}
    lengths = tuple((n, sizes[a]) for n, a in axis.items())
    operations = sorted((tuple(sorted(number[a] for a in axes)), ops) for axes, ops in loads.items())
    found = cheapest(lengths, tuple(operations), tuple(sorted(number[a] for a in outermost if a in number)))
    outer, tile = tuple(axis[n] for n in found.outer), tuple(axis[n] for n in found.tile)
    return replace(found, outer=outer, tile=tile, sizes=sizes)


@functools.lru_cache(maxsize=256)
def cheapest(
    lengths: tuple[tuple[str, int], ...],
    operations: tuple[tuple[tuple[str, ...], float], ...],
    outermost: tuple[str, ...],
) -> Layout:
    """The cheapest layout among the sensible ones.

    Parameters
    ----------
    lengths : tuple of (str, int)
        Axes longer than one.
    operations : tuple of (tuple of str, float)
        Operations by the axes on which they depend.
    outermost : sequence of str
        Axes that must not lie inside a tile.
    """
    sizes, loads = dict(lengths), {frozenset(axes): ops for axes, ops in operations}
    weight = {a: sum(ops for axes, ops in loads.items() if a in axes) for a in sizes}
    free = sorted((a for a in sizes if a not in outermost), key=lambda a: (weight[a], -sizes[a]))
    found: list[tuple[float, Layout]] = []
    longest = sorted(free, key=lambda a: -sizes[a])[:4]
    for vector in longest:
        others = [a for a in free if a != vector]
        for n in range(min(4, len(others)) + 1):
            for companions in _companions(others, n):
                points = min(sizes[vector], CHUNK) * math.prod(sizes[a] for a in companions)
                if points > TILE and companions:
                    continue
                tile = (*sorted(companions, key=lambda a: -weight[a]), vector)
                outer = tuple(sorted((a for a in sizes if a not in tile), key=lambda a: (-weight[a], sizes[a])))
                layout = Layout(outer, tile, sizes, min(CHUNK, sizes[vector]))
                time, loops = cost(layout, loads)
                found.append((time * (1.0 + (40.0 / points if points < ENOUGH else 0.0)) + 0.3 * loops * LOOP, layout))
    if not found:
        return Layout(tuple(sizes), (), sizes, 1)
    found.sort(key=lambda entry: entry[0])
    return min((gathered(layout, loads) for _, layout in found[:6]), key=lambda entry: entry[0])[1]


def _companions(others: list[str], n: int) -> Iterator[tuple[str, ...]]:
    """Sets of axes to join the vector axis in a tile: any of the lightest six."""
    return itertools.combinations(others[:6], n)


def in_order(sizes: Mapping[str, int], points: int = 48) -> Layout:
    """The layout that writes results in the order of the axes: a tile is the last of them, or the last few.

    One axis is best, even a short one: 33 outputs at 100 % of the rate of a constant fill over a run of 89,
    63 % over a tile of three axes.
    """
    axes = list(sizes)
    tile: list[str] = []
    while axes and math.prod(min(sizes[a], CHUNK) for a in tile) < points:
        if tile and math.prod(sizes[a] for a in tile) * sizes[axes[-1]] > TILE:
            break
        tile.insert(0, axes.pop())
    if not tile:
        return Layout((), (), sizes, 1)
    vector = max(tile, key=lambda a: sizes[a])
    tile.remove(vector)
    return Layout(tuple(axes), (*tile, vector), sizes, min(CHUNK, sizes[vector]))


def walked(
    sizes: Mapping[str, int], loads: Mapping[frozenset[str], float], outermost: Sequence[str], lanes: int, warp: int
) -> Layout:
    """The layout in which each lane of a device stays at one place of a tile, and walks the outer loops.

    What depends on none of the loops that move is not computed again, whatever it has of the tile: so the axes on which
    most depends belong into the tile, and those on which least depends innermost.

    Parameters
    ----------
    outermost : sequence of str
        Axes that are the first outer loops, in this order.
    lanes, warp : int
        Most points of a tile; how many lanes work together, needed or not.
    """
    weight = {a: sum(ops for axes, ops in loads.items() if a in axes) for a in sizes}
    free = [a for a in sizes if a not in outermost]
    heavy = sorted(free, key=lambda a: (-weight[a], -sizes[a]))[:8]
    found = [(math.inf, Layout(tuple(outermost) + tuple(free), (), sizes, 1))]
    for n in range(1, min(4, len(heavy)) + 1):
        for tile in itertools.combinations(heavy, n):
            points = math.prod(sizes[a] for a in tile)
            if n > 1 and points > lanes:
                continue
            tile = tuple(sorted(tile, key=lambda a: sizes[a]))
            chunks = -(-points // lanes)
            chunk = -(-sizes[tile[-1]] // chunks)
            rest = sorted((a for a in free if a not in tile), key=lambda a: (-weight[a], sizes[a]))
            layout = Layout((*outermost, *rest), tile, sizes, chunk)
            depths = {a: i + 1 for i, a in enumerate(layout.outer)}
            working = chunks * -(-layout.tile_points // warp) * warp
            steps = sum(
                ops * layout.repeats[max((depths.get(a, 0) for a in axes), default=0)] for axes, ops in loads.items()
            )
            found.append((working * (steps + layout.repeats[-1]), layout))
    return min(found, key=lambda entry: entry[0])[1]
