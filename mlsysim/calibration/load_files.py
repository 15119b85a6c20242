"""What load generators write, read as a table of runs: JSON of ``vllm bench serve`` and ``sglang.bench_serving``, CSV
and JSON of genai-perf and aiperf, and tables whose columns bear the names that these tools give them.

Nothing is guessed: a figure is taken from a key that says it, and what a file does not say (the device, its
parallelism, the number format) is named as missing.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

#: column of a table of runs -> what load generators call it, the best figure first (a mean over the requests of a run
#: before what was asked for)
SPELLINGS = {
    "hardware": ("gpu", "gpu_type", "gpu_name", "device", "accelerator"),
    "n_gpus": ("num_gpus", "gpu_count", "n_devices"),
    "model": ("model_id", "model_name", "served_model_name"),
    "engine": ("backend", "endpoint_type"),
    "tp": ("tensor_parallel_size", "tensor_parallel", "tp_size"),
    "pp": ("pipeline_parallel_size", "pipeline_parallel", "pp_size"),
    "precision": ("dtype",),
    "batch_or_concurrency": ("max_concurrency", "concurrency", "num_concurrent", "num_users", "users"),
    "n_requests": ("completed", "num_prompts", "request_count"),
    "input_len": (
        "total_input_tokens_completed",
        "isl",
        "input_length",
        "input_tokens",
        "prompt_len",
        "random_input_len",
        "input_sequence_length",
    ),
    "output_len": (
        "total_output_tokens_completed",
        "osl",
        "output_length",
        "output_tokens",
        "random_output_len",
        "output_sequence_length",
    ),
    "ttft_ms": ("mean_ttft_ms", "avg_ttft_ms", "ttft_mean_ms", "time_to_first_token"),
    "itl_ms": ("mean_tpot_ms", "avg_tpot_ms", "tpot_ms", "mean_itl_ms", "avg_itl_ms", "inter_token_latency"),
    "tokens_per_s_total": ("output_throughput", "output_token_throughput", "output_tokens_per_s"),
}
MILLISECONDS = {"ms": 1.0, "s": 1e3, "sec": 1e3, "seconds": 1e3, "us": 1e-3, "ns": 1e-6}


def told(heading: str) -> str:
    """A heading as it is compared: ``Time To First Token (ms)`` is ``time_to_first_token``."""
    return re.sub(r"\W+", "_", re.sub(r"\(.*?\)", "", heading).strip().lower()).strip("_")


def read_as(header: Sequence[str]) -> dict[str, str]:
    """Column -> the heading of a load generator that stands for it, for columns that are not there."""
    by_name = {told(h): h for h in reversed(header)}
    found: dict[str, str] = {}
    for column, names in SPELLINGS.items():
        if column not in header:
            name = next((n for n in (column, *names) if n in by_name), None)
            if name is not None and by_name[name] not in found.values():
                found[column] = by_name[name]
    return found


def is_json(text: str) -> bool:
    """Does a file hold JSON objects?"""
    return text.lstrip()[:1] in ("{", "[")


def is_metrics(text: str) -> bool:
    """Is a file the table of metrics of genai-perf and aiperf: a line a figure, not a line a run?"""
    return re.match(r'\s*"?metric"?\s*,', text, re.IGNORECASE) is not None


def from_json(text: str, name: str) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of a JSON object, a list of them, or one on every line."""
    try:
        content = json.loads(text)
    except ValueError:
        try:
            content = [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            raise ValueError(f"{name}: begins as JSON and is none ({error})") from None
        except RecursionError:
            raise ValueError(f"{name}: is JSON that is nested too deeply") from None
    except RecursionError:
        raise ValueError(f"{name}: is JSON that is nested too deeply") from None
    runs = content if isinstance(content, list) else [content]
    if not runs or not all(isinstance(run, dict) for run in runs):
        raise ValueError(f"{name}: is JSON, but no object of a load generator, nor a list of them")
    return _table([_of_run(run, name, i + 1) for i, run in enumerate(runs)])


def from_metrics(text: str, name: str) -> tuple[list[str], list[list[Any]]]:
    """Header and the one row of a CSV of metrics: averages from its first table, the second column of the others."""
    found: dict[str, Any] = {}
    place = 1
    for cells in csv.reader(text.splitlines()):
        if not any(cell.strip() for cell in cells):
            continue
        if told(cells[0]) == "metric":
            place = [told(cell) for cell in cells].index("avg") if "avg" in map(told, cells) else 1
        elif len(cells) > place:
            found[told(cells[0])] = _figure(cells[place], re.search(r"\((\w+)", cells[0]))
    return _table([_of_run(found, name, 1)])


def _figure(text: str, unit: re.Match[str] | None) -> Any:
    """A number of a table of metrics, times in milliseconds."""
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        return text
    return number * MILLISECONDS.get(unit[1] if unit else "", 1.0)


def _of_run(run: Mapping[str, Any], name: str, number: int) -> dict[str, Any]:
    """What one run says of itself, under the headings of its file; what it sums over its requests by request."""
    flat: dict[str, Any] = {}
    for key, value in run.items():
        if isinstance(value, Mapping) and _positive(value.get("avg")):
            value = value["avg"] * MILLISECONDS.get(str(value.get("unit")), 1.0)
        if value is not None and not isinstance(value, (Mapping, list)):
            flat[told(str(key))] = value
    for what in ("input", "output"):
        total, requests = flat.get(f"total_{what}_tokens"), flat.get("completed")
        if _positive(total) and _positive(requests):
            flat[f"total_{what}_tokens / completed"] = total / requests
    column = read_as(list(flat))
    for length in (column.get(name, name) for name in ("input_len", "output_len")):
        if _positive(flat.get(length)):  # a mean over requests: lengths are whole tokens
            flat[length] = max(round(flat[length]), 1)
    figures = [column.get(c, c) for c in ("ttft_ms", "itl_ms", "tokens_per_s_total")]
    if not any(_positive(flat.get(figure)) for figure in figures):
        raise ValueError(
            f"{name}: run {number} has no figure of a load generator (mean_ttft_ms, mean_tpot_ms, output_throughput ...)"
        )
    users, rate = flat.get(column.get("batch_or_concurrency", "")), flat.get("request_rate")
    if _positive(rate) and math.isfinite(rate) and not _positive(users):
        raise ValueError(
            f"{name}: run {number} has request_rate={rate:g} and no max_concurrency: requests that arrive at a rate are not "
            "read; ContinuousBatchingModel(arrival_rate=...) answers for them"
        )
    requests = flat.get(column.get("n_requests", ""))
    if _positive(users) and _positive(requests):
        flat["requests_per_user"] = max(round(requests / users), 1)
    kept = {*SPELLINGS, *column.values(), "scenario", "source", "requests_per_user"}
    return {heading: value for heading, value in flat.items() if heading in kept}


def _positive(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


def _table(runs: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    header = list(dict.fromkeys(column for run in runs for column in run))
    return header, [[run.get(column) for column in header] for run in runs]
