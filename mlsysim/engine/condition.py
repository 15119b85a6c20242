"""Conditions of a search, `where=`: text in a small language of its own, recorded as nodes of the call.

Names are outputs, inputs, record fields or axes.  A number is in base units, a quantity brings its unit (in quotes or not),
a label stands in quotes: ``"itl < 50 ms and hardware != 'mi300x' and tp * pp <= 8"``.
"""

from __future__ import annotations

import ast
import contextlib
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from mlsysim import units
from mlsysim.engine.graph import NUMPY, Node
from mlsysim.engine.program import Program
from mlsysim.engine.quantities import quoted
from mlsysim.schema import codes
from mlsysim.schema.check import hint, option, shown
from mlsysim.schema.ranges import remark
from mlsysim.schema.variables import VARIABLES, variable_of

LONGEST = 100_000  #: characters of all conditions of a search together
MOST = 1_000  #: conditions of a search, joined by `and` or listed
DEEPEST = 100  #: operations inside one another

_ARITHMETIC = {"Add": "add", "Sub": "sub", "Mult": "mul", "Div": "div", "Pow": "pow"}
_COMPARISONS = {"Lt": "lt", "LtE": "le", "Gt": "gt", "GtE": "ge", "Eq": "eq", "NotEq": "ne"}
_MIRRORED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}
_EXAMPLE = 'write for example "itl < 50 ms and tp <= 8"'


class Term(NamedTuple):
    """A number of a condition."""

    node: Node
    unit: str = ""  #: "" for a plain number, which may stand for a figure in any base unit
    sure: bool = False  #: is the unit certain?  A factor without a unit may have one that nobody wrote


class Labels(NamedTuple):
    """Labels that run along some axes."""

    name: str
    shown: np.ndarray
    dims: tuple[str, ...]
    rows: np.ndarray  #: what the labels stand for: rows of the zoo, codes, or the labels themselves


def texts(where: str | Iterable[str] | None) -> tuple[str, ...]:
    """The conditions of a `where` as a tuple."""
    if where is None:
        return ()
    several = isinstance(where, Iterable) and not isinstance(where, str) and getattr(where, "ndim", 1) > 0
    found: list[str] = []
    for text in where if several else (where,):
        if not isinstance(text, str):
            raise ValueError(f"where={shown(text)} is no condition; {_EXAMPLE}")
        found.append(text)
    if sum(map(len, found)) > LONGEST:
        raise ValueError(f"where: {sum(map(len, found)):,} characters of conditions; at most {LONGEST:,} are read")
    return tuple(found)


def clauses(program: Program, where: str | Iterable[str] | None) -> list[tuple[str, Node]]:
    """The conditions of a `where`, one node each."""
    parts: list[ast.expr] = []
    for text in texts(where):
        tree = _parsed(text)
        parts += tree.values if isinstance(tree, ast.BoolOp) and isinstance(tree.op, ast.And) else [tree]
    if len(parts) > MOST:
        raise ValueError(f"where: {len(parts):,} conditions; at most {MOST:,} are told apart")
    found = []
    for part in parts:
        node, text = _truth(program, part), ast.unparse(part)
        program.spare(f"where {text!r}", node)
        found.append((text, node))
    return found


def _parsed(text: str) -> ast.expr:
    """The syntax tree of one text, no deeper than can be walked."""
    try:
        tree = _expression(text.strip())
    except (RecursionError, MemoryError):
        raise ValueError(f"where={_cut(text)!r}: more than {DEEPEST} operations inside one another") from None
    except (SyntaxError, ValueError):
        raise ValueError(f"where={_cut(text)!r} is no condition; {_EXAMPLE}") from None
    level: list[ast.AST] = [tree]
    for _ in range(DEEPEST + 1):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return tree
    raise ValueError(f"where={_cut(text)!r}: more than {DEEPEST} operations inside one another")


def _expression(text: str) -> ast.expr:
    """The expression that a text is, as it stands or with its quantities in quotes."""
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return ast.parse(quoted(text), mode="eval").body


