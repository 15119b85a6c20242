"""SingleNodeModel: one pass of one model on one device, and what happens when it does not fit."""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture, network, roofline, single_pass, spilling
from mlsysim.equations.conventions import can_compute, can_train, serving_device, textbook_assumptions, where_possible
from mlsysim.equations.energy import activity, device_power
from mlsysim.equations.selection import first_failing
from mlsysim.equations.training import utilization
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Bottleneck, FlopsConvention, Limit, Recompute, Runtime
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload


class SingleNode(NamedTuple):
    """What `single_node` returns."""

    latency: Real
    compute_time: Real
    memory_time: Real
    overhead_time: Real
    throughput: Real
    flops: Real
    bytes_moved: Real
    arithmetic_intensity: Real
    ridge_point: Real
    mfu: Real
    hfu: Real
    memory_weights: Real
    memory_gradients: Real
    memory_optimizer: Real
    memory_activations: Real
    kv_cache: Real
    memory_per_device: Real
    memory_utilization: Real
    spill_bytes: Real
    host_spill_bytes: Real
    storage_spill_bytes: Real
    effective_bandwidth: Real
    offload_latency: Real
    offload_latency_serial: Real
    break_even_tokens: Real
    energy_per_sample: Real
    feasible: Flag
    limit: Code
    bottleneck: Code


