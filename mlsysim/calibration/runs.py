"""Measured runs as a table: read, checked once, numbers as numbers.

A row is one published run.  Training runs and serving measurements are told apart by their columns; a column that
bears the name of a setting (`mlsysim.zoo.frameworks`) holds for its run, any other is kept and ignored; a blank cell says
that the source is silent.
"""

from __future__ import annotations

import csv
import math
import numbers
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mlsysim.calibration import arguments, load_files
from mlsysim.calibration.arguments import shown
from mlsysim.schema.check import hint
from mlsysim.zoo import frameworks

#: kind -> columns that must be there (their cells may be blank)
NEEDED = {
    "training": ("hardware", "n_gpus", "seq_len", "global_batch", "tp", "pp"),
    "serving": ("hardware", "model", "tp", "precision", "scenario", "batch_or_concurrency", "input_len", "output_len"),
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
        "measured_tflops_per_gpu",
        "measured_mfu",
        "measured_hfu",
        "measured_mem_gb",
    ),
    "serving": ("ttft_ms", "itl_ms", "tokens_per_s_total", "tokens_per_s_per_gpu"),
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
        "requests_per_user",
        "n_requests",
        "length_cv",
        "length_mean",
        "prefill_chunk",
        "suspect",
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
        "sample_bytes",
        "suspect",
    ),
    "vision": ("n_devices", "n_processors", "batch_size", "seq_len", "clock_ratio", "suspect"),
}
NUMBERS["network"] = (
    "n_nodes",
    "gpus_per_node",
    "devices_per_node",
    "n_gpus",
    "ports_per_node",
    "port_Gbps",
    "suspect",
)
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
}
#: numbers that may be 0: nothing of it
NOTHING = {"prompt_tokens", "depth_tokens", "gen_tokens"}
#: settings of a run that cannot be 0
COUNTED = {"seq_len", "requests_per_user", "n_requests", "prefill_chunk", "max_batch", "page_size", "length_mean"}
FLAGS = {"sequence_parallel", "suspect"}
TEXTS = {"hardware", "model", "precision", "scenario", "phase", "collective", "area", "quantity", "unit"}
#: further texts that are read
ABOUT = {
    "algorithm",
    "engine",
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
BLANK = {"", "nan", "none", "null", "n/a", "na", "-"}
#: rows that are read at once: predictions with intervals take about 3 ms a row
MOST_ROWS = 20_000
LARGEST = 64 * 2**20  #: bytes of a file
FIRST_LINE = 2  #: line of the first row of a file whose header is line 1


class Runs(NamedTuple):
    """A checked table of measured runs.

    Attributes
    ----------
    kind : {"training", "serving", "stream", "network", "operations", "vision"}
    table : pandas.DataFrame
        One row a run, indexed as the input was; numbers are floats (NaN where blank), texts are str ("" where blank).
    lines : list of int
        Line of each row in its file, the header being line 1.
    name : str
        Of the file, for messages.
    read_as : dict
        Column -> heading of a load generator that was read as it.
    """

    kind: str
    table: pd.DataFrame
    lines: list[int]
    name: str
    read_as: dict[str, str]


def read(source: pd.DataFrame | str | os.PathLike[str], columns: Mapping[str, Any] | None = None) -> Runs:
    """A table of measured runs from a DataFrame, a CSV file or what a load generator wrote.

    Parameters
    ----------
    source : DataFrame or path
    columns : mapping, optional
        What holds for every run and is blank in the table or no column of it.

    Raises
    ------
    ValueError
        In one line: no table, far too large a table, a missing column, text where a number belongs, a number that cannot be.
    """
    if not isinstance(source, (pd.DataFrame, str, os.PathLike)):
        raise ValueError(f"runs={shown(source)}: give the path of a CSV file, or a pandas.DataFrame")
    if isinstance(source, pd.DataFrame):
        name, header, rows = "the table", [str(c) for c in source.columns], source.to_numpy(dtype=object).tolist()
        index: Any = source.index
        lines = list(range(FIRST_LINE, FIRST_LINE + len(rows)))
    else:
        name = Path(source).name
        header, rows, lines = _parse(Path(source), name)
        index = pd.RangeIndex(len(rows))
    _state(header, rows, arguments.stated(columns), name)
    spelled = _spelled(header, rows)
    twice = next((c for i, c in enumerate(header) if c in header[:i]), None)
    if twice is not None:
        raise ValueError(f"{name}: column {twice!r} is there twice")
    kind = _kind(header, name)
    if not rows:
        raise ValueError(f"{name}: has a header and no rows")
    if len(rows) > MOST_ROWS:
        raise ValueError(f"{name}: has {len(rows):,} rows, at most {MOST_ROWS:,} are read at once: pass a part of them")
    checked: dict[str, list[Any]] = {}
    numeric = {*NUMBERS[kind], *MEASURED[kind], *NEEDED[kind]} - TEXTS
    numeric |= {column for column in header if frameworks.is_setting(column) and column not in frameworks.WORDS}
    for i, column in enumerate(header):
        cells = [row[i] for row in rows]
        if column in numeric:
            checked[column] = [_number(v, column, line, name) for v, line in zip(cells, lines)]
        else:
            checked[column] = ["" if _blank(v) else (v.strip() if isinstance(v, str) else v) for v in cells]
    return Runs(kind, pd.DataFrame(checked, index=index), lines, name, spelled)


def _spelled(header: list[str], rows: list[list[Any]]) -> dict[str, str]:
    """Give headings of load generators the names of our columns, in place; which they were."""
    ours = {*MEASURED["training"], *MEASURED["stream"], *MEASURED["network"], *MEASURED["vision"]}
    if set(header) & ours or set(NEEDED["operations"]) <= set(header):
        return {}
    found = load_files.read_as(header)
    for column, heading in found.items():
        header[header.index(heading)] = column
    # a number of clients, each with a request at a time
    if "batch_or_concurrency" in found and "scenario" not in header:
        header.append("scenario")
        for row in rows:
            row.append("closed_loop")
        found["scenario"] = "closed_loop"
    return found


def _state(header: list[str], rows: list[list[Any]], columns: Mapping[str, Any], name: str) -> None:
    """Fill in what holds for every run, in place."""
    known = {*TEXTS, *ABOUT, *load_files.SPELLINGS, *(n for names in load_files.SPELLINGS.values() for n in names)}
    known |= {n for table in (NEEDED, MEASURED, NUMBERS) for names in table.values() for n in names}
    for column, value in columns.items():
        if column not in known and not frameworks.is_setting(column):
            raise ValueError(f"columns: {shown(column)} is no column that is read{hint(column, known)}")
        if column not in header:
            header.append(column)
            for row in rows:
                row.append(value)
            continue
        place = header.index(column)
        for row in rows:
            if not _blank(row[place]):
                raise ValueError(
                    f"{name}: {column}={shown(value)} is given beside a table that says {column}={row[place]}"
                )
            row[place] = value


def _parse(path: Path, name: str) -> tuple[list[str], list[list[Any]], list[int]]:
    """Header, rows and their line numbers."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            text = handle.read(LARGEST + 1)
    except FileNotFoundError:
        raise ValueError(f"{shown(str(path))}: there is no such file") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: is a directory, not a CSV file") from None
    except UnicodeDecodeError:
        raise ValueError(f"{name}: is no text in UTF-8, so no CSV file") from None
    except (OSError, ValueError) as error:  # no permission, a name that no file can have
        raise ValueError(f"{shown(str(path))}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(text) > LARGEST:
        raise ValueError(
            f"{name}: is larger than {LARGEST // 2**20} MiB, at most {MOST_ROWS:,} runs are read at once: "
            "pass a part of it"
        )
    for written, readable in (
        (load_files.is_json, load_files.from_json),
        (load_files.is_metrics, load_files.from_metrics),
    ):
        if written(text):
            columns, runs = readable(text, name)
            return columns, runs, list(range(1, len(runs) + 1))
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    header: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        begins = 1
        for cells in reader:
            line, begins = begins, reader.line_num + 1
            if not any(c.strip() for c in cells):
                continue
            if not header:
                header = [c.strip() for c in cells]
                continue
            if len(cells) != len(header):
                raise ValueError(f"{name}, line {line}: has {len(cells)} cells where the header has {len(header)}")
            rows.append(cells)
            lines.append(line)
    except csv.Error as error:
        raise ValueError(f"{name}, line {reader.line_num}: is not well-formed CSV ({error})") from None
    if not header:
        raise ValueError(f"{name}: is empty")
    return header, rows, lines


def _kind(header: Sequence[str], name: str) -> str:
    """Training, serving, a single stream ..., by the columns that are there; says what is missing."""
    columns = set(header)
    share = {
        kind: len(columns & {*NEEDED[kind], *MEASURED[kind], *NUMBERS[kind]}) / len(NEEDED[kind]) for kind in NEEDED
    }
    if not columns & {column for table in (MEASURED, NEEDED) for names in table.values() for column in names}:
        raise ValueError(
            f"{name}: no column of measured runs; training runs need {', '.join(NEEDED['training'])}, serving "
            f"measurements {', '.join(NEEDED['serving'])}, single streams {', '.join(NEEDED['stream'])}, collectives "
            f"{', '.join(NEEDED['network'])}, figures of operations {', '.join(NEEDED['operations'])}, "
            f"networks that write no text {', '.join(NEEDED['vision'])}"
        )
    kind = max(share, key=lambda k: (len(columns & set(MEASURED[k])), share[k]))
    missing = [c for c in NEEDED[kind] if c not in columns]
    if kind == "training" and not columns & {"model_key", "model", "n_layers"}:
        missing.append("model_key (or n_layers, hidden, heads)")
    if missing:
        beside = " ".join(f"{column}=..." for column in missing)
        raise ValueError(
            f"{name}: column{'s' if len(missing) > 1 else ''} {', '.join(missing)} missing ({kind} runs): what holds for every "
            f"run may be given beside the table, {beside}"
        )
    if not columns & set(MEASURED[kind]):
        raise ValueError(f"{name}: no measured figure ({kind} runs): one of {', '.join(MEASURED[kind])}")
    return kind


def _blank(value: Any) -> bool:
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, str):
        return value.strip().lower() in BLANK
    return isinstance(value, numbers.Real) and math.isnan(value)


def _number(value: Any, column: str, line: int, name: str) -> float:
    if _blank(value):
        return math.nan
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        if column in FLAGS:
            return float(value)
        raise ValueError(f"{name}, line {line}: {column}={value} where a number belongs")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name}, line {line}: {column}={value!r} where a number belongs") from None
    where = f"{name}, line {line}: {column}={value!r}"
    if not math.isfinite(number):
        raise ValueError(f"{where} must be finite")
    if column in FLAGS:
        if number not in (0.0, 1.0):
            raise ValueError(f"{where} must be 0 or 1")
        return number
    nothing = column in NOTHING or (frameworks.is_setting(column) and column not in COUNTED)
    if number < 0 or (number == 0 and not nothing):
        raise ValueError(f"{where} must be {'at least 0' if nothing else 'above 0'}")
    if column in WHOLE and number != math.floor(number):
        raise ValueError(f"{where} must be a whole number")
    return number
