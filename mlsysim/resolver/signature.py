"""The signature and the docstring of a resolver and of its questions, made from its schema."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mlsysim.engine.parameters import REQUIRED, selectors
from mlsysim.schema.codes import Precision, label
from mlsysim.schema.variables import ALIASES, VARIABLES

if TYPE_CHECKING:
    from mlsysim.resolver.base import Resolver

#: what every question takes besides the inputs, where it draws what is uncertain
DRAWS = {
    "solve": {"points": None, "sample": None, "seed": None, "quantile": None},
    "sweep": {"points": None, "sample": None, "seed": None},
    "best": {"points": None, "sample": None, "seed": None},
    "pareto": {"points": None, "sample": None, "seed": None},
}
POINTS = {"points": None}
WIDTH = 96  #: letters of a line of a docstring
FIELDS = "fields"  #: what stands for every field of a record and every assumption, given by name


def inputs_of(resolver: Resolver) -> dict[str, Any]:
    """What a resolver takes: input -> default as one would write it, `REQUIRED` where there is none.

    >>> import mlsysim as ms
    >>> {n: v for n, v in inputs_of(ms.ServingModel).items() if n in ("model", "tp", "seq_len", "reserve", "precision")}
    {'model': required, 'precision': 'bf16', 'seq_len': required, 'tp': 1, 'reserve': 'reserve'}
    """
    found: dict[str, Any] = {}
    for p in resolver.parameters(resolver.bound).values():
        if p.record is None:
            found[p.name] = written(p.name, p.default)
            continue
        for s in selectors(p):
            if found.get(s.name) is None:
                found[s.name] = written(s.name, None if s.fallback else s.default)
    found |= {name: value for name, value in getattr(resolver, "stands_in", {}).items() if found.get(name) is REQUIRED}
    found |= dict.fromkeys(getattr(resolver, "searches", ()))
    if asks(resolver):
        found["resolver"] = None
    return {**found, **{name: value for name, value in resolver.bound.items() if name in found}}


def asks(resolver: Resolver) -> bool:
    """Does it ask another resolver, as solvers and optimizers do?"""
    return hasattr(resolver, "model")


def written(name: str, default: Any) -> Any:
    """A default as one would write it: an option by its label, a count without a point.

    >>> written("schedule", 0), written("batch_size", 32.0), written("textbook", 0), written("pue", 1.1)
    ('1f1b', 32, False, 1.1)
    """
    variable = VARIABLES.get(name)
    if default is None or default is REQUIRED or not isinstance(default, (int, float)):
        return default
    if name == "precision":
        return label(Precision(int(default)))
    if variable is not None and variable.options is not None:
        return label(variable.options(int(default)))
    if variable is not None and variable.kind == "flag":
        return bool(default)
    return int(default) if float(default).is_integer() else float(default)


def aliases_of(names: Iterable[str], fields: Iterable[str] = ()) -> list[str]:
    """Other names of some inputs."""
    known = {*names, *fields}
    return [alias for alias, (name, _) in ALIASES.items() if name in known and alias not in known]


def fields_of(resolver: Resolver) -> tuple[str, ...]:
    """Fields of the records that a resolver takes, each of which may be given by name."""
    records = (p.record for p in resolver.parameters(resolver.bound).values() if p.record is not None)
    return tuple(dict.fromkeys(field for record in records for field in record._fields))


def options_of(
    resolver: Resolver, function: Callable[..., Any]
) -> tuple[list[inspect.Parameter], list[inspect.Parameter], dict[str, Any]]:
    """What a question takes besides the inputs of a resolver: by position, by name, and what it hands on with the inputs."""
    own = dict(inspect.signature(function).parameters)
    if any(p.kind is p.VAR_POSITIONAL for p in own.values()):  # it hands on to that of every resolver
        asker = [c for c in type(resolver).__mro__ if function.__name__ in vars(c)][-1]
        whole = dict(inspect.signature(getattr(asker, function.__name__)).parameters)
        own = whole | {n: p.replace(kind=whole[n].kind) for n, p in own.items() if n in whole}
    drawn = dict(DRAWS.get(function.__name__, POINTS))
    if asks(resolver):  # one answer a draw
        drawn.pop("quantile", None)
    if hasattr(resolver, "answer"):
        drawn = {}  # among the options of a solver
    first = [p for p in own.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    return first, [p for p in own.values() if p.kind is p.KEYWORD_ONLY], drawn


def signature(resolver: Resolver, function: Callable[..., Any], bound: bool = False) -> inspect.Signature:
    """What a question takes of one resolver, after what the function itself takes first.

    Parameters
    ----------
    bound : bool
        It is no question: inputs are bound, and none of them is required.
    """
    kinds = inspect.Parameter
    first, last, drawn = options_of(resolver, function)
    taken = {p.name for p in (*first, *last)}
    inputs, fields = inputs_of(resolver), fields_of(resolver)
    asked = [
        kinds(n, kinds.KEYWORD_ONLY, default=kinds.empty if v is REQUIRED and not bound else v)
        for n, v in inputs.items()
        if n not in taken
    ]
    beside = [n for n in (*(() if bound else drawn), *aliases_of(inputs, fields)) if n not in taken | {*inputs}]
    more = [kinds(n, kinds.KEYWORD_ONLY, default=None) for n in beside]
    rest = [kinds(FIELDS, kinds.VAR_KEYWORD)] if fields else []
    annotation = inspect.signature(function).return_annotation
    return inspect.Signature([*first, *asked, *last, *more, *rest], return_annotation=annotation)


# --- docstrings ---------------------------------------------------------------------------------------------


def help_on(resolver: Resolver, function: Callable[..., Any] | None = None) -> str:
    """What a resolver does, or a question to it asks, and its inputs and outputs with unit, default and bounds."""
    prose = inspect.cleandoc((resolver.prose if function is None else function.__doc__) or resolver.name)
    schema = resolver.schema
    outputs = schema[schema.role == "output"]
    if function is not None:
        return f"{prose}\n\n{_section('Inputs', _lines(schema[schema.role != 'output']))}\n\n{_fields(resolver)}"
    told, together = told_of(prose, standard=hasattr(resolver, "answer"))
    if hasattr(resolver, "searches"):  # there the text is what is tried, not what each of them means
        told |= {name: f"{schema.meaning[name]}: {text}" for name, text in together.items() if name in schema.index}
    inputs = _lines(schema[schema.role != "output"], told)
    start, rest = _without(prose, "Parameters")
    return "\n\n".join(
        text
        for text in (
            start,
            _section("Parameters", inputs),
            _fields(resolver),
            rest,
            _section("Outputs", _lines(outputs)),
        )
        if text
    )


def told_of(prose: str, standard: bool) -> tuple[dict[str, str], dict[str, str]]:
    r"""What the section Parameters of a docstring says of names alone, and of several together.

    Parameters
    ----------
    standard : bool
        The first line of an entry is a type, as numpydoc has it; otherwise the text begins there.

    >>> told_of("Parameters\n----------\ntp, pp : degrees\nx : c\n    d.\n\nNotes\n-----\nn : no", standard=False)
    ({'x': 'c d'}, {'tp': 'degrees', 'pp': 'degrees'})
    """
    section = re.search(r"^Parameters\n-+\n(.*?)(?=\n\n\w+\n-+\n|\Z)", prose, flags=re.M | re.S)
    alone: dict[str, str] = {}
    together: dict[str, str] = {}
    for entry in re.finditer(r"^([\w, ]+) : (.*(?:\n +.*)*)", section[1] if section else "", flags=re.M):
        first, _, more = entry[2].partition("\n")
        text = " ".join((more if standard else f"{first} {more}").split()).rstrip(".")
        names = [name.strip() for name in entry[1].split(",")]
        (together if len(names) > 1 else alone).update(dict.fromkeys(names, text))
    return alone, together


def _without(prose: str, section: str) -> tuple[str, str]:
    """What stands before a section of a docstring, and what stands after it."""
    found = re.search(rf"^{section}\n-+\n.*?(?=^\w+\n-+\n|\Z)", prose, flags=re.M | re.S)
    if found is None:
        start = re.search(r"^\w+\n-+\n", prose, flags=re.M)
        return (prose[: start.start()].strip(), prose[start.start() :].strip()) if start else (prose.strip(), "")
    return prose[: found.start()].strip(), prose[found.end() :].strip()


def _section(name: str, lines: list[str]) -> str:
    return "\n".join([name, "-" * len(name), *lines]) if lines else ""


def _lines(schema: Any, told: Mapping[str, str] | None = None) -> list[str]:
    """One entry an input or output: unit, default and what is allowed; below it the meaning."""
    lines = []
    for name, row in schema.iterrows():
        default = {"required": "required", "optional": "", "": ""}.get(row.default, f"default {row.default}")
        unit = "" if row.unit == "1" else row.unit
        about = "; ".join(text for text in (unit, default, row.allowed) if text)
        meaning = (told or {}).get(str(name)) or row.meaning
        lines += [f"{name} : {about}" if about else str(name), textwrap.indent(textwrap.fill(meaning, WIDTH), "    ")]
    return lines


def _fields(resolver: Resolver) -> str:
    """That whatever a row states may be given by name."""
    names = [name for name, p in resolver.parameters(resolver.bound).items() if p.record is not None]
    return f"Any field of {', '.join(names)} may be given by name (`mlsysim.schema.records`)." if names else ""
