"""Reference values of the parts of a training step: links, messages, layers, stages, data parallelism, memory.

Expected values are worked out by hand from the formulas; "published" ones are printed in the work named.
"""

import pytest

from mlsysim import zoo
from mlsysim.equations import (
    data_parallel,
    exchanges,
    layer,
    links,
    memory,
    pipeline_stages,
    training,
    training_memory,
    training_step,
)
from mlsysim.equations.conventions import arithmetic_only
from mlsysim.equations.layout import device_count, layout, layout_possible
from mlsysim.equations.pipeline import Stages
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Attention, Collective, Precision, Recompute, Schedule

LLAMA8, MIXTRAL, DEEPSEEK = (
    zoo.workload_record(zoo.model(name)) for name in ("llama3_1_8b", "mixtral_8x7b", "deepseek_v3_671b")
)
H100 = zoo.accelerator_record(zoo.hardware("h100"), Precision.BF16)
BF16 = zoo.format_record(Precision.BF16)
BARE = Assumptions(
    tensor_overlap=0.0,
    weight_gradient_overlap=0.0,
    data_overlap=0.0,
    overlap_contention=0.0,
    keep_gathered=0.0,
    exchange_copies=0.0,
    gradient_bytes=2.0,
    gradient_reduce_bytes=4.0,
    optimizer_bytes=12.0,
    straggler_loss=0.0,
)
#: a switch of eight devices, 450 GB/s and 1 us; between switches 50 GB/s and 5 us; measured groups of 2, 4 and 8
SWITCH = links.Links(
    fast_bandwidth=450e9,
    fast_latency=1e-6,
    slow_bandwidth=50e9,
    slow_latency=5e-6,
    domain_size=8.0,
    torus_axes=0.0,
    slice_size=8.0,
    direct_peers=0.0,
    bus_bandwidth_2=300e9,
    bus_bandwidth_4=350e9,
    bus_bandwidth_8=400e9,
    measured_share=1.0,
    algorithm=Collective.BEST,
    multicast=0.0,
    switched=0.0,
    multicast_share=0.8,
    start=0.0,
)
RING = SWITCH._replace(algorithm=Collective.RING)
TORUS = SWITCH._replace(torus_axes=3.0, slice_size=64.0, domain_size=64.0)


def laid_out(**changes):
    plain = {
        "tp": 1.0,
        "cp": 1.0,
        "dp": 1.0,
        "pp": 1.0,
        "ep": 1.0,
        "expert_tp": None,
        "sequence_parallel": 1.0,
        "schedule": Schedule.ONE_F_ONE_B,
        "virtual_stages": 1.0,
        "zero_stage": 1.0,
        "n_accelerators": 8.0,
        "shard_size": None,
    }
    return layout(**{**plain, **changes})


def close(computed, expected):
    assert float(computed) == pytest.approx(expected, rel=1e-9, abs=1e-15)


# --- links ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("connected", "local", "expected"),
    [
        (SWITCH, 2.0, 300e9),
        (SWITCH, 3.0, 350e9),
        (SWITCH, 8.0, 400e9),
        (SWITCH._replace(measured_share=2.0), 8.0, 450e9),  # no more than the links give
        (TORUS, 16.0, 300e9),  # two of three axes
    ],
)
def test_a_collective_reaches_what_groups_of_its_size_reach(connected, local, expected):
    close(links.collective_bandwidth(connected, local), expected)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (links.gather_time(SWITCH, 8.0, 1.0, 1e9), 7 * (1e-6 + 1e9 / (8 * 400e9))),
        (links.gather_time(SWITCH, 8.0, 8.0, 1e9), 7 * (5e-6 + 1e9 / (8 * 50e9))),  # one in each of eight domains
        (links.gather_time(SWITCH, 1.0, 1.0, 1e9), 0.0),
        (links.reduce_time(RING, 8.0, 1.0, 1e9), 14 * (1e-6 + 1e9 / (8 * 400e9))),
        (links.exchange_time(SWITCH, 8.0, 1.0, 1e6), 7 * (1e-6 + 1e6 / (8 * 450e9))),
        (links.exchange_time(SWITCH, 16.0, 1.0, 1e6), 8 * (5e-6 * 5 / 14 + 1e6 / (16 * 50e9))),
        (links.exchange_time(SWITCH, 16.0, 1.0, 1e6, 0.5), 8 * (5e-6 * 5 / 14 + 0.5e6 / (16 * 50e9))),
        (links.send_time(SWITCH, 8.0, 1e6), 1e-6 + 1e6 / 450e9),
        (links.send_time(SWITCH, 16.0, 1e6), 5e-6 + 1e6 / 50e9),
        (links.send_time(TORUS, 16.0, 1e6), 1e-6 + 6e6 / 450e9),  # one of six links
    ],
)
def test_reference_links(seconds, expected):
    close(seconds, expected)


