"""Number formats: what runs with 16-bit arithmetic, formats by part, and formats that a checkpoint states."""

import json

import numpy as np
import pytest

import mlsysim as ms
from mlsysim import zoo
from mlsysim.schema.codes import Limit, Precision

SERVED = {"seq_len": 2048, "plan": "plain"}


def solve(**inputs):
    return ms.ServingModel.solve(**{**SERVED, **inputs})


# --- formats that the device lacks -----------------------------------------------------------------------


def test_fp8_weights_run_in_16_bits_on_ampere():
    """vllm-project/vllm PR 5975, issue 6689 (405B on 8 x A100); sgl-project/sglang issue 3007 (A10)."""
    large = solve(model="llama3_1_405b", hardware="a100", tp=8, precision="fp8", seq_len=4096)
    assert large.feasible and np.isfinite(large.itl)
    small = solve(model="llama3_1_8b", hardware="a10", precision=["fp8", "int8", "bf16"])
    assert small.feasible.all()
    assert small.itl.values[0] == pytest.approx(small.itl.values[1], rel=0.1)
    assert small.itl.values[0] < 0.65 * small.itl.values[2]
    assert "a10.peak_flops: no fp8 products on this device" in small.attrs["derived"]


@pytest.mark.parametrize(
    "hardware, precision",
    [
        ("v100", "fp8"),
        ("rtx_3090", "fp8"),
        ("mi250x", "fp8"),
        ("h100", "nvfp4"),
        ("a100", "nvfp4"),
        ("mi300x", "nvfp4"),
        ("h100", "mxfp4"),
    ],
)
def test_narrow_weights_run_where_their_products_do_not(hardware, precision):
    row, code = zoo.hardware(hardware), Precision[precision.upper()]
    device, plain = zoo.accelerator_record(row, code), zoo.accelerator_record(row, Precision.INT4)
    assert device.widens_weights == 1 and device.peak_flops == plain.peak_flops > 0
    result = solve(model="llama3_1_8b", hardware=hardware, precision=precision)
    assert result.feasible and 0 < float(result.itl) < np.inf


@pytest.mark.parametrize("precision", ["fp8", "nvfp4", "mxfp4"])
def test_a_format_that_the_device_lacks_does_not_train(precision):
    on = {"model": "llama3_2_1b", "hardware": "a100", "precision": precision, "plan": "plain"}
    step = ms.DistributedModel.solve(**on, seq_len=2048, global_batch=8, dp=8)
    alone = ms.SingleNodeModel.solve(**on, seq_len=512, is_training=1)
    assert step.limit == alone.limit == Limit.CAPABILITY and not step.feasible and not alone.feasible
    assert ms.SingleNodeModel.solve(**on, seq_len=512).feasible


def test_widened_weights_are_served_without_narrowing_activations():
    """Prompts take as long as in 16 bits: arithmetic is the same, and no kernel narrows its inputs."""
    wide, narrow = (solve(model="llama3_1_8b", hardware="a100", precision=p, seq_len=8192) for p in ("bf16", "fp8"))
    assert float(narrow.ttft) == pytest.approx(float(wide.ttft), rel=0.05)


def test_fp4_is_a_label():
    one, other = (solve(model="llama3_1_8b", hardware="b200", precision=p) for p in ("fp4", "nvfp4"))
    assert float(one.itl) == float(other.itl) and one.precision.item() == "nvfp4"


# --- formats by part ---------------------------------------------------------------------------------------


def test_attention_may_be_wider_than_the_rest():
    """Meta's FP8 checkpoint of 405B keeps attention in 16 bits (and two layers more: see the checkpoints below)."""
    point = {"model": "llama3_1_405b", "hardware": "h100", "tp": 8, "precision": "fp8", "seq_len": 8192}
    whole, mixed = solve(**point), solve(**point, attention_precision="bf16")
    assert float(mixed.memory_weights) / 2**30 == pytest.approx(56.1, abs=0.1)
    attention = 126 * 16384 * 128 * (2 * 128 + 2 * 8)
    assert float(mixed.memory_weights - whole.memory_weights) == pytest.approx(attention / 8)
    assert whole.ttft < mixed.ttft < solve(**{**point, "precision": "bf16"}).ttft


