"""A model from the ``config.json`` of its checkpoint (Hugging Face conventions)."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Mapping
from typing import Any

from mlsysim import units
from mlsysim.zoo import checkpoint_format, config_file, custom, hub, layer_kinds, workloads
from mlsysim.zoo.config_file import ConfigFile
from mlsysim.zoo.families import ENCODERS, FAMILIES, GATED_ACTIVATIONS, TEXT_OF, TWO_STACKS, Family
from mlsysim.zoo.row import Row
from mlsysim.zoo.spelling import nearest
from mlsysim.zoo.workloads import workload_record

#: field of a workload -> names it goes by
_NAMES: dict[str, tuple[str, ...]] = {
    "hidden": ("hidden_size", "n_embd", "d_model"),
    "n_layers": ("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
    "n_heads": ("num_attention_heads", "n_head", "n_heads"),
    "vocab": ("vocab_size", "padded_vocab_size"),
    "max_context": ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"),
    "n_experts": ("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts"),
    "experts_per_token": (
        "num_experts_per_tok",
        "num_experts_per_token",
        "experts_per_token",
        "moe_top_k",
        "moe_topk",
        "moe_k",
        "top_k_experts",
        "num_selected_experts",
    ),
}
_REQUIRED = ("hidden", "n_layers", "n_heads", "vocab")
#: keys of layers that no workload can describe
_NEVER = (
    "hybrid_layer_pattern|block_configs|(en|de)coder_layers|num_(en|de)coder_layers|ffn_config|attn_config|compress_ratios|"
    "sparse_attention_config|num_kv_shared_layers|hidden_size_per_layer_input|global_head_dim|"
    "attention_other_setting|image_size|patch_size|is_encoder_decoder|cross_attention_layers|block_types|lru_width|"
    "conv_L_cache|full_attn_idxs|attn_layer_indices|hybrid_layer_ids|mb_per_layer|layer_group_size|use_cla|zero_expert_num|"
    "decay_low_rank_dim|attention_hidden_size|xlstm_.*|slstm_.*"
)
_NOT_IN_ANY_FAMILY = re.compile(_NEVER)
#: keys of layers of other kinds, which only the families that are known to have them may use
_OTHER_LAYERS = re.compile(
    "hybrid_override_pattern|layers_block_type|full_attention_interval|attn_layer_period|expert_layer_period|attn_type_list|"
    f"(mamba|ssm|linear_(num|key|value|conv|attn))_?.*|state_size|moe_latent_size|routed_expert_hidden_size|{_NEVER}"
)
_NOT_UNDERSTOOD = (
    "tells of layers that are not understood (state space, linear attention, encoder and decoder, sizes by layer): "
    "describe the model with ms.Workload(...)"
)
#: head widths of latent attention -> their keys
_LATENT = {"nope_head_dim": "qk_nope_head_dim", "rope_head_dim": "qk_rope_head_dim", "v_head_dim": "v_head_dim"}
_PREDICTION = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules")
_HEAD_WIDTHS = ("head_dim", "attention_head_dim", "kv_channels")
_WHOLE_CONTEXT = ("full_attention", "global_attention", "deepseek_sparse_attention")
_LOCAL = ("sliding_attention", "chunked_attention")
#: keys of DBRX that hold a part of its sizes -> the keys that are read there
_NESTED_SIZES = {"ffn_config": ("ffn_hidden_size", "moe_num_experts", "moe_top_k"), "attn_config": ("kv_n_heads",)}


def _refuse_other_layers(config: ConfigFile) -> None:
    """Raise for a model of which a part would go uncounted; no hint can make up for that."""
    hybrid = config.text("model_type") in layer_kinds.HYBRIDS
    keys = _NOT_IN_ANY_FAMILY if hybrid else _OTHER_LAYERS
    for key, value in config.content.items():
        same = isinstance(value, (list, tuple)) and all(one == 1 for one in value)  # every layer is full attention
        if keys.fullmatch(str(key)) and value not in (None, 0, False, "", {}) and not same:
            raise config.refuse(key, _NOT_UNDERSTOOD)
    odd = [kind for kind in config.texts("layer_types") if kind not in (*_WHOLE_CONTEXT, *_LOCAL)]
    if odd and not hybrid:
        known = ", ".join((*_WHOLE_CONTEXT, *_LOCAL))
        raise config.refuse("layer_types", f"has layers of kind {odd[0]!r}: {known} are understood")


def _without_nested_sizes(config: ConfigFile) -> ConfigFile:
    """DBRX's file with the sizes of its layers beside the others."""
    if config.text("model_type") != "dbrx":
        return config
    content = dict(config.content)
    for key, names in _NESTED_SIZES.items():
        part = content.pop(key, None)
        if isinstance(part, Mapping):
            content.update({name: part[name] for name in names if name in part})
    return ConfigFile(content, config.name)