def test_links_of_a_fleet_are_those_of_its_datasheet():
    fleet = zoo.fleet_record("dgx_h100", None)
    connected = links.links(fleet, H100, Assumptions(), Collective.BEST, 4.0)
    close(connected.fast_bandwidth, fleet.intra_bandwidth * fleet.intra_efficiency)
    close(connected.slow_bandwidth, fleet.inter_bandwidth * fleet.inter_efficiency / fleet.oversubscription)
    assert connected.slice_size == 4.0
    close(connected.measured_share, 1.0)


# --- messages of a layer -------------------------------------------------------------------------------


def test_messages_of_a_layer():
    """4,096 tokens of Llama 3.1 8B on two devices: 32 MiB of activations, 8 MiB of keys and values."""
    nbytes = 4096 * 4096 * 2
    close(exchanges.message_bytes(LLAMA8, BF16, 4096.0), nbytes)
    gather = 1e-6 + nbytes / (2 * 300e9)
    plan = laid_out(tp=2.0)
    sent = exchanges.exchanges(LLAMA8, plan, SWITCH, H100, BF16, BARE, 4096.0)
    close(sent.full_gather, gather)
    close(sent.block, 2 * gather)
    close(sent.block_sum, gather)
    close(sent.block_input, gather)
    close(sent.copy, 0.0)
    close(sent.key_value_block, 1e-6 + 4096 * 1024 * 2 / 450e9)
    whole = exchanges.exchanges(LLAMA8, laid_out(tp=2.0, sequence_parallel=0.0), RING, H100, BF16, BARE, 4096.0)
    close(whole.block, 2 * gather)  # an all-reduce
    close(whole.block_sum, 2 * gather)
    close(whole.block_input, 0.0)


def test_dispatch_and_combine_send_a_copy_to_each_expert():
    """512 tokens of Mixtral on eight devices: 2 copies of 8 KiB each, twice as wide as in 8 bits."""
    assume = BARE._replace(expert_imbalance=1.0, narrow_dispatch=0.0)
    plan = laid_out(ep=8.0, dp=8.0)
    dispatch, combine = exchanges.expert_exchanges(MIXTRAL, plan, SWITCH, BF16, assume, 512.0)
    close(combine, 7 * (1e-6 + 512 * 2 * 8192 / (8 * 450e9)))
    close(dispatch, combine)
    narrow = BF16._replace(gemm_input_bytes=1.0)
    dispatch, _ = exchanges.expert_exchanges(MIXTRAL, plan, SWITCH, narrow, assume._replace(narrow_dispatch=1.0), 512.0)
    close(dispatch, 7 * (1e-6 + 512 * 2 * 4096 / (8 * 450e9)))


def test_deepseek_sends_a_token_to_four_nodes_at_most():
    """8 experts on 8 nodes, 4 nodes at most (DeepSeek-AI 2024, section 2.1.2): half of the copies cross."""
    close(exchanges.crossing_share(DEEPSEEK, 8.0, 1.0), 0.5)
    close(exchanges.crossing_share(DEEPSEEK, 8.0, 0.0), 1.0)


def test_experts_hide_their_exchanges_behind_their_passes():
    passes = training.Passes(10.0, 20.0, 4.0, 8.0, 0.0, 0.0, 0.0, 0.0)
    sent = exchanges.Exchanges(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0)
    shown = exchanges.expert_exposed(passes, sent, 0.5)
    assert [float(part) for part in shown] == [3.5, 4.0]


