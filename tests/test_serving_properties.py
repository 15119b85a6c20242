"""What holds for every configuration of the node domain: no NaN, and the direction in which things move."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume as suppose
from hypothesis import given
from hypothesis import strategies as st
from strategies import arguments

import mlsysim as ms
from mlsysim import zoo
from mlsysim.equations import allreduce, batching, compute, experts, normal
from mlsysim.models.continuous_batching import continuous_batching
from mlsysim.models.efficiency import efficiency
from mlsysim.models.inference_scaling import inference_scaling
from mlsysim.models.serving import serving
from mlsysim.models.single_node import single_node
from mlsysim.models.weight_streaming import weight_streaming
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Precision

KERNELS = [serving, continuous_batching, single_node, efficiency, weight_streaming, inference_scaling]
NAMES = [k.__name__ for k in KERNELS]


@pytest.mark.parametrize("kernel", KERNELS, ids=NAMES)
@given(data=st.data())
def test_no_nan_and_nothing_negative(kernel, data):
    result = kernel(**data.draw(arguments(kernel)))
    for name, value in result._asdict().items():
        if value is not None:
            assert not math.isnan(float(value)), name
            assert float(value) >= 0.0, name
    assert bool(result.feasible) == (float(result.limit) == 0.0)


#: a field of a record, the record, and outputs that cannot get worse when it grows, with their sign
BETTER = [
    ("mem_bandwidth", "hardware", {"itl": -1, "ttft": -1}),
    ("peak_flops", "hardware", {"itl": -1, "ttft": -1}),
    ("mem_capacity", "hardware", {"max_batch": 1}),
    ("inter_bandwidth", "fleet", {"itl": -1, "ttft": -1}),
    ("host_step_time", "assume", {"itl": 1, "ttft": 1}),
    ("gemm_latency", "hardware", {"itl": 1, "ttft": 1}),
]


@pytest.mark.parametrize(("field", "record", "outputs"), BETTER, ids=[b[0] for b in BETTER])
@given(data=st.data(), factor=st.floats(1.01, 10.0))
def test_serving_is_monotone(field, record, outputs, data, factor):
    inputs = data.draw(arguments(serving))
    before = serving(**inputs)
    grown = inputs[record]._replace(**{field: getattr(inputs[record], field) * factor})
    after = serving(**{**inputs, record: grown})
    for name, sign in outputs.items():
        suppose(math.isfinite(float(getattr(before, name))))
        change = float(getattr(after, name)) - float(getattr(before, name))
        assert sign * change >= -1e-9 * abs(float(getattr(before, name)))


@given(data=st.data(), batch=st.integers(1, 500))
def test_larger_batches_are_slower_and_hold_more(data, batch):
    inputs = {**data.draw(arguments(serving)), "batch_size": float(batch)}
    one, more = serving(**inputs), serving(**{**inputs, "batch_size": batch + 1.0})
    assert more.itl >= one.itl * (1.0 - 1e-12)
    assert more.kv_cache >= one.kv_cache
    assert more.memory_per_device >= one.memory_per_device
    assert more.max_batch <= one.max_batch + 1.0 or "prefill_batch" in inputs


@given(context=st.integers(1, 100_000), generated=st.integers(1, 4096))
def test_decode_is_linear_in_context(context, generated):
    here = (
        zoo.workload_record("Llama-3.1-8B"),
        zoo.accelerator_record("h100", Precision.BF16)._replace(decode_attention_ramp=0.0),
        zoo.fleet_record(None, "h100"),
        zoo.format_record(Precision.BF16),
        Assumptions(),
    )
    ends = [serving(*here, seq_len=s, batch_size=8).itl for s in (context, context + generated)]
    middle = serving(*here, seq_len=context, output_len=generated, batch_size=8).itl
    assert middle == pytest.approx(0.5 * (ends[0] + ends[1]), rel=1e-12)


def test_open_loop_balances():
    """Little's law holds at the solution, and more load never makes it faster: at the corners, and at points between."""
    here = (
        zoo.workload_record("Llama-3.1-8B"),
        zoo.accelerator_record("h100", Precision.BF16),
        zoo.fleet_record(None, "h100"),
        zoo.format_record(Precision.BF16),
        Assumptions(),
    )
    ranges = [(0.05, 0.8), (16, 4096), (8, 2048), (1, 512)]
    short = [[0.5, 16, 8, 3]]  # short answers: the time between tokens is capped
    random = np.random.default_rng(11)
    even, in_size = (draw(*np.transpose(ranges), size=(100, 4)) for draw in (random.uniform, log_uniform(random)))
    points = np.concatenate([short, list(itertools.product(*ranges)), even, in_size])
    share, prompt, output, slots = points[:, 0], *np.rint(points[:, 1:]).T
    shape = {"seq_len": prompt, "output_len": output, "max_batch": slots}
    rate = share * continuous_batching(*here, **shape).saturation_rate
    busy, calm = (continuous_batching(*here, arrival_rate=load * rate, **shape) for load in (1.0, 0.5))
    assert np.all(busy.feasible)
    assert np.all(busy.active_requests <= slots)
    some = busy.active_requests < slots - 1.0
    assert some.sum() > 100
    expected = (rate * (output - 1.0) * busy.itl)[some]
    assert busy.active_requests[some] == pytest.approx(expected, rel=1e-3, abs=1e-5)
    assert np.all(calm.itl <= busy.itl * (1.0 + 1e-9))
    assert np.all(calm.ttft <= busy.ttft * (1.0 + 1e-9))
    assert np.all(busy.itl_p99 >= busy.itl)


