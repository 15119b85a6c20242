"""Routed experts: laws of load and of grouped products, their limits, and what kernels were measured to take."""

import numpy as np
import pytest

import mlsysim as ms
from mlsysim import zoo
from mlsysim.calibration import frameworks
from mlsysim.equations import (
    allreduce,
    architecture,
    compute,
    conventions,
    experts,
    loops,
    operators,
    paging,
    serving,
    sharding,
    shared_steps,
)
from mlsysim.equations.server import server as serve_requests
from mlsysim.equations.step import Step
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Precision

ASSUME = Assumptions()


def routed(rng, n_experts, k, tokens, skew=0.0):
    """Tokens of each expert; popularity is lognormal with the coefficient of variation `skew`."""
    sigma = np.sqrt(np.log1p(skew * skew))
    popularity = np.log(rng.lognormal(0.0, sigma, n_experts)) if skew else np.zeros(n_experts)
    draws = popularity + rng.gumbel(size=(tokens, n_experts))
    chosen = np.argpartition(-draws, k - 1, axis=1)[:, :k]
    return np.bincount(chosen.ravel(), minlength=n_experts)


@pytest.mark.parametrize(
    ("n", "k", "tokens", "ranks"), [(256, 8, 16, 8), (128, 8, 8, 4), (128, 4, 32, 4), (256, 8, 64, 32)]
)
def test_the_fullest_rank_by_simulation(n, k, tokens, ranks):
    rng = np.random.default_rng(0)
    loads = np.array([routed(rng, n, k, tokens) for _ in range(600)])
    by_rank = loads.reshape(len(loads), ranks, -1)
    arguments = (float(n), float(k), float(tokens), float(ranks))
    touched = (by_rank > 0).sum(axis=2).max(axis=1).mean()
    assert experts.fullest_rank_experts(*arguments) == pytest.approx(touched, rel=0.04)
    assert experts.slowest_rank_load(*arguments) == pytest.approx(by_rank.sum(axis=2).max(axis=1).mean(), rel=0.03)


@pytest.mark.parametrize(
    ("n", "k", "tokens", "cv"), [(256, 8, 16, 0.8), (256, 8, 64, 0.8), (128, 4, 32, 0.5), (64, 6, 8, 0.8)]
)
def test_experts_that_few_want_stay_unread(n, k, tokens, cv):
    """Popularity by a gamma law, simulated; tokens choose without putting back."""
    rng = np.random.default_rng(2)
    shape = 1.0 / cv**2
    touched = []
    for _ in range(400):
        popularity = np.log(rng.gamma(shape, size=n) + 1e-300)
        draws = popularity + rng.gumbel(size=(tokens, n))
        touched.append(len(np.unique(np.argpartition(-draws, k - 1, axis=1)[:, :k])))
    assert float(experts.distinct_experts(float(n), float(k), float(tokens), cv)) == pytest.approx(
        np.mean(touched), rel=0.05
    )


def test_limits_of_unequal_popularity():
    """One token visits k experts, very many tokens all; equal popularity is even chance, the less equal the more are unread."""
    tokens = np.concatenate([[0.0, 0.5], np.geomspace(1.0, 1e9, 200)])
    even, some, more = (experts.distinct_experts(256.0, 8.0, tokens, cv) for cv in (0.0, 0.4, 0.8))
    assert (np.diff(more) >= 0.0).all() and more[0] == 0.0 and more[2] == pytest.approx(8.0)
    assert (
        more[-1] == pytest.approx(256.0)
        and (more <= some * (1.0 + 1e-12)).all()
        and (some <= even * (1.0 + 1e-12)).all()
    )
    assert experts.distinct_experts(256.0, 8.0, tokens, 1e-5) == pytest.approx(even, rel=1e-6)
    assert experts.distinct_experts(0.0, 0.0, 64.0, 0.8) == 0.0


