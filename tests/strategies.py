"""Random valid inputs of every kernel, drawn from its signature, the schema and the registries.

``arguments(kernel)`` draws what one call needs: records from rows of the zoo, options from their labels,
counts and quantities inside their bounds and on scales that occur.  ``layouts()`` draws parallel layouts that
divide.
"""

import functools
import importlib
import math
import pkgutil

import numpy as np
from hypothesis import strategies as st

import mlsysim.models
from mlsysim import zoo
from mlsysim.engine import cache
from mlsysim.engine.parameters import REQUIRED
from mlsysim.equations.stage import Stage
from mlsysim.resolver import Kernel, Model
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Precision
from mlsysim.schema.records import Accelerator, Fleet, Format, Site, Workload
from mlsysim.schema.variables import VARIABLES

#: Where quantities of a unit usually lie.
SCALES = {
    "s": (1e-6, 1e7),
    "1/s": (1e-3, 1e5),
    "byte": (1.0, 1e14),
    "byte/s": (1e6, 1e13),
    "FLOP": (1e15, 1e27),
    "FLOP/s": (1e9, 1e17),
    "USD": (1.0, 1e9),
    "USD/s": (1e-6, 1.0),
    "USD/J": (1e-9, 1e-6),
    "J": (1.0, 1e15),
    "W": (1.0, 1e8),
    "kg": (1.0, 1e9),
    "kg/J": (1e-9, 1e-6),
    "L": (1.0, 1e9),
    "L/J": (1e-8, 1e-5),
    "1": (1e-3, 1e3),
}

#: Where single inputs lie that their unit does not tell: (low, high).
RANGES = {
    "tokens": (1e8, 1e14),
    "params": (1e7, 1e13),
    "served_tokens": (1e6, 1e15),
    "unique_tokens": (1e8, 1e14),
    "batch_tokens": (1e4, 1e8),
    "student_params": (1e6, 1e10),
    "uncompressed_params": (0, 1e6),
    "compute_budget": (1e18, 1e27),
    "seq_len": (1, 131072),
    "output_len": (2, 16384),
    "batch_size": (1, 1024),
    "global_batch": (1, 8192),
    "micro_batch": (1, 16),
    "n_accelerators": (1, 65536),
    "n_nodes": (1, 20000),
    "bits": (2, 16),
    "baseline_bits": (8, 32),
    "rate_cv": (0, 3),
    "dimensions": (2, 3),
    "tiers": (1, 4),
    "duration": (60, 1e9),
}

#: Models, devices and fleets with everything published that kernels ask for.
MODELS = ("llama3_1_8b", "llama3_1_70b", "mixtral_8x7b", "deepseek_v3", "gpt3_175b", "gemma2_27b")
DEVICES = ("h100_sxm5_80gb", "a100_sxm4_80gb", "h200_sxm_141gb", "b200_sxm_180gb", "mi300x")


@functools.cache
def models() -> dict[str, Model]:
    """Every resolver of tier 1 by name."""
    found = {}
    for module in pkgutil.iter_modules(mlsysim.models.__path__):
        for value in vars(importlib.import_module(f"mlsysim.models.{module.name}")).values():
            if isinstance(value, Model):
                found[value.name] = value
    return dict(sorted(found.items()))


def number(name: str) -> st.SearchStrategy:
    """Values of one plain input, as kernels receive it (options as codes)."""
    variable = VARIABLES[name]
    if variable.kind == "option":
        return st.sampled_from([int(option) for option in variable.options])
    if variable.kind == "flag":
        return st.sampled_from([0.0, 1.0])
    low, high = RANGES.get(name, SCALES.get(variable.unit, (1e-3, 1e3)))
    if variable.kind == "count" and name not in RANGES:
        low, high = 1, 64
    low, high = max(low, variable.low), min(high, variable.high)
    if variable.kind == "count":
        return st.integers(math.ceil(max(low, variable.low)), math.floor(high)).map(float)
    if high <= 1.0:
        inside = st.floats(0.01, 0.99).map(lambda share: low + share * (high - low))
        return inside if variable.above else st.one_of(st.just(float(low)), inside)
    logarithms = st.floats(math.log(max(low, 1e-12, high * 1e-15)), math.log(high))
    return logarithms.map(lambda x: min(max(math.exp(x), low), high))


