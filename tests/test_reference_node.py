"""One device, efficiency, streamed weights, reasoning: published and hand-calculated values."""

import math

import numpy as np
import pytest

import mlsysim as ms
from mlsysim import zoo
from mlsysim.equations import architecture, compute, reasoning, roofline, streaming
from mlsysim.equations.adapters import adapter_params
from mlsysim.models.efficiency import EfficiencyModel, efficiency
from mlsysim.models.inference_scaling import InferenceScalingModel, inference_scaling
from mlsysim.models.single_node import SingleNodeModel, single_node
from mlsysim.models.weight_streaming import WeightStreamingModel, weight_streaming
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import (
    Bottleneck,
    FlopsConvention,
    Limit,
    Phase,
    Precision,
    Recompute,
    WorkloadType,
)
from mlsysim.schema.records import Accelerator

ASSUME = Assumptions()


def close(computed, expected):
    """Equal to what the text prints, to half a unit of its last digit."""
    digits, _, exponent = expected.partition("e")
    slack = 0.5001 * 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
    assert float(computed) == pytest.approx(float(expected), rel=0.0, abs=slack)


def on(model, hardware, precision=Precision.BF16):
    """Records of a model on a device."""
    return (
        zoo.workload_record(model),
        zoo.accelerator_record(hardware, precision),
        zoo.fleet_record(None, hardware),
        zoo.format_record(precision),
        ASSUME,
    )


def workload(name):
    return zoo.workload_record(name)


def flops_per_token(name, seq_len, convention):
    """Forward operations per token, as the kernel counts them: a third of a training step."""
    node = single_node(*on(name, "h100"), seq_len=seq_len, is_training=1, flops_convention=convention, textbook=1)
    return node.flops / 3.0 / seq_len


CAUSAL, FULL = FlopsConvention.CAUSAL, FlopsConvention.FULL

#: Llama-3.1-8B, Llama-3.1-70B ...: id, computed, printed, source
COUNTS = [
    ("8B parameters", lambda: architecture.total_params(workload("Llama-3.1-8B")), "8030261248", "derived"),
    ("70B parameters", lambda: architecture.total_params(workload("Llama-3.1-70B")), "70553706496", "derived"),
    ("405B parameters", lambda: architecture.total_params(workload("Llama-3.1-405B")), "405853388800", "derived"),
    ("Mixtral parameters", lambda: architecture.total_params(workload("Mixtral-8x7B")), "46702792704", "derived"),
    ("Mixtral active", lambda: architecture.active_params(workload("Mixtral-8x7B")), "12879925248", "derived"),
    (
        "DeepSeek-V3 parameters",
        lambda: architecture.total_params(workload("DeepSeek-V3")),
        "671026404352",
        "derived, 671B published",
    ),
    (
        "DeepSeek-V3 active",
        lambda: architecture.active_params(workload("DeepSeek-V3")),
        "37552282624",
        "derived, 37B published",
    ),
    (
        "DeepSeek-V3 active, no input table",
        lambda: architecture.active_params(workload("DeepSeek-V3"), 0.0),
        "36625603584",
        "derived",
    ),
    ("8B, 8192, causal", lambda: flops_per_token("Llama-3.1-8B", 8192.0, CAUSAL), "17157062656", "derived"),
    ("8B, 8192, full", lambda: flops_per_token("Llama-3.1-8B", 8192.0, FULL), "19304284160", "derived"),
    ("70B, 4096, causal", lambda: flops_per_token("Llama-3.1-70B", 4096.0, CAUSAL), "144373448704", "derived"),
    ("70B, linear", lambda: architecture.linear_flops(workload("Llama-3.1-70B")), "136902082560", "derived"),
    (
        "70B, attention",
        lambda: 80.0 * architecture.attention_flops(workload("Llama-3.1-70B"), architecture.causal_positions(4096.0)),
        "5370019840",
        "derived",
    ),
    ("70B, head", lambda: architecture.head_flops(workload("Llama-3.1-70B")), "2101346304", "derived"),
    ("70B, 4096, full", lambda: flops_per_token("Llama-3.1-70B", 4096.0, FULL), "149740847104", "derived"),
    ("70B, 8192, causal", lambda: flops_per_token("Llama-3.1-70B", 8192.0, CAUSAL), "149742157824", "derived"),
    ("70B, 8192, full", lambda: flops_per_token("Llama-3.1-70B", 8192.0, FULL), "160478265344", "derived"),
    ("405B, 8192, causal", lambda: flops_per_token("Llama-3.1-405B", 8192.0, CAUSAL), "841322790912", "derived"),
    ("405B, 8192, full", lambda: flops_per_token("Llama-3.1-405B", 8192.0, FULL), "875141529600", "derived"),
    ("DeepSeek-V3, 4096, causal", lambda: flops_per_token("DeepSeek-V3", 4096.0, CAUSAL), "83485794304", "derived"),
    ("window 4096 of 32768", lambda: architecture.window_positions(32768.0, 4096.0), "3840.0625", "derived"),
    (
        "break-even tokens, eta 1",
        lambda: roofline.break_even_tokens(1.0, 2.0, 1.0, 989.4e12, 55e9),
        "17989.0909",
        "derived",
    ),
    (
        "break-even tokens, eta .78",
        lambda: roofline.break_even_tokens(1.0, 2.0, 0.78, 989.4e12, 55e9),
        "14031.4909",
        "derived",
    ),
    (
        "adapters of rank 16 on Llama-3.1-8B",
        lambda: adapter_params(workload("Llama-3.1-8B"), 16.0),
        "41943040",
        "hand count: 32 layers, seven matrices",
    ),
]


