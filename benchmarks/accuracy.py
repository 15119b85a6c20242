"""How far predictions are from published measurements: `python benchmarks/accuracy.py [--json] [--write] [--check] [--accept]`.

Prints, per source, three errors: of runs of which nothing is known (their publication left out of the fit, and with it every
setting that only its runs support), of runs whose source is left out of the fit, and of the shipped assumptions;
level (the median bias) and scatter (what one level per source leaves) apart.  ``--write`` writes ACCURACY.md and the
README's section, and draws the parity picture; ``--check`` fails when a source is worse than the accepted error in
``accepted.json`` and says which figure moved and by how much; ``--accept`` writes that file.  Further CSV files of
measured runs may be named: they are fitted together with ours of their kind, with the settings of their launch scripts
(`load_settings`) where they are silent.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from coverage_groups import LEAST, WITHIN, coverage
from load_settings import stated

from mlsysim.calibration import Validation, calibrate, validate
from mlsysim.calibration.runs import MEASURED, NEEDED, read
from mlsysim.calibration.validate import statistics

HERE = Path(__file__).resolve().parent
FILES = {
    "training": [HERE / "measured" / "training.csv"],
    "serving": [HERE / "measured" / "serving.csv", HERE / "measured" / "mixtures.csv"],
}
#: predicted only: what `measure.py` found on GPUs we had in hand, runs to which one figure of their device was fitted,
#: single streams, to which the settings of llama.cpp and three curves of devices were, and collectives, to which what a call
#: costs and two shares were
PREDICTED = {f"own {kind}": HERE / "measured" / f"own_{kind}.csv" for kind in FILES} | {
    "TPU v6e training": HERE / "measured" / "trillium.csv",
    "TensorRT-LLM 1 serving": HERE / "measured" / "trtllm_1.csv",
    "disaggregated": HERE / "measured" / "disaggregated.csv",
    "single stream": HERE / "measured" / "edge.csv",
    "collectives": HERE / "measured" / "networks.csv",
    "operations": HERE / "measured" / "operations.csv",
    "vision": HERE / "measured" / "vision.csv",
}
#: kinds that are told by area and class of device, not by source
BY_GROUP = ("stream", "network", "operations", "vision")
#: predictions of runs that were not fitted, the most honest first
HELD = ("unknown", "left_out")
ACCEPTED = HERE / "accepted.json"
FULL = HERE / "ACCURACY.md"
#: a section that `peers.py --write` makes and this script takes in
PEERS = HERE / "peers.md"
#: what must be known of these figures, in words
NOTES = HERE / "accuracy_notes.md"
#: rows that a source needs for its level to be fitted on three of them
ENOUGH = 8
SAMPLED, DRAWS = 3, 50
#: a source may get worse by this much (absolute, and relative) before the check fails
SLACK, RELATIVE = 0.005, 0.05
#: pull towards the defaults in the fits: three times their stated spread (they were read off all runs, and a strong pull would
#: bring those that are left out back in)
PRIOR = 3.0
#: of the fits: some published rows are off for reasons of their own (requests that waited for a batch limit, drafted
#: tokens), and lose their say the further off they are
LOSS = "cauchy"
SHORT = (
    ("github.com/", ""),
    ("docs/source/performance/", ""),
    ("aiconfigurator 0.12.0 (PyPI, Apache-2.0) silicon_sample.csv ", ""),
)


def levelled(result: Validation, target: str | None = None, seed: int = 0) -> float | None:
    """Median error after one level per source, found on three of its rows (median over draws; dense, 8 rows or more).

    Of one target, or of all that the rows state, each with its level.
    """
    rng = np.random.default_rng(seed)
    rows = result.rows[result.rows.group.str.startswith("dense")]
    rows = rows if target is None else rows[rows.target == target]
    off = []
    for _, here in rows.groupby("source"):
        runs = here.row.unique()
        if len(runs) < ENOUGH:
            continue
        ratio, known = np.log(here.predicted / here.measured), here.target
        draws = []
        for _ in range(DRAWS):
            chosen = here.row.isin(rng.permutation(runs)[:SAMPLED])
            level = ratio[chosen].groupby(known[chosen]).median()
            rest = ~chosen & known.isin(level.index)
            draws.append(np.median(np.abs(np.expm1(ratio[rest] - known[rest].map(level)))))
        off.append(float(np.median(draws)))
    return float(np.mean(off)) if off else None


def measure(runs: pd.DataFrame, left_out: bool = True) -> dict[str, Any]:
    """The shipped assumptions on a table; each source left out of a fit to the others; each publication with its settings.

    What frameworks do by figures that were read off these runs is fitted anew, too (`refit`).
    """
    found: dict[str, Any] = {"shipped": validate(runs), "runs": runs}
    if left_out:
        how: dict[str, Any] = {"loss": LOSS, "bootstrap": 0, "prior": PRIOR, "refit": True}
        fit, strange = (calibrate(None, runs, holdout=which, **how) for which in ("source", "publication"))
        found |= {
            "unknown": strange.held_out,
            "left_out": with_intervals(fit.held_out, found["shipped"]),
            "fit": fit,
        }
    return found


def predicted() -> dict[str, dict[str, Any]]:
    """Runs that are only predicted."""
    tables = {name: pd.read_csv(path) for name, path in PREDICTED.items()}
    return {name: {"shipped": validate(runs), "runs": runs} for name, runs in tables.items()}


def with_intervals(result: Validation, shipped: Validation) -> Validation:
    """The shipped intervals, as wide, around other predictions."""
    key = ["row", "target"]
    known = result.rows[key].merge(shipped.rows, how="left", on=key)
    ratio = result.rows.predicted.to_numpy() / known.predicted
    rows = result.rows.assign(low=(known.low * ratio).to_numpy(), high=(known.high * ratio).to_numpy())
    return Validation(result.kind, result.n_rows, rows, result.refused, result.suspect, result.answered)


def together(files: list[Path]) -> dict[str, pd.DataFrame]:
    """Our tables, and what the files of their kind add: a measurement that an earlier one holds counts once."""
    tables = {kind: pd.concat(map(pd.read_csv, paths), ignore_index=True) for kind, paths in FILES.items()}
    for path in files:
        kind, more = read(path).kind, stated(pd.read_csv(path))
        same = list(dict.fromkeys([*NEEDED[kind], "model", *MEASURED[kind]]))
        here, there = (pd.MultiIndex.from_frame(table.reindex(columns=same)) for table in (more, tables[kind]))
        tables[kind] = pd.concat([tables[kind], more[~here.isin(there)]], ignore_index=True)
    return tables


def pooled(result: Validation) -> dict[str, dict[str, Any]]:
    """Statistics of dense and MoE models apart, and of maximum load by itself."""
    rows = result.rows
    found = {}
    for name in ("dense", "moe", "dense/max_load", "moe/max_load"):
        here = rows[(rows.group == name) if "/" in name else rows.group.str.startswith(name)]
        found[name] = {t: statistics(here[here.target == t]) for t in dict.fromkeys(here.target)}
    return found


def short(source: str) -> str:
    for long, brief in SHORT:
        source = source.replace(long, brief)
    parts = [p.strip() for p in source.split("|")]
    return ", ".join(parts[1:]) if len(parts) > 1 else source


def table(result: dict[str, Any]) -> str:
    """Per source (some kinds: per class) and target: errors where nothing is known, left out, and shipped, level and scatter."""
    by = "group" if result["shipped"].kind in ("network", "vision") else "source"
    shipped = result["shipped"].table(by).rename(columns={by: "source"})
    held = {
        which: {(r.target, r.source): f"{r.median:.1f}" for r in result[which].table().itertuples()}
        for which in HELD
        if which in result
    }
    lines = [
        "| target | source | n | nothing known % | left out % | shipped: median error % | 90 % within | level | scatter |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for r in shipped.itertuples():
        unseen = " | ".join(held.get(which, {}).get((r.target, r.source), "") for which in HELD)
        ours = f"{r.median:.1f} | {r.p90:.1f} | {r.level:+.1f} | {r.scatter:.1f}"
        lines.append(f"| {r.target} | {short(r.source)} | {r.n} | {unseen} | {ours} |")
    return "\n".join(lines)


def groups_of(result: Validation) -> tuple[str, ...]:
    """What is told apart in a line of its own: dense models and mixtures, phases and classes of device."""
    if result.kind == "vision":
        return tuple(sorted(set(result.rows.group)))
    if result.kind == "stream":
        return ("prefill/", "decode/", *sorted(set(result.rows.group)))
    if result.kind == "cluster":
        return ("", *sorted({group.split("/")[0] for group in result.rows.group}))
    if result.kind == "network":
        return tuple(dict.fromkeys(group.split(":")[0] for group in sorted(result.rows.group, reverse=True)))
    if result.kind == "operations":
        return tuple(sorted(set(result.rows.group)))
    return ("dense", "moe") if result.kind == "serving" else ("",)


def overview(results: dict[str, dict[str, Any]]) -> str:
    """One line per target: pooled error, mean over sources, coverage; of runs of which nothing is known, left out, shipped."""
    lines = [
        "| runs | target | n | nothing known: median error % | mean over sources % | within 10-90 % | left out: median "
        "| mean over sources | within 10-90 % | shipped: median | mean over sources | within 10-90 % |",
        f"|---|---|{'--:|' * 10}",
    ]
    for name, result in results.items():
        groups = groups_of(result["shipped"])
        for group in groups:
            for target in dict.fromkeys(result["shipped"].rows.target):
                found = {
                    which: statistics(v.rows[(v.rows.target == target) & v.rows.group.str.startswith(group)])
                    for which in (*HELD, "shipped")
                    if (v := result.get(which)) is not None
                }
                if not found["shipped"]["n"]:
                    continue
                figures = " | ".join(_three(found.get(which)) for which in (*HELD, "shipped"))
                lines.append(
                    f"| {name}{' ' + group.rstrip('/') if group else ''} | {target} | {found['shipped']['n']} | {figures} |"
                )
    return "\n".join(lines)


def _three(s: dict[str, Any] | None) -> str:
    """Median, mean over sources and coverage, as cells."""
    return (
        " | | "
        if s is None
        else f"{100 * s['median_ape']:.1f} | {100 * s['source_mean']:.1f} | {100 * s['coverage80']:.0f} %"
    )


def held(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """How often intervals hold, group by group, where nothing is known; of runs that are only predicted, as shipped."""
    return coverage(result.get("unknown", result["shipped"]), result["runs"])


def groups_held(results: dict[str, dict[str, Any]]) -> str:
    """The same as a table, and which groups are out."""
    least, most = (f"{100 * share:.0f}" for share in WITHIN)
    lines = ["| runs | group | n | sources | within 10-90 % |", "|---|---|--:|--:|--:|"]
    out, number = [], 0
    for name, result in results.items():
        for group, told in held(result).items():
            share = f"{100 * told['coverage80']:.0f} %"
            lines.append(f"| {name} | {group} | {told['n']} | {told['sources']} | {share} |")
            number += 1
            out += [] if told["holds"] else [f"{name}, {group} ({share})"]
    head = f"{number} groups of {LEAST} rows and more; outside of {least} to {most} %: {'; '.join(out) or 'none'}"
    return "\n".join(
        [
            "<details><summary>How often intervals hold, group by group</summary>",
            "",
            f"{head}.",
            "",
            *lines,
            "",
            "</details>",
        ]
    )


def answered(result: Validation) -> str:
    refused = len(result.refused)
    more = f", {refused} refused" if refused else ""
    return f"{result.answered} of {result.n_rows} rows answered{more}, {result.suspect} left out as suspect"


#: rows of the README's table: what is shown, of which runs, groups and targets
SHOWN: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("training: time of a step", "training", "", ("step_time",)),
    ("training: memory", "training", "", ("memory_per_device",)),
    ("serving, dense: maximum load", "serving", "dense", ("tokens_per_s",)),
    ("serving, dense: time between tokens", "serving", "dense", ("itl",)),
    ("serving, dense: first token", "serving", "dense", ("ttft",)),
    ("mixtures: time between tokens", "serving", "moe", ("itl",)),
    ("mixtures: maximum load, TensorRT-LLM 1", "TensorRT-LLM 1 serving", "moe", ("tokens_per_s",)),
    ("prefill and decode apart: time between tokens", "disaggregated", "", ("itl",)),
    ("prefill and decode apart: whole request", "disaggregated", "", ("e2e_latency",)),
    ("prefill and decode apart: first token, slots free", "disaggregated", "slots free", ("ttft",)),
    ("one stream: tokens", "single stream", "decode/", ("tokens_per_s",)),
    ("one stream: prompt", "single stream", "prefill/", ("tokens_per_s",)),
    ("vision, servers (MLPerf)", "vision", "mlperf_inference/", ("samples_per_s",)),
    ("vision, PyTorch", "vision", "framework/", ("samples_per_s",)),
    ("microcontrollers (MLPerf Tiny)", "vision", "mlperf_tiny/", ("samples_per_s",)),
    ("collectives in a node", "collectives", "one node", ("collective_time",)),
    ("collectives between nodes", "collectives", "many nodes", ("collective_time",)),
    ("energy and carbon of trainings", "operations", "training_energy", ("energy", "carbon")),
    ("device-hours of trainings", "operations", "training_hours", ("device_hours",)),
)


def brief(results: dict[str, dict[str, Any]]) -> str:
    """The section of the README: one line an area."""
    lines = [
        "| what | rows | nothing known: median error % (mean over sources) | shipped | within 10-90 % |",
        "|---|--:|--:|--:|--:|",
    ]
    for shown, name, group, targets in SHOWN:
        cells = []
        for which in ("shipped", "unknown"):
            rows = results[name][which].rows if which in results[name] else None
            s = None if rows is None else statistics(rows[rows.target.isin(targets) & rows.group.str.startswith(group)])
            cells.append(s)
        ours, strange = cells
        assert ours is not None
        told = [f"{100 * s['median_ape']:.1f} ({100 * s['source_mean']:.1f})" if s else "" for s in cells]
        inside = (strange or ours)["coverage80"]
        lines.append(f"| {shown} | {ours['n']} | {told[1]} | {told[0]} | {100 * inside:.0f} % |")
    return "\n".join(
        [
            *lines,
            "",
            "Nothing known: a paper or page is left out of the fit with every setting that only its runs support, and "
            "predicted as any run of its family and year; the last column is of that where it is there. Sources, and what "
            "is not predicted: [benchmarks/ACCURACY.md](benchmarks/ACCURACY.md).",
        ]
    )


def markdown(results: dict[str, dict[str, Any]]) -> str:
    """What `FULL` says."""
    parts = ["# Accuracy", "", "Written by `python benchmarks/accuracy.py --write`.", "", overview(results), ""]
    after = [
        f"{target or 'all figures'} of {name} {100 * value:.1f} %"
        for name, result in results.items()
        if name in FILES
        for target in (None, "step_time", "itl", "ttft", "tokens_per_s")
        if (value := levelled(result["shipped"], target)) is not None
    ]
    parts += [NOTES.read_text(encoding="utf-8").rstrip().replace("{levelled}", ", ".join(after)), ""]
    parts += ["![predicted against measured](parity.png)", ""]
    parts += [groups_held(results), ""]
    if PEERS.exists():
        parts += [PEERS.read_text(encoding="utf-8").rstrip(), ""]
    for name, result in results.items():
        head = f"{name}, source by source ({answered(result['shipped'])})"
        parts += [f"<details><summary>{head}</summary>", "", table(result), "", "</details>", ""]
    return "\n".join(parts).rstrip()


def summary(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What ``--json`` prints."""
    found: dict[str, Any] = {}
    for name, result in results.items():
        if name in PREDICTED:
            found[name] = {"shipped": result["shipped"].summary, "coverage": held(result)}
            continue
        found[name] = {
            "shipped": result["shipped"].summary,
            **{which: result[which].summary for which in HELD},
            "pooled": {which: pooled(result[which]) for which in ("shipped", *HELD)},
            "levelled": {t: levelled(result["shipped"], t) for t in dict.fromkeys(result["shipped"].rows.target)}
            | {"all": levelled(result["shipped"])},
            "coverage": held(result),
            "fit": result["fit"].table.to_dict("records"),
        }
    return found


