"""The plain plan: a recorded graph evaluated with NumPy, each node over just the axes it depends on."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

import numpy as np

from mlsysim.engine import staged
from mlsysim.engine.graph import NUMPY, Node, reached


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
    """

    def __init__(self, nodes: Sequence[Node], known: Container[int], wanted: Sequence[Node]):
        ends = _ends(nodes, known, wanted)
        self.wanted = [n.index for n in wanted]
        self.steps = [
            (n.index, NUMPY.get(n.op), [a.index for a in n.args], ends.get(n.index, ()), n)
            for n in nodes
            if n.index not in known
        ]

    def take(self, values: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        """Values of what is wanted; those that are given are used up on the way."""
        stages: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        with np.errstate(all="ignore"):
            for index, operation, args, ends, node in self.steps:
                if operation is None:
                    values[index] = made(node, args, values, stages)
                else:
                    values[index] = operation(*[values[a] for a in args])
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
    arguments: Sequence[int],
    values: Mapping[int, np.ndarray],
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