def _refusal(why: str, *trees: ast.expr) -> ValueError:
    return ValueError(f"where: {', '.join(repr(_cut(ast.unparse(tree))) for tree in trees)}: {why}")


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}..."


# --- truth ---------------------------------------------------------------------------------------------------


def _truth(program: Program, tree: ast.expr) -> Node:
    """A condition as a node that is true or false."""
    match tree:
        case ast.BoolOp(op=op, values=values):
            node = _truth(program, values[0])
            for value in values[1:]:
                other = _truth(program, value)
                node = node & other if isinstance(op, ast.And) else node | other
            return node
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return ~_truth(program, operand)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            node = program.graph.constant(True)
            for comparison, a, b in zip(ops, [left, *comparators], comparators):
                node = node & _compared(program, type(comparison).__name__, a, b)
            return node
        case ast.Constant(value=bool() as value):
            return program.graph.constant(value)
    node, variable = _term(program, tree).node, VARIABLES.get(_short(tree))
    if node.truth or (variable is not None and variable.kind == "flag"):
        return program.graph.as_truth(node)
    raise _refusal(f"a number, no condition; {_EXAMPLE}", tree)


def _compared(program: Program, kind: str, left: ast.expr, right: ast.expr) -> Node:
    """One comparison, with labels and quantities on either side."""
    if kind in ("In", "NotIn"):
        node = _among(program, left, right)
        return ~node if kind == "NotIn" else node
    if kind not in _COMPARISONS:
        raise _refusal("compared in a way that is not understood; use <, <=, >, >=, ==, != or in", left, right)
    op = _COMPARISONS[kind]
    if _text(left) is not None:
        left, right, op = right, left, _MIRRORED[op]
    word, labels = _text(right), _labels(program, left)
    if word is not None and labels is not None:
        return _labelled(program, labels, op, [word])
    a, b = _alike(program, left, right)
    for name, number in ((left, right), (right, left)):
        if isinstance(number, ast.Constant) and isinstance(number.value, (int, float)) and _short(name):
            remark(_short(name), number.value, "where: ")
    return program.graph.apply(op, (a.node, b.node), True)


def _among(program: Program, left: ast.expr, right: ast.expr) -> Node:
    """Is the left side one of a list?"""
    elements = right.elts if isinstance(right, (ast.List, ast.Tuple, ast.Set)) else [right] if _text(right) else []
    if not elements or _text(left) is not None:
        raise _refusal('`in` takes a name and a list that is not empty: "tp in (1, 2)"', left, right)
    words = [word for e in elements if (word := _text(e)) is not None]
    if words and len(words) < len(elements):
        raise _refusal("texts and numbers in one list; write all of them with quotes or all without", right)
    labels = _labels(program, left) if words else None
    if labels is not None:
        return _labelled(program, labels, "eq", words)
    node = program.graph.constant(False)
    for element in elements:
        a, b = _alike(program, left, element)
        node = node | program.graph.apply("eq", (a.node, b.node), True)
    return node


# --- labels --------------------------------------------------------------------------------------------------


def _text(tree: ast.AST) -> str | None:
    return tree.value if isinstance(tree, ast.Constant) and isinstance(tree.value, str) else None


def _short(tree: ast.AST) -> str:
    """The last part of a name: `itl` of ``ServingModel.itl``."""
    return tree.attr if isinstance(tree, ast.Attribute) else tree.id if isinstance(tree, ast.Name) else ""


def _labels(program: Program, tree: ast.expr) -> Labels | None:
    """The labels of a name, or None where it stands for numbers."""
    if not isinstance(tree, (ast.Name, ast.Attribute)):
        return None
    name = ast.unparse(tree)
    variable = VARIABLES.get(_short(tree))
    column, axis = program.binder.columns.get(name), program.binder.axes.get(name)
    if column is not None and (name in program.binder.picks or (variable is not None and variable.options is not None)):
        return Labels(name, column.labels, column.dims, column.values)
    if (
        column is None and variable is not None and variable.options is not None
    ):  # an output, or an option left as it is
        known = codes.labels(variable.options)
        return Labels(name, np.array(list(known)), (), np.array(list(known.values())))
    if column is None and axis is not None and axis.values.dtype.kind not in "biuf" and not _has_node(program, name):
        return Labels(name, axis.values, (name,), axis.values)
    return None


