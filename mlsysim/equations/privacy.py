"""Differential privacy: the Renyi accountant of the subsampled Gaussian mechanism, and what noise costs.

References
----------
Abadi et al. 2016, "Deep learning with differential privacy" (arXiv:1607.00133).
Mironov 2017, "Renyi differential privacy" (arXiv:1702.07476): the classic conversion.
Mironov, Talwar, Zhang 2019, "Renyi differential privacy of the sampled Gaussian mechanism"
(arXiv:1908.10530).
Balle et al. 2020 (arXiv:1905.09982); Canonne, Kamath, Steinke 2020 (arXiv:2004.00010): the improved
conversion.
"""

import math

import numpy as np

from mlsysim.equations.counting import floor_div
from mlsysim.equations.stage import stage

_TINY = 1e-17  # a term of a sum that no longer changes it
HIGH_ORDER = 1024.0  #: above which only the terms that count are summed
LARGEST_ORDER = 2.0**20  #: at which ``ln(1/delta) / order`` is 1e-5


@stage
def log_add(a, b):
    """``ln(e^a + e^b)`` without overflow."""
    high = max(a, b)
    low = min(a, b)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


@stage
def log_subtract(a, b):
    """``ln(e^a - e^b)`` for a >= b."""
    if b == -math.inf:
        return a
    return -math.inf if b >= a else a + math.log(-math.expm1(b - a))


@stage
def log_erfc(x):
    """``ln(erfc(x))``, also where erfc underflows.

    Examples
    --------
    >>> round(float(log_erfc(1.0)), 12), round(float(log_erfc(40.0)), 9)
    (-1.849605509933, -1604.261556653)
    """
    if x < 20.0:
        return math.log(math.erfc(x))
    total = 1.0  # asymptotic series 1 - 1/2x^2 + 3/4x^4 - ...
    term = 1.0
    for k in range(1, 12):
        term *= -(2.0 * k - 1.0) / (2.0 * x * x)
        total += term
    return -x * x - math.log(x) - 0.5 * math.log(math.pi) + math.log(total)


@stage
def _log_moment_whole(q, sigma, order):
    """``ln sum_k C(a, k) (1-q)^(a-k) q^k exp((k^2 - k) / 2 sigma^2)`` for a whole order a."""
    total = -math.inf
    log_q = math.log(q)
    log_rest = math.log1p(-q)
    log_binomial = 0.0
    k = 0.0
    while k <= order:
        term = log_binomial + k * log_q + (order - k) * log_rest + (k * k - k) / (2.0 * sigma * sigma)
        total = log_add(total, term)
        log_binomial += math.log((order - k) / (k + 1.0)) if k < order else 0.0
        k += 1.0
    return total


@stage
def _log_moment_high(q, sigma, order):
    """The same for a high order: the terms around the largest, from k = a q on, up and down until they no longer count.

    Where the last terms would grow again (``a / sigma^2 > ln((1-q) / q)``) the order proves nothing: inf.
    """
    log_odds = math.log(q) - math.log1p(-q)
    if order > -sigma * sigma * log_odds:
        return math.inf
    start = math.floor(order * q)
    # over the weight of `start`: the weights of the binomial law, and the terms, which are weights times exp(...)
    weights = 1.0
    terms = (start * start - start) / (2.0 * sigma * sigma)
    for way in (1.0, -1.0):
        k = start
        weight = 0.0
        while 0.0 <= k + way <= order:
            odds = (order - k) / (k + 1.0) if way > 0.0 else k / (order - k + 1.0)
            weight += math.log(odds) + way * log_odds
            k += way
            term = weight + (k * k - k) / (2.0 * sigma * sigma)
            rising = way > 0.0 and weight + k / (sigma * sigma) > 0.0
            if weight < -40.0 and term < terms - 40.0 and not rising:
                break
            weights += math.exp(weight)
            terms = log_add(terms, term)
    return terms - math.log(weights)


@stage
def _log_moment_between(q, sigma, order):
    """The same for an order between whole numbers: two alternating series (Mironov et al. 2019)."""
    upper = -math.inf  # positive and negative part of the sum
    lower = -math.inf
    log_q = math.log(q)
    log_rest = math.log1p(-q)
    cut = sigma * sigma * (log_rest - log_q) + 0.5
    scale = math.sqrt(2.0) * sigma
    log_binomial = 0.0
    positive = True
    i = 0.0
    while True:
        j = order - i
        left = log_binomial + i * log_q + j * log_rest + (i * i - i) / (2.0 * sigma * sigma)
        left += math.log(0.5) + log_erfc((i - cut) / scale)
        right = log_binomial + j * log_q + i * log_rest + (j * j - j) / (2.0 * sigma * sigma)
        right += math.log(0.5) + log_erfc((cut - j) / scale)
        if positive:
            upper = log_add(log_add(upper, left), right)
        else:
            lower = log_add(log_add(lower, left), right)
        if max(left, right) < upper + math.log(_TINY) or i > 1e4:
            break
        factor = (order - i) / (i + 1.0)
        if factor < 0.0:
            positive = not positive
        log_binomial += math.log(abs(factor))
        i += 1.0
    return log_subtract(upper, lower)


