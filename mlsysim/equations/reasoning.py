"""Thinking longer and sampling more: contexts that grow, samples that cover.

References
----------
Wei et al. 2022, chain of thought (arXiv:2201.11903); Snell et al. 2024 (arXiv:2408.03314); Chen et al. 2021,
pass@k (arXiv:2107.03374); Brown et al. 2024, coverage (arXiv:2407.21787).
"""

import numpy as np

from mlsysim.equations.stage import stage


def coverage(success_rate, samples):
    """Probability that at least one of k independent samples is right: ``1 - (1 - p)^k``.

    Examples
    --------
    >>> float(np.round(coverage(0.2, 10.0), 9))
    0.892625818
    """
    wrong = np.log1p(-np.minimum(success_rate, 1.0 - 2.0**-53))
    return -np.expm1(samples * wrong)


@stage
def pass_at_k(samples, correct, k):
    """Unbiased estimate of coverage from c right answers among n: ``1 - C(n - c, k) / C(n, k)``.

    Parameters
    ----------
    samples, correct, k : n, c <= n, k <= n, whole numbers.

    Examples
    --------
    >>> float(np.round(pass_at_k(200.0, 40.0, 10.0), 9))
    0.898710594
    """
    missed = 1.0
    drawn = 0.0
    while drawn < k:
        left = samples - correct - drawn
        if left <= 0.0:
            return 1.0
        missed *= left / (samples - drawn)
        drawn += 1.0
    return 1.0 - missed
