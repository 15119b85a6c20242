"""DisaggregatedServingModel: a cluster whose prefill and decode run on replicas of their own."""

from typing import NamedTuple

import numpy as np

from mlsysim.equations import (
    architecture,
    decode_pool,
    disaggregation,
    experts,
    local_prefill,
    paging,
    pool_limits,
    pools,
    prefill_pool,
    replica,
    sharding,
)
from mlsysim.equations import cache_transfer as transfers
from mlsysim.equations import serving as serve
from mlsysim.equations.conventions import can_compute, serving_assumptions, serving_device, where_possible
from mlsysim.equations.counting import ceil_div
from mlsysim.equations.occupancy import fits_fleet
from mlsysim.equations.selection import first_failing
from mlsysim.equations.speculation import tokens_per_round
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import CacheTransfer, FirstToken, FlopsConvention, Limit, Reserve, Routing
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload


class DisaggregatedServing(NamedTuple):
    """What `disaggregated_serving` returns."""

    throughput: Real
    tokens_per_s: Real
    tokens_per_s_per_device: Real
    tokens_per_s_per_user: Real
    ttft: Real
    ttft_at_percentile: Real | None
    itl: Real
    step_time: Real
    e2e_latency: Real
    frontend_wait: Real
    prefill_wait: Real
    prefill_time: Real
    kv_transfer_time: Real
    slot_wait: Real
    first_step_time: Real
    active_requests: Real
    max_active_requests: Real
    saturation_rate: Real
    prefill_utilization: Real
    link_utilization: Real
    decode_utilization: Real
    local_prefill_share: Real
    caches_waiting: Real
    caches_kept: Real
    prefill_decode_ratio: Real
    paired_prefill_replicas: Real
    paired_decode_replicas: Real
    speedup_over_aggregated: Real
    break_even_itl: Real
    tokens_per_round: Real
    kv_transfer_size: Real
    memory_weights: Real
    memory_per_device: Real
    prefill_memory_per_device: Real
    n_accelerators: Real
    usd_per_mtok: Real
    joule_per_mtok: Real
    pool_limit: Code
    feasible: Flag
    limit: Code
    bottleneck: Code


