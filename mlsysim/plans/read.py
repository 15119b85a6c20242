"""Plan files: found by name or path, read, held against their form."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysim import grammar
from mlsysim.plans.form import ASKS, PICTURE, PLAN, QUESTION, STEP, checked
from mlsysim.schema.check import hint, shown

if TYPE_CHECKING:
    from mlsysim.resolver import Resolver

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Earlier:
    """A figure of an earlier step, as an input."""

    step: str
    name: str


@dataclass(frozen=True)
class Step:
    """One question of a plan."""

    name: str
    resolver: Resolver
    ask: str
    words: dict[str, str | Earlier]  #: inputs as on the command line
    axes: tuple[str, ...] | None  #: those of them that may have several values; None: any
    options: dict[str, Any]  #: the other keys that the question takes, as written
    asserts: tuple[str, ...]
    keep: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """One picture of a plan."""

    kind: str
    of: str
    file: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """Questions with the conditions that their answers must meet: ``ms.Plan.read`` gives one, ``ms.run_plan`` asks it."""

    title: str
    question: str
    steps: tuple[Step, ...]
    pictures: tuple[Picture, ...] = ()
    source: str = field(default="", compare=False)

    @classmethod
    def read(cls, source: str | PathLike[str] | Mapping[str, Any]) -> Plan:
        """A plan by the name of one that comes with mlsysim, by its path, or as the tables of a file.

        Raises
        ------
        ValueError
            No such plan, no TOML, a key or value that the form does not have.
        """
        if isinstance(source, Mapping):
            return plan_of(dict(source), "")
        path = find(source)
        try:
            with open(path, "rb") as handle:
                tables = tomllib.load(handle)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: no TOML: {error}") from None
        try:
            return plan_of(tables, str(path))
        except (TypeError, ValueError) as error:
            raise type(error)(f"{path}: {error}") from None

    def __repr__(self) -> str:
        asked = ", ".join(f"{step.ask} {step.resolver.name}" for step in self.steps)
        return f"<Plan {self.title!r}: {asked}>"


def names() -> list[str]:
    """Plans that come with mlsysim.

    >>> "chat_serving" in names()
    True
    """
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def find(source: str | PathLike[str]) -> Path:
    """The file of a plan by name or path."""
    path = Path(source)
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise ValueError(f"{path}: no such file")
        return path
    name = str(source).strip().lower().replace("-", "_").replace(" ", "_")
    if name in names():
        return FOLDER / f"{name}.toml"
    raise ValueError(f"no plan is named {shown(str(source))}{hint(name, names())} (or write the path of a .toml file)")


def plan_of(tables: dict[str, Any], source: str) -> Plan:
    """A plan from the tables of its file."""
    checked(tables, PLAN, "")
    single = {name: value for name, value in tables.items() if name in QUESTION}
    if "step" in tables and single:
        raise ValueError(f"{next(iter(single))}: a plan with [[step]] has its questions there")
    if "step" not in tables and "resolver" not in tables:
        raise ValueError(f"resolver is missing: {QUESTION['resolver'].meaning}")
    steps: list[Step] = []
    for i, table in enumerate(tables.get("step", [{"name": "answer", **single}])):
        place = f"step {table.get('name', i + 1)}: " if "step" in tables else ""
        steps.append(_step(checked(table, STEP, place), place, [s.name for s in steps]))
    pictures = [_picture(table, steps, Path(source).stem) for table in tables.get("picture", ())]
    return Plan(tables["title"], tables.get("question", ""), tuple(steps), tuple(pictures), source)


def _step(table: dict[str, Any], place: str, before: list[str]) -> Step:
    from mlsysim.resolver import Optimizer

    name, ask = table["name"], table.get("ask", "solve")
    if name in before or "." in name or not name:
        raise ValueError(f"{place}name={shown(name)}: must be a name of its own, without a dot")
    resolver = grammar.named(table["resolver"])
    options = {k: v for k, v in table.items() if k in {key for keys in ASKS.values() for key in keys}}
    for option in options:
        drawn = option in ("sample", "quantile", "seed")
        if option not in ASKS[ask] or (ask == "solve" and not drawn and not isinstance(resolver, Optimizer)):
            takes = [a for a, keys in ASKS.items() if option in keys and (drawn or a != "solve")]
            raise ValueError(f"{place}{option}: goes with ask = {' or '.join(map(repr, takes))}, not with {ask!r}")
    words: dict[str, str | Earlier] = {}
    for part in ("inputs", "axes"):
        for key, value in table.get(part, {}).items():
            if key in words:
                raise ValueError(f"{place}{key}: is in [inputs] and in [axes]")
            words[key] = _word(f"{place}{part}.{key}", value, before, several=part == "axes")
    step = Step(
        name,
        resolver,
        ask,
        words,
        tuple(table.get("axes", ())),
        options,
        tuple(_texts(table.get("assert"))),
        tuple(_texts(table.get("keep"))),
    )
    values_of(step, {})  # says what is wrong before anything is run
    return step


def _texts(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _word(place: str, value: Any, before: list[str], several: bool) -> str | Earlier:
    """A value of the file as the word of the command line."""
    if isinstance(value, dict):
        step, dot, name = str(value.get("from", "")).partition(".")
        if set(value) != {"from"} or not dot or not name:
            raise ValueError(f"{place}={shown(value)}: write {{ from = 'step.output' }}")
        if step not in before:
            raise ValueError(f"{place}: no step before is named {step!r}{hint(step, before)}")
        return Earlier(step, name)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    if isinstance(value, list) and value and several and not any(isinstance(v, (list, dict)) for v in value):
        return ",".join(str(_word(place, v, before, several)) for v in value)
    example = "a number, a text, true or false" + (", or a list of them" if several else "; several belong to [axes]")
    raise ValueError(f"{place}={shown(value)}: must be {example}")


def values_of(step: Step, figures: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a step, read as on the command line; `figures` are those of earlier steps, by input."""
    words = {k: w for k, w in step.words.items() if isinstance(w, str)}
    earlier = {k: w for k, w in step.words.items() if not isinstance(w, str)}
    resolver = step.resolver
    known = grammar.values(words, resolver)
    for key in earlier:
        resolver._check_names({key: None})
    for key, value in known.items():
        if (
            isinstance(value, list)
            and step.axes is not None
            and key not in step.axes
            and key not in getattr(resolver, "options", {})
        ):
            raise ValueError(f"inputs.{key}={words[key]}: has {len(value):,} values: put it in [axes]")
    found = {key: known[key] if key in known else figures.get(key) for key in step.words}
    return {k: [v] if k in (step.axes or ()) and isinstance(v, (str, int, float)) else v for k, v in found.items()}


def _picture(table: dict[str, Any], steps: list[Step], stem: str) -> Picture:
    from mlsysim.plans.pictures import check

    checked(table, PICTURE, "picture.", free=True)
    kind, of = table["kind"], table.get("of", steps[-1].name)
    if of not in (known := [step.name for step in steps]):
        raise ValueError(f"picture.of={shown(of)}: no step of this name{hint(str(of), known)}")
    arguments = {k: v for k, v in table.items() if k not in PICTURE}
    step = next(step for step in steps if step.name == of)
    if kind == "scorecard":
        arguments.setdefault("conditions", [text for text in step.asserts if not text.startswith("some ")])
    check(kind, arguments)
    return Picture(kind, of, table.get("file", f"{stem or 'plan'}-{kind}.png"), arguments)
