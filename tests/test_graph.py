"""Recording: the graph is the kernel, folded only where a double stays the same double."""

import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from mlsysim.engine import cache, staged
from mlsysim.engine.graph import Graph, Node, reached
from mlsysim.engine.interpret import evaluate
from mlsysim.engine.nest import Writer
from mlsysim.engine.pieces import timed_pieces
from mlsysim.engine.plan import Layout
from mlsysim.engine.tables import pack
from mlsysim.equations import privacy
from mlsysim.equations.stage import equal_pieces, stage

AXES = {"a": 3, "b": 4, "c": 5}
LEAVES = {
    "p": (("a",), [0.1, 3.0, 49.0]),
    "q": (("b",), [1.0, 7.0, 98.0, 0.3]),
    "r": (("c",), [2.0, 1e-3, 1e9, 77.0, 11.0]),
    "s": (("a", "c"), np.linspace(0.5, 60.0, 15)),
    "t": ((), 7.7),
}


@stage(outputs=2)
def split(x, y):
    """Whole part and rest, the long way."""
    whole = 0.0
    while x - (whole + 1.0) * y >= 0.0 and whole < 50.0:
        whole += 1.0
    return whole, x - whole * y


def expressions(truth=False, depth=4):
    """Random kernels over five inputs: functions of a mapping of numbers, arrays or symbols."""
    if depth == 0:
        if truth:
            return st.builds(
                lambda n, v: lambda x: x[n] > v,
                st.sampled_from(list(LEAVES)),
                st.sampled_from([0.0, 1.0, 7.0]),
            )
        return st.one_of(
            st.builds(lambda n: lambda x: x[n], st.sampled_from(list(LEAVES))),
            st.builds(lambda v: lambda x: v, st.sampled_from([0.0, 1.0, 2.0, 49.0, 0.1])),
        )
    number, condition = expressions(False, depth - 1), expressions(True, depth - 1)
    if truth:
        return st.one_of(
            expressions(True, 0),
            st.builds(lambda f, g: lambda x: f(x) < g(x), number, number),
            st.builds(lambda f, g: lambda x: f(x) == g(x), number, number),
            st.builds(lambda f, g: lambda x: np.logical_and(f(x), g(x)), condition, condition),
            st.builds(lambda f, g: lambda x: np.logical_or(f(x), g(x)), condition, condition),
            st.builds(lambda f: lambda x: np.logical_not(f(x)), condition),
        )
    return st.one_of(
        expressions(False, 0),
        st.builds(lambda f, g: lambda x: f(x) + g(x), number, number),
        st.builds(lambda f, g: lambda x: f(x) - g(x), number, number),
        st.builds(lambda f, g: lambda x: f(x) * g(x), number, number),
        st.builds(lambda f, g: lambda x: f(x) / (np.abs(g(x)) + 0.5), number, number),
        st.builds(lambda f, g: lambda x: np.floor(f(x) / (np.abs(g(x)) + 1.0)), number, number),
        st.builds(lambda f, g: lambda x: np.minimum(f(x), g(x)), number, number),
        st.builds(lambda f, g: lambda x: np.maximum(f(x), g(x)), number, number),
        st.builds(lambda f: lambda x: np.sqrt(np.abs(f(x))), number),
        st.builds(lambda f: lambda x: -f(x), number),
        st.builds(lambda f: lambda x: np.ceil(f(x)), number),
        st.builds(lambda c, f, g: lambda x: np.where(c(x), f(x), g(x)), condition, number, number),
        st.builds(lambda c, f: lambda x: c(x) * 1.0 + f(x), condition, number),
        st.builds(lambda f, g: lambda x: split(np.abs(f(x)), np.abs(g(x)) + 1.0)[1], number, number),
    )


def arrays():
    """The leaves, shaped to broadcast over all axes."""
    shaped = {}
    for name, (dims, values) in LEAVES.items():
        shaped[name] = np.asarray(values, dtype=float).reshape(
            [AXES[a] if a in dims else 1 for a in AXES] if dims else ()
        )
    return shaped


