"""Long tables of points: how many kinds of points there are, and of which kind each is.

A table of a million configurations names a handful of devices, and most of its columns of numbers have a few values
(degrees of parallelism, batches).  Each combination is looked up once, its records are made once and what follows from
it alone is computed once; the points keep the number of their kind, by which the rest reads it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsysim.engine.patterns import Patterns

LEAST = 4096  #: points of a table from which on kinds are told apart
MOST = 4096  #: kinds; and no more than one for `SHARE` points
SHARE = 8
EACH = (
    64  #: points of a kind, on average, where numbers tell kinds apart: records of a kind take as long as some points
)
SAMPLE = 4096  #: points by which the values of a column of numbers are estimated,
SCATTER = np.uint64(2654435761)  #: so far apart, as columns may repeat themselves regularly
DISTINCT = 256  #: values of a column of numbers that can tell kinds apart
CLOSE = 1024  #: whole numbers between the least and the largest that are counted without being looked for
PIECE = 1 << 15  #: points that are numbered at a time: they stay in the second-level cache
WIDEST = 1 << 16  #: combinations that may be numbered before those are left out that do not occur; or one a point


@dataclass
class Kinds:
    """The kinds of points along an axis.

    Attributes
    ----------
    axis : str
        Along which the points lie.
    codes : ndarray of int32
        The kind of each point.
    rows : dict
        For each input that tells kinds apart what it is for each of them.
    """

    axis: str
    codes: np.ndarray
    rows: dict[str, list[Any]]

    @property
    def name(self) -> str:
        """Of the axis of the kinds, which no input can bear."""
        return f"{self.axis} kinds"

    @property
    def number(self) -> int:
        """How many kinds there are."""
        return len(next(iter(self.rows.values())))

    @property
    def patterns(self) -> Patterns:
        """The kinds as patterns of points."""
        first = np.zeros(self.number, dtype=np.intp)
        first[self.codes] = np.arange(len(self.codes))
        return Patterns(self.codes.astype(np.intp), first)

    def spread(self, values: np.ndarray, dims: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
        """Values over kinds (and other dims), over the points in their place."""
        if self.name not in dims:
            return values, dims
        at = dims.index(self.name)
        if self.axis not in dims:
            return np.take(values, self.codes, axis=at), (*dims[:at], self.axis, *dims[at + 1 :])
        both = np.moveaxis(values, (at, dims.index(self.axis)), (0, 1))  # a point is of its own kind
        return both[self.codes, np.arange(len(self.codes))], (
            self.axis,
            *(d for d in dims if d not in (self.name, self.axis)),
        )


@dataclass
class Coded:
    """A column as the numbers of its values among the distinct ones, all of them larger by `least`."""

    codes: np.ndarray
    distinct: Any
    least: Any = 0


class Picked:
    """Labels of kinds, as those of the points: made into an array only where all of them are wanted."""

    def __init__(self, labels: np.ndarray, codes: np.ndarray):
        self.labels, self.codes, self.dtype = labels, codes, labels.dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.asarray(self.labels[self.codes[index]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)


def told_apart(table: Mapping[str, Any], picking: Sequence[str], numbers: Sequence[str], axis: str) -> Kinds | None:
    """The kinds of points of a table; None where it is short, or of too many kinds.

    Parameters
    ----------
    table : mapping
        Columns by name.
    picking : sequence of str
        Columns that pick rows or options: every combination of theirs is a kind of its own.
    numbers : sequence of str
        Columns of numbers, which tell kinds apart, too, as far as they have few values: those of fewest values first.
    axis : str
        Along which the points lie.
    """
    length = len(table[(*picking, *numbers)[0]]) if picking or numbers else 0
    room = min(MOST, length // SHARE)
    if length < LEAST:
        return None
    columns: dict[str, Coded] = {}
    combinations = 1
    for name in picking:
        found = _factorized(table[name])
        if found is None or len(found.distinct) > MOST:
            return None
        columns[name] = found
        combinations *= len(found.distinct)
    few = [(count, name) for name in numbers if (count := _few(table[name]))]
    for count, name in sorted(few):
        if combinations * count <= min(room, length // EACH):
            columns[name] = _numbered(table[name])
            combinations *= count
    while columns:
        kinds = _joined(columns, axis, room)
        if kinds is not None or not columns.keys() - set(picking):
            return kinds
        columns = {name: columns[name] for name in picking}  # what few points showed was not all
    return None


def _joined(columns: Mapping[str, Coded], axis: str, room: int) -> Kinds | None:
    """The combinations of some codings, numbered; None where they are more than there is room for."""
    together, number = np.zeros(len(next(iter(columns.values())).codes), dtype=np.int32), 1
    one = np.zeros(1, dtype=np.intp)  #: a point of each combination
    waiting, widest = list(columns.values()), max(WIDEST, len(together))
    while waiting:  # as many together as there are numbers for
        some = [waiting.pop(0)]
        while waiting and math.prod(len(c.distinct) for c in (*some, waiting[0])) * number <= widest:
            some.append(waiting.pop(0))
        number *= math.prod(len(c.distinct) for c in some)
        if number > widest:
            return None
        one = np.full(number, -1, dtype=np.intp)
        for lo in range(0, len(together), PIECE):
            piece = together[lo : lo + PIECE]
            for coded in some:
                if len(coded.distinct) > 1:
                    piece *= np.int32(len(coded.distinct))
                    np.add(piece, coded.codes[lo : lo + PIECE] - coded.least, out=piece, casting="unsafe")
            one[piece] = np.arange(lo, lo + len(piece))
        occurs = one >= 0
        if not occurs.all():
            left = np.cumsum(occurs, dtype=np.int32) - np.int32(1)
            for lo in range(0, len(together), PIECE):
                together[lo : lo + PIECE] = left[together[lo : lo + PIECE]]
            one, number = one[occurs], int(left[-1]) + 1
    if number > room:
        return None
    rows = {name: _taken(coded.distinct, coded.codes[one] - coded.least) for name, coded in columns.items()}
    return Kinds(axis, together, rows)


def _taken(distinct: Any, codes: np.ndarray) -> Any:
    """The values of some codes: of numbers an array, of texts a list."""
    return distinct[codes] if isinstance(distinct, np.ndarray) else [distinct[i] for i in codes.tolist()]


def _few(column: Any) -> int:
    """How many values a column of numbers seems to have, by some of its points; 0 where they are many, or no numbers."""
    if not isinstance(getattr(column, "dtype", None), np.dtype) or column.dtype.kind not in "iuf":
        return 0
    array = np.asarray(column)
    some = (
        array if len(array) <= SAMPLE else array[np.arange(SAMPLE, dtype=np.uint64) * SCATTER % np.uint64(len(array))]
    )
    distinct = np.unique(some)
    if len(distinct) > DISTINCT or distinct[-1] != distinct[-1]:
        return 0
    return len(distinct)


def _numbered(column: Any) -> Coded:
    """A column of few numbers: whole ones that are close stand for themselves, those between that do not occur, too."""
    import pandas as pd

    array = np.asarray(column)
    if array.dtype.kind in "iu":
        least, largest = int(array.min()), int(array.max())
        if largest - least < CLOSE:
            return Coded(
                array,
                np.arange(largest - least + 1).astype(array.dtype) + array.dtype.type(least),
                array.dtype.type(least),
            )
    return Coded(*pd.factorize(array, use_na_sentinel=False))


def _factorized(column: Any) -> Coded | None:
    """A column of texts; None where it holds something else."""
    import pandas as pd

    if isinstance(getattr(column, "dtype", None), pd.CategoricalDtype):
        codes, distinct = (
            np.asarray(column.cat.codes if hasattr(column, "cat") else column.codes),
            column.dtype.categories,
        )
    else:
        codes, distinct = pd.factorize(column if hasattr(column, "dtype") else np.array(column, dtype=object))
    listed = [str(one) if isinstance(one, str) else one for one in distinct]
    if not all(isinstance(one, str) for one in listed) or (len(codes) and codes.min() < 0):
        return None
    return Coded(codes, listed)
