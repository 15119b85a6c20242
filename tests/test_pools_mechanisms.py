"""What a cluster of prefill and decode replicas may do beside the plain way, each against what it must come to."""

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import mlsysim as ms
from mlsysim.equations import dealing, prefill_pool
from mlsysim.schema.codes import PoolLimit

MODEL = ms.DisaggregatedServingModel
LLAMA = {"model": "llama3_1_70b", "hardware": "h100", "seq_len": 2048, "output_len": 256, "tp": 4}
DEEPSEEK = {
    "model": "deepseek_r1_671b",
    "hardware": "h200",
    "precision": "fp8",
    "kv_precision": "fp8",
    "seq_len": 2048,
    "output_len": 512,
    "tp": 1,
    "ep": 16,
}


def test_a_prompt_alone_brings_work_of_its_own_group_only():
    """One prompt on 16 attention groups: experts compute its tokens, not 16 times as many."""
    call = {**DEEPSEEK, "seq_len": 8192, "users": [1, 2000], "decode_replicas": 4}
    one, many = MODEL.solve(**call, eager_kernel_time=0.0).prefill_time.values
    step = ms.ServingModel.solve(**{**DEEPSEEK, "seq_len": 8192}, batch_size=16, eager_kernel_time=0.0)
    assert 1.5 * one < many and one < 0.7 * float(step.ttft)


def test_a_prefill_step_lasts_as_long_as_its_fullest_group():
    """Lengths of 20 % variation on 16 groups of a prompt each: all wait for the longest; one group waits for nobody."""
    rng = np.random.default_rng(0)
    spread = np.sqrt(np.log1p(0.2**2))
    for groups, prompts in ((16, 1), (8, 4)):
        lengths = rng.lognormal(-0.5 * spread**2, spread, (20000, groups, prompts)).mean(axis=2)
        fullest = prefill_pool.fullest_group(float(groups), float(prompts), 0.2)
        assert fullest == pytest.approx(lengths.max(axis=1).mean(), rel=0.05)
    call = {**DEEPSEEK, "seq_len": 8192, "prefill_chunk": 16384, "prefill_max_batch": 16, "users": 2000}
    even, uneven = (MODEL.solve(**call, decode_replicas=8, prompt_cv=cv) for cv in (0.0, 0.2))
    assert float(even.saturation_rate / uneven.saturation_rate) > 1.25
    one = {**LLAMA, "users": 2000, "decode_replicas": 8, "prefill_max_batch": 1}
    rates = MODEL.solve(**one, prompt_cv=[0.0, 0.2]).saturation_rate.values
    assert rates[1] == pytest.approx(rates[0], rel=1e-12)


def test_prompts_below_the_threshold_are_computed_by_decode_replicas():
    call = {**LLAMA, "users": 40, "prefill_replicas": 2, "decode_replicas": 2}
    plain = MODEL.solve(**call)
    none, everything = (MODEL.solve(**call, local_prefill_below=most) for most in (2047, 2048))
    assert float(none.local_prefill_share) == 0.0 and float(none.ttft) == pytest.approx(float(plain.ttft), rel=1e-12)
    assert float(everything.local_prefill_share) == 1.0
    assert float(everything.prefill_utilization) < 1e-9 and float(everything.kv_transfer_time) == 0.0
    prompt = float(ms.ServingModel.solve(**LLAMA, batch_size=1, frontend_time=0.0, frontend_token_time=0.0).ttft)
    assert float(everything.prefill_time) == pytest.approx(prompt, rel=1e-9)
    alone, step = (MODEL.solve(**{**call, "users": 1}, local_prefill_below=most) for most in (2048, 0))
    assert float(alone.step_time) == pytest.approx(float(step.step_time), rel=1e-12)  # nobody else's prompt stops it
    assert float(everything.step_time - plain.step_time) > 10 * prompt / 255.0  # those of most of 20 do


