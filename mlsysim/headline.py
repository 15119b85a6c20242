"""The sweep of ``mlsysim sweep``: training a known model on every accelerator whose facts are complete.

Everything about it is here; the command line only changes values and shows the answer.
"""

from __future__ import annotations

from typing import Any

from mlsysim import zoo
from mlsysim.resolver import Resolver

#: what is minimized together
OBJECTIVES = ("tco", "training_time", "carbon")
#: the axis of which each value gets its best configuration
BY = "hardware"
#: a run that ends within a quarter of a year on a cluster of a size that has been built
WHERE = "training_time <= '90 days' and n_accelerators <= 32768"
#: least memory of a device worth considering for the default model, bytes
LEAST_MEMORY = 64e9
#: figures of a device without which cost or carbon cannot be said
NEEDED = ("price", "tdp", "embodied_carbon", "mem_capacity", "mem_bandwidth")


def resolver() -> Resolver:
    """Training, what it costs and what it emits, as one kernel."""
    import mlsysim as ms

    return ms.compose(
        ms.RESOLVERS["DistributedModel"], ms.RESOLVERS["EconomicsModel"], ms.RESOLVERS["SustainabilityModel"]
    )


def accelerators() -> list[str]:
    """Data-centre devices on sale that train in bf16, their price, power, footprint and system known."""
    rows = zoo.find(
        "hardware",
        **{"class": "cloud"},
        status="shipping",
        peak_bf16=lambda x: x > 0,
        mem_capacity=lambda x: x >= LEAST_MEMORY,
        default_system=bool,
    )
    return [row.key for row in rows if all(row[field] is not None for field in NEEDED)]


def inputs() -> dict[str, Any]:
    """The axes and fixed inputs, in the order in which they are told."""
    return {
        "model": "llama3_1_70b",
        "tokens": 15e12,
        "seq_len": 8192,
        "global_batch": 2048,
        "hardware": accelerators(),
        "precision": ["bf16", "fp8"],
        "tp": [1, 2, 4, 8],
        "pp": [1, 2, 4, 5, 8, 10, 16, 20],
        "cp": [1, 2, 4],
        "dp": [2**i for i in range(12)],
        "micro_batch": [1, 2, 4, 8],
        "virtual_stages": [1, 2, 4, 5, 8, 10],
        "recompute": ["none", "selective", "full"],
        "zero_stage": [0, 1, 2, 3],
        "region": ["usa", "deu", "fra", "swe"],
    }
