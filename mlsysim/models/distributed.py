"""DistributedModel: how long a training step takes on many devices, what it holds, what limits it."""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture, collectives, memory, pipeline, training
from mlsysim.equations.compute import traffic_time
from mlsysim.equations.counting import ceil_div, divides, floor_div
from mlsysim.equations.experts import nodes_touched
from mlsysim.equations.pipeline import Stages
from mlsysim.equations.selection import first_failing
from mlsysim.resolver import Model, kernel
from mlsysim.schema.codes import (
    Attention,
    Bottleneck,
    Collective,
    FlopsConvention,
    Limit,
    Recompute,
    Schedule,
)
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Assumptions, Fleet, Format, Workload

LN2 = 0.6931471805599453
#: devices up to which no straggler is counted
SMALL_FLEET = 8.0
#: reductions of a number per token that a loss over a split vocabulary needs: maximum, sum, target
LOSS_REDUCTIONS = 3.0


class Distributed(NamedTuple):
    """What `distributed` returns."""

    step_time: Real
    compute_time: Real
    bubble_time: Real
    tp_time: Real
    pp_time: Real
    dp_time: Real
    cp_time: Real
    ep_time: Real
    optimizer_time: Real
    overhead_time: Real
    exposed_communication: Real
    communication_fraction: Real
    bubble_fraction: Real
    mfu: Real
    hfu: Real
    compute_utilization: Real
    scaling_efficiency: Real
    tokens_per_s: Real
    tokens_per_s_per_device: Real
    memory_per_device: Real
    memory_allocated: Real
    memory_weights: Real
    memory_gradients: Real
    memory_optimizer: Real
    memory_activations: Real
    memory_other: Real
    memory_utilization: Real
    n_accelerators: Real
    n_microbatches: Real
    model_flops: Real
    training_time: Real | None
    training_tokens: Real | None
    feasible: Flag
    limit: Code
    bottleneck: Code


class _Layer(NamedTuple):
    """One kind of layer on one device: seconds per micro-batch, parameters, bytes per micro-batch."""

    compute: Any
    weight: Any  #: part of `compute` that is weight gradients
    tp: Any
    cp: Any
    ep: Any
    host: Any
    forward: Any
    backward: Any
    params: Any  #: shared by all data- and context-parallel ranks
    expert_params: Any  #: shared by the ranks that hold the same experts
    stored: Any
    working: Any


