"""How a replica's weights and cache lie on its devices, and what each device holds.

t, p, e are the degrees of tensor, pipeline and expert parallelism.  With e > t attention runs on e/t groups side by side,
each with its share of the sequences, and a replica has p max(t, e) devices.

References
----------
Pope et al. 2023 (arXiv:2211.05102); Kwon et al. 2023 (arXiv:2309.06180); DeepSeek-AI 2024 (arXiv:2405.04434).
"""

from typing import Any

import numpy as np

from mlsysim.equations import architecture, mixers
from mlsysim.equations.counting import ceil_div, divides
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Format, Workload

# --- layout --------------------------------------------------------------------------------------------


def devices(tp, pp, ep):
    """Devices of one replica: ``p max(t, e)``; experts share the devices of attention."""
    return pp * np.maximum(tp, ep)


def attention_groups(tp, ep):
    """Groups that run attention side by side on their own sequences: ``max(1, e / t)``."""
    return np.maximum(ep / tp, 1.0)


def expert_split(tp, ep):
    """Devices that share one expert's matrices: ``max(1, t / e)``."""
    return np.maximum(tp / ep, 1.0)


def expert_ranks(tp, ep, expert_tp=None) -> tuple[Any, Any]:
    """Degrees t and e by which a layer's experts lie over its n devices, where s of them share each expert: (n, n / s).

    Parameters
    ----------
    expert_tp : s; None: what tp and ep leave (`expert_split`), 1 with attention groups.

    Examples
    --------
    >>> [tuple(map(float, expert_ranks(1.0, 8.0, s))) for s in (None, 1.0, 8.0)]
    [(1.0, 8.0), (8.0, 8.0), (8.0, 1.0)]
    """
    if expert_tp is None:
        return tp, ep
    over = np.maximum(tp, ep)
    return over, over / np.minimum(expert_tp, over)


def model_divides(model: Workload, tp, pp):
    """Can a model be cut so: t divides its heads, and each of p stages has a layer."""
    return divides(tp, model.n_heads) & (pp <= model.n_layers)


def replica_possible(model: Workload, tp, pp, ep, expert_tp=None):
    """Can a replica be laid out so: `model_divides`; e > 1 wants experts that e divides, and one of t and e divides the other;
    devices that share each expert (`expert_ranks`) divide those of a replica.

    Training asks more of its groups, see `layout.layout_possible`: there t fits the key/value heads, which serving
    copies (`kv_heads_per_device`).

    Examples
    --------
    >>> from mlsysim import zoo
    >>> mixtral = zoo.workload_record(zoo.model("mixtral_8x7b"))  # 32 heads, 32 layers, 8 experts
    >>> cuts = (8.0, 2.0, 4.0), (8.0, 2.0, 3.0), (3.0, 1.0, 1.0), (1.0, 33.0, 1.0)
    >>> [bool(replica_possible(mixtral, *cut)) for cut in cuts]
    [True, False, False, False]
    >>> bool(replica_possible(zoo.workload_record(zoo.model("llama3_1_8b")), 1.0, 1.0, 4.0))  # no experts
    False
    """
    experts = (model.n_experts > 0) & divides(ep, model.n_experts) & (divides(ep, tp) | divides(tp, ep))
    shares = True if expert_tp is None else divides(expert_tp, np.maximum(tp, ep))
    return model_divides(model, tp, pp) & ((ep <= 1) | experts) & shares


# --- weights -------------------------------------------------------------------------------------------


def kv_heads_per_device(model: Workload, tp):
    """Key/value heads on a device, ``max(k, t) / t``: they are copied when fewer than devices."""
    return np.maximum(model.n_kv_heads, tp) / tp


def attention_params_per_device(model: Workload, tp):
    """Weights of one layer's attention on one device; latent down-projections are copied to every device."""
    query = model.n_heads / tp
    grouped = model.hidden * model.head_dim * 2.0 * (query + kv_heads_per_device(model, tp))
    down = model.hidden * (model.q_lora_rank + model.kv_lora_rank + model.rope_head_dim)
    query_rank = np.where(model.q_lora_rank > 0, model.q_lora_rank, model.hidden)
    query_up = query_rank * query * (model.nope_head_dim + model.rope_head_dim)
    key_value_up = model.kv_lora_rank * query * (model.nope_head_dim + model.v_head_dim)
    latent = down + query_up + key_value_up + query * model.v_head_dim * model.hidden
    return np.where(model.kv_lora_rank > 0, latent, grouped) + model.attention_gate_params / tp


