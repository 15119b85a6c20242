"""Long tables of points that name rows: how many kinds of points there are, and of which kind each is.

A table of a million configurations names a handful of devices.  Each combination of rows is looked up once, its
records are made once and what follows from them alone is computed once; the points keep the number of their kind,
by which the rest reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST = 4096  #: points of a table from which on kinds are told apart
MOST = 4096  #: kinds; and no more than one for `SHARE` points
SHARE = 8


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
        For each input that picks rows or options what it is for each kind.
    """

    axis: str
    codes: np.ndarray
    rows: dict[str, list[Any]]

    @property
    def name(self) -> str:
        """Of the axis of the kinds, which no input can bear."""
        return f"{self.axis} kinds"

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


class Picked:
    """Labels of kinds, as those of the points: made into an array only where all of them are wanted."""

    def __init__(self, labels: np.ndarray, codes: np.ndarray):
        self.labels, self.codes, self.dtype = labels, codes, labels.dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.asarray(self.labels[self.codes[index]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype=dtype)


def told_apart(table: Mapping[str, Any], picking: Sequence[str], axis: str) -> Kinds | None:
    """The kinds of points of a table by the columns that pick rows; None where it is short, or of too many kinds."""
    if not picking or len(table[picking[0]]) < LEAST:
        return None
    together, columns, number = np.zeros(1, dtype=np.int32), {}, 1
    for name in picking:
        found = _factorized(table[name])
        if found is None or len(found[1]) > MOST:
            return None
        columns[name] = found
        together, number = _joined(together, *found)
        if number > min(MOST, len(together) // SHARE):
            return None
    first = np.full(number, -1)
    first[together[::-1]] = np.arange(len(together) - 1, -1, -1)
    rows = {name: [distinct[codes[i]] for i in first.tolist()] for name, (codes, distinct) in columns.items()}
    return Kinds(axis, together, rows)


def _joined(together: np.ndarray, codes: np.ndarray, distinct: Sequence[Any]) -> tuple[np.ndarray, int]:
    """The combinations of two codings, numbered, and how many there are."""
    combined = together * np.int64(len(distinct)) + codes if len(together) > 1 else codes
    present = np.zeros(int(combined.max()) + 1, dtype=bool)
    present[combined] = True
    if len(together) == 1 and present.all():
        return codes, len(present)
    number = np.cumsum(present, dtype=np.int32) - 1
    return number[combined].astype(np.int32, copy=False), int(number[-1]) + 1


def _factorized(column: Any) -> tuple[np.ndarray, list[Any]] | None:
    """A column of texts by the number of each, and the texts; None where it holds something else."""
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
    return codes.astype(np.int32, copy=False), listed