@pytest.mark.parametrize(("name", "computed", "expected", "source"), COUNTS, ids=[c[0] for c in COUNTS])
def test_reference_counts(name, computed, expected, source):
    close(computed(), expected)


# --- wall 3: efficiency --------------------------------------------------------------------------------

#: H100 in bf16, the curve that the values were derived with
CURVE = {
    "peak_flops": 989.4e12,
    "mem_bandwidth": 3.35e12,
    "gemm_latency": 3.8e-6,
    "gemm_efficiency": 0.796,
    "gemm_half_rows": 26.0,
    "gemm_bandwidth_efficiency": 0.837,
    "gemm_exponent": 4.0,
}
EFFICIENCY = [
    ("(4096, 4096, 4096)", (4096.0, 4096.0, 4096.0), "1.79496188e-4", ".773896", "derived"),
    ("(16, 8192, 8192)", (16.0, 8192.0, 8192.0), "5.18602699e-5", ".0418527", "derived"),
]


@pytest.mark.parametrize(("name", "shape", "time", "share", "source"), EFFICIENCY, ids=[e[0] for e in EFFICIENCY])
def test_reference_efficiency(name, shape, time, share, source):
    model, device, fleet, number_format, assume = on("Llama-3.1-8B", "h100")
    device = device._replace(**CURVE)
    rows, columns, inner = shape
    close(compute.gemm_time(rows, columns, inner, 2.0, 2.0, 2.0, device), time)
    result = efficiency(
        model,
        device,
        fleet,
        number_format,
        assume,
        WorkloadType.GEMM,
        rows=rows,
        columns=columns,
        inner=inner,
    )
    close(result.latency, time)
    close(result.mfu, share)
    assert result.achievable_flops == pytest.approx(float(share) * 989.4e12, rel=1e-5)


TILES = [("4096 x 4096", 4096.0, ".969697", "derived"), ("4097 x 4096", 4097.0, ".969934", "derived")]


@pytest.mark.parametrize(("name", "rows", "expected", "source"), TILES, ids=[t[0] for t in TILES])
def test_reference_tiles(name, rows, expected, source):
    result = efficiency(
        *on("Llama-3.1-8B", "h100"),
        WorkloadType.GEMM,
        rows=rows,
        columns=4096.0,
        inner=4096.0,
        compute_units=132.0,
    )
    close(result.tile_efficiency, expected)


ATTENTION = [
    (length, share) for length, share in zip((512, 1024, 2048, 4096, 8192, 16384), (0.16, 0.25, 0.35, 0.43, 0.49, 0.53))
]


@pytest.mark.parametrize(("length", "share"), ATTENTION)
def test_reference_prefill_attention(length, share):
    """Measured shares of the H100 bf16 peak: kernel tables of aiconfigurator 0.12.0."""
    assert compute.attention_efficiency(float(length), 0.57, 1300.0) == pytest.approx(share, abs=0.006)