@pytest.mark.parametrize(
    ("recompute", "products", "expected"),
    [
        (Recompute.NONE, 0.5, 0.0),
        (Recompute.SELECTIVE, 0.0, 0.0),
        (Recompute.SELECTIVE, 0.5, 3.0),
        (Recompute.OFFLOAD, 0.5, 3.0),
        (Recompute.FULL, 0.0, 6.0),
    ],
)
def test_what_is_computed_again_is_exchanged_again(recompute, products, expected):
    assume = Assumptions(selective_products=products)
    close(exchanges.repeated_tensor_exchange(6.0, recompute, assume), expected)


# --- layers --------------------------------------------------------------------------------------------

#: parameters of attention, of a feed-forward network (or an expert) and of the norms of Llama 3.1 8B and Mixtral 8x7B
ATTENTION, FFN, NORMS = 41_943_040, 176_160_768, 8_192


@pytest.mark.parametrize(
    ("model", "moe", "expert_group", "expected"),
    [
        (LLAMA8, False, 1.0, ((ATTENTION + FFN) / 2 + NORMS, 0.0)),
        (MIXTRAL, True, 4.0, (ATTENTION / 2 + NORMS + 8 * 4096, 2 * FFN)),
    ],
)
def test_parameters_of_a_layer_on_one_of_two_devices(model, moe, expert_group, expected):
    for computed, by_hand in zip(layer.layer_params(model, moe, 2.0, expert_group), expected):
        close(computed, by_hand)


def whole_layer(assume, hardware=H100, recompute=Recompute.NONE, plan=None):
    plan = plan or laid_out()
    sent = exchanges.exchanges(LLAMA8, plan, SWITCH, hardware, BF16, assume, 4096.0)
    return layer.layer(
        LLAMA8,
        False,
        plan,
        sent,
        hardware,
        BF16,
        assume,
        rows=4096.0,
        seq_len=4096.0,
        recompute=recompute,
        attention=None,
    )


def test_a_layer_of_arithmetic_alone_takes_its_operations_over_the_rate():
    """Forward 2 operations per weight and 4 h per position attended to, backward twice that."""
    hardware, assume = arithmetic_only(H100._replace(peak_flops=1e15), BARE, 0.5)
    forward = 4096 * (2 * (ATTENTION + FFN) + 4 * 4096 * 4097 / 2) / 0.5e15
    plain = whole_layer(assume, hardware)
    close(plain.forward, forward)
    close(plain.backward, 2 * forward)
    close(plain.compute, 3 * forward)
    repeated = whole_layer(assume._replace(checkpoint_early_stop=0.0), hardware, Recompute.FULL)
    close(repeated.compute, 4 * forward)
    head = 3 * 4096 * 2 * 128256 * 4096 / 0.5e15
    alone = layer.single_device_time(
        LLAMA8, hardware, BF16, assume, rows=4096.0, seq_len=4096.0, recompute=Recompute.NONE, attention=None
    )
    close(alone, 32 * 3 * forward + head)


def test_a_layer_waits_for_the_exchanges_that_nothing_hides():
    """Two devices: two blocks each way, forward gathered and scattered, backward alike."""
    gather = 1e-6 + 4096 * 4096 * 2 / (2 * 300e9)
    split = whole_layer(BARE, plan=laid_out(tp=2.0))
    close(split.tp, 8 * gather)
    close(split.forward + split.backward - split.compute, 8 * gather)


def test_activations_of_a_layer_keep_what_attention_and_products_read():
    """Full recomputation keeps the input of each layer: 2 h bytes a token (Korthikanti et al. 2022)."""
    activations = layer.layer_activations(
        LLAMA8, False, laid_out(), BF16, Assumptions(), 4096.0, Recompute.FULL, Attention.FLASH2
    )
    close(activations.stored, 2 * 4096)


