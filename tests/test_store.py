"""A store holds what `solve` answers, whoever wrote which part of it, and whenever."""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xarray as xr
from test_interrupt import GRID, stop_at
from test_workers import Pickling, rows
from toy import ClimbModel, StepModel

import mlsysim as ms
from mlsysim.engine.memory import TooLarge
from mlsysim.search import store as parted

SMALL = {**GRID, "dp": range(1, 9)}
CALLS = {
    "grid": lambda **more: StepModel.solve(**SMALL, **more),
    "nest": lambda **more: StepModel.solve(plan="nest", **SMALL, **more),
    "stage": lambda **more: ClimbModel.solve(**SMALL, keep=["itl", "energy"], **more),
    "points": lambda **more: StepModel.solve(points=rows(9000), global_batch=[588, 1176], **more),
    "points, nest": lambda **more: StepModel.solve(points=rows(9000), global_batch=588, plan="nest", **more),
    "samples": lambda **more: StepModel.solve(**{**SMALL, "hardware": "h100"}, sample=5, **more),
    "given outputs": lambda **more: StepModel.solve(**SMALL, n_accelerators=[300, 600], **more),
    "one point": lambda **more: StepModel.solve(hardware="h100", global_batch=588, **more),
    "serving": lambda **more: ms.ServingModel.solve(
        model="llama3_1_8b", hardware=["h100", "mi300x"], tp=[1, 2], batch_size=range(1, 99), seq_len=2048, **more
    ),
}


@pytest.fixture(autouse=True)
def small_regions(monkeypatch):
    monkeypatch.setattr(parted, "REGION", 9000)
    monkeypatch.setattr(parted, "LEAST", 9000)


@pytest.mark.parametrize("call", CALLS)
def test_a_store_and_workers_give_what_solve_gives(call, tmp_path):
    whole, path = CALLS[call](), tmp_path / "run.zarr"
    client, told = Pickling(), []
    with client.pool:
        assert CALLS[call](client=client).identical(whole)
        answer = CALLS[call](store=path, client=client, progress=lambda *at: told.append(at))
    assert answer.identical(whole) and list(answer.data_vars) == list(whole.data_vars)
    assert all(answer[name].dtype == whole[name].dtype for name in whole.variables)
    assert told[-1][0] == told[-1][1] and (call == "one point" or len(told) > 3)
    stored = xr.open_zarr(path)
    assert all(answer[name].chunks or not values.ndim for name, values in stored.data_vars.items())  # nothing is loaded
    for name, values in stored.data_vars.items():  # over the axes on which it varies, and no chunk is shared
        assert values.broadcast_like(whole[name]).transpose(*whole.dims).identical(whole[name])
        varies = [d for d, step in zip(whole[name].dims, whole[name].values.strides) if step]
        assert list(values.dims) == varies, name


def test_threads_of_one_process_write_it_too(tmp_path):
    whole = StepModel.solve(**SMALL)
    assert StepModel.solve(**SMALL, store=str(tmp_path / "run.zarr"), threads=3).identical(whole)


@pytest.mark.parametrize("most", [1, 100, 5000, 1e9])
def test_regions_cover_the_grid_once_and_are_no_larger_than_asked(most):
    program = StepModel.program(**SMALL)
    nodes = {name: program.output(name) for name in ("itl", "n_accelerators", "feasible")}
    regions, seen = parted.cut(program, nodes, most), np.zeros(program.shape, dtype=int)
    for number, part in regions.parts():
        seen[part] += 1
        assert seen[part].size * 8 <= max(most, 8), number
    assert (seen == 1).all()
    parted_ones = [i for i, (n, m) in enumerate(zip(regions.lengths.values(), regions.sizes.values())) if n < m]
    assert parted_ones == list(range(len(parted_ones)))  # the outermost axes


# --- with resume ---------------------------------------------------------------------------------------------


def ask(tmp_path, **changed):
    return StepModel.solve(**{"store": tmp_path / "run.zarr", "resume": tmp_path / "parts", **SMALL, **changed})


def done(tmp_path):
    return {p.name: p.stat().st_mtime_ns for p in (tmp_path / "parts").glob("part-*")}


