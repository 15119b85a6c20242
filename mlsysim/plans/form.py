"""The form of a plan file: every key with its meaning and what it may be, and the JSON schema that follows from that."""

from __future__ import annotations

from typing import Any, NamedTuple

from mlsysim.resolver import RESOLVERS
from mlsysim.schema.check import hint, shown

#: what a step may ask, and the keys that go with it
ASKS: dict[str, tuple[str, ...]] = {
    "solve": ("objective", "minimize", "maximize", "by", "where", "ties", "sample", "quantile", "seed"),
    "best": ("objective", "minimize", "maximize", "by", "where", "ties", "sample", "seed"),
    "top": ("objective", "minimize", "maximize", "by", "where", "ties", "k"),
    "pareto": ("minimize", "maximize", "where", "epsilon", "sample", "seed"),
    "root": ("unknown", "target", "bounds"),
}


class Key(NamedTuple):
    """One key of a table of the file.

    Attributes
    ----------
    kind : {"text", "texts", "number", "value", "inputs", "tables"}
        "texts" is one text or a list of them, "value" a text or a number, "tables" an array of tables.
    meaning : str
    allowed : tuple of str
        Where only some texts will do.
    needed : bool
    """

    kind: str
    meaning: str
    allowed: tuple[str, ...] = ()
    needed: bool = False


QUESTION: dict[str, Key] = {
    "resolver": Key("text", "a resolver, as on the command line; a+b composes", needed=True),
    "ask": Key("text", "the question to it (default solve: every point, or what an optimizer finds)", tuple(ASKS)),
    "inputs": Key("inputs", "inputs with one value"),
    "axes": Key("inputs", "inputs with several values: a list, or a range of the command line such as '1:257'"),
    "where": Key("texts", "conditions of the search: 'itl < 50 ms and tp <= 8'"),
    "assert": Key(
        "texts", "conditions that the answer must meet at each point that works, or after 'some ' at one of them"
    ),
    "keep": Key("texts", "outputs to show, and to store"),
    "objective": Key("text", "what is best, in the direction of the schema"),
    "minimize": Key("texts", "outputs to minimize"),
    "maximize": Key("texts", "outputs to maximize"),
    "by": Key("texts", "axes each value of which gets an answer of its own"),
    "ties": Key("texts", "outputs that decide among equals"),
    "k": Key("number", "how many the top has (default 10)"),
    "epsilon": Key("value", "relative amount by which the front is thinned, as in '1 %'"),
    "unknown": Key("text", "the input that root finds"),
    "target": Key("text", "the output and its value that root reaches, as in 'itl = 20 ms'"),
    "bounds": Key("text", "where root looks, low:high"),
    "sample": Key("number", "how often what is uncertain is drawn"),
    "quantile": Key("value", "quantiles of the draws, as in '0.1,0.5,0.9'"),
    "seed": Key("number", "of the draws (default 0)"),
}
STEP: dict[str, Key] = {"name": Key("text", "what later steps and pictures call it", needed=True), **QUESTION}
PICTURE: dict[str, Key] = {
    "kind": Key("text", "a function of mlsysim.plot; further keys are its arguments", needed=True),
    "of": Key("text", "the step that is drawn (default the last)"),
    "file": Key("text", "name of the file (default plan-kind.png)"),
}
PLAN: dict[str, Key] = {
    "title": Key("text", "what it is called", needed=True),
    "question": Key("text", "what it answers, in a sentence"),
    **{name: key._replace(needed=False) for name, key in QUESTION.items()},
    "step": Key("tables", "several questions, one after the other, in place of one"),
    "picture": Key("tables", "pictures of the answers"),
}


