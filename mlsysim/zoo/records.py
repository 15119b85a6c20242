"""From rows to records: what a kernel receives, as plain floats in base units.

Every function returns a NamedTuple of `mlsysim.schema.records`; NaN is a datum nobody published.  A value
that no source gives but that follows from others by a stated rule is listed in ``row.derived`` with its
relative spread; the rules are here and in `mlsysim.zoo.curves`.
"""

from __future__ import annotations

import math
import re
from typing import Any

from mlsysim.schema.codes import Precision
from mlsysim.schema.records import Accelerator, Fleet, Format, Site, Workload
from mlsysim.zoo import curves, tables
from mlsysim.zoo.tables import CANONICAL, Derived, Row

NAN = float("nan")

#: kg of carbon per W of TDP, cradle to gate: A100 0.32, H100 0.23, B200 0.28 (rows with a product footprint)
EMBODIED_PER_WATT = 0.28
#: fp32 vector rate over the 16-bit matrix rate: median of the cloud devices that list both
VECTOR_SHARE = 0.1
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

#: bytes per value: weights with their scales (int4: 128 values share an fp16 scale; nvfp4: 16 share an 8-bit
#: scale; mxfp4: 32 share an 8-bit scale), activations, GEMM inputs, working weights of training
_BYTES: dict[Precision, tuple[float, float, float, float]] = {
    Precision.FP32: (4.0, 4.0, 4.0, 4.0),
    Precision.TF32: (4.0, 4.0, 4.0, 4.0),
    Precision.FP16: (2.0, 2.0, 2.0, 2.0),
    Precision.BF16: (2.0, 2.0, 2.0, 2.0),
    Precision.FP8: (1.0, 2.0, 1.0, 2.0),
    Precision.INT8: (1.0, 2.0, 1.0, 2.0),
    Precision.INT4: ((4.0 + 16.0 / 128.0) / 8.0, 2.0, 2.0, 2.0),
    Precision.NVFP4: ((4.0 + 8.0 / 16.0) / 8.0, 2.0, (4.0 + 8.0 / 16.0) / 8.0, 2.0),
    Precision.MXFP4: ((4.0 + 8.0 / 32.0) / 8.0, 2.0, (4.0 + 8.0 / 32.0) / 8.0, 2.0),
}


def format_record(precision: int, kv_precision: int | None = None) -> Format:
    """Bytes per value at a precision.

    Parameters
    ----------
    precision, kv_precision : int
        Codes of `mlsysim.schema.codes.Precision`.  The KV cache is as wide as activations unless
        `kv_precision` says otherwise: an fp8 model keeps a 16-bit cache.

    Examples
    --------
    >>> format_record(Precision.NVFP4).weight_bytes, format_record(Precision.FP8, Precision.FP8).kv_bytes
    (0.5625, 1.0)
    """
    precision = Precision(int(precision))
    weight, activation, gemm_input, parameter = _BYTES[precision]
    kv = activation if kv_precision is None else _BYTES[Precision(int(kv_precision))][0]
    return Format(
        weight_bytes=weight,
        expert_bytes=weight,
        activation_bytes=activation,
        kv_bytes=kv,
        gemm_input_bytes=gemm_input,
        parameter_bytes=parameter,
        weight_only=float(precision == Precision.INT4),
        quantised=float(precision in (Precision.FP8, Precision.INT8, Precision.NVFP4, Precision.MXFP4)),
    )


def _stored(row: Row, name: str) -> float:
    """A canonical field as the table gives it, in base units; NaN if it does not."""
    if name in row.given:
        return row.given[name]
    column, factor = CANONICAL[row.table].get(name, (name, 1.0))
    value = row.values_by_column.get(column)
    if value is None or isinstance(value, str):
        return NAN
    return value * factor


def _known(value: float) -> bool:
    return not math.isnan(value)


# --- Workload --------------------------------------------------------------------------------------------


