"""What trainers write, read as one run: logs of Megatron-LM, NeMo and torchtitan, ``trainer_state.json`` of transformers.

**A log is one run.**  Its figures are medians over its steps after the warm-up: of the steps that it tells, the first fifth
is left out, at least one and at most ten (of a single step none).  Where the batch grows, only steps of the last size
count.  Memory is the most that any step tells.  Settings that a log tells (Megatron prints its arguments) are taken; what it
does not say is named as missing and may be given beside it, as in ``hardware=h100 seq_len=4096 tp=8``.

``trainer_state.json`` tells the mean over the whole training, evaluation and warm-up with it: `train_runtime` over its
steps, where the training ended (`log_history` ends with `train_runtime`).
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_NUMBER = r"([\d][\d,]*\.?\d*(?:[eE][+-]?\d+)?)"
MEGATRON = re.compile(rf"elapsed time per iteration \((?:ms|s)\):\s*{_NUMBER}")
NEMO = re.compile(rf"train_step_timing in s\"?\s*[=:]\s*{_NUMBER}")
TITAN = re.compile(rf"\bstep:\s*(\d+).*?\bloss:.*?\btps:\s*{_NUMBER}")
#: an argument as Megatron prints them: ``  seq_length ............ 4096``
ARGUMENT = re.compile(r"^\s*(?:\[?\d*\]?:?\s*)?([a-z]\w+) \.{3,} (\S+)\s*$", re.MULTILINE)
#: arguments of Megatron that are columns of a run
ARGUMENTS = {
    "world_size": "n_gpus",
    "tensor_model_parallel_size": "tp",
    "pipeline_model_parallel_size": "pp",
    "context_parallel_size": "cp",
    "expert_model_parallel_size": "ep",
    "data_parallel_size": "dp",
    "seq_length": "seq_len",
    "micro_batch_size": "micro_batch",
    "num_layers": "n_layers",
    "hidden_size": "hidden",
    "ffn_hidden_size": "ffn_hidden",
    "num_attention_heads": "heads",
    "num_query_groups": "kv_heads",
    "padded_vocab_size": "vocab",
    "recompute_granularity": "recompute",
}
#: a column that says how the figures of a run were made of what its file tells
HOW = "how_read"
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")  #: colours
#: share of the steps that are warm-up, and the most of them
WARM_UP, MOST = 5, 10
#: transformers rounds steps a second to three decimals
ROUNDED = 6e-4
#: text of a file that is looked at to tell what it is
HEAD = 2**20


def is_log(text: str) -> bool:
    """Is a text the log of a trainer that is read?"""
    head = ESCAPES.sub("", text[:HEAD])
    return any(pattern.search(head) for pattern in (MEGATRON, NEMO, TITAN))


def of_log(text: str, name: str) -> dict[str, Any]:
    """The run that a log tells."""
    lines = re.split(r"[\r\n]+", ESCAPES.sub("", text))
    readers: tuple[tuple[re.Pattern[str], Callable[[Sequence[str], str], dict[str, Any]]], ...] = (
        (MEGATRON, _of_megatron),
        (NEMO, _of_nemo),
        (TITAN, _of_titan),
    )
    for pattern, reader in readers:
        found = [line for line in lines if pattern.search(line)]
        if found:
            told = reader(found, "\n".join(lines))
            return {"source": name, **{k: v for k, v in told.items() if v is not None}}
    raise ValueError(f"{name}: has no line of a step")


def after_warm_up(steps: Sequence[Any]) -> Sequence[Any]:
    """The steps that count.

    >>> [len(after_warm_up(range(n))) for n in (1, 2, 5, 50, 500)]
    [1, 1, 4, 40, 490]
    """
    left_out = min(max(len(steps) // WARM_UP, 1), MOST)
    return steps[left_out:] or steps


def _number(pattern: str, line: str) -> float | None:
    found = re.search(pattern.replace("N", _NUMBER), line)
    return float(found[1].replace(",", "")) if found else None


def _median(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else None


def _how(counted: Sequence[Any], steps: Sequence[Any]) -> str:
    return f"read as the median of {len(counted)} of {len(steps)} steps"


def _of_last_batch(steps: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
    """Steps with the batch of the last one, which stands first in each."""
    return after_warm_up([step for step in steps if step[0] == steps[-1][0]])


def _of_megatron(lines: Sequence[str], text: str) -> dict[str, Any]:
    steps = [
        (
            _number(r"global batch size:\s*N", line),
            _number(r"elapsed time per iteration \(m?s\):\s*N", line),
            _number(r"(?:throughput per GPU \(TFLOP/s/GPU\)|TFLOPs):\s*N", line),
        )
        for line in lines
    ]
    counted = _of_last_batch(steps)
    time = _median([step[1] for step in counted])
    seconds = "iteration (s)" in lines[-1]  # Megatron-DeepSpeed
    found: dict[str, Any] = {
        "framework": "megatron_deepspeed" if seconds else "megatron_lm",
        HOW: _how(counted, steps),
        "global_batch": steps[-1][0],
        "measured_step_time_s": time if seconds or time is None else 1e-3 * time,
        "measured_tflops_per_gpu": _median([step[2] for step in counted]),
    }
    said = dict(ARGUMENT.findall(text))
    for argument, column in ARGUMENTS.items():
        if said.get(argument, "None") != "None":
            found[column] = said[argument]
    if said.get("group_query_attention") == "False":
        found.pop("kv_heads", None)
    found["precision"] = "fp8" if said.get("fp8", "None") not in ("None", "False") else None
    for flag in ("bf16", "fp16"):
        if found["precision"] is None and said.get(flag) == "True":
            found["precision"] = flag
    return found


def _of_nemo(lines: Sequence[str], text: str) -> dict[str, Any]:
    steps = []
    last: tuple[float, float] | None = None
    for line in lines:
        batch = _number(r"global_batch_size\"?\s*[=:]\s*N", line)
        step = _number(r"global_step\"?\s*[=:]\s*N", line)
        samples = _number(r"consumed_samples\"?\s*[=:]\s*N", line)
        if batch is None and step is not None and samples is not None and last is not None and step > last[0]:
            each = (samples - last[1]) / (step - last[0])
            batch = each if each > 0 and each == int(each) else None
        if step is not None and samples is not None:
            last = (step, samples)
        steps.append((batch, _number(r"train_step_timing in s\"?\s*[=:]\s*N", line)))
    known = [batch for batch, _ in steps if batch is not None]
    if known:  # the first line of a progress bar has no step before it
        steps = [(known[0] if batch is None else batch, time) for batch, time in steps]
    counted = _of_last_batch(steps)
    return {
        "framework": "nemo",
        HOW: _how(counted, steps),
        "global_batch": steps[-1][0],
        "measured_step_time_s": _median([time for _, time in counted]),
    }


def _of_titan(lines: Sequence[str], text: str) -> dict[str, Any]:
    first = [line for line in lines if "[rank0]" in line]
    every = first or list(lines)
    counted = after_warm_up(every)
    share = _median([_number(r"mfu:\s*N\s*%", line) for line in counted])
    memory = [_number(r"memory:\s*N\s*GiB", line) for line in every]
    return {
        "framework": "torchtitan",
        HOW: _how(counted, every),
        "measured_tokens_per_s_per_gpu": _median([_number(r"tps:\s*N", line) for line in counted]),
        "measured_tflops_per_gpu": _median([_number(r"tflops:\s*N", line) for line in counted]),
        "measured_mfu": None if not share else share / 100.0,
        "measured_mem_gb": max((m for m in memory if m), default=None),
    }


def of_trainer_state(state: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The run that a ``trainer_state.json`` tells."""
    entries = [entry for entry in state["log_history"] if isinstance(entry, Mapping)]
    ended = next((entry for entry in reversed(entries) if _real(entry.get("train_runtime"))), None)
    if ended is None:
        raise ValueError(
            f"{name}: log_history has no train_runtime, which transformers writes at the end of a training "
            "(trainer.save_state()): a table with step_time is read as well"
        )
    runtime = float(ended["train_runtime"])
    rate, samples = (
        float(ended[key]) if _real(ended.get(key)) else 0.0
        for key in ("train_steps_per_second", "train_samples_per_second")
    )
    steps = next((s for s in (ended.get("step"), state.get("global_step"), state.get("max_steps")) if _real(s)), None)
    if steps is None and not rate:
        raise ValueError(f"{name}: says neither its steps nor train_steps_per_second")
    time = runtime / steps if steps else 1.0 / rate
    if rate and abs(1.0 / time - rate) > ROUNDED + 0.01 * rate:
        time = 1.0 / rate  # a training that was resumed counts the steps before it
    batch = round(samples * time) or None if math.isfinite(samples * time) else None
    found = {
        "source": name,
        HOW: "read as the mean of a whole training, its warm-up and evaluation with it",
        "measured_step_time_s": time,
        "global_batch": batch,
        "micro_batch": state.get("train_batch_size") if _real(state.get("train_batch_size")) else None,
    }
    return {column: value for column, value in found.items() if value is not None}


def _real(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0 and math.isfinite(value)
