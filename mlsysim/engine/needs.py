"""What a call must be given: all that is missing is told at once, each with an example."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from mlsysim import units
from mlsysim.engine.parameters import REQUIRED, Parameter, says, selectors
from mlsysim.schema.records import Fleet
from mlsysim.schema.variables import EXAMPLES, VARIABLES
from mlsysim.schema.ways import WAYS


def lacking(
    title: str,
    parameters: Mapping[str, Parameter],
    given: Collection[str],
    also: Mapping[str, str] | None = None,
    stages: Iterable[str] = (),
) -> None:
    """Raise when inputs that must be given are not, telling all of them at once.

    Parameters
    ----------
    given : collection of str
        Inputs of the call by canonical name.
    also : mapping of str to str
        Inputs that the one who asks needs besides, and what each is to it.
    stages : iterable of str
        The models that evaluate the call: some take one thing in several ways.
    """
    also = also or {}
    absent = [name for name in also if name not in given]
    taken: set[str] = set()  #: a field that two records have is that of the first
    for p in parameters.values():
        if p.record is None:
            absent += [p.name] if p.default is REQUIRED and p.name not in given else []
            continue
        short = {f for f in p.record._fields if f not in taken}
        taken |= short
        if any(f in given for f in short) or any(f"{p.name}.{f}" in given for f in p.record._fields):
            continue  # a row is needed only where no field of it is given
        for s in selectors(p):
            # what falls back on another input is told by that one
            stands_in = s.fallback or (s.name == "hardware" and p.record is not Fleet and "fleet" in given)
            if s.default is REQUIRED and s.name not in given and not stands_in:
                absent.append(s.name)
    wanted = [_example(n, also.get(n) or says(n)) for n in dict.fromkeys(absent)]
    wanted += [_told(ways) for stage in stages if (ways := WAYS.get(stage)) and not _one_of(ways, parameters, given)]
    if wanted:
        raise TypeError(f"{title} needs {', '.join(wanted)}")


def _one_of(ways: Collection[tuple[str, ...]], parameters: Mapping[str, Parameter], given: Collection[str]) -> bool:
    """Is all of one way given, or fed by another model?"""

    def there(name: str) -> bool:
        return name in given or name not in parameters or (name == "hardware" and "fleet" in given)

    return any(all(there(name) for name in way) for way in ways)


def _told(ways: Collection[tuple[str, ...]]) -> str:
    """Ways in which something may be given, the first with what it is."""
    (first, *_), *others = ways
    return " or ".join([_example(first, says(first)), *(" and ".join(way) for way in others)])


def _example(name: str, meaning: str) -> str:
    """An input that is missing: what it is and how it is written."""
    variable = VARIABLES.get(name)
    wanted = EXAMPLES.get(name)
    if wanted is None and variable is not None:
        wanted = (
            f"{name}={max(variable.low, 1.0):.0f}"
            if variable.kind == "count"
            else f"{name}={units.example(variable.unit)}"
        )
    return f"{name} ({meaning}{f'; for example {wanted}' if wanted else ''})"
