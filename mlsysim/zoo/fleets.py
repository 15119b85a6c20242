"""Fleets: how accelerators are put together, from the rows of systems, devices and fabrics."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsysim.schema.codes import Precision
from mlsysim.schema.records import Fleet
from mlsysim.zoo import accelerators, tables
from mlsysim.zoo.row import NAN, RULES, Derived, Row, Rule, filled, first, known, stored, where

#: share of a fast link's peak that a transfer reaches: middle of measured NVLink (0.83-0.91) and TPU (0.90)
LINK_SHARE = 0.87
#: the same through a PCIe root complex: 37.9 GB/s bus rate of 63 GB/s (RTX PRO 6000, two devices)
PCIE_SHARE = 0.6
#: the same for a data-centre network: middle of what large collectives reached (InfiniBand NDR 0.98, HDR 0.92, EFA 0.96,
#: GPUDirect-TCPXO 0.90, Slingshot 0.73 of a port)
NETWORK_SHARE = 0.92
NETWORK_SPREAD = 0.12
#: generation of NVLink from which on its switches reduce (NVLS: Hopper and later)
REDUCING_NVLINK = 4
#: node power over the TDP of its accelerators, and host memory per accelerator: medians of the systems table
NODE_POWER_FACTOR = 1.65
HOST_MEMORY_PER_ACCELERATOR = 250e9
#: accelerators in the usual server of cloud or workstation devices (systems table)
USUAL_NODE = 8.0


@dataclass
class _Making:
    """A fleet while its fields are found."""

    system: Row | None
    hardware: Row
    device: dict[str, Any]  #: fields of the device but for those of its kernels
    device_notes: dict[str, Derived]
    given: Mapping[str, Any]  #: fields of the fleet that the user gives
    inner: Row | None  #: fabric inside the fast domain
    outer: Row | None  #: fabric between nodes
    fields: dict[str, Any]
    derived: dict[str, Derived]

    def lacks(self, name: str) -> bool:
        """Is a field still unknown?"""
        return not known(self.fields[name])

    def follow(self, name: str, value: Any, why: str, spread: float) -> None:
        """Enter a field that follows from something else."""
        self.fields[name] = value
        self.derived[name] = Derived(why, spread)

    @property
    def repeats(self) -> bool:
        """Is the row a node or a networked rack, of which a fleet has as many as are needed?"""
        kind = None if self.system is None else self.system.values_by_column.get("kind")
        return kind == "node" or (self.outer is not None and kind == "rack")

    @property
    def own_device(self) -> bool:
        """Is the device the one that the system's row was written for?"""
        return self.system is not None and self.system.values_by_column["accelerator"] == self.hardware.origin


def _per_node(system: Row, name: str) -> Any:
    """A per-node figure; racks and pods give the whole."""
    value = stored(system, name)
    whole = system.values_by_column.get("kind") in ("rack", "pod", "system") and name not in system.given
    return value / (system.values_by_column.get("nodes") or 1.0) if whole else value


def _sibling(system: Row, name: str) -> tuple[Any, str]:
    """The figure of another system with the same accelerator and node size."""
    size = system.values_by_column["accelerators_per_node"]
    found, key = NAN, ""
    for row in reversed(tables.rows("systems").values()):
        if row.values_by_column["accelerator"] != system.values_by_column["accelerator"] or row.key == system.key:
            continue
        value = _per_node(row, name)
        same = row.values_by_column["accelerators_per_node"] == size
        if known(value) and np.any(same):
            found, key = where(same, value, found), row.key
    return found, key


