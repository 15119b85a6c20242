"""A model from the ``config.json`` of its checkpoint (Hugging Face conventions)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from mlsysim import units
from mlsysim.zoo import config_file, own
from mlsysim.zoo.config_file import ConfigFile
from mlsysim.zoo.spelling import nearest
from mlsysim.zoo.tables import Row

_GATED = """llama mistral mixtral qwen2 qwen3 qwen2_moe qwen3_moe phi3 deepseek_v2 deepseek_v3 deepseek_v32
kimi_k2 glm4 glm4_moe gpt_oss olmo olmo2 granite internlm2 minimax_m2 llama4_text baichuan"""
#: model_type -> (gated feed-forward network, embeddings tied by default, learned positions)
FAMILIES: dict[str, tuple[bool, bool, bool]] = {
    **dict.fromkeys(_GATED.split(), (True, False, False)),
    **dict.fromkeys(("gemma", "gemma2", "gemma3_text", "cohere", "cohere2"), (True, True, False)),
    **dict.fromkeys(("gpt2", "opt"), (False, True, True)),
    **dict.fromkeys(("gpt_neox", "phi"), (False, False, False)),
    **dict.fromkeys(("bloom", "falcon", "starcoder2"), (False, True, False)),
}

#: field of a workload -> names it goes by
_NAMES: dict[str, tuple[str, ...]] = {
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "n_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "n_heads": ("num_attention_heads", "n_head", "n_heads"),
    "vocab": ("vocab_size",),
    "max_context": ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"),
    "n_experts": ("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts"),
    "experts_per_token": (
        "num_experts_per_tok",
        "num_experts_per_token",
        "moe_top_k",
        "num_selected_experts",
    ),
}
_REQUIRED = ("hidden", "n_layers", "n_heads", "vocab")
#: keys of models whose layers are of other kinds than attention and a feed-forward network or experts
_OTHER_LAYERS = re.compile(
    "hybrid_override_pattern|full_attention_interval|attn_layer_period|expert_layer_period|attn_type_list|block_configs|"
    "(mamba|ssm|linear_(num|key|value|conv|attn))_?.*|state_size|(en|de)coder_layers|num_(en|de)coder_layers|ffn_config|"
    "attn_config|mlp_only_layers"
)
_NOT_UNDERSTOOD = (
    "tells of layers that are not understood (state space, linear attention, encoder and decoder, sizes by layer): "
    "describe the model with ms.Workload(...)"
)
#: head widths of latent attention -> their keys
_LATENT = {"nope_head_dim": "qk_nope_head_dim", "rope_head_dim": "qk_rope_head_dim", "v_head_dim": "v_head_dim"}
_WHOLE_CONTEXT, _LOCAL = ("full_attention", "global_attention"), ("sliding_attention", "chunked_attention")


def _refuse_other_layers(config: ConfigFile) -> None:
    """Raise for a model of which a part would go uncounted; no hint can make up for that."""
    for key, value in config.content.items():
        same = isinstance(value, (list, tuple)) and all(one == 1 for one in value)  # every layer is full attention
        if _OTHER_LAYERS.fullmatch(str(key)) and value not in (None, 0, False, "", {}) and not same:
            raise config.refuse(key, _NOT_UNDERSTOOD)
    odd = [kind for kind in config.texts("layer_types") if kind not in (*_WHOLE_CONTEXT, *_LOCAL)]
    if odd:
        known = ", ".join((*_WHOLE_CONTEXT, *_LOCAL))
        raise config.refuse("layer_types", f"has layers of kind {odd[0]!r}: {known} are understood")


def _local_layers(config: ConfigFile, layers: float, kind: str) -> float:
    """How many layers look no further than their window; families whose files do not say have a default."""
    kinds = config.texts("layer_types")
    if kinds:
        return float(sum(one in _LOCAL for one in kinds))
    every = config.number("n_layers", "sliding_window_pattern", "_sliding_window_pattern", least=1)
    every = every or {"gemma2": 2.0, "gemma3": 6.0, "gemma3_text": 6.0, "llama4_text": 4.0}.get(kind)
    return layers - layers // every if every else layers


def _size(config: ConfigFile, fields: Mapping[str, Any], name: str, needed: bool = True) -> float:
    """A size that others follow from: from the user, else from the file."""
    if name in fields:
        return units.parse(fields[name], "1", f"{config.name}: {name}")
    found = config.number(name, *_NAMES[name], least=1 if needed else 0)
    if found is None and not needed:
        return 0.0
    if found is None:
        raise ValueError(f"{config.name}: none of {', '.join(_NAMES[name])} is given: add {name}=")
    return found


def _feed_forward(config: ConfigFile, fields: Mapping[str, Any], kind: str, width: float) -> dict[str, float | None]:
    """Widths of the feed-forward networks, and the experts with the layers that have them."""
    dense = config.number("ffn_hidden", "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
    if dense is None and kind in ("gpt2", "bloom", "falcon"):
        dense = 4.0 * width
    if kind == "llama4_text":
        dense, expert = config.number("ffn_hidden", "intermediate_size_mlp") or dense, dense
    else:
        expert = config.number("ffn_hidden", "moe_intermediate_size", least=1) or dense
    if dense is None and expert is None and "ffn_hidden" not in fields:
        raise ValueError(f"{config.name}: none of intermediate_size, n_inner, ffn_dim is given: add ffn_hidden=")
    experts = _size(config, fields, "n_experts", needed=False)
    if not experts:
        return {"ffn_hidden": dense}
    shared = config.number("n_shared_experts", "n_shared_experts", "num_shared_experts")
    together = config.number("ffn_hidden", "shared_expert_intermediate_size")
    if shared is None and together and expert:
        shared = together // expert
    first = config.number("first_dense_layers", "first_k_dense_replace") or 0.0
    interval = config.number("moe_layer_interval", "interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_freq") or 1.0
    grouped = (config.number("n_experts", "n_group") or 1.0) > 1.0  # groups of experts lie on nodes: a token goes to some of them
    return {
        "n_experts": experts,
        "experts_per_token": _size(config, fields, "experts_per_token"),
        "ffn_hidden": expert,
        "first_dense_layers": first,
        "moe_layer_interval": interval,
        "dense_ffn_hidden": dense if first or interval > 1.0 else None,
        "n_shared_experts": 1.0 if shared is None and kind == "llama4_text" else shared or 0.0,
        "expert_node_limit": config.number("expert_node_limit", "topk_group") if grouped else None,
    }


def _attention(config: ConfigFile, fields: Mapping[str, Any], kind: str, width: float, heads: float) -> dict[str, float | None]:
    """Heads and their widths, or the ranks of latent attention."""
    latent = config.number("kv_lora_rank", "kv_lora_rank")
    if latent:
        found: dict[str, float | None] = {"kv_lora_rank": latent, "n_kv_heads": heads}
        found["q_lora_rank"] = config.number("q_lora_rank", "q_lora_rank") or 0.0
        for field, key in _LATENT.items():
            found[field] = config.number(field, key)
            if found[field] is None and field not in fields:
                raise ValueError(f"{config.name}: kv_lora_rank is given and {key} is not: add {field}=")
        parts = (fields.get(name, found[name]) for name in ("nope_head_dim", "rope_head_dim"))
        return {**found, "head_dim": sum(units.parse(part, "1", config.name) for part in parts)}
    group = config.number("n_kv_heads", "num_key_value_heads", "num_kv_heads", "multi_query_group_num", least=1)
    shared = config.flag("multi_query", False)
    if group is None or (kind == "falcon" and shared and not config.flag("new_decoder_architecture", False)):
        group = 1.0 if shared else heads
    return {"n_kv_heads": group, "head_dim": config.number("head_dim", "head_dim", least=1) or width // heads}


def from_config(
    config: str | os.PathLike[str] | Mapping[str, Any], *, name: str | None = None, **fields: Any
) -> Row:
    """A workload from a model's ``config.json``.

    Parameters
    ----------
    config : path or mapping
        The file, the folder that holds it, or its content.  Nested text configurations are followed.
    name : str, optional
        What the row is called; by default what the file says of itself, else its folder.
    **fields
        Fields of a workload that the file lacks or has wrong, as in `Workload`.

    Raises
    ------
    ValueError
        An unknown ``model_type`` without `gated_ffn=` and `tied_embeddings=`, a size that the file does not
        give, a value that is no number or out of all bounds, layers of a kind that is not understood, or a
        file that is no JSON object; the message names the file and the key.

    Notes
    -----
    Dense transformers, experts (shared, leading dense layers, every n-th layer), latent attention, sliding
    windows and explicit head sizes are understood; numbers may be written as text.  Parameters are counted
    from the configuration: biases, query norms and the final norm are not.

    Examples
    --------
    >>> row = from_config({"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32,
    ...     "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336,
    ...     "vocab_size": 128256})
    >>> row["total_params"]
    8030257152.0
    """
    whole, place = config_file.read(config)
    inner = whole.language_model()
    kind = inner.text("model_type")
    label = name or whole.text("_name_or_path") or place or kind or "config"
    known = FAMILIES.get(kind)
    if known is None:
        missing = [f for f in ("gated_ffn", "tied_embeddings") if f not in fields]
        if missing:
            near = nearest(kind, FAMILIES)
            raise ValueError(
                f"{inner.name}: model_type {kind!r} is not known{'; nearest: ' + ', '.join(near) if near else ''}; "
                f"give {' and '.join(f + '=0 or 1' for f in missing)}"
            )
        known = (True, True, False)  # both are given by the user
    gated, tied, positions = known
    _refuse_other_layers(inner)

    width, layers, heads, vocab = (_size(inner, fields, size) for size in _REQUIRED)
    found: dict[str, Any] = {"hidden": width, "n_layers": layers, "n_heads": heads, "vocab": vocab}
    found["max_context"] = inner.number("max_context", *_NAMES["max_context"])
    found["gated_ffn"] = float(gated)
    found["tied_embeddings"] = float(inner.flag("tie_word_embeddings", tied))
    found.update(_feed_forward(inner, fields, kind, width))
    found.update(_attention(inner, fields, kind, width, heads))
    window = inner.number("sliding_window", "sliding_window", "attention_chunk_size")
    if window and inner.flag("use_sliding_window", True):
        found["sliding_window"], found["local_layers"] = window, _local_layers(inner, layers, kind)
    if positions and found["max_context"]:
        found["extra_params"] = found["max_context"] * width
    found.update(fields)
    row = own.Workload(name=label, **{field: value for field, value in found.items() if value is not None})
    shape = "MLA-MoE" if found.get("kv_lora_rank") else "MoE" if found.get("n_experts") else "dense transformer"
    row.values_by_column.update(source="config.json of the checkpoint", family=kind, kind=shape)
    return row
