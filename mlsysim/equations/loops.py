"""A server whose requests come and go step by step, under an open loop, a closed loop, and its maximum load.

A step decodes one token of every running request, and computes chunks of prompts beside them.  With b other requests
decoding, a prompt adds ``dT`` to the steps that it shares.  The mean batch follows from Little's law, solved over the
true, non-linear step (`steady.steady_state`, `batching.solve_increasing`).

Validity, against a simulation of the same steps (`tests/test_simulation.py`, 100 random loads: random arrivals up to 0.9 of
capacity, clients and queues up to all of it; in brackets how many): time between tokens within 5 % (100 of 100), first token
within 10 % (90 of 90); of 300 other loads 291, and 254 of 270.
Outside of that: prompts that a step has room for one and a half times; closed loops whose prompts, one by one, nearly fill the
steps; runs of some batches; and clients of equal answers, who keep together (first token up to thrice as late; published runs
lie between).

References
----------
Yu et al. 2022, "Orca" (OSDI); Kwon et al. 2023 (arXiv:2309.06180); Agrawal et al. 2024, "Sarathi-Serve"
(arXiv:2403.02310).  Reiser and Lavenberg 1980, "Mean-value analysis" (JACM 27) for the closed loop.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import batching, finite_runs, slots, waiting
from mlsysim.equations import serving as serve
from mlsysim.equations.server import Server, decoding_step, decoding_time, frontend_time, last_step_time, mixed_time
from mlsysim.equations.shared_steps import (
    FullSteps,
    Loaded,
    Meeting,
    balanced_decoders,
    chunk_time,
    prompt_addition,
    room_beside,
    uneven_time,
    with_room,
)
from mlsysim.equations.steady import steady_state

#: least tokens of an answer that are decoded; answers of one token have none
FEWEST = 1e-9


class Operation(NamedTuple):
    """How a server runs under a load."""

    throughput: Any  #: requests per second
    ttft: Any  #: mean time to the first token (s)
    ttft_at_percentile: Any  #: and what a share of requests stays below (s); None without an open loop
    itl: Any  #: mean time between tokens of a request (s)
    step_time: Any  #: a step that only decodes, as a running request sees it (s)
    active: Any  #: requests that run, mean
    load: Any  #: throughput over the maximum
    keeps_up: Any  #: does the queue have an end


# --- maximum load --------------------------------------------------------------------------------------


def full_steps(server: Server, together=1.0) -> FullSteps:
    """The steps of a server at its maximum load, where every step is filled with prompts (or all slots decode).

    Parameters
    ----------
    together : attention groups whose prompts come in the same steps; 1 where each has its own.
    """
    budget = server.groups * server.prefill_chunk
    balanced = balanced_decoders(server)
    asked = server.requests
    room = np.maximum(budget - np.minimum(balanced, server.slots), 1.0)
    chunks = waiting.mean_chunks(server.computed, asked.prompt_cv, room / server.groups, asked.law)
    chunk = server.computed / chunks
    decoding = np.maximum(server.decoded, 1.0)
    # a prompt holds its slot while it waits for the budget and is computed: of each request's steps, these write nothing
    silent = chunks + slots.budget_wait(server, room)
    decoders = np.minimum(balanced, np.maximum(server.slots * (decoding / (decoding + silent)), 0.5))
    step = decoding_step(server, np.maximum(decoders, 1.0))
    step_time = serve.total(step)
    prompt = server.computed / room
    prompt_steps = decoders * prompt  # while all write one answer: more than the answers have where these are short
    answer_steps = np.maximum(server.decoded, prompt_steps)
    uneven = uneven_time(server, room, decoders)
    one = mixed_time(server, decoders, server.groups * chunk) + uneven
    filled = mixed_time(server, decoders, room)
    most = np.maximum(room / (chunk * together), 1.0)
    prompts = waiting.PromptSteps(one - step_time, (filled - one) / np.where(most > 1.0, most - 1.0, 1.0), most)
    met = np.minimum(decoders * chunks / (np.maximum(answer_steps, 1.0) * together), most)  # chunks in a step
    longer = waiting.longer_step(prompts, met)
    added = longer * chunks / (met * together)
    return FullSteps(
        decoders=decoders,
        room=room,
        chunks=chunks,
        chunk=chunk,
        uneven=uneven,
        step=step,
        step_time=step_time,
        added_time=added,
        prompt_time=prompt * filled,
        prompt_step=one + prompts.further * met * (1.0 - 1.0 / most),
        token_time=step_time + longer,
        rate=decoders / (answer_steps * step_time + decoders * added),
    )


def maximum_load(server: Server, full: FullSteps, n_requests) -> Operation:
    """A server whose requests are all queued at once; `ttft` leaves out the wait in the queue.

    Answers of one length end together in all attention groups, so that the next prompts come to all of them in one step.

    Parameters
    ----------
    n_requests : requests of the run, whose last batch runs down; None for a queue without end.
    """
    if n_requests is not None:
        full = full_steps(server, np.where(server.requests.output_cv > 0, 1.0, server.groups))
    prompt = server.computed / full.room
    filled = np.minimum(full.decoders * prompt / np.maximum(server.decoded, 1.0), 1.0)
    chunks = waiting.chunks_among_others(full.chunks, server.groups * prompt, filled)
    return Operation(
        throughput=full.rate if n_requests is None else finite_runs.run_rate(server, full, n_requests),
        ttft=frontend_time(server) + chunks * full.prompt_step + last_step_time(server, full.step_time),
        ttft_at_percentile=None,
        itl=full.token_time if n_requests is None else finite_runs.run_token_time(server, full, n_requests),
        step_time=full.step_time,
        active=server.slots if n_requests is None else np.minimum(server.slots, n_requests),
        load=1.0,
        keeps_up=True,
    )


# --- open loop -----------------------------------------------------------------------------------------


def loaded(server: Server, full: FullSteps, requests) -> Loaded:
    """The steps of an open loop to which so many requests come, mean; ``b = n (S_out - 1)`` decode beside their prompts.

    Parameters
    ----------
    requests : that come in a step, n.
    """
    others = server.decoded * requests
    full = with_room(server, full, others, varying=1.0)
    chunks, most = full.chunks * requests, np.maximum(full.room / full.chunk, 1.0)
    # what decodes beside a request varies, and a step that reads more experts with each of them grows ever less
    none = waiting.over_poisson(lambda others: decoding_time(server, np.minimum(others + 1.0, server.slots)), others)
    one, filled = chunk_time(server, full, others + 1.0), mixed_time(server, others + 1.0, full.room)
    several = most > 1.0
    further = np.where(several, (filled - one) / np.where(several, most - 1.0, 1.0), 0.0)
    prompts = waiting.PromptSteps(one - none, further, most)

    def bunched(longer):
        """What prompts add where they have made the steps so much longer, and so more of them come."""
        return waiting.bunched_step(none, prompts, chunks, chunks / (none + longer), full.chunks)

    rough = waiting.longer_step(prompts, chunks)
    better = 0.5 * (rough + bunched(rough).longer)  # what is too long a step makes the next one too short
    found = bunched(better)
    mean = none + 0.5 * (better + found.longer)
    begin = -np.expm1(-requests / mean * none)
    token = mean + waiting.met_by_tokens(mean, found, begin, server.decoded)
    return Loaded(mean, none, one, further, filled, token, full.chunks)


def open_loop(server: Server, full: FullSteps, arrival_rate, percentile) -> Operation:
    """A server to which requests come at random (Poisson): ``b = lambda (S_out - 1) ITL(b + 1)``.

    Solved for the requests that come in a step, ``n = lambda t(n)``, beside which ``b = n (S_out - 1)`` decode; between the
    n of a table the steps are read, not computed (`steady.steady_state`): within 1 % of themselves for 96 of 100 loads.
    A prompt waits for the end of the step that it meets (`waiting.met_steps`; none where nothing runs), for the prompts
    before it where a step is full (M/G/1, served at the speed of full steps), for steps scheduled ahead, and for a slot
    (`slots.slot_wait`); prompts that come during the same step share its first step.

    Prompts of several attention groups share a step and queue for nobody of another group; they wait half of the time
    until the scheduler looks (`poll_steps`) or all groups have one (`balance_steps`).

    Parameters
    ----------
    arrival_rate : requests per second.
    percentile : of `ttft_at_percentile`, 0..1; the sum of the percentiles of its parts (on the safe side).
    """
    assume = server.assume
    load = arrival_rate / full.rate
    stable = load < 1.0
    most = np.minimum(full.decoders / np.maximum(server.decoded, FEWEST), full.room / server.computed)
    requests, step = steady_state(lambda requests: loaded(server, full, requests), arrival_rate, most)
    others, own_step, prefill = server.decoded * requests, step.none, step.chunks * step.one
    at_full, room = full, room_beside(server, others)
    full = full._replace(room=room, chunks=step.chunks, chunk=server.computed / step.chunks)
    chunk_rate = arrival_rate * full.chunks
    itl = np.where(stable, np.minimum(step.token, np.maximum(full.token_time, own_step)), full.token_time)
    filled = (server.computed / full.room) * step.filled
    busy = arrival_rate * filled
    prompt_wait = waiting.prefill_wait(busy, filled, server.requests.prompt_cv, full.room / server.computed)
    met = waiting.met_steps(step.none, step.one, step.further, chunk_rate, itl)
    running = -np.expm1(-(others + arrival_rate * prefill))  # something runs: a step is under way
    # of prompts that do not share a step, the wait behind others counts what is left of the one that is computed
    apart = waiting.places_factor(busy, full.room / server.computed)
    residual = running * (met.residual - apart * np.maximum(met.residual - 0.5 * step.none, 0.0))
    ahead = running * assume.scheduled_steps * itl
    together = (
        running * np.minimum(met.arrivals / full.chunks, full.room / full.chunk - 1.0) * step.further / full.chunks
    )
    all_taken, slot = slots.slot_wait(server, at_full, arrival_rate, others, step)
    late_wait = batching.wait_at_percentile(np.minimum(busy, 1.0), prompt_wait, percentile)
    late_wait = late_wait + batching.wait_at_percentile(all_taken, slot, percentile)
    balancing = batching.steps_to_balance(assume.balance_steps, server.groups, chunk_rate * itl, others)
    poll_wait = itl * np.maximum(batching.steps_between_looks(assume.poll_steps, others), 0.5 * balancing)
    front, last = frontend_time(server), last_step_time(server, own_step)
    # who begins behind another prompt begins anywhere in a step
    follows = np.minimum(busy, 1.0) * (1.0 - 1.0 / full.chunks)  # came before the last step of another
    behind = waiting.chunks_among_others(full.chunks, server.groups * server.computed / full.room, follows)
    # what its steps have left goes to those that come before the last of them
    come = 1.0 - (1.0 - follows) * np.exp(-arrival_rate * (full.chunks - 1.0) * step.one)
    left = full.chunks * np.maximum(step.filled - step.one, 0.0)
    left = left * come * np.minimum(full.chunks - 1.0, 1.0)
    first = prefill * (behind / full.chunks) + np.maximum(together, 0.0) + left
    late = front + late_wait + 2.0 * poll_wait + first + last + 2.0 * percentile * residual + ahead
    mean = front + prompt_wait + poll_wait + slot + first + last + residual + ahead
    return Operation(
        throughput=np.where(stable, arrival_rate, full.rate),
        ttft=np.where(stable, mean, np.inf),
        ttft_at_percentile=np.where(stable, late, np.inf),
        itl=itl,
        step_time=own_step,
        # by Little's law
        active=np.where(stable, np.minimum(arrival_rate * server.decoded * itl, server.slots), server.slots),
        load=load,
        keeps_up=stable & (busy < 1.0),  # prompts alone may outrun the steps
    )


# --- closed loop ---------------------------------------------------------------------------------------


def prompt_meeting(server: Server, full: FullSteps, users, think_time) -> Meeting:
    """How often prompts meet when all clients but one are decoding.

    Parameters
    ----------
    users, think_time : clients, and how long each waits between an answer and its next request (s).
    """
    assume = server.assume
    holders = np.minimum(users, server.slots)
    running = holders - 1.0
    step = decoding_time(server, running + 1.0)
    busy = np.maximum(server.decoded + full.chunks, 1.0)
    cycle = busy + think_time / step  # of a client, in steps
    prompts_a_step = np.minimum(users / cycle, holders / busy) * full.chunks
    balancing = batching.steps_to_balance(assume.balance_steps, server.groups, prompts_a_step, running)
    gathered = np.minimum(batching.at_least_one(prompts_a_step) + prompts_a_step * balancing, users)
    groups_with_prompt = batching.occupied(server.groups, gathered)
    group_users = np.maximum(users / server.groups, 1.0)  # prompts of other groups are in nobody's way
    prompts_per_step = np.maximum(server.prefill_chunk / server.computed, 1.0)
    found = np.minimum(np.maximum(assume.poll_steps - 1.0, 0.0) / cycle, 1.0) * (group_users - 1.0)
    together = np.minimum(1.0 + found, prompts_per_step)
    addition = prompt_addition(server, full, running + 1.0, groups_with_prompt, together)
    shared = np.minimum(running / np.maximum(server.decoded, 1.0), groups_with_prompt / full.chunks)

    places = np.maximum(full.room / (server.groups * full.chunk), 1.0)
    one, filled = chunk_time(server, full, running + 1.0), mixed_time(server, running + 1.0, full.room)
    further = (filled - one) / np.where(places > 1.0, places - 1.0, 1.0)
    # others whose prompts come in the same step: they share it, or wait for each other where it holds one prompt
    beside = prompts_a_step / (full.chunks * server.groups)
    beside = beside * ((1.0 - 1.0 / places) * further + (0.5 / places) * one) / (full.chunks * one)
    alike = server.requests.prompt_cv + server.requests.output_cv == 0
    prompt = groups_with_prompt * addition
    # who never pauses, or waits for a slot, comes at the end of a step, and meets none half done
    anywhere = (think_time + frontend_time(server) > 0) & (users <= server.slots)
    done = 0.5 + np.where(alike | anywhere, 0.0, 0.5 / full.chunks)

    def collisions(clients, pause):
        """Of so many clients of a group."""
        elsewhere = server.requests.output * (step + shared * addition) + pause
        met = batching.collision_factor(
            clients,
            prefill_time=prompt,
            elsewhere=elsewhere,
            length_cv=server.requests.prompt_cv + server.requests.output_cv,
            sharing=np.minimum(prompts_per_step, clients),
            servers=server.groups,
            done=done,
        )
        return np.where(alike, met, met + np.minimum(clients - 1.0, beside))

    # where clients wait for a slot, those that have one never pause
    group_holders = np.maximum(holders / server.groups, 1.0)
    met = np.minimum(collisions(group_users, think_time), collisions(group_holders, 0.0))
    return Meeting(
        groups_with_prompt=groups_with_prompt,
        polled_together=batching.seen_together(found, prompts_per_step),
        balancing=balancing,
        together=together,
        queue_factor=1.0 + np.minimum(met, group_holders - 1.0),
    )


def closed_loop(server: Server, full: FullSteps, users, think_time, requests_per_user) -> Operation:
    """A server with a number of clients, each with one request at a time: ``ITL = T(b + 1) + b dT / (S_out - 1)``.

    b is the share of the others' cycle that is spent decoding.  A request after a pause (the front end is one) waits for the
    step that it meets and for those scheduled ahead.  A front end takes in turn who comes together: all clients at the start,
    and for ever where lengths are equal.

    Parameters
    ----------
    users, think_time : clients, and how long each waits between an answer and its next request (s).
    requests_per_user : requests of each in a run that starts all of them together; None in the steady state.
    """
    others_all = users - 1.0
    most_others = np.minimum(others_all, server.slots - 1.0)
    first_wave = 0.0 if requests_per_user is None else 1.0 / requests_per_user
    addition_share = (1.0 - first_wave) / np.maximum(server.decoded, 1.0)
    at_full, full = full, with_room(server, full, np.minimum(most_others, full.decoders))
    meeting = prompt_meeting(server, full, users, think_time)
    most_chunks = np.maximum(full.room / (server.groups * full.chunk), 1.0)

    def at(others):
        """A decoding step, the time between tokens, and what one prompt adds, with so many others."""
        step = decoding_time(server, others + 1.0)
        addition = prompt_addition(server, full, others + 1.0, meeting.groups_with_prompt, meeting.together)
        one = addition * meeting.groups_with_prompt / full.chunks
        filled = mixed_time(server, others + 1.0, full.room) - step

        def longer(others):
            """What prompts add to a step."""
            chunks = others * addition_share * full.chunks / meeting.groups_with_prompt  # of each group with one
            first, further = np.minimum(chunks, 1.0), np.maximum(np.minimum(chunks, most_chunks) - 1.0, 0.0)
            return first * one + further * (filled - one) / np.maximum(most_chunks - 1.0, 1e-9)

        # others, as the steps meet them: prompts take more of the time than of the steps
        of_prompts = meeting.queue_factor * full.chunks
        prefill = of_prompts * (one + step) / (step + longer(others))
        decoded = np.maximum(server.decoded, 1.0)
        token = step + longer(others * (decoded + prefill) / (decoded + of_prompts))
        # prompts of the first wave fill their steps; half of them come after one's own
        bunched = np.minimum((server.computed / full.room) * filled, addition)
        later = np.maximum(others + 1.0 - np.maximum(full.room / server.computed, 1.0), 0.0)
        return step, token + 0.5 * first_wave * later * bunched / decoded, addition

    def surplus(others):
        step, token, addition = at(others)
        prefill = meeting.queue_factor * (meeting.groups_with_prompt * addition + full.chunks * step)
        first = prefill + slots.poll_wait(server, meeting, others, token, addition)
        decode = np.maximum(server.decoded * token, 1e-12)  # in clients, not in time: that is close to a straight line
        slots_taken = others * (1.0 + first / decode)  # who has a slot never pauses
        all_back = others * (1.0 + (think_time + first) / decode) * most_others / np.maximum(others_all, 1e-9)
        return np.maximum(all_back, slots_taken) - most_others

    others = batching.solve_increasing(surplus, 0.0 * most_others, most_others, at_low=-most_others)
    own_step, token, addition = at(others)
    first = meeting.queue_factor * full.chunks * chunk_time(server, full, others) + last_step_time(server, own_step)
    first = first + slots.poll_wait(server, meeting, others, token, addition)
    waits = slots.step_wait(server, full, others, others_all, own_step, token)
    waits = waits + server.assume.scheduled_steps * np.minimum(others, 1.0) * token
    first = first + np.where(think_time + frontend_time(server) > 0, waits, 0.0)
    cold = finite_runs.first_use(server, users)
    started = finite_runs.first_wave_ttft(server, users, decoding_time(server, most_others + 1.0)) + cold.ttft
    at_once = np.where(server.requests.prompt_cv + server.requests.output_cv > 0, first_wave, 1.0)
    front = frontend_time(server) + at_once * server.assume.frontend_client_time * users
    ttft_with_slot = front + (1.0 - first_wave) * first + first_wave * started
    itl = np.minimum(token, np.maximum(at_full.token_time, own_step)) + first_wave * cold.itl
    ttft_with_slot = ttft_with_slot + slots.client_wait(server, at_full, users, think_time + front)
    throughput = np.minimum(users / (think_time + ttft_with_slot + server.decoded * itl), at_full.rate)
    to_the_end, ended = throughput, 0.0
    if requests_per_user is not None:
        here = np.maximum(users - throughput * think_time, 1.0)  # clients that do not pause
        ended = finite_runs.ended_clients(server, here, requests_per_user)
        to_the_end = finite_runs.to_the_end(server, throughput, users, requests_per_user)
    ttft_in_queue = np.maximum(users / throughput - think_time - server.decoded * itl, ttft_with_slot)
    prompts_fill = balanced_decoders(server) < server.slots * (server.decoded / (server.decoded + at_full.chunks))
    return Operation(
        throughput=to_the_end,
        ttft=np.where(prompts_fill, ttft_in_queue, ttft_with_slot),
        ttft_at_percentile=None,
        itl=itl - ended,
        step_time=own_step,
        active=np.minimum(others + 1.0, server.slots),
        load=throughput / at_full.rate,
        keeps_up=throughput <= at_full.rate,
    )
