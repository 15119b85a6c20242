"""Stages whose rounds a nest does for many elements side by side."""

import math
import pickle

import numpy as np
import pytest
from toy import Step

import mlsysim as ms
from mlsysim.engine import cache, lanes
from mlsysim.engine.graph import reached
from mlsysim.engine.interpret import stage_bytes
from mlsysim.engine.run import Sweep
from mlsysim.equations.queueing import erlang_c
from mlsysim.equations.slots import all_slots_taken
from mlsysim.equations.stage import stage
from mlsysim.resolver import Model, kernel

SHARE = 0.75


@stage(lanes=True)
def halvings(x, least):
    """Rounds that depend on the data, of two numbers and a constant that are carried, and an argument that is changed."""
    rounds = 0.0
    step = 2.0 * SHARE if least > 0.0 and least < 1e300 else 2.0
    while x > least:
        x = x / step if x > least else x
        rounds += 1.0 if x > least else 0.0
    last = rounds + x
    return last - least


@kernel
def halved(global_batch, dp=1.0, micro_batch=1.0) -> Step:
    """Two stages, one behind the other, of which the first has fewer axes than the grid."""
    first = halvings(3.7 * global_batch, 0.3 * dp)
    second = halvings(first * micro_batch + dp, 0.25)
    memory = second + np.sqrt(first)
    fits = memory < 40.0
    return Step(second, first, memory, first, dp, None, fits, np.where(fits, 0, 3), 0)


HalvedModel = Model("HalvedModel", halved, domain="node")
AXES = {"global_batch": np.arange(1.0, 1500.0), "dp": np.arange(1.0, 30.0), "micro_batch": [1.0, 3.0, 7.0, 11.0]}


@pytest.mark.skipif(not cache.compiler(), reason="no compiler")
@pytest.mark.parametrize("order", [("global_batch", "dp", "micro_batch"), ("micro_batch", "dp", "global_batch")])
def test_a_nest_does_the_rounds_itself_with_the_bits_of_plain_python(order):
    axes = {name: AXES[name] for name in order}
    program = HalvedModel.program(**axes)
    column = program.output("memory_per_device")
    sweep = Sweep(program, [column], plan="nest")
    assert [n.payload[0].__name__ for n in sweep.body if n.op == "stage"] == ["halvings"] * 2
    assert "live += count" in sweep.source.text
    nest = HalvedModel.solve(**axes, plan="nest")
    plain = HalvedModel.solve(**axes, plan="plain")
    assert nest.equals(plain)
    rng = np.random.default_rng(1)
    for _ in range(100):
        at = {name: int(rng.integers(len(values))) for name, values in axes.items()}
        here = {name: float(axes[name][i]) for name, i in at.items()}
        first = halvings.plain(3.7 * here["global_batch"], 0.3 * here["dp"])
        found = nest.isel(at)
        assert float(found["itl"]) == halvings.plain(first * here["micro_batch"] + here["dp"], 0.25)
        assert float(found["tokens_per_s"]) == first


@pytest.mark.parametrize("table", [0, 30])
@pytest.mark.parametrize(("chunk", "tile"), [(3, 4), (8, 64), (70, 210)])
def test_any_layout_gives_the_same(interpreted, chunk, tile, table):
    axes = {"global_batch": np.arange(1.0, 80.0), "dp": np.arange(1.0, 6.0), "micro_batch": [1, 3, 7]}
    plain = HalvedModel.solve(**axes, plan="plain")
    best = HalvedModel.best("itl", maximize=False, **axes, plan="plain", by="dp")
    with interpreted(chunk=chunk, tile=tile, table=table):
        assert HalvedModel.solve(**axes, plan="nest").equals(plain)
        assert HalvedModel.best("itl", maximize=False, **axes, plan="nest", by="dp").equals(best)


@pytest.mark.parametrize("by", [(), ("dp",), ("global_batch",)])
def test_searches_find_the_same_with_every_plan(by):
    found = {plan: HalvedModel.best("itl", maximize=False, **AXES, plan=plan, by=by) for plan in ("nest", "plain")}
    assert found["nest"].equals(found["plain"])


@pytest.mark.parametrize("model", ["TailLatencyModel", "OrchestrationModel"])
def test_queues_have_the_same_bits_in_lanes(model):
    axes = {
        "TailLatencyModel": {"service_latency": 0.1, "replicas": np.arange(1, 600)},
        "OrchestrationModel": {"fleet": "dgx_h100", "avg_duration": np.geomspace(600, 6e5, 600)},
    }[model]
    axes |= {"OrchestrationModel": {"n_accelerators": 4096, "devices_per_job": 8}}.get(model, {})
    axes["arrival_rate"] = np.geomspace(1e-4, 3e3, 700)
    keep = ["wait_probability", "avg_wait_time"]
    found = {plan: ms.RESOLVERS[model].solve(**axes, plan=plan, keep=keep) for plan in ("nest", "plain")}
    assert found["nest"].equals(found["plain"])


