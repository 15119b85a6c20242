"""Several reductions in one pass over the grid."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import xarray as xr

from mlsysim import sizes
from mlsysim.engine import condition, estimate
from mlsysim.engine.block import Block, block_wanted, planned, threads_wanted
from mlsysim.engine.graph import Node
from mlsysim.engine.memory import require
from mlsysim.engine.parameters import Parameter
from mlsysim.engine.program import Program
from mlsysim.engine.progress import Progress, watched
from mlsysim.engine.run import Sweep
from mlsysim.engine.sieve import Sought, values_of
from mlsysim.schema import codes
from mlsysim.schema.check import shown
from mlsysim.schema.variables import variable_of
from mlsysim.search import workers
from mlsysim.search.gates import gates
from mlsysim.search.interrupted import handed, marked
from mlsysim.search.parts import Folder, Parts, cut, identity, packable, packed


class Reduction(Protocol):
    """What `reduce` asks of a reduction.

    Only what is kept in a folder or comes from a worker is merged, packed and unpacked.  What may be left out:

    ``hint(state)``, ``heed(state, hint)`` : save time among parts.
    ``seeks``, ``bars(state)`` : what of a grid it must be shown (see `Seeks`), and arrays that follow the state: by cell, the
        key and the place that a newcomer must beat.
    ``so_far(states)`` : lists in a few words what it has found so far, for a bar of progress.
    ``on_device(state, program, cells)`` : folds the whole grid into a state, as a device evaluates it (``plan="cuda"``,
        see `mlsysim.engine.device`), and yields how many points more are done.
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

    def hint(self, state: Any) -> Any:
        """A few numbers by which a search of other parts passes over what cannot win; None where there are none."""
        ...

    def heed(self, state: Any, hint: Any) -> None:
        """Let an empty state pass over what the `hint` of another one excludes."""
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


class Pass:
    """Reductions over one pass of a grid: what they want evaluated, and what becomes of it.

    It is the `Call` of workers (see `mlsysim.search.workers`), a part a range of tiles.
    """

    def __init__(self, program: Program, reductions: Sequence[Reduction]):
        self.reductions, self.cells = reductions, [Cells(program, r.by) for r in reductions]
        self.columns, self.wanted = _columns(program, reductions)

    def evaluated(self, program: Program, plan: str, block: int | None, repeatable: bool) -> Sweep:
        """The sweep that evaluates it, each tile in one cell of all."""
        outermost = sorted({b for c in self.cells for b in c.by})
        sought = sought_by(program, self.reductions, self.columns, self.wanted, self.cells)
        self.sweep = Sweep(program, self.columns, outermost, plan, block=block, repeatable=repeatable, sought=sought)
        return self.sweep

    def __getstate__(self) -> dict[str, Any]:
        return {name: own for name, own in self.__dict__.items() if name != "columns"}  # nodes of a graph, which stays

    def start(self) -> list[Any]:
        """Empty states."""
        return [r.start(c) for r, c in zip(self.reductions, self.cells)]

    def take(self, states: list[Any], part: Block) -> None:
        """Fold a block into the states."""
        for reduction, state, rows, cells in zip(self.reductions, states, self.wanted, self.cells):
            own = part.narrowed(rows)
            reduction.take(state, own, own.columns, cells)

    def do(self, span: tuple[int, int], hints: Sequence[Any]) -> dict[str, np.ndarray]:
        """The states of a range of tiles, packed."""
        states = self.start()
        for reduction, state, hint in zip(self.reductions, states, hints):
            if hint is not None:
                reduction.heed(state, hint)
        scratch = self.sweep.scratch()
        for lo, hi in self.sweep.blocks(*span):
            for part in self.sweep.evaluate(lo, hi, scratch, states):
                self.take(states, part)
        return packed(self.reductions, states)

    def finish(self, states: Sequence[list[Any]], program: Program) -> list[xr.Dataset]:
        """The answers."""
        return [r.finish([s[i] for s in states], program, self.cells[i]) for i, r in enumerate(self.reductions)]

    def so_far(self, states: Sequence[list[Any]]) -> str:
        """What was found until now, in a few words."""
        found = [r.so_far([s[i] for s in states]) for i, r in enumerate(self.reductions) if hasattr(r, "so_far")]
        words = dict.fromkeys(text for texts in found for text in texts)
        return f"best so far: {', '.join(words)}" if words else ""


