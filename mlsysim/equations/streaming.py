"""Weights in on-chip memory: resident in one or more parts of it, or streamed through it layer by layer.

References
----------
Lie 2022, "Cerebras architecture deep dive" (Hot Chips 34): weight streaming.
Cerebras 2024, published inference rates, for the latency of a layer.
"""

import numpy as np

from mlsysim.equations.counting import ceil_div


def parts_needed(nbytes, capacity):
    """Devices that hold what one cannot: ``ceil(bytes / capacity)``, at least 1.

    Examples
    --------
    >>> [float(parts_needed(2.0 * n, 44e9)) for n in (8.03e9, 70.55e9, 405.85e9)]
    [1.0, 4.0, 19.0]
    """
    return np.maximum(ceil_div(nbytes, capacity), 1.0)


def bandwidth_bound(weight_bytes, bandwidth):
    """Tokens per second of one sequence if reading the weights were all (1/s): ``bandwidth / bytes``."""
    return bandwidth / weight_bytes


def layer_latency(tokens_per_s, n_layers):
    """Time a layer takes at a published rate of one sequence (s): ``1 / (rate layers)``.

    Examples
    --------
    >>> float(np.round(layer_latency(1800.0, 32.0) * 1e6, 4))
    17.3611
    """
    return 1.0 / (tokens_per_s * n_layers)


def injection_time(nbytes, injection_bandwidth):
    """Streaming a layer's weights into the device (s)."""
    return nbytes / injection_bandwidth


def pipeline_rate(batch, stage_time, path_time):
    """Passes per second through stages in a row: ``min(b / path, 1 / slowest stage)``.

    The batch rides free until it fills the stages.

    Parameters
    ----------
    batch : sequences in flight.
    stage_time, path_time : slowest stage, and all of them (s).
    """
    return np.minimum(batch / path_time, 1.0 / stage_time)
