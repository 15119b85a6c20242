"""Reductions over a stream against brute force over the stored grid."""

import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from test_engine import GRID, calls
from toy import BASE, BillModel, ClimbModel, StepModel

from mlsysim.models.tail_latency import TailLatencyModel
from mlsysim.resolver import compose
from mlsysim.schema import codes
from mlsysim.search import Best, Counts, Pareto, Top
from mlsysim.search.thin import Plane, thin

#: Order in which ties are resolved: the signature, then record fields, then axes of the user's own.
SIGNATURE = [
    "hardware",
    "assume",
    "global_batch",
    "micro_batch",
    "tp",
    "pp",
    "dp",
    "virtual_stages",
    "recompute",
    "sequence_parallel",
    "n_accelerators",
    "tokens",
    "mem_bandwidth",
    "tdp",
    "host_step_time",
]


def in_order(axes):
    return sorted(axes, key=lambda a: (SIGNATURE.index(a) if a in SIGNATURE else len(SIGNATURE), a))


def grid_of(model, inputs):
    """The stored grid as numpy arrays, axes in the order that breaks ties."""
    full = model.solve(plan="plain", **inputs)
    ranked = in_order(full.dims)
    return full.transpose(*ranked), ranked


def winner(key, ok):
    """Lowest position of the smallest accepted key, or None."""
    key = np.where(ok & (key == key), key, np.inf).reshape(-1)
    if not len(key) or not np.isfinite(key.min()):
        return None
    return int(np.argmin(key))


def places(dataset, full, ranked, reduced):
    """Positions along the reduced axes that a search reports."""
    found = {}
    for axis in reduced:
        labels = full[axis].values
        reported = dataset[axis].values
        found[axis] = np.array(
            [list(labels).index(v) if v == v and v in labels else -1 for v in reported.reshape(-1)]
        ).reshape(reported.shape)
    return found


KNOBS = {
    "block": st.sampled_from([None, 1, 7, 100, 4096]),
    "threads": st.sampled_from([1, 2, 3]),
    "plan": st.sampled_from(["plain", "nest", "generic", "auto"]),
    "cut": st.sampled_from(
        [
            (1024, 4096, 512, 1 << 17, 10, 16.0),
            (3, 16, 4, 5, 1, 0.0),
            (8, 64, 16, 1, 3, 0.0),
            (2, 8, 2, 40, 10, 2.0),
            (4, 8, 1, 1, 10, 1e9),
        ]
    ),
}


@settings(max_examples=60)
@given(
    call=calls(most=400),
    objective=st.sampled_from(["itl", "tokens_per_s", "energy", "memory_per_device", "n_accelerators"]),
    maximize=st.sampled_from([None, True, False]),
    n_by=st.integers(0, 3),
    limited=st.booleans(),
    **KNOBS,
)
def test_best_is_the_masked_argmin(interpreted, call, objective, maximize, n_by, limited, block, threads, plan, cut):
    inputs, _, _ = call
    full, ranked = grid_of(StepModel, inputs)
    if objective == "n_accelerators" and "n_accelerators" in full.coords:
        objective = "energy"
    by = ranked[::-1][:n_by]
    where, accepted = None, full.feasible.values
    if limited:
        middle = float(np.median(full.memory_per_device.values))
        where = f"memory_per_device <= {middle!r}"
        accepted = accepted & (full.memory_per_device.values <= middle)
    upward = maximize if maximize is not None else objective == "tokens_per_s"
    with interpreted(*cut):
        got = StepModel.best(
            objective,
            upward if objective == "n_accelerators" else maximize,
            by=by,
            where=where,
            plan=plan,
            threads=threads,
            block=block,
            **inputs,
        )
    assert got.attrs["points"] == full.itl.size and got.attrs["accepted"] == accepted.sum()
    key = full[objective].values * (-1.0 if upward else 1.0)
    sizes = [full.sizes[b] for b in by]
    assert tuple(got.found.dims) == tuple(b for b in by)
    for cell in itertools.product(*map(range, sizes)):
        at = tuple(cell[by.index(a)] if a in by else slice(None) for a in ranked)
        here = full.isel(dict(zip(by, cell)))
        best = winner(key[at], accepted[at])
        one = got.isel(dict(zip(by, cell)))
        assert bool(one.found) == (best is not None)
        reduced = [a for a in ranked if a not in by]
        if best is None:
            assert np.isnan(one[objective]) and not one.feasible
            continue
        index = dict(zip(reduced, np.unravel_index(best, [full.sizes[a] for a in reduced])))
        for name in full.data_vars:
            assert one[name].item() == here[name].isel(index).item(), name
        for axis in reduced:
            assert one[axis].item() == full[axis].values[index[axis]]


