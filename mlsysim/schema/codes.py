"""Options and their labels: each label has one code, the same in every resolver."""

import functools
from enum import IntEnum


class Schedule(IntEnum):
    """Order of forward and backward passes in a pipeline (Narayanan 2021; Qi 2023)."""

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
    """Number formats of weights and GEMMs; ``fp4`` means `nvfp4`, on every device (`mxfp4` has half as many scales).

    From `Q8_0` on types of GGUF files: weight only, head and embedding as narrow as the rest.
    """

    FP32 = 0
    TF32 = 1
    FP16 = 2
    BF16 = 3
    FP8 = 4
    INT8 = 5
    INT4 = 6  #: weight only, computed in 16 bits
    NVFP4 = 7
    MXFP4 = 8
    Q8_0 = 9
    Q6_K = 10
    Q5_K_M = 11
    Q5_0 = 12
    Q4_K_M = 13
    Q4_0 = 14
    IQ4_XS = 15
    Q3_K_M = 16
    Q2_K = 17


class Runtime(IntEnum):
    """The software that runs a network: what it fuses, and how it launches kernels."""

    USUAL = 0  #: `engine` in inference, `eager` in training: what most published figures are of
    EAGER = 1  #: each operation a kernel, launched one by one (PyTorch)
    EAGER_CHANNELS_LAST = 2  #: the same, pictures stored as matrix units read them
    COMPILED = 3  #: element-wise work fused into one kernel between layers (torch.compile)
    ENGINE = 4  #: compiled ahead of time, element-wise work inside the layers (TensorRT, XLA, TensorFlow Lite)


class Attention(IntEnum):
    """Generation of the attention kernel."""

    UNFUSED = 0
    FLASH1 = 1
    FLASH2 = 2
    FLASH3 = 3  #: cuDNN alike


class Collective(IntEnum):
    """Algorithm of reductions and gathers over two levels of network."""

    BEST = 0  #: as a communication library runs it: the fastest of its rings, trees and switches that reduce
    RING = 1  #: one ring through all devices per rail
    TREE = 2  #: rings inside the fast domain, double binary trees between domains (gathers: rings)
    HIERARCHICAL = 3  #: rings at both levels
    IN_NETWORK = 4  #: switches reduce at both levels (gathers: rings)


class CollectiveKind(IntEnum):
    """What a group of devices does with a tensor of V bytes."""

    ALL_REDUCE = 0  #: each has V bytes and gets the sum
    ALL_GATHER = 1  #: each has a share of V bytes and gets all
    REDUCE_SCATTER = 2  #: each has V bytes and gets its share of the sum
    ALL_TO_ALL = 3  #: each sends V bytes, an equal share to every one (itself included)
    BROADCAST = 4  #: one has V bytes, all get them
    SEND = 5  #: the first sends V bytes to the last


class FlopsConvention(IntEnum):
    """Which attention FLOPs a utilization counts."""

    FULL = 0
    CAUSAL = 1


class Reserve(IntEnum):
    """How a server books the KV cache of a request."""

    GROW = 0  #: page by page (vLLM, SGLang)
    RESERVE = 1  #: prompt and output up front (TensorRT-LLM, no evict)


class WeightPlan(IntEnum):
    """Where the weights of a device with memory on the chip are."""

    BEST = 0  #: on the chips if they fit, unless streaming is sooner
    RESIDENT = 1  #: on the chips
    STREAMED = 2  #: off them: each layer enters when it is computed


class CacheLength(IntEnum):
    """How long the cache is that a decode step reads."""

    GROWING = 0  #: the mean over an answer
    FIXED = 1  #: that of the prompt, however long the answer (hand calculations)


class CacheTransfer(IntEnum):
    """How a cache moves from the devices that prefill to those that decode."""

    STREAMED = 0  #: layer by layer behind the prefill, which hides most of it
    SERIAL = 1  #: in one piece when the prefill is done
    CHUNKED = 2  #: each chunk of a prompt when it is computed


class FirstToken(IntEnum):
    """Which pool answers the client with the first token, where prefill and decode run apart."""

    DECODE = 0  #: the decode pool, when the cache has arrived (Dynamo, SGLang)
    PREFILL = 1  #: the prefill pool, at once; the second token then waits for the cache


class LengthLaw(IntEnum):
    """How the lengths of answers are spread."""

    LOGNORMAL = 0  #: with a coefficient of variation; 0 is a constant length
    EXPONENTIAL = 1


class WorkloadType(IntEnum):
    """What part of a workload an efficiency is asked for."""

    GEMM = 0  #: one matrix product of given shape
    FFN = 1  #: feed-forward network of a layer
    ATTENTION = 2  #: attention proper, whole prompts
    DECODE_ATTENTION = 3  #: attention proper, one token per sequence
    CONV = 4  #: convolutional network
    PREFILL = 5  #: a whole forward pass
    DECODE = 6  #: a whole decode step
    TRAINING = 7  #: a whole training step


class Phase(IntEnum):
    """Phase of a language model's life."""

    PREFILL = 0
    DECODE = 1
    TRAINING = 2


class Topology(IntEnum):
    """Shape of a network."""

    FAT_TREE = 0  #: folded Clos, as many tiers as the size needs
    LEAF_SPINE = 1  #: two tiers
    RAIL_OPTIMIZED = 2  #: folded Clos; port i of every node meets at the same leaves
    DRAGONFLY = 3
    DRAGONFLY_PLUS = 4
    TORUS = 5  #: two or three dimensions
    RING = 6
    FULL_MESH = 7
    SWITCHED = 8  #: one hop through switches that see every device (scale-up domain)


