"""Serving and continuous batching against published and hand-calculated values."""

import itertools

import numpy as np
import pytest

from mlsysim import zoo
from mlsysim.equations import architecture, batching, experts, prompts, sharding, speculation
from mlsysim.models.continuous_batching import ContinuousBatchingModel, continuous_batching
from mlsysim.models.serving import ServingModel
from mlsysim.models.serving import serving as serve
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Limit, Precision, Reserve

ASSUME = Assumptions()


def close(computed, expected):
    """Equal to what the text prints, to half a unit of its last digit."""
    digits, _, exponent = expected.partition("e")
    slack = 0.5001 * 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
    assert float(computed) == pytest.approx(float(expected), rel=0.0, abs=slack)


def on(model, hardware="h100", precision=Precision.BF16, kv_precision=None):
    """Records of a model on a device."""
    return (
        zoo.workload_record(model),
        zoo.accelerator_record(hardware, precision, kv_precision),
        zoo.fleet_record(None, hardware),
        zoo.format_record(precision, kv_precision),
        ASSUME,
    )


# --- wall 4: serving -----------------------------------------------------------------------------------


def cached(name):
    return sharding.kv_bytes_per_token(zoo.workload_record(name), zoo.format_record(Precision.BF16))


KV = [
    ("Llama-3.1-8B", "131072"),
    ("Llama-3.1-70B", "327680"),
    ("Llama-3.1-405B", "516096"),
    ("Mixtral-8x7B", "131072"),
    ("DeepSeek-V3", "70272"),
]


@pytest.mark.parametrize(("name", "expected"), KV)
def test_reference_kv_bytes(name, expected):
    """Derived from the architecture: 2 L k d values, or L (c + rope) with latent attention."""
    close(cached(name), expected)
    assert float(serve(*on(name, "b200"), seq_len=128).kv_bytes_per_token) == float(expected)


def by_hand(**inputs):
    """Llama-3.1-70B in bf16 on H100s, four of them, 64 sequences of 4,096 tokens: bytes over bandwidth."""
    return serve(*on("Llama-3.1-70B"), seq_len=4096, batch_size=64, tp=4, textbook=1, **inputs)


DECODE = [
    ("weights, ms", lambda: 1e3 * by_hand().decode_gemm_time, "10.3735871", "derived"),
    ("KV, ms", lambda: 1e3 * by_hand().decode_attention_time, "6.41039895", "derived"),
    ("ITL, ms", lambda: 1e3 * by_hand().itl, "16.7839860", "derived"),
    ("tokens/s", lambda: by_hand().tokens_per_s, "3813.15856", "derived"),
    (
        "chunked prefill, read besides own",
        lambda: prompts.kv_tokens_read(8192.0, 0.0, 16.0) - 8192.0,
        "61440",
        "derived",
    ),
    ("chunked prefill, read in all", lambda: prompts.kv_tokens_read(8192.0, 0.0, 16.0), "69632", "derived"),
    (
        "latent attention, FLOP per token and layer",
        lambda: architecture.attention_flops(zoo.workload_record("DeepSeek-V3"), architecture.causal_positions(4096.0)),
        "167813120",
        "derived",
    ),
    ("experts (8, 2, 1)", lambda: experts.distinct_experts(8.0, 2.0, 1.0), "2", "derived"),
    ("experts (8, 2, 8)", lambda: experts.distinct_experts(8.0, 2.0, 8.0), "7.19909668", "derived"),
    ("experts (8, 2, 16)", lambda: experts.distinct_experts(8.0, 2.0, 16.0), "7.91981923", "derived"),
    ("experts (128, 8, 32)", lambda: experts.distinct_experts(128.0, 8.0, 32.0), "111.771035", "derived"),
    ("experts (256, 8, 16)", lambda: experts.distinct_experts(256.0, 8.0, 16.0), "101.962162", "derived"),
    ("experts (256, 8, 128)", lambda: experts.distinct_experts(256.0, 8.0, 128.0), "251.601146", "derived"),
    (
        "slowest of 32 ranks",
        lambda: experts.slowest_rank_load(256.0, 8.0, 256.0, 32.0),
        "80.0485",
        "derived, simulation 80.8",
    ),
    ("nodes touched", lambda: experts.nodes_touched(256.0, 8.0, 8.0), "5.2947", "derived, simulation 5.30"),
]


