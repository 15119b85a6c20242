"""Data domain: ingestion, transformation, topology, against published and hand-calculated values."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlsysim as ms
from mlsysim import zoo
from mlsysim.equations import ingestion
from mlsysim.equations import topology as networks
from mlsysim.models.data import DataModel, data
from mlsysim.models.topology import TopologyModel, topology
from mlsysim.models.transformation import TransformationModel, transformation
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Bottleneck, Limit, Precision, Topology
from mlsysim.schema.records import Fleet


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
    row("half the demand", "stall_fraction", 0.0, "regular supply above demand", FED, workload_data_rate=1.0e9),
    row(
        "images",
        "link_utilization",
        0.33,
        "3000 x 110 kB on 1 GB/s",
        samples_per_s=3000,
        sample_bytes=110e3,
        storage_bandwidth=1e9,
    ),
    row(
        "requests bind",
        "data_supply",
        409.6e6,
        "100,000 requests of 4 KiB",
        workload_data_rate=1e9,
        storage_bandwidth=7e9,
        storage_iops=1e5,
        record_bytes=4096,
    ),
    row(
        "reads in flight bind",
        "storage_supply",
        64 * 8e6 / 0.05,
        "Little 1961: n bytes / latency",
        workload_data_rate=1e9,
        storage_latency=0.05,
        reads_in_flight=64,
        record_bytes=8e6,
    ),
    row(
        "shared file system",
        "link_utilization",
        1.28,
        "100 GB/s over 128 clients",
        workload_data_rate=1e9,
        shared_bandwidth=100e9,
        clients=128,
    ),
    row(
        "cache takes 3 of 4 reads",
        "link_utilization",
        1.0,
        "only misses reach the storage",
        workload_data_rate=4e9,
        storage_bandwidth=1e9,
        cache_hit_ratio=0.75,
    ),
    row(
        "cache saturates",
        "data_supply",
        3e9,
        "half of the reads at 1.5 GB/s",
        workload_data_rate=4e9,
        storage_bandwidth=1e12,
        cache_hit_ratio=0.5,
        cache_bandwidth=1.5e9,
    ),
    row(
        "host link",
        "link_utilization",
        1.25,
        "40 GB/s of decoded samples on 32 GB/s",
        workload_data_rate=5e9,
        storage_bandwidth=1e12,
        amplification=8,
        host_bandwidth=32e9,
    ),
    row(
        "variation at balance",
        "stall_fraction",
        0.2,
        "two exponential stations: 1 of 5 states",
        workload_data_rate=1e9,
        storage_bandwidth=1e9,
        rate_cv=2**0.5,
        prefetch_depth=2,
    ),
]


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
    assert float(form) == pytest.approx(simulated_starvation(ratio, producer_cv, consumer_cv, depth), abs=0.02)


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
    row(
        "a whole need stays whole",
        "cores_needed",
        1,
        "3 x 0.1 s in 0.3 s",
        batch_size=3,
        step_time=0.3,
        cores=64,
        sample_cpu_time=0.1,
    ),
    row(
        "B s / R",
        "transform_time",
        0.384,
        "Murray 2021: 256 x 150 kB at 100 MB/s",
        batch_size=256,
        step_time=1.0,
        cores=1,
        sample_bytes=150e3,
        cpu_throughput=100e6,
    ),
    row(
        "amplified",
        "transform_time",
        0.384,
        "8 times the bytes on 8 cores",
        batch_size=256,
        step_time=1.0,
        cores=8,
        sample_bytes=150e3,
        cpu_throughput=100e6,
        amplification=8,
    ),
    row(
        "handed on",
        "output_rate",
        1.2e8,
        "100 x 600 kB every 0.5 s",
        batch_size=100,
        step_time=0.5,
        cores=100,
        sample_bytes=1e5,
        cpu_throughput=1e9,
        amplification=6,
    ),
]


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
    swept = DataModel.solve(hardware="h100", workload_data_rate=rates, storage_bandwidth=2e9, rate_cv=[0.0, 0.5])
    for i, rate in enumerate(rates):
        one = data(h100, workload_data_rate=rate, storage_bandwidth=2e9, rate_cv=0.5)
        close(swept.stall_fraction.values[i, 1], float(one.stall_fraction), 1e-12)
    swept = TransformationModel.solve(batch_size=256, step_time=0.03, cores=[32, 64, 128], sample_cpu_time="10 ms")
    assert swept.is_bottleneck.values.tolist() == [True, True, False]


# --- wall 10 -------------------------------------------------------------------------------------------

PORT = 50e9
FLEET = Fleet(*[float("nan")] * len(Fleet._fields))._replace(
    port_bandwidth=PORT, ports_per_node=1.0, port_latency=6e-7, inter_efficiency=1.0, oversubscription=1.0
)


def build(oversubscription=1.0, **inputs):
    return topology(FLEET._replace(oversubscription=oversubscription), Assumptions(), **inputs)


TREE_48 = {"topology": Topology.FAT_TREE, "n_nodes": 27648, "radix": 48}
TREE_64 = {"topology": Topology.FAT_TREE, "n_nodes": 65536, "radix": 64}
DRAGONFLY_4_8_4 = {
    "topology": Topology.DRAGONFLY,
    "n_nodes": 1056,
    "hosts_per_router": 4,
    "routers_per_group": 8,
    "global_links_per_router": 4,
}


def torus(*sides, **rest):
    return {
        "topology": Topology.TORUS,
        **dict(zip(("side_x", "side_y", "side_z"), sides, strict=False)),
        **rest,
    }


TOPOLOGIES = [
    row("fat tree k=48, hosts", "max_nodes", 27648, "k^3/4", TREE_48),
    row("fat tree k=48, switches", "n_switches", 2880, "5 k^2/4", TREE_48),
    row("fat tree k=48, links", "n_links", 82944, "3 k^3/4", TREE_48),
    row("fat tree k=48, cut", "cut_links", 13824, "k^3/8", TREE_48),
    row("fat tree k=64, hosts", "max_nodes", 65536, "k^3/4", TREE_64),
    row("fat tree k=64, switches", "n_switches", 5120, "5 k^2/4", TREE_64),
    row("fat tree k=64, links", "n_links", 196608, "3 k^3/4", TREE_64),
    row("fat tree k=64, cut", "cut_links", 32768, "k^3/8", TREE_64),
    row("fat tree k=64, a node across", "effective_bw", PORT, "full bisection", TREE_64),
    row("fat tree 2:1, a node across", "effective_bw", PORT / 2, "1/q", TREE_64, oversubscription=2),
    row(
        "fat tree 2:1, all-to-all",
        "alltoall_bw",
        PORT / 2 * 65535 / (65536 - 42),
        "leaf uplinks; 42 local",
        TREE_64,
        oversubscription=2,
        rel=1e-6,
    ),
    row("fat tree 7:1, rings", "allreduce_bw", PORT, "one ring crosses a leaf", TREE_64, oversubscription=7),
    row("leaf-spine k=64, hosts", "max_nodes", 2048, "k^2/2", topology=Topology.LEAF_SPINE, n_nodes=2048),
    row("leaf-spine k=64, switches", "n_switches", 96, "k + k/2", topology=Topology.LEAF_SPINE, n_nodes=2048),
    row("leaf-spine k=64, links", "n_links", 4096, "k^2", topology=Topology.LEAF_SPINE, n_nodes=2048),
    row("one switch", "n_switches", 1, "64 ports, 64 nodes", topology=Topology.FAT_TREE, n_nodes=64),
    row(
        "127 nodes of 8 rails: leaves",
        "global_links",
        8 * 4 * 32,
        "8 rails x ceil(127/32) leaves x 32 up",
        topology=Topology.RAIL_OPTIMIZED,
        n_nodes=127,
        rails=8,
    ),
    row(
        "rails meet in one leaf",
        "diameter",
        2,
        "32 nodes share the leaves of their rails",
        topology=Topology.RAIL_OPTIMIZED,
        n_nodes=32,
        rails=8,
    ),
    row(
        "the same in a fat tree",
        "diameter",
        4,
        "4 nodes of 8 ports fill a leaf",
        topology=Topology.FAT_TREE,
        n_nodes=32,
        rails=8,
    ),
    row("torus 4x4x4, cut", "cut_links", 32, "counted", torus(4, 4, 4)),
    row("torus 4x4x4, diameter", "diameter", 6, "counted", torus(4, 4, 4)),
    row("torus 4x4x4, mean hops", "mean_hops", 3.04761905, "counted", torus(4, 4, 4), rel=3e-9),
    row("torus 8x8x8, cut", "cut_links", 128, "counted", torus(8, 8, 8)),
    row("torus 8x8x8, diameter", "diameter", 12, "counted", torus(8, 8, 8)),
    row("torus 8x8x8, mean hops", "mean_hops", 6.01174168, "counted", torus(8, 8, 8), rel=1e-9),
    row("torus 16x16x16, cut", "cut_links", 512, "counted", torus(16, 16, 16)),
    row("torus 16x16x16, diameter", "diameter", 24, "counted", torus(16, 16, 16)),
    row("torus 16x16x16, mean hops", "mean_hops", 12.0029304, "counted", torus(16, 16, 16), rel=4e-9),
    row("torus 8x8, cut", "cut_links", 16, "counted", torus(8, 8)),
    row("torus 8x8, diameter", "diameter", 8, "counted", torus(8, 8)),
    row("torus 8x8, mean hops", "mean_hops", 4.06349206, "counted", torus(8, 8), rel=1e-9),
    row("torus 5x5x5, cut", "cut_links", 50, "counted", torus(5, 5, 5)),
    row("torus 5x5x5, diameter", "diameter", 6, "counted", torus(5, 5, 5)),
    row("torus 5x5x5, mean hops", "mean_hops", 3.62903226, "counted", torus(5, 5, 5), rel=1e-9),
    row("torus 16x20x28, sides found", "cut_links", 2 * 16 * 20, "TPU v5p pod: 8960 chips", torus(), n_nodes=8960),
    row("torus 16x16x16, all-to-all", "alltoall_bw", PORT / 6 * 8 / 16, "4 cut w / N = 8 w / n", torus(16, 16, 16)),
    row("torus 16x16x16, rings", "allreduce_bw", PORT, "all six links", torus(16, 16, 16)),
    row("torus 2x2x2, rings", "allreduce_bw", PORT / 2, "one link per side of 2", torus(2, 2, 2)),
    row("dragonfly (4, 8, 4), hosts", "max_nodes", 1056, "a p (a h + 1)", DRAGONFLY_4_8_4),
    row("dragonfly (4, 8, 4), routers", "n_switches", 264, "33 groups of 8", DRAGONFLY_4_8_4),
    row("dragonfly (4, 8, 4), global links", "global_links", 528, "g a h / 2", DRAGONFLY_4_8_4),
    row("dragonfly (4, 8, 4), local links", "local_links", 924, "g a (a - 1) / 2", DRAGONFLY_4_8_4),
    row("dragonfly (4, 8, 4), cut", "cut_links", 272, "floor(g/2) ceil(g/2)", DRAGONFLY_4_8_4),
    row(
        "dragonfly k=15",
        "max_nodes",
        1056,
        "balanced: p = 4, a = 8, h = 4",
        topology=Topology.DRAGONFLY,
        n_nodes=1056,
        radix=15,
    ),
    row(
        "dragonfly+ k=8",
        "max_nodes",
        16 * 17,
        "(k/2)^2 ((k/2)^2 + 1), Shpiner 2017",
        topology=Topology.DRAGONFLY_PLUS,
        n_nodes=272,
        radix=8,
    ),
    row("ring of 9, cut", "cut_links", 2, "two links", topology=Topology.RING, n_nodes=9),
    row("ring of 9, diameter", "diameter", 4, "half way", topology=Topology.RING, n_nodes=9),
    row("mesh of 8, links", "n_links", 28, "MI300X node: 7 links each", topology=Topology.FULL_MESH, n_nodes=8),
    row("mesh of 8, cut", "cut_links", 16, "4 x 4", topology=Topology.FULL_MESH, n_nodes=8),
    row(
        "mesh of 8, half to half",
        "effective_bw",
        PORT * 4 / 7,
        "4 of 7 links cross",
        topology=Topology.FULL_MESH,
        n_nodes=8,
    ),
    row(
        "4 of 8 in the mesh",
        "injection_bw",
        PORT * 3 / 7,
        "3 of 7 links have a partner",
        topology=Topology.FULL_MESH,
        n_nodes=4,
        links_per_port=7,
    ),
    row(
        "NVL72, switches",
        "n_switches",
        18,
        "9 trays of 2 chips with 72 ports, 18 links a GPU",
        topology=Topology.SWITCHED,
        n_nodes=72,
        radix=72,
        links_per_port=18,
    ),
    row(
        "NVL72, cut",
        "bisection_bw",
        36 * PORT,
        "36 devices a half",
        topology=Topology.SWITCHED,
        n_nodes=72,
        radix=72,
        links_per_port=18,
    ),
    row(
        "priced",
        "network_cost",
        96 * 20e3 + 4096 * 1e3,
        "96 switches, 4096 links",
        topology=Topology.LEAF_SPINE,
        n_nodes=2048,
        switch_price=20e3,
        link_price=1e3,
    ),
    row(
        "powered",
        "network_power",
        96 * 1500 + 4096 * 8.0,
        "2 transceivers of 8 W a link, half copper",
        topology=Topology.LEAF_SPINE,
        n_nodes=2048,
        switch_power=1500,
        transceiver_power=8,
        copper_fraction=0.5,
    ),
    row("latency, three tiers", "worst_path_latency", 6e-7 + 4 * 3.5e-7, "five switches on the way", TREE_64),
    row("latency, torus", "worst_path_latency", 6 * 6e-7, "6 hops", torus(4, 4, 4)),
]


@pytest.mark.parametrize("inputs, output, expected, rel, source", TOPOLOGIES)
def test_reference_topology(inputs, output, expected, rel, source):
    built = build(**inputs)
    assert built.feasible
    close(getattr(built, output), expected, rel)


def distances(links, hosts):
    """Hops between all pairs of hosts in an undirected graph, by breadth-first search."""
    near = {}
    for one, other in links:
        near.setdefault(one, set()).add(other)
        near.setdefault(other, set()).add(one)
    found = []
    for host in hosts:
        seen, edge, hops = {host}, {host}, 0
        while edge:
            hops += 1
            edge = {n for node in edge for n in near[node]} - seen
            seen |= edge
            found += [hops] * len(edge & set(hosts))
    return found


def torus_graph(sides):
    nodes = list(itertools.product(*map(range, sides)))
    links = {
        frozenset((node, tuple((c + (i == j)) % s for j, (c, s) in enumerate(zip(node, sides, strict=True)))))
        for node in nodes
        for i, side in enumerate(sides)
        if side > 1
    }
    return [tuple(link) for link in links], nodes


def fat_tree_graph(k):
    half = k // 2
    hosts = list(itertools.product(range(k), range(half), range(half)))
    links = [(("h", *h), ("leaf", *h[:2])) for h in hosts]
    for pod, leaf, agg in itertools.product(range(k), range(half), range(half)):
        links.append((("leaf", pod, leaf), ("agg", pod, agg)))
        links.append((("agg", pod, agg), ("core", agg, leaf)))
    return links, [("h", *h) for h in hosts]


def dragonfly_hops(p, a, h):
    """Hops of minimal routes (one global link) between all pairs of hosts: gateways followed one by one."""
    groups = a * h + 1
    found = []
    for (g, r, i), (f, s, j) in itertools.product(itertools.product(range(groups), range(a), range(p)), repeat=2):
        if (g, r, i) == (f, s, j):
            continue
        if g == f:
            found.append(2 if r == s else 3)
        else:
            gateway, landing = ((f - g) % groups - 1) // h, ((g - f) % groups - 1) // h
            found.append(3 + (r != gateway) + (s != landing))
    return found


@pytest.mark.parametrize("p, a, h", [(2, 4, 2), (1, 3, 2), (2, 2, 3), (3, 3, 1)])
def test_reference_dragonfly_hops_counted(p, a, h):
    hops = dragonfly_hops(p, a, h)
    nodes = p * a * (a * h + 1)
    built = build(
        topology=Topology.DRAGONFLY, n_nodes=nodes, hosts_per_router=p, routers_per_group=a, global_links_per_router=h
    )
    close(built.mean_hops, sum(hops) / len(hops), 1e-12)
    assert float(built.diameter) == max(hops)


def dragonfly_plus_graph(k):
    half = k // 2
    groups = half * half + 1
    links, hosts = [], []
    for g, leaf in itertools.product(range(groups), range(half)):
        hosts += [("h", g, leaf, i) for i in range(half)]
        links += [(("h", g, leaf, i), ("leaf", g, leaf)) for i in range(half)]
        links += [(("leaf", g, leaf), ("spine", g, s)) for s in range(half)]
        for j in range(half):
            offset = leaf * half + j + 1
            links.append((("spine", g, leaf), ("spine", (g + offset) % groups, (groups - offset - 1) // half)))
    return links, hosts


GRAPHS = [
    (torus_graph((3,)), {"topology": Topology.RING, "n_nodes": 3}),
    (torus_graph((7, 2)), torus(7, 2)),
    (torus_graph((2, 2, 2)), torus(2, 2, 2)),
    (torus_graph((4, 3, 2)), torus(4, 3, 2)),
    (torus_graph((5, 4, 1)), torus(5, 4, 1)),
    (fat_tree_graph(4), {"topology": Topology.FAT_TREE, "n_nodes": 16, "radix": 4}),
    (fat_tree_graph(6), {"topology": Topology.FAT_TREE, "n_nodes": 54, "radix": 6}),
    (dragonfly_plus_graph(4), {"topology": Topology.DRAGONFLY_PLUS, "n_nodes": 20, "radix": 4}),
    (dragonfly_plus_graph(6), {"topology": Topology.DRAGONFLY_PLUS, "n_nodes": 90, "radix": 6}),
]


@pytest.mark.parametrize("graph, inputs", GRAPHS, ids=lambda v: str(v)[:60] if isinstance(v, dict) else "")
def test_reference_hops_and_links_counted_on_the_graph(graph, inputs):
    links, hosts = graph
    hops = distances(links, hosts)
    built = build(**inputs)
    close(built.mean_hops, sum(hops) / len(hops), 1e-12)
    assert float(built.diameter) == max(hops)
    assert float(built.n_links) == len({frozenset(link) for link in links})
    assert float(built.n_switches) == len({n for link in links for n in link} - set(hosts))


@settings(max_examples=150, deadline=None)
@given(nodes=st.integers(1, 3000), dims=st.sampled_from([2, 3]))
def test_sides_are_whole_ordered_and_compact(nodes, dims):
    x, y, z = (int(s) for s in networks.compact_sides(float(nodes), float(dims)))
    places = x * y * z
    assert places >= nodes and x >= y >= z and (dims == 3 or z == 1)
    assert nodes <= 3 or x**dims <= 2**dims * places  # never the ring of a prime

    def longest(count):
        divisors = [d for d in range(1, count + 1) if count % d == 0]
        second = divisors if dims == 3 else [1]
        return min(max(a, b, count // a // b) for a in divisors for b in second if count // a % b == 0)

    assert x == longest(places)
    if nodes > 3:  # no smaller torus would be compact
        assert all(longest(count) ** dims > 2**dims * count for count in range(nodes, places))


@pytest.mark.parametrize("nodes", [1009, 997, 509, 61, 7])
def test_a_prime_number_of_nodes_gets_a_torus_with_spare_places(nodes):
    """Not a ring of one sixth of the port: all six links carry, and the places beside the nodes are counted."""
    built, spare = build(topology=Topology.TORUS, n_nodes=nodes), build(topology=Topology.TORUS, n_nodes=nodes + 1)
    assert built.feasible and nodes < float(built.max_nodes) <= 1.25 * nodes + 1
    assert float(built.allreduce_bw) >= PORT / 2  # sides of two have one link
    assert float(built.max_nodes) <= float(spare.max_nodes)
    whole = build(topology=Topology.TORUS, n_nodes=512)
    assert float(whole.max_nodes) == 512 and float(whole.allreduce_bw) == PORT


@pytest.mark.parametrize("nodes", [2, 20, 64, 100, 300, 512])
@pytest.mark.parametrize("shape", [Topology.DRAGONFLY, Topology.DRAGONFLY_PLUS])
def test_a_small_dragonfly_is_built_with_the_ports_it_has(shape, nodes):
    """Local ports that reach no further router double the links: one group carries what its nodes can send."""
    built = build(topology=shape, n_nodes=nodes, radix=64)
    assert float(built.effective_bw) == pytest.approx(PORT) and float(built.alltoall_bw) == pytest.approx(PORT)
    ends = float(built.host_links) + 2.0 * float(built.local_links + built.global_links)
    assert ends <= 64.0 * float(built.n_switches)  # no more cables than ports
    assert float(built.n_switches) <= max(1.0, nodes / 4)


@pytest.mark.parametrize("shape", [Topology.DRAGONFLY, Topology.DRAGONFLY_PLUS])
@pytest.mark.parametrize("nodes", [600, 4000])
def test_crowded_routers_let_less_across(shape, nodes):
    """Oversubscription means more endpoints a router: fewer switches, less bandwidth."""
    even, crowded = (build(oversubscription=q, topology=shape, n_nodes=nodes, radix=64) for q in (1.0, 3.0))
    assert float(crowded.n_switches) < float(even.n_switches)
    assert float(crowded.alltoall_bw) < 0.75 * float(even.alltoall_bw)
    assert crowded.feasible and even.feasible


def test_a_path_takes_what_a_message_takes_and_not_a_step_of_a_library():
    """InfiniBand 0.6 us from adapter to adapter, and 0.35 us a switch more; a step of a collective takes 14 us."""
    told = TopologyModel.solve(fleet="dgx_h100", n_nodes=[8, 128], rails=1)
    close(told.worst_path_latency.values[0], 6e-7)
    close(told.worst_path_latency.values[1], 6e-7 + 2 * 3.5e-7)
    alone = TopologyModel.solve(fabric="slingshot_11", n_nodes=32, topology="dragonfly")
    assert float(alone.path_latency) < 4e-6
    close(TopologyModel.solve(fleet="dgx_h100", n_nodes=8, rails=1, inter_latency="3 us").path_latency, 3e-6)


def test_a_node_of_eight_adapters_without_saying_rails():
    """128 DGX H100: 1,024 ports on 32 leaves and 16 spines; a node sends the share of 8 x 50 GB/s that networks give."""
    built = TopologyModel.solve(fleet="dgx_h100", n_nodes=128)
    assert float(built.n_switches) == 48
    assert float(built.injection_bw) == pytest.approx(8 * 50e9 * zoo.fleets.NETWORK_SHARE)
    exact = TopologyModel.solve(fleet="dgx_h100", n_nodes=128, inter_efficiency=0.85)
    assert float(exact.injection_bw) == pytest.approx(340e9)


@settings(max_examples=300, deadline=None)
@given(
    shape=st.sampled_from(list(Topology)),
    nodes=st.integers(1, 20_000),
    radix=st.integers(4, 128),
    rails=st.integers(1, 16),
    oversubscription=st.sampled_from([1.0, 1.5, 2.0, 3.0, 7.0]),
    tiers=st.integers(1, 4),
)
def test_networks_keep_their_bounds(shape, nodes, radix, rails, oversubscription, tiers):
    built = build(
        topology=shape,
        n_nodes=nodes,
        radix=radix,
        rails=rails,
        oversubscription=oversubscription,
        tiers=tiers,
    )
    values = {name: float(value) for name, value in built._asdict().items() if value is not None}
    assert not any(np.isnan(v) for v in values.values())
    slack = 1 + 1e-12
    for rate in ("effective_bw", "allreduce_bw", "alltoall_bw"):
        assert 0 <= values[rate] <= values["injection_bw"] * slack
    assert values["injection_bw"] <= rails * PORT * slack
    assert values["mean_hops"] <= values["diameter"] * slack
    assert values["bisection_bw"] <= max(nodes, 2) / 2 * values["injection_bw"] * slack
    assert values["n_links"] == values["host_links"] + values["local_links"] + values["global_links"]
    assert bool(built.feasible) == (values["limit"] == 0) == (nodes <= values["max_nodes"])


@settings(max_examples=100, deadline=None)
@given(nodes=st.integers(2, 5000), radix=st.integers(4, 64))
def test_a_tree_has_ports_for_its_links(nodes, radix):
    built = build(topology=Topology.FAT_TREE, n_nodes=nodes, radix=radix)
    if built.feasible:
        ends = 2 * float(built.n_links) - nodes
        assert ends <= float(built.n_switches) * radix


def test_topology_says_what_does_not_fit():
    assert build(topology=Topology.LEAF_SPINE, n_nodes=2049).limit == Limit.SHAPE
    assert build(topology=Topology.TORUS, n_nodes=65, side_x=8, side_y=8).limit == Limit.SHAPE
    assert build(topology=Topology.DRAGONFLY, n_nodes=64, radix=15, hosts_per_router=8).limit == Limit.SHAPE
    with pytest.raises(TypeError, match="n_nodes"):
        build(topology=Topology.TORUS)


def test_reference_a_node_has_the_ports_that_its_fleet_says():
    """nccl-tests issue 309: all-reduce over 4 nodes of 8 H100 and 8 x 400 Gb/s reaches 366 GB/s a node."""
    measured = TopologyModel.solve(fleet="dgx_h100", n_nodes=4)
    assert float(measured.allreduce_bw) == pytest.approx(366e9, rel=0.02)
    assert float(measured.allreduce_bw) == float(TopologyModel.solve(fleet="dgx_h100", n_nodes=4, rails=8).allreduce_bw)
    for fleet, node in {"aws_p5_48xlarge": 400e9, "dgx_v100": 50e9, "gcp_a3_high": 100e9}.items():
        injected = TopologyModel.solve(fleet=fleet, n_nodes=4, inter_efficiency=1.0).injection_bw
        assert float(injected) == pytest.approx(node), fleet  # of all adapters, whatever number of devices they serve
    assert float(TopologyModel.solve(fleet="tpu_v5p_pod", n_nodes=64, topology="torus").injection_bw) > 0
    alone = TopologyModel.solve(fabric="infiniband_ndr", n_nodes=4)  # a network and no node: one port each
    assert float(alone.injection_bw) < 50e9


def test_topology_model_sweeps_like_the_kernel():
    shapes = ["fat_tree", "dragonfly", "torus", "switched"]
    fabric = {
        "inter_bandwidth": PORT,
        "inter_latency": 6e-7,
        "inter_efficiency": 1.0,
        "oversubscription": 1.0,
    }
    swept = TopologyModel.solve(topology=shapes, n_nodes=[8, 64, 1000], **fabric)
    for i, shape in enumerate([Topology.FAT_TREE, Topology.DRAGONFLY, Topology.TORUS, Topology.SWITCHED]):
        for j, nodes in enumerate([8, 64, 1000]):
            one = build(topology=shape, n_nodes=nodes)
            for name in ("bisection_bw", "mean_hops", "n_links", "alltoall_bw", "path_latency"):
                close(swept[name].values[i, j], float(getattr(one, name)), 1e-12)


def test_reads_bound_the_supply_whatever_their_size_is_called():
    """A read brings a sample unless said: 10 reads a second of 100 kB are 1 MB/s, whatever the disk could stream."""
    drive = {"hardware": "h100", "samples_per_s": 1000.0, "sample_bytes": 1e5, "storage_bandwidth": 5e9}
    told = ms.DataModel.solve(storage_iops=10.0, **drive)
    assert told.data_supply == 1e6 and told.is_stalled
    late = ms.DataModel.solve(storage_latency=0.01, reads_in_flight=1.0, **drive)
    assert late.data_supply == pytest.approx(1e7)
