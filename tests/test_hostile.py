"""Nonsense of every kind, drawn from a seed: an answer, or one line that this project wrote.

A few hundred calls here; ``HOSTILE=2000 pytest tests/test_hostile.py`` draws as many as asked of each kind.
"""

import contextlib
import datetime
import decimal
import fractions
import functools
import io
import linecache
import os
import random
import warnings
from collections import OrderedDict, deque
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
import xarray as xr
from configurations import CONFIGURATIONS

import mlsysim as ms
from mlsysim.cli.commands import app
from mlsysim.resolver import Optimizer, Solver

HOME = Path(ms.__file__).parent
N = int(os.environ.get("HOSTILE", "300"))
MODELS = [n for n, r in ms.RESOLVERS.items() if not isinstance(r, (Solver, Optimizer))]


# --- what may be said ------------------------------------------------------------------------------------


def fault(error):
    """What is wrong with an error: not of a kind that users catch, not raised by this project, not one short line."""
    if not isinstance(error, (ValueError, TypeError, KeyError, MemoryError)):
        return f"a {type(error).__name__}"
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    path = Path(trace.tb_frame.f_code.co_filename)
    line = linecache.getline(str(path), trace.tb_lineno).strip()
    if HOME not in path.parents or not line.startswith("raise"):
        return f"raised by {path.name}:{trace.tb_lineno}: {line}"
    text = str(error)
    if "\n" in text or len(text) > 1200:
        return f"a message of {len(text)} characters" + (" on several lines" if "\n" in text else "")
    return ""


def test_what_counts_as_an_error_of_this_project():
    for ours in (
        lambda: ms.units.parse("x", "s"),
        lambda: ms.ServingModel.solve(),
        lambda: ms.ServingModel.solve(seq_lem=3),
    ):
        with pytest.raises((ValueError, TypeError)) as caught:
            ours()
        assert fault(caught.value) == ""
    for theirs in (lambda: int("x"), lambda: np.ones(2).reshape(3), lambda: {}["a"], lambda: 1 / 0):
        with pytest.raises((ValueError, KeyError, ZeroDivisionError)) as caught:
            theirs()
        assert fault(caught.value)


# --- nasty values ----------------------------------------------------------------------------------------

