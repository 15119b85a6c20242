"""Quantities at the border: "80 GB", "3.35 TB/s", "$2.5/hour" become floats in base units.

Inside the project every number is in base units (s, byte, FLOP, USD, J, kg, L, W and their quotients).
`parse` is the only door: a number passes as it is, text and pint quantities are converted.

>>> parse("3.35 TB/s", "byte/s")
3350000000000.0
>>> parse("80 GiB", "byte") == 80 * 2**30
True
>>> parse("400 Gb/s", "byte/s")
50000000000.0
>>> round(parse("$3.60/hour", "USD/s"), 12)
0.001
>>> parse("15T", "1"), parse("8k", "1"), parse("85 %", "1")
(15000000000000.0, 8000.0, 0.85)
>>> parse("80 GB", "byte/s")
Traceback (most recent call last):
ValueError: '80 GB' is no value in byte/s: write it like "3.35 TB/s" or "400 Gb/s"

Prefixes are decimal (GB = 1e9 byte), Ki, Mi, Gi ... are powers of 1024; B is a byte, b a bit.
"""

from __future__ import annotations

import functools
import math
import re
from typing import Any

#: symbol -> (factor to base units, exponents of the base units)
_Dimensions = tuple[tuple[str, int], ...]
_Scale = tuple[float, dict[str, int]]

_PREFIXES = {
    "k": 1e3,
    "K": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Z": 1e21,
    "m": 1e-3,
    "u": 1e-6,
    "µ": 1e-6,
    "μ": 1e-6,
    "n": 1e-9,
    "p": 1e-12,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "Pi": 2.0**50,
    "Ei": 2.0**60,
}
_LONG_PREFIXES = {
    "kilo": 1e3,
    "mega": 1e6,
    "giga": 1e9,
    "tera": 1e12,
    "peta": 1e15,
    "exa": 1e18,
    "milli": 1e-3,
    "micro": 1e-6,
    "nano": 1e-9,
    "pico": 1e-12,
    "kibi": 2.0**10,
    "mebi": 2.0**20,
    "gibi": 2.0**30,
    "tebi": 2.0**40,
    "pebi": 2.0**50,
}
_MULTIPLIERS = {
    "k": 1e3,
    "K": 1e3,
    "M": 1e6,
    "B": 1e9,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "thousand": 1e3,
    "million": 1e6,
    "billion": 1e9,
    "trillion": 1e12,
    "mn": 1e6,
    "bn": 1e9,
}
_DAY = 86400.0
# names, factor, dimensions; the first group takes prefixes
_PREFIXED: tuple[tuple[str, float, dict[str, int]], ...] = (
    ("B byte bytes Byte Bytes", 1.0, {"byte": 1}),
    ("b bit bits", 0.125, {"byte": 1}),
    ("Bps", 1.0, {"byte": 1, "s": -1}),
    ("bps", 0.125, {"byte": 1, "s": -1}),
    ("s sec second seconds", 1.0, {"s": 1}),
    ("Hz hertz", 1.0, {"s": -1}),
    ("FLOP FLOPs flop flops Flop OP OPs op ops", 1.0, {"FLOP": 1}),
    ("FLOPS OPS", 1.0, {"FLOP": 1, "s": -1}),
    ("USD $ dollar dollars", 1.0, {"USD": 1}),
    ("J joule joules", 1.0, {"J": 1}),
    ("Wh watt_hour", 3600.0, {"J": 1}),
    ("W watt watts", 1.0, {"J": 1, "s": -1}),
    ("g gram grams gCO2e gCO2 gCO2eq", 1e-3, {"kg": 1}),
    ("t tonne tonnes tCO2e", 1e3, {"kg": 1}),
    ("L l liter liters litre litres", 1.0, {"L": 1}),
    ("tok token tokens param params parameter parameters", 1.0, {}),
)
_PLAIN: tuple[tuple[str, float, dict[str, int]], ...] = (
    ("min minute minutes", 60.0, {"s": 1}),
    ("h hr hour hours", 3600.0, {"s": 1}),
    ("d day days", _DAY, {"s": 1}),
    ("week weeks", 7 * _DAY, {"s": 1}),
    ("month months", 30.4375 * _DAY, {"s": 1}),
    ("yr year years", 365.25 * _DAY, {"s": 1}),
    ("m3 m³", 1e3, {"L": 1}),
    ("% percent", 0.01, {}),
    (
        "1 x sample samples request requests step steps sequence sequences seq GPU GPUs device devices",
        1.0,
        {},
    ),
)
_EXAMPLES = {
    "byte": '"80 GB" or "80 GiB"',
    "byte/s": '"3.35 TB/s" or "400 Gb/s"',
    "FLOP/s": '"989 TFLOP/s"',
    "FLOP": '"3e24 FLOP"',
    "s": '"30 days", "50 ms" or "5 us"',
    "1": '"15T", "70B", "8k" or "85 %"',
    "USD": '"$30k" or "250000 USD"',
    "USD/s": '"$2.5/hour"',
    "USD/J": '"0.08 USD/kWh"',
    "kg/J": '"400 g/kWh"',
    "L/J": '"1.8 L/kWh"',
    "W": '"700 W" or "1.2 kW"',
    "J": '"5 MWh"',
    "kg": '"164 kg"',
    "L": '"2 m3"',
    "1/s": '"20 requests/s"',
}
_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_FACTOR = re.compile(r"([^\d\s^*/·×-][^\s^*/·×-]*?|1|m3)(?:\^|\*\*)?(-?\d+)?")