def test_the_share_below_the_threshold_follows_the_lengths():
    call = {**LLAMA, "arrival_rate": 1.0, "prompt_cv": 0.8, "prefill_replicas": 2, "decode_replicas": 2}
    found = MODEL.solve(**call, local_prefill_below=[0, 500, 1000, 2000, 8000, 100000])
    share = found.local_prefill_share.values
    assert share[0] == 0.0 and (np.diff(share) > 0).all() and share[-1] > 0.9999
    assert (np.diff(found.prefill_utilization.values) < 0).all() and (np.diff(found.itl.values) > 0).all()


def test_caches_that_find_no_slot_hold_prompts_back():
    """Llama 70B keeps 0.67 GB a prompt: what does not fit beside the weights waits before its prefill."""
    call = {**LLAMA, "prefill_replicas": 1, "decode_replicas": 1, "max_batch": 16, "users": [20, 2000]}
    few, many = (MODEL.solve(**call).isel(users=n) for n in (0, 1))
    assert float(few.caches_waiting) < float(few.caches_kept) and int(few.pool_limit) == PoolLimit.DECODE_SLOTS
    assert int(many.pool_limit) == PoolLimit.BACKPRESSURE
    assert float(many.caches_waiting) == pytest.approx(float(many.caches_kept), rel=1e-6)
    assert float(many.throughput) == pytest.approx(float(few.throughput), rel=1e-3)
    cycle = 2000 / float(many.throughput)
    assert float(many.e2e_latency) == pytest.approx(cycle, rel=1e-6) and float(many.prefill_wait) > 0.5 * cycle


def test_two_batches_hide_what_is_shorter():
    """max of computation and communication, each of both halves: never below either, and a gain where both are long."""
    call = {**DEEPSEEK, "decode_batch": [16, 4096], "prefill_chunk": 32768}
    plain, turns = (MODEL.solve(**call, two_batches=on, decode_two_batches=on) for on in (False, True))
    assert 0.65 < float(turns.prefill_time[1] / plain.prefill_time[1]) < 0.9  # LMSYS: 27 to 35 % more tokens per second
    few, many = (turns.step_time / plain.step_time).values
    assert few > 1.2 and 0.5 < many < few  # weights are read twice: few requests lose


def test_copies_of_experts_take_memory_and_even_out_ranks():
    call = {**DEEPSEEK, "decode_batch": 2048, "redundant_experts": [0, 16, 32]}
    found = MODEL.solve(**call)
    assert (np.diff(found.step_time.values) < 0).all() and (np.diff(found.prefill_time.values) < 0).all()
    one = 58 * 3 * 7168 * 2048 * 1.0  # bytes of an expert, all layers
    assert np.diff(found.memory_weights.values) == pytest.approx([one, one], rel=0.005)  # and scales of blocks
    odd = MODEL.solve(**{**call, "redundant_experts": 5})
    assert not bool(odd.feasible)
    dense = MODEL.solve(**LLAMA, decode_batch=8, redundant_experts=[0, 8])
    assert float(dense.step_time[0]) == float(dense.step_time[1])


def test_heads_that_draft_cost_their_layers_and_the_vocabulary():
    call = {**DEEPSEEK, "decode_batch": 256, "draft_len": 2, "acceptance": 0.7}
    free, paid = (MODEL.solve(**call, draft_layers=layers) for layers in (None, 1))
    plain = MODEL.solve(**{**call, "draft_len": 0})
    drafting = float((paid.step_time - free.step_time) * paid.tokens_per_round)
    vocabulary = 2 * 129280 * 7168 * 2 / 4.8e12  # read twice a round by every device
    assert drafting > vocabulary
    assert drafting == pytest.approx(2 * float(plain.step_time) / 61 + vocabulary, rel=0.25)


def test_a_replica_that_only_decodes_hides_the_host():
    call = {**LLAMA, "decode_batch": 8}
    hidden, bare = MODEL.solve(**call), MODEL.solve(**call, decode_host_overlap=0.0)
    slow = MODEL.solve(**call, host_step_time=10.0)
    assert float(bare.step_time - hidden.step_time) == pytest.approx(1e-3 + 8e-5, rel=0.05)
    assert float(slow.step_time) == pytest.approx(10.0, rel=1e-4)  # but no more than the device works


