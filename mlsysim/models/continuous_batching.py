"""ContinuousBatchingModel: throughput and latency of a server whose requests come and go step by step."""

from typing import NamedTuple

import numpy as np

from mlsysim.equations import architecture, batching, loops, paging, sharding, tails
from mlsysim.equations import serving as serve
from mlsysim.equations.conventions import can_compute, serving_assumptions, serving_device, where_possible
from mlsysim.equations.counting import floor_div
from mlsysim.equations.occupancy import fits_fleet
from mlsysim.equations.selection import first_failing
from mlsysim.equations.server import server as serve_requests
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Bottleneck, CacheLength, FlopsConvention, LengthLaw, Limit, Reserve
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload


class ContinuousBatching(NamedTuple):
    """What `continuous_batching` returns."""

    throughput: Real
    tokens_per_s: Real
    tokens_per_s_per_device: Real
    ttft: Real
    itl: Real
    itl_p99: Real
    itl_at_capacity: Real
    ttft_at_percentile: Real | None
    itl_at_percentile: Real
    e2e_at_percentile: Real | None
    e2e_latency: Real
    step_time: Real
    active_requests: Real
    max_active_requests: Real
    saturation_rate: Real
    queue_utilization: Real
    preemption_probability: Real
    fragmentation: Real
    contiguous_fragmentation: Real
    paged_kv_size: Real
    speedup_over_static: Real
    memory_weights: Real
    memory_cache: Real
    memory_per_device: Real
    n_accelerators: Real
    usd_per_mtok: Real
    joule_per_mtok: Real
    feasible: Flag
    limit: Code
    bottleneck: Code


def booked_batch(model: Workload, format: Format, assume: Assumptions, pool_size, longest, layout):
    """Requests of a batch that is booked contiguously for the longest answer, and waits for it."""
    kept = sharding.as_cached(model, assume)
    return floor_div(pool_size, sharding.kv_bytes_per_sequence_and_device(kept, format, **layout, context=longest))


