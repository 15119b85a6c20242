"""A whole training step: passes through the pipeline, exchanges, update of the weights, the host, and stragglers.

References
----------
Narayanan et al. 2021 (arXiv:2104.04473); Rajbhandari et al. 2020 (arXiv:1910.02054); Ren et al. 2021 (arXiv:2101.06840)
for the update on the host.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import pipeline, training
from mlsysim.equations.data_parallel import DataExchange
from mlsysim.equations.exchanges import Exchanges
from mlsysim.equations.layout import Layout
from mlsysim.equations.links import Links, send_time
from mlsysim.equations.pipeline_stages import StageWork, on_slowest
from mlsysim.equations.training_memory import optimizer_state_bytes
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload

LN2 = 0.6931471805599453
#: bytes of a value below which products read fewer than 16 bits
NARROW = 1.5
#: devices up to which no straggler is counted: one node
SMALL_FLEET = 8.0


class StepTimes(NamedTuple):
    """Parts of a step (s), and what share of it two of them are; the names are those of the outputs.

    ``step_time`` = compute + bubble + tp + pp + dp + cp + ep + optimizer + overhead.
    """

    step_time: Any
    compute_time: Any
    bubble_time: Any
    tp_time: Any
    pp_time: Any
    dp_time: Any
    cp_time: Any
    ep_time: Any
    optimizer_time: Any
    overhead_time: Any
    exposed_communication: Any
    communication_time: Any
    communication_fraction: Any
    bubble_fraction: Any


def update_time(
    layout: Layout,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    params,
    expert_params,
    optimizer_offload,
):
    """Update of a device's weights, on the device or in host memory (s); sharded from ZeRO-1 on.

    Parameters
    ----------
    params, expert_params : parameters of the fullest stage on one device, without routed experts, and of these.
    optimizer_offload : 1 for the host, which updates the weights of all devices of its node.
    """
    own = np.where(
        layout.zero_stage >= 1,
        params / layout.shards + expert_params / layout.expert_replicas,
        params + expert_params,
    )
    on_device = training.optimizer_time(
        own,
        gradient_bytes=assume.gradient_bytes,
        optimizer_bytes=optimizer_state_bytes(assume.optimizer_bytes, format.parameter_bytes, assume.wide_bytes),
        weight_bytes=format.parameter_bytes,
        mem_bandwidth=hardware.mem_bandwidth,
        bandwidth_efficiency=assume.streaming_efficiency,
        slowdown=assume.optimizer_slowdown,
    )
    on_host = training.host_optimizer_time(
        own * np.minimum(fleet.accelerators_per_node, layout.n_accelerators),
        assume.host_optimizer_bytes,
        assume.host_memory_bandwidth,
    )
    return np.where(optimizer_offload > 0, on_host, on_device)


def stage_transfer_time(layout: Layout, links: Links, exchanges: Exchanges, assume: Assumptions, nbytes):
    """Activations of a micro-batch on their way to the next stage (s).

    With sequence parallelism each rank has a part and sends it.  Without, all ranks have all, and the message is sent
    whole, or in parts that are gathered behind it.

    Parameters
    ----------
    nbytes : activations of the micro-batch on a tensor-parallel group (byte).
    """
    span = layout.tp * layout.cp * layout.dp * layout.pp
    split = layout.sequence_parallel > 0
    parts = send_time(links, span, nbytes / layout.tp) + np.where(split, 0.0, exchanges.full_gather)
    return np.where(split | (assume.scattered_sends > 0), parts, send_time(links, span, nbytes))


def straggling(layout: Layout, assume: Assumptions):
    """Step time over that of equal devices, see `training.straggler_factor`.

    Examples
    --------
    >>> from mlsysim.equations.layout import layout
    >>> run = layout(tp=8.0, cp=1.0, dp=4.0, pp=1.0, ep=1.0, expert_tp=None, sequence_parallel=1.0, schedule=0,
    ...              virtual_stages=1.0, zero_stage=1.0, n_accelerators=32.0, shard_size=None)
    >>> round(float(straggling(run, Assumptions(straggler_loss=0.01))), 9)  # 32 devices, twice doubled from 8
    1.02
    """
    log_devices = np.log(layout.tp) + np.log(layout.pp) + np.log(layout.cp) + np.log(layout.dp)
    return training.straggler_factor((log_devices - np.log(SMALL_FLEET)) / LN2, assume.straggler_loss)


def machine_level(model: Workload, format: Format, assume: Assumptions):
    """Step time of a machine and of its run over the prediction (see `Assumptions.training_level`)."""
    mixture = np.where(model.n_experts > 0, assume.mixture_level, 1.0)
    narrow = np.where(format.gemm_input_bytes < NARROW, assume.narrow_training_level, 1.0)
    return assume.training_level * assume.training_scatter * mixture * narrow


def step_times(
    layout: Layout,
    work: StageWork,
    assume: Assumptions,
    *,
    n_microbatches,
    data: DataExchange,
    data_in_all: DataExchange,
    transfer,
    optimizer,
    stretch,
    possible,
) -> StepTimes:
    """All parts of a step (s).

    Parameters
    ----------
    data, data_in_all : communication of data parallelism: exposed, and hidden or not.
    transfer : one message between neighbouring stages (s).
    optimizer : update of the weights (s).
    stretch : step time over that of equal devices at the predicted level; what it adds counts as overhead.
    possible : can the device compute this at all; the step takes for ever where it cannot.
    """
    schedule, pp, virtual_stages = layout.schedule, layout.pp, layout.virtual_stages
    span = pipeline.makespan(
        schedule,
        n_microbatches,
        pp,
        virtual_stages,
        work.forward,
        work.backward,
        work.weight_gradient,
        assume.post_validation,
    )
    send_each, send_once = pipeline.hand_over(schedule, pp, virtual_stages, transfer, assume.blocking_sends)
    host = work.host_transfer.largest()
    each = send_each + data.each + host
    once = send_once + data.once + (optimizer + assume.training_host_time)
    level = span + (n_microbatches * each + once)
    stretched = level * stretch
    step_time = np.where(possible, stretched, np.inf)
    faster = np.minimum(stretch, 1.0)  # a run above its level: all parts are shorter
    times = n_microbatches * faster
    bubble = faster * np.maximum(span - n_microbatches * on_slowest(work, work.forward.plus(work.backward)), 0.0)
    tp, cp, ep = (times * on_slowest(work, part) for part in (work.tp, work.cp, work.ep))
    pp_time = times * send_each + faster * send_once
    dp_time = times * data.each + faster * data.once
    exposed = tp + pp_time + dp_time + cp + ep
    # a device sends and takes each chunk's activations and their gradients; a message that all wait for shows as often
    sent = np.where(pp > 1, times * (2.0 * virtual_stages * transfer), 0.0)
    shared = times * data_in_all.each + faster * data_in_all.once
    in_all = (
        np.maximum(times * on_slowest(work, work.exchanged), tp + cp + ep)
        + np.maximum(sent, pp_time)
        + np.maximum(shared, dp_time)
    )
    return StepTimes(
        step_time=step_time,
        compute_time=times * on_slowest(work, work.compute),
        bubble_time=bubble,
        tp_time=tp,
        pp_time=pp_time,
        dp_time=dp_time,
        cp_time=cp,
        ep_time=ep,
        optimizer_time=faster * optimizer,
        overhead_time=np.maximum(stretched - level, 0.0) + (times * host + faster * assume.training_host_time),
        exposed_communication=exposed,
        communication_time=in_all,
        communication_fraction=exposed / step_time,
        bubble_fraction=bubble / step_time,
    )
