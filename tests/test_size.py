"""Sizes: memory is asked for before anything runs, whatever is asked; what takes hours says so; places do not wrap."""

import math
import tracemalloc
import warnings

import numpy as np
import pytest
from test_engine import GRID
from toy import ClimbModel, StepModel

import mlsysim as ms
from mlsysim.engine import estimate, memory
from mlsysim.engine.run import Sweep
from mlsysim.search import Best, Counts, Top
from mlsysim.search.elasticity import elasticity, sobol

TRAIN = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 4096, "global_batch": 64}
LAYOUTS = {**TRAIN, "n_accelerators": 64, "schedule": "1f1b", "recompute": "none", "zero_stage": 1}
SERVE = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 2048, "output_len": 128, "tp": [1, 2]}
DRAWN = {"hardware": "h100", "global_batch": 588, "tp": [2, 7]}
RANGES = {"mem_bandwidth": (1e12, 2e12)}

#: what is asked -> the call, and the way out that its refusal names
ASKED = {
    "solve": (lambda: StepModel.solve(**GRID), "keep="),
    "quantile": (lambda: StepModel.solve(quantile=0.5, sample=5000, **DRAWN), "samples"),
    "sample": (lambda: StepModel.best("itl", sample=5000, **DRAWN), "samples"),
    "best by": (lambda: StepModel.best("itl", by=["hardware", "global_batch", "tp", "dp"], **GRID), "by="),
    "top": (lambda: StepModel.top(1000, "itl", **GRID), "k"),
    "top by": (lambda: StepModel.top(50, "itl", by=["tp", "dp"], **GRID), "k"),
    "pareto": (lambda: StepModel.pareto(["itl", "energy"], **GRID), "objectives"),
    "counts by": (lambda: StepModel.sweep([Counts(by=list(GRID))], **GRID), "by="),
    "conditions": (lambda: StepModel.sweep([Counts("tp", where=[f"tp < {i}" for i in range(999)])], **GRID), "by="),
    "several": (lambda: StepModel.sweep([Best("itl"), Top(900, "itl"), Counts()], **GRID), "k"),
    "a block": (lambda: StepModel.best("itl", block=10**9, **GRID), "block="),
    "a stage": (lambda: ClimbModel.best("itl", pp=range(1, 400), virtual_stages=range(1, 40), **DRAWN), "loops"),
    "root": (lambda: StepModel.root("mem_bandwidth", {"itl": 0.4}, **{**GRID, "hardware": "h100"}), "fewer axes"),
    "region": (
        lambda: ms.SynthesisSolver.solve(
            StepModel, target_itl=0.4, unknown="mem_bandwidth", **{**GRID, "hardware": "h100"}, devices=0
        ),
        "fewer axes",
    ),
    "elasticity": (lambda: elasticity(StepModel, "itl", None, 0.01, None, None, GRID), "inputs"),
    "sobol": (lambda: sobol(StepModel, "itl", RANGES, 1024, 0, DRAWN), "samples"),
    "layouts": (lambda: ms.ParallelismOptimizer.solve(**LAYOUTS), "layouts"),
    "layouts of a large cluster": (
        lambda: ms.ParallelismOptimizer.best("mfu", **{**LAYOUTS, "n_accelerators": 735_134_400}),
        "divisors",
    ),
    "batches": (lambda: ms.BatchingOptimizer.solve(**SERVE, max_batch=[1, 8]), "by="),
    "places": (
        lambda: ms.PlacementOptimizer.solve(
            hardware="h100", n_accelerators=8, duration_days=1, compute_utilization=0.5
        ),
        "at a time",
    ),
}


@pytest.mark.parametrize("ask, way", ASKED.values(), ids=ASKED)
def test_memory_is_asked_for_before_anything_runs(monkeypatch, ask, way):
    """With the way out in the message; nothing is evaluated before."""

    def runs(*_, **__):
        raise AssertionError("the sweep began")

    for module in ("memory", "solve"):
        monkeypatch.setattr(f"mlsysim.engine.{module}.free_memory", lambda: 4_000)
    monkeypatch.setattr(Sweep, "run", runs)
    with pytest.raises(memory.TooLarge, match="more than half of what is free") as error:
        ask()
    assert way in str(error.value) and "\n" not in str(error.value)


def test_a_large_answer_is_refused_and_a_small_one_of_the_same_grid_is_given(monkeypatch):
    """What a refusal advises helps."""
    monkeypatch.setattr("mlsysim.engine.memory.free_memory", lambda: 200_000)
    with pytest.raises(memory.TooLarge):
        StepModel.top(10_000, "itl", by="tp", **GRID)
    assert StepModel.top(3, "itl", by="tp", **GRID).found.any()
    assert StepModel.best("itl", **GRID).found


