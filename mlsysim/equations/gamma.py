"""The gamma function and distribution, in loops of plain arithmetic: the same bits from every mathematical library.

References
----------
Abramowitz and Stegun 1964, 6.1.15 and 6.1.41 (recurrence and Stirling's series).
Press et al. 2007, "Numerical Recipes", section 6.2 (incomplete gamma function).
"""

import math

from mlsysim.equations.stage import stage

_NEGLIGIBLE = 1e-16  # a term of a sum that no longer changes it
_HOPELESS = 1e30  # a number beside which nothing counts
_LARGE = 16.0  # from where on Stirling's series has the digits of a double
_HALF_LOG_TWO_PI = 0.9189385332046728


@stage
def log_gamma(x):
    """Logarithm of the gamma function of x > 0: ``(x - 1/2) ln x - x + ln(2 pi) / 2 + 1/12x - 1/360x^3 ...``.

    Notes
    -----
    From 16 on; below, ``ln Gamma(x) = ln Gamma(x + n) - ln(x (x + 1) ...)``.  Absolute error below 1e-13 up to 1e3.
    Infinite at 0 and NaN below, where the recurrence would never end.

    Examples
    --------
    >>> round(float(log_gamma(5.0)), 12), round(float(log_gamma(0.5)), 12)  # ln 24, ln(pi) / 2
    (3.178053830348, 0.572364942925)
    """
    if x <= 0.0:
        return math.inf if x == 0.0 else math.nan
    product = 1.0
    while x < _LARGE:
        product *= x
        x += 1.0
    square = 1.0 / (x * x)
    series = (
        1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square * (1.0 / 1680.0 - square / 1188.0)))
    ) / x
    return (x - 0.5) * math.log(x) - x + _HALF_LOG_TWO_PI + series - math.log(product)


@stage(outputs=2)
def gamma_shares(shape, x):
    """Lower and upper share of the gamma distribution of unit scale at `x`: P(k, x), Q(k, x).

    Series below k + 1, Lentz's continued fraction above (Press et al. 2007, "Numerical Recipes", section
    6.2).
    """
    if x <= 0.0:
        return 0.0, 1.0
    front = math.exp(shape * math.log(x) - x - log_gamma(shape))
    if x < shape + 1.0:
        term = 1.0 / shape
        total = term
        n = shape
        while term > _NEGLIGIBLE * total:
            n += 1.0
            term *= x / n
            total += term
        lower = min(front * total, 1.0)
        return lower, 1.0 - lower
    b = x + 1.0 - shape
    c = _HOPELESS
    d = 1.0 / b
    h = d
    i = 0.0
    while i < 1e5:
        i += 1.0
        numerator = -i * (i - shape)
        b += 2.0
        d = 1.0 / (numerator * d + b)
        c = b + numerator / c
        h *= d * c
        if abs(d * c - 1.0) < 10.0 * _NEGLIGIBLE:
            break
    upper = min(front * h, 1.0)
    return 1.0 - upper, upper


@stage
def kummer(shape, z):
    """M(1, k + 1, -z) for z >= 0, a mean of k / (k + n) over a Poisson number n of mean z."""
    if z > 200.0 + 20.0 * shape:  # asymptotic series k/z (1 - (k - 1)/z + ...)
        term = shape / z
        total = 0.0
        for m in range(1, 30):
            total += term
            term *= (m - shape) / z
        return total
    mode = float(int(z))
    peak = 1.0 if z == 0.0 else math.exp(mode * math.log(z) - z - log_gamma(mode + 1.0))
    total = peak * shape / (shape + mode)
    weight = peak
    n = mode
    while weight > _NEGLIGIBLE * peak:
        n += 1.0
        weight *= z / n
        total += weight * shape / (shape + n)
    weight = peak
    n = mode
    while n > 0.0 and weight > _NEGLIGIBLE * peak:
        weight *= n / z
        n -= 1.0
        total += weight * shape / (shape + n)
    return total
