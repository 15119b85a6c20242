"""Exponentials, logarithms and powers as plain arithmetic, whose bits depend on no mathematical library.

Each function is written once, on numbers, from additions, multiplications, divisions, comparisons and a few
primitives: choosing without a branch, a power of two, exponent and significand, the sign, the floor.  `functions`
binds them to the primitives of arrays (below), of Python's numbers or of a compiler.  IEEE arithmetic rounds each
step in one way, so all of these give the same bits, as long as no compiler fuses a product with a sum or reorders
a sum; and as nothing branches, loops over them vectorise.

Errors in units in the last place, the largest of millions of random arguments: exp 0.53, expm1 0.9, log 0.8,
log1p 0.9, power 0.6 as long as the logarithm of its result is small, 2 at the ends of the range.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

INF = math.inf
NAN = math.nan
#: ``x + ROUND - ROUND`` is x rounded to a whole number, for abs(x) below 2**51: nothing smaller fits beside it
ROUND = 6755399441055744.0
#: logarithms of 2 and of some fractions, in two parts: the first a multiple of 2**-40, so that sums of it and products
#: with whole numbers below 2**12 are exact, the second to 53 bits more
LN2_HIGH, LN2_LOW = 0.6931471805601177, -1.7239444525614835e-13
LN_19_16 = (0.17185025692651834, 1.4088127937111135e-13)
LN_45_32 = (0.3409265869704541, 1.3912841212197566e-13)
LN_27_16 = (0.5232481437642491, 2.987291820444133e-13)
PER_LN2 = 1.4426950408889634
SQRT2 = 1.4142135623730951
SMALLEST_NORMAL = 2.2250738585072014e-308
HALVES = 134217729.0  #: 2**27 + 1 parts a significand into halves whose products are exact (Dekker 1971)


# --- primitives, of arrays -------------------------------------------------------------------------------------------

select = np.where
copysign = np.copysign
floor = np.floor


def power_of_two(n: Any) -> Any:
    """2**n for a whole n from -1022 to 1023: the low bits of ``n + ROUND`` hold n."""
    return ((n + (ROUND + 1023.0)).view(np.int64) << 52).view(np.float64)


def exponent(x: Any) -> Any:
    """The whole n with ``2**n <= x < 2**(n + 1)``, for a normal x > 0."""
    return (x.view(np.int64) >> 52).astype(np.float64) - 1023.0


def significand(x: Any) -> Any:
    """``x / 2**exponent(x)``, for a normal x > 0."""
    return ((x.view(np.int64) & 0x000FFFFFFFFFFFFF) | 0x3FF0000000000000).view(np.float64)


# --- pieces ----------------------------------------------------------------------------------------------------------


def beyond_linear(r: Any) -> Any:
    """``(exp(r) - 1 - r) / r**2`` for abs(r) <= 0.35: Taylor's series, to 2**-57 of ``exp(r)``."""
    q = 1.0 / 6227020800.0
    q = q * r + 1.0 / 479001600.0
    q = q * r + 1.0 / 39916800.0
    q = q * r + 1.0 / 3628800.0
    q = q * r + 1.0 / 362880.0
    q = q * r + 1.0 / 40320.0
    q = q * r + 1.0 / 5040.0
    q = q * r + 1.0 / 720.0
    q = q * r + 1.0 / 120.0
    q = q * r + 1.0 / 24.0
    q = q * r + 1.0 / 6.0
    return q * r + 0.5


def beyond_twice_near(z: Any) -> Any:
    """``(2 atanh(s) - 2 s) / s`` for ``z = s**2 <= 0.0021``, to 2**-65."""
    q = 2.0 / 13.0
    q = q * z + 2.0 / 11.0
    q = q * z + 2.0 / 9.0
    q = q * z + 2.0 / 7.0
    q = q * z + 2.0 / 5.0
    q = q * z + 2.0 / 3.0
    return q * z