@pytest.mark.parametrize(("name", "computed", "expected", "source"), DECODE, ids=[d[0] for d in DECODE])
def test_reference_serving(name, computed, expected, source):
    close(computed(), expected)


SPECULATION = [
    ((0.8, 4.0, 0.05), "3.3616", "2.80133333"),
    ((0.6, 3.0, 0.1), "2.176", "1.67384615"),
    ((0.9, 8.0, 0.02), "6.12579511", "5.28085785"),
]


@pytest.mark.parametrize(("inputs", "tokens", "faster"), SPECULATION)
def test_reference_speculation(inputs, tokens, faster):
    """Leviathan et al. 2023, theorem 3.8, verification as cheap as a plain step."""
    close(speculation.tokens_per_round(inputs[0], inputs[1]), tokens)
    close(speculation.speedup(*inputs), faster)


def test_reference_speculation_in_the_kernel():
    """Where memory binds, verifying costs next to nothing by hand: the rate grows by tokens per round."""
    plain, drafted = by_hand(), by_hand(acceptance=0.8, draft_len=1)
    assert drafted.tokens_per_round == pytest.approx(1.8)
    assert plain.itl / drafted.itl == pytest.approx(1.8, rel=1e-9)
    here = on("Llama-3.1-70B")
    small = zoo.workload_record("Llama-3.1-8B")
    both = serve(*here, seq_len=1024, batch_size=1, tp=4, draft=small, acceptance=0.8, draft_len=4)
    alone = serve(*here, seq_len=1024, batch_size=1, tp=4)
    assert both.itl < alone.itl and both.memory_per_device > alone.memory_per_device
    crowd = serve(*here, seq_len=128, batch_size=1024, tp=4, draft=small, acceptance=0.8, draft_len=4)
    assert crowd.itl > serve(*here, seq_len=128, batch_size=1024, tp=4).itl  # arithmetic binds: drafting harms


def test_reference_bandwidth_bound_decode():
    """A step by hand: every weight but the input table, and 64 caches, over the given share of bandwidth."""
    node = serve(*on("Llama-3.1-8B"), seq_len=1000, batch_size=32, textbook=1, bandwidth_efficiency=0.7)
    nbytes = 2.0 * (8_030_261_248 - 128_256 * 4096) + 32.0 * 131_072 * 1000
    assert node.itl == pytest.approx(nbytes / (0.7 * 3.35e12), rel=1e-12)
    assert node.ttft == pytest.approx(
        (
            32.0 * 1000 * architecture.linear_flops(zoo.workload_record("Llama-3.1-8B"))
            + 32.0 * architecture.head_flops(zoo.workload_record("Llama-3.1-8B"))
            + 32.0 * 1000 * 32 * architecture.attention_flops(zoo.workload_record("Llama-3.1-8B"), 500.5)
        )
        / 989.4e12,
        rel=2e-2,  # the head of 32 rows is bound by its weights
    )


