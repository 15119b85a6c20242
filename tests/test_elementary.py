"""Exponentials, logarithms and powers: near the truth, and the same bits by every road."""

import decimal
import itertools
import math

import hypothesis
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlsysim.engine import arrays, cache
from mlsysim.engine.arrays import FUNCTIONS
from mlsysim.engine.elementary import NAMES, NUMBERS
from mlsysim.engine.graph import Graph, reached
from mlsysim.engine.interpret import evaluate
from mlsysim.engine.nest import Writer
from mlsysim.engine.plan import Layout
from mlsysim.engine.point import Lines

decimal.getcontext().prec = 60
D = decimal.Decimal
#: largest relative error
TOLD = {"exp": 1.5e-16, "expm1": 4e-16, "log": 2.2e-16, "log1p": 2.2e-16, "pow": 1e-15}
SPECIAL = [s * v for v in (0.0, 5e-324, 1e-310, 1e-20, 0.5, 1.0, 2.0, 3.0, 2.5, 700.0, 709.8, 746.0) for s in (1, -1)]
SPECIAL += [2.0**52, -(2.0**53), 2.0**53 + 2, 1e19, -1e25, 1e308, -1e308, math.inf, -math.inf, math.nan]
SPECIAL += [1.0 - 2.0**-53, 1.0 + 2.0**-52, 1.09, 1.29, 1.54, 1.84, math.sqrt(0.5), math.sqrt(2.0)]


def exact(op, x, y=None):
    """The function of decimals, to some fifty digits."""
    x = D(x)
    if op == "pow":
        return (D(y) * x.ln()).exp()
    if abs(x) < D("1e-10"):
        series = {"expm1": (1, 1 / D(2), 1 / D(6), 1 / D(24), 1 / D(120)), "log1p": (1, -1 / D(2), 1 / D(3), -1 / D(4))}
        if op in series:
            return sum(c * x ** (k + 1) for k, c in enumerate(series[op]))
    return {"exp": lambda: x.exp(), "expm1": lambda: x.exp() - 1, "log": x.ln, "log1p": lambda: (1 + x).ln()}[op]()


def near(op, *args):
    found, expected = NUMBERS[op](*args), exact(op, *args)
    assert abs(D(found) - expected) <= abs(expected) * D(TOLD[op]) + D(5e-324), (op, args)


@given(x=st.floats(-708.0, 709.7))
@example(0.34657359027997264)
@example(-0.35)
def test_exponentials(x):
    near("exp", x)
    near("expm1", x)


@given(x=st.floats(5e-324, 1.7e308) | st.floats(0.4, 3.0) | st.floats(1.0 - 1e-9, 1.0 + 1e-9))
@example(5e-324)
def test_logarithms(x):
    near("log", x)
    near("log1p", x)


@given(x=st.floats(-1.0 + 2.0**-53, 1.0) | st.floats(-1e-5, 1e-5))
def test_logarithms_of_almost_one(x):
    near("log1p", x)


@given(x=st.floats(1e-300, 1e300) | st.floats(0.4, 3.0), exponent=st.floats(-700.0, 700.0))
def test_powers(x, exponent):
    y = exponent / math.log(x) if abs(math.log(x)) > 1e-15 else exponent
    hypothesis.assume(abs(y * math.log(x)) < 708.0)
    near("pow", x, y)


@given(base=st.integers(-30, 30), exponent=st.integers(0, 40))
def test_whole_powers_are_exact(base, exponent):
    if abs(base**exponent) < 2**53:
        assert NUMBERS["pow"](float(base), float(exponent)) == base**exponent


def columns(op):
    """Special arguments and random ones, some thousands."""
    random = np.random.default_rng(len(op))
    one = np.array(SPECIAL)
    if op == "pow":
        x, y = map(np.ravel, np.meshgrid(one, one))
        wide = np.exp(random.uniform(-600, 600, 20_000))
        return np.concatenate([x, wide, -wide]), np.concatenate(
            [y, random.uniform(-3, 3, 20_000), np.arange(20_000) % 7]
        )
    return (np.concatenate([one, random.uniform(-800, 800, 20_000), np.exp(random.uniform(-700, 700, 20_000))]),)


@pytest.mark.parametrize("op", NAMES)
def test_special_cases_are_those_of_numpy(op):
    with np.errstate(all="ignore"):
        args = [a[: len(SPECIAL) ** len(columns(op))] for a in columns(op)]
        found, expected = FUNCTIONS[op](*args), getattr(np, NAMES[op].__name__)(*args)
    np.testing.assert_allclose(found, expected, rtol=1e-15)
    finite = ~np.isnan(expected)
    assert np.array_equal(np.signbit(found[finite]), np.signbit(expected[finite]))


def same(a, b):
    """Equal to the last bit; any NaN is like another."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    some = ~(np.isnan(a) & np.isnan(b))
    return np.array_equal(a[some].view(np.int64), b[some].view(np.int64))


@pytest.mark.parametrize("op", NAMES)
def test_numbers_arrays_and_compiled_loops_give_the_same_bits(op, monkeypatch):
    args = columns(op)
    with np.errstate(all="ignore"):
        steps = NAMES[op](*args)
        assert same(steps, [NUMBERS[op](*values) for values in zip(*(a.tolist() for a in args))])
        loop = arrays._loop(NAMES[op].__name__, len(args))
        out = np.empty(len(steps))
        loop(out, *args)
        assert same(steps, out)
        for many, often in ((1, 1 << 60), (1 << 60, 1), (1 << 60, 1 << 60)):  # with the compiled loop, and without
            monkeypatch.setattr(arrays, "MANY", many)
            monkeypatch.setattr(arrays, "OFTEN", often)
            assert same(steps, FUNCTIONS[op](*args))
        assert same(steps[:9], FUNCTIONS[op](*(a[:9] for a in args)))


def test_nests_and_lines_give_the_same_bits():
    """What a compiler makes of all functions in one loop, fused with products and sums around them."""
    graph = Graph()
    x, y = graph.leaf("x"), graph.leaf("y")
    sums = [np.exp(x * y + 1.0), np.log(x * x + y), np.log1p(x * y), np.expm1(x * 0.1 - y), (x * x) ** (y + 0.3)]
    wanted = [sums[0] * x + y, sums[1] * y - x, *sums[2:]]
    wanted.append(sum(itertools.starmap(lambda k, node: node * (k + 1.0) + x, enumerate(sums)), y))
    nodes = [n for n in reached(wanted) if n.op not in ("leaf", "const")]
    random = np.random.default_rng(7)
    a, b = random.uniform(0.0, 30.0, 1000), random.uniform(0.0, 8.0, 1000)

    lane = frozenset({"point"})
    dims = {n.index: lane if n.op != "const" else frozenset() for n in reached(wanted)}
    source = Writer(Layout((), ("point",), {"point": 1 << 30}, 512), nodes, [x, y], dims, wanted).write()
    nest = cache.compiled(
        source.text, "uint64(int64, int64, int64[::1], int64[::1], float64[::1], float64[::1], float64[:, ::1])"
    )
    out = np.empty((len(wanted), 1000))
    nest(0, 2, np.array([1000]), np.array([0, 1000]), np.concatenate([a, b]), np.zeros(source.workspace), out)

    point = Lines(nodes, {x.index, y.index}).function([x, y], wanted)
    lines = np.array([point(values) for values in zip(a.tolist(), b.tolist())]).T
    plain = evaluate(reached(wanted), {x.index: a, y.index: b}, wanted)
    for row, listed, node in zip(out, lines, wanted):
        assert same(row, listed) and same(row, plain[node.index])