@pytest.mark.parametrize("kind", list(WorkloadType))
@pytest.mark.parametrize("hardware", ["a100", "h100", "b200"])
def test_breakdown_adds_up(kind, hardware):
    name = "ResNet-50" if kind == WorkloadType.CONV else "Llama-3.1-8B"
    result = efficiency(*on(name, hardware), kind, batch_size=4, seq_len=2048)
    parts = result.mfu + result.kernel_share + result.quantisation_share + result.memory_share + result.launch_share
    assert parts == pytest.approx(1.0, abs=1e-12)
    assert 0.0 < result.mfu < 1.0
    assert 0.0 < result.bandwidth_utilization < 1.0
    assert result.feasible


# --- walls 1 and 2: one device -------------------------------------------------------------------------


def test_reference_roofline_by_hand():
    """Williams 2009: T = max(operations / peak, bytes / bandwidth), constant shares of both."""
    model, device, *rest = on("Llama-3.1-8B", "h100")
    decode = single_node(model, device, *rest, batch_size=64, seq_len=1, cached_prefix=4096, textbook=1)
    weights = 2.0 * (8_030_261_248 - 128_256 * 4096)
    cache = 64.0 * 131_072 * 4097
    assert decode.latency == pytest.approx((weights + cache) / 3.35e12, rel=1e-9)
    assert decode.bottleneck == Bottleneck.MEMORY
    assert decode.bytes_moved == pytest.approx(weights + cache, rel=1e-9)
    half = single_node(
        model, device, *rest, batch_size=4, seq_len=2048, efficiency=0.5, bandwidth_efficiency=0.8, textbook=1
    )
    tokens = 4.0 * 2048
    linear = tokens * architecture.linear_flops(model) + 4.0 * architecture.head_flops(model)
    attention = tokens * 32 * architecture.attention_flops(model, architecture.causal_positions(2048.0))
    assert half.latency == pytest.approx((linear + attention) / (0.5 * 989.4e12), rel=1e-9)
    assert half.mfu == pytest.approx(0.5)
    assert half.bottleneck == Bottleneck.COMPUTE
    assert half.ridge_point == pytest.approx(989.4e12 / 3.35e12)


def test_reference_model_states():
    """Rajbhandari 2020: 16 bytes per parameter in mixed precision with 16-bit gradients."""
    model, device, fleet, number_format, assume = on("Llama-3.1-8B", "h100")
    assume = assume._replace(gradient_bytes=2.0)
    node = single_node(model, device, fleet, number_format, assume, seq_len=128, is_training=1)
    states = node.memory_weights + node.memory_gradients + node.memory_optimizer
    assert states == pytest.approx(16.0 * 8_030_261_248, rel=1e-12)
    assert node.limit == Limit.MEMORY and not node.feasible
    sharded = single_node(model, device, fleet, number_format, assume, seq_len=128, is_training=1, zero_stage=3, dp=8)
    assert sharded.feasible
    adapters = single_node(model, device, fleet, number_format, assume, seq_len=128, is_training=1, lora_rank=16)
    assert adapters.feasible
    assert adapters.memory_optimizer == pytest.approx(12.0 * 41_943_040)


def test_reference_frozen_weights_are_sharded_as_trained_ones_are():
    """PEFT's guide trains adapters of Llama 70B over 2 cards with FSDP; 14.96 GiB / 8 is 1.87 GiB a card."""
    over_8 = {"is_training": 1, "zero_stage": 3, "dp": 8, "recompute": Recompute.FULL}
    small = single_node(*on("Llama-3.1-8B", "a100"), **over_8, lora_rank=16)
    assert small.memory_weights / 2**30 == pytest.approx(14.96 / 8, rel=0.01)
    large = single_node(*on("Llama-3.1-70B", "a100"), **over_8, lora_rank=16)
    assert large.feasible and large.memory_weights < 17 * 2**30
    whole = single_node(*on("Llama-3.1-8B", "a100"), **(over_8 | {"zero_stage": 2}), lora_rank=16)
    assert whole.memory_weights / 2**30 == pytest.approx(14.96, rel=0.01)


def test_training_costs_three_forward_passes():
    once = single_node(*on("Llama-3.1-8B", "h100"), seq_len=2048, textbook=1)
    step = single_node(*on("Llama-3.1-8B", "h100"), seq_len=2048, textbook=1, is_training=1)
    again = single_node(*on("Llama-3.1-8B", "h100"), seq_len=2048, is_training=1, recompute=Recompute.FULL)
    assert 2.9 < step.latency / once.latency < 3.3
    assert again.hfu > again.mfu
    assert again.memory_activations < step.memory_activations + 1e9


