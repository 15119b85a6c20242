"""The page to pass on: what is on it, that nothing in it runs or loads, and that a browser draws it."""

import html
import json
import re
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mlsysim as ms
from mlsysim import grammar, headline
from mlsysim.cli.commands import app
from mlsysim.report import command
from mlsysim.search import Best, Counts, Pareto

pytest.importorskip("plotly")

GRID = {
    "model": "llama3_1_70b",
    "seq_len": 2048,
    "output_len": 256,
    "hardware": ["h100", "mi300x", "l40s"],
    "precision": ["bf16", "fp8"],
    "tp": [1, 2, 4, 8],
    "batch_size": [1, 8, 64],
}
HOSTILE = "</script><script>document.title='hacked'</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def searched():
    where = "itl <= '50 ms'"
    searches = [
        Pareto(["usd_per_mtok", "itl", "ttft"], where=where),
        Counts(where=where),
        Best("itl", by="hardware", where=where),
    ]
    return ms.ServingModel.sweep(searches, **GRID)


@pytest.fixture(scope="module")
def page(searched, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "page.html"
    assert ms.report(list(searched), path, title=f"Which device? {HOSTILE}") == str(path)
    return path


class Reader(HTMLParser):
    """Tags with their attributes, and the text outside scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.inside = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside.append(tag)

    def handle_endtag(self, tag):
        if tag in self.inside:
            while self.inside.pop() != tag:
                pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self.inside):
            self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="module")
def read(page):
    return Reader(page.read_text(encoding="utf-8"))


def written(path):
    return Path(path).read_text(encoding="utf-8")


def told(read):
    return " ".join(read.text)


def commands(read):
    return [attrs["data-command"] for attrs in read.all("button") if attrs.get("class") == "copy"]


# --- what is on it ------------------------------------------------------------------------------------------


def test_the_page_says_what_was_found(read, searched):
    front, counts, best = searched
    text = told(read)
    for heading in ("The front", "What stops the others", "The best of each hardware", "What was assumed", "Sources"):
        assert heading in text
    assert f"{front.sizes['point']:,} configurations that none beats in usd_per_mtok, itl, ttft" in text
    memory = int(counts["configurations"].sel(limit="memory"))
    assert f"{memory:,}" in text and "memory" in text
    assert "itl <= '50 ms'" in text
    assert "memory_fraction".replace("_", " ") in text  # an assumption
    assert best.attrs["version"] in text and best.attrs["data"] in text


def test_sources_are_those_of_the_tables(read):
    text = told(read)
    assert ms.zoo.model("llama3_1_70b").sources in text
    assert ms.zoo.hardware("mi300x").sources.split(";")[0] in text


def test_it_is_small_enough_to_send(page):
    assert page.stat().st_size < 6e6


def test_a_long_front_is_thinned_and_says_so(tmp_path):
    chain = headline.resolver()
    grid = headline.inputs() | {"hardware": ["h100", "gb200"], "pp": [1, 4], "cp": [1, 2], "dp": [64, 256]}
    front = chain.pareto(["tco", "training_time", "carbon"], **grid)
    long = front.isel(point=np.arange(3000) % front.sizes["point"])
    path = ms.report(long, tmp_path / "long.html")
    assert Path(path).stat().st_size < 6e6
    read = Reader(written(path))
    assert "1,000 of them are drawn, evenly thinned." in told(read) and "20 of them, evenly thinned:" in told(read)
    assert len(commands(read)) == 20


def test_nothing_is_loaded_from_outside(read):
    for tag, attrs in read.tags:
        assert not any(
            k in ("src", "srcset", "data", "action") and not (v or "").startswith("data:") for k, v in attrs.items()
        ), tag
        assert all((attrs.get(k) or "#").startswith("#") for k in ("href", "xlink:href"))
    policy = next(m["content"] for m in read.all("meta") if "http-equiv" in m)
    assert policy.startswith("default-src 'none'") and "http" not in policy
    assert any(m.get("name") == "viewport" and "device-width" in m["content"] for m in read.all("meta"))


def test_text_of_users_is_text(page, read):
    text = page.read_text(encoding="utf-8")
    assert HOSTILE not in text and html.escape(HOSTILE) in text
    assert not read.all("img") and len(read.all("script")) == 2 + len(
        [d for d in read.all("div") if d.get("class") == "picture"]
    )
    assert not any(k.startswith("on") for _, attrs in read.tags for k in attrs)


def test_names_in_pictures_are_text(tmp_path):
    ds = ms.ServingModel.solve(**GRID | {"hardware": "h100", "precision": "bf16", "tp": 4, "batch_size": [1, 8]})
    ds = ds.assign_coords(batch_size=np.array([HOSTILE, "plain"]))
    text = written(ms.report(ds, tmp_path / "x.html"))
    assert "<img src=x" not in text and "<script>document" not in text
    assert Reader(text).all("img") == []


def test_a_configuration_of_the_page_is_a_command_with_the_same_answer(read, searched):
    front = searched[0]
    found = commands(read)
    assert len(found) == front.sizes["point"] + int(searched[2].found.sum())
    for words, i in ((found[0], 0), (found[front.sizes["point"] - 1], -1)):
        program, *arguments = shlex.split(words)
        assert program == "mlsysim" and arguments[:2] == ["solve", "serving"]
        answer = CliRunner().invoke(app, [*arguments, "--json"])
        assert answer.exit_code == 0, answer.output
        values = json.loads(answer.stdout)["data_vars"]
        for name in ("usd_per_mtok", "itl", "ttft"):
            assert values[name]["data"] == front[name].values[i]


def test_pictures_of_parts_add_up(tmp_path):
    ds = ms.ServingModel.solve(**GRID | {"hardware": "h100", "precision": "bf16", "tp": 4})
    text = written(ms.report(ds, tmp_path / "x.html"))
    drawn = re.findall(r'<script>draw\("(p0-[\w-]+)",(.*?)\)</script>', text)
    assert [name for name, _ in drawn] == ["p0-ttft", "p0-memory_per_device"]
    traces = json.loads(drawn[0][1])[0]
    assert np.allclose(np.sum([t["x"] for t in traces], axis=0), ds.ttft.values)
    names = traces[0]["y"]
    assert [name.endswith("(infeasible)") for name in names] == (~ds.feasible.values).tolist()


def test_names_keep_off_the_bars_and_pictures_inside_a_narrow_page(page):
    text = page.read_text(encoding="utf-8")
    assert ".picture{width:100%;min-height:90px;overflow:hidden}" in text
    named = re.findall(r'"yaxis":\{[^{}]*"autorange":"reversed"[^{}]*\}', text)
    assert len(named) >= 2 and all('"ticklen":5' in axis for axis in named)


def test_infeasible_rows_are_dimmed_with_their_reason(tmp_path):
    ds = ms.ServingModel.solve(**GRID | {"hardware": "h100", "precision": "bf16", "tp": 2})
    read = Reader(written(ms.report(ds, tmp_path / "x.html")))
    assert len([a for a in read.all("tr") if a.get("class") == "out"]) == int((~ds.feasible).sum()) > 0
    assert "limit" in read.text


def test_parts_of_a_page_may_be_tables_pictures_and_text(tmp_path):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    ax = figure.subplots()
    ax.plot([1, 2])
    scores = pd.DataFrame({"condition": ["mfu >= 0.4"], "value": [0.416], "": ["PASS"]})
    one = ms.ServingModel.solve(**GRID | {"hardware": "h100", "precision": "bf16", "tp": 4, "batch_size": 1})
    parts = [("Why", "One.\n\nTwo."), ("Scores", scores), ("A picture", ax), ("The answer", one)]
    read = Reader(written(ms.report(parts, str(tmp_path / "x.html"))))
    text = told(read)
    assert all(
        word in text for word in ("Why", "One.", "Two.", "mfu >= 0.4", "0.416", "The answer", "time to first token")
    )
    assert [a["class"] for a in read.all("span")] == ["pass"]
    assert read.all("img")[0]["src"].startswith("data:image/svg+xml;base64,")
    assert [t for t in read.text if t == "ServingModel: llama3_1_70b on h100"]  # the title of a page without one


ONE = GRID | {"hardware": "h100", "precision": "bf16", "tp": 4}
OWN = ms.Hardware("h100", mem_bandwidth="4 TB/s", name=f"mine {HOSTILE}")
FLEET = {"model": "llama3_1_8b", "hardware": "h100", "n_accelerators": 64, "global_batch": 64, "seq_len": 2048}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda: ms.ServingModel.solve(**ONE, sample=4), ["12 configurations", "sample"]),
        (lambda: ms.ServingModel.solve(**GRID), ["72 configurations, 54 of them feasible; 20 of them, evenly thinned"]),
        (lambda: ms.ServingModel.top(3, "itl", **ONE), ["rank", "tokens per s"]),
        (lambda: ms.ServingModel.best("itl", by=["tp", "hardware"], **GRID), ["The best of each tp and hardware"]),
        (lambda: ms.ServingModel.best("itl", where="itl < '1 us'", **ONE), ["The best", "not_found"]),
        (lambda: ms.ServingModel.root("mem_bandwidth", {"itl": "20 ms"}, **ONE), ["mem bandwidth", "reached"]),
        (lambda: ms.ParallelismOptimizer.solve(**FLEET), ["What stopped how many", "2,243", "Where step time goes"]),
        (
            lambda: ms.SensitivitySolver.solve(resolver=ms.ServingModel, output="itl", **ONE),
            ["parameter", "mem_bandwidth", "gain"],
        ),
        (lambda: ms.ServingModel.solve(**ONE | {"hardware": OWN}), [f"mine {HOSTILE}", "given by the user"]),
    ],
)
def test_any_answer_has_a_page(answer, words, tmp_path):
    text = told(Reader(written(ms.report(answer(), tmp_path / "x.html"))))
    assert [w for w in words if w not in text] == []


def test_commands_are_written_of_all_models_and_of_nothing_else():
    for name, resolver in ms.RESOLVERS.items():
        short = name.removesuffix("Model").lower() if isinstance(resolver, ms.Model) else ""
        assert command._resolver(name) == short
        assert not short or grammar.named(short) is resolver


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        (lambda: ms.ServingModel.solve(**ONE), 3),
        (lambda: ms.ServingModel.solve(**ONE | {"batch_size": 8}), 1),
        (lambda: ms.ServingModel.solve(**ONE | {"hardware": OWN}), 0),  # no command line knows a device of one's own
        (lambda: ms.ServingModel.solve(**ONE, sample=4), 0),
        (lambda: ms.ServingModel.root("mem_bandwidth", {"itl": "20 ms"}, **ONE), 0),
        (lambda: ms.ParallelismOptimizer.solve(**FLEET), 0),
        (lambda: ms.SensitivitySolver.solve(resolver=ms.ServingModel, output="itl", **ONE | {"batch_size": 8}), 0),
    ],
)
def test_only_what_a_command_gives_again_has_one(answer, number, tmp_path):
    assert len(commands(Reader(written(ms.report(answer(), tmp_path / "x.html"))))) == number


def test_an_empty_front_says_why(tmp_path):
    front = ms.ServingModel.pareto(["itl", "ttft"], where="itl < '1 us'", **GRID)
    text = told(Reader(written(ms.report(front, tmp_path / "x.html"))))
    assert "No configuration is left: " in text and "itl < '1 us': " in text


@pytest.mark.parametrize(
    ("content", "path", "more", "why"),
    [
        ([], "x.html", {}, "content is empty"),
        ([3], "x.html", {}, "a report is made of Datasets, .* not int"),
        ("text", "x.pdf", {}, r"path='x.pdf': the name must end in .html"),
        ("text", "x.html", {"title": 3}, "title=3: must be text"),
    ],
)
def test_what_cannot_be_reported_is_refused(content, path, more, why, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError), match=why):
        ms.report(content, path, **more)
    assert not list(tmp_path.iterdir())


def test_without_plotly_one_line_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(ImportError, match=r"^plotly is not installed: pip install 'mlsysim-sweep\[report\]'$"):
        ms.report("text", tmp_path / "x.html")


# --- the command line ---------------------------------------------------------------------------------------

SMALL = (
    "sweep",
    "hardware=h100,gb200",
    "precision=fp8",
    "tp=4",
    "pp=1,4",
    "cp=1",
    "dp=64,256",
    "micro_batch=1",
    "recompute=none",
)


def test_sweep_writes_a_report(tmp_path):
    path = tmp_path / "out.html"
    found = CliRunner().invoke(app, [*SMALL, "--out", "none", "--report", str(path)])
    assert found.exit_code == 0, found.output
    assert f"The report is in {path}." in found.stdout.replace("\n", "") or str(path) in found.stdout
    read = Reader(path.read_text(encoding="utf-8"))
    text = told(read)
    assert all(
        w in text
        for w in ("What was swept", "The front", "What stops the others", "The best of each hardware", "Where tco goes")
    )
    assert "mlsysim solve distributed+economics+sustainability" in commands(read)[0]


@pytest.mark.parametrize(
    ("path", "why"), [("out.pdf", "must end in .html"), ("no/such/out.html", "no/such is no folder")]
)
def test_a_report_that_cannot_be_written_is_refused_before_the_sweep(path, why, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, [*SMALL, "--report", path])
    assert found.exit_code == 1 and why in found.output and not list(tmp_path.iterdir())


# --- in a browser -------------------------------------------------------------------------------------------

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--virtual-time-budget=10000",
]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_draws_it_without_a_network(page, searched, tmp_path, width):
    words = [BROWSER, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},1200"]
    words += ["--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom", page.as_uri()]
    dom = subprocess.run(words, capture_output=True, text=True, timeout=240, check=True).stdout
    assert "<title>Which device? &lt;/script&gt;" in dom  # and not hacked
    front, counts, best = searched
    plain = re.sub(r"<script.*?</script>", "", dom, flags=re.DOTALL)
    drawn = {
        m[1]: plain[m.start() : m.end() + 200_000].split('class="picture')[1]
        for m in re.finditer(r'id="(p\d[\w-]*)" class="picture', plain)
    }
    assert len(drawn) >= 4
    assert len(re.findall('<path class="point[ "]', drawn["p0"])) == front.sizes["point"]
    assert len(re.findall('<g class="point[ "]', drawn["p1"])) == int((counts["configurations"] > 0).sum())
    assert plain.count("<table") == 4 and plain.count("<td") > 40
    assert all(str(h) in plain for h in best.hardware.values)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
@pytest.mark.slow
def test_a_click_copies_the_configuration(page, tmp_path):
    """The handler of a click, called as the library calls it: the command stands below the picture, selectable."""
    probe = tmp_path / "probe.html"
    click = (
        "<script>window.addEventListener('load',function(){setTimeout(function(){var p=document.getElementById('p0');"
        "p.emit('plotly_click',{points:[{customdata:p.data[0].customdata[0]}]})},500)})</script>"
    )
    probe.write_text(page.read_text(encoding="utf-8").replace("</body>", f"{click}</body>"), encoding="utf-8")
    words = [BROWSER, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", probe.as_uri()]
    dom = subprocess.run(words, capture_output=True, text=True, timeout=240, check=True).stdout
    shown = re.search(r'<code id="p0-command" class="command">(.*?)</code>', dom)
    assert shown and html.unescape(shown[1]).startswith("mlsysim solve serving hardware=")
