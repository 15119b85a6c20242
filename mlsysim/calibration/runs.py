"""Measured runs as a table: read, checked once, numbers as numbers.

A row is one published run.  Training runs and serving measurements are told apart by their columns; a column that
bears the name of a setting (`mlsysim.zoo.frameworks`) holds for its run, any other is kept and ignored; a blank cell says
that the source is silent.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd

from mlsysim.calibration import arguments, cells, columns_of, load_files, text_tables, words
from mlsysim.calibration.arguments import shown
from mlsysim.calibration.text_tables import Table
from mlsysim.schema.check import hint
from mlsysim.zoo import frameworks

#: kind -> columns that must be there (their cells may be blank)
NEEDED = {
    "training": ("hardware", "n_gpus", "seq_len", "global_batch", "tp", "pp"),
    "serving": ("hardware", "model", "tp", "precision", "scenario", "batch_or_concurrency", "input_len", "output_len"),
    "cluster": (
        "hardware",
        "model",
        "concurrency",
        "input_len",
        "output_len",
        "prefill_workers",
        "prefill_gpus",
        "decode_workers",
        "decode_gpus",
    ),
    "stream": ("hardware", "model", "phase"),
    "network": ("hardware", "collective", "size_bytes"),
    "operations": ("area", "quantity", "unit"),
    "vision": ("hardware", "model", "scenario", "precision"),
}
#: kind -> measured figures, of which one column must be there
MEASURED = {
    "training": (
        "measured_step_time_s",
        "measured_tokens_per_s_per_gpu",
        "measured_tokens_per_s_total",
        "measured_tflops_per_gpu",
        "measured_mfu",
        "measured_hfu",
        "measured_mem_gb",
    ),
    "serving": ("ttft_ms", "itl_ms", "tokens_per_s_total", "tokens_per_s_per_gpu"),
    "cluster": ("ttft_ms", "itl_ms", "implied_tokens_per_s_per_gpu", "tokens_per_s_per_gpu"),
    "stream": ("measured_tokens_per_s",),
    "network": ("measured_time_us", "measured_busbw_GBps", "measured_algbw_GBps"),
    "operations": ("value",),
    "vision": ("measured_samples_per_s", "measured_latency_ms", "measured_energy_mJ"),
}
#: kind -> further columns that hold numbers
NUMBERS = {
    "training": (
        "n_params",
        "n_layers",
        "hidden",
        "ffn_hidden",
        "heads",
        "kv_heads",
        "vocab",
        "n_experts",
        "top_k",
        "expert_ffn",
        "micro_batch",
        "dp",
        "cp",
        "ep",
        "interleave_v",
        "zero_stage",
        "sequence_parallel",
        "suspect",
    ),
    "serving": (
        "n_gpus",
        "pp",
        "ep",
        "n_params",
        "n_layers",
        "hidden",
        "ffn_hidden",
        "heads",
        "kv_heads",
        "vocab",
        "n_experts",
        "top_k",
        "expert_ffn",
        "requests_per_user",
        "n_requests",
        "length_cv",
        "length_mean",
        "prompt_ratio",
        "prefill_chunk",
        "suspect",
    ),
    "cluster": (
        "n_gpus",
        "prefill_tp",
        "prefill_attention_dp",
        "prefill_ep",
        "prefill_max_batch",
        "prefill_chunk",
        "decode_tp",
        "decode_attention_dp",
        "decode_ep",
        "decode_max_batch",
        "front_ends",
        "redundant_experts",
        "blocking_receive",
        "requests_per_client",
        "draft_len",
        "acceptance",
        "suspect",
        "ttft_suspect",
    ),
    "stream": (
        "n_devices",
        "bits_per_weight",
        "prompt_tokens",
        "depth_tokens",
        "gen_tokens",
        "device_peak_fp16_TFLOPs",
        "device_mem_bandwidth_GBps",
        "suspect",
    ),
    "network": (
        "n_nodes",
        "gpus_per_node",
        "devices_per_node",
        "n_gpus",
        "ports_per_node",
        "port_Gbps",
        "suspect",
    ),
    "operations": (
        "n_devices",
        "duration_h",
        "device_hours",
        "n_params",
        "tokens",
        "power_per_device_W",
        "pue",
        "carbon_g_per_kWh",
        "checkpoint_bytes",
        "writers",
        "checkpoint_interval_h",
        "samples_per_s_per_device",
        "least_busy_share",
        "sample_bytes",
        "suspect",
    ),
    "vision": ("n_devices", "n_processors", "batch_size", "seq_len", "clock_ratio", "suspect"),
}
#: numbers that are counts
WHOLE = {
    "n_gpus",
    "seq_len",
    "global_batch",
    "tp",
    "pp",
    "n_layers",
    "hidden",
    "ffn_hidden",
    "heads",
    "kv_heads",
    "vocab",
    "n_experts",
    "top_k",
    "expert_ffn",
    "micro_batch",
    "dp",
    "cp",
    "ep",
    "interleave_v",
    "zero_stage",
    "input_len",
    "output_len",
    "requests_per_user",
    "n_requests",
    "prefill_chunk",
    "n_devices",
    "n_nodes",
    "gpus_per_node",
    "devices_per_node",
    "ports_per_node",
    "size_bytes",
    "concurrency",
    "requests_per_client",
    "front_ends",
    "redundant_experts",
    "blocking_receive",
    *(f"{pool}_{what}" for pool in ("prefill", "decode") for what in ("workers", "gpus", "tp", "attention_dp", "ep")),
}
#: numbers that may be 0: nothing of it
NOTHING = {"prompt_tokens", "depth_tokens", "gen_tokens", "draft_len", "redundant_experts", "blocking_receive"}
#: settings of a run that cannot be 0
COUNTED = {
    "seq_len",
    "requests_per_user",
    "n_requests",
    "prefill_chunk",
    "max_batch",
    "page_size",
    "length_mean",
    "prompt_ratio",
}
FLAGS = {"sequence_parallel", "suspect", "ttft_suspect"}
TEXTS = {"hardware", "model", "precision", "scenario", "phase", "collective", "area", "quantity", "unit"}
#: further texts that are read
ABOUT = {
    "algorithm",
    "engine",
    "engine_version",
    "framework",
    "gpu",
    "hardware_label",
    "harness",
    "inter_fabric",
    "intra_fabric",
    "model_key",
    "model_label",
    "notes",
    "precision_kv",
    "precision_weights",
    "quant_label",
    "recompute",
    "region",
    "source",
    "source_id",
    "split",
    "tflops_convention",
    "runtime",
    "zoo_nearest",
}
#: rows that are read at once: predictions with intervals take about 3 ms a row
MOST_ROWS = 20_000
LARGEST = 64 * 2**20  #: bytes of a file
FIRST_LINE = 2  #: line of the first row of a file whose header is line 1


RULES = cells.Rules(FLAGS, WHOLE, NOTHING, COUNTED)


class Runs(NamedTuple):
    """A checked table of measured runs.

    Attributes
    ----------
    kind : {"training", "serving", "cluster", "stream", "network", "operations", "vision"}
    table : pandas.DataFrame
        One row a run, indexed as the input was; numbers are floats (NaN where blank), texts are str ("" where blank).
    lines : list of int
        Line of each row in its file, the header being line 1.
    name : str
        Of the file, for messages.
    read_as : dict
        Column -> heading that was read as it.
    odd : dict
        Place of a row -> why it cannot be read; the others can.
    ambiguous : tuple of str
        Columns whose heading does not say whether it counts one device or all of them.
    """

    kind: str
    table: pd.DataFrame
    lines: list[int]
    name: str
    read_as: dict[str, str]
    odd: Mapping[int, str] = MappingProxyType({})
    ambiguous: tuple[str, ...] = ()


def read(source: pd.DataFrame | str | os.PathLike[str], columns: Mapping[str, Any] | None = None) -> Runs:
    """A table of measured runs from a DataFrame, a CSV file or what a tool wrote.

    Parameters
    ----------
    source : DataFrame or path
    columns : mapping, optional
        What holds for every run and is blank in the table or no column of it.

    Raises
    ------
    ValueError
        In one line: no table, far too large a table, a missing column.  A row with an odd cell is refused by itself
        (`Runs.odd`).
    """
    if not isinstance(source, (pd.DataFrame, str, os.PathLike)):
        raise ValueError(f"runs={shown(source)}: give the path of a CSV file, or a pandas.DataFrame")
    stated = arguments.stated(columns)
    for column in stated:
        if not _is_known(column):
            raise ValueError(f"columns: {shown(column)} is no column that is read{hint(column, words.every(_COLUMNS))}")
    index: Any = None
    if isinstance(source, pd.DataFrame):
        name, index = "the table", source.index
        header, rows = [str(c) for c in source.columns], source.to_numpy(dtype=object).tolist()
        found = Table(header, rows, list(range(FIRST_LINE, FIRST_LINE + len(rows))), {})
    else:
        name = Path(source).name
        found = _parse(Path(source), name)
    header = found.header
    plain = [words.folded(c) for c in header]
    twice = next((c for i, c in enumerate(header) if plain[i] in plain[:i] and _is_known(c)), None)
    if twice is not None:
        raise ValueError(f"{name}: column {twice!r} is there twice")
    kind, readings, told = _kind(header, list(stated), name)
    columns_of.contradict(found, readings, told, stated, name)
    unread = {words.told(h) for place, h in enumerate(header) if place not in readings}
    _complete(kind, {r.column for r in (*readings.values(), *told.values())}, _load(readings, told), unread, name)
    if not found.rows:
        raise ValueError(f"{name}: has a header and no rows")
    if len(found.rows) > MOST_ROWS:
        raise ValueError(
            f"{name}: has {len(found.rows):,} rows, at most {MOST_ROWS:,} are read at once: pass a part of them"
        )
    numeric = {*NUMBERS[kind], *MEASURED[kind], *NEEDED[kind]} - TEXTS
    table, odd = columns_of.checked(found, readings, told, stated, numeric, RULES)
    read_as = {r.column: columns_of.spelled(r) for r in readings.values() if r.heading != r.column}
    if kind == "serving" and "scenario" not in table and (scenario := _load(readings, told)):
        table["scenario"] = [scenario] * len(found.rows)  # which is what their word for the load says
        read_as["scenario"] = scenario
    ambiguous = tuple(r.column for r in readings.values() if r.word in words.AMBIGUOUS)
    frame = pd.DataFrame(table, index=pd.RangeIndex(len(found.rows)) if index is None else index)
    return Runs(kind, frame, found.lines, name, read_as, odd, ambiguous)


def _columns(kind: str) -> list[str]:
    """Every column that is read of runs of a kind."""
    names = (*NEEDED[kind], *MEASURED[kind], *NUMBERS[kind], *sorted(TEXTS), *sorted(ABOUT), load_files.QUEUED)
    return list(dict.fromkeys(names))


_COLUMNS = {kind: _columns(kind) for kind in NEEDED}


def _is_known(heading: str) -> bool:
    """Is anything called so, in any kind of table?"""
    if frameworks.is_setting(heading):
        return True
    known = _WORDS
    return any(word in known for word, _ in words.split(heading)) or words.folded(heading) in known


_WORDS = {words.folded(word) for word in words.every(_COLUMNS)}


def _load(read_: Mapping[int, words.Reading], beside: Mapping[int, words.Reading]) -> str:
    """The scenario that the word for the load says, where it is none of ours: clients, a batch, or all at once."""
    by_column = {r.column: r for r in (*read_.values(), *beside.values())}
    load = by_column.get("batch_or_concurrency")
    if load is None:
        return "max_load" if load_files.QUEUED in by_column else ""
    if load.word == load.column:
        return "closed_loop" if load_files.QUEUED in by_column else ""
    return "static_batch" if load.word in words.BATCHES.split() else "closed_loop"


def _parse(path: Path, name: str) -> Table:
    """A file as a table."""
    try:
        with path.open("rb") as handle:
            content = handle.read(LARGEST + 1)
    except FileNotFoundError:
        raise ValueError(f"{shown(str(path))}: there is no such file") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: is a directory, not a CSV file") from None
    except (OSError, ValueError) as error:  # no permission, a name that no file can have
        raise ValueError(f"{shown(str(path))}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(content) > LARGEST:
        raise ValueError(
            f"{name}: is larger than {LARGEST // 2**20} MiB, at most {MOST_ROWS:,} runs are read at once: "
            "pass a part of it"
        )
    text = text_tables.text_of(content, name)
    for written, readable in load_files.FORMATS:
        if written(text):
            header, runs = readable(text, name)
            return Table(header, runs, list(range(1, len(runs) + 1)), {})
    return text_tables.table(text, name, _is_known)


def _kind(
    header: Sequence[str], stated: Sequence[str], name: str
) -> tuple[str, dict[int, words.Reading], dict[int, words.Reading]]:
    """The kind of a table by its columns, how its headings are read, and what is stated beside it."""
    found = {}
    for kind in NEEDED:
        read_ = words.read_as(header, kind, _COLUMNS[kind])
        beside = words.read_as(stated, kind, [*_COLUMNS[kind], *(c for c in stated if frameworks.is_setting(c))])
        found[kind] = (read_, beside, {r.column for r in (*read_.values(), *beside.values())})
    of_runs = {column for table in (MEASURED, NEEDED) for names in table.values() for column in names}
    if not any(columns & of_runs for _, _, columns in found.values()):
        raise ValueError(
            f"{name}: no column of measured runs; "
            + ", ".join(f"{kind} runs need {', '.join(columns)}" for kind, columns in NEEDED.items())
        )

    def share(kind: str) -> tuple[float, ...]:
        columns, needed = found[kind][2], set(NEEDED[kind])
        figures = columns & set(MEASURED[kind])
        every = len(columns & {*needed, *figures, *NUMBERS[kind]}) / len(needed)
        own = sum(r.word == r.column for r in found[kind][0].values() if r.column in figures)
        return bool(figures), len(columns & needed) / (len(needed) if figures else 1.0), own, len(figures), every

    kind = max(NEEDED, key=share)
    return kind, found[kind][0], found[kind][1]


def _complete(kind: str, columns: set[str], load: str, unread: set[str], name: str) -> None:
    """Raise unless every column that runs of a kind need is there; a heading that may be the one is named."""
    if kind == "serving" and load:
        columns = columns | {"scenario", "batch_or_concurrency"}
    missing = [c for c in NEEDED[kind] if c not in columns]
    if kind == "training" and not columns & {"model_key", "model", "n_layers"}:
        missing.append("model_key (or n_layers, hidden, heads)")
    if missing:
        beside = " ".join(f"{column}=..." for column in missing)
        batches = [word for word in words.BATCHES.split() if word in unread]
        batch = batches[0] if batches and "global_batch" in missing else ""
        raise ValueError(
            f"{name}: column{'s' if len(missing) > 1 else ''} {', '.join(missing)} missing ({kind} runs): what holds for every "
            f"run may be given beside the table, {beside}"
            + ("" if columns & set(MEASURED[kind]) else f"; and a measured figure, one of {', '.join(MEASURED[kind])}")
            + (f"; {batch} may be global_batch or micro_batch: head it so" if batch else "")
        )
    if not columns & set(MEASURED[kind]):
        rate = next((f"; {word} says of what by its unit: {word} (tokens/s)" for word in words.NEED_RATE & unread), "")
        raise ValueError(f"{name}: no measured figure ({kind} runs): one of {', '.join(MEASURED[kind])}{rate}")
