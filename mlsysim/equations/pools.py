"""A cluster whose prefill and decode run apart, under an open loop, a closed loop, and its maximum load.

A request waits for a prefill replica, is prefilled, its cache moves, it waits for a slot, and decodes: stages in a row, of
which the slowest sets the rate.  What is decoding follows from Little's law, ``D b = X J t(b)``, solved over the true step.

References
----------
Zhong et al. 2024, "DistServe" (arXiv:2401.09670); Patel et al. 2024, "Splitwise" (arXiv:2311.18677); Reiser and Lavenberg
1980, "Mean-value analysis" (JACM 27) for the closed loop.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import cache_transfer, dealing, decode_pool, prefill_pool, sharding
from mlsysim.equations.batching import solve_increasing
from mlsysim.equations.decode_pool import Decode
from mlsysim.equations.local_prefill import beside, remote_share
from mlsysim.equations.prefill_pool import Prefill
from mlsysim.schema.codes import FirstToken

#: share of the clients' cycle below which what is left of it is rounding
EXACT = 1e-9
#: rounds of a solution over the batch: seven leave no error that shows
ROUNDS = 7


class Transfer(NamedTuple):
    """How caches move between the pools."""

    moving: Any  #: of one prompt on the links (s)
    latency: Any  #: before anything moves (s)
    pieces: Any  #: in which a cache leaves while it is computed
    rate: Any  #: caches per second that all links carry


def transfer_between(
    way: cache_transfer.Path, nbytes, senders, receivers, of_prefill, of_decode, *, pieces, latency
) -> Transfer:
    """How caches of some size move between two pools.

    Parameters
    ----------
    nbytes : of one prompt's cache, all copies (byte).
    senders, receivers : devices of the attention group that prefills, and of the one that decodes.
    of_prefill, of_decode : devices of each pool; the fewer of them carry all caches.
    pieces : in which a cache leaves while it is computed.
    latency : before anything moves, beside that of the links (s).
    """
    return Transfer(
        moving=cache_transfer.moving_time(nbytes, way.bandwidth, senders, receivers),
        latency=way.latency + latency,
        pieces=pieces,
        rate=way.bandwidth * np.minimum(of_prefill, of_decode) / nbytes,
    )


class Cluster(NamedTuple):
    """Pools of prefill and decode."""

    prefill: Prefill
    decode: Decode
    transfer: Transfer
    front: Any  #: time of a request before an engine sees it (s)
    first_token_from: Any  #: `FirstToken`
    output_cv: Any  #: coefficient of variation of answers
    kept: Any = np.inf  #: caches of computed prompts that can wait in the prefill pool
    blocking: Any = None  #: do decode replicas stand still while caches come in; None: no

    @property
    def remote(self):
        """Share of requests that the prefill pool computes."""
        return remote_share(self.decode.local)


class Parts(NamedTuple):
    """The way of a request to its first decoding step (s)."""

    wait: Any  #: for a prefill replica
    prefill: Any
    transfer: Any  #: what the prefill does not hide
    slot: Any  #: wait for a place in the decode pool, and for the step under way there


class Operation(NamedTuple):
    """How a cluster runs under a load."""

    throughput: Any  #: requests per second
    parts: Parts
    ttft: Any
    ttft_at_percentile: Any  #: None without an open loop
    itl: Any  #: mean time between tokens of a request (s)
    step_time: Any  #: a step that decodes, per token (s)
    e2e: Any  #: of a whole request (s)
    active: Any  #: requests that decode in one replica
    keeps_up: Any  #: does the queue have an end
    caches: Any  #: of computed prompts that wait in the prefill pool or move, mean


class Capacity(NamedTuple):
    """Requests per second that each stage takes at most (1/s)."""

    prefill: Any
    transfer: Any
    decode: Any  #: with all slots taken


def capacity(cluster: Cluster) -> Capacity:
    """Requests per second that each stage takes at most."""
    decode = cluster.decode
    token = met_token(cluster, decode.slots, decode_pool.token_time(decode, decode.slots))
    full = decode_pool.decode_rate(decode, decode.slots, token)
    return Capacity(
        prefill_pool.prefill_rate(cluster.prefill) / cluster.remote, cluster.transfer.rate / cluster.remote, full
    )


def met_token(cluster: Cluster, batch, token):
    """Time between tokens of requests that meet others who join: ``t (1 + a k) + q (l + m) / r`` (s).

    An attention group may sit out ``a`` of the replica's steps when requests join it (`joining_steps`).  Prefill steps of n
    prompts send these to D g groups together, so that a group has some of them with ``1 - exp(-n / (D g))``, and joins
    ``k = D b / (J n) (1 - exp(-n / (D g)))`` times for each step that one of its requests makes.  One group alone joins
    and steps at once.

    A replica that stands still while caches come in (`blocking`) waits in each step for those of q requests, one after another
    in a group and the groups side by side: of ``b / J`` requests to a step those of the fullest group.

    Parameters
    ----------
    batch : b, requests that decode in each replica.
    token : t, between tokens without this (s).
    """
    decode, prefill, transfer = cluster.decode, cluster.prefill, cluster.transfer
    missed = decode.assume.joining_steps
    groups = sharding.attention_groups(decode.layout[0], decode.layout[2])
    a_step = batch / decode.decoded * decode.per_round  # requests of a replica that end, and join, while one steps once
    rate = np.minimum(
        decode_pool.decode_rate(decode, batch, token) * cluster.remote, prefill_pool.prefill_rate(prefill)
    )
    together = prefill_pool.mean_step(prefill, rate / prefill.replicas)
    reached = 1.0 - np.exp(-together / (decode.replicas * groups))
    longer = token * (1.0 + missed * (decode.replicas * a_step / together) * reached)
    met = np.where((missed > 0) & (groups > 1), longer, token)
    if cluster.blocking is None:
        return met
    received = np.minimum(a_step, dealing.fullest(groups, np.maximum(a_step, 1.0))) * cluster.remote
    standing = received * (transfer.latency + transfer.moving) / decode.per_round
    return met + np.where(cluster.blocking > 0, standing, 0.0)


def let_through_rate(cluster: Cluster):
    """Requests per second that prefill and the links let through at most."""
    return np.minimum(prefill_pool.prefill_rate(cluster.prefill), cluster.transfer.rate) / cluster.remote


def on_the_way(cluster: Cluster, rate, batch, token, users=None) -> tuple[Parts, prefill_pool.Waiting]:
    """Waits and times up to the first decoding step, where requests come at random and slots are free.

    Parameters
    ----------
    rate : requests per second as an arrival sees them.
    batch : requests that decode beside it in its replica.
    token : time between tokens (s).
    users : clients of a closed loop.
    """
    local = cluster.decode.local
    met = prefill_pool.prompt_wait(cluster.prefill, rate * cluster.remote, users)
    moving = cluster.transfer.moving * prefill_pool.sharing(cluster.prefill, met.prompts)
    exposed = cache_transfer.behind_pieces(moving, met.step, cluster.transfer.pieces)
    joining = 0.5 * token * np.minimum(batch, 1.0)  # the end of the step under way
    return Parts(
        beside(local, met.wait, 0.0),
        met.step if local is None else beside(local, met.step, local.time),
        beside(local, cluster.transfer.latency + exposed, 0.0),
        joining,
    ), met


def _answered(cluster: Cluster, parts: Parts, token, **rest) -> Operation:
    """The times that a client sees: `FirstToken` says which pool answers first."""
    by_prefill = cluster.first_token_from == FirstToken.PREFILL
    decoded = cluster.decode.decoded
    parts, caches = held_back(cluster, parts, rest["throughput"])
    computed = cluster.front + parts.wait + parts.prefill
    joined = parts.transfer + parts.slot
    late = rest.pop("late", None)
    return Operation(
        parts=parts,
        ttft=np.where(by_prefill, computed, computed + joined + token),
        ttft_at_percentile=None
        if late is None
        else cluster.front + late.wait + late.prefill + np.where(by_prefill, 0.0, late.transfer + late.slot + token),
        itl=token + np.where(by_prefill, joined / decoded, 0.0),
        step_time=token,
        e2e=computed + joined + decoded * token,
        caches=caches,
        **rest,
    )


def held_back(cluster: Cluster, parts: Parts, rate) -> tuple[Parts, Any]:
    """Backpressure: prompts that wait for slots beyond those whose caches the prefill pool can keep wait before their prefill.

    Returns
    -------
    Parts, and the mean number of caches that wait or move.
    """
    moved = np.where(rate > 0, cluster.kept / np.where(rate > 0, rate * cluster.remote, 1.0), np.inf) - parts.transfer
    beyond = np.where(parts.slot > moved, parts.slot - np.maximum(moved, 0.0), 0.0)
    parts = parts._replace(wait=parts.wait + beyond, slot=np.where(beyond > 0, np.maximum(moved, 0.0), parts.slot))
    return parts, rate * cluster.remote * (parts.transfer + parts.slot)


def closed_loop(cluster: Cluster, users, think_time, requests_per_user) -> Operation:
    """A number of clients, each with one request at a time: ``N = X (Z + wait + prefill + transfer + slot + J t)``.

    All who neither decode nor think stand in front of the stage that is full.

    Parameters
    ----------
    users, think_time : clients, and how long each waits between an answer and its next request (s).
    requests_per_user : requests of each in a run that starts all of them together; None in the steady state.
    """
    decode = cluster.decode
    others = (users - 1.0) / users
    most = let_through_rate(cluster)
    places = decode_pool.places(decode, users)
    full = decode.slots
    for at_random in (decode.random, decode.dealt):
        full = full if at_random is None else np.where(at_random > 0, places, full)

    def token_time(batch):
        """Time between tokens as requests meet it."""
        free = 1.0 - np.minimum(decode.replicas * batch / users, 1.0)
        token = decode_pool.token_time(decode, decode_pool.met_batch(decode, batch, others, free))
        return met_token(cluster, batch, token)

    def way(batch):
        """Time between tokens, rate, and the way to the first step."""
        token = token_time(batch)
        rate = decode_pool.decode_rate(decode, batch, token)
        seen = rate * others
        if requests_per_user is not None:
            seen = np.maximum(seen, others * in_step(cluster, rate, token, users, requests_per_user))
        seen = np.minimum(seen, most * (1.0 - 0.5 / users))
        parts, _ = on_the_way(cluster, seen, batch * others, token, users)
        if requests_per_user is not None:
            parts = parts._replace(wait=parts.wait * out_of_step(cluster, rate, token))
        return token, rate, parts

    def let_through(batch):
        """What decodes beyond what the stages before let through."""
        return batch - most * decode.decoded * token_time(batch) / decode.replicas

    def surplus(batch):
        """What decodes beyond the share of the clients' cycle."""
        token, _, parts = way(batch)
        cycle = think_time + cluster.front + sum(parts) + decode.decoded * token
        return batch - users / cycle * decode.decoded * token / decode.replicas

    room = solve_increasing(let_through, 0.0 * places, places, ROUNDS)
    batch = solve_increasing(surplus, 0.0 * room, room, ROUNDS)
    token, rate, parts = way(batch)
    rate = np.minimum(rate, most)
    left = users / rate - (think_time + cluster.front + sum(parts) + decode.decoded * token)
    left = np.where(left * rate > EXACT * users, left, 0.0)  # waits of those who find a stage full
    slots = batch >= full * (1.0 - EXACT)
    moves = np.logical_not(slots) & (cluster.transfer.rate < prefill_pool.prefill_rate(cluster.prefill))
    parts = parts._replace(
        wait=parts.wait + np.where(slots | moves, 0.0, left),
        transfer=parts.transfer + np.where(moves, left, 0.0),
        slot=parts.slot + np.where(slots, left, 0.0),
    )
    if requests_per_user is not None:
        parts = with_first_wave(cluster, parts, token, users, requests_per_user, full)
        rate = users / (think_time + cluster.front + sum(parts) + decode.decoded * token)
        batch = rate * decode.decoded * token / decode.replicas
    return _answered(cluster, parts, token, throughput=rate, active=batch, keeps_up=True)


