"""Equations that loop: a recursion, a fixed point, a long sum.

Arithmetic and comparisons vectorise; a loop whose length depends on its data does not.  Such an equation
is marked ``@stage``: a scalar function of numbers (numba compiles it on first use), which the engine
evaluates once per distinct combination of its own inputs and feeds to the rest as a table.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np


class Stage:
    """A scalar function with loops, callable with numbers, arrays or the engine's symbols.

    Parameters
    ----------
    function : callable
        Takes and returns floats; numba must be able to compile it.  It may call other stages.
    outputs : int
        1 for a float, otherwise the length of the returned tuple.
    """

    def __init__(self, function: Callable, outputs: int = 1):
        functools.update_wrapper(self, function)
        self.function = function
        self.outputs = outputs

    def __call__(self, *args):
        for arg in args:
            if hasattr(arg, "__stage__"):
                return arg.__stage__(self, args)
        arrays = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in args))
        flat = [np.array(a).ravel() for a in arrays]
        out = np.empty((self.outputs, flat[0].size))
        self.loop(out, *flat)
        shaped = [row.reshape(arrays[0].shape)[()] for row in out]
        return shaped[0] if self.outputs == 1 else tuple(shaped)

    @functools.cached_property
    def compiled(self):
        """The function as numba compiles it."""
        import numba

        from mlsysim.equations import stage as module

        inner = {name: value.compiled for name, value in self.function.__globals__.items()
                 if isinstance(value, module.Stage) and name in self.function.__code__.co_names and value is not self}
        function = self.function
        if inner or function.__name__ in function.__code__.co_names:  # stages call each other by their compiled form
            import types

            scope = {**function.__globals__, **inner}
            function = types.FunctionType(function.__code__, scope, function.__name__,
                                          function.__defaults__, function.__closure__)
        return numba.njit(error_model="numpy", nogil=True)(function)

    @functools.cached_property
    def loop(self):
        """``loop(out, *columns)``: the function over the elements of flat arrays."""
        import numba

        compiled, outputs = self.compiled, self.outputs
        n_args = self.function.__code__.co_argcount
        names = ", ".join(f"a{i}" for i in range(n_args))
        item = ", ".join(f"a{i}[i]" for i in range(n_args))
        lines = [f"def loop(out, {names}):", "    for i in range(out.shape[1]):", f"        result = compiled({item})"]
        if outputs == 1:
            lines.append("        out[0, i] = result")
        else:
            lines += [f"        out[{k}, i] = result[{k}]" for k in range(outputs)]
        scope: dict = {"compiled": compiled}
        exec("\n".join(lines), scope)
        return numba.njit(error_model="numpy", nogil=True)(scope["loop"])


def stage(function: Callable | None = None, *, outputs: int = 1):
    """Mark a scalar function with loops (see the module).

    Examples
    --------
    >>> @stage
    ... def harmonic(n):
    ...     total = 0.0
    ...     for k in range(1, int(n) + 1):
    ...         total += 1.0 / k
    ...     return total
    >>> float(round(harmonic(4.0), 6))
    2.083333
    """
    if function is None:
        return lambda f: Stage(f, outputs)
    return Stage(function, outputs)