@settings(max_examples=25)
@given(
    call=calls(most=300),
    k=st.sampled_from([1, 2, 5, 50, 1000]),
    n_by=st.integers(0, 2),
    ties=st.sampled_from([(), ("energy",), ("memory_per_device", "itl")]),
    **KNOBS,
)
def test_top_is_the_head_of_the_sorted_grid(interpreted, call, k, n_by, ties, block, threads, plan, cut):
    inputs, _, _ = call
    full, ranked = grid_of(StepModel, inputs)
    by = ranked[:n_by]
    objective = "n_accelerators" if "n_accelerators" not in full.coords else "memory_per_device"
    with interpreted(*cut):
        got = StepModel.top(k, objective, False, by=by, ties=ties, plan=plan, threads=threads, block=block, **inputs)
    cell_points = full.itl.size // max(1, math.prod(full.sizes[b] for b in by))
    assert got.sizes["rank"] == min(k, cell_points)
    for cell in itertools.product(*(range(full.sizes[b]) for b in by)):
        here = full.isel(dict(zip(by, cell)))
        ok = here.feasible.values.reshape(-1)
        columns = [here[n].values.reshape(-1) for n in (objective, *ties)]
        order = np.lexsort((np.arange(ok.size), *columns[::-1]))
        order = order[ok[order]][:k]
        one = got.isel(dict(zip(by, cell)))
        assert int(one.found.sum()) == len(order)
        assert one.found.values[: len(order)].all()
        for name in full.data_vars:
            values = np.broadcast_to(here[name].values, here.itl.shape).reshape(-1)[order]
            assert (one[name].values[: len(order)] == values).all(), name


def brute_front(points):
    """Indices of the non-dominated rows (all minimized), the first of equals, with their number."""
    kept = {}
    for i, row in enumerate(points):
        dominated = np.any(np.all(points <= row, axis=1) & np.any(points < row, axis=1))
        if not dominated:
            first, number = kept.get(tuple(row), (i, 0))
            kept[tuple(row)] = (first, number + 1)
    return [kept[v] for v in sorted(kept)]


@settings(max_examples=40)
@given(
    call=calls(most=400),
    minimize=st.lists(st.sampled_from(["itl", "energy", "memory_per_device"]), max_size=2, unique=True),
    maximize=st.sampled_from([["tokens_per_s"], ["n_accelerators"], ["tokens_per_s", "n_accelerators"]]),
    limited=st.booleans(),
    **KNOBS,
)
def test_pareto_is_the_brute_force_front(interpreted, call, minimize, maximize, limited, block, threads, plan, cut):
    inputs, _, _ = call
    full, ranked = grid_of(StepModel, inputs)
    if "n_accelerators" in full.coords:
        maximize = ["tokens_per_s"]
    where = "micro_batch <= 2" if limited else None
    micro = full.micro_batch if "micro_batch" in full.coords else 1
    ok = (full.feasible & (micro <= 2) if limited else full.feasible).transpose(*ranked).values.reshape(-1)
    with interpreted(*cut):
        got = StepModel.pareto(minimize, maximize, where=where, plan=plan, threads=threads, block=block, **inputs)
    columns = [full[n].values.reshape(-1) for n in minimize] + [-full[n].values.reshape(-1) for n in maximize]
    points = np.stack(columns, axis=1)
    index = np.flatnonzero(ok)
    front = brute_front(points[index])
    assert got.sizes["point"] == len(front)
    assert got["count"].values.tolist() == [n for _, n in front]
    assert got.attrs["accepted"] == ok.sum()
    first = [index[i] for i, _ in front]
    for name in full.data_vars:
        assert (got[name].values == np.broadcast_to(full[name].values, full.itl.shape).reshape(-1)[first]).all(), name
    for axis, at in zip(ranked, np.unravel_index(np.array(first, dtype=int), full.itl.shape or (1,))):
        assert (got[axis].values == full[axis].values[at]).all()


