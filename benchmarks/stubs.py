"""The types of the package for editors and type checkers: ``mlsysim/__init__.pyi``, written from the schema.

    python benchmarks/stubs.py            # does the committed file say what the schema says?
    python benchmarks/stubs.py --write

Every resolver gets a class whose questions take exactly its inputs, so that pyright and mypy refuse ``modle=`` and an editor
completes ``batch_size=``.  Inputs that resolvers share, the fields of records, stand once.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
import types
from pathlib import Path

import mlsysim as ms
from mlsysim.resolver import Optimizer, Resolver, Solver, signature
from mlsysim.resolver.kernels import RECORDS
from mlsysim.schema.variables import VARIABLES

STUB = Path(ms.__file__).with_suffix(".pyi")
QUESTIONS = ("solve", "best", "top", "pareto", "root", "sweep", "explain")
WIDTH = 128
GLUE = "\0"  #: a space at which no line is broken
HEAD = '''\
# Written by benchmarks/stubs.py from the schema (--write writes it again).
# mypy: disable-error-code="override"
# pyright: reportIncompatibleMethodOverride=false
"""What mlsysim holds, and what each resolver takes."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Self, TypedDict, Unpack, overload

import xarray as xr

'''


def kind_of(resolver: Resolver) -> str:
    return next(c.__name__ for c in type(resolver).__mro__ if c.__module__.startswith("mlsysim.resolver"))


def imports() -> list[str]:
    """What the front door hands on, each from where it comes."""
    found = {}
    for node in ast.parse(Path(ms.__file__).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
    lines = []
    for name in ms.__all__:
        thing = getattr(ms, name)
        if isinstance(thing, Resolver) or name == "RESOLVERS":
            continue
        if name not in found:  # made on demand
            found[name] = ("mlsysim" if isinstance(thing, types.ModuleType) else thing.__module__, name)
        where, what = found[name]
        lines.append(f"from {where} import {what} as {name}")
    own = sorted({kind_of(r) for r in ms.RESOLVERS.values()} - {*ms.__all__})
    return [
        *sorted(lines),
        "from mlsysim.engine.progress import Progress",
        *([f"from mlsysim.resolver import {', '.join(own)}"] if own else []),
    ]


def comment(text: str) -> str:
    text = " ".join(text.split())
    return f"  # {text}" if text else ""


def fields() -> list[str]:
    """A class for the fields of each record."""
    lines = []
    for record in RECORDS:
        lines += ["", f"class _{record.__name__}(TypedDict, total=False):"]
        for name in record._fields:
            variable = VARIABLES[name]
            unit = f"{variable.unit}: " if variable.unit != "1" else ""
            lines.append(f"    {name}: Any{comment(unit + variable.meaning)}")
    return lines


def inputs(resolver: Resolver) -> list[str]:
    """The class of the inputs of a resolver."""
    records = list(dict.fromkeys(p.record.__name__ for p in resolver.parameters().values() if p.record is not None))
    shared = {*signature.fields_of(resolver)}
    bases = ", ".join([*(f"_{name}" for name in records)] or ["TypedDict"])
    names = signature.inputs_of(resolver)
    schema = resolver.schema
    typed = {}
    if isinstance(resolver, Solver):
        typed = {n: p.annotation for n, p in inspect.signature(resolver.answer).parameters.items()}
    lines = ["", f"class _{resolver.name}Inputs({bases}, total=False):"]
    for name in names:
        if name in shared or name == "resolver":
            continue
        said = ""
        if name in schema.index:
            row = schema[schema.role != "output"].loc[name]
            default = row.default if row.default in ("required", "optional", "searched") else f"default {row.default}"
            said = "; ".join(text for text in (default, row.unit if row.unit != "1" else "", row.meaning) if text)
        lines.append(f"    {name}: {typed.get(name, 'Any')}{comment(said)}")
    for name in signature.aliases_of(names, shared):
        lines.append(f"    {name}: Any{comment('another name of ' + signature.ALIASES[name][0])}")
    if isinstance(resolver, Solver) and not any(n.startswith("target_") for n in names):
        lines += [f"    target_{output}: Any" for output in resolver.model.outputs if output.isidentifier()]
    return lines if len(lines) > 2 else [*lines, "    pass"]


def written(name: str, parameters: list[str], rest: str, result: str) -> str:
    """A method, its parameters on as few lines as hold them."""
    text = f"    def {name}({', '.join(['self', *parameters, rest])}) -> {result}: ..."
    if len(text) <= WIDTH:
        return text
    glued = ", ".join(part.replace(" ", GLUE) for part in ["self", *parameters, rest])
    inner = textwrap.fill(glued, WIDTH - 8, break_long_words=False, break_on_hyphens=False).replace(GLUE, " ")
    return f"    def {name}(\n{textwrap.indent(inner, ' ' * 8)},\n    ) -> {result}: ..."


def one(parameter: inspect.Parameter, clash: set[str]) -> str:
    default = "" if parameter.default is parameter.empty else " = ..."
    return f"{'_' if parameter.name in clash else ''}{parameter.name}: {parameter.annotation}{default}"


def methods(resolver: Resolver) -> list[str]:
    """The questions that a resolver answers, and what binds inputs."""
    rest = f"**inputs: Unpack[_{resolver.name}Inputs]"
    lines = []
    names = {*signature.inputs_of(resolver), *signature.fields_of(resolver)} - {"resolver"}
    for name in ("__call__", *(("solve",) if isinstance(resolver, Solver) else QUESTIONS)):
        function = getattr(type(resolver), name)
        first, last, drawn = signature.options_of(resolver, function)
        clash = {p.name for p in first} & names  # an input of that name is given by name, the option by position
        by_place = [one(p, clash) for p in first if p.name not in ("self", "resolver")]
        by_name = [one(p, set()) for p in last if p.name not in names]
        if name != "__call__":
            by_name += [f"{n}: Any = ..." for n in drawn if n not in names]
        result = "Self" if name == "__call__" else str(inspect.signature(function).return_annotation)
        if not isinstance(resolver, (Solver, Optimizer)):
            lines.append(written(name, [*by_place, *(["*", *by_name] if by_name else [])], rest, result))
            continue
        other = "resolver: Resolver" if isinstance(resolver, Solver) and name == "solve" else "*, resolver: Resolver"
        mine = "resolver: None = ..." if other[0] != "*" else ""
        named = ["*", *by_name] if by_name else []
        lines += ["    @overload", written(name, [*([mine] if mine else []), *by_place, *named], rest, result)]
        theirs = [*by_place, "*", "resolver: Resolver", *by_name] if other[0] == "*" else [other, *by_place, *named]
        lines += ["    @overload", written(name, theirs, "**inputs: Any", result)]
    return lines


def text() -> str:
    """The whole file."""
    lines = [*imports(), *fields()]
    for resolver in ms.RESOLVERS.values():
        about = inspect.cleandoc(resolver.prose or resolver.name).splitlines()[0]
        lines += [*inputs(resolver), "", f"class _{resolver.name}({kind_of(resolver)}):", f'    """{about}"""']
        lines += ["", *methods(resolver)]
    lines += ["", *(f"{name}: _{name}" for name in ms.RESOLVERS), "", "RESOLVERS: dict[str, Resolver]", ""]
    names = "".join(f'    "{name}",\n' for name in ms.__all__)
    return HEAD + "\n".join(lines) + f"\n__all__ = [\n{names}]\n"


def main() -> int:
    if "--write" in sys.argv[1:]:
        STUB.write_text(text(), encoding="utf-8")
        return 0
    if STUB.read_text(encoding="utf-8") == text():
        return 0
    print(f"{STUB} is not what the schema says: python benchmarks/stubs.py --write", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