def test_experts_latent_attention_and_windows():
    mixtral = on("Mixtral-8x7B")
    one = serve(*mixtral, seq_len=512, batch_size=1, tp=2, textbook=1)
    model = mixtral[0]
    touched = 2.0 * (architecture.active_params(model) - architecture.embedding_params(model))
    assert one.decode_gemm_time == pytest.approx(touched / 2.0 / 3.35e12, rel=1e-4)
    every = serve(*mixtral, seq_len=512, batch_size=512, tp=2, textbook=1)
    assert every.decode_gemm_time > 3.0 * one.decode_gemm_time
    deepseek = on("DeepSeek-V3", "h200", Precision.FP8)
    split = [serve(*deepseek, seq_len=4096, batch_size=8, tp=t).kv_cache for t in (8, 16)]
    assert split[0] == split[1]
    wide = serve(*deepseek, seq_len=4096, batch_size=1024, tp=1, ep=64)
    assert wide.n_accelerators == 64.0 and wide.feasible
    gemma = on("Gemma-2-27B")
    long, longer = (serve(*gemma, seq_len=s, batch_size=1, tp=2).kv_cache for s in (8192, 8192 - 1024))
    full = 1024.0 * sharding.kv_bytes_per_token(gemma[0], gemma[3])
    assert (long - longer) / full == pytest.approx(0.5)  # half of the layers keep a window of 4,096


def test_memory_decides():
    here = on("Llama-3.1-70B")
    assert serve(*here, seq_len=1024, tp=1).limit == Limit.MEMORY
    assert serve(*here, seq_len=1024, tp=3).limit == Limit.SHAPE
    assert serve(*on("Llama-3.1-70B", "v100", Precision.BF16), seq_len=1024, tp=8).limit == Limit.CAPABILITY
    most = serve(*here, seq_len=4096, tp=4).max_batch
    assert serve(*here, seq_len=4096, tp=4, batch_size=most, prefill_batch=1).feasible
    assert not serve(*here, seq_len=4096, tp=4, batch_size=most + 2, prefill_batch=1).feasible
    grown = serve(*here, seq_len=4096, output_len=1024, tp=4, reserve=Reserve.GROW).max_batch
    assert grown > serve(*here, seq_len=4096, output_len=1024, tp=4, reserve=Reserve.RESERVE).max_batch
    narrow = on("Llama-3.1-70B", "h100", Precision.BF16, Precision.FP8)
    assert serve(*narrow, seq_len=4096, tp=4).max_batch > 1.9 * most


def test_prefix_chunks_pipelines_and_separate_decoding():
    here = on("Llama-3.1-70B")
    plain = serve(*here, seq_len=8192, output_len=256, tp=4)
    assert serve(*here, seq_len=8192, output_len=256, tp=4, cached_prefix=8000).ttft < 0.2 * plain.ttft
    assert serve(*here, seq_len=8192, output_len=256, tp=4, prefill_chunk=256).ttft > plain.ttft
    single = serve(*here, seq_len=1024, output_len=256, batch_size=1, tp=2, pp=4)
    flat = serve(*here, seq_len=1024, output_len=256, batch_size=1, tp=2)
    assert single.itl == pytest.approx(flat.itl, rel=0.1)  # one sequence sees one path through all stages
    many = serve(*here, seq_len=1024, output_len=256, batch_size=64, tp=2, pp=4)
    unsplit = serve(*here, seq_len=1024, output_len=256, batch_size=64, tp=2)
    # each stage reads its weights once per micro-batch: four times the devices, hardly more tokens
    assert 0.6 < many.tokens_per_s / unsplit.tokens_per_s < 1.6
    apart = serve(
        *here,
        seq_len=8192,
        output_len=256,
        tp=4,
        decode_hardware=zoo.accelerator_record("h200", Precision.BF16),
    )
    assert apart.itl < plain.itl and apart.ttft > plain.ttft and apart.prefill_decode_ratio > 0.0
    # whole replicas to buy; rates per device go by the ratio, as in a pool of many
    assert apart.n_accelerators == 4.0 * (1.0 + np.ceil(apart.prefill_decode_ratio))
    pooled = 4.0 * (1.0 + apart.prefill_decode_ratio)
    assert apart.tokens_per_s_per_device == pytest.approx(apart.tokens_per_s / pooled)
    assert plain.e2e_latency == pytest.approx(plain.ttft + 255.0 * plain.itl)


