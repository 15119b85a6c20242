"""DisaggregatedServingModel at its limits: where other models, closed forms and common sense say what comes out."""

import numpy as np
import pytest

import mlsysim as ms
from mlsysim.equations import disaggregation
from mlsysim.equations.decode_pool import Line
from mlsysim.schema.codes import PoolLimit

MODEL = ms.DisaggregatedServingModel
SEARCH = {
    "model": "llama3_1_70b",
    "hardware": ["h100", "h200"],
    "seq_len": 2048,
    "output_len": 256,
    "tp": [2, 4],
    "decode_tp": 4,
    "prefill_replicas": [1, 2, 4],
    "decode_replicas": [1, 3],
}
CONFIGURATIONS = {
    "DisaggregatedServingModel": [
        {
            "model": "llama3_1_70b",
            "hardware": ["h100", "b200"],
            "decode_hardware": "h200",
            "decode_precision": ["fp8", "bf16"],
            "seq_len": [777, 3001],
            "output_len": 300,
            "prefill_replicas": [1, 3],
            "decode_replicas": 2,
            "tp": 4,
            "decode_tp": 8,
            "pp": [1, 2],
            "decode_pp": 1,
            "max_batch": [7, 256],
            "prefill_max_batch": 5,
            "prefill_chunk": 4096,
            "arrival_rate": [0.5, 300.0],
            "prompt_cv": 0.5,
            "output_cv": 0.7,
            "first_token_from": ["decode", "prefill"],
            "routing": ["shared", "random"],
            "cached_prefix": 100.0,
            "local_prefill_below": [0, 900],
            "flops_convention": "full",
        },
        {
            "model": "deepseek_v3",
            "hardware": "h200",
            "seq_len": 777,
            "output_len": 300,
            "prefill_replicas": 3,
            "decode_replicas": [1, 2],
            "tp": 8,
            "ep": [1, 8],
            "decode_tp": 16,
            "decode_ep": 16,
            "users": [1, 49, 3000],
            "think_time": "3 s",
            "requests_per_user": 7,
            "draft_len": [0, 2],
            "draft_layers": [0, 1],
            "two_batches": [False, True],
            "decode_two_batches": True,
            "redundant_experts": 32,
            "decode_redundant_experts": 16,
            "acceptance": 0.6,
            "kv_bandwidth": "7 GB/s",
            "cache_transfer": ["streamed", "serial", "chunked"],  # a faster prefill hides less of a transfer
            "reserve": ["grow", "reserve"],
        },
        {
            "model": "llama3_1_8b",
            "hardware": "h100",
            "seq_len": 777,
            "prefill_replicas": [1, 4],
            "textbook": True,
        },
        {
            "model": "llama3_1_8b",
            "hardware": "h100",
            "seq_len": 777,
            "users": [1, 33],
            "efficiency": 0.5,
            "bandwidth_efficiency": 0.7,
        },
        {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 777, "decode_batch": [3, 60.5], "decode_replicas": 3},
    ],
    "DisaggregationOptimizer": [
        {**SEARCH, "decode_batch": [8, 64], "max_batch": 128, "target_ttft": "2 s", "target_itl": "25 ms"},
        {**SEARCH, "arrival_rate": [1.0, 4.0], "target_e2e_latency": "20 s"},
    ],
}
CALL = {"model": "llama3_1_70b", "hardware": "h100", "tp": 4, "seq_len": 2048, "output_len": 257}


