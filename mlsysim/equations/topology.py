"""Networks: what they are built of, how far apart nodes are, and how much gets across.

A *port* of a node is split into *lanes*; every link is one lane wide and carries w bytes per second in each
direction.  A *cut* counts the links between two equal halves of the nodes, one way.  Indirect networks
(trees, dragonflies, one tier of switches) have their nodes at the rim: hops count links, the two at the ends
included.  Direct networks (torus, ring, mesh) forward through the nodes.

Symbols: k radix of a switch, q oversubscription of the leaves, d ports down and u ports up of a leaf.

References
----------
Leiserson 1985, "Fat-trees" (IEEE Trans. Comp. C-34); Al-Fares et al. 2008, "A scalable, commodity data center
network architecture" (SIGCOMM); Kim et al. 2008, "Technology-driven, highly-scalable dragonfly topology"
(ISCA); Shpiner et al. 2017, "Dragonfly+" (HiPINEB); Dally and Towles 2003, "Principles and practices of
interconnection networks".
"""

import math
from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations.counting import ceil_div, divides, floor_div
from mlsysim.equations.selection import choose
from mlsysim.equations.stage import stage

#: More than these tiers of switches nobody builds.
MOST_TIERS = 4


class Network(NamedTuple):
    """One network.  Rates are in units of one link, per lane of a node's ports where said."""

    max_nodes: Any
    switches: Any
    host_links: Any  #: nodes to switches
    local_links: Any  #: inside a pod, a group, or between the nodes of a direct network
    global_links: Any  #: to the top tier, or between groups
    cut: Any  #: links between two halves, one way
    diameter: Any  #: hops
    mean_hops: Any
    lanes: Any  #: links per node that are really wired, all ports
    allreduce_share: Any  #: of those, what rings laid out well can use
    alltoall_lanes: Any  #: links a node keeps busy in uniform traffic, bounds other than the cut


def same_group_share(nodes, group):
    """Share of pairs of nodes that fall into the same group, groups filled one after the other (1).

    ``(m g (g - 1) + r (r - 1)) / (n (n - 1))`` with ``n = m g + r``; 1 for a single node.

    Examples
    --------
    >>> round(float(same_group_share(10.0, 4.0)), 6)  # 4 + 4 + 2
    0.288889
    """
    full = floor_div(nodes, group)
    rest = nodes - full * group
    pairs = full * group * (group - 1.0) + rest * (rest - 1.0)
    return np.where(nodes > 1, pairs / np.where(nodes > 1, nodes * (nodes - 1.0), 1.0), 1.0)


def leaf_ports(radix, oversubscription):
    """Ports of a leaf switch, down and up: ``u = floor(k / (1 + q))``, ``d = floor(q u)``.

    Examples
    --------
    >>> down, up = leaf_ports(64.0, 3.0)
    >>> float(down), float(up)
    (48.0, 16.0)
    """
    up = np.maximum(floor_div(radix, 1.0 + oversubscription), 1.0)
    return floor_div(oversubscription * up, 1.0), up


def _halves(nodes):
    """Nodes of the smaller half, at least one."""
    return np.maximum(floor_div(nodes, 2.0), 1.0)


