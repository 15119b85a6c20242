"""Families of checkpoints: what the class behind a ``model_type`` says where a ``config.json`` is silent.

References
----------
Configuration classes of transformers 5.24.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_SIZES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
)


class Family(NamedTuple):
    """What the class of a model says.

    Attributes
    ----------
    gated : three feed-forward matrices instead of two.
    tied : input and output embedding are one table unless the file says otherwise.
    positions : rows that a table of learned positions has beyond the longest context; None: there is no such table.
    silent : values of keys that even complete files leave out.
    sizes : values that a file of several parts leaves out, because it writes only what differs from the class.
    """

    gated: bool = True
    tied: bool = False
    positions: float | None = None
    silent: Mapping[str, Any] = _NOTHING
    sizes: Mapping[str, Any] = _NOTHING


def _sizes(*values: int | None, **more: Any) -> dict[str, Any]:
    """Hidden width, feed-forward width, layers, heads, key/value heads, vocabulary; then others by name."""
    return {**{key: value for key, value in zip(_SIZES, values) if value is not None}, **more}


_LLAMA = _sizes(4096, 11008, 32, 32, None, 32000)
_QWEN = {"use_sliding_window": False}
_QWEN_SIZES = _sizes(4096, 22016, 32, 32, 32, 151936)
_WIDE_HEAD = {"head_dim": 256}
_TIED, _UNGATED, _PLAIN = Family(tied=True), Family(gated=False), Family()

_ORDINARY = """phi3 deepseek_v2 deepseek_v32 glm_moe_dsa kimi_k2 glm glm4_moe olmo olmo2 olmoe granite granitemoe internlm2
internlm3 minimax_m2 baichuan ministral ministral3 mimo phimoe seed_oss stablelm hunyuan_v1_dense hunyuan_v1_moe hunyuan chatglm
dbrx step3p7 solar exaone aquila yi orion xverse"""

#: model_type -> its family
FAMILIES: dict[str, Family] = {
    **dict.fromkeys(_ORDINARY.split(), _PLAIN),
    "llama": Family(sizes=_LLAMA),
    "mistral": Family(silent={"sliding_window": 4096}, sizes=_sizes(4096, 14336, 32, 32, 8, 32000)),
    "mixtral": Family(sizes=_sizes(4096, 14336, 32, 32, 8, 32000, num_local_experts=8, num_experts_per_tok=2)),
    "deepseek_v3": Family(sizes=_sizes(7168, 18432, 61, 128, 128, 129280)),
    "qwen2": Family(silent=_QWEN, sizes=_QWEN_SIZES),
    "qwen2_vl_text": Family(silent=_QWEN, sizes=_sizes(8192, 29568, 80, 64, 8, 152064)),
    "qwen2_5_vl_text": Family(silent=_QWEN, sizes=_sizes(8192, 29568, 80, 64, 8, 152064)),
    **dict.fromkeys(("qwen2_vl", "qwen2_5_vl", "qwen2_moe"), Family(silent=_QWEN)),
    "qwen3_moe": Family(silent=_QWEN),
    "qwen3": Family(silent={**_QWEN, "head_dim": 128}, sizes=_QWEN_SIZES),
    "qwen3_vl_text": Family(silent={**_QWEN, "head_dim": 128}, sizes=_QWEN_SIZES),
    "qwen3_vl_moe_text": Family(silent=_QWEN, sizes=_sizes(2048, 5632, 24, 16, 16, 151936)),
    "glm4": Family(silent={"head_dim": 128}),
    "gpt_oss": Family(silent={"head_dim": 64, "sliding_window": 128, "sliding_window_pattern": 2}),
    "olmo3": Family(silent={"sliding_window": 4096, "sliding_window_pattern": 4}),
    "exaone4": Family(silent={"sliding_window_pattern": 4}),
    "llama4_text": Family(
        silent={"attention_chunk_size": 8192, "no_rope_layer_interval": 4, "head_dim": 128},
        sizes=_sizes(
            5120, 8192, 48, 40, 8, 202048, intermediate_size_mlp=16384, num_local_experts=16, num_experts_per_tok=1
        ),
    ),
    "smollm3": Family(tied=True, silent=_QWEN),
    **dict.fromkeys(("ernie4_5", "ernie4_5_moe"), Family(tied=True, silent={"moe_layer_start_index": 1})),
    "gemma": Family(tied=True, silent=_WIDE_HEAD, sizes=_sizes(3072, 24576, 28, 16, 16, 256000)),
    "gemma2": Family(
        tied=True,
        silent={**_WIDE_HEAD, "sliding_window": 4096, "sliding_window_pattern": 2},
        sizes=_sizes(2304, 9216, 26, 8, 4, 256000),
    ),
    "gemma3_text": Family(
        tied=True,
        silent={**_WIDE_HEAD, "sliding_window": 4096, "sliding_window_pattern": 6},
        sizes=_sizes(2304, 9216, 26, 8, 4, 262208, max_position_embeddings=131072),
    ),
    "cohere": _TIED,
    "cohere2": Family(tied=True, silent={"sliding_window": 4096, "sliding_window_pattern": 4}),
    "gpt2": Family(gated=False, tied=True, positions=0.0),
    "opt": Family(gated=False, tied=True, positions=2.0),
    **dict.fromkeys(("gpt_neox", "phi", "gptj", "nemotron"), _UNGATED),
    **dict.fromkeys(("bloom", "falcon"), Family(gated=False, tied=True)),
    "starcoder2": Family(gated=False, tied=True, silent={"sliding_window": 4096}),
    **dict.fromkeys(("qwen3_next", "qwen3_5", "qwen3_5_moe"), Family(silent=_WIDE_HEAD)),
    **dict.fromkeys(("qwen3_5_text", "qwen3_5_moe_text"), Family(silent=_WIDE_HEAD)),
    **dict.fromkeys(("kimi_linear", "minimax", "jamba", "falcon_h1", "mamba2"), _PLAIN),
    **dict.fromkeys(("granitemoehybrid", "mamba"), _TIED),
    "nemotron_h": _UNGATED,
    "t5": Family(gated=False, tied=True, silent={"max_position_embeddings": 512}),
    **dict.fromkeys(("mt5", "umt5"), Family(gated=False, silent={"max_position_embeddings": 512})),
    **dict.fromkeys(("bert", "roberta", "xlm-roberta"), Family(gated=False, tied=True, positions=0.0)),
}
#: families that see the whole input at once and write nothing
ENCODERS = ("bert", "roberta", "xlm-roberta")
#: families of an encoder and a decoder that attends to it
TWO_STACKS = ("t5", "mt5", "umt5")
#: families of several parts, with the family of their text where that does not say its own name
TEXT_OF = {
    "gemma3": "gemma3_text",
    "llama4": "llama4_text",
    "qwen3_vl": "qwen3_vl_text",
    "qwen3_vl_moe": "qwen3_vl_moe_text",
    "qwen2_vl": "qwen2_vl_text",
    "qwen2_5_vl": "qwen2_5_vl_text",
    "llava": "llama",
    "llava_next": "llama",
    "mistral3": "mistral",
}
#: activations that only networks with a gate have
GATED_ACTIVATIONS = ("silu", "swish", "swiglu", "swigluoai")
