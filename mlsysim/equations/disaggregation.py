"""When prefill and decode apart beat both on the same devices, and how many replicas of each.

With a step ``t = c0 + c1 b``, a prompt that costs T of a replica, J tokens decoded and a time between tokens tau, a request
takes of aggregated devices ``J tau (c1 + T / J) / (tau - c0)``, since prompts lengthen the steps, and of separate ones
``J tau c1 / (tau - c0) + T (1 + l)``, l what is idle beside the prompts: the rest of whole replicas, unequal loads.

References
----------
Zhong et al. 2024, "DistServe" (arXiv:2401.09670); Mitra et al. 2025, "Beyond the Buzz" (arXiv:2506.05508).
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import decode_pool
from mlsysim.equations.counting import ceil_div
from mlsysim.equations.decode_pool import Line
from mlsysim.equations.pools import Capacity, Cluster, Operation


def speedup_over_aggregated(line: Line, token, prompt, decoded, idle):
    """Requests per device of separate pools over those of aggregated ones at the same time between tokens.

    ``g (1 + x) / (g + x (1 + l))`` with ``g = tau / (tau - c0)`` and ``x = T / (J c1)``; above 1 where ``g - 1 > l``.

    Parameters
    ----------
    line : c0, c1 of a step (s).
    token : tau, time between tokens (s), above c0.
    prompt : T, seconds of a decode replica's devices that one prompt costs.
    decoded : J, tokens of a request that are decoded.
    idle : l, devices that prefill over those that the prompts need, less 1.

    Examples
    --------
    >>> step = Line(8e-3, 1e-4)
    >>> float(np.round(speedup_over_aggregated(step, 40e-3, 0.1, 255.0, 0.25), 12))  # at break-even: c0 (1 + 1 / l)
    1.0
    >>> float(speedup_over_aggregated(step, 20e-3, 0.1, 255.0, 0.25)) > 1.0
    True
    """
    spare = np.maximum(token - line.idle, 0.0)
    together = token * (line.each * decoded + prompt)  # over tau - c0
    apart = token * (line.each * decoded) + spare * prompt * (1.0 + idle)
    return np.where(apart > 0, together / np.where(apart > 0, apart, 1.0), 1.0)


def break_even_itl(line: Line, idle):
    """Time between tokens below which separate pools serve more per device, ``c0 (1 + 1/l)`` (s); inf where nothing idles.

    Examples
    --------
    >>> float(break_even_itl(Line(8e-3, 1e-4), 0.25)), float(break_even_itl(Line(8e-3, 1e-4), 0.0))
    (0.04, inf)
    """
    some = idle > 0
    return np.where(some, line.idle * (1.0 + 1.0 / np.where(some, idle, 1.0)), np.inf)


class Pair(NamedTuple):
    """Whole replicas of both pools."""

    prefill: Any
    decode: Any
    devices: Any


def whole_pair(prefill_rate, decode_rate, prefill_devices, decode_devices, most=16) -> Pair:
    """The pair of whole replicas with the fewest devices per request, up to `most` that decode.

    For each D the smallest P that keeps up, ``P = ceil(D X_d / mu)``, and one less; of these the least
    ``(P G_p + D G_d) / min(P mu, D X_d)``.

    Parameters
    ----------
    prefill_rate, decode_rate : mu, X_d: requests per second of a replica.
    prefill_devices, decode_devices : G_p, G_d of a replica.
    most : largest D.

    Examples
    --------
    >>> [float(x) for x in whole_pair(2.0, 3.0, 4.0, 8.0)]  # three of prefill for two of decode waste nothing
    [3.0, 2.0, 28.0]
    """
    best = Pair(0.0, 0.0, 0.0)
    least: Any = np.inf
    for decode in range(1, most + 1):
        enough = ceil_div(decode * decode_rate, prefill_rate)
        for prefill in (enough, np.maximum(enough - 1.0, 1.0)):
            devices = prefill * prefill_devices + decode * decode_devices
            each = devices / np.minimum(prefill * prefill_rate, decode * decode_rate)
            better = each < least * (1.0 - 1e-12)
            least = np.where(better, each, least)
            best = Pair(*(np.where(better, a, b) for a, b in zip((prefill, float(decode), devices), best)))
    return best


class Compared(NamedTuple):
    """A cluster against servers that do both on its decode replicas' devices, and against other numbers of replicas."""

    ratio: Any  #: prefill replicas that keep one decode replica busy, a real number
    pair: Pair
    speedup: Any
    break_even: Any  #: time between tokens (s)


def compared(cluster: Cluster, run: Operation, most: Capacity, prefill_devices, decode_devices) -> Compared:
    """What separate pools bring at the load of a run, from the tangent of its step.

    Parameters
    ----------
    most : what each stage takes.
    prefill_devices, decode_devices : of a replica.
    """
    prompts, answers = most.prefill / cluster.prefill.replicas, most.decode / cluster.decode.replicas
    line = decode_pool.tangent(cluster.decode, run.active, run.step_time)
    used = run.throughput / most.prefill
    idle = np.where(used < 1.0 - 1e-9, 1.0 / np.minimum(used, 1.0) - 1.0, 0.0)
    prompt = prefill_devices / (prompts * decode_devices)
    return Compared(
        ratio=answers / prompts,
        pair=whole_pair(prompts, answers, prefill_devices, decode_devices),
        speedup=speedup_over_aggregated(line, run.step_time, prompt, cluster.decode.decoded, idle),
        break_even=break_even_itl(line, idle),
    )