@functools.cache
def _symbols() -> dict[str, _Scale]:
    table: dict[str, _Scale] = {}
    for names, factor, dims in _PREFIXED:
        for name in names.split():
            for prefix, scale in (_LONG_PREFIXES if len(name) > 3 and name.islower() else {}).items():
                table.setdefault(prefix + name, (factor * scale, dims))
            for prefix, scale in _PREFIXES.items():
                table.setdefault(prefix + name, (factor * scale, dims))
    for names, factor, dims in _PREFIXED + _PLAIN:  # a plain name wins: min is no milli-inch
        for name in names.split():
            table[name] = (factor, dims)
    return table


def _expression(text: str) -> tuple[float, float, _Dimensions] | None:
    """Numerator, denominator and dimensions of "GB/s", "g/kWh", "byte s-1"; None if a symbol is unknown."""
    up = down = 1.0
    dims: dict[str, int] = {}
    parts = re.sub(r"\bper\b", "/", text).replace("²", "^2").split("/")
    for place, part in enumerate(parts):
        tokens = [t for t in re.split(r"[\s*·×]+", part.strip()) if t]
        if not tokens and (place > 0 or len(parts) == 1):
            return None
        for token in tokens:
            match = _FACTOR.fullmatch(token)
            found = _symbols().get(token) or (_symbols().get(match.group(1)) if match else None)
            if found is None:
                return None
            power = int(match.group(2) or 1) if match and token not in _symbols() else 1
            power = power if place == 0 else -power
            whole = (
                round(1.0 / found[0]) if found[0] < 1.0 else 0
            )  # 5 us is 5 / 1e6, not 5 * 1e-6: correctly rounded
            exact = whole > 0 and math.isclose(whole * found[0], 1.0, rel_tol=1e-12)
            if (power > 0) != exact:
                up *= float(whole) ** -power if exact else found[0] ** power
            else:
                down *= float(whole) ** power if exact else found[0] ** -power
            for name, exponent in found[1].items():
                dims[name] = dims.get(name, 0) + exponent * power
    return up, down, tuple(sorted((n, e) for n, e in dims.items() if e))


@functools.cache
def dimensions(unit: str) -> _Dimensions:
    """Exponents of the base units in a canonical unit.

    >>> dimensions("USD/J"), dimensions("W"), dimensions("1")
    ((('J', -1), ('USD', 1)), (('J', 1), ('s', -1)), ())
    """
    found = _expression(unit)
    if found is None:
        raise ValueError(f"{unit!r} is no unit")
    return found[2]


def _refuse(value: object, unit: str, name: str) -> ValueError:
    shown = value if isinstance(value, str) else str(value)
    wanted = "a plain number" if unit == "1" else f"value in {unit}"
    example = _EXAMPLES.get(unit)
    hint = f"write it like {example}" if example else f'write a number and a unit, as in "1 {unit}"'
    return ValueError(f"{name + ': ' if name else ''}{shown!r} is no {wanted.removeprefix('a ')}: {hint}")


