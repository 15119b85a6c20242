"""Options and their labels: each label has one code, the same in every resolver."""

from enum import IntEnum


class Schedule(IntEnum):
    """Order of forward and backward passes in a pipeline (training.md of the field: Narayanan 2021; Qi 2023)."""

    ONE_F_ONE_B = 0  #: interleaved when virtual_stages > 1
    GPIPE = 1
    ZB_H1 = 2
    ZB_H2 = 3
    ZBV = 4
    V_HALF = 5
    V_MIN = 6
    DUALPIPE = 7


class Recompute(IntEnum):
    """What the backward pass computes again instead of keeping."""

    NONE = 0
    SELECTIVE = 1
    FULL = 2
    OFFLOAD = 3


class Precision(IntEnum):
    """Number formats of weights and GEMMs."""

    FP32 = 0
    TF32 = 1
    FP16 = 2
    BF16 = 3
    FP8 = 4
    INT8 = 5
    INT4 = 6  #: weight only, computed in 16 bits
    NVFP4 = 7
    MXFP4 = 8


class Attention(IntEnum):
    """Generation of the attention kernel."""

    UNFUSED = 0
    FLASH1 = 1
    FLASH2 = 2
    FLASH3 = 3  #: cuDNN alike


class FlopsConvention(IntEnum):
    """Which attention FLOPs a utilization counts."""

    FULL = 0
    CAUSAL = 1


class Reserve(IntEnum):
    """How a server books the KV cache of a request."""

    GROW = 0  #: page by page (vLLM, SGLang)
    RESERVE = 1  #: prompt and output up front (TensorRT-LLM, no evict)


class Limit(IntEnum):
    """Why a configuration is infeasible: the first that fails, in this order; 0 is nothing."""

    NONE = 0
    SHAPE = 1
    CAPABILITY = 2
    MEMORY = 3
    SATURATION = 4
    SLA = 5
    BUDGET = 6


class Bottleneck(IntEnum):
    """Which wall binds."""

    NONE = 0
    COMPUTE = 1
    MEMORY = 2
    COMMUNICATION = 3
    BUBBLE = 4
    OVERHEAD = 5
    CAPACITY = 6
    QUEUE = 7
    STORAGE = 8
    HOST = 9
    NETWORK = 10
    LINK = 11


_SPELLINGS = {Schedule.ONE_F_ONE_B: "1f1b"}


def label(option: IntEnum) -> str:
    """The public label of an option.

    >>> label(Schedule.ZB_H1), label(Schedule.ONE_F_ONE_B)
    ('zb_h1', '1f1b')
    """
    return _SPELLINGS.get(option, option.name.lower())  # type: ignore[call-overload]


def labels(options: type[IntEnum]) -> dict[str, int]:
    """Labels of one option with their codes.

    >>> labels(Reserve)
    {'grow': 0, 'reserve': 1}
    """
    return {label(option): int(option) for option in options}
