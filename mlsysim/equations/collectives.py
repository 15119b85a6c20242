"""Collective communication: latency and bandwidth of every algorithm, one group or two levels.

Time of a step is ``latency + bytes / bandwidth``.  Unless said otherwise `nbytes` (V) is the *full* tensor,
`ranks` (n) the devices in the group, `bandwidth` (W) what one device sends in one direction, `latency`
(alpha) what one step costs.  One rank costs nothing in every function that says so.

nccl-tests print ``bus bandwidth = algorithm bandwidth x 2 (n-1)/n`` for all-reduce and ``x (n-1)/n`` for the
others: a published bus bandwidth is W here, and the factor is not applied again.

References
----------
Patarasuk and Yuan 2009 (ring); Sanders, Speck and Traeff 2009 (double binary tree); Graham et al. 2016
(SHARP); Thakur, Rabenseifner and Gropp 2005.
"""

import numpy as np

from mlsysim.equations.counting import log2_ceil
from mlsysim.equations.library import PROTOCOLS, library_all_reduce, library_gather
from mlsysim.equations.selection import choose
from mlsysim.schema.codes import Collective


def bus_factor(kind, ranks):
    """Bytes that cross a device's links, one way, over those of the tensor: ``2 (n - 1)/n``, ``(n - 1)/n`` or 1.

    As nccl-tests counts them: all-reduce; gather, scatter and all-to-all; broadcast and one message.

    Parameters
    ----------
    kind : `CollectiveKind`.
    ranks : n.
    """
    part = (ranks - 1.0) / ranks
    return choose(kind, 2.0 * part, part, part, part, 1.0, 1.0)


# --- one level -----------------------------------------------------------------------------------------


def ring_all_gather(ranks, nbytes, bandwidth, latency):
    """All-gather or reduce-scatter on a ring: ``(n - 1) (alpha + V / (n W))`` (s); 0 for one rank.

    Examples
    --------
    >>> float(round(ring_all_gather(8.0, 1e9, 450e9, 1e-6), 11))
    0.00195144444
    """
    return (ranks - 1.0) * (latency + nbytes / (ranks * bandwidth))


def ring_all_reduce(ranks, nbytes, bandwidth, latency):
    """All-reduce on a ring: reduce-scatter and all-gather, ``2 (n - 1) (alpha + V / (n W))`` (s)."""
    return 2.0 * ring_all_gather(ranks, nbytes, bandwidth, latency)


def tree_all_reduce(ranks, nbytes, bandwidth, latency):
    """All-reduce on two binary trees: ``2 ceil(log2 n) alpha + 2 V / W`` (s); V large, pipelined, n > 1."""
    return 2.0 * log2_ceil(ranks) * latency + 2.0 * nbytes / bandwidth


def switch_all_reduce(nbytes, bandwidth, latency):
    """All-reduce in a tree of switches (SHARP): ``2 alpha + V / W`` (s); n > 1."""
    return 2.0 * latency + nbytes / bandwidth


def multicast_all_reduce(ranks, nbytes, bandwidth, latency):
    """All-reduce by a switch that reduces what a device pulls and multicasts what it pushes (NVLS; s).

    ``2 alpha + (n + 1)/n V / W``: each port carries the tensor and one shard.  n > 1.
    """
    return 2.0 * latency + (ranks + 1.0) / ranks * (nbytes / bandwidth)


def all_to_all(ranks, nbytes, bandwidth, latency):
    """Exchange of V bytes *per rank*: ``(n - 1) alpha + (n - 1)/n V / W`` (s); 0 for one rank."""
    return (ranks - 1.0) * (latency + nbytes / (ranks * bandwidth))


def point_to_point(nbytes, bandwidth, latency):
    """One message: ``alpha + V / W`` (s)."""
    return latency + nbytes / bandwidth


def broadcast(ranks, nbytes, bandwidth, latency):
    """Broadcast down a tree: ``ceil(log2 n) alpha + V / W`` (s); n > 1."""
    return log2_ceil(ranks) * latency + nbytes / bandwidth


def all_reduce(ranks, nbytes, bandwidth, latency, in_network=0.0):
    """The fastest all-reduce of one group: ring, double tree, and (`in_network` = 1) multicast (s)."""
    best = np.minimum(
        ring_all_reduce(ranks, nbytes, bandwidth, latency), tree_all_reduce(ranks, nbytes, bandwidth, latency)
    )
    offloaded = multicast_all_reduce(ranks, nbytes, bandwidth, latency)
    return np.where(in_network > 0, np.minimum(best, offloaded), best)


