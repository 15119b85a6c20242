"""ContinuousBatchingModel: throughput and latency of a server whose requests come and go step by step."""

from typing import NamedTuple

import numpy as np

from mlsysim.equations import architecture, batching, operators, sharding
from mlsysim.equations import serving as serve
from mlsysim.equations.counting import ceil_div, divides, floor_div, round_up
from mlsysim.equations.queueing import erlang_c
from mlsysim.equations.selection import first_failing
from mlsysim.equations.textbook import textbook_assumptions, textbook_device, where_possible, with_efficiency, with_some_rate
from mlsysim.resolver import Model, kernel
from mlsysim.schema.codes import Bottleneck, Limit, Reserve
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Assumptions, Fleet, Format, Workload


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
    memory_per_device: Real
    n_accelerators: Real
    usd_per_mtok: Real
    joule_per_mtok: Real
    feasible: Flag
    limit: Code
    bottleneck: Code


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
    prompt_cv, output_cv : coefficients of variation of the lengths (lognormal).
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
    efficiency, bandwidth_efficiency, textbook : as in ServingModel.

    Returns
    -------
    ContinuousBatching
        `throughput`, `tokens_per_s`, `saturation_rate` and `n_accelerators` are of all replicas, requests and memory
        of one.  At maximum load `ttft` leaves out the wait in the queue.  `itl_at_capacity` is the time between tokens
        with every slot taken.  Percentiles of whole requests exist in an open loop; a percentile of several
        parts is the sum of theirs (on the safe side).  `speedup_over_static` compares maximum
        loads: against batches that are booked contiguously for the longest answer and wait for it.

    Notes
    -----
    With b other requests decoding, prompts add ``dT`` per request to the steps they share.  In an open loop the mean
    step is the fixed point ``t = g(lambda t)`` of a step with n chunks of prompts, ``g`` linear from 0 (decoding alone) to
    1 and from there to the full budget: ``ITL = T(b + 1) / (1 - lambda dT)`` while prompts come alone.  In a closed
    loop it is ``T(b + 1) + b dT / (S_out - 1)``.  b follows from Little's law; solved over the true, non-linear step.
    Prompts of several attention groups share a step and queue for nobody of another group; they wait half of the time
    until the scheduler looks (`poll_steps`) or all groups have one (`balance_steps`).  Memory: pages of a
    request at a random instant (length-biased), admitted so that the pool overflows with probability
    `overflow`.  Validity: means within 6 % of a simulation up to half of the saturation rate, up to 25 %
    low at 0.85 of it.

    References
    ----------
    Kwon et al. 2023 (arXiv:2309.06180); Yu et al. 2022, "Orca"; Agrawal et al. 2024 (arXiv:2403.02310).
    """
    assume = textbook_assumptions(assume, textbook)
    if efficiency is not None:
        assume = assume._replace(serving_gemm_factor=1.0)
    device = with_efficiency(
        textbook_device(with_some_rate(hardware), textbook), efficiency, bandwidth_efficiency
    )
    layout = (tp, pp, ep)
    replica = sharding.devices(tp, pp, ep)
    arrival_rate, users, n_requests = (
        None if whole is None else whole / replicas for whole in (arrival_rate, users, n_requests)
    )
    groups = sharding.attention_groups(tp, ep)

    # lengths
    carried, variance = batching.carried_length(seq_len, prompt_cv, output_len, output_cv)
    second, _ = batching.lognormal_moments(output_len, output_cv)
    context = seq_len + 0.5 * second / output_len
    steps = np.maximum(output_len - 1.0, 0.0)
    new = np.maximum(seq_len - cached_prefix, 1.0)

    # memory
    held = sharding.weights_per_device(model, format, *layout)
    fixed = (
        held + sharding.workspace_bytes(model, assume, tp, prefill_chunk) + sharding.reserved_bytes(assume, *layout)
    )
    logits = sharding.logits_bytes(model, assume, tp, 1.0 / groups)
    shared = sharding.kv_bytes_per_sequence_and_device(model, format, *layout, cached_prefix) * groups
    pool = np.maximum(pool_fraction * (memory_fraction * device.mem_capacity - fixed) - shared, 0.0)
    per_token = sharding.kv_bytes_per_sequence_and_device(model, format, *layout, 1.0)
    booking = reserve == Reserve.RESERVE
    own = np.where(booking, round_up(seq_len + output_len, page_size), carried + 0.5 * (page_size - 1.0))
    prefix_pages = floor_div(np.maximum(cached_prefix, 0.0), page_size) * page_size
    whole = sharding.kv_bytes_per_sequence_and_device(model, format, *layout, own)
    shared_pages = sharding.kv_bytes_per_sequence_and_device(model, format, *layout, prefix_pages)
    mean = np.maximum(whole - shared_pages, per_token) + logits
    lengths = np.sqrt(
        (seq_len * prompt_cv) * (seq_len * prompt_cv) + (output_len * output_cv) * (output_len * output_cv)
    )
    deviation = per_token * np.where(booking, lengths, np.sqrt(variance))
    in_memory = floor_div(batching.admitted_requests(pool, mean, deviation, overflow), 1.0)
    slots = np.maximum(np.minimum(in_memory, max_batch), 1.0)
    most = np.where(in_memory >= 1.0, slots, 0.0)

    # steps
    prompt_attention = operators.prefill_attention_time(
        model, device, format, tp, 1.0, new, cached_prefix, ceil_div(new, prefill_chunk)
    )
    starting = model.n_layers * device.decode_attention_latency
    floor = serve.eager_floor(model, assume)
    apart = assume.last_token_apart > 0

    def parts(batch, prompt_tokens=None):
        """The step with `batch` sequences beside tokens of prompts, by class."""
        beside = 0.0 if prompt_tokens is None else prompt_tokens * (prompt_attention / new) + groups * starting
        prompt_tokens = 0.0 if prompt_tokens is None else prompt_tokens
        return serve.decode_step(
            model, device, fleet, format, assume, *layout, batch, context, 1.0, prompt_tokens, beside
        )

    def decoding(batch):
        return serve.total(parts(batch))

    def mixed(batch, prompt_tokens):
        return np.maximum(serve.total(parts(batch, prompt_tokens)), floor)

    def with_one(batch):
        """The step in which a group takes a chunk of one prompt; the others can take one as well in that time."""
        return mixed(batch, groups * one_chunk)

    def loaded(batch, together):
        """The step of a batch, and what one prompt adds to the steps it shares where `together` groups take one."""
        step = decoding(batch)
        return step, chunks * (with_one(batch) - step) / together

    # maximum load: where prompts fill every step, only so many requests decode that one leaves for each that comes
    decoders = np.minimum(np.maximum(groups * prefill_chunk * steps / (new + steps), 1.0), slots)
    room = np.maximum(groups * prefill_chunk - decoders, 1.0)
    chunks = ceil_div(new, room / groups)
    one_chunk = new / chunks
    full_step = parts(decoders)
    full_time = serve.total(full_step)
    filled = mixed(decoders, room)
    added_full = (new / room) * (filled - full_time)
    token_at_most = full_time + decoders * added_full / np.maximum(steps, 1.0)
    saturation = decoders / (steps * full_time + decoders * added_full)

    latency_front = assume.frontend_time + seq_len * assume.frontend_token_time
    ttft_percentile = None
    if arrival_rate is not None:
        # open loop: b = lambda (S_out - 1) ITL(b + 1)
        load = arrival_rate / saturation
        stable = load < 1.0
        pace = arrival_rate * chunks

        def pacing(batch):
            """The mean step as numerator and denominator (see Notes); no denominator where prompts outrun the steps."""
            step, first, whole = decoding(batch), with_one(batch), mixed(batch, room)
            further = (whole - first) * (one_chunk / np.where(room > one_chunk, room - one_chunk, 1.0))
            alone = pace * first <= 1.0
            free = np.where(alone, 1.0 - pace * (first - step), np.where(room > one_chunk, 1.0 - pace * further, 0.0))
            return np.where(alone, step, first - further), np.maximum(free, 0.0)

        def surplus(others):
            step, free = pacing(others + 1.0)
            return np.where(free > 0, others * free - arrival_rate * steps * step, -1.0)

        others = batching.solve_increasing(surplus, 0.0 * slots, decoders)
        own_step = decoding(others + 1.0)
        step, free = pacing(others + 1.0)
        paced = np.where(free > 0, step / np.where(free > 0, free, 1.0), np.inf)
        itl = np.where(stable, np.minimum(paced, np.maximum(token_at_most, own_step)), token_at_most)
        active = np.where(stable, others, slots)
        service = chunks * with_one(others)
        busy = arrival_rate * (new / room) * mixed(others, room)
        wait = batching.prefill_wait(busy, service, prompt_cv)
        full = erlang_c(slots, slots * np.minimum(load, 1.0))
        admission = np.where(stable, full / (saturation * np.where(stable, 1.0 - load, 1.0)), np.inf)
        late = batching.wait_at_percentile(np.minimum(busy, 1.0), wait, percentile)
        late = late + batching.wait_at_percentile(full, admission, percentile)
        balancing = batching.steps_to_balance(assume.balance_steps, groups, arrival_rate * chunks * itl, others)
        unseen = itl * np.maximum(batching.steps_between_looks(assume.poll_steps, others), 0.5 * balancing)
        last = np.where(apart, own_step, 0.0)
        keeps_up = stable & (busy < 1.0)  # prompts alone may outrun the steps
        ttft_percentile = np.where(stable, latency_front + late + 2.0 * unseen + service + last + 0.5 * own_step, np.inf)
        ttft = np.where(stable, latency_front + wait + unseen + admission + service + last + 0.5 * own_step, np.inf)
        throughput = np.where(stable, arrival_rate, saturation)
        prompts_rate = throughput
    elif users is not None:
        # closed loop: b is the share of the others' cycle that is spent decoding
        load = None
        others_all = users - 1.0
        each = np.maximum(users / groups, 1.0)  # clients of a group: prompts on other groups are nobody's queue
        per_step = np.maximum(prefill_chunk / new, 1.0)
        first_wave = 0.0 if requests_per_user is None else 1.0 / requests_per_user
        later = 1.0 - first_wave

        crowd = np.minimum(others_all, slots - 1.0)
        step_of_all = decoding(crowd + 1.0)
        cycle = np.maximum(steps + think_time / step_of_all, 1.0)  # of a client, in steps
        prompts_a_step = users * chunks / cycle
        balancing = batching.steps_to_balance(assume.balance_steps, groups, prompts_a_step, crowd)
        gathered = np.minimum(batching.at_least_one(prompts_a_step) + prompts_a_step * balancing, users)
        beside_each_other = batching.occupied(groups, gathered)
        _, more = loaded(crowd + 1.0, beside_each_other)
        everyone = step_of_all + crowd * more / np.maximum(steps, 1.0)
        alone = beside_each_other * more  # what a prompt adds to the steps of its group
        # prompts that one look at the queue finds beside one's own
        looked = np.minimum(np.maximum(assume.poll_steps - 1.0, 0.0) / cycle, 1.0) * (each - 1.0)
        seen_with = batching.seen_together(looked, per_step)
        queue = batching.collision_factor(each, alone, output_len, everyone, prompt_cv + output_cv, np.minimum(per_step, each))
        before = np.maximum(np.minimum(users, slots) / groups - 1.0, 0.0)  # no more than these can be ahead of a prompt
        met = 1.0 + np.minimum(queue, before)
        shared_by = (1.0 - 0.5 * first_wave) / np.maximum(steps, 1.0)

        def unseen(others, token, more):
            """Time until the scheduler takes a prompt, and of those that it takes with it."""
            steps_unseen = np.maximum(batching.steps_between_looks(assume.poll_steps, others), 0.5 * balancing)
            return steps_unseen * token + np.minimum(others, 1.0) * seen_with * beside_each_other * more

        def shortage(others):
            step, more = loaded(others + 1.0, beside_each_other)
            token = step + others * more * shared_by
            first = met * (beside_each_other * more + chunks * step) + unseen(others, token, more)
            return others * (think_time + first + steps * token) - others_all * steps * token

        limited = np.minimum(others_all, slots - 1.0)
        others = batching.solve_increasing(shortage, 0.0 * limited, limited)
        own_step, more = loaded(others + 1.0, beside_each_other)
        token = own_step + others * more * shared_by
        first = met * chunks * with_one(others) + np.where(apart, own_step, 0.0)
        first = first + unseen(others, token, more)
        burst_steps = ceil_div(np.minimum(users, slots) * new, groups * prefill_chunk)
        burst_tokens = np.minimum(users, slots) * new / burst_steps
        burst = burst_steps * mixed(0.5 * np.minimum(users, slots), burst_tokens)
        together = batching.burst_ttft(burst, burst_steps) + np.where(apart, step_of_all, 0.0)
        simultaneous = assume.frontend_client_time * users
        ttft_free = latency_front + simultaneous + later * first + first_wave * together
        itl = np.minimum(token, np.maximum(token_at_most, own_step))
        rate = users / (think_time + ttft_free + steps * itl)
        throughput = np.minimum(rate, saturation)
        crowded = users > slots
        ttft = np.where(
            crowded, np.maximum(users / throughput - think_time - steps * itl, ttft_free), ttft_free
        )
        active = np.minimum(others + 1.0, slots)
        load = throughput / saturation
        keeps_up = load <= 1.0
        prompts_rate = throughput
    else:
        load = 1.0
        keeps_up = True
        active = slots
        own_step = full_time
        itl = token_at_most
        throughput = saturation
        if n_requests is not None:
            throughput = finite_rate(n_requests, slots, steps, new, room, added_full, decoding)
        ttft = latency_front + chunks * mixed(slots, np.minimum(groups * one_chunk, room)) + np.where(apart, full_time, 0.0)
        prompts_rate = throughput

    # a token that shares its step with prompts
    with_prompt = batching.mixed_fraction(prompts_rate, own_step, new, groups * prefill_chunk)

    def itl_at(share):
        together = np.maximum(batching.poisson_quantile(prompts_rate * own_step, share), 1.0)
        crowd = np.minimum(groups * prefill_chunk, np.maximum(together, groups) * one_chunk)
        return np.where(with_prompt > 1.0 - share, np.maximum(mixed(active, crowd), itl), itl)

    e2e_percentile = None
    if ttft_percentile is not None:
        longer = np.maximum(batching.length_quantile(output_len, output_cv, percentile) - 1.0, 0.0)
        e2e_percentile = ttft_percentile + longer * itl

    # static batching: booked contiguously for the longest answer, and waiting for it
    longest_booked = seq_len * (1.0 + 3.0 * prompt_cv) + output_len * (1.0 + 3.0 * output_cv)
    per_booked = sharding.kv_bytes_per_sequence_and_device(model, format, *layout, longest_booked)
    static_slots = np.maximum(np.minimum(floor_div(pool, per_booked), max_batch), 1.0)
    longest = batching.longest_of(output_len, output_cv, static_slots)
    static_prefill = (static_slots * new / room) * mixed(0.0 * slots + 1.0, room)
    static_rate = static_slots / (static_prefill + longest * decoding(static_slots))

    paged = active * np.where(booking, whole, mean) * replica / groups
    tokens_per_s = throughput * output_len  # of one replica
    power = serve.step_power(device, assume, full_step, full_time)
    shape = (
        divides(tp, model.n_heads)
        & (pp <= model.n_layers)
        & (cached_prefix < seq_len)
        & ((ep <= 1) | (divides(ep, model.n_experts) & (divides(ep, tp) | divides(tp, ep))))
        & ((fleet.fleet_size <= 0) | (replica * replicas <= fleet.fleet_size))
    )
    supported = (
        architecture.generates(model)
        & (hardware.peak_flops > 0)
        & ((model.max_context <= 0) | (seq_len + output_len <= model.max_context))
    )
    limit = first_failing(
        (shape, Limit.SHAPE),
        (supported, Limit.CAPABILITY),
        (in_memory >= 1.0, Limit.MEMORY),
        (keeps_up, Limit.SATURATION),
    )
    binding = np.where(
        (active >= slots) & (in_memory < max_batch), float(Bottleneck.CAPACITY), serve.bottleneck(full_step)
    )
    answer = ContinuousBatching(
        throughput=throughput * replicas,
        tokens_per_s=tokens_per_s * replicas,
        tokens_per_s_per_device=tokens_per_s / replica,
        ttft=ttft * assume.first_token_scatter,
        itl=itl * assume.token_scatter,
        itl_p99=itl_at(0.99) * assume.token_scatter,
        itl_at_capacity=token_at_most * assume.token_scatter,
        ttft_at_percentile=None if ttft_percentile is None else ttft_percentile * assume.first_token_scatter,
        itl_at_percentile=itl_at(percentile) * assume.token_scatter,
        e2e_at_percentile=e2e_percentile,
        e2e_latency=ttft + steps * itl,
        step_time=own_step,
        active_requests=active,
        max_active_requests=most,
        saturation_rate=saturation * replicas,
        queue_utilization=load,
        preemption_probability=batching.overflow_probability(active, pool, mean, deviation),
        fragmentation=1.0 - batching.usable_share(carried, page_size),
        contiguous_fragmentation=1.0 - carried / np.maximum(longest_booked, carried),
        paged_kv_size=paged,
        speedup_over_static=saturation / static_rate,
        memory_weights=held,
        memory_per_device=fixed + active * mean + shared,
        n_accelerators=replica * replicas,
        usd_per_mtok=serve.TOKENS_PER_MTOK * replica * device.hourly_price / tokens_per_s,
        joule_per_mtok=serve.TOKENS_PER_MTOK * replica * power / tokens_per_s,
        feasible=limit == 0,
        limit=limit,
        bottleneck=binding,
    )
    return where_possible(hardware.peak_flops > 0, answer)


def finite_rate(n_requests, slots, steps, new, room, added, decoding):
    """Requests per second of a run of `n_requests` queued at once: full rounds, then what is left."""
    batch = np.minimum(slots, n_requests)
    rounds = floor_div(n_requests, batch)
    left = n_requests - rounds * batch
    last = np.where(left > 0, decoding(np.maximum(left, 1.0)), 0.0)
    duration = n_requests * added + steps * (rounds * decoding(batch) + last)
    return n_requests / duration


ContinuousBatchingModel = Model("ContinuousBatchingModel", continuous_batching, domain="node", walls=(5,))
