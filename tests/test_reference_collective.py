"""One collective: values by hand, what libraries do, and what nccl-tests measured."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlsysim as ms
from mlsysim import zoo
from mlsysim.calibration import calibrate, validate
from mlsysim.equations import library, links
from mlsysim.equations.allreduce import allreduce_time
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Collective, CollectiveKind, Limit, Precision, label

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "benchmarks" / "measured" / "networks.csv"
sys.path.insert(0, str(ROOT / "benchmarks"))

KINDS = [label(kind) for kind in CollectiveKind]
#: W1, a, W2, x of a node of eight on a 400 Gb/s network
WIRE = (376e9, 3.4e-6, 46e9, 14e-6)
GB = 1e9


def time(**inputs):
    return ms.TopologyModel.solve(**inputs).collective_time


def figures(hardware):
    """A device and its default fleet as records."""
    row = zoo.hardware(hardware)
    return zoo.accelerator_record(row, Precision.BF16, None), zoo.fleet_record(None, row)


# --- by hand -------------------------------------------------------------------------------------------


def test_large_messages_are_the_textbook():
    gather = library.library_gather(8.0, 1.0, GB, *WIRE)
    assert gather == pytest.approx(7 * 3.4e-6 + 7 / 8 * GB / 376e9)
    across = library.library_gather(8.0, 16.0, 64 * GB, *WIRE)  # eight rails of 46 GB/s are 368 GB/s
    assert across == pytest.approx(112 * 3.4e-6 + 15 * 14e-6 + 127 / 128 * 64 * GB / 368e9)
    assert library.library_all_reduce(1.0, 16.0, 64 * GB, *WIRE) == pytest.approx(30 * 14e-6 + 30 / 16 * 64 * GB / 46e9)


def test_a_pipeline_is_best_with_the_best_piece():
    """Against all pieces: (D + V / c - 1)(alpha + c / W)."""
    depth, step, size, rate = 40.0, 5e-6, 5e8, 40e9
    pieces = np.geomspace(1e3, 5e8, 20001)
    times = (depth + size / pieces) * (step + pieces / rate)
    assert library.pipelined(depth * step, size / rate) == pytest.approx(times.min(), rel=1e-6)


def test_steps_of_small_messages():
    """A library counts 14 steps of a ring of eight in the protocol that waits least; 1,024 ranks go up and down a tree."""
    assert library.library_all_reduce(8.0, 1.0, 0.0, *WIRE) == pytest.approx(14 * 0.6e-6)
    assert library.library_all_reduce(4.0, 256.0, 0.0, *WIRE) == pytest.approx(2 * (3 * 0.6e-6 + 8 * 5e-6))
    assert library.library_gather(4.0, 256.0, 0.0, *WIRE) == pytest.approx(
        768 * 1e-6 + 255 * 5e-6
    )  # a step that is posted


def test_words_with_a_flag_lose_most_of_a_ring_between_nodes():
    """NCCL's cap over two nodes of Hopper, 45 of 400 GB/s: 64 KB in flagged words, 1 MB in lines; a quarter within a node."""
    rail = 8 * 46e9
    for size, step, across, share in ((64e3, 1e-6, 5e-6, 45 / 400), (1e6, 1.9e-6, 8.5e-6, 0.92)):
        told = library.library_gather(8.0, 2.0, size, *WIRE)
        assert told == pytest.approx(14 * step + across + 15 / 16 * size / (share * rail))
    assert library.library_gather(8.0, 1.0, 64e3, *WIRE) == pytest.approx(7 * 0.6e-6 + 7 / 8 * 64e3 / (0.25 * 376e9))


def test_two_nodes_send_a_shard_once():
    """Each port carries half as much as with many nodes, so the switches inside bind: 0.83 x 376 / (9/8)."""
    two, four = (library.library_multicast(8.0, n, 1e12, *WIRE, 0.83) for n in (2.0, 4.0))
    assert two == pytest.approx(1e12 * 9 / 8 / (0.83 * 376e9), rel=0.01)
    assert four == pytest.approx(1e12 / 8 * 2 / 46e9, rel=0.01)
    assert library.library_multicast(8.0, 4.0, 1e12, *WIRE, 0.83, 1.0) == pytest.approx(
        two, rel=0.01
    )  # the network sums


