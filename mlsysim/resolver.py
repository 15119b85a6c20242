"""What a resolver is: a kernel with a name, a domain and its walls."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

import numpy as np


def _number(value):
    """A number as an IEEE double (division by zero gives inf, as in the compiled loops)."""
    if value is None or hasattr(value, "__array_ufunc__"):
        return value
    if isinstance(value, tuple):
        return type(value)(*map(_number, value))
    return np.float64(value)


class Kernel:
    """The physics of one resolver: records and numbers in, a NamedTuple of outputs out.

    Called with numbers it is plain Python (real tracebacks); called with arrays it broadcasts; called
    by the engine with symbols it is recorded once and compiled for a sweep.
    """

    def __init__(self, function: Callable):
        functools.update_wrapper(self, function)
        self.function = function
        self.signature = inspect.signature(function, eval_str=True)

    def __call__(self, *args, **kwargs):
        with np.errstate(all="ignore"):
            return self.function(*map(_number, args), **{k: _number(v) for k, v in kwargs.items()})


def kernel(function: Callable) -> Kernel:
    """Mark the physics of a resolver (see `Kernel`)."""
    return Kernel(function)


class Model:
    """Tier 1: Y = f(X)."""

    def __init__(self, name: str, kernel: Kernel, domain: str, walls: tuple[int, ...]):
        self.name, self.kernel, self.domain, self.walls = name, kernel, domain, walls