def parameters(fields: dict[str, Any], active: bool = False) -> float:
    """Parameters of a transformer from its configuration, norms and all embeddings included.

    Attention is ``2 h n_heads d + 2 h n_kv d``, a feed-forward network 2 or 3 matrices; layers with experts
    hold them all (``active``: the visited ones) and a router; latent attention replaces the four projections
    by its low-rank ones.  Every row of the models table agrees with its published count within 2 %.
    """

    def get(name: str, default: float = 0.0) -> float:
        value = fields.get(name)
        return default if value is None or value != value else float(value)

    width, heads, layers = get("hidden"), get("n_heads"), get("n_layers")
    matrices = 3.0 if get("gated_ffn") else 2.0
    attention = 2.0 * width * get("head_dim") * (heads + get("n_kv_heads"))
    if get("kv_lora_rank"):
        query_width = get("nope_head_dim") + get("rope_head_dim")
        rank = get("q_lora_rank")
        query = width * rank + rank * heads * query_width if rank else width * heads * query_width
        latent = width * (get("kv_lora_rank") + get("rope_head_dim"))
        attention = query + latent + get("kv_lora_rank") * heads * (get("nope_head_dim") + get("v_head_dim"))
        attention += heads * get("v_head_dim") * width
    total = get("extra_params") + get("vocab") * width * (1.0 if get("tied_embeddings") else 2.0)
    if fields.get("kind") == "encoder-decoder":
        return total + layers * (3.0 * attention + 2.0 * matrices * width * get("ffn_hidden") + 5.0 * width)
    experts = get("n_experts")
    sparse = (layers - get("first_dense_layers")) / (get("moe_layer_interval") or 1.0) if experts else 0.0
    used = (get("experts_per_token") if active else experts) + get("n_shared_experts")
    return (
        total
        + layers * (attention + 2.0 * width)
        + sparse * (used * matrices * width * get("ffn_hidden") + width * experts)
        + (layers - sparse) * matrices * width * (get("dense_ffn_hidden") or get("ffn_hidden"))
    )


#: fields from which the parameter count follows
ARCHITECTURE = tuple(
    name
    for name in Workload._fields
    if name
    not in (
        "total_params",
        "active_params",
        "max_context",
        "flops_per_sample",
        "sliding_window",
        "local_layers",
    )
)


def _workload(row: Row) -> tuple[dict[str, float], dict[str, Derived]]:
    fields = {name: _stored(row, name) for name in Workload._fields}
    derived: dict[str, Derived] = {}
    transformer = fields["n_heads"] > 0
    for name, value in fields.items():
        if name in ("total_params", "active_params", "flops_per_sample", "max_context"):
            continue
        if not _known(value) or not transformer:
            fields[name] = 0.0
    if transformer:
        changed = [name for name in ARCHITECTURE if name in row.given]
        for name, active in (("total_params", False), ("active_params", True)):
            if name in row.given:
                continue
            if row.origin == row.key and not changed and _known(fields[name]):
                continue
            count = parameters({**row.values_by_column, **fields}, active)
            base = tables.rows("models").get(row.origin)
            if changed and base is not None:
                published = base.values_by_column[name]
                if published is None:
                    published = base.values_by_column["total_params"]
                fields[name] = count + published - parameters(base.values_by_column, active)
                derived[name] = Derived(
                    f"published count of {base.key}, moved by what {', '.join(changed)} changes in the "
                    "configuration",
                    0.02,
                )
            elif not _known(fields[name]):
                fields[name] = count
                derived[name] = Derived("counted from the configuration", 0.02)
        if fields["n_experts"] and not fields["moe_layer_interval"]:
            fields["moe_layer_interval"] = 1.0
            derived["moe_layer_interval"] = Derived(
                "no interval in the configuration: experts in every layer after the first dense ones", 0.0
            )
        if fields["n_experts"] and not fields["dense_ffn_hidden"]:
            fields["dense_ffn_hidden"] = fields["ffn_hidden"]
        if not _known(fields["flops_per_sample"]):
            fields["flops_per_sample"] = 0.0
    if not _known(fields["active_params"]):
        fields["active_params"] = fields["total_params"]
        derived["active_params"] = Derived("no experts: all parameters are used", 0.0)
    if not _known(fields["flops_per_sample"]) and row.values_by_column.get("kind") == "SSM":
        fields["flops_per_sample"] = 2.0 * fields["active_params"]
        derived["flops_per_sample"] = Derived(
            "one token forward: 2 FLOP per parameter (constants: decode_flops_per_param_token)", 0.1
        )
    if not _known(fields["max_context"]):
        fields["max_context"] = 0.0
    return fields, derived


