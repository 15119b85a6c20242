"""Single-stream measurements, as tables of llama.cpp have them: one prompt, or the next token of one answer.

=============== ================================================================================
phase           what ``measured_tokens_per_s`` counts
=============== ================================================================================
prefill         prompt tokens: `prompt_tokens` of them behind `depth_tokens` cached ones
decode          generated tokens: `gen_tokens` of them, the first behind `depth_tokens` cached ones
decode_per_user generated tokens of one user of a service
=============== ================================================================================

Blank cells follow the same rules for every row: one device, no cached tokens, 512 prompt tokens, 128 generated ones; several
devices are split as the engine does by default (`tensor_split` of the zoo's frameworks), 16 bits a weight where neither
`bits_per_weight` nor a known `quant_label` is there.  Weights below 12 bits are widened on the way to 16-bit products.  A
device that the zoo does not have is known by `device_peak_fp16_TFLOPs` and `device_mem_bandwidth_GBps`.

Of a service (`decode_per_user`) neither devices nor load are stated as a rule.  Devices with memory on the chip: as many
as hold weights and cache, one user, a context of 1,024 tokens; up to as many users as layers ride free, so a loaded service
may be as fast.  Others are dataflow devices, on which a layer is one kernel: the devices of one node read weights and cache
together at three quarters of their bandwidth, as their maker says (62dac.conference-program.com SSSN027), and exchange the
four messages of a layer that several devices share (`streaming.SPLIT_MESSAGES`); nothing else is counted.  Weights have 8
bits where the row says so, else 16.  Drafting is not stated and not counted on: a rate above what the memory of a node can
deliver is refused.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from mlsysim import zoo
from mlsysim.calibration import frameworks
from mlsysim.calibration.rules import Refused, device, given
from mlsysim.calibration.serving import Question, model, own_experts
from mlsysim.equations.streaming import SPLIT_MESSAGES
from mlsysim.schema import codes
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Precision
from mlsysim.zoo.curves import SPREAD
from mlsysim.zoo.frameworks import scaled
from mlsysim.zoo.row import Row

SERVICE = "decode_per_user"
PHASES = ("prefill", "decode", SERVICE)
PROMPT, ANSWER = 512.0, 128.0
#: tokens that a user of a service sees, and devices of which a service has more than it needs
SERVED, PLENTY = 1024.0, 1e6
DATAFLOW = "sram_asic"  #: class of devices, some of which have memory beside the chip as well
DATAFLOW_BANDWIDTH = 0.75  #: share of the bandwidth at which dataflow devices read
#: what a layer that is one kernel does not have: kernels that start, and between them hosts, exchanges and element-wise work
FUSED = ("gemm_latency", "plain_gemm_latency", "gemm_exponent", "decode_attention_latency", "decode_attention_ramp")
UNHEARD = (
    "host_sequence_time",
    "elementwise_kernel_time",
    "serving_elementwise_slowdown",
    "activation_traffic",
    "allreduce_share",
    "moe_layer_latency",
    "expert_exposed",
)
CONTEXT = 1.0  #: tokens that a first generated token sees at least: itself
#: bits a weight above which a file is one of 16 bits
NARROW = 12.0
WIDE = 16.0
#: bits a weight of the types of GGUF files: those that are number formats, and neighbours of theirs
GGUF_BITS = {codes.label(precision): bits for precision, bits in zoo.formats.GGUF_BITS.items()}
GGUF_BITS |= {"f16": WIDE, "bf16": WIDE, "q5_k_s": 5.54, "q4_k_s": 4.58, "q4_1": 5.0, "iq4_nl": 4.5, "mxfp4": 4.25}
#: share of a device that one stream may fill: no other process counts on the rest
WHOLE_DEVICE = 1.0


def bits(run: Mapping[str, Any]) -> float:
    """Bits a weight: as stated, by the type of the file, else 16."""
    stated = given(run, "bits_per_weight")
    if stated is not None:
        return float(stated)
    label = str(given(run, "quant_label") or "f16").lower().replace("fp16", "f16").replace("-bit", "")
    if label in GGUF_BITS:
        return GGUF_BITS[label]
    if re.fullmatch(r"\d+(\.\d+)?", label):
        return float(label)
    raise Refused(f"quant_label {label!r} is not known: give bits_per_weight, or one of {', '.join(GGUF_BITS)}")


def layer_bytes(workload: Row, width: float) -> float:
    """Bytes a weight of the layers of a file of `width` bits a weight.

    Files narrow the table of the head as well, which a `Format` holds as wide as activations: what the head has
    too much, the layers have too little, so that a token reads as many bytes as it does.
    """
    head = workload["vocab"] * workload["hidden"]
    layers = workload["total_params"] - head * (1.0 if workload["tied_embeddings"] else 2.0)
    return (width / 8.0 * (layers + head) - WIDE / 8.0 * head) / layers


def hardware(run: Mapping[str, Any]) -> Row:
    """The device of a row: of the zoo, or as the row describes it."""
    if given(run, "hardware") is not None:
        return device(run)
    rate, bandwidth = given(run, "device_peak_fp16_TFLOPs"), given(run, "device_mem_bandwidth_GBps")
    if rate is None or bandwidth is None:
        raise Refused("no hardware stated, nor device_peak_fp16_TFLOPs and device_mem_bandwidth_GBps")
    return described(str(given(run, "hardware_label") or "device"), rate * 1e12, bandwidth * 1e9)


@functools.cache
def described(label: str, rate: float, bandwidth: float) -> Row:
    """A device of one's own, known by its rate and its bandwidth."""
    return zoo.Hardware(name=label, peak_flops=rate, mem_bandwidth=bandwidth, mem_capacity=1e15)