@pytest.mark.parametrize(
    "layout",
    [
        {"model": "llama3_1_70b", "hardware": "h100", "tp": 4},
        {"model": "deepseek_v3", "hardware": "h200", "precision": "fp8", "tp": 8, "ep": 8},
    ],
)
def test_one_client_without_transfer_is_served_as_by_one_server(layout):
    """Nobody waits: the first token is the prompt's, and each further one a step of one request."""
    call = {**layout, "seq_len": 2048, "output_len": 257}
    alone = ms.ServingModel.solve(**call, batch_size=1)
    apart = MODEL.solve(
        **call,
        users=1,
        prefill_replicas=64,
        decode_replicas=64,
        kv_bandwidth=1e30,
        kv_transfer_latency=0.0,
        decode_host_overlap=0.0,
        inter_latency=0.0,
        intra_latency=0.0,
        first_token_from="prefill",
    )
    bare = ms.ServingModel.solve(**call, batch_size=1, inter_latency=0.0, intra_latency=0.0)
    assert float(apart.ttft) == pytest.approx(float(bare.ttft), rel=1e-9)
    assert float(apart.itl) == pytest.approx(float(bare.itl), rel=1e-9)
    assert float(apart.e2e_latency) == pytest.approx(float(bare.e2e_latency), rel=1e-9)
    assert float(alone.ttft) == pytest.approx(float(bare.ttft), rel=0.2)


def test_many_replicas_leave_one_request_to_each():
    found = MODEL.solve(**CALL, users=100, prefill_replicas=4000, decode_replicas=4000, kv_bandwidth=1e30)
    alone = MODEL.solve(**CALL, users=1, prefill_replicas=4000, decode_replicas=4000, kv_bandwidth=1e30)
    assert float(found.itl) == pytest.approx(float(alone.itl), rel=1e-3)
    assert float(found.prefill_wait) < 1e-3 * float(found.prefill_time)


@pytest.mark.parametrize("replicas", [(1, 4), (3, 1), (2, 2)])
def test_queued_requests_run_at_the_rate_of_the_slowest_stage(replicas):
    prefill, decode = replicas
    found = MODEL.solve(**CALL, prefill_replicas=prefill, decode_replicas=decode, users=200_000)
    most = MODEL.solve(**CALL, prefill_replicas=prefill, decode_replicas=decode)
    assert float(found.throughput) == pytest.approx(float(most.saturation_rate), rel=1e-3)
    assert float(most.throughput) == pytest.approx(float(most.saturation_rate), rel=1e-3)
    assert max(float(found.prefill_utilization), float(found.decode_utilization)) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("users", [1, 17, 100, 400, 5000])
@pytest.mark.parametrize("answers", ["decode", "prefill"])
def test_little_holds_and_parts_add_up(users, answers):
    """Clients are where their requests are: N = X (think time + time of a request)."""
    found = MODEL.solve(**CALL, users=users, think_time=2.0, decode_replicas=2, max_batch=64, first_token_from=answers)
    assert float(found.throughput * (2.0 + found.e2e_latency)) == pytest.approx(users, rel=1e-3)
    parts = found.frontend_wait + found.prefill_wait + found.prefill_time
    if answers == "decode":
        parts = parts + found.kv_transfer_time + found.slot_wait + found.first_step_time
    assert float(found.ttft) == pytest.approx(float(parts), rel=1e-12)
    steps = 255.0 if answers == "decode" else 256.0  # the first of 256 steps gives the token that is seen first
    assert float(found.ttft + steps * found.itl) == pytest.approx(float(found.e2e_latency), rel=1e-9)


def test_more_clients_than_slots_wait_for_slots():
    """TTFT = N / X - J t, whatever prefill does."""
    few, many = (MODEL.solve(**CALL, prefill_replicas=p, users=300, decode_replicas=2, max_batch=32) for p in (8, 16))
    assert int(few.pool_limit) == PoolLimit.DECODE_SLOTS
    assert float(few.ttft) == pytest.approx(float(many.ttft), rel=1e-3)
    assert float(few.throughput) == pytest.approx(64.0 / (256.0 * float(few.step_time)), rel=1e-9)