sizes = st.floats(0.0, 12.0).map(lambda e: 10.0**e)
whole = st.integers(1, 600).map(float)


@given(
    local=st.integers(1, 72).map(float), nodes=whole, nbytes=sizes, which=st.integers(0, 4), factor=st.floats(1.0, 50.0)
)
def test_nothing_faster_slows_a_collective(local, nodes, nbytes, which, factor):
    """More bytes or longer steps never take less time; faster links never more."""
    given_ = [nbytes, *WIRE]
    better = list(given_)
    better[which] = given_[which] / factor if which in (0, 2, 4) else given_[which] * factor
    for law in (library.library_gather, library.library_all_reduce, library.library_broadcast, reducing):
        assert law(local, nodes, *better) <= law(local, nodes, *given_) * (1 + 1e-12)
        assert law(local, nodes, *given_) >= 0


def reducing(*where):
    return library.library_all_reduce(*where, multicast=1.0, switched=1.0, multicast_share=0.83)


@given(local=st.integers(1, 72).map(float), nodes=whole, nbytes=sizes)
def test_more_nodes_never_take_less_time(local, nodes, nbytes):
    for law in (library.library_gather, library.library_all_reduce, library.library_broadcast, reducing):
        assert law(local, nodes + 1, nbytes, *WIRE) >= law(local, nodes, nbytes, *WIRE) * (1 - 1e-12)


def test_one_device_waits_for_nobody():
    alone = ms.TopologyModel.solve(
        hardware="h100", message_size="1 GB", n_accelerators=1, collective_kind=KINDS, flops_beside=1e12
    )
    assert np.all(alone.collective_time == 0) and np.all(alone.exposed_time == 0) and np.all(alone.feasible)
    assert np.all(alone.half_size == 0) and np.all(alone.network_ridge_point == 0)


# --- one law for all -----------------------------------------------------------------------------------


@pytest.mark.parametrize("hardware", ["h100", "a100", "mi300x", "tpu_v5p"])
@pytest.mark.parametrize("stride", [1, 8])
def test_training_and_the_resolver_say_the_same(hardware, stride):
    assume = Assumptions()
    device, fleet = figures(hardware)
    network = links.links(fleet, device, assume, Collective.BEST, 64.0)
    asked = {"hardware": hardware, "message_size": 3e8, "n_accelerators": 64, "rank_stride": stride}
    for kind, law in (("all_reduce", links.reduce_time), ("all_gather", links.gather_time)):
        expected = law(network, 64.0, float(stride), 3e8) + assume.collective_call
        assert float(time(**asked, collective_kind=kind)) == pytest.approx(float(expected))


def test_serving_crosses_domains_by_the_same_law():
    """Inside a node an engine's own kernels, beyond it what a library does with all devices."""
    device, fleet = figures("h100")
    assume = Assumptions()
    within, across = (float(allreduce_time(1e6, device, fleet, n, assume)) for n in (8.0, 64.0))
    network = (fleet.inter_bandwidth * fleet.inter_efficiency, fleet.inter_latency)
    law = library.library_all_reduce(8.0, 8.0, 1e6, device.bus_bandwidth_8, fleet.intra_latency, *network)
    assert across == pytest.approx(assume.collective_start + float(law)) and across > within
    assert 50e-6 < across < 196e-6  # less than 14 steps of a ring of plain copies between eight nodes


# --- devices with links of their own for each pair -----------------------------------------------------


def test_a_pair_has_one_of_seven_links():
    both = ms.TopologyModel.solve(
        hardware="mi300x",
        message_size="4 GB",
        n_accelerators=[2, 4, 8],
        collective_kind=["all_reduce", "send", "all_to_all"],
    )
    bus = both.bus_bandwidth / 1e9
    assert np.all(bus.sel(n_accelerators=2) <= 64) and float(bus.sel(n_accelerators=2).min()) > 40
    assert np.all(bus.sel(collective_kind="send") <= 64)
    assert 2.5 < float(bus.sel(n_accelerators=4, collective_kind="all_reduce")) / 55.7 < 3.1
    measured = 47.67  # GB/s, two MI300X, 4 GiB (github.com/stas00/ml-engineering)
    assert float(bus.sel(n_accelerators=2, collective_kind="all_reduce")) == pytest.approx(measured, rel=0.2)
    switched = ms.TopologyModel.solve(hardware="h100", message_size="4 GB", n_accelerators=2, collective_kind="send")
    assert float(switched.bus_bandwidth) > 300e9


