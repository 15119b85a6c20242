"""What is neither workload nor datasheet: every assumption once, with value, unit, meaning, bounds, source and spread.

An assumption is declared here and nowhere else: `mlsysim.schema.variables` takes its unit, meaning and bounds from
here, calibration fits its value, ``sample=`` draws it by its spread, and ``ms.Assumptions(name=...)`` replaces it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from mlsysim.schema.kinds import Real


class Assumed(float):
    """A default that is neither workload nor datasheet, with what one must know to trust it.

    Attributes
    ----------
    unit, meaning, source : str
    spread : float
        One standard deviation, relative to the value (in log space); 0.1 is 10 %.
    low, high, above, kind
        Bounds, as in `mlsysim.schema.variables.Variable`.
    """

    unit: str
    meaning: str
    source: str
    spread: float
    low: float
    high: float
    above: bool
    kind: str

    def __new__(
        cls,
        value: float,
        unit: str,
        meaning: str,
        source: str,
        spread: float,
        *,
        low: float = 0.0,
        high: float = math.inf,
        above: bool = False,
        kind: str = "real",
    ) -> Assumed:
        self = super().__new__(cls, value)
        self.unit, self.meaning, self.source, self.spread = unit, meaning, source, spread
        self.low, self.high, self.above, self.kind = low, high, above, kind
        return self

    def moved(self, value: float, source: str, spread: float | None = None) -> Assumed:
        """The same assumption with another value, by another source."""
        kept = self.spread if spread is None else spread
        return Assumed(
            value, self.unit, self.meaning, source, kept, low=self.low, high=self.high, above=self.above, kind=self.kind
        )


def _assumed(value: float, unit: str, meaning: str, source: str, spread: float = 0.0, low: float = 0.0) -> float:
    """A quantity, not negative."""
    return Assumed(value, unit, meaning, source, spread, low=low)


def _positive(value: float, unit: str, meaning: str, source: str, spread: float = 0.0) -> float:
    """A quantity above zero."""
    return Assumed(value, unit, meaning, source, spread, above=True)


def _share(
    value: float, meaning: str, source: str, spread: float = 0.0, high: float = 1.0, above: bool = False
) -> float:
    """A share of something, 0 to 1."""
    return Assumed(value, "1", meaning, source, spread, high=high, above=above)


def _switch(value: float, meaning: str, source: str) -> float:
    """Something that is done (1) or not (0)."""
    return Assumed(value, "1", meaning, source, 0.0, high=1.0, kind="flag")


#: spread of failures per device-hour from site to site (standard deviation in log space): root mean square of the logarithm
#: of `failure_level` over the fleets of the zoo's reliability table (`tests/test_operations.py` computes it again)
FLEET_SPREAD = 0.88


class Assumptions(NamedTuple):
    """Overheads, efficiencies, reserves and latencies: what calibration fits, sampling draws and a user overrides.

    ``ms.Assumptions(straggler_loss=0.0)`` changes one; every other keeps its sourced default.
    """

    # --- training -------------------------------------------------------------------------------------
    training_level: Real = _positive(
        1.0,
        "1",
        "step time of a machine and its software over the prediction, the same for all its runs: clocks, libraries, "
        "neighbours; what `calibrate` finds from a few runs",
        "spread between published sources in 16 bits, left out of the fit",
        0.056,
    )
    narrow_training_level: Real = _positive(
        1.0,
        "1",
        "step time of training in 8 bits and fewer over the prediction: casts, scales and their reductions differ between "
        "releases of the libraries",
        "spread of 63 published runs in 8 bits, left out of the fit: 0.1 between sources, less what training_level has of it",
        0.08,
    )
    training_scatter: Real = _positive(
        1.0,
        "1",
        "step time of one run over that of its machine's level",
        "spread inside published sources after one level each",
        0.04,
    )
    mixture_level: Real = _positive(
        1.0,
        "1",
        "step time of a mixture of experts over the prediction: balance of the experts, grouped kernels, overlap of "
        "their exchanges; dense models do not have it",
        "spread of 21 published runs of mixtures around the prediction, left out of the fit: 0.33",
        0.3,
    )
    training_gemm_factor: Real = _positive(
        0.87,
        "1",
        "matrix products of training over the best ones of the device",
        "fitted to published training runs; 0.85 to 0.89 for the products of a layer of width 4,096 on B300 "
        "(Transformer Engine documentation, GEMM profiling)",
        0.06,
    )
    gemm_half_inner: Real = _assumed(
        130.0,
        "1",
        "inner dimension that costs as much as filling and draining a matrix product, against the curve's own products "
        "of 4,096",
        "measured products on A100 and H100: 0.74 and 0.71 of peak at 1,024, 0.84 and 0.80 at 8,192 (aiconfigurator "
        "0.12.0 kernel tables)",
        0.3,
    )
    training_attention_factor: Real = _positive(
        1.04,
        "1",
        "fused attention of training over the prefill curve",
        "fitted to 237 published training runs of 17 sources",
        0.07,
    )
    attention_backward: Real = _assumed(
        2.5,
        "1",
        "backward over forward pass of fused attention, which computes the scores again",
        "Dao 2023: 5 matrix products for 2",
        0.1,
    )
    eager_factor: Real = _assumed(
        1.0,
        "1",
        "element-wise kernels of a framework over fused ones: 2.53 where norms, rotary embedding and gate of a Llama are "
        "written out in eager PyTorch, 1 where kernels are fused, compiled or simple (layer norm, GELU)",
        "bytes of a token and layer of width h: 129 h in eager PyTorch, 51 h fused",
        0.0,
    )
    elementwise_slowdown: Real = _assumed(
        1.7,
        "1",
        "element-wise work of training over its ideal traffic",
        "fitted to 237 published training runs of 17 sources",
        0.15,
    )
    fused_accumulation: Real = _switch(
        1.0,
        "products of weight gradients write into the sum; off: kernels of their own add them, or copy them into the "
        "buffers that are reduced",
        "1 Megatron-LM with gradient accumulation fusion (since 2022), XLA; 0 before, PyTorch FSDP, DeepSpeed",
    )
    optimizer_slowdown: Real = _assumed(
        1.0,
        "1",
        "traffic of the update over that of one fused kernel",
        "1 fused; 3.5 where Adam with clipping is written out tensor by tensor: 104 bytes a parameter for 30",
        0.0,
    )
    blocking_sends: Real = _switch(
        0.0,
        "pipeline stages wait for their messages",
        "1 Megatron-LM before 2023 (batch_isend_irecv, then wait)",
    )
    scattered_sends: Real = _switch(
        1.0,
        "each tensor-parallel rank sends its part of a message between stages; off: all of them send the whole",
        "1 Megatron-LM (arXiv:2104.04473, section 4.1); 0 DeepSpeed's pipeline, PyTorch",
    )
    streaming_efficiency: Real = _share(
        0.85,
        "share of memory bandwidth that streaming kernels reach",
        "measured matrix-vector products: 0.83 to 0.88",
        0.05,
        above=True,
    )
    checkpoint_early_stop: Real = _switch(
        0.0,
        "full recomputation stops before the last product of a layer, whose output the backward pass does not need; "
        "off: it repeats the whole layer",
        "0 Megatron-LM; 1 PyTorch non-reentrant checkpoints since 2.1 (set_checkpoint_early_stop), XLA",
    )
    selective_products: Real = _share(
        0.0,
        "share of matrix products that selective recomputation computes again, besides element-wise work",
        "Megatron-LM: none; PyTorch's per-operator policy: every second product, 0.36 of the work of a Llama layer "
        "(github.com/pytorch/torchtitan, activation_checkpoint.py)",
        0.0,
    )
    data_overlap: Real = _share(
        0.72,
        "share of data-parallel communication that computation beside it hides",
        "fitted to 237 published training runs of 17 sources",
        0.2,
    )
    tensor_overlap: Real = _share(
        0.1,
        "share of tensor-parallel communication that computation hides (frameworks before 2023: 0)",
        "fitted to 237 published training runs of 17 sources",
        1.0,
    )
    weight_gradient_overlap: Real = _share(
        0.85,
        "share of the exchange of input gradients that the weight gradients beside it hide",
        "a layer of 22 B on A100 with t = 8, s = 2048, b = 4 takes 7.7 ms forward with its exchanges and 11.9 ms "
        "backward, twice the arithmetic (arXiv:2205.05198, table 4); 0 where a framework waits for it (Megatron-LM "
        "before 2022, PyTorch without asynchronous tensor parallelism)",
        0.15,
    )
    exchange_copies: Real = _switch(
        0.0,
        "what tensor parallelism gathers or scatters along the sequence is copied into place",
        "0 Megatron-LM, whose tensors have the sequence outermost; 1 PyTorch's tensor parallelism (chunk and cat "
        "around functional collectives along another dimension than the first)",
    )
    expert_overlap: Real = _share(
        0.0,
        "share of expert-parallel communication that computation hides",
        "definition: 0 hides nothing",
        0.0,
    )
    dualpipe_overlap: Real = _share(
        0.9,
        "share of expert-parallel communication that computation hides under the DualPipe schedule, which runs a "
        "forward beside a backward pass",
        "arXiv:2412.19437, section 3.2.1: fully hidden",
        0.1,
    )
    grouped_gemm_factor: Real = _positive(
        0.85,
        "1",
        "grouped products of experts in training over one dense product of the same shape",
        "fitted to 237 published training runs of 17 sources",
        0.25,
    )
    straggler_loss: Real = _assumed(
        0.0095,
        "1",
        "step time lost per doubling of devices above 8",
        "fitted to 237 published training runs of 17 sources",
        0.4,
    )
    overlap_contention: Real = _share(
        0.0,
        "share of the device that hidden communication takes from computation; the overlaps were fitted with none",
        "Isaev et al. 2023 assume 0.15 for NVLink, 0.02 for InfiniBand",
        0.0,
        high=0.99,
    )
    training_host_time: Real = _assumed(
        0.01,
        "s",
        "host time of a training step that nothing hides",
        "order of magnitude: loss read back, scheduler, logging",
        1.0,
    )
    expert_imbalance: Real = _assumed(
        1.0,
        "1",
        "load of the fullest expert rank over the mean; a capacity factor",
        "definition: 1 is balanced routing, which benchmarks force",
        0.0,
        low=1,
    )
    context_imbalance: Real = _assumed(
        1.0,
        "1",
        "attention of the slowest context-parallel rank over the mean: 1 zig-zag, 2 - 1/c contiguous",
        "definition",
        0.0,
        low=1,
    )
    single_copy_per_node: Real = _switch(
        1.0,
        "a token crosses the network once per node and is spread inside; off: once per expert",
        "arXiv:2412.19437, section 3.2.2",
    )
    narrow_dispatch: Real = _switch(
        0.0,
        "tokens are sent to experts in the format of the matrix products",
        "definition",
    )
    multicast_reduction: Real = _switch(
        0.0,
        "the switch of a fast domain of several nodes reduces (NVLS)",
        "definition; within a node: `switch_reduces`",
    )
    collective_start: Real = _assumed(
        8.4e-06,
        "s",
        "start of the kernel that runs a collective, beyond its steps",
        "NCCL's tuning tables (6.6 to 14 us by protocol)",
        0.3,
    )
    collective_call: Real = _assumed(
        2e-05,
        "s",
        "the host's call of a communication library that waits for it, nothing else running",
        "fitted to small messages of nccl-tests from three sources",
        0.5,
    )
    collective_level: Real = _positive(
        1.0,
        "1",
        "time that the bytes of a collective take on a machine over the prediction: its cables, settings and neighbours",
        "spread of tables of nccl-tests from five sources around the prediction, from 64 MB on",
        0.112,
    )
    collective_step_level: Real = _positive(
        1.0,
        "1",
        "time that the steps of a collective take on a machine over the prediction, what a call costs apart",
        "spread of tables of nccl-tests from five sources around the prediction, below 64 MB",
        0.7,
    )
    multicast_share: Real = _share(
        0.83,
        "share of a ring's rate that a switch which reduces gives",
        "fitted to one table of all-reduces on H200 and B200 with 5 to 8 devices (0.85, 0.81); NCCL's own model has 5/6",
        0.05,
    )
    switched_reduction: Real = _switch(0.0, "the switches of the network reduce (SHARP)", "definition")
    post_validation: Real = _switch(
        0.0,
        "zero-bubble schedules check the optimizer step afterwards, stages start staggered",
        "Qi et al. 2023",
    )
    gradient_bytes: Real = _assumed(
        4.0,
        "byte",
        "bytes per accumulated gradient",
        "Megatron-LM accumulates in fp32 (18 bytes per parameter); DeepSpeed fp16: 2",
        0.0,
    )
    gradient_reduce_bytes: Real = _assumed(
        4.0,
        "byte",
        "bytes per gradient on the wire",
        "Megatron-LM, PyTorch FSDP default reduction in fp32; 16-bit reduction: 2",
        0.0,
    )
    wide_bytes: Real = _positive(
        4.0,
        "byte",
        "bytes of a value in fp32: master weights, statistics of softmax and loss",
        "definition",
        0.0,
    )
    optimizer_bytes: Real = _assumed(
        12.0,
        "byte",
        "bytes of optimizer state per parameter: fp32 master weight and two moments",
        "Rajbhandari et al. 2020; 8 with moments in 16 bits",
        0.0,
    )
    stored_ffn_values: Real = _assumed(
        2.0,
        "1",
        "values kept per unit of a gated feed-forward network: 4 eager, 3 fused, 2 with the product computed again",
        "fused gates that keep both halves and compute their product again (xformers swiglu_op, Liger); the published layouts of "
        "Llama 3 405B on 16,384 H100 fit so and not otherwise (arXiv:2407.21783, table 4)",
        0.0,
        low=1,
    )
    narrow_kept: Real = _switch(
        0.0,
        "what an activation function reads is kept in the format of the matrix products (8 bits) instead of 16 bits",
        "arXiv:2412.19437, section 3.3.3 (inputs of SwiGLU cached in 8 bits, its output computed again); others: no",
    )
    inputs_on_host: Real = _switch(
        0.0,
        "with full recomputation, inputs of layers wait in host memory for the backward pass",
        "MaxText remat_policy custom, decoder_layer_input: offload (github.com/AI-Hypercomputer/tpu-recipes); others: no",
    )
    training_logit_bytes: Real = _assumed(
        8.0,
        "byte",
        "bytes per logit kept: 8 fused cross-entropy, 12 eager, 4 fused in place",
        "Megatron-LM with fused cross-entropy",
        0.0,
    )
    planned_memory: Real = _switch(
        0.0,
        "places of tensors are planned at compile time, so that the head and the layer that is computed take turns",
        "1 XLA (buffer assignment); 0 PyTorch, whose caching allocator reserves about the sum (published runs)",
    )
    loss_tile: Real = _positive(
        1e18,
        "byte",
        "most activations of the head that are held at once; a larger loss is computed tile by tile",
        "not tiled by default; 1 GiB where the loss is tiled (arXiv:2506.13996, section 3.1)",
        0.0,
    )
    sharded_masters: Real = _switch(
        0.0,
        "what ZeRO-3 shards are the master weights themselves, so that a device keeps no narrow copy of its shard",
        "1 PyTorch FSDP and JAX: 16 bytes per parameter (llm-foundry, scripts/train/benchmarking/submit_benchmarks.py); "
        "0 DeepSpeed ZeRO-3, which keeps both: 18 (arXiv:1910.02054)",
    )
    gather_prefetch: Real = _assumed(
        1.0,
        "1",
        "layers whose sharded weights are gathered ahead of use",
        "PyTorch FSDP",
        0.0,
    )
    gather_limit: Real = _positive(
        1e9,
        "1",
        "most parameters that are whole at once on a device; larger layers are gathered piece by piece",
        "DeepSpeed stage3_max_live_parameters",
        0.5,
    )
    keep_gathered: Real = _switch(
        1.0,
        "in a pipeline, sharded weights stay gathered and gradients whole over a step",
        "torchtitan default",
    )
    training_reserve: Real = _assumed(
        2.5e9,
        "byte",
        "context, communication buffers and buckets of a training process",
        "context 1.3 to 1.6 GiB, buffers about 1 GiB (notes of published runs)",
        0.4,
    )
    gradients_resident: Real = _switch(
        1.0,
        "gradients have a buffer that stays; off: they are freed after a step, so that in a step of one micro-batch "
        "they take the place of the activations they come from",
        "1 Megatron and DeepSpeed (contiguous buffers); 0 PyTorch and FSDP (zero_grad(set_to_none=True), the default)",
    )
    allocator_slack: Real = _assumed(
        0.05,
        "1",
        "memory the allocator holds beyond the tensors, over the tensors",
        "published runs: 2 to 8 %",
        0.6,
    )
    memory_scatter: Real = _positive(
        1.0,
        "1",
        "memory that a training process reserves over the prediction",
        "spread of published runs around the prediction: 0.08",
        0.09,
    )
    host_memory_bandwidth: Real = _positive(
        133e9,
        "byte/s",
        "host memory bandwidth of a node that an offloaded optimizer reaches",
        "published runs with the optimizer on the host",
        0.22,
    )
    host_optimizer_bytes: Real = _assumed(
        34.0,
        "byte",
        "bytes an offloaded optimizer moves per parameter",
        "published runs with the optimizer on the host",
        0.1,
    )
    # --- serving --------------------------------------------------------------------------------------
    serving_level: Real = _positive(
        1.0,
        "1",
        "times of a machine and its engine over the prediction, the same for all its loads: builds, clocks, load "
        "generators; what `calibrate` finds from a few measurements",
        "spread of throughput between 11 published sources at maximum load, left out of the fit: 0.057; two engines differ "
        "by 1.15 to 1.3",
        0.057,
    )
    mixture_serving_level: Real = _positive(
        1.0,
        "1",
        "step of a server over the prediction where the model is a mixture of many experts (as much less as a token takes "
        "more of them): routing, exchanges and grouped products differ more between engines than dense steps do",
        "spread of published runs of mixtures that nothing was fitted to, between models and devices: 0.09 "
        "(throughput) to 0.1 (time between tokens), less what serving_level has of it",
        0.075,
    )
    serving_scatter: Real = _positive(
        1.0,
        "1",
        "times of one load over those of its machine's level",
        "spread inside published sources after one level each",
        0.03,
    )
    token_scatter: Real = _positive(
        1.0,
        "1",
        "time between tokens of one load over the prediction: how an engine and its load generator space and count "
        "tokens; throughput does not have it",
        "spread of published closed-loop runs inside a source, which was left out of the fit: 0.06 (dense), 0.08 "
        "(mixtures), less serving_scatter and what other assumptions leave open",
        0.04,
    )
    first_token_scatter: Real = _positive(
        1.0,
        "1",
        "time to the first token of one load over the prediction: how prompts meet, wait and share steps",
        "spread of published closed-loop runs around the prediction, left out of the fit: 0.24 (dense), 0.21 "
        "(mixtures), less what levels, front end and curves leave open (0.16, 0.13)",
        0.175,
    )
    serving_gemm_factor: Real = _positive(
        0.96,
        "1",
        "matrix products under sustained load over the micro-benchmark curve: clocks fall at the power limit",
        "fitted to published serving runs: 0.91 to 1",
        0.05,
    )
    vector_product_efficiency: Real = _share(
        1.0,
        "share of the rate of the vector units that a product of few rows reaches where the matrix units would stay empty",
        "what they convert is in the rate; single-stream tables of llama.cpp on RTX 3090 and Apple M "
        "exclude less than 0.2",
        0.3,
        above=True,
    )
    vector_product_rows: Real = _assumed(
        0.0,
        "1",
        "rows up to which an engine takes matrix-vector kernels, whatever the matrix units would do",
        "0: the faster of the two; llama.cpp 8 (ggml-cuda/mmvq.cuh, MMVQ_MAX_BATCH_SIZE)",
        0.0,
    )
    narrow_sums: Real = _switch(
        0.0,
        "16-bit products sum in 16 bits, at twice the rate on cards for games: half of the 8-bit rate",
        "0 serving engines; 1 llama.cpp (ggml-cuda.cu: CUBLAS_COMPUTE_16F)",
    )
    unpacks_weights: Real = _switch(
        0.0,
        "products of many rows with weights in 4 bits unpack them into 16 bits beforehand",
        "0 serving engines (Marlin, arXiv:2408.11743); 1 llama.cpp with CUDA to mid-2024 (ggml-cuda.cu: dequantize, then "
        "cublasGemmEx)",
    )
    score_bytes: Real = _assumed(
        0.0,
        "byte",
        "what a score of attention moves through memory in prefill: 0 where one kernel keeps the scores on the chip",
        "0 FlashAttention (arXiv:2205.14135); 20 in kernels one after another: products in 32 bits (written, read twice), "
        "softmax (written), the second product's 16-bit copy (written, read)",
        0.0,
    )
    library_allreduce: Real = _switch(
        0.0,
        "the communication library does all all-reduces; off: kernels of the engine take the small messages",
        "1 FasterTransformer and TurboMind of 2023 (custom all-reduce off unless asked for)",
    )
    node_allreduce: Real = _switch(
        0.0,
        "an engine's own all-reduce kernels end with a node, so that the communication library takes over between nodes that "
        "share a fast domain, as in a rack; off: they reach as far as the domain",
        "1 SGLang, vLLM (custom all-reduce is disabled where a group spans nodes); 0 TensorRT-LLM (allreduce_strategy MNNVL)",
    )
    grouped_cache_reads: Real = _positive(
        1.0,
        "1",
        "times that decode attention reads a key/value head which several query heads share: 1 where a kernel takes "
        "the group together, more where each query head is taken by itself and caches catch the rest",
        "1 kernels since FlashDecoding and XQA (2023-24)",
        0.0,
    )
    last_token_apart: Real = _switch(
        0.0,
        "a prompt's last token passes in a decoding step of its own, after all others of the prompt; off: the prompt's "
        "own step gives the first token",
        "1 FasterTransformer and TurboMind of 2023 (LlamaBatch::contextDecode takes input_length - 1 tokens)",
    )
    poll_steps: Real = _positive(
        1.0,
        "1",
        "steps between two looks of the scheduler at new requests: a prompt waits for half of them",
        "1 every engine unless told; SGLang's --scheduler-recv-interval",
        0.0,
    )
    balance_steps: Real = _assumed(
        0.0,
        "1",
        "steps that prompts wait at most until every attention group has one; where there are several groups",
        "0 unless told; TensorRT-LLM's attention_dp_config: enable_balance, timeout_iters",
        0.0,
    )
    scheduled_steps: Real = _assumed(
        0.0,
        "1",
        "steps that are scheduled already when a request comes, beside the one that runs",
        "0 engines that plan a step when the one before has ended; 1 where the host plans ahead (vLLM from 0.14, SGLang from "
        "0.4, TensorRT-LLM 1: asynchronous or overlapped scheduling)",
    )
    prefill_scheduled_steps: Real = _assumed(
        0.0,
        "1",
        "steps that a server which only prefills has scheduled already when a prompt comes, beside the one that runs",
        "0 where such a server plans a step when the one before has ended, as TensorRT-LLM asks for "
        "(disable_overlap_scheduler of context servers); SGLang plans ahead there, too",
    )
    host_step_time: Real = _assumed(
        0.001,
        "s",
        "scheduling, sampling and launch on the host that a step waits for",
        "published serving runs: 0.7 (SGLang), 0.75 (TensorRT-LLM), 1.1 (TurboMind), 1.5 ms (vLLM)",
        0.4,
    )
    host_sequence_time: Real = _assumed(
        1e-05,
        "s",
        "host time of a step per sequence in it",
        "fitted to published closed-loop runs: 7 to 21 us",
        0.5,
    )
    decode_host_overlap: Real = _share(
        1.0,
        "share of the host's work of a step that a replica which only decodes does while the device computes: no prompt changes "
        "what the next step holds",
        "github.com/NVIDIA/TensorRT-LLM, overlap scheduler: on for generation servers, off for context servers; SGLang and vLLM "
        "schedule one step ahead by default (0.4, 0.14)",
        0.0,
    )
    eager_kernel_time: Real = _assumed(
        25e-6,
        "s",
        "time per kernel of a prefill step whose kernels are launched one by one (0: compiled engine)",
        "published closed-loop runs of PyTorch engines: 20 to 35 us",
        0.25,
    )
    block_scales: Real = _switch(
        0.0,
        "8-bit products have a scale for each block of 128 x 128 weights: the vector units scale the sums of every 128 inputs",
        "0 a scale a tensor or row; 1 DeepSeek-V3, Qwen3 in fp8 (arXiv:2412.19437, section 3.3.2)",
    )
    fused_quantise: Real = _switch(
        0.0,
        "inputs of narrow matrix products are narrowed inside the kernel before, with scales known beforehand; off: in "
        "kernels of their own, with scales found on the way",
        "1 TensorRT-LLM with per-tensor scales of a calibrated checkpoint; 0 dynamic or per-block scales",
    )
    quantise_kernel_time: Real = _assumed(
        2.3e-6,
        "s",
        "least time of a kernel that narrows the input of a matrix product (0: fused)",
        "8-bit products with scales per block measured against 16-bit ones: 2.2 to 3.7 us",
        0.3,
    )
    quantise_slowdown: Real = _assumed(
        1.4,
        "1",
        "a kernel that narrows the input of a matrix product over its ideal traffic (0: fused)",
        "the same measurements: 1.1 to 1.5",
        0.2,
    )
    frontend_time: Real = _assumed(
        0.013,
        "s",
        "request handling before the first step: connection, template, tokenizer, queue hop",
        "published closed-loop runs over HTTP",
        0.4,
    )
    frontend_token_time: Real = _assumed(
        6e-06,
        "s",
        "request handling before the first step, per token of the prompt",
        "fitted to published closed-loop runs over HTTP: 3.5 to 7 us",
        0.4,
    )
    kv_transfer_latency: Real = _assumed(
        0.003,
        "s",
        "time before a cache begins to move from a prefill to a decode replica: metadata, lists of blocks, a poll",
        "working estimate of the field, 1 to 5 ms; the first transfer of a pair takes 0.1 to 1 s",
        0.7,
    )
    frontend_client_time: Real = _assumed(
        0.0013,
        "s",
        "request handling before the first step, per client that starts at the same moment",
        "published closed-loop runs over HTTP: 0.3 to 3 ms",
        0.7,
    )
    first_use_time: Real = _assumed(
        0.0,
        "s",
        "kernels of a step that goes on with a prompt, compiled or loaded when the first one comes: who waits then is late by it",
        "0 a server that was warmed up; 14 to 16 s else (lightseekorg/tokenspeed pull request 398: 14.6 s of the first prompt "
        "on B200; vllm-omni pull request 6356: 17.1 s instead of 1.1 s on H100)",
        0.7,
    )
    moe_layer_latency: Real = _assumed(
        1.3e-05,
        "s",
        "fixed time of the routed experts of a layer: routing, permutation, two grouped products",
        "2,405 measured expert layers (kernel tables of aiconfigurator-core 0.12.0), fitted here: 13 us with one fused kernel "
        "(Blackwell), 28 to 50 us with several",
        0.3,
    )
    expert_bandwidth_efficiency: Real = _share(
        0.95,
        "share of memory bandwidth at which experts are read",
        "the same fit: 0.94 with balanced routing; more where few experts take most tokens, because fewer are read than "
        "even chance would",
        0.06,
        above=True,
    )
    expert_gemm_efficiency: Real = _positive(
        1.0,
        "1",
        "rate of full tiles of wide grouped products over the device's large products",
        "the same fit: 0.83 to 1.09 by format and generation; the spread is that of this range, evenly (0.08), and as much again "
        "for what one law leaves of single layers",
        0.11,
    )
    expert_input_reads: Real = _assumed(
        0.8,
        "1",
        "time in which grouped products read their input over reading it once from memory, beside the arithmetic on it: "
        "narrow experts do little with what they read",
        "the same fit, experts 192 to 7,168 wide: 0.4 in 16 bits, 1.3 in 4, 2.2 in 8; caches make it less than 1, kernels that "
        "permute and sum make it more",
        0.5,
    )
    expert_tile_rows: Real = _assumed(
        42.0,
        "1",
        "rows of nobody that fill up the last tile of every expert of a step that has many rows, mean",
        "the same fit (half of a tile of 64 to 128)",
        0.3,
    )
    expert_least_rows: Real = _positive(
        4.2,
        "1",
        "rows of an expert below which its tiles shrink",
        "fits to the same layers: 3.4 to 4.9",
        0.4,
    )
    expert_movement: Real = _assumed(
        1.8,
        "1",
        "traffic of the activations of experts over what their products read and write: permuting, narrowing and summing "
        "are kernels of their own",
        "the same fit",
        0.3,
    )
    expert_skew: Real = _assumed(
        2.0,
        "1",
        "how unequally tokens choose experts: standard deviation of an expert's load over its mean",
        "half way between 0 (balanced) and 4.4, the same fit to rows routed with a power law of exponent 1.2",
        0.7,
    )
    redundant_relief: Real = _assumed(
        4.0,
        "1",
        "how much copies of popular experts even out the ranks: with r of them on e ranks the skew is divided by 1 + this r / e",
        "fullest rank 1.2 to 2 times the mean without copies, 1.05 to 1.2 with one a rank (LMSYS 2025, 32 copies of 256 experts; "
        "DeepSeek-AI 2024, arXiv:2412.19437, section 3.4)",
        0.5,
    )
    expert_popularity_cv: Real = _assumed(
        0.8,
        "1",
        "how unequally popular experts are, as far as it leaves some of them unread: coefficient of variation of a gamma law",
        "the same layers: 0.7 to 0.9 with a power law of exponent 1.2; 0 is even chance",
        0.4,
    )
    expert_exposed: Real = _share(
        0.57,
        "share of the shorter of arithmetic and traffic of experts that nothing hides",
        "the same fit: 0.57 with balanced routing, 0.83 with a power law",
        0.3,
    )
    dispatch_bytes: Real = _assumed(
        1.03,
        "byte",
        "bytes per value sent to an expert: 8 bits and a scale per 128 values",
        "arXiv:2412.19437, section 3.3",
        0.0,
    )
    expert_gather: Real = _switch(
        1.0,
        "inside a node all tokens are gathered on all ranks that share experts (1), or sent to those only that hold a token's "
        "experts (0)",
        "docs.vllm.ai, expert parallel deployment: all2all-backend allgather_reducescatter is the default",
    )
    expert_node_gather: Real = _switch(
        0.0,
        "beyond the fast domain all tokens are gathered on all ranks, too (1), or sent to the nodes only that hold a token's "
        "experts (0)",
        "docs.vllm.ai, expert parallel deployment: all2all-backend deepep_high_throughput and deepep_low_latency between nodes",
    )
    expert_sums: Real = _switch(
        0.0,
        "steps with prompts gather tokens, and then add up what the experts made of them, by all-reduces over all tokens (1), "
        "not by gathering and scattering (0); where tokens are gathered at all",
        "github.com/sgl-project/sglang, dp_attention.py: batches with prompts are padded to the sum of their lengths and "
        "gathered by all-reduce; other engines gather and scatter",
    )
    joining_steps: Real = _assumed(
        0.0,
        "1",
        "steps that an attention group of a replica that only decodes sits out when requests join it, while the others step",
        "definition: none; an engine that takes in requests and steps in turn sits out one (SGLang, see its settings)",
        0.0,
    )
    exchange_latency_intra: Real = _assumed(
        2e-05,
        "s",
        "start of an expert exchange inside the fast domain",
        "measured library all-to-all, 8 devices",
        0.4,
    )
    exchange_latency_inter: Real = _assumed(
        6e-05,
        "s",
        "start of an expert exchange between nodes",
        "order of magnitude of published wide expert-parallel kernels",
        0.5,
    )
    exchange_share: Real = _share(
        1.0,
        "share of expert exchanges that no other micro-batch hides",
        "definition: 1 hides nothing",
        0.0,
    )
    allreduce_share: Real = _share(1.0, "share of all-reduces that nothing hides", "definition: 1 hides nothing", 0.0)
    stage_send_latency: Real = _assumed(
        1e-05,
        "s",
        "start of a hand-over between pipeline stages",
        "NCCL point-to-point kernels",
        0.4,
    )
    serving_elementwise_slowdown: Real = _assumed(
        1.5,
        "1",
        "element-wise work of serving over its ideal traffic",
        "fitted to published serving runs: 1.1 to 2.9 (kernels that fuse everything: 1)",
        0.3,
    )
    elementwise_kernels: Real = _assumed(
        5.0,
        "1",
        "element-wise kernels of a layer that are launched apart",
        "fused serving engines: two norms with their residual, rotary and cache write, activation, and one more "
        "(query-key norm, quantisation)",
        0.2,
    )
    elementwise_kernel_time: Real = _assumed(
        2e-6,
        "s",
        "least time of an element-wise kernel in a captured graph",
        "shortest kernels measured on A100, H100, B200: 2 to 4 us",
        0.25,
    )
    activation_traffic: Real = _assumed(
        1.0,
        "1",
        "share of the activations that matrix products move through memory",
        "definition: 1 counts all",
        0.0,
    )
    whole_local_cache: Real = _switch(
        0.0,
        "layers that attend to a window keep the cache of the whole sequence; off: that of the window",
        "0 vLLM (hybrid cache manager), SGLang; 1 TensorRT-LLM unless max_attention_window is told "
        "(nvidia.github.io/TensorRT-LLM, KvCacheConfig)",
    )
    workspace_bytes_per_value: Real = _assumed(
        15.0,
        "byte",
        "activations held during a step, per token and unit of width",
        "published memory of serving engines: 10 to 20",
        0.3,
    )
    logit_bytes: Real = _assumed(4.0, "byte", "bytes per logit of a sampled token", "fp32 sampling", 0.0)
    runtime_reserve: Real = _assumed(
        1500000000.0,
        "byte",
        "memory of context, libraries and graphs",
        "serving engines: 0.5 to 3.5 GB",
        0.5,
    )
    communication_reserve: Real = _assumed(
        350000000.0,
        "byte",
        "communication buffers of one device",
        "NCCL default channels",
        0.5,
    )
    memory_activity_power: Real = _share(
        0.6,
        "power of full memory activity over that of full arithmetic",
        "published power of decode against prefill",
        0.15,
    )
    network_level: Real = _positive(
        1.0,
        "1",
        "time of a pass of a model that writes no text over the prediction: clocks, boards, host; what `calibrate` finds from a "
        "few runs",
        "scatter of timm's tables about the prediction",
        0.17,
    )
    engine_level: Real = _positive(
        1.0,
        "1",
        "time of such a pass by an engine compiled ahead of time, or by code for a microcontroller, over the prediction: what "
        "they fuse and which kernels they choose differs more than PyTorch does",
        "scatter of MLPerf Inference and Tiny about the prediction, beyond that of timm's tables",
        0.3,
    )
    convolution_efficiency: Real = _positive(
        1.0,
        "1",
        "rate of convolutions over that of large matrix products",
        "MLPerf Inference 3.0 and 4.1 and timm's tables, traffic counted apart: 0.75 to 1.1",
        0.15,
    )
    microcontroller_efficiency: Real = _share(
        0.8,
        "share of the rate of a microcontroller, loads counted, that kernels of networks reach",
        "MLPerf Tiny 1.1 to 1.3, convolutions in 8 bits on Cortex-M0+, M4 and M7: 0.7 to 1",
        0.25,
        above=True,
    )
    depthwise_efficiency: Real = _share(
        0.22,
        "share of the bandwidth and of the rate of other layers that depthwise convolutions reach",
        "MobileNet and EfficientNet in timm's tables of compiled networks, the other layers counted apart: 0.19 to 0.33",
        0.3,
        above=True,
    )
    attention_tile: Real = _positive(
        128.0,
        "1",
        "tokens at which attention of a batch of whole sequences reaches half of its rate, models that write no text",
        "general knowledge, not read: rows of a tile of FlashAttention-2 (arXiv:2307.08691)",
        0.5,
    )
    layer_kernel_time: Real = _assumed(
        8e-6,
        "s",
        "least time of the kernel of a layer, its tail included, in a network compiled ahead of time",
        "MLPerf Inference 3.0, ResNet-50, one picture less its share of a large batch, over 54 layers: 4 to 12 us",
        0.4,
    )
    compiled_kernel_time: Real = _assumed(
        10e-6,
        "s",
        "host time per kernel of a network compiled just in time, without captured graphs",
        "general knowledge, not read: a launch is 5 us, the guards and wrappers of torch.compile as much again",
        0.5,
    )
    stored_activations: Real = _assumed(
        2.0,
        "1",
        "values that training keeps of each value a layer of a network writes",
        "counted: the input of the norm and that of the next layer",
        0.2,
    )
    host_memory_share: Real = _share(
        0.9,
        "share of host memory that may hold what does not fit a device",
        "the rest is the operating system's",
        0.1,
    )
    host_link_efficiency: Real = _share(
        0.87,
        "share of the host link that large pinned copies reach",
        "55 of 63 GB/s measured on PCIe 5",
        0.08,
        above=True,
    )
    local_storage_bandwidth: Real = _positive(
        7e9,
        "byte/s",
        "local storage that one device may read",
        "one PCIe 4 NVMe drive",
        0.3,
    )
    streaming_bandwidth: Real = _positive(
        150e9,
        "byte/s",
        "bandwidth at which streamed weights enter a wafer",
        "Cerebras: 1.2 Tbit/s of links per system",
        0.15,
    )
    wafer_efficiency: Real = _share(
        0.5,
        "share of a wafer's dense peak that matrix products reach",
        "order of magnitude; published training runs on CS-2: 0.3 to 0.6",
        0.3,
        above=True,
    )
    wafer_layer_latency: Real = _assumed(
        9.8e-6,
        "s",
        "dispatch and reductions of a layer whose weights lie on the chip",
        "fitted with wafer_half_rows to the launch rates of Llama 3.1 8B and 70B on WSE-3 (1,818 and 448 tokens/s)",
        0.3,
    )
    wafer_half_rows: Real = _assumed(
        2.85,
        "1",
        "rows at which a product on a layer's share of a wafer reaches half of its rate",
        "fitted with wafer_layer_latency: one row reaches 13 % of peak",
        0.3,
    )
    wafer_hop_latency: Real = _assumed(
        7.6e-6,
        "s",
        "message between devices with memory on the chip",
        "fitted to published rates of Groq's LPU: four a layer that several devices share",
        0.3,
    )
    wafer_live_activations: Real = _assumed(
        8.0,
        "1",
        "activations of a layer alive at once, per token and unit of width",
        "inputs, queries, keys, values, feed-forward values of one layer",
        0.3,
    )
    wafer_layers_held: Real = _assumed(
        2.0,
        "1",
        "streamed layers on the chip at once: in use, and arriving",
        "double buffering",
        0.0,
    )
    # --- data -----------------------------------------------------------------------------------------
    switch_latency: Real = _assumed(
        3.5e-07,
        "s",
        "time each switch beyond the first adds to a path",
        "De Sensi et al. 2020 (arXiv:2008.08886): 350 ns of a Slingshot switch; InfiniBand about 150 ns",
        0.5,
    )
    # --- algorithm ------------------------------------------------------------------------------------
    training_mfu: Real = _share(
        0.4,
        "share of peak that a training reaches where none is given: a well-tuned dense one",
        "constants: mfu_range_training (0.3 to 0.56 on A100, H100 and TPU)",
        0.2,
        above=True,
    )
    accuracy_per_nat: Real = _share(
        0.2,
        "accuracy lost on multiple-choice tasks per nat of loss, when little is lost",
        "Llama-2-7B pruned to 30 and 50 %: 22 and 20 points per nat (github.com/tweizy/wanda-prunning-experiment); "
        "4-bit weights: 10 to 20 points (llm-awq README; arXiv:2411.02355)",
        0.5,
        above=True,
    )
    accuracy_at_stake: Real = _share(
        0.3,
        "accuracy of a dense model above guessing, mean of multiple-choice tasks",
        "Llama-2-7B: 70.8 %, 42.3 % when destroyed (github.com/tweizy/wanda-prunning-experiment)",
        0.2,
        above=True,
    )
    distillation_drop: Real = _share(
        0.046,
        "accuracy lost per e-fold of parameters, pruned and distilled",
        "arXiv:2408.11796, table 1, mean of Winogrande, ARC, MMLU, HellaSwag: 12.2B to 8.4B 75.1 to 74.3, 8.03B to "
        "4.5B 70.6 to 66.4",
        0.55,
    )
    sparse_gemm_speedup: Real = _assumed(
        1.6,
        "1",
        "rate of 2:4 matrix products over dense ones",
        "constants: sparse_2_4_peak_speedup (2 at peak, 1.1 to 1.6 end to end)",
        0.2,
        low=1,
    )
    # --- fleet ----------------------------------------------------------------------------------------
    # --- operations -----------------------------------------------------------------------------------
    gpu_failure_rate: Real = _assumed(
        196.0 / (21233664.0 * 3600.0),
        "1/s",
        "failures of one accelerator outside its memory: 196 in 21.2 million device-hours",
        "reliability: llama3_faulty_gpu 148, gpu_sram 19, gpu_system_processor 17, gpu_thermal 6, "
        "silent_data_corruption 6",
        0.3,
    )
    hbm_failure_rate: Real = _assumed(
        72.0 / (21233664.0 * 3600.0),
        "1/s",
        "failures of the memory of one accelerator: 72 in 21.2 million device-hours",
        "reliability: llama3_hbm3 72",
        0.5,
    )
    nic_failure_rate: Real = _assumed(
        7.0 / (21233664.0 * 3600.0),
        "1/s",
        "failures of the network adapter of one accelerator: 7 in 21.2 million device-hours",
        "reliability: llama3_nic 7",
        0.5,
    )
    network_failure_rate: Real = _assumed(
        35.0 / (21233664.0 * 3600.0),
        "1/s",
        "failures of switches and cables per accelerator: 35 in 21.2 million device-hours",
        "reliability: llama3_switch_cable 35",
        0.5,
    )
    software_failure_rate: Real = _assumed(
        63.0 / (21233664.0 * 3600.0),
        "1/s",
        "failures of software per accelerator: 63 in 21.2 million device-hours",
        "reliability: llama3_software_bug 54, dependency 2, nccl_watchdog 7",
        0.7,
    )
    host_failure_rate: Real = _assumed(
        43.0 / (21233664.0 * 3600.0 / 8.0),
        "1/s",
        "failures of one host: 43 in 2.65 million node-hours",
        "reliability: llama3_host_maintenance 32, ssd 3, cpu 2, system_memory 2, io_board 2, server_chassis 2",
        0.5,
    )
    psu_failure_rate: Real = _assumed(
        3.0 / (21233664.0 * 3600.0 / 8.0),
        "1/s",
        "failures of the power supplies of one node: 3 in 2.65 million node-hours",
        "reliability: llama3_power_supply 3",
        0.6,
    )
    failure_level: Real = _assumed(
        1.0,
        "1",
        "failures over those of the fitted run",
        "definition: the rates above; device-hours per failure of seven fleets are in the zoo's reliability table "
        "(column failure_level: 0.6 to 6.8), the spread is their root mean square around 1 in log space",
        FLEET_SPREAD,
    )
    failure_spread: Real = _assumed(
        FLEET_SPREAD,
        "1",
        "spread of the failures of sites in log space, for the interval of the time between them; 0 where the rate of "
        "the site is known",
        "reliability: failure_level of the fleets",
        0.0,
    )
    least_goodput: Real = _share(
        0.01,
        "goodput below which a job counts as one that never ends",
        "convention: a hundred times the work; the lowest published is 0.59 (OPT-175B)",
        0.0,
    )
    planned_interruption_rate: Real = _assumed(
        0.0,
        "1/s",
        "planned interruptions per accelerator (47 in 21.2 million device-hours in the fitted run)",
        "definition: not counted",
        0.0,
    )
    detection_time: Real = _assumed(60.0, "s", "time until a failure is noticed", "reliability: failure_detection", 0.7)
    reschedule_time: Real = _assumed(60.0, "s", "time until the job has nodes again", "reliability: reschedule", 0.7)
    relaunch_time: Real = _assumed(180.0, "s", "time until the processes run again", "reliability: restart", 0.7)
    warmup_time: Real = _assumed(
        120.0,
        "s",
        "time until full speed after a start: compilation, caches, data order",
        "reliability: warmup",
        0.7,
    )
    checkpoint_time: Real = _assumed(
        40.0,
        "s",
        "time that a checkpoint stops the job, where no other is given",
        "reliability: bloom_checkpoint_write (2.3 TB)",
        1.0,
    )
    master_weight_bytes: Real = _positive(
        4.0,
        "byte",
        "fp32 copy of a weight that training at less keeps",
        "constants: adam_master",
        0.0,
    )
    adam_8bit_bytes: Real = _assumed(
        2.0,
        "byte",
        "8-bit moments of Adam per parameter",
        "constants: adam_8bit_states",
        0.0,
    )
    momentum_bytes: Real = _assumed(
        4.0,
        "byte",
        "fp32 momentum of SGD per parameter",
        "constants: sgd_momentum_mixed_total",
        0.0,
    )
    repair_time: Real = _assumed(86400.0, "s", "time until a failed node is back", "planning value: a day", 1.0)
    checkpoint_bandwidth: Real = _positive(
        100e9,
        "byte/s",
        "what the checkpoint storage takes in total",
        "reliability: checkpoint_write_bw; BLOOM wrote at 57.5 GB/s",
        0.6,
    )
    writer_bandwidth: Real = _positive(
        25e9,
        "byte/s",
        "what one node sends to storage",
        "one 200 Gb/s port for storage",
        0.6,
    )
    per_sample_slowdown: Real = _positive(
        4.5,
        "1",
        "training time with per-sample gradients over plain training",
        "constants: dp_sgd_slowdown_opacus (2.6 to 8)",
        0.3,
    )
    ghost_slowdown: Real = _positive(
        2.2,
        "1",
        "training time with ghost clipping over plain training",
        "constants: dp_sgd_slowdown_ghost (1.3 to 4)",
        0.3,
    )
    loop_slowdown: Real = _positive(
        100.0,
        "1",
        "training time sample by sample over plain training",
        "constants: dp_sgd_slowdown_worst",
        0.7,
    )
    tolerated_noise: Real = _positive(
        1.0,
        "1",
        "length of the noise over the clipped gradient at which training still learns as well",
        "planning value: equal lengths",
        1.0,
    )
    compute_activity: Real = _share(
        0.8,
        "busy share of the arithmetic units of devices in use, where nobody gives one: a training, waits included",
        "a node of eight H100 in intensive training draws 7.75 kW (arXiv:2506.14551): 0.95 of the way from idle to full "
        "load; GPT-3 330 W a V100 with its share of the host (Patterson et al. 2021, table 4; not read): 0.65",
        0.2,
    )
    idle_power_fraction: Real = _share(
        0.1,
        "idle power with a context loaded, as a share of TDP",
        "constants: idle_power_fraction_gpu_datacenter",
        0.3,
    )
    host_power_fraction: Real = _assumed(
        0.45,
        "1",
        "power of a node outside its accelerators at full load, as a share of their TDP",
        "DGX H100 in training: 7.75 to 8.4 kW with eight 700 W devices (arXiv:2412.08602, arXiv:2506.14551)",
        0.3,
    )
    host_idle_fraction: Real = _share(
        0.3,
        "power of an idle host over the same host at full load",
        "constants: idle_power_fraction_server",
        0.4,
    )
    network_power_fraction: Real = _assumed(
        0.08,
        "1",
        "power of switches and optics outside the nodes, as a share of TDP",
        "fat tree of 64-port 400 Gb/s switches of about 1 kW: 3 to 5 switches per 64 devices of 700 W",
        0.4,
    )
    year: Real = _positive(31536000.0, "s", "year of accounts: 8,760 hours", "definition", 0.0)
    hardware_life: Real = _positive(
        126144000.0,
        "s",
        "life over which price and embodied carbon of hardware are spread: 4 years",
        "planning value; operators depreciate servers over 4 to 6 years",
        0.25,
    )
    cost_of_capital: Real = _assumed(
        0.08,
        "1",
        "interest on capital a year",
        "planning value for corporate capital",
        0.3,
    )
    residual_share: Real = _share(0.1, "resale value at the end of the life over the price", "planning value", 0.7)
    server_multiplier: Real = _assumed(
        1.2,
        "1",
        "price of a server over the accelerators in it",
        "systems: hgx_h100_generic 250,000 USD; constants: h100_price_2024",
        0.15,
        low=1,
    )
    infrastructure_multiplier: Real = _assumed(
        1.25,
        "1",
        "price of servers with network and storage over the servers",
        "network 13 %, storage 1.5 % of 66 % compute (Bernstein 2025); 375 over 310 kUSD a node with 400 Gb/s fabric "
        "(2024)",
        0.1,
        low=1,
    )
    facility_price: Real = _assumed(
        12.0,
        "USD/W",
        "building with power and cooling, per watt of IT",
        "35 GUSD per GW of which a third is mechanical and electrical (Bernstein 2025)",
        0.3,
    )
    facility_life: Real = _positive(
        473040000.0,
        "s",
        "life over which the building is written off: 15 years",
        "Barroso, Hoelzle, Ranganathan 2018, chapter 6 (not read)",
        0.2,
    )
    maintenance_share: Real = _assumed(
        0.05,
        "1",
        "repair and support a year over the price of the hardware",
        "Barroso, Hoelzle, Ranganathan 2018, chapter 6 (not read)",
        0.4,
    )
    staff_price: Real = _assumed(
        200.0 / 31536000.0,
        "USD/s",
        "operating staff per accelerator: 200 USD a year",
        "planning value: one engineer at 200,000 USD a year per 1,000 accelerators",
        0.7,
    )
    reserved_discount: Real = _share(
        0.5,
        "price of a reservation of 1 to 3 years below on demand",
        "constants: reserved_discount (0.4 to 0.6)",
        0.1,
    )
    spot_discount: Real = _share(
        0.65,
        "price of interruptible capacity below on demand",
        "constants: spot_discount (0.6 to 0.9)",
        0.15,
    )
    embodied_multiplier: Real = _assumed(
        2.5,
        "1",
        "embodied carbon of a device with its share of server and network over the device alone",
        "A100: 318 kg with the server share (Chien et al. 2023), 127.6 kg the module (arXiv:2509.00093)",
        0.4,
        low=1,
    )
