"""One contract for every registered resolver, whatever it models (its calls are in configurations.py)."""

import importlib
import inspect
import math
import random
import zlib

import numpy as np
import pytest
import xarray as xr
from answers import answer, plainly, recorded
from configurations import CONFIGURATIONS
from strategies import keep_loops

import mlsysim
from mlsysim import units
from mlsysim.engine.graph import reached
from mlsysim.resolver import Model, Resolver
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.variables import VARIABLES
from mlsysim.search import Best
from mlsysim.search.reduce import signature_order

MODELS = {name: r for name, r in mlsysim.RESOLVERS.items() if isinstance(r, Model)}
ASKED = [name for name in mlsysim.RESOLVERS if CONFIGURATIONS.get(name)]
CALLS = [pytest.param(name, i, id=f"{name}-{i}") for name in MODELS for i in range(len(CONFIGURATIONS.get(name, [])))]
INEXACT = {"exp", "log", "expm1", "log1p", "pow", "stage"}  #: last bits are the library's
#: by how much each base unit shrinks or grows; a FLOP does not: a multiply-add is two by definition
SCALES = {"s": 3.7, "byte": 0.19, "USD": 7.3, "J": 0.61, "kg": 11.0, "L": 0.43, "FLOP": 1.0}

#: constants that carry a unit: the message sizes at which all-reduces were measured
CONSTANTS = {
    "mlsysim.equations.allreduce.SMALL_MESSAGE": "byte",
    "mlsysim.equations.allreduce._SIZES": "byte",
    "mlsysim.equations.launches.NARROWED_APART": "byte",
}


def call(name, i):
    return MODELS[name], CONFIGURATIONS[name][i]


def exact(program, name):
    """Is an output made of operations that IEEE 754 rounds correctly?"""
    return not any(n.op in INEXACT for n in reached([program.outputs[name]]))


def agree(a, b, to_the_bit, what):
    if to_the_bit:
        same = np.asarray(a) == np.asarray(b)
    else:
        same = np.isclose(a, b, rtol=1e-12, atol=0.0, equal_nan=False)
    assert np.all(same), (what, np.asarray(a)[~same][:3], np.asarray(b)[~same][:3])


def arguments(program, index=None, scales=None):
    """What the kernel is called with: all points as arrays that broadcast, or one point as numbers."""

    def value(leaf):
        found = leaf.values
        if scales is not None:
            found = found * factor(unit_of(leaf.name), scales)
        if index is not None:
            return float(found[tuple(index[d] for d in leaf.dims if d in program.axes) if leaf.dims else ()])
        order = [leaf.dims.index(a) for a in program.axes if a in leaf.dims]
        moved = np.transpose(found, order) if leaf.dims else found
        return moved.reshape([n if a in leaf.dims else 1 for a, n in program.sizes.items()] if program.axes else ())

    given = {}
    for name, p in program.parameters.items():
        if program.arguments[name] is None:
            given[name] = None
        elif p.record is None:
            given[name] = value(program.binder.leaves[name])
        else:
            given[name] = p.record(*(value(program.binder.leaves[f"{name}.{f}"]) for f in p.record._fields))
    return given


def unit_of(name):
    short = name.rsplit(".", 1)[-1]
    return VARIABLES[short].unit if short in VARIABLES else Assumptions._field_defaults[short].unit


def factor(unit, scales):
    return math.prod(scales[base] ** power for base, power in units.dimensions(unit))


def test_every_resolver_is_tested():
    assert {name for name in mlsysim.RESOLVERS if not CONFIGURATIONS.get(name)} == set(), (
        'add CONFIGURATIONS = {"ItsName": [...]} to its test_reference_*.py, or calls to configurations.py'
    )


@pytest.mark.parametrize("name", ASKED)
def test_every_declared_output_is_reached(name):
    resolver = mlsysim.RESOLVERS[name]
    found = set()
    for i in range(len(CONFIGURATIONS[name])):
        result = answer(name, i)
        found |= {str(v) for v in result.variables}
    assert set(resolver.outputs) - found == set()


