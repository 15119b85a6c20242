"""A page a question of the guide: asked by a command and by a call, with what both answer (docs/questions.toml)."""

from __future__ import annotations

import ast
import functools
import shlex
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

import mlsysim as ms
from generate.page import ROOT, block, contents, plain, save, table
from mlsysim.cli import show
from mlsysim.cli.commands import app
from mlsysim.engine.label import labelled
from mlsysim.schema.variables import variable_of


@functools.cache
def every() -> list[dict[str, Any]]:
    """The questions, in the order of the guide."""
    return tomllib.loads((ROOT / "docs" / "questions.toml").read_text(encoding="utf-8"))["question"]


def command(asked: dict[str, Any], *more: str) -> str:
    """What the command of a question prints."""
    told = CliRunner().invoke(app, [*shlex.split(asked["command"]), *more], env={"COLUMNS": "110"})
    if told.exit_code not in (0, 2):
        raise ValueError(f"{asked['name']}: {told.output}")
    return told.stdout


def call(asked: dict[str, Any]) -> Any:
    """The Dataset that the call of a question gives."""
    *before, last = ast.parse(asked["python"].strip()).body
    scope = {"ms": ms}
    exec(compile(ast.Module(before, []), asked["name"], "exec"), scope)
    return eval(compile(ast.Expression(last.value), asked["name"], "eval"), scope)


def values(array: Any) -> str:
    """The values of a variable in the unit in which one speaks of them."""
    unit = array.attrs.get("units", "1")
    return ", ".join(show.quantity(v, unit) for v in np.asarray(labelled(array)).reshape(-1).tolist())


def page(asked: dict[str, Any]) -> list[str]:
    """The parts of a page."""
    ds = call(asked)
    axes = [str(d) for d in ds.sizes]
    along = [[f"`{d}`", plain(values(ds[d])), plain(meaning(ds, d))] for d in axes if d in ds.coords]
    answer = [[f"`{name}`", plain(values(ds[name])), plain(meaning(ds, name))] for name in asked["read"]]
    answered = ", then ".join(f"[{name}](../resolvers/{name}.md)" for name in asked["resolver"])
    return [
        f"# {asked['title']}",
        f"Answered by {answered}.",
        asked["about"].strip(),
        "## The answer",
        table(["", "value", "meaning"], [*along, *answer]),
        "## In Python",
        block(f"import mlsysim as ms\n\n{asked['python'].strip()}", "python"),
        "## On the command line",
        block(f"mlsysim {asked['command']}", "sh"),
        block(command(asked)),
    ]


def meaning(ds: Any, name: str) -> str:
    """What a variable of an answer is."""
    variable = variable_of(name)
    return str(ds[name].attrs.get("long_name") or (variable.meaning if variable else ""))


def write(folder: Path) -> None:
    groups: dict[str, list[dict[str, Any]]] = {}
    for asked in every():
        groups.setdefault(asked["group"], []).append(asked)
        save(folder / "questions" / f"{asked['name']}.md", *page(asked))
    parts = [
        "# Questions",
        "Each is answered by one command or one call. The figures were computed when this site was built.",
    ]
    for group, members in groups.items():
        parts += [f"## {group}", contents([asked["name"] for asked in members])]
    save(folder / "questions" / "index.md", *parts)