def _size(making: _Making) -> None:
    """How many accelerators there are, in a node and in the fast domain."""
    system, hardware, fields = making.system, making.hardware, making.fields
    if system is None:  # the node can be guessed, the network cannot
        single = hardware.values_by_column["class"] in ("edge", "mobile", "tiny", "wafer")
        alone = single or not known(making.device["link_bandwidth"])
        why = "no system is known for this device: one usual server of eight, no network"
        if alone:
            why = "a device of this class works alone" if single else "it works alone: no link_bandwidth is known"
        for name in ("fleet_size", "accelerators_per_node", "domain_size"):
            making.follow(name, 1.0 if alone else USUAL_NODE, why, 0.0)
        on_chip = making.device["on_chip_memory"]
        if np.any(on_chip):
            why = "memory on the chip: as many devices as the weights need"
            making.follow("fleet_size", where(np.asarray(on_chip) > 0, 0.0, fields["fleet_size"]), why, 0.0)
        fields["oversubscription"] = 1.0
        fields.update({name: value for name, value in making.given.items() if name in Fleet._fields})
        return
    per_node = ("node_power", "node_price", "host_memory")
    fields.update({name: (_per_node if name in per_node else stored)(system, name) for name in Fleet._fields})
    if making.lacks("fleet_size") or (making.repeats and "fleet_size" not in making.given):
        fields["fleet_size"] = 0.0  # nodes and networked racks are bought as many as are needed
    if making.lacks("domain_size"):
        making.follow("domain_size", fields["accelerators_per_node"], "no larger fast domain is given: the node", 0.0)
    if not making.own_device:  # another device in that chassis
        for name in ("intra_bandwidth", "intra_efficiency", "node_power", "node_price"):
            if name not in making.given:
                fields[name] = NAN


def _fast_domain(making: _Making) -> None:
    """Links inside the fast domain."""
    hardware, fields, inner = making.hardware, making.fields, making.inner
    link = making.device["link_bandwidth"]
    if making.lacks("intra_bandwidth"):
        note = making.device_notes.get("link_bandwidth")
        making.follow("intra_bandwidth", link, "the device's own link", note.spread if note else 0.0)
    elif "link_bandwidth" in hardware.given and "intra_bandwidth" not in making.given:
        published = tables.rows("hardware")[hardware.origin].values_by_column["intra_link_Bps"]
        inside = fields["intra_bandwidth"]
        alike = published is None or published == inside
        why = (
            "the link given for the device"
            if alike
            else "the link given for the device, as much of it as the system uses"
        )
        making.follow("intra_bandwidth", link if alike else inside * (link / published), why, 0.0)
    if making.lacks("intra_latency"):
        step = inner["step_latency_s"] if inner else None
        why = "latency of the link, a planning value: no step of a collective is published for it"
        if inner is not None and step is not None:
            why = f"one step of a ring collective over {inner.key} (NCCL tuning tables, fabrics table)"
        making.follow("intra_latency", making.device["link_latency"] if step is None else step, why, 0.3)
    if making.lacks("intra_efficiency"):
        measured = hardware.values_by_column["intra_link_measured_fraction"] or (
            inner["measured_fraction"] if inner else None
        )
        by_host = "link_bandwidth" in making.device_notes
        fields["intra_efficiency"] = measured or (PCIE_SHARE if by_host else LINK_SHARE)
        if not measured:
            making.derived["intra_efficiency"] = Derived(
                "bus rate measured between two PCIe devices over the link's peak"
                if by_host
                else "not measured: middle of the measured NVLink and TPU shares (fabrics table)",
                0.25 if by_host else 0.1,
            )
    if making.lacks("torus_axes"):
        name = hardware.values_by_column["intra_link_name"] or ""
        shape = re.search(r"(\d)D torus", name)
        why = f"by the name of the device's link: {name or 'none'}"
        making.follow("torus_axes", float(shape[1]) if shape else 0.0, why, 0.0)
    _joined(making)


def _joined(making: _Making) -> None:
    """What joins the devices of a domain: links from each to each, or a switch that can reduce."""
    link = making.hardware.values_by_column["intra_link_name"] or ""
    if making.lacks("direct_peers"):
        inner = "" if making.inner is None else making.inner["topology"] or ""
        together, each = re.search(r"fully connected (\d+)", inner), re.search(r"\((\d+) links x", link)
        peers = float(together[1]) - 1.0 if together else float(each[1]) if each else 0.0
        making.follow("direct_peers", peers, f"by the fabric and the device's link: {inner or link or 'none'}", 0.0)
    if making.lacks("switch_reduces"):
        generation = re.fullmatch(r"NVLink (\d+)( \(reduced\))?", link)
        reduces = generation is not None and int(generation[1]) >= REDUCING_NVLINK
        making.follow("switch_reduces", float(reduces), f"by the device's link: {link or 'none'}", 0.0)


