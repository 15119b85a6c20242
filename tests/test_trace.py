"""The equations behind a number: they are those of the answer, and each of them gives what is shown."""

import sys

import numpy as np
import pytest
from configurations import CONFIGURATIONS

import mlsysim as ms
from mlsysim.resolver import Model
from mlsysim.schema.variables import VARIABLES
from mlsysim.why import docstrings
from mlsysim.why.expression import exponents, unit_of

MODELS = [name for name, one in ms.RESOLVERS.items() if isinstance(one, Model) and name in CONFIGURATIONS]


def single(inputs):
    """A configuration of the contract with the first value of every axis."""
    return {k: v[0] if isinstance(v, (list, tuple, np.ndarray)) else v for k, v in inputs.items()}


def same(a, b, within=0.0):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k], within) for k in a)
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(same(one, other, within) for one, other in zip(a, b))
    if a is None or isinstance(a, str):
        return a == b
    return bool(np.allclose(np.float64(a), np.float64(b), rtol=within, atol=0.0, equal_nan=True))


@pytest.mark.parametrize("name", MODELS)
def test_every_value_is_that_of_the_answer_and_every_equation_gives_what_is_shown(name):
    resolver, inputs = ms.RESOLVERS[name], single(CONFIGURATIONS[name][0])
    found, answer = ms.trace(resolver, **inputs), resolver.solve(**inputs)
    shown = {k: v for k, v in found.outputs.items() if k in answer}
    assert len(shown) > 3 and all(same(answer[k].values[()], v) for k, v in shown.items())
    equations = [e for top in found.equations for _, e in top.walk()]
    assert equations
    for equation in equations:
        if not any(callable(value) for value in equation.inputs.values()):
            assert same(equation.recomputed(), equation.result, 1e-13), equation.name


def test_units_follow_from_those_of_the_inputs():
    """A dimensional analysis of every kernel: where the units of the inputs decide that of an output, it is the schema's."""
    inferred = 0
    for name in MODELS:
        for inputs in CONFIGURATIONS[name]:
            program, known = ms.RESOLVERS[name].program(**inputs), {}
            for output, node in program.outputs.items():
                unit, declared = unit_of(node, known), VARIABLES[output]
                if unit and declared.kind in ("real", "count") and output != "bits_per_value":  # eight bits to a byte
                    inferred += 1
                    assert exponents(unit) == exponents(declared.unit), f"{name}.{output}"
    assert inferred > 600


def serving(**more):
    return ms.trace(ms.ServingModel, model="llama3_1_8b", hardware="h100", seq_len=2048, batch_size=8, **more)


def test_the_text_has_values_units_formulas_and_references():
    text = repr(serving(output="itl"))
    itl = ms.ServingModel.solve(model="llama3_1_8b", hardware="h100", seq_len=2048, batch_size=8).itl.item()
    assert f"itl = phase.time = {1e3 * itl:.4g} ms" in text
    assert "serving.decode_step" in text and "hardware.mem_bandwidth = 3.35 TB/s" in text
    assert "arXiv:2211.05102" in text and "t0 + B / (f BW)" in text


def test_only_what_an_output_rests_on_is_told():
    prefill, decode = repr(serving(output="ttft", depth=9)), repr(serving(output="itl", depth=9))
    assert "prefill_step" in prefill and "prefill_step" not in decode
    assert "decode_step" in decode and "decode_step" not in prefill
    assert "allreduce" not in decode, "a device alone exchanges nothing"
    assert "layer_allreduces_time" in repr(serving(output="itl", depth=9, tp=2))


def test_depth_bounds_the_text_and_nothing_else():
    short, long = serving(depth=1), serving(depth=9)
    assert len(repr(short)) < len(repr(long)) / 4
    assert "more equations inside: depth=2" in repr(short)
    assert short.table.equals(long.table) and set(short.table["depth"]) > {0, 1, 2}
    assert {"equation", "value", "unit", "computed", "formula", "reference"} <= set(short.table)


def test_expressions_compute_what_they_say():
    found = ms.trace(ms.ReliabilityModel, output="failure_probability", fleet="dgx_h100", job_duration="1 day")
    probability = found.equations[-1] if found.equations[-1].label == "failure_probability" else found.equations[-2]
    values = {f.name: float(f.value) for f in probability.arguments} | {"expm1": np.expm1}
    assert eval(probability.values[0].computed, {}, values) == found.outputs["failure_probability"]
    assert probability.formula == "1 - exp(-T rate)" and "Young 1974" in probability.reference


def test_compositions_tell_each_kernel():
    both = ms.compose(ms.DistributedModel, ms.EconomicsModel)
    run = {"model": "llama3_1_8b", "hardware": "h100", "tp": 1, "dp": 64, "tokens": 1e12, "region": "usa"}
    run |= {"seq_len": 8192, "global_batch": 256}
    found = ms.trace(both, output="tco", **run)
    assert [e.label for e in found.equations] == ["distributed", "economics"]
    assert found.outputs["tco"] == both.solve(**run).tco.item()


def test_nothing_watches_afterwards():
    serving()
    assert sys.getprofile() is None
    with pytest.raises(TypeError):
        ms.trace(ms.ServingModel, modle="llama3_1_8b")
    assert sys.getprofile() is None


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: serving(tp=[1, 2]), "trace takes one configuration, a value for each input; tp has 2"),
        (lambda: serving(output="itk"), "no output 'itk'; nearest: itl"),
        (lambda: serving(depth=-1), "depth=-1: must be a whole number, at least 0"),
        (
            lambda: ms.trace(ms.ParallelismOptimizer, model="llama3_1_8b"),
            "no outputs of one configuration, which trace",
        ),
        (lambda: ms.trace("serving"), "trace: 'serving' is no resolver"),
    ],
)
def test_errors(ask, words):
    with pytest.raises((TypeError, ValueError), match=words.replace("?", r"\?")):
        ask()


def test_docstrings_are_read():
    doc = "Time to read (s): ``b / w``.\n\nParameters\n----------\nb : ``x = 2``.\n\nReferences\n----------\nDoe 2001."
    assert docstrings.formula(doc) == "b / w" and docstrings.unit(doc) == "s"
    assert docstrings.formula("Uses ``name``.") == ""
