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

import datetime
import functools
import math
import re
from typing import Any

import numpy as np

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
_SMALL = ("m", "u", "µ", "μ", "n", "p", "milli", "micro", "nano", "pico")  #: prefixes below one
_BINARY = ("Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "kibi", "mebi", "gibi", "tebi", "pebi")
# names, factor, dimensions.  What is counted whole takes no prefix below one: "100 mB/s" never means a tenth of a byte.
_COUNTED: tuple[tuple[str, float, dict[str, int]], ...] = (
    ("B byte bytes Byte Bytes", 1.0, {"byte": 1}),
    ("b bit bits", 0.125, {"byte": 1}),
    ("Bps", 1.0, {"byte": 1, "s": -1}),
    ("bps", 0.125, {"byte": 1, "s": -1}),
    ("FLOP FLOPs flop flops Flop OP OPs op ops", 1.0, {"FLOP": 1}),
    ("FLOPS OPS", 1.0, {"FLOP": 1, "s": -1}),
    ("tok token tokens param params parameter parameters", 1.0, {}),
)
# Money and tonnes neither: "5 m$" is five million to some, "5 mt" five tonnes.
_BULK: tuple[tuple[str, float, dict[str, int]], ...] = (
    ("USD $ dollar dollars", 1.0, {"USD": 1}),
    ("t tonne tonnes tCO2e", 1e3, {"kg": 1}),
)
_MEASURED: tuple[tuple[str, float, dict[str, int]], ...] = (
    ("s sec second seconds", 1.0, {"s": 1}),
    ("Hz hertz", 1.0, {"s": -1}),
    ("J joule joules", 1.0, {"J": 1}),
    ("Wh watt_hour", 3600.0, {"J": 1}),
    ("W watt watts", 1.0, {"J": 1, "s": -1}),
    ("g gram grams gCO2e gCO2 gCO2eq", 1e-3, {"kg": 1}),
    ("L l liter liters litre litres", 1.0, {"L": 1}),
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
        "x sample samples image images img frame frames step steps sequence sequences seq GPU GPUs device devices",
        1.0,
        {},
    ),
    ("request requests req reqs query queries prompt prompts job jobs user users client clients", 1.0, {}),
    ("rps RPS qps QPS tps TPS fps FPS", 1.0, {"s": -1}),  # requests, queries, tokens and frames per second
)
_BESIDE = ("GPU", "GPUs", "device", "devices")  #: of the names without dimension those that stand beside a unit
#: units by the prefixes that they do not take; powers of 1024 count bytes, bits, operations and tokens only
_GROUPS = ((_COUNTED, _SMALL), (_BULK, (*_SMALL, *_BINARY)), (_MEASURED, _BINARY))
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
#: digits as Python writes them: ASCII, one underscore between two digits at most
_NUMBER = re.compile(r"[+-]?(?:\d+(?:_\d+)*(?:\.(?:\d+(?:_\d+)*)?)?|\.\d+(?:_\d+)*)(?:[eE][+-]?\d+)?", re.ASCII)
_POWER = re.compile(r"(.+?)\^?([2-9]|-[1-9])")  #: a power of 0 or 1 says nothing, so it was meant otherwise


@functools.cache
def _symbols() -> dict[str, _Scale]:
    table: dict[str, _Scale] = {}
    for group, without in _GROUPS:
        for names, factor, dims in group:
            for name in names.split():
                prefixes = _PREFIXES | (_LONG_PREFIXES if len(name) > 3 and name.islower() else {})
                for prefix, scale in prefixes.items():
                    if prefix not in without:
                        table.setdefault(prefix + name, (factor * scale, dims))
    for group in (_COUNTED, _BULK, _MEASURED, _PLAIN):  # a plain name wins: min is no milli-inch
        for names, factor, dims in group:
            for name in names.split():
                table[name] = (factor, dims)
    return table


