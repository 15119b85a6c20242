"""Models: from a row to what a kernel receives as a `Workload`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mlsysim.equations import architecture
from mlsysim.equations.counting import floor_div
from mlsysim.schema.codes import FlopsConvention
from mlsysim.schema.records import Workload
from mlsysim.zoo import checkpoint_format, layers, tables
from mlsysim.zoo.row import NAN, RULES, Derived, Row, Rule, filled, first, known, plain, stored, where


def parameters(fields: dict[str, Any], active: bool = False) -> Any:
    """Parameters of a transformer from its configuration, norms and all embeddings included.

    Attention is ``2 h n_heads d + 2 h n_kv d``, a feed-forward network 2 or 3 matrices; layers with experts
    hold them all (``active``: the visited ones) and a router; latent attention replaces the four projections
    by its low-rank ones.  Every row of the models table agrees with its published count within 2 %.
    """

    def get(name: str) -> Any:
        value = fields.get(name)
        return 0.0 if value is None else filled(value, 0.0)

    width, heads, layers = get("hidden"), get("n_heads"), get("n_layers")
    matrices = where(get("gated_ffn") > 0, 3.0, 2.0)
    query_width = get("nope_head_dim") + get("rope_head_dim")
    query_rank, rank = get("q_lora_rank"), get("kv_lora_rank")
    query = where(query_rank > 0, width * query_rank + query_rank * heads * query_width, width * heads * query_width)
    latent = width * (rank + get("rope_head_dim"))
    latent = query + latent + rank * heads * (get("nope_head_dim") + get("v_head_dim"))
    latent = latent + heads * get("v_head_dim") * width
    attention = where(rank > 0, latent, 2.0 * width * get("head_dim") * (heads + get("n_kv_heads")))
    total = get("extra_params") + get("vocab") * width * where(get("tied_embeddings") > 0, 1.0, 2.0)
    if fields.get("kind") == "encoder-decoder":
        return total + layers * (3.0 * attention + 2.0 * matrices * width * get("ffn_hidden") + 5.0 * width)
    experts = get("n_experts")
    interval = first(get("moe_layer_interval"), 1.0)
    by_rule = plain(floor_div(layers - get("first_dense_layers"), interval))
    sparse = where(experts > 0, where(get("expert_layers") > 0, get("expert_layers"), by_rule), 0.0)
    used = (get("experts_per_token") if active else experts) + get("n_shared_experts")
    latent = get("expert_latent")
    routed = used - get("n_shared_experts")
    narrower = where(latent > 0, routed * matrices * (width - latent) * get("ffn_hidden"), 0.0)
    latent_experts = 2.0 * width * latent - narrower
    gated = (layers - get("attention_free_layers")) * get("attention_gate_params")
    total = total + gated - get("attention_free_layers") * attention + _mixers(get)
    return (
        total
        + layers * (attention + 2.0 * width)
        + sparse * (used * matrices * width * get("ffn_hidden") + width * experts + latent_experts)
        + (layers - sparse - get("network_free_layers"))
        * matrices
        * width
        * first(get("dense_ffn_hidden"), get("ffn_hidden"))
    )


def _mixers(get: Callable[[str], Any]) -> Any:
    """Weights of recurrent mixers and indexes."""
    queries = get("q_lora_rank") * get("index_heads") * get("index_head_dim")
    index = queries + get("hidden") * (get("index_heads") + get("index_head_dim")) + 2.0 * get("index_head_dim")
    return get("recurrent_layers") * get("recurrent_params") + get("index_layers") * index


#: fields from which the parameter count follows
ARCHITECTURE = tuple(
    name
    for name in Workload._fields
    if name
    not in (
        "total_params",
        "active_params",
        "max_context",
        "flops_per_sample",
        *layers.FIELDS,
        "sliding_window",
        "local_layers",
        "expert_node_limit",
        "recurrent_state",
        "recurrent_convolution",
        "recurrent_step_flops",
        "recurrent_prompt_flops",
        "state_bytes",
        "index_topk",
        "decoder_layers",
    )
)


#: fields that a model without layers has too
_ANY_MODEL = ("total_params", "active_params", "flops_per_sample", "max_context", *layers.FIELDS)


def _in_one_pass(row: Row, fields: dict[str, Any], derived: dict[str, Derived]) -> None:
    """The cost of a sample of an encoder, 0 for a decoder: that is priced per token."""
    if known(fields["flops_per_sample"]):
        return
    fields["flops_per_sample"] = 0.0
    kind, length = row.values_by_column.get("kind"), fields["max_context"]
    if kind not in ("encoder", "encoder-decoder") or not known(length):
        return
    table = fields["vocab"] * fields["hidden"]
    record = Workload(**fields)
    positions = architecture.attended_positions(record, length, FlopsConvention.FULL)
    attention = fields["n_layers"] * plain(architecture.attention_flops(record, positions))
    fields["flops_per_sample"] = length * (2.0 * (fields["total_params"] - table) + attention)
    derived["flops_per_sample"] = Derived(
        "one pass over the longest input: 2 FLOP per token and parameter outside the table, scores of one stack",
        0.1 if kind == "encoder" else 0.5,
    )


def _beyond_the_layers(row: Row, fields: dict[str, Any], derived: dict[str, Derived]) -> None:
    """Parameters that a count has and a decoder's formula has not: in `extra_params`, so every resolver holds them."""
    two_stacks = row.values_by_column.get("kind") == "encoder-decoder"
    if not two_stacks and "total_params" not in row.given:
        return
    beyond = fields["total_params"] - plain(architecture.total_params(Workload(**fields)))
    if np.any(beyond):
        fields["extra_params"] = fields["extra_params"] + beyond
        if "active_params" not in row.given and not two_stacks:
            fields["active_params"] = fields["active_params"] + beyond
        what = (
            "the second stack and its cross attention" if two_stacks else "what total_params has over the configuration"
        )
        derived["extra_params"] = Derived(what, 0.0)


