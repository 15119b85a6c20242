"""Properties of the training model: what must hold for any layout."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlsysim as ms
from mlsysim import zoo
from mlsysim.equations import collectives, memory, pipeline, training
from mlsysim.equations.pipeline import Stages
from mlsysim.models.distributed import Distributed, distributed
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Attention, Collective, Limit, Precision, Recompute, Schedule
from mlsysim.schema.variables import VARIABLES

MODELS = (
    "llama3_1_8b",
    "llama3_1_70b",
    "gpt3_175b",
    "mixtral_8x7b",
    "deepseek_v3_671b",
    "gpt_oss_120b",
    "resnet50",
)
DEVICES = ("a100", "h100", "b200", "gb200")
TIMES = ("compute", "bubble", "tp", "pp", "dp", "cp", "ep", "optimizer", "overhead")


def records(model="llama3_1_8b", hardware="h100", precision=Precision.BF16):
    device = zoo.hardware(hardware)
    return {
        "model": zoo.workload_record(zoo.model(model)),
        "hardware": zoo.accelerator_record(device, precision),
        "fleet": zoo.fleet_record(None, device),
        "format": zoo.format_record(precision),
        "assume": Assumptions(),
    }


degrees = st.sampled_from((1, 2, 3, 4, 8, 16))
layouts = st.fixed_dictionaries(
    {
        "global_batch": st.sampled_from((1, 8, 48, 256, 1000, 4096)),
        "seq_len": st.sampled_from((512, 2048, 8192, 131072)),
        "micro_batch": st.sampled_from((1, 2, 4)),
        "tp": degrees,
        "pp": degrees,
        "dp": st.sampled_from((1, 2, 5, 32, 512)),
        "cp": st.sampled_from((1, 2, 4)),
        "ep": st.sampled_from((1, 2, 8, 64)),
        "virtual_stages": st.sampled_from((1, 2, 5)),
        "schedule": st.sampled_from(list(Schedule)),
        "zero_stage": st.integers(0, 3),
        "recompute": st.sampled_from(list(Recompute)),
        "sequence_parallel": st.integers(0, 1),
        "attention": st.one_of(st.none(), st.sampled_from(list(Attention))),
        "optimizer_offload": st.integers(0, 1),
    }
)


@settings(max_examples=150, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    hardware=st.sampled_from(DEVICES),
    precision=st.sampled_from((Precision.BF16, Precision.FP8)),
    layout=layouts,
)
def test_any_layout_gives_numbers_and_parts_that_add_up(model, hardware, precision, layout):
    out = distributed(**records(model, hardware, precision), **layout)
    for name, value in out._asdict().items():
        assert value is None or not np.isnan(value), name
    assert out.limit in (Limit.NONE, Limit.SHAPE, Limit.CAPABILITY, Limit.MEMORY)
    parts = sum(getattr(out, f"{part}_time") for part in TIMES)
    assert parts == pytest.approx(out.step_time, rel=1e-9) or np.isinf(out.step_time)
    assert out.step_time > 0
    kept = out.memory_weights + out.memory_gradients + out.memory_optimizer + out.memory_activations + out.memory_other
    assert kept == pytest.approx(out.memory_per_device, rel=1e-9)
    assert out.memory_allocated < out.memory_per_device
    assert out.hfu >= out.mfu
    if out.feasible:
        assert 0 < out.mfu < 1
        assert out.bubble_time >= -1e-9 * out.step_time
        assert out.exposed_communication >= 0
        assert 0 < out.scaling_efficiency < 1.2
        assert 0 < out.compute_utilization <= 1


def test_every_output_and_input_is_declared():
    assert set(Distributed._fields) <= set(VARIABLES)
    inputs = set(distributed.signature.parameters) - {"model", "hardware", "fleet", "format", "assume"}
    assert inputs <= set(VARIABLES)


LAYOUT = {"global_batch": 512, "seq_len": 4096, "tp": 8, "pp": 4, "dp": 16, "micro_batch": 2}


def big(**changes):
    return distributed(**records("llama3_1_70b"), **{**LAYOUT, **changes})


@pytest.mark.parametrize("field", ["intra_bandwidth", "inter_bandwidth"])
@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_more_bandwidth_is_never_slower(field, zero_stage):
    given_records = records("llama3_1_70b")
    last = np.inf
    for factor in (0.25, 1.0, 4.0, 16.0):
        fleet = given_records["fleet"]
        faster = fleet._replace(**{field: getattr(fleet, field) * factor})
        step = distributed(**{**given_records, "fleet": faster}, **LAYOUT, zero_stage=zero_stage).step_time
        assert step <= last
        last = step


@pytest.mark.parametrize("field", ["mem_bandwidth", "peak_flops", "attention_peak_flops", "training_gemm_efficiency"])
def test_a_better_device_is_never_slower(field):
    given_records = records("llama3_1_70b")
    hardware = given_records["hardware"]
    better = hardware._replace(**{field: getattr(hardware, field) * 1.3})
    assert distributed(**{**given_records, "hardware": better}, **LAYOUT).step_time < big().step_time


def test_memory_falls_with_zero_stage():
    held = [big(pp=1, dp=64, zero_stage=stage).memory_per_device for stage in range(4)]
    assert held == sorted(held, reverse=True)
    assert held[3] < 0.6 * held[0]


def test_recomputation_trades_memory_for_time():
    none, selective, full = (big(recompute=r) for r in (Recompute.NONE, Recompute.SELECTIVE, Recompute.FULL))
    assert none.memory_activations > selective.memory_activations > full.memory_activations
    assert none.step_time < selective.step_time < full.step_time
    assert none.hfu == none.mfu and full.hfu > full.mfu


def test_interleaving_shrinks_the_bubble_and_costs_memory():
    plain, chunked = big(), big(virtual_stages=5)
    assert chunked.bubble_time < 0.5 * plain.bubble_time
    assert chunked.memory_activations > plain.memory_activations


def test_zero_bubble_schedules_idle_less():
    plain = big().bubble_time
    for schedule in (Schedule.ZB_H1, Schedule.ZB_H2, Schedule.ZBV):
        assert big(schedule=schedule).bubble_time < plain


def test_devices_follow_from_either_side():
    by_degree, by_count = big(), big(dp=None, n_accelerators=512)
    assert by_degree.n_accelerators == 512
    assert by_count.step_time == by_degree.step_time
    assert big(n_accelerators=512).feasible
    assert big(n_accelerators=500).limit == Limit.SHAPE
    assert big(dp=None, n_accelerators=500).limit == Limit.SHAPE


@pytest.mark.parametrize(
    "changes",
    [
        {"global_batch": 513},
        {"tp": 3},
        {"pp": 96},
        {"virtual_stages": 7, "global_batch": 544},
        {"virtual_stages": 2, "pp": 1},
        {"ep": 2},
        {"schedule": Schedule.ZB_H1, "global_batch": 128},
        {"schedule": Schedule.DUALPIPE, "pp": 5, "global_batch": 1024},
        {"cp": 3},
    ],
)
def test_what_does_not_fit_by_shape(changes):
    assert big(**changes).limit == Limit.SHAPE


def test_what_the_device_or_its_memory_cannot_do():
    given_records = records("llama3_1_70b")
    hardware = given_records["hardware"]._replace(peak_flops=0.0)
    assert distributed(**{**given_records, "hardware": hardware}, **LAYOUT).limit == Limit.CAPABILITY
    assert big(tp=1, pp=1, dp=256, zero_stage=0).limit == Limit.MEMORY
    out = distributed(**records("llama3_1_70b", "a100", Precision.FP8), **LAYOUT)
    assert out.limit == Limit.CAPABILITY and np.isinf(out.step_time) and out.mfu == out.tokens_per_s == 0


@pytest.mark.parametrize("scaled", ["s", "byte"])
@pytest.mark.parametrize("attention", [None, Attention.UNFUSED])
def test_outputs_scale_with_their_units(scaled, attention):
    """A clock or a byte of another size changes every figure by its unit: no hidden constants."""
    factor = 7.0
    exponents = {"s": {"s": 1, "FLOP/s": -1, "byte/s": -1, "1/s": -1}, "byte": {"byte": 1, "byte/s": 1}}[scaled]

    def change(record):
        return record._replace(
            **{
                name: getattr(record, name) * factor ** exponents.get(VARIABLES[name].unit, 0)
                for name in record._fields
            }
        )

    given_records = records("mixtral_8x7b")
    layout = {
        "global_batch": 64,
        "seq_len": 4096,
        "tp": 2,
        "pp": 2,
        "dp": 8,
        "ep": 4,
        "cp": 2,
        "recompute": Recompute.OFFLOAD,
    }
    layout["attention"] = attention
    before = distributed(**given_records, **layout)
    parts = {name: change(value) for name, value in given_records.items() if name != "model"}
    after = distributed(model=given_records["model"], **parts, **layout)
    for name in Distributed._fields:
        old, new = getattr(before, name), getattr(after, name)
        if old is not None:
            assert new == pytest.approx(old * factor ** exponents.get(VARIABLES[name].unit, 0), rel=1e-9), name


def test_arrays_broadcast():
    out = distributed(
        **records(), global_batch=np.array([64, 128, 256.0]), seq_len=4096, tp=np.array([[1.0], [2.0]]), dp=8
    )
    assert np.shape(out.step_time) == (2, 3)
    single = distributed(**records(), global_batch=128, seq_len=4096, tp=2, dp=8)
    assert out.step_time[1, 1] == single.step_time


sizes = st.floats(1e3, 1e12)


@given(ranks=st.integers(1, 4096), nbytes=sizes, bandwidth=st.floats(1e8, 1e13), latency=st.floats(0, 1e-3))
def test_all_reduce_is_bounded(ranks, nbytes, bandwidth, latency):
    best = collectives.all_reduce(ranks, nbytes, bandwidth, latency)
    assert 0 <= best <= collectives.ring_all_reduce(ranks, nbytes, bandwidth, latency)
    if ranks > 1:
        assert best >= nbytes / bandwidth


@given(local=st.integers(1, 72), nodes=st.integers(1, 512), nbytes=sizes)
def test_two_levels_reduce_to_one(local, nodes, nbytes):
    links = (450e9, 3e-6, 50e9, 14e-6)
    alone = collectives.hierarchical_all_gather(local, 1, nbytes, *links, Collective.HIERARCHICAL)
    assert alone == pytest.approx(collectives.ring_all_gather(local, nbytes, 450e9, 3e-6), rel=1e-9)
    assert collectives.hierarchical_all_gather(local, 1, nbytes, *links) <= alone * (1 + 1e-9)
    both = collectives.hierarchical_all_reduce(local, nodes, nbytes, *links)
    assert both >= collectives.hierarchical_all_reduce(local, 1, nbytes, *links) * (1 - 1e-9)
    if local * nodes == 1:
        assert both == 0


@given(communication=st.floats(0, 10), window=st.floats(0, 10), overlap=st.floats(0, 1))
def test_exposed_time_lies_between_all_and_what_does_not_fit(communication, window, overlap):
    exposed = collectives.exposed_time(communication, window, overlap)
    assert max(0.0, communication - window) - 1e-12 <= exposed <= communication


def simulated_1f1b(micro_batches, forward, backward):
    """1F1B followed pass by pass: when is the last one done."""
    stages = len(forward)
    done_f = np.zeros((stages, micro_batches))
    done_b = np.zeros((stages, micro_batches))
    orders = []
    for i in range(stages):
        warm = min(stages - 1 - i, micro_batches)
        order = [("f", j) for j in range(warm)]
        for j in range(micro_batches - warm):
            order += [("f", warm + j), ("b", j)]
        order += [("b", j) for j in range(micro_batches - warm, micro_batches)]
        orders.append(order)
    clock, at = [0.0] * stages, [0] * stages
    known_f, known_b = set(), set()
    while any(at[i] < len(orders[i]) for i in range(stages)):
        for i in range(stages):
            while at[i] < len(orders[i]):
                kind, j = orders[i][at[i]]
                if kind == "f":
                    if i and (i - 1, j) not in known_f:
                        break
                    start = max(clock[i], done_f[i - 1, j] if i else 0.0)
                    clock[i] = done_f[i, j] = start + forward[i]
                    known_f.add((i, j))
                else:
                    if i < stages - 1 and (i + 1, j) not in known_b:
                        break
                    start = max(clock[i], done_b[i + 1, j] if i < stages - 1 else done_f[i, j])
                    clock[i] = done_b[i, j] = start + backward[i]
                    known_b.add((i, j))
                at[i] += 1
    return max(clock)


@settings(max_examples=60, deadline=None)
@given(
    stages=st.integers(2, 8),
    extra=st.integers(0, 24),
    first=st.floats(0.8, 1.6),
    last=st.floats(0.8, 1.6),
)
def test_1f1b_is_what_following_every_pass_gives(stages, extra, first, last):
    each = [first] + [1.0] * (stages - 2) + [last]
    m = stages + extra
    middle = 1.0 if stages > 2 else 0.0

    def on_stages(factor):
        return Stages(first * factor, middle * factor, last * factor, (stages - 2.0) * factor)

    predicted = pipeline.makespan(Schedule.ONE_F_ONE_B, m, stages, 1.0, on_stages(1.0), on_stages(2.0), 1.0)
    followed = simulated_1f1b(m, each, [2.0 * t for t in each])
    assert predicted == pytest.approx(followed, rel=0.022)


def test_in_flight_never_exceeds_what_is_sent():
    for schedule in Schedule:
        for stage in (0.0, 3.0):
            assert pipeline.in_flight_limit(schedule, 4.0, 1.0, stage) >= 1


def test_sharded_states_sum_to_the_whole():
    whole = sum(memory.model_states(1e9, 1.0, 3, 2.0, 4.0, 12.0))
    assert 64 * sum(memory.model_states(1e9, 64.0, 3, 2.0, 4.0, 12.0)) == pytest.approx(whole)


def test_textbook_collectives_agree_where_they_must():
    """With two ranks a ring moves what a broadcast and a multicast move; a torus by links or hops."""
    assert collectives.broadcast(8.0, 0.0, 1.0, 1e-6) == pytest.approx(3e-6)
    assert collectives.broadcast(2.0, 1e9, 1e9, 0.0) == collectives.ring_all_reduce(2.0, 1e9, 1e9, 0.0)
    assert collectives.torus_all_gather(1e9, 1e11, 16.0, 1e-6) == pytest.approx(0.01)
    assert collectives.torus_all_gather(1.0, 1e11, 16.0, 1e-6) == pytest.approx(8e-6)


def test_contiguous_context_parallelism_costs_up_to_twice():
    given_records = records("llama3_1_8b")
    layout = {"global_batch": 8, "seq_len": 262144, "dp": 1, "recompute": Recompute.FULL}
    slow = {**given_records, "assume": Assumptions(context_imbalance=1.875)}
    assert distributed(**slow, **layout, cp=1).step_time == distributed(**given_records, **layout, cp=1).step_time
    ratio = distributed(**slow, **layout, cp=8).step_time / distributed(**given_records, **layout, cp=8).step_time
    assert 1.5 < ratio < 1.875


@pytest.mark.parametrize(
    ("changed", "layout"),
    [
        ({"eager_factor": 2.0}, {}),
        ({"fused_accumulation": 0.0}, {}),
        ({"optimizer_slowdown": 3.5}, {"zero_stage": 0}),
        ({"blocking_sends": 1.0}, {"virtual_stages": 5}),
        ({"scattered_sends": 0.0}, {"sequence_parallel": 0}),
        ({"exchange_copies": 1.0}, {}),
        ({"weight_gradient_overlap": 0.0}, {}),
    ],
)
def test_what_frameworks_do_worse_costs_some_time(changed, layout):
    usual = {**LAYOUT, **layout}
    plain = distributed(**records("llama3_1_70b"), **usual).step_time
    slow = distributed(**{**records("llama3_1_70b"), "assume": Assumptions(**changed)}, **usual).step_time
    assert 1.0 < slow / plain < 1.25


def test_copies_and_scattering_depend_on_the_split_of_sequences():
    """Without sequence parallelism nothing is copied into place; with it messages are parts anyway."""
    for split, name, value in ((0, "exchange_copies", 1.0), (1, "scattered_sends", 0.0)):
        layout = {**LAYOUT, "sequence_parallel": split}
        changed = {**records("llama3_1_70b"), "assume": Assumptions(**{name: value})}
        assert distributed(**changed, **layout).step_time == distributed(**records("llama3_1_70b"), **layout).step_time


def test_attention_computed_again_as_measured():
    """22 B on A100, t = 8, s = 2048, b = 4: 1.3 ms a layer (Korthikanti et al. 2022, table 4)."""
    known = records("llama3_1_8b", "a100", Precision.FP16)
    gpt = known["model"]._replace(
        n_layers=48.0, hidden=6144.0, ffn_hidden=24576.0, n_heads=64.0, n_kv_heads=64.0, head_dim=96.0, gated_ffn=0.0
    )
    common = (known["hardware"], known["format"], known["assume"])
    passes = training.layer_time(gpt, False, 8192.0, 2048.0, 2048.0, 8.0, 1.0, 1.0, 1.0, Attention.UNFUSED, *common)
    again = training.recomputed_time(passes, Recompute.SELECTIVE, Attention.UNFUSED, known["assume"])
    assert again == pytest.approx(1.3e-3, rel=0.1)


def test_gradients_that_are_freed_take_the_place_of_activations():
    """In a step of one micro-batch only the larger of both counts; with more, gradients stay as in a buffer of their own."""

    def memory(batch, resident):
        found = ms.DistributedModel.solve(
            model="llama3_2_3b",
            hardware="h100",
            seq_len=4096,
            micro_batch=1,
            global_batch=batch,
            tp=1,
            pp=1,
            dp=1,
            assume=ms.Assumptions(gradients_resident=resident, gradient_bytes=2.0),
        )
        return found.memory_allocated.item(), found.memory_gradients.item(), found.memory_activations.item()

    kept, gradients, activations = memory(1, 1.0)
    freed, left, _ = memory(1, 0.0)
    assert kept - freed == pytest.approx(min(gradients, activations), rel=0.02) and left < 0.05 * gradients
    assert memory(2, 0.0) == memory(2, 1.0)


def test_a_mirrored_pipeline_holds_the_first_stage_beside_the_last():
    """DualPipe: either end holds embedding, head and the layers of both stages, none of them twice."""
    point = {
        "model": "llama3_1_8b",
        "hardware": "h100",
        "tp": 1,
        "pp": 8,
        "dp": 8,
        "seq_len": 4096,
        "global_batch": 256,
        "micro_batch": 1,
        "precision": "bf16",
        "zero_stage": 1,
        "schedule": ["1f1b", "dualpipe"],
    }
    plain, mirrored = ms.DistributedModel.solve(**point).memory_weights.values
    assert mirrored == pytest.approx(2.0 * plain, rel=1e-3)


@settings(max_examples=30, deadline=None)
@given(
    model=st.sampled_from(("llama3_1_8b", "mixtral_8x7b")),
    tp=st.sampled_from((1, 2, 8)),
    pp=st.sampled_from((1, 4)),
    cp=st.sampled_from((1, 4)),
    dp=st.sampled_from((1, 8)),
    ep=st.sampled_from((1, 8)),
    zero_stage=st.integers(0, 3),
    recompute=st.sampled_from(("none", "selective", "full")),
)
def test_all_communication_is_at_least_what_shows(model, tp, pp, cp, dp, ep, zero_stage, recompute):
    """And does not ask how well it is hidden."""
    layout = {"tp": tp, "pp": pp, "cp": cp, "dp": dp, "ep": ep, "zero_stage": zero_stage, "recompute": recompute}
    call = {"model": model, "hardware": "h100", "seq_len": 8192, "global_batch": 64, "plan": "plain", **layout}
    run = ms.DistributedModel.solve(**call)
    assert run.communication_time >= run.exposed_communication * (1 - 1e-12)
    assert (float(run.communication_time) == 0) == (max(tp, pp, cp, dp, ep) == 1)
    bare = {"tensor_overlap": 0, "weight_gradient_overlap": 0, "data_overlap": 0, "overlap_contention": 0}
    if cp == pp == 1:  # ring attention hides by itself; a pipeline waits for some messages and hides others
        shown = ms.DistributedModel.solve(**call, **bare, expert_overlap=0)
        assert float(shown.exposed_communication) == pytest.approx(float(shown.communication_time), rel=1e-9)
        assert float(shown.communication_time) == pytest.approx(float(run.communication_time), rel=1e-9)


def test_all_communication_by_hand():
    """ZeRO-0 on eight devices: one all-reduce of the gradients, 4 bytes each, whether passes hide it or not."""
    call = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 2048, "global_batch": 8, "dp": 8, "zero_stage": 0}
    hidden, shown = (ms.DistributedModel.solve(**call, data_overlap=s, overlap_contention=0) for s in (1.0, 0.0))
    assert float(hidden.communication_time) == float(shown.communication_time) == float(shown.dp_time)
    assert hidden.dp_time < shown.dp_time
    least = 2 * 7 / 8 * 4 * 8_030_261_248 / 450e9
    assert least < float(shown.communication_time) < 2 * least


def test_training_in_eight_bits_has_a_level_of_its_own():
    """Formats of 16 bits do not know it; of 8 every time of a step moves with it, on one device and on many."""
    call = {"model": "llama3_1_8b", "hardware": "h200", "seq_len": 4096, "precision": ["bf16", "fp8"]}
    for resolver, time, further in (
        (ms.DistributedModel, "step_time", {"tp": 8, "dp": 2, "global_batch": 64}),
        (ms.SingleNodeModel, "latency", {"phase": "training", "batch_size": 1}),
    ):
        usual, slow = (resolver.solve(**call, **further, narrow_training_level=v)[time] for v in (1.0, 1.25))
        assert (slow / usual).values.ravel().tolist() == pytest.approx([1.0, 1.25])
