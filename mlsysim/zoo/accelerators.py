"""Devices: from a row and a precision to an `Accelerator`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlsysim.equations.network import MICROCONTROLLER_MEMORY
from mlsysim.schema.codes import Precision, label
from mlsysim.schema.records import Accelerator
from mlsysim.zoo import curves, prices, tables
from mlsysim.zoo.formats import GGUF_BITS, PRODUCTS, WEIGHT_ONLY, cache_format, format_record
from mlsysim.zoo.row import CANONICAL, NAN, RULES, Derived, Row, Rule, first, known, plain, stored, where

#: kg of carbon per W of TDP, cradle to gate: A100 0.32, H100 0.23, B200 0.28 (rows with a product footprint)
EMBODIED_PER_WATT = 0.28
#: fp32 vector rate over the 16-bit matrix rate: median of the cloud devices that list both
VECTOR_SHARE = 0.1
#: multiply-adds of few rows over the fp32 rate: a conversion stands beside each; and the int32 units, which unpack narrow
#: weights, are half as many as the fp32 ones in compute capability 8.6, 8.9 and 9.0 (CUDA C++ Programming Guide, throughput
#: of arithmetic instructions: 64 and 128 a clock).  Rows of devices with as many of both have `peak_int32`
HALF_OF_VECTORS = 0.5

#: TDP follows memory bandwidth, W = 289 (TB/s)^0.597: fitted to 83 devices for servers and desks since 2018 whose TDP
#: is published; the rate of products adds nothing once bandwidth is in.  Leave-one-out error 0.29
TDP_AT_1_TBPS, TDP_EXPONENT, TDP_SPREAD = 289.0, 0.597, 0.29
#: first year of release -> x16 link that new cards of servers and desks had, one direction, bytes/s (fabrics table)
HOST_LINKS = ((2022, "pcie_gen5_x16"), (2020, "pcie_gen4_x16"), (0, "pcie_gen3_x16"))
#: classes of devices to which these rules apply
IN_SERVERS = ("cloud", "workstation")
#: memories that are sold by the GB and built of binary parts: a GB of the label is a GiB
BINARY_MEMORY = ("HBM", "GDDR", "LPDDR")
#: what AMD's driver keeps of a device's memory, bytes
AMD_KEEPS = 16 * 2**20
#: relative spread of a capacity that follows from the label: what drivers keep for themselves and for error correction
LABEL_SPREAD = 0.04


#: formats of checkpoints that run on any device with 16-bit products
_NARROW = (Precision.FP8, Precision.INT8, Precision.NVFP4, Precision.MXFP4)
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


def _rate(row: Row, precision: Precision) -> Any:
    """The rate that the row lists for a format, 0 if it lists none."""
    if precision in WEIGHT_ONLY:  # the arithmetic is 16 bits wide, on processors without it 32
        return max(_rate(row, Precision.BF16), _rate(row, Precision.FP16)) or _rate(row, Precision.FP32)
    cell = row.values_by_column[_RATES[precision]]
    return 0.0 if cell is None else cell


def widened(row: Row, precision: Precision) -> Derived | None:
    """How a device computes with weights in a narrow format of which it has no products: in 16 bits, if it has these.

    A `peak_flops` that was given is the rate of every format.
    """
    wide = _rate(row, Precision.INT4)
    if precision not in _NARROW or "peak_flops" in row.given or not wide or _rate(row, precision) >= wide:
        return None
    lack = f"no {label(precision)} products on this device"
    if _rate(row, precision):
        lack = f"{label(precision)} products of this device are slower than wider ones"
    bits = 16 if max(_rate(row, Precision.BF16), _rate(row, Precision.FP16)) else 32
    return Derived(
        f"{lack}: weights in {label(precision)} are widened on the way to {bits}-bit "
        "products, as int4 weights are (Marlin, arXiv:2408.11743; vllm-project/vllm PR 5975)",
        curves.SPREAD,
    )


def one_rate(row: Row, precision: Precision) -> str | None:
    """What a `peak_flops` that was given means for a device that lists rates by format, where it differs from them.

    >>> mine = tables.lookup("hardware", "h100", "hardware").having({"peak_flops": 5e14})
    >>> one_rate(mine, Precision.FP8)
    'as given, at every number format (the row lists 1978.9 TFLOP/s for fp8): peak_bf16, peak_fp8 ... set one alone'
    """
    own, listed = row.given.get("peak_flops"), _rate(row, precision)
    if own is None or not np.any(listed) or not np.any(own != listed):
        return None
    return (
        f"as given, at every number format (the row lists {float(np.max(listed)) / 1e12:g} TFLOP/s for "
        f"{label(precision)}): peak_bf16, peak_fp8 ... set one alone"
    )


def _rates(row: Row, precision: Precision, fields: dict[str, Any], derived: dict[str, Derived]) -> None:
    """The rates of products, attention and vectors.

    A `peak_flops` that was given holds at every precision.  Attention and vectors follow the rates that the row
    lists by format; where it lists none of 16 bits, they follow that one.
    """
    own: Any = row.given.get("peak_flops")
    fields["peak_flops"] = _rate(row, precision) if own is None else own
    wide = max(_rate(row, Precision.BF16), _rate(row, Precision.FP16))
    half_of_bytes = 0.5 * _rate(row, Precision.INT8)
    sixteen_bits = precision in (Precision.BF16, Precision.FP16, Precision.INT4) and own is None and wide > 0
    fields["narrow_sum_flops"] = plain(np.maximum(fields["peak_flops"], half_of_bytes if sixteen_bits else 0.0))
    if own is not None and not wide:
        fields["attention_peak_flops"] = own
        derived["attention_peak_flops"] = Derived("no 16-bit rate: attention runs at the rate given for the GEMMs", 0.3)
    elif precision in (Precision.FP32, Precision.TF32):
        fields["attention_peak_flops"] = first(_rate(row, precision), wide)
    elif wide:
        fields["attention_peak_flops"] = wide
    else:
        fields["attention_peak_flops"] = first(_rate(row, Precision.FP32), fields["peak_flops"])
        derived["attention_peak_flops"] = Derived(
            "no 16-bit rate: attention runs at the fp32 rate, or that of the GEMMs if there is none", 0.3
        )
    _vectors(row, precision, wide or (0.0 if own is None else own), fields, derived)


def _vectors(row: Row, precision: Precision, matrix: Any, fields: dict[str, Any], derived: dict[str, Derived]) -> None:
    """The rates of vector units: in fp32, and in products of few rows; `matrix` is that of the 16-bit products."""
    if not known(fields["vector_flops"]) and np.any(matrix):
        fields["vector_flops"] = VECTOR_SHARE * matrix
        derived["vector_flops"] = Derived(
            f"no vector rate published: {VECTOR_SHARE:g} of the 16-bit rate, the median of the cloud devices that list both",
            0.6,
        )
    elif not known(fields["vector_flops"]):
        fields["vector_flops"] = 0.0
        derived["vector_flops"] = Derived("neither a vector rate nor a 16-bit rate published: none is counted on", 0.0)
    integers = row.values_by_column["peak_int32"]
    if "vector_ops" in row.given:
        fields["vector_ops"] = row.given["vector_ops"]
    elif integers is not None and precision in WEIGHT_ONLY and "vector_flops" not in row.given:
        fields["vector_ops"] = integers
    else:
        fields["vector_ops"] = HALF_OF_VECTORS * fields["vector_flops"]
        derived["vector_ops"] = Derived(
            f"{HALF_OF_VECTORS:g} of vector_flops: a conversion stands beside each multiply-add, and integer units are half as "
            "many where nobody says otherwise",
            0.6 if "vector_flops" in derived else 0.0,
        )


def _memory(row: Row, fields: dict[str, Any], derived: dict[str, Derived]) -> None:
    """What the device reports, or what follows from the label on the box.

    A label that is no whole number of decimal GB was counted in binary ones already; on-chip memory, flash and the
    memory modules of a server are taken at their label.
    """
    reported, label = row.values_by_column["mem_device_reported_bytes"], row.values_by_column["mem_capacity_bytes"]
    if "mem_capacity" in row.given:
        return
    if reported is not None:
        fields["mem_capacity"] = reported
    elif (
        label is not None and not label % 1e9 and str(row.values_by_column["mem_type"] or "").startswith(BINARY_MEMORY)
    ):
        amd = row.values_by_column["vendor"] == "AMD"
        fields["mem_capacity"] = label / 1e9 * 2**30 - (AMD_KEEPS if amd else 0)
        derived["mem_capacity"] = Derived(
            f"nobody printed what the device reports: the GB of its label are GiB{', less 16 MiB as AMD reports' if amd else ''}",
            LABEL_SPREAD,
        )


def unknown_scratchpad(mem_capacity: Any) -> Any:
    """On-chip memory of which nobody prints the size: none; of a microcontroller, which computes in it, not known."""
    return where(mem_capacity < MICROCONTROLLER_MEMORY, NAN, 0.0)


def _scratchpad(fields: dict[str, Any], derived: dict[str, Derived]) -> None:
    """On-chip memory of which nobody prints the size or the bandwidth."""
    if not known(fields["sram_capacity"]):
        fields["sram_capacity"] = unknown_scratchpad(fields["mem_capacity"])
        if not np.all(np.isnan(fields["sram_capacity"])):
            derived["sram_capacity"] = Derived("no on-chip memory published: none is counted on", 0.0)
    if not known(fields["sram_bandwidth"]):
        fields["sram_bandwidth"] = fields["mem_bandwidth"]
        derived["sram_bandwidth"] = Derived("nobody prints it: as fast as main memory, or as the bus to the flash", 0.5)


def _rates_of_parts(row: Row, parts: Mapping[str, int | None] | None, fields: dict[str, Any]) -> None:
    """How fast the products of parts in a format of their own are, over the others; no rate at all where one has none."""
    for part in PRODUCTS:
        code = (parts or {}).get(part)
        fields[f"{part}_gemm_rate"] = 1.0
        if code is None or "peak_flops" in row.given or not fields["peak_flops"]:
            continue
        precision = Precision(int(code))
        rate = _rate(row, Precision.INT4 if widened(row, precision) else precision)
        if rate:
            fields[f"{part}_gemm_rate"] = rate / fields["peak_flops"]
        else:
            fields["peak_flops"] = 0.0


def _links(fields: dict[str, Any], derived: dict[str, Derived]) -> None:
    """How a device reaches its peers: by the host's link if it has none of its own."""
    if not known(fields["link_bandwidth"]) and known(fields["host_bandwidth"]):
        fields["link_bandwidth"] = fields["host_bandwidth"]
        derived["link_bandwidth"] = Derived("no accelerator link: peers are reached through the host link", 0.1)
    if not known(fields["link_latency"]) and known(fields["link_bandwidth"]):
        fields["link_latency"] = tables.rows("fabrics")["pcie_gen5_x16"]["latency_s"]
        derived["link_latency"] = Derived("planning value of PCIe and of links other than NVLink (fabrics table)", 0.5)