def wide_front(n=900):
    """Paired devices on a noisy trade-off of speed against power, crossed with axes: a long front."""
    random = np.random.default_rng(7)
    bandwidth = random.uniform(1e11, 9e11, n)
    return {
        "points": {
            "mem_bandwidth": bandwidth,
            "tdp": np.round(bandwidth / 1e9 * random.uniform(1.0, 1.1, n)),
        },
        "hardware": ["h100", "h200"],
        "micro_batch": [1, 2, 3],
        "tp": [2, 4],
        "global_batch": 588,
    }


def test_a_long_front_agrees_with_brute_force():
    """Enough points for several merges, the compiled filter and the pivots; an input may be an objective."""
    call = wide_front()
    full, _ = grid_of(StepModel, call)
    names = ["itl", "tdp", "memory_per_device"]
    for block, threads in ((None, 1), (5000, 2)):
        got = StepModel.pareto(names, block=block, threads=threads, **call)
        ok = full.feasible.values.reshape(-1)
        points = np.stack([full[n].broadcast_like(full.itl).transpose(*full.itl.dims).values for n in names], axis=-1)
        unique, number = np.unique(points.reshape(-1, 3)[ok], axis=0, return_counts=True)
        kept = []
        for i, row in enumerate(unique):
            below = np.all(unique[: i + 1] <= row, axis=1)
            kept.append(below.sum() == 1)
        assert got.sizes["point"] == sum(kept) > 200 and (number[kept] > 1).any()
        found = np.stack([got[n].values for n in names], axis=1)
        assert (found == unique[kept]).all() and (got["count"].values == number[kept]).all()


def test_epsilon_thins_a_front_and_covers_it():
    call = wide_front(800)
    names = ["itl", "tdp", "memory_per_device"]
    full = StepModel.pareto(names, **call)
    for epsilon in (0.01, 0.05, 0.3):
        thin = StepModel.pareto(names, epsilon=epsilon, **call)
        assert thin.sizes["point"] < full.sizes["point"] and thin.attrs["front"] == full.sizes["point"]
        a, b = (np.stack([front[n].values for n in names], axis=1) for front in (full, thin))
        assert {tuple(r) for r in b} <= {tuple(r) for r in a}
        assert all(np.any(np.all(b <= row * (1 + epsilon), axis=1)) for row in a)


@settings(max_examples=200)
@given(
    rows=st.integers(1, 6).flatmap(
        lambda d: st.lists(
            st.lists(st.sampled_from([-4.0, -1.5, -1.0, 0.0, 1.0, 1.01, 1.1, 2.0, 2.5, 40.0]), min_size=d, max_size=d),
            min_size=1,
            max_size=60,
        )
    ),
    epsilon=st.sampled_from([1e-9, 0.01, 0.1, 0.5]),
)
def test_a_thinned_front_is_what_comparing_each_with_each_leaves(rows, epsilon):
    """Whatever the number of objectives, and for any sorted rows."""
    points = np.unique(np.array(rows), axis=0)
    kept = []
    for i, row in enumerate(points):
        if not any(np.all(points[k] <= row + epsilon * np.abs(row)) for k in kept):
            kept.append(i)
    assert thin(points, epsilon).tolist() == kept


def test_the_longest_front_is_thinned_without_comparing_each_with_each():
    """Comparisons are counted where the second objective is looked up: some tens for each member, not thousands."""

    class Counted(float):
        n = 0

        def __le__(self, other):
            Counted.n += 1
            return float(self) <= float(other)

        def __lt__(self, other):
            Counted.n += 1
            return float(self) < float(other)

        __ge__, __gt__ = (lambda self, other: not self < other), (lambda self, other: not self <= other)

    n = 2000
    angle = np.linspace(0.1, 1.4, n)
    plane = Plane()
    for a in angle:  # each is kept: the longest staircase there can be
        point = [Counted(np.sin(a)), Counted(np.cos(a))]
        assert not plane.reaches(point)
        plane.add(point)
    assert len(plane.first) == n and Counted.n < 40 * n


@pytest.mark.parametrize("threads, block", [(1, None), (2, 50), (1, 50)])
def test_a_front_that_is_too_long_is_refused_with_how_far_it_came(monkeypatch, threads, block):
    """Whatever the threads; one that is just long enough is given."""
    call = {**wide_front(300), "micro_batch": 1, "hardware": "h100"}
    size = StepModel.pareto(["itl", "tdp"], **call).sizes["point"]
    monkeypatch.setattr("mlsysim.search.pareto.MOST", size)
    assert StepModel.pareto(["itl", "tdp"], threads=threads, block=block, **call).sizes["point"] == size
    monkeypatch.setattr("mlsysim.search.pareto.MOST", size - 1)
    for epsilon in (None, 0.5):
        with pytest.raises(
            ValueError, match=r"more than .* front of \d+ of all 600 points: .*fewer objectives.*where="
        ):
            StepModel.pareto(["itl", "tdp"], epsilon=epsilon, threads=threads, block=block, **call)


