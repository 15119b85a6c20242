"""The site: what is generated covers everything that is public, and what its pages show runs."""

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from terminal import runner

import mlsysim as ms
from mlsysim.cli.commands import app
from mlsysim.engine.label import labelled

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

from generate import notebooks, page, project, questions, reference, resolvers, words, zoo  # noqa: E402

PAGES = sorted(DOCS.glob("*.md"))
GUIDE = 25 + 3  # questions and chains


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Every generated page but the answers to the questions, which tests of their own compute."""
    folder = tmp_path_factory.mktemp("site")
    for writer in (resolvers, reference, words, zoo, project):
        writer.write(folder)
    notebooks.write(folder, "https://github.com/owner/name")
    return folder


# --- questions -----------------------------------------------------------------------------------------


def test_every_question_of_the_guide_has_a_page():
    names = [asked["name"] for asked in questions.every()]
    assert len(set(names)) == len(names) >= GUIDE
    answering = {name for asked in questions.every() for name in asked["resolver"]}
    assert answering == set(ms.RESOLVERS), "every resolver answers one, and nobody else does"


@pytest.mark.parametrize("asked", questions.every(), ids=lambda asked: asked["name"])
def test_command_and_call_answer_the_same(asked, monkeypatch):
    found = questions.call(asked)
    monkeypatch.setattr(questions, "call", lambda _: found)
    text = "\n\n".join(questions.page(asked))
    assert f"# {asked['title']}" in text and "error" not in text
    told = json.loads(questions.command(asked, "--json"))
    for name in asked.get("same", asked["read"]):
        assert f"`{name}`" in text
        by_command = np.ravel((told["data_vars"] | told["coords"])[name]["data"])
        by_call = np.ravel(labelled(found[name]))
        if by_call.dtype.kind in "fiu":
            np.testing.assert_allclose(by_command.astype(float), by_call, rtol=1e-12)
        else:
            assert by_command.tolist() == by_call.tolist()


# --- coverage ------------------------------------------------------------------------------------------


def test_every_public_name_has_an_entry(site):
    text = "\n".join(path.read_text(encoding="utf-8") for path in site.rglob("*") if path.suffix in (".md", ".rst"))
    directives = set(re.findall(r"(?:auto(?:class|function|data|module)::|py:data::|\{py:data\}) ([\w.]+)", text))
    assert {f"mlsysim.{name}" for name in ms.__all__} <= directives
    assert {f"mlsysim.{name}" for name in reference.SUBMODULES} <= directives
    assert {
        "mlsysim.compose",
        "mlsysim.zoo.lookup",
        "mlsysim.search.Pareto",
    } <= reference.public()  # a build checks each
    equations = {p.stem for p in (ROOT / "mlsysim" / "equations").glob("*.py")} - {"__init__"}
    assert {f"mlsysim.equations.{name}" for name in equations} <= directives


@pytest.mark.parametrize("name", ms.RESOLVERS)
def test_page_of_a_resolver(name, site):
    text = (site / "resolvers" / f"{name}.md").read_text(encoding="utf-8")
    schema = getattr(ms, name).schema
    assert all(f"\n| `{row}` |" in text for row in schema.index)
    assert all(f"\n| {number} | " in text for number in getattr(ms, name).walls)
    assert "\n## References\n" in text and "{py:data} mlsysim." in text


def test_every_equation_of_a_model_is_found():
    found = {name for _, name in resolvers.used(sys.modules["mlsysim.models.data"])}
    assert {"fed_share", "starvation", "behind_cache"} <= found
    for name, resolver in ms.RESOLVERS.items():
        assert bool(resolvers.equations(resolver)) == isinstance(resolver, ms.Model), name


def test_tables_name_their_sources(site):
    for name in ms.zoo.TABLES:
        text = (site / "zoo" / f"{name}.md").read_text(encoding="utf-8")
        assert all(f"\n| `{key}` |" in text for key in ms.zoo.names(name))
        assert (site / "zoo" / f"{name}.csv").is_file()
    lines = (site / "zoo" / "assumptions.md").read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith("| `") for line in lines) == len(ms.Assumptions._fields)
    assert not [line for line in lines if line.startswith("| `") and line.endswith("|   |")], "no source"


def test_nomenclature_has_walls_and_variables(site):
    text = (site / "nomenclature.md").read_text(encoding="utf-8")
    assert all(f"| {number} | {wall['name']} |" in text for number, wall in ms.walls().iterrows())
    assert all(f"\n| `{name}` |" in text for name in ("itl", "tco", "mem_bandwidth"))


def test_every_command_has_its_help(site):
    text = (site / "commands.md").read_text(encoding="utf-8")
    assert all(f"## mlsysim {name}\n" in text for name in ("solve", "best", "pareto", "calibrate", "doctor"))
    assert "Traceback" not in text and "--threads" in text


# --- links ---------------------------------------------------------------------------------------------


def test_links_between_pages_lead_somewhere(site):
    generated = {path.relative_to(site).with_suffix("").as_posix() for path in site.rglob("*.*")}
    generated |= {f"questions/{asked['name']}" for asked in questions.every()} | {"questions/index"}
    broken = []
    for path in [*PAGES, *site.rglob("*.md")]:
        text = path.read_text(encoding="utf-8")
        home = Path("_generated") / path.relative_to(site).parent if path.is_relative_to(site) else Path()
        targets = re.findall(r"\]\((?!http|#)([^)#\s]+)", text)
        targets += [
            t
            for toc in re.findall(r"```\{toctree\}\n(.*?)```", text, flags=re.S)
            for t in toc.split("\n")
            if t and t[0] != ":"
        ]
        for target in targets:
            at = (DOCS / home / target).resolve()
            inside = at.is_relative_to(DOCS / "_generated")
            known = at.relative_to(DOCS / "_generated").with_suffix("").as_posix() in generated if inside else False
            if not known and not at.exists() and not at.with_suffix(".md").exists():
                broken.append(f"{path.name}: {target}")
    assert not broken


def test_badge_of_a_notebook(site):
    book = json.loads((site / "notebooks" / "which_wall_binds_where.ipynb").read_text(encoding="utf-8"))
    head = "".join(book["cells"][0]["source"])
    assert head.startswith("# ") and "github/owner/name/blob/main/notebooks/which_wall_binds_where.ipynb" in head
    with pytest.raises(ValueError, match="OWNER/NAME"):
        notebooks.badge("https://example.org/x", "x.ipynb")


# --- what the pages show runs --------------------------------------------------------------------------


def blocks(language, text):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.S)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    monkeypatch.chdir(tmp_path)  # what is written stays there
    monkeypatch.setenv("MLSYSIM_ZOO", str(tmp_path / "zoo"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_python_of_a_page(path, elsewhere):
    scope = {}
    for block in blocks("python", path.read_text(encoding="utf-8")):
        exec(compile(block, path.name, "exec"), scope)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_commands_of_a_page(path, elsewhere):
    for block in blocks("toml", path.read_text(encoding="utf-8")):
        if name := re.match(r"# ([\w.]+\.toml)", block):  # a file that the commands speak of
            Path(name[1]).write_text(block)
    for block in blocks("sh", path.read_text(encoding="utf-8")):
        for command in block.splitlines():
            if command.startswith("mlsysim "):
                told = runner().invoke(app, shlex.split(command)[1:])
                assert told.exit_code == 0 and told.stdout, f"{command}: {told.stderr}"


# --- how pages are made --------------------------------------------------------------------------------


def test_text_shows_just_what_it_says():
    assert page.plain("a_b * c|d of ``x_y`` < 1") == r"a\_b \* c\|d of `x_y` \< 1"
    assert page.table(["a", "b"], [["1", ""]]).splitlines()[-1] == "| 1 |   |"


def test_sections_and_entries_of_a_docstring():
    told = page.sections(
        "One.\n\nMore.\n\nParameters\n----------\na, b : degrees of\n    two kinds.\nc : byte\n    What is held.\n"
    )
    assert told["Summary"] == "One." and told["Extended"] == "More."
    assert page.entries(told["Parameters"]) == [("a, b", "degrees of two kinds."), ("c", "byte. What is held.")]
