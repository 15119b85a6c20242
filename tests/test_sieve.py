"""The sieve: what it leaves out could not have won, and what it counts is exact."""

import itertools
from unittest import mock

import interpreting
import numpy as np
import pytest
import xarray as xr
from toy import StepModel

import mlsysim as ms
from mlsysim.engine import cache
from mlsysim.engine.memo import forget
from mlsysim.engine.plan import Layout
from mlsysim.engine.run import Sweep
from mlsysim.engine.sieve import Sieve
from mlsysim.resolver import compose
from mlsysim.schema.codes import Limit
from mlsysim.search import Best, Counts, Pareto, Top, best
from mlsysim.search.gates import gates

#: six axes, so that the numbers of axes and of what is counted overlap; a fifth of it works
GRID = {
    "hardware": ["h100", "a100", "v100"],
    "global_batch": np.arange(7, 7 * 12, 7),
    "micro_batch": [1, 2, 7],
    "tp": [1, 2, 4, 7],
    "pp": [1, 7, 11],
    "recompute": ["none", "selective", "full"],
}
CLAUSES = [
    (),
    ("hardware != 'a100'",),
    ("energy < 20000", "hardware in ['h100', 'v100']", "tp * pp <= 28"),
    ("itl < 0",),
]
#: cut of the nest: chunk, tile, enough, table, stores, behind
CUTS = [(512, 4096, 512, 1 << 17, 8, 0.0), (4, 32, 8, 40, 2, 0.0), (3, 9, 2, 1, 8, 0.0), (8, 64, 8, 1, 8, 1e9)]


def equal(one, other):
    """The same answer, to the last bit, with the same counts."""
    xr.testing.assert_identical(one.drop_attrs(), other.drop_attrs())
    for name in ("points", "accepted", "rejected"):
        assert one.attrs.get(name) == other.attrs.get(name), name


def asked(where):
    """Searches of one pass: of one cell and of many, in the tile and outside, one and several winners, ties."""
    return [
        Best("itl", where=where),
        Best("energy", by="hardware", where=where),
        Best("memory_per_device", by=("global_batch", "recompute"), where=where, ties=("energy",)),
        Top(7, "tokens_per_s", where=where),
        Top(3, "memory_per_device", by=("tp", "global_batch"), where=where),
        Counts(where=where),
    ]


@pytest.mark.parametrize("where", CLAUSES, ids=str)
@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_a_sieved_pass_gives_what_the_plain_plan_gives(interpreted, cut, where):
    wanted = StepModel.sweep(asked(where), plan="plain", **GRID)
    assert where == ("itl < 0",) or all(0 < ds.attrs["accepted"] < ds.attrs["points"] for ds in wanted[:5])
    with interpreted(*cut):
        for block, threads in ((None, 1), (50, 2), (1, 1)):
            for one, other in zip(
                StepModel.sweep(asked(where), plan="nest", block=block, threads=threads, **GRID), wanted
            ):
                equal(one, other)


@pytest.mark.parametrize("where", CLAUSES, ids=str)
def test_compiled_it_is_the_same(where):
    wanted = StepModel.sweep(asked(where)[:4], plan="plain", **GRID)
    with mock.patch("mlsysim.engine.sieve.BEHIND", 0.0), mock.patch("mlsysim.engine.run.TABLE", 40):
        for one, other in zip(StepModel.sweep(asked(where)[:4], plan="nest", **GRID), wanted):
            equal(one, other)


@pytest.mark.parametrize("behind", [0.0, 1e9])
def test_of_the_training_model(interpreted, behind):
    """Real equations: limits of three kinds, and most of the objective is not computed where nothing works."""
    axes = {
        "model": "llama3_1_8b",
        "hardware": ["h100", "a100_sxm4_80gb", "mi300x"],
        "tp": [1, 2, 3, 8],
        "pp": [1, 2, 5],
        "dp": [1, 8, 12],
        "micro_batch": [1, 4],
        "zero_stage": [0, 3],
        "global_batch": [96, 480],
        "seq_len": 4096,
    }
    reductions = [Best("step_time"), Top(20, "mfu", where="memory_per_device < 60e9"), Counts(where="mfu > 0.1")]
    wanted = ms.DistributedModel.sweep(reductions, plan="plain", **axes)
    with interpreted(table=40, behind=behind):
        for one, other in zip(ms.DistributedModel.sweep(reductions, plan="nest", **axes), wanted):
            equal(one, other)


def test_a_composition_has_the_gates_of_all_its_models(interpreted):
    both = compose(ms.DistributedModel, ms.EconomicsModel)
    axes = {
        "model": "llama3_1_8b",
        "hardware": ["h100", "a100_sxm4_80gb"],
        "region": "usa",
        "tp": [1, 2, 3, 8],
        "pp": [1, 2, 5],
        "global_batch": [96, 480],
        "seq_len": 4096,
        "duration": 1e6,
    }
    reductions = [Best("step_time", where="mfu > 0.1"), Counts()]
    wanted = both.sweep(reductions, plan="plain", **axes)
    with interpreted(table=2):
        for one, other in zip(both.sweep(reductions, plan="nest", **axes), wanted):
            equal(one, other)


