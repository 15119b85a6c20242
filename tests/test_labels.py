"""The labels of a result are what was computed."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from toy import BASE, BillModel, StepModel

from mlsysim.engine.bind import Binder


def ask(**inputs):
    return StepModel.solve(**{**BASE, **inputs})


def array(values, dim, coordinate=None, **attrs):
    coords = {} if coordinate is None else {dim: (dim, coordinate, attrs)}
    return xr.DataArray(values, dims=dim, coords=coords)


MISLEADING = {
    "a coordinate that disagrees with the values": (
        {"tp": array([1, 2], "tp", [2, 1])},
        ["tp", "[2, 1]", "[1, 2]", "drop_vars"],
    ),
    "a coordinate in another unit": (
        {"mem_bandwidth": array([1e12, 2e12], "mem_bandwidth", [1, 2], units="GB/s")},
        ["mem_bandwidth", "drop_vars"],
    ),
    "another input": ({"tp": array([1, 2], "dp"), "dp": 4}, ["tp", "'dp'", "[4]", "rename(dp="]),
    "another input that the call does not give": ({"tp": array([1, 2], "dp")}, ["'dp'", "give dp=", "rename(dp="]),
    "another input along points": (
        {"tp": array([1, 2], "dp", [1, 7]), "points": {"dp": [1, 7], "pp": [1, 1]}},
        ["'dp'", "[1, 7]", "rename"],
    ),
    "a selector": ({"tp": array([1, 2], "hardware")}, ["'hardware'", "[h100]", "rename"]),
    "a record": ({"tp": array([1, 2], "assume")}, ["'assume'", "rename"]),
    "a record field": ({"tp": array([1, 2], "mem_bandwidth")}, ["'mem_bandwidth'", "rename"]),
    "a dotted record field": ({"tp": array([1, 2], "hardware.mem_bandwidth")}, ["'hardware.mem_bandwidth'", "rename"]),
    "another spelling of an input": ({"tp": array([1, 2], "cluster_size")}, ["'cluster_size'", "rename"]),
    "an output": ({"tp": array([1, 2], "itl")}, ["'itl'", "rename"]),
    "the draws": ({"tp": array([1, 2], "sample"), "sample": 2}, ["tp", "'sample'", "2 draws", "rename"]),
    "more draws than there are": ({"tp": array([1, 2], "sample"), "sample": 3}, ["'sample'", "3 draws"]),
    "the quantiles": ({"tp": array([1, 2], "quantile"), "quantile": [0.1, 0.9]}, ["'quantile'", "rename"]),
    "its own name over two dims": (
        {"tp": xr.DataArray([[1, 2], [7, 14]], dims=("x", "tp"))},
        ["tp", "x and tp", "rename"],
    ),
    "labels of an axis in another order": (
        {"tp": [1, 2], "dp": array([1, 7], "tp", [2, 1])},
        ["'tp'", "[2, 1]", "[1, 2]"],
    ),
    "an index that disagrees with the values": (
        {"tp": pd.Series([1, 2], index=pd.Index([2, 1], name="tp"))},
        ["tp", "[2, 1]", "[1, 2]"],
    ),
    "an index of several levels": (
        {"tp": pd.Series([1, 2], index=pd.MultiIndex.from_tuples([(1, 2), (3, 4)]))},
        ["tp", "2 levels", "points="],
    ),
    "two dims of one spelling": ({"tp": xr.DataArray([[1, 2]], dims=(1, "1"))}, ["tp", "1", "rename"]),
}


@pytest.mark.parametrize("inputs, says", MISLEADING.values(), ids=MISLEADING)
def test_a_dim_that_means_something_else_is_refused(inputs, says):
    with pytest.raises(ValueError) as error:
        ask(**inputs)
    text = str(error.value)
    assert "\n" not in text and len(text) < 400
    for part in says:
        assert part in text, text


def test_a_coordinate_that_says_the_values_is_their_label():
    for given in ([1, 2], [1.0, 2.0], np.array([1, 2], dtype="u1"), ["1", "2"]):
        got = ask(tp=array([1, 2], "tp", given))
        assert got.itl.dims == ("tp",) and got.tp.values.tolist() == [1, 2]
    given = array([1e12, 2e12], "mem_bandwidth", [1.0, 2.0], units="TB/s")
    assert ask(mem_bandwidth=given).mem_bandwidth.values.tolist() == [1e12, 2e12]
    got = ask(hardware=array(["h100", "a100"], "hardware", ["H100", "A100"]))
    assert got.hardware.values.tolist() == ["h100", "a100"]


def test_earlier_results_come_in_along_the_axes_of_this_call():
    grid = {"hardware": ["h100", "a100"], "tp": [1, 2, 7], "dp": [1, 7]}
    first = ask(**grid)
    again = ask(**grid, host_step_time=first.itl)
    assert again.itl.dims == ("hardware", "tp", "dp")
    for cell in np.ndindex(2, 3, 2):
        at = dict(zip(("hardware", "tp", "dp"), cell))
        alone = {name: grid[name][i] for name, i in at.items()}
        assert again.itl.isel(at).item() == ask(**alone, host_step_time=first.itl.isel(at).item()).itl.item()
    # one of them picked: its axis is one value
    one = ask(hardware="h100", tp=grid["tp"], dp=grid["dp"], host_step_time=first.itl.isel(hardware=[0]))
    assert (one.itl.values == again.itl.values[0]).all() and one.hardware.item() == "h100"
    picked = ask(**{**grid, "hardware": "a100"}, host_step_time=first.itl.sel(hardware="a100"))
    assert (picked.itl.values == again.itl.values[1]).all()
    # under a name that means nothing else, any labels do
    renamed = first.itl.isel(hardware=0, dp=0).rename(tp="design")
    assert ask(host_step_time=renamed).itl.dims == ("design",)
    for other in (
        first.itl.isel(hardware=0, dp=0, tp=[2, 1, 0]),
        first.itl.isel(hardware=0, dp=0, tp=[0, 1]),
        first.itl.isel(hardware=0, dp=0).assign_coords(tp=[10, 20, 70]),
        first.itl.isel(hardware=0, dp=0).drop_vars("tp"),
        first.isel(hardware=0, dp=0).set_coords("energy").itl.swap_dims(tp="energy"),
    ):
        with pytest.raises(ValueError, match=r"axis 'tp'|lies along|output"):
            ask(tp=grid["tp"], host_step_time=other)


def test_draws_go_with_draws_of_the_same_seed():
    drawn = ask(sample=4, seed=3).itl
    assert drawn.sample.attrs["seed"] == 3
    assert ask(sample=4, seed=3, host_step_time=drawn).itl.dims == ("sample",)
    for other in ({"sample": 4}, {"sample": 5, "seed": 3}):
        with pytest.raises(ValueError, match="'sample' is not that of"):
            ask(host_step_time=drawn, **other)
    assert BillModel.solve(duration=drawn, energy=1.0).tco.dims == ("sample",)


def test_the_index_of_a_series_labels_its_axis():
    named = pd.Series([1, 2, 7], index=pd.Index(["x", "y", "z"], name="system"))
    got = ask(tp=named, dp=pd.Series([1, 7, 1], index=named.index))
    assert (
        got.itl.dims == ("system",)
        and got.system.values.tolist() == ["x", "y", "z"]
        and got.tp.values.tolist() == [1, 2, 7]
    )
    nameless = ask(tp=pd.Series([1, 2, 7], index=["x", "y", "z"]))
    assert nameless.itl.dims == ("tp",) and nameless.tp_index.values.tolist() == ["x", "y", "z"]
    assert nameless.tp_index.dims == ("tp",) and "tp_index" not in ask(tp=pd.Series([1, 2, 7])).coords
    best = StepModel.best("itl", tp=pd.Series([1, 2, 7], index=["x", "y", "z"]), **BASE)
    assert best.tp_index.item() == {1: "x", 2: "y", 7: "z"}[best.tp.item()]


@pytest.mark.parametrize("first, second", [("hardware.tdp", "tdp"), ("tdp", "hardware.tdp")])
def test_two_spellings_of_one_field_are_refused(first, second):
    with pytest.raises(TypeError, match="given twice") as error:
        ask(**{first: 700, second: 800})
    assert first in str(error.value) and second in str(error.value)


def test_dims_that_are_no_text_are_named_by_what_they_print():
    got = ask(tp=xr.DataArray([1, 2], dims=(3,)))
    assert got.itl.dims == ("3",) and got["3"].values.tolist() == [0, 1]


@pytest.mark.parametrize(
    "values",
    [
        np.arange(1, 100_001),
        range(1, 100_001),
        list(range(1, 100_001)),
        np.arange(1, 100_001, dtype=np.float32),
        [float(i) for i in range(1, 100_001)],
    ],
    ids=["array", "range", "list", "floats of 4 bytes", "list of floats"],
)
def test_a_long_axis_is_read_as_arrays_and_its_first_bad_value_told(values, monkeypatch):
    from mlsysim.engine import columns

    looked = []
    monkeypatch.setattr(columns, "check", lambda *a: looked.append(a) or 1.0)
    binder = Binder(StepModel.parameters(), "StepModel")
    binder.add("micro_batch", values)
    assert not looked and binder.axes["micro_batch"].values.tolist() == list(range(1, 100_001))
    assert binder.columns["micro_batch"].values.dtype == np.float64
    monkeypatch.undo()
    bad = list(values)
    bad[500], bad[700] = -5, 0
    with pytest.raises(ValueError, match="micro_batch=-5"):
        Binder(StepModel.parameters(), "StepModel").add("micro_batch", bad)
