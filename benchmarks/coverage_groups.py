"""How often intervals of 10 to 90 % hold, group by group: what `accuracy.py` prints and its test holds.

A group has `LEAST` rows or more: a figure of dense models or of mixtures, of a way to load, of trainers and engines that are
known or not, of a generation of devices, or all figures of such a generation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from mlsysim import zoo
from mlsysim.calibration import Validation, frameworks
from mlsysim.calibration.validate import statistics

LEAST = 20  #: rows of a group
WITHIN = (0.7, 0.9)  #: what share of them should lie within their interval of 10 to 90 %
#: how the zoo's keys of a generation begin
GENERATIONS = {
    "Ampere": ("a100", "a800", "a40", "a30", "a10", "rtx_30", "rtx_a"),
    "Ada": ("l40", "l4", "l20", "rtx_40"),
    "Hopper": ("h100", "h200", "h800", "h20", "gh200"),
    "Blackwell": ("b100", "b200", "b300", "gb200", "gb300", "rtx_50", "rtx_pro"),
    "TPU": ("tpu",),
}
TRAINED = "training"
#: what groups are made by
BY: tuple[tuple[str, ...], ...] = (
    ("figure",),
    ("models", "figure"),
    ("group", "figure"),
    ("engine", "figure"),
    ("devices",),
    ("devices", "figure"),
)


def generation(hardware: Any) -> str:
    """The generation of a device, by its key.

    >>> generation("H100"), generation("rtx_4090"), generation("mi300x")
    ('Hopper', 'Ada', 'other')
    """
    try:
        key = str(zoo.hardware(hardware).key)
    except (ValueError, TypeError):
        return "other"
    return next((name for name, stems in GENERATIONS.items() if key.startswith(stems)), "other")


def known(kind: str, run: dict[str, Any]) -> str:
    """Do the labels of a run name a trainer or an engine that the zoo knows?"""
    named = frameworks.named("trainer" if kind == TRAINED else "engine", run)
    return "not known" if named is None else "known"


def labelled(result: Validation, table: pd.DataFrame) -> pd.DataFrame:
    """Predictions with what they are grouped by; `table` holds the runs, line 2 of its file first."""
    rows = result.rows
    runs = table.iloc[rows.row - 2]
    found = rows.assign(models=rows.group.str.split("/").str[0], figure=rows.target)
    if "hardware" in runs:
        found["devices"] = [generation(h) for h in runs.hardware]
    if result.kind in (TRAINED, "serving"):
        found["engine"] = [known(result.kind, run) for run in runs.to_dict("records")]
    return found


def groups(result: Validation, table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Every group, with its name."""
    rows = labelled(result, table)
    for by in BY:
        if set(by) <= set(rows):
            for name, here in rows.groupby(list(by)):
                if len(here) >= LEAST and "other" not in name:
                    yield ", ".join(map(str, name)), here


def coverage(result: Validation, table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Rows, sources and share within the interval of every group, and whether that is as it should be."""
    found = {}
    for name, here in groups(result, table):
        share = statistics(here)["coverage80"]
        if share is not None:
            holds = WITHIN[0] <= share <= WITHIN[1]
            found[name] = {"n": len(here), "sources": here.source.nunique(), "coverage80": share, "holds": holds}
    return found
