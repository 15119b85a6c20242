"""What a published ``config.json`` becomes: counts of its class, class defaults, other spellings, refusals by name."""

import csv
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import mlsysim as ms
from mlsysim import zoo
from mlsysim.equations import sharding
from mlsysim.schema.codes import Limit

with (Path(__file__).parent / "published_params.csv").open() as file:
    PUBLISHED = list(csv.DictReader(file))
PLAIN = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32}
PLAIN |= {"vocab_size": 32000}


@pytest.mark.parametrize("line", PUBLISHED, ids=[line["hf_id"] for line in PUBLISHED])
def test_a_published_file_has_the_parameters_of_its_class_or_is_refused_by_name(line):
    """Total within 1 %, active within 2 % of the parameters that the model's class allocates."""
    try:
        row = zoo.from_config(json.loads(line["config"]))
    except ValueError as error:
        named = re.match(r"config: (?:text_config: )?(\w+)[= ]", str(error))
        assert named and f'"{named[1]}"' in line["config"]
        return
    assert row["total_params"] == pytest.approx(float(line["count_text"]), rel=0.01)
    assert row["active_params"] == pytest.approx(float(line["count_active"]), rel=0.02)


def test_most_published_files_are_read():
    def read(line):
        try:
            return bool(zoo.from_config(json.loads(line["config"])))
        except ValueError:
            return False

    assert sum(map(read, PUBLISHED)) >= 100


def test_a_part_that_writes_only_what_differs_from_its_class_takes_the_rest_from_it():
    gemma = {
        "model_type": "gemma3",
        "text_config": {
            "hidden_size": 2560,
            "intermediate_size": 10240,
            "model_type": "gemma3_text",
            "num_hidden_layers": 34,
            "sliding_window": 1024,
        },
    }
    row = zoo.from_config(gemma)
    assert row["total_params"] == pytest.approx(3.88e9, rel=2e-3)
    assert (row["n_heads"], row["n_kv_heads"], row["head_dim"], row["local_layers"]) == (8, 4, 256, 29)
    llava = zoo.from_config({"model_type": "llava", "text_config": {"model_type": "llama", "vocab_size": 32064}})
    assert llava["total_params"] == pytest.approx(6.74e9, rel=2e-3)


def test_llama4_without_a_list_of_layers_keeps_its_window_in_three_of_four():
    text = {
        "model_type": "llama4_text",
        "num_hidden_layers": 48,
        "attention_chunk_size": 8192,
        "num_key_value_heads": 8,
    }
    text |= {"hidden_size": 5120, "intermediate_size": 8192, "intermediate_size_mlp": 16384, "num_attention_heads": 40}
    text |= {"vocab_size": 202048, "num_local_experts": 16, "num_experts_per_tok": 1, "head_dim": 128}
    row = zoo.from_config({"model_type": "llama4", "text_config": text, "vision_config": {"hidden_size": 1408}})
    assert row["local_layers"] == 36 and "vision tower" in row.notes
    cached = 2.0 * float(sharding.cached_values(zoo.workload_record(row), 131072.0))  # bytes of one request in bf16
    assert cached == 4096 * (12 * 131072 + 36 * 8192)
    listed = zoo.from_config({**text, "no_rope_layers": [1, 0, 0, 0] * 12})
    assert listed["local_layers"] == 12


@pytest.mark.parametrize(
    "more, local", [({}, 0), ({"use_sliding_window": True}, 3), ({"use_sliding_window": False}, 0)]
)
def test_qwen_has_windows_only_where_the_file_turns_them_on_and_only_in_its_last_layers(more, local):
    file = {
        **PLAIN,
        "model_type": "qwen2",
        "num_hidden_layers": 24,
        "sliding_window": 4096,
        "max_window_layers": 21,
        **more,
    }
    assert zoo.from_config(file)["local_layers"] == local


MIXTURE = {
    **PLAIN,
    "model_type": "deepseek_v3",
    "n_routed_experts": 64,
    "num_experts_per_tok": 6,
    "moe_intermediate_size": 1408,
}


def test_a_list_that_says_which_layers_have_experts_is_a_number_of_leading_dense_layers():
    one = zoo.from_config({**MIXTURE, "moe_layer_freq": [0, 0] + [1] * 30})
    assert one["first_dense_layers"] == 2
    assert one["total_params"] == zoo.from_config({**MIXTURE, "first_k_dense_replace": 2})["total_params"]
    kinds = zoo.from_config({**MIXTURE, "mlp_layer_types": ["dense"] * 3 + ["sparse"] * 29})
    assert kinds["first_dense_layers"] == 3
    only = zoo.from_config({**MIXTURE, "model_type": "qwen3_moe", "mlp_only_layers": [0, 1]})
    assert only["first_dense_layers"] == 2


