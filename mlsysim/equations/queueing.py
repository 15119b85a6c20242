"""Queues: who waits, for how long, and the tail of the response.

Everything is in units of the mean service time, so that a queue is its number of servers, its offered load
and two squared coefficients of variation.

References
----------
Erlang 1917; Cooper 1981, "Introduction to Queueing Theory", 2nd edition (M/M/c, Erlang B and C).
Allen 1990, "Probability, Statistics and Queueing Theory", 2nd edition (Allen-Cunneen approximation).
Kingman 1961, "The single server queue in heavy traffic".
Dean, Barroso 2013, "The tail at scale", CACM 56(2) (fan-out, hedged requests).
"""

import math

import numpy as np

from mlsysim.equations.gamma import gamma_shares, kummer, log_gamma
from mlsysim.equations.stage import stage

LOST = 2.0**-54  # a term of a sum, over the sum, that no longer changes a bit of it
HOPELESS = 1e30  # 1/B beyond which nobody waits
_ROUNDED = 2e-15  # shares, and times, that are told apart by no more than rounding
_LEAST = 1e-300  # a tail that a logarithm is taken of
_CONSTANT = 1e-6  # squared variation of service below which it is taken as constant


# --- who waits -----------------------------------------------------------------------------------------


@stage(lanes=True)
def erlang_c(servers, load):
    """Probability that an arrival waits in M/M/c: Erlang C, exact for every whole number of servers.

    Parameters
    ----------
    servers : c, at least 1; between whole numbers the sum ends with a part of a server (1).
    load : a, arrival rate times service time (1); from a >= c on everybody waits.

    Notes
    -----
    ``1/B = 1 + c/a + c (c - 1)/a^2 + ...``, summed from its largest terms, about 8 sqrt(c) of them near
    saturation, then ``C = B / (1 - (a/c) (1 - B))``: no overflow, no recursion over all c.

    Examples
    --------
    >>> round(float(erlang_c(10.0, 8.0)), 8), round(float(erlang_c(1e4, 9900.0)), 12)
    (0.40918015, 0.222776928864)
    """
    some = load > 0.0
    # 25 (50, 100, 200) factors of at least 15.9 (4, 2, 1.42): the last of their terms is beyond 1e30
    few = servers <= 24.0 + 15.9 * load and servers <= 49.0 + 4.0 * load
    few = few and servers <= 99.0 + 2.0 * load and servers <= 199.0 + 1.42 * load
    total = 1.0 if some and few and load < servers else HOPELESS
    term = 1.0
    j = servers
    per = 1.0 / (load if some else 1.0)
    while term > LOST * total and total < HOPELESS:  # the term of no server is 0, as are all after it
        term *= j * per
        total += term
        j = j - 1.0 if j > 1.0 else 0.0
    blocked = 1.0 / total
    busy = blocked / (1.0 - load / servers * (1.0 - blocked)) if total < HOPELESS else 0.0
    return 1.0 if load >= servers else (busy if load < servers else load + servers)


def variability(arrival_scv, service_scv):
    """Factor of Allen and Cunneen on the mean wait of M/M/c: ``(ca^2 + cs^2) / 2``.

    Notes
    -----
    Exact for M/M/c and M/G/1, an approximation (no bound) otherwise.  True mean wait over this one,
    simulated (hyperexponential laws for 4):

    ========================  =======  =========  =========  ==========
    arrivals, service         servers  rho = 0.5  rho = 0.8  rho = 0.95
    ========================  =======  =========  =========  ==========
    Poisson, constant         10       1.3        1.07
    Poisson, cs^2 = 4         10       0.6        0.8        0.97
    ca^2 = 4, exponential     4                   1.1
    ca^2 = 4, exponential     10       2.6        1.3
    ========================  =======  =========  =========  ==========

    Within 6 % only where c (1 - rho) <= 0.5.
    """
    return 0.5 * (arrival_scv + service_scv)


