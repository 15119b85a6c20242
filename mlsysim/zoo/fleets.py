"""Fleets: how accelerators are put together, from the rows of systems, devices and fabrics."""

from __future__ import annotations

import re

from mlsysim.schema.codes import Precision
from mlsysim.schema.records import Fleet
from mlsysim.zoo import accelerators, tables
from mlsysim.zoo.fields import NAN, known, stored
from mlsysim.zoo.tables import Derived, Row

#: share of a fast link's peak that a transfer reaches: middle of measured NVLink (0.83-0.91) and TPU (0.90)
LINK_SHARE = 0.87
#: the same through a PCIe root complex: 37.9 GB/s bus rate of 63 GB/s (RTX PRO 6000, two devices)
PCIE_SHARE = 0.6
#: the same for a data-centre network
NETWORK_SHARE = 0.85
#: node power over the TDP of its accelerators, and host memory per accelerator: medians of the systems table
NODE_POWER_FACTOR = 1.65
HOST_MEMORY_PER_ACCELERATOR = 250e9
#: accelerators in the usual server of cloud or workstation devices (systems table)
USUAL_NODE = 8.0


def _per_node(system: Row, name: str) -> float:
    """A per-node figure; racks and pods give the whole."""
    value = stored(system, name)
    whole = system.values_by_column.get("kind") in ("rack", "pod", "system") and name not in system.given
    return value / (system.values_by_column.get("nodes") or 1.0) if whole else value


def _sibling(system: Row, name: str) -> tuple[float, str]:
    """The figure of another system with the same accelerator and node size."""
    same = [
        row
        for row in tables.rows("systems").values()
        if row.values_by_column["accelerator"] == system.values_by_column["accelerator"]
        and row.key != system.key
        and row.values_by_column["accelerators_per_node"] == system.values_by_column["accelerators_per_node"]
    ]
    for row in same:
        value = _per_node(row, name)
        if known(value):
            return value, row.key
    return NAN, ""


