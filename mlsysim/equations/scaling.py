"""Scaling laws: how low a loss a budget of compute buys, and how to split it into parameters and tokens.

All laws here have one shape, ``L = (E + A / N^alpha + B / D^beta)^gamma`` with N parameters, D training
tokens and L the cross-entropy in nats per token; gamma is 1 except for Kaplan's.  Training costs
``C = 6 N D`` FLOP, serving one token ``2 N``.  What a law says outside its fit (about 1e18 to 1e22 FLOP for
Hoffmann and Kaplan, 0.1 to 9 billion parameters for Muennighoff) is an extrapolation.

References
----------
Kaplan et al. 2020 (arXiv:2001.08361); McCandlish et al. 2018 (arXiv:1812.06162); Hoffmann et al. 2022
(arXiv:2203.15556); Besiroglu et al. 2024, "Chinchilla scaling: a replication attempt" (arXiv:2404.10102);
Muennighoff et al. 2023 (arXiv:2305.16264); Sardana and Frankle 2023 (arXiv:2401.00448).
"""

import math
from typing import NamedTuple

import numpy as np

from mlsysim.equations.selection import choose
from mlsysim.equations.stage import stage
from mlsysim.schema.codes import Law


class Fit(NamedTuple):
    """Constants of one law ``L = (floor + a / N^alpha + b / D^beta)^outer``."""

    floor: float
    a: float
    b: float
    alpha: float
    beta: float
    outer: float


#: Hoffmann et al. 2022, approach 3, as printed in the body of the paper.
HOFFMANN = Fit(1.69, 406.4, 410.7, 0.34, 0.28, 1.0)
#: The same with the floor and the exponents of the paper's TeX source (Epoch AI, analyzing-chinchilla
#: notebook).
HOFFMANN_UNROUNDED = Fit(1.693834785, 406.4, 410.7, 0.33917084, 0.2849083, 1.0)
#: Besiroglu et al. 2024 (Epoch AI): refit of the same runs; agrees with approaches 1 and 2.
EPOCH = Fit(1.8172, 482.01, 2085.43, 0.3478, 0.3658, 1.0)
#: Muennighoff et al. 2023, appendix A (github.com/huggingface/datablations, README): C4, GPT-2 tokens.
MUENNIGHOFF = Fit(math.exp(0.6254804), math.exp(6.255414), math.exp(7.3049974), 0.3526596, 0.3526596, 1.0)

#: Kaplan et al. 2020, joint law ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D, parameters without embeddings.
KAPLAN_ALPHA_N, KAPLAN_ALPHA_D, KAPLAN_N_C, KAPLAN_D_C = 0.076, 0.103, 6.4e13, 1.8e13
KAPLAN = Fit(
    0.0,
    KAPLAN_N_C ** (KAPLAN_ALPHA_N / KAPLAN_ALPHA_D),
    KAPLAN_D_C,
    KAPLAN_ALPHA_N / KAPLAN_ALPHA_D,
    1.0,
    KAPLAN_ALPHA_D,
)
#: Kaplan et al. 2020: best size 1.3e9 at one PF-day, growing as compute^0.73.
KAPLAN_PARAMS_PER_PF_DAY, KAPLAN_PARAMS_EXPONENT, PF_DAY = 1.3e9, 0.73, 8.64e19

#: Tokens per parameter of Hoffmann's approaches 1 and 2 (70e9 parameters on 1.4e12 tokens).
TOKENS_PER_PARAM = 20.0

#: FLOP per parameter and token: 2 forward, 4 backward; serving is forward only.
TRAINING_FLOPS, SERVING_FLOPS = 6.0, 2.0

#: Muennighoff et al. 2023: repeats after which a token (an excess parameter) has lost 1 - 1/e of its worth.
REPEATED_TOKENS, EXCESS_PARAMS = 15.387756, 5.309743

#: Kaplan et al. 2020, eq. 1.4: critical batch 2e8 tokens / L^(1/0.21).
CRITICAL_BATCH_TOKENS, CRITICAL_BATCH_EXPONENT = 2e8, 1.0 / 0.21

_FITS = {
    Law.CHINCHILLA_1: EPOCH,  # approach 1 has no loss of its own
    Law.CHINCHILLA_3: HOFFMANN,
    Law.CHINCHILLA_3_UNROUNDED: HOFFMANN_UNROUNDED,
    Law.EPOCH: EPOCH,
    Law.KAPLAN: KAPLAN,
    Law.MUENNIGHOFF: MUENNIGHOFF,
}


