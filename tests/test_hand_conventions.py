"""Conventions of hand calculations that the serving family can be asked for, each to 1e-9 of the hand calculation."""

import numpy as np
import pytest

import mlsysim as ms
from mlsysim import zoo
from mlsysim.equations import batching
from mlsysim.schema.codes import LengthLaw, Limit

MODEL, DEVICE = "llama3_1_8b", "h100"
#: Llama 3.1 8B and H100 SXM, as a hand calculation takes them
LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD, FFN, VOCAB = 32, 4096, 32, 8, 128, 14336, 128256
RECORD = zoo.accelerator_record(DEVICE, 3)
PEAK, BANDWIDTH = RECORD.peak_flops, RECORD.mem_bandwidth
PARAMS = LAYERS * (HIDDEN * HEAD * (2 * HEADS + 2 * KV_HEADS) + 3 * HIDDEN * FFN)
NORMS = (2 * LAYERS + 1) * HIDDEN
KV_BYTES = 2 * 2 * KV_HEADS * HEAD * LAYERS
TEXTBOOK = {"model": MODEL, "hardware": DEVICE, "textbook": True}


def prefill_by_hand(prompt, full, cached=0):
    """Matrices and attention of a prompt, and its head (s): ``4 s^2 a d`` a layer in full, ``2 s (s + 1) a d`` causal."""
    new = prompt - cached
    positions = new * prompt if full else new * cached + new * (new + 1) / 2
    attention = 4 * LAYERS * HEADS * HEAD * positions
    head = max(2 * HIDDEN * VOCAB / PEAK, 2 * HIDDEN * VOCAB / BANDWIDTH)  # one row: its weights are read
    return (2 * PARAMS * new + attention) / PEAK + head


def decode_by_hand(context):
    """Weights, head and cache over the bandwidth (s)."""
    return (2 * (PARAMS + NORMS) + 2 * HIDDEN * VOCAB + KV_BYTES * context) / BANDWIDTH


@pytest.mark.parametrize("convention", ["causal", "full"])
@pytest.mark.parametrize("cached", [0, 1024])
def test_attention_of_a_prompt_in_full(convention, cached):
    """As DistributedModel and SingleNodeModel take it."""
    prompt = 4096
    found = ms.ServingModel.solve(**TEXTBOOK, seq_len=prompt, cached_prefix=cached, flops_convention=convention)
    assert float(found.ttft) == pytest.approx(prefill_by_hand(prompt, convention == "full", cached), rel=1e-9)
    if not cached:
        thought = ms.InferenceScalingModel.solve(**TEXTBOOK, seq_len=prompt, flops_convention=convention)
        assert float(thought.ttft) == pytest.approx(float(found.ttft), rel=1e-9)


def test_full_attention_at_the_maximum_load():
    """A prompt costs a batching server what it costs alone: attention of prompts in full is twice the causal one."""
    server = {"model": MODEL, "hardware": DEVICE, "textbook": True, "seq_len": 4096, "output_len": 1, "max_batch": 1}
    causal, full = (
        1.0 / float(ms.ContinuousBatchingModel.solve(**server, flops_convention=c).throughput)
        for c in ("causal", "full")
    )
    masked = 4 * LAYERS * HEADS * HEAD * 4096 * 4095 / 2
    assert full - causal == pytest.approx(masked / PEAK, rel=1e-9)
    wafer = {
        "model": MODEL,
        "hardware": "cerebras_wse3",
        "phase": "prefill",
        "weight_plan": "streamed",
        "efficiency": 1.0,
    }
    times = [
        ms.WeightStreamingModel.solve(**wafer, seq_len=4096, flops_convention=c, injection_bandwidth=1e18).latency
        for c in ("causal", "full")
    ]
    rate = zoo.accelerator_record("cerebras_wse3", 3).peak_flops
    assert float(times[1] - times[0]) == pytest.approx(masked / rate, rel=1e-9)


@pytest.mark.parametrize("answer", [2, 1000])
def test_a_cache_of_fixed_length(answer):
    """The textbook's time between tokens at the length of the prompt, however long the answer."""
    call = {**TEXTBOOK, "seq_len": 4096, "output_len": answer}
    fixed = ms.ServingModel.solve(**call, cache_length="fixed")
    assert float(fixed.itl) == pytest.approx(decode_by_hand(4096), rel=1e-9)
    assert float(fixed.e2e_latency) == pytest.approx(
        prefill_by_hand(4096, False) + (answer - 1) * decode_by_hand(4096), rel=1e-9
    )
    growing = ms.ServingModel.solve(**call)
    assert float(growing.itl) == pytest.approx(decode_by_hand(4096 + answer / 2), rel=1e-9)
    assert float(growing.kv_cache) == float(fixed.kv_cache)
    thought = ms.InferenceScalingModel.solve(
        **TEXTBOOK, seq_len=4096, reasoning_steps=1, tokens_per_step=answer, cache_length="fixed"
    )
    assert float(thought.itl) == pytest.approx(decode_by_hand(4096), rel=1e-9)
    assert float(thought.attended_positions) == answer * 4096
    one = ms.ContinuousBatchingModel.solve(**call, arrival_rate=0, cache_length="fixed")
    assert float(one.itl) == pytest.approx(decode_by_hand(4096), rel=1e-9)


