"""What each stage of a pipeline does and holds: its layers, and the embedding and head that lie on the ends.

References
----------
Narayanan et al. 2021 (arXiv:2104.04473); Qi et al. 2024 (arXiv:2405.15362) and DeepSeek-AI 2024 (arXiv:2412.19437) for
schedules that place both ends on one device, or each end on two.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture, pipeline, training
from mlsysim.equations.exchanges import Exchanges
from mlsysim.equations.layer import Layer
from mlsysim.equations.layout import Layout
from mlsysim.equations.links import Links, reduce_time
from mlsysim.equations.pipeline import Stages
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Schedule
from mlsysim.schema.records import Accelerator, Format, Workload

#: reductions of a number per token that a loss over a split vocabulary needs: maximum, sum, target
LOSS_REDUCTIONS = 3.0


class Ends(NamedTuple):
    """A share on the first and on the last stage."""

    first: Any
    last: Any


class StageWork(NamedTuple):
    """What each stage does for a micro-batch (s), one `Stages` a kind of work."""

    compute: Stages  #: all passes, without communication
    forward: Stages  #: forward pass with its exposed exchanges
    backward: Stages  #: backward pass with them
    tp: Stages  #: exposed exchanges of tensor parallelism
    cp: Stages
    ep: Stages
    exchanged: Stages  #: all exchanges, hidden or not
    host_transfer: Stages
    weight_gradient: Any  #: weight gradients, mean over the stages


# --- layers --------------------------------------------------------------------------------------------


def moe_stage_layers(model: Workload, layers: Stages, pp) -> Stages:
    """Layers with experts on each stage, of all its `layers`: the first dense ones lie on the first stage.

    Examples
    --------
    >>> from mlsysim import zoo
    >>> model = zoo.workload_record(zoo.model("deepseek_v3"))  # 61 layers, the first 3 dense
    >>> [float(n) for n in moe_stage_layers(model, Stages(16.0, 16.0, 15.0, 30.0), 4.0)]
    [13.0, 16.0, 15.0, 30.0]
    """
    with_experts = architecture.moe_layers(model)
    share = with_experts / np.maximum(model.n_layers - model.first_dense_layers, 1.0)
    first = np.maximum(layers.first - model.first_dense_layers, 0.0) * share
    last = layers.last * share
    between = np.where(pp > 2, with_experts - first - last, 0.0)
    return Stages(first, layers.middle * share, last, between)


def over_stages(model: Workload, pp, dense: Layer, moe: Layer) -> Layer:
    """Every figure of a layer, summed over the layers of each stage: a `Layer` whose fields are `Stages`.

    Parameters
    ----------
    dense, moe : a layer without and with experts.
    """
    layers = pipeline.stage_layers(model.n_layers, pp)
    moe_layers = moe_stage_layers(model, layers, pp)
    experts = model.n_experts > 0

    def summed(dense_figure, moe_figure):
        return Stages(
            *(
                (count - np.where(experts, moe_count, 0.0)) * dense_figure
                + np.where(experts, moe_count * moe_figure, 0.0)
                for count, moe_count in zip(layers, moe_layers)
            )
        )

    return Layer(*(summed(dense_figure, moe_figure) for dense_figure, moe_figure in zip(dense, moe)))


# --- embedding and head --------------------------------------------------------------------------------


def folded(schedule):
    """Does a schedule go through the devices and back, so that the first one holds embedding and head (V shapes)?"""
    return (schedule == Schedule.ZBV) | (schedule == Schedule.V_HALF) | (schedule == Schedule.V_MIN)


def mirrored(schedule, pp):
    """Does a schedule run two pipelines in opposite directions, each device with a stage of both (DualPipe)?"""
    return (schedule == Schedule.DUALPIPE) & (pp > 1)


def head_share(schedule, pp) -> Ends:
    """Share of the head's work on the first and on the last stage: half on each of a mirrored pipeline.

    Examples
    --------
    >>> [float(part) for part in head_share(Schedule.DUALPIPE, 4.0)]
    [0.5, 0.5]
    """
    first = np.where((pp == 1) | folded(schedule), 1.0, np.where(mirrored(schedule, pp), 0.5, 0.0))
    return Ends(first, 1.0 - first)


def head_exists(share: Ends) -> Ends:
    """1 where a stage does some of the head's work."""
    return Ends(np.where(share.first > 0, 1.0, 0.0), np.where(share.last > 0, 1.0, 0.0))