def test_no_more_prompts_are_prefilled_together_than_are_in_flight():
    asked = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 4096, "output_len": 256, "batch_size": 4}
    all_four, too_many = (ServingModel.solve(**asked, prefill_batch=n) for n in (4, 64))
    for name in ("ttft", "usd_per_mtok", "joule_per_mtok", "throughput", "max_batch"):
        assert too_many[name].item() == all_four[name].item()
    apart = [ServingModel.solve(**asked, decode_hardware="h200", prefill_batch=n).ttft.item() for n in (4, 64)]
    assert apart[1] > apart[0]  # a replica that only prefills may collect more prompts than one decode batch


# --- wall 5: continuous batching -----------------------------------------------------------------------

COEFFICIENTS = (8e-3, 5e-5, 6e-5, 2.5e-8)
C0, C1, C2, C3 = COEFFICIENTS
PROMPT, OUTPUT, CONTEXT = 512.0, 128.0, 576.0
SATURATION = batching.saturation_rate(C1, C2, C3, PROMPT, OUTPUT, CONTEXT)


def looped(users):
    return batching.closed_loop_rate(*COEFFICIENTS, PROMPT, OUTPUT, CONTEXT, users, 0.0, 512.0)


BATCHING = [
    ("saturation", lambda: SATURATION, "25.7077339", "derived"),
    ("8/s, tau, ms", lambda: 1e3 * batching.open_step_time(C0, 8.0 / SATURATION), "11.6142400", "derived"),
    (
        "8/s, ITL, ms",
        lambda: 1e3 * batching.open_token_time(C0, C1, C3, CONTEXT, 8.0 / SATURATION),
        "11.7077346",
        "derived, simulation 11.9",
    ),
    (
        "64 slots",
        lambda: batching.saturated_rate(*COEFFICIENTS, PROMPT, OUTPUT, CONTEXT, 64.0),
        "18.2569038",
        "derived",
    ),
    ("closed, 1", lambda: looped(1.0), ".9408233", "derived, simulation .940823"),
    ("closed, 16", lambda: looped(16.0), "9.79700020", "derived, simulation 9.727"),
    ("closed, 64", lambda: looped(64.0), "18.3512195", "derived, simulation 18.21"),
    ("closed, 256, no budget", lambda: looped(256.0), "23.4", "derived"),
    (
        "closed, 256, budget 512",
        lambda: np.minimum(looped(256.0), batching.token_budget_rate(*COEFFICIENTS, OUTPUT, CONTEXT, PROMPT, 512.0)),
        "21.3",
        "derived",
    ),
    (
        "8/s, mixed steps of a 2048 budget, prompt 300",
        lambda: (
            100.0
            * batching.mixed_fraction(
                8.0,
                batching.open_step_time(C0, 8.0 / batching.saturation_rate(C1, C2, C3, 300.0, 128.0, 364.0)),
                300.0,
                2048.0,
            )
        ),
        "7.7",
        "derived",
    ),
    ("usable share, mean form", lambda: batching.usable_share(1000.0, 16.0), ".992555831", "derived"),
    ("usable share, exact", lambda: 1000.0 / (16.0 * np.ceil(1000.0 / 16.0)), ".992063492", "derived"),
    ("contiguous 2048", lambda: 1000.0 / 2048.0, ".488281250", "derived"),
    (
        "carried length, pages",
        lambda: batching.paged_blocks(batching.carried_length(512.0, 0.0, 400.0, 1.0)[0], 16.0),
        "57.47",
        "derived, simulation 57.39",
    ),
    (
        "its deviation, pages",
        lambda: np.sqrt(batching.carried_length(512.0, 0.0, 400.0, 1.0)[1]) / 16.0,
        "32.27",
        "derived, simulation 31.87",
    ),
]


