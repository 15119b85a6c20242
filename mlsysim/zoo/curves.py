"""Kernel curves: what share of a device's peak its kernels reach.

``curves.csv`` holds one row per measured device and format (columns are named as the fields of
`mlsysim.schema.records.Accelerator`); an empty cell of a format's row is that of the device's ``bf16`` row.

A device that nobody measured takes the curve of its relative (``kernel_relative`` of the hardware table),
else H100's, with a spread of 20 %: its large-GEMM share of peak is moved by the ratio of the two devices'
best measured matrix products (``max_achievable_*`` of the constants) where there is one, and all-reduce is
scaled by the ratio of link bandwidths.  A format that was not measured on a device takes the device's bf16
curve, moved as the format moved it on the device where both were measured; int4 weights always do
(`mlsysim.equations.compute.weight_only`).  Which of this was done is
listed in ``row.derived``.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations.compute import weight_only
from mlsysim.schema.codes import Precision
from mlsysim.zoo import tables
from mlsysim.zoo.row import Derived, Row, plain

SPREAD = 0.2  #: relative spread of a curve taken from another device
#: the same for the share of bandwidth at which weights are read: standard deviation (log) over the measured devices, 0.094
READING_SPREAD = 0.1
#: and of kinds of memory with many devices in published tables of one engine (benchmarks/measured/edge.csv, llama.cpp, one
#: device): 1.4826 times the median deviation of the devices from their median, 0.044 of 16 with GDDR, 0.099 of 10 with LPDDR,
#: each with the spread above as of four devices more
READING_SPREADS = {"GDDR": 0.06}
SIZES = ("256k", "1m", "4m", "16m", "64m")
COUNTS = (2, 4, 8)
FALLBACK = "h100_sxm"
PCIE = "rtx_pro_6000_server"  #: measured device without accelerator links, peer to peer over PCIe
GEMM = ("gemm_latency", "gemm_efficiency", "gemm_half_rows", "gemm_bandwidth_efficiency", "gemm_exponent")
DECODE = ("decode_attention_latency", "decode_attention_bandwidth_efficiency", "decode_attention_ramp")
FLASH = ("flash1_efficiency", "flash2_efficiency", "flash3_efficiency")
PREFILL = ("attention_efficiency", "attention_half_length")
#: FlashAttention 3 by itself -> what stands for it where nobody measured it: the device's own curve
FLASH3 = {"flash3_kernel_efficiency": "attention_efficiency", "flash3_kernel_half_length": "attention_half_length"}
ALLREDUCE = tuple(
    f"{what}_{n}" for what in ("allreduce_latency", "nccl_latency", "bus_bandwidth") for n in COUNTS
) + tuple(f"allreduce_{size}_{n}" for n in COUNTS for size in SIZES)
#: format -> device on which it and bf16 were both measured
_REFERENCE = {"fp8": "h100_sxm", "nvfp4": "b200_sxm"}
#: measured devices whose best products nobody published -> the nearest chip of which they are
_RELATIVE = {"gb300": "b300_sxm"}
#: a measured device whose clocks its power limit holds down in matrix products: 0.967 W for each TFLOP/s of its label
POWER_BOUND = "l40s"
#: power for each operation, over that device's, from which a relative is not held down
ROOMY = 1.5
#: rate of nvfp4 products over 8-bit ones, operands converted before: 3.42 against 1.75 times bf16 on B300
#: (Transformer Engine documentation, GEMM profiling across precisions)
NVFP4_OVER_FP8 = 1.95


def kernel_format(precision: int) -> str:
    """The measured format whose kernels a precision runs."""
    if precision in (Precision.FP8, Precision.INT8):
        return "fp8"
    if precision == Precision.INT4:
        return "int4"
    return "nvfp4" if precision in (Precision.NVFP4, Precision.MXFP4) else "bf16"


@functools.cache
def curve(device: str, dtype: str) -> dict[str, float] | None:
    """The curve of a measured device in one format, None if that was not measured."""
    every = tables.rows("curves")
    row, plain = every.get(f"{device}_{dtype}"), every[f"{device}_bf16"]
    if row is None:
        return None
    return {
        name: plain[name] if row[name] is None else row[name]
        for name in row
        if isinstance(plain[name] or row[name], float)
    }


def own(row: Row) -> tuple[str, bool]:
    """The measured device whose curve a row takes, and whether it is the row's own."""
    if row["kernel_curve"]:
        return row["kernel_curve"], True
    return row["kernel_relative"] or FALLBACK, False


