"""Predictions against measured runs: what is read, refused, filled in by rule, and how far off it is."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mlsysim as ms
from mlsysim import zoo
from mlsysim.calibration import clusters, frameworks, networks, rules, serving, streams, training, validate
from mlsysim.calibration.problem import Problem
from mlsysim.calibration.runs import read
from mlsysim.engine.draws import Draws
from mlsysim.schema.codes import Precision, Recompute
from mlsysim.zoo import tables

MEASURED = Path(__file__).parent.parent / "benchmarks" / "measured"
TARGETS = {
    "step_time",
    "memory_per_device",
    "itl",
    "ttft",
    "e2e_latency",
    "tokens_per_s",
    "tokens_per_s_per_device",
} | {"collective_time"}
STATISTICS = {"n", "median_ape", "mean_ape", "bias", "p90", "coverage80", "source_mean"}


def a_training_run(**changes):
    return {
        "source_id": "mine",
        "model_key": "llama3_1_8b",
        "hardware": "h100",
        "n_gpus": 8,
        "seq_len": 8192,
        "global_batch": 64,
        "micro_batch": 1,
        "tp": 2,
        "pp": 1,
        "dp": 4,
        "precision": "bf16",
        "recompute": "full",
        "measured_step_time_s": 6.0,
        **changes,
    }


def a_serving_run(**changes):
    return {
        "source": "mine",
        "engine": "vllm 0.12",
        "model": "llama3_1_8b",
        "hardware": "h100",
        "tp": 1,
        "precision": "bf16",
        "scenario": "closed_loop",
        "batch_or_concurrency": 16,
        "input_len": 1024,
        "output_len": 256,
        "itl_ms": 9.0,
        "ttft_ms": 80.0,
        **changes,
    }


@pytest.fixture(scope="module")
def published():
    return {name: ms.validate(MEASURED / f"{name}.csv") for name in ("training", "serving")}


# --- the published rows ------------------------------------------------------------------------------------


def test_published_training_runs(published):
    summary = published["training"].summary
    assert summary["rows"] == 239 and summary["answered"] >= 0.95 * 237
    step = summary["targets"]["step_time"]
    assert step["source_mean"] < 0.16 and step["median_ape"] < 0.12 and abs(step["bias"]) < 0.1
    assert summary["targets"]["memory_per_device"]["median_ape"] < 0.12
    assert 0.5 < step["coverage80"] <= 0.97


def test_published_serving_measurements(published):
    summary = published["serving"].summary
    assert summary["suspect"] == 6 and summary["answered"] >= 0.95 * (summary["rows"] - 6)
    groups = summary["groups"]
    assert groups["dense/max_load"]["tokens_per_s"]["median_ape"] < 0.09
    assert groups["moe/max_load"]["tokens_per_s"]["median_ape"] < 0.12
    assert groups["dense/closed_loop"]["itl"]["median_ape"] < 0.14
    assert groups["dense/static_batch"]["tokens_per_s"]["median_ape"] < 0.12


def test_json_has_the_promised_shape(published):
    for kind, result in published.items():
        told = json.loads(result.to_json())
        assert {"rows", "answered", "refused", "targets", "groups", "sources"} <= set(told)
        assert set(told["targets"]) == TARGETS
        for entry in told["targets"].values():
            assert set(entry) == STATISTICS
        assert all({"row", "why"} == set(r) for r in told["refused"])
        names = list(told["sources"])
        assert ("torchtitan" in names) if kind == "training" else all(n.count(" | ") == 3 for n in names)
        level = result.table()
        assert {"target", "source", "n", "median", "p90", "level", "scatter"} == set(level.columns)
        assert len(level) == sum(len(targets) for targets in told["sources"].values())


def test_source_mean_weighs_sources_not_rows(published):
    rows = published["training"].rows
    rows = rows[rows.target == "step_time"]
    expected = np.mean([g.error.abs().median() for _, g in rows.groupby("source")])
    assert published["training"].summary["targets"]["step_time"]["source_mean"] == pytest.approx(expected)


def test_rows_say_what_was_predicted(published):
    rows = published["serving"].rows
    assert np.allclose(rows.error, rows.predicted / rows.measured - 1.0)
    assert (rows.low <= rows.high).all() and ((rows.low < rows.predicted) & (rows.predicted < rows.high)).mean() > 0.9


# --- reading -----------------------------------------------------------------------------------------------


def test_a_frame_and_its_file_are_the_same(tmp_path):
    frame = pd.DataFrame([a_training_run(), a_training_run(micro_batch=None, source_id="other")])
    frame.to_csv(tmp_path / "runs.csv", index=False)
    a, b = ms.validate(frame), ms.validate(tmp_path / "runs.csv")
    assert a.to_json() == b.to_json() and a.kind == "training" and a.answered == 2


def test_kinds_are_told_by_their_columns():
    assert read(pd.DataFrame([a_training_run()])).kind == "training"
    assert read(pd.DataFrame([a_serving_run()])).kind == "serving"


def test_further_columns_and_blank_cells_do_not_matter():
    plain = ms.validate(pd.DataFrame([a_training_run()]), sample=0)
    more = ms.validate(
        pd.DataFrame([a_training_run(notes="", cp=None, ep=np.nan, weather="rain", zero_stage="")]), sample=0
    )
    assert more.rows.predicted.tolist() == plain.rows.predicted.tolist()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("hardware,n_gpus\n", "column"),
        ("a,b\n1,2\n", "no column of measured runs"),
        ('hardware,n_gpus\n"h100,8\n', "not well-formed"),
        ("hardware,n_gpus,seq_len,global_batch,tp,pp,model_key\nh100,8,1,1,1,1,gpt2\n", "no measured figure"),
        (
            "hardware,n_gpus,seq_len,global_batch,tp,pp,pp,measured_step_time_s\nh100,8,1,1,1,1,1,1\n",
            "'pp' is there twice",
        ),
        ("hardware,n_gpus,seq_len,global_batch,tp,pp,model_key,measured_step_time_s\n", "no rows"),
    ],
)
def test_malformed_files_are_told_in_one_line(tmp_path, text, says):
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"runs\.csv") as error:
        ms.validate(path)
    assert says in str(error.value) and "\n" not in str(error.value)


def test_files_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="no such file"):
        ms.validate(tmp_path / "nothing.csv")
    with pytest.raises(ValueError, match="directory"):
        ms.validate(tmp_path)
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ValueError, match="UTF-8"):
        ms.validate(tmp_path / "x.csv")


@pytest.mark.parametrize(
    "thing", [None, 3, [], {}, b"x", math.nan, np.zeros(3), pd.Series([1])], ids=lambda v: type(v).__name__
)
def test_what_is_neither_a_file_nor_a_table_is_refused_in_words(thing):
    with pytest.raises(ValueError, match=r"^runs=.*path of a CSV file"):
        ms.validate(thing)


@pytest.mark.parametrize(
    "name, says", [("a\0b", "cannot be read"), ("x" * 5000, "cannot be read"), ("no.csv", "no such file")]
)
def test_a_name_that_no_file_has_is_refused_in_one_short_line(name, says):
    with pytest.raises(ValueError, match=says) as caught:
        ms.validate(name)
    assert len(str(caught.value)) < 120


def test_far_too_many_runs_are_refused_by_their_number_and_size(tmp_path, monkeypatch):
    from mlsysim.calibration import runs

    row = pd.read_csv(MEASURED / "training.csv").head(1)
    many = row.loc[[0] * (runs.MOST_ROWS + 1)].reset_index(drop=True)
    with pytest.raises(ValueError, match=r"20,001 rows, at most 20,000"):
        ms.validate(many)
    path = tmp_path / "large.csv"
    row.to_csv(path, index=False)
    monkeypatch.setattr(runs, "LARGEST", 100)
    with pytest.raises(ValueError, match=r"large\.csv: is larger than"):
        ms.validate(path)


@pytest.mark.parametrize(
    "argument, value",
    [
        ("sample", -1),
        ("sample", 1),
        ("sample", "many"),
        ("sample", 1.5),
        ("assume", 3),
        ("assume", {"training_level": 1.0}),
    ],
)
def test_arguments_of_validate_are_named(argument, value):
    with pytest.raises(ValueError, match=rf"^{argument}="):
        ms.validate(MEASURED / "training.csv", **{argument: value})


@pytest.mark.parametrize("column", ["hardware", "n_gpus", "seq_len", "global_batch", "tp", "pp"])
def test_a_missing_column_is_named(column):
    frame = pd.DataFrame([a_training_run()]).drop(columns=column)
    with pytest.raises(ValueError, match=f"column {column} missing"):
        ms.validate(frame)


@pytest.mark.parametrize(
    "column", ["hardware", "model", "tp", "precision", "scenario", "batch_or_concurrency", "input_len"]
)
def test_a_missing_serving_column_is_named(column):
    frame = pd.DataFrame([a_serving_run()]).drop(columns=column)
    with pytest.raises(ValueError, match=f"column {column} missing"):
        ms.validate(frame)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seq_len": "long"}, "seq_len='long' where a number belongs"),
        ({"n_gpus": 8.5}, "whole number"),
        ({"tp": -1}, "above 0"),
        ({"measured_step_time_s": 0}, "above 0"),
        ({"measured_step_time_s": "inf"}, "finite"),
        ({"suspect": 2}, "0 or 1"),
        ({"pp": True}, "where a number belongs"),
    ],
)
def test_text_where_a_number_belongs(changes, says):
    """It costs its own row; the other is answered as if it stood alone."""
    frame = pd.DataFrame([a_training_run(), a_training_run(**changes)])
    result = ms.validate(frame, sample=0)
    assert result.refused.row.tolist() == [3] and says in result.refused.why[0]
    alone = ms.validate(pd.DataFrame([a_training_run()]), sample=0)
    assert result.rows.predicted.tolist() == alone.rows.predicted.tolist()


def test_a_file_of_odd_rows_alone_says_why_of_each(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("hardware,n_gpus,seq_len,global_batch,tp,pp,model_key,measured_step_time_s\nh100,8,1,1,1\n")
    result = ms.validate(path)
    assert result.answered == 0 and result.refused.to_dict("records") == [
        {"row": 2, "why": "has 5 cells where the header has 8"}
    ]
    with pytest.raises(ValueError, match="no run to fit: has 5 cells"):
        ms.calibrate(None, path)


# --- refused and left out ------------------------------------------------------------------------------------


def test_unknown_names_are_refused_not_fatal():
    runs = [
        a_training_run(),
        a_training_run(hardware="h1000"),
        a_training_run(model_key="llama9"),
        a_training_run(precision="fp3"),
        a_training_run(measured_step_time_s=None),
        a_training_run(recompute="some"),
        a_training_run(n_gpus=9),
        a_training_run(tp=3, dp=None, n_gpus=9),
        a_training_run(hardware="", suspect=0),
        a_training_run(suspect=1),
    ]
    result = ms.validate(pd.DataFrame(runs), sample=0)
    assert result.answered == 1 and result.suspect == 1
    why = dict(zip(result.refused.row, result.refused.why))
    assert (
        "'h1000'" in why[3] and "llama9" in why[4] and "fp3" in why[5] and "no measured" in why[6] and "some" in why[7]
    )
    assert "n_gpus=9" in why[8] and "impossible" in why[9] and "no hardware" in why[10]
    assert len(why) == 8


def test_unknown_serving_rows_are_refused():
    runs = [
        a_serving_run(),
        a_serving_run(model="nobody"),
        a_serving_run(scenario="party"),
        a_serving_run(output_len=None),
        a_serving_run(itl_ms=None, ttft_ms=None),
        a_serving_run(hardware="v100", precision="bf16"),
    ]
    result = ms.validate(pd.DataFrame(runs), sample=0)
    assert result.answered == 1
    assert result.refused.row.tolist() == [3, 4, 5, 6, 7]
    assert "output_len" in result.refused.why[2] and "capability" in result.refused.why[4]


def test_a_missing_datum_is_refused_with_its_name(monkeypatch):
    monkeypatch.setattr(tables, "_REGISTERED", {})
    zoo_row = zoo.Hardware("h100", mem_bandwidth=None, name="h100 of unknown memory")
    zoo.register(zoo_row)
    result = ms.validate(pd.DataFrame([a_training_run(hardware="h100 of unknown memory")]), sample=0)
    assert result.answered == 0 and "mem_bandwidth" in result.refused.why[0]


# --- rules ---------------------------------------------------------------------------------------------------


def candidates(**changes):
    run = read(pd.DataFrame([a_training_run(**changes)])).table.to_dict("records")[0]
    rows, setting = frameworks.of_run("trainer", run)
    return training.candidates(run, training.model(run), setting, rows[0]["since"])


def test_a_blank_micro_batch_is_the_fastest_feasible():
    blank = ms.validate(pd.DataFrame([a_training_run(micro_batch=None)]), sample=0).rows.predicted[0]
    each = [ms.validate(pd.DataFrame([a_training_run(micro_batch=b)]), sample=0).rows for b in (1, 2, 4, 8, 16)]
    assert blank == min(r.predicted[0] for r in each if r.fits[0])


def test_blank_recomputation_is_the_least_that_fits():
    assert {c.recompute for c in candidates(recompute=None)} == {Recompute.NONE, Recompute.SELECTIVE, Recompute.FULL}
    assert {c.recompute for c in candidates(recompute=None, framework="Megatron-LM 2021")} == {Recompute.FULL}
    time, limit, memory = np.array([3.0, 2.0, 1.0]), np.array([3, 0, 0]), np.array([9.0, 5.0, 4.0])
    assert training.pick(time, limit, memory, [0, 1, 2]) == 1  # selective fits, and goes before full
    assert training.pick(time, np.array([3, 3, 3]), memory, [0, 1, 2]) == 2  # nothing fits: the smallest
    assert training.pick(time, np.array([1, 1, 1]), memory, [0, 1, 2]) is None


def test_blank_layouts_follow_the_rules():
    assert {c.inputs["tp"] for c in candidates(tp=None, model_key="llama3_1_70b", n_gpus=64, dp=None, pp=None)} == {8.0}
    assert {c.inputs["tp"] for c in candidates(tp=None, dp=None)} == {1.0}
    assert all(c.inputs["dp"] * c.inputs["pp"] == 8 for c in candidates(tp=None, dp=None, pp=None))
    assert {c.inputs["global_batch"] for c in candidates(global_batch=None, seq_len=2048, tp=1, dp=8)} == {2048.0}
    assert {c.inputs["micro_batch"] for c in candidates(framework="maxtext", micro_batch=3)} == {6.0}  # per device
    assert {c.inputs["micro_batch"] for c in candidates(framework="torchtitan", micro_batch=None, pp=2, dp=2)} == {16.0}
    interleaved = {c.inputs["virtual_stages"] for c in candidates(framework="Megatron-LM", pp=4, dp=1, tp=2)}
    assert 1.0 in interleaved and 8.0 in interleaved


def test_architecture_follows_the_parameter_count():
    shape = {"n_layers": 48.0, "hidden": 6144.0, "heads": 64.0, "vocab": 51200.0, "ffn_hidden": 24576.0}
    gpt = training.model({**shape, "n_params": 22e9})
    assert gpt["gated_ffn"] == 0 and gpt["tied_embeddings"] == 1 and gpt["head_dim"] == 96
    shape = {"n_layers": 64.0, "hidden": 8192.0, "heads": 128.0, "vocab": 32000.0, "ffn_hidden": 57344.0}
    wide = training.model({**shape, "n_params": 128e9})
    assert wide["gated_ffn"] == 1 and wide["head_dim"] == 128
    glm = training.model({"n_layers": 70.0, "hidden": 12288.0, "n_params": 130e9})
    assert glm["n_heads"] == 96 and glm["total_params"] == pytest.approx(130e9, rel=0.03)


def test_labels_of_a_device_change_it():
    slow = rules.device({"hardware": "h100", "gpu": "H100-96GB HBM2e 2.4TB/s 500W (Grand Teton)"})
    assert slow["mem_bandwidth"] == 2.4e12 and slow["mem_capacity"] > 9e10
    assert slow["peak_bf16"] / zoo.hardware("h100")["peak_bf16"] == pytest.approx((500 / 700) ** (1 / 3))
    assert rules.device({"hardware": "h100", "gpu": "H100-80GB-SXM 700W"}) is zoo.hardware("h100")


# --- what a source's figure means -----------------------------------------------------------------------------


def time_of(**changes):
    run = read(pd.DataFrame([a_training_run(measured_step_time_s=None, **changes)])).table.to_dict("records")[0]
    _, setting = frameworks.of_run("trainer", run)
    model = training.model(run)
    return training.measured(
        run, model, zoo.hardware("h100"), setting, training.candidates(run, model, setting, 2024)[0].inputs
    )


def test_step_times_follow_from_other_figures():
    tokens = 64 * 8192
    assert time_of(measured_tokens_per_s_per_gpu=8000.0) == pytest.approx(tokens / 64000)
    n = zoo.model("llama3_1_8b")["total_params"]
    by_hand = tokens * (6 * n + 12 * 32 * 4096 * 8192) / (8 * 400e12)
    assert time_of(measured_tflops_per_gpu=400.0, tflops_convention="6N + 12Lds") == pytest.approx(by_hand)
    full, causal = (
        time_of(measured_tflops_per_gpu=400.0, tflops_convention=f"model, {c} attention") for c in ("full", "causal")
    )
    assert full > causal
    executed = time_of(measured_tflops_per_gpu=400.0, tflops_convention="hardware, incl. recompute, full attention")
    head = 6 * 4096 * 128256 * tokens / (8 * 400e12)
    assert executed - head == pytest.approx(4 / 3 * (full - head))
    assert time_of(measured_mfu=400 / 989.4, tflops_convention="full") == pytest.approx(full)


def test_narayanan_equation_3():
    """GPT-3 on 384 A100 at 144 TFLOP/s: 96 B s l h^2 (1 + s/6h + V/16lh) operations."""
    row = pd.read_csv(MEASURED / "training.csv").query("source_id == 'narayanan2021_t2'").iloc[0]
    layers, hidden, seq, vocab = 96, 12288, 2048, 51200
    flops = 96 * 1536 * seq * layers * hidden**2 * (1 + seq / (6 * hidden) + vocab / (16 * layers * hidden))
    result = ms.validate(pd.DataFrame([row]), sample=0)
    assert result.rows.measured[0] == pytest.approx(flops / (384 * 144e12), rel=2e-3)


# --- frameworks ------------------------------------------------------------------------------------------------


def test_the_longest_name_decides_and_the_version_behind_it():
    assert frameworks.recognise("engine", ["TensorRT-LLM 0.17"]).key == "tensorrt_llm_0_8"
    assert frameworks.recognise("engine", ["trtllm 1.2.0rc6"]).key == "tensorrt_llm"
    assert frameworks.recognise("engine", ["trtllm 1.0.0rc3"]).key == "tensorrt_llm_1"
    assert frameworks.recognise("trainer", ["github.com/pytorch/torchtitan benchmarks"]).key == "torchtitan"
    assert frameworks.recognise("trainer", ["torchtitan"], 2024).key == "torchtitan_2024"
    assert frameworks.recognise("trainer", ["Megatron-LM v0.11"], 2021).key == "megatron_lm_2021"
    assert frameworks.recognise("trainer", ["Megatron-LM 2019"], 2024).key == "megatron_lm_2019"
    assert frameworks.recognise("trainer", ["mine"]) is None
    assert frameworks.recognise("engine", [None, "", float("nan")]) is None
    assert [r.key for r in frameworks.every("mechanism", ["FSDP+compile+AsyncTP"])] == ["torch_compile", "async_tp"]
    rows, setting = frameworks.of_run("trainer", {"source_id": "nobody"})
    assert rows[0].key == frameworks.DEFAULT["trainer"] and setting["flops_convention"] == "causal"


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ({"hardware": "tpu_v5p", "zero_stage": 3}, "xla"),
        ({"hardware": "a100", "zero_stage": 3}, "pytorch_fsdp_2023"),
        ({"hardware": "h100", "zero_stage": 3}, "pytorch_fsdp"),
        ({"hardware": "v100"}, "megatron_lm_2021"),
        ({"hardware": "a100", "source": "arXiv:2105.12345"}, "megatron_lm_2021"),
        ({"hardware": "a100", "source": "a blog of 2022", "zero_stage": 1.0}, "megatron_deepspeed"),
        ({"hardware": "a100", "source": "a blog of 2022", "zero_stage": float("nan")}, "megatron_lm_2022"),
        ({"hardware": "b200", "source": ""}, "megatron_lm"),
        ({}, "megatron_lm"),
        ({"hardware": "no such thing", "source": 3}, "megatron_lm"),
    ],
)
def test_a_run_that_names_no_framework_has_the_usual_one(run, expected):
    assert frameworks.likely(run).key == expected


def test_published_runs_whose_frameworks_are_hidden(monkeypatch):
    """The year and the kind of a run tell most of what its framework does."""
    monkeypatch.setattr(frameworks, "recognise", lambda kind, texts, year=None: None)
    table = pd.read_csv(MEASURED / "training.csv")
    hidden = ms.validate(table, sample=0)
    medians = hidden.rows[hidden.rows.target == "step_time"].groupby("source").error.agg(lambda e: e.abs().median())
    assert len(medians) >= 16 and medians.median() < 0.08
    monkeypatch.setattr(frameworks, "likely", lambda run: zoo.framework("megatron_lm"))
    one = ms.validate(table, sample=0)
    rough = one.rows[one.rows.target == "step_time"].groupby("source").error.agg(lambda e: e.abs().median())
    assert rough.median() > 1.5 * medians.median()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("TensorRT-LLM v0.10.0", "tensorrt_llm_0_8"),
        ("vLLM v0.6.3", "vllm_0"),
        ("vllm 0.9", "vllm_0"),
        ("vllm 0.22.1", "vllm"),
        ("vllm 1", "vllm"),
        ("trtllm", "tensorrt_llm"),
    ],
)
def test_versions_are_read_with_and_without_a_v(text, key):
    assert frameworks.recognise("engine", [text]).key == key == zoo.frameworks.named(text).key


def test_every_framework_is_usable():
    for row in zoo.find("frameworks"):
        assert isinstance(ms.zoo.assumptions(row.key), ms.Assumptions)
    assert zoo.assumptions("vllm 0.12").host_step_time == zoo.framework("vllm_0")["host_step_time"] != 1e-3
    with pytest.raises(ValueError, match="nearest"):
        zoo.assumptions("vllmm")
    with pytest.raises(ValueError, match="frameworks"):
        zoo.assumptions(3)
    told = ms.ServingModel.solve(
        model="llama3_1_8b", hardware="h100", seq_len=1024, assume=["vllm", "sglang"], keep=["itl"]
    )
    assert told.itl[0] > told.itl[1]


def test_what_the_user_assumes_goes_first():
    run = pd.DataFrame([a_serving_run()])
    engine = ms.validate(run, sample=0)
    ours = ms.validate(run, ms.Assumptions(host_step_time=0.02), sample=0)
    itl = [v.rows.set_index("target").predicted["itl"] for v in (engine, ours)]
    assert itl[1] - itl[0] == pytest.approx(0.0185, rel=0.1)


# --- serving -----------------------------------------------------------------------------------------------------


def question(**changes):
    return serving.question(read(pd.DataFrame([a_serving_run(**changes)])).table.to_dict("records")[0])


def test_every_scenario_asks_its_question():
    assert question().resolver == "closed" and question(scenario="static_batch").resolver == "serving"
    most = question(
        scenario="max_load", tokens_per_s_total=1.0, source="perf-overview.md", input_len=128, output_len=128
    )
    assert most.resolver == "saturated" and most.inputs["n_requests"] == serving.REQUESTS
    prefill = question(scenario="prefill_only", input_len=4096, batch_or_concurrency=None, tokens_per_s_per_gpu=1e4)
    assert prefill.targets["tokens_per_s"][1:] == (16384.0, -1.0)
    wide = question(
        scenario="decode_only",
        model="deepseek_v3_671b",
        notes="decode, EP16",
        batch_or_concurrency=8,
        tokens_per_s_per_gpu=5,
    )
    assert wide.inputs["ep"] == 16 and wide.inputs["batch_size"] == 128 and wide.measured["tokens_per_s"] == 80
    assert question(notes="moe_ep=8").inputs["ep"] == 1  # no experts


def test_formats_follow_engine_and_checkpoint():
    def formats(**changes):
        inputs = question(**changes).inputs
        return Precision(inputs["precision"]), Precision(inputs["kv_precision"])

    assert formats(precision="fp8", engine="trtllm 1.1") == (Precision.FP8, Precision.FP8)
    assert formats(precision="fp8") == (Precision.FP8, Precision.BF16)
    assert formats(precision="fp8", precision_kv="fp8") == (Precision.FP8, Precision.FP8)
    assert formats(precision="nvfp4", model="gpt_oss_120b") == (Precision.BF16, Precision.BF16)
    assert formats(precision="nvfp4", hardware="b200") == (Precision.NVFP4, Precision.FP8)
    assert question(precision="nvfp4", model="gpt_oss_120b").inputs["expert_bytes"] == pytest.approx(4.25 / 8)


def test_what_a_run_says_of_its_load_goes_before_all_rules():
    spread = question(length_mean=0.9, length_cv=0.0642)
    assert spread.inputs["seq_len"] == round(0.9 * 1024) and spread.inputs["requests_per_user"] == 10
    assert question(requests_per_user=3).inputs["requests_per_user"] == 3
    assert question(harness="steady state").inputs["requests_per_user"] == 1000
    assert question(harness="steady state", requests_per_user=5).inputs["requests_per_user"] == 5
    assert question(scenario="static_batch").assumed["frontend_time"] == 0.0
    told = question(engine="sglang 0.5", prefill_chunk=32768, poll_steps=30, host_step_time=0.002)
    assert told.inputs["prefill_chunk"] == 32768 and told.assumed["poll_steps"] == 30
    assert told.assumed["host_step_time"] == 0.002 and "host_step_time" not in told.fitted
    assert question(engine="sglang 0.5").fitted["host_step_time"] == "faster_transformer"  # one figure of both


def test_prompts_are_as_long_as_the_server_counts_them():
    """A client whose tokenizer is another one sends longer prompts than it says; answers are the server's own."""
    told, recounted = (question(length_mean=0.9, **more) for more in ({}, {"prompt_ratio": 5.03}))
    assert recounted.inputs["seq_len"] == round(0.9 * 5.03 * 1024)
    assert recounted.inputs["output_len"] == told.inputs["output_len"]


