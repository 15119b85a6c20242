"""Ten thousand random configurations of every model in one call each: no NaN, and faster parts never cost time."""

import functools
import math

import fuzz
import numpy as np
import pytest
from configurations import CONFIGURATIONS

import mlsysim as ms
from mlsysim import units, zoo
from mlsysim.resolver import Model
from mlsysim.schema import codes
from mlsysim.schema.variables import VARIABLES

N = 10_000
MODELS = [name for name, resolver in ms.RESOLVERS.items() if isinstance(resolver, Model)]
#: models whose equations loop: how many values of an input that the loops do not see cross every draw of the others
CROSSED = {"TailLatencyModel": 4, "ResponsibleEngineeringModel": 20}
#: rates of which more must never make anything slower
RATES = ("peak_flops", "mem_bandwidth", "intra_bandwidth", "inter_bandwidth", "storage_bandwidth", "cpu_throughput")
#: what shows of a part beside the others: it grows when those shrink
PARTS = {
    "prefill_host_time",
    "decode_host_time",
    "overhead_time",
    "prefill_communication_time",
    "decode_communication_time",
    "compute_time",
    "optimizer_time",
    "dp_time",
    "ep_time",
    "tp_time",
    "cp_time",
    "pp_time",
    "bubble_time",
    "exposed_communication",
    "communication_time",
}
DEVICES = ("a100", "h100", "h200", "b200", "mi300x", "gaudi3", "h20_96gb", "a100_sxm4_40gb")
WORKLOADS = ("llama3_1_8b", "llama3_1_70b", "mixtral_8x7b", "deepseek_v3", "gpt3_175b", "gemma2_9b")


def values(given):
    return list(given) if isinstance(given, (list, tuple, np.ndarray, range)) else [given]


def drawn(name: str, given, rng: np.random.Generator) -> list:
    """Random values of one input around those of a sensible call."""
    if name == "model" and given != "resnet50":
        return rng.choice(WORKLOADS, N).tolist()
    if name in ("hardware", "decode_hardware") and set(values(given)) & {"h100", "a100", "h200"}:
        return rng.choice(DEVICES, N).tolist()
    variable = VARIABLES.get(name)
    if variable is not None and variable.options is not None:
        return rng.choice(list(codes.labels(variable.options)), N).tolist()
    word = isinstance(values(given)[0], (str, bool))
    if variable is None or variable.kind == "flag" or (word and variable.unit == "1" and variable.kind != "count"):
        return [values(given)[i] for i in rng.integers(len(values(given)), size=N)]
    centre = np.array([units.parse(v, variable.unit) for v in values(given)])[rng.integers(len(values(given)), size=N)]
    x = centre * np.exp(rng.normal(0.0, 0.7, N))
    if variable.kind == "count":
        x = np.maximum(np.rint(x), variable.low)
    low = variable.low + (1e-9 if variable.above else 0.0)
    return np.clip(x, low, min(variable.high, 1e30)).tolist()


@functools.cache
def table(name: str) -> dict:
    rng = np.random.default_rng(0)
    return {k: drawn(k, v, rng) for k, v in CONFIGURATIONS[name][0].items()}


@functools.cache
def solved(name: str):
    """The answer at all points; nobody changes it."""
    points = table(name)
    if name not in CROSSED:
        return ms.RESOLVERS[name].solve(points=points)
    n, across = CROSSED[name], fuzz.CHEAP[name]
    rows = {k: v[: N // n] for k, v in points.items() if k != across}
    return ms.RESOLVERS[name].solve(points=rows, **{across: points[across][:n]})


@pytest.mark.parametrize("name", MODELS)
def test_no_nan(name):
    ds = solved(name)
    assert math.prod(ds.sizes.values()) == N
    for output, array in ds.data_vars.items():
        assert not np.isnan(array.values.astype(float)).any(), output
    if "feasible" in ds and "limit" in ds:
        assert ds.feasible.dtype == bool and not (ds.feasible & (ds.limit != 0)).any()


#: what is read between tabulated states: how far it may rise where a fixed point moves (2 of 1,000 points, 0.01 % at most)
BETWEEN = {("ContinuousBatchingModel", "step_time"): 2e-4}


@pytest.mark.parametrize("name", MODELS)
def test_faster_parts_never_cost_time(name):
    resolver, points = ms.RESOLVERS[name], table(name)
    program = resolver.program(points=points)
    leaves = {n.rsplit(".", 1)[-1]: n for n in reversed(program.binder.leaves)}  # of two of a name the first
    if not leaves.keys() & set(RATES):
        pytest.skip("no rate among its inputs")
    slow = solved(name)
    times = [k for k in slow.data_vars if VARIABLES[k].unit == "s" and VARIABLES[k].better == "less" and k not in PARTS]
    for rate in RATES:
        leaf = leaves.get(rate)
        if leaf is None or (rate in points and not isinstance(points[rate][0], float)):
            continue
        now = program.binder.leaves[leaf]
        values = now.values if program.kinds is None else program.kinds.spread(now.values, now.dims)[0]
        if not now.dims or np.isnan(values).any():
            continue
        more = {**points, rate: np.where(values > 0, values * 1.7, values).tolist()}
        if rate == "peak_flops":  # a rate that is given is that of the format: who gives it has products in few bits
            given = {**points, rate: values.tolist()}
            slow = resolver.solve(keep=[*times, *({"feasible"} & set(slow))], points=given)
        else:
            slow = solved(name)
        fast = resolver.solve(keep=[*times, *({"feasible"} & set(slow))], points=more)
        # where it does not work (a batch of a fraction, a queue without end) the numbers only say by how far it misses
        works = slow["feasible"].values & fast["feasible"].values if "feasible" in slow else np.ones(N, dtype=bool)
        for output in times:
            before, after = slow[output].values, fast[output].values
            slack = BETWEEN.get((name, output), 1e-7)  # a fixed point is followed to seven digits
            worse = works & (after > before * (1.0 + slack))
            told = f"{output} rises with {rate} in {worse.sum()} of {N}: first {np.flatnonzero(worse)[:1]}"
            assert not worse.any(), told


def test_the_table_is_random_and_known():
    assert zoo.hardware(DEVICES[0]) and len(set(table("ServingModel")["hardware"])) == len(DEVICES)
