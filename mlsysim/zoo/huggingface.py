"""A model from the ``config.json`` of its checkpoint (Hugging Face conventions), read as plain JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlsysim.zoo import own, tables
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


def _first(config: Mapping[str, Any], *names: str) -> Any:
    return next((config[name] for name in names if config.get(name) is not None), None)


def _local_layers(config: Mapping[str, Any], layers: int, kind: str) -> int:
    kinds = config.get("layer_types")
    if kinds:
        return sum(k in ("sliding_attention", "chunked_attention") for k in kinds)
    pattern = config.get("sliding_window_pattern") or config.get("_sliding_window_pattern")
    if pattern or kind.startswith(("gemma2", "gemma3")):
        return layers - layers // int(pattern or (2 if kind == "gemma2" else 6))
    return layers


def from_config(
    config: str | os.PathLike | Mapping[str, Any], *, name: str | None = None, **fields: Any
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
        An unknown ``model_type`` without `gated_ffn=` and `tied_embeddings=`, or a size that the file does
        not give; the message says which.

    Notes
    -----
    Dense transformers, experts (shared, leading dense layers, every n-th layer), latent attention, sliding
    windows and explicit head sizes are understood.  Parameters are counted from the configuration: biases,
    query norms and the final norm are not.

    Examples
    --------
    >>> row = from_config({"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32,
    ...     "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336,
    ...     "vocab_size": 128256})
    >>> row["total_params"]
    8030257152.0
    """
    label = name
    if not isinstance(config, Mapping):
        path = Path(config)
        path = path / "config.json" if path.is_dir() else path
        label = label or path.resolve().parent.name
        config = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(config, Mapping)
    label = name or config.get("_name_or_path") or label or str(config.get("model_type"))
    for nested in ("text_config", "language_config", "llm_config"):
        if isinstance(config.get(nested), Mapping):
            config = {**{k: v for k, v in config.items() if k == "tie_word_embeddings"}, **config[nested]}
    kind = str(config.get("model_type", ""))
    known = FAMILIES.get(kind)
    if known is None:
        missing = [f for f in ("gated_ffn", "tied_embeddings") if f not in fields]
        if missing:
            near = tables.nearest(kind, FAMILIES)
            raise ValueError(
                f"config: model_type {kind!r} is not known{'; nearest: ' + ', '.join(near) if near else ''}; "
                f"give {' and '.join(f + '=0 or 1' for f in missing)}"
            )
        known = (bool(fields["gated_ffn"]), bool(fields["tied_embeddings"]), False)
    gated, tied, positions = known

    found: dict[str, Any] = {field: _first(config, *names) for field, names in _NAMES.items()}
    for field in _REQUIRED:
        if found[field] is None and field not in fields:
            raise ValueError(f"config: none of {', '.join(_NAMES[field])} is given: add {field}=")
    found.update({k: v for k, v in fields.items() if k in found})
    width, heads, layers = int(found["hidden"]), int(found["n_heads"]), int(found["n_layers"])
    found["gated_ffn"], found["tied_embeddings"] = (
        float(gated),
        float(config.get("tie_word_embeddings", tied)),
    )
    group = _first(config, "num_key_value_heads", "num_kv_heads", "multi_query_group_num")
    if group is None or (
        kind == "falcon" and not config.get("new_decoder_architecture") and config.get("multi_query")
    ):
        group = 1 if config.get("multi_query") else heads
    found["n_kv_heads"] = group
    found["head_dim"] = _first(config, "head_dim") or width // heads
    dense = _first(config, "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
    if dense is None and kind in ("gpt2", "bloom", "falcon"):
        dense = 4 * width
    if kind == "llama4_text":
        dense, expert = _first(config, "intermediate_size_mlp") or dense, dense
    else:
        expert = _first(config, "moe_intermediate_size") or dense
    if dense is None and "ffn_hidden" not in fields:
        raise ValueError("config: none of intermediate_size, n_inner, ffn_dim is given: add ffn_hidden=")
    found["ffn_hidden"] = dense
    if found["n_experts"]:
        found["ffn_hidden"] = expert
        found["first_dense_layers"] = config.get("first_k_dense_replace") or 0
        found["moe_layer_interval"] = (
            _first(config, "interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_freq") or 1
        )
        if found["first_dense_layers"] or found["moe_layer_interval"] > 1:
            found["dense_ffn_hidden"] = dense
        shared = _first(config, "n_shared_experts", "num_shared_experts")
        if shared is None and config.get("shared_expert_intermediate_size"):
            shared = config["shared_expert_intermediate_size"] // expert
        if (config.get("n_group") or 1) > 1:  # experts lie in groups, one a node, and a token goes to some of them
            found["expert_node_limit"] = config.get("topk_group")
        found["n_shared_experts"] = 1 if shared is None and kind == "llama4_text" else shared or 0
    else:
        found["n_experts"] = found["experts_per_token"] = None
    if config.get("kv_lora_rank"):
        found["q_lora_rank"], found["kv_lora_rank"] = config.get("q_lora_rank") or 0, config["kv_lora_rank"]
        found["nope_head_dim"], found["rope_head_dim"] = (
            config.get("qk_nope_head_dim"),
            config.get("qk_rope_head_dim"),
        )
        found["v_head_dim"] = config.get("v_head_dim")
        found["head_dim"] = found["nope_head_dim"] + found["rope_head_dim"]
        found["n_kv_heads"] = heads
    window = _first(config, "sliding_window", "attention_chunk_size")
    if window and config.get("use_sliding_window", True) is not False:
        found["sliding_window"], found["local_layers"] = window, _local_layers(config, layers, kind)
    if positions and found["max_context"]:
        found["extra_params"] = float(found["max_context"]) * width
    found.update(fields)
    row = own.Workload(name=label, **{field: value for field, value in found.items() if value is not None})
    shape = (
        "MLA-MoE" if found.get("kv_lora_rank") else "MoE" if found.get("n_experts") else "dense transformer"
    )
    row.values_by_column.update(source="config.json of the checkpoint", family=kind, kind=shape)
    return row