def late_run(**more):
    """A closed loop whose first token waits for more than its prompts."""
    run = {
        "source": "mine",
        "engine": "vllm 0.18",
        "model": "llama3_1_8b",
        "hardware": "h100",
        "tp": 1,
        "precision": "bf16",
        "scenario": "closed_loop",
        "batch_or_concurrency": 64,
        "input_len": 512,
        "output_len": 512,
        "ttft_ms": 9000.0,
        "itl_ms": 12.0,
    }
    return validate(pd.DataFrame([{**run, **more}]), sample=0)


def test_a_first_token_later_than_all_prompts_token_by_token_is_suspect():
    """64 prompts of 512 tokens, fed a token a step of 12 ms, are read after 6.1 s: who waits for 9 s waits for something else."""
    (why,) = late_run().refused.why
    assert why.startswith("suspect: ttft_ms=9000") and "write max_batch=26" in why
    assert late_run(ttft_ms=6000.0).answered == 1
    stated = late_run(max_batch=26)  # and then the wait is for a slot
    assert stated.answered == 1 and (stated.rows.predicted[stated.rows.target == "ttft"] > 5.0).all()


def test_who_says_what_its_program_does_is_no_unknown_engine():
    unknown = {"engine": "some graphs of mine"}
    assert frameworks.between("engine", unknown) == frameworks.BETWEEN["engine"]
    assert frameworks.between("engine", {**unknown, "host_step_time": 0.0}) == frameworks.DESCRIBED["engine"]
    assert frameworks.between("engine", {"engine": "vllm 0.18"}) == {}
    line = frameworks.known_of([frameworks.named("engine", {"engine": "vllm 0.18"})])[0]
    assert frameworks.between("engine", {"engine": "vllm 0.18"}, {line}) == frameworks.BETWEEN["engine"]
    own = {"lmdeploy  max_batch", "lmdeploy  last_token_apart"}  # what was read off runs is that of its origin
    assert frameworks.between("engine", {"engine": "LMDeploy TurboMind"}, own) == {}
    origin = own | {"faster_transformer  host_step_time"}
    assert frameworks.between("engine", {"engine": "LMDeploy TurboMind"}, origin) == frameworks.BETWEEN["engine"]


