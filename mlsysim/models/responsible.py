"""ResponsibleEngineeringModel (wall 20, safety): what differential privacy costs a training."""

from typing import NamedTuple

import numpy as np

from mlsysim.equations import architecture, privacy
from mlsysim.equations.selection import choose, first_failing
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Clipping, Conversion, Limit
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Workload


class ResponsibleEngineering(NamedTuple):
    """Outputs of ResponsibleEngineeringModel."""

    dp_slowdown: Real
    dp_training_time: Real
    dp_memory_overhead: Real | None
    sampling_rate: Real | None
    training_steps: Real | None
    noise_multiplier: Real | None
    epsilon_spent: Real | None
    noise_to_signal: Real | None
    equal_utility_batch: Real | None
    equal_utility_dataset: Real | None
    subgroup_data_factor: Real | None
    feasible: Flag
    limit: Code


@kernel
def responsible_engineering(
    assume: Assumptions,
    base_training_time,
    epsilon=None,
    model: Workload | None = None,
    delta=1e-5,
    batch_size=None,
    dataset_size=None,
    epochs=None,
    training_steps=None,
    noise_multiplier=None,
    micro_batch=1.0,
    clipping=Clipping.PER_SAMPLE,
    conversion=Conversion.IMPROVED,
    fractional_orders=1.0,
    subgroup_share=None,
) -> ResponsibleEngineering:
    """Time, memory, noise and data that DP-SGD asks for.

    Parameters
    ----------
    base_training_time : training time without privacy (s).
    epsilon, delta : privacy loss allowed, probability outside the guarantee.
    model : for the memory of per-sample gradients and the length of the noise.
    batch_size, dataset_size : samples; the accountant needs both, with `epochs` or `training_steps`.
    noise_multiplier : noise to account for; default the least that keeps `epsilon`.
    micro_batch : samples whose gradients are held at once.
    clipping : per_sample, ghost, loop.
    conversion : improved or classic, with orders between whole numbers if `fractional_orders`.
    subgroup_share : share of the samples that a subgroup has.

    Returns
    -------
    ResponsibleEngineering
        `epsilon_spent` above `epsilon` is infeasible by budget, a batch larger than the data set or a training
        without a step by shape.  Figures whose inputs were not given are left
        out.

    Notes
    -----
    Poisson sampling at rate ``B/n`` over ``floor(epochs n / B)`` steps, Gaussian noise of `noise_multiplier`
    times the clipping norm on the summed gradient (equations.privacy).  The noise vector has length ``sigma
    sqrt(d)`` clipping norms against a summed gradient of at most B: a batch that keeps that ratio at
    ``tolerated_noise``, with data in proportion, keeps both privacy and signal.

    References
    ----------
    Abadi et al. 2016 (arXiv:1607.00133); Rodriguez Beltran et al. 2024 (arXiv:2406.17298) for the slowdowns;
    Bagdasaryan, Shmatikov 2019 (arXiv:1905.12101): subgroups lose first.
    """
    slowdown = choose(clipping, assume.per_sample_slowdown, assume.ghost_slowdown, assume.loop_slowdown)
    memory = None
    if model is not None:
        params = architecture.counted_params(model)
        held = choose(clipping, micro_batch, 0.0, 1.0)
        memory = held * params * assume.gradient_bytes

    rate = steps = None
    sigma = noise_multiplier
    spent = epsilon
    if batch_size is not None and dataset_size is not None:
        rate = privacy.sampling_rate(batch_size, dataset_size)
        if training_steps is not None:
            steps = training_steps
        elif epochs is not None:
            steps = privacy.steps_of(epochs, dataset_size, batch_size)
    if rate is not None and steps is not None:
        if sigma is not None:
            spent = privacy.epsilon(rate, sigma, steps, delta, conversion, fractional_orders)
        elif epsilon is not None:
            sigma = privacy.noise_multiplier(rate, epsilon, steps, delta, conversion, fractional_orders)
    elif sigma is not None:
        spent = None

    ratio = batch = data = None
    if sigma is not None and model is not None:
        batch = privacy.batch_for_noise(sigma, params, assume.tolerated_noise)
        if batch_size is not None:
            ratio = privacy.noise_to_signal(sigma, params, batch_size)
            if dataset_size is not None:
                data = dataset_size * (batch / batch_size)
    within = True if spent is None or epsilon is None else spent <= epsilon
    attainable = True if sigma is None else sigma < np.inf
    sampled = True if rate is None else rate <= 1.0  # a batch is drawn from the data set
    trained = True if steps is None else steps >= 1.0
    limit = first_failing((sampled & trained, Limit.SHAPE), (within & attainable, Limit.BUDGET))
    return ResponsibleEngineering(
        dp_slowdown=slowdown,
        dp_training_time=base_training_time * slowdown,
        dp_memory_overhead=memory,
        sampling_rate=rate,
        training_steps=steps,
        noise_multiplier=sigma,
        epsilon_spent=spent,
        noise_to_signal=ratio,
        equal_utility_batch=batch,
        equal_utility_dataset=data,
        subgroup_data_factor=None if subgroup_share is None else 1.0 / subgroup_share,
        feasible=limit == 0,
        limit=limit,
    )


ResponsibleEngineeringModel = Model(
    "ResponsibleEngineeringModel", responsible_engineering, domain="operations", walls=(20,)
)
