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


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Runs of ours that are 30 % slower than predicted."""
    path = tmp_path_factory.mktemp("two") / "runs.csv"
    head = "source,model,hardware,tp,precision,scenario,batch_or_concurrency,input_len,output_len,itl_ms,ttft_ms"
    path.write_text(
        "\n".join(
            [head, *(f"mine,llama3_1_8b,h100,1,bf16,closed_loop,{n},1024,256,{t},400" for n, t in ((16, 12), (32, 15)))]
        )
    )
    return path


def test_a_regression_run_fails_by_its_exit_code_and_names_the_target(two, tmp_path):
    fit = tmp_path / "fit.toml"
    assert run("calibrate", two, "--fit", "serving_level", "--out", fit).exit_code == 0
    fails = run("validate", two, "--against", fit, "--fail-above", "5 %")
    assert fails.exit_code == 2
    lines = [line for line in fails.stderr.splitlines() if "when the figures were fitted" in line]
    assert [line.split(":")[0] for line in lines] == ["itl", "ttft"]
    assert lines[0].endswith("FAILS") or lines[1].endswith("FAILS")
    holds = run("validate", two, "--against", fit, "--fail-above", "0.9")
    assert holds.exit_code == 0 and "FAILS" not in holds.stderr and holds.stderr.count(": holds") == 2
    told = run("validate", two, "--against", fit, "--fail-above", "5 %", "--json")
    assert told.exit_code == 2
    judged = json.loads(told.stdout)["judged"]
    assert [entry["target"] for entry in judged] == ["itl", "ttft"] and not all(entry["holds"] for entry in judged)
    plain = run("validate", two, "--against", fit)
    assert plain.exit_code == 0 and plain.stderr.count("when the figures were fitted") == 2
    shipped = run("validate", two, "--fail-above", "1 %")
    assert shipped.exit_code == 2 and "when the figures" not in shipped.stderr


def test_a_regression_run_without_answers_fails(two, tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text(two.read_text().replace("h100", "h1000"))
    told = run("validate", path, "--fail-above", "10 %")
    assert told.exit_code == 2 and "no row is answered, so nothing holds: FAILS" in told.stderr


def test_a_regression_run_of_other_runs_or_an_odd_limit_is_one_line(two, small, tmp_path):
    fit = tmp_path / "fit.toml"
    run("calibrate", two, "--fit", "serving_level", "--out", fit)
    for words, says in (
        ((small, "--against", fit, "--fail-above", "10 %"), "the fit is one of serving runs, these are training runs"),
        ((two, "--fail-above", "10"), "as in 10 % or 0.1"),
        ((two, "--fail-above", "little"), "no plain number"),
        ((two, "--against", fit, "--assume", fit), "give one of them"),
    ):
        told = run("validate", *words)
        assert told.exit_code == 1 and says in told.stderr and told.stderr.count("\n") == 1


@pytest.mark.parametrize("kind", ["serving", "training"])
def test_a_template_is_read_and_its_columns_are_explained(kind, tmp_path):
    from mlsysim.calibration.runs import ABOUT, MEASURED, NEEDED, NUMBERS, TEXTS
    from mlsysim.cli.template import TEMPLATES

    told = run("calibrate", "--template", kind)
    assert told.exit_code == 0 and told.stdout.count("\n") == 2
    path = tmp_path / "template.csv"
    path.write_text(told.stdout)
    result = run("validate", path, "--json")
    summary = json.loads(result.stdout)
    assert summary["answered"] == 1 and not summary["refused"]
    columns = told.stdout.splitlines()[0].split(",")
    assert set(NEEDED[kind]) <= set(columns) <= {*NEEDED[kind], *MEASURED[kind], *NUMBERS[kind], *ABOUT, *TEXTS}
    help_ = run("calibrate", "--help").stdout
    assert all(column in help_ and meaning.split()[0] in help_ for column, meaning, _ in TEMPLATES[kind])
    assert run("calibrate", "--template").stdout.startswith("source,engine")
    assert run("calibrate", "--template", "x").stderr == "error: --template x: allowed are serving, training\n"
    assert "--template prints one" in run("calibrate").stderr


def test_what_is_not_identified_has_no_interval_on_the_screen(two):
    shown = run("calibrate", two, "--fit", "serving_level,grouped_gemm_factor")
    assert shown.exit_code == 0 and "not identified" in shown.stdout and "e-" not in shown.stdout.replace("one-", "")


def test_models_that_columns_change_are_said(two, tmp_path):
    path = tmp_path / "runs.csv"
    lines = two.read_text().splitlines()
    path.write_text("\n".join([lines[0] + ",n_layers", *(line + ",8" for line in lines[1:])]))
    told = run("validate", path)
    assert told.exit_code == 0 and "2 rows taken as llama3_1_8b(n_layers=8)" in told.stderr
    content = json.loads(run("validate", path, "--json").stdout)
    assert [entry["row"] for entry in content["said"]] == [2, 3] and content["read_as"] == {}


@pytest.mark.parametrize("words", [("validate", "nothing.csv"), ("calibrate", "nothing.csv"), ("validate", MEASURED)])
def test_bad_files_end_in_one_line(words):
    told = run(*words)
    assert told.exit_code == 1 and told.stderr.count("\n") == 1 and told.stderr.startswith("error: ")
