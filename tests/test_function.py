"""Resolvers as functions of a few inputs: the same bits as `solve`, and the same refusals."""

import inspect
import re
from unittest import mock

import numpy as np
import pytest
from random_points import table

import mlsysim as ms
from mlsysim.engine import cache, function
from mlsysim.engine.parameters import REQUIRED
from mlsysim.resolver import Model
from mlsysim.schema import codes
from mlsysim.schema.variables import VARIABLES

#: values that stand for any: some are far from the usual
pytestmark = pytest.mark.filterwarnings("ignore:.*far from the usual")

MODELS = [name for name, resolver in ms.RESOLVERS.items() if isinstance(resolver, Model)]
SERVING = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 2048}


def free_of(resolver, call):
    """Numeric inputs of a call that can be free, with their values."""
    plain = [n for n, p in resolver.parameters().items() if p.record is None and VARIABLES[n].kind in ("real", "count")]
    return {n: float(call[n]) for n in plain if n in call and isinstance(call[n], (int, float, np.number))}


def agree(f, resolver, bound, values):
    expected = resolver.solve(plan="plain", **bound, **values)
    found = f(**values)
    assert set(found._fields) <= {str(n).replace(".", "_") for n in expected.data_vars}
    for name, value in found._asdict().items():
        other = expected[name].values.item()
        assert value == other or (value != value and other != other), (name, value, other, values)


@pytest.mark.parametrize("name", MODELS)
def test_a_function_has_the_bits_of_solve(name):
    """With one input free, and with all; as Python's lines, and compiled where it is short enough for a test."""
    resolver, rng = ms.RESOLVERS[name], np.random.default_rng([17, len(name)])
    done = 0
    for _ in range(8):
        call = {k: v[0] for k, v in table(name, rng, 1).items()}
        values = free_of(resolver, call)
        one = dict([list(values.items())[int(rng.integers(len(values)))]]) if values else {}
        for free in filter(None, (one, values)):
            bound = {k: v for k, v in call.items() if k not in free}
            try:
                with mock.patch.object(function, "LONG", 1e9):
                    f = resolver.function(*free, **bound)
                agree(f, resolver, bound, free)
            except (TypeError, ValueError) as error:
                if "follows" not in str(error):  # else a default that follows what is free
                    with pytest.raises(type(error), match=re.escape(str(error))):
                        resolver.solve(**call)
                continue
            done += 1
    assert done


@pytest.mark.parametrize(
    ("resolver", "bound", "tried"),
    [
        (ms.ServingModel, SERVING, {"batch_size": [1, 2, 77, 4096], "tp": [1, 2, 3, 8]}),
        (
            ms.EconomicsModel,
            {"hardware": "h100", "region": "usa"},
            {"n_accelerators": [1, 8, 1e6], "duration": [1.0, 1e9, 3e7]},
        ),
    ],
)
def test_compiled_code_has_the_bits_of_solve(resolver, bound, tried):
    with mock.patch.object(function, "LONG", 1), mock.patch.object(cache, "compiled", wraps=cache.compiled) as compiled:
        f = resolver.function(*tried, **bound)
    assert compiled.called
    for values in zip(*tried.values()):
        agree(f, resolver, bound, dict(zip(tried, values)))


def test_logarithms_stay_with_python_and_the_rest_is_compiled():
    bound = {"model": "llama3_1_8b", "hardware": "h100", "n_accelerators": 64, "seq_len": 4096}
    with mock.patch.object(cache, "compiled", wraps=cache.compiled) as compiled:
        f = ms.DistributedModel.function("tp", "global_batch", **bound)
    (text, _), _ = compiled.call_args
    assert "np.log" not in text
    for tp, batch in ((1, 64), (2, 512), (3, 100), (8, 4096), (64, 64)):
        agree(f, ms.DistributedModel, bound, {"tp": tp, "global_batch": batch})