def test_experts_in_mxfp4_are_sized_as_the_checkpoint():
    """gpt-oss-120b is 65.25e9 bytes: alvarobartt/hf-mem issue 60."""
    served = solve(model="gpt_oss_120b", hardware="h100", expert_precision="mxfp4")
    alone = ms.SingleNodeModel.solve(
        model="gpt_oss_120b", hardware="h100", expert_precision="mxfp4", seq_len=2048, plan="plain"
    )
    assert served.feasible and alone.feasible
    assert float(served.memory_weights) == pytest.approx(65.25e9, rel=0.005)
    assert float(alone.memory_weights) == pytest.approx(65.25e9, rel=0.005)


def test_a_mapping_says_the_formats_of_the_parts():
    mapping = {"default": "bf16", "experts": "mxfp4", "attention": ["bf16", "fp8"], "cache": "fp8"}
    one = solve(model="gpt_oss_120b", hardware="h100", precision=mapping)
    other = solve(
        model="gpt_oss_120b",
        hardware="h100",
        precision="bf16",
        expert_precision="mxfp4",
        attention_precision=["bf16", "fp8"],
        kv_precision="fp8",
    )
    assert one.identical(other.assign_attrs(one.attrs)) and one.sizes["attention_precision"] == 2
    with pytest.raises(ValueError, match="'expert' is no part of a model: allowed are default, attention, experts"):
        solve(model="gpt_oss_120b", hardware="h100", precision={"expert": "mxfp4"})


@pytest.mark.parametrize("model", ["llama3_2_1b", "deepseek_v3_671b", "mixtral_8x7b"])
@pytest.mark.parametrize("resolver", [ms.ServingModel, ms.SingleNodeModel], ids=lambda r: r.name)
def test_parts_add_up_and_narrower_ones_take_less(resolver, model):
    """All parts in one format are that format; each part saves by itself; what they save adds up."""

    def held(**formats):
        return float(
            resolver.solve(
                model=model, hardware="b200", seq_len=256, plan="plain", **{"precision": "bf16", **formats}
            ).memory_weights
        )

    parts = ["attention_precision", "expert_precision", "shared_expert_precision"]
    wide = held()
    assert held(**dict.fromkeys(parts, "bf16")) == wide
    assert held(precision="fp8", **dict.fromkeys(parts, "fp8")) == held(precision="fp8")
    for table in ("head_precision", "embedding_precision"):
        assert held(**{table: "fp8"}) <= wide
    saved = [wide - held(**{part: "fp8"}) for part in parts]
    assert saved[0] > 0 and min(saved) >= 0
    assert wide - held(**dict.fromkeys(parts, "fp8")) == pytest.approx(sum(saved), rel=1e-9)
    by_width = [held(**dict.fromkeys(parts, p)) for p in ("fp32", "bf16", "fp8", "nvfp4", "mxfp4", "int4")]
    assert by_width == sorted(by_width, reverse=True)


def test_a_part_in_a_format_without_any_products_is_infeasible():
    result = solve(model="llama3_1_8b", hardware="v100", precision="fp16", attention_precision="bf16")
    assert result.limit == Limit.CAPABILITY and not result.feasible


# --- formats that a checkpoint states --------------------------------------------------------------------------

LLAMA = {
    "model_type": "llama",
    "hidden_size": 16384,
    "num_hidden_layers": 126,
    "num_attention_heads": 128,
    "num_key_value_heads": 8,
    "intermediate_size": 53248,
    "vocab_size": 128256,
}
GPT_OSS = {
    "model_type": "gpt_oss",
    "hidden_size": 2880,
    "num_hidden_layers": 36,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 2880,
    "num_local_experts": 128,
    "num_experts_per_tok": 4,
    "vocab_size": 201088,
}
DEEPSEEK = {
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "q_lora_rank": 1536,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "vocab_size": 129280,
}


def row(shape, quantization):
    return zoo.from_config({**shape, "quantization_config": quantization}, name="read")


def test_deepseek_v3_is_served_in_the_fp8_of_its_file():
    read = row(DEEPSEEK, {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]})
    result = solve(model=read, hardware="h200", tp=8, seq_len=4096)
    assert result.feasible and 78 < float(result.memory_weights) / 2**30 < 84
    assert "read.precision: precision=fp8" in result.attrs["derived"]
    assert solve(model=read, hardware="h200", tp=8, precision="bf16").limit == Limit.MEMORY


