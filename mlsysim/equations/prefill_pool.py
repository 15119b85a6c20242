"""Replicas that only prefill: a queue whose servers take several prompts in one step.

References
----------
Sakasegawa 1977 (Annals of the Institute of Statistical Mathematics 29; the wait in M/M/c); Bailey 1954 (JRSS B 16; service
in batches); Zhong et al. 2024, "DistServe" (arXiv:2401.09670).
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import batching, replica, sharding
from mlsysim.equations import serving as serve
from mlsysim.equations.counting import ceil_div, floor_div
from mlsysim.equations.energy import device_power
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import FlopsConvention
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload


class Prefill(NamedTuple):
    """A pool of replicas that prefill."""

    one: Any  #: a step with one prompt (s)
    full: Any  #: a step with as many as it takes (s)
    most: Any  #: prompts of such a step, n*
    groups: Any  #: attention groups of a replica, which step together
    overlap: Any  #: share of a step after which the next one can begin: pipelines begin sooner
    replicas: Any
    cv: Any  #: coefficient of variation of the prompt's length
    step: serve.Step  #: the full step, by class


def prefill_pool(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    layout: serve.Layout,
    *,
    replicas,
    new,
    cached,
    chunk,
    most,
    cv,
    convention=FlopsConvention.CAUSAL,
) -> Prefill:
    """The steps of a pool of replicas that prefill.

    A step holds ``n* = groups floor(chunk / S)`` prompts, at least one a group; a longer prompt takes several chunks.

    Parameters
    ----------
    layout : tensor, pipeline and expert parallelism.
    replicas : of the pool.
    new, cached : tokens of a prompt to compute, and in the cache already.
    chunk : most tokens of a step and attention group.
    most : most prompts of a step of one replica.
    cv : coefficient of variation of the prompt's length.
    """
    engine = assume._replace(frontend_time=0.0, frontend_token_time=0.0)
    tp, pp, ep = layout
    records = (model, hardware, fleet, format, engine, tp, pp, ep)
    groups = sharding.attention_groups(tp, ep)
    full = np.minimum(groups * np.maximum(floor_div(chunk, new), 1.0), np.maximum(most, 1.0))
    one = serve.total(serve.prefill_step(*records, 1.0, new, cached, chunk, convention))
    step = serve.prefill_step(*records, full, new, cached, chunk, convention)
    chunks = ceil_div(np.maximum(full / groups, 1.0) * new, chunk)
    return Prefill(one, serve.total(step), full, groups, chunks / (chunks + pp - 1.0), replicas, cv, step)


def step_time(pool: Prefill, prompts):
    """A step with some prompts, straight between one a group and a full step (s).

    Parameters
    ----------
    prompts : n; up to one for each attention group they run side by side.

    Examples
    --------
    >>> pool = Prefill(1.0, 4.0, 8.0, 2.0, 1.0, 1.0, 0.0, None)
    >>> [float(step_time(pool, n)) for n in (1.0, 2.0, 5.0, 8.0)]
    [1.0, 1.0, 2.5, 4.0]
    """
    return pool.one + (pool.full - pool.one) * _beyond(pool, prompts)


def _beyond(pool: Prefill, prompts):
    """How far a step is from one prompt a group (0) to a full one (1)."""
    room = pool.most - pool.groups
    return np.where(room > 0, np.maximum(prompts - pool.groups, 0.0) / np.where(room > 0, room, 1.0), 0.0)


def prefill_rate(pool: Prefill):
    """Prompts per second of the whole pool at most, ``P n* / T(n*)`` (1/s).

    Examples
    --------
    >>> float(prefill_rate(Prefill(1.0, 4.0, 8.0, 2.0, 1.0, 3.0, 0.0, None)))
    6.0
    """
    return pool.replicas * pool.most / (pool.full * pool.overlap)


def prompts_together(pool: Prefill, per_second, alone):
    """Prompts of a step, the fixed point ``n = a + l T(n)``, from 1 to n*.

    Parameters
    ----------
    per_second : l, prompts per second that come for a step of one replica.
    alone : a, prompts that are there in any case.

    Examples
    --------
    >>> pool = Prefill(1.0, 2.0, 5.0, 1.0, 1.0, 1.0, 0.0, None)  # T = 1 + (n - 1) / 4
    >>> float(prompts_together(pool, 2.0, 0.0)), float(prompts_together(pool, 0.5, 1.0))
    (3.0, 1.5714285714285714)
    """
    room = pool.most - pool.groups
    slope = np.where(room > 0, (pool.full - pool.one) / np.where(room > 0, room, 1.0), 0.0)
    few = alone + per_second * pool.one  # while nobody shares a group
    free = 1.0 - per_second * slope
    many = (alone + per_second * (pool.one - slope * pool.groups)) / np.where(free > 0, free, 1.0)
    many = np.where(free > 0, many, pool.most)
    return np.minimum(np.maximum(np.where(few <= pool.groups, few, many), 1.0), pool.most)


class Waiting(NamedTuple):
    """What a prompt meets in a pool that prefills."""

    wait: Any  #: mean, until its step begins (s)
    step: Any  #: the step that it is in (s)
    busy: Any  #: probability that all replicas are busy


def prompt_wait(pool: Prefill, rate) -> Waiting:
    """Wait of a prompt and the step that it shares, where prompts come at random.

    With ``rho = l / (P mu)`` and ``C = min(1, l T(1) / P)^(sqrt(2 (P + 1)) - 1)`` (Sakasegawa) a prompt waits for the end of
    a step, ``C T(n) / (2 P)``, and for full steps before it, ``rho^sqrt(2 (P + 1)) / (P mu (1 - rho)) (1 + c^2) / 2``.

    Parameters
    ----------
    rate : l, prompts per second of the whole pool, below `prefill_rate`.

    Notes
    -----
    M/D/1 and M/G/1 for a replica that takes one prompt at a time.  Against 300 simulated pools (1 to 16 replicas and prompts
    a step, load 0.1 to 0.85): wait plus step off by 1.4 % (nine of ten within 18 %); up to twice too long where a step
    costs as much for each prompt and the load is beyond 0.85.

    Examples
    --------
    >>> alone = Prefill(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, None)
    >>> round(float(prompt_wait(alone, 0.5).wait), 9)  # M/D/1: rho / (2 (1 - rho))
    0.5
    """
    most = prefill_rate(pool)
    load = np.minimum(rate / most, 1.0 - 1e-9)
    servers = np.sqrt(2.0 * (pool.replicas + 1.0))
    each = rate / pool.replicas
    busy = np.exp((servers - 1.0) * np.log(np.minimum(np.maximum(each * pool.one * pool.overlap, 1e-30), 1.0)))
    running = step_time(pool, prompts_together(pool, each, 0.0)) * pool.overlap
    own = step_time(pool, prompts_together(pool, busy * each, 1.0))
    spread = 0.5 * (1.0 + pool.cv * pool.cv)
    queue = np.exp(servers * np.log(np.maximum(load, 1e-30))) / (most * (1.0 - load)) * spread
    return Waiting(busy * running / (2.0 * pool.replicas) * 2.0 * spread + queue, own, busy)


def wait_at(waiting: Waiting, percentile):
    """Wait that a share `percentile` of prompts stays below (s), the waits of those who wait taken as exponential."""
    return batching.wait_at_percentile(waiting.busy, waiting.wait, percentile)


def first_burst(pool: Prefill, prompts):
    """Mean time until a prompt is computed where some come at once (s): ``T (u + 1) / (2 u)``, u steps.

    Parameters
    ----------
    prompts : of all replicas.

    Examples
    --------
    >>> alone = Prefill(1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 0.0, None)
    >>> float(first_burst(alone, 8.0))  # each of two replicas: 1, 2, 3 and 4 s
    2.5
    """
    each = ceil_div(prompts, pool.replicas)
    steps = ceil_div(each, pool.most)
    last = steps * step_time(pool, each / steps) * pool.overlap
    return batching.burst_ttft(last, steps) + (1.0 - pool.overlap) * step_time(pool, each / steps)


def pool_power(pool: Prefill, hardware: Accelerator, assume: Assumptions, used):
    """Mean power of a device of the pool (W): of a full step while it computes, idle else.

    Parameters
    ----------
    used : share of the pool's rate.
    """
    idle = device_power(hardware.idle_power, hardware.tdp, 0.0)
    computing = serve.step_power(hardware, assume, pool.step, pool.full)
    return idle + np.minimum(used, 1.0) * (computing - idle)


def memory_held(
    pool: Prefill, model: Workload, format: Format, assume: Assumptions, layout: serve.Layout, tokens, chunk
):
    """Memory of a device with the prompts of a full step (byte).

    Parameters
    ----------
    layout : tensor, pipeline and expert parallelism.
    tokens : of a prompt, those in the cache included.
    chunk : most tokens of a step and attention group.
    """
    rows = np.minimum(np.maximum(pool.most / pool.groups, 1.0) * tokens, chunk)
    return replica.bytes_held(replica.held(model, None, format, assume, layout, tokens, rows, 1.0), pool.most)
