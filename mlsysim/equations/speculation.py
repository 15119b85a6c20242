"""Speculative decoding: a cheap draft proposes g tokens, the target checks them all in one step.

References
----------
Leviathan, Kalman, Matias 2023, "Fast inference from transformers via speculative decoding"
(arXiv:2211.17192).
"""

from typing import Any

import numpy as np


def tokens_per_round(acceptance, draft_len, max_draft=16):
    """Tokens a round yields: ``(1 - alpha^(g+1)) / (1 - alpha)`` = 1 + alpha + ... + alpha^g.

    Parameters
    ----------
    acceptance : alpha, probability that a drafted token is accepted, 0..1.
    draft_len : g, whole number of drafted tokens, 0..`max_draft`.

    Notes
    -----
    Summed term by term (Horner), which is exact at alpha = 1 and needs no power.

    Examples
    --------
    >>> float(round(tokens_per_round(0.8, 4.0), 4)), float(tokens_per_round(0.7, 0.0))
    (3.3616, 1.0)
    """
    total: Any = 1.0
    power: Any = 1.0
    for drafted in range(1, max_draft + 1):
        power = power * acceptance
        total = total + np.where(draft_len >= drafted, power, 0.0)
    return total


def speedup(acceptance, draft_len, draft_ratio, verification_ratio=1.0):
    """Speed-up over plain decoding: ``tokens per round / (g r + v)``.

    Parameters
    ----------
    acceptance, draft_len : alpha, g.
    draft_ratio : r, draft step over target step.
    verification_ratio : v, step over g + 1 tokens per sequence over a plain step (1 while memory binds).

    Examples
    --------
    >>> float(round(speedup(0.8, 4.0, 0.05), 8))
    2.80133333
    """
    return tokens_per_round(acceptance, draft_len) / (draft_len * draft_ratio + verification_ratio)
