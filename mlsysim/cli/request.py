"""What the words of a command ask of which resolver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlsysim import grammar
from mlsysim.cli.results import place

if TYPE_CHECKING:
    from mlsysim.resolver import Resolver

#: options that draw what is uncertain, and the commands that take them
DRAWS = {"sample": "solve, best and pareto", "quantile": "solve", "seed": "solve, best and pareto"}


def asked(
    words: Sequence[str] | None, options: Mapping[str, Any], extra: str = ""
) -> tuple[Resolver, dict[str, Any], dict[str, Any]]:
    """The resolver, inputs and options of a command; `extra` is the option that a second bare word gives."""
    name = next((word for word in words or () if "=" not in word), None)
    if name is None:
        raise ValueError(
            "name a resolver first, as in: mlsysim solve ServingModel model=llama3_1_70b hardware=h100 seq_len=2048"
        )
    resolver = grammar.named(name)
    inputs, found, rest = grammar.split(words or (), options, grammar.names_of(resolver))
    rest.remove(name)
    if rest and extra and found[extra] is None:
        found[extra] = rest.pop(0)
    if rest:
        raise ValueError(f"{rest[0]!r}: inputs are written key=value")
    for key in DRAWS.keys() & inputs.keys() - grammar.names_of(resolver):
        raise ValueError(f"{key}={inputs[key]}: is for mlsysim {DRAWS[key]}")
    place(found.get("out"))
    return resolver, grammar.values(inputs, resolver), found
