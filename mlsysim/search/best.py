"""The best, and the k best, of each cell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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
    accepted,
    directed,
    guarded,
    reserved,
    signed,
    told,
)
from mlsysim.search.winners import winners, winners_bytes

OWN = 300  #: bytes of a cell besides its leaders: two arrays of Python's own
MOST_BARS = 1 << 12  #: cells whose bars are told to others


@dataclass
class Leaders:
    """The leaders of every cell so far: keys (smaller is better), then place along the axes."""

    keys: list[np.ndarray]  #: a cell each: rows of (key, ties ..., place), sorted, place as its own array
    places: list[np.ndarray]
    accepted: int = 0
    points: int = 0
    verdicts: np.ndarray | None = None
    bars: np.ndarray | None = None  #: of each cell, the key that nobody elsewhere would let pass


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
        width = 1 + len(self.ties)
        return Leaders([np.empty((0, width))] * cells.count, [np.empty(0, dtype=np.int64)] * cells.count)

    def take(self, state: Leaders, block: Block, columns: np.ndarray, cells: Cells) -> None:
        key = columns[0]
        state.points += key.size
        state.accepted += int(np.count_nonzero(key != np.inf))
        if self.clauses:
            tally = counts.tally(columns[-1], self.clauses)
            state.verdicts = tally if state.verdicts is None else state.verdicts + tally
        if not cells.by:
            bar = self._bar(state, 0)
            if key.min(initial=np.inf) <= bar:
                self._enter(state, 0, block, columns, self._candidates(key, bar), cells)
            return
        n = block.hi - block.lo
        if n * block.layout.tile_points == key.size:
            lowest = key.reshape(n, -1).min(axis=1)
        else:
            lowest = np.minimum.reduceat(key, block.starts[:-1])
        which = cells.of_tiles(block)
        for tile in np.flatnonzero(lowest != np.inf):
            cell = int(which[tile])
            bar = self._bar(state, cell)
            if lowest[tile] <= bar:
                a, b = block.starts[tile], block.starts[tile + 1]
                self._enter(state, cell, block, columns, a + self._candidates(key[a:b], bar), cells)

    def _bar(self, state: Leaders, cell: int) -> float:
        """The key that a newcomer must not exceed."""
        kept = state.keys[cell]
        bar = kept[-1, 0] if len(kept) >= self.k else np.finfo(np.float64).max
        return bar if state.bars is None else min(bar, state.bars[cell])

    def _candidates(self, key: np.ndarray, bar: float) -> np.ndarray:
        near = np.flatnonzero(key <= bar)
        if near.size > 4 * self.k:
            level = np.partition(key[near], self.k - 1)[self.k - 1]
            near = near[key[near] <= level]
        return near

    def _enter(
        self, state: Leaders, cell: int, block: Block, columns: np.ndarray, positions: np.ndarray, cells: Cells
    ) -> None:
        if self.k == 1 and not self.ties and positions.size > 1:
            least = columns[0, positions]
            positions = _first_of_tiles(block, positions[least == least.min()], cells)
        places = np.broadcast_to(cells.rank(block.index(positions)), positions.shape)
        keys = columns[: 1 + len(self.ties), positions].T
        state.keys[cell], state.places[cell] = self._sorted(
            np.concatenate([state.keys[cell], keys]), np.concatenate([state.places[cell], places])
        )

    def _sorted(self, keys: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        order = np.lexsort((places, *keys.T[::-1]))[: self.k]
        return keys[order], places[order]

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
        which = np.broadcast_to(cells.number(cells.unrank(places)), places.shape)
        order = np.argsort(which, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(which[order])) + 1) if order.size else ():
            cell = int(which[part[0]])
            state.keys[cell], state.places[cell] = self._sorted(
                np.concatenate([state.keys[cell], keys[part]]), np.concatenate([state.places[cell], places[part]])
            )

    def bars(self, state: Leaders) -> np.ndarray | None:
        if len(state.keys) > MOST_BARS:
            return None
        return np.array([self._bar(state, cell) for cell in range(len(state.keys))])

    def heed(self, state: Leaders, bars: np.ndarray) -> None:
        state.bars = bars

    def merge(self, state: Leaders, other: Leaders) -> None:
        for cell, places in enumerate(other.places):
            if len(places):
                state.keys[cell], state.places[cell] = self._sorted(
                    np.concatenate([state.keys[cell], other.keys[cell]]), np.concatenate([state.places[cell], places])
                )
        state.points += other.points
        state.accepted += other.accepted
        if other.verdicts is not None:
            state.verdicts = other.verdicts if state.verdicts is None else state.verdicts + other.verdicts

    def pack(self, state: Leaders) -> dict[str, np.ndarray]:
        held = [cell for cell, places in enumerate(state.places) if len(places)]
        none = np.empty(0, dtype=np.int64)
        return {
            "cell": np.array(held, dtype=np.int64),
            "length": np.array([len(state.places[c]) for c in held], dtype=np.int64),
            "keys": np.concatenate([np.empty((0, 1 + len(self.ties))), *(state.keys[c] for c in held)]),
            "places": np.concatenate([none, *(state.places[c] for c in held)]),
            "points": np.array([state.points, state.accepted]),
            "verdicts": none if state.verdicts is None else state.verdicts,
        }

    def unpack(self, arrays: Mapping[str, np.ndarray], cells: Cells) -> Leaders:
        state = self.start(cells)
        ends = np.cumsum(arrays["length"])
        for cell, begin, end in zip(arrays["cell"].tolist(), ends - arrays["length"], ends):
            state.keys[cell], state.places[cell] = arrays["keys"][begin:end], arrays["places"][begin:end]
        state.points, state.accepted = arrays["points"].tolist()
        state.verdicts = arrays["verdicts"] if len(arrays["verdicts"]) else None
        return state

    def so_far(self, states: list[Leaders]) -> list[str]:
        """The best of all cells so far."""
        leaders = [keys[0, 0] for state in states for keys in state.keys if len(keys)]
        return [told(self.objective, min(leaders), self.maximize)] if leaders else []

    def winning(self, states: list[Leaders], cells: Cells) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Positions of the best of every cell along every axis, flat, and whether there are any."""
        places = np.zeros((cells.count, self.k), dtype=np.int64)
        found = np.zeros((cells.count, self.k), dtype=bool)
        for cell in range(cells.count):
            _, at = self._sorted(
                np.concatenate([s.keys[cell] for s in states]), np.concatenate([s.places[cell] for s in states])
            )
            places[cell, : len(at)] = at
            found[cell, : len(at)] = True
        index = cells.unrank(places.reshape(-1))
        if cells.by:  # a cell without a winner still lies where it lies
            own = np.unravel_index(np.repeat(np.arange(cells.count), self.k), cells.shape)
            index |= {b: np.where(found.reshape(-1), index[b], i) for b, i in zip(cells.by, own)}
        return index, found

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
        result = winners(program, index, found.reshape(-1), dims, shape, sorted(frees), attrs)
        return result.assign_coords(rank=np.arange(self.k)) if self.ranked else result


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
