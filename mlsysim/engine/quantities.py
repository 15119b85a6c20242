"""Quantities of a condition as one writes them: ``itl < 50 ms`` is read as ``itl < '50 ms'``.

A number that a word follows is no Python, so nothing else can be meant.
"""

from __future__ import annotations

import keyword
import re

from mlsysim import units

_NUMBER = r"(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?"
_WORD = r"[^\W\d_][\w$]*"
_FOUND = re.compile(
    rf"""'[^']*' | "[^"]*"                                   # in quotes already
    | (?<![\w.$]) (?P<amount> \$\s*{_NUMBER} | (?!0[xXoObB]){_NUMBER})
      (?P<unit> \s*(?:{_WORD}|%|\$(?!\s*[\d.])) )?
      (?P<per> (?:\s*/\s*{_WORD})* )""",
    re.VERBOSE,
)


def quoted(text: str) -> str:
    """The same condition with its quantities in quotes.

    >>> quoted("itl < 50 ms and mem_bandwidth >= 3.35 TB/s and tco < $2M")
    "itl < '50 ms' and mem_bandwidth >= '3.35 TB/s' and tco < '$2M'"
    >>> quoted("mfu > 40% or memory_per_device < 80 GB / tp or 'a 5 s b' == name or tp in (1, 2)")
    "mfu > '40%' or memory_per_device < '80 GB' / tp or 'a 5 s b' == name or tp in (1, 2)"
    """
    return _FOUND.sub(_in_quotes, text)


def _in_quotes(found: re.Match[str]) -> str:
    amount, unit, per = found["amount"], found["unit"] or "", found["per"] or ""
    if amount is None or keyword.iskeyword(unit.strip()) or not (unit or amount.startswith("$")):
        return found.group()
    parts, rest = re.findall(r"\s*/[^/]*", per), ""
    while parts and not _is_unit(parts[-1].strip("/ \t")):  # divided by something of the call: "80 GB / tp"
        rest = parts.pop() + rest
    return f"'{amount}{unit}{''.join(parts)}'{rest}"


def _is_unit(word: str) -> bool:
    try:
        units.dimensions(word)
    except ValueError:
        return False
    return True
