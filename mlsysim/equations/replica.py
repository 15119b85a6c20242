"""A replica that serves a batch of requests: what it holds, how long whole requests take, what a token costs.

References
----------
Pope et al. 2023, "Efficiently scaling transformer inference" (arXiv:2211.05102); Zhong et al. 2024, "DistServe"
(arXiv:2401.09670) for prefill and decode on devices of their own.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import sharding
from mlsysim.equations.counting import ceil_div
from mlsysim.equations.serving import Layout, step_power, total
from mlsysim.equations.step import Step
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Accelerator, Format, Workload

# --- memory --------------------------------------------------------------------------------------------


class Held(NamedTuple):
    """What one device of a replica holds (byte)."""

    weights: Any  #: of the model and of its draft
    fixed: Any  #: weights, workspace, and what the runtime reserves
    per_sequence: Any  #: cache and logits of one sequence


def held(
    model: Workload, draft: Workload | None, format: Format, assume: Assumptions, layout: Layout, booked, rows, checked
) -> Held:
    """What one device holds, whatever the batch, and what each sequence adds.

    Parameters
    ----------
    draft : model that drafts, or None.
    layout : tensor, pipeline and expert parallelism.
    booked : tokens of cache that are booked for a sequence.
    rows : tokens of the largest step on one attention group, for its workspace.
    checked : tokens of a sequence that a decode step samples.
    """
    tp, _, ep = layout
    weights = sharding.weights_per_device(model, format, *layout)
    kept = sharding.as_cached(model, assume)
    cache = sharding.kv_bytes_per_sequence_and_device(kept, format, *layout, booked)
    # a recurrent state cannot be cut back: one more is kept for every token that is checked beside the first
    states = sharding.kv_bytes_per_sequence_and_device(kept, format, *layout, 0.0)
    cache = cache + (checked - 1.0) * states
    if draft is not None:
        weights = weights + sharding.weights_per_device(draft, format, *layout)
        of_draft = sharding.as_cached(draft, assume)
        cache = cache + sharding.kv_bytes_per_sequence_and_device(of_draft, format, *layout, booked)
    logits = sharding.logits_bytes(model, assume, tp, checked / sharding.attention_groups(tp, ep))
    return Held(
        weights=weights,
        fixed=weights + sharding.workspace_bytes(model, assume, tp, rows) + sharding.reserved_bytes(assume, *layout),
        per_sequence=cache + logits,
    )


def bytes_held(holding: Held, sequences):
    """Memory of one device with some sequences (byte)."""
    return holding.fixed + sequences * holding.per_sequence


# --- whole requests ------------------------------------------------------------------------------------


class Phase(NamedTuple):
    """A step of prefill or decode, and the device that runs it."""

    step: Step
    time: Any  #: s
    power: Any  #: of one device (W)
    price: Any  #: of one device (USD/s)


def phase(hardware: Accelerator, assume: Assumptions, step: Step) -> Phase:
    """A step on a device."""
    time = total(step)
    return Phase(step, time, step_power(hardware, assume, step, time), hardware.hourly_price)


class Delivered(NamedTuple):
    """What a replica gives, and what a generated token costs."""

    decoding: Any  #: seconds that a request decodes, or None where an answer has no length
    throughput: Any  #: requests/s, or None likewise
    usd: Any  #: per token
    joule: Any  #: per token
    arithmetic: Any  #: share of the time in which the device calculates
    traffic: Any  #: share of the time in which its memory is busy
    prefill_decode_ratio: Any  #: that keep the decode replica busy, a ratio; None where one device does both
    pooled: Any  #: devices, with that ratio of prefill replicas
    devices: Any  #: devices, with whole prefill replicas


def endless(devices, batch, decode: Phase) -> Delivered:
    """Requests whose answers have no length: decoding alone counts.

    Examples
    --------
    >>> step = Step(0.5, 0.25, 0.0, 0.25, 0.25, 0.5)
    >>> found = endless(2.0, 4.0, Phase(step, 1.0, 300.0, 0.001))
    >>> [float(x) for x in (found.usd, found.joule, found.traffic)]
    [0.0005, 150.0, 0.5]
    """
    rate = batch / decode.time
    return Delivered(
        decoding=None,
        throughput=None,
        usd=devices * decode.price / rate,
        joule=devices * decode.power / rate,
        arithmetic=decode.step.arithmetic / decode.time,
        traffic=decode.step.traffic / decode.time,
        prefill_decode_ratio=None,
        pooled=devices,
        devices=devices,
    )


def _energy(devices, batch, prompts, generated, prefill: Phase, decode: Phase, decoding):
    """Energy of a generated token: its decoding, and its part of the prefill (J)."""
    prompt = prefill.power * prefill.time / prompts
    return devices * (decode.power * decoding / (batch * generated) + prompt / generated)


def together(devices, batch, prompts, generated, prefill: Phase, decode: Phase) -> Delivered:
    """Requests whose prompts the decoding devices prefill too: ``T = T_prefill b / n + (S_out - 1) ITL``.

    Parameters
    ----------
    devices : of the replica.
    batch : b, sequences.
    prompts : n, prefilled together.
    generated : S_out, tokens of an answer; the first is the prefill's.

    Examples
    --------
    >>> step = Step(0.5, 0.25, 0.0, 0.25, 0.25, 0.5)
    >>> both = Phase(step, 1.0, 300.0, 0.001)
    >>> found = together(2.0, 4.0, 4.0, 10.0, both, both)
    >>> [float(x) for x in (found.throughput, found.usd, found.joule, found.traffic)]
    [0.4, 0.0005, 150.0, 0.5]
    """
    rounds, turns = np.maximum(generated - 1.0, 0.0), batch / prompts
    decoding = rounds * decode.time
    duration = prefill.time * turns + decoding
    return Delivered(
        decoding=decoding,
        throughput=batch / duration,
        usd=devices * decode.price * duration / (batch * generated),
        joule=_energy(devices, batch, prompts, generated, prefill, decode, decoding),
        arithmetic=(turns * prefill.step.arithmetic + rounds * decode.step.arithmetic) / duration,
        traffic=(turns * prefill.step.traffic + rounds * decode.step.traffic) / duration,
        prefill_decode_ratio=None,
        pooled=devices,
        devices=devices,
    )


def apart(devices, batch, prompts, generated, prefill: Phase, decode: Phase) -> Delivered:
    """Requests whose prompts replicas of their own prefill, as many as keep one decode replica busy.

    Parameters
    ----------
    devices : of a replica.
    batch : sequences that decode.
    prompts : prefilled together.
    generated : tokens of an answer; the first is the prefill's.

    Examples
    --------
    >>> step = Step(0.5, 0.25, 0.0, 0.25, 0.25, 0.5)
    >>> both = Phase(step, 1.0, 300.0, 0.001)
    >>> found = apart(2.0, 4.0, 1.0, 9.0, both, both)  # 8 s of decoding take 4 prefills
    >>> [float(x) for x in (found.prefill_decode_ratio, found.pooled, found.devices, found.throughput)]
    [0.5, 3.0, 4.0, 0.5]
    """
    decoding = np.maximum(generated - 1.0, 0.0) * decode.time
    replicas = (batch / prompts) * prefill.time / decoding
    return Delivered(
        decoding=decoding,
        throughput=batch / decoding,
        usd=devices * (decode.price + replicas * prefill.price) * decoding / (batch * generated),
        joule=_energy(devices, batch, prompts, generated, prefill, decode, decoding),
        arithmetic=decode.step.arithmetic / decode.time,
        traffic=decode.step.traffic / decode.time,
        prefill_decode_ratio=replicas,
        pooled=devices * (1.0 + replicas),
        devices=devices * (1.0 + ceil_div(replicas, 1.0)),
    )


def delivered(devices, batch, prompts, output_len, prefill: Phase, decode: Phase, decode_hardware) -> Delivered:
    """What a replica gives: `endless` without a length of answers, `apart` with a device for decoding, else `together`."""
    if output_len is None:
        return endless(devices, batch, decode)
    if decode_hardware is None:
        return together(devices, batch, prompts, output_len, prefill, decode)
    return apart(devices, batch, prompts, output_len, prefill, decode)
