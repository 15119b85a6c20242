"""Long tables whose points are of few kinds: bound by kind, answered as if every point had rows of its own."""

from unittest import mock

import numpy as np
import pandas as pd
import pytest
from random_points import table

import mlsysim as ms
from mlsysim.engine import kinds
from mlsysim.engine.graph import Graph, reached
from mlsysim.engine.kinds import Kinds, told_apart
from mlsysim.engine.run import Sweep
from mlsysim.engine.tables import computed_again
from mlsysim.resolver import Model
from mlsysim.search import Best
from mlsysim.search.near import nearest

#: values that stand for any: some are far from the usual
pytestmark = pytest.mark.filterwarnings("ignore:.*far from the usual")

#: of a table: so many that missing data are looked for in all places together, as of kinds (`engine.holes.MOST`)
POINTS = 3 * 600
MODELS = [name for name, resolver in ms.RESOLVERS.items() if isinstance(resolver, Model)]
DEVICES = ["h100", "a100", "h200", "mi300x"]


def by_kind():
    """Tables of a dozen points are told apart."""
    return mock.patch.multiple(kinds, LEAST=2, SHARE=1, EACH=1)


def one_by_one():
    return mock.patch.object(kinds, "LEAST", 1 << 60)


def same(by_kind, expected):
    """Equal in all but words; where data are missing, at least what the points give that are looked at together.

    Defaults are told once a kind, and of several data that are missing another may be named.  Missing data of so many points
    are looked for in all places together, those of kinds in each: no output may be left out that the points have.
    """
    words = dict.fromkeys(("assumed", "omitted"), "")
    if "omitted" not in expected.attrs:
        return by_kind.assign_attrs(words).identical(expected.assign_attrs(words))
    shared = list(expected.data_vars)
    return set(shared) <= set(by_kind.data_vars) and by_kind[shared].drop_attrs().equals(expected[shared].drop_attrs())


def named(drawn, n):
    """A table of texts and numbers, its rows repeated so that kinds are fewer than points."""
    found = {}
    for name, column in drawn.items():
        keys = [
            getattr(v, "origin", v) for v in np.asarray(column, dtype=object).tolist()
        ]  # of a row of one's own: its base
        found[name] = [keys[i % len(keys)] for i in range(n)] if isinstance(keys[0], str) else (keys * n)[:n]
    return found


@pytest.mark.parametrize("name", MODELS)
def test_the_outputs_are_those_of_the_points_one_by_one(name):
    resolver, rng = ms.RESOLVERS[name], np.random.default_rng([5, len(name)])
    done = 0
    for _ in range(30):
        points = named(table(name, rng, 3), POINTS)
        with one_by_one():
            try:
                expected = resolver.solve(points=points, plan="plain")
            except (TypeError, ValueError):
                continue
        with by_kind():
            for plan in ("plain", "auto"):
                assert same(resolver.solve(points=points, plan=plan), expected), points
        done += 1
        if done == 3:
            break
    assert done


def training(n, seed=1):
    rng = np.random.default_rng(seed)
    columns = {
        "tp": (1, 2, 4, 8),
        "pp": (1, 2, 3),
        "dp": (1, 5, 16),
        "global_batch": (64, 480, 1024),
        "seq_len": (512, 4096),
    }
    return {
        "hardware": np.array(DEVICES)[rng.integers(0, 4, n)],
        "model": np.array(["llama3_1_8b", "mixtral_8x7b"])[rng.integers(0, 2, n)],
        **{name: rng.choice(values, n) for name, values in columns.items()},
    }


def bills(n, seed=2):
    rng = np.random.default_rng(seed)
    return {
        "hardware": np.array(DEVICES)[rng.integers(0, 4, n)],
        "region": np.array(["usa", "germany", "france"])[rng.integers(0, 3, n)],
        "n_accelerators": rng.integers(1, 2000, n),
    }


@pytest.mark.parametrize("plan", ["plain", "nest", "generic"])
@pytest.mark.parametrize(
    "further", [{"duration": 1e6}, {"duration": [1e6, 3e6]}, {"duration": np.geomspace(1e4, 1e8, 700)}]
)
def test_every_plan_reads_the_kinds(plan, further):
    points, (by,) = pd.DataFrame(bills(300)), further
    ask = {
        "best": lambda m: m.best("tco", points=points, plan=plan, **further),
        "where": lambda m: m.top(
            5, "tco", points=points, where="hardware != 'h100' and n_accelerators > 1", plan=plan, **further
        ),
        "by": lambda m: m.best(
            "tco", by="config" if len(np.atleast_1d(further[by])) == 1 else by, points=points, plan=plan, **further
        ),
    }
    for question, one in ask.items():
        with one_by_one():
            expected = one(ms.EconomicsModel)
        with by_kind(), mock.patch("mlsysim.engine.run.TABLE", 200):
            assert same(one(ms.EconomicsModel), expected), question


