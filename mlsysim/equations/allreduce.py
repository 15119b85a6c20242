"""All-reduce inside the fast domain as measured, message by message.

Between 16 KB and 64 MB measured all-reduces follow no single latency-bandwidth line: a one-shot kernel, a
two-shot kernel and the library's ring or in-switch reduction take turns.  So the time is read off the
measured points of the device (`Accelerator.allreduce_*`): in straight pieces between the points and their
geometric midpoints, which stays within 1.5 % of interpolating on doubly logarithmic paper and needs no
logarithm per message.  Above the last point the bus bandwidth continues it.
"""

import numpy as np

from mlsysim.equations.collectives import direct_share
from mlsysim.equations.library import library_all_reduce

_KIB = 1024.0
_MIB = 1024.0 * 1024.0
#: message sizes of the points: the small-message latency holds up to the first
SMALL_MESSAGE = 16.0 * _KIB
_SIZES = (256.0 * _KIB, 1.0 * _MIB, 4.0 * _MIB, 16.0 * _MIB, 64.0 * _MIB)
_NAMES = ("256k", "1m", "4m", "16m", "64m")


def _of_group(hardware, name, ranks):
    """A figure measured among 2, 4 and 8 devices, for a group between or above them."""
    two, four, eight = (getattr(hardware, f"{name}_{n}") for n in (2, 4, 8))
    return np.where(ranks <= 2, two, np.where(ranks <= 4, four, eight))


def measured_points(hardware, ranks):
    """The points of a group: times (s) at 16 KiB, 256 KiB, 1, 4, 16 and 64 MiB, and the bus rate (byte/s).

    Group sizes between 2, 4 and 8 take the next larger measured group, larger groups that of 8.  No point takes longer
    than that of a larger message, whose way it could go (A100, 8 ranks: 83 us were measured at 1 MiB, 76 at 4 MiB).
    """
    points = ("allreduce_latency", *(f"allreduce_{name}" for name in _NAMES))
    times = [_of_group(hardware, name, ranks) for name in points]
    for i in range(len(times) - 2, -1, -1):
        times[i] = np.minimum(times[i], times[i + 1])
    return times, _of_group(hardware, "bus_bandwidth", ranks)


def measured_allreduce_time(nbytes, hardware, ranks):
    """All-reduce of one message in a group of 2..8 devices of a fast domain (s).

    Parameters
    ----------
    nbytes : message, the full tensor (byte).
    hardware : Accelerator with ``allreduce_*`` points.
    ranks : devices in the group; 1 costs nothing.

    Notes
    -----
    The points are measured kernels, one message in flight; a reading repeats within 10 %.
    """
    times, bus = measured_points(hardware, ranks)
    sizes = (SMALL_MESSAGE, *_SIZES)
    nodes = [(sizes[0], times[0])]
    for i in range(1, len(sizes)):
        middle = np.sqrt(times[i - 1] * times[i])
        nodes += [(float(np.sqrt(sizes[i - 1] * sizes[i])), middle), (sizes[i], times[i])]
    slope = 2.0 * (ranks - 1.0) / ranks / bus
    start, level = nodes[-1]
    intercept = level - slope * start
    for (low, low_time), (high, high_time) in zip(reversed(nodes[:-1]), reversed(nodes[1:])):
        piece = (high_time - low_time) / (high - low)
        slope = np.where(nbytes < high, piece, slope)
        intercept = np.where(nbytes < high, low_time - piece * low, intercept)
    inside = np.maximum(nodes[0][1], intercept + slope * nbytes)
    return np.where(ranks > 1, inside, 0.0)


def library_allreduce_time(nbytes, hardware, ranks):
    """All-reduce of one message by the communication library alone (s): ``latency + 2 (n - 1)/n V / bus``.

    Parameters
    ----------
    nbytes : message, the full tensor (byte).
    hardware : Accelerator with ``nccl_latency_*`` and ``bus_bandwidth_*``.
    ranks : devices in the group; 1 costs nothing.
    """
    bus = _of_group(hardware, "bus_bandwidth", ranks)
    ring = _of_group(hardware, "nccl_latency", ranks) + 2.0 * (ranks - 1.0) / ranks * nbytes / bus
    return np.where(ranks > 1, ring, 0.0)


def allreduce_time(nbytes, hardware, fleet, ranks, assume, library=0.0):
    """All-reduce of one message: measured inside the fast domain, as a library runs it between domains (s).

    Parameters
    ----------
    nbytes : message, the full tensor (byte).
    hardware : Accelerator with ``allreduce_*`` points.
    fleet : Fleet; `domain_size` bounds the measured part.
    ranks : devices in the group.
    assume : Assumptions; `collective_start`.
    library : 1 where the communication library does it, 0 where the engine's own kernels take the small messages.

    Notes
    -----
    Kernels of an engine's own end with the domain: across R domains of G devices the library takes over
    (`library.library_all_reduce`, at the measured bus rate inside), and takes no less than the domain alone.  Where each
    pair of devices has a link of its own, a part of them has only the links among it.
    """
    inside = np.minimum(ranks, fleet.domain_size)
    domains = np.maximum(ranks / fleet.domain_size, 1.0)
    bus = _of_group(hardware, "bus_bandwidth", inside)
    network = (fleet.inter_bandwidth * fleet.inter_efficiency, fleet.inter_latency)
    beyond = assume.collective_start + library_all_reduce(inside, domains, nbytes, bus, fleet.intra_latency, *network)
    measured = np.maximum(measured_allreduce_time(nbytes, hardware, inside), direct_time(nbytes, fleet, inside))
    within = np.where(library > 0, np.maximum(measured, library_allreduce_time(nbytes, hardware, inside)), measured)
    time = np.where(domains > 1, np.maximum(within, beyond), within)
    return np.where(ranks > 1, time, 0.0)  # one device asks for no network


def direct_time(nbytes, fleet, ranks):
    """The bytes of an all-reduce over the links that a part of directly joined devices has (s); 0 elsewhere.

    ``2 (n - 1)/n V / W`` with W the share (n - 1) / p of a device's links to its p peers; points are measured on switches.
    """
    share = direct_share(ranks, fleet.direct_peers)
    rate = share * (fleet.intra_bandwidth * fleet.intra_efficiency)
    return np.where(share < 1, 2.0 * (ranks - 1.0) / ranks * (nbytes / rate), 0.0)