@pytest.mark.parametrize(("name", "computed", "expected", "source"), BATCHING, ids=[b[0] for b in BATCHING])
def test_reference_batching(name, computed, expected, source):
    close(computed(), expected)


def test_reference_fragmentation():
    """Shares of pages that hold nothing: prompts of about 1,000 tokens, one generated."""
    result = continuous_batching(*on("Llama-3.1-8B"), seq_len=999.5, output_len=1, prompt_cv=0.5)
    close(1.0 - result.fragmentation, ".992555831")


@pytest.mark.parametrize(
    ("prompt", "output", "page"), [(1000, 1, 16), (512, 128, 16), (100, 7, 64), (30, 300, 1), (1, 1, 7)]
)
def test_constant_lengths_fill_whole_pages(prompt, output, page):
    """Counted length by length; (B - 1) / 2 holds for lengths that are spread out."""
    lengths = np.arange(prompt + 1, prompt + output + 1)
    pages = np.ceil(lengths / page) * page
    found = ContinuousBatchingModel.solve(
        model="llama3_1_8b", hardware="h100", seq_len=prompt, output_len=output, page_size=page
    )
    assert float(found.fragmentation) == pytest.approx(1.0 - lengths.sum() / pages.sum(), rel=1e-9, abs=1e-12)


def test_overflow_simulated():
    """Random pools: the probability that N running requests need more pages than there are."""
    generator = np.random.default_rng(0)
    mean, variance = batching.carried_length(512.0, 0.0, 400.0, 1.0)
    pages, deviation = batching.paged_blocks(mean, 16.0), np.sqrt(variance) / 16.0
    pool = 20_000.0
    admitted = float(np.floor(batching.admitted_requests(pool, pages, deviation, 0.01)))
    sigma = np.sqrt(np.log(2.0))
    trials = 2000
    lengths = generator.lognormal(np.log(400.0) - 0.5 * sigma**2 + sigma**2, sigma, (trials, int(admitted)))
    held = np.ceil((512.0 + generator.random(lengths.shape) * lengths) / 16.0).sum(axis=1)
    assert float((held > pool).mean()) == pytest.approx(0.015, abs=0.012)
    assert batching.overflow_probability(admitted, pool, pages, deviation) == pytest.approx(0.01, rel=0.2)


def test_agrees_with_serving():
    """No prompts beside it, a batch decodes as ServingModel says: one user, and the step at maximum load."""
    here = on("Llama-3.1-70B")
    shape = {"seq_len": 2048, "output_len": 512, "tp": 4}
    one = continuous_batching(*here, users=1, **shape)
    alone = serve(*here, batch_size=1, **shape)
    assert one.itl == pytest.approx(alone.itl, rel=1e-12)
    assert one.ttft == pytest.approx(alone.ttft, rel=0.02)
    assert one.e2e_latency == pytest.approx(1.0 / one.throughput, rel=1e-12)
    idle = continuous_batching(*here, arrival_rate=1e-6, **shape)
    assert idle.itl == pytest.approx(alone.itl, rel=1e-6)
    full = continuous_batching(*here, max_batch=64, **shape)
    assert full.step_time == pytest.approx(
        serve(*here, batch_size=64, **shape).itl, rel=1e-3
    )  # prompts hold some slots
    assert full.itl > full.step_time
    static = serve(*here, batch_size=64, **shape)
    assert full.throughput == pytest.approx(static.throughput, rel=0.05)  # equal lengths: nothing to gain


