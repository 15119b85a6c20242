"""Clusters whose prefill and decode run on replicas of their own: measurements in a closed loop, one a row.

A row has the workers of both pools, devices of each (`prefill_gpus`, `decode_gpus`), degrees of attention (`*_tp`, and
`*_attention_dp` groups beside each other) and of experts (`*_ep`; 1 with several groups: every expert is split over all
devices), `*_max_batch` requests of a worker, `prefill_chunk` tokens of a step and group, `redundant_experts` copies of
experts in a worker, `front_ends` that deal requests out, and whether decode workers stand still while caches come in
(`blocking_receive`).
Predicted: mean time to the first token, between tokens, of a request, and output tokens/s of a device, where the table states
them or they follow by Little's law.

Blank cells follow the same rules for every row: ten requests a client and lengths as they are stated, unless `length_mean` and
`length_cv` say otherwise (the load generator of InferenceX: uniform in 0.8 to 1); slots, chunk, page and share of memory as of
the engine; the first token comes from the decode side (`first_token_from`), the cache moves when the prompt is done
(`cache_transfer`); tokens are drafted by one more layer of the model and accepted as `acceptance` says.  The front end
has several processes, which deal requests out evenly unless `front_ends` says that there are several of it; how an engine
deals them to its attention groups is a setting of the engine (`group_routing`, `decode_group_routing`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from mlsysim import zoo
from mlsysim.calibration import checks, frameworks, serving
from mlsysim.calibration.part import Uncertain
from mlsysim.calibration.rules import Refused, device, given
from mlsysim.calibration.serving import REQUESTS_PER_USER, Question
from mlsysim.schema import codes
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Precision
from mlsysim.zoo.frameworks import scaled
from mlsysim.zoo.row import Row

POOLS = ("prefill", "decode")
#: lengths of the load generator of InferenceX, uniform in 0.8 to 1 of the nominal ones: their mean over those, and variation
LENGTH_MEAN, LENGTH_CV = 0.9, 0.0642
#: share of drafted tokens that is accepted where nobody says
ACCEPTANCE = 0.7
#: layers of the heads that come with models and predict their next tokens (DeepSeek-AI 2024, arXiv:2412.19437, section 2.2)
DRAFT_LAYERS = 1.0
#: memory of a device from which on SGLang takes chunks twice as long (byte)
LARGE_MEMORY = 160e9
#: share of the slots from which on clients wait for them
NEARLY = 0.9
#: clients of a front end whose processes run beside the engines' do not wait for each other
FRONT_END = {"frontend_client_time": 0.0003}

#: spread (log) of first tokens beside what the assumptions leave open: how a router spreads prompts over workers and their
#: attention groups, and how long an engine waits for more of them, is not stated
FIRST_TOKEN = 0.33
#: the same where clients outnumber the slots, so that most of a first token is the wait for a slot
QUEUED = 0.12
#: more of it where an engine compiles a product for each shape when it first meets one (TensorRT-LLM, cpp/tensorrt_llm/deep_gemm:
#: blocks of 8 bits on Hopper): two of eight pairs of repeats on H200 differ by 0.6 and 0.7 (benchmarks/measured/mixtures.csv),
#: and clusters come later still; chosen with their rows in view
COMPILED = 0.37
#: spread (log) of a decode step that checks drafted tokens of full batches: kernels and host work that grow with these tokens
#: differ between engines (such clusters are off by 0.14 where those with free slots are by 0.08)
CHECKED = 0.12
#: spread (log) of a step between engines whose recipe states slots, chunks and kernels: levels of published clusters with free
#: slots are off by 0.08, less `frameworks.DESCRIBED` and what launches and popularity leave open
RECIPE = {**frameworks.DESCRIBED["engine"], "mixture_serving_level": 0.065}
#: clients over slots of the 149 clusters of 333 that state slots and have more clients: quartiles
WAITING = (1.13, 1.31)
#: by which (log) rate and times of a row may differ from Little's law: repeats of a run differ by as much
LITTLE = 0.05


def uncertain(run: Mapping[str, Any]) -> Uncertain:
    """What a row does not state.

    What it takes to check drafted tokens of a full batch, and kernels that are compiled on the way.  (Clusters that draft are
    otherwise no further off than others: how many tokens are accepted adds nothing that shows.)  Where no settings are
    stated: slots, which half of all clusters set below their clients, and the engine's kernels for experts, of which several
    exist; where a recipe states them, engines differ less (`RECIPE`).
    """
    slots = (given(run, "decode_max_batch") or math.inf) * (given(run, "decode_workers") or 1.0)
    full = (given(run, "concurrency") or 1.0) > slots
    first = QUEUED if full else FIRST_TOKEN
    found: dict[str, float | tuple[float | None, ...]] = {
        "ttft": math.hypot(first, COMPILED) if compiles(run) else first
    }
    if full and given(run, "draft_len"):
        found |= dict.fromkeys(("itl", "e2e_latency", "tokens_per_s_per_device"), CHECKED)
    if given(run, "decode_max_batch") is not None:
        found |= RECIPE
    else:
        each = (given(run, "concurrency") or 1.0) / (given(run, "decode_workers") or 1.0)
        found["max_batch"] = (None, None, *(max(math.floor(each / waiting), 1.0) for waiting in WAITING))
        if given(run, "moe_backend") is None:
            kernels = (zoo.framework(key)["moe_layer_latency"] for key in ("few_kernels", "several_kernels"))
            found["moe_layer_latency"] = (None, *kernels)
    return found


def compiles(run: Mapping[str, Any]) -> bool:
    """Does the engine compile products of blocks on the way, see `COMPILED`?"""
    run = labelled(run)
    return "cutlass_scaled_experts" in serving.experts_of(run, serving.model(run), device(run))


def labelled(run: Mapping[str, Any]) -> dict[str, Any]:
    """The row with the words of a serving measurement: engine with its version, format of the weights."""
    parts = [given(run, "engine", "framework"), given(run, "engine_version")]
    return {
        **run,
        "engine": " ".join(str(p) for p in parts if p is not None),
        "precision": given(run, "precision", "precision_weights"),
    }


def degrees(run: Mapping[str, Any], pool: str) -> dict[str, float]:
    """Degrees of a worker as inputs: tensor parallelism of attention, and experts over all its devices where groups are."""
    size = given(run, f"{pool}_gpus")
    tp, groups = given(run, f"{pool}_tp") or 1.0, given(run, f"{pool}_attention_dp") or 1.0
    ep = given(run, f"{pool}_ep") or 1.0
    ep = tp * groups if groups > 1.0 else ep
    if size is not None and size != max(tp, ep):
        raise Refused(
            f"{pool}_gpus={size:g}, but {pool}_tp={tp:g} and {pool}_attention_dp={groups:g} make a worker of {max(tp, ep):g}: "
            "write the devices and degrees of one worker"
        )
    stem = "" if pool == "prefill" else f"{pool}_"
    stated = (given(run, f"{pool}_ep") or 1.0) if groups > 1.0 else ep
    return {f"{stem}tp": tp, f"{stem}ep": ep, f"{stem}expert_tp": max(tp, ep) / stated}


def chunk(engine: Row, setting: Mapping[str, Any], hardware: Row, groups: float) -> float:
    """Tokens of a prefill step of one attention group where nobody says: SGLang divides its chunk among the groups.

    github.com/sgl-project/sglang, server_args.py: 16,384 tokens on devices of 160 GB and more, 8,192 on smaller ones, over
    `dp_size` with attention data parallelism.
    """
    usual = float(setting.get("prefill_chunk", 8192.0))
    if engine["framework"] != "sglang":
        return usual
    capacity = hardware["mem_capacity_bytes"] or hardware["mem_capacity"] or 0.0
    return (2.0 * usual if capacity >= LARGE_MEMORY else usual) / max(groups, 1.0)


def experts_of(run: Mapping[str, Any], workload: Row, hardware: Row, widest: float) -> list[str]:
    """What products of a checkpoint's format cost, see `serving.experts_of`; those of SGLang beyond a node are DeepEP's partners.

    docs.sglang.io, expert parallelism: large-scale deployments exchange tokens by DeepEP and multiply 8-bit blocks by DeepGEMM;
    dispatch, permutation, quantisation and products are stages of their own.

    Parameters
    ----------
    widest : devices over which the experts of a worker are spread, the wider pool.
    """
    engine = frameworks.named("engine", run)
    beyond = widest > float(zoo.fleet_record(None, hardware).accelerators_per_node)
    if engine is None or engine["framework"] != "sglang" or not beyond or given(run, "moe_backend") is not None:
        return serving.experts_of(run, workload, hardware)
    found = serving.experts_of({**run, "moe_backend": "deepgemm"}, workload, hardware)
    return list(dict.fromkeys([*found, "several_kernels"]))


def routing(run: Mapping[str, Any]) -> str:
    """How requests find replicas: several front ends deal them out without knowing of each other, one deals evenly."""
    return "random" if (given(run, "front_ends") or 1.0) > 1.0 else "shared"


def question(run: Mapping[str, Any], forgotten: Collection[str] = ()) -> Question:
    """A row as inputs of DisaggregatedServingModel; `forgotten` are lines of settings of which nothing is known."""
    run = labelled(run)
    missing = [
        c
        for c in ("concurrency", "input_len", "output_len", "prefill_workers", "decode_workers", "decode_gpus")
        if given(run, c) is None
    ]
    if missing:
        raise Refused(f"a cluster needs {', '.join(missing)}")
    hardware, workload = device(run), serving.model(run)
    layout = degrees(run, "prefill") | degrees(run, "decode")
    grouped = experts_of(run, workload, hardware, max(layout["ep"], layout["decode_ep"]))
    found, setting = frameworks.of_run("engine", run, grouped, forgotten)
    precision, cache = serving.formats(run, workload, hardware, setting)
    narrowest = zoo.format_record(Precision.MXFP4 if serving.own_experts(workload) else precision).weight_bytes
    for pool in POOLS:
        size = given(run, f"{pool}_gpus") or 1.0
        checks.weights(workload, hardware, size, narrowest)
    mean, cv = setting.get("length_mean", LENGTH_MEAN), setting.get("length_cv", LENGTH_CV)
    groups = max(layout["decode_ep"] / layout["decode_tp"], 1.0)
    inputs: dict[str, Any] = {
        "model": workload,
        "hardware": hardware,
        "precision": int(precision),
        "kv_precision": int(cache),
        **layout,
        "prefill_replicas": given(run, "prefill_workers"),
        "decode_replicas": given(run, "decode_workers"),
        "seq_len": float(round(given(run, "input_len") * mean)),
        "output_len": float(round(given(run, "output_len") * mean)),
        "prompt_cv": cv,
        "output_cv": cv,
        "users": given(run, "concurrency"),
        "requests_per_user": given(run, "requests_per_client", "requests_per_user") or REQUESTS_PER_USER,
        "max_batch": given(run, "decode_max_batch") or setting.get("max_batch", 1024.0) * groups,
        "prefill_max_batch": given(run, "prefill_max_batch") or setting.get("max_batch", 1024.0),
        "prefill_chunk": given(run, "prefill_chunk") or chunk(found[0], setting, hardware, layout["ep"] / layout["tp"]),
        "draft_len": given(run, "draft_len") or 0.0,
        "draft_layers": DRAFT_LAYERS,
        "acceptance": given(run, "acceptance") or ACCEPTANCE,
        "redundant_experts": given(run, "redundant_experts") or 0.0,
        "page_size": setting.get("page_size", 16.0),
        "pool_fraction": setting.get("pool_fraction", 1.0),
        "memory_fraction": setting.get("memory_fraction", 0.9),
        "reserve": codes.labels(codes.Reserve)[setting.get("reserve", "grow")],
        "routing": routing(run),
        **{name: setting.get(name, "shared") for name in ("group_routing", "decode_group_routing")},
        "blocking_receive": given(run, "blocking_receive") or 0.0,
        "fleet_size": 0.0,
        "max_context": 0.0,
    }
    if serving.own_experts(workload):
        inputs["expert_bytes"] = zoo.format_record(Precision.MXFP4).weight_bytes
    defaults = Assumptions._field_defaults
    assumed = {name: scaled(setting[name], defaults[name]) for name in setting if name in defaults} | FRONT_END
    known = frameworks.known_of([row for row in found if row["kind"] != "mechanism"])
    return Question(
        "cluster",
        inputs,
        assumed,
        {
            name: (output, 1.0, 1.0)
            for name, output in (
                ("itl", "itl"),
                ("ttft", "ttft"),
                ("e2e_latency", "e2e_latency"),
                ("tokens_per_s_per_device", "tokens_per_s_per_device"),
            )
        },
        _measured(run, inputs),
        frameworks.read_off(found, frameworks.own_settings(run)),
        known,
    )


def _measured(run: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a row in base units: times that are stated, and what follows from both by Little's law."""
    names = ("itl",) if given(run, "ttft_suspect") else ("itl", "ttft")
    found = {n: 1e-3 * v for n in names if (v := given(run, f"{n}_ms")) is not None}
    each = given(run, "tokens_per_s_per_gpu", "implied_tokens_per_s_per_gpu")
    if "itl" in found and "ttft" in found:
        found["e2e_latency"] = found["ttft"] + (inputs["output_len"] - 1.0) * found["itl"]
    if each is not None and (given(run, "tokens_per_s_per_gpu") is not None or "ttft" in found):
        found["tokens_per_s_per_device"] = each / (_per_decode_device(run, inputs, found.get("e2e_latency")) or 1.0)
    return found


