"""What load generators write, read as a table of runs.

JSON of ``vllm bench serve`` and ``sglang.bench_serving``, CSV and JSON of genai-perf and aiperf, the report of
``trtllm-bench``, the summary of MLPerf inference.  Nothing is guessed: a figure is taken from a key that says it, and
what a file does not say (the device, its parallelism, the number format) is named as missing.  Headings keep the names
that the tools give them; `mlsysim.calibration.words` knows these.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

from mlsysim.calibration import training_files
from mlsysim.calibration.words import WORDS, read_as, told

#: a column that says: every request was queued before the first was served, unless a number of clients is given
QUEUED = "all_requests_at_once"
#: units in which genai-perf and aiperf tell times, others are kept as they are spelled
TIMES = ("ms", "s", "sec", "seconds", "us", "ns")
#: what is kept of a run besides the figures
KEPT = (
    "scenario",
    "source",
    "notes",
    "requests_per_user",
    "precision_kv",
    "prefill_chunk",
    "max_batch",
    "pool_fraction",
)
#: columns that a run of a load generator may say
COLUMNS = (
    "hardware",
    "n_gpus",
    "model",
    "engine",
    "tp",
    "pp",
    "ep",
    "precision",
    "batch_or_concurrency",
    "n_requests",
    "input_len",
    "output_len",
    "ttft_ms",
    "itl_ms",
    "tokens_per_s_total",
)
#: figures of a training run
STEPS = [
    column for column in WORDS["training"] if column.startswith("measured_") and column != "measured_tokens_per_s_total"
]
#: names of number formats in reports of TensorRT-LLM, folded
FORMATS_OF_REPORTS = {
    "fp8": "fp8",
    "fp8_per_channel_per_token": "fp8",
    "fp8_block_scales": "fp8_block",
    "nvfp4": "nvfp4",
    "w4a16_awq": "int4",
    "w4a16_gptq": "int4",
    "w4a16": "int4",
    "w8a16": "int8",
    "w8a8_sq_per_channel": "int8",
    "w4a8_mxfp4_fp8": "mxfp4",
    "w4a16_mxfp4": "mxfp4",
    "mxfp4": "mxfp4",
    "int8": "int8",
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "fp32",
    "bf16": "bf16",
    "fp16": "fp16",
}


def is_json(text: str) -> bool:
    """Does a file hold JSON objects?"""
    return text.lstrip()[:1] in ("{", "[") and not training_files.is_log(text)


def is_metrics(text: str) -> bool:
    """Is a file the table of metrics of genai-perf and aiperf: a line a figure, not a line a run?"""
    return re.match(r'\s*"?metric"?\s*,', text, re.IGNORECASE) is not None


def is_summary(text: str) -> bool:
    """Is a file the summary of an MLPerf inference run?"""
    return "MLPerf Results Summary" in text[:2000]


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
    found = []
    for i, run in enumerate(runs):
        if isinstance(run.get("log_history"), list):
            found.append(training_files.of_trainer_state(run, name))
        elif isinstance(run.get("performance"), dict) and isinstance(run.get("request_info"), dict):
            found.append(_of_report(run, name))
        else:
            found.append(_of_run(run, name, i + 1))
    return _table(found)


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
            unit = re.search(r"\((\w+)", cells[0])
            said = f" ({unit[1]})" if unit and unit[1] in TIMES else ""
            found[told(cells[0]) + said] = _figure(cells[place])
    return _table([_of_run(found, name, 1)])


def _figure(text: str) -> Any:
    """A number of a table of metrics."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return text


def _of_run(run: Mapping[str, Any], name: str, number: int) -> dict[str, Any]:
    """What one run says of itself, under the headings of its file; what it sums over its requests by request."""
    flat: dict[str, Any] = {}
    for key, value in run.items():
        heading = str(key)
        if isinstance(value, Mapping) and _positive(value.get("avg")):
            unit, value = str(value.get("unit")), value["avg"]
            heading += f" ({unit})" if unit in TIMES else ""
        if value is not None and not isinstance(value, (Mapping, list)):
            flat[heading] = value
    for what in ("input", "output"):
        total, requests = flat.get(f"total_{what}_tokens"), flat.get("completed")
        if _positive(total) and _positive(requests):
            flat[f"total_{what}_tokens / completed"] = total / requests
    column = {r.column: r.heading for r in read_as(list(flat), "serving", COLUMNS).values()}
    for length in (column.get(name, name) for name in ("input_len", "output_len")):
        if _positive(flat.get(length)):  # a mean over requests: lengths are whole tokens
            flat[length] = max(round(flat[length]), 1)
    if read_as(list(flat), "training", STEPS):
        return flat  # a row of a table of training runs
    figures = [column.get(c, c) for c in ("ttft_ms", "itl_ms", "tokens_per_s_total")]
    if not any(_positive(flat.get(figure)) for figure in figures):
        raise ValueError(
            f"{name}: run {number} has no figure of a load generator (mean_ttft_ms, mean_tpot_ms, output_throughput ...)"
        )
    users, rate = flat.get(column.get("batch_or_concurrency", "")), flat.get("request_rate")
    if _positive(rate) and not _positive(users):
        raise ValueError(
            f"{name}: run {number} has request_rate={rate:g} and no max_concurrency: requests that arrive at a rate are not "
            "read; ContinuousBatchingModel(arrival_rate=...) answers for them"
        )
    requests = flat.get(column.get("n_requests", ""))
    if _positive(users) and _positive(requests):
        flat["requests_per_user"] = max(round(requests / users), 1)
    kept = {*COLUMNS, *column.values(), *KEPT}
    return {heading: value for heading, value in flat.items() if heading in kept}


