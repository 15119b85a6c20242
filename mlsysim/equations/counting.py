"""Whole numbers: the only floor, ceiling and divisibility of the project.

Counts are floats, as every other quantity, so that one kernel serves numbers, arrays and compiled
loops.  The quotients below are exact under IEEE division, which rounds correctly: where ``n`` is a
whole multiple of ``d`` the quotient *is* that whole number, and otherwise it can only reach the next
one beyond 2**53.  That holds because the compiled loops use no fast-math flag: with ``arcp`` an
``n / d`` becomes ``n * (1 / d)`` and 319 of 13,719 exact multiples get the wrong floor (first at
d = 49).  A test keeps other floors of a quotient out of the project.
"""

import numpy as np


def floor_div(numerator, denominator):
    """Largest whole number not above ``numerator / denominator``; both > 0, below 2**53."""
    return np.floor(numerator / denominator)


def ceil_div(numerator, denominator):
    """Smallest whole number not below ``numerator / denominator``; both > 0, below 2**53.

    >>> float(ceil_div(98.0, 49.0)), float(ceil_div(99.0, 49.0))
    (2.0, 3.0)
    """
    return np.ceil(numerator / denominator)


def remainder(numerator, denominator):
    """What is left of ``numerator`` after whole multiples of ``denominator``."""
    return numerator - denominator * np.floor(numerator / denominator)


def divides(denominator, numerator):
    """Is ``numerator`` a whole multiple of ``denominator``?

    >>> bool(divides(49.0, 98.0)), bool(divides(8.0, 12.0))
    (True, False)
    """
    return np.floor(numerator / denominator) * denominator == numerator


def round_up(number, multiple):
    """Smallest multiple of ``multiple`` not below ``number``."""
    return np.ceil(number / multiple) * multiple


def log2_ceil(number):
    """Smallest whole k with 2**k >= ``number``, for 1 <= number <= 2**32 (levels of a binary tree).

    A sum of comparisons rather than a logarithm: exact, and it vectorises.

    >>> [float(log2_ceil(n)) for n in (1.0, 2.0, 3.0, 8.0, 9.0)]
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    levels = number * 0.0
    for exponent in range(32):
        levels = levels + np.where(number > 2.0**exponent, 1.0, 0.0)
    return levels
