"""What the devices of a training run hold: model states, activations in flight, and what is gathered for a while.

The first stage, one between and the last are followed; the fullest of them decides what is reserved.

References
----------
Rajbhandari et al. 2020 (arXiv:1910.02054); Narayanan et al. 2021 (arXiv:2104.04473) for activations in flight.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import memory, pipeline
from mlsysim.equations.data_parallel import sharding
from mlsysim.equations.layer import Layer
from mlsysim.equations.layout import Layout
from mlsysim.equations.pipeline import Stages
from mlsysim.equations.pipeline_stages import head_exists, head_share, mirrored, table_params
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Format, Workload


class StageMemory(NamedTuple):
    """What one device of a stage holds (byte)."""

    exists: Any  #: does the pipeline have this stage
    states: memory.States
    gathered: Any  #: weights and gradients that are whole for a while
    working: Any  #: activations of what is being computed, the head's included
    logits: Any  #: part of `working` that the head holds
    chunk: Any  #: activations of one chunk of a micro-batch, from its forward to its backward pass
    most_chunks: Any  #: chunks in flight at most


class FullestStage(NamedTuple):
    """What the device that holds most holds, by class (byte); the names are those of the outputs."""

    memory_per_device: Any  #: reserved: with the allocator's slack and what the runtime keeps
    memory_allocated: Any  #: held by tensors
    memory_weights: Any
    memory_gradients: Any
    memory_optimizer: Any
    memory_activations: Any
    memory_other: Any


def optimizer_state_bytes(optimizer_bytes, parameter_bytes, wide_bytes):
    """Bytes of optimizer state per parameter; wide parameters are their own master copy: ``K - 4`` for 4 bytes.

    Examples
    --------
    >>> float(optimizer_state_bytes(12.0, 2.0, 4.0)), float(optimizer_state_bytes(12.0, 4.0, 4.0))
    (12.0, 8.0)
    """
    return np.maximum(optimizer_bytes - np.where(parameter_bytes >= wide_bytes, wide_bytes, 0.0), 0.0)


def shared_by_pair(each: Stages, dual) -> Stages:
    """What a device holds of a quantity, half of it: a mirrored pipeline puts the first stage beside the last.

    Parameters
    ----------
    dual : does a device hold a stage of both directions; else it holds its own stage, whole.

    Examples
    --------
    >>> [float(part) for part in shared_by_pair(Stages(6.0, 4.0, 2.0, 8.0), True)]
    [4.0, 4.0, 4.0, 8.0]
    """
    mean = 0.5 * (each.first + each.last)
    return Stages(np.where(dual, mean, each.first), each.middle, np.where(dual, mean, each.last), each.between)


def largest_unit(dense: Layer, moe: Layer, table, experts):
    """Parameters of the largest unit that ZeRO-3 gathers at once, on one device: a layer, or the token table.

    Parameters
    ----------
    dense, moe : a layer without and with experts.
    table : parameters of the token table.
    experts : does the model have any.
    """
    with_experts = np.where(experts, moe.params + moe.expert_params, 0.0)
    return np.maximum(np.maximum(dense.params, with_experts), table)


def whole_for_a_while(layout: Layout, format: Format, assume: Assumptions, params, unit):
    """Weights and gradients that a device holds whole although they are sharded (byte).

    Over the step where a pipeline keeps them; else the units that ZeRO-3 has gathered (`memory.gathered_bytes`), with
    gradients as they are sent.

    Parameters
    ----------
    params : parameters of the stage on one device.
    unit : parameters that are gathered at once.
    """
    policy = sharding(layout.zero_stage, layout.pp, assume.keep_gathered)
    weight_bytes = np.where(layout.zero_stage >= 3, format.parameter_bytes, 0.0)
    streamed = memory.gathered_bytes(
        unit, format.parameter_bytes, assume.gradient_reduce_bytes, assume.gather_prefetch, assume.gather_limit
    )
    return np.where(
        policy.kept & (layout.zero_stage >= 2),
        params * (weight_bytes + assume.gradient_bytes),
        np.where(policy.streamed & (layout.replicas > 1), streamed, 0.0),
    )


def stage_states(
    layout: Layout, format: Format, assume: Assumptions, params, expert_params, *, experts, optimizer_offload
) -> memory.States:
    """Model states of one device of a stage (byte).

    A device of a mirrored pipeline holds two stages; states that are sharded are shared by the two devices that hold a
    stage.  Where ZeRO-3 shards the master weights themselves, they are all the weights that a device keeps: they are
    counted with the optimizer's states.

    Parameters
    ----------
    params, expert_params : parameters of the stage on one device, without routed experts, and of these.
    experts : does the model have any.
    optimizer_offload : 1 where the host holds the optimizer's states.
    """
    copies = np.where(mirrored(layout.schedule, layout.pp), 2.0, 1.0)
    state_bytes = optimizer_state_bytes(assume.optimizer_bytes, format.parameter_bytes, assume.wide_bytes)
    one_copy = (layout.zero_stage >= 3) & (assume.sharded_masters > 0) & (assume.optimizer_bytes >= assume.wide_bytes)
    sizes = (
        layout.zero_stage,
        np.where(one_copy, 0.0, format.parameter_bytes * copies),
        assume.gradient_bytes * copies,
        state_bytes * np.where(layout.zero_stage == 0, copies, 1.0),
    )
    dense = memory.model_states(params, layout.shards, *sizes)
    routed = memory.model_states(expert_params, layout.expert_replicas, *sizes)
    own = memory.States(*(a + np.where(experts, b, 0.0) for a, b in zip(dense, routed)))
    return own._replace(optimizer=np.where(optimizer_offload > 0, 0.0, own.optimizer))


def stages_memory(
    model: Workload,
    layout: Layout,
    format: Format,
    assume: Assumptions,
    *,
    dense: Layer,
    moe: Layer,
    layers: Layer,
    params: Stages,
    rows,
    optimizer_offload,
) -> list[StageMemory]:
    """What the first stage, one between, and the last hold.

    Parameters
    ----------
    dense, moe : a layer without and with experts.
    layers : figures of the layers of each stage (see `pipeline_stages.over_stages`).
    params : parameters of each stage on one device, routed experts left out.
    rows : tokens of the micro-batch on the tensor-parallel group.
    optimizer_offload : 1 where the host holds the optimizer's states.
    """
    experts = model.n_experts > 0
    unit = largest_unit(dense, moe, table_params(model, layout.tp), experts)
    working = np.maximum(dense.working, np.where(experts, moe.working, 0.0))
    logits = rows * memory.head_activations(
        model, layout.tp, layout.sequence_parallel, format.activation_bytes, assume.training_logit_bytes
    )
    logits = np.minimum(logits, assume.loss_tile)
    head = head_exists(head_share(layout.schedule, layout.pp))
    chunk_share = pipeline.chunk_share(pipeline.most_layers(model.n_layers, layout.pp), layout.virtual_stages)
    pp = layout.pp
    dual = mirrored(layout.schedule, pp)
    found = []
    for shared, routed, stored, has_head, position, exists in zip(
        shared_by_pair(params, dual),
        shared_by_pair(layers.expert_params, dual),
        shared_by_pair(layers.stored, dual),
        (head.first, 0.0, head.last),
        (0.0, 1.0, pp - 1.0),
        (True, pp > 2, pp > 1),
    ):
        found.append(
            StageMemory(
                exists=exists,
                states=stage_states(
                    layout, format, assume, shared, routed, experts=experts, optimizer_offload=optimizer_offload
                ),
                gathered=whole_for_a_while(layout, format, assume, shared + routed, unit),
                working=np.where(
                    assume.planned_memory > 0, np.maximum(working, has_head * logits), working + has_head * logits
                ),
                logits=has_head * logits,
                chunk=stored * chunk_share,
                most_chunks=pipeline.in_flight_limit(layout.schedule, pp, layout.virtual_stages, position),
            )
        )
    return found


def allocator_growth(assume: Assumptions):
    """What is reserved over what tensors hold: the allocator's slack, times the scatter of a run."""
    return (1.0 + assume.allocator_slack) * assume.memory_scatter


