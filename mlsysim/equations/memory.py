"""Memory of a training device: model states under ZeRO, activations, logits, gathered weights.

References
----------
Rajbhandari et al. 2020 (arXiv:1910.02054) for ZeRO; Korthikanti et al. 2022 (arXiv:2205.05198) for
activations.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture
from mlsysim.schema.codes import Attention, Recompute
from mlsysim.schema.records import Workload

# --- model states --------------------------------------------------------------------------------------


class States(NamedTuple):
    """Bytes of the three kinds of model state on one device."""

    weights: Any
    gradients: Any
    optimizer: Any


def model_states(params, data_ranks, zero_stage, weight_bytes, gradient_bytes, optimizer_bytes) -> States:
    """Model states of one device (byte).

    ZeRO-0 ``(w + g + K) N``, ZeRO-1 ``(w + g + K/d) N``, ZeRO-2 ``(w + (g + K)/d) N``, ZeRO-3
    ``(w + g + K) N / d``.

    Parameters
    ----------
    params : N, parameters on the device before sharding.
    data_ranks : d, devices that share the states (for experts: those that hold the same experts).
    zero_stage : 0..3.
    weight_bytes, gradient_bytes, optimizer_bytes : w, g, K per parameter; Adam with fp32 master weights:
        K = 12.

    Examples
    --------
    >>> [float(sum(model_states(7.5e9, 64.0, z, 2.0, 2.0, 12.0))) / 1e9 for z in range(4)]
    [120.0, 31.40625, 16.640625, 1.875]
    """
    shard = params / data_ranks
    return States(
        weight_bytes * np.where(zero_stage >= 3, shard, params),
        gradient_bytes * np.where(zero_stage >= 2, shard, params),
        optimizer_bytes * np.where(zero_stage >= 1, shard, params),
    )


def gathered_bytes(unit_params, weight_bytes, gradient_bytes, prefetch, limit=np.inf):
    """What ZeRO-3 keeps whole for a while: a unit, those fetched ahead, one unit's gradients (byte).

    Parameters
    ----------
    unit_params : parameters of the largest unit that is gathered at once, per device.
    prefetch : units gathered ahead of their use.
    limit : most parameters that are whole at once, where larger units are gathered piece by piece.
    """
    whole = np.minimum(unit_params * (1.0 + prefetch), limit)
    return weight_bytes * whole + gradient_bytes * np.minimum(unit_params, limit)


# --- activations ---------------------------------------------------------------------------------------


class LayerActivations(NamedTuple):
    """Bytes a layer keeps per token of a micro-batch, on one device."""

    stored: Any  #: from the forward to the backward pass
    working: Any  #: of the one layer that is being computed, beyond `stored`
    moved: Any  #: to the host and back


def ffn_stored_bytes(stored_values, gated_ffn, activation_bytes, gemm_input_bytes):
    """Bytes kept per unit of feed-forward width: what the last matrix reads, and the rest as it is.

    A gated network that keeps both halves only computes what the last matrix reads again.

    Examples
    --------
    >>> [float(ffn_stored_bytes(values, 1.0, 2.0, 1.0)) for values in (4.0, 3.0, 2.0)]
    [7.0, 5.0, 4.0]
    >>> float(ffn_stored_bytes(2.0, 0.0, 2.0, 1.0))
    3.0
    """
    last = np.where(stored_values > 1.0 + gated_ffn, gemm_input_bytes, activation_bytes)
    return (stored_values - 1.0) * activation_bytes + last


def attention_width(model: Workload):
    """Values per token that attention keeps besides its output: queries, keys, values (MLA: latents too)."""
    grouped = model.head_dim * (model.n_heads + 2.0 * model.n_kv_heads)
    latent = (
        model.q_lora_rank
        + model.kv_lora_rank
        + model.rope_head_dim
        + model.n_heads * (2.0 * architecture.query_key_width(model) + model.v_head_dim)
    )
    return np.where(model.kv_lora_rank > 0, latent, grouped)


#: values per score that attention keeps when it is not fused: softmax, its dropout, half a value of mask
KEPT_SCORES = 2.5
#: dropout masks per unit of width and layer, in values (one byte each of two in 16 bits): two masks
MASKS = 1.0
#: tensors of full width that sequence parallelism needs at a time
GATHERED = 2.0
#: inputs of layers that are on the device while they live on the host: one is sent, one is used
LEAVING = 2.0


def scores_bytes(model: Workload, seq_len, tp, attention, activation_bytes, wide_bytes):
    """Per token: scores kept by attention that is not fused, or one log-sum-exp a head (byte).

    In 16 bits ``5 a s / t`` (Korthikanti 2022) and ``4 a / t``.
    """
    unfused = attention == Attention.UNFUSED
    kept = np.where(unfused, KEPT_SCORES * activation_bytes * seq_len, wide_bytes)
    return kept * model.n_heads / tp


def layer_activations(
    model: Workload,
    seq_len,
    tp,
    sequence_parallel,
    recompute,
    attention,
    ffn_width,
    copies,
    stored_values,
    activation_bytes,
    gemm_input_bytes,
    wide_bytes,
    repeated_products=0.0,
    narrow_kept=0.0,
    inputs_on_host=0.0,
):
    """Activations of one layer per token of the micro-batch (byte).

    ``[2 x 2 h (norm inputs) + 2 x 2 h (matrix inputs)] + [2 d (a + 2 k) + 2 a d + 4 a + act] / t`` in 16
    bits; the h terms are divided by t only with sequence parallelism.  Attention that is not fused (the
    Megatron of 2022) adds dropout: 2 h of masks, and 5 a s / t of scores.

    Parameters
    ----------
    model : Workload
    seq_len : tokens of a sequence (whole, also under context parallelism).
    tp, sequence_parallel : degree of tensor parallelism; are norms split too.
    recompute : `Recompute`.  SELECTIVE computes norms, activation functions, expanded latents and un-fused
        attention again; FULL keeps the layer's input; OFFLOAD moves the selective set to
        the host.
    attention : `Attention`
    ffn_width : feed-forward width a token passes (experts: all it visits).
    copies : copies of the token sent to experts, 0 in a layer without.
    stored_values : values kept per unit of `ffn_width`: gated 4 eager, 3 fused, 2 when the product is
        computed again; without a gate 2.
    activation_bytes, gemm_input_bytes, wide_bytes : bytes of a value, of one kept as input of a matrix
        product, and of one in fp32.
    repeated_products : share of matrix products that SELECTIVE computes again; where there are any, keys and
        the second half of a gated feed-forward network are not kept.
    narrow_kept : 1 where what an activation function reads is kept in the format of the matrix products.
    inputs_on_host : 1 where FULL keeps the layers' inputs on the host; one is there while it leaves, one comes back.

    Returns
    -------
    LayerActivations
    """
    hidden = model.hidden
    split = np.where(sequence_parallel > 0, tp, 1.0)
    unfused = attention == Attention.UNFUSED
    masks = np.where(unfused, MASKS * activation_bytes, 0.0)
    norm_inputs = 2.0 * activation_bytes * hidden
    matrix_inputs = 2.0 * gemm_input_bytes * hidden
    sent = copies * hidden * gemm_input_bytes  # what reaches an expert is kept as its products read it
    core = (
        activation_bytes * attention_width(model) + gemm_input_bytes * model.n_heads * architecture.value_width(model)
    ) / tp
    scores = scores_bytes(model, seq_len, tp, attention, activation_bytes, wide_bytes)
    function_bytes = np.where(narrow_kept > 0, gemm_input_bytes, activation_bytes)
    ffn = ffn_stored_bytes(stored_values, model.gated_ffn, function_bytes, gemm_input_bytes) * ffn_width / tp
    everything = (norm_inputs + matrix_inputs + masks * hidden) / split + sent / tp + core + scores + ffn
    # selective: norm outputs, the product of the feed-forward network and expanded latents are computed
    # again; the older form (Korthikanti 2022) drops the scores only
    latents = model.q_lora_rank + model.kv_lora_rank + model.rope_head_dim
    expanded = np.where(model.kv_lora_rank > 0, attention_width(model) - latents, 0.0) * activation_bytes / tp
    kept_products = np.minimum(stored_values, 1.0 + model.gated_ffn)  # what the activation function reads
    dropped = model.gated_ffn * ffn_width + model.head_dim * model.n_kv_heads
    ffn_kept = kept_products * ffn_width - np.where(repeated_products > 0, dropped, 0.0)
    ffn_kept = ffn_kept * function_bytes / tp
    lean = norm_inputs / split + sent / tp + (core - expanded) + scores + ffn_kept
    selective = np.where(unfused, everything - scores, lean)
    whole_input = activation_bytes * hidden / split
    host = np.where(inputs_on_host > 0, 1.0, 0.0)
    stored = np.where(
        recompute == Recompute.NONE,
        everything,
        np.where(
            recompute == Recompute.SELECTIVE,
            selective,
            np.where(recompute == Recompute.FULL, (1.0 - host) * whole_input, 0.0),
        ),
    )
    working = np.where(
        recompute == Recompute.NONE,
        0.0,
        np.where(
            recompute == Recompute.SELECTIVE,
            everything - selective,
            np.where(recompute == Recompute.FULL, everything + host * LEAVING * whole_input, everything + selective),
        ),
    )
    # with sequence parallelism an input gathered, and an output not yet scattered
    working = working + GATHERED * activation_bytes * hidden * (1.0 - 1.0 / split)
    moved = np.where(recompute == Recompute.FULL, host * whole_input, 0.0)
    return LayerActivations(stored, working, np.where(recompute == Recompute.OFFLOAD, selective, moved))


def head_activations(model: Workload, tp, sequence_parallel, activation_bytes, logit_value_bytes):
    """Per token at the head: inputs of the last norm and of the head, and the logits (byte).

    ``4 h / t + l V / t`` with l = 4 for fp32 logits in place, 8 with a fused cross-entropy that keeps a
    16-bit copy and the gradient, 12 eager.
    """
    split = np.where(sequence_parallel > 0, tp, 1.0)
    return 2.0 * activation_bytes * model.hidden / split + logit_value_bytes * model.vocab / tp