# --- two levels: `local` devices in a fast domain, `nodes` domains ---------------------------------------


def local_ranks(ranks, stride, domain_size):
    """Members of a group that share a fast domain, when members are `stride` devices apart: 1 .. ranks."""
    return np.minimum(ranks, np.maximum(domain_size / stride, 1.0))


def two_level_all_gather(local, nodes, nbytes, fast_bandwidth, fast_latency, bandwidth, latency):
    """All-gather or reduce-scatter, each device on its own rail between nodes, then inside the node (s).

    ``AG_R(V / G) on W2 + AG_G(V) on W1`` with G local ranks and R nodes.
    """
    return ring_all_gather(nodes, nbytes / local, bandwidth, latency) + ring_all_gather(
        local, nbytes, fast_bandwidth, fast_latency
    )


def rail_ring_all_gather(local, nodes, nbytes, fast_bandwidth, fast_latency, bandwidth, latency):
    """One ring through all devices, as many times as there are rails, pipelined (s).

    Bandwidth is that of the node's adapters together or of the fast links, whichever is less; every node adds
    one network step and G - 1 fast ones.  0 for one rank.
    """
    ranks = local * nodes
    narrow = np.where(nodes > 1, np.minimum(fast_bandwidth, local * bandwidth), fast_bandwidth)
    steps = nodes * (local - 1.0) * fast_latency + np.where(nodes > 1, nodes * latency, 0.0)
    return steps + (ranks - 1.0) / ranks * (nbytes / narrow)


def hierarchical_all_gather(
    local, nodes, nbytes, fast_bandwidth, fast_latency, bandwidth, latency, algorithm=Collective.BEST
):
    """All-gather or reduce-scatter over two levels, by default as a library runs it (s).

    Parameters
    ----------
    algorithm : `Collective`; BEST is `library.library_gather`, RING `rail_ring_all_gather`, any other
        `two_level_all_gather`.
    """
    where = (local, nodes, nbytes, fast_bandwidth, fast_latency, bandwidth, latency)
    levels, around = two_level_all_gather(*where), rail_ring_all_gather(*where)
    return choose(algorithm, library_gather(*where), around, levels)


def two_level_all_reduce(local, nodes, nbytes, fast_bandwidth, fast_latency, bandwidth, latency):
    """``RS_G(V) + AR_R(V / G) on each rail + AG_G(V)``, rings at both levels (s).

    Examples
    --------
    >>> float(round(two_level_all_reduce(8.0, 16.0, 1e9, 450e9, 1e-6, 50e9, 5e-6), 11))
    0.00874038889
    """
    return 2.0 * two_level_all_gather(local, nodes, nbytes, fast_bandwidth, fast_latency, bandwidth, latency)


def hierarchical_all_reduce(
    local,
    nodes,
    nbytes,
    fast_bandwidth,
    fast_latency,
    bandwidth,
    latency,
    algorithm=Collective.BEST,
    multicast=0.0,
    switched=0.0,
    multicast_share=1.0,
):
    """All-reduce over two levels, by default as a library runs it (s).

    Parameters
    ----------
    local, nodes : devices of the group in one fast domain, and domains.
    nbytes : the full tensor (byte).
    fast_bandwidth, fast_latency, bandwidth, latency : inside the domain, and between domains per device.
    algorithm : `Collective`; BEST is `library.library_all_reduce`.
    multicast, switched : 1 where the switch of the fast domain (NVLS) or of the network (SHARP) can reduce.
    multicast_share : share of the fast bandwidth that a switch which reduces gives.

    Notes
    -----
    The other algorithms add what happens inside the domain (ring or multicast) to what happens between domains on V / G
    (ring, double tree or switch tree); RING is rings through everything.
    """
    fast = (fast_bandwidth, fast_latency)
    inside = 2.0 * ring_all_gather(local, nbytes, *fast)
    pulled = multicast_all_reduce(local, nbytes, multicast_share * fast_bandwidth, fast_latency)
    pulled = np.where(local > 1, pulled, 0.0)
    shard = nbytes / local
    ring = ring_all_reduce(nodes, shard, bandwidth, latency)
    tree = np.where(nodes > 1, tree_all_reduce(nodes, shard, bandwidth, latency), 0.0)
    switch = np.where(nodes > 1, switch_all_reduce(shard, bandwidth, latency), 0.0)
    around = 2.0 * rail_ring_all_gather(local, nodes, nbytes, *fast, bandwidth, latency)
    best = library_all_reduce(
        local, nodes, nbytes, *fast, bandwidth, latency, multicast, switched, multicast_share=multicast_share
    )
    return choose(algorithm, best, around, inside + tree, inside + ring, pulled + switch)