def test_gates_are_the_checks_of_the_limit_by_their_axes():
    program = StepModel.program(**GRID)
    found = gates(program, told=True)
    assert [len(gate.conditions) > 0 for gate in found] == [True, True]
    shape, memory = found
    assert {frozenset(program.dims(c)) for c in shape.conditions} >= {frozenset({"pp"}), frozenset({"tp"})}
    assert len({program.dims(c) for c in shape.conditions}) == len(shape.conditions)
    assert shape.verdict.args[2].payload == Limit.SHAPE and memory.verdict.args[2].payload == Limit.SHAPE
    assert not gates(
        ms.EconomicsModel.program(hardware="h100", region="usa", n_accelerators=[1, 2], duration=1e6), True
    )


def test_only_tiles_in_which_something_may_win_are_handed_out(interpreted):
    with interpreted(chunk=4, tile=32, enough=8, table=40):
        seen, handed = 0, 0
        evaluate = Sweep.evaluate

        def watched(self, *args):
            nonlocal seen, handed
            for block in evaluate(self, *args):
                seen, handed = seen + block.seen, handed + len(block.columns[0])
                yield block

        with mock.patch.object(Sweep, "evaluate", watched):
            found = StepModel.best("itl", plan="nest", block=100, threads=1, **GRID)
        assert seen == found.attrs["points"] and 0 < handed < seen / 3


@pytest.mark.parametrize("where", CLAUSES[:2], ids=str)
@pytest.mark.parametrize(
    "tile", [("micro_batch", "global_batch"), ("tp", "pp", "micro_batch"), ("global_batch", "tp")], ids="-".join
)
def test_rows_in_which_nothing_works_are_not_computed(interpreted, tile, where):
    """Of a tile in which few rows work only these are gone through; without leaving rows out, all of them."""

    def laid_out(sizes, loads, outermost=()):
        return Layout(tuple(a for a in sizes if a not in tile), tile, sizes, 4)

    def ask():
        calls, plain = 0, interpreting.PLAIN["select"]

        def counted(*args):
            nonlocal calls
            calls += 1
            return plain(*args)

        forget()  # what was written before
        laid = mock.patch("mlsysim.engine.run.choose", laid_out)
        with interpreted(table=40), laid, mock.patch.dict(interpreting.PLAIN, select=counted):
            return StepModel.sweep(asked(where), plan="nest", threads=1, **GRID), calls

    (found, calls), wanted = ask(), StepModel.sweep(asked(where), plan="plain", **GRID)
    with mock.patch.object(Sieve, "_closed", lambda *_: []):
        whole, more = ask()
    for one, other, plain in zip(found, whole, wanted):
        equal(one, other)
        equal(one, plain)
    assert calls < more


def test_ties_are_left_out_where_they_come_later(interpreted):
    """All of a grid equal: what comes after the first does not pass the bar."""
    axes = {**GRID, "hardware": "h100"}
    with interpreted(chunk=4, tile=32, enough=8, table=1):
        handed = 0
        evaluate = Sweep.evaluate

        def watched(self, *args):
            nonlocal handed
            for block in evaluate(self, *args):
                handed += len(block.columns[0])
                yield block

        with mock.patch.object(Sweep, "evaluate", watched):
            got = StepModel.best("n_accelerators", False, plan="nest", block=100, threads=1, **axes)
        want = StepModel.best("n_accelerators", False, plan="plain", **axes)
        equal(got, want)
        assert handed < got.attrs["points"] / 3


@pytest.mark.parametrize("k, by", [*itertools.product([2, 30, 4000], [(), "tp", ("global_batch", "hardware")])])
def test_the_best_wait_in_batches(k, by):
    wanted = StepModel.top(k, "itl", by=by, plan="plain", **GRID)
    for batch in (1, 37):
        with mock.patch.object(best, "BATCH", batch):
            equal(StepModel.top(k, "itl", by=by, plan="plain", block=64, threads=2, **GRID), wanted)


def test_a_plan_that_is_kept_serves_other_values_and_clauses():
    def ask(batches, where):
        axes = {**GRID, "global_batch": batches}
        return StepModel.best("itl", where=where, plan="nest", **axes), StepModel.best(
            "itl", where=where, plan="plain", **axes
        )

    with mock.patch("mlsysim.engine.cache.compiled", wraps=cache.compiled):
        for batches, where in (
            (GRID["global_batch"], "hardware == 'h100'"),
            (GRID["global_batch"] + 7, "hardware == 'h100'"),
            (GRID["global_batch"], "hardware == 'a100'"),
            (GRID["global_batch"][:5], "hardware == 'a100'"),
            (GRID["global_batch"], "energy < 9000"),
            (GRID["global_batch"], "energy < 4000"),
        ):
            equal(*ask(batches, where))


def test_a_front_in_the_same_pass_sees_every_point():
    reductions = [Best("itl"), Pareto(["itl", "memory_per_device"])]
    for one, other in zip(
        StepModel.sweep(reductions, plan="nest", **GRID), StepModel.sweep(reductions, plan="plain", **GRID)
    ):
        equal(one, other)
