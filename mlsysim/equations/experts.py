"""Mixtures of experts: how many experts a step touches, how unevenly ranks are loaded, how far tokens travel.

Symbols: E experts, k experts a token visits, T tokens in the step, e ranks that share the experts.
"""

from typing import Any

import numpy as np

from mlsysim.equations.normal import largest_deviate

_CERTAIN = 1.0 - 2.0**-53  # largest probability below 1


def distinct_experts(n_experts, experts_per_token, tokens, popularity_cv=0.0):
    """Experts that at least one token visits: ``E (1 - (1 - k/E)^T)``, fewer where some are more popular than others.

    With popularity spread by a gamma law of coefficient of variation c, ``D = k + (E - k) (1 - (1 + c^2 L)^(-1/c^2))`` with
    ``L = -(T - 1) ln(1 - k/E)``; c = 0 is the first form.

    Parameters
    ----------
    n_experts : E; 0 for a model without experts gives 0.
    experts_per_token : k <= E.
    tokens : T >= 0, tokens routed in one step.
    popularity_cv : c.

    Notes
    -----
    Tokens route independently.  If all tokens chose alike it would be k, if a router balanced perfectly min(E, k T).  Measured
    layers routed with a power law of exponent 1.2 are read as with c of 0.7 to 0.9 (2,652 layers, all formats and generations);
    one token visits k experts exactly.

    Examples
    --------
    >>> float(np.round(distinct_experts(8.0, 2.0, 8.0), 8)), float(np.round(distinct_experts(256.0, 8.0, 16.0), 6))
    (7.19909668, 101.962162)
    >>> [float(np.round(distinct_experts(256.0, 8.0, tokens, 0.8), 2)) for tokens in (1.0, 16.0, 1e9)]
    [8.0, 92.35, 256.0]
    """
    share = np.minimum(experts_per_token / np.maximum(n_experts, 1.0), _CERTAIN)
    rate = np.log1p(-share)
    even = n_experts * -np.expm1(tokens * rate)
    uneven = (popularity_cv > 0) & (tokens > 1.0)
    square = np.where(uneven, popularity_cv * popularity_cv, 1.0)
    missed = np.exp(-np.log1p(square * (np.maximum(tokens, 1.0) - 1.0) * -rate) / square)
    return np.where(uneven, n_experts * (1.0 - (1.0 - share) * missed), even)


def slowest_rank_load(n_experts, experts_per_token, tokens, ranks, skew=0.0):
    """Token-expert pairs on the fullest of e ranks: ``mu + z sqrt(mu (1 - 1/e)(E - k)/(E - 1) + (c mu)^2 (e - 1)/E)``.

    mu = k T / e is the mean, z the expected maximum of e normal deviates (see `normal.largest_deviate`).  The first
    term is chance, the second the popularity of the E/e experts of a rank, which more tokens do not even out.

    Parameters
    ----------
    n_experts, experts_per_token : E > 1, k <= E.
    tokens : T, tokens routed in one step.
    ranks : e; 1 gives k T.
    skew : c, standard deviation of an expert's expected load over its mean; 0 is even chance.

    Notes
    -----
    Within 2 % of simulation with even chance.  No more than all pairs fall on a rank.

    Examples
    --------
    >>> float(round(slowest_rank_load(256.0, 8.0, 256.0, 32.0), 4)), float(slowest_rank_load(8.0, 2.0, 16.0, 1.0, 3.0))
    (80.0485, 32.0)
    """
    mean = experts_per_token * tokens / ranks
    chance = (1.0 - 1.0 / ranks) * (n_experts - experts_per_token) / np.maximum(n_experts - 1.0, 1.0)
    popular = skew * skew * (ranks - 1.0) / np.maximum(n_experts, 1.0)
    deviation = np.sqrt(mean * np.maximum(chance, 0.0) + mean * mean * popular)
    return np.minimum(mean + largest_deviate(ranks) * deviation, experts_per_token * tokens)


def relieved_skew(skew, copies, ranks, relief):
    """Skew of the load of ranks with copies of the most popular experts: ``c / (1 + a r / e)``.

    Parameters
    ----------
    skew : c, see `slowest_rank_load`.
    copies, ranks : r redundant experts on e ranks.
    relief : a.

    Examples
    --------
    >>> float(relieved_skew(2.0, 32.0, 32.0, 4.0)), float(relieved_skew(2.0, 0.0, 32.0, 4.0))
    (0.4, 2.0)
    """
    return skew / (1.0 + relief * copies / ranks)


