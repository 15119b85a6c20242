"""What a sweep hands out piece by piece, and how it may be asked to: blocks, spans, plans, threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mlsysim.engine.plan import Layout
from mlsysim.schema.check import shown, whole

BLOCK = 1 << 16  #: points of a block of the compiled nest
PLANS = ("auto", "plain", "generic", "nest", "cuda")


@dataclass
class Block:
    """Tiles with the values of their columns.

    Attributes
    ----------
    tiles : ndarray of int
    starts : ndarray
        Where each tile begins among the points, and the end.
    columns : ndarray, shape (columns, points)
    seen : int
        Points of these tiles, and of those that a sieve left out (see `mlsysim.engine.sieve`).
    tallies : dict, optional
        What a sieve counted over all that was seen, by column.
    """

    layout: Layout
    tiles: np.ndarray
    starts: np.ndarray
    columns: np.ndarray
    seen: int
    tallies: Mapping[int, np.ndarray] = field(default_factory=dict)

    def index(self, positions: np.ndarray) -> dict[str, np.ndarray]:
        """Positions along every axis of some points of the block."""
        return self.layout.index(self.tiles, self.starts, positions)

    def narrowed(self, rows: Sequence[int]) -> Block:
        """The same tiles with some of the columns."""
        if list(rows) == list(range(len(self.columns))):
            return self
        tallies = {i: self.tallies[row] for i, row in enumerate(rows) if row in self.tallies}
        return replace(self, columns=self.columns[rows], tallies=tallies)


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


def together(work: Callable[[], None], workers: int, halt: threading.Event) -> None:
    """Do some work on several threads; what goes wrong in one of them, or Ctrl-C, sets `halt` for all."""

    def guarded() -> None:
        try:
            work()
        except BaseException:
            halt.set()
            raise

    with ThreadPoolExecutor(workers) as pool:
        try:
            for future in as_completed([pool.submit(guarded) for _ in range(workers)]):
                future.result()
        except BaseException:
            halt.set()
            raise
