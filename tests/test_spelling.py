"""Names as people type them, as drivers print them and as checkpoints are called: found, or refused with the right row near."""

import json
import warnings
from pathlib import Path

import pandas as pd
import pytest

import mlsysim as ms
from mlsysim import zoo
from mlsysim.zoo.spelling import Index, UnknownName

#: names as people, drivers and hubs write them, and the row that each means, or (where no row is meant) one that must be near
TYPED = pd.read_csv(Path(__file__).with_name("spellings.csv"), keep_default_na=False)
FOUND = TYPED[TYPED.row != ""][["table", "name", "row"]].values.tolist()
REFUSED = TYPED[TYPED.row == ""][["table", "name", "near"]].values.tolist()


def test_hundreds_of_spellings_are_tried_and_nearly_all_are_found():
    assert len(TYPED) >= 400 and len(FOUND) >= 0.94 * len(TYPED)


@pytest.mark.filterwarnings("ignore:.*number format is not taken from the name")
@pytest.mark.parametrize("table", sorted(set(TYPED.table)))
def test_a_natural_spelling_finds_its_row(table):
    for _, name, key in (line for line in FOUND if line[0] == table):
        assert zoo.lookup(table, name).key == key, name
        assert zoo.lookup(table, f"  {name.upper()} ").key == key, name


@pytest.mark.parametrize("table, name, key", REFUSED, ids=[name for _, name, _ in REFUSED])
def test_a_name_that_is_none_of_the_rows_is_refused_with_the_right_ones_near(table, name, key):
    with pytest.raises(UnknownName, match=r"no .* is named .*; nearest: ") as error:
        zoo.lookup(table, name)
    near = str(error.value).partition("nearest: ")[2].split(", ")
    assert key in [zoo.lookup(table, label).key for label in near[:3]]


FORMATS = {
    "Meta-Llama-3.1-405B-Instruct-FP8": ("llama3_1_405b", "fp8"),
    "Qwen2.5-72B-Instruct-AWQ": ("qwen2_5_72b", "int4"),
    "neuralmagic/Meta-Llama-3.1-70B-Instruct-quantized.w4a16": ("llama3_1_70b", "int4"),
    "llama-3.1-8b-Q4_K_M": ("llama3_1_8b", "q4_k_m"),
    "hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4": ("llama3_1_8b", "int4"),
    "llama-3.1-8b-q8_0": ("llama3_1_8b", "q8_0"),
    "llama-3.1-8b-IQ3_XXS": ("llama3_1_8b", "q3_k_m"),
    "nvidia/Llama-3.3-70B-Instruct-NVFP4": ("llama3_3_70b", "nvfp4"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_in_a_name_is_not_dropped_without_a_word(name):
    key, precision = FORMATS[name]
    with pytest.warns(UserWarning, match=rf"taken as {key}.*precision='{precision}'"):
        assert zoo.model(name).key == key


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
