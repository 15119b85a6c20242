"""Conditions that a call settles: what they leave out of a nest, and that no bit depends on it."""

import numpy as np
import pytest
from toy import Step, StepModel

import mlsysim as ms
from mlsysim.engine import run, settle
from mlsysim.engine.graph import Graph
from mlsysim.engine.run import Sweep
from mlsysim.resolver import Model, kernel

SERVED = {"batch_size": np.arange(1, 129), "seq_len": np.arange(16, 1040, 16), "output_len": 8, "tp": [2, 4]}
TRAINED = {
    "tp": [1, 2, 4],
    "pp": [1, 2, 4],
    "dp": np.arange(1, 65),
    "global_batch": np.arange(64, 1089, 64),
    "seq_len": 4096,
}


def swept(resolver, output, plan="nest", **inputs):
    program = resolver.program(**inputs)
    return Sweep(program, [program.output(output)], plan=plan)


@pytest.mark.parametrize(
    "model", ["llama3_1_8b", "deepseek_v3", "mixtral_8x7b", ["llama3_1_8b", "mixtral_8x7b"], ["gpt2", "deepseek_v3"]]
)
@pytest.mark.parametrize("asked", [(ms.ServingModel, "itl", SERVED), (ms.DistributedModel, "step_time", TRAINED)])
def test_every_kind_of_model_has_the_bits_of_the_plain_plan(interpreted, model, asked):
    resolver, output, axes = asked
    axes = {name: values[::9] if isinstance(values, np.ndarray) else values for name, values in axes.items()}
    inputs = {"model": model, "hardware": ["h100", "a100"], **axes}
    plain = resolver.solve(**inputs, plan="plain", keep=[output, "memory_per_device", "feasible", "limit"])
    best = resolver.best(output, **inputs, plan="plain", by="tp")
    with interpreted(table=60):
        found = resolver.solve(**inputs, plan="nest", keep=[output, "memory_per_device", "feasible", "limit"])
        assert found.equals(plain)
        assert resolver.best(output, **inputs, plan="nest", by="tp").equals(best)


def test_what_no_device_of_a_call_has_is_not_in_its_nest():
    asked = {"model": "llama3_1_8b", "hardware": ["h100", "h200"], **SERVED}
    nest, plain = swept(ms.ServingModel, "itl", **asked), swept(ms.ServingModel, "itl", plan="plain", **asked)
    assert len(nest.body) < len(nest.whole.body) == len(plain.body)
    assert set(nest.tables) == {n.index for n in nest.inputs} < set(plain.tables)


def test_a_gate_that_is_shut_everywhere_is_left_as_it_is(interpreted):
    axes = {
        "hardware": ["h100", "a100"],
        "global_batch": np.arange(1, 300),
        "tp": [3, 5],
        "pp": 77,
        "dp": np.arange(1, 9),
    }
    plain = StepModel.best("itl", **axes, plan="plain")
    with interpreted(table=8):
        assert StepModel.best("itl", **axes, plan="nest").equals(plain)


def test_nothing_is_folded_that_would_change_a_bit():
    trunk = Graph()
    x, condition = trunk.leaf("x"), trunk.as_truth(trunk.leaf("condition"))
    total = trunk.apply("where", (condition, x, 0.0)) + x
    found, graph = settle.without(
        trunk.nodes, [n for n in trunk.nodes if n.op in ("where", "add")], {condition.index: False}
    )
    left = found[total.index]
    assert left.op == "add" and any(left is n for n in graph.entered)  # -0.0 + 0.0 is 0.0
    assert settle.without(trunk.nodes, [total], {})[0][total.index] is total


def test_a_condition_is_settled_where_it_has_one_value_everywhere():
    graph = Graph()
    truths = [graph.as_truth(graph.leaf(name)) for name in "abc"]
    tables = dict(zip((n.index for n in truths), map(np.array, ([True, True], [[True], [False]], False))))
    assert settle.settled([*truths, graph.leaf("x")], tables) == {truths[0].index: True, truths[2].index: False}


@kernel
def forked(global_batch, dp=1.0, micro_batch=1.0) -> Step:
    """Two forks that an axis of few values decides."""
    work = np.where(micro_batch > 3, np.sqrt(global_batch * dp), global_batch + dp)
    work = np.where(micro_batch > 6, work * work, work / dp)
    work = work * micro_batch
    return Step(work, dp / work, work, work, dp, None, work > 0.0, 0, 0)


def test_calls_that_each_settle_something_else_end_with_the_nest_of_all_of_them(monkeypatch):
    resolver = Model("ForkedModel", forked, domain="node")
    axes = {"global_batch": np.arange(1, 1001), "dp": np.arange(1, 301)}
    plain = swept(resolver, "itl", plan="plain", **axes, micro_batch=[1, 2])
    operations = sum(n * np.prod([plain.sizes[a] for a in over]) for over, n in plain.loads().items())
    compiled: list[str] = []
    monkeypatch.setattr(run, "spent", {})
    monkeypatch.setattr(run, "WORTH", 0.0)
    monkeypatch.setattr(run, "COMPILE", (1.0, 0.0, 0.0))
    monkeypatch.setattr(run, "PLAIN_OPERATION", 0.9 / operations)  # a call takes nearly as long as compiling
    monkeypatch.setattr("mlsysim.engine.cache.kept", lambda text, signature: False)
    monkeypatch.setattr("mlsysim.engine.cache.compiled", lambda text, signature: compiled.append(text))
    for parts, settles in (([1, 2], True), ([4, 5], True), ([7, 8], False)):
        sweep = swept(resolver, "itl", plan="auto", **axes, micro_batch=parts)
        assert (sweep.split is not sweep.whole) == settles
        assert bool(compiled) != settles, (parts, list(run.spent.values()))
    assert len(run.spent) == 4  # of what each leaves, and of all
    assert compiled == [next(iter(sweep.whole.sources.values())).text]
    swept(resolver, "itl", plan="auto", **axes, micro_batch=[1, 2])
    assert compiled[1] in run.spent and compiled[1] != compiled[0]  # such calls come again: a nest of their own
