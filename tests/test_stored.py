"""`ds.mlsysim`: a stored answer gives what the sweep would have given, its configurations and its files."""

import argparse
import json
import pickle
import shlex
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from answers import answer

import mlsysim as ms
from mlsysim.engine.label import Shown
from mlsysim.schema.variables import VARIABLES
from mlsysim.stored import launch
from mlsysim.stored.shown import quick

GRID = {
    "model": "llama3_1_70b",
    "hardware": ["h100", "a100", "mi300x"],
    "tp": [1, 2, 4, 8],
    "batch_size": [1, 7, 64],
    "seq_len": [512, 2048],
}
STORED = ms.ServingModel.solve(**GRID)


def same(one, other):
    """Every variable and coordinate, dims and all."""
    assert set(one.variables) == set(other.variables)
    for name in other.variables:
        a, b = (ds[name].reset_coords(drop=True) for ds in (one, other))
        assert set(a.dims) == set(b.dims), name
        xr.testing.assert_equal(a.transpose(*b.dims), b)
        assert a.attrs.get("units") == b.attrs.get("units"), name


@pytest.mark.parametrize("by", [(), "hardware", ("hardware", "tp"), ["seq_len", "batch_size", "tp"]])
@pytest.mark.parametrize(("objective", "maximize"), [("itl", None), ("tokens_per_s", None), ("n_accelerators", False)])
def test_best_and_top_are_those_of_the_sweep(objective, maximize, by):
    """`n_accelerators` has ties everywhere."""
    same(STORED.mlsysim.best(objective, maximize, by), ms.ServingModel.best(objective, maximize, by, **GRID))
    same(STORED.mlsysim.top(3, objective, maximize, by), ms.ServingModel.top(3, objective, maximize, by, **GRID))


def test_attributes_and_conditions_are_alike():
    ours = STORED.mlsysim.best("itl", where=STORED.itl > 0.03)
    theirs = ms.ServingModel.best("itl", where="itl > 30 ms", **GRID)
    same(ours, theirs)
    assert all(ours.attrs[k] == theirs.attrs[k] for k in ("points", "accepted", "objective", "resolver", "data"))
    nothing = STORED.mlsysim.best("itl", by="hardware", where=STORED.itl > 1e9)
    same(nothing, ms.ServingModel.best("itl", by="hardware", where="itl > 30 years", **GRID))
    assert (
        not nothing.found.any()
        and np.isnan(nothing.itl).all()
        and (nothing.mlsysim.labels().limit == "not_found").all()
    )


@pytest.mark.parametrize("epsilon", [None, 0.05])
def test_the_front_is_that_of_the_sweep(epsilon):
    ours = STORED.mlsysim.pareto("itl", ["tokens_per_s_per_device"], epsilon)
    theirs = ms.ServingModel.pareto("itl", ["tokens_per_s_per_device"], epsilon, **GRID)
    same(ours, theirs)
    assert all(ours.attrs[k] == theirs.attrs[k] for k in ("points", "accepted", "objectives", "front"))


def test_limits_are_those_of_the_sweep():
    from mlsysim.search import Counts

    for by in ((), ("hardware", "tp")):
        theirs = ms.ServingModel.sweep([Counts(by)], **GRID)[0].configurations
        ours = STORED.mlsysim.limits(by)
        xr.testing.assert_equal(ours.transpose(*theirs.dims), theirs.reset_coords(drop=True))


def test_what_is_asked_wrongly_is_told():
    with pytest.raises(TypeError, match=r"where='itl < 1'.*where=ds.itl < 0.05"):
        STORED.mlsysim.best("itl", where="itl < 1")
    with pytest.raises(ValueError, match="the answer has no 'itll'; nearest: itl"):
        STORED.mlsysim.best("itll")
    with pytest.raises(ValueError, match="by='tpp' is no dim of this answer; nearest: tp"):
        STORED.mlsysim.best("itl", by="tpp")
    aimless = next(n for n in STORED if not VARIABLES[n].better and VARIABLES[n].kind == "real")
    with pytest.raises(ValueError, match=f"{aimless} has no direction"):
        STORED.mlsysim.best(aimless)
    with pytest.raises(ValueError, match="lost `feasible`"):
        STORED[["itl"]].mlsysim.best("itl")
    with pytest.raises(ValueError, match="has no `limit`"):
        STORED[["itl"]].mlsysim.limits()


# --- masked, labelled --------------------------------------------------------------------------------------------


