"""A search that was stopped goes on from the parts in its folder, to the same answer."""

import errno
import itertools
import os
import shutil
import textwrap

import numpy as np
import pytest
import xarray as xr
from forked import Child
from test_interrupt import GRID, LAYOUTS, stop_at
from toy import BillModel, ClimbModel, StepModel

import mlsysim as ms
from mlsysim.resolver import compose
from mlsysim.search import Best, Counts, Pareto, Top, parts
from mlsysim.search.reduce import Room

RUN = {"plan": "plain", "block": 300}


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr("mlsysim.engine.run.PLAIN_TILE", 200)


def files(folder):
    """The parts in a folder, and when each was written."""
    return {p.name: p.stat().st_mtime_ns for p in folder.glob("part-*")}


QUESTIONS = {
    "best": lambda **asked: StepModel.best("itl", **asked),
    "best, by, where, ties": lambda **asked: StepModel.best(
        "n_accelerators", False, by=["hardware", "tp"], where=["dp > 3", "itl < 30 s"], ties=["energy"], **asked
    ),
    "top": lambda **asked: StepModel.top(70, "energy", by="pp", **asked),
    "pareto": lambda **asked: StepModel.pareto(["itl", "energy"], ["tokens_per_s"], where="dp > 1", **asked),
    "thinned": lambda **asked: StepModel.pareto(["itl", "memory_per_device"], epsilon=0.1, **asked),
    "stage": lambda **asked: ClimbModel.best("itl", by="dp", **asked),
    "composition": lambda **asked: compose(StepModel, BillModel, wire={"duration": "itl"}).pareto(
        ["tco", "itl"], **asked
    ),
    "sweep": lambda **asked: xr.merge(
        [
            ds.rename({n: f"{i} {n}" for n in [*ds.variables, *ds.dims]})
            for i, ds in enumerate(
                StepModel.sweep(
                    [
                        Best("itl"),
                        Top(3, "energy"),
                        Pareto(["itl", "energy"]),
                        Counts(by="tp", where="dp > 3"),
                        Counts(),
                    ],
                    **asked,
                )
            )
        ],
        combine_attrs="drop",
    ),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_search_goes_on_to_the_answer_of_one_that_was_not_stopped(question, tmp_path):
    ask, folder = QUESTIONS[question], tmp_path / "runs" / "one"
    whole = ask(**RUN, **GRID)
    written: dict = {}
    for share, threads in ((0.2, 1), (0.5, 3), (0.8, 2)):
        with pytest.raises(KeyboardInterrupt):
            ask(**RUN, **GRID, threads=threads, resume=folder, progress=stop_at(share))
        assert written.items() <= files(folder).items() and len(files(folder)) > len(written)
        written = files(folder)
    assert ask(**RUN, **GRID, resume=str(folder), threads=2).identical(whole)
    assert written.items() <= files(folder).items()
    before = files(folder)
    assert ask(**RUN, **GRID, resume=folder).identical(whole) and files(folder) == before
    assert sorted(p.name for p in folder.iterdir()) == ["call.json", *sorted(before)]


def test_what_takes_several_searches_goes_on_too(tmp_path):
    layouts = {**LAYOUTS, "n_accelerators": [64, 128]}
    asks = {
        "best": lambda **more: StepModel.best("itl", sample=3, tp=[1, 2, 7], micro_batch=range(1, 40), **more),
        "front": lambda **more: StepModel.pareto(
            ["itl", "energy"], sample=3, tp=[1, 2], micro_batch=range(1, 9), **more
        ),
        "split": lambda **more: ms.ParallelismOptimizer.solve(**layouts, **more),
    }
    for name, ask in asks.items():
        toy = {} if name == "split" else {"hardware": "h100", "global_batch": 588}
        whole = ask(**toy)
        if name == "split":
            with pytest.raises(KeyboardInterrupt) as caught:
                ask(resume=tmp_path / name, progress=stop_at(0.3))
            assert caught.value.partial is not None
        assert ask(resume=tmp_path / name, **toy).identical(whole)
        before = {f: files(f) for f in (tmp_path / name).iterdir()}
        assert len(before) == 2 and all(before.values())
        assert ask(resume=tmp_path / name, **toy).identical(whole)
        assert {f: files(f) for f in (tmp_path / name).iterdir()} == before


# --- whose parts they are ------------------------------------------------------------------------------------


def best(folder, objective="itl", **changed):
    return StepModel.best(objective, resume=folder, **{**RUN, **GRID, **changed})


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (lambda folder: best(folder, "energy", maximize=False), "another call: Best('itl'"),
        (lambda folder: best(folder, where="dp > 1"), "another call"),
        (lambda folder: best(folder, by="tp"), "by=('tp',)"),
        (lambda folder: best(folder, dp=range(1, 70)), "dp (69)"),
        (lambda folder: best(folder, dp=range(2, 61)), "other inputs or other data"),
        (lambda folder: best(folder, global_batch=589), "other inputs or other data"),
        (lambda folder: best(folder, hardware=["h100", "mi300x"]), "other inputs or other data"),
        (lambda folder: best(folder, plan="generic"), "another plan"),
        (lambda folder: ClimbModel.best("itl", resume=folder, **RUN, **GRID), "of ClimbModel"),
        (lambda folder: StepModel.top(1, "itl", resume=folder, **RUN, **GRID), "now asked: Top(1, 'itl'"),
        (lambda folder: StepModel.best("itl", resume=folder, sample=3, **GRID), "another call"),
    ],
)
def test_the_folder_of_something_else_is_refused(tmp_path, interpreted, ask, reason):
    best(tmp_path)
    before = files(tmp_path)
    with interpreted(), pytest.raises(ValueError) as told:
        ask(tmp_path)
    assert reason in str(told.value) and str(tmp_path) in str(told.value) and "\n" not in str(told.value)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("changed", "value", "reason"),
    [
        ("mlsysim.search.parts.__version__", "9.9", "it is of mlsysim 0.1.0, and this is 9.9"),
        ("mlsysim.search.parts.FORMAT", 99, "another version of mlsysim (format 1, not 99)"),
        ("mlsysim.engine.graph.digest", lambda columns: "other", "under other equations"),
    ],
)
def test_another_version_is_refused(tmp_path, monkeypatch, changed, value, reason):
    best(tmp_path)
    monkeypatch.setattr(changed, value)
    with pytest.raises(ValueError) as told:
        best(tmp_path)
    assert reason in str(told.value)