@kernel
def single_node(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    batch_size=1,
    seq_len=2048,
    cached_prefix=0,
    efficiency=None,
    bandwidth_efficiency=None,
    is_training=0,
    recompute=Recompute.NONE,
    zero_stage=0,
    dp=1,
    lora_rank=0,
    flops_convention=FlopsConvention.CAUSAL,
    offload=0,
    textbook=0,
    runtime=Runtime.USUAL,
    weights_in_sram=0,
) -> SingleNode:
    """One forward pass, or one training step, on one device; walls 1 (compute) and 2 (memory).

    Parameters
    ----------
    batch_size : samples in the pass; a sample of a transformer is `seq_len` tokens.
    seq_len : new tokens per sample; 1 with `cached_prefix` = context is one decode step.
    cached_prefix : tokens in the cache before them.
    efficiency, bandwidth_efficiency : constant shares of peak and bandwidth in place of the measured curves.
    is_training : 1 adds the backward pass and the optimizer.
    recompute : activations computed again in the backward pass.
    zero_stage, dp : sharding of the model states over `dp` devices (its communication: DistributedModel).
    lora_rank : rank of adapters that are trained in place of the weights; 0 trains all.
    flops_convention : attention FLOPs that `mfu` and `hfu` count.
    offload : 1 lets what does not fit live in host memory and storage; then `latency` is `offload_latency`.
    textbook : 1 for the hand calculation ``max(FLOP / (eta peak), bytes / bandwidth)``: no start times, weights
        and cache as the only traffic, no reserve of the runtime.
    runtime : software that runs a network: what it fuses between layers, and how it launches kernels.  By default an
        engine compiled ahead of time (`engine`: TensorRT and the like) in inference, PyTorch (`eager`) in training:
        what most published figures are of.  Of a transformer only `eager` inference differs from the others.
    weights_in_sram : 1 reads a network's weights at `sram_bandwidth`; on a microcontroller they must fit there.

    Returns
    -------
    SingleNode
        `offload_latency` overlaps the link with the pass, `offload_latency_serial` waits for it; both equal
        `latency` when all fits.  `break_even_tokens` is the pass from which fetched weights cost no time.

    Notes
    -----
    Products follow the measured curve over all their rows; traffic is weights once (of experts: the
    distinct ones touched), cache, activations.  The head is computed for every token in training, for the
    last one otherwise.  A model that is no transformer counts `flops_per_sample`, reads each weight once per
    pass, and moves `activation_values` (`mlsysim.equations.network`); no engine trains.

    References
    ----------
    Williams, Waterman, Patterson 2009; Sheng et al. 2023 (arXiv:2303.06865) for offload.
    """
    by_hand, training, frozen = textbook > 0, is_training > 0, lora_rank > 0
    software = network.runtime_of(runtime, training)
    computes = np.where(training & np.logical_not(frozen), can_train(hardware), can_compute(hardware))
    hardware = serving_device(hardware, efficiency, bandwidth_efficiency, textbook)
    assume = textbook_assumptions(assume, textbook)
    hardware, assume = single_pass.training_curves(hardware, assume, training & np.logical_not(by_hand), efficiency)
    batch = single_pass.batch(model, batch_size, seq_len, cached_prefix, training)
    passes = single_pass.passes(assume, training, frozen, recompute)
    trained = single_pass.trained_params(model, lora_rank)
    flops, executed = single_pass.operations(model, batch, passes, flops_convention)
    time = single_pass.device_time(
        model,
        hardware,
        format,
        assume,
        batch,
        passes,
        by_hand=by_hand,
        efficiency=efficiency,
        update=single_pass.update_time(hardware, format, assume, trained, training, zero_stage, dp),
        training=training,
        runtime=software,
        weights_in_sram=weights_in_sram,
    )
    moved = single_pass.moved_bytes(hardware, assume, time)
    memory = single_pass.pass_memory(
        model,
        hardware,
        format,
        assume,
        batch,
        training=training,
        trained=trained,
        frozen=frozen,
        recompute=recompute,
        zero_stage=zero_stage,
        dp=dp,
        by_hand=by_hand,
        weights_in_sram=weights_in_sram,
    )
    beyond = spilling.spill(model, hardware, fleet, format, assume, batch, memory, training)
    prefetched = roofline.prefetched_time(time.total, beyond.link)
    latency = np.where(offload > 0, prefetched, time.total)

    fits = (memory.main <= hardware.mem_capacity) & memory.fits_scratchpad
    fits_offloaded = (memory.main - beyond.total <= hardware.mem_capacity) & memory.fits_scratchpad
    supported = (
        computes
        & ((model.n_layers > 0) | (model.flops_per_sample > 0))
        & (np.logical_not(training) | (architecture.trains(model) & (software != Runtime.ENGINE)))
        & architecture.within_context(model, cached_prefix + seq_len)
    )
    limit = first_failing(
        (seq_len >= 1, Limit.SHAPE),
        (supported, Limit.CAPABILITY),
        (np.where(offload > 0, fits_offloaded, fits), Limit.MEMORY),
    )
    busy = np.minimum(activity(time.compute, time.memory, assume.memory_activity_power) / latency, 1.0)
    answer = SingleNode(
        latency=latency,
        compute_time=time.compute,
        memory_time=time.memory,
        overhead_time=np.where(by_hand, 0.0, time.overhead),
        throughput=batch_size / latency,
        flops=flops,
        bytes_moved=moved,
        arithmetic_intensity=roofline.arithmetic_intensity(flops, moved),
        ridge_point=roofline.ridge_point(hardware.peak_flops, hardware.mem_bandwidth),
        mfu=utilization(flops, 1.0, hardware.peak_flops, latency),
        hfu=utilization(executed, 1.0, hardware.peak_flops, latency),
        memory_weights=memory.weights,
        memory_gradients=memory.gradients,
        memory_optimizer=memory.optimizer,
        memory_activations=memory.activations,
        kv_cache=memory.kv_cache,
        memory_per_device=memory.total,
        memory_utilization=memory.main / hardware.mem_capacity,
        spill_bytes=beyond.total,
        host_spill_bytes=beyond.host,
        storage_spill_bytes=beyond.storage,
        effective_bandwidth=roofline.effective_bandwidth(
            moved, np.maximum(moved - beyond.fetched, 0.0), hardware.mem_bandwidth, beyond.link
        ),
        offload_latency=prefetched,
        offload_latency_serial=roofline.serial_time(time.total, beyond.link),
        break_even_tokens=roofline.break_even_tokens(
            spilled_share=beyond.total / np.maximum(memory.weights, 1.0),
            weight_bytes=format.weight_bytes,
            efficiency=hardware.gemm_efficiency,
            peak_flops=hardware.peak_flops,
            host_bandwidth=beyond.link_rate,
        ),
        energy_per_sample=device_power(hardware.idle_power, hardware.tdp, busy) * latency / batch_size,
        feasible=limit == 0,
        limit=limit,
        bottleneck=_bottleneck(time, beyond, by_hand, offload),
    )
    return where_possible(computes, answer)


def _bottleneck(time: single_pass.DeviceTime, beyond: spilling.Spill, by_hand, offload) -> Any:
    """The wall behind a pass: arithmetic, traffic, starts and host, or the link to what lies beyond the device."""
    on_device = np.where(time.compute >= time.memory, float(Bottleneck.COMPUTE), float(Bottleneck.MEMORY))
    within = np.where(time.overhead > time.joined, float(Bottleneck.OVERHEAD), on_device)
    linked = (offload > 0) & (beyond.link > time.total)
    return np.where(linked, float(Bottleneck.LINK), np.where(by_hand, on_device, within))


SingleNodeModel = Model("SingleNodeModel", single_node, domain="node", walls=(1, 2))
