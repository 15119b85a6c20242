"""Who waits for a slot of a server, or for the step that it is in, in an open loop and in a closed one.

References
----------
Kleinrock 1975, "Queueing Systems I" (birth and death of a population).
Kelly 1979, "Reversibility and Stochastic Networks" (shared service depends on no more of a law than its mean).
"""

import math

import numpy as np

from mlsysim.equations import batching, waiting
from mlsysim.equations.queueing import HOPELESS, LOST
from mlsysim.equations.server import Server, decoding_time
from mlsysim.equations.shared_steps import FullSteps, Loaded, Meeting, chunk_time
from mlsysim.equations.stage import stage

_MANY = 1e10  # clients
_ONE_BY_ONE = 1024.0  # states that are summed one by one; as many again two by two, and so on


@stage(lanes=True)
def all_slots_taken(slots, load, growth, queue_load, below):
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
    below : time of a state with a free slot over that of the same state here (1).

    Examples
    --------
    >>> round(float(all_slots_taken(10.0, 0.8, 0.0, 0.8, 1.0)), 8)  # Erlang C of 10 servers and a load of 8
    0.40918015
    >>> round(float(all_slots_taken(10.0, 0.8, 0.5, 0.8, 1.0)), 8)
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
    taken = queue / ((total - 1.0) * below + queue) if total < HOPELESS else 0.0
    return 1.0 if queue_load >= 1.0 else (taken if queue_load < 1.0 and load == load else load + queue_load)


@stage
def wait_of_clients(slots, users, pause, growth, spread):
    """Mean wait of clients for a slot, over the time that a request holds one of c (1): a queue with a finite source.

    Of N clients each comes back after its pause, so that the number n in the server is that of a birth and death: it grows at
    the rate ``(N - n) / Z`` and falls at ``m / S(m)`` with ``m = min(n, c)``, S linear (machine repair; Engset, whose service
    does not grow).  How often all slots are taken depends on no more of a law than its mean, but work that varies less is then
    done at steadier times: n diffuses by less, and the ratio of neighbours, ``births / deaths``, has the power 1/v (as the
    density of a diffusion, ``exp`` of the integral of ``2 drift / variance``).  The wait is what Little's law makes of the n
    beyond c.  Clients that never pause keep ``N - c`` waiting.

    Parameters
    ----------
    slots : c, whole (1).
    users : N (1); beyond 1e10 of them chance no longer counts: ``max(N - c - c Z, 0)`` wait.
    pause : Z, over the time that a request holds one of c slots (1).
    growth : share of that time that comes with the requests beside it, ``1 - S(0) / S(c)``, 0..1.
    spread : variance of arrivals and departures over that of exponential work, v: ``(1 + c^2) / 2``, above 0.

    References
    ----------
    Iglehart 1965, "Limiting diffusion approximations for the many server queue and the repairman problem".

    Examples
    --------
    >>> float(wait_of_clients(4.0, 6.0, 0.0, 0.0, 1.0)), float(wait_of_clients(4.0, 4.0, 1.0, 0.0, 1.0))
    (0.5, 0.0)
    >>> round(float(wait_of_clients(1.0, 2.0, 1.0, 0.0, 1.0)), 9)  # as by mean values: R(2) = 1 + 1/2
    0.5
    """
    if users <= slots:
        return 0.0
    if not (users < math.inf and slots >= 1.0 and pause >= 0.0 and growth <= 1.0 and spread > 0.0):
        return math.nan
    if pause <= 0.0:
        return (users - slots) / slots
    if users > _MANY:
        return max((users - slots) / slots - pause, 0.0)
    peak = slots + math.floor(max(users - slots * pause - slots, 0.0))  # where as many come as go
    taken = 0.0  # states in which no slot is free
    spread_taken = 0.0  # and as they are spread
    queue = 0.0
    term = 1.0
    spread_term = 1.0
    n = peak
    alike = 1.0  # states that are summed as one: few against the distance to the peak
    while n <= users:  # upwards
        if alike == 1.0:
            births = (users - n) / (pause * slots)
            taken += term
            spread_taken += spread_term
            queue += (n - slots) * spread_term
            term *= births
            spread_term *= math.exp(math.log(births) / spread) if births > 0.0 else 0.0
        else:
            alike = min(alike, users - n + 1.0)
            beyond = 0.5 * (alike - 1.0)
            births = math.log(max((users - n - beyond) / (pause * slots), 1e-300))
            middle = alike * spread_term * math.exp(beyond * births / spread)
            taken += alike * term * math.exp(beyond * births)
            spread_taken += middle
            queue += (n + beyond - slots) * middle
            term *= math.exp(alike * births)
            spread_term *= math.exp(alike * births / spread)
        if term < LOST * taken and spread_term < LOST * spread_taken:
            break
        n += alike
        if n - peak >= _ONE_BY_ONE * alike:
            alike *= 2.0
    term = 1.0
    spread_term = 1.0
    n = peak
    alike = 1.0
    while n > slots:  # downwards, as long as somebody waits
        if alike == 1.0:
            deaths = slots * pause / (users - n + 1.0)
            n -= 1.0
            term *= deaths
            spread_term *= math.exp(math.log(deaths) / spread) if deaths > 0.0 else 0.0
            taken += term
            spread_taken += spread_term
            queue += (n - slots) * spread_term
        else:
            alike = min(alike, math.ceil(n - slots))
            beyond = 0.5 * (alike - 1.0)
            deaths = math.log(max(slots * pause / (users - n + beyond + 1.0), 1e-300))
            n -= alike
            middle = alike * spread_term * math.exp((beyond + 1.0) * deaths / spread)
            taken += alike * term * math.exp((beyond + 1.0) * deaths)
            spread_taken += middle
            queue += (n + beyond - slots) * middle
            term *= math.exp(alike * deaths)
            spread_term *= math.exp(alike * deaths / spread)
        if term < LOST * taken and spread_term < LOST * spread_taken:
            break
        if peak - n >= _ONE_BY_ONE * alike:
            alike *= 2.0
    total = taken
    rate = slots * taken
    while n > 0.0 and n <= slots and term >= LOST * total:  # and where none waits: `held` is what a request takes then
        held = 1.0 - growth * max(1.0 - n / slots, 0.0)
        term *= n / held * pause / (users - n + 1.0)
        n -= 1.0
        total += term
        rate += n / (1.0 - growth * max(1.0 - n / slots, 0.0)) * term if n > 0.0 else 0.0
        if total > HOPELESS:
            return 0.0
    return queue / spread_taken * taken / rate


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


