"""Measures the GPU of this machine: `python benchmarks/measure.py --out DIR [--hardware h100]`.

Writes ``DIR/serving.csv`` and ``DIR/training.csv`` in the form that ``mlsysim validate`` and ``mlsysim calibrate`` read, so
that the assumptions of one's own machine come from a few minutes on it.  Needs PyTorch (which the package does not): decoders
of the registry's shapes with random weights in bf16, layers compiled, attention by PyTorch's fused kernels.  Prompts and
single tokens run as captured graphs, the latter with scores as batched products over a contiguous cache; training takes
steps of AdamW with everything in bf16.  Medians of repeated runs; a size that does not fit is left out and named.
"""

from __future__ import annotations

import argparse
import csv
import gc
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mlsysim import zoo

GIB = 2.0**30
REPEATS, WARM = 10, 3
SERVED = ("llama3_1_8b", "llama2_13b")
PROMPTS = (128, 256, 512, 1024, 2048, 4096, 8192)
#: context, batch
TOKENS = ((1024, 1), (1024, 4), (1024, 16), (1024, 32), (1024, 64), (1024, 128), (8192, 1), (8192, 4), (8192, 16))
#: model, sequence, micro-batch, recomputation
TRAINED = (
    ("llama3_2_1b", 2048, 4, "none"),
    ("llama3_2_1b", 2048, 8, "none"),
    ("llama3_2_1b", 8192, 2, "none"),
    ("llama3_2_1b", 4096, 8, "full"),
    ("llama3_2_3b", 2048, 2, "none"),
    ("llama3_2_3b", 4096, 2, "none"),
    ("llama3_2_3b", 4096, 4, "full"),
    ("llama3_1_8b", 2048, 1, "full"),
    ("llama3_1_8b", 4096, 1, "full"),
)
#: what these runs do differently from a usual trainer and a server: columns of their tables
TRAINER = {
    "sequence_parallel": 0,
    "fused_accumulation": 0,
    "training_logit_bytes": 16,
    "gradient_bytes": 2,
    "gradients_resident": 0,
    "gradient_reduce_bytes": 2,
    "optimizer_bytes": 4,
    "checkpoint_early_stop": 1,
    "planned_memory": 1,
}
SERVER = {
    "page_size": 1,
    "prefill_chunk": 1000000,
    "memory_fraction": 1,
    "host_step_time": 0,
    "host_sequence_time": 0,
    "eager_kernel_time": 0,
    "frontend_time": 0,
    "frontend_token_time": 0,
    "frontend_client_time": 0,
}


