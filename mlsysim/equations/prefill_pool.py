"""Replicas that only prefill: a queue whose servers take several prompts in one step.

References
----------
Sakasegawa 1977 (Annals of the Institute of Statistical Mathematics 29; the wait in M/M/c); Bailey 1954 (JRSS B 16; service
in batches); Zhong et al. 2024, "DistServe" (arXiv:2401.09670).
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import batching, dealing, launches, micro_batches, replica, sharding
from mlsysim.equations import serving as serve
from mlsysim.equations.counting import ceil_div, floor_div
from mlsysim.equations.energy import device_power
from mlsysim.equations.normal import largest_deviate
from mlsysim.equations.step import Step
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import FlopsConvention
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload


class Prefill(NamedTuple):
    """A pool of replicas that prefill."""

    one: Any  #: a step with one prompt (s)
    side: Any  #: a step with one prompt in each attention group (s)
    full: Any  #: a step with as many as it takes (s)
    most: Any  #: prompts of such a step, n*
    groups: Any  #: attention groups of a replica, which step together
    overlap: Any  #: share of a step after which the next one can begin: pipelines begin sooner
    replicas: Any
    cv: Any  #: coefficient of variation of the prompt's length
    step: Step  #: the full step, by class
    random: Any = None  #: does each prompt go to a replica at random, busy or not; None: no
    dealt: Any = None  #: does each prompt go to an attention group of its replica at random, busy or not; None: no
    ahead: Any = 0.0  #: steps that are planned while another runs
    launch: Any = 0.0  #: the host's time to launch a step (s)


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
    two_batches=None,
    convention=FlopsConvention.CAUSAL,
    random=None,
    dealt=None,
    expert_tp=None,
) -> Prefill:
    """The steps of a pool of replicas that prefill.

    A step holds ``n* = groups floor(chunk / S)`` prompts, at least one a group; a longer prompt takes several chunks.  With fewer
    prompts than groups the others wait for these, and experts have the tokens of these only.

    Parameters
    ----------
    layout : tensor, pipeline and expert parallelism.
    replicas : of the pool.
    new, cached : tokens of a prompt to compute, and in the cache already.
    chunk : most tokens of a step and attention group.
    most : most prompts of a step of one replica.
    cv : coefficient of variation of the prompt's length.
    two_batches : does one half of a step compute while the other exchanges tokens; None: no.
    random, dealt : does each prompt go to a replica, and to an attention group of it, at random, busy or not; None: no.
    expert_tp : devices that share each expert, see `sharding.expert_ranks`.
    """
    engine = assume._replace(frontend_time=0.0, frontend_token_time=0.0)
    tp, pp, ep = layout
    records = (model, hardware, fleet, format, engine, tp, pp, ep)
    groups = sharding.attention_groups(tp, ep)
    full = np.minimum(groups * np.maximum(floor_div(chunk, new), 1.0), np.maximum(most, 1.0))

    def of_prompts(prompts):
        idle = np.maximum(groups - prompts, 0.0)
        longest = new * fullest_group(np.minimum(prompts, groups), np.maximum(prompts / groups, 1.0), cv)
        whole = serve.prefill_step(*records, prompts, longest, cached, chunk, convention, idle, expert_tp)
        if two_batches is None:
            return whole
        tokens = np.maximum(prompts / groups, 1.0) * longest
        half = np.maximum(0.5 * np.minimum(tokens, chunk), 1.0)
        halves = micro_batches.side_by_side(
            serve.prefill_step(*records, prompts, longest, cached, half, convention, idle, expert_tp)
        )
        return micro_batches.either(two_batches > 0, halves, whole)

    one, side = (serve.total(of_prompts(prompts)) for prompts in (1.0, np.minimum(groups, full)))
    step = of_prompts(full)
    chunks = ceil_div(np.maximum(full / groups, 1.0) * new, chunk)
    overlap = chunks / (chunks + pp - 1.0)
    steps = (one, side, serve.total(step), full, groups, overlap, replicas, cv, step, random, dealt)
    return Prefill(
        *steps, assume.prefill_scheduled_steps, launches.eager_floor(model, hardware, format, assume, tp, ep) / pp
    )


def fullest_group(groups, prompts, cv):
    """Tokens of the fullest of some attention groups, which all others wait for, over their mean: ``1 + c z / sqrt(k)``.

    Parameters
    ----------
    groups, prompts : groups that have prompts, and k prompts in each; z is the largest of as many normal deviates.
    cv : c, coefficient of variation of a prompt's length.

    Examples
    --------
    >>> [round(float(fullest_group(*pool, 0.1)), 3) for pool in ((1.0, 1.0), (8.0, 1.0), (8.0, 4.0))]
    [1.0, 1.143, 1.072]
    """
    return np.where(cv > 0, 1.0 + cv * largest_deviate(groups) / np.sqrt(prompts), 1.0)


class Slopes(NamedTuple):
    """What a further prompt adds to a step (s)."""

    beside: Any  #: in an attention group that has none
    behind: Any  #: behind another one of its group


def slopes(pool: Prefill) -> Slopes:
    """What a further prompt adds to a step: up to one in each attention group only the experts' work, then all of it."""
    beside, behind = np.minimum(pool.groups, pool.most) - 1.0, pool.most - pool.groups
    return Slopes(
        np.where(beside > 0, (pool.side - pool.one) / np.where(beside > 0, beside, 1.0), 0.0),
        np.where(behind > 0, (pool.full - pool.side) / np.where(behind > 0, behind, 1.0), 0.0),
    )


