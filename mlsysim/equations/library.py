"""Collectives as communication libraries run them: the fastest of a few algorithms and protocols.

A library moves a message by rings, by trees or through switches that reduce, and with one of three *protocols* that trade
latency for bandwidth: words that carry a flag of their own (half of a word is payload, nobody waits for a fence), lines
of 128 bytes of which 120 are payload, and plain copies that a fence ends.  It takes what its table says is fastest; here
that is the minimum over all of them, so a faster link or a shorter step never slows a collective.

V is the full tensor (byte), G the devices of a node (or rack: of a fast domain) that take part, R the domains, n = G R, W1
what a device sends inside its domain, W2 what it sends into the network (byte/s, one direction), a and x one step of a
plain ring inside and between domains (s).  What every call costs is not in it (`Assumptions.collective_start`).

References
----------
NCCL's tuning tables (NVIDIA/nccl, src/graph/tuning.cc, versions 2.18 to 2.27): steps of rings, trees and reducing switches
for each protocol, their shares of the bandwidth, the n - 1 steps of a ring of which R - 1 cross.  Hu et al. 2025
(arXiv:2507.04786), "Demystifying NCCL", for the protocols.  Sanders, Speck and Traeff 2009 for pipelined trees.
"""

import functools
from typing import NamedTuple

import numpy as np

from mlsysim.equations.counting import log2_ceil


class Protocol(NamedTuple):
    """What a protocol makes of a step and of a link (shares of a plain copy's)."""

    inside: float  #: step inside a domain
    across: float  #: step between domains
    payload: float  #: bandwidth reached
    crossing: float  #: bandwidth reached at most where a ring or tree joins domains


#: NCCL's tables: NVLink 0.6, 1.9 and 3.4 us, network 5.0, 8.5 and 14 us; bandwidth 1/4 (versions up to 2.21; later ones have
#: 1/2, and caps that lie below 0.4 of a Hopper node's links), 0.92 and all; the caps over two nodes are 45 GB/s with the 400 GB/s
#: of a Hopper node's adapters (`llMaxBws`; Ampere 22.5 with 200, Blackwell 90 with 800)
PROTOCOLS = (
    Protocol(0.6 / 3.4, 5.0 / 14.0, 0.25, 45.0 / 400.0),
    Protocol(1.9 / 3.4, 8.5 / 14.0, 0.92, 0.92),
    Protocol(1.0, 1.0, 1.0, 1.0),
)
#: the least step of a ring that joins domains, for which the host posts messages, over a plain one: 1 us over 3.4 us
#: (NCCL's `getNetOverhead`)
POSTING = 1.0 / 3.4
#: share of a ring's bandwidth that a tree's links reach (NCCL's tables)
TREE_SHARE = 0.92
#: the step of a switch that reduces over that of a ring: 25 us over 3.4 us (NCCL's tables, NVLS)
MULTICAST_STEPS = 25.0 / 3.4


def fastest(time_by):
    """The least time over the protocols (s), each of which `time_by` is asked for."""
    return functools.reduce(np.minimum, map(time_by, PROTOCOLS))


def pipelined(latency, transfer, payload=1.0):
    """A message in pieces through stages that each wait for a whole piece: ``(sqrt(A) + sqrt(B))^2`` (s).

    With D stages, pieces of c bytes and a step alpha: ``(D + V / c - 1) (alpha + c / W)``, least at ``c = sqrt(V W alpha / D)``
    (V much larger than c).  Where filling the pipeline takes as long as the bytes, the message takes four times either.

    Parameters
    ----------
    latency : A, all steps with no bytes (s).
    transfer : B, all bytes with no steps (s).
    payload : share of the bandwidth in B that the bytes have (`Protocol`).

    References
    ----------
    Sanders, Speck and Traeff 2009, section 2.

    Examples
    --------
    >>> float(pipelined(1.0, 4.0))
    9.0
    """
    root = np.sqrt(latency) + np.sqrt(transfer) * np.sqrt(1.0 / payload)
    return root * root


def ring_rate(local, nodes, fast_bandwidth, bandwidth):
    """What a ring through all devices, once for every rail, carries (byte/s): ``min(W1, G W2)``; G = 1: W2.

    The stages overlap: while a piece crosses the network, another is on the fast links.
    """
    rails = local * bandwidth
    return np.where(nodes > 1, np.where(local > 1, np.minimum(fast_bandwidth, rails), bandwidth), fast_bandwidth)


