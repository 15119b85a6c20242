"""The records a kernel receives: what the rows of the zoo say, as plain numbers in base units.

A kernel never sees a name or a row.  ``model="llama3_1_70b"`` arrives as a `Workload`,
``hardware="h100"`` at ``precision="fp8"`` as an `Accelerator` and a `Format`, and so on; every field
may vary along labelled axes, and every field has its unit and meaning in `mlsysim.schema.variables`.
A datum that nobody published is NaN here; the engine refuses outputs that would need it.
"""

from __future__ import annotations

from typing import NamedTuple

from mlsysim.schema.kinds import Real


class Workload(NamedTuple):
    """A model.  Features it lacks (experts, latent attention, a window ...) are 0; for a model that is
    no transformer all architecture fields are 0 and `flops_per_sample` holds its forward cost, its layers stand at the end."""

    total_params: Real
    active_params: Real
    n_layers: Real
    hidden: Real
    ffn_hidden: Real
    n_heads: Real
    n_kv_heads: Real
    head_dim: Real
    vocab: Real
    gated_ffn: Real
    tied_embeddings: Real
    n_experts: Real
    experts_per_token: Real
    expert_node_limit: Real
    n_shared_experts: Real
    first_dense_layers: Real
    dense_ffn_hidden: Real
    moe_layer_interval: Real
    q_lora_rank: Real
    kv_lora_rank: Real
    nope_head_dim: Real
    rope_head_dim: Real
    v_head_dim: Real
    sliding_window: Real
    local_layers: Real
    # layers that are not all alike
    expert_layers: Real
    expert_latent: Real
    attention_free_layers: Real
    network_free_layers: Real
    attention_gate_params: Real
    recurrent_layers: Real
    recurrent_params: Real
    recurrent_state: Real
    recurrent_convolution: Real
    recurrent_step_flops: Real
    recurrent_prompt_flops: Real
    state_bytes: Real
    index_layers: Real
    index_heads: Real
    index_head_dim: Real
    index_topk: Real
    decoder_layers: Real
    max_context: Real
    extra_params: Real
    flops_per_sample: Real
    # networks that are no transformers, see `mlsysim.equations.network`
    network_layers: Real
    activation_values: Real
    widest_values: Real
    depthwise_share: Real
    unfused_accesses: Real


class Accelerator(NamedTuple):
    """A device at one precision: datasheet figures, and what share of them kernels really reach."""

    peak_flops: Real
    widens_weights: Real
    attention_gemm_rate: Real
    expert_gemm_rate: Real
    shared_expert_gemm_rate: Real
    attention_peak_flops: Real
    vector_flops: Real
    vector_ops: Real
    narrow_sum_flops: Real
    mem_bandwidth: Real
    mem_capacity: Real
    sram_capacity: Real
    on_chip_memory: Real
    sram_bandwidth: Real
    link_bandwidth: Real
    link_latency: Real
    host_bandwidth: Real
    tdp: Real
    idle_power: Real
    price: Real
    hourly_price: Real
    embodied_carbon: Real
    # GEMM: t = gemm_latency + smooth max of compute and traffic (equations/compute.py)
    gemm_latency: Real
    gemm_efficiency: Real
    gemm_half_rows: Real
    gemm_bandwidth_efficiency: Real
    gemm_exponent: Real
    plain_gemm_latency: Real
    wide_gemm_efficiency: Real
    training_gemm_efficiency: Real
    # attention
    attention_efficiency: Real
    attention_half_length: Real
    flash1_efficiency: Real
    flash2_efficiency: Real
    flash3_efficiency: Real
    flash3_kernel_efficiency: Real
    flash3_kernel_half_length: Real
    decode_attention_latency: Real
    decode_attention_bandwidth_efficiency: Real
    decode_attention_ramp: Real
    # all-reduce inside the fast domain, measured at 2, 4 and 8 devices
    allreduce_latency_2: Real
    allreduce_latency_4: Real
    allreduce_latency_8: Real
    nccl_latency_2: Real
    nccl_latency_4: Real
    nccl_latency_8: Real
    bus_bandwidth_2: Real
    bus_bandwidth_4: Real
    bus_bandwidth_8: Real
    allreduce_256k_2: Real
    allreduce_1m_2: Real
    allreduce_4m_2: Real
    allreduce_16m_2: Real
    allreduce_64m_2: Real
    allreduce_256k_4: Real
    allreduce_1m_4: Real
    allreduce_4m_4: Real
    allreduce_16m_4: Real
    allreduce_64m_4: Real
    allreduce_256k_8: Real
    allreduce_1m_8: Real
    allreduce_4m_8: Real
    allreduce_16m_8: Real
    allreduce_64m_8: Real


class Format(NamedTuple):
    """What ``precision`` (and those of the cache and of parts of the model) means in bytes per value, scales included."""

    weight_bytes: Real
    attention_bytes: Real
    expert_bytes: Real
    shared_expert_bytes: Real
    head_bytes: Real
    embedding_bytes: Real
    activation_bytes: Real
    kv_bytes: Real
    gemm_input_bytes: Real
    parameter_bytes: Real
    weight_only: Real
    quantised: Real


class Fleet(NamedTuple):
    """How accelerators are put together: node, fast domain, network."""

    fleet_size: Real
    accelerators_per_node: Real
    domain_size: Real
    intra_bandwidth: Real
    intra_latency: Real
    intra_efficiency: Real
    inter_bandwidth: Real
    inter_latency: Real
    port_latency: Real
    inter_efficiency: Real
    oversubscription: Real
    nics_per_node: Real
    ports_per_node: Real
    port_bandwidth: Real
    psus_per_node: Real
    node_power: Real
    node_price: Real
    host_memory: Real
    torus_axes: Real
    direct_peers: Real
    switch_reduces: Real


class Site(NamedTuple):
    """Where it runs: grid and building."""

    carbon_intensity: Real
    electricity_price: Real
    offsite_water: Real
    pue: Real
    wue: Real