def test_what_does_not_work_is_masked():
    found = STORED.mlsysim.feasible()
    assert found.itl.isnull().equals(~STORED.feasible) and found.itl.attrs == STORED.itl.attrs
    assert float(found.itl.min()) == float(STORED.itl.where(STORED.feasible).min()) > float(STORED.itl.min()) * 0
    assert found.limit.equals(STORED.limit) and found.feasible.dtype == bool
    winners = ms.ServingModel.best("itl", by="tp", where="itl < 25 ms", **GRID)
    assert winners.mlsysim.feasible().itl.isnull().equals(~winners.found)


def test_labels_are_text():
    shown = STORED.mlsysim.labels()
    assert set(np.unique(shown.limit)) == {"none", "memory"} and "flag_values" not in shown.limit.attrs
    assert shown.decode_bottleneck.dtype.kind == "U" and shown.itl.equals(STORED.itl)
    frame = STORED.mlsysim.to_dataframe()
    assert len(frame) == STORED.itl.size and set(frame.limit) == {"none", "memory"} and "hardware" in frame
    assert frame.attrs["units"]["itl"] == "s" and frame.feasible.dtype == bool
    assert len(STORED.isel(hardware=0, tp=0, batch_size=0, seq_len=0).mlsysim.to_dataframe()) == 1


# --- a configuration ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n, r in ms.RESOLVERS.items() if isinstance(r, ms.Model)])
def test_a_configuration_goes_back_into_its_resolver(name):
    stored = answer(name, 0)
    size = int(np.prod(list(stored.sizes.values())))
    for i in {0, size // 2, size - 1}:
        point = stored.isel(dict(zip(stored.sizes, np.unravel_index(i, tuple(stored.sizes.values())))))
        again = ms.RESOLVERS[name].solve(**stored.mlsysim.config(i))
        for output in stored.data_vars:
            # NumPy's exp differs by a bit between one number and many
            assert again[output].values == pytest.approx(point[output].values, rel=1e-13, nan_ok=True), output


def test_configurations_of_searches_go_back_too():
    front = ms.ServingModel.pareto("itl", "tokens_per_s_per_device", **GRID)
    for i in range(front.sizes["point"]):
        again = ms.ServingModel.solve(**front.mlsysim.config(i))
        assert again.itl == front.itl[i] and again.tokens_per_s == front.tokens_per_s[i]
    best = ms.ParallelismOptimizer.solve(model="llama3_1_8b", cluster_size=16, recompute="none", schedule="1f1b")
    assert ms.DistributedModel.solve(**best.mlsysim.config()).mfu == best.mfu
    named = STORED.mlsysim.config(hardware="h100", tp=4, batch_size=7, seq_len=512)
    assert (
        named.items() >= {"model": "llama3_1_70b", "hardware": "h100", "tp": 4, "batch_size": 7, "seq_len": 512}.items()
    )
    assert all(type(value) in (int, float, str) for value in named.values())


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: STORED.mlsysim.config(), r"72 points along hardware \(3\), tp \(4\)"),
        (lambda: STORED.mlsysim.config(72), "i=72: must be a whole number from 0 to 71"),
        (lambda: STORED.mlsysim.config(pp=1), "pp is no dim of this answer"),
        (lambda: ms.ServingModel.solve(**{**GRID, "seq_len": 512}, sample=3).mlsysim.config(0), "dim 'sample'"),
        (
            lambda: ms.ServingModel.best("itl", where="itl > 1 day", **GRID).mlsysim.config(),
            "no configuration was found",
        ),
    ],
)
def test_a_configuration_that_is_none_is_refused(ask, says):
    with pytest.raises(ValueError, match=says):
        ask()


def test_a_row_of_ones_own_must_be_given_again():
    chip = ms.Hardware(name="chip", peak_flops="500 TFLOP/s", mem_bandwidth="2 TB/s", mem_capacity="64 GB")
    found = ms.ServingModel.solve(model="llama3_1_8b", hardware=chip, seq_len=512)
    with pytest.raises(ValueError, match="hardware='chip' is an object of your own"):
        found.mlsysim.config()


# --- launch words ------------------------------------------------------------------------------------------------


PARSERS = json.loads((Path(__file__).parent.parent / "benchmarks" / "parsers.json").read_text())