NUMBERS = [
    float("nan"),
    float("inf"),
    -float("inf"),
    -1,
    0,
    -0.0,
    0.5,
    1.5,
    3,
    7,
    2**31,
    2**53,
    2**63,
    2**64,
    10**18,
    10**400,
    1e308,
    1e-30,
    -1e300,
    True,
    False,
    np.True_,
    np.float16(3),
    np.int8(-3),
    np.uint64(2**64 - 1),
    np.longdouble(3),
    np.float32("nan"),
    decimal.Decimal("3.5"),
    decimal.Decimal("NaN"),
    decimal.Decimal("sNaN"),
    fractions.Fraction(1, 3),
    2 + 3j,
    1j,
    np.complex64(1),
]
TEXTS = [
    "",
    " ",
    "\n",
    "\x00",
    "h100",
    "H100 ",
    "bf16",
    "none",
    "None",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "1e-400",
    "1_000",
    "1__0",
    "1,000",
    "8x4",
    "5 1000",
    "0x10",
    "1/2",
    "٣",
    "½",
    "−5",
    "80 GB",
    "3 TB/s",
    "100 mB/s",
    "$5",
    "85 %",
    "4 m",
    "50 ms\n",
    "'; drop",
    "{0}",
    "%s",
    "\ud800",
    "🚀",
    "a" * 5000,
    "9" * 400,
    "h100,a100",
    "<= 3",
    "1:10",
    "__class__",
    "hardware",
    "itl",
    "\u202e5",
    "5\u00a0",
    "5\u200b",
]
OBJECTS = [
    None,
    ...,
    NotImplemented,
    b"8",
    bytearray(b"8"),
    memoryview(b"8"),
    object(),
    int,
    len,
    lambda: 3,
    range(0),
    range(3),
    range(10**12),
    {1, 2},
    frozenset({3}),
    {},
    {"a": 1},
    OrderedDict(a=1),
    {1: 2}.keys(),
    iter([1]),
    deque([1, 2]),
    deque([[1], [1, 2]]),
    (),
    [],
    [[]],
    [None],
    [1, None],
    [1, "2"],
    [1, "x"],
    [1, 1],
    [True, False],
    [[1, 2], [3, 4]],
    [[1], [2, 3]],
    [1, [2]],
    (1, (2,)),
    [float("nan")] * 2,
    [10**400, 1],
    [b"8", 8],
    [{}],
    [object()],
    "ab",
    datetime.timedelta(1),
    datetime.date(2024, 1, 1),
    datetime.datetime(2024, 1, 1),
    np.array(3),
    np.array("8"),
    np.array(None),
    np.array([]),
    np.array([1, 2]),
    np.array([[1]]),
    np.ones((2, 2, 2)),
    np.array([1, "a"], dtype=object),
    np.array(["1", "2"]),
    np.array([b"1"]),
    np.array([1 + 2j]),
    np.array(["2024", "2025"], dtype="datetime64[ns]"),
    np.array([1, 2], dtype="timedelta64[s]"),
    np.array([1, 2], dtype="timedelta64[Y]"),
    np.datetime64("2024"),
    np.timedelta64(5, "s"),
    np.timedelta64("NaT", "s"),
    np.zeros(2, dtype="i4,f4"),
    np.ma.masked_array([1, 2], [False, True]),
    np.ma.masked_array([1, 2], [False, False]),
    np.ma.masked,
    np.array([np.nan, 1]),
    np.arange(70)[::-1],
    np.repeat([1, 2], 40),
    np.full(100, np.inf),
    np.asarray([1, 2], dtype=">i8"),
    np.array([1, 2], dtype="f2"),
    pd.NA,
    pd.NaT,
    pd.Timestamp("2024"),
    pd.Timedelta("1 day"),
    pd.Series([1, 2]),
    pd.Series([], dtype=float),
    pd.Series(["a", 1]),
    pd.Series([1, None]),
    pd.Series([1, 2], index=["a", "a"]),
    pd.Series([1, 2], index=pd.Index(["a", "a"], name="n")),
    pd.Series([1, 2], index=pd.Index([1, "a"], name="n")),
    pd.Series([1, 2], index=pd.Index([5, 6], name="tp")),
    pd.Series([1, 2], index=pd.MultiIndex.from_tuples([(1, 2), (3, 4)], names=["p", "q"])),
    pd.Index([1, 2], name="tp"),
    pd.array([1, None], dtype="Int64"),
    pd.Categorical(["h100", "a100"]),
    pd.DataFrame({"a": [1]}),
    pd.DataFrame(),
    pd.date_range("2024", periods=2),
    pd.interval_range(0, 2),
    pd.period_range("2024", periods=2, freq="D"),
    pd.Interval(0, 1),
    xr.DataArray(3),
    xr.DataArray([1, 2]),
    xr.DataArray([1, 2], dims="x"),
    xr.DataArray([1, 2], dims=(3,)),
    xr.DataArray([1, 2], dims=[None]),
    xr.DataArray([1, 2], dims="tp"),
    xr.DataArray([1, 2], dims="hardware"),
    xr.DataArray([1, 2], dims="sample"),
    xr.DataArray([1, 2], dims="itl"),
    xr.DataArray([1, 2], dims="quantile"),
    xr.DataArray([1, 2], dims="rank"),
    xr.DataArray([1, 2], dims="point"),
    xr.DataArray([1, 2], dims=""),
    xr.DataArray([1, 2], dims="x\ny"),
    xr.DataArray([1, 2], dims="config"),
    xr.DataArray([1, 2], dims="limit"),
    xr.DataArray([1, 2], dims="a b"),
    xr.DataArray([1, 2], dims="x", coords={"x": ["a", "a"]}),
    xr.DataArray([1, 2], dims="x", coords={"x": [np.nan, np.nan]}),
    xr.DataArray([1, 2], dims="x", coords={"x": np.array([1, "a"], dtype=object)}),
    xr.DataArray([1, 2], dims="x", attrs={"units": "GB"}),
    xr.DataArray([1, 2], dims="x", attrs={"units": 5}),
    xr.DataArray([1, 2], dims="x", attrs={"units": "parsec"}),
    xr.DataArray(np.ones((2, 2)), dims=("x", "y")),
    xr.DataArray([1, 2], dims="x", coords={"x": pd.MultiIndex.from_tuples([(1, 2), (3, 4)], names=["p", "q"])}),
    xr.DataArray(["h100"], dims="x"),
    xr.DataArray([np.nan, 1], dims="x"),
    xr.DataArray(np.array(["2024"], dtype="datetime64[ns]"), dims="x"),
    xr.Dataset({"a": 1}),
    xr.Variable("x", [1, 2]),
    ms.zoo.hardware("h100"),
    ms.zoo.model("llama3_1_8b"),
    [ms.zoo.hardware("h100")] * 2,
    ms.Assumptions(),
    ms.ServingModel,
]


