"""Compositions: what feeds what, and that money, energy and carbon follow the devices really used."""

import numpy as np
import pytest

import mlsysim as ms

TRAIN = {"model": "llama3_1_8b", "hardware": "h100", "tp": 8, "seq_len": 8192, "global_batch": 1024, "region": "usa"}


@pytest.fixture(scope="module")
def train():
    return ms.compose(ms.DistributedModel, ms.EconomicsModel, ms.SustainabilityModel)


def test_money_energy_and_carbon_scale_with_dp(train):
    ds = train.solve(**TRAIN, dp=[1, 2, 4, 8, 16], duration="30 days")
    devices = ds.n_accelerators.values
    assert devices.tolist() == [8, 16, 32, 64, 128]
    np.testing.assert_allclose(ds.capex / ds.capex[0], devices / 8, rtol=1e-12)
    assert np.all(np.diff(ds.tco) > 0) and np.all(np.diff(ds.energy) > 0) and np.all(np.diff(ds.carbon) > 0)
    # per device only the busy share differs, so the rest follows the number of devices closely
    for name in ("tco", "energy", "carbon"):
        per_device = ds[name].values / devices
        assert per_device.max() / per_device.min() < 1.5


def test_a_run_takes_the_training_time(train):
    one = train.solve(**TRAIN, dp=4, tokens="1T")
    days = ms.DistributedModel.solve(
        **{k: v for k, v in TRAIN.items() if k != "region"}, dp=4, tokens="1T"
    ).training_time
    fixed = train.solve(**TRAIN, dp=4, tokens="1T", duration=float(days))
    assert float(one.tco) == float(fixed.tco)
    assert ms.compose(ms.DistributedModel, ms.EconomicsModel)(tokens="1T").bound == {"tokens": "1T"}


def test_what_the_user_binds_is_not_wired(train):
    wires = {(w.stage, w.input): w.output for w in train.wiring({"tokens"})}
    assert wires["EconomicsModel", "duration"] == "training_time"
    assert wires["EconomicsModel", "n_accelerators"] == "n_accelerators"
    assert wires["SustainabilityModel", "compute_utilization"] == "compute_utilization"
    assert ("EconomicsModel", "duration") not in {(w.stage, w.input) for w in train.wiring({"duration_days"})}


def test_a_run_without_length_is_told_what_is_missing(train):
    with pytest.raises(TypeError, match=r"needs duration: DistributedModel gives training_time only when .*tokens="):
        train.solve(**TRAIN, dp=4)


def test_carbon_follows_the_grid(train):
    ds = train.solve(**{**TRAIN, "region": ["usa", "swe"]}, dp=4, duration="30 days")
    ratio = float(ds.carbon_operational.sel(region="usa") / ds.carbon_operational.sel(region="swe"))
    grids = [ms.zoo.grid(r)["carbon_intensity"] for r in ("usa", "swe")]
    assert ratio == pytest.approx(grids[0] / grids[1], rel=1e-12)
    assert float(ds.energy[0]) == float(ds.energy[1])
