"""What a function goes by: every name that it and what it calls look up, with what each stands for now.

A recording of a kernel may be kept as long as all of that is as it was: who redefines a helper, a constant or a
stage in a notebook gets a new recording.  A function that looks up what may change unnoticed (an object with a
state of its own, a module imported inside it, ``globals()``) has no such account, and is recorded for every call.
"""

from __future__ import annotations

import builtins
import dis
import enum
import functools
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter, is_
from typing import Any

import numpy as np

#: values that do not change in place
_STEADY = (
    *(int, float, complex, str, bytes, type(None), type(...), range, enum.Enum, np.generic, np.ufunc, attrgetter),
    *(types.BuiltinFunctionType, types.UnionType, types.GenericAlias),
)
#: packages whose functions, classes and objects are taken as they are
_FOREIGN = frozenset({"numpy", "typing_extensions", "builtins", *sys.stdlib_module_names} - {"__main__"})
#: names by which code reaches what it does not name
_OBSCURE = frozenset({"eval", "exec", "globals", "locals", "vars", "__import__", "setattr"})
_IMPORTS = dis.opmap["IMPORT_NAME"]
#: what of a function may be replaced while it stays the same object, as reloading does
_PARTS = ("__code__", "__defaults__", "__kwdefaults__")


class Unaccountable(Exception):
    """A function looks up what may change unnoticed."""


class Referents:
    """What some functions look up, and what that looks up in turn.

    Parameters
    ----------
    functions : iterable of callable

    Raises
    ------
    Unaccountable
        One of them looks up what may change unnoticed.

    Examples
    --------
    >>> scope = {"factor": 2.0}
    >>> exec("def scaled(x): return x * factor", scope)
    >>> known = Referents([scope["scaled"]])
    >>> known.same()
    True
    >>> scope["factor"] = 3.0
    >>> known.same()
    False
    """

    def __init__(self, functions: Iterable[Callable[..., Any]]):
        self._seen: dict[int, Any] = {}  #: by identity; what is kept here stays at its address
        self._functions: list[types.FunctionType] = []
        self._cells: list[types.CellType] = []
        self._held: list[Any] = []  #: containers that may change
        names: dict[int, tuple[Mapping[str, Any], dict[str, None]]] = {}
        pending: list[Any] = list(functions)
        while pending:
            value = pending.pop()
            if id(value) not in self._seen:
                self._seen[id(value)] = value
                for scope, name in self._looked_up(value, pending):
                    names.setdefault(id(scope), (scope, {}))[1].setdefault(name)
        #: how each thing is found again, and what it was
        self._known: list[tuple[Callable[[Any], Any], list[Any], list[Any]]] = []
        for scope, wanted in names.values():
            self._note(scope.get, list(wanted))
        for part in _PARTS:
            read = attrgetter(part)
            self._note(read, [f for f in self._functions if part == "__code__" or read(f) is not None])
        self._note(attrgetter("cell_contents"), self._cells)
        self._inside = [(held, _contents(held)) for held in self._held]

    def _note(self, find: Callable[[Any], Any], keys: list[Any]) -> None:
        self._known.append((find, keys, list(map(find, keys))))

    def same(self) -> bool:
        """Does all that is looked up stand for what it stood for?"""
        try:
            return all(all(map(is_, map(find, keys), then)) for find, keys, then in self._known) and all(
                len(held) == len(then[0]) and all(all(map(is_, now, was)) for now, was in zip(_contents(held), then))
                for held, then in self._inside
            )
        except (ValueError, RuntimeError):  # a cell was emptied; a dict changes right now
            return False

    def _looked_up(self, value: Any, pending: list[Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
        """The names that a value looks up, each with where; what they stand for is pending."""
        if isinstance(value, types.FunctionType):
            if not _foreign(value):
                yield from self._in_function(value, pending)
        elif isinstance(value, type):
            if not _foreign(value) and not issubclass(value, enum.Enum):
                pending.extend(value.__bases__)
                for name, inside in list(vars(value).items()):
                    own = getattr(inside, "__module__", None) == value.__module__
                    if own or isinstance(inside, (property, classmethod, staticmethod, *_STEADY)):
                        yield vars(value), name
                        pending.append(inside)
        elif isinstance(value, (property, classmethod, staticmethod)):
            pending.extend([value.fget, value.fset] if isinstance(value, property) else [value.__func__])
        elif isinstance(value, (tuple, frozenset)):
            pending.extend(value)
        elif type(value) in (dict, list, set, types.MappingProxyType):
            self._held.append(value)
            for part in _contents(value):
                pending.extend(part)
        elif isinstance(value, functools._lru_cache_wrapper):
            pending.append(value.__wrapped__)
        elif not self._steady(value):
            function = vars(value).get("function") if type(value).__module__.startswith("mlsysim.") else None
            if not isinstance(function, types.FunctionType):
                raise Unaccountable(type(value).__name__)
            yield vars(value), "function"  # a kernel, a stage
            pending.append(function)

    def _in_function(self, function: types.FunctionType, pending: list[Any]) -> Iterator[tuple[Mapping[str, Any], str]]:
        self._functions.append(function)
        pending.extend(function.__defaults__ or ())
        pending.extend((function.__kwdefaults__ or {}).values())
        for cell in function.__closure__ or ():
            self._cells.append(cell)
            pending.append(cell.cell_contents)
        mentioned = set(_mentioned(function.__code__))
        obscure = mentioned & _OBSCURE
        if obscure or ("getattr" in mentioned and not function.__module__.startswith("mlsysim.")):
            raise Unaccountable(f"{function.__name__} uses {', '.join(obscure) or 'getattr'}")
        scopes: list[Mapping[str, Any]] = [function.__globals__]
        for scope in scopes:  # grows by the modules that are mentioned
            for name in mentioned:
                if name in scope or (scope is function.__globals__ and hasattr(builtins, name)):
                    yield scope, name
                    value = scope.get(name)
                    if not isinstance(value, types.ModuleType):
                        pending.append(value)
                    elif not _foreign(value) and all(vars(value) is not other for other in scopes):
                        scopes.append(vars(value))

    @staticmethod
    def _steady(value: Any) -> bool:
        frozen = getattr(getattr(value, "__dataclass_params__", None), "frozen", False)
        return frozen or isinstance(value, _STEADY) or type(value).__module__ == "typing"


def _contents(held: Any) -> tuple[list[Any], list[Any]]:
    """What is in a container: keys or items, and values."""
    return list(held), list(held.values()) if isinstance(held, Mapping) else []


def _foreign(value: Any) -> bool:
    """Does something come with Python or NumPy, so that nobody redefines it?"""
    name = value.__name__ if isinstance(value, types.ModuleType) else value.__module__
    return str(name).partition(".")[0] in _FOREIGN


def _mentioned(code: types.CodeType) -> Iterator[str]:
    """Names and texts in a function's code, those of inner functions included."""
    if _IMPORTS in code.co_code[::2]:
        raise Unaccountable(f"{code.co_name} imports")
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _mentioned(constant)
        elif isinstance(constant, str):
            yield constant