def beyond_twice(z: Any) -> Any:
    """``(2 atanh(s) - 2 s) / s`` for ``z = s**2 <= 0.0295``: Taylor's series, to 2**-57 of ``2 atanh(s) / s``."""
    q = 2.0 / 21.0
    q = q * z + 2.0 / 19.0
    q = q * z + 2.0 / 17.0
    q = q * z + 2.0 / 15.0
    q = q * z + 2.0 / 13.0
    q = q * z + 2.0 / 11.0
    q = q * z + 2.0 / 9.0
    q = q * z + 2.0 / 7.0
    q = q * z + 2.0 / 5.0
    q = q * z + 2.0 / 3.0
    return q * z


def product_error(a: Any, b: Any, product: Any) -> Any:
    """``a * b - product``, exactly, where `product` is ``a * b`` rounded."""
    scaled = a * HALVES
    a_high = scaled - (scaled - a)
    scaled = b * HALVES
    b_high = scaled - (scaled - b)
    a_low, b_low = a - a_high, b - b_high
    return a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)


def exponential(x: Any, more: Any) -> Any:
    """``exp(x + more)`` for -746 <= x <= 710 and a small `more`."""
    n = (x * PER_LN2 + ROUND) - ROUND
    high, low = x - n * LN2_HIGH, n * LN2_LOW - more
    r = high - low
    top = 1.0 + r
    value = top + ((r - (top - 1.0)) + (((high - r) - low) + r * r * beyond_linear(r)))
    half = (n * 0.5 + ROUND) - ROUND  # in two steps: the first is exact, the last rounds to a subnormal, 0 or infinity
    return value * power_of_two(half) * power_of_two(n - half)


# --- functions -------------------------------------------------------------------------------------------------------


def exp(x: Any) -> Any:
    """The exponential of x."""
    return exponential(select(x > 710.0, 710.0, select(x < -746.0, -746.0, x)), 0.0)


def expm1(x: Any) -> Any:
    """``exp(x) - 1`` without cancellation."""
    inside = select(x > 710.0, 710.0, select(x < -40.0, -40.0, x))
    n = (inside * PER_LN2 + ROUND) - ROUND
    high, low = inside - n * LN2_HIGH, n * LN2_LOW
    r = high - low
    part = r + (((high - r) - low) + r * r * beyond_linear(r))
    half = power_of_two(n - 1.0)
    value = 2.0 * (half * part + (half - 0.5))
    return select(abs(x) < 5.0e-17, x, select(n == 0.0, part, value))


def log(x: Any) -> Any:
    """The natural logarithm of x."""
    some = select(x > 0.0, x, 1.0)
    tiny = some < SMALLEST_NORMAL
    normal = select(tiny, some * 18014398509481984.0, some)  # 2**54
    m = significand(normal)
    above = m > SQRT2
    n = exponent(normal) + select(above, 1.0, 0.0) - select(tiny, 54.0, 0.0)
    f = select(above, 0.5 * m, m) - 1.0
    s = f / (2.0 + f)
    squared = 0.5 * f * f
    value = n * LN2_HIGH - ((squared - (s * (squared + beyond_twice(s * s)) + n * LN2_LOW)) - f)
    return select(x > 0.0, select(x < INF, value, x), select(x == 0.0, -INF, NAN))


def log1p(x: Any) -> Any:
    """``log(1 + x)`` without cancellation."""
    some = select(x > -1.0, select(x < INF, x, 1.0), 1.0)
    whole = 1.0 + some
    lost = select(some > 1.0, 1.0 - (whole - some), some - (whole - 1.0))
    m = significand(whole)
    above = m > SQRT2
    n = exponent(whole) + select(above, 1.0, 0.0)
    near = n == 0.0
    f = select(near, some, select(above, 0.5 * m, m) - 1.0)
    # what the sum lost, over the sum: it is so small that a rough reciprocal serves
    lost = select(near, 0.0, lost * power_of_two(-n) * (1.0 - f * (1.0 - f * (1.0 - f))))
    s = f / (2.0 + f)
    squared = 0.5 * f * f
    value = n * LN2_HIGH - ((squared - (s * (squared + beyond_twice(s * s)) + (n * LN2_LOW + lost))) - f)
    value = select(abs(x) < 5.0e-17, x, value)
    return select(x > -1.0, select(x < INF, value, x), select(x == -1.0, -INF, NAN))


