"""Models whose layers are not all alike: what they hold, keep and cost, in every resolver that answers for them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import mlsysim as ms
from mlsysim import zoo
from mlsysim.equations import architecture, mixers, sharding
from mlsysim.schema.codes import Limit

with (Path(__file__).parent / "published_params.csv").open() as file:
    FILES = {line["hf_id"].split("/")[1]: line["config"] for line in csv.DictReader(file)}

#: file: parameters (1e9), cache bytes of one more token in bf16 without end, states of a sequence (1e6 byte); worked by hand
#: from the shapes that the classes of transformers 5.24.0 allocate
WORKED = {
    "Qwen3-Next-80B-A3B-Instruct": (79.67, 24576, 77.3),
    "Qwen3.5-27B": (26.90, 65536, 153.9),
    "Qwen3.5-397B-A17B": (396.35, 30720, 192.1),
    "Nemotron-H-56B-Base-8K": (56.32, 40960, 912.6),
    "Kimi-Linear-48B-A3B-Instruct": (49.12, 8064, 43.4),
    "MiniMax-Text-01-hf": (456.09, 40960, 146.8),
    "AI21-Jamba-Mini-1.6": (51.57, 16384, 16.1),
    "granite-4.0-h-small": (32.21, 16384, 152.8),
    "granite-4.0-h-tiny": (6.94, 8192, 57.3),
    "Falcon-H1-34B-Instruct": (33.64, 147456, 304.2),
    "DeepSeek-V3.2": (671.88, 85888, 0.0),
    "GLM-5-NVFP4": (743.91, 109824, 0.0),
    "GLM-5.2-FP8": (743.38, 95232, 0.0),
    "NVIDIA-Nemotron-3-Super-120B-A12B-FP8": (120.67, 8192, 170.2),
    "Kimi-K3": (2779.48, 27648, 449.4),
    "NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16": (549.31, 12288, 408.0),
    "mamba2-2.7b": (2.7026, 0, 169.8),
}


def read(name):
    return zoo.from_config(json.loads(FILES[name]))


@pytest.mark.parametrize("name", WORKED)
def test_parameters_cache_and_states_are_those_worked_by_hand(name):
    total, per_token, state = WORKED[name]
    model = zoo.workload_record(read(name))
    assert float(architecture.total_params(model)) == pytest.approx(total * 1e9, rel=1e-3)
    growth = 2.0 * (sharding.cached_values(model, 5001.0) - sharding.cached_values(model, 5000.0))
    assert float(growth) == per_token
    assert float(mixers.state_bytes_per_sequence(model)) == pytest.approx(state * 1e6, rel=1e-3, abs=0.06e6)


def test_a_recurrence_costs_what_is_worked_by_hand():
    """One layer of Qwen3-Next: 67.4 MFLOP of products, 3.7 MFLOP a step, 5.8 MFLOP a token of a prompt."""
    model = zoo.workload_record(read("Qwen3-Next-80B-A3B-Instruct"))
    assert 2.0 * model.recurrent_params == pytest.approx(67.4e6, rel=1e-3)
    assert float(mixers.recurrent_flops(model, 1.0)) / model.recurrent_layers == pytest.approx(3.67e6, rel=1e-3)
    assert float(mixers.recurrent_flops(model, 2048.0)) / model.recurrent_layers == pytest.approx(5.8e6, rel=0.01)


def test_an_index_costs_what_is_worked_by_hand():
    """One layer of DeepSeek-V3.2 at 131,072 tokens: 2.15 GFLOP of index and 0.57 of attention on the best 2,048."""
    model = zoo.workload_record(read("DeepSeek-V3.2"))
    assert float(mixers.index_flops(model, 131072.0)) / 61 == pytest.approx(2.15e9, rel=2e-3)
    best = float(sharding.read_positions(model, 131072.0)) / 61
    assert float(architecture.absorbed_attention_flops(model, best)) == pytest.approx(0.57e9, rel=2e-3)


def test_a_decode_step_reads_the_best_cached_tokens_and_the_whole_index():
    """64 times the context costs DeepSeek-V3.2 the keys of its index; DeepSeek-R1 has none and reads 64 times the cache."""
    ask = {"hardware": "h200", "tp": 8, "precision": "fp8", "kv_precision": "fp8", "batch_size": 4}
    near, far = (
        ms.ServingModel.solve(model=read("DeepSeek-V3.2"), seq_len=s, **ask).decode_attention_time
        for s in (2048, 131072)
    )
    dense = ms.ServingModel.solve(model=read("DeepSeek-R1"), seq_len=131072, **ask).decode_attention_time
    assert float(far) < 0.45 * float(dense)
    index = 61 * 131072 * 128 * 4  # bytes of keys
    assert float(far - near) > index / 4.8e12


def test_states_do_not_grow_with_the_context_and_take_room_from_the_first_token():
    model = read("mamba2-2.7b")
    short, long = (
        ms.ServingModel.solve(model=model, hardware="a100", seq_len=s, batch_size=8, prefill_chunk=128)
        for s in (128, 4096)
    )
    assert float(short.kv_cache) == float(long.kv_cache) == pytest.approx(8 * 169.8e6, rel=2e-3)
    assert float(short.itl) == float(long.itl) and float(short.max_batch) == float(long.max_batch) > 0
    assert short.feasible


def test_a_hybrid_keeps_its_cache_in_the_layers_with_attention():
    """Two RTX 5090 hold Qwen3.5-27B in 8 bits with 262,144 tokens, as a published log of an engine does."""
    answer = ms.ServingModel.solve(
        model=read("Qwen3.5-27B"),
        hardware="rtx_5090",
        tp=2,
        precision="fp8",
        kv_precision="fp8",
        seq_len=262144,
        batch_size=1,
        memory_fraction=0.95,
        prefill_chunk=2048,
    )
    assert answer.feasible and float(answer.kv_bytes_per_token) == 32768
    assert float(answer.memory_weights) == pytest.approx(14.28 * 2**30, rel=0.05)  # with the vision tower


HYBRIDS = (
    "Qwen3-Next-80B-A3B-Instruct",
    "NVIDIA-Nemotron-3-Super-120B-A12B-FP8",
    "Nemotron-H-56B-Base-8K",
    "Falcon-H1-34B-Instruct",
    "DeepSeek-V3.2",
)


@pytest.mark.parametrize("name", HYBRIDS)
@pytest.mark.parametrize(
    "resolver, ask",
    [
        (ms.ServingModel, {"hardware": "h200", "tp": 4, "seq_len": [512, 4096], "batch_size": [1, 64]}),
        (
            ms.ContinuousBatchingModel,
            {"hardware": "h200", "tp": 4, "seq_len": [512, 2048], "output_len": 100, "max_batch": 32},
        ),
        (ms.SingleNodeModel, {"hardware": "b300", "seq_len": [512, 4096], "batch_size": 2}),
        (ms.InferenceScalingModel, {"hardware": "h200", "tp": 4, "seq_len": [512, 2048], "samples": 4}),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_the_resolvers_of_inference_answer_for_layers_of_other_kinds(name, resolver, ask):
    answer = resolver.solve(model=read(name), **ask)
    assert all(
        np.isfinite(answer[v].values[answer.limit.values != Limit.CAPABILITY]).all() for v in ("limit", "feasible")
    )
    assert (answer.limit.values != Limit.CAPABILITY).all()


@pytest.mark.parametrize("name", HYBRIDS)
def test_a_resolver_that_knows_no_other_kinds_says_so(name):
    model = read(name)
    node = ms.SingleNodeModel.solve(model=model, hardware="b300", seq_len=512, is_training=1)
    step = ms.DistributedModel.solve(model=model, hardware="h100", seq_len=512, global_batch=64, dp=64)
    part = ms.EfficiencyModel.solve(model=model, hardware="h100", seq_len=512)
    assert [int(one.limit) for one in (node, step, part)] == [Limit.CAPABILITY] * 3


def test_the_work_of_a_state_space_model_grows_with_the_sequence():
    """Mamba 2.8B: 2 FLOP a weight and token, not one token's whatever the length."""
    one, four = (
        ms.SingleNodeModel.solve(model=read("mamba-2.8b-hf"), hardware="a100", precision="fp16", seq_len=s)
        for s in (2048, 8192)
    )
    assert float(one.flops) == pytest.approx(2 * 2.77e9 * 2048, rel=0.05)
    assert float(four.flops) == pytest.approx(4 * float(one.flops), rel=0.01) and float(one.latency) > 0.036


