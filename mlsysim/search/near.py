"""Where nothing works: the configuration that misses by least, by how much, and the smallest change that works."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from mlsysim.engine.bind import Binder
from mlsysim.engine.graph import Graph, Node
from mlsysim.engine.program import Program
from mlsysim.schema import codes
from mlsysim.schema.codes import Limit, Precision, Recompute
from mlsysim.schema.variables import VARIABLES, field_of
from mlsysim.search.best import Best
from mlsysim.search.gates import checks
from mlsysim.search.reduce import Cells, Seeks, accepted, reduce

FARTHEST = 1e300  #: of a configuration that misses by no amount: a shape, a capability
#: what may be changed without asking another question, the least of a change first: upwards, downwards, to an option
UP = ("tp", "pp", "cp", "zero_stage", "max_parts", "replicas", "n_accelerators")
DOWN = ("batch_size", "micro_batch", "max_batch")
OPTIONS: dict[str, tuple[int, ...]] = {
    "recompute": (Recompute.SELECTIVE, Recompute.FULL),
    "kv_precision": (Precision.FP8,),
    "precision": (Precision.FP8, Precision.INT4),
    "offload": (1,),
}
STEPS = 6  #: doublings, or halvings, of one input
ALL = 64  #: up to which every smaller whole number is tried
NAMED = 3  #: changes that are told


class Miss(NamedTuple):
    """How near a call comes to working.

    Attributes
    ----------
    configuration : dict
        The nearest one: inputs that vary in the call, as it names them.
    limit : str
        What stops it (see `mlsysim.schema.codes.Limit`, or the condition of `where=` that fails).
    excess : float
        What it needs over what it may; NaN where that is no matter of amount.
    changes : list of dict
        The smallest changes that work, an input each, or the fewest together; empty where none was found.
    tried : int
        How many changes were tried.
    """

    configuration: dict[str, Any]
    limit: str
    excess: float
    changes: list[dict[str, Any]]
    tried: int

    def __str__(self) -> str:
        where = " ".join(f"{n}={v}" for n, v in self.configuration.items())
        far = amount(self.limit, self.excess)
        ways = [" ".join(f"{n}={v}" for n, v in change.items()) for change in self.changes]
        cure = (
            f"works with {' or '.join(ways)}"
            if ways
            else f"none of {self.tried} small changes works" * (self.tried > 0)
        )
        return "; ".join(part for part in (f"nearest: {where}, {far}" if where else far, cure) if part)


def amount(limit: str, excess: float) -> str:
    """A limit and by how much it is missed.

    >>> amount("memory", 1.697), amount("memory", 1.0004), amount("shape", float("nan"))
    ('memory 1.70 x', 'memory 1.0004 x', 'shape')
    """
    if not math.isfinite(excess):
        return limit
    return f"{limit} {excess:.2f} x" if excess >= 1.005 else f"{limit} {excess:.5g} x"


# --- by how much ---------------------------------------------------------------------------------------------


def excess(condition: Node, graph: Graph) -> Node:
    """By how much a condition is missed: 0 where it holds, inf where it is no matter of amount; entered in `graph`."""
    args = [graph.lift(one) for one in condition.args]
    if condition.op == "and":
        return graph.apply("max", (excess(args[0], graph), excess(args[1], graph)))
    if condition.op == "or":
        return graph.apply("min", (excess(args[0], graph), excess(args[1], graph)))
    if condition.op == "where" and condition.truth:
        return graph.apply("where", (args[0], excess(args[1], graph), excess(args[2], graph)))
    over: Any = np.inf
    if condition.op in ("le", "lt", "ge", "gt"):
        over = args[0] / args[1] if condition.op in ("le", "lt") else args[1] / args[0]
        over = graph.apply("where", (over >= 1.0, over, np.inf))
    return graph.apply("where", (condition, 0.0, over))


def misses(program: Program) -> Node:
    """By how much the first limit that stops a point is missed: NaN where it is no matter of amount, or nothing stops it."""
    found: Any = math.nan
    for condition, _ in reversed(checks(program.graph.lift(program.outputs["limit"]))):
        far = excess(condition, program.graph)
        own = program.graph.apply("where", (far < np.inf, far, math.nan))
        found = program.graph.apply("where", (condition, found, own))
    return program.graph.lift(found)


def amounts(program: Program, positions: np.ndarray) -> np.ndarray:
    """By how much some points miss, by their flat numbers (see `misses`)."""
    index = dict(zip(program.axes, np.unravel_index(positions, program.shape))) if program.axes else {}
    found = program.at({"miss": misses(program)}, index)["miss"]
    return np.broadcast_to(found, positions.shape)


class Least(Best):
    """The position of the point that misses its conditions by least."""

    def __init__(self, where: Any = None):
        super().__init__("limit", False, where=where)

    def columns(self, program: Program) -> list[Node]:
        _, conditions = accepted(program, self.where)
        self.clauses, self.seeks = [], Seeks(key=True, verdict=False, works=False)
        limit = program.graph.lift(program.outputs.get("limit", 0.0))
        far: Any = 0.0
        for one in [*(c for c, _ in checks(limit)), *(node for _, node in conditions)]:
            far = program.graph.apply("max", (far, excess(one, program.graph)))
        finite = program.graph.apply("where", (far < FARTHEST, far, FARTHEST))
        return [program.graph.lift(finite)]

    def finish(self, states: list[Any], program: Program, cells: Cells) -> Any:
        return {axis: positions[:1] for axis, positions in self.winning(states, cells)[0].items()}


# --- what would work -----------------------------------------------------------------------------------------


def nearest(resolver: Any, where: Any = None, **inputs: Any) -> Miss | None:
    """The configuration of a call that misses by least, and the smallest change that works.

    Parameters
    ----------
    resolver : Resolver
    where : str or sequence of str, optional
        Conditions, as in `Resolver.best`.
    **inputs
        Of the call.

    Returns
    -------
    Miss or None
        None where something works.  The text of a `Miss` is one line.

    Notes
    -----
    One more pass over the grid, and some hundred changes of the nearest configuration: degrees of parallelism up to
    64 times larger, batches smaller, recomputation, narrower formats, offloading, of those that the resolver has; one
    at a time, then two.
    """
    program = resolver.program(**{n: v for n, v in inputs.items() if n not in ("sample", "seed", "quantile")})
    index: Any = reduce(program, [Least(where)])[0]
    node, conditions = accepted(program, where)
    parts: dict[str, Node] = {
        "works": node,
        "miss": misses(program),
        "limit": program.graph.lift(program.outputs["limit"]),
    }
    for i, (_, clause) in enumerate(conditions):
        parts |= {f"clause {i}": clause, f"excess {i}": excess(clause, program.graph)}
    at = {name: value[0] for name, value in program.at(parts, index).items()}
    if at["works"]:
        return None
    limit, far = codes.label(Limit(int(at["limit"]))), float(at["miss"])
    if not at["limit"]:
        i = next(i for i in range(len(conditions)) if not at[f"clause {i}"])
        limit, far = conditions[i][0], float(at[f"excess {i}"])
    fixed, named = _configuration(program, index)
    changes, tried = _changes(program, fixed, where)
    return Miss(named, limit, far if math.isfinite(far) else math.nan, changes, tried)


def _configuration(program: Program, index: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs of one point: all of them as the engine reads them, and those that vary as one writes them."""
    fixed: dict[str, Any] = {}
    named: dict[str, Any] = {}
    places = program.with_kinds(index)
    for name, column in program.binder.columns.items():
        at = tuple(int(places[d][0]) if d in places else 0 for d in column.dims)
        value, variable = column.values[at], VARIABLES.get(field_of(name))
        plain = variable is not None and name not in program.binder.picks and variable.kind != "option"
        fixed[name] = xr.DataArray(float(value), attrs={"units": variable.unit}) if variable and plain else value
        if any(d in places for d in column.dims):
            named[name] = _shown(column.labels[at])
    return fixed, named