def folded_clos(nodes, radix, oversubscription, rails, lanes, tiers, rail_optimized):
    """Fat tree, leaf-spine or rail-optimised network of k-port switches.

    With T tiers and half = floor(k / 2): ``d k half^(T - 2)`` endpoints, ``U = leaves u`` links between any
    two tiers, ``U / half`` switches per middle tier, ``U / k`` on top; full and not oversubscribed at T = 3:
    k^3/4 endpoints, 5 k^2/4 switches, 3 k^3/4 links, cut k^3/8.  The cut is ``endpoints / (2 q)``.

    Parameters
    ----------
    nodes : n.
    radix : k.
    oversubscription : q, of the leaves.
    rails : ports of a node.
    lanes : links per port.
    tiers : most tiers allowed; fewer are built when they suffice.
    rail_optimized : 1 when port i of all nodes meets at the same leaves, so that d nodes (not d / rails)
        share
        them and rings of one rail cross each leaf once.
    """
    down, up = leaf_ports(radix, oversubscription)
    half = np.maximum(floor_div(radix, 2.0), 1.0)
    per_node = rails * lanes
    endpoints = nodes * per_node
    capacity = [radix, down * radix]
    for _ in range(2, MOST_TIERS):
        capacity.append(capacity[-1] * half)
    needed = 1.0 + sum(np.where(endpoints > held, 1.0, 0.0) for held in capacity[:-1])
    built = np.minimum(needed, tiers)
    several = built > 1
    leaves = np.where(rail_optimized > 0, rails * ceil_div(nodes * lanes, down), ceil_div(endpoints, down))
    leaves = np.where(several, leaves, 1.0)
    uplinks = np.where(several, leaves * up, 0.0)
    middle = np.maximum(built - 2.0, 0.0)
    switches = leaves + middle * ceil_div(uplinks, half) + ceil_div(uplinks, radix)

    near = np.where(rail_optimized > 0, floor_div(down, lanes), floor_div(down, per_node))
    near = np.where(several, np.maximum(near, 1.0), nodes)
    pod = np.where(built > 2, np.maximum(floor_div(down * half, per_node), near), nodes)
    block = np.where(built > 3, np.maximum(floor_div(down * half * half, per_node), pod), nodes)
    apart = 1.0 - same_group_share(nodes, near)
    hops = 2.0 * (1.0 + apart + (1.0 - same_group_share(nodes, pod)) + (1.0 - same_group_share(nodes, block)))
    diameter = 2.0 + sum(np.where(nodes > group, 2.0, 0.0) for group in (near, pod, block))

    share = np.where(several, up / down, 1.0)
    flows = np.where(rail_optimized > 0, lanes, per_node)
    uniform = np.where(apart > 0, np.minimum(share / np.where(apart > 0, apart, 1.0), 1.0), 1.0)
    return Network(
        max_nodes=floor_div(choose(tiers - 1.0, *capacity), per_node),
        switches=switches,
        host_links=endpoints,
        local_links=middle * uplinks,
        global_links=uplinks,
        cut=floor_div(endpoints, 2.0) * share,
        diameter=np.where(nodes > 1, diameter, 0.0),
        mean_hops=np.where(nodes > 1, hops, 0.0),
        lanes=per_node,
        allreduce_share=np.where(several, np.minimum(up / flows, 1.0), 1.0),
        alltoall_lanes=per_node * uniform,
    )


