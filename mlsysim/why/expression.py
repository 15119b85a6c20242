"""A node of a recorded kernel in words that people know: its expression at one point, and its unit."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from mlsysim import units
from mlsysim.engine.graph import Node
from mlsysim.schema.variables import variable_of

LONGEST = 150  #: characters of an expression that one reads

_SIGNS = {"add": ("+", 1), "sub": ("-", 1), "mul": ("*", 2), "div": ("/", 2), "pow": ("**", 4)}
_SIGNS |= {"lt": ("<", 0), "le": ("<=", 0), "gt": (">", 0), "ge": (">=", 0), "eq": ("==", 0), "ne": ("!=", 0)}
_SIGNS |= {"and": ("and", -1), "or": ("or", -1)}
_WHOLE = 9  #: binds tighter than any sign
_NEUTRAL = {"add": 0.0, "sub": 0.0, "mul": 1.0, "div": 1.0}


class Point:
    """A recorded kernel at one point: what its nodes rest on there, and what they compute.

    Of a condition only the side that is taken counts, so that what an option or a size switches off is not told.

    Parameters
    ----------
    values : mapping
        Value of each node by its index.
    """

    def __init__(self, values: Mapping[int, Any]):
        self.values = values
        self._constant: dict[int, bool] = {}

    def taken(self, node: Node) -> Node:
        """The node behind the conditions that are decided here."""
        while node.op in ("where", "float"):
            node = node.args[0] if node.op == "float" else node.args[1 if self.values[node.args[0].index] else 2]
        return node

    def behind(self, nodes: Iterable[Node], ends: Container[int] = ()) -> set[int]:
        """Indices of all that some nodes rest on, themselves too; nothing behind one of `ends`."""
        first = {n.index for n in nodes}
        seen: set[int] = set()
        pending = list(nodes)
        while pending:
            node = pending.pop()
            if node.index in seen:
                continue
            seen.add(node.index)
            if node.index in ends and node.index not in first:
                continue
            if node.op in ("where", "float"):
                pending.append(self.taken(node))
            elif not self.constant(node):
                pending += node.args
        return seen

    def constant(self, node: Node) -> bool:
        """Is a node the same number whatever the inputs, on the sides that are taken here?"""
        pending = [node]
        while pending:
            top = pending[-1]
            inner = [self.taken(top)] if top.op in ("where", "float") else top.args
            waiting = [a for a in inner if a.index not in self._constant and a is not top]
            if top.index in self._constant or not waiting:
                pending.pop()
                if top.index not in self._constant:
                    self._constant[top.index] = self._fixed(top, inner)
            else:
                pending += waiting
        return self._constant[node.index]

    def _fixed(self, node: Node, inner: Sequence[Node]) -> bool:
        if node.op in ("const", "leaf"):
            return node.op == "const"
        fixed = [self._constant[a.index] for a in inner]
        if node.op == "mul" and any(f and self.values[a.index] == 0 for f, a in zip(fixed, inner)):
            return True
        return all(fixed)

    # --- words -----------------------------------------------------------------------------------------------

    def expression(self, node: Node, names: Mapping[int, str]) -> str:
        """What a node computes, in the names that some nodes bear; empty where that is too long to read."""
        try:
            return self._told(node, names, top=True)[0]
        except _TooLong:
            return ""

    def _told(self, node: Node, names: Mapping[int, str], top: bool = False) -> tuple[str, int]:
        """Text of a node, and how tightly it binds."""
        if node.index in names and not top:
            return names[node.index], _WHOLE
        if self.constant(node):
            return f"{self.values[node.index]:g}", _WHOLE
        if node.op == "leaf":
            return str(node.payload), _WHOLE
        if node.op in ("where", "float"):
            return self._told(self.taken(node), names)
        if (only := self._neutral(node)) is not None:
            return self._told(only, names)
        parts = [self._told(a, names) for a in node.args]
        if node.op in _SIGNS:
            sign, level = _SIGNS[node.op]
            strict = node.op in ("sub", "div", "pow")
            text = f"{_inside(*parts[0], level)} {sign} {_inside(*parts[1], level + strict)}"
        elif node.op in ("neg", "not"):
            level, text = 3, f"{'-' if node.op == 'neg' else 'not '}{_inside(*parts[0], 3)}"
        else:
            name = node.payload[0].__name__ if node.op == "stage" else node.op
            level, text = _WHOLE, f"{name}({', '.join(text for text, _ in parts)})"
        if len(text) > LONGEST:
            raise _TooLong
        return text, level

    def _neutral(self, node: Node) -> Node | None:
        """What is left of a sum with 0 or a product with 1."""
        if node.op not in _NEUTRAL:
            return None
        for one, other in ((1, 0), (0, 1)):
            swaps = one == 1 or node.op in ("add", "mul")
            if swaps and self.constant(node.args[one]) and self.values[node.args[one].index] == _NEUTRAL[node.op]:
                return node.args[other]
        return None


class _TooLong(Exception):
    """An expression that nobody would read."""


def _inside(text: str, level: int, outer: int) -> str:
    return f"({text})" if level < outer else text


# --- units ---------------------------------------------------------------------------------------------------


def exponents(unit: str) -> dict[str, float]:
    """Base units of a unit; operations are counted without one (two a multiply-add), as parameters are."""
    return {n: float(e) for n, e in units.dimensions(unit) if n != "FLOP"}


_ANY: dict[str, float] = {"any": 1.0}  #: of a plain number, which may stand for a figure in any unit
_ZERO: dict[str, float] = {"any": 1.0, "zero": 1.0}  #: of 0, and of what is multiplied by it
_Exponents = dict[str, float] | None  #: None: not known
_SAME = ("add", "sub", "min", "max", "neg", "abs", "floor", "ceil", "rint", "where")


def unit_of(node: Node, known: dict[int, Any]) -> str:
    """The unit of a node as its leaves have them, ``""`` where it cannot be told; `known` keeps what was found."""
    if node.op == "leaf" and (variable := variable_of(node.payload)) is not None:
        return variable.unit
    found = _exponents(node, known)
    if found is None or "any" in found:
        return ""
    return spelled(found)


def spelled(exponents: Mapping[str, float]) -> str:
    """A unit as we write it.

    >>> spelled({"byte": 1, "s": -1}), spelled({}), spelled({"J": 1, "s": -1})
    ('byte/s', '1', 'W')
    """
    if dict(exponents) == {"J": 1, "s": -1}:
        return "W"
    if any(e % 1 for e in exponents.values()):
        return ""
    up = [n if e == 1 else f"{n}^{e:g}" for n, e in exponents.items() if e > 0]
    down = [f"/{n}" if e == -1 else f"/{n}^{-e:g}" for n, e in exponents.items() if e < 0]
    return "".join([" ".join(up) or "1", *down])


def _exponents(node: Node, known: dict[int, Any]) -> _Exponents:
    pending = [node]
    while pending:
        top = pending[-1]
        waiting = [a for a in top.args if a.index not in known] if top.index not in known else []
        if waiting:
            pending += waiting
            continue
        pending.pop()
        if top.index not in known:
            known[top.index] = _own(top, [known[a.index] for a in top.args])
    return known[node.index]


def _own(node: Node, args: list[_Exponents]) -> _Exponents:
    if node.op == "const":
        return _ANY if node.payload else _ZERO
    if node.op == "leaf":
        variable = variable_of(node.payload)
        return None if variable is None else exponents(variable.unit)
    if node.op in _SAME:
        return _alike(args[1:] if node.op == "where" else args)
    if node.op in ("mul", "div"):
        return _product(args, 1.0 if node.op == "mul" else -1.0)
    if node.op in ("sqrt", "pow"):
        power = node.args[1].payload if node.op == "pow" and node.args[1].op == "const" else 0.5
        if args[0] is None or (node.op == "pow" and node.args[1].op != "const"):
            return args[0] if args[0] == {} else None
        return args[0] if "any" in args[0] else {n: e * power for n, e in args[0].items()}
    return {} if node.op in ("exp", "log", "expm1", "log1p", "float") else None


def _alike(args: list[_Exponents]) -> _Exponents:
    """The unit that all share, plain numbers apart."""
    if any(a is None for a in args):
        return None
    sure = [a for a in args if a is not None and "any" not in a]
    if not sure:
        return _ZERO if all(a == _ZERO for a in args) else _ANY
    return sure[0] if all(a == sure[0] for a in sure) else None


def _product(args: list[_Exponents], sign: float) -> _Exponents:
    a, b = args
    if _ZERO in args:
        return _ZERO
    if a is None or b is None:
        return None
    if "any" in a and "any" in b:
        return _ANY
    total = dict(a) if "any" not in a else {}
    for name, exponent in b.items() if "any" not in b else ():
        total[name] = total.get(name, 0.0) + sign * exponent
    return {n: e for n, e in total.items() if e}
