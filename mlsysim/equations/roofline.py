"""Roofline of a whole pass, and what it costs when part of it lives beyond the device's memory.

References
----------
Williams, Waterman, Patterson 2009, "Roofline", CACM 52(4).
Sheng et al. 2023, "FlexGen" (arXiv:2303.06865); Ren et al. 2021, "ZeRO-Offload" (arXiv:2101.06840).
"""

import numpy as np


def ridge_point(peak_flops, mem_bandwidth):
    """Operations per byte above which arithmetic binds: ``peak / bandwidth`` (FLOP/byte).

    Examples
    --------
    >>> float(round(ridge_point(989.4e12, 3.35e12), 1))
    295.3
    """
    return peak_flops / mem_bandwidth


def arithmetic_intensity(flops, nbytes):
    """Operations per byte of a pass (FLOP/byte)."""
    return flops / nbytes


def spilled_bytes(needed, capacity):
    """What does not fit, ``max(0, needed - capacity)`` (byte)."""
    return np.maximum(needed - capacity, 0.0)


def link_time(host_bytes, storage_bytes, host_bandwidth, storage_bandwidth):
    """Fetching what lies in host memory and on storage (s); storage passes the host link too."""
    return np.maximum((host_bytes + storage_bytes) / host_bandwidth, storage_bytes / storage_bandwidth)


def prefetched_time(resident_time, link_seconds):
    """A pass whose next layers are fetched while it computes: ``max`` of the two (s)."""
    return np.maximum(resident_time, link_seconds)


def serial_time(resident_time, link_seconds):
    """A pass that waits for every layer: the sum (s)."""
    return resident_time + link_seconds


def effective_bandwidth(nbytes, resident_bytes, mem_bandwidth, link_seconds):
    """Bandwidth a pass sees, link included: ``bytes / (resident / BW + link time)`` (byte/s)."""
    return nbytes / (resident_bytes / mem_bandwidth + link_seconds)


def break_even_tokens(spilled_share, weight_bytes, efficiency, peak_flops, host_bandwidth):
    """Tokens per pass from which prefetched weights cost no time: ``x w eta P / (2 B)``.

    Parameters
    ----------
    spilled_share : x, share of the weights beyond the device.
    weight_bytes : w (byte); efficiency : eta; peak_flops : P (FLOP/s); host_bandwidth : B (byte/s).

    Examples
    --------
    >>> float(round(break_even_tokens(1.0, 2.0, 1.0, 989.4e12, 55e9), 4))
    17989.0909
    """
    return spilled_share * weight_bytes * efficiency * peak_flops / (2.0 * host_bandwidth)
