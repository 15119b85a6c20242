"""One pass of a model on one device, or one training step: operations, time, memory, and what does not fit.

References
----------
Williams, Waterman, Patterson 2009, "Roofline", CACM 52(4); Sheng et al. 2023 (arXiv:2303.06865) for offload.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture, mixers, network, operators, sharding
from mlsysim.equations import serving as serve
from mlsysim.equations.adapters import adapter_params
from mlsysim.equations.compute import smooth_max
from mlsysim.equations.memory import head_activations, layer_activations, model_states
from mlsysim.equations.network import MICROCONTROLLER_MEMORY
from mlsysim.equations.training import GEMM_BACKWARD, optimizer_time
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Attention, FlopsConvention, Recompute, Runtime
from mlsysim.schema.records import Accelerator, Format, Workload


class Batch(NamedTuple):
    """What passes through the model at once."""

    size: Any  #: samples
    new: Any  #: tokens of a sample that are computed
    cached: Any  #: tokens of a sample that are in the cache before them
    tokens: Any  #: tokens of all samples, or samples of a model that knows no tokens
    sampled: Any  #: tokens for which the head is computed: all in training, the last of each sample otherwise


class Passes(NamedTuple):
    """How often each kind of work is done: forward once, and what training adds."""

    products: Any  #: matrix products, without what is computed again
    repeated: Any  #: matrix products computed again
    attention: Any  #: attention proper, in forward passes
    counted_attention: Any  #: as `flops` counts it
    elementwise: Any


class DeviceTime(NamedTuple):
    """Time of a pass on the device, by class (s)."""

    compute: Any  #: arithmetic alone
    memory: Any  #: traffic alone
    overhead: Any  #: starts of kernels, and the host
    joined: Any  #: arithmetic and traffic beside each other
    total: Any
    traffic: Any  #: part of `memory`: operands of matrix products, experts included
    expert_traffic: Any  #: part of `traffic`
    cache_read: Any  #: part of `memory`
    streaming: Any  #: part of `memory`: element-wise work and the optimizer


class PassMemory(NamedTuple):
    """What the device holds (byte)."""

    weights: Any
    gradients: Any
    optimizer: Any
    activations: Any
    kv_cache: Any
    total: Any
    main: Any  #: part that main memory holds
    fits_scratchpad: Any  #: do the activations of a microcontroller fit into its SRAM


# --- operations ----------------------------------------------------------------------------------------


def batch(model: Workload, size, new, cached, training) -> Batch:
    """The batch of a pass; a sample of a model that is no transformer counts as one token."""
    tokens = size * np.where(model.n_layers > 0, new, 1.0)
    return Batch(size, new, cached, tokens, np.where(training, tokens, size))


def passes(assume: Assumptions, training, frozen, recompute) -> Passes:
    """How often each kind of work is done.

    The backward pass computes the gradient of the input and, unless adapters are trained, of the weights.

    Parameters
    ----------
    training : is it a training step.
    frozen : are adapters trained in place of the weights.
    recompute : `Recompute`.

    Examples
    --------
    >>> assume = Assumptions(attention_backward=2.5)
    >>> [float(part) for part in passes(assume, True, False, Recompute.FULL)]
    [3.0, 1.0, 4.5, 3.0, 4.0]
    >>> [float(part) for part in passes(assume, True, True, Recompute.NONE)]
    [2.0, 0.0, 3.5, 3.0, 3.0]
    """
    repeated = np.where(training & (recompute == Recompute.FULL), 1.0, 0.0)
    again = np.where(recompute > Recompute.NONE, 1.0, 0.0)
    return Passes(
        products=1.0 + np.where(training, np.where(frozen, 1.0, GEMM_BACKWARD), 0.0),
        repeated=repeated,
        attention=1.0 + np.where(training, assume.attention_backward, 0.0) + repeated,
        counted_attention=1.0 + np.where(training, 2.0, 0.0),
        elementwise=1.0 + np.where(training, 2.0 + again, 0.0),
    )


def operations(model: Workload, batch: Batch, passes: Passes, convention):
    """Operations of a pass: the model's, and those that are executed (FLOP, FLOP).

    Parameters
    ----------
    convention : `FlopsConvention`.

    Examples
    --------
    One token of Llama 3.1 8B without context: 2 per weight of the layers and the head, and 4 L h for attention.

    >>> from mlsysim import zoo
    >>> from mlsysim.schema.codes import FlopsConvention
    >>> model = zoo.workload_record(zoo.model("llama3_1_8b"))
    >>> once = Passes(1.0, 0.0, 1.0, 1.0, 1.0)
    >>> flops, executed = operations(model, Batch(1.0, 1.0, 0.0, 1.0, 1.0), once, FlopsConvention.CAUSAL)
    >>> weights = 32 * (41943040 + 176160768) + 128256 * 4096
    >>> float(flops) - (2 * weights + 4 * 32 * 4096), float(executed - flops)
    (0.0, 0.0)
    """
    positions = architecture.attended_positions(model, batch.new, convention, batch.cached)
    linear = batch.tokens * architecture.linear_flops(model)
    before = batch.cached + np.where(
        convention == FlopsConvention.FULL, batch.new, architecture.causal_positions(batch.new)
    )
    attending = batch.tokens * model.n_layers * architecture.attention_flops(model, positions)
    attending = attending + batch.tokens * mixers.mixer_flops(model, batch.new, before)
    head = batch.sampled * architecture.head_flops(model)
    other = batch.size * np.where(model.n_layers > 0, 0.0, model.flops_per_sample)
    flops = passes.products * (linear + head + other) + passes.counted_attention * attending
    done = passes.products + passes.repeated
    attended = passes.counted_attention + passes.repeated
    return flops, done * (linear + other) + passes.products * head + attended * attending


# --- time ----------------------------------------------------------------------------------------------


def training_curves(
    hardware: Accelerator, assume: Assumptions, training, efficiency
) -> tuple[Accelerator, Assumptions]:
    """Device and assumptions of a pass: training has curves of its own; a given efficiency is no curve to correct.

    Parameters
    ----------
    training : is it a training step on the curves of the device.
    efficiency : constant share of peak, or None for the curves.
    """
    if efficiency is not None:
        return hardware, assume._replace(serving_gemm_factor=1.0)
    products = hardware.training_gemm_efficiency * assume.training_gemm_factor
    attention = hardware.attention_efficiency * assume.training_attention_factor
    return hardware._replace(
        gemm_efficiency=np.where(training, products, hardware.gemm_efficiency),
        attention_efficiency=np.where(training, attention, hardware.attention_efficiency),
    ), assume._replace(
        serving_elementwise_slowdown=np.where(
            training, assume.elementwise_slowdown, assume.serving_elementwise_slowdown
        ),
        serving_gemm_factor=np.where(training, 1.0, assume.serving_gemm_factor),
    )


def device_time(
    model: Workload,
    hardware: Accelerator,
    format: Format,
    assume: Assumptions,
    batch: Batch,
    passes: Passes,
    *,
    by_hand,
    efficiency,
    update,
    training=False,
    runtime=Runtime.ENGINE,
    weights_in_sram=0.0,
) -> DeviceTime:
    """Time of a pass whose operands all lie on the device.

    Parameters
    ----------
    by_hand : is it a textbook's calculation: the longer of arithmetic and traffic, nothing else.
    efficiency : constant share of peak, or None for the measured curves.
    update : update of the weights (s).
    training : is it a training step.
    runtime : `Runtime`, none of them `USUAL`.
    weights_in_sram : are a network's weights read from SRAM.
    """
    hardware, format, assume, launches = network.of_runtime(model, hardware, format, assume, runtime, training, by_hand)
    transformer = model.n_layers > 0
    linear = operators.linear_work(model, hardware, format, assume, 1.0, batch.tokens)
    experts = operators.expert_work(model, hardware, format, assume, 1.0, 1.0, batch.tokens)
    head = operators.head_work(model, hardware, format, assume, 1.0, batch.sampled)
    other = network.work(
        model,
        hardware,
        format,
        assume,
        batch.size,
        runtime=runtime,
        by_hand=by_hand,
        efficiency=efficiency,
        weights_in_sram=weights_in_sram,
    )
    done = passes.products + passes.repeated

    def of_head(part):
        return np.where(transformer, passes.products * part, 0.0)

    starts = done * (linear.start + experts.start + other.start) + of_head(head.start)
    dense_arithmetic = done * (linear.arithmetic + other.arithmetic) + of_head(head.arithmetic)
    dense_traffic = done * (linear.traffic + other.traffic) + of_head(head.traffic)
    expert_traffic = done * experts.traffic
    prompt = (1.0, batch.size, batch.new, batch.cached)
    attending = passes.attention * operators.prefill_attention_arithmetic(model, hardware, *prompt)
    attention = np.where(transformer, attending, 0.0)
    cache_read = passes.attention * operators.prefill_attention_traffic(model, hardware, format, *prompt)
    per_row = serve.elementwise_per_row(model, hardware, format, assume, 1.0)
    between = passes.elementwise * other.apart
    streaming = passes.elementwise * batch.tokens * per_row + np.where(by_hand, 0.0, update) + between
    small = passes.elementwise * (assume.elementwise_kernels * assume.elementwise_kernel_time)
    attention_starts = passes.attention * hardware.decode_attention_latency
    pairs = 0.5 * architecture.residual_blocks(model)  # of a mixer and a network
    kernels = np.where(transformer, pairs * (attention_starts + small), 0.0)
    waits = transformer & (architecture.generates(model) | training)
    host = np.where(by_hand, 0.0, assume.host_step_time * np.where(waits, 1.0, 0.0))
    compute = dense_arithmetic + done * experts.arithmetic + attention
    memory = dense_traffic + expert_traffic + cache_read + streaming
    overhead = starts + kernels + host
    joined = (
        smooth_max(dense_arithmetic, dense_traffic, np.where(transformer, hardware.gemm_exponent, network.EXPONENT))
        + done * (operators.expert_time(experts, assume) - experts.start)
        + np.maximum(attention, cache_read)
        + streaming
    )
    # launches run ahead of the device, which waits where they take longer
    overhead = np.maximum(overhead, np.where(by_hand, 0.0, launches + done * other.host - joined))
    level = network.level(model, assume, training, by_hand, runtime)
    return DeviceTime(
        compute=level * compute,
        memory=level * memory,
        overhead=level * overhead,
        joined=level * joined,
        total=level * np.where(by_hand, np.maximum(compute, memory), overhead + joined),
        traffic=dense_traffic + expert_traffic,
        expert_traffic=expert_traffic,
        cache_read=cache_read,
        streaming=streaming,
    )


def moved_bytes(hardware: Accelerator, assume: Assumptions, time: DeviceTime):
    """Bytes of a pass, from the times of its traffic and the share of bandwidth that each reaches (byte)."""
    experts = time.expert_traffic * assume.expert_bandwidth_efficiency
    products = (time.traffic - time.expert_traffic + time.streaming) * hardware.gemm_bandwidth_efficiency
    cache = time.cache_read * hardware.decode_attention_bandwidth_efficiency
    return hardware.mem_bandwidth * (experts + products + cache)


def update_time(hardware: Accelerator, format: Format, assume: Assumptions, trained, training, zero_stage, dp):
    """Update of the trained parameters, sharded over d devices from ZeRO-1 on (s); 0 without training."""
    seconds = optimizer_time(
        trained / np.where(zero_stage >= 1, dp, 1.0),
        gradient_bytes=assume.gradient_bytes,
        optimizer_bytes=assume.optimizer_bytes,
        weight_bytes=format.parameter_bytes,
        mem_bandwidth=hardware.mem_bandwidth,
        bandwidth_efficiency=hardware.gemm_bandwidth_efficiency,
    )
    return np.where(training, seconds, 0.0)


# --- memory --------------------------------------------------------------------------------------------


def trained_params(model: Workload, lora_rank):
    """Parameters that are trained: those of adapters of a rank, or all of them where it is 0."""
    return np.where(lora_rank > 0, adapter_params(model, lora_rank), architecture.counted_params(model))


def stored_bytes(model: Workload, format: Format, by_hand):
    """Weights as they are stored, each part in its format; by hand the token tables are as wide as most weights (byte)."""
    tables = architecture.embedding_params(model) + architecture.head_params(model)
    experts = sharding.expert_params_per_device(model, 1.0, 1.0) * (format.expert_bytes / format.weight_bytes - 1.0)
    wider = sharding.stored_layer_values(model, format, 1.0) - sharding.layer_params_per_device(model, 1.0)
    stored = format.weight_bytes * (architecture.counted_params(model) - tables + wider + experts)
    apart = format.activation_bytes * sharding.stored_table_values(model, format, 1.0, 1.0)
    return stored + np.where(by_hand, format.weight_bytes * tables, apart)


def mean_ffn_width(model: Workload):
    """Feed-forward width that a token passes, mean over the layers."""
    with_experts = architecture.moe_layers(model)
    dense = architecture.dense_layers(model)
    whole = dense * architecture.dense_ffn_width(model) + with_experts * architecture.active_ffn_width(model)
    return whole / np.maximum(model.n_layers, 1.0)


def activation_bytes(
    model: Workload, format: Format, assume: Assumptions, batch: Batch, training, recompute, by_hand, width
):
    """Activations of a pass: kept for the backward pass, or those of the layer that is being computed (byte).

    Parameters
    ----------
    width : bytes of a value of a network.
    """
    layer = layer_activations(
        model,
        seq_len=batch.new,
        tp=1.0,
        sequence_parallel=0.0,
        recompute=recompute,
        attention=Attention.FLASH2,
        ffn_width=mean_ffn_width(model),
        copies=model.experts_per_token,
        stored_values=np.where(model.gated_ffn > 0, assume.stored_ffn_values, 2.0),
        activation_bytes=format.activation_bytes,
        gemm_input_bytes=format.gemm_input_bytes,
        wide_bytes=assume.wide_bytes,
    )
    at_head = head_activations(model, 1.0, 0.0, format.activation_bytes, assume.training_logit_bytes)
    kept = batch.tokens * (model.n_layers * layer.stored + layer.working + at_head)
    working = sharding.workspace_bytes(model, assume, 1.0, batch.tokens)
    working = working + sharding.logits_bytes(model, assume, 1.0, batch.sampled)
    values = np.where(training, assume.stored_activations * model.activation_values, model.widest_values)
    held = batch.size * width * values
    return np.where(model.n_layers > 0, np.where(training, kept, working), np.where(by_hand, 0.0, held))


def pass_memory(
    model: Workload,
    hardware: Accelerator,
    format: Format,
    assume: Assumptions,
    batch: Batch,
    *,
    training,
    trained,
    frozen,
    recompute,
    zero_stage,
    dp,
    by_hand,
    weights_in_sram=0.0,
) -> PassMemory:
    """What the device holds during a pass.

    A microcontroller keeps its weights in flash and its activations in SRAM, and has no runtime that takes a share.

    Parameters
    ----------
    training : is it a training step.
    trained : parameters that are trained.
    frozen : are adapters trained in place of the weights.
    recompute : `Recompute`.
    zero_stage, dp : sharding of the model states; ZeRO-3 shards frozen weights as well.
    by_hand : is it a textbook's calculation.
    weights_in_sram : does a microcontroller keep its weights there, too.
    """
    states = model_states(
        trained, dp, zero_stage, format.parameter_bytes, assume.gradient_bytes, assume.optimizer_bytes
    )
    shards = np.where(training & (zero_stage >= 3), dp, 1.0)
    weights = np.where(training & np.logical_not(frozen), 0.0, stored_bytes(model, format, by_hand) / shards)
    weights = weights + np.where(training, states.weights, 0.0)
    gradients = np.where(training, states.gradients, 0.0)
    optimizer = np.where(training, states.optimizer, 0.0)
    width = network.value_bytes(hardware, format)
    activations = activation_bytes(model, format, assume, batch, training, recompute, by_hand, width)
    cached = batch.size * format.kv_bytes * sharding.cached_values(model, batch.cached + batch.new)
    cached = cached + batch.size * mixers.state_bytes_per_sequence(model)
    kv_cache = np.where(training, 0.0, cached) * np.where(architecture.generates(model), 1.0, 0.0)
    tiny = hardware.mem_capacity < MICROCONTROLLER_MEMORY
    reserve = np.where(tiny, 0.0, assume.runtime_reserve)
    total = weights + gradients + optimizer + activations + kv_cache + reserve
    scratch = activations + np.where(weights_in_sram > 0, weights, 0.0)
    return PassMemory(
        weights=weights,
        gradients=gradients,
        optimizer=optimizer,
        activations=activations,
        kv_cache=kv_cache,
        total=total,
        main=np.where(tiny, weights + gradients + optimizer + kv_cache, total),
        fits_scratchpad=np.where(tiny, scratch, 0.0) <= np.where(tiny, hardware.sram_capacity, 0.0),
    )