def _on_chip(row: Row) -> bool:
    """Lies all memory on the chip, in a device for servers?"""
    on_chip = str(row.values_by_column["mem_type"] or "").startswith("SRAM")
    return on_chip and row.values_by_column["class"] not in ("tiny", "mobile", "edge")


def _shared(row: Row) -> bool:
    """Do the device and its host work in one memory?"""
    return "unified" in str(row.values_by_column["mem_type"] or "") or row.values_by_column["class"] == "mobile"


def _host(row: Row, fields: dict[str, Any], derived: dict[str, Derived]) -> None:
    """How data reach a device whose host link nobody prints."""
    if known(fields["host_bandwidth"]):
        return
    if _shared(row):
        fields["host_bandwidth"] = fields["mem_bandwidth"]
        derived["host_bandwidth"] = Derived(
            "host and device share one memory: data reach the device at its bandwidth", 0.3
        )
    elif row.values_by_column["class"] in IN_SERVERS:
        year = row.values_by_column["release_year"] or 0
        link = tables.rows("fabrics")[next(key for first_year, key in HOST_LINKS if year >= first_year)]
        fields["host_bandwidth"] = link["bandwidth_Bps"]
        derived["host_bandwidth"] = Derived(
            f"no host link published: {link.key}, usual in its year of release ({year:g})", 0.5
        )