def fit_of(law) -> Fit:
    """Constants of a law (a `Law`, or codes along an axis).

    Approach 1 of Hoffmann states sizes, no loss: Epoch's refit, which agrees with it on sizes, gives its
    loss.
    """
    return Fit(*(choose(law, *(getattr(_FITS[option], name) for option in Law)) for name in Fit._fields))


def loss(fit: Fit, params, tokens):
    """Cross-entropy after training (nats/token): ``(E + A / N^alpha + B / D^beta)^gamma``.

    Parameters
    ----------
    fit : Fit
    params, tokens : N and D (1), effective ones when data repeat.

    Examples
    --------
    >>> float(round(loss(HOFFMANN, 70e9, 1.4e12), 6)), float(round(loss(EPOCH, 70e9, 1.4e12), 6))
    (1.936645, 1.973882)
    """
    bracket = fit.floor + fit.a * np.power(params, -fit.alpha) + fit.b * np.power(tokens, -fit.beta)
    return np.power(bracket, fit.outer)


def training_flops(params, tokens):
    """``6 N D`` (FLOP)."""
    return TRAINING_FLOPS * params * tokens


def serving_flops(params, tokens):
    """``2 N D_inf`` to serve `tokens`, prompt and answer (FLOP)."""
    return SERVING_FLOPS * params * tokens


def affordable_tokens(compute, params, served_tokens):
    """Training tokens left for a size: ``(C / N - 2 D_inf) / 6``; none when serving takes all."""
    return np.maximum((compute / params - SERVING_FLOPS * served_tokens) / TRAINING_FLOPS, 0.0)


def affordable_params(compute, tokens, served_tokens):
    """Size that a budget carries for given tokens: ``C / (6 D + 2 D_inf)``; none for no tokens."""
    each = TRAINING_FLOPS * tokens + SERVING_FLOPS * served_tokens
    return np.where(each > 0, compute / np.where(each > 0, each, 1.0), 0.0)


def balance(fit: Fit):
    """``G = (alpha A / (beta B))^(1 / (alpha + beta))``: how the optimum leans to parameters."""
    return np.power(fit.alpha * fit.a / (fit.beta * fit.b), 1.0 / (fit.alpha + fit.beta))


def fitted_params(fit: Fit, compute):
    """Size with the lowest loss of the fitted form at ``C = 6 N D``: ``G (C / 6)^(beta / (alpha + beta))``.

    References
    ----------
    Hoffmann et al. 2022, eq. 4.
    """
    return balance(fit) * np.power(compute / TRAINING_FLOPS, fit.beta / (fit.alpha + fit.beta))


def lowest_loss(fit: Fit, compute):
    """Loss of that optimum (nats/token); falls as ``C^(-alpha beta / (alpha + beta))`` towards the floor."""
    params = fitted_params(fit, compute)
    return loss(fit, params, compute / (TRAINING_FLOPS * params))


def compute_for_loss(fit: Fit, target):
    """Least compute that reaches a loss (FLOP): the optimum read backwards; inf at or below the floor.

    ``S*(C) = E + k (C/6)^(-alpha beta / (alpha + beta))``, ``k = A / G^alpha + B G^beta``.
    """
    lean = balance(fit)
    scale = fit.a * np.power(lean, -fit.alpha) + fit.b * np.power(lean, fit.beta)
    above = np.maximum(np.power(target, 1.0 / fit.outer) - fit.floor, 0.0)
    exponent = 1.0 / fit.alpha + 1.0 / fit.beta
    return TRAINING_FLOPS * np.power(scale / above, exponent)


def published_params(law, compute):
    """Best size as the law's authors state it (1).

    Approach 1: ``sqrt(C / 120)`` (20 tokens per parameter); Kaplan: ``1.3e9 (C / PF-day)^0.73``, without
    embeddings; the others: the minimum of their fitted form.

    Examples
    --------
    >>> round(float(published_params(Law.CHINCHILLA_1, 5.76e23)), -2)
    69282032300.0
    """
    fitted = fitted_params(fit_of(law), compute)
    ruled = np.sqrt(compute / (TRAINING_FLOPS * TOKENS_PER_PARAM))
    kaplan = KAPLAN_PARAMS_PER_PF_DAY * np.power(compute / PF_DAY, KAPLAN_PARAMS_EXPONENT)
    return np.where(law == Law.CHINCHILLA_1, ruled, np.where(law == Law.KAPLAN, kaplan, fitted))