@pytest.mark.parametrize("load", [{"users": 150}, {"arrival_rate": 5.0}, {}])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("prefill_replicas", [1, 2, 3, 5, 9]),
        ("decode_replicas", [1, 2, 3, 5, 9]),
        ("kv_bandwidth", ["1 GB/s", "2 GB/s", "10 GB/s", "100 GB/s"]),
        ("prefill_max_batch", [1, 2, 4]),
    ],
)
def test_more_of_a_stage_never_hurts(load, name, values):
    call = {"prefill_replicas": 2, "decode_replicas": 2} | load | {name: values}
    found = MODEL.solve(**CALL, **call)
    rates = found.throughput.values.reshape(-1)
    assert (np.diff(rates) >= -1e-6 * rates[:-1]).all()
    if load and name != "prefill_max_batch":
        whole = found.e2e_latency.values.reshape(-1)
        assert (np.diff(whole) <= 1e-6 * whole[:-1]).all()


def test_more_clients_are_served_more():
    found = MODEL.solve(**CALL, users=range(1, 600, 7), prefill_replicas=2, decode_replicas=2)
    rates = found.throughput.values
    assert (np.diff(rates) >= -1e-6 * rates[:-1]).all()


def test_slow_links_bind():
    """A cache of 0.67 GB over one link of 1 GB/s: 1.49 requests a second and device."""
    found = MODEL.solve(**CALL, users=3000, prefill_replicas=1, decode_replicas=1, kv_bandwidth="1 GB/s")
    size = 2048 * 2 * 80 * 8 * 128 * 2.0
    assert float(found.kv_transfer_size) == size
    assert float(found.throughput) == pytest.approx(4e9 / size, rel=1e-2)
    assert int(found.pool_limit) == PoolLimit.TRANSFER


def test_latent_cache_is_copied_to_every_tensor_parallel_device():
    found = MODEL.solve(
        model="deepseek_v3",
        hardware="h200",
        precision="fp8",
        kv_precision="fp8",
        tp=8,
        ep=8,
        decode_tp=[1, 8],
        seq_len=1000,
    )
    assert found.kv_transfer_size.values.tolist() == [576.0 * 61 * 1000, 8 * 576.0 * 61 * 1000]


def test_a_load_told_by_what_decodes_is_that_load():
    """The rate that keeps 20 requests decoding in each of three replicas keeps 20 decoding."""
    call = {**CALL, "prefill_replicas": 4, "decode_replicas": 3}
    held = MODEL.solve(**call, decode_batch=20)
    paced = MODEL.solve(**call, arrival_rate=float(held.throughput))
    assert float(held.active_requests) == 20.0 and float(paced.active_requests) == pytest.approx(20.0, rel=1e-9)
    assert float(paced.ttft_at_percentile) == pytest.approx(float(held.ttft_at_percentile), rel=1e-9)
    over = MODEL.solve(**{**CALL, "prefill_replicas": 1, "decode_replicas": 3}, decode_batch=200)
    assert not bool(over.feasible) and not np.isfinite(float(over.ttft))


def test_an_overloaded_cluster_says_so():
    found = MODEL.solve(**CALL, arrival_rate=[1.0, 1000.0])
    assert (
        found.feasible.values.tolist() == [True, False]
        and str(found.limit.attrs["flag_meanings"]).split()[int(found.limit[1])] == "saturation"
    )


def test_separate_pools_break_even_where_the_criterion_says():
    """tau = c0 (1 + 1/l): below, separate pools serve more per device; above, fewer."""
    line = Line(8e-3, 1e-4)
    for idle in (0.1, 0.25, 1.0):
        even = float(disaggregation.break_even_itl(line, idle))
        at = [float(disaggregation.speedup_over_aggregated(line, f * even, 0.1, 255.0, idle)) for f in (0.9, 1.0, 1.1)]
        assert at[0] > 1.0 > at[2] and at[1] == pytest.approx(1.0, rel=1e-12)


