"""Wall 11, complexity: how large a model, on how many tokens, for a budget of compute."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import scaling as laws
from mlsysim.equations.conventions import with_some_rate
from mlsysim.equations.money import per_unit
from mlsysim.equations.selection import first_failing
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Law, Limit
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator


class Scaling(NamedTuple):
    """What the budget buys: the best split, the choice made, and what the choice costs in loss."""

    optimal_params: Real
    optimal_tokens: Real
    optimal_loss: Real
    chosen_params: Real
    chosen_tokens: Real
    tokens_per_param: Real
    predicted_loss: Real
    loss_penalty: Real
    compute_equivalent: Real
    train_flops: Real
    served_flops: Real
    total_flops: Real
    epochs: Real | None
    effective_tokens: Real | None
    critical_batch: Real
    batch_overhead: Real | None
    training_steps: Real | None
    training_time: Real | None
    feasible: Flag
    limit: Code


@kernel
def scaling(
    assume: Assumptions,
    hardware: Accelerator | None = None,
    compute_budget=None,
    n_accelerators=None,
    duration=None,
    mfu=None,
    law=Law.EPOCH,
    params=None,
    tokens=None,
    served_tokens=None,
    unique_tokens=None,
    batch_tokens=None,
) -> Scaling:
    """Best split of a compute budget into parameters and tokens, and the loss it reaches.

    ``L = (E + A/N^alpha + B/D^beta)^gamma`` with ``C = 6 N D + 2 N D_served``.

    Parameters
    ----------
    assume : Assumptions
        `training_mfu` when `mfu` is not given.
    hardware : Accelerator, optional
        With `n_accelerators` and `duration`: the budget is ``n duration peak mfu``; with `n_accelerators`
        alone the time of the training is given.
    compute_budget : FLOP, optional
        Training, and serving when `served_tokens` is given.
    n_accelerators : 1, optional
    duration : s, optional
    mfu : 1, optional
        Share of peak that the training reaches.
    law : Law
        `epoch` (default; the corrected refit), `chinchilla_1` (20 tokens per parameter), `chinchilla_3`,
        `chinchilla_3_unrounded`, `kaplan` (parameters without embeddings) or `muennighoff`.
    params, tokens : 1, optional
        A size or an amount of data that is fixed; both fixed need no budget.
    served_tokens : 1, optional
        Tokens the model will serve; shifts the optimum to smaller models trained longer.
    unique_tokens : 1, optional
        Tokens there are; beyond them data repeat and are worth less.
    batch_tokens : 1, optional
        Batch, for the overhead of a large one.

    Returns
    -------
    Scaling
        `optimal_*`: the best split of the whole budget; `chosen_*`: the same with what was fixed.
        `loss_penalty`: loss above what the same training compute reaches at the optimum, on fresh data.
        `compute_equivalent`: the compute that would reach the same loss at that optimum (FLOP).

    Notes
    -----
    The published rules (approach 1, Kaplan) hold for one epoch of training alone; with `served_tokens` or
    `unique_tokens` the fitted form of the law decides.  Approach 1 takes its loss from Epoch's refit.

    References
    ----------
    Kaplan et al. 2020 (arXiv:2001.08361); Hoffmann et al. 2022 (arXiv:2203.15556); Besiroglu et al. 2024
    (arXiv:2404.10102); Muennighoff et al. 2023 (arXiv:2305.16264); Sardana and Frankle 2023
    (arXiv:2401.00448); McCandlish et al. 2018 (arXiv:1812.06162).

    Examples
    --------
    >>> best = scaling(Assumptions(), compute_budget=5.76e23)
    >>> round(float(best.optimal_params) / 1e9, 1), round(float(best.tokens_per_param), 1)
    (72.2, 18.4)
    """
    fit = laws.fit_of(law)
    served = 0.0 if served_tokens is None else served_tokens
    fresh = np.inf if unique_tokens is None else unique_tokens
    rate = None
    computes: Any = True
    if hardware is not None and n_accelerators is not None:
        computes = (hardware.peak_flops > 0) & (hardware.widens_weights <= 0)
        hardware = with_some_rate(hardware)
        share = assume.training_mfu if mfu is None else mfu
        computes = computes & (share > 0)
        rate = n_accelerators * hardware.peak_flops * share
    asked = compute_budget
    if asked is None and rate is not None and duration is not None:
        asked = rate * duration
    budget = asked
    if budget is None:
        if params is None or tokens is None:
            raise TypeError("give compute_budget, or hardware, n_accelerators and duration, or both params and tokens")
        budget = laws.training_flops(params, tokens) + laws.serving_flops(params, served)

    some = budget > 0
    spent_at_best = np.where(some, budget, 1.0)
    if served_tokens is None and unique_tokens is None:
        best_params = laws.published_params(law, spent_at_best)
    else:
        best_params = laws.constrained_params(spent_at_best, served, fresh, fit.a, fit.b, fit.alpha, fit.beta)
    optimal_params = np.where(some, best_params, 0.0)
    optimal_tokens = np.where(some, laws.affordable_tokens(budget, best_params, served), 0.0)

    def reached(size, data):
        if unique_tokens is None:
            return laws.loss(fit, size, data)
        return laws.loss(fit, laws.effective_params(fit, size, fresh), laws.effective_tokens(data, fresh))

    chosen_params, chosen_tokens = optimal_params, optimal_tokens
    if params is not None:
        chosen_params = params
        if tokens is None:
            chosen_tokens = laws.affordable_tokens(budget, params, served)
    if tokens is not None:
        chosen_tokens = tokens
        if params is None:
            chosen_params = laws.affordable_params(budget, tokens, served)
    predicted = reached(chosen_params, chosen_tokens)
    train_flops = laws.training_flops(chosen_params, chosen_tokens)
    served_flops = laws.serving_flops(chosen_params, served)
    spent = train_flops + served_flops
    lowest = laws.lowest_loss(fit, train_flops)
    penalty: Any = np.where(train_flops > 0, np.maximum(predicted - lowest, 0.0), np.inf)
    critical = laws.critical_batch(predicted)

    overhead: Any = None
    steps: Any = None
    if batch_tokens is not None:
        overhead = laws.batch_overhead(batch_tokens, critical)
        steps = np.where(chosen_tokens > 0, chosen_tokens * overhead / batch_tokens, 0.0)
    within = (optimal_tokens > 0) & (chosen_tokens > 0)
    if params is not None and tokens is not None and asked is not None:
        within = within & (spent <= asked)
    limit = first_failing((computes, Limit.CAPABILITY), (within, Limit.BUDGET))
    return Scaling(
        optimal_params=optimal_params,
        optimal_tokens=optimal_tokens,
        optimal_loss=reached(optimal_params, optimal_tokens),
        chosen_params=chosen_params,
        chosen_tokens=chosen_tokens,
        tokens_per_param=per_unit(chosen_tokens, chosen_params),
        predicted_loss=predicted,
        loss_penalty=penalty,
        compute_equivalent=laws.compute_for_loss(fit, predicted),
        train_flops=train_flops,
        served_flops=served_flops,
        total_flops=spent,
        epochs=None if unique_tokens is None else chosen_tokens / unique_tokens,
        effective_tokens=None if unique_tokens is None else laws.effective_tokens(chosen_tokens, fresh),
        critical_batch=critical,
        batch_overhead=overhead,
        training_steps=steps,
        training_time=None if rate is None else np.where(computes, train_flops / rate, np.inf),
        feasible=limit == 0,
        limit=limit,
    )


ScalingModel = Model("ScalingModel", scaling, domain="algorithm", walls=(11,))
