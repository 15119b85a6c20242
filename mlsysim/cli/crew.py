"""Who does the parts of a command: ``--workers N`` processes of this machine, or the cluster of a ``--scheduler``."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlsysim import grammar

#: seconds in which a scheduler answers
PATIENCE = "10 s"


def number(found: Mapping[str, Any], threads: int | None) -> int | None:
    """How many work at once, as far as the options say."""
    workers = _workers(found)
    return threads if workers is None else workers


def _workers(found: Mapping[str, Any]) -> int | None:
    workers = grammar.whole("workers", found.get("workers"))
    if workers is not None and workers < 1:
        raise ValueError(f"workers={workers}: must be at least 1")
    return workers


@contextmanager
def client(found: Mapping[str, Any]) -> Iterator[Any]:
    """What to give as ``client=``; None where nobody asked for workers."""
    workers, scheduler = _workers(found), found.get("scheduler")
    if workers is not None and scheduler is not None:
        raise ValueError(f"workers={workers}: a scheduler has workers of its own; give one of the two")
    if scheduler is not None:
        with _cluster(scheduler) as there:
            yield there
    elif workers is not None:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        context = multiprocessing.get_context("spawn")  # a fork would copy the threads of numba, or rather not
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_signals)
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
    else:
        yield None


def _leave_signals() -> None:
    """Ctrl-C is for the command, which then ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _cluster(address: str) -> Any:
    try:
        import distributed
    except ImportError:
        raise ImportError("distributed is not installed: pip install 'mlsysim-sweep[distributed]'") from None
    try:
        return distributed.Client(address, timeout=PATIENCE)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:
        raise ValueError(f"scheduler={address}: no scheduler of dask answers there ({error})") from None
