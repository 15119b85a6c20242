"""A training step on one device, by the equations of a training on many: time, memory, and what each would be alone.

A device that trains by itself is a layout of one.  Only what a layout of many does not know is added here: adapters that
are trained in place of the weights, and tokens that are cached before the sequence.

References
----------
As in `mlsysim.equations.training`, `training_step` and `training_memory`.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture, memory, training, training_memory, training_step
from mlsysim.equations import pipeline_stages as stages
from mlsysim.equations.conventions import arithmetic_only, with_efficiency
from mlsysim.equations.exchanges import Exchanges
from mlsysim.equations.layer import Layer, layer
from mlsysim.equations.layout import Layout, layout
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Schedule
from mlsysim.schema.kinds import asked
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload

#: a device that exchanges nothing
ALONE = Exchanges(*[0.0] * len(Exchanges._fields))


class Step(NamedTuple):
    """A training step of one device, whatever it runs on."""

    model: Workload
    fleet: Fleet
    format: Format
    rows: Any  #: tokens of the step
    seq_len: Any  #: tokens of a sequence
    cached: Any  #: tokens before them
    recompute: Any  #: `Recompute`
    frozen: Any  #: are adapters trained in place of the weights
    trained: Any  #: parameters that are trained
    plan: Layout  #: of one device, and of those that share its states


class StepTime(NamedTuple):
    """Time of a step (s) by what it is made of, and its traffic."""

    compute: Any  #: arithmetic alone
    memory: Any  #: traffic alone
    overhead: Any  #: starts of kernels, the host, and what a machine loses below the predicted level
    total: Any
    moved: Any  #: byte


def priced(model: Workload):
    """Is a training step of the model priced layer by layer: a transformer whose layers are alike?"""
    return (model.n_layers > 0) & architecture.trains(model)


def own_layout(zero_stage, sharing) -> Layout:
    """A device by itself, whose states `sharing` devices share from a ZeRO stage on."""
    return layout(
        tp=1.0,
        cp=1.0,
        dp=sharing,
        pp=1.0,
        ep=1.0,
        expert_tp=None,
        sequence_parallel=0.0,
        schedule=float(Schedule.ONE_F_ONE_B),
        virtual_stages=1.0,
        zero_stage=zero_stage,
        n_accelerators=sharing,
        shard_size=None,
    )


def curves(
    hardware: Accelerator, assume: Assumptions, efficiency, bandwidth_efficiency
) -> tuple[Accelerator, Assumptions]:
    """Device and assumptions of a step: the curves of training, or constant shares in their place.

    Parameters
    ----------
    efficiency : constant share of peak, or None for the curves: operations over that share and nothing else, as in a
        training on many devices.
    bandwidth_efficiency : constant share of bandwidth, or None; with it traffic counts beside a given efficiency, too.
    """
    if bandwidth_efficiency is None:
        return arithmetic_only(hardware, assume, efficiency)
    if efficiency is not None:
        assume = assume._replace(
            training_gemm_factor=1.0, training_attention_factor=1.0, grouped_gemm_factor=1.0, gemm_half_inner=0.0
        )
    hardware = with_efficiency(hardware, efficiency, bandwidth_efficiency)
    return hardware, assume._replace(streaming_efficiency=bandwidth_efficiency)


def layers_of(step: Step, hardware: Accelerator, assume: Assumptions) -> tuple[Layer, Layer]:
    """A layer without and one with experts, on one device; a model without experts has the first kind only."""
    options = {"rows": step.rows, "seq_len": step.seq_len, "recompute": step.recompute}
    machine = (step.plan, ALONE, hardware, step.format, assume)
    dense = layer(step.model, False, *machine, attention=None, cached=step.cached, **options)
    if asked(step.model.n_experts > 0) is None:
        return dense, dense
    return dense, layer(step.model, True, *machine, attention=None, cached=step.cached, **options)


def passes_of(step: Step, with_experts, hardware: Accelerator, assume: Assumptions):
    """All passes of one layer: those that adapters need where these are trained in place of the weights (s)."""
    passes = training.layer_time(
        step.model,
        with_experts,
        rows=step.rows,
        seq_len=step.seq_len,
        block=step.seq_len,
        tp=1.0,
        ep=1.0,
        expert_tp=1.0,
        sequence_parallel=0.0,
        attention=None,
        hardware=hardware,
        format=step.format,
        assume=assume,
        cached=step.cached,
    )
    repeated = training.recomputed_time(passes, training.repeated_set(step.recompute), None, assume)
    return passes.forward + passes.backward + repeated - np.where(step.frozen, passes.weight, 0.0)


def level_time(step: Step, params, hardware: Accelerator, assume: Assumptions):
    """A step at the predicted level: passes, sums of gradients, update, host; without transfers to the host (s).

    Adapters that are trained in place of the weights spare the gradients of the weights, and are all that is updated.

    Parameters
    ----------
    params : parameters on the device, without routed experts, and of these.
    """
    model = step.model
    head = training.head_passes(model, step.rows, 1.0, hardware, step.format, assume)
    with_experts = architecture.moe_layers(model)
    layers = (model.n_layers - with_experts) * passes_of(step, False, hardware, assume)
    if asked(model.n_experts > 0) is not None:
        routed = with_experts * passes_of(step, True, hardware, assume)
        layers = layers + np.where(model.n_experts > 0, routed, 0.0)
    own = np.where(step.frozen, step.trained, params[0]), np.where(step.frozen, 0.0, params[1])
    apart = np.where(assume.fused_accumulation > 0, 0.0, 1.0)
    sums = apart * training.accumulation_time(
        own[0] + own[1], assume.gradient_bytes, hardware.mem_bandwidth, assume.streaming_efficiency
    )
    update = training_step.update_time(step.plan, hardware, step.fleet, step.format, assume, *own, 0.0)
    at_head = head.forward + head.backward - np.where(step.frozen, head.weight, 0.0)
    return layers + at_head + sums + update + assume.training_host_time


def step_time(step: Step, hardware: Accelerator, assume: Assumptions) -> StepTime:
    """A step on one device, and the same step where memory, arithmetic, or both cost no time.

    Whatever is left when both are free is starts of kernels and the host.  Where bytes take a second each, at full
    bandwidth, and nothing else takes any, the time is the traffic.
    """
    factor = training_step.machine_level(step.model, step.format, assume)
    nothing = {"gemm_latency": 0.0, "plain_gemm_latency": 0.0, "gemm_exponent": 0.0}
    no_arithmetic = {"peak_flops": np.inf, "attention_peak_flops": np.inf}
    no_traffic = {"mem_bandwidth": np.inf}
    unhosted = assume._replace(training_host_time=0.0)
    plain = unhosted._replace(streaming_efficiency=1.0, elementwise_slowdown=1.0, optimizer_slowdown=1.0)
    bytes_as_seconds = {"mem_bandwidth": 1.0, "gemm_bandwidth_efficiency": 1.0}
    layers = stages.over_stages(step.model, 1.0, *layers_of(step, hardware, assume))
    params = stages.dense_stage_params(step.model, step.plan, layers.params).first, layers.expert_params.first

    def alone(assume: Assumptions, **changed: Any) -> Any:
        return level_time(step, params, hardware._replace(**changed), assume)

    at_level = alone(assume) + layers.host_transfer.first
    total, faster = at_level * factor, np.minimum(factor, 1.0)
    return StepTime(
        compute=faster * alone(unhosted, **nothing, **no_traffic),
        memory=faster * alone(unhosted, **nothing, **no_arithmetic),
        overhead=faster * alone(assume, **no_arithmetic, **no_traffic) + np.maximum(total - at_level, 0.0),
        total=total,
        moved=alone(plain, **nothing, **no_arithmetic, **bytes_as_seconds),
    )


def step_memory(step: Step, hardware: Accelerator, assume: Assumptions, frozen_bytes) -> training_memory.FullestStage:
    """What the device holds during a step, by class (byte).

    Parameters
    ----------
    frozen_bytes : weights that are not trained, as the device holds them; read where adapters are trained.
    """
    dense, moe = layers_of(step, hardware, assume)
    layers = stages.over_stages(step.model, 1.0, dense, moe)
    held = training_memory.stages_memory(
        step.model,
        step.plan,
        step.format,
        assume,
        dense=dense,
        moe=moe,
        layers=layers,
        params=stages.dense_stage_params(step.model, step.plan, layers.params),
        rows=step.rows,
        optimizer_offload=0.0,
    )
    adapters = training_memory.stage_states(
        step.plan, step.format, assume, step.trained, 0.0, experts=False, optimizer_offload=0.0
    )
    adapters = adapters._replace(weights=adapters.weights + frozen_bytes)
    states = memory.States(*(np.where(step.frozen, a, b) for a, b in zip(adapters, held[0].states)))
    return training_memory.fullest_stage([held[0]._replace(states=states), *held[1:]], assume, 1.0, 1.0)