def test_gpt_oss_is_served_with_the_mxfp4_experts_of_its_file():
    kept = ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]
    result = solve(model=row(GPT_OSS, {"quant_method": "mxfp4", "modules_to_not_convert": kept}), hardware="h100")
    assert result.feasible and float(result.memory_weights) / 2**30 == pytest.approx(60.8, rel=0.01)


@pytest.mark.parametrize(
    ("model", "formats"),
    [
        ("gpt_oss_120b", {"precision": "bf16", "expert_precision": "mxfp4"}),
        ("deepseek_v3_671b", {"precision": "fp8"}),
        ("kimi_k2_5_1t", {"precision": "bf16", "expert_precision": "int4"}),
    ],
)
def test_a_model_is_served_in_the_formats_in_which_it_is_published(model, formats):
    """A row of the zoo is what its own files are: gpt-oss 120B fits one device of 80 GB, as its authors say."""
    published = solve(model=model, hardware="b200", tp=8)
    assert ", ".join(f"{name}={value}" for name, value in formats.items()) in published.attrs["assumed"]
    given = solve(model=model, hardware="b200", tp=8, **formats)
    wider = solve(model=model, hardware="b200", tp=8, precision="bf16")
    assert float(published.memory_weights) < 0.6 * float(wider.memory_weights)
    assert published.itl == given.itl or model == "kimi_k2_5_1t"  # its groups of 32 are wider than the usual 128
    changed = solve(model=ms.Workload(model, name="mine", max_context=4096), hardware="b200", tp=8)
    assert changed.memory_weights == published.memory_weights
    assert "published checkpoint" in published.attrs["derived"]
    if model == "gpt_oss_120b":
        assert solve(model=model, hardware="h100").feasible


def test_several_models_each_come_in_their_own_formats():
    both = solve(model=["gpt_oss_20b", "llama3_1_8b"], hardware="h100")
    assert "precision=[bf16, bf16] (2)" in both.attrs["assumed"]
    assert "expert_precision=[mxfp4, bf16] (2)" in both.attrs["assumed"]
    assert both.memory_weights.values.tolist() == [
        float(solve(model=m, hardware="h100").memory_weights) for m in ("gpt_oss_20b", "llama3_1_8b")
    ]


def test_what_a_file_of_mixed_layers_is_taken_for_gives_the_same_answer():
    kept = [f"model.layers.{i}.mlp.{m}_proj" for i in (0, 125) for m in ("gate", "up", "down")]
    read = row(LLAMA, {"quant_method": "fbgemm_fp8", "modules_to_not_convert": kept})
    found = solve(model=read, hardware="b200", tp=8)
    assert "weight_bytes=1.0" in found.attrs["assumed"]
    again = solve(**{"model": read, "tp": 8, **found.mlsysim.assumed})
    assert again.memory_weights == found.memory_weights and again.itl == found.itl


def test_layers_that_a_list_leaves_out_are_counted_in_16_bits():
    """Meta's FP8 checkpoint of 405B: 57.75 GiB on each of 8 devices with its buffers (vllm-project/vllm issue 6746)."""
    kept = [f"model.layers.{i}.self_attn.{m}_proj" for i in range(126) for m in "qkvo"]
    kept += [f"model.layers.{i}.mlp.{m}_proj" for i in (0, 125) for m in ("gate", "up", "down")]
    read = row(LLAMA, {"quant_method": "fbgemm_fp8", "modules_to_not_convert": kept})
    assert float(solve(model=read, hardware="h100", tp=8).memory_weights) / 2**30 == pytest.approx(56.7, abs=0.05)


@pytest.mark.parametrize(
    "quantization, inputs, weight_bytes",
    [
        (
            {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True},
            {"precision": "int4"},
            (4 + 20 / 128) / 8,
        ),
        ({"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True}, {"precision": "int4"}, (4 + 16 / 32) / 8),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, {"precision": "int8"}, 1.0),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, {"precision": "int4"}, 4.5 / 8),
        (
            {"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_scheme": {"num_bits": 8, "type": "float"}},
            {"precision": "nvfp4", "kv_precision": "fp8"},
            4.5 / 8,
        ),
        (
            {"quant_method": "modelopt", "quant_algo": "FP8", "ignore": ["lm_head", "re:.*self_attn.*"]},
            {"precision": "fp8", "attention_precision": "bf16"},
            1.0,
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "ignore": ["lm_head"],
                "config_groups": {
                    "group_0": {
                        "targets": ["Linear"],
                        "weights": {"num_bits": 8, "type": "float", "strategy": "channel"},
                    }
                },
            },
            {"precision": "fp8"},
            1.0,
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {
                    "group_0": {"weights": {"num_bits": 4, "type": "int", "symmetric": True, "group_size": 128}}
                },
            },
            {"precision": "int4"},
            4.125 / 8,
        ),
    ],
)
def test_formats_of_checkpoints(quantization, inputs, weight_bytes):
    stated = row(LLAMA, quantization).checkpoint
    assert stated.inputs == {name: Precision[p.upper()] for name, p in inputs.items()}
    assert stated.nbytes["weight_bytes"] == pytest.approx(weight_bytes)


