"""aiconfigurator beside us, row by row: the same measured serving rows, told by group (`peers.py` runs it).

Both are told the same: model, device, degrees, formats, lengths and clients as `mlsysim.calibration.serving` reads a row,
blanks filled by its rules.  The neighbour answers from kernel tables of the engine's current version, whatever
version was measured; an engine that it has no tables for is asked as TensorRT-LLM and told in a line of its own.
Rows that it has no device, model or table for, or that do not fit by its own account, are counted; errors are compared on
rows that both answer.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from accuracy import LOSS, PRIOR
from load_settings import stated

from mlsysim.calibration import calibrate, frameworks, serving, validate
from mlsysim.calibration.runs import read
from mlsysim.calibration.serving import Question
from mlsysim.schema.codes import Precision

HERE = Path(__file__).resolve().parent
FILES = (HERE / "measured" / "serving.csv", HERE / "measured" / "trtllm_1.csv")
ASK = HERE / "ask_aiconfigurator.py"
#: our keys -> its names
SYSTEMS = {
    "a100_sxm4_80gb": "a100_sxm",
    "h100_sxm5_80gb": "h100_sxm",
    "h200_sxm_141gb": "h200_sxm",
    "b200_sxm_180gb": "b200_sxm",
    "b300_sxm_288gb": "b300_sxm",
    "gb200_per_gpu": "gb200",
    "l40s": "l40s",
    "rtx_pro_6000_server": "rtx_pro_6000_server",
}
BACKENDS = {"tensorrt_llm": "trtllm", "sglang": "sglang", "vllm": "vllm"}
#: the engine that another is asked as
STAND_IN = "trtllm"
LLAMA, MIXTRAL = ("LlamaForCausalLM", "llama"), ("MixtralForCausalLM", "mixtral")
#: models: a configuration that it ships (another of 4-bit weights), or the architecture for one that we write
MODELS: dict[str, str | tuple[str, str]] = {
    "llama2_7b": LLAMA,
    "llama2_13b": LLAMA,
    "llama2_70b": LLAMA,
    "mixtral_8x7b": MIXTRAL,
    "llama3_1_8b": "meta-llama/Meta-Llama-3.1-8B",
    "llama3_1_70b": "meta-llama/Meta-Llama-3.1-70B",
    "llama3_3_70b": "meta-llama/Meta-Llama-3.1-70B",
    "llama3_1_405b": "meta-llama/Meta-Llama-3.1-405B",
    "llama4_maverick": "meta-llama/Llama-4-Maverick-17B-128E-Instruct",
    "qwen3_8b": "Qwen/Qwen3-8B",
    "qwen3_32b": "Qwen/Qwen3-32B",
    "qwen3_30b_a3b": "Qwen/Qwen3-30B-A3B",
    "qwen3_235b_a22b": "Qwen/Qwen3-235B-A22B",
    "deepseek_v3_671b": "deepseek-ai/DeepSeek-V3",
    "deepseek_r1_671b": "deepseek-ai/DeepSeek-R1",
    "gpt_oss_20b": "openai/gpt-oss-20b",
    "gpt_oss_120b": "openai/gpt-oss-120b",
}
FOUR_BIT = {
    "qwen3_235b_a22b": "nvidia/Qwen3-235B-A22B-NVFP4",
    "deepseek_r1_671b": "nvidia/DeepSeek-V3.1-NVFP4",
}
#: what it recommends for experts in MXFP4 on devices that have 4-bit products
OSS_ON_BLACKWELL = "w4a8_mxfp4_mxfp8"
#: rows of a table asked of its public entry as well: every so many
EVERY = 12
#: model and layout at which both are timed
TIMED = ("a100_sxm", "llama2_70b", 4)
OWN = "aiconfigurator"


def configuration(model: Any, architecture: tuple[str, str]) -> dict[str, Any]:
    """A model's configuration file, as its publishers write it."""
    shape = {
        "architectures": [architecture[0]],
        "model_type": architecture[1],
        "num_hidden_layers": int(model["n_layers"]),
        "hidden_size": int(model["hidden"]),
        "num_attention_heads": int(model["n_heads"]),
        "num_key_value_heads": int(model["n_kv_heads"]),
        "head_dim": int(model["head_dim"]),
        "intermediate_size": int(model["ffn_hidden"]),
        "vocab_size": int(model["vocab"]),
        "max_position_embeddings": 32768,
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": False,
    }
    if model["n_experts"]:
        shape |= {"num_local_experts": int(model["n_experts"]), "num_experts_per_tok": int(model["experts_per_token"])}
    return shape