def _shown(label: Any) -> Any:
    return f"{label:g}" if isinstance(label, float) else getattr(label, "key", label)


def _levers(program: Program) -> dict[str, list[float]]:
    """Inputs that may be changed: the value now, and values to try, the nearest first."""
    found: dict[str, list[float]] = {}
    for name in (*UP, *DOWN, *OPTIONS):
        now = _now(program.binder, name)
        if isinstance(now, (int, float, np.number)):
            found[name] = [float(now), *_tries(name, float(now))]
    return {name: values for name, values in found.items() if len(values) > 1}


def _now(binder: Binder, name: str) -> Any:
    """The value of an input in a call, or what is taken for it; None where it has none."""
    column, parameter, pick = binder.columns.get(name), binder.parameters.get(name), binder.picks.get(name)
    if pick is not None and binder.checkpoints is not None:  # formats as the file of the model states
        return None
    if column is not None:
        return column.values.reshape(-1)[0]
    if name == "kv_precision" and pick is not None:
        return _now(binder, "precision")
    return pick.default if pick is not None else None if parameter is None else parameter.default


def _tries(name: str, now: float) -> list[float]:
    if name in OPTIONS:
        narrow = {"precision", "kv_precision"} & {name}
        return [float(code) for code in OPTIONS[name] if (code > now or not narrow) and code != now]
    variable = VARIABLES[name]
    if name == "zero_stage":
        return [x for x in (1.0, 2.0, 3.0) if x > now]
    if name == "replicas":
        return [now + k for k in range(1, ALL + 1)]
    if name in UP:  # and the powers of two around, where it is none
        doubled = {now * 2**k for k in range(1, STEPS + 1)} | {2.0**k for k in range(STEPS + 1) if now % 2}
        return sorted((x for x in doubled if x != now and x <= variable.high), key=lambda x: abs(math.log(x / now)))
    if variable.kind != "count":
        return []
    most = int(now) - 1
    few_ = range(most, 0, -1) if most <= ALL else np.unique(np.geomspace(1, most, ALL).astype(int))[::-1]
    return [float(x) for x in few_]


