"""What launch scripts of published runs told their engines, for tables that do not say it themselves.

``measured/load_settings.csv`` holds the settings as the scripts of the day state them, by words of the source, engine
(its version's beginning), device, model, format, degree and least number of clients.  They are knowledge of a source:
nothing of them is in the product, and a run that states a setting keeps its own.
"""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd

from mlsysim import zoo
from mlsysim.zoo.spelling import fold

LINES = Path(__file__).resolve().parent / "measured" / "load_settings.csv"
#: columns that say for which runs a line holds, and where it was read
CONDITIONS = ("source", "engine", "hardware", "model", "precision", "tp", "users", "from")


def _key(lookup: Any, name: Any) -> str:
    try:
        return lookup(str(name)).key
    except (KeyError, ValueError):
        return str(name)


def _engine(text: str) -> str:
    """An engine under the key of the zoo, its version behind it."""
    folded = re.sub(r"_v(?=\d)", "_", fold(text))
    for row in zoo.find("frameworks", kind="engine"):
        for name in sorted(map(fold, row.aliases), key=len, reverse=True):
            if folded.startswith(name):
                return f"{row['framework']}{folded[len(name) :]}"
    return folded


def holds(line: dict[str, str], run: dict[str, Any]) -> bool:
    """Does a line of the table hold for a run?"""
    source = fold(f"{run.get('source')} {run.get('harness')}")
    engine, wanted = _engine(str(run.get("engine"))), _engine(line["engine"])
    behind = engine[len(wanted) :][:1] if engine.startswith(wanted) else "another"
    return (
        any(fold(name) in source for name in line["source"].split(";"))
        and (not wanted or behind in ("", "_", "."))
        and (not line["hardware"] or _key(zoo.hardware, run.get("hardware")) in line["hardware"].split(";"))
        and line["model"] in ("", _key(zoo.model, run.get("model")))
        and line["precision"] in ("", str(run.get("precision")).lower())
        and (not line["tp"] or float(line["tp"]) == run.get("tp"))
        and (not line["users"] or float(line["users"]) <= (run.get("batch_or_concurrency") or 0.0))
    )


def chunk(text: str, run: dict[str, Any]) -> float:
    """Tokens of a step: a number, or one prompt and a token of every client, rounded up to 64 beyond another 64.

    ``prompt>=8192`` is that, and no fewer than those.
    """
    if not text.startswith("prompt"):
        return float(text)
    tokens = run["input_len"] + (run.get("batch_or_concurrency") or 0.0) + 64.0
    return max(math.ceil(tokens / 64.0) * 64.0, float(text.partition(">=")[2] or 0.0))


def stated(runs: pd.DataFrame) -> pd.DataFrame:
    """Measured runs with what their launch scripts told the engine, where the table is silent."""
    if "scenario" not in runs:  # training runs
        return runs
    with LINES.open(encoding="utf-8", newline="") as handle:
        lines = list(csv.DictReader(handle))
    filled = []
    for run in runs.to_dict("records"):
        found: dict[str, Any] = {}
        for line in (line for line in lines if holds(line, run)):
            for name, text in line.items():
                if text and name not in CONDITIONS:
                    found[name] = text if name == "precision_kv" else chunk(text, run)
        filled.append({**run, **{name: value for name, value in found.items() if pd.isna(run.get(name))}})
    return pd.DataFrame(filled, index=runs.index)