def test_a_transfer_behind_the_prefill_or_after_it():
    """All layers but the last hide; in one piece none does."""
    call = {**TEXTBOOK, "decode_hardware": DEVICE, "seq_len": 8192, "output_len": 64, "tp": 2}
    fleet = zoo.fleet_record(None, DEVICE)
    moving = KV_BYTES * 8192 / (2 * fleet.inter_bandwidth * fleet.inter_efficiency)
    streamed, serial = (ms.ServingModel.solve(**call, cache_transfer=c) for c in ("streamed", "serial"))
    assert float(serial.kv_transfer_time) == pytest.approx(fleet.inter_latency + moving, rel=1e-9)
    assert float(streamed.kv_transfer_time) == pytest.approx(fleet.inter_latency + moving / LAYERS, rel=1e-9)
    assert float(serial.ttft - streamed.ttft) == pytest.approx(moving * (1 - 1 / LAYERS), rel=1e-9)


def test_exponential_lengths():
    """Moments, quantile and longest of n of an exponential answer, and what a server makes of them."""
    generator = np.random.default_rng(0)
    drawn = generator.exponential(100.0, (20_000, 16))
    second, third = batching.length_moments(100.0, 0.0, LengthLaw.EXPONENTIAL)
    assert second == pytest.approx((drawn**2).mean(), rel=0.02) and third == pytest.approx((drawn**3).mean(), rel=0.06)
    assert batching.length_quantile(100.0, 1.0, 0.99, LengthLaw.EXPONENTIAL) == pytest.approx(-100.0 * np.log(0.01))
    longest = batching.longest_of(100.0, 1.0, 16.0, LengthLaw.EXPONENTIAL)
    assert longest == pytest.approx(drawn.max(axis=1).mean(), rel=0.02)

    call = {
        "model": MODEL,
        "hardware": DEVICE,
        "textbook": True,
        "seq_len": 1000,
        "output_len": 200,
        "arrival_rate": 0.5,
    }
    found = ms.ContinuousBatchingModel.solve(**call, length_law="exponential", percentile=0.99)
    said = ms.ContinuousBatchingModel.solve(**call, length_law="exponential", output_cv=1, percentile=0.99)
    assert float(found.itl) == float(said.itl)
    late = float(found.ttft_at_percentile) + (-200.0 * np.log(0.01) - 1.0) * float(found.itl)
    assert float(found.e2e_at_percentile) == pytest.approx(late, rel=1e-9)
    one = ms.ContinuousBatchingModel.solve(**{**call, "arrival_rate": 0}, length_law="exponential")
    alone = ms.ServingModel.solve(
        model=MODEL, hardware=DEVICE, textbook=True, seq_len=1200
    )  # length-biased mean context
    assert float(one.itl) == pytest.approx(float(alone.itl), rel=1e-9)
    other = ms.ContinuousBatchingModel.solve(**call, length_law="exponential", output_cv=[0.0, 0.5, 1.0])
    assert other.limit.values.tolist() == [Limit.NONE, Limit.SHAPE, Limit.NONE]


# --- what is asked for at the edge ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", [{}, {"hedge_after": 0.05}, {"service_cv": 0.0}, {"routing": "random", "replicas": 4}]
)
def test_no_arrivals_is_the_limit_of_few(given):
    """Nobody waits, and a response is its service: the same as at a rate that hardly matters."""
    found = ms.TailLatencyModel.solve(arrival_rate=[0.0, 1e-9], service_latency=0.1, latency_target=1.0, **given)
    for name, values in found.data_vars.items():
        none, few = values.values
        assert none == pytest.approx(few, rel=1e-6, abs=1e-7), name
    assert float(found.avg_wait_time[0]) == 0.0 and bool(found.feasible.all())