def test_without_a_compiler_python_answers():
    with mock.patch.object(cache, "compiled", lambda *_: None):
        f = ms.ServingModel.function("batch_size", **SERVING)
    agree(f, ms.ServingModel, SERVING, {"batch_size": 48})


def test_one_output_is_a_number_and_several_are_a_tuple():
    f = ms.ServingModel.function("batch_size", outputs="itl", **SERVING)
    g = ms.ServingModel.function("batch_size", outputs=["itl", "feasible"], **SERVING)
    assert f(32) == g(32).itl == g(batch_size=32)[0]
    assert type(f(32)) is float and g(32).feasible is True
    assert g(32)._fields == ("itl", "feasible")


def test_a_fixed_output_and_an_input_are_given_too():
    f = ms.ServingModel.function("batch_size", outputs=["memory_per_device", "limit", "feasible"], **SERVING)
    assert f(2).memory_per_device == float(ms.ServingModel.solve(batch_size=2, **SERVING).memory_per_device)


def test_infeasible_is_data_here_too():
    f = ms.ServingModel.function("batch_size", model="llama3_1_70b", hardware="h100", seq_len=2048)
    ds = ms.ServingModel.solve(batch_size=64, model="llama3_1_70b", hardware="h100", seq_len=2048)
    found = f(64)
    assert found.feasible is False
    assert found.limit is codes.Limit.MEMORY and found.limit == int(ds.limit)
    assert found.itl == float(ds.itl)


def test_bounds_are_those_of_solve():
    f = ms.ServingModel.function("batch_size", outputs="itl", **SERVING)
    for wrong in (0, -1, 2.5, float("nan"), float("inf"), True, "many", None, 2.0**53, [1, 2]):
        with pytest.raises(ValueError, match="batch_size") as told:
            f(wrong)
        with pytest.raises(ValueError, match="batch_size") as expected:
            ms.ServingModel.solve(batch_size=[wrong] if wrong is None else wrong, **SERVING) if not isinstance(
                wrong, list
            ) else f(wrong)
        assert str(told.value) == str(expected.value)
    g = ms.EconomicsModel.function("duration", outputs="tco", hardware="h100", region="usa", n_accelerators=8)
    assert g("1 day") == g(86400) == g(np.float64(86400.0)) == g(np.array([86400.0]))


def test_zero_is_allowed_where_the_bounds_allow_it():
    bound = {
        "hardware": "h100",
        "samples_per_s": 300.0,
        "sample_bytes": 1e5,
        "storage_bandwidth": 1e9,
        "cache_bandwidth": 9e9,
    }
    f = ms.DataModel.function("cache_hit_ratio", **bound)
    for ratio in (0, 0.0, 1, 0.3, 1e-17):
        agree(f, ms.DataModel, bound, {"cache_hit_ratio": ratio})


def test_a_field_takes_along_what_follows_from_it():
    f = ms.SingleNodeModel.function("hardware.tdp", model="llama3_1_8b", hardware="h100", batch_size=1, seq_len=128)
    for watts in (100.0, 350.0, 700.0):
        expected = ms.SingleNodeModel.solve(
            **{"hardware.tdp": watts}, model="llama3_1_8b", hardware="h100", batch_size=1, seq_len=128
        )
        found = f(hardware_tdp=watts)._asdict()
        assert all(found[n] == expected[n].values.item() for n in map(str, expected.data_vars))


def test_scipy_calls_it():
    from scipy.optimize import brentq, minimize, minimize_scalar

    f = ms.EconomicsModel.function("duration", outputs="tco", hardware="h100", region="usa", n_accelerators=8)
    at = brentq(lambda t: f(t) - 1e5, 1e3, 1e9)
    assert f(at) == pytest.approx(1e5)
    g = ms.CheckpointModel.function(
        "checkpoint_interval", outputs="mfu_penalty", model="llama3_1_8b", hardware="h100", n_accelerators=1024
    )
    best = minimize_scalar(g, bounds=(60, 1e5), method="bounded")
    assert g(best.x) <= min(g(t) for t in (60.0, 1e3, 1e4, 9e4))
    h = ms.EconomicsModel.function(
        "duration", "electricity_price", outputs="tco", hardware="h100", region="usa", n_accelerators=8
    )
    found = minimize(h, [1e7, 1e-8], bounds=[(1e6, 1e8), (1e-9, 1e-7)], method="Nelder-Mead")
    assert h(found.x) == h(*found.x) <= h(1e7, 1e-8)


