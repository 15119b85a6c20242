"""Kernels as graphs: recorded once, and taken again by every call that would record the same.

What a recording depends on is its key: the kernel and all that it looks up (see `mlsysim.engine.referents`), which
inputs and records there are, and which numbers are folded into the physics.  All else are leaves.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from mlsysim.engine.graph import Graph, Node, reached
from mlsysim.engine.leaves import Leaf, Leaves
from mlsysim.engine.memo import Memo
from mlsysim.engine.parameters import Parameter
from mlsysim.engine.point import Asked
from mlsysim.engine.referents import Referents, Unaccountable

MOST_NODES = 300_000  #: of all recordings that are kept; a node takes about 600 bytes
Entered = Mapping[
    str, "Leaf | Leaves | None"
]  #: by parameter: an input, the fields of a record, None for what is absent
Folds = Mapping[str, Any]  #: by parameter: the number that stands in the place of a leaf; for a record one a field


@dataclass(eq=False)
class Recording:
    """A kernel recorded for some inputs; calls share it and change nothing."""

    graph: Graph
    nodes: dict[str, Node]  #: leaves, and what was folded in their place, by name
    arguments: dict[str, Any]
    outputs: dict[str, Node]
    absent: list[str]  #: outputs that the kernel left out

    def dims(self, own: Mapping[str, frozenset[str]]) -> dict[int, frozenset[str]]:
        """Axes on which every node depends, by those of the leaves; for whoever adds nodes of a call."""
        key = (self, tuple(own.items()))
        found = _dims.get(key)
        if found is None:
            found, unions = {}, dict[tuple[frozenset[str], ...], frozenset[str]]()
            for node in self.graph.entered:
                if node.op == "leaf":
                    found[node.index] = own[node.payload]
                    continue
                parts = tuple(dict.fromkeys(found[a.index] for a in node.args))
                if parts not in unions:
                    unions[parts] = frozenset().union(*parts)
                found[node.index] = unions[parts]
            _dims.put(key, found)
        return dict(found)

    @functools.cached_property
    def leaves_read(self) -> frozenset[str]:
        """Leaves on which an output depends."""
        return frozenset(str(node.payload) for node in reached(self.outputs.values()) if node.op == "leaf")

    @functools.cached_property
    def loops(self) -> bool:
        """Is anything of it computed in loops?"""
        return any(node.op == "stage" for node in self.graph.entered)

    def asked(self, wanted: Sequence[Node]) -> Asked:
        """How some nodes are evaluated at paired points; those of a branch are the call's own and not kept."""
        if any(node.index >= len(self.graph.entered) for node in wanted):
            return Asked(wanted)
        key = (self, tuple(node.index for node in wanted))
        found = _asked.get(key)
        if found is None:
            found = Asked(wanted)
            _asked.put(key, found)
        return found


_asked: Memo[Asked] = Memo(MOST_NODES, lambda asked: len(asked.nodes))
_dims: Memo[dict[int, frozenset[str]]] = Memo(MOST_NODES, len)
_recordings: Memo[Recording] = Memo(MOST_NODES, lambda recording: len(recording.graph.entered))
_reads: Memo[frozenset[str]] = Memo(1024)
_accounts: Memo[Referents] = Memo(64)


_anew = ContextVar("anew", default=False)


@contextmanager
def anew() -> Iterator[None]:
    """Record what is asked meanwhile, whatever is kept: somebody watches the kernel run."""
    before = _anew.set(True)
    try:
        yield
    finally:
        _anew.reset(before)


def recording(
    resolver: Any, given: Collection[str], parameters: Mapping[str, Parameter], entered: Entered, folds: Folds
) -> Recording:
    """The kernel of a resolver for what was entered, recorded now or earlier.

    Parameters
    ----------
    resolver : Resolver
    given : collection of str
        Inputs that the user bound.
    parameters, entered, folds : mapping
        By parameter (see `mlsysim.engine.leaves.folded`).
    """
    key = _key(resolver, given, parameters, entered, folds)
    found = None if key is None else _recordings.get(key)
    if found is None:
        found = _record(resolver, given, parameters, entered, folds)
        if key is not None:
            _recordings.put(key, found)
    return found


def leaves_read(
    resolver: Any, given: Collection[str], parameters: Mapping[str, Parameter], entered: Entered, folds: Folds
) -> frozenset[str]:
    """Leaves on which an output would depend; of such a recording nothing else is kept."""
    key = _key(resolver, given, parameters, entered, folds)
    found = None if key is None else _reads.get(key)
    if found is None:
        found = _record(resolver, given, parameters, entered, folds).leaves_read
        if key is not None:
            _reads.put(key, found)
    return found


def _key(
    resolver: Any, given: Collection[str], parameters: Mapping[str, Parameter], entered: Entered, folds: Folds
) -> Hashable | None:
    """What is recorded, and from what; None where that is not known."""
    grounds = None if _anew.get() else _grounds(resolver, given)
    if grounds is None:
        return None
    shape = tuple((name, p.record, entered[name] is None, folds[name]) for name, p in parameters.items())
    return grounds, shape


def _grounds(resolver: Any, given: Collection[str]) -> Hashable:
    """What a resolver records from; None where that is not known."""
    found = resolver.recorded_from(given) if hasattr(resolver, "recorded_from") else None
    if found is None:
        return None
    key, functions = found
    account = _accounts.get(functions)
    if account is None or not account.same():
        try:
            account = Referents(functions)
        except Unaccountable:
            return None
        _accounts.put(functions, account)
    return key, account


def _record(
    resolver: Any, given: Collection[str], parameters: Mapping[str, Parameter], entered: Entered, folds: Folds
) -> Recording:
    """The kernel, run once on symbols."""
    graph, nodes = Graph(), {}

    def enter(leaf: Leaf, fold: str | None) -> Node:
        node = graph.leaf(leaf.name) if fold is None else graph.constant(float.fromhex(fold))
        nodes[leaf.name] = node
        return node

    arguments: dict[str, Any] = {}
    for name, p in parameters.items():
        one, fold = entered[name], folds[name]
        if isinstance(one, Leaf):
            arguments[name] = enter(one, fold)
        elif one is None or p.record is None:
            arguments[name] = None
        else:
            arguments[name] = p.record(**{f: enter(leaf, part) for (f, leaf), part in zip(one.items(), fold)})
    made = resolver.record(arguments, given)
    outputs = {name: graph.lift(value) for name, value in made.items() if value is not None}
    graph.freeze()
    return Recording(graph, nodes, arguments, outputs, [name for name, value in made.items() if value is None])