def test_a_folder_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    for folder, error, reason in (
        (tmp_path / "file", ValueError, "File exists"),
        (tmp_path / "thesis", ValueError, "it holds other things (chapter.tex)"),
        (3, TypeError, "resume=3: must be the path of a folder"),
        ("", TypeError, "must be the path of a folder"),
    ):
        with pytest.raises(error) as told:
            best(folder)
        assert reason in str(told.value) and str(folder) in str(told.value)
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]


def test_a_reduction_that_cannot_be_written_down_is_refused(tmp_path):
    class Mine:
        by = ()

        def columns(self, program):
            return [program.output("itl")]

        def room(self, program, cells):
            return Room(0.0, 0.0)

        def start(self, cells):
            return []

        def finish(self, states, program, cells):
            return states

    with pytest.raises(TypeError) as told:
        StepModel.sweep([Mine()], resume=tmp_path / "runs", **GRID)
    assert "Mine has no pack, unpack and merge" in str(told.value) and not (tmp_path / "runs").exists()


def test_the_parts_are_the_same_on_any_threads_and_whatever_is_compiled(tmp_path, monkeypatch):
    best(tmp_path, threads=1)
    before = files(tmp_path)
    best(tmp_path, threads=5, block=77)
    assert files(tmp_path) == before
    program, plans = StepModel.program(**GRID), set()
    monkeypatch.setattr("mlsysim.engine.run.SMALL", 100)
    monkeypatch.setattr("mlsysim.engine.run.WORTH", 0.0)
    for kept in (True, False):
        monkeypatch.setattr("mlsysim.engine.cache.kept", lambda *_, kept=kept: kept)
        monkeypatch.setattr("mlsysim.engine.cache.compiled", lambda *_: lambda *_: None)
        plans.add(parts.Sweep(program, [program.output("itl")], repeatable=True).plan)
    assert len(plans) == 1


# --- what can go wrong ---------------------------------------------------------------------------------------


