"""What is kept between calls changes no answer: recordings, records, functions of one point."""

import threading
from typing import NamedTuple

import numpy as np
import pytest
from random_points import table

import mlsysim as ms
from mlsysim.engine import memo, recording
from mlsysim.engine.bind import Binder
from mlsysim.engine.made import MOST, RECORDS
from mlsysim.engine.referents import Referents, Unaccountable
from mlsysim.engine.run import Sweep
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions

#: values that stand for any: some are far from the usual
pytestmark = pytest.mark.filterwarnings("ignore:.*far from the usual")

MODELS = [name for name, resolver in ms.RESOLVERS.items() if isinstance(resolver, Model)]
SERVING = {"model": "llama3_1_8b", "hardware": "h100", "batch_size": 32, "seq_len": 2048}


@pytest.fixture
def recordings(monkeypatch):
    """The resolvers that were recorded since the test began."""
    found = []
    record = recording._record
    monkeypatch.setattr(
        recording, "_record", lambda resolver, *rest: found.append(resolver.name) or record(resolver, *rest)
    )
    memo.forget()
    return found


def told(resolver, **inputs):
    """An answer, or what is said where there is none."""
    try:
        return resolver.solve(**inputs)
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def same(a, b):
    return a == b if isinstance(a, str) or isinstance(b, str) else a.identical(b) and repr(a) == repr(b)


def points(name, seed, n=12):
    """Some random calls of a model, each a point."""
    drawn = table(name, np.random.default_rng([seed, len(name)]), n)
    return [{k: v[i] for k, v in drawn.items()} for i in range(n)]


@pytest.mark.parametrize("name", MODELS)
def test_a_call_that_was_made_before_is_answered_the_same(name):
    resolver = ms.RESOLVERS[name]
    calls = points(name, 3)
    cold = []
    for call in calls:
        memo.forget()
        cold.append(told(resolver, plan="plain", **call))
    for _ in range(3):  # by NumPy, by a function that is written, by that function
        for call, first in zip(calls, cold):
            assert same(told(resolver, **call), first), call


@pytest.mark.parametrize("name", ["ServingModel", "DistributedModel", "ContinuousBatchingModel", "CheckpointModel"])
def test_searches_and_grids_are_answered_the_same(name):
    resolver = ms.RESOLVERS[name]
    drawn = table(name, np.random.default_rng(9), 40)
    objective = next(o for o in resolver.outputs if ms.schema.variables.VARIABLES[o].better and o != "feasible")
    ask = [
        lambda: resolver.best(objective, points=drawn),
        lambda: resolver.pareto(minimize=[objective], points=drawn, where=f"{objective} > 0.01"),
        lambda: resolver.top(3, objective, points=drawn),
        lambda: resolver.solve(points=drawn),
    ]
    cold = []
    for one in ask:
        memo.forget()
        cold.append(one())
    for one, first in [*zip(ask, cold), *reversed(list(zip(ask, cold)))]:
        assert one().identical(first)


def test_what_is_folded_into_the_physics_is_told_apart():
    model = ms.ServingModel(**SERVING)
    for inputs in (
        {"tp": 1},
        {"tp": 2},
        {"pp": 2},
        {"precision": "fp8"},
        {"reserve": "reserve"},
        {"weights_resident": 0.0},
    ):
        try:
            warm = model.solve(**inputs)
        except TypeError:
            continue
        memo.forget()
        assert same(warm, model.solve(**inputs)), inputs


def test_rows_of_equal_names_are_told_apart():
    def times(**fields):
        return float(
            ms.SingleNodeModel.solve(model="llama3_1_8b", hardware=ms.Hardware("h100", name="mine", **fields)).latency
        )

    slow, fast = times(mem_bandwidth="1 TB/s"), times(mem_bandwidth="4 TB/s")
    assert slow > fast
    assert times(mem_bandwidth="1 TB/s") == slow

    def parameters(layers):
        made = ms.Workload("llama3_1_8b", name="mine", n_layers=layers)
        return float(ms.SingleNodeModel.solve(model=made, hardware="h100").latency)

    assert parameters(8) < parameters(64)