@pytest.mark.parametrize(
    "key, value, says",
    [
        ("moe_layer_freq", [0, 1], "2 entries for 32 layers"),
        ("moe_layer_freq", [0, "x"] * 16, "list of 0 and 1"),
        ("mlp_only_layers", [32], "from 0 to 31"),
        ("mlp_only_layers", "first", "list of layers"),
        ("mlp_layer_types", ["dense"], "1 entries for 32 layers"),
        ("shared_expert_intermediate_size", 2000, "multiple of the width"),
        ("compress_ratios", [4, 128], "understood"),
        ("num_kv_shared_layers", 15, "understood"),
        ("patch_size", 16, "understood"),
        ("word_embed_proj_dim", 512, "must be hidden_size"),
        ("is_encoder_decoder", True, "understood"),
        ("block_types", ["recurrent", "attention"], "understood"),
        ("cross_attention_layers", [3, 8], "understood"),
        ("conv_L_cache", 3, "understood"),
        ("decay_low_rank_dim", 96, "understood"),
    ],
)
def test_a_refusal_names_the_key(key, value, says):
    with pytest.raises(ValueError, match=rf"^config: {key}=.*{says}") as caught:
        zoo.from_config({**MIXTURE, key: value})
    assert "\n" not in str(caught.value)


FILES = {
    "ERNIE-4.5-21B": (
        {
            "model_type": "ernie4_5_moe",
            "hidden_size": 2560,
            "intermediate_size": 12288,
            "num_hidden_layers": 28,
            "num_attention_heads": 20,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "moe_num_experts": 64,
            "moe_k": 6,
            "moe_num_shared_experts": 2,
            "moe_layer_start_index": 1,
            "moe_intermediate_size": 1536,
            "vocab_size": 103424,
            "tie_word_embeddings": True,
        },
        21.8e9,
    ),
    "Hunyuan-A13B": (
        {
            "model_type": "hunyuan_v1_moe",
            "hidden_size": 4096,
            "intermediate_size": 3072,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "attention_head_dim": 128,
            "moe_intermediate_size": [3072] * 32,
            "moe_topk": [8] * 32,
            "num_shared_expert": [1] * 32,
            "num_experts": 64,
            "vocab_size": 128167,
            "tie_word_embeddings": True,
        },
        80.4e9,
    ),
    "chatglm3-6b": (
        {
            "model_type": "chatglm",
            "hidden_size": 4096,
            "padded_vocab_size": 65024,
            "num_layers": 28,
            "multi_query_attention": True,
            "multi_query_group_num": 2,
            "ffn_hidden_size": 13696,
            "kv_channels": 128,
            "num_attention_heads": 32,
        },
        6.24e9,
    ),
    "DBRX": (
        {
            "model_type": "dbrx",
            "d_model": 6144,
            "n_layers": 40,
            "n_heads": 48,
            "attn_config": {"kv_n_heads": 8, "clip_qkv": 8},
            "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4},
            "vocab_size": 100352,
        },
        131.6e9,
    ),
    "experts only": ({**MIXTURE, "intermediate_size": None, "num_experts": 64, "n_routed_experts": None}, 37.85e9),
    "SmolLM3": (
        {
            "model_type": "smollm3",
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 4,
            "vocab_size": 128256,
        },
        3.075e9,
    ),
    "Nemotron-4-340B": (
        {
            "model_type": "nemotron",
            "hidden_size": 18432,
            "intermediate_size": 73728,
            "num_hidden_layers": 96,
            "num_attention_heads": 96,
            "num_key_value_heads": 8,
            "vocab_size": 256000,
        },
        341e9,
    ),
    "BERT-base": (
        {
            "model_type": "bert",
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "vocab_size": 30522,
            "max_position_embeddings": 512,
            "type_vocab_size": 2,
        },
        109482240,
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_other_spellings_and_other_names_of_known_shapes_are_read(name):
    file, count = FILES[name]
    row = zoo.from_config(file)
    assert row["total_params"] == pytest.approx(count, rel=5e-3)
    if name == "DBRX":
        assert (row["n_kv_heads"], row["n_experts"], row["experts_per_token"]) == (8, 16, 4)


def test_a_new_name_of_an_ordinary_shape_is_read_with_a_remark():
    with pytest.warns(UserWarning, match="model_type 'llama9' is not known"):
        row = zoo.from_config({**PLAIN, "model_type": "llama9", "hidden_act": "silu", "tie_word_embeddings": False})
    assert "not known" in row.notes and row["gated_ffn"] == 1
    assert row["total_params"] == zoo.from_config({**PLAIN, "model_type": "llama"})["total_params"]


def test_an_encoder_from_its_file_writes_nothing():
    read, listed = (
        ms.ServingModel.solve(model=model, hardware="a100", seq_len=128)
        for model in (zoo.from_config(FILES["BERT-base"][0]), "bert_base")
    )
    assert not read.feasible and int(read.limit) == int(listed.limit)


def test_a_row_made_from_nothing_does_not_follow_the_row_whose_name_it_has():
    shape = {
        "n_layers": 2,
        "hidden": 64,
        "ffn_hidden": 256,
        "n_heads": 4,
        "n_kv_heads": 4,
        "head_dim": 16,
        "vocab": 1000,
    }
    assert ms.Workload(name="minimax_m2", **shape)["total_params"] == ms.Workload(name="tiny", **shape)["total_params"]


def test_a_file_of_two_stacks_is_the_row_of_the_zoo():
    """T5-3B: 2.85e9 parameters, of which half would go uncounted as one stack; no decoder alone."""
    file = {
        "model_type": "t5",
        "d_model": 1024,
        "d_ff": 16384,
        "d_kv": 128,
        "num_heads": 32,
        "num_layers": 24,
        "num_decoder_layers": 24,
        "vocab_size": 32128,
        "feed_forward_proj": "relu",
        "is_encoder_decoder": True,
    }
    read, listed = zoo.workload_record(zoo.from_config(file)), zoo.workload_record("t5_3b")
    assert read.total_params == pytest.approx(listed.total_params, rel=1e-5)
    assert read.flops_per_sample == pytest.approx(listed.flops_per_sample, rel=1e-5) and read.decoder_layers == 24
    with pytest.raises(ValueError, match="num_decoder_layers=12 must be num_layers"):
        zoo.from_config({**file, "num_decoder_layers": 12})
    assert zoo.from_config({**file, "feed_forward_proj": "gated-gelu"})["gated_ffn"] == 1


@pytest.mark.parametrize(
    "keys, layers",
    [
        ({"moe_layer_freq": [0, 1] * 16}, 16),
        ({"mlp_layer_types": ["sparse", "dense", "sparse", "sparse"] * 8}, 24),
        ({"mlp_only_layers": [5, 9]}, 30),
        ({"moe_layers": [1, 4, 7]}, 3),
        ({"moe_layer_freq": 3, "first_k_dense_replace": 1}, 10),
        ({"moe_layer_start_index": 2, "moe_layer_end_index": 29}, 28),
        ({"decoder_sparse_step": 3}, 10),
        ({}, 32),
    ],
)
def test_experts_are_counted_in_the_layers_that_have_them(keys, layers):
    """Any pattern is a count: one expert layer for one network adds what it has over that network."""
    row = zoo.from_config({**MIXTURE, **keys})
    network, expert = 3 * 4096 * 11008, 3 * 4096 * 1408
    attention = 4 * 4096 * 4096 + 2 * 4096
    sparse = 64 * (expert + 4096)
    tables = 2 * 32000 * 4096
    assert row["total_params"] == 32 * attention + layers * sparse + (32 - layers) * network + tables
    assert row["active_params"] == 32 * attention + layers * (6 * expert + 64 * 4096) + (32 - layers) * network + tables
    trained = ms.DistributedModel.solve(model=row, hardware="h100", seq_len=512, global_batch=64, tp=8, dp=8)
    assert int(trained.limit) != Limit.CAPABILITY and np.isfinite(float(trained.step_time))


class Hub:
    """huggingface_hub with one model on it."""

    class EntryNotFoundError(Exception):
        pass

    def __init__(self, folder, files):
        self.folder, self.files, self.asked = folder, files, []

    def hf_hub_download(self, repository, file, revision=None):
        self.asked.append((repository, file, revision))
        if repository != "some/model":
            raise OSError("We couldn't connect to the hub.\nmore of it")
        if file not in self.files:
            raise self.EntryNotFoundError(f"404: {file}")
        path = self.folder / "snapshots" / "0123abcd" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.files[file]))
        return str(path)