def budget_wait(server: Server, room):
    """Steps for which a slot that got free stays empty at the maximum load, since prompts before it fill the steps.

    Mean values of a closed queue (`batching.collision_factor`): slots that decode for an answer, and a budget that a prompt
    fills for ``X/m`` steps; several prompts to a step make fewer wait (`waiting.places_factor`).

    Parameters
    ----------
    room : tokens of prompts that a step takes, all groups.
    """
    filled = server.groups * server.computed / room
    of_group = np.maximum(server.slots / server.groups, 1.0)
    cv = server.requests.prompt_cv
    met = batching.collision_factor(
        of_group,
        prefill_time=filled,
        elsewhere=np.maximum(server.decoded, 1.0),
        length_cv=1.0,
        sharing=1.0,
        servers=server.groups,
        done=0.5 - 0.5 * cv * cv,
    )
    busy = np.minimum(of_group * filled / np.maximum(server.decoded, 1.0), 1.0)
    return np.minimum(met, of_group - 1.0) * filled * waiting.places_factor(busy, 1.0 / filled)


def work_scv(server: Server, full: FullSteps):
    """Squared coefficient of variation of the work of a request, prompt and answer (1)."""
    of_prompt = np.minimum(full.rate * full.added_time, 1.0)  # share of it
    prompt, answer = of_prompt * server.requests.prompt_cv, (1.0 - of_prompt) * server.requests.output_cv
    return prompt * prompt + answer * answer


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
    # a lot ends with the last slot, where no prompt waits for another; and prompts of a full server take more of the time
    alone = waiting.places_factor(np.minimum(stalls, 1.0), places)
    below = (lots + alone * (1.0 - lots)) * (np.maximum(1.0 - full.rate * full.added_time, 0.001) / free)
    slots = np.maximum(server.slots - np.minimum(load, 1.0) * (server.slots - full.decoders), 1.0)  # without prompts
    taken = all_slots_taken(
        np.maximum(slots / lots, 1.0),
        held * np.minimum(full.decoders / slots, 1.0),
        np.minimum(np.maximum(growth, 0.0), 1.0),
        load,
        below,
    )
    factor = slower_than_exponential(server.slots, load, work_scv(server, full))
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
    growth, spread = np.minimum(np.maximum(growth, 0.0), 1.0), 0.5 * (1.0 + work_scv(server, full))
    return held * wait_of_clients(server.slots, users, pause / held, growth, spread)


def step_wait(server: Server, full: FullSteps, others, others_all, own_step, token_time):
    """Wait for the end of the step that a request meets after a pause (s), see `waiting.met_steps`; none where all pause.

    Parameters
    ----------
    others, others_all : other requests that decode, mean, and other clients.
    own_step, token_time : a step that only decodes, and the mean one (s).
    """
    chunks_a_second = others * full.chunks / (np.maximum(server.decoded, 1.0) * token_time)
    met = waiting.met_steps(own_step, chunk_time(server, full, others), 0.0, chunks_a_second, token_time)
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