def _of_two_stacks(config: ConfigFile) -> ConfigFile:
    """T5's file in the words of the others; its two stacks are equally deep, or refused."""
    if config.text("model_type") not in TWO_STACKS:
        return config
    depth = config.number("n_layers", "num_layers", least=1)
    if config.number("n_layers", "num_decoder_layers") not in (None, depth):
        raise config.refuse("num_decoder_layers", "must be num_layers: stacks that differ in depth are not understood")
    content = {
        key: value for key, value in config.content.items() if key not in ("num_decoder_layers", "is_encoder_decoder")
    }
    spelled = {"num_attention_heads": "num_heads", "intermediate_size": "d_ff", "head_dim": "d_kv"}
    spelled |= {"max_position_embeddings": "n_positions"}
    content.update({name: content[key] for name, key in spelled.items() if content.get(key) is not None})
    return ConfigFile(content, config.name, config.nested)


def _known_family(config: ConfigFile, fields: dict[str, Any]) -> tuple[Family, str]:
    """The family of a file, and a remark where its name is new: then its own keys have to tell what it is."""
    kind = config.text("model_type")
    if kind in FAMILIES:
        return FAMILIES[kind], ""
    activation = config.text("hidden_act") or config.text("activation_function")
    told = {
        "gated_ffn": "gated_ffn" in fields or activation in GATED_ACTIVATIONS,
        "tied_embeddings": "tied_embeddings" in fields or config.has("tie_word_embeddings"),
    }
    missing = [field for field, known in told.items() if not known]
    if missing:
        near = nearest(kind, FAMILIES)
        raise ValueError(
            f"{config.name}: model_type {kind!r} is not known{'; nearest: ' + ', '.join(near) if near else ''}; "
            f"give {' and '.join(f + '=0 or 1' for f in missing)}"
        )
    if {"gated_ffn", "tied_embeddings"} <= fields.keys():
        return Family(), ""
    remark = f"model_type {kind!r} is not known: read as a decoder of ordinary shape"
    warnings.warn(f"{config.name}: {remark}", UserWarning, stacklevel=3)
    return Family(), remark


def _local_layers(config: ConfigFile, layers: float) -> float:
    """How many layers look no further than their window."""
    kinds = config.by_layer("layer_types", config.texts("layer_types"), layers)
    if kinds:
        return float(sum(one in _LOCAL for one in kinds))
    rotary = config.by_layer("no_rope_layers", config.flags("no_rope_layers"), layers)
    if rotary:  # Llama 4: layers with rotary embedding are the chunked ones
        return float(sum(rotary))
    if config.has("max_window_layers") and config.has("use_sliding_window"):
        return max(layers - (config.number("n_layers", "max_window_layers") or 0.0), 0.0)
    for key in ("sliding_window_pattern", "_sliding_window_pattern", "no_rope_layer_interval"):
        pattern = config.content.get(key)
        if isinstance(pattern, str) and pattern and set(pattern) <= set("LG"):
            return float(sum(pattern[layer % len(pattern)] == "L" for layer in range(int(layers))))
        every = config.number("n_layers", key, least=1)
        if every:
            return layers - layers // every
    return layers


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


def _listed_experts(config: ConfigFile, layers: float) -> list[bool]:
    """Has a layer experts, by a list of the file; empty where the file has none."""
    if isinstance(config.content.get("moe_layer_freq"), (list, tuple)):
        return config.by_layer("moe_layer_freq", config.flags("moe_layer_freq"), layers)
    if config.has("mlp_layer_types"):
        kinds = config.by_layer("mlp_layer_types", config.texts("mlp_layer_types"), layers)
        return [one != "dense" for one in kinds]
    if config.content.get("moe_layers"):
        sparse = config.indices("moe_layers", layers)
        return [layer in sparse for layer in range(int(layers))]
    return []


def _layers_with_experts(config: ConfigFile, layers: float) -> dict[str, float]:
    """Which layers have experts: all after the first dense ones, every n-th of those, or as many as a list says."""
    first = config.number("first_dense_layers", "first_k_dense_replace", "moe_layer_start_index") or 0.0
    steps = ("interleave_moe_layer_step", "decoder_sparse_step", "moe_layer_freq", "moe_layer_interval")
    sparse, interval = _listed_experts(config, layers), 1.0
    if sparse:
        first = float(sparse.index(True) if True in sparse else len(sparse))
    else:
        interval = config.number("moe_layer_interval", *steps) or 1.0
        # DeepSeek counts layers from 0, the others from 1
        shift = 0.0 if config.first(*steps) == "moe_layer_freq" else 1.0
        last = config.number("n_layers", "moe_layer_end_index")
        last = layers - 1.0 if last is None else last
        dense = config.indices("mlp_only_layers", layers) if config.content.get("mlp_only_layers") else []
        visited = [first <= layer <= last and (layer + shift) % interval == 0 for layer in range(int(layers))]
        sparse = [visit and layer not in dense for layer, visit in enumerate(visited)]
        if dense and interval == 1.0:
            first = float(sparse.index(True) if True in sparse else len(sparse))
    found = {"first_dense_layers": first, "moe_layer_interval": interval}
    if sum(sparse) != (layers - first) // interval:
        found["expert_layers"] = float(sum(sparse))
    return found