def _over_clients(run: Mapping[str, Any], inputs: Mapping[str, Any], request: float | None) -> float | None:
    """The stated rate over that of Little's law, clients over the time of a request; None where not both are stated."""
    each = given(run, "tokens_per_s_per_gpu")
    if not each or not request:
        return None
    return each * _devices(run, POOLS) * request / (inputs["users"] * inputs["output_len"])


def _devices(run: Mapping[str, Any], pools: Collection[str]) -> float:
    return sum((given(run, f"{pool}_workers") or 1.0) * (given(run, f"{pool}_gpus") or 1.0) for pool in pools)


def _per_decode_device(run: Mapping[str, Any], inputs: Mapping[str, Any], request: float | None) -> float | None:
    """All devices over those that decode, where the rate of a row is clearly one of the latter."""
    over, share = _over_clients(run, inputs, request), _devices(run, POOLS) / _devices(run, ("decode",))
    alike = over is not None and abs(math.log(over / share)) < LITTLE < abs(math.log(over))
    return share if alike else None


def told(run: Mapping[str, Any], asked: Question) -> str:
    """What to say of a row whose rate and times do not agree (Little's law); "" of others."""
    request = asked.measured.get("e2e_latency")
    over = _over_clients(run, asked.inputs, request)
    if over is None or abs(math.log(over)) < LITTLE:
        return ""
    if share := _per_decode_device(run, asked.inputs, request):
        return (
            f"its rate is taken as one of a device that decodes: {share:.2f} times what clients and times give for all"
        )
    why = "start and end of the run count in it" if over < 1 else "requests in flight were more than the clients"
    return (
        f"its rate is {over:.2f} times clients over the time of a request (Little's law): {why}, "
        "or lengths, devices or times are other ones"
    )


def group(run: Mapping[str, Any]) -> str:
    """What rows are told apart by: do clients outnumber nine tenths of the slots, and are tokens drafted."""
    slots, drafted = given(run, "decode_max_batch"), "drafted" if given(run, "draft_len") else "plain"
    if slots is None:
        return f"slots not stated/{drafted}"
    full = (given(run, "concurrency") or 0.0) > NEARLY * slots * (given(run, "decode_workers") or 1.0)
    return f"slots {'full' if full else 'free'}/{drafted}"
