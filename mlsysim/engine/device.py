"""Running a recorded call on a GPU: spans of the grid, each walked by a block of the device (see `mlsysim.engine.cuda`).

The CPU tabulates, as for a nest, and decides: a reduction asks for the least of each span, for what is not behind a bar, or
for what no row of a front dominates, and folds what comes back into its state.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
import inspect
import math
import operator
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlsysim.engine import cuda, elementary, forks
from mlsysim.engine.graph import NUMPY, Node
from mlsysim.engine.memory import require
from mlsysim.engine.plan import walked
from mlsysim.engine.program import Program
from mlsysim.engine.run import Sweep
from mlsysim.engine.tables import pack

WARP = 32  #: lanes that work together
BLOCKS = 1 << 16  #: most blocks of a launch
ENOUGH = 1 << 13  #: blocks that fill a device some times over
LONGEST = 1024  #: most steps of a span
ROOM = 1 << 20  #: points that a launch may write down
FIRST = 1 << 16  #: points of the first launch that looks for a front


class Surveyed(NamedTuple):
    """What a launch found in its blocks."""

    blocks: np.ndarray
    points: int
    keys: np.ndarray  #: of the least point of each block, a column each; inf where nothing is accepted
    places: np.ndarray  #: of that point along the axes
    accepted: int
    verdicts: np.ndarray  #: how often each occurs in each block


class Passed(NamedTuple):
    """The points of a launch that passed; and, where a front was given, what became of the others."""

    keys: np.ndarray
    places: np.ndarray
    points: int = 0
    accepted: int = 0
    verdicts: np.ndarray = np.empty(0)
    equals: np.ndarray = np.empty(0)  #: how many equal each row of the front
    lowest: np.ndarray = np.empty(0)  #: the lowest place of these


class Device:
    """Evaluates columns over the grid of a program on a GPU.

    Parameters
    ----------
    program : Program
    columns : sequence of Node
        A reduction's: what it goes by, then a verdict, where it counts them.
    cells : sequence of str
        Axes that no span crosses, the first of them outermost.
    strides : mapping of str to int
        What a step along each axis adds to a place.
    verdicts : int
        How many kinds of verdicts there are, 0 where none are counted.

    Attributes
    ----------
    blocks, blocks_of_cell : int
        Spans of the grid and of each cell; those of one cell follow each other.

    Raises
    ------
    ImportError
        numba-cuda is not installed.
    ValueError
        There is no device, or it has no room.
    """

    def __init__(
        self, program: Program, columns: Sequence[Node], cells: Sequence[str], strides: dict[str, int], verdicts: int
    ):
        self.api = api()
        self.verdicts, self.width = verdicts, len(columns) - bool(verdicts)
        sweep = Sweep(program, columns, cells, plan="cuda")
        self.layout = layout = walked(sweep.sizes, sweep.loads(), cells, cuda.LANES, WARP)
        cells_count = math.prod(sweep.sizes[a] for a in cells)
        most = max(ROOM // layout.tile_points, 1)
        run = min(max(layout.n_tiles // ENOUGH, 1), LONGEST, most, layout.repeats[-1] // cells_count)
        kinds = (sweep.kinds.axis, sweep.by_kind) if sweep.kinds is not None and sweep.by_kind else None
        self.walk = cuda.Walk(
            layout, sweep.body, sweep.inputs, sweep.dims, sweep.columns, kinds, len(cells), run, strides
        )
        self.blocks_of_cell = self.walk.runs * layout.chunks
        self.blocks = cells_count * self.blocks_of_cell
        self.lanes = -(-layout.tile_points // WARP) * WARP
        data, at = pack(self.walk.reads(), sweep.tables, sweep.names)
        codes = np.zeros(1, dtype=np.int32) if kinds is None or sweep.kinds is None else sweep.kinds.codes
        free = self.api.current_context().get_memory_info()[0]
        require(data.nbytes + codes.nbytes, f"the tables of {program.n_points:,} points", "fewer or shorter axes", free)
        self.at, self.given = at.tolist(), [self.api.to_device(a) for a in (codes, data)]

    # --- what a reduction asks -----------------------------------------------------------------------------

    def cell(self, blocks: np.ndarray) -> np.ndarray:
        """The cell of some blocks."""
        return blocks // self.blocks_of_cell

    def points(self, blocks: np.ndarray) -> int:
        """How many points some blocks have."""
        layout = self.layout
        along, chunk = np.divmod(blocks, layout.chunks)
        steps = np.minimum(self.walk.run, self.walk.steps - along % self.walk.runs * self.walk.run)
        last = np.minimum(layout.chunk, layout.sizes[layout.tile[-1]] - chunk * layout.chunk) if layout.tile else 1
        return int((steps * last).sum() * layout.rows)

    def least(self) -> Iterator[Surveyed]:
        """The least point of each block, launch after launch, and verdicts."""
        for lo in range(0, self.blocks, BLOCKS):
            blocks = np.arange(lo, min(lo + BLOCKS, self.blocks))
            n = len(blocks)
            keys, places = self._room(n), self._whole(n)
            tally = self.api.device_array((n, self.verdicts + 1), np.int32)
            self._launch(cuda.least(self.width, self.verdicts), blocks, *[keys, places][: 2 * self.width], tally)
            told = tally.copy_to_host()
            yield Surveyed(
                blocks,
                self.points(blocks),
                keys.copy_to_host(),
                places.copy_to_host().astype(np.int64),
                int(told[:, -1].sum()),
                told[:, :-1],
            )

    def below(self, blocks: np.ndarray, bars: np.ndarray, ends: np.ndarray) -> Iterator[Passed]:
        """What does not come behind the bar of its cell (a row, then a place), launch after launch."""
        given = [self.api.to_device(a) for a in (bars, ends.astype(np.uint64))]

        def launch(part: np.ndarray) -> Passed | None:
            keys, places, count = self._room(ROOM), self._whole(ROOM), self._zeros(1)
            self._launch(cuda.below(self.width), part, *given, keys, places, count)
            return _passed(keys, places, count)

        return _fitting(blocks, BLOCKS, launch)

    def front(self, blocks: np.ndarray, rows: Callable[[], np.ndarray]) -> Iterator[Passed]:
        """What no row of a front dominates or equals, launch after launch; `rows` tells the front so far.

        The first launches are small and lie all over the grid, so that the front soon dominates what follows.
        """

        def launch(part: np.ndarray) -> Passed | None:
            now = rows()
            order = np.argsort((np.argsort(np.argsort(now, axis=0), axis=0) ** 2.0).sum(axis=1))  # the central first
            sent = self.api.to_device(
                np.ascontiguousarray(now[order]) if len(now) else np.full((1, self.width), np.inf)
            )
            equals, lowest = (
                self._zeros(len(now) + 1),
                self.api.to_device(np.full(len(now) + 1, cuda.NOWHERE, np.uint64)),
            )
            keys, places, count = self._room(ROOM), self._whole(ROOM), self._zeros(1)
            tally = self.api.device_array((len(part), self.verdicts + 1), np.int32)
            pick = cuda.front(self.width, self.verdicts)
            self._launch(pick, part, sent, equals, lowest, keys, places, count, tally)
            found = _passed(keys, places, count)
            if found is None:
                return None
            total, back = tally.copy_to_host().sum(axis=0, dtype=np.int64), np.argsort(order)
            lowest = np.minimum(lowest.copy_to_host(), np.iinfo(np.int64).max).astype(np.int64)
            return Passed(
                *found[:2],
                self.points(part),
                int(total[-1]),
                total[:-1],
                equals.copy_to_host()[:-1][back],
                lowest[:-1][back],
            )

        step = round(len(blocks) * 0.618) or 1
        while math.gcd(step, len(blocks)) > 1:
            step += 1
        scattered = blocks[np.arange(len(blocks)) * step % len(blocks)]
        return _fitting(scattered, max(FIRST // (self.walk.run * self.layout.tile_points), 1), launch)

    # --- launching -----------------------------------------------------------------------------------------

    def _room(self, points: int) -> Any:
        """Where a launch writes the columns of so many points."""
        return self.api.device_array((points, max(self.width, 1)), np.float64)

    def _whole(self, n: int) -> Any:
        return self.api.device_array(n, np.uint64)

    def _zeros(self, n: int) -> Any:
        return self.api.to_device(np.zeros(n, dtype=np.int64))

    def _launch(self, pick: cuda.Pick, blocks: np.ndarray, *arrays: Any) -> None:
        """Walk some blocks."""
        walk = compiled(self.walk.picking(pick, self.at))
        with warnings.catch_warnings(), forks.compiling():  # numba compiles at the first launch
            warnings.simplefilter("ignore")  # it warns of launches that do not fill a device
            walk[len(blocks), self.lanes](self.api.to_device(blocks), *self.given, *arrays)


def _passed(keys: Any, places: Any, count: Any) -> Passed | None:
    """What a launch has written down; None where there was no room for it all."""
    n = int(count.copy_to_host()[0])
    if n > ROOM:
        return None
    return Passed(keys[:n].copy_to_host(), places[:n].copy_to_host().astype(np.int64))


def _fitting(blocks: np.ndarray, size: int, launch: Callable[[np.ndarray], Passed | None]) -> Iterator[Passed]:
    """Launch after launch, each of as many blocks as there is room for what they write down."""
    begin = 0
    while begin < len(blocks):
        part = blocks[begin : begin + size]
        found = launch(part)
        if found is None:
            size = max(len(part) // 4, 1)
            continue
        yield found
        begin, size = begin + len(part), min(4 * size, BLOCKS)


def api() -> Any:
    """numba-cuda, with a device that answers, or its simulator (``NUMBA_ENABLE_CUDASIM=1``)."""
    if importlib.util.find_spec("numba_cuda") is None:
        raise ImportError("plan='cuda': numba-cuda is not installed: pip install 'mlsysim-sweep[gpu]'")
    from numba import cuda as api

    if not api.is_available():
        raise ValueError("plan='cuda': no CUDA device answers here; plan='auto' gives the same answer on the CPU")
    return api


class Unfused(ast.NodeTransformer):
    """``times(a, b)`` in place of ``a * b``."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if not isinstance(node.op, ast.Mult):
            return node
        return ast.Call(ast.Name("times", ast.Load()), [node.left, node.right], [])


