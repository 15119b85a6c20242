"""EfficiencyModel: what share of a device's peak a workload reaches, and where the rest goes."""

from typing import NamedTuple

import numpy as np

from mlsysim.equations import architecture, utilization
from mlsysim.equations.compute import tile_efficiency as tiles_filled
from mlsysim.equations.conventions import can_compute, where_possible, with_some_rate
from mlsysim.equations.selection import choose, first_failing
from mlsysim.equations.single_pass import mean_ffn_width
from mlsysim.models.single_node import single_node
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Limit, WorkloadType
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload
from mlsysim.schema.usual import SEQ_LEN


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


def whole_pass(node, peak_flops) -> utilization.Parts:
    """Where the time of a pass goes that SingleNodeModel prices."""
    useful = node.mfu * node.latency
    wasted = np.maximum(node.compute_time - useful, 0.0)
    return utilization.Parts(useful, wasted, 0.0, node.overhead_time, node.latency, node.bytes_moved, peak_flops)


@kernel
def efficiency(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    workload_type=WorkloadType.FFN,
    batch_size=1,
    seq_len=SEQ_LEN,
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
    attention : generation of the attention kernel; by default the best that was measured on the device: FlashAttention 3
        on Hopper by itself, in a whole pass the kernels of serving engines (`prefill`) or training runs.
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
    (arXiv:2307.08691); Shah et al. 2024, "FlashAttention-3" (arXiv:2407.08608).
    """
    training = workload_type == WorkloadType.TRAINING
    computes = can_compute(hardware) & np.logical_not(training & (hardware.widens_weights > 0))
    hardware = with_some_rate(hardware)
    tokens = batch_size * seq_len
    width = mean_ffn_width(model)
    up = (1.0 + model.gated_ffn) * width
    shape = (
        tokens if rows is None else rows,
        up if columns is None else columns,
        model.hidden if inner is None else inner,
    )
    gemm = utilization.product(*shape, hardware, format)
    ffn = utilization.in_turn(
        utilization.product(tokens, up, model.hidden, hardware, format),
        utilization.product(tokens, model.hidden, width, hardware, format),
    )
    if attention is not None:
        hardware = utilization.with_attention_kernel(model, hardware, format, assume, tokens, seq_len, attention)
    alone = utilization.attention_by_itself(hardware, seq_len, attention)
    prompts = utilization.prompt_attention(model, alone, format, batch_size, seq_len)
    cache = utilization.cache_attention(model, hardware, format, batch_size, seq_len)
    records = (model, hardware, fleet, format, assume._replace(network_level=1.0, engine_level=1.0))
    passes = (
        single_node(*records, batch_size=batch_size, seq_len=1.0),
        single_node(*records, batch_size=batch_size, seq_len=seq_len),
        single_node(*records, batch_size=batch_size, seq_len=1.0, cached_prefix=seq_len),
        single_node(*records, batch_size=batch_size, seq_len=seq_len, is_training=1.0),
    )
    whole = (whole_pass(node, hardware.peak_flops) for node in passes)
    kinds = (gemm, ffn, prompts, cache, *whole)  # in the order of WorkloadType
    part = utilization.Parts(*(choose(workload_type, *values) for values in zip(*kinds)))
    share = utilization.shares(part)
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
        (
            computes & known & architecture.alike(model) & (architecture.generates(model) | np.logical_not(decoding)),
            Limit.CAPABILITY,
        ),
    )
    answer = Efficiency(
        mfu=share.useful,
        achievable_flops=share.useful * part.peak,
        peak_flops=part.peak,
        bandwidth_utilization=np.minimum(part.nbytes * share.per_second / hardware.mem_bandwidth, 1.0),
        latency=part.total,
        quantisation_share=share.tiles,
        kernel_share=share.kernel,
        launch_share=share.start,
        memory_share=share.memory,
        tile_efficiency=filled,
        feasible=limit == 0,
        limit=limit,
        bottleneck=share.bottleneck,
    )
    return where_possible(computes, answer)


EfficiencyModel = Model("EfficiencyModel", efficiency, domain="node", walls=(3,))
