"""Reference values of a server's loops: the pool of pages by hand, the loops by the closed forms of a linear step.

A step of ``c0 + c1 b + c2 n + c3 b s`` seconds has closed forms under every load (`mlsysim.equations.batching`); the
loops, which solve for steps of any shape, must meet them where such a step takes the place of the real one.
"""

import numpy as np
import pytest

import mlsysim as ms
from mlsysim import zoo
from mlsysim.equations import batching, finite_runs, loops, paging, sharding, shared_steps, slots, tails
from mlsysim.equations.server import server as serve_requests
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Precision, Reserve

LLAMA8 = zoo.workload_record(zoo.model("llama3_1_8b"))
H100 = zoo.accelerator_record(zoo.hardware("h100"), Precision.BF16)
BF16 = zoo.format_record(Precision.BF16)
FLEET = zoo.fleet_record("dgx_h100", None)
BARE = Assumptions(
    workspace_bytes_per_value=0.0,
    runtime_reserve=0.0,
    logit_bytes=0.0,
    frontend_time=0.0,
    frontend_token_time=0.0,
    frontend_client_time=0.0,
    eager_kernel_time=0.0,
    poll_steps=1.0,
    balance_steps=0.0,
    last_token_apart=0.0,
)
REQUESTS = paging.Requests(512.0, 128.0, 0.0, 0.0, 0.0)
C0, C1, C2, C3 = 8e-3, 5e-5, 6e-5, 2.5e-8
CONTEXT = 576.0
STEP = (C0, C1, C2, C3, 512.0, 128.0, CONTEXT)


def decoding(batch):
    return C0 + (C1 + C3 * CONTEXT) * batch


def mixed(batch, tokens):
    return decoding(batch) + C2 * tokens


@pytest.fixture
def linear(monkeypatch):
    """A server whose steps are linear, and its steps at maximum load."""
    for file in (loops, finite_runs, shared_steps, slots, tails):
        monkeypatch.setattr(file, "decoding_time", lambda server, batch: decoding(batch))
        if file is not slots:
            monkeypatch.setattr(file, "mixed_time", lambda server, batch, tokens: mixed(batch, tokens))
    monkeypatch.setattr(loops.serve, "total", lambda step: step)
    monkeypatch.setattr(loops, "decoding_step", lambda server, batch: decoding(batch))
    server = serve_requests(
        LLAMA8, H100, FLEET, BF16, BARE, REQUESTS, tp=1.0, pp=1.0, ep=1.0, prefill_chunk=2048.0, slots=64.0
    )
    return server, loops.full_steps(server)


def close(computed, expected, rel=1e-9):
    assert float(computed) == pytest.approx(expected, rel=rel)


# --- pool ----------------------------------------------------------------------------------------------


def pool_of(**changes):
    plain = {
        "tp": 1.0,
        "pp": 1.0,
        "ep": 1.0,
        "capacity": 72e9,
        "pool_fraction": 1.0,
        "page_size": 16.0,
        "prefill_chunk": 8192.0,
        "max_batch": 1e6,
        "reserve": Reserve.GROW,
        "overflow": 0.5,
    }
    return paging.pool(LLAMA8, BF16, BARE, REQUESTS, **{**plain, **changes})


def test_a_pool_admits_what_it_holds_on_the_mean():
    """16.06 GB of weights; 512 + 64 tokens of 128 KiB and half a page a request; half of the time too few pages.

    Of constant lengths, the pages are those of the lengths from 513 to 640: 584 tokens, mean.
    """
    pool = pool_of()
    close(pool.weights, 2 * 8_030_261_248)
    close(pool.size, 72e9 - 2 * 8_030_261_248)
    close(pool.request, 131072 * 584)
    close(pool.deviation, 131072 * np.sqrt(128.0**2 / 12))  # uniform between the first and the last token
    assert float(pool.admitted) == float(pool.slots) == (72e9 - 16_060_522_496) // (131072 * 584)


