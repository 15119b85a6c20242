"""Requests that are dealt out at random: how many of them the fullest of some groups has.

References
----------
Cornish and Fisher 1938, "Moments and cumulants in the specification of distributions" (Revue de l'Institut international de
statistique 5), for the skew; Blom 1958 for the largest deviate (`normal.largest_deviate`).
"""

import numpy as np

from mlsysim.equations.normal import largest_deviate


def fullest(groups, requests):
    """Requests of the fullest of g groups over which n are dealt at random, mean: ``n/g + z s + (1 - 2/g)(z^2 - 1)/6``.

    Each group has a binomial number, ``s^2 = n/g (1 - 1/g)``; z is the largest of g normal deviates.  One group has all.

    Notes
    -----
    From one request for every fourth group on within 12 % of dealt hands (2 to 48 groups), from one for each on within 7 %.

    Examples
    --------
    >>> [round(float(fullest(32.0, n)), 1) for n in (1.0, 32.0, 4096.0)], float(fullest(1.0, 7.0))  # dealt: 1, 3.5, 152
    ([1.0, 3.5, 151.5], 7.0)
    """
    each, z = requests / groups, largest_deviate(groups)
    deviation = np.sqrt(each * (1.0 - 1.0 / groups))
    most = each + z * deviation + (1.0 - 2.0 / groups) * (z * z - 1.0) / 6.0
    return np.where(
        groups > 1, np.minimum(np.maximum(most, np.maximum(each, 1.0)), np.maximum(requests, 1.0)), requests
    )
