"""Files that people have: each is read, or refused in one line that says what to do; an odd row costs itself alone."""

import io
import json
import re

import pandas as pd
import pytest

import mlsysim as ms
from mlsysim.calibration import cells, measures, words
from mlsysim.calibration.runs import NEEDED, read

SERVING = "model,hardware,tp,precision,scenario,batch_or_concurrency,input_len,output_len,ttft_ms,itl_ms\n"
RUN = "llama3_1_8b,h100,1,bf16,closed_loop,64,1024,256,210,16.8\n"
TRAINING = "model,hardware,n_gpus,seq_len,global_batch,tp,pp,recompute,measured_step_time_s\n"
STEP = "llama3_1_8b,h100,8,8192,64,2,1,full,6.2\n"
BESIDE = {"hardware": "h100", "model": "llama3_1_8b", "n_gpus": "8", "seq_len": "8192", "tp": "2", "pp": "1"}
WORDS = "gpu,model,tp,dtype,concurrency,isl,osl,{}\nh100,llama3_1_8b,1,bf16,64,1024,256,{}\n"
TRAIN_WORDS = "gpu,gpus,model,sequence_length,gbs,tp,pp,recompute,{}\nh100,8,llama3_1_8b,8192,64,2,1,full,{}\n"


def semicolons(text):
    return text.replace(".", "#").replace(",", ";").replace("#", ",")


def megatron(times, batch=64, extra="", arguments=True):
    said = "".join(
        f"  {name} {'.' * (48 - len(name))} {value}\n"
        for name, value in (
            ("world_size", 8),
            ("tensor_model_parallel_size", 2),
            ("pipeline_model_parallel_size", 1),
            ("seq_length", 8192),
            ("bf16", True),
            ("recompute_granularity", "full"),
        )
    )
    lines = "".join(
        f" [2026-01-16 07:32:24] iteration {i:8d}/     100 | consumed samples: {i * batch:12d} | elapsed time per iteration "
        f"(ms): {time}{extra} | throughput per GPU (TFLOP/s/GPU): 430.0 | global batch size: {batch:5d} | lm loss: 1.3E+01 |\n"
        for i, time in enumerate(times, 1)
    )
    return (said if arguments else "") + lines


def titan(speeds):
    return "".join(
        f"[rank0]:\x1b[31m[titan] 2026-01-30 14:32:58,897 - root - INFO - \x1b[32mstep: {i:2}  \x1b[33mloss:  8.1661  "
        f"grad_norm:  3.6855  \x1b[39mmemory: {60 + i / 10:.2f}GiB(63.12%)  tps: {speed:,}  tflops: 400.90  mfu: 40.53%\x1b[0m\n"
        for i, speed in enumerate(speeds, 1)
    )


REPORT = {
    "engine": {
        "model": "meta-llama/Llama-3.1-8B-Instruct",
        "version": "1.0.0",
        "backend": "Pytorch",
        "dtype": "bfloat16",
        "kv_cache_dtype": "FP8",
        "quantization": "FP8",
    },
    "machine": {"name": "NVIDIA H100 80GB HBM3", "memory.total": 79.1},
    "world_info": {
        "tp_size": 1,
        "pp_size": 1,
        "ep_size": None,
        "world_size": 1,
        "max_batch_size": 2048,
        "max_num_tokens": 8192,
    },
    "request_info": {"num_requests": 3000, "avg_input_length": 1000.2, "avg_output_length": 1000.0},
    "performance": {"system_output_throughput_tok_s": 13000.0, "output_throughput_per_gpu_tok_s": 13000.0},
}
SUMMARY = """================================================
MLPerf Results Summary
================================================
SUT name : PySUT
Scenario : Offline
Mode     : PerformanceOnly
Samples per second: 44.5
Tokens per second: 13096.6
Result is : VALID
  Min duration satisfied : Yes

================================================
Additional Stats
================================================
Mean latency (ns)               : 534653957624
"""
STREAM = SUMMARY.replace("Offline", "SingleStream").replace(
    "Mean latency",
    "Mean First Token latency (ns)               : 20000000\nMean Time per Output Token (ns)       : 8000000\nMean latency",
)
LENGTHS = {
    "hardware": "h100",
    "model": "llama3_1_8b",
    "tp": "1",
    "precision": "fp8",
    "input_len": "294",
    "output_len": "294",
}
STATE = {
    "train_batch_size": 1,
    "global_step": 100,
    "log_history": [
        {"loss": 1.0, "step": 10},
        {"step": 100, "train_runtime": 620.0, "train_samples_per_second": 10.323, "train_steps_per_second": 0.161},
    ],
}