class Law(IntEnum):
    """Scaling law."""

    CHINCHILLA_1 = 0  #: Hoffmann 2022, approach 1: 20 tokens per parameter
    CHINCHILLA_3 = 1  #: approach 3, rounded constants as printed
    CHINCHILLA_3_UNROUNDED = 2
    EPOCH = 3  #: Besiroglu 2024, refit of approach 3
    KAPLAN = 4
    MUENNIGHOFF = 5  #: with repeated data in mind


class CompressionMethod(IntEnum):
    """What is made smaller, and how."""

    QUANTIZE_WEIGHTS = 0  #: arithmetic stays as it was
    QUANTIZE_WEIGHTS_ACTIVATIONS = 1  #: arithmetic in the narrow format
    QUANTIZE_KV = 2
    PRUNE_UNSTRUCTURED = 3
    PRUNE_2_4 = 4
    PRUNE_STRUCTURED = 5  #: whole layers, heads or channels
    DISTILL = 6
    LOW_RANK = 7


class AccuracyBasis(IntEnum):
    """Whose published losses the accuracy of a compressed model rests on."""

    LANGUAGE_MODELS = 0  #: accuracy on multiple-choice tasks
    IMAGE_NETWORKS = 1  #: top-1 of networks that were tuned or trained anew
    BORROWED = 2  #: language models', for a family of which no law is known: the spread is as wide as the loss


class Quantizer(IntEnum):
    """How rounded weights are chosen."""

    ROUND_TO_NEAREST = 0
    GPTQ = 1  #: error-compensating, calibrated (AWQ alike)


class Pruner(IntEnum):
    """How pruned weights are chosen."""

    MAGNITUDE = 0
    SPARSEGPT = 1
    WANDA = 2


class Optimizer(IntEnum):
    """What training keeps per parameter besides the weight."""

    ADAM = 0  #: two fp32 moments
    ADAM_8BIT = 1
    SGD_MOMENTUM = 2
    SGD = 3


class Clipping(IntEnum):
    """How DP-SGD gets the norm of each sample's gradient."""

    PER_SAMPLE = 0  #: all per-sample gradients at once (Opacus)
    GHOST = 1  #: norms without the gradients
    LOOP = 2  #: one sample after another, or a framework that does not vectorise


class Conversion(IntEnum):
    """From Renyi divergence to epsilon."""

    CLASSIC = 0  #: Mironov 2017
    IMPROVED = 1  #: Balle et al. 2020, Canonne et al. 2020


class EnergyBasis(IntEnum):
    """What the power of a device between idle and its limit follows."""

    ACTIVITY = 0  #: how busy arithmetic and memory are
    MFU = 1  #: the share of peak that is reached: the hand calculation


class PenaltyBasis(IntEnum):
    """What the time that a checkpoint takes is held against."""

    CYCLE = 0  #: write / (interval + write): the share of all time
    INTERVAL = 1  #: write / interval: the hand calculation


class Procurement(IntEnum):
    """How the accelerators of a run are paid for."""

    OWN = 0
    ON_DEMAND = 1
    RESERVED = 2
    SPOT = 3


class PriceBasis(IntEnum):
    """Which price the capital of a fleet starts from."""

    DEVICE = 0  #: the accelerator, and a multiplier for its server
    NODE = 1  #: the whole server


class Routing(IntEnum):
    """How requests or jobs find a server."""

    SHARED = 0  #: one queue for all servers
    RANDOM = 1  #: a queue per server, chosen at random


class Limit(IntEnum):
    """Why a configuration is infeasible: the first that fails, in this order; 0 is nothing."""

    NONE = 0
    SHAPE = 1
    CAPABILITY = 2
    MEMORY = 3
    SATURATION = 4
    SLA = 5
    BUDGET = 6
    NOT_FOUND = 7  #: of no configuration: a search found none that works and meets its conditions


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


class PoolLimit(IntEnum):
    """What keeps a cluster of prefill and decode replicas from serving more."""

    CLIENTS = 0  #: requests are too few to fill any of it
    PREFILL = 1
    TRANSFER = 2
    DECODE_SLOTS = 3  #: the most requests that the engine takes at once
    CACHE = 4  #: the same by memory
    BACKPRESSURE = (
        5  #: slots, and the prefill pool has no memory for more caches that wait for one: prompts wait uncomputed
    )


class Region(IntEnum):
    """Where targets hold, seen from the value that a solver returns."""

    NEVER = 0  #: nowhere: there is no such value
    AT_LEAST = 1  #: from it upwards
    AT_MOST = 2  #: up to it
    ALWAYS = 3  #: everywhere: nothing is asked of the input


_SPELLINGS = {"ONE_F_ONE_B": "1f1b"}
#: other words for a label, accepted where an option is given
SYNONYMS: dict[type[IntEnum], dict[str, str]] = {
    Precision: {"fp4": "nvfp4"},
    Runtime: {"tensorrt": "engine", "pytorch": "eager"},
    CompressionMethod: {"quantization": "quantize_weights", "pruning": "prune_unstructured"},
}


def label(option: IntEnum) -> str:
    """The public label of an option.

    >>> label(Schedule.ZB_H1), label(Schedule.ONE_F_ONE_B)
    ('zb_h1', '1f1b')
    """
    return _SPELLINGS.get(option.name, option.name.lower())


def labels(options: type[IntEnum]) -> dict[str, int]:
    """Labels of one option with their codes.

    >>> labels(Reserve)
    {'grow': 0, 'reserve': 1}
    """
    return dict(_labels(options))


@functools.cache
def _labels(options: type[IntEnum]) -> dict[str, int]:
    return {label(option): int(option) for option in options}
