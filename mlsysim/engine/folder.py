"""The private folder where compiled code is kept: where it lies, who may have written it, how large it grows.

Compiled code is machine code in a pickle: whoever can write it can run anything.  So the folder is made for
this user alone, whatever the umask, and nothing is read that somebody else can have written.  Folder and file
must be no links, belong to this user or to root (who filled the cache of a container image), and must not be
writable by group or others.

``MLSYSIM_CACHE`` names the folder, ``MLSYSIM_CACHE=off`` keeps nothing, ``MLSYSIM_CACHE_SIZE`` ("500 MB") bounds
it.  Without them the folder is ``mlsysim`` in the user's cache folder; where that cannot be written, one in the
system's temporary folder serves.  A folder that can only be read is read: a cache that an image brings along
needs ``chmod -R a+rX`` to serve every user.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import stat
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OFF = ("off", "0", "none")
SIZE = 256e6  #: bytes in a folder, unless MLSYSIM_CACHE_SIZE says otherwise
STALE = 3600.0  #: seconds after which an unfinished file is nobody's
#: What is ours in a folder: a finished file, one in the making, and the folders in which earlier versions kept a nest.
OURS = re.compile(r"[0-9a-f]{24}(\.kernel)?|\.[0-9a-f]{24}(\.kernel)?-\w+")
#: How a file is opened: no link is followed, and nobody's pipe is waited for.
READING = os.O_RDONLY
for _flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY", "O_NOINHERIT"):
    READING |= getattr(os, _flag, 0)
REMEDY = "Set MLSYSIM_CACHE to a folder that only you can write (chmod 700), or to off"

_told: set[str] = set()


class Distrusted(OSError):
    """Somebody else can have written this folder or file."""


def tell(topic: str, message: str) -> None:
    """Warn, once a process and topic."""
    if topic not in _told:
        _told.add(topic)
        warnings.warn(message, RuntimeWarning, stacklevel=2)


# --- where ------------------------------------------------------------------------------------------------------


def off() -> bool:
    """Does the user want nothing kept?"""
    return os.environ.get("MLSYSIM_CACHE", "").strip().lower() in OFF


@functools.lru_cache
def _absolute(text: str, home: str | None) -> Path | None:
    """A folder as the user means it, wherever the process goes later; None where no home is known."""
    path = os.path.expanduser(text)
    with contextlib.suppress(OSError):  # the working directory may be gone
        return None if path.startswith("~") else Path(os.path.abspath(path))
    return None


def places() -> Iterator[Path]:
    """Folders where compiled code may be kept, best first: one only where the user names it."""
    if off():
        return
    wish, home = os.environ.get("MLSYSIM_CACHE", "").strip(), os.environ.get("HOME")
    shared = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    place = _absolute(wish or os.path.join(shared, "mlsysim"), home)
    if place is not None:
        yield place
    if not wish:
        with contextlib.suppress(OSError):  # no temporary folder at all
            yield Path(tempfile.gettempdir()) / f"mlsysim-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def directory() -> Path | None:
    """The folder that will be used, or None for none."""
    for place in places():
        with contextlib.suppress(OSError):
            check(place)
            above = next(p for p in (place, *place.parents) if p.exists())
            if above == place or os.access(above, os.W_OK | os.X_OK):
                return place
    return None


# --- whose ------------------------------------------------------------------------------------------------------


def _ours(found: os.stat_result) -> None:
    """Raise `Distrusted` if somebody else can have written what was found."""
    if not hasattr(os, "geteuid"):  # on Windows the folders of a user are private as they are
        return
    if found.st_uid not in (os.geteuid(), 0):
        raise Distrusted(f"it belongs to user {found.st_uid}, not to you")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Distrusted(f"group or others can write to it (mode {stat.S_IMODE(found.st_mode):04o})")


def check(place: Path) -> None:
    """Raise `Distrusted` for a folder that others can have filled, OSError for one that cannot be; none yet is fine."""
    try:
        found = os.lstat(place)
    except FileNotFoundError:
        return
    if stat.S_ISLNK(found.st_mode):
        raise Distrusted("it is a link")
    if not stat.S_ISDIR(found.st_mode):
        raise Distrusted("it is a file")
    _ours(found)


def _make(place: Path) -> None:
    """Make a folder, and those above it, for this user alone, whatever the umask."""
    for level in (*reversed(place.parents), place):
        if not os.path.lexists(level):
            with contextlib.suppress(FileExistsError):  # another process was first
                os.mkdir(level, 0o700)
                if os.lstat(level).st_mode & stat.S_IRWXU != stat.S_IRWXU:
                    os.chmod(level, 0o700)


def _content(file: Path) -> bytes:
    """What a file holds, if nobody else can have written it."""
    with open(os.open(file, READING), "rb") as opened:
        found = os.fstat(opened.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise Distrusted("it is no plain file")
        _ours(found)
        content = opened.read()
    with contextlib.suppress(OSError):  # when it was used last: `sweep` asks
        os.utime(file, ns=(time.time_ns(), found.st_mtime_ns))
    return content


# --- reading and writing ----------------------------------------------------------------------------------------


def holds(name: str) -> bool:
    """Is there a file of this name?"""
    return any(os.path.lexists(place / name) for place in places())


def read(name: str) -> bytes | None:
    """The content of a kept file, or None where there is none that can be trusted."""
    for rank, place in enumerate(places()):
        try:
            check(place)
        except Distrusted as why:
            if rank == 0:
                tell("folder", f"{place} is not used for compiled code: {why}. {REMEDY}")
            continue
        except OSError:
            continue
        with contextlib.suppress(OSError):
            return _content(place / name)
    return None


def keep(name: str, content: bytes) -> None:
    """Keep a file in the first folder that takes it; warn once if none does."""
    why: list[str] = []
    for place in places():
        try:
            _make(place)
            check(place)
            _publish(place / name, content)
        except Distrusted as error:
            why.append(f"{place}: {error}")
        except OSError as error:
            why.append(f"{place}: {error.strerror or error}")
        else:
            sweep(place)
            return
    if not off():
        reasons = "; ".join(why) or "no home folder is known"
        tell("folder", f"compiled code stays in memory, each process compiles again: {reasons}. {REMEDY}")


def _publish(file: Path, content: bytes) -> None:
    """Write a file in one step: readers find all of it or nothing."""
    handle, private = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
    try:
        with open(handle, "wb") as opened:
            opened.write(content)
        os.chmod(private, 0o600)
        os.replace(private, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(private)
        raise


# --- how large --------------------------------------------------------------------------------------------------


def bound() -> float:
    """Bytes that a folder may hold."""
    from mlsysim.units import parse

    text = os.environ.get("MLSYSIM_CACHE_SIZE", "").strip()
    try:
        size = parse(text, "byte", "MLSYSIM_CACHE_SIZE") if text else SIZE
        if not size >= 0:
            raise ValueError(f"MLSYSIM_CACHE_SIZE: {text!r} is no size")
    except ValueError as error:
        tell("size", f"{error}; {SIZE / 1e6:.0f} MB it is")
        return SIZE
    return size


def _listed(place: Path) -> list[tuple[float, int, os.DirEntry[str]]]:
    """What is ours in a folder: when it was last used, its size, the entry."""
    found = []
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if OURS.fullmatch(entry.name):
                with contextlib.suppress(OSError):  # another process has swept it
                    about = entry.stat(follow_symlinks=False)
                    found.append((max(about.st_atime, about.st_mtime), about.st_size, entry))
    return found


def sweep(place: Path) -> None:
    """Remove what no process will finish, and what was used longest ago until the rest is within `bound`."""
    kept = []
    for used, size, entry in _listed(place):
        if _finished(entry):
            kept.append((used, size, entry))
        elif time.time() - used > STALE:
            _remove(entry)
    excess = sum(size for _, size, _ in kept) - bound()
    for _, size, entry in sorted(kept, key=lambda found: found[0]):
        if excess <= 0:
            break
        _remove(entry)
        excess -= size


def _finished(entry: os.DirEntry[str]) -> bool:
    return entry.name.endswith(".kernel") and not entry.name.startswith(".")


def _remove(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(entry.path)


# --- how it stands ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """How a folder stands, for people."""

    path: Path
    files: int
    size: int
    unread: str  #: why nothing is read from it, empty where it is read
    unwritten: str  #: why nothing is written to it


def standing(place: Path) -> Standing:
    """Try a folder out."""
    unread = unwritten = ""
    try:
        _make(place)
        check(place)
        trial = place / f"{0:024x}.kernel"
        _publish(trial, bytes(1 << 12))
        os.unlink(trial)
    except OSError as why:
        unwritten = str(why.strerror or why)
    try:
        check(place)
        os.listdir(place)
    except OSError as why:
        unread = str(why.strerror or why)
    kept = [size for _, size, entry in _listed(place) if _finished(entry)]
    return Standing(place, len(kept), sum(kept), unread, unwritten)
