"""What a transformer holds and does: parameters, operations per token, cached values.

Every function takes a `Workload` and covers dense models, grouped-query attention (GQA), mixtures of experts
(MoE), latent attention (MLA), windowed layers, tied tables: a feature that a model lacks is 0 in the record.
A network without gate (GPT style) carries layer norms with bias (4 h per layer) and a bias on every matrix; a
gated one (Llama style) carries root-mean-square norms (2 h) and no bias.  A multiply-add counts as 2 FLOP.

Symbols: h hidden, a query heads, k key/value heads, d head width, f feed-forward width, G matrices of a
feed-forward network (3 with a gate, else 2), L layers, V vocabulary, E experts, r experts a token visits.

References
----------
Vaswani et al. 2017 (arXiv:1706.03762); Narayanan et al. 2021 (arXiv:2104.04473) for the GPT count;
DeepSeek-AI 2024 (arXiv:2405.04434) for latent attention; Shazeer et al. 2017 (arXiv:1701.06538) for experts.
"""

import numpy as np

from mlsysim.equations import mixers
from mlsysim.equations.counting import floor_div
from mlsysim.schema.codes import FlopsConvention
from mlsysim.schema.records import Workload

# --- layers --------------------------------------------------------------------------------------------


def moe_layers(model: Workload):
    """Layers with experts: ``(L - first dense) / interval`` unless the model counts them, 0 without experts."""
    interval = np.maximum(model.moe_layer_interval, 1.0)
    by_rule = floor_div(model.n_layers - model.first_dense_layers, interval)
    return np.where(model.n_experts > 0, np.where(model.expert_layers > 0, model.expert_layers, by_rule), 0.0)


def dense_layers(model: Workload):
    """Layers with a feed-forward network that has no experts."""
    return model.n_layers - moe_layers(model) - model.network_free_layers


def attention_layers(model: Workload):
    """Layers with attention."""
    return np.maximum(model.n_layers - model.attention_free_layers, 0.0)


def mixing_layers(model: Workload):
    """Layers in which tokens see each other: by attention, by a recurrent mixer, or by both side by side."""
    return np.minimum(model.n_layers, attention_layers(model) + model.recurrent_layers)


def residual_blocks(model: Workload):
    """Parts that add to the residual stream: mixers and networks, two a layer where no layer lacks one."""
    return mixing_layers(model) + (model.n_layers - model.network_free_layers)


def alike(model: Workload):
    """Is every layer attention to what lies before it (within a window, if any) and a network or experts?"""
    other = model.attention_free_layers + model.network_free_layers + model.recurrent_layers + model.index_topk
    return other <= 0


def trains(model: Workload):
    """Is a training step of the model priced: layers that are all alike, in one stack?"""
    return alike(model) & (model.decoder_layers <= 0)


def dense_ffn_width(model: Workload):
    """Feed-forward width of a layer without experts."""
    return np.where(model.dense_ffn_hidden > 0, model.dense_ffn_hidden, model.ffn_hidden)


def active_ffn_width(model: Workload):
    """Feed-forward width a token passes in a layer with experts: ``(r + shared) f``."""
    return (model.experts_per_token + model.n_shared_experts) * model.ffn_hidden


def generates(model: Workload):
    """Does the model write token by token?

    A decoder does.  A network whose cost is stated per sample (`flops_per_sample`: images, encoders, encoders
    with a decoder) answers in one pass, or by steps that are not modelled.
    """
    return (model.n_layers > 0) & (model.flops_per_sample <= 0)


# --- parameters ----------------------------------------------------------------------------------------


def within_context(model: Workload, tokens):
    """Does a sequence fit into what the model was trained for (a model without `max_context` takes any)?"""
    return (model.max_context <= 0) | (tokens <= model.max_context)


def query_key_width(model: Workload):
    """Width of a query or key head in the score product (MLA: with and without rotary part)."""
    return np.where(model.kv_lora_rank > 0, model.nope_head_dim + model.rope_head_dim, model.head_dim)


def value_width(model: Workload):
    """Width of a value head."""
    return np.where(model.kv_lora_rank > 0, model.v_head_dim, model.head_dim)


