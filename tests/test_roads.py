"""Every road to an answer gives the same answer, whatever the model: searches and brute force, forms of input, threads."""

import random
import zlib

import numpy as np
import pytest
import xarray as xr
from answers import plainly, recorded
from configurations import CONFIGURATIONS

import mlsysim as ms
from mlsysim.engine.graph import reached
from mlsysim.resolver import Model
from mlsysim.schema.variables import VARIABLES
from mlsysim.search.reduce import signature_order

MODELS = [name for name, resolver in ms.RESOLVERS.items() if isinstance(resolver, Model)]
#: an input of every model, and an output that follows it
ROOTS = {
    "SingleNodeModel": ("mem_bandwidth", "latency"),
    "EfficiencyModel": ("mem_bandwidth", "latency"),
    "ServingModel": ("mem_bandwidth", "itl"),
    "ContinuousBatchingModel": ("mem_bandwidth", "itl_at_capacity"),
    "DisaggregatedServingModel": ("arrival_rate", "itl"),
    "WeightStreamingModel": ("injection_bandwidth", "latency"),
    "TailLatencyModel": ("service_latency", "avg_response_time"),
    "DataModel": ("storage_bandwidth", "link_utilization"),
    "TransformationModel": ("cores", "transform_time"),
    "TopologyModel": ("switch_price", "network_cost"),
    "ScalingModel": ("compute_budget", "optimal_loss"),
    "InferenceScalingModel": ("mem_bandwidth", "itl"),
    "CompressionModel": ("bits", "weight_memory"),
    "DistributedModel": ("peak_flops", "step_time"),
    "ReliabilityModel": ("job_duration", "completion_time"),
    "OrchestrationModel": ("avg_duration", "avg_wait_time"),
    "EconomicsModel": ("duration", "tco"),
    "SustainabilityModel": ("duration", "energy"),
    "CheckpointModel": ("checkpoint_bandwidth", "checkpoint_write_time"),
    "ResponsibleEngineeringModel": ("base_training_time", "dp_training_time"),
}


def grid(name):
    return ms.RESOLVERS[name], CONFIGURATIONS[name][0]


def objectives(stored) -> list[str]:
    """Outputs that have a good direction and vary over the grid."""
    return [
        str(o)
        for o, v in stored.data_vars.items()
        if VARIABLES[o].better and v.values.size > 1 and len(np.unique(v)) > 1
    ]


def keys(program, stored, names):
    """Values of objectives over all feasible points, less is better, in the order in which searches break ties."""
    ranked = signature_order(program)
    whole = xr.broadcast(*(stored[n].astype(float) for n in [*names, "feasible"] if n in stored))
    flat = [a.transpose(*ranked).values.reshape(-1) for a in whole]
    works = flat.pop().astype(bool) if "feasible" in stored else np.ones(flat[0].size, dtype=bool)
    signs = [-1.0 if VARIABLES[n].better == "more" else 1.0 for n in names]
    return np.stack([s * f for s, f in zip(signs, flat)])[:, works]


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("name", MODELS)
def test_searches_are_brute_force_over_the_solved_grid(name):
    model, configuration = grid(name)
    stored, program = plainly(name, 0), recorded(name, 0)
    first, *others = objectives(stored)
    (key,) = keys(program, stored, [first])
    key = np.sort(key[np.isfinite(key)])
    sign = -1.0 if VARIABLES[first].better == "more" else 1.0
    assert key.size > 1
    close(sign * model.best(first, **configuration)[first].item(), key[0])
    top = model.top(5, first, **configuration)[first].values
    close(sign * top[np.isfinite(top)], key[:5])
    second = next((o for o in others if stored[o].dims), first)
    both = keys(program, stored, [first, second])
    both = np.unique(both[:, np.isfinite(both).all(axis=0)], axis=1)
    beaten = [(both <= v[:, None]).all(axis=0) & (both < v[:, None]).any(axis=0) for v in both.T]
    front = both[:, ~np.array([b.any() for b in beaten])]
    goals = {
        "minimize": [o for o in (first, second) if VARIABLES[o].better == "less"],
        "maximize": [o for o in (first, second) if VARIABLES[o].better == "more"],
    }
    got = model.pareto(**goals, **configuration)
    signs = [-1.0 if VARIABLES[o].better == "more" else 1.0 for o in (first, second)]
    found = np.unique(np.stack([s * got[o].values for s, o in zip(signs, (first, second))]), axis=1)
    close(found, front)


