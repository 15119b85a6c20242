"""Names as people type them, as drivers print them and as checkpoints are called: found, or refused with the right row near."""

import json
import warnings

import pytest

import mlsysim as ms
from mlsysim import zoo
from mlsysim.zoo.spelling import Index, UnknownName

FOUND = {
    "hardware": {
        # torch.cuda.get_device_name, nvidia-smi, rocm-smi
        "NVIDIA H100 80GB HBM3": "h100_sxm5_80gb",
        "NVIDIA A100-SXM4-80GB": "a100_sxm4_80gb",
        "NVIDIA H200": "h200_sxm_141gb",
        "NVIDIA A100-SXM4-40GB": "a100_sxm4_40gb",
        "NVIDIA A100 80GB PCIe": "a100_pcie_80gb",
        "NVIDIA H100 PCIe": "h100_pcie_80gb",
        "NVIDIA A100-PCIE-40GB": "a100_pcie_40gb",
        "NVIDIA H100 NVL": "h100_nvl_94gb",
        "NVIDIA B200": "b200_sxm_180gb",
        "NVIDIA GH200 480GB": "gh200_96gb",
        "NVIDIA GB200": "gb200_per_gpu",
        "NVIDIA L40S": "l40s",
        "NVIDIA A10G": "a10g",
        "NVIDIA GeForce RTX 4090": "rtx_4090",
        "NVIDIA GeForce RTX 3090": "rtx_3090",
        "NVIDIA RTX A6000": "rtx_a6000",
        "NVIDIA RTX 6000 Ada Generation": None,
        "Tesla V100-SXM2-32GB": "v100_sxm2_32gb",
        "Tesla T4": "t4",
        "NVIDIA RTX PRO 6000 Blackwell Server Edition": "rtx_pro_6000_server",
        "AMD Instinct MI300X": "mi300x",
        "AMD Instinct MI300X OAM": "mi300x",
        "AMD Instinct MI250X": "mi250x",
        "NVIDIA H20": "h20_96gb",
        # as they are typed
        "h100": "h100_sxm5_80gb",
        "h100 sxm": "h100_sxm5_80gb",
        "A100 40GB": "a100_sxm4_40gb",
        "4090": "rtx_4090",
        "5090": "rtx_5090",
        "RTX 6000 Pro": "rtx_pro_6000_workstation",
        "GB200 NVL72": "gb200_per_gpu",
        "Trainium 3": "trainium3",
        "cs3": "cerebras_wse3",
        "cerebras wse-3": "cerebras_wse3",
        "mi 300x": "mi300x",
        "Google TPU v6e": "tpu_v6e",
        "TPU v5 lite": "tpu_v5e",
        "Intel Gaudi 3": "gaudi3",
        "apple m3 max": "apple_m3_max",
        "Jetson AGX Orin 64GB": None,
        # of 2026
        "AMD Instinct MI455X": "mi455x_announced",
        "MI400": "mi455x_announced",
        "MI450": "mi455x_announced",
        "Vera Rubin": "rubin_announced",
        "Vera Rubin NVL144": "rubin_announced",
        "NVIDIA Rubin CPX": "rubin_cpx_announced",
        "AMD Instinct MI308X": "mi308x",
        "NVIDIA RTX PRO 5000 Blackwell": "rtx_pro_5000_48gb",
        "RTX PRO 4500": "rtx_pro_4500",
        "Strix Halo": "ryzen_ai_max_395",
        "Ryzen AI Max+ 395": "ryzen_ai_max_395",
        "Intel Arc Pro B60": "arc_pro_b60",
        "Apple M4": "apple_m4",
        "Apple M5 Max": "apple_m5_max",
        "TPU 8t": "tpu_8t_announced",
        "MTIA 400": "mtia_400_announced",
        "Maia 200": "maia_200",
    },
    "systems": {
        "NVL144": "vera_rubin_nvl72",
        "Vera Rubin NVL72": "vera_rubin_nvl72",
        "Helios": "helios_mi455x",
        "a3-highgpu-8g": "gcp_a3_high",
        "a4-highgpu-8g": "gcp_a4",
        "p5e.48xlarge": "aws_p5e_48xlarge",
        "p6e-gb200": "aws_p6e_gb200",
        "ND H200 v5": "azure_nd_h200_v5",
        "Standard_ND96isr_H200_v5": "azure_nd_h200_v5",
        "BM.GPU.H100.8": "oci_bm_gpu_h100_8",
    },
    "models": {
        "meta-llama/Llama-3.1-70B-Instruct": "llama3_1_70b",
        "llama-3.1-70b-instruct": "llama3_1_70b",
        "Llama 3 70B": "llama3_70b",
        "meta-llama/Llama-3.1-8B-Instruct": "llama3_1_8b",
        "Qwen/Qwen2.5-72B-Instruct": "qwen2_5_72b",
        "mixtral": "mixtral_8x7b",
        "Qwen/Qwen2.5-7B-Instruct": "qwen2_5_7b",
        "mistralai/Mixtral-8x7B-Instruct-v0.1": "mixtral_8x7b",
        "mistral-7b-instruct-v0.3": "mistral_7b",
        "Qwen3-235B-A22B-Instruct-2507": "qwen3_235b_a22b",
        "gemma-3-27b-it": "gemma3_27b",
        "Kimi-K2-Thinking": "kimi_k2_1t",
        "Kimi-K2-Instruct-0905": "kimi_k2_1t",
        "DeepSeek-V3.1": "deepseek_v3_671b",
        "deepseek-ai/DeepSeek-R1-0528": "deepseek_r1_671b",
        "google/gemma-2-9b-it": "gemma2_9b",
        "bert-base-uncased": "bert_base",
        "deepseek-ai/DeepSeek-R1-Distill-Qwen-32B": "qwen2_5_32b",
        "openai/gpt-oss-120b": "gpt_oss_120b",
        "meta-llama/Meta-Llama-3.1-8B-Instruct": "llama3_1_8b",
        "hf://Qwen/Qwen3-32B": "qwen3_32b",
    },
    "datacenters": {
        "google": "google_global_2024",
        "AWS": "aws_global_2024",
        "azure": "microsoft_global_fy25",
        "Meta": "meta_global",
        "us average": "us_average_2023",
    },
    "grids": {
        "Germany": "deu",
        "us-east-1": "aws_us_east_1",
        "eu west 1": "aws_eu_west_1",
        "westeurope": "azure_westeurope",
        "West Europe": "azure_westeurope",
        "east us 2": "azure_eastus2",
        "eu-west-3": "aws_eu_west_3",
        "azure:uksouth": "azure_uksouth",
        "aws us-west-1": "aws_us_west_1",
        "Bahrain": "bhr",
        "ERCOT": "ercot",
        "CAISO": "caiso",
    },
}
SPELLINGS = [(table, name, key) for table, names in FOUND.items() for name, key in names.items() if key]