def test_offload_pays_only_for_what_spills():
    here = on("Llama-3.1-70B", "h100")
    spilled = single_node(*here, batch_size=16, seq_len=1, cached_prefix=2048, offload=1)
    assert spilled.feasible and spilled.bottleneck == Bottleneck.LINK
    link = here[1].host_bandwidth * ASSUME.host_link_efficiency
    assert spilled.latency == pytest.approx(spilled.spill_bytes / link)
    assert spilled.offload_latency_serial > spilled.offload_latency == spilled.latency
    assert spilled.effective_bandwidth < here[1].mem_bandwidth
    fits = single_node(*on("Llama-3.1-8B", "h100"), batch_size=16, seq_len=1, cached_prefix=2048, offload=1)
    assert fits.spill_bytes == 0.0 and fits.offload_latency == fits.offload_latency_serial == fits.latency
    without = single_node(*here, batch_size=16, seq_len=1, cached_prefix=2048)
    assert without.limit == Limit.MEMORY


def test_other_models_and_devices():
    resnet = single_node(*on("ResNet-50", "a100", Precision.FP16), batch_size=128)
    assert 5e3 < resnet.throughput < 3e4  # published TensorRT rates of an A100: 12,000 to 15,000 images/s
    tiny = single_node(*on("mlperf_tiny_kws_dscnn", "stm32h743", Precision.INT8))
    assert tiny.feasible and 1e-3 < tiny.latency < 0.1  # MLPerf Tiny results of this class: 10 to 60 ms
    too_big = single_node(*on("ResNet-50", "stm32h743", Precision.INT8))
    assert too_big.limit == Limit.MEMORY
    recommender = single_node(*on("dlrm_mlperf_v1", "a100", Precision.FP16), batch_size=2048)
    assert recommender.compute_time > recommender.memory_time  # MLPerf: A100 reaches 0.6 of its peak on it
    no_bf16 = single_node(*on("Llama-3.1-8B", "v100", Precision.BF16))
    assert no_bf16.limit == Limit.CAPABILITY


# --- wall 6: weight streaming --------------------------------------------------------------------------

WAFER = [
    (
        "8B fp16 on 21 PB/s",
        lambda: streaming.bandwidth_bound(2.0 * 8_030_261_248, 21e15),
        "1307553.97",
        "derived",
    ),
    (
        "1800 tokens/s over 32 layers",
        lambda: 1e6 * streaming.layer_latency(1800.0, 32.0),
        "17.3611",
        "derived",
    ),
    ("450 tokens/s over 80 layers", lambda: 1e6 * streaming.layer_latency(450.0, 80.0), "27.7778", "derived"),
    (
        "969 tokens/s over 126 layers",
        lambda: 1e6 * streaming.layer_latency(969.0, 126.0),
        "8.19041",
        "derived",
    ),
    ("parts of 44 GB, 8B", lambda: streaming.parts_needed(2.0 * 8_030_261_248, 44e9), "1", "derived"),
    ("parts of 44 GB, 70B", lambda: streaming.parts_needed(2.0 * 70_553_706_496, 44e9), "4", "derived"),
    ("parts of 44 GB, 405B", lambda: streaming.parts_needed(2.0 * 405_853_388_800, 44e9), "19", "derived"),
]


@pytest.mark.parametrize(("name", "computed", "expected", "source"), WAFER, ids=[w[0] for w in WAFER])
def test_reference_weight_streaming(name, computed, expected, source):
    close(computed(), expected)


def on_wafer(model, **inputs):
    device: Accelerator = zoo.accelerator_record("cerebras_wse3", Precision.FP16)
    return weight_streaming(zoo.workload_record(model), device, zoo.format_record(Precision.FP16), ASSUME, **inputs)


def test_reference_published_wafer_rate():
    """Cerebras 2024: 1,800 tokens/s for Llama-3.1-8B, one sequence."""
    resident = on_wafer("Llama-3.1-8B")
    assert resident.is_resident and resident.n_parts == 1.0
    assert resident.tokens_per_s == pytest.approx(1800.0, rel=0.03)
    assert resident.bottleneck == Bottleneck.OVERHEAD


