"""Wall 10, locality: what a network is built of, what gets across it, and how long a collective across it takes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import topology as networks
from mlsysim.equations.counting import ceil_div, floor_div
from mlsysim.equations.occupancy import fits_fleet
from mlsysim.equations.one_collective import OneCollective, one_collective
from mlsysim.equations.selection import choose, first_failing
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Collective, CollectiveKind, Limit
from mlsysim.schema.codes import Topology as Shape
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Fleet


class Topology(NamedTuple):
    """Parts, distances and rates of a network."""

    effective_bw: Real
    bisection_bw: Real
    injection_bw: Real
    allreduce_bw: Real
    alltoall_bw: Real
    diameter: Real
    mean_hops: Real
    path_latency: Real
    worst_path_latency: Real
    n_switches: Real
    n_links: Real
    host_links: Real
    local_links: Real
    global_links: Real
    cut_links: Real
    n_transceivers: Real
    max_nodes: Real
    network_cost: Real | None
    network_power: Real | None
    collective_time: Real | None
    collective_latency: Real | None
    bus_bandwidth: Real | None
    peak_bus_bandwidth: Real | None
    algorithm_bandwidth: Real | None
    half_size: Real | None
    network_ridge_point: Real | None
    break_even_intensity: Real | None
    network_intensity: Real | None
    flops_time: Real | None
    exposed_time: Real | None
    feasible: Flag
    limit: Code
    bottleneck: Code | None


@kernel
def topology(
    fleet: Fleet,
    assume: Assumptions,
    hardware: Accelerator | None = None,
    topology=Shape.FAT_TREE,
    n_nodes=None,
    radix=64.0,
    tiers=3.0,
    rails=None,
    links_per_port=None,
    side_x=None,
    side_y=None,
    side_z=None,
    dimensions=3.0,
    hosts_per_router=None,
    routers_per_group=None,
    global_links_per_router=None,
    copper_fraction=0.0,
    switch_price=None,
    link_price=None,
    switch_power=None,
    transceiver_power=None,
    message_size=None,
    n_accelerators=None,
    collective_kind=CollectiveKind.ALL_REDUCE,
    rank_stride=1,
    collective=Collective.BEST,
    flops_beside=None,
) -> Topology:
    """Switches, links, distances and bandwidths of a network of nodes.

    ``bisection_bw = cut w`` and ``effective_bw = cut w / floor(n / 2)``, w the bandwidth of a link, one way.

    Parameters
    ----------
    fleet : Fleet
        `ports_per_node`, `port_bandwidth`, `port_latency`, `inter_efficiency` of one port and `oversubscription` q: ports down
        over ports up of a leaf, endpoints over global links of a dragonfly's router.  A torus, a ring and a mesh have no
        leaves and `switched` has one tier: q means nothing there.
    assume : Assumptions
        `switch_latency`.
    topology : Topology
        `fat_tree` (default; as many tiers as needed), `leaf_spine`, `rail_optimized`, `dragonfly`,
        `dragonfly_plus`, `torus`, `ring`, `full_mesh`, `switched` (scale-up domain).
    hardware : Accelerator, optional
        The devices of a collective; default those of the `fleet`.
    n_nodes : 1, optional
        Default the product of the sides, or the nodes that `n_accelerators` fill.
    radix : 1
        Ports of a switch (64: a 400 Gb/s switch of 2022).
    tiers : 1
        Most tiers of switches a tree may have, 1 to 4; fewer are built when they suffice.
    rails : 1, optional
        Ports of a node that are used, each with the fleet's `port_bandwidth`; default all, `ports_per_node` of the fleet.
    links_per_port : 1, optional
        Links a port is split into; default two per dimension of a torus, two in a ring, n - 1 in a mesh,
        else 1.
    side_x, side_y, side_z : 1, optional
        Sides of a torus; default those of the smallest compact one that holds `n_nodes` (`max_nodes` says how many places it
        has; 1,009 nodes get 13 x 13 x 6).
    dimensions : 1
        Of the torus when no sides are given, 2 or 3.
    hosts_per_router, routers_per_group, global_links_per_router : 1, optional
        Of a dragonfly; default balanced for the radix (h = (k + 1) / (3 + q), p = q h, a = 2 h).  Of a dragonfly+:
        endpoints a leaf, leaves a group, global links a spine; default half of the ports.
    copper_fraction : 1
        Share of links without transceivers.
    switch_price, link_price : USD, optional
        One switch; one link with its transceivers.
    switch_power, transceiver_power : W, optional
    message_size : byte, optional
        Asks for one collective across this network: the full tensor, what each device has before a reduction and after a
        gather; of an all-to-all what each sends, its own share included.
    n_accelerators, rank_stride : 1
        Devices of the collective (default every one of the nodes), and how many devices apart they are: 1 fills a node
        before it goes to the next, 8 takes one device of each node of eight.
    collective_kind : CollectiveKind
        `all_reduce` (default), `all_gather`, `reduce_scatter`, `all_to_all`, `broadcast`, `send` (the first of the group to
        its last).
    collective : Collective
        Algorithm of reductions and gathers; default what a library takes.
    flops_beside : FLOP, optional
        Operations of one device that run beside the collective, for `exposed_time`.

    Returns
    -------
    Topology
        Bandwidths per node and direction.  `effective_bw`: when one half talks to the other; `alltoall_bw`:
        sent by a node in uniform traffic; `allreduce_bw`: bus bandwidth of rings laid out along the network.
        `path_latency`: mean over pairs.  `cut_links`: physical links between two halves, one way.
        Of a collective: `bus_bandwidth` as nccl-tests defines it.  `half_size`: below it the steps bind, above it the bytes.
        `network_ridge_point`: operations per byte of a very large message that a device does at peak while it goes round;
        with fewer the network binds, with more the computation.  `break_even_intensity`: the same for a message of this size,
        its steps counted.  `bottleneck`: `compute` where the operations beside it last longer, else `overhead` (steps),
        `link` (inside a node) or `network`.

    Notes
    -----
    A collective runs alone, by the equations of training and serving (`mlsysim.equations.library`): the fastest of ring, trees
    and reducing switches over the protocols of NCCL; other libraries are taken as alike, with the latency of their links.
    ``switch_reduces=0`` leaves the switches of a node out, ``switched_reduction=1`` lets the network reduce too (SHARP).

    Counts are those of the smallest network of its kind that holds the nodes, ports of the top tier filled; a single group
    of a dragonfly doubles its local links where it has fewer routers than they reach.
    Rates assume balanced routing; `inter_efficiency` stands for what hashing and protocol lose.

    References
    ----------
    Leiserson 1985; Al-Fares et al. 2008 (SIGCOMM); Kim et al. 2008 (ISCA); Shpiner et al. 2017 (HiPINEB);
    Dally and Towles 2003; Williams et al. 2009 and Cardwell and Song 2019 for the roofline of a network.
    """
    given = [side for side in (side_x, side_y, side_z) if side is not None]
    product: Any = None
    for side in given:
        product = side if product is None else product * side
    if n_nodes is None:
        if product is None and n_accelerators is None:
            raise TypeError("give n_nodes, the sides of the torus, or n_accelerators")
        filled = (
            None
            if n_accelerators is None
            else ceil_div(_span(n_accelerators, rank_stride), fleet.accelerators_per_node)
        )
        n_nodes = filled if product is None else product
    if product is not None:
        sides = given
        wired = 2.0 * len(given)
    else:
        sides = list(networks.compact_sides(n_nodes, dimensions))
        wired = 2.0 * dimensions
    lanes = 1.0 if links_per_port is None else links_per_port
    rails = fleet.ports_per_node if rails is None else rails

    made = (hosts_per_router, routers_per_group, global_links_per_router)
    net, port_lanes, cabled = _built(
        fleet, topology, n_nodes, sides, wired, rails, lanes, links_per_port, radix, tiers, *made
    )
    link = fleet.port_bandwidth * fleet.inter_efficiency / port_lanes

    direct = (topology == Shape.TORUS) | (topology == Shape.RING) | (topology == Shape.FULL_MESH)

    def latency(hops) -> Any:
        through_switches = networks.indirect_latency(hops, fleet.port_latency, assume.switch_latency)
        return np.where(direct, networks.direct_latency(hops, fleet.port_latency), through_switches)

    links = net.host_links + net.local_links + net.global_links
    transceivers = 2.0 * links * (1.0 - copper_fraction)
    cost = power = None
    if switch_price is not None and link_price is not None:
        cost = net.switches * switch_price + links * link_price
    if switch_power is not None and transceiver_power is not None:
        power = net.switches * switch_power + transceivers * transceiver_power

    fits = n_nodes <= net.max_nodes
    if product is not None:
        fits = fits & ((topology != Shape.TORUS) | (product == n_nodes))
    fits = fits & cabled
    rates = (networks.allreduce_bandwidth(net, link), networks.alltoall_bandwidth(net, n_nodes, link))
    one: dict[str, Any] = dict.fromkeys(OneCollective._fields)
    capable: Any = True
    if message_size is not None:
        group = (message_size, n_accelerators, collective_kind, rank_stride, collective, flops_beside)
        one, joined, capable = _across(hardware, fleet, assume, n_nodes, rates, *group)
        fits = fits & joined
    limit = first_failing((fits, Limit.SHAPE), (capable, Limit.CAPABILITY))
    return Topology(
        effective_bw=networks.halves_bandwidth(net, n_nodes, link),
        bisection_bw=networks.bisection_bandwidth(net, link),
        injection_bw=networks.injection_bandwidth(net, link),
        allreduce_bw=rates[0],
        alltoall_bw=rates[1],
        diameter=net.diameter,
        mean_hops=net.mean_hops,
        path_latency=latency(net.mean_hops),
        worst_path_latency=latency(net.diameter),
        n_switches=net.switches,
        n_links=links,
        host_links=net.host_links,
        local_links=net.local_links,
        global_links=net.global_links,
        cut_links=net.cut,
        n_transceivers=transceivers,
        max_nodes=net.max_nodes,
        network_cost=cost,
        network_power=power,
        feasible=limit == 0,
        limit=limit,
        **one,
    )


def _across(
    hardware,
    fleet,
    assume,
    n_nodes,
    rates,
    message_size,
    n_accelerators,
    collective_kind,
    rank_stride,
    collective,
    flops_beside,
) -> tuple[dict[str, Any], Any, Any]:
    """A collective of devices of the nodes; whether the network joins that many, and whether they compute in the format."""
    if hardware is None:
        raise TypeError("give hardware (or a fleet): whose devices exchange the message")
    places = n_nodes * fleet.accelerators_per_node
    group = ceil_div(places, rank_stride) if n_accelerators is None else n_accelerators
    found, joined = one_collective(
        hardware,
        fleet,
        assume,
        message_size=message_size,
        n_accelerators=group,
        collective_kind=collective_kind,
        rank_stride=rank_stride,
        collective=collective,
        flops_beside=flops_beside,
        allreduce_bw=rates[0],
        alltoall_bw=rates[1],
    )
    span = _span(group, rank_stride)
    return found._asdict(), joined & fits_fleet(fleet, span) & (span <= places), hardware.peak_flops > 0


def _built(
    fleet,
    topology,
    n_nodes,
    sides,
    wired,
    rails,
    lanes,
    links_per_port,
    radix,
    tiers,
    hosts_per_router,
    routers_per_group,
    global_links_per_router,
) -> tuple[networks.Network, Any, Any]:
    """The network of a shape, links of a port, and whether the routers of a dragonfly have the ports."""
    down, up = networks.leaf_ports(radix, fleet.oversubscription)
    half = floor_div(radix, 2.0)
    balanced = np.maximum(floor_div(radix + 1.0, 3.0 + fleet.oversubscription), 1.0)
    crowded = np.maximum(floor_div(fleet.oversubscription * balanced, 1.0), 1.0)
    hosts = crowded if hosts_per_router is None else hosts_per_router
    routers = 2.0 * balanced if routers_per_group is None else routers_per_group
    outward = balanced if global_links_per_router is None else global_links_per_router
    leaf_hosts = down if hosts_per_router is None else hosts_per_router
    leaves = half if routers_per_group is None else routers_per_group
    spine_outward = radix - half if global_links_per_router is None else global_links_per_router

    mesh_lanes = np.maximum(n_nodes - 1.0, 1.0) if links_per_port is None else links_per_port
    ring_lanes = 2.0 if links_per_port is None else links_per_port
    torus_lanes = wired if links_per_port is None else links_per_port
    clos = (radix, fleet.oversubscription, rails, lanes)
    shapes = {
        Shape.FAT_TREE: networks.folded_clos(n_nodes, *clos, tiers, 0.0),
        Shape.LEAF_SPINE: networks.folded_clos(n_nodes, *clos, np.minimum(tiers, 2.0), 0.0),
        Shape.RAIL_OPTIMIZED: networks.folded_clos(n_nodes, *clos, tiers, 1.0),
        Shape.DRAGONFLY: networks.dragonfly(n_nodes, rails, lanes, hosts, routers, outward),
        Shape.DRAGONFLY_PLUS: networks.dragonfly_plus(n_nodes, rails, lanes, leaf_hosts, leaves, up, spine_outward),
        Shape.TORUS: networks.torus(sides, rails),
        Shape.RING: networks.torus([n_nodes], rails),
        Shape.FULL_MESH: networks.full_mesh(n_nodes, rails, mesh_lanes),
        Shape.SWITCHED: networks.switched(n_nodes, radix, rails, lanes),
    }
    net = networks.Network(
        *(choose(topology, *(getattr(shapes[s], name) for s in Shape)) for name in networks.Network._fields)
    )
    port_lanes: Any = choose(topology, lanes, lanes, lanes, lanes, lanes, torus_lanes, ring_lanes, mesh_lanes, lanes)
    cabled: Any = True
    if hosts_per_router is not None or routers_per_group is not None or global_links_per_router is not None:
        router_ports = np.where(topology == Shape.DRAGONFLY, hosts + routers - 1.0 + outward, leaves + spine_outward)
        dragonflies = (topology == Shape.DRAGONFLY) | (topology == Shape.DRAGONFLY_PLUS)
        cabled = np.logical_not(dragonflies) | (router_ports <= radix)
    return net, port_lanes, cabled


def _span(n_accelerators, rank_stride) -> Any:
    """Devices from the first of a group to its last."""
    return (n_accelerators - 1.0) * rank_stride + 1.0


TopologyModel = Model("TopologyModel", topology, domain="data", walls=(10,))
