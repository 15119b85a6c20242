"""``mlsysim solve A ... then B ...``: what the first finds is what the next is asked with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlsysim import grammar
from mlsysim.cli import asjson, show
from mlsysim.cli.results import FINE, NOTHING, give, progress, say
from mlsysim.plans.read import Earlier, Step
from mlsysim.plans.run import ask
from mlsysim.resolver import Optimizer
from mlsysim.schema.variables import ALIASES, VARIABLES
from mlsysim.why.sides import without_counts, works

if TYPE_CHECKING:
    import xarray as xr

THEN = "then"


def chained(words: Sequence[str], options: Mapping[str, Any], threads: int | None, json: bool) -> int:
    """Ask several resolvers one after the other.

    An input takes the latest earlier output of its name or of a synonym, as in a composition.  What was given before and the next
    has, too (`hardware`, `n_accelerators`), it is given as well, unless it says otherwise.
    """
    if said := [name for name, value in options.items() if value is not None]:
        raise ValueError(f"{said[0]}: write it among the words of the resolver that it is for, as in {said[0]}=...")
    steps: list[Step] = []
    for part in _parts(words):
        steps.append(_step(part, options, steps))
    answers: dict[str, xr.Dataset] = {}
    for step in steps:
        with progress() as tell:
            answers[step.name] = ds = ask(step, answers, threads, tell, whole=True)
        if not json:
            wires = [f"{k} <- {w.step}.{w.name}" for k, w in step.words.items() if isinstance(w, Earlier)]
            keep = ",".join(n for n in step.keep if n in ds.data_vars)
            places = isinstance(step.resolver, Optimizer)
            give(ds, {"keep": keep or None}, False, step.resolver.name, places=places)
            if wires:
                show.note(f"wired: {', '.join(wires)}")
        if not works(without_counts(ds)).any():
            say(f"nothing feasible: {step.name}")
            break
    if json:
        print(asjson.text(answers))
    return FINE if len(answers) == len(steps) and works(without_counts(answers[steps[-1].name])).any() else NOTHING


def _parts(words: Sequence[str]) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for word in words:
        if word == THEN:
            found.append([])
        else:
            found[-1].append(word)
    if not all(found):
        raise ValueError("then: stands between two resolvers, each with its inputs")
    return found


def _step(words: Sequence[str], options: Mapping[str, Any], before: Sequence[Step]) -> Step:
    bare = next((word for word in words if "=" not in word), None)
    if bare is None:
        raise ValueError(f"{words[0]}: name a resolver first, as in: then PlacementOptimizer {words[0]}")
    resolver = grammar.named(bare)
    if resolver.name in [step.name for step in before]:
        raise ValueError(f"{resolver.name} is asked twice")
    inputs, found, rest = grammar.split(words, dict.fromkeys(options), grammar.names_of(resolver))
    rest.remove(bare)
    if rest:
        raise ValueError(f"{rest[0]!r}: inputs are written key=value")
    texts: dict[str, str | Earlier] = dict(inputs)
    given = set(map(_canonical, inputs))
    for name, parameter in resolver.parameters(given).items():
        if parameter.record is None and name not in given:
            texts |= _wired(name, before)
    for step in before:
        texts |= {k: w for k, w in step.words.items() if isinstance(w, str) and _shared(k, resolver, texts, given)}
    keep = tuple(grammar.listed(found.pop("keep", None)))
    asked = {name: value for name, value in found.items() if value is not None}
    return Step(resolver.name, resolver, "solve", texts, None, asked, (), keep)


def _canonical(name: str) -> str:
    return ALIASES.get(name, (name, 1.0))[0]


def _wired(name: str, before: Sequence[Step]) -> dict[str, Earlier]:
    """The latest earlier output that an input takes."""
    variable = VARIABLES.get(name)
    for step in reversed(before):
        for output in (name, *(variable.takes if variable is not None else ())):
            if output in step.resolver.outputs and name not in map(_canonical, step.words):
                return {name: Earlier(step.name, output)}
    return {}


def _shared(key: str, resolver: Any, texts: Mapping[str, Any], given: set[str]) -> bool:
    """Is an input of an earlier resolver one of this, too, and not said for it?"""
    name = _canonical(key)
    if key in texts or name in given or name in texts:
        return False
    try:
        resolver._check_names({key: None})
    except (TypeError, ValueError):
        return False
    return True
