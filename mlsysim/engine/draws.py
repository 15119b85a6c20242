"""What is uncertain, drawn from a seed."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.check import whole

MOST = 100_000  #: samples; quantiles of more are no more certain than the spreads they are drawn from


class Draws:
    """Seeded draws of what is uncertain: log-normal factors, stratified, one stream per quantity.

    Parameters
    ----------
    n : int
        Samples.
    seed : int
    """

    def __init__(self, n: int, seed: int = 0):
        self.n, self.seed = whole("sample", n, 2), whole("seed", seed, 0)
        if self.n > MOST:
            raise ValueError(f"sample={self.n}: must be at most {MOST:,}")

    def factor(self, name: str, spread: float) -> np.ndarray:
        """Factors around 1 for one quantity, with a standard deviation of `spread` in log space."""
        from scipy.special import ndtri

        stream = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        share = (stream.permutation(self.n) + stream.random(self.n)) / self.n
        return np.exp(spread * ndtri(share))

    def choice(self, name: str, count: int) -> np.ndarray:
        """One of `count` things for each sample, each as often."""
        stream = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        return stream.permutation(self.n) % count


def family(field_name: str) -> str:
    """Fields that are off together: one curve is one measurement."""
    for stem in ("allreduce", "bus_bandwidth", "nccl_latency"):
        if field_name.startswith(stem):
            return stem
    return field_name


def spread_of(row: Any, name: str) -> float:
    """Relative spread of a field: as the zoo says of a row, or as an assumption carries it."""
    if name.endswith("exponent"):
        return 0.0
    if row is None or isinstance(row, tuple):
        value = getattr(row if row is not None else Assumptions(), name, None)
        return float(getattr(value, "spread", 0.0))
    return float(row.spread(name)) if hasattr(row, "spread") else 0.0
