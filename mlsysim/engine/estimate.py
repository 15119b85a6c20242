"""How long a sweep would take, said before it runs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

from mlsysim.engine.block import threads_wanted
from mlsysim.engine.program import Program

NEST_OPERATION = 0.15e-9  #: seconds per point and operation of a compiled nest at its best: one objective, much hoisted
SEARCH_OPERATION = (
    2.5e-9  #: the same with what a front of several objectives does to each point; 1.1 to 4.4 ns measured
)
LONG = 3600.0  #: seconds from which on a call warns


def operations(program: Program, loads: Mapping[frozenset[str], float]) -> float:
    """Operations of a sweep, from those that are repeated along some axes."""
    return sum(n * math.prod(program.sizes[a] for a in along) for along, n in loads.items())


def seconds(program: Program, loads: Mapping[frozenset[str], float], threads: int | None) -> float:
    """About how long a search takes on some threads."""
    return SEARCH_OPERATION / threads_wanted(threads) * operations(program, loads)


class LongCall(UserWarning):
    """A call that takes more than an hour."""


def warn(took: float, points: int) -> None:
    """Warn of a call that takes more than an hour, in seconds."""
    if took > LONG:
        hours = took / 3600
        size, unit = next((n, unit) for n, unit in ((8766, "years"), (24, "days"), (1, "hours")) if hours >= n)
        duration = f"{hours / size:.2g} {unit}"
        warnings.warn(
            f"about {points:,} points, about {duration}: coarser or fewer axes take less", LongCall, stacklevel=4
        )
