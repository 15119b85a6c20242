"""What a framework, an engine or a load generator does where a source does not say.

The rows of ``zoo/frameworks.csv`` are labelled options with a source: a training framework of a year, a serving
engine, a feature (compiled element-wise work, asynchronous tensor parallelism ...), a load generator, by itself and
(``a+b``: beside the words of both) with an engine or a device.  A measured run names them in its `framework` or
`engine` column; without one, in the words by which it names its source.  The longest name that is found decides;
features and load generators add to it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from mlsysim import zoo
from mlsysim.zoo.frameworks import scaled
from mlsysim.zoo.tables import Row, fold

__all__ = ["every", "of_run", "read_off", "recognise", "scaled", "settings"]

#: columns of a row that are no setting
ABOUT = ("key", "aliases", "kind", "since", "fitted", "notes", "source", "verified")
MIDLIFE = 3  #: years after its release in which a device is used most
PAPER = re.compile(r"(?<!\d)(\d\d)(0[1-9]|1[0-2])\.\d{5}(?!\d)")  #: year and month of an arXiv number
YEAR = re.compile(r"(?<!\d)(20[12]\d)(?:0[1-9]|1[0-2])?(?!\d)")
REPORTED = 3  #: months of a year whose papers report runs of the year before
NEWEST = 9999  #: year of a run that nothing dates
#: what is taken when no framework is recognised, and nothing tells the year
DEFAULT = {"training": "megatron_core", "serving": "vllm"}


@functools.cache
def _names(kind: str) -> list[tuple[str, Row]]:
    rows = zoo.find("frameworks", kind=kind)
    found = [(fold(name), row) for row in rows for name in (row.key, *row.aliases)]
    return sorted(found, key=lambda pair: -len(pair[0]))


def _within(name: str, text: str) -> bool:
    """Does a name stand in a text, as words of their own?"""
    return re.search(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", text) is not None


def _plain(text: str) -> str:
    """A text folded as names are, versions without their v."""
    return re.sub(r"(?<![a-z0-9])v(?=\d)", "", fold(text))


def recognise(kind: str, texts: Sequence[Any]) -> Row | None:
    """The framework (or engine, feature, load generator) that the first telling text names."""
    for text in texts:
        folded = _plain(text) if isinstance(text, str) else ""
        for name, row in _names(kind):
            if folded and _within(name, folded):
                return row
    return None


def every(kind: str, texts: Sequence[Any], beside: str = "") -> list[Row]:
    """Every row of a kind that a text names, in the order of the table; of ``a+b`` a text names a, and `beside` b."""
    folded = [_plain(t) for t in texts if isinstance(t, str) and t]
    hits = []
    for name, row in _names(kind):
        head, *rest = name.split("+")
        if any(_within(head, t) for t in folded) and all(_within(word, _plain(beside)) for word in rest):
            hits.append(row)
    return [row for row in zoo.find("frameworks", kind=kind) if row in hits]


def settings(rows: Sequence[Row]) -> dict[str, Any]:
    """The settings of some rows, the later ones deciding."""
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
    """The framework of a training run that names none: what was usual for such a run in its year.

    XLA on TPUs; fully sharded parameters (ZeRO-3) without a pipeline: llm-foundry up to 2023, then torchtitan, and DeepSpeed
    before them; else Megatron of the year, up to 2022 with DeepSpeed where states are sharded.
    """
    year = year_of(run) or NEWEST
    device = str(run.get("hardware") or "")
    sharded = run.get("zero_stage")
    stage = float(sharded) if isinstance(sharded, (int, float)) and sharded == sharded else 0.0
    if re.match(r"tpu", fold(device)):
        key = "maxtext"
    elif stage == 3 and year >= 2022:
        key = "llm_foundry" if year <= 2023 else "torchtitan"
    elif year >= 2023:
        key = DEFAULT["training"]
    elif stage >= 1:
        key = "megatron_deepspeed_2022"
    else:
        key = f"megatron_lm_{2019 if year <= 2020 else year}"
    return zoo.framework(key)


def of_its_time(row: Row, year: int | None) -> Row:
    """The row of the same framework (``name_2025``) that holds for a year."""
    later = [zoo.framework(key) for key in zoo.names("frameworks") if re.fullmatch(rf"{re.escape(row.key)}_20\d\d", key)]
    fitting = [r for r in later if r["since"] <= (year or 0)]
    return max(fitting, key=lambda r: r["since"]) if fitting else row


def about(run: Mapping[str, Any], engine: Row) -> str:
    """What a load generator sets its engines by, in the table's words: engine, version, device, model, format, degree."""
    told = [run.get("engine"), "trtllm" if engine.key.startswith("tensorrt") else engine.key.split("_")[0]]
    for lookup, column in ((zoo.hardware, "hardware"), (zoo.model, "model")):
        told.append(run.get(column))
        try:
            told.append(lookup(str(run.get(column))).key)
        except (KeyError, ValueError):
            continue
    precision = str(run.get("precision") or "").lower()
    tp = run.get("tp")
    told += [precision, "fp4" if "fp4" in precision else "", f"tp{tp:g}" if isinstance(tp, (int, float)) and tp == tp else ""]
    return " | ".join(t for t in told if isinstance(t, str) and t)


def read_off(rows: Sequence[Row]) -> dict[str, str]:
    """Settings of some rows that were fitted to published runs, and the first framework of the table that has each so."""
    found: dict[str, str] = {}
    for row in rows:
        own = (row.values_by_column["fitted"] or "").split()
        for name in (n for n in row.values_by_column if n not in ABOUT and row.values_by_column[n] is not None):
            found.pop(name, None)
            if name in own:
                found[name] = _first_with(row.key, name)
    return found


@functools.cache
def _first_with(key: str, name: str) -> str:
    """The first framework whose fitted setting is this one's: one figure, however many rows state it."""
    value = zoo.framework(key).values_by_column[name]
    peers = [r for r in zoo.find("frameworks") if name in (r.values_by_column["fitted"] or "").split()]
    return next(str(r.key) for r in peers if r.values_by_column[name] == value)


def of_run(
    kind: str, run: Mapping[str, Any], without: Collection[str] = (), more: Collection[str] = ()
) -> tuple[list[Row], dict[str, Any]]:
    """What the labels of a measured run say: the rows found, and their settings.

    Parameters
    ----------
    kind : {"training", "serving"}
    run : mapping
        One row of a table of measured runs.
    without : collection of str
        Load generators and features that are not known.
    more : collection of str
        Features that its model and device call for.
    """
    if kind == "training":
        named = " | ".join(t for t in (run.get(c) for c in ("source_id", "source")) if isinstance(t, str))
        base = recognise(kind, [run.get("framework"), run.get("engine"), named]) or likely(run)
        base = of_its_time(base, year_of(run))
    else:
        base = recognise(kind, [run.get(c) for c in ("framework", "engine")]) or zoo.framework(DEFAULT[kind])
    rows = [base, *(zoo.framework(key) for key in more)]
    if kind == "training":
        rows += every("feature", [run.get(c) for c in ("framework", "notes", "precision_label")])
    else:
        rows += every("harness", [run.get(c) for c in ("harness", "source", "engine")], about(run, base))
    rows = [row for row in rows if row.key not in without]
    return rows, settings(rows)