@settings(max_examples=25)
@given(call=calls(most=400), n_by=st.integers(0, 3), **KNOBS)
def test_counts_are_brute_force_counts(interpreted, call, n_by, block, threads, plan, cut):
    inputs, _, _ = call
    full, ranked = grid_of(StepModel, inputs)
    by = ranked[::-1][:n_by]
    clauses = ["itl < 0.2", "tokens_per_s > 100 or tp > 2"]
    tp = full.tp if "tp" in full.coords else 1
    checks = [full.itl < 0.2, (full.tokens_per_s > 100) | (tp > 2)]
    checks = [c.transpose(*ranked).values for c in checks]
    with interpreted(*cut):
        got = StepModel.sweep([Counts(by=by, where=clauses)], plan=plan, threads=threads, block=block, **inputs)[
            0
        ].configurations
    expected = np.where(full.limit.values > 0, full.limit.values, 0).astype(int)
    expected = np.where((full.limit.values == 0) & ~checks[0], 100, expected)
    expected = np.where((full.limit.values == 0) & checks[0] & ~checks[1], 101, expected)
    codes_ = [*(int(v) for v in codes.Limit), 100, 101]
    assert list(got.limit.values[-2:]) == clauses
    for cell in itertools.product(*(range(full.sizes[b]) for b in by)):
        at = tuple(cell[by.index(a)] if a in by else slice(None) for a in ranked)
        assert got.isel(dict(zip(by, cell))).values.tolist() == [int((expected[at] == c).sum()) for c in codes_]


WHERE = {
    "itl < 0.3": lambda d: d.itl < 0.3,
    "hardware == 'h100'": lambda d: d.hardware == "h100",
    "hardware in ('h100', 'a100') and tp != 2": lambda d: d.hardware.isin(["h100", "a100"]) & (d.tp != 2),
    "recompute not in ['full']": lambda d: d.recompute != "full",
    "not (tp == 1 or dp > 3)": lambda d: ~((d.tp == 1) | (d.dp > 3)),
    "1 < tp <= 7": lambda d: (d.tp > 1) & (d.tp <= 7),
    "tp * dp <= n_accelerators / pp": lambda d: d.tp * d.dp <= d.n_accelerators / d.pp,
    "memory_per_device / mem_capacity < 0.5": lambda d: d.memory_per_device < 0.5 * 8.5520809984e10,
    "-itl > -0.3": lambda d: d.itl < 0.3,
    "itl < '300 ms'": lambda d: d.itl < 0.3,
    "bottleneck == 'memory'": lambda d: d.bottleneck == codes.Bottleneck.MEMORY,
    "limit in ('none', 'shape')": lambda d: d.limit.isin([0, 1]),
    "tp in (1, 7)": lambda d: d.tp.isin([1, 7]),
    "True": lambda d: d.tp > 0,
}


@pytest.mark.parametrize("text", WHERE)
def test_where_means_what_it_says(text):
    grid = {**GRID, "hardware": ["h100"], "pp": [1, 7]}
    full, ranked = grid_of(StepModel, grid)
    grid["hardware"] = ["h100", "a100"] if "hardware" in text else "h100"
    full, ranked = grid_of(StepModel, grid)
    check = (WHERE[text](full) & (full.itl > 0)).transpose(*ranked).values
    ok = full.feasible.values & check
    got = StepModel.best("itl", where=text, **grid)
    best = winner(full.itl.values, ok)
    assert got.attrs["accepted"] == ok.sum()
    assert bool(got.found) == (best is not None)
    if best is not None:
        assert got.itl.item() == full.itl.values.reshape(-1)[best]