def quantities():
    try:
        import pint
    except ImportError:
        return []
    q = ms.units.registry().Quantity
    other = pint.UnitRegistry().Quantity
    return [
        q(80, "GB"),
        q(3, "TB/s"),
        q(5, ""),
        q([1, 2], ""),
        q([[1, 2]], ""),
        q(float("nan"), "s"),
        q(5, "parsec"),
        other(5, "second"),
        q([1.0, 2.0], "TB/s"),
        [q(1, ""), q(2, "s")],
        q(np.array(2.0), "s"),
        q(1, "degC"),
        q([], ""),
    ]


VALUES = [*NUMBERS, *TEXTS, *OBJECTS, *quantities()]
NAMES = [
    "tp",
    "hardware",
    "hardware.mem_bandwidth",
    "mem_bandwidth",
    "precision",
    "kv_precision",
    "sample",
    "seed",
    "quantile",
    "points",
    "model",
    "fleet",
    "fabric",
    "assume",
    "region",
    "datacenter",
    "duration",
    "duration_days",
    "n_accelerators",
    "cluster_size",
    "seq_len",
    "batch_size",
    "efficiency",
    "nonsense",
    "",
    "a b",
    "\u0442\u0440",
    "x" * 300,
    "itl",
    "feasible",
    "__init__",
    "resolver",
    "target_itl",
    "host_step_time",
    "tdp",
    "decode_hardware",
    "draft",
    "hourly_carbon",
    "price",
]


def several(rng, value):
    """A value as it is, or wrapped into a container."""
    wrap = rng.random()
    if wrap < 0.75:
        return value
    if wrap < 0.9:
        return [value, rng.choice(VALUES)]
    return {"tp": [value, value]} if wrap < 0.95 else (value,)


def small(inputs):
    """A sensible call at a single point or two."""
    return {
        n: v[: 1 + (n in ("tp", "hardware", "batch_size"))] if isinstance(v, list) else v for n, v in inputs.items()
    }


def keywords(rng, verb, resolver):
    """Arguments of a question, some of them nonsense."""
    output = rng.choice([*resolver.outputs[:4], "feasible", "limit", "nonsense"])
    nasty = rng.choice(VALUES)
    pick = {
        "solve": {
            "keep": nasty,
            "threads": nasty,
            "progress": nasty,
            "plan": nasty,
            "sample": nasty,
            "seed": nasty,
            "quantile": nasty,
        },
        "best": {
            "maximize": nasty,
            "by": nasty,
            "where": nasty,
            "ties": nasty,
            "threads": nasty,
            "block": nasty,
            "plan": nasty,
            "sample": nasty,
        },
        "top": {"maximize": nasty, "by": nasty, "where": nasty, "ties": nasty, "block": nasty, "progress": nasty},
        "pareto": {
            "epsilon": nasty,
            "where": nasty,
            "threads": nasty,
            "block": nasty,
            "maximize": nasty,
            "sample": nasty,
        },
        "root": {"bounds": rng.choice([nasty, (nasty, 1), (1, nasty)])},
        "sweep": {"threads": nasty, "block": nasty, "progress": nasty, "plan": nasty},
        "explain": {},
    }[verb]
    found = dict(rng.sample(sorted(pick.items(), key=lambda kv: kv[0]), k=min(len(pick), rng.choice([0, 1, 1, 2]))))
    if verb in ("best", "top"):
        found["objective"] = nasty if rng.random() < 0.1 else output
        found.setdefault("maximize", True)
    if verb == "top":
        found["k"] = nasty if rng.random() < 0.3 else 3
    if verb == "pareto":
        found["minimize"] = nasty if rng.random() < 0.2 else [output]
    if verb == "root":
        found |= {
            "unknown": rng.choice([*NAMES, "mem_bandwidth", nasty]),
            "target": rng.choice([{output: nasty}, {output: 1.0}, nasty]),
        }
    if verb == "sweep":
        found["reductions"] = rng.choice([nasty, [nasty], [ms.search.Best(output, True)]])
    return found


