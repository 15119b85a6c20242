"""Asks aiconfigurator 0.12 for measured serving rows: `python ask_aiconfigurator.py requests.json SECONDS`.

Runs in that tool's own environment (`peers.py` makes it), so it imports nothing of ours.  Every request is answered by the
tool's engine (an `InferenceSession`, kept for rows of one model and layout); those marked ``public`` by its public entry
(`cli_estimate`) as well, at the same batch.  How a request becomes a call follows its kind:

=========== ==============================================================================================================
serving     one batch: `run_static`
closed      continuous batching of that many requests: `run_agg`, with one prompt a step (as its public entry has it), and
            again with the tokens a step that we are told (``chunk``)
cluster     prefill and decode apart: a step of each pool (`run_static`), joined as its mode ``disagg`` joins them
saturated   its own search over batches and tokens of a step, without limits on latency: the highest tokens/s
=========== ==============================================================================================================

Prints one line of JSON: answers (times in s, ``throughput`` in requests/s) or why there is none, and calls per second.
"""

import json
import logging
import math
import os
import sys
import time
from pathlib import Path

logging.disable(logging.CRITICAL)

from aiconfigurator.cli.api import SpeculativeDecodingProfile, cli_estimate  # noqa: E402
from aiconfigurator.sdk import config, inference_session, models, perf_database  # noqa: E402
from aiconfigurator.sdk.backends.factory import get_backend  # noqa: E402
from aiconfigurator.sdk.config_builders import build_model_config  # noqa: E402
from aiconfigurator.sdk.engine import EngineHandle  # noqa: E402

#: largest batch of a rank that its search goes through: beyond, its tables end
LARGEST = 1024
FORMATS = ("gemm_quant_mode", "moe_quant_mode", "kvcache_quant_mode")
kept, databases = {}, {}


def folder(request):
    """The model: a name that it knows, or a folder with its configuration."""
    if not request["config"]:
        return request["model"]
    path = Path(request["model"].replace("/", "--")).resolve()
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(request["config"]))
    return str(path)