def _network_bandwidth(making: _Making, one_domain: Any) -> None:
    """What an accelerator can send to another node."""
    system, outer, fields = making.system, making.outer, making.fields
    assert system is not None
    adapters, speed = stored(system, "nics_per_node"), stored(system, "nic_Bps")
    if known(adapters) and known(speed):
        fields["inter_bandwidth"] = adapters * speed / fields["accelerators_per_node"]
    elif known(speed) or (outer is not None and "per port" not in outer["bandwidth_basis"]):
        port = outer["bandwidth_Bps"] if outer is not None else NAN
        why = "number of adapters not given: one per accelerator"
        making.follow("inter_bandwidth", speed if known(speed) else port, why, 0.2)
    elif np.any(one_domain):
        why = "the whole fleet is one fast domain: nothing lies between nodes"
        making.follow("inter_bandwidth", where(one_domain, fields["intra_bandwidth"], NAN), why, 0.0)


def _ports(making: _Making) -> None:
    """Ports of a node into the network, and what each carries: together what the node's accelerators can send."""
    fields = making.fields
    adapters = NAN if making.system is None else stored(making.system, "nics_per_node")
    size, each = fields["accelerators_per_node"], fields["inter_bandwidth"]
    if known(adapters):
        fields["ports_per_node"] = adapters
    elif making.repeats:
        making.follow("ports_per_node", size, "number of adapters not given: one per accelerator", 0.0)
    else:
        making.follow("ports_per_node", 1.0, "no network adapters: an accelerator is a node of its own", 0.0)
    fields["port_bandwidth"] = each * size / adapters if known(adapters) else each


def _network_latency(making: _Making, one_domain: Any) -> None:
    """How long a step to another node takes."""
    outer, fields = making.outer, making.fields
    if outer is not None:
        step = outer["step_latency_s"]
        why = (
            f"latency of {outer.key} ({outer['latency_class']}): no step of a collective is published"
            if step is None
            else f"one step of a ring collective over {outer.key} (NCCL tuning tables, fabrics table)"
        )
        making.follow("inter_latency", outer["latency_s"] if step is None else step, why, 0.3)
        why = f"latency of {outer.key} ({outer['latency_class']})"
        making.follow("port_latency", outer["latency_s"], why, 0.3)
    elif np.any(one_domain):
        fields["inter_latency"] = where(one_domain, fields["intra_latency"], NAN)
        making.derived["inter_latency"] = making.derived.get("inter_bandwidth", Derived("one fast domain", 0.0))


def _network(making: _Making) -> None:
    """Links between nodes."""
    system, outer, fields = making.system, making.outer, making.fields
    size = fields["fleet_size"]
    if system is not None and not making.repeats:  # a pod without a bound keeps the network of its row
        published = tables.rows("systems").get(system.origin, system).values_by_column["total_accelerators"]
        size = first(size, published or 0.0)
    one_domain = (size > 0) & (fields["domain_size"] >= size)
    if system is None:
        why = "one node: nothing lies between nodes; name a system for more"
        for name, inside in (("inter_bandwidth", "intra_bandwidth"), ("inter_latency", "intra_latency")):
            making.follow(name, fields[inside], why, 0.0)
    elif making.lacks("inter_bandwidth"):
        _network_bandwidth(making, one_domain)
    _ports(making)
    if making.lacks("inter_latency") and system is not None:
        _network_latency(making, one_domain)
    if "inter_latency" in making.given or making.lacks("port_latency"):
        latency = making.given.get("inter_latency", fields["inter_latency"])
        making.follow("port_latency", latency, "one step between nodes: no other latency is known", 0.3)
    if making.lacks("inter_efficiency"):
        measured = outer["measured_fraction"] if outer else None
        fields["inter_efficiency"] = measured or NETWORK_SHARE
        if not measured:
            why = "not measured: middle of five networks' large collectives"
            making.derived["inter_efficiency"] = Derived(why, NETWORK_SPREAD)
    if making.lacks("oversubscription"):
        ratio = (system.values_by_column["oversubscription"] if system else None) or "none is published"
        why = f"taken as full bandwidth between the nodes of one job ({ratio})"
        making.follow("oversubscription", 1.0, why, 0.0)


