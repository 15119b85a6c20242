"""One value: looked up, brought to its base unit, held against its bounds."""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

from mlsysim import units
from mlsysim.schema import codes
from mlsysim.schema.variables import VARIABLES, Variable

EXACT = 2.0**53  #: whole numbers up to here are exact doubles


def nearest(name: str, known: Iterable[str]) -> str:
    """``"; nearest: a, b"`` or the whole list when it is short."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"; nearest: {', '.join(close)}"
    return f"; known: {', '.join(known)}" if len(known) <= 40 else ""


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
        raise ValueError(f"{name}={str(value)[:12]}...: too large for a number") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}={value!r}: {error}") from None
    described = f"{name}={value!r}: {variable.meaning}"
    if isinstance(value, (bool, np.bool_)) and variable.kind != "flag":
        raise ValueError(f"{described} must be a number, not true or false")
    if math.isnan(number):
        raise ValueError(f"{described} must be a number, not NaN")
    if number < variable.low or (variable.above and number == variable.low):
        raise ValueError(f"{described} must be {'above' if variable.above else 'at least'} {variable.low:g}")
    if number > variable.high:
        raise ValueError(f"{described} must be at most {variable.high:g}")
    if math.isinf(number):
        raise ValueError(f"{described} must be finite")
    if variable.kind == "count" and number > EXACT:
        raise ValueError(f"{described} must be at most 2**53, beyond which whole numbers are not exact")
    if variable.kind in ("count", "flag") and number != math.floor(number):
        raise ValueError(f"{described} must be a whole number")
    return number
