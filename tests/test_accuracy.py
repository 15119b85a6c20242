"""Published runs are predicted as well as was accepted: a change that makes a source worse is told which and by how much."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlsysim.calibration import Validation

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
accuracy = pytest.importorskip("accuracy")
coverage = pytest.importorskip("coverage_groups")


@pytest.fixture(scope="module")
def shipped():
    fitted = {kind: accuracy.measure(runs, left_out=False) for kind, runs in accuracy.together([]).items()}
    return fitted | accuracy.predicted()


def test_no_source_is_worse_than_accepted(shipped):
    accepted = json.loads(accuracy.ACCEPTED.read_text(encoding="utf-8"))
    assert accepted.keys() == shipped.keys() and all(accepted.values())
    assert not accuracy.worse(shipped, accepted)


def test_what_moved_is_named(shipped):
    accepted = accuracy.errors(shipped)
    key = "step_time | llm_foundry_h100"
    better = {**accepted, "training": {**accepted["training"], key: 0.001, "step_time | gone": 0.1}}
    told = accuracy.worse(shipped, better)
    assert len(told) == 2 and key in told[0] and "0.1 % accepted, now" in told[0] and "no longer" in told[1]


def test_the_readme_and_the_table_show_what_is_measured(shipped):
    """The shipped columns of both, to the digit: they were written by the script, on this tree."""
    off = accuracy.statistics(shipped["training"]["shipped"].rows.query("target == 'step_time'"))
    expected = [100 * off["median_ape"], 100 * off["source_mean"]]
    full = next(
        t for t in accuracy.FULL.read_text(encoding="utf-8").splitlines() if t.startswith("| training | step_time |")
    )
    assert np.allclose([float(cell) for cell in full.split("|")[10:12]], expected, atol=0.11)
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("<!-- accuracy:begin -->")[1]
    brief = next(t for t in text.splitlines() if t.startswith("| training: time of a step |"))
    assert np.allclose([float(x) for x in re.findall(r"[\d.]+", brief.split("|")[4])], expected, atol=0.11)


def test_intervals_move_with_the_prediction(shipped):
    given = shipped["training"]["shipped"]
    moved = Validation(
        given.kind, given.n_rows, given.rows.assign(predicted=2 * given.rows.predicted), given.refused, 0, 1
    )
    found = accuracy.with_intervals(moved, given).rows
    assert np.allclose(found.high, 2 * given.rows.high) and np.allclose(found.low, 2 * given.rows.low)


def test_files_of_a_kind_are_fitted_together(tmp_path):
    ours = accuracy.together([])
    more = ours["serving"].iloc[:3]
    others = [more.assign(batch_or_concurrency=7777), more.assign(tokens_per_s_per_gpu=7.0), more]
    pd.concat(others).to_csv(tmp_path / "more.csv", index=False)
    both = accuracy.together([tmp_path / "more.csv"])
    assert len(both["serving"]) == len(ours["serving"]) + 6  # a measurement that is there already counts once
    assert len(both["training"]) == len(ours["training"])


def test_intervals_hold_in_every_group_of_runs_that_are_only_predicted(shipped):
    """In 70 to 90 % of a group of twenty rows and more; those that are out are known, and ACCURACY.md names them."""
    groups = {name: accuracy.held(shipped[name]) for name in accuracy.PREDICTED}
    out = {(name, group) for name, told in groups.items() for group, line in told.items() if not line["holds"]}
    assert out <= {("vision", "Blackwell"), ("vision", "Blackwell, samples_per_s")}
    assert sum(map(len, groups.values())) > 100
    text = accuracy.FULL.read_text(encoding="utf-8")
    assert all(f"{name}, {group} (" in text for name, group in out)


def test_groups_of_runs():
    rows = shipped_like(["h100"] * 20 + ["a100"] * 20 + ["mi300x"] * 20)
    found = coverage.coverage(*rows)
    assert set(found) == {"itl", "dense, itl", "dense/closed_loop, itl", "known, itl", "Hopper", "Hopper, itl"} | {
        "Ampere",
        "Ampere, itl",
    }
    assert found["Hopper"] == {"n": 20, "sources": 1, "coverage80": 0.75, "holds": True}
    assert not found["Ampere"]["holds"] and found["Ampere"]["coverage80"] == 1.0


def shipped_like(hardware):
    """Predictions of runs, five of the first device's outside of their interval."""
    table = pd.DataFrame({"hardware": hardware, "engine": "vllm 0.18"})
    measured = [9.0] * 5 + [1.0] * (len(table) - 5)
    rows = pd.DataFrame(
        {"row": np.arange(len(table)) + 2, "source": "a page", "group": "dense/closed_loop", "target": "itl"}
    ).assign(measured=measured, predicted=1.0, error=0.0, low=0.8, high=1.2)
    return Validation("serving", len(table), rows, pd.DataFrame(), 0, len(table)), table


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ({"engine": "sglang 0.5.9"}, {}),
        (
            {"engine": "sglang 0.5.9", "harness": "InferenceX"},
            {"prefill_chunk": 32768, "max_batch": 256, "requests_per_user": 10},
        ),
        (
            {"engine": "sglang 0.5.9", "harness": "InferenceX", "hardware": "b200"},
            {"prefill_chunk": 32768, "poll_steps": 30},
        ),
        (
            {
                "engine": "sglang 0.5.9",
                "source": "InferenceX DB",
                "hardware": "b200_sxm_180gb",
                "precision": "nvfp4",
                "batch_or_concurrency": 8,
            },
            {"prefill_chunk": 16384, "poll_steps": 10, "precision_kv": "fp8"},
        ),
        ({"engine": "trtllm 1.1.0rc2", "harness": "InferenceX"}, {"prefill_chunk": 1152, "balance_steps": 60}),
        ({"engine": "vllm 0.18", "harness": "InferenceX"}, {"eager_kernel_time": 0}),
        ({"engine": "TRT-LLM v1.1.0", "harness": "InferenceMAX"}, {"prefill_chunk": 1152, "balance_steps": 60}),
        ({"engine": "trtllm 1.3", "harness": "InferenceMAX"}, {"prefill_chunk": 8192, "balance_steps": 60}),
        (
            {"engine": "sglang 0.5.9", "harness": "InferenceX", "hardware": "b200", "tp": 4, "precision": "fp8"},
            {"prefill_chunk": 8192, "memory_fraction": 0.95, "max_batch": 32, "poll_steps": 10},
        ),
        (
            {"engine": "sglang 0.5.10.post1", "harness": "InferenceX", "model": "deepseek_r1_671b", "hardware": "b300"},
            {"prompt_ratio": 5.03, "poll_steps": 30, "precision_kv": "fp8"},
        ),
        ({"engine": "sglang 0.5.3rc1", "harness": "InferenceX"}, {"first_use_time": 15}),
        ({"engine": "vllm 0.18", "harness": "another"}, {}),
        ({"engine": "sglang 0.5.1.post1"}, {"requests_per_user": 1}),
        ({"engine": "vllm 0.18", "harness": "InferenceX", "requests_per_user": 3}, {"requests_per_user": 3}),
    ],
)
def test_what_launch_scripts_told_the_engines(run, told):
    """Chunks, polling and captured graphs, as the scripts for each engine and device have them; a run keeps its own."""
    given = {
        "scenario": "closed_loop",
        "hardware": "h100",
        "model": "llama3_1_8b",
        "tp": 1,
        "precision": "bf16",
        "source": "mine",
        "batch_or_concurrency": 16,
        "input_len": 1024,
        **run,
    }
    found = accuracy.stated(pd.DataFrame([given])).iloc[0].to_dict()
    assert {name: found.get(name) for name in told} == told
    assert told or found == given
