"""Wall 8, ingestion: does storage, cache or link keep the accelerators fed?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import ingestion
from mlsysim.resolver import Model, kernel
from mlsysim.schema.codes import Bottleneck
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator


class Data(NamedTuple):
    """Demand, supply and what is missing, for one client (a node or whatever loads its own data)."""

    data_demand: Real
    data_supply: Real
    storage_supply: Real
    shared_supply: Real | None
    cache_supply: Real | None
    link_supply: Real
    utilization: Real
    link_utilization: Real
    is_stalled: Flag
    stall_fraction: Real
    delivered_rate: Real
    slowdown: Real
    margin: Real
    bottleneck: Code


@kernel
def data(
    hardware: Accelerator,
    workload_data_rate=None,
    samples_per_s=None,
    sample_bytes=None,
    accelerators_per_client=1.0,
    amplification=1.0,
    storage_bandwidth=None,
    storage_iops=None,
    storage_latency=None,
    reads_in_flight=None,
    record_bytes=None,
    shared_bandwidth=None,
    clients=1.0,
    cache_hit_ratio=0.0,
    cache_bandwidth=None,
    prefetch_depth=2.0,
    rate_cv=0.0,
) -> Data:
    """Supply of sample data against demand, and the share of time the accelerators wait.

    ``utilization = demand / supply``, supply the least of storage, shared storage, cache and host link.

    Parameters
    ----------
    hardware : Accelerator
        Its host link carries what is delivered.
    workload_data_rate : byte/s, optional
        Stored bytes the client consumes per second; else `samples_per_s` x `sample_bytes`.
    samples_per_s : 1/s, optional
    sample_bytes : byte, optional
    accelerators_per_client : 1
        Accelerators (host links) that share the client's demand.
    amplification : 1
        Bytes over the host link per stored byte (decoded images: 5 to 10).
    storage_bandwidth : byte/s, optional
        What the client can draw from storage of its own.
    storage_iops : 1/s, optional
        Its requests per second; counts with `record_bytes`.
    storage_latency : s, optional
        Time of one read; counts with `reads_in_flight` and `record_bytes`.
    reads_in_flight : 1, optional
    record_bytes : byte, optional
        Bytes per request; a sample's unless said.
    shared_bandwidth : byte/s, optional
        Aggregate of a file system that `clients` share evenly.
    clients : 1
    cache_hit_ratio : 1
        Share of bytes that a cache in front of the storage serves.
    cache_bandwidth : byte/s, optional
    prefetch_depth : batches
        Prepared ahead; two by default, as the loaders of the common frameworks do.
    rate_cv : 1
        Coefficient of variation of the time per batch, supply and step together.

    Returns
    -------
    Data
        `utilization`, which is `link_utilization`: demand over supply, 0 where nothing is asked for, above 1
        where the path is the bottleneck.  `is_stalled`: demand above supply.  `stall_fraction`: share of time
        without data, which variation makes positive even below.  `margin`: supply over demand, less
        one.  `bottleneck`: `compute` while the supply suffices, else which supply is least.

    Notes
    -----
    An input that is not given puts no bound on the supply: `workload_data_rate` alone is held against the host link.

    References
    ----------
    Mohan et al. 2021 (VLDB 14); Little 1961.

    Examples
    --------
    >>> from mlsysim import zoo
    >>> h100 = zoo.accelerator_record(zoo.hardware("h100"), 3)
    >>> fed = data(h100, workload_data_rate=2.2e9, storage_bandwidth=2.0e9)
    >>> round(float(fed.link_utilization), 4), round(float(fed.stall_fraction), 7)
    (1.1, 0.0909091)
    """
    if workload_data_rate is not None:
        demand = workload_data_rate
    elif samples_per_s is not None and sample_bytes is not None:
        demand = samples_per_s * sample_bytes
    else:
        raise TypeError("give workload_data_rate, or samples_per_s and sample_bytes")

    if record_bytes is None:  # a read brings a sample
        record_bytes = sample_bytes
    own = np.inf
    if storage_bandwidth is not None:
        own = storage_bandwidth
    if storage_iops is not None and record_bytes is not None:
        own = np.minimum(own, ingestion.request_rate_bandwidth(storage_iops, record_bytes))
    if storage_latency is not None and reads_in_flight is not None and record_bytes is not None:
        own = np.minimum(own, ingestion.outstanding_bandwidth(reads_in_flight, record_bytes, storage_latency))
    storage = ingestion.behind_cache(own, cache_hit_ratio)
    shared = cache = None
    supply = storage
    narrowest: Any = float(Bottleneck.STORAGE)
    if shared_bandwidth is not None:
        shared = ingestion.behind_cache(shared_bandwidth / clients, cache_hit_ratio)
        narrowest = np.where(shared < supply, float(Bottleneck.NETWORK), narrowest)
        supply = np.minimum(supply, shared)
    if cache_bandwidth is not None:
        cache = ingestion.through_cache(cache_bandwidth, cache_hit_ratio)
        narrowest = np.where(cache < supply, float(Bottleneck.MEMORY), narrowest)
        supply = np.minimum(supply, cache)
    link = accelerators_per_client * hardware.host_bandwidth / amplification
    narrowest = np.where(link < supply, float(Bottleneck.HOST), narrowest)
    supply = np.minimum(supply, link)

    asked = demand > 0
    ratio = np.where(asked, supply / np.where(asked, demand, 1.0), 1.0)
    fed = np.where(asked, ingestion.fed_share(ratio, rate_cv, prefetch_depth), 1.0)
    starved = np.where(asked, ingestion.starvation(ratio, rate_cv, prefetch_depth), 0.0)
    utilization: Any = np.where(asked, demand / supply, 0.0)
    bottleneck: Any = np.where(demand > supply, narrowest, float(Bottleneck.COMPUTE))
    return Data(
        data_demand=demand,
        data_supply=supply,
        storage_supply=storage,
        shared_supply=shared,
        cache_supply=cache,
        link_supply=link,
        utilization=utilization,
        link_utilization=utilization,
        is_stalled=demand > supply,
        stall_fraction=starved,
        delivered_rate=demand * fed,
        slowdown=1.0 / fed,
        margin=np.where(asked, ratio - 1.0, np.inf),
        bottleneck=bottleneck,
    )


DataModel = Model("DataModel", data, domain="data", walls=(8,))
