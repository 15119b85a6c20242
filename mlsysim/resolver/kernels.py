"""Kernels: the physics of a resolver, marked as such."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.schema import records
from mlsysim.schema.assumptions import Assumptions

if TYPE_CHECKING:
    from mlsysim.engine.parameters import Parameter

RECORDS = (records.Workload, records.Accelerator, records.Format, records.Fleet, records.Site, Assumptions)


def _number(value: Any) -> Any:
    """A number as an IEEE double (division by zero gives inf, as in the compiled loops)."""
    if value is None or hasattr(value, "__array_ufunc__"):
        return value
    if isinstance(value, tuple):
        return type(value)(*map(_number, value))
    return np.float64(value)


class Kernel:
    """The physics of one resolver: records and numbers in, a NamedTuple of outputs out.

    Called with numbers it is plain Python (real tracebacks); called with arrays it broadcasts; called
    by the engine with symbols it is recorded once and compiled by numba for a sweep.
    """

    def __init__(self, function: Callable[..., Any]):
        functools.update_wrapper(self, function)
        self.function = function
        self.signature = inspect.signature(function, eval_str=True)
        outputs = self.signature.return_annotation
        if not (isinstance(outputs, type) and issubclass(outputs, tuple) and getattr(outputs, "_fields", None)):
            raise TypeError(
                f"kernel {function.__name__}: say which outputs it returns with a NamedTuple, "
                f"def {function.__name__}(...) -> Outputs"
            )
        self._plain = types.FunctionType(
            function.__code__,
            function.__globals__,
            function.__name__,
            tuple(map(_number, function.__defaults__ or ())),
            function.__closure__,
        )
        self._plain.__kwdefaults__ = {k: _number(v) for k, v in (function.__kwdefaults__ or {}).items()}

    def __reduce__(self) -> str:
        return str(self.function.__qualname__)  # pickled by its place in its module, as functions are

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with np.errstate(all="ignore"):
            return self._plain(*map(_number, args), **{k: _number(v) for k, v in kwargs.items()})

    @functools.cached_property
    def parameters(self) -> dict[str, Parameter]:
        """Parameters by name, records told from plain inputs."""
        from mlsysim.engine.parameters import REQUIRED, Parameter

        found = {}
        for name, p in self.signature.parameters.items():
            record = p.annotation if p.annotation in RECORDS else _optional(p.annotation)
            found[name] = Parameter(name, record, REQUIRED if p.default is p.empty else p.default)
        return found

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.signature.return_annotation._fields


def _optional(annotation: Any) -> type | None:
    """The record of an annotation ``Workload | None``."""
    for record in RECORDS:
        if record in getattr(annotation, "__args__", ()):
            return record
    return None


def kernel(function: Callable[..., Any]) -> Kernel:
    """Mark the physics of a resolver (see `Kernel`).

    A kernel of one's own gets everything that the built-in ones have:

    >>> from typing import NamedTuple
    >>> from mlsysim.resolver import Model, kernel
    >>> class Roof(NamedTuple):
    ...     step_time: float
    >>> @kernel
    ... def roof(tokens, duration) -> Roof:
    ...     return Roof(duration / tokens)
    >>> float(Model("Roof", roof, domain="node").solve(tokens=[1, 2, 4], duration="1 s").step_time.sum())
    1.75
    """
    return Kernel(function)
