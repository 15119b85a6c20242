"""Figures that cannot be, or mean something else than they say: each refuses its own row and tells what to write.

Nothing here depends on what is predicted: only on peaks, bandwidths and capacities of the device, and on what figures of a
row say about each other.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from mlsysim.calibration.rules import GIB, TERA, Refused, given
from mlsysim.schema import codes
from mlsysim.schema.codes import Attention, Reserve, Schedule
from mlsysim.zoo.row import Row

#: tokens of a step beyond which a batch was counted in tokens (the largest that is published: about 1.3e8)
MOST_TOKENS = 1.5e8
#: shares of the peak beyond and below which a training run says something else than it means
MOST_SHARE, LEAST_SHARE = 1.05, 1e-3
#: that share where a step time is stated: a batch in tokens is off by far more, a wrong time is an error to be told
OTHER_COUNT = 20.0
#: factor between two counts of parameters from which one is in another unit
OTHER_UNIT = 100.0
#: by how much a figure of memory may exceed the device: labels are rounded
MEMORY_SLACK = 1.03
#: ms: shorter than any answer over a network, and than any step of a model
SHORTEST_TTFT, SHORTEST_ITL = 1.0, 0.05
#: shares of the time that a device needs at its peak below which a time is in another unit: a prompt that is mostly cached, a
#: step that is drafted for five tokens
IMPOSSIBLE_TTFT, IMPOSSIBLE_ITL = 0.25, 0.2
#: by how much tokens/s may exceed what users at their time between tokens get
RATE_SLACK = 1.5
#: s: what a request may take outside of the steps
HANDLING = 1.0
#: logarithm within which tokens/s are what the times of the users give
ALIKE = 0.15
#: share of the peak below which a rate of an ambiguous heading was probably counted on one device
DOUBTFUL = 0.1
#: scenarios whose batch and tokens are those of one device
ONE_DEVICE = ("prefill_only", "decode_only")
WORD_SETTINGS = {"attention": Attention, "schedule": Schedule, "reserve": Reserve}


def settings(run: Mapping[str, Any]) -> None:
    """Refuse a setting that is none of the words it may be."""
    for name, options in WORD_SETTINGS.items():
        if (word := given(run, name)) is not None and word not in codes.labels(options):
            raise Refused(f"{name} {word!r} is not known: {', '.join(codes.labels(options))}")


def peak(hardware: Row, precision: Any) -> float:
    """FLOP/s of a device in the format of the products, at most; infinite where nothing is published."""
    text = str(precision or "").lower()
    formats = ["peak_bf16", "peak_fp16"]
    if "8" in text:
        formats += ["peak_fp8", "peak_int8"]
    if "4" in text:
        formats += ["peak_fp8", "peak_int8", "peak_fp4"]
    known = [hardware[name] for name in formats if hardware[name]]
    return float(max(known)) if known else math.inf


def parameters(run: Mapping[str, Any], workload: Row) -> None:
    """Refuse a count of parameters in another unit."""
    stated, counted = given(run, "n_params"), workload["total_params"]
    if stated is not None and counted and not 1.0 / OTHER_UNIT < stated / counted < OTHER_UNIT:
        raise Refused(
            f"n_params={stated:g} beside a model of {counted:.3g} parameters: it counts parameters, as in {counted:.3g} or "
            f"{counted / 1e9:.3g}B"
        )


def training(
    run: Mapping[str, Any],
    workload: Row,
    hardware: Row,
    inputs: Mapping[str, float],
    time: float,
    ambiguous: Collection[str] = (),
) -> None:
    """Refuse a training run whose figures cannot be.

    Parameters
    ----------
    inputs : mapping
        Batch, lengths and degrees of its first candidate.
    time : float
        The step time that follows from its figures; NaN where none does.
    ambiguous : collection of str
        Columns whose heading does not say whether it counts one device or all.
    """
    parameters(run, workload)
    _memory(run, hardware)
    batch, seq_len = inputs["global_batch"], inputs["seq_len"]
    if batch * seq_len > MOST_TOKENS:
        raise Refused(
            f"global_batch={batch:.0f} counts sequences, and so many of {seq_len:.0f} tokens are {batch * seq_len:.2g} a step: "
            f"a batch in tokens is headed global_batch_tokens, or written {max(batch / seq_len, 1.0):.0f}"
        )
    most = peak(hardware, given(run, "precision"))
    n = inputs["tp"] * inputs["pp"] * inputs["dp"] * inputs["cp"]
    stated = given(run, "measured_tflops_per_gpu")
    if stated is not None and stated * TERA > MOST_SHARE * most:
        raise Refused(
            f"measured_tflops_per_gpu={stated:g} is above the {most / TERA:.0f} TFLOP/s of one device: write TFLOP/s of one "
            f"device{f', {stated / n:.4g} if this counts all {n:g}' if n > 1 else ''}"
        )
    if math.isnan(time):
        return
    active = workload["active_params"] - workload["vocab"] * workload["hidden"]
    share = 6.0 * max(active, 0.0) * batch * seq_len / (n * most * time)
    name = next(
        c
        for c in (
            "measured_step_time_s",
            "measured_tokens_per_s_per_gpu",
            "measured_tokens_per_s_total",
            "measured_tflops_per_gpu",
            "measured_mfu",
            "measured_hfu",
        )
        if given(run, c) is not None
    )
    figure = f"{name}={given(run, name):g}"
    if share > (OTHER_COUNT if name == "measured_step_time_s" else MOST_SHARE):
        raise Refused(f"{figure}: {n:g} devices would run at {share:.3g} times their peak: {_TOO_FAST[name]}")
    if name.endswith("_total") and name in ambiguous and n > 1 and share < DOUBTFUL < share * n < 1.0:
        raise Refused(
            f"{figure}: {share:.1%} of the peak of {n:g} devices, {share * n:.0%} of one: head the column tokens_per_s_per_gpu "
            "or tokens_per_s_total"
        )
    if 0.0 < share < LEAST_SHARE:
        raise Refused(
            f"{figure}: {n:g} devices would run at {share:.2g} of their peak: "
            + ("is it in milliseconds? head the column step_time_ms" if name.endswith("_s") else _TOO_FAST[name])
        )


_TOO_FAST = {
    "measured_step_time_s": "global_batch counts sequences (a batch in tokens is headed global_batch_tokens), n_gpus every "
    "device, and the time is in seconds",
    "measured_tokens_per_s_per_gpu": "tokens/s of all devices are headed tokens_per_s_total; n_gpus counts every device",
    "measured_tokens_per_s_total": "tokens/s of one device are headed tokens_per_s_per_gpu; n_gpus counts every device",
    "measured_tflops_per_gpu": "TFLOP/s are those of one device",
    "measured_mfu": "a utilization is a share, as in 0.45 or 45 %",
    "measured_hfu": "a utilization is a share, as in 0.45 or 45 %",
}


def _memory(run: Mapping[str, Any], hardware: Row) -> None:
    stated = given(run, "measured_mem_gb")
    capacity = hardware["mem_capacity_bytes"] or hardware["mem_capacity"]
    if stated is None or not capacity:
        return
    if stated > MEMORY_SLACK * math.ceil(capacity / 1e9):
        raise Refused(
            f"measured_mem_gb={stated:g} is above the {capacity / GIB:.4g} GiB of one device: write GiB of one device, or a "
            "unit, as in 71000 MiB"
        )


def degrees(run: Mapping[str, Any], ep: float, scenario: str) -> float:
    """Devices of one server.

    A blank `tp` is 1 where nothing speaks against it, and where batch and tokens count one device anyway (`prefill_only`,
    `decode_only`); `n_gpus` that the degrees do not account for is refused, since a figure of several servers is none of one.
    """
    tp, pp, stated = given(run, "tp"), given(run, "pp") or 1.0, given(run, "n_gpus")
    n = pp * max(tp or 1.0, ep)
    if stated is None or stated == n or (tp is None and scenario in ONE_DEVICE):
        return float(n)
    if tp is None:
        raise Refused(
            f"n_gpus={stated:g} and tp is blank: write tp={stated:g} where they share every product, tp=1 and ep={stated:g} "
            "where they share experts only, n_gpus=1 where each serves by itself"
        )
    raise Refused(
        f"n_gpus={stated:g}, but tp={tp:g}, pp={pp:g}, ep={ep:g} make a server of {n:g}: write users and tokens/s of one server "
        f"with n_gpus={n:g}, or the degrees of one server of {stated:g}"
    )


def weights(workload: Row, hardware: Row, n: float, width: float) -> None:
    """Refuse a server whose memory does not hold the weights by themselves.

    Parameters
    ----------
    width : float
        Bytes a weight, at least.
    """
    capacity, size = hardware["mem_capacity_bytes"] or hardware["mem_capacity"], workload["total_params"] * width
    if capacity and size > n * capacity * MEMORY_SLACK:
        raise Refused(
            f"{size / 1e9:.0f} GB of weights do not fit {n:g} x {capacity / 1e9:.0f} GB: write tp (or ep, pp) and precision as "
            "they were"
        )


def serving(
    run: Mapping[str, Any], workload: Row, hardware: Row, n: float, measured: Mapping[str, float], scenario: str
) -> None:
    """Refuse a serving measurement whose figures cannot be.

    Parameters
    ----------
    n : float
        Devices of the server.
    measured : mapping
        Its targets in base units, tokens/s over all devices.
    """
    parameters(run, workload)
    most = n * peak(hardware, given(run, "precision"))
    active = workload["active_params"]
    products = max(active - workload["vocab"] * workload["hidden"], 0.0)
    prompt, batch = given(run, "input_len"), given(run, "batch_or_concurrency")
    alone = scenario in ("first_token", "static_batch") and batch
    if (first := measured.get("ttft")) is not None:
        least = 2.0 * products * (prompt or 0.0) * (batch if alone else 1.0) / most
        if 1e3 * first < SHORTEST_TTFT or first < IMPOSSIBLE_TTFT * least:
            raise Refused(_too_short("ttft", first, least, f" for {prompt:g} tokens" if prompt else ""))
    if (each := measured.get("itl")) is not None:
        least = 0.5 * active / (n * (hardware["mem_bandwidth"] or math.inf))
        if 1e3 * each < SHORTEST_ITL or each < IMPOSSIBLE_ITL * least:
            raise Refused(_too_short("itl", each, least))
    _rates(run, n, measured, scenario)
    rate = measured.get("tokens_per_s")
    if rate is not None and 2.0 * products * rate > MOST_SHARE * most:
        name = "tokens_per_s_total" if given(run, "tokens_per_s_total") is not None else "tokens_per_s_per_gpu"
        raise Refused(
            f"{name}={given(run, name):g}: {n:g} devices would run at {2.0 * products * rate / most:.3g} times their peak: "
            "tokens/s are output tokens (prefill_only: prompt tokens), per device only under tokens_per_s_per_gpu"
        )


def late_first_token(measured: Mapping[str, float], inputs: Mapping[str, Any]) -> str:
    """Why a first token is too late for what the same row says of the time between tokens; "" where it is not.

    A server that fed the prompts of all its clients a token a step, as it decodes, would have read them after ``S_in ITL``; one
    that computes them at once is sooner.  Who waits longer waits for a slot, or for a server that is not ready.  Where other
    devices decode, they are counted against those that read prompts.

    Parameters
    ----------
    measured : mapping
        Times of the row (s).
    inputs : mapping
        Its clients, lengths and degrees.
    """
    first, each = measured.get("ttft"), measured.get("itl")
    if first is None or each is None:
        return ""
    pace = max(_devices(inputs, "decode") / _devices(inputs, "prefill"), 1.0) if "decode_replicas" in inputs else 1.0
    most = pace * inputs["seq_len"] * each
    if first <= HANDLING + most:
        return ""
    users, decoding = inputs["users"], (inputs["output_len"] - 1.0) * each
    ran = users * decoding / (first + decoding)
    return (
        f"suspect: ttft_ms={1e3 * first:.4g}, but at itl_ms={1e3 * each:.4g} the prompts of {users:g} clients are read within "
        f"{1e3 * most:.4g} ms even if each is fed a token a step: about {ran:.0f} ran at once and the others waited (then write "
        f"max_batch={ran:.0f}), or the server was not warmed up"
    )


def _devices(inputs: Mapping[str, Any], pool: str) -> float:
    stem = "" if pool == "prefill" else f"{pool}_"
    return float(inputs[f"{pool}_replicas"] * max(inputs[f"{stem}tp"], inputs[f"{stem}ep"]))


def _too_short(name: str, time: float, least: float, of: str = "") -> str:
    ms = 1e3 * time
    limit = f" (at their peak its devices need {1e3 * least:.3g} ms{of})" if time < least else ""
    return f"{name}_ms={ms:g} is too short{limit}: a time in seconds is headed {name}_s, or written {ms:g} s"


def _rates(run: Mapping[str, Any], n: float, measured: Mapping[str, float], scenario: str) -> None:
    """Refuse tokens/s that contradict each other, or the time between tokens."""
    total, each = given(run, "tokens_per_s_total"), given(run, "tokens_per_s_per_gpu")
    if total is not None and each is not None and not 1.0 / 1.1 < each * n / total < 1.1:
        raise Refused(
            f"tokens_per_s_total={total:g} and tokens_per_s_per_gpu={each:g} contradict each other on {n:g} devices: leave the "
            "wrong one out"
        )
    users, itl = given(run, "batch_or_concurrency"), measured.get("itl")
    rate = measured.get("tokens_per_s")
    if scenario not in ("closed_loop", "static_batch") or users is None or itl is None or rate is None:
        return
    most = users / itl
    if rate > RATE_SLACK * most:
        name = "tokens_per_s_total" if total is not None else "tokens_per_s_per_gpu"
        raise Refused(
            f"{name}={given(run, name):g}: {users:g} users at itl_ms={1e3 * itl:.4g} get at most {most:.4g} tokens/s: write "
            "output tokens only, of one device only under tokens_per_s_per_gpu"
        )
    first, length = measured.get("ttft"), given(run, "output_len")
    if scenario == "closed_loop" and n > 1 and total is not None and first is not None and length:
        all_ = users / (itl + first / length)  # what clients get, each with a request at a time
        if abs(math.log(total * n / all_)) < ALIKE:
            raise Refused(
                f"tokens_per_s_total={total:g}: {users:g} users at these times get about {all_:.4g} tokens/s from {n:g} devices, "
                f"{total:g} from one: head the column tokens_per_s_per_gpu"
            )
