"""Elementary functions of arrays: the same bits from Python's numbers, NumPy's arrays and compiled loops.

Few elements go through Python's numbers, which are quicker than forty steps of NumPy on short arrays.  Many, at once or in
all, go through a compiled loop where the process has a compiler loaded already: who has none does not wait for it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from mlsysim.engine import elementary
from mlsysim.engine.cache import compiled

FEW = 16  #: elements up to which Python's numbers serve
PIECE = 4096  #: elements of one piece of NumPy's steps, whose temporaries then stay in the second-level cache
MANY = 1 << 14  #: elements from which a compiled loop is worth its loading ...
OFTEN = 1 << 18  #: ... and of a function in this process, in arrays of fewer

_TEXT = """from mlsysim.engine.intrinsics import {name}


def nest(out, {names}):
    for i in range(out.size):
        out[i] = {name}({values})
"""


@functools.cache
def _loop(name: str, arguments: int) -> Callable[..., Any] | None:
    """The compiled loop of a function, or None where there is no compiler."""
    names = [f"a{k}" for k in range(arguments)]
    text = _TEXT.format(name=name, names=", ".join(names), values=", ".join(f"{a}[i]" for a in names))
    return compiled(text, f"void(float64[::1]{', float64[::1]' * arguments})")


def _of_arrays(op: str) -> Callable[..., Any]:
    steps = elementary.NAMES[op]
    number = elementary.NUMBERS[op]
    seen = 0

    def of(*args: Any) -> Any:
        nonlocal seen
        arrays = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in args))
        shape, size = arrays[0].shape, arrays[0].size
        if size <= FEW:
            found = [number(*values) for values in zip(*(a.ravel().tolist() for a in arrays))]
            return np.array(found, dtype=np.float64).reshape(shape)
        flat = [np.ascontiguousarray(a).ravel() for a in arrays]
        out = np.empty(size)
        seen += size
        worth = (size >= MANY or seen >= OFTEN) and "numba" in sys.modules
        loop = _loop(steps.__name__, len(flat)) if worth else None
        if loop is not None:
            loop(out, *flat)
        else:
            for first in range(0, size, PIECE):
                out[first : first + PIECE] = steps(*(a[first : first + PIECE] for a in flat))
        return out.reshape(shape)

    of.__name__ = steps.__name__
    return of


#: by their names in a graph
FUNCTIONS: dict[str, Callable[..., Any]] = {op: _of_arrays(op) for op in elementary.NAMES}
