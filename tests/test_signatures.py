"""What an editor, `help` and a notebook show of a resolver is made from its schema, and true."""

import copy
import inspect
import pickle
import pydoc
import subprocess
import sys

import numpy as np
import pytest

import mlsysim as ms
from mlsysim.engine.parameters import REQUIRED
from mlsysim.resolver import Model, Solver, signature
from mlsysim.schema.variables import EXAMPLES

#: what makes the shortest call of a model work, besides what it requires
BESIDES = {
    "DataModel": {"workload_data_rate": "1 GB/s"},
    "TransformationModel": {"sample_cpu_time": "3 ms"},
    "TopologyModel": {"n_nodes": 8},
    "ScalingModel": {"compute_budget": 1e21},
    "ReliabilityModel": {"fleet": "dgx_h100"},
    "OrchestrationModel": {"fleet": "dgx_h100"},
}
QUESTIONS = ("solve", "best", "top", "pareto", "root", "sweep", "explain")
CHAIN = ms.compose(ms.DistributedModel, ms.EconomicsModel, name="Chain")
BOUND = ms.ServingModel(model="llama3_1_8b", tp=4)
EVERY = [*ms.RESOLVERS.values(), CHAIN, BOUND]


def questions(resolver):
    return ("solve",) if isinstance(resolver, Solver) else QUESTIONS


def inputs(resolver):
    return resolver.schema[resolver.schema.role != "output"]


@pytest.mark.parametrize("resolver", EVERY, ids=lambda r: r.name)
def test_a_signature_has_the_inputs_of_the_schema_and_the_options_of_the_question(resolver):
    for name in questions(resolver):
        ask = getattr(resolver, name)
        found = inspect.signature(ask).parameters
        own = inspect.signature(getattr(ms.Resolver if name != "solve" else type(resolver), name)).parameters
        assert {*inputs(resolver).index} | {*own} - {"self", "inputs"} <= {*found} and "self" not in found
        assert (signature.FIELDS in found) == bool(signature.fields_of(resolver))
        assert inspect.getdoc(ask).startswith(inspect.getdoc(getattr(type(resolver), name)).partition("\n")[0])
    bind = inspect.signature(resolver).parameters
    assert set(inputs(resolver).index) <= set(bind)
    assert all(p.default is not p.empty for p in bind.values() if p.kind is p.KEYWORD_ONLY)


@pytest.mark.parametrize("resolver", EVERY, ids=lambda r: r.name)
def test_every_name_of_a_signature_is_taken(resolver):
    found = inspect.signature(resolver).parameters
    names = [n for n, p in found.items() if p.kind is p.KEYWORD_ONLY and n not in ("resolver",)]
    resolver._check_names(dict.fromkeys(names))
    fields = signature.fields_of(resolver)
    resolver._check_names(dict.fromkeys(fields))
    with pytest.raises(TypeError, match="no input 'batchsize'"):
        resolver(batchsize=4)


@pytest.mark.parametrize("resolver", [r for r in EVERY if isinstance(r, Model)], ids=lambda r: r.name)
def test_defaults_that_are_given_change_nothing(resolver):
    required = inputs(resolver).query("default == 'required'").index
    call = {
        name: eval(EXAMPLES[name].partition("=")[2].partition(" (")[0])
        for name in required
        if name not in resolver.bound
    }
    shown = {
        n: p.default for n, p in inspect.signature(resolver.solve).parameters.items() if n in inputs(resolver).index
    }
    given = {n: v for n, v in shown.items() if v not in (None, inspect.Parameter.empty) and n not in call}
    call |= BESIDES.get(resolver.name, {})
    given = {n: v for n, v in given.items() if n not in call}
    plain, full = resolver.solve(**call), resolver.solve(**call, **given)
    assert set(plain.data_vars) == set(full.data_vars) and plain.data_vars
    for name in plain.data_vars:
        np.testing.assert_array_equal(plain[name].values, full[name].values, err_msg=name)