def test_regions_that_are_written_are_never_done_again(tmp_path, monkeypatch):
    whole, did, do = StepModel.solve(**SMALL), [], parted.Storing.do

    def counted(self, part, hint):
        did.append(part[0])
        return do(self, part, hint)

    monkeypatch.setattr(parted.Storing, "do", counted)
    for share in (0.2, 0.6):
        written = {int(name[-6:]) for name in done(tmp_path) if name[-1].isdigit()}
        did.clear()
        with pytest.raises(KeyboardInterrupt):
            ask(tmp_path, progress=stop_at(share), threads=2)
        assert did and written.isdisjoint(did)
    before, written = done(tmp_path), {int(name[-6:]) for name in done(tmp_path) if name[-1].isdigit()}
    did.clear()
    with ThreadPoolExecutor(2) as client:
        assert ask(tmp_path, client=client).identical(whole)
    assert did and written.isdisjoint(did) and before.items() <= done(tmp_path).items()
    did.clear()
    assert ask(tmp_path).identical(whole) and not did


def test_a_store_that_was_begun_is_laid_out_again(tmp_path, monkeypatch):
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(xr.Dataset, "to_zarr", lambda *_, **__: (tmp_path / "run.zarr").mkdir() or stop_at(0.0)(1, 1))
        ask(tmp_path)
    (tmp_path / "run.zarr" / "half").write_text("")
    assert ask(tmp_path).identical(StepModel.solve(**SMALL))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"dp": range(2, 10)}, "other inputs or other data"),
        ({"keep": ["itl"]}, "another call: solve(itl, tokens_per_s"),
        ({"dp": range(1, 10)}, "dp (9)"),
        ({"store": "other.zarr"}, "other.zarr"),
    ],
)
def test_parts_of_another_store_are_refused(changed, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ask(tmp_path)
    before = done(tmp_path)
    with pytest.raises(ValueError) as told:
        ask(tmp_path, **changed)
    assert reason in str(told.value) and "\n" not in str(told.value) and done(tmp_path) == before


def test_another_version_is_refused(tmp_path, monkeypatch):
    ask(tmp_path)
    monkeypatch.setattr("mlsysim.search.parts.__version__", "9.9")
    with pytest.raises(ValueError, match=r"it is of mlsysim 0.1.0, and this is 9.9"):
        ask(tmp_path)


# --- what goes wrong -----------------------------------------------------------------------------------------


def test_a_store_that_is_there_is_never_touched(tmp_path):
    path = tmp_path / "run.zarr"
    path.mkdir()
    assert StepModel.solve(**SMALL, store=path).identical(StepModel.solve(**SMALL))  # an empty folder is none
    for more in ({}, {"resume": tmp_path / "new"}):
        with pytest.raises(ValueError, match=r"run.zarr'.*: is there already; name another, or delete it"):
            StepModel.solve(**SMALL, store=path, **more)
    assert not (tmp_path / "new").exists()


def test_a_store_that_is_gone_is_told(tmp_path):
    ask(tmp_path)
    (tmp_path / "run.zarr").rename(tmp_path / "moved.zarr")
    with pytest.raises(ValueError, match=r"run.zarr'.*: is gone, of which .*parts says what is written"):
        ask(tmp_path)


@pytest.mark.parametrize(
    ("more", "error", "reason"),
    [
        ({"store": 3}, TypeError, "store=3: must be the path of a store"),
        ({"store": "no/such/folder/under/a/file.zarr"}, ValueError, "file.zarr"),
        ({"resume": "parts"}, TypeError, "resume='parts' says which parts of a store are written: give store= too"),
        ({"store": "run.zarr", "quantile": 0.5}, TypeError, "a store holds each of them, sample=n"),
        ({"store": "run.zarr", "client": 3}, TypeError, "client=3: must be an executor"),
        ({"store": "run.zarr", "keep": ["nothing"]}, ValueError, "has no output 'nothing'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(more, error, reason, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no").write_text("")
    with pytest.raises(error) as told:
        StepModel.solve(**SMALL, **more)
    assert reason in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("package", ["zarr", "dask.array"])
def test_without_its_extra_a_store_says_what_to_install(package, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"is not installed: pip install 'mlsysim-sweep\[store\]'"):
        StepModel.solve(**SMALL, store=tmp_path / "run.zarr")


def test_what_would_not_fit_in_memory_is_written(tmp_path, monkeypatch):
    for module in ("mlsysim.engine.solve", "mlsysim.search.store"):
        monkeypatch.setattr(f"{module}.free_memory", lambda: 1 << 16)
    with pytest.raises(TooLarge, match=r"or write them to a store \(store='run.zarr'\)"):
        StepModel.solve(**SMALL)
    assert StepModel.solve(**SMALL, store=tmp_path / "run.zarr", threads=1).sizes["dp"] == 8
    assert threading.active_count() < 50