def queues(pool: Prefill):
    """Queues of a replica: one, or one for each attention group where prompts go to one at random."""
    return 1.0 if pool.dealt is None else np.where(pool.dealt > 0, np.minimum(pool.groups, pool.most), 1.0)


def step_time(pool: Prefill, prompts):
    """A step with some prompts, straight between one, one a group and a full step (s).

    Prompts that are dealt to groups at random, of which the fullest has f (`dealing.fullest`), take
    ``T1 + s (n - 1) + g (s' - s)(f - 1)``: experts have all n, and all groups wait for the fullest.

    Parameters
    ----------
    prompts : n; up to one for each attention group they run side by side.

    Examples
    --------
    >>> pool = Prefill(1.0, 2.0, 5.0, 8.0, 2.0, 1.0, 1.0, 0.0, None)
    >>> [float(step_time(pool, n)) for n in (1.0, 2.0, 5.0, 8.0)]
    [1.0, 2.0, 3.5, 5.0]
    """
    each = slopes(pool)
    beside = np.minimum(prompts, np.minimum(pool.groups, pool.most)) - 1.0
    even = pool.one + each.beside * np.maximum(beside, 0.0) + each.behind * np.maximum(prompts - pool.groups, 0.0)
    if pool.dealt is None:
        return even
    most = np.minimum(dealing.fullest(pool.groups, prompts), np.maximum(pool.most / pool.groups, 1.0))
    own = pool.groups * np.maximum(each.behind - each.beside, 0.0) * np.maximum(most - 1.0, 0.0)
    uneven = pool.one + each.beside * np.maximum(np.minimum(prompts, pool.most) - 1.0, 0.0) + own
    return np.where(pool.dealt > 0, np.maximum(uneven, even), even)


def sharing(pool: Prefill, prompts):
    """Prompts of one attention group in a step: their caches leave by the same links."""
    return np.maximum(prompts / pool.groups, 1.0)


def prefill_rate(pool: Prefill):
    """Prompts per second of the whole pool at most, ``P n* / T(n*)`` (1/s).

    Examples
    --------
    >>> float(prefill_rate(Prefill(1.0, 1.0, 4.0, 8.0, 2.0, 1.0, 3.0, 0.0, None)))
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
    >>> pool = Prefill(1.0, 1.0, 2.0, 5.0, 1.0, 1.0, 1.0, 0.0, None)  # T = 1 + (n - 1) / 4
    >>> float(prompts_together(pool, 2.0, 0.0)), float(prompts_together(pool, 0.5, 1.0))
    (3.0, 1.5714285714285714)
    """
    each, groups = slopes(pool), np.minimum(pool.groups, pool.most)

    def crossing(at_start, slope):
        """Where ``a + l (T_0 + s n)`` is n; no such n where a further prompt brings in more than itself."""
        free = 1.0 - per_second * slope
        return np.where(free > 0, (alone + per_second * at_start) / np.where(free > 0, free, 1.0), pool.most)

    beside = crossing(pool.one - each.beside, each.beside)
    behind = crossing(pool.side - each.behind * groups, each.behind)
    few = alone + per_second * pool.side <= groups  # nobody shares a group
    return np.minimum(np.maximum(np.where(few, beside, behind), 1.0), pool.most)


