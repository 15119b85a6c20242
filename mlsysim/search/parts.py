"""Finished parts of a long search, kept in a folder: the same call goes on from there.

The tiles of the grid are cut into parts of about a second or two, the same for the same call on any number of threads.  What
a part came to (the states of its reductions, plain arrays) is one small file, written under another name and renamed when it is
on the disk, so that a search that is killed loses the parts in hand and no other.  ``call.json`` says whose parts these are.
A file that is damaged counts as absent; another call, other data, other equations or another version are refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import math
import os
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.engine import graph
from mlsysim.engine.block import Spans
from mlsysim.engine.program import Program
from mlsysim.engine.run import PLAIN_OPERATION, Sweep
from mlsysim.version import __version__

if TYPE_CHECKING:
    from mlsysim.search.reduce import Cells, Reduction

FORMAT = 2  #: of the files; another one is another version
SECONDS = 2.0  #: that a part would take by the plain plan: 0.5 to 5 by the nest, from one objective to a front
FEWEST, MOST = 32, 10_000  #: parts of a search
STALE = 3600.0  #: seconds after which a file that nobody has renamed belongs to nobody
CALL = "call.json"

#: what must be the same, in the order in which it is asked, and what to say when it is not
SAME = {
    "format": "its files are of another version of mlsysim (format {old}, not {new})",
    "version": "it is of mlsysim {old}, and this is {new}",
    "call": "it holds parts of another call: {old}; now asked: {new}",
    "plan": "it holds parts of another plan (plan=...)",
    "equations": "it holds parts of the same call under other equations",
    "data": "it holds parts of the same call with other inputs or other data of the zoo",
}


def within(folder: Any, name: str) -> str | None:
    """A folder in the folder of a question that takes several searches, for the one of them called `name`."""
    if folder is None:
        return None
    if begun(folder):
        raise ValueError(f"resume={str(folder)!r}: it holds parts of another call; name another folder")
    return os.path.join(named(folder), name)


def begun(folder: Any) -> bool:
    """Does a folder hold parts of a call already?"""
    return folder is not None and (Path(named(folder)) / CALL).exists()


def named(folder: Any) -> str:
    """The path of a folder, as text."""
    if not isinstance(folder, (str, os.PathLike)) or not os.fspath(folder):
        raise TypeError(f"resume={folder!r}: must be the path of a folder")
    return os.fsdecode(folder)


def cut(sweep: Sweep) -> list[tuple[int, int]]:
    """The tiles of every part."""
    work = sum(operations * math.prod(sweep.sizes[a] for a in axes) for axes, operations in sweep.loads().items())
    parts = min(max(math.ceil(work * PLAIN_OPERATION / SECONDS), FEWEST), MOST)
    tiles = sweep.layout.n_tiles
    step = max(1, -(-tiles // parts))
    return [(lo, min(lo + step, tiles)) for lo in range(0, tiles, step)]


def identity(program: Program, sweep: Sweep, asked: str, pieces: str) -> dict[str, Any]:
    """What parts must have in common to belong together, under the names of `SAME`.

    Parameters
    ----------
    asked : str
        The question.
    pieces : str
        What a part is.
    """
    data = hashlib.sha256()
    for name, leaf in sorted(program.binder.leaves.items()):
        values = np.ascontiguousarray(leaf.values)
        data.update(repr((name, leaf.dims, values.shape, values.dtype.str)).encode() + values.tobytes())
    if program.kinds is not None:
        data.update(repr(sorted(program.kinds.rows.items())).encode() + program.kinds.codes.tobytes())
    for axis in program.axes.values():
        for name, labels in ((axis.name, axis.values), *sorted(axis.paired.items())):
            data.update(repr((name, [str(label) for label in np.asarray(labels).tolist()])).encode())
    sizes = ", ".join(f"{name} ({size})" for name, size in program.sizes.items())
    return {
        "format": FORMAT,
        "version": __version__,
        "call": f"{asked} of {program.resolver.name} over {sizes}",
        "plan": f"{sweep.plan} {sweep.layout.outer} {sweep.layout.tile} {sweep.layout.chunk}, {pieces} a part",
        "equations": graph.digest(sweep.columns),
        "data": data.hexdigest(),
    }


class Parts:
    """The parts of one search: what those that are done came to, and which are missing.

    Parameters
    ----------
    start : callable
        Empty states of all reductions.
    folder : Folder, optional
        Keeps them.
    """

    def __init__(
        self,
        sweep: Sweep,
        reductions: Sequence[Reduction],
        cells: Sequence[Cells],
        start: Callable[[], list[Any]],
        folder: Folder | None = None,
    ):
        self.reductions, self.cells, self.folder = reductions, cells, folder
        self.name = {span: f"part-{i:06d}.npz" for i, span in enumerate(cut(sweep))}
        self.state, done, missing = start(), 0, []
        for span in self.name:
            arrays = self._kept(span)
            if arrays is None:
                missing.append(span)
            else:
                self.merge(self.state, unpacked(reductions, cells, arrays))
                done += sweep.layout.points_before(span[1]) - sweep.layout.points_before(span[0])
        self.spans = Spans(missing, self._done, done)

    def merge(self, own: Sequence[Any], others: Sequence[Any]) -> None:
        """Fold states of all reductions into others."""
        for reduction, state, other in zip(self.reductions, own, others):
            reduction.merge(state, other)

    def take(self, span: tuple[int, int], arrays: Mapping[str, np.ndarray]) -> None:
        """Keep what a worker found in a part, and fold it into the state of all parts."""
        self._keep(span, arrays)
        self.merge(self.state, unpacked(self.reductions, self.cells, arrays))

    def hints(self) -> list[Any]:
        """What the parts that are done tell those that are not (see `Reduction.hint`)."""
        return [r.hint(s) if hasattr(r, "hint") else None for r, s in zip(self.reductions, self.state)]

    def _done(self, own: Sequence[Any], states: Sequence[Any], span: tuple[int, int]) -> None:
        if self.folder is not None:
            self._keep(span, packed(self.reductions, states))
        self.merge(own, states)

    def _keep(self, span: tuple[int, int], arrays: Mapping[str, np.ndarray]) -> None:
        if self.folder is not None and self.folder.saving:
            buffer = io.BytesIO()
            np.savez(buffer, **arrays)  # type: ignore[arg-type]
            self.folder.write(self.name[span], buffer.getvalue())

    def _kept(self, span: tuple[int, int]) -> dict[str, np.ndarray] | None:
        content = None if self.folder is None else self.folder.read(self.name[span])
        if content is None:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}


def packed(reductions: Sequence[Reduction], states: Sequence[Any]) -> dict[str, np.ndarray]:
    """States of all reductions as arrays of numbers."""
    found: dict[str, np.ndarray] = {}
    for i, (reduction, state) in enumerate(zip(reductions, states)):
        found |= {f"{i}.{name}": array for name, array in reduction.pack(state).items()}
    return found


def unpacked(reductions: Sequence[Reduction], cells: Sequence[Cells], arrays: Mapping[str, np.ndarray]) -> list[Any]:
    """The states that were packed."""
    found: list[dict[str, np.ndarray]] = [{} for _ in reductions]
    for name, array in arrays.items():
        place, _, own = name.partition(".")
        found[int(place)][own] = array
    return [r.unpack(a, c) for r, a, c in zip(reductions, found, cells)]


def packable(reductions: Sequence[Reduction], why: str) -> None:
    """Refuse a reduction whose state cannot leave its thread."""
    for reduction in reductions:
        if not hasattr(reduction, "pack"):
            raise TypeError(f"{why}: {type(reduction).__name__} has no pack, unpack and merge")


class Folder:
    """The folder that keeps the parts of one call.

    Parameters
    ----------
    folder : path
        Made if it is not there.
    identity : mapping
        See `identity`.

    Attributes
    ----------
    fresh : bool
        No call has used it before.

    Raises
    ------
    ValueError
        The folder belongs to something else, or cannot be used.
    """

    def __init__(self, folder: Any, identity: Mapping[str, Any]):
        self.folder, self.identity = Path(named(folder)), dict(identity)
        self.key = json.dumps(self.identity).encode()
        self.saving, self.lock = True, threading.Lock()
        self._open()

    def read(self, name: str) -> bytes | None:
        """What was written under a name; None where it is not there, or not whole, or not of this call."""
        try:
            content = (self.folder / name).read_bytes()
        except OSError:
            return None
        body = content[: -hashlib.sha256().digest_size]
        return body if content == body + self._mark(name, body) else None

    def write(self, name: str, content: bytes) -> None:
        """Keep something under a name; where that cannot be done, the call goes on without."""
        if self.saving:
            self._write(self.folder / name, content + self._mark(name, content))

    def _mark(self, name: str, body: bytes) -> bytes:
        """What ends the file of this name of this call, when it is whole."""
        return hashlib.sha256(self.key + name.encode() + body).digest()

    def _open(self) -> None:
        """Take the folder, or refuse it because it is something else's."""
        told = f"resume={str(self.folder)!r}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            there = sorted(p.name for p in self.folder.iterdir())
        except OSError as error:
            raise ValueError(f"{told}: {error.strerror or error}") from None
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise ValueError(f"{told}: nothing can be written there")
        before = _json(self.folder / CALL)
        strange = [n for n in there if n != CALL and not n.startswith(("part-", ".part-"))]
        if strange and CALL not in there:
            raise ValueError(f"{told}: it holds other things ({', '.join(strange[:3])}); name a new or an empty folder")
        for name, reason in SAME.items():
            if before is not None and before.get(name) != self.identity[name]:
                difference = reason.format(old=before.get(name), new=self.identity[name])
                raise ValueError(f"{told}: {difference}; name another folder, or delete this one")
        for name in there:
            if name.startswith(".part-"):
                with contextlib.suppress(OSError):
                    if time.time() - (self.folder / name).stat().st_mtime > STALE:
                        (self.folder / name).unlink()
        self.fresh = before is None
        if before is None:
            self._write(self.folder / CALL, json.dumps(self.identity, indent=1).encode())

    def _write(self, path: Path, content: bytes) -> None:
        """Write a file that is either there and whole or not there; without it the search goes on."""
        private = self.folder / f".part-{uuid.uuid4().hex}"
        try:
            with open(private, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(private, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                private.unlink()
            with self.lock:
                first, self.saving = self.saving, False
            if first:
                why = error.strerror or str(error)
                warnings.warn(
                    f"resume={str(self.folder)!r}: {why}; the search goes on, but saves nothing more", stacklevel=2
                )


def _json(path: Path) -> dict[str, Any] | None:
    """What a file says, None where it is absent or says nothing that can be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