def freed_gradients(gradients, activations, logits, n_microbatches, gradients_resident):
    """Gradients that take the place of activations and are freed after the step: ``min(g, activations + logits)`` (byte).

    With one micro-batch gradients come while the activations of the same backward pass go.

    Parameters
    ----------
    gradients, activations, logits : of one stage (byte).
    gradients_resident : 1 where buffers of gradients are there from the beginning.

    Examples
    --------
    >>> float(freed_gradients(8.0, 3.0, 2.0, 1.0, 0.0)), float(freed_gradients(8.0, 3.0, 2.0, 2.0, 0.0))
    (5.0, 0.0)
    """
    take_turns = (n_microbatches <= 1) & (gradients_resident == 0)
    return np.where(take_turns, np.minimum(gradients, activations + logits), 0.0)


def fullest_stage(stages: list[StageMemory], assume: Assumptions, n_microbatches, virtual_stages) -> FullestStage:
    """What the device that holds most holds, with the chunks of all micro-batches that are in flight.

    Parameters
    ----------
    stages : the first, one between, the last.
    """
    growth = allocator_growth(assume)
    chunks = n_microbatches * virtual_stages
    in_flight = [np.minimum(chunks, stage.most_chunks) for stage in stages]
    used, freed = [], []
    for stage, count in zip(stages, in_flight):
        held = stage.states.weights + stage.states.gradients + stage.states.optimizer + stage.gathered + stage.working
        base = np.where(stage.exists, held * growth + assume.training_reserve, 0.0)
        kept = np.where(stage.exists, stage.chunk * growth, 0.0) * count
        free = freed_gradients(
            stage.states.gradients * growth, kept, stage.logits * growth, n_microbatches, assume.gradients_resident
        )
        used.append(base + kept - free)
        freed.append(free)

    def of_fullest(figures):
        first, middle, last = figures
        return np.where(used[0] >= np.maximum(used[1], used[2]), first, np.where(used[1] >= used[2], middle, last))

    reserved = np.maximum(used[0], np.maximum(used[1], used[2]))
    weights = of_fullest([stage.states.weights for stage in stages])
    gradients = of_fullest([stage.states.gradients - free * (1.0 / growth) for stage, free in zip(stages, freed)])
    gradients = np.maximum(gradients, 0.0)  # what is freed may round above what there was
    optimizer = of_fullest([stage.states.optimizer for stage in stages])
    activations = of_fullest([stage.working + stage.chunk * count for stage, count in zip(stages, in_flight)])
    return FullestStage(
        memory_per_device=reserved,
        memory_allocated=(reserved - assume.training_reserve) * (1.0 / growth),
        memory_weights=weights,
        memory_gradients=gradients,
        memory_optimizer=optimizer,
        memory_activations=activations,
        # a process whose scatter is below 1 reserves less than its classes add up to: then nothing is left for others
        memory_other=np.maximum(reserved - weights - gradients - optimizer - activations, 0.0),
    )
