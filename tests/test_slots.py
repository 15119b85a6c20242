"""Waits for a slot and for a step, against sums and limits that are exact."""

import math

import numpy as np
import pytest

import mlsysim as ms
from mlsysim.equations import batching, queueing, slots, waiting


def erlang_empty(come, places):
    """M/M/K without anybody, Erlang's sum."""
    terms = sum(come**k / math.factorial(k) for k in range(places))
    return 1.0 / (terms + come**places / math.factorial(places) / (1.0 - come / places))


@pytest.mark.parametrize("places", [1, 2, 4, 8, 32])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
def test_an_empty_server_is_erlangs(places, share):
    found = float(waiting.empty_share(share * places, float(places)))
    assert found == pytest.approx(erlang_empty(share * places, places), rel=0.05)


def served_in_bulk(come, places, states=200):
    """Share of steps that have nothing to do, where each takes up to K of what came, Poisson."""
    arrivals = np.exp(-come) * np.cumprod(np.concatenate([[1.0], come / np.arange(1.0, states)]))
    state = np.eye(1, states)[0]
    for _ in range(600):
        left = np.concatenate([[state[: places + 1].sum()], state[places + 1 :], np.zeros(places)])
        state = np.convolve(left, arrivals)[:states]
    return state[0]


@pytest.mark.parametrize("places", [1, 2, 4, 12])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_steps_without_a_chunk_are_those_of_a_queue_served_in_bulk(places, share):
    """(Places taken independently of each other left half as many without one: 4 at a share of 0.5.)"""
    some = float(waiting.longer_step(waiting.PromptSteps(1.0, 0.0, float(places)), share * places))
    assert 1.0 - some == pytest.approx(served_in_bulk(share * places, places), rel=0.1, abs=0.004)


def test_clients_without_number_come_at_random():
    """Many clients that pause long are Poisson arrivals: M/M/c, whose wait is ``C / (c - a)``."""
    users, load, c = 1e6, 8.0, 10.0
    pause = users / load - 1.0
    exact = float(queueing.erlang_c(c, load)) / (c - load)
    assert float(slots.wait_of_clients(c, users, pause, 0.0, 1.0)) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("growth", [0.0, 0.5])
def test_waiting_clients_balance(growth):
    """Against all states of the birth and death, one by one."""
    c, users, pause = 6, 14, 1.3
    held = [1.0 - growth * max(1.0 - n / c, 0.0) for n in range(users + 1)]
    leave = [min(n, c) / held[n] for n in range(users + 1)]
    states = [1.0]
    for n in range(1, users + 1):
        states.append(states[-1] * (users - n + 1) / pause / leave[n])
    queue = sum(max(n - c, 0) * p for n, p in enumerate(states))
    rate = sum(out * p for out, p in zip(leave, states, strict=True))
    assert float(slots.wait_of_clients(float(c), float(users), pause, growth, 1.0)) == pytest.approx(queue / rate)


@pytest.mark.parametrize("scv", [0.25, 4.0])
def test_clients_without_number_wait_as_their_work_varies(scv):
    """Near saturation ``(1 + c^2) / 2`` times as long (Kingman's limit)."""
    users, load, c = 1e6, 9.9, 10.0
    pause = users / load - 1.0
    usual, varied = (float(slots.wait_of_clients(c, users, pause, 0.0, 0.5 * (1.0 + v))) for v in (1.0, scv))
    assert varied / usual == pytest.approx(0.5 * (1.0 + scv), rel=0.03)


def test_clients_that_never_pause_queue_behind_the_slots():
    """Little's law, and none waits where there are slots for all, however short the pause."""
    assert float(slots.wait_of_clients(8.0, 20.0, 0.0, 0.3, 0.5)) == pytest.approx(12 / 8)
    assert float(slots.wait_of_clients(8.0, 20.0, 1e-9, 0.3, 0.5)) == pytest.approx(12 / 8, rel=1e-6)
    waits = [float(slots.wait_of_clients(8.0, 20.0, pause, 0.3, 0.5)) for pause in (0.0, 0.5, 2.0, 8.0)]
    assert waits == sorted(waits, reverse=True) and float(slots.wait_of_clients(8.0, 8.0, 0.1, 0.3, 0.5)) == 0.0


