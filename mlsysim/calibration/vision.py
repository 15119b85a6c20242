"""Networks that write no text: pictures, encoders, recommenders and the sensors of microcontrollers.

============= =============================================================================================
scenario      what is measured
============= =============================================================================================
offline       ``measured_samples_per_s`` with any batch
server        the same while a bound on latency is kept
batch         the same at `batch_size`
single_stream ``measured_latency_ms`` of one sample, ``measured_energy_mJ`` of it
multi_stream  ``measured_latency_ms`` of 8 samples
============= =============================================================================================

Blank cells follow the same rules for every row.  One device, or all
processors of a run on them.  A batch that is not recorded is 128 samples.  A server
keeps its bound at 0.85 of the rate of that batch: queues of any service grow without bound near its capacity.  A device
is a row of the zoo by `hardware` or by `hardware_label`; a core that the zoo lacks is its nearest (`zoo_nearest`) with
rates, bandwidth and power scaled by the clock (`clock_ratio`).  A sample of the recommenders of MLPerf is 270 pairs, the
mean of 100 to 700; of its text encoder 178 tokens, the mean of its questions, which are not padded; of its picture
generator 20 steps of two passes.  `runtime` is the code of that name; where it is blank, a table of a framework is eager
unless its notes say compiled or NHWC, all else is an engine.  A record of MLPerf that says fp32 of a quantised TensorRT
run (`notes`) is one of 8 bits; a device without the 16-bit format of a row takes the other one.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any

from mlsysim import zoo
from mlsysim.calibration.rules import PRECISIONS, Refused, given
from mlsysim.calibration.serving import Question
from mlsysim.schema.codes import Precision, Runtime, labels
from mlsysim.zoo.row import Row
from mlsysim.zoo.spelling import UnknownName

SCENARIOS = ("offline", "server", "batch", "single_stream", "multi_stream")
BATCH, STREAMS = 128.0, 8.0
#: what boards draw at work beyond the spread of the time (log): supplies, regulators and what else is on them; scatter of
#: MLPerf Tiny's energies about the prediction, less that of its times
BOARDS = 0.24
#: what kernels that a framework starts one by one take beyond what is known of the device (log): 1.4826 times the median absolute
#: residual of 126 rows of PyTorch is 0.245, of which 0.212 is known; that of engines and of boards, 0.36 and 0.32, is
STARTED = 0.12
#: share of the rate of its batch that a server sustains within its bound
SERVED = 0.85
#: pairs of a sample of MLPerf's recommenders (100 to 700: github.com/mlcommons/inference, recommendation, aggregated
#: samples; their mean general knowledge, not read)
PAIRS = 270.0
#: tokens of a question of SQuAD 1.1 with its paragraph, mean of the development set (general knowledge, not read)
QUESTION = 178.0
#: passes of MLPerf's picture generator: 20 steps, each with and without the prompt
PASSES = 40.0
#: names of MLPerf's tasks that are no names of the zoo
TASKS = {
    "retinanet": "retinanet_resnext50",
    "dlrm-v2-99": "dlrm_mlperf_v2",
    "dlrm-v2-99.9": "dlrm_mlperf_v2",
}
#: what the harness of a board appends to its name
SUFFIX = re.compile(r"[_-](int8|float)([_-].*)?$", re.IGNORECASE)


def model(run: Mapping[str, Any]) -> Row:
    """The network of a row."""
    label = given(run, "model_label")
    name = given(run, "model_key", "model") or TASKS.get(str(label), label)
    if name is None:
        raise Refused("no model stated")
    try:
        row = zoo.model(str(name))
    except UnknownName as error:
        raise Refused(str(error)) from None
    if row["flops_per_sample"] <= 0:
        raise Refused(f"{row.key} writes token by token: give its runs as serving measurements")
    return row


@functools.cache
def scaled(name: str, ratio: float) -> Row:
    """A device of the zoo at another clock."""
    base = zoo.hardware(name)
    rates = {column: base[column] * ratio for column in base if column.startswith("peak_") and base[column]}
    moved = {field: base[field] * ratio for field in ("mem_bandwidth", "tdp", "idle_power") if base[field] is not None}
    return zoo.Hardware(base, name=f"{base.key} at {ratio:g} of its clock", **rates, **moved)


def hardware(run: Mapping[str, Any]) -> Row:
    """The device of a row."""
    named = given(run, "hardware")
    label = SUFFIX.sub("", str(given(run, "hardware_label") or ""))
    if not named and not label and given(run, "device_class") == "cpu":
        label = re.sub(
            r"\((R|TM)\)|\bIntel\b|\bCPU\b.*", "", str(given(run, "host_processor") or ""), flags=re.I
        ).strip()
    for name in (named, label):
        if name:
            try:
                return zoo.hardware(name)
            except UnknownName as error:
                if name == named:
                    raise Refused(str(error)) from None
    near, ratio = given(run, "zoo_nearest"), given(run, "clock_ratio")
    if near is None or ratio is None:
        raise Refused(f"no device of the zoo is named {label!r}: give hardware, or zoo_nearest and clock_ratio")
    return scaled(str(near), float(ratio))


def precision(run: Mapping[str, Any], card: Row) -> Precision:
    """The format of a row, as the device has it."""
    named = str(given(run, "precision") or "fp16").lower()
    if named not in PRECISIONS:
        raise Refused(f"precision {named!r} is not known: {', '.join(PRECISIONS)}")
    if "quantised" in str(given(run, "notes") or ""):
        return Precision.INT8
    asked = PRECISIONS[named]
    other = {Precision.FP16: Precision.BF16, Precision.BF16: Precision.FP16}.get(asked)
    return asked if other is None or card[f"peak_{asked.name.lower()}"] else other


def runtime(run: Mapping[str, Any]) -> Runtime:
    """The software of a row."""
    stated = given(run, "runtime")
    if stated is not None:
        known = labels(Runtime)
        if stated not in known:
            raise Refused(f"runtime {stated!r} is not known: {', '.join(known)}")
        return Runtime(known[str(stated)])
    if given(run, "area") != "framework":
        return Runtime.ENGINE
    notes = str(given(run, "notes") or "")
    if "compiled" in notes:
        return Runtime.COMPILED
    return Runtime.EAGER_CHANNELS_LAST if "NHWC" in notes else Runtime.EAGER


def passes(run: Mapping[str, Any], workload: Row) -> float:
    """Passes of the network for one sample."""
    if given(run, "area") != "mlperf_inference":
        return 1.0
    if workload["family"] == "DLRM":
        return PAIRS
    return PASSES if workload["kind"] == "diffusion" else 1.0


def tokens(run: Mapping[str, Any], workload: Row) -> float:
    """Tokens of a sample."""
    if not workload["n_heads"]:
        return 1.0
    if given(run, "area") == "mlperf_inference":
        return QUESTION
    return float(given(run, "seq_len") or workload["max_context"])


def processors(run: Mapping[str, Any]) -> float:
    """Sockets of a run on processors alone."""
    return float(given(run, "n_processors") or 1.0) if given(run, "device_class") == "cpu" else 1.0


def question(run: Mapping[str, Any]) -> Question:
    """A row as inputs of SingleNodeModel."""
    scenario = given(run, "scenario")
    if scenario not in SCENARIOS:
        raise Refused(f"scenario {scenario!r} is not known: {', '.join(SCENARIOS)}")
    workload, card = model(run), hardware(run)
    alone = {"single_stream": 1.0, "multi_stream": STREAMS}.get(str(scenario))
    size = alone or float(given(run, "batch_size") or BATCH)
    each = passes(run, workload)
    together = 2.0 if workload["kind"] == "diffusion" and each > 1.0 else each  # steps follow each other
    speed, energy = given(run, "measured_samples_per_s"), given(run, "measured_energy_mJ")
    if speed is None and given(run, "measured_latency_ms") is not None:
        speed = 1e3 * (alone or size) / run["measured_latency_ms"]
    devices = 1.0 if alone else float(given(run, "n_devices") or processors(run))
    load = SERVED if scenario == "server" else 1.0
    inputs = {
        "model": workload,
        "hardware": card,
        "precision": int(precision(run, card)),
        "runtime": int(runtime(run)),
        "batch_size": size * together,
        "seq_len": tokens(run, workload),
    }
    measured, targets = {}, {}
    if speed is not None:
        measured["samples_per_s"] = float(speed)
        targets["samples_per_s"] = ("throughput", devices * load / each, 1.0)
    if energy is not None:
        measured["energy_per_sample"] = energy * 1e-3
        targets["energy_per_sample"] = ("energy_per_sample", each, 1.0)
    return Question("pass", inputs, {}, targets, measured, {})


def uncertain(run: Mapping[str, Any]) -> dict[str, float]:
    """How uncertain rates and energies are beyond what the device leaves open (log)."""
    started = {} if runtime(run) == Runtime.ENGINE else {"samples_per_s": STARTED}
    return {"energy_per_sample": BOARDS} | started


def group(run: Mapping[str, Any]) -> str:
    """Area and class of device."""
    area = given(run, "area") or "network"
    kind = given(run, "device_class") or "?"
    return f"{area}/{given(run, 'scenario')}/{kind}"