def library_gather(local, nodes, nbytes, fast_bandwidth, fast_latency, bandwidth, latency):
    """All-gather or reduce-scatter: a ring, by the protocol that is fastest (s); 0 for one rank.

    ``(n - R) a' + (R - 1) x' + (n - 1)/n V / (s W)``, W = `ring_rate`; between domains a' is no shorter than `POSTING`.

    Parameters
    ----------
    local, nodes : G, R.
    nbytes : V (byte).
    fast_bandwidth, fast_latency, bandwidth, latency : W1, a, W2, x.

    Examples
    --------
    Eight devices and 1 GB, 376 GB/s: 2.33 ms of bytes, seven plain steps

    >>> float(round(library_gather(8.0, 1.0, 1e9, 376e9, 3.4e-6, 50e9, 14e-6), 8))
    0.00235093
    """
    ranks = local * nodes
    transfer = (ranks - 1.0) / ranks * (nbytes / ring_rate(local, nodes, fast_bandwidth, bandwidth))

    def by(protocol):
        own = np.where(nodes > 1, np.maximum(protocol.inside, POSTING), protocol.inside)
        inside = (ranks - nodes) * (own * fast_latency)
        across = np.maximum(nodes - 1.0, 0.0) * (protocol.across * latency)
        reached = np.where(nodes > 1, protocol.crossing, protocol.payload)
        return inside + across + transfer * (1.0 / reached)

    return fastest(by)


def library_tree(local, nodes, nbytes, fast_bandwidth, fast_latency, bandwidth, latency):
    """All-reduce by two trees between domains, chains inside them: the fastest protocol (s); R > 1.

    ``pipelined(2 (G - 1) a' + 2 ceil(log2 R) x', 2 V / (s W))``: an inner node of a tree sends what it sums up and what it
    passes down.
    """
    transfer = 2.0 * nbytes / (TREE_SHARE * ring_rate(local, nodes, fast_bandwidth, bandwidth))

    def by(protocol):
        inside = 2.0 * (local - 1.0) * (protocol.inside * fast_latency)
        across = 2.0 * log2_ceil(nodes) * (protocol.across * latency)
        return pipelined(inside + across, transfer, protocol.crossing)

    return fastest(by)


def library_multicast(local, nodes, nbytes, fast_bandwidth, fast_latency, bandwidth, latency, share, switched=0.0):
    """All-reduce whose sums are made in the switches of each domain, by trees (or switches) between domains (s); G > 1.

    Inside, each port carries the tensor and one shard, ``(G + 1)/G V / (share W1)``.  Between domains, a port sends its
    shard twice, up and down a tree, ``2 V / (G W2)``; once where there are two domains, each of which is the root for half,
    or where the network reduces.

    Parameters
    ----------
    share : of W1 that a switch which reduces gives.
    switched : 1 where the network reduces: one step up, one down.
    """
    once = (nodes <= 2) | (switched > 0)
    rails = local * bandwidth
    across = np.where(nodes > 1, np.where(once, nbytes / rails, 2.0 * nbytes / rails), 0.0)
    inside = (local + 1.0) / local * (nbytes / (share * fast_bandwidth))
    levels = np.where(switched > 0, np.minimum(log2_ceil(nodes), 1.0), log2_ceil(nodes))
    return pipelined(MULTICAST_STEPS * fast_latency + 2.0 * levels * latency, np.maximum(inside, across))


def library_all_reduce(
    local,
    nodes,
    nbytes,
    fast_bandwidth,
    fast_latency,
    bandwidth,
    latency,
    multicast=0.0,
    switched=0.0,
    multicast_share=1.0,
):
    """All-reduce: the fastest of ring, tree and reducing switches (s); 0 for one rank.

    Parameters
    ----------
    local, nodes, nbytes, fast_bandwidth, fast_latency, bandwidth, latency : as in `library_gather`.
    multicast, switched : 1 where the switch of the domain, and that of the network, can reduce.
    multicast_share : share of W1 that a switch which reduces gives.
    """
    where = (local, nodes, nbytes, fast_bandwidth, fast_latency, bandwidth, latency)
    ring = 2.0 * library_gather(*where)
    best = np.where(nodes > 1, np.minimum(ring, library_tree(*where)), ring)
    pulled = library_multicast(*where, multicast_share, switched)
    return np.where((multicast > 0) & (local > 1), np.minimum(best, pulled), best)


def library_broadcast(local, nodes, nbytes, fast_bandwidth, fast_latency, bandwidth, latency):
    """Broadcast, or the sum of all at one device: a pipelined ring through all devices (s); 0 for one rank.

    ``pipelined((n - R) a' + (R - 1) x', V / (s W))``.

    Notes
    -----
    NCCL has rings only for both.  Every device but the last passes on the whole tensor.
    """
    ranks = local * nodes
    transfer = nbytes / ring_rate(local, nodes, fast_bandwidth, bandwidth)

    def by(protocol):
        inside = (ranks - nodes) * (protocol.inside * fast_latency)
        across = np.maximum(nodes - 1.0, 0.0) * (protocol.across * latency)
        return pipelined(inside + across, transfer, protocol.payload)

    return np.where(ranks > 1, fastest(by), 0.0)


def half_size(latency, rate):
    """Message at which steps and bytes take as long, so that half of the rate is reached: ``A W`` (byte).

    Parameters
    ----------
    latency : A, of the collective with no bytes (s).
    rate : bytes of the tensor per second when it is large (byte/s).

    References
    ----------
    Hockney 1994, "The communication challenge for MPP" (n one half).
    """
    return latency * rate
