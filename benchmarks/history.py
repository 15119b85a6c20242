"""What the product predicts, release by release: `python benchmarks/history.py [--record] [--changes]`.

A panel of configurations that people ask about is predicted with its standard error (the spread of `SAMPLES` draws of what
is uncertain), and the median errors that were accepted stand beside them.  ``--record`` adds a line to ``history.jsonl``:
version, date, digest of the data, figures.  ``--changes`` prints a line for CHANGELOG.md for every figure that moved by more than
2 % since the last line.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

import mlsysim as ms
from mlsysim import zoo

HERE = Path(__file__).resolve().parent
HISTORY = HERE / "history.jsonl"
#: a predicted number that moved by more than this is told
LEAST = 0.02
SAMPLES = 64

SERVE = {"seq_len": 2048, "batch_size": 64}
TRAIN = {"seq_len": 8192, "precision": "bf16"}
#: figure -> resolver, call, output
PANEL: dict[str, tuple[str, dict[str, Any], str]] = {
    f"{output} of {model} on {tp} {hardware}": (
        "ServingModel",
        {"model": model, "hardware": hardware, "tp": tp, **SERVE},
        output,
    )
    for model, hardware, tp in (
        ("llama3_1_8b", "h100_sxm5_80gb", 1),
        ("llama3_1_70b", "h100_sxm5_80gb", 8),
        ("llama3_1_70b", "mi300x", 4),
        ("llama3_1_405b", "b200_sxm_180gb", 8),
        ("deepseek_v3_671b", "h200_sxm_141gb", 8),
        ("gpt_oss_120b", "b200_sxm_180gb", 2),
    )
    for output in ("itl", "ttft")
}
PANEL |= {
    f"step_time of {model} on {tp * pp * dp} {hardware}": (
        "DistributedModel",
        {"model": model, "hardware": hardware, "tp": tp, "pp": pp, "dp": dp, "global_batch": batch, **TRAIN},
        "step_time",
    )
    for model, hardware, tp, pp, dp, batch in (
        ("llama3_1_8b", "h100_sxm5_80gb", 1, 1, 8, 16),
        ("llama3_1_70b", "h100_sxm5_80gb", 8, 4, 16, 512),
        ("llama3_1_405b", "h100_sxm5_80gb", 8, 16, 128, 2048),
        ("gpt3_175b", "a100_sxm4_80gb", 8, 8, 16, 1536),
        ("mixtral_8x7b", "b200_sxm_180gb", 1, 1, 64, 256),
    )
}
PANEL |= {
    "latency of resnet50 on h100_sxm5_80gb": (
        "SingleNodeModel",
        {"model": "resnet50", "hardware": "h100_sxm5_80gb", "batch_size": 128},
        "latency",
    ),
    "tokens_per_s of llama3_1_8b on cerebras_wse3": (
        "WeightStreamingModel",
        {"model": "llama3_1_8b", "hardware": "cerebras_wse3", "seq_len": 2048, "batch_size": 1},
        "tokens_per_s",
    ),
    "all-reduce bandwidth of 128 dgx_h100": (
        "TopologyModel",
        {"fleet": "dgx_h100", "n_nodes": 128, "topology": "fat_tree"},
        "allreduce_bw",
    ),
    "mtbf of 16384 h100_sxm5_80gb": (
        "ReliabilityModel",
        {"hardware": "h100_sxm5_80gb", "n_accelerators": 16384, "job_duration": "54 days"},
        "mtbf",
    ),
    "tco of 1024 h100_sxm5_80gb for a year": (
        "EconomicsModel",
        {"hardware": "h100_sxm5_80gb", "n_accelerators": 1024, "duration": "1 year", "region": "usa"},
        "tco",
    ),
    "carbon of 1024 h100_sxm5_80gb for a year": (
        "SustainabilityModel",
        {"hardware": "h100_sxm5_80gb", "n_accelerators": 1024, "duration": "1 year", "region": "usa"},
        "carbon",
    ),
}


def predicted(samples: int = SAMPLES) -> dict[str, dict[str, float]]:
    """Every figure of the panel: its value, and its standard error relative to it."""
    found = {}
    for name, (resolver, call, output) in PANEL.items():
        ask = getattr(ms, resolver)
        value = float(ask.solve(keep=[output], **call)[output])
        drawn = ask.solve(keep=[output], sample=samples, **call)[output].values
        found[name] = {"value": value, "standard_error": float(np.std(np.log(drawn)))}
    return found


def line(samples: int = SAMPLES) -> dict[str, Any]:
    """What `--record` writes."""
    errors = json.loads((HERE / "accepted.json").read_text(encoding="utf-8"))
    return {
        "version": ms.__version__,
        "date": datetime.date.today().isoformat(),
        "data": zoo.digest(),
        "predicted": predicted(samples),
        "median_error": {runs: float(np.median(list(figures.values()))) for runs, figures in errors.items()},
    }


def moved(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """One line for every predicted number that moved by more than `LEAST`, the largest move first."""
    lines = []
    for name, figure in now["predicted"].items():
        old = before["predicted"].get(name)
        if old is None:
            lines.append((0.0, f"* {name}: new, {figure['value']:.4g}"))
        elif abs(change := math.log(figure["value"] / old["value"])) > LEAST:
            lines.append(
                (abs(change), f"* {name}: {old['value']:.4g} -> {figure['value']:.4g} ({math.expm1(change):+.1%})")
            )
    lines += [(9.0, f"* {name}: no longer predicted") for name in before["predicted"] if name not in now["predicted"]]
    return [text for _, text in sorted(lines, key=lambda entry: (-entry[0], entry[1]))]


def history() -> list[dict[str, Any]]:
    """Every line that was recorded, the oldest first."""
    if not HISTORY.exists():
        return []
    return [json.loads(text) for text in HISTORY.read_text(encoding="utf-8").splitlines()]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="add a line to history.jsonl")
    parser.add_argument("--changes", action="store_true", help="print what moved since the last line, for CHANGELOG.md")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="draws behind the standard errors")
    asked = parser.parse_args(arguments)
    now, before = line(asked.samples), history()
    if asked.changes and before:
        print("\n".join(moved(before[-1], now)) or f"no predicted number moved by more than {LEAST:.0%}")
    if asked.record:
        with HISTORY.open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(now) + "\n")
    if not (asked.changes or asked.record):
        print(json.dumps(now, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