def _product(part: str) -> list[tuple[_Scale, int]] | None:
    """The units of "byte s-1" or "GPU hour" with their powers; None when anything else is in it.

    A name without dimension has no power, and stands alone unless it is the GPU of a GPU hour: "8x4" is no 8.
    """
    found, lonely = [], False
    for token in re.split(r"\s*[*·×]\s*|\s+", part):
        scale, power = _symbols().get(token), 1
        if scale is None and (match := _POWER.fullmatch(token)):
            scale, power = _symbols().get(match.group(1)), int(match.group(2))
        if scale is None or (power != 1 and not scale[1]):
            return None
        lonely = lonely or (not scale[1] and token not in _BESIDE)
        found.append((scale, power))
    return found if len(found) == 1 or (not lonely and any(scale[1] for scale, _ in found)) else None


def _expression(text: str) -> tuple[float, float, _Dimensions] | None:
    """Numerator, denominator and dimensions of "GB/s", "g/kWh", "byte s-1", "/s"; None if it is no unit."""
    up = down = 1.0
    dims: dict[str, int] = {}
    first, *divisors = (p.strip() for p in re.sub(r"\bper\b", "/", text).replace("²", "^2").split("/"))
    if first in ("", "1"):  # "1" where a unit is spelled, as in "1/s"
        products: list[Any] = []
        if first == "1" and not divisors and text.strip() != "1":
            return None
    else:
        products = [(_product(first), 1)]
    products += [(_product(part), -1) for part in divisors]
    for product, side in products:
        if product is None:
            return None
        for (factor, own), exponent in product:
            power = exponent * side
            whole = round(1.0 / factor) if factor < 1.0 else 0  # 5 us is 5 / 1e6, not 5 * 1e-6: correctly rounded
            exact = whole > 0 and math.isclose(whole * factor, 1.0, rel_tol=1e-12)
            if (power > 0) != exact:
                up *= float(whole) ** -power if exact else factor**power
            else:
                down *= float(whole) ** power if exact else factor**-power
            for name, times in own.items():
                dims[name] = dims.get(name, 0) + times * power
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


def _scale(rest: str, unit: str, dollar: bool = False) -> tuple[float, float, float] | None:
    """What turns a number followed by `rest` into `unit`: times the first two, over the last; None where it cannot."""
    wanted = dimensions(unit)
    readings: list[tuple[float, str]] = [(1.0, rest)]
    word = re.match(r"[A-Za-z]+(?=$|[\s/%])", rest)
    if word and word.group() in _MULTIPLIERS:
        readings.append((_MULTIPLIERS[word.group()], rest[word.end() :].strip()))
    for factor, tail in readings:
        if dollar and not re.match(r"$|/|per\b", tail):  # after $30 only a multiplier, or what it is per
            continue
        spelled = f"USD {tail}".strip() if dollar else tail
        if spelled == "1":  # "4 1" is no 4
            continue
        found = _expression(spelled)
        if found is None:
            continue
        up, down, dims = found
        if dims != wanted and re.search(r"OPs", spelled) and "/" not in spelled:  # "989 TFLOPs" said of a rate
            dims = tuple(sorted((*dims, ("s", -1))))
        if dims == wanted:
            return factor, up, down
    return None


def _meant(rest: str, unit: str) -> str:
    """Spellings that differ from `rest` in capitals only and would fit: ``"; did you mean MB/s or Mb/s?"``."""
    head, *tail = re.split(r"(?=[\s/])", rest, maxsplit=1)
    known = {*_symbols(), *_MULTIPLIERS}
    alike = [s for s in known if s.lower() == head.lower() and s != head]
    alike.sort(key=lambda s: (-sum(a == b for a, b in zip(s, head)), s.swapcase()))
    fitting = {scale: "".join((s, *tail)) for s in reversed(alike) if (scale := _scale("".join((s, *tail)), unit))}
    return f"; did you mean {' or '.join([*fitting.values()][::-1][:2])}?" if fitting else ""


def _refuse(value: object, unit: str, name: str, rest: str = "") -> ValueError:
    shown = value if isinstance(value, str) else " ".join(str(value).split())
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    wanted = "plain number" if unit == "1" else f"value in {unit}"
    example = _EXAMPLES.get(unit)
    hint = f"write it like {example}" if example else f'write a number and a unit, as in "1 {unit}"'
    meant = _meant(rest, unit) if rest else ""
    return ValueError(f"{name + ': ' if name else ''}{shown!r} is no {wanted}: {hint}{meant}")