def formats(run: Mapping[str, Any], asked: Question, key: str, named: str) -> dict[str, str | None]:
    """Formats under its names; those of a checkpoint that it ships as such are its own business."""
    cache = {"kvcache_quant_mode": "fp8" if asked.inputs["kv_precision"] == Precision.FP8 else "bfloat16"}
    if key.startswith("gpt_oss") and asked.inputs["hardware"]["peak_fp4"] and backend(run) == "trtllm":
        return {"gemm_quant_mode": None, "moe_quant_mode": OSS_ON_BLACKWELL, **cache}
    if key.startswith("gpt_oss") or named in FOUR_BIT.values():
        return {"gemm_quant_mode": None, "moe_quant_mode": None, **cache}
    label = str(run["precision"]).lower()
    blocks = key.startswith("deepseek") or run.get("precision_weights") == "fp8_block"
    mode = {"fp8": "fp8_block" if blocks else "fp8", "nvfp4": "nvfp4"}.get(label, "bfloat16")
    return {"gemm_quant_mode": mode, "moe_quant_mode": mode, **cache}


def request(run: Mapping[str, Any], asked: Question, is_public: bool) -> dict[str, Any] | str:
    """A row as a question to the neighbour, or what it has not: "device" or "model"."""
    inputs = asked.inputs
    workload = inputs["model"]
    system, known = SYSTEMS.get(inputs["hardware"].key), MODELS.get(workload.key)
    if system is None:
        return "device"
    if known is None:
        return "model"
    named = known if isinstance(known, str) else str(workload.key)
    if str(run["precision"]).lower() == "nvfp4":
        named = FOUR_BIT.get(workload.key, named)
    tp, ep = int(inputs["tp"]), int(inputs["ep"])
    groups = max(ep // tp, 1)
    clients = inputs.get("users", inputs.get("batch_size", groups))
    return {
        "kind": asked.resolver,
        "system": system,
        "backend": backend(run),
        "model": named,
        "config": None if isinstance(known, str) else configuration(workload, known),
        "experts": bool(workload["n_experts"]),
        "tp": tp,
        "pp": int(inputs["pp"]),
        "ep": ep,
        "dp": groups,
        "batch": max(int(np.ceil(clients / groups)), 1),
        "isl": int(inputs["seq_len"]),
        "osl": max(int(inputs["output_len"]), 2),
        "chunk": int(inputs["prefill_chunk"]),
        "max_batch": int(inputs.get("max_batch", 0)),
        "public": is_public,
        "timed": asked.resolver == "serving" and (system, str(workload.key), tp) == TIMED,
        **formats(run, asked, workload.key, named),
    }


def engine_of(run: Mapping[str, Any]) -> str | None:
    found = frameworks.recognise("engine", [run.get("framework"), run.get("engine")])
    return None if found is None else str(found["framework"])


def backend(run: Mapping[str, Any]) -> str:
    return BACKENDS.get(engine_of(run) or "", STAND_IN)


def group_of(run: Mapping[str, Any], asked: Question, target: str) -> str:
    """Whose data, dense or mixture, what was asked, and the engine if the neighbour has no tables for it."""
    whose = "its own data" if OWN in str(run["source"]) else "published"
    kind = "mixtures" if asked.inputs["model"]["n_experts"] else "dense"
    what = {"itl": "time between tokens", "ttft": "first token"}.get(target, "rate of a batch")
    if run["scenario"] == "max_load":
        what = "maximum load"
    other = "" if (engine_of(run) or "") in BACKENDS else f" ({str(run['engine']).split()[0]}, asked as TensorRT-LLM)"
    return f"{whose}: {kind}, {what}{other}"


def asked_of(path: Path) -> pd.DataFrame:
    """One line a row and target of a table: measured, ours, and the question to the neighbour."""
    runs = read(stated(pd.read_csv(path)))
    lines = []
    rows = runs.table.to_dict("records")
    for line in validate(runs.table, sample=0).rows.itertuples():
        run = rows[line.row - 2]
        asked = serving.question(run)
        lines.append(
            {
                "file": path.name,
                "row": line.row,
                "source": line.source,
                "group": group_of(run, asked, line.target),
                "target": line.target,
                "spec": asked.targets[line.target],
                "measured": line.measured,
                "ours": line.predicted,
                "request": request(run, asked, is_public=line.row % EVERY == 2),
            }
        )
    return pd.DataFrame(lines)


def ask(python: Path, requests: list[dict[str, Any]], budget: float, limit: float = 1500.0) -> dict[str, Any]:
    """The neighbour's answers to requests."""
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "requests.json").write_text(json.dumps(requests))
        command = [str(python), str(ASK), "requests.json", str(budget)]
        run = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=limit, check=False)
    found = [line for line in run.stdout.splitlines() if line.startswith("RESULT")]
    if not found:
        raise OSError(f"does not answer: {(run.stderr.strip().splitlines() or ['no output'])[-1][:200]}")
    answered: dict[str, Any] = json.loads(found[0][len("RESULT") :])
    return answered