def fullest_rank_experts(n_experts, experts_per_token, tokens, ranks, popularity_cv=0.0):
    """Distinct experts on the rank that has most of them: ``D/e + z sqrt(D/e (1 - 1/e)(1 - D/E))``, at most E/e.

    D are the distinct experts of all ranks (see `distinct_experts`), z the expected maximum of e normal deviates.

    Parameters
    ----------
    n_experts, experts_per_token : E, k <= E; 0 experts give 0.
    tokens : T, tokens routed in one step.
    ranks : e; 1 gives D.
    popularity_cv : see `distinct_experts`.

    Notes
    -----
    Uniform routing, ranks that hold E/e experts each: D of E experts fall on a rank as balls drawn without replacement.
    Within 3 % of simulation for E 64 to 256, e 4 to 32.

    Examples
    --------
    >>> float(round(fullest_rank_experts(256.0, 8.0, 16.0, 8.0), 4)), float(fullest_rank_experts(8.0, 2.0, 1e6, 8.0))
    (16.4605, 1.0)
    """
    touched = distinct_experts(n_experts, experts_per_token, tokens, popularity_cv)
    mean, share = touched / ranks, touched / np.maximum(n_experts, 1.0)
    spread = mean * (1.0 - 1.0 / ranks) * np.maximum(1.0 - share, 0.0)
    return np.minimum(mean + largest_deviate(ranks) * np.sqrt(spread), n_experts / ranks)


def half_width(input_bytes, peak_flops, mem_bandwidth, reads):
    """Width of an expert at which its products run at half of the rate of wide ones: ``x a P / (2 W)``.

    A row that enters a product of n columns brings a bytes a value for 2 n operations on it: reading it takes as long
    as the arithmetic at this n.

    Parameters
    ----------
    input_bytes : a, bytes per value of the input.
    peak_flops, mem_bandwidth : P (FLOP/s), the rate of wide products, and W (byte/s).
    reads : x, time of reading a row over once from memory (caches make it shorter).

    Examples
    --------
    >>> float(half_width(2.0, 1e15, 5e12, 0.5))
    100.0
    """
    return reads * input_bytes * peak_flops / (2.0 * mem_bandwidth)


def narrow_rate(width, half):
    """Rate of products with narrow experts over wide ones: ``n / (n + n_half)``.

    Parameters
    ----------
    width : n, width of an expert on one device (its feed-forward width over the devices that share it); 0 gives 1.
    half : n_half, see `half_width`.

    Notes
    -----
    Fitted to the experts of 2,405 measured layers, 192 to 7,168 wide, 16 to 4 bits, on two generations; error of the
    law of expert products as a whole (`mlsysim.equations.operators.expert_work`): 10 % in the median.

    Examples
    --------
    >>> float(narrow_rate(100.0, 100.0)), float(narrow_rate(0.0, 100.0))
    (0.5, 1.0)
    """
    known = width > 0
    return np.where(known, width / np.where(known, width + half, 1.0), 1.0)


def tile_fill(rows, tile_rows, least_rows):
    """Share of the rows that grouped products compute which are tokens: ``(m + q) / (m + q + r)``.

    Parameters
    ----------
    rows : m, tokens that an expert of the step has, mean over those that have any.
    tile_rows : r, rows of nobody that fill up the last tile of an expert with many rows (half a tile).
    least_rows : q; experts with fewer rows are computed in smaller tiles.

    Notes
    -----
    Fitted with `narrow_rate`, 1 to 16,384 tokens over 8 to 256 experts.

    Examples
    --------
    >>> float(tile_fill(59.0, 55.0, 5.0)), float(tile_fill(0.0, 64.0, 0.0)), float(tile_fill(7.0, 0.0, 0.0))
    (0.5378151260504201, 0.0, 1.0)
    """
    whole = rows + least_rows + tile_rows
    return np.where(whole > 0, (rows + least_rows) / np.where(whole > 0, whole, 1.0), 1.0)


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
