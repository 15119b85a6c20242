"""Data parallelism: gradients summed and sharded weights gathered across replicas, and how much of it shows.

References
----------
Rajbhandari et al. 2020 (arXiv:1910.02054), "ZeRO"; Zhao et al. 2023 (arXiv:2304.11277), "PyTorch FSDP", for hybrid
sharding; Isaev et al. 2023 (Calculon) for contention.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import collectives
from mlsysim.equations.layout import Layout
from mlsysim.equations.links import Links, gather_time, reduce_time
from mlsysim.equations.pipeline_stages import StageWork, folded, mirrored, table_params
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Format, Workload


class Sharding(NamedTuple):
    """When sharded states are exchanged."""

    kept: Any  #: whole over the step, although ZeRO-2 or 3 could shard them: once a step
    streamed: Any  #: weights gathered anew for every pass of every micro-batch (ZeRO-3)
    scattered_each: Any  #: gradients scattered after every micro-batch (ZeRO-2)


class DataExchange(NamedTuple):
    """Exposed communication of data parallelism (s)."""

    each: Any  #: a micro-batch
    once: Any  #: a step


def sharding(zero_stage, pp, keep_gathered) -> Sharding:
    """When a ZeRO stage exchanges what it shards.

    Parameters
    ----------
    keep_gathered : 1 where a pipeline keeps gathered weights and unreduced gradients over the step.

    Examples
    --------
    >>> [bool(flag) for flag in sharding(3.0, 1.0, 1.0)], [bool(flag) for flag in sharding(3.0, 4.0, 1.0)]
    ([False, True, False], [True, False, False])
    """
    kept = (pp > 1) & (keep_gathered > 0)
    return Sharding(kept, (zero_stage >= 3) & np.logical_not(kept), (zero_stage == 2) & np.logical_not(kept))


def exposed_data_time(communication, window, assume: Assumptions):
    """Communication that passes do not hide, and what it costs the passes that run beside it (s).

    Parameters
    ----------
    communication : C (s).
    window : W, passes that run at the same time (s).

    Examples
    --------
    3 s of which 8/10 of the smaller are hidden; with a tenth of the device taken, ``0.8 x 2 x 0.1 / 0.9`` more:

    >>> assume = Assumptions(data_overlap=0.8, overlap_contention=0.0)
    >>> round(float(exposed_data_time(3.0, 2.0, assume)), 9)
    1.4
    >>> round(float(exposed_data_time(3.0, 2.0, assume._replace(overlap_contention=0.1))), 9)
    1.577777778
    """
    exposed = collectives.exposed_time(communication, window, assume.data_overlap)
    contention = collectives.contention_time(communication, window, assume.data_overlap, assume.overlap_contention)
    return exposed + np.where(assume.overlap_contention > 0, contention, 0.0)


def nothing_hidden(assume: Assumptions) -> Assumptions:
    """Assumptions under which no communication of data parallelism runs beside a pass."""
    return assume._replace(data_overlap=0.0, overlap_contention=0.0)


def layerwise_time(collective, links: Links, layout: Layout, layers, params, expert_params, bytes_per_param, experts):
    """One collective per layer of a stage (s): dense weights among their shards, experts among their replicas.

    Parameters
    ----------
    collective : `links.gather_time` or `links.reduce_time`.
    layers : layers of the stage.
    params, expert_params : parameters of the stage on one device, without routed experts, and of these.
    bytes_per_param : what is sent of each (byte).
    experts : does the model have any.
    """
    per_layer = bytes_per_param / layers
    shared = collective(links, layout.shards, layout.tp, params * per_layer)
    routed = collective(links, layout.expert_replicas, layout.expert_group, expert_params * per_layer)
    return layers * (shared + np.where(experts, routed, 0.0))


def window_share(pp, virtual_stages):
    """Passes of a stage that the exchanges of a step can run beside, of one micro-batch: ``(1 + (v - 1) p) / v``.

    The chunks of an interleaved pipeline end one after another, p passes of a chunk apart.

    Examples
    --------
    >>> float(window_share(4.0, 1.0)), float(window_share(4.0, 2.0))
    (1.0, 2.5)
    """
    return (1.0 + (virtual_stages - 1.0) * pp) / virtual_stages


def data_exchange(
    model: Workload,
    layout: Layout,
    links: Links,
    format: Format,
    assume: Assumptions,
    *,
    layers,
    params,
    expert_params,
    work: StageWork,
    shard_size,
) -> DataExchange:
    """Exposed communication of data parallelism for a micro-batch, and once a step (s).

    ZeRO-0 all-reduces the gradients beside the last backward pass.  ZeRO-1 scatters them there and gathers the weights
    beside the first forward pass.  ZeRO-2 scatters after every micro-batch.  ZeRO-3 gathers the weights before every
    forward and every backward pass, and the first of them cannot be hidden.

    Parameters
    ----------
    layers : layers on the fullest stage.
    params, expert_params : parameters of the fullest stage on one device, without routed experts, and of these.
    work : passes of each stage for a micro-batch; while a pass waits for the host, the network goes on.
    shard_size : devices that share one copy of sharded states, where the copies then agree on the gradients of each
        shard (hybrid sharding); None where all devices share one copy.
    """
    experts = model.n_experts > 0
    policy = sharding(layout.zero_stage, layout.pp, assume.keep_gathered)
    sizes = (links, layout, layers, params, expert_params)
    gathered = layerwise_time(gather_time, *sizes, format.parameter_bytes, experts)
    scattered = layerwise_time(gather_time, *sizes, assume.gradient_reduce_bytes, experts)
    reduced = layerwise_time(reduce_time, *sizes, assume.gradient_reduce_bytes, experts)
    if shard_size is not None:
        shard = params * (assume.gradient_reduce_bytes / layout.shards)
        copies = layout.replicas / layout.shards
        scattered = scattered + reduce_time(links, copies, layout.tp * layout.shards, shard)
    waiting = 0.5 * work.host_transfer.largest()
    forward_pass, backward_pass = work.forward.largest() + waiting, work.backward.largest() + waiting
    share = window_share(layout.pp, layout.virtual_stages)
    first_forward, last_backward = forward_pass * share, backward_pass * share
    scattered_once = np.where(policy.scattered_each, 0.0, exposed_data_time(scattered, last_backward, assume))
    once = np.where(
        layout.zero_stage == 0,
        exposed_data_time(reduced, last_backward, assume),
        np.where(
            policy.streamed,
            gathered / layers,
            scattered_once + exposed_data_time(gathered, first_forward, assume),
        ),
    )
    streamed = exposed_data_time(gathered, forward_pass, assume) + exposed_data_time(
        gathered + scattered, backward_pass, assume
    )
    scattered_each = np.where(policy.scattered_each, exposed_data_time(scattered, backward_pass, assume), 0.0)
    return DataExchange(
        each=np.where(policy.streamed, streamed, scattered_each),
        once=once + tied_table_time(model, layout, links, assume),
    )


def tied_table_time(model: Workload, layout: Layout, links: Links, assume: Assumptions):
    """Gradients of a tied token table that the first and the last stage both hold (s); 0 where they are one device."""
    apart = layout.replicas * layout.tp * np.maximum(layout.pp - 1.0, 1.0)
    table = table_params(model, layout.tp)
    ends = reduce_time(links, 2.0, apart, table * assume.gradient_reduce_bytes)
    on_two = (
        (layout.pp > 1) & np.logical_not(folded(layout.schedule)) & np.logical_not(mirrored(layout.schedule, layout.pp))
    )
    return np.where((model.tied_embeddings > 0) & on_two, ends, 0.0)
