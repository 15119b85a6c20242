"""Wall 9, transformation: does preprocessing on the host starve the accelerators?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import ingestion
from mlsysim.resolver import Model, kernel
from mlsysim.schema.codes import Bottleneck
from mlsysim.schema.kinds import Code, Flag, Real


class Transformation(NamedTuple):
    """Time of the input against that of the accelerator, per batch."""

    transform_time: Real
    is_bottleneck: Flag
    stall_fraction: Real
    compute_utilization: Real
    slowdown: Real
    fed_step_time: Real
    throughput: Real
    cores_needed: Real
    output_rate: Real | None
    bottleneck: Code


@kernel
def transformation(
    batch_size,
    step_time,
    cores,
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
    step_time : s
        Of the accelerator on that batch, fully fed.
    cores : 1
        Of the host for this accelerator or node.
    sample_cpu_time : s, optional
        Core time of one sample; else `sample_bytes` x `amplification` / `cpu_throughput`.
    sample_bytes : byte, optional
        Stored size of a sample.
    cpu_throughput : byte/s, optional
        Bytes one core produces per second.
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
    """
    if sample_cpu_time is not None:
        per_sample = sample_cpu_time
    elif sample_bytes is not None and cpu_throughput is not None:
        per_sample = ingestion.sample_time(sample_bytes, amplification, cpu_throughput)
    else:
        raise TypeError("give sample_cpu_time, or sample_bytes and cpu_throughput")
    at_once = cores if workers is None else np.minimum(workers, cores)
    transform = ingestion.transform_time(batch_size, per_sample, at_once)
    busy = ingestion.fed_share(step_time / transform, rate_cv, prefetch_depth)
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
