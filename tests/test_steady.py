"""The steady states of an open loop, read between tabulated ones, and of a closed loop, found in a few rounds."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlsysim as ms
from mlsysim.equations import batching, loops, steady
from mlsysim.resolver import Model

N = 300
SERVERS = {"llama3_1_8b": [1, 2], "mixtral_8x7b": [2, 8], "deepseek_v3": [8, 16]}


class Steps(NamedTuple):
    mean: float


def loads(rng, model):
    """Columns of random servers and lengths."""
    return {
        "hardware": rng.choice(["h100", "h200", "a100", "mi300x"], N),
        "tp": rng.choice(SERVERS[model], N),
        "seq_len": np.round(np.exp(rng.uniform(np.log(16), np.log(16000), N))),
        "output_len": np.round(np.exp(rng.uniform(np.log(2), np.log(2000), N))),
        "max_batch": np.round(np.exp(rng.uniform(0, np.log(1024), N))),
        "prompt_cv": rng.choice([0, 0.1, 0.5, 1.0], N),
        "prefill_chunk": rng.choice([512, 2048, 8192], N),
    }


def halved(state, rate, most, rounds=45):
    """`steady.steady_state` by bisection, which asks for the state itself."""
    low, high = 0.0 * most, most
    for _ in range(rounds):
        middle = 0.5 * (low + high)
        more = rate * state(middle).mean >= middle
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return 0.5 * (low + high), state(0.5 * (low + high))


@pytest.mark.parametrize("model", SERVERS)
def test_what_is_read_between_tabulated_states_is_what_bisection_finds(monkeypatch, model):
    """A state between two of the table is within 1 % of itself for 96 of 100 loads, never 8 % off; no load changes
    sides."""
    rng = np.random.default_rng(11)
    columns = loads(rng, model)
    server = ms.ContinuousBatchingModel
    most = server.solve(model=model, points=pd.DataFrame(columns), keep="saturation_rate")
    columns["arrival_rate"] = rng.uniform(0.02, 0.95, N) * np.nan_to_num(
        most.saturation_rate.values, nan=1.0, posinf=1.0
    )
    asked = {"model": model, "points": pd.DataFrame(columns), "keep": ["ttft", "itl", "active_requests", "feasible"]}
    read = server.solve(**asked)
    monkeypatch.setattr(loops, "steady_state", halved)
    found = Model(server.name, server.kernel, domain=server.domain, walls=server.walls).solve(**asked)
    ok = found.feasible.values & read.feasible.values
    assert ok.mean() > 0.3 and np.mean(found.feasible.values == read.feasible.values) > 0.99
    for name in ("ttft", "itl", "active_requests"):
        off = np.abs(read[name].values[ok] / found[name].values[ok] - 1.0)
        assert np.median(off) < 1e-3 and np.quantile(off, 0.96) < 0.01 and off.max() < 0.08, name


@pytest.mark.parametrize("model", SERVERS)
def test_six_rounds_of_a_closed_loop_find_what_forty_find(monkeypatch, model):
    """(They left one time between tokens of forty more than 0.1 % off, the worst a third.)"""
    rng = np.random.default_rng(5)
    columns = loads(rng, model)
    columns |= {
        "users": np.round(np.exp(rng.uniform(0, np.log(2000), N))),
        "think_time": rng.choice([0, 0.1, 1, 10, 60], N),
    }
    names = ["ttft", "itl", "throughput"]
    asked = {"model": model, "points": pd.DataFrame(columns), "keep": [*names, "feasible"]}
    found = ms.ContinuousBatchingModel
    few = found.solve(**asked)
    solve = batching.solve_increasing
    monkeypatch.setattr(batching, "solve_increasing", lambda f, low, high, at_low: solve(f, low, high, 40, at_low))
    many = Model(found.name, found.kernel, domain=found.domain, walls=found.walls).solve(**asked)
    ok = many.feasible.values & few.feasible.values
    assert ok.mean() > 0.3
    for name in names:
        off = np.abs(few[name].values[ok] / many[name].values[ok] - 1.0)
        assert np.median(off) < 1e-7 and np.quantile(off, 0.98) < 1e-3 and off.max() < 0.03, (name, off.max())


@given(st.lists(st.floats(0.0, 1e6), min_size=len(steady.SHARES), max_size=len(steady.SHARES)), st.floats(0.0, 1.0))
def test_a_curve_goes_through_its_values_and_never_beyond_them(values, along):
    """Between two values of a table none is above or below both."""
    found = steady.curve(values)
    for begin, rise, slope, at_end in zip(*found, strict=True):
        rest = 1.0 - along
        value = begin + along * (rise + rest * (rest * (slope - rise) - along * (at_end - rise)))
        low, high = min(begin, begin + rise), max(begin, begin + rise)
        assert low - 1e-6 <= value <= high + 1e-6


@given(
    st.floats(0.01, 100.0),
    st.lists(st.tuples(st.floats(0.0, 3.0), st.floats(0.0, 1.0)), min_size=1, max_size=3),
    st.floats(0.001, 0.999),
)
def test_a_step_of_roofs_is_read_close_to_its_kinks(most, roofs, share):
    """The longest of some times, each of which grows with the count, has kinks anywhere in the table."""

    def step(count):
        return Steps(np.maximum.reduce([1.0 + 0.0 * count, *(first + rise * count / most for first, rise in roofs)]))

    rate = share * most / step(share * most).mean
    found, state = steady.steady_state(step, rate, most)
    assert state.mean == pytest.approx(step(found).mean, rel=0.05)
    assert rate * state.mean == pytest.approx(found, rel=0.02)


@pytest.mark.parametrize("number", range(len(steady.SHARES)))
def test_tabulated_states_are_themselves(number):
    count = 7.0 * steady.SHARES[number]
    found, state = steady.steady_state(lambda n: Steps(1.0 + n * n / 50.0), count / (1.0 + count * count / 50.0), 7.0)
    assert found == pytest.approx(count, rel=1e-9, abs=1e-15)
    assert state.mean == pytest.approx(1.0 + count * count / 50.0, rel=1e-9)


@pytest.mark.parametrize("rate, count", [(1e-12, 1e-12), (2.0, 3.0), (1e9, 3.0)])
def test_a_count_stays_within_its_bounds(rate, count):
    """Nothing comes, or more than a step can ever take: the most that there may be, and the step of those."""
    found, step = steady.steady_state(lambda n: Steps(1.0 + n), rate, 3.0)
    assert found == pytest.approx(count, rel=1e-9)
    assert step.mean == pytest.approx(1.0 + count, rel=1e-9)
