"""WeightStreamingModel: language models on devices whose memory is on the chip."""

from typing import NamedTuple

import numpy as np

from mlsysim.equations import architecture, sharding, streaming
from mlsysim.equations.conventions import where_possible, with_some_rate
from mlsysim.equations.counting import floor_div
from mlsysim.equations.selection import choose, first_failing
from mlsysim.equations.speculation import tokens_per_round as accepted_tokens
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Bottleneck, FlopsConvention, Limit, Phase, WeightPlan
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Format, Workload


class WeightStreaming(NamedTuple):
    """What `weight_streaming` returns."""

    throughput: Real
    tokens_per_s: Real
    tokens_per_s_per_user: Real
    latency: Real
    tokens_per_round: Real
    optimal_batch: Real
    layer_compute_time: Real
    layer_injection_time: Real
    is_resident: Flag
    n_parts: Real
    missing_parts: Real
    max_resident_batch: Real
    kv_cache: Real
    memory_utilization: Real
    feasible: Flag
    limit: Code
    bottleneck: Code


@kernel
def weight_streaming(
    model: Workload,
    hardware: Accelerator,
    format: Format,
    assume: Assumptions,
    seq_len=2048,
    batch_size=1,
    phase=Phase.DECODE,
    max_parts=1,
    weight_plan=WeightPlan.BEST,
    injection_bandwidth=None,
    acceptance=0.7,
    draft_len=0,
    efficiency=None,
    flops_convention=FlopsConvention.CAUSAL,
) -> WeightStreaming:
    """One pass of all layers on a wafer or another device with memory on the chip (wall 6).

    Parameters
    ----------
    seq_len : context of decoding, tokens per sequence of prefill and training.
    batch_size : sequences in flight.
    phase : `prefill`, `decode` or `training`.
    max_parts : devices over which resident weights may spread, as few of them as hold weights and cache (a batch that
        needs one more has its operations, too); if they need more (`missing_parts`), weights are streamed through one.
    weight_plan : `best` keeps weights on the chips where they fit, unless streaming is sooner; `resident` and
        `streamed` insist.
    injection_bandwidth : bandwidth at which weights enter (byte/s); an assumption unless given.
    acceptance, draft_len : probability that a drafted token is accepted, and drafted tokens per round of decoding;
        drafting itself is free.
    efficiency : share of peak that products reach, few rows or many; an assumption unless given.
    flops_convention : `full` computes all positions of prompts, masked or not.

    Returns
    -------
    WeightStreaming
        `throughput` counts passes of sequences (decoding: tokens).  `optimal_batch` gives every layer a token
        (resident weights), or hides the injection of streamed ones.  Beyond `max_resident_batch` sequences weights
        and cache do not fit `max_parts` devices: rates fall to those of streaming.  Layer times are means over the
        layers, of one token (decoding) or sequence on a layer's share of the devices where weights are resident.
        Training always streams.

    Notes
    -----
    Resident: see `mlsysim.equations.streaming`; dispatch and few rows dominate.  The two figures of that law give the
    launch rates of Llama 3.1 8B and 70B on WSE-3; nothing of it is fitted to other models.  The rates of later software
    (70B 2,100, 405B 969 tokens/s) rest on drafting: give `draft_len`.  Streamed: ``max(compute, w N_l / B) + t0``,
    cache and activations stay on the chip; training computes three times the operations and streams the weights twice.
    A device with memory beside its chips is `capability`: `ServingModel` answers for it (a device of one's own says
    ``on_chip_memory=1``).

    References
    ----------
    Lie 2022, Hot Chips 34; Cerebras 2024, published tokens per second of Llama 3.1.
    """
    training, decoding = phase == Phase.TRAINING, phase == Phase.DECODE
    computes = (hardware.peak_flops > 0) & np.logical_not(training & (hardware.widens_weights > 0))
    computes = computes & (hardware.on_chip_memory > 0)
    hardware = with_some_rate(hardware)
    if efficiency is not None:
        assume = assume._replace(wafer_efficiency=efficiency, wafer_half_rows=0.0)
    injected_at = assume.streaming_bandwidth if injection_bandwidth is None else injection_bandwidth
    layers = np.maximum(model.n_layers, 1.0)
    checked = np.where(decoding, 1.0 + draft_len, 1.0)
    tokens = np.where(decoding, checked, seq_len)  # of a sequence in one pass
    rows = batch_size * tokens

    # operations and cache of a token, all layers
    positions = architecture.attended_positions(
        model,
        np.where(decoding, 1.0, seq_len),
        np.where(decoding, float(FlopsConvention.CAUSAL), flops_convention),
        cached=np.where(decoding, seq_len - 1.0, 0.0),
    )
    attention = np.where(
        decoding,
        architecture.decode_attention_flops(model, positions),
        architecture.attention_flops(model, positions),
    )
    flops = streaming.token_flops(model, attention, tokens, positions)
    kept = format.kv_bytes * sharding.cached_values(model, seq_len)
    cache = np.where(training, 0.0, batch_size * kept)

    # does it stay on the chip
    weights = layers * streaming.layer_held(model, format)
    weights = weights + format.activation_bytes * sharding.stored_table_values(model, format, 1.0, 1.0)
    parts = streaming.parts_needed(weights + cache, hardware.mem_capacity)
    holds = (parts <= max_parts) & np.logical_not(training)
    room = np.maximum(max_parts * hardware.mem_capacity - weights, 0.0)
    most = np.where(training, 0.0, floor_div(room, kept))

    in_use = np.minimum(parts, max_parts)
    records = (model, hardware, format, assume)
    read = np.where(decoding, kept, 0.0)
    held = _resident(*records, in_use, flops, read, decoding, rows, checked, batch_size)
    staged, layer, at_once = held.time, held.layer, held.at_once
    entering = _streamed(*records, flops, batch_size * read, training, decoding, rows, batch_size, injected_at)
    streamed, compute, injection = entering.time, entering.compute, entering.injection
    live = np.where(training, layers, assume.wafer_live_activations)
    activations = rows * format.activation_bytes * live * model.hidden
    streamed_use = cache + activations + assume.wafer_layers_held * streaming.layer_held(model, format)

    # a device that could hold the model still streams it where a batch that shares each layer is done sooner
    sooner = (staged <= streamed) | (streamed_use > hardware.mem_capacity)
    resident = choose(weight_plan, holds & sooner, np.logical_not(training), streamed < 0)
    latency = np.where(resident, staged, streamed)
    per_round = np.where(decoding, accepted_tokens(acceptance, draft_len), 1.0)
    per_pass = np.where(decoding, 1.0, seq_len)
    throughput = batch_size * per_round / latency

    hides = entering.injection / entering.token / tokens
    used = np.where(resident, (weights + cache) / in_use, streamed_use)
    layered = (model.n_layers > 0) & architecture.alike(model)
    computes = computes & layered & (architecture.generates(model) | np.logical_not(decoding))
    limit = first_failing(
        ((seq_len >= 1) & (batch_size >= 1), Limit.SHAPE),
        (computes, Limit.CAPABILITY),
        (used <= hardware.mem_capacity, Limit.MEMORY),
    )
    first = np.maximum(layer.work + layer.empty, layer.weights) + layer.cache
    in_share = np.where(decoding, first, seq_len * layer.work + layer.empty)
    start = np.where(resident, layers * layer.start, layers * assume.wafer_layer_latency)
    on_layers = np.where(resident, arithmetic_bound(layer, at_once), entering.arithmetic_bound)
    busy = np.where(
        resident | (compute >= injection),
        np.where(on_layers, float(Bottleneck.COMPUTE), float(Bottleneck.MEMORY)),
        float(Bottleneck.LINK),
    )
    answer = WeightStreaming(
        throughput=throughput,
        tokens_per_s=throughput * per_pass,
        tokens_per_s_per_user=per_pass * per_round / latency,
        latency=latency,
        tokens_per_round=per_round,
        optimal_batch=np.where(computes, np.where(resident, np.maximum(layers / tokens, 1.0), hides), 0.0),
        layer_compute_time=np.where(resident, in_share, compute),
        layer_injection_time=injection,
        is_resident=resident,
        n_parts=parts,
        missing_parts=np.maximum(parts - max_parts, 0.0),
        max_resident_batch=most,
        kv_cache=cache,
        memory_utilization=used / hardware.mem_capacity,
        feasible=limit == 0,
        limit=limit,
        bottleneck=np.where(start > latency - start, float(Bottleneck.OVERHEAD), busy),
    )
    return where_possible(computes, answer)