def attention_params(model: Workload):
    """Weights of the attention matrices of one layer (no biases).

    ``h d (a + 2 k) + a d h``; MLA: ``h q + q a d_qk`` (or ``h a d_qk`` at query rank q = 0)
    ``+ h (c + rope) + c a (nope + d_v) + a d_v h`` with c the key/value rank.
    """
    hidden, heads = model.hidden, model.n_heads
    grouped = hidden * model.head_dim * (2.0 * heads + 2.0 * model.n_kv_heads)
    query = np.where(
        model.q_lora_rank > 0,
        model.q_lora_rank * (hidden + heads * query_key_width(model)),
        hidden * heads * query_key_width(model),
    )
    key_value = hidden * (model.kv_lora_rank + model.rope_head_dim) + model.kv_lora_rank * heads * (
        model.nope_head_dim + model.v_head_dim
    )
    latent = query + key_value + heads * model.v_head_dim * hidden
    return np.where(model.kv_lora_rank > 0, latent, grouped) + model.attention_gate_params


def attention_biases(model: Workload):
    """Biases of the attention matrices of one layer: ``a d + 2 k d + h`` without a gate, else 0."""
    return (1.0 - model.gated_ffn) * (model.head_dim * (model.n_heads + 2.0 * model.n_kv_heads) + model.hidden)


def ffn_matrices(model: Workload):
    """Matrices of a feed-forward network: 3 with a gate, else 2."""
    return 2.0 + model.gated_ffn


def dense_ffn_params(model: Workload):
    """Weights of the feed-forward network of a layer without experts, ``G h f`` (no biases)."""
    return ffn_matrices(model) * model.hidden * dense_ffn_width(model)


def dense_ffn_biases(model: Workload):
    """Biases of that network: ``f + h`` without a gate, else 0."""
    return (1.0 - model.gated_ffn) * (dense_ffn_width(model) + model.hidden)


def expert_width(model: Workload):
    """Width of what routed experts take and give: that of the residual stream, or a latent one."""
    return np.where(model.expert_latent > 0, model.expert_latent, model.hidden)


def _network_params(model: Workload, width):
    """Weights of a network of the width of an expert on a stream of some width, ``G width f`` and its biases."""
    biases = (1.0 - model.gated_ffn) * (model.ffn_hidden + width)
    return ffn_matrices(model) * width * model.ffn_hidden + biases


def expert_params(model: Workload):
    """Weights of one routed expert, ``G h f`` (biases of experts without gate included; latent experts: z for h)."""
    return _network_params(model, expert_width(model))


def wider_shared_params(model: Workload):
    """What shared experts of a layer have over routed ones: they see the residual stream, also beside latent experts."""
    return model.n_shared_experts * (_network_params(model, model.hidden) - expert_params(model))


def router_params(model: Workload):
    """Weights of the router of a layer with experts, ``h E``, and of the projections to latent experts, ``2 h z``."""
    return model.hidden * model.n_experts + 2.0 * model.hidden * model.expert_latent


def norm_params(model: Workload):
    """Norms of one layer: ``2 h`` (gated), ``4 h`` (layer norms with bias); MLA adds its two ranks."""
    return (4.0 - 2.0 * model.gated_ffn) * model.hidden + model.q_lora_rank + model.kv_lora_rank


def final_norm_params(model: Workload):
    """Norm before the head: ``h`` (gated) or ``2 h``; 0 for a model without layers."""
    return np.where(model.n_layers > 0, (2.0 - model.gated_ffn) * model.hidden, 0.0)


def embedding_params(model: Workload):
    """One table of tokens, ``V h``."""
    return model.vocab * model.hidden


def head_params(model: Workload):
    """Parameters the head adds: ``V h``, 0 when it shares the table."""
    return (1.0 - model.tied_embeddings) * embedding_params(model)


def dense_layer_params(model: Workload):
    """All parameters of one layer without experts."""
    return (
        attention_params(model)
        + attention_biases(model)
        + dense_ffn_params(model)
        + dense_ffn_biases(model)
        + norm_params(model)
    )