def test_popular_experts_fill_their_rank_however_many_tokens_come():
    rng = np.random.default_rng(1)
    n, k, tokens, ranks, skew = 128, 2, 4096, 4, 0.8
    loads = np.array([routed(rng, n, k, tokens, skew) for _ in range(150)])
    shares = loads / loads.mean()
    fullest = loads.reshape(len(loads), ranks, -1).sum(axis=2).max(axis=1).mean()
    found = experts.slowest_rank_load(float(n), float(k), float(tokens), float(ranks), float(shares.std(axis=1).mean()))
    assert found == pytest.approx(fullest, rel=0.04)
    many = [experts.slowest_rank_load(128.0, 2.0, t, 4.0, skew) / (2.0 * t / 4.0) for t in (1e3, 1e6, 1e9)]
    assert many[0] > many[1] > many[2] > 1.1 and many[1] == pytest.approx(many[2], rel=1e-3)
    assert experts.slowest_rank_load(128.0, 2.0, 64.0, 128.0, 50.0) == 128.0  # no more than there are


def test_limits_of_grouped_products():
    """Wide experts with many rows run like large products; few rows and narrow experts never faster."""
    assert experts.tile_fill(1e9, 42.0, 3.4) == pytest.approx(1.0) and experts.narrow_rate(1e9, 100.0) == pytest.approx(
        1.0
    )
    rows = np.geomspace(1.0, 1e5, 60)
    assert (np.diff(experts.tile_fill(rows, 42.0, 3.4)) > 0).all()
    assert (np.diff(rows / experts.tile_fill(rows, 42.0, 3.4)) > 0).all()  # more tokens never take less time
    assert (np.diff(experts.narrow_rate(rows, 100.0)) > 0).all()
    model = zoo.workload_record(zoo.model("qwen3_235b_a22b"))
    device = zoo.accelerator_record("h200", Precision.FP8)
    fp8 = zoo.format_record(Precision.FP8)
    tokens = np.geomspace(1.0, 65536.0, 40)
    for tp, ep in ((1.0, 1.0), (8.0, 1.0), (1.0, 8.0)):
        work = operators.expert_work(model, device, fp8, ASSUME, tp, ep, tokens)
        assert (np.diff(operators.expert_time(work, ASSUME)) >= -1e-12).all()
    skewed = [
        operators.expert_work(model, device, fp8, ASSUME._replace(expert_skew=s), 1.0, 8.0, 4096.0) for s in (0, 2)
    ]
    assert skewed[1].arithmetic > skewed[0].arithmetic and skewed[1].traffic >= skewed[0].traffic
    even, one = (operators.expert_work(model, device, fp8, ASSUME, 1.0, e, 16.0) for e in (8.0, 1.0))
    assert even.traffic > one.traffic / 8.0  # a step waits for the rank that has most to read


#: one layer of experts by one fused kernel (microseconds), routing with a power law: kernel tables of the PyPI package
#: aiconfigurator-core 0.12.0 (Apache-2.0, NVIDIA)
MEASURED = [
    ("b200_sxm_180gb", Precision.BF16, "qwen3_30b_a3b", 1, 64, 170.435),
    ("b200_sxm_180gb", Precision.BF16, "qwen3_30b_a3b", 1, 1024, 260.1),
    ("b200_sxm_180gb", Precision.BF16, "qwen3_30b_a3b", 1, 16384, 1389.54),
    ("b200_sxm_180gb", Precision.BF16, "qwen3_235b_a22b", 4, 64, 173.54),
    ("b200_sxm_180gb", Precision.BF16, "qwen3_235b_a22b", 4, 1024, 272.38),
    ("b200_sxm_180gb", Precision.BF16, "qwen3_235b_a22b", 4, 16384, 1526.76),
    ("b200_sxm_180gb", Precision.NVFP4, "qwen3_30b_a3b", 1, 64, 65.71),
    ("b200_sxm_180gb", Precision.NVFP4, "qwen3_30b_a3b", 1, 1024, 113.18),
    ("b200_sxm_180gb", Precision.NVFP4, "qwen3_30b_a3b", 1, 16384, 764.28),
    ("b200_sxm_180gb", Precision.NVFP4, "qwen3_235b_a22b", 1, 64, 195.7),
    ("b200_sxm_180gb", Precision.NVFP4, "qwen3_235b_a22b", 1, 1024, 335.745),
    ("b200_sxm_180gb", Precision.NVFP4, "qwen3_235b_a22b", 1, 16384, 1705.08),
    ("b200_sxm_180gb", Precision.NVFP4, "deepseek_r1_671b", 8, 64, 114.74),
    ("b200_sxm_180gb", Precision.NVFP4, "deepseek_r1_671b", 8, 1024, 271.965),
    ("b200_sxm_180gb", Precision.NVFP4, "deepseek_r1_671b", 8, 16384, 1210.2),
    ("h200_sxm_141gb", Precision.BF16, "qwen3_30b_a3b", 1, 64, 286.78),
    ("h200_sxm_141gb", Precision.BF16, "qwen3_30b_a3b", 1, 1024, 431.42),
    ("h200_sxm_141gb", Precision.BF16, "qwen3_30b_a3b", 1, 16384, 2583.36),
    ("h200_sxm_141gb", Precision.BF16, "qwen3_235b_a22b", 4, 64, 294.84),
    ("h200_sxm_141gb", Precision.BF16, "qwen3_235b_a22b", 4, 1024, 454.125),
    ("h200_sxm_141gb", Precision.BF16, "qwen3_235b_a22b", 4, 16384, 2925.88),
    ("h200_sxm_141gb", Precision.FP8, "qwen3_30b_a3b", 1, 64, 166.18),
    ("h200_sxm_141gb", Precision.FP8, "qwen3_30b_a3b", 1, 1024, 308.36),
    ("h200_sxm_141gb", Precision.FP8, "qwen3_30b_a3b", 1, 16384, 2032.6),
    ("h200_sxm_141gb", Precision.FP8, "qwen3_235b_a22b", 1, 64, 551.26),
    ("h200_sxm_141gb", Precision.FP8, "qwen3_235b_a22b", 1, 1024, 836.77),
    ("h200_sxm_141gb", Precision.FP8, "qwen3_235b_a22b", 1, 16384, 4841.91),
]


