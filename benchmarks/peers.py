"""Neighbours on the same work, in one run: `python benchmarks/peers.py [FILES] [--json] [--write] [--quick]`.

Each neighbour is installed from the package registry into an environment of its own (kept between runs in a
temporary directory) and asked for the decode time per token of the same measured rows: Llama 2 at 7, 13 and
70 billion parameters on A100, fp16 (LMDeploy's published table, `measured/serving.csv`).  Points per second are
calls with the batch size varied, on one core; the error is the median over the rows that a tool answers.
A neighbour that does not install or does not answer is skipped, with a word why.

aiconfigurator is asked for every serving row besides, and told by group (`beside`, and `beside_clusters` for prefill and
decode apart): ``--write`` puts that into peers.md,
which accuracy.py takes into ACCURACY.md.  Further CSV files of serving rows may be named for it.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import beside
import beside_clusters
import numpy as np
from accuracy import PEERS
from readme import fill

ENVIRONMENTS = Path(tempfile.gettempdir()) / "mlsysim-peers"
MODELS = ("llama2_7b", "llama2_13b", "llama2_70b")

PRELUDE = """
import json, sys, time
rows = json.load(open(sys.argv[1])); budget = float(sys.argv[2])
def report(predict):
    answers = []
    for row in rows:
        try:
            answers.append(predict(row, row["batch"]))
        except Exception as error:
            answers.append(None); why = f"{type(error).__name__}: {error}"
    if all(a is None for a in answers):
        raise SystemExit(why)
    row = next(r for r, a in zip(rows, answers) if a is not None)
    n, start = 0, time.perf_counter()
    while time.perf_counter() - start < budget:
        predict(row, 1 + n % 64); n += 1
    print("RESULT" + json.dumps({"itl": answers, "points_per_s": n / (time.perf_counter() - start)}))
"""

SCRIPTS = {
    "mlsysim": (
        "mlsysim==0.3.0",
        """
import mlsysim
from mlsysim.solvers import ServingModel
language = mlsysim.Models.Language
models = {"llama2_7b": language.Llama2_7B, "llama2_13b": language.Llama2_13B, "llama2_70b": language.Llama2_70B}
solver = ServingModel()
def predict(row, batch):
    if row["tp"] != 1: raise ValueError("one device only")
    seq_len = row["input_len"] + row["output_len"] // 2
    r = solver.solve(models[row["model"]], mlsysim.Hardware.Cloud.A100, seq_len=seq_len, batch_size=batch, precision="fp16")
    return r.itl.to("s").magnitude
report(predict)
""",
    ),
    "llm-analysis": (
        "llm-analysis==0.2.2",
        """
import logging; logging.disable(logging.CRITICAL)
from llm_analysis.analysis import LLMAnalysis
from llm_analysis.config import ParallelismConfig, get_dtype_config_by_name, get_gpu_config_by_name, get_model_config_by_name
names = {"llama2_7b": "NousResearch_Llama-2-7b-hf", "llama2_13b": "decapoda-research_llama-13b-hf",
         "llama2_70b": "upstage_Llama-2-70b-instruct-v2"}
gpu, dtype = get_gpu_config_by_name("a100-sxm-80gb"), get_dtype_config_by_name("w16a16e16")
def predict(row, batch):
    model = get_model_config_by_name(names[row["model"]])
    tool = LLMAnalysis(model, gpu, dtype, ParallelismConfig(tp_size=row["tp"]), flops_efficiency=0.5, hbm_memory_efficiency=0.8)
    r = tool.inference(batch_size_per_gpu=batch, seq_len=row["input_len"], num_tokens_to_generate=row["output_len"])
    return r["decode_latency"] if r["decode_latency"] < 1e3 else None
report(predict)
""",
    ),
    "genz-llm": (
        "genz-llm==0.0.16",
        """
import contextlib, io
with contextlib.redirect_stdout(io.StringIO()):
    from GenZ import decode_moddeling
names = {"llama2_7b": "meta-llama/Llama-2-7b", "llama2_13b": "meta-llama/Llama-2-13b", "llama2_70b": "meta-llama/Llama-2-70b"}
def predict(row, batch):
    with contextlib.redirect_stdout(io.StringIO()):
        r = decode_moddeling(model=names[row["model"]], batch_size=batch, input_tokens=row["input_len"],
                             output_tokens=row["output_len"], Bb=1, system_name="A100_80GB_GPU", bits="bf16",
                             tensor_parallel=row["tp"], system_eff=0.8)
    return float(r["Latency"]) / 1e3
report(predict)
""",
    ),
    "aiconfigurator": (
        "aiconfigurator==0.12.0",
        """