def moe_layer_params(model: Workload):
    """All parameters of one layer with experts."""
    return (
        attention_params(model)
        + attention_biases(model)
        + (model.n_experts + model.n_shared_experts) * expert_params(model)
        + router_params(model)
        + norm_params(model)
        + wider_shared_params(model)
    )


def active_moe_layer_params(model: Workload):
    """Parameters of one layer with experts that a token uses: r experts, the shared ones, all the rest."""
    return moe_layer_params(model) - (model.n_experts - model.experts_per_token) * expert_params(model)


def other_layers_params(model: Workload):
    """What layers of other kinds add to a count of layers that all have attention and a network, or take from it."""
    attention = attention_params(model) + attention_biases(model)
    without_network = model.network_free_layers * (attention + norm_params(model))
    return without_network - model.attention_free_layers * attention + mixers.mixer_params(model)


def total_params(model: Workload):
    """Parameters of the model: layers, table(s), final norm, what the record lists beyond (`extra_params`).

    Exact for decoders; a record's own `total_params` may differ by what the formula leaves out.

    References
    ----------
    Narayanan et al. 2021, Eq. 2, which leaves out the final norm.
    """
    layers = dense_layers(model) * dense_layer_params(model) + moe_layers(model) * moe_layer_params(model)
    tables = embedding_params(model) + head_params(model)
    return layers + tables + final_norm_params(model) + model.extra_params + other_layers_params(model)


def counted_params(model: Workload):
    """Parameters of any model: of a transformer its configuration's count, so that all resolvers agree on it."""
    return np.where(model.n_layers > 0, total_params(model), model.total_params)


def active_params(model: Workload, input_embedding=1.0):
    """Parameters a token uses; `input_embedding` = 0 leaves out the input table, which costs no FLOP."""
    layers = dense_layers(model) * dense_layer_params(model) + moe_layers(model) * active_moe_layer_params(model)
    tables = input_embedding * embedding_params(model) + head_params(model)
    return layers + tables + final_norm_params(model) + model.extra_params + other_layers_params(model)


def gpt_params(n_layers, hidden, vocab, seq_len):
    """GPT with f = 4 h and learned positions: ``12 L h^2 (1 + 13/(12 h) + (V + s)/(12 L h))``.

    References
    ----------
    Narayanan et al. 2021, Eq. 2.
    """
    return n_layers * hidden * (12.0 * hidden + 13.0) + (vocab + seq_len) * hidden


# --- operations ----------------------------------------------------------------------------------------


def dense_layer_linear_flops(model: Workload):
    """Matrix products of one token in one layer without experts, forward (FLOP)."""
    return 2.0 * (attention_params(model) + dense_ffn_params(model))


def moe_layer_linear_flops(model: Workload):
    """Matrix products of one token in one layer with experts, forward, router included (FLOP)."""
    narrower = model.experts_per_token * model.ffn_hidden * (model.hidden - expert_width(model))
    visited = ffn_matrices(model) * (model.hidden * active_ffn_width(model) - narrower)
    return 2.0 * (attention_params(model) + visited + router_params(model))


def linear_flops(model: Workload):
    """Matrix products of one token in all layers, forward, without the head (FLOP)."""
    layers = dense_layers(model) * dense_layer_linear_flops(model) + moe_layers(model) * moe_layer_linear_flops(model)
    attention = (model.network_free_layers - model.attention_free_layers) * attention_params(model)
    return layers + 2.0 * (attention + mixers.mixer_params(model))


def causal_positions(seq_len):
    """Positions a token attends to, mean over a causal sequence: ``(s + 1) / 2``."""
    return 0.5 * (seq_len + 1.0)


def window_positions(new, window, cached=0.0):
    """The same within a causal window, for `new` tokens after `cached` ones: ``[k (c + (k + 1)/2) + (n - k) w] / n``.

    The first ``k = w - c`` tokens (at least 0, at most n) see all that lies before them, the others the window.

    Examples
    --------
    >>> float(window_positions(32768.0, 4096.0)), float(window_positions(1.0, 4096.0, 32767.0))
    (3840.0625, 4096.0)
    """
    growing = np.minimum(np.maximum(window - cached, 0.0), new)
    return (growing * (cached + causal_positions(growing)) + (new - growing) * window) / new


