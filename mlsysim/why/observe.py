"""Which equations a kernel calls while it is recorded, with what, and what they return.

Python tells of every call while it is watched (`sys.setprofile`), so no equation knows of it and nobody pays who does not ask.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FrameType, FunctionType
from typing import Any

from mlsysim import equations
from mlsysim.equations.stage import Stage


@dataclass
class Call:
    """One call of an equation, or of a kernel."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    result: Any = None
    inner: list[Call] = field(default_factory=list)  #: calls made inside it, in their order


def known_equations() -> dict[CodeType, FunctionType]:
    """The public functions of `mlsysim.equations` by their code."""
    found: dict[CodeType, FunctionType] = {}
    for module in pkgutil.iter_modules(equations.__path__, f"{equations.__name__}."):
        for name, function in vars(importlib.import_module(module.name)).items():
            if isinstance(function, FunctionType) and function.__module__ == module.name and not name.startswith("_"):
                found[function.__code__] = function
    return found


def _arguments(code: CodeType, frame: FrameType) -> dict[str, Any]:
    several = bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    count = code.co_argcount + code.co_kwonlyargcount + several
    return {name: frame.f_locals[name] for name in code.co_varnames[:count] if name in frame.f_locals}


def _called(frame: FrameType, known: dict[CodeType, Any]) -> Call | None:
    """The call that a new frame is, if it is one of an equation."""
    code = frame.f_code
    if code is Stage.__call__.__code__:
        stage = frame.f_locals["self"]
        own = stage.function.__code__
        return Call(stage, dict(zip(own.co_varnames[: own.co_argcount], frame.f_locals["args"])))
    return Call(known[code], _arguments(code, frame)) if code in known else None


@contextmanager
def observed(kernels: dict[CodeType, Any]) -> Iterator[list[Call]]:
    """Note the calls of some kernels in this thread, and of the equations inside them."""
    known = {**known_equations(), **kernels}
    top: list[Call] = []
    stack: list[tuple[FrameType, Call]] = []

    def watch(frame: FrameType, event: str, value: Any) -> None:
        if event == "call":
            call = _called(frame, known)
            if call is not None and (stack or frame.f_code in kernels):
                (stack[-1][1].inner if stack else top).append(call)
                stack.append((frame, call))
        elif event == "return" and stack and stack[-1][0] is frame:
            stack.pop()[1].result = value

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield top
    finally:
        sys.setprofile(before if callable(before) else None)  # a profiler written in C cannot be put back from here