def test_a_pool_that_books_up_front_admits_whole_requests():
    pool = pool_of(reserve=Reserve.RESERVE, overflow=0.01)
    close(pool.request, 131072 * 640)
    close(pool.deviation, 0.0)
    assert float(pool.admitted) == (72e9 - 16_060_522_496) // (131072 * 640)


def test_windows_save_cache_where_an_engine_gives_back_what_they_passed():
    """GPT-OSS: every second layer has a window of 128 tokens."""
    model, mxfp4 = zoo.workload_record(zoo.model("gpt_oss_20b")), zoo.format_record(Precision.MXFP4)

    def bytes_of(model, whole):
        kept = sharding.as_cached(model, BARE._replace(whole_local_cache=whole))
        return float(sharding.kv_bytes_per_sequence_and_device(kept, mxfp4, 1.0, 1.0, 1.0, 4096.0))

    assert bytes_of(model, 1.0) / bytes_of(model, 0.0) == pytest.approx(4096 / (0.5 * (4096 + 128)))
    close(bytes_of(LLAMA8, 1.0), bytes_of(LLAMA8, 0.0))


def test_a_model_that_leaves_no_pool_runs_nothing():
    pool = pool_of(capacity=16e9)
    assert (float(pool.size), float(pool.slots), float(pool.max_active)) == (0.0, 1.0, 0.0)


# --- maximum load --------------------------------------------------------------------------------------


def test_the_maximum_load_of_a_linear_step(linear):
    """`batching.saturated_rate` of the 64 slots but for those whose prompts are computed: one step of 128."""
    _, full = linear
    close(full.decoders, 64.0 * 127 / 128, rel=1e-4)  # few wait for the budget
    close(full.chunks, 1.0)
    close(full.rate, batching.saturated_rate(*STEP, 63.5), rel=1e-4)
    close(full.added_time, C2 * 512)


def test_a_budget_of_prompts_bounds_the_load(linear):
    """`batching.token_budget_rate`: prompts fill what the decoding requests leave of the budget of every step."""
    server, _ = linear
    full = loops.full_steps(server._replace(prefill_chunk=256.0))
    close(full.decoders + full.room, 256.0, rel=0.01)  # slots that are finite leave a step with room now and then
    close(full.rate, batching.token_budget_rate(C0, C1, C2, C3, 128.0, CONTEXT, 512.0, float(full.room)), rel=0.01)


def test_a_run_of_a_few_requests_is_one_batch(linear):
    server, full = linear
    close(finite_runs.run_rate(server, full, 7.0), 7 / (7 * C2 * 512 + 127 * decoding(7)))
    close(finite_runs.run_rate(server, full, 65.0), 65 / (65 * C2 * 512 + 127 * (decoding(64) + decoding(1))))


def test_a_prompt_meets_those_of_others_at_the_maximum_load(linear):
    """One comes to a step for each answer that ends, into the places that the prompt itself leaves of its step.

    Who begins behind another one meets ``1 + X/m`` steps.
    """
    server, full = linear
    room = 2048 - 64
    others = 0.5 * (1 - 512 / room)
    steps = 1 + 0.5 * (512 / room) ** 2
    close(loops.maximum_load(server, full, None).ttft, steps * mixed(63.5, 512 * (1 + others)), rel=1e-4)


# --- open and closed loop ------------------------------------------------------------------------------


@pytest.mark.parametrize("arrival_rate", [1e-6, 3.0, 9.0, 15.0])
def test_an_open_loop_of_a_linear_step(linear, arrival_rate):
    """`batching.open_token_time`, and Little's law for the requests that decode."""
    server, full = linear
    load = arrival_rate / batching.saturation_rate(*STEP[1:])
    run = loops.open_loop(server, full, arrival_rate, 0.99)
    mean = float(batching.open_token_time(C0, C1, C3, CONTEXT, load))
    assert mean * (1 - 1e-5) <= float(run.itl) <= mean * 1.01  # more decode after long steps, a little
    close(run.active, arrival_rate * 127 * float(run.itl), rel=1e-5)
    assert float(run.throughput) == arrival_rate


