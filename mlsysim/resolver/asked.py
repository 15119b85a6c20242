"""The resolver that a solver or an optimizer asks."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from mlsysim.resolver.base import Resolver


def asked_resolver(asked: Any) -> Resolver | None:
    """What a solver or an optimizer is told to ask."""
    if asked is not None and not isinstance(asked, Resolver):
        from mlsysim.schema.check import shown

        raise TypeError(f"resolver={shown(asked)}: must be a resolver, as in resolver=ms.ServingModel")
    return asked


def check_asked(resolver: Resolver, inputs: Mapping[str, Any]) -> None:
    """The names of inputs to bind, against the resolver that is asked (which may be among them)."""
    twin = copy.copy(resolver)
    twin.bound = {**resolver.bound, **{n: v for n, v in inputs.items() if n == "resolver"}}
    Resolver._check_names(twin, {n: v for n, v in inputs.items() if n != "resolver"})