def all_to_all_cross(local, nodes, nbytes, bandwidth, latency):
    """Part of an exchange that leaves the domain, V bytes per rank: ``(n - G) (alpha + V / (n W2))`` (s)."""
    ranks = local * nodes
    return (ranks - local) * (latency + nbytes / (ranks * bandwidth))


def all_to_all_intra(local, nodes, nbytes, bandwidth, latency):
    """Part of an exchange that stays inside, V bytes per rank: ``(G - 1) (alpha + V / (n W1))`` (s)."""
    ranks = local * nodes
    return (local - 1.0) * (latency + nbytes / (ranks * bandwidth))


#: of a network step, what each message of an exchange adds to the next: they are posted one after another, and wait
#: together; that of the protocol that waits least (5 of 14 us)
POSTED = PROTOCOLS[0].across


def hierarchical_all_to_all(local, nodes, nbytes, fast_bandwidth, fast_latency, bandwidth, latency, copies=1.0):
    """Exchange over two levels, both parts at once (s); of the network's step each message waits only to be posted.

    Parameters
    ----------
    nbytes : what one rank sends to all others and itself (byte).
    copies : share of the bytes for other domains that really crosses, below 1 when one copy per domain is
        sent and spread by its fast links.
    """
    return np.maximum(
        all_to_all_cross(local, nodes, nbytes * copies, bandwidth, latency * POSTED),
        all_to_all_intra(local, nodes, nbytes, fast_bandwidth, fast_latency),
    )


def torus_all_gather(nbytes, bandwidth, longest_side, hop_latency):
    """All-gather on a torus, rings in both directions of every axis: ``max(V / W, hops alpha)`` (s).

    Parameters
    ----------
    nbytes : the full tensor (byte).
    bandwidth : all links of a device that take part, one direction (byte/s).
    longest_side : devices along the longest axis; a message travels half of it.
    hop_latency : one link (s).
    """
    return np.maximum(nbytes / bandwidth, 0.5 * longest_side * hop_latency)


def torus_share(ranks, slice_size):
    """Share of a device's links that a group of n of the N devices of a torus uses: ``log n / log N``.

    A group lies along whole axes, and the links of the others are no use to it: 4 of 4 x 4 x 4 devices use a
    third, 16 two thirds.  1 for one rank.

    Parameters
    ----------
    ranks : n.
    slice_size : N > 1, devices of the torus, sides alike.

    Examples
    --------
    >>> float(np.round(torus_share(16.0, 64.0), 6))
    0.666667
    """
    share = np.log(np.maximum(ranks, 1.0)) / np.log(np.maximum(slice_size, 2.0))
    return np.where(ranks > 1, np.minimum(share, 1.0), 1.0)


def direct_share(ranks, peers):
    """Share of a device's links that lead to the others of a group, where each of p peers has its own: ``(n - 1) / p``.

    1 where a switch joins all (`peers` = 0), and for groups larger than the peers that are reached directly.

    Examples
    --------
    >>> [float(direct_share(n, 7.0)) for n in (2.0, 8.0, 16.0)], float(direct_share(2.0, 0.0))
    ([0.14285714285714285, 1.0, 1.0], 1.0)
    """
    share = np.minimum(np.maximum(ranks - 1.0, 1.0) / np.maximum(peers, 1.0), 1.0)
    return np.where(peers > 0, share, 1.0)


# --- hiding --------------------------------------------------------------------------------------------


def exposed_time(communication, window, overlap):
    """Communication that is not hidden: ``(1 - rho) min(C, W) + max(0, C - W)`` (s).

    Parameters
    ----------
    communication : C (s).
    window : W, computation that runs at the same time (s).
    overlap : rho, share of the smaller of both that is hidden.
    """
    hidden = np.minimum(communication, window)
    return communication - overlap * hidden


def contention_time(communication, window, overlap, slowdown):
    """Computation lost to communication that runs beside it: ``rho min(C, W) sigma / (1 - sigma)`` (s).

    Parameters
    ----------
    slowdown : sigma, share of the device that communication takes (Calculon: 0.15 NVLink, 0.02 InfiniBand).

    References
    ----------
    Isaev et al. 2023 (Calculon).
    """
    return overlap * np.minimum(communication, window) * (slowdown / (1.0 - slowdown))