def test_a_model_of_two_stacks_is_not_trained_as_one():
    answer = ms.DistributedModel.solve(model="t5_3b", hardware="a100", dp=8, global_batch=64, seq_len=512)
    assert not answer.feasible and int(answer.limit) == Limit.CAPABILITY
    assert ms.DistributedModel.solve(model="bert_large", hardware="a100", dp=8, global_batch=64, seq_len=512).feasible


@pytest.mark.parametrize(
    "key, value, says",
    [
        ("layer_types", ["linear_attention", "odd"] * 24, "'odd'"),
        ("layer_types", ["linear_attention"], "1 entries for 48"),
        ("linear_num_key_heads", -1, "at least 0"),
        ("full_attention_interval", 0, "at least 1"),
        ("global_head_dim", 8, "understood"),
    ],
)
def test_a_hybrid_that_is_not_understood_is_refused_with_its_key(key, value, says):
    with pytest.raises(ValueError, match=rf"^config: {key}=.*{says}"):
        zoo.from_config({**json.loads(FILES["Qwen3-Next-80B-A3B-Instruct"]), key: value})


def test_latent_experts_exchange_and_read_their_own_width():
    """Nemotron 3 Super: 12.2e9 parameters a token, the shared expert on the whole stream; a narrower copy travels."""
    model = zoo.workload_record(read("NVIDIA-Nemotron-3-Super-120B-A12B-FP8"))
    active = float(architecture.active_params(model, input_embedding=0.0))
    assert active == pytest.approx(12.23e9, rel=2e-3)
    assert float(architecture.linear_flops(model) + architecture.head_flops(model)) == pytest.approx(
        2.0 * active, rel=5e-3
    )
    whole = ms.Workload(read("NVIDIA-Nemotron-3-Super-120B-A12B-FP8"), expert_latent=0)
    ask = {"hardware": "h200", "tp": 1, "ep": 8, "precision": "fp8", "seq_len": 2048, "batch_size": 256}
    narrow, wide = (
        ms.ServingModel.solve(model=one, **ask).decode_communication_time
        for one in (read("NVIDIA-Nemotron-3-Super-120B-A12B-FP8"), whole)
    )
    assert float(narrow) < float(wide)


