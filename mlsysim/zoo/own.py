"""Rows of one's own that are kept: files in a folder, whose names are known wherever a name of the zoo is accepted.

``hardware/mine.toml`` holds the device ``mine`` (the arguments of `Hardware`), ``models/mine/config.json`` the model
``mine`` as Hugging Face describes it; systems, grids and datacenters are kept as devices are. ``MLSYSIM_ZOO`` names the
folder, ``MLSYSIM_ZOO=off`` does without; else it is ``mlsysim/zoo`` in the user's folder for settings. Nothing is read before
a name is looked up, and a file that cannot be read costs its own name alone.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path

from mlsysim.schema.check import hint, shown
from mlsysim.zoo import config_file, custom, hub, huggingface, tables
from mlsysim.zoo.row import Row
from mlsysim.zoo.spelling import fold

OFF = ("off", "0", "none")
#: what a file and with it a row may be called
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
#: files of a checkpoint that are kept
CHECKPOINT = ("config.json", "hf_quant_config.json")

_read: dict[str, tuple[object, dict[str, Row], dict[str, tuple[Path, str]]]] = {}
_filling: dict[str, tuple[dict[str, Row], dict[str, tuple[Path, str]]]] = {}
_reading = threading.RLock()
_told: set[Path] = set()


def folder() -> Path | None:
    """Where rows of one's own are kept; None where they are switched off, or no home is known."""
    place = _place(*map(os.environ.get, ("MLSYSIM_ZOO", "XDG_CONFIG_HOME", "HOME")))
    return None if place is None else Path(place)


@functools.lru_cache
def _place(wish: str | None, shared: str | None, home: str | None) -> str | None:
    """The folder that the environment means; `home` is what ``~`` stands for."""
    wish = (wish or "").strip()
    if wish.lower() in OFF:
        return None
    place = os.path.expanduser(wish or os.path.join(shared or "~/.config", "mlsysim", "zoo"))
    return None if place.startswith("~") else os.path.abspath(place)


def _kept(table: str) -> tuple[dict[str, Row], dict[str, tuple[Path, str]]]:
    """Rows of a table by name, and the files that make none with the reason, as the folder has them now."""
    root = _place(*map(os.environ.get, ("MLSYSIM_ZOO", "XDG_CONFIG_HOME", "HOME")))
    if root is None or table not in custom.MAKERS:
        return {}, {}
    place = f"{root}/{table}"
    try:
        stamp: object = (root, os.stat(place).st_mtime_ns)
    except OSError:
        return {}, {}
    known = _read.get(table)
    if known is not None and known[0] == stamp:
        return known[1:]
    with _reading:
        if table in _filling:  # a row that is being read starts from another
            return _filling[table]
        _filling[table] = {}, {}
        try:
            _fill(Path(place), table, *_filling[table])
            _read[table] = (stamp, *_filling[table])
        finally:
            found = _filling.pop(table)
    return found


def _fill(place: Path, table: str, rows: dict[str, Row], faults: dict[str, tuple[Path, str]]) -> None:
    """Read the rows of a folder: those that start from others, when these are there."""
    try:
        paths = [p for p in sorted(place.iterdir()) if p.name[0] != "." and (p.is_dir() or p.suffix == ".toml")]
    except OSError:
        return
    before = -1
    while len(rows) > before:
        before = len(rows)
        for path in paths:
            name = path.name if path.is_dir() else path.stem
            if fold(name) not in rows:
                try:
                    rows[fold(name)] = _row(path, table, name)
                    faults.pop(fold(name), None)
                except Exception as error:  # whatever a file holds, other names are known
                    faults[fold(name)] = path, " ".join(str(error).split())


def _row(path: Path, table: str, name: str) -> Row:
    """The row that a file or folder holds."""
    row = huggingface.from_config(path, name=name) if path.is_dir() else custom.row_file(path, table, name=name)
    row.own = f"given by you, kept in {path}"
    return row


def kept(table: str) -> Mapping[str, Row]:
    """Rows of a table by folded name."""
    return _kept(table)[0]


def refusal(table: str, name: str) -> str:
    """Why a name of one's own is not known; empty where no file bears it."""
    path, why = _kept(table)[1].get(fold(name), (None, ""))
    return "" if path is None else f"{name!r} is kept in {path}, which cannot be read: {why}"


def told(table: str, row: Row) -> None:
    """Warn, once, where a name of one's own is that of a row which the zoo has got since."""
    path = Path(row.own.partition("kept in ")[2])
    if path not in _told:
        _told.add(path)
        warnings.warn(
            f"{row.key!r} is a row of {table} by now, which is taken; yours in {path} is not: give its file another name",
            UserWarning,
            stacklevel=2,
        )


