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
from load_settings import stated

from mlsysim.calibration import Validation, calibrate, validate
from mlsysim.calibration.runs import read
from mlsysim.calibration.validate import statistics

HERE = Path(__file__).resolve().parent
FILES = {"training": HERE / "measured" / "training.csv", "serving": HERE / "measured" / "serving.csv"}
#: predicted only: what `measure.py` found on GPUs we had in hand, runs to which one figure of their device was fitted,
#: single streams, to which the settings of llama.cpp and three curves of devices were, and collectives, to which what a call
#: costs and two shares were
PREDICTED = {f"own {kind}": HERE / "measured" / f"own_{kind}.csv" for kind in FILES} | {
    "TPU v6e training": HERE / "measured" / "trillium.csv",
    "TensorRT-LLM 1 serving": HERE / "measured" / "trtllm_1.csv",
    "mixtures serving": HERE / "measured" / "mixtures.csv",
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
#: rows that a source needs for its level to be fitted on three of them
ENOUGH = 8
SAMPLED, DRAWS = 3, 50
#: a source may get worse by this much (absolute, and relative) before the check fails
SLACK, RELATIVE = 0.005, 0.05
#: pull towards the defaults in the fits: three times their stated spread
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
    found: dict[str, Any] = {"shipped": validate(runs)}
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
    return {name: {"shipped": validate(pd.read_csv(path))} for name, path in PREDICTED.items()}


def with_intervals(result: Validation, shipped: Validation) -> Validation:
    """The shipped intervals, as wide, around other predictions."""
    key = ["row", "target"]
    known = result.rows[key].merge(shipped.rows, how="left", on=key)
    ratio = result.rows.predicted.to_numpy() / known.predicted
    rows = result.rows.assign(low=(known.low * ratio).to_numpy(), high=(known.high * ratio).to_numpy())
    return Validation(result.kind, result.n_rows, rows, result.refused, result.suspect, result.answered)


def together(files: list[Path]) -> dict[str, pd.DataFrame]:
    """Our tables, and what the files of their kind add."""
    tables = {kind: [pd.read_csv(path)] for kind, path in FILES.items()}
    for path in files:
        tables[read(path).kind].append(stated(pd.read_csv(path)))
    return {kind: pd.concat(parts, ignore_index=True) for kind, parts in tables.items()}


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


def answered(result: Validation) -> str:
    refused = len(result.refused)
    more = f", {refused} refused" if refused else ""
    return f"{result.answered} of {result.n_rows} rows answered{more}, {result.suspect} left out as suspect"


LIMITS = (
    "What is not predicted: settings that a source leaves blank follow stated rules (see `mlsysim.calibration.training` and "
    "`mlsysim.calibration.serving`), and a run that was set up otherwise is off by as much; two engines or two builds of one "
    "differ by 1.15 to 1.3 on the same load, published levels of dense training by about 15 %, of mixtures of experts by "
    "30 %. Where the level matters, calibrate on three runs of your own: the scatter is what remains."
)


#: rows of the README's table: what is shown, of which runs, groups and targets
SHOWN: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("training: time of a step", "training", "", ("step_time",)),
    ("training: memory", "training", "", ("memory_per_device",)),
    ("serving, dense: maximum load", "serving", "dense", ("tokens_per_s",)),
    ("serving, dense: time between tokens", "serving", "dense", ("itl",)),
    ("serving, dense: first token", "serving", "dense", ("ttft",)),
    ("serving, mixtures: maximum load, TensorRT-LLM 1", "TensorRT-LLM 1 serving", "moe", ("tokens_per_s",)),
    ("prefill and decode apart: time between tokens", "disaggregated", "", ("itl",)),
    ("prefill and decode apart: whole request", "disaggregated", "", ("e2e_latency",)),
    ("prefill and decode apart: first token, slots free", "disaggregated", "slots free", ("ttft",)),
    ("one stream: tokens", "single stream", "decode/", ("tokens_per_s",)),
    ("one stream: prompt", "single stream", "prefill/", ("tokens_per_s",)),
    ("wafers and SRAM chips", "single stream", "decode_per_user/", ("tokens_per_s",)),
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
    parts += [
        "Nothing known: each paper or page in turn is left out, all its sources at once, and with it every setting of a "
        "trainer, an engine or a load generator that only its runs support; its runs are predicted as those of any other "
        "trainer or engine of their family and year. Left out: each source in turn is predicted by a fit to the others. A "
        "level is what all runs of a source have in "
        "common (the median of predicted over measured), the scatter what it leaves. With the level of a dense source "
        f"found on three of its rows, the median error of its other rows is: {', '.join(after)}. Own runs were taken by "
        "`benchmarks/measure.py` on an H100 and an H200; nothing was fitted to them (that PyTorch frees gradients after a "
        "step was learned from their memory). To the runs on TPU v6e one figure was fitted, the share of peak that "
        "products reach on it; nothing to the maximum loads of TensorRT-LLM 1 on seven models and five devices, nor to "
        "DeepSeek-R1 on H200, B200 and B300 (mixtures serving): grouped products of experts follow kernels that were measured "
        "by themselves. But these runs were in view when mechanisms were chosen, and values where kernels leave a range "
        "(skew and popularity of experts, start of a fused layer, kernels of latent attention, a client's time in the front "
        "end, width of the intervals). Still too fast come out maximum loads with attention data parallelism on Hopper "
        "(GPT-OSS-120B on H100, DeepSeek-R1 with short prompts and answers, Llama 4 Maverick with long answers), too slow "
        "Maverick on Blackwell. First tokens of SGLang 0.5.10 on B300 are those of prompts five times as long as the load "
        "generator counted (`prompt_ratio`), those of 0.5.3 and 0.5.5 of a server that was not warmed up (`first_use_time`); "
        "both are columns of these runs, read in public threads. A first token that is later than all prompts fed a token a "
        "step is refused as suspect (one row of 722, of GPT-OSS-120B on H200). Clusters whose prefill and "
        "decode run apart (disaggregated) were never fitted to; the spread of their first tokens was chosen with the rows in "
        "view, and so was what to read in the engines' code and recipes: how SGLang gathers and reduces, which kernels its wide "
        "experts run, how many front ends deal requests out, how these and engines deal them to attention groups. "
        "Where clients outnumber the slots the first token is what Little's law leaves, and 5 % of the time between tokens are "
        "35 % of it. Not explained: H100s over two nodes fill fewer slots "
        "than predicted where several replicas decode, and SGLang on B200 answers prompts of 1,024 tokens seconds later than "
        "its steps take. Single streams "
        "are mostly llama.cpp: three of its settings and the curves of Apple M2 Ultra, Ryzen AI Max+ 395 and Ryzen 9 7950X "
        "were fitted to these tables, most of all to one of them, with all rows in view: no source of them was left out "
        "(nor was how surely GDDR is read). "
        "Collectives are tables of nccl-tests and rccl-tests from five sources, class by class: the steps are those of NCCL's "
        "tuning tables, and what a call costs, the share of a port and that of reducing switches were chosen with all rows "
        "in view. Of "
        "users of services, the two figures of a layer on a wafer were fitted to the launch rates of Llama 3.1 8B and 70B (4 "
        "of 7 rows), the message between chips to the four rows of Groq; rates that memory cannot deliver without drafting are "
        "refused. Of "
        "operations, rows by definition repeat a source's own account (hours times power times grid), `interruptions/own rates` "
        "the run that the rates were read off, and devices are added to the storage of `storage_supply` until their utilization "
        "is the least that MLPerf allows; hours of a training "
        "are those of the fastest layout, with failures, checkpoints and evaluation, and without what else was done in them. "
        "Networks that write no text (vision) share six figures, the same for all devices and models, that were chosen with "
        "these rows in view; their level is the bias. A picture generator in 8 bits comes out 1.6 times too fast (in 16 bits 1.1 "
        "times), processors 1.5 times.",
        "",
    ]
    parts += [LIMITS, "", "![predicted against measured](parity.png)", ""]
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
            found[name] = {"shipped": result["shipped"].summary}
            continue
        found[name] = {
            "shipped": result["shipped"].summary,
            **{which: result[which].summary for which in HELD},
            "pooled": {which: pooled(result[which]) for which in ("shipped", *HELD)},
            "levelled": {t: levelled(result["shipped"], t) for t in dict.fromkeys(result["shipped"].rows.target)}
            | {"all": levelled(result["shipped"])},
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