def in_step(cluster: Cluster, rate, token, users, requests_per_user):
    """Prompts per second as a prompt meets them in a run whose clients start together (1/s).

    The first prompts leave the prefill pool within ``N / (P mu)``, a step after the other, and their clients come back as
    close to each other, until unequal answers have spread them by ``s = c J t sqrt(r)`` after r of them: a normal density,
    which meets itself at ``1 / (2 sqrt(pi) s)``.  The mean of that over a run of R is that at R / 4.  Together they come
    within ``d = sqrt((N / (P mu))^2 + 4 pi s^2)``, of which what is left of a cycle of ``N / X`` is free of them:
    ``X + (1 - 1/n*) (1 - d X / N)^2 N / d``.  Prompts that were computed one by one come one by one, and do not meet.

    Parameters
    ----------
    rate : requests per second of the run.
    token : time between tokens (s).
    users, requests_per_user : clients, and requests of each.
    """
    prefill = cluster.prefill
    apart = users * cluster.remote / prefill_pool.prefill_rate(prefill)
    spread = cluster.output_cv * cluster.decode.decoded * token * np.sqrt(0.25 * requests_per_user)
    lasts = np.sqrt(apart * apart + 4.0 * np.pi * spread * spread)
    free = np.maximum(1.0 - lasts * rate / users, 0.0)
    return rate + (1.0 - 1.0 / prefill.most) * free * free * users / lasts


