"""What must hold for any input: money, energy, failures, queues, privacy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import keep_loops

import mlsysim as ms
from mlsysim import zoo
from mlsysim.equations import privacy, queueing
from mlsysim.equations import reliability as failures
from mlsysim.models.checkpoint import checkpoint
from mlsysim.models.economics import economics
from mlsysim.models.orchestration import orchestration
from mlsysim.models.reliability import reliability
from mlsysim.models.responsible import responsible_engineering
from mlsysim.models.sustainability import sustainability
from mlsysim.models.tail_latency import tail_latency
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Clipping, Precision, Procurement, Routing

DEVICE = zoo.accelerator_record(zoo.hardware("h100"), Precision.BF16)
FLEET = zoo.fleet_record(None, zoo.hardware("h100"))
SITE = zoo.site_record(zoo.grid("usa"), zoo.datacenter("us_average_2023"))
MODEL = zoo.workload_record(zoo.model("Llama-3.1-70B"))
FORMAT = zoo.format_record(Precision.BF16)
ASSUME = Assumptions()
DAY = 86400.0


@pytest.fixture(autouse=True)
def kept(monkeypatch):
    keep_loops(monkeypatch)


shares = st.floats(0.0, 1.0)
busy = st.floats(0.01, 1.0)
counts = st.integers(1, 200_000).map(float)
times = st.floats(1.0, 1e10)
loads = st.floats(0.001, 1.3)


def close(a, b, rel=1e-12):
    return float(a) == pytest.approx(float(b), rel=rel)


def no_nan(result):
    for name, value in result._asdict().items():
        assert value is None or not np.isnan(np.asarray(value, dtype=float)).any(), name


# --- money and carbon ----------------------------------------------------------------------------------


@given(times, counts, shares, shares, busy, st.sampled_from(list(Procurement)))
def test_cost_adds_up_and_scales(duration, n, compute, memory, used, procurement):
    def cost(duration, n):
        return economics(
            DEVICE,
            FLEET,
            SITE,
            ASSUME,
            duration,
            n,
            compute_utilization=compute,
            memory_activity=memory,
            cluster_utilization=used,
            procurement=procurement,
            tokens=1e12,
        )

    one = cost(duration, n)
    no_nan(one)
    assert close(one.tco, one.capex + one.opex)
    if procurement == Procurement.OWN:
        assert close(one.opex, one.electricity_cost + one.maintenance_cost + one.staff_cost)
    else:
        assert close(one.tco, one.rent_cost) and one.capex == 0
    assert close(one.cost_per_device_time, one.tco / (n * duration * used))
    assert close(cost(2.0 * duration, n).tco, 2.0 * one.tco)
    assert close(cost(duration, 3.0 * n).tco, 3.0 * one.tco)
    assert close(one.usd_per_mtok, one.tco / 1e6)


@given(times, counts, shares, shares, busy)
def test_footprint_adds_up_and_scales(duration, n, compute, memory, used):
    def footprint(duration, n, compute):
        return sustainability(
            DEVICE,
            FLEET,
            SITE,
            ASSUME,
            duration,
            n,
            compute_utilization=compute,
            memory_activity=memory,
            cluster_utilization=used,
        )

    one = footprint(duration, n, compute)
    no_nan(one)
    assert close(one.energy, one.it_energy * SITE.pue)
    assert close(one.energy, one.average_power * duration)
    assert close(one.carbon, one.carbon_operational + one.carbon_embodied)
    assert close(one.water, one.water_onsite + one.water_offsite)
    for name in ("energy", "carbon", "water"):
        assert close(getattr(footprint(2.0 * duration, n, compute), name), 2.0 * getattr(one, name))
        assert close(getattr(footprint(duration, 3.0 * n, compute), name), 3.0 * getattr(one, name))
    assert footprint(duration, n, min(1.0, compute + 0.1)).energy >= one.energy


@given(shares, shares)
def test_power_lies_between_idle_and_provisioned(compute, memory):
    from mlsysim.equations import energy

    power = energy.it_power(DEVICE, ASSUME, compute, memory)
    assert DEVICE.idle_power < power <= energy.provisioned_power(DEVICE, ASSUME) * (1.0 + 1e-12)


def test_a_run_that_never_ends_costs_inf_and_never_nan():
    free = SITE._replace(electricity_price=0.0, carbon_intensity=0.0, wue=0.0)
    no_nan(economics(DEVICE, FLEET, free, Assumptions(staff_price=0.0), math.inf, 8.0, tokens=1e9))
    found = sustainability(DEVICE, FLEET, free, ASSUME, math.inf, 8.0, tokens=1e9)
    no_nan(found)
    assert found.energy == math.inf and found.water_onsite == 0.0


@given(st.floats(0.0, 0.5), st.floats(1.0, 40.0), shares)
def test_annuity_pays_the_loan_back(interest, years, residual):
    from mlsysim.equations.money import capital_charge, capital_recovery_factor

    factor = float(capital_recovery_factor(interest, years))
    assert factor >= max(interest, 1.0 / years) * (1.0 - 1e-9)
    assert float(capital_charge(1.0, residual, interest, years)) <= factor * (1.0 + 1e-12)


def test_a_missing_price_is_refused_by_name_and_takes_nothing_else_along():
    known = dict(hardware="tpu_v5p", fleet="tpu_v5p_pod", region="usa", duration=DAY, n_accelerators=8)  # noqa: C408
    found = ms.EconomicsModel.solve(**known)
    assert "electricity_cost" in found and "staff_cost" in found
    assert "tco" not in found and "price" in found.attrs["omitted"]
    with pytest.raises(ValueError, match="price"):
        ms.EconomicsModel.solve(keep=["tco"], **known)
    assert "tco" in ms.EconomicsModel.solve(price=30_000.0, **known)


def test_unknown_off_site_water_leaves_on_site_water():
    found = ms.SustainabilityModel.solve(
        hardware="h100", carbon_intensity="400 g/kWh", duration=DAY, n_accelerators=8
    )  # no grid, so no way in which it generates
    assert "water_onsite" in found and "energy" in found and "carbon" in found
    assert "water" not in found and "water_offsite" not in found


def test_run_to_cost_to_carbon_are_wired_by_name():
    chain = ms.compose(ms.CheckpointModel, ms.ReliabilityModel, ms.EconomicsModel, ms.SustainabilityModel)
    found = chain.solve(
        model="llama3_1_70b", hardware="h100", region="usa", n_accelerators=[64, 1024], job_duration=30 * DAY
    )
    assert np.all(found.completion_time > 30 * DAY)
    alone = ms.EconomicsModel.solve(
        hardware="h100", region="usa", n_accelerators=1024, duration=float(found.completion_time[1])
    )
    assert close(found.tco[1], alone.tco)


# --- failures and checkpoints --------------------------------------------------------------------------


@given(st.floats(60.0, 1e8), counts, st.floats(0.0, 600.0), st.floats(0.0, 3600.0), st.floats(0.0, 4.0))
def test_time_is_shared_out(duration, n, cost, restart, level):
    found = reliability(
        FLEET,
        Assumptions(failure_level=level),
        duration,
        n,
        checkpoint_blocking_time=cost,
        restart_time=restart,
    )
    no_nan(found)
    total = found.goodput + found.checkpoint_share + found.rework_share + found.restart_share
    assert float(total) == pytest.approx(1.0, abs=1e-6)
    assert 0.0 <= found.goodput <= 1.0
    assert found.completion_time >= duration * (1.0 - 1e-12)
    assert bool(found.feasible) == (found.goodput >= Assumptions().least_goodput)


@given(st.floats(0.1, 600.0), st.floats(3600.0, 1e7), st.floats(0.0, 1000.0))
def test_exact_interval_is_the_best(cost, mtbf, restart):
    best = float(failures.exact_interval(cost, mtbf))
    at_best = failures.goodput(best, cost, restart, mtbf)
    for factor in (0.5, 0.9, 1.1, 2.0):
        assert failures.goodput(best * factor, cost, restart, mtbf) <= at_best * (1.0 + 1e-13)
    if cost < 0.1 * mtbf:
        assert float(failures.daly_interval(cost, mtbf)) == pytest.approx(best, rel=5e-3)
        assert float(failures.young_interval(cost, mtbf)) >= best


@given(counts, counts)
def test_more_devices_fail_more_often(a, b):
    low, high = sorted((a, b))
    few, many = (reliability(FLEET, ASSUME, DAY, n) for n in (low, high))
    assert few.mtbf >= many.mtbf
    assert few.goodput >= many.goodput
    assert few.failure_probability <= many.failure_probability


@given(st.floats(1.0, 300.0), st.floats(0.0, 300.0), st.integers(8, 20_000))
def test_an_asynchronous_checkpoint_loses_what_was_not_yet_safe(blocking, lag, n):
    safe = reliability(FLEET, ASSUME, DAY, float(n), checkpoint_blocking_time=blocking)
    lagging = reliability(
        FLEET, ASSUME, DAY, float(n), checkpoint_blocking_time=blocking, checkpoint_write_time=blocking + lag
    )
    assert lagging.goodput <= safe.goodput * (1.0 + 1e-12)


@given(st.integers(0, 60), st.integers(8, 20_000))
def test_spares_help(spares, n):
    waits = [
        float(reliability(FLEET, ASSUME, DAY, float(n), spare_nodes=float(s)).spare_wait) for s in (spares, spares + 1)
    ]
    assert waits[0] >= waits[1] >= 0.0


@given(counts, st.booleans(), st.booleans(), st.floats(1e8, 1e12))
def test_checkpoint_parts_and_paths(n, sharded, asynchronous, bandwidth):
    found = checkpoint(
        MODEL,
        DEVICE,
        FLEET,
        FORMAT,
        Assumptions(checkpoint_bandwidth=bandwidth),
        n,
        sharded=float(sharded),
        asynchronous=float(asynchronous),
    )
    no_nan(found)
    parts = found.checkpoint_weights + found.checkpoint_master_weights + found.checkpoint_moments
    assert close(found.checkpoint_size, parts)
    assert found.checkpoint_blocking_time <= found.checkpoint_write_time
    assert found.write_bandwidth <= bandwidth
    assert 0.0 <= found.mfu_penalty <= 1.0


# --- queues --------------------------------------------------------------------------------------------


@given(st.integers(1, 3000).map(float), loads, loads)
def test_erlang_c_is_a_probability_that_grows_with_load(servers, a, b):
    low, high = sorted((a, b))
    few, many = (float(queueing.erlang_c(servers, x * servers)) for x in (low, high))
    assert 0.0 <= few <= many * (1.0 + 1e-12) <= 1.0 + 1e-12
    assert float(queueing.erlang_c(servers + 1.0, low * servers)) <= few * (1.0 + 1e-12)


@given(
    st.integers(1, 200).map(float),
    loads,
    st.floats(0.0, 3.0),
    st.floats(0.0, 3.0),
    st.integers(1, 50).map(float),
    st.sampled_from(list(Routing)),
    st.floats(0.1, 10.0),
    st.booleans(),
)
def test_percentiles_are_ordered_and_never_nan(servers, share, arrival_cv, service_cv, leaves, routing, target, hedged):
    service = 0.3
    found = tail_latency(
        share * servers / service,
        service,
        servers,
        arrival_cv=arrival_cv,
        service_cv=service_cv,
        fan_out=leaves,
        routing=routing,
        latency_target=target,
        hedge_after=1.5 if hedged else None,
    )
    no_nan(found)
    waits = (found.wait_p50, found.wait_p90, found.wait_p95, found.wait_p99, found.wait_p999)
    responses = (
        found.response_p50,
        found.response_p90,
        found.response_p95,
        found.response_p99,
        found.response_p999,
    )
    for series in (waits, responses):
        assert all(a <= b for a, b in zip(series, series[1:]))  # noqa: RUF007
    assert bool(found.stable) == (found.queue_utilization < 1.0)
    assert np.isfinite(found.response_p99) == bool(found.stable)
    assert 0.0 <= found.sla_attainment <= 1.0
    if found.stable and float(found.sla_attainment) > 0.99 + 1e-9:
        assert found.response_p99 <= target * (1.0 + 1e-9)
    if found.sla_attainment < 0.99 - 1e-9:
        assert found.response_p99 >= target * (1.0 - 1e-9)


@given(st.integers(2, 50).map(float), st.floats(0.05, 0.95))
def test_one_queue_beats_a_queue_each(servers, share):
    together = tail_latency(share * servers, 1.0, servers)
    apart = tail_latency(share * servers, 1.0, servers, routing=Routing.RANDOM)
    assert together.avg_wait_time <= apart.avg_wait_time
    assert together.response_p99 <= apart.response_p99


@given(st.integers(1, 60).map(float), st.floats(0.05, 0.97), st.floats(0.0, 2.0))
def test_mean_response_is_wait_and_service(servers, share, service_cv):
    found = tail_latency(share * servers, 1.0, servers, service_cv=service_cv)
    assert float(found.avg_response_time) == pytest.approx(float(found.avg_wait_time) + 1.0, rel=1e-5)


@given(st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.floats(0.0, 3.0))
def test_priorities_conserve_the_mean_wait(share, urgent, duration_cv):
    found = orchestration(
        FLEET, share / 3600.0, 3600.0, duration_cv=duration_cv, priority_share=urgent, n_accelerators=64.0
    )
    mixed = urgent * found.high_priority_wait_time + (1.0 - urgent) * found.low_priority_wait_time
    assert close(mixed, found.avg_wait_time, rel=1e-9)
    assert found.high_priority_wait_time <= found.low_priority_wait_time * (1.0 + 1e-12)


@given(
    st.integers(1, 5000).map(float),
    st.integers(1, 600).map(float),
    st.floats(0.0, 2.0),
    st.floats(1e-6, 1e-2),
    shares,
    st.floats(0.0, 3.0),
)
def test_a_cluster_is_never_more_than_full(devices, size, size_cv, arrivals, backfill, duration_cv):
    found = orchestration(
        FLEET,
        arrivals,
        3600.0,
        n_accelerators=devices,
        devices_per_job=size,
        size_cv=size_cv,
        backfill=backfill,
        duration_cv=duration_cv,
        priority_share=0.2,
        preemptive=1.0,
        preemption_overhead=60.0,
    )
    no_nan(found)
    assert 0.0 <= found.cluster_utilization <= 1.0 + 1e-12
    assert found.cluster_fragmentation <= 1.0
    assert bool(found.feasible) == bool(found.stable and size <= devices)


# --- privacy -------------------------------------------------------------------------------------------


@given(st.floats(1e-4, 0.05), st.floats(0.6, 10.0), st.integers(10, 20_000).map(float))
def test_epsilon_falls_with_noise_and_grows_with_steps(rate, sigma, steps):
    # columns: as it is, more noise, more steps, classic, whole orders only; more than a few elements are compiled
    noise = sigma * np.array([1.0, 1.2, 1.0, 1.0, 1.0])
    taken = steps * np.array([1.0, 1.0, 2.0, 1.0, 1.0])
    improved, fractional = np.array([1.0, 1.0, 1.0, 0.0, 1.0]), np.array([1.0, 1.0, 1.0, 1.0, 0.0])
    base, noisier, longer, classic, whole = privacy.epsilon(rate, noise, taken, 1e-5, improved, fractional)
    assert noisier <= base <= longer
    assert base <= classic
    assert base <= whole


@given(st.floats(1e-3, 0.02), st.floats(0.3, 8.0), st.integers(100, 5000).map(float))
def test_noise_spends_what_was_wanted(rate, wanted, steps):
    sigma = float(privacy.noise_multiplier(rate, wanted, steps, 1e-5, 1.0, 1.0))
    assert float(privacy.epsilon(rate, sigma, steps, 1e-5, 1.0, 1.0)) == pytest.approx(wanted, rel=1e-6)


@given(st.floats(0.1, 10.0), st.sampled_from(list(Clipping)), st.integers(1, 4096).map(float))
def test_private_training_is_slower_and_never_nan(epsilon, clipping, batch):
    found = responsible_engineering(
        ASSUME, 3600.0, epsilon, MODEL, batch_size=batch, dataset_size=50_000.0, epochs=3.0, clipping=clipping
    )
    no_nan(found)
    assert found.dp_training_time > 3600.0
    assert found.feasible


# --- one physics, whichever way it is called -----------------------------------------------------------

CALLS = {
    "EconomicsModel": {
        "hardware": ["h100", "a100"],
        "region": ["usa", "fra"],
        "duration": [DAY, 30 * DAY],
        "n_accelerators": [8, 512],
        "compute_utilization": [0.3, 0.9],
        "tokens": 1e12,
    },
    "SustainabilityModel": {
        "hardware": ["h100", "a100"],
        "region": ["usa", "fra"],
        "duration": [DAY, 30 * DAY],
        "n_accelerators": [8, 512],
    },
    "ReliabilityModel": {
        "hardware": "h100",
        "n_accelerators": [8, 512, 16_384],
        "job_duration": [DAY, 30 * DAY],
        "checkpoint_blocking_time": [0.0, 5.0],
    },
    "CheckpointModel": {
        "model": ["llama3_1_8b", "llama3_1_70b"],
        "hardware": "h100",
        "n_accelerators": [8, 512],
        "asynchronous": [0, 1],
    },
    "OrchestrationModel": {
        "fleet": "lab_64_h100",
        "arrival_rate": [1e-4, 1e-3],
        "avg_duration": 3600.0,
        "devices_per_job": [6, 16],
        "size_cv": [0.0, 0.7],
    },
    "TailLatencyModel": {
        "arrival_rate": [1.0, 7.0, 11.0],
        "service_latency": 1.0,
        "replicas": [1, 10],
        "service_cv": [0.0, 0.5, 1.0],
    },
    "ResponsibleEngineeringModel": {
        "base_training_time": 3600.0,
        "epsilon": [1.0, 3.0],
        "batch_size": [256, 512],
        "dataset_size": 60_000,
        "epochs": 10,
    },
}


@pytest.mark.parametrize("name", CALLS)
def test_sweep_equals_single_points(name):
    from mlsysim.models import responsible

    resolver = {**ms.RESOLVERS, "ResponsibleEngineeringModel": responsible.ResponsibleEngineeringModel}[name]
    inputs = CALLS[name]
    axes = [k for k, v in inputs.items() if isinstance(v, list)]
    sweep = resolver.solve(**inputs)
    rng = np.random.default_rng(0)
    for _ in range(3):
        at = {k: int(rng.integers(len(inputs[k]))) for k in axes}
        one = resolver.solve(**{k: inputs[k][at[k]] if k in at else v for k, v in inputs.items()})
        for output in one.data_vars:
            if output in sweep:
                here = sweep[output].isel({d: i for d, i in at.items() if d in sweep[output].dims})
                assert np.array_equal(here.values, one[output].values), output