def parser(engine):
    """What the engine's own parser says that its command line takes (`benchmarks/launch.py`)."""
    takes = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    kinds = [option for option in PARSERS[engine]["takes"] if not option.startswith("-")]
    for option, kind in PARSERS[engine]["takes"].items():
        more = {"action": "store_true"} if kind == "flag" else {"choices": kind if isinstance(kind, list) else None}
        if option not in kinds:
            takes.add_argument(option, **more)
    if kinds:
        takes.add_argument("kind", choices=kinds, nargs="?")
    return takes


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm", "megatron", "torchtitan"])
def test_launch_words_say_the_configuration(engine):
    if engine in launch.SERVING:
        found = ms.ContinuousBatchingModel.solve(
            model="llama3_1_8b",
            hardware="h100",
            tp=[2, 4],
            max_batch=64,
            seq_len=512,
            output_len=64,
            kv_precision="fp8",
        )
        words = found.mlsysim.launch(engine, tp=4, checkpoint="org/model")
    else:
        found = ms.DistributedModel.solve(
            model="llama3_1_8b", fleet="dgx_h100", tp=[2, 4], pp=2, dp=1, micro_batch=2, recompute="full"
        )
        words = found.mlsysim.launch(engine, tp=4)
    command = next(row.words for row in launch.table() if row.engine == engine and row.input == "command")
    start = command.replace("MODEL", "org/model").split()
    assert words.words[: len(start)] == start and shlex.split(str(words)) == words.words
    read = vars(parser(engine).parse_args(words.words[len(start) :]))
    values = [
        v
        for k, v in read.items()
        if k.replace("-", "_").split(".")[-1]
        in ("tensor_parallel_size", "tp_size", "tensor_model_parallel_size", "tensor_parallel_degree")
    ]
    assert values == ["4"]
    assert not [word for word in words.words if "{}" in word]


def test_every_row_of_the_table_is_of_an_input_and_has_a_source():
    known = {n for r in ms.RESOLVERS.values() for n in r.schema.index} | {"command", *launch.DERIVED}
    for row in launch.table():
        assert row.input in known and row.source, row
        if "{}" in row.words:
            assert row.when in ("", "above 1")


def test_what_an_engine_has_no_flag_for_is_told():
    found = ms.ServingModel.solve(model="llama3_1_8b", hardware="h100", seq_len=512, precision="int4", output_len=8)
    assert found.mlsysim.launch("vllm").left_out == ["precision=int4"]
    one = ms.ContinuousBatchingModel.solve(model="llama3_1_8b", hardware="h100", max_batch=8, seq_len=512, output_len=8)
    assert one.mlsysim.launch("trtllm").left_out == ["page_size=16", "memory_fraction=0.9"]  # one replica needs no word
    with pytest.raises(ValueError, match="engine='megatron': trains, and this configuration serves"):
        found.mlsysim.launch("megatron")
    with pytest.raises(ValueError, match=r"engine='vlm': must be one of megatron, sglang.*nearest: vllm"):
        found.mlsysim.launch("vlm")


def test_torchtitan_is_told_what_its_checks_ask_for():
    deep = {
        "model": "llama3_1_8b",
        "dp": 4,
        "pp": 2,
        "tp": 2,
        "micro_batch": 2,
        "global_batch": 64,
        "recompute": "full",
    }
    words = launch.launch(deep, "torchtitan", "llama3/llama3_8b").words
    assert words[3:7] == ["--module", "llama3", "--config", "llama3_8b"] and words[-1] == "activation-checkpoint:full"
    assert "--training.disable-cuda-graphs" in words  # it refuses pipelines with them
    assert words[words.index("--training.local-batch-size") + 1] == "16"  # what a pipeline splits into micro-batches
    flat = launch.launch(deep | {"pp": 1}, "torchtitan").words
    assert flat[flat.index("--training.local-batch-size") + 1] == "2" and "--training.disable-cuda-graphs" not in flat
    assert flat[3:7] == ["--module", "MODULE", "--config", "CONFIG"]
    with pytest.raises(
        ValueError, match=r"checkpoint='llama3_8b': torchtitan takes MODULE/CONFIG, as llama3/llama3_8b"
    ):
        launch.launch(deep, "torchtitan", "llama3_8b")


# --- files, display ----------------------------------------------------------------------------------------------


def test_answers_keep_in_files(tmp_path):
    pytest.importorskip("h5netcdf")
    path = ms.save(STORED, tmp_path / "answer.nc")
    again = ms.load(path)
    xr.testing.assert_identical(again, STORED)
    assert isinstance(again.itl.variable._data, Shown)
    assert again.mlsysim.config(3) == STORED.mlsysim.config(3)
    STORED.mlsysim.save(tmp_path / "answer.csv")
    rows = (tmp_path / "answer.csv").read_text().splitlines()
    assert len(rows) == 73 and "memory" in rows[1] + rows[2] + rows[3]
    with pytest.raises(ValueError, match=r"must end in \.nc, \.zarr or \.csv"):
        ms.save(STORED, tmp_path / "answer.xls")
    with pytest.raises(ValueError, match=r"only \.nc and \.zarr keep a whole answer"):
        ms.load(tmp_path / "answer.csv")


