"""What the README shows runs."""

import json
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


# --- links ----------------------------------------------------------------------------------------------


def slug(heading):
    """What GitHub calls a heading in an address."""
    plain = re.sub(r"[`*_]|\[([^]]*)\]\([^)]*\)", lambda m: m[1] or "", heading)
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


def written():
    """Text of every page and of the words in every notebook, by file."""
    found = {path: path.read_text(encoding="utf-8") for path in [*ROOT.glob("*.md"), *ROOT.glob("benchmarks/**/*.md")]}
    found |= {path: path.read_text(encoding="utf-8") for path in ROOT.glob("docs/*.md")}
    for path in ROOT.glob("notebooks/*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        found[path] = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return found


def test_links_of_every_page_and_notebook_lead_somewhere():
    pages, broken, seen = written(), [], 0
    for path, text in pages.items():
        for target in re.findall(
            r"(?<!`)\[[^\]\n]*\]\((?!https?:|mailto:)([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.S)
        ):
            seen += 1
            name, _, anchor = target.partition("#")
            if name.startswith("_generated/"):  # `tests/test_docs.py` follows those
                continue
            at = (path.parent / name).resolve() if name else path
            if not at.exists():
                broken.append(f"{path.name}: {target}")
            elif anchor and at in pages:
                headings = {slug(line.lstrip("#")) for line in pages[at].splitlines() if line.startswith("#")}
                broken += [] if anchor in headings else [f"{path.name}: {target}"]
    assert not broken and seen > 10


def test_addresses_are_written_whole():
    """What leads out of the project is an https address without a stray sign at its end; a network tells whether it answers."""
    for path, text in written().items():
        for address in re.findall(r"https?://[^\s)>\]\"'`|]+", text):
            assert re.fullmatch(r"https://[\w.-]+\.\w+(/[^\s]*)?", address) and address[-1] not in ",;(", (
                f"{path.name}: {address}"
            )
