"""Layers that mix tokens otherwise than by attention to all that lies before: recurrent states and indexes.

A recurrent mixer (gated delta net, Mamba, lightning attention ...) keeps a state of fixed size in place of a
cache; each step reads and writes it whole, so its cost grows with the sequences and not with their length.
An index scores every cached token with a few narrow heads, and attention reads only the best of them.

Symbols: h hidden, q rank of the query, n_I and d_I heads of the index and their width, s cached tokens.

References
----------
Gu and Dao 2023 (arXiv:2312.00752); Dao and Gu 2024 (arXiv:2405.21060); Yang et al. 2024 (arXiv:2412.06464);
DeepSeek-AI 2025 (arXiv:2512.02556) for the index.
"""

import numpy as np

from mlsysim.schema.records import Accelerator, Format, Workload

#: bytes of a value of the last inputs of a short convolution, which are kept in 16 bits
CONVOLUTION_BYTES = 2.0

# --- parameters ----------------------------------------------------------------------------------------


def index_params(model: Workload):
    """Weights of the index of one layer: ``q n_I d_I + h d_I + 2 d_I + h n_I``.

    Examples
    --------
    >>> from mlsysim import zoo
    >>> model = zoo.workload_record(zoo.model("deepseek_v3_671b"))
    >>> float(index_params(model._replace(index_heads=64.0, index_head_dim=128.0)))  # as in DeepSeek-V3.2
    13959424.0
    """
    queries = model.q_lora_rank * model.index_heads * model.index_head_dim
    return queries + model.hidden * (model.index_head_dim + model.index_heads) + 2.0 * model.index_head_dim


def mixer_params(model: Workload):
    """Weights of all recurrent mixers and indexes."""
    return model.recurrent_layers * model.recurrent_params + model.index_layers * index_params(model)


def mixer_params_per_device(model: Workload, tp):
    """The same on one of t devices: recurrent mixers are divided by heads, every device has the whole index."""
    return model.recurrent_layers * model.recurrent_params / tp + model.index_layers * index_params(model)


# --- what a sequence keeps -----------------------------------------------------------------------------


def state_bytes_per_sequence(model: Workload):
    """Recurrent states and last inputs of the convolutions of one sequence, all layers (byte)."""
    each = model.state_bytes * model.recurrent_state + CONVOLUTION_BYTES * model.recurrent_convolution
    return model.recurrent_layers * each


def index_values(model: Workload, context):
    """Index keys cached for one sequence, all layers: ``d_I s`` each (values)."""
    return model.index_layers * model.index_head_dim * context


# --- operations ----------------------------------------------------------------------------------------


def index_flops(model: Workload, positions):
    """Scores of the index, one token in all layers: ``2 n_I d_I s`` each (FLOP)."""
    return model.index_layers * (2.0 * model.index_heads * model.index_head_dim) * positions


def recurrent_flops(model: Workload, new):
    """Recurrences of one token in all layers (FLOP): one step, or the blocked form where `new` tokens come at once."""
    return model.recurrent_layers * np.where(new > 1, model.recurrent_prompt_flops, model.recurrent_step_flops)


def mixer_flops(model: Workload, new, positions):
    """What mixers cost a token beside their matrices, all layers (FLOP).

    Parameters
    ----------
    new : tokens of a sequence that are computed at once.
    positions : tokens that one looks back on, mean.
    """
    return recurrent_flops(model, new) + index_flops(model, positions)


# --- time ----------------------------------------------------------------------------------------------


def mixer_arithmetic(model: Workload, hardware: Accelerator, tp, sequences, new, positions):
    """Arithmetic of recurrences and indexes, all layers, at the rate of attention (s).

    Parameters
    ----------
    sequences : sequences on this device's group, with
    new : tokens each, and
    positions : tokens that one looks back on, mean.
    """
    flops = recurrent_flops(model, new) / tp + index_flops(model, positions)
    seconds = sequences * new * (flops / (hardware.attention_efficiency * hardware.attention_peak_flops))
    return np.where(model.recurrent_layers + model.index_layers > 0, seconds, 0.0)


def mixer_traffic(model: Workload, hardware: Accelerator, format: Format, tp, sequences, context):
    """Reading and writing the states, and reading the index keys, once in all layers (s).

    Parameters
    ----------
    sequences, context : sequences on this device's group, and their length (tokens).
    """
    states = 2.0 * state_bytes_per_sequence(model) / tp
    moved = states + format.kv_bytes * index_values(model, context)
    return sequences * (moved / (hardware.decode_attention_bandwidth_efficiency * hardware.mem_bandwidth))
