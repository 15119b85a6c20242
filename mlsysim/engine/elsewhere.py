"""A sweep for somebody else: what of it goes to another process, and a sweep of a slab of its grid.

What is sent is arithmetic alone: the operations of the body (a stage by its name), the tables that they read and the text of
the nest.  Who receives it needs neither the resolver nor its inputs, and nothing of the zoo; a kernel of a user's own goes as
well as any other.  The nest is compiled there, or taken from the cache of compiled code; where it cannot be compiled, the plain
plan walks the same tiles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.engine import cache
from mlsysim.engine.graph import Graph, Node
from mlsysim.engine.kinds import Kinds
from mlsysim.engine.nest import Source

if TYPE_CHECKING:
    from mlsysim.engine.run import Sweep

#: of a sweep, as they are
SAME = ("plan", "names", "sizes", "n_points", "block_points", "asked", "layout", "by_kind", "tables", "repeatable")


def sent(sweep: Sweep) -> dict[str, Any]:
    """A sweep as what can be pickled."""
    consts = [n for n in sweep.nodes if n.op == "const"]
    state: dict[str, Any] = {name: getattr(sweep, name) for name in SAME}
    state["given"] = [
        (n.index, "leaf", n.truth, None, ()) for n in sweep.inputs
    ]  # it is known, whatever it was made of
    state["given"] += [(n.index, "const", n.truth, n.payload, ()) for n in consts]
    state["body"] = [(n.index, n.op, n.truth, n.payload, tuple(a.index for a in n.args)) for n in sweep.body]
    state["inputs"], state["columns"] = [n.index for n in sweep.inputs], [n.index for n in sweep.columns]
    state["dims"] = {n.index: sweep.dims[n.index] for n in sweep.columns}
    state["kinds"] = None if sweep.kinds is None else Kinds(sweep.kinds.axis, sweep.kinds.codes, {})
    state["sought"] = None if sweep.sought is None else replace(sweep.sought, gates=())  # they are in the nest
    state["stored"] = None if sweep.stored is None else [array.dtype.str for array in sweep.stored]
    state["source"] = None
    if sweep.plan != "plain":
        state["source"] = (sweep.source.text, sweep.source.workspace, sweep.source.input_dims)
    return state


def received(sweep: Sweep, state: dict[str, Any]) -> None:
    """Make the sweep of what was sent."""
    for name in (*SAME, "kinds", "dims", "sought"):
        setattr(sweep, name, state[name])
    sweep.found = sweep.tables
    graph, known = Graph(), dict[int, Node]()
    for index, op, truth, payload, args in [*state["given"], *state["body"]]:
        known[index] = Node(graph, index, op, tuple(known[a] for a in args), truth, payload)
    sweep.nodes = list(known.values())
    sweep.inputs, sweep.columns = [known[i] for i in state["inputs"]], [known[i] for i in state["columns"]]
    sweep.body = [known[index] for index, *_ in state["body"]]
    sweep.stored = None if state["stored"] is None else [np.empty(0, dtype=kind) for kind in state["stored"]]
    sweep.states, sweep.open, sweep.done, sweep.nest = [], {}, 0, None
    if state["source"] is not None:
        text, workspace, dims = state["source"]
        sweep.source = Source(text, workspace, sweep.inputs, dims)
        nest = cache.compiled(text, sweep.signature())
        if nest is None:
            sweep.plan = "plain"
        elif sweep.plan == "nest":
            sweep.nest = nest
        else:
            sweep.generic = nest


def slab(sweep: Sweep, cut: Sequence[slice], stored: Sequence[np.ndarray]) -> Sweep:
    """The sweep of a part of the grid, which stores into arrays of that part's size.

    Parameters
    ----------
    sweep : Sweep
        One that stores.
    cut : sequence of slice
        Of each axis, in the order of the grid; ends inside it.
    stored : sequence of ndarray
        Flat arrays, one a column.
    """
    twin: Sweep = object.__new__(type(sweep))
    twin.__dict__.update(sweep.__dict__)
    twin.__dict__.pop("packed", None)
    twin.sizes = {a: c.stop - c.start for a, c in zip(sweep.names, cut)}
    twin.n_points = math.prod(twin.sizes.values())
    twin.layout = replace(sweep.layout, sizes=twin.sizes)
    twin.found = twin.tables = {i: cut_of(values, cut) for i, values in sweep.tables.items()}
    if sweep.kinds is not None and sweep.kinds.axis in sweep.names:
        part = cut[sweep.names.index(sweep.kinds.axis)]
        twin.kinds = Kinds(sweep.kinds.axis, sweep.kinds.codes[part], sweep.kinds.rows)
    twin.stored, twin.states, twin.open = stored, [], {}
    return twin


def cut_of(values: np.ndarray, cut: Sequence[slice]) -> np.ndarray:
    """A part of values that broadcast over all axes."""
    if values.ndim == 0:
        return values
    return np.asarray(values[tuple(c if n > 1 else slice(None) for c, n in zip(cut, values.shape))])