def _counted(row: Row, fields: dict[str, Any], derived: dict[str, Derived]) -> None:
    """The parameter counts of a transformer, which follow its configuration."""
    changed = [name for name in ARCHITECTURE if name in row.given]
    for name, active in (("total_params", False), ("active_params", True)):
        if name in row.given:
            continue
        if row.origin == row.key and not changed and known(fields[name]):
            continue
        count = parameters({**row.values_by_column, **fields}, active)
        base = tables.rows("models").get(row.origin)
        if changed and base is not None:
            published = base.values_by_column[name]
            if published is None:
                published = base.values_by_column["total_params"]
            fields[name] = count + published - parameters(base.values_by_column, active)
            derived[name] = Derived(
                f"published count of {base.key}, moved by what {', '.join(changed)} changes in the configuration",
                0.02,
            )
        elif not known(fields[name]):
            fields[name] = count
            derived[name] = Derived("counted from the configuration", 0.02)


def _mixing(row: Row, fields: dict[str, Any], derived: dict[str, Derived]) -> None:
    """The format of recurrent states, and the second stack of an encoder with a decoder."""
    states = (fields["recurrent_layers"] > 0) & (fields["state_bytes"] == 0)
    if np.any(states):
        fields["state_bytes"] = where(states, 4.0, fields["state_bytes"])
        derived["state_bytes"] = Derived("recurrent states are held in 32 bits unless a model says otherwise", 0.0)
    if row.values_by_column.get("kind") == "encoder-decoder":
        fields["decoder_layers"] = first(fields["decoder_layers"], fields["n_layers"])
        derived["decoder_layers"] = Derived("as many layers as the first stack", 0.0)


def _experts(row: Row, fields: dict[str, Any], derived: dict[str, Derived]) -> None:
    """Where the experts are, of a model that does not say."""
    sparse = fields["n_experts"] > 0
    if np.any(sparse & (fields["moe_layer_interval"] == 0)):
        fields["moe_layer_interval"] = where(
            sparse, first(fields["moe_layer_interval"], 1.0), fields["moe_layer_interval"]
        )
        derived["moe_layer_interval"] = Derived(
            "no interval in the configuration: experts in every layer after the first dense ones", 0.0
        )
    dense = fields["dense_ffn_hidden"]
    fields["dense_ffn_hidden"] = where(sparse, first(dense, fields["ffn_hidden"]), dense)