#: spread of the times between visits of a client, over the time between two prompts, at which prompts that are computed one by
#: one wait half as long as if they came at random: chosen with simulated clusters in view
HALF_ORDERED = 0.4


def out_of_step(cluster: Cluster, rate, token):
    """Wait of prompts whose clients start together over that of prompts that come at random: ``1 - (1 - u / (u + 0.4)) / n*``.

    Prompts that were computed one by one come back one by one: they wait only as far as unequal answers, ``s = c J t``, bring
    them out of step, ``u = s X``.  Of steps with many prompts all come at once.

    Parameters
    ----------
    rate : requests per second, X.
    token : time between tokens (s).
    """
    spread = cluster.output_cv * cluster.decode.decoded * token * rate
    ordered = HALF_ORDERED / (spread + HALF_ORDERED) / cluster.prefill.most
    random = cluster.prefill.random
    return 1.0 - (ordered if random is None else np.where((random > 0) & (cluster.prefill.replicas > 1), 0.0, ordered))


def with_first_wave(cluster: Cluster, parts: Parts, token, users, requests_per_user, places) -> Parts:
    """Waits over a run in which all clients start together: their first prompts are a burst, and fill the slots one by one.

    Who is prefilled after all slots are taken waits until the first answers end, ``J t - D m / (P mu)``.

    Parameters
    ----------
    token : time between tokens (s).
    users, requests_per_user : clients, and requests of each.
    places : requests that a replica holds at most (`decode_pool.places`).
    """
    decode = cluster.decode
    slots = decode.replicas * places
    burst = prefill_pool.first_burst(cluster.prefill, np.maximum(users * cluster.remote, 1.0))
    if decode.local is not None:  # one after the other in each replica
        each = 0.5 * (users * decode.local.share / decode.replicas + 1.0)
        burst = beside(decode.local, burst, decode.local.time * np.maximum(each, 1.0))
    burst = np.maximum(burst - parts.prefill, 0.0)
    beyond = np.maximum(1.0 - slots / users, 0.0)
    queued = beyond * np.maximum(decode.decoded * token - slots / let_through_rate(cluster), 0.0)
    share = 1.0 / requests_per_user
    return parts._replace(
        wait=parts.wait + share * (burst - parts.wait), slot=parts.slot + share * (queued - parts.slot)
    )


