"""Running a recorded call: plain for small sweeps, compiled for large ones, in blocks on threads.

Four plans give the same bits:

* ``plain``: every node over its own axes with NumPy; no compiler, so a first answer never waits.
* ``nest``: what depends on few axes is tabulated by the plain plan once, the rest is a compiled loop nest.
* ``generic``: the nest of a single paired axis, one per kernel and set of inputs; any grid is fed to it
  expanded, block by block, so that it serves sweeps of every shape once it is on disk.
* ``cuda``: the same tables, and the rest as kernels of a GPU (see `mlsysim.engine.device`).

Where nothing can be compiled (``NUMBA_DISABLE_JIT=1``) every sweep is plain, whatever was asked for.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mlsysim.engine import cache, elsewhere, nest, sieve
from mlsysim.engine.block import BLOCK, Block, Spans, block_wanted, planned, threads_wanted, together
from mlsysim.engine.graph import Node
from mlsysim.engine.nest import Writer
from mlsysim.engine.plain import Plain
from mlsysim.engine.plan import Layout, choose, in_order
from mlsysim.engine.program import Program
from mlsysim.engine.settle import settled, sought_in
from mlsysim.engine.sieve import Sieve, Sought
from mlsysim.engine.split import Split, split
from mlsysim.engine.tables import Table, leaves, pack, tabulated

SMALL = 1 << 18  #: points up to which everything is one plain evaluation
TABLE = 1 << 17  #: longest table (1 MiB: stays in the second-level cache while it is computed)
SIEVED, PIECES = 1 << 20, 64  #: most points of a block of which a sieve leaves little; pieces of a smaller sweep
PLAIN_TILE = 1 << 15  #: points of a tile of the plain plan
PLAIN_OPERATION = 1.0e-9  #: seconds per point and operation of the plain plan
COMPILE = (0.5, 4e-3, 0.1)  #: seconds to compile a nest: fixed, per operation and per loop
WORTH = 0.02  #: seconds of the plain plan below which a nest is not thought of
#: seconds that the plain plan took in this process where a nest would have served, by its source
spent: dict[str, float] = {}


class Sweep:
    """Evaluates columns over the grid of a program, block by block.

    Parameters
    ----------
    program : Program
    columns : sequence of Node
    outermost : sequence of str
        Axes that stay outside the tiles (each tile then lies in one cell of them).
    plan : {"auto", "plain", "generic", "nest", "cuda"}
        With ``"cuda"`` only what a device needs is prepared: the tables and the body.
    stored : sequence of ndarray, optional
        Flat arrays, one a column, over the column's own axes: results are written there instead.
    block : int, optional
        Points of a block.
    sought : Sought, optional
        What the reductions seek: a nest then hands out only the tiles in which something may be.
    repeatable : bool
        Let ``plan="auto"`` depend on the call alone, not on what is compiled already: the tiles are the same next time.
    """

    def __init__(
        self,
        program: Program,
        columns: Sequence[Node],
        outermost: Sequence[str] = (),
        plan: str = "auto",
        stored: Sequence[np.ndarray] | None = None,
        block: int | None = None,
        repeatable: bool = False,
        sought: Sought | None = None,
    ):
        plan = planned(plan)
        self.columns, self.stored, self.sought = list(columns), stored, sought
        self.read = [*self.columns, *(sought.nodes if sought is not None else ())]
        self.sizes, self.n_points = program.sizes, program.n_points
        self.names = list(self.sizes)
        self.kinds = program.kinds
        self.repeatable = repeatable
        self.states: list[Any] = []  #: of the threads of a run
        self.open: dict[int, Any] = {}  #: by thread: of a range that is not done
        self.done = 0  #: points that are in all of these
        self.block_points, self.asked = block_wanted(block), block
        if plan == "cuda" and stored is not None:
            raise ValueError("plan='cuda' fills memory at once: store=, client= and resume= go with every other plan")
        small = program.n_points <= SMALL and plan == "auto"
        limit = math.inf if small else min(TABLE, max(program.n_points // 8, 1))
        self.whole = split(program, self.read, limit, lanes=plan not in ("cuda", "generic"))
        self._take(self.whole)
        self.layout = self._layout(outermost, plain=True)
        self.nest: Callable[..., Any] | None = None
        self.plan = "plain"
        if plan == "generic":
            self._generic(outermost)
        if self.plan == "generic":
            self.found: Mapping[int, Table] = leaves(program, self.inputs, self.by_kind)
        else:
            self.found = tabulated(program, self.whole)
        if plan in ("nest", "cuda"):
            self._settle()
        if plan == "nest" or (plan == "auto" and not small and self._worth(outermost)):
            self.nest = self._compile(outermost)
        self.found = {n.index: self.found[n.index] for n in self.inputs}

    @property
    def lengths(self) -> np.ndarray:
        """Of all axes."""
        return np.array(list(self.sizes.values()), dtype=np.int64)

    @functools.cached_property
    def tables(self) -> dict[int, np.ndarray]:
        """What was tabulated, at every point."""
        return {index: np.asarray(table) for index, table in self.found.items()}

    @functools.cached_property
    def packed(self) -> tuple[np.ndarray, np.ndarray]:
        """What the nest reads, in one array, and where each of its inputs begins."""
        data, at = pack(self.source, self.found, self.names)
        if self.by_kind and self.kinds is not None:  # which kind a point is of stands behind where the inputs begin
            at = np.concatenate([at, self.kinds.codes], dtype=np.int64)
        return data, at

    def __getstate__(self) -> dict[str, Any]:
        return elsewhere.sent(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        elsewhere.received(self, state)

    def loads(self) -> dict[frozenset[str], float]:
        """Operations by the axes over which they are repeated, a plain one counted as 1."""
        return self.split.loads(self.columns)

    def _layout(self, outermost: Sequence[str], plain: bool = False) -> Layout:
        if plain:
            free = sorted((a for a in self.names if a not in outermost), key=lambda a: self.sizes[a])
            if not self.body and self.stored is not None:  # all tables: written as they are
                tile = [a for a in self.names if a in free]
                chunk = self.sizes[tile[-1]] if tile else 1
            else:  # the longest axis runs fastest, in chunks; as many short ones as fit join it
                tile = free[-1:]
                for axis in free[:-1]:
                    if math.prod(self.sizes[a] for a in tile) * self.sizes[axis] <= PLAIN_TILE:
                        tile.insert(0, axis)
                chunk = min(self.sizes[tile[-1]], PLAIN_TILE) if tile else 1
            loads = self.loads()
            load = {a: sum(ops for axes, ops in loads.items() if a in axes) for a in self.names}
            outer = sorted((a for a in self.names if a not in tile), key=lambda a: -load[a])  # what moves most is least
            return Layout(tuple(outer), tuple(tile), self.sizes, chunk)
        if self.stored is not None:
            return in_order(self.sizes)
        return choose(self.sizes, self.loads(), outermost if self.sought is None else ())

    # --- settled -------------------------------------------------------------------------------------------

    def _take(self, found: Split) -> None:
        """Compute what a split says."""
        self.split = found
        self.nodes, self.dims, self.by_kind = found.nodes, found.dims, found.by_kind
        self.body, self.inputs, self.tabled = found.body, found.inputs, found.tabled
        self.columns = found.asked[: len(self.columns)]

    def _settle(self) -> None:
        """Leave out what is computed where a condition holds that holds nowhere in this call, or the other way round."""
        known = settled(self.inputs, self.found)
        found = self.whole.settled(known, along=self.sought is None) if known else None
        if found is None:
            return
        if self.sought is not None:
            sought = sought_in(self.sought, found.found)
            if sought is None:
                return
            self.sought = sought
        self._take(found)

    # --- compiled ------------------------------------------------------------------------------------------

    def _worth(self, outermost: Sequence[str]) -> bool:
        """Does compiling pay: is it done already, or has doing without cost as much by now?"""
        operations = sum(ops * math.prod(self.sizes[a] for a in axes) for axes, ops in self.loads().items())
        plain = operations * PLAIN_OPERATION
        if plain < WORTH:
            return False
        whole, sought = self._write(outermost), self.sought
        self._settle()
        text, signature = self._write(outermost)
        compiling = COMPILE[0] + COMPILE[1] * len(self.body) + COMPILE[2] * text.count("for j_")
        if self.repeatable:
            return plain > compiling
        for one in {text, whole[0]}:
            spent[one] = spent.get(one, 0.0) + plain
        if cache.kept(text, signature) or spent[text] > compiling:
            return True
        if not cache.kept(*whole) and spent[whole[0]] <= 2.0 * compiling:
            return False
        self._take(self.whole)  # it serves calls that settle other conditions, too
        self.sought = sought
        return True

    def _write(self, outermost: Sequence[str]) -> tuple[str, str]:
        self.layout_nest = self._layout(outermost)
        what = (self.layout_nest.cut, [n.index for n in self.columns], self.stored is not None, self.names)
        key = repr((*what, self.sought and self.sought.text, nest.STORES, sieve.BEHIND))
        found = self.split.sources.get(key)
        if found is None:
            writer = (Writer if self.sought is None else functools.partial(Sieve, self.sought))(
                self.layout_nest,
                self.body,
                self.inputs,
                self.dims,
                self.columns,
                self.stored is not None,
                self.names,
                (self.kinds.axis, self.by_kind) if self.kinds is not None and self.by_kind else None,
            )
            found = self.split.sources[key] = writer.write()
        self.source = found
        return self.source.text, self.signature()

    def signature(self, sieved: bool = True) -> str:
        """Types of what the nest is given."""
        outs = "float64[:, ::1]"
        if self.stored is not None:
            outs = ", ".join(f"{a.dtype}[::1]" for a in self.stored)
        elif sieved and self.sought is not None:
            bars = ", float64[::1], uint64[::1]" * len(self.sought.keys)
            outs += f", int64[::1], uint64[::1], uint64[::1]{bars}"
        return f"uint64(int64, int64, int64[::1], int64[::1], float64[::1], float64[::1], {outs})"

    def _compile(self, outermost: Sequence[str]) -> Callable[..., Any] | None:
        """The compiled nest; where there is no compiler, none, and the plan stays plain."""
        made = cache.compiled(*self._write(outermost))
        if made is not None:
            self.layout, self.plan = self.layout_nest, "nest"
        return made

    def _generic(self, outermost: Sequence[str]) -> None:
        """The nest of one paired axis, over inputs that vary everywhere."""
        if self.stored is not None:
            raise ValueError("plan='generic' serves reductions; large results are stored by the nest")
        for node in self.nodes:
            if node.op == "stage":
                raise ValueError("plan='generic' cannot hold a stage")
        leaves = [n for n in self.nodes if n.op == "leaf"]
        body = [n for n in self.nodes if n.op not in ("leaf", "const")]
        lane = frozenset({"point"})
        dims = {n.index: lane if n.op != "const" else frozenset() for n in self.nodes}
        layout = Layout((), ("point",), {"point": 1 << 30}, 512)
        self.source = Writer(layout, body, leaves, dims, self.columns).write()
        generic = cache.compiled(self.source.text, self.signature(sieved=False))
        if generic is not None:
            self.generic, self.inputs, self.body, self.plan = generic, leaves, body, "generic"

    # --- running -------------------------------------------------------------------------------------------

    def scratch(self) -> Any:
        """What one thread needs: workspace and block, or what it holds of the tile before."""
        if self.nest is not None:
            room = max(
                self.layout.tile_points, min(self.block_points, self.tiles_per_block() * self.layout.tile_points)
            )
            out = np.empty((max(1, len(self.columns)), room)) if self.stored is None else None
            return np.zeros(self.source.workspace), out
        return Plain(self) if self.plan == "plain" else None

    def tiles_per_block(self) -> int:
        if self.nest is not None and self.stored is not None:
            wanted = max(self.block_points, BLOCK * 4)
            return max(1, wanted // self.layout.tile_points)
        if self.nest is not None and self.sought is not None:  # little comes back: fewer calls, of many tiles each
            wanted = max(self.block_points, min(SIEVED, self.n_points // PIECES)) if self.asked is None else self.asked
            return max(1, wanted // self.layout.tile_points)
        return max(1, self.block_points // self.layout.tile_points)

    def evaluate(self, lo: int, hi: int, scratch: Any, state: Any = None) -> Iterator[Block]:
        """The tiles `lo` to `hi` in one block; or in several, sieved by what stands in the state meanwhile."""
        if self.nest is not None and self.sought is not None:
            yield from self._sieved(lo, hi, scratch, state, self.sought)
            return
        tiles = np.arange(lo, hi)
        starts = self.layout.starts(tiles)
        if self.nest is not None:
            workspace, out = scratch
            data, at = self.packed
            outs = [out] if self.stored is None else self.stored
            self.nest(lo, hi, self.lengths, at, data, workspace, *outs)
            columns = out[:, : starts[-1]] if self.stored is None else np.empty((0, 0))
        elif self.plan == "generic":
            columns = self._expanded(tiles, starts)
        else:
            parts = [scratch.rows(t) for t in range(lo, hi)]
            columns = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        yield Block(self.layout, tiles, starts, columns, int(starts[-1]))

    def _sieved(self, lo: int, hi: int, scratch: Any, state: Any, sought: Sought) -> Iterator[Block]:
        assert self.nest is not None
        workspace, out = scratch
        (data, at), lengths = self.packed, self.lengths
        bars, kept = sought.bars(state), np.empty(hi - lo, dtype=np.int64)
        strides = np.array([sought.strides[a] for a in self.names] or [0], dtype=np.uint64)
        while lo < hi:
            counted = np.zeros(sought.n_tallies, dtype=np.uint64)
            end = self.nest(lo, hi, lengths, at, data, workspace, out, kept, counted, strides, *bars)
            tallies = counted.astype(np.int64)
            tiles = kept[: tallies[0]]
            starts = self.layout.starts(tiles)
            seen = self.layout.points_before(end) - self.layout.points_before(lo)
            yield Block(self.layout, tiles, starts, out[:, : starts[-1]], seen, sought.tallied(tallies))
            lo = end

    def _expanded(self, tiles: np.ndarray, starts: np.ndarray) -> np.ndarray:
        n = int(starts[-1])
        index = self.layout.index(tiles, starts, np.arange(n))
        data = np.concatenate([self._leaf_at(leaf, index, n) for leaf in self.inputs] or [np.zeros(1)])
        out = np.empty((max(1, len(self.columns)), n))
        self.generic(
            0,
            -(-n // 512),
            np.array([n], dtype=np.int64),
            np.arange(max(1, len(self.inputs)), dtype=np.int64) * n,
            data,
            np.zeros(self.source.workspace),
            out,
        )
        return out

    def _leaf_at(self, leaf: Node, index: dict[str, np.ndarray], n: int) -> np.ndarray:
        """Values of a leaf at `n` points of these positions along the axes."""
        table = self.tables[leaf.index]
        along = [index[a] for a in self.names]
        if leaf.index in self.by_kind and self.kinds is not None:
            along.append(self.kinds.codes[index[self.kinds.axis]])
        return np.broadcast_to(table[tuple(i if m > 1 else 0 for i, m in zip(along, table.shape))], (n,))

    def blocks(self, first: int = 0, last: int | None = None) -> Iterator[tuple[int, int]]:
        """Tile ranges of the blocks, of all tiles or of those from `first` to `last`."""
        step, end = self.tiles_per_block(), self.layout.n_tiles if last is None else last
        for lo in range(first, end, step):
            yield lo, min(lo + step, end)

    def run(
        self,
        take: Callable[[Any, Block], None] | None = None,
        state: Callable[[], Any] | None = None,
        threads: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        spans: Spans | None = None,
    ) -> list[Any]:
        """Evaluate every block; `take(state, block)` reduces it.

        After Ctrl-C, or a KeyboardInterrupt out of `progress`, each thread ends its block.  `states`, `open` and `done`
        then tell what was reduced until then: whole blocks, each once.

        Returns
        -------
        list
            One state per thread that ran.
        """
        ranges = list(self.blocks()) if spans is None else spans.ranges
        queue, workers = iter(ranges), min(threads_wanted(threads), max(1, len(ranges)))
        self.states, self.open, self.done = [], {}, 0 if spans is None else spans.done
        lock, halt = threading.Lock(), threading.Event()
        if self.nest is not None:
            _ = self.packed  # once, before the threads ask for it

        def work() -> None:
            own, scratch = (state() if state is not None else None), self.scratch()
            with lock:
                me = len(self.states)
                self.states.append(own)
            while not halt.is_set():
                with lock:
                    span = next(queue, None)
                if span is None:
                    return
                held = own
                if spans is not None and state is not None:
                    held = self.open[me] = state()
                for lo, hi in self.blocks(*span):
                    if halt.is_set():
                        return
                    for block in self.evaluate(lo, hi, scratch, held):
                        if take is not None:
                            take(held, block)
                        with lock:
                            self.done += block.seen
                            if progress is not None:
                                progress(self.done, self.n_points)
                        if halt.is_set():
                            return
                if spans is not None:
                    spans.fold(own, held, span)
                    del self.open[me]

        if len(ranges) <= 1 and spans is None:
            work()
        else:  # also for one thread: an interrupt strikes the thread that waits, never a state half changed
            together(work, workers, halt)
        return self.states