#: name, content, what is given beside it, figures that must come out (column -> value of the first row), refused rows
READ = [
    ("plain.csv", SERVING + RUN, {}, {"ttft_ms": 210, "itl_ms": 16.8}, []),
    ("bom.csv", b"\xef\xbb\xbf" + (SERVING + RUN).encode(), {}, {"itl_ms": 16.8}, []),
    ("utf16.csv", (SERVING + RUN).encode("utf-16"), {}, {"itl_ms": 16.8}, []),
    ("utf16be.csv", b"\xfe\xff" + (SERVING + RUN).encode("utf-16-be"), {}, {"itl_ms": 16.8}, []),
    (
        "cp1252.csv",
        (SERVING.strip() + ",notes\n" + RUN.strip() + ",caf\xe9\n").encode("cp1252"),
        {},
        {"itl_ms": 16.8},
        [],
    ),
    ("semicolons.csv", semicolons(SERVING + RUN), {}, {"itl_ms": 16.8}, []),
    ("points.csv", semicolons(SERVING + RUN).replace("1024", "1.024"), {}, {"input_len": 1024, "itl_ms": 16.8}, []),
    ("tabs.csv", (SERVING + RUN).replace(",", "\t"), {}, {"itl_ms": 16.8}, []),
    ("sep.csv", "sep=;\n" + semicolons(SERVING + RUN), {}, {"itl_ms": 16.8}, []),
    ("crlf.csv", (SERVING + RUN).replace("\n", "\r\n"), {}, {"itl_ms": 16.8}, []),
    ("cr.csv", (SERVING + RUN).replace("\n", "\r"), {}, {"itl_ms": 16.8}, []),
    (
        "empty_columns.csv",
        (SERVING + RUN).replace("\n", ",,,\n") + "\n,,,\n" + ",," * 5 + "\n",
        {},
        {"itl_ms": 16.8},
        [],
    ),
    ("comments.csv", "# mine\n\n" + SERVING + RUN + "# the end\n", {}, {"itl_ms": 16.8}, []),
    ("pandas.csv", "," + SERVING + "0," + RUN + "1," + RUN, {}, {"itl_ms": 16.8}, []),
    ("title_case.csv", SERVING.replace("_", " ").title() + RUN, {}, {"itl_ms": 16.8, "batch_or_concurrency": 64}, []),
    ("upper.csv", SERVING.upper() + RUN, {}, {"itl_ms": 16.8}, []),
    ("thousands.csv", SERVING + RUN.replace("1024", '"1,024"'), {}, {"input_len": 1024}, []),
    ("spaces.csv", SERVING + RUN.replace("1024", "1\u202f024"), {}, {"input_len": 1024}, []),
    ("apostrophe.csv", SERVING + RUN.replace("1024", "1'024"), {}, {"input_len": 1024}, []),
    (
        "units.csv",
        SERVING + RUN.replace("210", "0.21 s").replace("16.8", "16.8 ms"),
        {},
        {"ttft_ms": 210, "itl_ms": 16.8},
        [],
    ),
    ("heading_unit.csv", WORDS.format("TTFT (s)", "0.21"), {}, {"ttft_ms": 210, "batch_or_concurrency": 64}, []),
    ("heading_square.csv", WORDS.format("TPOT [µs]", "16800"), {}, {"itl_ms": 16.8}, []),
    ("heading_mean.csv", WORDS.format('"TTFT (mean, ms)"', "210"), {}, {"ttft_ms": 210}, []),
    ("heading_behind.csv", WORDS.format("ttft in s", "0.21"), {}, {"ttft_ms": 210}, []),
    ("heading_ending.csv", WORDS.format("time_to_first_token_s", "0.21"), {}, {"ttft_ms": 210}, []),
    ("own_words.csv", WORDS.format("ttft,itl", "0.21,0.0168"), {}, {"ttft_ms": 210, "itl_ms": 16.8}, []),
    ("rate.csv", WORDS.format("Throughput (tok/s)", '"3,600"'), {}, {"tokens_per_s_total": 3600}, []),
    ("rate_each.csv", WORDS.format("Throughput (tokens/s/GPU)", "3600"), {}, {"tokens_per_s_per_gpu": 3600}, []),
    ("k_tokens.csv", WORDS.format("tps", "3.6k tok/s"), {}, {"tokens_per_s_total": 3600}, []),
    (
        "resolver.csv",
        "hardware,model,tp,precision,batch_size,seq_len,output_len,itl\nh100,llama3_1_8b,1,bf16,16,1024,256,0.009\n",
        {},
        {"batch_or_concurrency": 16, "input_len": 1024, "itl_ms": 9, "scenario": "static_batch"},
        [],
    ),
    (
        "newcomer.csv",
        "gpu,model,tp,batch,isl,osl,itl_ms,ttft_ms\nh100,llama3_1_8b,1,16,1024,256,9,250\n",
        {"precision": "bf16"},
        {"hardware": "h100", "itl_ms": 9},
        [],
    ),
    ("words_beside.csv", SERVING.replace("tp,", "") + RUN.replace("h100,1", "h100"), {"TP": "1"}, {"tp": 1}, []),
    ("step_time.csv", TRAIN_WORDS.format("Step Time [s]", "6.2"), {}, {"measured_step_time_s": 6.2, "n_gpus": 8}, []),
    ("iteration.csv", TRAIN_WORDS.format("iteration_time", "6200 ms"), {}, {"measured_step_time_s": 6.2}, []),
    ("own_step.csv", TRAIN_WORDS.format("step_time", "6.2"), {}, {"measured_step_time_s": 6.2}, []),
    ("mfu.csv", TRAIN_WORDS.format("MFU (%)", "42.5"), {}, {"measured_mfu": 0.425}, []),
    ("percent.csv", TRAIN_WORDS.format("mfu", "42.5 %"), {}, {"measured_mfu": 0.425}, []),
    ("tflops.csv", TRAIN_WORDS.format("TFLOP/s/GPU", "430"), {}, {"measured_tflops_per_gpu": 430}, []),
    ("peta.csv", TRAIN_WORDS.format("tflops", "0.43 PFLOP/s"), {}, {"measured_tflops_per_gpu": 430}, []),
    ("step.csv", TRAIN_WORDS.format("Time/step (s)", "6.2"), {}, {"measured_step_time_s": 6.2}, []),
    ("seconds_step.csv", TRAIN_WORDS.format("s/step", "6.2"), {}, {"measured_step_time_s": 6.2}, []),
    ("sec_gpu.csv", TRAIN_WORDS.format("Tokens/sec/GPU", "10500"), {}, {"measured_tokens_per_s_per_gpu": 10500}, []),
    (
        "records.json",
        json.dumps([dict(zip(TRAINING.strip().split(","), STEP.strip().split(",")))]),
        {},
        {"measured_step_time_s": 6.2},
        [],
    ),
    ("tps.csv", TRAIN_WORDS.format("tokens_per_s_per_gpu", "10500"), {}, {"measured_tokens_per_s_per_gpu": 10500}, []),
    ("total.csv", TRAIN_WORDS.format("Tokens/s", "84000"), {}, {"measured_tokens_per_s_total": 84000}, []),
    (
        "tokens.csv",
        TRAIN_WORDS.replace("gbs", "global batch (tokens)").replace(",64,", ",524288,").format("step_time_s", "6.2"),
        {},
        {"global_batch": 64},
        [],
    ),
    ("memory.csv", TRAIN_WORDS.format("step_time_s,Peak memory (MiB)", "6.2,71680"), {}, {"measured_mem_gb": 70}, []),
    ("billions.csv", TRAINING.strip() + ",params (B)\n" + STEP.strip() + ",8.03\n", {}, {"n_params": 8.03e9}, []),
    ("yes.csv", TRAINING.strip() + ",sequence_parallel\n" + STEP.strip() + ",TRUE\n", {}, {"sequence_parallel": 1}, []),
    (
        "trtllm.json",
        json.dumps(REPORT),
        {},
        {"scenario": "max_load", "input_len": 1000, "precision_kv": "fp8", "tp": 1},
        [],
    ),
    (
        "trtllm_clients.json",
        json.dumps(REPORT | {"streaming_metrics": {"avg_ttft_ms": 100.0, "avg_tpot_ms": 4.5}}),
        {"concurrency": "64"},
        {"scenario": "closed_loop", "itl_ms": 4.5},
        [],
    ),
    ("mlperf_log_summary.txt", SUMMARY, LENGTHS, {"tokens_per_s_total": 13096.6, "scenario": "max_load"}, []),
    ("single_stream.txt", STREAM, LENGTHS, {"ttft_ms": 20, "itl_ms": 8, "scenario": "static_batch"}, []),
    (
        "megatron.log",
        megatron([40000.0, *[6200.0, 6210.5, 6190.0] * 3]),
        {"hardware": "h100", "model": "llama3_1_8b"},
        {"measured_step_time_s": 6.2, "global_batch": 64, "tp": 2, "seq_len": 8192, "precision": "bf16"},
        [],
    ),
    (
        "ramp_up.log",
        megatron([3100.0] * 20, 32, arguments=False) + megatron([9999.0, 6200.0, 6200.0], 64, "/6180.0", False),
        BESIDE,
        {"measured_step_time_s": 6.2, "global_batch": 64},
        [],
    ),
    (
        "nemo.log",
        "".join(
            f"Training epoch 0, iteration {i}/9 | global_batch_size: 64 | global_step: {i} | reduced_train_loss: 1.3 | "
            f"train_step_timing in s: {6.2 if i else 30}\n"
            for i in range(8)
        ),
        BESIDE,
        {"measured_step_time_s": 6.2, "global_batch": 64, "framework": "nemo"},
        [],
    ),
    (
        "nemo_bar.log",
        "Epoch 0: 50%|5| 50/100 [10:48<00:00, global_step=49.00, consumed_samples=3200.0, train_step_timing in s=9.9]\r"
        "Epoch 0: 100%|9| 100/100 [10:48<00:00, global_step=99.00, consumed_samples=6400.0, train_step_timing in s=6.2]\n",
        BESIDE,
        {"measured_step_time_s": 6.2, "global_batch": 64},
        [],
    ),
    (
        "titan.log",
        titan([502, *[10500] * 9]),
        BESIDE | {"tp": "1", "gbs": "16"},
        {
            "measured_tokens_per_s_per_gpu": 10500,
            "measured_mem_gb": 61,
            "measured_mfu": 0.4053,
            "framework": "torchtitan",
        },
        [],
    ),
    (
        "trainer_state.json",
        json.dumps(STATE),
        BESIDE | {"tp": "1", "zero_stage": "3"},
        {"measured_step_time_s": 6.2, "global_batch": 64, "micro_batch": 1},
        [],
    ),
    (
        "megatron_deepspeed.log",
        megatron([40.0, *[6.2] * 5], arguments=False).replace("(ms)", "(s)"),
        BESIDE,
        {"measured_step_time_s": 6.2, "framework": "megatron_deepspeed"},
        [],
    ),
    ("title.csv", "Benchmark of May,,\n\n" + SERVING + RUN, {}, {"itl_ms": 16.8}, []),
    ("two_lines.csv", WORDS.format('"TTFT\n(s)"', "0.21"), {}, {"ttft_ms": 210}, []),
    (
        "table.md",
        "".join(
            "| " + line.replace(",", " | ") + " |\n" for line in (SERVING.strip(), "---," * 9 + "---", RUN.strip())
        ),
        {},
        {"itl_ms": 16.8},
        [],
    ),
    ("dtype.csv", SERVING + RUN.replace("bf16", "torch.bfloat16"), {}, {"precision": "bfloat16"}, []),
    # rows that are refused by themselves
    ("ragged.csv", SERVING + RUN + "a,b\n" + RUN, {}, {"itl_ms": 16.8}, ["has 2 cells where the header has 10"]),
    ("comma.csv", SERVING + RUN + RUN.replace("1024", "1,024"), {}, {}, ["has 11 cells .* stands in quotes"]),
    ("quote.csv", SERVING + RUN + '"x,1\n' + RUN, {}, {}, ["is not well-formed CSV"]),
    ("text.csv", SERVING + RUN + RUN.replace("1024", "long"), {}, {}, ["input_len='long' where a number belongs"]),
    ("negative.csv", SERVING + RUN + RUN.replace("16.8", "-3"), {}, {}, ["itl_ms='-3' must be above 0"]),
    ("error.csv", SERVING + RUN + RUN.replace("16.8", "#DIV/0!"), {}, {}, ["where a number belongs"]),
    ("device.csv", SERVING + RUN + RUN.replace("h100", "h1000"), {}, {}, ["no hardware is named 'h1000'; nearest"]),
    ("nothing.csv", SERVING + RUN + RUN.replace("256", "0"), {}, {}, ["output_len='0' must be above 0"]),
    (
        "seconds.csv",
        SERVING + RUN + RUN.replace(",210,", ",0.21,"),
        {},
        {},
        [r"ttft_ms=0.21 is too short.*ttft_s, or written 0.21 s"],
    ),
    ("itl_seconds.csv", SERVING + RUN + RUN.replace("16.8", "0.0168"), {}, {}, ["itl_ms=0.0168 is too short.*itl_s"]),
    (
        "too_large.csv",
        SERVING + RUN + RUN.replace("3_1_8b", "3_1_70b"),
        {},
        {},
        ["141 GB of weights do not fit 1 x 80 GB: write tp"],
    ),
    (
        "long_seconds.csv",
        SERVING + RUN + RUN.replace(",210,", ",2.5,"),
        {},
        {},
        ["ttft_ms=2.5 is too short.*ttft_s, or written 2.5 s"],
    ),
    ("kilo.csv", SERVING + RUN + RUN.replace("1024", "1k"), {}, {}, ["may be thousands or powers of 1024"]),
    (
        "bare_time.csv",
        WORDS.format("tpot", "16.8"),
        {},
        {},
        ["tpot='16.8' has no unit: head the column tpot_ms or tpot_s"],
    ),
    ("long_own.csv", WORDS.format("ITL", "16.8"), {}, {}, ["ITL=16.8 counts seconds.*itl_ms"]),
    (
        "blank_tp.csv",
        SERVING.strip() + ",n_gpus\n" + RUN.strip() + ",1\n" + RUN.strip().replace("h100,1", "h100,") + ",4\n",
        {},
        {},
        ["n_gpus=4 and tp is blank: write tp=4"],
    ),
    (
        "servers.csv",
        SERVING.strip() + ",n_gpus\n" + RUN.strip() + ",4\n",
        {},
        {},
        ["n_gpus=4, but tp=1.* make a server of 1"],
    ),
    (
        "total_as_each.csv",
        SERVING.strip() + ",tokens_per_s_per_gpu,n_gpus\n" + RUN.strip().replace("h100,1", "h100,4") + ",3600,4\n",
        {},
        {},
        ["tokens_per_s_per_gpu=3600: 64 users .* get at most"],
    ),
    (
        "each_as_total.csv",
        SERVING.strip() + ",tokens_per_s_total\n" + RUN.strip().replace("h100,1", "h100,4") + ",900\n",
        {},
        {},
        ["tokens_per_s_total=900: 64 users at these times .* head the column tokens_per_s_per_gpu"],
    ),
    (
        "share.csv",
        TRAIN_WORDS.format("mfu", "45"),
        {},
        {},
        ["mfu='45' must be a share of at most 1: write 0.45 or 45 %"],
    ),
    ("percent_share.csv", TRAIN_WORDS.format("MFU (%)", "0.45"), {}, {}, ["may be 0.45 % or a share"]),
    (
        "batch_tokens.csv",
        TRAINING + STEP.replace(",64,", ",524288,"),
        {},
        {},
        ["global_batch=524288 counts sequences.*written 64"],
    ),
    ("milliseconds.csv", TRAINING + STEP.replace("6.2", "6200"), {}, {}, ["is it in milliseconds"]),
    (
        "seven.csv",
        TRAINING.strip() + ",n_params\n" + STEP.strip() + ",7\n",
        {},
        {},
        ["n_params=7 beside a model of 8.03e.09"],
    ),
    (
        "all_tps.csv",
        TRAIN_WORDS.format("tps", "84000"),
        {},
        {},
        ["times their peak: tokens/s of all devices are headed"],
    ),
    (
        "each_tps.csv",
        TRAIN_WORDS.format("tokens_per_s", "10500"),
        {},
        {},
        ["head the column tokens_per_s_per_gpu or tokens_per_s_total"],
    ),
    (
        "too_full.csv",
        TRAIN_WORDS.format("step_time_s,mem_gb", "6.2,120"),
        {},
        {},
        ["measured_mem_gb=120 is above the 74.5"],
    ),
    ("all_tflops.csv", TRAIN_WORDS.format("tflops", "3440"), {}, {}, ["is above the 989 TFLOP/s of one device.*430"]),
    ("layout.csv", TRAINING + STEP + STEP.replace(",2,1,", ",1e9,1,"), {}, {}, ["n_gpus=8 is not|impossible|must"]),
    (
        "stage.csv",
        TRAINING.strip() + ",zero_stage\n" + STEP.strip() + ",1\n" + STEP.strip() + ",7\n",
        {},
        {},
        ["ZeRO stage"],
    ),
    (
        "option.csv",
        TRAINING.strip() + ",attention\n" + STEP.strip() + ",\n" + STEP.strip() + ",x\n",
        {},
        {},
        ["'x' is not known: unf"],
    ),
    (
        "ambiguous.csv",
        SERVING + RUN + RUN.replace("210", '"210,5"') + RUN.replace("210", '"1,210"'),
        {},
        {},
        ["'1,210' may be 1210 or 1.210"],
    ),
]
#: name, content, what is given beside it, the one line
REFUSED = [
    ("book.xlsx", b"PK\x03\x04abc", {}, "is a workbook or an archive: save the sheet as CSV"),
    ("old.xls", b"\xd0\xcf\x11\xe0abc", {}, "is an old workbook"),
    ("run.csv.gz", b"\x1f\x8babc", {}, "unpack it"),
    ("bytes.csv", bytes(range(256)), {}, "is no text in UTF-8"),
    ("utf16_without_mark.csv", (SERVING + RUN).encode("utf-16-le"), {}, "is no text in UTF-8"),
    ("empty.csv", "", {}, "is empty"),
    ("blank.csv", "\n ,,\n", {}, "is empty"),
    ("page.html", "<html><body>no</body></html>", {}, "no column of measured runs; training runs need"),
    ("twice.csv", SERVING.replace("itl_ms", "TP") + RUN, {}, "column 'TP' is there twice"),
    (
        "batch.csv",
        TRAIN_WORDS.replace("gbs", "Batch Size").format("step_time", "6.2"),
        {},
        "batch_size may be global_batch or micro",
    ),
    (
        "throughput.csv",
        TRAIN_WORDS.format("throughput", "84000"),
        {},
        "throughput says of what by its unit: throughput .tokens/s",
    ),
    (
        "figure.csv",
        "gpu,model,tp,latency\nh100,llama3_1_8b,1,3\n",
        {},
        "missing .serving runs.* and a measured figure, one of ttft_ms",
    ),
    ("header.csv", SERVING, {}, "has a header and no rows"),
    ("all_odd.csv", SERVING.strip() + '\n"llama\n', {}, "line 2: is not well-formed CSV"),
    (
        "bare.log",
        titan([502, 10500]),
        {},
        "columns hardware, n_gpus, seq_len, global_batch, tp, pp, .* missing .* hardware=...",
    ),
    ("bare.txt", SUMMARY, {}, "columns hardware, model, tp, precision, input_len, output_len missing .serving runs"),
    (
        "server.txt",
        SUMMARY.replace("Offline", "Server"),
        {},
        "scenario Server: requests that arrive at a rate are not read",
    ),
    ("accuracy.txt", SUMMARY.replace("PerformanceOnly", "AccuracyOnly"), {}, "accuracy run"),
    ("samples.txt", SUMMARY.replace("Tokens per second", "Other"), {}, "samples per second and no tokens per second"),
    (
        "unfinished.json",
        json.dumps({"log_history": [{"loss": 1.0, "step": 10}]}),
        {},
        "log_history has no train_runtime",
    ),
    ("report.json", json.dumps(REPORT | {"performance": {}}), {}, "has no performance.system_output_throughput_tok_s"),
]