class Waiting(NamedTuple):
    """What a prompt meets in a pool that prefills."""

    wait: Any  #: mean, until its step begins (s)
    step: Any  #: the step that it is in (s)
    prompts: Any  #: of that step
    busy: Any  #: probability that all replicas are busy


#: rounds of the fixed point over the size of a step
STEPS = 3
#: how soon waiting prompts fill whole steps: the expected number of full steps before a prompt, ``E floor(q / n)`` of a
#: geometric queue q, is followed within a few percent by a hyperbola with this width
ROUNDING = 0.36


def mean_step(pool: Prefill, each):
    """Prompts of a step, mean over steps: ``1 + f (m + exp(-m) - 1)`` with ``m = l T(n)`` that come during one.

    A replica that finds nobody waits for one prompt; with more replicas than one it finds fewer, ``f = m^(sqrt(2 (P + 1)) - 2)``.

    Parameters
    ----------
    each : l, prompts per second and replica.
    """
    sparse = np.sqrt(2.0 * (pool.replicas + 1.0)) - 2.0
    prompts = prompts_together(pool, each, 0.0)
    for _ in range(STEPS):
        come = np.maximum(each * step_time(pool, prompts) * pool.overlap, 1e-30)
        found = np.exp(sparse * np.log(np.minimum(come, 1.0)))
        prompts = np.minimum(1.0 + found * (come + np.exp(-come) - 1.0), pool.most)
    return prompts


def planned_before(pool: Prefill, each, running, left):
    """Probability that a prompt that comes during a step finds the next one planned, so that it waits for that one as well.

    A step that was planned ahead is followed by what came during the one before it, ``1 - exp(-l T)``; another one by what is
    there when the host has launched it, ``a = 1 - exp(-l h - q)``, and only who comes later is too late.  So of the steps
    ``p = a / (a + exp(-l T))`` are planned ahead, and it is ``p (1 - exp(-l T)) + (1 - p) a (1 - h / T)``.

    Parameters
    ----------
    each : l, prompts per second and replica.
    running : T, a step (s).
    left : q, prompts that wait when a step begins, mean.

    Examples
    --------
    >>> pool = Prefill(*[1.0] * 8, None, launch=0.5)
    >>> [round(float(planned_before(pool, each, 1.0, 0.0)), 2) for each in (0.0, 1.0, 4.0)]
    [0.0, 0.42, 0.97]
    """
    launching = np.minimum(pool.launch, running)
    none = np.exp(-each * running)
    soon = 1.0 - np.exp(-each * launching - left)
    planned = soon / np.maximum(soon + none, 1e-30)
    return planned * (1.0 - none) + (1.0 - planned) * soon * (1.0 - launching / running)


