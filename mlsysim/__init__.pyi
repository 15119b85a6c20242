# Written by benchmarks/stubs.py from the schema (--write writes it again).
# mypy: disable-error-code="override"
# pyright: reportIncompatibleMethodOverride=false
"""What mlsysim holds, and what each resolver takes."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Self, TypedDict, Unpack, overload

import xarray as xr

from mlsysim import plot as plot
from mlsysim import zoo as zoo
from mlsysim.calibration import calibrate as calibrate
from mlsysim.calibration import validate as validate
from mlsysim.plans import Plan as Plan
from mlsysim.plans import run_plan as run_plan
from mlsysim.report import report as report
from mlsysim.resolver import Composition as Composition
from mlsysim.resolver import Model as Model
from mlsysim.resolver import Resolver as Resolver
from mlsysim.resolver import compose as compose
from mlsysim.resolver import kernel as kernel
from mlsysim.schema.assumptions import Assumptions as Assumptions
from mlsysim.search.near import nearest as nearest
from mlsysim.stored.files import load as load
from mlsysim.stored.files import save as save
from mlsysim.stored.shown import notebook as notebook
from mlsysim.version import __version__ as __version__
from mlsysim.walls import walls as walls
from mlsysim.why import compare as compare
from mlsysim.why import trace as trace
from mlsysim.zoo import Hardware as Hardware
from mlsysim.zoo import Workload as Workload
from mlsysim.engine.progress import Progress
from mlsysim.resolver import Optimizer, Solver

class _Workload(TypedDict, total=False):
    total_params: Any  # parameters
    active_params: Any  # parameters used per token
    n_layers: Any  # layers
    hidden: Any  # width of the residual stream
    ffn_hidden: Any  # width of the feed-forward network (of one expert)
    n_heads: Any  # query heads
    n_kv_heads: Any  # key/value heads
    head_dim: Any  # width of a head
    vocab: Any  # vocabulary
    gated_ffn: Any  # three feed-forward matrices instead of two
    tied_embeddings: Any  # input and output embedding are one table
    n_experts: Any  # routed experts
    experts_per_token: Any  # experts a token visits
    expert_node_limit: Any  # most nodes to which the router sends a token; 0: as many as it likes
    n_shared_experts: Any  # experts every token visits
    first_dense_layers: Any  # leading layers without experts
    dense_ffn_hidden: Any  # width of the feed-forward network in layers without experts
    moe_layer_interval: Any  # every how many layers there are experts
    q_lora_rank: Any  # rank of the latent query
    kv_lora_rank: Any  # rank of the latent key/value
    nope_head_dim: Any  # head width without rotary part
    rope_head_dim: Any  # rotary head width
    v_head_dim: Any  # value head width
    sliding_window: Any  # window of local attention, tokens
    local_layers: Any  # layers with local attention
    expert_layers: Any  # layers with experts, where they follow no rule; 0: by the rule
    expert_latent: Any  # width that routed experts see, between two projections; 0: that of the stream
    attention_free_layers: Any  # layers without attention
    network_free_layers: Any  # layers without a feed-forward network
    attention_gate_params: Any  # weights of the output gate of one layer's attention
    recurrent_layers: Any  # layers with a recurrent mixer
    recurrent_params: Any  # weights of one recurrent mixer
    recurrent_state: Any  # values of the state of one recurrent mixer, a sequence
    recurrent_convolution: Any  # last inputs that the convolution of one mixer keeps, a sequence
    recurrent_step_flops: Any  # FLOP: recurrence of one mixer, one token, step by step
    recurrent_prompt_flops: Any  # FLOP: recurrence of one mixer, one token of a prompt
    state_bytes: Any  # byte: bytes of a value of a recurrent state
    index_layers: Any  # layers that score cached tokens with an index of their own
    index_heads: Any  # heads of an index
    index_head_dim: Any  # width of a head of an index
    index_topk: Any  # most cached tokens that attention reads; 0: all
    decoder_layers: Any  # layers of a second stack that attends to the first
    max_context: Any  # longest context, tokens
    extra_params: Any  # parameters outside the formula
    flops_per_sample: Any  # FLOP: forward cost of one sample of a model that does not write token by token
    network_layers: Any  # layers with weights of a network that is no transformer
    activation_values: Any  # values that the layers of a network write, one sample
    widest_values: Any  # most values that a layer of a network reads and writes, one sample
    depthwise_share: Any  # share of the values of a network that convolutions write with fewer than 32 channels a group
    unfused_accesses: Any  # accesses of each value that no engine fuses into the layers: of group and layer norms

class _Accelerator(TypedDict, total=False):
    peak_flops: Any  # FLOP/s: dense peak of the format GEMMs compute in (0: unsupported)
    widens_weights: Any  # the device has no products of the format: weights in it are widened to 16 bits
    attention_gemm_rate: Any  # peak of the GEMMs of attention projections over `peak_flops`
    expert_gemm_rate: Any  # peak of the GEMMs of routed experts over `peak_flops`
    shared_expert_gemm_rate: Any  # peak of the GEMMs of shared experts over `peak_flops`
    attention_peak_flops: Any  # FLOP/s: dense peak of the format attention computes in
    vector_flops: Any  # FLOP/s: fp32 rate of the vector units
    vector_ops: Any  # FLOP/s: rate of the vector units in products of few rows: unpacking narrow weights, or converting wide ones
    narrow_sum_flops: Any  # FLOP/s: rate of 16-bit products whose sums are 16 bits wide, too
    mem_bandwidth: Any  # byte/s: main memory bandwidth
    mem_capacity: Any  # byte: main memory the device reports
    sram_capacity: Any  # byte: last-level cache or scratchpad
    on_chip_memory: Any  # all memory lies on the chip: weights stay there, each layer on its share of the devices
    sram_bandwidth: Any  # byte/s: bandwidth of the scratchpad of a microcontroller
    link_bandwidth: Any  # byte/s: accelerator link, one direction, all links
    link_latency: Any  # s: latency of the accelerator link
    host_bandwidth: Any  # byte/s: link to the host, one direction
    tdp: Any  # W: power limit of the device
    idle_power: Any  # W: power of the device when idle
    price: Any  # USD: price of one device
    hourly_price: Any  # USD/s: cloud price of one device
    embodied_carbon: Any  # kg: embodied carbon of one device, cradle to gate
    gemm_latency: Any  # s: start time of a GEMM
    gemm_efficiency: Any  # share of peak that a large GEMM reaches
    gemm_half_rows: Any  # rows at which a GEMM reaches half its rate
    gemm_bandwidth_efficiency: Any  # share of memory bandwidth that a GEMM reaches
    gemm_exponent: Any  # exponent of the smooth maximum: 2, 4, or 0 for the plain maximum
    plain_gemm_latency: Any  # s: time to start a matrix product in 16 bits
    wide_gemm_efficiency: Any  # share of the 16-bit peak that a large GEMM reaches
    training_gemm_efficiency: Any  # share of peak that the GEMMs of training reach
    attention_efficiency: Any  # share of peak that prefill attention tends to
    attention_half_length: Any  # tokens at which prefill attention reaches half of that
    flash1_efficiency: Any  # share of peak of first-generation fused attention
    flash2_efficiency: Any  # share of peak of FlashAttention 2 alike
    flash3_efficiency: Any  # share of peak of FlashAttention 3 or cuDNN alike
    flash3_kernel_efficiency: Any  # share of peak of FlashAttention 3 by itself, forward
    flash3_kernel_half_length: Any  # tokens at which FlashAttention 3 reaches half of that share
    decode_attention_latency: Any  # s: start time of decode attention
    decode_attention_bandwidth_efficiency: Any  # share of memory bandwidth of decode attention, large caches
    decode_attention_ramp: Any  # byte: cache of a layer below which decode attention does not reach its bandwidth
    allreduce_latency_2: Any  # s: one-shot all-reduce of a small message among 2 devices
    allreduce_latency_4: Any  # s: one-shot all-reduce of a small message among 4 devices
    allreduce_latency_8: Any  # s: one-shot all-reduce of a small message among 8 devices
    nccl_latency_2: Any  # s: library all-reduce of a small message among 2 devices
    nccl_latency_4: Any  # s: library all-reduce of a small message among 4 devices
    nccl_latency_8: Any  # s: library all-reduce of a small message among 8 devices
    bus_bandwidth_2: Any  # byte/s: bus bandwidth of a large all-reduce among 2 devices
    bus_bandwidth_4: Any  # byte/s: bus bandwidth of a large all-reduce among 4 devices
    bus_bandwidth_8: Any  # byte/s: bus bandwidth of a large all-reduce among 8 devices
    allreduce_256k_2: Any  # s: measured all-reduce of 256KiB among 2 devices
    allreduce_1m_2: Any  # s: measured all-reduce of 1MiB among 2 devices
    allreduce_4m_2: Any  # s: measured all-reduce of 4MiB among 2 devices
    allreduce_16m_2: Any  # s: measured all-reduce of 16MiB among 2 devices
    allreduce_64m_2: Any  # s: measured all-reduce of 64MiB among 2 devices
    allreduce_256k_4: Any  # s: measured all-reduce of 256KiB among 4 devices
    allreduce_1m_4: Any  # s: measured all-reduce of 1MiB among 4 devices
    allreduce_4m_4: Any  # s: measured all-reduce of 4MiB among 4 devices
    allreduce_16m_4: Any  # s: measured all-reduce of 16MiB among 4 devices
    allreduce_64m_4: Any  # s: measured all-reduce of 64MiB among 4 devices
    allreduce_256k_8: Any  # s: measured all-reduce of 256KiB among 8 devices
    allreduce_1m_8: Any  # s: measured all-reduce of 1MiB among 8 devices
    allreduce_4m_8: Any  # s: measured all-reduce of 4MiB among 8 devices
    allreduce_16m_8: Any  # s: measured all-reduce of 16MiB among 8 devices
    allreduce_64m_8: Any  # s: measured all-reduce of 64MiB among 8 devices

class _Format(TypedDict, total=False):
    weight_bytes: Any  # byte: bytes per stored weight, scales included
    attention_bytes: Any  # byte: bytes per weight of attention projections and recurrent mixers, scales included
    expert_bytes: Any  # byte: bytes per weight of routed experts, scales included
    shared_expert_bytes: Any  # byte: bytes per weight of shared experts, scales included
    head_bytes: Any  # byte: bytes per weight of the output head, and of a table that is both head and embedding
    embedding_bytes: Any  # byte: bytes per weight of an embedding that is not the head as well
    activation_bytes: Any  # byte: bytes per activation between operators
    kv_bytes: Any  # byte: bytes per cached key or value
    gemm_input_bytes: Any  # byte: bytes per activation a GEMM reads and training keeps
    parameter_bytes: Any  # byte: bytes per working weight in training
    weight_only: Any  # weights are narrow, the arithmetic is 16 bits wide
    quantised: Any  # activations are quantised on the fly

class _Fleet(TypedDict, total=False):
    fleet_size: Any  # accelerators the fleet has (0: as many as asked for)
    accelerators_per_node: Any  # accelerators in a node
    domain_size: Any  # accelerators in the fast domain
    intra_bandwidth: Any  # byte/s: bandwidth inside the fast domain, per accelerator and direction
    intra_latency: Any  # s: latency of one step inside the fast domain
    intra_efficiency: Any  # share of that bandwidth a collective reaches
    inter_bandwidth: Any  # byte/s: bandwidth between nodes, per accelerator and direction
    inter_latency: Any  # s: latency of one step of a collective between nodes
    port_latency: Any  # s: time of a small message from adapter to adapter through one switch
    inter_efficiency: Any  # share of that bandwidth a collective reaches
    oversubscription: Any  # leaf to spine oversubscription
    nics_per_node: Any  # network adapters in a node
    ports_per_node: Any  # ports of a node into the network between nodes
    port_bandwidth: Any  # byte/s: bandwidth of one port of a node and direction
    psus_per_node: Any  # power supplies in a node
    node_power: Any  # W: power limit of a whole node
    node_price: Any  # USD: price of a node
    host_memory: Any  # byte: host memory of a node
    torus_axes: Any  # axes of the torus that the fast links form, 0 where switches or a mesh join them
    direct_peers: Any  # devices of the domain that each reaches over a link of its own, 0 where a switch joins all
    switch_reduces: Any  # the switch of the fast domain can add up what devices send (NVLS)

class _Site(TypedDict, total=False):
    carbon_intensity: Any  # kg/J: carbon per electric energy
    electricity_price: Any  # USD/J: price of electric energy
    offsite_water: Any  # L/J: water consumed in generation
    pue: Any  # facility energy over IT energy
    wue: Any  # L/J: water used on site per IT energy

class _Assumptions(TypedDict, total=False):
    training_level: Any  # step time of a machine and its software over the prediction, the same for all its runs: clocks, libraries, neighbours; what `calibrate` finds from a few runs
    narrow_training_level: Any  # step time of training in 8 bits and fewer over the prediction: casts, scales and their reductions differ between releases of the libraries
    training_scatter: Any  # step time of one run over that of its machine's level
    mixture_level: Any  # step time of a mixture of experts over the prediction: balance of the experts, grouped kernels, overlap of their exchanges; dense models do not have it
    training_gemm_factor: Any  # matrix products of training over the best ones of the device
    gemm_half_inner: Any  # inner dimension that costs as much as filling and draining a matrix product, against the curve's own products of 4,096
    training_attention_factor: Any  # fused attention of training over the prefill curve
    attention_backward: Any  # backward over forward pass of fused attention, which computes the scores again
    eager_factor: Any  # element-wise kernels of a framework over fused ones: 2.53 where norms, rotary embedding and gate of a Llama are written out in eager PyTorch, 1 where kernels are fused, compiled or simple (layer norm, GELU)
    elementwise_slowdown: Any  # element-wise work of training over its ideal traffic
    fused_accumulation: Any  # products of weight gradients write into the sum; off: kernels of their own add them, or copy them into the buffers that are reduced
    optimizer_slowdown: Any  # traffic of the update over that of one fused kernel
    blocking_sends: Any  # pipeline stages wait for their messages
    scattered_sends: Any  # each tensor-parallel rank sends its part of a message between stages; off: all of them send the whole
    streaming_efficiency: Any  # share of memory bandwidth that streaming kernels reach
    checkpoint_early_stop: Any  # full recomputation stops before the last product of a layer, whose output the backward pass does not need; off: it repeats the whole layer
    selective_products: Any  # share of matrix products that selective recomputation computes again, besides element-wise work
    data_overlap: Any  # share of data-parallel communication that computation beside it hides
    tensor_overlap: Any  # share of tensor-parallel communication that computation hides (frameworks before 2023: 0)
    weight_gradient_overlap: Any  # share of the exchange of input gradients that the weight gradients beside it hide
    exchange_copies: Any  # what tensor parallelism gathers or scatters along the sequence is copied into place
    expert_overlap: Any  # share of expert-parallel communication that computation hides
    dualpipe_overlap: Any  # share of expert-parallel communication that computation hides under the DualPipe schedule, which runs a forward beside a backward pass
    grouped_gemm_factor: Any  # grouped products of experts in training over one dense product of the same shape
    straggler_loss: Any  # step time lost per doubling of devices above 8
    overlap_contention: Any  # share of the device that hidden communication takes from computation; the overlaps were fitted with none
    training_host_time: Any  # s: host time of a training step that nothing hides
    expert_imbalance: Any  # load of the fullest expert rank over the mean; a capacity factor
    context_imbalance: Any  # attention of the slowest context-parallel rank over the mean: 1 zig-zag, 2 - 1/c contiguous
    single_copy_per_node: Any  # a token crosses the network once per node and is spread inside; off: once per expert
    narrow_dispatch: Any  # tokens are sent to experts in the format of the matrix products
    multicast_reduction: Any  # the switch of a fast domain of several nodes reduces (NVLS)
    collective_start: Any  # s: start of the kernel that runs a collective, beyond its steps
    collective_call: Any  # s: the host's call of a communication library that waits for it, nothing else running
    collective_level: Any  # time that the bytes of a collective take on a machine over the prediction: its cables, settings and neighbours
    collective_step_level: Any  # time that the steps of a collective take on a machine over the prediction, what a call costs apart
    multicast_share: Any  # share of a ring's rate that a switch which reduces gives
    switched_reduction: Any  # the switches of the network reduce (SHARP)
    post_validation: Any  # zero-bubble schedules check the optimizer step afterwards, stages start staggered
    gradient_bytes: Any  # byte: bytes per accumulated gradient
    gradient_reduce_bytes: Any  # byte: bytes per gradient on the wire
    wide_bytes: Any  # byte: bytes of a value in fp32: master weights, statistics of softmax and loss
    optimizer_bytes: Any  # byte: bytes of optimizer state per parameter: fp32 master weight and two moments
    stored_ffn_values: Any  # values kept per unit of a gated feed-forward network: 4 eager, 3 fused, 2 with the product computed again
    narrow_kept: Any  # what an activation function reads is kept in the format of the matrix products (8 bits) instead of 16 bits
    inputs_on_host: Any  # with full recomputation, inputs of layers wait in host memory for the backward pass
    training_logit_bytes: Any  # byte: bytes per logit kept: 8 fused cross-entropy, 12 eager, 4 fused in place
    planned_memory: Any  # places of tensors are planned at compile time, so that the head and the layer that is computed take turns
    loss_tile: Any  # byte: most activations of the head that are held at once; a larger loss is computed tile by tile
    sharded_masters: Any  # what ZeRO-3 shards are the master weights themselves, so that a device keeps no narrow copy of its shard
    gather_prefetch: Any  # layers whose sharded weights are gathered ahead of use
    gather_limit: Any  # most parameters that are whole at once on a device; larger layers are gathered piece by piece
    keep_gathered: Any  # in a pipeline, sharded weights stay gathered and gradients whole over a step
    training_reserve: Any  # byte: context, communication buffers and buckets of a training process
    gradients_resident: Any  # gradients have a buffer that stays; off: they are freed after a step, so that in a step of one micro-batch they take the place of the activations they come from
    allocator_slack: Any  # memory the allocator holds beyond the tensors, over the tensors
    memory_scatter: Any  # memory that a training process reserves over the prediction
    host_memory_bandwidth: Any  # byte/s: host memory bandwidth of a node that an offloaded optimizer reaches
    host_optimizer_bytes: Any  # byte: bytes an offloaded optimizer moves per parameter
    serving_level: Any  # times of a machine and its engine over the prediction, the same for all its loads: builds, clocks, load generators; what `calibrate` finds from a few measurements
    mixture_serving_level: Any  # step of a server over the prediction where the model is a mixture of many experts (as much less as a token takes more of them): routing, exchanges and grouped products differ more between engines than dense steps do
    serving_scatter: Any  # times of one load over those of its machine's level
    token_scatter: Any  # time between tokens of one load over the prediction: how an engine and its load generator space and count tokens; throughput does not have it
    first_token_scatter: Any  # time to the first token of one load over the prediction: how prompts meet, wait and share steps
    serving_gemm_factor: Any  # matrix products under sustained load over the micro-benchmark curve: clocks fall at the power limit
    vector_product_efficiency: Any  # share of the rate of the vector units that a product of few rows reaches where the matrix units would stay empty
    vector_product_rows: Any  # rows up to which an engine takes matrix-vector kernels, whatever the matrix units would do
    narrow_sums: Any  # 16-bit products sum in 16 bits, at twice the rate on cards for games: half of the 8-bit rate
    unpacks_weights: Any  # products of many rows with weights in 4 bits unpack them into 16 bits beforehand
    score_bytes: Any  # byte: what a score of attention moves through memory in prefill: 0 where one kernel keeps the scores on the chip
    library_allreduce: Any  # the communication library does all all-reduces; off: kernels of the engine take the small messages
    node_allreduce: Any  # an engine's own all-reduce kernels end with a node, so that the communication library takes over between nodes that share a fast domain, as in a rack; off: they reach as far as the domain
    grouped_cache_reads: Any  # times that decode attention reads a key/value head which several query heads share: 1 where a kernel takes the group together, more where each query head is taken by itself and caches catch the rest
    last_token_apart: Any  # a prompt's last token passes in a decoding step of its own, after all others of the prompt; off: the prompt's own step gives the first token
    poll_steps: Any  # steps between two looks of the scheduler at new requests: a prompt waits for half of them
    balance_steps: Any  # steps that prompts wait at most until every attention group has one; where there are several groups
    scheduled_steps: Any  # steps that are scheduled already when a request comes, beside the one that runs
    prefill_scheduled_steps: Any  # steps that a server which only prefills has scheduled already when a prompt comes, beside the one that runs
    host_step_time: Any  # s: scheduling, sampling and launch on the host that a step waits for
    host_sequence_time: Any  # s: host time of a step per sequence in it
    decode_host_overlap: Any  # share of the host's work of a step that a replica which only decodes does while the device computes: no prompt changes what the next step holds
    eager_kernel_time: Any  # s: time per kernel of a prefill step whose kernels are launched one by one (0: compiled engine)
    block_scales: Any  # 8-bit products have a scale for each block of 128 x 128 weights: the vector units scale the sums of every 128 inputs
    fused_quantise: Any  # inputs of narrow matrix products are narrowed inside the kernel before, with scales known beforehand; off: in kernels of their own, with scales found on the way
    quantise_kernel_time: Any  # s: least time of a kernel that narrows the input of a matrix product (0: fused)
    quantise_slowdown: Any  # a kernel that narrows the input of a matrix product over its ideal traffic (0: fused)
    frontend_time: Any  # s: request handling before the first step: connection, template, tokenizer, queue hop
    frontend_token_time: Any  # s: request handling before the first step, per token of the prompt
    kv_transfer_latency: Any  # s: time before a cache begins to move from a prefill to a decode replica: metadata, lists of blocks, a poll
    frontend_client_time: Any  # s: request handling before the first step, per client that starts at the same moment
    first_use_time: Any  # s: kernels of a step that goes on with a prompt, compiled or loaded when the first one comes: who waits then is late by it
    moe_layer_latency: Any  # s: fixed time of the routed experts of a layer: routing, permutation, two grouped products
    expert_bandwidth_efficiency: Any  # share of memory bandwidth at which experts are read
    expert_gemm_efficiency: Any  # rate of full tiles of wide grouped products over the device's large products
    expert_input_reads: Any  # time in which grouped products read their input over reading it once from memory, beside the arithmetic on it: narrow experts do little with what they read
    expert_tile_rows: Any  # rows of nobody that fill up the last tile of every expert of a step that has many rows, mean
    expert_least_rows: Any  # rows of an expert below which its tiles shrink
    expert_movement: Any  # traffic of the activations of experts over what their products read and write: permuting, narrowing and summing are kernels of their own
    expert_skew: Any  # how unequally tokens choose experts: standard deviation of an expert's load over its mean
    redundant_relief: Any  # how much copies of popular experts even out the ranks: with r of them on e ranks the skew is divided by 1 + this r / e
    expert_popularity_cv: Any  # how unequally popular experts are, as far as it leaves some of them unread: coefficient of variation of a gamma law
    expert_exposed: Any  # share of the shorter of arithmetic and traffic of experts that nothing hides
    dispatch_bytes: Any  # byte: bytes per value sent to an expert: 8 bits and a scale per 128 values
    expert_gather: Any  # inside a node all tokens are gathered on all ranks that share experts (1), or sent to those only that hold a token's experts (0)
    expert_node_gather: Any  # beyond the fast domain all tokens are gathered on all ranks, too (1), or sent to the nodes only that hold a token's experts (0)
    expert_sums: Any  # steps with prompts gather tokens, and then add up what the experts made of them, by all-reduces over all tokens (1), not by gathering and scattering (0); where tokens are gathered at all
    joining_steps: Any  # steps that an attention group of a replica that only decodes sits out when requests join it, while the others step
    exchange_latency_intra: Any  # s: start of an expert exchange inside the fast domain
    exchange_latency_inter: Any  # s: start of an expert exchange between nodes
    exchange_share: Any  # share of expert exchanges that no other micro-batch hides
    allreduce_share: Any  # share of all-reduces that nothing hides
    stage_send_latency: Any  # s: start of a hand-over between pipeline stages
    serving_elementwise_slowdown: Any  # element-wise work of serving over its ideal traffic
    elementwise_kernels: Any  # element-wise kernels of a layer that are launched apart
    elementwise_kernel_time: Any  # s: least time of an element-wise kernel in a captured graph
    activation_traffic: Any  # share of the activations that matrix products move through memory
    whole_local_cache: Any  # layers that attend to a window keep the cache of the whole sequence; off: that of the window
    workspace_bytes_per_value: Any  # byte: activations held during a step, per token and unit of width
    logit_bytes: Any  # byte: bytes per logit of a sampled token
    runtime_reserve: Any  # byte: memory of context, libraries and graphs
    communication_reserve: Any  # byte: communication buffers of one device
    memory_activity_power: Any  # power of full memory activity over that of full arithmetic
    network_level: Any  # time of a pass of a model that writes no text over the prediction: clocks, boards, host; what `calibrate` finds from a few runs
    engine_level: Any  # time of such a pass by an engine compiled ahead of time, or by code for a microcontroller, over the prediction: what they fuse and which kernels they choose differs more than PyTorch does
    convolution_efficiency: Any  # rate of convolutions over that of large matrix products
    microcontroller_efficiency: Any  # share of the rate of a microcontroller, loads counted, that kernels of networks reach
    depthwise_efficiency: Any  # share of the bandwidth and of the rate of other layers that depthwise convolutions reach
    attention_tile: Any  # tokens at which attention of a batch of whole sequences reaches half of its rate, models that write no text
    layer_kernel_time: Any  # s: least time of the kernel of a layer, its tail included, in a network compiled ahead of time
    compiled_kernel_time: Any  # s: host time per kernel of a network compiled just in time, without captured graphs
    stored_activations: Any  # values that training keeps of each value a layer of a network writes
    host_memory_share: Any  # share of host memory that may hold what does not fit a device
    host_link_efficiency: Any  # share of the host link that large pinned copies reach
    local_storage_bandwidth: Any  # byte/s: local storage that one device may read
    streaming_bandwidth: Any  # byte/s: bandwidth at which streamed weights enter a wafer
    wafer_efficiency: Any  # share of a wafer's dense peak that matrix products reach
    wafer_layer_latency: Any  # s: dispatch and reductions of a layer whose weights lie on the chip
    wafer_half_rows: Any  # rows at which a product on a layer's share of a wafer reaches half of its rate
    wafer_hop_latency: Any  # s: message between devices with memory on the chip
    wafer_live_activations: Any  # activations of a layer alive at once, per token and unit of width
    wafer_layers_held: Any  # streamed layers on the chip at once: in use, and arriving
    switch_latency: Any  # s: time each switch beyond the first adds to a path
    training_mfu: Any  # share of peak that a training reaches where none is given: a well-tuned dense one
    accuracy_per_nat: Any  # accuracy lost on multiple-choice tasks per nat of loss, when little is lost
    accuracy_at_stake: Any  # accuracy of a dense model above guessing, mean of multiple-choice tasks
    distillation_drop: Any  # accuracy lost per e-fold of parameters, pruned and distilled
    sparse_gemm_speedup: Any  # rate of 2:4 matrix products over dense ones
    gpu_failure_rate: Any  # 1/s: failures of one accelerator outside its memory: 196 in 21.2 million device-hours
    hbm_failure_rate: Any  # 1/s: failures of the memory of one accelerator: 72 in 21.2 million device-hours
    nic_failure_rate: Any  # 1/s: failures of the network adapter of one accelerator: 7 in 21.2 million device-hours
    network_failure_rate: Any  # 1/s: failures of switches and cables per accelerator: 35 in 21.2 million device-hours
    software_failure_rate: Any  # 1/s: failures of software per accelerator: 63 in 21.2 million device-hours
    host_failure_rate: Any  # 1/s: failures of one host: 43 in 2.65 million node-hours
    psu_failure_rate: Any  # 1/s: failures of the power supplies of one node: 3 in 2.65 million node-hours
    failure_level: Any  # failures over those of the fitted run
    failure_spread: Any  # spread of the failures of sites in log space, for the interval of the time between them; 0 where the rate of the site is known
    least_goodput: Any  # goodput below which a job counts as one that never ends
    planned_interruption_rate: Any  # 1/s: planned interruptions per accelerator (47 in 21.2 million device-hours in the fitted run)
    detection_time: Any  # s: time until a failure is noticed
    reschedule_time: Any  # s: time until the job has nodes again
    relaunch_time: Any  # s: time until the processes run again
    warmup_time: Any  # s: time until full speed after a start: compilation, caches, data order
    checkpoint_time: Any  # s: time that a checkpoint stops the job, where no other is given
    master_weight_bytes: Any  # byte: fp32 copy of a weight that training at less keeps
    adam_8bit_bytes: Any  # byte: 8-bit moments of Adam per parameter
    momentum_bytes: Any  # byte: fp32 momentum of SGD per parameter
    repair_time: Any  # s: time until a failed node is back
    checkpoint_bandwidth: Any  # byte/s: what the checkpoint storage takes in total
    writer_bandwidth: Any  # byte/s: what one node sends to storage
    per_sample_slowdown: Any  # training time with per-sample gradients over plain training
    ghost_slowdown: Any  # training time with ghost clipping over plain training
    loop_slowdown: Any  # training time sample by sample over plain training
    tolerated_noise: Any  # length of the noise over the clipped gradient at which training still learns as well
    compute_activity: Any  # busy share of the arithmetic units of devices in use, where nobody gives one: a training, waits included
    idle_power_fraction: Any  # idle power with a context loaded, as a share of TDP
    host_power_fraction: Any  # power of a node outside its accelerators at full load, as a share of their TDP
    host_idle_fraction: Any  # power of an idle host over the same host at full load
    network_power_fraction: Any  # power of switches and optics outside the nodes, as a share of TDP
    year: Any  # s: year of accounts: 8,760 hours
    hardware_life: Any  # s: life over which price and embodied carbon of hardware are spread: 4 years
    cost_of_capital: Any  # interest on capital a year
    residual_share: Any  # resale value at the end of the life over the price
    server_multiplier: Any  # price of a server over the accelerators in it
    infrastructure_multiplier: Any  # price of servers with network and storage over the servers
    facility_price: Any  # USD/W: building with power and cooling, per watt of IT
    facility_life: Any  # s: life over which the building is written off: 15 years
    maintenance_share: Any  # repair and support a year over the price of the hardware
    staff_price: Any  # USD/s: operating staff per accelerator: 200 USD a year
    reserved_discount: Any  # price of a reservation of 1 to 3 years below on demand
    spot_discount: Any  # price of interruptible capacity below on demand
    embodied_multiplier: Any  # embodied carbon of a device with its share of server and network over the device alone

class _SingleNodeModelInputs(_Workload, _Accelerator, _Fleet, _Format, _Assumptions, total=False):
    model: Any  # required; what runs; any field of it may be given by name: hidden=...
    hardware: Any  # required; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    fabric: Any  # optional; the network between nodes, in place of that of the system
    head_precision: Any  # optional; number format of the stored output head (default: 16 bits)
    embedding_precision: Any  # optional; number format of the stored embedding (default: 16 bits)
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    batch_size: Any  # default 1; sequences or samples in flight
    seq_len: Any  # default 2048, or the positions of the model where it has fewer; sequence length, tokens
    cached_prefix: Any  # default 0; tokens of the prompt that are cached already
    phase: Any  # default prefill; phase of a language model's life
    efficiency: Any  # optional; constant share of peak, in place of the measured curves
    bandwidth_efficiency: Any  # optional; constant share of memory bandwidth, in place of the measured curves
    is_training: Any  # default 0; forward, backward and optimizer instead of a forward pass
    recompute: Any  # default none; activations computed again in the backward pass
    zero_stage: Any  # default 0; ZeRO stage 0..3; 3 is FSDP
    dp: Any  # default 1; degree of data parallelism
    lora_rank: Any  # default 0; rank of trained adapters; 0 trains all weights
    flops_convention: Any  # default causal; attention FLOPs that a utilization counts, or a server computes
    offload: Any  # default 0; what does not fit lives in host memory and storage
    textbook: Any  # default 0; hand calculation: full rates, no overhead, no communication
    energy_basis: Any  # default activity; what the power of a device between idle and its limit follows
    runtime: Any  # default usual; software that runs a network
    weights_in_sram: Any  # default 0; the weights of a microcontroller's network lie in its SRAM, not in flash

class _SingleNodeModel(Model):
    """One forward pass, or one training step, on one device; walls 1 (compute) and 2 (memory)."""

    def __call__(self, **inputs: Unpack[_SingleNodeModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_SingleNodeModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_SingleNodeModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_SingleNodeModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_SingleNodeModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_SingleNodeModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_SingleNodeModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_SingleNodeModelInputs]) -> str: ...

class _EfficiencyModelInputs(_Workload, _Accelerator, _Fleet, _Format, _Assumptions, total=False):
    model: Any  # required; what runs; any field of it may be given by name: hidden=...
    hardware: Any  # required; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    fabric: Any  # optional; the network between nodes, in place of that of the system
    head_precision: Any  # optional; number format of the stored output head (default: 16 bits)
    embedding_precision: Any  # optional; number format of the stored embedding (default: 16 bits)
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    workload_type: Any  # default ffn; part of a workload an efficiency is asked for
    batch_size: Any  # default 1; sequences or samples in flight
    seq_len: Any  # default 2048, or the positions of the model where it has fewer; sequence length, tokens
    rows: Any  # optional; rows of a matrix product
    columns: Any  # optional; columns of a matrix product
    inner: Any  # optional; inner dimension of a matrix product
    attention: Any  # optional; generation of the attention kernel
    tile_rows: Any  # default 128; rows of an output tile
    tile_columns: Any  # default 256; columns of an output tile
    compute_units: Any  # optional; output tiles in flight at once

class _EfficiencyModel(Model):
    """Share of peak that a part of a workload reaches on one device (wall 3), split by cause."""

    def __call__(self, **inputs: Unpack[_EfficiencyModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_EfficiencyModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_EfficiencyModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_EfficiencyModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_EfficiencyModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_EfficiencyModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_EfficiencyModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_EfficiencyModelInputs]) -> str: ...

class _ServingModelInputs(_Workload, _Accelerator, _Fleet, _Format, _Assumptions, total=False):
    model: Any  # required; what runs; any field of it may be given by name: hidden=...
    hardware: Any  # required; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    fabric: Any  # optional; the network between nodes, in place of that of the system
    head_precision: Any  # optional; number format of the stored output head (default: 16 bits)
    embedding_precision: Any  # optional; number format of the stored embedding (default: 16 bits)
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    seq_len: Any  # required; sequence length, tokens
    output_len: Any  # optional; generated tokens per request
    batch_size: Any  # default 1; sequences or samples in flight
    tp: Any  # default 1; degree of tensor parallelism
    pp: Any  # default 1; degree of pipeline parallelism
    ep: Any  # default 1; degree of expert parallelism
    cached_prefix: Any  # default 0; tokens of the prompt that are cached already
    prefill_chunk: Any  # default 8192; most tokens of prompts per step
    prefill_batch: Any  # optional; prompts prefilled together
    reserve: Any  # default reserve; how a server books KV cache
    memory_fraction: Any  # default 0.9; share of the device a server may use
    draft: Any  # optional; the model that drafts tokens
    acceptance: Any  # default 0.7; probability that a drafted token is accepted
    draft_len: Any  # default 0; drafted tokens per round
    decode_hardware: Any  # default that of hardware; the device of the replicas that decode
    decode_precision: Any  # default that of precision; number format of the device that decodes
    efficiency: Any  # optional; constant share of peak, in place of the measured curves
    bandwidth_efficiency: Any  # optional; constant share of memory bandwidth, in place of the measured curves
    textbook: Any  # default 0; hand calculation: full rates, no overhead, no communication
    flops_convention: Any  # default causal; attention FLOPs that a utilization counts, or a server computes
    cache_length: Any  # default growing; length of the cache that a decode step reads
    cache_transfer: Any  # default streamed; how the cache moves to the devices that decode

class _ServingModel(Model):
    """Prefill and decode of a batch of requests on one replica of ``pp max(tp, ep)`` devices."""

    def __call__(self, **inputs: Unpack[_ServingModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_ServingModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_ServingModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_ServingModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_ServingModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_ServingModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_ServingModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_ServingModelInputs]) -> str: ...

class _ContinuousBatchingModelInputs(_Workload, _Accelerator, _Fleet, _Format, _Assumptions, total=False):
    model: Any  # required; what runs; any field of it may be given by name: hidden=...
    hardware: Any  # required; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    fabric: Any  # optional; the network between nodes, in place of that of the system
    head_precision: Any  # optional; number format of the stored output head (default: 16 bits)
    embedding_precision: Any  # optional; number format of the stored embedding (default: 16 bits)
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    seq_len: Any  # required; sequence length, tokens
    max_batch: Any  # default 256; most sequences at once: what fits, or what is allowed
    output_len: Any  # default 256; generated tokens per request
    tp: Any  # default 1; degree of tensor parallelism
    pp: Any  # default 1; degree of pipeline parallelism
    ep: Any  # default 1; degree of expert parallelism
    replicas: Any  # default 1; servers that share the requests
    arrival_rate: Any  # optional; 1/s; requests or jobs that arrive per second
    users: Any  # optional; clients of a closed loop
    think_time: Any  # default 0; s; pause of a client between answer and next request
    prompt_cv: Any  # default 0; coefficient of variation of the prompt
    output_cv: Any  # default 0; coefficient of variation of the answer
    length_law: Any  # default lognormal; how the lengths of answers are spread
    cache_length: Any  # default growing; length of the cache that a decode step reads
    page_size: Any  # default 16; tokens per page of the cache
    prefill_chunk: Any  # default 8192; most tokens of prompts per step
    cached_prefix: Any  # default 0; tokens of the prompt that are cached already
    reserve: Any  # default grow; how a server books KV cache
    memory_fraction: Any  # default 0.9; share of the device a server may use
    pool_fraction: Any  # default 1.0; share of what weights and activations leave that the cache takes
    overflow: Any  # default 0.01; probability of running out of pages that admission accepts
    percentile: Any  # default 0.99; share of requests that a percentile covers (0.99: the 99th)
    requests_per_user: Any  # optional; requests of each client in a run that starts all together
    n_requests: Any  # optional; requests in a run at maximum load
    efficiency: Any  # optional; constant share of peak, in place of the measured curves
    bandwidth_efficiency: Any  # optional; constant share of memory bandwidth, in place of the measured curves
    textbook: Any  # default 0; hand calculation: full rates, no overhead, no communication
    flops_convention: Any  # default causal; attention FLOPs that a utilization counts, or a server computes

class _ContinuousBatchingModel(Model):
    """Servers with iteration-level scheduling and a paged cache (wall 5)."""

    def __call__(self, **inputs: Unpack[_ContinuousBatchingModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_ContinuousBatchingModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ...,
        **inputs: Unpack[_ContinuousBatchingModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_ContinuousBatchingModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_ContinuousBatchingModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_ContinuousBatchingModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_ContinuousBatchingModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_ContinuousBatchingModelInputs]) -> str: ...

class _DisaggregatedServingModelInputs(_Workload, _Accelerator, _Fleet, _Format, _Assumptions, total=False):
    model: Any  # required; what runs; any field of it may be given by name: hidden=...
    hardware: Any  # required; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    fabric: Any  # optional; the network between nodes, in place of that of the system
    head_precision: Any  # optional; number format of the stored output head (default: 16 bits)
    embedding_precision: Any  # optional; number format of the stored embedding (default: 16 bits)
    decode_hardware: Any  # default that of hardware; the device of the replicas that decode
    decode_precision: Any  # default that of precision; number format of the device that decodes
    decode_fleet: Any  # default that of fleet; node and network of the replicas that decode
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    seq_len: Any  # required; sequence length, tokens
    output_len: Any  # default 256; generated tokens per request
    prefill_replicas: Any  # default 1; replicas that only prefill
    decode_replicas: Any  # default 1; replicas that only decode
    tp: Any  # default 1; degree of tensor parallelism
    pp: Any  # default 1; degree of pipeline parallelism
    ep: Any  # default 1; degree of expert parallelism
    decode_tp: Any  # optional; degree of tensor parallelism of the replicas that decode (default: `tp`)
    decode_pp: Any  # optional; degree of pipeline parallelism of the replicas that decode (default: `pp`)
    decode_ep: Any  # optional; degree of expert parallelism of the replicas that decode (default: `ep`)
    expert_tp: Any  # optional; degree of tensor parallelism inside an expert
    decode_expert_tp: Any  # optional; degree of tensor parallelism inside an expert of the replicas that decode
    max_batch: Any  # default 256; most sequences at once: what fits, or what is allowed
    prefill_max_batch: Any  # default 1024; most prompts of a prefill step, all attention groups of a replica
    prefill_chunk: Any  # default 8192; most tokens of prompts per step
    arrival_rate: Any  # optional; 1/s; requests or jobs that arrive per second
    decode_batch: Any  # optional; requests that decode in each replica of the decode pool, mean
    users: Any  # optional; clients of a closed loop
    think_time: Any  # default 0; s; pause of a client between answer and next request
    requests_per_user: Any  # optional; requests of each client in a run that starts all together
    prompt_cv: Any  # default 0; coefficient of variation of the prompt
    output_cv: Any  # default 0; coefficient of variation of the answer
    cache_transfer: Any  # default serial; how the cache moves to the devices that decode
    kv_bandwidth: Any  # optional; byte/s; what one device sends or receives of caches
    blocking_receive: Any  # optional; replicas that decode stand still while caches come in
    first_token_from: Any  # default decode; which pool answers the client with the first token
    routing: Any  # default shared; one queue for all servers, or one each
    group_routing: Any  # default shared; one queue for all attention groups of a replica that prefills, or one each
    decode_group_routing: Any  # default shared; one queue for all attention groups of a replica that decodes, or one each
    draft_len: Any  # default 0; drafted tokens per round
    draft_layers: Any  # optional; layers such as the model's own that a drafted token passes before its head
    acceptance: Any  # default 0.7; probability that a drafted token is accepted
    cached_prefix: Any  # default 0; tokens of the prompt that are cached already
    local_prefill_below: Any  # optional; prompts with at most so many new tokens are computed by the replica that decodes them
    two_batches: Any  # optional; halves of a prefill step take turns: one exchanges tokens while the other computes
    decode_two_batches: Any  # optional; halves of a decode step take turns: one exchanges tokens while the other computes
    redundant_experts: Any  # default 0; copies of popular experts in a replica that prefills, beside one of each
    decode_redundant_experts: Any  # optional; copies of popular experts in a replica that decodes, beside one of each
    page_size: Any  # default 16; tokens per page of the cache
    reserve: Any  # default grow; how a server books KV cache
    memory_fraction: Any  # default 0.9; share of the device a server may use
    pool_fraction: Any  # default 1.0; share of what weights and activations leave that the cache takes
    overflow: Any  # default 0.01; probability of running out of pages that admission accepts
    percentile: Any  # default 0.99; share of requests that a percentile covers (0.99: the 99th)
    efficiency: Any  # optional; constant share of peak, in place of the measured curves
    bandwidth_efficiency: Any  # optional; constant share of memory bandwidth, in place of the measured curves
    textbook: Any  # default 0; hand calculation: full rates, no overhead, no communication
    flops_convention: Any  # default causal; attention FLOPs that a utilization counts, or a server computes

class _DisaggregatedServingModel(Model):
    """A cluster of P replicas that only prefill and D that only decode, with the cache moved between them."""

    def __call__(self, **inputs: Unpack[_DisaggregatedServingModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_DisaggregatedServingModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ...,
        **inputs: Unpack[_DisaggregatedServingModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_DisaggregatedServingModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_DisaggregatedServingModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_DisaggregatedServingModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_DisaggregatedServingModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_DisaggregatedServingModelInputs]) -> str: ...

class _WeightStreamingModelInputs(_Workload, _Accelerator, _Format, _Assumptions, total=False):
    model: Any  # required; what runs; any field of it may be given by name: hidden=...
    hardware: Any  # required; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    head_precision: Any  # optional; number format of the stored output head (default: 16 bits)
    embedding_precision: Any  # optional; number format of the stored embedding (default: 16 bits)
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    seq_len: Any  # default 2048; sequence length, tokens
    batch_size: Any  # default 1; sequences or samples in flight
    phase: Any  # default decode; phase of a language model's life
    max_parts: Any  # default 1; devices over which resident weights may spread
    weight_plan: Any  # default best; where the weights are: on the chips, or streamed
    injection_bandwidth: Any  # optional; byte/s; bandwidth at which streamed weights enter
    acceptance: Any  # default 0.7; probability that a drafted token is accepted
    draft_len: Any  # default 0; drafted tokens per round
    efficiency: Any  # optional; constant share of peak, in place of the measured curves
    flops_convention: Any  # default causal; attention FLOPs that a utilization counts, or a server computes

class _WeightStreamingModel(Model):
    """One pass of all layers on a wafer or another device with memory on the chip (wall 6)."""

    def __call__(self, **inputs: Unpack[_WeightStreamingModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_WeightStreamingModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_WeightStreamingModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_WeightStreamingModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_WeightStreamingModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_WeightStreamingModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_WeightStreamingModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_WeightStreamingModelInputs]) -> str: ...

class _TailLatencyModelInputs(TypedDict, total=False):
    arrival_rate: Any  # required; 1/s; requests or jobs that arrive per second
    service_latency: Any  # required; s; mean service time of one request on one replica
    replicas: Any  # default 1.0; servers that share the requests
    arrival_cv: Any  # default 1.0; coefficient of variation of the time between arrivals: 1 Poisson, 0 regular
    service_cv: Any  # default 1.0; coefficient of variation of the service time: 1 exponential, 0 constant
    percentile: Any  # default 0.99; share of requests that a percentile covers (0.99: the 99th)
    fan_out: Any  # default 1.0; leaves that each request asks; the slowest decides
    hedge_after: Any  # optional; s; time after which a request is sent a second time
    latency_target: Any  # optional; s; response time that the percentile must keep
    routing: Any  # default shared; one queue for all servers, or one each

class _TailLatencyModel(Model):
    """Wait and response of a group of replicas: M/M/c exactly, G/G/c by Allen and Cunneen."""

    def __call__(self, **inputs: Unpack[_TailLatencyModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_TailLatencyModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_TailLatencyModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_TailLatencyModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_TailLatencyModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_TailLatencyModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_TailLatencyModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_TailLatencyModelInputs]) -> str: ...

class _DataModelInputs(_Accelerator, total=False):
    hardware: Any  # required; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    workload_data_rate: Any  # optional; byte/s; stored bytes of samples a client consumes per second
    samples_per_s: Any  # optional; 1/s; samples a client consumes per second
    sample_bytes: Any  # optional; byte; stored size of a sample
    accelerators_per_client: Any  # default 1.0; accelerators that share the demand of one client
    amplification: Any  # default 1.0; bytes after decoding and augmentation per stored byte
    storage_bandwidth: Any  # optional; byte/s; bandwidth of the storage one client draws from
    storage_iops: Any  # optional; 1/s; requests per second of that storage
    storage_latency: Any  # optional; s; time of one read
    reads_in_flight: Any  # optional; reads outstanding at once
    record_bytes: Any  # optional; byte; bytes per request to storage
    shared_bandwidth: Any  # optional; byte/s; aggregate bandwidth of a file system that clients share
    clients: Any  # default 1.0; clients that share the file system
    cache_hit_ratio: Any  # default 0.0; share of bytes that a cache in front of storage serves
    cache_bandwidth: Any  # optional; byte/s; bandwidth of that cache
    prefetch_depth: Any  # default 2.0; batches prepared ahead
    rate_cv: Any  # default 0.0; coefficient of variation of the time per batch

class _DataModel(Model):
    """Supply of sample data against demand, and the share of time the accelerators wait."""

    def __call__(self, **inputs: Unpack[_DataModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_DataModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_DataModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_DataModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_DataModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_DataModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_DataModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_DataModelInputs]) -> str: ...

class _TransformationModelInputs(TypedDict, total=False):
    batch_size: Any  # required; sequences or samples in flight
    step_time: Any  # optional; s; time of one step of the accelerators
    cores: Any  # default 1.0; processor cores for preprocessing
    sample_cpu_time: Any  # optional; s; processor time of one sample
    sample_bytes: Any  # optional; byte; stored size of a sample
    cpu_throughput: Any  # optional; byte/s; bytes one core produces per second; samples per second where no `sample_bytes` is given
    amplification: Any  # default 1.0; bytes after decoding and augmentation per stored byte
    workers: Any  # optional; preprocessing processes that work at once
    prefetch_depth: Any  # default 2.0; batches prepared ahead
    rate_cv: Any  # default 0.0; coefficient of variation of the time per batch

class _TransformationModel(Model):
    """Preprocessing time of a batch, and how much of the accelerator it leaves idle."""

    def __call__(self, **inputs: Unpack[_TransformationModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_TransformationModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_TransformationModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_TransformationModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_TransformationModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_TransformationModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_TransformationModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_TransformationModelInputs]) -> str: ...

class _TopologyModelInputs(_Fleet, _Assumptions, _Accelerator, total=False):
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    hardware: Any  # optional; the device; any field of it may be given by name: mem_bandwidth=...
    fabric: Any  # optional; the network between nodes, in place of that of the system
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    topology: Any  # default fat_tree; shape of the network
    n_nodes: Any  # optional; nodes of the network; also num_nodes
    radix: Any  # default 64.0; ports of a switch
    tiers: Any  # default 3.0; most tiers of switches a tree may have
    rails: Any  # optional; network ports of a node
    links_per_port: Any  # optional; links a port is split into
    side_x: Any  # optional; nodes along the first side of a torus
    side_y: Any  # optional; nodes along the second side of a torus
    side_z: Any  # optional; nodes along the third side of a torus
    dimensions: Any  # default 3.0; dimensions of a torus
    hosts_per_router: Any  # optional; endpoints of a router or leaf
    routers_per_group: Any  # optional; routers or leaves of a group
    global_links_per_router: Any  # optional; links of a router or spine to other groups
    copper_fraction: Any  # default 0.0; share of links without transceivers
    switch_price: Any  # optional; USD; price of a switch
    link_price: Any  # optional; USD; price of a link with its transceivers
    switch_power: Any  # optional; W; power of a switch
    transceiver_power: Any  # optional; W; power of a transceiver
    message_size: Any  # optional; byte; tensor of one collective: what each device gets, reduces or sends in all
    n_accelerators: Any  # optional; accelerators used; also cluster_size
    collective_kind: Any  # default all_reduce; what a group of devices does with a tensor
    rank_stride: Any  # default 1; how many devices apart the members of a group are
    collective: Any  # default best; algorithm of reductions and gathers
    flops_beside: Any  # optional; FLOP; operations of one device that run beside a collective
    num_nodes: Any  # another name of n_nodes
    cluster_size: Any  # another name of n_accelerators

class _TopologyModel(Model):
    """Switches, links, distances and bandwidths of a network of nodes."""

    def __call__(self, **inputs: Unpack[_TopologyModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_TopologyModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_TopologyModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_TopologyModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_TopologyModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_TopologyModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_TopologyModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_TopologyModelInputs]) -> str: ...

class _ScalingModelInputs(_Assumptions, _Accelerator, total=False):
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    hardware: Any  # optional; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    compute_budget: Any  # optional; FLOP; compute for training, and for serving when that is counted
    n_accelerators: Any  # optional; accelerators used; also cluster_size
    duration: Any  # optional; s; length of the run; also duration_days, duration_hours, training_duration
    mfu: Any  # optional; share of peak that the model's own operations use
    law: Any  # default epoch; scaling law
    params: Any  # optional; parameters of the model to train
    tokens: Any  # optional; tokens to train on
    served_tokens: Any  # optional; tokens the model will serve
    unique_tokens: Any  # optional; different training tokens there are
    batch_tokens: Any  # optional; tokens per training step
    duration_days: Any  # another name of duration
    duration_hours: Any  # another name of duration
    training_duration: Any  # another name of duration
    cluster_size: Any  # another name of n_accelerators

class _ScalingModel(Model):
    """Best split of a compute budget into parameters and tokens, and the loss it reaches."""

    def __call__(self, **inputs: Unpack[_ScalingModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_ScalingModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_ScalingModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_ScalingModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_ScalingModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_ScalingModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_ScalingModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_ScalingModelInputs]) -> str: ...

class _InferenceScalingModelInputs(_Workload, _Accelerator, _Fleet, _Format, _Assumptions, total=False):
    model: Any  # required; what runs; any field of it may be given by name: hidden=...
    hardware: Any  # required; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    fabric: Any  # optional; the network between nodes, in place of that of the system
    head_precision: Any  # optional; number format of the stored output head (default: 16 bits)
    embedding_precision: Any  # optional; number format of the stored embedding (default: 16 bits)
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    reasoning_steps: Any  # default 8; steps of reasoning
    tokens_per_step: Any  # default 256; tokens of a step of reasoning
    seq_len: Any  # default 1024; sequence length, tokens
    output_len: Any  # optional; generated tokens per request
    samples: Any  # default 1; independent chains per query
    beam_width: Any  # default 1; partial chains kept together
    batch_size: Any  # default 1; sequences or samples in flight
    success_rate: Any  # optional; probability that one sample is right
    verifier_cost: Any  # default 0; time of scoring candidates over the time of generating them
    tp: Any  # default 1; degree of tensor parallelism
    pp: Any  # default 1; degree of pipeline parallelism
    ep: Any  # default 1; degree of expert parallelism
    prefill_chunk: Any  # default 8192; most tokens of prompts per step
    memory_fraction: Any  # default 0.9; share of the device a server may use
    efficiency: Any  # optional; constant share of peak, in place of the measured curves
    bandwidth_efficiency: Any  # optional; constant share of memory bandwidth, in place of the measured curves
    textbook: Any  # default 0; hand calculation: full rates, no overhead, no communication
    flops_convention: Any  # default causal; attention FLOPs that a utilization counts, or a server computes
    cache_length: Any  # default growing; length of the cache that a decode step reads

class _InferenceScalingModel(Model):
    """Time, energy and price of a query that reasons before it answers (wall 12)."""

    def __call__(self, **inputs: Unpack[_InferenceScalingModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_InferenceScalingModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_InferenceScalingModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_InferenceScalingModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_InferenceScalingModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_InferenceScalingModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_InferenceScalingModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_InferenceScalingModelInputs]) -> str: ...

class _CompressionModelInputs(_Workload, _Accelerator, _Format, _Assumptions, total=False):
    model: Any  # required; what runs; any field of it may be given by name: hidden=...
    hardware: Any  # required; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    head_precision: Any  # optional; number format of the stored output head (default: 16 bits)
    embedding_precision: Any  # optional; number format of the stored embedding (default: 16 bits)
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    method: Any  # default quantize_weights; how a model is made smaller
    bits: Any  # optional; bits of a value that is kept, without scales
    group_size: Any  # default 128.0; values that share a scale
    scale_bits: Any  # default 16.0; bits of a scale
    zero_bits: Any  # default 0.0; bits of a zero point
    sparsity: Any  # default 0.5; share of values or parameters removed
    index_bits: Any  # optional; bits that place a kept value of a 2:4 pattern, or tell a zero in a bitmap
    factor_rank: Any  # optional; rank of the factors of a matrix
    student_params: Any  # optional; parameters of a distilled model
    quantizer: Any  # default gptq; how rounded weights are chosen
    pruner: Any  # default wanda; how pruned weights are chosen
    baseline_bits: Any  # optional; bits per weight of the dense model
    uncompressed_params: Any  # default 0.0; parameters that stay as they are
    batch_size: Any  # default 1.0; sequences or samples in flight
    seq_len: Any  # default 2048, or the positions of the model where it has fewer; sequence length, tokens
    tp: Any  # default 1.0; degree of tensor parallelism
    compressed_hardware: Any  # default that of hardware; the device of the compressed model
    compressed_precision: Any  # default that of precision; number format of the compressed model's device

class _CompressionModel(Model):
    """Size, loss and speed of a compressed model, against the same model at a stated precision."""

    def __call__(self, **inputs: Unpack[_CompressionModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_CompressionModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_CompressionModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_CompressionModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_CompressionModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_CompressionModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_CompressionModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_CompressionModelInputs]) -> str: ...

class _DistributedModelInputs(_Workload, _Accelerator, _Fleet, _Format, _Assumptions, total=False):
    model: Any  # required; what runs; any field of it may be given by name: hidden=...
    hardware: Any  # required; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    fabric: Any  # optional; the network between nodes, in place of that of the system
    head_precision: Any  # optional; number format of the stored output head (default: 16 bits)
    embedding_precision: Any  # optional; number format of the stored embedding (default: 16 bits)
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    global_batch: Any  # default as many sequences as make 4 Mi tokens (Llama 2); sequences per step
    seq_len: Any  # default 2048, or the positions of the model where it has fewer; sequence length, tokens
    micro_batch: Any  # default 1; sequences per micro-batch
    tp: Any  # default 1; degree of tensor parallelism
    pp: Any  # default 1; degree of pipeline parallelism
    dp: Any  # optional; degree of data parallelism
    cp: Any  # default 1; degree of context parallelism
    ep: Any  # default 1; degree of expert parallelism
    expert_tp: Any  # optional; degree of tensor parallelism inside an expert
    n_accelerators: Any  # optional; accelerators used; also cluster_size
    virtual_stages: Any  # default 1; pipeline chunks per device
    schedule: Any  # default 1f1b; pipeline schedule
    zero_stage: Any  # default 1; ZeRO stage 0..3; 3 is FSDP
    shard_size: Any  # optional; data-parallel devices that share one copy of sharded states
    recompute: Any  # default none; activations computed again in the backward pass
    sequence_parallel: Any  # default 1; norms and dropout are split over the tensor-parallel group
    attention: Any  # optional; generation of the attention kernel
    collective: Any  # default best; algorithm of reductions and gathers
    optimizer_offload: Any  # default 0; optimizer states live and are updated in host memory
    flops_convention: Any  # default causal; attention FLOPs that a utilization counts, or a server computes
    efficiency: Any  # optional; constant share of peak, in place of the measured curves
    tokens: Any  # optional; tokens to train on
    duration: Any  # optional; s; length of the run; also duration_days, duration_hours, training_duration
    duration_days: Any  # another name of duration
    duration_hours: Any  # another name of duration
    training_duration: Any  # another name of duration
    cluster_size: Any  # another name of n_accelerators

class _DistributedModel(Model):
    """One training step of a transformer under tensor, pipeline, data, context and expert parallelism."""

    def __call__(self, **inputs: Unpack[_DistributedModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_DistributedModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_DistributedModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_DistributedModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_DistributedModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_DistributedModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_DistributedModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_DistributedModelInputs]) -> str: ...

class _ReliabilityModelInputs(_Fleet, _Assumptions, total=False):
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    hardware: Any  # optional; the device; any field of it may be given by name: mem_bandwidth=...
    fabric: Any  # optional; the network between nodes, in place of that of the system
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    job_duration: Any  # required; s; length of the job if nothing failed and nothing was saved
    n_accelerators: Any  # optional; accelerators used; also cluster_size
    checkpoint_blocking_time: Any  # optional; s; time that a checkpoint stops the job
    checkpoint_write_time: Any  # optional; s; time until a checkpoint is safe
    restore_time: Any  # optional; s; time to read a checkpoint back
    restart_time: Any  # optional; s; time from a failure to full speed, reading the checkpoint included
    checkpoint_interval: Any  # optional; s; work between two checkpoints
    spare_nodes: Any  # optional; nodes kept for failures
    cluster_size: Any  # another name of n_accelerators

class _ReliabilityModel(Model):
    """Failures of a job that needs all its parts, and what checkpoints make of it."""

    def __call__(self, **inputs: Unpack[_ReliabilityModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_ReliabilityModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_ReliabilityModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_ReliabilityModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_ReliabilityModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_ReliabilityModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_ReliabilityModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_ReliabilityModelInputs]) -> str: ...

class _OrchestrationModelInputs(_Fleet, total=False):
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    hardware: Any  # optional; the device; any field of it may be given by name: mem_bandwidth=...
    fabric: Any  # optional; the network between nodes, in place of that of the system
    arrival_rate: Any  # required; 1/s; requests or jobs that arrive per second
    avg_duration: Any  # required; s; mean duration of a job
    n_accelerators: Any  # optional; accelerators used; also cluster_size
    devices_per_job: Any  # optional; accelerators that a job holds, on average
    duration_cv: Any  # default 1.0; coefficient of variation of the duration of jobs: 1 exponential, 0 constant
    size_cv: Any  # default 0.0; coefficient of variation of the accelerators per job
    arrival_cv: Any  # default 1.0; coefficient of variation of the time between arrivals: 1 Poisson, 0 regular
    percentile: Any  # default 0.99; share of requests that a percentile covers (0.99: the 99th)
    backfill: Any  # default 0.0; share of the holes that the scheduler fills with later jobs
    priority_share: Any  # optional; share of the jobs that go first
    preemptive: Any  # default 0.0; jobs with priority interrupt the others
    preemption_overhead: Any  # default 0.0; s; work lost and redone by an interrupted job
    cluster_size: Any  # another name of n_accelerators

class _OrchestrationModel(Model):
    """A cluster whose jobs start only when all their devices are free."""

    def __call__(self, **inputs: Unpack[_OrchestrationModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_OrchestrationModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_OrchestrationModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_OrchestrationModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_OrchestrationModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_OrchestrationModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_OrchestrationModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_OrchestrationModelInputs]) -> str: ...

class _EconomicsModelInputs(_Accelerator, _Fleet, _Site, _Assumptions, total=False):
    hardware: Any  # required; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    fabric: Any  # optional; the network between nodes, in place of that of the system
    region: Any  # required; where it runs: carbon, price and water of the electricity; also kwh_price for electricity_price
    datacenter: Any  # default us_average_2023; what the building adds: PUE, WUE
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    duration: Any  # required; s; length of the run; also duration_days, duration_hours, training_duration
    n_accelerators: Any  # optional; accelerators used; also cluster_size
    compute_utilization: Any  # optional; busy share of the arithmetic units while the run holds the device
    memory_activity: Any  # default 0.0; share of the memory bandwidth in use while the run holds the device
    cluster_utilization: Any  # default 1.0; devices in use over devices held, on average
    tokens: Any  # optional; tokens to train on
    tokens_per_s: Any  # optional; 1/s; tokens per second, all devices
    budget: Any  # optional; USD; what the run may cost
    procurement: Any  # default own; how the accelerators are paid for
    price_basis: Any  # default device; price the capital starts from: the device or the whole node
    duration_days: Any  # another name of duration
    duration_hours: Any  # another name of duration
    training_duration: Any  # another name of duration
    kwh_price: Any  # another name of electricity_price
    cluster_size: Any  # another name of n_accelerators

class _EconomicsModel(Model):
    """Cost of holding accelerators for a time: capital, electricity, maintenance, staff, or rent."""

    def __call__(self, **inputs: Unpack[_EconomicsModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_EconomicsModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_EconomicsModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_EconomicsModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_EconomicsModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_EconomicsModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_EconomicsModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_EconomicsModelInputs]) -> str: ...

class _SustainabilityModelInputs(_Accelerator, _Fleet, _Site, _Assumptions, total=False):
    hardware: Any  # required; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    fabric: Any  # optional; the network between nodes, in place of that of the system
    region: Any  # required; where it runs: carbon, price and water of the electricity; also kwh_price for electricity_price
    datacenter: Any  # default us_average_2023; what the building adds: PUE, WUE
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    duration: Any  # required; s; length of the run; also duration_days, duration_hours, training_duration
    n_accelerators: Any  # optional; accelerators used; also cluster_size
    compute_utilization: Any  # optional; busy share of the arithmetic units while the run holds the device
    memory_activity: Any  # default 0.0; share of the memory bandwidth in use while the run holds the device
    cluster_utilization: Any  # default 1.0; devices in use over devices held, on average
    clean_energy_share: Any  # default 0.0; share of the energy covered by carbon-free contracts
    tokens: Any  # optional; tokens to train on
    duration_days: Any  # another name of duration
    duration_hours: Any  # another name of duration
    training_duration: Any  # another name of duration
    kwh_price: Any  # another name of electricity_price
    cluster_size: Any  # another name of n_accelerators

class _SustainabilityModel(Model):
    """Energy, carbon and water of holding accelerators for a time."""

    def __call__(self, **inputs: Unpack[_SustainabilityModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_SustainabilityModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_SustainabilityModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_SustainabilityModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_SustainabilityModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_SustainabilityModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_SustainabilityModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_SustainabilityModelInputs]) -> str: ...

class _CheckpointModelInputs(_Workload, _Accelerator, _Fleet, _Format, _Assumptions, total=False):
    model: Any  # required; what runs; any field of it may be given by name: hidden=...
    hardware: Any  # required; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    fabric: Any  # optional; the network between nodes, in place of that of the system
    head_precision: Any  # optional; number format of the stored output head (default: 16 bits)
    embedding_precision: Any  # optional; number format of the stored embedding (default: 16 bits)
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    n_accelerators: Any  # optional; accelerators used; also cluster_size
    optimizer: Any  # default adam; what training keeps per parameter besides the weight
    sharded: Any  # default 1.0; every node writes its part; otherwise one node writes all
    writers: Any  # optional; nodes that write a checkpoint at the same time
    asynchronous: Any  # default 0.0; a checkpoint is copied to host memory and written while training goes on
    checkpoint_interval: Any  # optional; s; work between two checkpoints
    penalty_basis: Any  # default cycle; what the time of a checkpoint is held against
    cluster_size: Any  # another name of n_accelerators

class _CheckpointModel(Model):
    """Write the state of a training to storage every so often."""

    def __call__(self, **inputs: Unpack[_CheckpointModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_CheckpointModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_CheckpointModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_CheckpointModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_CheckpointModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_CheckpointModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_CheckpointModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_CheckpointModelInputs]) -> str: ...

class _ResponsibleEngineeringModelInputs(_Assumptions, _Workload, total=False):
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    base_training_time: Any  # required; s; training time without privacy
    epsilon: Any  # optional; privacy loss that is allowed
    model: Any  # optional; what runs; any field of it may be given by name: hidden=...
    delta: Any  # default 1e-05; probability outside the privacy guarantee; well below one over the samples
    batch_size: Any  # optional; sequences or samples in flight
    dataset_size: Any  # optional; samples of the data set
    epochs: Any  # optional; passes over the unique tokens
    training_steps: Any  # optional; steps of the training
    noise_multiplier: Any  # optional; standard deviation of the noise over the clipping norm
    micro_batch: Any  # default 1.0; sequences per micro-batch
    clipping: Any  # default per_sample; how per-sample gradient norms are found
    conversion: Any  # default improved; from Renyi divergence to epsilon
    fractional_orders: Any  # default 1.0; the accountant also tries orders between whole numbers
    subgroup_share: Any  # optional; share of the samples that a subgroup has

class _ResponsibleEngineeringModel(Model):
    """Time, memory, noise and data that DP-SGD asks for."""

    def __call__(self, **inputs: Unpack[_ResponsibleEngineeringModelInputs]) -> Self: ...
    def solve(
        self, *, keep: Sequence[str] | None = ..., threads: int | None = ..., progress: Progress = ..., plan: str = ...,
        client: Any = ..., store: str | PathLike[str] | None = ..., resume: str | PathLike[str] | None = ..., points: Any = ...,
        sample: Any = ..., seed: Any = ..., quantile: Any = ..., **inputs: Unpack[_ResponsibleEngineeringModelInputs],
    ) -> xr.Dataset: ...
    def best(
        self, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ...,
        **inputs: Unpack[_ResponsibleEngineeringModelInputs],
    ) -> xr.Dataset: ...
    def top(
        self, k: int, objective: str, maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_ResponsibleEngineeringModelInputs],
    ) -> xr.Dataset: ...
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., _epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_ResponsibleEngineeringModelInputs],
    ) -> xr.Dataset: ...
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_ResponsibleEngineeringModelInputs],
    ) -> xr.Dataset: ...
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_ResponsibleEngineeringModelInputs],
    ) -> list[xr.Dataset]: ...
    def explain(self, *, points: Any = ..., **inputs: Unpack[_ResponsibleEngineeringModelInputs]) -> str: ...

class _SensitivitySolverInputs(_Workload, _Accelerator, _Fleet, _Format, _Assumptions, total=False):
    model: Any  # required; what runs; any field of it may be given by name: hidden=...
    hardware: Any  # required; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    fabric: Any  # optional; the network between nodes, in place of that of the system
    head_precision: Any  # optional; number format of the stored output head (default: 16 bits)
    embedding_precision: Any  # optional; number format of the stored embedding (default: 16 bits)
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    batch_size: Any  # default 1; sequences or samples in flight
    seq_len: Any  # default 2048, or the positions of the model where it has fewer; sequence length, tokens
    cached_prefix: Any  # default 0; tokens of the prompt that are cached already
    phase: Any  # default prefill; phase of a language model's life
    efficiency: Any  # optional; constant share of peak, in place of the measured curves
    bandwidth_efficiency: Any  # optional; constant share of memory bandwidth, in place of the measured curves
    is_training: Any  # default 0; forward, backward and optimizer instead of a forward pass
    recompute: Any  # default none; activations computed again in the backward pass
    zero_stage: Any  # default 0; ZeRO stage 0..3; 3 is FSDP
    dp: Any  # default 1; degree of data parallelism
    lora_rank: Any  # default 0; rank of trained adapters; 0 trains all weights
    flops_convention: Any  # default causal; attention FLOPs that a utilization counts, or a server computes
    offload: Any  # default 0; what does not fit lives in host memory and storage
    textbook: Any  # default 0; hand calculation: full rates, no overhead, no communication
    energy_basis: Any  # default activity; what the power of a device between idle and its limit follows
    runtime: Any  # default usual; software that runs a network
    weights_in_sram: Any  # default 0; the weights of a microcontroller's network lie in its SRAM, not in flash
    output: str | None  # optional; Default: the first output of the resolver
    inputs: str | Sequence[str] | None  # optional; Inputs, record fields or assumptions to move, or a group of those that the output depends on: ``"hardware"`` (default: figures of devices, networks and sites), ``"rates"`` (whatever has time in its unit) or ``"assumptions"``
    perturbation: float  # default 0.1; Relative step, both ways; `perturbation_pct` is the same in percent
    perturbation_pct: float | None  # optional; Relative step, both ways; `perturbation_pct` is the same in percent
    maximize: bool | None  # optional; Direction of the output; default that of the schema
    prices: Mapping[str, Any] | None  # optional; What more of an input costs: ``{"mem_bandwidth": "$4 per GB/s"}``, or USD per base unit
    ranges: Mapping[str, tuple[Any, Any]] | None  # optional; ``{input: (low, high)}``: instead of elasticities, the share of the variance that each input explains when all vary over their ranges (Sobol indices, from `samples` draws with `seed`)
    samples: int  # default 1024; ``{input: (low, high)}``: instead of elasticities, the share of the variance that each input explains when all vary over their ranges (Sobol indices, from `samples` draws with `seed`)
    seed: int  # default 0; of what is drawn
    keep: Sequence[str] | None  # optional; Variables to return
    threads: int | None  # optional; default every core
    progress: Progress  # optional; true draws a bar; a function is told points done and points in all
    plan: str  # default auto; auto, plain or nest: how to evaluate, with the same results
    target_latency: Any
    target_compute_time: Any
    target_memory_time: Any
    target_overhead_time: Any
    target_throughput: Any
    target_flops: Any
    target_bytes_moved: Any
    target_arithmetic_intensity: Any
    target_ridge_point: Any
    target_mfu: Any
    target_hfu: Any
    target_memory_weights: Any
    target_memory_gradients: Any
    target_memory_optimizer: Any
    target_memory_activations: Any
    target_kv_cache: Any
    target_memory_per_device: Any
    target_memory_utilization: Any
    target_spill_bytes: Any
    target_host_spill_bytes: Any
    target_storage_spill_bytes: Any
    target_effective_bandwidth: Any
    target_offload_latency: Any
    target_offload_latency_serial: Any
    target_break_even_tokens: Any
    target_energy_per_sample: Any
    target_feasible: Any
    target_limit: Any
    target_bottleneck: Any
    target_decode_bottleneck: Any

class _SensitivitySolver(Solver):
    """Elasticities d ln y / d ln x of an output with respect to inputs, at every point of a grid."""

    @overload
    def __call__(self, **inputs: Unpack[_SensitivitySolverInputs]) -> Self: ...
    @overload
    def __call__(self, *, resolver: Resolver, **inputs: Any) -> Self: ...
    @overload
    def solve(self, resolver: None = ..., **inputs: Unpack[_SensitivitySolverInputs]) -> xr.Dataset: ...
    @overload
    def solve(self, resolver: Resolver, **inputs: Any) -> xr.Dataset: ...

class _SynthesisSolverInputs(_Workload, _Accelerator, _Fleet, _Format, _Assumptions, total=False):
    model: Any  # required; what runs; any field of it may be given by name: hidden=...
    hardware: Any  # required; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    fabric: Any  # optional; the network between nodes, in place of that of the system
    head_precision: Any  # optional; number format of the stored output head (default: 16 bits)
    embedding_precision: Any  # optional; number format of the stored embedding (default: 16 bits)
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    batch_size: Any  # default 1; sequences or samples in flight
    seq_len: Any  # default 2048, or the positions of the model where it has fewer; sequence length, tokens
    cached_prefix: Any  # default 0; tokens of the prompt that are cached already
    phase: Any  # default prefill; phase of a language model's life
    efficiency: Any  # optional; constant share of peak, in place of the measured curves
    bandwidth_efficiency: Any  # optional; constant share of memory bandwidth, in place of the measured curves
    is_training: Any  # default 0; forward, backward and optimizer instead of a forward pass
    recompute: Any  # default none; activations computed again in the backward pass
    zero_stage: Any  # default 0; ZeRO stage 0..3; 3 is FSDP
    dp: Any  # default 1; degree of data parallelism
    lora_rank: Any  # default 0; rank of trained adapters; 0 trains all weights
    flops_convention: Any  # default causal; attention FLOPs that a utilization counts, or a server computes
    offload: Any  # default 0; what does not fit lives in host memory and storage
    textbook: Any  # default 0; hand calculation: full rates, no overhead, no communication
    energy_basis: Any  # default activity; what the power of a device between idle and its limit follows
    runtime: Any  # default usual; software that runs a network
    weights_in_sram: Any  # default 0; the weights of a microcontroller's network lie in its SRAM, not in flash
    targets: Mapping[str, Any] | None  # optional; ``{"itl": "20 ms", "tokens_per_s": ">= 1000"}``; a list of values makes an axis
    unknown: str | Sequence[str] | None  # optional; Inputs or record fields, each solved for alone; default memory bandwidth, peak rate and memory capacity
    bounds: tuple[Any, Any] | Mapping[str, tuple[Any, Any]] | None  # optional; Where to look; default the bounds of the schema
    feasible: bool | None  # optional; Must the configuration work too (fit in memory, have a valid shape)? Default: if that depends on the unknown
    devices: int  # default 3; How many devices of the zoo to name, those that meet all targets with least to spare first
    keep: Sequence[str] | None  # optional; Variables to return
    threads: int | None  # optional; default every core
    progress: Progress  # optional; true draws a bar; a function is told points done and points in all
    plan: str  # default auto; auto, plain or nest: how to evaluate, with the same results
    target_latency: Any
    target_compute_time: Any
    target_memory_time: Any
    target_overhead_time: Any
    target_throughput: Any
    target_flops: Any
    target_bytes_moved: Any
    target_arithmetic_intensity: Any
    target_ridge_point: Any
    target_mfu: Any
    target_hfu: Any
    target_memory_weights: Any
    target_memory_gradients: Any
    target_memory_optimizer: Any
    target_memory_activations: Any
    target_kv_cache: Any
    target_memory_per_device: Any
    target_memory_utilization: Any
    target_spill_bytes: Any
    target_host_spill_bytes: Any
    target_storage_spill_bytes: Any
    target_effective_bandwidth: Any
    target_offload_latency: Any
    target_offload_latency_serial: Any
    target_break_even_tokens: Any
    target_energy_per_sample: Any
    target_feasible: Any
    target_limit: Any
    target_bottleneck: Any
    target_decode_bottleneck: Any

class _SynthesisSolver(Solver):
    """The value of an input that the targets need, at every point of a grid."""

    @overload
    def __call__(self, **inputs: Unpack[_SynthesisSolverInputs]) -> Self: ...
    @overload
    def __call__(self, *, resolver: Resolver, **inputs: Any) -> Self: ...
    @overload
    def solve(self, resolver: None = ..., **inputs: Unpack[_SynthesisSolverInputs]) -> xr.Dataset: ...
    @overload
    def solve(self, resolver: Resolver, **inputs: Any) -> xr.Dataset: ...

class _BatchingOptimizerInputs(_Workload, _Accelerator, _Fleet, _Format, _Assumptions, total=False):
    model: Any  # required; what runs; any field of it may be given by name: hidden=...
    hardware: Any  # default h100_sxm5_80gb; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    fabric: Any  # optional; the network between nodes, in place of that of the system
    head_precision: Any  # optional; number format of the stored output head (default: 16 bits)
    embedding_precision: Any  # optional; number format of the stored embedding (default: 16 bits)
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    seq_len: Any  # default 2048, or half of the positions of the model where it has fewer than 4096; sequence length, tokens
    max_batch: Any  # searched; most sequences at once: what fits, or what is allowed
    output_len: Any  # default 256; generated tokens per request
    tp: Any  # searched; degree of tensor parallelism
    pp: Any  # default 1; degree of pipeline parallelism
    ep: Any  # default 1; degree of expert parallelism
    replicas: Any  # searched; servers that share the requests
    arrival_rate: Any  # optional; 1/s; requests or jobs that arrive per second
    users: Any  # optional; clients of a closed loop
    think_time: Any  # default 0; s; pause of a client between answer and next request
    prompt_cv: Any  # default 0; coefficient of variation of the prompt
    output_cv: Any  # default 0; coefficient of variation of the answer
    length_law: Any  # default lognormal; how the lengths of answers are spread
    cache_length: Any  # default growing; length of the cache that a decode step reads
    page_size: Any  # default 16; tokens per page of the cache
    prefill_chunk: Any  # default 8192; most tokens of prompts per step
    cached_prefix: Any  # default 0; tokens of the prompt that are cached already
    reserve: Any  # default grow; how a server books KV cache
    memory_fraction: Any  # default 0.9; share of the device a server may use
    pool_fraction: Any  # default 1.0; share of what weights and activations leave that the cache takes
    overflow: Any  # default 0.01; probability of running out of pages that admission accepts
    percentile: Any  # default 0.99; share of requests that a percentile covers (0.99: the 99th)
    requests_per_user: Any  # optional; requests of each client in a run that starts all together
    n_requests: Any  # optional; requests in a run at maximum load
    efficiency: Any  # optional; constant share of peak, in place of the measured curves
    bandwidth_efficiency: Any  # optional; constant share of memory bandwidth, in place of the measured curves
    textbook: Any  # default 0; hand calculation: full rates, no overhead, no communication
    flops_convention: Any  # default causal; attention FLOPs that a utilization counts, or a server computes
    target_ttft: Any  # optional; s; time to first token that must be kept
    target_itl: Any  # optional; s; time between tokens that must be kept
    target_e2e_latency: Any  # optional; s; time from request to last token that must be kept; also sla_latency
    sla_latency: Any  # another name of target_e2e_latency

class _BatchingOptimizer(Optimizer):
    """The largest safe throughput under latency targets: batch, replicas and tensor parallelism."""

    @overload
    def __call__(self, **inputs: Unpack[_BatchingOptimizerInputs]) -> Self: ...
    @overload
    def __call__(self, *, resolver: Resolver, **inputs: Any) -> Self: ...
    @overload
    def solve(
        self, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] | None = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, keep: Sequence[str] | None = ...,
        threads: int | None = ..., block: int | None = ..., progress: Progress = ..., plan: str = ...,
        resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ...,
        **inputs: Unpack[_BatchingOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def solve(
        self, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] | None = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, resolver: Resolver,
        keep: Sequence[str] | None = ..., threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def best(
        self, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_BatchingOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def best(
        self, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, resolver: Resolver, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def top(
        self, k: int, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_BatchingOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def top(
        self, k: int, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, resolver: Resolver, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_BatchingOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, resolver: Resolver, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_BatchingOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, resolver: Resolver,
        progress: Progress = ..., points: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_BatchingOptimizerInputs],
    ) -> list[xr.Dataset]: ...
    @overload
    def sweep(
        self, reductions: Sequence[Any], *, resolver: Resolver, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Any,
    ) -> list[xr.Dataset]: ...
    @overload
    def explain(self, *, points: Any = ..., **inputs: Unpack[_BatchingOptimizerInputs]) -> str: ...
    @overload
    def explain(self, *, resolver: Resolver, points: Any = ..., **inputs: Any) -> str: ...

class _DisaggregationOptimizerInputs(_Workload, _Accelerator, _Fleet, _Format, _Assumptions, total=False):
    model: Any  # required; what runs; any field of it may be given by name: hidden=...
    hardware: Any  # default h100_sxm5_80gb; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    fabric: Any  # optional; the network between nodes, in place of that of the system
    head_precision: Any  # optional; number format of the stored output head (default: 16 bits)
    embedding_precision: Any  # optional; number format of the stored embedding (default: 16 bits)
    decode_hardware: Any  # default that of hardware; the device of the replicas that decode
    decode_precision: Any  # default that of precision; number format of the device that decodes
    decode_fleet: Any  # default that of fleet; node and network of the replicas that decode
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    seq_len: Any  # default 2048, or half of the positions of the model where it has fewer than 4096; sequence length, tokens
    output_len: Any  # default 256; generated tokens per request
    prefill_replicas: Any  # default 1; replicas that only prefill
    decode_replicas: Any  # default 1; replicas that only decode
    tp: Any  # default 1; degree of tensor parallelism
    pp: Any  # default 1; degree of pipeline parallelism
    ep: Any  # default 1; degree of expert parallelism
    decode_tp: Any  # optional; degree of tensor parallelism of the replicas that decode (default: `tp`)
    decode_pp: Any  # optional; degree of pipeline parallelism of the replicas that decode (default: `pp`)
    decode_ep: Any  # optional; degree of expert parallelism of the replicas that decode (default: `ep`)
    expert_tp: Any  # optional; degree of tensor parallelism inside an expert
    decode_expert_tp: Any  # optional; degree of tensor parallelism inside an expert of the replicas that decode
    max_batch: Any  # default 256; most sequences at once: what fits, or what is allowed
    prefill_max_batch: Any  # default 1024; most prompts of a prefill step, all attention groups of a replica
    prefill_chunk: Any  # default 8192; most tokens of prompts per step
    arrival_rate: Any  # optional; 1/s; requests or jobs that arrive per second
    decode_batch: Any  # optional; requests that decode in each replica of the decode pool, mean
    users: Any  # optional; clients of a closed loop
    think_time: Any  # default 0; s; pause of a client between answer and next request
    requests_per_user: Any  # optional; requests of each client in a run that starts all together
    prompt_cv: Any  # default 0; coefficient of variation of the prompt
    output_cv: Any  # default 0; coefficient of variation of the answer
    cache_transfer: Any  # default serial; how the cache moves to the devices that decode
    kv_bandwidth: Any  # optional; byte/s; what one device sends or receives of caches
    blocking_receive: Any  # optional; replicas that decode stand still while caches come in
    first_token_from: Any  # default decode; which pool answers the client with the first token
    routing: Any  # default shared; one queue for all servers, or one each
    group_routing: Any  # default shared; one queue for all attention groups of a replica that prefills, or one each
    decode_group_routing: Any  # default shared; one queue for all attention groups of a replica that decodes, or one each
    draft_len: Any  # default 0; drafted tokens per round
    draft_layers: Any  # optional; layers such as the model's own that a drafted token passes before its head
    acceptance: Any  # default 0.7; probability that a drafted token is accepted
    cached_prefix: Any  # default 0; tokens of the prompt that are cached already
    local_prefill_below: Any  # optional; prompts with at most so many new tokens are computed by the replica that decodes them
    two_batches: Any  # optional; halves of a prefill step take turns: one exchanges tokens while the other computes
    decode_two_batches: Any  # optional; halves of a decode step take turns: one exchanges tokens while the other computes
    redundant_experts: Any  # default 0; copies of popular experts in a replica that prefills, beside one of each
    decode_redundant_experts: Any  # optional; copies of popular experts in a replica that decodes, beside one of each
    page_size: Any  # default 16; tokens per page of the cache
    reserve: Any  # default grow; how a server books KV cache
    memory_fraction: Any  # default 0.9; share of the device a server may use
    pool_fraction: Any  # default 1.0; share of what weights and activations leave that the cache takes
    overflow: Any  # default 0.01; probability of running out of pages that admission accepts
    percentile: Any  # default 0.99; share of requests that a percentile covers (0.99: the 99th)
    efficiency: Any  # optional; constant share of peak, in place of the measured curves
    bandwidth_efficiency: Any  # optional; constant share of memory bandwidth, in place of the measured curves
    textbook: Any  # default 0; hand calculation: full rates, no overhead, no communication
    flops_convention: Any  # default causal; attention FLOPs that a utilization counts, or a server computes
    target_ttft: Any  # optional; s; time to first token that must be kept
    target_itl: Any  # optional; s; time between tokens that must be kept
    target_e2e_latency: Any  # optional; s; time from request to last token that must be kept; also sla_latency
    sla_latency: Any  # another name of target_e2e_latency

class _DisaggregationOptimizer(Optimizer):
    """The cluster of prefill and decode replicas that serves most per device under latency targets: how many of each, of what."""

    @overload
    def __call__(self, **inputs: Unpack[_DisaggregationOptimizerInputs]) -> Self: ...
    @overload
    def __call__(self, *, resolver: Resolver, **inputs: Any) -> Self: ...
    @overload
    def solve(
        self, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] | None = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, keep: Sequence[str] | None = ...,
        threads: int | None = ..., block: int | None = ..., progress: Progress = ..., plan: str = ...,
        resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ...,
        **inputs: Unpack[_DisaggregationOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def solve(
        self, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] | None = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, resolver: Resolver,
        keep: Sequence[str] | None = ..., threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def best(
        self, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ...,
        **inputs: Unpack[_DisaggregationOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def best(
        self, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, resolver: Resolver, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def top(
        self, k: int, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_DisaggregationOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def top(
        self, k: int, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, resolver: Resolver, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_DisaggregationOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, resolver: Resolver, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_DisaggregationOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, resolver: Resolver,
        progress: Progress = ..., points: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_DisaggregationOptimizerInputs],
    ) -> list[xr.Dataset]: ...
    @overload
    def sweep(
        self, reductions: Sequence[Any], *, resolver: Resolver, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Any,
    ) -> list[xr.Dataset]: ...
    @overload
    def explain(self, *, points: Any = ..., **inputs: Unpack[_DisaggregationOptimizerInputs]) -> str: ...
    @overload
    def explain(self, *, resolver: Resolver, points: Any = ..., **inputs: Any) -> str: ...

class _ParallelismOptimizerInputs(_Workload, _Accelerator, _Fleet, _Format, _Assumptions, total=False):
    model: Any  # required; what runs; any field of it may be given by name: hidden=...
    hardware: Any  # default h100_sxm5_80gb; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    fabric: Any  # optional; the network between nodes, in place of that of the system
    head_precision: Any  # optional; number format of the stored output head (default: 16 bits)
    embedding_precision: Any  # optional; number format of the stored embedding (default: 16 bits)
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    global_batch: Any  # default as many sequences as make 4 Mi tokens (Llama 2); sequences per step
    seq_len: Any  # default 2048, or the positions of the model where it has fewer; sequence length, tokens
    micro_batch: Any  # searched; sequences per micro-batch
    tp: Any  # searched; degree of tensor parallelism
    pp: Any  # searched; degree of pipeline parallelism
    dp: Any  # searched; degree of data parallelism
    cp: Any  # searched; degree of context parallelism
    ep: Any  # searched; degree of expert parallelism
    expert_tp: Any  # optional; degree of tensor parallelism inside an expert
    n_accelerators: Any  # optional; accelerators used; also cluster_size
    virtual_stages: Any  # searched; pipeline chunks per device
    schedule: Any  # searched; pipeline schedule
    zero_stage: Any  # searched; ZeRO stage 0..3; 3 is FSDP
    shard_size: Any  # optional; data-parallel devices that share one copy of sharded states
    recompute: Any  # searched; activations computed again in the backward pass
    sequence_parallel: Any  # searched; norms and dropout are split over the tensor-parallel group
    attention: Any  # optional; generation of the attention kernel
    collective: Any  # default best; algorithm of reductions and gathers
    optimizer_offload: Any  # default 0; optimizer states live and are updated in host memory
    flops_convention: Any  # default causal; attention FLOPs that a utilization counts, or a server computes
    efficiency: Any  # optional; constant share of peak, in place of the measured curves
    tokens: Any  # optional; tokens to train on
    duration: Any  # optional; s; length of the run; also duration_days, duration_hours, training_duration
    duration_days: Any  # another name of duration
    duration_hours: Any  # another name of duration
    training_duration: Any  # another name of duration
    cluster_size: Any  # another name of n_accelerators

class _ParallelismOptimizer(Optimizer):
    """The best split of a training over a cluster: every factorisation of its size, with all that goes with it."""

    @overload
    def __call__(self, **inputs: Unpack[_ParallelismOptimizerInputs]) -> Self: ...
    @overload
    def __call__(self, *, resolver: Resolver, **inputs: Any) -> Self: ...
    @overload
    def solve(
        self, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] | None = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, keep: Sequence[str] | None = ...,
        threads: int | None = ..., block: int | None = ..., progress: Progress = ..., plan: str = ...,
        resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ...,
        **inputs: Unpack[_ParallelismOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def solve(
        self, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] | None = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, resolver: Resolver,
        keep: Sequence[str] | None = ..., threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def best(
        self, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_ParallelismOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def best(
        self, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, resolver: Resolver, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def top(
        self, k: int, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_ParallelismOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def top(
        self, k: int, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, resolver: Resolver, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_ParallelismOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, resolver: Resolver, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_ParallelismOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, resolver: Resolver,
        progress: Progress = ..., points: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_ParallelismOptimizerInputs],
    ) -> list[xr.Dataset]: ...
    @overload
    def sweep(
        self, reductions: Sequence[Any], *, resolver: Resolver, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Any,
    ) -> list[xr.Dataset]: ...
    @overload
    def explain(self, *, points: Any = ..., **inputs: Unpack[_ParallelismOptimizerInputs]) -> str: ...
    @overload
    def explain(self, *, resolver: Resolver, points: Any = ..., **inputs: Any) -> str: ...

class _PlacementOptimizerInputs(_Accelerator, _Fleet, _Site, _Assumptions, total=False):
    hardware: Any  # required; the device; any field of it may be given by name: mem_bandwidth=...
    precision: Any  # default bf16, or what the device computes in where it has no bf16; number format of weights and GEMMs
    kv_precision: Any  # optional; number format of the KV cache
    attention_precision: Any  # optional; number format of attention projections in serving (default: `precision`)
    expert_precision: Any  # optional; number format of routed experts in serving (default: `precision`)
    shared_expert_precision: Any  # optional; number format of shared experts in serving (default: `precision`)
    fleet: Any  # optional; node and network: devices, links, ports; default the usual system of the device
    fabric: Any  # optional; the network between nodes, in place of that of the system
    region: Any  # searched; where it runs: carbon, price and water of the electricity; also kwh_price for electricity_price
    datacenter: Any  # default us_average_2023; what the building adds: PUE, WUE
    assume: Any  # optional; overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name
    duration: Any  # required; s; length of the run; also duration_days, duration_hours, training_duration
    n_accelerators: Any  # optional; accelerators used; also cluster_size
    compute_utilization: Any  # optional; busy share of the arithmetic units while the run holds the device
    memory_activity: Any  # default 0.0; share of the memory bandwidth in use while the run holds the device
    cluster_utilization: Any  # default 1.0; devices in use over devices held, on average
    tokens: Any  # optional; tokens to train on
    tokens_per_s: Any  # optional; 1/s; tokens per second, all devices
    budget: Any  # optional; USD; what the run may cost
    procurement: Any  # default own; how the accelerators are paid for
    price_basis: Any  # default device; price the capital starts from: the device or the whole node
    clean_energy_share: Any  # default 0.0; share of the energy covered by carbon-free contracts
    carbon_price: Any  # optional; USD/kg; price put on carbon
    hourly_carbon: Any  # optional; kg/J; carbon per electric energy, hour by hour
    duration_days: Any  # another name of duration
    duration_hours: Any  # another name of duration
    training_duration: Any  # another name of duration
    kwh_price: Any  # another name of electricity_price
    cluster_size: Any  # another name of n_accelerators

class _PlacementOptimizer(Optimizer):
    """Where to run a fleet for a time: the grid and the building of least carbon, cost or both."""

    @overload
    def __call__(self, **inputs: Unpack[_PlacementOptimizerInputs]) -> Self: ...
    @overload
    def __call__(self, *, resolver: Resolver, **inputs: Any) -> Self: ...
    @overload
    def solve(
        self, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] | None = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, keep: Sequence[str] | None = ...,
        threads: int | None = ..., block: int | None = ..., progress: Progress = ..., plan: str = ...,
        resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ...,
        **inputs: Unpack[_PlacementOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def solve(
        self, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] | None = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, resolver: Resolver,
        keep: Sequence[str] | None = ..., threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def best(
        self, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_PlacementOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def best(
        self, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, resolver: Resolver, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def top(
        self, k: int, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Unpack[_PlacementOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def top(
        self, k: int, objective: str | None = ..., maximize: bool | None = ..., by: str | Sequence[str] = ...,
        where: str | Sequence[str] | None = ..., ties: Sequence[str] = ..., *, resolver: Resolver, threads: int | None = ...,
        block: int | None = ..., progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ...,
        client: Any = ..., points: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Unpack[_PlacementOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def pareto(
        self, minimize: str | Sequence[str] = ..., maximize: str | Sequence[str] = ..., epsilon: float | None = ...,
        where: str | Sequence[str] | None = ..., *, resolver: Resolver, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, progress: Progress = ...,
        points: Any = ..., **inputs: Unpack[_PlacementOptimizerInputs],
    ) -> xr.Dataset: ...
    @overload
    def root(
        self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = ..., *, resolver: Resolver,
        progress: Progress = ..., points: Any = ..., **inputs: Any,
    ) -> xr.Dataset: ...
    @overload
    def sweep(
        self, reductions: Sequence[Any], *, threads: int | None = ..., block: int | None = ..., progress: Progress = ...,
        plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ..., points: Any = ..., sample: Any = ...,
        seed: Any = ..., **inputs: Unpack[_PlacementOptimizerInputs],
    ) -> list[xr.Dataset]: ...
    @overload
    def sweep(
        self, reductions: Sequence[Any], *, resolver: Resolver, threads: int | None = ..., block: int | None = ...,
        progress: Progress = ..., plan: str = ..., resume: str | PathLike[str] | None = ..., client: Any = ...,
        points: Any = ..., sample: Any = ..., seed: Any = ..., **inputs: Any,
    ) -> list[xr.Dataset]: ...
    @overload
    def explain(self, *, points: Any = ..., **inputs: Unpack[_PlacementOptimizerInputs]) -> str: ...
    @overload
    def explain(self, *, resolver: Resolver, points: Any = ..., **inputs: Any) -> str: ...

SingleNodeModel: _SingleNodeModel
EfficiencyModel: _EfficiencyModel
ServingModel: _ServingModel
ContinuousBatchingModel: _ContinuousBatchingModel
DisaggregatedServingModel: _DisaggregatedServingModel
WeightStreamingModel: _WeightStreamingModel
TailLatencyModel: _TailLatencyModel
DataModel: _DataModel
TransformationModel: _TransformationModel
TopologyModel: _TopologyModel
ScalingModel: _ScalingModel
InferenceScalingModel: _InferenceScalingModel
CompressionModel: _CompressionModel
DistributedModel: _DistributedModel
ReliabilityModel: _ReliabilityModel
OrchestrationModel: _OrchestrationModel
EconomicsModel: _EconomicsModel
SustainabilityModel: _SustainabilityModel
CheckpointModel: _CheckpointModel
ResponsibleEngineeringModel: _ResponsibleEngineeringModel
SensitivitySolver: _SensitivitySolver
SynthesisSolver: _SynthesisSolver
BatchingOptimizer: _BatchingOptimizer
DisaggregationOptimizer: _DisaggregationOptimizer
ParallelismOptimizer: _ParallelismOptimizer
PlacementOptimizer: _PlacementOptimizer

RESOLVERS: dict[str, Resolver]

__all__ = [
    "RESOLVERS",
    "Assumptions",
    "BatchingOptimizer",
    "CheckpointModel",
    "Composition",
    "CompressionModel",
    "ContinuousBatchingModel",
    "DataModel",
    "DisaggregatedServingModel",
    "DisaggregationOptimizer",
    "DistributedModel",
    "EconomicsModel",
    "EfficiencyModel",
    "Hardware",
    "InferenceScalingModel",
    "Model",
    "OrchestrationModel",
    "ParallelismOptimizer",
    "PlacementOptimizer",
    "Plan",
    "ReliabilityModel",
    "Resolver",
    "ResponsibleEngineeringModel",
    "ScalingModel",
    "SensitivitySolver",
    "ServingModel",
    "SingleNodeModel",
    "SustainabilityModel",
    "SynthesisSolver",
    "TailLatencyModel",
    "TopologyModel",
    "TransformationModel",
    "WeightStreamingModel",
    "Workload",
    "__version__",
    "calibrate",
    "compare",
    "compose",
    "kernel",
    "load",
    "nearest",
    "notebook",
    "plot",
    "report",
    "run_plan",
    "save",
    "trace",
    "validate",
    "walls",
    "zoo",
]