def log_uniform(random):
    """Draws that are even in size."""
    return lambda low, high, size: np.exp(random.uniform(np.log(low), np.log(high), size=size))


@given(st.floats(1.0, 1e9), st.floats(1.01, 4.0), st.sampled_from([2.0, 3.0, 4.0, 8.0]))
def test_allreduce_follows_its_points(nbytes, factor, ranks):
    """Longer messages take longer wherever the measured points do, and the points themselves are met."""
    for name in ("h100", "b200", "a100"):
        device = zoo.accelerator_record(name, Precision.BF16)
        short = allreduce.measured_allreduce_time(nbytes, device, ranks)
        assert short <= allreduce.measured_allreduce_time(nbytes * factor, device, ranks) * (1.0 + 1e-12)
        assert allreduce.measured_allreduce_time(nbytes, device, 1.0) == 0.0
        points, _ = allreduce.measured_points(device, ranks)
        for size, time in zip((1.0, 16.0, 64.0), (points[2], points[4], points[5])):
            assert allreduce.measured_allreduce_time(size * 2.0**20, device, ranks) == pytest.approx(float(time))


@given(st.floats(1e-9, 1e3), st.floats(1e-9, 1e3), st.sampled_from([0.0, 2.0, 4.0]))
def test_smooth_maximum_lies_above_the_maximum(a, b, exponent):
    joined = compute.smooth_max(a, b, exponent)
    assert max(a, b) * (1.0 - 1e-12) <= joined <= 2.0**0.5 * max(a, b)


@given(st.integers(2, 512), st.data())
def test_experts_stay_in_range(n, data):
    k = data.draw(st.integers(1, n))
    tokens = data.draw(st.integers(1, 10_000))
    touched = experts.distinct_experts(float(n), float(k), float(tokens))
    assert k * (1.0 - 1e-9) <= touched <= n
    assert experts.slowest_rank_load(float(n), float(k), float(tokens), 4.0) >= k * tokens / 4.0 * (1.0 - 1e-12)


@given(st.floats(1e-12, 1.0 - 1e-12))
def test_normal_quantile_inverts_the_tail(probability):
    assert 1.0 - normal.normal_tail(normal.normal_quantile(probability)) == pytest.approx(probability, abs=3e-7)


@given(st.floats(1.0, 1e4), st.floats(0.0, 100.0), st.floats(1.0, 1e6), st.floats(0.001, 0.4))
def test_admission_meets_its_overflow(mean, deviation, pool, overflow):
    admitted = batching.admitted_requests(pool, mean, deviation, overflow)
    suppose(admitted > 1.0 and deviation > 0.1)
    assert batching.overflow_probability(admitted, pool, mean, deviation) == pytest.approx(overflow, abs=1e-5)


