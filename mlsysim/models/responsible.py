"""ResponsibleEngineeringModel (wall 20, safety): what differential privacy costs a training."""

from typing import NamedTuple

import numpy as np

from mlsysim.equations import architecture, privacy
from mlsysim.equations.counting import floor_div
from mlsysim.equations.money import per_unit
from mlsysim.equations.selection import choose, first_failing
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Clipping, Conversion, Limit
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Workload

#: the training that is asked about where nobody says: Wide-ResNet-40-4 on CIFAR-10 (De et al. 2022, arXiv:2204.13650), 200
#: epochs of 256 images without privacy (Zagoruyko and Komodakis 2016, arXiv:1605.07146: 200 epochs of 128)
PARAMS, SAMPLES, BATCH, EPOCHS = 8.9e6, 50_000.0, 256.0, 200.0


class ResponsibleEngineering(NamedTuple):
    """Outputs of ResponsibleEngineeringModel."""

    dp_slowdown: Real
    dp_step_slowdown: Real
    batch_growth: Real | None
    dp_training_time: Real
    dp_memory_overhead: Real | None
    sampling_rate: Real
    training_steps: Real
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
    model : for the memory of per-sample gradients and the length of the noise; default 8.9e6 parameters.
    batch_size, dataset_size : samples, without privacy; default 256, of 50,000 or in that proportion to the batch.
    epochs, training_steps : length of the training; default 200 epochs.
    noise_multiplier : noise to account for; default the least that keeps `epsilon`.
    micro_batch : samples whose gradients are held at once.
    clipping : per_sample, ghost, loop.
    conversion : improved or classic, with orders between whole numbers if `fractional_orders`.
    subgroup_share : share of the samples that a subgroup has.

    Returns
    -------
    ResponsibleEngineering
        ``dp_slowdown = dp_step_slowdown batch_growth``: as many steps as without privacy, each with per-sample
        gradients (`dp_step_slowdown`), on a batch so large that the noise stays at `tolerated_noise`
        (``batch_growth = equal_utility_batch / batch_size``, at least 1; the data grow with it:
        `equal_utility_dataset`).  Without `epsilon` and `noise_multiplier` it is that of a step.
        `epsilon_spent` above `epsilon` is infeasible by budget, a batch larger than the data set or a training
        without a step by shape.

    Notes
    -----
    Poisson sampling at rate ``B/n`` over ``floor(epochs n / B)`` steps, Gaussian noise of `noise_multiplier`
    times the clipping norm on the summed gradient (equations.privacy).  The noise vector has length ``sigma
    sqrt(d)`` clipping norms against a summed gradient of at most B: a batch that keeps that ratio at
    ``tolerated_noise``, with data in proportion, keeps both privacy and signal.  Large batches are what private
    trainings pay: 4,096 images with 16 augmentations each in place of 128 to 256 on CIFAR-10, 2 million
    sentences for BERT.  The default problem is that of CIFAR-10 (Wide-ResNet-40-4); what was assumed
    stands in ``attrs["assumed"]``.

    References
    ----------
    Abadi et al. 2016 (arXiv:1607.00133); De et al. 2022 (arXiv:2204.13650) and Anil et al. 2021
    (arXiv:2108.01624): utility comes with the batch; Sander et al. 2022 (arXiv:2210.03403): privacy against
    compute; Rodriguez Beltran et al. 2024 (arXiv:2406.17298) for the slowdowns;
    Bagdasaryan, Shmatikov 2019 (arXiv:1905.12101): subgroups lose first.
    """
    per_step = choose(clipping, assume.per_sample_slowdown, assume.ghost_slowdown, assume.loop_slowdown)
    memory = None
    params = PARAMS
    if model is not None:
        params = architecture.counted_params(model)
        held = choose(clipping, micro_batch, 0.0, 1.0)
        memory = held * params * assume.gradient_bytes

    if batch_size is None:
        batch_size = BATCH if dataset_size is None else np.minimum(BATCH, dataset_size)
    if dataset_size is None:
        dataset_size = floor_div(batch_size * SAMPLES, BATCH)
    rate = privacy.sampling_rate(batch_size, dataset_size)
    steps = training_steps
    if steps is None:
        steps = privacy.steps_of(EPOCHS if epochs is None else epochs, dataset_size, batch_size)
    sigma = noise_multiplier
    spent = epsilon
    if sigma is not None:
        spent = privacy.epsilon(rate, sigma, steps, delta, conversion, fractional_orders)
    elif epsilon is not None:
        sigma = privacy.noise_multiplier(rate, epsilon, steps, delta, conversion, fractional_orders)

    ratio = batch = data = growth = None
    slowdown = per_step
    if sigma is not None:
        batch = privacy.batch_for_noise(sigma, params, assume.tolerated_noise)
        ratio = privacy.noise_to_signal(sigma, params, batch_size)
        data = dataset_size * (batch / batch_size)
        growth = np.maximum(batch / batch_size, 1.0)
        slowdown = per_step * growth
    within = True if spent is None else spent < np.inf if epsilon is None else spent <= epsilon
    attainable = True if sigma is None else sigma < np.inf
    sampled = batch_size <= dataset_size  # a batch is drawn from the data set
    limit = first_failing((sampled & (steps >= 1.0), Limit.SHAPE), (within & attainable, Limit.BUDGET))
    return ResponsibleEngineering(
        dp_slowdown=slowdown,
        dp_step_slowdown=per_step,
        batch_growth=growth,
        dp_training_time=np.where(base_training_time > 0, base_training_time * slowdown, 0.0),
        dp_memory_overhead=memory,
        sampling_rate=rate,
        training_steps=steps,
        noise_multiplier=sigma,
        epsilon_spent=spent,
        noise_to_signal=ratio,
        equal_utility_batch=batch,
        equal_utility_dataset=data,
        subgroup_data_factor=None if subgroup_share is None else per_unit(1.0, subgroup_share),
        feasible=limit == 0,
        limit=limit,
    )


ResponsibleEngineeringModel = Model(
    "ResponsibleEngineeringModel", responsible_engineering, domain="operations", walls=(20,)
)
