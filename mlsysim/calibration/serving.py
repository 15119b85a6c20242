"""Serving measurements: what a source leaves open, and which question each scenario asks.

=============== ==========================================================================================
scenario        what is predicted
=============== ==========================================================================================
max_load        all requests queued at once, the engine's batch: output tokens/s of a run of finite length
closed_loop     a fixed number of clients that start together: time to the first token, between tokens, tokens/s
static_batch    one batch, prefilled and decoded: output tokens/s
first_token     time to the first token of one batch
prefill_only    prompt tokens/s of full steps
decode_only     output tokens/s at a context, time between tokens
=============== ==========================================================================================

Settings that a source leaves blank follow the same rules for every row: what the engine does
(`mlsysim.calibration.frameworks`: how it books the cache, chunk, share of memory, host time, cache format), what the
load generator does (requests per client; ten where nobody says), lengths as they are stated, a limit of running requests
for each attention group (SGLang: for all together), grouped products as kernels of the model's format were measured on
the device (a column `moe_backend` names slower ones where the script asks for them), tp 1 (refused where `n_gpus` says more
and no degree accounts for it), pp 1, experts spread as the words ``moe_ep=8`` or ``EP32`` of the notes say, 4,096 tokens
of context, 16,384 tokens of a prefill step.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from mlsysim import zoo
from mlsysim.calibration import checks, frameworks
from mlsysim.calibration.overrides import with_columns
from mlsysim.calibration.rules import PRECISIONS, Refused, device, given
from mlsysim.schema import codes
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Precision
from mlsysim.zoo.frameworks import scaled
from mlsysim.zoo.row import Row
from mlsysim.zoo.spelling import UnknownName

SCENARIOS = ("max_load", "closed_loop", "static_batch", "first_token", "prefill_only", "decode_only")
#: scenarios of a batch that no scheduler gathers
BY_ITSELF = ("static_batch", "first_token")
#: scenarios whose requests come over HTTP
ONLINE = ("closed_loop",)
REQUESTS_PER_USER = 10.0
CONTEXT = 4096.0
PREFILL_TOKENS = 16384.0
#: a chunk that takes every prompt whole, for engines that do not chunk
WHOLE = 1e9
REQUESTS = 3000.0  #: of a run at maximum load
#: spread (log) of machines of one kind: clocks evenly within 8 % of each other (arXiv:2208.11035, not read), 0.08 / sqrt 12
CLOCKS = 0.023
#: spread (log) of the first token of a prompt that meets no other: how long its kernels, at its length, take to start and to
#: fill the device (published ones of one prompt, left out of the fit: 0.16, less what curves and level leave open)
ALONE = 0.12


class Question(NamedTuple):
    """One row as inputs of a resolver: which one, its inputs, and how its outputs become the targets."""

    resolver: str  #: "serving", "closed" or "saturated"
    inputs: dict[str, Any]
    assumed: dict[str, float]
    targets: dict[str, tuple[str, float, float]]  #: target -> (output, factor, power)
    measured: dict[str, float]
    fitted: dict[str, str]  #: settings read off published runs, see `frameworks.read_off`
    known: tuple[str, ...] = ()  #: lines of settings that its labels call for


def model(run: Mapping[str, Any]) -> Row:
    """The model of a row, by name."""
    name = given(run, "model_key", "model")
    if name is None:
        raise Refused("no model stated")
    try:
        return with_columns(zoo.model(name), run)
    except UnknownName as error:
        raise Refused(str(error)) from None


def own_experts(workload: Row) -> bool:
    """Does the checkpoint keep its experts in MXFP4 and the rest in 16 bits, whatever the engine is asked for?"""
    return "MXFP4" in (workload["weight_note"] or "")


def experts_of(run: Mapping[str, Any], workload: Row, hardware: Row) -> list[str]:
    """What products of a checkpoint's format, grouped ones above all, cost on a device of its generation: mechanisms of the zoo.

    Scales of blocks concern dense models, too.  A column `moe_backend` says which of an engine's grouped products runs, where
    its script chose one.
    """
    backend = str(given(run, "moe_backend") or "").lower()
    engine = frameworks.recognise("engine", [run.get("framework"), run.get("engine")])
    cutlass = backend == "cutlass" and str(hardware["mem_type"]).startswith("HBM")  # as on the devices of the table
    if own_experts(workload) and hardware["peak_fp4"]:
        return ["cutlass_narrowed_experts", "few_kernels"] if cutlass else ["narrowed_experts"]
    if own_experts(workload):
        triton = {"tensorrt_llm": ["triton_experts", "several_kernels"], "sglang": ["triton_experts"]}
        return triton.get(str(engine["framework"]) if engine is not None else "", ["widened_experts"])
    label = str(given(run, "precision") or "").lower()
    if workload["n_experts"] and label == "nvfp4" and cutlass:
        return [frameworks.of_release("cutlass_experts", "tensorrt_llm", run)]
    scaled = "block" in (workload["weight_note"] or "") and label == "fp8"
    by_cutlass = engine is not None and engine["framework"] == "tensorrt_llm"
    if workload["n_experts"] and label == "fp8" and not scaled and by_cutlass and not hardware["peak_fp4"]:
        return ["few_kernels"]
    if not scaled or engine is None:
        return []  # DeepSeek's own kernels promote sums in the main loop at nearly the rate of products without scales
    if hardware["peak_fp4"]:
        slow = ["deepgemm_experts", "several_kernels"] if backend == "deepgemm" else []
        return ["block_scaled_experts", "block_scaled_blackwell", *slow]
    return ["block_scaled_experts", *(["cutlass_scaled_experts", "several_kernels"] if by_cutlass else [])]


def formats(
    run: Mapping[str, Any], workload: Row, hardware: Row, setting: Mapping[str, Any]
) -> tuple[Precision, Precision]:
    """Formats of the matrix products and of the cache."""
    label = str(given(run, "precision") or "bf16").lower()
    if label not in PRECISIONS:
        raise Refused(f"precision {label!r} is not known: {', '.join(PRECISIONS)}")
    wide = Precision.BF16 if hardware["peak_bf16"] else Precision.FP16
    products = wide if own_experts(workload) else PRECISIONS[label]
    cache = given(run, "precision_kv")
    if cache is not None:
        if str(cache).lower() not in PRECISIONS:
            raise Refused(f"precision_kv {cache!r} is not known: {', '.join(PRECISIONS)}")
        return products, PRECISIONS[str(cache).lower()]
    if own_experts(workload):
        return products, wide
    narrow = label == "fp8" and setting.get("kv_precision") == "weights"
    return products, Precision.FP8 if narrow else zoo.formats.cache_format(products, None) or wide


def expert_degree(run: Mapping[str, Any]) -> float:
    """Expert parallelism: the `ep` column, or the words of the notes."""
    if (stated := given(run, "ep")) is not None:
        return float(stated)
    found = re.search(r"\bmoe_ep=(\d+)|\bEP(\d+)\b", str(given(run, "notes") or ""))
    return float(max(int(next(g for g in found.groups() if g)), 1)) if found else 1.0


def _one_scheduler(run: Mapping[str, Any]) -> bool:
    """Does the engine's limit of running requests hold for all attention groups together (SGLang), or for each?"""
    engine = frameworks.recognise("engine", [run.get("framework"), run.get("engine")])
    return engine is not None and engine["framework"] == "sglang"


