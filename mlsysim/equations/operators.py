"""Operators of a serving step on one device: matrix products, experts, attention, exchanges.

* matrix products: weights once, arithmetic in proportion to the rows.  Within a layer all products share one
  ratio of arithmetic to traffic, so the smooth roofline is applied to their sum (it is homogeneous: where the
  ratios agree, the maximum of the sums is the sum of the maxima);
* experts: the distinct ones that the step touches are read, each token pays for its own;
* attention: decode reads the cache, in proportion to sequences x context; prefill is arithmetic;
* communication: two all-reduces a layer, expert exchanges, sends between stages.

Symbols: L layers, h hidden, a query heads, k key/value heads, d head width, f feed-forward width, V vocabulary; t, p, e as in
`mlsysim.equations.sharding`.

References
----------
Pope et al. 2023, "Efficiently scaling transformer inference" (arXiv:2211.05102); DeepSeek-AI 2024 (arXiv:2412.19437).
"""

from typing import NamedTuple

import numpy as np

from mlsysim.equations import architecture, mixers
from mlsysim.equations.allreduce import allreduce_time
from mlsysim.equations.collectives import direct_share
from mlsysim.equations.compute import (
    attention_time,
    faster_path,
    scaled_rate,
    smooth_max,
    traffic_time,
)
from mlsysim.equations.conventions import quantises
from mlsysim.equations.experts import (
    fullest_rank_experts,
    half_width,
    narrow_rate,
    nodes_touched,
    slowest_rank_load,
    tile_fill,
)
from mlsysim.equations.prompts import kv_tokens_read, kv_tokens_read_in_window, score_time
from mlsysim.equations.sharding import (
    attention_groups,
    devices,
    expert_split,
    kv_bytes_per_layer_and_device,
    kv_heads_per_device,
    layer_params_per_device,
    read_positions,
    stored_layer_values,
    vector_params_per_device,
)
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import FlopsConvention
from mlsysim.schema.kinds import Real
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload

# --- products ------------------------------------------------------------------------------------------


def products_per_step(model: Workload):
    """Matrix products started per pass through all layers (without the head).

    QKV, output, gate and up in one, down: 4; latent attention has 3 more, a layer with experts starts its
    router and, if it has shared experts, their two products instead of the dense two.  A recurrent mixer has 2.
    """
    latent = np.where(model.kv_lora_rank > 0, 3.0, 0.0)
    with_experts = architecture.moe_layers(model)
    shared = np.where(model.n_shared_experts > 0, 2.0, 0.0)
    return (
        architecture.attention_layers(model) * (2.0 + latent)
        + architecture.dense_layers(model) * 2.0
        + with_experts * (1.0 + shared)
        + model.recurrent_layers * 2.0
    )


def product_values_per_row(model: Workload, tp):
    """Activations that the matrix products of all layers read and write per row, on one device (values)."""
    query = model.n_heads / tp
    grouped = 2.0 * model.hidden + model.head_dim * (2.0 * query + 2.0 * kv_heads_per_device(model, tp))
    latent = (
        2.0 * model.hidden
        + 2.0 * (model.q_lora_rank + model.kv_lora_rank + model.rope_head_dim)
        + query * (2.0 * model.nope_head_dim + model.rope_head_dim + 2.0 * model.v_head_dim)
    )
    attention = np.where(model.kv_lora_rank > 0, latent, grouped)
    matrices = architecture.ffn_matrices(model)
    with_experts = architecture.moe_layers(model)
    dense = architecture.dense_layers(model) * (
        2.0 * model.hidden + matrices * architecture.dense_ffn_width(model) / tp
    )
    shared = with_experts * (2.0 * model.hidden + matrices * model.n_shared_experts * model.ffn_hidden / tp)
    projected = model.recurrent_params / (np.maximum(model.hidden, 1.0) * tp)
    recurrent = model.recurrent_layers * (2.0 * model.hidden + projected)
    attending = architecture.attention_layers(model) * attention
    return attending + dense + np.where(model.n_shared_experts > 0, shared, 0.0) + recurrent


class Work(NamedTuple):
    """Matrix products before the roofline joins their parts (s)."""

    arithmetic: Real
    traffic: Real
    start: Real


