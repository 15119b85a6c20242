"""What a configuration is judged by: outputs that are shown before the parts they are made of."""

from __future__ import annotations

from collections.abc import Sequence

from mlsysim.schema.variables import field_of

MAIN = (
    "latency",
    "throughput",
    "ttft",
    "itl",
    "e2e_latency",
    "step_time",
    "training_time",
    "mfu",
    "tokens_per_s",
    "usd_per_mtok",
    "tco",
    "energy",
    "carbon",
    "water",
    "memory_per_device",
    "memory_utilization",
    "feasible",
    "limit",
    "bottleneck",
)


def main_first(names: Sequence[str]) -> list[str]:
    """Outputs with those of `MAIN` before the others, each in its order.

    >>> main_first(["prefill_time", "limit", "EconomicsModel.tco", "mfu"])
    ['mfu', 'EconomicsModel.tco', 'limit', 'prefill_time']
    """
    places = {name: i for i, name in enumerate(MAIN)}
    return sorted(names, key=lambda n: places.get(field_of(n), len(MAIN)))