@pytest.mark.parametrize("device", ["mi325x", "mi355x", "mi308x", "gaudi3"])
def test_all_devices_that_are_joined_directly(device):
    pair, all_ = (float(time(hardware=device, message_size="1 GB", n_accelerators=n)) for n in (2, 8))
    assert pair > 2 * all_
    assert float(zoo.fleet_record(None, zoo.hardware(device)).direct_peers) == 7


def test_serving_on_a_pair_waits_for_its_link():
    asked = {"model": "llama3_1_8b", "hardware": "mi300x", "seq_len": 8192, "batch_size": 8, "tp": 2}
    direct, joined = (ms.ServingModel.solve(**asked, direct_peers=n).ttft for n in (7, 0))
    assert float(direct) > 1.05 * float(joined)


# --- which switches reduce -----------------------------------------------------------------------------


def test_switches_reduce_from_nvlink_4_on():
    for device, reduces in (("h100", 1), ("b200", 1), ("h800", 1), ("a100", 0), ("h100_pcie_80gb", 0), ("mi300x", 0)):
        assert float(zoo.fleet_record(None, zoo.hardware(device)).switch_reduces) == reduces, device
    asked = {"hardware": "h200", "message_size": "16 GiB", "n_accelerators": 8}
    inside, ring = (float(ms.TopologyModel.solve(**asked, switch_reduces=on).bus_bandwidth) for on in (1, 0))
    assert inside == pytest.approx(482e9, rel=0.05) and ring == pytest.approx(367e9, rel=0.05)  # measured, both ways


def test_the_shape_of_a_network_sets_the_pace():
    """A torus leaves an exchange less than its ports and rings all of them."""
    asked = {"fleet": "dgx_h100", "n_nodes": 256, "n_accelerators": 2048, "message_size": "80 GB"}
    for kind, output in (("all_to_all", "alltoall_bw"), ("all_gather", "allreduce_bw")):
        shapes = ms.TopologyModel.solve(**asked, collective_kind=kind, topology=["fat_tree", "torus"], dimensions=2)
        for rate, seconds in zip(shapes[output].values, shapes.collective_time.values):
            per_device = rate / 8 if kind == "all_to_all" else min(rate, 376e9)
            assert seconds == pytest.approx(80e9 / per_device, rel=0.08)


def test_a_group_lies_on_the_nodes_that_there_are():
    """Without a group every device of the nodes takes part; without nodes there are as many as the group fills."""
    asked = {"fleet": "dgx_h100", "message_size": "1 GB"}
    whole, counted, filled = (
        ms.TopologyModel.solve(**asked, **more)
        for more in ({"n_nodes": 4}, {"n_nodes": 4, "n_accelerators": 32}, {"n_accelerators": 32})
    )
    assert whole.collective_time == counted.collective_time == filled.collective_time
    assert filled.host_links == whole.host_links and whole.feasible
    beyond = ms.TopologyModel.solve(**asked, n_nodes=4, n_accelerators=33)
    assert beyond.limit == Limit.SHAPE and not beyond.feasible
    every_eighth = ms.TopologyModel.solve(**asked, n_nodes=4, rank_stride=8)
    assert every_eighth.bus_bandwidth < 47e9 < whole.bus_bandwidth
    bare = ms.TopologyModel.solve(
        n_nodes=4, inter_bandwidth=4e10, inter_latency=1e-6, inter_efficiency=1.0, hardware=None
    )
    assert "collective_time" not in bare


# --- roofline ------------------------------------------------------------------------------------------


