"""A page a resolver: from its schema, its docstring, its walls and the equations that it assembles."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import mlsysim as ms
from generate import questions
from generate.page import block, contents, entries, plain, prose, save, sections, table
from mlsysim.walls import WALLS

EQUATIONS = "mlsysim.equations"


@functools.cache
def imported(module: ModuleType) -> dict[str, tuple[str, str]]:
    """Names in a module that stand for equations: (module, function), the function empty where the module itself is meant."""
    found = {}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(EQUATIONS):
            for name in node.names:
                at = (f"{EQUATIONS}.{name.name}", "") if node.module == EQUATIONS else (node.module, name.name)
                found[name.asname or name.name] = at
    return found


@functools.cache
def used(module: ModuleType) -> frozenset[tuple[str, str]]:
    """The equations that a module names: (module, function)."""
    known, found = imported(module), set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and known.get(node.value.id, ("", "x"))[1] == ""
        ):
            found.add((known[node.value.id][0], node.attr))
    found |= {at for at in known.values() if at[1]}
    return frozenset(at for at in found if inspect.isfunction(getattr(importlib.import_module(at[0]), at[1], None)))


def equations(resolver: Any) -> str:
    """A table of the equations that a model puts together, each with a link."""
    kernel = getattr(resolver, "kernel", None)
    if kernel is None:
        return ""
    by_module: dict[str, list[str]] = {}
    for module, name in sorted(used(importlib.import_module(kernel.__module__))):
        by_module.setdefault(module, []).append(name)
    rows = []
    for module, names in by_module.items():
        about = (importlib.import_module(module).__doc__ or "").strip().splitlines()[0]
        links = ", ".join(f"{{py:func}}`{n} <{module}.{n}>`" for n in names)
        rows.append(
            [f"{{doc}}`{module.rsplit('.', 1)[1]} <../equations/{module.rsplit('.', 1)[1]}>`", links, plain(about)]
        )
    return table(["subject", "equations", "about"], rows)


def walls(resolver: Any) -> str:
    """The walls that a resolver evaluates."""
    rows = [
        [str(w.number), w.name, f"`{w.equation}`", plain(w.binds_when), plain(w.source)]
        for w in WALLS
        if w.number in resolver.walls
    ]
    return table(["wall", "name", "in short", "binds when", "source"], rows) if rows else ""


def rows(schema: Any, *roles: str) -> list[list[str]]:
    """Lines of the schema that play a role."""
    some = schema[schema.role.isin(roles)]
    return [
        [
            f"`{name}`",
            f"`{r.unit}`" if r.unit not in ("", "1") else "",
            plain(r.default),
            plain(r.allowed),
            plain(r.meaning),
        ]
        for name, r in some.iterrows()
    ]


def page(name: str, resolver: Any) -> list[str]:
    """The parts of a page."""
    told = sections(resolver.__doc__)
    inputs, outputs = rows(resolver.schema, "option", "input"), rows(resolver.schema, "output")
    asked = [f"* [{q['title']}](../questions/{q['name']}.md)" for q in questions.every() if name in q["resolver"]]
    returns = [meaning for _, meaning in entries(told.get("Returns", "")) if meaning]
    parts = [
        f"# {name}",
        f"```{{py:data}} mlsysim.{name}\n```",
        plain(told["Summary"]),
        prose(told.get("Extended", "")),
        walls(resolver),
        "\n".join(asked),
        "## Inputs",
        table(["name", "unit", "default", "allowed", "meaning"], inputs),
    ]
    if "Parameters" in told:
        words = [
            f"* {', '.join(f'`{n.strip()}`' for n in names.split(','))}: {plain(m)}"
            for names, m in entries(told["Parameters"])
            if m
        ]
        parts += ["### In more words", "\n".join(words)]
    parts += ["## Outputs", table(["name", "unit", "values", "meaning"], [[n, u, a, m] for n, u, _, a, m in outputs])]
    parts += [plain(text) for text in returns]
    if "Notes" in told:
        parts += ["## Method and limits of validity", prose(told["Notes"])]
    if lines := equations(resolver):
        parts += ["## Equations", lines]
    if "References" in told:
        parts += ["## References", prose(told["References"])]
    if "Examples" in told:
        parts += ["## Example", block(told["Examples"], "pycon")]
    return parts


def write(folder: Path) -> None:
    for name, resolver in ms.RESOLVERS.items():
        save(folder / "resolvers" / f"{name}.md", *page(name, resolver))
    tiers = {
        "Models: what happens if?": "Model",
        "Solvers: what would it take?": "Solver",
        "Optimizers: what is best?": "Optimizer",
    }
    parts = ["# Resolvers", "Written from the schemas: `mlsysim schema NAME` prints the same tables."]
    for title, kind in tiers.items():
        parts += [f"## {title}", contents([n for n, r in ms.RESOLVERS.items() if type(r).__name__ == kind])]
    save(folder / "resolvers" / "index.md", *parts)
