"""Wall 9, transformation: does preprocessing on the host starve the accelerators?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import ingestion, money
from mlsysim.resolver import Model, kernel
from mlsysim.schema.codes import Bottleneck
from mlsysim.schema.kinds import Code, Flag, Real


class Transformation(NamedTuple):
    """Time of the input against that of the accelerator, per batch."""

    transform_time: Real
    is_bottleneck: Flag | None
    stall_fraction: Real | None
    compute_utilization: Real | None
    slowdown: Real | None
    fed_step_time: Real | None
    throughput: Real
    cores_needed: Real | None
    output_rate: Real | None
    bottleneck: Code | None


@kernel
def transformation(
    batch_size,
    step_time=None,
    cores=1.0,
    sample_cpu_time=None,
    sample_bytes=None,
    cpu_throughput=None,
    amplification=1.0,
    workers=None,
    prefetch_depth=2.0,
    rate_cv=0.0,
) -> Transformation:
    """Preprocessing time of a batch, and how much of the accelerator it leaves idle.

    ``T = B s / R``: B samples of s bytes (after `amplification`) at R bytes per second, cores together.

    Parameters
    ----------
    batch_size : samples
        Per step of what these cores feed.
    step_time : s, optional
        Of the accelerator on that batch, fully fed.  Without it nothing says whether the accelerator waits: only
        `transform_time`, `throughput` (of the input) and `output_rate` are answered.
    cores : 1
        Of the host for this accelerator or node; 1 where `cpu_throughput` is that of all cores.
    sample_cpu_time : s, optional
        Core time of one sample; else `sample_bytes` x `amplification` / `cpu_throughput`.
    sample_bytes : byte, optional
        Stored size of a sample.  Without it `cpu_throughput` counts samples.
    cpu_throughput : byte/s, optional
        Bytes one core produces per second; samples per second where no `sample_bytes` is given (``1 /
        sample_cpu_time``).
    amplification : 1
        Bytes produced per stored byte.
    workers : 1, optional
        Processes that work at once, at most `cores`; default all cores.
    prefetch_depth : batches
        Prepared ahead; 0 does input and step one after the other.
    rate_cv : 1
        Coefficient of variation of the time per batch, supply and step together.

    Returns
    -------
    Transformation
        `is_bottleneck`: the input takes longer than the step.  `fed_step_time`: step with its input.
        `cores_needed`: whole cores at which the input keeps up on average.  `output_rate`: bytes per second
        that go on to the accelerator.

    References
    ----------
    Murray et al. 2021, "tf.data" (VLDB 14); Mohan et al. 2021 (VLDB 14).

    Examples
    --------
    >>> fed = transformation(256, 0.030, 64, sample_cpu_time=0.010)
    >>> float(fed.transform_time), float(fed.cores_needed), bool(fed.is_bottleneck)
    (0.04, 86.0, True)
    >>> float(transformation(256, cpu_throughput=2000.0).transform_time)  # samples/s, all cores together
    0.128
    """
    if sample_cpu_time is not None:
        per_sample = sample_cpu_time
    elif sample_bytes is not None and cpu_throughput is not None:
        per_sample = ingestion.sample_time(sample_bytes, amplification, cpu_throughput)
    elif cpu_throughput is not None:
        per_sample = 1.0 / cpu_throughput
    else:
        raise TypeError("give sample_cpu_time, or cpu_throughput (with sample_bytes where it is in bytes per second)")
    at_once = cores if workers is None else np.minimum(workers, cores)
    transform = ingestion.transform_time(batch_size, per_sample, at_once)
    if step_time is None:  # nothing waits for it
        rate = money.per_unit(batch_size, transform)
        handed = None if sample_bytes is None else rate * sample_bytes * amplification
        nothing = dict.fromkeys(Transformation._fields)
        return Transformation(**{**nothing, "transform_time": transform, "throughput": rate, "output_rate": handed})
    works = transform > 0
    ratio = step_time / np.where(works, transform, step_time)
    busy = np.where(works, ingestion.fed_share(ratio, rate_cv, prefetch_depth), 1.0)
    serial = ingestion.unhidden_step(step_time, transform, prefetch_depth)
    fed = np.where(prefetch_depth > 0, step_time / busy, serial)
    behind = transform > step_time
    bottleneck: Any = np.where(behind, float(Bottleneck.HOST), float(Bottleneck.COMPUTE))
    return Transformation(
        transform_time=transform,
        is_bottleneck=behind,
        stall_fraction=1.0 - step_time / fed,
        compute_utilization=step_time / fed,
        slowdown=fed / step_time,
        fed_step_time=fed,
        throughput=batch_size / fed,
        cores_needed=ingestion.whole_units(batch_size * per_sample / step_time),
        output_rate=None if sample_bytes is None else batch_size * sample_bytes * amplification / fed,
        bottleneck=bottleneck,
    )


TransformationModel = Model("TransformationModel", transformation, domain="data", walls=(9,))
