"""Options that commands share."""

from typing import Annotated, Any

import typer

from mlsysim.cli import complete


def _names(option: str, meaning: str) -> Any:
    """An option that names outputs or inputs, which a shell completes."""
    return typer.Option(help=meaning, autocompletion=complete.option(option))


#: what stands below the options of a command that asks a resolver
INPUTS = """\b
RESOLVER: any case, with or without Model; a+b composes.
key=value: its inputs (mlsysim schema RESOLVER); --by tp may be written by=tp as well.
  tp=1,2,4  batch_size=1:257  seq_len=1024:8192:log2  hardware=h100,mi300x
  mem_bandwidth='2 TB/s:8 TB/s:linear:7'  points=table.csv"""
# hidden: typer would add its Python type to it
Words = Annotated[
    list[str] | None, typer.Argument(metavar="RESOLVER key=value", hidden=True, autocompletion=complete.words)
]
Known = Annotated[str, typer.Argument(metavar="RESOLVER", autocompletion=complete.a_resolver)]
Json = Annotated[bool, typer.Option("--json", help="Strict JSON on stdout.")]
Keep = Annotated[str | None, _names("keep", "Outputs to give, joined by commas.")]
By = Annotated[str | None, _names("by", "Axes each value of which gets an answer of its own.")]
Where = Annotated[
    list[str] | None,
    typer.Option(metavar="<str>", help="A condition on outputs, inputs or labels: \"itl < '50 ms' and tp <= 8\"."),
]
Minimize = Annotated[str | None, _names("minimize", "Outputs to minimize, joined by commas.")]
Maximize = Annotated[str | None, _names("maximize", "Outputs to maximize, joined by commas.")]
Ties = Annotated[str | None, _names("ties", "Outputs that decide among equals.")]
Out = Annotated[str | None, typer.Option(help="Write the result: a .csv, .json, .nc or .zarr file.")]
Front = Annotated[
    str | None,
    typer.Option(help="Where the front goes (default front.csv, or front-2.csv ... if it exists; none: nowhere)."),
]
Report = Annotated[
    str | None, typer.Option(metavar="FILE.html", help="Write a page to pass on, with a front to point at.")
]
Threads = Annotated[int | None, typer.Option(help="Threads (default: MLSYSIM_THREADS, or every core).")]
Resume = Annotated[
    str | None,
    typer.Option(
        metavar="DIR",
        help="Keep finished parts in this folder; the same command goes on from there when it was stopped.",
    ),
]
Workers = Annotated[str | None, typer.Option(metavar="<int>", help="Processes that do the parts, in place of threads.")]
Scheduler = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Of a dask cluster that does the parts: tcp://head:8786.")
]
Store = Annotated[
    str | None,
    typer.Option(metavar="PATH.zarr", help="Write slab by slab to a zarr store, which need not fit in memory."),
]
Objective = Annotated[str | None, _names("objective", "An output; its direction is in the schema.")]
Epsilon = Annotated[str | None, typer.Option(metavar="<float>", help="Thin the front by this relative amount.")]
Sample = Annotated[str | None, typer.Option(metavar="<int>", help="Draw what is uncertain so many times.")]
Quantile = Annotated[
    str | None,
    typer.Option(metavar="<float,...>", help="Quantiles of the draws instead of each: 0.1,0.5,0.9."),
]
Seed = Annotated[str | None, typer.Option(metavar="<int>", help="Of the draws (default 0).")]
Yes = Annotated[bool, typer.Option("--yes", help="Run what takes an hour or more.")]
