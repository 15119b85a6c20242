"""Nodes that do the same to other values: evaluated side by side they give what each gives alone, to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mlsysim as ms
from mlsysim.engine import interpret, memo, split
from mlsysim.engine.graph import Graph, reached
from mlsysim.engine.interpret import Steps

AXES = 2
VALUES = {
    "x": np.array([[0.5], [2.0], [-0.0], [np.inf], [np.nan]]),
    "y": np.array([[1.5, 3.0, 0.0, -7.0]]),
}


def both(outputs):
    """Values of some nodes, each evaluated alone and all of them side by side; and the steps that the latter takes."""
    nodes = reached(outputs)
    leaves = [n for n in nodes if n.op == "leaf"]
    found = []
    for dims in (None, AXES):
        steps = Steps(nodes, {n.index for n in leaves}, outputs, dims)
        values = steps.take({n.index: VALUES[n.payload] for n in leaves})
        found.append([np.broadcast_to(values[n.index], (5, 4)) for n in outputs])
    return (*found, len(steps.steps))


def same(alone, together):
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other, equal_nan=True)
        numbers = ~np.isnan(one.astype(float))
        assert np.array_equal(np.signbit(one.astype(float)[numbers]), np.signbit(other.astype(float)[numbers]))


def equation(x, y, count):
    """Constants, shared nodes, minima in both orders, a choice."""
    load = count * x
    full = np.minimum(load + y, 3.0)
    return np.where(full > load, np.maximum(y, load) / (load + 1.5), np.exp(full) - 0.25 * y * load)


def test_an_equation_at_many_values_takes_as_many_steps_as_at_few():
    steps = []
    for counts in (range(2, 6), range(2, 18)):
        graph = Graph()
        x, y = graph.leaf("x"), graph.leaf("y")
        alone, together, n = both([graph.lift(equation(x, y, float(count))) for count in counts])
        same(alone, together)
        steps.append(n - len(counts))  # each of what is wanted is picked
    assert steps[0] == steps[1]


OPERATIONS = [np.add, np.subtract, np.multiply, np.divide, np.minimum, np.maximum, np.less, np.logical_and]


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 99), st.integers(0, 99)), min_size=3, max_size=60))
def test_whatever_is_put_side_by_side_has_the_same_bits(drawn):
    """Random operations on all that there is so far, of which many are alike by chance."""
    graph = Graph()
    made = [graph.leaf("x"), graph.leaf("y"), *map(graph.constant, (0.0, -0.0, 1.0, 2.0, 3.0, -1.5))]
    for operation, a, b in drawn:
        made.append(OPERATIONS[operation](made[a % len(made)], made[b % len(made)]))
    same(*both(made[8:])[:2])


def test_small_tables_are_evaluated_side_by_side(monkeypatch):
    """A server is tabulated at some loads in far fewer steps than nodes; with larger tables each node is for itself."""
    taken = []
    take = interpret.Steps.take

    def counted(self, given):
        taken.append(len(self.steps))
        return take(self, given)

    monkeypatch.setattr(interpret.Steps, "take", counted)
    asked = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 512, "output_len": 128, "max_batch": [8, 16, 24]}
    found = []
    for most in (1 << 13, 0):
        monkeypatch.setattr(split, "TOGETHER", most)
        memo.forget()
        taken.clear()
        best = ms.ContinuousBatchingModel.best("itl", arrival_rate=np.linspace(0.1, 9.0, 64), plan="nest", **asked)
        found.append((taken[0], float(best.itl)))  # the tables come first
    assert found[0][0] < 0.5 * found[1][0] and found[0][1] == pytest.approx(found[1][1], rel=0)