@pytest.mark.parametrize(("hardware", "precision", "model", "tp", "tokens", "latency"), MEASURED)
def test_layers_of_experts_take_what_was_measured(hardware, precision, model, tp, tokens, latency):
    workload = zoo.workload_record(zoo.model(model))
    device, form = zoo.accelerator_record(hardware, precision), zoo.format_record(precision)
    assume = ASSUME._replace(serving_gemm_factor=1.0, expert_exposed=0.83)  # no sustained load; a power law
    work = operators.expert_work(workload, device, form, assume, float(tp), 1.0, float(tokens))
    found = operators.expert_time(work, assume) / architecture.moe_layers(workload)
    assert 1e6 * found == pytest.approx(latency, rel=0.4)


#: one layer of DeepSeek-R1's experts in NVFP4 by grouped CUTLASS products (microseconds), a power law: kernel tables of the PyPI
#: packages aiconfigurator 0.4.0 (TensorRT-LLM 1.0.0rc6) and aiconfigurator-core 0.12.0 (1.3.0rc20; Apache-2.0, NVIDIA)
BY_CUTLASS = [
    ("1.0.0rc6", "b200_sxm_180gb", 8, 64, 165.0),
    ("1.0.0rc6", "b200_sxm_180gb", 8, 1024, 278.0),
    ("1.0.0rc6", "b200_sxm_180gb", 8, 16384, 1370.0),
    ("1.0.0rc6", "gb200_per_gpu", 1, 256, 1019.0),
    ("1.0.0rc6", "gb200_per_gpu", 16, 4096, 367.0),
    ("1.3.0rc20", "b300_sxm_288gb", 1, 256, 971.0),
    ("1.3.0rc20", "b300_sxm_288gb", 8, 64, 141.0),
    ("1.3.0rc20", "b300_sxm_288gb", 8, 1024, 210.0),
    ("1.3.0rc20", "b300_sxm_288gb", 8, 8192, 667.0),
]


