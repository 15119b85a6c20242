"""Measured runs: ``mlsysim validate FILE`` and ``mlsysim calibrate FILE``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlsysim import grammar
from mlsysim.cli import asjson, show, template
from mlsysim.cli.options import Json
from mlsysim.cli.results import FINE, NOTHING, named, progress, say

if TYPE_CHECKING:
    import pandas as pd

    from mlsysim.calibration import Validation

File = Annotated[
    str,
    typer.Argument(metavar="FILE", help="A CSV file of measured runs, or what a load generator or a trainer wrote."),
]
Table = Annotated[
    str | None,
    typer.Argument(metavar="FILE", help="As for validate; with --template: serving (the default) or training."),
]
Columns = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[column=value]...", help="What holds for every run, as in hardware=h100 tp=8 precision=fp8."
    ),
]
#: refused rows that are told one by one
SHOWN = 10
#: reasons that are told when every row is refused
REASONS = 3


def validate(
    file: File,
    columns: Columns = None,
    assume: Annotated[str | None, typer.Option(help="Figures that `calibrate --out` wrote.")] = None,
    against: Annotated[
        str | None, typer.Option(help="The same, and tell how far off these runs were when they were fitted.")
    ] = None,
    fail_above: Annotated[
        str | None,
        typer.Option(
            metavar="<share>",
            help="Exit 2 when the median error of a target is above this (10 %), or no row is answered: for a regression run.",
        ),
    ] = None,
    json: Json = False,
) -> int:
    """Predictions against measured runs, per source.

    A table of serving measurements, a line a run (a blank cell: not known):

    \b
    model,hardware,tp,precision,scenario,batch_or_concurrency,input_len,output_len,ttft_ms,itl_ms
    llama3_1_8b,h100,1,bf16,closed_loop,64,1024,256,412,13.1

    One of training runs:

    \b
    model,hardware,n_gpus,seq_len,global_batch,tp,pp,micro_batch,measured_step_time_s
    llama3_1_70b,h100,512,8192,512,8,4,1,8.9

    Headings may be other words for these (gpu, isl, concurrency, tpot, gbs, step time ...), with a unit, as in TTFT (s); a time
    says its unit. An odd row is refused by itself. mlsysim calibrate --template prints a table to fill in.

    What vllm bench serve, sglang.bench_serving, genai-perf, aiperf, trtllm-bench --report_json, MLPerf inference
    (mlperf_log_summary.txt), Megatron-LM, NeMo and torchtitan (logs) and transformers (trainer_state.json) write is read, too;
    what a file does not say stands beside it:
    mlsysim validate result.json hardware=h100 tp=1 precision=bf16

    A regression run (exit 2 where a target is off by more than the limit, with the figures of the fit):
    mlsysim validate runs.csv --against fit.toml --fail-above "10 %"
    """
    from mlsysim.calibration import Calibration, regression
    from mlsysim.calibration import validate as answer

    if assume is not None and against is not None:
        raise ValueError("--assume and --against both name figures: give one of them")
    given = grammar.pairs(columns)
    above = None if fail_above is None else regression.limit(fail_above)
    fit = None if against is None and assume is None else Calibration.from_toml(str(against or assume))
    result = answer(file, None if fit is None else fit.assumptions, columns=given)
    verdicts = [] if above is None else regression.judged(result, above, fit if against is not None else None)
    failed = above is not None and not (verdicts and all(v.holds for v in verdicts))
    if json:
        content = result.summary | {"read_as": result.read_as, "said": result.said.to_dict("records")}
        if above is not None:
            content["judged"] = [v._asdict() for v in verdicts]
        print(asjson.text(content))
        return NOTHING if failed else FINE
    _tell(result)
    if above is not None:
        for verdict in verdicts:
            say(verdict.told(above))
        if not verdicts:
            say("no row is answered, so nothing holds: FAILS")
    elif against is not None and fit is not None:
        for verdict in regression.judged(result, 1.0, fit):
            say(verdict.told(1.0).rsplit(",", 1)[0])
    return NOTHING if failed else FINE


def _tell(result: Validation) -> None:
    """Errors per source, what was read as what, and what was refused."""
    if result.answered:
        _table(result)
        say(f"{result!r}"[1:-1])
    else:  # no error to tell
        say(f"{result.kind}: none of {show.count(result.n_rows, 'row')} is answered")
    if result.read_as:
        say(
            "read "
            + ", ".join(f"{heading} as {column}" for column, heading in result.read_as.items() if heading != column)
        )
    for what, rows in result.said.groupby("what", sort=False):
        say(f"{show.count(len(rows), 'row')} {what}")
    if result.suspect:
        say(f"{show.count(result.suspect, 'row')} left out as suspect")
    _refusals(result)


def _refusals(result: Validation) -> None:
    """Which rows are refused, and why; where none is answered, why for each reason."""
    if not result.answered and len(result.refused):
        reasons = result.refused.why.value_counts(sort=True)
        for why, rows in reasons.head(REASONS).items():
            say(f"{show.count(rows, 'row')} refused: {why}")
        if len(reasons) > REASONS:
            say(f"... and for {show.count(len(reasons) - REASONS, 'other reason')} (--json names them)")
        return
    for row, why in result.refused.head(SHOWN).itertuples(index=False):
        say(f"line {row}: {why}")
    if len(result.refused) > SHOWN:
        say(f"... and {len(result.refused) - SHOWN} more lines refused")


def calibrate(
    file: Table = None,
    columns: Columns = None,
    fit: Annotated[str | None, typer.Option(help="Figures to fit, joined by commas (default: the usual ones).")] = None,
    by: Annotated[str | None, typer.Option(help="A column, such as hardware: figures for each of its values.")] = None,
    loss: Annotated[str, typer.Option(help="linear, soft_l1, huber or cauchy.")] = "soft_l1",
    holdout: Annotated[bool, typer.Option(help="Leave each source out in turn.")] = True,
    out: Annotated[str | None, typer.Option(help="Write the figures: a .toml file.")] = None,
    plot: Annotated[str | None, typer.Option(help="Draw predicted against measured: a .png file.")] = None,
    blank: Annotated[
        bool,
        typer.Option(
            "--template", help="Print a CSV to fill in, headings and an example row: --template serving or training."
        ),
    ] = False,
    json: Json = False,
) -> int:
    from mlsysim.calibration import calibrate as answer

    if blank:
        print(template.table(file or "serving"), end="")
        return FINE
    if file is None:
        raise ValueError("name a file of measured runs; --template prints one to fill in")
    with progress(noun="fits") as tell:
        result = answer(
            None,
            file,
            fit=grammar.listed(fit) or None,
            by=by,
            loss=loss,
            holdout="source" if holdout else None,
            progress=tell,
            columns=grammar.pairs(columns),
        )
    if plot is not None:
        with named(plot):
            result.plot().figure.savefig(plot, dpi=120)
    if out is not None:
        with named(out):
            result.to_toml(out)
    if json:
        content = {"figures": result.table, "about": result.about}
        for name in ("before", "fitted", "held_out"):
            found = getattr(result, name)
            content[name] = None if found is None else found.summary
        print(asjson.text(content))
        return FINE
    table = result.table
    shown = {
        "figure": table.name,
        "for": table.group,
        "value": _numbers(table.value),
        "2.5 %": _numbers(table.low, "not identified"),
        "97.5 %": _numbers(table.high),
        "default": _numbers(table.default),
        "why": list(table.why),
    }
    if by is None:
        del shown["for"]
    if table.identified.all():
        del shown["why"]
    show.grid([show.Column(head, [str(v) for v in cells]) for head, cells in shown.items()])
    for name, found in (
        ("before", result.before),
        ("fitted", result.fitted),
        ("each source left out", result.held_out),
    ):
        if found is not None:
            say(f"{name}: {found!r}".replace("<", "").replace(">", ""))
    if result.before is not None:
        _refusals(result.before)
    for line in result.told_worse():
        say(f"worse: {line}; fit other figures, or only those that these runs identify")
    for where in (out, plot):
        if where is not None:
            say(f"written to {where}")
    return FINE


calibrate.__doc__ = "\n\n".join(
    (
        "Fit assumptions or hardware figures to measured runs.",
        'What cannot be told from the runs is "not identified" and has no interval; a target that the fit makes worse is named. '
        "--out writes the figures, the residuals, a digest of the runs and the version: validate --against reads them.",
        template.meanings(),
    )
)


def _numbers(column: pd.Series, unknown: str = "") -> list[str]:
    return [unknown if v != v else f"{v:.4g}" for v in column]


def _table(result: Validation) -> None:
    lines = result.table()
    heads = {
        "target": lines.target,
        "source": [s if len(s) < 60 else f"...{s[-56:]}" for s in lines.source],
        "n": lines.n,
        "median error %": [f"{v:.1f}" for v in lines["median"]],
        "90 % within": [f"{v:.1f}" for v in lines.p90],
        "level": [f"{v:+.1f}" for v in lines.level],
        "scatter": [f"{v:.1f}" for v in lines.scatter],
    }
    show.grid([show.Column(head, [str(v) for v in cells]) for head, cells in heads.items()])