@pytest.mark.parametrize("name", ASKED)
def test_every_variable_of_an_answer_is_described(name):
    for i in range(len(CONFIGURATIONS[name])):
        result = answer(name, i)
        assert result.attrs["resolver"] and result.attrs["version"] == mlsysim.__version__ and result.attrs["call"]
        for variable in result.data_vars:
            about = result[variable].attrs
            assert about.get("long_name"), variable
            assert about.get("units"), variable
            if name in MODELS:
                assert about["units"] == VARIABLES[variable].unit, variable
        for coordinate in result.coords:
            if coordinate in VARIABLES:
                assert result[coordinate].attrs.get("units") == VARIABLES[coordinate].unit, coordinate


@pytest.mark.parametrize("name, i", CALLS)
def test_called_with_numbers_it_is_the_same_physics(name, i):
    """At points that take every value of every axis, each in an order of its own."""
    model, program, result = MODELS[name], recorded(name, i), plainly(name, i)
    pick = random.Random(zlib.crc32(f"{name} {i}".encode()))
    orders = {a: pick.sample(range(n), n) for a, n in program.sizes.items()}
    to_the_bit = {output: exact(program, output) for output in program.outputs if output in result.data_vars}
    for k in range(min(max(program.shape, default=1) + 1, program.n_points)):
        index = {a: order[k % len(order)] for a, order in orders.items()}
        found = model.kernel(**arguments(program, index))
        for output, bits in to_the_bit.items():
            value = float(getattr(found, output))
            agree(result[output].isel(index).item(), value, bits, (output, index, program.outputs[output]))
        assert [f for f in found._fields if getattr(found, f) is None] == program.absent


@pytest.mark.parametrize("name, i", CALLS)
def test_an_input_left_out_is_its_default_written_out(name, i):
    """Defaults are doubles too: Python's own numbers divide, negate and warn otherwise."""
    model, program = MODELS[name], recorded(name, i)
    index = dict.fromkeys(program.sizes, 0)
    every = arguments(program, index)
    parameters = program.parameters
    default = {n for n in every if parameters[n].record is None and n not in program.binder.columns}
    whole = model.kernel(**every)
    for output, value in model.kernel(**{n: v for n, v in every.items() if n not in default})._asdict().items():
        written = getattr(whole, output)
        assert value == written or (value is None and written is None), output