class Layer(nn.Module):
    """A Llama layer: root-mean-square norm, grouped heads, rotary embedding, gated feed-forward network."""

    def __init__(self, hidden: int, heads: int, shared: int, width: int, ffn: int):
        super().__init__()
        self.heads, self.shared, self.width = heads, shared, width
        self.before, self.after = nn.RMSNorm(hidden), nn.RMSNorm(hidden)
        self.qkv = nn.Linear(hidden, (heads + 2 * shared) * width, bias=False)
        self.out = nn.Linear(heads * width, hidden, bias=False)
        self.gate_up, self.down = nn.Linear(hidden, 2 * ffn, bias=False), nn.Linear(ffn, hidden, bias=False)

    def heads_of(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        batch, length, _ = x.shape
        qkv = self.qkv(self.before(x)).view(batch, length, self.heads + 2 * self.shared, self.width).transpose(1, 2)
        q, k, v = qkv.split((self.heads, self.shared, self.shared), dim=1)
        return turned(q, cos, sin), turned(k, cos, sin), v

    def rest(self, x: Tensor, attended: Tensor) -> Tensor:
        x = x + self.out(attended)
        gate, up = self.gate_up(self.after(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q, k, v = self.heads_of(x, cos, sin)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.rest(x, attended.transpose(1, 2).flatten(2))

    def decode(self, x: Tensor, cos: Tensor, sin: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """One token of every sequence; its key and value take the last place of the cache."""
        batch = x.shape[0]
        q, k, v = self.heads_of(x, cos, sin)
        keys[:, :, -1:], values[:, :, -1:] = k, v
        q = q.view(batch, self.shared, self.heads // self.shared, self.width)
        scores = (q @ keys.transpose(-1, -2)) * self.width**-0.5
        return self.rest(x, (torch.softmax(scores, dim=-1) @ values).view(batch, 1, -1))


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class Decoder(nn.Module):
    """A decoder of a registry row's shape."""

    def __init__(self, name: str):
        super().__init__()
        row = zoo.model(name)
        hidden, vocab, self.n_layers = int(row["hidden"]), int(row["vocab"]), int(row["n_layers"])
        self.shared, self.width = int(row["n_kv_heads"]), int(row["head_dim"])
        self.embedding = nn.Embedding(vocab, hidden)
        shape = (hidden, int(row["n_heads"]), self.shared, self.width, int(row["ffn_hidden"]))
        self.layers = nn.ModuleList(Layer(*shape) for _ in range(self.n_layers))
        self.norm, self.head = nn.RMSNorm(hidden), nn.Linear(hidden, vocab, bias=False)
        if row["tied_embeddings"]:
            self.head.weight = self.embedding.weight
        self.vocab, self.recompute = vocab, False

    def angles(self, length: int, device: str) -> tuple[Tensor, Tensor]:
        step = torch.arange(0, self.width, 2, device=device, dtype=torch.float32)
        angle = torch.outer(torch.arange(length, device=device, dtype=torch.float32), 5e5 ** (-step / self.width))
        return angle.cos().bfloat16(), angle.sin().bfloat16()

    def forward(self, tokens: Tensor, last_only: bool = False) -> Tensor:
        x = self.embedding(tokens)
        cos, sin = self.angles(tokens.shape[1], str(tokens.device))
        for layer in self.layers:
            x = checkpoint(layer, x, cos, sin, use_reentrant=False) if self.recompute else layer(x, cos, sin)
        return self.head(self.norm(x[:, -1:] if last_only else x))

    def decode(self, tokens: Tensor, cache: list[tuple[Tensor, Tensor]], angles: tuple[Tensor, Tensor]) -> Tensor:
        x = self.embedding(tokens)
        for layer, (keys, values) in zip(self.layers, cache):
            x = layer.decode(x, *angles, keys, values)
        return self.head(self.norm(x)).argmax(-1)


def built(name: str, device: str) -> Decoder:
    """A model on a device that nothing else is on any more."""
    torch.compiler.reset()
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    with torch.device(device):
        torch.set_default_dtype(torch.bfloat16)
        model = Decoder(name)
    return model


def captured(work: Callable[[], Any]) -> Callable[[], Any]:
    """The work as one captured graph."""
    for _ in range(WARM):
        work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def seconds(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Median time of the work."""
    found = []
    for _ in range(repeats + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        found.append(time.perf_counter() - start)
    return statistics.median(found[1:])


def fitting(what: str, measure: Callable[[], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What was measured; nothing where memory did not suffice."""
    try:
        found = measure()
    except torch.cuda.OutOfMemoryError:
        print(f"{what}: does not fit", file=sys.stderr)
        return
    finally:
        torch.cuda.empty_cache()
    print(
        what,
        {k: v for k, v in found.items() if k.startswith(("ttft", "itl", "measured", "allocated"))},
        file=sys.stderr,
        flush=True,
    )
    yield found


def served(name: str, device: str) -> Iterator[dict[str, Any]]:
    """First tokens of prompts, and times between tokens of batches."""
    model = built(name, device).eval().requires_grad_(False)
    for layer in model.layers:
        layer.forward = torch.compile(layer.forward, dynamic=True)  # type: ignore[method-assign]
        layer.decode = torch.compile(layer.decode, dynamic=True)  # type: ignore[method-assign]
    about = {"engine": "PyTorch graphs", "model": name, "tp": 1, "precision": "bf16", "suspect": 0} | SERVER

    def prompt(length: int) -> dict[str, Any]:
        tokens = torch.randint(model.vocab, (1, length), device=device)
        first = seconds(captured(lambda: model(tokens, last_only=True)))
        return about | {
            "scenario": "first_token",
            "batch_or_concurrency": 1,
            "input_len": length,
            "output_len": 1,
            "ttft_ms": round(1e3 * first, 3),
        }

    def token(context: int, batch: int) -> dict[str, Any]:
        cos, sin = model.angles(context, device)
        shape = (batch, model.shared, context, model.width)
        cache = [(torch.zeros(shape, device=device), torch.zeros(shape, device=device)) for _ in range(model.n_layers)]
        tokens = torch.randint(model.vocab, (batch, 1), device=device)
        between = seconds(captured(lambda: model.decode(tokens, cache, (cos[-1:], sin[-1:]))))
        return about | {
            "scenario": "decode_only",
            "batch_or_concurrency": batch,
            "input_len": context,
            "output_len": 1,
            "itl_ms": round(1e3 * between, 3),
        }

    with torch.inference_mode():
        for length in PROMPTS:
            yield from fitting(f"{name}, prompt of {length}", partial(prompt, length))
        for context, batch in TOKENS:
            yield from fitting(f"{name}, {batch} tokens after {context}", partial(token, context, batch))


def trained(name: str, length: int, batch: int, recompute: str, device: str) -> Iterator[dict[str, Any]]:
    """Time of a step, and memory reserved."""

    def measure() -> dict[str, Any]:
        model = built(name, device)
        model.recompute = recompute == "full"
        for layer in model.layers:
            layer.forward = torch.compile(layer.forward, dynamic=False)  # type: ignore[method-assign]
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
        tokens = torch.randint(model.vocab, (batch, length + 1), device=device)

        def step() -> None:
            logits = model(tokens[:, :-1]).flatten(0, 1).float()
            F.cross_entropy(logits, tokens[:, 1:].flatten()).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        for _ in range(WARM):
            step()
        took = seconds(step, 5)
        reserved, allocated = torch.cuda.max_memory_reserved(), torch.cuda.max_memory_allocated()
        return {
            "framework": "torch_compile",
            "model": name,
            "model_key": name,
            "n_gpus": 1,
            "seq_len": length,
            "global_batch": batch,
            "micro_batch": batch,
            "tp": 1,
            "pp": 1,
            "dp": 1,
            "zero_stage": 0,
            "recompute": recompute,
            "precision": "bf16",
            "suspect": 0,
            "measured_step_time_s": round(took, 5),
            "measured_mem_gb": round(reserved / GIB, 2),
            "allocated_gib": round(allocated / GIB, 2),
        } | TRAINER

    yield from fitting(f"{name}, {batch} x {length}, recomputation {recompute}", measure)


def save(path: Path, rows: list[dict[str, Any]], **about: str) -> None:
    rows = [about | row for row in rows]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(k for row in rows for k in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{path}: {len(rows)} rows")


def recognised(name: str, memory: float) -> str | None:
    """The device of the registry that the driver's name means: by the longest start of it, with its memory."""
    words = name.removeprefix("NVIDIA ").replace("-", " ").split()
    for count in range(len(words), 0, -1):
        try:
            row = zoo.hardware(" ".join(words[:count]))
        except ValueError:
            continue
        plain = not any(word in name for word in ("PCIe", "NVL")) or count == len(words)
        return row.key if plain and abs(memory / row["mem_capacity"] - 1.0) < 0.1 else None
    return None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the two files")
    parser.add_argument(
        "--hardware", help="name of the device in the registry, where the driver's name does not tell it"
    )
    parser.add_argument("--only", choices=["serving", "training"], help="one of the two files")
    asked = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("no GPU that PyTorch can use", file=sys.stderr)
        return 1
    device, name = "cuda", torch.cuda.get_device_name()
    hardware = asked.hardware or recognised(name, torch.cuda.get_device_properties(0).total_memory)
    if hardware is None:
        parser.error(f"the registry knows no {name} for certain: name it with --hardware (see `mlsysim zoo hardware`)")
    hardware = zoo.hardware(hardware).key
    asked.out.mkdir(parents=True, exist_ok=True)
    source = f"benchmarks/measure.py, PyTorch {torch.__version__}, {name}"
    if asked.only != "training":
        rows = [row for model in SERVED for row in served(model, device)]
        save(asked.out / "serving.csv", rows, source=source, hardware=hardware)
    if asked.only != "serving":
        rows = [row for case in TRAINED for row in trained(*case, device)]
        save(asked.out / "training.csv", rows, source_id=f"measure.py {hardware}", source=source, hardware=hardware)
    return 0


if __name__ == "__main__":
    sys.exit(main())