def test_damaged_and_foreign_files_are_ignored_and_computed_again(tmp_path):
    whole = best(tmp_path / "one")
    best(tmp_path / "two", dp=range(2, 61))
    names = sorted(files(tmp_path / "one"))
    paths = [tmp_path / "one" / name for name in names]
    content = paths[0].read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    paths[0].write_bytes(bytes(flipped))
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    paths[2].write_bytes(b"")
    shutil.copy(tmp_path / "two" / names[3], paths[3])  # of another call
    shutil.copy(paths[5], paths[4])  # of another part
    np.savez(paths[6], **{"0.keys": np.array([{"a": 1}], dtype=object)})  # a pickle
    (tmp_path / "one" / ".part-left").write_bytes(b"half")
    before = files(tmp_path / "one")
    assert best(tmp_path / "one").identical(whole)
    assert {n for n, at in files(tmp_path / "one").items() if before[n] != at} == {names[i] for i in (0, 1, 2, 3, 4, 6)}


def test_a_full_disk_is_told_once_and_the_search_goes_on(tmp_path, monkeypatch):
    whole, writes = best(None), itertools.count()

    def full(handle):
        if next(writes) >= 5:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.warns(
            UserWarning, match="No space left on device; the search goes on, but saves nothing more"
        ) as told:
            answer = best(tmp_path, threads=3)
    assert len(told) == 1 and answer.identical(whole)
    assert len(files(tmp_path)) == 4 and not list(tmp_path.glob(".part-*"))
    assert best(tmp_path, threads=3).identical(whole)


KILLED = """
    import os, random, sys
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    from unittest import mock
    from test_interrupt import GRID
    from toy import StepModel
    from mlsysim.search import Best, Counts, Pareto, Top
    from mlsysim.search.parts import Parts

    folder = Path(sys.argv[1])
    done, log = Parts._done, os.open(folder.with_suffix(".log"), os.O_RDWR | os.O_CREAT | os.O_APPEND)
    asked = dict(reductions=[Best("itl", by="tp"), Top(5, "energy"), Pareto(["itl", "energy"]), Counts()], plan="plain", **GRID)
    fsync, replace = os.fsync, os.replace

    def run(seed):
        left = random.Random(seed).randrange(1, 30)

        def step(*_):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), 9)

        def around(act):
            def acted(*args):
                step(), act(*args), step()
            return acted

        with mock.patch("os.fsync", around(fsync)), mock.patch("os.replace", around(replace)):
            StepModel.sweep(**asked, threads=1 + seed % 3, resume=folder, progress=step)

    def computed(parts, own, states, span):
        os.write(log, (parts.name[span] + " ").encode())
        done(parts, own, states, span)

    def names():
        "Of the parts that were computed since this was asked."
        found = os.pread(log, 1 << 20, 0).decode().split()
        os.ftruncate(log, 0)
        return found

    Parts._done = computed
    whole, before, killed = StepModel.sweep(**asked), dict(), 0
    for seed in range(10):
        child = os.fork()
        if child == 0:
            run(seed)
            os._exit(0)
        killed += os.waitpid(child, 0)[1] == 9
        now = {{p.name: p.stat().st_mtime_ns for p in folder.glob("part-*")}}
        assert before.items() <= now.items() and before.keys().isdisjoint(names())
        before = now
    assert killed > 7 and 5 < len(before) < 32, (killed, len(before))
    answer = StepModel.sweep(**asked, resume=folder)
    assert all(a.identical(b) for a, b in zip(answer, whole, strict=True))
    assert before.items() <= {{p.name: p.stat().st_mtime_ns for p in folder.glob("part-*")}}.items()
    assert sorted([*before, *names()]) == sorted(p.name for p in folder.glob("part-*"))
    print("same")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_search_that_is_killed_loses_the_parts_in_hand_and_no_other(tmp_path):
    script = textwrap.dedent(KILLED).format(tests=os.path.dirname(__file__))
    script = script.replace(
        "whole, before", "mock.patch('mlsysim.engine.run.PLAIN_TILE', 200).start()\nwhole, before", 1
    )
    script = f"import sys; sys.argv[1:] = [{str(tmp_path)!r}]\n{script}"
    assert Child(script).finish() == (0, "same\n", "")