@pytest.mark.parametrize("load", [0.1, 0.8, 0.99])
def test_part_of_a_slot_counts_for_a_part(load):
    """Lots make slots fewer by no whole number: the probability falls from each to the next, and is one."""
    places = np.arange(1.0, 12.0, 0.125)
    of_slots = [float(slots.all_slots_taken(c, load, 0.3, load, 1.0)) for c in places]
    of_servers = [float(queueing.erlang_c(c, load * c)) for c in places]
    for taken in (of_slots, of_servers):
        assert max(taken) <= 1.0 and min(taken) > 0.0 and max(np.diff(taken)) < 0.0


@pytest.mark.parametrize("lost", range(5))
def test_what_is_no_number_gives_none(lost):
    """At once: a sum that ends where its terms are negligible never ends with them."""
    given = [4.0, 1e15, 1.0, 0.5, 0.7]
    given[lost] = math.nan
    assert math.isnan(float(slots.wait_of_clients(*given)))


def test_a_sum_of_many_clients_is_what_chance_leaves_of_them():
    """The last number that is summed up, and the first that is not."""
    summed, simple = (float(slots.wait_of_clients(4.0, users, 1e9, 0.5, 1.0)) for users in (1e10, 1.0000001e10))
    assert summed == pytest.approx(simple, rel=1e-4) and simple == pytest.approx(1.5e9, rel=1e-6)
    for users in (1e12, 2.0**53):
        for pause in (1e-9, 1.0, users / 8.0, users * 1e9):
            assert float(slots.wait_of_clients(4.0, users, pause, 1.0, 0.6)) >= 0.0


def test_several_servers_of_constant_work_save_less_than_half():
    """Half for one server, and for many in heavy traffic; nothing where work is exponential."""
    factor = slots.slower_than_exponential
    assert float(factor(1.0, 0.5, 0.0)) == 0.5 and float(factor(64.0, 0.99999, 0.0)) == pytest.approx(0.5, abs=1e-4)
    assert float(factor(64.0, 0.5, 1.0)) == 1.0 and 0.5 < float(factor(64.0, 0.5, 0.0)) < 1.0


def test_a_poisson_mean_is_exact_to_the_third_power():
    mean = 2.7
    exact = [1.0, mean, mean + mean**2, mean + 3 * mean**2 + mean**3]
    for power, expected in enumerate(exact):
        assert float(waiting.over_poisson(lambda n, power=power: n**power, mean)) == pytest.approx(expected)


def test_rooms_that_vary_cut_prompts_that_barely_fit():
    """As drawn; where the room never varies it is `ceil`."""
    random = np.random.default_rng(1)
    for mean in (480.0, 500.0, 980.0, 1500.0):
        rooms = 495.0 + 8.0 * random.standard_normal(200_000)
        drawn = np.ceil(mean / rooms).mean()
        assert float(waiting.mean_chunks(mean, 0.0, 495.0, deviation=8.0)) == pytest.approx(drawn, rel=2e-3)
        assert float(waiting.mean_chunks(mean, 0.0, 495.0)) == math.ceil(mean / 495.0)


