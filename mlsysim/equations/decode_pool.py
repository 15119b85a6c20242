"""Replicas that only decode: no prompt ever shares a step, so the time between tokens is that of the step.

References
----------
Zhong et al. 2024, "DistServe" (arXiv:2401.09670); Leviathan et al. 2023 (arXiv:2211.17192) for drafted tokens.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import batching, dealing, micro_batches, operators, queueing, sharding
from mlsysim.equations import serving as serve
from mlsysim.equations.local_prefill import Local
from mlsysim.equations.normal import normal_tail
from mlsysim.equations.step import Step
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload

#: share of a step below which no part of it is taken to be
EXACT = 1e-6


class Decode(NamedTuple):
    """A pool of replicas that decode."""

    model: Workload
    hardware: Accelerator
    fleet: Fleet
    format: Format
    assume: Assumptions
    layout: serve.Layout  #: tensor, pipeline and expert parallelism
    context: Any  #: tokens that a request attends to, mean
    decoded: Any  #: tokens of a request that are decoded, J
    draft_len: Any  #: tokens drafted in a round
    draft_layers: Any  #: layers of the model that drafting a token takes, and its head; None where drafting is free
    per_round: Any  #: tokens that a round yields
    slots: Any  #: requests that a replica holds at most, m
    replicas: Any  #: D
    two_batches: Any = None  #: does one half of a batch compute while the other exchanges tokens; None: no
    local: Local | None = None  #: prompts that the replicas compute themselves
    random: Any = None  #: does each request go to a replica at random, free or not; None: no
    dealt: Any = None  #: does each request go to an attention group of its replica at random, free or not; None: no
    expert_tp: Any = None  #: devices that share each expert, see `sharding.expert_ranks`


class Load(NamedTuple):
    """Requests of one replica as its step meets them: that of the fullest attention group, whose end all others wait for."""

    batch: Any  #: if all groups had as many as the fullest
    idle: Any  #: groups by which fewer there are, which experts have no tokens of


def load(pool: Decode, batch) -> Load:
    """What the step of a replica meets of `batch` requests: all groups alike, or the fullest of those dealt at random."""
    if pool.dealt is None:
        return Load(batch, 0.0)
    tp, _, ep = pool.layout
    groups = sharding.attention_groups(tp, ep)
    most = np.where(pool.dealt > 0, dealing.fullest(groups, batch), batch / groups)
    return Load(groups * most, groups - np.maximum(batch, groups) / np.maximum(most, 1.0))


def decode_step(pool: Decode, batch) -> Step:
    """What a token of each of `batch` requests of one replica costs (s, by class)."""
    records = (pool.hardware, pool.fleet, pool.format, pool.assume, pool.layout)

    def a_round(batch):
        met = load(pool, batch)
        shares = (met.idle, pool.expert_tp)
        return serve.drafted_step(pool.model, None, *records, met.batch, pool.context, pool.draft_len, *shares)

    each_round = a_round(batch)
    if pool.two_batches is not None:
        halves = micro_batches.side_by_side(micro_batches.twice(a_round(np.maximum(0.5 * batch, 1.0))))
        each_round = micro_batches.either((pool.two_batches > 0) & (batch >= 2.0), halves, each_round)
    if pool.draft_layers is not None:
        drafts = drafting(pool, batch)
        each_round = Step(*(part + pool.draft_len * own for part, own in zip(each_round, drafts)))
    device = each_round.gemm + each_round.attention + each_round.communication
    hidden = pool.assume.decode_host_overlap * np.minimum(each_round.host, device)
    return serve.per_token(each_round._replace(host=each_round.host - hidden), pool.per_round)


def drafting(pool: Decode, batch) -> Step:
    """What one drafted token of each request costs: some layers such as the model's own, and its head (s, by class).

    Parameters
    ----------
    batch : requests of one replica.
    """
    tp, pp, ep = pool.layout
    met = load(pool, batch)
    step = serve.decode_step(
        *(pool.model, pool.hardware, pool.fleet, pool.format, pool.assume),
        *(tp, pp, ep, met.batch, pool.context),
        idle=met.idle,
        expert_tp=pool.expert_tp,
    )
    rows = np.maximum(met.batch / sharding.attention_groups(tp, ep), 1.0)
    work = operators.head_work(pool.model, pool.hardware, pool.format, pool.assume, tp, rows)
    head = operators.time_of(work, pool.hardware)
    share = pool.draft_layers / pool.model.n_layers
    return Step(
        gemm=head + share * np.maximum(step.gemm - head, 0.0),
        attention=share * step.attention,
        communication=share * step.communication,
        host=0.0,
        arithmetic=work.arithmetic + share * np.maximum(step.arithmetic - work.arithmetic, 0.0),
        traffic=work.traffic + share * np.maximum(step.traffic - work.traffic, 0.0),
    )


def token_time(pool: Decode, batch):
    """Time between tokens of `batch` requests of one replica, t(b) (s).

    Prompts that the replica computes itself stop all others: ``t + f (b - 1) T / J`` with T of each of a share f of requests.
    """
    step = serve.total(decode_step(pool, batch))
    return (
        step
        if pool.local is None
        else step + np.maximum(batch - 1.0, 0.0) * (pool.local.share * pool.local.time / pool.decoded)
    )


def decode_rate(pool: Decode, batch, token):
    """Requests per second of all replicas with `batch` in each, ``D b / (J t)`` (1/s).

    Parameters
    ----------
    token : time between tokens (s).
    """
    return pool.replicas * batch / (pool.decoded * token)


def together(pool: Decode):
    """Replicas that share a queue: all of them, or each alone where requests go to one at random."""
    return pool.replicas if pool.random is None else np.where(pool.random > 0, 1.0, pool.replicas)


def queues(pool: Decode):
    """Queues of a replica: one, or one for each attention group where requests go to one at random."""
    if pool.dealt is None:
        return 1.0
    return np.where(pool.dealt > 0, sharding.attention_groups(pool.layout[0], pool.layout[2]), 1.0)


def places(pool: Decode, users):
    """Requests of a replica that hold a slot where those of all clients are in the pool: ``min(N / D, m)``.

    Where each goes to a replica at random, ``E min(n, m)`` of a binomial n, by the normal law: with
    ``s^2 = (N / D)(1 - 1/D)`` and ``z = (m - N / D) / s`` it is ``N / D - s (phi(z) - z Phi(-z))``.  Where it goes to one of g
    attention groups at random each of these has m / g slots, and g D take the place of D (g, of the 1 - 1/D, if replicas share).

    Notes
    -----
    Within 8 % of simulated closed loops (3 to 15 replicas of 1 to 64 slots).

    Examples
    --------
    >>> pool = Decode(*[None] * 11, slots=1.0, replicas=7.0)
    >>> float(places(pool, 7.0)), round(float(places(pool._replace(random=1.0), 7.0)), 2)  # simulated: 0.65
    (1.0, 0.63)
    """
    own = queues(pool)
    each, slots = users / (pool.replicas * own), pool.slots / own
    even = np.minimum(each, slots)
    if pool.random is None and pool.dealt is None:
        return even
    deviation = np.sqrt(each * (1.0 - together(pool) / (pool.replicas * own)))
    some = deviation > 0
    z = np.where(some, (slots - each) / np.where(some, deviation, 1.0), 0.0)
    density = np.exp(-0.5 * z * z) * (1.0 / np.sqrt(2.0 * np.pi))
    left_out = deviation * (density - z * normal_tail(z))
    return own * np.where(some, np.minimum(each - left_out, even), even)


#: requests of the fullest of many replicas beyond their mean, as a request meets it: whole requests lie unevenly
UNEVEN = 0.2


def met_batch(pool: Decode, batch, others=1.0, free=1.0):
    """Requests of the replica in which a request decodes, as its steps meet them.

    Who decodes meets itself beside the mean of the others, who go where fewest are: with one replica (or one chosen at
    random) ``b + 1``, with many evenly spread ones hardly more than the mean.  ``max(b, 1) + e min(b, 1)^(sqrt(2 (D + 1)) - 1)``
    with ``e = 1/D + 0.2 (1 - 1/D)``, D those that share a queue; no more than the slots.

    Parameters
    ----------
    batch : b, requests of a replica, mean over time.
    others : share of them that others are: ``(N - 1) / N`` with N clients.
    free : share of all clients that do not decode, by which the number of those that do varies; 1 in an open loop.

    Notes
    -----
    Requests that come at random.  Within 5 % of simulated pools (1 to 8 replicas, 0.2 to 20 requests in each).

    Examples
    --------
    >>> one = Decode(*[None] * 11, slots=64.0, replicas=1.0)
    >>> [float(met_batch(one, b)) for b in (0.0, 0.5, 4.0, 64.0)]
    [1.0, 1.5, 5.0, 64.0]
    """
    beside, sharing = batch * others, together(pool)
    beyond = 1.0 / sharing + UNEVEN * free * (1.0 - 1.0 / sharing)
    seldom = np.sqrt(2.0 * (sharing + 1.0)) - 1.0
    found = np.exp(seldom * np.log(np.minimum(np.maximum(beside, 1e-30), 1.0)))
    return np.minimum(np.maximum(beside, 1.0) + beyond * found, np.maximum(pool.slots, batch))


class Line(NamedTuple):
    """A step that decodes, as a straight line at some batch: ``t = c0 + c1 b``."""

    idle: Any  #: c0, what no request adds to: weights, overheads (s)
    each: Any  #: c1, what a request adds (s)


def tangent(pool: Decode, batch, token) -> Line:
    """The step between `batch` and twice as many requests, as a line (s, s).

    Parameters
    ----------
    token : time between tokens at `batch` (s).
    """
    some = np.maximum(batch, 1.0)  # a step is that of one request at least
    each = np.maximum(token_time(pool, 2.0 * some) - token, 0.0) / some
    return Line(np.maximum(token - each * some, 0.0), each)


class SlotWait(NamedTuple):
    """Waiting for a slot of the pool."""

    taken: Any  #: probability that none is free
    mean: Any  #: of all requests (s)


def slot_wait(pool: Decode, rate, batch, token, output_cv) -> SlotWait:
    """Wait for a slot where requests come at random: Erlang C of the D m slots, whose steps lengthen as they fill.

    Longer steps keep who decodes: the number of requests varies as if they came in lots of ``z = t / c0``, tangent
    ``t = c0 + c1 b``, so that Erlang C has ``D m / z`` servers and a load of ``D b / z``.

    Parameters
    ----------
    rate : requests per second, below what all slots serve.
    batch, token : requests of a replica, mean, and time between tokens (s).
    output_cv : coefficient of variation of answers; the wait is ``(1 + c^2) / 2`` of that for exponential ones.

    References
    ----------
    Gross and Harris 1998, "Fundamentals of queueing theory", section 2.4 (birth and death with rates of the state).
    """
    own = queues(pool)
    slots, share = together(pool) * pool.slots / own, together(pool) / (pool.replicas * own)
    held = pool.decoded * token_time(pool, pool.slots)
    load = np.minimum(rate * share * held / slots, 1.0)
    lots = token / np.maximum(tangent(pool, batch, token).idle, EXACT * token)
    taken = queueing.erlang_c(slots / lots, together(pool) * batch / (own * lots))
    decay = queueing.wait_decay(slots, load * slots, 0.5 * (1.0 + output_cv * output_cv))
    return SlotWait(taken, held * queueing.mean_wait(taken, decay))


def slot_wait_at(waiting: SlotWait, percentile):
    """Wait for a slot that a share `percentile` of requests stays below (s)."""
    return batching.wait_at_percentile(waiting.taken, waiting.mean, percentile)
