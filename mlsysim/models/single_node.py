"""SingleNodeModel: one pass of one model on one device, and what happens when it does not fit."""

from typing import NamedTuple

import numpy as np

from mlsysim.equations import architecture, operators, roofline, sharding
from mlsysim.equations import serving as serve
from mlsysim.equations.adapters import adapter_params
from mlsysim.equations.compute import smooth_max
from mlsysim.equations.energy import activity, device_power
from mlsysim.equations.experts import distinct_experts
from mlsysim.equations.memory import head_activations, layer_activations, model_states
from mlsysim.equations.selection import first_failing
from mlsysim.equations.textbook import (
    can_compute,
    textbook_assumptions,
    textbook_device,
    where_possible,
    with_efficiency,
    with_some_rate,
)
from mlsysim.equations.training import (
    GEMM_BACKWARD,
    optimizer_time,
    utilization,
)
from mlsysim.resolver import Model, kernel
from mlsysim.schema.codes import Attention, Bottleneck, FlopsConvention, Limit, Recompute
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Assumptions, Fleet, Format, Workload

#: main memory below which a device is a microcontroller: code and weights in flash, activations in SRAM
#: (byte)
MICROCONTROLLER_MEMORY = 64.0 * 2.0**20


class SingleNode(NamedTuple):
    """What `single_node` returns."""

    latency: Real
    compute_time: Real
    memory_time: Real
    overhead_time: Real
    throughput: Real
    flops: Real
    bytes_moved: Real
    arithmetic_intensity: Real
    ridge_point: Real
    mfu: Real
    hfu: Real
    memory_weights: Real
    memory_gradients: Real
    memory_optimizer: Real
    memory_activations: Real
    kv_cache: Real
    memory_per_device: Real
    memory_utilization: Real
    spill_bytes: Real
    host_spill_bytes: Real
    storage_spill_bytes: Real
    effective_bandwidth: Real
    offload_latency: Real
    offload_latency_serial: Real
    break_even_tokens: Real
    energy_per_sample: Real
    feasible: Flag
    limit: Code
    bottleneck: Code