def drawn(rng):
    """A call: what is asked of which resolver with which arguments."""
    name = rng.choice(list(ms.RESOLVERS))
    resolver = ms.RESOLVERS[name]
    base = small(rng.choice(CONFIGURATIONS.get(name, CONFIGURATIONS["ServingModel"])))
    verb = (
        "solve"
        if isinstance(resolver, Solver)
        else rng.choice(["solve", "solve", "solve", "best", "top", "pareto", "root", "sweep", "explain"])
    )
    if isinstance(resolver, Optimizer):
        base, verb = dict(SPACES[name]), rng.choice(["solve", "best", "pareto"])
    if isinstance(resolver, Solver):
        base = {"resolver": ms.ServingModel, "model": "llama3_1_8b", "hardware": "h100", "seq_len": 512, **ASKED[name]}
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
        key = rng.choice([*base, *base, *NAMES])
        base[key] = several(rng, rng.choice(VALUES))
    asked = keywords(rng, verb, resolver) if verb != "solve" or not isinstance(resolver, (Solver, Optimizer)) else {}
    return resolver, verb, {**base, **asked}


SPACES = {
    "BatchingOptimizer": {
        "model": "llama3_1_8b",
        "hardware": "h100",
        "seq_len": 512,
        "output_len": 64,
        "tp": [1],
        "max_batch": [1, 8],
    },
    "DisaggregationOptimizer": {
        "model": "llama3_1_8b",
        "hardware": "h100",
        "seq_len": 512,
        "output_len": 64,
        "tp": [1],
        "decode_tp": [1],
        "decode_batch": [1, 8],
        "prefill_replicas": [1, 2],
        "decode_replicas": 1,
    },
    "ParallelismOptimizer": {
        "model": "llama3_1_8b",
        "hardware": "h100",
        "n_accelerators": 2,
        "seq_len": 512,
        "global_batch": 8,
        "schedule": "1f1b",
        "recompute": "none",
        "zero_stage": 1,
        "micro_batch": 1,
        "virtual_stages": 1,
    },
    "PlacementOptimizer": {"hardware": "h100", "n_accelerators": 8, "duration": "30 days", "region": ["usa", "fra"]},
}
ASKED = {
    "SensitivitySolver": {"output": "itl", "inputs": ["mem_bandwidth"]},
    "SynthesisSolver": {"targets": {"itl": "20 ms"}, "unknown": "mem_bandwidth", "devices": 0},
}


def sound(answer):
    """Nothing feasible is without a number."""
    if isinstance(answer, (list, tuple)):
        return all(map(sound, answer))
    if not isinstance(answer, xr.Dataset) or "feasible" not in answer:
        return True
    works = answer["feasible"].astype(bool)
    works = works & answer["found"].astype(bool) if "found" in answer else works
    for name, values in answer.data_vars.items():
        counted = values.dtype.kind == "f" and set(values.dims) <= set(works.dims)
        if counted and not str(name).startswith("runner_up") and bool((np.isnan(values) & works).any()):
            return False
    return True


