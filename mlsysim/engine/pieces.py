"""How many elements a compiled loop of a stage does between two returns to Python, where Ctrl-C is heard."""

from __future__ import annotations

import time
from collections.abc import Iterator

#: elements of the first piece, and seconds of a piece, which is doubled until it takes so long
FIRST, LONG_ENOUGH = 16, 0.2


def timed_pieces(count: int) -> Iterator[tuple[int, int]]:
    """Where each piece begins and ends: twice the elements after a quick piece, half of them after a slow one."""
    begin, size = 0, FIRST
    while begin < count:
        end = min(begin + size, count)
        started = time.perf_counter()
        yield begin, end  # the loop runs before the next piece is asked for
        size = size * 2 if time.perf_counter() - started < LONG_ENOUGH else max(1, size // 2)
        begin = end