@kernel
def single_node(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    batch_size=1,
    seq_len=2048,
    cached_prefix=0,
    efficiency=None,
    bandwidth_efficiency=None,
    is_training=0,
    recompute=Recompute.NONE,
    zero_stage=0,
    dp=1,
    lora_rank=0,
    flops_convention=FlopsConvention.CAUSAL,
    offload=0,
    textbook=0,
) -> SingleNode:
    """One forward pass, or one training step, on one device; walls 1 (compute) and 2 (memory).

    Parameters
    ----------
    batch_size : samples in the pass; a sample of a transformer is `seq_len` tokens.
    seq_len : new tokens per sample; 1 with `cached_prefix` = context is one decode step.
    cached_prefix : tokens in the cache before them.
    efficiency, bandwidth_efficiency : constant shares of peak and bandwidth in place of the measured curves.
    is_training : 1 adds the backward pass and the optimizer.
    recompute : activations computed again in the backward pass.
    zero_stage, dp : sharding of the model states over `dp` devices (its communication: DistributedModel).
    lora_rank : rank of adapters that are trained in place of the weights; 0 trains all.
    flops_convention : attention FLOPs that `mfu` and `hfu` count.
    offload : 1 lets what does not fit live in host memory and storage; then `latency` is `offload_latency`.
    textbook : 1 for the hand calculation ``max(FLOP / (eta peak), bytes / bandwidth)``: no start times, weights
        and cache as the only traffic, no reserve of the runtime.

    Returns
    -------
    SingleNode
        `offload_latency` overlaps the link with the pass, `offload_latency_serial` waits for it; both equal
        `latency` when all fits.  `break_even_tokens` is the pass from which fetched weights cost no time.

    Notes
    -----
    Products follow the measured curve over all their rows; traffic is weights once (of experts: the
    distinct ones touched), cache, activations.  The head is computed for every token in training, for the
    last one otherwise. A model that is no transformer counts `flops_per_sample`, reads each weight once per
    pass, and moves one activation per `flops_per_activation` operations.

    References
    ----------
    Williams, Waterman, Patterson 2009; Sheng et al. 2023 (arXiv:2303.06865) for offload.
    """
    assume = textbook_assumptions(assume, textbook)
    computes = can_compute(hardware)
    hardware = with_efficiency(
        textbook_device(with_some_rate(hardware), textbook), efficiency, bandwidth_efficiency
    )
    by_hand = textbook > 0
    training = is_training > 0
    transformer = model.n_layers > 0
    if efficiency is None:
        slower = training & ~by_hand
        measured = hardware.training_gemm_efficiency * assume.training_gemm_factor
        plateau = hardware.attention_efficiency * assume.training_attention_factor
        hardware = hardware._replace(
            gemm_efficiency=np.where(slower, measured, hardware.gemm_efficiency),
            attention_efficiency=np.where(slower, plateau, hardware.attention_efficiency),
        )
        unfused = np.where(slower, assume.elementwise_slowdown, assume.serving_elementwise_slowdown)
        sustained = np.where(slower, 1.0, assume.serving_gemm_factor)
        assume = assume._replace(serving_elementwise_slowdown=unfused, serving_gemm_factor=sustained)
    else:
        assume = assume._replace(serving_gemm_factor=1.0)
    tokens = batch_size * np.where(transformer, seq_len, 1.0)
    sampled = np.where(training, tokens, batch_size)

    # passes: 1 forward; backward computes the gradient of the input and, unless adapters are trained, of
    # the weights
    frozen = lora_rank > 0
    products = 1.0 + np.where(training, np.where(frozen, 1.0, GEMM_BACKWARD), 0.0)
    again = np.where(training & (recompute == Recompute.FULL), 1.0, 0.0)
    core = 1.0 + np.where(training, assume.attention_backward, 0.0) + again
    counted_core = 1.0 + np.where(training, 2.0, 0.0)
    streams = 1.0 + np.where(training, 2.0 + np.where(recompute > Recompute.NONE, 1.0, 0.0), 0.0)

    # operations
    length = cached_prefix + seq_len
    positions = architecture.attended_positions(model, seq_len, flops_convention, cached_prefix)
    linear = tokens * architecture.linear_flops(model)
    attending = tokens * model.n_layers * architecture.attention_flops(model, positions)
    head = sampled * architecture.head_flops(model)
    other = batch_size * np.where(transformer, 0.0, model.flops_per_sample)
    flops = products * (linear + head + other) + counted_core * attending
    executed = (products + again) * (linear + other) + products * head + (counted_core + again) * attending

    # time on the device
    one = operators.linear_work(model, hardware, format, assume, 1.0, tokens)
    experts = operators.expert_work(model, hardware, format, assume, 1.0, 1.0, tokens)
    last = operators.head_work(model, hardware, format, 1.0, sampled)
    convolution = np.where(by_hand, 1.0, assume.convolution_efficiency) if efficiency is None else 1.0
    values = batch_size * np.where(
        transformer | by_hand, 0.0, model.flops_per_sample / assume.flops_per_activation
    )
    stream_rate = 1.0 / (hardware.gemm_bandwidth_efficiency * hardware.mem_bandwidth)
    params = architecture.counted_params(model)
    touched = np.minimum(params, 0.5 * model.flops_per_sample)
    plain = operators.Work(
        arithmetic=other / (convolution * hardware.gemm_efficiency * hardware.peak_flops),
        traffic=np.where(
            transformer,
            0.0,
            stream_rate * (format.weight_bytes * touched + 2.0 * format.activation_bytes * values),
        ),
        start=np.where(transformer, 0.0, hardware.gemm_latency),
    )
    layers = operators.Work(
        arithmetic=one.arithmetic + plain.arithmetic,
        traffic=one.traffic + plain.traffic,
        start=one.start + experts.start + plain.start,
    )
    each = products + again
    starts = each * layers.start + np.where(transformer, products * last.start, 0.0)
    dense_arithmetic = each * layers.arithmetic + np.where(transformer, products * last.arithmetic, 0.0)
    dense_traffic = each * layers.traffic + np.where(transformer, products * last.traffic, 0.0)
    arithmetic = dense_arithmetic + each * experts.arithmetic
    traffic = dense_traffic + each * experts.traffic
    attention = np.where(
        transformer,
        core * operators.prefill_attention_arithmetic(model, hardware, 1.0, batch_size, seq_len, cached_prefix),
        0.0,
    )
    cache_read = core * operators.prefill_attention_traffic(
        model, hardware, format, 1.0, batch_size, seq_len, cached_prefix
    )
    elementwise = streams * tokens * serve.elementwise_per_row(model, hardware, format, assume, 1.0)
    small = streams * (assume.elementwise_kernels * assume.elementwise_kernel_time)
    kernels = np.where(transformer, model.n_layers * (core * hardware.decode_attention_latency + small), 0.0)

    # model states
    tables = architecture.embedding_params(model) + architecture.head_params(model)
    table_bytes = np.where(by_hand, format.weight_bytes, format.activation_bytes)
    stored = format.weight_bytes * (params - tables) + table_bytes * tables
    trained = np.where(frozen, adapter_params(model, lora_rank), params)
    states = model_states(
        trained, dp, zero_stage, format.parameter_bytes, assume.gradient_bytes, assume.optimizer_bytes
    )
    base = np.where(training & ~frozen, 0.0, stored)
    weights = base + np.where(training, states.weights, 0.0)
    gradients = np.where(training, states.gradients, 0.0)
    optimizer = np.where(training, states.optimizer, 0.0)
    update = np.where(
        training,
        optimizer_time(
            trained / np.where(zero_stage >= 1, dp, 1.0), assume.gradient_bytes, assume.optimizer_bytes,
            format.parameter_bytes, hardware.mem_bandwidth, hardware.gemm_bandwidth_efficiency,
        ),
        0.0,
    )  # fmt: skip
    streaming = elementwise + np.where(by_hand, 0.0, update)

    compute_time = arithmetic + attention
    memory_time = traffic + cache_read + streaming
    host = np.where(by_hand, 0.0, assume.host_step_time * np.where(transformer, 1.0, 0.0))
    overhead_time = starts + kernels + host
    joined = (
        smooth_max(dense_arithmetic, dense_traffic, hardware.gemm_exponent)
        + each * (operators.expert_time(experts, assume) - experts.start)
        + np.maximum(attention, cache_read)
        + streaming
    )
    resident = np.where(by_hand, np.maximum(compute_time, memory_time), overhead_time + joined)

    # memory
    kept = layer_activations(
        model, seq_len, 1.0, 0.0, recompute, Attention.FLASH2, ffn_width(model), model.experts_per_token,
        assume.stored_ffn_values, format.activation_bytes, format.gemm_input_bytes, assume.wide_bytes,
    )  # fmt: skip
    at_head = head_activations(model, 1.0, 0.0, format.activation_bytes, assume.training_logit_bytes)
    saved = tokens * (model.n_layers * kept.stored + kept.working + at_head)
    working = sharding.workspace_bytes(model, assume, 1.0, tokens) + sharding.logits_bytes(
        model, assume, 1.0, sampled
    )
    convolved = batch_size * format.activation_bytes * model.flops_per_sample / assume.flops_per_activation
    peak_share = np.where(training, 1.0, assume.activation_peak_share)
    activations = np.where(
        transformer, np.where(training, saved, working), np.where(by_hand, 0.0, convolved * peak_share)
    )
    kv_cache = np.where(
        training, 0.0, batch_size * format.kv_bytes * sharding.cached_values(model, length)
    ) * np.where(architecture.generates(model), 1.0, 0.0)
    tiny = hardware.mem_capacity < MICROCONTROLLER_MEMORY
    reserve = np.where(tiny, 0.0, assume.runtime_reserve)
    memory = weights + gradients + optimizer + activations + kv_cache + reserve
    in_main = np.where(tiny, weights + gradients + optimizer + kv_cache, memory)
    scratchpad = np.where(tiny, activations, 0.0) <= np.where(tiny, hardware.sram_capacity, 0.0)

    # what does not fit: states and cache leave the device, activations stay
    movable = weights + gradients + optimizer + kv_cache
    spill = np.minimum(roofline.spilled_bytes(in_main, hardware.mem_capacity), movable)
    host_room = fleet.host_memory / fleet.accelerators_per_node * assume.host_memory_share
    host_spill = np.minimum(spill, host_room)
    storage_spill = spill - host_spill
    idle_experts = model.n_experts - distinct_experts(model.n_experts, model.experts_per_token, tokens)
    unread = (
        architecture.moe_layers(model)
        * idle_experts
        * architecture.expert_params(model)
        * format.weight_bytes
    )
    read_share = 1.0 - np.where(training, 0.0, unread / np.maximum(movable, 1.0))
    fetched = spill * read_share
    link_rate = hardware.host_bandwidth * assume.host_link_efficiency
    over_link = roofline.link_time(
        host_spill * read_share, storage_spill * read_share, link_rate, assume.local_storage_bandwidth
    )
    link = np.where(spill > 0, over_link, 0.0)
    bandwidth = hardware.mem_bandwidth
    by_experts = each * experts.traffic * assume.expert_bandwidth_efficiency
    by_products = (traffic - each * experts.traffic + streaming) * hardware.gemm_bandwidth_efficiency
    by_cache = cache_read * hardware.decode_attention_bandwidth_efficiency
    moved = bandwidth * (by_experts + by_products + by_cache)
    effective = roofline.effective_bandwidth(moved, np.maximum(moved - fetched, 0.0), bandwidth, link)
    prefetched = roofline.prefetched_time(resident, link)
    serial = roofline.serial_time(resident, link)
    latency = np.where(offload > 0, prefetched, resident)

    fits = (in_main <= hardware.mem_capacity) & scratchpad
    if_offloaded = (in_main - spill <= hardware.mem_capacity) & scratchpad
    supported = (
        computes
        & (transformer | (model.flops_per_sample > 0))
        & ((model.max_context <= 0) | (length <= model.max_context))
    )
    limit = first_failing(
        (seq_len >= 1, Limit.SHAPE),
        (supported, Limit.CAPABILITY),
        (np.where(offload > 0, if_offloaded, fits), Limit.MEMORY),
    )
    on_device = np.where(compute_time >= memory_time, float(Bottleneck.COMPUTE), float(Bottleneck.MEMORY))
    within = np.where(overhead_time > joined, float(Bottleneck.OVERHEAD), on_device)
    bottleneck = np.where(
        (offload > 0) & (link > resident), float(Bottleneck.LINK), np.where(by_hand, on_device, within)
    )
    busy = np.minimum(activity(compute_time, memory_time, assume.memory_activity_power) / latency, 1.0)
    answer = SingleNode(
        latency=latency,
        compute_time=compute_time,
        memory_time=memory_time,
        overhead_time=np.where(by_hand, 0.0, overhead_time),
        throughput=batch_size / latency,
        flops=flops,
        bytes_moved=moved,
        arithmetic_intensity=roofline.arithmetic_intensity(flops, moved),
        ridge_point=roofline.ridge_point(hardware.peak_flops, hardware.mem_bandwidth),
        mfu=utilization(flops, 1.0, hardware.peak_flops, latency),
        hfu=utilization(executed, 1.0, hardware.peak_flops, latency),
        memory_weights=weights,
        memory_gradients=gradients,
        memory_optimizer=optimizer,
        memory_activations=activations,
        kv_cache=kv_cache,
        memory_per_device=memory,
        memory_utilization=in_main / hardware.mem_capacity,
        spill_bytes=spill,
        host_spill_bytes=host_spill,
        storage_spill_bytes=storage_spill,
        effective_bandwidth=effective,
        offload_latency=prefetched,
        offload_latency_serial=serial,
        break_even_tokens=roofline.break_even_tokens(
            spill / np.maximum(weights, 1.0),
            format.weight_bytes,
            hardware.gemm_efficiency,
            hardware.peak_flops,
            link_rate,
        ),
        energy_per_sample=device_power(hardware.idle_power, hardware.tdp, busy) * latency / batch_size,
        feasible=limit == 0,
        limit=limit,
        bottleneck=bottleneck,
    )
    return where_possible(computes, answer)


def ffn_width(model: Workload):
    """Feed-forward width a token passes, mean over the layers."""
    with_experts = architecture.moe_layers(model)
    dense = model.n_layers - with_experts
    whole = dense * architecture.dense_ffn_width(model) + with_experts * architecture.active_ffn_width(model)
    return whole / np.maximum(model.n_layers, 1.0)


SingleNodeModel = Model("SingleNodeModel", single_node, domain="node", walls=(1, 2))
