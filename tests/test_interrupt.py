"""Ctrl-C and SIGTERM: every question ends, hands back what it has found so far, and leaves nothing behind."""

import json
import os
import signal
import threading
import time
from contextlib import contextmanager

import pytest
import xarray as xr
from test_cli import run
from toy import BillModel, StepModel

import mlsysim as ms
from mlsysim.resolver import compose
from mlsysim.search import Best, Counts

GRID = {
    "hardware": ["h100", "a100"],
    "global_batch": 588,
    "tp": [1, 2, 4, 7],
    "pp": [1, 7, 11],
    "dp": range(1, 60),
    "micro_batch": range(1, 9),
}
POINTS = 2 * 4 * 3 * 59 * 8
LAYOUTS = {"model": "llama3_1_70b", "hardware": "h100", "seq_len": 4096, "global_batch": 512}


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr("mlsysim.engine.run.PLAIN_TILE", 500)


def stop_at(share, error=KeyboardInterrupt):
    """A `progress` that raises as soon as so much is done."""

    def tell(done, total):
        if done >= share * total:
            raise error

    return tell


def stopped(ask, share=0.4, **asked):
    """The partial answer of a question that is interrupted."""
    with pytest.raises(KeyboardInterrupt) as caught:
        ask(progress=stop_at(share), **asked)
    return caught.value.partial


QUESTIONS = {
    "best": lambda **asked: StepModel.best("itl", by="tp", where="dp > 1", **asked),
    "top": lambda **asked: StepModel.top(5, "energy", False, **asked),
    "pareto": lambda **asked: StepModel.pareto(["itl", "energy"], **asked),
    "composition": lambda **asked: compose(StepModel, BillModel, wire={"duration": "itl"}).best("tco", **asked),
}


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("question", QUESTIONS)
def test_an_interrupt_hands_back_the_answer_of_what_is_done(question, threads):
    ask = QUESTIONS[question]
    asked = {**GRID, "plan": "plain", "block": 500, "threads": threads}
    whole, before = ask(**asked), threading.active_count()
    half, done = stopped(ask, **asked), stopped(ask, 1.0, **asked)
    assert threading.active_count() == before
    assert 0.4 * POINTS <= half.attrs["points"] < POINTS
    assert half.attrs["partial"] == f"{half.attrs['points']:,} of {POINTS:,} points"
    xr.testing.assert_equal(done, whole)
    assert ask(**asked).identical(whole) and "partial" not in whole.attrs


def test_reductions_that_are_interrupted_together_tell_of_the_same_points():
    best, counts = stopped(
        lambda **asked: StepModel.sweep([Best("itl"), Counts()], **asked), plan="plain", block=500, threads=3, **GRID
    )
    assert best.attrs["points"] == counts.attrs["points"] == counts["configurations"].sum() < POINTS
    assert best.attrs["accepted"] == counts["configurations"].sel(limit="none")


def test_a_search_under_uncertainty_hands_back_its_nominal_answer():
    asked = {**GRID, "sample": 3, "plan": "plain", "block": 500}
    for ask in (
        lambda **more: StepModel.best("itl", **more),
        lambda **more: StepModel.pareto(["itl", "energy"], **more),
    ):
        half = stopped(ask, **asked)
        assert "points" in half.attrs["partial"] and half.attrs["points"] < POINTS

        def drawn(done, total):
            if total > POINTS:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt) as caught:
            ask(progress=drawn, **asked)
        nominal = caught.value.partial
        xr.testing.assert_equal(nominal, ask(**GRID))
        assert nominal.attrs["partial"].startswith("all points at the nominal values")


def test_what_is_raised_is_what_the_caller_raised():
    class Enough(KeyboardInterrupt):
        pass

    with pytest.raises(Enough) as caught:
        StepModel.best("itl", plan="plain", block=500, progress=stop_at(0.2, Enough("thanks")), **GRID)
    assert caught.value.args == ("thanks",) and caught.value.partial.found


def test_an_optimizer_hands_back_the_questions_that_are_done():
    def second(done, total):
        seen.append((done, total))
        if len({t for _, t in seen}) == 2:
            raise KeyboardInterrupt

    seen = []
    with pytest.raises(KeyboardInterrupt) as caught:
        ms.ParallelismOptimizer.best(
            "step_time", by="n_accelerators", n_accelerators=[64, 128, 256], progress=second, **LAYOUTS
        )
    best = caught.value.partial
    whole = ms.ParallelismOptimizer.best("step_time", n_accelerators=64, **LAYOUTS)
    assert best.attrs["partial"].startswith("1 of 3 values of n_accelerators, and of the next ")
    assert best.n_accelerators.values.tolist() == [64, 128]
    assert best.step_time.values[0] == whole.step_time and best.attrs["resolver"] == "ParallelismOptimizer"
    half = stopped(ms.ParallelismOptimizer.solve, 1.0, n_accelerators=64, **LAYOUTS)
    assert half.step_time == whole.step_time and "runner_up" in half and "partial" in half.attrs