def expert_time(work: Work, assume: Assumptions):
    """Seconds of routed experts: the longer of arithmetic and traffic, and what shows of the shorter.

    Loads differ: while full experts compute, nearly empty ones read, so the two overlap less than in a dense
    product.  On measured layers (8 to 256 experts, 64 to 4,096 tokens) routing with a power law gives the
    plain sum within 8 %, balanced routing a third of the shorter part.
    """
    longer = np.maximum(work.arithmetic, work.traffic)
    return work.start + longer + assume.expert_exposed * np.minimum(work.arithmetic, work.traffic)


def time_of(work: Work, hardware: Accelerator):
    """Seconds of matrix products: start, and the smooth maximum of arithmetic and traffic."""
    return work.start + smooth_max(work.arithmetic, work.traffic, hardware.gemm_exponent)


def linear_work(model: Workload, hardware: Accelerator, format: Format, assume: Assumptions, tp, rows) -> Work:
    """Matrix products of all layers that every row passes.

    Parameters
    ----------
    rows : tokens in the step, on this device's attention group.
    """
    rates = hardware.attention_gemm_rate, hardware.shared_expert_gemm_rate
    params = layer_params_per_device(model, tp)
    timed = layer_params_per_device(model, tp, *(1.0 / rate for rate in rates))  # each by the time that it takes
    narrow = quantises(hardware, format)
    efficiency = np.where(narrow, hardware.training_gemm_efficiency, hardware.gemm_efficiency)
    sustained = assume.serving_gemm_factor * efficiency * _scaling_rate(hardware, assume, narrow)
    per_row = 2.0 * timed / (sustained * _product_peak(hardware, assume))
    rate = 1.0 / (hardware.gemm_bandwidth_efficiency * hardware.mem_bandwidth)
    moved = assume.activation_traffic * format.activation_bytes * product_values_per_row(model, tp)
    return Work(
        arithmetic=_product_arithmetic(rows, 2.0 * params, per_row, hardware, assume),
        traffic=rate
        * (format.weight_bytes * (stored_layer_values(model, format, tp) + vector_params_per_device(model, tp)))
        + rows * (rate * moved),
        start=products_per_step(model) * np.where(narrow, hardware.plain_gemm_latency, hardware.gemm_latency)
        + unpacking_time(model, hardware, format, assume, tp, rows),
    )


def _product_arithmetic(rows, flops, per_row, hardware: Accelerator, assume: Assumptions):
    """Arithmetic of products of `flops` operations a row, `per_row` seconds of the matrix units each (s)."""
    matrix = (rows + hardware.gemm_half_rows) * per_row
    vectors_only = (rows <= assume.vector_product_rows) & (hardware.vector_ops > 0)
    matrix = np.where(vectors_only, np.inf, matrix)
    return faster_path(matrix, rows * flops, hardware.vector_ops, assume.vector_product_efficiency)


def _product_peak(hardware: Accelerator, assume: Assumptions):
    """Rate of the layers' products: sums 32 bits wide, or 16 where the engine is content with that."""
    return np.where(assume.narrow_sums > 0, hardware.narrow_sum_flops, hardware.peak_flops)


def _scaling_rate(hardware: Accelerator, assume: Assumptions, narrow):
    """Rate of narrow products with scales of blocks over those with a scale a tensor, see `compute.scaled_rate`."""
    scaled = narrow & (assume.block_scales > 0)
    return np.where(scaled, scaled_rate(hardware.peak_flops, hardware.vector_flops), 1.0)


def head_work(model: Workload, hardware: Accelerator, format: Format, assume: Assumptions, tp, rows) -> Work:
    """Product with the vocabulary, in 16 bits however the head is stored; `rows` are the tokens sampled."""
    params = architecture.embedding_params(model) / tp
    peak = np.minimum(hardware.peak_flops, hardware.attention_peak_flops)
    nbytes = format.head_bytes * params
    return Work(
        arithmetic=_product_arithmetic(
            rows, 2.0 * params, 2.0 * params / (hardware.gemm_efficiency * peak), hardware, assume
        ),
        traffic=traffic_time(nbytes, hardware.mem_bandwidth, hardware.gemm_bandwidth_efficiency),
        start=hardware.gemm_latency,
    )