def power(x: Any, y: Any) -> Any:
    """x to the power of y, with the special cases of IEEE 754.

    The logarithm is taken to some 62 bits, as its error grows by y: in two parts, from a significand that is divided by
    the nearest of four numbers, so that the series begins with a small term.
    """
    size = abs(x)
    some = select(size > 0.0, select(size < INF, size, 1.0), 1.0)
    tiny = some < SMALLEST_NORMAL
    normal = select(tiny, some * 18014398509481984.0, some)
    m = significand(normal)
    above, third, second, first = m > 1.84, m > 1.54, m > 1.29, m > 1.09
    n = exponent(normal) + select(above, 1.0, 0.0) - select(tiny, 54.0, 0.0)
    m = select(above, 0.5 * m, m)
    near = select(above, 1.0, select(third, 1.6875, select(second, 1.40625, select(first, 1.1875, 1.0))))
    known = select(above, 0.0, select(third, LN_27_16[0], select(second, LN_45_32[0], select(first, LN_19_16[0], 0.0))))
    known_low = select(
        above, 0.0, select(third, LN_27_16[1], select(second, LN_45_32[1], select(first, LN_19_16[1], 0.0)))
    )
    f, d = m - near, m + near
    inverse = 1.0 / d
    s = f * inverse
    whole = s * d
    s_low = (((f - whole) - product_error(s, d, whole)) - s * (m - (d - near))) * inverse
    known = known + n * LN2_HIGH
    top = known + 2.0 * s
    low = (2.0 * s - (top - known)) + ((s * beyond_twice_near(s * s) + 2.0 * s_low) + (n * LN2_LOW + known_low))
    high = top + low
    low = low - (high - top)

    far = select(
        y > 1.0e20, 1.0e20, select(y < -1.0e20, -1.0e20, y)
    )  # beyond, every power of what is not 1 is 0 or infinite
    product = far * high
    more = product_error(far, high, product) + far * low
    inside = (product > -746.0) & (product < 710.0)
    value = exponential(
        select(product > 710.0, 710.0, select(product < -746.0, -746.0, product)), select(inside, more, 0.0)
    )

    value = select(size == 0.0, select(y < 0.0, INF, 0.0), value)
    value = select(size == INF, select(y < 0.0, 0.0, INF), value)
    is_whole = floor(far) == far
    odd = is_whole & (floor(0.5 * far) != 0.5 * far)
    value = select(odd, copysign(value, x), value)
    defined = (x >= 0.0) | (x == -INF) | (is_whole & (x == x))
    value = select(defined & (y == y), value, NAN)
    return select((y == 0.0) | (x == 1.0), 1.0, value)


#: those that a kernel names, by their names in a graph
NAMES: dict[str, Callable[..., Any]] = {"exp": exp, "expm1": expm1, "log": log, "log1p": log1p, "pow": power}
#: all, each behind those that it calls
_ALL = (beyond_linear, beyond_twice, beyond_twice_near, product_error, exponential, *NAMES.values())


def functions(
    primitives: Mapping[str, Callable[..., Any]], made: Callable[[Any], Any] = lambda function: function
) -> dict[str, Any]:
    """The functions of this module on other primitives, by name.

    Parameters
    ----------
    primitives : mapping
        ``select``, ``power_of_two``, ``exponent``, ``significand``, ``copysign`` and ``floor``.
    made : callable, optional
        What is done with each function: a compiler's decorator.
    """
    scope = {**globals(), **primitives}
    for function in _ALL:
        name = function.__name__
        scope[name] = made(types.FunctionType(function.__code__, scope, name))
    return {op: scope[function.__name__] for op, function in NAMES.items()}


# --- of Python's numbers ---------------------------------------------------------------------------------------------


def _significand(x: float) -> float:
    return 2.0 * math.frexp(x)[0]


NUMBERS: dict[str, Callable[..., float]] = functions(
    {
        "select": lambda condition, chosen, other: chosen if condition else other,
        "power_of_two": lambda n: math.ldexp(1.0, int(n)) if n == n else n,
        "exponent": lambda x: math.frexp(x)[1] - 1.0,
        "significand": _significand,
        "copysign": math.copysign,
        "floor": lambda x: float(math.floor(x)) if x == x else x,
    }
)
