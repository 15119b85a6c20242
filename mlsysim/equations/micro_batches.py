"""Two micro-batches that take turns: one exchanges its tokens while the other computes.

References
----------
DeepSeek-AI 2024 (arXiv:2412.19437), section 3.4; LMSYS 2025, "Deploying DeepSeek with PD disaggregation and large-scale expert
parallelism on 96 H100 GPUs": 27 to 35 % more tokens per second in prefill.
"""

import numpy as np

from mlsysim.equations.step import Step


def side_by_side(halves: Step) -> Step:
    """A step in two halves: ``max(computation, communication)`` of both together; computation stays, what it hides goes.

    Parameters
    ----------
    halves : both halves one after the other (s, by class).

    Examples
    --------
    >>> step = Step(gemm=5.0, attention=1.0, communication=8.0, host=0.0, arithmetic=3.0, traffic=3.0)
    >>> float(side_by_side(step).communication), float(side_by_side(step._replace(communication=4.0)).communication)
    (2.0, 0.0)
    """
    return halves._replace(communication=np.maximum(halves.communication - halves.gemm - halves.attention, 0.0))


def twice(half: Step) -> Step:
    """Two like it, one after the other."""
    return Step(*(2.0 * part for part in half))


def either(overlapped, two: Step, one: Step) -> Step:
    """The step in two halves where it is run so."""
    return Step(*(np.where(overlapped, a, b) for a, b in zip(two, one)))