def value(answer: Mapping[str, Any] | None, spec: Sequence[Any]) -> float:
    """The neighbour's figure for a target, by the rule that ours follows; NaN without one."""
    output, factor, power = spec
    found = (answer or {}).get(output)
    return float(factor * found**power) if found else float("nan")


def told(both: pd.DataFrame, name: str) -> dict[str, float] | None:
    """Median error, mean over sources of it, and level (median of predicted over measured, less 1)."""
    ratio = both[name] / both.measured
    if not len(both) or not np.isfinite(ratio).all():
        return None
    off = (ratio - 1).abs()
    by_source = off.groupby(both.source).median()
    return {
        "median_error": float(off.median()),
        "source_mean": float(by_source.mean()),
        "level": float(ratio.median() - 1),
    }


def compare(lines: pd.DataFrame) -> list[dict[str, Any]]:
    """By group: errors of both on the rows that both answer, and what the neighbour lacks on the others.

    Where it was asked with two sizes of a step, the one with the smaller mean over sources in that group stands as ``theirs``.
    """
    found = []
    for group, here in lines.groupby("group", sort=False):
        both = here[np.isfinite(here.theirs)]
        figures: dict[str, Any] = {
            "group": group,
            "rows": len(here),
            "both": len(both),
            "sources": both.source.nunique(),
        }
        figures["without"] = dict(Counter(here.why[here.why != ""]))
        errors = {name: told(both, name) for name in ("ours", "unknown", "theirs", "chunked")}
        figures |= {name: error for name, error in errors.items() if error is not None}
        if (chunked := figures.pop("chunked", None)) is not None:
            ways = {"one prompt a step": figures["theirs"], "the engine's tokens a step": chunked}
            best = min(ways, key=lambda way: ways[way]["source_mean"])
            figures |= {"theirs": ways[best], "step": best, "ways": ways}
        found.append(figures)
    return found


def unknown(files: Sequence[Path]) -> dict[tuple[str, int, str], float]:
    """What we predict of rows whose publication is left out of the fit, by file, row and target.

    The fit is to the rows of `serving.csv` and of the files; the neighbour's own data are one publication, left out at once with
    every setting of an engine that only they support.
    """
    tables = {path.name: stated(pd.read_csv(path)) for path in (FILES[0], *files)}
    runs = pd.concat(list(tables.values()), ignore_index=True)
    runs.loc[runs.source.str.contains(OWN), "source"] = OWN
    places = [(name, row + 2) for name, table in tables.items() for row in range(len(table))]
    fit = calibrate(None, runs, holdout="publication", loss=LOSS, bootstrap=0, prior=PRIOR, refit=True)
    return {(*places[line.row - 2], line.target): line.predicted for line in fit.held_out.rows.itertuples()}


def measure(python: Path, files: Sequence[Path] = (), budget: float = 3.0, held: bool = True) -> dict[str, Any]:
    """Both on all rows: by group, the public entry beside the engine, calls per second, tables' versions."""
    lines = pd.concat([asked_of(path) for path in (*FILES, *files)], ignore_index=True)
    keys = {json.dumps(r, sort_keys=True) for r in lines.request if isinstance(r, dict)}
    requests = [json.loads(key) for key in sorted(keys)]
    answered = ask(python, requests, budget)
    by_key = dict(zip(sorted(keys), zip(answered["answers"], answered["public"])))
    answers = [
        by_key[json.dumps(r, sort_keys=True)] if isinstance(r, dict) else ({"why": r}, None) for r in lines.request
    ]
    lines["why"] = [a.get("why", "") for a, _ in answers]
    lines["theirs"] = [value(a, spec) for (a, _), spec in zip(answers, lines.spec)]
    lines["chunked"] = [value(a.get("chunk"), spec) for (a, _), spec in zip(answers, lines.spec)]
    strange = unknown(files) if held else {}
    fitted = [path.name for path in (FILES[0], *files)]  # to the others nothing was fitted: ours stands
    lines["unknown"] = [
        strange.get((line.file, line.row, line.target), np.nan) if line.file in fitted else line.ours
        for line in lines.itertuples()
    ]
    entry = np.array([value(p, spec) for (_, p), spec in zip(answers, lines.spec)])
    apart = np.abs(entry / lines.theirs.to_numpy() - 1)
    asked = apart[np.isfinite(apart)]
    shown = ["file", "row", "source", "group", "target", "measured", "ours", "unknown", "theirs", "chunked", "why"]
    return {
        "groups": compare(lines),
        "public_entry": {"rows": int(asked.size), "largest_difference": float(asked.max()) if asked.size else None},
        "calls_per_s": answered["rates"],
        "tables": answered["tables"],
        "words": dict(Counter(a["words"] for a in answered["answers"] if a.get("words")).most_common(20)),
        "files": [path.name for path in (*FILES, *files)],
        "lines": json.loads(lines[shown].to_json(orient="records")),
    }


