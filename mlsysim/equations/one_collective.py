"""One collective by itself, as a communication library runs it, and whether it or the computation beside it binds.

References
----------
`mlsysim.equations.library`; Williams et al. 2009 for the roofline; Cardwell and Song 2019, "An extended roofline model with
communication-awareness" (HPCAsia).
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations.collectives import bus_factor
from mlsysim.equations.library import half_size
from mlsysim.equations.links import collective_time, links
from mlsysim.equations.roofline import arithmetic_intensity, ridge_point
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Bottleneck, CollectiveKind
from mlsysim.schema.records import Accelerator, Fleet


class OneCollective(NamedTuple):
    """Time and bandwidth of a collective, and the roofline of a device behind that link."""

    collective_time: Any
    collective_latency: Any
    bus_bandwidth: Any
    peak_bus_bandwidth: Any
    algorithm_bandwidth: Any
    half_size: Any
    network_ridge_point: Any
    break_even_intensity: Any
    network_intensity: Any
    flops_time: Any
    exposed_time: Any
    bottleneck: Any


def one_collective(
    hardware: Accelerator,
    fleet: Fleet,
    assume: Assumptions,
    *,
    message_size,
    n_accelerators,
    collective_kind,
    rank_stride,
    collective,
    flops_beside,
    allreduce_bw,
    alltoall_bw,
) -> tuple[OneCollective, Any]:
    """One collective of a group of devices, and whether the network joins them.

    ``T = call + min (steps + bytes / bandwidth)`` over algorithms and protocols; the equations of training.

    Parameters
    ----------
    message_size : the full tensor (byte): what each device has before a reduction and after a gather; of an all-to-all what each
        sends, its own share included.
    n_accelerators, rank_stride : devices of the group, and how many devices apart they are.
    collective_kind, collective : `CollectiveKind`; algorithm (`Collective`).
    flops_beside : operations of one device beside the collective (FLOP), or None.
    allreduce_bw, alltoall_bw : what a node sends into its network in rings, and in an all-to-all (byte/s).

    Notes
    -----
    A group within one fast domain does not see the network.  A single device is done at once.
    """
    network = links(fleet, hardware, assume, collective, n_accelerators)
    exchange = collective_kind == CollectiveKind.ALL_TO_ALL
    sent = np.where(exchange, alltoall_bw, allreduce_bw)
    network = network._replace(
        slow_bandwidth=np.where(sent > 0, sent / fleet.accelerators_per_node, network.slow_bandwidth)
    )
    group = (collective_kind, n_accelerators, rank_stride)
    span = (n_accelerators - 1.0) * rank_stride + 1.0
    call: Any = np.where(n_accelerators > 1, assume.collective_call, 0.0)
    steps = assume.collective_step_level * collective_time(network, *group, 0.0)
    moving = collective_time(network, *group, message_size) - collective_time(network, *group, 0.0)
    latency, time = call + steps, call + steps + assume.collective_level * moving
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
    answer = OneCollective(
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
    )
    return answer, (sent > 0) | (span <= fleet.domain_size)