def expert_work(model: Workload, hardware: Accelerator, format: Format, assume: Assumptions, tp, ep, tokens) -> Work:
    """Routed experts of all layers.

    Parameters
    ----------
    tokens : tokens in the step, all attention groups together.

    Notes
    -----
    A step waits for the rank that has most to read and to compute (`fullest_rank_experts`, `slowest_rank_load`).
    Experts with few rows leave their tiles empty (`tile_fill`); narrow experts run
    below the curve of wide products (`narrow_rate`); tokens are permuted, narrowed and summed by kernels of their
    own (`expert_movement`).
    """
    with_experts = architecture.moe_layers(model)
    split = expert_split(tp, ep)
    touched = fullest_rank_experts(model.n_experts, model.experts_per_token, tokens, ep, assume.expert_popularity_cv)
    load = slowest_rank_load(model.n_experts, model.experts_per_token, tokens, ep, assume.expert_skew)
    params = architecture.expert_params(model) / split
    narrow = quantises(hardware, format)
    efficiency = np.where(narrow, hardware.training_gemm_efficiency, hardware.gemm_efficiency)
    peak = _product_peak(hardware, assume) * hardware.expert_gemm_rate
    half = half_width(format.gemm_input_bytes, efficiency * peak, hardware.mem_bandwidth, assume.expert_input_reads)
    rate = narrow_rate(model.ffn_hidden / split, half)
    rate = rate * tile_fill(load / np.maximum(touched, 1.0), assume.expert_tile_rows, assume.expert_least_rows)
    rate = rate * _scaling_rate(hardware, assume, narrow)
    sustained = assume.expert_gemm_efficiency * assume.serving_gemm_factor * efficiency * rate
    matrix = load * (2.0 * params / (sustained * peak))
    arithmetic = faster_path(matrix, load * (2.0 * params), hardware.vector_ops, assume.vector_product_efficiency)
    width = 2.0 * architecture.expert_width(model) + architecture.ffn_matrices(model) * model.ffn_hidden / split
    moved = assume.expert_movement * assume.activation_traffic * format.activation_bytes * width
    reading = 1.0 / (assume.expert_bandwidth_efficiency * hardware.mem_bandwidth)

    def where_experts(seconds):
        return np.where(model.n_experts > 0, with_experts * seconds, 0.0)

    return Work(
        arithmetic=where_experts(arithmetic),
        traffic=where_experts((touched * (format.expert_bytes * params) + load * moved) * reading),
        start=where_experts(assume.moe_layer_latency),
    )


# --- attention -----------------------------------------------------------------------------------------


def _decode_attention_parts(model: Workload, hardware: Accelerator, format: Format, tp, rows_per_sequence, rereads):
    grouped = (model.kv_lora_rank <= 0) & (model.n_heads > model.n_kv_heads)
    traffic = (
        np.where(grouped, rereads, 1.0)
        * kv_bytes_per_layer_and_device(model, format, tp)
        / (hardware.decode_attention_bandwidth_efficiency * hardware.mem_bandwidth)
    )
    flops = architecture.decode_attention_flops(model, 1.0) / tp
    arithmetic = rows_per_sequence * flops / (hardware.attention_efficiency * hardware.attention_peak_flops)
    return arithmetic, traffic


def decode_attention_slope(
    model: Workload, hardware: Accelerator, format: Format, tp, rows_per_sequence=1.0, rereads=1.0
):
    """Seconds per cached position of one sequence in one layer: the slower of traffic and arithmetic.

    Both grow with sequences x context, so the maximum is taken once, not per point.

    Parameters
    ----------
    rows_per_sequence : tokens checked at once (speculative decoding); they read the cache once.
    rereads : times that a key/value head which several query heads share is read.
    """
    return np.maximum(*_decode_attention_parts(model, hardware, format, tp, rows_per_sequence, rereads))


def decode_attention_reads(
    model: Workload, hardware: Accelerator, format: Format, tp, rows_per_sequence=1.0, rereads=1.0
):
    """Is decode attention bound by reading the cache (rather than by arithmetic)?"""
    arithmetic, traffic = _decode_attention_parts(model, hardware, format, tp, rows_per_sequence, rereads)
    return traffic >= arithmetic


