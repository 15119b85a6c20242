"""In which number formats a checkpoint is stored: what ``quantization_config`` and ``hf_quant_config.json`` say.

Checkpoints quantise a part of a model: linear layers, without the head and without what a list names.  The list is
read layer by layer, so a part of which some layers are left in 16 bits has the mean of both widths.

References
----------
Configurations as written by transformers (fp8, fbgemm_fp8, mxfp4, awq, gptq, bitsandbytes), llm-compressor
(compressed-tensors) and NVIDIA ModelOpt (modelopt).
"""

from __future__ import annotations

import csv
import fnmatch
import functools
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mlsysim.schema.codes import Precision, label
from mlsysim.zoo import config_file
from mlsysim.zoo.config_file import ConfigFile
from mlsysim.zoo.formats import CACHES, format_record

#: bytes of a weight that is left as it was
WHOLE = 2.0
#: bits of the scale of a group of integers, in 16 bits, and of its zero point, which is as wide as the weights
SCALE_BITS = 16.0
#: part of a model -> where its matrices are in a layer
_MATRICES = {
    "attention": ("self_attn.q_proj", "self_attn.o_proj"),
    "dense": ("mlp.gate_proj", "mlp.down_proj"),
    "expert": ("mlp.experts.0.gate_proj", "mlp.experts.0.down_proj"),
    "shared_expert": ("mlp.shared_experts.gate_proj", "mlp.shared_experts.down_proj"),
}
_LAYERS = ("model.layers", "language_model.model.layers", "model.language_model.layers")
#: what `quant_method` or `quant_algo` calls a format
_FORMATS = {
    "fp8": Precision.FP8,
    "fbgemm_fp8": Precision.FP8,
    "fp8_pb_wo": Precision.FP8,
    "fp8_per_channel_per_token": Precision.FP8,
    "mxfp4": Precision.MXFP4,
    "nvfp4": Precision.NVFP4,
    "int8": Precision.INT8,
    "w4a16_awq": Precision.INT4,
}


class Checkpoint(NamedTuple):
    """The formats of a checkpoint."""

    inputs: dict[str, int]  #: input of a resolver -> code of `Precision`
    nbytes: dict[str, float]  #: field of a `Format` -> bytes per weight
    sentence: str


class _Scheme(NamedTuple):
    precision: Precision
    nbytes: float
    kept: tuple[str, ...]  #: modules left in 16 bits
    cache: Precision | None


def beside(config: str | os.PathLike[str] | Mapping[str, Any]) -> Mapping[str, Any]:
    """What ``hf_quant_config.json`` beside a file says, nothing where there is none."""
    if isinstance(config, Mapping):
        return {}
    path = Path(config).expanduser()
    path = (path if path.is_dir() else path.parent) / "hf_quant_config.json"
    return config_file.read(path)[0].content if path.is_file() else {}


@functools.cache
def table() -> dict[str, Mapping[str, Any]]:
    """What the files of models say that are published in few bits alone, by key."""
    with open(Path(__file__).parent / "checkpoints.csv", encoding="utf-8", newline="") as handle:
        return {line["key"]: json.loads(line["quantization_config"]) for line in csv.DictReader(handle)}


def published(key: str, layers: float, mixture: bool, dense: bool) -> Checkpoint | None:
    """The formats of a model of the zoo; `layers`, `mixture`, `dense` as in `checkpoint`."""
    said = table().get(key)
    found = _scheme(said) if said else None
    return _formats(said, found, "the published checkpoint", layers, mixture, dense) if said and found else None


def checkpoint(
    config: ConfigFile, sibling: Mapping[str, Any], layers: float, mixture: bool, dense: bool
) -> Checkpoint | None:
    """The formats that a configuration states, None where it states none.

    Parameters
    ----------
    config : ConfigFile
        The whole file.
    sibling : mapping
        Content of ``hf_quant_config.json``.
    layers : float
        Of the model.
    mixture, dense : bool
        Has it layers with experts, and layers without?

    Raises
    ------
    ValueError
        A format that is not understood.
    """
    key = "quantization_config" if config.has("quantization_config") else "compression_config"
    said = config.content.get(key) or sibling.get("quantization")
    if not said:
        return None
    if not isinstance(said, Mapping):
        raise config.refuse(key, "must be an object")
    found = _scheme(said)
    if found is None:
        name = said.get("quant_algo") or said.get("quant_method")
        raise ValueError(
            f"{config.name}: {key}: {name!r} is a number format that is not understood: take {key} out and give "
            f"precision=, or ms.SingleNodeModel(precision=..., weight_bytes=...)"
        )
    return _formats(said, found, f"the checkpoint ({key})", layers, mixture, dense)