@kernel
def distributed(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    global_batch,
    seq_len,
    micro_batch=1,
    tp=1,
    pp=1,
    dp=None,
    cp=1,
    ep=1,
    expert_tp=None,
    n_accelerators=None,
    virtual_stages=1,
    schedule=Schedule.ONE_F_ONE_B,
    zero_stage=1,
    shard_size=None,
    recompute=Recompute.NONE,
    sequence_parallel=1,
    attention=None,
    collective=Collective.BEST,
    optimizer_offload=0,
    flops_convention=FlopsConvention.CAUSAL,
    efficiency=None,
    tokens=None,
    duration=None,
) -> Distributed:
    """One training step of a transformer under tensor, pipeline, data, context and expert parallelism.

    Per-layer times come from measured kernel curves; a pipeline schedule turns them into a makespan; exposed
    data-parallel communication, the optimizer and the host are added, and stragglers stretch the whole.

    Parameters
    ----------
    model, hardware, fleet, format, assume : records.
    global_batch : sequences per step.
    seq_len : tokens per sequence.
    micro_batch : sequences per micro-batch.
    tp, pp, dp, cp, ep : degrees of tensor, pipeline, data, context and expert parallelism.  The first four
        multiply to the devices used; experts are spread over the same devices.  Ranks are laid out tensor
        innermost, then context, data, pipeline.
    expert_tp : degree of tensor parallelism inside an expert; default 1, `tp` without expert parallelism.
    n_accelerators : devices; default ``tp pp dp cp``.  Given without `dp`, `dp` follows; given with it, they
        must agree.
    virtual_stages : chunks per device (interleaved 1F1B).
    schedule : order of passes in the pipeline.
    zero_stage : 0..3; 3 is FSDP.
    shard_size : devices that share one copy of sharded states (hybrid sharding); default all of them.
    recompute : activations computed again (or, `offload`, moved to the host).
    sequence_parallel : norms are split over the tensor-parallel group.
    attention : generation of the attention kernel; default the device's best measured kernel.  `unfused`
        computes and stores full scores with dropout, as frameworks did before 2022.
    collective : algorithm of reductions and gathers; default the fastest.
    optimizer_offload : states and update of the optimizer on the host.
    flops_convention : attention FLOPs that mfu and hfu count.
    efficiency : constant share of peak in place of the kernel curves; element-wise work and start times are
        then 0,
        so that computation takes ``model_flops / (n P efficiency)``.
    tokens : tokens of the whole run, for `training_time`.
    duration : length of the run (s), for `training_tokens`.

    Returns
    -------
    Distributed
        ``step_time`` = compute + bubble + tp + pp + dp + cp + ep + optimizer + overhead.
        ``memory_allocated`` is what tensors hold, ``memory_per_device`` what is reserved (it decides
        ``feasible``).  ``mfu`` and ``hfu`` are against `peak_flops` of the format.

    Notes
    -----
    Median error of published step times with nothing fitted to a source: 4 % (mean of 17 sources; 1 to 9 %
    by source), 6 % for a source that the fit of the assumptions has not seen.

    Stages may be uneven: embedding, head and ``ceil(L / p)`` layers count where they lie.  Zero-bubble
    schedules want ``m >= 2 p``, interleaving ``m`` a multiple of ``p``.  In a pipeline ZeRO-2 and 3 keep
    gradients (and gathered weights) over the step, see `Assumptions.keep_gathered`.  Context parallelism is a
    ring, balanced zig-zag. Selective recomputation means norms, activation functions and latent expansions
    with a fused attention kernel, attention proper otherwise.  Latents of latent attention are divided by
    `tp` in memory too.

    References
    ----------
    Shoeybi et al. 2019; Rajbhandari et al. 2020; Narayanan et al. 2021; Korthikanti et al. 2022; Qi et al.
    2023; Zhao et al. 2023 (FSDP); Liu et al. 2023 (ring attention); DeepSeek-AI 2024.
    """
    capable = (hardware.peak_flops > 0) & (model.n_layers > 0) & (format.weight_only == 0)
    peak: Any = np.where(hardware.peak_flops > 0, hardware.peak_flops, 1.0)
    hardware = hardware._replace(peak_flops=peak)
    if efficiency is not None:
        hardware = hardware._replace(
            training_gemm_efficiency=efficiency, attention_efficiency=efficiency,
            attention_peak_flops=hardware.peak_flops,
            gemm_latency=0.0, plain_gemm_latency=0.0, gemm_half_rows=0.0, gemm_bandwidth_efficiency=np.inf, gemm_exponent=0.0,
            attention_half_length=0.0,
        )  # fmt: skip
        assume = assume._replace(
            training_gemm_factor=1.0, training_attention_factor=1.0, grouped_gemm_factor=1.0,
            elementwise_slowdown=0.0, gemm_half_inner=0.0,
            streaming_efficiency=np.inf, attention_backward=2.0,
        )  # fmt: skip
        attention = None

    # --- devices ---------------------------------------------------------------------------------------
    model_parallel = tp * pp * cp
    consistent = True
    if n_accelerators is None:
        dp = 1.0 if dp is None else dp
        n_accelerators = model_parallel * dp
    elif dp is None:
        dp = np.maximum(floor_div(n_accelerators, model_parallel), 1.0)
        consistent = divides(model_parallel, n_accelerators)
    else:
        consistent = n_accelerators == model_parallel * dp
    split = np.where(tp > 1, sequence_parallel, 0.0)
    if expert_tp is None:
        expert_tp = np.where(ep > 1, 1.0, tp)
    replicas = dp * cp  # devices that hold the same dense weights
    expert_group = ep * expert_tp
    expert_replicas = np.maximum(replicas * tp / expert_group, 1.0)
    shards = replicas if shard_size is None else np.minimum(shard_size, replicas)
    experts = model.n_experts > 0

    # --- links -----------------------------------------------------------------------------------------
    fast = (fleet.intra_bandwidth * fleet.intra_efficiency, fleet.intra_latency)
    slow = (fleet.inter_bandwidth * fleet.inter_efficiency / fleet.oversubscription, fleet.inter_latency)
    in_slice = np.minimum(fleet.domain_size, model_parallel * dp)
    # a torus: one link of two an axis reaches a neighbour
    link_share = np.where(fleet.torus_axes > 0, 0.5 / np.maximum(fleet.torus_axes, 1.0), 1.0)
    reductions = (collective, assume.multicast_reduction, assume.switched_reduction)
    domain = fleet.domain_size

    def group(ranks, stride) -> tuple[Any, Any]:
        local = collectives.local_ranks(ranks, stride, domain)
        return local, ranks / local

    measured = fleet.intra_bandwidth / hardware.link_bandwidth

    def links(local) -> tuple[Any, Any, Any, Any]:
        """Rates and latencies of a group: what collectives of its size were measured at, or a torus' axes."""
        bus = np.where(
            local <= 2, hardware.bus_bandwidth_2,
            np.where(local <= 4, hardware.bus_bandwidth_4, hardware.bus_bandwidth_8),
        )  # fmt: skip
        rate = np.where(
            fleet.torus_axes > 0,
            fast[0] * collectives.torus_share(local, in_slice),
            np.minimum(fast[0], bus * measured),
        )
        return rate, fast[1], *slow

    def gather(ranks, stride, nbytes):
        local, nodes = group(ranks, stride)
        return collectives.hierarchical_all_gather(local, nodes, nbytes, *links(local), collective)

    def reduce(ranks, stride, nbytes):
        local, nodes = group(ranks, stride)
        return collectives.hierarchical_all_reduce(local, nodes, nbytes, *links(local), *reductions)

    def neighbour(span, nbytes):
        inside = span <= domain
        return collectives.point_to_point(
            nbytes, np.where(inside, fast[0] * link_share, slow[0]), np.where(inside, fast[1], slow[1])
        )

    # --- one micro-batch in one layer ------------------------------------------------------------------
    full = recompute == Recompute.FULL
    offloaded = recompute == Recompute.OFFLOAD
    again = np.where(offloaded, float(Recompute.SELECTIVE), recompute)
    kernel_code = Attention.FLASH2 if attention is None else attention
    values = np.where(model.gated_ffn > 0, assume.stored_ffn_values, 2.0)
    width = format.activation_bytes
    rows = micro_batch * seq_len / cp

    message = rows * (model.hidden * width)
    gathered, reduced = gather(tp, 1.0, message), reduce(tp, 1.0, message)
    # inputs of matrix products are gathered as these take them, sums are scattered in full width
    narrow = gather(tp, 1.0, message * (format.gemm_input_bytes / width))
    pair = np.where(split > 0, gathered + narrow, reduced)
    half = np.where(split > 0, gathered, reduced)
    # where the sequence is not the outermost dimension
    copied = assume.exchange_copies * traffic_time(
        2.0 * message, hardware.mem_bandwidth, assume.streaming_efficiency
    )
    copied = np.where(split > 0, copied, 0.0)

    heads = model.n_heads / tp
    cached = np.where(
        model.kv_lora_rank > 0,
        heads * (architecture.query_key_width(model) + architecture.value_width(model)),
        2.0 * model.head_dim * np.maximum(model.n_kv_heads / tp, 1.0),
    )
    block = neighbour(tp * cp, rows * (cached * width))

    expert_overlap = np.where(schedule == Schedule.DUALPIPE, assume.dualpipe_overlap, assume.expert_overlap)
    local_experts, expert_nodes = group(ep, expert_tp)
    touched = nodes_touched(
        model.n_experts, model.experts_per_token, expert_nodes, limit=model.expert_node_limit
    )
    crossing = np.where(
        assume.single_copy_per_node > 0,
        np.minimum(touched / np.maximum(model.experts_per_token, 1.0), 1.0), 1.0,
    )  # fmt: skip
    sent = rows * (model.experts_per_token * model.hidden * expert_tp / tp) * assume.expert_imbalance

    def exchange(value_bytes):
        return collectives.hierarchical_all_to_all(
            local_experts, expert_nodes, sent * value_bytes, *fast, *slow, crossing
        )

    combine = exchange(width)
    dispatch = np.where(assume.narrow_dispatch > 0, exchange(format.gemm_input_bytes), combine)

    def layer(moe):
        passes = training.layer_time(
            model,
            moe,
            rows,
            seq_len,
            seq_len / cp,
            tp,
            ep,
            expert_tp,
            split,
            attention,
            hardware,
            format,
            assume,
        )
        repeated = training.recomputed_time(passes, again, attention, assume)
        # tensor parallelism: attention and feed-forward network, one pair of collectives each
        pairs: Any = 2.0
        if moe:
            pairs = 1.0 + np.where((expert_tp > 1) | (model.n_shared_experts > 0), 1.0, 0.0)
        in_place = pairs * (2.0 * copied)
        tp_forward = collectives.exposed_time(pairs * pair, passes.products, assume.tensor_overlap) + in_place
        # backward: the exchange that follows an input gradient can run beside the weight gradient
        behind = pairs * np.where(split > 0, gathered, reduced)
        before = pairs * np.where(split > 0, narrow, 0.0)
        hiding = np.maximum(assume.tensor_overlap, assume.weight_gradient_overlap)
        tp_backward = collectives.exposed_time(before, passes.products, assume.tensor_overlap) + in_place
        tp_backward = tp_backward + collectives.exposed_time(behind, passes.weight, hiding)
        # context parallelism: keys and values go round while attention works on a block
        attention_backward = passes.attention * training.attention_backward_factor(attention, assume)
        cp_forward = np.where(cp > 1, np.maximum((cp - 1.0) * (block - passes.attention / cp), 0.0), 0.0)
        cp_backward = np.where(cp > 1, np.maximum((2.0 * cp - 1.0) * block - attention_backward, 0.0), 0.0)
        # expert parallelism: dispatch and combine, both ways
        ep_forward = ep_backward = 0.0
        if moe:
            both = dispatch + combine
            ep_forward = collectives.exposed_time(both, passes.forward, expert_overlap)
            ep_backward = collectives.exposed_time(2.0 * combine, passes.backward, expert_overlap)
        # parameters and activations
        replicated = architecture.norm_params(model)
        if moe:
            expert_params = architecture.expert_params(model) * model.n_experts / expert_group
            params = architecture.moe_layer_params(model) - model.n_experts * architecture.expert_params(
                model
            )
            replicated = replicated + architecture.router_params(model)
            ffn_width = (
                model.experts_per_token * assume.expert_imbalance + model.n_shared_experts
            ) * model.ffn_hidden
            copies = model.experts_per_token * assume.expert_imbalance
        else:
            expert_params, params = 0.0, architecture.dense_layer_params(model)
            ffn_width, copies = architecture.dense_ffn_width(model), 0.0
        activations = memory.layer_activations(
            model, seq_len, tp, split, recompute, kernel_code, ffn_width, copies, values, width,
            format.gemm_input_bytes, assume.wide_bytes, assume.selective_products,
        )  # fmt: skip
        # activations that go to the host and come back beside the passes
        moved = np.where(offloaded, rows * activations.moved / hardware.host_bandwidth, 0.0)
        host = np.maximum(moved - passes.forward, 0.0) + np.maximum(moved - passes.backward, 0.0)
        ahead = tp_forward + cp_forward + ep_forward
        back = tp_backward + cp_backward + ep_backward
        # repeated with the products: all, or what feeds those that are repeated
        part = np.where((again == Recompute.SELECTIVE) & (assume.selective_products > 0), 0.5, 0.0)
        tp_again = np.where(full, 1.0, part) * tp_forward
        back = back + np.where(full, cp_forward + ep_forward, 0.0) + tp_again
        return _Layer(
            passes.forward + passes.backward + repeated,
            passes.weight,
            tp_forward + tp_backward + tp_again,
            cp_forward + cp_backward + np.where(full, cp_forward, 0.0),
            ep_forward + ep_backward + np.where(full, ep_forward, 0.0),
            host,
            passes.forward + ahead,
            passes.backward + repeated + back,
            (params - replicated) / tp + replicated,
            expert_params,
            rows * activations.stored,
            rows * activations.working,
        )

    dense, moe = layer(False), layer(True)

    # --- stages ----------------------------------------------------------------------------------------
    layers = pipeline.stage_layers(model.n_layers, pp)
    sparse = architecture.moe_layers(model)
    share = sparse / np.maximum(model.n_layers - model.first_dense_layers, 1.0)
    moe_first = np.maximum(layers.first - model.first_dense_layers, 0.0) * share
    moe_last = layers.last * share
    moe_layers = Stages(
        moe_first, layers.middle * share, moe_last, np.where(pp > 2, sparse - moe_first - moe_last, 0.0)
    )

    def stages(field, first=0.0, last=0.0):
        """A field of the layers, summed on the first, a middle, the last stage, and on those between."""
        total = [
            (count - np.where(experts, sparse_count, 0.0)) * getattr(dense, field)
            + np.where(experts, sparse_count * getattr(moe, field), 0.0)
            for count, sparse_count in zip(layers, moe_layers)
        ]
        return Stages(total[0] + first, total[1], total[2] + last, total[3])

    folded = (schedule == Schedule.ZBV) | (schedule == Schedule.V_HALF) | (schedule == Schedule.V_MIN)
    dual = (schedule == Schedule.DUALPIPE) & (pp > 1)
    head_first = np.where((pp == 1) | folded, 1.0, np.where(dual, 0.5, 0.0))
    head_last = 1.0 - head_first
    on_first, on_last = np.where(head_first > 0, 1.0, 0.0), np.where(head_last > 0, 1.0, 0.0)

    table = architecture.embedding_params(model) / tp
    norm = architecture.final_norm_params(model)
    own_head = np.where(model.tied_embeddings > 0, 0.0, table)
    with_head = np.where(dual, 0.0, on_first)  # a mirrored first stage lies beside the last
    last_table = np.where(dual & (model.tied_embeddings > 0), 0.0, table)
    params = stages(
        "params", table + model.extra_params + with_head * (own_head + norm), on_last * (last_table + norm)
    )
    expert_params = stages("expert_params")
    kept = (pp > 1) & (assume.keep_gathered > 0)
    streamed = (zero_stage >= 3) & ~kept
    reduced_each = (zero_stage == 2) & ~kept
    # added to a sum, or copied between parameters and the buffers that are scattered
    whole = np.where(assume.fused_accumulation > 0, 0.0, 1.0)
    accumulation = Stages(*(
        whole * training.accumulation_time(n + x, assume.gradient_bytes, hardware.mem_bandwidth,
        assume.streaming_efficiency)
        for n, x in zip(params, expert_params)
    ))  # fmt: skip

    head = training.head_passes(model, rows, tp, hardware, format, assume)
    head_compute = head.forward + head.backward
    head_exchange = half + LOSS_REDUCTIONS * reduce(tp, 1.0, rows * assume.wide_bytes)
    head_backward = head.backward + head_exchange
    compute = stages("compute", head_first * head_compute, head_last * head_compute).plus(accumulation)
    forward = stages("forward", half + head_first * head.forward, head_last * head.forward)
    backward = stages("backward", head_first * head_backward, head_last * head_backward).plus(accumulation)
    tp_exchange = stages("tp", half + head_first * head_exchange, head_last * head_exchange)
    cp_exchange, ep_exchange = stages("cp"), stages("ep")
    weight = (stages("weight").total() + head.weight) / pp
    both = forward.plus(backward)
    slowest_is_last = both.last >= np.maximum(both.first, both.middle)
    slowest_is_first = both.first >= both.middle

    def of_slowest(parts):
        return np.where(slowest_is_last, parts.last, np.where(slowest_is_first, parts.first, parts.middle))

    # --- data parallelism ------------------------------------------------------------------------------
    most = np.maximum(np.maximum(layers.first, layers.middle), 1.0)
    largest, largest_experts = params.largest(), expert_params.largest()

    def by_layer(collect, bytes_per_param):
        """One collective per layer; experts among the ranks that hold the same ones."""
        unit = bytes_per_param / most
        shared = collect(shards, tp, largest * unit)
        routed = collect(expert_replicas, expert_group, largest_experts * unit)
        return most * (shared + np.where(experts, routed, 0.0))

    def seen(communication, window):
        exposed = collectives.exposed_time(communication, window, assume.data_overlap)
        contention = collectives.contention_time(
            communication, window, assume.data_overlap, assume.overlap_contention
        )
        return exposed + np.where(assume.overlap_contention > 0, contention, 0.0)

    collected = by_layer(gather, format.parameter_bytes)
    scattered = by_layer(gather, assume.gradient_reduce_bytes)
    summed = by_layer(reduce, assume.gradient_reduce_bytes)
    if shard_size is not None:  # hybrid sharding: the copies agree on the gradients of their shards
        shard = largest * (assume.gradient_reduce_bytes / shards)
        scattered = scattered + reduce(replicas / shards, tp * shards, shard)
    # while a pass waits for the host, the network goes on
    host_each = stages("host").largest()
    slowest_forward, slowest_backward = forward.largest() + 0.5 * host_each, backward.largest() + 0.5 * host_each
    earlier = (1.0 + (virtual_stages - 1.0) * pp) / virtual_stages
    last_backward, first_forward = slowest_backward * earlier, slowest_forward * earlier
    once_scattered = np.where(reduced_each, 0.0, seen(scattered, last_backward))
    data_once = np.where(
        zero_stage == 0,
        seen(summed, last_backward),
        np.where(streamed, collected / most, once_scattered + seen(collected, first_forward)),
    )
    data_each = np.where(
        streamed,
        seen(collected, slowest_forward) + seen(collected + scattered, slowest_backward),
        np.where(reduced_each, seen(scattered, slowest_backward), 0.0),
    )
    ends = reduce(2.0, replicas * tp * np.maximum(pp - 1.0, 1.0), table * assume.gradient_reduce_bytes)
    data_once = data_once + np.where((model.tied_embeddings > 0) & (pp > 1) & ~folded & ~dual, ends, 0.0)

    # --- optimizer, host, stragglers -------------------------------------------------------------------
    sharded = zero_stage >= 1
    state_bytes = assume.optimizer_bytes - np.where(
        format.parameter_bytes >= assume.wide_bytes, assume.wide_bytes, 0.0
    )
    updated = np.where(
        sharded, largest / shards + largest_experts / expert_replicas, largest + largest_experts
    )
    on_device = training.optimizer_time(
        updated, assume.gradient_bytes, state_bytes, format.parameter_bytes, hardware.mem_bandwidth,
        assume.streaming_efficiency, assume.optimizer_slowdown,
    )  # fmt: skip
    on_host = training.host_optimizer_time(
        updated * np.minimum(fleet.accelerators_per_node, n_accelerators), assume.host_optimizer_bytes,
        assume.host_memory_bandwidth,
    )  # fmt: skip
    optimizer = np.where(optimizer_offload > 0, on_host, on_device)
    doublings = (np.log(tp) + np.log(pp) + np.log(cp) + np.log(dp) - np.log(SMALL_FLEET)) / LN2
    straggling = training.straggler_factor(doublings, assume.straggler_loss)

    # --- hand-overs between stages ---------------------------------------------------------------------
    far = tp * cp * dp * pp
    parts = neighbour(far, message / tp) + np.where(split > 0, 0.0, gathered)
    transfer = np.where((split > 0) | (assume.scattered_sends > 0), parts, neighbour(far, message))
    send_each, send_once = pipeline.hand_over(
        schedule, pp, virtual_stages, transfer, assume.blocking_sends
    )

    # --- memory by stage, before micro-batches in flight ------------------------------------------------
    copies = np.where(dual, 2.0, 1.0)

    def held_together(each):
        """What a device holds of a quantity, over `copies`: a mirrored pipeline puts the first stage beside the last."""
        mean = 0.5 * (each.first + each.last)
        return Stages(np.where(dual, mean, each.first), each.middle, np.where(dual, mean, each.last), each.between)

    chunk_share = ceil_div(most, virtual_stages) / most
    kept_working = np.maximum(dense.working, np.where(experts, moe.working, 0.0))
    head_stored = rows * memory.head_activations(model, tp, split, width, assume.training_logit_bytes)
    unit = np.maximum(np.maximum(dense.params, np.where(experts, moe.params + moe.expert_params, 0.0)), table)
    fixed, per_chunk, limits, states, held, logits = [], [], [], [], [], []
    for n, x, stored, has_head, stage in zip(
        held_together(params), held_together(expert_params), held_together(stages("stored")),
        (on_first, 0.0, on_last), (0.0, 1.0, pp - 1.0),
    ):
        # states that are sharded are shared by the two devices that hold a stage
        held_states = state_bytes * np.where(zero_stage == 0, copies, 1.0)
        sizes = (zero_stage, format.parameter_bytes * copies, assume.gradient_bytes * copies, held_states)
        own = memory.model_states(n, shards, *sizes)
        routed = memory.model_states(x, expert_replicas, *sizes)
        own = memory.States(*(a + np.where(experts, b, 0.0) for a, b in zip(own, routed)))
        own = own._replace(optimizer=np.where(optimizer_offload > 0, 0.0, own.optimizer))
        live = np.where(
            kept & (zero_stage >= 2),
            (n + x) * (np.where(zero_stage >= 3, format.parameter_bytes, 0.0) + assume.gradient_bytes),
            np.where(
                streamed & (replicas > 1),
                memory.gathered_bytes(
                    unit,
                    format.parameter_bytes,
                    assume.gradient_bytes,
                    assume.gather_prefetch,
                    assume.gather_limit,
                ),
                0.0,
            ),
        )
        constant = kept_working + has_head * head_stored
        states.append(own)
        held.append(constant)
        logits.append(has_head * head_stored)
        fixed.append(own.weights + own.gradients + own.optimizer + live + constant)
        per_chunk.append(stored * chunk_share)
        limits.append(pipeline.in_flight_limit(schedule, pp, virtual_stages, stage))

    growth = (1.0 + assume.allocator_slack) * assume.memory_scatter
    there = (True, pp > 2, pp > 1)
    level_memory = [np.where(t, a * growth + assume.training_reserve, 0.0) for t, a in zip(there, fixed)]
    chunk_memory = [np.where(t, b * growth, 0.0) for t, b in zip(there, per_chunk)]

    # --- what depends on the global batch ---------------------------------------------------------------
    in_round = np.where(virtual_stages > 1, pp, 1.0)
    round_size = micro_batch * dp * in_round
    m = global_batch / round_size * in_round

    span = pipeline.makespan(
        schedule, m, pp, virtual_stages, forward, backward, weight, assume.post_validation
    )
    each = send_each + data_each + host_each
    once = send_once + data_once + (optimizer + assume.training_host_time)
    level = span + (m * each + once)
    machine = assume.training_level * assume.training_scatter * np.where(model.n_experts > 0, assume.mixture_level, 1.0)
    finite = level * (straggling * machine)
    step_time: Any = np.where(capable, finite, np.inf)

    chunks = m * virtual_stages
    in_flight = [np.minimum(chunks, most_chunks) for most_chunks in limits]
    kept_memory = [b * n for b, n in zip(chunk_memory, in_flight)]
    # gradients that come while logits and activations go, and are freed after the step
    take_turns = (m <= 1) & (assume.gradients_resident == 0)
    freed = [
        np.where(take_turns, np.minimum(s.gradients * growth, a + h * growth), 0.0)
        for s, a, h in zip(states, kept_memory, logits)
    ]
    used = [a + b - c for a, b, c in zip(level_memory, kept_memory, freed)]
    reserved = np.maximum(used[0], np.maximum(used[1], used[2]))
    allocated = (reserved - assume.training_reserve) * (1.0 / growth)

    def of_fullest(values):
        last = np.where(used[1] >= used[2], values[1], values[2])
        return np.where(used[0] >= np.maximum(used[1], used[2]), values[0], last)

    memory_weights = of_fullest([s.weights for s in states])
    memory_gradients = of_fullest([s.gradients - c * (1.0 / growth) for s, c in zip(states, freed)])
    memory_optimizer = of_fullest([s.optimizer for s in states])
    memory_activations = of_fullest([h + b * n for h, b, n in zip(held, per_chunk, in_flight)])

    # --- outputs ---------------------------------------------------------------------------------------
    steps = global_batch / step_time
    rate = steps * seq_len
    per_token = 3.0 * architecture.forward_flops(model, seq_len, flops_convention)
    attention_once = model.n_layers * architecture.attention_flops(
        model, architecture.attended_positions(model, seq_len, flops_convention)
    )
    unfused = False if attention is None else attention == Attention.UNFUSED
    repeated_flops = np.where(
        full,
        architecture.linear_flops(model) + attention_once,
        np.where(unfused & (again == Recompute.SELECTIVE), attention_once, 0.0),
    )
    of_peak = training.utilization(1.0, n_accelerators, hardware.peak_flops, 1.0)
    compute_time = m * of_slowest(compute)
    bubble_time = span - m * of_slowest(both)
    tp_time, cp_time, ep_time = (
        m * of_slowest(tp_exchange),
        m * of_slowest(cp_exchange),
        m * of_slowest(ep_exchange),
    )
    pp_time = m * send_each + send_once
    dp_time = m * data_each + data_once
    exposed = tp_time + pp_time + dp_time + cp_time + ep_time
    overhead_time = finite - level + (m * host_each + assume.training_host_time)

    alone = training.layer_time(
        model,
        False,
        micro_batch * seq_len,
        seq_len,
        seq_len,
        1.0,
        1.0,
        1.0,
        0.0,
        attention,
        hardware,
        format,
        assume,
    )
    alone_moe = training.layer_time(
        model,
        True,
        micro_batch * seq_len,
        seq_len,
        seq_len,
        1.0,
        1.0,
        1.0,
        0.0,
        attention,
        hardware,
        format,
        assume,
    )
    alone_head = training.head_passes(model, micro_batch * seq_len, 1.0, hardware, format, assume)

    def whole_pass(passes):
        return passes.forward + passes.backward + training.recomputed_time(passes, again, attention, assume)

    alone_time = (
        (model.n_layers - sparse) * whole_pass(alone)
        + np.where(experts, sparse * whole_pass(alone_moe), 0.0)
        + alone_head.forward
        + alone_head.backward
    )
    ideal = alone_time / (micro_batch * n_accelerators)  # seconds per sequence on one device, over n

    # --- can it be done --------------------------------------------------------------------------------
    zero_bubble = (schedule != Schedule.ONE_F_ONE_B) & (schedule != Schedule.GPIPE) & (pp > 1)
    key_value_heads = np.maximum(model.n_kv_heads, 1.0)
    possible = (
        consistent
        & divides(tp, model.n_heads)
        & (divides(tp, key_value_heads) | divides(key_value_heads, tp))
        & (pp <= model.n_layers)
        & (divides(2.0 * cp, seq_len) | (cp == 1))
        & (divides(tp * cp, seq_len) | (split == 0))
        & ((ep == 1) | (divides(ep, model.n_experts) & experts))
        & divides(expert_group, replicas * tp)
        & ((virtual_stages == 1) | (schedule == Schedule.ONE_F_ONE_B) & (pp > 1) & (virtual_stages <= most))
        & ((schedule != Schedule.DUALPIPE) | (pp == 1) | divides(2.0, pp))
        & divides(shards, replicas)
        & ((n_accelerators <= fleet.fleet_size) | (fleet.fleet_size == 0))
    )
    fits_batch = divides(round_size, global_batch) & (m >= np.where(zero_bubble, 2.0 * pp, 1.0))
    limit = first_failing(
        (possible & fits_batch, Limit.SHAPE),
        (capable, Limit.CAPABILITY),
        (reserved <= hardware.mem_capacity, Limit.MEMORY),
    )
    largest_part = np.maximum(
        np.maximum(compute_time, exposed), np.maximum(bubble_time, overhead_time + optimizer)
    )
    bottleneck: Any = np.where(
        compute_time >= largest_part,
        float(Bottleneck.COMPUTE),
        np.where(
            exposed >= largest_part,
            float(Bottleneck.COMMUNICATION),
            np.where(bubble_time >= largest_part, float(Bottleneck.BUBBLE), float(Bottleneck.OVERHEAD)),
        ),
    )

    return Distributed(
        step_time=step_time,
        compute_time=compute_time,
        bubble_time=bubble_time,
        tp_time=tp_time,
        pp_time=pp_time,
        dp_time=dp_time,
        cp_time=cp_time,
        ep_time=ep_time,
        optimizer_time=optimizer,
        overhead_time=overhead_time,
        exposed_communication=exposed,
        communication_fraction=exposed / step_time,
        bubble_fraction=bubble_time / step_time,
        mfu=steps * (seq_len * per_token * of_peak),
        hfu=steps * (seq_len * (per_token + repeated_flops) * of_peak),
        compute_utilization=steps * (compute.total() / (pp * dp * micro_batch)),
        scaling_efficiency=steps * ideal,
        tokens_per_s=rate,
        tokens_per_s_per_device=steps * (seq_len / n_accelerators),
        memory_per_device=reserved,
        memory_allocated=allocated,
        memory_weights=memory_weights,
        memory_gradients=memory_gradients,
        memory_optimizer=memory_optimizer,
        memory_activations=memory_activations,
        memory_other=reserved - memory_weights - memory_gradients - memory_optimizer - memory_activations,
        memory_utilization=reserved * (1.0 / hardware.mem_capacity),
        n_accelerators=n_accelerators,
        n_microbatches=m,
        model_flops=global_batch * (seq_len * per_token),
        training_time=None if tokens is None else tokens / rate,
        training_tokens=None if duration is None else duration * rate,
        feasible=limit == 0,
        limit=limit,
        bottleneck=bottleneck,
    )


DistributedModel = Model("DistributedModel", distributed, domain="fleet", walls=(14,))