def wait_decay(servers, load, factor):
    """Rate at which the wait of those who wait decays, per service time: ``(c - a) / factor``; 0 unstable.

    The mean wait is ``C / decay``, the wait of those who wait is taken as exponential (exact for M/M/c; for
    M/D/1 the 99th percentile is 6 to 19 % high).
    """
    spare = np.maximum(servers - load, 0.0)
    return np.where(factor > 0, spare / np.where(factor > 0, factor, 1.0), np.where(spare > 0, np.inf, 0.0))


def mean_wait(waiting, decay):
    """Mean wait in service times: ``C / decay``; nobody waits at C = 0, forever at decay 0."""
    return np.where(waiting > 0, waiting / np.where(waiting > 0, decay, 1.0), 0.0)


def wait_quantile(waiting, decay, tail):
    """Wait that a share `tail` of arrivals exceeds, in service times: ``max(0, ln(C / tail) / decay)``.

    Examples
    --------
    >>> round(float(wait_quantile(0.5, 0.5, 0.01)), 8)  # M/M/1 at half load
    7.82404601
    """
    some = waiting > tail
    return np.where(some, np.log(np.where(some, waiting / tail, 1.0)) / np.where(some, decay, 1.0), 0.0)


def thinned_scv(arrival_scv, ways):
    """Squared variation of a stream split at random into n: ``1 + (ca^2 - 1) / n``."""
    return 1.0 + (arrival_scv - 1.0) / ways


# --- response: wait plus service -----------------------------------------------------------------------


@stage
def response_tail(x, waiting, decay, service_scv):
    """Share of responses longer than `x`; wait and service independent.

    Parameters
    ----------
    x : response in service times (1).
    waiting : C, share that waits; their wait is exponential with rate `decay` (per service time).
    service_scv : squared coefficient of variation of the service: 1 exponential, 0 (below 1e-6) constant,
        otherwise gamma.

    Notes
    -----
    ``P(T > x) = P(S > x) + C exp(-decay x) E[exp(decay S); S <= x]``.  Exponential service (exact),
    with ``d = |decay - 1|``: ``exp(-x) + C exp(-min(1, decay) x) (1 - exp(-d x)) / d``; for one server
    ``exp(-(1 - rho) x)``. Gamma service of shape k: ``(1 - decay/k)^-k P(k, (k - decay) x)``, or Kummer's
    function where decay > k.
    """
    if x <= 0.0 or decay <= 0.0:
        return 1.0
    waits = waiting > 0.0 and decay < math.inf
    if service_scv == 1.0:
        tail = math.exp(-x)
        if waits:
            gap = abs(decay - 1.0)
            tail += waiting * math.exp(-min(1.0, decay) * x) * (x if gap == 0.0 else -math.expm1(-gap * x) / gap)
        return tail
    if service_scv < _CONSTANT:
        if x < 1.0:
            return 1.0
        return waiting * math.exp(-decay * (x - 1.0)) if waits else 0.0
    shape = 1.0 / service_scv
    tail = gamma_shares(shape, shape * x)[1]
    if waits:
        if decay < shape:
            grown = gamma_shares(shape, (shape - decay) * x)[0]
            if grown > 0.0:
                tail += waiting * math.exp(math.log(grown) - decay * x - shape * math.log1p(-decay / shape))
        else:
            front = shape * math.log(shape * x) - shape * x - log_gamma(shape + 1.0)
            tail += waiting * math.exp(front) * kummer(shape, (decay - shape) * x)
    return min(tail, 1.0)


@stage
def hedged_tail(x, waiting, decay, service_scv, hedge):
    """Share of responses above `x` when a second request leaves after `hedge`: ``P(X > x) P(X > x - h)``."""
    tail = response_tail(x, waiting, decay, service_scv)
    if x > hedge:
        tail *= response_tail(x - hedge, waiting, decay, service_scv)
    return tail