def layout(request):
    """Degrees and formats, under the names that both of its entries have for them."""
    ranks = request["tp"] * request["dp"]
    experts = (
        {"moe_tp_size": max(ranks // request["ep"], 1), "moe_ep_size": request["ep"]} if request["experts"] else {}
    )
    degrees = {"tp_size": request["tp"], "pp_size": request["pp"], "attention_dp_size": request["dp"]}
    return degrees | experts | {name: request[name] for name in FORMATS if request[name]}


def session(request):
    """Model, tables and engine, as `cli_estimate` puts them together."""
    where = (request["system"], request["backend"])
    if where not in databases:
        version = perf_database.get_latest_database_version(*where)
        databases[where] = perf_database.get_database_view(*where, version, database_mode="SILICON")
    database = databases[where]
    if database is None:
        raise LookupError(f"no tables of {request['backend']} on {request['system']}")
    options = layout(request)
    key = json.dumps([where, request["model"], options, request.get("nextn", 0)])
    if key not in kept:
        path = folder(request)
        setting = build_model_config(**{"moe_tp_size": 1, "moe_ep_size": 1, **dict.fromkeys(FORMATS), **options,
                                        "fmha_quant_mode": None, "comm_quant_mode": None})  # fmt: skip
        if request.get("nextn"):
            setting.nextn = request["nextn"]
        models.resolve_context_fmha_by_data(setting, path, database, request["backend"], is_context_role=True)
        models.resolve_nvfp4_for_system(setting, request["system"], path, backend_name=request["backend"])
        model = models.get_model(path, setting, request["backend"])
        kept[key] = inference_session.InferenceSession(model, database, get_backend(request["backend"]))
    return kept[key]


def checked(summary):
    if summary.check_oom() or summary.check_kv_cache_oom():
        raise MemoryError("more than its estimate of memory")
    return summary.get_result_dict()


def static(request, found):
    """Figures of one batch, prefilled and decoded."""
    first, itl, requests = found["ttft"] / 1e3, found["tpot"] / 1e3, request["batch"] * request["dp"]
    total = first + (request["osl"] - 1) * itl
    return {"ttft": first, "itl": itl, "throughput": requests / total, "tokens_per_s": requests / itl if itl else None}


def steady(request, found):
    """Figures of continuous batching (its rate counts the tokens after the first)."""
    rate = found["tokens/s"] / (request["osl"] - 1)
    return {
        "ttft": found["ttft"] / 1e3,
        "itl": found["tpot"] / 1e3,
        "throughput": rate,
        "tokens_per_s": rate * request["osl"],
        "batch": int(found["bs"]),
        "ctx_tokens": int(found["ctx_tokens"]),
    }


def cluster(request):
    """Prefill and decode apart: its steps of either pool, its matching of their rates."""
    pools = [{**request, **request[pool], "batch": request[pool]["batch"], "pp": 1, "ep": request[pool]["moe_ep"]}
             for pool in ("prefill", "decode")]  # fmt: skip
    steps = []
    for pool, mode in zip(pools, ("static_ctx", "static_gen")):
        here = session(pool)
        run = config.RuntimeConfig(batch_size=pool["batch"], isl=request["isl"], osl=request["osl"])
        summary = here.run_static(run, mode)
        checked(summary)
        steps.append((here, summary))
    (first, prefill), (second, decode) = steps
    if request["nextn"]:
        profile = SpeculativeDecodingProfile.from_inputs(request["nextn"], request["accepted"])
        decode = profile.project_summary(decode, role="decode")
    joined = inference_session.DisaggInferenceSession(
        first._database, first._backend, second._database, second._backend
    )
    tables = prefill.get_summary_df(), pools[0]["workers"], decode.get_summary_df(), pools[1]["workers"]
    found = joined._get_disagg_summary_df(*tables).iloc[0].to_dict()
    ttft, itl = found["ttft"] / 1e3, found["tpot"] / 1e3
    return {
        "ttft": ttft,
        "itl": itl,
        "e2e_latency": ttft + (request["osl"] - 1) * itl,
        "tokens_per_s_per_device": found["tokens/s/gpu"],
    }


def engine(request):
    """Its engine, called directly."""
    if request["kind"] == "cluster":
        return cluster(request)
    run = config.RuntimeConfig(batch_size=request["batch"], isl=request["isl"], osl=request["osl"])
    if request["kind"] == "serving":
        return static(request, checked(session(request).run_static(run, "static")))
    if request["kind"] == "closed":
        prompt, others = request["isl"], max(request["batch"] - 1, 1)
        steps = {"": prompt, "chunk": min(request["chunk"], prompt * others)}
        found = {n: steady(request, checked(session(request).run_agg(run, ctx_tokens=c))) for n, c in steps.items()}
        return found[""] | {"chunk": found["chunk"]}
    run = config.RuntimeConfig(isl=request["isl"], osl=request["osl"], ttft=math.inf, tpot=math.inf)
    largest = min(request["max_batch"], LARGEST)
    best = session(request).find_best_agg_result_under_constraints(run, max_batch_size=largest, top_k=1)
    table = best.get_summary_df()
    if table is None or table.empty:
        raise MemoryError("more than its estimate of memory")
    return steady(request, table.iloc[0].to_dict())


def public(request, at):
    """Its public entry, at the batch that the engine was asked for or found."""
    load = {"isl": request["isl"], "osl": request["osl"], "batch_size": at.get("batch", request["batch"])}
    if request["kind"] == "serving":
        load["mode"] = "static"
    else:
        load["ctx_tokens"] = at["ctx_tokens"]
    options = layout(request) | load | {"backend_name": request["backend"]}
    found = cli_estimate(folder(request), request["system"], **options)
    return (static if request["kind"] == "serving" else steady)(request, found.raw)


def tried(ask, *arguments):
    """An answer, or why there is none: memory, or tables."""
    try:
        return ask(*arguments)
    except MemoryError as error:
        return {"why": "memory", "words": str(error)}
    except Exception as error:
        words = " ".join(str(error).split())
        return {
            "why": "memory" if words.startswith("OOM") else "tables",
            "words": f"{type(error).__name__}: {words}"[:300],
        }


def rate(call, budget):
    """Calls per second on one core, no two alike."""
    call(0)
    calls, start = 1, time.perf_counter()
    while time.perf_counter() - start < budget:
        call(calls)
        calls += 1
    return (calls - 1) / (time.perf_counter() - start)


def rates(request, budget):
    """Calls per second of four ways to ask it, from its public entry to one number of its compiled engine."""
    here, options = session(request), layout(request)

    def run(n):
        return config.RuntimeConfig(batch_size=1 + n % 64, isl=512 + n // 64, osl=request["osl"])

    narrow = EngineHandle.compile(folder(request), request["system"], request["backend"], **options)
    same = {"system_name": request["system"], "backend_name": request["backend"], "osl": request["osl"], **options}
    ways = {
        "public entry": lambda n: cli_estimate(folder(request), batch_size=1 + n % 64, isl=512 + n // 64, **same),
        "continuous batching": lambda n: here.run_agg(run(n), ctx_tokens=512 + n // 64),
        "one batch": lambda n: here.run_static_latency_only(run(n), "static"),
        "one step": lambda n: narrow.predict_decode_latency(1 + n % 64, 512 + n // 64),
    }
    return {name: rate(call, budget) for name, call in ways.items()}


def main():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    requests, budget = json.loads(Path(sys.argv[1]).read_text()), float(sys.argv[2])
    answers = [tried(engine, request) for request in requests]
    entry = [
        tried(public, request, answer) if request["public"] and "why" not in answer else None
        for request, answer in zip(requests, answers)
    ]
    timed = next((r for r, a in zip(requests, answers) if r["timed"] and "why" not in a), None)
    found = {"answers": answers, "public": entry, "rates": rates(timed, budget) if timed and budget else {}}
    versions = {" ".join(where): database.version for where, database in databases.items() if database is not None}
    print("RESULT" + json.dumps(found | {"tables": versions}))


main()