def layer_params_per_device(model: Workload, tp, attention_weight=1.0, shared_weight=1.0):
    """Weights every token passes, all layers, on one device: attention and other mixers, feed-forward, shared experts.

    Parameters
    ----------
    attention_weight, shared_weight : how much one of attention and other mixers, and one of shared experts counts.
    """
    per_unit = architecture.ffn_matrices(model) * model.hidden / tp
    with_experts = architecture.moe_layers(model)
    dense = architecture.dense_layers(model) * per_unit * architecture.dense_ffn_width(model)
    shared = with_experts * per_unit * model.n_shared_experts * model.ffn_hidden
    router = with_experts * architecture.router_params(model)
    attention = architecture.attention_layers(model) * attention_params_per_device(model, tp)
    mixing = mixers.mixer_params_per_device(model, tp)
    return attention_weight * attention + dense + shared_weight * shared + router + attention_weight * mixing


def stored_layer_values(model: Workload, format: Format, tp):
    """The same, each counted by its bytes over `weight_bytes`; as they are where nothing is stored at all."""
    unit = np.where(format.weight_bytes > 0, format.weight_bytes, 1.0)
    attention, shared = format.attention_bytes / unit, format.shared_expert_bytes / unit
    return layer_params_per_device(model, tp, attention, shared)


def vector_params_per_device(model: Workload, tp):
    """Norms, biases and what the record lists beyond, all layers: read like weights, no matrix product."""
    dense = architecture.dense_layers(model)
    per_layer = architecture.norm_params(model) + architecture.attention_biases(model)
    vectors = model.n_layers * per_layer + dense * architecture.dense_ffn_biases(model)
    return (vectors + architecture.final_norm_params(model) + model.extra_params) / tp


def expert_params_per_device(model: Workload, tp, ep):
    """Weights of the routed experts on one device, all layers."""
    own = model.n_experts * architecture.expert_params(model) / (ep * expert_split(tp, ep))
    return architecture.moe_layers(model) * own


def stored_table_values(model: Workload, format: Format, tp, pp):
    """Token tables on the fuller end stage, each value counted by its bytes over `activation_bytes`.

    Both tables when one stage holds both ends, else the larger; a table that is both is stored as the head.
    """
    first = np.where(model.tied_embeddings > 0, format.head_bytes, format.embedding_bytes)
    embedding = architecture.embedding_params(model) * (first / format.activation_bytes)
    head = architecture.head_params(model) * (format.head_bytes / format.activation_bytes)
    return np.where(pp > 1, np.maximum(embedding, head), embedding + head) / tp


def stage_share(model: Workload, pp):
    """Share of the layers on the fullest stage: ``ceil(L / p) / L``."""
    layers = np.maximum(model.n_layers, 1.0)
    return np.where(pp > 1, ceil_div(layers, pp) / layers, 1.0)


def weights_per_device(model: Workload, format: Format, tp, pp, ep):
    """Bytes of weights on the fullest device; tables keep the format of activations unless told otherwise (byte)."""
    layers = stored_layer_values(model, format, tp) + vector_params_per_device(model, tp)
    stored = format.weight_bytes * layers + format.expert_bytes * expert_params_per_device(model, tp, ep)
    tables = stored_table_values(model, format, tp, pp)
    return stored * stage_share(model, pp) + format.activation_bytes * tables


# --- cache ---------------------------------------------------------------------------------------------


def kv_bytes_per_token(model: Workload, format: Format):
    """Cached bytes of one token, whole model: ``2 L k d`` values, or ``L (c + rope)`` with MLA; keys of indexes (byte)."""
    values = format.kv_bytes * architecture.attention_layers(model) * architecture.kv_values(model)
    return values + format.kv_bytes * mixers.index_values(model, 1.0)


def kv_bytes_per_layer_and_device(model: Workload, format: Format, tp):
    """Cached bytes of one token in one layer on one device; the latent cache is not divided by t (byte)."""
    grouped = 2.0 * kv_heads_per_device(model, tp) * model.head_dim
    latent = model.kv_lora_rank + model.rope_head_dim
    return format.kv_bytes * np.where(model.kv_lora_rank > 0, latent, grouped)


