"""What a shell offers for a half-written word: resolvers, their inputs, rows of the zoo, options, outputs.

A shell calls the program for it (``mlsysim --install-completion``).  Bash cuts ``model=lla`` at the sign, so that the words
before are ``model`` and ``=``; other shells hand over the whole word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import typer

from mlsysim import grammar
from mlsysim.schema import codes

if TYPE_CHECKING:
    from mlsysim.resolver import Resolver

#: input -> the table of the zoo whose rows it names
TABLES = {
    "model": "models",
    "draft": "models",
    "hardware": "hardware",
    "fleet": "systems",
    "fabric": "fabrics",
    "region": "grids",
    "datacenter": "datacenters",
}
#: options of commands that name outputs, and those that name inputs
OUTPUTS, INPUTS = ("minimize", "maximize", "objective", "keep", "ties"), ("by", "unknown")
#: letters from which on fields of records are offered, too
ENOUGH = 2


def words(context: typer.Context, incomplete: str) -> list[str]:
    """What the next word of a question may be."""
    said = before(context)
    if said and said[-1].endswith("="):  # cut by Bash
        return values(said[:-1], said[-1][:-1], incomplete)
    key, sign, begun = incomplete.partition("=")
    if sign:
        return [f"{key}={value}" for value in values(said, key, begun)]
    bare = [word for word in said if "=" not in word]
    if not bare:
        return resolvers(incomplete)
    resolver = asked(said)
    if resolver is None:
        return []
    given = {word.partition("=")[0] for word in said}
    cut = len(bare) == 2 and not incomplete and context.command.name != "root"
    if cut and (found := of_input(resolver, bare[1])):  # typer takes away a sign that stands alone
        return found
    found = [f"{name}=" for name in inputs(resolver, incomplete) if name not in given]
    if len(found) == 1:  # with its values, so that no space comes after the sign
        found = [f"{found[0]}{value}" for value in of_input(resolver, found[0][:-1])] or found
    if len(bare) == 1 and context.command.name in ("best", "top"):
        found += starting(incomplete, resolver.outputs)
    if len(bare) == 1 and context.command.name == "root":
        found += starting(incomplete, inputs(resolver, incomplete))
    return found


def option(of: str) -> Callable[[typer.Context, str], list[str]]:
    """What may stand after ``--minimize`` and the like."""

    def offered(context: typer.Context, incomplete: str) -> list[str]:
        return values(before(context), of, incomplete)

    return offered


def a_resolver(context: typer.Context, incomplete: str) -> list[str]:
    """Resolvers, and what else ``mlsysim schema`` knows."""
    return [*resolvers(incomplete), *starting(incomplete, ("assumptions",))]


def a_table(context: typer.Context, incomplete: str) -> list[str]:
    """Tables of the zoo, and what can be done with rows of one's own."""
    from mlsysim import zoo

    return starting(incomplete, (*zoo.TABLES, "add", "remove"))


def a_row(context: typer.Context, incomplete: str) -> list[str]:
    """Rows of the table that was named; rows of one's own that can be removed."""
    from mlsysim import zoo
    from mlsysim.zoo import own

    table = context.params.get("table")
    if table == "remove":
        return starting(incomplete, [row.key for name in zoo.TABLES for row in own.kept(name).values()])
    return starting(incomplete, zoo.names(table)) if table in zoo.TABLES else []


def before(context: typer.Context) -> list[str]:
    """The words so far, apart from options."""
    return joined(context.params.get("words") or context.args)


def joined(parts: Iterable[str]) -> list[str]:
    """Words as they were written, where a shell has cut them at the sign.

    >>> joined(["serving", "model", "=", "h", "tp=4", "hardware", "="])
    ['serving', 'model=h', 'tp=4', 'hardware=']
    """
    found: list[str] = []
    for part in parts:
        if (part == "=" and found) or (found and found[-1].endswith("=")):
            found[-1] += part
        else:
            found.append(part)
    return found


def asked(said: Sequence[str]) -> Resolver | None:
    """The resolver of a command, None where it is not known."""
    name = next((word for word in said if "=" not in word), None)
    try:
        return None if name is None else grammar.named(name)
    except (ValueError, TypeError):
        return None


def resolvers(begun: str) -> list[str]:
    """Resolvers by their short names, or by their full ones where a capital is written; the last one of a chain."""
    from mlsysim import RESOLVERS

    most, plus, last = begun.rpartition("+")
    names = list(RESOLVERS)
    if not last[:1].isupper():
        names = [re.sub(r"(?<!^)([A-Z])", r"_\1", re.sub("Model$|Solver$|Optimizer$", "", n)).lower() for n in names]
    return [f"{most}{plus}{name}" for name in starting(last, names)]


def inputs(resolver: Resolver, begun: str) -> list[str]:
    """Inputs of a resolver that begin so; fields of its records where nothing else does."""
    from mlsysim.resolver import signature

    names = signature.inputs_of(resolver)
    fields = signature.fields_of(resolver)
    found = starting(begun, [*names, *signature.aliases_of(names, fields)])
    return found or (starting(begun, fields) if len(begun) >= ENOUGH else [])


def values(said: Sequence[str], key: str, begun: str) -> list[str]:
    """What may follow ``key=``: the last one of a list."""
    most, comma, last = begun.rpartition(",")
    resolver = asked(said)
    if resolver is None:
        return []
    names: Iterable[str] = of_input(resolver, key)
    if key in OUTPUTS:
        names = resolver.outputs
    elif key in INPUTS:
        names = inputs(resolver, last)
    taken = most.split(",")
    return [f"{most}{comma}{name}" for name in starting(last, names) if name not in taken]


def of_input(resolver: Resolver, key: str) -> list[str]:
    """The values of an input that can be listed."""
    from mlsysim import zoo
    from mlsysim.schema.variables import VARIABLES

    if key == "resolver":
        return resolvers("")
    table = TABLES.get(key) or (TABLES["hardware"] if key.endswith("_hardware") else None)
    if table is not None:
        return list(zoo.names(table))
    variable = VARIABLES.get(key)
    if key.endswith("precision"):
        return list(codes.labels(codes.Precision))
    if variable is not None and variable.options is not None:
        return list(codes.labels(variable.options))
    return ["true", "false"] if variable is not None and variable.kind == "flag" else []


def starting(begun: str, names: Iterable[str]) -> list[str]:
    """Names that begin so."""
    return [name for name in names if name.startswith(begun)]