@functools.lru_cache(maxsize=4096)
def achievable(device: str, dtype: str) -> float | None:
    """Best measured product as a share of peak (constants: ``max_achievable_*``), by the longest prefix of the key."""
    start = f"max_achievable_{dtype}_matmul_"
    known = tables.rows("constants")
    fitting = [key for key in known if key.startswith(start) and device.startswith(key[len(start) :])]
    return known[max(fitting, key=len)]["value"] if fitting else None


def _best(row: Row, dtype: str) -> tuple[float, Derived]:
    """Share of peak of the best matrix products of a device, which training comes near, and where it is from."""
    device, _ = own(row)
    if dtype == "int4":  # computed in 16 bits
        dtype = "bf16"
    if dtype == "nvfp4":
        narrow, wider = row["peak_fp4"], row["peak_fp8"]
        if not (narrow and wider):
            reference = curve(_REFERENCE[dtype], dtype)
            assert reference is not None
            return reference["gemm_efficiency"], Derived("no rate of this format", SPREAD)
        share = _best(row, "fp8")[0] * NVFP4_OVER_FP8 * wider / narrow
        return min(1.0, share), Derived(
            f"{NVFP4_OVER_FP8:g} times the rate of fp8 products, as on B300 with operands converted before "
            "(Transformer Engine documentation)",
            SPREAD,
        )
    found = achievable(row.origin, dtype)
    if found:
        return found, Derived(f"best measured {dtype} product (constants: max_achievable_{dtype}_matmul)", 0.05)
    near = device if achievable(device, dtype) else _RELATIVE.get(device, FALLBACK)
    if dtype == "fp8":
        share = (achievable(near, "fp8") or 1.0) / (achievable(near, "bf16") or 1.0)
        return min(1.0, _best(row, "bf16")[0] * share), Derived(
            f"best bf16 product, times the ratio of best fp8 to best bf16 products on {near}", SPREAD
        )
    plain, there = curve(device, "bf16"), curve(near, "bf16")
    assert plain and there
    share = plain["gemm_efficiency"] * (achievable(near, "bf16") or 1.0) / there["gemm_efficiency"]
    return min(1.0, share), Derived(
        f"large products of {device}, moved as the best ones of {near} differ from its large ones", SPREAD
    )


def roomy(row: Row, device: str) -> bool:
    """Has a relative of the power-bound device power enough for the rate of its label?

    Cards for games and L40 are the same chips with half the matrix rate, or with more power for it.
    """
    published = tables.rows("hardware")
    if device != POWER_BOUND or row.origin not in published:
        return False
    cells = [published[key].values_by_column for key in (row.origin, device)]
    if not (cells[0]["tdp_W"] and (cells[0]["peak_bf16"] or cells[0]["peak_fp16"])):
        return False
    power, bound = (c["tdp_W"] / (c["peak_bf16"] or c["peak_fp16"]) for c in cells)
    return bool(power >= ROOMY * bound)


def reading_spread(row: Row) -> float:
    """Relative spread of the share of bandwidth at which weights are read, by the kind of memory.

    >>> reading_spread(tables.rows("hardware")["rtx_4090"]), reading_spread(tables.rows("hardware")["h100_sxm5_80gb"])
    (0.06, 0.1)
    """
    kind = str(row.values_by_column.get("mem_type") or "")
    return next((spread for stem, spread in READING_SPREADS.items() if kind.startswith(stem)), READING_SPREAD)


def _wide(row: Row) -> float:
    """Share of the 16-bit peak that large products reach on a device whose narrow products are asked for."""
    return _gemm(row, Precision.BF16)[0]["gemm_efficiency"]


