"""One value: looked up, brought to its base unit, held against its bounds."""

from __future__ import annotations

import difflib
import functools
import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from mlsysim import units
from mlsysim.schema import codes
from mlsysim.schema.synonyms import meant
from mlsysim.schema.variables import EXACT, LARGEST, SMALLEST, VARIABLES, Variable, beyond_reach

#: names that contain a word, which a hint lists
MOST_PARTS = 6
NO_NUMBERS = (bool, np.bool_, np.timedelta64)  #: that call themselves one


def hint(name: str, known: Iterable[str]) -> str:
    """``"; here it is a"`` for another's word, ``"; nearest: a, b"``, or the whole list when it is short."""
    known = sorted(set(known))
    if others := [n for n in meant(name) if n in known]:
        return f"; here it is {' or '.join(others)}"
    parts = [other for other in known if {*name.split("_")} <= {*other.split("_")}]
    if name and 0 < len(parts) <= MOST_PARTS:
        return f"; nearest: {', '.join(parts)}"
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"; nearest: {', '.join(close)}"
    return f"; known: {', '.join(known)}" if len(known) <= 40 else ""


def shown(value: Any, most: int = 60) -> str:
    """A value in an error: on one line, and no longer than need be."""
    try:
        return one_line(repr(value), most)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return f"{type(value).__name__} of {value.bit_length()} bits"


def one_line(text: str, most: int) -> str:
    """Text on one line, cut where it is too long."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}..."


def option(variable: Variable, value: Any) -> int:
    """Code of an option's label (or of a member or code of it)."""
    assert variable.options is not None
    known = codes.labels(variable.options)
    if isinstance(value, str):
        text = value.strip().lower().replace("-", "_").replace(" ", "_")
        text = codes.SYNONYMS.get(variable.options, {}).get(text, text)
        if text in known:
            return known[text]
    elif isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_)):
        for code in known.values():
            if code == value:
                return code
    raise ValueError(f"{variable.name}={shown(value)}: allowed are {', '.join(known)}")


def whole(name: str, value: Any, least: int = 1) -> int:
    """A whole number that says how many."""
    number = least - 1 if isinstance(value, NO_NUMBERS) or not isinstance(value, numbers.Integral) else int(value)
    if number < least:
        raise ValueError(f"{name}={shown(value)}: must be a whole number, at least {least}")
    if number >= EXACT:
        raise ValueError(f"{name}={shown(value, 20)}: is too large")
    return number


def flag(name: str, value: Any) -> bool | None:
    """A choice between yes and no, or None where nothing was said."""
    if value is not None and not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}={shown(value)}: must be True or False")
    return None if value is None else bool(value)


def names(value: str | Iterable[str] | None, argument: str) -> tuple[str, ...]:
    """One name or several as a tuple, each once."""
    several = isinstance(value, Iterable) and not isinstance(value, str) and getattr(value, "ndim", 1) > 0
    found: dict[str, None] = {}
    for name in () if value is None else value if several else (value,):
        if not isinstance(name, str):
            raise TypeError(f"{argument}={shown(value)}: must be a name or a list of names")
        found[str(name)] = None
    return tuple(found)


def mapping(argument: str, value: Any, example: str) -> dict[str, Any]:
    """A mapping of names to values, or None for an empty one."""
    if value is not None and not (isinstance(value, Mapping) and all(isinstance(name, str) for name in value)):
        raise TypeError(f"{argument}={shown(value)}: must be a mapping of names, as in {argument}={example}")
    return dict(value or {})


def is_fraction(value: Any) -> bool:
    """Is a value a number from 0 to 1?"""
    return isinstance(value, numbers.Real) and not isinstance(value, NO_NUMBERS) and bool(0 <= value <= 1)  # type: ignore[operator]


def teller(progress: Any) -> Any:
    """Who is told how far a call is: a function, True for a bar, None for nobody."""
    if progress is None or isinstance(progress, (bool, np.bool_)):
        return True if progress else None
    if not callable(progress):
        raise TypeError(
            f"progress={shown(progress)}: must be True, for a bar, or a function of points done and points in all, "
            "as in progress=lambda done, total: print(done, total)"
        )
    return progress


def check(name: str, value: Any, *, unit: str | None = None, wanted: bool = False) -> float:
    """One number in base units, inside its bounds; a clear error otherwise.

    Parameters
    ----------
    wanted : bool
        The value of an output that is asked for: it may be as small as what the physics gives.
    """
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
        raise ValueError(f"{name}={shown(value, 12)}: too large for a number") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}={shown(value)}: {error}") from None
    if getattr(number, "ndim", 0):
        raise ValueError(f"{name}={shown(value)}: give one number")
    described = f"{name}={shown(value)}: {variable.meaning}"
    if isinstance(value, (bool, np.bool_)) and variable.kind != "flag":
        raise ValueError(f"{described} must be a number, not true or false")
    for fails, sentence in _faults(variable):
        if fails(number) and not (wanted and fails is beyond_reach):
            raise ValueError(f"{described} {sentence}")
    return number


@functools.cache
def _faults(variable: Variable) -> tuple[tuple[Callable[[Any], Any], str], ...]:
    """What a number may not be: a test, of one or of an array of them, and how to say it."""
    low, high = variable.low, variable.high
    found: list[tuple[Callable[[Any], Any], str]] = [
        (lambda x: x != x, "must be a number, not NaN"),
        (lambda x: x <= low, f"must be above {low:g}")
        if variable.above
        else (lambda x: x < low, f"must be at least {low:g}"),
        (lambda x: x > high, f"must be {'below' if float(f'{high:g}') > high else 'at most'} {high:g}"),
        (lambda x: abs(x) == math.inf, "must be finite"),
    ]
    found.append((beyond_reach, f"must be {'' if variable.above else '0 or '}from {SMALLEST:g} to {LARGEST:g}"))
    if variable.kind == "count":
        found.append((lambda x: x >= EXACT, "must be at most 2**53 - 1, beyond which whole numbers are not exact"))
    if variable.kind in ("count", "flag"):
        found.append((lambda x: x % 1 != 0, "must be a whole number"))
    return tuple(found)


def sound(variable: Variable, numbers: np.ndarray) -> bool:
    """Are all of some numbers certainly within the bounds?  Their ends say so, where none is near 0."""
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (1.0, 1.0)
    above = variable.low < low if variable.above else variable.low <= low
    if not (above and low >= SMALLEST and high <= min(variable.high, LARGEST, EXACT - 1)):  # of NaN nothing holds
        return False
    return variable.kind not in ("count", "flag") or numbers.dtype.kind == "i" or not (numbers % 1).any()


def unsound(variable: Variable, numbers: np.ndarray) -> np.ndarray:
    """Where numbers in base units are out of bounds."""
    with np.errstate(invalid="ignore"):
        return np.any([fails(numbers) for fails, _ in _faults(variable)], axis=0)