PLAIN_FILE = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
}


def test_a_model_of_the_hub_is_read_from_its_file(tmp_path, monkeypatch):
    hub = Hub(tmp_path, {"config.json": PLAIN_FILE})
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    row = zoo.from_config("hf://some/model@v2")
    assert row["total_params"] == 8030257152.0 and row.key == "some/model"
    assert hub.asked == [("some/model", "config.json", "v2"), ("some/model", "hf_quant_config.json", "v2")]
    assert zoo.model("hf://some/model")["total_params"] == row["total_params"]
    assert zoo.model("hf://Qwen/Qwen3-32B").key == "qwen3_32b" and len(hub.asked) == 4  # known: nothing is fetched
    hub.files["hf_quant_config.json"] = {"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}}
    narrow = ms.ServingModel.solve(model="hf://some/model", hardware="h100", seq_len=1024, plan="plain")
    wide = ms.ServingModel.solve(model=row, hardware="h100", seq_len=1024, plan="plain")
    assert narrow.memory_weights < 0.6 * wide.memory_weights
    for name, says in {
        "hf://some/other": r"cannot be had \(OSError: We couldn't connect to the hub.\)$",
        "hf://one": "write hf://organisation/name",
        "hf://a/b c": "write hf://organisation/name",
    }.items():
        with pytest.raises(ValueError, match=says):
            zoo.from_config(name)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"needs huggingface_hub \(pip install 'mlsysim-sweep\[hub\]'\)"):
        zoo.model("hf://some/model")
