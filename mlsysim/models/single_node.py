"""SingleNodeModel: one pass of one model on one device, and what happens when it does not fit."""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture, network, roofline, single_pass, spilling, training_pass
from mlsysim.equations.conventions import (
    can_compute,
    can_train,
    serving_device,
    textbook_assumptions,
    where_possible,
    with_some_rate,
)
from mlsysim.equations.energy import activity, device_power
from mlsysim.equations.selection import first_failing
from mlsysim.equations.training import utilization
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Bottleneck, EnergyBasis, FlopsConvention, Limit, Phase, Recompute, Runtime
from mlsysim.schema.kinds import Code, Flag, Real, asked
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload
from mlsysim.schema.usual import SEQ_LEN

Trainer = tuple[Accelerator, Assumptions]  #: a device and what is assumed of it, for training


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
    decode_bottleneck: Code


@kernel
def single_node(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    batch_size=1,
    seq_len=SEQ_LEN,
    cached_prefix=0,
    phase=Phase.PREFILL,
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
    energy_basis=EnergyBasis.ACTIVITY,
    runtime=Runtime.USUAL,
    weights_in_sram=0,
) -> SingleNode:
    """One forward pass, or one training step, on one device; walls 1 (compute) and 2 (memory).

    Parameters
    ----------
    batch_size : samples in the pass; a sample of a transformer is `seq_len` tokens.
    seq_len : tokens per sample: new ones, or in a decode step those in the cache.
    cached_prefix : tokens in the cache before them.
    phase : `prefill`, one pass over all of `seq_len`; `decode`, the pass that generates one token behind them; `training`.
    efficiency, bandwidth_efficiency : constant shares of peak and bandwidth in place of the measured curves; a
        training step at a given `efficiency` alone is its operations over that share, as in DistributedModel.
    is_training : 1 adds the backward pass and the optimizer, as `phase` training does.
    recompute : activations computed again in the backward pass.
    zero_stage, dp : sharding of the model states over `dp` devices (its communication: DistributedModel).
    lora_rank : rank of adapters that are trained in place of the weights; 0 trains all.
    flops_convention : attention FLOPs that `mfu` and `hfu` count.
    offload : 1 lets what does not fit live in host memory and storage; then `latency` is `offload_latency`.
    textbook : 1 for the hand calculation ``max(FLOP / (eta peak), bytes / bandwidth)``: no start times, weights
        and cache as the only traffic, no reserve of the runtime.
    energy_basis : what power between idle and TDP follows: activity, or mfu for the hand calculation ``idle + (TDP -
        idle) MFU``.
    runtime : software that runs a network: what it fuses between layers, and how it launches kernels.  By default an
        engine compiled ahead of time (`engine`: TensorRT and the like) in inference, PyTorch (`eager`) in training:
        what most published figures are of.  Of a transformer only `eager` inference differs from the others.
    weights_in_sram : 1 reads a network's weights at `sram_bandwidth`; on a microcontroller they must fit there.

    Returns
    -------
    SingleNode
        `offload_latency` overlaps the link with the pass, `offload_latency_serial` waits for it; both equal
        `latency` when all fits.  `break_even_tokens` is the pass from which fetched weights cost no time.
        `bottleneck` is that of the pass; `decode_bottleneck` that of generating a token behind `seq_len` others,
        whatever the phase: a language model may be compute-bound in the one and memory-bound in the other (of a model
        that generates nothing, the same as `bottleneck`).

    Notes
    -----
    Products follow the measured curve over all their rows; traffic is weights once (of experts: the
    distinct ones touched), cache, activations.  The head is computed for every token in training, for the
    last one otherwise.  A training step of a transformer is that of `DistributedModel` on one device: the same
    equations, the same time and memory.  A model that is no transformer counts `flops_per_sample`, reads each
    weight once per pass, and moves `activation_values` (`mlsysim.equations.network`); no engine trains.

    References
    ----------
    Williams, Waterman, Patterson 2009; Sheng et al. 2023 (arXiv:2303.06865) for offload.
    """
    by_hand, frozen = textbook > 0, lora_rank > 0
    training, decoding = (is_training > 0) | (phase == Phase.TRAINING), phase == Phase.DECODE
    computes = np.where(training & np.logical_not(frozen), can_train(hardware), can_compute(hardware))
    trainer = training_pass.curves(with_some_rate(hardware), assume, efficiency, bandwidth_efficiency)
    hardware = serving_device(hardware, efficiency, bandwidth_efficiency, textbook)
    assume = textbook_assumptions(assume, textbook)
    serving = (hardware, format, assume)
    hardware, assume = single_pass.training_curves(hardware, assume, training & np.logical_not(by_hand), efficiency)
    new, cached = np.where(decoding, 1.0, seq_len), cached_prefix + np.where(decoding, seq_len, 0.0)
    batch = single_pass.batch(model, batch_size, new, cached, training)
    passes = single_pass.passes(assume, training, frozen, recompute)
    trained = single_pass.trained_params(model, lora_rank)
    flops, executed = single_pass.operations(model, batch, passes, flops_convention)
    update = single_pass.update_time(hardware, format, assume, trained, training, zero_stage, dp)
    by: dict[str, Any] = {"by_hand": by_hand, "efficiency": efficiency}
    software: dict[str, Any] = {"runtime": network.runtime_of(runtime, training), "weights_in_sram": weights_in_sram}
    time = single_pass.device_time(
        model, hardware, format, assume, batch, passes, **by, **software, update=update, training=training
    )
    moved = single_pass.moved_bytes(hardware, assume, time)
    sharing = {"recompute": recompute, "zero_stage": zero_stage, "dp": dp}
    kind: dict[str, Any] = {"training": training, "trained": trained, "frozen": frozen, "by_hand": by_hand}
    memory = single_pass.pass_memory(
        model, hardware, format, assume, batch, **kind, **sharing, weights_in_sram=weights_in_sram
    )
    if asked(training) is not None:
        about = (batch.tokens, seq_len, cached_prefix, recompute, frozen, trained)
        step = training_pass.Step(model, fleet, format, *about, training_pass.own_layout(zero_stage, dp))
        apart = training & np.logical_not(by_hand)
        time, moved = _trained_time(step, trainer, apart, time, moved)
        memory = _trained_memory(step, trainer, apart, memory)
    beyond = spilling.spill(model, hardware, fleet, format, assume, batch, memory, training)
    prefetched = roofline.prefetched_time(time.total, beyond.link)
    latency = np.where(offload > 0, prefetched, time.total)

    fits = (memory.main <= hardware.mem_capacity) & memory.fits_scratchpad
    fits_offloaded = (memory.main - beyond.total <= hardware.mem_capacity) & memory.fits_scratchpad
    supported = (
        computes
        & (np.logical_not(decoding) | (architecture.generates(model) & np.logical_not(training)))
        & ((model.n_layers > 0) | (model.flops_per_sample > 0))
        & (np.logical_not(training) | (architecture.trains(model) & (software["runtime"] != Runtime.ENGINE)))
        & architecture.within_context(model, cached_prefix + seq_len)
    )
    limit = first_failing(
        (seq_len >= 1, Limit.SHAPE),
        (supported, Limit.CAPABILITY),
        (np.where(offload > 0, fits_offloaded, fits), Limit.MEMORY),
    )
    busy = np.minimum(activity(time.compute, time.memory, assume.memory_activity_power) / latency, 1.0)
    wall = _bottleneck(time, beyond, by_hand, offload)
    mfu = utilization(flops, 1.0, hardware.peak_flops, latency)
    busy = np.where(energy_basis == EnergyBasis.MFU, np.minimum(mfu, 1.0), busy)
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
        mfu=mfu,
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
            beyond.total / np.maximum(memory.weights, 1.0),
            format.weight_bytes,
            hardware.gemm_efficiency,
            hardware.peak_flops,
            beyond.link_rate,
        ),
        energy_per_sample=device_power(hardware.idle_power, hardware.tdp, busy) * latency / batch_size,
        feasible=limit == 0,
        limit=limit,
        bottleneck=wall,
        decode_bottleneck=_decode_bottleneck(model, *serving, batch_size, cached_prefix + seq_len, wall, **by),
    )
    return where_possible(computes, answer)