@pytest.mark.parametrize("resolver", EVERY, ids=lambda r: r.name)
def test_what_is_required_is_what_a_call_needs(resolver):
    required = [n for n in inputs(resolver).query("default == 'required'").index if n not in resolver.bound]
    shown = inspect.signature(resolver.solve).parameters
    assert required == [n for n, p in shown.items() if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if not required:
        return
    more = {"targets": {"latency": "1 s"}} if resolver is ms.SynthesisSolver else {}
    with pytest.raises(TypeError) as caught:
        resolver.solve(**more)
    asked = {n for n in required if n != "hardware" or resolver is not ms.SynthesisSolver}
    assert all(f"{n} (" in str(caught.value) for n in asked), (asked, str(caught.value))


@pytest.mark.parametrize("resolver", EVERY, ids=lambda r: r.name)
def test_the_docstring_has_the_table(resolver):
    text = resolver.__doc__
    assert text.splitlines()[0] == inspect.cleandoc(resolver.prose).splitlines()[0]
    lines = text.splitlines()
    for name, row in resolver.schema.iterrows():
        entries = [line for line in lines if line == name or line.startswith(f"{name} : ")]
        said = [row.unit if row.unit != "1" else "", row.default if row.default != "optional" else "", row.allowed]
        assert any(all(text in entry for text in said) for entry in entries), name
    for word in ("Parameters\n----------", "Outputs\n-------"):
        assert text.count(word) == 1
    assert "Outputs\n" in pydoc.render_doc(resolver, renderer=pydoc.plaintext)


def test_what_an_optimizer_searches_is_said_to_be_searched():
    schema = ms.ParallelismOptimizer.schema
    assert (schema.default[["tp", "pp", "dp", "schedule", "zero_stage"]] == "searched").all()
    assert "every whole factorisation" in ms.ParallelismOptimizer.__doc__
    assert ms.PlacementOptimizer.schema.default["region"] == "searched"
    assert inspect.signature(ms.BatchingOptimizer.best).parameters["max_batch"].default is None
    assert inspect.signature(ms.BatchingOptimizer.best).parameters["objective"].default is None


def test_what_is_bound_is_the_default():
    found = inspect.signature(BOUND.solve).parameters
    assert (
        found["model"].default == "llama3_1_8b"
        and found["tp"].default == 4
        and found["hardware"].default is inspect.Parameter.empty
    )
    assert inspect.signature(ms.ServingModel).parameters["hardware"].default is REQUIRED
    assert str(inspect.signature(ms.ServingModel.solve)).startswith("(*, model, hardware, precision='bf16', ")


def test_a_question_stays_a_method():
    ask = ms.ServingModel.solve
    assert inspect.ismethod(ask) and ask.__self__ is ms.ServingModel and ask.__name__ == "solve"
    assert pickle.loads(pickle.dumps(ask)).__self__.name == "ServingModel"
    assert copy.deepcopy(ms.ServingModel).best.__name__ == "best"
    assert inspect.isfunction(ms.Resolver.best) and "feasible" in ms.Resolver.best.__doc__


def test_classes_keep_what_is_theirs():
    assert list(inspect.signature(Model).parameters) == ["name", "kernel", "domain", "walls"]
    assert Model.__doc__.startswith("Tier 1") and ms.Composition.__doc__.startswith("Several resolvers")
    assert ms.Resolver.__doc__.startswith("Something that answers")


def test_nothing_of_it_is_made_before_somebody_looks():
    code = (
        "import sys, mlsysim as ms; ms.TailLatencyModel.solve(arrival_rate=1, service_latency=0.1);"
        "print('mlsysim.resolver.signature' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("jedi", [True, False])
def test_inputs_complete_in_ipython(jedi):
    pytest.importorskip("IPython")
    from IPython.core.completer import provisionalcompleter
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.user_ns |= {"ms": ms, "chain": CHAIN}
    shell.Completer.use_jedi = jedi

    def complete(text):
        with provisionalcompleter():
            return {c.text for c in shell.Completer.completions(text, len(text))}

    assert {"batch_size=", "bandwidth_efficiency="} <= complete("ms.ServingModel.solve(ba")
    assert "seq_len=" in complete("ms.ServingModel.best('itl', seq")
    assert "hardware=" in complete("ms.ServingModel(har")
    assert {"duration=", "duration_days="} <= complete("chain.solve(dur")
    assert {"target_itl=", "tp="} <= complete("ms.BatchingOptimizer.solve(t")
    told = shell.object_inspect_text("ms.ServingModel")
    assert "seq_len : required; >= 1" in told and "Signature" in told


# --- the schema ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resolver", EVERY, ids=lambda r: r.name)
def test_every_row_of_a_schema_says_what_it_is(resolver):
    schema = resolver.schema
    assert not inputs(resolver).index.has_duplicates
    for name, row in schema.iterrows():
        assert row.meaning and row.role in ("input", "option", "output"), name
        assert (row.default == "") == (row.role == "output"), name
    assert (
        schema.default[[n for n in ("precision", "assume", "fleet", "fabric", "kv_precision") if n in schema.index]]
        != "required"
    ).all()


def test_what_one_writes_is_in_the_schema():
    for name in ("model", "hardware", "precision", "fleet", "fabric", "assume"):
        assert name in ms.ServingModel.schema.index
    assert {"region", "datacenter"} <= set(ms.EconomicsModel.schema.index)
    assert "format" not in ms.ServingModel.schema.index