def _changes(program: Program, fixed: Mapping[str, Any], where: Any) -> tuple[list[dict[str, Any]], int]:
    """The smallest changes of one configuration that work, and how many were tried."""
    levers = _levers(program)
    single = [{name: value} for name, values in levers.items() for value in values[1:]]
    double = [
        {a: x, b: y}
        for a, b in itertools.combinations(levers, 2)
        for x, y in itertools.product(_sparse(levers[a][1:]), _sparse(levers[b][1:]))
    ]
    tried = 0
    for trials in (single, sorted(double, key=lambda change: _size(change, levers))):
        if not trials:
            continue
        tried += len(trials)
        works = _work(program, fixed, where, trials, levers)
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        for change, fits in zip(trials, works):
            if fits:
                found.setdefault(tuple(change), change)
        if found:
            most = NAMED if trials is single else 1
            return [{n: _label(n, v) for n, v in change.items()} for change in list(found.values())[:most]], tried
    return [], tried


def _sparse(values: Sequence[float]) -> Sequence[float]:
    """Some of many values, the first and the last among them."""
    return (
        values
        if len(values) <= STEPS
        else [values[i] for i in np.unique(np.geomspace(1, len(values), STEPS).astype(int) - 1)]
    )


def _size(change: Mapping[str, float], levers: Mapping[str, Sequence[float]]) -> float:
    """How many steps of their lists the inputs of a change go."""
    return sum(levers[name].index(value) for name, value in change.items())


def _work(
    program: Program,
    fixed: Mapping[str, Any],
    where: Any,
    trials: Sequence[Mapping[str, float]],
    levers: Mapping[str, Any],
) -> np.ndarray:
    """Which changes of a configuration work."""
    touched = [name for name in levers if any(name in change for change in trials)]
    table = {name: [change.get(name, levers[name][0]) for change in trials] for name in touched}
    inputs = {name: value for name, value in fixed.items() if name not in touched}
    tried = Program(program.resolver, {**inputs, "points": table})
    node, _ = accepted(tried, where)
    index = {a: np.arange(axis.size) for a, axis in tried.axes.items()}
    return np.broadcast_to(tried.at({"works": node}, index)["works"], (len(trials),))


def _label(name: str, value: float) -> Any:
    variable = VARIABLES[name]
    if variable.options is not None:
        return codes.label(variable.options(int(value)))
    return int(value) if float(value).is_integer() else value