@pytest.mark.parametrize(("name", "content", "columns", "figures", "refused"), READ, ids=[entry[0] for entry in READ])
def test_it_is_read_and_odd_rows_cost_themselves_alone(tmp_path, name, content, columns, figures, refused):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    runs = read(path, columns)
    for column, value in figures.items():
        found = runs.table[column].iloc[0]
        assert found == (value if isinstance(value, str) else pytest.approx(value)), column
    result = ms.validate(path, sample=0, columns=columns)
    assert result.answered + len(refused) == len(runs.table)
    for why, expected in zip(result.refused.why, refused, strict=True):
        assert re.search(expected, why), why
        assert "\n" not in why
    assert result.rows.predicted.notna().all()
    for heading in runs.read_as.values():
        assert heading


@pytest.mark.parametrize(("name", "content", "columns", "says"), REFUSED, ids=[entry[0] for entry in REFUSED])
def test_it_is_refused_in_one_line(tmp_path, name, content, columns, says):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=says) as error:
        ms.validate(path, columns=columns)
    assert "\n" not in str(error.value) and name in str(error.value)


def test_every_odd_row_of_one_file_has_its_own_reason(tmp_path):
    """All of them in one file: the good ones are answered, and each bad one says what is wrong with it."""
    odd = {
        "h1000": ("h100", "h1000"),
        "'x' where a number": ("1024", "x"),
        "too short": (",210,", ",0.2,"),
        "above 0": (",256,", ",0,"),
        "precision": ("bf16", "bf3"),
        "scenario": ("closed_loop", "party"),
        "nobody": ("llama3_1_8b", "nobody"),
    }
    path = tmp_path / "runs.csv"
    path.write_text(SERVING + RUN + "".join(RUN.replace(*change) for change in odd.values()) + RUN)
    result = ms.validate(path, sample=0)
    assert result.answered == 2 and result.refused.row.tolist() == list(range(3, 10))
    assert len(set(result.refused.why)) == len(odd)
    for expected, why in zip(odd, result.refused.why):
        assert expected in why
    alone = ms.validate(pd.read_csv(path).iloc[[0]], sample=0)
    assert alone.rows.predicted.tolist() == result.rows.predicted.tolist()[:2]


