"""A training step on one device: what a layer's forward and backward pass cost, and what surrounds them.

All times are of one micro-batch on one device of a tensor-parallel group of t, `rows` tokens of that
micro-batch on the device's context-parallel rank.

References
----------
Shoeybi et al. 2019; Narayanan et al. 2021; Korthikanti et al. 2022; Dao 2023 (2 matrix products forward, 5
backward in fused attention).  The factors over kernel curves were fitted to 237 published training runs.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture, compute
from mlsysim.equations.selection import choose
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Attention, Recompute
from mlsysim.schema.records import Accelerator, Format, Workload

#: backward over forward: matrix products (input and weight gradient), attention that is not fused
GEMM_BACKWARD = 2.0
UNFUSED_ATTENTION_BACKWARD = 2.0
#: values that attention which is not fused moves per score.  In 16 bits forward 13 bytes: scores written, softmax reads
#: and writes, dropout too and its mask, product with the values reads; backward 19: gradient of the product written and
#: the probabilities read for it, dropout back, softmax back (two read, one written), two products read
UNFUSED_VALUES = 6.5
UNFUSED_TRAFFIC_BACKWARD = 19.0 / 13.0


class Passes(NamedTuple):
    """Seconds of one layer (or the head) for one micro-batch, without communication."""

    forward: Any
    backward: Any  #: without what is computed again
    weight: Any  #: part of `backward` that is weight gradients
    products: Any  #: part of `forward` that is matrix products
    attention: Any  #: part of `forward` that is attention proper
    elementwise: Any  #: part of `forward` that norms, activations and the like take
    expansion: Any  #: part of `products` that expands latents to heads
    last: Any  #: part of `products` that is the last one, whose output only the next layer needs


def training_gemm_time(
    rows, columns, inner, hardware: Accelerator, format: Format, assume: Assumptions, factor=1.0, copies=1.0
):
    """One matrix product in training, or `copies` equal ones (s); see `compute.gemm_time`.

    Parameters
    ----------
    factor : share of a dense product's rate that this one reaches.
    """
    efficiency = hardware.training_gemm_efficiency * assume.training_gemm_factor
    depth = inner_share(inner, assume.gemm_half_inner)
    arithmetic = compute.gemm_compute_time(
        rows, columns, inner, hardware.peak_flops, efficiency * factor * depth, hardware.gemm_half_rows
    )
    width = format.gemm_input_bytes
    traffic = compute.traffic_time(
        compute.gemm_traffic(rows, columns, inner, width, width, format.activation_bytes),
        hardware.mem_bandwidth,
        hardware.gemm_bandwidth_efficiency,
    )
    start = np.where(format.quantised > 0, hardware.plain_gemm_latency, hardware.gemm_latency)
    return compute.operator_time(arithmetic * copies, traffic * copies, start, hardware.gemm_exponent)


#: inner dimension of most of the products to which the kernel curves were fitted
CURVE_INNER = 4096.0


def inner_share(inner, half_inner):
    """Rate of a product of inner dimension k over that of the curve's: ``(1 + K0/4096) / (1 + K0/k)``.

    Examples
    --------
    >>> [float(np.round(inner_share(k, 130.0), 3)) for k in (1024.0, 4096.0, 25600.0)]
    [0.916, 1.0, 1.027]
    """
    return (1.0 + half_inner / CURVE_INNER) / (1.0 + half_inner / np.maximum(inner, 1.0))


def expansion_time(model: Workload, rows, tp, hardware, format, assume):
    """Products that expand latent queries, keys and values to heads, forward; 0 where there are none (s)."""
    heads = model.n_heads / tp
    query = training_gemm_time(
        rows, heads * architecture.query_key_width(model), model.q_lora_rank, hardware, format, assume
    )
    key_value = training_gemm_time(
        rows, heads * (model.nope_head_dim + model.v_head_dim), model.kv_lora_rank, hardware, format, assume
    )
    both = np.where(model.q_lora_rank > 0, query, 0.0) + key_value
    return np.where(model.kv_lora_rank > 0, both, 0.0)


def attention_products_time(model: Workload, rows, tp, hardware, format, assume):
    """Projections of attention, forward (s): query-key-value and output, or those of latent attention.

    Key/value heads are replicated where t exceeds their number.
    """

    def product(columns, inner):
        return training_gemm_time(rows, columns, inner, hardware, format, assume)

    hidden, heads = model.hidden, model.n_heads / tp
    key_value = np.maximum(model.n_kv_heads / tp, 1.0)
    grouped = product(model.head_dim * (heads + 2.0 * key_value), hidden)
    query = np.where(model.q_lora_rank > 0, model.q_lora_rank, heads * architecture.query_key_width(model))
    compressed = product(query, hidden) + product(model.kv_lora_rank + model.rope_head_dim, hidden)
    latent = compressed + expansion_time(model, rows, tp, hardware, format, assume)
    output = product(hidden, heads * architecture.value_width(model))
    return np.where(model.kv_lora_rank > 0, latent, grouped) + output


def ffn_products_time(model: Workload, rows, width, hardware, format, assume, factor=1.0, copies=1.0):
    """The matrices of a feed-forward network of `width` (as it lies on the device), forward (s)."""
    up = training_gemm_time(
        rows, (1.0 + model.gated_ffn) * width, model.hidden, hardware, format, assume, factor, copies
    )
    return up + training_gemm_time(rows, model.hidden, width, hardware, format, assume, factor, copies)


def attention_plateau(attention, hardware: Accelerator):
    """Share of peak that a generation of attention kernels tends to."""
    return choose(
        attention,
        hardware.gemm_efficiency,
        hardware.flash1_efficiency,
        hardware.flash2_efficiency,
        hardware.flash3_efficiency,
    )


def attention_core_time(model: Workload, rows, seq_len, block, tp, attention, hardware, format, assume, cached=0.0):
    """Scores and their product with the values, forward: arithmetic and un-fused traffic apart (s, s).

    Parameters
    ----------
    rows : tokens on the device.
    seq_len : tokens of a sequence.
    block : longest run of tokens that one kernel sees (the sequence, or its context-parallel share).
    cached : tokens before the sequence that a fused kernel attends to as well.
    attention : `Attention`, or None for the device's best measured kernel.
    """
    if attention is None:
        unfused, plateau = False, hardware.attention_efficiency
    else:
        unfused, plateau = attention == Attention.UNFUSED, attention_plateau(attention, hardware)
    causal = architecture.attended_positions(model, seq_len, cached=cached)
    positions = np.where(unfused, seq_len, causal)
    flops = rows * (architecture.attention_flops(model, positions) / tp)
    flops = flops * np.where(block < seq_len, assume.context_imbalance, 1.0)
    half_length = np.where(unfused, 0.0, hardware.attention_half_length)
    arithmetic = compute.attention_time(
        flops, block, hardware.attention_peak_flops, plateau * assume.training_attention_factor, half_length
    )
    moved = rows * (UNFUSED_VALUES * format.activation_bytes * model.n_heads * seq_len / tp)
    traffic = compute.traffic_time(moved, hardware.mem_bandwidth, assume.streaming_efficiency)
    return arithmetic, np.where(unfused, traffic, 0.0)


def quantise_bytes(model: Workload, tp, sequence_parallel, ffn_width, copies, format: Format):
    """Traffic of converting operands of a token's matrix products to the narrow format: forward, backward
    (byte, byte).

    Forward the inputs of both halves of the layer (each copy that goes to an expert), attention's output and
    the activation function's; backward the gradients of what the products give.  Each value is read for its
    scale, read again and written in two layouts; with sequence parallelism before it is gathered.
    """
    split = np.where(sequence_parallel > 0, tp, 1.0)
    latent = model.q_lora_rank + model.kv_lora_rank + model.rope_head_dim
    expanded = model.n_heads * (
        architecture.query_key_width(model) + model.nope_head_dim + architecture.value_width(model)
    )
    grouped = model.head_dim * (model.n_heads + 2.0 * model.n_kv_heads) / tp
    attention = np.where(model.kv_lora_rank > 0, latent + expanded / tp, grouped)
    each = 2.0 * (format.activation_bytes + format.gemm_input_bytes)
    shared = 2.0 * model.hidden / split + copies * model.hidden / tp
    inputs = shared + (model.n_heads * architecture.value_width(model) + ffn_width) / tp
    results = shared + attention + (1.0 + model.gated_ffn) * ffn_width / tp
    narrow = np.where(format.quantised > 0, each, 0.0)
    return narrow * inputs, narrow * results


def layer_elementwise_bytes(model: Workload, tp, sequence_parallel, ffn_width, copies, format: Format):
    """Element-wise traffic of a token in a layer, forward, on one device (byte).

    Norms and residuals (split by t only with sequence parallelism), activation function, rotary embedding of
    gated models (queries and keys read and written), dispatch to experts and back (each copy read and written
    twice).
    """
    split = np.where(sequence_parallel > 0, tp, 1.0)
    base = compute.elementwise_bytes_per_token(
        model.hidden / split, ffn_width / tp, model.gated_ffn, format.activation_bytes
    )
    heads = model.n_heads + model.n_kv_heads
    rotary = model.gated_ffn * 2.0 * heads * model.head_dim * format.activation_bytes / tp
    moved = 4.0 * copies * model.hidden * format.activation_bytes / tp
    return base + rotary + moved


def attention_backward_factor(attention, assume: Assumptions):
    """Backward over forward pass of attention proper: 2 un-fused; fused computes the scores again."""
    if attention is None:
        return assume.attention_backward
    return np.where(attention == Attention.UNFUSED, UNFUSED_ATTENTION_BACKWARD, assume.attention_backward)


def layer_passes(
    products, core, core_traffic, elementwise, factor, expansion=0.0, last=0.0, conversion=(0.0, 0.0)
) -> Passes:
    """Forward and backward pass of a layer from its operators (s).

    Backward: matrix products 2 x, attention proper `factor` x, element-wise work 2 x, un-fused traffic 19/13 x.

    Parameters
    ----------
    conversion : conversions to a narrow format, forward and backward.
    """
    return Passes(
        products + core + core_traffic + elementwise + conversion[0],
        GEMM_BACKWARD * products
        + factor * core
        + UNFUSED_TRAFFIC_BACKWARD * core_traffic
        + 2.0 * elementwise
        + conversion[1],
        products,
        products,
        core + core_traffic,
        elementwise + conversion[0],
        expansion,
        last,
    )


def expert_products_time(model: Workload, rows, tp, ep, expert_tp, hardware, format, assume):
    """Router, routed and shared experts of a layer on one device, forward (s).

    Each of the E / e experts of the device sees ``rows r e t_e / (t E)`` copies of tokens, times the
    imbalance.

    Parameters
    ----------
    rows : tokens of the tensor-parallel group.
    ep, expert_tp : e ranks that share the experts, t_e ranks that share one expert.
    """
    number = np.maximum(model.n_experts, 1.0)
    copies = rows * (model.experts_per_token * ep * expert_tp / (tp * number)) * assume.expert_imbalance
    routed = ffn_products_time(
        model,
        copies,
        model.ffn_hidden / expert_tp,
        hardware,
        format,
        assume,
        assume.grouped_gemm_factor,
        number / ep,
    )
    shared = ffn_products_time(model, rows, model.n_shared_experts * model.ffn_hidden / tp, hardware, format, assume)
    router = training_gemm_time(rows / tp, number, model.hidden, hardware, format, assume)
    return router + routed + np.where(model.n_shared_experts > 0, shared, 0.0)


def layer_time(
    model: Workload,
    moe,
    rows,
    seq_len,
    block,
    tp,
    ep,
    expert_tp,
    sequence_parallel,
    attention,
    hardware,
    format,
    assume,
    cached=0.0,
) -> Passes:
    """Forward and backward pass of a layer on one device, without communication (s).

    Parameters
    ----------
    moe : True for a layer with experts.
    rows : tokens of the micro-batch on the tensor-parallel group.
    seq_len, block, cached : see `attention_core_time`.
    """
    products = attention_products_time(model, rows, tp, hardware, format, assume)
    core, traffic = attention_core_time(model, rows, seq_len, block, tp, attention, hardware, format, assume, cached)
    if moe:
        products = products + expert_products_time(model, rows, tp, ep, expert_tp, hardware, format, assume)
        width, copies, last = architecture.active_ffn_width(model), model.experts_per_token, 0.0
    else:
        width, copies = architecture.dense_ffn_width(model), 0.0
        products = products + ffn_products_time(model, rows, width / tp, hardware, format, assume)
        last = training_gemm_time(rows, model.hidden, width / tp, hardware, format, assume)
    written_out = np.where(model.gated_ffn > 0, assume.eager_factor, 1.0)
    moved = written_out * layer_elementwise_bytes(model, tp, sequence_parallel, width, copies, format)
    streaming = (hardware.mem_bandwidth, assume.streaming_efficiency)
    elementwise = compute.elementwise_time(rows * moved, *streaming, assume.elementwise_slowdown)
    converted = quantise_bytes(model, tp, sequence_parallel, width, copies, format)
    conversion = tuple(
        compute.elementwise_time(rows * nbytes, *streaming, assume.elementwise_slowdown) for nbytes in converted
    )
    expansion = expansion_time(model, rows, tp, hardware, format, assume)
    factor = attention_backward_factor(attention, assume)
    return layer_passes(products, core, traffic, elementwise, factor, expansion, last, conversion)


def repeated_set(recompute):
    """What the backward pass computes again: with activations on the host the selective set (`Recompute`)."""
    return np.where(recompute == Recompute.OFFLOAD, float(Recompute.SELECTIVE), recompute)


def recomputed_time(passes: Passes, recompute, attention, assume: Assumptions):
    """What the backward pass computes again in a layer (s).

    FULL the forward pass, without its last product where the framework stops early; SELECTIVE attention proper where
    it is not fused, else element-wise work, the expansion of latents and the share `selective_products` of the
    matrix products.
    """
    core = 0.0 if attention is None else np.where(attention == Attention.UNFUSED, passes.attention, 0.0)
    unfused = False if attention is None else attention == Attention.UNFUSED
    repeated = passes.elementwise + passes.expansion + assume.selective_products * passes.products
    selective = np.where(unfused, core, repeated)
    return np.where(
        recompute == Recompute.FULL,
        passes.forward - assume.checkpoint_early_stop * passes.last,
        np.where(recompute == Recompute.SELECTIVE, selective, 0.0),
    )


def repeated_flops(model: Workload, seq_len, convention, recompute, attention):
    """Operations per token that the backward pass does again and `hfu` counts (FLOP).

    FULL all of the layers; SELECTIVE attention proper where it is not fused, for the rest is no matrix product.

    Parameters
    ----------
    convention : `FlopsConvention`.
    attention : `Attention`, or None for the device's best measured kernel, which is fused.
    """
    positions = architecture.attended_positions(model, seq_len, convention)
    attending = model.n_layers * architecture.attention_flops(model, positions)
    unfused = False if attention is None else attention == Attention.UNFUSED
    selective = np.where(unfused & (repeated_set(recompute) == Recompute.SELECTIVE), attending, 0.0)
    return np.where(recompute == Recompute.FULL, architecture.linear_flops(model) + attending, selective)


def head_passes(model: Workload, rows, tp, hardware, format, assume) -> Passes:
    """Product with the vocabulary and cross-entropy (s); the logits are written and read once each way.

    The product stays in 16 bits where the layers compute in a narrow format.
    """
    wide_hardware = hardware._replace(
        peak_flops=np.where(format.quantised > 0, hardware.attention_peak_flops, hardware.peak_flops)
    )
    wide_format = format._replace(
        gemm_input_bytes=np.where(format.quantised > 0, format.activation_bytes, format.gemm_input_bytes)
    )
    product = training_gemm_time(rows, model.vocab / tp, model.hidden, wide_hardware, wide_format, assume)
    loss = compute.elementwise_time(
        rows * (assume.training_logit_bytes * model.vocab / tp),
        hardware.mem_bandwidth,
        assume.streaming_efficiency,
    )
    return Passes(product + loss, GEMM_BACKWARD * product + loss, product, product, 0.0, loss, 0.0, 0.0)


def optimizer_time(
    params, gradient_bytes, optimizer_bytes, weight_bytes, mem_bandwidth, bandwidth_efficiency, slowdown=1.0
):
    """Update of `params` parameters: gradients and states read, states and weights written (s).

    ``(g + 2 K + w) N / (f BW)``, times `slowdown` where it is not one fused kernel.
    """
    moved = params * (gradient_bytes + 2.0 * optimizer_bytes + weight_bytes)
    return slowdown * compute.traffic_time(moved, mem_bandwidth, bandwidth_efficiency)


def host_optimizer_time(params, bytes_per_param, host_memory_bandwidth):
    """Update of `params` parameters of one node in host memory (s); about 34 bytes per parameter."""
    return params * bytes_per_param / host_memory_bandwidth


def accumulation_time(params, gradient_bytes, mem_bandwidth, bandwidth_efficiency):
    """Adding a micro-batch's weight gradients to the sum: ``2 g N / (f BW)`` (s)."""
    return compute.traffic_time(2.0 * gradient_bytes * params, mem_bandwidth, bandwidth_efficiency)