@pytest.mark.parametrize(("release", "hardware", "ep", "tokens", "latency"), BY_CUTLASS)
def test_grouped_products_take_what_they_took_in_a_release(release, hardware, ep, tokens, latency):
    run = {"engine": f"TensorRT-LLM {release}"}
    row = zoo.framework(frameworks.of_release("cutlass_experts", "tensorrt_llm", run))
    own = {name: row[name] for name in ("moe_layer_latency", "expert_input_reads")}
    model = zoo.workload_record(zoo.model("deepseek_r1_671b"))
    device, form = zoo.accelerator_record(hardware, Precision.NVFP4), zoo.format_record(Precision.NVFP4)
    assume = ASSUME._replace(serving_gemm_factor=1.0, expert_exposed=0.83, expert_skew=4.4, **own)
    work = operators.expert_work(model, device, form, assume, float(ep), float(ep), float(tokens))
    found = operators.expert_time(work, assume) / architecture.moe_layers(model)
    assert 1e6 * found == pytest.approx(latency, rel=0.25)


def test_narrow_experts_follow_the_rate_that_is_sustained():
    """A device whose peak is twice as high, of which products reach half, is no slower with narrow experts."""
    model, form = zoo.workload_record(zoo.model("qwen3_30b_a3b")), zoo.format_record(Precision.NVFP4)
    device = zoo.accelerator_record("b200", Precision.NVFP4)
    nominal = device._replace(
        peak_flops=2.0 * device.peak_flops, training_gemm_efficiency=0.5 * device.training_gemm_efficiency
    )
    times = [operators.expert_work(model, d, form, ASSUME, 4.0, 1.0, 4096.0).arithmetic for d in (device, nominal)]
    assert times[0] == pytest.approx(times[1])


def test_tokens_may_be_gathered_across_nodes():
    """A ring over two nodes brings all tokens to every rank, as long as an all-reduce of them, longer than copies to nodes."""
    model, form = zoo.workload_record(zoo.model("deepseek_r1_671b")), zoo.format_record(Precision.FP8)
    device, fleet = zoo.accelerator_record("h100", Precision.FP8), zoo.fleet_record(None, "h100")
    rows = 8192.0

    def time(ranks, on):
        assume = ASSUME._replace(expert_node_gather=on, dispatch_bytes=2.0)
        return float(operators.expert_exchange_time(model, device, fleet, form, assume, 1.0, ranks, rows))

    whole = float(allreduce.allreduce_time(16.0 * rows * model.hidden * 2.0, device, fleet, 16.0, ASSUME, 1.0))
    assert time(16.0, 1.0) == pytest.approx(float(architecture.moe_layers(model)) * whole, rel=0.05)
    assert time(16.0, 1.0) > 1.5 * time(16.0, 0.0) and time(8.0, 1.0) == time(8.0, 0.0)


def test_tokens_travel_once_to_a_rank():
    """Eight experts of a token on four ranks are at most four copies; engines gather all tokens inside a node."""
    model = zoo.workload_record(zoo.model("deepseek_r1_671b"))
    device, fp8 = zoo.accelerator_record("h200", Precision.FP8), zoo.format_record(Precision.FP8)
    node = zoo.fleet_record(None, "h200")._replace(domain_size=64.0, accelerators_per_node=8.0, intra_efficiency=1.0)

    def time(ranks, gather, fleet=node):
        assume = ASSUME._replace(exchange_latency_intra=0.0, expert_gather=gather)
        found = operators.expert_exchange_time(model, device, fleet, fp8, assume, 1.0, ranks, 1000.0)
        bytes_per_copy = model.hidden * (assume.dispatch_bytes + 2.0)
        return found / (architecture.moe_layers(model) * 1000.0 * bytes_per_copy / device.link_bandwidth)

    assert time(4.0, 1.0) == pytest.approx(3.0) and time(8.0, 1.0) == pytest.approx(7.0)
    assert 2.4 < time(4.0, 0.0) < 3.0 and 4.0 < time(8.0, 0.0) < 7.0
    assert time(32.0, 1.0) == time(32.0, 0.0) < 8.0  # beyond a node tokens go where their experts are