def test_what_no_resolver_takes_is_refused_by_itself():
    """A bound that only the resolver knows: the rows beside it are answered."""
    frame = pd.read_csv(io.StringIO(TRAINING + STEP * 4))
    frame["zero_stage"] = [1, 1, 1, 9]
    frame["data_overlap"] = [None, 7.0, None, None]
    result = ms.validate(frame, sample=0)
    assert result.refused.row.tolist() == [3, 5] and result.answered == 2
    assert "data_overlap" in result.refused.why[0] and "zero_stage" in result.refused.why[1]


def test_what_is_assumed_for_every_row_is_no_fault_of_one():
    frame = pd.read_csv(io.StringIO(TRAINING + STEP * 2))
    with pytest.raises(ValueError, match=r"^data_overlap=5"):
        ms.validate(frame, ms.Assumptions(data_overlap=5.0), sample=0)


def test_columns_beside_a_name_go_before_its_row():
    """Truncated models are how people benchmark."""
    frame = pd.DataFrame(
        [
            dict(zip(TRAINING.strip().split(","), STEP.strip().split(","))) | {"n_layers": n, "measured_step_time_s": t}
            for n, t in ((None, 6.2), (32, 6.2), (8, 1.9))
        ]
    )
    result = ms.validate(frame, sample=0)
    whole, same, short = result.rows.predicted
    assert whole == same and 0.2 < short / whole < 0.4
    assert result.said.to_dict("records") == [{"row": 4, "what": "taken as llama3_1_8b(n_layers=8)"}]
    experts = pd.DataFrame(
        [
            dict(zip(SERVING.strip().split(","), RUN.strip().split(",")))
            | {"model": "mixtral_8x7b", "tp": 8, "n_experts": n, "top_k": k, "expert_ffn": f}
            for n, k, f in ((None, None, None), (4, None, None), (None, 1, None), (None, None, 7168))
        ]
    )
    result = ms.validate(experts, sample=0)
    assert result.said.what.str.extract(r"\((\w+)=")[0].tolist() == ["n_experts", "experts_per_token", "ffn_hidden"]
    itl = result.rows[result.rows.target == "itl"].predicted.tolist()
    assert itl[0] > max(itl[1:])


