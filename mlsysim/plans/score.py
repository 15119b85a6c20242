"""A scorecard: conditions held against every configuration of an answer that works."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from mlsysim.engine import condition
from mlsysim.engine.columns import Column
from mlsysim.engine.graph import Graph, Node, reached
from mlsysim.engine.interpret import evaluate
from mlsysim.engine.label import labelled
from mlsysim.schema.check import hint
from mlsysim.schema.variables import variable_of
from mlsysim.sizes import quantity
from mlsysim.why.sides import broadcast, without_counts, works

if TYPE_CHECKING:
    import xarray as xr

SOME = "some "
#: names that say whether a configuration works: conditions on them hold at all points, or do not
WORKING = ("feasible", "found", "limit")


class Score(NamedTuple):
    """One line of a scorecard."""

    step: str
    condition: str
    passed: bool
    value: str  #: of the figures that the condition names
    holds: int  #: at how many points
    points: int  #: of how many


class _Answer:
    """An answer in the place of a recorded call, so that conditions mean on it what they mean in a search."""

    def __init__(self, ds: xr.Dataset):
        self.graph = Graph()
        self.resolver = SimpleNamespace(name=ds.attrs.get("resolver", "the answer"))
        self.binder = SimpleNamespace(columns={}, axes={}, picks={})
        self.ds = ds
        self.leaves: dict[int, np.ndarray] = {}
        self._nodes: dict[str, Node] = {}
        for name, array in ds.variables.items():
            if array.dtype.kind in "biuf":
                self._nodes[str(name)] = self._enter(str(name), np.asarray(array.values, dtype=np.float64), array.dims)
            else:
                labels = np.asarray(array.values)
                self.binder.columns[name] = Column(str(name), tuple(map(str, array.dims)), labels, labels)
                self.binder.picks[name] = SimpleNamespace(pick=_no_row)

    def _enter(self, name: str, values: np.ndarray, dims: Any) -> Node:
        order = [dims.index(d) for d in self.ds.sizes if d in dims]
        shape = [n if d in dims else 1 for d, n in self.ds.sizes.items()]
        node = self.graph.leaf(name)
        self.leaves[node.index] = np.transpose(values, order).reshape(shape)
        return node

    def named(self, name: str) -> Node:
        if name in self._nodes:
            return self._nodes[name]
        raise ValueError(f"the answer has no {name!r}{hint(name, map(str, self.ds.variables))}")

    def extra_leaf(self, name: str, values: np.ndarray, dims: tuple[str, ...]) -> Node:
        return self._enter(name, np.asarray(values, dtype=np.float64), dims)

    def spare(self, name: str, node: Node) -> None:
        """Nothing is missing of what is computed."""


def _no_row(word: str) -> NoReturn:
    raise LookupError(word)


def clauses(ds: xr.Dataset, text: str) -> dict[str, np.ndarray]:
    """Where each clause of a condition holds, along all dims of an answer.

    >>> import xarray as xr
    >>> ds = xr.Dataset({"itl": ("tp", [0.03, 0.01], {"units": "s"})}, {"tp": [1, 2]})
    >>> {k: v.tolist() for k, v in clauses(ds, "itl < 20 ms and tp <= 2").items()}
    {"itl < '20 ms'": [False, True], 'tp <= 2': [True, True]}
    """
    call: Any = _Answer(ds)
    try:
        found = condition.clauses(call, text)
    except ValueError as error:
        raise ValueError(str(error).replace("where", "assert", 1)) from None
    nodes = [node for _, node in found]
    needed = reached(nodes)
    values = evaluate(needed, {n.index: call.leaves[n.index] for n in needed if n.op == "leaf"}, nodes)
    shape = tuple(ds.sizes.values())
    return {name: np.broadcast_to(values[node.index], shape).astype(bool) for name, node in found}


def scores(step: str, ds: xr.Dataset, conditions: tuple[str, ...]) -> list[Score]:
    """Hold conditions against an answer; the first line says that something works."""
    ds = without_counts(ds)
    fine = works(ds)
    count = int(fine.sum())
    what = "it works" if fine.size == 1 else "something works"
    found = [
        Score(step, what, count > 0, f"{count:,} of {fine.size:,}" if fine.size > 1 else _stopped(ds), count, fine.size)
    ]
    for text in conditions:
        some = text.startswith(SOME)
        held = clauses(ds, text.removeprefix(SOME))
        if some or len(held) == 1:  # as it is written
            held = {text: np.all(list(held.values()), axis=0)}
        for clause, at in held.items():
            over = np.ones_like(fine) if named_in(clause) & set(WORKING) else fine
            number = int((at & over).sum())
            passed = number > 0 if some else number == int(over.sum()) > 0
            found.append(Score(step, clause, passed, _values(ds, clause, over), number, int(over.sum())))
    return found


def named_in(clause: str) -> set[str]:
    """The words of a condition that may be names."""
    return set(re.findall(r"[A-Za-z_][\w.]*", re.sub(r"'[^']*'|\"[^\"]*\"", "", clause)))


def _stopped(ds: xr.Dataset) -> str:
    limit = str(np.asarray(labelled(ds["limit"])).reshape(-1)[0]) if "limit" in ds else "none"
    return "yes" if limit == "none" else f"no: {ds.attrs.get('rejected', limit)}"


def _values(ds: xr.Dataset, clause: str, over: np.ndarray) -> str:
    """The figures that a clause names, over the points that count: one value, or from and to."""
    told = []
    for name in sorted(named_in(clause) & set(map(str, ds.variables)), key=clause.index):
        array = ds[name]
        values = broadcast(ds, np.asarray(labelled(array)), array.dims)[over]
        if values.dtype.kind not in "biuf":
            kinds = dict.fromkeys(map(str, values.tolist()))
            told.append(f"{name} {', '.join(list(kinds)[:4])}{' ...' if len(kinds) > 4 else ''}")
            continue
        variable = variable_of(name)
        unit = variable.unit if variable is not None else str(array.attrs.get("units", "1"))
        ends = [quantity(v.item(), unit) for v in ((values.min(), values.max()) if values.size else ())]
        told.append(f"{name} {' to '.join(dict.fromkeys(ends)) or '-'}")
    return ", ".join(told)