def test_records_of_many_rows_are_made_once(monkeypatch):
    """A call over most devices of the zoo, and the solver that asks them all, makes no record again."""
    made, make = [], Binder._made
    monkeypatch.setattr(Binder, "_made", lambda self, parameter: made.append(parameter.name) or make(self, parameter))
    devices = [n for n in ms.zoo.names("hardware") if ms.zoo.hardware(n)["mem_bandwidth"]][:100]
    assert len(devices) > MOST

    def ask():
        grid = ms.SingleNodeModel.solve(model="gpt2", hardware=devices, batch_size=1, seq_len=64)
        return grid, ms.SynthesisSolver.solve(model="gpt2", target_latency="1 ms", batch_size=1, seq_len=64)

    memo.forget()
    cold = ask()
    assert made and RECORDS.get((made[0], "nothing")) is None
    made.clear()
    assert all(same(one, other) for one, other in zip(ask(), cold)) and not made
    assert all(record.weight >= 1.0 for record in RECORDS._kept.values())
    assert sum(record.weight for record in RECORDS._kept.values()) <= RECORDS.most


def test_assumptions_are_told_apart():
    def itl(**fields):
        return float(ms.ServingModel.solve(assume=Assumptions(**fields), **SERVING).itl)

    plain = float(ms.ServingModel.solve(**SERVING).itl)
    assert itl(host_step_time=0.01) > itl(host_step_time=0.005) > plain
    assert itl(host_step_time=0.01) == float(ms.ServingModel.solve(host_step_time=0.01, **SERVING).itl)
    assert itl() == plain


class Answer(NamedTuple):
    step_time: float


def made(scope, text):
    exec(f"def physics(tokens, duration) -> Answer:\n    return Answer({text})", scope)
    return Model("Roof", kernel(scope["physics"]), domain="node")


def answered(model):
    return float(model.solve(tokens=5.0, duration=7.0).step_time)


def test_a_kernel_defined_anew_under_the_same_name_is_recorded_anew():
    scope = {"Answer": Answer, "__name__": "__main__"}
    assert answered(made(scope, "tokens + duration")) == 12.0
    assert answered(made(scope, "tokens * duration")) == 35.0


def test_what_a_kernel_looks_up_may_change():
    scope = {"Answer": Answer, "__name__": "__main__", "factor": 2.0, "rates": {"a": 10.0}}
    exec("def helper(x, by=1.0):\n    return factor * x * by", scope)
    model = made(scope, "helper(tokens) + rates['a'] + 0 * duration")
    assert answered(model) == 20.0
    scope["factor"] = 3.0
    assert answered(model) == 25.0
    scope["rates"]["a"] = 1.0
    assert answered(model) == 16.0
    exec("def other(x, by=2.0):\n    return x * by", scope)
    scope["helper"].__code__ = scope["other"].__code__  # as reloading a module does
    assert answered(model) == 6.0
    scope["helper"].__defaults__ = (4.0,)
    assert answered(model) == 21.0
    scope["helper"] = lambda x: x
    assert answered(model) == 6.0


def test_a_name_of_python_that_is_taken_is_seen():
    scope = {"Answer": Answer, "__name__": "__main__"}
    model = made(scope, "sum([tokens, duration])")
    assert answered(model) == 12.0
    scope["sum"] = lambda values: values[0]
    assert answered(model) == 5.0


@pytest.mark.parametrize("text", ["state.factor * tokens", "globals()['factor'] * tokens", "late(tokens)"])
def test_what_cannot_be_looked_through_is_recorded_for_every_call(text, recordings):
    scope = {"Answer": Answer, "__name__": "__main__", "factor": 2.0, "state": type("State", (), {})()}
    scope["state"].factor = 2.0
    exec("def late(x):\n    import __main__\n    return 2.0 * x", scope)
    model = made(scope, f"{text} + duration")
    assert answered(model) == answered(model) == 17.0
    assert recordings == ["Roof", "Roof"]
    with pytest.raises(Unaccountable):
        Referents([scope["physics"]])


