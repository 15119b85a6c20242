"""Outputs of a recorded call as a function of some of its inputs: only what depends on them is evaluated again.

What is derived from an input that moves (power when idle from the power limit, collectives from the link) moves too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from mlsysim.engine.graph import Node, reached
from mlsysim.engine.interpret import Steps, evaluate
from mlsysim.engine.program import Program
from mlsysim.schema.variables import field_of


class PartialProgram:
    """Some outputs as a function of one input (or of several), at paired points of the grid.

    Parameters
    ----------
    program : Program
    unknown : Node or sequence of Node
        Leaves that move.
    outputs : Node or sequence of Node
    index : mapping
        Positions of the points along the axes.
    """

    def __init__(
        self,
        program: Program,
        unknown: Node | Sequence[Node],
        outputs: Node | Sequence[Node],
        index: Mapping[str, np.ndarray],
    ):
        self.unknown = [unknown] if isinstance(unknown, Node) else list(unknown)
        self.single = isinstance(outputs, Node)
        self.outputs = [outputs] if isinstance(outputs, Node) else list(outputs)
        nodes = reached(self.outputs)
        self.index, self.size = program.with_kinds(index), len(next(iter(index.values()))) if index else 1
        moved: set[int] = {n.index for n in self.unknown}
        self.derived = []  #: for each record: how its fields come about, where the unknowns enter, which leaves follow
        names = {n.payload: i for i, n in enumerate(self.unknown)}
        for recipe in program.binder.recipes.values():
            enter = [(field, names[name]) for name, field in recipe.moved(names).items()]
            fields = recipe.followers([field for field, _ in enter]) if enter else set()
            follow = [
                (n, field_of(n.payload))
                for n in nodes
                if n.op == "leaf"
                and n.index not in moved
                and n.payload in {f"{recipe.name}.{field}" for field in fields}
            ]
            if follow:
                self.derived.append((recipe, enter, follow))
                moved |= {n.index for n, _ in follow}
        for node in nodes:
            if any(a.index in moved for a in node.args):
                moved.add(node.index)
        self.moving = [n for n in nodes if n.index in moved]
        self.loops = any(n.op == "stage" for n in self.moving)  #: so that each value takes its time
        read = [*self.outputs, *(a for n in self.moving for a in n.args)]
        still = list({n.index: n for n in read if n.index not in moved}.values())
        fixed = reached(still)
        known = {n.index: program.leaf_at(n, index) for n in fixed if n.op == "leaf"}
        self.fixed = evaluate(fixed, known, still)
        given = {*self.fixed, *(n.index for n in self.unknown)}
        given |= {n.index for _, _, follow in self.derived for n, _ in follow}
        self.steps = Steps(self.moving, given, self.outputs)

    def __call__(self, *x: np.ndarray) -> np.ndarray:
        """Values of shape (points,), or (outputs, points) where several were asked for.

        Parameters
        ----------
        *x : ndarray
            One array for all unknowns, which then move together, or one for each: a value for each point, or rows of
            them, which the values then have as well: (rows, points), or (outputs, rows, points).
        """
        each = x if len(x) > 1 else x * len(self.unknown)
        shape = np.broadcast_shapes((self.size,), *map(np.shape, each))
        values = {**self.fixed, **{n.index: v for n, v in zip(self.unknown, each, strict=True)}}
        size = math.prod(shape)
        index = {d: np.tile(places, size // self.size) for d, places in self.index.items()} if self.derived else {}
        for recipe, enter, follow in self.derived:
            fields = recipe.along(index, size)
            made = fields({field: np.broadcast_to(each[i], shape).reshape(-1) for field, i in enter})
            values |= {n.index: np.broadcast_to(made[field], size).reshape(shape) for n, field in follow}
        found = self.steps.take(values)
        rows = [np.broadcast_to(np.asarray(found[n.index], dtype=np.float64), shape) for n in self.outputs]
        return rows[0] if self.single else np.stack(rows)