def cached_positions(model: Workload, context):
    """Positions cached per sequence, summed over the layers: local layers keep their window only."""
    local = np.where(model.sliding_window > 0, model.local_layers, 0.0)
    window = np.minimum(context, np.where(model.sliding_window > 0, model.sliding_window, context))
    return (architecture.attention_layers(model) - local) * context + local * window


def read_positions(model: Workload, context):
    """Cached positions that a decode step reads, summed over the layers: with an index no more than its best."""
    best = architecture.attention_layers(model) * np.minimum(context, model.index_topk)
    return np.where(model.index_topk > 0, best, cached_positions(model, context))


def cached_values(model: Workload, context):
    """Values cached for one sequence, whole model: all layers, local ones their window only; keys of indexes."""
    return architecture.kv_values(model) * cached_positions(model, context) + mixers.index_values(model, context)


def kept_bytes(model: Workload, format: Format, context):
    """What one sequence keeps, whole model: its cache, and the states of recurrent mixers whatever its length (byte)."""
    return format.kv_bytes * cached_values(model, context) + mixers.state_bytes_per_sequence(model)


def as_cached(model: Workload, assume: Assumptions) -> Workload:
    """The model as its cache is kept: without windows where an engine keeps what lies before them (`whole_local_cache`)."""
    return model._replace(sliding_window=np.where(assume.whole_local_cache > 0, 0.0, model.sliding_window))


def kv_bytes_per_sequence_and_device(model: Workload, format: Format, tp, pp, ep, context):
    """Cache and states of one sequence on one device of the fullest stage, seen from the whole replica (byte).

    With attention groups a device holds every ``e / t``-th sequence, which this mean counts as its share.
    """
    share = stage_share(model, pp) / attention_groups(tp, ep)
    cache = share * kv_bytes_per_layer_and_device(model, format, tp) * cached_positions(model, context)
    other = mixers.state_bytes_per_sequence(model) / tp + format.kv_bytes * mixers.index_values(model, context)
    return cache + share * other


# --- memory --------------------------------------------------------------------------------------------


def workspace_bytes(model: Workload, assume: Assumptions, tp, rows):
    """Activations of a step of `rows` tokens: ``c rows h / t`` (byte)."""
    return assume.workspace_bytes_per_value * rows * model.hidden / tp


def gathered_workspace_bytes(model: Workload, format: Format, tp, ep, rows):
    """Copies of the tokens of all attention groups that experts hold on each device (byte); 0 with one group.

    ``rows (e / t) k [h (i + a) + f (i + 2 a)]`` with i bytes of an input of products and a of an activation: every copy in
    both, gate and up as activations, their product as an input.  Engines size it for the worst case, that all copies stay on
    one device.

    Parameters
    ----------
    rows : tokens of the largest step on one attention group.

    References
    ----------
    github.com/NVIDIA/TensorRT-LLM, pull request 18322: 14.0 GiB for 65,536 gathered rows of DeepSeek-R1 in 8 bits.

    Examples
    --------
    >>> from mlsysim import zoo
    >>> model, fp8 = zoo.workload_record(zoo.model("deepseek_r1_671b")), zoo.format_record(4)
    >>> round(float(gathered_workspace_bytes(model, fp8, 1.0, 8.0, 8192.0)) / 2**30, 1)
    15.5
    >>> float(gathered_workspace_bytes(model, fp8, 8.0, 8.0, 8192.0))
    0.0
    """
    groups = attention_groups(tp, ep)
    narrow, wide = format.gemm_input_bytes, format.activation_bytes
    copy = model.hidden * (narrow + wide) + model.ffn_hidden * (narrow + 2.0 * wide)
    held = rows * groups * np.minimum(model.experts_per_token, model.n_experts / np.maximum(ep, 1.0)) * copy
    return np.where((groups > 1.0) & (model.n_experts > 0), held, 0.0)


def logits_bytes(model: Workload, assume: Assumptions, tp, sampled):
    """Logits of the tokens sampled in a step, ``4 V / t`` each (byte)."""
    return sampled * (assume.logit_bytes * model.vocab / tp)


def reserved_bytes(assume: Assumptions, tp, pp, ep):
    """What the runtime keeps for itself on each device: context, graphs, and communication buffers (byte)."""
    return assume.runtime_reserve + np.where(devices(tp, pp, ep) > 1, assume.communication_reserve, 0.0)
