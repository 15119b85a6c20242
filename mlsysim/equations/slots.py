"""Who waits for a slot of a server, or for the step that it is in, in an open loop and in a closed one.

References
----------
Kleinrock 1975, "Queueing Systems I" (birth and death of a population).
Kelly 1979, "Reversibility and Stochastic Networks" (shared service depends on no more of a law than its mean).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlsysim.equations import batching, waiting
from mlsysim.equations.queueing import HOPELESS, LOST
from mlsysim.equations.server import Server, decoding_time, mixed_time
from mlsysim.equations.stage import stage

if TYPE_CHECKING:
    from mlsysim.equations.loops import FullSteps, Loaded, Meeting

_MANY = 1e10  # clients; the sums have some 12 sqrt(N) terms


@stage(lanes=True)
def all_slots_taken(slots, load, growth, queue_load):
    """Probability that an arrival finds no slot, where a step grows with the requests in it.

    Requests share their server, each leaving after its number of steps, so that the number that runs is that of a birth and
    death: b of them leave at the rate ``b / t(b)``, with ``t(b)`` linear, and each that waits at the rate of a full server.  Of
    the length of answers only the mean counts below the last slot (Kelly 1979, shared service).  With a step that does not
    grow it is Erlang C.

    Parameters
    ----------
    slots : c, at least 1; between whole numbers the sum ends with a part of a state (1).
    load : arrivals over what c requests can leave at while prompts come as they arrive (1).
    growth : share of the step of c requests that comes with them, ``1 - t(0) / t(c)``, 0..1.
    queue_load : arrivals over those that a full server takes, rho (1); from 1 on everybody waits.

    Examples
    --------
    >>> round(float(all_slots_taken(10.0, 0.8, 0.0, 0.8)), 8)  # Erlang C of 10 servers and a load of 8
    0.40918015
    >>> round(float(all_slots_taken(10.0, 0.8, 0.5, 0.8)), 8)
    0.31752508
    """
    total = 1.0 if load > 0.0 and queue_load < 1.0 else HOPELESS  # over the states up to c, of which the last counts 1
    term = 1.0
    fixed = load * slots * (1.0 - growth)  # of ``load slots t(j) / t(c)``, and what each request adds
    each = load * growth
    j = slots
    while term > LOST * total and total < HOPELESS:  # the term of no request is 0, as are all after it
        leaving = fixed + each * j
        term *= j / (leaving if leaving > 0.0 else 1.0)
        total += term
        j = j - 1.0 if j > 1.0 else 0.0
    queue = 1.0 / (1.0 - queue_load)
    taken = queue / (total - 1.0 + queue) if total < HOPELESS else 0.0
    return 1.0 if queue_load >= 1.0 else (taken if queue_load < 1.0 and load == load else load + queue_load)


@stage
def wait_of_clients(slots, users, pause, growth):
    """Mean wait of clients for a slot, over the time that a request holds one of c (1): a queue with a finite source.

    Of N clients each comes back after its pause, so that the number n in the server is that of a birth and death: it grows at
    the rate ``(N - n) / Z`` and falls at ``m / S(m)`` with ``m = min(n, c)``, S linear (machine repair; Engset, whose service
    does not grow).  The wait is what Little's law makes of the n beyond c.  Clients that never pause keep ``N - c`` waiting.

    Parameters
    ----------
    slots : c, whole (1).
    users : N (1); beyond 1e10 of them chance no longer counts: ``max(N - c - c Z, 0)`` wait.
    pause : Z, over the time that a request holds one of c slots (1).
    growth : share of that time that comes with the requests beside it, ``1 - S(0) / S(c)``, 0..1.

    Examples
    --------
    >>> float(wait_of_clients(4.0, 6.0, 0.0, 0.0)), float(wait_of_clients(4.0, 4.0, 1.0, 0.0))
    (0.5, 0.0)
    >>> round(float(wait_of_clients(1.0, 2.0, 1.0, 0.0)), 9)  # as by mean values: R(2) = 1 + 1/2
    0.5
    """
    if users <= slots:
        return 0.0
    if not (users < math.inf and slots >= 1.0 and pause >= 0.0 and growth <= 1.0):
        return math.nan
    if pause <= 0.0:
        return (users - slots) / slots
    if users > _MANY:
        return max((users - slots) / slots - pause, 0.0)
    peak = slots + math.floor(max(users - slots * pause - slots, 0.0))  # where as many come as go
    total = 0.0
    queue = 0.0
    rate = 0.0
    term = 1.0
    n = peak
    while n <= users:  # upwards
        total += term
        queue += (n - slots) * term
        rate += slots * term
        n += 1.0
        term *= (users - n + 1.0) / (pause * slots)
        if term < LOST * total:
            break
    term = 1.0
    n = peak
    while n > 0.0:  # downwards: `held` is what a request takes with so many in the slots
        held = 1.0 - growth * max(1.0 - n / slots, 0.0)
        term *= min(n, slots) / held * pause / (users - n + 1.0)
        n -= 1.0
        total += term
        queue += max(n - slots, 0.0) * term
        rate += min(n, slots) / (1.0 - growth * max(1.0 - n / slots, 0.0)) * term if n > 0.0 else 0.0
        if total > HOPELESS:
            return 0.0
        if term < LOST * total:
            break
    return queue / rate


def slower_than_exponential(slots, load, scv):
    """Mean wait of those who wait, over that for work that is exponential: ``c^2 + (1 - c^2) (1 + x) / 2``.

    With constant work several servers save less than half: ``x = (1 - rho) (m - 1) (sqrt(4 + 5 m) - 2) / (16 rho m)``, no more
    than 1.

    Parameters
    ----------
    slots : servers, m.
    load : rho (1).
    scv : squared coefficient of variation of a request's work, c^2.

    References
    ----------
    Cosmetatos 1976, "Some approximate equilibrium results for the multi-server queue (M/G/r)"; Kimura 1994.

    Examples
    --------
    >>> float(slower_than_exponential(1.0, 0.5, 0.0)), round(float(slower_than_exponential(32.0, 0.72, 0.0)), 3)
    (0.5, 0.627)
    """
    several = (1.0 - load) * (slots - 1.0) * (np.sqrt(4.0 + 5.0 * slots) - 2.0) / np.maximum(16.0 * load * slots, 1e-30)
    return scv + (1.0 - scv) * 0.5 * (1.0 + np.minimum(np.maximum(several, 0.0), 1.0))


def slot_wait(server: Server, full: FullSteps, arrival_rate, decoding, step: Loaded):
    """Probability that all slots are taken when a request comes, and the mean wait for one of all requests (s).

    By the clock of decoding, which stands while prompts are computed, requests come in lots: with a share p of the time that
    one more prompt would stop it (`waiting.stalled_share`), those of a busy period of M/G/1, ``E[N^2] / E[N] =
    (1 + p^2 c^2) / (1 - p)^2``, c the variation of prompts.  Their number varies as that of so many fewer lots in so many
    fewer slots, ``z = 1 + (E[N^2] / E[N] - 1) E[min of two answers] / E[one]`` (M^X/G/inf).  Who waits does so for the requests
    ahead, see `slower_than_exponential`.

    Parameters
    ----------
    arrival_rate : requests per second.
    decoding : requests that decode, mean: how a step grows is seen from there to all slots.
    step : the steps that they meet.

    References
    ----------
    Takagi 1991, "Queueing Analysis" 1, chapter 1 (busy period); Holman, Chaudhry and Kashyap 1983 (M^X/G/inf).
    """
    load = arrival_rate / full.rate
    stable = load < 1.0
    asked = server.requests
    prompts = np.minimum(arrival_rate * full.added_time, 0.999)
    free = 1.0 - prompts
    held = np.where(stable, np.maximum(load - prompts, 0.0) / free, 1.0)
    fewer = np.minimum(decoding, 0.9 * full.decoders)
    growth = (1.0 - decoding_time(server, fewer) / full.step_time) / (1.0 - fewer / full.decoders)
    places = np.maximum(full.room / full.chunk, 1.0)
    steps = waiting.PromptSteps(step.one - step.none, step.further, places)
    stalls = waiting.stalled_share(steps, arrival_rate * full.chunks, step.one)
    met, moving = stalls * asked.prompt_cv, 1.0 - stalls
    shorter = waiting.shorter_of_two(asked.output_cv, asked.law)
    lots = 1.0 + ((1.0 + met * met) / (moving * moving) - 1.0) * shorter
    slots = np.maximum(server.slots - np.minimum(load, 1.0) * (server.slots - full.decoders), 1.0)  # without prompts
    taken = all_slots_taken(
        np.maximum(slots / lots, 1.0),
        held * np.minimum(full.decoders / slots, 1.0),
        np.minimum(np.maximum(growth, 0.0), 1.0),
        load,
    )
    of_prompt = np.minimum(full.rate * full.added_time, 1.0)  # share of a request's work
    prompt, answer = of_prompt * asked.prompt_cv, (1.0 - of_prompt) * asked.output_cv
    factor = slower_than_exponential(server.slots, load, prompt * prompt + answer * answer)
    return taken, np.where(stable, taken * factor / (full.rate * np.where(stable, 1.0 - load, 1.0)), np.inf)


def client_wait(server: Server, full: FullSteps, users, pause):
    """Wait of clients for a slot, mean (s), see `wait_of_clients`; how a step grows is seen from 0.9 of the slots.

    Parameters
    ----------
    users, pause : clients, and how long each is elsewhere between an answer and its next request (s).
    """
    held = server.slots / full.rate
    fewer = 0.9 * full.decoders
    shorter = server.decoded * decoding_time(server, fewer) + fewer * full.added_time
    growth = (1.0 - shorter / (server.decoded * full.step_time + full.decoders * full.added_time)) / 0.1
    return held * wait_of_clients(server.slots, users, pause / held, np.minimum(np.maximum(growth, 0.0), 1.0))


def step_wait(server: Server, full: FullSteps, others, others_all, own_step, token_time):
    """Wait for the end of the step that a request meets after a pause (s), see `waiting.met_steps`; none where all pause.

    Parameters
    ----------
    others, others_all : other requests that decode, mean, and other clients.
    own_step, token_time : a step that only decodes, and the mean one (s).
    """
    chunks_a_second = others * full.chunks / (np.maximum(server.decoded, 1.0) * token_time)
    met = waiting.met_steps(
        own_step, mixed_time(server, others, server.groups * full.chunk), 0.0, chunks_a_second, token_time
    )
    clients = np.maximum(others_all, 1.0)
    all_pause = np.exp(clients * np.log1p(-np.minimum(others / clients, 1.0 - 1e-12)))
    return (1.0 - all_pause) * met.residual


def poll_wait(server: Server, meeting: Meeting, others, token_time, addition):
    """Time until the scheduler takes a prompt, and that of the prompts that it takes with it (s).

    Parameters
    ----------
    others : other requests that decode, mean.
    token_time : time between tokens (s).
    addition : what one prompt adds to the steps that it shares (s).
    """
    looks = batching.steps_between_looks(server.assume.poll_steps, others)
    steps = np.maximum(looks, 0.5 * meeting.balancing)
    taken_with = np.minimum(others, 1.0) * meeting.polled_together * meeting.groups_with_prompt * addition
    return steps * token_time + taken_with
