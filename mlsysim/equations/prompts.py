"""What attention of a prompt reads and writes, chunk by chunk."""

from __future__ import annotations

import numpy as np

from mlsysim.equations import architecture
from mlsysim.equations.compute import traffic_time
from mlsysim.equations.counting import floor_div
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Accelerator, Workload


def kv_tokens_read(new, cached, chunks):
    """Cached tokens read by a chunked prefill, own chunk included: ``u c + n (u + 1) / 2``.

    Examples
    --------
    >>> float(kv_tokens_read(8192.0, 0.0, 16.0))  # 8192 tokens in chunks of 512
    69632.0
    """
    return chunks * cached + 0.5 * new * (chunks + 1.0)


def kv_tokens_read_in_window(new, cached, chunks, window):
    """The same in a local layer: a chunk of m tokens reads no more than ``w - 1 + m``.

    Examples
    --------
    >>> float(kv_tokens_read_in_window(8192.0, 0.0, 16.0, 1024.0))  # the first two chunks see less
    23026.0
    >>> float(kv_tokens_read_in_window(1.0, 32767.0, 1.0, 4096.0))  # a decode step
    4096.0
    """
    chunk = new / chunks
    most = window - 1.0
    growing = np.minimum(np.maximum(floor_div(most - cached, chunk) + 1.0, 0.0), chunks)
    return kv_tokens_read(growing * chunk, cached, growing) + (chunks - growing) * (most + chunk)


def score_time(model: Workload, hardware: Accelerator, assume: Assumptions, tp, sequences, new, cached, chunks):
    """Scores that an attention of several kernels writes and reads, all layers (s); 0 where one kernel keeps them.

    ``a / t x m x c x bytes`` a layer and chunk: a chunk of m tokens against the c tokens up to its end, masked ones too.

    References
    ----------
    Dao et al. 2022 (arXiv:2205.14135), section 3.1: what FlashAttention saves.
    """
    scores = model.n_heads / tp * (new / chunks) * kv_tokens_read(new, cached, chunks)
    nbytes = architecture.attention_layers(model) * sequences * scores * assume.score_bytes
    return traffic_time(nbytes, hardware.mem_bandwidth, hardware.gemm_bandwidth_efficiency)