def test_where_the_network_and_the_computation_balance():
    """A gather over 1,024 H100 moves 8 x 46 GB/s a node at best: 989.4 TFLOP/s want 2,686 FLOP per byte gathered."""
    asked = {"fleet": "dgx_h100", "n_accelerators": 1024, "collective_kind": "all_gather"}
    large = ms.TopologyModel.solve(**asked, message_size=1e15, flops_beside=1e18)
    assert float(large.network_ridge_point) == pytest.approx(989.4e12 / (368e9 / (1023 / 1024)), rel=2e-3)
    assert float(large.break_even_intensity) == pytest.approx(float(large.network_ridge_point), rel=1e-2)
    for share, binds in ((0.98, "network"), (1.02, "compute")):
        flops = share * float(large.break_even_intensity) * 1e15
        found = ms.TopologyModel.solve(**asked, message_size=1e15, flops_beside=flops)
        assert ms.TopologyModel.solve(**asked, message_size=1e15, flops_beside=flops).bottleneck.dtype.kind in "iu"
        assert (float(found.exposed_time) > 0) == (binds == "network")


def test_below_half_size_the_steps_bind():
    asked = {"hardware": "h100", "n_accelerators": 64, "collective_kind": "all_gather"}
    half = float(ms.TopologyModel.solve(**asked, message_size=1e6).half_size)
    found = ms.TopologyModel.solve(**asked, message_size=[half / 30, half * 30])
    share = found.bus_bandwidth / found.peak_bus_bandwidth
    assert float(share[0]) < 0.1 and float(share[1]) > 0.8
    flags = dict(zip(found.bottleneck.attrs["flag_values"], found.bottleneck.attrs["flag_meanings"].split()))
    assert [flags[int(b)] for b in found.bottleneck] == ["overhead", "network"]


def test_more_devices_than_there_are():
    found = ms.TopologyModel.solve(hardware="l40s", fleet_size=8, message_size="1 MB", n_accelerators=[8, 9])
    assert list(found.limit) == [Limit.NONE, Limit.SHAPE]


# --- measured ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured():
    return validate(pd.read_csv(TABLE), sample=0)


def test_tables_of_nccl_tests(measured):
    """At most 15 % from 64 MB on, 30 % below, for one node and for many; nothing is fitted to a device or source."""
    rows = measured.rows
    assert measured.kind == "network" and measured.answered == 253 and not len(measured.refused)
    for nodes in ("one node", "many nodes"):
        for size, most, bias in (("64 MB and more", 0.12, 0.06), ("below 64 MB", 0.25, 0.16)):
            here = rows[rows.group.str.startswith(f"{nodes}, {size}")]
            assert len(here) >= 10
            assert here.error.abs().median() <= most and abs(here.error.median()) <= bias, (nodes, size)
    for group, here in rows.groupby("group"):
        assert here.error.abs().median() <= (0.15 if "and more" in group else 0.30), group


def test_what_a_table_leaves_blank():
    row = {"hardware": "h100", "collective": "all_reduce", "size_bytes": 1e9}
    one = {**row, "gpus_per_node": 8, "measured_busbw_GBps": 475.0}
    across = {**row, "n_gpus": 64, "n_nodes": 8, "inter_fabric": "infiniband_ndr", "measured_algbw_GBps": 180.0}
    told = validate(pd.DataFrame([one, across]), sample=0)
    assert told.answered == 2
    assert told.rows.measured.to_numpy() == pytest.approx([2 * 7 / 8 / 475, 1 / 180])


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"collective": "gossip"}, "gossip"),
        ({"inter_fabric": "pigeons"}, "pigeons"),
        ({"inter_fabric": ""}, "inter_fabric"),
        ({"gpus_per_node": 3, "devices_per_node": 8}, "not every k-th"),
        ({"n_nodes": 1, "gpus_per_node": 1}, "nobody"),
        ({"hardware": "abacus"}, "abacus"),
    ],
)
def test_rows_that_say_too_little_are_refused(changed, why):
    row = {
        "hardware": "h100",
        "collective": "all_reduce",
        "size_bytes": 1e9,
        "n_nodes": 2,
        "gpus_per_node": 8,
        "inter_fabric": "infiniband_ndr",
        "measured_time_us": 5e3,
    }
    told = validate(pd.DataFrame([{**row, **changed}]), sample=0)
    assert told.answered == 0 and why in told.refused.why[0]


def test_what_a_call_costs_can_be_fitted():
    small = pd.read_csv(TABLE)
    small = small[(small.size_bytes < 64e6) & (small.n_nodes == 1)]
    found = calibrate(None, small, fit=["collective_call"], bootstrap=0)
    assert 5e-6 < float(found.assumptions.collective_call) < 5e-5
