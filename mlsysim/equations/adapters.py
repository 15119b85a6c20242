"""Low-rank adapters (LoRA): what is trained in place of the weights.

References
----------
Hu et al. 2021, "LoRA" (arXiv:2106.09685).
"""

import numpy as np

from mlsysim.equations import architecture
from mlsysim.schema.records import Workload


def adapter_params(model: Workload, rank):
    """Parameters of adapters of one rank on every matrix of every layer: ``r (inputs + outputs)`` each.

    Examples
    --------
    Llama-3.1-8B, rank 16: 41.9 million, as published for adapters on all linear layers.
    """
    heads = model.n_heads
    query_key, value = architecture.query_key_width(model), architecture.value_width(model)
    grouped = (
        2.0 * model.hidden + 2.0 * heads * model.head_dim + 2.0 * (model.hidden + model.n_kv_heads * model.head_dim)
    )
    query_rank = np.where(model.q_lora_rank > 0, model.hidden + 2.0 * model.q_lora_rank, model.hidden)
    latent = (
        query_rank
        + heads * query_key
        + (model.hidden + 2.0 * model.kv_lora_rank + model.rope_head_dim)
        + heads * (model.nope_head_dim + value)
        + heads * value
        + model.hidden
    )
    attention = np.where(model.kv_lora_rank > 0, latent, grouped)
    matrices = architecture.ffn_matrices(model)
    with_experts = architecture.moe_layers(model)
    dense = (model.n_layers - with_experts) * matrices * (model.hidden + architecture.dense_ffn_width(model))
    experts = model.n_experts + model.n_shared_experts
    routed = with_experts * experts * matrices * (model.hidden + model.ffn_hidden)
    return rank * (model.n_layers * attention + dense + routed)
