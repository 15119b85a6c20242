"""The exact Pareto front of a stream."""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from mlsysim.engine import cache, condition
from mlsysim.engine.block import Block
from mlsysim.engine.device import Device
from mlsysim.engine.graph import Node
from mlsysim.engine.program import Program
from mlsysim.schema.check import names, shown
from mlsysim.search import counts
from mlsysim.search.reduce import Cells, Room, accepted, guarded, reserved, signed, told
from mlsysim.search.thin import thin
from mlsysim.search.winners import winners, winners_bytes

PIVOTS = 12  #: front members that prefilter a block
MOST = 50_000  #: members of a front; the filter compares each with all
BATCH = 8192  #: newcomers that wait before they are merged


def nest(points, keep):  # type: ignore[no-untyped-def]  # numba compiles this text and infers the types
    """Mark what nothing before it dominates, among rows in lexicographic order without equals.

    A row can only be dominated by an earlier one.  Kept rows are tried from the one that dominated last.
    """
    n, d = points.shape
    front = np.empty(n, np.int64)
    size = 0
    for i in range(n):
        dominated = False
        for k in range(size):
            row = front[k]
            below = True
            for j in range(d):
                if points[row, j] > points[i, j]:
                    below = False
                    break
            if below:
                dominated = True
                if k > 0:
                    front[k] = front[k // 2]
                    front[k // 2] = row
                break
        keep[i] = not dominated
        if not dominated:
            front[size] = i
            size += 1


def _filter() -> Callable[[np.ndarray, np.ndarray], None]:
    try:
        source = inspect.getsource(nest)
    except OSError:  # installed without its sources
        return nest
    return cache.compiled(f"import numpy as np\n\n\n{source}", "void(float64[:, ::1], boolean[::1])") or nest


def front_of(points: np.ndarray, places: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The non-dominated rows (all columns minimized), lexicographically sorted; equals become one with their number."""
    if not len(points):
        return points, places, count
    order = np.lexsort((places, *points.T[::-1]))
    points, places, count = points[order], places[order], count[order]
    new = np.concatenate([[True], np.any(points[1:] != points[:-1], axis=1)])
    number = np.cumsum(new) - 1
    total = np.zeros(number[-1] + 1, dtype=np.int64)
    np.add.at(total, number, count)
    points, places = np.ascontiguousarray(points[new]), places[new]
    keep = np.empty(len(points), dtype=np.bool_)
    (_filter() if len(points) > 64 else nest)(points, keep)
    return points[keep], places[keep], total[keep]


@dataclass
class Front:
    """A front in the making."""

    points: np.ndarray
    places: np.ndarray
    count: np.ndarray
    total: int  #: points of the grid
    waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)
    n_waiting: int = 0
    seen: int = 0
    accepted: int = 0
    pivots: np.ndarray | None = None
    verdicts: np.ndarray | None = None
    elsewhere: np.ndarray | None = None  #: pivots of who searches other parts

    def merge(self) -> None:
        if not self.waiting:
            return
        together = (np.concatenate(arrays) for arrays in zip((self.points, self.places, self.count), *self.waiting))
        self.points, self.places, self.count = front_of(*together)
        _require_short(len(self.points), self.seen, self.total)
        self.waiting, self.n_waiting = [], 0
        known = [self.points] if self.elsewhere is None else [self.points, self.elsewhere]
        self.pivots = _spread(np.concatenate(known))

    def wait(self, points: np.ndarray, places: np.ndarray, count: np.ndarray) -> None:
        """Take newcomers, which are merged when there are many."""
        self.waiting.append((points, places, count))
        self.n_waiting += len(points)
        if self.pivots is None or self.n_waiting >= max(BATCH, len(self.points)):
            self.merge()

    def join(self, other: Front) -> None:
        """Take the points of another front."""
        other.merge()
        self.seen += other.seen
        self.accepted += other.accepted
        if other.verdicts is not None:
            self.verdicts = other.verdicts if self.verdicts is None else self.verdicts + other.verdicts
        if len(other.points):
            self.wait(other.points, other.places, other.count)

    def pack(self) -> dict[str, np.ndarray]:
        """The front as arrays."""
        self.merge()
        none = np.empty(0, dtype=np.int64)
        return {
            "points": self.points,
            "places": self.places,
            "count": self.count,
            "seen": np.array([self.seen, self.accepted]),
            "verdicts": none if self.verdicts is None else self.verdicts,
        }

    @classmethod
    def unpack(cls, arrays: Mapping[str, np.ndarray], total: int) -> Front:
        """The front that was packed."""
        seen, accepted = arrays["seen"].tolist()
        verdicts = arrays["verdicts"] if len(arrays["verdicts"]) else None
        return cls(
            arrays["points"], arrays["places"], arrays["count"], total, seen=seen, accepted=accepted, verdicts=verdicts
        )


def _require_short(members: int, seen: int, total: int) -> None:
    """Refuse a front that grows too long, as soon as it does."""
    if members > MOST:
        raise ValueError(
            f"more than {MOST:,} configurations are on the front of {seen:,} of all {total:,} points: ask for fewer "
            "objectives, fewer or coarser axes, or what is within reach (where=...); epsilon= does not help: "
            "it thins a front that was found"
        )


def _spread(points: np.ndarray) -> np.ndarray:
    """A few members of a front that dominate much: small in the sum of their ranks, and the ends."""
    if len(points) <= PIVOTS:
        return points
    ranks = np.argsort(np.argsort(points, axis=0), axis=0).astype(np.float64)
    central = np.argsort(np.sum(ranks * ranks, axis=1), kind="stable")[: PIVOTS // 2]
    along = np.linspace(0, len(points) - 1, PIVOTS - PIVOTS // 2).astype(np.int64)
    return points[np.unique(np.concatenate([central, along]))]


class Pareto:
    """The front of several objectives (see `mlsysim.resolver.Resolver.pareto`)."""

    by: tuple[str, ...] = ()

    def __init__(
        self,
        minimize: str | Sequence[str] = (),
        maximize: str | Sequence[str] = (),
        epsilon: float | None = None,
        where: str | Sequence[str] | None = None,
    ):
        self.objectives = [(n, False) for n in names(minimize, "minimize")] + [
            (n, True) for n in names(maximize, "maximize")
        ]
        if not self.objectives:
            raise ValueError("pareto needs objectives: minimize=[...], maximize=[...]")
        if twice := {n for n, up in self.objectives if up} & {n for n, up in self.objectives if not up}:
            raise ValueError(f"{shown(min(twice))} is to be minimized and maximized: name it once")
        if epsilon is not None and not (isinstance(epsilon, numbers.Real) and 0 < epsilon < 1):
            raise ValueError(f"epsilon={shown(epsilon)}: a relative amount between 0 and 1")
        self.epsilon, self.where = epsilon, condition.texts(where)
        self.index: dict[str, np.ndarray] = {}  #: of the points of a finished front, along every axis; copies share it

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.objectives}, epsilon={self.epsilon}, where={self.where!r})"

    def so_far(self, states: list[Front]) -> list[str]:
        """The ends of the front so far."""
        fronts = [state.points for state in states if len(state.points)]
        ends = [min(front[:, i].min() for front in fronts) for i in range(len(self.objectives) if fronts else 0)]
        return [told(name, end, up) for (name, up), end in zip(self.objectives, ends)]

    def columns(self, program: Program) -> list[Node]:
        reserved(program, "point", "count")
        condition, clauses = accepted(program, self.where)
        self.clauses = [text for text, _ in clauses]
        nodes = [signed(program, name, up) for name, up in self.objectives]
        finite: Any = condition
        for node in nodes:
            finite = finite & (node < np.inf)
        extra = [counts.verdict(program, clauses)] if clauses else []
        return [guarded(program.graph.as_truth(finite), nodes[0]), *nodes[1:], *extra]

    def room(self, program: Program, cells: Cells) -> Room:
        members = min(cells.points, MOST)
        state = 16.0 * members * (2 + len(self.objectives))
        return Room(state, winners_bytes(program, members), "fewer objectives, fewer or coarser axes, or fewer threads")

    def start(self, cells: Cells) -> Any:
        """An empty front."""
        d = len(self.objectives)
        return Front(np.empty((0, d)), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), cells.points)

    def take(self, state: Any, block: Block, columns: np.ndarray, cells: Cells) -> None:
        self.fold(state, block, columns, cells)

    def fold(self, state: Front, block: Block, columns: np.ndarray, cells: Cells, begins: int = 0) -> None:
        """Fold some columns of a block, from position `begins` on, into a front."""
        d = len(self.objectives)
        first = columns[0]
        state.seen += first.size
        if self.clauses:
            verdicts = counts.tally(columns[-1], self.clauses)
            state.verdicts = verdicts if state.verdicts is None else state.verdicts + verdicts
        alive = np.flatnonzero(first < np.inf)
        state.accepted += alive.size
        if not alive.size:
            return
        points = columns[:d, alive]
        for pivot in state.pivots if state.pivots is not None else ():
            worse = points[0] >= pivot[0]
            better = points[0] != pivot[0]
            for j in range(1, d):
                worse &= points[j] >= pivot[j]
                better |= points[j] != pivot[j]
            dominated = worse & better
            if dominated.any():
                alive, points = alive[~dominated], points[:, ~dominated]
                if not alive.size:
                    return
        places = np.broadcast_to(cells.rank(block.index(alive + begins)), alive.shape)
        state.wait(np.ascontiguousarray(points.T), places, np.ones(alive.size, dtype=np.int64))

    def on_device(self, state: Any, program: Program, cells: Cells) -> Iterator[int]:
        device = self._device(program, cells)
        return self._found(state, device, np.arange(device.blocks))

    def _device(self, program: Program, cells: Cells) -> Device:
        columns = self.columns(program)
        return Device(program, columns, cells.by, cells.strides, counts.kinds(self.clauses) if self.clauses else 0)

    def _found(self, state: Front, device: Device, blocks: np.ndarray) -> Iterator[int]:
        """Fold blocks of a device into a front: it drops what the front so far dominates, and counts what equals a member."""
        for passed in device.front(blocks, lambda: state.points):
            state.seen += passed.points
            state.accepted += passed.accepted
            if self.clauses:
                state.verdicts = passed.verdicts if state.verdicts is None else state.verdicts + passed.verdicts
            state.count, state.places = state.count + passed.equals, np.minimum(state.places, passed.lowest)
            state.wait(passed.keys, passed.places, np.ones(len(passed.places), dtype=np.int64))
            state.merge()
            yield passed.points

    def bars(self, state: Any) -> np.ndarray | None:
        pivots: np.ndarray | None = state.pivots
        return pivots

    def heed(self, state: Any, bars: np.ndarray) -> None:
        state.pivots = state.elsewhere = bars

    def merge(self, state: Any, other: Any) -> None:
        state.join(other)

    def pack(self, state: Any) -> dict[str, np.ndarray]:
        return state.pack()

    def unpack(self, arrays: Mapping[str, np.ndarray], cells: Cells) -> Any:
        return Front.unpack(arrays, cells.points)

    def finish(self, states: list[Front], program: Program, cells: Cells) -> xr.Dataset:
        for state in states:
            state.merge()
        points, places, count = front_of(
            np.concatenate([s.points for s in states]),
            np.concatenate([s.places for s in states]),
            np.concatenate([s.count for s in states]),
        )
        full = len(points)
        _require_short(full, sum(s.seen for s in states), cells.points)
        if self.epsilon is not None:
            keep = thin(points, self.epsilon)
            points, places, count = points[keep], places[keep], count[keep]
        attrs: dict[str, Any] = {
            "objectives": ", ".join(f"{'max' if up else 'min'} {n}" for n, up in self.objectives),
            "points": sum(s.seen for s in states),
            "accepted": sum(s.accepted for s in states),
            "front": full,
        }
        verdicts = [s.verdicts for s in states if s.verdicts is not None]
        if verdicts:
            attrs["rejected"] = counts.told(sum(verdicts[1:], verdicts[0]), self.clauses)
        found = np.ones(len(places), dtype=bool)
        self.index.clear()
        self.index.update(cells.unrank(places))
        result = winners(program, self.index, found, ("point",), (len(places),), list(program.axes), attrs)
        about = {"units": "1", "long_name": "configurations with these objectives"}
        return result.drop_vars("found").assign(count=("point", count, about))


class Drawn(Pareto):
    """The front of every sample by itself: the positions of its members along every axis, `sample` among them."""

    by = ("sample",)

    def room(self, program: Program, cells: Cells) -> Room:
        """That of newcomers to each front before they are merged; how long the fronts become, nobody knows before."""
        return Room(
            8.0 * cells.count * min(cells.points, BATCH) * (2 + len(self.objectives)), 0.0, "fewer samples or threads"
        )

    def start(self, cells: Cells) -> Any:
        return [super(Drawn, self).start(cells) for _ in range(cells.count)]

    def bars(self, state: Any) -> None:
        """None: a front of every sample has pivots of its own, which are too many to tell."""

    def take(self, state: Any, block: Block, columns: np.ndarray, cells: Cells) -> None:
        which = cells.of_tiles(block)
        for tile in range(block.hi - block.lo):
            a, b = int(block.starts[tile]), int(block.starts[tile + 1])
            self.fold(state[int(which[tile])], block, columns[:, a:b], cells, a)

    def on_device(self, state: Any, program: Program, cells: Cells) -> Iterator[int]:
        device = self._device(program, cells)
        for cell, front in enumerate(state):
            yield from self._found(front, device, np.arange(device.blocks_of_cell) + cell * device.blocks_of_cell)

    def merge(self, state: Any, other: Any) -> None:
        for front, more in zip(state, other):
            front.join(more)

    def pack(self, state: Any) -> dict[str, np.ndarray]:
        fronts = [front.pack() for front in state]
        lengths = {f"{name} length": np.array([len(front[name]) for front in fronts]) for name in fronts[0]}
        return lengths | {name: np.concatenate([front[name] for front in fronts]) for name in fronts[0]}

    def unpack(self, arrays: Mapping[str, np.ndarray], cells: Cells) -> Any:
        names = [name for name in arrays if f"{name} length" in arrays]
        pieces = {name: np.split(arrays[name], np.cumsum(arrays[f"{name} length"])[:-1]) for name in names}
        return [Front.unpack(dict(zip(names, front)), cells.points) for front in zip(*(pieces[name] for name in names))]

    def finish(self, states: list[Any], program: Program, cells: Cells) -> Any:
        fronts = []
        for of_sample in zip(*states):
            for state in of_sample:
                state.merge()
            _, places, _ = front_of(
                *(np.concatenate([getattr(s, k) for s in of_sample]) for k in ("points", "places", "count"))
            )
            fronts.append(cells.unrank(places))
        return xr.Dataset({f"at {a}": ("member", np.concatenate([f[a] for f in fronts])) for a in fronts[0]})
