"""Compiling and forking: a process may be forked while one of its threads compiles.

The child has only the thread that forked.  A lock that another thread held stays locked in it for ever, and
what that thread was changing stays half changed: numba's and LLVM's state as well as ours.  So a fork waits
until nobody compiles.  If that takes longer than `PATIENCE`, the child never compiles (`orphaned`), and sweeps
there are evaluated by the plain plan.  What other packages import late is imported under the same lock, for a module that
is half imported in another thread stays so in the child.
"""

from __future__ import annotations

import contextlib
import functools
import logging  # noqa: F401  (its hook holds the lock that an import of numba asks for: see the end)
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

PATIENCE = 60.0  #: seconds that a fork waits for the end of a compilation

_lock = threading.RLock()
_orphaned = False
_fork = threading.local()  #: the locks that the forking thread holds meanwhile


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """One thread compiles at a time, and no process is forked meanwhile."""
    with _lock:
        yield


@functools.cache
def settle() -> None:
    """Let xarray import what it asks of at its first array: dask, where it is there."""
    with compiling():
        import xarray

        xarray.Variable((), 0.0)


def orphaned() -> bool:
    """Was this process forked in the midst of a compilation?"""
    return _orphaned


def _locks() -> Iterator[Any]:
    """Our lock, numba's and LLVM's, in the order in which a compiling thread takes them."""
    yield _lock
    numba = getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None)
    llvm = getattr(getattr(sys.modules.get("llvmlite.binding.ffi"), "lib", None), "_lock", None)
    for owner in (numba, llvm):
        lock = getattr(owner, "_lock", None)
        if lock is not None:
            yield lock


def _before() -> None:
    end = time.monotonic() + PATIENCE
    _fork.held, _fork.late = [], False
    for lock in _locks():
        if lock.acquire(timeout=max(0.0, end - time.monotonic())):
            _fork.held.append(lock)
        else:
            _fork.late = True


def _after() -> None:
    while _fork.held:
        _fork.held.pop().release()


def _after_in_child() -> None:
    global _lock, _orphaned
    _after()
    if _fork.late:
        _lock, _orphaned = threading.RLock(), True


# Hooks before a fork run in the reverse of the order in which they were registered.  The one of `logging` is registered
# by its import: it must come first there and so run after ours, or the fork would hold the lock of `logging` while it
# waits for a thread that imports numba, and that thread would wait for the lock of `logging`.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
