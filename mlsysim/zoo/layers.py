"""Networks that are no transformers, by layer: ``networks.csv``, one line a network, columns named as the fields of a `Workload`.

What a network is without a line there follows by a rule from its operations (`DERIVED`).
"""

from __future__ import annotations

import csv
import functools
from pathlib import Path
from typing import Any

FIELDS = ("network_layers", "activation_values", "widest_values", "depthwise_share", "unfused_accesses")

#: medians of the networks of the table: layers; operations per value that a layer writes; the widest layer's share
LAYERS, LAYERS_SPREAD = 54.0, 0.8
FLOPS_PER_VALUE, FLOPS_PER_VALUE_SPREAD = 500.0, 1.0
PEAK_SHARE, PEAK_SHARE_SPREAD = 0.22, 0.7


@functools.cache
def table() -> dict[str, dict[str, str]]:
    """The lines of the file by the key of their model."""
    with open(Path(__file__).parent / "networks.csv", encoding="utf-8", newline="") as handle:
        return {line["key"]: line for line in csv.DictReader(handle)}


def columns(key: str) -> dict[str, Any]:
    """What a model's row says about layers: None where it has no line."""
    line = table().get(key)
    return {name: float(line[name]) if line and line[name] else None for name in FIELDS}


def by_rule(flops_per_sample: Any) -> dict[str, Any]:
    """The layers of a network of which only the operations are known."""
    values = flops_per_sample / FLOPS_PER_VALUE
    counted = (LAYERS, values, PEAK_SHARE * values, 0.0, 0.0)
    return dict(zip(FIELDS, counted, strict=True))
