"""Mixtures of experts: how many experts a step touches, how unevenly ranks are loaded, how far tokens travel.

Symbols: E experts, k experts a token visits, T tokens in the step, e ranks that share the experts.
"""

from typing import Any

import numpy as np

from mlsysim.equations.normal import largest_deviate

_CERTAIN = 1.0 - 2.0**-53  # largest probability below 1


def distinct_experts(n_experts, experts_per_token, tokens):
    """Experts that at least one token visits: ``E (1 - (1 - k/E)^T)``.

    Parameters
    ----------
    n_experts : E; 0 for a model without experts gives 0.
    experts_per_token : k <= E.
    tokens : T >= 0, tokens routed in one step.

    Notes
    -----
    Tokens route independently and uniformly.  If all tokens chose alike it would be k, if a router balanced
    perfectly min(E, k T); measured layers with power-law routing lie 0 to 15 % below this form.

    Examples
    --------
    >>> float(round(distinct_experts(8.0, 2.0, 8.0), 8)), float(round(distinct_experts(256.0, 8.0, 16.0), 6))
    (7.19909668, 101.962162)
    """
    share = np.minimum(experts_per_token / np.maximum(n_experts, 1.0), _CERTAIN)
    return n_experts * -np.expm1(tokens * np.log1p(-share))


def slowest_rank_load(n_experts, experts_per_token, tokens, ranks):
    """Token-expert pairs on the fullest of e ranks: ``mu + z sqrt(mu (1 - 1/e) (E - k)/(E - 1))``.

    mu = k T / e is the mean, z the expected maximum of e normal deviates (see `normal.largest_deviate`).

    Parameters
    ----------
    n_experts, experts_per_token : E > 1, k <= E.
    tokens : T, tokens routed in one step.
    ranks : e; 1 gives k T.

    Notes
    -----
    Uniform routing only: within 2 % of simulation there; measured imbalances of trained routers are larger.

    Examples
    --------
    >>> float(round(slowest_rank_load(256.0, 8.0, 256.0, 32.0), 4))
    80.0485
    """
    mean = experts_per_token * tokens / ranks
    spread = (1.0 - 1.0 / ranks) * (n_experts - experts_per_token) / np.maximum(n_experts - 1.0, 1.0)
    return mean + largest_deviate(ranks) * np.sqrt(mean * np.maximum(spread, 0.0))


def nodes_touched(n_experts, experts_per_token, n_nodes, max_experts=16, limit=0.0):
    """Nodes that hold at least one of a token's k experts, when E experts are spread over n nodes.

    ``n [1 - prod_(j<k) (E - E/n - j)/(E - j)]``: k distinct experts, drawn uniformly.

    Parameters
    ----------
    n_experts, experts_per_token : E, k.
    n_nodes : n, a divisor of E.
    max_experts : largest k that is followed.
    limit : most nodes to which the router sends a token; 0 where it does not mind (DeepSeek-V3: 4).

    Examples
    --------
    >>> float(round(nodes_touched(256.0, 8.0, 8.0), 4)), float(nodes_touched(256.0, 8.0, 8.0, limit=4.0))
    (5.2947, 4.0)
    """
    missed: Any = 1.0
    for j in range(max_experts):
        left = np.maximum(n_experts - n_experts / n_nodes - j, 0.0) / np.maximum(n_experts - j, 1.0)
        missed = missed * np.where(experts_per_token > j, left, 1.0)
    return np.minimum(n_nodes * (1.0 - missed), np.where(limit > 0, limit, np.inf))
