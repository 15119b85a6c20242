"""Quantities at the border."""

import math
import sys

import numpy as np
import pytest

from mlsysim import units
from mlsysim.schema.records import Assumptions
from mlsysim.schema.variables import VARIABLES

KWH = 3.6e6
DAY = 86400.0


@pytest.mark.parametrize(
    "text, unit, value",
    [
        ("80 GB", "byte", 80e9),
        ("80GB", "byte", 80e9),
        ("80 GiB", "byte", 80 * 2**30),
        ("512 KiB", "byte", 512 * 1024),
        ("3.35 TB/s", "byte/s", 3.35e12),
        ("400 Gb/s", "byte/s", 50e9),
        ("400 Gbps", "byte/s", 50e9),
        ("2 GB per s", "byte/s", 2e9),
        ("12 byte s-1", "byte/s", 12.0),
        ("$2.5/hour", "USD/s", 2.5 / 3600),
        ("2.5 USD/h", "USD/s", 2.5 / 3600),
        ("$30k", "USD", 30e3),
        ("30 k$", "USD", 30e3),
        ("$1_000", "USD", 1e3),
        ("2.5 million USD", "USD", 2.5e6),
        ("989 TFLOP/s", "FLOP/s", 989e12),
        ("989 TFLOPS", "FLOP/s", 989e12),
        ("989 TFLOPs", "FLOP/s", 989e12),
        ("3e24 FLOP", "FLOP", 3e24),
        ("3e24 FLOPs", "FLOP", 3e24),
        ("400 g/kWh", "kg/J", 0.4 / KWH),
        ("400 gCO2e/kWh", "kg/J", 0.4 / KWH),
        ("0.4 kgCO2e/kWh", "kg/J", 0.4 / KWH),
        ("0.08 USD/kWh", "USD/J", 0.08 / KWH),
        ("$80/MWh", "USD/J", 0.08 / KWH),
        ("1.8 L/kWh", "L/J", 1.8 / KWH),
        ("700 W", "W", 700.0),
        ("1.2 kW", "W", 1200.0),
        ("5 kWh", "J", 5 * KWH),
        ("30 days", "s", 30 * DAY),
        ("5 us", "s", 5e-6),
        ("5 µs", "s", 5e-6),
        ("50 ms", "s", 0.05),
        ("2 min", "s", 120.0),
        ("1 week", "s", 7 * DAY),
        ("1 year", "s", 365.25 * DAY),
        ("15T", "1", 15e12),
        ("15 T", "1", 15e12),
        ("15T tokens", "1", 15e12),
        ("70B", "1", 70e9),
        ("8k", "1", 8000.0),
        ("8Ki", "1", 8192.0),
        ("85 %", "1", 0.85),
        ("85%", "1", 0.85),
        ("20 requests/s", "1/s", 20.0),
        ("20/s", "1/s", 20.0),
        ("2M tokens/s", "1/s", 2e6),
        ("10 Hz", "1/s", 10.0),
        ("2 m3", "L", 2000.0),
        ("164 kg", "kg", 164.0),
        ("1.5 t", "kg", 1500.0),
        ("-3.5", "W", -3.5),
        ("1e9", "1", 1e9),
        ("inf", "s", math.inf),
        ("100 FLOP/byte", "FLOP/byte", 100.0),
    ],
)
def test_text(text, unit, value):
    assert units.parse(text, unit) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("value", [5, 5.0, np.float64(5), np.int64(5), np.array(5.0), "5"])
def test_numbers_pass_as_they_are(value):
    assert units.parse(value, "byte") == 5.0 and type(units.parse(value, "byte")) is float


@pytest.mark.parametrize(
    "value, unit",
    [
        ("80 GB", "byte/s"),
        ("80", "parsec"),
        ("3 parsec", "s"),
        ("five GB", "byte"),
        ("", "byte"),
        ("1,000 W", "W"),
        ("5 G", "byte"),
        ("$5", "byte"),
        ("2 h", "1"),
        ("4 GB/", "byte"),
        (None, "s"),
        ([1, 2], "s"),
        ("30 C", "W"),
        ("1 kWh", "W"),
        ("8 GB GB", "byte"),
    ],
)
def test_wrong_dimension_or_unknown_unit(value, unit):
    if unit == "parsec":
        with pytest.raises(ValueError, match="no unit"):
            units.dimensions(unit)
        return
    with pytest.raises(ValueError) as caught:
        units.parse(value, unit, "argument")
    text = str(caught.value)
    assert text.startswith("argument: ") and "\n" not in text and "write" in text
    assert (unit if unit != "1" else "plain number") in text


def test_every_unit_of_the_schema_is_understood():
    for variable in VARIABLES.values():
        units.dimensions(variable.unit)
    for name, default in Assumptions._field_defaults.items():
        assert units.parse(f"1 {default.unit}" if default.unit != "1" else "1", default.unit) == 1.0, name


def test_text_of_a_number_reads_back():
    for value, unit in [
        (3.35e12, "byte/s"),
        (80e9, "byte"),
        (0.0123, "s"),
        (700.0, "W"),
        (0.08 / KWH, "USD/J"),
        (0.4 / KWH, "kg/J"),
    ]:
        assert units.parse(units.text(value, unit), unit) == pytest.approx(value, rel=1e-3)
    assert units.text(math.nan, "W") == "unknown"


def test_pint():
    pint = pytest.importorskip("pint")
    registry = units.registry()
    assert registry is units.registry()
    assert units.parse(registry.Quantity(3.35, "TB/s"), "byte/s") == 3.35e12
    assert units.parse(registry("2.5 USD/hour"), "USD/s") == pytest.approx(2.5 / 3600)
    assert units.parse(registry("989 TFLOP/s"), "FLOP/s") == 989e12
    assert units.parse(registry("400 gCO2e/kWh"), "kg/J") == pytest.approx(0.4 / KWH)
    assert units.parse(registry("15e12 token"), "1") == 15e12
    assert units.parse(registry("1.8 L/kWh"), "L/J") == pytest.approx(1.8 / KWH)
    assert list(units.parse(registry.Quantity(np.array([1.0, 2.0]), "GB"), "byte")) == [1e9, 2e9]
    other = pint.UnitRegistry()  # a user's own registry serves as well
    assert units.parse(other.Quantity(80, "gigabyte"), "byte") == 80e9
    with pytest.raises(ValueError, match="byte/s"):
        units.parse(registry("5 s"), "byte/s")
    for unit in {v.unit for v in VARIABLES.values()}:
        registry.parse_units("" if unit == "1" else unit)


def test_missing_pint_says_what_to_install(monkeypatch):
    units.registry.cache_clear()
    monkeypatch.setitem(sys.modules, "pint", None)
    with pytest.raises(ImportError, match=r"pip install 'mlsysim-sweep\[units\]'"):
        units.registry()
    units.registry.cache_clear()
