"""Units of measured figures, and numbers as spreadsheets write them: ``12.4 ms``, ``45 %``, ``1,024``, ``12,4``.

A column has a quantity and a unit of its own (`QUANTITY`); a heading or a cell that names another unit is converted.
Memory is counted as tools print it: their GB are GiB.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable
from typing import NamedTuple

GIB = 2.0**30


class Unit(NamedTuple):
    """A unit: its quantity, its size in base units (memory: byte; rates per second), how it was spelled."""

    kind: str
    size: float
    spelled: str
    each: bool = False  #: per device


#: column -> its quantity and the size of its own unit in base units
QUANTITY: dict[str, tuple[str, float]] = {
    "ttft_ms": ("time", 1e-3),
    "itl_ms": ("time", 1e-3),
    "measured_step_time_s": ("time", 1.0),
    "measured_latency_ms": ("time", 1e-3),
    "measured_time_us": ("time", 1e-6),
    "measured_mfu": ("share", 1.0),
    "measured_hfu": ("share", 1.0),
    "measured_mem_gb": ("memory", GIB),
    "tokens_per_s_total": ("tokens/s", 1.0),
    "tokens_per_s_per_gpu": ("tokens/s", 1.0),
    "measured_tokens_per_s": ("tokens/s", 1.0),
    "measured_tokens_per_s_per_gpu": ("tokens/s", 1.0),
    "measured_tokens_per_s_total": ("tokens/s", 1.0),
    "measured_tflops_per_gpu": ("FLOP/s", 1e12),
    "n_params": ("count", 1.0),
}
#: what a cell of a quantity looks like, and the headings that say its unit
EXAMPLE = {"time": ("12.4 ms", ("_ms", "_s")), "memory": ("71.5 GiB", ("_gib", "_mib"))}
_TIMES = {
    1e-9: "ns nsec nanosecond nanoseconds",
    1e-6: "us usec microsecond microseconds",
    1e-3: "ms msec msecs millisecond milliseconds millis",
    1.0: "s sec secs second seconds",
    60.0: "min mins minute minutes",
    3600.0: "h hr hour hours",
}
_TIME = {name: size for size, names in _TIMES.items() for name in names.split()}
_MEMORY = {
    "b": 1.0,
    "byte": 1.0,
    "bytes": 1.0,
    "kb": 2.0**10,
    "kib": 2.0**10,
    "mb": 2.0**20,
    "mib": 2.0**20,
    "gb": GIB,
    "gib": GIB,
    "tb": 2.0**40,
    "tib": 2.0**40,
}
_PREFIX = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "p": 1e15}
_RATE = re.compile(r"([km]?)(?:tokens?|toks?|t)(?:/|per)(?:s|sec|second)(/?(?:per)?(?:gpu|device|chip|accelerator))?")
_FLOPS = re.compile(
    r"([gtp])flops?(?:/s|/sec|/second|s|ps|pers)?(/?(?:per)?(?:gpu|device|chip|accelerator))?(?:/s|/sec)?"
)
_COUNT = {"tokens": 1.0, "token": 1.0, "tok": 1.0}
_THINGS = {"sequences", "sequence", "seqs", "samples", "requests", "users", "gpus", "gpu", "devices"}
_MANY = {
    "thousand": 1e3,
    "million": 1e6,
    "millions": 1e6,
    "m": 1e6,
    "b": 1e9,
    "bn": 1e9,
    "billion": 1e9,
    "billions": 1e9,
}
_MANY |= {"k": 1e3, "t": 1e12, "trillion": 1e12}


@functools.lru_cache(4096)
def unit(text: str) -> Unit | None:
    """A unit by its spelling; None where it is none.

    >>> unit("msec").size, unit("tok/s/GPU").each, unit("TFLOP/s/GPU").kind, unit("%").size, unit("mean")
    (0.001, True, 'FLOP/s', 0.01, None)
    """
    said = re.sub(r"\s+", "", text.strip().lower().rstrip(":.")).replace("µ", "u").replace("μ", "u")
    bare = re.sub(r"(?:/|per)(?:step|iteration|iter|it|tokens?|tok|request)$", "", said)
    if bare in _TIME:
        return Unit("time", _TIME[bare], text)
    if said in ("%", "percent", "pct", "perc"):
        return Unit("share", 0.01, text)
    memory = re.sub(r"/?(?:per)?(?:gpu|device)$", "", said)
    if memory in _MEMORY and memory != "b":
        return Unit("memory", _MEMORY[memory], text)
    if (rate := _RATE.fullmatch(said)) or said in ("tps", "tps/gpu"):
        return Unit("tokens/s", _PREFIX[rate[1]] if rate else 1.0, text, bool(rate and rate[2]) or "gpu" in said)
    if flops := _FLOPS.fullmatch(said):
        return Unit("FLOP/s", _PREFIX[flops[1]], text, bool(flops[2]))
    if said in _COUNT:
        return Unit("tokens", 1.0, text)
    if said in _THINGS:
        return Unit("things", 1.0, text)
    many = re.sub(r"(?:params?|parameters)$", "", said)
    if many in _MANY or said in ("params", "parameters"):
        return Unit("count", _MANY.get(many, 1.0), text)
    return None


def fits(column: str, said: Unit | None, rate: bool) -> bool:
    """May a heading in this unit be this column?"""
    quantity = QUANTITY.get(column, ("", 1.0))[0]
    if said is None:
        return not rate
    if quantity in ("tokens/s", "FLOP/s"):
        single = column.endswith("_per_gpu")
        return said.kind == quantity and (single or not said.each)
    if quantity:
        return said.kind == quantity
    return said.kind in ("tokens", "things")


# --- numbers --------------------------------------------------------------------------------------------------

_BODY = r"[+-]?(?:\d[\d.,'’_\u00a0\u202f\u2009 ]*\d|\d|[.,]\d+|\d[.,])(?:[eE][+-]?\d+)?"
_LEADING = re.compile(rf"({_BODY})\s*(.*)", re.DOTALL | re.ASCII)
_SPACES = re.compile(r"(?<=\d)['’_\u00a0\u202f\u2009 ](?=\d{3}(?!\d))")


class Marks(NamedTuple):
    """How a file writes numbers: its decimal mark, "" where it shows none; `both` where cells contradict each other."""

    decimal: str
    both: bool = False
    semicolons: bool = False  #: cells are not separated by commas, so that decimal commas are likely


def marks(cells: Iterable[object], semicolons: bool = False) -> Marks:
    """The decimal mark of a table, by the cells that can be read in one way only.

    >>> marks(["12,4", "1.024"]).decimal, marks(["1,024", "0.5"]).decimal, marks(["1,024"]).decimal
    (',', '.', '')
    """
    seen = set()
    for cell in cells:
        found = _LEADING.fullmatch(cell.strip()) if isinstance(cell, str) else None
        if found is None:
            continue
        body = re.split("[eE]", _SPACES.sub("", found[1]))[0].lstrip("+-")
        last = max(body.rfind("."), body.rfind(","))
        if last < 0:
            continue
        mark, other = body[last], "," if body[last] == "." else "."
        if body.count(mark) > 1:  # 1.024.000
            seen.add(other) if other in body or re.fullmatch(r"\d{1,3}(?:[.,]\d{3})+", body) else None
        elif other in body or len(body) - last - 1 != 3 or re.match(r"0\d*[.,]|[.,]|\d{4,}[.,]", body):
            seen.add(mark)
    if len(seen) == 2:
        return Marks("", True, semicolons)
    return Marks(next(iter(seen), ""), False, semicolons)


def number(text: str, how: Marks, whole: bool = False) -> tuple[float, str]:
    """A number and what stands behind it.

    Raises
    ------
    ValueError
        With what is wrong, to be told behind the column and its cell.

    >>> number("1,024 tok/s", Marks(".")), number("12,4 ms", Marks(",")), number("1'024", Marks(""))
    ((1024.0, 'tok/s'), (12.4, 'ms'), (1024.0, ''))
    """
    found = _LEADING.fullmatch(text.strip())
    if found is None:
        raise ValueError("where a number belongs")
    body, _, exponent = re.sub("E", "e", _SPACES.sub("", found[1])).partition("e")
    if re.search(r"[^\d.,+-]", body):
        raise ValueError("where a number belongs")
    last = max(body.rfind("."), body.rfind(","))
    if last >= 0:
        body = _plain(body, last, how, whole)
    try:
        return float(f"{body}e{exponent}" if exponent else body), found[2].strip()
    except ValueError:
        raise ValueError("where a number belongs") from None


def _plain(body: str, last: int, how: Marks, whole: bool) -> str:
    """A number with a point for its decimals, and without separators of thousands."""
    mark, other = body[last], "," if body[last] == "." else "."
    grouped = re.fullmatch(rf"[+-]?\d{{1,3}}(?:{re.escape(mark)}\d{{3}})+", body)
    if other in body:  # both: the last one is the decimal mark
        head = body[:last]
        if body.count(mark) > 1 or not re.fullmatch(rf"[+-]?\d{{1,3}}(?:{re.escape(other)}\d{{3}})+", head):
            raise ValueError("where a number belongs")
        return head.replace(other, "") + "." + body[last + 1 :]
    if body.count(mark) > 1:
        if not grouped:
            raise ValueError("where a number belongs")
        return body.replace(mark, "")
    if mark == how.decimal or not grouped or re.match(r"[+-]?0", body):
        if how.decimal and mark != how.decimal and not grouped:
            raise ValueError(f"has another decimal mark than the file, which writes 12{how.decimal}4")
        return body.replace(mark, ".")
    counts = whole and (mark == "," or how.semicolons)
    if how.decimal or counts or (mark == "," and not how.semicolons and not how.both):
        return body.replace(mark, "")
    if mark == "." and not whole and not how.semicolons and not how.both:
        return body
    raise ValueError(f"may be {body.replace(mark, '')} or {body.replace(mark, '.')}: write one of them")


def converted(column: str, value: float, behind: str, said: Unit | None, word: str) -> float:
    """A number of a cell in the unit of its column.

    Parameters
    ----------
    behind : str
        What stands behind the number.
    said : Unit or None
        What the heading says.
    word : str
        The heading; the column's own name where it is read as it stands.
    """
    quantity, size = QUANTITY.get(column, ("", 1.0))
    own = unit(behind) if behind else None
    if behind and own is None:
        raise ValueError("where a number belongs")
    if own is not None:
        if column in ("n_params",) and own.kind in ("count", "memory"):
            return value * (own.size if own.kind == "count" else 1e9)
        if not quantity and own.kind == "count":
            raise ValueError("may be thousands or powers of 1024: write the digits")
        if not fits(column, own, False) or (own.kind == "tokens" and column == "global_batch"):
            meant = EXAMPLE.get(quantity)
            raise ValueError(f"is no {quantity or 'count'}{': write it like ' + meant[0] if meant else ''}")
        return value * own.size / size
    if said is not None:
        return value * said.size / size
    if word == column or not quantity or quantity not in EXAMPLE:
        return value
    cell, ends = EXAMPLE[quantity]
    heads = " or ".join(f"{word}{end}" for end in ends)
    raise ValueError(f"has no unit: head the column {heads}, or write it like {cell}")


def whole(value: float) -> bool:
    """Is this a whole number?"""
    return math.isfinite(value) and value == math.floor(value)
