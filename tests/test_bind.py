"""What a user may write for an input, and one clear line for what nobody can mean."""

import datetime
import decimal
import fractions
from typing import NamedTuple
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from toy import BASE, Bill, BillModel, StepModel

import mlsysim as ms
from mlsysim import units, zoo
from mlsysim.engine import columns
from mlsysim.engine.draws import Draws
from mlsysim.resolver import Model, kernel
from mlsysim.schema.codes import Recompute
from mlsysim.schema.variables import VARIABLES
from mlsysim.search import Counts, Pareto, Top


def ask(**inputs):
    return StepModel.solve(**{**BASE, **inputs})


REGISTRY = units.registry()
Q = REGISTRY.Quantity

ONE = {
    "int": 2,
    "float": 2.0,
    "text": "2",
    "text with blanks": " 2 ",
    "int8": np.int8(2),
    "uint64": np.uint64(2),
    "float32": np.float32(2),
    "0-d array": np.array(2),
    "0-d DataArray": xr.DataArray(2),
    "Fraction": fractions.Fraction(4, 2),
    "Decimal": decimal.Decimal(2),
    "quantity": Q(2, ""),
}


@pytest.mark.parametrize("value", ONE.values(), ids=ONE)
def test_one_value_in_any_form(value):
    got = ask(tp=value)
    assert got.itl.dims == () and got.tp.item() == 2 and got.itl == ask(tp=2).itl


MANY = {
    "list": [1, 2, 7],
    "tuple": (1, 2, 7),
    "floats": [1.0, 2.0, 7.0],
    "texts": ["1", "2", "7"],
    "mixed": [1, np.float32(2), "7"],
    "int8": np.array([1, 2, 7], dtype=np.int8),
    "uint64": np.array([1, 2, 7], dtype=np.uint64),
    "float16": np.array([1, 2, 7], dtype=np.float16),
    "object": np.array([1, 2.0, "7"], dtype=object),
    "strided": np.arange(21)[[1, 2, 7]][::1],
    "reversed twice": np.array([7, 2, 1])[::-1],
    "Series": pd.Series([1, 2, 7], index=["x", "y", "z"]),
    "Index": pd.Index([1, 2, 7]),
    "nullable": pd.array([1, 2, 7], dtype="Int64"),
    "DataArray": xr.DataArray([1, 2, 7], dims="tp"),
    "quantities": [Q(1, ""), Q(2, ""), Q(7, "")],
    "quantity": Q(np.array([1, 2, 7]), ""),
}


@pytest.mark.parametrize("values", MANY.values(), ids=MANY)
def test_an_axis_in_any_form(values):
    got = ask(tp=values)
    assert got.itl.dims == ("tp",) and got.tp.values.tolist() == [1, 2, 7]
    assert (got.itl.values == ask(tp=[1, 2, 7]).itl.values).all()


def test_ranges_and_long_axes():
    assert ask(tp=range(1, 4)).sizes == {"tp": 3}
    assert ask(tp=pd.RangeIndex(1, 4)).sizes == {"tp": 3}
    assert ask(global_batch=np.arange(1, 100_001), keep=["limit"]).sizes == {"global_batch": 100_000}


BANDWIDTH = {
    "text": "2 TB/s",
    "text, other prefix": "2000 GB/s",
    "text, bits": "16 Tb/s",
    "quantity": Q(2, "TB/s"),
    "quantity of another registry": __import__("pint").UnitRegistry().Quantity(2, "terabyte/s"),
    "0-d quantity": Q(np.array(2.0), "TB/s"),
    "DataArray with units": xr.DataArray(2.0, attrs={"units": "TB/s"}),
    "DataArray with base units": xr.DataArray(2e12, attrs={"units": "byte/s"}),
}


@pytest.mark.parametrize("value", BANDWIDTH.values(), ids=BANDWIDTH)
def test_quantities_keep_their_units(value):
    assert ask(mem_bandwidth=value).mem_bandwidth.item() == 2e12