@settings(max_examples=10, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    users=st.integers(1, 3000),
    prefill=st.integers(1, 12),
    decode=st.integers(1, 12),
    slots=st.integers(1, 300),
    prompt=st.integers(64, 8000),
    answer=st.integers(2, 1500),
    rounds=st.sampled_from([None, 10]),
)
def test_a_faster_link_or_a_further_replica_never_hurts(users, prefill, decode, slots, prompt, answer, rounds):
    call = {
        "model": "llama3_1_8b",
        "hardware": "h100",
        "seq_len": prompt,
        "output_len": answer,
        "max_batch": slots,
        "users": users,
        "requests_per_user": rounds,
        "output_cv": 0.5,
    }
    here = {"prefill_replicas": prefill, "decode_replicas": decode, "kv_bandwidth": "5 GB/s"}
    better = [
        {**here, "kv_bandwidth": "50 GB/s"},
        {**here, "prefill_replicas": prefill + 1},
        {**here, "decode_replicas": decode + 1},
    ]
    base = MODEL.solve(**call, **here)
    slack = 1e-4 if rounds is None else 0.02  # of a run, whose first wave is a mean over whole steps
    for more in better:
        found = MODEL.solve(**call, **more)
        assert float(found.throughput) >= float(base.throughput) * (1 - slack), (more, here)
        assert float(found.e2e_latency) <= float(base.e2e_latency) * (1 + slack), (more, here)


@pytest.mark.parametrize("groups", [2, 8, 32])
def test_the_fullest_group_of_requests_that_are_dealt_out(groups):
    rng = np.random.default_rng(groups)
    for each in (0.25, 1, 4, 100):
        requests = max(int(each * groups), 1)
        dealt = rng.multinomial(requests, np.full(groups, 1 / groups), size=4000).max(axis=1).mean()
        assert dealing.fullest(float(groups), float(requests)) == pytest.approx(dealt, rel=0.13 if each < 1 else 0.07)
    assert dealing.fullest(1.0, 7.0) == 7.0 and dealing.fullest(float(groups), 1.0) == 1.0


def test_a_step_of_requests_dealt_to_groups_is_that_of_the_fullest():
    """16 groups: 320 requests are 20 a group if all have as many, 29 in the fullest; one group has all anyway."""
    call = {**DEEPSEEK, "decode_batch": [16.0, 320.0, 20000.0], "max_batch": 65536, "kv_precision": "fp8"}
    even, dealt = (MODEL.solve(**call, decode_group_routing=how) for how in ("shared", "random"))
    longer = (dealt.step_time / even.step_time).values
    assert (longer > 1.0).all() and longer[1] > 1.02 and longer[2] < 1.03
    fullest = float(dealing.fullest(16.0, 320.0)) * 16.0
    as_full = MODEL.solve(**{**call, "decode_batch": [fullest]})
    between = float(even.step_time[1]), float(dealt.step_time[1]), float(as_full.step_time)
    assert between[0] < between[1] < between[2]  # experts have no more tokens
    one = {**LLAMA, "users": 40, "decode_replicas": 2, "prefill_replicas": 2}
    for pool in ("group_routing", "decode_group_routing"):
        assert float(MODEL.solve(**one, **{pool: "random"}).e2e_latency) == pytest.approx(
            float(MODEL.solve(**one).e2e_latency), rel=1e-12
        )


def test_groups_that_requests_are_dealt_to_have_slots_of_their_own():
    """As many clients as slots, eight groups: some have more than they hold."""
    call = {**DEEPSEEK, "seq_len": 128, "users": 32, "max_batch": 32, "requests_per_user": None, "prefill_replicas": 8}
    even, dealt = (MODEL.solve(**call, decode_group_routing=how) for how in ("shared", "random"))
    assert float(dealt.active_requests) < 0.85 * float(even.active_requests) and float(dealt.slot_wait) > float(
        even.slot_wait
    )
    many = {**call, "users": 3200}
    full = MODEL.solve(**many, decode_group_routing="random")
    assert float(full.active_requests) == pytest.approx(32.0, rel=0.02)