@stage
def response_quantile(tail, waiting, decay, service_scv, hedge):
    """Response that a share `tail` exceeds, in service times; inf for an unstable queue.

    Parameters
    ----------
    tail : 1 - q (1); for the slowest of n answers `fan_out_tail`.
    waiting, decay, service_scv : see `response_tail`.
    hedge : time after which a second request leaves, in service times (inf: none).

    Examples
    --------
    >>> round(float(response_quantile(0.01, 0.5, 0.5, 1.0, np.inf)), 9)  # M/M/1: ln(100) / (1 - rho)
    9.210340372
    """
    if decay <= 0.0:
        return math.inf
    if tail >= 1.0:
        return 0.0
    if tail <= 0.0:
        return math.inf
    low = 0.0
    high = 1.0
    over = 1.0  # tail at `low`, and at `high`
    under = hedged_tail(high, waiting, decay, service_scv, hedge)
    while under > tail:
        low = high
        over = under
        high *= 2.0
        if high > 1e300:
            return math.inf
        under = hedged_tail(high, waiting, decay, service_scv, hedge)
    # regula falsi on the logarithm of the tail, halving an end kept twice and, for jumps, every third bracket
    above = math.log(over / tail)
    below = math.log(max(under, _LEAST) / tail)
    side = 0.0
    turn = 0.0
    while high - low > _ROUNDED * high:
        turn = turn + 1.0 if turn < 3.0 else 1.0
        middle = low + (high - low) * (above / (above - below))
        if turn == 3.0 or middle <= low or middle >= high:
            middle = 0.5 * (low + high)
            if middle <= low or middle >= high:  # no number lies between them: a time of 0, to all digits
                return high
        value = math.log(max(hedged_tail(middle, waiting, decay, service_scv, hedge), _LEAST) / tail)
        if abs(value) < _ROUNDED:
            return middle
        if value > 0.0:
            low = middle
            above = value
            below = 0.5 * below if side > 0.0 else below
            side = 1.0
        else:
            high = middle
            below = value
            above = 0.5 * above if side < 0.0 else above
            side = -1.0
    return high


@stage(outputs=3)
def queue(servers, load, arrival_scv, service_scv, hedge):
    """State of G/G/c with hedging: load really offered, share that waits, decay of the wait.

    Parameters
    ----------
    servers, load : c, a.
    arrival_scv, service_scv : squared coefficients of variation.
    hedge : time after which a second request leaves, in service times (inf: none); it is not cancelled.

    Notes
    -----
    Hedging adds ``P(X > hedge)`` of the load, which lengthens X: the least fixed point, found from below.
    """
    factor = 0.5 * (arrival_scv + service_scv)
    offered = load
    waiting = 0.0
    decay = 0.0
    for _ in range(1000):
        spare = servers - offered
        waiting = erlang_c(servers, offered)
        if spare <= 0.0:
            return offered, 1.0, 0.0
        decay = spare / factor if factor > 0.0 else math.inf
        if factor == 0.0:
            waiting = 0.0
        if hedge == math.inf:
            break
        new = load * (1.0 + response_tail(hedge, waiting, decay, service_scv))
        if new - offered <= 1e-14 * new:
            break
        offered = new
    return offered, waiting, decay


def state(servers, load, arrival_scv, service_scv, hedge=None):
    """State of G/G/c: load really offered, share that waits, decay of the wait; see `queue`, which hedging takes.

    Parameters
    ----------
    servers, load : c, a.
    arrival_scv, service_scv : squared coefficients of variation.
    hedge : time after which a second request leaves, in service times; None where none does.

    Examples
    --------
    >>> [float(found) for found in state(1.0, 0.5, 1.0, 1.0)]  # M/M/1 at half load
    [0.5, 0.5, 0.5]
    """
    if hedge is not None:
        return queue(servers, load, arrival_scv, service_scv, hedge)
    factor = variability(arrival_scv, service_scv)
    some = (factor > 0) | (load >= servers)  # without variation nobody waits for a free server
    return load, np.where(some, erlang_c(servers, load), 0.0), wait_decay(servers, load, factor)