@pytest.mark.parametrize("reduction", [Best("itl", by=["tp", "dp"]), Top(40, "itl", by="dp"), Counts(by=["tp", "dp"])])
def test_what_a_reduction_says_that_it_needs_is_no_less_than_its_answer(reduction):
    from mlsysim.search.reduce import Cells

    program = StepModel.program(**GRID)
    reduction.columns(program)
    room = reduction.room(program, Cells(program, reduction.by))
    answer = StepModel.sweep([reduction], plan="plain", **GRID)[0]
    assert answer.nbytes <= room.answer <= 20 * answer.nbytes


WIDE = {
    "hardware": "h100",
    **{name: range(1, 2**13) for name in ("global_batch", "micro_batch", "tp", "pp", "dp")},
}


@pytest.mark.parametrize(
    "ask",
    [
        lambda **k: StepModel.solve(**k),
        lambda **k: StepModel.best("itl", **k),
        lambda **k: StepModel.top(3, "itl", **k),
        lambda **k: StepModel.pareto(["itl", "energy"], **k),
        lambda **k: StepModel.sweep([Counts()], **k),
        lambda **k: StepModel.root("mem_bandwidth", {"itl": 0.4}, **k),
        lambda **k: StepModel.explain(**k),
        lambda **k: ms.SensitivitySolver.solve(StepModel, output="itl", **k),
    ],
    ids=["solve", "best", "top", "pareto", "counts", "root", "explain", "sensitivity"],
)
def test_a_grid_whose_points_cannot_be_numbered_is_refused(ask):
    with pytest.raises(ValueError, match=r"1e20 points.*2\*\*63.*fewer axes.*global_batch has 8,191"):
        ask(**WIDE)


def test_an_axis_of_a_solver_counts_towards_the_points():
    """The grid itself can be numbered; with the solver's own axes it cannot."""
    program = StepModel.program(**{**WIDE, "tp": range(1, 2**10)})
    assert 2**59 < program.n_points < 2**63
    with pytest.raises(ValueError, match=r"2\*\*63"):
        program.widen("side", np.arange(64))


def test_a_call_of_more_than_an_hour_says_so(monkeypatch):
    small = {"hardware": "h100", "global_batch": 588, "tp": [2, 7]}
    asks = [
        lambda: StepModel.best("itl", **small),
        lambda: StepModel.solve(**small),
        lambda: StepModel.pareto(["itl", "energy"], **small),
        lambda: StepModel.root("mem_bandwidth", {"itl": 0.4}, **small),
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ask in asks:
            ask()
    monkeypatch.setattr(estimate, "SEARCH_OPERATION", 1e4)
    monkeypatch.setattr("mlsysim.search.bisection.PLAIN_OPERATION", 1e4)
    for ask in asks:
        with pytest.warns(estimate.LongCall, match=r"about 2 points, about [\d.e+]+ (hours|days|years): .*fewer axes"):
            ask()


def test_quantiles_sort_only_what_varies():
    """An output that depends on the samples alone is stored once, and its quantiles are found once."""
    grid = {"hardware": "h100", "global_batch": 588, "tokens": np.linspace(1e9, 2e9, 400)}
    grid["mem_capacity"] = np.linspace(1e11, 2e11, 300)
    keep = ["itl", "training_time", "feasible", "n_accelerators"]
    tracemalloc.start()
    got = StepModel.solve(keep=keep, quantile=[0.1, 0.5, 0.9], sample=100, **grid)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert got.itl.shape == (3, 400, 300) and peak < 30e6  # all points: 96 MB for each output
    small = {**grid, "tokens": [1e9, 2e9], "mem_capacity": [1e11, 1.5e11], "tp": [2, 7]}
    drawn = StepModel.solve(sample=100, **small)
    full = StepModel.solve(quantile=[0.1, 0.9], sample=100, **small)
    for name in full.data_vars:
        values = np.array(drawn[name].values)
        if "quantile" in full[name].dims:
            axis = drawn[name].dims.index("sample")
            assert (full[name].values == np.quantile(values, [0.1, 0.9], axis=axis)).all(), name
        elif values.dtype == bool:
            assert (full[name].values == values.mean(axis=-1)).all(), name


def test_factorisations_are_counted_before_they_are_listed():
    from mlsysim.optimizers.parallelism import divisors, factorisations, n_factorisations

    for n in (1, 2, 12, 97, 360, 1024, 2**4 * 3**3 * 7):
        assert divisors(n) == tuple(d for d in range(1, n + 1) if n % d == 0)
        for parts in (1, 2, 4):
            assert n_factorisations(n, parts) == len(factorisations(n, parts))
    assert len(divisors(2**53)) == 54 and math.prod(divisors(6)) == 36
    with pytest.raises(ValueError, match=r"n_accelerators=.*2\*\*53"):
        ms.ParallelismOptimizer.solve(**{**LAYOUTS, "n_accelerators": 2**54})
