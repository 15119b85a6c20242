"""A steady state: what comes while a step lasts makes the step longer, ``n = r t(n)``.

States at a few counts do not depend on the rate.  They are tabulated, and read in between along cubics that rise and fall as
the table does (`Curve`).

References
----------
Fritsch and Butland 1984, "A Method for Constructing Local Monotone Piecewise Cubic Interpolants" (SIAM J. Sci. Stat.
Comput. 5); Ortega and Rheinboldt 1970, "Iterative Solution of Nonlinear Equations in Several Variables" (chord rule).
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

#: counts that are tabulated, as shares of the largest: close together where few requests make the most of a step (experts,
#: and matrix units, fill with them)
SHARES = tuple((k / 8) ** 3 for k in range(9))
#: distances between them
WIDTHS = tuple(high - low for low, high in pairwise(SHARES))


class Curve(NamedTuple):
    """A value between the counts of a table: where each stretch begins, its rise, and its slopes at both ends, per stretch."""

    begin: tuple[Any, ...]
    rise: tuple[Any, ...]
    slope: tuple[Any, ...]
    slope_at_end: tuple[Any, ...]


def curve(values: Sequence[Any]) -> Curve:
    """The curve through some values at `SHARES`: slopes by weighted harmonic means, 0 at the top of a hill.

    Examples
    --------
    >>> straight = curve(SHARES)
    >>> all(abs(slope / rise - 1.0) < 1e-12 for slope, rise in zip(straight.slope, straight.rise))
    True
    """
    rises = [high - low for low, high in pairwise(values)]
    secants = [rise * (1.0 / width) for rise, width in zip(rises, WIDTHS)]
    slopes = [secants[0]]
    for (before, after), (width, next_width) in zip(pairwise(secants), pairwise(WIDTHS)):
        of_before, of_after = width + 2.0 * next_width, 2.0 * width + next_width
        product = before * after
        weighted = of_before * after + of_after * before
        monotone = product > 0
        mean = (of_before + of_after) * product / np.where(monotone, weighted, 1.0)
        slopes.append(np.where(monotone, mean, 0.0))
    last = 2.0 * secants[-1] - slopes[-1]
    slopes.append(np.where(last * secants[-1] > 0, last, 0.0))
    return Curve(
        tuple(values[:-1]),
        tuple(rises),
        tuple(slope * width for slope, width in zip(slopes, WIDTHS)),
        tuple(slope * width for slope, width in zip(slopes[1:], WIDTHS)),
    )


def steady_state(state: Callable[[Any], Any], rate, most):
    """The count n of ``n = r t(n)``, at most `most`, and the state there.

    Between two counts of the table the line through ``r t(n) - n`` tells where it is 0, and the curve of t corrects that once.

    Parameters
    ----------
    state : callable
        Gives the state at a count: a NamedTuple of numbers that has the `mean` step there, t (s).
    rate : what comes (1/s).
    most : largest count.

    Examples
    --------
    >>> class Steps(NamedTuple):
    ...     mean: float
    >>> count, step = steady_state(lambda n: Steps(1.0 + 0.5 * n), 1.0, 8.0)
    >>> round(float(count), 12), round(float(step.mean), 12)
    (2.0, 2.0)
    """
    counts = [share * most for share in SHARES]
    states = [state(count) for count in counts]
    behind = [rate * at.mean - count for at, count in zip(states, counts)]
    taken = [left < 0 for left in behind[1:-1]]

    def here(values):
        """That of the stretch in which the count lies: an empty server fills up to the first of several."""
        found = values[len(taken)]
        for enough, value in zip(reversed(taken), reversed(values[: len(taken)])):
            found = np.where(enough, value, found)
        return found

    left, falling = here(behind), here([low - high for low, high in pairwise(behind)])
    along = np.where(left < falling, left / np.where(falling > 0, falling, 1.0), 1.0)
    begin, width = here(counts), here([share * most for share in WIDTHS])

    def read(curve: Curve, along):
        rise, slope, at_end = here(curve.rise), here(curve.slope), here(curve.slope_at_end)
        rest = 1.0 - along
        return here(curve.begin) + along * (rise + rest * (rest * (slope - rise) - along * (at_end - rise)))

    mean = curve([at.mean for at in states])
    missed = rate * read(mean, along) - (begin + along * width)
    along = np.minimum(np.maximum(along + missed / np.where(falling > 0, falling, 1.0), 0.0), 1.0)
    return begin + along * width, type(states[0])(*(read(curve(values), along) for values in zip(*states)))
