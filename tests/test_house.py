"""What keeps the house habitable: short functions, short modules, and imports that run from floor to floor, down only."""

import ast
import functools
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = sorted((ROOT / "mlsysim").rglob("*.py"))
ASIDE = sorted([*(ROOT / "tests").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")])
LONGEST_FUNCTION, LONGEST_TEST, LONGEST_MODULE = 120, 150, 450  # lines; of a function without its docstring
#: registries: one row after the other
REGISTRIES = {"schema/variables.py", "schema/records.py", "schema/assumptions.py"}
#: what is still too long; nothing may be added
LONG_FUNCTIONS: set[str] = set()
LONG_MODULES: set[str] = set()
#: floors, the lowest first; what stands on one floor may use each other and what lies below
FLOORS = (
    ("version", "units", "sizes"),
    ("schema",),
    ("equations",),
    ("zoo",),
    ("engine",),
    ("search",),
    ("resolver",),
    ("models",),
    ("plot",),
    ("solvers", "optimizers", "calibration"),
    ("walls", "headline", "grammar", "report", "why", "stored", "accessor"),
    ("plans",),
    ("cli",),
)
#: imports that still run up; nothing may be added
UPWARD: set[tuple[str, str]] = set()


def name_of(path):
    return path.relative_to(ROOT / "mlsysim" if "mlsysim" in path.parts else ROOT).as_posix()


def lines_without_docstring(function):
    first = function.body[0]
    says = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    return function.end_lineno - function.lineno + 1 - (first.end_lineno - first.lineno + 1 if says else 0)


@functools.cache
def parsed(path):
    """The functions of a module with their lengths, and the modules of the package that it imports."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    functions = [n for n in nodes if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
    return [(f.name, lines_without_docstring(f)) for f in functions], list(_imports(nodes))


def long_functions(path, most):
    return {f"{name_of(path)}:{name}" for name, lines in parsed(path)[0] if lines > most}


def test_functions_are_short():
    found = {name for path in PACKAGE for name in long_functions(path, LONGEST_FUNCTION)}
    found |= {name for path in ASIDE for name in long_functions(path, LONGEST_TEST)}
    assert found <= LONG_FUNCTIONS, f"longer than they may be: {sorted(found - LONG_FUNCTIONS)}"
    assert found >= LONG_FUNCTIONS, f"short now, strike them from the list: {sorted(LONG_FUNCTIONS - found)}"


def test_modules_are_short():
    found = {
        name_of(p) for p in PACKAGE if len(p.read_text(encoding="utf-8").splitlines()) > LONGEST_MODULE
    } - REGISTRIES
    assert found <= LONG_MODULES, f"longer than they may be: {sorted(found - LONG_MODULES)}"
    assert found >= LONG_MODULES, f"short now, strike them from the list: {sorted(LONG_MODULES - found)}"


def _imports(nodes):
    """Modules of the package that a module imports, inside functions too; not those that only a type checker sees."""
    typing_only = {
        inner
        for node in nodes
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in nodes:
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield f"{node.module}.{alias.name}"


def floor(module):
    """The floor of a module of the package by its dotted name, or None for the front door."""
    room = module.split(".")[1] if "." in module else ""
    return next((i for i, rooms in enumerate(FLOORS) if room in rooms), None)


def test_imports_run_down_only():
    found = set()
    for path in PACKAGE:
        module = ".".join(("mlsysim", *path.relative_to(ROOT / "mlsysim").with_suffix("").parts))
        here = floor(module)
        for target in parsed(path)[1]:
            there = floor(target) if target.startswith("mlsysim.") else None
            if here is not None and there is not None and there > here:
                found.add((name_of(path), ".".join(target.split(".")[:3])))
    assert found <= UPWARD, f"imports that run up: {sorted(found - UPWARD)}"
    assert found >= UPWARD, f"gone, strike them from the list: {sorted(UPWARD - found)}"


def modules():
    """Modules of the package by their dotted names, each with those of them that it imports."""
    paths = {}
    for path in PACKAGE:
        parts = ("mlsysim", *path.relative_to(ROOT / "mlsysim").with_suffix("").parts)
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph = {}
    for module, path in paths.items():
        graph[module] = set()
        for target in parsed(path)[1]:
            while target not in paths and "." in target:  # a name in a module, not a module
                target = target.rpartition(".")[0]
            if target in paths and target != module:
                graph[module].add(target)
    return graph


def in_circles(graph):
    """What stays of a graph when whatever leads nowhere, or is led to by nothing, is taken away again and again."""
    left = {module: set(targets) for module, targets in graph.items()}
    while True:
        led_to = set().union(*left.values()) if left else set()
        ends = {module for module, targets in left.items() if not targets or module not in led_to}
        if not ends:
            return set(left)
        left = {module: targets - ends for module, targets in left.items() if module not in ends}


def test_no_module_imports_itself_through_others():
    assert in_circles({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == {"b", "c"}
    graph = modules()
    assert sum(map(len, graph.values())) > len(graph)  # the imports were found
    assert not in_circles(graph), f"modules in circles, or between two of them: {sorted(in_circles(graph))}"


@pytest.mark.parametrize("room", [room for rooms in FLOORS for room in rooms])
def test_every_floor_is_there(room):
    assert (ROOT / "mlsysim" / room).is_dir() or (ROOT / "mlsysim" / f"{room}.py").is_file()