def straggler_factor(doublings, loss):
    """Step time over that of equal devices: ``1 + loss x doublings`` beyond 8 devices, not below 1.

    Parameters
    ----------
    doublings : log2(n / 8).
    loss : loss per doubling.
    """
    return 1.0 + loss * np.maximum(doublings, 0.0)


def utilization(flops, n_accelerators, peak_flops, time):
    """MFU or HFU: ``F / (n P t)``, F the model's or the hardware's operations; at most 1.

    A convention that counts masked scores, which no causal kernel computes, would find more than there is.

    References
    ----------
    Chowdhery et al. 2022 (PaLM), appendix B.
    """
    return np.minimum(flops / (n_accelerators * peak_flops * time), 1.0)


def run_flops(params, tokens, recomputed=0.0):
    """Operations of a run, ``(6 + 2 recomputed) N D`` (FLOP).

    References
    ----------
    Narayanan et al. 2021, Eq. 4 (recomputed = 1).
    """
    return (6.0 + 2.0 * recomputed) * params * tokens


def recompute_utilization(mfu, n_layers, hidden, vocab, seq_len, attention_share):
    """HFU of selective recomputation from MFU, for a GPT.

    ``MFU (1 + share s/h + head) / (1 + s/(6 h) + head)`` with ``head = V / (12 L h)``.  Korthikanti et al.
    2022 print share = 1/3; one more attention forward pass gives 2/9.
    """
    head = vocab / (12.0 * n_layers * hidden)
    ratio = seq_len / hidden
    return mfu * (1.0 + attention_share * ratio + head) / (1.0 + ratio / 6.0 + head)
