"""WeightStreamingModel: language models on devices whose memory is on the chip."""

from typing import NamedTuple

import numpy as np

from mlsysim.equations import architecture, sharding, streaming
from mlsysim.equations.conventions import where_possible, with_some_rate
from mlsysim.equations.experts import distinct_experts
from mlsysim.equations.selection import choose, first_failing
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Bottleneck, Limit, Phase
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Format, Workload


class WeightStreaming(NamedTuple):
    """What `weight_streaming` returns."""

    throughput: Real
    tokens_per_s: Real
    tokens_per_s_per_user: Real
    latency: Real
    optimal_batch: Real
    layer_compute_time: Real
    layer_injection_time: Real
    is_resident: Flag
    n_parts: Real
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
    injection_bandwidth=None,
    efficiency=None,
) -> WeightStreaming:
    """One pass of all layers on a wafer or another device with memory on the chip (wall 6).

    Parameters
    ----------
    seq_len : context of decoding, tokens per sequence of prefill and training.
    batch_size : sequences in flight.
    phase : `prefill`, `decode` or `training`.
    max_parts : devices over which resident weights may spread; if they need more, or if that is sooner, weights are streamed.
    injection_bandwidth : bandwidth at which weights enter (byte/s); an assumption unless given.
    efficiency : share of peak that products reach; an assumption unless given.

    Returns
    -------
    WeightStreaming
        `throughput` counts passes of sequences (decoding: tokens).  `optimal_batch` fills the stages of
        resident weights, or hides the injection of streamed ones.  Layer times are means over the layers.

    Notes
    -----
    Resident: each layer is a stage, ``max(2 M N_l / (eta P), (w N_l + cache) / W) + t_l``; on-chip
    reduction and dispatch (t_l) dominate and are calibrated to published rates: 17 us a layer at 8B, 28 at
    70B, 8 at 405B with later software.  Streamed: ``max(compute, w N_l / B) + t_l``, cache and activations
    stay on the chip; training computes three times the operations and streams the weights twice.

    References
    ----------
    Lie 2022, Hot Chips 34; Cerebras 2024 and 2025, published tokens per second of Llama 3.1.
    """
    training = phase == Phase.TRAINING
    computes = (hardware.peak_flops > 0) & np.logical_not(training & (hardware.widens_weights > 0))
    hardware = with_some_rate(hardware)
    injected_at = assume.streaming_bandwidth if injection_bandwidth is None else injection_bandwidth
    share = assume.wafer_efficiency if efficiency is None else efficiency
    layers = np.maximum(model.n_layers, 1.0)
    rows = batch_size * choose(phase, seq_len, 1.0, seq_len)
    passes = np.where(training, 3.0, 1.0)

    # a mean layer: operations, weights read, cache read
    decoding = phase == Phase.DECODE
    positions = architecture.attended_positions(
        model, np.where(decoding, 1.0, seq_len), cached=np.where(decoding, seq_len - 1.0, 0.0)
    )
    flops = architecture.linear_flops(model) / layers + architecture.attention_flops(model, positions)
    touched = distinct_experts(model.n_experts, model.experts_per_token, rows)
    experts = architecture.moe_layers(model) * architecture.expert_params(model)
    experts = experts * (format.expert_bytes / format.weight_bytes)
    every = sharding.stored_layer_values(model, format, 1.0) + sharding.vector_params_per_device(model, 1.0)
    read = format.weight_bytes * (every + touched * experts) / layers
    held = format.weight_bytes * (every + model.n_experts * experts) / layers
    cached = batch_size * format.kv_bytes * sharding.cached_values(model, seq_len)
    cache_read = np.where(decoding, cached / layers, 0.0)

    arithmetic = passes * rows * flops / (share * hardware.peak_flops)
    on_chip = passes * (read + cache_read) / hardware.mem_bandwidth
    compute = np.maximum(arithmetic, on_chip)
    injection = np.where(training, 2.0, 1.0) * streaming.injection_time(read, injected_at)

    # does it stay on the chip
    tables = architecture.embedding_params(model) + architecture.head_params(model)
    weights = layers * held + format.activation_bytes * tables
    cache = np.where(training, 0.0, cached)
    parts = streaming.parts_needed(weights + cache, hardware.mem_capacity)
    holds = (parts <= max_parts) & np.logical_not(training)

    one_sequence = arithmetic / np.maximum(batch_size, 1.0)
    stage = np.maximum(one_sequence, (read + cache_read / np.maximum(batch_size, 1.0)) / hardware.mem_bandwidth)
    stage = stage + assume.wafer_layer_latency
    head_flops = architecture.head_flops(model) / (share * hardware.peak_flops)
    head_bytes = format.activation_bytes * architecture.embedding_params(model) / hardware.mem_bandwidth
    path = layers * stage + np.maximum(head_flops, head_bytes) + (parts - 1.0) * assume.wafer_hop_latency
    resident_rate = streaming.pipeline_rate(batch_size, stage, path)

    layer = np.maximum(compute, injection) + assume.wafer_layer_latency
    sampled = np.where(training, rows, batch_size)
    head = passes * np.maximum(sampled * head_flops, head_bytes * hardware.mem_bandwidth / injected_at)
    streamed = layers * layer + head
    activations = np.where(
        training,
        rows * format.activation_bytes * layers * model.hidden,
        rows * format.activation_bytes * assume.wafer_live_activations * model.hidden,
    )
    streamed_use = cache + activations + assume.wafer_layers_held * held
    # a device that could hold the model still streams it where a batch that shares each layer is done sooner
    staged = np.maximum(path, batch_size * stage)
    resident = holds & ((staged <= streamed) | (streamed_use > hardware.mem_capacity))
    latency = np.where(resident, staged, streamed)
    throughput = np.where(resident, resident_rate, batch_size / streamed)
    per_pass = choose(phase, seq_len, 1.0, seq_len)

    fills = path / stage
    row_work = passes * flops / (share * hardware.peak_flops)
    hides = injection / row_work / per_pass
    used = np.where(resident, (weights + cache) / parts, streamed_use)
    layered = (model.n_layers > 0) & architecture.alike(model)
    limit = first_failing(
        ((seq_len >= 1) & (batch_size >= 1), Limit.SHAPE),
        (layered & (architecture.generates(model) | (phase != Phase.DECODE)) & computes, Limit.CAPABILITY),
        (used <= hardware.mem_capacity, Limit.MEMORY),
    )
    working = np.where(resident, stage - assume.wafer_layer_latency, np.maximum(compute, injection))
    busy = np.where(
        resident | (compute >= injection),
        np.where(arithmetic >= on_chip, float(Bottleneck.COMPUTE), float(Bottleneck.MEMORY)),
        float(Bottleneck.LINK),
    )
    answer = WeightStreaming(
        throughput=throughput,
        tokens_per_s=throughput * per_pass,
        tokens_per_s_per_user=per_pass / latency,
        latency=latency,
        optimal_batch=np.where(computes, np.where(resident, fills, hides), 0.0),
        layer_compute_time=compute,
        layer_injection_time=injection,
        is_resident=resident,
        n_parts=parts,
        kv_cache=cache,
        memory_utilization=used / hardware.mem_capacity,
        feasible=limit == 0,
        limit=limit,
        bottleneck=np.where(assume.wafer_layer_latency > working, float(Bottleneck.OVERHEAD), busy),
    )
    return where_possible(computes, answer)


WeightStreamingModel = Model("WeightStreamingModel", weight_streaming, domain="node", walls=(6,))