def effective_tokens(tokens, unique_tokens):
    """What repeated tokens are worth (tokens): ``U + U R (1 - exp(-(D/U - 1) / R))`` beyond one epoch.

    Parameters
    ----------
    tokens : tokens seen, D.
    unique_tokens : tokens there are, U; inf for no limit.

    References
    ----------
    Muennighoff et al. 2023, eq. 5; fitted to 1..1500 epochs of at most 178e9 unique tokens.
    """
    used = np.minimum(unique_tokens, tokens)
    repeats = np.maximum(tokens / np.where(used > 0, used, 1.0) - 1.0, 0.0)
    return used * (1.0 - REPEATED_TOKENS * np.expm1(-repeats / REPEATED_TOKENS))


def matching_params(fit: Fit, tokens):
    """Size for which `tokens` are the compute-optimal amount: ``(alpha A D^beta / (beta B))^(1/alpha)``."""
    return np.power(fit.alpha * fit.a / (fit.beta * fit.b), 1.0 / fit.alpha) * np.power(tokens, fit.beta / fit.alpha)


def effective_params(fit: Fit, params, unique_tokens):
    """What a size beyond the one that suits the unique data is worth: the same form with R = 5.31.

    Parameters
    ----------
    params : N.
    unique_tokens : tokens there are; inf for no limit.

    References
    ----------
    Muennighoff et al. 2023, eq. 6.
    """
    suited = np.minimum(matching_params(fit, unique_tokens), params)
    excess = np.maximum(params / np.where(suited > 0, suited, 1.0) - 1.0, 0.0)
    return suited * (1.0 - EXCESS_PARAMS * np.expm1(-excess / EXCESS_PARAMS))


@stage
def constrained_params(compute, served_tokens, unique_tokens, a, b, alpha, beta):
    """Best size when tokens will be served and data repeat (1).

    Minimises ``A / N_eff^alpha + B / D_eff^beta`` over N with ``6 N D + 2 N D_inf = C``: bisection on the
    sign of the derivative in ln N, which rises with N.

    Parameters
    ----------
    compute : training and serving together (FLOP).
    served_tokens : D_inf, tokens served over the model's life; 0 for none.
    unique_tokens : U; inf for no limit.
    a, b, alpha, beta : constants of the law.

    References
    ----------
    Sardana and Frankle 2023 for serving; Muennighoff et al. 2023 for repeated data.
    """
    limited = unique_tokens < math.inf
    suited = math.inf
    if limited:
        suited = (alpha * a / (beta * b)) ** (1.0 / alpha) * unique_tokens ** (beta / alpha)
    low = 0.0
    high = math.log(compute / TRAINING_FLOPS)
    if served_tokens > 0.0:
        high = min(high, math.log(compute / (SERVING_FLOPS * served_tokens)))
    for _ in range(200):
        middle = 0.5 * (low + high)
        if middle <= low or middle >= high:
            break
        params = math.exp(middle)
        tokens = (compute / params - SERVING_FLOPS * served_tokens) / TRAINING_FLOPS
        if tokens <= 0.0:
            high = middle
            continue
        worth_n, slope_n = params, 1.0
        if params > suited:
            excess = params / suited - 1.0
            worth_n = suited * (1.0 - EXCESS_PARAMS * math.expm1(-excess / EXCESS_PARAMS))
            slope_n = math.exp(-excess / EXCESS_PARAMS)
        worth_d, slope_d = tokens, 1.0
        if limited and tokens > unique_tokens:
            repeats = tokens / unique_tokens - 1.0
            worth_d = unique_tokens * (1.0 - REPEATED_TOKENS * math.expm1(-repeats / REPEATED_TOKENS))
            slope_d = math.exp(-repeats / REPEATED_TOKENS)
        gain = alpha * a * worth_n ** (-alpha - 1.0) * slope_n * params
        price = beta * b * worth_d ** (-beta - 1.0) * slope_d * compute / (TRAINING_FLOPS * params)
        if price > gain:
            high = middle
        else:
            low = middle
    return math.exp(0.5 * (low + high))


def critical_batch(loss_reached):
    """Batch beyond which more devices stop saving steps (tokens): ``2e8 / L^(1/0.21)``.

    Parameters
    ----------
    loss_reached : nats per token; Kaplan's data and tokens, an order of magnitude for others.

    References
    ----------
    Kaplan et al. 2020, eq. 1.4; McCandlish et al. 2018.
    """
    return CRITICAL_BATCH_TOKENS * np.power(loss_reached, -CRITICAL_BATCH_EXPONENT)


def batch_overhead(batch_tokens, critical):
    """Tokens needed over those of a small batch: ``1 + B / B_crit`` (1).

    References
    ----------
    McCandlish et al. 2018, eq. 2.11: ``(S/S_min - 1)(E/E_min - 1) = 1``.
    """
    return 1.0 + batch_tokens / critical