def test_prompts_may_be_gathered_by_all_reduces():
    """Two all-reduces over the tokens of all groups a layer with experts, in steps with prompts; a step that decodes has none."""
    call = {"model": "deepseek_r1_671b", "hardware": "b200", "precision": "fp8", "tp": 1, "ep": 8, "batch_size": 8}
    call |= {"seq_len": 8192, "eager_kernel_time": 0.0}
    plain, summed = (ms.ServingModel.solve(**call, expert_sums=on) for on in (0, 1))
    model, device = zoo.workload_record(zoo.model("deepseek_r1_671b")), zoo.accelerator_record("b200", Precision.FP8)
    fleet = zoo.fleet_record(None, "b200")
    sums = allreduce.allreduce_time(8 * 8192 * model.hidden * 2.0, device, fleet, 8.0, ASSUME, 1.0)
    records = (model, device, fleet, zoo.format_record(Precision.FP8), ASSUME, 1.0, 8.0, 8192.0, 8 * 8192.0)
    gathered = operators.expert_exchange_time(*records)
    longer = 2.0 * architecture.moe_layers(model) * sums - gathered
    level = ASSUME.serving_level * ASSUME.mixture_serving_level
    assert float(summed.ttft - plain.ttft) == pytest.approx(level * float(longer), rel=1e-6) and longer > 0.05
    assert float(summed.itl) == float(plain.itl)
    apart = {**call, "ep": 72, "batch_size": 72, "hardware": "gb200_per_gpu"}  # nodes of a rack send copies
    assert float(ms.ServingModel.solve(**apart, expert_sums=1).ttft) == float(ms.ServingModel.solve(**apart).ttft)


def test_a_mixture_that_leaves_no_expert_out_is_as_well_known_as_a_dense_model():
    """What mixtures have of their own goes with the share of other experts that a token leaves out."""
    step = Step(*(1.0 for _ in Step._fields))
    mixture = zoo.workload_record(zoo.model("mixtral_8x7b"))
    assume = ASSUME._replace(serving_level=1.0, serving_scatter=1.0, mixture_serving_level=1.1)

    def level(**fields):
        return float(serving.at_level(step, mixture._replace(**fields), assume)[0])

    assert level(experts_per_token=8.0) == level(n_experts=0.0) == level(n_experts=1.0, experts_per_token=1.0) == 1.0
    assert level(experts_per_token=1.0) == pytest.approx(1.1) and level() == pytest.approx(1.0 + 0.1 * 6.0 / 7.0)


def test_an_engines_own_all_reduce_may_end_with_the_node():
    """Between trays of a rack the library takes over; inside a tray, and in a node that is its own domain, nothing changes."""
    call = {"model": "llama3_1_70b", "precision": "fp8", "batch_size": 8, "seq_len": 2048}

    def itl(hardware, tp, ends):
        return float(ms.ServingModel.solve(**call, hardware=hardware, tp=tp, node_allreduce=ends).itl)

    assert itl("gb200_per_gpu", 4, 1) == itl("gb200_per_gpu", 4, 0) and itl("h100", 8, 1) == itl("h100", 8, 0)
    assert itl("gb200_per_gpu", 8, 1) > 1.1 * itl("gb200_per_gpu", 8, 0)


def test_gathered_tokens_take_memory_from_the_cache():
    """With attention groups every device holds copies of the tokens of all of them, sized before the cache is."""
    model, fp8 = zoo.workload_record(zoo.model("deepseek_r1_671b")), zoo.format_record(Precision.FP8)
    assert sharding.gathered_workspace_bytes(model, fp8, 1.0, 8.0, 8192.0) == pytest.approx(14.0 * 2**30, rel=0.15)
    dense = zoo.workload_record(zoo.model("llama3_1_8b"))
    assert sharding.gathered_workspace_bytes(dense, fp8, 1.0, 1.0, 8192.0) == 0.0


def served(prefill_chunk, **changed):
    """A server of one H100, prompts of 1,000 tokens and as many answers."""
    return serve_requests(
        zoo.workload_record(zoo.model("llama3_1_8b")),
        zoo.accelerator_record("h100", Precision.BF16),
        zoo.fleet_record("dgx_h100", None),
        zoo.format_record(Precision.BF16),
        ASSUME._replace(**changed),
        paging.Requests(1000.0, 1000.0, 0.0, 0.0, 0.0),
        tp=1.0,
        pp=1.0,
        ep=1.0,
        prefill_chunk=prefill_chunk,
        slots=1024.0,
    )