def _has_node(program: Program, name: str) -> bool:
    with contextlib.suppress(ValueError):
        return program.named(name) is not None
    return False


def _time(word: str) -> np.datetime64:
    """A time as it is written; nothing comes before, after or at NaT."""
    if word.strip().lower() in ("", "nat"):
        raise ValueError("no time")
    return np.datetime64(word)


def _labelled(program: Program, labels: Labels, op: str, words: Sequence[str]) -> Node:
    """Where labels are (or are not) among some words; times also come before or after."""
    if labels.shown.dtype.kind == "M":
        try:
            times = [_time(word) for word in words]
        except ValueError:
            raise ValueError(
                f"where: {labels.name} holds times, which {', '.join(words)!r} is not: write '2026-01-31'"
            ) from None
        hit = np.any([NUMPY[op](labels.shown, time) for time in times], axis=0)
        return _table(program, f"{labels.name} {op} {sorted(words)}", hit, labels.dims)
    if op not in ("eq", "ne"):
        raise ValueError(f"where: {labels.name} has labels, which have no order: compare them with ==, != or in")
    shown = labels.shown.astype(str)
    hits = [_hit(program, labels, shown, word) for word in words]
    name = f"{labels.name} in {sorted(words)}"
    if labels.dims or labels.name in program.binder.columns:
        node = _table(program, name, np.any(hits, axis=0), labels.dims)
    else:  # codes of an option: compared wherever they come out
        code, node = program.named(labels.name), program.graph.constant(False)
        for i in np.flatnonzero(np.any(hits, axis=0)):
            node = node | program.graph.apply("eq", (code, float(labels.rows[i])), True)
    return ~node if op == "ne" else node


def _hit(program: Program, labels: Labels, shown: np.ndarray, word: str) -> np.ndarray:
    """Where a label is a word: as it is shown, or another spelling of the same row or option."""
    hit = np.asarray(shown == word)
    if not hit.any():
        variable = variable_of(labels.name)
        selector = program.binder.picks.get(labels.name)
        with contextlib.suppress(ValueError, TypeError, LookupError):
            if variable is not None and variable.options is not None:
                hit = np.asarray(labels.rows == option(variable, word))
            elif selector is not None:
                key = selector.pick(word).key
                hit = np.array([getattr(row, "key", None) == key for row in labels.rows.reshape(-1)]).reshape(
                    labels.rows.shape
                )
    if not hit.any():
        raise ValueError(f"where: {labels.name} has no label {word!r}{hint(word, shown.reshape(-1).tolist())}")
    return hit


def _table(program: Program, name: str, hit: np.ndarray, dims: tuple[str, ...]) -> Node:
    """A truth table over labels."""
    return program.graph.as_truth(program.extra_leaf(name, np.asarray(hit, dtype=np.float64), dims))


# --- numbers -------------------------------------------------------------------------------------------------


def _term(program: Program, tree: ast.expr, unit: str = "", beside: str = "") -> Term:
    """A number; text is a quantity in `unit`, that of what stands `beside` it, or in the unit that it brings."""
    match tree:
        case ast.Constant(value=str() as text):
            return _quantity(program, tree, text, unit, beside)
        case ast.Constant(value=bool() as value):
            return Term(program.graph.constant(value))
        case ast.Constant(value=int() | float() as value):
            return Term(_literal(program, tree, value))
        case ast.Name() | ast.Attribute():
            return _named(program, tree)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            term = _term(program, operand, unit, beside)
            return term._replace(node=-program.graph.as_number(term.node))
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _term(program, operand, unit, beside)
        case ast.BinOp(left=left, op=op, right=right) if type(op).__name__ in _ARITHMETIC:
            return _arithmetic(program, _ARITHMETIC[type(op).__name__], left, right)
        case ast.BoolOp() | ast.Compare() | ast.UnaryOp(op=ast.Not()):
            return Term(_truth(program, tree))
    raise _refusal(
        "not understood; use names, numbers, labels in quotes, comparisons, arithmetic, and, or, not, in", tree
    )