def test_an_open_loop_beyond_the_maximum_never_answers(linear):
    server, full = linear
    run = loops.open_loop(server, full, 2.0 * full.rate, 0.99)
    assert not run.keeps_up and np.isinf(run.ttft) and np.isinf(run.ttft_at_percentile)
    close(run.throughput, full.rate)


def test_one_client_waits_for_nobody(linear):
    """`batching.closed_loop_rate`, exact for one client: 0.940823 requests per second without thinking."""
    server, full = linear
    for think_time in (0.0, 3.0):
        run = loops.closed_loop(server, full, 1.0, think_time, None)
        close(run.ttft, mixed(0, 512))
        close(run.itl, decoding(1))
        close(run.throughput, batching.closed_loop_rate(*STEP, 1.0, think_time, 512.0))
    close(loops.closed_loop(server, full, 1.0, 0.0, None).throughput, 0.940823, rel=1e-6)


@pytest.mark.parametrize("users", [2.0, 4.0, 16.0])
def test_a_closed_loop_of_a_linear_step(linear, users):
    """Within 5 % of `batching.closed_loop_rate`, which knows of no queue of prompts."""
    server, full = linear
    expected = float(batching.closed_loop_rate(*STEP, users, 0.0, 512.0))
    close(loops.closed_loop(server, full, users, 0.0, None).throughput, expected, rel=0.05)


def first_token(server, users, requests_per_user=10.0, **assumed):
    """Time to the first token of clients with a front end of 1 ms."""
    changed = server._replace(assume=server.assume._replace(frontend_time=1e-3, **assumed))
    return float(loops.closed_loop(changed, loops.full_steps(changed), users, 0.0, requests_per_user).ttft)


def test_a_request_on_its_way_meets_a_step(linear):
    """Alone nobody waits; beside others for what is left of a step, and for those that are scheduled already."""
    server, full = linear
    for ahead in (0.0, 1.0):
        close(first_token(server, 1.0, None, scheduled_steps=ahead), 1e-3 + mixed(0, 512))
    at_once = float(loops.closed_loop(server, full, 64.0, 0.0, None).ttft)  # of no front end
    met, behind = first_token(server, 64.0, None), first_token(server, 64.0, None, scheduled_steps=1.0)
    assert 1e-3 + 0.5 * decoding(32) < met - at_once < 1e-3 + decoding(64) + C2 * 2048
    close(behind - met, loops.closed_loop(server, full, 64.0, 0.0, None).itl, rel=0.05)


def test_a_front_end_takes_those_in_turn_who_come_together(linear):
    """Clients of equal lengths always do, others at the start: one of ten requests each, none in the steady state."""
    server, _ = linear
    apart = server._replace(requests=REQUESTS._replace(output_cv=0.1))

    def added(server, requests_per_user):
        with_turns = first_token(server, 16.0, requests_per_user, frontend_client_time=2e-3)
        return with_turns - first_token(server, 16.0, requests_per_user)

    close(added(server, 10.0), 16 * 2e-3)
    close(added(server, None), 16 * 2e-3)
    close(added(apart, 10.0), 0.1 * 16 * 2e-3)
    close(added(apart, None), 0.0)


def test_clients_that_start_together_wait_for_half_of_the_burst(linear):
    """Four prompts fill one step; eight take two, the first half of them one."""
    server, _ = linear
    close(finite_runs.first_wave_ttft(server, 4.0, decoding(4)), mixed(2, 2048))
    close(finite_runs.first_wave_ttft(server, 8.0, decoding(8)), 0.75 * 2 * mixed(4, 2048))


