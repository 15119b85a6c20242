"""What others call inputs and outputs: the words of engines, trainers, load generators and papers.

A call takes the names of the guide alone, so that a name means one thing; a hint knows these words, and so does a table of
runs (see `mlsysim.calibration.words`).
"""

from __future__ import annotations

import functools

#: lengths of a prompt, and of any sequence
PROMPTS = (
    "isl input_length input_tokens prompt_len prompt_length prompt_tokens random_input_len input_sequence_length "
    "avg_input_length mean_input_tokens"
)
SEQUENCES = "sequence_length seq_length seqlen context_length max_seq_len max_seq_length encoder_seq_length"
#: a number of clients, each with a request at a time
CLIENTS = (
    "max_concurrency concurrency num_concurrent num_concurrency concurrent_requests num_users users n_users clients "
    "num_clients"
)
#: tokens/s
RATES = "tokens_per_s tokens_per_sec tokens_per_second tok_per_s tok_per_sec tokens_s tokens_sec tok_s tok_sec tps"
#: name -> what else it is called, the plainest first
CALLED: dict[str, str] = {
    "hardware": "gpu gpu_type gpu_name gpu_model device device_name accelerator chip",
    "n_accelerators": "n_gpus gpus num_gpus n_gpu ngpus ngpu gpu_count n_devices num_devices devices world_size number_of_gpus "
    "no_of_gpus",
    "model": "model_id model_name served_model_name model_path",
    "tp": "tensor_parallel_size tensor_parallel tp_size tensor_model_parallel_size tensor_parallelism tp_degree",
    "pp": "pipeline_parallel_size pipeline_parallel pp_size pipeline_model_parallel_size pipeline_parallelism pp_degree",
    "ep": "expert_parallel_size expert_parallel ep_size moe_ep_size expert_model_parallel_size expert_parallelism",
    "dp": "data_parallel_size data_parallel dp_size data_parallelism",
    "cp": "context_parallel_size context_parallel cp_size context_parallelism",
    "precision": "dtype data_type number_format",
    "kv_precision": "kv_cache_dtype kv_dtype cache_dtype",
    "seq_len": f"{PROMPTS} input_len {SEQUENCES}",
    "output_len": "osl output_length output_tokens gen_len generated_tokens new_tokens random_output_len output_sequence_length "
    "avg_output_length mean_output_tokens max_new_tokens",
    "batch_size": f"batch bs {CLIENTS}",
    "users": CLIENTS,
    "n_requests": "num_prompts request_count num_requests",
    "arrival_rate": "request_rate qps rps requests_per_second requests_per_s",
    "max_batch": "max_num_seqs max_running_requests max_batch_size",
    "prefill_chunk": "max_num_batched_tokens chunked_prefill_size max_num_tokens",
    "memory_fraction": "gpu_memory_utilization mem_fraction_static",
    "cached_prefix": "prefix_cache_hit prefix_len",
    "replicas": "num_replicas n_replicas instances",
    "global_batch": "gbs global_batch_size total_batch_size global_bs",
    "micro_batch": "mbs micro_batch_size local_batch_size per_device_train_batch_size per_device_batch_size micro_bs",
    "virtual_stages": "vpp virtual_pipeline_model_parallel_size interleave_v",
    "zero_stage": "zero",
    "recompute": "recompute_granularity activation_checkpointing gradient_checkpointing",
    "tokens": "n_tokens num_tokens train_tokens training_tokens",
    "params": "n_params parameters num_params num_parameters n_parameters",
    "peak_flops": "flops tflops peak_tflops tflops_per_s",
    "mem_bandwidth": "memory_bandwidth hbm_bandwidth dram_bandwidth bandwidth",
    "mem_capacity": "memory memory_size memory_capacity vram hbm gpu_memory",
    "tdp": "power gpu_power",
    "hourly_price": "price_per_hour gpu_price hourly_cost cost_per_hour",
    "region": "location country grid",
    "carbon_intensity": "co2_intensity grid_intensity",
    "ttft": "mean_ttft avg_ttft ttft_mean ttft_avg average_ttft time_to_first_token mean_time_to_first_token",
    "itl": "tpot mean_tpot avg_tpot tpot_mean tpot_avg time_per_output_token mean_time_per_output_token mean_itl avg_itl "
    "itl_mean itl_avg inter_token_latency mean_inter_token_latency",
    "step_time": "iteration_time time_per_step time_per_iteration elapsed_time_per_iteration train_step_time train_step_timing "
    "time_step step_duration iter_time mean_step_time avg_step_time",
    "tokens_per_s": f"output_throughput output_token_throughput {RATES} throughput",
    "mfu": "model_flops_utilization model_flop_utilization",
    "hfu": "hardware_flops_utilization",
    "memory_per_device": "memory peak_memory max_memory mem peak_mem memory_per_gpu peak_memory_per_gpu max_memory_allocated "
    "max_memory_reserved",
    "e2e_latency": "e2el request_latency end_to_end_latency",
    "tco": "cost total_cost",
    "energy": "energy_consumption power_consumption",
    "carbon": "co2 co2e emissions carbon_emissions",
}


@functools.cache
def _names() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, words in CALLED.items():
        for word in words.split():
            found[word] = (*found.get(word, ()), name)
    return found


def meant(word: str) -> tuple[str, ...]:
    """Names for which a word stands, in any case and with dashes.

    >>> meant("ISL"), meant("--tensor-parallel-size"), meant("seq_len")
    (('seq_len',), ('tp',), ())
    """
    return _names().get(word.strip().lower().lstrip("-").replace("-", "_"), ())
