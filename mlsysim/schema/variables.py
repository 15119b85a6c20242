"""Every variable once: unit, meaning, bounds, and whether more of it is better.

Inputs, outputs and record fields share this one table, so a name means one thing in the whole project.
Base units only: s, byte, FLOP, USD, J, kg, L, W, and their quotients; fractions are 0..1, unit "1".
"""

import math
from enum import IntEnum
from typing import Any, NamedTuple

from mlsysim.schema import codes
from mlsysim.schema.assumptions import Assumptions


class Variable(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    name, unit, meaning : str
    low, high : float
        Bounds an input must keep, both included unless `above` is set.
    above : bool
        `low` itself is excluded.
    kind : str
        ``"real"``, ``"count"`` (a whole number), ``"flag"`` (true or false) or ``"option"``.
    better : str
        ``"less"``, ``"more"`` or ``""`` (no direction: `best` wants to be told).
    options : type of IntEnum or None
    takes : tuple of str
        Outputs that may feed this input in a composition.
    """

    name: str
    unit: str
    meaning: str
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    kind: str = "real"
    better: str = ""
    options: type[IntEnum] | None = None
    takes: tuple[str, ...] = ()


EXACT = 2.0**53  #: whole numbers below are exact doubles, and no other number is read as one of them

VARIABLES: dict[str, Variable] = {}


def field_of(name: str) -> str:
    """The name without the record it is of: ``tdp`` of ``hardware.tdp``."""
    return name.rsplit(".", 1)[-1]


def variable_of(name: str) -> Variable | None:
    """The variable that a name means, alone or with its record in front; None where there is none."""
    return VARIABLES.get(field_of(name))


#: how small or large a quantity that is not 0 may be given, in its base unit: what lies beyond is a slip of the pen, and
#: a time made of such figures would no longer be a number
SMALLEST, LARGEST = 1e-18, 1e36


def beyond_reach(number: Any) -> Any:
    """Is a quantity, or each of an array of them, not 0 and smaller than `SMALLEST` or larger than `LARGEST`?"""
    return (number != 0) & ((abs(number) < SMALLEST) | (abs(number) > LARGEST))


#: The guide's spellings, accepted at the border: alias -> (canonical name, factor to the base unit).
ALIASES: dict[str, tuple[str, float]] = {
    "duration_days": ("duration", 86400.0),
    "duration_hours": ("duration", 3600.0),
    "training_duration": ("duration", 1.0),
    "kwh_price": ("electricity_price", 1.0 / 3.6e6),
    "perturbation_pct": ("perturbation", 0.01),
    "num_nodes": ("n_nodes", 1.0),
    "cluster_size": ("n_accelerators", 1.0),
    "sla_latency": ("target_e2e_latency", 1.0),
}


#: Inputs that must be given, as one writes them; `mlsysim.engine.needs` shows them where they are missing.
EXAMPLES: dict[str, str] = {
    "model": 'model="llama3_1_8b"',
    "draft": 'draft="llama3_2_1b"',
    "hardware": 'hardware="h100"',
    "region": 'region="fra" (or kwh_price=0.12, carbon_intensity="400 g/kWh")',
    "seq_len": "seq_len=2048",
    "batch_size": "batch_size=32",
    "global_batch": "global_batch=512",
    "n_accelerators": "n_accelerators=1024",
    "cores": "cores=32",
    "workload_data_rate": 'workload_data_rate="2 GB/s"',
    "sample_cpu_time": 'sample_cpu_time="3 ms"',
    "n_nodes": "n_nodes=64",
    "compute_budget": 'compute_budget="1e24 FLOP"',
    "arrival_rate": 'arrival_rate="10 requests/s"',
    "service_latency": 'service_latency="100 ms"',
    "step_time": 'step_time="50 ms"',
    "duration": 'duration="30 days"',
    "job_duration": 'job_duration="30 days"',
    "avg_duration": 'avg_duration="4 hours"',
    "base_training_time": 'base_training_time="10 days"',
}


def _add(name: str, unit: str, meaning: str, **rest: Any) -> None:
    if name in VARIABLES:
        raise ValueError(f"{name} is declared twice")
    VARIABLES[name] = Variable(name, unit, meaning, **rest)


def real(
    name: str,
    unit: str,
    meaning: str,
    low: float = 0.0,
    high: float = math.inf,
    *,
    above: bool = False,
    better: str = "",
    takes: tuple[str, ...] = (),
) -> None:
    """Declare a quantity; not negative unless said."""
    _add(name, unit, meaning, low=low, high=high, above=above, better=better, takes=takes)


def positive(name: str, unit: str, meaning: str, **rest: Any) -> None:
    """Declare a quantity that is above zero."""
    real(name, unit, meaning, above=True, **rest)


def fraction(name: str, meaning: str, high: float = 1.0, **rest: Any) -> None:
    """Declare a share, 0..1 unless `high` says otherwise."""
    real(name, "1", meaning, high=high, **rest)


def count(name: str, meaning: str, low: float = 1.0, unit: str = "1", **rest: Any) -> None:
    """Declare a whole number, at least `low`."""
    _add(name, unit, meaning, low=low, kind="count", **rest)


def flag(name: str, meaning: str) -> None:
    """Declare something that is true or false."""
    _add(name, "1", meaning, low=0.0, high=1.0, kind="flag")


def option(name: str, meaning: str, options: type[IntEnum]) -> None:
    """Declare a choice among labels."""
    _add(name, "1", meaning, low=0.0, kind="option", options=options)


# --- every resolver ------------------------------------------------------------------------------------
flag("feasible", "does the configuration work at all")
option("limit", "why it does not: the first limit that fails", codes.Limit)
option("bottleneck", "which wall binds", codes.Bottleneck)

# --- options -------------------------------------------------------------------------------------------
option("precision", "number format of weights and GEMMs", codes.Precision)
option("compressed_precision", "number format of the compressed model's device", codes.Precision)
option("decode_precision", "number format of the device that decodes", codes.Precision)
option("kv_precision", "number format of the KV cache", codes.Precision)
option(
    "attention_precision", "number format of attention projections in serving (default: `precision`)", codes.Precision
)
option("expert_precision", "number format of routed experts in serving (default: `precision`)", codes.Precision)
option("shared_expert_precision", "number format of shared experts in serving (default: `precision`)", codes.Precision)
option("head_precision", "number format of the stored output head (default: 16 bits)", codes.Precision)
option("embedding_precision", "number format of the stored embedding (default: 16 bits)", codes.Precision)
option("schedule", "pipeline schedule", codes.Schedule)
option("recompute", "activations computed again in the backward pass", codes.Recompute)
option("runtime", "software that runs a network", codes.Runtime)
option("attention", "generation of the attention kernel", codes.Attention)
option("flops_convention", "attention FLOPs that a utilization counts, or a server computes", codes.FlopsConvention)
option("reserve", "how a server books KV cache", codes.Reserve)
option("workload_type", "part of a workload an efficiency is asked for", codes.WorkloadType)
option("phase", "phase of a language model's life", codes.Phase)

# --- Workload ------------------------------------------------------------------------------------------
# Sizes of a model, some hundred times beyond any that was built: what is larger is a slip of the pen.
MOST_LAYERS = 1e5
WIDEST = 1e7
MOST_HEADS = 1e6
MOST_EXPERTS = 1e6
LARGEST_VOCABULARY = 1e9
LONGEST_CONTEXT = 1e10
real("total_params", "1", "parameters")
real("active_params", "1", "parameters used per token")
count("n_layers", "layers", low=0, high=MOST_LAYERS)
count("hidden", "width of the residual stream", low=0, high=WIDEST)
count("ffn_hidden", "width of the feed-forward network (of one expert)", low=0, high=WIDEST)
count("n_heads", "query heads", low=0, high=MOST_HEADS)
count("n_kv_heads", "key/value heads", low=0, high=MOST_HEADS)
count("head_dim", "width of a head", low=0, high=WIDEST)
count("vocab", "vocabulary", low=0, high=LARGEST_VOCABULARY)
flag("gated_ffn", "three feed-forward matrices instead of two")
flag("tied_embeddings", "input and output embedding are one table")
count("n_experts", "routed experts", low=0, high=MOST_EXPERTS)
count("experts_per_token", "experts a token visits", low=0, high=MOST_EXPERTS)
count(
    "expert_node_limit",
    "most nodes to which the router sends a token; 0: as many as it likes",
    low=0,
    high=MOST_EXPERTS,
)
count("n_shared_experts", "experts every token visits", low=0, high=MOST_EXPERTS)
count("first_dense_layers", "leading layers without experts", low=0, high=MOST_LAYERS)
count("dense_ffn_hidden", "width of the feed-forward network in layers without experts", low=0, high=WIDEST)
count("moe_layer_interval", "every how many layers there are experts", low=0, high=MOST_LAYERS)
count("q_lora_rank", "rank of the latent query", low=0, high=WIDEST)
count("kv_lora_rank", "rank of the latent key/value", low=0, high=WIDEST)
count("nope_head_dim", "head width without rotary part", low=0, high=WIDEST)
count("rope_head_dim", "rotary head width", low=0, high=WIDEST)
count("v_head_dim", "value head width", low=0, high=WIDEST)
count("sliding_window", "window of local attention, tokens", low=0, high=LONGEST_CONTEXT)
count("local_layers", "layers with local attention", low=0, high=MOST_LAYERS)
count("expert_layers", "layers with experts, where they follow no rule; 0: by the rule", low=0, high=MOST_LAYERS)
count(
    "expert_latent", "width that routed experts see, between two projections; 0: that of the stream", low=0, high=WIDEST
)
count("attention_free_layers", "layers without attention", low=0, high=MOST_LAYERS)
count("network_free_layers", "layers without a feed-forward network", low=0, high=MOST_LAYERS)
real("attention_gate_params", "1", "weights of the output gate of one layer's attention", high=WIDEST**2)
count("recurrent_layers", "layers with a recurrent mixer", low=0, high=MOST_LAYERS)
real("recurrent_params", "1", "weights of one recurrent mixer", high=WIDEST**2)
real("recurrent_state", "1", "values of the state of one recurrent mixer, a sequence", high=WIDEST**2)
real("recurrent_convolution", "1", "last inputs that the convolution of one mixer keeps, a sequence", high=WIDEST**2)
real("recurrent_step_flops", "FLOP", "recurrence of one mixer, one token, step by step", high=WIDEST**2)
real("recurrent_prompt_flops", "FLOP", "recurrence of one mixer, one token of a prompt", high=WIDEST**2)
real("state_bytes", "byte", "bytes of a value of a recurrent state", high=8)
count("index_layers", "layers that score cached tokens with an index of their own", low=0, high=MOST_LAYERS)
count("index_heads", "heads of an index", low=0, high=MOST_HEADS)
count("index_head_dim", "width of a head of an index", low=0, high=WIDEST)
count("index_topk", "most cached tokens that attention reads; 0: all", low=0, high=LONGEST_CONTEXT)
count("decoder_layers", "layers of a second stack that attends to the first", low=0, high=MOST_LAYERS)
count("max_context", "longest context, tokens", low=0, high=LONGEST_CONTEXT)
real("extra_params", "1", "parameters outside the formula")
real("flops_per_sample", "FLOP", "forward cost of one sample of a model that does not write token by token")
real("network_layers", "1", "layers with weights of a network that is no transformer", high=1e6)
real("activation_values", "1", "values that the layers of a network write, one sample", high=1e15)
real("widest_values", "1", "most values that a layer of a network reads and writes, one sample", high=1e15)
real(
    "depthwise_share",
    "1",
    "share of the values of a network that convolutions write with fewer than 32 channels a group",
    high=1,
)
real(
    "unfused_accesses",
    "1",
    "accesses of each value that no engine fuses into the layers: of group and layer norms",
    high=64,
)

# --- Accelerator ---------------------------------------------------------------------------------------
real("peak_flops", "FLOP/s", "dense peak of the format GEMMs compute in (0: unsupported)", better="more")
flag("widens_weights", "the device has no products of the format: weights in it are widened to 16 bits")
positive("attention_gemm_rate", "1", "peak of the GEMMs of attention projections over `peak_flops`", better="more")
positive("expert_gemm_rate", "1", "peak of the GEMMs of routed experts over `peak_flops`", better="more")
positive("shared_expert_gemm_rate", "1", "peak of the GEMMs of shared experts over `peak_flops`", better="more")
real("attention_peak_flops", "FLOP/s", "dense peak of the format attention computes in", better="more")
real("vector_flops", "FLOP/s", "fp32 rate of the vector units", better="more")
real(
    "vector_ops",
    "FLOP/s",
    "rate of the vector units in products of few rows: unpacking narrow weights, or converting wide ones",
    better="more",
)
real("narrow_sum_flops", "FLOP/s", "rate of 16-bit products whose sums are 16 bits wide, too", better="more")
positive("mem_bandwidth", "byte/s", "main memory bandwidth", better="more")
positive("mem_capacity", "byte", "main memory the device reports", better="more")
real("sram_capacity", "byte", "last-level cache or scratchpad", better="more")
flag("on_chip_memory", "all memory lies on the chip: weights stay there, each layer on its share of the devices")
positive("sram_bandwidth", "byte/s", "bandwidth of the scratchpad of a microcontroller", better="more")
positive("link_bandwidth", "byte/s", "accelerator link, one direction, all links", better="more")
real("link_latency", "s", "latency of the accelerator link", better="less")
positive("host_bandwidth", "byte/s", "link to the host, one direction", better="more")
positive("tdp", "W", "power limit of the device")
real("idle_power", "W", "power of the device when idle")
real("price", "USD", "price of one device")
real("hourly_price", "USD/s", "cloud price of one device")
real("embodied_carbon", "kg", "embodied carbon of one device, cradle to gate")
real("gemm_latency", "s", "start time of a GEMM", better="less")
fraction("gemm_efficiency", "share of peak that a large GEMM reaches", above=True, better="more")
real("gemm_half_rows", "1", "rows at which a GEMM reaches half its rate", better="less")
fraction("gemm_bandwidth_efficiency", "share of memory bandwidth that a GEMM reaches", above=True, better="more")
real("gemm_exponent", "1", "exponent of the smooth maximum: 2, 4, or 0 for the plain maximum")
real("plain_gemm_latency", "s", "time to start a matrix product in 16 bits", better="less")
fraction("wide_gemm_efficiency", "share of the 16-bit peak that a large GEMM reaches", above=True, better="more")
fraction("training_gemm_efficiency", "share of peak that the GEMMs of training reach", above=True, better="more")
fraction("attention_efficiency", "share of peak that prefill attention tends to", above=True, better="more")
fraction("flash3_kernel_efficiency", "share of peak of FlashAttention 3 by itself, forward", above=True, better="more")
real("flash3_kernel_half_length", "1", "tokens at which FlashAttention 3 reaches half of that share", better="less")
real("attention_half_length", "1", "tokens at which prefill attention reaches half of that", better="less")
fraction("flash1_efficiency", "share of peak of first-generation fused attention", above=True, better="more")
fraction("flash2_efficiency", "share of peak of FlashAttention 2 alike", above=True, better="more")
fraction("flash3_efficiency", "share of peak of FlashAttention 3 or cuDNN alike", above=True, better="more")
real("decode_attention_latency", "s", "start time of decode attention", better="less")
fraction(
    "decode_attention_bandwidth_efficiency",
    "share of memory bandwidth of decode attention, large caches",
    above=True,
    better="more",
)
real(
    "decode_attention_ramp",
    "byte",
    "cache of a layer below which decode attention does not reach its bandwidth",
    better="less",
)
for _n in (2, 4, 8):
    real(f"allreduce_latency_{_n}", "s", f"one-shot all-reduce of a small message among {_n} devices", better="less")
    real(f"nccl_latency_{_n}", "s", f"library all-reduce of a small message among {_n} devices", better="less")
    positive(f"bus_bandwidth_{_n}", "byte/s", f"bus bandwidth of a large all-reduce among {_n} devices", better="more")
    for _size in ("256k", "1m", "4m", "16m", "64m"):
        positive(
            f"allreduce_{_size}_{_n}",
            "s",
            f"measured all-reduce of {_size.upper()}iB among {_n} devices",
            better="less",
        )

# --- Format --------------------------------------------------------------------------------------------
positive("weight_bytes", "byte", "bytes per stored weight, scales included")
positive("attention_bytes", "byte", "bytes per weight of attention projections and recurrent mixers, scales included")
positive("expert_bytes", "byte", "bytes per weight of routed experts, scales included")
positive("shared_expert_bytes", "byte", "bytes per weight of shared experts, scales included")
positive("head_bytes", "byte", "bytes per weight of the output head, and of a table that is both head and embedding")
positive("embedding_bytes", "byte", "bytes per weight of an embedding that is not the head as well")
positive("activation_bytes", "byte", "bytes per activation between operators")
positive("kv_bytes", "byte", "bytes per cached key or value")
positive("gemm_input_bytes", "byte", "bytes per activation a GEMM reads and training keeps")
positive("parameter_bytes", "byte", "bytes per working weight in training")
flag("weight_only", "weights are narrow, the arithmetic is 16 bits wide")
flag("quantised", "activations are quantised on the fly")

# --- Fleet ---------------------------------------------------------------------------------------------
count("fleet_size", "accelerators the fleet has (0: as many as asked for)", low=0)
count("accelerators_per_node", "accelerators in a node")
count("domain_size", "accelerators in the fast domain")
positive("intra_bandwidth", "byte/s", "bandwidth inside the fast domain, per accelerator and direction", better="more")
real("intra_latency", "s", "latency of one step inside the fast domain", better="less")
fraction("intra_efficiency", "share of that bandwidth a collective reaches", above=True, better="more")
positive("inter_bandwidth", "byte/s", "bandwidth between nodes, per accelerator and direction", better="more")
real("inter_latency", "s", "latency of one step of a collective between nodes", better="less")
real("port_latency", "s", "time of a small message from adapter to adapter through one switch", better="less")
fraction("inter_efficiency", "share of that bandwidth a collective reaches", above=True, better="more")
real("oversubscription", "1", "leaf to spine oversubscription", low=1.0, better="less")
count("torus_axes", "axes of the torus that the fast links form, 0 where switches or a mesh join them", low=0)
count(
    "direct_peers", "devices of the domain that each reaches over a link of its own, 0 where a switch joins all", low=0
)
flag("switch_reduces", "the switch of the fast domain can add up what devices send (NVLS)")
positive("nics_per_node", "1", "network adapters in a node")
positive("ports_per_node", "1", "ports of a node into the network between nodes", better="more")
positive("port_bandwidth", "byte/s", "bandwidth of one port of a node and direction", better="more")
real("psus_per_node", "1", "power supplies in a node")
positive("node_power", "W", "power limit of a whole node")
real("node_price", "USD", "price of a node")
positive("host_memory", "byte", "host memory of a node", better="more")

# --- Site ----------------------------------------------------------------------------------------------
real("carbon_intensity", "kg/J", "carbon per electric energy")
real("electricity_price", "USD/J", "price of electric energy")
real("offsite_water", "L/J", "water consumed in generation")
real("pue", "1", "facility energy over IT energy", low=1.0)
real("wue", "L/J", "water used on site per IT energy")

# --- node ----------------------------------------------------------------------------------------------
# serving
real("cached_prefix", "1", "tokens of the prompt that are cached already")
count("prefill_chunk", "most tokens of prompts per step")
count("prefill_batch", "prompts prefilled together")
fraction("memory_fraction", "share of the device a server may use", above=True)
fraction("acceptance", "probability that a drafted token is accepted")
_add("draft_len", "1", "drafted tokens per round", low=0, high=16, kind="count")
_add("draft_layers", "1", "layers such as the model's own that a drafted token passes before its head", low=0)
fraction("efficiency", "constant share of peak, in place of the measured curves", above=True)
fraction("bandwidth_efficiency", "constant share of memory bandwidth, in place of the measured curves", above=True)
flag("textbook", "hand calculation: full rates, no overhead, no communication")
real("ttft", "s", "time to first token", better="less")
real("itl", "s", "time between tokens of one request", better="less")
real("tokens_per_s", "1/s", "tokens per second, all devices", better="more")
real("tokens_per_s_per_device", "1/s", "tokens per second and device", better="more")
real("tokens_per_s_per_user", "1/s", "tokens per second that one request sees", better="more")
real("e2e_latency", "s", "time from request to last token", better="less")
real("throughput", "1/s", "samples or requests per second", better="more")
for _phase in ("prefill", "decode"):
    real(f"{_phase}_gemm_time", "s", f"matrix products in {_phase}", better="less")
    real(f"{_phase}_attention_time", "s", f"attention in {_phase}", better="less")
    real(f"{_phase}_communication_time", "s", f"communication in {_phase}", better="less")
    real(f"{_phase}_host_time", "s", f"host time in {_phase}", better="less")
    option(f"{_phase}_bottleneck", f"which wall binds {_phase}", codes.Bottleneck)
real("tokens_per_round", "1", "tokens a decode round yields per sequence", better="more")
real("kv_bytes_per_token", "byte", "cached bytes per token, whole model", better="less")
real("kv_cache", "byte", "cache of all sequences, whole model", better="less")
real("kv_transfer_time", "s", "hand-over of the cache that prefill does not hide", better="less")
real("memory_per_device", "byte", "memory reserved on the fullest device", better="less")
real("memory_utilization", "1", "bytes held over capacity", better="less")
real("prefill_decode_ratio", "1", "prefill replicas that keep one decode replica busy", better="less")
real("usd_per_mtok", "USD", "price per million generated tokens", better="less")
real("joule_per_mtok", "J", "energy per million generated tokens", better="less")
# one node
flag("is_training", "forward, backward and optimizer instead of a forward pass")
count("lora_rank", "rank of trained adapters; 0 trains all weights", low=0)
flag("weights_in_sram", "the weights of a microcontroller's network lie in its SRAM, not in flash")
flag("offload", "what does not fit lives in host memory and storage")
real("latency", "s", "time of one pass", better="less")
real("memory_time", "s", "memory traffic of a pass alone", better="less")
real("flops", "FLOP", "operations of the model in a pass")
real("bytes_moved", "byte", "main-memory traffic of a pass")
real("arithmetic_intensity", "FLOP/byte", "operations per byte moved")
real("ridge_point", "FLOP/byte", "operations per byte above which arithmetic binds")
real("spill_bytes", "byte", "what does not fit the device", better="less")
real("host_spill_bytes", "byte", "part of it in host memory")
real("storage_spill_bytes", "byte", "part of it in local storage")
real("effective_bandwidth", "byte/s", "bandwidth a pass sees, link included", better="more")
real("offload_latency", "s", "time of a pass that fetches ahead what does not fit", better="less")
real("offload_latency_serial", "s", "the same without fetching ahead", better="less")
real("break_even_tokens", "1", "tokens per pass from which fetched weights cost no time")
real("energy_per_sample", "J", "energy of the device per sample", better="less")
# efficiency
count("rows", "rows of a matrix product")
count("columns", "columns of a matrix product")
count("inner", "inner dimension of a matrix product")
count("tile_rows", "rows of an output tile")
count("tile_columns", "columns of an output tile")
count("compute_units", "output tiles in flight at once")
real("achievable_flops", "FLOP/s", "operations per second really reached", better="more")
fraction("bandwidth_utilization", "share of the memory bandwidth in use")
fraction("quantisation_share", "share of time lost to tiles that are not full", better="less")
fraction("kernel_share", "share of time lost inside full tiles", better="less")
fraction("launch_share", "share of time before kernels start", better="less")
fraction("memory_share", "share of time that memory traffic adds to arithmetic", better="less")
fraction("tile_efficiency", "share of the machine that useful outputs fill, tiles and waves counted", better="more")
# continuous batching
count("max_batch", "most sequences at once: what fits, or what is allowed", low=0, better="more")
count("users", "clients of a closed loop")
real("think_time", "s", "pause of a client between answer and next request")
option("cache_length", "length of the cache that a decode step reads", codes.CacheLength)
option("cache_transfer", "how the cache moves to the devices that decode", codes.CacheTransfer)
# prefill and decode apart
count("prefill_replicas", "replicas that only prefill")
count("decode_replicas", "replicas that only decode")
for _part, _meaning in (("tp", "tensor"), ("pp", "pipeline"), ("ep", "expert")):
    count(f"decode_{_part}", f"degree of {_meaning} parallelism of the replicas that decode (default: `{_part}`)")
count("decode_expert_tp", "degree of tensor parallelism inside an expert of the replicas that decode")
_add(
    "local_prefill_below",
    "1",
    "prompts with at most so many new tokens are computed by the replica that decodes them",
    low=0,
)
for _pool, _meaning in (("", "prefill"), ("decode_", "decode")):
    flag(
        f"{_pool}two_batches", f"halves of a {_meaning} step take turns: one exchanges tokens while the other computes"
    )
    _add(
        f"{_pool}redundant_experts",
        "1",
        f"copies of popular experts in a replica that {'decodes' if _pool else 'prefills'}, beside one of each",
        low=0,
        kind="count",
    )
flag("blocking_receive", "replicas that decode stand still while caches come in")
real("local_prefill_share", "1", "requests whose prompts the decode replicas compute, share")
real("caches_waiting", "1", "caches of computed prompts that wait for a slot or move, mean")
real("caches_kept", "1", "caches that can wait in the memory of all prefill replicas", better="more")
positive("decode_batch", "1", "requests that decode in each replica of the decode pool, mean")
count("prefill_max_batch", "most prompts of a prefill step, all attention groups of a replica")
option("first_token_from", "which pool answers the client with the first token", codes.FirstToken)
positive("kv_bandwidth", "byte/s", "what one device sends or receives of caches", better="more")
real("prefill_wait", "s", "wait for a replica that prefills, mean", better="less")
real("slot_wait", "s", "wait for a slot and for the next step of a replica that decodes, mean", better="less")
real(
    "first_step_time",
    "s",
    "decode step before the first token is seen; 0 where the prefill pool answers",
    better="less",
)
real("frontend_wait", "s", "time of a request before an engine sees it", better="less")
for _part, _meaning in (
    ("prefill", "prompts over those that the prefill pool can compute"),
    ("decode", "requests that decode over slots"),
):
    real(f"{_part}_utilization", "1", _meaning)
real("kv_transfer_size", "byte", "cache that moves for one request, all copies", better="less")
real("prefill_memory_per_device", "byte", "memory in use on a device that prefills", better="less")
real(
    "paired_prefill_replicas", "1", "prefill replicas of the pair of whole replicas with the fewest devices per request"
)
real("paired_decode_replicas", "1", "decode replicas of that pair")
real(
    "speedup_over_aggregated",
    "1",
    "requests per device over those of aggregated servers at the same itl",
    better="more",
)
real("break_even_itl", "s", "time between tokens below which prefill and decode apart serve more per device")
real(
    "aggregated_tokens_per_s_per_device",
    "1/s",
    "tokens per second and device of the best servers that do both on one of the same devices",
    better="more",
)
option("pool_limit", "what keeps the cluster from serving more", codes.PoolLimit)
option("length_law", "how the lengths of answers are spread", codes.LengthLaw)
real("prompt_cv", "1", "coefficient of variation of the prompt")
real("output_cv", "1", "coefficient of variation of the answer")
count("page_size", "tokens per page of the cache")
fraction("pool_fraction", "share of what weights and activations leave that the cache takes", above=True)
fraction("overflow", "probability of running out of pages that admission accepts", high=0.5, above=True)
count("requests_per_user", "requests of each client in a run that starts all together")
count("n_requests", "requests in a run at maximum load")
real("itl_p99", "s", "99th percentile of the time between tokens", better="less")
real("itl_at_capacity", "s", "time between tokens with every slot of the server taken", better="less")
for _part, _meaning in (
    ("ttft", "time to first token"),
    ("itl", "time between tokens"),
    ("e2e", "time from request to last token"),
):
    real(f"{_part}_at_percentile", "s", f"{_meaning} at the given percentile", better="less")
real("active_requests", "1", "requests that run at once, mean")
real("max_active_requests", "1", "requests that may run at once", better="more")
real("saturation_rate", "1/s", "requests per second at maximum load", better="more")
fraction("preemption_probability", "probability that running requests need more pages than there are", better="less")
fraction("fragmentation", "share of the pages in use that holds nothing", better="less")
fraction("contiguous_fragmentation", "share of contiguous booking that holds nothing", better="less")
real("paged_kv_size", "byte", "cache in use, all devices", better="less")
real("speedup_over_static", "1", "throughput over that of batches that wait for their longest answer", better="more")
# weight streaming
positive("injection_bandwidth", "byte/s", "bandwidth at which streamed weights enter")
count("max_parts", "devices over which resident weights may spread")
real("optimal_batch", "1", "batch that fills the pipeline or hides the injection")
real("layer_compute_time", "s", "a layer without injection and latency, mean", better="less")
real("layer_injection_time", "s", "streaming a layer in, mean", better="less")
flag("is_resident", "weights stay on the chip")
real("n_parts", "1", "devices that hold weights and cache", better="less")
real("missing_parts", "1", "devices that resident weights need beyond max_parts", better="less")
real("max_resident_batch", "1", "largest batch whose weights and cache fit max_parts devices", better="more")
option("weight_plan", "where the weights are: on the chips, or streamed", codes.WeightPlan)
# reasoning
count("reasoning_steps", "steps of reasoning", low=0)
count("tokens_per_step", "tokens of a step of reasoning", low=0)
count("samples", "independent chains per query")
count("beam_width", "partial chains kept together")
fraction("success_rate", "probability that one sample is right")
real("verifier_cost", "1", "time of scoring candidates over the time of generating them")
real("total_reasoning_time", "s", "time from query to answer", better="less")
real("generated_tokens", "1", "tokens generated per query")
real("attended_positions", "1", "positions attended to per query, summed over generated tokens")
real("kv_growth", "byte", "cache that generated tokens add, whole model", better="less")
real("max_samples", "1", "chains per query that fit beside each other", better="more")
fraction("coverage", "probability that at least one sample is right", better="more")
real("energy_per_query", "J", "energy of the devices per query", better="less")
real("usd_per_query", "USD", "price of the devices per query", better="less")
real("usd_per_success", "USD", "price per query that is covered", better="less")
# --- data ----------------------------------------------------------------------------------------------
# ingestion
real("workload_data_rate", "byte/s", "stored bytes of samples a client consumes per second")
real("samples_per_s", "1/s", "samples a client consumes per second")
positive("sample_bytes", "byte", "stored size of a sample")
count("accelerators_per_client", "accelerators that share the demand of one client")
positive("amplification", "1", "bytes after decoding and augmentation per stored byte")
positive("storage_bandwidth", "byte/s", "bandwidth of the storage one client draws from")
positive("storage_iops", "1/s", "requests per second of that storage")
positive("storage_latency", "s", "time of one read")
positive("reads_in_flight", "1", "reads outstanding at once")
positive("record_bytes", "byte", "bytes per request to storage")
positive("shared_bandwidth", "byte/s", "aggregate bandwidth of a file system that clients share")
count("clients", "clients that share the file system")
fraction("cache_hit_ratio", "share of bytes that a cache in front of storage serves")
positive("cache_bandwidth", "byte/s", "bandwidth of that cache")
count("prefetch_depth", "batches prepared ahead", low=0)
real("rate_cv", "1", "coefficient of variation of the time per batch")
real("utilization", "1", "demand over what can be served; above 1 it falls behind", better="less")
real("data_demand", "byte/s", "stored bytes consumed per second when fully fed")
real("data_supply", "byte/s", "stored bytes per second that the whole path sustains", better="more")
real("storage_supply", "byte/s", "sample bytes per second that storage sustains behind its cache", better="more")
real("shared_supply", "byte/s", "the same of the shared file system", better="more")
real("cache_supply", "byte/s", "sample bytes per second at which the cache saturates", better="more")
real("link_supply", "byte/s", "stored bytes per second that the host links carry", better="more")
real("link_utilization", "1", "demand over the bandwidth of the path", better="less")
flag("is_stalled", "demand exceeds supply")
fraction("stall_fraction", "share of time without data", better="less")
real("delivered_rate", "byte/s", "stored bytes consumed per second, stalls counted", better="more")
real("slowdown", "1", "time with the limit over time without it", low=1.0, better="less")
real("margin", "1", "supply over demand, less one", low=-1.0, better="more")
# transformation
positive("cores", "1", "processor cores for preprocessing")
real("sample_cpu_time", "s", "processor time of one sample")
positive(
    "cpu_throughput",
    "byte/s",
    "bytes one core produces per second; samples per second where no `sample_bytes` is given",
)
count("workers", "preprocessing processes that work at once")
real("transform_time", "s", "preprocessing time of one batch", better="less")
flag("is_bottleneck", "preprocessing takes longer than the step")
real("fed_step_time", "s", "step of the accelerator, waiting for its input counted", better="less")
real("cores_needed", "1", "cores at which preprocessing keeps up", better="less")
real("output_rate", "byte/s", "bytes per second that preprocessing hands on")
positive("step_time", "s", "time of one step of the accelerators", better="less")
# topology
option("topology", "shape of the network", codes.Topology)
count("n_nodes", "nodes of the network")
count("radix", "ports of a switch", low=2)
_add("tiers", "1", "most tiers of switches a tree may have", low=1, high=4, kind="count")
count("rails", "network ports of a node")
count("links_per_port", "links a port is split into")
count("side_x", "nodes along the first side of a torus")
count("side_y", "nodes along the second side of a torus")
count("side_z", "nodes along the third side of a torus")
_add("dimensions", "1", "dimensions of a torus", low=2, high=3, kind="count")
count("hosts_per_router", "endpoints of a router or leaf")
count("routers_per_group", "routers or leaves of a group")
count("global_links_per_router", "links of a router or spine to other groups")
fraction("copper_fraction", "share of links without transceivers")
real("switch_price", "USD", "price of a switch")
real("link_price", "USD", "price of a link with its transceivers")
real("switch_power", "W", "power of a switch")
real("transceiver_power", "W", "power of a transceiver")
real("effective_bw", "byte/s", "bandwidth of a node when one half talks to the other, one direction", better="more")
real("bisection_bw", "byte/s", "bandwidth between two halves, one direction", better="more")
real("injection_bw", "byte/s", "bandwidth of a node into the network, one direction", better="more")
real("allreduce_bw", "byte/s", "bus bandwidth of an all-reduce, per node", better="more")
real("alltoall_bw", "byte/s", "bytes per second a node sends in an all-to-all", better="more")
real("diameter", "1", "most hops between two nodes", better="less")
real("mean_hops", "1", "hops between two nodes, mean over pairs", better="less")
real("path_latency", "s", "time of a small message, mean over pairs", better="less")
real("worst_path_latency", "s", "time of a small message between the nodes farthest apart", better="less")
real("n_switches", "1", "switches", better="less")
real("n_links", "1", "links, all kinds", better="less")
real("host_links", "1", "links between nodes and switches", better="less")
real("local_links", "1", "links inside pods or groups, or between the nodes of a direct network", better="less")
real("global_links", "1", "links to the top tier or between groups", better="less")
real("cut_links", "1", "links between two halves, one way", better="more")
real("n_transceivers", "1", "transceivers", better="less")
real("max_nodes", "1", "nodes that the network holds at that radix", better="more")
real("network_cost", "USD", "price of switches and links", better="less")
real("network_power", "W", "power of switches and transceivers", better="less")
# --- algorithm -----------------------------------------------------------------------------------------
option("law", "scaling law", codes.Law)
real("compute_budget", "FLOP", "compute for training, and for serving when that is counted")
positive("params", "1", "parameters of the model to train")
real("served_tokens", "1", "tokens the model will serve")
positive("unique_tokens", "1", "different training tokens there are")
positive("batch_tokens", "1", "tokens per training step")
real("optimal_params", "1", "parameters of the best split of the budget")
real("optimal_tokens", "1", "training tokens of the best split")
real("optimal_loss", "1", "loss of the best split, nats per token", better="less")
real("chosen_params", "1", "parameters, fixed or best")
real("chosen_tokens", "1", "training tokens, fixed or best")
real("tokens_per_param", "1", "training tokens per parameter")
real("predicted_loss", "1", "loss after training, nats per token", better="less")
real("loss_penalty", "1", "loss above the optimum of the same training compute, nats per token", better="less")
real("compute_equivalent", "FLOP", "compute that reaches the same loss at the optimum", better="more")
real("train_flops", "FLOP", "operations of the training", better="less")
real("served_flops", "FLOP", "operations of serving", better="less")
real("total_flops", "FLOP", "operations of training and serving", better="less")
real("epochs", "1", "passes over the unique tokens")
real("effective_tokens", "1", "fresh tokens that the tokens seen are worth", better="more")
real("critical_batch", "1", "batch beyond which devices stop saving steps, tokens")
real("batch_overhead", "1", "tokens needed over those of a small batch", better="less")
real("training_steps", "1", "steps of the training", better="less")
# shared with the fleet's resolvers
fraction("mfu", "share of peak that the model's own operations use", better="more")
real("training_time", "s", "time to train on the tokens asked for", better="less")
# compression
option("method", "how a model is made smaller", codes.CompressionMethod)
option("quantizer", "how rounded weights are chosen", codes.Quantizer)
real("index_bits", "1", "bits that place a kept value of a 2:4 pattern, or tell a zero in a bitmap", high=64)
option("pruner", "how pruned weights are chosen", codes.Pruner)
real("bits", "1", "bits of a value that is kept, without scales", low=1.0)
count("group_size", "values that share a scale")
real("scale_bits", "1", "bits of a scale")
real("zero_bits", "1", "bits of a zero point")
fraction("sparsity", "share of values or parameters removed")
count("factor_rank", "rank of the factors of a matrix")
positive("student_params", "1", "parameters of a distilled model")
positive("baseline_bits", "1", "bits per weight of the dense model")
real("uncompressed_params", "1", "parameters that stay as they are")
real(
    "accuracy_delta",
    "1",
    "change of mean accuracy on multiple-choice tasks, of image networks of top-1",
    low=-1.0,
    better="more",
)
option("accuracy_basis", "whose published losses the accuracy rests on", codes.AccuracyBasis)
real("accuracy_spread", "1", "one standard deviation of it", better="less")
real("loss_delta", "1", "change of loss, nats per token", better="less")
real("compression_ratio", "1", "dense bytes over compressed bytes", better="more")
real("bits_per_value", "1", "bits per value, scales and indices included", better="less")
real("params_left", "1", "parameters of the compressed model", better="less")
real("dense_weight_memory", "byte", "weights at the baseline precision", better="less")
real("weight_memory", "byte", "weights", better="less")
real("dense_kv_memory", "byte", "KV cache at the baseline precision", better="less")
real("kv_memory", "byte", "KV cache", better="less")
_add("memory_saved", "byte", "weights and cache that compression saves", better="more")
real("prefill_speedup", "1", "prefill time, dense over compressed", better="more")
real("decode_speedup", "1", "time of a decode step, dense over compressed", better="more")
real("prefill_time", "s", "time of the prefill", better="less")
real("decode_time", "s", "time of a decode step", better="less")
# --- fleet ---------------------------------------------------------------------------------------------
count("n_accelerators", "accelerators used", better="less")
count("tp", "degree of tensor parallelism")
count("pp", "degree of pipeline parallelism")
count("dp", "degree of data parallelism")
count("cp", "degree of context parallelism")
count("ep", "degree of expert parallelism")
count("global_batch", "sequences per step")
count("micro_batch", "sequences per micro-batch")
count("batch_size", "sequences or samples in flight")
count("seq_len", "sequence length, tokens")
count("output_len", "generated tokens per request")
count("virtual_stages", "pipeline chunks per device")
count("zero_stage", "ZeRO stage 0..3; 3 is FSDP", low=0, high=3)
flag("sequence_parallel", "norms and dropout are split over the tensor-parallel group")
count("expert_tp", "degree of tensor parallelism inside an expert")
count("shard_size", "data-parallel devices that share one copy of sharded states")
flag("optimizer_offload", "optimizer states live and are updated in host memory")
option("collective", "algorithm of reductions and gathers", codes.Collective)
# one collective
option("collective_kind", "what a group of devices does with a tensor", codes.CollectiveKind)
positive("message_size", "byte", "tensor of one collective: what each device gets, reduces or sends in all")
count("rank_stride", "how many devices apart the members of a group are")
positive("flops_beside", "FLOP", "operations of one device that run beside a collective")
real("collective_time", "s", "time of one collective", better="less")
real("collective_latency", "s", "time of the collective for a message of no bytes", better="less")
real("bus_bandwidth", "byte/s", "bytes that cross each device's links in the collective over its time", better="more")
real("peak_bus_bandwidth", "byte/s", "bus bandwidth of a very large message", better="more")
real("algorithm_bandwidth", "byte/s", "size of the tensor over the time of its collective", better="more")
real("half_size", "byte", "message at which steps and bytes take as long: half of the peak bandwidth", better="less")
real(
    "network_ridge_point",
    "FLOP/byte",
    "operations per byte of a very large message that last as long as its collective",
)
real("break_even_intensity", "FLOP/byte", "operations per byte of this message that last as long as its collective")
real("network_intensity", "FLOP/byte", "operations that run beside the collective per byte of its message")
real("flops_time", "s", "time at peak of the operations that run beside the collective", better="less")
real("exposed_time", "s", "time by which the collective outlasts the operations beside it", better="less")
# training
real("compute_time", "s", "computation of a step on the slowest stage", better="less")
real("bubble_time", "s", "pipeline idle time of a step", better="less")
for _group, _meaning in (
    ("tp", "tensor-parallel"),
    ("pp", "pipeline"),
    ("dp", "data-parallel"),
    ("cp", "context-parallel"),
    ("ep", "expert-parallel"),
):
    real(f"{_group}_time", "s", f"{_meaning} communication of a step that nothing hides", better="less")
real("optimizer_time", "s", "update of the weights", better="less")
real("overhead_time", "s", "host, activation transfers and stragglers in a step", better="less")
real("exposed_communication", "s", "communication of a step that nothing hides", better="less")
real("communication_time", "s", "communication of a step, hidden or not, on the slowest stage", better="less")
fraction("communication_fraction", "exposed communication over step time", better="less")
fraction("bubble_fraction", "pipeline idle time over step time", better="less")
real("hfu", "1", "share of peak that all operations use, recomputation included", better="more")
real(
    "scaling_efficiency",
    "1",
    "throughput per device over that of one device of unlimited memory that computes alone",
    better="more",
)
real("memory_allocated", "byte", "memory that tensors hold on the fullest device", better="less")
real("memory_weights", "byte", "weights, on the fullest device", better="less")
real("memory_cache", "byte", "cache and logits of all sequences, on the fullest device", better="less")
real("memory_gradients", "byte", "gradients, on the fullest device", better="less")
real("memory_optimizer", "byte", "optimizer states, on the fullest device", better="less")
real("memory_activations", "byte", "activations and logits, on the fullest device", better="less")
real("memory_other", "byte", "gathered weights, context, buffers and slack, on the fullest device", better="less")
real("n_microbatches", "1", "micro-batches per step and data-parallel rank")
real("model_flops", "FLOP", "operations of the model per step, without recomputation")
real("training_tokens", "1", "tokens trained on within the duration", better="more")
real("tokens", "1", "tokens to train on")
real("duration", "s", "length of the run", takes=("completion_time", "training_time"))
# --- operations ----------------------------------------------------------------------------------------
real("tco", "USD", "total cost of ownership over the run", better="less")
real("energy", "J", "energy of the facility", better="less")
real("carbon", "kg", "carbon, operational and embodied", better="less")
real("water", "L", "water, on site and off site", better="less")
# EconomicsModel, SustainabilityModel
fraction("compute_utilization", "busy share of the arithmetic units while the run holds the device")
fraction("memory_activity", "share of the memory bandwidth in use while the run holds the device")
fraction("cluster_utilization", "devices in use over devices held, on average")
option("procurement", "how the accelerators are paid for", codes.Procurement)
option("price_basis", "price the capital starts from: the device or the whole node", codes.PriceBasis)
real("budget", "USD", "what the run may cost")
real("purchase_cost", "USD", "price of the hardware the run occupies; 0 where it is rented", better="less")
real("capex", "USD", "capital cost that falls on the run", better="less")
real("electricity_cost", "USD", "electricity of the run", better="less")
real("maintenance_cost", "USD", "repair and support during the run", better="less")
real("staff_cost", "USD", "operating staff during the run", better="less")
real("opex", "USD", "operating cost of the run: electricity, maintenance, staff, or the rent", better="less")
real("rent_cost", "USD", "what renting the same devices would cost", better="less")
real("capex_per_device_time", "USD/s", "capital cost of a device in use", better="less")
real("cost_per_device_time", "USD/s", "total cost of a device in use", better="less")
real("break_even_duration", "s", "time of holding after which buying has cost less than renting", better="less")
real(
    "break_even_utilization",
    "1",
    "share of use above which owning costs less than renting (above 1: never)",
    better="less",
)
fraction("clean_energy_share", "share of the energy covered by carbon-free contracts")
positive("average_power", "W", "power that the facility draws on average", better="less")
real("it_energy", "J", "energy of accelerators, hosts and network", better="less")
real("carbon_operational", "kg", "carbon of the electricity at the grid's intensity", better="less")
real("carbon_operational_market", "kg", "the same after carbon-free contracts", better="less")
real("carbon_embodied", "kg", "share of the carbon of making the hardware", better="less")
real("water_onsite", "L", "water evaporated on site", better="less")
real("water_offsite", "L", "water consumed in generation", better="less")
real("carbon_per_mtok", "kg", "carbon of a million tokens", better="less")
# TailLatencyModel, OrchestrationModel
real("arrival_rate", "1/s", "requests or jobs that arrive per second", takes=("request_rate",))
positive("service_latency", "s", "mean service time of one request on one replica", takes=("e2e_latency", "latency"))
count("replicas", "servers that share the requests")
real("arrival_cv", "1", "coefficient of variation of the time between arrivals: 1 Poisson, 0 regular")
real("service_cv", "1", "coefficient of variation of the service time: 1 exponential, 0 constant")
fraction("percentile", "share of requests that a percentile covers (0.99: the 99th)", high=1.0 - 1e-12)
count("fan_out", "leaves that each request asks; the slowest decides")
positive("hedge_after", "s", "time after which a request is sent a second time")
positive("latency_target", "s", "response time that the percentile must keep")
option("routing", "one queue for all servers, or one each", codes.Routing)
for _pool, _meaning in (("", "that prefills"), ("decode_", "that decodes")):
    option(
        f"{_pool}group_routing",
        f"one queue for all attention groups of a replica {_meaning}, or one each",
        codes.Routing,
    )
real("avg_duration", "s", "mean duration of a job", takes=("completion_time", "training_time"))
real("duration_cv", "1", "coefficient of variation of the duration of jobs: 1 exponential, 0 constant")
positive("devices_per_job", "1", "accelerators that a job holds, on average")
real("size_cv", "1", "coefficient of variation of the accelerators per job")
fraction("backfill", "share of the holes that the scheduler fills with later jobs")
fraction("priority_share", "share of the jobs that go first")
flag("preemptive", "jobs with priority interrupt the others")
real("preemption_overhead", "s", "work lost and redone by an interrupted job")
count("job_slots", "mean-sized jobs that run at the same time", low=0, better="more")
fraction("cluster_fragmentation", "devices that no waiting job can use, when jobs wait", better="less")
real("high_priority_wait_time", "s", "mean wait of jobs with priority", better="less")
real("low_priority_wait_time", "s", "mean wait of the others", better="less")
real("queue_utilization", "1", "offered load per server; above 1 the queue grows for ever", better="less")
fraction("wait_probability", "share of arrivals that wait", better="less")
real("avg_wait_time", "s", "mean time before service", better="less")
for _p, _meaning in (
    ("p50", "50"),
    ("p90", "90"),
    ("p95", "95"),
    ("p99", "99"),
    ("p999", "99.9"),
    ("at_percentile", "the given"),
):
    real(f"wait_{_p}", "s", f"wait that {_meaning} % of arrivals keep", better="less")
    real(f"response_{_p}", "s", f"wait and service that {_meaning} % of requests keep", better="less")
real("avg_response_time", "s", "mean of wait and service, of the slowest leaf", better="less")
real("queue_length", "1", "requests or jobs waiting, on average", better="less")
real("hedged_share", "1", "requests sent twice over all requests", better="less")
fraction("sla_attainment", "share of requests within the latency target", better="more")
flag("stable", "does the queue empty again")
# ReliabilityModel, CheckpointModel
real("job_duration", "s", "length of the job if nothing failed and nothing was saved", takes=("training_time",))
real("checkpoint_blocking_time", "s", "time that a checkpoint stops the job", better="less")
real("checkpoint_write_time", "s", "time until a checkpoint is safe", better="less")
real("restore_time", "s", "time to read a checkpoint back", better="less")
real("restart_time", "s", "time from a failure to full speed, reading the checkpoint included")
real("checkpoint_interval", "s", "work between two checkpoints", takes=("effective_interval",))
count("spare_nodes", "nodes kept for failures", low=0)
real("mtbf", "s", "mean time between failures of the whole job", better="more")
real("mtbf_low", "s", "the same at the 10 % of sites that fail most", better="more")
real("mtbf_high", "s", "the same at the 10 % of sites that fail least", better="more")
fraction("failure_probability", "chance of at least one failure during the job", better="less")
real("expected_failures", "1", "failures until the job is done", better="less")
for _part, _meaning in (
    ("gpu", "accelerators without memory"),
    ("hbm", "accelerator memory"),
    ("network", "adapters, switches and cables"),
    ("host", "hosts and power supplies"),
    ("software", "software"),
):
    real(f"expected_{_part}_failures", "1", f"of these, {_meaning}", better="less")
real("young_interval", "s", "work between checkpoints, Young's first order")
real("optimal_interval", "s", "work between checkpoints, Daly's higher order")
real("exact_interval", "s", "work between checkpoints that maximises goodput")
real("effective_interval", "s", "work between checkpoints that is used")
fraction("goodput", "share of the time that is useful work", better="more")
fraction("checkpoint_share", "share of the time in which checkpoints stop the job", better="less")
fraction("rework_share", "share of the time in which lost work is done again", better="less")
fraction("restart_share", "share of the time between a failure and full speed", better="less")
real("spare_wait", "s", "mean wait for a working node at a failure", better="less")
real("completion_time", "s", "expected length of the job with failures and checkpoints", better="less")
option("optimizer", "what training keeps per parameter besides the weight", codes.Optimizer)
flag("asynchronous", "a checkpoint is copied to host memory and written while training goes on")
flag("sharded", "every node writes its part; otherwise one node writes all")
count("writers", "nodes that write a checkpoint at the same time")
real("checkpoint_size", "byte", "a checkpoint", better="less")
real("checkpoint_weights", "byte", "of this, weights as they compute", better="less")
real("checkpoint_master_weights", "byte", "of this, fp32 copy of the weights", better="less")
real("checkpoint_moments", "byte", "of this, moments of the optimizer", better="less")
positive("write_bandwidth", "byte/s", "rate at which a checkpoint is written", better="more")
real("required_bandwidth", "byte/s", "rate that keeps up with the interval", better="less")
real("snapshot_memory", "byte", "host memory per node that an asynchronous checkpoint fills", better="less")
option("energy_basis", "what the power of a device between idle and its limit follows", codes.EnergyBasis)
option("penalty_basis", "what the time of a checkpoint is held against", codes.PenaltyBasis)
real("mfu_penalty", "1", "time in which checkpoints stop the job, over all time (or over the interval)", better="less")
# ResponsibleEngineeringModel
real("base_training_time", "s", "training time without privacy", takes=("training_time", "completion_time"))
real("epsilon", "1", "privacy loss that is allowed")
positive("delta", "1", "probability outside the privacy guarantee; well below one over the samples", high=1.0)
count("dataset_size", "samples of the data set")
real("noise_multiplier", "1", "standard deviation of the noise over the clipping norm", better="less")
option("clipping", "how per-sample gradient norms are found", codes.Clipping)
option("conversion", "from Renyi divergence to epsilon", codes.Conversion)
flag("fractional_orders", "the accountant also tries orders between whole numbers")
fraction("subgroup_share", "share of the samples that a subgroup has")
positive(
    "dp_slowdown",
    "1",
    "training time with privacy over without, on a batch that keeps the noise tolerable",
    better="less",
)
positive(
    "dp_step_slowdown",
    "1",
    "time of a step with clipped per-sample gradients over a plain one, on equal batches",
    better="less",
)
positive(
    "batch_growth",
    "1",
    "batch that keeps the noise tolerable over the batch without privacy; at least 1",
    better="less",
)
real("dp_training_time", "s", "training time with privacy", better="less")
real("dp_memory_overhead", "byte", "memory of the per-sample gradients of a micro-batch", better="less")
real("epsilon_spent", "1", "privacy loss of the training", better="less")
fraction("sampling_rate", "chance that a sample is in a batch")
real("noise_to_signal", "1", "length of the noise over the longest clipped mean gradient", better="less")
real("equal_utility_batch", "1", "batch at which the noise is down to what is tolerated", better="less")
real("equal_utility_dataset", "1", "samples that such a batch needs at the same privacy", better="less")
real(
    "subgroup_data_factor",
    "1",
    "times the data must grow for the subgroup to have as many samples as all have now",
    better="less",
)
# --- analysis ------------------------------------------------------------------------------------------
positive("perturbation", "1", "relative change of an input, both ways", high=10.0)
_add("sensitivities", "1", "elasticity: relative change of the output per relative change of the input")
_add("sensitivities_up", "1", "the same just above the point")
_add("sensitivities_down", "1", "the same just below the point")
flag("kink", "what binds changes within the perturbation: the sides differ")
real(
    "gain",
    "1",
    "relative improvement of the output per relative change of the input in its good direction",
    better="more",
)
count("rank", "place by gain, 1 is the largest")
real("value_per_dollar", "1/USD", "relative improvement of the output per dollar spent on the input", better="more")
_add("first_order", "1", "share of the variance that the input explains alone (Sobol)")
_add("total_order", "1", "share of the variance that the input has part in (Sobol)")
_add("binding_constraint", "1", "input with the largest gain; none where no input helps alone")
_add("best_buy", "1", "input with the largest value per dollar")
flag("found", "is there a configuration that works")
_add("device", "1", "device of the zoo that meets the targets")
real("device_price", "USD", "price of that device, where known", better="less")
_add("nearest_device", "1", "device of the zoo that misses the targets by least, where none meets them")
_add("nearest_limit", "1", "what stops that device: a limit, or the target that it misses first")
real("nearest_excess", "1", "what that device needs over what it may", better="less")
_add("binding_target", "1", "target that fails first beyond the answer")
option("side", "on which side of the answer the targets hold", codes.Region)
positive("required_bw", "byte/s", "memory bandwidth that the targets need", better="less")
positive("required_flops", "FLOP/s", "peak rate that the targets need", better="less")
positive("required_capacity", "byte", "memory capacity that the targets need", better="less")
real("carbon_price", "USD/kg", "price put on carbon")
for _part, _meaning in (
    ("ttft", "time to first token"),
    ("itl", "time between tokens"),
    ("e2e_latency", "time from request to last token"),
):
    positive(f"target_{_part}", "s", f"{_meaning} that must be kept")
option("batch_limit", "why the batch is no larger: a target, memory, or nothing to gain", codes.Limit)
real("hourly_carbon", "kg/J", "carbon per electric energy, hour by hour")
real("total_cost", "USD", "total cost of ownership with the carbon at its price", better="less")

# --- Assumptions: declared with their defaults and sources ----------------------------------------------
for _assumption, _default in Assumptions._field_defaults.items():
    _add(
        _assumption,
        _default.unit,
        _default.meaning,
        low=_default.low,
        high=_default.high,
        above=_default.above,
        kind=_default.kind,
    )