def open_loop(cluster: Cluster, arrival_rate, percentile) -> Operation:
    """Requests that come at random (Poisson): ``D b = l J t(b)``.

    Parameters
    ----------
    arrival_rate : requests per second of the whole cluster, l.
    percentile : share of requests that `ttft_at_percentile` covers; percentiles of several parts are added up (safe side).
    """
    decode = cluster.decode
    steps = arrival_rate * decode.decoded / decode.replicas  # that a replica makes a second, of all its requests

    def token_time(batch):
        return met_token(cluster, batch, decode_pool.token_time(decode, decode_pool.met_batch(decode, batch)))

    def surplus(batch):
        return batch - steps * token_time(batch)

    least, most = (steps * token_time(batch) for batch in (0.0 * decode.slots, decode.slots))
    batch = solve_increasing(surplus, np.minimum(least, decode.slots), np.minimum(most, decode.slots), ROUNDS)
    return at_random(cluster, arrival_rate, batch, token_time(batch), percentile)


def held_loop(cluster: Cluster, batch, percentile) -> Operation:
    """An open loop at the rate that keeps some requests decoding in each replica: ``l = D b / (J t(b))``.

    Parameters
    ----------
    batch : b, requests that decode in each replica, mean; fewer than its slots.
    percentile : as in `open_loop`.
    """
    token = decode_pool.token_time(cluster.decode, decode_pool.met_batch(cluster.decode, batch))
    token = met_token(cluster, batch, token)
    return at_random(cluster, decode_pool.decode_rate(cluster.decode, batch, token), batch, token, percentile)