def test_what_a_stream_or_a_collective_leaves_open_widens_its_interval():
    assert streams.uncertain({"phase": "prefill", "backend": "Vulkan"}) == {"tokens_per_s": streams.BACK_END}
    assert streams.uncertain({"phase": "prefill", "backend": "CUDA"}) == {}
    assert networks.uncertain({"collective": "all_reduce", "n_nodes": 2}) == {"collective_time": networks.LAID}
    small = {"collective": "all_reduce", "n_nodes": 2, "size_bytes": 1e6}
    assert networks.uncertain(small) == {"collective_time": networks.SENT} and networks.SENT > networks.LAID
    assert networks.uncertain({"collective": "alltoall", "n_nodes": 2}) == {"collective_level": networks.PORT}
    assert networks.uncertain({"collective": "alltoall", "n_nodes": 1}) == {}
    soldered = streams.uncertain({"phase": "decode", "hardware": "apple_m2_ultra"})
    assert soldered == {"serving_level": streams.ONE_MACHINE} and streams.uncertain({"hardware": "rtx_4090"}) == {}


def test_what_a_cluster_leaves_open_widens_its_interval():
    cluster = {"model": "deepseek_r1_671b", "hardware": "b200", "engine": "TensorRT-LLM", "precision_weights": "nvfp4"}
    stated = {**cluster, "decode_max_batch": 64.0, "draft_len": 0.0}
    assert clusters.uncertain(stated) == {"ttft": clusters.FIRST_TOKEN, **clusters.RECIPE}
    assert "serving_level" not in clusters.uncertain({**cluster, "concurrency": 9.0})
    blank = clusters.uncertain({**cluster, "concurrency": 131.0, "decode_workers": 1.0})
    assert blank["max_batch"] == (None, None, 115.0, 100.0) and blank["moe_layer_latency"] == (None, 35e-6, 50e-6)
    assert "moe_layer_latency" not in clusters.uncertain({**cluster, "concurrency": 9.0, "moe_backend": "deepgemm"})
    full = clusters.uncertain({**stated, "concurrency": 1e4, "decode_workers": 1.0})
    assert full["ttft"] == clusters.QUEUED < clusters.FIRST_TOKEN and "itl" not in full
    free, checked = (clusters.uncertain({**stated, "draft_len": 3.0, "concurrency": users}) for users in (1.0, 1e4))
    assert "itl" not in free and checked["itl"] == checked["e2e_latency"] == clusters.CHECKED