def _trained_time(
    step: training_pass.Step, trainer: Trainer, trains, time: single_pass.DeviceTime, moved
) -> tuple[Any, Any]:
    """Time and traffic of a pass; of a training step of a transformer as `DistributedModel` finds them on one device."""
    own = training_pass.step_time(step, *trainer)
    trains = trains & training_pass.priced(step.model)
    parts = {
        "compute": own.compute,
        "memory": own.memory,
        "overhead": own.overhead,
        "joined": np.maximum(own.total - own.overhead, 0.0),
        "total": own.total,
    }
    changed = {name: np.where(trains, value, getattr(time, name)) for name, value in parts.items()}
    return time._replace(**changed), np.where(trains, own.moved, moved)


def _trained_memory(step: training_pass.Step, trainer: Trainer, trains, memory: single_pass.PassMemory) -> Any:
    """What a pass holds; a training step of a transformer holds what `DistributedModel` finds on one device."""
    trains = trains & training_pass.priced(step.model)
    sharing = np.where(step.plan.zero_stage >= 3, step.plan.dp, 1.0)
    own = training_pass.step_memory(
        step, *trainer, frozen_bytes=single_pass.stored_bytes(step.model, step.format, False) / sharing
    )
    parts = {
        "weights": own.memory_weights,
        "gradients": own.memory_gradients,
        "optimizer": own.memory_optimizer,
        "activations": own.memory_activations,
        "total": own.memory_per_device,
        "main": own.memory_per_device,
    }
    return memory._replace(**{name: np.where(trains, value, getattr(memory, name)) for name, value in parts.items()})


def _bottleneck(time: single_pass.DeviceTime, beyond: spilling.Spill, by_hand, offload) -> Any:
    """The wall behind a pass: arithmetic, traffic, starts and host, or the link to what lies beyond the device."""
    on_device = np.where(time.compute >= time.memory, float(Bottleneck.COMPUTE), float(Bottleneck.MEMORY))
    within = np.where(time.overhead > time.joined, float(Bottleneck.OVERHEAD), on_device)
    linked = (offload > 0) & (beyond.link > time.total)
    return np.where(linked, float(Bottleneck.LINK), np.where(by_hand, on_device, within))


def _decode_bottleneck(model, hardware, format, assume, batch_size, context, wall, by_hand, efficiency) -> Any:
    """The wall behind the pass that generates one token for each sample, its operands on the device; else that of the pass."""
    batch = single_pass.batch(model, batch_size, 1.0, context, False)
    once = single_pass.passes(assume, False, False, Recompute.NONE)
    step = single_pass.device_time(
        model, hardware, format, assume, batch, once, by_hand=by_hand, efficiency=efficiency, update=0.0
    )
    on_device = np.where(step.compute >= step.memory, float(Bottleneck.COMPUTE), float(Bottleneck.MEMORY))
    found = np.where(np.logical_not(by_hand) & (step.overhead > step.joined), float(Bottleneck.OVERHEAD), on_device)
    return np.where(architecture.generates(model), found, wall)


SingleNodeModel = Model("SingleNodeModel", single_node, domain="node", walls=(1, 2))
