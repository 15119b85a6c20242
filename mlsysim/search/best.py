"""The best, and the k best, of each cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from mlsysim.engine import condition
from mlsysim.engine.block import Block
from mlsysim.engine.device import Device
from mlsysim.engine.graph import Node
from mlsysim.engine.program import Program
from mlsysim.schema.check import flag, names, shown, whole
from mlsysim.search import counts
from mlsysim.search.reduce import (
    Cells,
    Room,
    Seeks,
    accepted,
    directed,
    guarded,
    reserved,
    signed,
    told,
)
from mlsysim.search.winners import winners, winners_bytes

OWN = 64  #: bytes of a cell besides its leaders
BATCH = 8192  #: newcomers that wait before they are merged, where many are kept
MOST_BARS = 1 << 12  #: cells whose bars are told to others
NOWHERE = np.iinfo(np.int64).max  #: the place of a leader that is not there
LARGEST = np.finfo(np.float64).max  #: of all keys that may enter: infinite is what does not work


@dataclass
class Leaders:
    """The leaders of every cell so far: keys (smaller is better), then place along the axes.

    Attributes
    ----------
    keys : ndarray, shape (cells, k, 1 + ties)
        Sorted; infinite where fewer than k are there.
    places : ndarray of int, shape (cells, k)
    bars : ndarray, shape (cells,)
        The key that a newcomer must not exceed.
    before : ndarray of int, shape (cells,)
        The place that it must come before if it has that key.
    """

    keys: np.ndarray
    places: np.ndarray
    bars: np.ndarray
    before: np.ndarray
    waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)  #: cells, keys, places
    n_waiting: int = 0
    accepted: int = 0
    points: int = 0
    verdicts: np.ndarray | None = None


class Top:
    """The `k` best points of each cell (see `mlsysim.resolver.Resolver.top`)."""

    def __init__(
        self,
        k: int,
        objective: str,
        maximize: bool | None = None,
        by: str | Sequence[str] = (),
        where: str | Sequence[str] | None = None,
        ties: str | Sequence[str] = (),
    ):
        self.k = self.wanted = whole("k", k)
        if not isinstance(objective, str):
            raise TypeError(f"objective={shown(objective)}: must be the name of an output")
        self.objective, self.maximize = objective, flag("maximize", maximize)
        self.by, self.where, self.ties = names(by, "by"), condition.texts(where), names(ties, "ties")
        self.ranked = True

    def __repr__(self) -> str:
        k = f"{self.wanted}, " if self.ranked else ""
        return (
            f"{type(self).__name__}({k}{self.objective!r}, maximize={self.maximize}, by={self.by}, where={self.where!r}, "
            f"ties={self.ties})"
        )

    def columns(self, program: Program) -> list[Node]:
        reserved(program, "found", *(["rank"] if self.ranked else []))
        condition, clauses = accepted(program, self.where)
        self.clauses = [text for text, _ in clauses]
        self.seeks = Seeks(key=True, verdict=bool(clauses))
        key = guarded(condition, signed(program, self.objective, self.maximize))
        ties = [signed(program, t, None if directed(t) else False) for t in self.ties]
        extra = [counts.verdict(program, clauses)] if clauses else []
        return [key, *ties, *extra]

    def room(self, program: Program, cells: Cells) -> Room:
        kept = min(self.wanted, cells.points)
        state = cells.count * (OWN + 8.0 * kept * (2 + len(self.ties)))
        room = Room(state, winners_bytes(program, cells.count * kept))
        return room._replace(ways=f"fewer of the best (k), {room.ways}") if self.ranked else room

    def start(self, cells: Cells) -> Leaders:
        self.k = min(self.wanted, cells.points)
        return Leaders(
            np.full((cells.count, self.k, 1 + len(self.ties)), np.inf),
            np.full((cells.count, self.k), NOWHERE),
            np.full(cells.count, LARGEST),
            np.full(cells.count, NOWHERE),
        )

    def bars(self, state: Leaders) -> list[np.ndarray]:
        """What a newcomer must beat, by cell: the arrays themselves, which follow the state."""
        return [state.bars, state.before.view(np.uint64)]

    def take(self, state: Leaders, block: Block, columns: np.ndarray, cells: Cells) -> None:
        key, tallies = columns[0], block.tallies
        state.points += block.seen
        state.accepted += int(tallies[0][0]) if 0 in tallies else int(np.count_nonzero(key != np.inf))
        if self.clauses:
            last = len(columns) - 1
            verdicts = np.zeros(counts.FIRST_CLAUSE + len(self.clauses), dtype=np.int64)
            counted = tallies[last] if last in tallies else counts.tally(columns[last], self.clauses)
            verdicts[: len(counted)] += counted
            state.verdicts = verdicts if state.verdicts is None else state.verdicts + verdicts
        if not key.size:
            return
        positions, cell = self._near(state, block, key, cells)
        if not positions.size:
            return
        places = np.broadcast_to(cells.rank(block.index(positions)), positions.shape)
        self._wait(state, cell, columns[: 1 + len(self.ties), positions].T, places)

    def _near(self, state: Leaders, block: Block, key: np.ndarray, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
        """Points that may enter, and the cell in which each of them lies."""
        if any(axis in block.layout.tile for axis in cells.by):
            near = np.flatnonzero(key <= state.bars.max())
            cell = np.broadcast_to(cells.number(block.index(near)), near.shape)
            passes = key[near] <= state.bars[cell]
            return near[passes], cell[passes]
        which, lengths = cells.of_tiles(block), np.diff(block.starts)
        bars = state.bars[which]
        if self.k < block.layout.tile_points:
            bars = np.minimum(bars, self._level(block, key, bars))
        near = np.flatnonzero(key <= np.repeat(bars, lengths))
        if self.k == 1 and not self.ties:
            near = _first_of_tiles(block, near, cells)
        elif not cells.by and near.size > 4 * self.k:
            near = near[key[near] <= np.partition(key[near], self.k - 1)[self.k - 1]]
        return near, which[np.searchsorted(block.starts, near, side="right") - 1]

    def _level(self, block: Block, key: np.ndarray, bars: np.ndarray) -> np.ndarray:
        """The key of the last of each tile that may enter, as the k best of it are enough."""
        if self.k == 1:
            least = np.minimum.reduceat(key, block.starts[:-1])
            return np.where(least <= bars, least, -np.inf)
        if key.size < len(bars) * block.layout.tile_points:  # tiles of two lengths
            return bars
        return np.partition(key.reshape(len(bars), -1), self.k - 1, axis=1)[:, self.k - 1]

    def _wait(self, state: Leaders, cell: np.ndarray, keys: np.ndarray, places: np.ndarray) -> None:
        """Take newcomers, which are merged at once, or when there are many."""
        state.waiting.append((cell, keys, places))
        state.n_waiting += len(places)
        if self.k == 1 or state.n_waiting >= min(state.places.size, max(self.k, BATCH)):
            self._settle(state)

    def _settle(self, state: Leaders) -> None:
        """Merge those that wait with the leaders of their cells."""
        if not state.waiting:
            return
        cell, keys, places = (np.concatenate(parts) for parts in zip(*state.waiting))
        state.waiting, state.n_waiting = [], 0
        touched = np.unique(cell)
        row, rank = np.nonzero(state.places[touched] != NOWHERE)
        held = touched[row]
        cell = np.concatenate([held, cell])
        keys = np.concatenate([state.keys[held, rank], keys])
        places = np.concatenate([state.places[held, rank], places])
        order = np.lexsort((places, *keys.T[::-1], cell))
        cell = cell[order]
        rank = np.arange(len(cell)) - np.searchsorted(cell, cell)
        kept = rank < self.k
        state.keys[cell[kept], rank[kept]] = keys[order[kept]]
        state.places[cell[kept], rank[kept]] = places[order[kept]]
        last = state.keys[touched, -1, 0]
        state.bars[touched] = np.minimum(last, state.bars[touched])
        if not self.ties:  # where the bar is one of another part, a point that equals it may come before all of that
            state.before[touched] = np.where(last > state.bars[touched], NOWHERE, state.places[touched, -1])

    def on_device(self, state: Leaders, program: Program, cells: Cells) -> Iterator[int]:
        """Each span tells its best point: the `k` best points lie in the spans of the `k` best of these, not behind the last."""
        columns = self.columns(program)
        device = Device(program, columns, cells.by, cells.strides, counts.kinds(self.clauses) if self.clauses else 0)
        leaders = []
        for found in device.least():
            state.points += found.points
            state.accepted += found.accepted
            if self.clauses:
                verdicts = found.verdicts.sum(axis=0, dtype=np.int64)
                state.verdicts = verdicts if state.verdicts is None else state.verdicts + verdicts
            some = found.keys[:, 0] != np.inf
            leaders.append((found.blocks[some], found.keys[some], found.places[some]))
            yield found.points
        blocks, keys, places = (np.concatenate(arrays) for arrays in zip(*leaders))
        which = device.cell(blocks)
        order = np.lexsort((places, *keys.T[::-1], which))
        which = which[order]
        rank = np.arange(order.size) - np.searchsorted(which, which)
        near, last = order[rank < self.k], order[rank == self.k - 1]
        if self.k == 1:
            self._join(state, keys[near], places[near], cells)
            return
        bars = np.full((cells.count, keys.shape[1]), np.inf)
        ends = np.full(cells.count, np.iinfo(np.int64).max)
        bars[device.cell(blocks[last])], ends[device.cell(blocks[last])] = keys[last], places[last]
        for passed in device.below(blocks[near], bars, ends):
            self._join(state, passed.keys, passed.places, cells)

    def _join(self, state: Leaders, keys: np.ndarray, places: np.ndarray, cells: Cells) -> None:
        """Let points of any cells enter."""
        self._wait(state, np.broadcast_to(cells.number(cells.unrank(places)), places.shape), keys, places)
        self._settle(state)

    def hint(self, state: Leaders) -> np.ndarray | None:
        self._settle(state)
        return None if len(state.bars) > MOST_BARS else state.bars.copy()

    def heed(self, state: Leaders, hint: np.ndarray) -> None:
        np.minimum(state.bars, hint, out=state.bars)

    def merge(self, state: Leaders, other: Leaders) -> None:
        self._settle(other)
        cell, rank = np.nonzero(other.places != NOWHERE)
        self._wait(state, cell, other.keys[cell, rank], other.places[cell, rank])
        self._settle(state)
        state.points += other.points
        state.accepted += other.accepted
        if other.verdicts is not None:
            state.verdicts = other.verdicts if state.verdicts is None else state.verdicts + other.verdicts

    def pack(self, state: Leaders) -> dict[str, np.ndarray]:
        self._settle(state)
        there = state.places != NOWHERE
        held = np.flatnonzero(there[:, 0])
        return {
            "cell": held,
            "length": there[held].sum(axis=1),
            "keys": state.keys[there],
            "places": state.places[there],
            "points": np.array([state.points, state.accepted]),
            "verdicts": np.empty(0, dtype=np.int64) if state.verdicts is None else state.verdicts,
        }

    def unpack(self, arrays: Mapping[str, np.ndarray], cells: Cells) -> Leaders:
        state = self.start(cells)
        self._wait(state, np.repeat(arrays["cell"], arrays["length"]), arrays["keys"], arrays["places"])
        self._settle(state)
        state.points, state.accepted = arrays["points"].tolist()
        state.verdicts = arrays["verdicts"] if len(arrays["verdicts"]) else None
        return state

    def so_far(self, states: list[Leaders]) -> list[str]:
        """The best of all cells so far."""
        least = min((float(state.keys[:, 0, 0].min()) for state in states), default=np.inf)
        return [told(self.objective, least, self.maximize)] if least < np.inf else []

    def winning(self, states: list[Leaders], cells: Cells) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Positions of the best of every cell along every axis, flat, and whether there are any."""
        total = self.start(cells)
        for state in states:
            self.merge(total, state)
        found = total.places != NOWHERE
        index = cells.unrank(np.where(found, total.places, 0).reshape(-1))
        if cells.by:  # a cell without a winner still lies where it lies
            own = np.unravel_index(np.repeat(np.arange(cells.count), self.k), cells.shape)
            index |= {b: np.where(found.reshape(-1), index[b], i) for b, i in zip(cells.by, own)}
        return index, found

    def shown(self) -> Sequence[str] | None:
        """Outputs of the winners that are told; None: all."""
        return None

    def finish(self, states: list[Leaders], program: Program, cells: Cells) -> xr.Dataset:
        index, found = self.winning(states, cells)
        dims, shape = cells.by, cells.shape
        if self.ranked:
            dims, shape = (*dims, "rank"), (*shape, self.k)
        free = [a for a in program.axes if a not in cells.by]
        frees = {program.axes[a].name for a in free}
        attrs: dict[str, Any] = {
            "objective": self.objective,
            "points": sum(s.points for s in states),
            "accepted": sum(s.accepted for s in states),
        }
        verdicts = [s.verdicts for s in states if s.verdicts is not None]
        if verdicts:
            attrs["rejected"] = counts.told(sum(verdicts[1:], verdicts[0]), self.clauses)
        marks = {"rank": np.arange(self.k)} if self.ranked else {}
        return winners(program, index, found.reshape(-1), dims, shape, sorted(frees), attrs, marks, self.shown())


def _first_of_tiles(block: Block, positions: np.ndarray, cells: Cells) -> np.ndarray:
    """Of equals the first of each tile, where the axes of a tile stand in the order that decides among equals."""
    order = [cells.ranked.index(axis) for axis in block.layout.tile]
    if order != sorted(order):
        return positions
    tiles = np.searchsorted(block.starts, positions, side="right")
    return positions[np.flatnonzero(np.diff(tiles, prepend=-1))]


class Best(Top):
    """The best point of each cell (see `mlsysim.resolver.Resolver.best`)."""

    def __init__(
        self,
        objective: str,
        maximize: bool | None = None,
        by: str | Sequence[str] = (),
        where: str | Sequence[str] | None = None,
        ties: str | Sequence[str] = (),
    ):
        super().__init__(1, objective, maximize, by, where, ties)
        self.ranked = False