def prompt_wait(pool: Prefill, rate, users=None) -> Waiting:
    """Wait of a prompt and the step that it shares, where prompts come at random.

    With probability ``C = (l T(n) / (P n))^(sqrt(2 (P + 1)) - 1)`` (Sakasegawa) all replicas are busy: a prompt waits until
    one ends its step, r, and for H / n full steps of all who came before.  In units of prompts, of a queue that is geometric,
    ``H = (y + sqrt(y^2 + k (1 - rho))) / (2 (1 - rho))`` with ``y = l T / (2 P) - (n* - 1) / 2``, ``k = (0.36 (n* - 1))^2``.
    Where prompts are dealt to g attention groups at random each group has such a queue, of ``l / g`` and ``n* / g``, which its
    replica alone serves; its steps have what all groups bring in.

    Parameters
    ----------
    rate : l, prompts per second of the whole pool, below `prefill_rate`; of replicas that are chosen at random each has a
        queue of its own.
    users : clients that the prompts come from, each with one at a time; None without end.

    Notes
    -----
    M/D/1 and M/G/1 for a replica that takes one prompt at a time.  Against 250 simulated pools (1 to 16 replicas and prompts
    a step, load 0.1 to 0.9): wait plus step off by 1.9 % in the median, nine of ten within 9 %.  A finite number of clients
    holds the queue at ``sqrt((N - 2) / 2)`` prompts, as a random walk whose source slows down when it is long: ``1/H`` grows by
    the inverse of that.  Against exact mean-value analysis of one replica with constant steps: wait plus step within 10 %.

    Examples
    --------
    >>> alone = Prefill(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, None)
    >>> round(float(prompt_wait(alone, 0.5).wait), 9)  # M/D/1: rho / (2 (1 - rho))
    0.5
    """
    if pool.random is not None:
        sharing = np.where(pool.random > 0, 1.0, pool.replicas)
        rate, pool = rate * sharing / pool.replicas, pool._replace(replicas=sharing)
    most = prefill_rate(pool)
    spare = 1.0 - np.minimum(rate / most, 1.0 - 1e-9)
    each = rate / pool.replicas
    prompts = mean_step(pool, each)
    running = step_time(pool, prompts) * pool.overlap
    servers = np.sqrt(2.0 * (pool.replicas + 1.0)) - 1.0
    busy = np.exp(servers * np.log(np.minimum(np.maximum(each * running / prompts, 1e-30), 1.0)))
    even = running / (2.0 * pool.replicas)  # to the end of a step, where steps end one after the other
    own = queues(pool)
    mine, serving = pool.most / own, np.where(own > 1, pool.replicas, 1.0)  # prompts of a step and replicas, of a queue
    beyond = rate * even / own - 0.5 * (mine - 1.0)
    width = ROUNDING * (mine - 1.0)
    full = 0.5 * (beyond + np.sqrt(beyond * beyond + width * width * spare)) / spare
    anyhow = 0.5 * (even + running / (pool.replicas + 1.0))  # half way to that where they end at random
    if users is not None:
        longest = np.sqrt(0.5 * np.maximum(users - 2.0, 0.0))
        few = longest * full / np.maximum(longest + full, 1e-30)
        full = np.where(own > 1, np.minimum(full, users / own), few)
    left = (
        full * (own * serving) / pool.replicas
    )  # prompts of a replica that no step has taken when the next one begins
    planned = pool.ahead * planned_before(pool, each, running, left) * running
    held = anyhow + full * (own * serving) / most
    waiting = rate * held / (own * serving)  # prompts that one finds, and as many come before its step begins
    alike = np.minimum(np.maximum(1.0 + 2.0 * waiting - full, 1.0), mine)
    others = (own - 1.0) * np.minimum(each * running / own, mine)  # of the other groups
    together = np.minimum(alike + others, pool.most)
    met = pool.one + busy * (step_time(pool, together) - pool.one)
    wait = busy * (held * (1.0 + pool.cv * pool.cv) + planned)
    return Waiting(wait, met, 1.0 + busy * (together - 1.0), busy)


def wait_at(waiting: Waiting, percentile):
    """Wait that a share `percentile` of prompts stays below (s), the waits of those who wait taken as exponential."""
    return batching.wait_at_percentile(waiting.busy, waiting.wait, percentile)


def first_burst(pool: Prefill, prompts):
    """Mean time until a prompt is computed where some come at once (s): ``T (u + 1) / (2 u)``, u steps.

    Dealt to g groups at random, a prompt is one of ``n / g + 1 - 1 / g`` in its group: fuller groups have more of them.

    Parameters
    ----------
    prompts : of all replicas.

    Examples
    --------
    >>> alone = Prefill(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 0.0, None)
    >>> float(first_burst(alone, 8.0))  # each of two replicas: 1, 2, 3 and 4 s
    2.5
    """
    each, own = ceil_div(prompts, pool.replicas), queues(pool)
    steps = np.maximum(ceil_div(each, pool.most), np.where(own > 1, (each + own - 1.0) / pool.most, 1.0))
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


def holding(model: Workload, format: Format, assume: Assumptions, layout: serve.Layout, pool: Prefill, tokens, chunk):
    """What a device of the pool holds, and what a prompt adds (byte).

    Parameters
    ----------
    layout : tensor, pipeline and expert parallelism.
    tokens : of a prompt, those in the cache included.
    chunk : most tokens of a step and attention group.
    """
    rows = np.minimum(np.maximum(pool.most / pool.groups, 1.0) * tokens, chunk)
    return replica.held(model, None, format, assume, layout, tokens, rows, 1.0)


def caches_kept(pool: Prefill, held: replica.Held, capacity):
    """Prompts whose caches can wait in the pool for their move beside those of its steps, all replicas.

    Parameters
    ----------
    held : see `holding`.
    capacity : memory of a device that may be used (byte).
    """
    return pool.replicas * np.maximum((capacity - held.fixed) / held.per_sequence - pool.most, 0.0)