@pytest.mark.parametrize(
    ("change", "widens"),
    [
        ({}, True),
        ({"hardware": "b200"}, False),
        ({"engine": "SGLang 0.5.9"}, False),
        ({"model": "mixtral_8x7b"}, False),  # a scale a tensor
    ],
)
def test_kernels_that_are_compiled_when_they_are_met_widen_first_tokens(change, widens):
    run = {
        "model": "deepseek_r1_671b",
        "hardware": "h200",
        "engine": "TensorRT-LLM",
        "precision_weights": "fp8",
    } | change
    found = clusters.uncertain({**run, "decode_max_batch": 64.0})["ttft"]
    assert found == (np.hypot(clusters.FIRST_TOKEN, clusters.COMPILED) if widens else clusters.FIRST_TOKEN)


def test_the_interval_of_a_row_is_its_own_whatever_stands_beside_it():
    """A row beside it is one of an unknown engine, or documents what this one leaves to its default."""
    ours = {
        "hardware": "h100_sxm5_80gb",
        "model": "llama3_1_8b",
        "engine": "vllm 0.18",
        "tp": 1,
        "precision": "fp16",
        "scenario": "static_batch",
        "batch_or_concurrency": 8,
        "input_len": 512,
        "output_len": 128,
        "itl_ms": 8.0,
        "ttft_ms": 200.0,
    }
    others = [{**ours, "engine": "one of mine"}, {**ours, "batch_or_concurrency": 1}, {**ours, "engine": "sglang"}]
    alone = validate(pd.DataFrame([ours])).rows
    beside = validate(pd.DataFrame([ours, *others])).rows
    beside = beside[beside.row == alone.row.iloc[0]]
    assert list(beside.target) == list(alone.target) == ["itl", "ttft"]
    np.testing.assert_allclose(beside[["low", "high"]], alone[["low", "high"]], rtol=1e-9)


