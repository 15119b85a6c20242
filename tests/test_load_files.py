"""Files that people have: what load generators write is read as measured runs, and every error says what to add."""

import json

import pandas as pd
import pytest
from terminal import runner

import mlsysim as ms
from mlsysim.calibration.runs import read
from mlsysim.cli.commands import app

#: keys of vllm bench serve --save-result (vllm/benchmarks/serve.py); figures of our own
VLLM = {
    "date": "20260901-120000",
    "endpoint_type": "vllm",
    "model_id": "meta-llama/Llama-3.1-8B-Instruct",
    "num_prompts": 640,
    "request_rate": "inf",
    "max_concurrency": 64,
    "completed": 640,
    "total_input_tokens": 655_360,
    "total_output_tokens": 163_840,
    "output_throughput": 4700.0,
    "mean_ttft_ms": 300.0,
    "p99_ttft_ms": 900.0,
    "mean_tpot_ms": 12.4,
    "errors": [],
}
#: sglang.bench_serving appends such a line for each run
SGLANG = {
    "backend": "sglang",
    "request_rate": 1e400,  # inf
    "max_concurrency": 64,
    "random_input_len": 1000,
    "completed": 640,
    "total_input_tokens": 655_360,
    "total_output_tokens": 163_840,
    "output_throughput": 4700.0,
    "mean_ttft_ms": 300.0,
    "mean_tpot_ms": 12.4,
    "mean_itl_ms": 12.5,
}
METRICS = """Metric,avg,min,max,p99
Time To First Token (ms),"300.0",10.1,"1,000.2",900
Inter Token Latency (ms),12.40,1,2,3
Output Sequence Length (tokens),256.00,1,2,3
Input Sequence Length (tokens),"1,024.00",1,2,3

Metric,Value
Output Token Throughput (per sec),"4,700.0"
Request Throughput (per sec),10.6
"""
PROFILE = {
    "time_to_first_token": {"unit": "s", "avg": 0.3, "p50": 0.28},
    "inter_token_latency": {"unit": "ms", "avg": 12.4},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 4700.0},
    "output_sequence_length": {"unit": "tokens", "avg": 256.0},
    "input_sequence_length": {"unit": "tokens", "avg": 1024},
    "input_config": {"loadgen": {}},
}
HEADINGS = (
    "model,hardware,tp,concurrency,input_len,output_len,mean_ttft_ms,mean_tpot_ms,output_throughput\n"
    "llama3_1_8b,h100,1,64,1024,256,300,12.4,4700\n"
)
FILES = {
    "vllm.json": json.dumps(VLLM),
    "several.json": json.dumps([VLLM, VLLM]),
    "sglang.jsonl": f"{json.dumps(SGLANG)}\n{json.dumps(SGLANG)}\n",
    "profile_export_genai_perf.csv": METRICS,
    "profile_export_aiperf.json": json.dumps(PROFILE),
    "headings.csv": HEADINGS,
}
#: what holds for every run of these files
SYSTEM = {"model": "llama3_1_8b", "hardware": "h100", "tp": 1, "precision": "bf16", "max_concurrency": 64}


@pytest.mark.parametrize("name", FILES)
def test_what_a_load_generator_wrote_is_read(tmp_path, name):
    path = tmp_path / name
    path.write_text(FILES[name])
    said = {"headings.csv": {"model", "hardware", "tp", "max_concurrency"}, "sglang.jsonl": {"max_concurrency"}}
    says = said.get(name, {"model", "max_concurrency"} if name in ("vllm.json", "several.json") else set())
    given = {k: v for k, v in SYSTEM.items() if k not in says}
    if "max_concurrency" not in says:
        given["concurrency"] = given.pop("max_concurrency")
    runs = read(path, given)
    assert runs.kind == "serving" and len(runs.table) == (2 if name in ("several.json", "sglang.jsonl") else 1)
    row = runs.table.iloc[0]
    assert (row.ttft_ms, row.itl_ms, row.tokens_per_s_total) == pytest.approx((300.0, 12.4, 4700.0))
    assert (row.input_len, row.output_len, row.batch_or_concurrency) == (1024, 256, 64)
    assert row.scenario == "closed_loop" and runs.read_as["scenario"] == "closed_loop"
    result = ms.validate(path, sample=0, columns=given)
    assert result.answered == len(runs.table) and set(result.rows.target) == {"ttft", "itl", "tokens_per_s"}
    own = {c: row[c] for c in ("ttft_ms", "itl_ms", "tokens_per_s_total", "input_len", "output_len")}
    own |= {"model": "llama3_1_8b", "hardware": "h100", "tp": 1, "precision": "bf16", "scenario": "closed_loop"}
    own |= {"batch_or_concurrency": 64, "engine": row.get("engine", "")}
    plain = ms.validate(pd.DataFrame([own]), sample=0)
    assert plain.read_as == {}
    assert result.rows.predicted.iloc[:3].tolist() == pytest.approx(plain.rows.predicted.tolist())


