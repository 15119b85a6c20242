"""The public names and the equations, for Sphinx to read out of their docstrings."""

from __future__ import annotations

import importlib
from pathlib import Path

import mlsysim as ms
from generate.page import ROOT, contents, save
from mlsysim.resolver import Resolver

#: what one imports beside `mlsysim` itself
SUBMODULES = ("zoo", "units", "calibration", "search", "plot")


def heading(text: str, line: str = "=") -> str:
    """A heading in reStructuredText."""
    return f"{text}\n{line * len(text)}"


def of_module(name: str) -> str:
    """What a module and the names in it say of themselves."""
    return f".. automodule:: {name}\n   :members:"


def public() -> set[str]:
    """The full name of whatever one may import: of the package, and of each module below it that lists its names."""
    modules = [ms, *(importlib.import_module(f"mlsysim.{name}") for name in SUBMODULES)]
    return {f"{module.__name__}.{name}" for module in modules for name in getattr(module, "__all__", ())}


def classes_and_functions() -> list[str]:
    """A directive for every name of ``mlsysim.__all__`` that is no resolver (these have pages) and no module."""
    found = []
    for name in ms.__all__:
        what = getattr(ms, name)
        if isinstance(what, Resolver) or name in SUBMODULES:
            continue
        if isinstance(what, type):
            signature = "(**figures)" if hasattr(what, "_fields") else ""  # of more fields than one reads
            found.append(f".. autoclass:: mlsysim.{name}{signature}\n   :members:")
        elif isinstance(what, dict):  # whose own docstring would be that of dict
            found.append(f".. py:data:: mlsysim.{name}\n\n   Every public resolver by name, in the order of the walls.")
        elif callable(what):
            found.append(f".. autofunction:: mlsysim.{name}")
        else:
            found.append(f".. autodata:: mlsysim.{name}\n   :no-value:")
    return found


def write(folder: Path) -> None:
    reference, equations = folder / "reference", folder / "equations"
    save(reference / "mlsysim.rst", heading("mlsysim"), *classes_and_functions())
    for name in SUBMODULES:
        save(reference / f"{name}.rst", heading(f"mlsysim.{name}"), of_module(f"mlsysim.{name}"))
    save(
        reference / "index.md",
        "# Python names",
        "What `import mlsysim as ms` gives, beside [resolvers](../resolvers/index.md) and [equations](../equations/index.md).",
        contents(["mlsysim", *SUBMODULES]),
    )
    subjects = sorted(path.stem for path in (ROOT / "mlsysim" / "equations").glob("*.py") if path.stem != "__init__")
    for name in subjects:
        save(equations / f"{name}.rst", heading(name), of_module(f"mlsysim.equations.{name}"))
    save(
        equations / "index.md",
        "# Equations",
        "One function an equation, each with units, range of validity and reference. Resolvers put them together.",
        contents(subjects),
    )
