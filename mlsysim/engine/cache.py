"""Compiled code: made once a process, kept on disk for the next, and never what somebody else left there.

Here the source *is* the physics, so its digest is most of the key; the rest is the code that it imports, its
signature, the versions and the processor.  A kept file holds all of that in full, then numba's code, under a
digest of both: a file that is torn, was edited or belongs to another key is compiled again before anything of
it is loaded.  The digest is no signature: whoever may write the file can make another.  That nobody else may
is for `mlsysim.engine.folder` to see to.

numba's own ``cache=True`` does not notice an edited callee, trusts what lies beside the source, and cannot use
a folder that is read-only.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import pickle
import re
import sys
import types
from collections.abc import Callable
from typing import Any

from mlsysim.engine import folder, forks

OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False, "boundscheck": False}
#: numba's settings that change what it makes of a source
SWITCHES = ("CPU_NAME", "CPU_FEATURES", "ENABLE_AVX", "OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK")

_loaded: dict[str, Callable[..., Any]] = {}


def compiler() -> bool:
    """Can this process compile?  Where it cannot, the plain plan and Python answer the same, more slowly."""
    return not forks.orphaned() and _numba_serves()


@functools.cache
def _numba_serves() -> bool:
    with forks.compiling():  # a child forked during this import would wait for ever for its end
        try:
            import numba
        except Exception as error:  # NUMBA_NUM_THREADS=0, a numba that does not suit this numpy ...
            folder.tell("compiler", f"numba cannot be imported ({error}): large sweeps take longer without a compiler")
            return False
    return not numba.config.DISABLE_JIT  # type: ignore[attr-defined]


def imported(text: str) -> str:
    """The code of the project that a source imports, at its head, and what that imports."""
    found: dict[str, str] = {}
    pending = [text]
    while pending:
        head = pending.pop().partition("\ndef ")[0]
        for name in re.findall(r"^(?:from|import) (mlsysim[\w.]*)", head, re.MULTILINE):
            if name not in found:
                found[name] = _module(name)
                pending.append(found[name])
    return "\n".join(found.values())


@functools.cache
def _module(name: str) -> str:
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.loader is not None
    return str(spec.loader.get_source(name))  # type: ignore[attr-defined]


@functools.cache
def machine() -> str:
    """What code is made for: the processor and the switches that numba goes by, numba, LLVM, the interpreter."""
    import llvmlite
    import llvmlite.binding as llvm
    import numba

    features = ""
    with contextlib.suppress(RuntimeError):  # not known on every platform
        features = llvm.get_host_cpu_features().flatten()
    switches = [f"{name}={getattr(numba.config, name, None)}" for name in SWITCHES]
    return "\n".join(
        (
            llvm.get_process_triple(),
            llvm.get_host_cpu_name(),
            features,
            *switches,
            numba.__version__,
            llvmlite.__version__,
            str(sys.implementation.cache_tag),
            sys.version.split()[0],
        )
    )


def identity(text: str, signature: str) -> str:
    """All that compiled code depends on."""
    return "\n".join((text, imported(text), signature, machine(), repr(sorted(OPTIONS.items()))))


def digest(text: str, signature: str) -> str:
    """Key of a nest."""
    return hashlib.sha256(identity(text, signature).encode()).hexdigest()[:24]


def kept(text: str, signature: str) -> bool:
    """Is this nest compiled already, in memory or on disk?"""
    if not compiler():
        return False
    key = digest(text, signature)
    return key in _loaded or folder.holds(f"{key}.kernel")


def compiled(text: str, signature: str) -> Callable[..., Any] | None:
    """The compiled `nest` of a source text, or None where there is no compiler."""
    if not compiler():
        return None
    key = digest(text, signature)
    if key not in _loaded:
        with forks.compiling():
            if key not in _loaded:  # no other thread was first
                _load(text, signature, key)
    return _loaded[key]


def _load(text: str, signature: str, key: str) -> None:
    """Make a nest of what is kept, or compile it and keep it."""
    whole = identity(text, signature)
    shelf = Shelf(opened(folder.read(f"{key}.kernel"), whole))
    _loaded[key] = _compile(text, signature, key, shelf)
    code = shelf.fresh()
    if code is not None:
        folder.keep(f"{key}.kernel", sealed(whole, code))


def sealed(whole: str, code: bytes) -> bytes:
    """What a file holds: a digest, what the code was made of, the code."""
    body = whole.encode() + b"\0" + code
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def opened(content: bytes | None, whole: str) -> bytes | None:
    """The code in a file, if it is whole and was made of just this."""
    seal, _, body = (content or b"").partition(b"\n")
    head = whole.encode() + b"\0"
    if not body.startswith(head) or hashlib.sha256(body).hexdigest().encode() != seal:
        return None
    return body[len(head) :]


class Shelf:
    """What numba takes for its cache of one function: gives it code, and receives what it compiled."""

    def __init__(self, code: bytes | None):
        self.code, self.result = code, None

    def load_overload(self, signature: Any, target: Any) -> Any:
        if self.code is None:
            return None
        try:
            from numba.core.compiler import CompileResult

            target.refresh()
            return CompileResult._rebuild(target, *pickle.loads(self.code))
        except Exception:  # whatever is wrong with it, the source makes a new one
            return None

    def save_overload(self, signature: Any, result: Any) -> None:
        self.result = result

    def fresh(self) -> bytes | None:
        """What numba compiled, as bytes; None if it compiled nothing, or what cannot be kept."""
        if self.result is None:
            return None
        try:
            from numba.core.serialize import dumps

            constant = not self.result.lifted and not self.result.library.has_dynamic_globals
            return dumps(self.result._reduce()) if constant else None
        except Exception:  # another numba: what cannot be kept is compiled again
            return None


def _compile(text: str, signature: str, key: str, shelf: Shelf) -> Callable[..., Any]:
    import numba

    module = types.ModuleType(f"mlsysim_nest_{key}")
    sys.modules[module.__name__] = module  # numba finds the globals of kept code by the name of its module
    try:
        exec(compile(text, f"<nest {key}>", "exec"), module.__dict__)
        nest = numba.njit(**OPTIONS)(module.nest)
        nest._cache = shelf
        nest.compile(signature)
        nest.disable_compile()
    except BaseException:
        sys.modules.pop(module.__name__, None)
        raise
    return nest