@pytest.mark.parametrize("further", [{"duration": 1e6}, {"duration": [1e6, 3e6]}])
def test_stored_outputs_are_the_same_from_the_nest(further):
    points = pd.DataFrame(bills(300))
    with one_by_one():
        expected = ms.EconomicsModel.solve(points=points, plan="plain", **further)
    with by_kind(), mock.patch("mlsysim.engine.run.TABLE", 200):
        assert same(ms.EconomicsModel.solve(points=points, plan="nest", **further), expected)


def test_the_rows_are_as_few_as_the_kinds():
    with by_kind():
        program = ms.EconomicsModel.program(points=bills(3000), duration=1e6)
        with mock.patch("mlsysim.engine.run.TABLE", 200):
            sweep = Sweep(program, Best("tco").columns(program), plan="nest")
    leaves = [leaf for name, leaf in program.binder.leaves.items() if "." in name]
    assert max(leaf.values.size for leaf in leaves) == 12
    of_kinds = [sweep.tables[n.index].size for n in sweep.inputs if n.index in sweep.by_kind]
    assert of_kinds
    assert max(of_kinds) <= 12
    assert sum(v.size > 1000 for v in sweep.tables.values()) == 1  # the column of numbers, and no more


def test_texts_categories_and_arrays_are_told_apart():
    listed = training(100)
    with one_by_one():
        expected = ms.DistributedModel.best("step_time", points=listed)
    frame = pd.DataFrame(listed)
    for points in (
        listed,
        frame,
        frame.astype({"hardware": "category", "model": object}),
        frame.astype({"hardware": object, "model": "category"}),
        {k: list(v) for k, v in listed.items()},
    ):
        with by_kind():
            assert ms.DistributedModel.program(points=points).kinds is not None
            assert same(ms.DistributedModel.best("step_time", points=points), expected)


def test_what_a_kind_does_not_settle_is_left_to_the_points():
    """Fields of rows point by point, rows of one's own, missing labels, and draws."""
    points = training(50)
    own = ms.Hardware("h100", name="mine", mem_bandwidth="5 TB/s")
    for more, sample in (
        ({"mem_bandwidth": np.linspace(1e12, 4e12, 50)}, {}),
        ({"hardware": [own, "h100"] * 25}, {}),
        ({}, {"sample": 4}),
    ):
        with one_by_one():
            expected = ms.DistributedModel.solve(points={**points, **more}, keep=["step_time"], **sample)
        with by_kind():
            assert ms.DistributedModel.program(points={**points, **more}, **sample).kinds is None
            assert same(ms.DistributedModel.solve(points={**points, **more}, keep=["step_time"], **sample), expected)
    for wrong in (None, float("nan"), "h1000"):
        for how in (by_kind, one_by_one):
            with how(), pytest.raises(ValueError, match=r"hardware|h1000"):
                ms.DistributedModel.solve(points={**points, "hardware": ["h100"] * 49 + [wrong]})


def test_other_axes_and_a_second_table_stand_beside_it():
    second = {"seq_len": [512, 1024, 4096], "micro_batch": [1, 2, 4]}
    first = {k: v for k, v in training(40).items() if k != "seq_len"}
    with one_by_one():
        expected = ms.DistributedModel.solve(points=[first, second], recompute=["none", "full"])
    with by_kind():
        found = ms.DistributedModel.solve(points=[first, second], recompute=["none", "full"])
    assert same(found, expected)


def test_questions_that_move_an_input_answer_the_same():
    points = bills(40)
    with one_by_one():
        expected = ms.EconomicsModel.root("duration", {"tco": 1e6}, points=points)
    with by_kind():
        assert same(ms.EconomicsModel.root("duration", {"tco": 1e6}, points=points), expected)


def test_the_coordinates_of_an_answer_are_its_own():
    points = training(50)
    for how in (by_kind, one_by_one):
        with how():
            answer = ms.DistributedModel.solve(points=points, keep=["step_time"])
        before = answer.copy(deep=True)
        held = points["tp"].copy()
        points["tp"][:] = 1
        assert answer.identical(before)
        points["tp"][:] = held


