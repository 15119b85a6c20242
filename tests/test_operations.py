"""Operations: what is assumed is said, limits of sweeps are answered, figures of fleets are predicted."""

import functools
import math
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from terminal import runner

import mlsysim as ms
from mlsysim import zoo
from mlsysim.calibration import operations
from mlsysim.cli.commands import app
from mlsysim.equations import privacy
from mlsysim.schema.assumptions import FLEET_SPREAD, Assumptions
from mlsysim.schema.codes import Limit
from mlsysim.schema.unsaid import UNSAID
from mlsysim.schema.variables import VARIABLES
from mlsysim.zoo.sites import mix_water

MEASURED = Path(__file__).parent.parent / "benchmarks" / "measured" / "operations.csv"
KWH, HOUR, DAY = 3.6e6, 3600.0, 86400.0
RUN = {"hardware": "h100", "region": "usa", "n_accelerators": 64}


# --- zeros -----------------------------------------------------------------------------------------------

#: a call in which every input of a model that may be 0 is given, and which of them are
SWEPT = {
    "ReliabilityModel": (
        {"hardware": "h100", "n_accelerators": 64, "job_duration": DAY, "checkpoint_blocking_time": 30.0,
         "checkpoint_write_time": 60.0, "restore_time": 50.0, "restart_time": 300.0, "checkpoint_interval": HOUR,
         "spare_nodes": 2},
        ("job_duration", "checkpoint_blocking_time", "checkpoint_write_time", "restore_time", "restart_time",
         "checkpoint_interval", "spare_nodes"),
    ),
    "OrchestrationModel": (
        {"hardware": "h100", "n_accelerators": 64, "devices_per_job": 8, "arrival_rate": 1e-4, "avg_duration": HOUR},
        ("avg_duration",),
    ),
    "EconomicsModel": (
        {**RUN, "duration": 1e6, "cluster_utilization": 0.7, "compute_utilization": 0.5, "tokens": 1e12, "budget": 1e9},
        ("duration", "cluster_utilization", "compute_utilization", "tokens", "budget"),
    ),
    "SustainabilityModel": (
        {**RUN, "duration": 1e6, "cluster_utilization": 0.7, "compute_utilization": 0.5, "tokens": 1e12},
        ("duration", "cluster_utilization", "compute_utilization", "tokens"),
    ),
    "CheckpointModel": (
        {"model": "llama3_1_8b", "hardware": "h100", "n_accelerators": 64, "checkpoint_interval": HOUR},
        ("checkpoint_interval",),
    ),
    "ResponsibleEngineeringModel": (
        {"base_training_time": 1e6, "epsilon": 3.0, "batch_size": 512, "dataset_size": 1e6, "epochs": 3,
         "subgroup_share": 0.1},
        ("base_training_time", "epsilon", "epochs", "subgroup_share"),
    ),
    "DataModel": (
        {"hardware": "h100", "samples_per_s": 1e3, "sample_bytes": 1e5, "storage_bandwidth": 1e9, "storage_iops": 1e5,
         "shared_bandwidth": 1e10, "cache_hit_ratio": 0.5, "cache_bandwidth": 1e10, "rate_cv": 0.5},
        ("samples_per_s", "cache_hit_ratio", "rate_cv"),
    ),
    "TransformationModel": (
        {"batch_size": 256, "step_time": 0.03, "cores": 64, "sample_cpu_time": 0.01, "rate_cv": 0.3},
        ("sample_cpu_time", "rate_cv"),
    ),
    "ScalingModel": (
        {"hardware": "h100", "n_accelerators": 64, "duration": 1e7, "mfu": 0.4, "served_tokens": 1e12,
         "unique_tokens": 1e11, "batch_tokens": 4e6},
        ("duration", "mfu", "served_tokens"),
    ),
    "DistributedModel": (
        {"model": "llama3_1_8b", "hardware": "h100", "global_batch": 64, "seq_len": 4096, "tokens": 1e12, "duration": DAY},
        ("tokens", "duration"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("model", "name"), [(m, n) for m, (_, names) in SWEPT.items() for n in names])
def test_a_sweep_may_begin_at_zero(model, name):
    """Costs 0, rates 0 or inf, never NaN, within the bounds of the schema."""
    call, _ = SWEPT[model]
    found = ms.RESOLVERS[model].solve(**{**call, name: [0.0, call[name]]})
    for output, array in found.data_vars.items():
        variable, values = VARIABLES[str(output)], np.asarray(array.values, np.float64)
        assert not np.isnan(values).any(), output
        assert (values >= variable.low).all() and (values <= variable.high).all(), (output, values)
        assert not variable.above or (values > variable.low).all(), (output, values)


def test_nothing_for_nothing():
    cost = ms.EconomicsModel.solve(**RUN, duration=0, tokens=0)
    assert cost.tco == 0 and cost.usd_per_mtok == 0 and cost.feasible
    assert ms.EconomicsModel.solve(**RUN, duration=DAY, tokens=0).usd_per_mtok == math.inf
    assert ms.EconomicsModel.solve(**RUN, duration=DAY, cluster_utilization=0).cost_per_device_time == math.inf
    used = ms.SustainabilityModel.solve(**RUN, duration=0, tokens=0)
    assert used.carbon == 0 and used.water == 0 and used.joule_per_mtok == 0
    assert ms.ReliabilityModel.solve(hardware="h100", n_accelerators=1024, job_duration=0).failure_probability == 0
    nothing = ms.ScalingModel.solve(compute_budget=0.0)
    assert nothing.optimal_params == 0 and nothing.optimal_loss == math.inf and nothing.limit == Limit.BUDGET
    idle = ms.DataModel.solve(hardware="h100", workload_data_rate=0.0)
    assert idle.utilization == 0 and not idle.is_stalled and idle.margin == math.inf and idle.slowdown == 1


# --- what is assumed is said -------------------------------------------------------------------------------


def test_the_activity_of_a_training_is_assumed_and_said():
    known = ms.SustainabilityModel.solve(**RUN, duration=DAY, compute_utilization=0.8)
    taken = ms.SustainabilityModel.solve(**RUN, duration=DAY)
    assert float(taken.energy) == float(known.energy)
    assert "compute_utilization" in taken.attrs["assumed"] and "compute_utilization" not in known.attrs["assumed"]
    assert float(ms.EconomicsModel.solve(**RUN, duration=DAY, compute_activity=0.1).electricity_cost) < float(
        ms.EconomicsModel.solve(**RUN, duration=DAY).electricity_cost
    )


def test_what_another_model_feeds_is_not_assumed():
    chain = ms.compose(ms.ServingModel, ms.SustainabilityModel)
    found = chain.solve(model="llama3_1_8b", hardware="h100", seq_len=1024, region="usa", duration=DAY)
    assert "compute_utilization" not in found.attrs.get("assumed", "")


def test_what_may_be_assumed_are_inputs():
    for model, table in UNSAID.items():
        for names in table:
            assert set(names) <= set(ms.RESOLVERS[model].parameters()), (model, names)


def test_transformation_answers_the_inputs_of_the_guide():
    found = ms.TransformationModel.solve(batch_size=256, cpu_throughput=2000)
    assert float(found.transform_time) == pytest.approx(0.128) and float(found.throughput) == pytest.approx(2000)
    assert "samples per second" in found.attrs["assumed"] and "is_bottleneck" not in found
    assert ms.TransformationModel.solve(batch_size=256, cpu_throughput=2000, step_time="0.1 s").is_bottleneck
    sized = ms.TransformationModel.solve(batch_size=256, cpu_throughput="200 MB/s", sample_bytes="100 kB", cores=4)
    assert float(sized.transform_time) == pytest.approx(0.032) and "samples per second" not in sized.attrs["assumed"]


def test_how_busy_is_one_word():
    data = ms.DataModel.solve(hardware="h100", workload_data_rate="2.2 GB/s", storage_bandwidth="2 GB/s")
    assert float(data.utilization) == float(data.link_utilization) == pytest.approx(1.1)
    queue = ms.OrchestrationModel.solve(fleet="dgx_h100", arrival_rate=1e-5, avg_duration=DAY, n_accelerators=1024)
    assert float(queue.utilization) == float(queue.queue_utilization) == pytest.approx(0.864)
    assert "devices_per_job" in queue.attrs["assumed"]


def test_the_command_line_says_what_is_assumed():
    words = ["solve", "transformation", "batch_size=256", "cpu_throughput=2000"]
    told = runner().invoke(app, words, env={"COLUMNS": "200"}).stdout
    assert "assumed: " in told and "; cores is 1" in told and "128 ms" in told


# --- reliability -------------------------------------------------------------------------------------------


def test_a_job_that_never_ends_is_not_feasible():
    found = ms.ReliabilityModel.solve(hardware="h100", n_accelerators=[1e5, 1e6, 1e7], job_duration="30 days")
    assert found.feasible.values.tolist() == [True, True, False]
    assert found.limit.values[2] == Limit.SATURATION and 0 < found.goodput.values[2] < 1e-3
    assert ms.ReliabilityModel.solve(
        hardware="h100", n_accelerators=1e7, job_duration="30 days", least_goodput=0
    ).feasible


def fleets():
    return [row for row in map(zoo.reliability, zoo.names("reliability")) if row["failure_level"]]


def test_the_spread_between_sites_is_that_of_the_table():
    levels = np.array([row["failure_level"] for row in fleets()])
    assert pytest.approx(math.sqrt(np.mean(np.log(levels) ** 2)), abs=0.01) == FLEET_SPREAD
    rate = zoo.reliability("llama3_unexpected_interruptions")["derived_per_device_mtbf_h"]
    for row in fleets():
        assert zoo.hardware(row["hardware"]) and row["source"]
        per_device = row["derived_per_device_mtbf_h"] * (8 if "node" in row["component"] else 1)
        assert row["failure_level"] == pytest.approx(rate / per_device, rel=0.01), row.key


def test_the_interval_holds_for_other_fleets():
    """Eight sites of ten: of seven fleets, all but the worst."""
    found = ms.ReliabilityModel.solve(hardware="h100", n_accelerators=1024, job_duration="30 days")
    inside = [
        float(found.mtbf_low) <= float(found.mtbf) / row["failure_level"] <= float(found.mtbf_high) for row in fleets()
    ]
    assert sum(inside) == len(inside) - 1
    drawn = ms.ReliabilityModel.solve(
        hardware="h100", n_accelerators=1024, job_duration="30 days", quantile=[0.1, 0.9], sample=2000
    ).mtbf.values
    assert drawn == pytest.approx([float(found.mtbf_low), float(found.mtbf_high)], rel=0.2)
    sure = ms.ReliabilityModel.solve(hardware="h100", n_accelerators=1024, job_duration="30 days", failure_spread=0)
    assert float(sure.mtbf_low) == float(sure.mtbf) == float(sure.mtbf_high)


def test_the_penalty_of_a_checkpoint_by_hand():
    known = {"model": "llama3_1_70b", "hardware": "h100", "n_accelerators": 512, "checkpoint_interval": "10 minutes"}
    found = ms.CheckpointModel.solve(penalty_basis=["cycle", "interval"], **known)
    none = ms.CheckpointModel.solve(**{**known, "checkpoint_interval": 0}, penalty_basis="interval")
    assert none.mfu_penalty == math.inf and none.limit == Limit.SATURATION
    write = found.checkpoint_blocking_time.values[0]
    assert found.mfu_penalty.values == pytest.approx([write / (600 + write), write / 600])


# --- privacy -----------------------------------------------------------------------------------------------


def test_privacy_costs_more_for_less_epsilon():
    found = ms.ResponsibleEngineeringModel.solve(base_training_time="10 days", epsilon=[0.002, 0.1, 1.0, 8.0, 100.0])
    assert (np.diff(found.dp_slowdown.values) < 0).all() and found.feasible.all()
    assert found.dp_slowdown.values == pytest.approx(found.batch_growth.values * found.dp_step_slowdown.values)
    for word in ("8.9e6", "256", "50,000", "200"):
        assert word in found.attrs["assumed"]
    # De et al. 2022 train Wide-ResNet-40-4 on batches of 4,096 at epsilon 8
    assert 4096 / 2 < found.equal_utility_batch.values[3] < 4096 * 2


def test_a_model_and_data_of_ones_own_decide_the_slowdown():
    known = {"base_training_time": "10 days", "epsilon": 8.0, "dataset_size": 1e9, "epochs": 1}
    found = ms.ResponsibleEngineeringModel.solve(model="llama3_1_8b", batch_size=[256, 2**20], **known)
    assert found.dp_slowdown.values[0] > 50 * found.dp_slowdown.values[1] > 0
    assert "without" not in found.attrs["assumed"]
    large = ms.ResponsibleEngineeringModel.solve(model="llama3_1_8b", batch_size=2**24, **known)
    assert large.batch_growth == 1 and float(large.dp_slowdown) == float(large.dp_step_slowdown)


@pytest.mark.parametrize("epsilon", [0.002, 1e-4])
def test_small_epsilons_are_reached(epsilon):
    sigma = float(privacy.noise_multiplier(256 / 60000, epsilon, 14062.0, 1e-5, 1.0, 0.0))
    assert sigma < math.inf
    assert float(privacy.epsilon(256 / 60000, sigma, 14062.0, 1e-5, 1.0, 0.0)) == pytest.approx(epsilon, rel=1e-9)
    # many steps are one Gaussian of mu = q sqrt(T) / sigma, whose delta at epsilon is known (Dong et al. 2019)
    mu = 256 / 60000 * math.sqrt(14062.0) / sigma

    def phi(x):
        return 0.5 * math.erfc(-x / math.sqrt(2.0))

    spent = phi(-epsilon / mu + mu / 2) - math.exp(epsilon) * phi(-epsilon / mu - mu / 2)
    assert spent < 1e-5


def test_high_orders_are_summed_right():
    """The sum of an order above 1,024, cut where terms no longer count, against the whole of it."""
    q, sigma, order = 0.01, 300.0, 2048
    k = np.arange(order + 1.0)
    log_terms = (
        np.array([math.lgamma(order + 1) - math.lgamma(i + 1) - math.lgamma(order - i + 1) for i in k])
        + k * math.log(q) + (order - k) * math.log1p(-q) + (k * k - k) / (2 * sigma**2)
    )  # fmt: skip
    whole = np.logaddexp.reduce(log_terms) / (order - 1)
    assert float(privacy.renyi_divergence(q, sigma, float(order))) == pytest.approx(whole, rel=1e-6)


# --- energy ------------------------------------------------------------------------------------------------


def test_energy_by_mfu_is_the_hand_calculation():
    found = ms.SingleNodeModel.solve(
        model="llama3_1_8b", hardware="h100", batch_size=8, energy_basis=["activity", "mfu"]
    )
    card = zoo.hardware("h100")
    power = card["idle_power"] + (card["tdp"] - card["idle_power"]) * found.mfu.values[0]
    assert found.energy_per_sample.values[1] == pytest.approx(power * found.latency.values[0] / 8)
    assert found.energy_per_sample.values[1] < found.energy_per_sample.values[0]


def test_every_grid_has_water():
    for name in zoo.names("grids"):
        row = zoo.grid(name)
        assert zoo.site_record(row, "us_average_2023").offsite_water >= 0, name
        published = row.values_by_column["offsite_water_L_per_kWh"] is not None
        assert published or ("offsite_water" in row.derived and row.spread("offsite_water") >= 0.4), name
    found = ms.SustainabilityModel.solve(hardware="h100", region=["usa", "nor", "sgp"], n_accelerators=8, duration=DAY)
    assert (found.water.values > found.water_onsite.values).all() and "sgp.offsite_water" in found.attrs["derived"]


def test_water_of_a_mix_by_hand():
    """A third coal, a third wind, a third water: (2.6 + 0 + 17) / 3 litres a kWh."""
    assert mix_water("coal 1 wind 1 hydro 1") * KWH == pytest.approx((2.601 + 0.0 + 17.0) / 3.0, rel=1e-6)
    by_mix, published = mix_water(str(zoo.grid("usa")["generation_mix"])) * KWH, 4.52
    assert abs(math.log(by_mix / published)) == pytest.approx(zoo.sites.OF_MIX, abs=0.05)
    for name in zoo.names("grids"):
        words = str(zoo.grid(name)["generation_mix"] or "").split()
        assert sum(map(float, words[1::2])) == pytest.approx(1.0 if words else 0.0, abs=1e-6), name


def test_a_published_carbon_figure_is_one_of_several():
    known = {"hardware": "h100", "n_accelerators": 8, "duration": DAY, "quantile": [0.1, 0.9], "tdp": 700.0}
    known["assume"] = Assumptions(**{n: float(v) for n, v in Assumptions._field_defaults.items()})  # none is drawn
    rates = [
        ms.SustainabilityModel.solve(**known, **place).carbon_operational.values
        for place in ({"region": "usa"}, {"region": "usa", "carbon_intensity": "369 g/kWh"})
    ]
    assert rates[0][1] / rates[0][0] == pytest.approx(math.exp(2 * 1.2816 * zoo.sites.COUNTED), rel=0.05)
    assert rates[1].ndim == 0  # one's own figure is known
    assert zoo.grid("usa").spread("carbon_intensity") == zoo.sites.COUNTED and zoo.grid("us-central1").derived


# --- placement ---------------------------------------------------------------------------------------------


def test_placement_says_whose_prices_it_ranks_by():
    default = ms.PlacementOptimizer.solve(hardware="h100", n_accelerators=64, duration=DAY)
    named = len([k for k in default.configurations.values if k]) and int(default.attrs["points"])
    assert f"price of electricity: {named} of their own (" in default.attrs["candidates"]
    assert default.attrs["candidates"].endswith("of these not read at a source)")
    with pytest.warns(UserWarning, match="different methods"):
        mixed = ms.PlacementOptimizer.solve(
            hardware="h100", n_accelerators=64, duration=DAY, region=["nor", "us-central1"]
        )
    assert mixed.attrs["prices"] == "price of electricity: 1 of their own, 1 of the state, country or union around them"


def test_a_place_without_a_price_can_have_the_least_carbon():
    clean = zoo.Grid(name="clean_place_without_price", carbon_intensity="1 g/kWh")
    found = ms.PlacementOptimizer.solve(hardware="h100", n_accelerators=64, duration=DAY, region=["nor", clean])
    assert found.region == "clean_place_without_price"


@pytest.mark.parametrize("ask", ["solve", "best", "top", "pareto"])
def test_figures_of_years_far_apart_are_told(ask):
    model, known = ms.SustainabilityModel, {"hardware": "h100", "n_accelerators": 8, "duration": DAY}
    road = {
        "solve": model.solve,
        "best": functools.partial(model.best, "carbon"),
        "top": functools.partial(model.top, 1, "carbon"),
        "pareto": functools.partial(model.pareto, ["carbon", "water"]),
    }[ask]
    with pytest.warns(UserWarning, match=r"years far apart: 2018 \(world_2019\), 2023"):
        road(region=["us_va", "world_2019"], **known)
    with pytest.warns(UserWarning, match="different methods"):
        road(region=["us_va", "fra"], **known)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        road(region=["nor", "fra"], **known)


# --- figures of fleets -------------------------------------------------------------------------------------


@functools.cache
def told():
    return ms.validate(MEASURED)


def test_figures_of_fleets_are_predicted():
    found = told()
    groups = found.summary["groups"]
    assert found.kind == "operations" and found.answered >= 160
    assert found.summary["targets"]["energy"]["median_ape"] <= 0.2
    for name in ("training_energy/model", "interruptions/own rates", "interruptions/other fleets"):
        for target, entry in groups[name].items():
            assert entry["coverage80"] == 1.0, (name, target)
    assert groups["training_energy/definition"]["carbon"]["median_ape"] < 0.15
    assert groups["training_hours"]["device_hours"]["coverage80"] >= 0.6
    assert groups["goodput"]["goodput"]["median_ape"] < 0.06


def test_an_account_at_full_power_follows_its_definition():
    """Hours x power x grid, whatever the defaults of the model are."""
    runs = pd.DataFrame(
        [{"area": "training_energy", "quantity": "carbon_location", "value": 40.0, "unit": "t", "hardware": "h100",
          "device_hours": 1e5, "power_per_device_W": 1000.0, "pue": 1.1, "carbon_g_per_kWh": 400.0, "notes": ""}]
    )  # fmt: skip
    found = ms.validate(runs, Assumptions(host_power_fraction=0.9, compute_activity=0.1), sample=0)
    assert found.rows.predicted.item() == pytest.approx(1e5 * 1.0 * 1.1 * 0.4)
    assert found.rows.group.item() == "training_energy/definition"


def test_nothing_is_fitted_to_figures_of_fleets():
    with pytest.raises(ValueError, match="predicted, nothing is fitted"):
        ms.calibrate(None, MEASURED)


def test_energy_without_hours_is_that_of_the_tokens():
    row = {"area": "training_energy", "hardware": "h100", "model": "llama3_8b", "n_devices": 512.0, "tokens": 1e12}
    hours = {**row, "quantity": "device_hours", "value": 1e5, "unit": "h"}
    energy = {**row, "quantity": "energy", "value": 100.0, "unit": "MWh"}
    found = ms.validate(pd.DataFrame([hours, energy]), sample=0).rows
    assert found.group.tolist() == ["training_hours", "training_energy/from tokens"]
    run = ms.SustainabilityModel.solve(
        hardware="h100", n_accelerators=1, duration=float(found.predicted[0]), region="usa", pue=1.4
    )
    assert found.predicted[1] == pytest.approx(float(run.energy))


def test_rates_of_another_fleet_are_inside():
    row = {"area": "interruptions", "quantity": "mtti", "unit": "h", "hardware": "a100_sxm4_80gb"}
    runs = pd.DataFrame([{**row, "value": 29500.0 / 512, "n_devices": 512}, {**row, "value": 1.8, "n_devices": 16384}])
    found = ms.validate(runs)
    assert found.summary["groups"]["interruptions/other fleets"]["mtbf"]["coverage80"] == 1.0


def test_what_is_not_predicted_says_why():
    rows = [
        {"area": "interruptions", "quantity": "interruptions_cpu", "value": 2.0, "unit": "1", "n_devices": 8},
        {"area": "goodput", "quantity": "goodput", "value": 0.9, "unit": "1"},
        {"area": "training_energy", "quantity": "energy", "value": 2.0, "unit": "MWh", "hardware": "h100"},
        {"area": "training_energy", "quantity": "energy", "value": 2.0, "unit": "ton", "hardware": "h100"},
        {"area": "training_energy", "quantity": "device_hours", "value": 2.0, "unit": "h", "hardware": "h100"},
    ]
    why = ms.validate(pd.DataFrame(rows), sample=0).refused.why.tolist()
    assert [w.split()[0] for w in why] == ["interruptions:", "the", "no", "unit", "no"]


def test_hours_of_a_training_hold_failures_checkpoints_and_evaluation():
    card, model = zoo.hardware("h100"), zoo.model("llama3_1_70b")
    point = {"precision": 3}
    shares = [operations.useful(model, card, n, 1e12, point) for n in (64.0, 4096.0, 65536.0)]
    assert 1.0 - operations.EVALUATED > shares[0] > shares[1] > shares[2] > 0.3
