"""Quantities at the border."""

import math
import random
import re
import sys
from fractions import Fraction

import numpy as np
import pytest
from answers import answer
from configurations import CONFIGURATIONS

import mlsysim as ms
from mlsysim import sizes, units
from mlsysim.schema.assumptions import Assumptions
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
        ("600 req/min", "1/s", 10.0),
        ("10 qps", "1/s", 10.0),
        ("1k rps", "1/s", 1000.0),
        ("36 jobs/h", "1/s", 0.01),
        ("30 fps", "1/s", 30.0),
        ("16 users", "1", 16.0),
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
        (b"8", "1"),
        (bytearray(b"8"), "1"),
        (memoryview(b"8"), "1"),
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


OTHERWISE = {
    "1": [
        "8x4",
        "2x16",
        "2×16",
        "8 x 4",
        "5 1000",
        "16 128",
        "4 1",
        "4*1",
        "5 steps2",
        "1__0",
        "1_",
        "_1",
        "1,000",
        "1'000",
        "1,5",
        "1 000",
        "1\u202f000",
        "0x10",
        "0b1",
        "0o7",
        "1/2",
        "1e3e3",
        "1e",
        "1e5.5",
        "1.2.3",
        "--5",
        "+-5",
        "5-",
        "−5",
        "٣",
        "５",
        "½",
        "5²",
        "5 %%",
        "5 % %",
        "5%5",
        "5 tokens tokens",
        "5 m",
        "15 mtok",
        "5 s0",
        "5 s s",
        "infinit",
        "five",
        "1e400",
        "1e-400",
        "5 s/",
        "5//s",
        "5 /",
        "5 k k",
        "5kk",
        "5k5",
        "5 µ",
        "70b",
    ],
    "byte": [
        "80 GB1",
        "80 GB 1",
        "80 GB2",
        "80 GB0",
        "80 GB^1",
        "80 mB",
        "80 nB",
        "80 GB*",
        "80 **GB",
        "80, GB",
        "8_ GB",
        "80 GB tokens %",
        "80 gb",
        "8 milliB",
        "3 millibytes",
        "1e305 EB",
    ],
    "byte/s": ["100 mB/s", "100 mbps", "100 mBps", "3 TB/s/", "3 TB//s", "3 TB/s 1", "3 TB/s2"],
    "USD": ["$5 tokens", "$5 %", "$$5", "5 m$", "5 mUSD", "$5 $", "$5 USD", "$", "$ per"],
    "s": ["5 s1", "5 s^1", "5 KiS", "5 Kis", "5 1", "5 min2"],
    "kg": ["5 mt", "5 Kig"],
    "FLOP/s": ["100 mFLOP/s", "100 mFLOPS"],
}


@pytest.mark.parametrize("unit", OTHERWISE)
def test_text_that_would_be_read_as_another_number_is_refused(unit):
    for text in OTHERWISE[unit]:
        with pytest.raises(ValueError):
            print(text, units.parse(text, unit))


@pytest.mark.parametrize(
    "text, unit, meant",
    [
        ("100 mB/s", "byte/s", "did you mean MB/s or Mb/s?"),
        ("100 mbps", "byte/s", "did you mean Mbps or MBps?"),
        ("3 tb/s", "byte/s", "TB/s"),
        ("70b", "1", "did you mean B?"),
        ("5 kw", "W", "did you mean kW?"),
        ("5 MIN", "s", "did you mean min?"),
    ],
)
def test_a_slip_of_capitals_is_told_what_it_means(text, unit, meant):
    with pytest.raises(ValueError) as caught:
        units.parse(text, unit)
    assert meant in str(caught.value)