def test_what_has_no_answer_before_its_end_hands_back_none():
    assert stopped(StepModel.solve, plan="plain", **GRID) is None
    serving = {"model": "bert_large", "hardware": "h100"}
    assert stopped(ms.SensitivitySolver.solve, 0.0, output="latency", **serving) is None


def test_before_the_first_points_there_is_nothing(monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mlsysim.search.reduce.Sweep", interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        StepModel.best("itl", **GRID)
    assert caught.value.partial is None


# --- signals and the command line --------------------------------------------------------------------------


@pytest.fixture
def signalled(monkeypatch):
    """``signalled(SIGINT, 0.3)``: the command's own progress sends the signal when so much is done."""

    def at(number, share):
        def tell(done, total):
            if done >= share * total:
                os.kill(os.getpid(), number)
                time.sleep(0.1)  # the main thread takes it

        @contextmanager
        def progress(*_):
            yield tell

        monkeypatch.setattr("mlsysim.cli.commands.progress", progress)
        monkeypatch.setattr("mlsysim.cli.results.progress", progress)

    return at


TRAIN = [
    "distributed",
    "model=llama3_1_8b",
    "hardware=h100,a100",
    "tp=1:9",
    "dp=1:200",
    "global_batch=512",
    "micro_batch=1:16",
    "seq_len=4096",
    "--threads",
    "2",
]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    "command",
    [
        ["best", *TRAIN, "step_time"],
        ["top", *TRAIN, "step_time"],
        ["pareto", *TRAIN, "minimize=step_time,memory_per_device"],
    ],
)
def test_a_signal_ends_a_command_which_tells_what_it_has(signalled, command, number, code):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    signalled(number, 0.3)
    result = run(*command, "--json")
    assert result.exit_code == code, result.output
    answer = json.loads(result.stdout)
    points = answer["attrs"]["points"]
    assert result.stderr.splitlines()[-1] == f"stopped: this is from {points:,} of 47,760 points"
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


def test_the_same_command_goes_on_from_the_folder(signalled, tmp_path):
    commands = [
        ["best", *TRAIN, "step_time"],
        ["top", *TRAIN, "step_time"],
        ["pareto", *TRAIN, "minimize=step_time,memory_per_device"],
        ["sweep", *TRAIN, "minimize=step_time,memory_per_device", "--out", "none"],
    ]
    for i, command in enumerate(commands):
        whole, folder = run(*command), tmp_path / str(i)
        signalled(signal.SIGINT, 0.3)
        first = run(*command, "--resume", str(folder))
        assert first.exit_code == 130
        assert first.stderr.splitlines()[-1].endswith(f"points; the same command goes on from {folder}")
        written = {p: p.stat().st_mtime_ns for p in folder.glob("part-*")}
        signalled(signal.SIGINT, 2.0)
        again = run(*command, f"resume={folder}")
        assert again.exit_code == whole.exit_code == 0, again.stderr
        if command[0] != "sweep":  # which tells the time that it took
            assert again.stdout == whole.stdout
        assert written and all(p.stat().st_mtime_ns == at for p, at in written.items())
        other = run(*command, "where=dp > 1", "--resume", str(folder))
        assert other.exit_code == 1 and other.stderr.startswith(
            f"error: resume='{folder}': it holds parts of another call"
        )


def test_half_a_front_replaces_nothing(signalled, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    signalled(signal.SIGINT, 0.3)
    assert run("sweep", *TRAIN, "minimize=step_time,memory_per_device").exit_code == 130
    assert list(tmp_path.iterdir()) == []
    assert run("sweep", *TRAIN, "minimize=step_time,memory_per_device", "--out", "half.csv").exit_code == 130
    assert [p.name for p in tmp_path.iterdir()] == ["half.csv"]


def test_a_command_that_has_nothing_yet_says_so(monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mlsysim.search.reduce.Sweep", interrupt)
    result = run("best", *TRAIN, "step_time")
    assert result.exit_code == 130 and result.stdout == ""
    assert result.stderr == "stopped before anything was found\n"