def dragonfly(nodes, rails, lanes, hosts, routers, global_ports):
    """Groups of fully connected routers, every two groups linked.

    ``g = ceil(n / (a p))`` groups of a routers with p endpoints and h global links each, at most a h + 1;
    ``a (a - 1) / 2`` local links a group, ``floor(a h / (g - 1))`` global ones per pair of groups; the cut is
    ``floor(g/2) ceil(g/2)`` times that.  A single group has as many routers as its endpoints need, r, and
    their a - 1 local ports make ``(a - 1) / (r - 1)`` links of every two, spread evenly.

    Parameters
    ----------
    nodes, rails, lanes : see `folded_clos`.
    hosts, routers, global_ports : p, a, h.

    Notes
    -----
    Minimal routes: links to the router, 0 to 2 local and 1 global hop.  With l links between two groups,
    ending at distinct routers taken at random, ``(1 - l/a^2) + (1 - l/a)^2`` local hops on average; exact (2
    - 2/a) for l = 1.

    References
    ----------
    Kim et al. 2008; balanced at a = 2 p = 2 h.
    """
    per_node = rails * lanes
    endpoints = nodes * per_node
    group_ports = hosts * routers
    groups = ceil_div(endpoints, group_ports)
    several = groups > 1
    links = np.where(several, floor_div(routers * global_ports, np.where(several, groups - 1.0, 1.0)), 0.0)
    used = np.where(several, routers, ceil_div(endpoints, hosts))
    others = np.maximum(used - 1.0, 1.0)
    ports = np.where(several, others, np.maximum(routers - 1.0, others))
    inside = floor_div(ports * floor_div(used, 2.0) * ceil_div(used, 2.0), others)
    between = links * floor_div(groups, 2.0) * ceil_div(groups, 2.0)
    cut = np.where(several, between, np.where(used > 1, inside, endpoints))

    reached = np.minimum(links / routers, 1.0)
    detour = (1.0 - reached / routers) + (1.0 - reached) * (1.0 - reached)
    with_router = same_group_share(nodes, np.maximum(floor_div(hosts, per_node), 1.0))
    with_group = np.where(several, same_group_share(nodes, np.maximum(floor_div(group_ports, per_node), 1.0)), 1.0)
    away = 1.0 - with_group
    hops = 2.0 * with_router + 3.0 * (with_group - with_router) + (3.0 + detour) * away
    local = (with_group - with_router) + detour * away
    local_bound = np.where(local > 0, ports / (hosts * np.where(local > 0, local, 1.0)), 1.0)
    global_bound = np.where(away > 0, links * (groups - 1.0) / (group_ports * np.where(away > 0, away, 1.0)), 1.0)
    return Network(
        max_nodes=floor_div(group_ports * (routers * global_ports + 1.0), per_node),
        switches=used * groups,
        host_links=endpoints,
        local_links=floor_div(ports * groups * used * (used - 1.0), 2.0 * others),
        global_links=0.5 * links * groups * (groups - 1.0),
        cut=np.minimum(cut, floor_div(endpoints, 2.0)),
        diameter=np.where(nodes > 1, np.where(several, 5.0, np.where(used > 1, 3.0, 2.0)), 0.0),
        mean_hops=np.where(nodes > 1, hops, 0.0),
        lanes=per_node,
        allreduce_share=1.0,
        alltoall_lanes=per_node * np.minimum(np.minimum(local_bound, global_bound), 1.0),
    )


def dragonfly_plus(nodes, rails, lanes, hosts, leaves, spines, global_ports):
    """Groups that are leaf-spine networks, the spines of every two groups linked.

    ``a`` leaves of p endpoints and s spines of h global links a group: ``a s`` local links, at most s h + 1
    groups.  A single group has the leaves that its endpoints need, r, and the ``ceil(r s / a)`` spines whose a ports
    take their links; a single leaf has no spine.

    Parameters
    ----------
    nodes, rails, lanes : see `folded_clos`.
    hosts, leaves, spines, global_ports : p, a, s, h.

    References
    ----------
    Shpiner et al. 2017.
    """
    per_node = rails * lanes
    endpoints = nodes * per_node
    group_ports = hosts * leaves
    groups = ceil_div(endpoints, group_ports)
    several = groups > 1
    links = np.where(several, floor_div(spines * global_ports, np.where(several, groups - 1.0, 1.0)), 0.0)
    share = np.minimum(spines / hosts, 1.0)
    between = links * floor_div(groups, 2.0) * ceil_div(groups, 2.0)
    half = floor_div(endpoints, 2.0)
    single = endpoints <= hosts
    built = np.where(several, leaves, ceil_div(endpoints, hosts))
    uplinks = np.where(single, 0.0, built * spines)
    with_leaf = same_group_share(nodes, np.maximum(floor_div(hosts, per_node), 1.0))
    with_group = np.where(several, same_group_share(nodes, np.maximum(floor_div(group_ports, per_node), 1.0)), 1.0)
    away = 1.0 - with_group
    apart = 1.0 - with_leaf
    leaf_bound = np.where(apart > 0, share / np.where(apart > 0, apart, 1.0), 1.0)
    global_bound = np.where(away > 0, links * (groups - 1.0) / (group_ports * np.where(away > 0, away, 1.0)), 1.0)
    return Network(
        max_nodes=floor_div(group_ports * (spines * global_ports + 1.0), per_node),
        switches=groups * (built + ceil_div(uplinks, leaves)),
        host_links=endpoints,
        local_links=groups * uplinks,
        global_links=0.5 * links * groups * (groups - 1.0),
        cut=np.where(several, np.minimum(between, half * share), np.where(single, half, half * share)),
        diameter=np.where(nodes > 1, np.where(several, 5.0, np.where(single, 2.0, 4.0)), 0.0),
        mean_hops=np.where(nodes > 1, 2.0 * with_leaf + 4.0 * (with_group - with_leaf) + 5.0 * (1.0 - with_group), 0.0),
        lanes=per_node,
        allreduce_share=np.minimum(spines / per_node, 1.0),
        alltoall_lanes=per_node * np.minimum(np.minimum(leaf_bound, global_bound), 1.0),
    )