def test_means_are_taken_before_what_was_asked_for_and_tpot_before_itl(tmp_path):
    path = tmp_path / "sglang.jsonl"
    path.write_text(json.dumps(SGLANG))
    runs = read(path, {k: SYSTEM[k] for k in ("model", "hardware", "tp", "precision")})
    assert runs.table.input_len[0] == 1024 and runs.read_as["input_len"] == "total_input_tokens / completed"
    assert runs.read_as["itl_ms"] == "mean_tpot_ms" and runs.table.requests_per_user[0] == 10


def test_mean_lengths_are_whole_tokens(tmp_path):
    """Requests differ in length: 640 of them with 655,001 tokens have 1,023.4 each."""
    path = tmp_path / "result.json"
    path.write_text(json.dumps(VLLM | {"total_input_tokens": 655_001, "total_output_tokens": 163_999}))
    table = read(path, {k: SYSTEM[k] for k in ("hardware", "tp", "precision")}).table
    assert (table.input_len[0], table.output_len[0]) == (1023, 256)
    path.with_suffix(".csv").write_text(METRICS.replace("1,024.00", "1,023.85").replace(",256.00", ",255.61"))
    table = read(path.with_suffix(".csv"), SYSTEM).table
    assert (table.input_len[0], table.output_len[0]) == (1024, 256)


def test_every_column_that_is_read_may_stand_beside_the_table():
    run = {"hardware": "rtx_3090", "model": "llama3_8b", "phase": "decode", "measured_tokens_per_s": 100.0}
    narrow = ms.validate(pd.DataFrame([run]), sample=0, columns={"quant_label": "Q4_K_M", "backend": "CUDA"})
    wide = ms.validate(pd.DataFrame([run]), sample=0, columns={"quant_label": "F16", "backend": "CUDA"})
    assert narrow.rows.predicted[0] > 1.8 * wide.rows.predicted[0]


@pytest.mark.parametrize(
    ("name", "text", "columns", "said"),
    [
        ("a.json", json.dumps(VLLM), {}, "a.json: columns hardware, tp, precision missing .* hardware=... tp=..."),
        ("a.csv", HEADINGS, {}, "a.csv: column precision missing .* precision=..."),
        (
            "a.csv",
            METRICS,
            SYSTEM | {"hardwear": "h100"},
            "columns: 'hardwear' is no column that is read; nearest: hardware",
        ),
        ("a.csv", HEADINGS, {"hardware": "a100"}, "hardware='a100' is given beside a table that says hardware=h100"),
        ("a.json", '{"a": 1}', {}, "a.json: run 1 has no figure of a load generator"),
        ("a.json", "[]", {}, "no object of a load generator"),
        ("a.json", "[1, 2]", {}, "no object of a load generator"),
        ("a.json", '{"mean_ttft_ms": ', {}, "begins as JSON and is none"),
        ("a.json", "[" * 100_000, {}, "nested too deeply|begins as JSON and is none"),
        ("a.json", json.dumps({"mean_ttft_ms": 3.0, "request_rate": 4.0}), {}, "request_rate=4 and no max_concurrency"),
        ("a.json", json.dumps({"mean_ttft_ms": "soon"}), {}, "no figure of a load generator"),
        ("a.csv", "Metric,avg\n", {}, "no figure of a load generator"),
        ("a.csv", HEADINGS, ["hardware"], "columns=.*: must be a mapping of names"),
    ],
)
def test_what_is_missing_or_wrong_is_one_line(tmp_path, name, text, columns, said):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises((ValueError, TypeError), match=said) as error:
        ms.validate(path, columns=columns)
    assert "\n" not in str(error.value)


def test_the_command_line_takes_columns_and_says_what_was_read(tmp_path):
    def run(*words):
        return runner().invoke(app, ["validate", *words], env={"COLUMNS": "200"})

    path = tmp_path / "result.json"
    path.write_text(json.dumps(VLLM))
    told = run(str(path), "hardware=h100", "tp=1", "precision=bf16")
    assert told.exit_code == 0, told.stderr
    assert "read model_id as model" in told.stderr and "mean_tpot_ms as itl_ms" in told.stderr
    assert "write column=value" in run(str(path), "hardware").stderr
    assert "tp is given twice" in run(str(path), "tp=1", "tp=2").stderr
    assert "batch_or_concurrency" in run("--help").stdout