def percent(figures: Mapping[str, Any] | None, name: str, sign: str = "") -> str:
    return "" if figures is None else f"{round(100 * figures[name], 1) + 0.0:{sign}.1f}"


def shown(group: Mapping[str, Any]) -> str:
    """A group as a line of the table."""
    mine, strange, theirs = group.get("ours"), group.get("unknown"), group.get("theirs")
    cells = [group["group"], str(group["rows"]), f"{group['both']} ({group['sources']})"]
    cells += [percent(mine, "median_error"), percent(mine, "source_mean"), percent(mine, "level", "+")]
    cells += [percent(strange, "median_error"), percent(strange, "source_mean")]
    cells += [percent(theirs, "median_error"), percent(theirs, "source_mean"), percent(theirs, "level", "+")]
    cells.append(", ".join(f"{why} {n}" for why, n in group["without"].items()))
    return f"| {' | '.join(cells)} |"


def closer(groups: Sequence[Mapping[str, Any]], than: str) -> str:
    """The groups in which the neighbour's error is smaller, by median or by mean over sources."""
    told_by = {"median_error": "median", "source_mean": "mean over sources"}
    found = []
    for g in groups:
        if than in g and "theirs" in g:
            by = [word for name, word in told_by.items() if g["theirs"][name] < g[than][name]]
            found += [f"{g['group']} ({' and '.join(by)})"] if by else []
    return "; ".join(found) or "no group"


def markdown(found: Mapping[str, Any], ours: Mapping[str, Any], version: str) -> str:
    """The section that ACCURACY.md takes in."""
    tables = ", ".join(f"{where} {v}" for where, v in sorted(found["tables"].items()))
    entry, groups = found["public_entry"], found["groups"]
    steps = Counter(g["step"] for g in groups if "step" in g)
    rates = [
        ("mlsysim, one point a call", ours["calls_per_s"]),
        ("mlsysim, points of a table of 1,000 a call", ours["listed_per_s"]),
        ("mlsysim, points of a streamed sweep", ours["points_per_s"]),
        *((f"aiconfigurator, {way}", rate) for way, rate in found["calls_per_s"].items()),
    ]
    return "\n".join(
        [
            "## Beside aiconfigurator, by group",
            "",
            f"Written by `python benchmarks/peers.py --write`; {version}, rows of {', '.join(found['files'])}.",
            "",
            "| rows | n | both answer (sources) | mlsysim: median error % | mean over sources % | level % | left out: median "
            "| mean over sources | aiconfigurator: median error % | mean over sources % | level % | not answered for |",
            f"|---|{'--:|' * 10}---|",
            *map(shown, groups),
            "",
            "Both are told the same: model, device, degrees, formats, lengths, clients, and blanks by the same rules. "
            "aiconfigurator reads tables of measured kernels, of the current versions of engines only "
            f"({tables}), whatever version was measured; nothing of it was fitted here. Our curves of kernels were fitted to "
            "those same tables, and figures of ours to `serving.csv` and to runs that its package carries "
            '(`serving_silicon.csv`): the columns under "left out" are of fits without the row\'s publication and every '
            'setting that only it supports, where "its own data" (all runs that its authors ship as their reference) are '
            "one publication; nothing was fitted to `trtllm_1.csv`. It has no tables of LMDeploy and other engines, which are "
            "asked as TensorRT-LLM. In continuous batching it was "
            "asked with one prompt a step, as its public entry does by itself, and with the tokens a step that we are told; "
            f"the better of the two stands in each group ({', '.join(f'{step} in {n}' for step, n in steps.items())}). Its "
            "first token is that of a steady state, while clients of load generators start together. At maximum load its own "
            "search chooses the batch, up to 1,024 requests a rank. Rows that do not fit by its account (memory), or that it "
            "has no device, model or tables for, are counted in the last column and left out of both.",
            "",
            f"It is closer than our shipped figures in: {closer(groups, 'ours')}.",
            "",
            f"It is closer than ours left out in: {closer(groups, 'unknown')}.",
            "",
            f"Its public entry, asked for {entry['rows']} of the figures at the batch that its engine was asked for or found, "
            f"differs from the engine by at most {100 * (entry['largest_difference'] or 0.0):.2g} %.",
            "",
            "| on one core | per second |",
            "|---|--:|",
            *(f"| {name} | {rate:,.0f} |" if rate >= 10 else f"| {name} | {rate:.1f} |" for name, rate in rates),
            "",
            "Llama 2 70B on four A100, no two calls alike. One point of ours is a whole answer (times, memory, limits), as are "
            '"public entry" and "continuous batching"; "one batch" gives one time, "one step" the time of one decode step from '
            "its compiled engine. A call of ours records the model anew; many points in one call, or a sweep, do so once.",
        ]
    )
