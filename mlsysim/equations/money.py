"""Money: what capital costs per unit of time, and when owning beats renting.

References
----------
Barroso, Hölzle, Ranganathan 2018, "The Datacenter as a Computer", 3rd edition, chapter 6 (cost per
server-time:
depreciation with interest, building, energy, maintenance).
"""

import numpy as np


def capital_recovery_factor(interest, periods):
    """Level payment per period that repays a loan of 1: ``i / (1 - (1 + i)^-n)``, and ``1 / n`` at i = 0.

    Parameters
    ----------
    interest : i, cost of capital per period (1), >= 0.
    periods : n, life in the same periods (1), > 0; not necessarily whole.

    Examples
    --------
    >>> round(float(capital_recovery_factor(0.08, 4.0)), 9), float(capital_recovery_factor(0.0, 4.0))
    (0.301920804, 0.25)
    """
    repaid = -np.expm1(-periods * np.log1p(interest))
    return np.where(interest > 0, interest / np.where(interest > 0, repaid, 1.0), 1.0 / periods)


def discount(interest, periods):
    """Present value of 1 paid after some periods: ``(1 + i)^-n``.

    Examples
    --------
    >>> round(float(discount(0.08, 4.0)), 8)
    0.73502985
    """
    return np.exp(-periods * np.log1p(interest))


def capital_charge(price, residual, interest, periods):
    """Level charge per period for something bought at `price` and sold for `residual`: ``(price - residual
    (1 + i)^-n) CRF``.

    Parameters
    ----------
    price, residual : USD, now and at the end of the life.
    interest, periods : i per period, n periods.

    Examples
    --------
    >>> [round(float(capital_charge(30.72e6, residual, 0.08, 4.0)), 2) for residual in (0.0, 3.072e6)]
    [9275007.11, 8593266.4]
    """
    return (price - residual * discount(interest, periods)) * capital_recovery_factor(interest, periods)


def payback_time(investment, saving):
    """Time after which an investment has paid for itself, without interest (s): ``investment / saving``.

    Parameters
    ----------
    investment : USD.
    saving : USD/s saved by it; zero or less: never (inf).
    """
    return np.where(saving > 0, investment / np.where(saving > 0, saving, 1.0), np.inf)


def per_million(total, number):
    """What a million cost, when `number` of them cost `total` (money, energy, carbon); inf for none of them at a cost.

    Examples
    --------
    >>> float(per_million(5.0, 2e6)), float(per_million(5.0, 0.0)), float(per_million(0.0, 0.0))
    (2.5, inf, 0.0)
    """
    some = number > 0
    return np.where(some, total * (1e6 / np.where(some, number, 1.0)), np.where(total > 0, np.inf, 0.0))


def per_unit(total, number):
    """What one of `number` costs when together they cost `total`: 0 where nothing is paid, inf for none at a cost.

    Examples
    --------
    >>> float(per_unit(3.0, 2.0)), float(per_unit(3.0, 0.0)), float(per_unit(0.0, 0.0))
    (1.5, inf, 0.0)
    """
    some = number > 0
    return np.where(some, total / np.where(some, number, 1.0), np.where(total > 0, np.inf, 0.0))