def outcome(resolver, verb, arguments):
    """What is wrong with what a call does; nothing when it answers soundly or refuses in words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            warnings.filterwarnings("ignore", category=UserWarning)
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            answer = getattr(resolver, verb)(**arguments)
    except Exception as error:
        return fault(error)
    return "" if sound(answer) else "NaN where it is feasible"


@pytest.mark.parametrize("seed", range(4))
def test_a_hostile_call_is_answered_or_refused_in_words(seed):
    rng = random.Random(seed)
    for number in range(-(-N // 4)):
        resolver, verb, arguments = drawn(rng)
        wrong = outcome(resolver, verb, arguments)
        said = {k: repr(v)[:80] for k, v in arguments.items()}
        assert not wrong, f"{number}: {resolver.name}.{verb}({said}): {wrong}"


# --- the command line ------------------------------------------------------------------------------------

WORDS = [
    "tp=",
    "=",
    "tp==3",
    "tp=1:0",
    "tp=1:5:0",
    "tp=1:1e9",
    "tp=a:b",
    "tp=1:2:3:4:5",
    "tp=1:64:log2",
    "tp=1,024",
    "tp=٣",
    "tp=1__0",
    "tp=nan",
    "tp=inf",
    "hardware=",
    "hardware=h100,h100",
    "hardware=,",
    "where=itl <",
    "where=itl < 50 ms",
    "where=__import__('os')",
    "by=tp",
    "by=nonsense",
    "keep=",
    "keep=nonsense",
    "sample=1",
    "sample=٣",
    "sample=2",
    "seed=1",
    "quantile=2",
    "quantile=0.5",
    "quantile=0.5,0.5",
    "points=/nonexistent.csv",
    "points=.",
    "out=/nonexistent/x.csv",
    "out=x.exe",
    "--threads=0",
    "--threads=x",
    "--k=0",
    "-k",
    "--json",
    "--nonsense",
    "--by",
    "minimize=itl",
    "maximize=itl",
    "objective=itl",
    "epsilon=2",
    "epsilon=nan",
    "target=itl",
    "target=itl=20ms",
    "target=itl=-1",
    "unknown=mem_bandwidth",
    "bounds=1",
    "bounds=1:2",
    "bounds=2:1",
    "mem_bandwidth=3 TB/s",
    "mem_bandwidth=100 mB/s",
    "mem_bandwidth=1e400",
    "hardware.mem_bandwidth=1TB/s",
    "serving",
    "economics",
    "nonsense",
    "serving+economics",
    "+",
    "",
    " ",
    "\n",
    "🚀",
    "a" * 500,
    "x=" + "1," * 500,
    "resolver=serving",
    "targets=itl=20ms",
    "target_itl=20ms",
    "prices=mem_bandwidth=4",
    "ranges=mem_bandwidth=1:2",
    "inputs=mem_bandwidth",
    "perturbation=-1",
    "model=5",
    "assume=nonsense",
    "fleet=dgx_h100",
    "region=fra",
    "duration=30days",
    "ties=itl",
    "seq_len=0x10",
    "batch_size=1e3",
    "batch_size=2x16",
    "--where",
    "--help",
]
COMMANDS = ["solve", "best", "top", "pareto", "root", "sweep", "explain", "schema", "zoo", "doctor", "nonsense", ""]
SERVE = ["serving", "model=llama3_1_8b", "hardware=h100", "seq_len=512"]


def command(rng):
    """A command line."""
    words = [w for w in SERVE if rng.random() < 0.85]
    extra = rng.choices(WORDS, k=rng.choice([0, 1, 1, 2, 3]))
    kind = rng.choice(COMMANDS)
    if kind == "sweep" and not any(w.startswith("serving") for w in words):
        words = SERVE
    objective = {
        "best": ["itl"],
        "top": ["itl"],
        "pareto": ["minimize=itl,ttft"],
        "root": ["mem_bandwidth", "target=itl=20ms"],
        "sweep": ["minimize=itl", "out=none"],
    }.get(kind, [])
    line = [*words, *(objective if rng.random() < 0.7 else []), *extra]
    if rng.random() < 0.1:
        rng.shuffle(line)
    return [kind, *line] if kind else line


@functools.cache
def commands():
    return typer.main.get_command(app)


def told(line):
    """Exit code and what a command wrote to the two streams; the tree of commands is built once."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        commands()(line)
    return ended.value.code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize("seed", range(4))
def test_a_hostile_command_line_ends_in_one_line(seed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = random.Random(100 + seed)
    for number in range(-(-N // 4)):
        line = command(rng)
        code, out, err = told(line)
        said = [part for part in err.splitlines() if part.startswith("error")]
        assert code in (0, 1, 2), (number, line, code)
        assert "Traceback" not in out + err and "MLSYSIM_DEBUG" not in err, (number, line, err)
        assert (code == 1) == (len(said) == 1) or code == 2, (number, line, code, err)


@pytest.mark.parametrize(
    ("inputs", "maker"),
    [
        ({"hardware": {"peak_flops": 1e15}}, "Hardware"),
        ({"model": {"layers": 3}}, "Workload"),
        ({"hardware": ["h100", object()]}, "Hardware"),
    ],
)
def test_what_is_no_name_is_told_how_a_row_is_made(inputs, maker):
    with pytest.raises(
        ValueError, match=rf"{next(iter(inputs))}: (dict|object) is no name of a \w+: .* mlsysim\.{maker}\("
    ):
        ms.ServingModel.solve(**{"model": "llama3_1_8b", "hardware": "h100", "seq_len": 1024, **inputs})


@pytest.mark.parametrize("wanted", ["-1 ms", "nan", ["10 ms", "-1 ms"], "<= -1 ms"])
def test_a_target_that_nothing_can_reach_is_refused_with_its_unit_too(wanted):
    call = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 1024, "unknown": "mem_bandwidth"}
    with pytest.raises(ValueError, match=r"itl=.*: time between tokens of one request must be"):
        ms.SynthesisSolver.solve(ms.ServingModel, target_itl=wanted, **call)
