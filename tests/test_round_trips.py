"""Ten thousand roots that lead back: random outputs and continuous inputs of every model, where one follows the other."""

import numpy as np
import pytest
import xarray as xr
from configurations import CONFIGURATIONS

import mlsysim as ms
from mlsysim.engine.graph import reached
from mlsysim.engine.program import Program
from mlsysim.engine.reevaluate import PartialProgram
from mlsysim.resolver import Model
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.variables import VARIABLES

MODELS = [name for name, resolver in ms.RESOLVERS.items() if isinstance(resolver, Model)]
PAIRS = 4  #: of every model
#: points of a pair; the privacy accountant (compiled from 5 points on) and the fixed point of a server loop at each
SLOW = {"ResponsibleEngineeringModel": 5, "ContinuousBatchingModel": 50}
POINTS = (10_000 // PAIRS - sum(SLOW.values())) // (len(MODELS) - len(SLOW)) + 1
REACH = 4.0  #: how far from its value in the call an input is sought, as a factor


def middle(given):
    return given[len(given) // 2] if isinstance(given, (list, tuple, np.ndarray, range)) else given


def ranges(program):
    """Continuous inputs of a call and where they may lie."""
    for leaf, held in program.binder.leaves.items():
        short = leaf.rsplit(".", 1)[-1]
        if short == "total_params":  # a transformer has it by its layers
            continue
        variable = VARIABLES.get(short)
        known = (
            variable.kind not in ("option", "flag", "count") if variable is not None else short in Assumptions._fields
        )
        base = np.asarray(held.values, dtype=float)
        if not known or base.size != 1 or not np.isfinite(base.item()) or base.item() <= 0:
            continue
        low, high = base.item() / REACH, base.item() * REACH
        if variable is not None:
            low, high = max(low, variable.low), min(high, variable.high)
        if 0 < low < high:
            yield leaf, short, low, high


def recorded(resolver, point):
    """The call, recorded once with all its inputs able to move, along an axis of their own."""
    leaves = resolver.program(**point).binder.leaves
    program = Program(resolver, point, {*leaves, *(leaf.rsplit(".", 1)[-1] for leaf in leaves)})
    program.widen("moved", np.arange(33))
    return program


def followed(program, leaf, low, high):
    """Outputs that rise or fall with an input all the way."""
    given, _ = program.available()
    moves = {leaf, *program.binder.followers([leaf])}
    nodes = {
        name: program.graph.as_number(node)
        for name, node in given.items()
        if VARIABLES[name].kind not in ("option", "flag", "count")
        and name != leaf
        and any(n.op == "leaf" and n.payload in moves for n in reached([node]))
    }
    if not nodes:
        return
    moved = PartialProgram(program, program.named(leaf), list(nodes.values()), {"moved": np.arange(33)})
    for name, y in zip(nodes, moved(np.geomspace(low, high, 33))):
        steps = np.diff(y) / np.abs(y).max() if np.isfinite(y).all() and np.abs(y).max() > 0 else np.zeros(1)
        within = y.min() >= VARIABLES[name].low and y.max() <= VARIABLES[name].high
        if within and ((steps > 1e-7).all() or (steps < -1e-7).all()):
            yield name


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in SLOW else ()) for n in MODELS])
def test_roots_lead_back_to_what_was_put_in(name):
    rng = np.random.default_rng(len(name))
    resolver = ms.RESOLVERS[name]
    point = {k: middle(v) for k, v in CONFIGURATIONS[name][0].items()}
    program = recorded(resolver, point)
    inputs = list(ranges(program))
    tried = 0
    for i in rng.permutation(len(inputs)):
        leaf, short, low, high = inputs[i]
        rest = {k: v for k, v in point.items() if k not in (leaf, short)}
        outputs = list(followed(program, leaf, low, high))
        if not outputs:
            continue
        output = outputs[rng.integers(len(outputs))]
        x = np.sort(np.exp(rng.uniform(np.log(low), np.log(high), SLOW.get(name, POINTS))))
        truth = resolver.solve(keep=[output], **rest, **{leaf: x})[output].values
        root = resolver.root(leaf, {output: xr.DataArray(truth, dims="goal")}, bounds=(low, high), **rest)
        assert root.found.all(), (leaf, output)
        assert root.reached.values == pytest.approx(truth, rel=1e-9), (leaf, output)
        back = resolver.solve(keep=[output], **rest, points={leaf: root[leaf].values})[output].values
        assert back == pytest.approx(truth, rel=1e-9), (leaf, output)
        tried += 1
        if tried == PAIRS:
            return
    pytest.fail(f"{name}: only {tried} pairs follow each other")