@kernel
def disaggregated_serving(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    decode_hardware: Accelerator,
    decode_fleet: Fleet,
    decode_format: Format,
    assume: Assumptions,
    seq_len,
    output_len=256,
    prefill_replicas=1,
    decode_replicas=1,
    tp=1,
    pp=1,
    ep=1,
    decode_tp=None,
    decode_pp=None,
    decode_ep=None,
    expert_tp=None,
    decode_expert_tp=None,
    max_batch=256,
    prefill_max_batch=1024,
    prefill_chunk=8192,
    arrival_rate=None,
    decode_batch=None,
    users=None,
    think_time=0,
    requests_per_user=None,
    prompt_cv=0,
    output_cv=0,
    cache_transfer=CacheTransfer.SERIAL,
    kv_bandwidth=None,
    blocking_receive=None,
    first_token_from=FirstToken.DECODE,
    routing=Routing.SHARED,
    group_routing=Routing.SHARED,
    decode_group_routing=Routing.SHARED,
    draft_len=0,
    draft_layers=None,
    acceptance=0.7,
    cached_prefix=0,
    local_prefill_below=None,
    two_batches=None,
    decode_two_batches=None,
    redundant_experts=0,
    decode_redundant_experts=None,
    page_size=16,
    reserve=Reserve.GROW,
    memory_fraction=0.9,
    pool_fraction=1.0,
    overflow=0.01,
    percentile=0.99,
    efficiency=None,
    bandwidth_efficiency=None,
    textbook=0,
    flops_convention=FlopsConvention.CAUSAL,
) -> DisaggregatedServing:
    """A cluster of P replicas that only prefill and D that only decode, with the cache moved between them.

    Parameters
    ----------
    hardware, fleet, precision, tp, pp, ep : of the replicas that prefill.
    decode_hardware, decode_fleet, decode_precision, decode_tp, decode_pp, decode_ep : of those that decode; each the same
        as of prefill unless given.  The cache has one format (`kv_precision`), since it moves.
    expert_tp, decode_expert_tp : devices that share each expert where there are attention groups, so that each computes a part
        of all tokens; without them one device has an expert for itself.
    seq_len, output_len : mean prompt and mean answer (tokens).
    prefill_replicas, decode_replicas : P and D, whole.
    max_batch : most requests that one decode replica holds (slots), all of its attention groups.
    prefill_max_batch, prefill_chunk : most prompts of a prefill step of one replica; most tokens of it on each attention group.
    arrival_rate : requests per second of an open loop (Poisson), the whole cluster.
    decode_batch : the same, told by the requests that decode in each decode replica, mean: fewer than its slots.
    users, think_time : clients of a closed loop, each waiting `think_time` between answer and next request.
        Without any of these loads all requests are queued at once: the maximum load.
    requests_per_user : requests of each client in a run that starts all clients together; without it the steady state.
    prompt_cv, output_cv : coefficients of variation of the lengths, lognormal; 0 is a constant length.
    cache_transfer : `serial` moves the cache when the prompt is done, `chunked` each chunk when it is computed, `streamed` each
        layer.
    kv_bandwidth : byte/s of one device for caches; without it the fast domain where one holds both pools, else the network.
    blocking_receive : replicas that decode stand still while the caches of those that join come in; without it they go on.
    first_token_from : `decode`: the client sees the first token when its request has joined the decode pool; `prefill`: at
        once, and the second one waits for the cache.
    routing : `shared`: a prompt goes to any prefill replica that is free, and then to any decode replica with a free slot;
        `random`: to one of each at random, busy or not, as where front ends that know nothing of each other deal requests out.
    group_routing, decode_group_routing : `shared`: the attention groups of a replica have as many prompts, or requests, as each
        other; `random`: each goes to one of them at random, busy or not, so that some are empty beside others whose queue is
        long, and all wait for the fullest.
    draft_len, acceptance : drafted tokens per round, and the probability that one is accepted.
    draft_layers : layers such as the model's own that a drafted token passes before the model's head: 1 with the prediction
        layer of DeepSeek; without it drafting is free (look-up).
    cached_prefix : tokens that all prompts share and the prefill pool keeps; all of the cache moves.
    local_prefill_below : prompts with at most so many new tokens are computed by the decode replicas, whose requests wait
        meanwhile (conditional disaggregation); without it all go to the prefill pool.
    two_batches, decode_two_batches : halves of a step take turns, one exchanging tokens while the other computes;
        without them they do not.
    redundant_experts, decode_redundant_experts : copies of popular experts in a replica of each pool (the second as the first
        unless given): they take memory, and even out the ranks (`redundant_relief`).
    page_size, reserve, memory_fraction, pool_fraction, overflow : as in ContinuousBatchingModel, of the decode replicas.
    percentile : of `ttft_at_percentile`, which an open loop has, 0..1.
    efficiency, bandwidth_efficiency, textbook, flops_convention : as in ServingModel.

    Returns
    -------
    DisaggregatedServing
        Rates, prices and `n_accelerators` are of the whole cluster; requests and memory of one replica.  `ttft` is the sum of
        `frontend_wait`, `prefill_wait`, `prefill_time` and, where the decode pool answers, `kv_transfer_time`, `slot_wait` and
        `first_step_time`.  `pool_limit` is the stage that is full (from 0.9 on), or `clients`; `backpressure`
        where as many computed prompts wait for slots (`caches_waiting`) as the prefill pool can keep (`caches_kept`), so that
        others wait uncomputed.  `prefill_decode_ratio` is right
        in large fleets; `paired_prefill_replicas` and `paired_decode_replicas` are whole (up to 16 of decode).
        `speedup_over_aggregated` and `break_even_itl` compare with servers that do both on the decode replicas' devices, from
        the tangent of the step: above 1 where `itl` is below `break_even_itl`.

    Notes
    -----
    Prefill is a queue of P servers that take several prompts in a step; no prompt shares a decode step, so ITL is the step
    t(b), and b follows from Little's law, ``D b = X (S_out - 1) t(b)``.  In a closed loop all who neither decode nor think
    stand in front of the stage that is full: with more clients than slots ``TTFT = N / X - J t``, whatever prefill does, and
    an error of 5 % in ITL is one of 35 % in TTFT.  A request meets itself in its steps, and decode replicas do the host's work
    beside the device's (`decode_host_overlap`).  Validity: against a simulation of the same steps (60 random clusters up to 0.85
    of capacity, open and closed) the first token is within 10 % (median 1.2), time between tokens and throughput within 2 %.

    References
    ----------
    Zhong et al. 2024, "DistServe" (arXiv:2401.09670); Patel et al. 2024, "Splitwise" (arXiv:2311.18677); Mitra et al. 2025,
    "Beyond the Buzz" (arXiv:2506.05508).
    """
    on_chip = hardware.on_chip_memory * decode_hardware.on_chip_memory
    assume = serving_assumptions(assume, efficiency, textbook, on_chip, bandwidth_efficiency)
    how = (efficiency, bandwidth_efficiency, textbook)
    device, decode_device = (serving_device(each, *how) for each in (hardware, decode_hardware))
    layout, others = (tp, pp, ep), (decode_tp, decode_pp, decode_ep)
    decode_tp, decode_pp, decode_ep = (own if given is None else given for own, given in zip(layout, others))
    decode_layout = (decode_tp, decode_pp, decode_ep)
    copies = redundant_experts if decode_redundant_experts is None else decode_redundant_experts
    stored, decode_stored = _with_copies(model, redundant_experts), _with_copies(model, copies)
    requests = paging.Requests(seq_len, output_len, prompt_cv, output_cv, cached_prefix)
    computed, local = paging.computed_tokens(requests), None
    decode_assume = _relieved(assume, copies, decode_ep)
    decode_records = (model, decode_device, decode_fleet, decode_format, decode_assume, decode_layout)
    if local_prefill_below is not None:
        lengths = local_prefill.split(computed, prompt_cv * (seq_len / computed), local_prefill_below)
        alone = _alone(
            *decode_records, lengths.short + cached_prefix, prefill_chunk, flops_convention, decode_expert_tp
        )
        computed, local = lengths.long, local_prefill.Local(lengths.share, alone)
    at_random, dealt, decode_dealt = (r == Routing.RANDOM for r in (routing, group_routing, decode_group_routing))
    prompts = {"new": computed, "cached": cached_prefix, "cv": prompt_cv, "random": at_random, "dealt": dealt}
    prompts |= {"replicas": prefill_replicas, "chunk": prefill_chunk, "most": prefill_max_batch}
    prompts |= {"two_batches": two_batches, "convention": flops_convention, "expert_tp": expert_tp}
    own = _relieved(assume, redundant_experts, ep)
    prefill = prefill_pool.prefill_pool(model, device, fleet, format, own, layout, **prompts)
    pages = {"page_size": page_size, "pool_fraction": pool_fraction, "reserve": reserve, "overflow": overflow}
    pages |= {"capacity": memory_fraction * decode_device.mem_capacity, "max_batch": max_batch}
    held = _held(decode_stored, decode_format, assume, requests, decode_layout, draft_len, pages)
    decoded = np.maximum(paging.decoded_tokens(requests), 1.0)
    drafts = (draft_len, draft_layers, tokens_per_round(acceptance, draft_len))
    engine_of = (held.slots, decode_replicas, decode_two_batches, local, at_random, decode_dealt, decode_expert_tp)
    decode = decode_pool.Decode(*decode_records, paging.mean_context(requests), decoded, *drafts, *engine_of)
    each, decode_each = sharding.devices(*layout), sharding.devices(*decode_layout)
    held_by = Devices(each, decode_each, prefill_replicas * each, decode_replicas * decode_each)
    moved = transfers.moved_bytes(model, decode_format, computed + cached_prefix, decode_tp)
    pieces = transfers.pieces(model, cache_transfer, ceil_div(computed, prefill_chunk))
    way = transfers.path(fleet, decode_fleet, held_by.in_all, kv_bandwidth)
    sizes = (tp * pp, decode_tp * decode_pp, held_by.prefill, held_by.decode)
    transfer = pools.transfer_between(way, moved, *sizes, pieces=pieces, latency=assume.kv_transfer_latency)
    front = _front(assume, requests, None if requests_per_user is None else users)
    usable = memory_fraction * device.mem_capacity
    in_prefill = prefill_pool.holding(stored, format, assume, layout, prefill, computed + cached_prefix, prefill_chunk)
    kept = prefill_pool.caches_kept(prefill, in_prefill, usable)
    cluster = pools.Cluster(prefill, decode, transfer, front, first_token_from, output_cv, kept, blocking_receive)
    load = {"arrival_rate": arrival_rate, "decode_batch": decode_batch, "users": users, "think_time": think_time}
    run = pools.under_load(cluster, **load, requests_per_user=requests_per_user, percentile=percentile)

    replicas = sharding.replica_possible(stored, *layout, expert_tp)
    replicas = replicas & sharding.replica_possible(decode_stored, *decode_layout, decode_expert_tp)
    shape = replicas & fits_fleet(fleet, held_by.in_all) & (cached_prefix < seq_len) & (output_len > 1.0)
    possible = architecture.generates(model) & can_compute(hardware) & can_compute(decode_hardware)
    prefill_memory = replica.bytes_held(in_prefill, prefill.most)
    limit = first_failing(
        (shape | np.logical_not(possible), Limit.SHAPE),
        (possible & architecture.within_context(model, seq_len + output_len), Limit.CAPABILITY),
        ((held.admitted >= 1.0) & (prefill_memory <= usable), Limit.MEMORY),
        (run.keeps_up, Limit.SATURATION),
    )
    memory = {"kv_transfer_size": moved, "prefill_memory_per_device": prefill_memory}
    found = _outputs(cluster, run, held_by, device, held, held.admitted < max_batch, output_len)
    answer = DisaggregatedServing(**found, **memory, feasible=limit == 0, limit=limit)
    return where_possible(possible, answer)


