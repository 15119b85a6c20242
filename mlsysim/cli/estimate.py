"""How long a search would take, said before it runs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlsysim import sizes
from mlsysim.cli.results import say
from mlsysim.sizes import scale

if TYPE_CHECKING:
    from mlsysim.resolver import Resolver

#: least seconds for each point on one core
LEAST = 1e-9
#: points below which nobody waits
FEW = 3_000_000
#: seconds from which on a search is announced, and from which on it is refused
LONG, TOO_LONG = 20.0, 3600.0


def before(
    resolver: Resolver, inputs: Mapping[str, Any], searches: Sequence[Any], threads: int | None, yes: bool
) -> None:
    """Announce a search that takes long; refuse one that takes too long, unless `yes`.

    Raises
    ------
    ValueError
        About an hour or more.
    """
    from mlsysim.engine import estimate
    from mlsysim.engine.block import threads_wanted
    from mlsysim.engine.run import Sweep
    from mlsysim.resolver import Optimizer

    axes = {n: len(v) for n, v in inputs.items() if hasattr(v, "__len__") and not isinstance(v, str)}
    points, workers = math.prod(axes.values()) * inputs.get("sample", 1), threads_wanted(threads)
    seconds = points * LEAST / workers
    if seconds < TOO_LONG:  # otherwise it is plain without binding so many values
        if points < FEW and not isinstance(resolver, Optimizer):  # an optimizer makes points of its own
            return
        program = resolver.program(**inputs)
        points, axes = program.n_points, program.sizes
        if points < FEW:
            return
        loads = Sweep(program, [n for s in searches for n in s.columns(program)], plan="plain").loads()
        seconds = estimate.seconds(program, loads, threads)
    one, unit = scale(seconds, "s")
    sentence = f"about {points:,} points, about {sizes.number(float(f'{seconds / one:.2g}'))} {unit}"
    if seconds >= TOO_LONG and not yes:
        longest = sorted(axes, key=lambda n: -axes[n])[:3]
        raise ValueError(
            f"{resolver.name}: {sentence}: give coarser ranges ({', '.join(f'{n} has {axes[n]:,} values' for n in longest)}; "
            "a:b:log2 doubles, a:b:linear:20 takes 20), fewer axes, or --yes to run it all the same"
        )
    warnings.simplefilter("ignore", estimate.LongCall)  # it is said here
    if seconds >= LONG:
        say(sentence)