def test_what_engines_did_before_they_had_kernels_of_their_own():
    """A library's all-reduce and caches read once per query head cost time; the latter only where heads are shared."""

    def itl(model, tp, **changed):
        keep = {"keep": ["itl"], "hardware": "a100", "seq_len": 2048, "batch_size": 32}
        return ms.ServingModel.solve(model=model, tp=tp, assume=ms.Assumptions(**changed), **keep).itl.item()

    assert itl("llama2_70b", 4, library_allreduce=1.0) > 1.01 * itl("llama2_70b", 4)
    assert itl("llama2_7b", 1, library_allreduce=1.0) == itl("llama2_7b", 1)
    assert itl("llama2_70b", 4, grouped_cache_reads=2.0) > 1.05 * itl("llama2_70b", 4)
    for model in ("llama2_7b", "deepseek_v3"):
        assert itl(model, 1, grouped_cache_reads=2.0) == itl(model, 1)
    device = zoo.accelerator_record("a100", Precision.BF16)
    assert allreduce.library_allreduce_time(1e6, device, 1.0) == 0.0
    ring = device.nccl_latency_8 + 1.75 * 1e6 / device.bus_bandwidth_8
    assert allreduce.library_allreduce_time(1e6, device, 8.0) == pytest.approx(ring)


BATCHED = {"model": "llama3_1_8b", "hardware": "h100"}


@pytest.mark.parametrize(("prompt", "answer"), [(8192, 16), (32768, 64), (32768, 256), (512, 128)])
def test_more_users_never_serve_less(prompt, answer):
    """Two users who take turns give what one gives; nobody waits for more than the others."""
    users = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32]
    rate = ms.ContinuousBatchingModel.solve(seq_len=prompt, output_len=answer, users=users, **BATCHED).throughput.values
    assert (rate[1:] >= rate[:-1] * (1 - 0.02)).all()


@pytest.mark.parametrize(
    ("model", "tp", "prompt", "answer", "chunk"),
    [("llama3_1_8b", 1, 2048, 128, 512), ("llama3_1_8b", 1, 8192, 16, 512), ("llama3_1_70b", 4, 1024, 256, 384)],
)
def test_small_chunks_serve_up_to_saturation(model, tp, prompt, answer, chunk):
    """Prompts that fill every step leave room for those who decode, and nobody's token waits longer than a full step."""
    point = {
        "model": model,
        "hardware": "h100",
        "tp": tp,
        "seq_len": prompt,
        "output_len": answer,
        "prefill_chunk": chunk,
    }
    most = ms.ContinuousBatchingModel.solve(**point)
    rates = most.saturation_rate.item() * np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    loaded = ms.ContinuousBatchingModel.solve(arrival_rate=rates, **point)
    assert np.isfinite(loaded.ttft).all() and loaded.feasible.all() and (np.diff(loaded.ttft) > 0).all()
    steps = most.saturation_rate.item() * prompt / chunk  # at least so many a second carry prompts
    assert most.itl < 1.2 / steps


def test_more_slots_and_larger_chunks_never_serve_less():
    few = {**BATCHED, "seq_len": 512, "output_len": 256}
    slots = ms.ContinuousBatchingModel.solve(prefill_chunk=512, max_batch=[64, 128, 256, 384, 500, 512], **few)
    chunks = ms.ContinuousBatchingModel.solve(prefill_chunk=[64, 128, 256, 512, 2048, 8192], **few)
    for rate in (slots.saturation_rate.values, chunks.saturation_rate.values):
        assert (np.diff(rate) >= -0.01 * rate[:-1]).all()


def test_a_pipeline_has_no_cliff():
    """The cycle is the longer of one path and of all micro-batches through the slowest stage, which has the head."""
    few = np.arange(1, 33)
    itl = ms.ServingModel.solve(pp=[2, 4, 8], batch_size=few, seq_len=1024, keep=["itl"], **BATCHED).itl
    assert (itl.diff("batch_size") >= 0).all()
    rise = (itl.sel(pp=8, batch_size=8) / itl.sel(pp=8, batch_size=7)).item()
    assert rise < 1.3
    stages = ms.ServingModel.solve(
        model="llama3_1_70b", hardware="h100", tp=4, pp=[8, 10, 16, 20], batch_size=16, seq_len=1024
    )
    assert stages.itl.min() > 0.7 * stages.itl.max()


def test_energy_of_a_service_follows_what_it_does():
    """Composed with the building, devices draw what the server says they do, not what they could."""
    chain = ms.compose(ms.ServingModel, ms.SustainabilityModel)
    point = {
        "model": "llama3_1_70b",
        "hardware": "h100",
        "tp": 4,
        "seq_len": 2048,
        "output_len": 256,
        "batch_size": [1, 64],
    }
    where = {"region": "usa", "duration": "1 day", "keep": ["average_power"]}
    power = chain.solve(**where, **point).average_power.values
    full = chain.solve(compute_utilization=1.0, **where, **point).average_power.values
    own = ms.ServingModel.solve(**point)
    devices = (own.joule_per_mtok * own.throughput * 256 / 1e6).values
    assert (power < 0.7 * full).all() and (power > devices).all() and (power < 2.5 * devices).all()


