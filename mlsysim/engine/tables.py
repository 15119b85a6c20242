"""What depends on few axes, evaluated once before a sweep, and packed for its nest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mlsysim.engine.graph import Node
from mlsysim.engine.kinds import Kinds
from mlsysim.engine.nest import Source
from mlsysim.engine.patterns import Gathered
from mlsysim.engine.program import Program

if TYPE_CHECKING:
    from mlsysim.engine.split import Split

Table = np.ndarray | Gathered
STRIP = 64  #: elements that are copied side by side: a transposed megabyte takes a third of the time
READING = 6  #: operations of a compiled loop that take as long as reading a value of a kind
#: operations of which a processor does several at a time
CHEAP = frozenset({"add", "sub", "mul", "neg", "abs", "min", "max", "where", "float", "and", "or", "not"}) | frozenset(
    {"lt", "le", "gt", "ge", "eq", "ne"}
)


def of_kinds(program: Program, nodes: Sequence[Node], dims: Mapping[int, frozenset[str]]) -> frozenset[int]:
    """Nodes that follow from the kinds of points alone, where they are as many as the kinds (see `mlsysim.engine.kinds`)."""
    kinds = program.kinds
    if kinds is None or kinds.axis not in program.axes:
        return frozenset()
    found: set[int] = set()
    for n in nodes:
        own = program.binder.leaves[n.payload].dims if n.op == "leaf" else ()
        of_kind = kinds.name in own or any(a.index in found for a in n.args)
        of_point = kinds.axis in own or any(a.index not in found and kinds.axis in dims[a.index] for a in n.args)
        if of_kind and not of_point:
            found.add(n.index)
    return frozenset(found)


def computed_again(body: Sequence[Node], columns: Sequence[Node], by_kind: frozenset[int]) -> set[int]:
    """Nodes of kinds that are cheaper to compute at every point than to read there, as what they are made of is read anyway.

    Parameters
    ----------
    body : sequence of Node
        What is computed at every point.
    columns : sequence of Node
        What is wanted.
    by_kind : frozenset of int
        Nodes that have a value for each kind.
    """
    here = {n.index for n in body}
    read = {a.index: a for a in (*columns, *(a for n in body for a in n.args)) if a.index not in here}
    found: set[int] = set()
    while True:
        made: dict[int, list[Node]] = {}  #: what could be computed if one more node, or none, were read
        more: dict[int, Node] = {}
        for n in read.values():
            if n.index in by_kind and n.op in CHEAP:
                lacking = {
                    a.index: a for a in n.args if a.op != "const" and a.index not in read and a.index not in found
                }
                if len(lacking) <= 1:
                    more |= lacking
                    made.setdefault(next(iter(lacking), -1), []).append(n)
        lack = next(
            (i for i, nodes in made.items() if len(nodes) * (READING - 1) > (READING if i in more else 0)), None
        )
        if lack is None:
            return found
        for n in made[lack]:
            del read[n.index]
            found.add(n.index)
        read |= {lack: more[lack]} if lack in more else {}


def leaves(program: Program, nodes: Sequence[Node], by_kind: frozenset[int]) -> dict[int, np.ndarray]:
    """Values of leaves, shaped to broadcast over all axes; behind them the kinds, for those `by_kind`."""
    return {n.index: program.by_kind(n) if n.index in by_kind else program.leaf_array(n) for n in nodes}


def tabulated(program: Program, split: Split) -> dict[int, Table]:
    """Values of the inputs of a sweep by the plain plan, shaped to broadcast over all axes; behind them the kinds, for
    those that have a value a kind."""
    kinds, axes, tables = program.kinds, list(program.axes), dict[int, np.ndarray]()
    if split.kind_steps is not None:
        leaves, steps = split.kind_steps
        tables = steps.take({n.index: program.by_kind(n) for n in leaves})
    shared, known = split.shared(program), {n.index: program.leaf_array(n) for n in split.leaves}
    found: Mapping[int, Table]
    if shared is None:
        known |= {n.index: spread(kinds, axes, tables[n.index]) for n in split.read}
        found = split.steps.take(known)
    else:
        known |= {n.index: _in_place(kinds, axes, tables[n.index]) for n in split.read}
        found = shared.take(program, known)
    return {**{n.index: tables[n.index] for n in split.inputs if n.index in split.by_kind}, **found}


def spread(kinds: Kinds | None, axes: Sequence[str], values: np.ndarray, part: slice = slice(None)) -> np.ndarray:
    """Values over all axes and, behind them, the kinds: over the points, or some of them, in their place."""
    if kinds is None or values.ndim == 0 or values.shape[-1] == 1:
        return values[..., 0] if values.ndim else values
    return _in_place(kinds, axes, np.take(values, kinds.codes[part], axis=-1))


def _in_place(kinds: Kinds | None, axes: Sequence[str], values: np.ndarray) -> np.ndarray:
    """The last dim, behind all axes, in the place of the points."""
    assert kinds is not None
    at = axes.index(kinds.axis)
    return np.moveaxis(values.squeeze(at), -1, at)


def pack(source: Source, values: Mapping[int, Table], axes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The inputs of a nest in one array, and where each begins.

    Parameters
    ----------
    source : Source
    values : mapping
        Arrays by node index, shaped to broadcast over `axes`, with the kinds of points behind them where they vary along these.
    axes : sequence of str
        All axes, in the order of the arrays' dims.
    """
    found: list[tuple[np.ndarray | Gathered, list[int]]] = []
    for node, dims in zip(source.inputs, source.input_dims):
        array = values[node.index]
        kinds = list(range(len(axes), len(array.shape)))  # a last dim of its own
        order = [*kinds, *(axes.index(d) for d in dims)]
        found.append((array, [*order, *(i for i in range(len(axes)) if i not in order)] if array.shape else []))
    ends = list(itertools.accumulate((math.prod(array.shape) for array, _ in found), initial=0))
    data = np.empty(max(ends[-1], 1))
    for (array, order), begin, end in zip(found, ends, ends[1:]):
        target = data[begin:end].reshape([array.shape[i] for i in order])
        if isinstance(array, Gathered):
            array.fill(target, order)
        else:
            _copy(np.transpose(array, order), target)
    return data, np.array(ends[:-1] if found else [0], dtype=np.int64)


def _copy(array: np.ndarray, target: np.ndarray) -> None:
    """Fill a contiguous array; from one that lies otherwise by strips, of which the cache holds all rows."""
    if array.ndim == 0 or array.flags.c_contiguous:
        target[...] = array
        return
    for first in range(0, array.shape[-1], STRIP):
        target[..., first : first + STRIP] = array[..., first : first + STRIP]
