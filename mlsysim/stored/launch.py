"""From a configuration to the words with which an engine or a trainer is started (`launch.csv`, a row a setting)."""

from __future__ import annotations

import csv
import functools
import shlex
from collections.abc import Mapping
from importlib import resources
from typing import Any, NamedTuple

from mlsysim.schema.check import hint, shown

SERVING = ("vllm", "sglang", "trtllm")


class Launch(NamedTuple):
    """Words that start an engine, as a shell line where it is text.

    Attributes
    ----------
    words : list of str
        The command and its flags; ``MODEL`` where the configuration names a row of the zoo and no checkpoint.
    left_out : list of str
        Settings of the configuration for which this engine has no flag here, as ``precision=int4``: see to them by hand.
    """

    words: list[str]
    left_out: list[str]

    def __str__(self) -> str:
        return shlex.join(self.words)


class Row(NamedTuple):
    """One line of the table: an input, the value for which it holds (empty: any), and what is written for it."""

    engine: str
    input: str
    when: str
    words: str
    source: str


@functools.cache
def table() -> tuple[Row, ...]:
    """Every row of `launch.csv`."""
    with resources.files("mlsysim.stored").joinpath("launch.csv").open(encoding="utf-8") as lines:
        return tuple(Row(**row) for row in csv.DictReader(lines))


def launch(config: Mapping[str, Any], engine: str, checkpoint: str | None = None) -> Launch:
    """Words that start `engine` with a configuration.

    Parameters
    ----------
    config : mapping
        Inputs by name, as `config` of a stored answer gives them.
    engine : {"vllm", "sglang", "trtllm", "megatron", "torchtitan"}
    checkpoint : str, optional
        What the engine calls the model, as ``meta-llama/Llama-3.1-8B``; known where the model is ``hf://org/name``.

    Raises
    ------
    ValueError
        No such engine, or a configuration of another kind of work than the engine does.

    Examples
    --------
    >>> print(launch({"tp": 4, "max_batch": 64, "kv_precision": "fp8"}, "vllm", "Qwen/Qwen3-32B"))
    vllm serve Qwen/Qwen3-32B --tensor-parallel-size 4 --max-num-seqs 64 --kv-cache-dtype fp8
    """
    rows = [row for row in table() if row.engine == engine]
    if not rows:
        known = sorted({row.engine for row in table()})
        raise ValueError(f"engine={shown(engine)}: must be one of {', '.join(known)}{hint(str(engine), known)}")
    training = "global_batch" in config or "micro_batch" in config
    if training == (engine in SERVING):
        work, other = ("trains", "serves") if training else ("serves", "trains")
        raise ValueError(f"engine={engine!r}: {other}, and this configuration {work}")
    asked = {**config, **_derived(config)}
    alike = [row for row in table() if (row.engine in SERVING) == (engine in SERVING)]
    settings = {row.input for row in alike} - {"command", "context", "shards", "copies"}
    words = [word for row in rows if row.input == "command" for word in row.words.split()]
    model = str(config.get("model", ""))
    named = checkpoint or (model.removeprefix("hf://").partition("@")[0] if model.startswith("hf://") else "MODEL")
    words = [named if word == "MODEL" else word for word in words]
    left_out = []
    for name, value in asked.items():
        own = [row for row in rows if row.input == name and _holds(row.when, value)]
        if own:
            words += own[0].words.replace("{}", _written(value)).split()
        elif name in settings and not any(row.input == name and row.when.startswith("above") for row in rows):
            left_out.append(f"{name}={_written(value)}")
    return Launch(words, left_out)


def _derived(config: Mapping[str, Any]) -> dict[str, Any]:
    """What engines call otherwise: the longest sequence, and how data parallelism is split into shards and copies."""
    found: dict[str, Any] = {}
    if "output_len" in config and "seq_len" in config:
        found["context"] = int(config["seq_len"] + config["output_len"])
    if "dp" in config:
        shards = int(config.get("shard_size", config["dp"])) if config.get("zero_stage") == 3 else 1
        found |= {"shards": shards, "copies": int(config["dp"]) // shards}
    return found


def _holds(when: str, value: Any) -> bool:
    if when.startswith("above "):
        return bool(float(value) > float(when.removeprefix("above ")))
    return not when or when == _written(value)


def _written(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, (int, float)) else str(value)