def question(run: Mapping[str, Any], forgotten: Collection[str] = ()) -> Question:
    """A row as inputs of a resolver; `forgotten` are lines of settings of which nothing is known."""
    hardware, workload = device(run), model(run)
    found, setting = frameworks.of_run("engine", run, experts_of(run, workload, hardware), forgotten)
    scenario = given(run, "scenario")
    if scenario not in SCENARIOS:
        raise Refused(f"scenario {scenario!r} is not known: {', '.join(SCENARIOS)}")
    fitted = frameworks.read_off(found, frameworks.own_settings(run))
    # what grouped products of a format cost was measured on kernels: no run supports it, none takes it along
    known = frameworks.known_of([row for row in found if row["kind"] != "mechanism"])
    precision, cache = formats(run, workload, hardware, setting)
    tp, pp, ep = given(run, "tp") or 1.0, given(run, "pp") or 1.0, expert_degree(run)
    if not workload["n_experts"]:
        ep = 1.0
    prompt, answer = given(run, "input_len"), given(run, "output_len")
    batch = given(run, "batch_or_concurrency")
    inputs: dict[str, Any] = {
        "model": workload,
        "hardware": hardware,
        "precision": int(precision),
        "kv_precision": int(cache),
        "tp": tp,
        "pp": pp,
        "ep": ep,
        "memory_fraction": setting.get("memory_fraction", 0.9),
        "fleet_size": 0.0,
        "max_context": 0.0,
    }
    if own_experts(workload):
        inputs["expert_bytes"] = zoo.format_record(Precision.MXFP4).weight_bytes
    defaults = Assumptions._field_defaults
    assumed = {name: scaled(setting[name], defaults[name]) for name in setting if name in defaults}
    if scenario not in ONLINE:
        assumed |= {"frontend_time": 0.0, "frontend_token_time": 0.0, "frontend_client_time": 0.0}
    devices = checks.degrees(run, ep, scenario)
    measured = _measured(run, devices)
    narrowest = Precision.MXFP4 if own_experts(workload) else precision
    if scenario not in checks.ONE_DEVICE:
        checks.weights(workload, hardware, devices, zoo.format_record(narrowest).weight_bytes)
    checks.serving(run, workload, hardware, devices, measured, scenario)
    needed = {
        "max_load": ("input_len", "output_len"),
        "closed_loop": ("input_len", "output_len", "batch_or_concurrency"),
        "static_batch": ("input_len", "output_len", "batch_or_concurrency"),
        "first_token": ("input_len",),
        "prefill_only": (),
        "decode_only": ("batch_or_concurrency",),
    }[scenario]
    missing = [c for c in needed if given(run, c) is None]
    if missing:
        raise Refused(f"{scenario} needs {', '.join(missing)}")
    reserve = codes.labels(codes.Reserve)[setting.get("reserve", "grow")]
    if scenario in ("max_load", "closed_loop"):
        mean, cv = setting.get("length_mean", 1.0), setting.get("length_cv", 0.0)
        inputs |= {
            "seq_len": float(round(prompt * mean * setting.get("prompt_ratio", 1.0))),
            "output_len": float(round(answer * mean)),
            "max_batch": setting.get("max_batch", 1024.0) * (1.0 if _one_scheduler(run) else max(ep / tp, 1.0)),
            "page_size": setting.get("page_size", 16.0),
            "reserve": reserve,
            "pool_fraction": setting.get("pool_fraction", 1.0),
            "prefill_chunk": setting.get("prefill_chunk", 8192.0),
            "prompt_cv": cv,
            "output_cv": cv,
        }
        if scenario == "max_load":
            inputs["n_requests"] = setting.get("n_requests", REQUESTS)
            return Question(
                "saturated", inputs, assumed, {"tokens_per_s": ("tokens_per_s", 1.0, 1.0)}, measured, fitted, known
            )
        inputs["users"] = batch
        inputs["requests_per_user"] = setting.get("requests_per_user", REQUESTS_PER_USER)
        if not setting.get("one_batch"):
            targets = {name: (name, 1.0, 1.0) for name in ("itl", "ttft", "tokens_per_s")}
            return Question("closed", inputs, assumed, targets, measured, fitted, known)
        for name in ("max_batch", "page_size", "pool_fraction", "prompt_cv", "output_cv", "users", "requests_per_user"):
            del inputs[name]
        inputs["batch_size"] = batch
        targets = {"itl": ("itl", 1.0, 1.0), "ttft": ("ttft", 1.0, 1.0), "tokens_per_s": ("throughput", answer, 1.0)}
        return Question("serving", inputs, assumed, targets, measured, fitted, known)
    groups = max(ep / tp, 1.0)
    inputs |= {"reserve": reserve, "prefill_chunk": WHOLE}
    if scenario == "prefill_only":
        prompt = prompt or CONTEXT
        each = max(round((batch or PREFILL_TOKENS) / prompt), 1)
        inputs |= {"seq_len": prompt, "output_len": 1.0, "batch_size": each * groups}
        targets = {"tokens_per_s": ("ttft", each * groups * prompt, -1.0)}
    elif scenario == "decode_only":
        answer = answer or 1.0
        inputs |= {"seq_len": prompt or CONTEXT, "output_len": answer, "batch_size": batch * tp * pp * groups}
        targets = {"tokens_per_s": ("tokens_per_s", 1.0, 1.0), "itl": ("itl", 1.0, 1.0)}
    else:
        batch = batch or 1.0
        if batch == 1.0 and "first_token_scatter" not in uncertain(run):
            assumed["first_token_scatter"] = 1.0  # of prompts that meet: one alone meets none
        inputs |= {"seq_len": prompt, "output_len": answer or 1.0, "batch_size": batch}
        targets = {
            "ttft": ("ttft", 1.0, 1.0),
            "itl": ("itl", 1.0, 1.0),
            "tokens_per_s": ("throughput", inputs["output_len"], 1.0),
        }
    return Question("serving", inputs, assumed, targets, measured, fitted, known)