def test_loops_meet():
    """Open, closed and saturated loops agree where they touch."""
    here = on("Llama-3.1-8B")
    shape = {"seq_len": 512, "output_len": 128, "max_batch": 128}
    most = continuous_batching(*here, **shape)
    crowd = continuous_batching(*here, users=4096, **shape)
    assert crowd.throughput == pytest.approx(most.throughput, rel=1e-9)
    assert crowd.ttft == pytest.approx(
        4096.0 / crowd.throughput - 127.0 * crowd.itl, rel=1e-3
    )  # by waits, not by Little
    busy = continuous_batching(*here, arrival_rate=0.5 * most.saturation_rate, **shape)
    assert busy.queue_utilization == pytest.approx(0.5) and busy.feasible
    *records, assume = here  # clients of equal requests come to the front end together, those of an open loop do not
    in_turn = (*records, assume._replace(frontend_client_time=0.0))
    same = continuous_batching(*in_turn, users=busy.throughput * busy.e2e_latency, **shape)
    assert same.throughput == pytest.approx(busy.throughput, rel=0.03)
    over = continuous_batching(*here, arrival_rate=1.1 * most.saturation_rate, **shape)
    assert over.limit == Limit.SATURATION and np.isinf(over.ttft)
    assert over.throughput == pytest.approx(most.throughput)


def test_random_lengths_favour_continuous_batching():
    here = on("Llama-3.1-8B")
    equal = continuous_batching(*here, seq_len=512, output_len=400, max_batch=512)
    spread = continuous_batching(*here, seq_len=512, output_len=400, max_batch=512, output_cv=1.0)
    assert spread.speedup_over_static > 3.0 * equal.speedup_over_static
    assert spread.max_active_requests < equal.max_active_requests
    assert spread.contiguous_fragmentation > 0.5 > 0.02 > spread.fragmentation
    booked = continuous_batching(*here, seq_len=512, output_len=4000, max_batch=512, reserve=Reserve.RESERVE)
    grown = continuous_batching(*here, seq_len=512, output_len=4000, max_batch=512, reserve=Reserve.GROW)
    assert booked.max_active_requests < grown.max_active_requests


def test_runs_of_finite_length():
    here = on("Llama-3.1-8B")
    shape = {"seq_len": 512, "output_len": 256, "max_batch": 256}
    endless = continuous_batching(*here, **shape)
    long = continuous_batching(*here, n_requests=256 * 400, **shape)
    short = continuous_batching(*here, n_requests=300, **shape)
    assert long.throughput == pytest.approx(endless.throughput, rel=0.01)
    assert short.throughput < 0.9 * endless.throughput
    first = continuous_batching(*here, users=64, requests_per_user=1, **shape)
    later = continuous_batching(*here, users=64, requests_per_user=100, **shape)
    assert first.ttft > later.ttft and first.itl < later.itl


# --- through the engine --------------------------------------------------------------------------------


def test_resolvers_solve():
    swept = ServingModel.solve(
        model="llama3_1_70b",
        hardware=["a100", "h100"],
        tp=[4, 8],
        batch_size=[1, 16, 64],
        seq_len=1024,
        output_len=128,
    )
    assert swept.itl.dims == ("hardware", "tp", "batch_size")
    for device, tp, batch in itertools.product(("a100", "h100"), (4, 8), (1, 16, 64)):
        one = serve(*on("Llama-3.1-70B", device), seq_len=1024, output_len=128, tp=tp, batch_size=batch)
        assert float(swept.itl.sel(hardware=device, tp=tp, batch_size=batch)) == pytest.approx(one.itl, rel=1e-12)
    loads = ContinuousBatchingModel.solve(
        model="llama3_1_8b", hardware="h100", seq_len=512, output_len=128, arrival_rate=[1.0, 10.0, 20.0]
    )
    assert bool((loads.itl.diff("arrival_rate") > 0).all())
    drafted = ServingModel.solve(
        model="llama3_1_70b",
        draft="llama3_1_8b",
        hardware="h100",
        tp=4,
        seq_len=1024,
        acceptance=0.8,
        draft_len=[2, 4],
    )
    assert drafted.itl.sizes == {"draft_len": 2}
    apart = ServingModel.solve(
        model="llama3_1_70b", hardware="h100", decode_hardware="h200", tp=4, seq_len=1024, output_len=128
    )
    assert float(apart.prefill_decode_ratio) > 0.0