def test_where_reports_what_each_clause_rejected():
    full, _ = grid_of(StepModel, GRID)
    got = StepModel.best("itl", where=["itl < 0.2", "tp > 1 and hardware != 'a100'"], **GRID)
    told = dict(part.rsplit(": ", 1) for part in got.attrs["rejected"].split(", "))
    ok = full.feasible
    fast, wide, device = full.itl < 0.2, full.tp > 1, full.hardware != "a100"
    assert int(told["itl < 0.2"]) == int((ok & ~fast).sum())
    assert int(told["tp > 1"]) == int((ok & fast & ~wide).sum())
    assert int(told["hardware != 'a100'"]) == int((ok & fast & wide & ~device).sum())
    for limit in (codes.Limit.SHAPE, codes.Limit.MEMORY):
        assert int(told[codes.label(limit)]) == int((full.limit == limit).sum())
    assert sum(map(int, told.values())) + got.attrs["accepted"] == got.attrs["points"]


@pytest.mark.parametrize("plan", ["plain", "nest"])
@pytest.mark.parametrize("seed", range(6))
def test_the_best_of_few_is_not_the_first_of_them(plan, seed):
    """Candidates of a tile that do not all equal the best, and many that do."""
    rng = np.random.default_rng(seed)
    for n, values in ((3, 1), (4, 1), (40, 3), (600, 2)):
        duration = rng.permutation(np.arange(1, n + 1)).astype(float)
        grid = {
            "duration": duration,
            "energy": 1e6 * rng.permutation(np.arange(1, values + 1)),
            "n_accelerators": 8,
        }
        found = BillModel.best("tco", plan=plan, block=64, **grid)
        whole = BillModel.solve(**grid)
        assert float(found.tco) == float(whole.tco.where(whole.feasible).min())


def test_ties_are_resolved_along_the_signature_whatever_the_order_of_the_call():
    grid = {
        "hardware": "h100",
        "global_batch": [588, 1176],
        "micro_batch": [1, 2],
        "tp": [4, 2],
        "dp": [7, 1, 3],
        "virtual_stages": [1, 7, 11],
    }
    expected = StepModel.best("n_accelerators", False, **grid)
    assert expected.virtual_stages.item() == 1 and expected.global_batch.item() == 588
    for names in itertools.islice(itertools.permutations(grid), 0, 720, 37):
        got = StepModel.best("n_accelerators", False, **{n: grid[n] for n in names})
        assert {c: got[c].item() for c in got.coords} == {c: expected[c].item() for c in expected.coords}
    by_memory = StepModel.best("n_accelerators", False, ties=["memory_per_device"], **grid)
    assert by_memory.memory_per_device.item() <= expected.memory_per_device.item()
    assert by_memory.n_accelerators.item() == expected.n_accelerators.item()


def test_nothing_feasible_is_an_answer():
    grid = {
        "hardware": ["h100", "a100"],
        "global_batch": [49, 51],
        "dp": [5, 25],
        "recompute": ["none", "full"],
    }
    for plan in ("plain", "generic"):
        none = StepModel.best("itl", plan=plan, **grid)
        assert not none.found and np.isnan(none.itl) and np.isnan(none.global_batch) and none.hardware.item() == ""
        assert none.attrs["accepted"] == 0 and none.attrs["points"] == 16
    some = StepModel.best("itl", by="tp", tp=[2, 3], hardware="h100", global_batch=49)
    assert (
        some.found.values.tolist() == [True, False]
        and np.isnan(some.itl.values[1])
        and some.tp.values.tolist() == [2, 3]
    )
    assert not StepModel.top(3, "itl", **grid).found.any()
    assert StepModel.pareto("itl", **grid).sizes["point"] == 0


def test_what_is_not_found_says_so_in_its_limit():
    """Neither "none", as if it worked, nor the limit of some configuration that nobody asked for."""
    grid = {"hardware": "h100", "global_batch": 49, "tp": [2, 3], "dp": [1, 7]}
    for where, by in ((None, "tp"), ("itl < 0", "tp"), ("itl < 0", ())):
        best = StepModel.best("itl", by=by, where=where, **grid)
        top = StepModel.top(3, "itl", by=by, where=where, **grid)
        for got in (best, top):
            label = dict(zip(got.limit.attrs["flag_values"].tolist(), got.limit.attrs["flag_meanings"].split()))
            told = [label[code] for code in got.limit.values.reshape(-1).tolist()]
            assert told == ["none" if found else "not_found" for found in got.found.values.reshape(-1)]
            assert not got.feasible.values[~got.found.values].any() and not got.found.all()
    counts = StepModel.sweep([Counts(by="tp")], **grid)[0].configurations
    assert counts.sel(limit="not_found").values.tolist() == [0, 0]  # of no configuration


