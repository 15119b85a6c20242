"""How far predictions are from measurements: `validate`."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from mlsysim.calibration import arguments
from mlsysim.calibration.part import SPEED, TARGETS
from mlsysim.calibration.problem import Problem
from mlsysim.calibration.runs import read
from mlsysim.schema.assumptions import Assumed, Assumptions

#: reasons that a text tells when every row is refused
REASONS = 10
STATISTICS = ("n", "median_ape", "mean_ape", "bias", "p90", "coverage80", "source_mean")


class Validation:
    """Predictions beside measurements (see `validate`).

    Attributes
    ----------
    kind : {"training", "serving", "cluster", "stream", "network", "operations", "vision"}
    rows : pandas.DataFrame
        One line per row and target: `row` (line in the file, header = 1), `source`, `group`, `target`, `measured`,
        `predicted`, `error` (predicted over measured, less 1), `low` and `high` (10 to 90 %), `fits`.
    refused : pandas.DataFrame
        `row` and `why`.
    suspect : int
        Rows left out because the table marks them so.
    read_as : dict
        Column -> heading that was read as it.
    said : pandas.DataFrame
        `row` and `what`: rows that were read otherwise than by their names, as a model with fewer layers.
    """

    def __init__(
        self,
        kind: str,
        n_rows: int,
        rows: pd.DataFrame,
        refused: pd.DataFrame,
        suspect: int,
        answered: int,
        read_as: Mapping[str, str] | None = None,
        said: pd.DataFrame | None = None,
    ):
        self.kind, self.n_rows, self.rows, self.refused = kind, n_rows, rows, refused
        self.suspect, self.answered, self.read_as = suspect, answered, dict(read_as or {})
        self.said = pd.DataFrame(columns=["row", "what"]) if said is None else said

    @property
    def summary(self) -> dict[str, Any]:
        """The figures, shaped as `to_json` writes them."""
        return {
            "rows": self.n_rows,
            "suspect": self.suspect,
            "answered": self.answered,
            "refused": self.refused.to_dict("records"),
            "targets": {t: statistics(self.rows[self.rows.target == t]) for t in self._told()},
            "groups": self._by("group"),
            "sources": self._by("source"),
        }

    def _told(self) -> list[str]:
        return [t for t in TARGETS if t in SPEED or (self.rows.target == t).any()]

    def _by(self, column: str) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for (name, target), rows in self.rows.groupby([column, "target"], sort=False):
            found.setdefault(str(name), {})[str(target)] = statistics(rows)
        return found

    def to_json(self, indent: int | None = None) -> str:
        """The summary as JSON text."""
        return json.dumps(self.summary, indent=indent)

    def table(self, by: str = "source") -> pd.DataFrame:
        """Statistics per `source` or `group` and target, in per cent; `level` is the median bias, `scatter` what is left."""
        lines = []
        for (target, name), rows in self.rows.groupby(["target", by], sort=False):
            entry = statistics(rows)
            ratio = np.log(rows.predicted / rows.measured)
            lines.append(
                {
                    "target": target,
                    by: name,
                    "n": entry["n"],
                    "median": 100 * entry["median_ape"],
                    "p90": 100 * entry["p90"],
                    "level": 100 * math.expm1(ratio.median()),
                    "scatter": 100 * math.expm1((ratio - ratio.median()).abs().median()),
                }
            )
        return pd.DataFrame(lines)

    def plot(self, target: str | None = None, ax: Any = None) -> Any:
        """Predicted against measured, one mark a figure (see `mlsysim.plot.parity`)."""
        from mlsysim.plot import parity

        return parity(self, ax, target)

    def __repr__(self) -> str:
        entries = []
        for target in TARGETS:
            rows = self.rows[self.rows.target == target]
            if len(rows):
                s = statistics(rows)
                entries.append(
                    f"{target} {100 * s['median_ape']:.1f} % "
                    f"(mean over sources {100 * s['source_mean']:.1f} %, n {s['n']})"
                )
        told = f"median error: {'; '.join(entries)}" if entries else "median error: none"
        if not self.answered and len(self.refused):  # why, for each reason
            counts = self.refused.why.value_counts(sort=True)
            told = "; ".join(f"{rows} refused: {why}" for why, rows in counts.head(REASONS).items())
            told += f"; and {len(counts) - REASONS} other reasons" if len(counts) > REASONS else ""
        return f"<{self.kind}: {self.answered} of {self.n_rows} rows answered; {told}>"


def statistics(rows: pd.DataFrame) -> dict[str, Any]:
    """Errors of some predictions, as fractions: absolute ones by median, mean and 90 % quantile, `bias` the signed median.

    `source_mean` is the mean over sources of their median absolute error, `coverage80` the share of measurements
    within the interval of 10 to 90 %.
    """
    if not len(rows):
        return {"n": 0, **dict.fromkeys(STATISTICS[1:])}
    off = rows.error.abs()
    inside = None
    if rows.low.notna().any():
        inside = float(((rows.measured >= rows.low) & (rows.measured <= rows.high)).mean())
    return {
        "n": len(rows),
        "median_ape": float(off.median()),
        "mean_ape": float(off.mean()),
        "bias": float(rows.error.median()),
        "p90": float(off.quantile(0.9)),
        "coverage80": inside,
        "source_mean": float(off.groupby(rows.source).median().mean()),
    }


#: draws behind an interval
SAMPLES = 100


def validate(
    runs: pd.DataFrame | str | os.PathLike[str],
    assume: Assumptions | None = None,
    sample: int = SAMPLES,
    columns: Mapping[str, Any] | None = None,
) -> Validation:
    """Predictions against measured runs.

    Parameters
    ----------
    runs : DataFrame or path
        Training runs (``measured_step_time_s`` ... and ``hardware``, ``n_gpus``, ``seq_len``, ``global_batch``, ``tp``,
        ``pp``) or serving measurements (``ttft_ms``, ``itl_ms``, ``tokens_per_s_total`` ... and ``hardware``, ``model``, ``tp``,
        ``precision``, ``scenario``, ``batch_or_concurrency``, ``input_len``, ``output_len``) or clusters whose prefill and
        decode run apart (``ttft_ms``, ``itl_ms`` and ``hardware``, ``model``, ``concurrency``, ``prefill_workers``,
        ``decode_workers`` ...; see `mlsysim.calibration.clusters`) or single streams, as
        llama-bench tells them (``measured_tokens_per_s`` and ``hardware``, ``model``, ``phase``; ``bits_per_weight`` or
        ``quant_label``, ``prompt_tokens``, ``depth_tokens``, ``gen_tokens``, ``n_devices``, ``split``, ``engine``,
        ``backend``) or collectives, as nccl-tests tells them (``measured_time_us`` or ``measured_busbw_GBps`` and ``hardware``,
        ``collective``, ``size_bytes``; ``n_nodes``, ``gpus_per_node``, ``inter_fabric``, ``ports_per_node``, ``port_Gbps``,
        ``algorithm``) or figures of operations (``area``, ``quantity``, ``value``, ``unit``; see
        `mlsysim.calibration.operations`), told apart by their columns; other columns are ignored, cells may be blank.
        Headings may be other words for serving and training columns, in any case and with a unit: resolvers' (``seq_len``,
        ``batch_size``, ``ttft``) and tools' (`mlsysim.calibration.words`).  A text file may be as a spreadsheet saved it
        (`mlsysim.calibration.text_tables`).  What tools write is read as well: ``vllm bench serve``, ``sglang.bench_serving``,
        genai-perf, aiperf, ``trtllm-bench``, MLPerf inference (`mlsysim.calibration.load_files`), logs of Megatron-LM, NeMo and
        torchtitan, ``trainer_state.json`` (`mlsysim.calibration.training_files`).  `Validation.read_as` says what was read as
        what.
    assume : Assumptions, optional
        In place of the shipped ones.  A number that it states goes before what a framework does; a fitted figure replaces
        the default, and frameworks keep their ratio to it.
    sample : int
        Draws behind the intervals of 10 to 90 %; 0 for none.
    columns : mapping, optional
        What holds for every run and is blank in the table or no column of it: ``{"hardware": "h100", "tp": 8}``.

    Returns
    -------
    Validation
        ``rows``, ``summary``, ``to_json()``.  A row with unknown hardware or model, without what its scenario needs, with text
        where a number belongs or a figure that cannot be (`mlsysim.calibration.checks`) is refused by itself and says why; rows
        with ``suspect`` = 1 are left out and counted.

    Raises
    ------
    ValueError
        No such file, no text or far too large, a missing column; an argument that is none of what is listed here.

    Notes
    -----
    What a source leaves blank follows stated rules, the same for every row: `mlsysim.calibration.training` (micro-batch,
    chunks, recomputation: the feasible combination that the model finds fastest ...) and
    `mlsysim.calibration.serving`, `mlsysim.calibration.clusters`, `mlsysim.calibration.streams`,
    `mlsysim.calibration.networks` and `mlsysim.calibration.operations`; what frameworks and engines do by default is in the zoo's
    frameworks table.
    Where a training source states only TFLOP/s or a utilization, its step time follows with its own count of operations.
    """
    assume, sample = arguments.assumed(assume), arguments.samples(sample)
    problem = Problem(read(runs, columns), assume, fixed=changed(assume))
    return predictions(problem, sample)


def changed(assume: Assumptions | None) -> list[str]:
    """Assumptions that a user stated as plain numbers: they go before what a framework does.

    A fitted one (an `Assumed`, with its source) replaces the default instead: frameworks keep their ratio to it.
    """
    if assume is None:
        return []
    return [
        n
        for n, default in Assumptions._field_defaults.items()
        if not isinstance(getattr(assume, n), Assumed) and float(getattr(assume, n)) != float(default)
    ]


def predictions(problem: Problem, sample: int = 0) -> Validation:
    """What a bound table of runs gives."""
    runs = problem.runs
    chosen = problem.chosen()
    kept = {run.position: run for run in problem.kept}
    lines: list[dict[str, Any]] = []
    answered: set[int] = set()
    for part, points in zip(problem.parts, chosen):
        drawn = part.drawn(points, sample) if sample and len(points) else {}
        for place, point in enumerate(points):
            position = int(part.rows[point])
            run = kept[position]
            told = problem.told[position]
            why = ""
            for name, measured in run.measured.items():
                target = part.targets.get(name)
                if target is None or math.isnan(target.factor[point]):
                    continue
                output = told[target.output]
                predicted = target.factor[point] * output ** target.power[point]
                if not math.isfinite(predicted) or predicted <= 0:
                    why = why or part.hole(target.output, point) or _limited(told)
                    continue
                low, high = (math.nan, math.nan) if name not in drawn else np.quantile(drawn[name][place], (0.1, 0.9))
                lines.append(
                    {
                        "row": runs.lines[position],
                        "source": run.source,
                        "group": run.group,
                        "target": name,
                        "measured": measured,
                        "predicted": predicted,
                        "error": predicted / measured - 1.0,
                        "low": float(low),
                        "high": float(high),
                        "fits": told.get("limit", 0.0) == 0.0,
                    }
                )
                answered.add(position)
            if position not in answered:
                problem.refused.setdefault(position, why or "nothing that is predicted was measured")
    columns = ["row", "source", "group", "target", "measured", "predicted", "error", "low", "high", "fits"]
    frame = pd.DataFrame(lines, columns=columns).sort_values("row", kind="stable", ignore_index=True)
    refused = pd.DataFrame(
        [{"row": runs.lines[p], "why": problem.refused[p]} for p in sorted(problem.refused)], columns=["row", "why"]
    )
    said = pd.DataFrame(
        [{"row": runs.lines[p], "what": what} for p, what in sorted(problem.said.items()) if p in answered],
        columns=["row", "what"],
    )
    return Validation(
        runs.kind, len(runs.table), frame, refused, len(problem.suspect), len(answered), runs.read_as, said
    )


def _limited(told: Mapping[str, float]) -> str:
    from mlsysim.schema.codes import Limit, label

    limit = int(told.get("limit", 0))
    return f"not possible by the model: {label(Limit(limit))}" if limit else "no finite prediction"
