"""``mlsysim validate`` and ``mlsysim calibrate``."""

import json
from pathlib import Path

import pytest
from terminal import runner

from mlsysim.cli.commands import app

MEASURED = Path(__file__).parent.parent / "benchmarks" / "measured"


def run(*words):
    return runner().invoke(app, [str(w) for w in words])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "runs.csv"
    lines = (MEASURED / "training.csv").read_text().splitlines()
    path.write_text(
        "\n".join([lines[0], *(line for line in lines if ",torchtitan" in line or "korthikanti2022_t5" in line), ""])
    )
    return path


def test_validate_as_json_and_as_a_table(small):
    told = run("validate", small, "--json")
    assert told.exit_code == 0
    summary = json.loads(told.stdout)
    assert summary["rows"] == summary["answered"] == 40 and set(summary["sources"]) == {
        "torchtitan",
        "korthikanti2022_t5",
    }
    shown = run("validate", small)
    assert (
        shown.exit_code == 0 and "korthik" in shown.output and "scatter" in shown.output
    )  # a narrow table folds names


def test_a_file_of_refused_rows_says_why(small, tmp_path):
    path = tmp_path / "runs.csv"
    head, *lines = (MEASURED / "training.csv").read_text().splitlines()
    place = head.split(",").index("hardware")
    rows = [line.split(",") for line in lines if ",torchtitan" in line and '"' not in line][:6]
    assert len(rows) == 6
    for row, device in zip(rows, ["first", "first", "first", "second", "third", "fourth"]):
        row[place] = device
    path.write_text("\n".join([head, *map(",".join, rows), ""]))
    told = run("validate", path)
    assert told.exit_code == 0 and told.stdout == "" and "median error" not in told.stderr
    lines = told.stderr.splitlines()
    assert lines[0] == "training: none of 6 rows is answered"
    assert lines[1].startswith("3 rows refused: ") and "'first'" in lines[1] and lines[2].startswith("1 row refused: ")
    assert lines[4] == "... and for 1 other reason (--json names them)" and len(lines) == 5


def test_calibrate_writes_what_validate_reads(small, tmp_path):
    out = tmp_path / "my.toml"
    told = run("calibrate", small, "--fit", "training_level", "--out", out, "--json", "--no-holdout")
    assert told.exit_code == 0
    found = json.loads(told.stdout)
    assert found["figures"][0]["name"] == "training_level" and found["held_out"] is None
    before, after = (
        json.loads(run("validate", small, *more, "--json").stdout)["targets"]["step_time"]
        for more in ((), ("--assume", out))
    )
    assert (1 + after["bias"]) / (1 + before["bias"]) == pytest.approx(found["figures"][0]["value"], rel=0.02)
    shown = run("calibrate", small, "--by", "hardware", "--fit", "training_level")
    assert shown.exit_code == 0 and "h100_sxm5_80gb" in shown.output


@pytest.mark.parametrize("words", [("validate", "nothing.csv"), ("calibrate", "nothing.csv"), ("validate", MEASURED)])
def test_bad_files_end_in_one_line(words):
    told = run(*words)
    assert told.exit_code == 1 and told.stderr.count("\n") == 1 and told.stderr.startswith("error: ")
