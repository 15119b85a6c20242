"""What the shape rules exclude, found before the physics.

A kernel says first which shapes are possible, and only then what they cost: that condition stands in the recorded
graph, depends on few axes, and is evaluated alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mlsysim.engine.graph import Node, reached
from mlsysim.engine.interpret import bytes_at_once, evaluate
from mlsysim.engine.memory import require
from mlsysim.engine.program import Program
from mlsysim.schema.codes import Limit


def rules(program: Program, limit: Limit = Limit.SHAPE) -> list[Node]:
    """Conditions without which `limit` is what stops a configuration, each a conjunct that cannot be split."""
    found: dict[int, Node] = {}
    chain = [program.outputs["limit"]]
    while chain:
        node = chain.pop()
        if node.op != "where":
            continue
        condition, passed, failed = node.args
        chain.append(passed)
        if failed.op != "const":  # a composition: the limit of an earlier stage, where it has one
            chain.append(failed)
        elif failed.payload == float(limit):
            pending = [condition]
            while pending:
                top = pending.pop()
                if top.op == "and":
                    pending.extend(top.args)
                else:
                    found[top.index] = top
    return list(found.values())


def possible(program: Program, axes: Sequence[str], limit: Limit = Limit.SHAPE, alone: bool = False) -> np.ndarray:
    """Where along some axes the rules leave anything at all, whatever the values on the other axes.

    Parameters
    ----------
    alone : bool
        Use only the rules that depend on no other axis.

    Returns
    -------
    ndarray of bool
        One dim for each of `axes` (length 1 for an axis with a single value).
    """
    names = list(program.axes)
    conditions = [r for r in rules(program, limit) if not alone or program.dims(r) <= set(axes)]
    nodes = reached(conditions)
    alive: np.ndarray = np.ones([1] * len(names), dtype=bool)
    if conditions:
        points = math.prod(program.sizes.get(a, 1) for a in axes)
        require(
            bytes_at_once(nodes, conditions, program.points_of) + 2 * points,
            f"the shape rules at {points:,} points",
            "fewer values of what is tried, or a cluster size of fewer divisors",
        )
        leaves = {n.index: program.leaf_array(n) for n in nodes if n.op == "leaf"}
        values = evaluate(nodes, leaves, conditions)
        for node in sorted(conditions, key=lambda n: np.size(values[n.index])):
            alive = alive & values[node.index]
    others = tuple(i for i, a in enumerate(names) if a not in axes)
    alive = np.broadcast_to(
        np.any(alive, axis=others, keepdims=True), [program.sizes[a] if a in axes else 1 for a in names]
    )
    kept = [a for a in names if a in axes]
    alive = alive.reshape([program.sizes[a] for a in kept])
    shape = [program.sizes.get(a, 1) for a in axes]
    return np.transpose(alive, [kept.index(a) for a in axes if a in kept]).reshape(shape)
