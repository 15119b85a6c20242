"""One layer of a training step on one device: passes, exchanges, activations, for one micro-batch.

`training` says what the operators of a layer cost, `exchanges` which messages show beside them; here both are joined,
with what is computed and exchanged again.

References
----------
As in `mlsysim.equations.training` and `mlsysim.equations.exchanges`.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture, memory, training
from mlsysim.equations.exchanges import (
    Exchanges,
    Exposed,
    expert_exposed,
    host_transfer_exposed,
    layer_exchanges,
    repeated_tensor_exchange,
    ring_exposed,
    tensor_exposed,
)
from mlsysim.equations.layout import Layout
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Attention, Recompute, Schedule
from mlsysim.schema.records import Accelerator, Format, Workload


class Layer(NamedTuple):
    """One kind of layer on one device: seconds per micro-batch, parameters, bytes per micro-batch."""

    compute: Any  #: all passes, without communication (s)
    weight_gradient: Any  #: part of `compute` (s)
    tp: Any  #: exposed exchanges of tensor parallelism (s)
    cp: Any  #: and of context parallelism (s)
    ep: Any  #: and of expert parallelism (s)
    exchanged: Any  #: all exchanges, hidden or not (s)
    host_transfer: Any  #: activations on their way to the host and back, as far as the passes do not hide it (s)
    forward: Any  #: forward pass with its exposed exchanges (s)
    backward: Any  #: backward pass with them, and with what is computed again (s)
    params: Any  #: shared by all data- and context-parallel ranks
    expert_params: Any  #: shared by the ranks that hold the same experts
    stored: Any  #: activations kept from the forward to the backward pass (byte)
    working: Any  #: activations of the layer that is being computed, beyond `stored` (byte)


# --- parameters and activations ------------------------------------------------------------------------


def layer_params(model: Workload, moe, tp, expert_group):
    """Parameters of a layer on one device: without routed experts, and of these.

    Norms and the router are copied to every device of the tensor-parallel group, the rest is divided by t.

    Parameters
    ----------
    moe : True for a layer with experts.
    expert_group : devices over which the experts are spread.
    """
    copied = architecture.norm_params(model)
    if moe:
        experts = architecture.expert_params(model) * model.n_experts / expert_group
        params = architecture.moe_layer_params(model) - model.n_experts * architecture.expert_params(model)
        copied = copied + architecture.router_params(model)
    else:
        experts, params = 0.0, architecture.dense_layer_params(model)
    return (params - copied) / tp + copied, experts


def layer_activations(
    model: Workload, moe, layout: Layout, format: Format, assume: Assumptions, seq_len, recompute, attention
) -> memory.LayerActivations:
    """Activations of a layer per token (byte); an imbalance of experts shows as more copies of tokens.

    Parameters
    ----------
    moe : True for a layer with experts.
    seq_len : tokens of a sequence.
    attention : `Attention`, or None for the device's best measured kernel, which is fused.
    """
    if moe:
        copies = model.experts_per_token * assume.expert_imbalance
        width = (copies + model.n_shared_experts) * model.ffn_hidden
    else:
        width, copies = architecture.dense_ffn_width(model), 0.0
    return memory.layer_activations(
        model,
        seq_len=seq_len,
        tp=layout.tp,
        sequence_parallel=layout.sequence_parallel,
        recompute=recompute,
        attention=Attention.FLASH2 if attention is None else attention,
        ffn_width=width,
        copies=copies,
        stored_values=np.where(model.gated_ffn > 0, assume.stored_ffn_values, 2.0),
        activation_bytes=format.activation_bytes,
        gemm_input_bytes=format.gemm_input_bytes,
        wide_bytes=assume.wide_bytes,
        repeated_products=assume.selective_products,
        narrow_kept=assume.narrow_kept,
        inputs_on_host=assume.inputs_on_host,
    )


# --- the layer -----------------------------------------------------------------------------------------


def layer(
    model: Workload,
    moe,
    layout: Layout,
    exchanges: Exchanges,
    hardware: Accelerator,
    format: Format,
    assume: Assumptions,
    *,
    rows,
    seq_len,
    recompute,
    attention,
    cached=0.0,
) -> Layer:
    """One layer on one device for one micro-batch: passes with the exchanges they wait for, parameters, activations.

    Parameters
    ----------
    moe : True for a layer with experts.
    exchanges : its messages (see `exchanges`).
    rows : tokens of the micro-batch on the tensor-parallel group.
    seq_len : tokens of a sequence.
    recompute : `Recompute`.
    attention : `Attention`, or None for the device's best measured kernel.
    cached : tokens before the sequence.
    """
    passes = training.layer_time(
        model,
        moe,
        rows=rows,
        seq_len=seq_len,
        block=seq_len / layout.cp,
        tp=layout.tp,
        ep=layout.ep,
        expert_tp=layout.expert_tp,
        sequence_parallel=layout.sequence_parallel,
        attention=attention,
        hardware=hardware,
        format=format,
        assume=assume,
        cached=cached,
    )
    repeated = training.recomputed_time(passes, training.repeated_set(recompute), attention, assume)
    attention_backward = passes.attention * training.attention_backward_factor(attention, assume)
    tensor_blocks: Any = 2.0
    experts = Exposed(0.0, 0.0)
    if moe:
        tensor_blocks = 1.0 + np.where((layout.expert_tp > 1) | (model.n_shared_experts > 0), 1.0, 0.0)
        dualpipe = layout.schedule == Schedule.DUALPIPE
        overlap = np.where(dualpipe, assume.dualpipe_overlap, assume.expert_overlap)
        experts = expert_exposed(passes, exchanges, overlap)
    tensor = tensor_exposed(passes, exchanges, tensor_blocks, assume)
    ring = ring_exposed(layout.cp, exchanges.key_value_block, passes.attention, attention_backward)
    full = recompute == Recompute.FULL
    tensor_repeated = repeated_tensor_exchange(tensor.forward, recompute, assume)
    exposed_forward = tensor.forward + ring.forward + experts.forward
    exposed_backward = tensor.backward + ring.backward + experts.backward
    exposed_backward = exposed_backward + np.where(full, ring.forward + experts.forward, 0.0) + tensor_repeated
    activations = layer_activations(model, moe, layout, format, assume, seq_len, recompute, attention)
    offloaded = (recompute == Recompute.OFFLOAD) | (full & (assume.inputs_on_host > 0))
    transfer = np.where(offloaded, rows * activations.moved / hardware.host_bandwidth, 0.0)
    params, expert_params = layer_params(model, moe, layout.tp, layout.expert_group)
    return Layer(
        compute=passes.forward + passes.backward + repeated,
        weight_gradient=passes.weight,
        tp=tensor.forward + tensor.backward + tensor_repeated,
        cp=ring.forward + ring.backward + np.where(full, ring.forward, 0.0),
        ep=experts.forward + experts.backward + np.where(full, experts.forward, 0.0),
        exchanged=layer_exchanges(
            exchanges, layout.cp, tensor_blocks, moe, repeated_tensor_exchange(1.0, recompute, assume), full
        ),
        host_transfer=host_transfer_exposed(transfer, passes.forward, passes.backward),
        forward=passes.forward + exposed_forward,
        backward=passes.backward + repeated + exposed_backward,
        params=params,
        expert_params=expert_params,
        stored=rows * activations.stored,
        working=rows * activations.working,
    )


def single_device_time(
    model: Workload, hardware: Accelerator, format: Format, assume: Assumptions, *, rows, seq_len, recompute, attention
):
    """All passes of one micro-batch on a single device that holds the whole model, without communication (s).

    Parameters
    ----------
    rows : tokens of the micro-batch.
    seq_len, recompute, attention : as in `layer`.
    """

    def all_passes(moe):
        passes = training.layer_time(
            model,
            moe,
            rows=rows,
            seq_len=seq_len,
            block=seq_len,
            tp=1.0,
            ep=1.0,
            expert_tp=1.0,
            sequence_parallel=0.0,
            attention=attention,
            hardware=hardware,
            format=format,
            assume=assume,
        )
        repeated = training.recomputed_time(passes, training.repeated_set(recompute), attention, assume)
        return passes.forward + passes.backward + repeated

    with_experts = architecture.moe_layers(model)
    head = training.head_passes(model, rows, 1.0, hardware, format, assume)
    return (
        (model.n_layers - with_experts) * all_passes(False)
        + np.where(model.n_experts > 0, with_experts * all_passes(True), 0.0)
        + head.forward
        + head.backward
    )