def _shared_experts(config: ConfigFile, kind: str, expert: float | None) -> float:
    """Experts that every token visits, in widths of a routed one."""
    widths = (
        "shared_expert_intermediate_size",
        "moe_shared_expert_intermediate_size",
        "shared_intermediate_size",
        "share_expert_dim",
    )
    key = config.first(*widths)
    together = config.number("ffn_hidden", *widths)
    if key and together and expert:
        if together % expert:
            raise config.refuse(key, f"must be a multiple of the width of an expert, {expert:g}")
        return together // expert
    counts = ("n_shared_experts", "num_shared_experts", "num_shared_expert", "moe_num_shared_experts")
    return config.number("n_shared_experts", *counts) or (1.0 if kind == "llama4_text" else 0.0)


def _feed_forward(
    config: ConfigFile, fields: Mapping[str, Any], kind: str, width: float, layers: float
) -> dict[str, float | None]:
    """Widths of the feed-forward networks, and the experts with the layers that have them."""
    if kind in ("mamba", "mamba2"):
        return {}
    dense = config.number("ffn_hidden", "intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size")
    if dense is None and kind in ("gpt2", "bloom", "falcon", "gptj"):
        dense = 4.0 * width
    wider = config.number("ffn_hidden", "intermediate_size_mlp", "dense_intermediate_size")
    expert = config.number("ffn_hidden", "moe_intermediate_size", least=1) or dense
    if dense is None and expert is None and "ffn_hidden" not in fields:
        raise ValueError(f"{config.name}: none of intermediate_size, n_inner, ffn_dim is given: add ffn_hidden=")
    experts = _size(config, fields, "n_experts", needed=False)
    if kind == "granitemoehybrid" and not experts:  # the shared network is then the only one
        return {"ffn_hidden": config.number("ffn_hidden", "shared_intermediate_size") or dense}
    if not experts:
        if config.content.get("mlp_only_layers"):
            raise config.refuse("mlp_only_layers", "is understood beside experts only, and the file has none")
        return {"ffn_hidden": dense}
    dense = wider or dense
    where = _layers_with_experts(config, layers)
    other = (
        len(where) > 2
        or where["first_dense_layers"]
        or where["moe_layer_interval"] > 1.0
        or kind in layer_kinds.HYBRIDS
    )
    grouped = (
        config.number("n_experts", "n_group") or 1.0
    ) > 1.0  # groups of experts lie on nodes: a token goes to some of them
    return {
        "n_experts": experts,
        "experts_per_token": _size(config, fields, "experts_per_token"),
        "ffn_hidden": expert,
        "expert_latent": config.number("hidden", "moe_latent_size", "routed_expert_hidden_size"),
        **where,
        "dense_ffn_hidden": dense if other else None,
        "n_shared_experts": _shared_experts(config, kind, expert),
        "expert_node_limit": config.number("expert_node_limit", "topk_group") if grouped else None,
    }