def _limit(row: Row, fields: dict[str, Any], derived: dict[str, Derived]) -> None:
    """The power limit of a device for servers or desks whose limit nobody prints."""
    if row.values_by_column["class"] in IN_SERVERS and not _on_chip(row) and not known(fields["tdp"]):
        fields["tdp"] = TDP_AT_1_TBPS * (fields["mem_bandwidth"] / 1e12) ** TDP_EXPONENT
        derived["tdp"] = Derived(
            f"no limit published: {TDP_AT_1_TBPS:g} W x (memory bandwidth in TB/s)^{TDP_EXPONENT:g}, as of 83 devices",
            TDP_SPREAD,
        )


def _prices(row: Row, fields: dict[str, Any], derived: dict[str, Derived]) -> None:
    """Prices that nobody asks but that follow from what is asked, for the device or for others."""
    for name, price in (("price", prices.purchase(row.origin)), ("hourly_price", prices.hourly(row.origin))):
        if price is not None and price.rule and not known(fields[name]):
            fields[name] = price.value * CANONICAL["hardware"][name][1]
            derived[name] = Derived(price.rule, price.spread)


def _power(fields: dict[str, Any], derived: dict[str, Derived]) -> None:
    """What follows from the power limit."""
    if not known(fields["tdp"]):
        return
    if not known(fields["idle_power"]):
        constant = tables.rows("constants")["idle_power_fraction_gpu_datacenter"]
        fields["idle_power"] = constant["value"] * fields["tdp"]
        derived["idle_power"] = Derived(
            f"{constant['value']:g} of TDP (constants: idle_power_fraction_gpu_datacenter; {constant.sources})",
            0.3,
        )
    if not known(fields["embodied_carbon"]):
        fields["embodied_carbon"] = EMBODIED_PER_WATT * fields["tdp"]
        derived["embodied_carbon"] = Derived(
            f"{EMBODIED_PER_WATT:g} kg per W of TDP, from the footprints of A100 (0.32), H100 (0.23) and B200 (0.28)",
            0.2,
        )