def uncertain(run: Mapping[str, Any]) -> dict[str, float]:
    """What a row leaves open beside its assumptions (log).

    A batch that an engine runs by itself waits for no scheduler and no load generator, by which the levels of servers differ:
    machines are left.  A prompt alone meets no other, by which first tokens scatter; what its kernels take is known where the
    run says what its program does between them.
    """
    if run.get("scenario") not in BY_ITSELF:
        return {}
    alone = run["scenario"] == "first_token" and (given(run, "batch_or_concurrency") or 1.0) == 1.0
    told = frameworks.between("engine", run) == frameworks.DESCRIBED["engine"]
    return {"serving_level": CLOCKS, **({"first_token_scatter": ALONE} if alone and not told else {})}


def group(run: Mapping[str, Any], workload: Row) -> str:
    """What rows are told apart by: dense models or mixtures, and how they were loaded."""
    return f"{'moe' if workload['n_experts'] else 'dense'}/{run['scenario']}"


def source(run: Mapping[str, Any]) -> str:
    """Where a row was read: one publication measures many engines, models and devices."""
    return " | ".join(str(run.get(c) or "?") for c in ("source", "engine", "model", "hardware"))


def _measured(run: Mapping[str, Any], devices: float) -> dict[str, float]:
    """The targets that a row states, in base units; tokens/s over all its devices."""
    found = {}
    for target, column in (("itl", "itl_ms"), ("ttft", "ttft_ms")):
        if (value := given(run, column)) is not None:
            found[target] = 1e-3 * value
    if (total := given(run, "tokens_per_s_total")) is not None:
        found["tokens_per_s"] = total
    elif (each := given(run, "tokens_per_s_per_gpu")) is not None:
        found["tokens_per_s"] = each * devices
    return found
