"""Several reductions in one pass over the grid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import xarray as xr

from mlsysim import sizes
from mlsysim.engine import condition, estimate, label
from mlsysim.engine.block import Block, block_wanted, threads_wanted
from mlsysim.engine.graph import Node, reached
from mlsysim.engine.interpret import stage_bytes
from mlsysim.engine.kinds import Picked
from mlsysim.engine.memory import require
from mlsysim.engine.parameters import Parameter
from mlsysim.engine.program import Program
from mlsysim.engine.progress import Progress, watched
from mlsysim.engine.run import Sweep
from mlsysim.engine.sieve import Sought, values_of
from mlsysim.schema import codes
from mlsysim.schema.check import shown
from mlsysim.schema.variables import variable_of
from mlsysim.search.gates import gates
from mlsysim.search.interrupted import handed, marked
from mlsysim.search.parts import Parts


class Reduction(Protocol):
    """What `reduce` asks of a reduction.

    One that has ``so_far(states)`` lists there in a few words what it has found so far, for a bar.
    """

    by: tuple[str, ...]

    def columns(self, program: Program) -> list[Node]:
        """Nodes that it wants evaluated, in the order in which `take` gets them."""
        ...

    def start(self, cells: Cells) -> Any:
        """An empty state."""
        ...

    def take(self, state: Any, block: Block, columns: np.ndarray, cells: Cells) -> None:
        """Fold a block into a state."""
        ...

    def finish(self, states: list[Any], program: Program, cells: Cells) -> xr.Dataset:
        """The answer from the states of all threads."""
        ...

    def room(self, program: Program, cells: Cells) -> Room:
        """What it may need in memory, asked after `columns` and before anything runs."""
        ...

    def merge(self, state: Any, other: Any) -> None:
        """Fold a state into another; in which order makes no difference."""
        ...

    def pack(self, state: Any) -> dict[str, np.ndarray]:
        """A state as arrays of numbers, for a file (see `mlsysim.search.parts`)."""
        ...

    def unpack(self, arrays: Mapping[str, np.ndarray], cells: Cells) -> Any:
        """The state that was packed."""
        ...


class Seeks(NamedTuple):
    """What of a grid a reduction must be shown, so that the rest can be counted only (see `mlsysim.engine.sieve`).

    A reduction that says so has it as ``seeks``, after `columns`.
    """

    key: bool  #: its first column, of which only what passes ``bars(state)`` matters
    verdict: bool  #: how often its last column has each value
    works: bool = True  #: does only what is feasible pass?


class Room(NamedTuple):
    """Bytes that a reduction may need."""

    state: float  #: of each thread
    answer: float
    ways: str = "fewer axes in by=, or fewer values on these"  #: what to ask for instead


class Cells:
    """The cells of `by`, and the order of the grid that breaks ties."""

    def __init__(self, program: Program, by: Sequence[str]):
        unknown = [b for b in by if b not in program.axes]
        for b in unknown:
            if b not in program.single:
                from mlsysim.schema.check import hint

                axes = hint(b, program.axes) if program.axes else ", which has none: give an input several values"
                raise ValueError(f"by={shown(b)} is no axis of this call{axes}")
        self.by = tuple(b for b in by if b in program.axes)
        self.sizes = program.sizes
        self.shape = tuple(self.sizes[b] for b in self.by)
        self.count = math.prod(self.shape)
        self.points = math.prod(self.sizes.values()) // self.count  #: of each cell
        self.ranked = signature_order(program)
        strides, step = {}, 1
        for axis in reversed(self.ranked):
            strides[axis] = step
            step *= self.sizes[axis]
        self.strides = strides

    def of_tiles(self, block: Block) -> np.ndarray:
        """The cell in which each tile of a block lies."""
        if not self.by:
            return np.zeros(len(block.tiles), dtype=np.int64)
        return self.number(block.layout.outer_index(block.tiles))

    def number(self, index: Mapping[str, np.ndarray]) -> np.ndarray:
        """The cell of some points."""
        cell: Any = np.int64(0)
        for b in self.by:
            cell = cell * self.sizes[b] + index[b]
        return np.asarray(cell)

    def rank(self, index: Mapping[str, np.ndarray]) -> np.ndarray:
        """Place of some points along the axes in the order of the signature."""
        rank: Any = np.int64(0)
        for axis, stride in self.strides.items():
            rank = rank + index[axis].astype(np.int64) * stride
        return np.asarray(rank)

    def unrank(self, ranks: np.ndarray) -> dict[str, np.ndarray]:
        """Positions along the axes from places."""
        found = {}
        rest = np.asarray(ranks, dtype=np.int64)
        for axis in self.ranked:
            found[axis], rest = np.divmod(rest, self.strides[axis])
        return found


def reserved(program: Program, *names: str) -> None:
    """Refuse axes that bear the name of something a search adds."""
    for name in names:
        if name in program.binder.axes:
            raise ValueError(f"axis {name!r} bears the name of something that this search adds: rename that dim")


def signature_order(program: Program) -> list[str]:
    """Axes in the order of the signature, whatever the order in which the user named them."""
    return in_signature_order(program.parameters, program.axes)


def in_signature_order(parameters: Mapping[str, Parameter], axes: Iterable[str]) -> list[str]:
    """Axes in the order in which a resolver has its inputs, then fields of records, then others by name."""
    from mlsysim.engine.parameters import selectors

    order: dict[str, int] = {}
    for p in parameters.values():
        if p.record is None:
            order.setdefault(p.name, len(order))
        else:
            for s in selectors(p):
                order.setdefault(s.name, len(order))
    for p in parameters.values():
        for f in getattr(p.record, "_fields", ()):
            order.setdefault(f, len(order))
            order.setdefault(f"{p.name}.{f}", len(order))
    return sorted(axes, key=lambda a: (order.get(a, len(order)), a))


def accepted(program: Program, where: Any) -> tuple[Node, list[tuple[str, Node]]]:
    """The condition of a search (feasible, and every clause), and its clauses."""
    clauses = condition.clauses(program, where)
    works: Any = program.outputs.get("feasible", True)
    program.spare("feasible", works)
    for _, clause in clauses:
        works = works & clause
    return program.graph.as_truth(program.graph.lift(works)), clauses


def directed(name: str) -> bool:
    """Does the schema say which way is better?"""
    variable = variable_of(name)
    return variable is not None and bool(variable.better)


def signed(program: Program, objective: str, maximize: bool | None) -> Node:
    """An objective to be minimized."""
    node = program.named(objective) if objective not in program.outputs else program.output(objective)
    program.spare(objective, node)
    variable = variable_of(objective)
    if variable is not None and variable.options is not None:
        raise ValueError(
            f"{objective} is a label ({', '.join(codes.labels(variable.options))}): an objective must be a quantity"
        )
    if maximize is None:
        if variable is None or not variable.better:
            raise ValueError(f"{objective} has no direction in the schema: say maximize=True or maximize=False")
        maximize = variable.better == "more"
    node = program.graph.as_number(node)
    return -node if maximize else node


def told(objective: str, key: float, maximize: bool | None) -> str:
    """An objective with its value, from the key that is minimized.

    >>> told("itl", 0.0213, None), told("mfu", -0.41, None)
    ('itl 21.3 ms', 'mfu 0.41')
    """
    variable = variable_of(objective)
    up = maximize if maximize is not None else variable is not None and variable.better == "more"
    return f"{objective} {sizes.text(float(f'{-key if up else key:.4g}'), variable.unit if variable else '1')}"


def guarded(condition: Node, node: Node) -> Node:
    """`node` where the condition holds and it is a number, inf elsewhere."""
    return node.graph.apply("where", (condition & (node == node), node, np.inf))


def several(reductions: Any) -> list[Reduction]:
    """Reductions as a list, each of them one."""
    found = list(reductions) if isinstance(reductions, (list, tuple)) else [reductions]
    if not found or not all(hasattr(r, "columns") and hasattr(r, "finish") for r in found):
        raise TypeError(
            f"reductions={shown(reductions)}: must be a list of Best, Top, Pareto or Counts of mlsysim.search"
        )
    return found


def reduce(
    program: Program,
    reductions: Sequence[Reduction],
    threads: int | None = None,
    block: int | None = None,
    progress: Progress = None,
    plan: str = "auto",
    resume: Any = None,
) -> list[xr.Dataset]:
    """Run several reductions over one pass of the grid."""
    reductions = several(reductions)
    all_cells = [Cells(program, r.by) for r in reductions]
    columns, wanted = _columns(program, reductions)
    require_room(program, reductions, threads, block, columns)
    outermost = sorted({b for c in all_cells for b in c.by})

    def take(states: list[Any], part: Block) -> None:
        for reduction, state, rows, cells in zip(reductions, states, wanted, all_cells):
            own = part.narrowed(rows)
            reduction.take(state, own, own.columns, cells)

    def start() -> list[Any]:
        return [r.start(c) for r, c in zip(reductions, all_cells)]

    def finish(states: list[list[Any]]) -> list[xr.Dataset]:
        return [r.finish([s[i] for s in states], program, all_cells[i]) for i, r in enumerate(reductions)]

    known: list[Any] = []
    sweep: Any = None

    def so_far() -> str:
        states = [*known, *sweep.states, *list(sweep.open.values())]
        found = [r.so_far([s[i] for s in states]) for i, r in enumerate(reductions) if hasattr(r, "so_far")]
        words = dict.fromkeys(text for texts in found for text in texts)
        return f"best so far: {', '.join(words)}" if words else ""

    with watched(progress, so_far) as tell:
        sought = sought_by(program, reductions, columns, wanted, all_cells)
        sweep = Sweep(program, columns, outermost, plan, block=block, repeatable=resume is not None, sought=sought)
        estimate.warn(estimate.seconds(program, sweep.loads(), threads), program.n_points)
        parts = None if resume is None else Parts(resume, program, sweep, reductions, all_cells, start)
        known += [] if parts is None else [parts.state]
        with handed(
            lambda _: (
                marked(finish([*known, *sweep.states, *sweep.open.values()]), sweep.done, program.n_points)
                if sweep.done
                else None
            )
        ):
            sweep.run(take, start, threads, tell, None if parts is None else parts.spans)
    return finish([*known, *sweep.states])


def _columns(program: Program, reductions: Sequence[Reduction]) -> tuple[list[Node], list[list[int]]]:
    """What some reductions want evaluated, each once, and which of these each of them gets."""
    columns: dict[int, Node] = {}
    wanted = [[columns.setdefault(node.index, node) for node in reduction.columns(program)] for reduction in reductions]
    place = {index: i for i, index in enumerate(columns)}
    return list(columns.values()), [[place[node.index] for node in nodes] for nodes in wanted]


def sought_by(
    program: Program,
    reductions: Sequence[Any],
    columns: Sequence[Node],
    wanted: Sequence[Sequence[int]],
    cells: Sequence[Cells],
) -> Sought | None:
    """What all of some reductions seek; None where one of them wants to see every point."""
    keys: list[tuple[int, tuple[str, ...]]] = []
    verdicts: dict[int, tuple[int, ...]] = {}
    for reduction, rows, own in zip(reductions, wanted, cells):
        seeks = getattr(reduction, "seeks", None)
        if seeks is None or (seeks.verdict and not seeks.key and own.by):
            return None
        if seeks.key:
            keys.append((rows[0], own.by))
        if seeks.verdict:
            values = values_of(columns[rows[-1]])
            if values is None:
                return None
            verdicts[rows[-1]] = values

    def bars(states: Sequence[Any]) -> list[np.ndarray]:
        pairs = [(reduction, state) for reduction, state in zip(reductions, states) if reduction.seeks.key]
        return [bar for reduction, state in pairs for bar in reduction.bars(state)]

    works = all(reduction.seeks.works for reduction in reductions)
    return Sought(keys, list(verdicts.items()), cells[0].strides, gates(program, bool(verdicts)) if works else [], bars)


def require_room(
    program: Program,
    reductions: Sequence[Reduction],
    threads: int | None = None,
    block: int | None = None,
    columns: Sequence[Node] | None = None,
) -> None:
    """Refuse a pass whose states, answers, stages and blocks would not fit in memory.

    Raises
    ------
    TooLarge
    """
    columns = _columns(program, reductions)[0] if columns is None else columns
    workers = min(threads_wanted(threads), max(1, -(-program.n_points // block_wanted(block))))
    rooms = [reduction.room(program, Cells(program, reduction.by)) for reduction in reductions]
    needs = [(workers * room.state + room.answer, room.ways) for room in rooms]
    needs.append(
        (stage_bytes(reached(columns), program.points_of), "fewer values of the inputs of what is computed in loops")
    )
    needs.append((8.0 * workers * len(columns) * (block or 0), "a smaller block="))  # the engine's own are small
    names = ", ".join(type(reduction).__name__.lower() for reduction in reductions)
    require(sum(size for size, _ in needs), f"{names} over {program.n_points:,} points", max(needs)[1])


def winners_bytes(program: Program, n: int) -> float:
    """What `winners` needs for so many points: places, outputs and labels, each with the copy that it is made from."""
    nodes, _ = program.available()
    labels = sum(_dtype(values).itemsize for dims, values, _ in label.coordinates(program).values() if dims)
    return 2.0 * n * (8 * len(program.axes) + 8 * len(nodes) + labels)


def _dtype(values: Any) -> np.dtype[Any]:
    return values.dtype if hasattr(values, "dtype") else np.asarray(values).dtype


def winners(
    program: Program,
    index: Mapping[str, np.ndarray],
    found: np.ndarray,
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    free: Sequence[str],
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """All outputs at some points, with their places along the `free` axes as coordinates.

    Parameters
    ----------
    index : mapping
        Position along every axis, flat.
    found : ndarray of bool
        Where there is a winner; elsewhere numbers are NaN, flags False, and `limit` is ``not_found``.
    """
    nodes, omitted = program.available()
    values = program.at(nodes, index)
    arrays: dict[str, np.ndarray] = {}
    for name, value in values.items():
        kind, variable = label.dtype(name), variable_of(name)
        of_limits = variable is not None and variable.options is codes.Limit
        otherwise = np.nan if kind is np.float64 else int(codes.Limit.NOT_FOUND) if of_limits else 0
        arrays[name] = np.where(found, value, otherwise).astype(kind).reshape(shape)
    arrays["found"] = found.reshape(shape)
    everything = label.coordinates(program)
    coords: dict[str, Any] = {}
    for name, (own, values_, about) in everything.items():
        along = (own,) if isinstance(own, str) else own
        if set(along) <= set(dims):
            coords[name] = (own, values_, about)
        elif set(along) <= {*dims, *free}:
            at = (values_ if isinstance(values_, Picked) else np.asarray(values_))[tuple(index[a] for a in along)]
            if not found.all():
                nothing: Any = {"U": "", "M": "NaT", "m": "NaT"}.get(at.dtype.kind, np.nan)
                at = np.where(found, at, np.array(nothing, dtype=at.dtype if at.dtype.kind in "mM" else None))
            coords[name] = (dims, at.reshape(shape), about)
    return label.dataset(program, arrays, dims, coords, label.story(program, omitted, **attrs))