@pytest.mark.parametrize("name, i", CALLS)
def test_plans_agree(name, i, interpreted):
    model, configuration = call(name, i)
    program, plain = recorded(name, i), plainly(name, i)
    with interpreted(chunk=4, tile=32, enough=8, table=max(1, program.n_points // 3), stores=4):
        nest = model.solve(plan="nest", **configuration)
    for output in plain.data_vars:
        agree(plain[output].values, nest[output].values, exact(program, output), output)


@pytest.mark.parametrize("name, i", CALLS)
def test_the_streamed_best_is_the_stored_best(name, i, interpreted):
    model, configuration = call(name, i)
    program, plain = recorded(name, i), plainly(name, i)
    ranked = signature_order(program)
    objectives = [o for o in plain.data_vars if o in VARIABLES and VARIABLES[o].better]
    if "feasible" in program.outputs and program.missing(program.outputs["feasible"]) is not None:
        pytest.fail("feasible depends on a datum that is missing: choose devices that have it")
    feasible = (
        plain.feasible.transpose(*ranked).values if "feasible" in plain else np.ones(program.n_points, dtype=bool)
    )
    with interpreted(chunk=8, tile=32, enough=8, table=max(1, program.n_points // 3)):
        answers = model.sweep([Best(o) for o in objectives], plan="nest", block=50, threads=2, **configuration)
    for objective, got in zip(objectives, answers):
        key = plain[objective].transpose(*ranked).values * (-1.0 if VARIABLES[objective].better == "more" else 1.0)
        key = np.where(feasible.reshape(key.shape), key, np.inf).reshape(-1)
        assert bool(got.found) == bool((key < np.inf).any()), objective
        if not got.found:
            continue
        agree(abs(key.min()), abs(got[objective].item()), exact(program, objective), objective)
        if exact(program, objective):
            where = (
                dict(zip(ranked, np.unravel_index(int(np.argmin(key)), [program.sizes[a] for a in ranked])))
                if ranked
                else {}
            )
            for output in plain.data_vars:
                agree(
                    plain[output].isel(where).item(),
                    got[output].item(),
                    exact(program, output),
                    (objective, output),
                )


@pytest.mark.parametrize("name, i", CALLS)
def test_the_order_of_inputs_is_irrelevant(name, i):
    model, configuration = call(name, i)
    plain = plainly(name, i)
    turned = model.solve(plan="plain", **dict(reversed(configuration.items())))
    for output in plain.data_vars:
        assert (plain[output].values == turned[output].transpose(*plain[output].dims).values).all(), output


@pytest.mark.parametrize("name, i", CALLS)
def test_valid_input_gives_numbers(name, i):
    result = plainly(name, i)
    for output in result.data_vars:
        variable = VARIABLES[output]
        values = result[output].values.astype(float)
        assert not np.isnan(values).any(), output
        assert (values >= variable.low).all(), (output, values.min())
        assert (values <= variable.high).all(), (output, values.max())
    if "feasible" in result and "limit" in result:
        assert ((result.limit == 0) == result.feasible).all()


ON_A_DEVICE = [c for c in CALLS if "hardware" in CONFIGURATIONS[c.values[0]][c.values[1]]]


@pytest.mark.parametrize("name, i", ON_A_DEVICE)
def test_a_format_the_device_lacks_is_infeasible_and_no_nan(name, i):
    model, configuration = call(name, i)
    able = model.program(**{**configuration, "hardware": "v100", "precision": "fp16"})
    result = model.solve(plan="plain", **{**configuration, "hardware": "v100", "precision": "bf16"})
    holes = [o for o in result.data_vars if np.isnan(result[o].values.astype(float)).any()]
    assert not holes
    used = {n.payload for n in reached(able.outputs.values()) if n.op == "leaf"}
    if "hardware.peak_flops" in used and "limit" in result:
        assert not result.feasible.any()


@pytest.mark.parametrize("name, i", CALLS)
def test_outputs_scale_by_their_units(name, i, monkeypatch):
    """Other seconds, bytes, dollars ...: a number hidden in a formula would not scale with them."""
    model, configuration = call(name, i)
    program = recorded(name, i)
    keep_loops(monkeypatch)
    scales = {**SCALES, "byte": 1.0} if "bits" in program.parameters else SCALES  # bits fix what a byte is
    with np.errstate(all="ignore"):
        before = model.record(arguments(program), set(configuration))
        for place, unit in CONSTANTS.items():
            module, constant = place.rsplit(".", 1)
            value = getattr(importlib.import_module(module), constant)
            scaled = np.asarray(value) * factor(unit, scales)
            monkeypatch.setattr(place, tuple(scaled.tolist()) if isinstance(value, tuple) else float(scaled))
        after = model.record(arguments(program, scales=scales), set(configuration))
    for output, value in before.items():
        if value is None:
            continue
        expected = np.asarray(value, dtype=float) * factor(unit_of(output), scales)
        got = np.asarray(after[output], dtype=float)
        expected, got = np.broadcast_arrays(expected, got)
        noise = 1e-12 if unit_of(output) == "1" else 0.0  # 1 - x of an x near 1
        wrong = ~np.isclose(got, expected, rtol=1e-9, atol=noise, equal_nan=True)
        assert not wrong.any(), (output, VARIABLES[output].unit, got[wrong][:5], expected[wrong][:5])


@pytest.mark.parametrize("name", [n for n in ASKED if n in MODELS])
def test_bounds_are_enforced(name):
    model, configuration = MODELS[name], CONFIGURATIONS[name][0]
    for parameter in model.parameters().values():
        if parameter.record is not None:
            continue
        variable = VARIABLES[parameter.name]
        wrong = [float("nan"), float("inf"), float("-inf"), "nonsense"]
        if variable.kind != "option":
            if math.isfinite(variable.low):
                wrong.append(variable.low if variable.above else variable.low - 1)
            if math.isfinite(variable.high):
                wrong.append(variable.high * 1.5)
        if variable.kind == "count":
            wrong += [variable.low + 0.5, True]
        for value in wrong:
            with pytest.raises(ValueError, match=parameter.name):
                model.program(**{**configuration, parameter.name: value})
            with pytest.raises(ValueError, match=parameter.name):
                model.program(**{**configuration, parameter.name: [value]})


@pytest.mark.parametrize("name", ASKED)
def test_nonsense_is_refused(name):
    resolver, configuration = mlsysim.RESOLVERS[name], CONFIGURATIONS[name][0]
    with pytest.raises(TypeError, match="no_such_input"):
        resolver.solve(**configuration, no_such_input=3)
    if "hardware" in configuration:
        with pytest.raises(ValueError, match="h1000"):
            resolver.solve(**{**configuration, "hardware": "h1000"})


@pytest.mark.parametrize("name", ASKED)
def test_it_introduces_itself(name):
    resolver = mlsysim.RESOLVERS[name]
    assert resolver.name == name and resolver.domain in (
        "node",
        "data",
        "algorithm",
        "fleet",
        "operations",
        "analysis",
    )
    assert name in repr(resolver) and resolver._repr_html_().startswith("<b>")
    schema = resolver.schema
    assert set(resolver.outputs) <= set(schema.index)
    assert (schema[schema["role"] != "option"]["meaning"].str.len() > 0).all()
    assert resolver.__doc__ and "Returns" in resolver.__doc__
    for output in resolver.outputs:
        assert VARIABLES[output].unit and VARIABLES[output].meaning


@pytest.mark.parametrize("name", [n for n in ASKED if n in MODELS])
def test_it_answers_before_it_runs(name):
    text = MODELS[name].explain(**CONFIGURATIONS[name][0])
    assert "points" in text and "to compile once" in text


@pytest.mark.parametrize("name", [n for n in ASKED if n in MODELS])
def test_its_searches_compile(name):
    """numba's own view of types: what NumPy forgives it does not."""
    model, configuration = MODELS[name], CONFIGURATIONS[name][0]
    program = recorded(name, 0)
    objective = next(o for o in program.outputs if VARIABLES[o].better and program.missing(program.outputs[o]) is None)
    plain = model.best(objective, plan="plain", **configuration)
    nest = model.best(objective, plan="nest", **configuration)
    xr.testing.assert_allclose(plain, nest, rtol=1e-12)


def test_an_input_named_like_an_option_of_a_search_is_told():
    """Such inputs are bound first."""
    for method in ("solve", "best", "top", "pareto", "root", "sweep"):
        own = set(inspect.signature(getattr(Resolver, method)).parameters)
        clash = {(name, p) for name in MODELS for p in MODELS[name].parameters() if p in own}
        assert clash <= {("ResponsibleEngineeringModel", "epsilon")}
    model = MODELS["ResponsibleEngineeringModel"]
    call = {"base_training_time": "3 days", "batch_size": 490, "dataset_size": 60000, "epochs": [3.0, 49.0]}
    with pytest.raises(TypeError, match=r"ResponsibleEngineeringModel\(epsilon=\.\.\.\)"):
        model.pareto("dp_training_time", epsilon=0.5, **call)
    assert model(epsilon=0.5).pareto("dp_training_time", **call).sizes["point"] == 1
