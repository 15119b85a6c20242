"""``mlsysim calibrate --template``: a table to fill in, and what its columns mean."""

from __future__ import annotations

import csv
import io

#: kind -> (column, what it means, the example's cell)
TEMPLATES = {
    "serving": (
        ("source", "who measured, in any words; runs of one source share a level", "mine"),
        ("engine", "name and version of the server", "vLLM 0.12"),
        ("model", "name of the model; a Hugging Face name is one, too", "llama3_1_8b"),
        ("hardware", "name of the device, as nvidia-smi prints it or short", "h100"),
        ("n_gpus", "devices of one server", "1"),
        ("tp", "of them, how many share every product", "1"),
        ("precision", "format of the products: bf16, fp8, nvfp4, int4 ...", "bf16"),
        (
            "scenario",
            "closed_loop (clients), static_batch, max_load, first_token, prefill_only, decode_only",
            "closed_loop",
        ),
        ("batch_or_concurrency", "clients, each with a request at a time, or the batch", "64"),
        ("input_len", "prompt tokens", "1024"),
        ("output_len", "generated tokens", "256"),
        ("ttft_ms", "mean time to the first token, ms", "210"),
        ("itl_ms", "mean time between tokens, ms", "16.8"),
        ("tokens_per_s_total", "output tokens/s of the server (or tokens_per_s_per_gpu: of one device)", "3600"),
    ),
    "training": (
        ("source", "who measured, in any words; runs of one source share a level", "mine"),
        ("framework", "name of the trainer, and the year", "megatron_lm 2025"),
        ("model_key", "name of the model; n_layers, hidden, n_experts ... beside it go before its row", "llama3_1_70b"),
        ("hardware", "name of the device, as nvidia-smi prints it or short", "h100"),
        ("n_gpus", "every device of the run", "512"),
        ("seq_len", "tokens of a sequence", "8192"),
        ("global_batch", "sequences of a step, of all devices (in tokens: head it global_batch_tokens)", "512"),
        ("micro_batch", "sequences of a micro-batch", "1"),
        ("tp", "tensor parallelism", "8"),
        ("pp", "pipeline stages", "4"),
        ("dp", "replicas", "16"),
        ("zero_stage", "what is sharded over replicas: 0 to 3", "1"),
        ("recompute", "none, selective or full", "selective"),
        ("precision", "format of the products: bf16, fp8 ...", "bf16"),
        (
            "measured_step_time_s",
            "seconds of a step (or measured_tokens_per_s_per_gpu, measured_tflops_per_gpu, measured_mfu)",
            "8.4",
        ),
        ("measured_mem_gb", "GiB of one device at most", "37"),
    ),
}


def table(kind: str) -> str:
    """Headings and an example row."""
    if kind not in TEMPLATES:
        raise ValueError(f"--template {kind}: allowed are {', '.join(TEMPLATES)}")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column for column, _, _ in TEMPLATES[kind]])
    writer.writerow([cell for _, _, cell in TEMPLATES[kind]])
    return out.getvalue()


def meanings() -> str:
    """What every column means, for a help text."""
    parts = []
    for kind, columns in TEMPLATES.items():
        width = max(len(column) for column, _, _ in columns)
        lines = [f"  {column:<{width}}  {meaning}" for column, meaning, _ in columns]
        parts.append("\n".join(["\b", f"Columns of {kind} runs:", *lines]))
    return "\n\n".join(parts)