def test_tokens_meet_long_steps_as_a_chain_of_two_states_does():
    """Requests come by the second and leave after so many steps, which are long and short in turns."""
    random = np.random.default_rng(2)
    short, long, begin, end, decoded, steps = 0.01, 0.11, 0.03, 0.05, 60, 400_000
    turns = np.cumsum(np.ravel(np.column_stack([random.geometric(p, steps // 20) for p in (begin, end)])))
    state = np.searchsorted(turns, np.arange(steps), side="right") % 2
    time = np.where(state == 1, long, short)
    came = random.poisson(200.0 * np.r_[0.0, time[:-1]])
    held = np.zeros(steps + 1)
    np.add.at(held, np.arange(steps), came)
    stays = random.geometric(1.0 / decoded, size=came.sum())
    np.add.at(held, np.minimum(np.repeat(np.arange(steps), came) + stays, steps), -1.0)
    running = np.cumsum(held)[:-1]
    found = (running * time).sum() / running.sum() - time.mean()
    share = begin / (begin + end)
    bunched = waiting.Bunched(share * (long - short), share)
    assert float(waiting.met_by_tokens(time.mean(), bunched, begin, decoded)) == pytest.approx(found, rel=0.15)


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0])
def test_prompts_of_many_clients_wait_as_in_an_open_queue(cv):
    """Pollaczek and Khinchine, ``rho (1 + c^2) / (2 (1 - rho))``; who has one place for all waits for all of them."""
    users, load = 1e7, 0.6
    met = float(batching.collision_factor(users, 1.0, users / load, 1.0, 1.0, done=0.5 - 0.5 * cv * cv))
    assert met == pytest.approx(load * (1.0 + cv * cv) / (2.0 * (1.0 - load)), rel=1e-4)
    assert float(batching.collision_factor(100.0, 1.0, 1e-9, 1.0, 1.0, done=0.0)) == pytest.approx(99.0)


def test_a_prompt_of_several_groups_goes_where_none_is():
    """Seidmann: alike for one server; with more of them less wait, and none less than the wait of full ones."""
    one = float(batching.collision_factor(8.0, 1.0, 9.0, 1.0, 1.0))
    four = float(batching.collision_factor(8.0, 1.0, 9.0, 1.0, 1.0, servers=4.0))
    assert float(batching.collision_factor(8.0, 1.0, 9.0, 1.0, 1.0, servers=1.0)) == one and 0.0 < four < 0.5 * one
    full = [float(batching.collision_factor(200.0, 1.0, 9.0, 1.0, 1.0, servers=m)) for m in (1.0, 4.0)]
    assert full[1] == pytest.approx(full[0], rel=0.02)


def test_no_more_steps_have_a_prompt_than_chunks_come():
    """Also where the rate that is tried belongs to more chunks: what prompts add is never less than nothing."""
    prompts = waiting.PromptSteps(3.0, 0.5, 4.0)
    for chunks in (0.0, 0.01, 0.3):
        found = waiting.bunched_step(1.0, prompts, chunks, 5.0, 100.0)
        assert 0.0 <= float(found.share) <= chunks and float(found.longer) >= 0.0


def test_clients_that_pause_long_save_nothing_at_the_end():
    """Who has had all answers leaves nobody beside whom a step would have been longer: a token takes a step of its own."""
    asked = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 400, "output_len": 2, "output_cv": 5.8, "users": 14}
    found = ms.ContinuousBatchingModel.solve(**asked, max_batch=32, think_time=[1.0, 1e6], requests_per_user=3)
    assert (found.itl >= 0.99 * found.step_time).all()


@pytest.mark.parametrize("cv", [0.4, 1.0])
def test_answers_that_begin_together_are_younger(cv):
    """Drawn: what two that go on have written, and what answers one after another lack of the steady state's age."""
    random = np.random.default_rng(5)
    variance = np.log1p(cv * cv)
    drawn = np.exp(np.sqrt(variance) * random.standard_normal((60, 40_000)) - 0.5 * variance)
    shorter = np.minimum(drawn[0], drawn[1])
    assert float(waiting.shorter_age(1.0, cv)) == pytest.approx((shorter**2).mean() / (2.0 * shorter.mean()), rel=0.03)
    end, age = 20.0, 0.5 * (1.0 + cv * cv)
    begins = np.concatenate([np.zeros((1, drawn.shape[1])), drawn.cumsum(axis=0)[:-1]])
    ages = 0.5 * (np.clip(end - begins, 0.0, drawn) ** 2).sum(axis=0).mean() / end
    waves = 20.0 + age  # so many steps before the batch runs down
    assert float(waiting.run_down(1.0, cv, 8.0, waves).younger) == pytest.approx(age - ages, rel=0.06)


def test_a_batch_runs_down_alike_just_before_and_after_one_wave():
    one, more = (waiting.run_down(100.0, 0.7, 64.0, waves) for waves in (1.0, 1.0 + 1e-9))
    assert [float(value) for value in one[:4]] == pytest.approx([float(value) for value in more[:4]], rel=1e-6)


def one_by_one(users, pause, spread):
    """Clients that wait for one slot: every state by itself, in logarithms."""
    n = np.arange(1.0, users + 1.0)
    births = np.concatenate([[0.0], np.cumsum(np.log((users - n[:-1]) / pause))]) / spread
    states = np.exp(births - births.max())
    return ((n - 1.0) * states).sum() / states.sum()


@pytest.mark.parametrize("spread", [1.0, 40.0, 1e4, 1e9])
@pytest.mark.parametrize("load", [0.7, 1.5])
def test_states_far_from_the_peak_are_summed_together(spread, load):
    """(A million clients of answers that vary without reason took as many rounds a point, a thousand million took minutes.)"""
    users, pause = 3e6, 3e6 / load
    found = float(slots.wait_of_clients(1.0, users, pause, 0.0, spread))
    assert found == pytest.approx(one_by_one(users, pause, spread), rel=1e-5)
    assert float(slots.wait_of_clients(1.0, 5e9, 5e9 / load, 0.0, 1e9)) > 0.0