# --- stages --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "first", "last"),
    [(Schedule.ONE_F_ONE_B, 0.0, 1.0), (Schedule.ZBV, 1.0, 0.0), (Schedule.DUALPIPE, 0.5, 0.5)],
)
def test_where_the_head_lies(schedule, first, last):
    share = pipeline_stages.head_share(schedule, 4.0)
    assert (float(share.first), float(share.last)) == (first, last)


@pytest.mark.parametrize("schedule", [Schedule.ONE_F_ONE_B, Schedule.ZBV, Schedule.DUALPIPE])
@pytest.mark.parametrize("pp", [1.0, 2.0, 4.0])
def test_stages_hold_every_parameter_once(schedule, pp):
    """8,030,261,248 parameters of Llama 3.1 8B (published: 8.03B), however the stages lie."""
    counts = {1.0: (32, 0, 0, 0), 2.0: (16, 0, 16, 0), 4.0: (8, 8, 8, 16)}[pp]
    layers = Stages(*(n * (ATTENTION + FFN + NORMS) for n in counts))
    held = pipeline_stages.dense_stage_params(LLAMA8, laid_out(pp=pp, schedule=schedule), layers)
    close(held.total(), 8_030_261_248)


def test_figures_of_layers_add_up_on_their_stages():
    """61 layers of DeepSeek-V3 on four stages, 16, 30 on two, 15; the first 3 have no experts."""
    dense, moe = layer.Layer(*[1.0] * 13), layer.Layer(*[100.0] * 13)
    summed = pipeline_stages.over_stages(DEEPSEEK, 4.0, dense, moe)
    assert [float(part) for part in summed.compute] == [1303.0, 1600.0, 1500.0, 3000.0]


def test_gradients_are_added_to_their_sum():
    """Read, added and written: 2 g bytes a parameter over the bandwidth."""
    assume = BARE._replace(fused_accumulation=0.0, streaming_efficiency=0.5)
    hardware = H100._replace(mem_bandwidth=1e12)
    params, experts = Stages(1e9, 0.0, 2e9, 0.0), Stages(0.0, 0.0, 1e9, 0.0)
    times = pipeline_stages.accumulation_times(params, experts, hardware, assume)
    assert [float(part) for part in times] == [0.008, 0.0, 0.024, 0.0]


# --- data parallelism ----------------------------------------------------------------------------------


def test_one_collective_a_layer():
    plan = laid_out(dp=8.0)
    seconds = data_parallel.layerwise_time(
        links.gather_time, SWITCH, plan, layers=2.0, params=4e9, expert_params=0.0, bytes_per_param=2.0, experts=False
    )
    close(seconds, 14 * (1e-6 + 4e9 / (8 * 400e9)))


#: 1e9 weights in bf16, and their gradients in fp32
GATHERED, SCATTERED = 7 * (1e-6 + 2e9 / (8 * 400e9)), 7 * (1e-6 + 4e9 / (8 * 400e9))


@pytest.mark.parametrize(
    ("zero_stage", "each", "once"),
    [
        (0.0, 0.0, 2 * SCATTERED),
        (1.0, 0.0, SCATTERED + GATHERED),
        (2.0, SCATTERED, GATHERED),
        (3.0, 2 * GATHERED + SCATTERED, GATHERED),
    ],
)
def test_what_each_zero_stage_sends(zero_stage, each, once):
    """Rajbhandari et al. 2020, section 7: twice the gradients, or gradients and weights, or weights once more."""
    idle = Stages(0.0, 0.0, 0.0, 0.0)
    work = pipeline_stages.StageWork(*[idle] * 8, 0.0)
    sent = data_parallel.data_exchange(
        LLAMA8,
        laid_out(dp=8.0, zero_stage=zero_stage),
        RING,
        BF16,
        BARE,
        layers=1.0,
        params=1e9,
        expert_params=0.0,
        work=work,
        shard_size=None,
    )
    close(sent.each, each)
    close(sent.once, once)


