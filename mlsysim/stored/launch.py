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
#: what follows from a configuration, and is no input
DERIVED = ("context", "shards", "copies", "local_batch")


class Launch(NamedTuple):
    """Words that start an engine, as a shell line where it is text.

    Attributes
    ----------
    words : list of str
        The command and its flags; ``MODEL`` (torchtitan: ``MODULE``, ``CONFIG``) where no checkpoint is named.
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
        For torchtitan its module and the configuration there, as ``llama3/llama3_8b``. Megatron-LM is told the shape
        of a model by flags of its own, which are yours to add.

    Raises
    ------
    ValueError
        No such engine, a configuration of another kind of work than the engine does, or a checkpoint that it cannot name.

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
    settings = {row.input for row in alike} - {"command", *DERIVED}
    words = _command(
        engine, [word for row in rows if row.input == "command" for word in row.words.split()], config, checkpoint
    )
    last: list[str] = []  # torchtitan's choices among kinds come after its flags
    left_out = []
    for name, value in asked.items():
        own = [row for row in rows if row.input == name and _holds(row.when, value)]
        if own:
            said = own[0].words.replace("{}", _written(value)).split()
            (words if not said or said[0].startswith("-") else last).extend(said)
        elif name in settings and not any(row.input == name and _needless(row.when, value) for row in alike):
            left_out.append(f"{name}={_written(value)}")
    words += last
    return Launch(words, left_out)


def _command(engine: str, words: list[str], config: Mapping[str, Any], checkpoint: str | None) -> list[str]:
    """The command with the name of the model in its place."""
    model = str(config.get("model", ""))
    if checkpoint is None and model.startswith("hf://") and "MODEL" in words:
        checkpoint = model.removeprefix("hf://").partition("@")[0]
    if checkpoint is None:
        return words
    names = {"MODEL": checkpoint}
    if "MODULE" in words:
        module, _, configuration = checkpoint.partition("/")
        if not module or not configuration:
            raise ValueError(f"checkpoint={shown(checkpoint)}: {engine} takes MODULE/CONFIG, as llama3/llama3_8b")
        names = {"MODULE": module, "CONFIG": configuration}
    return [names.get(word, word) for word in words]


def _derived(config: Mapping[str, Any]) -> dict[str, Any]:
    """What engines call otherwise: the longest sequence, shards and copies of data parallelism, the batch of one rank."""
    found: dict[str, Any] = {}
    if "output_len" in config and "seq_len" in config:
        found["context"] = int(config["seq_len"] + config["output_len"])
    if "dp" in config:
        shards = int(config.get("shard_size", config["dp"])) if config.get("zero_stage") == 3 else 1
        found |= {"shards": shards, "copies": int(config["dp"]) // shards}
        if config.get("pp", 1) > 1 and "global_batch" in config:  # a pipeline splits it, others accumulate it
            found["local_batch"] = int(config["global_batch"]) // int(config["dp"])
    if config.get("pp", 1) == 1 and "micro_batch" in config:
        found["local_batch"] = config["micro_batch"]
    return found


def _needless(when: str, value: Any) -> bool:
    """Is a value one that needs no words, such as one replica?"""
    return when.startswith("above ") and not _holds(when, value)


def _holds(when: str, value: Any) -> bool:
    if when.startswith("above "):
        return bool(float(value) > float(when.removeprefix("above ")))
    return not when or when == _written(value)


def _written(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, (int, float)) else str(value)
