"""Standard streams as a shell may leave them: closed, full, or with a reader that has gone."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
from typing import TextIO

#: exit code where the reader (head, less) has gone: that of a program that the signal ends
LEFT = 128 + getattr(signal, "SIGPIPE", 13)

#: errors of writing: where they name no file, a stream had them
FAULTS = {errno.EBADF, errno.EIO, errno.EFBIG, errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


class Closed(io.TextIOBase):
    """A standard output that was closed before the program began: there is an error once something was written."""

    def __init__(self) -> None:
        self.asked = False

    def write(self, text: str) -> int:
        """Take the text, which goes nowhere."""
        self.asked = True
        return len(text)

    def flush(self) -> None:
        """Say that nothing can be written, if something was to be."""
        if self.asked:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def prepare() -> None:
    """Put something in the place of closed streams, so that no file opened later takes their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    if sys.stdout is None:
        sys.stdout = Closed()
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - stays open as long as the program


def undelivered() -> OSError | None:
    """Why what was printed did not get out, or None; nothing is tried again when the program ends."""
    try:
        sys.stdout.flush()
    except OSError as error:
        if isinstance(sys.stdout, Closed):
            sys.stdout.asked = False  # said once: it is flushed again when the program ends
        else:
            forget(sys.stdout)
        return error
    return None


def forget(stream: TextIO) -> None:
    """Let what a stream did not take go nowhere: the interpreter would try again at its end, and end with a code of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