def workload_record(row: Row | str) -> Workload:
    """What a model's row says; 0 where the model lacks a feature.

    For a model that is no transformer the architecture is 0 and `flops_per_sample` is its forward cost.
    """
    return Workload(**_workload(tables.lookup("models", row, "model"))[0])


# --- Accelerator -----------------------------------------------------------------------------------------

_RATES = {
    Precision.FP32: "peak_fp32",
    Precision.TF32: "peak_tf32",
    Precision.FP16: "peak_fp16",
    Precision.BF16: "peak_bf16",
    Precision.FP8: "peak_fp8",
    Precision.INT8: "peak_int8",
    Precision.NVFP4: "peak_fp4",
    Precision.MXFP4: "peak_fp4",
}


def _rate(row: Row, precision: Precision) -> float:
    if precision == Precision.INT4:  # weight only: the arithmetic is 16 bits wide
        return max(_rate(row, Precision.BF16), _rate(row, Precision.FP16))
    return row.values_by_column[_RATES[precision]] or 0.0


def _accelerator(
    row: Row, precision: Precision, kv_precision: int | None
) -> tuple[dict[str, float], dict[str, Derived]]:
    fields = {name: _stored(row, name) for name in CANONICAL["hardware"]}
    derived: dict[str, Derived] = {}

    reported = row.values_by_column["mem_device_reported_bytes"]
    if reported is not None and "mem_capacity" not in row.given:
        fields["mem_capacity"] = reported

    fields["peak_flops"] = _rate(row, precision)
    wide = max(_rate(row, Precision.BF16), _rate(row, Precision.FP16))
    if precision in (Precision.FP32, Precision.TF32):
        fields["attention_peak_flops"] = fields["peak_flops"] or wide
    elif wide:
        fields["attention_peak_flops"] = wide
    else:
        fallback = _rate(row, Precision.FP32) or fields["peak_flops"]
        fields["attention_peak_flops"] = fallback
        derived["attention_peak_flops"] = Derived(
            "no 16-bit rate: attention runs at the fp32 rate, or that of the GEMMs if there is none", 0.3
        )
    if not _known(fields["vector_flops"]) and wide:
        fields["vector_flops"] = VECTOR_SHARE * wide
        derived["vector_flops"] = Derived(
            f"no vector rate published: {VECTOR_SHARE:g} of the 16-bit rate, the median of the cloud devices "
            "that list both",
            0.6,
        )

    if not _known(fields["link_bandwidth"]) and _known(fields["host_bandwidth"]):
        fields["link_bandwidth"] = fields["host_bandwidth"]
        derived["link_bandwidth"] = Derived(
            "no accelerator link: peers are reached through the host link", 0.1
        )
    if not _known(fields["link_latency"]) and _known(fields["link_bandwidth"]):
        fields["link_latency"] = tables.rows("fabrics")["pcie_gen5_x16"]["latency_s"]
        derived["link_latency"] = Derived(
            "planning value of PCIe and of links other than NVLink (fabrics table)", 0.5
        )

    if _known(fields["tdp"]):
        if not _known(fields["idle_power"]):
            constant = tables.rows("constants")["idle_power_fraction_gpu_datacenter"]
            fields["idle_power"] = constant["value"] * fields["tdp"]
            derived["idle_power"] = Derived(
                f"{constant['value']:g} of TDP (constants: idle_power_fraction_gpu_datacenter; "
                f"{constant.sources})",
                0.3,
            )
        if not _known(fields["embodied_carbon"]):
            fields["embodied_carbon"] = EMBODIED_PER_WATT * fields["tdp"]
            derived["embodied_carbon"] = Derived(
                f"{EMBODIED_PER_WATT:g} kg per W of TDP, from the footprints of A100 (0.32), H100 (0.23) "
                "and B200 (0.28)",
                0.2,
            )

    kernels, notes = curves.kernels(
        row, precision, kv_precision is not None and format_record(precision, kv_precision).kv_bytes <= 1.0
    )
    fields.update(kernels)
    derived.update(notes)
    for name, value in row.given.items():
        if name in Accelerator._fields:
            fields[name] = value
            derived.pop(name, None)
    return fields, derived


