"""Quantities as one speaks of them: prefixes and larger units, from numbers in base units."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_DAY = 86400.0
#: base unit -> (from which size on, size of one, how it is called), largest first
_SIZES: dict[str, tuple[tuple[float, float, str], ...]] = {
    "s": (
        (2 * _DAY, _DAY, "days"),
        (7200.0, 3600.0, "h"),
        (1.0, 1.0, "s"),
        (1e-3, 1e-3, "ms"),
        (0.0, 1e-6, "µs"),
    ),
    "USD": ((1e6, 1e6, "M$"), (1e4, 1e3, "k$"), (0.0, 1.0, "$")),
    "kg": ((1e3, 1e3, "t CO2e"), (0.1, 1.0, "kg CO2e"), (0.0, 1e-3, "g CO2e")),
    "J": ((3.6e12, 3.6e12, "GWh"), (3.6e9, 3.6e9, "MWh"), (3.6e6, 3.6e6, "kWh"), (0.0, 1.0, "J")),
    "L": ((1e3, 1e3, "m³"), (0.0, 1.0, "L")),
    "W": ((1e6, 1e6, "MW"), (1e3, 1e3, "kW"), (0.0, 1.0, "W")),
    "USD/s": ((0.0, 1 / 3600.0, "$/h"),),
    "USD/J": ((0.0, 1 / 3.6e6, "$/kWh"),),
    "kg/J": ((0.0, 1 / 3.6e9, "g/kWh"),),
    "L/J": ((0.0, 1 / 3.6e6, "L/kWh"),),
    "1/s": ((0.0, 1.0, "/s"),),
}
for _unit, _name in (("byte", "B"), ("byte/s", "B/s"), ("FLOP", "FLOP"), ("FLOP/s", "FLOP/s")):
    _SIZES[_unit] = (
        *((s, s, p + _name) for s, p in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))),
        (0.0, 1.0, _name),
    )


def scale(values: Any, unit: str) -> tuple[float, str]:
    """What to divide by, and the unit to name, for values that share one.

    >>> scale([2e6, 9e6], "USD"), scale(30 * 86400, "s"), scale(5e6, "byte/s")
    ((1000000.0, 'M$'), (86400.0, 'days'), (1000000.0, 'MB/s'))
    """
    sizes = _SIZES.get(unit)
    if sizes is None:
        return 1.0, "" if unit == "1" else unit
    numbers = np.abs(np.asarray(values, dtype=np.float64).reshape(-1))
    numbers = numbers[np.isfinite(numbers) & (numbers > 0)]
    middle = float(np.median(numbers)) if numbers.size else 1.0
    return next((one, name) for start, one, name in sizes if middle >= start)


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


def number(value: Any) -> str:
    """Four digits of a number, without exponents where one need not read them.

    >>> number(0.123456), number(1234567.8), number(16384), number(float("inf")), number(3.2e-9)
    ('0.1235', '1,234,568', '16,384', 'inf', '3.2e-09')
    """
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (str, np.str_)) or value is None:
        return str(value or "-")
    x = float(value)
    if math.isnan(x):
        return "-"
    if math.isinf(x) or abs(x) >= 1e15 or (x and abs(x) < 1e-4):
        return f"{x:.4g}"
    return f"{x:,.0f}" if x.is_integer() or abs(x) >= 1e4 else f"{x:.4g}"


def quantity(value: Any, unit: str) -> str:
    """A value in the unit in which one speaks of it.

    >>> quantity(12.3e6, "USD"), quantity(0.0213, "s"), quantity(0.41, "1")
    ('12.3 M$', '21.3 ms', '0.41')
    """
    if isinstance(value, (str, np.str_, bool, np.bool_)) or value is None:
        return number(value)
    one, name = scale(value, unit)
    return f"{number(float(value) / one)} {name}".rstrip() if math.isfinite(float(value)) else number(value)