def decode_attention_time(
    model: Workload, hardware: Accelerator, format: Format, tp, sequences, context, rows_per_sequence=1.0, rereads=1.0
):
    """Attention of one decode step, all layers (s): ``t0 + B / (f BW) (1 + B0 / (B + B0))`` a layer.

    Parameters
    ----------
    sequences, context : sequences on this device's group, and their mean length (tokens).
    rows_per_sequence, rereads : as in `decode_attention_slope`.

    Notes
    -----
    B is the cache of a layer, B0 the device's `decode_attention_ramp`: short caches do not fill the device.
    """
    slope = decode_attention_slope(model, hardware, format, tp, rows_per_sequence, rereads)
    start = architecture.mixing_layers(model) * hardware.decode_attention_latency
    read = sequences * read_positions(model, context)
    each = kv_bytes_per_layer_and_device(model, format, tp)
    ramp = hardware.decode_attention_ramp * model.n_layers / np.where(each > 0, each, 1.0)
    slow = np.where(ramp > 0, ramp / (read + ramp), 0.0)
    mixing = np.maximum(
        mixers.mixer_arithmetic(model, hardware, tp, sequences * rows_per_sequence, 1.0, context),
        mixers.mixer_traffic(model, hardware, format, tp, sequences, context),
    )
    return start + (slope * read) * (1.0 + slow) + mixing


def prefill_attention_arithmetic(
    model: Workload, hardware: Accelerator, tp, sequences, new, cached, convention=FlopsConvention.CAUSAL
):
    """Arithmetic of prefill attention, all layers (s): ``4 a d [n c + n (n + 1)/2] / t`` a prompt and layer.

    Parameters
    ----------
    sequences : prompts on this device's group.
    new : tokens to compute per prompt.
    cached : tokens of the prompt that are in the cache already.
    convention : `FlopsConvention`; FULL computes the masked positions, too.

    Notes
    -----
    The rate follows the length attended to; local layers keep to their window.
    """
    length = cached + new
    before = cached + architecture.causal_positions(new)
    mixing = mixers.mixer_arithmetic(model, hardware, tp, sequences, new, before)
    positions = model.n_layers * (new * architecture.attended_positions(model, new, convention, cached))
    per_position = architecture.attention_flops(model, 1.0) / tp
    attending = sequences * attention_time(
        per_position * positions,
        length,
        hardware.attention_peak_flops,
        hardware.attention_efficiency,
        hardware.attention_half_length,
    )
    return attending + mixing


def prefill_attention_traffic(
    model: Workload, hardware: Accelerator, format: Format, tp, sequences, new, cached, chunks=1.0
):
    """Reading the cache in prefill, all layers (s); each of `chunks` steps reads what lies before it.

    Local layers keep to their window.
    """
    window = np.where(model.sliding_window > 0, model.sliding_window, 1.0)
    local = np.where(model.sliding_window > 0, model.local_layers, 0.0)
    within = kv_tokens_read_in_window(new, cached, chunks, window)
    read = (architecture.attention_layers(model) - local) * kv_tokens_read(new, cached, chunks) + local * within
    attending = sequences * (
        read
        * (
            kv_bytes_per_layer_and_device(model, format, tp)
            / (hardware.decode_attention_bandwidth_efficiency * hardware.mem_bandwidth)
        )
    )
    return attending + chunks * mixers.mixer_traffic(model, hardware, format, tp, sequences, cached + new)


def unpacking_time(model: Workload, hardware: Accelerator, format: Format, assume: Assumptions, tp, rows):
    """Weights that are unpacked into 16 bits before a product of many rows, all layers (s).

    Narrow ones are read and wide ones written; the product reads these.  Products of few rows unpack on the way.
    """
    unpacks = (assume.unpacks_weights > 0) & (rows > assume.vector_product_rows) & (format.weight_only > 0)
    nbytes = (format.weight_bytes + format.activation_bytes) * stored_layer_values(model, format, tp)
    return np.where(unpacks, traffic_time(nbytes, hardware.mem_bandwidth, hardware.gemm_bandwidth_efficiency), 0.0)


def prefill_attention_time(
    model: Workload,
    hardware: Accelerator,
    format: Format,
    assume: Assumptions,
    tp,
    sequences,
    new,
    cached,
    chunks,
    convention=FlopsConvention.CAUSAL,
):
    """Attention of whole prompts, all layers (s): the longer of arithmetic and cache traffic, and the scores' (`score_time`)."""
    arithmetic = prefill_attention_arithmetic(model, hardware, tp, sequences, new, cached, convention)
    traffic = prefill_attention_traffic(model, hardware, format, tp, sequences, new, cached, chunks)
    scores = score_time(model, hardware, assume, tp, sequences, new, cached, chunks)
    return np.maximum(arithmetic, traffic) + scores


# --- communication -------------------------------------------------------------------------------------