def test_a_share_that_is_drawn_stays_one():
    """`vector_product_efficiency` is 1 at most, also where a row of another engine has one of its own."""
    problem = Problem(read(MEASURED / "edge.csv"))
    part = next(p for p in problem.parts if "vector_product_efficiency" in p.assumed)
    spread = np.full(part.size, 0.3)
    assert float(part._uncertain("vector_product_efficiency", spread, Draws(50)).max()) <= 1.0


def test_one_token_has_no_grouped_experts():
    run = {"hardware": "h100", "model": "gpt_oss_20b", "quant_label": "MXFP4"}
    assert streams.question({**run, "phase": "decode"}).assumed["mixture_serving_level"] == 1.0
    assert "mixture_serving_level" not in streams.question({**run, "phase": "prefill"}).assumed


def test_a_lone_prompt_meets_no_other():
    assert question(scenario="static_batch", batch_or_concurrency=1).assumed["first_token_scatter"] == 1.0
    alone = {"scenario": "first_token", "batch_or_concurrency": 1, "engine": "TensorRT-LLM 0.6"}
    assert serving.uncertain(alone) == {"serving_level": serving.CLOCKS, "first_token_scatter": serving.ALONE}
    told = {
        **alone,
        "engine": "my own",
        "host_step_time": 0.0,
        "host_sequence_time": 0.0,
    }  # what the engine does is known
    assert serving.uncertain(told) == {"serving_level": serving.CLOCKS}
    assert question(**told, ttft_ms=9.0).assumed["first_token_scatter"] == 1.0
    assert serving.uncertain({**alone, "scenario": "closed_loop"}) == {}
    assert "first_token_scatter" not in question(scenario="first_token", batch_or_concurrency=8).assumed