def test_the_gain_is_that_of_two_clusters_with_linear_steps():
    """Worked by hand: requests per device at the same time between tokens, prompts in the steps or apart."""
    c0, c1, prompt, decoded, tau = 8e-3, 1e-4, 0.1, 255.0, 20e-3
    together = (tau - c0) / (c1 + prompt / decoded)  # requests that decode
    apart = (tau - c0) / c1
    each = decoded * tau / apart + prompt * 1.25
    gain = (decoded * tau / together) / each
    assert float(disaggregation.speedup_over_aggregated(Line(c0, c1), tau, prompt, decoded, 0.25)) == pytest.approx(
        gain
    )


def test_whole_pairs_waste_least():
    for mu, rate, first, second in ((2.0, 3.0, 4.0, 8.0), (10.0, 1.3, 8.0, 4.0), (1.0, 9.7, 1.0, 1.0)):
        found = disaggregation.whole_pair(mu, rate, first, second)
        least = min((p * first + d * second) / min(p * mu, d * rate) for d in range(1, 17) for p in range(1, 400))
        got = float(found.devices) / min(float(found.prefill) * mu, float(found.decode) * rate)
        assert got == pytest.approx(least, rel=1e-12)


def test_pools_have_devices_and_formats_of_their_own():
    one = MODEL.solve(**CALL, users=1)
    other = MODEL.solve(**CALL, users=1, decode_hardware="h200")
    assert float(other.itl) < float(one.itl) and float(other.prefill_time) == float(one.prefill_time)
    narrow = MODEL.solve(**CALL, users=1, decode_precision="fp8", kv_precision="bf16")
    wide = MODEL.solve(**CALL, users=1, kv_precision="bf16")
    assert float(narrow.memory_weights) < 0.6 * float(wide.memory_weights)
    assert float(narrow.prefill_memory_per_device) == float(wide.prefill_memory_per_device)
    assert float(narrow.kv_transfer_size) == float(wide.kv_transfer_size)


def test_a_second_pool_follows_the_first_unless_named():
    """What is given of the device or the fleet holds for both pools; what is given of one pool for it alone."""
    base = MODEL.solve(**CALL, users=1)
    slow = MODEL.solve(**CALL, users=1, mem_bandwidth="1 TB/s")
    assert float(slow.itl) > 1.5 * float(base.itl)
    one = MODEL.solve(**CALL, users=1, **{"decode_hardware.mem_bandwidth": "1 TB/s"})
    assert float(one.itl) == pytest.approx(float(slow.itl), rel=1e-9)
    assert float(one.prefill_time) == float(base.prefill_time)
    by_fleet = MODEL.solve(**{k: v for k, v in CALL.items() if k != "hardware"}, users=1, fleet="dgx_h100")
    assert float(by_fleet.itl) == pytest.approx(float(base.itl), rel=1e-9)
    own = MODEL.solve(**CALL, pp=2, users=1, decode_hardware="b200", intra_bandwidth=["5 GB/s", "450 GB/s"])
    assert float(own.prefill_time[0]) > float(own.prefill_time[1]) and float(own.itl[0]) == float(own.itl[1])
    link = MODEL.solve(**CALL, users=1, prefill_replicas=9, inter_bandwidth=["5 GB/s", "50 GB/s"])
    assert float(link.kv_transfer_time[0]) > 5.0 * float(link.kv_transfer_time[1])


def test_the_schema_says_what_the_second_pool_follows():
    schema = MODEL.schema
    defaults = {name: schema.default[name] for name in ("decode_hardware", "decode_fleet", "decode_precision")}
    assert defaults == {f"decode_{name}": f"that of {name}" for name in ("hardware", "fleet", "precision")}
    assert schema.meaning["decode_fleet"] == "node and network of the replicas that decode"


def test_what_is_missing_is_told_once():
    with pytest.raises(TypeError, match=r"needs hardware \(.*\), seq_len \([^)]*\)$"):
        MODEL.solve(model="llama3_1_8b")
    with pytest.raises(TypeError, match=r"needs hardware \("):
        MODEL.solve(model="llama3_1_8b", decode_hardware="h100", seq_len=100)