def table_params(model: Workload, tp):
    """Parameters of the token table on one of t devices."""
    return architecture.embedding_params(model) / tp


def dense_stage_params(model: Workload, layout: Layout, layers: Stages) -> Stages:
    """Parameters of each stage on one device, routed experts left out: layers, embedding, head, final norm.

    Parameters
    ----------
    layers : parameters of the layers of each stage on one device.

    Notes
    -----
    A tied head costs no parameters where it lies beside the embedding.  A mirrored pipeline's first stage lies beside
    the last of the other direction: its head is counted there.
    """
    table = table_params(model, layout.tp)
    norm = architecture.final_norm_params(model)
    own_head = np.where(model.tied_embeddings > 0, 0.0, table)
    exists = head_exists(head_share(layout.schedule, layout.pp))
    dual = mirrored(layout.schedule, layout.pp)
    head_on_first = np.where(dual, 0.0, exists.first)
    last_table = np.where(dual & (model.tied_embeddings > 0), 0.0, table)
    first = table + model.extra_params + head_on_first * (own_head + norm)
    return layers.with_ends(first, exists.last * (last_table + norm))


# --- work ----------------------------------------------------------------------------------------------


def accumulation_times(params: Stages, expert_params: Stages, hardware: Accelerator, assume: Assumptions) -> Stages:
    """Adding a micro-batch's gradients to their sum on each stage (s); 0 where the products add to it themselves.

    Gradients are added to a sum, or copied between parameters and the buffers that are scattered.
    """
    apart = np.where(assume.fused_accumulation > 0, 0.0, 1.0)
    return Stages(
        *(
            apart
            * training.accumulation_time(
                dense + routed, assume.gradient_bytes, hardware.mem_bandwidth, assume.streaming_efficiency
            )
            for dense, routed in zip(params, expert_params)
        )
    )


def stage_work(
    model: Workload,
    layout: Layout,
    links: Links,
    exchanges: Exchanges,
    hardware: Accelerator,
    format: Format,
    assume: Assumptions,
    *,
    layers: Layer,
    params: Stages,
    rows,
) -> StageWork:
    """Work of each stage for a micro-batch: its layers, embedding, head and loss.

    Parameters
    ----------
    layers : figures of the layers of each stage (see `over_stages`).
    params : parameters of each stage on one device, routed experts left out.
    rows : tokens of the micro-batch on the tensor-parallel group.

    Notes
    -----
    The embedding waits for one sum over the tensor-parallel group, the head for one in the backward pass and for those
    of the loss, whose vocabulary is split.
    """
    accumulation = accumulation_times(params, layers.expert_params, hardware, assume)
    head = training.head_passes(model, rows, layout.tp, hardware, format, assume)
    share = head_share(layout.schedule, layout.pp)
    embedding_exchange = exchanges.block_sum
    loss_exchange = LOSS_REDUCTIONS * reduce_time(links, layout.tp, 1.0, rows * assume.wide_bytes)
    head_exchange = exchanges.block_sum + loss_exchange
    compute = head.forward + head.backward
    backward = head.backward + head_exchange
    return StageWork(
        compute=layers.compute.with_ends(share.first * compute, share.last * compute).plus(accumulation),
        forward=layers.forward.with_ends(embedding_exchange + share.first * head.forward, share.last * head.forward),
        backward=layers.backward.with_ends(share.first * backward, share.last * backward).plus(accumulation),
        tp=layers.tp.with_ends(embedding_exchange + share.first * head_exchange, share.last * head_exchange),
        cp=layers.cp,
        ep=layers.ep,
        exchanged=layers.exchanged.with_ends(
            embedding_exchange + share.first * head_exchange, share.last * head_exchange
        ),
        host_transfer=layers.host_transfer,
        weight_gradient=(layers.weight_gradient.total() + head.weight) / layout.pp,
    )


def on_slowest(work: StageWork, parts: Stages):
    """The part of a quantity that lies on the stage whose passes take longest."""
    passes = work.forward.plus(work.backward)
    last_is_slowest = passes.last >= np.maximum(passes.first, passes.middle)
    first_is_slower = passes.first >= passes.middle
    return np.where(last_is_slowest, parts.last, np.where(first_is_slower, parts.first, parts.middle))