def test_arrays_of_quantities_keep_their_units():
    for value in (["1 TB/s", "2 TB/s"], Q(np.array([1.0, 2.0]), "TB/s"), [Q(1, "TB/s"), Q(2000, "GB/s")]):
        assert ask(mem_bandwidth=value).mem_bandwidth.values.tolist() == [1e12, 2e12]
    array = xr.DataArray([1.0, 2.0], dims="x", attrs={"units": "TB/s"})
    got = ask(mem_bandwidth=array)
    assert got.mem_bandwidth.values.tolist() == [1e12, 2e12] and got.itl.dims == ("x",)
    assert ask(
        host_step_time=xr.DataArray([1.0, 2.0], dims="x", attrs={"units": "ms"})
    ).host_step_time.values.tolist() == [1e-3, 2e-3]
    assert ask(tokens="1T").tokens.item() == 1e12 and ask(host_step_time="2 ms").host_step_time.item() == 0.002


def test_names_rows_and_options_in_any_form():
    row = zoo.hardware("h100")
    for one in ("h100", "H100", " h100 ", row, np.str_("h100"), row.key):
        assert (ask(hardware=one).itl == ask().itl).all()
    for many in (
        ["h100", "a100"],
        np.array(["h100", "a100"]),
        pd.Series(["h100", "a100"], dtype="string"),
        pd.Categorical(["h100", "a100"]),
        [row, zoo.hardware("a100")],
        xr.DataArray(["h100", "a100"], dims="hardware"),
    ):
        got = ask(hardware=many)
        assert got.itl.dims == ("hardware",) and (got.itl.values == ask(hardware=["h100", "a100"]).itl.values).all()
    for option in ("full", "Full", " FULL", 2, 2.0, np.int64(2), Recompute.FULL):
        assert ask(recompute=option).recompute.item() == "full"
    for flag in (True, 1, 1.0, "yes", "True", "on", np.True_):
        assert ask(sequence_parallel=flag).sequence_parallel.item() == 1
    assert ask(sequence_parallel=[False, True]).sequence_parallel.values.tolist() == [0, 1]


def test_fields_by_name_or_by_record():
    assert ask(**{"hardware.mem_bandwidth": "2 TB/s"}).itl == ask(mem_bandwidth="2 TB/s").itl
    assert ask(**{"assume.host_step_time": 0.5}).itl == ask(host_step_time=0.5).itl
    with pytest.raises(TypeError, match="needs hardware"):
        StepModel.solve(hardware=None, global_batch=49)
    with pytest.raises(TypeError, match="needs global_batch"):
        StepModel.solve(hardware="h100")