def reduce(
    program: Program,
    reductions: Sequence[Reduction],
    threads: int | None = None,
    block: int | None = None,
    progress: Progress = None,
    plan: str = "auto",
    resume: Any = None,
    client: Any = None,
) -> list[xr.Dataset]:
    """Run several reductions over one pass of the grid, on threads or on the workers of `client`, a part after the other."""
    reductions = several(reductions)
    for why in [f"resume={resume!r}"] * (resume is not None) + ["client"] * (client is not None):
        packable(reductions, why)
    workers.either(client, threads)
    asked = Pass(program, reductions)
    require_room(program, reductions, threads if client is None else 1, block, asked.columns)
    if planned(plan) == "cuda":
        return _on_device(program, reductions, asked.cells, progress, resume=resume, client=client)
    known: list[Any] = []
    sweep: Any = None

    def states() -> list[list[Any]]:
        return [*known, *sweep.states, *list(sweep.open.values())]

    with watched(progress, lambda: asked.so_far(states())) as tell:
        parted = resume is not None or client is not None
        sweep = asked.evaluated(program, plan, block, repeatable=parted)
        parts = None
        if parted:
            parts = Parts(sweep, reductions, asked.cells, asked.start, _folder(resume, program, sweep, reductions))
            known.append(parts.state)
        with handed(
            lambda _: marked(asked.finish(states(), program), sweep.done, program.n_points) if sweep.done else None
        ):
            at_once = threads if client is None else workers.number(client)
            estimate.warn(estimate.seconds(program, sweep.loads(), at_once), program.n_points)
            if client is not None and parts is not None:
                _shared(client, asked, parts, tell)
            else:
                sweep.run(asked.take, asked.start, threads, tell, None if parts is None else parts.spans)
    return asked.finish([*known, *sweep.states], program)


def _folder(resume: Any, program: Program, sweep: Sweep, reductions: Sequence[Reduction]) -> Folder | None:
    """The folder that keeps the parts of some reductions."""
    if resume is None:
        return None
    lo, hi = cut(sweep)[0]
    return Folder(resume, identity(program, sweep, "; ".join(map(repr, reductions)), f"{hi - lo} tiles"))


def _shared(client: Any, asked: Pass, parts: Parts, tell: Callable[[int, int], None] | None) -> None:
    """Let workers reduce the parts that are missing."""
    sweep = asked.sweep
    sweep.done = parts.spans.done
    for span, arrays in workers.each(client, asked, parts.spans.ranges, parts.hints):
        parts.take(span, arrays)
        sweep.done += sweep.layout.points_before(span[1]) - sweep.layout.points_before(span[0])
        if tell is not None:
            tell(sweep.done, sweep.n_points)


def _on_device(
    program: Program, reductions: Sequence[Reduction], all_cells: Sequence[Cells], progress: Progress, **refused: Any
) -> list[xr.Dataset]:
    """Run several reductions, each in a pass of its own, on a device."""
    for name, value in refused.items():
        if value is not None:
            raise ValueError(f"{name}={shown(value)}: plan='cuda' has no parts; every other plan has")
    for reduction in reductions:
        if not hasattr(reduction, "on_device"):
            raise TypeError(f"plan='cuda': {type(reduction).__name__} has no on_device")
    answers = []
    with watched(progress) as tell:
        for reduction, cells in zip(reductions, all_cells):
            state, done = reduction.start(cells), 0
            for points in reduction.on_device(state, program, cells):  # type: ignore[attr-defined]
                done += points
                if tell is not None:
                    tell(done, program.n_points)
            answers.append(reduction.finish([state], program, cells))
    return answers


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
    only = gates(program, bool(verdicts)) if all(reduction.seeks.works for reduction in reductions) else []
    return Sought(keys, list(verdicts.items()), cells[0].strides, only, functools.partial(_bars, reductions))


def _bars(reductions: Sequence[Any], states: Sequence[Any]) -> list[np.ndarray]:
    """The bars of some reductions, as their states are now."""
    pairs = [(reduction, state) for reduction, state in zip(reductions, states) if reduction.seeks.key]
    return [bar for reduction, state in pairs for bar in reduction.bars(state)]


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
    needs.append((program.stage_bytes(columns), "fewer values of the inputs of what is computed in loops"))
    needs.append((8.0 * workers * len(columns) * (block or 0), "a smaller block="))  # the engine's own are small
    names = ", ".join(type(reduction).__name__.lower() for reduction in reductions)
    require(sum(size for size, _ in needs), f"{names} over {program.n_points:,} points", max(needs)[1])
