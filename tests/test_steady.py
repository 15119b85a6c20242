"""The steady states of an open and of a closed loop: a few rounds find what many find."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

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


@pytest.fixture
def converged(monkeypatch):
    """ContinuousBatchingModel with so many rounds that more change nothing."""
    monkeypatch.setattr(
        loops, "steady_state", lambda step, rate, lines, most: steady.steady_state(step, rate, lines, most, rounds=10)
    )
    found = ms.ContinuousBatchingModel
    return Model(found.name, found.kernel, domain=found.domain, walls=found.walls)


@pytest.mark.parametrize("model", SERVERS)
def test_two_rounds_find_what_ten_find(converged, model):
    rng = np.random.default_rng(11)
    columns = loads(rng, model)
    most = ms.ContinuousBatchingModel.solve(model=model, points=pd.DataFrame(columns), keep="saturation_rate")
    columns["arrival_rate"] = rng.uniform(0.02, 0.95, N) * np.nan_to_num(
        most.saturation_rate.values, nan=1.0, posinf=1.0
    )
    asked = {"model": model, "points": pd.DataFrame(columns), "keep": ["ttft", "itl", "active_requests", "feasible"]}
    few, many = ms.ContinuousBatchingModel.solve(**asked), converged.solve(**asked)
    ok = many.feasible.values & few.feasible.values
    assert ok.mean() > 0.3
    for name in ("ttft", "itl", "active_requests"):
        off = np.abs(few[name].values[ok] / many[name].values[ok] - 1.0)
        assert np.median(off) < 1e-7, name
        assert np.quantile(off, 0.98) < 1e-3 and off.max() < 0.01, (name, off.max())


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


def test_two_rounds_are_asked_for():
    asked = []

    def step(count):
        asked.append(count)
        return Steps(1.0 + count * count)

    lines = steady.Lines((0.0, 1.0), (1.0, 2.0))
    count, found = steady.steady_state(step, 0.2, lines, 1.0)
    assert len(asked) == 2
    assert count == pytest.approx(0.2087121525, rel=2e-3)  # n = 0.2 (1 + n^2)
    assert 0.2 * found.mean == pytest.approx(count, rel=1e-12)


@pytest.mark.parametrize("rate, count", [(1e-12, 1e-12), (2.0, 3.0), (1e9, 3.0)])
def test_a_count_stays_within_its_bounds(rate, count):
    """Nothing comes, or more than a step can ever take: the most that there may be, and the step of those."""
    lines = steady.Lines((0.0, 3.0), (1.0, 4.0))
    found, step = steady.steady_state(lambda n: Steps(1.0 + n), rate, lines, 3.0)
    assert found == pytest.approx(count, rel=1e-9)
    assert step.mean == pytest.approx(1.0 + count, rel=1e-9)
