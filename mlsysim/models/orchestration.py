"""OrchestrationModel (wall 16): how busy a shared cluster is, and how long jobs wait for it."""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import gangs, queueing
from mlsysim.equations.counting import floor_div
from mlsysim.equations.occupancy import devices, fits_fleet
from mlsysim.equations.selection import first_failing
from mlsysim.resolver import Model, kernel
from mlsysim.schema.codes import Limit
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Fleet


class Orchestration(NamedTuple):
    """Outputs of OrchestrationModel."""

    utilization: Real
    cluster_utilization: Real
    queue_utilization: Real
    job_slots: Real
    cluster_fragmentation: Real
    wait_probability: Real
    avg_wait_time: Real
    wait_p50: Real
    wait_p90: Real
    wait_p95: Real
    wait_p99: Real
    wait_at_percentile: Real
    avg_response_time: Real
    queue_length: Real
    high_priority_wait_time: Real | None
    low_priority_wait_time: Real | None
    stable: Flag
    feasible: Flag
    limit: Code


@kernel
def orchestration(
    fleet: Fleet,
    arrival_rate,
    avg_duration,
    n_accelerators=None,
    devices_per_job=None,
    duration_cv=1.0,
    size_cv=0.0,
    arrival_cv=1.0,
    percentile=0.99,
    backfill=0.0,
    priority_share=None,
    preemptive=0.0,
    preemption_overhead=0.0,
) -> Orchestration:
    """A cluster whose jobs start only when all their devices are free.

    Parameters
    ----------
    fleet : accelerators per node and fleet size.
    arrival_rate : jobs per second.
    avg_duration : mean duration of a job (s); `duration_cv` its coefficient of variation.
    n_accelerators : devices of the cluster; default the whole fleet, or one node.
    devices_per_job : mean devices of a job; default all of them, one job at a time.
    size_cv : coefficient of variation of the devices per job.
    arrival_cv : coefficient of variation of the time between jobs (1: Poisson).
    percentile : for `wait_at_percentile`, 0..1.
    backfill : share of the holes that later jobs fill (0: first come, first served).
    priority_share : share of jobs that go first, interrupting others if `preemptive`, at
        `preemption_overhead` seconds of lost work each.

    Returns
    -------
    Orchestration
        Times in s.  `utilization`, which is `queue_utilization`, is the offered load over what gangs can use: above
        1 the queue grows for ever.  `cluster_utilization` is the share of devices in use.

    Notes
    -----
    M/G/c with c = jobs that fit: equal jobs pack on whole nodes or within one; unequal ones leave ``g (1 +
    cv^2)/2 - 1/2`` devices idle.  Waits by Erlang C and Allen-Cunneen (validity:
    equations.queueing.variability). One job at a time of constant duration (``duration_cv=0``) is M/D/1:
    ``rho S / (2 (1 - rho))``, exact. Priorities: Cobham's formula; preemptive, the others' wait follows from
    work conservation.

    References
    ----------
    Little 1961; Cobham 1954, "Priority assignment in waiting line problems"; Allen 1990, chapter 5.
    """
    n_accelerators = devices(fleet, n_accelerators)
    size = n_accelerators if devices_per_job is None else devices_per_job
    node = fleet.accelerators_per_node
    packed = gangs.gang_slots(n_accelerators, size, node)
    idle = gangs.blocked_devices(size, size_cv)
    usable = np.where(size_cv > 0, np.maximum(n_accelerators - idle, size), packed * size)
    usable = usable + backfill * (n_accelerators - usable)
    # slots need not be whole: Erlang C takes the whole ones at the same load per slot
    slots = np.maximum(usable / size, 1.0)
    servers = np.maximum(floor_div(usable, size), 1.0)
    scv = queueing.variability(arrival_cv * arrival_cv, duration_cv * duration_cv)

    def waits(load):
        """Share of jobs that wait, and decay of their wait per mean duration."""
        per_slot = load / slots
        return queueing.erlang_c(servers, per_slot * servers), queueing.wait_decay(slots, load, scv)

    offered = arrival_rate * avg_duration
    high_wait: Any = None
    low_wait: Any = None
    if priority_share is not None:
        urgent = priority_share * offered
        high_waiting, high_decay = waits(urgent)
        interrupted = np.maximum(waits(offered)[0] - high_waiting, 0.0)
        extra = preemptive * (priority_share * arrival_rate * interrupted * preemption_overhead)
        offered = offered + extra
    waiting, decay = waits(offered)
    mean_wait = avg_duration * queueing.mean_wait(waiting, decay)
    if priority_share is not None:
        room = 1.0 - urgent / slots
        sees = avg_duration * waiting * scv / slots  # wait of an arrival for the first slot, all busy
        patient = np.where(room > 0, sees / np.where(room > 0, room, 1.0), np.inf)
        interrupting = avg_duration * queueing.mean_wait(high_waiting, high_decay)
        high_wait = np.where(preemptive != 0, interrupting, patient)
        others = 1.0 - priority_share
        rest = (mean_wait - priority_share * np.where(mean_wait < np.inf, high_wait, 0.0)) / np.where(
            others > 0, others, 1.0
        )
        low_wait = np.where(others > 0, np.maximum(rest, 0.0), 0.0)

    load = offered / slots
    stable = load < 1.0
    limit = first_failing(
        (fits_fleet(fleet, n_accelerators) & (size <= n_accelerators), Limit.SHAPE),
        (stable, Limit.SATURATION),
    )

    def wait(tail):
        return avg_duration * queueing.wait_quantile(waiting, decay, tail)

    in_use = np.minimum(slots * size, n_accelerators) / n_accelerators
    return Orchestration(
        utilization=load,
        cluster_utilization=np.minimum(load, 1.0) * in_use,
        queue_utilization=load,
        job_slots=servers,
        cluster_fragmentation=1.0 - in_use,
        wait_probability=waiting,
        avg_wait_time=mean_wait,
        wait_p50=wait(0.5),
        wait_p90=wait(0.1),
        wait_p95=wait(0.05),
        wait_p99=wait(0.01),
        wait_at_percentile=wait(1.0 - percentile),
        avg_response_time=mean_wait + avg_duration,
        queue_length=arrival_rate * mean_wait,
        high_priority_wait_time=high_wait,
        low_priority_wait_time=low_wait,
        stable=stable,
        feasible=limit == 0,
        limit=limit,
    )


OrchestrationModel = Model("OrchestrationModel", orchestration, domain="fleet", walls=(16,))
