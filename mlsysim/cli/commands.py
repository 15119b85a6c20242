"""The commands.  Exit 0: fine; 1: bad input or usage, told in one line; 2: nothing feasible; 130, 143: stopped."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import typer

from mlsysim import grammar
from mlsysim.cli import asjson, estimate, show, stopped
from mlsysim.cli.app import app
from mlsysim.cli.calibration import calibrate, validate
from mlsysim.cli.doctor import doctor
from mlsysim.cli.options import (
    INPUTS,
    By,
    Epsilon,
    Front,
    Json,
    Keep,
    Known,
    Maximize,
    Minimize,
    Objective,
    Out,
    Quantile,
    Report,
    Resume,
    Sample,
    Seed,
    Threads,
    Ties,
    Where,
    Words,
    Yes,
)
from mlsysim.cli.plan import EPILOG, run
from mlsysim.cli.request import DRAWS, asked
from mlsysim.cli.results import FINE, NOTHING, amounts_of, give, near_miss, nothing, progress, say, stops
from mlsysim.cli.why import compare, trace
from mlsysim.cli.zoo import EPILOG as OF_ZOO
from mlsysim.cli.zoo import zoo
from mlsysim.engine.label import labelled

#: most of a `top`
MOST = 100_000


# --- the questions ---------------------------------------------------------------------------------------


@app.command(epilog=INPUTS)
def solve(
    words: Words = None,
    objective: Objective = None,
    minimize: Minimize = None,
    maximize: Maximize = None,
    by: By = None,
    where: Where = None,
    ties: Ties = None,
    keep: Keep = None,
    sample: Sample = None,
    quantile: Quantile = None,
    seed: Seed = None,
    out: Out = None,
    threads: Threads = None,
    json: Json = False,
) -> int:
    """Every output at every point of the grid; an optimizer takes an objective, by, where and ties.

    ``solve A ... then B ...`` asks B with what A finds.
    """
    from mlsysim.resolver import Optimizer, Solver

    given = {
        "objective": objective,
        "minimize": minimize,
        "maximize": maximize,
        "by": by,
        "where": where,
        "ties": ties,
        "keep": keep,
        "sample": sample,
        "quantile": quantile,
        "seed": seed,
        "out": out,
    }
    if "then" in (words or ()):
        from mlsysim.cli.chain import chained

        return chained(words or (), given, threads, json)
    resolver, inputs, found = asked(words, given)
    search: dict[str, Any] = {}
    if isinstance(resolver, Optimizer):
        search["objective"], search["maximize"] = grammar.objective(found, resolver.usual(inputs))
        search |= {k: v for k in ("by", "ties") if (v := grammar.listed(found[k]))}
        search["where"] = grammar.conditions(found["where"])
    elif needless := [k for k in given if found[k] is not None and k not in ("keep", "out", *DRAWS)]:
        raise ValueError(f"{needless[0]}: solve gives every point; mlsysim best, top and pareto search")
    drawn = grammar.draws(found)
    if "quantile" in drawn and isinstance(resolver, (Optimizer, Solver)):
        raise ValueError(f"quantile={found['quantile']}: {resolver.name} has one answer a draw; sample=64 gives them")
    if resolver.name == "SynthesisSolver" and not any(n == "targets" or n.startswith("target_") for n in inputs):
        raise ValueError("SynthesisSolver needs a target: targets=itl=20ms (several by commas), or target_itl=20ms")
    outputs = grammar.listed(found["keep"])
    beside = {"memory_per_device": "memory_utilization"}  # they tell the capacity
    wanted = [*dict.fromkeys([*outputs, *(beside[n] for n in outputs if n in beside)])] if outputs else None
    with progress() as tell:
        run = {"keep": wanted, "threads": threads, "progress": tell} | search | drawn | inputs
        ds, stop = stopped.answer(lambda: resolver.solve(**run))
    first = [search["objective"]] if search else []
    give(ds, found, json, resolver.name, first, bool(search), amounts_of(resolver, inputs | drawn))
    if stop:
        return stopped.code(stop)
    if "found" in ds and not bool(ds["found"].any()):
        what, why = str(search.get("objective") or resolver.name), ds if "configurations" in ds else None
        return nothing(why, what, lambda: near_miss(resolver, search.get("where"), inputs))
    if "feasible" in ds and not bool(ds["feasible"].any()):
        if "limit" not in ds:  # quantiles have none
            return nothing(None, f"in none of {ds.attrs['samples']:,} samples (without quantile= the limits are told)")
        names, numbers = np.unique(labelled(ds["limit"]), return_counts=True)
        why = stops(dict(zip(names.tolist(), numbers.tolist())))
        return nothing(None, why, lambda: near_miss(resolver, None, inputs))
    return FINE


def ranked(given: dict[str, Any], many: bool) -> int:
    """`best` and `top`, with the options that were given."""
    from mlsysim.search import Best, Counts, Top
    from mlsysim.search.parts import within
    from mlsysim.search.reduce import directed

    words, threads, yes, json = (given.pop(name) for name in ("words", "threads", "yes", "json"))
    resolver, inputs, found = asked(words, given, "objective")
    name, up = grammar.objective(found, resolver.usual(inputs) if hasattr(resolver, "usual") else "")
    if up is None and name in resolver.outputs and not directed(name):
        raise ValueError(f"{name} is better neither small nor large: say minimize={name} or maximize={name}")
    where, by = grammar.conditions(found["where"]), grammar.listed(found["by"])
    ties = grammar.listed(found["ties"])
    k = grammar.whole("k", found.get("k"))
    if k is not None and not 1 <= k <= MOST:
        raise ValueError(f"k={k}: must be from 1 to {MOST:,}")
    search = Top(10 if k is None else k, name, up, by, where, ties)
    if not many:
        search = Best(name, up, by, where, ties)
    drawn, counts = grammar.draws(found), Counts(where=where)
    estimate.before(resolver, inputs | drawn, [search, counts], threads, yes)
    with progress() as tell:
        run = {"threads": threads, "progress": tell, "resume": found["resume"]} | inputs
        if drawn:
            ds, stop = stopped.answer(lambda: resolver.best(name, up, by, where, ties, **run, **drawn))
            run["resume"] = within(found["resume"], "limits")
            why = None if stop else resolver.sweep([counts], **run)[0]
        else:
            (ds, why), stop = stopped.answer(lambda: resolver.sweep([search, counts], **run))
    anything = bool(ds["found"].any())
    if anything or json:
        give(
            ds,
            found,
            json,
            f"{resolver.name}: {'top' if many else 'best'} {name} of {show.count(ds.attrs['points'], 'configuration')}, "
            f"{ds.attrs['accepted']:,} feasible",
            [
                name,
                *(
                    n
                    for n in (
                        "win_share",
                        "feasible_share",
                        *(f"{name}_{q}" for q in ("expected", "without_luck", "p10", "p90")),
                    )
                    if n in ds
                ),
            ],
            places=True,
        )
    if stop:
        return stopped.code(stop, found["resume"])
    return FINE if anything else nothing(why, name, lambda: near_miss(resolver, where, inputs))


@app.command(epilog=INPUTS)
def best(
    words: Words = None,
    objective: Objective = None,
    minimize: Minimize = None,
    maximize: Maximize = None,
    by: By = None,
    where: Where = None,
    ties: Ties = None,
    keep: Keep = None,
    sample: Sample = None,
    seed: Seed = None,
    out: Out = None,
    threads: Threads = None,
    resume: Resume = None,
    yes: Yes = False,
    json: Json = False,
) -> int:
    """The best feasible configuration, for each --by: best serving usd_per_mtok hardware=h100,a100 ...

    With sample=64 also what to expect of it when what is uncertain is drawn again, and how often it works and wins.
    """
    return ranked(locals(), many=False)


@app.command(epilog=INPUTS)
def top(
    words: Words = None,
    objective: Objective = None,
    k: Annotated[str | None, typer.Option("-k", "--k", metavar="<int>", help="How many (default 10).")] = None,
    minimize: Minimize = None,
    maximize: Maximize = None,
    by: By = None,
    where: Where = None,
    ties: Ties = None,
    keep: Keep = None,
    out: Out = None,
    threads: Threads = None,
    resume: Resume = None,
    yes: Yes = False,
    json: Json = False,
) -> int:
    """The k best feasible configurations."""
    return ranked(locals(), many=True)


@app.command(epilog=INPUTS)
def pareto(
    words: Words = None,
    minimize: Minimize = None,
    maximize: Maximize = None,
    where: Where = None,
    epsilon: Epsilon = None,
    keep: Keep = None,
    sample: Sample = None,
    seed: Seed = None,
    out: Out = None,
    threads: Threads = None,
    resume: Resume = None,
    yes: Yes = False,
    json: Json = False,
) -> int:
    """The exact Pareto front of several objectives.

    With sample=64 also front_share, how often a point is on the front when what is uncertain is drawn again.
    """
    from mlsysim.search import Counts, Pareto
    from mlsysim.search.parts import within

    given = {
        "minimize": minimize,
        "maximize": maximize,
        "where": where,
        "epsilon": epsilon,
        "keep": keep,
        "sample": sample,
        "seed": seed,
        "out": out,
        "resume": resume,
    }
    resolver, inputs, found = asked(words, given)
    down, up = grammar.objectives(found)
    if not down and not up:
        raise ValueError("pareto needs objectives: minimize=usd_per_mtok,itl and/or maximize=tokens_per_s")
    clauses = grammar.conditions(found["where"])
    thin, drawn, counts = grammar.thinning(found["epsilon"]), grammar.draws(found), Counts(where=clauses)
    search = Pareto(down, up, thin, clauses)
    estimate.before(resolver, inputs | drawn, [search, counts], threads, yes)
    with progress() as tell:
        run = {"threads": threads, "progress": tell, "resume": found["resume"]} | inputs
        if drawn:
            ds, stop = stopped.answer(lambda: resolver.pareto(down, up, thin, clauses, **run, **drawn))
            run["resume"] = within(found["resume"], "limits")
            why = None if stop else resolver.sweep([counts], **run)[0]
        else:
            (ds, why), stop = stopped.answer(lambda: resolver.sweep([search, counts], **run))
    if ds.sizes["point"] or json:
        give(
            ds,
            found,
            json,
            f"{resolver.name}: front of {ds.sizes['point']:,} among {ds.attrs['accepted']:,} feasible of "
            f"{show.count(ds.attrs['points'], 'configuration')}",
            [*down, *up, *(["front_share"] if "front_share" in ds else [])],
        )
    if stop:
        return stopped.code(stop, found["resume"])
    return (
        FINE if ds.sizes["point"] else nothing(why, "the front is empty", lambda: near_miss(resolver, clauses, inputs))
    )


@app.command(epilog=INPUTS)
def root(
    words: Words = None,
    unknown: Annotated[str | None, typer.Option(help="The input to find.")] = None,
    target: Annotated[str | None, typer.Option(help="Output and value: itl=20ms.")] = None,
    bounds: Annotated[str | None, typer.Option(help="Where to look: low:high.")] = None,
    out: Out = None,
    json: Json = False,
) -> int:
    """The value of an input that meets a target: root serving mem_bandwidth target=itl=20ms ..."""
    resolver, inputs, found = asked(
        words, {"unknown": unknown, "target": target, "bounds": bounds, "out": out}, "unknown"
    )
    if not found["unknown"] or not found["target"]:
        raise ValueError("give the unknown and the target: mlsysim root serving mem_bandwidth target=itl=20ms ...")
    name, equals, value = found["target"].partition("=")
    if not equals:
        raise ValueError(f"target={found['target']}: write output=value, as in target=itl=20ms")
    limits = grammar.ends("bounds", found["bounds"]) if found["bounds"] else None
    wanted = {name.strip(): grammar.numbers(name, value.strip(), None)}
    with progress() as tell:
        ds = resolver.root(found["unknown"], wanted, limits, progress=tell, **inputs)
    give(
        ds,
        found,
        json,
        f"{resolver.name}: {found['unknown']} for {found['target']}",
        [found["unknown"], "reached", "found"],
    )
    if not bool(ds["found"].any()):
        say(
            f"nothing feasible: no {found['unknown']} between the bounds ({ds.attrs['bounds']}) reaches {found['target']}; "
            "`nearest` and `reached` say how near one comes"
        )
        return NOTHING
    return FINE


@app.command(epilog=INPUTS)
def sweep(
    words: Words = None,
    minimize: Minimize = None,
    maximize: Maximize = None,
    objective: Annotated[
        str | None, typer.Option(help="Of what each --by gets its best (default: the first objective).")
    ] = None,
    by: By = None,
    where: Where = None,
    epsilon: Epsilon = None,
    out: Front = None,
    report: Report = None,
    threads: Threads = None,
    resume: Resume = None,
    yes: Yes = False,
    json: Json = False,
) -> int:
    """Millions of configurations in one pass: what stops them, the best of each, the front, drawn.

    Without a RESOLVER: training Llama 3.1 70B on every accelerator whose facts are complete; key=value changes
    any of it.
    """
    from mlsysim.cli.sweep import run

    return run(
        words,
        {
            "minimize": minimize,
            "maximize": maximize,
            "objective": objective,
            "by": by,
            "where": where,
            "epsilon": epsilon,
            "out": out,
            "report": report,
            "resume": resume,
        },
        threads,
        yes,
        json,
    )


# --- what there is -----------------------------------------------------------------------------------------


@app.command(epilog=INPUTS)
def explain(words: Words = None, json: Json = False) -> int:
    """What a call would do before it is run: points, bytes, seconds, layout, wiring."""
    resolver, inputs, _ = asked(words, {})
    text = resolver.explain(**inputs)
    if not json:
        print(text)
        return FINE
    program = resolver.program(**inputs)
    _, omitted = program.available()
    wiring = getattr(resolver, "wiring", None)
    wires = [w._asdict() for w in wiring({*resolver.bound, *program.binder.columns})] if wiring is not None else []
    print(
        asjson.text(
            {
                "resolver": resolver.name,
                "points": program.n_points,
                "axes": program.sizes,
                "wiring": wires,
                "omitted": omitted,
                "text": text,
            }
        )
    )
    return FINE


@app.command()
def schema(name: Known, json: Json = False) -> int:
    """Inputs and outputs of a resolver: unit, default, what is allowed, meaning; "assumptions" lists those with their sources."""
    from mlsysim.resolver.explain import assumptions

    _table(assumptions() if name.lower() in ("assume", "assumptions") else grammar.named(name).schema, json)
    return FINE


@app.command()
def walls(json: Json = False) -> int:
    """The 22 walls and the resolver of each."""
    import mlsysim

    _table(mlsysim.walls(), json)
    return FINE


def _table(frame: Any, json: bool) -> None:
    if json:
        print(asjson.text(frame))
        return
    frame = frame.reset_index()
    show.grid([show.Column(str(c), [str(v) for v in frame[c]]) for c in frame.columns])


for question in (compare, trace):
    app.command(epilog=INPUTS)(question)
app.command(epilog=EPILOG)(run)
app.command(epilog=OF_ZOO)(zoo)
for answer in (validate, calibrate, doctor):
    app.command()(answer)
