"""One value: looked up, brought to its base unit, held against its bounds."""

from __future__ import annotations

import difflib
import functools
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from mlsysim import units
from mlsysim.schema import codes
from mlsysim.schema.variables import VARIABLES, Variable

EXACT = 2.0**53  #: whole numbers below are exact doubles, and no other number is read as one of them


def nearest(name: str, known: Iterable[str]) -> str:
    """``"; nearest: a, b"`` or the whole list when it is short."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"; nearest: {', '.join(close)}"
    return f"; known: {', '.join(known)}" if len(known) <= 40 else ""


def _shown(value: Any, most: int = 60) -> str:
    """A value in an error: on one line, and no longer than need be."""
    try:
        text = " ".join(repr(value).split())
    except ValueError:  # Python writes no integer of more than 4,300 digits
        text = f"{type(value).__name__} of {value.bit_length()} bits"
    return text if len(text) <= most else f"{text[:most]}..."


def option(variable: Variable, value: Any) -> int:
    """Code of an option's label (or of a member or code of it)."""
    assert variable.options is not None
    known = codes.labels(variable.options)
    if isinstance(value, str):
        text = value.strip().lower().replace("-", "_").replace(" ", "_")
        if text in known:
            return known[text]
    elif isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_)):
        for code in known.values():
            if code == value:
                return code
    raise ValueError(f"{variable.name}={value!r}: allowed are {', '.join(known)}")


def whole(name: str, value: Any, least: int = 1) -> int:
    """A whole number that says how many."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name}={value!r}: must be a whole number, at least {least}")
    return int(value)


def check(name: str, value: Any, *, unit: str | None = None) -> float:
    """One number in base units, inside its bounds; a clear error otherwise."""
    variable = VARIABLES[name]
    if variable.kind == "option":
        return float(option(variable, value))
    if variable.kind == "flag" and isinstance(value, str):
        if value.lower() in ("true", "yes", "on"):
            return 1.0
        if value.lower() in ("false", "no", "off"):
            return 0.0
    if value is None:
        raise ValueError(f"{name}=None: give a number ({variable.meaning})")
    try:
        number = units.parse(value, variable.unit) if unit is None else float(value)
    except OverflowError:
        raise ValueError(f"{name}={_shown(value, 12)}: too large for a number") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}={_shown(value)}: {error}") from None
    described = f"{name}={_shown(value)}: {variable.meaning}"
    if isinstance(value, (bool, np.bool_)) and variable.kind != "flag":
        raise ValueError(f"{described} must be a number, not true or false")
    for fails, sentence in _faults(variable):
        if fails(number):
            raise ValueError(f"{described} {sentence}")
    return number


@functools.cache
def _faults(variable: Variable) -> tuple[tuple[Callable[[Any], Any], str], ...]:
    """What a number may not be: a test, of one or of an array of them, and how to say it."""
    low, high = variable.low, variable.high
    found: list[tuple[Callable[[Any], Any], str]] = [
        (lambda x: x != x, "must be a number, not NaN"),
        (lambda x: x <= low, f"must be above {low:g}") if variable.above else (lambda x: x < low, f"must be at least {low:g}"),
        (lambda x: x > high, f"must be at most {high:g}"),
        (lambda x: abs(x) == math.inf, "must be finite"),
    ]
    if variable.kind == "count":
        found.append((lambda x: x >= EXACT, "must be at most 2**53 - 1, beyond which whole numbers are not exact"))
    if variable.kind in ("count", "flag"):
        found.append((lambda x: x % 1 != 0, "must be a whole number"))
    return tuple(found)


def unsound(variable: Variable, numbers: np.ndarray) -> np.ndarray:
    """Where numbers in base units are out of bounds."""
    with np.errstate(invalid="ignore"):
        return np.logical_or.reduce([fails(numbers) for fails, _ in _faults(variable)])
