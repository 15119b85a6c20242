"""Every way to evaluate a grid gives the same bits, whatever its axes, layout, blocks and threads."""

import functools
import itertools
import math
import pickle

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import example, given, settings
from toy import BASE, ClimbModel, StepModel, climb, step

from mlsysim import zoo
from mlsysim.engine import cache
from mlsysim.engine import plan as planning
from mlsysim.engine.run import Sweep
from mlsysim.schema import codes
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.variables import VARIABLES

VALUES = {
    "hardware": ["h100", "a100", "mi300x"],
    "global_batch": [7, 49, 60, 77, 98, 147, 196, 343, 539, 588, 1000],
    "micro_batch": [1, 2, 3, 7],
    "tp": [1, 2, 3, 4, 7, 14, 28, 49],
    "pp": [1, 2, 7, 11, 77],
    "dp": [1, 2, 3, 7, 11, 49, 98],
    "virtual_stages": [1, 3, 7, 11],
    "recompute": ["none", "selective", "full", "offload"],
    "sequence_parallel": [False, True],
    "n_accelerators": [1, 7, 98, 1078, 9604],
    "mem_bandwidth": [1.1e12, 3.3e12, 7.7e12],
    "tdp": [350.0, 700.0],
    "host_step_time": [0.0, 1e-5, 0.3],
}
RECORD_FIELDS = {"mem_bandwidth": "hardware", "tdp": "hardware", "host_step_time": "assume"}


@st.composite
def calls(draw, most=500):
    """Inputs as a user may give them (scalars, axes, arrays, pairs), and the same as (dims, values)."""
    names = draw(st.permutations(list(VALUES)))[: draw(st.integers(2, 7))]
    sizes: dict[str, int] = {}
    shared = {"x": draw(st.integers(1, 3)), "y": draw(st.integers(2, 3)), "config": draw(st.integers(1, 5))}
    inputs, plain, paired = {}, {}, {}

    def grows(dims, lengths):
        return {**sizes, **dict(zip(dims, lengths))}

    for name in names:
        form = draw(st.sampled_from(["scalar", "axis", "axis", "axis", "array", "points"]))
        pool = VALUES[name]
        if form == "axis":
            values = draw(st.lists(st.sampled_from(pool), min_size=1, max_size=5, unique=True))
            dims, lengths = (name,), (len(values),)
        elif form == "points":
            dims, lengths = ("config",), (shared["config"],)
        elif form == "array":
            dims = draw(st.sampled_from([("x",), ("y",), ("x", "y"), ("y", "x")]))
            lengths = tuple(shared[d] for d in dims)
        else:
            dims, lengths = (), ()
        if math.prod(grows(dims, lengths).values()) > most:
            dims, lengths, form = (), (), "scalar"
        sizes = grows(dims, lengths)
        if form != "axis":
            values = [draw(st.sampled_from(pool)) for _ in range(math.prod(lengths))]
        array = np.array(values).reshape(lengths)
        plain[name] = (dims, array)
        if form == "scalar":
            inputs[name] = values[0]
        elif form == "axis":
            inputs[name] = values if draw(st.booleans()) else array
        elif form == "array":
            inputs[name] = xr.DataArray(array, dims=dims)
        else:
            paired[name] = values
    if paired:
        inputs["points"] = pd.DataFrame(paired)
    inputs = {name: inputs[name] for name in draw(st.permutations(list(inputs)))}
    for name, value in BASE.items():
        if name not in plain:
            inputs[name], plain[name] = value, ((), np.array(value))
    return inputs, plain, sizes


@functools.cache
def device(name):
    return zoo.accelerator_record(zoo.hardware(name), codes.Precision.BF16)


def directly(kernel, plain, sizes):
    """What the kernel says when it is called as a Python function, one point at a time."""
    axes = list(sizes)
    found = []
    for index in itertools.product(*(range(n) for n in sizes.values())):
        at = dict(zip(axes, index))
        inputs = {n: v[tuple(at[d] for d in dims)].item() for n, (dims, v) in plain.items()}
        records = {
            "hardware": device(inputs.pop("hardware")),
            "assume": Assumptions(),
        }
        for field, record in RECORD_FIELDS.items():
            if field in inputs:
                records[record] = records[record]._replace(**{field: inputs.pop(field)})
        if "recompute" in inputs:
            inputs["recompute"] = codes.Recompute[inputs["recompute"].upper()]
        found.append(kernel(**records, **inputs))
    names = [n for n in found[0]._fields if getattr(found[0], n) is not None]
    arrays = {n: np.array([float(getattr(f, n)) for f in found]).reshape(tuple(sizes.values())) for n in names}
    return xr.Dataset({n: (axes, a) for n, a in arrays.items()})


