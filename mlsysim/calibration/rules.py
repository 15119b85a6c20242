"""What training and serving runs have in common: formats, devices, blank cells, and why a row cannot be predicted."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from mlsysim import zoo
from mlsysim.schema.codes import Precision
from mlsysim.zoo.row import Row
from mlsysim.zoo.spelling import UnknownName

GIB = 2.0**30
TERA = 1e12
#: sustained clock over power limit where that is below the device's own: power grows with the cube of the clock
CLOCK_EXPONENT = 1.0 / 3.0
#: share of a label's GiB that a device reports (H100: 79.6 of 80)
REPORTED_SHARE = 0.99

PRECISIONS = {
    "fp32": Precision.FP32,
    "tf32": Precision.TF32,
    "fp16": Precision.FP16,
    "half": Precision.FP16,
    "float16": Precision.FP16,
    "float32": Precision.FP32,
    "float8": Precision.FP8,
    "fp8_e4m3": Precision.FP8,
    "w4a16": Precision.INT4,
    "awq": Precision.INT4,
    "gptq": Precision.INT4,
    "bf16": Precision.BF16,
    "bfloat16": Precision.BF16,
    "fp8": Precision.FP8,
    "mxfp8": Precision.FP8,
    "fp8_block": Precision.FP8,
    "int8": Precision.INT8,
    "int4": Precision.INT4,
    "nvfp4": Precision.NVFP4,
    "fp4": Precision.NVFP4,
    "mxfp4": Precision.MXFP4,
}


class Refused(ValueError):
    """Why a row cannot be predicted."""


def is_filled(value: Any) -> bool:
    """Is a cell filled?"""
    return value is not None and value != "" and not (isinstance(value, float) and math.isnan(value))


def given(run: Mapping[str, Any], *names: str) -> Any:
    """The first filled cell among some columns, else None."""
    return next((run[n] for n in names if n in run and is_filled(run[n])), None)


def device(run: Mapping[str, Any]) -> Row:
    """The hardware of a row; figures in its `gpu` label that differ from the zoo's replace them."""
    name = given(run, "hardware")
    if name is None:
        raise Refused("no hardware stated")
    try:
        row = zoo.hardware(name)
    except UnknownName as error:
        raise Refused(str(error)) from None
    label = str(given(run, "gpu") or "")
    changed: dict[str, float] = {}
    capacity = re.search(r"(\d+) ?GB(?!/s)", label)
    if capacity and abs(float(capacity[1]) * 1e9 / row["mem_capacity_bytes"] - 1.0) > 0.1:
        changed["mem_capacity"] = float(capacity[1]) * GIB * REPORTED_SHARE
    rate = re.search(r"(\d+(?:\.\d+)?) ?TB/s", label)
    if rate:
        changed["mem_bandwidth"] = float(rate[1]) * TERA
    power = re.search(r"(\d+) ?W\b", label)
    if power and float(power[1]) < 0.95 * (row["tdp"] or math.inf):
        share = (float(power[1]) / row["tdp"]) ** CLOCK_EXPONENT
        changed["tdp"] = float(power[1])
        changed |= {p: row[p] * share for p in row if p.startswith("peak_") and row[p]}
    if not changed:
        return row
    return zoo.Hardware(row, name=label, **changed)