def allreduces_per_step(model: Workload, tp, ep):
    """All-reduces of a pass: one for each part of a layer, none where experts are exchanged between groups instead."""
    exchanged = np.where(ep > tp, architecture.moe_layers(model), 0.0)
    return architecture.residual_blocks(model) - exchanged


def expert_exchange_time(
    model: Workload, hardware: Accelerator, fleet: Fleet, format: Format, assume: Assumptions, tp, ep, rows, tokens=None
):
    """Dispatch and combine of all layers with experts, when groups exchange tokens (e > t) (s).

    Parameters
    ----------
    rows, tokens : of one attention group, and of all of them (None: each has as many).

    Notes
    -----
    Dispatch in 8 bits with scales (in 16 where products take these), combine in 16.  Inside a node engines gather all tokens
    on all ranks and scatter the sums, or add up a buffer of all tokens that is empty but for a rank's own, and the experts'
    results again, in 16 bits (`expert_sums`); in a larger fast domain one copy travels to each rank that holds one of a
    token's experts; across nodes one per node touched, forwarded inside (DeepSeek-AI 2024, section 3.2), or a ring brings
    all tokens to all ranks (`expert_node_gather`).
    """
    domain = np.minimum(fleet.domain_size, ep)
    nodes = np.maximum(ep / fleet.domain_size, 1.0)
    own = rows / tp
    sent_wide = format.gemm_input_bytes >= format.activation_bytes
    dispatched = np.where(sent_wide, format.activation_bytes, assume.dispatch_bytes)
    bytes_per_copy = architecture.expert_width(model) * (dispatched + format.activation_bytes)
    in_node = (assume.expert_gather > 0) & (ep <= fleet.accelerators_per_node)
    beyond = (assume.expert_node_gather > 0) & (nodes > 1)
    gathers = in_node | beyond
    sent = nodes_touched(model.n_experts, model.experts_per_token, ep) * (1.0 - 1.0 / ep)
    copies = np.where(gathers, ep - 1.0, sent)
    inside = own * copies * bytes_per_copy / (hardware.link_bandwidth * fleet.intra_efficiency)
    touched = nodes_touched(model.n_experts, model.experts_per_token, nodes, limit=model.expert_node_limit)
    away = np.where(beyond, (ep - 1.0) / domain, touched * (1.0 - 1.0 / nodes))  # a ring leaves a node by all its ports
    across = own * away * bytes_per_copy / (fleet.inter_bandwidth * fleet.inter_efficiency)
    latency = 2.0 * np.where(ep > domain, assume.exchange_latency_inter, assume.exchange_latency_intra)
    in_all = rows * attention_groups(tp, ep) if tokens is None else tokens
    sums = 2.0 * allreduce_time(
        in_all * (architecture.expert_width(model) * format.activation_bytes), hardware, fleet, ep, assume, 1.0
    )
    added = in_node & (assume.expert_sums > 0)
    time = architecture.moe_layers(model) * np.where(added, sums, latency + np.maximum(inside, across))
    return np.where((ep > tp) & (model.n_experts > 0), time, 0.0)


def stage_send_time(model: Workload, fleet: Fleet, format: Format, assume: Assumptions, tp, pp, ep, rows):
    """One hand-over of activations between pipeline stages (s): latency + ``M h bytes / bandwidth``.

    Where each pair of devices has a link of its own, over that one.
    """
    inside = devices(tp, pp, ep) <= fleet.domain_size
    fast = fleet.intra_bandwidth * fleet.intra_efficiency * direct_share(2.0, fleet.direct_peers)
    bandwidth = np.where(inside, fast, fleet.inter_bandwidth * fleet.inter_efficiency)
    time = assume.stage_send_latency + rows * (model.hidden * format.activation_bytes / bandwidth)
    return np.where(pp > 1, time, 0.0)


def layer_allreduces_time(model, hardware, fleet, format, assume, tp, ep, rows):
    """All-reduces of a pass over `rows` tokens (s)."""
    message = rows * (model.hidden * format.activation_bytes)
    beyond = (assume.node_allreduce > 0) & (tp > fleet.accelerators_per_node)
    library = np.where(beyond, 1.0, assume.library_allreduce)
    return (
        assume.allreduce_share
        * allreduces_per_step(model, tp, ep)
        * allreduce_time(message, hardware, fleet, tp, assume, library)
    )