def test_a_batch_that_stays_together_is_no_closed_loop():
    together = question(one_batch=1, frontend_time=0.0)
    assert together.resolver == "serving" and together.assumed["frontend_time"] == 0.0


def test_every_setting_is_read_by_name(monkeypatch):
    """A typo in the table would be a setting that nothing reads."""
    lines = zoo.tables.records("settings")
    assert len(lines) == len({(line["framework"], line["setting"], line["since_version"]) for line in lines}) < 148
    wrong = [{**lines[0], "setting": "optimizer_slowdwon"}]
    monkeypatch.setattr(zoo.tables, "records", lambda name: wrong)
    with pytest.raises(ValueError, match="nearest: optimizer_slowdown"):
        zoo.frameworks.frameworks.__wrapped__()


def test_settings_that_go_with_another_do_so_unless_they_are_said():
    overlaps = {y: zoo.framework(f"megatron_lm_{y}")["weight_gradient_overlap"] for y in (2019, 2022)}
    assert overlaps == {2019: 0.0, 2022: "x1"} and zoo.framework("megatron_lm_2022")["tensor_overlap"] == 0.0
    dealt = {v: zoo.frameworks.named(f"sglang {v}")["decode_group_routing"] for v in ("0.5.6", "0.5.7")}
    assert dealt == {"0.5.6": "random", "0.5.7": "shared"}
    forgotten = zoo.frameworks.without(zoo.framework("async_tp"), {"async_tp  tensor_overlap"})
    assert forgotten["tensor_overlap"] is forgotten["weight_gradient_overlap"] is None