def dims_of(nodes):
    found = {}
    for node in nodes:
        own = LEAVES[node.payload][0] if node.op == "leaf" else ()
        found[node.index] = frozenset(own).union(*(found[a.index] for a in node.args))
    return found


@settings(max_examples=150)
@given(
    outputs=st.lists(st.one_of(expressions(), expressions(True)), min_size=1, max_size=3),
    order=st.permutations(list(AXES)),
    cut=st.integers(0, 3),
    chunk=st.integers(1, 5),
    data=st.data(),
)
def test_recorded_evaluated_and_generated_agree_with_python(interpreted, outputs, order, cut, chunk, data):
    graph = Graph()
    symbols = {name: graph.leaf(name) for name in LEAVES}
    shaped = arrays()
    with np.errstate(all="ignore"):
        expected = [np.broadcast_to(f(shaped), tuple(AXES.values())).astype(float) for f in outputs]
    nodes = [graph.as_number(graph.lift(f(symbols))) for f in outputs]
    needed = reached(nodes)
    plain = evaluate(needed, {n.index: shaped[n.payload] for n in needed if n.op == "leaf"}, nodes)
    for node, want in zip(nodes, expected):
        got = np.broadcast_to(plain[node.index], want.shape)
        assert (got == want).all()
    # the generated nest, for any layout, with stages and some other nodes as tables
    dims = dims_of(graph.nodes)
    table = {n.index for n in needed if n.op in ("leaf", "stage") or data.draw(st.integers(0, 4)) == 0}
    for node in reversed(needed):
        if node.index in table:
            table.update(a.index for a in node.args)
    body = [n for n in needed if n.index not in table and n.op != "const"]
    inputs = {a.index: a for n in body for a in n.args if a.index in table and a.op != "const"}
    inputs |= {n.index: n for n in nodes if n.index in table and n.op != "const"}
    outer, tile = tuple(order[:cut]), tuple(order[cut:])
    layout = Layout(outer, tile, AXES, min(chunk, AXES[tile[-1]]) if tile else 1)
    source = Writer(layout, body, [inputs[i] for i in sorted(inputs)], dims, nodes).write()
    with interpreted():
        nest = cache.compiled(source.text, "")
    values = evaluate(
        reached(source.inputs), {n.index: shaped[n.payload] for n in needed if n.op == "leaf"}, source.inputs
    )
    packed, at = pack(source, values, list(AXES))
    out = np.full((len(nodes), math.prod(AXES.values())), np.nan)
    sizes = np.array(list(AXES.values()))
    halfway = layout.n_tiles // 2
    tiles = np.arange(layout.n_tiles)
    starts = layout.starts(tiles)
    for lo, hi in ((0, halfway), (halfway, layout.n_tiles)):
        nest(lo, hi, sizes, at, packed, np.zeros(source.workspace), out[:, starts[lo] : starts[hi]])
    index = layout.index(tiles, starts, np.arange(starts[-1]))
    where = tuple(index[a] for a in AXES)
    for row, want in zip(out, expected):
        assert (row == want[where]).all()


def test_constants_are_folded_and_equals_are_one_node():
    g = Graph()
    x, y = g.leaf("x"), g.leaf("y")
    assert (x + y) is (y + x) and (x * y) is (y * x) and np.minimum(x, y) is np.minimum(y, x)
    assert (x - y) is not (y - x) and (x / y) is not (y / x)
    assert (x + 0.0) is x and (0.0 + x) is x and (x * 1.0) is x and (x / 1.0) is x and (x - 0.0) is x
    assert (x**2) is (x * x) and (x**1) is x and (x**0.5) is np.sqrt(x)
    assert (g.constant(3.0) / 0.0).payload == math.inf
    assert np.where(g.constant(True), x, y) is x and np.where(g.constant(False), x, y) is y
    assert np.where(x > y, x, x) is x
    assert ((x > y) & True) is (x > y) and ((x > y) | True).payload is True and (~~(x > y)) is (x > y)
    assert (x * 0.0).op == "mul", "0 * inf is NaN: not folded"
    assert g.constant(0.0) is not g.constant(-0.0) and g.constant(1.0) is not g.constant(True)