def test_a_mixture_may_be_described_by_columns():
    row = dict(zip(TRAINING.strip().split(","), STEP.strip().split(","))) | {"model": "mine"}
    row |= {
        "n_layers": 32,
        "hidden": 4096,
        "heads": 32,
        "kv_heads": 8,
        "vocab": 32000,
        "n_experts": 8,
        "measured_step_time_s": 40,
    }
    rows = [row | {"top_k": 2, "expert_ffn": 14336, "n_params": 46.7e9}, row | {"model": "mixtral_8x7b"}, row]
    result = ms.validate(pd.DataFrame(rows), sample=0)
    own, named = result.rows.predicted
    assert own == pytest.approx(named, rel=1e-3) and set(result.rows.group) == {"moe/bf16"}
    assert result.refused.why.tolist() == ["n_experts=8 lacks top_k and expert_ffn"]


def test_a_padded_vocabulary_and_a_width_that_is_another_column_change_nothing():
    from mlsysim import zoo
    from mlsysim.calibration.overrides import changes, with_columns

    assert changes(zoo.model("gpt3_175b"), {"vocab": 51200.0}) == {}
    assert changes(zoo.model("deepseek_v3_671b"), {"ffn_hidden": 18432.0, "kv_heads": 128.0}) == {}
    gemma = with_columns(zoo.model("gemma3_27b"), {"n_layers": 6.0})
    assert gemma["local_layers"] == 5 and with_columns(gemma, {}) is gemma
    wide = with_columns(zoo.model("llama3_1_8b"), {"hidden": 2048.0})
    assert wide["head_dim"] * wide["n_heads"] == 2048