def _node(making: _Making) -> None:
    """Power, memory and price of a node."""
    system, fields, device = making.system, making.fields, making.device
    size = fields["accelerators_per_node"]
    siblings = system if making.own_device else None
    if system is None and making.hardware.values_by_column["class"] in ("edge", "mobile", "tiny"):
        for name, whole in (("node_power", "tdp"), ("host_memory", "mem_capacity")):  # the device is the whole computer
            making.follow(name, device[whole], "a device of this class is its own host", 0.1)
    for name, otherwise, why, spread in (
        (
            "node_power",
            NODE_POWER_FACTOR * size * device["tdp"],
            f"{NODE_POWER_FACTOR:g} times the TDP of its accelerators, median of the systems table",
            0.2,
        ),
        (
            "host_memory",
            HOST_MEMORY_PER_ACCELERATOR * size,
            f"{HOST_MEMORY_PER_ACCELERATOR / 1e9:g} GB per accelerator, median of the systems table",
            0.4,
        ),
    ):
        if making.lacks(name):
            value, key = _sibling(siblings, name) if siblings is not None else (NAN, "")
            why, spread = (f"that of {key}, same accelerators", 0.1) if key else (why, spread)
            making.follow(name, filled(value, otherwise), why, spread)
    for name in ("nics_per_node", "psus_per_node", "node_price"):
        if siblings is not None and making.lacks(name):
            value, key = _sibling(siblings, name)
            if key:
                making.follow(name, value, f"that of {key}, same accelerators", 0.1)


def described(
    system: Row | None, hardware: Row, given: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], dict[str, Derived]]:
    """The fields of a fleet, and how those that no source gives came about.

    `given` are fields that the user gives, of the fleet and of its device: what is derived from them follows.
    """
    given = given or {}
    hardware = hardware.having(given)
    device, notes = accelerators.described(hardware, Precision.BF16, None, kernels=False)
    if system is None:
        name = hardware.values_by_column.get("default_system")
        system = tables.rows("systems")[name] if name else None
    inner = outer = None
    if system is not None:
        system = system.having(given)
        given = system.given
        fabrics = tables.rows("fabrics")
        inner = fabrics.get(system.values_by_column["intra_fabric"] or "")
        outer = fabrics.get(system.values_by_column["inter_fabric"] or "")
    making = _Making(system, hardware, device, notes, given, inner, outer, dict.fromkeys(Fleet._fields, NAN), {})
    for part in (_size, _fast_domain, _network, _node):
        part(making)
    for name, value in given.items():
        if name in Fleet._fields:
            making.fields[name] = value
            making.derived.pop(name, None)
    return making.fields, making.derived


def fleet_record(
    system: Row | str | None, hardware: Row | str | None, fabric: Row | str | None = None, **given: Any
) -> Fleet:
    """How accelerators are put together.

    Without hardware the system's own accelerator is meant; another one takes its place with its own link.
    Without a system the device's `default_system` is meant; a device that has none gets one node of eight
    (one device, if it works alone): a larger fleet needs a system.  A fabric takes the place of the network
    between nodes; alone it is a network without oversubscription, and nothing else of the fleet is known.
    `given` are fields of the fleet and of its device that the user gives, numbers or arrays: they hold, and
    what is derived from them follows.
    """
    row = None if system is None else tables.lookup("systems", system, "fleet")
    if hardware is None and row is not None:
        hardware = row.values_by_column["accelerator"]
    fields: dict[str, Any]
    if row is None and hardware is None:
        fields = {
            **dict.fromkeys(Fleet._fields, NAN),
            "oversubscription": 1.0,
            "torus_axes": 0.0,
            "direct_peers": 0.0,
            "switch_reduces": 0.0,
            "ports_per_node": 1.0,
        }
        fields["port_bandwidth"] = given.get("inter_bandwidth", NAN)
        fields["port_latency"] = given.get("inter_latency", NAN)
    else:
        fields = described(row, tables.lookup("hardware", hardware or "", "hardware"), given)[0]
    if fabric is not None:
        network = tables.lookup("fabrics", fabric, "fabric").values_by_column
        fields["inter_bandwidth"] = network["bandwidth_Bps"]
        fields["inter_latency"] = network["step_latency_s"] or network["latency_s"]
        fields["port_latency"] = given.get("inter_latency", network["latency_s"])
        fields["inter_efficiency"] = network["measured_fraction"] or NETWORK_SHARE
        fields["port_bandwidth"] = given.get("inter_bandwidth", network["bandwidth_Bps"])
    return Fleet(**{**fields, **{name: value for name, value in given.items() if name in Fleet._fields}})


def _with_its_accelerator(row: Row) -> tuple[dict[str, Any], dict[str, Derived]]:
    return described(row, tables.lookup("hardware", row.values_by_column["accelerator"] or "", "accelerator"))


RULES["systems"] = Rule(_with_its_accelerator)