def test_a_tied_table_is_agreed_on_by_both_ends():
    tied = LLAMA8._replace(tied_embeddings=1.0)
    nbytes = 128256 * 4096 * 4
    apart = data_parallel.tied_table_time(tied, laid_out(pp=2.0), RING, BARE)
    close(apart, 2 * (1e-6 + nbytes / (2 * 300e9)))
    close(data_parallel.tied_table_time(tied, laid_out(pp=2.0, schedule=Schedule.ZBV), RING, BARE), 0.0)
    close(data_parallel.tied_table_time(LLAMA8, laid_out(pp=2.0), RING, BARE), 0.0)


# --- memory --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("zero_stage", "gigabytes"), [(0, 120.0), (1, 31.40625), (2, 16.640625), (3, 1.875)])
def test_model_states_of_zero(zero_stage, gigabytes):
    """7.5e9 parameters on 64 devices: 120, 31.4, 16.6, 1.9 GB published (Rajbhandari et al. 2020, figure 1)."""
    plan = laid_out(dp=64.0, zero_stage=zero_stage)
    states = training_memory.stage_states(plan, BF16, BARE, 7.5e9, 0.0, experts=False, optimizer_offload=0.0)
    close(sum(states), gigabytes * 1e9)
    offloaded = training_memory.stage_states(plan, BF16, BARE, 7.5e9, 0.0, experts=False, optimizer_offload=1.0)
    close(offloaded.optimizer, 0.0)


def test_what_is_whole_for_a_while():
    """ZeRO-3 gathers a unit and one ahead, with one unit's gradients; a pipeline that keeps all keeps all."""
    assume = BARE._replace(gather_prefetch=1.0, gather_limit=1e18)
    streamed = training_memory.whole_for_a_while(laid_out(dp=8.0, zero_stage=3.0), BF16, assume, 1e9, 1e8)
    close(streamed, 2 * 2e8 + 4 * 1e8)  # gradients wait for their reduction in its format
    kept = training_memory.whole_for_a_while(
        laid_out(dp=8.0, pp=4.0, zero_stage=3.0), BF16, assume._replace(keep_gathered=1.0), 1e9, 1e8
    )
    close(kept, (2 + 2) * 1e9)
    close(training_memory.whole_for_a_while(laid_out(dp=8.0), BF16, assume, 1e9, 1e8), 0.0)


def test_the_largest_unit_is_a_layer_or_the_table():
    dense, moe = layer.Layer(*[1.0] * 13), layer.Layer(*[3.0] * 13)
    close(training_memory.largest_unit(dense, moe, 2.0, False), 2.0)
    close(training_memory.largest_unit(dense, moe, 2.0, True), 6.0)


def test_the_fullest_stage_decides_what_is_reserved():
    """72 bytes and two chunks of 4, a tenth of slack, 3 for the runtime: 91; the last stage holds less."""
    assume = BARE._replace(allocator_slack=0.1, memory_scatter=1.0, training_reserve=3.0, gradients_resident=0.0)
    full = training_memory.StageMemory(
        True, memory.States(10.0, 20.0, 30.0), gathered=5.0, working=7.0, logits=2.0, chunk=4.0, most_chunks=3.0
    )
    absent = full._replace(exists=False)
    lean = full._replace(states=memory.States(1.0, 2.0, 3.0))
    held = training_memory.fullest_stage([full, absent, lean], assume, 2.0, 1.0)
    expected = {
        "memory_per_device": 91.0,
        "memory_allocated": 80.0,
        "memory_weights": 10.0,
        "memory_gradients": 20.0,
        "memory_optimizer": 30.0,
        "memory_activations": 15.0,
        "memory_other": 16.0,
    }
    assert {name: round(float(part), 9) for name, part in held._asdict().items()} == expected


# --- the step ------------------------------------------------------------------------------------------


def test_an_update_reads_gradients_and_states_and_writes_states_and_weights():
    """1e9 parameters on eight shards, 2 + 2 x 12 + 2 bytes each; on the host those of all devices of the node."""
    assume = BARE._replace(
        streaming_efficiency=1.0, optimizer_slowdown=1.0, host_optimizer_bytes=34.0, host_memory_bandwidth=2e11
    )
    plan, hardware = laid_out(dp=8.0), H100._replace(mem_bandwidth=1e12)
    fleet = zoo.fleet_record("dgx_h100", None)
    for offload, expected in ((0.0, 1.25e8 * 28 / 1e12), (1.0, 8 * 1.25e8 * 34 / 2e11)):
        close(training_step.update_time(plan, hardware, fleet, BF16, assume, 1e9, 0.0, offload), expected)