class Resident(NamedTuple):
    """A pass over weights that stay on the chips."""

    time: Real
    layer: streaming.Layer
    at_once: Real  #: tokens that a layer takes at once


def _resident(model, hardware, format, assume, parts, flops, read, decoding, rows, checked, batch_size) -> Resident:
    """A pass of `rows` tokens, each layer on its share of some devices; `read` are bytes of a sequence's cache."""
    layers = np.maximum(model.n_layers, 1.0)
    at_once = np.where(decoding, streaming.tokens_at_once(layers, rows), rows)
    layer = streaming.mean_layer(model, hardware, format, assume, parts, flops, read, at_once)
    returning = streaming.returning_time(layer, layers, rows, checked)
    time = np.where(decoding, returning, streaming.passing_time(layer, layers, rows))
    sampled = np.where(decoding, at_once, batch_size)
    time = time + streaming.hops_time(layers, parts, assume)
    return Resident(time + streaming.head_time(model, hardware, format, assume, sampled), layer, at_once)


class Streamed(NamedTuple):
    """A pass over weights that enter layer by layer."""

    time: Real
    compute: Real  #: of a layer
    injection: Real  #: of a layer
    token: Real  #: operations of a token in a layer (s)
    arithmetic_bound: Flag


def _streamed(
    model, hardware, format, assume, flops, cached, training, decoding, rows, batch_size, injected_at
) -> Streamed:
    """A pass of `rows` tokens, one layer after another on all of one device; `cached` are bytes of all caches."""
    layers = np.maximum(model.n_layers, 1.0)
    passes = np.where(training, 3.0, 1.0)
    share = assume.wafer_efficiency * hardware.peak_flops
    nbytes = streaming.layer_read(model, format, rows)
    token = passes * flops / layers / share
    arithmetic = (rows + assume.wafer_half_rows) * token
    reading = passes * (nbytes + cached / layers) / hardware.mem_bandwidth
    compute = np.maximum(arithmetic, reading)
    injection = np.where(training, 2.0, 1.0) * streaming.injection_time(nbytes, injected_at)
    heads = np.where(training | decoding, rows, batch_size) * architecture.head_flops(model) / share
    head = np.maximum(heads, format.head_bytes * architecture.embedding_params(model) / injected_at)
    time = layers * (np.maximum(compute, injection) + assume.wafer_layer_latency) + passes * head
    return Streamed(time, compute, injection, token, arithmetic >= reading)


def arithmetic_bound(layer: streaming.Layer, tokens):
    """Do the operations of a layer take longer than its reading?"""
    return tokens * layer.work + layer.empty >= layer.weights + tokens * layer.cache


WeightStreamingModel = Model("WeightStreamingModel", weight_streaming, domain="node", walls=(6,))
