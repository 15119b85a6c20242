"""Layouts: the cheapest one, found without trying all."""

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from toy import StepModel

from mlsysim.engine import interpret
from mlsysim.engine.plan import LOOP, Layout, choose, cost, gathered
from mlsysim.engine.run import Sweep
from mlsysim.search import Best, Counts


def problem(seed, axes):
    rng = random.Random(seed)
    sizes = {f"a{i}": rng.choice([2, 2, 3, 5, 17, 64, 300, 5000]) for i in range(axes)}
    names = list(sizes)
    drawn = {
        frozenset(rng.sample(names, rng.randint(0, axes))): float(rng.randint(1, 60)) for _ in range(rng.randint(1, 40))
    }
    tile = tuple(rng.sample(names, rng.randint(1, min(3, axes))))
    outer = tuple(a for a in rng.sample(names, axes) if a not in tile)
    return Layout(outer, tile, sizes, min(1024, sizes[tile[-1]])), drawn


def price(layout, loads):
    time, loops = cost(layout, loads)
    return time + loops * LOOP


def tried(layout, loads):
    """The least price of all ways to choose the loops at which anything is computed."""
    n = len(layout.outer)
    for kept in itertools.product((False, True), repeat=n):
        stops = [i for i, keep in enumerate(kept) if keep] + [n]
        yield price(replace(layout, levels=tuple(next(s for s in stops if s >= i) for i in range(n + 1))), loads)


@pytest.mark.parametrize("seed", range(40))
def test_no_way_to_gather_loops_is_cheaper(seed):
    layout, loads = problem(seed, 1 + seed % 9)
    found, best = gathered(layout, loads)
    assert found == pytest.approx(price(best, loads), rel=1e-12)
    assert found == pytest.approx(min(tried(layout, loads)), rel=1e-12)


def test_many_axes_are_laid_out_too():
    """Two to the power of forty ways to gather loops: nobody tries them."""
    rng = random.Random(7)
    sizes = {f"a{i}": 2 for i in range(40)}
    loads = {frozenset(rng.sample(list(sizes), rng.randint(1, 12))): 5.0 for _ in range(200)}
    layout = choose(sizes, loads)
    assert sorted((*layout.outer, *layout.tile)) == sorted(sizes)
    assert len(layout.levels) == len(layout.outer) + 1
    assert all(level >= i for i, level in enumerate(layout.levels))


def test_the_plain_plan_computes_what_an_outer_loop_moves_and_no_more(monkeypatch):
    """A node over two of three outer axes is computed once for their values, not again for every value of the third."""
    axes = {
        "tp": [1, 2, 4, 7],
        "pp": [1, 7, 11],
        "micro_batch": [1, 2, 7],
        "global_batch": np.arange(7, 7 * 40, 7),
        "recompute": ["none", "selective", "full"],
    }
    calls = 0
    take = interpret.Steps.take

    def counted(self, values):
        nonlocal calls
        calls += sum(operation is not None for _, operation, *_ in self.steps)
        return take(self, values)

    def ask():
        return StepModel.sweep([Best("itl"), Counts()], plan="plain", hardware="h100", **axes)

    whole = ask()
    monkeypatch.setattr("mlsysim.engine.run.PLAIN_TILE", 40)
    monkeypatch.setattr("mlsysim.engine.run.TABLE", 8)
    program = StepModel.program(hardware="h100", **axes)
    sweep = Sweep(program, [program.output("itl")], plan="plain")
    monkeypatch.setattr(interpret.Steps, "take", counted)
    plain = sweep.scratch()
    for tile in range(sweep.layout.n_tiles):
        plain.rows(tile)
    assert sweep.layout.n_tiles == program.n_points // 39
    assert calls < 0.7 * len(sweep.body) * sweep.layout.n_tiles
    for one, other in zip(ask(), whole):
        assert one.identical(other)
