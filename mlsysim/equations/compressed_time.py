"""What a compressed model gains in time: the device it computes on, and the two phases of serving by the roofline.

References
----------
Lin et al. 2024, "AWQ" (arXiv:2306.00978) for kernels that unpack weights; Mishra et al. 2021, "Accelerating sparse deep
neural networks" (arXiv:2104.08378) for the 2:4 pattern.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import network, operators
from mlsysim.equations.compute import weight_only
from mlsysim.equations.operators import time_of
from mlsysim.equations.serving import elementwise_per_row
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import CompressionMethod, Runtime
from mlsysim.schema.records import Accelerator, Format, Workload

#: share of peak of 8-bit products over that of 16-bit ones, where they were measured both (H100: 0.6178 of 0.7999)
NARROW_PRODUCTS = 0.7723


def network_device(model: Workload, hardware: Accelerator, given, method) -> Accelerator:
    """The device of a compressed network, beside `compressed_device`: its narrow products reach less of their peak.

    Parameters
    ----------
    given : the device at the compressed precision, with curves of its own, or None.
    method : `CompressionMethod`
    """
    if given is not None:
        return hardware
    narrower = (method == CompressionMethod.QUANTIZE_WEIGHTS_ACTIVATIONS) & (model.n_layers <= 0)
    share = np.where(narrower, NARROW_PRODUCTS, 1.0)
    return hardware._replace(gemm_efficiency=share * hardware.gemm_efficiency)


def network_format(model: Workload, format: Format, method, bits) -> Format:
    """The format of a compressed network: its values are as narrow as its weights where products read both narrow."""
    narrower = (method == CompressionMethod.QUANTIZE_WEIGHTS_ACTIVATIONS) & (model.n_layers <= 0)
    return format._replace(
        quantised=np.where(narrower, 1.0, format.quantised),
        gemm_input_bytes=np.where(narrower, bits / 8.0, format.gemm_input_bytes),
    )


def compressed_device(hardware: Accelerator, given, method, bits, baseline_bits, sparse_speedup) -> Accelerator:
    """The device as a compressed model finds it.

    Parameters
    ----------
    hardware : at the compressed precision if it is `given`, else at the baseline's.
    given : that device, or None: the rate grows with the width that narrow activations save, and kernels that
        unpack narrow weights have curves of their own.
    method : `CompressionMethod`
    bits, baseline_bits : of a value.
    sparse_speedup : of products with two of four values.
    """
    rate: Any = 1.0
    if given is None:
        narrower = method == CompressionMethod.QUANTIZE_WEIGHTS_ACTIVATIONS
        rate = np.where(narrower, baseline_bits / bits, 1.0)
    rate = rate * np.where(method == CompressionMethod.PRUNE_2_4, sparse_speedup, 1.0)
    device = hardware._replace(peak_flops=hardware.peak_flops * rate)
    if given is not None:
        return device
    unpacks = (method == CompressionMethod.QUANTIZE_WEIGHTS) & (bits < baseline_bits)
    unpacking = weight_only(device.gemm_efficiency, device.gemm_bandwidth_efficiency)
    moved = {name: np.where(unpacks, value, getattr(device, name)) for name, value in unpacking.items()}
    return device._replace(**moved)


class Phases(NamedTuple):
    """Seconds of the two phases of serving on the device, host time left out."""

    prefill: Any
    decode: Any


def phase_times(
    model: Workload,
    hardware: Accelerator,
    format: Format,
    assume: Assumptions,
    tp,
    batch,
    seq_len,
    layer_share,
    attention_share,
) -> Phases:
    """Prefill of `batch` prompts and one decode step after them, by the roofline, element-wise work included (s).

    Parameters
    ----------
    model : Workload
    hardware : Accelerator, at the format the products compute in.
    format : Format; `weight_bytes` and `kv_bytes` are read, `activation_bytes` holds for tables too.
    assume : Assumptions
    tp : devices that share every matrix; what they exchange is left out, compression does not change it.
    batch : sequences.
    seq_len : tokens of a prompt, and of the context decoded at.
    layer_share : what is left of the matrices of the layers, in arithmetic and traffic (1).
    attention_share : what is left of heads and layers in attention, its cache and element-wise work (1).

    Notes
    -----
    A model that is no transformer is a network in an engine (`mlsysim.equations.network`), as in SingleNodeModel; what is
    left of its matrices is left of its values as well.
    """

    def products(rows):
        seconds = time_of(operators.head_work(model, hardware, format, assume, tp, batch), hardware)
        for work in (
            operators.linear_work(model, hardware, format, assume, tp, rows),
            operators.expert_work(model, hardware, format, assume, tp, 1.0, rows),
        ):
            left = work._replace(arithmetic=layer_share * work.arithmetic, traffic=layer_share * work.traffic)
            seconds = seconds + time_of(left, hardware)
        kernels = model.n_layers * (assume.elementwise_kernels * assume.elementwise_kernel_time)
        elementwise = kernels + rows * elementwise_per_row(model, hardware, format, assume, tp)
        return seconds + attention_share * elementwise

    prompt = operators.prefill_attention_time(model, hardware, format, assume, tp, batch, seq_len, 0.0, 1.0)
    step = operators.decode_attention_time(model, hardware, format, tp, batch, seq_len)
    alone = network.work(
        model,
        hardware,
        format,
        assume,
        batch,
        runtime=float(Runtime.ENGINE),
        by_hand=False,
        efficiency=None,
    )
    kept = layer_share / tp
    sample = alone.start + alone.apart * kept
    level = assume.network_level * assume.engine_level
    sample = level * (sample + network.joined(alone.arithmetic * kept, alone.traffic * kept))
    layered = model.n_layers > 0
    return Phases(
        prefill=np.where(layered, products(batch * seq_len) + attention_share * prompt, sample),
        decode=np.where(layered, products(batch) + attention_share * step, sample),
    )
