"""What the README shows runs."""

import re
import shlex
from pathlib import Path

import pytest
from terminal import runner

import mlsysim as ms
from mlsysim.cli.commands import app

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.S)


def test_python(tmp_path, monkeypatch):
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    monkeypatch.chdir(tmp_path)  # what the blocks write stays there
    scope = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), scope)
    assert bool(scope["best"].found.all()) and scope["front"].sizes["point"] > 5


def test_size():
    assert len(TEXT.encode()) <= 9000


COMMANDS = [c for block in blocks("sh") for c in block.splitlines() if c.startswith("mlsysim ")]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command):
    result = runner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0, result.stderr
    assert result.stdout


def test_start():
    sweep, tests = (block.strip() for block in blocks("sh")[:2])
    assert sweep.endswith(".venv/bin/mlsysim sweep") and 'install -q -e ".[test]"' in tests
    marked = TEXT.split("<!-- tests:begin -->")[1].split("<!-- tests:end -->")[0]
    assert tests in marked and "<!-- tests:begin -->" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("section", ["tests", "resolvers", "accuracy", "speed"])
def test_markers(section):
    assert TEXT.index(f"<!-- {section}:begin -->") < TEXT.index(f"<!-- {section}:end -->")


def test_every_resolver_is_listed():
    listed = TEXT.split("<!-- resolvers:begin -->")[1].split("<!-- resolvers:end -->")[0]
    missing = [name for name in ms.RESOLVERS if f"`{name}`" not in listed]
    assert not missing, "run benchmarks/readme.py"


def test_pictures_exist():
    for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", TEXT):
        assert (ROOT / path).is_file()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_every_file_that_a_page_names_is_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:mlsysim|tests|benchmarks|docs|notebooks)/[\w./]*\w)`", text))
    named |= set(re.findall(r"\]\((?!http)([\w./]+)\)", text))
    folder = (ROOT / page).parent
    wanting = [
        name for name in named if not (ROOT / name).exists() and not (folder / name).exists() and "mine" not in name
    ]
    wanting += [
        name
        for name in re.findall(
            r"`((?:cli|calibration|solvers|optimizers|models|resolver|search|engine|zoo|equations|schema)/[\w.]*)`",
            text,
        )
        if not (ROOT / "mlsysim" / name).exists()
    ]
    assert not wanting