#: what the reader below knows, apart from the product: spelling -> (exact factor, power of seconds)
NOUNS = {
    "x": (1, 0),
    "tokens": (1, 0),
    "ktokens": (10**3, 0),
    "Ktokens": (10**3, 0),
    "Mtokens": (10**6, 0),
    "Kitokens": (2**10, 0),
    "Etokens": (10**18, 0),
    "steps": (1, 0),
    "%": (Fraction(1, 100), 0),
}
TIMES = {
    "s": (1, 1),
    "ms": (Fraction(1, 1000), 1),
    "min": (60, 1),
    "ks": (1000, 1),
    "Ks": (1000, 1),
    "Ms": (10**6, 1),
    "Es": (10**18, 1),
}
TIMES |= {f"{name}^{n}": (factor**n, n) for name, (factor, _) in TIMES.items() for n in (2, 5, 8)}
TIMES |= {name.replace("^", ""): said for name, said in TIMES.items()}
TIMES |= {
    f"{name}^-{n}": (Fraction(1, factor**n), -n) for name, (factor, p) in TIMES.items() if p == 1 for n in (1, 2, 5, 8)
}
TIMES |= {name.replace("^", ""): said for name, said in TIMES.items()}
TIMES |= {f"{name[:-2]}²{name[-1:]}"[:-1]: said for name, said in TIMES.items() if name.endswith("^2")}
TIMES |= {f"{x} {y}": (a * c, b + d) for x, (a, b) in TIMES.items() for y, (c, d) in TIMES.items()}
MANY = {"k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9, "Ki": 2**10}
PIECES = [
    "0",
    "1",
    "1",
    "2",
    "5",
    "10",
    "8",
    ".",
    ",",
    "_",
    "e",
    "E",
    "+",
    "-",
    " ",
    " ",
    "\u00a0",
    "k",
    "K",
    "Ki",
    "M",
    "B",
    "%",
    "x",
    "s",
    "m",
    "min",
    "tokens",
    "steps",
    "^",
    "*",
    "/",
    "²",
    "−",
    "٣",
    "0x",
    "inf",
    "nan",
    "'",
    "(",
    ")",
    "½",
    "$",
]


def strictly(text, unit):
    """The number that a text says, by the book; None where the book has nothing."""
    found = re.fullmatch(r"\s*([+-]?[0-9][0-9_]*\.?[0-9_]*|[+-]?\.[0-9][0-9_]*)([eE][+-]?[0-9]+)?\s*(.*?)\s*", text)
    if found is None:
        return None
    digits, power, rest = found.groups()
    if re.search(r"__|_$|_\.|\._", digits):
        return None
    amount = Fraction((digits + (power or "")).replace("_", ""))
    if not rest:
        return amount
    rest = re.sub(r"\s*\*\s*", " ", re.sub(r"^\*\s*(?=\S)", "", rest))
    word = re.match(r"(Ki|[kKMB])(?=$|[\s/%])", rest)
    for factor, tail in [(1, rest), *([(MANY[word.group()], rest[word.end() :])] if word else [])]:
        first, *divisors = (" ".join(part.split()) for part in tail.split("/"))
        names = {**NOUNS, **TIMES}
        read = [] if first in ("", "1" if divisors else "") else [names.get(first)]
        read += [said and (Fraction(1) / said[0], -said[1]) for said in map(names.get, divisors)]
        if None in read or sum(power for _, power in read) != (unit == "s"):
            continue
        return amount * factor * math.prod(Fraction(f) for f, _ in read)
    return None


@pytest.mark.parametrize("unit", ["1", "s"])
def test_whatever_is_typed_is_read_as_the_book_says_or_refused(unit):
    rng = random.Random(1)
    read = 0
    for _ in range(20_000):
        text = "".join(rng.choices(PIECES, k=rng.randint(1, 6)))
        try:
            value = units.parse(text, unit)
        except ValueError as error:
            assert "\n" not in str(error) or "\n" in text
            continue
        if text.strip() in ("inf", "-inf", "nan"):
            continue
        said = strictly(text, unit)
        assert said is not None and value == pytest.approx(float(said), rel=1e-14), (text, value)
        read += 1
    assert read > 500


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
        assert units.parse(sizes.text(value, unit), unit) == pytest.approx(value, rel=1e-3)
    assert sizes.text(math.nan, "W") == "unknown"


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


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_an_answer_of_every_resolver_gets_units(name):
    """``ds.pint.quantify(unit_registry=ms.units.registry())``: before, pint-xarray refused our registry."""
    pytest.importorskip("pint_xarray")
    found = answer(name, 0)
    quantified = found.pint.quantify(unit_registry=ms.units.registry())
    for output, array in found.data_vars.items():
        if array.attrs["units"] == "1" or "flag_values" in array.attrs:
            continue
        quantity = quantified[output].data
        assert units.parse(quantity, array.attrs["units"]) == pytest.approx(array.values, rel=1e-15, nan_ok=True)
    back = quantified.pint.dequantify(format="")
    assert {output: back[output].dims for output in found} == {output: found[output].dims for output in found}


def test_missing_pint_says_what_to_install(monkeypatch):
    units.registry.cache_clear()
    monkeypatch.setitem(sys.modules, "pint", None)
    with pytest.raises(ImportError, match=r"pip install 'mlsysim-sweep\[units\]'"):
        units.registry()
    units.registry.cache_clear()