@pytest.mark.parametrize(("model", "published"), [("Llama-3.1-8B", 1818.0), ("Llama-3.1-70B", 448.0)])
def test_reference_launch_rates_by_one_law(model, published):
    """Cerebras 2024 and artificialanalysis.ai (August and September 2024): 1,800 and 1,837, 450 and 445 tokens/s."""
    assert on_wafer(model, seq_len=1024, max_parts=4).tokens_per_s == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize(("model", "published"), [("Llama-3.1-70B", 2100.0), ("Llama-3.1-405B", 969.0)])
def test_reference_later_rates_rest_on_drafting(model, published):
    """Cerebras, October and November 2024: a release that drafts; acceptance and length are ours, both within 20 %."""
    inputs = {"seq_len": 1024, "max_parts": 20}
    drafted = on_wafer(model, draft_len=7, acceptance=0.8, **inputs)
    plain = on_wafer(model, **inputs)
    assert drafted.tokens_per_s == pytest.approx(published, rel=0.2)
    assert plain.tokens_per_s < 0.3 * published
    assert drafted.tokens_per_round == pytest.approx((1.0 - 0.8**8) / 0.2)


@pytest.mark.parametrize(
    ("model", "parts", "device", "precision", "batch"),
    [
        ("llama3_1_8b", 1, "cerebras_wse3", "fp16", 1),
        ("llama3_1_70b", 4, "cerebras_wse3", "fp16", 8),
        ("gpt_oss_120b", 6, "cerebras_wse3", "fp16", 200),
        ("llama3_1_405b", 19, "cerebras_wse3", "fp16", 1),
    ],
)
def test_two_models_give_one_answer_on_a_wafer(model, parts, device, precision, batch):
    asked = {"model": model, "hardware": device, "precision": precision, "seq_len": 1024, "batch_size": batch}
    streaming = ms.WeightStreamingModel.solve(**asked, max_parts=parts, weight_plan="resident")
    serving = ms.ServingModel.solve(**asked, pp=parts)
    assert bool(streaming.is_resident)
    assert float(serving.tokens_per_s) == pytest.approx(float(streaming.tokens_per_s), rel=1e-9)
    assert float(serving.itl) == pytest.approx(float(streaming.latency), rel=1e-9)
    assert serving.decode_bottleneck.item() == streaming.bottleneck.item()


def test_no_pass_on_a_wafer_exceeds_its_peak():
    """Prefill of many prompts was up to 15 times too fast: each layer took the rate of the whole wafer."""
    peak = zoo.accelerator_record("cerebras_wse3", Precision.FP16).peak_flops
    found = WeightStreamingModel.solve(
        model="llama3_1_8b",
        hardware="cerebras_wse3",
        precision="fp16",
        seq_len=2048,
        batch_size=[1, 32, 100],
        phase=["prefill", "decode"],
        weight_plan="resident",
    )
    assert bool((found.tokens_per_s * 2.0 * 6.98e9 <= 0.5 * peak).all())


def test_where_the_weights_are_is_said_and_can_be_chosen():
    """The cliff: as many sequences as fit stay on the chip, one more streams the weights."""
    asked = {"model": "llama3_1_8b", "hardware": "cerebras_wse3", "precision": "fp16", "seq_len": 2048}
    most = int(WeightStreamingModel.solve(**asked).max_resident_batch)
    found = WeightStreamingModel.solve(**asked, batch_size=[most, most + 1])
    assert found.is_resident.values.tolist() == [True, False] and found.missing_parts.values.tolist() == [0.0, 1.0]
    assert float(found.tokens_per_s[0]) > 50.0 * float(found.tokens_per_s[1])
    assert bool(WeightStreamingModel.solve(**asked, batch_size=most + 1, max_parts=2).is_resident)
    forced = WeightStreamingModel.solve(**asked, batch_size=1, weight_plan="streamed")
    assert not bool(forced.is_resident) and bool(forced.feasible) and float(forced.tokens_per_s) < 20.0
    insisted = WeightStreamingModel.solve(**asked, batch_size=most + 1, weight_plan="resident")
    assert bool(insisted.is_resident) and int(insisted.limit) == ms.schema.codes.Limit.MEMORY


