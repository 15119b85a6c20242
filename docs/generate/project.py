"""Pages made of what the project says elsewhere: accuracy, speed, the help of the commands, the columns of runs."""

from __future__ import annotations

import re
from pathlib import Path

from typer.main import get_command
from typer.testing import CliRunner

from generate.page import ROOT, block, plain, save, table
from mlsysim.cli.commands import app
from mlsysim.cli.template import TEMPLATES


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def marked(section: str) -> str:
    """What the README has between two markers; links to files become their names, which other pages have."""
    text = read("README.md").split(f"<!-- {section}:begin -->")[1].split(f"<!-- {section}:end -->")[0]
    return re.sub(r"\[([^]]+)\]\((?!http)[^)]+\)", r"\1", text)


def below(text: str) -> str:
    """A page as a part of another: its headings one level down."""
    return re.sub(r"^#", "##", text, flags=re.M)


def accuracy() -> list[str]:
    tables = re.sub(r"\]\((?!http)(\S+\.png)\)", r"](../../benchmarks/\1)", read("benchmarks/ACCURACY.md"))
    return [
        "# Accuracy",
        "Predictions against published and own measurements. In short:",
        marked("accuracy"),
        below(tables.replace("# Accuracy", "# Every group of runs", 1)),
        below(read("benchmarks/measured/README.md").replace("# Published measurements", "# The runs", 1)),
    ]


def commands() -> list[str]:
    """The help of every command."""
    parts = ["# Commands", "`mlsysim COMMAND --help`, written out."]
    for name in get_command(app).commands:
        told = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "110"})
        parts += [f"## mlsysim {name}", block(told.stdout)]
    return parts


def columns() -> list[str]:
    """The columns of a table of runs."""
    parts = [
        "# Columns of runs",
        "What `mlsysim calibrate --template KIND` writes: these headings and one example row.",
    ]
    for kind, lines in TEMPLATES.items():
        parts += [f"## {kind.capitalize()}"]
        parts += [
            table(
                ["column", "meaning", "example"],
                [[f"`{c}`", plain(meaning), plain(cell)] for c, meaning, cell in lines],
            )
        ]
    return parts


def write(folder: Path) -> None:
    save(folder / "accuracy.md", *accuracy())
    save(folder / "speed.md", "# Speed", marked("speed"), "## Neighbours on the same work", marked("peers"))
    save(folder / "commands.md", *commands())
    save(folder / "columns.md", *columns())