def test_an_unstable_configuration_never_wins():
    """Infinite times are data, and the best is a number."""
    got = TailLatencyModel.best(
        "avg_wait_time", by="arrival_rate", service_latency=1.0, replicas=[2, 7], arrival_rate=[9.0, 1.0]
    )
    assert got.found.values.tolist() == [False, True] and np.isfinite(got.avg_wait_time.values[1])


def test_several_reductions_in_one_pass(interpreted):
    reductions = [
        Best("itl", by="hardware"),
        Top(3, "energy"),
        Pareto(["itl", "energy"]),
        Counts(by="tp"),
        Best("tokens_per_s", where="tp == 2"),
    ]
    with interpreted(table=100):
        together = StepModel.sweep(reductions, plan="nest", block=500, threads=2, **GRID)
    alone = [StepModel.sweep([r], plan="plain", **GRID)[0] for r in reductions]
    for a, b in zip(together, alone):
        xr.testing.assert_identical(a, b)


def test_paired_points_can_be_searched():
    pairs = pd.DataFrame({"tp": [1, 7, 2, 2], "dp": [49, 3, 7, 1]})
    got = StepModel.best("itl", by="hardware", hardware=["h100", "a100"], global_batch=[147, 588], points=pairs)
    full = StepModel.solve(hardware=["h100", "a100"], global_batch=[147, 588], points=pairs)
    for device in ("h100", "a100"):
        here = full.sel(hardware=device)
        assert got.itl.sel(hardware=device).item() == here.itl.where(here.feasible).min().item()
        at = int(got.sel(hardware=device)["config"])
        assert got.sel(hardware=device).tp.item() == pairs.tp[at] and got.sel(hardware=device).dp.item() == pairs.dp[at]


def test_labels_may_be_times_and_dims_of_any_name():
    times = xr.DataArray([1e12, 2e12], dims="time", coords={"time": pd.date_range("2024-01-01", periods=2)})
    grid = {"hardware": "h100", "global_batch": 98, "tp": [2, 7]}
    best = StepModel.best("itl", mem_bandwidth=times, **grid)
    assert best.time.values == times.time.values[1] and best.mem_bandwidth.item() == 2e12
    none = StepModel.best("itl", where="itl < 0", mem_bandwidth=times, **grid)
    assert np.isnat(none.time.values) and not none.found
    for word in ("NaT", "soon"):
        with pytest.raises(ValueError, match=f"time holds times, which '{word}' is not"):
            StepModel.best("itl", where=f"time > '{word}'", mem_bandwidth=times, **grid)
    for dim, ask in (
        ("rank", lambda **k: StepModel.top(2, "itl", **k)),
        ("point", lambda **k: StepModel.pareto("itl", **k)),
    ):
        with pytest.raises(ValueError, match=f"axis '{dim}'.*rename"):
            ask(mem_bandwidth=xr.DataArray([1e12, 2e12], dims=dim), **grid)


def test_a_front_can_be_fed_to_the_next_resolver():
    front = StepModel.pareto(["itl", "n_accelerators"], tokens=1e9, **GRID)
    bill = BillModel.solve(duration=front.training_time, energy=front.energy)
    assert bill.tco.dims == ("point",)
    assert (bill.tco.values == front.training_time.values * 0.0005 + front.energy.values * 2e-8).all()


# --- root ------------------------------------------------------------------------------------------------


def test_root_meets_its_target():
    grid = {"hardware": ["h100", "a100"], "global_batch": [49, 588], "tp": [1, 2, 7], "micro_batch": 7}
    got = StepModel.root("mem_bandwidth", {"itl": "400 ms"}, **grid)
    assert got.found.dims == ("hardware", "global_batch", "tp")
    for cell in itertools.product(*(range(n) for n in got.found.shape)):
        one = got.isel(dict(zip(got.found.dims, cell)))
        again = {
            "hardware": one.hardware.item(),
            "global_batch": one.global_batch.item(),
            "tp": one.tp.item(),
            "micro_batch": 7,
        }
        if one.found:
            assert StepModel.solve(mem_bandwidth=one.mem_bandwidth.item(), **again).itl.item() == pytest.approx(
                0.4, rel=1e-9
            )
        else:
            fastest = StepModel.solve(mem_bandwidth=1e27, **again).itl.item()
            assert np.isnan(one.mem_bandwidth) and one.reached.item() == pytest.approx(min(fastest, one.reached.item()))
            assert fastest > 0.4 or StepModel.solve(mem_bandwidth="1e-18 byte/s", **again).itl.item() < 0.4
    assert got.found.any() and not got.found.all()