def test_the_file_beside_a_configuration_states_the_format(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    quantization = {
        "quant_algo": "NVFP4",
        "kv_cache_quant_algo": "FP8",
        "group_size": 16,
        "exclude_modules": ["lm_head"],
    }
    (tmp_path / "hf_quant_config.json").write_text(json.dumps({"quantization": quantization}))
    assert zoo.from_config(tmp_path).checkpoint.inputs == {"precision": Precision.NVFP4, "kv_precision": Precision.FP8}


def test_a_format_that_is_not_understood_is_refused():
    with pytest.raises(ValueError, match="quantization_config: 'hqq2' is a number format that is not understood"):
        row(LLAMA, {"quant_method": "hqq2"})


# --- weights beyond the device -------------------------------------------------------------------------------


def test_an_answer_with_offload_says_what_is_fetched_and_how_much_the_host_keeps():
    """Experts that stay in host memory are fetched, not computed there (compare ggml-org/llama.cpp issue 14642)."""
    point = {
        "model": "kimi_k2_1t",
        "hardware": "rtx_pro_6000_workstation",
        "precision": "int4",
        "seq_len": 1,
        "plan": "plain",
    }
    result = ms.SingleNodeModel.solve(**point, offload=1)
    assert "experts too, is fetched over the link to the host and computed on the device" in result.attrs["offload"]
    assert f"up to {float(result.host_spill_bytes) / 1e9:.4g} GB for each device" in result.attrs["offload"]
    assert "offload" not in ms.SingleNodeModel.solve(**point, offload=0).attrs


#: sizes of the GGUF files of Llama 3 8B, bytes (bartowski/Meta-Llama-3-8B-Instruct-GGUF); tokens/s of one stream on an
#: RTX 4090 (XiongjieDai/GPU-Benchmarks-on-LLM-Inference: F16 54.34, Q4_K_M 127.74)
GGUF = {"q8_0": 8.54e9, "q6_k": 6.60e9, "q5_k_m": 5.73e9, "q4_k_m": 4.92e9, "q3_k_m": 4.02e9, "q2_k": 3.18e9}


def test_types_of_gguf_files_are_formats():
    asked = {"model": "llama3_8b", "hardware": "rtx_4090", "seq_len": 512, "batch_size": 1, "assume": "llama.cpp CUDA"}
    found = ms.ServingModel.solve(precision=[*GGUF, "fp16"], **asked)
    assert found.feasible.all()
    assert found.memory_weights.values[:-1] == pytest.approx(list(GGUF.values()), rel=0.06)
    rate = (1.0 / found.itl).values
    assert rate[-1] == pytest.approx(54.3, rel=0.1) and rate[3] == pytest.approx(127.7, rel=0.1)
    assert (np.diff(rate[:-1]) > 0).all()  # fewer bits, more tokens
    cache = ms.ServingModel.solve(kv_precision=["fp16", "q8_0"], precision="fp16", **asked).kv_cache.values
    assert cache[1] / cache[0] == pytest.approx(8.5 / 16)


@pytest.mark.parametrize("resolver", [ms.EfficiencyModel, ms.WeightStreamingModel])
def test_a_training_does_not_take_the_format_in_which_a_model_is_published(resolver):
    said = "workload_type" if resolver is ms.EfficiencyModel else "phase"
    asked = {"model": "deepseek_v3_671b", "hardware": "a100", "batch_size": 2, "seq_len": 246}
    assert "precision=bf16" in resolver.solve(**asked, **{said: "training"}).attrs["assumed"]
    assert "precision=fp8" in resolver.solve(**asked, **{said: "prefill"}).attrs["assumed"]
