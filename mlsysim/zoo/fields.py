"""Fields of a row as its table gives them, in base units, and the few rules that hold for numbers and for arrays.

A field that the user gives may be an array, one value for each place of a grid.  What is derived from it is then
an array too, so every rule of `workloads`, `accelerators`, `fleets` and `curves` is written for both.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mlsysim.zoo.tables import CANONICAL, Row

NAN = float("nan")


def stored(row: Row, name: str) -> Any:
    """A canonical field as the table (or the user) gives it, in base units; NaN if nobody does."""
    if name in row.given:
        return row.given[name]
    column, factor = CANONICAL[row.table].get(name, (name, 1.0))
    value = row.values_by_column.get(column)
    if value is None or isinstance(value, str):
        return NAN
    return value * factor


def known(value: Any) -> bool:
    """Is there a number?  An array comes from what the user gave, which is never NaN."""
    return isinstance(value, np.ndarray) or not math.isnan(value)


def where(condition: Any, yes: Any, no: Any) -> Any:
    """`yes` where the condition holds, else `no`; a plain condition picks one of them as it is."""
    return np.where(condition, yes, no) if isinstance(condition, np.ndarray) else yes if condition else no


def first(*rates: Any) -> Any:
    """The first rate that is above zero, else the last."""
    found = rates[-1]
    for rate in reversed(rates[:-1]):
        found = where(rate > 0, rate, found)
    return found


def filled(value: Any, otherwise: Any) -> Any:
    """`value`, and `otherwise` where it is not known."""
    return where(np.isnan(value), otherwise, value) if isinstance(value, np.ndarray) else value if known(value) else otherwise


def plain(value: Any) -> Any:
    """A number out of an equation as a plain one, an array as it is."""
    return value if np.ndim(value) else float(value)
