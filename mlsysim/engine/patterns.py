"""Patterns of a table of points: which of them are equal in some of its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

ROOM = 8  #: numbers, for each point, that patterns may have before those are left out that do not occur


class Patterns(NamedTuple):
    """The patterns of some columns: which one each point has (int64), and a point that has each."""

    codes: np.ndarray
    first: np.ndarray


@dataclass
class Gathered:
    """Values at patterns, in the place of those at the points along an axis."""

    values: np.ndarray
    codes: np.ndarray
    axis: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the values at the points."""
        return (*self.values.shape[: self.axis], len(self.codes), *self.values.shape[self.axis + 1 :])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.take(self.values, self.codes, axis=self.axis).astype(dtype or self.values.dtype, copy=False)

    def fill(self, target: np.ndarray, order: list[int]) -> None:
        """Fill an array whose dims are these in another order."""
        at = order.index(self.axis)
        values = np.transpose(self.values, order).astype(target.dtype, copy=False)
        np.take(values, self.codes, axis=at, out=target, mode="clip")  # "raise" copies twice


def numbered(codes: np.ndarray, room: int) -> Patterns:
    """Patterns of points from whole numbers from 0 to `room`, equal where the points are."""
    first = np.full(room, -1, dtype=np.intp)
    first[codes] = np.arange(len(codes))
    occurs = first >= 0
    if occurs.all():
        return Patterns(codes, first)
    return Patterns((np.cumsum(occurs) - 1)[codes], first[occurs])


def together(one: Patterns, other: Patterns) -> Patterns | None:
    """The patterns of the columns of both; None where they may be too many to number them."""
    room = len(one.first) * len(other.first)
    return numbered(one.codes * len(other.first) + other.codes, room) if room <= ROOM * len(one.codes) else None


def of_values(values: np.ndarray) -> Patterns:
    """The patterns of one column of numbers, by their bits."""
    with np.errstate(invalid="ignore"):
        whole = values.astype(np.int64)
    bits, least = values.view(np.int64), np.min(whole)
    if np.array_equal(whole.astype(np.float64).view(np.int64), bits):
        span = float(values.max()) - float(least)
        if span < ROOM * len(values):
            return numbered(whole - least, int(span) + 1)
    import pandas as pd

    codes, distinct = pd.factorize(bits)
    return numbered(codes, len(distinct))