def accelerator_record(row: Row | str, precision: int, kv_precision: int | None = None) -> Accelerator:
    """What a device's row says at one precision.

    `peak_flops` is the dense rate of the format that GEMMs compute in, 0 where the device has none (or none
    is published): int4 weights compute in 16 bits, the 4-bit float formats at the fp4 rate.  Attention
    computes in 16 bits (fp32 and tf32 models: in theirs).  `mem_capacity` is what the device reports where
    known, else the label.  With an 8-bit `kv_precision` prefill attention takes its faster curve.

    Parameters
    ----------
    row : Row or str
    precision, kv_precision : int
        Codes of `mlsysim.schema.codes.Precision`.
    """
    return Accelerator(
        **_accelerator(tables.lookup("hardware", row, "hardware"), Precision(int(precision)), kv_precision)[0]
    )


# --- Fleet -----------------------------------------------------------------------------------------------


def _per_node(system: Row, name: str) -> float:
    """A per-node figure; racks and pods give the whole."""
    value = _stored(system, name)
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
        if _known(value):
            return value, row.key
    return NAN, ""


def _fleet(system: Row | None, hardware: Row) -> tuple[dict[str, float], dict[str, Derived]]:
    device, device_notes = _accelerator(hardware, Precision.BF16, None)
    derived: dict[str, Derived] = {}
    fabrics = tables.rows("fabrics")
    if system is None:
        name = hardware.values_by_column.get("default_system")
        system = tables.rows("systems")[name] if name else None
    fields = dict.fromkeys(Fleet._fields, NAN)
    inner: Row | None = None
    outer: Row | None = None

    if system is None:  # the node can be guessed, the network cannot
        alone = hardware.values_by_column["class"] in ("edge", "mobile", "tiny", "wafer") or not _known(
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
                else _stored(system, name)
                for name in Fleet._fields
            }
        )
        inner = fabrics.get(system.values_by_column["intra_fabric"] or "")
        outer = fabrics.get(system.values_by_column["inter_fabric"] or "")
        repeats = system.values_by_column.get("kind") == "node" or (
            outer is not None and system.values_by_column.get("kind") == "rack"
        )
        if not _known(fields["fleet_size"]) or (repeats and "fleet_size" not in system.given):
            fields["fleet_size"] = 0.0  # nodes and networked racks are bought as many as are needed
        if not _known(fields["domain_size"]):
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
    if not _known(fields["intra_bandwidth"]):
        fields["intra_bandwidth"] = device["link_bandwidth"]
        derived["intra_bandwidth"] = Derived(
            "the device's own link",
            device_notes["link_bandwidth"].spread if "link_bandwidth" in device_notes else 0.0,
        )
    elif "link_bandwidth" in hardware.given and "intra_bandwidth" not in (system.given if system else {}):
        fields["intra_bandwidth"] = device["link_bandwidth"]
        derived["intra_bandwidth"] = Derived("the link given for the device", 0.0)
    if not _known(fields["intra_latency"]):
        step = inner["step_latency_s"] if inner else None
        fields["intra_latency"] = device["link_latency"] if step is None else step
        why = "latency of the link, a planning value: no step of a collective is published for it"
        if inner is not None and step is not None:
            why = f"one step of a ring collective over {inner.key} (NCCL tuning tables, fabrics table)"
        derived["intra_latency"] = Derived(why, 0.3)
    if not _known(fields["intra_efficiency"]):
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

    if not _known(fields["torus_axes"]):
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
    elif not _known(fields["inter_bandwidth"]):
        adapters, speed = _stored(system, "nics_per_node"), _stored(system, "nic_Bps")
        if _known(adapters) and _known(speed):
            fields["inter_bandwidth"] = adapters * speed / size
        elif _known(speed) or (outer is not None and "per port" not in outer["bandwidth_basis"]):
            fields["inter_bandwidth"] = speed if _known(speed) else outer["bandwidth_Bps"]  # type: ignore[index]
            derived["inter_bandwidth"] = Derived("number of adapters not given: one per accelerator", 0.2)
        elif one_domain:
            fields["inter_bandwidth"] = fields["intra_bandwidth"]
            derived["inter_bandwidth"] = Derived(
                "the whole fleet is one fast domain: nothing lies between nodes", 0.0
            )
    if not _known(fields["inter_latency"]) and system is not None:
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
    if not _known(fields["inter_efficiency"]):
        measured = outer["measured_fraction"] if outer else None
        fields["inter_efficiency"] = measured or NETWORK_SHARE
        if not measured:
            derived["inter_efficiency"] = Derived(
                "planning value for networks between nodes, no measurement", 0.15
            )
    if not _known(fields["oversubscription"]):
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
        if not _known(fields[name]):
            value, key = _sibling(system, name) if siblings and system is not None else (NAN, "")
            fields[name] = value if _known(value) else otherwise
            derived[name] = Derived(
                f"that of {key}, same accelerators" if _known(value) else why,
                0.1 if _known(value) else spread,
            )
    if system is not None:
        for name in ("nics_per_node", "psus_per_node", "node_price"):
            if not _known(fields[name]) and siblings:
                value, key = _sibling(system, name)
                if _known(value):
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
        fields = _fleet(row, tables.lookup("hardware", hardware or "", "hardware"))[0]
    if fabric is not None:
        network = tables.lookup("fabrics", fabric, "fabric").values_by_column
        fields["inter_bandwidth"] = network["bandwidth_Bps"]
        fields["inter_latency"] = network["step_latency_s"] or network["latency_s"]
        fields["inter_efficiency"] = network["measured_fraction"] or NETWORK_SHARE
    return Fleet(**fields)


