"""Conditions of a search, `where=`: text in a small language of its own, recorded as nodes of the call."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

import numpy as np

from mlsysim import units
from mlsysim.engine.check import nearest
from mlsysim.engine.graph import Node
from mlsysim.engine.program import Program
from mlsysim.schema import codes
from mlsysim.schema.variables import VARIABLES

_ARITHMETIC = {"Add": "add", "Sub": "sub", "Mult": "mul", "Div": "div", "Pow": "pow"}
_COMPARISONS = {"Lt": "lt", "LtE": "le", "Gt": "gt", "GtE": "ge", "Eq": "eq", "NotEq": "ne"}


def clauses(program: Program, where: str | Iterable[str] | None) -> list[tuple[str, Node]]:
    """The conditions of a `where`, one node each.

    Names are outputs, inputs, record fields or axes; labels compare with text:
    ``"itl < 0.05 and hardware != 'mi300x'"``.  Numbers are in base units, quantities in quotes: ``"itl < '50 ms'"``.
    """
    if where is None:
        return []
    texts = [where] if isinstance(where, str) or not isinstance(where, Iterable) else list(where)
    found = []
    for text in texts:
        try:
            tree = ast.parse(text, mode="eval").body
        except (SyntaxError, TypeError, ValueError):
            raise ValueError(f"where={text!r} is no condition; write for example \"itl < 0.05 and tp <= 8\"") from None
        parts = tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
        for part in parts:
            clause = program.graph.lift(_expression(program, part))
            if not clause.truth and not (isinstance(part, ast.Name) and _is_flag(part.id)):
                raise ValueError(f"where={ast.unparse(part)!r} is a number, no condition; write for example \"itl < 0.05\"")
            found.append((ast.unparse(part), program.graph.as_truth(clause)))
    return found


def _is_flag(name: str) -> bool:
    return name in VARIABLES and VARIABLES[name].kind == "flag"


def _expression(program: Program, tree: ast.AST) -> Any:
    match tree:
        case ast.Constant(value=bool() | int() | float() as value):
            if isinstance(value, bool):
                return value
            return program.extra_leaf(f"literal {len(program.binder.leaves)}", np.asarray(float(value)), ())
        case ast.Name(id=name):
            return program.named(name)
        case ast.Attribute():  # an output prefixed by its stage, a field of one of two records
            return program.named(ast.unparse(tree))
        case ast.BoolOp(op=op, values=values):
            nodes = [program.graph.as_truth(program.graph.lift(_expression(program, v))) for v in values]
            result = nodes[0]
            for node in nodes[1:]:
                result = result & node if isinstance(op, ast.And) else result | node
            return result
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return ~program.graph.as_truth(program.graph.lift(_expression(program, operand)))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_expression(program, operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op).__name__ in _ARITHMETIC:
            return program.graph.apply(_ARITHMETIC[type(op).__name__], (_expression(program, left), _expression(program, right)))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            chained: Any = None
            for comparison, a, b in zip(ops, [left, *comparators], comparators):
                one = _compare(program, comparison, a, b)
                chained = one if chained is None else chained & one
            return chained
    raise ValueError(f"where: {ast.unparse(tree)!r} is not understood; use names, numbers, labels in quotes, "
                     "comparisons, arithmetic, and, or, not, in")


def _compare(program: Program, op: ast.cmpop, left: ast.AST, right: ast.AST) -> Node:
    kind = type(op).__name__
    left, right = _quantity(left, right), _quantity(right, left)
    texts = [n.value for n in ([right] if isinstance(right, ast.Constant) else getattr(right, "elts", []))
             if isinstance(n, ast.Constant) and isinstance(n.value, str)]  # fmt: skip
    if isinstance(left, (ast.Name, ast.Attribute)) and texts and kind in ("Eq", "NotEq", "In", "NotIn"):
        return _matches(program, ast.unparse(left), texts, kind in ("NotEq", "NotIn"))
    if kind in ("In", "NotIn") and isinstance(right, (ast.List, ast.Tuple, ast.Set)):
        node: Any = False
        for element in right.elts:
            node = program.graph.apply("or", (node, _compare(program, ast.Eq(), left, element)), True)
        return ~node if kind == "NotIn" else node
    if kind not in _COMPARISONS:
        raise ValueError(f"where: comparison {ast.unparse(left)} {kind} ... is not understood")
    return program.graph.apply(_COMPARISONS[kind], (_expression(program, left), _expression(program, right)), True)


def _matches(program: Program, name: str, texts: list[str], negate: bool) -> Node:
    labelled = program.labels(name)
    if labelled is None:
        variable = VARIABLES.get(name.rsplit(".", 1)[-1])
        if variable is not None and variable.options is not None:  # an output such as limit
            known = codes.labels(variable.options)
            node: Any = False
            for text in texts:
                if text not in known:
                    raise ValueError(f"where: {name} has no label {text!r}{nearest(text, known)}")
                same = program.graph.apply("eq", (program.named(name), float(known[text])), True)
                node = program.graph.apply("or", (node, same), True)
            return ~node if negate else node
        raise ValueError(f"where: {name} has no labels in this call")
    labels, dims = labelled
    for text in texts:
        if text not in {str(v) for v in labels.reshape(-1)}:
            raise ValueError(f"where: {name} has no label {text!r}{nearest(text, {str(v) for v in labels.reshape(-1)})}")
    hit = np.isin(labels.astype(str), texts) != negate
    node = program.extra_leaf(f"{name} in {sorted(texts)} {negate}", hit.astype(np.float64), dims)
    return program.graph.as_truth(node)


def _quantity(side: ast.AST, other: ast.AST) -> ast.AST:
    """A quantity in quotes, compared with a number: ``itl < '50 ms'``."""
    variable = VARIABLES.get(other.id) if isinstance(other, ast.Name) else None
    if variable is None or variable.kind not in ("real", "count"):
        return side
    if not (isinstance(side, ast.Constant) and isinstance(side.value, str)):
        return side
    return ast.Constant(units.parse(side.value, variable.unit, f"where: {variable.name}"))
