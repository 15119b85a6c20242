"""Is there room?  Asked before anything runs, and answered with the ways out where there is not."""

from __future__ import annotations

import os
from pathlib import Path

from mlsysim import sizes


class TooLarge(ValueError):
    """What is asked for would not fit in memory."""


def free_memory() -> int:
    """Bytes that could be allocated now."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    if hasattr(os, "sysconf"):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return 4 << 30


def require(size: float, what: str, ways: str, free: int | None = None) -> None:
    """Refuse what would take more than half of the free memory.

    Parameters
    ----------
    size : float
        Bytes.
    what : str
        What would take them.
    ways : str
        What to ask for instead.
    free : int, optional
        Bytes that are free; default what the system says.

    Raises
    ------
    TooLarge
    """
    room = (free_memory() if free is None else free) // 2
    if size > room:
        raise TooLarge(
            f"{what} would take {sizes.text(size, 'byte')}, more than half of what is free "
            f"({sizes.text(2 * room, 'byte')}): {ways}"
        )