def _arithmetic(program: Program, op: str, left: ast.expr, right: ast.expr) -> Term:
    if op in ("add", "sub"):
        a, b = _alike(program, left, right)
        unit, sure = (a.unit, a.sure) if a.sure or not b.unit else (b.unit, b.sure)
    else:
        a, b = _term(program, left), _term(program, right)
        sign = {"mul": 1, "div": -1}.get(op)
        if sign is not None:
            unit, sure = _spelled(a.unit or "1", b.unit or "1", sign), a.sure and b.sure
        elif isinstance(right, ast.Constant) and isinstance(right.value, int) and 0 < right.value <= 9 and a.unit:
            unit, sure = _spelled("1", a.unit, right.value), a.sure
        else:
            unit, sure = "", False
    return Term(program.graph.apply(op, (a.node, b.node)), unit, sure)


def _alike(program: Program, left: ast.expr, right: ast.expr) -> tuple[Term, Term]:
    """Two numbers that are added or compared: of one unit, where both have one."""
    if _text(left) is not None:
        b = _term(program, right)
        a = _term(program, left, b.unit, ast.unparse(right))
    else:
        a = _term(program, left)
        b = _term(program, right, a.unit, ast.unparse(left))
    if a.sure and b.sure and units.dimensions(a.unit) != units.dimensions(b.unit):
        raise _refusal(f"a figure in {a.unit} beside one in {b.unit}", left, right)
    return a, b


def _named(program: Program, tree: ast.expr) -> Term:
    name, short = ast.unparse(tree), _short(tree)
    try:
        node = program.named(name)
    except ValueError:
        labels, axis = _labels(program, tree), program.binder.axes.get(name)
        if labels is not None:
            shown = ", ".join(repr(str(v)) for v in labels.shown.reshape(-1)[:3])
            raise ValueError(f"where: {name} has labels, such as {shown}: compare it with one in quotes") from None
        if axis is None:
            raise
        return Term(program.extra_leaf(f"axis {name}", axis.values.astype(np.float64), (name,)))
    return Term(node, VARIABLES[short].unit, True) if short in VARIABLES else Term(node)


def _literal(program: Program, tree: ast.expr, value: float) -> Node:
    """A number of the text, as data: another number needs no other nest."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _refusal("must be a finite number", tree)
    return program.extra_leaf(f"literal {number!r}", np.asarray(number), ())


def _quantity(program: Program, tree: ast.expr, text: str, unit: str, beside: str) -> Term:
    """A quantity in quotes."""
    for wanted in [unit] if unit else ["1", *sorted({v.unit for v in VARIABLES.values()} - {"1"})]:
        try:
            number = units.parse(text, wanted, f"where: {_cut(beside)}")
        except ValueError:
            if unit:
                raise
            continue
        return Term(_literal(program, tree, number), wanted, True)
    raise _refusal("no quantity; write for example '50 ms' or '80 GB'", tree)


def _spelled(one: str, other: str, power: int) -> str:
    """The unit ``one other^power``.

    >>> _spelled("byte", "byte/s", -1), _spelled("1", "s", 2), _spelled("W", "s", 1)
    ('s', 's^2', 'J')
    """
    total = dict(units.dimensions(one))
    for name, exponent in units.dimensions(other):
        total[name] = total.get(name, 0) + power * exponent
    up = [n if e == 1 else f"{n}^{e}" for n, e in total.items() if e > 0]
    down = [f"/{n}" if e == -1 else f"/{n}^{-e}" for n, e in total.items() if e < 0]
    return "".join([" ".join(up) or "1", *down])