def unfused() -> dict[str, Any]:
    """What stands in `mlsysim.engine.elementary`, its multiplication another primitive: ``times``."""
    scope: dict[str, Any] = {"__name__": elementary.__name__, "times": operator.mul}
    tree = Unfused().visit(ast.parse(inspect.getsource(elementary)))
    exec(compile(ast.fix_missing_locations(tree), "<elementary>", "exec"), scope)
    return scope


def words(api: Any) -> dict[str, Any]:
    """What the lines of a walk call: operations of a device, or Python's in the simulator."""
    import numba

    own = ("sqrt", "floor", "ceil", "rint")
    if numba.config.ENABLE_CUDASIM:  # type: ignore[attr-defined]
        made: dict[str, Any] = {op: NUMPY[op] for op in own} | {"u": int, "times": np.multiply}
        made["select"] = lambda condition, a, b: np.float64(a) if condition else np.float64(b)
        for op, steps in elementary.NAMES.items():
            made[steps.__name__] = functools.partial(_number, elementary.NUMBERS[op])
        return made
    from numba.cuda import libdevice
    from numba.cuda.extending import intrinsic

    from mlsysim.engine.intrinsics import PRIMITIVES

    made = {op: getattr(libdevice, op) for op in own} | {"u": np.uint64, "times": libdevice.dmul_rn}
    made |= {name: intrinsic(primitive) for name, primitive in PRIMITIVES.items()}
    functions = unfused()["functions"]({**made, "copysign": libdevice.copysign}, api.jit(device=True))
    return made | {elementary.NAMES[op].__name__: function for op, function in functions.items()}


_words = functools.lru_cache(maxsize=1)(words)


def _number(function: Callable[..., float], *values: Any) -> np.float64:
    return np.float64(function(*map(float, values)))


@functools.lru_cache(maxsize=64)
def compiled(text: str) -> Any:
    """The walk of a source text, which numba-cuda compiles when it is first launched."""
    own, scope = api(), types.ModuleType("mlsysim_walk").__dict__
    exec(compile(text, "<walk>", "exec"), scope)
    scope.update(_words(own))
    return own.jit(scope["walk"], fastmath=False)
