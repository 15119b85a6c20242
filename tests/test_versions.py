"""What newer Pythons and NumPys will refuse is nowhere written, whichever of them runs the tests."""

import ast
from pathlib import Path

import mlsysim

SOURCES = sorted([*Path(mlsysim.__file__).parent.rglob("*.py"), *Path(__file__).parent.glob("*.py")])


def texts(*words):
    """The sources that hold one of some words: no other is worth parsing."""
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        if any(word in text for word in words):
            yield path, text


def plain(function):
    """Names of a function that may be Python's own numbers: parameters with such a default, and what is made of them."""
    arguments, found = function.args, set()
    if not any("kernel" in ast.unparse(d) for d in function.decorator_list):  # a kernel makes doubles of its defaults
        pairs = [
            *zip(reversed(arguments.args), reversed(arguments.defaults)),
            *zip(arguments.kwonlyargs, arguments.kw_defaults),
        ]
        found = {a.arg for a, default in pairs if isinstance(default, ast.Constant) and default.value is not None}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and truth(node.value, found):
            found.add(node.targets[0].id)
    return found


def truth(node, names):
    """May an expression be a truth of Python's own?"""
    match node:
        case ast.Constant(value=bool()) | ast.UnaryOp(op=ast.Not()):
            return True
        case ast.Name(id=name):
            return name in names
        case ast.Compare(left=left, ops=ops, comparators=rest):
            identity = all(isinstance(o, (ast.Is, ast.IsNot, ast.In, ast.NotIn)) for o in ops)
            return identity or all(isinstance(n, ast.Constant) or truth(n, names) for n in (left, *rest))
        case ast.IfExp(body=body, orelse=other):
            return truth(body, names) or truth(other, names)
        case ast.BoolOp(values=values):
            return any(truth(v, names) for v in values)
        case ast.BinOp(left=left, op=ast.BitAnd() | ast.BitOr(), right=right):
            return truth(left, names) and truth(right, names)
        case ast.Call(func=ast.Name(id="bool" | "isinstance" | "any" | "all" | "hasattr")):
            return True
    return False


def inverted(source):
    """Lines on which ``~`` is applied to what may be a truth of Python's own."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef):
            names = plain(function)
            for node in ast.walk(function):
                if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert) and truth(node.operand, names):
                    yield node.lineno


def test_only_arrays_are_inverted_bit_by_bit():
    """``~True`` is -2 and, from Python 3.16, an error."""
    assert not {(path.name, line) for path, text in texts("~") for line in inverted(text)}


def test_equations_and_models_negate_by_name():
    """Their arguments may be numbers, arrays or symbols: ``np.logical_not`` is right for all of them."""
    found = {
        (path.name, node.lineno)
        for path, text in texts("~")
        if path.parent.name in ("equations", "models")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert)
    }
    assert not found


def test_what_would_be_inverted_wrongly_is_seen():
    assert list(inverted("def f(x, on=0):\n    off = on > 0\n    return x & ~off"))
    assert list(inverted("def f(x, on=False):\n    return x & ~on"))
    assert list(inverted("def f(x):\n    known = True if x is None else x > 0\n    return ~known"))
    assert list(inverted("def f(x):\n    return ~(x is None)")) and list(
        inverted("def f(x):\n    return ~isinstance(x, int)")
    )
    assert not list(inverted("def f(x, on=0):\n    return ~(x > on)"))


def test_no_time_is_without_a_unit():
    """``np.timedelta64("NaT")`` is an error from NumPy 2.5 on; an array of a known type is not."""
    calls = {
        (path.name, node.lineno)
        for path, text in texts("datetime64", "timedelta64")
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("np.datetime64", "np.timedelta64")
        and len(node.args) < 2
        and isinstance(node.args[0], ast.Constant)
        and (ast.unparse(node.func) == "np.timedelta64" or node.args[0].value == "NaT")
    }
    assert not calls