def _by_layer(fields: dict[str, Any], derived: dict[str, Derived]) -> None:
    """What the layers of a network are of which nobody lists them."""

    def follows(name: str, value: Any, how: str, spread: float) -> None:
        if not known(fields[name]):
            fields[name] = filled(fields[name], value)
            derived[name] = Derived(how, spread)

    follows("network_layers", layers.LAYERS, "no list of layers: as many as ResNet-50 has", layers.LAYERS_SPREAD)
    follows(
        "activation_values",
        fields["flops_per_sample"] / layers.FLOPS_PER_VALUE,
        f"no list of layers: one value for {layers.FLOPS_PER_VALUE:g} operations, the median of the networks that have one",
        layers.FLOPS_PER_VALUE_SPREAD,
    )
    follows(
        "widest_values",
        layers.PEAK_SHARE * fields["activation_values"],
        f"no list of layers: {layers.PEAK_SHARE:g} of all values, the median of the networks that have one",
        layers.PEAK_SHARE_SPREAD,
    )
    follows("depthwise_share", 0.0, "no list of layers: no convolution is depthwise", 0.0)
    follows("unfused_accesses", 0.0, "no list of layers: norms are batch norms, which fold into the weights", 0.0)


def described(row: Row) -> tuple[dict[str, Any], dict[str, Derived]]:
    """The fields of a model, and how those that no source gives came about."""
    fields = {name: stored(row, name) for name in Workload._fields}
    derived: dict[str, Derived] = {}
    layered = (filled(fields["n_heads"], 0.0) > 0) | (filled(fields["recurrent_layers"], 0.0) > 0)
    for name, value in fields.items():
        if name not in _ANY_MODEL:
            fields[name] = where(layered, filled(value, 0.0), 0.0)
    if np.any(layered):
        transformer = dict(fields)
        for rule in (_counted, _experts, _mixing, _in_one_pass, _beyond_the_layers):
            rule(row, transformer, derived)
        fields = {name: where(layered, transformer[name], value) for name, value in fields.items()}
    follows = not np.any(layered) and "total_params" in row.given and "active_params" not in row.given
    if follows or not known(fields["active_params"]):
        fields["active_params"] = NAN
        derived["active_params"] = Derived("no experts: all parameters are used", 0.0)
    fields["active_params"] = filled(fields["active_params"], fields["total_params"])
    if np.any(np.isnan(fields["flops_per_sample"])) and row.values_by_column.get("kind") == "SSM":
        fields["flops_per_sample"] = filled(fields["flops_per_sample"], 2.0 * fields["active_params"])
        derived["flops_per_sample"] = Derived(
            "one token forward: 2 FLOP per parameter (constants: decode_flops_per_param_token)", 0.1
        )
    fields["max_context"] = filled(fields["max_context"], 0.0)
    if np.all(layered):
        fields |= dict.fromkeys(layers.FIELDS, 0.0)
    else:
        _by_layer(fields, derived)
        fields |= {name: where(layered, 0.0, fields[name]) for name in layers.FIELDS}
    return fields, derived


def workload_record(row: Row | str, **given: Any) -> Workload:
    """What a model's row says; 0 where the model lacks a feature.

    For a model that is no transformer the architecture is 0 and `flops_per_sample` is its forward cost.
    `given` are fields that the user gives, numbers or arrays: what is derived from them follows.
    """
    return Workload(**described(tables.lookup("models", row, "model").having(given))[0])


def published(row: Row) -> checkpoint_format.Checkpoint | None:
    """The formats of the files of a row of the table, and of what is made from it."""
    return checkpoint_format.published(row.origin, *shape(workload_record(row)))


def shape(model: Workload) -> tuple[float, bool, bool]:
    """Layers; has the model some with experts, and some without?"""
    return float(model.n_layers), bool(model.n_experts > 0), bool(architecture.dense_layers(model) > 0)


RULES["models"] = Rule(described, checkpoint=published)
