"""Choosing among options without branching."""

from typing import Any

import numpy as np


def choose(code, *values):
    """The value that belongs to an option's code: ``values[code]``, for numbers, arrays and symbols.

    >>> float(choose(1, 10.0, 20.0, 30.0))
    20.0
    """
    chosen = values[-1]
    for position in range(len(values) - 2, -1, -1):
        chosen = np.where(code == position, values[position], chosen)
    return chosen


def first_failing(*checks):
    """Code of the first check that fails, 0 if none: ``first_failing((ok, code), ...)``.

    >>> int(first_failing((True, 1), (False, 3), (False, 4)))
    3
    """
    code: Any = 0.0
    for passed, failing in reversed(checks):
        code = np.where(passed, code, float(failing))
    return code
