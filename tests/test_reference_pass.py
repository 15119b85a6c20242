"""Reference values of one pass on one device, worked out by hand for Llama 3.1 8B and Mixtral 8x7B."""

import pytest

from mlsysim import zoo
from mlsysim.equations import single_pass, spilling
from mlsysim.equations.conventions import serving_device, textbook_assumptions
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Precision, Recompute

LLAMA8, MIXTRAL = (zoo.workload_record(zoo.model(name)) for name in ("llama3_1_8b", "mixtral_8x7b"))
H100 = zoo.accelerator_record(zoo.hardware("h100"), Precision.BF16)._replace(
    peak_flops=1e15, attention_peak_flops=1e15, mem_bandwidth=3e12, mem_capacity=80e9, host_bandwidth=50e9
)
BF16 = zoo.format_record(Precision.BF16)
FLEET = zoo.fleet_record("dgx_h100", None)._replace(host_memory=8e9, accelerators_per_node=8.0)
PARAMS, MATRICES = 8_030_261_248, 32 * (41_943_040 + 176_160_768)  # all, and those of products in the layers
ONCE = single_pass.Passes(1.0, 0.0, 1.0, 1.0, 1.0)


def close(computed, expected):
    assert float(computed) == pytest.approx(expected, rel=1e-9)


def by_hand(size, new, cached, training=False):
    device, assume = serving_device(H100, None, None, 1.0), textbook_assumptions(Assumptions(), 1.0)
    batch = single_pass.batch(LLAMA8, size, new, cached, training)
    time = single_pass.device_time(LLAMA8, device, BF16, assume, batch, ONCE, by_hand=True, efficiency=None, update=0.0)
    return time, single_pass.moved_bytes(device, assume, time)


def test_a_decode_step_by_hand_reads_weights_and_cache():
    """One token after 1,023: 2 operations per weight, 4 h per position and layer; all but one table, and 128 MiB."""
    time, moved = by_hand(1.0, 1.0, 1023.0)
    head, cache = 128256 * 4096, 131072 * 1024
    close(time.compute, (2 * (MATRICES + head) + 32 * 4 * 4096 * 1024) / 1e15)
    close(moved, 2 * (PARAMS - head) + cache)
    close(time.memory, float(moved) / 3e12)
    assert float(time.total) == float(time.memory)
    assert float(time.overhead) == 0.0


def test_training_takes_its_curves_and_a_given_efficiency_none():
    assume = Assumptions(training_gemm_factor=0.9, serving_gemm_factor=0.8, elementwise_slowdown=3.0)
    hardware = H100._replace(gemm_efficiency=0.5, training_gemm_efficiency=0.6)
    device, assumed = single_pass.training_curves(hardware, assume, True, None)
    close(device.gemm_efficiency, 0.54)
    assert (float(assumed.serving_gemm_factor), float(assumed.serving_elementwise_slowdown)) == (1.0, 3.0)
    device, assumed = single_pass.training_curves(hardware, assume, False, None)
    assert (float(device.gemm_efficiency), float(assumed.serving_gemm_factor)) == (0.5, 0.8)
    device, assumed = single_pass.training_curves(hardware, assume, True, 0.4)
    assert (device.gemm_efficiency, assumed.serving_gemm_factor) == (0.5, 1.0)


def held(training=False, **changes):
    plain = {
        "training": training,
        "trained": PARAMS,
        "frozen": False,
        "recompute": Recompute.NONE,
        "zero_stage": 0.0,
        "dp": 1.0,
        "by_hand": False,
    }
    assume = Assumptions(gradient_bytes=2.0, optimizer_bytes=12.0, runtime_reserve=1e9)
    batch = single_pass.batch(LLAMA8, 2.0, 1000.0, 24.0, training)
    return single_pass.pass_memory(LLAMA8, H100, BF16, assume, batch, **{**plain, **changes})


def test_memory_of_a_pass():
    """16 bits a weight, and 128 KiB a token of two samples of 1,024."""
    memory = held()
    close(memory.weights, 2 * PARAMS)
    close(memory.kv_cache, 2 * 1024 * 131072)
    close(memory.total - memory.weights - memory.kv_cache - memory.activations, 1e9)
    assert float(memory.gradients) == float(memory.optimizer) == 0.0


def test_memory_of_training():
    """2 + 2 + 12 bytes a parameter (Rajbhandari et al. 2020); adapters leave the weights as they are stored."""
    memory = held(training=True)
    close(memory.weights + memory.gradients + memory.optimizer, 16 * PARAMS)
    assert float(memory.kv_cache) == 0.0
    adapters = held(training=True, frozen=True, trained=1e6)
    close(adapters.weights, 2 * PARAMS + 2e6)
    close(adapters.optimizer, 12e6)


def test_what_does_not_fit_lies_in_host_memory_and_then_on_storage():
    """30 GB of weights on a device of 26: 4 GB beyond, of which half of the host's 1 GB a device holds 0.5."""
    assume = Assumptions(host_memory_share=0.5, host_link_efficiency=0.8, local_storage_bandwidth=7e9)
    memory = single_pass.PassMemory(30e9, 0.0, 0.0, 0.0, 0.0, 30e9, 30e9, True)
    batch = single_pass.batch(LLAMA8, 1.0, 1.0, 0.0, False)
    device = H100._replace(mem_capacity=26e9)
    beyond = spilling.spill(LLAMA8, device, FLEET, BF16, assume, batch, memory, False)
    assert [float(part) for part in beyond[:4]] == [4e9, 0.5e9, 3.5e9, 4e9]
    close(beyond.link, 0.5)  # 3.5 GB at 7 GB/s take longer than 4 GB at 40 GB/s
    close(beyond.link_rate, 40e9)


def test_experts_that_no_token_visits_are_not_fetched():
    """One token visits 2 of 8 experts in 32 layers of Mixtral: 6 of 8 of 45.1e9 weights stay where they are."""
    batch = single_pass.batch(MIXTRAL, 1.0, 1.0, 0.0, False)
    share = spilling.read_share(MIXTRAL, BF16, batch, 100e9, False)
    close(share, 1 - 2 * 32 * 6 * 176_160_768 / 100e9)
    close(spilling.read_share(MIXTRAL, BF16, batch, 100e9, True), 1.0)


def test_tables_are_stored_in_the_format_of_activations():
    int4 = BF16._replace(weight_bytes=0.5, attention_bytes=0.5, expert_bytes=0.5, shared_expert_bytes=0.5)
    tables = 2 * 128256 * 4096
    close(single_pass.stored_bytes(LLAMA8, int4, False), 0.5 * (PARAMS - tables) + 2 * tables)
    close(single_pass.stored_bytes(LLAMA8, int4, True), 0.5 * PARAMS)


def test_an_update_is_sharded_from_the_first_zero_stage_on():
    assume = Assumptions(gradient_bytes=2.0, optimizer_bytes=12.0)
    device = H100._replace(gemm_bandwidth_efficiency=1.0)
    for zero_stage, shards in ((0.0, 1), (1.0, 4)):
        seconds = single_pass.update_time(device, BF16, assume, 3e9, True, zero_stage, 4.0)
        close(seconds, 3e9 / shards * (2 + 24 + 2) / 3e12)


def test_a_token_of_mixtral_passes_two_experts():
    close(single_pass.mean_ffn_width(MIXTRAL), 2 * 14336)
    close(single_pass.mean_ffn_width(LLAMA8), 14336)