def test_a_later_version_changes_what_it_says_and_keeps_the_rest():
    older, newer = zoo.framework("tensorrt_llm_0"), zoo.framework("tensorrt_llm")
    assert (older["fused_quantise"], newer["fused_quantise"]) == (1.0, None)
    assert older["pool_fraction"] == newer["pool_fraction"] == 0.9
    assert (
        zoo.framework("megatron_deepspeed")["optimizer_slowdown"]
        == zoo.framework("megatron_lm_2021")["optimizer_slowdown"]
    )


def test_what_engines_of_one_origin_share_is_known_of_each():
    """TurboMind of 2023 and TensorRT-LLM up to 0.7 took their kernels and their runtime from FasterTransformer."""
    shared = {"host_step_time", "host_sequence_time", "grouped_cache_reads"}
    asked = {"hardware": "a100", "model": "llama2_70b", "precision": "fp16", "tp": 4}
    turbomind, early, late = (
        question(engine=engine, **asked) for engine in ("LMDeploy TurboMind", "TensorRT-LLM 0.6.1", "TensorRT-LLM 0.17")
    )
    assert (
        {turbomind.fitted[name] for name in shared} == {early.fitted[name] for name in shared} == {"faster_transformer"}
    )
    assert turbomind.assumed["library_allreduce"] == early.assumed["library_allreduce"] == 1.0
    assert not {"library_allreduce", "grouped_cache_reads"} & late.assumed.keys()
    own = set(turbomind.known) - set(early.known)
    assert own == {
        "lmdeploy  max_batch",
        "lmdeploy  last_token_apart",
    }  # all that is forgotten where its runs are left out