def test_truth_values_stay_truth_values():
    g = Graph()
    x = g.leaf("x")
    assert (x > 1).truth and (~(x > 1)).truth and np.where(x > 1, x > 2, x > 3).truth
    assert not np.where(x > 1, x > 2, 3.0).truth and not ((x > 1) * 2.0).truth and (x & (x > 1)).truth
    assert np.logical_not(x).truth and not (x > 1).graph.as_number(x > 1).truth


def test_what_cannot_be_recorded_says_what_to_write():
    g = Graph()
    x = g.leaf("x")
    for wrong in (
        lambda: bool(x),
        lambda: x if x else 0,
        lambda: x > 1 and x < 2,
        lambda: not x,
        lambda: min(x, 1.0),
    ):
        with pytest.raises(TypeError, match=r"np\.where"):
            wrong()
    for wrong in (lambda: float(x), lambda: int(x), lambda: math.sqrt(x), lambda: list(x), lambda: range(x)):
        with pytest.raises(TypeError, match="NumPy functions"):
            wrong()
    with pytest.raises(TypeError, match="not arrays"):
        x + np.arange(3.0)
    with pytest.raises(TypeError):
        np.sin(x)
    with pytest.raises(TypeError):
        np.concatenate([x, x])


def test_not_a_number_survives_compilation(interpreted):
    g = Graph()
    x = g.leaf("x")
    hole = g.constant(0.0) / 0.0
    node = np.where(x > 1e9, hole * x, x)
    assert isinstance(hole, Node) and math.isnan(hole.payload)
    layout = Layout((), ("a",), {"a": 3}, 3)
    text = (
        Writer(layout, [n for n in g.nodes if n.op not in ("leaf", "const")], [x], dims_of_one(g), [node]).write().text
    )
    with interpreted():
        nest = cache.compiled(text, "")
    out = np.zeros((1, 3))
    nest(0, 1, np.array([3]), np.array([0]), np.array([1.0, 1e10, 3.0]), np.zeros(100), out)
    assert out[0, 0] == 1.0 and math.isnan(out[0, 1]) and out[0, 2] == 3.0


def dims_of_one(graph):
    found = {}
    for n in graph.nodes:
        found[n.index] = frozenset({"a"}) if n.op == "leaf" else frozenset().union(*(found[a.index] for a in n.args))
    return found


def test_a_long_stage_is_never_interpreted_and_gives_the_same_numbers():
    """Plain Python takes seconds for one noise multiplier that compiled code finds in milliseconds."""

    @stage(few=0)
    def counted(n):
        total = 0.0
        for k in range(int(n)):
            total += k
        return total

    counted.plain = None  # to call it would fail
    assert counted(4.0) == 6.0 and list(counted(np.array([3.0, 5.0]))) == [3.0, 10.0]
    assert privacy.noise_multiplier.few == 0


def test_plain_python_divides_by_zero_as_compiled_code_does():
    @stage
    def shares(n):
        return 1.0 / n

    shares.loop = None  # to compile would fail
    assert shares(0.0) == np.inf and list(shares(np.array([0.0, -2.0]))) == [np.inf, -0.5]


@stage
def rough(x, y):
    """Where Python raises: a logarithm of 0, an overflow, a division, a root of less than 0."""
    return math.log(x) * math.exp(y) + math.sqrt(x - y) / (x - 1.0) + math.pow(x, y)


@stage
def rougher(x, y):
    """The same, called by another stage."""
    total = 0.0
    for k in range(math.floor(y) % 3 + 1):
        total += rough(x, y + k)
    return total


