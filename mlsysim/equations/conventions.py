"""The simple convention of textbooks: one efficiency, full bandwidth, nothing else; and devices that lack a format."""

import numpy as np

from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Accelerator, Format
from mlsysim.schema.variables import VARIABLES


def can_compute(hardware: Accelerator):
    """Has the device a rate for matrix products and one for attention?"""
    return (hardware.peak_flops > 0) & (hardware.attention_peak_flops > 0)


def can_train(hardware: Accelerator):
    """Can it compute gradients in its format: widened weights serve, and are frozen in training."""
    return can_compute(hardware) & (hardware.widens_weights <= 0)


def quantises(hardware: Accelerator, format: Format):
    """Are activations narrowed before each product: in narrow formats, where the device has products of them."""
    return (format.quantised > 0) & (hardware.widens_weights <= 0)


def with_some_rate(hardware: Accelerator) -> Accelerator:
    """The device with one operation per second where it lacks the format: times stay numbers, astronomic ones."""
    return hardware._replace(
        peak_flops=np.where(hardware.peak_flops > 0, hardware.peak_flops, 1.0),
        narrow_sum_flops=np.where(hardware.narrow_sum_flops > 0, hardware.narrow_sum_flops, 1.0),
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
            vector_flops=0.0,
            vector_ops=0.0,
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


def arithmetic_only(hardware: Accelerator, assume: Assumptions, efficiency) -> tuple[Accelerator, Assumptions]:
    """Device and assumptions of a training step that takes its operations over a constant share of peak, nothing else.

    None keeps the curves.  Otherwise no traffic, no start times, no element-wise work, and no factors over the curves;
    attention runs at the same peak as the matrix products, and its backward pass takes twice its forward pass.
    """
    if efficiency is None:
        return hardware, assume
    hardware = with_efficiency(hardware, efficiency, np.inf)._replace(
        attention_peak_flops=hardware.peak_flops, gemm_latency=0.0, plain_gemm_latency=0.0, gemm_exponent=0.0
    )
    assume = assume._replace(
        training_gemm_factor=1.0,
        training_attention_factor=1.0,
        grouped_gemm_factor=1.0,
        elementwise_slowdown=0.0,
        gemm_half_inner=0.0,
        streaming_efficiency=np.inf,
        attention_backward=2.0,
    )
    return hardware, assume


def serving_device(hardware: Accelerator, efficiency, bandwidth_efficiency, textbook) -> Accelerator:
    """The device that serves: by hand where `textbook` is set, at constant shares where these are given."""
    return with_efficiency(textbook_device(with_some_rate(hardware), textbook), efficiency, bandwidth_efficiency)


def serving_assumptions(
    assume: Assumptions, efficiency, textbook, on_chip=0.0, bandwidth_efficiency=None
) -> Assumptions:
    """The assumptions beside that device: by hand where `textbook` is set, no factor over a given share.

    Parameters
    ----------
    on_chip : do all devices of the call have their memory on the chip (`without_host`)?
    """
    assume = without_host(textbook_assumptions(assume, textbook), on_chip)
    if bandwidth_efficiency is not None:
        assume = assume._replace(expert_bandwidth_efficiency=bandwidth_efficiency)
    if efficiency is None:
        return assume
    of_wafers = {"wafer_efficiency": efficiency, "wafer_half_rows": 0.0}
    of_experts = {"expert_tile_rows": 0.0, "expert_input_reads": 0.0}
    return assume._replace(serving_gemm_factor=1.0, narrow_sums=0.0, **of_wafers, **of_experts)


def without_host(assume: Assumptions, on_chip) -> Assumptions:
    """The assumptions of devices that run a compiled plan from their own memory, where `on_chip` is set.

    No host between two steps, no kernels to launch, no runtime and no workspace beside weights and cache.
    """
    nothing = (
        "host_step_time",
        "host_sequence_time",
        "eager_kernel_time",
        "runtime_reserve",
        "communication_reserve",
        "workspace_bytes_per_value",
        "last_token_apart",
        "balance_steps",
        "logit_bytes",
    )
    changed = {name: np.where(on_chip > 0, 0.0, getattr(assume, name)) for name in nothing}
    return assume._replace(**changed, poll_steps=np.where(on_chip > 0, 1.0, assume.poll_steps))


def textbook_device(hardware: Accelerator, textbook) -> Accelerator:
    """The device of a hand calculation where `textbook` is set: full rates, no start times."""
    by_hand = textbook > 0

    def where(value, measured):
        return np.where(by_hand, value, measured)

    return hardware._replace(
        gemm_latency=where(0.0, hardware.gemm_latency),
        gemm_efficiency=where(1.0, hardware.gemm_efficiency),
        gemm_half_rows=where(0.0, hardware.gemm_half_rows),
        vector_flops=where(0.0, hardware.vector_flops),
        vector_ops=where(0.0, hardware.vector_ops),
        gemm_bandwidth_efficiency=where(1.0, hardware.gemm_bandwidth_efficiency),
        gemm_exponent=where(0.0, hardware.gemm_exponent),
        attention_efficiency=where(1.0, hardware.attention_efficiency),
        attention_half_length=where(0.0, hardware.attention_half_length),
        decode_attention_latency=where(0.0, hardware.decode_attention_latency),
        decode_attention_bandwidth_efficiency=where(1.0, hardware.decode_attention_bandwidth_efficiency),
        decode_attention_ramp=where(0.0, hardware.decode_attention_ramp),
        on_chip_memory=where(0.0, hardware.on_chip_memory),
    )


def textbook_assumptions(assume: Assumptions, textbook) -> Assumptions:
    """The assumptions of a hand calculation where `textbook` is set: weights, cache and arithmetic."""
    by_hand = textbook > 0
    nothing = (
        "host_step_time",
        "host_sequence_time",
        "frontend_time",
        "frontend_token_time",
        "kv_transfer_latency",
        "eager_kernel_time",
        "moe_layer_latency",
        "expert_exposed",
        "expert_input_reads",
        "expert_skew",
        "expert_tile_rows",
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
        "last_token_apart",
        "balance_steps",
        "logit_bytes",
        "narrow_sums",
        "score_bytes",
        "unpacks_weights",
    )
    whole = ("expert_bandwidth_efficiency", "expert_gemm_efficiency", "serving_gemm_factor", "poll_steps")
    changed = {name: np.where(by_hand, 0.0, getattr(assume, name)) for name in nothing}
    changed |= {name: np.where(by_hand, 1.0, getattr(assume, name)) for name in whole}
    return assume._replace(**changed)
