"""A bare number that was meant in another unit is remarked on; nothing else is."""

import warnings

import numpy as np
import pytest
import xarray as xr
from terminal import runner

import mlsysim as ms
from mlsysim import units
from mlsysim.cli.commands import app
from mlsysim.schema.ranges import FAR, RANGES
from mlsysim.schema.variables import VARIABLES

POINT = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 512}


def test_every_range_is_of_a_variable_and_holds_its_example():
    for name, usual in RANGES.items():
        variable = VARIABLES[name]
        assert usual.low < units.parse(usual.example, variable.unit) < usual.high, name
        assert usual.low * 20 <= usual.high, name


@pytest.mark.parametrize("name", ["mem_bandwidth", "peak_flops", "mem_capacity", "hourly_price", "link_latency"])
def test_no_row_of_the_zoo_is_unusual(name):
    usual, found = RANGES[name], []
    for key in ms.zoo.names("hardware"):
        value = getattr(ms.zoo.accelerator_record(ms.zoo.hardware(key), 2, None, {}), name)
        found += [value] if value > 0 else []
    assert len(found) > 30 and min(found) * FAR > usual.low and max(found) < usual.high * FAR


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"mem_bandwidth": 3350}, "mem_bandwidth=3350 is in byte/s, far from the usual (from 100 MB/s)"),
        ({"mem_bandwidth": "3350"}, "mem_bandwidth=3350 is in byte/s"),
        ({"hardware.mem_bandwidth": [3350, 4800.0]}, 'write the unit, as in "3.35 TB/s"'),
        ({"mem_bandwidth": np.array([3.35, 4.8])}, "mem_bandwidth=3.35 is in byte/s"),
        ({"mem_capacity": 80}, "mem_capacity=80 is in byte"),
        ({"peak_flops": 989}, "peak_flops=989 is in FLOP/s, far from the usual (from 1 MFLOP/s): write the unit"),
        ({"link_latency": 5, "tp": 2}, "link_latency=5 is in s, far from the usual"),
        ({"hourly_price": 2.5}, "hourly_price=2.5 is in USD/s, far from the usual (0.01 $/h to 20 $/h)"),
    ],
)
def test_a_number_in_another_unit_is_remarked_on(given, says):
    with pytest.warns(UserWarning) as warned:
        ms.ServingModel.program(**POINT, **given)
    said = [one for one in warned if "not read" not in str(one.message)]
    assert len(said) == 1 and says in str(said[0].message) and "\n" not in str(said[0].message)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"peak_flops": 1}, "Hardware: peak_flops=1 is in FLOP/s, far from the usual (from 1 MFLOP/s): write the unit"),
        ({"peak_bf16": "989"}, "Hardware: peak_bf16=989 is in FLOP/s"),
        ({"mem_bandwidth": 3350.0}, "Hardware: mem_bandwidth=3350 is in byte/s"),
        ({"mem_capacity": np.int64(80)}, "Hardware: mem_capacity=80 is in byte, far from the usual (from 100 kB)"),
        ({"hourly_price": 2.5}, "Hardware: hourly_price=2.5 is in USD/s"),
    ],
)
def test_nor_in_a_row_of_one_s_own(given, says):
    with pytest.warns(UserWarning) as said:
        ms.Hardware("h100", name="mine", **given)
    assert len(said) == 1 and says in str(said[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ms.Hardware("h100", name="mine", mem_bandwidth="1 kB/s", peak_bf16="1 FLOP/s", peak_fp8=2e15, price=4)


@pytest.mark.parametrize(
    "given",
    [
        {"mem_bandwidth": 3.35e12},
        {"mem_bandwidth": "3350 GB/s"},
        {"mem_bandwidth": "3350 B/s"},  # whoever says so means it
        {"mem_bandwidth": xr.DataArray(3350.0, attrs={"units": "byte/s"})},
        {"mem_bandwidth": [1e3, 1e6, 1e9, 1e12]},  # a sweep over decades
        {"link_latency": 0},
        {"batch_size": 100_000_000},
    ],
)
def test_nothing_else_is(given):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".* is given, and not read")
        ms.ServingModel.program(**POINT, **given)


def test_prices_and_carbon_in_units_of_everyday():
    run = {"hardware": "h100", "n_accelerators": 8, "duration": "1 day"}
    with pytest.warns(
        UserWarning, match=r'electricity_price=0.12 is in USD/J.*\(0.01 \$/kWh to 1 \$/kWh\).*"0.12 USD/kWh"'
    ):
        ms.EconomicsModel.program(**run, region="usa", electricity_price=0.12)
    with pytest.warns(UserWarning, match=r"carbon_intensity=400 is in kg/J"):
        ms.SustainabilityModel.program(**run, region="usa", carbon_intensity=400)
    assert ms.EconomicsModel.solve(**run, region="usa", kwh_price=0.12).tco > 0  # this spelling has a unit


def test_conditions_and_targets_are_looked_at_as_well():
    grid = {**POINT, "batch_size": [1, 2]}
    with pytest.warns(UserWarning, match='where: itl=50 is in s.*"50 ms"'):
        ms.ServingModel.best("itl", where="itl < 50", **grid)
    with pytest.warns(UserWarning, match="target: itl=20 is in s"):
        ms.SynthesisSolver.solve(ms.ServingModel, targets={"itl": 20}, unknown="batch_size", **POINT)
    found = ms.BatchingOptimizer.solve(**POINT, target_itl="20 s", tp=1)  # the clause that it makes keeps the unit
    assert found.found


def test_the_command_line_says_it_in_one_line():
    words = ["solve", "serving", *(f"{n}={v}" for n, v in POINT.items()), "mem_bandwidth=3350"]
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        shown = runner().invoke(app, words)
    lines = [line for line in shown.stderr.splitlines() if line]
    assert lines[0].startswith("warning: mem_bandwidth=3350 is in byte/s") and shown.exit_code == 0
