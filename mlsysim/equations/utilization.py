"""What share of a device's peak an operator reaches, and where the rest of its time goes.

References
----------
Chowdhery et al. 2022, "PaLM" (arXiv:2204.02311), appendix B; Dao 2023, "FlashAttention-2" (arXiv:2307.08691).
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture, operators, sharding
from mlsysim.equations.compute import attention_efficiency, gemm_flops, gemm_traffic, smooth_max
from mlsysim.equations.training import attention_core_time, attention_plateau
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Attention, Bottleneck
from mlsysim.schema.records import Accelerator, Format, Workload


class Parts(NamedTuple):
    """Where the time of an operator goes (s), and what it moves."""

    useful: Any  #: its operations at the peak
    kernel: Any  #: lost because kernels reach no peak
    tiles: Any  #: lost in tiles that are not full
    start: Any
    total: Any
    nbytes: Any
    peak: Any  #: FLOP/s


def product(rows, columns, inner, hardware: Accelerator, format: Format) -> Parts:
    """A matrix product (GEMM), as `compute.gemm_time` prices it."""
    useful = gemm_flops(rows, columns, inner) / hardware.peak_flops
    full = useful / hardware.gemm_efficiency
    tiles = full * hardware.gemm_half_rows / rows
    nbytes = gemm_traffic(rows, columns, inner, format.weight_bytes, format.activation_bytes, format.activation_bytes)
    traffic = nbytes / (hardware.gemm_bandwidth_efficiency * hardware.mem_bandwidth)
    total = hardware.gemm_latency + smooth_max(full + tiles, traffic, hardware.gemm_exponent)
    return Parts(useful, full - useful, tiles, hardware.gemm_latency, total, nbytes, hardware.peak_flops)


def in_turn(first: Parts, second: Parts) -> Parts:
    """Two operators of one kind, one after the other.

    Examples
    --------
    >>> once = Parts(1.0, 0.5, 0.25, 0.25, 2.0, 8.0, 3.0)
    >>> tuple(in_turn(once, once))
    (2.0, 1.0, 0.5, 0.5, 4.0, 16.0, 3.0)
    """
    both = Parts(*(a + b for a, b in zip(first, second)))
    return both._replace(peak=first.peak)


def prompt_attention_flops(model: Workload, tokens, seq_len):
    """Operations of attention of one layer over prompts (FLOP), `tokens` of all and `seq_len` of one."""
    return tokens * architecture.attention_flops(model, architecture.attended_positions(model, seq_len))


def with_attention_kernel(
    model: Workload, hardware: Accelerator, format: Format, assume: Assumptions, tokens, seq_len, attention
) -> Accelerator:
    """The device with a generation of the attention kernel in place of the best that was measured on it.

    An unfused one computes every score and sends it through memory.

    Parameters
    ----------
    tokens, seq_len : of all prompts, and of one.
    attention : `Attention`.
    """
    unfused = attention == Attention.UNFUSED
    plain = assume._replace(training_attention_factor=1.0)
    products, scores = attention_core_time(model, tokens, seq_len, seq_len, 1.0, attention, hardware, format, plain)
    flops = prompt_attention_flops(model, tokens, seq_len)
    reached = np.where(flops > 0, flops / hardware.attention_peak_flops / (products + scores), 1.0)
    return hardware._replace(
        attention_efficiency=np.where(unfused, reached, attention_plateau(attention, hardware)),
        attention_half_length=np.where(unfused, 0.0, hardware.attention_half_length),
    )


def attention_by_itself(hardware: Accelerator, seq_len, attention) -> Accelerator:
    """The device with the curve of a kernel that runs alone: FlashAttention 3 where it was measured and is the better.

    Parameters
    ----------
    seq_len : tokens of a prompt.
    attention : `Attention`, whose curve the device has already, or None for the best.
    """
    own = attention_efficiency(seq_len, hardware.attention_efficiency, hardware.attention_half_length)
    third = attention_efficiency(seq_len, hardware.flash3_kernel_efficiency, hardware.flash3_kernel_half_length)
    chosen = third > own
    if attention is not None:
        chosen = chosen & (attention == Attention.FLASH3)
    return hardware._replace(
        attention_efficiency=np.where(chosen, hardware.flash3_kernel_efficiency, hardware.attention_efficiency),
        attention_half_length=np.where(chosen, hardware.flash3_kernel_half_length, hardware.attention_half_length),
    )


def prompt_attention(model: Workload, hardware: Accelerator, format: Format, batch, seq_len) -> Parts:
    """Attention of one layer over prompts: the longer of arithmetic and traffic.

    Parameters
    ----------
    batch, seq_len : prompts, and tokens of each.
    """
    tokens = batch * seq_len
    useful = prompt_attention_flops(model, tokens, seq_len) / hardware.attention_peak_flops
    full = useful / hardware.attention_efficiency
    short = full * hardware.attention_half_length / seq_len
    read = batch * seq_len * sharding.kv_bytes_per_layer_and_device(model, format, 1.0)
    written = 2.0 * tokens * format.activation_bytes * model.n_heads * architecture.value_width(model)
    moved = (read + written) / (hardware.decode_attention_bandwidth_efficiency * hardware.mem_bandwidth)
    start = hardware.decode_attention_latency
    total = start + np.maximum(full + short, moved)
    return Parts(useful, full - useful, short, start, total, read + written, hardware.attention_peak_flops)


def cache_attention(model: Workload, hardware: Accelerator, format: Format, batch, context) -> Parts:
    """Attention of one layer and one new token over a cache.

    Parameters
    ----------
    batch, context : sequences, and the tokens of each that are attended to, the new one included.
    """
    positions = architecture.attended_positions(model, 1.0, cached=context - 1.0)
    one = architecture.attention_flops(model, positions)
    absorbed = architecture.absorbed_attention_flops(model, positions)
    useful = batch * np.where(model.kv_lora_rank > 0, absorbed, one) / hardware.attention_peak_flops
    full = useful / hardware.attention_efficiency
    every_layer = operators.decode_attention_time(model, hardware, format, 1.0, batch, context)
    read = batch * positions * sharding.kv_bytes_per_layer_and_device(model, format, 1.0)
    start = hardware.decode_attention_latency
    total = every_layer / np.maximum(model.n_layers, 1.0)
    return Parts(useful, full - useful, 0.0, start, total, read, hardware.attention_peak_flops)


class Shares(NamedTuple):
    """Shares of the time of an operator; the first five add up to 1."""

    useful: Any  #: the share of peak that it reaches (MFU)
    kernel: Any
    tiles: Any
    start: Any
    memory: Any  #: added by traffic
    per_second: Any  #: 1/s; 0 where there is nothing to do, which takes no share of anything
    bottleneck: Any


def shares(part: Parts) -> Shares:
    """Where the time of an operator goes.

    Examples
    --------
    >>> found = shares(Parts(1.0, 0.5, 0.25, 0.25, 4.0, 8.0, 3.0))
    >>> [float(share) for share in found[:5]], Bottleneck(int(found.bottleneck)).name
    ([0.25, 0.125, 0.0625, 0.0625, 0.5], 'MEMORY')
    """
    per_second = np.where(part.total > 0, 1.0 / part.total, 0.0)
    on_device = part.total - part.start
    arithmetic = part.useful + part.kernel + part.tiles
    added = np.maximum(on_device - arithmetic, 0.0)
    bottleneck = np.where(
        part.start > on_device,
        float(Bottleneck.OVERHEAD),
        np.where(added > arithmetic, float(Bottleneck.MEMORY), float(Bottleneck.COMPUTE)),
    )
    return Shares(
        useful=part.useful * per_second,
        kernel=part.kernel * per_second,
        tiles=part.tiles * per_second,
        start=part.start * per_second,
        memory=added * per_second,
        per_second=per_second,
        bottleneck=bottleneck,
    )