def test_what_is_not_there_is_told_in_a_line(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"path=.*none.nc: there is no such file"):
        ms.load(tmp_path / "none.nc")
    found = ms.ServingModel.solve(model="llama3_1_8b", hardware=["h100", "a100"], seq_len=512, tp=[1, 2, 4])
    with pytest.raises(ValueError, match="tp=3: the answer has 1, 2, 4"):
        found.mlsysim.config(tp=3, hardware="h100")
    with pytest.raises(ValueError, match="hardware='h1000': the answer has h100, a100"):
        found.mlsysim.launch("vllm", hardware="h1000", tp=1)


def test_zarr_too(tmp_path):
    ms.save(STORED, tmp_path / "answer.zarr")
    xr.testing.assert_identical(ms.load(tmp_path / "answer.zarr"), STORED)


MANY = {
    "model": "llama3_1_8b",
    "hardware": ["h100", "a100", "h200", "b200"],
    **{n: [1, 2, 4, 8] for n in ("tp", "pp", "batch_size")},
    **{n: [0.6, 0.7, 0.8, 0.9] for n in ("memory_fraction", "acceptance", "efficiency")},
    "seq_len": [256, 512, 1024, 2048],
    "output_len": [4, 8, 16, 32],
}
OPERATIONS = {
    "itself": lambda ds: ds,
    "where": lambda ds: ds.where(ds.feasible),
    "feasible": lambda ds: ds.mlsysim.feasible(),
    "labels": lambda ds: ds.mlsysim.labels(),
    "arithmetic": lambda ds: ds[["itl"]] * 2 + ds.itl,
    "log": lambda ds: np.log(ds[["itl"]]),
    "selection": lambda ds: ds.sel(tp=[1, 2]),
    "order": lambda ds: ds.transpose(),
    "filled": lambda ds: ds.fillna(0),
    "copied": lambda ds: ds.copy(deep=True),
    "together": lambda ds: xr.concat([ds, ds], "again").isel(again=0),
    "reduced": lambda ds: ds.max("tp"),
    "grouped": lambda ds: ds[["itl"]].groupby("tp").mean(),
    "shifted": lambda ds: ds[["itl"]].shift(tp=1),
    "rolled": lambda ds: ds[["itl"]].rolling(tp=2).mean(),
    "pickled": lambda ds: pickle.loads(pickle.dumps(ds[["itl"]])),
    "from outside": lambda ds: quick(ds[["itl"]].interp(tp=[1, 1.5, 2, 3])),
}


@pytest.fixture(scope="module")
def wide():
    return ms.ServingModel.solve(keep="itl", **MANY)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_answer_of_many_dims_prints_at_once(wide, operation):
    """By counting numbers that are formatted, not by the clock: 4**9 of each variable without `Shown`."""
    formatted = []

    def count(value):
        formatted.append(value)
        return str(value)

    found = OPERATIONS[operation](wide)
    assert max(v.size for v in found.data_vars.values()) > 30_000
    with np.printoptions(formatter={"all": count}):
        found._repr_html_()
        repr(found)
    assert len(formatted) < 2 * 600 * len(found.data_vars)


def test_a_notebook_may_ask_for_all_arrays(wide, monkeypatch):
    """Plain arrays, which SciPy gives back, too."""
    formatters = pytest.importorskip("IPython.core.formatters")
    import IPython

    monkeypatch.setattr(IPython, "get_ipython", lambda: None)  # another test may have started a shell
    with pytest.raises(RuntimeError, match="for Jupyter and IPython"):
        ms.notebook()

    class Session:
        display_formatter = formatters.DisplayFormatter()

    plain = wide[["itl"]].copy(data={"itl": np.array(wide.itl)})
    assert type(plain.itl.variable._data) is np.ndarray
    monkeypatch.setattr(IPython, "get_ipython", Session)
    ms.notebook()
    formatted = []
    with np.printoptions(formatter={"all": lambda value: formatted.append(value) or str(value)}):
        shown, _ = Session.display_formatter.format(plain)
    assert shown["text/html"].startswith("<div>") and "itl" in shown["text/plain"] and len(formatted) < 2 * 600
    assert np.get_printoptions()["edgeitems"] == 3


def test_money_says_whose_prices_it_counts():
    told = STORED.attrs["assumed"]
    assert told.endswith("; hourly_price is that of specialists, on demand")
    given = ms.ServingModel.solve(**{**GRID, "hourly_price": "2 USD/hour"}).attrs["assumed"]
    assert "hourly_price" not in given
    assert "hourly_price" not in STORED.mlsysim.assumed