@pytest.mark.parametrize("table, name, key", SPELLINGS, ids=[name for _, name, _ in SPELLINGS])
def test_a_natural_spelling_finds_its_row(table, name, key):
    assert zoo.lookup(table, name).key == key
    assert zoo.lookup(table, f"  {name.upper()} ").key == key


FORMATS = {
    "Meta-Llama-3.1-405B-Instruct-FP8": ("llama3_1_405b", "fp8"),
    "Qwen2.5-72B-Instruct-AWQ": ("qwen2_5_72b", "int4"),
    "neuralmagic/Meta-Llama-3.1-70B-Instruct-quantized.w4a16": ("llama3_1_70b", "int4"),
    "llama-3.1-8b-Q4_K_M": ("llama3_1_8b", "int4"),
    "hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4": ("llama3_1_8b", "int4"),
    "llama-3.1-8b-q8_0": ("llama3_1_8b", "int8"),
    "nvidia/Llama-3.3-70B-Instruct-NVFP4": ("llama3_3_70b", "nvfp4"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_in_a_name_is_not_dropped_without_a_word(name):
    key, precision = FORMATS[name]
    with pytest.warns(UserWarning, match=rf"taken as {key}.*precision='{precision}'"):
        assert zoo.model(name).key == key


@pytest.mark.parametrize(
    "table, name, near",
    [
        ("models", "DeepSeek-V4", "DeepSeek-V3"),
        ("models", "Grok-2", "grok_1"),
        ("hardware", "M3", "M3 Max"),
        ("models", "qwen3", "Qwen3-8B"),
        ("hardware", "h300", "H100"),
        ("models", "llama-5-8b", "Llama"),
        ("models", "mistral-small-2503", "Mistral"),
        ("hardware", "max", "M4 Max"),
    ],
)
def test_another_version_is_never_taken_for_a_row(table, name, near):
    with pytest.raises(UnknownName, match=rf"no .* is named '{name}'; nearest: .*{near}"):
        zoo.lookup(table, name)


def test_names_that_fit_several_rows_are_refused_with_all_of_them():
    with pytest.raises(
        UnknownName, match=r"model: '70b' may be any of chinchilla_70b, .*llama3_1_70b.*name one of them"
    ):
        zoo.model("70b")
    with pytest.raises(UnknownName, match=r"hardware: '80GB' may be any of a100_pcie_80gb"):
        zoo.hardware("80GB")


def test_two_rows_with_one_name_are_an_error_when_the_table_is_read():
    with pytest.raises(ValueError, match=r"(?i)'r100' names two rows, rubin and radeon"):
        Index("hardware", {"rubin": ["rubin", "R100"], "radeon": ["radeon", "r100"]})


@pytest.mark.parametrize("table", zoo.TABLES)
def test_no_spelling_rule_changes_what_a_key_or_an_alias_means(table):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for row in zoo.tables.rows(table).values():
            for name in (row.key, *row.aliases):
                assert zoo.lookup(table, name) is row


def test_a_config_file_stands_wherever_a_model_is_named(tmp_path):
    path = tmp_path / "tiny" / "config.json"
    path.parent.mkdir()
    path.write_text(
        json.dumps(
            {
                "model_type": "llama",
                "hidden_size": 64,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "intermediate_size": 128,
                "vocab_size": 1000,
            }
        )
    )
    asked = {"hardware": "h100", "seq_len": 128, "keep": ["itl"]}
    by_row = ms.ServingModel.solve(model=zoo.from_config(path), **asked).itl
    for name in (path, str(path), f"{path.parent}/"):
        assert ms.ServingModel.solve(model=name, **asked).itl == by_row
    with pytest.raises(ValueError, match="no such file"):
        ms.ServingModel.solve(model="./nowhere/config.json", **asked)
