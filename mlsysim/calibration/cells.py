"""Cells of a table of runs as numbers and words: each checked by itself, so that an odd one costs its row alone."""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection
from typing import Any, NamedTuple

import pandas as pd

from mlsysim import units
from mlsysim.calibration import measures
from mlsysim.calibration.arguments import shown
from mlsysim.calibration.words import TOO_LONG, Reading
from mlsysim.schema.variables import VARIABLES
from mlsysim.zoo import frameworks

BLANK = {"", "nan", "none", "null", "n/a", "na", "-", "--", "–", "—", "#n/a", "#nv", "<na>"}
YES, NO = {"true", "yes", "on", "wahr", "vrai"}, {"false", "no", "off", "falsch", "faux"}
#: texts that are compared with a list, in lower case with underscores
FOLDED = {"scenario", "phase", "recompute", "split", "precision", "precision_kv"}


class Odd(ValueError):
    """Why a cell is no number, or one that cannot be."""


class Rules(NamedTuple):
    """Which columns are 0 or 1, which are counts, which may be 0, and which settings may not."""

    flags: Collection[str]
    whole: Collection[str]
    nothing: Collection[str]
    counted: Collection[str]


def blank(value: Any) -> bool:
    """Is a cell empty, or does it say that nothing is known?"""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, str):
        return value.strip().lower() in BLANK
    return isinstance(value, numbers.Real) and value != value


def words(value: Any, column: str) -> Any:
    """A text; what is compared with a list of words is folded."""
    if blank(value):
        return ""
    if isinstance(value, numbers.Real):
        return value
    text = str(value).strip()
    return "_".join(text.lower().removeprefix("torch.").replace("-", " ").split()) if column in FOLDED else text


def number(value: Any, reading: Reading, how: measures.Marks, rules: Rules) -> float:
    """A cell as a number in the unit of its column.

    Raises
    ------
    Odd
        In one line that names the column and the cell.
    """
    column = reading.column
    if blank(value):
        return math.nan
    where = f"{reading.heading}={shown(value)}"
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        if column in rules.flags:
            return float(value)
        raise Odd(f"{reading.heading}={value} where a number belongs")
    flag = column in rules.flags
    if flag and isinstance(value, str) and value.strip().lower() in YES | NO:
        return float(value.strip().lower() in YES)
    setting = frameworks.is_setting(column)
    whole = column in rules.whole
    if isinstance(value, str):
        found = _of_text(value, where, reading, how, whole, setting)
    else:
        try:
            found = float(value)
        except (TypeError, ValueError, OverflowError):
            raise Odd(f"{where} where a number belongs") from None
        if math.isfinite(found):
            found = _in_own_unit(found, "", where, reading)
    return _possible(found, where, column, flag, rules)


def _of_text(text: str, where: str, reading: Reading, how: measures.Marks, whole: bool, setting: bool) -> float:
    if text.strip().lower() in ("inf", "infinity", "+inf", "-inf"):
        raise Odd(f"{where} must be finite")
    try:
        plain, behind = measures.number(text, how, whole)
    except ValueError as error:
        raise Odd(f"{where} {error}") from None
    if setting and behind and reading.column in VARIABLES:
        try:
            return float(units.parse(text, VARIABLES[reading.column].unit))
        except ValueError as error:
            raise Odd(f"{reading.heading}: {error}") from None
    return _in_own_unit(plain, behind, where, reading)


def _in_own_unit(plain: float, behind: str, where: str, reading: Reading) -> float:
    try:
        found = measures.converted(reading.column, plain, behind, reading.unit, reading.word)
    except ValueError as error:
        raise Odd(f"{where} {error}") from None
    if reading.unit is not None and reading.unit.kind == "share" and not behind and plain <= 1.0:
        raise Odd(f"{reading.heading}={plain:g} may be {plain:g} % or a share: write {100 * plain:g} %, or {plain:g} %")
    longest = TOO_LONG.get(reading.word)
    bare = not behind and reading.heading.strip().lower() == reading.word
    if longest is not None and bare and plain > longest:
        raise Odd(
            f"{reading.heading}={plain:g} counts seconds, as the resolver's does: head the column {reading.word}_ms, "
            f"or write {plain:g} ms (or {plain:g} s)"
        )
    return found


def _possible(found: float, where: str, column: str, flag: bool, rules: Rules) -> float:
    if not math.isfinite(found):
        raise Odd(f"{where} must be finite")
    if flag:
        if found not in (0.0, 1.0):
            raise Odd(f"{where} must be 0 or 1")
        return found
    nothing = column in rules.nothing or (frameworks.is_setting(column) and column not in rules.counted)
    if found < 0 or (found == 0 and not nothing):
        raise Odd(f"{where} must be {'at least 0' if nothing else 'above 0'}")
    if column in rules.whole and not measures.whole(found):
        raise Odd(f"{where} must be a whole number")
    if measures.QUANTITY.get(column, ("",))[0] == "share" and found > 1.0:
        raise Odd(f"{where} must be a share of at most 1: write {found / 100:g} or {found:g} %")
    return found