def test_rows_of_the_zoo_are_what_their_files_say():
    """The row, counted from its figures, and the file agree in every field that a kernel reads."""
    pairs = {
        "qwen3_next_80b_a3b": "Qwen3-Next-80B-A3B-Instruct",
        "deepseek_v3_2_671b": "DeepSeek-V3.2",
        "glm_5_744b": "GLM-5-NVFP4",
        "nemotron_3_super_120b_a12b": "NVIDIA-Nemotron-3-Super-120B-A12B-FP8",
        "mamba_2_8b": "mamba-2.8b-hf",
        "jamba_1_6_mini_52b": "AI21-Jamba-Mini-1.6",
        "kimi_linear_48b_a3b": "Kimi-Linear-48B-A3B-Instruct",
    }
    for key, name in pairs.items():
        row, file = zoo.workload_record(key), zoo.workload_record(read(name))
        for field in row._fields:
            if field not in ("total_params", "active_params", "max_context", "extra_params"):
                assert getattr(row, field) == getattr(file, field), (key, field)


def test_sparse_attention_of_a_row_is_cheaper_than_that_of_the_model_it_grew_from():
    ask = {"hardware": "b300", "tp": 8, "precision": "fp8", "seq_len": 131072, "batch_size": 64}
    grown, before = (ms.ServingModel.solve(model=model, **ask) for model in ("deepseek_v3_2_671b", "deepseek_v3_671b"))
    assert float(grown.decode_attention_time) < 0.5 * float(before.decode_attention_time)
    assert float(grown.kv_bytes_per_token) > 1.15 * float(before.kv_bytes_per_token)


@pytest.mark.parametrize("kind", ["expert", "attention_free", "network_free", "recurrent", "index"])
def test_a_model_has_no_more_layers_of_a_kind_than_layers(kind):
    with pytest.raises(ValueError, match=f"Workload: {kind}_layers=33: must be at most n_layers=32"):
        ms.Workload("llama3_1_8b", **{f"{kind}_layers": 33})


def test_every_drafted_token_needs_a_state_of_its_own():
    ask = {"hardware": "h200", "tp": 4, "seq_len": 2048, "batch_size": 8}
    hybrid, dense = (
        ms.ServingModel.solve(model=model, draft_len=[0, 3], **ask).memory_per_device.diff("draft_len").item()
        for model in (read("Qwen3-Next-80B-A3B-Instruct"), "llama3_1_8b")
    )
    assert hybrid > 8 * 3 * 77.3e6 / 4 > dense
