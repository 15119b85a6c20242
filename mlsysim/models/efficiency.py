"""EfficiencyModel: what share of a device's peak a workload reaches, and where the rest goes."""

from typing import NamedTuple

import numpy as np

from mlsysim.equations import architecture, operators, sharding
from mlsysim.equations.compute import gemm_flops, gemm_traffic, smooth_max
from mlsysim.equations.compute import tile_efficiency as tiles_filled
from mlsysim.equations.conventions import can_compute, where_possible, with_some_rate
from mlsysim.equations.selection import choose, first_failing
from mlsysim.equations.single_pass import mean_ffn_width
from mlsysim.equations.training import attention_core_time, attention_plateau
from mlsysim.models.single_node import single_node
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Attention, Bottleneck, Limit, WorkloadType
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload


class Efficiency(NamedTuple):
    """What `efficiency` returns."""

    mfu: Real
    achievable_flops: Real
    peak_flops: Real
    bandwidth_utilization: Real
    latency: Real
    quantisation_share: Real
    kernel_share: Real
    launch_share: Real
    memory_share: Real
    tile_efficiency: Real | None
    feasible: Flag
    limit: Code
    bottleneck: Code


class _Parts(NamedTuple):
    """Seconds of an operator: at peak, lost in kernels, lost in tiles, start, in all; and its bytes."""

    useful: Real
    kernel: Real
    tiles: Real
    start: Real
    total: Real
    nbytes: Real
    peak: Real


def _product(rows, columns, inner, hardware: Accelerator, format: Format) -> _Parts:
    """A matrix product (GEMM), as `compute.gemm_time` prices it."""
    useful = gemm_flops(rows, columns, inner) / hardware.peak_flops
    full = useful / hardware.gemm_efficiency
    tiles = full * hardware.gemm_half_rows / rows
    nbytes = gemm_traffic(
        rows, columns, inner, format.weight_bytes, format.activation_bytes, format.activation_bytes
    )
    traffic = nbytes / (hardware.gemm_bandwidth_efficiency * hardware.mem_bandwidth)
    total = hardware.gemm_latency + smooth_max(full + tiles, traffic, hardware.gemm_exponent)
    return _Parts(useful, full - useful, tiles, hardware.gemm_latency, total, nbytes, hardware.peak_flops)


def _sum(first: _Parts, second: _Parts) -> _Parts:
    both = _Parts(*(a + b for a, b in zip(first, second)))
    return both._replace(peak=first.peak)


