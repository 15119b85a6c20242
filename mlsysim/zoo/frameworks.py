"""What trainers, engines and load generators do: labelled settings with a source, as inputs and assumptions.

``frameworks.csv`` names them (a *mechanism* is something that any of them may do, such as compiled element-wise work);
``settings.csv`` says what each does differently from the defaults, one setting a line, from which version on (a year
for trainers), and whether the value was fitted to published runs.  A framework may be *like* another one
of some year, or, where no year stands, in each of its versions.

>>> assumptions("vLLM").host_step_time, assumptions("vLLM 0.12").host_step_time
(0.001, 0.0016)
>>> assumptions("torchtitan").eager_factor
2.53
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Collection
from typing import Any, NamedTuple

from mlsysim.schema.assumptions import Assumptions
from mlsysim.zoo import tables
from mlsysim.zoo.row import Row
from mlsysim.zoo.spelling import UnknownName, unknown

#: every setting that is read, besides the names of assumptions, and what it means
SETTINGS: dict[str, str] = {
    # training
    "attention": "attention kernel (option)",
    "sequence_parallel": "activations are split along the sequence where they can be",
    "zero_stage": "what is sharded over replicas where a run does not say",
    "recompute": "activations computed again where a run does not say (option)",
    "schedule": "pipeline schedule (option)",
    "interleaved": "least number of chunks a pipeline stage may have; none: one chunk",
    "chunks": "chunks of a pipeline stage where it is interleaved",
    "microbatches": "pp: as many micro-batches as stages",
    "seq_len": "sequence length where a run does not say",
    "batch_per_device": "the micro-batch is counted per device, not per replica",
    "context_split": "contiguous: ranks of context parallelism take neighbouring tokens",
    "optimizer_offload": "the optimizer lives on the host",
    "flops_convention": "attention FLOPs that its utilization counts (option)",
    "domain_size": "devices among which the fast links are used",
    "inter_efficiency": "share of the network's bandwidth that its collectives reach",
    # serving
    "reserve": "how the cache is booked (option)",
    "kv_precision": "weights: the cache of an 8-bit checkpoint is 8 bits wide, too",
    "max_batch": "most requests at once",
    "page_size": "tokens of a page of the cache",
    "prefill_chunk": "most prompt tokens of a step",
    "memory_fraction": "share of the device that is used",
    "group_routing": "how a server that only prefills deals prompts to its attention groups (option)",
    "decode_group_routing": "how a server that only decodes deals requests to its attention groups (option)",
    "tensor_split": "several devices share each product of one stream where a run does not say; off: layers in turn",
    "pool_fraction": "share of what weights and activations leave that the cache takes",
    # load
    "requests_per_user": "requests of each client",
    "n_requests": "requests of a run at maximum load",
    "length_mean": "mean length of prompts and answers over the nominal one",
    "prompt_ratio": "tokens of a prompt at the server over those that the load generator counted with a tokenizer of its own",
    "length_cv": "coefficient of variation of prompts and answers",
    "one_batch": "clients start together and none sends a second request: a batch that stays together",
}
#: settings that are words
WORDS = frozenset(
    (
        "attention",
        "recompute",
        "schedule",
        "microbatches",
        "context_split",
        "flops_convention",
        "reserve",
        "kv_precision",
        "group_routing",
        "decode_group_routing",
    )
)
#: settings that go with another one unless they are said: who does the one does the other
FOLLOWS = {"weight_gradient_overlap": "tensor_overlap", "decode_group_routing": "group_routing"}
UNSET = "default"  #: a later version does again what nobody says otherwise
Lines = dict[str, list[dict[str, str]]]  #: setting -> its lines of settings.csv, the one that holds last


def is_setting(setting: str) -> bool:
    """Is this the name of a setting that something reads?"""
    return setting in SETTINGS or setting in Assumptions._fields


def version(text: str) -> tuple[int, ...]:
    """A version as numbers that compare: ``0.14`` comes after ``0.9``.

    >>> version("0.14") > version("0.9.1")
    True
    """
    return tuple(int(part) for part in re.findall(r"\d+", text))


class Version(NamedTuple):
    """A framework from one of its versions on."""

    step: str
    since: tuple[int, ...]
    row: Row
    stated: Lines

    @property
    def lines(self) -> Lines:
        """What is stated, and what goes with it."""
        return _followed(self.stated)


def _followed(stated: Lines) -> Lines:
    """The same with the settings that go with stated ones."""
    return {**{name: stated[other] for name, other in FOLLOWS.items() if other in stated}, **stated}


@functools.cache
def frameworks() -> dict[str, list[Version]]:
    """Every framework by key, its versions ascending; the newest one's row bears the plain key."""
    lines: Lines = {}
    for line in tables.records("settings"):
        if not is_setting(line["setting"]):
            raise unknown("setting", line["setting"], [*SETTINGS, *Assumptions._fields], "settings.csv")
        lines.setdefault(line["framework"], []).append(line)
    found: dict[str, list[Version]] = {}
    for about in tables.records("frameworks"):
        name, _, since = about["like"].partition(" ")
        own = sorted(lines.pop(about["key"], []), key=lambda line: version(line["since_version"]))
        steps = {line["since_version"] for line in own} | {v.step for v in found.get(name, ()) if not since}
        ordered = sorted(steps, key=version)
        versions = []
        for step in ordered:
            alike = _holding(found[name], version(since or step)).stated if name else {}
            held = {setting: list(earlier) for setting, earlier in alike.items()}
            for line in own:
                if version(line["since_version"]) > version(step):
                    break
                if line["value"] == UNSET:
                    held.pop(line["setting"], None)
                else:
                    held.setdefault(line["setting"], []).append(line)
            row = _row(about, step, step == ordered[-1], {name: lines[-1] for name, lines in _followed(held).items()})
            versions.append(Version(step, version(step), row, held))
        found[about["key"]] = versions
    if lines:
        raise unknown("framework", next(iter(lines)), found, "settings.csv")
    return found


