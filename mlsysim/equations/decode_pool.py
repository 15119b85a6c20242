"""Replicas that only decode: no prompt ever shares a step, so the time between tokens is that of the step.

References
----------
Zhong et al. 2024, "DistServe" (arXiv:2401.09670); Leviathan et al. 2023 (arXiv:2211.17192) for drafted tokens.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import batching, queueing
from mlsysim.equations import serving as serve
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload


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
    per_round: Any  #: tokens that a round yields
    slots: Any  #: requests that a replica holds at most, m
    replicas: Any  #: D


def decode_step(pool: Decode, batch) -> serve.Step:
    """What a token of each of `batch` requests of one replica costs (s, by class)."""
    records = (pool.hardware, pool.fleet, pool.format, pool.assume, pool.layout)
    each_round = serve.drafted_step(pool.model, None, *records, batch, pool.context, pool.draft_len)
    return serve.per_token(each_round, pool.per_round)


def token_time(pool: Decode, batch):
    """Time between tokens of `batch` requests of one replica, t(b) (s)."""
    return serve.total(decode_step(pool, batch))


def decode_rate(pool: Decode, batch, token):
    """Requests per second of all replicas with `batch` in each, ``D b / (J t)`` (1/s).

    Parameters
    ----------
    token : time between tokens (s).
    """
    return pool.replicas * batch / (pool.decoded * token)


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


def slot_wait(pool: Decode, rate, token, output_cv) -> SlotWait:
    """Wait for a slot where requests come at random: Erlang C of D m slots that are held for ``J t``.

    Parameters
    ----------
    rate : requests per second.
    token : time between tokens (s).
    output_cv : coefficient of variation of answers; the wait is ``(1 + c^2) / 2`` of that for exponential ones.
    """
    slots, held = pool.replicas * pool.slots, pool.decoded * token
    load = rate * held
    taken = queueing.erlang_c(slots, load)
    decay = queueing.wait_decay(slots, load, 0.5 * (1.0 + output_cv * output_cv))
    return SlotWait(taken, held * queueing.mean_wait(taken, decay))


def slot_wait_at(waiting: SlotWait, percentile):
    """Wait for a slot that a share `percentile` of requests stays below (s)."""
    return batching.wait_at_percentile(waiting.taken, waiting.mean, percentile)