REFUSED = {
    # the list of the acceptance
    "unknown device": ({"hardware": "h1000"}, ["hardware", "'h1000'", "H100"]),
    "unknown device in a list": ({"hardware": ["h100", "b2000"]}, ["hardware", "'b2000'", "nearest"]),
    "negative batch": ({"global_batch": -8}, ["global_batch=-8", "at least 1"]),
    "tp=0": ({"tp": 0}, ["tp=0", "at least 1"]),
    "zero within": ({"tp": [1, 0, 2]}, ["tp=0", "at least 1"]),
    "NaN": ({"global_batch": float("nan")}, ["global_batch=nan", "NaN"]),
    "NaN in an array": ({"mem_bandwidth": np.array([1e12, np.nan])}, ["mem_bandwidth=nan", "NaN"]),
    "NaN in a DataArray": ({"tp": xr.DataArray([1, np.nan], dims="x")}, ["tp=nan", "NaN"]),
    "fraction for a count": ({"tp": 1.5}, ["tp=1.5", "whole number"]),
    "wrong unit": ({"mem_bandwidth": "80 GB"}, ["mem_bandwidth='80 GB'", "byte/s", '"3.35 TB/s"']),
    "wrong quantity": ({"mem_bandwidth": Q(80, "GB")}, ["mem_bandwidth", "byte/s", '"3.35 TB/s"']),
    "wrong unit of a DataArray": (
        {"mem_bandwidth": xr.DataArray([80.0], dims="x", attrs={"units": "GB"})},
        ["mem_bandwidth", "80.0 GB", "byte/s"],
    ),
    "unknown unit": ({"mem_bandwidth": "3 parsec"}, ["mem_bandwidth='3 parsec'", "byte/s"]),
    "unknown argument": ({"micro_bach": 4}, ["StepModel", "'micro_bach'", "micro_batch"]),
    "unknown argument, nothing near": ({"zzz": 4}, ["'zzz'", "global_batch", "hardware"]),
    "duplicate labels": ({"tp": [1, 2, 1]}, ["tp", "1", "twice"]),
    "duplicate labels in two forms": ({"tp": [1, 1.0]}, ["tp", "1", "twice"]),
    "duplicate aliases": ({"hardware": ["h100", "H100"]}, ["hardware", "'H100'", "twice"]),
    "duplicate coordinates": (
        {"tp": xr.DataArray([1, 2], dims="s", coords={"s": ["a", "a"]})},
        ["tp", "'s'", "a", "twice"],
    ),
    "disagreeing lengths": (
        {"tp": xr.DataArray([1, 2], dims="x"), "dp": xr.DataArray([1, 2, 3], dims="x")},
        ["'x'", "dp", "(3)", "(2)"],
    ),
    "disagreeing labels": (
        {
            "tp": xr.DataArray([1, 2], dims="x", coords={"x": ["a", "b"]}),
            "dp": xr.DataArray([1, 2], dims="x", coords={"x": ["b", "a"]}),
        },
        ["'x'", "dp", "[b, a]", "[a, b]"],
    ),
    "empty list": ({"tp": []}, ["tp", "empty", "at least one"]),
    "empty array": ({"tp": np.array([])}, ["tp", "empty"]),
    "empty DataArray": ({"tp": xr.DataArray(np.array([]), dims="x")}, ["tp", "empty"]),
    # and what else can be typed
    "text for a number": ({"tp": "four"}, ["tp='four'", "number"]),
    "empty text": ({"tp": ""}, ["tp=''"]),
    "infinite count": ({"tp": float("inf")}, ["tp=inf", "finite"]),
    "infinite field": ({"mem_bandwidth": float("inf")}, ["mem_bandwidth=inf", "finite"]),
    "infinite assumption": ({"host_step_time": float("inf")}, ["host_step_time=inf", "finite"]),
    "negative assumption": ({"host_step_time": -1}, ["host_step_time=-1", "at least 0"]),
    "zero bandwidth": ({"mem_bandwidth": 0}, ["mem_bandwidth=0", "above 0"]),
    "huge": ({"tp": 10**400}, ["tp=1000", "too large"]),
    "beyond exact": ({"tp": 2**60}, ["tp=", "at most 2**53"]),
    "true for a count": ({"tp": True}, ["tp=True", "number"]),
    "truths for counts": ({"tp": np.array([True, False])}, ["tp=", "number"]),
    "complex": ({"tp": 2 + 0j}, ["tp=(2+0j)"]),
    "timedelta": ({"tokens": datetime.timedelta(1)}, ["tokens="]),
    "None": ({"tp": None}, ["tp=None", "give a number"]),
    "None within": ({"tp": [1, None]}, ["tp=None"]),
    "pandas NA": ({"tp": pd.array([1, None], dtype="Int64")}, ["tp=<NA>"]),
    "masked": ({"tp": np.ma.masked_array([1, 2], [False, True])}, ["tp="]),
    "set": ({"tp": {1, 2}}, ["tp", "set", "list"]),
    "generator": ({"tp": (i for i in (1, 2))}, ["tp", "generator", "list"]),
    "mapping": ({"tp": {1: 2}}, ["tp", "dict", "list"]),
    "two dims": ({"tp": np.ones((2, 2))}, ["tp", "xarray.DataArray"]),
    "nested lists": ({"tp": [[1, 2], [3, 4]]}, ["tp", "xarray.DataArray"]),
    "ragged lists": ({"tp": [[1, 2], [3]]}, ["tp", "xarray.DataArray"]),
    "table": ({"tp": pd.DataFrame({"a": [1, 2]})}, ["tp", "points="]),
    "a whole Dataset": ({"tp": xr.Dataset({"a": 1})}, ["tp", "Dataset", "one of them"]),
    "an axis named like an output": ({"tp": xr.DataArray([1, 2], dims="itl")}, ["'itl'", "rename"]),
    "number for a device": ({"hardware": 5}, ["hardware", "'5'"]),
    "bytes for a device": ({"hardware": b"h100"}, ["hardware"]),
    "unknown option": ({"recompute": "ful"}, ["recompute='ful'", "none, selective, full, offload"]),
    "option out of range": ({"recompute": 9}, ["recompute=9", "none, selective"]),
    "true for an option": ({"recompute": True}, ["recompute=True", "none, selective"]),
    "half a flag": ({"sequence_parallel": 0.5}, ["sequence_parallel=0.5", "whole number"]),
    "flag out of range": ({"sequence_parallel": 2}, ["sequence_parallel=2", "at most 1"]),
    "word for a flag": ({"sequence_parallel": "maybe"}, ["sequence_parallel='maybe'"]),
    "field of no record": (
        {"hardware.mem_bandwith": 1},
        ["'hardware.mem_bandwith'", "hardware.mem_bandwidth"],
    ),
    "twice": ({"mem_bandwidth": 1e12, "points": {"mem_bandwidth": [1e12]}}, ["mem_bandwidth is given twice"]),
    "points of different lengths": (
        {"points": {"tp": [1, 2], "pp": [1]}},
        ["points", "different lengths", "tp 2, pp 1"],
    ),
    "points of single values": ({"points": {"tp": 1}}, ["points", "tp=1", "list"]),
    "points of text": ({"points": {"recompute": "full"}}, ["points", "recompute='full'", "list"]),
    "points as records": ({"points": [{"tp": 1, "pp": 2}]}, ["points", "tp=1", "list"]),
    "points as an array": ({"points": np.ones((2, 2))}, ["points", "ndarray", "DataFrame"]),
    "points with an unknown column": ({"points": pd.DataFrame({"tpp": [1]})}, ["'tpp'", "tp"]),
    "points with a bad value": ({"points": pd.DataFrame({"tp": [1, 0]})}, ["tp=0", "at least 1"]),
}


