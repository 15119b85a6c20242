"""Wall 13, fidelity: what a smaller model saves, what it gains in time, what it loses in accuracy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture, compressed_size, sharding
from mlsysim.equations.compressed_time import compressed_device, network_device, network_format, phase_times
from mlsysim.equations.compression import harm
from mlsysim.equations.conventions import with_some_rate
from mlsysim.equations.selection import first_failing
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import CompressionMethod, Limit, Pruner, Quantizer
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Format, Workload
from mlsysim.schema.usual import SEQ_LEN


class Compression(NamedTuple):
    """The compressed model against the dense one at the stated precision."""

    accuracy_delta: Real
    accuracy_spread: Real
    accuracy_basis: Code
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
    index_bits=None,
    factor_rank=None,
    student_params=None,
    quantizer=Quantizer.GPTQ,
    pruner=Pruner.WANDA,
    baseline_bits=None,
    uncompressed_params=0.0,
    batch_size=1.0,
    seq_len=SEQ_LEN,
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
    index_bits : 1, optional
        That place a kept value of a 2:4 pattern (default 2) or tell a zero in a bitmap (default 1); 0 for a
        calculation without them.
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
        `accuracy_spread`: one standard deviation; `accuracy_basis`: whose publications they rest on (a model that is no
        transformer: top-1 of image networks, tuned or trained anew); `loss_delta`: ln of the perplexity ratio.  Speed-ups are
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
    value_bits: Any = compressed_size.default_bits(method, base) if bits is None else bits
    grouped = compressed_size.grouped_bits(value_bits, scale_bits, zero_bits, group_size)
    stored: Any = compressed_size.stored_bits(method, value_bits, grouped, base, sparsity, index_bits)
    cache = method == CompressionMethod.QUANTIZE_KV
    kv_stored: Any = np.where(cache, grouped, kv_base)
    left = compressed_size.shares_left(model, method, sparsity, factor_rank, student_params)

    dense_weights: Any = params * base / 8.0
    as_they_are = np.minimum(uncompressed_params, params)
    weights: Any = ((params - as_they_are) * (stored * left.layers) + as_they_are * base) / 8.0
    cached = batch_size * sharding.cached_values(model, seq_len)
    dense_kv = cached * kv_base / 8.0
    kv = cached * left.attention * kv_stored / 8.0

    harmed = harm(
        model,
        assume,
        method,
        bits=value_bits,
        baseline_bits=base,
        kv_bits=kv_base,
        group_size=group_size,
        sparsity=sparsity,
        left=left.layers,
        student=left.student,
        quantizer=quantizer,
        pruner=pruner,
    )

    device = hardware if compressed_hardware is None else compressed_hardware
    in_narrow_products = method == CompressionMethod.QUANTIZE_WEIGHTS_ACTIVATIONS
    computes = (device.peak_flops > 0) & np.logical_not(in_narrow_products & (device.widens_weights > 0))
    hardware, device = with_some_rate(hardware), with_some_rate(device)
    dense_time = phase_times(model, hardware, format, assume, tp, batch_size, seq_len, 1.0, 1.0)
    device = compressed_device(device, compressed_hardware, method, value_bits, base, assume.sparse_gemm_speedup)
    device = network_device(model, device, compressed_hardware, method)
    narrow_format = network_format(model, format, method, value_bits)._replace(
        weight_bytes=stored / 8.0,
        attention_bytes=stored / 8.0,
        expert_bytes=stored / 8.0,
        shared_expert_bytes=stored / 8.0,
        kv_bytes=kv_stored / 8.0,
    )
    time = phase_times(model, device, narrow_format, assume, tp, batch_size, seq_len, left.layers, left.attention)

    # compressing adds neither parameters nor bits
    kept = np.where(cache, kv_base, base)
    smaller_model = (method != CompressionMethod.DISTILL) | (left.student <= 1.0)
    shape = (value_bits <= kept) & smaller_model & (uncompressed_params <= params)

    supported = computes
    if factor_rank is not None:
        supported = supported & ((method != CompressionMethod.LOW_RANK) | (model.n_layers > 0))
    supported = supported & (np.logical_not(cache) | (model.n_layers > 0)) & architecture.alike(model)
    limit = first_failing(
        (shape, Limit.SHAPE), (supported, Limit.CAPABILITY), (weights + kv <= tp * hardware.mem_capacity, Limit.MEMORY)
    )
    ratio: Any = np.where(cache, kv_base / kv_stored, dense_weights / weights)
    per_value: Any = np.where(cache, kv_stored, stored)
    return Compression(
        accuracy_delta=0.0 - harmed.drop,
        accuracy_spread=harmed.spread,
        accuracy_basis=harmed.basis,
        loss_delta=harmed.loss,
        compression_ratio=ratio,
        bits_per_value=per_value,
        params_left=params * left.layers,
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