def test_no_framework_bears_the_name_of_a_paper_a_device_or_a_model():
    taken = {zoo.spelling.fold(name) for table in ("models", "hardware") for name in zoo.tables.labels(table)}
    for row in zoo.find("frameworks"):
        for name in (row.key, *row.aliases):
            assert not re.search(r"\d{4}\.\d{5}", name) and zoo.spelling.fold(name) not in taken, name


@pytest.mark.parametrize(
    ("run", "key"),
    [
        ({"framework": "torchtitan 2026"}, "torchtitan"),
        ({"framework": "torchtitan 2024"}, "torchtitan_2024"),
        ({"source": "torchtitan benchmarks/llama3_h100_202412.md"}, "torchtitan_2024"),
        ({"framework": "torchtitan", "source": "read in 2025-06"}, "torchtitan"),
    ],
)
def test_a_framework_is_that_of_the_year(run, key):
    assert frameworks.of_run("trainer", run)[0][0].key == key


def test_grouped_products_are_those_of_the_format_on_the_device():
    """Rates measured on kernels: no published run was needed for them, so none takes them along when it is left out."""

    def efficiency(model="gpt_oss_120b", precision="nvfp4", engine="vLLM", **run):
        asked = question(model=model, precision=precision, engine=engine, **{"tp": 8, **run})
        assert "expert_gemm_efficiency" not in asked.fitted
        assert not any("experts" in line or "blackwell" in line for line in asked.known)
        return asked.assumed.get("expert_gemm_efficiency")

    assert efficiency(hardware="h100") < 1.0 < efficiency(hardware="b200")  # widened to 16 bits; inputs in 8
    assert efficiency(hardware="h100", engine="TensorRT-LLM 1.2") < efficiency(hardware="h100")  # by Triton
    scaled = {"model": "deepseek_r1_671b", "precision": "fp8"}
    assert efficiency(hardware="b200", **scaled) < efficiency(hardware="h200", **scaled) < 1.0
    four = {"model": "deepseek_r1_671b", "precision": "nvfp4", "hardware": "b200"}
    assert efficiency(**four) is None
    cutlass = {"tp": 8, **four, "moe_backend": "CUTLASS"}
    early, late = (question(**cutlass, engine=f"TensorRT-LLM {release}").assumed for release in ("1.2.0rc6", "1.3"))
    newest, other = (question(**cutlass, engine=name).assumed for name in ("TensorRT-LLM", "vLLM 0.24"))
    figures = [(run["moe_layer_latency"], run["expert_input_reads"]) for run in (early, late, newest, other)]
    assert figures == [(60e-6, 14.0), *[(35e-6, 10.0)] * 3]
    assert (
        efficiency(model="deepseek_r1_671b", precision="fp8", hardware="h800", tp=16, engine="DeepSeek in-house")
        is None
    )


def test_scales_of_blocks_are_those_of_the_checkpoint():
    """DeepSeek's and Qwen3's in 8 bits, dense models too; others have a scale a tensor, and 16 bits have none."""

    def scaled(model, precision="fp8"):
        return question(model=model, precision=precision, tp=8, hardware="h200").assumed.get("block_scales", 0.0)

    assert scaled("qwen3_32b") == scaled("qwen3_235b_a22b") == scaled("deepseek_r1_671b") == 1.0
    assert scaled("llama3_1_8b") == scaled("qwen3_32b", "bf16") == 0.0


def test_a_limit_of_running_requests_is_that_of_a_scheduler():
    """Engines that run a scheduler for each attention group have the limit in each, SGLang in all together."""
    run = {
        "model": "deepseek_r1_671b",
        "hardware": "h200",
        "precision": "fp8",
        "tp": 1,
        "ep": 8,
        "scenario": "max_load",
    }
    run |= {"input_len": 1024, "output_len": 1024}
    one, each = (question(**run, engine=engine).inputs["max_batch"] for engine in ("SGLang", "TensorRT-LLM 1.2"))
    assert each == 8 * one


def test_one_call_per_question():
    problem = Problem(read(MEASURED / "serving.csv"))
    assert len(problem.parts) == 4 and sum(p.size for p in problem.parts) == len(problem.kept)