def _attention(
    config: ConfigFile, fields: Mapping[str, Any], kind: str, width: float, heads: float
) -> dict[str, float | None]:
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
    groups = ("num_key_value_heads", "num_kv_heads", "multi_query_group_num", "kv_n_heads")
    group = config.number("n_kv_heads", *groups, least=1)
    shared = config.flag("multi_query", False)
    if group is None or (kind == "falcon" and shared and not config.flag("new_decoder_architecture", False)):
        group = 1.0 if shared else heads
    return {"n_kv_heads": group, "head_dim": config.number("head_dim", *_HEAD_WIDTHS, least=1) or width // heads}


def _beyond_the_layers(config: ConfigFile, family: Family, kind: str, width: float, longest: float | None) -> float:
    """Parameters outside the layers and the token table: learned positions, segments, the pooler of an encoder."""
    positions = 0.0 if family.positions is None else (longest or 0.0) + family.positions
    if kind not in ENCODERS:
        return positions * width
    segments = 2.0 if not config.has("type_vocab_size") else config.number("vocab", "type_vocab_size") or 0.0
    return (positions + segments) * width + width * (width + 1.0)


def from_config(config: str | os.PathLike[str] | Mapping[str, Any], *, name: str | None = None, **fields: Any) -> Row:
    """A workload from a model's ``config.json``.

    Parameters
    ----------
    config : path or mapping
        The file, the folder that holds it, ``hf://org/name`` (see `mlsysim.zoo.hub`), or its content.  Nested text
        configurations are followed.
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
    windows, explicit head sizes, sparse attention with an index (DeepSeek-V3.2, GLM-5), latent experts (Nemotron 3)
    and the recurrent layers of Qwen3-Next, Qwen3.5, Kimi-Linear, MiniMax-Text, Jamba, Granite 4, Nemotron-H,
    Falcon-H1 and Mamba are understood, encoders (BERT) and encoder-decoders (T5) too; numbers may be written as text.
    A key that the file leaves out has the default of its class, where that is known.  Parameters are counted from
    the configuration: biases, query norms and the final norm are not; `row.notes` says what else is not.

    Examples
    --------
    >>> row = from_config({"model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32,
    ...     "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336,
    ...     "vocab_size": 128256})
    >>> row["total_params"]
    8030257152.0
    """
    whence = "" if isinstance(config, Mapping) else f", in {config}"
    if hub.is_named(config):
        config, called = hub.fetched(str(config))
        name = name or called
    whole, place = config_file.read(config)
    inner = _of_two_stacks(_without_nested_sizes(whole.language_model()))
    if not inner.has("model_type") and whole.text("model_type") in TEXT_OF:
        inner = inner.filled({"model_type": TEXT_OF[whole.text("model_type")]})
    kind = inner.text("model_type")
    label = name or whole.text("_name_or_path") or place or kind or "config"
    _refuse_other_layers(inner)
    family, remark = _known_family(inner, fields)
    inner = inner.filled({**family.silent, **(family.sizes if inner.nested else {})})

    if kind == "nemotron_h":
        inner = inner.filled({"num_hidden_layers": len(layer_kinds.blocks(inner))})
    attends = kind not in ("mamba", "mamba2")
    width, layers, heads, vocab = (_size(inner, fields, size, attends or size != "n_heads") for size in _REQUIRED)
    projected = inner.number("hidden", "word_embed_proj_dim")
    if projected and projected != width:
        raise inner.refuse(
            "word_embed_proj_dim", f"must be hidden_size={width:g}: a table of another width is not understood"
        )
    found: dict[str, Any] = {"hidden": width, "n_layers": layers, "n_heads": heads, "vocab": vocab}
    found["max_context"] = inner.number("max_context", *_NAMES["max_context"])
    found["gated_ffn"] = float(family.gated or inner.text("feed_forward_proj").startswith("gated"))
    found["tied_embeddings"] = float(inner.flag("tie_word_embeddings", family.tied))
    found.update(_feed_forward(inner, fields, kind, width, layers))
    if attends:
        found.update(_attention(inner, fields, kind, width, heads))
    found.update(layer_kinds.fields(inner, width, layers))
    if kind in layer_kinds.GATED_ATTENTION:
        found["attention_gate_params"] = width * heads * found["head_dim"]
    if inner.flag("mla_use_output_gate", False):
        found["attention_gate_params"] = width * heads * found["v_head_dim"]
    window = inner.number("sliding_window", "attention_chunk_size", "sliding_window")
    if window and inner.flag("use_sliding_window", True):
        found["sliding_window"], found["local_layers"] = window, _local_layers(inner, layers)
    found["extra_params"] = _beyond_the_layers(inner, family, kind, width, found["max_context"]) or None
    found.update(fields)
    row = custom.Workload(name=label, **{field: value for field, value in found.items() if value is not None})
    shape = "MLA-MoE" if found.get("kv_lora_rank") else "MoE" if found.get("n_experts") else "dense transformer"
    if found.get("recurrent_layers"):
        shape = "hybrid" if attends else "SSM"
    shape = "encoder" if kind in ENCODERS else "encoder-decoder" if kind in TWO_STACKS else shape
    row.values_by_column.update(source="config.json of the checkpoint", family=kind, kind=shape)
    row.own = f"given by you{whence}"
    row.checkpoint = checkpoint_format.checkpoint(
        whole, checkpoint_format.beside(config), *workloads.shape(workload_record(row))
    )
    tower = "the vision tower is not counted" if whole.has("vision_config") else ""
    remarks = [remark, row.checkpoint.sentence if row.checkpoint else "", tower]
    if inner.number("n_layers", *_PREDICTION):
        remarks.append("layers that predict more than one token are not counted")
    if any(remarks):
        row.values_by_column["notes"] = "; ".join(filter(None, remarks))
    return row
