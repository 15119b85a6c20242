"""Which members of a front stand for the others.

The members are looked at in lexicographic order, and one is kept unless a kept one is no worse than it by more than a
relative amount in every objective.  What was kept before is no worse in the first objective; whether one of them is
within reach in all others is asked of a structure that answers without comparing each: n log n steps for a front of n
members and two or three objectives, a factor of log n more for four.  With more, all that were kept are compared at
once, which for the longest front that a search allows is faster than what needs fewer steps.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Protocol

import numpy as np


def thin(points: np.ndarray, epsilon: float) -> np.ndarray:
    """Rows to keep of a sorted front, so that each other is within `epsilon` of a kept one in every objective."""
    rest = points[:, 1:]
    reach = (rest + epsilon * np.abs(rest)).tolist()
    columns = [np.unique(column).tolist() for column in rest.T]
    corners = _corners(columns)
    kept: list[int] = []
    for i, (row, bound) in enumerate(zip(rest.tolist(), reach)):
        if not corners.reaches(bound):
            corners.add(row)
            kept.append(i)
    return np.array(kept, dtype=np.int64)


class Corners(Protocol):
    """Points, of which is asked if one of them is at or below a bound in every coordinate."""

    def add(self, point: Sequence[float]) -> None: ...

    def reaches(self, bound: Sequence[float]) -> bool: ...


def _corners(columns: Sequence[Sequence[float]]) -> Corners:
    """The structure for points of so many coordinates, whose sorted values are known."""
    if len(columns) < 2:
        return Line()
    if len(columns) == 2:
        return Plane()
    return Space(columns[0]) if len(columns) == 3 else Cloud(len(columns))


class Line:
    """One coordinate, or none: the lowest point."""

    def __init__(self) -> None:
        self.lowest: float | None = None

    def add(self, point: Sequence[float]) -> None:
        value = point[0] if point else 0.0
        self.lowest = value if self.lowest is None else min(self.lowest, value)

    def reaches(self, bound: Sequence[float]) -> bool:
        return self.lowest is not None and (not bound or self.lowest <= bound[0])


class Plane:
    """Two coordinates: a staircase, along which the second falls as the first rises."""

    def __init__(self) -> None:
        self.first: list[float] = []
        self.second: list[float] = []

    def add(self, point: Sequence[float]) -> None:
        x, y = point
        if self.reaches(point):
            return
        begin = end = bisect_left(self.first, x)
        while end < len(self.first) and self.second[end] >= y:
            end += 1
        self.first[begin:end], self.second[begin:end] = [x], [y]

    def reaches(self, bound: Sequence[float]) -> bool:
        last = bisect_right(self.first, bound[0])
        return last > 0 and self.second[last - 1] <= bound[1]


class Space:
    """Three coordinates: a binary indexed tree over the first, of staircases in the others."""

    def __init__(self, first: Sequence[float]):
        self.first = first  #: all values of the first coordinate, sorted
        self.parts: dict[int, Plane] = {}  #: by their last place in that order

    def add(self, point: Sequence[float]) -> None:
        place, rest = bisect_left(self.first, point[0]) + 1, point[1:]
        while place <= len(self.first):
            self.parts.setdefault(place, Plane()).add(rest)
            place += place & -place

    def reaches(self, bound: Sequence[float]) -> bool:
        place, rest = bisect_right(self.first, bound[0]), bound[1:]
        while place:
            part = self.parts.get(place)
            if part is not None and part.reaches(rest):
                return True
            place -= place & -place
        return False


class Cloud:
    """Any number of coordinates: all points, compared one coordinate after another."""

    def __init__(self, coordinates: int):
        self.points, self.number = np.empty((coordinates, 1024)), 0

    def add(self, point: Sequence[float]) -> None:
        if self.number == self.points.shape[1]:
            self.points = np.concatenate([self.points, np.empty_like(self.points)], axis=1)
        self.points[:, self.number] = point
        self.number += 1

    def reaches(self, bound: Sequence[float]) -> bool:
        near = np.flatnonzero(self.points[0, : self.number] <= bound[0])
        for coordinate, most in zip(self.points[1:], bound[1:]):
            near = near[coordinate[near] <= most]
        return near.size > 0