def example(unit: str) -> str:
    """How a value in `unit` is written.

    >>> example("byte"), example("FLOP/byte")
    ('"80 GB"', '"1 FLOP/byte"')
    """
    return _EXAMPLES[unit].split(" or ")[0].split(", ")[0] if unit in _EXAMPLES else f'"1 {unit}"'


def number(text: str) -> float | None:
    """A number without a unit as text, in ASCII digits; None when it is anything else.

    >>> number("1e3"), number("1_000"), number("1,000"), number("٣"), number("1__0")
    (1000.0, 1000.0, None, None, None)
    """
    stripped = text.strip()
    if stripped.lower() in ("inf", "-inf", "nan"):
        return float(stripped)
    return _read(stripped) if _NUMBER.fullmatch(stripped) else None


def _read(digits: str) -> float:
    """The double of a text of digits, where there is one that is near."""
    found = float(digits)
    if math.isinf(found) or (found == 0.0 and re.search(r"[1-9]", re.split("[eE]", digits)[0])):
        raise ValueError(f"{digits!r} is too {'large' if found else 'small'} for a number")
    return found


def _parse_text(text: str, unit: str, name: str) -> float:
    stripped = text.strip()
    dollar = stripped.startswith(("$", "-$"))
    if dollar:
        stripped = stripped.replace("$", "", 1)
    plain = number(stripped) if not dollar else None
    if plain is not None:
        return plain
    match = _NUMBER.match(stripped)
    if match is None:
        raise _refuse(text, unit, name)
    amount = _read(match.group())
    rest = stripped[match.end() :].strip()
    scale = _scale(re.sub(r"^[*·×]\s*(?=\S)", "", rest), unit, dollar)
    if scale is None:
        raise _refuse(text, unit, name, rest)
    factor, up, down = scale
    converted = amount * factor * up / down
    if math.isinf(converted) or (converted == 0.0 and amount != 0.0):
        raise ValueError(
            f"{name + ': ' if name else ''}{text!r} is too {'large' if converted else 'small'} for a number"
        )
    return converted


def convert(values: Any, spelled: str, unit: str, name: str = "") -> Any:
    """Numbers in the unit `spelled` (that of a DataArray, say) as numbers in base units.

    >>> convert(2.0, "TB/s", "byte/s"), convert(3.0, "1", "1")
    (2000000000000.0, 3.0)
    """
    scale = (1.0, 1.0, 1.0) if spelled.strip() == unit else _scale(spelled.strip(), unit)
    if scale is None:
        first = np.ravel(values)[:1].tolist()
        raise _refuse(f"{first[0] if first else 1} {spelled}", unit, name, spelled.strip())
    factor, up, down = scale
    return values * factor * up / down


def _pint_spelling(unit: str) -> str:
    return "dimensionless" if unit == "1" else re.sub(r"\bL\b", "liter", unit)


def parse(value: Any, unit: str, name: str = "") -> float:
    """A number in base units.

    Parameters
    ----------
    value : number, str, timedelta or pint quantity
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
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value[()]
    if isinstance(value, str):
        return _parse_text(value, unit, name)
    if isinstance(value, (datetime.timedelta, np.timedelta64)) and unit == "s":
        try:
            return float(np.timedelta64(value) / np.timedelta64(1, "s"))
        except TypeError as error:  # months have no length
            raise _refuse(value, unit, name) from error
    if hasattr(value, "magnitude") and hasattr(value, "to"):
        try:
            converted = value.to(_pint_spelling(unit)).magnitude
        except Exception as error:  # pint's own errors: dimension or unit that its registry does not know
            raise _refuse(value, unit, name) from error
        return converted if getattr(converted, "ndim", 0) else float(converted)
    number_like = any(hasattr(type(value), one) for one in ("__float__", "__index__"))
    if getattr(value, "ndim", 0) or not number_like or isinstance(value, (complex, np.complexfloating)):
        raise _refuse(value, unit, name)  # float() would read b"8", too
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise _refuse(value, unit, name) from error


@functools.cache
def registry() -> Any:
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
    units: Any = pint.UnitRegistry(force_ndarray_like=True)
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