tables.KEPT = tables.Kept(kept, refusal, told)


# --- adding and removing ------------------------------------------------------------------------------------------


def unreadable() -> list[tuple[str, Path, str]]:
    """Table, file and reason for every file that makes no row."""
    return [(table, path, why) for table in custom.MAKERS for path, why in _kept(table)[1].values()]


def add(source: str | os.PathLike[str], *, name: str | None = None) -> Row:
    """Keep a row of one's own: from now on its name is known everywhere, in every process of this user.

    Parameters
    ----------
    source : path
        A ``.toml`` file with the arguments of `Hardware` (or of `Workload`, `System`, `Grid`, `Datacenter`, where the file
        has a line such as ``table = "systems"``), or the ``config.json`` of a model, its folder or ``hf://org/name``.
        It is copied.
    name : str, optional
        What the row is called; by default what the TOML file says, else the name of the file, or of the model's folder.

    Returns
    -------
    Row

    Raises
    ------
    ValueError
        The file cannot be read or makes no row, the name is taken or cannot be that of a file, or nothing is kept
        (``MLSYSIM_ZOO=off``).
    OSError
        The folder cannot be written.
    """
    root = folder()
    if root is None:
        raise ValueError("no rows are kept: MLSYSIM_ZOO is off, or no home folder is known; set MLSYSIM_ZOO=FOLDER")
    text = os.fspath(source)
    if text.endswith(".toml"):
        given = custom.content(text, "add")
        table, files = str(given.get("table", "hardware")), [Path(text).expanduser()]
        called = name or str(given.get("name", files[0].stem))
    else:
        table = "models"
        made = huggingface.from_config(text, name=name)
        called, files = name or made.key.rpartition("/")[2], _files(text)
    _free(table, called)
    place = root / table / (f"{called}.toml" if text.endswith(".toml") else called)
    if text.endswith(".toml"):
        custom.row_file(text, table, name=called)  # which refuses what makes no row
        place.parent.mkdir(parents=True, exist_ok=True)
        _copy(files[0], place)
    else:
        place.mkdir(parents=True, exist_ok=True)
        for file in files:
            _copy(file, place / (file.name if file.name in CHECKPOINT else CHECKPOINT[0]))
    _read.pop(table, None)
    return tables.lookup(table, called)


def remove(name: str) -> Path:
    """Forget a row of one's own.

    Parameters
    ----------
    name : str
        As it was added; of several tables that know it, the first of hardware, models, systems, grids, datacenters.

    Returns
    -------
    Path
        What was deleted.

    Raises
    ------
    ValueError
        No row of one's own has this name.
    OSError
        It cannot be deleted.
    """
    names = []
    for table in custom.MAKERS:
        rows, faults = _kept(table)
        paths = {key: Path(row.own.partition("kept in ")[2]) for key, row in rows.items()}
        paths |= {key: path for key, (path, _) in faults.items()}
        names += [path.name if path.is_dir() else path.stem for path in paths.values()]
        if path := paths.get(fold(name)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
            _read.pop(table, None)
            return path
    raise ValueError(f"no row of your own is named {shown(name)}{hint(name, names) if names else ': none is kept'}")


def _free(table: str, name: str) -> None:
    """Raise where a row cannot be called so."""
    if table not in custom.MAKERS:
        raise ValueError(f"table={shown(table)}: must be one of {', '.join(custom.MAKERS)}{hint(table, custom.MAKERS)}")
    if not NAME.fullmatch(name):
        raise ValueError(f"name={shown(name)}: letters, digits and . _ + - are allowed, 100 at most: give another name")
    if tables.shipped(table, name) is not None:
        raise ValueError(f"name={name!r}: already names a row of {table}: give another name")
    rows, faults = _kept(table)
    if fold(name) in rows or fold(name) in faults:
        raise ValueError(
            f"name={name!r}: already names a row of your own: mlsysim zoo remove {name}, or give another name"
        )


def _files(source: str) -> list[Path]:
    """The files that describe a checkpoint."""
    if hub.is_named(source):
        place = hub.fetched(source)[0]
    else:
        place = Path(source).expanduser()
    if not place.is_dir():
        config_file.read(place)
        beside = place.parent / CHECKPOINT[1]
        return [place, *([beside] if beside.is_file() else [])]
    return [place / name for name in CHECKPOINT if (place / name).is_file()]


def _copy(source: Path, target: Path) -> None:
    """Copy a file in one step: readers find all of it or nothing."""
    private = target.with_name(f".{target.name}-{os.getpid()}")
    private.write_bytes(source.read_bytes())
    os.replace(private, target)