def _parse_text(text: str, unit: str, name: str) -> float:
    stripped = text.strip()
    dollar = stripped.startswith(("$", "-$"))
    match = _NUMBER.match(stripped.replace("$", "", 1) if dollar else stripped)
    if match is None:
        if stripped.lower() in ("inf", "-inf", "nan"):
            return float(stripped)
        raise _refuse(text, unit, name)
    number = float(match.group().replace("_", ""))
    rest = (stripped.replace("$", "", 1) if dollar else stripped)[match.end() :].strip()
    if not rest and not dollar:
        return number
    wanted = dimensions(unit)
    readings: list[tuple[float, str]] = [(1.0, rest)]
    word = re.match(r"[A-Za-z]+(?=$|[\s/%])", rest)
    if word and word.group() in _MULTIPLIERS:
        readings.append((_MULTIPLIERS[word.group()], rest[word.end() :].strip()))
    for factor, tail in readings:
        spelled = ("USD " + tail).strip() if dollar else tail or "1"
        spelled = f"1{spelled}" if spelled.startswith("/") else spelled
        found = _expression(spelled)
        if found is None:
            continue
        up, down, dims = found
        if (
            dims != wanted and re.search(r"OPs", spelled) and "/" not in spelled
        ):  # "989 TFLOPs" said of a rate
            dims = tuple(sorted((*dims, ("s", -1))))
        if dims == wanted:
            return number * factor * up / down
    raise _refuse(text, unit, name)


def _pint_spelling(unit: str) -> str:
    return "dimensionless" if unit == "1" else re.sub(r"\bL\b", "liter", unit)


def parse(value, unit: str, name: str = "") -> float:
    """A number in base units.

    Parameters
    ----------
    value : number, str or pint quantity
        A number is taken as being in `unit` already.
    unit : str
        The base unit that is wanted, spelled as in `mlsysim.schema.variables` ("byte/s", "USD/J", "1").
    name : str
        Named at the head of the error.

    Returns
    -------
    float
        A pint quantity that holds an array gives an array of floats.

    Raises
    ------
    ValueError
        Unknown unit or wrong dimension; the message shows how to write it.

    Examples
    --------
    >>> parse("30 days", "s"), parse(2.5, "s"), parse("70B", "1"), parse("700 W", "W")
    (2592000.0, 2.5, 70000000000.0, 700.0)
    >>> parse("0.08 USD/kWh", "USD/J") * 3.6e6
    0.08
    >>> parse("four", "byte", "mem_capacity")
    Traceback (most recent call last):
    ValueError: mem_capacity: 'four' is no value in byte: write it like "80 GB" or "80 GiB"
    """
    if isinstance(value, str):
        return _parse_text(value, unit, name)
    if hasattr(value, "magnitude") and hasattr(value, "to"):
        try:
            converted = value.to(_pint_spelling(unit)).magnitude
        except Exception as error:  # pint's own errors: dimension or unit that its registry does not know
            raise _refuse(value, unit, name) from error
        return converted if getattr(converted, "ndim", 0) else float(converted)
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise _refuse(value, unit, name) from error


def text(value: float, unit: str) -> str:
    """A number with a prefix that reads well.

    >>> text(3.35e12, "byte/s"), text(0.0123, "s"), text(8.0, "1"), text(0.08 / 3.6e6, "USD/J")
    ('3.35 TB/s', '12.3 ms', '8', '0.08 USD/kWh')
    """
    if value is None or math.isnan(value):
        return "unknown"
    if unit in ("USD/J", "kg/J", "L/J"):
        scale, shown = (3.6e9, "g") if unit == "kg/J" else (3.6e6, unit[:-2])
        return f"{value * scale:.4g} {shown}/kWh"
    if unit == "USD/s":
        return f"{value * 3600:.4g} USD/h"
    head, slash, tail = unit.partition("/")
    if head == "byte" or (head == "FLOP" and slash) or (head in ("s", "W", "J") and not slash):
        ladder = [("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0)]
        if head in ("s", "W", "J"):
            ladder += [("m", 1e-3), ("u", 1e-6), ("n", 1e-9)]
        if head == "s":
            ladder = ladder[6:]
        prefix, scale = next(((p, s) for p, s in ladder if abs(value) >= s), ("", 1.0))
        return f"{value / scale:.4g} {prefix}{'B' if head == 'byte' else head}{slash}{tail}"
    return f"{value:.8g}" if unit == "1" else f"{value:.8g} {unit}"


@functools.cache
def registry():
    """A pint registry that knows USD, FLOP, token and gCO2e besides what pint knows.

    >>> q = registry().Quantity(3.35, "TB/s")
    >>> parse(q, "byte/s")
    3350000000000.0
    >>> round(parse(registry()("400 gCO2e/kWh"), "kg/J") * 3.6e9, 9)
    400.0
    """
    try:
        import pint
    except ImportError as error:
        raise ImportError("pint is not installed: pip install 'mlsysim-sweep[units]'") from error
    units: Any = pint.UnitRegistry()
    for definition in (
        "USD = [currency] = USD = dollar",
        "FLOP = [operation] = FLOP = flop",
        "token = [] = tok",
        "gCO2e = gram = gCO2e",
        "sample = []",
        "request = []",
    ):
        units.define(definition)
    return units
