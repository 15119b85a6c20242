"""Serving a transformer: what one device holds, what one step costs, phase by phase.

A *step* runs some rows (tokens) through all layers.  Its cost splits into classes that scale differently:

* matrix products: weights once, arithmetic in proportion to the rows.  Within a layer all products share one
  ratio of arithmetic to traffic, so the smooth roofline is applied to their sum (it is homogeneous: where the
  ratios agree, the maximum of the sums is the sum of the maxima);
* experts: the distinct ones that the step touches are read, each token pays for its own;
* attention: decode reads the cache, in proportion to sequences x context; prefill is arithmetic;
* communication: two all-reduces a layer, expert exchanges, sends between stages;
* host: what the server does between steps.

Symbols: L layers, h hidden, a query heads, k key/value heads, d head width, f feed-forward width, V
vocabulary, t, p, e the degrees of tensor, pipeline and expert parallelism.  With e > t attention runs on
e/t groups side by side, each with its share of the sequences, and a replica has p max(t, e) devices.

References
----------
Pope et al. 2023, "Efficiently scaling transformer inference" (arXiv:2211.05102); Yu et al. 2022, "Orca"
(OSDI); Kwon et al. 2023, "PagedAttention" (arXiv:2309.06180); DeepSeek-AI 2024 (arXiv:2405.04434,
2412.19437).
"""

from typing import NamedTuple

import numpy as np

from mlsysim.equations import architecture
from mlsysim.equations.allreduce import allreduce_time
from mlsysim.equations.compute import (
    attention_time,
    elementwise_bytes_per_token,
    elementwise_time,
    smooth_max,
    traffic_time,
)
from mlsysim.equations.counting import ceil_div
from mlsysim.equations.energy import activity, device_power
from mlsysim.equations.experts import distinct_experts, nodes_touched, slowest_rank_load
from mlsysim.schema.codes import Bottleneck
from mlsysim.schema.kinds import Real
from mlsysim.schema.records import Accelerator, Assumptions, Fleet, Format, Workload
from mlsysim.schema.variables import VARIABLES

#: prices and energies are usually told per million tokens
TOKENS_PER_MTOK = 1e6


class Step(NamedTuple):
    """Seconds of one step by class, and how long its arithmetic and its traffic alone would take."""

    gemm: Real  #: matrix products and element-wise work
    attention: Real
    communication: Real
    host: Real
    arithmetic: Real
    traffic: Real


# --- layout --------------------------------------------------------------------------------------------


def devices(tp, pp, ep):
    """Devices of one replica: ``p max(t, e)``; experts share the devices of attention."""
    return pp * np.maximum(tp, ep)


def attention_groups(tp, ep):
    """Groups that run attention side by side on their own sequences: ``max(1, e / t)``."""
    return np.maximum(ep / tp, 1.0)


def expert_split(tp, ep):
    """Devices that share one expert's matrices: ``max(1, t / e)``."""
    return np.maximum(tp / ep, 1.0)


# --- weights -------------------------------------------------------------------------------------------


def kv_heads_per_device(model: Workload, tp):
    """Key/value heads on a device, ``max(k, t) / t``: they are copied when fewer than devices."""
    return np.maximum(model.n_kv_heads, tp) / tp


def attention_params_per_device(model: Workload, tp):
    """Weights of one layer's attention on one device; latent down-projections are copied to every device."""
    query = model.n_heads / tp
    grouped = model.hidden * model.head_dim * 2.0 * (query + kv_heads_per_device(model, tp))
    down = model.hidden * (model.q_lora_rank + model.kv_lora_rank + model.rope_head_dim)
    query_rank = np.where(model.q_lora_rank > 0, model.q_lora_rank, model.hidden)
    query_up = query_rank * query * (model.nope_head_dim + model.rope_head_dim)
    key_value_up = model.kv_lora_rank * query * (model.nope_head_dim + model.v_head_dim)
    latent = down + query_up + key_value_up + query * model.v_head_dim * model.hidden
    return np.where(model.kv_lora_rank > 0, latent, grouped)


def layer_params_per_device(model: Workload, tp):
    """Weights every token passes, all layers, on one device: attention, feed-forward, shared experts."""
    per_unit = architecture.ffn_matrices(model) * model.hidden / tp
    with_experts = architecture.moe_layers(model)
    dense = (model.n_layers - with_experts) * per_unit * architecture.dense_ffn_width(model)
    shared = with_experts * per_unit * model.n_shared_experts * model.ffn_hidden
    router = with_experts * architecture.router_params(model)
    return model.n_layers * attention_params_per_device(model, tp) + dense + shared + router


