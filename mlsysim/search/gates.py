"""What must hold for a point to work at all, read from the recorded `limit`, in the order in which it is asked."""

from __future__ import annotations

from collections.abc import Sequence

from mlsysim.engine.graph import Node
from mlsysim.engine.program import Program
from mlsysim.engine.sieve import Gate

Checks = list[tuple[Node, Node]]  #: conditions, and the code of each where it fails


def checks(limit: Node) -> Checks:
    """What must hold and the code of each, from the graph of a `limit` (see `equations.selection.first_failing`)."""
    if limit.op != "where":
        return []
    condition, yes, no = limit.args
    if no.op == "const":
        return [(condition, no), *checks(yes)]
    if condition.op == "eq" and any(
        no is one for one in condition.args
    ):  # the limit of an earlier resolver of a composition
        return [*checks(no), *checks(yes)]
    return []


def conjuncts(condition: Node) -> list[Node]:
    """The conditions that one is the `and` of."""
    found: dict[int, Node] = {}
    pending = [condition]
    while pending:
        top = pending.pop()
        if top.op == "and":
            pending.extend(reversed(top.args))
        else:
            found[top.index] = top
    return list(found.values())


def gates(program: Program, told: bool) -> list[Gate]:
    """What must hold for a point to be feasible: each of the checks of its limit, as one condition by the axes it is over.

    Parameters
    ----------
    told : bool
        Must the verdicts of those that fail be known?
    """
    works, limit = program.outputs.get("feasible"), program.outputs.get("limit")
    if works is None or works.op == "const":
        return []
    found: Checks = []
    for one in conjuncts(works):
        sides = [side for side in one.args if not (side.op == "const" and side.payload == 0.0)]
        if one.op == "eq" and len(sides) == 1:
            found += checks(sides[0])
    known = [(condition.index, code.index) for condition, code in found]
    if told and (limit is None or [(c.index, code.index) for c, code in checks(limit)] != known):
        return []
    if any(code.op != "const" or not code.payload for _, code in found):
        return []
    return [
        Gate(_by_axes(program, condition), _first_failing(program, found[: i + 1]) if told else None)
        for i, (condition, _) in enumerate(found)
    ]


def _by_axes(program: Program, condition: Node) -> tuple[Node, ...]:
    """The conjuncts of a condition, those over the same axes as one."""
    found: dict[frozenset[str], Node] = {}
    for one in conjuncts(condition):
        own = program.dims(one)
        found[own] = program.graph.own(one) & found[own] if own in found else one
    return tuple(found.values())


def _first_failing(program: Program, found: Sequence[tuple[Node, Node]]) -> Node:
    """The limit where one of the first checks fails."""
    code = program.graph.constant(0.0)
    for condition, no in reversed(found):
        code = program.graph.apply("where", (condition, code, no))
    return code