def test_many_kinds_and_short_tables_are_left_alone():
    n = 5000
    few = {"hardware": ["h100", "a100"] * (n // 2)}
    assert isinstance(told_apart(few, ["hardware"], [], "config"), Kinds)
    assert told_apart({"hardware": few["hardware"][:100]}, ["hardware"], [], "config") is None
    assert told_apart({"hardware": [f"h{i // 2}" for i in range(n)]}, ["hardware"], [], "config") is None
    assert told_apart(few, [], [], "config") is None
    found = told_apart({"a": ["x", "y"] * 2500, "b": ["u"] * 2500 + ["v"] * 2500}, ["a", "b"], [], "config")
    assert [(found.rows["a"][k], found.rows["b"][k]) for k in found.codes[[0, 1, 2500, 4999]]] == [
        ("x", "u"),
        ("y", "u"),
        ("x", "v"),
        ("y", "v"),
    ]
    assert len(found.rows["a"]) == 4


def test_numbers_of_few_values_tell_kinds_apart():
    n, rng = 60_000, np.random.default_rng(6)
    table = {
        "tp": rng.choice([1, 2, 8], n),
        "dp": rng.integers(1, 30_000, n),
        "pp": rng.choice(np.array([-3, 40], dtype=np.int8), n),
        "mfu": rng.choice([0.25, 0.5, -0.0], n),
        "seq_len": np.full(n, 10**15),
        "far": rng.choice([5, 10**18], n),
    }
    found = told_apart(table, [], list(table), "config")
    assert set(found.rows) == {*table} - {"dp"} and len(found.rows["tp"]) == 3 * 2 * 3 * 2
    for name, values in found.rows.items():
        assert values.dtype == table[name].dtype
        assert np.array_equal(values[found.codes], table[name])
    for odd in ([0.5, np.nan], ["a", "b"], [None, 1], [True, False]):  # no numbers, or not for all
        assert told_apart({"a": np.array(odd * (n // 2))}, [], ["a"], "config") is None
    assert told_apart({"a": [1, 2] * (n // 2)}, [], ["a"], "config") is None  # a list is looked at one by one


def test_numbers_that_turn_out_to_be_many_do_not_tell_kinds_apart():
    n = 300_000
    rare = np.zeros(n)
    rare[np.random.default_rng(7).permutation(n)[:6000]] = np.arange(6000)  # hardly any of these is seen
    hardware = np.array(DEVICES)[np.arange(n) % 4]
    assert told_apart({"a": rare}, [], ["a"], "config") is None
    found = told_apart({"hardware": hardware, "a": rare}, ["hardware"], ["a"], "config")
    assert set(found.rows) == {"hardware"} and len(found.rows["hardware"]) == 4
    regular = np.arange(n) % 192  # every 64th shows three of them
    found = told_apart({"a": regular}, [], ["a"], "config")
    assert len(found.rows["a"]) == 192


@pytest.mark.parametrize("wrong", [0, -1, 1.5])
def test_a_wrong_number_of_a_kind_is_refused_as_that_of_a_point(wrong):
    table = training(20_000)
    table["tp"] = np.where(np.arange(20_000) == 7, wrong, table["tp"])
    with one_by_one(), pytest.raises(ValueError) as expected:
        ms.DistributedModel.solve(points=table)
    with pytest.raises(ValueError) as found:
        ms.DistributedModel.solve(points=table)
    assert str(found.value) == str(expected.value)


def test_conditions_and_near_misses_read_numbers_of_kinds():
    table = pd.DataFrame(training(30_000))
    for where in ("tp * pp > 4", "tp > 2 and hardware != 'h100'", "dp == 5"):
        found = ms.DistributedModel.top(5, "step_time", points=table, where=where)
        with one_by_one():
            expected = ms.DistributedModel.top(5, "step_time", points=table, where=where)
        assert same(found, expected)
    missed = nearest(ms.DistributedModel, "step_time < 1e-9", points=table)
    with one_by_one():
        assert str(missed) == str(nearest(ms.DistributedModel, "step_time < 1e-9", points=table))
    assert missed.configuration["hardware"] in DEVICES and missed.configuration["tp"] in (1, 2, 4, 8)


def test_what_is_cheap_is_computed_of_what_is_read_anyway():
    g = Graph()
    a, b, c, x = map(g.leaf, "abcx")
    product, twice, root, shared = a * b, c + a, np.sqrt(a), b * c
    body = [k * x + k for k in (a, b, product, twice, root)]
    of_kind = frozenset(n.index for n in (a, b, c, product, twice, root, shared))
    points = [n for n in reached(body) if n.index not in of_kind and n.op != "leaf"]
    # the product, of a and b; not the root, nor what needs one more value for itself alone
    assert computed_again(points, body, of_kind) == {product.index}
    body += [shared * x, (c * a) * x]  # two that need c
    of_kind |= {(c * a).index}
    points = [n for n in reached(body) if n.index not in of_kind and n.op != "leaf"]
    assert computed_again(points, body, of_kind) == {n.index for n in (product, twice, shared, c * a)}
    assert computed_again(points, [*body, product], frozenset()) == set()