@pytest.mark.parametrize("inputs, says", REFUSED.values(), ids=REFUSED)
def test_nonsense_is_one_clear_line(inputs, says):
    with pytest.raises((TypeError, ValueError)) as error:
        ask(**inputs)
    text = str(error.value)
    assert "\n" not in text and len(text) < 400
    for part in says:
        assert part in text, text


GRID = {"tp": [1, 2], "dp": [1, 7]}
UNKNOWN = {
    "output": (lambda: StepModel.solve(keep=["it"], **BASE), ["'it'", "itl"]),
    "objective": (lambda: StepModel.best("itll", **BASE, **GRID), ["'itll'", "itl"]),
    "objective without direction": (
        lambda: ms.ServingModel.best(
            "memory_activity", model="llama3_1_8b", hardware="h100", seq_len=512, batch_size=[1, 2]
        ),
        ["memory_activity", "maximize=True"],
    ),
    "objective that is no name": (lambda: StepModel.best(["itl"], **BASE, **GRID), ["objective=['itl']"]),
    "tie": (lambda: StepModel.best("itl", ties=["eneryg"], **BASE, **GRID), ["'eneryg'", "energy"]),
    "by": (lambda: StepModel.best("itl", by="tpp", **BASE, **GRID), ["by='tpp'", "nearest: tp"]),
    "by an output": (lambda: StepModel.best("itl", by="energy", **BASE, **GRID), ["by='energy'", "dp, tp"]),
    "by a number": (lambda: StepModel.best("itl", by=3, **BASE, **GRID), ["by=3"]),
    "by nothing": (lambda: StepModel.best("itl", by=[None], **BASE, **GRID), ["by=[None]"]),
    "counts by": (lambda: StepModel.sweep([Counts(by="q")], **BASE, **GRID), ["by='q'", "dp, tp"]),
    "where": (lambda: StepModel.best("itl", where="itll < 3", **BASE, **GRID), ["'itll'", "itl"]),
    "where, no condition": (
        lambda: StepModel.best("itl", where="itl <", **BASE, **GRID),
        ["'itl <'", "tp <= 8"],
    ),
    "where, units": (
        lambda: StepModel.best("itl", where="itl < 50 parsecs", **BASE, **GRID),
        ["'50 parsecs' is no value in s", '"50 ms"'],
    ),
    "where, a number": (lambda: StepModel.best("itl", where=5, **BASE, **GRID), ["where=5", "no condition"]),
    "where, a call": (
        lambda: StepModel.best("itl", where="max(itl) < 3", **BASE, **GRID),
        ["'max(itl)'", "not understood"],
    ),
    "where, a label": (
        lambda: StepModel.best("itl", where="recompute == 'ful'", recompute=["full", "none"], **BASE),
        ["recompute", "'ful'", "full"],
    ),
    "where, an answer's label": (
        lambda: StepModel.best("itl", where="limit == 'memroy'", **BASE, **GRID),
        ["limit", "'memroy'", "memory"],
    ),
    "where, a label of a number": (
        lambda: StepModel.best("itl", where="itl == 'x'", **BASE, **GRID),
        ["itl", "'x'", "no value in s"],
    ),
    "k": (lambda: StepModel.top(0, "itl", **BASE, **GRID), ["k=0", "at least 1"]),
    "half a k": (lambda: StepModel.top(1.5, "itl", **BASE, **GRID), ["k=1.5", "whole number"]),
    "no objectives": (lambda: StepModel.pareto(**BASE, **GRID), ["minimize=[...]"]),
    "unknown objectives": (lambda: StepModel.pareto(["itl", "enrgy"], **BASE, **GRID), ["'enrgy'", "energy"]),
    "epsilon": (lambda: StepModel.pareto("itl", epsilon=2, **BASE, **GRID), ["epsilon=2", "between 0 and 1"]),
    "threads": (lambda: StepModel.best("itl", threads=0, **BASE, **GRID), ["threads=0", "at least 1"]),
    "half a thread": (
        lambda: StepModel.best("itl", threads=1.5, **BASE, **GRID),
        ["threads=1.5", "whole number"],
    ),
    "plan": (lambda: StepModel.best("itl", plan="fast", **BASE, **GRID), ["plan='fast'", "plain", "nest"]),
    "bound": (lambda: StepModel(micro_bach=3), ["'micro_bach'", "micro_batch"]),
    "root of nothing": (
        lambda: StepModel.root("mem_bandwith", {"itl": 1}, **BASE),
        ["mem_bandwith", "mem_bandwidth"],
    ),
    "root of an option": (lambda: StepModel.root("recompute", {"itl": 1}, **BASE), ["recompute", "number"]),
    "root of an unknown output": (
        lambda: StepModel.root("mem_bandwidth", {"itll": 1}, **BASE),
        ["'itll'", "itl"],
    ),
    "root of two outputs": (
        lambda: StepModel.root("mem_bandwidth", {"itl": 1, "energy": 2}, **BASE),
        ["one output"],
    ),
    "root, wrong unit": (
        lambda: StepModel.root("mem_bandwidth", {"itl": "3 GB"}, **BASE),
        ["itl", "'3 GB'", "no value in s"],
    ),
    "root, bounds": (
        lambda: StepModel.root("mem_bandwidth", {"itl": 1}, bounds=(5, 1), **BASE),
        ["bounds=(5, 1)", "below"],
    ),
    "root of what is given": (
        lambda: StepModel.root("mem_bandwidth", {"itl": 1}, mem_bandwidth="1 TB/s", **BASE),
        ["mem_bandwidth", "not be given"],
    ),
    "root of what has no part": (
        lambda: StepModel.root("mem_bandwidth", {"n_accelerators": 2}, **BASE),
        ["does not depend on mem_bandwidth"],
    ),
    "samples": (lambda: StepModel.solve(sample=1, **BASE), ["sample=1", "at least 2"]),
    "quantile": (lambda: StepModel.solve(quantile=[0.5, 2], **BASE), ["quantile=[0.5, 2]", "from 0 to 1"]),
}