# --- many leaves ---------------------------------------------------------------------------------------


def fan_out_tail(tail, leaves):
    """Tail of one leaf when the slowest of n may exceed with `tail`: ``1 - (1 - tail)^(1/n)``.

    Examples
    --------
    >>> round(1.0 - float(fan_out_tail(0.01, 100.0)), 10)
    0.9998995017
    """
    return -np.expm1(np.log1p(-tail) / leaves)


def slowest_tail(tail, leaves):
    """Tail of the slowest of n leaves: ``1 - (1 - tail)^n``."""
    return -np.expm1(leaves * np.log1p(-tail))


#: the Euler-Mascheroni constant, limit of H_n - ln n
EULER = 0.5772156649015329


@stage
def harmonic(n):
    """H_n = 1 + 1/2 + ... + 1/n: mean of the slowest of n exponential answers over one answer.

    The exact sum, of a whole number of terms; `batching.steps_to_balance` takes an expansion that needs no table.

    Examples
    --------
    >>> round(float(harmonic(100.0)), 8)
    5.18737752
    """
    if n > 1e6:
        return math.log(n) + EULER + 0.5 / n - 1.0 / (12.0 * n * n)
    total = 0.0
    k = n
    while k >= 1.0:
        total += 1.0 / k
        k -= 1.0
    return total


# Gauss-Legendre nodes and weights on [-1, 1], 16 points, positive half
_NODES = (
    0.0950125098376374402,
    0.2816035507792589132,
    0.4580167776572273863,
    0.6178762444026437484,
    0.7554044083550030339,
    0.8656312023878317439,
    0.9445750230732325761,
    0.9894009349916499326,
)
_WEIGHTS = (
    0.1894506104550684963,
    0.1826034150449235889,
    0.1691565193950025382,
    0.1495959888165767321,
    0.1246289712555338721,
    0.0951585116824927848,
    0.0622535239386478929,
    0.0271524594117540949,
)


@stage
def _slowest_at(x, waiting, decay, service_scv, hedge, leaves):
    """Share of fan-outs to n leaves of which one takes longer than `x`."""
    tail = hedged_tail(x, waiting, decay, service_scv, hedge)
    return 1.0 if tail >= 1.0 else -math.expm1(leaves * math.log1p(-tail))


@stage
def mean_slowest(waiting, decay, service_scv, hedge, leaves):
    """Mean response of the slowest of n leaves, in service times: the integral of its tail.

    Gauss-Legendre panels between quantiles of the tail, split where it bends (one service time, the hedge); of one leaf
    without hedge ``1 + C / decay``, mean service and mean wait.

    Examples
    --------
    >>> round(float(mean_slowest(0.0, 1.0, 1.0, np.inf, 100.0)), 8)  # H_100
    5.18737752
    """
    if decay <= 0.0:
        return math.inf
    if leaves == 1.0 and hedge == math.inf:
        return 1.0 + waiting / decay
    total = 0.0
    low = 0.0
    tail = 0.9999
    while tail > 1e-14:
        leaf = -math.expm1(math.log1p(-tail) / leaves)
        high = max(low, response_quantile(leaf, waiting, decay, service_scv, hedge))
        start = low
        while start < high:  # up to the next bend
            end = high
            if start < 1.0 < end:
                end = 1.0
            if start < hedge < end:
                end = hedge
            if start < 1.0 + hedge < end:
                end = 1.0 + hedge
            middle = 0.5 * (start + end)
            half = 0.5 * (end - start)
            for i in range(8):
                for sign in (-1.0, 1.0):
                    x = middle + sign * half * _NODES[i]
                    total += half * _WEIGHTS[i] * _slowest_at(x, waiting, decay, service_scv, hedge, leaves)
            start = end
        low = high
        tail = tail - 0.3 if tail > 0.7 else tail * 0.25
    return total


# --- gangs: jobs that need several devices at once -----------------------------------------------------