@pytest.mark.parametrize("rate", ["mem_bandwidth", "peak_flops", "injection_bandwidth"])
@pytest.mark.parametrize("phase", ["decode", "prefill", "training"])
def test_a_faster_wafer_is_never_slower(rate, phase):
    found = WeightStreamingModel.solve(
        model=["llama3_1_8b", "gpt_oss_20b"],
        hardware=["cerebras_wse3", "groq_lpu_v1"],
        precision="fp16",
        phase=phase,
        max_parts=[1, 400],
        weight_plan=["best", "resident", "streamed"],
        seq_len=[100, 2000],
        batch_size=[1, 40],
        **{rate: np.geomspace(1e10, 1e18, 25)},
    )
    latency = found.latency.transpose(..., rate).values
    assert not (np.diff(latency) > 1e-12 * latency[..., 1:]).any()


def test_memory_beside_the_chips_is_no_wafer():
    found = WeightStreamingModel.solve(model="llama3_1_8b", hardware=["h100", "sambanova_sn40l", "cerebras_wse3"])
    assert found.feasible.values.tolist() == [False, False, True]
    assert found.limit.values[:2].tolist() == [ms.schema.codes.Limit.CAPABILITY] * 2
    assert np.isinf(found.latency.values[:2]).all() and (found.tokens_per_s.values[:2] == 0.0).all()


def test_a_rack_of_dataflow_devices_is_answered():
    found = ms.ServingModel.solve(model="llama3_1_70b", hardware="sambanova_sn40l", seq_len=1024, tp=16)
    assert bool(found.feasible) and 50.0 < float(found.tokens_per_s) < 182.0  # 16 x 1.6 TB/s over the weights


def test_weights_stay_where_they_fit_and_stream_otherwise():
    assert on_wafer("Llama-3.1-70B", max_parts=4).is_resident
    streamed = on_wafer("Llama-3.1-70B", max_parts=1)
    assert not streamed.is_resident and streamed.bottleneck == Bottleneck.LINK
    assert streamed.layer_injection_time > streamed.layer_compute_time
    full = on_wafer("Llama-3.1-8B", batch_size=32)
    assert full.optimal_batch == pytest.approx(32.0, rel=0.01)
    assert full.tokens_per_s_per_user == pytest.approx(on_wafer("Llama-3.1-8B").tokens_per_s_per_user, rel=0.01)
    hidden = on_wafer("Llama-3.1-70B", phase=Phase.PREFILL, batch_size=streamed.optimal_batch)
    assert hidden.layer_compute_time > hidden.layer_injection_time


# --- wall 12: reasoning --------------------------------------------------------------------------------

REASONING = [
    (
        "sum of contexts",
        lambda: 4000.0 * architecture.attended_positions(workload("Llama-3.1-8B"), 4000.0, cached=1000.0),
        "12002000",
        "derived",
    ),
    ("pass@10 at p = .2", lambda: reasoning.coverage(0.2, 10.0), ".892625818", "derived"),
    ("pass@10 of 200, 40 right", lambda: reasoning.pass_at_k(200.0, 40.0, 10.0), ".898710594", "derived"),
]


@pytest.mark.parametrize(("name", "computed", "expected", "source"), REASONING, ids=[r[0] for r in REASONING])
def test_reference_reasoning(name, computed, expected, source):
    close(computed(), expected)


def test_reference_reasoning_is_the_sum_over_tokens():
    """Every token priced one by one, at its own context."""
    here = on("Llama-3.1-8B", "h100")
    whole = inference_scaling(*here, reasoning_steps=4, tokens_per_step=8, seq_len=1000)
    steps = 0.0
    for token in range(1, 33):
        one = inference_scaling(*here, reasoning_steps=1, tokens_per_step=1, seq_len=1000 + token - 1)
        steps += one.itl
    assert whole.total_reasoning_time - whole.ttft == pytest.approx(steps, rel=1e-6)  # nearly linear in context
    assert whole.attended_positions == 32.0 * 1000 + 32.0 * 33 / 2
    assert whole.kv_growth == 32.0 * 131_072


def test_reasoning_covers_more_with_more_samples():
    here = on("Llama-3.1-8B", "h100")
    one = inference_scaling(*here, success_rate=0.3)
    ten = inference_scaling(*here, success_rate=0.3, samples=10)
    assert one.coverage == pytest.approx(0.3) and ten.coverage == pytest.approx(1.0 - 0.7**10)
    assert one.usd_per_query < ten.usd_per_query < 10.0 * one.usd_per_query
    assert inference_scaling(*here).coverage is None


# --- through the engine --------------------------------------------------------------------------------