@pytest.mark.parametrize("call, says", UNKNOWN.values(), ids=UNKNOWN)
def test_unknown_names_are_told_with_the_nearest(call, says):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    text = str(error.value)
    assert "\n" not in text and len(text) < 500
    for part in says:
        assert part in text, text


def test_reductions_refuse_at_once():
    for bad in (
        lambda: Top(True, "itl"),
        lambda: Pareto(),
        lambda: Pareto("itl", epsilon="a"),
        lambda: Draws(1),
    ):
        with pytest.raises(ValueError):
            bad()


def test_binding_twice_the_last_wins():
    assert StepModel(tp=2)(tp=7).solve(**BASE).tp.item() == 7
    assert StepModel(tp=2).solve(tp=7, **BASE).tp.item() == 7
    bound = StepModel(hardware="h100", global_batch=588)
    assert "hardware, global_batch bound" in repr(bound) and bound.solve().itl == ask().itl
    assert StepModel.bound == {}


def test_the_guides_spellings_are_accepted():
    days = BillModel.solve(duration_days=2, energy=1.0)
    assert days.tco == BillModel.solve(duration=172800.0, energy=1.0).tco and days.duration.item() == 172800.0
    with pytest.raises(TypeError, match=r"duration is given twice \('duration_days' means the same\)"):
        BillModel.solve(duration=1.0, duration_days=2, energy=1.0)
    # a unit of its own needs no conversion
    assert BillModel.solve(duration_days="2 h", energy=1.0).duration.item() == 7200.0


