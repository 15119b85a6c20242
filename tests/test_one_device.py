"""A training step on one device has one answer: SingleNodeModel and DistributedModel ask the same equations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mlsysim as ms

MODELS = ("gpt2_small", "llama3_2_1b", "llama3_1_8b", "llama3_1_70b", "mixtral_8x7b", "gpt_oss_20b", "bert_large")
DEVICES = ("h100", "a100", "b200", "mi300x", "l4", "tpu_v5p", "rtx_4090")
SAME = {
    "latency": "step_time",
    "memory_per_device": "memory_per_device",
    "memory_weights": "memory_weights",
    "memory_gradients": "memory_gradients",
    "memory_optimizer": "memory_optimizer",
    "memory_activations": "memory_activations",
    "mfu": "mfu",
    "hfu": "hfu",
    "feasible": "feasible",
}


def alike(one, many, tolerance=1e-9):
    for own, other in SAME.items():
        assert float(one[own]) == pytest.approx(float(many[other]), rel=tolerance), own


@settings(max_examples=40, deadline=None)
@given(
    model=st.sampled_from(MODELS),
    hardware=st.sampled_from(DEVICES),
    batch=st.integers(1, 64),
    seq_len=st.sampled_from((128, 500, 512)),
    recompute=st.sampled_from(("none", "selective", "full", "offload")),
    assumed=st.sampled_from(({}, {"training_level": 1.2}, {"training_host_time": 0.1, "fused_accumulation": 0})),
)
def test_one_device_has_one_answer(model, hardware, batch, seq_len, recompute, assumed):
    shared = {"model": model, "hardware": hardware, "seq_len": seq_len, "recompute": recompute, "plan": "plain"}
    shared |= assumed
    one = ms.SingleNodeModel.solve(**shared, batch_size=batch, is_training=1)
    many = ms.DistributedModel.solve(**shared, micro_batch=batch, global_batch=batch, zero_stage=0)
    alike(one, many)
    assert float(one.throughput) == pytest.approx(batch / float(many.step_time), rel=1e-9)


@pytest.mark.parametrize("assume", ["torchtitan", "megatron_lm", "maxtext", "meta_llama"])
def test_what_a_trainer_does_counts_in_both(assume):
    shared = {"model": "llama3_2_1b", "hardware": "h100", "seq_len": 2048, "assume": assume}
    one = ms.SingleNodeModel.solve(**shared, batch_size=4, is_training=1)
    alike(one, ms.DistributedModel.solve(**shared, micro_batch=4, global_batch=4, zero_stage=0))


def test_a_given_efficiency_counts_in_both():
    shared = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 2048, "efficiency": 0.4}
    one = ms.SingleNodeModel.solve(**shared, batch_size=2, is_training=1)
    many = ms.DistributedModel.solve(**shared, micro_batch=2, global_batch=2, zero_stage=0)
    alike(one, many)
    slower = ms.SingleNodeModel.solve(**shared, batch_size=2, is_training=1, bandwidth_efficiency=0.1)
    assert slower.latency > one.latency and slower.memory_time > one.memory_time


@pytest.mark.parametrize("zero_stage", [1, 2, 3])
def test_states_shared_by_others_are_held_as_in_a_training_on_many(zero_stage):
    shared = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 2048, "zero_stage": zero_stage, "dp": 8}
    one = ms.SingleNodeModel.solve(**shared, batch_size=1, is_training=1)
    many = ms.DistributedModel.solve(**shared, global_batch=8)
    assert float(one.memory_per_device) == pytest.approx(float(many.memory_per_device), rel=1e-12)
    assert one.latency <= many.step_time  # whose exchanges come on top


def test_parts_of_a_step_add_up():
    grid = ms.SingleNodeModel.solve(
        model=["gpt2_small", "llama3_1_8b", "mixtral_8x7b"],
        hardware=["h100", "l4"],
        batch_size=[1, 16],
        seq_len=512,
        is_training=1,
    )
    joined = grid.latency - grid.overhead_time
    assert (np.maximum(grid.compute_time, grid.memory_time) <= grid.latency * (1 + 1e-9)).all()
    assert (joined >= 0).all() and (joined <= (grid.compute_time + grid.memory_time) * (1 + 1e-9)).all()


def test_traffic_is_what_a_device_of_full_bandwidth_would_take():
    """At bandwidth and factors of 1 the time of memory is the traffic over the bandwidth."""
    one = ms.SingleNodeModel.solve(
        model="llama3_1_8b",
        hardware="h100",
        batch_size=1,
        seq_len=512,
        is_training=1,
        bandwidth_efficiency=1.0,
        elementwise_slowdown=1.0,
    )
    assert float(one.bytes_moved) == pytest.approx(float(one.memory_time) * 3.35e12, rel=1e-9)


def test_adapters_spare_the_gradients_of_the_weights():
    shared = {"model": "llama3_1_8b", "hardware": "h100", "batch_size": 4, "seq_len": 2048, "is_training": 1}
    whole, adapted = (ms.SingleNodeModel.solve(**shared, lora_rank=rank) for rank in (0, 16))
    assert 1.3 < float(whole.latency / adapted.latency) < 1.6  # two products of three, attention whole
    assert adapted.memory_gradients < 0.01 * whole.memory_gradients
    assert float(adapted.memory_weights - 2 * 41_943_040) == pytest.approx(2 * 8_030_261_248, rel=1e-9)


def test_cached_tokens_before_a_training_sequence_are_attended_to():
    shared = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 512, "is_training": 1}
    short, long = (ms.SingleNodeModel.solve(**shared, cached_prefix=c) for c in (0, 8192))
    assert long.latency > short.latency and long.flops > short.flops


def test_what_is_no_transformer_is_priced_as_before():
    call = {"model": "resnet50", "hardware": "a100", "precision": "fp16", "batch_size": 128, "runtime": "eager"}
    step, once = ms.SingleNodeModel.solve(**call, is_training=1), ms.SingleNodeModel.solve(**call)
    assert 2.5 < float(step.latency / once.latency) < 3.5


def test_what_a_call_rules_out_is_not_recorded():
    from mlsysim.engine.program import Program

    call = {"model": "llama3_1_8b", "hardware": "h100"}
    without, with_training = (
        len(Program(ms.SingleNodeModel, {**call, "is_training": t}).graph.nodes) for t in (0, [0, 1])
    )
    assert without < 0.5 * with_training


def test_a_run_far_above_the_predicted_level_moves_no_more_than_there_is():
    """A level of a quarter says that a machine is four times as fast as predicted: no share passes one."""
    call = {"model": "llama3_1_8b", "hardware": "h100", "workload_type": "training", "seq_len": [1, 512]}
    found = ms.EfficiencyModel.solve(**call, training_level=0.25)
    assert (found.bandwidth_utilization <= 1).all() and (found.mfu <= 1).all()
    shares = sum(found[f"{s}_share"] for s in ("kernel", "quantisation", "memory", "launch")) + found.mfu
    assert (shares <= 1 + 1e-9).all() and (found.kernel_share >= 0).all()
