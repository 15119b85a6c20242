"""What a trainer, an engine or a load generator does where a source does not say.

The zoo's frameworks are labelled settings with a source.  A measured run names them in its `framework`, `engine` or
`harness` column, a trainer also in the words by which it names its source; mechanisms (compiled element-wise work,
asynchronous tensor parallelism ...) add to them, and a column of the run that bears the name of a setting goes before
all of them.  What holds for the version that is named is taken; for a trainer without one, what held in the run's year.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mlsysim import zoo
from mlsysim.calibration.rules import is_filled
from mlsysim.zoo.frameworks import is_setting, lines_of, of_version, version, without
from mlsysim.zoo.row import Row
from mlsysim.zoo.spelling import fold

#: columns of a row that are no setting
ABOUT = ("key", "framework", "aliases", "kind", "since", "like", "fitted", "notes", "source", "verified")
MIDLIFE = 3  #: years after its release in which a device is used most
PAPER = re.compile(r"(?<!\d)(\d\d)(0[1-9]|1[0-2])\.\d{5}(?!\d)")  #: year and month of an arXiv number
YEAR = re.compile(r"(?<!\d)(20[12]\d)(?:0[1-9]|1[0-2])?(?!\d)")
REPORTED = 3  #: months of a year whose papers report runs of the year before
NEWEST = 9999  #: year of a run that nothing dates
#: trainers that `likely` names, and what PyTorch offers any of them: what documents say of these holds for every run
FAMILIES = ("megatron_lm", "megatron_deepspeed", "pytorch_fsdp", "xla", "torch_compile", "async_tp")
#: what is taken when no framework is recognised, and nothing tells the year
DEFAULT = {"trainer": "megatron_lm", "engine": "vllm"}
#: spread (log) of what unknown trainers and engines make of the same run: levels of five engines (LMDeploy with three models,
#: ExLlamaV2, MLC) taken as unknown are off by 0.13, of which scatter and curves have 0.07; trainers differ by 1.2 to 1.3 in
#: what they keep, free and reserve (published memory of runs of a trainer left out of the fit)
BETWEEN = {"engine": {"serving_level": 0.11}, "trainer": {"memory_per_device": 0.2}}
#: the same of runs that say themselves what their program does between kernels: boards of one kind are left (clocks
#: within 8 % of each other, arXiv:2208.11035, not read); and of trainings that say what they keep: fragments are left (18
#: runs of `benchmarks/measure.py`)
DESCRIBED = {"engine": {"serving_level": 0.03}, "trainer": {"memory_scatter": 0.037}}
#: by what a training says what it keeps
KEPT = frozenset({"planned_memory", "gradients_resident", "optimizer_bytes"})


@functools.cache
def _names(kind: str) -> list[tuple[str, Row]]:
    """Every name of the newest versions of a kind, the longest first."""
    rows = [row for row in zoo.find("frameworks", kind=kind) if row.key == row["framework"]]
    found = [(fold(name), row) for row in rows for name in (row.key, *row.aliases)]
    return sorted(found, key=lambda pair: -len(pair[0]))


def _within(name: str, text: str) -> re.Match[str] | None:
    """Where a name stands in a text, as words of their own, with the version behind it."""
    return re.search(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])(?:_(\d+(?:\.\d+)*))?", text)


def _plain(text: str) -> str:
    """A text folded as names are, versions without their v."""
    return re.sub(r"(?<![a-z0-9])v(?=\d)", "", fold(text))


def recognise(kind: str, texts: Sequence[Any], year: int | None = None) -> Row | None:
    """The framework (or engine) that the first telling text names, in the version that is named with it.

    Parameters
    ----------
    year : int, optional
        Of the run: decides where a text names a trainer and no year.
    """
    told = _told(kind, texts, year)
    return of_version(*told) if told else None


def _told(kind: str, texts: Sequence[Any], year: int | None = None) -> tuple[str, tuple[int, ...]] | None:
    """The framework that the first telling text names, and the version to look for."""
    for text in texts:
        folded = _plain(text) if isinstance(text, str) else ""
        for name, row in _names(kind):
            if folded and (found := _within(name, folded)):
                return row["framework"], _wanted(kind, found[1], year)
    return None


def of_release(mechanism: str, engine: str, run: Mapping[str, Any]) -> str:
    """The key of a mechanism as it was in the release of an engine that a run names; the newest where it names none.

    >>> of_release("cutlass_experts", "tensorrt_llm", {"engine": "TensorRT-LLM 1.2.0rc6"})
    'cutlass_experts_1'
    >>> of_release("cutlass_experts", "tensorrt_llm", {"engine": "TensorRT-LLM"})
    'cutlass_experts'
    """
    told = _told("engine", [run.get("framework"), run.get("engine")])
    return str(of_version(mechanism, told[1] if told and told[0] == engine else ()).key)


def _wanted(kind: str, number: str | None, year: int | None) -> tuple[int, ...]:
    """The version to look for; trainers are told apart by years."""
    named = version(number) if number else ()
    if kind != "trainer":
        return named
    stated = YEAR.fullmatch(str(named[0])) if named else None
    return named if stated else (year,) if year else ()


def strange(run: Mapping[str, Any]) -> str:
    """What to say of a run whose engine is named and not known; "" of others."""
    labels = [str(run[c]) for c in ("framework", "engine") if is_filled(run.get(c))]
    if not labels or named("engine", run):
        return ""
    return f"engine {labels[0]!r} is not known: taken as {zoo.framework(DEFAULT['engine']).aliases[0]}, give or take a sixth"


def every(kind: str, texts: Sequence[Any]) -> list[Row]:
    """Every framework of a kind that some texts name, in the order of the table."""
    folded = [_plain(t) for t in texts if isinstance(t, str) and t]
    hits = {row.key for name, row in _names(kind) if any(_within(name, text) for text in folded)}
    return [row for row in zoo.find("frameworks", kind=kind) if row.key in hits]


def settings(rows: Sequence[Row]) -> dict[str, Any]:
    """The settings of some frameworks, the later ones deciding."""
    found: dict[str, Any] = {}
    for row in rows:
        found.update({k: v for k, v in row.values_by_column.items() if k not in ABOUT and v is not None})
    return found


def year_of(run: Mapping[str, Any]) -> int | None:
    """The year of a run: what its paper's number or its source says, else the third after the device came.

    >>> year_of({"source": "Somebody et al. (arXiv:2104.04473v5)"}), year_of({"source": "a blog of March 2024"})
    (2021, 2024)
    >>> year_of({"source": "a paper of January, arXiv:2201.11990"})
    2021
    >>> year_of({"source": "benchmarks/llama3_h100_202412.md"}), year_of({"framework": "torchtitan 2026"})
    (2024, 2026)
    >>> year_of({"hardware": "a100"}), year_of({})
    (2023, None)
    """
    for text in (run.get(c) for c in ("framework", "source", "source_id", "notes")):
        if isinstance(text, str) and (paper := PAPER.search(text)):
            return 2000 + int(paper[1]) - (int(paper[2]) <= REPORTED)
        if isinstance(text, str) and (year := YEAR.search(text)):
            return int(year[1])
    try:
        released = zoo.hardware(run["hardware"])["release_year"]
    except (KeyError, TypeError, ValueError):
        return None
    return int(released) + MIDLIFE if released else None


def likely(run: Mapping[str, Any]) -> Row:
    """The trainer of a run that names none: what was usual for such a run in its year.

    XLA on TPUs; fully sharded parameters (ZeRO-3) without a pipeline: PyTorch FSDP, and DeepSpeed before it; else Megatron of the
    year, up to 2022 with DeepSpeed where states are sharded.
    """
    year = year_of(run) or NEWEST
    device = str(run.get("hardware") or "")
    sharded = run.get("zero_stage")
    stage = float(sharded) if isinstance(sharded, (int, float)) and sharded == sharded else 0.0
    if re.match(r"tpu", fold(device)):
        key = "xla"
    elif stage == 3 and year >= 2022:
        key = "pytorch_fsdp"
    elif stage >= 1 and year < 2023:
        key = "megatron_deepspeed"
    else:
        key = DEFAULT["trainer"]
    return of_version(key, (year,))


def read_off(rows: Sequence[Row], own: Collection[str] = ()) -> dict[str, str]:
    """Settings that were fitted to published runs, and the first framework of the table that has each so.

    Parameters
    ----------
    own : collection of str
        Settings that the run states itself.
    """
    found: dict[str, str] = {}
    for row in rows:
        fitted = (row.values_by_column["fitted"] or "").split()
        for name in settings([row]):
            found.pop(name, None)
            if name in fitted and name not in own:
                found[name] = _first_with(row.key, name)
    return found


@functools.cache
def _first_with(key: str, name: str) -> str:
    """The first framework whose fitted setting is this one's: one figure, however many versions have it."""
    value = zoo.framework(key).values_by_column[name]
    peers = [r for r in zoo.find("frameworks") if name in (r.values_by_column["fitted"] or "").split()]
    return next(str(r.key) for r in peers if r.values_by_column[name] == value)