def _held(model: Workload, format: Format, assume: Assumptions, requests: paging.Requests, layout, draft_len, pages):
    """Slots and pages of a decode replica (`paging.pool`); a cache that was moved is nobody else's.

    Parameters
    ----------
    layout : tensor, pipeline and expert parallelism.
    pages : the other arguments of `paging.pool`.
    """
    tp, pp, ep = layout
    rows = np.maximum(pages["max_batch"] / sharding.attention_groups(tp, ep), 1.0) * (1.0 + draft_len)
    alone = requests._replace(cached_prefix=0.0)
    return paging.pool(model, format, assume, alone, tp=tp, pp=pp, ep=ep, prefill_chunk=rows, **pages)


def _front(assume: Assumptions, requests: paging.Requests, together):
    """Time of a request before an engine sees it (s); `together` are clients who start at once, None: none do."""
    front = assume.frontend_time + paging.computed_tokens(requests) * assume.frontend_token_time
    return front + (0.0 if together is None else assume.frontend_client_time * together)


def _alone(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    layout: serve.Layout,
    new,
    chunk,
    how,
    expert_tp,
):
    """A prompt that a decode replica computes itself, front end apart (s).

    Parameters
    ----------
    layout : tensor, pipeline and expert parallelism.
    new, chunk : tokens of the prompt, and most tokens of a step and attention group.
    how : `FlopsConvention`.
    expert_tp : devices that share each expert.
    """
    engine = assume._replace(frontend_time=0.0, frontend_token_time=0.0)
    idle = sharding.attention_groups(layout[0], layout[2]) - 1.0
    records = (model, hardware, fleet, format, engine)
    return serve.total(serve.prefill_step(*records, *layout, 1.0, new, 0.0, chunk, how, idle, expert_tp))


