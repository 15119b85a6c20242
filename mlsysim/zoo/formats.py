"""Number formats: from a precision to a `Format`, bytes a value by part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsysim.schema.codes import Precision
from mlsysim.schema.records import Format

#: bits a weight of the types of GGUF files, scales included (github.com/ggml-org/llama.cpp, examples/quantize README); of
#: the mixed K types the mean of a Llama file
GGUF_BITS = {
    Precision.Q8_0: 8.5,
    Precision.Q6_K: 6.5625,
    Precision.Q5_K_M: 5.69,
    Precision.Q5_0: 5.5,
    Precision.Q4_K_M: 4.85,
    Precision.Q4_0: 4.5,
    Precision.IQ4_XS: 4.25,
    Precision.Q3_K_M: 3.91,
    Precision.Q2_K: 3.35,
}
#: formats in which weights are stored only: products are 16 bits wide
WEIGHT_ONLY = (Precision.INT4, *GGUF_BITS)

#: bytes per value: weights with their scales (int4: 128 values share an fp16 scale; nvfp4: 16 share an 8-bit
#: scale; mxfp4: 32 share an 8-bit scale), activations, GEMM inputs, working weights of training
_BYTES: dict[Precision, tuple[float, float, float, float]] = {
    Precision.FP32: (4.0, 4.0, 4.0, 4.0),
    Precision.TF32: (4.0, 4.0, 4.0, 4.0),
    Precision.FP16: (2.0, 2.0, 2.0, 2.0),
    Precision.BF16: (2.0, 2.0, 2.0, 2.0),
    Precision.FP8: (1.0, 2.0, 1.0, 2.0),
    Precision.INT8: (1.0, 2.0, 1.0, 2.0),
    Precision.INT4: ((4.0 + 16.0 / 128.0) / 8.0, 2.0, 2.0, 2.0),
    Precision.NVFP4: ((4.0 + 8.0 / 16.0) / 8.0, 2.0, (4.0 + 8.0 / 16.0) / 8.0, 2.0),
    Precision.MXFP4: ((4.0 + 8.0 / 32.0) / 8.0, 2.0, (4.0 + 8.0 / 32.0) / 8.0, 2.0),
    **{precision: (bits / 8.0, 2.0, 2.0, 2.0) for precision, bits in GGUF_BITS.items()},
}


#: parts of a model whose products may have a format of their own, and all that may be stored in one
PRODUCTS = ("attention", "expert", "shared_expert")
PARTS = (*PRODUCTS, "head", "embedding")


#: formats whose checkpoints state a format of the cache, too, which engines obey: ModelOpt writes NVFP4 with an 8-bit one
CACHES = {Precision.NVFP4: Precision.FP8}


def cache_format(precision: int, kv_precision: int | None) -> Precision | None:
    """The format of the cache: what is given, else what comes with the checkpoint, None for that of activations."""
    return CACHES.get(Precision(int(precision))) if kv_precision is None else Precision(int(kv_precision))


def format_record(
    precision: int, kv_precision: int | None = None, parts: Mapping[str, int | None] | None = None, **given: Any
) -> Format:
    """Bytes per value at a precision.

    Parameters
    ----------
    precision, kv_precision : int
        Codes of `mlsysim.schema.codes.Precision`.  Unless `kv_precision` says otherwise the KV cache is as wide as
        activations (an fp8 model keeps a 16-bit cache), and 8 bits wide beside formats of `CACHES`.
    parts : mapping, optional
        Part of the model (`PARTS`) -> its precision.  Attention and experts are as wide as the other weights,
        head and embedding as activations (in a GGUF file as the weights), unless it says otherwise.
    **given
        Fields that hold whatever the precision says: parts are as wide as the other weights, the cache as
        activations, unless they are given themselves.

    Examples
    --------
    >>> format_record(Precision.NVFP4).weight_bytes, format_record(Precision.FP8, Precision.FP8).kv_bytes
    (0.5625, 1.0)
    >>> [format_record(p).kv_bytes for p in (Precision.FP8, Precision.NVFP4)]
    [2.0, 1.0]
    >>> format_record(Precision.BF16, weight_bytes=0.5).expert_bytes
    0.5
    >>> format_record(Precision.FP8, parts={"attention": Precision.BF16}).attention_bytes
    2.0
    """
    precision = Precision(int(precision))
    weight, activation, gemm_input, parameter = _BYTES[precision]
    weight, activation = given.get("weight_bytes", weight), given.get("activation_bytes", activation)
    cache = cache_format(precision, kv_precision)
    kv = activation if cache is None else _BYTES[cache][0]
    stored_in = {part: code for part, code in (parts or {}).items() if code is not None}
    of_tables = weight if precision in GGUF_BITS else activation
    fields = {
        "weight_bytes": weight,
        **{f"{part}_bytes": weight if part in PRODUCTS else of_tables for part in PARTS},
        **{f"{part}_bytes": _BYTES[Precision(int(code))][0] for part, code in stored_in.items()},
        "activation_bytes": activation,
        "kv_bytes": kv,
        "gemm_input_bytes": gemm_input,
        "parameter_bytes": parameter,
        "weight_only": float(precision in WEIGHT_ONLY),
        "quantised": float(precision in (Precision.FP8, Precision.INT8, Precision.NVFP4, Precision.MXFP4)),
    }
    return Format(**{**fields, **given})