@pytest.mark.parametrize("loop", [rough, rougher, privacy.log_erfc, privacy.log_add, privacy.log_subtract])
def test_without_a_compiler_a_stage_gives_the_bits_of_compiled_code(loop):
    values = np.array([0.0, 1.0, -2.0, 0.3, 7.0, 800.0, 1e300, np.inf, -np.inf, np.nan])
    if loop is privacy.log_erfc:
        columns = [values]
    elif loop is rougher:  # a whole number of the infinite is none
        columns = [a.ravel() for a in np.meshgrid(values, values[:6])]
    else:
        columns = [a.ravel() for a in np.meshgrid(values, values)]
    np.testing.assert_array_equal(
        loop.over(columns, lambda source, signature: None), loop.over(columns, cache.compiled)
    )


def test_a_stage_without_its_source_answers():
    scope = {"stage": stage}
    exec("@stage\ndef typed(x):\n    return x / (x - 1.0)\n", scope)
    values = np.arange(10.0)
    with np.errstate(all="ignore"):
        expected = values / (values - 1.0)
    for compiler in (None, cache.compiled):
        np.testing.assert_array_equal(scope["typed"].over([values], compiler), expected)


def test_a_stage_is_one_node_per_output_and_takes_numbers_arrays_and_symbols():
    g = Graph()
    x = g.leaf("x")
    whole, rest = split(x, 7.0)
    again = split(x, 7.0)
    assert whole is again[0] and rest is again[1] and whole is not rest
    assert split(23.0, 7.0) == (3.0, 2.0)
    assert split(np.array([23.0, 7.0]), 7.0)[0].tolist() == [3.0, 1.0]


@pytest.mark.parametrize(
    ("pieces", "seconds", "longest"), [(timed_pieces, 0.0, 504), (timed_pieces, 1.0, 16), (equal_pieces, 0.0, 16)]
)
def test_a_compiled_loop_returns_to_python_often(monkeypatch, pieces, seconds, longest):
    clock, sizes = itertools.count(), []
    monkeypatch.setattr("time.perf_counter", lambda: next(clock) * seconds)

    def loop(out, begin, end, a, b):
        sizes.append(end - begin)
        out[0, begin:end], out[1, begin:end] = a[begin:end] + b, a[begin:end] * b

    both = stage(lambda a, b: (a + b, a * b), outputs=2)
    monkeypatch.setattr(type(both), "source", "")
    a = np.arange(1000.0)
    total, product = both.over((a, 3.0), lambda *_: loop, pieces)
    assert np.array_equal(total, a + 3) and np.array_equal(product, a * 3)
    assert sum(sizes) == 1000 and max(sizes) == longest


def test_the_engine_times_the_pieces_of_a_compiled_loop(monkeypatch):
    asked = []
    monkeypatch.setattr("mlsysim.engine.staged.timed_pieces", lambda n: asked.append(n) or timed_pieces(n))
    g = Graph()
    x = g.leaf("x")
    _, rest = split(x, 7.0)
    values = evaluate(reached([rest]), {x.index: np.arange(100.0)}, [rest])
    assert asked == [100] and np.array_equal(values[rest.index], np.arange(100.0) % 7)


def test_a_stage_is_compiled_once_plain_python_took_as_long(monkeypatch):
    """The winner of a search asks for one element each time: a slow loop must not be interpreted for ever."""

    @stage
    def slow(n):
        total = 0.0
        for k in range(int(n)):
            total += 1.0 / (k + 1.0)
        return total

    monkeypatch.setattr(staged, "COMPILING", 0.0)
    g = Graph()
    x = g.leaf("x")
    node = slow(x)

    def value():
        return float(evaluate(reached([node]), {x.index: np.array(5.0)}, [node])[node.index])

    first = value()
    monkeypatch.setattr(slow, "plain", None)  # to call it would fail
    assert value() == first == pytest.approx(137 / 60)