def at_random(cluster: Cluster, arrival_rate, batch, token, percentile) -> Operation:
    """An open loop whose batch is known; parameters as in `open_loop` and `on_the_way`."""
    at_most = capacity(cluster)
    most = np.minimum(at_most.prefill, at_most.transfer)
    stable = arrival_rate < np.minimum(most, at_most.decode)
    rate = np.minimum(arrival_rate, np.minimum(most, at_most.decode))
    parts, met = on_the_way(cluster, np.minimum(arrival_rate, most * (1.0 - EXACT)), batch, token)
    slots_free = arrival_rate < at_most.decode
    waiting = decode_pool.slot_wait(cluster.decode, np.where(slots_free, rate, 0.0), batch, token, cluster.output_cv)
    for_prefill, for_slot = np.where(arrival_rate < most, 0.0, np.inf), np.where(slots_free, 0.0, np.inf)
    late = parts._replace(
        wait=for_prefill + prefill_pool.wait_at(met, percentile),
        slot=for_slot + 2.0 * percentile * parts.slot + decode_pool.slot_wait_at(waiting, percentile),
    )
    parts = parts._replace(wait=for_prefill + parts.wait, slot=for_slot + parts.slot + waiting.mean)
    return _answered(cluster, parts, token, late=late, throughput=rate, active=batch, keeps_up=stable)


def maximum_load(cluster: Cluster) -> Operation:
    """All requests queued at once; the times leave out the wait in the queue."""
    decode = cluster.decode
    most = let_through_rate(cluster)

    def token_time(batch):
        return met_token(cluster, batch, decode_pool.token_time(decode, batch))

    def surplus(batch):
        return decode_pool.decode_rate(decode, batch, token_time(batch)) / most - 1.0

    batch = solve_increasing(surplus, 0.0 * decode.slots, decode.slots, ROUNDS)
    token = token_time(batch)
    full = prefill_pool.step_time(cluster.prefill, cluster.prefill.most)
    moving = cluster.transfer.moving * prefill_pool.sharing(cluster.prefill, cluster.prefill.most)
    exposed = cache_transfer.behind_pieces(moving, full, cluster.transfer.pieces)
    local = decode.local
    computed = full if local is None else beside(local, full, local.time)
    parts = Parts(0.0 * full, computed, beside(local, cluster.transfer.latency + exposed, 0.0), 0.5 * token)
    rate = np.minimum(decode_pool.decode_rate(decode, batch, token), most)
    return _answered(cluster, parts, token, throughput=rate, active=batch, keeps_up=True)


def under_load(
    cluster: Cluster, *, arrival_rate, decode_batch, users, think_time, requests_per_user, percentile
) -> Operation:
    """An open loop where requests arrive or so many decode, a closed one where there are clients, else the maximum load."""
    if arrival_rate is not None:
        return open_loop(cluster, arrival_rate, percentile)
    if decode_batch is not None:
        return held_loop(cluster, decode_batch, percentile)
    if users is not None:
        return closed_loop(cluster, users, think_time, requests_per_user)
    return maximum_load(cluster)
