"""The language of `where=`: what it says is what Python says of the stored grid, and nonsense is refused in words."""

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from toy import BASE, StepModel

from mlsysim.engine import condition
from mlsysim.search import Best, Counts, Pareto, Top

GRID = {
    "hardware": ["h100", "a100", "h200"],
    "global_batch": [49, 588],
    "tp": [1, 2, 7],
    "dp": [1, 3],
    "recompute": ["none", "full"],
    "mem_bandwidth": [1e12, 2e12],
}
FULL = StepModel.solve(plan="plain", **GRID)

#: names of numbers with the unit in which a text may put them, and how many base units that is
QUANTITIES = {
    "itl": ("ms", 1e-3),
    "tokens_per_s": ("/s", 1.0),
    "memory_per_device": ("GB", 1e9),
    "hardware.mem_bandwidth": ("TB/s", 1e12),
    "mem_bandwidth": ("TB/s", 1e12),
    "tp": ("", 1.0),
    "dp": ("k", 1e3),
    "global_batch": ("", 1.0),
}
LABELS = {"hardware": GRID["hardware"], "recompute": GRID["recompute"], "limit": ["none", "shape", "memory"]}


def said(name):
    """A name as Python reads it from the stored grid."""
    return f"value({name.rsplit('.', 1)[-1]!r})"


@st.composite
def numbers(draw, depth=2):
    """A number: as a condition spells it, as Python does, and the unit of text that may be compared with it."""
    kind = draw(st.integers(0, 4 if depth else 1))
    name = draw(st.sampled_from(list(QUANTITIES)))
    unit, size = QUANTITIES[name]
    amount = draw(st.sampled_from([0.5, 1.0, 2.0, 7.0, 60.0, 300.0]))
    if kind <= 1:
        return name, said(name), (unit, size)
    if kind == 2:  # a quantity is added
        sign = draw(st.sampled_from("+-"))
        return f"({name} {sign} '{amount} {unit}')", f"({said(name)} {sign} {amount * size!r})", (unit, size)
    left, left_said, of_left = draw(numbers(depth=depth - 1))
    if kind == 3:
        op = draw(st.sampled_from(["*", "/"]))
        return f"({left} {op} {amount})", f"({left_said} {op} {amount})", of_left
    return f"-{left}", f"-{left_said}", of_left