@kernel
def efficiency(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    workload_type=WorkloadType.FFN,
    batch_size=1,
    seq_len=2048,
    rows=None,
    columns=None,
    inner=None,
    attention=None,
    tile_rows=128,
    tile_columns=256,
    compute_units=None,
) -> Efficiency:
    """Share of peak that a part of a workload reaches on one device (wall 3), split by cause.

    Parameters
    ----------
    workload_type : `gemm` (shape `rows` x `columns`, `inner`), `ffn`, `attention`, `decode_attention`,
        `conv`,
        `prefill`, `decode`, `training`.
    batch_size, seq_len : sequences, and tokens of each (decode: context).
    rows, columns, inner : shape of a `gemm`; by default the model's first feed-forward matrix over all
        tokens.
    attention : generation of the attention kernel; by default the best that was measured on the device.
    tile_rows, tile_columns, compute_units : with `compute_units` (streaming multiprocessors),
        `tile_efficiency` says
        what tiles and waves alone would leave of the product.

    Returns
    -------
    Efficiency
        ``mfu + kernel_share + quantisation_share + memory_share + launch_share = 1``.

    Notes
    -----
    The curves were fitted to measured kernel latencies, device by device: matrix products with rows 1 to
    16,384 (median error 4 to 8 % in 16 bits, 6 to 12 % in 8 and 4), prefill attention of 512 to 16,384
    tokens, decode attention over 0.5 MB to 1 GB of cache.  A device that was not measured takes its
    relative's, with 20 % spread.

    References
    ----------
    Chowdhery et al. 2022, "PaLM" (arXiv:2204.02311), appendix B; Dao 2023, "FlashAttention-2"
    (arXiv:2307.08691).
    """
    computes = can_compute(hardware)
    hardware = with_some_rate(hardware)
    tokens = batch_size * seq_len
    width = mean_ffn_width(model)
    up = (1.0 + model.gated_ffn) * width
    shape = (
        tokens if rows is None else rows,
        up if columns is None else columns,
        model.hidden if inner is None else inner,
    )
    gemm = _product(*shape, hardware, format)
    ffn = _sum(
        _product(tokens, up, model.hidden, hardware, format),
        _product(tokens, model.hidden, width, hardware, format),
    )

    layers = np.maximum(model.n_layers, 1.0)
    positions = architecture.attended_positions(model, seq_len)
    flops = tokens * architecture.attention_flops(model, positions)
    useful = flops / hardware.attention_peak_flops
    if attention is not None:
        unfused = attention == Attention.UNFUSED  # computes every score and sends it through memory
        plain = assume._replace(training_attention_factor=1.0)
        products, scores = attention_core_time(
            model, tokens, seq_len, seq_len, 1.0, attention, hardware, format, plain
        )
        reached = np.where(flops > 0, useful / (products + scores), 1.0)
        hardware = hardware._replace(
            attention_efficiency=np.where(unfused, reached, attention_plateau(attention, hardware)),
            attention_half_length=np.where(unfused, 0.0, hardware.attention_half_length),
        )
    full = useful / hardware.attention_efficiency
    short = full * hardware.attention_half_length / seq_len
    arithmetic = full + short
    read = batch_size * seq_len * sharding.kv_bytes_per_layer_and_device(model, format, 1.0)
    written = 2.0 * tokens * format.activation_bytes * model.n_heads * architecture.value_width(model)
    moved = (read + written) / (hardware.decode_attention_bandwidth_efficiency * hardware.mem_bandwidth)
    start = hardware.decode_attention_latency
    prefill_core = _Parts(
        useful, full - useful, short, start, start + np.maximum(arithmetic, moved), read +
        written, hardware.attention_peak_flops,
    )  # fmt: skip

    positions = architecture.attended_positions(model, 1.0, cached=seq_len - 1.0)
    one = architecture.attention_flops(model, positions)
    absorbed = architecture.absorbed_attention_flops(model, positions)
    flops = batch_size * np.where(model.kv_lora_rank > 0, absorbed, one)
    useful = flops / hardware.attention_peak_flops
    full = useful / hardware.attention_efficiency
    total = operators.decode_attention_time(model, hardware, format, 1.0, batch_size, seq_len) / layers
    read = batch_size * positions * sharding.kv_bytes_per_layer_and_device(model, format, 1.0)
    decode_core = _Parts(useful, full - useful, 0.0, start, total, read, hardware.attention_peak_flops)

    def whole(**how) -> _Parts:
        node = single_node(model, hardware, fleet, format, assume, batch_size=batch_size, **how)
        useful = node.mfu * node.latency
        wasted = np.maximum(node.compute_time - useful, 0.0)
        return _Parts(
            useful, wasted, 0.0, node.overhead_time, node.latency, node.bytes_moved, hardware.peak_flops
        )

    convolution = whole(seq_len=1.0)
    prefill = whole(seq_len=seq_len)
    decode = whole(seq_len=1.0, cached_prefix=seq_len)
    training = whole(seq_len=seq_len, is_training=1.0)
    kinds = (gemm, ffn, prefill_core, decode_core, convolution, prefill, decode, training)
    part = _Parts(*(choose(workload_type, *values) for values in zip(*kinds)))

    share = np.where(part.total > 0, 1.0 / part.total, 0.0)  # nothing to do takes no share of anything
    mfu = part.useful * share
    on_device = part.total - part.start
    arithmetic = part.useful + part.kernel + part.tiles
    added = np.maximum(on_device - arithmetic, 0.0)
    bottleneck = np.where(
        part.start > on_device,
        float(Bottleneck.OVERHEAD),
        np.where(added > arithmetic, float(Bottleneck.MEMORY), float(Bottleneck.COMPUTE)),
    )
    filled = None
    if compute_units is not None:
        filled = tiles_filled(shape[0], shape[1], tile_rows, tile_columns, compute_units)
    no_network = workload_type == WorkloadType.CONV
    known = np.where(
        no_network,
        (model.flops_per_sample > 0) & (model.n_layers <= 0),
        (model.n_layers > 0) | (workload_type == WorkloadType.GEMM),
    )
    decoding = (workload_type == WorkloadType.DECODE) | (workload_type == WorkloadType.DECODE_ATTENTION)
    limit = first_failing(
        ((shape[0] >= 1.0) & ((shape[1] > 0) | no_network), Limit.SHAPE),
        (computes & known & architecture.alike(model) & (architecture.generates(model) | ~decoding), Limit.CAPABILITY),
    )
    answer = Efficiency(
        mfu=mfu,
        achievable_flops=mfu * part.peak,
        peak_flops=part.peak,
        bandwidth_utilization=part.nbytes * share / hardware.mem_bandwidth,
        latency=part.total,
        quantisation_share=part.tiles * share,
        kernel_share=part.kernel * share,
        launch_share=part.start * share,
        memory_share=added * share,
        tile_efficiency=filled,
        feasible=limit == 0,
        limit=limit,
        bottleneck=bottleneck,
    )
    return where_possible(computes, answer)


EfficiencyModel = Model("EfficiencyModel", efficiency, domain="node", walls=(3,))