def test_first_tokens_wait_for_what_engines_do():
    """A last token apart costs one decoding step, a scheduler that looks every n steps half of them, balance half its limit."""

    def first(resolver, point, **changed):
        """First token and time between tokens, as it is by default and with an assumption changed."""
        ((name, value),) = changed.items()
        both = [ms.Assumptions._field_defaults[name], value]
        found = resolver.solve(**{name: both}, keep=["ttft", "itl"], plan="plain", **point)
        return [(one.ttft.item(), one.itl.item()) for one in (found.isel({name: i}) for i in (0, 1))]

    batch = {"model": "llama2_7b", "hardware": "a100", "seq_len": 128, "batch_size": 1, "output_len": 8}
    for point in (batch, batch | {"seq_len": 1}):
        (plain, token), (later, _) = first(ms.ServingModel, point, last_token_apart=1.0)
        assert later == pytest.approx(token if point["seq_len"] == 1 else plain + token, rel=0.02)
    for load in ({"users": 4}, {"arrival_rate": 0.5}):
        server = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 512, "output_len": 512} | load
        (plain, token), (later, _) = first(ms.ContinuousBatchingModel, server, poll_steps=31.0)
        assert plain + 15.0 * token <= later * 1.01 and later < plain + 20.0 * token
    for nobody in ({"users": 1}, {"users": 64, "think_time": 1e5}, {"arrival_rate": 1e-9}):
        server = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 512, "output_len": 31} | nobody
        (plain, _), (later, _) = first(ms.ContinuousBatchingModel, server, poll_steps=31.0)
        assert later == pytest.approx(plain, rel=0.01)
    several = {
        "model": "deepseek_v3",
        "hardware": "h200",
        "seq_len": 512,
        "output_len": 512,
        "users": 64,
        "precision": "fp8",
    }
    few = several | {"tp": 1, "ep": 8, "users": 4}
    plain, later = first(ms.ContinuousBatchingModel, few, balance_steps=60.0)
    assert later == pytest.approx(plain, rel=0.01)
    for ep, waits in ((8, True), (1, False)):
        point = several | {"tp": 1 if ep > 1 else 8, "ep": ep}
        (plain, token), (later, _) = first(ms.ContinuousBatchingModel, point, balance_steps=60.0)
        assert (later > plain + 15.0 * token) if waits else later == plain


def test_prompts_on_several_groups_share_a_step():
    """Eight groups that each take a prompt in one step pay for the step once; one prompt does not get faster by them."""
    point = {
        "model": "deepseek_v3",
        "hardware": "h200",
        "precision": "fp8",
        "tp": 1,
        "ep": 8,
        "seq_len": 8192,
        "users": 128,
    }
    alone = ms.ContinuousBatchingModel.solve(output_len=1024, **point)
    balanced = ms.ContinuousBatchingModel.solve(output_len=1024, assume=ms.Assumptions(balance_steps=60.0), **point)
    assert balanced.itl < 0.9 * alone.itl
    one = ms.ContinuousBatchingModel.solve(output_len=1024, **point | {"users": 1})
    batch = {k: v for k, v in point.items() if k != "users"}
    prompt = ms.ServingModel.solve(batch_size=1, output_len=1024, **batch)
    assert one.ttft.item() == pytest.approx(prompt.ttft.item(), rel=0.1)


@given(st.integers(1, 64), st.floats(1.0, 500.0))
def test_occupied_groups(groups, prompts):
    found = batching.occupied(float(groups), prompts)
    assert 1.0 - 1e-9 <= found <= min(groups, prompts) + 1e-9
    assert batching.occupied(1.0, prompts) == pytest.approx(1.0)
    assert batching.at_least_one(0.0) == 1.0 and batching.at_least_one(40.0) == pytest.approx(40.0)


def test_prompts_of_other_groups_are_no_queue():
    """Eight clients on eight groups wait for nobody, but the prompt of one stops all who decode (simulated: 2.7 times one)."""
    point = {"model": "deepseek_v3", "hardware": "h200", "precision": "fp8", "tp": 1, "ep": 8, "max_batch": 2048}
    one, eight = (ms.ContinuousBatchingModel.solve(seq_len=60000, output_len=16, users=n, **point) for n in (1, 8))
    assert eight.ttft.item() < 1.2 * one.ttft.item() and eight.throughput.item() > 2.5 * one.throughput.item()