@stage
def renyi_divergence(q, sigma, order):
    """Renyi divergence of one step of the sampled Gaussian, r(a).

    Parameters
    ----------
    q : sampling rate, 0..1 (Poisson sampling).
    sigma : noise multiplier, standard deviation over clipping norm, > 0.
    order : a > 1, whole or not.

    Notes
    -----
    ``ln(sum_k C(a,k) (1-q)^(a-k) q^k exp((k^2-k)/(2 sigma^2))) / (a-1)``; ``a / (2 sigma^2)`` at q = 1.

    Examples
    --------
    >>> round(float(renyi_divergence(0.01, 1.0, 2.0)), 12), float(renyi_divergence(1.0, 2.0, 8.0))
    (0.000171813422, 1.0)
    """
    if q <= 0.0:
        return 0.0
    if q >= 1.0:
        return order / (2.0 * sigma * sigma)
    if order > HIGH_ORDER:
        moment = _log_moment_high(q, sigma, order)
    elif order == math.floor(order):
        moment = _log_moment_whole(q, sigma, order)
    else:
        moment = _log_moment_between(q, sigma, order)
    return max(moment, 0.0) / (order - 1.0)


@stage
def epsilon_at(q, sigma, steps, delta, order, improved):
    """Epsilon that one order proves.

    Classic ``T r - ln(delta)/(a-1)``, improved ``T r + ln(1-1/a) - (ln delta + ln a)/(a-1)``.
    """
    spent = steps * renyi_divergence(q, sigma, order)
    if improved > 0.5:
        bound = spent + math.log1p(-1.0 / order) - (math.log(delta) + math.log(order)) / (order - 1.0)
    else:
        bound = spent - math.log(delta) / (order - 1.0)
    return max(bound, 0.0)


@stage
def epsilon(q, sigma, steps, delta, improved, fractional):
    """Privacy spent by DP-SGD: the least epsilon over the orders 2..63, 128, 256, 512, 1024, and on by doubling to 2^20
    as long as that proves less (a small epsilon needs orders of some ``ln(1/delta) / epsilon``).

    Parameters
    ----------
    q, sigma, steps : sampling rate, noise multiplier, steps.
    delta : probability outside the guarantee, 0..1.
    improved : 1 for the conversion of Balle 2020 and Canonne 2020, 0 for Mironov's classic one.
    fractional : 1 adds orders in steps of 0.1 up to 10.9 (matters where the best order is below 11).

    Examples
    --------
    >>> round(float(epsilon(256 / 60000, 1.1, 14062.0, 1e-5, 0.0, 1.0)), 5)
    3.00827
    """
    if sigma <= 0.0:
        return math.inf
    best = math.inf
    at = 2.0
    order = 2.0
    while order <= 1024.0:
        bound = epsilon_at(q, sigma, steps, delta, order, improved)
        if bound < best:
            best = bound
            at = order
        if order < 63.0:
            order += 1.0
        elif order == 63.0:
            order = 128.0
        else:
            order *= 2.0
    while at == order * 0.5 and order <= LARGEST_ORDER:  # the best so far is the last that was tried
        bound = epsilon_at(q, sigma, steps, delta, order, improved)
        if bound < best:
            best = bound
            at = order
        order *= 2.0
    if fractional > 0.5 and at <= 12.0:  # the bound has one minimum over the orders
        for tenth in range(int(10.0 * at) - 10, int(10.0 * at) + 11):
            if 10 < tenth < 110 and tenth % 10 != 0:
                best = min(best, epsilon_at(q, sigma, steps, delta, 0.1 * tenth, improved))
    return best


@stage(few=0)
def noise_multiplier(q, wanted, steps, delta, improved, fractional):
    """Noise multiplier that spends `wanted` epsilon: bisection of `epsilon` in sigma (relative 1e-12).

    Examples
    --------
    >>> round(float(noise_multiplier(256 / 60000, 3.0, 14062.0, 1e-5, 0.0, 0.0)), 5)
    1.10201
    """
    if q <= 0.0 or steps <= 0.0:
        return 0.0
    low = 1e-2
    high = 1.0
    while epsilon(q, high, steps, delta, improved, fractional) > wanted:
        low = high
        high *= 2.0
        if high > 1e9:
            return math.inf
    while high - low > 1e-12 * high:
        middle = 0.5 * (low + high)
        if epsilon(q, middle, steps, delta, improved, fractional) > wanted:
            low = middle
        else:
            high = middle
    return high


def sampling_rate(batch_size, dataset_size):
    """Chance that a sample is in a batch: ``q = B/n``, at most 1."""
    return np.minimum(batch_size / dataset_size, 1.0)


def steps_of(epochs, dataset_size, batch_size):
    """Steps of a training: ``floor(epochs n / B)``."""
    return floor_div(epochs * dataset_size, batch_size)


def noise_to_signal(sigma, params, batch_size):
    """Length of the noise over the longest clipped mean gradient: ``sigma sqrt(d) / B``."""
    return sigma * np.sqrt(params) / batch_size


def batch_for_noise(sigma, params, ratio):
    """Batch at which noise is `ratio` of the clipped gradient: ``sigma sqrt(d) / ratio``."""
    return sigma * np.sqrt(params) / ratio
