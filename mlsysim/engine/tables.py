"""What depends on few axes, evaluated once before a sweep, and packed for its nest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mlsysim.engine.graph import Node, reached
from mlsysim.engine.interpret import evaluate
from mlsysim.engine.kinds import Kinds
from mlsysim.engine.nest import Source
from mlsysim.engine.program import Program

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


def tabulated(program: Program, inputs: Sequence[Node], by_kind: frozenset[int]) -> dict[int, np.ndarray]:
    """Values of some nodes by the plain plan, shaped to broadcast over all axes; behind them the kinds, for those `by_kind`."""
    needed = reached(inputs)
    first = [n for n in inputs if n.index in by_kind]
    read = {a.index: a for n in needed if n.index not in by_kind for a in n.args if a.index in by_kind}
    wanted = [*read.values(), *first]
    nodes = reached(wanted)
    tables = evaluate(nodes, {n.index: program.by_kind(n) for n in nodes if n.op == "leaf"}, wanted)
    then = [n for n in needed if n.index not in by_kind]
    known = {n.index: program.leaf_array(n) for n in then if n.op == "leaf"}
    known |= {i: spread(program.kinds, list(program.axes), tables[i]) for i in read}
    rest = evaluate(then, known, [n for n in inputs if n.index not in by_kind])
    return {n.index: tables[n.index] for n in first} | rest


def spread(kinds: Kinds | None, axes: Sequence[str], values: np.ndarray, part: slice = slice(None)) -> np.ndarray:
    """Values over all axes and, behind them, the kinds: over the points, or some of them, in their place."""
    if kinds is None or values.ndim == 0 or values.shape[-1] == 1:
        return values[..., 0] if values.ndim else values
    at = axes.index(kinds.axis)
    return np.moveaxis(np.take(values, kinds.codes[part], axis=-1).squeeze(at), -1, at)


def pack(source: Source, values: Mapping[int, np.ndarray], axes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The inputs of a nest in one array, and where each begins.

    Parameters
    ----------
    source : Source
    values : mapping
        Arrays by node index, shaped to broadcast over `axes`, with the kinds of points behind them where they vary along these.
    axes : sequence of str
        All axes, in the order of the arrays' dims.
    """
    flat, at, offset = [], [], 0
    for node, dims in zip(source.inputs, source.input_dims):
        array = np.asarray(values[node.index])
        kinds = list(range(len(axes), array.ndim))  # a last dim of its own
        order = [*kinds, *(axes.index(d) for d in dims)]
        rest = [i for i in range(len(axes)) if i not in order]
        flat.append(np.transpose(array, order + rest) if array.ndim else array)
        at.append(offset)
        offset += array.size
    data = np.zeros(1) if not flat else np.empty(offset)
    for first, array in zip(at, flat):
        data[first : first + array.size].reshape(array.shape)[...] = array
    return data, np.array(at or [0], dtype=np.int64)
