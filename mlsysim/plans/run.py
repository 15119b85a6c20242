"""A plan is asked: its steps one after the other, its scorecard, its pictures."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim import grammar
from mlsysim.engine.label import labelled
from mlsysim.plans.read import Earlier, Plan, Step, values_of
from mlsysim.plans.score import Score, named_in, scores
from mlsysim.resolver import Optimizer
from mlsysim.schema.check import hint, shown
from mlsysim.why.sides import without_counts, works

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

PASS, FAIL = "PASS", "FAIL"


@dataclass(frozen=True)
class Outcome:
    """What a plan gave.

    Attributes
    ----------
    plan : Plan
    answers : dict of str to Dataset
        By step; a step that had to use an earlier one in which nothing works is not there.
    scores : tuple of Score
    drawn : tuple of Path
        Pictures that were saved.
    """

    plan: Plan
    answers: dict[str, xr.Dataset]
    scores: tuple[Score, ...]
    drawn: tuple[Path, ...] = ()

    @property
    def answer(self) -> xr.Dataset:
        """The answer of the last step that was asked."""
        return list(self.answers.values())[-1]

    @property
    def passed(self) -> bool:
        """Does every condition hold, and does something work in every step?"""
        return all(score.passed for score in self.scores)

    def sections(self) -> list[Any]:
        """The question, the scorecard and the answers as parts of a page: ``ms.report(found.sections(), "out.html")``."""
        several = len(self.plan.steps) > 1
        answers = [(f"{self.plan.title}{f': {name}' if several else ''}", ds) for name, ds in self.answers.items()]
        asked = [(self.plan.title, self.plan.question)] if self.plan.question else []
        return [*asked, ("Scorecard", self.scorecard), *answers]

    @property
    def scorecard(self) -> pd.DataFrame:
        """One row per condition: verdict, value, at how many of how many points it holds."""
        import pandas as pd

        rows = [{**s._asdict(), "passed": PASS if s.passed else FAIL} for s in self.scores]
        table = pd.DataFrame(rows).rename(columns={"passed": "verdict"})
        return table if len(self.plan.steps) > 1 else table.drop(columns="step")

    def __repr__(self) -> str:
        met = sum(score.passed for score in self.scores)
        lines = [f"{self.plan.title}: {met} of {len(self.scores)} conditions met"]
        several = len(self.plan.steps) > 1
        for score in self.scores:
            where = f" at {score.holds:,} of {score.points:,}" if score.points > 1 and not score.passed else ""
            step = f"{score.step}: " if several else ""
            lines.append(f"  {PASS if score.passed else FAIL}  {step}{score.condition}{where}  ({score.value})")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<b>{html.escape(self.plan.title)}</b>{self.scorecard.to_html(index=False)}"


def run_plan(
    plan: str | PathLike[str] | Mapping[str, Any] | Plan,
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    pictures: str | PathLike[str] | None = None,
    whole: bool = False,
    **inputs: Any,
) -> Outcome:
    """Ask a plan, and hold its conditions against the answer.

    Parameters
    ----------
    plan : str, path, mapping or Plan
        The name of a plan that comes with mlsysim (``ms.plans.names()``), the path of a file, or its tables.
    threads, progress
        See `solve`.
    pictures : path, optional
        A folder for the pictures of the plan; without it none is drawn.
    whole : bool
        Store every output, whatever the plan keeps: a page shows more of it.
    **inputs
        Values, or text as on the command line, in place of those of the plan; in every step that has the input.

    Returns
    -------
    Outcome
        `answers`, `scorecard`, `passed`.

    Raises
    ------
    ValueError
        No such plan, a key that is not known, an input that cannot be.

    Examples
    --------
    >>> import mlsysim as ms
    >>> found = ms.run_plan({"title": "Wait", "resolver": "tail_latency", "assert": "response_p99 < 1 s",
    ...     "inputs": {"arrival_rate": 50, "service_latency": "0.1 s", "replicas": 8}})
    >>> found.passed, found.scorecard["verdict"].tolist()
    (True, ['PASS', 'PASS'])
    """
    from mlsysim.plans.pictures import draw

    asked = _with(plan if isinstance(plan, Plan) else Plan.read(plan), inputs)
    folder = None if pictures is None else Path(pictures)
    if folder is not None and not folder.is_dir():
        raise ValueError(f"pictures={shown(str(pictures))}: is no folder")
    answers: dict[str, xr.Dataset] = {}
    found: list[Score] = []
    pictured = {p.of for p in asked.pictures if folder is not None}
    for step in asked.steps:
        lost = [w.step for w in step.words.values() if isinstance(w, Earlier) and not _useful(answers.get(w.step))]
        if lost:
            found.append(Score(step.name, "it is asked", False, f"nothing works in {lost[0]}", 0, 0))
            continue
        answers[step.name] = ds = ask(step, answers, threads, progress, whole=whole or step.name in pictured)
        if unknown := [name for name in step.keep if name not in ds.variables]:
            raise ValueError(f"{step.name}: keep={unknown[0]!r}: {_lacks(ds, unknown[0], step.resolver.outputs)}")
        found += scores(step.name, ds, step.asserts)
    drawn = [
        draw(answers[p.of], p.kind, p.arguments, folder / p.file)
        for p in asked.pictures
        if folder is not None and p.of in answers
    ]
    return Outcome(asked, answers, tuple(found), tuple(drawn))


def _lacks(ds: xr.Dataset, name: str, outputs: Iterable[str]) -> str:
    """Why an answer does not have an output."""
    why = re.search(rf"(?:^|; ){re.escape(name)}: (.*?)(?:; \w+: |$)", str(ds.attrs.get("omitted", "")))
    return why[1] if why else f"the answer has no such output{hint(name, {*map(str, ds.variables), *outputs})}"


def _useful(ds: xr.Dataset | None) -> bool:
    return ds is not None and bool(works(without_counts(ds)).any())


def _with(plan: Plan, inputs: Mapping[str, Any]) -> Plan:
    """The plan with other inputs."""
    if not inputs:
        return plan
    for name in inputs:
        known = {key for step in plan.steps for key in step.words}
        if name not in known:
            raise ValueError(f"{name}: no input of this plan{hint(name, known)}")
    return replace(plan, steps=tuple(_step_with(step, inputs) for step in plan.steps))


def _step_with(step: Step, inputs: Mapping[str, Any]) -> Step:
    own = {name: value for name, value in inputs.items() if name in step.words}
    texts = {
        name: ",".join(map(str, value)) if isinstance(value, (list, tuple, range, np.ndarray)) else str(value)
        for name, value in own.items()
    }
    return replace(step, words={**step.words, **texts}, axes=tuple(dict.fromkeys([*(step.axes or ()), *texts])))


def ask(
    step: Step,
    answers: Mapping[str, xr.Dataset],
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    whole: bool = False,
) -> xr.Dataset:
    """The answer to one step; `whole` with all outputs, whatever it keeps."""
    figures = {k: _figure(w, answers, step) for k, w in step.words.items() if isinstance(w, Earlier)}
    inputs, found = values_of(step, figures), step.options
    run = {**inputs, "threads": threads, "progress": progress}
    options = {"minimize": None, "maximize": None, "objective": None} | found
    where, by, ties = (
        grammar.conditions(found.get("where")),
        grammar.listed(found.get("by")),
        grammar.listed(found.get("ties")),
    )
    drawn = grammar.draws({k: str(v) for k, v in found.items() if k in ("sample", "seed", "quantile")})
    resolver, outputs = step.resolver, step.resolver.outputs
    if step.ask == "pareto":
        down, up = grammar.objectives(options)
        thin = grammar.thinning(str(found["epsilon"])) if "epsilon" in found else None
        return resolver.pareto(down, up, thin, where, **run, **drawn)
    if step.ask == "root":
        return _root(step, inputs)
    if step.ask == "solve":
        if step.keep and not whole:
            judged = {name for text in step.asserts for name in named_in(text)}
            run["keep"] = [n for n in outputs if n in step.keep or n in judged or n in ("feasible", "limit")]
        if isinstance(resolver, Optimizer):
            wish, way = grammar.objective(options, resolver.usual(inputs))
            run |= {"objective": wish, "maximize": way, "where": where, "by": by or None, "ties": ties}
        return resolver.solve(**run, **drawn)
    objective, better = grammar.objective(options)
    if step.ask == "top":
        return resolver.top(found.get("k", 10), objective, better, by, where, ties, **run)
    return resolver.best(objective, better, by, where, ties, **run, **drawn)


def _root(step: Step, inputs: dict[str, Any]) -> xr.Dataset:
    for need in ("unknown", "target"):
        if need not in step.options:
            raise ValueError(f"{step.name}: ask = 'root' needs {need}")
    name, equals, value = str(step.options["target"]).partition("=")
    if not equals:
        raise ValueError(f"{step.name}: target={step.options['target']!r}: write output = value, as in 'itl = 20 ms'")
    bounds = step.options.get("bounds")
    ends = grammar.ends("bounds", bounds) if bounds else None
    target = {name.strip(): grammar.numbers(name, value.strip(), None)}
    return step.resolver.root(step.options["unknown"], target, ends, **inputs)


def _figure(word: Earlier, answers: Mapping[str, xr.Dataset], step: Step) -> Any:
    """A figure of an earlier answer as an input: a number, a label, or values along dims."""
    ds = answers[word.step]
    if word.name not in ds.variables:
        raise ValueError(f"{step.name}: {word.step} has no {word.name!r}{hint(word.name, map(str, ds.variables))}")
    array = ds[word.name]
    return array if array.dims else np.asarray(labelled(array)).item()