def _row(about: dict[str, str], step: str, newest: bool, held: dict[str, dict[str, str]]) -> Row:
    """One version as a row of the frameworks table: what is said of the framework, and every setting."""
    values: dict[str, Any] = {column: tables.cell(column, text) for column, text in about.items()}
    values.update(dict.fromkeys([*SETTINGS, *Assumptions._fields]))
    values.update({name: tables.cell(name, line["value"]) for name, line in held.items()})
    values["framework"] = about["key"]
    values["fitted"] = " ".join(name for name, line in held.items() if line["fitted"] == "1") or None
    values["source"] = "; ".join(dict.fromkeys([about["source"], *(line["source"] for line in held.values())]))
    if about["kind"] == "trainer" and step:
        values["since"] = float(step)
    if not newest:
        values.update(key=f"{about['key']}_{step.replace('.', '_')}", aliases=None)
    return Row("frameworks", values["key"], values)


def _holding(versions: list[Version], wanted: tuple[int, ...]) -> Version:
    """What holds for a version: the newest where none is wanted, the oldest before all of them."""
    if not wanted:
        return versions[-1]
    return next((found for found in reversed(versions) if found.since <= wanted), versions[0])


@functools.cache
def _made() -> dict[str, Version]:
    """The version behind each row."""
    return {found.row.key: found for versions in frameworks().values() for found in versions}


def _identity(line: dict[str, str]) -> str:
    return f"{line['framework']} {line['since_version']} {line['setting']}"


def lines_of(row: Row) -> dict[str, str]:
    """The line of settings.csv behind each setting of a framework, by name.

    >>> lines_of(of_version("torchtitan", ()))["eager_factor"]
    'pytorch_fsdp 2023 eager_factor'
    """
    return {name: _identity(lines[-1]) for name, lines in _made()[row.key].lines.items()}


