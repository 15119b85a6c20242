"""What an output shall be: one value, values along an axis of their own, or values along axes of the call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from mlsysim.engine.program import Program
from mlsysim.schema.check import check, hint, shown
from mlsysim.schema.ranges import remark
from mlsysim.schema.variables import VARIABLES, field_of

_SIGN = re.compile(r"\s*(<=|>=|<|>)\s*(.*)", re.S)


class Target(NamedTuple):
    """An output and the values that it is to reach or to keep."""

    output: str
    sign: str  #: "<" at most, ">" at least, "" neither
    values: np.ndarray
    dims: tuple[str, ...]
    labels: dict[str, np.ndarray]

    def __str__(self) -> str:
        low, high = float(self.values.min()), float(self.values.max())
        stated = f"{low:.6g}" if low == high else f"{low:.6g} .. {high:.6g}"
        return f"{self.output} {self.sign}= {stated}"

    def widen(self, program: Program) -> None:
        """Give the call the axes that only the target has."""
        for d in self.dims:
            own = program.binder.axes.get(d)
            if own is None:
                program.widen(d, self.labels[d])
            elif own.size != len(self.labels[d]) or not np.array_equal(own.values, self.labels[d]):
                raise ValueError(f"targets: {self.output} has other labels along {d!r} than the inputs")

    def at(self, index: Mapping[str, np.ndarray], size: int) -> np.ndarray:
        """Values at paired positions along the axes."""
        if not self.dims:
            return np.full(size, float(self.values))
        return self.values[tuple(index.get(d, 0) for d in self.dims)] * np.ones(size)

    @property
    def array(self) -> xr.DataArray:
        """Values with their dims."""
        return xr.DataArray(self.values, dims=self.dims, coords=self.labels)

    def met(self, value: Any, goal: Any) -> Any:
        """Where a value keeps to it."""
        return value <= goal if self.sign == "<" else value >= goal

    def excess(self, value: Any, goal: Any) -> Any:
        """By how much a value misses, relative to the goal; not above 0 where it keeps to it."""
        with np.errstate(all="ignore"):
            off = (value - goal if self.sign == "<" else goal - value) / np.maximum(np.abs(goal), 1e-300)
        return np.fmin(off, np.inf)  # NaN misses by inf


def _items(values: Any) -> np.ndarray:
    """Values or quantities, one object each: NumPy would strip the units."""
    return np.fromiter(values.reshape(-1), dtype=object, count=values.size).reshape(values.shape)


def _shape(wanted: Any) -> Any:
    return getattr(getattr(wanted, "magnitude", wanted), "shape", ())


def target(output: str, wanted: Any) -> Target:
    """What a user says: ``0.05``, ``"50 ms"``, ``">= 40"``, ``True``, a list (an axis of its own) or a DataArray.

    >>> str(target("itl", "<= 50 ms")), str(target("kv_bytes_per_token", "1 kB")), str(target("itl", [0.01, "20 ms"]))
    ('itl <= 0.05', 'kv_bytes_per_token = 1000', 'itl = 0.01 .. 0.02')
    """
    short = field_of(output)
    variable = VARIABLES.get(short)
    if variable is None:
        raise ValueError(f"targets: {output!r} is no output{hint(short, VARIABLES)}")
    dims: tuple[str, ...] = ()
    labels: dict[str, np.ndarray] = {}
    if hasattr(wanted, "dims"):
        dims = tuple(str(d) for d in wanted.dims)
        labels = {d: np.asarray(wanted.coords[d]) if d in wanted.coords else np.arange(wanted.sizes[d]) for d in dims}
        items = _items(wanted.data)
    elif isinstance(wanted, (list, tuple, range)) or _shape(wanted):
        if not len(wanted) or any(isinstance(w, (list, tuple)) or _shape(w) for w in wanted):
            raise ValueError(f"targets: {output}={shown(wanted)}: values along one axis, or a DataArray")
        items = np.fromiter(wanted, dtype=object, count=len(wanted))
    else:
        items = np.empty((), dtype=object)
        items[()] = wanted
    signs: set[str] = set()
    values = np.empty(items.shape)
    for place, item in np.ndenumerate(items):
        sign, number = "", item
        if isinstance(item, str) and (match := _SIGN.match(item)):
            sign, number = match.groups()
        signs.add(sign[:1])
        stated = isinstance(number, str) or hasattr(number, "magnitude")
        values[place] = check(short, number, wanted=True)
        if not stated:
            remark(output, values[place], "target: ")
    if len(signs) > 1:
        raise ValueError(f"targets: {output}={shown(wanted)}: all at most or all at least")
    if items.ndim and not dims:
        dims, labels = (f"target_{output}",), {f"target_{output}": values}
    return Target(output, next(iter(signs)), values, dims, labels)


def condition(output: str, wanted: Any) -> Target:
    """A target with a side: as the user says, else that of the schema (times at most, rates at least).

    >>> str(condition("itl", "50 ms")), str(condition("tokens_per_s", "40")), str(condition("kv_bytes_per_token", ">= 1 kB"))
    ('itl <= 0.05', 'tokens_per_s >= 40', 'kv_bytes_per_token >= 1000')
    """
    found = target(output, wanted)
    variable = VARIABLES[field_of(output)]
    sign = found.sign or {"less": "<", "more": ">"}.get(variable.better, ">" if variable.kind == "flag" else "")
    if not sign:
        one = found.values.reshape(-1)[0]
        raise ValueError(f'targets: {output} has no direction in the schema: write "<= {one:g}" or ">= {one:g}"')
    return found._replace(sign=sign)
