"""Moving the cache of a prompt from the devices that prefill to those that decode.

References
----------
Zhong et al. 2024, "DistServe" (arXiv:2401.09670); Patel et al. 2024, "Splitwise" (arXiv:2311.18677).
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import sharding
from mlsysim.equations.selection import choose
from mlsysim.schema.records import Fleet, Format, Workload


class Path(NamedTuple):
    """The way of a cache from one pool to the other."""

    bandwidth: Any  #: of one device (byte/s)
    latency: Any  #: of a message (s)


def path(prefill: Fleet, decode: Fleet, devices, bandwidth=None) -> Path:
    """The links between two pools: the fast domain where it holds both, else the network; the slower side decides.

    Parameters
    ----------
    prefill, decode : systems of the two pools.
    devices : of both pools together.
    bandwidth : of one device for caches, where it is given (byte/s).

    Examples
    --------
    >>> from mlsysim import zoo
    >>> rack, nodes = zoo.fleet_record(None, "gb200"), zoo.fleet_record(None, "h100")
    >>> [float(path(rack, rack, devices).bandwidth) > 1e11 for devices in (72.0, 73.0)]
    [True, False]
    """
    inside = devices <= np.minimum(prefill.domain_size, decode.domain_size)
    fast, slow = (
        np.minimum(*(getattr(f, f"{level}_bandwidth") * getattr(f, f"{level}_efficiency") for f in (prefill, decode)))
        for level in ("intra", "inter")
    )
    latency = [np.maximum(getattr(prefill, name), getattr(decode, name)) for name in ("intra_latency", "inter_latency")]
    return Path(np.where(inside, fast, slow) if bandwidth is None else bandwidth, np.where(inside, *latency))


def copies(model: Workload, format: Format, tp):
    """How often the t devices of an attention group keep a cached token, all together: ``max(1, t / k)``, or t with MLA.

    Heads are divided while there are as many as devices; the latent cache is whole on every device.

    Examples
    --------
    >>> from mlsysim import zoo
    >>> fp8 = zoo.format_record(4)
    >>> llama, deepseek = (zoo.workload_record(zoo.model(m)) for m in ("llama3_1_70b", "deepseek_r1_671b"))
    >>> [float(copies(llama, fp8, tp)) for tp in (8.0, 16.0)], float(copies(deepseek, fp8, 8.0))
    ([1.0, 2.0], 8.0)
    """
    one = sharding.kv_bytes_per_layer_and_device(model, format, 1.0)
    kept = tp * sharding.kv_bytes_per_layer_and_device(model, format, tp)
    return np.where(one > 0, kept / np.where(one > 0, one, 1.0), 1.0)


def moved_bytes(model: Workload, format: Format, tokens, tp):
    """What the devices of one attention group that decodes receive of a prompt, all together (byte).

    Parameters
    ----------
    tokens : of the prompt.
    tp : degree of tensor parallelism of the group.
    """
    return sharding.kept_bytes(model, format, tokens) * copies(model, format, tp)


def moving_time(nbytes, bandwidth, senders, receivers):
    """Time of one prompt's cache on the links, ``K / (B min(senders, receivers))`` (s).

    Parameters
    ----------
    nbytes : K, see `moved_bytes`.
    bandwidth : B, of one device (byte/s).
    senders, receivers : devices of the attention group that prefills, and of the one that decodes.

    Examples
    --------
    >>> float(moving_time(8e9, 50e9, 4.0, 1.0))
    0.16
    """
    return nbytes / (bandwidth * np.minimum(senders, receivers))


def behind_pieces(moving, computing, pieces):
    """Time by which a cache that moves piece by piece arrives after the end of the prefill, latency apart (s).

    ``max(m / n, m - T (n - 1) / n)``: each piece leaves when it is computed, so that the last of n is what is left, or
    the link is slower than the prefill and is never idle after the first.

    Parameters
    ----------
    moving : m, time of the whole cache on the link (s).
    computing : T, time of the prefill (s).
    pieces : n; 1 moves all of it afterwards.

    Examples
    --------
    >>> float(behind_pieces(1.0, 8.0, 4.0)), float(behind_pieces(8.0, 4.0, 4.0)), float(behind_pieces(8.0, 4.0, 1.0))
    (0.25, 5.0, 8.0)
    """
    return np.maximum(moving / pieces, moving - computing * (pieces - 1.0) / pieces)


def pieces(model: Workload, transfer, chunks):
    """Pieces in which a cache leaves while its prompt is computed: layers, one, or chunks.

    Parameters
    ----------
    transfer : `CacheTransfer`.
    chunks : of the prompt.
    """
    return choose(transfer, np.maximum(model.n_layers, 1.0), 1.0, np.maximum(chunks, 1.0))


def cache_transfer_time(model: Workload, format: Format, fleet: Fleet, tp, seq_len, prefill_time, transfer, chunks):
    """Time by which the cache of one prompt arrives after its prefill, between groups of t devices over the network (s).

    Parameters
    ----------
    prefill_time : of the prompt (s).
    transfer : `CacheTransfer`.
    chunks : of the prompt.
    """
    network = fleet.inter_bandwidth * fleet.inter_efficiency
    moving = moving_time(moved_bytes(model, format, seq_len, tp), network, tp, tp)
    return fleet.inter_latency + behind_pieces(moving, prefill_time, pieces(model, transfer, chunks))
