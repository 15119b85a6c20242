"""A stage in lanes: many elements side by side, round by round, as lines of a nest.

A stage of that form (``@stage(lanes=True)``, see `mlsysim.equations.stage`) is straight lines, one ``while`` and straight
lines.  Element by element its loop leaves the vector units idle; here each round is done for `LANES` elements together,
until none of them needs another.  The rest go along meanwhile, which changes none of what they give.
"""

from __future__ import annotations

import ast
import copy
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mlsysim.equations.stage import Stage

LANES = 64  #: elements side by side: what they carry from round to round stays in the first-level cache
ROUNDS = 8  #: rounds between two looks at who needs another
MOST = 16  #: numbers that a stage may carry from round to round
_PREFIX = "l_"  #: of the names of a stage, beside those of a nest
_CALLS = {"math.sqrt", "abs"}


@dataclass(frozen=True)
class Lined:
    """A stage in the parts that are written for its lanes.

    Attributes
    ----------
    args : tuple of str
    carried : tuple of str
        What rounds read, or what follows them reads of before: it is kept for each lane.
    before, body, after : tuple of str
        Lines before the loop, of a round, and after the loop.
    turned : tuple of str
        What a round changes.
    goes_on, value : str
        Does a lane need another round; what the stage gives.
    """

    args: tuple[str, ...]
    carried: tuple[str, ...]
    before: tuple[str, ...]
    body: tuple[str, ...]
    after: tuple[str, ...]
    turned: tuple[str, ...]
    goes_on: str
    value: str


@functools.cache
def lined(stage: Stage) -> Lined:
    """A stage as lines for lanes; TypeError where it has another form."""
    name = stage.function.__name__
    tree = ast.parse(stage.parts[name]).body[0]
    assert isinstance(tree, ast.FunctionDef)
    lines = [line for line in tree.body if not (isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant))]
    loops = [i for i, line in enumerate(lines) if isinstance(line, ast.While) and not line.orelse]
    if len(loops) != 1 or not isinstance(lines[-1], ast.Return) or lines[-1].value is None:
        raise TypeError(f"stage {name}: in lanes it is straight lines, one while, straight lines and a return")
    loop = lines[loops[0]]
    assert isinstance(loop, ast.While)
    args = tuple(a.arg for a in tree.args.args)
    local = _Lanes(stage, args)
    before, body, after = (local.straight(part) for part in (lines[: loops[0]], loop.body, lines[loops[0] + 1 : -1]))
    goes_on, value = local.text(loop.test), local.text(lines[-1].value)
    read = _names([*loop.body, loop.test])
    turned = {target for target, _ in body}
    kept = {n for n in read if n in args} | {n for n in read | _names(lines[loops[0] + 1 :]) if n in dict(before)}

    def named(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(_PREFIX + n for n in names)

    def written(part: Sequence[tuple[str, str]]) -> tuple[str, ...]:
        return tuple(f"{_PREFIX}{target} = {text}" for target, text in part)

    carried = [n for n in dict.fromkeys((*args, *(target for target, _ in before))) if n in kept]
    if len(carried) > MOST:
        raise TypeError(f"stage {name}: carries {len(carried)} numbers from round to round, {MOST} at most in lanes")
    return Lined(
        named(args),
        named(carried),
        written(before),
        written(body),
        written(after),
        named([n for n in carried if n in turned]),
        goes_on,
        value,
    )


def _names(parts: Sequence[ast.AST]) -> set[str]:
    """Names that are read, or changed where they stand."""
    found = set()
    for part in parts:
        for node in ast.walk(part):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                found.add(node.id)
            elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
    return found


class _Lanes(ast.NodeTransformer):
    """Expressions of a stage without branches, its names apart from those of a nest, and numbers in place of constants."""

    def __init__(self, stage: Stage, args: Sequence[str]):
        self.title, self.scope, self.local = stage.function.__name__, stage.function.__globals__, set(args)

    def straight(self, lines: Sequence[ast.stmt]) -> list[tuple[str, str]]:
        """Lines that each give a name a value: the names, and the values as text."""
        found = []
        for line in lines:
            if isinstance(line, ast.AugAssign) and isinstance(line.target, ast.Name):
                target = line.target.id
                value: ast.expr = ast.BinOp(ast.Name(target, ast.Load()), line.op, line.value)
            elif isinstance(line, ast.Assign) and len(line.targets) == 1 and isinstance(line.targets[0], ast.Name):
                target, value = line.targets[0].id, line.value
            else:
                raise self.refused(line)
            found.append((target, self.text(value)))
            self.local.add(target)
        return found

    def text(self, expression: ast.expr) -> str:
        return ast.unparse(ast.fix_missing_locations(self.visit(copy.deepcopy(expression))))

    def refused(self, node: ast.AST) -> TypeError:
        return TypeError(f"stage {self.title}: {ast.unparse(node)!r} has no form in lanes")

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if not isinstance(node, (ast.expr, ast.operator, ast.unaryop, ast.cmpop, ast.boolop, ast.expr_context)):
            raise self.refused(node)
        return super().generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.local:
            return ast.Name(_PREFIX + node.id, node.ctx)
        value = self.scope.get(node.id)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.refused(node)
        return ast.Constant(float(value))

    def visit_IfExp(self, node: ast.IfExp) -> ast.expr:
        parts = [self.visit(part) for part in (node.test, node.body, node.orelse)]
        return ast.Call(ast.Name("select", ast.Load()), parts, [])

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.expr:
        operator: Any = ast.BitAnd() if isinstance(node.op, ast.And) else ast.BitOr()
        return functools.reduce(lambda a, b: ast.BinOp(a, operator, b), map(self.visit, node.values))

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        if len(node.ops) > 1:
            raise self.refused(node)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if ast.unparse(node.func) not in _CALLS or node.keywords:
            raise self.refused(node)
        return ast.Call(node.func, [self.visit(a) for a in node.args], [])


def loops(
    stage: Lined, fetch: Sequence[str], place: str, lane: str, length: str, row: Callable[[int], int]
) -> list[str]:
    """The lines of a nest that evaluate a stage along a row.

    Parameters
    ----------
    stage : Lined
    fetch : sequence of str
        Each argument, at the place `lane` of the row.
    place : str
        Where the result belongs there.
    lane, length : str
        The place along the row, and how many there are.
    row : callable
        Where in the workspace the n-th row of `LANES` elements lies.
    """
    at = {name: f"w[u({row(i)}) + along]" for i, name in enumerate(stage.carried)}
    given = [f"{name} = {text}" for name, text in zip(stage.args, fetch)]
    known = [f"{name} = {at[name]}" for name in stage.carried]
    each, in_each = "for along in range(until):", "        "
    found = [
        f"for begin in range(u(0), {length}, u({LANES})):",
        f"    until = min(u({LANES}), {length} - begin)",
        "    live = u(0)",
        f"    {each}",
        *(in_each + line for line in (f"{lane} = begin + along", *given, *stage.before)),
        *(f"{in_each}{at[name]} = {name}" for name in stage.carried),
        f"{in_each}live += count({stage.goes_on})",
        "    while live != u(0):",
        "        live = u(0)",
        f"        {each}",
        *(f"    {in_each}{line}" for line in (*known, *(ROUNDS * stage.body))),
        *(f"    {in_each}{at[name]} = {name}" for name in stage.turned),
        f"    {in_each}live += count({stage.goes_on})",
        f"    {each}",
        *(in_each + line for line in (f"{lane} = begin + along", *given, *known, *stage.after)),
        f"{in_each}{place} = {stage.value}",
    ]
    return found
