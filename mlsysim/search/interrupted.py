"""What an interrupted search hands back: the answer of the points that were done.

A KeyboardInterrupt that leaves a question (Ctrl-C, or raised by the `progress` of the caller) carries ``partial``: what the
question would have answered, from the points done so far, with ``attrs["partial"]`` saying how many of how many they are.
It is None where nothing was done yet, and for what gives no answer before its end (`solve`, `root`).

>>> def tell(done, total):
...     if done > total / 2:
...         raise KeyboardInterrupt
>>> import mlsysim as ms
>>> inputs = {"model": "bert_large", "hardware": "h100", "batch_size": range(1, 100_001)}
>>> try:
...     best = ms.SingleNodeModel.best("latency", progress=tell, **inputs)
... except KeyboardInterrupt as stop:
...     best = stop.partial
>>> best.attrs["partial"].endswith("of 100,000 points")
True
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import xarray as xr


@contextmanager
def handed(form: Callable[[Any], Any] = lambda found: found) -> Iterator[None]:
    """Let an interrupt out of this block carry ``partial``: what `form` makes of the one that it carried before.

    Parameters
    ----------
    form : callable
        Takes the partial answer of what the block asked, None where there is none.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.partial = form(getattr(stop, "partial", None))  # type: ignore[attr-defined]
        raise


def first(answers: Sequence[xr.Dataset] | None) -> xr.Dataset | None:
    """The only one of some answers."""
    return answers[0] if answers else None


def marked(answers: Sequence[xr.Dataset], done: int, points: int) -> list[xr.Dataset]:
    """Answers from `done` of all `points`, saying so."""
    return [answer.assign_attrs(points=done, partial=f"{done:,} of {points:,} points") for answer in answers]