def test_root_of_a_count_is_the_boundary():
    counts = np.arange(1, 2001)
    times = StepModel.solve(hardware="h100", micro_batch=counts, global_batch=2000).memory_per_device.values
    target = float(times[700] + 1e3)
    got = StepModel.root(
        "micro_batch", {"memory_per_device": target}, bounds=(1, 2000), hardware="h100", global_batch=2000
    )
    assert got.found and got.micro_batch.item() == counts[times <= target].max() == 701


# --- composition -----------------------------------------------------------------------------------------

RUN = compose(StepModel, BillModel)
SMALL = {"hardware": "h100", "global_batch": [49, 98], "tp": [2, 4, 3], "dp": [1, 7]}


def test_a_composition_is_its_stages_one_after_the_other(interpreted):
    first = StepModel.solve(tokens=1e9, **SMALL)
    for plan in ("plain", "nest"):
        with interpreted(table=4):
            both = RUN.solve(tokens=1e9, plan=plan, **SMALL)
        for name in first.data_vars:
            if name not in ("feasible", "limit"):
                assert (both[name].values == first[name].values).all(), name
        second = BillModel.solve(duration=first.training_time, energy=first.energy, n_accelerators=first.n_accelerators)
        assert (both.tco.values == second.tco.values).all()
        assert (both["BillModel.energy"].values == second.energy.values).all()
        assert both["BillModel.energy"].attrs["units"] == "J"


def test_wiring_by_name_by_synonym_and_by_wish():
    wires = {(w.stage, w.input): (w.source, w.output) for w in RUN.wiring()}
    assert wires == {
        ("BillModel", "duration"): ("StepModel", "training_time"),
        ("BillModel", "energy"): ("StepModel", "energy"),
        ("BillModel", "n_accelerators"): ("StepModel", "n_accelerators"),
    }
    text = RUN.explain(tokens=1e9, **SMALL)
    assert "BillModel.duration <- StepModel.training_time" in text
    other = compose(StepModel, BillModel, wire={"duration": "itl"}).solve(**SMALL)
    third = compose(StepModel, BillModel, wire={"BillModel.duration": "itl"}).solve(**SMALL)
    assert (other.tco == other.itl * other.n_accelerators * 0.0005 + other.energy * 2e-8).all()
    xr.testing.assert_equal(other, third)


def test_what_the_user_binds_is_never_wired():
    for run in (RUN(duration="1 h"), compose(StepModel, BillModel(duration=3600.0))):
        assert ("BillModel", "duration") not in {(w.stage, w.input) for w in run.wiring()}
        got = run.solve(**SMALL)
        assert (got.tco == 3600.0 * got.n_accelerators * 0.0005 + got.energy * 2e-8).all()
    paired = RUN.solve(points={"duration": [3600.0, 7200.0], "tp": [2, 4]}, hardware="h100", global_batch=49)
    assert (paired.tco == paired.duration * paired.n_accelerators * 0.0005 + paired.energy * 2e-8).all()
    alias = RUN.solve(duration_hours=1, **SMALL)
    assert (alias.tco == got.tco).all()


def test_feasible_is_the_conjunction_and_limit_the_first_failing():
    free = StepModel.solve(**SMALL)
    tight = RUN.solve(duration="1 h", budget=20.0, **SMALL)
    poor = tight.tco > 20.0
    assert (tight.feasible == (free.feasible & ~poor)).all()
    assert (tight.limit == xr.where(free.limit > 0, free.limit, xr.where(poor, int(codes.Limit.BUDGET), 0))).all()
    assert set(np.unique(tight.limit)) == {0, int(codes.Limit.SHAPE), int(codes.Limit.BUDGET)}


def test_collisions_are_prefixed_and_can_be_searched():
    assert "BillModel.energy" in RUN.outputs
    best = RUN.best("BillModel.energy", where="BillModel.energy > 1 and tco < 1e9", tokens=1e9, **SMALL)
    full = RUN.solve(tokens=1e9, **SMALL)
    assert best["BillModel.energy"].item() == full["BillModel.energy"].where(full.feasible).min().item()
    assert list(RUN.schema.loc["BillModel.energy", ["role", "unit"]]) == ["output", "J"]


