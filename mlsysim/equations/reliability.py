"""Failures and checkpoints: how often a job is interrupted, what that costs, and how often to save.

References
----------
Young 1974, "A first order approximation to the optimum checkpoint interval", CACM 17(9).
Daly 2006, "A higher order estimate of the optimum checkpoint interval for restart dumps", FGCS 22(3).
Grattafiori et al. 2024, "The Llama 3 herd of models" (arXiv:2407.21783), table 5: causes of 419
interruptions.
"""

import math

import numpy as np

from mlsysim.equations.counting import ceil_div
from mlsysim.equations.gamma import log_gamma
from mlsysim.equations.stage import stage
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Fleet

#: Mean time between failures at which a job counts as failure-free (s): keeps the formulas finite at rate 0.
FAILURE_FREE = 1e18
#: Standard deviations from the middle of a normal distribution to the value that a tenth exceeds.
OUTER_DECILE = 1.2815515655446004
#: Shortest interval that is considered, over the mean time between failures.
SHORTEST = 1e-12


# --- failures ------------------------------------------------------------------------------------------


def nodes(fleet: Fleet, n_accelerators):
    """Nodes that a job touches; it falls with any of them."""
    return ceil_div(n_accelerators, fleet.accelerators_per_node)


def device_rate(assume: Assumptions):
    """Failures per accelerator and second: device, memory, adapter, share of the network, software."""
    return assume.failure_level * (
        assume.gpu_failure_rate
        + assume.hbm_failure_rate
        + assume.nic_failure_rate
        + assume.network_failure_rate
        + assume.software_failure_rate
    )


def node_rate(assume: Assumptions):
    """Failures per node and second: host (processor, memory, disks, boards, maintenance), power supplies."""
    return assume.failure_level * (assume.host_failure_rate + assume.psu_failure_rate)


def failure_rate(fleet: Fleet, assume: Assumptions, n_accelerators):
    """Interruptions of a job per second: the rates of its parts add; planned ones included."""
    per_device = device_rate(assume) + assume.planned_interruption_rate
    return n_accelerators * per_device + nodes(fleet, n_accelerators) * node_rate(assume)


def mean_time_between(rate):
    """Mean time between failures (s): ``1 / rate``, inf at rate 0."""
    return np.where(rate > 0, 1.0 / np.where(rate > 0, rate, 1.0), np.inf)


def failure_probability(duration, rate):
    """Chance of at least one failure: ``1 - exp(-T rate)``.

    Examples
    --------
    >>> round(float(failure_probability(86400.0, 1024.0 / (50677.0024 * 3600.0))), 7)
    0.3842743
    """
    return -np.expm1(-duration * rate)


@stage
def poisson_tail(mean, limit):
    """Chance that a Poisson number exceeds `limit` (whole).

    Examples
    --------
    >>> round(float(poisson_tail(2.0, 1.0)), 6)  # 1 - 3 exp(-2)
    0.593994
    """
    if mean <= 0.0:
        return 0.0
    if limit < mean:  # sum what is below, from its largest term
        k = limit
        term = math.exp(k * math.log(mean) - mean - log_gamma(k + 1.0))
        total = 0.0
        while k >= 0.0 and term > 1e-17 * total:
            total += term
            term *= k / mean
            k -= 1.0
        return max(0.0, 1.0 - total)
    k = limit + 1.0
    term = math.exp(k * math.log(mean) - mean - log_gamma(k + 1.0))
    total = 0.0
    while term > 1e-17 * total:
        total += term
        k += 1.0
        term *= mean / k
    return total


def wait_for_spare(broken_rate, repair_time, spares):
    """Mean wait for a working node at a failure (s): ``P(N >= s) repair / (s + 1)``.

    Parameters
    ----------
    broken_rate : nodes taken out per second.
    repair_time : time until a node is back (s).
    spares : s, spare nodes; N, nodes in repair, is a Poisson number of mean rate x repair (Palm's theorem).
    """
    return poisson_tail(broken_rate * repair_time, spares - 1.0) * repair_time / (spares + 1.0)


# --- checkpoints ---------------------------------------------------------------------------------------


def young_interval(cost, mtbf):
    """Work between checkpoints, first order (s): ``sqrt(2 delta M)``.

    Examples
    --------
    >>> round(float(young_interval(60.0, 11124.0)), 5)
    1155.37007
    """
    return np.sqrt(2.0 * cost * mtbf)


def daly_interval(cost, mtbf):
    """Work between checkpoints, higher order (s).

    ``sqrt(2 delta M) [1 + (1/3) sqrt(delta/2M) + (1/9) delta/2M] - delta`` for delta < 2 M, else M.

    Examples
    --------
    >>> round(float(daly_interval(60.0, 11124.0)), 5), float(daly_interval(900.0, 400.0))
    (1115.71628, 400.0)
    """
    ratio = cost / (2.0 * mtbf)
    higher = young_interval(cost, mtbf) * (1.0 + np.sqrt(ratio) / 3.0 + ratio / 9.0) - cost
    return np.where(cost < 2.0 * mtbf, higher, mtbf)


@stage
def exact_interval(cost, mtbf):
    """Work between checkpoints that maximises goodput (s): ``M (1 + W0(-exp(-1 - delta/M)))``.

    Solved as ``y = 1 - exp(-delta/M - y)``, tau = y M, which keeps all digits where Lambert's W does not.

    Examples
    --------
    >>> round(float(exact_interval(60.0, 11124.0)), 5), round(float(exact_interval(600.0, 600.0)), 6)
    (1115.7211, 504.843396)
    """
    if mtbf == math.inf:
        return math.inf if cost > 0.0 else 0.0
    x = cost / mtbf
    y = min(1.0, math.sqrt(2.0 * x))
    for _ in range(100):
        gain = -math.expm1(-(x + y))
        slope = gain  # 1 - exp(-(x + y))
        if slope <= 0.0:
            break
        step = (y - gain) / slope
        y -= step
        if abs(step) <= 1e-16 * y:
            break
    return y * mtbf


def goodput(interval, cost, restart, mtbf):
    """Share of the time that is useful work: ``tau / (M exp(R/M) (exp((tau + delta)/M) - 1))``.

    Parameters
    ----------
    interval, cost, restart : tau (work between checkpoints), delta, R (s); failures may hit each of them.
    mtbf : M, of the whole job (s).

    Examples
    --------
    >>> round(float(goodput(2349.51278, 300.0, 600.0, 10800.0)), 9)
    0.740157408
    """
    return interval / (mtbf * np.exp(restart / mtbf) * np.expm1((interval + cost) / mtbf))


def goodput_first_order(interval, cost, restart, mtbf):
    """The same for rare failures: ``1 - delta/tau - (tau + delta)/(2 M) - R/M``.

    0.694 at delta = 300 s, R = 600 s, M = 3 h, where the full form has 0.740.
    """
    return 1.0 - cost / interval - (interval + cost) / (2.0 * mtbf) - restart / mtbf


def restart_share(restart, mtbf):
    """Share of the time that goes into restarts: ``1 - exp(-R/M)``."""
    return -np.expm1(-restart / mtbf)


def checkpoint_bytes(params, bytes_per_param):
    """Size of a checkpoint (byte).

    Examples
    --------
    >>> float(checkpoint_bytes(405853388800.0, 14.0))
    5681947443200.0
    """
    return params * bytes_per_param