@pytest.mark.parametrize("given", [{}, {"priority_share": 0.2}, {"priority_share": 0.2, "preemptive": True}])
def test_no_jobs_wait_in_an_empty_cluster(given):
    call = {"avg_duration": 3600.0, "n_accelerators": 64, "hardware": DEVICE, **given}
    found = ms.OrchestrationModel.solve(arrival_rate=[0.0, 1e-12], **call)
    for name, values in found.data_vars.items():
        none, few = values.values
        assert none == pytest.approx(few, rel=1e-6, abs=1e-4), name
    assert float(found.cluster_utilization[0]) == 0.0


def test_no_requests_leave_a_server_to_itself():
    call = {"model": MODEL, "hardware": DEVICE, "seq_len": 1024}
    found = ms.ContinuousBatchingModel.solve(**call, arrival_rate=[0.0, 1e-9])
    for name in ("ttft", "itl", "itl_p99", "ttft_at_percentile", "e2e_latency", "saturation_rate", "fragmentation"):
        none, few = found[name].values
        assert none == pytest.approx(few, rel=1e-6), name
    assert float(found.throughput[0]) == 0.0 and bool(found.feasible.all())
    best = ms.BatchingOptimizer.solve(**call, arrival_rate=0, target_ttft="1 s", target_itl="50 ms")
    assert float(best.replicas) == 1.0 and bool(best.feasible)


def test_a_percentile_says_what_is_allowed():
    for value in (1, 99):
        with pytest.raises(ValueError, match=r"0\.99: the 99th\) must be below 1"):
            ms.TailLatencyModel.solve(arrival_rate=5, service_latency=0.1, percentile=value)


@pytest.mark.parametrize(
    ("word", "named"), [("p99", ("wait_p99", "response_p99")), ("p50", ("wait_p50", "response_p50"))]
)
def test_a_word_of_the_question_leads_to_the_outputs(word, named):
    with pytest.raises(ValueError) as told:
        ms.TailLatencyModel.solve(arrival_rate=5, service_latency=0.1, keep=word)
    assert all(name in str(told.value) for name in named)


@pytest.mark.parametrize("model", ["resnet50", "bert_large", "sdxl_unet"])
def test_what_writes_no_tokens_is_beyond_the_capability_of_a_server(model):
    """No NaN, no time that looks finite, and no shape to blame."""
    for resolver, more in (
        (ms.ServingModel, {"seq_len": 512}),
        (ms.ContinuousBatchingModel, {"seq_len": 256, "output_len": 128}),
        (ms.InferenceScalingModel, {"seq_len": 128}),
    ):
        found = resolver.solve(model=model, hardware=DEVICE, **more)
        assert int(found.limit) == Limit.CAPABILITY and not bool(found.feasible)
        assert float(found.itl) == np.inf and float(found.tokens_per_s) == 0.0


def test_a_model_without_heads_is_served():
    found = ms.ServingModel.solve(model="mamba_2_8b", hardware=DEVICE, seq_len=[1024, 65536], tp=[1, 2])
    assert bool(found.feasible.all()) and np.isfinite(found.itl.values).all()
    assert float(found.itl[0, 0]) == pytest.approx(float(found.itl[1, 0]), rel=1e-9)  # a state, no cache
    wafer = ms.WeightStreamingModel.solve(model="mamba_2_8b", hardware="cerebras_wse3")
    assert int(wafer.limit) == Limit.CAPABILITY and float(wafer.latency) == np.inf


def test_keys_of_windows_are_counted_once():
    """Far beyond the window no more than the bandwidth: 10,000 random points of every kind of workload."""
    rng = np.random.default_rng(1)
    n = 10_000
    windowed = [m for m in zoo.names("models") if zoo.model(m)["sliding_window"]]

    def spread(most):
        return np.exp(rng.uniform(0.0, np.log(most), n)).astype(int)

    points = {
        "model": rng.choice(windowed, n),
        "hardware": rng.choice(["h100", "a100", "b200", "mi300x", "l40s", "rtx_4090", "t4", "tpu_v5p"], n),
        "workload_type": rng.choice(
            ["gemm", "ffn", "attention", "decode_attention", "prefill", "decode", "training"], n
        ),
        "batch_size": spread(1024),
        "seq_len": spread(2e6),
        "rows": spread(1e6),
        "columns": spread(1e6),
        "inner": spread(1e6),
        "kv_precision": rng.choice(["bf16", "fp8"], n),
        "tile_rows": rng.choice([1, 8, 128], n),
        "tile_columns": rng.choice([1, 8, 256], n),
        "compute_units": rng.choice([1, 132], n),
    }
    found = ms.EfficiencyModel.solve(points=points)
    assert (found.bandwidth_utilization <= 1.0).all() and (found.mfu <= 1.0).all()