@pytest.mark.parametrize("asked", [erlang_c, all_slots_taken])
def test_further_rounds_change_nothing(asked):
    """What a lane gives while others need more rounds: that of its own rounds, to the last bit."""
    lines = lanes.lined(asked)
    scope = {"select": lambda c, a, b: a if c else b, "math": math, "INF": math.inf}
    rng = np.random.default_rng(7)

    def run(args, more):
        local = dict(zip(lines.args, map(np.float64, args)))
        exec("\n".join(lines.before), scope, local)
        while eval(lines.goes_on, scope, local):
            exec("\n".join(lines.body), scope, local)
        for _ in range(more):
            exec("\n".join(lines.body), scope, local)
        exec("\n".join(lines.after) or "pass", scope, local)
        return float(eval(lines.value, scope, local))

    with np.errstate(all="ignore"):
        for _ in range(150):
            servers = float(rng.integers(1, 300)) + float(rng.choice([0.0, 0.37]))
            if asked is erlang_c:
                args = (servers, servers * float(rng.choice([0.0, 0.01, 0.5, 0.97, 1.0, 1.5, np.nan])))
            else:
                share, growth, queue = rng.choice([0.0, 0.01, 0.6, 0.99, 1.0], 3)
                args = (servers, float(share), float(growth), float(queue), 1.3)
            own = run(args, 0)
            assert own == float(asked(*args)) or (math.isnan(own) and math.isnan(asked(*args)))
            for more in (1, 7, 400):
                other = run(args, more)
                assert other == own or (math.isnan(own) and math.isnan(other)), (args, more)


def test_no_table_is_needed_in_lanes():
    axes = {"service_latency": 0.1, "replicas": range(1, 1001), "arrival_rate": np.geomspace(0.1, 90, 10_000_000)}
    program = ms.TailLatencyModel.program(**axes)
    assert stage_bytes(reached([program.output("avg_wait_time")]), program.points_of) == 0.0
    assert stage_bytes(reached([program.output("response_p99")]), program.points_of) > 8 * program.n_points


@pytest.mark.parametrize("plan", ["nest", "plain"])
def test_a_sweep_with_stages_goes_elsewhere(plan):
    program = HalvedModel.program(**AXES)
    sweep = Sweep(program, [program.output("itl")], plan=plan)
    assert any(n.op == "stage" for n in sweep.body)
    twin = pickle.loads(pickle.dumps(sweep))
    for lo, hi in sweep.blocks():
        [here], [there] = (list(one.evaluate(lo, hi, one.scratch())) for one in (sweep, twin))
        assert np.array_equal(here.columns, there.columns)


def test_nan_and_infinity_stay_what_they_are():
    assert math.isnan(erlang_c(4.0, math.nan)) and erlang_c(4.0, math.inf) == 1.0
    assert (
        math.isnan(all_slots_taken(4.0, math.nan, 0.5, 0.5, 1.0))
        and all_slots_taken(4.0, 1.0, 0.5, math.inf, 1.0) == 1.0
    )


def test_a_stage_travels_by_its_name():
    assert pickle.loads(pickle.dumps(erlang_c)) is erlang_c


@stage(lanes=True)
def branching(x):
    """Not of that form."""
    while x > 1.0:
        if x > 2.0:
            x = x - 1.0
        x = 0.5 * x
    return x


@stage(lanes=True)
def calling(x):
    """Nor this: `math.exp` has other bits than the nest's."""
    while x > 1.0:
        x = math.exp(-x)
    return x


@stage(lanes=True)
def twice(x):
    """Nor this: two loops."""
    while x > 8.0:
        x = 0.5 * x
    while x > 1.0:
        x = x - 1.0
    return x


@pytest.mark.parametrize(
    ("asked", "why"), [(branching, "if x > 2.0"), (calling, "math.exp"), (twice, "one while")], ids=lambda v: str(v)[:8]
)
def test_what_has_no_form_in_lanes_is_refused_by_name(asked, why):
    with pytest.raises(TypeError, match=f"stage {asked.__name__}: .*") as error:
        lanes.lined(asked)
    assert why in str(error.value)


def test_without_its_source_it_is_a_table():
    scope = {"stage": stage}
    exec("@stage(lanes=True)\ndef typed(x):\n    while x > 1.0:\n        x = 0.5 * x\n    return x", scope)
    typed = scope["typed"]
    assert not typed.lanes and halvings.lanes and not stage(math.sqrt).lanes

    @kernel
    def asked(global_batch, dp=1.0) -> Step:
        found = typed(global_batch * dp)
        return Step(found, found, found, found, dp, None, found > 0.0, 0, 0)

    axes = {"global_batch": np.arange(1.0, 900.0), "dp": np.arange(1.0, 40.0)}
    model = Model("AskedModel", asked, domain="node")
    assert model.solve(**axes, plan="nest").equals(model.solve(**axes, plan="plain"))


def test_lanes_give_one_output():
    with pytest.raises(ValueError, match="one output, not 2"):
        stage(lambda x: (x, x), outputs=2, lanes=True)


@pytest.mark.skipif(not cache.compiler(), reason="no compiler")
@pytest.mark.parametrize(("length", "expected"), [(200, False), (400, True)])
def test_long_rows_take_the_widest_vectors(length, expected):
    program = HalvedModel.program(
        global_batch=np.arange(1.0, 1.0 + length), dp=np.arange(1.0, 150.0), micro_batch=[1, 3]
    )
    column = program.output("memory_per_device")
    source = Sweep(program, [column], plan="nest").source.text
    assert ("    wide()\n" in source) == expected
