"""What a call tells while it runs: a bar for ``progress=True``, points to a function, nothing else is taken."""

import os
import re
import sys
from unittest import mock

import pytest
from terminal import runner
from test_interrupt import GRID, StepModel

import mlsysim as ms
from mlsysim import sizes
from mlsysim.cli.commands import app
from mlsysim.engine.progress import Bar, short
from mlsysim.search import Best, Counts, Pareto

SERVE = {"model": "llama3_1_8b", "hardware": ["h100", "a100"], "batch_size": range(1, 9)}
ASK = {
    "solve": lambda **p: ms.ServingModel.solve(seq_len=512, **SERVE, **p),
    "quantile": lambda **p: ms.ServingModel.solve(seq_len=512, quantile=0.5, sample=4, **SERVE, **p),
    "best": lambda **p: ms.ServingModel.best("itl", seq_len=512, **SERVE, **p),
    "best of draws": lambda **p: ms.ServingModel.best("itl", seq_len=512, sample=4, **SERVE, **p),
    "top": lambda **p: ms.ServingModel.top(3, "itl", seq_len=512, **SERVE, **p),
    "pareto": lambda **p: ms.ServingModel.pareto("itl", "tokens_per_s", seq_len=512, **SERVE, **p),
    "sweep": lambda **p: ms.ServingModel.sweep(
        [Best("itl"), Pareto("itl", "tokens_per_s"), Counts()], seq_len=512, **SERVE, **p
    ),
    "root": lambda **p: ms.ServingModel.root("mem_bandwidth", {"itl": "20 ms"}, seq_len=512, **SERVE, **p),
    "sensitivity": lambda **p: ms.SensitivitySolver.solve(ms.ServingModel, output="itl", seq_len=512, **SERVE, **p),
    "synthesis": lambda **p: ms.SynthesisSolver.solve(
        ms.ServingModel, targets={"itl": "20 ms"}, unknown="mem_bandwidth", seq_len=512, model="llama3_1_8b", **p
    ),
    "batching": lambda **p: ms.BatchingOptimizer.solve(model="llama3_1_8b", hardware="h100", target_itl="20 ms", **p),
    "parallelism": lambda **p: ms.ParallelismOptimizer.best(
        model="llama3_1_8b",
        hardware="h100",
        n_accelerators=[8, 16],
        seq_len=2048,
        global_batch=64,
        by="n_accelerators",
        **p,
    ),
    "placement": lambda **p: ms.PlacementOptimizer.top(
        2, hardware="h100", n_accelerators=8, duration="1 day", region=["fra", "usa", "deu"], **p
    ),
}
SEARCHES = {"best", "best of draws", "top", "pareto", "sweep", "batching", "parallelism", "placement"}


@pytest.mark.parametrize("question", ASK)
def test_a_bar_counts_to_the_end_and_tells_the_best_so_far(question, capsys):
    ASK[question](progress=True)
    told = capsys.readouterr()
    lines = told.err.splitlines()
    counts = [re.search(r"([\d.]+ ?[kM]?) of ([\d.]+ ?[kM]?) points", line) for line in lines]
    counts = [c for c in counts if c]
    assert told.out == "" and counts and all(c[1] == c[2] for c in counts)
    assert ("best so far: " in told.err) == (question in SEARCHES)


def test_the_best_so_far_is_at_the_end_the_best(capsys):
    best = StepModel.best("itl", progress=True, **GRID)
    assert f"best so far: itl {sizes.text(float(f'{float(best.itl):.4g}'), 's')}" in capsys.readouterr().err
    StepModel.best("itl", where="itl < 0", progress=True, **GRID)
    assert "best so far" not in capsys.readouterr().err


@pytest.mark.parametrize("question", ASK)
@pytest.mark.parametrize("wrong", [1, "yes", 0.5, [print]])
def test_anything_else_is_refused_in_one_line(question, wrong):
    with pytest.raises(TypeError, match=r"^progress=.*must be True, for a bar, or a function") as caught:
        ASK[question](progress=wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("question", ASK)
def test_nothing_is_told_to_nobody(question, capsys):
    for nobody in (None, False):
        ASK[question](progress=nobody)
    told = []
    ASK[question](progress=lambda done, total: told.append((done, total)))
    assert capsys.readouterr().err == "" and told and told[-1][0] == told[-1][1]


def test_a_bar_ends_where_a_call_is_stopped(capsys, monkeypatch):
    count = Bar.__call__

    def stop(self, done, total):
        count(self, done, total)
        raise KeyboardInterrupt

    monkeypatch.setattr(Bar, "__call__", stop)
    with pytest.raises(KeyboardInterrupt) as caught:
        StepModel.best("itl", plan="plain", block=500, progress=True, **GRID)
    assert "of" in caught.value.partial.attrs["partial"] and "points" in capsys.readouterr().err


def test_another_pass_begins_anew():
    with Bar() as bar:
        for done, total in ((5, 10), (10, 10), (3, 20), (20, 20)):
            bar.next = 0.0
            bar(done, total)
            task = bar.drawn.tasks[0]
            assert (task.completed, task.total) == (done, total)
    assert short(999) == "999" and short(3.1e9) == "3.1 G"


def test_calibration_counts_its_fits(capsys):
    from test_calibration import MEASURED, pd

    rows = pd.read_csv(MEASURED / "serving.csv")
    rows = rows[rows.engine.str.startswith("LMDeploy")]
    ms.calibrate(ms.ServingModel, rows, fit="serving_level", bootstrap=0, holdout=0.5, progress=True)
    assert "1 of 1 fits" in capsys.readouterr().err
    ms.calibrate(ms.ServingModel, rows, fit="serving_level", bootstrap=0, holdout=None, progress=True)
    assert "fits" not in capsys.readouterr().err


def test_the_command_line_draws_the_same_bar_on_a_terminal_and_nowhere_else(monkeypatch):
    drawn = []
    monkeypatch.setattr(Bar, "__call__", lambda self, done, total: drawn.append((self.so_far and self.so_far(), done)))
    words = ["best", "serving", "itl", "model=llama3_1_8b", "hardware=h100", "seq_len=512", "batch_size=1:9"]
    assert runner().invoke(app, words).exit_code == 0 and not drawn
    monkeypatch.setattr("mlsysim.cli.results.on_terminal", lambda: True)
    assert runner().invoke(app, words).exit_code == 0 and drawn[-1][0].startswith("best so far: itl ")
    drawn.clear()
    assert runner().invoke(app, ["sweep", *words[1:2], *words[3:], "minimize=itl", "--out", "none"]).exit_code == 0
    assert drawn[-1][0].startswith("best so far: itl ")
    drawn.clear()
    assert runner().invoke(app, ["root", "serving", "mem_bandwidth", "target=itl=20ms", *words[3:]]).exit_code == 0
    assert drawn == [(None, 8)]


@pytest.mark.slow
def test_a_notebook_shows_it_without_widgets(tmp_path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    ask = "import mlsysim as ms\n"
    ask += "d = ms.ServingModel.best('itl', model='llama3_1_8b', hardware='h100', seq_len=range(1, 99), progress=True)"
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(ask)])
    with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
        nbclient.NotebookClient(book, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    (shown,) = book.cells[0].outputs
    assert "98 of 98 points" in shown.data["text/html"] and "best so far: itl" in shown.data["text/html"]
