"""Ctrl-C and SIGTERM: threads end, what was found so far is told, and the exit code is 130 or 143."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from mlsysim.cli.results import say


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends a command as Ctrl-C does."""


def _raise(*_: Any) -> NoReturn:
    raise Terminated


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` meanwhile."""
    if threading.current_thread() is not threading.main_thread():  # only there can Python be told
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def answer(ask: Callable[[], Any]) -> tuple[Any, KeyboardInterrupt | None]:
    """What is found, all of it or as much as there is when the user stops it; and what stopped it, if anything did.

    Raises
    ------
    KeyboardInterrupt
        Stopped before anything was found.
    """
    try:
        return ask(), None
    except KeyboardInterrupt as stop:
        if getattr(stop, "partial", None) is None:
            raise
        return stop.partial, stop  # type: ignore[attr-defined]


def code(stop: KeyboardInterrupt, resume: str | None = None) -> int:
    """The exit code of a command that was stopped, after a line about how much was done."""
    found = getattr(stop, "partial", None)
    one = found[0] if isinstance(found, list) else found
    sentence = "stopped before anything was found" if one is None else f"stopped: this is from {one.attrs['partial']}"
    say(f"{sentence}; the same command goes on from {resume}" if resume else sentence)
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)
