"""Fields of a row as its table gives them, in base units."""

from __future__ import annotations

import math

from mlsysim.zoo.tables import CANONICAL, Row

NAN = float("nan")


def stored(row: Row, name: str) -> float:
    """A canonical field as the table gives it, in base units; NaN if it does not."""
    if name in row.given:
        return row.given[name]
    column, factor = CANONICAL[row.table].get(name, (name, 1.0))
    value = row.values_by_column.get(column)
    if value is None or isinstance(value, str):
        return NAN
    return value * factor


def known(value: float) -> bool:
    return not math.isnan(value)