def _of_report(report: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a report of ``trtllm-bench`` says: requests are queued at once unless a number of clients is given."""
    engine, world, requests, told_, streaming, machine = (
        part if isinstance(part := report.get(key), Mapping) else {}
        for key in ("engine", "world_info", "request_info", "performance", "streaming_metrics", "machine")
    )
    rate = told_.get("system_output_throughput_tok_s", told_.get("output_throughput_tok_s"))
    if not _positive(rate):
        raise ValueError(f"{name}: the report of trtllm-bench has no performance.system_output_throughput_tok_s")
    quantised = _format(engine.get("quantization")) or _format(engine.get("dtype"))
    found = {
        "hardware": machine.get("name"),
        "model": engine.get("model"),
        "engine": f"TensorRT-LLM {engine.get('version') or ''}".strip(),
        "n_gpus": world.get("world_size"),
        "tp": world.get("tp_size"),
        "pp": world.get("pp_size"),
        "ep": world.get("ep_size") if _positive(world.get("ep_size")) else None,
        "precision": quantised,
        "precision_kv": _format(engine.get("kv_cache_dtype")),
        "max_batch": world.get("max_batch_size"),
        "prefill_chunk": world.get("max_num_tokens"),
        "pool_fraction": world.get("kv_cache_percentage"),
        "n_requests": requests.get("num_requests"),
        "input_len": _whole(requests.get("avg_input_length")),
        "output_len": _whole(requests.get("avg_output_length")),
        "tokens_per_s_total": rate,
        "ttft_ms": streaming.get("avg_ttft_ms"),
        "itl_ms": streaming.get("avg_tpot_ms"),
        QUEUED: 1,
        "source": f"trtllm-bench, {name}",
    }
    return {heading: value for heading, value in found.items() if value is not None}


def _format(said: Any) -> str | None:
    """A number format as TensorRT-LLM calls it; None where it says none, or one that is not known."""
    text = re.sub(r"^torch_", "", told(str(said)))
    return FORMATS_OF_REPORTS.get(text)


def _whole(value: Any) -> int | None:
    return max(round(value), 1) if _positive(value) else None


def from_summary(text: str, name: str) -> tuple[list[str], list[list[Any]]]:
    """The one row of a summary of MLPerf inference: output tokens/s of all samples at once, or one stream."""
    said = {
        told(m[1]): m[2].strip()
        for m in re.finditer(r"^\s*([^:\n=]+?(?:\([a-z]+\))?)\s*:\s*(\S.*?)\s*$", text, re.MULTILINE)
    }
    scenario = said.get("scenario", "")
    if said.get("mode", "").lower().startswith("accuracy"):
        raise ValueError(f"{name}: is the summary of an accuracy run, which measures no speed")
    if scenario.lower() in ("server", "interactive", "multistream"):
        rate = said.get("scheduled_samples_per_second", "...")
        raise ValueError(
            f"{name}: scenario {scenario}: requests that arrive at a rate are not read; "
            f"ContinuousBatchingModel(arrival_rate={rate}) answers for them"
        )
    if scenario.lower() not in ("offline", "singlestream"):
        raise ValueError(f"{name}: scenario {scenario or '(none)'} is not known: Offline and SingleStream are read")
    rate = _figure(said.get("tokens_per_second") or said.get("completed_tokens_per_second") or "")
    first, each = (_figure(said.get(key, "")) for key in ("mean_first_token_latency", "mean_time_per_output_token"))
    found: dict[str, Any] = {
        "source": f"MLPerf inference, {said.get('sut_name', name)}",
        training_files.HOW: f"read from a result that MLPerf calls {said.get('result_is', '(nothing)')}",
    }
    if scenario.lower() == "offline":
        found |= {"tokens_per_s_total": rate, QUEUED: 1}
    else:
        found |= {"ttft (ns)": first, "itl (ns)": each, "batch_size": 1}
    found = {heading: value for heading, value in found.items() if value != ""}
    if not {"tokens_per_s_total", "ttft (ns)", "itl (ns)"} & set(found):
        raise ValueError(
            f"{name}: says samples per second and no tokens per second: a table with tokens_per_s_total = samples/s times "
            "the mean output length is read"
        )
    return _table([found])


def _positive(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 and math.isfinite(value)


def _table(runs: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    header = list(dict.fromkeys(column for run in runs for column in run))
    return header, [[run.get(column) for column in header] for run in runs]


def from_log(text: str, name: str) -> tuple[list[str], list[list[Any]]]:
    """The one row of a log of a trainer."""
    return _table([training_files.of_log(text, name)])


#: formats that are told by their text, and who reads them
FORMATS: tuple[tuple[Callable[[str], bool], Callable[[str, str], tuple[list[str], list[list[Any]]]]], ...] = (
    (is_json, from_json),
    (is_metrics, from_metrics),
    (is_summary, from_summary),
    (training_files.is_log, from_log),
)
