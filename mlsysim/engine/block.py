"""What a sweep hands out piece by piece, and how it may be asked to: blocks, spans, plans, threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlsysim.engine.plan import Layout
from mlsysim.schema.check import shown, whole

BLOCK = 1 << 16  #: points of a block of the compiled nest
PLANS = ("auto", "plain", "generic", "nest", "cuda")


@dataclass
class Block:
    """Consecutive tiles with the values of their columns.

    Attributes
    ----------
    lo, hi : int
        Tiles.
    starts : ndarray
        Where each tile begins among the points, and the end.
    columns : ndarray, shape (columns, points)
    """

    layout: Layout
    lo: int
    hi: int
    starts: np.ndarray
    columns: np.ndarray

    def index(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """Positions along every axis of some points of the block."""
        return self.layout.index(self.lo, self.starts, positions)


@dataclass
class Spans:
    """Ranges of tiles that are each reduced to a state of their own.

    Attributes
    ----------
    ranges : list of (int, int)
        Tiles from the first on, up to but without the last.
    fold : callable
        ``fold(own, state, span)`` is told of every range that is done, to fold its state into that of the thread.
    done : int
        Points that lie in no range because they are known.
    """

    ranges: list[tuple[int, int]]
    fold: Callable[[Any, Any, tuple[int, int]], None]
    done: int = 0


def block_wanted(block: int | None) -> int:
    """Points of a block: as asked, or as many as serve the caches."""
    return BLOCK if block is None else whole("block", block)


def planned(plan: Any) -> str:
    """A plan by its name."""
    if not isinstance(plan, str) or plan not in PLANS:
        raise ValueError(f"plan={shown(plan)}: allowed are {', '.join(PLANS)}")
    return plan


def threads_wanted(threads: int | None) -> int:
    """Threads to use: as asked, as ``MLSYSIM_THREADS`` says, or as many as there are cores."""
    if threads is None:
        text = os.environ.get("MLSYSIM_THREADS", "")
        if text and not (text.isascii() and text.isdigit() and 0 < len(text) < 10 and int(text)):
            raise ValueError(f"MLSYSIM_THREADS={shown(text)}: must be a whole number, at least 1")
        threads = (
            int(text)
            if text
            else len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count() or 1
        )
    return whole("threads", threads)