def test_it_says_what_it_is():
    f = ms.ServingModel.function("batch_size", "seq_len", outputs=["itl", "ttft"], model="llama3_1_8b", hardware="h100")
    assert list(inspect.signature(f).parameters) == ["batch_size", "seq_len"]
    assert f.__name__ == "ServingModel"
    assert "batch_size : " in f.__doc__ and "itl : " in f.__doc__ and "(s)" in f.__doc__
    with pytest.raises(TypeError, match="give 2 values: batch_size, seq_len"):
        f(3)
    with pytest.raises(TypeError):
        f()


@pytest.mark.parametrize(
    ("free", "bound", "error", "says"),
    [
        ((), {}, TypeError, "name the inputs that stay free"),
        (("seq_len", "seq_len"), {}, TypeError, "each once"),
        (("seq_lem",), {}, TypeError, "nearest: seq_len"),
        (("seq_len",), {"seq_len": 5}, TypeError, "seq_len is free and must not be given"),
        (("hardware",), {}, ValueError, "hardware is no number"),
        (("precision",), {}, ValueError, "precision is no number"),
        (("seq_len",), {"batch_size": [1, 2]}, ValueError, "batch_size has several values"),
        (("seq_len",), {"sample": 5}, ValueError, "sample has several values"),
        (("seq_len",), {"outputs": "itk"}, ValueError, "nearest: itl"),
    ],
)
def test_what_cannot_be_free_is_refused(free, bound, error, says):
    inputs = {"model": "llama3_1_8b", "hardware": "h100", **bound}
    with pytest.raises(error, match=says):
        ms.ServingModel.function(*free, **inputs)


def test_a_default_that_follows_a_free_input_must_be_given():
    bound = {"model": "llama3_1_8b", "hardware": "h100", "n_accelerators": 64}
    assert ms.DistributedModel.parameters()["global_batch"].default is not REQUIRED
    with pytest.raises(TypeError, match="global_batch follows seq_len, which is free"):
        ms.DistributedModel.function("seq_len", **bound)
    assert ms.DistributedModel.function("seq_len", outputs="step_time", global_batch=512, **bound)(4096) > 0


def test_compositions_are_functions_and_solvers_are_not():
    both = ms.compose(ms.DistributedModel, ms.EconomicsModel)
    bound = {"model": "llama3_1_8b", "hardware": "h100", "region": "usa", "n_accelerators": 64, "global_batch": 512}
    f = both.function("tokens", outputs="tco", **bound)
    assert f(1e12) == float(both.solve(tokens=1e12, **bound).tco)
    for other in (ms.SensitivitySolver, ms.ParallelismOptimizer):
        with pytest.raises(TypeError, match="no outputs of one configuration"):
            other.function("seq_len")


def test_what_lacks_a_datum_for_some_values_is_left_out():
    """A device without a network answers on one device: not where how many there are is free."""
    bound = {"model": "llama3_1_8b", "hardware": "apple_m2_max", "seq_len": 128}
    assert "itl" in ms.ServingModel.function("batch_size", **bound)(4)._fields
    f = ms.ServingModel.function("tp", batch_size=4, **bound)
    assert "itl" in ms.ServingModel.solve(tp=1, batch_size=4, **bound)
    assert f(1)._fields == f(2)._fields
    assert "feasible" in f(1)._fields and "itl" not in f(1)._fields
    with pytest.raises(ValueError, match=r"itl needs .* not known for apple_m2_max"):
        ms.ServingModel.function("tp", outputs="itl", batch_size=4, **bound)
