"""Compiled nests on disk: keyed by their own source, published in one step.

numba's plain ``cache=True`` does not notice an edited callee, and processes that start together have
crashed on half-written files.  Here the source *is* the physics, so its digest is the whole key; it is
compiled in a private directory that is renamed into place, and a loser of that race uses the winner's.
``MLSYSIM_CACHE`` moves the cache; ``MLSYSIM_CACHE=off`` keeps compiled code in memory only.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False, "boundscheck": False}

_lock = threading.Lock()
_loaded: dict[str, Callable] = {}


@functools.lru_cache
def directory() -> Path | None:
    """Where compiled nests are kept, or None when nowhere."""
    wish = os.environ.get("MLSYSIM_CACHE", "")
    if wish.lower() in ("off", "0", "none"):
        return None
    base = Path(wish) if wish else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlsysim"
    for candidate in (base, Path(tempfile.gettempdir()) / f"mlsysim-{os.getuid() if hasattr(os, 'getuid') else 'user'}"):
        try:
            candidate.mkdir(parents=True, exist_ok=True)
            probe = tempfile.mkdtemp(dir=candidate)
            os.rmdir(probe)
            return candidate
        except OSError:
            continue
    return None


@functools.cache
def imported() -> str:
    """The code of the project that nests import."""
    return Path(__file__).with_name("select.py").read_text(encoding="utf-8")


def digest(text: str, signature: str) -> str:
    """Key of a nest: its source and what it imports, its signature, numba and the interpreter."""
    import numba

    parts = (text, imported(), signature, numba.__version__, sys.version.split()[0], repr(sorted(OPTIONS.items())))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def kept(text: str, signature: str) -> bool:
    """Is this nest compiled already, in memory or on disk?"""
    key = digest(text, signature)
    place = directory()
    return key in _loaded or (place is not None and (place / key / "nest.py").exists())


def _load(path: Path, key: str, signature: str, cached: bool) -> Callable:
    import numba

    spec = importlib.util.spec_from_file_location(f"mlsysim_nest_{key}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # numba finds the globals of a cached function by its module
    spec.loader.exec_module(module)
    return numba.njit(signature, cache=cached, **OPTIONS)(module.nest)


def compiled(text: str, signature: str) -> Callable:
    """The compiled `nest` of a source text."""
    import numba

    key = digest(text, signature)
    with _lock:
        if key in _loaded:
            return _loaded[key]
        place = directory()
        function: Callable
        if place is None:
            scope: dict = {}
            exec(compile(text, f"<nest {key}>", "exec"), scope)
            function = numba.njit(signature, **OPTIONS)(scope["nest"])
        else:
            function = _from_disk(text, signature, key, place)
        _loaded[key] = function
        return function


def _from_disk(text: str, signature: str, key: str, place: Path) -> Callable:
    """A kept nest; compiled and published when there is none, or none that can be read."""
    home = place / key
    if (home / "nest.py").exists():
        try:
            return _load(home / "nest.py", key, signature, cached=True)
        except Exception:  # a torn or foreign file: whatever is wrong with it, the source makes a new one
            shutil.rmtree(home, ignore_errors=True)
    private = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=place))
    (private / "nest.py").write_text(text, encoding="utf-8")
    function = _load(private / "nest.py", key, signature, cached=True)
    try:
        os.rename(private, home)
    except OSError:  # another process was first
        shutil.rmtree(private, ignore_errors=True)
    return function