def test_one_run_a_log_whatever_its_warm_up():
    """Medians after the first fifth: a slow start, a checkpoint and an evaluation in between do not count."""
    from mlsysim.calibration.training_files import of_log

    slow = [90000.0, 50000.0, *[6200.0] * 10, 99999.0, *[6200.0] * 10]
    assert of_log(megatron(slow), "x")["measured_step_time_s"] == pytest.approx(6.2)
    assert of_log(titan([100, 100, *[10500] * 20]), "x")["measured_tokens_per_s_per_gpu"] == 10500


def test_how_a_log_was_read_is_said(tmp_path):
    said = {}
    for name, text, beside in (
        ("a.log", megatron([9000.0] * 2 + [6200.0] * 8), {"hardware": "h100", "model": "llama3_1_8b"}),
        ("b.log", titan([10500] * 5), BESIDE | {"tp": "1", "gbs": "16"}),
        ("c.json", json.dumps(STATE), BESIDE | {"tp": "1", "zero_stage": "3"}),
        ("d.txt", SUMMARY.replace(": VALID", ": INVALID"), LENGTHS),
        ("e.log", megatron([6200.0] * 5), {"hardware": "h100", "model": "llama3_1_8b", "n_layers": "16"}),
    ):
        (tmp_path / name).write_text(text)
        said[name] = ms.validate(tmp_path / name, sample=0, columns=beside).said.what.tolist()
    assert said["a.log"] == ["read as the median of 8 of 10 steps"]
    assert said["b.log"] == ["read as the median of 4 of 5 steps"]
    assert said["c.json"] == ["read as the mean of a whole training, its warm-up and evaluation with it"]
    assert said["d.txt"] == ["read from a result that MLPerf calls INVALID"]
    assert said["e.log"] == ["taken as llama3_1_8b(n_layers=16); read as the median of 4 of 5 steps"]