def test_stages_send_their_part_or_the_whole():
    sent = exchanges.Exchanges(0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0)
    part = training_step.stage_transfer_time(laid_out(tp=2.0, pp=2.0), SWITCH, sent, BARE, 1e6)
    close(part, 1e-6 + 0.5e6 / 450e9)
    apart = laid_out(tp=2.0, pp=2.0, sequence_parallel=0.0)
    whole = training_step.stage_transfer_time(apart, SWITCH, sent, BARE._replace(scattered_sends=0.0), 1e6)
    close(whole, 1e-6 + 1e6 / 450e9)
    scattered = training_step.stage_transfer_time(apart, SWITCH, sent, BARE._replace(scattered_sends=1.0), 1e6)
    close(scattered, 1e-6 + 0.5e6 / 450e9 + 0.5)


def test_a_step_is_the_sum_of_its_parts():
    """Eight micro-batches of 1 + 2 s on four equal stages: 24 s, and a bubble of 9 s; 0.5 s each and 3 s once besides."""
    equal = Stages(1.0, 1.0, 1.0, 2.0)
    twice, none = equal.plus(equal), Stages(0.0, 0.0, 0.0, 0.0)
    work = pipeline_stages.StageWork(equal.plus(twice), equal, twice, none, none, none, equal, none, 1.0)
    assume = BARE._replace(training_host_time=0.25, blocking_sends=0.0)
    times = training_step.step_times(
        laid_out(pp=4.0),
        work,
        assume,
        n_microbatches=8.0,
        data=data_parallel.DataExchange(0.5, 3.0),
        data_in_all=data_parallel.DataExchange(2.0, 4.0),
        transfer=0.0,
        optimizer=0.75,
        stretch=1.5,
        possible=True,
    )
    assert (float(times.compute_time), float(times.bubble_time), float(times.dp_time)) == (24.0, 9.0, 7.0)
    close(times.step_time, 1.5 * (24 + 9 + 7 + 0.25 + 0.75))
    close(times.overhead_time, 0.5 * 41 + 0.25)
    close(times.communication_fraction, 7 / 61.5)
    close(times.communication_time, 8 * 1.0 + 8 * 2.0 + 4.0)  # 1 s a micro-batch on the stage, 2 s of data parallelism


def test_devices_follow_from_the_degrees_or_the_degree_from_the_devices():
    assert device_count(None, None, 32.0) == (32.0, 1.0, True)
    assert not device_count(100.0, 4.0, 32.0)[2]
    assert not bool(device_count(100.0, None, 32.0)[2])


@pytest.mark.parametrize(
    ("model", "changes", "possible"),
    [
        (LLAMA8, {"tp": 8.0}, True),
        (LLAMA8, {"tp": 3.0}, False),  # 32 heads
        (LLAMA8, {"pp": 33.0}, False),  # 32 layers
        (LLAMA8, {"ep": 2.0, "dp": 2.0}, False),  # no experts
        (MIXTRAL, {"ep": 4.0, "dp": 4.0}, True),
        (MIXTRAL, {"ep": 3.0, "dp": 3.0}, False),  # 8 experts
        (MIXTRAL, {"ep": 4.0, "dp": 2.0}, False),  # on two devices
        (LLAMA8, {"cp": 3.0}, False),  # 4,096 tokens
        (LLAMA8, {"pp": 4.0, "virtual_stages": 9.0}, False),  # 8 layers a stage
        (LLAMA8, {"pp": 3.0, "schedule": Schedule.DUALPIPE}, False),
        (LLAMA8, {"dp": 8.0, "shard_size": 3.0}, False),
    ],
)
def test_groups_divide_what_they_share(model, changes, possible):
    assert bool(layout_possible(model, laid_out(**changes), 4096.0)) is possible
