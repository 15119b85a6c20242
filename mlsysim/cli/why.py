"""Why: the equations behind a number, and what sets two answers apart."""

from __future__ import annotations

from typing import Annotated

import typer

from mlsysim import grammar
from mlsysim.cli import asjson, show
from mlsysim.cli.options import Json, Threads, Words
from mlsysim.cli.request import asked
from mlsysim.cli.results import FINE


def trace(
    words: Words = None,
    output: Annotated[str | None, typer.Option(help="Only what this output rests on.")] = None,
    depth: Annotated[str | None, typer.Option(metavar="<int>", help="Equations inside equations (default 3).")] = None,
    json: Json = False,
) -> int:
    """The equations behind the outputs of one configuration: trace serving output=itl model=llama3_1_8b hardware=h100 ...

    Each with its formula, values, units and reference.
    """
    from mlsysim.why import trace as traced
    from mlsysim.why.tracing import DEPTH

    resolver, inputs, found = asked(words, {"output": output, "depth": depth}, "output")
    deep = grammar.whole("depth", found["depth"])
    answer = traced(resolver, output=found["output"], depth=DEPTH if deep is None else deep, **inputs)
    print(asjson.text(answer.table) if json else answer)
    return FINE


def compare(
    words: Words = None,
    over: Annotated[
        str | None, typer.Option(help="The axis with two values (default: the first that has two).")
    ] = None,
    threads: Threads = None,
    json: Json = False,
) -> int:
    """Two values of one input, set side by side: compare serving hardware=h100,a100 model=llama3_1_70b tp=4 ...

    Which outputs move by how much, which part explains it, which wall binds; other axes say how that changes with scale.
    """
    from mlsysim.why.comparing import along

    resolver, inputs, found = asked(words, {"over": over})
    axis = found["over"] or next((n for n, v in inputs.items() if isinstance(v, list) and len(v) == 2), None)
    if axis is None:
        raise ValueError("compare needs an input with two values, as in hardware=h100,a100")
    ds = resolver.solve(threads=threads, **inputs)
    answer = along(ds, axis)
    if json:
        print(asjson.text(answer.table))
        return FINE
    print(answer)
    if unsaid := ds.attrs.get("assumed"):
        show.note(f"assumed: {unsaid}")
    return FINE