def test_groups_may_be_named_by_the_heading_of_the_file():
    frame = pd.DataFrame(
        [
            {"gpu": gpu, "model": "llama3_1_8b", "tp": 1, "precision": "bf16", "users": 16, "isl": 1024}
            for gpu in ("h100", "a100")
        ]
    )
    frame = frame.assign(osl=256, itl_ms=[9.0, 14.0])
    fit = ms.calibrate(None, frame, fit=["serving_level"], by="gpu", bootstrap=0, holdout=None)
    assert fit.by == "hardware" and set(fit.table.group) == {"h100", "a100"}


def test_what_stands_beside_a_table_is_read_or_refused_never_dropped():
    frame = pd.DataFrame(
        [{"hardware": "rtx_3090", "model": "llama3_8b", "phase": "decode", "measured_tokens_per_s": 100.0}]
    )
    assert read(frame, {"backend": "CUDA"}).table.backend[0] == "CUDA"
    label = {"hardware": "a100", "gpu": "A100-40GB"}
    bare = pd.DataFrame([dict(zip(SERVING.strip().split(","), RUN.strip().split(",")))]).drop(columns="hardware")
    assert read(bare, label).table[["hardware", "gpu"]].iloc[0].tolist() == ["a100", "A100-40GB"]
    with pytest.raises(ValueError, match="both give tp: leave one out"):
        read(
            pd.DataFrame([dict(zip(SERVING.split(","), RUN.split(",")))]).drop(columns="tp"),
            {"tp": 1, "tensor_parallel_size": 2},
        )
    with pytest.raises(ValueError, match="both give n_gpus"):
        read(pd.read_csv(io.StringIO(SERVING + RUN)), {"gpus": 1, "world_size": 1})