import logging; logging.disable(logging.CRITICAL)
from aiconfigurator.sdk import common, config, inference_session, models, perf_database
from aiconfigurator.sdk.backends.factory import get_backend
import pathlib
shapes = {"llama2_7b": (32, 4096, 32, 32, 11008), "llama2_13b": (40, 5120, 40, 40, 13824),
          "llama2_70b": (80, 8192, 64, 8, 28672)}
for name, (layers, hidden, heads, kv, ffn) in shapes.items():
    pathlib.Path(name).mkdir()
    pathlib.Path(name, "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": layers, "hidden_size": hidden,
        "num_attention_heads": heads, "num_key_value_heads": kv, "intermediate_size": ffn, "vocab_size": 32000,
        "max_position_embeddings": 4096, "head_dim": 128, "torch_dtype": "float16", "tie_word_embeddings": False}))
database = perf_database.get_database("a100_sxm", "trtllm", "1.0.0")
backend = get_backend("trtllm")
kept = {}
def predict(row, batch):
    key = (row["model"], row["tp"])
    if key not in kept:
        setting = config.ModelConfig(tp_size=row["tp"], gemm_quant_mode=common.GEMMQuantMode.bfloat16,
                                     kvcache_quant_mode=common.KVCacheQuantMode.bfloat16,
                                     fmha_quant_mode=common.FMHAQuantMode.bfloat16)
        model = models.get_model(str(pathlib.Path(row["model"]).resolve()), setting, "trtllm")
        kept[key] = inference_session.InferenceSession(model, database, backend)
    run = config.RuntimeConfig(batch_size=batch, isl=row["input_len"], osl=row["output_len"])
    return kept[key].run_static_latency_only(run, "static_gen") / (row["output_len"] - 1) / 1e3
report(predict)
""",
    ),
}


def work() -> list[dict[str, Any]]:
    """The measured rows that every tool is asked for."""
    with open(Path(__file__).parent / "measured" / "serving.csv", encoding="utf-8", newline="") as handle:
        rows = [r for r in csv.DictReader(handle) if r["engine"].startswith("LMDeploy") and r["model"] in MODELS]
    return [
        {
            "model": r["model"],
            "tp": int(r["tp"]),
            "batch": int(r["batch_or_concurrency"]),
            "input_len": int(r["input_len"]),
            "output_len": int(r["output_len"]),
            "itl": float(r["itl_ms"]) / 1e3,
        }
        for r in rows
        if r["scenario"] == "closed_loop" and r["suspect"] != "1"
    ]


def error(predicted: list[float | None], rows: list[dict[str, Any]]) -> tuple[float | None, int]:
    """Median relative error over the rows that were answered, and their number."""
    off = [abs(p / r["itl"] - 1) for p, r in zip(predicted, rows) if p is not None and np.isfinite(p)]
    return (statistics.median(off) if off else None), len(off)


def installed(package: str) -> Path:
    """The interpreter of a neighbour's environment, made if need be."""
    home = ENVIRONMENTS / package
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        venv.create(home, with_pip=True, clear=True)
        done = subprocess.run(
            [python, "-m", "pip", "install", "-q", package], capture_output=True, text=True, timeout=1200
        )
        if done.returncode:
            raise OSError(f"does not install: {(done.stderr.strip().splitlines() or ['no word'])[-1][:200]}")
        (home / "ready").touch()
    return python


def neighbour(name: str, rows: list[dict[str, Any]], budget: float) -> dict[str, Any]:
    """Install a neighbour if need be, and ask it."""
    package, script = SCRIPTS[name]
    python = installed(package)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rows.json").write_text(json.dumps(rows))
        (Path(folder) / "ask.py").write_text(PRELUDE + script)
        command = [python, "ask.py", "rows.json", str(budget)]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900)
    found = [line for line in run.stdout.splitlines() if line.startswith("RESULT")]
    if not found:
        return {"skipped": f"does not answer: {(run.stderr.strip().splitlines() or ['no output'])[-1][:200]}"}
    answer = json.loads(found[0][len("RESULT") :])
    median, n = error(answer["itl"], rows)
    return {"version": package, "points_per_s": answer["points_per_s"], "median_error": median, "rows": n}


def rate(call: Callable[[int], Any], budget: float) -> float:
    """Calls per second, no two alike."""
    call(0)
    start, calls = time.perf_counter(), 0
    while not calls or time.perf_counter() - start < budget:
        calls += 1
        call(calls)
    return calls / (time.perf_counter() - start)