def _with_copies(model: Workload, copies) -> Workload:
    """The model as a replica with copies of experts holds it."""
    return model._replace(n_experts=np.where(model.n_experts > 0, model.n_experts + copies, model.n_experts))


def _relieved(assume: Assumptions, copies, ep) -> Assumptions:
    """Ranks of experts as copies of the popular ones even them out."""
    skew = experts.relieved_skew(assume.expert_skew, copies, ep, assume.redundant_relief)
    return assume._replace(expert_skew=skew)


class Devices(NamedTuple):
    """Devices of a replica of each pool, and of each pool."""

    prefill_replica: Real
    decode_replica: Real
    prefill: Real
    decode: Real

    @property
    def in_all(self):
        """Devices of the cluster."""
        return self.prefill + self.decode


def _outputs(
    cluster: pools.Cluster,
    run: pools.Operation,
    devices: Devices,
    device: Accelerator,
    held: paging.Pool,
    by_memory,
    output_len,
) -> dict[str, Real | None]:
    """What follows from how the cluster runs, whatever fits.

    Parameters
    ----------
    device : of the replicas that prefill.
    held : what a decode replica holds.
    by_memory : is the number of slots set by the cache that fits?
    """
    prefill, decode = cluster.prefill, cluster.decode
    assume, decode_device = decode.assume, decode.hardware
    taken, stages = pool_limits.shares(cluster, run), pools.capacity(cluster)
    other = disaggregation.compared(cluster, run, stages, devices.prefill_replica, devices.decode_replica)
    step = decode_pool.decode_step(decode, run.active)
    power = devices.decode * serve.step_power(decode_device, assume, step, run.step_time)
    power = power + devices.prefill * prefill_pool.pool_power(prefill, device, assume, taken.prefill)
    price = devices.prefill * device.hourly_price + devices.decode * decode_device.hourly_price
    tokens_per_s = run.throughput * output_len
    late = run.ttft_at_percentile
    by_prefill = cluster.first_token_from == FirstToken.PREFILL
    return {
        "throughput": run.throughput,
        "tokens_per_s": tokens_per_s,
        "tokens_per_s_per_device": tokens_per_s / devices.in_all,
        "tokens_per_s_per_user": 1.0 / run.itl,
        "ttft": run.ttft * assume.first_token_scatter,
        "ttft_at_percentile": None if late is None else late * assume.first_token_scatter,
        "itl": run.itl,  # no prompt comes between: what spaces tokens elsewhere (`token_scatter`) is not there
        "step_time": run.step_time,
        "e2e_latency": run.e2e,
        "frontend_wait": cluster.front,
        "prefill_wait": run.parts.wait,
        "prefill_time": run.parts.prefill,
        "kv_transfer_time": run.parts.transfer,
        "slot_wait": run.parts.slot,
        "first_step_time": np.where(by_prefill, 0.0, run.step_time),
        "active_requests": run.active,
        "max_active_requests": held.max_active,
        "memory_weights": held.weights,
        "memory_per_device": held.fixed + run.active * held.request,
        "saturation_rate": np.minimum(np.minimum(stages.prefill, stages.transfer), stages.decode),
        "prefill_utilization": taken.prefill,
        "link_utilization": taken.transfer,
        "decode_utilization": taken.slots,
        "local_prefill_share": 0.0 * run.step_time if decode.local is None else decode.local.share,
        "caches_waiting": run.caches,
        "caches_kept": cluster.kept,
        "prefill_decode_ratio": other.ratio,
        "paired_prefill_replicas": other.pair.prefill,
        "paired_decode_replicas": other.pair.decode,
        "speedup_over_aggregated": other.speedup,
        "break_even_itl": other.break_even,
        "tokens_per_round": decode.per_round,
        "n_accelerators": devices.in_all,
        "usd_per_mtok": serve.TOKENS_PER_MTOK * price / tokens_per_s,
        "joule_per_mtok": serve.TOKENS_PER_MTOK * power / tokens_per_s,
        "pool_limit": pool_limits.binding(taken, by_memory),
        "bottleneck": pool_limits.wall(taken, by_memory, serve.bottleneck(prefill.step), serve.bottleneck(step)),
    }


DisaggregatedServingModel = Model("DisaggregatedServingModel", disaggregated_serving, domain="node")
