"""Layouts: the cheapest one, found without trying all."""

import itertools
import random
from dataclasses import replace

import pytest

from mlsysim.engine.plan import LOOP, Layout, choose, cost, gathered


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