def _known(record):
    """The record with a plausible value where nobody published one."""
    filled = {}
    for name, value in record._asdict().items():
        if isinstance(value, float) and math.isnan(value):
            variable = VARIABLES[name]
            low, high = SCALES.get(variable.unit, (1.0, 1.0))
            middle = 1.0 if variable.unit == "1" else math.sqrt(low * high)
            filled[name] = min(max(middle, variable.low), variable.high)
    return record._replace(**filled)


@functools.cache
def _accelerator(name, precision):
    return _known(zoo.accelerator_record(zoo.hardware(name), precision))


def record(kind: type) -> st.SearchStrategy:
    """Records of one kind, from rows of the registries."""
    precisions = st.sampled_from([Precision.FP16, Precision.BF16, Precision.INT8])
    if kind is Workload:
        return st.sampled_from(MODELS).map(lambda name: _known(zoo.workload_record(zoo.model(name))))
    if kind is Accelerator:
        return st.builds(_accelerator, st.sampled_from(DEVICES), precisions)
    if kind is Format:
        return precisions.map(zoo.format_record)
    if kind is Fleet:
        return st.sampled_from(DEVICES).map(lambda name: _known(zoo.fleet_record(None, zoo.hardware(name))))
    if kind is Site:
        grids = st.sampled_from(("usa", "deu", "fra", "swe"))
        centre = zoo.datacenter()
        return grids.map(lambda name: _known(zoo.site_record(zoo.grid(name), centre)))
    if kind is Assumptions:
        return st.just(Assumptions())
    raise TypeError(f"{kind!r} is no record")


@st.composite
def arguments(draw, kernel: Kernel, optional: bool = True, rows: int | None = None):
    """Arguments of one call; optional inputs come and go unless `optional` is false; arrays of that many `rows`."""
    chosen = {}
    for name, parameter in kernel.parameters.items():
        required = parameter.default is REQUIRED
        if not required and not (optional and draw(st.booleans())):
            continue
        one = number(name) if parameter.record is None else record(parameter.record)
        chosen[name] = draw(one) if rows is None else _stacked([draw(one) for _ in range(rows)])
    if "cached_prefix" in chosen and "seq_len" in chosen:  # a part of the prompt
        chosen["cached_prefix"] = np.minimum(chosen["cached_prefix"], chosen["seq_len"] - 1.0)
    return chosen


def _stacked(values: list):
    """Numbers as an array, records as a record of arrays."""
    if isinstance(values[0], tuple):
        return type(values[0])(*map(_stacked, zip(*values)))
    return np.array(values, dtype=np.float64)


def keep_loops(patch) -> None:
    """Let equations that loop take the code that the engine compiles and keeps: theirs lives in one process only."""
    patch.setattr(Stage, "loop", property(lambda stage: cache.compiled(stage.source, stage.signature)))


@st.composite
def layouts(draw, devices: int = 4096):
    """Degrees of parallelism whose product divides `devices`, and a batch that they divide."""
    left = draw(st.sampled_from([d for d in (1, 2, 4, 8, 16, 64, 256, 1024, 4096) if d <= devices]))
    degrees = {}
    for name in ("tp", "pp", "cp", "dp"):
        degrees[name] = left if name == "dp" else draw(st.sampled_from([d for d in (1, 2, 4, 8) if left % d == 0]))
        left //= degrees[name]
    micro_batch, rounds = draw(st.sampled_from([1, 2, 4])), draw(st.integers(1, 64))
    degrees["micro_batch"] = micro_batch
    degrees["global_batch"] = micro_batch * rounds * degrees["dp"]
    return {name: float(value) for name, value in degrees.items()}