@kernel
def continuous_batching(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    seq_len,
    max_batch=256,
    output_len=256,
    tp=1,
    pp=1,
    ep=1,
    replicas=1,
    arrival_rate=None,
    users=None,
    think_time=0,
    prompt_cv=0,
    output_cv=0,
    length_law=LengthLaw.LOGNORMAL,
    cache_length=CacheLength.GROWING,
    page_size=16,
    prefill_chunk=8192,
    cached_prefix=0,
    reserve=Reserve.GROW,
    memory_fraction=0.9,
    pool_fraction=1.0,
    overflow=0.01,
    percentile=0.99,
    requests_per_user=None,
    n_requests=None,
    efficiency=None,
    bandwidth_efficiency=None,
    textbook=0,
    flops_convention=FlopsConvention.CAUSAL,
) -> ContinuousBatching:
    """Servers with iteration-level scheduling and a paged cache (wall 5).

    Parameters
    ----------
    seq_len, output_len : mean prompt and mean answer (tokens).
    max_batch : most requests that run at once.
    replicas : servers that share arrivals, users and requests at random, evenly.
    arrival_rate : requests per second of an open loop (Poisson), all replicas.
    users, think_time : clients of a closed loop, each waiting `think_time` between answer and next request.
        Without `arrival_rate` and `users` all requests are queued at once: the maximum load.
    prompt_cv, output_cv : coefficients of variation of the lengths; 0 is a constant length.
    length_law : `lognormal`, or `exponential`: answers have a cv of 1 (`output_cv` is left out or says so), and prompts
        one of 0 or 1.
    cache_length : `growing` reads the mean cache of an answer, `fixed` that of the prompt (hand calculations); memory is
        booked for what grows either way.
    page_size : tokens per page of the cache.
    prefill_chunk : most tokens of prompts and answers per step and attention group.
    cached_prefix : tokens that all prompts share, stored and computed once.
    reserve : pages taken as a request grows, or for prompt and answer up front.
    memory_fraction, pool_fraction : share of the device the server may use, and share of what weights and
        activations leave of it that the cache takes.
    overflow : probability of running out of pages that admission accepts.
    percentile : of `ttft_at_percentile`, `itl_at_percentile` and `e2e_at_percentile`, 0..1.
    requests_per_user : requests of each client in a closed-loop run that starts all clients together;
        without it the loop is in its steady state.
    n_requests : requests in a run at maximum load, whose last batch runs down.
    efficiency, bandwidth_efficiency, textbook, flops_convention : as in ServingModel.

    Returns
    -------
    ContinuousBatching
        `throughput`, `tokens_per_s`, `saturation_rate` and `n_accelerators` are of all replicas, requests and memory
        of one.  At maximum load `ttft` leaves out the wait in the queue, and `itl` carries the
        share of the prompts.  `itl_at_capacity` is the time between tokens
        with every slot taken.  Percentiles of whole requests exist in an open loop; a percentile of several
        parts is the sum of theirs (on the safe side).  `speedup_over_static` compares maximum
        loads: against batches that are booked contiguously for the longest answer and wait for it.

    Notes
    -----
    With b other requests decoding, prompts add ``dT`` per request to the steps they share.  In an open loop the mean step is
    the fixed point ``t = T + g(lambda t)``, g what n chunks of prompts add to a step that has room for K: the first one costs
    more than the rest, and ``(1 - n/K)^K`` of the steps have none; ``ITL = T(b + 1) / (1 - lambda dT)`` while prompts come
    alone.  Between nine tabulated loads it is read, not computed (within 1 % of itself for 96 of 100 random ones).
    A request waits for the step that it meets, ``E[s^2] / (2 E[s])``, for the prompts before it, and for a slot.  In a
    closed loop ITL is ``T(b + 1) + b dT / (S_out - 1)``.  b follows from Little's law; solved over the true, non-linear step.
    Prompts of several attention groups share a step and queue for nobody of another group; they wait half of the time
    until the scheduler looks (`poll_steps`) or all groups have one (`balance_steps`).  Memory: pages of a
    request at a random instant (length-biased), admitted so that the pool overflows with probability
    `overflow`.  Validity: against a simulation of the same steps, up to 0.9 of the saturation rate, the time
    between tokens is within 5 % and the first token within 10 % for 19 of 20 random loads; worst a half.

    References
    ----------
    Kwon et al. 2023 (arXiv:2309.06180); Yu et al. 2022, "Orca"; Agrawal et al. 2024 (arXiv:2403.02310).
    """
    assume = serving_assumptions(assume, efficiency, textbook, hardware.on_chip_memory, bandwidth_efficiency)
    device = serving_device(hardware, efficiency, bandwidth_efficiency, textbook)
    layout = {"tp": tp, "pp": pp, "ep": ep}
    exponential = length_law == LengthLaw.EXPONENTIAL
    spread = np.where(exponential, 1.0, output_cv)
    requests = paging.Requests(seq_len, output_len, prompt_cv, spread, cached_prefix, length_law, cache_length)
    pool = paging.pool(
        model,
        format,
        assume,
        requests,
        **layout,
        capacity=memory_fraction * device.mem_capacity,
        pool_fraction=pool_fraction,
        page_size=page_size,
        prefill_chunk=prefill_chunk,
        max_batch=max_batch,
        reserve=reserve,
        overflow=overflow,
    )
    steps = {"prefill_chunk": prefill_chunk, "slots": pool.slots, "convention": flops_convention}
    server = serve_requests(model, device, fleet, format, assume, requests, **layout, **steps)
    full = loops.full_steps(server)
    if arrival_rate is not None:
        run = loops.open_loop(server, full, arrival_rate / replicas, percentile)
    elif users is not None:
        run = loops.closed_loop(server, full, users / replicas, think_time, requests_per_user)
    else:
        run = loops.maximum_load(server, full, None if n_requests is None else n_requests / replicas)

    longest = paging.booked_longest(requests)
    static_slots = np.maximum(
        np.minimum(booked_batch(model, format, assume, pool.size, longest, layout), max_batch), 1.0
    )
    replica = sharding.devices(tp, pp, ep)
    tokens_per_s = run.throughput * output_len  # of one replica
    power = serve.step_power(device, assume, full.step, full.step_time)
    late, late_request = run.ttft_at_percentile, tails.request_time_at(server, run, percentile)
    shape = sharding.replica_possible(model, tp, pp, ep) & (cached_prefix < seq_len)
    lawful = ((output_cv == 0) | (output_cv == 1)) & ((prompt_cv == 0) | (prompt_cv == 1))
    shape = shape & (lawful | np.logical_not(exponential))
    possible = architecture.generates(model) & can_compute(hardware)
    shape = shape & fits_fleet(fleet, replica * replicas)
    limit = first_failing(
        (shape | np.logical_not(possible), Limit.SHAPE),
        (possible & architecture.within_context(model, seq_len + output_len), Limit.CAPABILITY),
        (pool.admitted >= 1.0, Limit.MEMORY),
        (run.keeps_up, Limit.SATURATION),
    )
    wall = serve.bottleneck(full.step, device.on_chip_memory)
    memory_binds = (run.active >= pool.slots) & (pool.admitted < max_batch)
    answer = ContinuousBatching(
        throughput=run.throughput * replicas,
        tokens_per_s=tokens_per_s * replicas,
        tokens_per_s_per_device=tokens_per_s / replica,
        ttft=run.ttft * assume.first_token_scatter,
        itl=run.itl * assume.token_scatter,
        itl_p99=tails.token_time_at(server, full, run, 0.99) * assume.token_scatter,
        itl_at_capacity=full.token_time * assume.token_scatter,
        ttft_at_percentile=None if late is None else late * assume.first_token_scatter,
        itl_at_percentile=tails.token_time_at(server, full, run, percentile) * assume.token_scatter,
        e2e_at_percentile=late_request,
        e2e_latency=run.ttft + server.decoded * run.itl,
        step_time=run.step_time,
        active_requests=run.active,
        max_active_requests=pool.max_active,
        saturation_rate=full.rate * replicas,
        queue_utilization=run.load,
        preemption_probability=batching.overflow_probability(run.active, pool.size, pool.request, pool.deviation),
        fragmentation=pool.empty,
        contiguous_fragmentation=1.0 - pool.carried / np.maximum(longest, pool.carried),
        paged_kv_size=run.active * pool.paged * replica / server.groups,
        speedup_over_static=full.rate / tails.static_rate(server, full, static_slots),
        memory_weights=pool.weights,
        memory_cache=run.active * pool.request + pool.prefix,
        memory_per_device=pool.fixed + run.active * pool.request + pool.prefix,
        n_accelerators=replica * replicas,
        usd_per_mtok=serve.TOKENS_PER_MTOK * replica * device.hourly_price / tokens_per_s,
        joule_per_mtok=serve.TOKENS_PER_MTOK * replica * power / tokens_per_s,
        feasible=limit == 0,
        limit=limit,
        bottleneck=np.where(memory_binds, float(Bottleneck.CAPACITY), wall),
    )
    return where_possible(possible, answer)


ContinuousBatchingModel = Model("ContinuousBatchingModel", continuous_batching, domain="node", walls=(5,))
