"""Operations of a graph as text that numba compiles."""

from __future__ import annotations

import math

from mlsysim.engine.graph import Node

INFIX = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "div": "/",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "eq": "==",
    "ne": "!=",
    "and": "&",
    "or": "|",
}
_CALL = {
    "sqrt": "math.sqrt",
    "abs": "abs",
    "exp": "exp",
    "log": "log",
    "expm1": "expm1",
    "log1p": "log1p",
    "pow": "power",
    "floor": "np.floor",
    "ceil": "np.ceil",
    "rint": "np.rint",
}


def name(node: Node) -> str:
    """What stands for a node: a number, or the name of its value."""
    if node.op == "const":
        if node.truth:
            return str(node.payload)
        if math.isnan(node.payload):
            return "NAN"
        if math.isinf(node.payload):
            return "INF" if node.payload > 0 else "(-INF)"
        return repr(node.payload) if node.payload >= 0 else f"({node.payload!r})"
    return f"x{node.index}"


def expression(node: Node) -> str:
    """An operation on what stands for its arguments."""
    names = [name(a) for a in node.args]
    if node.op in INFIX:
        return f"{names[0]} {INFIX[node.op]} {names[1]}"
    if node.op == "neg":
        return f"-{names[0]}"
    if node.op == "not":
        return f"not {names[0]}"
    if node.op == "float":  # numba has no float(bool)
        return f"1.0 if {names[0]} else 0.0"
    if node.op == "where":
        return f"select({', '.join(names)})"
    if node.op in ("min", "max"):
        sign = "<" if node.op == "min" else ">"
        return f"select({names[0]} {sign} {names[1]}, {names[0]}, {names[1]})"
    return f"{_CALL[node.op]}({', '.join(names)})"