@pytest.mark.parametrize("name", MODELS)
def test_the_form_of_an_input_is_irrelevant(name):
    """Lists, tuples, arrays, labelled arrays, a table of points, and one point by itself."""
    model, configuration = grid(name)
    stored = plainly(name, 0)
    lists = {k: v for k, v in configuration.items() if isinstance(v, list)}
    labelled = {k: xr.DataArray(np.array(v), dims=k, coords={k: np.array(v)}) for k, v in lists.items()}
    for form in ({k: tuple(v) for k, v in lists.items()}, {k: np.array(v) for k, v in lists.items()}, labelled):
        other = model.solve(plan="plain", **{**configuration, **form})
        for output in stored.data_vars:
            assert np.array_equal(stored[output].values, other[output].transpose(*stored[output].dims).values), output
    pick = random.Random(zlib.crc32(name.encode()))
    places = [{k: pick.randrange(len(v)) for k, v in lists.items()} for _ in range(9)]
    table = {k: [v[p[k]] for p in places] for k, v in lists.items()}
    rest = {k: v for k, v in configuration.items() if k not in lists}
    paired = model.solve(plan="plain", points=table, **rest)
    alone = model.solve(plan="plain", **rest, **{k: v[places[0][k]] for k, v in lists.items()})
    for output in stored.data_vars:
        each = [stored[output].isel({k: i for k, i in p.items() if k in stored[output].dims}).item() for p in places]
        if output in paired:  # a datum that one device lacks takes an output from all
            assert np.array_equal(np.broadcast_to(paired[output].values, len(places)), each), output
        if output in alone:
            assert alone[output].item() == each[0], output


@pytest.mark.parametrize("name", MODELS)
def test_threads_blocks_and_plans_change_nothing(name, interpreted):
    model, configuration = grid(name)
    stored = plainly(name, 0)
    first = objectives(stored)[0]
    once = model.best(first, plan="plain", **configuration)
    program = recorded(name, 0)
    stages = any(n.op == "stage" for n in reached(program.outputs.values()))
    ways = [{"plan": "plain", "threads": 2, "block": 37}, {"plan": "plain", "threads": 1, "block": 5}]
    with interpreted(chunk=16, tile=64, enough=16, table=max(1, program.n_points // 3)):
        for way in ways + [{"plan": "nest", "threads": 2, "block": 64}] + ([] if stages else [{"plan": "generic"}]):
            again = model.best(first, **way, **configuration)
            close(again[first].item(), once[first].item())


@pytest.mark.parametrize("name", MODELS)
def test_a_root_reproduces_its_target(name):
    model, configuration = grid(name)
    one = {k: v[0] if isinstance(v, list) else v for k, v in configuration.items()}
    unknown, output = ROOTS[name]
    at = model.program(**one).binder.leaves
    known = next(leaf for key, leaf in at.items() if key.rsplit(".", 1)[-1] == unknown)
    x = float(known.values.reshape(-1)[0])
    target = model.solve(plan="plain", **{**one, unknown: x})[output].item()
    one.pop(unknown, None)
    variable = VARIABLES[unknown]
    bounds = (max(x / 8.0, variable.low), min(x * 8.0, variable.high))
    got = model.root(unknown, {output: target}, bounds=bounds, **one)
    assert got.found.item()
    again = model.solve(plan="plain", **{**one, unknown: got[unknown].item()})[output].item()
    np.testing.assert_allclose(again, target, rtol=1e-6)