def test_a_composition_that_lacks_its_wire_says_so():
    with pytest.raises(TypeError, match=r"BillModel needs duration.*StepModel gives training_time.*tokens="):
        RUN.solve(**SMALL)
    with pytest.raises(ValueError, match=r"no stage before BillModel gives 'stepp_time'.*known:.*itl"):
        compose(StepModel, BillModel, wire={"duration": "stepp_time"}).solve(**SMALL)
    with pytest.raises(ValueError, match=r"no stage after the first has an input 'durattion'; nearest: .*duration"):
        compose(StepModel, BillModel, wire={"durattion": "itl"})
    with pytest.raises(ValueError, match="StepModel occurs twice"):
        compose(StepModel, StepModel)
    with pytest.raises(TypeError, match="3 is no resolver"):
        compose(StepModel, 3)
    with pytest.raises(ValueError, match="at least one"):
        compose()


def test_costs_follow_the_devices():
    got = RUN.solve(duration="1 day", hardware="h100", global_batch=5880, tp=2, dp=[1, 2, 4])
    assert (np.diff(got.tco.values) > 0).all()


# --- missing data ----------------------------------------------------------------------------------------

PART = {
    "peak_flops": 1e15,
    "mem_bandwidth": 2e12,
    "global_batch": [49, 98],
    "tp": [2, 7],
}  # no capacity, no power


def test_what_nobody_named_is_omitted_with_the_reason():
    got = StepModel.solve(**PART)
    assert "itl" in got and "energy" not in got and "feasible" not in got
    assert "energy: needs tdp" in got.attrs["omitted"] and "give tdp=..." in got.attrs["omitted"]
    assert "training_time: an optional input was not given" in got.attrs["omitted"]
    assert "energy" in StepModel.solve(tdp=700, **PART) and "feasible" in StepModel.solve(mem_capacity="80 GB", **PART)


@pytest.mark.parametrize("more", [{}, {"precision": "bf16"}, {"precision": ["bf16", "fp8"]}])
def test_a_datum_of_no_row_is_told_with_the_row_to_name(more):
    """And not as that of a number format, which has no such datum."""
    told = StepModel.solve(**PART, **more).attrs["omitted"]
    assert "is not known for this input: give tdp=..., or hardware=..." in told
    with pytest.raises(ValueError, match=r"energy needs tdp .* for this input: .*or hardware=\.\.\."):
        StepModel.solve(keep="energy", **PART, **more)


@pytest.mark.parametrize(
    "ask, name, field",
    [
        (lambda: StepModel.solve(keep="energy", **PART), "energy", "tdp"),
        (lambda: StepModel.best("energy", mem_capacity=1e11, **PART), "energy", "tdp"),
        (lambda: StepModel.best("itl", **PART), "feasible", "mem_capacity"),
        (lambda: StepModel.best("itl", ties=["energy"], mem_capacity=1e11, **PART), "energy", "tdp"),
        (lambda: StepModel.best("itl", where="energy < 1", mem_capacity=1e11, **PART), "energy < 1", "tdp"),
        (lambda: StepModel.pareto(["itl", "energy"], mem_capacity=1e11, **PART), "energy", "tdp"),
        (lambda: StepModel.sweep([Counts()], **PART), "limit", "mem_capacity"),
        (lambda: StepModel.sweep([Counts(where="tdp > 3")], mem_capacity=1e11, **PART), "tdp > 3", "tdp"),
    ],
)
def test_what_was_asked_for_raises(ask, name, field):
    with pytest.raises(ValueError, match=rf"{name}.* needs {field} .*give {field}=\.\.\."):
        ask()


def test_a_datum_missing_for_one_label_omits_for_all_and_names_it():
    lacking = StepModel.solve(
        hardware=["h100", "a100"],
        global_batch=49,
        points=None,
        mem_capacity=xr.DataArray([1e11, 2e11], dims="hardware", coords={"hardware": ["h100", "a100"]}),
    )
    assert lacking.feasible.dims == ("hardware",)


def test_optional_inputs_left_out():
    without = StepModel.solve(**BASE)
    assert "training_time" not in without and "optional" in without.attrs["omitted"]
    xr.testing.assert_equal(without, StepModel.solve(tokens=None, n_accelerators=None, **BASE))
    with_ = StepModel.solve(tokens="1T", **BASE)
    assert with_.training_time.item() == 1e12 / 588 * with_.itl.item()
    with pytest.raises(ValueError, match="training_time only when an optional input is given"):
        StepModel.best("training_time", **BASE)
    assert ClimbModel.best("itl", tp=[2, 7], **BASE).found
