"""The names that a call of a resolver accepts, found once for its parameters."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from mlsysim.engine.memo import Memo
from mlsysim.engine.needs import lacking
from mlsysim.engine.parameters import REQUIRED, TAKEN_BY, Parameter, Selector, selectors
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.check import hint
from mlsysim.schema.synonyms import meant
from mlsysim.schema.variables import ALIASES

MOST = 1000  #: sets of names known to be complete


class Vocabulary:
    """Names of inputs, selectors and fields.

    Attributes
    ----------
    parameters : dict
    picks : dict of Selector
        Inputs that pick rows and options, by name.
    fields : dict of list of str
        Fields of records, and the record parameters that have them, the one that a plain name means first.
    """

    def __init__(self, parameters: Mapping[str, Parameter]):
        self.parameters = parameters
        self._complete: set[tuple[frozenset[str], tuple[str, ...]]] = set()
        self.picks: dict[str, Selector] = {}
        self.fields: dict[str, list[str]] = {}
        for p in self.parameters.values():
            if p.record is None:
                continue
            for selector in selectors(p):
                kept = self.picks.get(selector.name)
                if kept is None or (kept.default is None and selector.default is REQUIRED):
                    self.picks[selector.name] = selector
            for name in p.record._fields:
                self.fields.setdefault(name, []).append(p.name)

    @functools.cached_property
    def spellings(self) -> frozenset[str]:
        """Every name that a call accepts."""
        plain = {name for name, p in self.parameters.items() if p.record is None}
        dotted = {f"{p.name}.{f}" for p in self.parameters.values() if p.record for f in p.record._fields}
        aliases = {a for a, (name, _) in ALIASES.items() if name in plain or name in self.fields}
        return frozenset(plain | set(self.picks) | set(self.fields) | dotted | aliases)

    def hint(self, name: str, title: str) -> str:
        """What a name that is no input of the resolver `title` may have meant; which resolvers have it."""
        near = hint(name, self.spellings)
        if not near:
            plain = {n for n in self.spellings if "." not in n and n not in Assumptions._fields}
            near = f"; known: {', '.join(sorted(plain - set(self.fields)))}"
        for word in (name, *meant(name)):
            others = [other for other in TAKEN_BY.get(word, ()) if other != title]
            if others and word not in self.spellings:
                what = "an input" if word == name else word
                return f" ({what} of {', '.join(others[:3])}{', ...' if len(others) > 3 else ''}){near}"
        return near

    def require(self, title: str, given: frozenset[str], stages: tuple[str, ...] = ()) -> None:
        """Raise when inputs that must be given are not (see `mlsysim.engine.needs`)."""
        if (given, stages) not in self._complete:
            lacking(title, self.parameters, given, stages=stages)
            if len(self._complete) < MOST:
                self._complete.add((given, stages))


_known: Memo[Vocabulary] = Memo(64)


def vocabulary(parameters: Mapping[str, Parameter]) -> Vocabulary:
    """The names that a call with these parameters accepts."""
    found = _known.get(id(parameters))
    if found is None or found.parameters is not parameters:
        found = Vocabulary(parameters)
        _known.put(id(parameters), found)
    return found
