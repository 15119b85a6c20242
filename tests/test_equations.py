"""What holds for all equations and kernels: how they are written, what they import, what the schema says."""

import ast
import inspect
import math
import pathlib
import re

import numpy as np
import pytest
import strategies
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import mlsysim
from mlsysim.schema import records
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.variables import VARIABLES

FOLDER = pathlib.Path(mlsysim.__path__[0])
EQUATIONS = sorted(FOLDER.joinpath("equations").glob("*.py"))
MODELS = sorted(FOLDER.joinpath("models").glob("*.py"))
#: Whole numbers and the machinery of stages are made here.
EXEMPT = {"counting.py", "stage.py"}
ROUNDING = {"floor", "ceil", "rint", "round", "round_", "around", "trunc", "fix"}
WHOLE = ROUNDING | {"floor_divide", "mod", "remainder", "fmod", "divmod"}
BRANCHING = {"int", "bool", "min", "max", "round", "divmod"}
ALLOWED = {"numpy", "math", "numba", "mlsysim.schema", "mlsysim.equations"}
LANGUAGE = {
    "__future__",
    "typing",
    "functools",
    "itertools",
    "collections",
    "contextlib",
    "enum",
    "inspect",
    "textwrap",
    "types",
}


def identify(path):
    return f"{path.parent.name}/{path.name}"


def functions(path):
    """Functions that are recorded: all but stages (scalar Python with loops) and what they hold."""
    tree = ast.parse(path.read_text())
    looping = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and any("stage" in ast.unparse(d) for d in node.decorator_list)
        for inner in ast.walk(node)
    }
    return [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n not in looping]


def offences(path, found):
    return [f"{identify(path)}:{node.lineno} {name}: {ast.unparse(node)[:70]}" for name, node in found]


@pytest.mark.parametrize("path", [p for p in (*EQUATIONS, *MODELS) if p.name not in EXEMPT], ids=identify)
def test_whole_numbers_come_from_counting(path):
    """No floor, ceiling, remainder or `math` outside equations/counting.py: n * (1 / d) is not n / d."""
    found = []
    for function in functions(path):
        for node in ast.walk(function):
            attribute = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
            if attribute and node.value.id == "math" and node.attr not in ("inf", "pi", "e"):
                found.append((function.name, node))
            if attribute and node.value.id in ("np", "numpy") and node.attr in WHOLE:
                found.append((function.name, node))
            if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.FloorDiv, ast.Mod)):
                found.append((function.name, node))
    assert not found, "\n".join(offences(path, found))


def about_absence(test):
    """Is a condition decided before recording: about None, or a flag of the code itself?"""
    if isinstance(test, ast.BoolOp):
        return all(about_absence(value) for value in test.values)
    if isinstance(test, ast.Compare):
        return all(isinstance(op, (ast.Is, ast.IsNot)) for op in test.ops)
    return isinstance(test, ast.Name) and test.id in ("moe",)  # layers with experts are assembled apart


@pytest.mark.parametrize("path", [p for p in (*EQUATIONS, *MODELS) if p.name not in EXEMPT], ids=identify)
def test_nothing_branches_on_a_value(path):
    found = []
    for function in functions(path):
        for node in ast.walk(function):
            if isinstance(node, (ast.If, ast.IfExp, ast.While)) and not about_absence(node.test):
                found.append((function.name, node.test))
            if isinstance(node, ast.comprehension):
                found += [(function.name, test) for test in node.ifs if not about_absence(test)]
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                found.append((function.name, node))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BRANCHING:
                found.append((function.name, node))
    assert not found, "\n".join(offences(path, found))


