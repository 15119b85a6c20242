"""Published runs are predicted as well as was accepted: a change that makes a source worse is told which and by how much."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from mlsysim.calibration import Validation

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))
accuracy = pytest.importorskip("accuracy")


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


def test_the_readme_shows_what_is_measured(shipped):
    """The shipped columns of the README's table, to the digit: it was written by the script, on this tree."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("<!-- accuracy:begin -->")[1]
    lines = {m[1]: m[0] for m in re.finditer(r"^\| (training \| step_time) \|.*$", text, flags=re.M)}
    off = accuracy.statistics(shipped["training"]["shipped"].rows.query("target == 'step_time'"))
    shown = [float(c) for c in lines["training | step_time"].split("|")[4:6]]
    assert np.allclose(shown, [100 * off["median_ape"], 100 * off["source_mean"]], atol=0.11)


def test_intervals_move_with_the_prediction(shipped):
    given = shipped["training"]["shipped"]
    moved = Validation(given.kind, given.n_rows, given.rows.assign(predicted=2 * given.rows.predicted), given.refused, 0, 1)
    found = accuracy.with_intervals(moved, given).rows
    assert np.allclose(found.high, 2 * given.rows.high) and np.allclose(found.low, 2 * given.rows.low)


def test_files_of_a_kind_are_fitted_together(tmp_path):
    ours = accuracy.together([])
    ours["serving"].iloc[:3].to_csv(tmp_path / "more.csv", index=False)
    both = accuracy.together([tmp_path / "more.csv"])
    assert len(both["serving"]) == len(ours["serving"]) + 3 and len(both["training"]) == len(ours["training"])