def described(system: Row | None, hardware: Row) -> tuple[dict[str, float], dict[str, Derived]]:
    """The fields of a fleet, and how those that no source gives came about."""
    device, device_notes = accelerators.described(hardware, Precision.BF16, None)
    derived: dict[str, Derived] = {}
    fabrics = tables.rows("fabrics")
    if system is None:
        name = hardware.values_by_column.get("default_system")
        system = tables.rows("systems")[name] if name else None
    fields = dict.fromkeys(Fleet._fields, NAN)
    inner: Row | None = None
    outer: Row | None = None

    if system is None:  # the node can be guessed, the network cannot
        alone = hardware.values_by_column["class"] in ("edge", "mobile", "tiny", "wafer") or not known(
            device["link_bandwidth"]
        )
        size = 1.0 if alone else USUAL_NODE
        why = (
            "a device of this class works alone"
            if alone
            else "no system is known for this device: one usual server of eight, no network"
        )
        fields.update(
            fleet_size=size,
            accelerators_per_node=size,
            domain_size=size,
            oversubscription=1.0,
            nics_per_node=NAN,
            psus_per_node=NAN,
        )
        for name in ("fleet_size", "accelerators_per_node", "domain_size"):
            derived[name] = Derived(why, 0.0)
    else:
        fields.update(
            {
                name: _per_node(system, name)
                if name in ("node_power", "node_price", "host_memory")
                else stored(system, name)
                for name in Fleet._fields
            }
        )
        inner = fabrics.get(system.values_by_column["intra_fabric"] or "")
        outer = fabrics.get(system.values_by_column["inter_fabric"] or "")
        repeats = system.values_by_column.get("kind") == "node" or (
            outer is not None and system.values_by_column.get("kind") == "rack"
        )
        if not known(fields["fleet_size"]) or (repeats and "fleet_size" not in system.given):
            fields["fleet_size"] = 0.0  # nodes and networked racks are bought as many as are needed
        if not known(fields["domain_size"]):
            fields["domain_size"] = fields["accelerators_per_node"]
            derived["domain_size"] = Derived("no larger fast domain is given: the node", 0.0)
    size = fields["accelerators_per_node"]
    if (
        system is not None and system.values_by_column["accelerator"] != hardware.origin
    ):  # another device in that chassis
        for name in ("intra_bandwidth", "intra_efficiency", "node_power", "node_price"):
            if name not in system.given:
                fields[name] = NAN
        siblings = False
    else:
        siblings = system is not None

    # inside the fast domain
    if not known(fields["intra_bandwidth"]):
        fields["intra_bandwidth"] = device["link_bandwidth"]
        derived["intra_bandwidth"] = Derived(
            "the device's own link",
            device_notes["link_bandwidth"].spread if "link_bandwidth" in device_notes else 0.0,
        )
    elif "link_bandwidth" in hardware.given and "intra_bandwidth" not in (system.given if system else {}):
        fields["intra_bandwidth"] = device["link_bandwidth"]
        derived["intra_bandwidth"] = Derived("the link given for the device", 0.0)
    if not known(fields["intra_latency"]):
        step = inner["step_latency_s"] if inner else None
        fields["intra_latency"] = device["link_latency"] if step is None else step
        why = "latency of the link, a planning value: no step of a collective is published for it"
        if inner is not None and step is not None:
            why = f"one step of a ring collective over {inner.key} (NCCL tuning tables, fabrics table)"
        derived["intra_latency"] = Derived(why, 0.3)
    if not known(fields["intra_efficiency"]):
        measured = hardware.values_by_column["intra_link_measured_fraction"] or (
            inner["measured_fraction"] if inner else None
        )
        by_host = "link_bandwidth" in device_notes
        fields["intra_efficiency"] = measured or (PCIE_SHARE if by_host else LINK_SHARE)
        if not measured:
            derived["intra_efficiency"] = Derived(
                "bus rate measured between two PCIe devices over the link's peak"
                if by_host
                else "not measured: middle of the measured NVLink and TPU shares (fabrics table)",
                0.25 if by_host else 0.1,
            )

    if not known(fields["torus_axes"]):
        name = hardware.values_by_column["intra_link_name"] or ""
        shape = re.search(r"(\d)D torus", name)
        fields["torus_axes"] = float(shape[1]) if shape else 0.0
        derived["torus_axes"] = Derived(f"by the name of the device's link: {name or 'none'}", 0.0)

    # between nodes
    one_domain = fields["fleet_size"] > 0 and fields["domain_size"] >= fields["fleet_size"]
    if system is None:
        for name, inside in (("inter_bandwidth", "intra_bandwidth"), ("inter_latency", "intra_latency")):
            fields[name] = fields[inside]
            derived[name] = Derived("one node: nothing lies between nodes; name a system for more", 0.0)
    elif not known(fields["inter_bandwidth"]):
        adapters, speed = stored(system, "nics_per_node"), stored(system, "nic_Bps")
        if known(adapters) and known(speed):
            fields["inter_bandwidth"] = adapters * speed / size
        elif known(speed) or (outer is not None and "per port" not in outer["bandwidth_basis"]):
            port = outer["bandwidth_Bps"] if outer is not None else NAN
            fields["inter_bandwidth"] = speed if known(speed) else port
            derived["inter_bandwidth"] = Derived("number of adapters not given: one per accelerator", 0.2)
        elif one_domain:
            fields["inter_bandwidth"] = fields["intra_bandwidth"]
            derived["inter_bandwidth"] = Derived(
                "the whole fleet is one fast domain: nothing lies between nodes", 0.0
            )
    if not known(fields["inter_latency"]) and system is not None:
        if outer is not None:
            step = outer["step_latency_s"]
            fields["inter_latency"] = outer["latency_s"] if step is None else step
            derived["inter_latency"] = Derived(
                f"latency of {outer.key} ({outer['latency_class']}): no step of a collective is published"
                if step is None
                else f"one step of a ring collective over {outer.key} (NCCL tuning tables, fabrics table)",
                0.3,
            )
        elif one_domain:
            fields["inter_latency"] = fields["intra_latency"]
            derived["inter_latency"] = derived.get("inter_bandwidth", Derived("one fast domain", 0.0))
    if not known(fields["inter_efficiency"]):
        measured = outer["measured_fraction"] if outer else None
        fields["inter_efficiency"] = measured or NETWORK_SHARE
        if not measured:
            derived["inter_efficiency"] = Derived(
                "planning value for networks between nodes, no measurement", 0.15
            )
    if not known(fields["oversubscription"]):
        fields["oversubscription"] = 1.0
        said = (system.values_by_column["oversubscription"] if system else None) or "none is published"
        derived["oversubscription"] = Derived(
            f"taken as full bandwidth between the nodes of one job ({said})", 0.0
        )

    # the node
    small = hardware.values_by_column["class"] in ("edge", "mobile", "tiny")
    if system is None and small:  # the device is the whole computer
        fields.update(node_power=device["tdp"], host_memory=device["mem_capacity"])
        for name in ("node_power", "host_memory"):
            derived[name] = Derived("a device of this class is its own host", 0.1)
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
        if not known(fields[name]):
            value, key = _sibling(system, name) if siblings and system is not None else (NAN, "")
            fields[name] = value if known(value) else otherwise
            derived[name] = Derived(
                f"that of {key}, same accelerators" if known(value) else why,
                0.1 if known(value) else spread,
            )
    if system is not None:
        for name in ("nics_per_node", "psus_per_node", "node_price"):
            if not known(fields[name]) and siblings:
                value, key = _sibling(system, name)
                if known(value):
                    fields[name] = value
                    derived[name] = Derived(f"that of {key}, same accelerators", 0.1)
        fields.update({name: value for name, value in system.given.items() if name in Fleet._fields})
        for name in system.given:
            derived.pop(name, None)
    return fields, derived


def fleet_record(system: Row | str | None, hardware: Row | str | None, fabric: Row | str | None = None) -> Fleet:
    """How accelerators are put together.

    Without hardware the system's own accelerator is meant; another one takes its place with its own link.
    Without a system the device's `default_system` is meant; a device that has none gets one node of eight
    (one device, if it works alone): a larger fleet needs a system.  A fabric takes the place of the network
    between nodes; alone it is a network without oversubscription, and nothing else of the fleet is known.
    """
    row = None if system is None else tables.lookup("systems", system, "fleet")
    if hardware is None and row is not None:
        hardware = row.values_by_column["accelerator"]
    if row is None and hardware is None:
        fields = {**dict.fromkeys(Fleet._fields, NAN), "oversubscription": 1.0, "torus_axes": 0.0}
    else:
        fields = described(row, tables.lookup("hardware", hardware or "", "hardware"))[0]
    if fabric is not None:
        network = tables.lookup("fabrics", fabric, "fabric").values_by_column
        fields["inter_bandwidth"] = network["bandwidth_Bps"]
        fields["inter_latency"] = network["step_latency_s"] or network["latency_s"]
        fields["inter_efficiency"] = network["measured_fraction"] or NETWORK_SHARE
    return Fleet(**fields)
