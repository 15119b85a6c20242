"""Runs of which nothing is known: what only a publication supports is forgotten with it."""

from pathlib import Path

import pandas as pd
import pytest

from mlsysim import zoo
from mlsysim.calibration import calibrate, frameworks, holdout
from mlsysim.calibration.problem import Problem
from mlsysim.calibration.runs import read

TABLE = Path(__file__).parent.parent / "benchmarks" / "measured" / "training.csv"


@pytest.fixture(scope="module")
def problem():
    return Problem(read(TABLE))


def test_sources_that_share_a_page_are_one_publication(problem):
    of_run = holdout.publications(problem)
    by_source = {run.source: of_run[run.position] for run in problem.kept}
    foundry = {by_source[s] for s in by_source if s.startswith("llm_foundry")}
    megatron = {by_source[s] for s in by_source if s.startswith("narayanan2021")}
    assert len(foundry) == len(megatron) == 1 and foundry != megatron


def test_what_a_publication_alone_supports_is_what_no_other_run_calls_for(problem):
    of_run = holdout.publications(problem)
    place = next(r.position for r in problem.kept if r.source == "torchtitan")
    alone = holdout.known_alone(problem, of_run, of_run[place])
    assert {"torchtitan 2024 selective_products", "torchtitan 2025 training_logit_bytes"} <= alone
    others = {line for r in problem.kept if of_run[r.position] != of_run[place] for line in r.known}
    assert not alone & others
    assert not any(line.startswith(("pytorch_fsdp", "megatron_lm", "torch_compile")) for line in alone), (
        "documents of a family stay"
    )


def test_forgotten_settings_are_those_of_the_family():
    run = {"framework": "torchtitan + torch_compile", "source": "of 2025", "hardware": "h100"}
    rows, setting = frameworks.of_run("trainer", run)
    lines = {line for row in rows for line in zoo.frameworks.lines_of(row).values()}
    own = {line for line in lines if line.startswith("torchtitan")}
    _, left = frameworks.of_run("trainer", run, (), own)
    _, family = frameworks.of_run("trainer", {**run, "framework": "PyTorch FSDP + torch_compile"})
    assert setting["selective_products"] == 0.36 and "selective_products" not in left
    assert setting["eager_factor"] == left["eager_factor"] == 1.0
    assert setting["training_logit_bytes"] == 4.0 and left["training_logit_bytes"] == 12.0
    assert {k: v for k, v in left.items() if k != "attention"} == {k: v for k, v in family.items() if k != "attention"}


def test_an_unknown_run_is_predicted_worse_than_a_known_one():
    table = pd.read_csv(TABLE)
    kept = ["torchtitan", "llama3_t4", "maxtext_tpu", "korthikanti2022_t5", "narayanan2021_t1"]
    some = table[table.source_id.isin(kept)]
    how = {"fit": ["training_gemm_factor"], "bootstrap": 0, "prior": 3.0}
    known, unknown = (calibrate(None, some, holdout=which, **how).held_out for which in ("source", "publication"))
    assert len(known.rows) == len(unknown.rows) and set(unknown.rows.source) == set(kept)
    off = [v.rows[v.rows.source == "torchtitan"].error.abs().median() for v in (known, unknown)]
    assert off[1] > off[0]
    # nothing is forgotten of a run that calls for no setting of its own
    same = [v.rows[v.rows.source == "narayanan2021_t1"].error.to_numpy() for v in (known, unknown)]
    assert same[0] == pytest.approx(same[1], rel=1e-6)


def test_two_publications_leave_nothing_to_leave_out():
    table = pd.read_csv(TABLE)
    some = table[table.source_id.isin(["torchtitan", "maxtext_tpu"])]
    assert calibrate(None, some, fit="training_gemm_factor", holdout="publication", bootstrap=0).held_out is None
