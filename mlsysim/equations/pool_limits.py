"""What keeps a cluster of prefill and decode replicas from serving more, and the wall behind it."""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations.pools import EXACT, Cluster, Operation, capacity
from mlsysim.schema.codes import Bottleneck, PoolLimit

#: share of a stage's capacity from which on it is what binds
BINDS = 0.9


class Shares(NamedTuple):
    """How much of each stage a load takes."""

    prefill: Any
    transfer: Any
    slots: Any
    caches: Any = 0.0  #: of those that can wait in the prefill pool


def shares(cluster: Cluster, run: Operation) -> Shares:
    """How much of each stage a load takes: rates over what a stage can do, requests over slots."""
    most = capacity(cluster)
    return Shares(
        run.throughput / most.prefill,
        run.throughput / most.transfer,
        run.active / cluster.decode.slots,
        run.caches / np.maximum(cluster.kept, EXACT),
    )


def binding(taken: Shares, by_memory):
    """What keeps a cluster from serving more: the fullest stage from 0.9 on, else that clients are few (`PoolLimit`).

    Parameters
    ----------
    by_memory : is the number of slots set by the cache that fits, not by the engine?

    Examples
    --------
    >>> [int(binding(Shares(*s), memory)) for s, memory in (((1.0, 0.1, 0.5), False), ((0.3, 0.1, 1.0), True))]
    [1, 4]
    >>> int(binding(Shares(0.3, 0.1, 0.7), False)), int(binding(Shares(0.3, 0.1, 1.0, 1.0), False))
    (0, 5)
    """
    slots = np.where(by_memory, float(PoolLimit.CACHE), float(PoolLimit.DECODE_SLOTS))
    slots = np.where(taken.caches >= 1.0 - 1e-6, float(PoolLimit.BACKPRESSURE), slots)
    most = np.maximum(np.maximum(taken.prefill, taken.transfer), taken.slots)
    early = np.where(taken.prefill >= taken.transfer, float(PoolLimit.PREFILL), float(PoolLimit.TRANSFER))
    fullest = np.where(taken.slots >= np.maximum(taken.prefill, taken.transfer), slots, early)
    return np.where(most >= BINDS, fullest, float(PoolLimit.CLIENTS))


def wall(taken: Shares, by_memory, of_prefill, of_decode):
    """The wall behind the fullest stage: the links between the pools, the memory for caches, or what binds a step (`Bottleneck`).

    Parameters
    ----------
    by_memory : is the number of slots set by the cache that fits?
    of_prefill, of_decode : what binds a step of either pool.
    """
    limit = binding(taken, by_memory)
    step = np.where(limit == PoolLimit.PREFILL, of_prefill, of_decode)
    step = np.where(limit == PoolLimit.CACHE, float(Bottleneck.CAPACITY), step)
    return np.where(limit == PoolLimit.TRANSFER, float(Bottleneck.LINK), step)