@st.composite
def conditions(draw, depth=3):
    """A condition as `where` takes it, and the same in Python over arrays."""
    kind = draw(st.integers(0, 7 if depth else 4))
    if kind >= 5:
        one, one_said = draw(conditions(depth=depth - 1))
        if kind == 7:
            return f"not ({one})", f"~({one_said})"
        other, other_said = draw(conditions(depth=depth - 1))
        word, sign = ("and", "&") if kind == 5 else ("or", "|")
        return f"({one}) {word} ({other})", f"({one_said}) {sign} ({other_said})"
    if kind >= 3:
        name = draw(st.sampled_from(list(LABELS)))
        some = draw(st.lists(st.sampled_from(LABELS[name]), min_size=1, max_size=2, unique=True))
        if kind == 3:
            word = draw(st.sampled_from(["in", "not in"]))
            return f"{name} {word} {some}", f"{'~' if word != 'in' else ''}among({name!r}, {some})"
        op = draw(st.sampled_from(["==", "!="]))
        text = [f"{name} {op} {some[0]!r}", f"{some[0]!r} {op} {name}"][draw(st.integers(0, 1))]
        return text, f"{'~' if op == '!=' else ''}among({name!r}, {some[:1]})"
    left, left_said, (unit, size) = draw(numbers())
    op = draw(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
    amount = draw(st.sampled_from([0.1, 1.0, 2.0, 7.0, 80.0, 300.0]))
    if kind == 0:
        return f"{left} {op} {amount * size!r}", f"({left_said} {op} {amount * size!r})"
    if kind == 1:
        return f"{left} {op} '{amount} {unit}'", f"({left_said} {op} {amount * size!r})"
    return f"'{amount} {unit}' {op} {left}", f"({amount * size!r} {op} {left_said})"


@settings(max_examples=25)
@given(st.lists(conditions(), min_size=6, max_size=6))
def test_any_condition_means_what_python_says_of_the_stored_grid(cases):
    """Six at a time: one call is recorded for them all."""

    def value(name):
        return FULL[name].broadcast_like(FULL.itl).transpose(*FULL.itl.dims).values

    def among(name, words):
        codes = dict(zip(str(FULL.limit.attrs["flag_meanings"]).split(), FULL.limit.attrs["flag_values"]))
        return np.isin(value(name), [codes[w] for w in words] if name == "limit" else words)

    counts = [Counts(where=f"({text}) or False") for text, _ in cases]
    found = StepModel.sweep([*counts, *(Best("itl", where=text) for text, _ in cases)], plan="plain", **GRID)
    for (text, python), counted, best in zip(cases, found, found[len(cases) :]):
        expected = int((eval(python, {"value": value, "among": among}) & FULL.feasible.values).sum())
        assert int(counted.configurations.sel(limit="none")) == expected == best.attrs["accepted"], text


def accepted(where, **grid):
    return StepModel.best("itl", where=where, **{**BASE, **grid}).attrs["accepted"]


@pytest.mark.parametrize("n", [156, 157, 300, 1000])
def test_conditions_are_told_apart_however_many(n):
    """By every search, with the rejections of the last one counted as its own."""
    call = {"hardware": "h100", "global_batch": 98, "tp": [2, 7, 4, 14]}
    many = [f"tp < {1000 + i}" for i in range(n - 1)] + ["tp == 7"]
    for where in (many, " and ".join(many)):
        searches = [
            Best("itl", where=where),
            Top(2, "itl", where=where),
            Pareto("itl", where=where),
            Counts("tp", where),
        ]
        best, top, front, counts = StepModel.sweep(searches, plan="plain", **call)
        assert best.tp == 7 and top.found.values.tolist() == [True, False] and front.tp.values.tolist() == [7]
        assert counts.configurations.values[:, -1].tolist() == [1, 0, 1, 1] and counts.configurations.sum() == 4
        assert best.attrs["rejected"].endswith("tp < 1000: 0, " * (n == 1) + "tp == 7: 3")


@pytest.mark.parametrize(
    "text, says",
    {
        "deep negation": ("not " * 5000 + "tp < 2", ["more than 100 operations inside one another"]),
        "deep minus": ("-" * 3000 + "tp < 2", ["inside one another"]),
        "long sum": ("+".join(["tp"] * 5000) + " < 2", ["inside one another"]),
        "deep brackets": ("(" * 150 + "tp" + " + 1)" * 150 + " < 2", ["inside one another"]),
        "deep call": ("f(x=" * 90 + "- " * 90 + "tp" + ")" * 90, ["inside one another"]),
        "many": ([f"tp < {i}" for i in range(1001)], ["1,001 conditions", "at most 1,000"]),
        "long": ("tp < 1 or " * 1_000_000 + "tp < 2", ["10,000,006 characters", "at most 100,000"]),
        "long list": ([f"tp < {i:0100}.0" for i in range(900)] * 2, ["characters"]),
        "huge integer": (f"itl < {'9' * 400}", ["finite number"]),
        "huge integer that Python does not read": (f"itl < {'9' * 5000}", ["no condition"]),
        "infinite": ("itl < 1e999", ["finite number"]),
        "not a number": ("itl < 'nan'", ["'nan'", "finite number"]),
        "infinite text": ("itl < 'inf'", ["'inf'", "finite number"]),
        "mixed list": ("tp in [1, '2']", ["[1, '2']", "one list", "quotes"]),
        "mixed labels": ("hardware in ['h100', 5]", ["['h100', 5]", "one list"]),
        "empty list": ("tp not in []", ["list that is not empty"]),
        "a label has no order": ("hardware < 'h100'", ["hardware", "no order"]),
        "a label beside a number": ("hardware == 5", ["hardware has labels", "'h100'", "quotes"]),
        "a label in a name": ("'h100' in hardware", ["`in` takes a name and a list"]),
        "an unknown label": ("'h10' == hardware", ["hardware has no label 'h10'", "h100"]),
        "two texts": ("'1 s' < 'h100'", ["'h100'"]),
        "another unit": ("itl < '50 GB'", ["itl", "'50 GB' is no value in s"]),
        "another unit in a sum": ("itl + '1 GB' < 3", ["itl", "'1 GB' is no value in s"]),
        "another unit in a product": ("2 * itl < '50 GB'", ["'50 GB' is no value in s"]),
        "another unit of a field": (
            "hardware.mem_bandwidth > '1 TB'",
            ["hardware.mem_bandwidth", "'1 TB' is no value"],
        ),
        "seconds and bytes": ("itl < memory_per_device", ["'itl', 'memory_per_device'", "in s", "in byte"]),
        "seconds plus bytes": ("itl + memory_per_device < 3", ["in s", "in byte"]),
        "no quantity": ("itl * 'x' < 3", ["'x'", "no quantity"]),
        "a text": ("'h100'", ["no quantity"]),
        "a number": ("not itl", ["'itl'", "a number, no condition"]),
        "identity": ("tp is 2", ["not understood"]),
        "bytes": (b"tp < 2", ["no condition"]),
        "empty": ("", ["no condition"]),
    }.values(),
)
def test_a_condition_that_makes_no_sense_is_refused_in_words(text, says):
    for ask in (
        lambda: StepModel.best("itl", where=text, **GRID),
        lambda: StepModel.sweep([Counts(where=text)], **GRID),
    ):
        with pytest.raises(ValueError) as error:
            ask()
        message = str(error.value)
        assert "where" in message and "\n" not in message and len(message) < 400
        for part in says:
            assert part in message, message


def test_depth_and_length_within_the_bounds_are_answered():
    deep = "not " * (condition.DEEPEST - 4) + "tp < 7"
    assert accepted(deep, tp=[1, 2, 7]) == accepted("tp < 7", tp=[1, 2, 7]) > 0
    wide = "tp in (" + ", ".join(str(i) for i in range(1, 6000)) + ")"
    assert accepted(wide, tp=[1, 2, 7]) == accepted(None, tp=[1, 2, 7])


@pytest.mark.parametrize(
    "one, other",
    [
        ("'h100' == hardware", "hardware == 'h100'"),
        ("'h100' != hardware", "hardware != 'h100'"),
        ("'300 ms' > itl", "itl < '300 ms'"),
        ("'300 ms' >= itl > '10 ms'", "itl <= 0.3 and itl > 0.01"),
        ("hardware.mem_bandwidth > '1.5 TB/s'", "mem_bandwidth > 1.5e12"),
        ("'1500 GB/s' < hardware.mem_bandwidth", "mem_bandwidth > 1.5e12"),
        ("itl + '1 ms' < '300 ms'", "itl + 0.001 < 0.3"),
        ("'1 ms' + itl < '300 ms'", "itl + 0.001 < 0.3"),
        ("itl / '1 ms' < 300", "itl < 0.3"),
        ("itl < 300 ms", "itl < 0.3"),
        ("300ms >= itl > 10 ms and tp == 7", "itl <= 0.3 and itl > 0.01 and tp == 7"),
        ("mem_bandwidth > 1.5 TB/s or mem_bandwidth > 1.5TB / s", "mem_bandwidth > 1.5e12"),
        ("memory_per_device < 200 GB / tp", "memory_per_device < 200e9 / tp"),
        ("memory_per_device < 150 % * 100 GB", "memory_per_device < 150e9"),
        ("itl + 1 ms < 300 ms and hardware in ['h100', 'a100']", "itl + 0.001 < 0.3 and hardware in ['h100', 'a100']"),
        ("memory_per_device / hardware.mem_bandwidth < '20 ms'", "memory_per_device / mem_bandwidth < 0.02"),
        ("memory_per_device < '20 ms' * mem_bandwidth", "memory_per_device < 0.02 * mem_bandwidth"),
        ("memory_per_device / 2e12 < itl", "memory_per_device < itl * 2e12"),
        ("tp == '7'", "tp == 7"),
        ("tp in ('2', '7')", "tp in (2, 7)"),
        ("hardware == 'NVIDIA H100'", "hardware == 'h100'"),
        ("hardware in ['H100', 'A100']", "hardware != 'h200'"),
        ("recompute == 'Full'", "recompute == 'full'"),
        ("recompute == 2", "recompute == 'full'"),
        ("limit == 0", "limit == 'none'"),
        ("  feasible == True ", "feasible"),
    ],
)
def test_both_spellings_of_a_condition_are_one(one, other):
    by = list(FULL.itl.dims)
    a, b = (StepModel.sweep([Counts(by, where=text)], **GRID)[0].configurations for text in (one, other))
    xr.testing.assert_equal(a.sel(limit="none"), b.sel(limit="none"))
    assert 0 < a.sel(limit="none").sum() <= FULL.feasible.sum()


def test_labels_codes_and_positions_of_an_axis_are_told_apart():
    """The label is what the coordinate shows; a row and an option go by any of their names; a number is the value itself."""
    named = {"hardware": ["H100", "a100"], "recompute": [0, 2], "tp": [7, 2, 1]}
    assert accepted("hardware == 'H100'", **named) == accepted("hardware == 'h100'", **named) > 0
    assert accepted("recompute == 'full'", **named) == accepted("recompute == 2", **named) > 0
    assert accepted("tp == 1", **named) == accepted("tp == '1'", **named) == accepted(None, **{**named, "tp": 1})
    assert accepted("tp == 7", **named) == accepted("tp == '7'", **named) == accepted(None, **{**named, "tp": 7}) > 0
    times = pd.date_range("2024-01-01", periods=3)
    when = xr.DataArray([1e12, 2e12, 3e12], dims="time", coords={"time": times})
    where = xr.DataArray([1, 2, 7], dims="room", coords={"room": ["b", "a", "c"]})
    place = xr.DataArray([1, 2, 7], dims="place", coords={"place": [30, 20, 10]})
    assert accepted("time == '2024-01-02'", mem_bandwidth=when, tp=7) == 1
    assert accepted("time >= '2024-01-02' and '2024-01-03' > time", mem_bandwidth=when, tp=7) == 1
    assert accepted("time not in ['2024-01-02']", mem_bandwidth=when, tp=7) == 2
    assert accepted("room in ['a', 'c']", tp=where) == accepted("tp != 1", tp=where) > 0
    assert accepted("place < 25", tp=place) == accepted("tp > 1", tp=place) > 0
    assert accepted("config == 1", points={"tp": [2, 7]}) == accepted("tp == 7", points={"tp": [2, 7]}) == 1
    for text, says in (
        ("time == 'noon'", "'noon' is not"),
        ("room == 'd'", "no label 'd'"),
        ("room < 'b'", "no order"),
    ):
        with pytest.raises(ValueError, match=says):
            accepted(text, tp=where, mem_bandwidth=when)


def test_conditions_may_come_from_an_iterator():
    grid = {"hardware": "h100", "global_batch": 98, "tp": [2, 7]}
    once = (text for text in ("tp < 7", "itl < 9"))
    assert StepModel.best("itl", where=once, sample=3, **grid).tp == 2