def test_kernels_of_first_use_make_the_first_wave_late(linear):
    """Of eight prompts the first step takes four whole; the others wait for what goes on with a prompt, once for all."""
    server, full = linear
    cold = server._replace(assume=BARE._replace(first_use_time=10.0))
    none, first = finite_runs.first_use(cold, 4.0), finite_runs.first_use(cold, 8.0)
    assert float(none.ttft) == float(none.itl) == 0.0
    close(first.ttft, 5.0)
    close(first.itl, 5.0 / server.decoded)
    warm, late = (loops.closed_loop(s, full, 8.0, 0.0, 10.0) for s in (server, cold))
    close(late.ttft - warm.ttft, 0.1 * 5.0)
    close(late.itl - warm.itl, 0.1 * 5.0 / server.decoded)
    close(loops.closed_loop(cold, full, 8.0, 0.0, None).ttft, loops.closed_loop(server, full, 8.0, 0.0, None).ttft)


# --- tails and comparison ------------------------------------------------------------------------------


def test_a_late_token_shares_its_step_with_prompts(linear):
    """10 prompts a second and steps of 20 ms: 18 % of the steps have one, 1.8 % two (Poisson of 0.2)."""
    server, full = linear
    run = loops.Operation(10.0, 1.0, 2.0, 0.02, 0.02, 8.0, 0.5, True)
    close(tails.token_time_at(server, full, run, 0.5), 0.02)
    close(tails.token_time_at(server, full, run, 0.9), mixed(8, 512))
    close(tails.token_time_at(server, full, run, 0.99), mixed(8, 1024))
    close(tails.request_time_at(server, run, 0.9), 2.0 + 127 * 0.02)


def test_static_batches_wait_for_their_longest_answer(linear):
    server, full = linear
    prefill = 32 * 512 / float(full.room) * mixed(1, float(full.room))
    close(tails.static_rate(server, full, 32.0), 32 / (prefill + 128 * decoding(32)))


def test_a_prompt_taken_with_others_waits_for_them(linear):
    """Half of ten steps until the next look, and two prompts more of 30 ms each."""
    server, _ = linear
    server = server._replace(assume=BARE._replace(poll_steps=11.0))
    meeting = shared_steps.Meeting(groups_with_prompt=1.0, polled_together=2.0, balancing=0.0, queue_factor=1.0)
    close(slots.poll_wait(server, meeting, 5.0, 0.01, 0.03), 5 * 0.01 + 2 * 0.03)


def test_a_step_grows_with_its_prompts_and_never_below_its_launches():
    """The real step: with nothing beside it a mixed step is a decoding one and the starts of attention."""
    server = serve_requests(
        LLAMA8, H100, FLEET, BF16, BARE, REQUESTS, tp=1.0, pp=1.0, ep=1.0, prefill_chunk=2048.0, slots=64.0
    )
    starts = 32 * H100.decode_attention_latency
    close(loops.mixed_time(server, 8.0, 0.0), float(loops.decoding_time(server, 8.0)) + starts)
    slow = server._replace(assume=BARE._replace(eager_kernel_time=1e-3))
    close(loops.mixed_time(slow, 8.0, 0.0), 12 * 32 * 1e-3)
    close(loops.mixed_time(slow._replace(tp=2.0), 8.0, 0.0), 14 * 32 * 1e-3)  # and two exchanges a layer


def test_answers_that_vary_beyond_reason_take_no_negative_time():
    """What is left of answers is no more than the run (it was: a time between tokens of -8 s)."""
    served = {
        "model": "mistral_7b",
        "hardware": "a100",
        "precision": "fp8",
        "seq_len": 147,
        "prefill_chunk": 6,
        "pp": 2,
    }
    runs = {"n_requests": [6, 600], "output_cv": [1.0, 20.0, 206.0], "memory_fraction": 0.56, "pool_fraction": 0.41}
    found = ms.ContinuousBatchingModel.solve(**served, **runs, cached_prefix=89, overflow=0.003, reserve=1)
    assert (found.itl > 0).all() and (found.e2e_latency > 0).all()