def bits(dataset, names, axes):
    """The values of some outputs over `axes` (of any length), to the last bit."""
    out = []
    for name in names:
        array = dataset[name]
        values = np.asarray(array.values, dtype=float).transpose([array.dims.index(a) for a in axes if a in array.dims])
        values = np.expand_dims(values, [i for i, a in enumerate(axes) if a not in array.dims])
        out.append(np.ascontiguousarray(values).view(np.int64))
    return out


def streamed(program, names, plan="plain", threads=1, block=None, outermost=()):
    """All columns as the reductions see them, put where they belong."""
    nodes = [program.graph.as_number(program.output(n)) for n in names]
    sweep = Sweep(program, nodes, outermost, plan=plan, block=block)
    full = {n: np.full(program.shape, np.nan) for n in names}
    seen = np.zeros(program.shape, dtype=int)

    def take(state, part):
        index = part.index(np.arange(part.starts[-1]))
        where = tuple(index[a] for a in program.axes)
        for name, row in zip(names, part.columns):
            full[name][where] = row if where else row[0]
        np.add.at(seen, where, 1)

    sweep.run(take, None, threads)
    assert (seen == 1).all(), "every point once"
    return xr.Dataset({n: (tuple(program.axes), a) for n, a in full.items()}), sweep


@settings(max_examples=60)
@given(
    call=calls(),
    knobs=st.tuples(
        st.sampled_from([1, 2, 3, 8, 1024]),
        st.sampled_from([4, 16, 64, 4096]),
        st.sampled_from([2, 8, 512]),
        st.sampled_from([1, 7, 60, 1 << 17]),
        st.sampled_from([1, 3, 10]),
    ),
    block=st.sampled_from([1, 5, 64, 1 << 16]),
    threads=st.sampled_from([1, 2, 3]),
    staged=st.booleans(),
)
def test_all_plans_give_the_same_bits(interpreted, call, knobs, block, threads, staged):
    inputs, plain, sizes = call
    model, kernel = (ClimbModel, climb) if staged else (StepModel, step)
    axes = [a for a, n in sizes.items() if n > 1]
    expected = directly(kernel, plain, sizes).squeeze([a for a, n in sizes.items() if n == 1])
    names = list(expected)
    answers = {"plain": model.solve(plan="plain", **inputs)}
    chunk, tile, enough, table, stores = knobs
    with interpreted(chunk, tile, enough, table, stores):
        answers["stored"] = model.solve(plan="nest", threads=threads, **inputs)
        program = model.program(**inputs)
        outermost = sorted(axes)[: len(axes) // 3]
        answers["nest"], _ = streamed(program, names, "nest", threads, block, outermost)
        answers["plain, streamed"], _ = streamed(program, names, "plain", threads, block, outermost)
        if not staged:
            answers["generic"], _ = streamed(program, names, "generic", threads, block, outermost)
    for how, answer in answers.items():
        assert set(answer.dims) == set(axes), how
        for name, a, b in zip(names, bits(expected, names, axes), bits(answer, names, axes)):
            assert (a == b).all(), (how, name)


@settings(max_examples=8)
@given(call=calls(most=60))
def test_samples_are_an_axis_like_any_other(interpreted, call):
    inputs, *_ = call
    drawn = StepModel.solve(plan="plain", sample=5, **inputs)
    with interpreted(chunk=3, tile=16, enough=4, table=5):
        nest = StepModel.solve(plan="nest", sample=5, **inputs)
    xr.testing.assert_identical(drawn, nest)
    assert drawn.itl.dims[-1] == "sample" or "sample" not in drawn.dims
    xr.testing.assert_identical(drawn, StepModel.solve(sample=5, seed=0, **inputs))


def test_samples_come_from_their_seed():
    call = {**BASE, "tp": [2, 7], "sample": 5}
    assert (StepModel.solve(**call).itl == StepModel.solve(seed=0, **call).itl).all()
    assert (StepModel.solve(**call).itl != StepModel.solve(seed=1, **call).itl).all()
    assert StepModel.solve(**call).itl.dims == ("tp", "sample")


GRID = {
    "hardware": ["h100", "a100"],
    "global_batch": [49, 98, 147, 343, 588],
    "tp": [1, 2, 7],
    "dp": [1, 3, 7, 49],
    "micro_batch": [1, 2, 7],
    "recompute": ["none", "full"],
    "pp": [1, 7, 11],
}


def test_compiled_code_gives_the_bits_of_numpy():
    plain = ClimbModel.solve(plan="plain", **GRID)
    names = list(plain.data_vars)
    stored = ClimbModel.solve(plan="nest", **GRID)
    nest, sweep = streamed(ClimbModel.program(**GRID), names, "nest", threads=2, block=300)
    assert sweep.plan == "nest"
    for other in (stored, nest):
        for name, a, b in zip(names, bits(plain, names, plain.dims), bits(other, names, plain.dims)):
            assert (a == b).all(), name


HOSTILE = {
    "a program": "x\nopen('owned', 'w').write('run')\ndef _():\n    q = 0 #",
    "line ends": "a\r\nb\x0b\x0c\x1c\x85\u2028c",
    "quotes": '"""\'\\',
    "NUL": "\0",
    "a lone surrogate": "\ud800",
    "a comment": "# -*- coding: utf-7 -*-",
    "long": "n_0 = u(7)\n" * 1000,
    "empty": "",
    "a keyword": "lambda",
    "last in the alphabet": "zz",
}


def sources(interpreted, rows, columns, sites, picks):
    """All source that the verbs write where three dims bear these names, and what they answer."""
    texts = []

    call = {
        "global_batch": xr.DataArray([49, 98, 588], dims=rows),
        "dp": xr.DataArray([1, 3, 7, 49], dims=columns, coords={columns: picks}),
        "tp": xr.DataArray([1, 2, 7, 14], dims=sites),
        "mem_bandwidth": xr.DataArray(np.linspace(1e12, 3e12, 12).reshape(3, 4), dims=(rows, sites)),
        "virtual_stages": xr.DataArray([1, 3, 7, 11], dims=columns, coords={columns: picks}),
        "hardware": "h100",
        "plan": "nest",
    }
    with interpreted(chunk=3, tile=8, enough=2, table=5), pytest.MonkeyPatch.context() as patch:
        interpret = cache.compiled
        patch.setattr(cache, "compiled", lambda *source: texts.append(source) or interpret(*source))
        answers = [
            ClimbModel.best("itl", by=columns, **call).itl,
            ClimbModel.top(3, "itl", **call).itl,
            ClimbModel.pareto(["itl", "memory_per_device"], where=f"mem_bandwidth > {1.2e12}", **call).itl,
            ClimbModel.solve(**call).itl,
        ]
    return texts, [a.values for a in answers]


@pytest.fixture(scope="module")
def expected():
    """What is written and answered where the dims bear simple names; filled at its first use."""
    return []


def simple(interpreted, expected):
    if not expected:
        expected.extend(sources(interpreted, "rows", "columns", "sites", list("abcd")))
    return expected


@pytest.mark.parametrize("kind", HOSTILE)
def test_no_word_of_a_user_stands_in_source(interpreted, expected, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain, found = simple(interpreted, expected)
    assert len(plain) >= 4
    name = HOSTILE[kind]
    for at in range(3):
        dims = ["rows", "columns", "sites"]
        dims[at] = name
        texts, answers = sources(interpreted, *dims, [name, "b", "c", "d"])
        assert texts == plain
        for a, b in zip(found, answers):
            np.testing.assert_array_equal(a, b)
    assert not list(tmp_path.iterdir())


@given(names=st.lists(st.text(st.characters(), max_size=40), min_size=3, max_size=3, unique=True))
def test_names_of_dims_do_not_change_the_source(interpreted, expected, names):
    taken = {*ClimbModel.schema.index, *VARIABLES, "rank", "found", "point", "count", "sample", "quantile"}
    hypothesis.assume(not set(names) & taken)  # such names mean something else, and are refused
    assert sources(interpreted, *names, list("abcd"))[0] == simple(interpreted, expected)[0]


def test_the_generic_plan_is_compiled_once_for_grids_of_every_shape():
    for grid in (GRID, {**GRID, "tp": 7, "dp": [3, 11]}):
        plain = StepModel.solve(plan="plain", **grid)
        names = list(plain.data_vars)
        generic, _ = streamed(StepModel.program(**grid), names, "generic", threads=2, block=1000)
        for name, a, b in zip(names, bits(plain, names, plain.dims), bits(generic, names, plain.dims)):
            assert (a == b).all(), name


LONG = {
    "hardware": "h100",
    "global_batch": np.arange(1, 4001),
    "dp": [1, 3, 7, 11, 49, 75, 77, 98, 103],
    "micro_batch": [1, 3],
}


@pytest.fixture(scope="module")
def stored():
    """What the compiled nest stores where an axis is longer than a chunk."""
    return StepModel.solve(plan="nest", **LONG)


def test_an_axis_longer_than_a_chunk(stored):
    plain = StepModel.solve(plan="plain", **LONG)
    names = list(plain.data_vars)
    nest, sweep = streamed(StepModel.program(**LONG), names, "nest", threads=2, block=3000)
    assert len(LONG["global_batch"]) > planning.CHUNK and sweep.layout.chunks == 4
    for other in (stored, nest):
        for name, a, b in zip(names, bits(plain, names, plain.dims), bits(other, names, plain.dims)):
            assert (a == b).all(), name


def test_counting_with_divisors_that_are_no_powers_of_two(stored):
    shape = stored.limit.sel(micro_batch=1).values == codes.Limit.SHAPE
    assert (shape == (LONG["global_batch"][:, None] % np.array(LONG["dp"]) != 0)).all()


def test_order_and_form_of_the_inputs_change_nothing():
    base = StepModel.solve(**GRID)
    turned = StepModel.solve(**dict(reversed(GRID.items())))
    assert tuple(base.sizes) == tuple(GRID)
    assert tuple(turned.sizes) == tuple(reversed(GRID))
    xr.testing.assert_identical(base.drop_attrs(), turned.transpose(*base.dims)[list(base)].drop_attrs())
    for form in (np.array, tuple, pd.Series, pd.Index, lambda v: xr.DataArray(v, dims="tp")):
        other = StepModel.solve(**{**GRID, "tp": form([1, 2, 7])})
        xr.testing.assert_equal(base, other)
    for text in ({"mem_bandwidth": "3.3 TB/s"}, {"mem_bandwidth": 3.3e12}):
        xr.testing.assert_equal(StepModel.solve(**GRID, **text), StepModel.solve(**GRID, mem_bandwidth="3300 GB/s"))


def test_paired_points_are_the_diagonal_of_the_grid():
    pairs = pd.DataFrame({"tp": [1, 7, 2], "dp": [49, 3, 7], "hardware": ["a100", "h100", "h100"]})
    rest = {"global_batch": [49, 588], "micro_batch": 1}
    paired = StepModel.solve(points=pairs, **rest)
    assert dict(paired.sizes) == {"config": 3, "global_batch": 2}
    assert list(paired.tp.values) == [1, 7, 2] and paired.tp.dims == ("config",)
    full = StepModel.solve(**{**rest, "tp": [1, 2, 7], "dp": [3, 7, 49], "hardware": ["h100", "a100"]})
    for i, row in pairs.iterrows():
        cell = full.sel(tp=row.tp, dp=row.dp, hardware=row.hardware)
        for name in full.data_vars:
            assert (paired[name].isel(config=i).values == cell[name].values).all()
    again = StepModel.solve(points=[pairs[["tp"]], pairs[["dp", "hardware"]]], **rest)
    assert dict(again.sizes) == {"config": 3, "config_2": 3, "global_batch": 2}


def test_arrays_with_several_dims_run_along_them():
    field = xr.DataArray(
        [[1e12, 2e12, 3e12], [4e12, 5e12, 6e12]],
        dims=("site", "tp"),
        coords={"site": ["a", "b"], "tp": [1, 2, 7]},
    )
    result = StepModel.solve(hardware="h100", mem_bandwidth=field, tp=[1, 2, 7], global_batch=[49, 98])
    assert result.itl.dims == ("site", "tp", "global_batch") and list(result.site.values) == ["a", "b"]
    for site, tp in itertools.product("ab", [1, 2, 7]):
        one = StepModel.solve(
            hardware="h100", mem_bandwidth=field.sel(site=site, tp=tp).item(), tp=tp, global_batch=[49, 98]
        )
        assert (one.itl.values == result.itl.sel(site=site, tp=tp).values).all()


def test_single_values_are_scalar_coordinates():
    result = StepModel.solve(hardware=["h100"], global_batch=[49], tp=2, recompute="full")
    assert result.itl.dims == ()
    assert result.hardware.item() == "h100" and result.tp.item() == 2 and result.recompute.item() == "full"


def test_everything_has_a_unit_and_a_meaning():
    result = StepModel.solve(tokens="1T", **GRID)
    for name in [*result.data_vars, *result.coords]:
        if name in ("hardware",):
            continue
        assert result[name].attrs.get("units"), name
        assert result[name].attrs.get("long_name"), name
    assert list(result.limit.attrs["flag_values"]) == [int(v) for v in codes.Limit]
    assert result.limit.attrs["flag_meanings"].split() == [codes.label(v) for v in codes.Limit]
    for key in ("resolver", "version", "data", "call"):
        assert result.attrs[key]


def test_an_output_that_ignores_an_axis_is_broadcast_along_it_without_memory():
    result = StepModel.solve(**GRID)
    assert result.n_accelerators.dims == tuple(GRID)
    assert result.n_accelerators.values.strides[0] == 0
    assert result.itl.values.nbytes > 8 * np.unique(result.n_accelerators.values.strides).size


def test_an_input_that_is_also_an_output_is_a_coordinate():
    assert StepModel.solve(hardware="h100", global_batch=49, n_accelerators=[1, 2]).n_accelerators.dims == (
        "n_accelerators",
    )
    assert StepModel.solve(hardware="h100", global_batch=49, tp=[1, 2]).n_accelerators.dims == ("tp",)
    best = StepModel.best("energy", hardware="h100", global_batch=49, tp=2, n_accelerators=[1, 2, 4])
    assert best.n_accelerators.item() == 2 and best.found


def test_progress_ends_at_the_number_of_points(interpreted):
    for plan in ("plain", "nest"):
        told = []
        with interpreted():
            StepModel.best(
                "itl",
                plan=plan,
                block=64,
                threads=2,
                progress=lambda *done, told=told: told.append(done),
                **GRID,
            )
        n = math.prod(map(len, GRID.values()))
        assert told[-1] == (n, n) and [d for d, _ in told] == sorted(d for d, _ in told)
    assert len(told) > 3


def test_an_error_or_an_interrupt_ends_a_sweep_at_once(interpreted):
    for error in (RuntimeError, KeyboardInterrupt):
        calls_ = []

        def fail(done, total, calls_=calls_, error=error):
            calls_.append(done)
            if len(calls_) == 2:
                raise error

        with interpreted(chunk=4, tile=8, enough=2), pytest.raises(error):
            StepModel.best("itl", plan="nest", block=8, threads=2, progress=fail, **GRID)
        assert len(calls_) < 20


def test_a_reduction_of_few_columns_over_many_points_needs_little_memory():
    """Nothing depends on the long axes: neither tables nor blocks may be as long as the grid."""
    import tracemalloc

    long = {"tokens": np.arange(1.0, 5001.0), "mem_bandwidth": np.linspace(1e12, 2e12, 500)}
    tracemalloc.start()
    best = StepModel.best("n_accelerators", False, hardware="h100", global_batch=49, mem_capacity=1e12, **long)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert best.found and best.attrs["points"] == 2_500_000 and peak < 20e6


def test_threads_from_the_environment(monkeypatch):
    monkeypatch.setenv("MLSYSIM_THREADS", "two")
    with pytest.raises(ValueError, match=r"MLSYSIM_THREADS='two'.*whole number"):
        StepModel.best("itl", **GRID)
    monkeypatch.setenv("MLSYSIM_THREADS", "1")
    assert StepModel.best("itl", **GRID).found


def test_a_result_that_does_not_fit_is_refused_with_the_ways_out(monkeypatch):
    monkeypatch.setattr("mlsysim.engine.solve.free_memory", lambda: 10_000)
    with pytest.raises(ValueError, match=r"keep=.*best, top, pareto.*store"):
        StepModel.solve(**GRID)
    assert StepModel.solve(keep=["n_accelerators"], **GRID).n_accelerators.size == math.prod(map(len, GRID.values()))


def test_keep_stores_what_is_named():
    """And whether each point works: a number alone would pass for one that does."""
    assert list(StepModel.solve(keep=["itl", "limit"], **GRID)) == ["itl", "limit", "feasible"]
    assert list(StepModel.solve(keep="itl", **GRID)) == ["itl", "feasible", "limit"]


@example(sizes=(3, 2050, 2, 1), order=("a0", "a3", "a1", "a2"), cut=2, chunk=1024, step_=3)
@given(
    sizes=st.tuples(*(st.integers(1, 12),) * 4),
    order=st.permutations(["a0", "a1", "a2", "a3"]),
    cut=st.integers(0, 4),
    chunk=st.integers(1, 14),
    step_=st.integers(1, 7),
)
def test_layouts_cover_the_grid_once(sizes, order, cut, chunk, step_):
    grid = dict(zip(["a0", "a1", "a2", "a3"], sizes))
    outer, tile = tuple(order[:cut]), tuple(order[cut:])
    layout = planning.Layout(outer, tile, grid, min(chunk, grid[tile[-1]]) if tile else 1)
    seen = np.zeros(sizes, dtype=int)
    for lo in range(0, layout.n_tiles, step_):
        hi = min(lo + step_, layout.n_tiles)
        tiles = np.arange(lo, hi)
        starts = layout.starts(tiles)
        assert layout.points_before(hi) - layout.points_before(lo) == starts[-1]
        assert (np.diff(starts) <= layout.tile_points).all()
        index = layout.index(tiles, starts, np.arange(starts[-1]))
        np.add.at(seen, tuple(index[a] for a in grid), 1)
    assert (seen == 1).all()


def test_a_result_of_many_axes_displays_few_values():
    """NumPy prints six values along every axis, half a million of them here: what a user does first would take 10 s."""
    axes = {
        "hardware": ["h100", "a100"],
        "global_batch": np.arange(49, 49 * 8, 49),
        "micro_batch": range(1, 8),
        "tp": range(1, 8),
        "pp": range(1, 8),
        "dp": range(1, 8),
        "virtual_stages": range(1, 8),
        "mem_bandwidth": np.linspace(1e12, 9e12, 7),
    }
    result = StepModel.solve(keep=["n_accelerators", "bottleneck"], mem_capacity=1e11, **axes)
    result = result.assign(itl=result.n_accelerators * 2.0)
    assert result.itl.ndim == 8 and result.itl.size > 1.5e6
    printed = itertools.count()
    below = result.where(result.n_accelerators < 100)
    fifth = result.isel(pp=[0, 1, 2], dp=slice(5)).fillna(0.0).transpose(..., "hardware")
    several = xr.concat([result.itl, below.itl], "again")
    for shown in (
        result,
        result.n_accelerators,
        result.itl,
        result.bottleneck.isel(tp=[0, 1, 2]),
        below,
        below.itl,
        fifth,
        fifth.itl,
        several,
        several.clip(1.0, 50.0),
    ):
        for display in (repr, lambda shown: shown._repr_html_()):
            with np.printoptions(formatter={"all": lambda value: str(next(printed))}):
                text = display(shown)
            assert "n_accelerators" in text or "bottleneck" in text or "itl" in text
    assert 0 < next(printed) < 20_000


def test_arrays_that_print_at_once_are_arrays():
    result = StepModel.solve(**GRID)
    again = pickle.loads(pickle.dumps(result))
    assert again.identical(result) and result.copy(deep=True).identical(result)
    assert type(result.itl.values) is np.ndarray
    assert float(result.itl.max()) == result.itl.values.max()
    assert len(result.to_dataframe()) == result.itl.size
    small = StepModel.solve(hardware="h100", global_batch=[49, 98], tp=[2, 7])
    assert repr(small.itl.values) in repr(small.itl)