# --- Site ------------------------------------------------------------------------------------------------


def _site(grid: Row | None, building: Row | None) -> tuple[dict[str, float], dict[str, Derived]]:
    fields = dict.fromkeys(Site._fields, NAN)
    derived: dict[str, Derived] = {}
    if grid is not None:
        for name in ("carbon_intensity", "electricity_price", "offsite_water"):
            fields[name] = _stored(grid, name)
        above = grid
        while (parent := above.values_by_column.get("parent")) is not None:
            above = tables.rows("grids")[parent]
            for name, spread in (("electricity_price", 0.25), ("offsite_water", 0.4)):
                value = _stored(above, name)
                if not _known(fields[name]) and _known(value):
                    fields[name] = value
                    derived[name] = Derived(
                        f"not published for {grid.key}: that of {above.key} ({above['name']}; "
                        f"{above.sources})",
                        spread,
                    )
    if building is not None:
        for name in ("pue", "wue"):
            fields[name] = _stored(building, name)
    return fields, derived


def site_record(grid: Row | str | None, datacenter: Row | str) -> Site:
    """Where it runs: the grid's carbon, price and water, the building's PUE and WUE.

    A cloud region without a price takes that of its state or country, a state its country's, a country
    of the European Union that of the Union; off-site water likewise.
    """
    return Site(
        **_site(
            None if grid is None else tables.lookup("grids", grid, "region"),
            tables.lookup("datacenters", datacenter, "datacenter"),
        )[0]
    )


# --- rows ------------------------------------------------------------------------------------------------


def usual_precision(row: Row) -> Precision:
    """The precision at which a device is described when none is named: 16 bits if it has them."""
    for precision in (Precision.BF16, Precision.FP16, Precision.FP32, Precision.INT8):
        if _rate(row, precision):
            return precision
    return Precision.BF16


def describe(row: Row) -> tuple[dict[str, float], dict[str, Derived]]:
    """All canonical fields of a row and how the derived ones came about."""
    if row.table == "models":
        return _workload(row)
    if row.table == "hardware":
        fields, derived = _accelerator(row, usual_precision(row), None)
        return fields, {name: text for name, text in derived.items() if _known(fields[name])}
    if row.table == "systems":
        return _fleet(
            row, tables.lookup("hardware", row.values_by_column["accelerator"] or "", "accelerator")
        )
    if row.table in ("grids", "datacenters"):
        names = (
            ("carbon_intensity", "electricity_price", "offsite_water")
            if row.table == "grids"
            else ("pue", "wue")
        )
        fields, derived = _site(
            row if row.table == "grids" else None, row if row.table == "datacenters" else None
        )
        return {name: fields[name] for name in names}, derived
    return {}, {}


def fitted_spread(row: Row, field: str) -> float:
    """Relative spread of a field fitted to measurements, 0 for one that was read."""
    return curves.fitted(row, field, usual_precision(row))[0] if row.table == "hardware" else 0.0


def fitted_source(row: Row, field: str) -> str:
    """What a field was fitted to, empty for one that was read."""
    return curves.fitted(row, field, usual_precision(row))[1] if row.table == "hardware" else ""