def test_resolvers_solve():
    node = SingleNodeModel.solve(model="llama3_1_8b", hardware=["a100", "h100"], batch_size=[1, 8], seq_len=1024)
    assert node.latency.dims == ("hardware", "batch_size") and bool(np.isfinite(node.latency).all())
    share = EfficiencyModel.solve(model="llama3_1_8b", hardware="h100", workload_type=["ffn", "attention", "decode"])
    assert share.mfu.sizes == {"workload_type": 3}
    wafer = WeightStreamingModel.solve(
        model="llama3_1_8b", hardware="cerebras_wse3", precision="fp16", batch_size=[1, 64]
    )
    assert bool(wafer.feasible.all())
    thought = InferenceScalingModel.solve(model="llama3_1_8b", hardware="h100", reasoning_steps=[1, 4, 16])
    assert bool((thought.total_reasoning_time.diff("reasoning_steps") > 0).all())


def test_plain_numbers_everywhere():
    for result in (single_node(*on("Llama-3.1-8B", "h100")), inference_scaling(*on("Llama-3.1-8B", "h100"))):
        for name, value in result._asdict().items():
            assert value is None or not math.isnan(float(value)), name


@pytest.mark.parametrize("name", ["efficiency", "bandwidth_efficiency"])
def test_no_share_of_a_rate_exceeds_one(name):
    for value in (1.5, 0.0):
        with pytest.raises(ValueError, match=name):
            SingleNodeModel.solve(model="llama3_1_8b", hardware="h100", **{name: value})
    assert bool(SingleNodeModel.solve(model="llama3_1_8b", hardware="h100", **{name: 1}).feasible)


def test_a_wafer_streams_in_the_default_precision():
    """The vendor names float16 and bfloat16 inputs alike; both rows list one rate for the two."""
    asked = WeightStreamingModel.solve(model="llama3_1_70b", hardware=["cerebras_wse2", "cerebras_wse3"])
    narrow = WeightStreamingModel.solve(
        model="llama3_1_70b", hardware=["cerebras_wse2", "cerebras_wse3"], precision="fp16"
    )
    assert bool(asked.feasible.all()) and bool((asked.tokens_per_s == narrow.tokens_per_s).all())


def test_encoders_keep_no_cache():
    one = ms.SingleNodeModel.solve(model=["bert_large", "llama3_1_8b"], hardware="a100", batch_size=8, seq_len=512)
    assert one.kv_cache[0] == 0 < one.kv_cache[1]


FLASH_3 = {512: 292, 1024: 423, 2048: 521, 4096: 579, 8192: 602, 16384: 616}


@pytest.mark.parametrize(("length", "published"), FLASH_3.items())
def test_reference_flash_attention_3(length, published):
    """Shah et al. 2024 (arXiv:2407.08608), figure 5: forward, causal, head of 128, 16,384 tokens in all, TFLOP/s on H100."""
    for given in ({}, {"attention": "flash3"}):
        found = ms.EfficiencyModel.solve(
            model="llama3_1_8b",
            hardware="h100",
            workload_type="attention",
            batch_size=16384 // length,
            seq_len=length,
            **given,
        )
        assert float(found.achievable_flops) == pytest.approx(published * 1e12, rel=0.09)


def test_a_generation_that_was_not_measured_by_itself_is_as_in_training():
    """Only Hopper has a curve of FlashAttention 3: others keep their own."""
    for device, best, third in (("a100", 0.482, 0.62), ("mi300x", 0.57, 0.575)):
        call = {"model": "llama3_1_8b", "hardware": device, "workload_type": "attention", "seq_len": 1e6}
        mfu = [float(ms.EfficiencyModel.solve(**call, **a).mfu) for a in ({}, {"attention": "flash3"})]
        assert mfu == pytest.approx([best, third], rel=0.01)


@pytest.mark.parametrize("workload", ["attention", "training"])
def test_attention_through_memory_is_slowest(workload):
    """Scores that cross memory cost more than any fused kernel; of those each generation is faster."""
    kinds = ["unfused", "flash1", "flash2", "flash3"]
    for device in ("a100", "h100"):
        mfu = ms.EfficiencyModel.solve(
            model="llama3_1_8b", hardware=device, workload_type=workload, batch_size=4, seq_len=8192, attention=kinds
        ).mfu.values
        assert mfu[0] < mfu[2] <= mfu[3] and mfu[1] < mfu[2]
        assert 0.02 < mfu[0] < (0.2 if workload == "attention" else 0.6)
