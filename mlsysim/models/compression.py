"""Wall 13, fidelity: what a smaller model saves, what it gains in time, what it loses in accuracy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture, sharding
from mlsysim.equations import compression as smaller
from mlsysim.equations.compute import weight_only
from mlsysim.equations.conventions import with_some_rate
from mlsysim.equations.selection import choose, first_failing
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import CompressionMethod, Limit, Pruner, Quantizer
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Format, Workload


class Compression(NamedTuple):
    """The compressed model against the dense one at the stated precision."""

    accuracy_delta: Real
    accuracy_spread: Real
    loss_delta: Real
    compression_ratio: Real
    bits_per_value: Real
    params_left: Real
    dense_weight_memory: Real
    weight_memory: Real
    dense_kv_memory: Real
    kv_memory: Real
    memory_saved: Real
    prefill_speedup: Real
    decode_speedup: Real
    prefill_time: Real
    decode_time: Real
    feasible: Flag
    limit: Code


@kernel
def compression(
    model: Workload,
    hardware: Accelerator,
    format: Format,
    assume: Assumptions,
    method=CompressionMethod.QUANTIZE_WEIGHTS,
    bits=None,
    group_size=128.0,
    scale_bits=16.0,
    zero_bits=0.0,
    sparsity=0.5,
    factor_rank=None,
    student_params=None,
    quantizer=Quantizer.GPTQ,
    pruner=Pruner.WANDA,
    baseline_bits=None,
    uncompressed_params=0.0,
    batch_size=1.0,
    seq_len=2048.0,
    tp=1.0,
    compressed_hardware: Accelerator | None = None,
) -> Compression:
    """Size, loss and speed of a compressed model, against the same model at a stated precision.

    ``ratio = dense bits / (bits per value x share of values left)``; bits per value count scales and zero
    points ``b + (scale + zero) / g``, 2:4 indices ``b / 2 + 1`` and bitmaps ``(1 - x) b + 1``.

    Parameters
    ----------
    model : Workload
    hardware : Accelerator
        The device at the baseline precision (`precision`).
    format : Format
        The baseline: bytes per weight and per cached value.
    assume : Assumptions
        `accuracy_per_nat`, `accuracy_at_stake`, `distillation_drop`, `sparse_gemm_speedup`.
    method : CompressionMethod
        `quantize_weights` (default), `quantize_weights_activations`, `quantize_kv`, `prune_unstructured`,
        `prune_2_4`, `prune_structured`, `distill`, `low_rank`.
    bits : 1, optional
        Of the values kept; default 4 (weights), 8 (activations, cache), else those of the baseline.
    group_size : 1
        Values that share a scale.
    scale_bits, zero_bits : 1
        Per group.
    sparsity : 1
        Share of zeros, of blocks removed, or of parameters that student or factors do without.
    factor_rank : 1, optional
        Rank of the factors of every matrix of the layers, instead of `sparsity`.
    student_params : 1, optional
        Parameters of the distilled model, instead of `sparsity`.
    quantizer : Quantizer
        `gptq` (default; calibrated) or `round_to_nearest`.
    pruner : Pruner
        `wanda` (default), `sparsegpt` or `magnitude`.
    baseline_bits : 1, optional
        Bits per dense weight; default the baseline format's.
    uncompressed_params : 1
        Parameters that stay as they are (tables, head).
    batch_size : 1
        Sequences, for the cache and for the speed.
    seq_len : tokens
        Of a prompt and of the context decoded at.
    tp : 1
        Devices that share the model.
    compressed_hardware : Accelerator, optional
        The device at the compressed precision, with its own rates and curves.  Default: the baseline's curve,
        moved as kernels that unpack weights move it, its rate scaled by the width when activations are narrow too.

    Returns
    -------
    Compression
        `accuracy_delta`: change of mean accuracy on multiple-choice tasks (-0.01 is a point);
        `accuracy_spread`: one standard deviation; `loss_delta`: ln of the perplexity ratio.  Speed-ups are
        ratios of device time per phase, communication and host left out.  More bits than the baseline and a
        student larger than its teacher are infeasible by shape.

    Notes
    -----
    Loss is read from published tables by model size (see `mlsysim.equations.compression`) and turned into
    accuracy by ``at stake (1 - exp(-per_nat loss / at stake))``; narrow activations and distillation have
    tables of accuracy, turned back.  Zeros in no pattern save traffic (with a kernel that reads bitmaps), no
    arithmetic.

    References
    ----------
    Han et al. 2015 (arXiv:1510.00149); Gholami et al. 2021 (arXiv:2103.13630); Frantar et al. 2022
    (arXiv:2210.17323); Sun et al. 2023 (arXiv:2306.11695); Kurtic et al. 2024 (arXiv:2411.02355).
    """
    params = architecture.counted_params(model)
    base = 8.0 * format.weight_bytes if baseline_bits is None else baseline_bits
    kv_base = 8.0 * format.kv_bytes
    value_bits: Any = choose(method, 4.0, 8.0, 8.0, base, base, base, base, base) if bits is None else bits
    grouped = smaller.grouped_bits(value_bits, scale_bits, zero_bits, group_size)
    stored: Any = choose(
        method,
        grouped,
        grouped,
        base,
        smaller.bitmap_bits(value_bits, sparsity),
        smaller.two_of_four_bits(value_bits),
        value_bits,
        value_bits,
        value_bits,
    )
    cache = method == CompressionMethod.QUANTIZE_KV
    kv_stored: Any = np.where(cache, grouped, kv_base)

    dense_share = 1.0 - sparsity
    student = dense_share if student_params is None else student_params / params
    factored = dense_share if factor_rank is None else smaller.factored_share(model, factor_rank)
    left: Any = choose(method, 1.0, 1.0, 1.0, 1.0, 1.0, dense_share, student, factored)
    attending: Any = choose(method, 1.0, 1.0, 1.0, 1.0, 1.0, dense_share, student, 1.0)

    dense_weights: Any = params * base / 8.0
    as_they_are = np.minimum(uncompressed_params, params)
    weights: Any = ((params - as_they_are) * (stored * left) + as_they_are * base) / 8.0
    cached = batch_size * sharding.cached_values(model, seq_len)
    dense_kv = cached * kv_base / 8.0
    kv = cached * attending * kv_stored / 8.0

    # loss and accuracy
    size = np.log(params)
    quantized = smaller.quantized_weights_loss(size, value_bits, group_size, model.hidden, quantizer)
    rounded = np.where(value_bits < base, quantized, 0.0)
    from_table: Any = choose(
        method,
        quantized,
        0.0,
        smaller.quantized_cache_loss(size, value_bits),
        smaller.pruned_loss(size, sparsity, pruner) + rounded,
        smaller.two_of_four_loss(size, pruner) + rounded,
        smaller.removed_blocks_loss(size, 1.0 - left) + rounded,
        0.0,
        smaller.factored_loss(1.0 - left) + rounded,
    )
    distilled = assume.distillation_drop * np.maximum(-np.log(student), 0.0)
    narrow = smaller.narrow_arithmetic_drop(size, value_bits)
    given_as_drop = (method == CompressionMethod.QUANTIZE_WEIGHTS_ACTIVATIONS) | (
        method == CompressionMethod.DISTILL
    )
    table_drop = np.minimum(
        np.where(method == CompressionMethod.DISTILL, distilled, narrow), assume.accuracy_at_stake
    )
    per_nat, at_stake = assume.accuracy_per_nat, assume.accuracy_at_stake
    drop = np.where(given_as_drop, table_drop, smaller.accuracy_drop(from_table, per_nat, at_stake))
    loss: Any = np.where(given_as_drop, smaller.loss_for_drop(table_drop, per_nat, at_stake), from_table)
    spread = smaller.accuracy_spread(method, size, drop, given_as_drop)

    # time
    device = hardware if compressed_hardware is None else compressed_hardware
    supported = device.peak_flops > 0
    hardware, device = with_some_rate(hardware), with_some_rate(device)
    dense_time = smaller.phase_times(model, hardware, format, assume, tp, batch_size, seq_len, 1.0, 1.0)
    rate: Any = 1.0
    if compressed_hardware is None:
        narrower = method == CompressionMethod.QUANTIZE_WEIGHTS_ACTIVATIONS
        rate = np.where(narrower, base / value_bits, 1.0)
    rate = rate * np.where(method == CompressionMethod.PRUNE_2_4, assume.sparse_gemm_speedup, 1.0)
    device = device._replace(peak_flops=device.peak_flops * rate)
    if compressed_hardware is None:
        narrow_weights = (method == CompressionMethod.QUANTIZE_WEIGHTS) & (value_bits < base)
        unpacking = weight_only(device.gemm_efficiency, device.gemm_bandwidth_efficiency)
        device = device._replace(
            **{name: np.where(narrow_weights, value, getattr(device, name)) for name, value in unpacking.items()}
        )
    narrow_format = format._replace(
        weight_bytes=stored / 8.0, expert_bytes=stored / 8.0, kv_bytes=kv_stored / 8.0
    )
    time = smaller.phase_times(model, device, narrow_format, assume, tp, batch_size, seq_len, left, attending)

    # compressing adds neither parameters nor bits
    kept = np.where(cache, kv_base, base)
    smaller_model = (method != CompressionMethod.DISTILL) | (student <= 1.0)
    shape = (value_bits <= kept) & smaller_model & (uncompressed_params <= params)

    computes = supported
    if factor_rank is not None:
        supported = supported & ((method != CompressionMethod.LOW_RANK) | (model.n_layers > 0))
    supported = supported & (~cache | (model.n_layers > 0)) & architecture.alike(model)
    limit = first_failing(
        (shape, Limit.SHAPE),
        (supported, Limit.CAPABILITY), (weights + kv <= tp * hardware.mem_capacity, Limit.MEMORY)
    )
    ratio: Any = np.where(cache, kv_base / kv_stored, dense_weights / weights)
    per_value: Any = np.where(cache, kv_stored, stored)
    return Compression(
        accuracy_delta=-drop,
        accuracy_spread=spread,
        loss_delta=loss,
        compression_ratio=ratio,
        bits_per_value=per_value,
        params_left=params * left,
        dense_weight_memory=dense_weights,
        weight_memory=weights,
        dense_kv_memory=dense_kv,
        kv_memory=kv,
        memory_saved=dense_weights + dense_kv - weights - kv,
        prefill_speedup=dense_time.prefill / time.prefill,
        decode_speedup=dense_time.decode / time.decode,
        prefill_time=np.where(computes, time.prefill, np.inf),
        decode_time=np.where(computes, time.decode, np.inf),
        feasible=limit == 0,
        limit=limit,
    )


CompressionModel = Model("CompressionModel", compression, domain="algorithm", walls=(13,))