def torus(sides, rails):
    """Torus of any number of sides (a ring is one side); a side of 2 has one link, no second one around.

    ``2 N / max n_i`` links across the cut (N / 2 if the longest side is 2), diameter ``sum floor(n_i / 2)``,
    mean hops ``N / (N - 1) sum_i (n_i / 4 if n_i is even, (n_i^2 - 1) / (4 n_i) if odd)``.

    Parameters
    ----------
    sides : places along each dimension; 1 for none.  A place without a node passes on what comes by.
    rails : parallel networks.

    References
    ----------
    Dally and Towles 2003, chapter 5.
    """
    nodes: Any = 1.0
    longest: Any = 1.0
    for side in sides:
        nodes = nodes * side
        longest = np.maximum(longest, side)
    wired = sum(np.where(side > 2, 2.0, np.where(side > 1, 1.0, 0.0)) for side in sides)
    around = np.where(longest > 2, 2.0, np.where(longest > 1, 1.0, 0.0))
    hops = sum(np.where(divides(2.0, side), 0.25 * side, 0.25 * (side - 1.0) * (side + 1.0) / side) for side in sides)
    several = nodes > 1
    return Network(
        max_nodes=nodes,
        switches=0.0,
        host_links=0.0,
        local_links=0.5 * rails * nodes * wired,
        global_links=0.0,
        cut=rails * around * (nodes / longest),
        diameter=sum(floor_div(side, 2.0) for side in sides),
        mean_hops=np.where(several, hops * nodes / np.where(several, nodes - 1.0, 1.0), 0.0),
        lanes=rails * wired,
        allreduce_share=1.0,
        alltoall_lanes=rails * wired,
    )


def full_mesh(nodes, rails, lanes):
    """A link between every two nodes: ``n (n - 1) / 2`` links, cut ``floor(n/2) ceil(n/2)``, one hop.

    Parameters
    ----------
    nodes, rails : see `folded_clos`.
    lanes : links a port has, at least n - 1; those without a partner stay idle.
    """
    several = np.where(nodes > 1, 1.0, 0.0)
    return Network(
        max_nodes=lanes + 1.0,
        switches=0.0,
        host_links=0.0,
        local_links=0.5 * rails * nodes * (nodes - 1.0),
        global_links=0.0,
        cut=rails * floor_div(nodes, 2.0) * ceil_div(nodes, 2.0),
        diameter=several,
        mean_hops=several,
        lanes=rails * (nodes - 1.0),
        allreduce_share=1.0,
        alltoall_lanes=rails * (nodes - 1.0),
    )


def switched(nodes, radix, rails, lanes):
    """One tier of switches, each of which sees every node: ``n lanes / k`` of them, any pair two links apart.

    Parameters
    ----------
    nodes, radix, rails, lanes : see `folded_clos`; at most k nodes.

    Examples
    --------
    >>> rack = switched(72.0, 72.0, 1.0, 18.0)  # GB200 NVL72
    >>> float(rack.switches), float(rack.cut)
    (18.0, 648.0)
    """
    per_node = rails * lanes
    apart = np.where(nodes > 1, 2.0, 0.0)
    return Network(
        max_nodes=radix,
        switches=ceil_div(nodes * per_node, radix),
        host_links=nodes * per_node,
        local_links=0.0,
        global_links=0.0,
        cut=floor_div(nodes, 2.0) * per_node,
        diameter=apart,
        mean_hops=apart,
        lanes=per_node,
        allreduce_share=1.0,
        alltoall_lanes=per_node,
    )