def test_scales_of_blocks_cost_what_the_vector_units_take():
    """Measured on H100 and H200: 0.80 of products with a scale a tensor; nothing in 16 bits, and more peak is never slower."""
    h100, h20 = (zoo.accelerator_record(name, Precision.FP8) for name in ("h100", "h20"))
    assert compute.scaled_rate(h100.peak_flops, h100.vector_flops) == pytest.approx(0.80, rel=0.03)
    assert (
        compute.scaled_rate(h20.peak_flops, h20.vector_flops) > 0.9
    )  # matrix units are slow there, vector units are not
    peaks = np.geomspace(1e12, 1e16, 50)
    assert (np.diff(peaks * compute.scaled_rate(peaks, 67e12)) > 0).all()
    model = zoo.workload_record(zoo.model("qwen3_32b"))

    def arithmetic(device, precision, block_scales):
        work = ASSUME._replace(block_scales=block_scales)
        return operators.linear_work(model, device, zoo.format_record(precision), work, 1.0, 4096.0).arithmetic

    rate = compute.scaled_rate(h100.peak_flops, h100.vector_flops)
    assert arithmetic(h100, Precision.FP8, 0.0) == pytest.approx(rate * arithmetic(h100, Precision.FP8, 1.0))
    wide = zoo.accelerator_record("h100", Precision.BF16)
    assert arithmetic(wide, Precision.BF16, 1.0) == arithmetic(wide, Precision.BF16, 0.0)


def test_tokens_travel_as_their_products_take_them():
    """To experts in 8 bits with scales, in 16 where products take 16; back in 16 bits."""
    model, device = zoo.workload_record(zoo.model("gpt_oss_120b")), zoo.accelerator_record("h100", Precision.BF16)
    fleet = zoo.fleet_record("dgx_h100", None)._replace(intra_efficiency=1.0)

    def exchange(precision):
        assume = ASSUME._replace(exchange_latency_intra=0.0)
        return operators.expert_exchange_time(
            model, device, fleet, zoo.format_record(precision), assume, 1.0, 4.0, 1024.0
        )

    moved = architecture.moe_layers(model) * 1024.0 * 3.0 * model.hidden / device.link_bandwidth
    assert exchange(Precision.FP8) == pytest.approx(moved * (1.03 + 2.0))
    assert exchange(Precision.BF16) == pytest.approx(moved * (2.0 + 2.0))


def test_few_clients_leave_a_step_to_prompts():
    """A prompt that fits a step beside the clients that there are is not cut because of those that there might be."""
    server = served(1152.0)
    full = loops.full_steps(server)
    assert full.chunks == 2.0
    few = shared_steps.with_room(server, full, 4.0)
    assert few.chunks == 1.0 and few.chunk == 1000.0
    assert shared_steps.with_room(server, full, full.decoders).chunks == full.chunks


def test_prompts_that_one_look_finds_share_a_step():
    """They share the least time of a step of prompts; where every step looks, and where one fills a step, none do."""

    def meeting(poll_steps, prefill_chunk=16384.0):
        server = served(prefill_chunk, poll_steps=poll_steps, eager_kernel_time=1e-3)
        full = shared_steps.with_room(server, loops.full_steps(server), 127.0)
        found = loops.prompt_meeting(server, full, 128.0, 0.0)
        return found.together, shared_steps.prompt_addition(server, full, 128.0, 1.0, found.together)

    (alone, each), (several, shared) = meeting(1.0), meeting(30.0)
    assert alone == 1.0 and 3.0 < several < 6.0
    assert shared == pytest.approx(each / several, rel=0.25)  # the floor is all that a step costs here
    assert meeting(30.0, 1128.0)[0] == pytest.approx(1.128)


def test_a_given_efficiency_is_that_of_experts_too():
    """No tiles and no narrow experts beside a share of peak that the caller states."""
    assume = conventions.serving_assumptions(ASSUME, 0.5, 0.0)
    device = conventions.serving_device(zoo.accelerator_record("h200", Precision.BF16), 0.5, None, 0.0)
    model, bf16 = zoo.workload_record(zoo.model("qwen3_30b_a3b")), zoo.format_record(Precision.BF16)
    work = operators.expert_work(model, device, bf16, assume, 1.0, 1.0, 64.0)
    flops = architecture.moe_layers(model) * 64.0 * model.experts_per_token * 2.0 * architecture.expert_params(model)
    assert work.arithmetic == pytest.approx(flops / (0.5 * device.peak_flops))