def vector_params_per_device(model: Workload, tp):
    """Norms, biases and what the record lists beyond, all layers: read like weights, no matrix product."""
    dense = architecture.dense_layers(model)
    per_layer = architecture.norm_params(model) + architecture.attention_biases(model)
    vectors = model.n_layers * per_layer + dense * architecture.dense_ffn_biases(model)
    return (vectors + architecture.final_norm_params(model) + model.extra_params) / tp


def expert_params_per_device(model: Workload, tp, ep):
    """Weights of the routed experts on one device, all layers."""
    own = model.n_experts * architecture.expert_params(model) / (ep * expert_split(tp, ep))
    return architecture.moe_layers(model) * own


def table_params_per_device(model: Workload, tp, pp):
    """Token tables on the fuller end stage: both tables when one stage holds both ends, else one."""
    both = architecture.embedding_params(model) + architecture.head_params(model)
    return np.where(pp > 1, architecture.embedding_params(model), both) / tp


def stage_share(model: Workload, pp):
    """Share of the layers on the fullest stage: ``ceil(L / p) / L``."""
    layers = np.maximum(model.n_layers, 1.0)
    return ceil_div(layers, pp) / layers


def weights_per_device(model: Workload, format: Format, tp, pp, ep):
    """Bytes of weights on the fullest device; tables keep the format of activations (byte)."""
    layers = layer_params_per_device(model, tp) + vector_params_per_device(model, tp)
    stored = format.weight_bytes * layers + format.expert_bytes * expert_params_per_device(model, tp, ep)
    tables = table_params_per_device(model, tp, pp)
    return stored * stage_share(model, pp) + format.activation_bytes * tables


# --- cache ---------------------------------------------------------------------------------------------


def kv_bytes_per_token(model: Workload, format: Format):
    """Cached bytes of one token, whole model: ``2 L k d`` values, or ``L (c + rope)`` with MLA (byte)."""
    return format.kv_bytes * model.n_layers * architecture.kv_values(model)


def kv_bytes_per_layer_and_device(model: Workload, format: Format, tp):
    """Cached bytes of one token in one layer on one device; the latent cache is not divided by t (byte)."""
    grouped = 2.0 * kv_heads_per_device(model, tp) * model.head_dim
    latent = model.kv_lora_rank + model.rope_head_dim
    return format.kv_bytes * np.where(model.kv_lora_rank > 0, latent, grouped)


def cached_positions(model: Workload, context):
    """Positions cached per sequence, summed over the layers: local layers keep their window only."""
    local = np.where(model.sliding_window > 0, model.local_layers, 0.0)
    window = np.minimum(context, np.where(model.sliding_window > 0, model.sliding_window, context))
    return (model.n_layers - local) * context + local * window


def cached_values(model: Workload, context):
    """Values cached for one sequence, whole model: all layers, local ones their window only."""
    return architecture.kv_values(model) * cached_positions(model, context)


def kv_bytes_per_sequence_and_device(model: Workload, format: Format, tp, pp, ep, context):
    """Cache of one sequence on one device of the fullest stage, seen from the whole replica (byte).

    With attention groups a device holds every ``e / t``-th sequence, which this mean counts as its share.
    """
    share = stage_share(model, pp) / attention_groups(tp, ep)
    return share * kv_bytes_per_layer_and_device(model, format, tp) * cached_positions(model, context)


# --- products ------------------------------------------------------------------------------------------


