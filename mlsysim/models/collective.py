"""Wall 14, communication: how long one collective takes, and whether it or the computation beside it binds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations.collectives import bus_factor
from mlsysim.equations.library import half_size
from mlsysim.equations.links import collective_time, links
from mlsysim.equations.occupancy import fits_fleet
from mlsysim.equations.roofline import arithmetic_intensity, ridge_point
from mlsysim.equations.selection import first_failing
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Bottleneck, Collective, CollectiveKind, Limit
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Fleet


class CollectiveAnswer(NamedTuple):
    """Time and bandwidth of a collective, and the roofline of a device behind that link."""

    collective_time: Real
    collective_latency: Real
    bus_bandwidth: Real
    peak_bus_bandwidth: Real
    algorithm_bandwidth: Real
    half_size: Real
    network_ridge_point: Real
    break_even_intensity: Real
    network_intensity: Real | None
    flops_time: Real | None
    exposed_time: Real | None
    bottleneck: Code
    feasible: Flag
    limit: Code


@kernel
def collective(
    hardware: Accelerator,
    fleet: Fleet,
    assume: Assumptions,
    *,
    message_size,
    n_accelerators,
    collective_kind=CollectiveKind.ALL_REDUCE,
    rank_stride=1,
    collective=Collective.BEST,
    flops_beside=None,
    allreduce_bw=None,
    alltoall_bw=None,
) -> CollectiveAnswer:
    """One collective of a group of devices, as a communication library runs it.

    ``T = call + level x min (steps + bytes / bandwidth)`` over algorithms and protocols; the equations of training.

    Parameters
    ----------
    hardware, fleet, assume : records.
    message_size : byte
        The full tensor: what each device has before a reduction and after a gather; of an all-to-all what each sends, its own
        share included.
    n_accelerators : 1
        Devices of the group, one after another from node to node.
    collective_kind : CollectiveKind
        `all_reduce` (default), `all_gather`, `reduce_scatter`, `all_to_all`, `broadcast`, `send` (the first of the group to
        its last).
    rank_stride : 1
        How many devices apart the members are: 1 fills a node before it goes to the next, 8 takes one device of each
        node of eight.
    collective : Collective
        Algorithm of reductions and gathers; default what a library takes.
    flops_beside : FLOP, optional
        Operations of one device that run beside the collective, for `exposed_time`.

    allreduce_bw, alltoall_bw : byte/s, optional
        What a node sends into its network in rings, and in an all-to-all, as TopologyModel finds it for a shape of network;
        default all its ports, at their efficiency and oversubscription.

    Returns
    -------
    CollectiveAnswer
        `bus_bandwidth`: as nccl-tests defines it.  `half_size`: below it the steps bind, above it the bytes.
        `network_ridge_point`: operations per byte of a very large message that a device does at peak while it goes round; with
        fewer the network binds, with more the computation.  `break_even_intensity`: the same for a message of this size, its
        steps counted.  `bottleneck`: `compute` where the operations beside it last longer, else `overhead` (steps), `link`
        (inside the domain) or `network`.

    Notes
    -----
    Switches that can reduce (NVLink 4 and later) do so within a node; ``switch_reduces=0`` leaves it out,
    ``switched_reduction=1`` lets the network reduce too (SHARP).  Nothing else runs on the links.
    Steps and protocols are those of NCCL; other libraries (RCCL, HCCL, XLA) are taken as alike, with the latency of their links.

    References
    ----------
    `mlsysim.equations.library`; Williams et al. 2009 for the roofline; Cardwell and Song 2019, "An extended roofline model
    with communication-awareness" (HPCAsia).
    """
    network = links(fleet, hardware, assume, collective, n_accelerators)
    exchange = collective_kind == CollectiveKind.ALL_TO_ALL
    connected: Any = True
    for rate, meant in ((allreduce_bw, np.logical_not(exchange)), (alltoall_bw, exchange)):
        if rate is not None:
            connected = connected & (np.logical_not(meant) | (rate > 0))
            each = rate / fleet.accelerators_per_node
            network = network._replace(slow_bandwidth=np.where(meant & (rate > 0), each, network.slow_bandwidth))
    group = (collective_kind, n_accelerators, rank_stride)
    span = (n_accelerators - 1.0) * rank_stride + 1.0
    call: Any = np.where(n_accelerators > 1, assume.collective_call, 0.0)
    time = call + assume.collective_level * collective_time(network, *group, message_size)
    latency = call + assume.collective_level * collective_time(network, *group, 0.0)
    alone = n_accelerators <= 1
    stepless = network._replace(fast_latency=0.0, slow_latency=0.0, start=0.0)
    bytes_only = assume.collective_level * collective_time(stepless, *group, message_size)
    rate = np.where(alone, np.inf, message_size / np.where(alone, 1.0, bytes_only))
    factor = bus_factor(collective_kind, n_accelerators)
    seconds = np.where(alone, 1.0, time)
    algorithm = np.where(alone, np.inf, message_size / seconds)
    half = np.where(alone, 0.0, half_size(latency, np.where(alone, 1.0, rate)))
    intensity = lasting = exposed = None
    binds: Any = np.where(
        message_size < half,
        float(Bottleneck.OVERHEAD),
        np.where(span > network.domain_size, float(Bottleneck.NETWORK), float(Bottleneck.LINK)),
    )
    if flops_beside is not None:
        lasting = flops_beside / hardware.peak_flops
        intensity = arithmetic_intensity(flops_beside, message_size)
        exposed = np.maximum(time - lasting, 0.0)
        binds = np.where(lasting >= time, float(Bottleneck.COMPUTE), binds)
    limit = first_failing(
        (fits_fleet(fleet, span) & (connected | (span <= fleet.domain_size)), Limit.SHAPE),
        (hardware.peak_flops > 0, Limit.CAPABILITY),
    )
    return CollectiveAnswer(
        collective_time=time,
        collective_latency=latency,
        bus_bandwidth=np.where(alone, np.inf, factor * algorithm),
        peak_bus_bandwidth=np.where(alone, np.inf, factor * rate),
        algorithm_bandwidth=algorithm,
        half_size=half,
        network_ridge_point=np.where(alone, 0.0, ridge_point(hardware.peak_flops, rate)),
        break_even_intensity=hardware.peak_flops * time / message_size,
        network_intensity=intensity,
        flops_time=lasting,
        exposed_time=exposed,
        bottleneck=np.where(alone, float(Bottleneck.NONE), binds),
        feasible=limit == 0,
        limit=limit,
    )


CollectiveModel = Model("CollectiveModel", collective, domain="fleet", walls=(14,))
