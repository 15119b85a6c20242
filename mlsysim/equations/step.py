"""A step of a server by class: what scales differently stays apart."""

from typing import NamedTuple

from mlsysim.schema.kinds import Real


class Step(NamedTuple):
    """Seconds of one step by class, and how long its arithmetic and its traffic alone would take."""

    gemm: Real  #: matrix products and element-wise work
    attention: Real
    communication: Real
    host: Real
    arithmetic: Real
    traffic: Real