def ours(rows: list[dict[str, Any]], budget: float, plan: str = "nest") -> dict[str, Any]:
    """The same rows through ServingModel, and its rates on one core: streamed over a grid, a table a call, a point a call."""
    import mlsysim as ms

    table = {k: [r[k] for r in rows] for k in ("model", "tp", "output_len")}
    table |= {"batch_size": [r["batch"] for r in rows], "seq_len": [r["input_len"] for r in rows]}
    itl = ms.ServingModel.solve(points=table, hardware="a100_sxm4_80gb", precision="fp16").itl
    median, n = error(itl.values.tolist(), rows)
    fixed = {"model": "llama2_70b", "hardware": "a100_sxm4_80gb", "precision": "fp16"}
    axes = {
        **fixed,
        "batch_size": np.arange(1, 1025, 1 if plan == "nest" else 256),
        "seq_len": np.arange(128, 4096, 16 if plan == "nest" else 1024),
        "output_len": [128, 512, 2048],
        "tp": [1, 2, 4, 8],
    }
    resolver = ms.ServingModel(**axes)
    resolver.best("itl", threads=1, plan=plan)
    times = []
    while not times or sum(times) < budget:
        start = time.perf_counter()
        points = resolver.best("itl", threads=1, plan=plan).attrs["points"]
        times.append(time.perf_counter() - start)
    one, listed = {"seq_len": 1024, "output_len": 128, "tp": 4}, np.arange(1.0, 1001.0)
    calls_per_s = rate(lambda n: resolver(batch_size=1 + n % 64, **one).solve(threads=1), budget)
    calls = rate(lambda n: ms.ServingModel.solve(points={"batch_size": listed + n}, threads=1, **fixed, **one), budget)
    return {
        "version": ms.__version__,
        "points_per_s": points / statistics.median(times),
        "calls_per_s": calls_per_s,
        "listed_per_s": calls * listed.size,
        "median_error": median,
        "rows": n,
    }


def tried(ask: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """A neighbour's figures, or why there are none."""
    try:
        return ask(*arguments)
    except (OSError, subprocess.SubprocessError) as problem:
        return {"skipped": str(problem)[:200]}


def grouped(files: Sequence[Path], budget: float) -> dict[str, Any]:
    """aiconfigurator beside us, by group."""
    return beside.measure(installed(SCRIPTS["aiconfigurator"][0]), files, budget)


def measure(quick: bool = False, files: Sequence[Path] = (), names: Sequence[str] = tuple(SCRIPTS)) -> dict[str, Any]:
    """Everybody's figures, or those of the neighbours named."""
    rows, budget = work(), 0.01 if quick else 3.0
    figures: dict[str, Any] = {
        "target": "decode time per token, Llama 2 on A100, LMDeploy",
        "rows": len(rows),
        "tools": {},
    }
    figures["tools"]["mlsysim-sweep"] = ours(rows, budget, "plain" if quick else "nest")
    if not quick:
        figures["tools"] |= {name: tried(neighbour, name, rows, budget) for name in names}
        if "aiconfigurator" in names:
            figures["beside"] = tried(grouped, files, budget)
            figures["clusters"] = tried(beside_clusters.measure, installed(SCRIPTS["aiconfigurator"][0]))
    return figures


def table(figures: dict[str, Any]) -> str:
    """The figures as the README shows them."""
    lines = ["| tool | points/s on one core | median error of ITL | rows answered |", "|---|---|---|---|"]
    for name, f in figures["tools"].items():
        if "skipped" in f:
            lines.append(f"| {name} | skipped: {f['skipped']} | | |")
        else:
            lines.append(
                f"| {name} {f['version'].split('==')[-1]} | {f['points_per_s']:,.0f} | {f['median_error']:.0%} "
                f"| {f['rows']} of {figures['rows']} |"
            )
    return "\n".join(lines)


def section(figures: dict[str, Any]) -> str | None:
    """What ACCURACY.md shows of aiconfigurator by group, if it answered."""
    version = SCRIPTS["aiconfigurator"][0].replace("==", " ")
    found, apart = figures.get("beside", {}), figures.get("clusters", {})
    if "groups" not in found:
        return None
    told = beside.markdown(found, figures["tools"]["mlsysim-sweep"], version)
    return told if "groups" not in apart else f"{told}\n\n{beside_clusters.markdown(apart, version)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "files", nargs="*", type=Path, help="further CSV files of serving rows for aiconfigurator by group"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--quick", action="store_true", help="ours only, briefly")
    parser.add_argument("--only", choices=SCRIPTS, help="ask this neighbour alone (the README keeps its table)")
    parser.add_argument("--write", action="store_true", help="write the README's table and peers.md")
    options = parser.parse_args()
    names = [options.only] if options.only else tuple(SCRIPTS)
    figures = measure(options.quick, options.files, names)
    by_group = section(figures)
    print(json.dumps(figures, indent=2) if options.json else "\n\n".join(filter(None, [table(figures), by_group])))
    if options.write:
        if not options.only and not options.quick:
            fill("peers", table(figures))
        if by_group is not None:
            PEERS.write_text(by_group + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