def test_a_validation_without_answers_says_why_of_each_reason():
    frame = pd.DataFrame(
        [dict(zip(SERVING.strip().split(","), RUN.strip().split(","))) | {"hardware": h} for h in ("a1", "a1", "b1")]
    )
    told = repr(ms.validate(frame, sample=0))
    assert "0 of 3 rows answered; 2 refused: hardware: no hardware is named 'a1'" in told and "1 refused" in told
    with pytest.raises(ValueError, match=r"no run to fit: .*'a1'.*'b1'"):
        ms.calibrate(None, frame)


def test_every_word_is_told_from_every_other():
    """No word means two columns of a kind, and none hides a column's own name."""
    for kind, table in words.WORDS.items():
        said = [word for names in table.values() for word in names.split()]
        assert len(said) == len(set(said)), kind
        assert not {w for w in said if w in NEEDED[kind]}
    assert measures.unit("ms/token").size == 1e-3 and measures.unit("tok/s/gpu").each and measures.unit("party") is None


@pytest.mark.parametrize(
    ("cell", "others", "number"),
    [
        ("1,024", ["0.5"], 1024),
        ("1.024", ["0,5"], 1024),
        ("1.024,5", [], 1024.5),
        ("1,024.5", [], 1024.5),
        ("12,4", [], 12.4),
        ("1.5e3", [], 1500),
        ("1 024", [], 1024),
        ("1.024.000", [], 1024000),
        ("0,413", [], 0.413),
        ("1_024", [], 1024),
    ],
)
def test_numbers_as_spreadsheets_write_them(cell, others, number):
    assert measures.number(cell, measures.marks([cell, *others]))[0] == number


@pytest.mark.parametrize("cell", ["1,02,4", "1..2", "--1", "1,024,5", "x", "1 02", "12.4.", ".", "1e", "٣"])
def test_what_is_no_number(cell):
    with pytest.raises(cells.Odd):
        cells.number(
            cell,
            words.Reading("itl_ms", "itl_ms", None, "itl_ms"),
            measures.marks([cell, "0.5"]),
            cells.Rules((), (), (), ()),
        )
