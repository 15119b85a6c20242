"""The plain plan: a recorded graph evaluated with NumPy, each node over just the axes it depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mlsysim.engine import cache
from mlsysim.engine.graph import NUMPY, Node


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
    last: dict[int, int] = {}
    for node in nodes:
        if node.index not in values:
            for arg in node.args:
                last[arg.index] = node.index
    keep = {n.index for n in wanted}
    ends: dict[int, list[int]] = {}
    for index, end in last.items():
        if index not in keep:
            ends.setdefault(end, []).append(index)
    stages: dict[tuple, tuple] = {}
    with np.errstate(all="ignore"):
        for node in nodes:
            if node.index not in values:
                values[node.index] = _value(node, values, stages)
            for index in ends.get(node.index, ()):
                values.pop(index, None)
    return {n.index: values[n.index] for n in wanted}


def _value(node: Node, values: Mapping[int, np.ndarray], stages: dict[tuple, tuple]) -> np.ndarray:
    if node.op == "const":
        return np.asarray(node.payload)
    if node.op == "stage":
        stage, which = node.payload
        key = (id(stage), tuple(a.index for a in node.args))
        if key not in stages:
            result = stage.over([values[a.index] for a in node.args], cache.compiled)
            stages[key] = result if isinstance(result, tuple) else (result,)
        return np.asarray(stages[key][which])
    return NUMPY[node.op](*(values[a.index] for a in node.args))