@stage(outputs=3)
def compact_sides(nodes, dimensions):
    """Whole sides of the smallest torus of 2 or 3 dimensions that holds `nodes` and is compact, longest first.

    Its longest side is at most twice that of a cube of as many places (of a square in 2 dimensions), as that of any power
    of two can be: 1,009 nodes, a prime, get 13 x 13 x 6 places, five of them spare, and not a ring.  Up to three nodes
    get a ring.  Of the tori with as many places the one whose sides are most equal is taken.  More than a million nodes
    that make no compact torus get the next box of nearly equal sides.

    Examples
    --------
    >>> [tuple(float(s) for s in compact_sides(n, 3.0)) for n in (64.0, 1009.0, 3.0)]
    [(4.0, 4.0, 4.0), (13.0, 13.0, 6.0), (3.0, 1.0, 1.0)]
    """
    n = int(nodes)
    flat = dimensions < 3.0
    best_x, best_y, best_z = float(n), 1.0, 1.0
    searching = True
    while searching:
        best_x, best_y, best_z = float(n), 1.0, 1.0
        z = 1
        while z * z * z <= n and (z == 1 or not flat):
            if n % z == 0:
                rest = n // z
                y = int(math.sqrt(float(rest)) + 0.5)
                while y * y > rest:
                    y -= 1
                while rest % y:
                    y -= 1
                x = rest // y
                if y >= z and float(x) < best_x:
                    best_x, best_y, best_z = float(x), float(y), float(z)
            z += 1
        longest = best_x * best_x if flat else best_x * best_x * best_x
        searching = n > 3 and longest > (4.0 if flat else 8.0) * float(n)
        if searching and n > 1_000_000:
            x = int(math.sqrt(float(n)) if flat else float(n) ** (1.0 / 3.0))
            while (x * x if flat else x * x * x) < n:
                x += 1
            y = 1 if flat else int(math.sqrt(float(n) / float(x)))
            while not flat and x * y * y < n:
                y += 1
            rest = (n + x * y - 1) // (x * y)
            best_x, best_y, best_z = float(x), float(max(y, rest)), float(min(y, rest))
            searching = False
        n += 1
    return best_x, best_y, best_z


# --- what traffic sees ---------------------------------------------------------------------------------


def bisection_bandwidth(network: Network, link_bandwidth):
    """Bytes per second between two halves, one way: ``cut w`` (byte/s)."""
    return network.cut * link_bandwidth


def injection_bandwidth(network: Network, link_bandwidth):
    """Bytes per second of one node into the network (byte/s)."""
    return network.lanes * link_bandwidth


def halves_bandwidth(network: Network, nodes, link_bandwidth):
    """Bytes per second of a node when one half talks to the other: ``cut w / floor(n / 2)``, at most all."""
    across = network.cut * link_bandwidth / _halves(nodes)
    injection = injection_bandwidth(network, link_bandwidth)
    return np.where(nodes > 1, np.minimum(across, injection), injection)


def allreduce_bandwidth(network: Network, link_bandwidth):
    """Bus bandwidth of a ring all-reduce, rings laid out along the network (byte/s per node).

    A ring crosses every leaf, group and cut once each way, so oversubscription does not matter until there
    are fewer uplinks than rings; all links of a torus carry rings.
    """
    return injection_bandwidth(network, link_bandwidth) * network.allreduce_share


def alltoall_bandwidth(network: Network, nodes, link_bandwidth):
    """Bytes per second a node sends in an all-to-all: ``4 cut w / n``, at most what leaves and groups let
    out.

    Half of a node's data crosses the cut, so n V / 4 bytes cross it each way when every node sends V.
    """
    across = 4.0 * network.cut / nodes
    lanes = np.minimum(network.alltoall_lanes, network.lanes)
    return link_bandwidth * np.where(nodes > 1, np.minimum(across, lanes), network.lanes)


def indirect_latency(hops, adapter_latency, switch_latency):
    """Time of a small message over `hops` links (s): two links and a switch cost `adapter_latency` (s), each
    further link a `switch_latency` (s) more."""
    return adapter_latency + np.maximum(hops - 2.0, 0.0) * switch_latency


def direct_latency(hops, hop_latency):
    """Time of a small message over `hops` links between neighbours (s): ``hops x hop latency``."""
    return hops * hop_latency