def attended_positions(model: Workload, new, convention=FlopsConvention.CAUSAL, cached=0.0):
    """Positions a token attends to, mean over `new` tokens and all layers.

    Local layers keep to their window, those with an index to the best `index_topk`; layers without attention count 0.

    Parameters
    ----------
    model : Workload
    new : tokens that are computed: a sequence, the rest of a prompt, or the one token of a decode step.
    convention : `FlopsConvention`; FULL counts every position (within the window), masked or not.  An encoder
        sees every position under either.
    cached : tokens before them.
    """
    full = (convention == FlopsConvention.FULL) | (model.flops_per_sample > 0)
    everywhere = cached + np.where(full, new, causal_positions(new))
    within = np.where(
        full,
        np.minimum(model.sliding_window, cached + new),
        window_positions(new, model.sliding_window, cached),
    )
    best = np.where(
        full,
        np.minimum(model.index_topk, cached + new),
        window_positions(new, model.index_topk, cached),
    )
    everywhere = np.where(model.index_topk > 0, best, everywhere)
    local = np.where(model.sliding_window > 0, model.local_layers, 0.0)
    layers = np.maximum(model.n_layers, 1.0)
    without = np.minimum(model.attention_free_layers / layers, 1.0)
    return everywhere + local / layers * (within - everywhere) - without * everywhere


def attention_flops(model: Workload, positions):
    """Scores and their product with the values, one token in one layer, forward (FLOP).

    ``2 s_eff a (d_qk + d_v)``; `positions` is s_eff, the positions attended to.
    """
    return 2.0 * positions * model.n_heads * (query_key_width(model) + value_width(model))


def absorbed_attention_flops(model: Workload, positions):
    """Latent attention on the compressed cache, per token and layer: ``2 s a (2 c + rope)`` (FLOP)."""
    return 2.0 * positions * model.n_heads * (2.0 * model.kv_lora_rank + model.rope_head_dim)


def decode_attention_flops(model: Workload, positions):
    """Attention of a token that is generated, one layer (FLOP): latent attention works on the compressed cache."""
    absorbed = absorbed_attention_flops(model, positions)
    return np.where(model.kv_lora_rank > 0, absorbed, attention_flops(model, positions))


def head_flops(model: Workload):
    """The product with the vocabulary, one token, forward: ``2 h V`` (FLOP).  The lookup costs none."""
    return 2.0 * model.hidden * model.vocab


def forward_flops(model: Workload, seq_len, convention=FlopsConvention.CAUSAL):
    """Everything one token costs forward: matrices, attention, head (FLOP)."""
    attention = model.n_layers * attention_flops(model, attended_positions(model, seq_len, convention))
    mixing = mixers.mixer_flops(model, seq_len, causal_positions(seq_len))
    return linear_flops(model) + attention + head_flops(model) + mixing


def gpt_step_flops(global_batch, seq_len, n_layers, hidden, vocab, recomputed=1.0):
    """Training step of a GPT with full attention (FLOP).

    ``72 B s L h^2 (1 + s/(6 h) + V/(12 L h))``; ``96 B s L h^2 (1 + s/(6 h) + V/(16 L h))`` when every layer
    is computed forward twice (`recomputed` = 1).

    References
    ----------
    Narayanan et al. 2021, Eq. 3.
    """
    layers = n_layers * hidden * (24.0 * hidden + 4.0 * seq_len)
    return global_batch * seq_len * ((3.0 + recomputed) * layers + 6.0 * hidden * vocab)


# --- cache ---------------------------------------------------------------------------------------------


def kv_values(model: Workload):
    """Values cached per token and layer: ``2 k d``, or the key/value rank and the rotary key with MLA."""
    grouped = 2.0 * model.n_kv_heads * model.head_dim
    return np.where(model.kv_lora_rank > 0, model.kv_lora_rank + model.rope_head_dim, grouped)