def test_a_group_that_requests_join_sits_out_a_step():
    """Few prompts come one by one: of J steps a group sits out as many as requests join it, ``b / (g J)`` a step."""
    call = {
        **DEEPSEEK,
        "ep": 16,
        "seq_len": 4096,
        "prefill_chunk": 4096,
        "decode_batch": [16.0, 128.0],
        "prefill_replicas": 64,
    }
    plain, joined = (MODEL.solve(**call, joining_steps=steps) for steps in (0, 1))
    longer = (joined.step_time / plain.step_time).values - 1.0
    each = np.array([16.0, 128.0]) / 16.0 / 511.0
    assert (longer < each * 1.01).all() and longer[0] > 0.85 * each[0]  # some prompts come together
    one = {**LLAMA, "decode_batch": 16}
    assert float(MODEL.solve(**one, joining_steps=1).step_time) == float(MODEL.solve(**one, joining_steps=0).step_time)


def test_a_step_that_is_planned_ahead_makes_late_prompts_wait():
    call = {**LLAMA, "arrival_rate": [0.01, 3.0], "prefill_replicas": 1, "decode_replicas": 4, "prefill_chunk": 8192}
    waits = [MODEL.solve(**call, prefill_scheduled_steps=steps).prefill_wait.values for steps in (0, 1, 2)]
    assert waits[1][0] == pytest.approx(waits[0][0], rel=0.1, abs=1e-4)  # nobody is there
    assert waits[0][1] < waits[1][1] < waits[2][1]
    assert waits[2][1] - waits[1][1] == pytest.approx(waits[1][1] - waits[0][1], rel=1e-6)


def test_experts_that_all_devices_share_take_the_rows_of_all_tokens():
    """Eight groups whose experts are cut in eight: no less arithmetic, and every device moves all tokens' rows."""
    call = {**DEEPSEEK, "ep": 8, "seq_len": 8192, "users": 200, "decode_replicas": 8, "prefill_chunk": 8192}
    spread, cut = (MODEL.solve(**call, expert_tp=share) for share in (1, 8))
    unsaid = MODEL.solve(**call)
    assert float(unsaid.saturation_rate) == pytest.approx(float(spread.saturation_rate), rel=1e-12)
    assert float(cut.saturation_rate) < 0.95 * float(spread.saturation_rate)
    assert float(cut.prefill_memory_per_device) == pytest.approx(float(spread.prefill_memory_per_device), rel=1e-12)
    tensor = {**DEEPSEEK, "tp": 8, "decode_batch": 32}
    by_tensor = MODEL.solve(**{**tensor, "ep": 1}).step_time
    assert float(MODEL.solve(**{**tensor, "ep": 8}, decode_expert_tp=8, expert_tp=8).step_time) == pytest.approx(
        float(by_tensor), rel=1e-12
    )
    assert not bool(MODEL.solve(**call, expert_tp=3).feasible)


def test_a_replica_that_stands_still_while_caches_come_in():
    """Each step waits for the caches of those who join: ``b / J`` of them, one after another on one group."""
    call = {**LLAMA, "decode_batch": [8.0, 64.0], "prefill_replicas": 32}
    goes_on, stands = (MODEL.solve(**call, blocking_receive=on) for on in (False, True))
    moving = float(stands.kv_transfer_time[0])
    assert (stands.step_time - goes_on.step_time).values == pytest.approx(
        np.array([8.0, 64.0]) / 255.0 * moving, rel=0.02
    )
    wide = {**DEEPSEEK, "decode_batch": 64.0, "prefill_replicas": 32}
    slower = MODEL.solve(**wide, blocking_receive=True).step_time - MODEL.solve(**wide).step_time
    assert float(slower) == pytest.approx(64.0 / 511.0 * float(MODEL.solve(**wide).kv_transfer_time), rel=0.02)
