"""Getting samples to an accelerator: storage, caches, links, preprocessing, and the buffer in between.

A producer (storage or preprocessing) fills a buffer of batches, a consumer (the accelerator) empties it.
Where both are perfectly regular the slower one sets the pace; where they vary, a shallow buffer runs empty
now and then although the producer is faster on average.

References
----------
Mohan et al. 2021, "Analyzing and mitigating data stalls in DNN training" (VLDB 14); Murray et al. 2021,
"tf.data" (VLDB 14); Little 1961.
"""

import numpy as np

from mlsysim.equations.counting import ceil_div, floor_div

#: What counts as nothing: distance of a quotient of times from a whole number, a squared variation that makes
#: no difference (2^-40; doubles carry 2^-52).
WHOLE = 2.0**-40

#: Places that producer and consumer add to the buffer between them: 1/2, and 5/4 per squared variation (2
#: and 1/2 make the 3 of exponential stations; fitted to simulation, see `starvation`).
OWN_PLACE, VARIATION_PLACES = 0.5, 1.25

#: exp of this is still a double.
LARGEST_EXPONENT = 700.0


def request_rate_bandwidth(requests_per_second, request_bytes):
    """Bytes per second of a device that is limited in requests: ``IOPS x bytes`` (byte/s)."""
    return requests_per_second * request_bytes


def outstanding_bandwidth(requests_in_flight, request_bytes, latency):
    """Bytes per second of reads of `latency` (s), so many in flight: ``n bytes / latency`` (Little)."""
    return requests_in_flight * request_bytes / latency


def behind_cache(bandwidth, hit_ratio):
    """Sample bytes per second a store sustains when a share of the reads never reaches it: ``W / (1 -
    hits)``.

    Parameters
    ----------
    bandwidth : of the store behind the cache (byte/s).
    hit_ratio : share of bytes served by the cache (1); 1 gives inf.
    """
    reached = 1.0 - hit_ratio
    return np.where(reached > 0, bandwidth / np.where(reached > 0, reached, 1.0), np.inf)


def through_cache(bandwidth, hit_ratio):
    """Sample bytes per second at which the cache saturates: ``W / hits``; inf without hits (byte/s)."""
    return np.where(hit_ratio > 0, bandwidth / np.where(hit_ratio > 0, hit_ratio, 1.0), np.inf)


def starvation(supply_ratio, variation, depth):
    """Share of time a consumer waits for a producer through a finite buffer (1).

    ``(s - 1) / (s^p - 1)`` with ``p = 2 (d + 1/2 + 5/4 c^2) / c^2``; without variation ``max(0, 1 - s)``.

    Parameters
    ----------
    supply_ratio : s, mean rate of the producer over that of the consumer (1).
    variation : c, coefficient of variation of the times per batch: ``c^2`` of producer and consumer
        added (1).
    depth : d, batches the buffer holds besides the one in use and the one in the making (1).

    Notes
    -----
    Exact for two exponential stations (c^2 = 2: one of d + 3 states at s = 1).  The places that the two
    stations add to the buffer are fitted to simulated lines with gamma times: within 0.02 for c up to 2, d
    of 1 to 10, s of 0.5 to 5.

    References
    ----------
    Buzacott and Shanthikumar 1993, "Stochastic models of manufacturing systems", chapter 4, for the line.

    Examples
    --------
    >>> round(float(starvation(1 / 1.1, 0.0, 2.0)), 7), round(float(starvation(1.0, 2.0**0.5, 2.0)), 7)
    (0.0909091, 0.2)
    """
    regular, power, reach, even = _buffer(supply_ratio, variation, depth)
    varied = np.where(even, 1.0 / power, (supply_ratio - 1.0) / np.expm1(np.where(even, 1.0, reach)))
    return np.where(regular, np.maximum(1.0 - supply_ratio, 0.0), varied)


def fed_share(supply_ratio, variation, depth):
    """Share of time a consumer is fed, one less `starvation`: ``s (s^(p - 1) - 1) / (s^p - 1)`` (1).

    Above zero however little comes, where the difference from one would round to nothing.

    Examples
    --------
    >>> round(float(fed_share(1 / 1.1, 0.0, 2.0)), 7), float(fed_share(1e-30, 1.0, 2.0))
    (0.9090909, 1e-30)
    """
    regular, power, reach, even = _buffer(supply_ratio, variation, depth)
    others = np.expm1(reach * (1.0 - 1.0 / power)) / np.expm1(np.where(even, 1.0, reach))
    varied = np.where(even, 1.0 - 1.0 / power, supply_ratio * others)
    return np.minimum(np.where(regular, supply_ratio, varied), 1.0)


def _buffer(supply_ratio, variation, depth):
    """Is everything regular; p of `starvation`; ``ln(s^p)``, no larger than exp can take; is s one."""
    squared = variation * variation
    regular = squared <= WHOLE
    power = 2.0 * (depth + OWN_PLACE + VARIATION_PLACES * squared) / np.where(regular, 1.0, squared)
    reach = np.minimum(power * np.log(np.maximum(supply_ratio, WHOLE)), LARGEST_EXPONENT)
    return regular, power, reach, np.abs(reach) < WHOLE


def transform_time(batch_size, sample_time, workers):
    """Time the workers need for one batch when they share it evenly: ``B t / n`` (s).

    Parameters
    ----------
    batch_size : samples.
    sample_time : processor time of one sample (s).
    workers : cores that work at once.
    """
    return batch_size * sample_time / workers


def sample_time(sample_bytes, amplification, cpu_throughput):
    """Processor time of one sample: ``bytes amplification / rate`` (s).

    Parameters
    ----------
    sample_bytes : stored size (byte).
    amplification : bytes after decoding and augmentation per byte stored (1).
    cpu_throughput : bytes one core produces per second (byte/s).
    """
    return sample_bytes * amplification / cpu_throughput


def whole_units(need):
    """Least whole number of units that covers a real `need`; rounding errors of the need do not add a unit.

    Examples
    --------
    >>> float(whole_units(2.56 / 0.03)), float(whole_units(3 * 0.1 / 0.3))
    (86.0, 1.0)
    """
    nearest = floor_div(2.0 * need + 1.0, 2.0)
    return np.where(np.abs(need - nearest) <= WHOLE * nearest, nearest, ceil_div(need, 1.0))


def unhidden_step(step_time, transform, depth):
    """Step of an accelerator with its input: the longer of the two with prefetch, their sum without (s).

    Parameters
    ----------
    step_time, transform : time of the accelerator and of its input, per batch (s).
    depth : batches prepared ahead; 0 prepares each when it is asked for.
    """
    return np.where(depth > 0, np.maximum(step_time, transform), step_time + transform)
