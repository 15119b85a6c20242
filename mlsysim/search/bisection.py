"""Bisection on the doubles themselves: where a verdict on one input changes, at many points at once.

A double's bits are an ordered integer, so 64 halvings end at two
neighbouring numbers whatever the scale, and nothing but a change of sign is asked of the function.  A first look
over the range finds the change where the function turns inside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from mlsysim.engine import estimate
from mlsysim.engine.graph import Node, reached
from mlsysim.engine.memory import require
from mlsysim.engine.program import Program
from mlsysim.engine.run import PLAIN_OPERATION
from mlsysim.schema.check import check, hint, shown
from mlsysim.schema.variables import VARIABLES, field_of

WIDEST = (1e-18, 1e27)  #: where to look for a positive quantity without bounds of its own
POINTS = 1 << 16  #: points that are bisected together
HALVINGS = 64  #: that part all doubles
LANES = 256  #: points at which a look takes hardly longer than at one
SCAN = 64  #: steps of the first look over the range
ZOOM, ZOOMS = 16, 3  #: steps of a closer look, and how often


def _ordinal(x: np.ndarray) -> np.ndarray:
    """Doubles as integers in the same order."""
    bits = np.ascontiguousarray(x, dtype=np.float64).view(np.int64)
    return np.where(bits < 0, np.int64(-(2**63)) - bits, bits)


def _double(i: np.ndarray) -> np.ndarray:
    bits = np.where(i < 0, np.int64(-(2**63)) - i, i)
    return np.ascontiguousarray(bits).view(np.float64)


Verdict = Callable[[np.ndarray], np.ndarray]


def ladder(low: float, high: float, whole: bool, n: int = SCAN) -> np.ndarray:
    """Values from `low` to `high`, evenly spaced in size, both ends included."""
    if whole:
        return np.unique(np.rint(np.concatenate([[low, high], np.geomspace(max(low, 1.0), high, n)[1:-1]])))
    ends = _ordinal(np.array([low, high]))
    steps = [int(ends[0]) + (int(ends[1]) - int(ends[0])) * k // n for k in range(n + 1)]
    return _double(np.array(steps, dtype=np.int64))


def bisect(
    verdict: Verdict, low: np.ndarray, high: np.ndarray, start: np.ndarray, whole: bool, lanes: int = LANES
) -> tuple[np.ndarray, np.ndarray]:
    """Neighbouring values between which a verdict leaves `start`, its value at `low`.

    Where points are few, a look costs the same for more values: all that the next halvings may come to are looked at
    together, as rows of values, and the halvings then go their way among them.

    Parameters
    ----------
    lanes : int
        Values that are looked at together at the price of few.
    """
    a, b = (low.copy(), high.copy()) if whole else (_ordinal(low), _ordinal(high))
    column, left = np.arange(len(a)), HALVINGS
    while left:
        ahead = min(left, max(1, int(math.log2(lanes / max(len(a), 1) + 1))))
        ends = [(a, b)]  #: of the interval that each look halves; its halves come at twice its place
        middles: list[np.ndarray] = []
        for i in range(2**ahead - 1):
            lower, upper = ends[i]
            middles.append(_middle(lower, upper, whole))
            ends += [(lower, middles[i]), (middles[i], upper)]
        if np.all(middles[0] == a):  # neighbours
            break
        rows = np.stack(middles)
        same = np.reshape(verdict(rows if whole else _double(rows)), rows.shape) == start
        at = np.zeros(len(a), dtype=np.intp)
        for _ in range(ahead):
            here, middle = same[at, column], rows[at, column]
            a, b = np.where(here, middle, a), np.where(here, b, middle)
            at = 2 * at + 1 + here
        left -= ahead
    return (a, b) if whole else (_double(a), _double(b))


def _middle(a: np.ndarray, b: np.ndarray, whole: bool) -> np.ndarray:
    """Half way between two counts, or the ordinals of two doubles."""
    return np.floor(a + (b - a) / 2) if whole else (a >> 1) + (b >> 1) + (a & b & 1)


class Crossing(NamedTuple):
    """Where a verdict changes first, or where it came closest to."""

    before: np.ndarray
    after: np.ndarray  #: neighbouring values around the change
    found: np.ndarray
    start: np.ndarray  #: the verdict at the low end
    closest: np.ndarray
    miss: np.ndarray  #: by how much `closest` misses


def crossing(
    look: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    low: float,
    high: float,
    size: int,
    whole: bool,
    lanes: int = LANES,
) -> Crossing:
    """The first change of a verdict between `low` and `high`, sought among values spread over the range.

    Where there is none, the neighbourhood of the value that comes closest is looked at again, closer and closer: a
    function that turns inside the range meets its target there or nowhere.

    Parameters
    ----------
    look : callable
        Values, one a point or rows of them, to truth values and to how far each is from the target.
    lanes : int
        See `bisect`.
    """
    grid = ladder(low, high, whole)
    xs = np.broadcast_to(grid[:, None], (len(grid), size))
    column = np.arange(size)
    a, b = np.full(size, low), np.full(size, high)
    start = found = np.zeros(size, dtype=bool)
    closest, miss = a, np.full(size, np.inf)
    for turn in range(1 + ZOOMS):
        now, off = _seen(look, xs)
        start = now[0] if turn == 0 else start
        change = now != start
        here, first = change.any(axis=0) & ~found, change.argmax(axis=0)
        a = np.where(here, xs[np.maximum(first - 1, 0), column], a)
        b = np.where(here, xs[first, column], b)
        found = found | here
        k = np.argmin(np.where(np.isnan(off), np.inf, off), axis=0)
        nearer = off[k, column] < miss
        closest, miss = np.where(nearer, xs[k, column], closest), np.where(nearer, off[k, column], miss)
        if np.all(found | start):
            break
        xs = _between(xs[np.maximum(k - 1, 0), column], xs[np.minimum(k + 1, len(xs) - 1), column], whole)
    before, after = bisect(lambda x: look(x)[0], a, b, start, whole, lanes)
    return Crossing(before, after, found, start, closest, miss)


def _seen(look: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], xs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a look says of rows of values: of as many rows at once as hold the points that are bisected together."""
    step = max(1, POINTS // xs.shape[1])
    parts = [look(np.ascontiguousarray(xs[i : i + step])) for i in range(0, len(xs), step)]
    return np.concatenate([v for v, _ in parts]), np.concatenate([m for _, m in parts])


def _between(low: np.ndarray, high: np.ndarray, whole: bool) -> np.ndarray:
    """Values between pairs of values, both included, one row each."""
    share = np.arange(ZOOM + 1)[:, None]
    if whole:
        return np.rint(low + (high - low) * (share / ZOOM))
    return _double(_ordinal(low) + (_ordinal(high) - _ordinal(low)) * share // ZOOM)


def foresee(program: Program, unknown: Sequence[Node], outputs: Sequence[Node], kept: int) -> None:
    """Refuse a grid of answers that would not fit in memory, and warn of one that takes long.

    Parameters
    ----------
    kept : int
        Numbers of each answer.
    """
    n = program.n_points
    require(16.0 * n * kept, f"the answers at {n:,} points", "fewer axes, or fewer values on them")
    names = {u.payload for u in unknown}
    names |= program.binder.followers(names)
    moved: set[int] = set()
    for node in reached(outputs):
        if (node.op == "leaf" and node.payload in names) or any(a.index in moved for a in node.args):
            moved.add(node.index)
    estimate.warn(n * (SCAN + HALVINGS) * len(moved) * PLAIN_OPERATION, n)


def search_range(unknown: str, bounds: tuple[Any, Any] | None) -> tuple[float, float, bool]:
    """Where to look for an unknown: in `bounds`, or in those of the schema; and whether it is a count."""
    short = field_of(unknown)
    variable = VARIABLES.get(short)
    if variable is None:
        raise ValueError(f"{unknown!r} is no input{hint(short, VARIABLES)}")
    if variable.kind in ("option", "flag"):
        raise ValueError(f"{unknown} is an option: a root needs a number")
    whole = variable.kind == "count"
    low = variable.low if variable.low > 0 else (1.0 if whole else WIDEST[0])
    high = variable.high if math.isfinite(variable.high) else (2.0**40 if whole else WIDEST[1])
    if bounds is not None:
        if not isinstance(bounds, (list, tuple)) or len(bounds) != 2:
            raise ValueError(f"bounds={shown(bounds)}: give (low, high)")
        low, high = (check(short, b) for b in bounds)
        if not low < high:
            raise ValueError(f"bounds={shown(bounds)}: low must be below high")
    return low, high, whole


def tentative(unknown: str, value: float) -> xr.DataArray:
    """A value of an unknown to record a call with: it says its unit, since it is no slip of a user."""
    return xr.DataArray(value, attrs={"units": VARIABLES[field_of(unknown)].unit})