@pytest.mark.parametrize("path", EQUATIONS, ids=identify)
def test_equations_import_only_numbers_and_the_schema(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{identify(path)}:{node.lineno}: relative import"
            names = [f"mlsysim.{a.name}" for a in node.names] if node.module == "mlsysim" else [node.module]
        for name in names:
            known = any(name == root or name.startswith(f"{root}.") for root in ALLOWED)
            assert known or name.split(".")[0] in LANGUAGE, f"{identify(path)}:{node.lineno}: {name}"


@pytest.mark.parametrize("path", EQUATIONS, ids=identify)
def test_equations_say_what_they_are(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), path.name
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{identify(path)}:{node.lineno}: {node.name} has no docstring"


RECORDS = [records.Workload, records.Accelerator, records.Format, records.Fleet, records.Site]
RESOLVERS = strategies.models()
UNIT = re.compile(r"^(1|(s|byte|FLOP|USD|J|kg|L|W))(/(s|byte|FLOP|USD|J|kg|L|W))?$")


@pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
def test_record_fields_have_a_unit_and_a_meaning(kind):
    for name in kind._fields:
        assert name in VARIABLES, f"{kind.__name__}.{name} has no row in schema/variables.py"


@pytest.mark.parametrize("name", RESOLVERS)
def test_inputs_and_outputs_have_a_unit_and_a_meaning(name):
    kernel = RESOLVERS[name].kernel
    for variable in (*(n for n, p in kernel.parameters.items() if p.record is None), *kernel.outputs):
        assert variable in VARIABLES, f"{name}.{variable} has no row in schema/variables.py"
    fields = {field for kind in RECORDS for field in kind._fields if kind in kernel_records(kernel)}
    plain = {n for n, p in kernel.parameters.items() if p.record is None}
    assert not plain & fields, f"{name}: {plain & fields} are fields of its records already"


def kernel_records(kernel):
    return {p.record for p in kernel.parameters.values() if p.record is not None}


@pytest.mark.parametrize("name", RESOLVERS)
def test_kernels_say_what_they_take_and_give(name):
    documentation = inspect.getdoc(RESOLVERS[name].kernel) or ""
    for heading in ("Parameters", "References"):
        assert re.search(rf"^{heading}\n-+$", documentation, re.M), f"{name}: no section {heading}"
    for other, resolver in RESOLVERS.items():  # "as in ServingModel"
        if other in documentation:
            documentation += inspect.getdoc(resolver.kernel) or ""
    for variable, parameter in RESOLVERS[name].kernel.parameters.items():
        if parameter.record is None:
            assert re.search(rf"\b{variable}\b", documentation), f"{name}: {variable} is not documented"


def test_variables_are_in_base_units():
    for name, variable in VARIABLES.items():
        assert UNIT.match(variable.unit), f"{name}: {variable.unit}"
        assert variable.meaning and variable.low <= variable.high, name
        assert variable.better in ("", "less", "more"), name


def test_assumptions_can_be_judged():
    for name, value in Assumptions._field_defaults.items():
        assert value.unit and value.meaning and value.source and value.spread >= 0, name
        if name in VARIABLES:
            row = VARIABLES[name]
            assert row.unit == value.unit, name
            assert row.low <= value <= row.high, name


@pytest.mark.parametrize("name", RESOLVERS)
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_valid_input_never_gives_nan(name, data, monkeypatch):
    """Unstable or impossible is inf, zero and `feasible` false; NaN says that a datum is missing."""
    strategies.keep_loops(monkeypatch)
    kernel = RESOLVERS[name].kernel
    arguments = data.draw(strategies.arguments(kernel, rows=2))
    try:
        result = kernel(**arguments)
    except TypeError as error:
        assume(not str(error).startswith("give "))
        raise
    for output, value in result._asdict().items():
        if value is not None:
            assert not np.any(np.isnan(np.asarray(value, dtype=float))), f"{output} is NaN"
    if getattr(result, "limit", None) is not None:
        assert np.array_equal(result.feasible, np.asarray(result.limit) == 0)


@settings(max_examples=100)
@given(layout=strategies.layouts())
def test_layouts_divide(layout):
    assert layout["global_batch"] % (layout["dp"] * layout["micro_batch"]) == 0


def test_the_gamma_function_has_the_digits_of_a_double_and_one_set_of_bits():
    from mlsysim.engine import staged
    from mlsysim.equations.gamma import log_gamma

    compiled = staged.quick(log_gamma)
    for x in np.concatenate([np.geomspace(1e-3, 1e4, 400), np.linspace(0.5, 3.0, 100)]).tolist():
        assert abs(float(log_gamma(x)) - math.lgamma(x)) < 3e-14 * max(1.0, abs(math.lgamma(x)))
        assert compiled(x) == (float(log_gamma(x)),)  # Python's own and the compiler's differ


@pytest.mark.parametrize("few", [0, 1000])
def test_loops_end_whatever_they_are_asked(few):
    """By compiled code and by Python: no root that floats can tell from 0, no gamma function, no number at all."""
    from mlsysim.equations.gamma import log_gamma
    from mlsysim.equations.queueing import response_quantile

    near_zero = [np.array([v]) for v in (0.587, 1.2e-4, 1.75e-4, 11408.0, np.inf)]  # a tail that falls within 1e-4380
    assert response_quantile.over(near_zero, few=few)[0] < 1e-300
    odd = log_gamma.over([np.array([np.nan, -1.0, -1e19, 0.0])], few=few)
    assert np.isnan(odd[:3]).all() and odd[3] == np.inf
