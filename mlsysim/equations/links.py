"""What a group of devices sends and gathers over which links.

A group is described by its number of ranks and by their stride, how many devices apart two neighbours are: a group of
stride 1 fills a fast domain before it crosses to the next.  Inside a domain collectives reach what was measured for
groups of their size, or the share of a torus' links that lies along their axes; between domains they go over the
network.

References
----------
As in `mlsysim.equations.collectives`.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import collectives
from mlsysim.equations.library import library_broadcast
from mlsysim.equations.selection import choose
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Accelerator, Fleet


class Links(NamedTuple):
    """The links of one device: inside a fast domain (node, rack, slice of a torus) and between domains."""

    fast_bandwidth: Any  #: inside the domain, one direction (byte/s)
    fast_latency: Any  #: one step inside the domain (s)
    slow_bandwidth: Any  #: between domains, one direction (byte/s)
    slow_latency: Any  #: one step between domains (s)
    domain_size: Any  #: devices of a domain
    torus_axes: Any  #: axes of the torus inside a domain, 0 where a switch connects all
    slice_size: Any  #: devices of a domain that the run uses
    direct_peers: Any  #: devices that each has links of its own to, 0 where a switch or a torus joins them
    bus_bandwidth_2: Any  #: what collectives of 2 devices were measured at, on links of the device's own rate (byte/s)
    bus_bandwidth_4: Any
    bus_bandwidth_8: Any
    measured_share: Any  #: rate of these links over that of the links that were measured
    algorithm: Any  #: `Collective`
    multicast: Any  #: 1 where the switch of the domain reduces
    switched: Any  #: 1 where the network reduces
    multicast_share: Any  #: share of a ring's rate that a switch which reduces gives
    start: Any  #: of the kernel that runs a collective (s)


def links(fleet: Fleet, hardware: Accelerator, assume: Assumptions, algorithm, devices) -> Links:
    """The links of each device of a run.

    Parameters
    ----------
    algorithm : `Collective`.
    devices : devices of the run; as many of them as a domain holds form a slice of its torus.

    Notes
    -----
    Switches that can reduce (`Fleet.switch_reduces`) are used within a node: what was measured over the nodes of a rack lies
    between a ring's rate and theirs.  Where they stay unused, `multicast_reduction` = 1 puts them to use.
    """
    node_switch = (fleet.switch_reduces > 0) & (fleet.domain_size <= fleet.accelerators_per_node)
    return Links(
        fast_bandwidth=fleet.intra_bandwidth * fleet.intra_efficiency,
        fast_latency=fleet.intra_latency,
        slow_bandwidth=fleet.inter_bandwidth * fleet.inter_efficiency / fleet.oversubscription,
        slow_latency=fleet.inter_latency,
        domain_size=fleet.domain_size,
        torus_axes=fleet.torus_axes,
        slice_size=np.minimum(fleet.domain_size, devices),
        direct_peers=fleet.direct_peers,
        bus_bandwidth_2=hardware.bus_bandwidth_2,
        bus_bandwidth_4=hardware.bus_bandwidth_4,
        bus_bandwidth_8=hardware.bus_bandwidth_8,
        measured_share=fleet.intra_bandwidth / hardware.link_bandwidth,
        algorithm=algorithm,
        multicast=np.where(node_switch, fleet.switch_reduces, assume.multicast_reduction),
        switched=assume.switched_reduction,
        multicast_share=assume.multicast_share,
        start=assume.collective_start,
    )


def collective_bandwidth(links: Links, local):
    """What a device sends inside its domain in a collective of `local` devices there (byte/s).

    On a switch the measured bus bandwidth of 2, up to 4, or more devices, at most that of the links; on a torus the
    share of the links that lies along the axes of the group (`collectives.torus_share`); where each pair has a link of its
    own, those to the others of the group.
    """
    bus = np.where(
        local <= 2, links.bus_bandwidth_2, np.where(local <= 4, links.bus_bandwidth_4, links.bus_bandwidth_8)
    )
    return np.where(
        links.torus_axes > 0,
        links.fast_bandwidth * collectives.torus_share(local, links.slice_size),
        np.minimum(
            links.fast_bandwidth * collectives.direct_share(local, links.direct_peers), bus * links.measured_share
        ),
    )


def _levels(links: Links, ranks, stride) -> tuple[Any, Any, tuple[Any, Any, Any, Any]]:
    """Ranks in one domain, domains, and the rates and latencies of both levels."""
    local = collectives.local_ranks(ranks, stride, links.domain_size)
    rates = (collective_bandwidth(links, local), links.fast_latency, links.slow_bandwidth, links.slow_latency)
    return local, ranks / local, rates


def _started(links: Links, ranks, seconds):
    """A collective with the start of its kernel (s); one rank starts none."""
    return np.where(ranks > 1, links.start + seconds, 0.0)


def gather_time(links: Links, ranks, stride, nbytes):
    """All-gather, or reduce-scatter, of `nbytes` over a group (s).

    Parameters
    ----------
    ranks, stride : devices of the group, and how far apart they are.
    nbytes : the full tensor (byte).
    """
    local, domains, rates = _levels(links, ranks, stride)
    gather = collectives.hierarchical_all_gather(local, domains, nbytes, *rates, links.algorithm)
    return _started(links, ranks, gather)


def reduce_time(links: Links, ranks, stride, nbytes):
    """All-reduce of `nbytes` over a group (s); parameters as in `gather_time`."""
    local, domains, rates = _levels(links, ranks, stride)
    reduction = collectives.hierarchical_all_reduce(
        local, domains, nbytes, *rates, links.algorithm, links.multicast, links.switched, links.multicast_share
    )
    return _started(links, ranks, reduction)


def exchange_time(links: Links, ranks, stride, nbytes, crossing=1.0):
    """All-to-all in which every rank of a group sends `nbytes` (s).

    Parameters
    ----------
    ranks, stride : devices of the group, and how far apart they are.
    nbytes : what one rank sends, its own share included (byte).
    crossing : share of the bytes for other domains that crosses the network.
    """
    local = collectives.local_ranks(ranks, stride, links.domain_size)
    exchange = collectives.hierarchical_all_to_all(
        local,
        ranks / local,
        nbytes,
        links.fast_bandwidth * collectives.direct_share(local, links.direct_peers),
        links.fast_latency,
        links.slow_bandwidth,
        links.slow_latency,
        crossing,
    )
    return _started(links, ranks, exchange)


def send_time(links: Links, span, nbytes):
    """One message to a neighbour (s): on a torus over one of the two links of an axis, on a link of the pair's own over it.

    Parameters
    ----------
    span : devices among which the two lie; they share a domain where it holds as many.
    nbytes : the message (byte).
    """
    alone = collectives.direct_share(2.0, links.direct_peers)
    link_share = np.where(links.torus_axes > 0, 0.5 / np.maximum(links.torus_axes, 1.0), alone)
    inside = span <= links.domain_size
    return collectives.point_to_point(
        nbytes,
        np.where(inside, links.fast_bandwidth * link_share, links.slow_bandwidth),
        np.where(inside, links.fast_latency, links.slow_latency),
    )


def broadcast_time(links: Links, ranks, stride, nbytes):
    """One device's `nbytes` to all of a group (s); parameters as in `gather_time`."""
    local, domains, rates = _levels(links, ranks, stride)
    return _started(links, ranks, library_broadcast(local, domains, nbytes, *rates))


def collective_time(links: Links, kind, ranks, stride, nbytes):
    """Any collective of `nbytes` over a group (s); 0 for one rank.

    Parameters
    ----------
    kind : `CollectiveKind`; SEND goes from the first of the group to its last.
    ranks, stride : devices of the group, and how far apart they are.
    nbytes : the full tensor; of an all-to-all what one rank sends, its own share included (byte).
    """
    group = (links, ranks, stride, nbytes)
    gather = gather_time(*group)
    sent = _started(links, ranks, send_time(links, (ranks - 1.0) * stride + 1.0, nbytes))
    return choose(kind, reduce_time(*group), gather, gather, exchange_time(*group), broadcast_time(*group), sent)
