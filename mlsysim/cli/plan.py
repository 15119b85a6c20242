"""Plans: ``mlsysim run plan.toml`` asks one, shows the answer and holds its conditions against it."""

from __future__ import annotations

import json as _json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlsysim import grammar
from mlsysim.cli import asjson, show
from mlsysim.cli.options import Json, Threads
from mlsysim.cli.results import FINE, NOTHING, give, progress, say
from mlsysim.cli.sweep import page_at
from mlsysim.resolver import Optimizer

if TYPE_CHECKING:
    from mlsysim.plans import Outcome

#: what stands below the options
EPILOG = """\b
PLAN: the name of one that comes along (mlsysim run --list) or the path of a .toml file.
key=value: an input in place of the plan's.
Exit 0: every condition holds; 1: bad input; 2: a condition fails, or nothing works."""


def run(
    words: Annotated[list[str] | None, typer.Argument(metavar="PLAN key=value", hidden=True)] = None,
    pictures: Annotated[str | None, typer.Option(metavar="DIR", help="Draw the pictures of the plan there.")] = None,
    report: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the answers as a page: a .html file.")
    ] = None,
    every: Annotated[bool, typer.Option("--list", help="The plans that come along.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="The JSON schema of a plan file.")] = False,
    threads: Threads = None,
    json: Json = False,
) -> int:
    """Ask a plan, or several: its questions, and the conditions that the answers must meet: run chat_serving."""
    from mlsysim import plans

    if schema:
        print(_json.dumps(plans.schema(), indent=1, ensure_ascii=False))
        return FINE
    if every:
        _listed(json)
        return FINE
    sources = [word for word in words or () if "=" not in word]
    inputs = grammar.pairs([word for word in words or () if "=" in word])
    if not sources:
        raise ValueError("name a plan, as in: mlsysim run chat_serving (mlsysim run --list tells them)")
    asked = [plans.Plan.read(source) for source in sources]
    page = page_at(report)
    outcomes = []
    for plan in asked:
        with progress() as tell:
            outcomes.append(
                plans.run_plan(plan, threads=threads, progress=tell, pictures=pictures, whole=bool(page), **inputs)
            )
    if json:
        print(asjson.text([_as_json(outcome) for outcome in outcomes]))
    else:
        for outcome in outcomes:
            _shown(outcome, pictures)
    if page:
        from mlsysim.report import report as write

        sections = [section for outcome in outcomes for section in outcome.sections()]
        write(sections, page, title=" and ".join(outcome.plan.title for outcome in outcomes))
        say(f"The report is in {page}.")
    return FINE if all(outcome.passed for outcome in outcomes) else NOTHING


def _listed(json: bool) -> None:
    from mlsysim import plans

    found = [(name, plans.Plan.read(name)) for name in plans.names()]
    if json:
        print(asjson.text({name: {"title": plan.title, "question": plan.question} for name, plan in found}))
        return
    columns = ([name for name, _ in found], [plan.question for _, plan in found])
    show.grid([show.Column(head, cells) for head, cells in zip(("plan", "question"), columns)])


def _as_json(outcome: Outcome) -> dict[str, Any]:
    return {
        "title": outcome.plan.title,
        "question": outcome.plan.question,
        "passed": outcome.passed,
        "scorecard": [score._asdict() for score in outcome.scores],
        "answers": {name: asjson.dataset(ds) for name, ds in outcome.answers.items()},
    }


def _shown(outcome: Outcome, pictures: str | None) -> None:
    """The question, the answers, the scorecard."""
    plan = outcome.plan
    print(plan.title if not plan.question else f"{plan.title}: {plan.question}")
    for step in plan.steps:
        if step.name not in outcome.answers:
            continue
        ds = outcome.answers[step.name]
        first = [
            n for k in ("objective", "minimize", "maximize") for n in grammar.listed(step.options.get(k)) if n in ds
        ]
        title = (
            f"{step.name}: {step.ask} {step.resolver.name}"
            if len(plan.steps) > 1
            else f"{step.ask} {step.resolver.name}"
        )
        keep = ",".join(n for n in step.keep if n in ds.data_vars)
        give(
            ds,
            {"keep": keep or None},
            False,
            title,
            first,
            places=step.ask == "best" or isinstance(step.resolver, Optimizer),
        )
    table = outcome.scorecard
    heads = [c for c in table.columns if c not in ("holds", "points")]
    met = sum(score.passed for score in outcome.scores)
    show.grid([show.Column(str(c), list(map(str, table[c]))) for c in heads], f"{met} of {len(table)} conditions met")
    for path in outcome.drawn:
        print(f"drawn: {path}")
    if plan.pictures and pictures is None:
        which = "it" if len(plan.pictures) == 1 else "them"
        show.note(f"{show.count(len(plan.pictures), 'picture')}: --pictures DIR draws {which}")
