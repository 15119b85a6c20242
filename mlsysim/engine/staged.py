"""A stage as the engine evaluates it: compiled where that is done already or pays, else by plain Python.

Few elements of a quick loop are no reason to wait for a compiler.  What decides is the work, not the elements: a stage is
compiled once plain Python has taken as long as compiling would, and then kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from mlsysim.engine import cache
from mlsysim.engine.pieces import timed_pieces
from mlsysim.equations.stage import Stage

COMPILING, LOADING = (
    0.25,
    0.05,
)  #: seconds of plain Python that are worth compiling a stage, and loading what is kept of it
_spent: dict[Stage, float] = {}  #: seconds of plain Python in this process
_compiled: set[Stage] = set()  #: in this process


def over(stage: Stage, args: Sequence[Any]) -> Any:
    """A stage over arrays that broadcast."""

    def compiler(text: str, signature: str) -> Callable[..., Any] | None:
        loop = cache.compiled(text, signature)
        if loop is not None:
            _compiled.add(stage)
        return loop

    if stage.few == 0 or _worth(stage):
        return stage.over(args, compiler, timed_pieces, few=0)
    started = time.perf_counter()
    found = stage.over(args, compiler, timed_pieces)
    if stage not in _compiled:
        _spent[stage] = _spent.get(stage, 0.0) + time.perf_counter() - started
    return found


def one(stage: Stage) -> Callable[..., tuple[float, ...]]:
    """A stage of one element, from and to numbers, as `over` evaluates it."""

    def at(*args: float) -> tuple[float, ...]:
        found = over(stage, args)
        return tuple(map(float, found)) if stage.outputs > 1 else (float(found),)

    return at


def quick(stage: Stage) -> Callable[..., tuple[float, ...]]:
    """The same for who calls it again and again: compiled, where that is possible."""
    try:
        return cache.compiled(*stage.entry) or one(stage)
    except OSError:  # there is no source to compile
        return one(stage)


def _worth(stage: Stage) -> bool:
    """Is a stage compiled and at hand, or has plain Python taken as long as that would take?"""
    spent = _spent.get(stage, 0.0)
    if stage in _compiled or spent > COMPILING:
        return True
    try:
        return spent > LOADING and cache.kept(stage.source, stage.signature)
    except OSError:  # there is no source to compile
        return False
