"""How lucky the winner of a search is: the best of many predictions, each off in its own way, is the most hopeful one.

References
----------
Smith, Winkler 2006, "The Optimizer's Curse", Management Science 52(3); the correction is a parametric bootstrap (Efron 2011,
"Tweedie's Formula and Selection Bias", JASA 106).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.engine.graph import reached
from mlsysim.engine.program import Program
from mlsysim.schema.assumptions import Assumptions

if TYPE_CHECKING:
    from mlsysim.resolver.base import Resolver

CANDIDATES = 256  #: of the best of each cell, among which luck may choose
REPEATS = 1000  #: searches that are played
#: assumptions that are drawn anew for every configuration: what is left of a run after the level that all have in common
SCATTERS = tuple(name for name in Assumptions._fields if name.endswith("_scatter"))


def scatter(
    resolver: Resolver,
    inputs: Mapping[str, Any],
    drawn: Program,
    objective: str,
    index: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Standard deviation of the logarithm of an objective that configurations do not share, at some points.

    Parameters
    ----------
    inputs : of the call, at the nominal values.
    drawn : the same call with samples; what is uncertain is a leaf of it.
    index : positions of the points along the axes of the call, flat.
    """
    leaves = {str(n.payload) for n in reached([drawn.graph.lift(drawn.output(objective))]) if n.op == "leaf"}
    n = len(next(iter(index.values()), np.zeros(1)))
    variance = np.zeros(n)
    for name in SCATTERS:
        if f"assume.{name}" not in leaves or name in inputs:
            continue
        spread = float(Assumptions._field_defaults[name].spread)
        program = Program(resolver, {**inputs, name: [1.0, float(np.exp(spread))]})
        node = {"value": program.graph.lift(program.output(objective))}
        at = {a: index[a] for a in program.axes if a != name}
        both = [program.at(node, {**at, name: np.full(n, i)})["value"] for i in (0, 1)]
        with np.errstate(all="ignore"):
            shift = np.log(np.asarray(both[1]) / np.asarray(both[0]))
        variance = variance + np.where(np.isfinite(shift), shift, 0.0) ** 2
    return np.sqrt(variance)


def luck(values: np.ndarray, spread: float, maximize: bool, seed: int = 0) -> float:
    """Logarithm of how much the winner of a search is predicted above (below) what it is, on average.

    The predictions stand for the truth, each is put off by its own error, the best is chosen: what its error is on average.

    Parameters
    ----------
    values : predictions of the candidates; equal ones are one candidate.
    spread : standard deviation of the logarithm of each prediction's own error.

    Examples
    --------
    >>> luck(np.array([0.5]), 0.04, True)
    0.0
    >>> 0.03 < luck(np.linspace(0.5, 0.501, 10), 0.02, True) < 0.032  # the largest of ten normal errors: 1.54 deviations
    True
    >>> -0.032 < luck(np.linspace(0.5, 0.501, 10), 0.02, False) < -0.03
    True
    """
    found = np.unique(values[np.isfinite(values) & (values > 0)])
    if len(found) < 2 or not spread > 0:
        return 0.0
    half = np.random.default_rng([seed, len(found)]).normal(0.0, spread, (REPEATS // 2, len(found)))
    errors = np.concatenate([half, -half])  # so that a winner that always wins has no luck at all
    seen = np.log(found) + errors
    chosen = seen.argmax(axis=1) if maximize else seen.argmin(axis=1)
    mean = float(errors[np.arange(REPEATS), chosen].mean())
    return max(mean, 0.0) if maximize else min(mean, 0.0)
