"""Data domain: ingestion, transformation, topology, against published and hand-calculated values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsysim import zoo
from mlsysim.equations import ingestion
from mlsysim.models.data import DataModel, data
from mlsysim.models.transformation import TransformationModel, transformation
from mlsysim.schema.codes import Bottleneck, Precision


@pytest.fixture(scope="module")
def h100():
    return zoo.accelerator_record(zoo.hardware("h100"), Precision.BF16)


def close(computed, expected, rel=1e-8):
    assert float(computed) == pytest.approx(expected, rel=rel, abs=1e-300)


def row(name, output, expected, source, shared=None, rel=1e-9, **inputs):
    """One reference value: what goes in, which output, what it must be, to which digits, and from where."""
    return pytest.param({**(shared or {}), **inputs}, output, expected, rel, source, id=name)


FED = {"workload_data_rate": 2.2e9, "storage_bandwidth": 2.0e9}
PREPARED = {"batch_size": 256, "step_time": 0.03, "cores": 64, "sample_cpu_time": 0.01}

# --- wall 8 --------------------------------------------------------------------------------------------

INGESTION = [
    row("demand 2.2 on 2.0 GB/s", "link_utilization", 1.1, "derived", FED),
    row("the same, stall", "stall_fraction", 0.0909091, "derived", FED, rel=3e-7),
    row("the same, delivered", "delivered_rate", 2.0e9, "all of the supply", FED),
    row("the same, slowdown", "slowdown", 1.1, "demand / supply", FED),
    row("the same, margin", "margin", -1 / 11, "supply / demand - 1", FED),
    row("half the demand", "stall_fraction", 0.0, "regular supply above demand",
        FED, workload_data_rate=1.0e9),
    row("images", "link_utilization", 0.33, "3000 x 110 kB on 1 GB/s",
        samples_per_s=3000, sample_bytes=110e3, storage_bandwidth=1e9),
    row("requests bind", "data_supply", 409.6e6, "100,000 requests of 4 KiB",
        workload_data_rate=1e9, storage_bandwidth=7e9, storage_iops=1e5, record_bytes=4096),
    row("reads in flight bind", "storage_supply", 64 * 8e6 / 0.05, "Little 1961: n bytes / latency",
        workload_data_rate=1e9, storage_latency=0.05, reads_in_flight=64, record_bytes=8e6),
    row("shared file system", "link_utilization", 1.28, "100 GB/s over 128 clients",
        workload_data_rate=1e9, shared_bandwidth=100e9, clients=128),
    row("cache takes 3 of 4 reads", "link_utilization", 1.0, "only misses reach the storage",
        workload_data_rate=4e9, storage_bandwidth=1e9, cache_hit_ratio=0.75),
    row("cache saturates", "data_supply", 3e9, "half of the reads at 1.5 GB/s",
        workload_data_rate=4e9, storage_bandwidth=1e12, cache_hit_ratio=0.5, cache_bandwidth=1.5e9),
    row("host link", "link_utilization", 1.25, "40 GB/s of decoded samples on 32 GB/s",
        workload_data_rate=5e9, storage_bandwidth=1e12, amplification=8, host_bandwidth=32e9),
    row("variation at balance", "stall_fraction", 0.2, "two exponential stations: 1 of 5 states",
        workload_data_rate=1e9, storage_bandwidth=1e9, rate_cv=2**0.5, prefetch_depth=2),
]  # fmt: skip


@pytest.mark.parametrize("inputs, output, expected, rel, source", INGESTION)
def test_reference_ingestion(h100, inputs, output, expected, rel, source):
    inputs = {**inputs}
    hardware = h100._replace(host_bandwidth=inputs.pop("host_bandwidth", h100.host_bandwidth))
    close(getattr(data(hardware, **inputs), output), expected, rel)


@pytest.mark.parametrize(
    "inputs, wall",
    [
        ({"storage_bandwidth": 2e9}, Bottleneck.COMPUTE),
        ({"storage_bandwidth": 5e8}, Bottleneck.STORAGE),
        ({"storage_bandwidth": 5e9, "shared_bandwidth": 1e9, "clients": 2}, Bottleneck.NETWORK),
        ({"storage_bandwidth": 5e9, "cache_hit_ratio": 0.9, "cache_bandwidth": 5e8}, Bottleneck.MEMORY),
        ({"storage_bandwidth": 5e9, "amplification": 100}, Bottleneck.HOST),
    ],
)
def test_ingestion_names_what_binds(h100, inputs, wall):
    assert data(h100, workload_data_rate=1e9, **inputs).bottleneck == wall


def test_ingestion_wants_a_demand(h100):
    with pytest.raises(TypeError, match="workload_data_rate"):
        data(h100, storage_bandwidth=1e9)


@pytest.mark.parametrize("ratio", [0.3, 0.7, 0.9, 1.0, 1.1, 1.4, 5.0])
@pytest.mark.parametrize("depth", [0, 1, 4, 10])
def test_reference_starvation_of_exponential_stations(ratio, depth):
    """Exact: 0..depth + 2 batches finished or blocked ahead of the consumer, a birth-death chain."""
    exact = 1.0 / sum(ratio**k for k in range(depth + 3))
    close(ingestion.starvation(ratio, 2.0**0.5, float(depth)), exact, 1e-9)


def simulated_starvation(ratio, producer_cv, consumer_cv, depth, batches=20_000):
    """Two stations with gamma times and `depth` places between them, followed batch by batch."""
    rng = np.random.default_rng(7)

    def times(cv):
        return rng.gamma(cv**-2, cv**2, batches) if cv else np.ones(batches)

    make, use = times(producer_cv) / ratio, times(consumer_cv)
    begun, ready, free, idle = np.zeros(batches), 0.0, 0.0, 0.0
    for i in range(batches):
        ready = max(ready + make[i], begun[i - depth] if i >= depth else 0.0)
        begun[i] = max(ready, free)
        idle += begun[i] - free
        free = begun[i] + use[i]
    return idle / free


@pytest.mark.parametrize(
    "ratio, producer_cv, consumer_cv, depth",
    [
        (1.0, 0.5, 0.0, 2),
        (1.2, 0.5, 0.5, 1),
        (0.8, 1.0, 0.0, 4),
        (1.0, 2.0, 0.0, 2),
        (2.0, 1.0, 1.0, 2),
        (1.05, 0.3, 0.0, 8),
    ],
)
def test_reference_starvation_against_simulation(ratio, producer_cv, consumer_cv, depth):
    form = ingestion.starvation(ratio, (producer_cv**2 + consumer_cv**2) ** 0.5, float(depth))
    assert float(form) == pytest.approx(
        simulated_starvation(ratio, producer_cv, consumer_cv, depth), abs=0.02
    )


@settings(max_examples=200, deadline=None)
@given(
    ratio=st.floats(0.01, 100.0),
    variation=st.floats(0.0, 5.0),
    depth=st.integers(1, 1000),
    more=st.floats(1.0, 10.0),
)
def test_starvation_is_a_share_and_falls_with_supply_and_depth(ratio, variation, depth, more):
    share = float(ingestion.starvation(ratio, variation, float(depth)))
    assert max(0.0, 1.0 - ratio) - 1e-12 <= share <= 1.0
    assert float(ingestion.starvation(ratio * more, variation, float(depth))) <= share + 1e-12
    assert float(ingestion.starvation(ratio, variation, depth * more)) <= share + 1e-12
    assert float(ingestion.starvation(ratio, 0.0, float(depth))) <= share + 1e-12


@settings(max_examples=100, deadline=None)
@given(demand=st.floats(1e3, 1e13), supply=st.floats(1e3, 1e13), scale=st.floats(0.01, 100.0))
def test_ingestion_scales_with_its_unit(h100, demand, supply, scale):
    one = data(h100, workload_data_rate=demand, storage_bandwidth=supply)
    other = data(
        h100._replace(host_bandwidth=h100.host_bandwidth * scale),
        workload_data_rate=demand * scale,
        storage_bandwidth=supply * scale,
    )
    close(other.link_utilization, float(one.link_utilization), 1e-12)
    close(other.data_supply, float(one.data_supply) * scale, 1e-12)
    assert bool(one.is_stalled) == bool(float(one.link_utilization) > 1.0)


# --- wall 9 --------------------------------------------------------------------------------------------

PREPROCESSING = [
    row("256 x 10 ms on 64 cores", "transform_time", 0.04, "derived", PREPARED),
    row("the same against 30 ms", "cores_needed", 86, "derived", PREPARED),
    row("the same, utilization", "compute_utilization", 0.75, "30 of 40 ms", PREPARED),
    row("the same, slowdown", "slowdown", 4 / 3, "40 / 30 ms", PREPARED),
    row("the same, throughput", "throughput", 6400, "256 / 40 ms", PREPARED),
    row("without prefetch", "fed_step_time", 0.07, "one after the other", PREPARED, prefetch_depth=0),
    row("few workers", "transform_time", 0.16, "16 of 64 cores at work", PREPARED, workers=16),
    row("a whole need stays whole", "cores_needed", 1, "3 x 0.1 s in 0.3 s",
        batch_size=3, step_time=0.3, cores=64, sample_cpu_time=0.1),
    row("B s / R", "transform_time", 0.384, "Murray 2021: 256 x 150 kB at 100 MB/s",
        batch_size=256, step_time=1.0, cores=1, sample_bytes=150e3, cpu_throughput=100e6),
    row("amplified", "transform_time", 0.384, "8 times the bytes on 8 cores",
        batch_size=256, step_time=1.0, cores=8, sample_bytes=150e3, cpu_throughput=100e6, amplification=8),
    row("handed on", "output_rate", 1.2e8, "100 x 600 kB every 0.5 s",
        batch_size=100, step_time=0.5, cores=100, sample_bytes=1e5, cpu_throughput=1e9, amplification=6),
]  # fmt: skip


@pytest.mark.parametrize("inputs, output, expected, rel, source", PREPROCESSING)
def test_reference_transformation(inputs, output, expected, rel, source):
    close(getattr(transformation(**inputs), output), expected, rel)


def test_transformation_wants_a_cost():
    with pytest.raises(TypeError, match="sample_cpu_time"):
        transformation(256, 0.03, 64)


@settings(max_examples=200, deadline=None)
@given(
    batch=st.integers(1, 10_000),
    step=st.floats(1e-4, 10.0),
    cores=st.integers(1, 512),
    cost=st.floats(1e-6, 1.0),
)
def test_needed_cores_keep_up_and_one_less_does_not(batch, step, cores, cost):
    need = float(transformation(batch, step, cores, sample_cpu_time=cost).cores_needed)
    assert float(ingestion.transform_time(batch, cost, need)) <= step * (1 + 1e-9)
    if need > 1:
        assert float(ingestion.transform_time(batch, cost, need - 1)) > step * (1 - 1e-9)


@settings(max_examples=100, deadline=None)
@given(
    batch=st.integers(1, 4096),
    step=st.floats(1e-3, 1.0),
    cores=st.integers(1, 256),
    cost=st.floats(1e-5, 0.1),
    depth=st.integers(0, 16),
    variation=st.floats(0, 2),
)
def test_transformation_parts_add_up(batch, step, cores, cost, depth, variation):
    fed = transformation(batch, step, cores, sample_cpu_time=cost, prefetch_depth=depth, rate_cv=variation)
    close(fed.compute_utilization * fed.slowdown, 1.0, 1e-9)
    close(fed.throughput * fed.fed_step_time, batch, 1e-9)
    assert float(fed.fed_step_time) >= step * (1 - 1e-12)


def test_models_sweep_like_the_kernel(h100):
    rates = [1e9, 2.2e9, 5e9]
    swept = DataModel.solve(
        hardware="h100", workload_data_rate=rates, storage_bandwidth=2e9, rate_cv=[0.0, 0.5]
    )
    for i, rate in enumerate(rates):
        one = data(h100, workload_data_rate=rate, storage_bandwidth=2e9, rate_cv=0.5)
        close(swept.stall_fraction.values[i, 1], float(one.stall_fraction), 1e-12)
    swept = TransformationModel.solve(
        batch_size=256, step_time=0.03, cores=[32, 64, 128], sample_cpu_time="10 ms"
    )
    assert swept.is_bottleneck.values.tolist() == [True, True, False]
