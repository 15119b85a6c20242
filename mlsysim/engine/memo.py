"""What is kept between calls: a bounded memory that threads share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Kept = TypeVar("Kept")


class Memo(Generic[Kept]):
    """The last few of something by key; what was not asked for the longest time goes first.

    It takes no lock, so that nobody waits for a thread that a fork left behind: where two threads are at it together,
    one of them may find less than there is, and makes it once more.

    Parameters
    ----------
    most : float
        The weight of all that is kept.
    weight : callable, optional
        The weight of one; default 1.

    Examples
    --------
    >>> memo = Memo(2)
    >>> for number in (1, 2, 3):
    ...     memo.put(number, number**2)
    >>> memo.get(1), memo.get(3)
    (None, 9)
    """

    def __init__(self, most: float, weight: Callable[[Kept], float] = lambda _: 1.0):
        self.most, self.weight = most, weight
        self._kept: dict[Hashable, Kept] = {}
        MEMOS.append(self)

    def get(self, key: Hashable) -> Kept | None:
        """What is kept under a key."""
        found = self._kept.pop(key, None)
        if found is not None:
            self._kept[key] = found
        return found

    def put(self, key: Hashable, value: Kept) -> None:
        """Keep something, in the place of what was not asked for the longest time."""
        self._kept[key] = value
        with contextlib.suppress(RuntimeError, StopIteration):  # another thread is at it too
            while sum(map(self.weight, list(self._kept.values()))) > self.most and len(self._kept) > 1:
                self._kept.pop(next(iter(self._kept)), None)

    def __len__(self) -> int:
        return len(self._kept)


MEMOS: list[Memo[Any]] = []  #: all of this process


def forget() -> None:
    """Let go of all that is kept: recordings, records, plans.  Answers stay the same; the next call takes longer."""
    for memo in MEMOS:
        memo._kept.clear()