def known_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """The lines of settings that some frameworks rest on, but for what documents say of a whole family of trainers."""
    found: list[str] = []
    for row in rows:
        fitted = (row["fitted"] or "").split()
        for setting, line in lines_of(row).items():
            if line.split()[0] not in FAMILIES or setting in fitted:
                found.append(line)
    return tuple(found)


def own_settings(run: Mapping[str, Any]) -> dict[str, Any]:
    """What a run says of itself in columns that bear the names of settings."""
    return {name: value for name, value in run.items() if is_setting(name) and is_filled(value)}


def named(kind: str, run: Mapping[str, Any]) -> Row | None:
    """The trainer or engine that the labels of a run name; None where none is known."""
    if kind == "engine":
        return recognise(kind, [run.get(c) for c in ("framework", "engine")])
    sources = " | ".join(t for t in (run.get(c) for c in ("source_id", "source")) if isinstance(t, str))
    return recognise(kind, [run.get("framework"), run.get("engine"), sources], year_of(run))


def between(kind: str, run: Mapping[str, Any], forgotten: Collection[str] = ()) -> dict[str, float]:
    """How uncertain what made a run is (`BETWEEN`): none of its labels names it, or what it does is forgotten.

    Of an engine it is what was read off its runs that counts: one whose figures are those of its origin is no less known.  A
    run that states itself what was read off runs of the engine that stands for an unknown one, or what its trainer keeps, is
    `DESCRIBED`.
    """
    base = named(kind, run)
    if base is not None:
        lines, fitted = lines_of(base), (base["fitted"] or "").split()
        lost = kind == "trainer" or any(lines[name] in forgotten for name in fitted)
        return BETWEEN[kind] if lost and without(base, forgotten) is not base else {}
    needed = set((zoo.framework(DEFAULT[kind])["fitted"] or "").split()) if kind == "engine" else KEPT
    return (DESCRIBED if own_settings(run).keys() >= needed else BETWEEN)[kind]


def of_run(
    kind: str, run: Mapping[str, Any], more: Collection[str] = (), forgotten: Collection[str] = ()
) -> tuple[list[Row], dict[str, Any]]:
    """What the labels of a measured run say: the frameworks found, and the settings that hold for it.

    Parameters
    ----------
    kind : {"trainer", "engine"}
    run : mapping
        One row of a table of measured runs.
    more : collection of str
        Mechanisms that its model and device call for.
    forgotten : collection of str
        Lines of settings of which nothing is known (see `mlsysim.zoo.frameworks.lines_of`).
    """
    base = named(kind, run) or (likely(run) if kind == "trainer" else zoo.framework(DEFAULT[kind]))
    rows = [base, *(zoo.framework(key) for key in more)]
    if kind == "trainer":
        rows += every("mechanism", [run.get(c) for c in ("framework", "notes", "precision_label")])
    else:
        rows += every("load generator", [run.get("harness")])
    rows = [without(row, forgotten) for row in rows]
    return rows, {**settings(rows), **own_settings(run)}
