"""Training runs: what a source leaves open, which step time its figure means, what the model predicts.

Settings that a source leaves blank follow the same rules for every row:

* micro-batch, pipeline chunks, stages, ZeRO stage: the feasible combination that the model finds fastest, all candidates
  in one vectorised call; recomputation: everything before 2023, later the least that fits;
* tensor parallelism: 8 above 10 B parameters, else 1; data parallelism: what the devices leave;
* sequence length, attention kernel, overlap, bytes kept: what the framework does, and where none is named what was usual
  for such a run in its year (`mlsysim.calibration.frameworks.likely`);
* batch: 4 Mi tokens, the size of GPT-3 to Llama, in whole rounds of the pipeline;
* precision: bf16 where the device has it, else fp16;
* gate, tied tables, head width 128 or hidden / heads, feed-forward width: as the parameter count says;
* a `gpu` label that states another capacity, bandwidth or power limit than the hardware row changes the device.

A run whose layout fits nowhere by the model's memory is still priced (`fits` is False).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mlsysim import zoo
from mlsysim.calibration.overrides import with_columns
from mlsysim.calibration.rules import PRECISIONS, TERA, Refused, given
from mlsysim.equations import architecture
from mlsysim.schema import codes
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Attention, FlopsConvention, Limit, Precision, Recompute, Schedule
from mlsysim.zoo.frameworks import scaled
from mlsysim.zoo.row import Row
from mlsysim.zoo.spelling import UnknownName

#: tokens of a batch that nobody states
BATCH_TOKENS = 2.0**22
#: parameters above which Megatron layouts use the whole node for tensor parallelism
LARGE = 10e9
NODE = 8
#: micro-batches and pipeline chunks that are tried
MICRO_BATCHES = (1, 2, 4, 8, 16, 32)
CHUNKS = (1, 2, 3, 4, 5, 6, 8, 10, 12)
STAGES = (1, 2, 4, 8, 16, 32)
VOCAB = 51200.0  #: a vocabulary that nobody states: GPT-2's, padded
#: year from which activations are recomputed only as far as memory asks
SELECTIVE_SINCE = 2023


class Candidate(NamedTuple):
    """One way of filling what a row leaves blank: inputs of DistributedModel, and how far recomputation goes."""

    inputs: dict[str, Any]
    recompute: int


# --- what the row says -------------------------------------------------------------------------------------


def precision(run: Mapping[str, Any], hardware: Row) -> Precision:
    """The format of the matrix products."""
    label = given(run, "precision")
    if label is None:
        return Precision.BF16 if hardware["peak_bf16"] else Precision.FP16
    text = label.strip().lower().replace("-", "_")
    if text not in PRECISIONS:
        raise Refused(f"precision {label!r} is not known: {', '.join(PRECISIONS)}")
    return PRECISIONS[text]


def model(run: Mapping[str, Any]) -> Row:
    """The model of a row: the zoo's by `model_key` or `model` with what its columns state otherwise, else built from the
    architecture columns: a mixture with `n_experts`, `top_k` and `expert_ffn`, else dense."""
    missing = [c for c in ("n_layers", "hidden") if given(run, c) is None]
    key = given(run, "model_key") or given(run, "model")
    if key is not None:
        try:
            return with_columns(zoo.model(key), run)
        except UnknownName as error:
            if given(run, "model_key") is not None or given(run, "n_layers") is None:
                raise Refused(str(error)) from None
    if missing:
        raise Refused(f"no model_key, and the architecture lacks {' and '.join(missing)}")
    hidden, layers = run["hidden"], run["n_layers"]
    heads = given(run, "heads") or hidden / 128.0
    kv_heads = given(run, "kv_heads") or heads
    vocab = given(run, "vocab") or VOCAB
    count = given(run, "n_params")
    experts = _experts(run)
    best: tuple[float, dict[str, float]] | None = None
    for gated, tied, width in itertools.product((0.0, 1.0), (1.0, 0.0), dict.fromkeys((hidden / heads, 128.0))):
        if width != int(width):
            continue
        fields = {
            "n_layers": layers,
            "hidden": hidden,
            "n_heads": heads,
            "n_kv_heads": kv_heads,
            "head_dim": width,
            "vocab": vocab,
            "gated_ffn": gated,
            "tied_embeddings": tied,
            "ffn_hidden": given(run, "ffn_hidden") or 4.0 * hidden,
            **experts,
        }
        if count is not None and given(run, "ffn_hidden") is None and not experts:
            without = zoo.parameters({**fields, "ffn_hidden": 0.0})
            wide = (count - without) / (layers * (2.0 + gated) * hidden)
            if abs(wide / (4.0 * hidden) - 1.0) > 0.1 and wide > 0:
                fields["ffn_hidden"] = max(round(wide / 256.0), 1) * 256.0
        off = abs(math.log(zoo.parameters(fields) / count)) if count else 0.0
        if given(run, "ffn_hidden") is None and not experts and fields["ffn_hidden"] != 4.0 * hidden:
            off += 0.05
        if best is None or off < best[0] - 0.005:
            best = (off, fields)
    if best is None:
        raise Refused(f"heads={heads:g} do not divide hidden={hidden:g}")
    return zoo.Workload(name=str(given(run, "model", "model_label") or "architecture of the row"), **best[1])


def _experts(run: Mapping[str, Any]) -> dict[str, float]:
    """Fields of a mixture that columns describe; none of a dense model."""
    if given(run, "n_experts") is None:
        return {}
    width = given(run, "expert_ffn", "ffn_hidden")
    missing = [c for c, v in (("top_k", given(run, "top_k")), ("expert_ffn", width)) if v is None]
    if missing:
        raise Refused(f"n_experts={run['n_experts']:g} lacks {' and '.join(missing)}")
    return {"n_experts": run["n_experts"], "experts_per_token": run["top_k"], "ffn_hidden": width}


def micro_batches(batch: float, dp: float) -> list[float]:
    """Micro-batches that divide the sequences of a replica."""
    each = batch / dp
    return [float(b) for b in MICRO_BATCHES if each % b == 0] or [each]


def candidates(run: Mapping[str, Any], workload: Row, setting: Mapping[str, Any], since: float) -> list[Candidate]:
    """Every way of filling what a row leaves blank."""
    n = given(run, "n_gpus")
    sizes = {d: given(run, d) for d in ("tp", "pp", "dp", "cp", "ep")}
    if n is None and (sizes["dp"] is None or sizes["tp"] is None or sizes["pp"] is None):
        raise Refused("the number of devices is stated neither by n_gpus nor by tp, pp and dp")
    tp = sizes["tp"] or (float(NODE) if workload["total_params"] > LARGE else 1.0)
    cp = sizes["cp"] or 1.0
    layers = workload["n_layers"]
    n = n or tp * sizes["pp"] * cp * sizes["dp"]
    if sizes["dp"] and sizes["tp"] and sizes["pp"] and tp * sizes["pp"] * cp * sizes["dp"] != n:
        raise Refused(f"n_gpus={n:g} is not tp x pp x cp x dp = {tp * sizes['pp'] * cp * sizes['dp']:g}")
    seq_len = given(run, "seq_len") or setting.get("seq_len")
    if seq_len is None:
        raise Refused("no sequence length stated")
    pps = [sizes["pp"]] if sizes["pp"] else [float(p) for p in STAGES if n % (tp * p * cp) == 0 and p <= layers]
    zero = given(run, "zero_stage")
    zero = setting.get("zero_stage", 1.0) if zero is None else zero
    label = given(run, "recompute") or setting.get("recompute") or ("full" if since < SELECTIVE_SINCE else None)
    if label is None:
        modes = [int(Recompute.NONE), int(Recompute.SELECTIVE), int(Recompute.FULL)]
    else:
        known_modes = codes.labels(Recompute)
        if str(label).lower() not in known_modes:
            raise Refused(f"recompute {label!r} is not known: {', '.join(known_modes)}")
        modes = [known_modes[str(label).lower()]]
    split = given(run, "sequence_parallel")
    if split is None:  # sequences are split where they can be
        split = setting.get("sequence_parallel", 1.0) * (seq_len % (tp * cp) == 0)
    contiguous = setting.get("context_split") == "contiguous"
    found = []
    for pp in pps:
        dp = n / (tp * pp * cp)
        batch = given(run, "global_batch") or dp * pp * max(
            round((given(run, "batch_tokens") or BATCH_TOKENS) / (seq_len * dp * pp)), 1
        )
        own = given(run, "micro_batch")
        if own is not None:
            sequences = [own * tp] if setting.get("batch_per_device") else [own]
        elif setting.get("microbatches") == "pp" and pp > 1:
            sequences = [batch / (dp * pp)] if batch % (dp * pp) == 0 else micro_batches(batch, dp)
        else:
            sequences = micro_batches(batch, dp)
        most = math.ceil(layers / pp)
        chunks = [given(run, "interleave_v")] if given(run, "interleave_v") else [1.0]
        if given(run, "interleave_v") is None and pp > 1 and setting.get("interleaved"):
            least = setting["interleaved"]
            usual = setting.get("chunks")
            chunks = [usual] if usual and usual <= most else [float(v) for v in CHUNKS if v >= least and v <= most]
        for micro, v, mode in itertools.product(sequences, chunks or [1.0], modes):
            found.append(
                Candidate(
                    {
                        "global_batch": batch,
                        "seq_len": seq_len,
                        "micro_batch": micro,
                        "tp": tp,
                        "pp": pp,
                        "dp": dp,
                        "cp": cp,
                        "ep": sizes["ep"] or 1.0,
                        "context_imbalance": 2.0 - 1.0 / cp if contiguous else 1.0,
                        "virtual_stages": v,
                        "zero_stage": zero,
                        "sequence_parallel": split,
                        "recompute": mode,
                    },
                    mode,
                )
            )
    return found


def options(setting: Mapping[str, Any], hardware: Row) -> dict[str, Any]:
    """Inputs and assumptions that the framework decides."""
    found: dict[str, Any] = {
        "attention": codes.labels(Attention)[setting.get("attention", "flash3")],
        "schedule": codes.labels(Schedule)[setting.get("schedule", "1f1b")],
        "optimizer_offload": setting.get("optimizer_offload", 0.0),
        "fleet_size": 0.0,
    }
    fleet = zoo.fleet_record(None, hardware)
    found |= {name: setting.get(name, getattr(fleet, name)) for name in ("domain_size", "inter_efficiency")}
    return found


def assumed(setting: Mapping[str, Any]) -> dict[str, float]:
    """Assumptions that the framework decides."""
    defaults = Assumptions._field_defaults
    return {name: scaled(setting[name], defaults[name]) for name in setting if name in defaults}


# --- what was measured ---------------------------------------------------------------------------------------


def step_flops(
    run: Mapping[str, Any], workload: Row, batch: float, seq_len: float, convention: str, hardware_flops: bool
) -> float:
    """Operations of a step as a source counts them."""
    record = zoo.workload_record(workload)
    if "6n" in convention or "palm" in convention:  # 6 N + 12 L a d s per token
        n_params = given(run, "n_params") or workload["total_params"]
        heads = record.n_heads * record.head_dim
        return float(batch * seq_len * (6.0 * n_params + 12.0 * record.n_layers * heads * seq_len))
    counted = (
        FlopsConvention.CAUSAL if "causal" in convention and "non-causal" not in convention else FlopsConvention.FULL
    )
    flops = 3.0 * architecture.forward_flops(record, seq_len, counted)
    if hardware_flops:
        positions = architecture.attended_positions(record, seq_len, counted)
        flops = (
            flops
            + architecture.linear_flops(record)
            + record.n_layers * architecture.attention_flops(record, positions)
        )
    return float(batch * seq_len * flops)


def measured(
    run: Mapping[str, Any], workload: Row, hardware: Row, setting: Mapping[str, Any], inputs: Mapping[str, float]
) -> float:
    """The step time that a row states, or that follows from tokens/s, TFLOP/s or a utilization; NaN if none.

    TFLOP/s and utilizations are turned into time with the source's own count of operations: its
    `tflops_convention`, else what the framework of the year counts (full attention up to 2024).
    """
    batch, seq_len = inputs["global_batch"], inputs["seq_len"]
    n = inputs["tp"] * inputs["pp"] * inputs["dp"] * inputs["cp"]
    if (time := given(run, "measured_step_time_s")) is not None:
        return float(time)
    if (rate := given(run, "measured_tokens_per_s_per_gpu")) is not None:
        return float(batch * seq_len / (rate * n))
    if (rate := given(run, "measured_tokens_per_s_total")) is not None:
        return float(batch * seq_len / rate)
    convention = (given(run, "tflops_convention") or "").lower()
    if not any(word in convention for word in ("full", "causal", "6n", "palm", "eq.3")):
        convention += f" {setting.get('flops_convention', 'full')}"
    executed = any(word in convention for word in ("hardware", "recompute")) and not convention.startswith("model")
    peak = zoo.hardware(run["hardware"])["peak_bf16"] or hardware["peak_fp16"]
    if (rate := given(run, "measured_tflops_per_gpu")) is not None:
        return float(step_flops(run, workload, batch, seq_len, convention, executed) / (n * rate * TERA))
    if (share := given(run, "measured_mfu")) is not None:
        return float(step_flops(run, workload, batch, seq_len, convention, False) / (n * share * peak))
    if (share := given(run, "measured_hfu")) is not None:
        return float(step_flops(run, workload, batch, seq_len, convention, True) / (n * share * peak))
    return math.nan


def pick(step_time: np.ndarray, limit: np.ndarray, memory: np.ndarray, mode: Sequence[int] | np.ndarray) -> int | None:
    """The candidate to take: least recomputation that fits, then fastest; where nothing fits, the smallest memory."""
    fits, modes = limit == Limit.NONE, np.asarray(mode)
    if fits.any():
        least = fits & (modes == modes[fits].min())
        return int(np.argmin(np.where(least, step_time, np.inf)))
    legal = limit == Limit.MEMORY
    if legal.any():
        return int(np.argmin(np.where(legal, memory, np.inf)))
    return None
