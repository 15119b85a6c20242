"""aiconfigurator's disaggregated mode beside us, on the same measured clusters (`peers.py` runs it).

Both are told the same of a row of `measured/disaggregated.csv`: model, device, workers of both pools and their degrees, formats,
lengths, clients, slots and drafted tokens, blanks by the rules of `mlsysim.calibration.clusters`.  The neighbour's
engine is asked for a step of each pool, with one prompt in a prefill step and as many requests on each decode rank as clients, at
most the slots, leave to it, and joins them as its mode ``disagg`` does; throughput is its rate-matched one.  Errors are compared
on rows that both answer.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from beside import FOUR_BIT, HERE, MODELS, SYSTEMS, ask, backend, formats, percent, told

from mlsysim.calibration import clusters, validate
from mlsysim.calibration.problem import Problem
from mlsysim.calibration.runs import read
from mlsysim.calibration.serving import Question

FILE = HERE / "measured" / "disaggregated.csv"
NAMES = {
    "itl": "time between tokens",
    "e2e_latency": "whole request",
    "tokens_per_s_per_device": "tokens/s of a device",
    "ttft": "first token",
}
#: share of what prefill can do up to which, with free slots, a first token is well conditioned
FREE = 0.9


def ranks(inputs: Mapping[str, Any], stem: str) -> dict[str, int]:
    """Degrees of a worker under its names."""
    tp, ep = int(inputs[f"{stem}tp"]), int(inputs[f"{stem}ep"])
    groups = max(ep // tp, 1)
    return {"tp": tp, "dp": groups, "moe_tp": max(tp * groups // ep, 1), "moe_ep": ep}


def request(run: Mapping[str, Any], asked: Question) -> dict[str, Any] | str:
    """A row as a question to the neighbour, or what it has not: "device" or "model"."""
    inputs = asked.inputs
    key = str(inputs["model"].key)
    system, known = SYSTEMS.get(inputs["hardware"].key), MODELS.get(key)
    if system is None:
        return "device"
    if not isinstance(known, str):
        return "model"
    run = clusters.labelled(run)
    named = FOUR_BIT.get(key, known) if str(run["precision"]).lower() == "nvfp4" else known
    decode, drafted, p = ranks(inputs, "decode_"), int(inputs["draft_len"]), inputs["acceptance"]
    replicas = int(inputs["decode_replicas"])
    each = min(inputs["users"] / replicas, inputs["max_batch"]) / decode["dp"]
    return {
        "kind": "cluster",
        "system": system,
        "backend": backend(run),
        "model": named,
        "config": None,
        "experts": bool(inputs["model"]["n_experts"]),
        "prefill": {**ranks(inputs, ""), "workers": int(inputs["prefill_replicas"]), "batch": 1},
        "decode": {**decode, "workers": replicas, "batch": max(int(np.ceil(each)), 1)},
        "isl": int(inputs["seq_len"]),
        "osl": max(int(inputs["output_len"]), 2),
        "nextn": drafted,
        "accepted": float(sum(p**k for k in range(1, drafted + 1))),
        "public": False,
        "timed": False,
        **formats(run, asked, key, named),
    }


def asked_of(path: Path) -> pd.DataFrame:
    """One line a row and target: measured, ours, whether it is well conditioned, and the question to the neighbour."""
    runs = read(path)
    problem, rows = Problem(runs), runs.table.to_dict("records")
    busy = {
        int(row): float(share)
        for part in problem.parts
        for row, share in zip(part.rows, part.values(["prefill_utilization"])["prefill_utilization"])
    }
    lines = []
    for line in validate(runs.table, sample=0).rows.itertuples():
        run = rows[line.row - 2]
        free = line.group.startswith("slots free") and busy[line.row - 2] < FREE
        lines.append(
            {
                "row": line.row,
                "source": line.source,
                "free": free,
                "target": line.target,
                "measured": line.measured,
                "ours": line.predicted,
                "request": request(run, clusters.question(run)),
            }
        )
    return pd.DataFrame(lines)


def measure(python: Path, path: Path = FILE) -> dict[str, Any]:
    """Errors of both by target, on all rows that both answer and on those that are well conditioned."""
    lines = asked_of(path)
    keys = sorted({json.dumps(r, sort_keys=True) for r in lines.request if isinstance(r, dict)})
    answered = ask(python, [json.loads(key) for key in keys], 0.0, limit=900.0)
    by_key = dict(zip(keys, answered["answers"]))
    answers = [by_key[json.dumps(r, sort_keys=True)] if isinstance(r, dict) else {"why": r} for r in lines.request]
    lines["why"] = [a.get("why", "") for a in answers]
    lines["theirs"] = [a.get(target) or np.nan for a, target in zip(answers, lines.target)]
    groups = []
    for target, name in NAMES.items():
        for free in (False, True):
            here = lines[(lines.target == target) & (lines.free | (not free))]
            both = here[np.isfinite(here.theirs)]
            groups.append(
                {
                    "group": f"{name}{', no stage nearly full' if free else ''}",
                    "rows": len(here),
                    "both": len(both),
                    "sources": both.source.nunique(),
                    "without": dict(Counter(here.why[here.why != ""])),
                    "ours": told(both, "ours"),
                    "theirs": told(both, "theirs"),
                }
            )
    words = Counter(a["words"] for a in answered["answers"] if a.get("words"))
    return {"groups": groups, "tables": answered["tables"], "words": dict(words.most_common(10))}


def markdown(found: Mapping[str, Any], version: str) -> str:
    """The section that ACCURACY.md takes in."""
    lines = []
    for g in found["groups"]:
        kinds = (("median_error", ""), ("source_mean", ""), ("level", "+"))
        figures = [percent(g[who], name, sign) for who in ("ours", "theirs") for name, sign in kinds]
        without = ", ".join(f"{why} {n}" for why, n in g["without"].items())
        lines.append(
            f"| {g['group']} | {g['rows']} | {g['both']} ({g['sources']}) | {' | '.join(figures)} | {without} |"
        )
    return "\n".join(
        [
            "## Beside aiconfigurator: prefill and decode apart",
            "",
            f"Written by `python benchmarks/peers.py --write`; {version}, rows of {FILE.name}, none of them fitted to.",
            "",
            "| rows | n | both answer (sources) | mlsysim: median error % | mean over sources % | level % "
            "| aiconfigurator: median error % | mean over sources % | level % | not answered for |",
            f"|---|{'--:|' * 8}---|",
            *lines,
            "",
            "Both are told the same: workers of both pools, their degrees, formats, lengths, clients, slots, drafted tokens "
            "and their acceptance. aiconfigurator's engine is asked for a step of each pool, with one prompt in a prefill step "
            "and the requests on each decode rank that clients, at most the slots, leave to it, and joins them as its mode "
            "`disagg` does; its throughput is that of its matched rates. It knows no clients: its first token is a prefill step "
            "times a constant factor "
            "for waiting, so that rows whose clients wait for slots show what Little's law adds. No stage is nearly full "
            "where clients are fewer than 0.9 of the slots and prefill, by our account, does less than 0.9 of what it can.",
        ]
    )
