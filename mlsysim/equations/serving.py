"""Steps of a server: what a prompt, and what the next token of every sequence, costs.

A *step* runs some rows (tokens) through all layers; its cost splits into classes that scale differently (see
`mlsysim.equations.operators`), and the host's work between steps.

References
----------
Pope et al. 2023, "Efficiently scaling transformer inference" (arXiv:2211.05102); Yu et al. 2022, "Orca" (OSDI); Kwon et
al. 2023, "PagedAttention" (arXiv:2309.06180).
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture, launches, streaming
from mlsysim.equations.compute import elementwise_bytes_per_token, elementwise_time
from mlsysim.equations.conventions import quantises
from mlsysim.equations.counting import ceil_div
from mlsysim.equations.energy import activity, device_power
from mlsysim.equations.operators import (
    decode_attention_reads,
    decode_attention_time,
    expert_exchange_time,
    expert_time,
    expert_work,
    head_work,
    layer_allreduces_time,
    linear_work,
    prefill_attention_time,
    products_per_step,
    stage_send_time,
    time_of,
)
from mlsysim.equations.sharding import attention_groups, devices, expert_ranks, stage_share
from mlsysim.equations.step import Step
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Bottleneck, FlopsConvention
from mlsysim.schema.kinds import Real
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload

#: tensor, pipeline and expert parallelism
Layout = tuple[Any, Any, Any]
#: prices and energies are usually told per million tokens
TOKENS_PER_MTOK = 1e6


# --- steps ---------------------------------------------------------------------------------------------


class Rows(NamedTuple):
    """Cost of carrying some rows through all layers, attention apart (s)."""

    products: Real
    communication: Real
    arithmetic: Real
    traffic: Real


def rows_cost(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    tp,
    ep,
    rows,
    idle=0.0,
    expert_tp=None,
) -> Rows:
    """Matrix products, element-wise work and communication of all layers.

    Parameters
    ----------
    rows : tokens on each attention group.
    idle : attention groups that have none, and only take their part of the experts' work.
    expert_tp : devices that share each expert, see `sharding.expert_ranks`.
    """
    linear = linear_work(model, hardware, format, assume, tp, rows)
    tokens = rows * (attention_groups(tp, ep) - idle)
    experts = expert_work(model, hardware, format, assume, *expert_ranks(tp, ep, expert_tp), tokens)
    kernels = 0.5 * architecture.residual_blocks(model) * (assume.elementwise_kernels * assume.elementwise_kernel_time)
    elementwise = kernels + rows * elementwise_per_row(model, hardware, format, assume, tp)
    elementwise = elementwise + quantise_time(model, hardware, format, assume, tp, rows)
    exchanges = expert_exchange_time(model, hardware, fleet, format, assume, tp, ep, rows, tokens)
    return Rows(
        products=time_of(linear, hardware) + expert_time(experts, assume) + elementwise,
        communication=layer_allreduces_time(model, hardware, fleet, format, assume, tp, ep, rows) + exchanges,
        arithmetic=linear.arithmetic + experts.arithmetic,
        traffic=linear.traffic + experts.traffic + elementwise,
    )


def elementwise_per_row(model: Workload, hardware: Accelerator, format: Format, assume: Assumptions, tp):
    """Seconds of element-wise work per token, all layers; the feed-forward part is divided over t."""
    with_experts = architecture.moe_layers(model)
    width = (
        architecture.dense_layers(model) * architecture.dense_ffn_width(model)
        + with_experts * architecture.active_ffn_width(model)
    ) / np.maximum(model.n_layers, 1.0)
    nbytes = elementwise_bytes_per_token(model.hidden, width / tp, model.gated_ffn, format.activation_bytes)
    return model.n_layers * elementwise_time(
        nbytes,
        hardware.mem_bandwidth,
        hardware.gemm_bandwidth_efficiency,
        assume.serving_elementwise_slowdown,
    )


def quantise_time(model: Workload, hardware: Accelerator, format: Format, assume: Assumptions, tp, rows):
    """Narrowing the inputs of the matrix products of all layers, in kernels of their own (s); 0 in 16 bits.

    Inputs of the query, output, up and down matrices: ``2 h + (a d + f) / t`` values per row, read wide,
    written narrow.
    """
    with_experts = architecture.moe_layers(model)
    dense = architecture.dense_layers(model)
    narrow = dense * architecture.dense_ffn_width(model) + with_experts * (model.n_shared_experts * model.ffn_hidden)
    attention = model.n_heads * architecture.value_width(model)
    values = model.n_layers * (2.0 * model.hidden + attention / tp) + narrow / tp
    moved = values * (format.activation_bytes + format.gemm_input_bytes)
    streaming = elementwise_time(
        moved, hardware.mem_bandwidth, hardware.gemm_bandwidth_efficiency, assume.quantise_slowdown
    )
    time = products_per_step(model) * assume.quantise_kernel_time + rows * streaming
    return np.where(quantises(hardware, format) & (assume.fused_quantise == 0), time, 0.0)


def decode_step(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    tp,
    pp,
    ep,
    batch,
    context,
    rows_per_sequence=1.0,
    prompt_tokens=None,
    prompt_attention=0.0,
    idle=0.0,
    expert_tp=None,
) -> Step:
    """Time between two tokens of one sequence while `batch` sequences decode (s, by class).

    Parameters
    ----------
    batch : sequences in the replica, spread over the attention groups and over the pipeline's micro-batches.
    context : mean tokens a sequence attends to (the time is linear in it where the cache fills the device).
    rows_per_sequence : tokens checked per sequence (1 + drafted).
    prompt_tokens : tokens of prompts computed beside them, spread over groups and micro-batches; None: no prompts.
    prompt_attention : seconds of attention that those need, all layers, spread likewise.
    idle : attention groups by which fewer than `batch` have their sequences: experts have the tokens of the others only.
    expert_tp : devices that share each expert, see `sharding.expert_ranks`.

    Notes
    -----
    With p stages ``u = min(p, batch)`` micro-batches circulate.  The cycle is the longer of one path
    through all stages and u times the slowest stage, which holds ``ceil(L/p)`` layers, the head and the
    host's share.
    """
    of_group = 1.0 / attention_groups(tp, ep)
    per_group = np.maximum(batch * of_group, 1.0)
    circulating = np.where(pp > 1, np.minimum(pp, per_group), 1.0)
    sequences, of_micro_batch = per_group / circulating, of_group / circulating
    sampled = sequences * rows_per_sequence
    rows, rows_in_all = sampled, batch * rows_per_sequence
    if prompt_tokens is None:
        assume = assume._replace(expert_sums=0.0)  # those are of steps with prompts
    else:
        rows, rows_in_all = rows + prompt_tokens * of_micro_batch, rows_in_all + prompt_tokens
    cost = rows_cost(model, hardware, fleet, format, assume, tp, ep, rows, idle, expert_tp)
    rereads = assume.grouped_cache_reads
    attention = decode_attention_time(model, hardware, format, tp, sequences, context, rows_per_sequence, rereads)
    attention = attention + prompt_attention * of_micro_batch
    head = head_work(model, hardware, format, assume, tp, sampled)
    send = stage_send_time(model, fleet, format, assume, tp, pp, ep, rows)
    host = assume.host_step_time + assume.host_sequence_time * sequences
    through_layers = cost.products + attention + cost.communication
    at_the_end = time_of(head, hardware) + host
    slowest = circulating * stage_share(model, pp)
    full = slowest * through_layers + circulating * (at_the_end + send) >= through_layers + at_the_end + pp * send
    layers = np.where(full, slowest, 1.0)
    ends = np.where(full, circulating, 1.0)
    memory_bound = decode_attention_reads(model, hardware, format, tp, rows_per_sequence, rereads)
    step = Step(
        gemm=layers * cost.products + ends * time_of(head, hardware),
        attention=layers * attention,
        communication=layers * cost.communication + np.where(full, circulating, pp) * send,
        host=ends * host,
        arithmetic=layers * cost.arithmetic + ends * head.arithmetic + np.where(memory_bound, 0.0, layers * attention),
        traffic=layers * cost.traffic + ends * head.traffic + np.where(memory_bound, layers * attention, 0.0),
    )
    step = at_level(step, model, assume)
    return where_on_chip(
        hardware,
        streaming.resident_decode(
            model,
            hardware,
            format,
            assume,
            devices(tp, pp, ep),
            context,
            rows_in_all,
            rows_per_sequence,
            prompt_attention,
        ),
        step,
    )


def where_on_chip(hardware: Accelerator, resident: Step, step: Step) -> Step:
    """The one step where the device has all its memory on the chip, the other elsewhere."""
    return Step(*(np.where(hardware.on_chip_memory > 0, here, usual) for here, usual in zip(resident, step)))


def drafted_step(
    model: Workload,
    draft: Workload | None,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    layout: Layout,
    batch,
    context,
    draft_len,
    idle=0.0,
    expert_tp=None,
) -> Step:
    """One round of speculative decoding: g steps of the draft, one of the target over g + 1 tokens (s, by class).

    Parameters
    ----------
    draft : model that drafts on the same device, with no host work of its own; without it drafting is free.
    layout : tensor, pipeline and expert parallelism.
    batch, context, idle, expert_tp : see `decode_step`.
    draft_len : g, drafted tokens per round.
    """
    shares = {"idle": idle, "expert_tp": expert_tp}
    step = decode_step(model, hardware, fleet, format, assume, *layout, batch, context, 1.0 + draft_len, **shares)
    if draft is None:
        return step
    drafting = decode_step(draft, hardware, fleet, format, assume, *layout, batch, context)._replace(host=0.0)
    return Step(*(part + draft_len * drafted for part, drafted in zip(step, drafting)))


def per_token(step: Step, tokens) -> Step:
    """A step that gives several tokens of a sequence, per token."""
    share = 1.0 / tokens
    return Step(*(part * share for part in step))


def at_level(step: Step, model: Workload, assume: Assumptions) -> Step:
    """A step on a machine whose level and scatter are those assumed: every part takes that much longer.

    What mixtures have of their own goes with the share of other experts that a token leaves out: one whose experts take every
    token is a dense network.
    """
    several = model.n_experts > 1
    left_out = np.where(
        several, (model.n_experts - model.experts_per_token) / np.where(several, model.n_experts - 1.0, 1.0), 0.0
    )
    mixture = 1.0 + (assume.mixture_serving_level - 1.0) * left_out
    factor = assume.serving_level * assume.serving_scatter * mixture
    return Step(*(part * factor for part in step))


def prefill_step(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    tp,
    pp,
    ep,
    prompts,
    new,
    cached,
    chunk,
    convention=FlopsConvention.CAUSAL,
    idle=0.0,
    expert_tp=None,
) -> Step:
    """Time until `prompts` prompts are computed and have their first token (s, by class).

    Parameters
    ----------
    prompts : prompts computed together, spread over the attention groups.
    new, cached : tokens per prompt to compute, and already in the cache.
    chunk : most tokens per step and attention group.
    convention : `FlopsConvention`; FULL computes the masked positions of attention, too.
    idle, expert_tp : attention groups without a prompt, whose experts have the tokens of the others only; see `decode_step`.

    Notes
    -----
    The tokens of all prompts fill ``u = ceil(tokens / chunk)`` steps of equal size; with p stages they pass
    as a pipeline, ``(u + p - 1)`` times the slowest stage.  An engine that takes the last token apart
    (`last_token_apart`) computes one less of each, and adds a decoding step.
    """
    last = decode_step(model, hardware, fleet, format, assume, tp, pp, ep, prompts, cached + new)
    apart = assume.last_token_apart > 0
    nothing = apart & (new <= 1)
    whole = new
    new = np.maximum(np.where(apart, new - 1.0, new), 1.0)
    per_group = np.maximum(prompts / attention_groups(tp, ep), 1.0)
    tokens = per_group * new
    steps = ceil_div(tokens, chunk)
    rows = tokens / steps
    cost = rows_cost(model, hardware, fleet, format, assume, tp, ep, rows, idle, expert_tp)
    chunks = ceil_div(new, chunk)
    attention = prefill_attention_time(model, hardware, format, assume, tp, per_group, new, cached, chunks, convention)
    starts = steps * (architecture.mixing_layers(model) * hardware.decode_attention_latency)
    head = head_work(model, hardware, format, assume, tp, per_group)
    send = stage_send_time(model, fleet, format, assume, tp, pp, ep, rows)
    turns = steps + (pp - 1.0)
    layers = turns * stage_share(model, pp)
    gemm = layers * cost.products + time_of(head, hardware)
    attending = (layers / steps) * (attention + starts)
    communication = layers * cost.communication + turns * send
    device = gemm + attending + communication
    waiting = np.maximum(turns * (launches.eager_floor(model, hardware, format, assume, tp, ep) / pp) - device, 0.0)
    host = steps * assume.host_step_time + assume.frontend_time + new * assume.frontend_token_time
    step = Step(
        gemm=gemm,
        attention=attending,
        communication=communication,
        host=host + waiting,
        arithmetic=layers * cost.arithmetic + head.arithmetic + attending,
        traffic=layers * cost.traffic + head.traffic,
    )
    step = at_level(step, model, assume)
    step = Step(*(np.where(nothing, 0.0, p) + np.where(apart, q, 0.0) for p, q in zip(step, last)))
    resident = streaming.resident_prefill(
        model, hardware, format, assume, devices(tp, pp, ep), prompts, whole, cached, convention
    )
    return where_on_chip(hardware, resident, step)


def total(step: Step):
    """Seconds of a step, all classes."""
    return step.gemm + step.attention + step.communication + step.host


# --- power ---------------------------------------------------------------------------------------------


def step_power(hardware: Accelerator, assume: Assumptions, step: Step, duration):
    """Mean power of a device during a step: ``idle + (tdp - idle) max(busy arithmetic, c busy memory)`` (W).

    Parameters
    ----------
    step : whose `arithmetic` and `traffic` are compared with
    duration : seconds of the step.
    """
    busy = activity(step.arithmetic, step.traffic, assume.memory_activity_power) / duration
    return device_power(hardware.idle_power, hardware.tdp, np.minimum(busy, 1.0))


def bottleneck(step: Step, on_chip=0.0):
    """The wall behind the largest share of a step: arithmetic, memory traffic, communication or the host.

    Parameters
    ----------
    on_chip : is what is left the dispatch of layers on a device with memory on the chip?
    """
    left = np.where(on_chip > 0, float(Bottleneck.OVERHEAD), float(Bottleneck.HOST))
    device = step.gemm + step.attention
    on_device = np.where(step.arithmetic >= step.traffic, float(Bottleneck.COMPUTE), float(Bottleneck.MEMORY))
    off_device = np.where(step.communication >= step.host, float(Bottleneck.COMMUNICATION), left)
    return np.where(device >= np.maximum(step.communication, step.host), on_device, off_device)
