"""The plain plan: a recorded graph evaluated with NumPy, each node over just the axes it depends on."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from mlsysim.engine import staged
from mlsysim.engine.alike import Rows, alone
from mlsysim.engine.graph import Node, reached


def evaluate(nodes: Sequence[Node], values: dict[int, np.ndarray], wanted: Sequence[Node]) -> dict[int, np.ndarray]:
    """Values of `wanted`.

    Parameters
    ----------
    nodes : sequence of Node
        What to compute, in computable order (see `mlsysim.engine.graph.reached`).
    values : dict
        Arrays of the leaves (and of nodes known already) by node index, shaped to broadcast together;
        used up on the way.
    wanted : sequence of Node

    Returns
    -------
    dict
        Arrays by node index, with length 1 where a node does not depend on an axis.
    """
    return Steps(nodes, values, wanted).take(values)


class Steps:
    """What `evaluate` does with some nodes, for whoever does it again and again with other values.

    Parameters
    ----------
    nodes, wanted
        See `evaluate`.
    known : container of int
        Indices of the nodes whose values will be given.
    dims : int, optional
        Of their arrays, which are small: nodes that are alike are then evaluated together (see `mlsysim.engine.alike`).
    """

    def __init__(self, nodes: Sequence[Node], known: Container[int], wanted: Sequence[Node], dims: int | None = None):
        self.wanted = [n.index for n in wanted]
        steps = alone(nodes, known) if dims is None else Rows(nodes, known, dims).steps(wanted)
        last = {key: i for i, step in enumerate(steps) for key in step.arguments}
        ends: dict[int, list[Hashable]] = {}
        for key in last.keys() - set(self.wanted):
            ends.setdefault(last[key], []).append(key)
        self.steps = [(step, ends.get(i, ())) for i, step in enumerate(steps)]

    def take(self, given: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        """Values of what is wanted; those that are given are used up on the way."""
        stages: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        values: dict[Any, np.ndarray] = given
        with np.errstate(all="ignore"):
            for (key, operation, arguments, node), ends in self.steps:
                if operation is None:
                    assert node is not None
                    values[key] = made(node, arguments, values, stages)
                else:
                    values[key] = operation(*[values[a] for a in arguments])
                for end in ends:
                    values.pop(end, None)
        return {index: values[index] for index in self.wanted}


def _ends(nodes: Sequence[Node], known: Container[int], wanted: Sequence[Node]) -> dict[int, list[int]]:
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
    ends = _ends(nodes, (), wanted)
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
    """The most that is held while the stages among some nodes, and what they need, are tabulated; those in lanes are not."""
    stages = [n for n in nodes if n.op == "stage" and not n.payload[0].lanes]
    return bytes_at_once(reached(stages), stages, points) if stages else 0


def made(
    node: Node,
    arguments: Sequence[Any],
    values: Mapping[Any, np.ndarray],
    stages: dict[tuple[Any, ...], tuple[Any, ...]],
) -> np.ndarray:
    """The value of a constant, or of a stage; `arguments` are the keys of what it is made of."""
    if node.op == "const":
        return np.asarray(node.payload)
    stage, which = node.payload
    key = (id(stage), tuple(arguments))
    if key not in stages:
        result = staged.over(stage, [values[a] for a in arguments])
        stages[key] = result if isinstance(result, tuple) else (result,)
    return np.asarray(stages[key][which])