#: back ends of which a device may have several; the same model, device and format differ by 0.15 (log) among them in prompts
#: (github.com/lhl/strix-halo-testing, 24 rows), of which level and scatter of an engine have 0.07
SEVERAL, BACK_END = ("vulkan", "rocm", "rocwmma"), 0.125
#: memory that is soldered beside the chip: one machine, no boards of several makers whose clocks differ by 8 % (arXiv:2208.11035,
#: not read), which levels (0.065) have besides builds
SOLDERED, ONE_MACHINE = "LPDDR", 0.05
#: how several devices may be split: each product shared, or layers in turn
SPLITS = ("tensor", "layer")
#: what a run of llama.cpp calls its back end, or who made its device -> engine of the zoo
BACK_ENDS = {"cuda": "llama.cpp CUDA", "nvidia": "llama.cpp CUDA", "cpu": "llama.cpp CPU"}


def engine(run: Mapping[str, Any], card: Row) -> str:
    """The engine of a run; of llama.cpp with its back end and its year, where the row or its source tells one."""
    named = str(given(run, "engine", "framework") or "llama.cpp")
    found = frameworks.recognise("engine", [named])
    if found is None or found["framework"] != "llama_cpp":
        return named
    words = str(given(run, "backend") or card["vendor"] or "").lower()
    known = next((name for word, name in BACK_ENDS.items() if word in words), "llama.cpp")
    year = frameworks.year_of({"framework": named, "source": run.get("source")})
    return f"{known} {year}" if year else known


def uncertain(run: Mapping[str, Any]) -> dict[str, float]:
    """How uncertain the rate of a stream is by what its row does not state (log), and the level of its device.

    Of a prompt, the back end of llama.cpp: a device that has several has no one kernel.  Of a token on n devices, what these
    gain, anything between nothing and n times (evenly in log: ``ln n / sqrt 12``), where the row does not say how they are split,
    or they share each product and their exchange is that of another device.
    """
    words = str(given(run, "backend") or "").lower()
    several = run.get("phase") == "prefill" and any(word in words for word in SEVERAL)
    back_end = BACK_END if several else 0.0
    n, split = given(run, "n_devices") or 1.0, given(run, "split")
    lent = split == "tensor" and hardware(run).spread("allreduce_latency_2") >= SPREAD
    unknown = run.get("phase") == "decode" and (lent or split not in SPLITS)
    gained = math.log(n) / math.sqrt(12.0) if unknown else 0.0
    found = math.hypot(back_end, gained)
    memory = hardware(run)["mem_type"] if given(run, "hardware") is not None else None
    level = {"serving_level": ONE_MACHINE} if str(memory).startswith(SOLDERED) else {}
    return {**level, **({"tokens_per_s": found} if found else {})}


def group(run: Mapping[str, Any]) -> str:
    """Phase and class of device: as stated, but a service whose weights lie beside the chips is of the device's own class."""
    card = hardware(run)
    stated = given(run, "device_class")
    beside = run["phase"] == SERVICE and not card["on_chip_memory"]
    return f"{run['phase']}/{(None if beside else stated) or card['class'] or '?'}"