def _gemm(row: Row, precision: int) -> tuple[dict[str, float], dict[str, Derived]]:
    device, measured = own(row)
    dtype = kernel_format(precision)
    found = curve(device, dtype)
    notes: list[str] = []
    spread = SPREAD
    if dtype == "int4":  # one curve for all devices: what resolvers that start from 16 bits compute
        base = curve(device, "bf16")
        assert base
        found = {**base, **weight_only(base["gemm_efficiency"], base["gemm_bandwidth_efficiency"])}
        notes.append(
            "int4 weights, 16-bit arithmetic: the bf16 curve, moved as weight-only kernels of a100_sxm differ from its "
            "bf16 kernels, at the bf16 kernels' start (Marlin, arXiv:2408.11743)"
        )
    elif found is None:
        base, reference = curve(device, "bf16"), _REFERENCE[dtype]
        moved, plain = curve(reference, dtype), curve(reference, "bf16")
        assert base and moved and plain
        found = dict(base)
        found["gemm_latency"] = base["gemm_latency"] + max(0.0, moved["gemm_latency"] - plain["gemm_latency"])
        for name in ("gemm_efficiency", "gemm_bandwidth_efficiency"):
            found[name] = min(1.0, base[name] * moved[name] / plain[name])
        found["gemm_half_rows"], found["gemm_exponent"] = moved["gemm_half_rows"], moved["gemm_exponent"]
        notes.append(
            f"{dtype} was not measured: the bf16 curve, moved as {reference}'s {dtype} curve differs from "
            "its bf16 curve"
        )
    elif precision in (Precision.FP32, Precision.TF32, Precision.FP16):
        notes.append("bf16 kernels stand for fp32, tf32 and fp16")
        spread = 0.1 if precision == Precision.FP16 and measured else SPREAD
    elif precision in (Precision.INT8, Precision.MXFP4):
        notes.append(f"{dtype} kernels stand for this format")
    values = {name: found[name] for name in GEMM}
    best = "fp8" if dtype == "fp8" and achievable(row.origin, "fp8") else "bf16"
    if not measured:
        notes.append(f"kernels of this device were not measured: the curve of {device}")
        there, here = achievable(device, best) or achievable(FALLBACK, best), achievable(row.origin, best)
        if here and there:
            values["gemm_efficiency"] *= here / there
            notes.append(
                f"share of peak times {here:.3g}/{there:.3g}, the best measured {best} products of the two "
                f"(constants: max_achievable_{best}_matmul)"
            )
        if roomy(row, device):
            free = curve(FALLBACK, "fp8" if dtype == "fp8" else "bf16")
            assert free
            values |= {name: free[name] for name in ("gemm_efficiency", "gemm_half_rows")}
            notes.append(
                f"share of peak and tile fill of {FALLBACK}: this card has {ROOMY:g} times the power of {device} for each "
                "operation, and the clocks of that one fall at its power limit"
            )
    derived = {name: Derived("; ".join(notes), spread) for name in GEMM} if notes else {}
    if notes:
        derived["gemm_bandwidth_efficiency"] = Derived("; ".join(notes), min(spread, reading_spread(row)))
    wide_curve = curve(device, "bf16")
    assert wide_curve
    values["plain_gemm_latency"] = wide_curve["gemm_latency"]
    values["wide_gemm_efficiency"] = _wide(row) if dtype != "bf16" else values["gemm_efficiency"]
    if not measured:
        derived |= dict.fromkeys(("plain_gemm_latency", "wide_gemm_efficiency"), derived["gemm_latency"])
    values["training_gemm_efficiency"], derived["training_gemm_efficiency"] = _best(row, dtype)
    return values, derived


def _attention(row: Row, cache_in_8_bits: bool) -> tuple[dict[str, float], dict[str, Derived]]:
    device, measured = own(row)
    plain = curve(device, "bf16")
    assert plain
    values = {name: plain[name] for name in (*FLASH, *PREFILL, *DECODE)}
    chip = measured or bool(row["kernel_relative"])
    values |= {name: plain[name if chip and name in plain else otherwise] for name, otherwise in FLASH3.items()}
    notes = [] if measured else [f"kernels of this device were not measured: the curve of {device}"]
    derived = {name: Derived(notes[0], SPREAD) for name in values} if notes else {}
    if cache_in_8_bits:
        narrow = curve(device, "fp8")
        if narrow:
            values.update({name: narrow[name] for name in (*PREFILL, *DECODE)})
        else:
            wide, narrow = curve(FALLBACK, "bf16"), curve(FALLBACK, "fp8")
            assert wide and narrow
            values.update({name: plain[name] * narrow[name] / wide[name] for name in PREFILL})
            sentence = "; ".join([*notes, "prefill with an 8-bit cache was not measured: moved as on H100"])
            derived.update({name: Derived(sentence, SPREAD) for name in PREFILL})
    return values, derived


def _largest_bridge(row: Row) -> int:
    """How many devices the accelerator link joins: bridges join two (or four), switches and meshes all."""
    name = row["intra_link_name"] or ""
    return 8 if "bridge" not in name else 4 if "2 or 4" in name else 2


@functools.cache
def _link(device: str, which: str) -> float:
    column = {"link": "intra_link_Bps", "host": "host_link_Bps"}[which]
    return next(
        row.values_by_column[column] or 0.0
        for row in tables.rows("hardware").values()
        if row.values_by_column["kernel_curve"] == device
    )