def described(
    row: Row,
    precision: Precision,
    kv_precision: int | None,
    parts: Mapping[str, int | None] | None = None,
    kernels: bool = True,
) -> tuple[dict[str, Any], dict[str, Derived]]:
    """The fields of a device, those of its kernels among them or not, and how those that no source gives came about."""
    fields = {name: stored(row, name) for name in (*CANONICAL["hardware"], "sram_bandwidth")}
    derived: dict[str, Derived] = {}
    wide = widened(row, precision)
    cache = cache_format(precision, kv_precision)
    fields["widens_weights"] = float(wide is not None)
    fields["on_chip_memory"] = float(_on_chip(row))
    if wide is not None:
        derived["peak_flops"] = wide
    if wide is not None or precision in GGUF_BITS or (precision == Precision.MXFP4 and not _rate(row, precision)):
        precision = Precision.INT4

    _memory(row, fields, derived)
    _scratchpad(fields, derived)
    _rates(row, precision, fields, derived)
    _rates_of_parts(row, parts, fields)
    _links(fields, derived)
    _host(row, fields, derived)
    _limit(row, fields, derived)
    _power(fields, derived)
    _prices(row, fields, derived)
    if kernels:
        narrow = cache is not None and format_record(precision, cache).kv_bytes <= 1.0
        of_kernels, notes = curves.kernels(row, precision, narrow)
        fields.update(of_kernels)
        derived.update(notes)
    for name, value in row.given.items():
        if name in Accelerator._fields:
            fields[name] = value
            derived.pop(name, None)
    return fields, derived


def accelerator_record(
    row: Row | str,
    precision: int,
    kv_precision: int | None = None,
    parts: Mapping[str, int | None] | None = None,
    **given: Any,
) -> Accelerator:
    """What a device's row says at one precision.

    `peak_flops` is the dense rate of the format that GEMMs compute in, 0 where the device has none (or none
    is published): int4 weights compute in 16 bits, the 4-bit float formats at the fp4 rate, narrow formats
    that the device lacks in 16 bits as well (`widens_weights`).  Attention computes in 16 bits (fp32 and tf32
    models: in theirs).  `mem_capacity` is what the device reports where
    known, else what follows from the label.  With an 8-bit `kv_precision` prefill attention takes its faster curve.

    Parameters
    ----------
    row : Row or str
    precision, kv_precision : int
        Codes of `mlsysim.schema.codes.Precision`.
    parts : mapping, optional
        Part of the model (`PRODUCTS`) -> its precision: its products run at the peak of that format, at the share
        of peak that products in `precision` reach.
    **given
        Fields that the user gives, numbers or arrays; what is derived from them follows.
    """
    device = tables.lookup("hardware", row, "hardware").having(given)
    return Accelerator(**described(device, Precision(int(precision)), kv_precision, parts)[0])


def usual_precision(row: Row) -> Precision:
    """The precision at which a device computes when none is named: 16 bits if it has them, on a microcontroller 8 (TinyML)."""
    narrow = (Precision.INT8,) if row.values_by_column["class"] == "tiny" else ()
    for precision in (Precision.BF16, Precision.FP16, *narrow, Precision.FP32, Precision.FP8, Precision.INT8):
        if np.any(_rate(row, precision)):
            return precision
    return Precision.BF16


def _as_usual(row: Row) -> tuple[dict[str, Any], dict[str, Derived]]:
    fields, derived = described(row, usual_precision(row), None)
    return fields, {name: text for name, text in derived.items() if known(fields[name])}


RULES["hardware"] = Rule(_as_usual, lambda row, field: curves.fitted(row, field, usual_precision(row)))