def errors(results: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Median error of the shipped assumptions, per source and target (of single streams: per phase and class of device, of
    collectives: per number of nodes, size and kind)."""
    found = {}
    for name, result in results.items():
        by = "group" if result["shipped"].kind in BY_GROUP else "source"
        lines = result["shipped"].table(by).to_dict("records")
        found[name] = {f"{line['target']} | {line[by]}": round(line["median"] / 100, 4) for line in lines}
    return found


def worse(results: dict[str, dict[str, Any]], accepted: dict[str, dict[str, float]]) -> list[str]:
    """Which figure is worse than accepted, and by how much."""
    moved = []
    for name, figures in errors(results).items():
        for key, now in figures.items():
            before = accepted.get(name, {}).get(key)
            if before is not None and now > before + SLACK + RELATIVE * before:
                moved.append(f"{name}: {key}: {100 * before:.1f} % accepted, now {100 * now:.1f} %")
        gone = [key for key in accepted.get(name, {}) if key not in figures]
        moved += [f"{name}: {key}: no longer predicted" for key in gone]
    return moved


def draw(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Parity of training step time and of serving figures."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from mlsysim.plot import parity

    wanted = [("training", "step_time"), ("serving", "tokens_per_s"), ("serving", "itl")]
    wanted = [(n, t) for n, t in wanted if n in results and t in set(results[n]["shipped"].rows.target)]
    figure, axes = plt.subplots(1, len(wanted), figsize=(5 * len(wanted), 5), layout="constrained", squeeze=False)
    for ax, (name, target) in zip(axes[0], wanted):
        parity(results[name]["shipped"], ax, target)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="further CSV files of measured runs")
    for name, text in (
        ("json", "print figures as JSON"),
        ("write", "write the README's section and the picture"),
        ("check", "fail when a source is worse than accepted"),
        ("accept", "accept the present errors"),
    ):
        parser.add_argument(f"--{name}", action="store_true", help=text)
    asked = parser.parse_args(arguments)
    if asked.files and (asked.write or asked.accept or asked.check):
        parser.error("--write, --accept and --check concern our own files")
    every = asked.json or asked.write or not (asked.accept or asked.check)
    results = {kind: measure(runs, left_out=every) for kind, runs in together(asked.files).items()} | predicted()
    if asked.json:
        print(json.dumps(summary(results), indent=1))
    elif every:
        print(markdown(results))
    if asked.write:
        from readme import fill

        draw(results, HERE / "parity.png")
        FULL.write_text(markdown(results) + "\n", encoding="utf-8")
        fill("accuracy", brief(results))
    if asked.accept:
        ACCEPTED.write_text(json.dumps(errors(results), indent=1) + "\n", encoding="utf-8")
    if asked.check:
        moved = worse(results, json.loads(ACCEPTED.read_text(encoding="utf-8")))
        for line in moved:
            print(line, file=sys.stderr)
        return 1 if moved else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