def spread_of(key: str, setting: str) -> float:
    """How uncertain a fitted setting is (relative): as its line says, else as the assumption that it stands for.

    >>> spread_of("llama_cpp_cuda", "serving_gemm_factor"), spread_of("vllm", "host_step_time")
    (0.22, 0.4)
    """
    line = _made()[key].lines[setting][-1]
    return float(line["spread"] or getattr(Assumptions._field_defaults.get(setting), "spread", 0.0))


def without(row: Row, forgotten: Collection[str]) -> Row:
    """A framework without some lines: what it inherits, or its versions before said, stands in their place.

    >>> row = of_version("torchtitan", ())
    >>> without(row, {"torchtitan 2025 training_logit_bytes"})["training_logit_bytes"], row["training_logit_bytes"]
    (12.0, 4.0)
    """
    mine = _made()[row.key]
    if not any(_identity(line) in forgotten for lines in mine.lines.values() for line in lines):
        return row
    left = {name: [line for line in lines if _identity(line) not in forgotten] for name, lines in mine.lines.items()}
    cells = dict(row.values_by_column)
    for name, lines in left.items():
        cells[name] = tables.cell(name, lines[-1]["value"]) if lines else None
    cells["fitted"] = " ".join(n for n, lines in left.items() if lines and lines[-1]["fitted"] == "1") or None
    return Row("frameworks", row.key, cells)


def of_version(key: str, wanted: tuple[int, ...]) -> Row:
    """A framework as it was in a version (a trainer: in a year); without one the newest."""
    return _holding(frameworks()[key], wanted).row


def rows() -> dict[str, Row]:
    """The frameworks table: every version of every framework."""
    return {found.row.key: found.row for versions in frameworks().values() for found in versions}


tables.MADE["frameworks"] = rows


def named(text: str) -> Row:
    """The framework that a name means, with its version behind it perhaps: ``vLLM 0.12``."""
    name, number = re.fullmatch(r"(.*?)[\s_-]*v?(\d[\d.]*\w*)?", text.strip()).groups()  # type: ignore[union-attr]
    with contextlib.suppress(UnknownName):
        return tables.lookup("frameworks", text, "assume")
    if number is None:
        return tables.lookup("frameworks", text, "assume")
    return of_version(tables.lookup("frameworks", name, "assume")["framework"], version(number))


def scaled(value: Any, default: float) -> float:
    """A setting: a number, or ``x2``, a multiple of the default."""
    if isinstance(value, str):
        return float(value.removeprefix("x")) * default
    return float(value)


def settings(row: Row) -> dict[str, float]:
    """The assumptions that a framework sets."""
    defaults = Assumptions._field_defaults
    cells = row.values_by_column
    return {n: scaled(cells[n], float(default)) for n, default in defaults.items() if cells[n] is not None}


def assumptions(value: str | Row | Assumptions) -> Assumptions:
    """Assumptions as they are, or those of a framework by name (``assume="vllm"``, ``assume="vllm 0.12"``)."""
    if isinstance(value, Assumptions):
        return value
    if not isinstance(value, (str, Row)):
        raise ValueError(
            f"assume={value!r}: give ms.Assumptions(...), or a framework by name, see zoo.names('frameworks')"
        )
    row = tables.lookup("frameworks", value, "assume") if isinstance(value, Row) else named(value)
    defaults = Assumptions._field_defaults
    found = {name: defaults[name].moved(number, f"{row.key}: {row.sources}") for name, number in settings(row).items()}
    return Assumptions()._replace(**found)


def merged(assume: Assumptions | None, hardware: Row | None) -> Assumptions:
    """What a device was calibrated to, below what the user assumes: a figure that the user left alone is the device's."""
    own = assume if assume is not None else Assumptions()
    calibrated = getattr(hardware, "assumed", None) or {}
    defaults = Assumptions._field_defaults
    kept = {n: v for n, v in calibrated.items() if float(getattr(own, n)) == float(defaults[n])}
    return own._replace(**kept)
