"""Short prompts that the decode replicas compute themselves (conditional disaggregation), and memory for caches that wait.

References
----------
NVIDIA Dynamo documentation, "Disaggregated serving": a prompt is prefilled remotely if more than a number of its tokens are new.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations.normal import normal_tail

#: variation below which lengths are taken as equal
EQUAL = 1e-9


class Split(NamedTuple):
    """Prompts by their length."""

    share: Any  #: of prompts that are at most so long
    short: Any  #: tokens of these, mean
    long: Any  #: tokens of the others, mean


def split(mean, cv, most) -> Split:
    """Prompts of at most `most` tokens, and the others; lengths are lognormal.

    With ``s^2 = ln(1 + c^2)`` and ``z = (ln(L / m) + s^2 / 2) / s`` the share is ``Phi(z)``, of all tokens ``Phi(z - s)``.

    Parameters
    ----------
    mean, cv : tokens, and their coefficient of variation; 0 is a constant length.
    most : L (tokens).

    Examples
    --------
    >>> [round(float(part), 3) for part in split(1000.0, 0.5, 500.0)]
    [0.109, 405.322, 1072.848]
    >>> [float(part) for part in split(1000.0, 0.0, 1000.0)]
    [1.0, 1000.0, 1000.0]
    """
    spread = np.sqrt(np.log1p(cv * cv))
    some = spread > EQUAL
    scale = np.where(some, spread, 1.0)
    known = most > 0
    z = (np.log(np.where(known, most, 1.0) / mean) + 0.5 * spread * spread) / scale
    share = np.where(some, 1.0 - normal_tail(z), np.where(most >= mean, 1.0, 0.0))
    tokens = np.where(some, 1.0 - normal_tail(z - spread), share)
    share, tokens = np.where(known, share, 0.0), np.where(known, tokens, 0.0)
    both = (share > 0) & (share < 1) & (tokens > 0) & (tokens < 1)
    short = mean * np.where(both, tokens / np.where(both, share, 1.0), 1.0)
    long = mean * np.where(both, (1.0 - tokens) / np.where(both, 1.0 - share, 1.0), 1.0)
    return Split(share, short, long)


class Local(NamedTuple):
    """What decode replicas compute of prompts."""

    share: Any  #: of requests
    time: Any  #: of one such prompt (s)


def remote_share(local: Local | None):
    """Share of requests whose prompts go to the prefill pool; a trace where none does, so that rates stay finite."""
    return 1.0 if local is None else np.maximum(1.0 - local.share, 1e-12)


def beside(local: Local | None, remote, here):
    """Mean over requests of something that differs between those prefilled remotely and locally."""
    return remote if local is None else (1.0 - local.share) * remote + local.share * here