def test_a_kernel_with_an_undeclared_name_says_how_to_declare_it():
    class Odd(NamedTuple):
        oddity: float

    @kernel
    def odd(duration) -> Odd:
        """Odd."""
        return Odd(duration * 2.0)

    assert "oddity" not in VARIABLES
    with pytest.raises(ValueError, match=r"declare oddity first.*real\('oddity'"):
        Model("OddModel", odd, domain="node")


def test_defaults_of_a_kernel_are_doubles():
    """Left out or given, zero divides as IEEE says, and a truth is negated as a truth."""

    class Odd(NamedTuple):
        step_time: float
        feasible: bool

    @kernel
    def odd(tokens=0, *, tp=0) -> Odd:
        return Odd(1.0 / tokens, ~(tp > 0))

    assert odd() == odd(0, tp=0) == (np.inf, True)
    assert odd.parameters["tokens"].default == 0 and isinstance(odd.parameters["tokens"].default, int)


def test_a_kernel_that_branches_is_told_what_to_write():
    @kernel
    def branching(duration, energy) -> Bill:
        """Wrong."""
        cost = energy if duration > 3 else duration
        return Bill(cost, cost, cost, True, 0)

    with pytest.raises(TypeError, match=r"np\.where\(condition, a, b\)"):
        Model("Branching", branching, domain="node").solve(duration=[1.0, 5.0], energy=2.0)


@pytest.mark.parametrize(
    "ask, says",
    [
        (
            lambda: ms.ServingModel.solve("h100"),
            "ServingModel.solve: 'h100' has no name: inputs are written name=value",
        ),
        (lambda: ms.ServingModel.explain("h100"), "ServingModel.explain: 'h100' has no name"),
        (
            lambda: ms.ServingModel("h100"),
            "ServingModel: 'h100' has no name: inputs are written name=value, as in hardware",
        ),
        (lambda: ms.SensitivitySolver.solve(ms.ServingModel, "h100"), "SensitivitySolver.solve: 'h100' has no name"),
        (lambda: ms.ServingModel.best(model="llama3_1_8b"), "ServingModel.best needs objective"),
        (lambda: ms.ServingModel.root("tp", model="llama3_1_8b"), "ServingModel.root needs target"),
    ],
)
def test_inputs_without_a_name_are_told_how_they_are_written(ask, says):
    with pytest.raises(TypeError, match=says):
        ask()


def test_columns_of_different_lengths_are_named():
    with pytest.raises(ValueError, match="points: columns have different lengths: tp 2, batch_size 3"):
        ms.ServingModel.solve(
            points={"tp": [1, 2], "batch_size": [1, 2, 3]}, model="llama3_1_8b", hardware="h100", seq_len=9
        )


@pytest.mark.parametrize("container", [list, np.array, lambda v: np.array(v, dtype=object), pd.Categorical, pd.Series])
def test_many_texts_are_what_few_are(container):
    """Texts of a long column are told apart at once; what they stand for, and what is refused, stays the same."""
    names, n = ["none", "selective", "full"], 3 * columns.MANY
    picked = [names[i * 7 % 3] for i in range(n)]
    call = {"model": "gpt2", "hardware": "h100", "global_batch": 8, "seq_len": 512}

    def ask(many, words):
        with mock.patch.object(columns, "MANY", many):
            return ms.DistributedModel.solve(points={"recompute": container(words), "dp": np.arange(n) % 2 + 1}, **call)

    found = ask(columns.MANY, picked)
    assert found.identical(ask(1 << 60, picked))
    assert found["recompute"].values.tolist() == picked
    with pytest.raises(ValueError, match="recompute='halb'"):
        ask(columns.MANY, [*picked[:-1], "halb"])


def test_of_many_texts_and_something_else_each_is_read_for_itself():
    values = np.array(["1", 1, "2", 2.0, "1"] * columns.MANY, dtype=object)
    reader = columns.Reader("tp")
    numbers, _, picked = reader.read(values)
    assert picked is None and numbers.tolist() == [1.0, 1.0, 2.0, 2.0, 1.0] * columns.MANY
