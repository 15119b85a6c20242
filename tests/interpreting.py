"""Nests without a compiler: generated code is Python, so any layout can be tried."""

import contextlib
import types
from unittest import mock

import numpy as np

from mlsysim.engine import cache, elementary

#: what generated code uses, without numba's intrinsics and without Python's exceptions for sqrt(-1)
PLAIN = {
    "select": lambda condition, a, b: a if condition else b,
    "lower": min,
    "count": int,
    "wide": lambda: None,
    "math": types.SimpleNamespace(sqrt=np.sqrt),
    **{elementary.NAMES[op].__name__: function for op, function in elementary.NUMBERS.items()},
}
COMPILED = cache.compiled


def interpret(text, signature):
    """The nest as plain Python."""
    if "numba.njit" in text:  # a stage compiles what it calls
        return COMPILED(text, signature)
    scope = {}
    exec(compile(text, "<nest>", "exec"), scope)
    scope.update(PLAIN, u=int)  # places: before NumPy 2 an unsigned integer and a Python one made a float

    def nest(*args):
        with np.errstate(all="ignore"):
            return scope["nest"](*args)

    return nest


@contextlib.contextmanager
def interpreted(chunk=1024, tile=4096, enough=512, table=1 << 17, stores=8, behind=0.0):
    """Nests interpreted, cut into small pieces."""
    with (
        mock.patch("mlsysim.engine.cache.compiled", interpret),
        mock.patch("mlsysim.engine.plan.CHUNK", chunk),
        mock.patch("mlsysim.engine.plan.TILE", tile),
        mock.patch("mlsysim.engine.plan.ENOUGH", enough),
        mock.patch("mlsysim.engine.run.TABLE", table),
        mock.patch("mlsysim.engine.nest.STORES", stores),
        mock.patch("mlsysim.engine.sieve.BEHIND", behind),
    ):
        yield