def checked(table: Any, keys: dict[str, Key], place: str, free: bool = False) -> dict[str, Any]:
    """A table of the file whose keys are known (unless `free`), needed ones there, and values of their kind."""
    if not isinstance(table, dict):
        raise ValueError(f"{place}: must be a table, not {shown(table)}")
    for name, value in table.items():
        if name in keys:
            _check(f"{place}{name}", keys[name], value)
        elif not free:
            raise ValueError(f"{place}{name}: no such key{hint(name, keys)}")
    for name, key in keys.items():
        if key.needed and name not in table:
            raise ValueError(f"{place}{name} is missing: {key.meaning}")
    return table


def _check(place: str, key: Key, value: Any) -> None:
    texts = value if isinstance(value, list) and key.kind == "texts" else [value]
    right = {
        "text": isinstance(value, str),
        "value": isinstance(value, (str, int, float)) and not isinstance(value, bool),
        "texts": all(isinstance(text, str) for text in texts),
        "number": isinstance(value, int) and not isinstance(value, bool),
        "inputs": isinstance(value, dict),
        "tables": isinstance(value, list) and all(isinstance(v, dict) for v in value),
    }[key.kind]
    kinds = {"texts": "a text or a list of texts", "number": "a whole number", "value": "a text or a number"}
    kinds |= {"inputs": "a table", "tables": "an array of tables, [[...]]", "text": "a text"}
    if not right:
        raise ValueError(f"{place}={shown(value)}: must be {kinds[key.kind]} ({key.meaning})")
    if key.allowed and value not in key.allowed:
        raise ValueError(f"{place}={shown(value)}: allowed are {', '.join(key.allowed)}")


# --- schema ------------------------------------------------------------------------------------------------

_SINGLE: list[dict[str, Any]] = [{"type": ["string", "number", "boolean"]}]
_EARLIER: dict[str, Any] = {
    "type": "object",
    "description": "a figure of an earlier step",
    "properties": {"from": {"type": "string", "pattern": r"^[^.]+\..+$"}},
    "required": ["from"],
    "additionalProperties": False,
}
_SEVERAL: dict[str, Any] = {"type": "array", "minItems": 1, "items": {"type": ["string", "number", "boolean"]}}


def schema() -> dict[str, Any]:
    """The form as a JSON schema (draft 2020-12), made from the tables above and the resolvers."""
    tables = {"step": STEP, "picture": PICTURE}
    whole = _object(PLAN, tables)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A plan of mlsysim",
        **whole,
        "oneOf": [{"required": ["resolver"]}, {"required": ["step"]}],
    }


def _object(keys: dict[str, Key], tables: dict[str, dict[str, Key]], free: bool = False) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {name: _property(name, key, tables) for name, key in keys.items()},
        "required": [name for name, key in keys.items() if key.needed],
        "additionalProperties": free,
    }


def _property(name: str, key: Key, tables: dict[str, dict[str, Key]]) -> dict[str, Any]:
    about: dict[str, Any] = {"description": key.meaning}
    if key.kind == "tables":
        return about | {"type": "array", "minItems": 1, "items": _object(tables[name], tables, free=name == "picture")}
    if key.kind == "inputs":
        values = [*_SINGLE, _EARLIER] if name == "inputs" else [*_SINGLE, _SEVERAL, _EARLIER]
        known = {n: {"description": meaning, "anyOf": values} for n, meaning in _inputs().items()}
        return about | {"type": "object", "properties": known, "additionalProperties": {"anyOf": values}}
    if key.kind == "texts":
        return about | {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    kinds: dict[str, Any] = {"number": "integer", "text": "string", "value": ["string", "number"]}
    return about | {"type": kinds[key.kind]} | ({"enum": list(key.allowed)} if key.allowed else {})


def _inputs() -> dict[str, str]:
    """Every input of a resolver with what it means."""
    found: dict[str, str] = {}
    for resolver in RESOLVERS.values():
        table = resolver.schema
        for name, row in table[table["role"] != "output"].iterrows():
            found.setdefault(str(name), str(row["meaning"]).replace("``", ""))
    return dict(sorted(found.items()))