def products_per_step(model: Workload):
    """Matrix products started per pass through all layers (without the head).

    QKV, output, gate and up in one, down: 4; latent attention has 3 more, a layer with experts starts its
    router and, if it has shared experts, their two products instead of the dense two.
    """
    latent = np.where(model.kv_lora_rank > 0, 3.0, 0.0)
    with_experts = architecture.moe_layers(model)
    shared = np.where(model.n_shared_experts > 0, 2.0, 0.0)
    return (
        model.n_layers * (2.0 + latent)
        + (model.n_layers - with_experts) * 2.0
        + with_experts * (1.0 + shared)
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
    dense = (model.n_layers - with_experts) * (
        2.0 * model.hidden + matrices * architecture.dense_ffn_width(model) / tp
    )
    shared = with_experts * (2.0 * model.hidden + matrices * model.n_shared_experts * model.ffn_hidden / tp)
    return model.n_layers * attention + dense + np.where(model.n_shared_experts > 0, shared, 0.0)


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


def linear_work(
    model: Workload, hardware: Accelerator, format: Format, assume: Assumptions, tp, rows
) -> Work:
    """Matrix products of all layers that every row passes.

    Parameters
    ----------
    rows : tokens in the step, on this device's attention group.
    """
    params = layer_params_per_device(model, tp)
    narrow = format.quantised > 0
    efficiency = np.where(narrow, hardware.training_gemm_efficiency, hardware.gemm_efficiency)
    sustained = assume.serving_gemm_factor * efficiency
    per_row = 2.0 * params / (sustained * hardware.peak_flops)
    rate = 1.0 / (hardware.gemm_bandwidth_efficiency * hardware.mem_bandwidth)
    moved = assume.activation_traffic * format.activation_bytes * product_values_per_row(model, tp)
    return Work(
        arithmetic=(rows + hardware.gemm_half_rows) * per_row,
        traffic=rate * (format.weight_bytes * (params + vector_params_per_device(model, tp)))
        + rows * (rate * moved),
        start=products_per_step(model)
        * np.where(narrow, hardware.plain_gemm_latency, hardware.gemm_latency),
    )


def head_work(model: Workload, hardware: Accelerator, format: Format, tp, rows) -> Work:
    """Product with the vocabulary, in the format of activations; `rows` are the tokens sampled."""
    params = architecture.embedding_params(model) / tp
    peak = np.minimum(hardware.peak_flops, hardware.attention_peak_flops)
    nbytes = format.activation_bytes * params
    return Work(
        arithmetic=(rows + hardware.gemm_half_rows) * (2.0 * params / (hardware.gemm_efficiency * peak)),
        traffic=traffic_time(nbytes, hardware.mem_bandwidth, hardware.gemm_bandwidth_efficiency),
        start=hardware.gemm_latency,
    )


def expert_work(
    model: Workload, hardware: Accelerator, format: Format, assume: Assumptions, tp, ep, tokens
) -> Work:
    """Routed experts of all layers.

    Parameters
    ----------
    tokens : tokens in the step, all attention groups together.

    Notes
    -----
    Reads the distinct experts a rank holds; arithmetic follows the slowest rank.  Tiles that are not full
    cost no extra rows here: they hide behind the reading of the same expert (see `expert_time`).
    """
    with_experts = architecture.moe_layers(model)
    split = expert_split(tp, ep)
    touched = distinct_experts(model.n_experts, model.experts_per_token, tokens) / ep
    load = slowest_rank_load(model.n_experts, model.experts_per_token, tokens, ep)
    params = architecture.expert_params(model) / split
    sustained = assume.serving_gemm_factor * hardware.gemm_efficiency
    per_pair = 2.0 * params / (assume.expert_gemm_efficiency * sustained * hardware.peak_flops)
    width = 2.0 * model.hidden + architecture.ffn_matrices(model) * model.ffn_hidden / split
    moved = assume.activation_traffic * format.activation_bytes * width
    rate = 1.0 / (assume.expert_bandwidth_efficiency * hardware.mem_bandwidth)

    def where_experts(seconds):
        return np.where(model.n_experts > 0, with_experts * seconds, 0.0)

    return Work(
        arithmetic=where_experts(load * per_pair),
        traffic=where_experts((touched * (format.expert_bytes * params) + load * moved) * rate),
        start=where_experts(assume.moe_layer_latency),
    )


# --- attention -----------------------------------------------------------------------------------------


def _decode_attention_parts(model: Workload, hardware: Accelerator, format: Format, tp, rows_per_sequence):
    traffic = kv_bytes_per_layer_and_device(model, format, tp) / (
        hardware.decode_attention_bandwidth_efficiency * hardware.mem_bandwidth
    )
    grouped = architecture.attention_flops(model, 1.0)
    flops = np.where(model.kv_lora_rank > 0, architecture.absorbed_attention_flops(model, 1.0), grouped) / tp
    arithmetic = rows_per_sequence * flops / (hardware.attention_efficiency * hardware.attention_peak_flops)
    return arithmetic, traffic


def decode_attention_slope(model: Workload, hardware: Accelerator, format: Format, tp, rows_per_sequence=1.0):
    """Seconds per cached position of one sequence in one layer: the slower of traffic and arithmetic.

    Both grow with sequences x context, so the maximum is taken once, not per point.

    Parameters
    ----------
    rows_per_sequence : tokens checked at once (speculative decoding); they read the cache once.
    """
    return np.maximum(*_decode_attention_parts(model, hardware, format, tp, rows_per_sequence))


def decode_attention_reads(model: Workload, hardware: Accelerator, format: Format, tp, rows_per_sequence=1.0):
    """Is decode attention bound by reading the cache (rather than by arithmetic)?"""
    arithmetic, traffic = _decode_attention_parts(model, hardware, format, tp, rows_per_sequence)
    return traffic >= arithmetic


def decode_attention_time(
    model: Workload, hardware: Accelerator, format: Format, tp, sequences, context, rows_per_sequence=1.0
):
    """Attention of one decode step, all layers (s): ``t0 + B / (f BW) (1 + B0 / (B + B0))`` a layer.

    Parameters
    ----------
    sequences, context : sequences on this device's group, and their mean length (tokens).

    Notes
    -----
    B is the cache of a layer, B0 the device's `decode_attention_ramp`: short caches do not fill the device.
    """
    slope = decode_attention_slope(model, hardware, format, tp, rows_per_sequence)
    start = model.n_layers * hardware.decode_attention_latency
    read = sequences * cached_positions(model, context)
    ramp = hardware.decode_attention_ramp * model.n_layers / kv_bytes_per_layer_and_device(model, format, tp)
    slow = np.where(hardware.decode_attention_ramp > 0, ramp / (read + ramp), 0.0)
    return start + (slope * read) * (1.0 + slow)


def _positions_up_to(length, window):
    """Sum over positions 1..length of min(position, window)."""
    width = np.minimum(length, window)
    return width * length - 0.5 * width * (width - 1.0)


def prefill_attention_arithmetic(model: Workload, hardware: Accelerator, tp, sequences, new, cached):
    """Arithmetic of prefill attention, all layers (s): ``4 a d [n c + n (n + 1)/2] / t`` a prompt and layer.

    Parameters
    ----------
    sequences : prompts on this device's group.
    new : tokens to compute per prompt.
    cached : tokens of the prompt that are in the cache already.

    Notes
    -----
    The rate follows the length attended to; local layers keep to their window.
    """
    length = cached + new
    everywhere = new * (cached + 0.5 * (new + 1.0))
    window = np.where(model.sliding_window > 0, model.sliding_window, 1.0)
    within = _positions_up_to(length, window) - _positions_up_to(cached, window)
    local = np.where(model.sliding_window > 0, model.local_layers, 0.0)
    positions = (model.n_layers - local) * everywhere + local * within
    per_position = architecture.attention_flops(model, 1.0) / tp
    return sequences * attention_time(
        per_position * positions,
        length,
        hardware.attention_peak_flops,
        hardware.attention_efficiency,
        hardware.attention_half_length,
    )


def prefill_attention_traffic(
    model: Workload, hardware: Accelerator, format: Format, tp, sequences, new, cached, chunks=1.0
):
    """Reading the cache in prefill, all layers (s); each of `chunks` steps reads what lies before it."""
    read = model.n_layers * kv_tokens_read(new, cached, chunks)
    return sequences * (
        read
        * (
            kv_bytes_per_layer_and_device(model, format, tp)
            / (hardware.decode_attention_bandwidth_efficiency * hardware.mem_bandwidth)
        )
    )


def prefill_attention_time(
    model: Workload, hardware: Accelerator, format: Format, tp, sequences, new, cached, chunks
):
    """Attention of whole prompts, all layers (s): the longer of arithmetic and cache traffic."""
    arithmetic = prefill_attention_arithmetic(model, hardware, tp, sequences, new, cached)
    traffic = prefill_attention_traffic(model, hardware, format, tp, sequences, new, cached, chunks)
    return np.maximum(arithmetic, traffic)


def kv_tokens_read(new, cached, chunks):
    """Cached tokens read by a chunked prefill, own chunk included: ``u c + n (u + 1) / 2``.

    Examples
    --------
    >>> float(kv_tokens_read(8192.0, 0.0, 16.0))  # 8192 tokens in chunks of 512
    69632.0
    """
    return chunks * cached + 0.5 * new * (chunks + 1.0)


# --- communication -------------------------------------------------------------------------------------


def allreduces_per_step(model: Workload, tp, ep):
    """All-reduces of a pass: two a layer, one where experts are exchanged between groups instead."""
    exchanged = np.where(ep > tp, architecture.moe_layers(model), 0.0)
    return 2.0 * model.n_layers - exchanged


def expert_exchange_time(
    model: Workload, hardware: Accelerator, fleet: Fleet, format: Format, assume: Assumptions, tp, ep, rows
):
    """Dispatch and combine of all layers with experts, when groups exchange tokens (e > t) (s).

    Parameters
    ----------
    rows : tokens of one attention group.

    Notes
    -----
    Dispatch in 8 bits with scales, combine in 16.  Inside the fast domain each of a token's k copies
    travels; across nodes one copy per node touched, forwarded inside (DeepSeek-AI 2024, section 3.2).
    """
    domain = np.minimum(fleet.domain_size, ep)
    nodes = np.maximum(ep / fleet.domain_size, 1.0)
    own = rows / tp
    bytes_per_copy = model.hidden * (assume.dispatch_bytes + format.activation_bytes)
    copies = model.experts_per_token * (1.0 - 1.0 / ep)
    inside = own * copies * bytes_per_copy / (hardware.link_bandwidth * fleet.intra_efficiency)
    away = nodes_touched(model.n_experts, model.experts_per_token, nodes) * (1.0 - 1.0 / nodes)
    across = own * away * bytes_per_copy / (fleet.inter_bandwidth * fleet.inter_efficiency)
    latency = 2.0 * np.where(ep > domain, assume.exchange_latency_inter, assume.exchange_latency_intra)
    time = architecture.moe_layers(model) * (latency + np.maximum(inside, across))
    return np.where((ep > tp) & (model.n_experts > 0), time, 0.0)


def stage_send_time(model: Workload, fleet: Fleet, format: Format, assume: Assumptions, tp, pp, ep, rows):
    """One hand-over of activations between pipeline stages (s): latency + ``M h bytes / bandwidth``."""
    inside = devices(tp, pp, ep) <= fleet.domain_size
    bandwidth = np.where(
        inside, fleet.intra_bandwidth * fleet.intra_efficiency, fleet.inter_bandwidth * fleet.inter_efficiency
    )
    time = assume.stage_send_latency + rows * (model.hidden * format.activation_bytes / bandwidth)
    return np.where(pp > 1, time, 0.0)


def _allreduces(model, hardware, fleet, format, assume, tp, ep, rows):
    """All-reduces of a pass over `rows` tokens (s)."""
    message = rows * (model.hidden * format.activation_bytes)
    return (
        assume.allreduce_share
        * allreduces_per_step(model, tp, ep)
        * allreduce_time(message, hardware, fleet, tp)
    )


# --- steps ---------------------------------------------------------------------------------------------


class Rows(NamedTuple):
    """Cost of carrying some rows through all layers, attention apart (s)."""

    products: Real
    communication: Real
    arithmetic: Real
    traffic: Real


def rows_cost(
    model: Workload, hardware: Accelerator, fleet: Fleet, format: Format, assume: Assumptions, tp, ep, rows
) -> Rows:
    """Matrix products, element-wise work and communication of all layers.

    Parameters
    ----------
    rows : tokens on each attention group.
    """
    linear = linear_work(model, hardware, format, assume, tp, rows)
    experts = expert_work(model, hardware, format, assume, tp, ep, rows * attention_groups(tp, ep))
    kernels = model.n_layers * (assume.elementwise_kernels * assume.elementwise_kernel_time)
    elementwise = kernels + rows * elementwise_per_row(model, hardware, format, assume, tp)
    elementwise = elementwise + quantise_time(model, hardware, format, assume, tp, rows)
    exchanges = expert_exchange_time(model, hardware, fleet, format, assume, tp, ep, rows)
    return Rows(
        products=time_of(linear, hardware) + expert_time(experts, assume) + elementwise,
        communication=_allreduces(model, hardware, fleet, format, assume, tp, ep, rows) + exchanges,
        arithmetic=linear.arithmetic + experts.arithmetic,
        traffic=linear.traffic + experts.traffic + elementwise,
    )


def elementwise_per_row(model: Workload, hardware: Accelerator, format: Format, assume: Assumptions, tp):
    """Seconds of element-wise work per token, all layers; the feed-forward part is divided over t."""
    with_experts = architecture.moe_layers(model)
    width = (
        (model.n_layers - with_experts) * architecture.dense_ffn_width(model)
        + with_experts * architecture.active_ffn_width(model)
    ) / np.maximum(model.n_layers, 1.0)
    nbytes = elementwise_bytes_per_token(model.hidden, width / tp, model.gated_ffn, format.activation_bytes)
    return model.n_layers * elementwise_time(
        nbytes,
        hardware.mem_bandwidth,
        hardware.gemm_bandwidth_efficiency,
        assume.serving_elementwise_slowdown,
    )


def quantise_time(model: Workload, hardware: Accelerator, format: Format, assume: Assumptions, tp, rows):
    """Narrowing the inputs of the matrix products of all layers, in kernels of their own (s); 0 in 16 bits.

    Inputs of the query, output, up and down matrices: ``2 h + (a d + f) / t`` values per row, read wide,
    written narrow.
    """
    with_experts = architecture.moe_layers(model)
    dense = model.n_layers - with_experts
    narrow = dense * architecture.dense_ffn_width(model) + with_experts * (
        model.n_shared_experts * model.ffn_hidden
    )
    attention = model.n_heads * architecture.value_width(model)
    values = model.n_layers * (2.0 * model.hidden + attention / tp) + narrow / tp
    moved = values * (format.activation_bytes + format.gemm_input_bytes)
    streaming = elementwise_time(
        moved, hardware.mem_bandwidth, hardware.gemm_bandwidth_efficiency, assume.quantise_slowdown
    )
    time = products_per_step(model) * assume.quantise_kernel_time + rows * streaming
    return np.where((format.quantised > 0) & (assume.fused_quantise == 0), time, 0.0)


def decode_step(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    tp,
    pp,
    ep,
    batch,
    context,
    rows_per_sequence=1.0,
    prompt_tokens=0.0,
    prompt_attention=0.0,
) -> Step:
    """Time between two tokens of one sequence while `batch` sequences decode (s, by class).

    Parameters
    ----------
    batch : sequences in the replica, spread over the attention groups and over the pipeline's micro-batches.
    context : mean tokens a sequence attends to (the time is linear in it where the cache fills the device).
    rows_per_sequence : tokens checked per sequence (1 + drafted).
    prompt_tokens : tokens of prompts computed beside them, spread over groups and micro-batches.
    prompt_attention : seconds of attention that those need, all layers.

    Notes
    -----
    With p stages ``u = min(p, batch)`` micro-batches circulate.  The cycle is the longer of one path
    through all stages and u times the slowest stage, which holds ``ceil(L/p)`` layers, the head and the
    host's share.
    """
    per_group = np.maximum(batch / attention_groups(tp, ep), 1.0)
    circulating = np.minimum(pp, per_group)
    sequences = per_group / circulating
    sampled = sequences * rows_per_sequence
    rows = sampled + prompt_tokens / (attention_groups(tp, ep) * circulating)
    cost = rows_cost(model, hardware, fleet, format, assume, tp, ep, rows)
    attention = decode_attention_time(model, hardware, format, tp, sequences, context, rows_per_sequence)
    attention = attention + prompt_attention / circulating
    head = head_work(model, hardware, format, tp, sampled)
    send = stage_send_time(model, fleet, format, assume, tp, pp, ep, rows)
    host = assume.host_step_time + assume.host_sequence_time * sequences
    slowest = circulating * stage_share(model, pp)
    full = slowest >= 1.0
    layers = np.where(full, slowest, 1.0)
    ends = np.where(full, circulating, 1.0)
    memory_bound = decode_attention_reads(model, hardware, format, tp, rows_per_sequence)
    step = Step(
        gemm=layers * cost.products + ends * time_of(head, hardware),
        attention=layers * attention,
        communication=layers * cost.communication + np.where(full, circulating, pp) * send,
        host=ends * host,
        arithmetic=layers * cost.arithmetic
        + ends * head.arithmetic
        + np.where(memory_bound, 0.0, layers * attention),
        traffic=layers * cost.traffic + ends * head.traffic + np.where(memory_bound, layers * attention, 0.0),
    )
    return at_level(step, assume)


def at_level(step: Step, assume: Assumptions) -> Step:
    """A step on a machine whose level and scatter are those assumed: every part takes that much longer."""
    factor = assume.serving_level * assume.serving_scatter
    return Step(*(part * factor for part in step))


#: kernels a prefill step starts per layer when launched one by one: dense, with experts, and what latent
#: attention adds; counted in traces of PyTorch serving engines (14, 24, 110 a layer)
KERNELS_DENSE, KERNELS_EXPERTS, KERNELS_LATENT = 14.0, 24.0, 86.0


def eager_floor(model: Workload, assume: Assumptions):
    """Least time of one prefill step whose kernels are launched one by one (s)."""
    with_experts = architecture.moe_layers(model)
    latent = np.where(model.kv_lora_rank > 0, KERNELS_LATENT, 0.0)
    kernels = KERNELS_DENSE * (model.n_layers - with_experts) + KERNELS_EXPERTS * with_experts
    return assume.eager_kernel_time * (kernels + latent * model.n_layers)


def prefill_step(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    tp,
    pp,
    ep,
    prompts,
    new,
    cached,
    chunk,
) -> Step:
    """Time until `prompts` prompts are computed and have their first token (s, by class).

    Parameters
    ----------
    prompts : prompts computed together, spread over the attention groups.
    new, cached : tokens per prompt to compute, and already in the cache.
    chunk : most tokens per step and attention group.

    Notes
    -----
    The tokens of all prompts fill ``u = ceil(tokens / chunk)`` steps of equal size; with p stages they pass
    as a pipeline, ``(u + p - 1)`` times the slowest stage.
    """
    per_group = np.maximum(prompts / attention_groups(tp, ep), 1.0)
    tokens = per_group * new
    steps = ceil_div(tokens, chunk)
    rows = tokens / steps
    cost = rows_cost(model, hardware, fleet, format, assume, tp, ep, rows)
    chunks = ceil_div(new, chunk)
    attention = prefill_attention_time(model, hardware, format, tp, per_group, new, cached, chunks)
    starts = steps * (model.n_layers * hardware.decode_attention_latency)
    head = head_work(model, hardware, format, tp, per_group)
    send = stage_send_time(model, fleet, format, assume, tp, pp, ep, rows)
    turns = steps + (pp - 1.0)
    layers = turns * stage_share(model, pp)
    gemm = layers * cost.products + time_of(head, hardware)
    attending = (layers / steps) * (attention + starts)
    communication = layers * cost.communication + turns * send
    device = gemm + attending + communication
    waiting = np.maximum(turns * (eager_floor(model, assume) / pp) - device, 0.0)
    host = steps * assume.host_step_time + assume.frontend_time + new * assume.frontend_token_time
    step = Step(
        gemm=gemm,
        attention=attending,
        communication=communication,
        host=host + waiting,
        arithmetic=layers * cost.arithmetic + head.arithmetic + attending,
        traffic=layers * cost.traffic + head.traffic,
    )
    return at_level(step, assume)


def total(step: Step):
    """Seconds of a step, all classes."""
    return step.gemm + step.attention + step.communication + step.host


# --- memory --------------------------------------------------------------------------------------------


def workspace_bytes(model: Workload, assume: Assumptions, tp, rows):
    """Activations of a step of `rows` tokens: ``c rows h / t`` (byte)."""
    return assume.workspace_bytes_per_value * rows * model.hidden / tp


def logits_bytes(model: Workload, assume: Assumptions, tp, sampled):
    """Logits of the tokens sampled in a step, ``4 V / t`` each (byte)."""
    return sampled * (assume.logit_bytes * model.vocab / tp)


def reserved_bytes(assume: Assumptions, tp, pp, ep):
    """What the runtime keeps for itself on each device: context, graphs, and communication buffers (byte)."""
    return assume.runtime_reserve + np.where(devices(tp, pp, ep) > 1, assume.communication_reserve, 0.0)


# --- power ---------------------------------------------------------------------------------------------


def step_power(hardware: Accelerator, assume: Assumptions, step: Step, duration):
    """Mean power of a device during a step: ``idle + (tdp - idle) max(busy arithmetic, c busy memory)`` (W).

    Parameters
    ----------
    step : whose `arithmetic` and `traffic` are compared with
    duration : seconds of the step.
    """
    busy = activity(step.arithmetic, step.traffic, assume.memory_activity_power) / duration
    return device_power(hardware.idle_power, hardware.tdp, np.minimum(busy, 1.0))


def bottleneck(step: Step):
    """The wall behind the largest share of a step: arithmetic, memory traffic, communication or the host."""
    device = step.gemm + step.attention
    on_device = np.where(step.arithmetic >= step.traffic, float(Bottleneck.COMPUTE), float(Bottleneck.MEMORY))
    off_device = np.where(
        step.communication >= step.host, float(Bottleneck.COMMUNICATION), float(Bottleneck.HOST)
    )
    return np.where(device >= np.maximum(step.communication, step.host), on_device, off_device)


# --- textbook ------------------------------------------------------------------------------------------


def with_some_rate(hardware: Accelerator) -> Accelerator:
    """The device with one operation per second where it lacks the format: times stay numbers, astronomic ones."""
    return hardware._replace(
        peak_flops=np.where(hardware.peak_flops > 0, hardware.peak_flops, 1.0),
        attention_peak_flops=np.where(hardware.attention_peak_flops > 0, hardware.attention_peak_flops, 1.0),
    )


def where_possible(possible, result):
    """An answer whose times, energies and prices are infinite and whose rates are 0 where the device cannot compute.

    Parameters
    ----------
    possible : can it.
    result : the outputs of a kernel; what they are is read off their units.
    """
    changed = {}
    for name, value in result._asdict().items():
        instead = NEVER.get(name, NEVER.get(VARIABLES[name].unit))
        if value is not None and instead is not None:
            changed[name] = np.where(possible, value, instead)
    return result._replace(**changed)


#: what outputs of a unit, or of a name, are where nothing can be computed
NEVER = {"s": np.inf, "J": np.inf, "USD": np.inf, "1/s": 0.0, "FLOP/s": 0.0, "mfu": 0.0, "hfu": 0.0}


def with_efficiency(hardware: Accelerator, efficiency, bandwidth_efficiency) -> Accelerator:
    """The device with constant shares of peak and bandwidth in place of its curves; None keeps the curve."""
    if efficiency is not None:
        hardware = hardware._replace(
            gemm_efficiency=efficiency,
            training_gemm_efficiency=efficiency,
            gemm_half_rows=0.0,
            attention_efficiency=efficiency,
            attention_half_length=0.0,
        )
    if bandwidth_efficiency is not None:
        hardware = hardware._replace(
            gemm_bandwidth_efficiency=bandwidth_efficiency,
            decode_attention_bandwidth_efficiency=bandwidth_efficiency,
            decode_attention_ramp=0.0,
        )
    return hardware


def textbook_device(hardware: Accelerator, textbook) -> Accelerator:
    """The device of a hand calculation where `textbook` is set: full rates, no start times."""
    by_hand = textbook > 0

    def where(value, measured):
        return np.where(by_hand, value, measured)

    return hardware._replace(
        gemm_latency=where(0.0, hardware.gemm_latency),
        gemm_efficiency=where(1.0, hardware.gemm_efficiency),
        gemm_half_rows=where(0.0, hardware.gemm_half_rows),
        gemm_bandwidth_efficiency=where(1.0, hardware.gemm_bandwidth_efficiency),
        gemm_exponent=where(0.0, hardware.gemm_exponent),
        attention_efficiency=where(1.0, hardware.attention_efficiency),
        attention_half_length=where(0.0, hardware.attention_half_length),
        decode_attention_latency=where(0.0, hardware.decode_attention_latency),
        decode_attention_bandwidth_efficiency=where(1.0, hardware.decode_attention_bandwidth_efficiency),
        decode_attention_ramp=where(0.0, hardware.decode_attention_ramp),
    )


def textbook_assumptions(assume: Assumptions, textbook) -> Assumptions:
    """The assumptions of a hand calculation where `textbook` is set: weights, cache and arithmetic."""
    by_hand = textbook > 0
    nothing = (
        "host_step_time",
        "host_sequence_time",
        "frontend_time",
        "frontend_token_time",
        "eager_kernel_time",
        "moe_layer_latency",
        "expert_exposed",
        "serving_elementwise_slowdown",
        "activation_traffic",
        "allreduce_share",
        "exchange_share",
        "stage_send_latency",
        "runtime_reserve",
        "communication_reserve",
        "workspace_bytes_per_value",
        "elementwise_kernel_time",
        "quantise_kernel_time",
        "quantise_slowdown",
        "fused_quantise",
        "logit_bytes",
    )
    whole = ("expert_bandwidth_efficiency", "expert_gemm_efficiency", "serving_gemm_factor")
    changed = {name: np.where(by_hand, 0.0, getattr(assume, name)) for name in nothing}
    changed |= {name: np.where(by_hand, 1.0, getattr(assume, name)) for name in whole}
    return assume._replace(**changed)
