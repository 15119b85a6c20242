"""Questions that know whom they are asked of: `inspect.signature`, `help` and tab completion show that resolver's own inputs.

A signature and a docstring are made when somebody looks at them, never by a call.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mlsysim.schema.check import shown

if TYPE_CHECKING:
    from mlsysim.resolver.base import Resolver

Asking = TypeVar("Asking", bound=Callable[..., Any])


def nameless(question: str, value: Any) -> TypeError:
    """The error for an input that is given by its place."""
    return TypeError(f"{question}: {shown(value)} has no name: inputs are written name=value, as in hardware='h100'")


class Asked:
    """One question to one resolver, as the function of a bound method."""

    def __init__(self, function: Callable[..., Any], resolver: Resolver):
        self.function, self.resolver = function, resolver
        self.__name__, self.__qualname__, self.__module__ = (
            function.__name__,
            function.__qualname__,
            function.__module__,
        )

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        known = self.function.__code__.co_argcount
        if len(args) > known and not self.function.__code__.co_flags & inspect.CO_VARARGS:
            raise nameless(f"{self.resolver.name}.{self.__name__}", args[known])
        if len(args) < known - len(self.function.__defaults__ or ()):
            self._complete(len(args), inputs)
        return self.function(*args, **inputs)

    def _complete(self, given: int, inputs: Mapping[str, Any]) -> None:
        """Raise where something that the question itself takes is missing."""
        code, optional = self.function.__code__, len(self.function.__defaults__ or ())
        missing = [n for n in code.co_varnames[given : code.co_argcount - optional] if n not in inputs]
        if missing:
            raise TypeError(f"{self.resolver.name}.{self.__name__} needs {', '.join(missing)}")

    @property
    def __signature__(self) -> inspect.Signature:
        from mlsysim.resolver.signature import signature

        return signature(self.resolver, self.function)

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        from mlsysim.resolver.signature import help_on

        return help_on(self.resolver, self.function)


class Question:
    """A method that is an `Asked` where it is looked up on a resolver, and plain on the class."""

    def __init__(self, function: Callable[..., Any]):
        self.function = self.__wrapped__ = function
        self.__doc__ = function.__doc__

    def __get__(self, resolver: Resolver | None, owner: type | None = None) -> Callable[..., Any]:
        return self.function if resolver is None else types.MethodType(Asked(self.function, resolver), resolver)


def question(function: Asking) -> Asking:
    """Mark a method as a question."""
    return cast(Asking, Question(function))


class Told:
    """The docstring of a class, and of each of its resolvers the one that its schema makes."""

    def __init__(self, of_class: str | None):
        self.of_class = of_class

    def __get__(self, resolver: Resolver | None, owner: type | None = None) -> str | None:
        if resolver is None:
            return self.of_class
        from mlsysim.resolver.signature import help_on

        return help_on(resolver)


class Called:
    """The signature of a resolver that is called to bind inputs; its class keeps that of its constructor."""

    def __get__(self, resolver: Resolver | None, owner: type | None = None) -> inspect.Signature:
        if resolver is None:
            raise AttributeError("__signature__")
        from mlsysim.resolver.signature import signature

        return signature(resolver, resolver.__call__, bound=True)
