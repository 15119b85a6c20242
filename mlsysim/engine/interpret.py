"""The plain plan: a recorded graph evaluated with NumPy, each node over just the axes it depends on."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import numpy as np

from mlsysim.engine import cache
from mlsysim.engine.graph import NUMPY, Node, reached
from mlsysim.engine.pieces import timed_pieces


def evaluate(
    nodes: Sequence[Node],
    values: dict[int, np.ndarray],
    wanted: Sequence[Node],
    ends: Mapping[int, Sequence[int]] | None = None,
) -> dict[int, np.ndarray]:
    """Values of `wanted`.

    Parameters
    ----------
    nodes : sequence of Node
        What to compute, in computable order (see `mlsysim.engine.graph.reached`).
    values : dict
        Arrays of the leaves (and of nodes known already) by node index, shaped to broadcast together;
        used up on the way.
    wanted : sequence of Node
    ends : mapping, optional
        What `last_needed` says of these nodes, for whoever evaluates them again and again.

    Returns
    -------
    dict
        Arrays by node index, with length 1 where a node does not depend on an axis.
    """
    if ends is None:
        ends = last_needed(nodes, values, wanted)
    stages: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    with np.errstate(all="ignore"):
        for node in nodes:
            if node.index not in values:
                values[node.index] = _value(node, values, stages)
            for index in ends.get(node.index, ()):
                values.pop(index, None)
    return {n.index: values[n.index] for n in wanted}


def last_needed(nodes: Sequence[Node], known: Container[int], wanted: Sequence[Node]) -> dict[int, list[int]]:
    """By node, what is needed for the last time there."""
    last: dict[int, int] = {}
    for node in nodes:
        if node.index not in known:
            for arg in node.args:
                last[arg.index] = node.index
    keep = {n.index for n in wanted}
    ends: dict[int, list[int]] = {}
    for index, end in last.items():
        if index not in keep:
            ends.setdefault(end, []).append(index)
    return ends


def bytes_at_once(nodes: Sequence[Node], wanted: Sequence[Node], points: Callable[[Node], int]) -> int:
    """The most that `evaluate` holds at a time, where a node has a value at so many points."""
    ends = last_needed(nodes, (), wanted)
    held: dict[int, int] = {}
    now = most = 0
    for node in nodes:
        held[node.index] = points(node) * (1 if node.truth else 8)
        now += held[node.index]
        working = held[node.index] * (len(node.args) + 1) if node.op == "stage" else 0  # its arguments, side by side
        most = max(most, now + working)
        now -= sum(held.pop(index, 0) for index in ends.get(node.index, ()))
    return most


def stage_bytes(nodes: Sequence[Node], points: Callable[[Node], int]) -> int:
    """The most that is held while the stages among some nodes, and all that they need, are evaluated."""
    stages = [n for n in nodes if n.op == "stage"]
    return bytes_at_once(reached(stages), stages, points) if stages else 0


def _value(node: Node, values: Mapping[int, np.ndarray], stages: dict[tuple[Any, ...], tuple[Any, ...]]) -> np.ndarray:
    if node.op == "const":
        return np.asarray(node.payload)
    if node.op == "stage":
        stage, which = node.payload
        key = (id(stage), tuple(a.index for a in node.args))
        if key not in stages:
            result = stage.over([values[a.index] for a in node.args], cache.compiled, timed_pieces)
            stages[key] = result if isinstance(result, tuple) else (result,)
        return np.asarray(stages[key][which])
    return NUMPY[node.op](*(values[a.index] for a in node.args))
