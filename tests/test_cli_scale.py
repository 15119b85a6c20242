"""`--workers`, `--scheduler`, `--resume` and `--store` of the command line."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import xarray as xr
from test_cli import answer, fails, run

import mlsysim as ms
from mlsysim.cli import crew

GRID = ("serving", "model=llama3_1_8b", "hardware=h100,a100", "seq_len=2048", "batch_size=1:51")
INPUTS = {"model": "llama3_1_8b", "hardware": ["h100", "a100"], "seq_len": 2048, "batch_size": range(1, 51)}
QUESTIONS = {
    "best": ("best", *GRID, "itl", "--by", "hardware"),
    "top": ("top", *GRID, "itl", "-k", "3"),
    "pareto": ("pareto", *GRID, "minimize=itl", "maximize=tokens_per_s"),
    "optimizer": ("solve", "batching", "model=llama3_1_8b", "hardware=h100", "seq_len=2048", "target_itl=20ms"),
}


@pytest.fixture
def threads(monkeypatch):
    """Threads in place of processes, and how many of them."""
    asked = []

    def pool(number, mp_context, initializer):
        assert mp_context.get_start_method() == "spawn" and initializer is crew._leave_signals
        asked.append(number)
        return ThreadPoolExecutor(number)

    monkeypatch.setattr("concurrent.futures.ProcessPoolExecutor", pool)
    return asked


@pytest.mark.parametrize("question", QUESTIONS)
def test_workers_say_what_threads_say(question, threads, tmp_path):
    words = QUESTIONS[question]
    whole = run(*words)
    assert whole.exit_code == 0, whole.stderr
    shared = run(*words, "--workers", "2", "--resume", str(tmp_path / "parts"))
    assert shared.exit_code == 0 and shared.stdout == whole.stdout and threads == [2], shared.stderr
    assert list((tmp_path / "parts").glob("part-*"))
    again = run(*words, "--workers", "3", "--resume", str(tmp_path / "parts"))
    assert again.stdout == whole.stdout and threads == [2, 3]


def test_a_sweep_by_workers(threads):
    words = ("sweep", *GRID, "minimize=itl", "maximize=tokens_per_s", "--out", "none", "--json")
    told = [json.loads(run(*words, *more).stdout) for more in ((), ("--workers", "2"))]
    assert told[0]["front"] == told[1]["front"] and told[0]["counts"] == told[1]["counts"] and threads == [2]


def test_two_processes_write_a_store(tmp_path):
    path = str(tmp_path / "run.zarr")
    more = ("--keep", "itl", "--store", path, "--resume", str(tmp_path / "parts"))
    told = run("solve", *GRID, *more, "--workers", "2")
    assert told.exit_code == 0, told.stderr
    assert (
        told.stdout.startswith("100 points, 100 of them feasible, with itl, ")
        and f"xarray.open_zarr({path!r})" in told.stdout
    )
    whole = ms.ServingModel.solve(keep=["itl"], **INPUTS)
    assert xr.open_zarr(path).itl.equals(whole.itl)
    again = answer("solve", *GRID, *more)
    assert again == {"store": path, "points": 100, "feasible": 100, "outputs": ["itl", "feasible", "limit"]}


def test_where_nothing_works_the_store_says_why(tmp_path):
    words = ("serving", "model=llama3_1_405b", "hardware=h100", "seq_len=2048", "batch_size=1,2")
    told = run("solve", *words, "--store", str(tmp_path / "run.zarr"))
    assert told.exit_code == 2 and told.stderr.startswith(
        "nothing feasible: no point works; `limit` in the store says why"
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("best", *GRID, "itl", "--workers", "two"), "workers='two': must be a whole number"),
        (("best", *GRID, "itl", "--workers", "0"), "workers=0: must be at least 1"),
        (("best", *GRID, "itl", "--workers", "2", "--scheduler", "tcp://head:1"), "a scheduler has workers of its own"),
        (("best", *GRID, "itl", "--workers", "2", "--threads", "2"), "threads=2 is for this process alone"),
        (("solve", *GRID, "--resume", "parts"), "resume='parts' says which parts of a store are written"),
        (("solve", *GRID, "--store", "x.zarr", "--out", "y.nc"), "out=y.nc: the answer is in the store"),
        (
            (*QUESTIONS["optimizer"], "--store", "x.zarr"),
            "store=x.zarr: is for every point of a grid; BatchingOptimizer",
        ),
        (("solve", *GRID, "then", "economics", "--store", "x.zarr"), "store: is for one question, and not for a chain"),
    ],
)
def test_what_cannot_be_is_one_line(words, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert reason in fails(*words)
    assert not list(tmp_path.iterdir())


def test_a_scheduler(monkeypatch):
    def refuse(address, timeout):
        raise OSError("Timed out trying to connect")

    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(Client=refuse))
    told = fails("best", *GRID, "itl", "--scheduler", "tcp://head:8786")
    assert told == "scheduler=tcp://head:8786: no scheduler of dask answers there (Timed out trying to connect)"
    monkeypatch.setitem(
        sys.modules, "distributed", SimpleNamespace(Client=lambda address, timeout: ThreadPoolExecutor(1))
    )
    assert run(*QUESTIONS["best"], "--scheduler", "tcp://head:8786").stdout == run(*QUESTIONS["best"]).stdout
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert fails("best", *GRID, "itl", "scheduler=x").endswith("pip install 'mlsysim-sweep[distributed]'")