class _Way(NamedTuple):
    """A way to a device's peers, and the measured device whose all-reduce it scales."""

    name: str
    source: str
    ours: Any  #: its bandwidth, byte/s
    theirs: float

    def __str__(self) -> str:
        low, high = float(np.min(self.ours)) / 1e9, float(np.max(self.ours)) / 1e9
        ours = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
        return f"{self.source}'s, scaled by the {self.name} bandwidths ({ours} against {self.theirs / 1e9:.4g} GB/s)"


def _ways(row: Row, n: int) -> list[_Way]:
    """How `n` devices reach each other: over their link where it joins as many, else over the host's.

    A link that the user gives to a device without one does not close the way over the host.
    """
    device, _ = own(row)
    link = row.given.get("link_bandwidth", row.values_by_column["intra_link_Bps"])
    host = row.given.get("host_bandwidth", row.values_by_column["host_link_Bps"])
    found = []
    if link is not None and n <= _largest_bridge(row):
        source = device if _link(device, "link") else FALLBACK
        found.append(_Way("link", source, link, _link(source, "link")))
    published = tables.rows("hardware").get(row.origin)
    added = "link_bandwidth" in row.given and (
        published is None or published.values_by_column["intra_link_Bps"] is None
    )
    if host is not None and (not found or added):
        source = device if _link(device, "host") and not _link(device, "link") else PCIE
        found.append(_Way("host link", source, host, _link(source, "host")))
    return found


def _scaled(row: Row, way: _Way, n: int) -> dict[str, Any]:
    """All-reduce among `n` devices over one way: the measured one, its transfers as fast as the way allows."""
    base = curve(way.source, "bf16")
    assert base
    ratio = way.ours / way.theirs
    start = base[f"allreduce_latency_{n}"]
    ours = row.given.get(f"allreduce_latency_{n}", start)
    return {
        f"allreduce_latency_{n}": start,
        f"nccl_latency_{n}": base[f"nccl_latency_{n}"],
        f"bus_bandwidth_{n}": base[f"bus_bandwidth_{n}"] * ratio,
        **{f"allreduce_{size}_{n}": ours + (base[f"allreduce_{size}_{n}"] - start) / ratio for size in SIZES},
    }


def _allreduce(row: Row) -> tuple[dict[str, Any], dict[str, Derived]]:
    device, measured = own(row)
    values: dict[str, Any] = dict.fromkeys(ALLREDUCE, float("nan"))
    derived: dict[str, Derived] = {}
    for n in COUNTS:
        ways = _ways(row, n)
        if not ways:
            continue
        found = _scaled(row, ways[0], n)
        for other in ways[1:]:
            for name, value in _scaled(row, other, n).items():
                better = np.maximum if name.startswith("bus_bandwidth") else np.minimum
                found[name] = plain(better(found[name], value))
        values |= found
        first = ways[0]
        if first.source != device or not measured or np.any(np.abs(first.ours / first.theirs - 1.0) > 1e-9):
            sentence = f"all-reduce among {n} was not measured: {', or '.join(map(str, ways))}"
            derived.update({name: Derived(sentence, SPREAD) for name in found})
    return values, derived


def kernels(row: Row, precision: int, cache_in_8_bits: bool = False) -> tuple[dict[str, Any], dict[str, Derived]]:
    """All curve fields of a device at one precision, and which of them were not measured on it."""
    values: dict[str, Any]
    values, derived = _gemm(row, precision)
    for part in (_attention(row, cache_in_8_bits), _allreduce(row)):
        values.update(part[0])
        derived.update(part[1])
    return values, derived


def fitted(row: Row, field: str, precision: int) -> tuple[float, str]:
    """Relative spread and source of a curve field measured on the device; 0 and "" for other fields."""
    device, _ = own(row)
    dtype = kernel_format(precision)
    if curve(device, dtype) is None:
        dtype = "bf16"
    found = curve(device, dtype)
    assert found
    for fields, name in (
        ((*GEMM, "plain_gemm_latency", "wide_gemm_efficiency", "training_gemm_efficiency"), "gemm_spread"),
        ((*FLASH, *FLASH3, *PREFILL), "attention_spread"),
        (DECODE, "decode_spread"),
        (ALLREDUCE, "allreduce_spread"),
    ):
        if field in fields:
            spread = found[name] if field != "gemm_exponent" else 0.0
            if (
                field == "gemm_bandwidth_efficiency" and dtype == "bf16"
            ):  # no less known than that of a device without a curve
                spread = min(spread, reading_spread(row))
            return spread, tables.rows("curves")[f"{device}_{dtype}"].sources
    return 0.0, ""