def service(run: Mapping[str, Any], card: Row, workload: Row) -> Question:
    """A user of a service, as inputs of WeightStreamingModel or of ServingModel."""
    wide = Precision.BF16 if card["peak_bf16"] else Precision.FP16
    narrow = bits(run) < NARROW
    inputs: dict[str, Any] = {
        "model": workload,
        "hardware": card,
        "precision": int(Precision.INT8 if narrow and card["peak_int8"] else wide),
        "kv_precision": int(wide),
        "batch_size": 1.0,
        "seq_len": float(round(given(run, "depth_tokens") or SERVED)),
        "max_context": 0.0,
    }
    speed = given(run, "measured_tokens_per_s")
    measured = {} if speed is None else {"tokens_per_s": speed}
    if card["on_chip_memory"]:
        inputs["max_parts"] = given(run, "n_devices") or PLENTY
        return Question("resident", inputs, {}, {"tokens_per_s": ("tokens_per_s_per_user", 1.0, 1.0)}, measured, {})
    if given(run, "device_class") != DATAFLOW:
        raise Refused(
            f"{SERVICE} is of devices with memory on the chip, or of dataflow devices (device_class={DATAFLOW}): of "
            "others a service has a load, see the columns of serving runs"
        )
    node = zoo.system(card["default_system"])["accelerators_per_node"] if card["default_system"] else 1.0
    inputs |= {"tp": given(run, "n_devices") or node, "memory_fraction": WHOLE_DEVICE, "fleet_size": 0.0}
    inputs |= {"pp": 1.0, "bandwidth_efficiency": DATAFLOW_BANDWIDTH, **dict.fromkeys(FUSED, 0.0)}
    messages = SPLIT_MESSAGES * workload["n_layers"] * Assumptions._field_defaults["wafer_hop_latency"]
    assumed = {**dict.fromkeys(UNHEARD, 0.0), "host_step_time": messages}
    inputs["weight_bytes"] = (bits(run) if narrow else WIDE) / 8.0
    if (
        speed is not None
        and speed * workload["active_params"] * inputs["weight_bytes"] > inputs["tp"] * card["mem_bandwidth"]
    ):
        raise Refused(
            f"{speed:g} tokens/s read weights faster than the memory of {inputs['tp']:g} devices delivers: tokens were "
            "drafted, and the row does not say how"
        )
    return Question("serving", inputs, assumed, {"tokens_per_s": ("tokens_per_s_per_user", 1.0, 1.0)}, measured, {})


def question(run: Mapping[str, Any], forgotten: Collection[str] = ()) -> Question:
    """A row as inputs of ServingModel, or of WeightStreamingModel; `forgotten` are lines of settings that are not known."""
    card, workload = hardware(run), model(run)
    phase = given(run, "phase")
    if phase not in PHASES:
        raise Refused(f"phase {phase!r} is not known: {', '.join(PHASES)}")
    if phase == SERVICE:
        return service(run, card, workload)
    found, setting = frameworks.of_run("engine", {**run, "framework": None, "engine": engine(run, card)}, (), forgotten)
    fitted = frameworks.read_off(found, frameworks.own_settings(run))
    known = frameworks.known_of(found)
    wide = Precision.FP16 if card["peak_fp16"] or not card["peak_bf16"] else Precision.BF16
    width = bits(run)
    inputs: dict[str, Any] = {
        "model": workload,
        "hardware": card,
        "precision": int(wide),
        "kv_precision": int(wide),
        "batch_size": 1.0,
        "memory_fraction": WHOLE_DEVICE,
        "fleet_size": 0.0,
        "max_context": 0.0,
    }
    if own_experts(workload) and width < NARROW:
        inputs["expert_bytes"] = zoo.format_record(Precision.MXFP4).weight_bytes
    elif width < NARROW:
        inputs |= {"precision": int(Precision.INT4), "weight_bytes": layer_bytes(workload, width)}
    inputs |= degrees(run, setting)
    defaults = Assumptions._field_defaults
    assumed = {name: scaled(setting[name], defaults[name]) for name in setting if name in defaults}
    assumed |= {"frontend_time": 0.0, "frontend_token_time": 0.0, "frontend_client_time": 0.0}
    assumed |= {"first_token_scatter": 1.0}  # of prompts that meet: one alone meets none
    depth = float(round(given(run, "depth_tokens") or 0.0))
    if phase == "prefill":
        prompt = float(round(given(run, "prompt_tokens") or PROMPT))
        inputs |= {
            "seq_len": depth + prompt,
            "cached_prefix": depth,
            "prefill_chunk": setting.get("prefill_chunk", 8192.0),
        }
        targets = {"tokens_per_s": ("ttft", prompt, -1.0)}
    else:
        answer = given(run, "gen_tokens") or ANSWER
        inputs["seq_len"] = max(float(round(depth + answer / 2.0)), CONTEXT)
        assumed |= {"mixture_serving_level": 1.0}  # of grouped products and exchanges: one token has neither
        targets = {"tokens_per_s": ("tokens_per_s", 1.0, 1.0)}
    speed = given(run, "measured_tokens_per_s")
    return Question(
        "serving", inputs, assumed, targets, {} if speed is None else {"tokens_per_s": speed}, fitted, known
    )


def degrees(run: Mapping[str, Any], setting: Mapping[str, Any]) -> dict[str, float]:
    """Devices that share each product (`tp`), or take layers in turn (`pp`)."""
    n = given(run, "n_devices") or 1.0
    split = given(run, "split")
    tensor = split == "tensor" if split in SPLITS else bool(setting.get("tensor_split", 1.0))
    return {"tp": n, "pp": 1.0} if tensor else {"tp": 1.0, "pp": n}
