"""What of a pass does not fit on the device, and what fetching it from the host costs.

References
----------
Sheng et al. 2023, "FlexGen" (arXiv:2303.06865).
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture, roofline
from mlsysim.equations.experts import distinct_experts
from mlsysim.equations.single_pass import Batch, PassMemory
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload


class Spill(NamedTuple):
    """What does not fit on the device, and what fetching it costs."""

    total: Any  #: bytes beyond the device
    host: Any  #: part of them in host memory
    storage: Any  #: and on storage
    fetched: Any  #: bytes that a pass fetches
    link: Any  #: seconds of the link
    link_rate: Any  #: byte/s


def read_share(model: Workload, format: Format, batch: Batch, movable, training):
    """Share of what could be fetched that a pass reads: all but the experts that no token of it visits.

    Parameters
    ----------
    movable : model states and cache (byte).
    training : is it a training step, which reads all of them.
    """
    idle = model.n_experts - distinct_experts(model.n_experts, model.experts_per_token, batch.tokens)
    unread = architecture.moe_layers(model) * idle * architecture.expert_params(model) * format.expert_bytes
    return 1.0 - np.where(training, 0.0, unread / np.maximum(movable, 1.0))


def spill(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    batch: Batch,
    memory: PassMemory,
    training,
) -> Spill:
    """What does not fit: states and cache leave the device, activations stay.

    Parameters
    ----------
    training : is it a training step.
    """
    movable = memory.weights + memory.gradients + memory.optimizer + memory.kv_cache
    total = np.minimum(roofline.spilled_bytes(memory.main, hardware.mem_capacity), movable)
    room = fleet.host_memory / fleet.accelerators_per_node * assume.host_memory_share
    host = np.minimum(total, room)
    storage = total - host
    share = read_share(model, format, batch, movable, training)
    link_rate = hardware.host_bandwidth * assume.host_link_efficiency
    link = roofline.link_time(host * share, storage * share, link_rate, assume.local_storage_bandwidth)
    return Spill(
        total=total,
        host=host,
        storage=storage,
        fetched=total * share,
        link=np.where(total > 0, link, 0.0),
        link_rate=link_rate,
    )
