"""Tables of points: what depends on few columns is computed once a pattern, with the bits of every point."""

from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy import StepModel

import mlsysim as ms
from mlsysim.engine import kinds, shared
from mlsysim.engine.memo import forget
from mlsysim.engine.patterns import ROOM, Gathered, Patterns, of_values, together
from mlsysim.engine.plan import Layout
from mlsysim.engine.workspace import LINE, PAGE, Workspace

#: of a column: zeros of either sign are not the same number, and a number that is none is equal to itself
VALUES = [0.0, -0.0, 1.0, 2.0, 7.0, -3.0, 0.5, 1e300, -1e300, np.inf, np.nan, 2.0**60]


def bits(values):
    return np.asarray(values, dtype=np.float64).view(np.int64)


@given(st.lists(st.sampled_from(VALUES), min_size=1, max_size=60), st.lists(st.sampled_from(VALUES[:6]), min_size=60))
def test_patterns_tell_values_apart_by_their_bits(values, others):
    columns = [np.array(values), np.array(others[: len(values)])]
    one, other = map(of_values, columns)
    both = together(one, other)
    found = [([columns[0]], one), ([columns[1]], other)] + ([] if both is None else [(columns, both)])
    for some, patterns in found:
        rows = list(zip(*(bits(c).tolist() for c in some)))
        assert len(patterns.first) == len(set(rows))
        assert [rows[i] for i in patterns.first[patterns.codes]] == rows


def test_too_many_numbers_are_not_looked_through():
    many = Patterns(np.arange(100), np.arange(100))
    assert together(many, Patterns(np.arange(100), np.arange(100))) is None and ROOM < 100


@pytest.mark.parametrize("kind", [float, bool])
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]])
def test_what_is_gathered_is_taken_in_any_order_of_dims(kind, order):
    rng = np.random.default_rng(0)
    values, codes = (rng.random((2, 5, 3)) * 2).astype(kind), rng.integers(0, 5, 11)
    gathered, whole = Gathered(values, codes, 1), values[:, codes]
    assert gathered.shape == whole.shape
    np.testing.assert_array_equal(np.asarray(gathered), whole)
    target = np.full([whole.shape[i] for i in order], np.nan)
    gathered.fill(target, order)
    np.testing.assert_array_equal(target, np.transpose(whole, order).astype(float))


def test_long_buffers_of_a_nest_neither_overlap_nor_lie_in_the_same_lines_of_the_cache():
    sizes = {"a": 3, "b": 4000}
    workspace = Workspace(Layout((), ("a", "b"), sizes, 1024))
    buffers = [workspace.buffer(inside) for inside in [("b",), ("a",), (), ("a", "b"), ("b",), ("b",)]]
    ends = [
        b.offset + workspace.capacity("b") * (4 if "a" in b.strides else 1) if "b" in b.strides else 0 for b in buffers
    ]
    assert all(end <= later.offset for end, later in zip(ends, buffers[1:]))
    assert buffers[-1].element({"a": 0, "b": 1}) == f"w[u({buffers[-1].offset}) + j_1]"
    long = [b.offset % PAGE // LINE for b in buffers if "b" in b.strides]
    assert len(set(long)) == len(long) and workspace.row(1) - workspace.row(0) >= 1024


def layouts(n, seed=3):
    rng = np.random.default_rng(seed)
    columns = {
        "tp": (1, 2, 4, 7),
        "pp": (1, 7, 11),
        "dp": (1, 2, 5),
        "micro_batch": (1, 2, 7),
        "virtual_stages": (1, 7),
    }
    return pd.DataFrame(
        {name: rng.choice(values, n) for name, values in columns.items()} | {"tokens": rng.random(n) * 1e9}
    )


#: (most kinds, what the table names besides): with and without kinds of points, of numbers alone or of rows too
TABLES = [(0, None), (1 << 12, None), (1 << 12, ["h100", "a100", "v100"])]


@pytest.mark.parametrize("most, devices", TABLES, ids=str)
@pytest.mark.parametrize("plan", ["plain", "nest"])
def test_answers_are_those_of_every_point(plan, most, devices):
    table = layouts(600)
    more = {"hardware": "h100"}
    if devices is not None:
        table, more = table.assign(hardware=np.array(devices)[np.arange(600) * 7 % 3]), {}
    more |= {"global_batch": 196, "recompute": ["none", "selective", "full"]}

    def ask(least):
        forget()
        with (
            mock.patch.multiple(kinds, LEAST=2, SHARE=1, EACH=4, MOST=most),
            mock.patch.multiple(shared, LEAST=least, NODES=1),
        ):
            return [
                StepModel.best("itl", points=table, plan=plan, **more),
                StepModel.top(40, "energy", points=table, where="memory_per_device < 1e11", plan=plan, **more),
                StepModel.solve(points=table, plan=plan, **more),
            ]

    for one, other in zip(ask(2), ask(1 << 60)):
        assert one.identical(other)


def test_a_node_is_computed_at_the_patterns_of_its_columns():
    """Of 40,000 points with 216 layouts what follows from the layout is computed 216 times."""
    table = layouts(40_000).drop(columns="tokens")
    sizes = []
    take = shared.Shared.take

    def watched(self, program, values):
        found = take(self, program, values)
        sizes.extend(np.size(v.values if isinstance(v, Gathered) else v) for v in found.values())
        return found

    ask = {"hardware": "h100", "global_batch": 196, "keep": ["memory_per_device", "feasible"]}
    alone = mock.patch.object(kinds, "LEAST", 1 << 60)
    with mock.patch.object(shared.Shared, "take", watched), mock.patch.object(shared, "NODES", 1), alone:
        found = StepModel.solve(points=table, **ask)
        few = StepModel.solve(points=table[:100], **ask)
    assert max(sizes) <= 216 < len(table) == found.sizes["config"]
    assert found.isel(config=slice(100)).equals(few)


def test_what_is_kept_of_a_table_serves_others():
    """Tables of one shape share how they are evaluated; values, kinds and patterns are their own."""
    ask = {"model": "llama3_1_8b", "global_batch": 480, "seq_len": 4096}

    def table(seed, degrees):
        rng = np.random.default_rng(seed)
        names = np.array(["h100", "a100", "h200", "mi300x"])[rng.integers(0, 4, 5000)]
        return pd.DataFrame({"hardware": names, **{d: rng.choice(v, 5000) for d, v in degrees.items()}})

    degrees = {"tp": (1, 2, 4), "pp": (1, 2, 3), "dp": (1, 5, 16)}
    tables = [table(1, degrees), table(2, degrees), table(3, degrees | {"tp": (8, 2, 1), "dp": (2, 4, 8)})]
    for plan in ("plain", "nest"):
        kept = [ms.DistributedModel.best("step_time", points=t, plan=plan, **ask) for t in tables]
        for t, found in zip(tables, kept):
            forget()
            assert ms.DistributedModel.best("step_time", points=t, plan=plan, **ask).identical(found)