def test_a_recording_serves_other_numbers_axes_and_questions(recordings):
    model = ms.ServingModel(model="llama3_1_8b", hardware="h100")
    model.solve(batch_size=2, seq_len=128)
    assert recordings == ["ServingModel"]
    model.solve(batch_size=[3, 5], seq_len=[256, 512])
    model.best("itl", batch_size=[3, 5], seq_len=999, where="ttft < 1")
    model.best("ttft", batch_size=range(2, 9), seq_len=100, where="itl < 1")
    ms.ServingModel.solve(model="llama3_1_70b", hardware="h200", batch_size=9, seq_len=77)
    before = len(recordings)
    model.solve(batch_size=1, seq_len=128)  # a batch of 1 is folded
    assert len(recordings) == before + 1


def test_what_a_search_enters_is_its_own():
    """The numbers of nodes, and so the source of a nest, do not depend on what was asked before."""

    def source(*before):
        memo.forget()
        for where in before:
            ms.ServingModel.best("ttft", where=where, **{**SERVING, "batch_size": [1, 2]})
        program = ms.ServingModel.program(**{**SERVING, "batch_size": range(2, 100)})
        node = -program.outputs["itl"] + program.outputs["ttft"]
        sweep = Sweep(program, [node], plan="plain")
        return sweep._write(())[0], node.index

    assert source() == source("itl < 0.01", "hardware == 'h100'", "batch_size > 1") == source("itl < 0.02")


def test_a_composition_is_kept_with_its_wiring(recordings):
    inputs = {
        "model": "llama3_1_8b",
        "hardware": "h100",
        "n_accelerators": 8,
        "region": "usa",
        "tokens": 1e9,
        "global_batch": 64,
    }
    both = ms.compose(ms.DistributedModel, ms.EconomicsModel)
    first = both.solve(**inputs)
    assert both.solve(**inputs).identical(first)
    assert len(recordings) == 1
    other = both.solve(duration="30 days", **inputs)
    assert float(other.tco) != float(first.tco)
    assert len(recordings) == 2
    wired = ms.compose(ms.DistributedModel, ms.EconomicsModel, wire={"duration": "step_time"}).solve(**inputs)
    assert float(wired.tco) < float(first.tco)


def test_threads_share_what_is_kept():
    calls = [("ServingModel", call) for call in points("ServingModel", 5)] + [
        ("DataModel", c) for c in points("DataModel", 5)
    ]
    alone = [told(ms.RESOLVERS[name], **call) for name, call in calls]
    memo.forget()
    wrong = []

    def work(shift):
        for i in range(len(calls)):
            j = (i + shift) % len(calls)
            if not same(told(ms.RESOLVERS[calls[j][0]], **calls[j][1]), alone[j]):
                wrong.append(j)

    threads = [threading.Thread(target=work, args=(5 * k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_no_more_is_kept_than_there_is_room_for(monkeypatch):
    memo.forget()
    monkeypatch.setattr(recording._recordings, "most", 3000)
    for name in MODELS:
        for call in points(name, 7, 3):
            told(ms.RESOLVERS[name], **call)
    kept = [len(one.graph.entered) for one in recording._recordings._kept.values()]
    assert kept
    assert sum(kept) <= 3000 or len(kept) == 1


def test_the_memory_forgets_what_was_not_asked_for_the_longest_time():
    short = memo.Memo(2)
    short.put("a", 1)
    short.put("b", 2)
    assert short.get("a") == 1
    short.put("c", 3)
    assert (short.get("b"), short.get("a"), short.get("c"), len(short)) == (None, 1, 3, 2)
    memo.MEMOS.remove(short)