def _formats(
    said: Mapping[str, Any], found: _Scheme, where: str, layers: float, mixture: bool, dense: bool
) -> Checkpoint:
    """The formats by part of a model."""
    nbytes = {part: _mean_bytes(found, matrices, int(layers)) for part, matrices in _MATRICES.items()}
    if (
        found.precision == Precision.MXFP4 and said.get("quant_method") == "mxfp4"
    ):  # transformers packs the experts alone
        nbytes |= {"attention": WHOLE, "dense": WHOLE, "shared_expert": WHOLE}
    plain = nbytes["dense"] if dense or not mixture else nbytes["attention"]

    def precision(width: float) -> Precision:
        return found.precision if width < 0.5 * (WHOLE + found.nbytes) else Precision.BF16

    inputs = {"precision": int(precision(plain))}
    for part in ("attention", "expert", "shared_expert"):
        if precision(nbytes[part]) != inputs["precision"]:
            inputs[f"{part}_precision"] = int(precision(nbytes[part]))
    if found.cache is not None:
        inputs["kv_precision"] = int(found.cache)
    elif Precision(inputs["precision"]) in CACHES:  # this one states none
        inputs["kv_precision"] = int(Precision.BF16)
    fields = {"weight_bytes": plain, **{f"{part}_bytes": nbytes[part] for part in nbytes if part != "dense"}}
    named = ", ".join(f"{name}={label(Precision(code))}" for name, code in inputs.items())
    return Checkpoint(inputs, fields, f"{named}: the formats of {where}")


def _scheme(said: Mapping[str, Any]) -> _Scheme | None:
    """Format, width, what is left out and the cache, None where the format is not understood."""
    method = str(said.get("quant_method") or "").lower()
    kept = tuple(
        map(str, said.get("modules_to_not_convert") or said.get("exclude_modules") or said.get("ignore") or ())
    )
    cache = _cache(said)
    if method in ("awq", "gptq"):
        bits, group = float(said.get("bits") or said.get("w_bit") or 4), float(said.get("group_size") or 128)
        zero = said.get("zero_point", True) if method == "awq" else not said.get("sym", True)
        return _integers(bits, group, bool(zero), kept, cache)
    if method == "bitsandbytes":
        if said.get("load_in_8bit"):
            return _Scheme(Precision.INT8, 1.0, kept, cache)
        scales = 8.0 / 64.0 + 32.0 / (64.0 * 256.0) if said.get("bnb_4bit_use_double_quant") else 32.0 / 64.0
        return _Scheme(Precision.INT4, (4.0 + scales) / 8.0, kept, cache)
    groups = said.get("config_groups")
    if isinstance(groups, Mapping) and groups:
        weights = next(iter(groups.values())).get("weights") or {}
        bits, group = float(weights.get("num_bits") or 0), float(weights.get("group_size") or -1)
        if weights.get("type") == "float":
            precision = {8.0: Precision.FP8, 4.0: Precision.MXFP4 if group == 32 else Precision.NVFP4}.get(bits)
            return None if precision is None else _of(precision, kept, cache)
        return _integers(bits, group, not weights.get("symmetric", True), kept, cache) if bits else None
    precision = _FORMATS.get(str(said.get("quant_algo") or method).lower())
    return None if precision is None else _of(precision, kept, cache)


def _of(precision: Precision, kept: tuple[str, ...], cache: Precision | None) -> _Scheme:
    return _Scheme(precision, format_record(precision).weight_bytes, kept, cache)


def _integers(bits: float, group: float, zero: bool, kept: tuple[str, ...], cache: Precision | None) -> _Scheme:
    """Integers that share a scale, and a zero point perhaps, by groups (or by whole rows, where the group is -1)."""
    shared = (SCALE_BITS + (bits if zero else 0.0)) / group if group > 0 else 0.0
    return _Scheme(Precision.INT8 if bits > 4 else Precision.INT4, (bits + shared) / 8.0, kept, cache)


def _cache(said: Mapping[str, Any]) -> Precision | None:
    """The format of the cache, None where it is that of activations."""
    scheme, algorithm = said.get("kv_cache_scheme"), str(said.get("kv_cache_quant_algo") or "").lower()
    if isinstance(scheme, Mapping) and scheme.get("num_bits") == 8:
        return Precision.FP8 if scheme.get("type", "float") == "float" else Precision.INT8
    return _FORMATS.get(algorithm)


def _mean_bytes(scheme: _Scheme, matrices: Iterable[str], layers: int) -> float:
    """Bytes per weight of some matrices, mean over the layers."""
    plain = {pattern for pattern in scheme.kept if not pattern.startswith("re:") and "*" not in pattern}
    rest = [pattern for pattern in scheme.kept if pattern not in plain]
    matchers = [
        re.compile(p[3:] if p.startswith("re:") else f"{fnmatch.translate(p)}|{fnmatch.translate(p + '.*')}")
        for p in rest
    ]
    names = [(layer, matrix) for layer in range(layers) for matrix in matrices]
    whole = sum(any(_kept(f"{stem}.{layer}.{matrix}", plain, matchers) for stem in _LAYERS) for layer, matrix in names)
    share = whole / max(len(names), 1)
    return scheme.nbytes * (1.0 - share) + WHOLE * share


def _kept(name: str, plain: set[str], matchers: list[re.Pattern[str]]) -> bool:
    """Is a matrix among those left in 16 bits: by its name, that of a module around it, or a pattern?"""
    words = name.split(".")
    around = {".".join(words[:n]) for n in range(1, len(words) + 1)} | set(words)
    return not plain.isdisjoint(around) or any(matcher.match(name) for matcher in matchers)
