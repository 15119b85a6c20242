"""Two answers side by side: the figures are those of the answers, the parts explain the whole, the words say it."""

import json

import numpy as np
import pytest
from terminal import runner

import mlsysim as ms
from mlsysim.cli.commands import app

SERVING = {"model": "llama3_1_8b", "seq_len": 2048, "batch_size": 16}


def pair(**more):
    node = ms.ServingModel(**SERVING | more)
    return node(hardware="h100"), node(hardware="a100")


def test_two_configurations_in_numbers():
    a, b = pair()
    found, left, right = ms.compare(a, b), a.solve(), b.solve()
    assert found.names == ("h100", "a100") and found.inputs.loc["hardware", "given"]
    row = found.table.loc["itl"]
    assert row["h100"] == left.itl.item() and row["a100"] == right.itl.item() and row["unit"] == "s"
    assert row["ratio"] == right.itl.item() / left.itl.item() > 1.2 and row["better"] == "h100"
    assert found.table.loc["tokens_per_s", "better"] == "h100"
    parts = found.parts.loc["itl"]
    assert parts["share"].sum() == pytest.approx(1.0) and parts.loc["decode_gemm_time", "share"] > 0.5
    assert found.parts.loc[("itl", "decode_gemm_time"), "a100"] == right.decode_gemm_time.item()
    assert found.walls.loc[("decode_bottleneck", "memory")].tolist() == [1, 1]
    assert found.scale.empty


def test_in_words():
    text = repr(ms.compare(*pair()))
    assert text.startswith("ServingModel: h100 against a100\ninputs that differ: hardware h100 / a100")
    assert "better: h100" in text and "why itl: decode_gemm_time" in text and "of the difference" in text
    assert "decode_bottleneck: memory on both sides" in text
    html = ms.compare(*pair())._repr_html_()
    assert "<table" in html and "decode_gemm_time" in html


def test_the_same_answer_twice():
    answer = pair()[0].solve()
    found = ms.compare(answer, answer)
    assert (found.table["ratio"].dropna() == 1.0).all() and set(found.table["better"]) == {""}
    assert found.inputs.empty and found.parts.empty
    assert "inputs that differ: none" in repr(found)


def test_a_grid_runs_with_scale():
    ds = ms.ServingModel.solve(
        model="llama3_1_70b", hardware=["h100", "h200"], tp=2, seq_len=2048, batch_size=range(1, 33)
    )
    found = ms.compare(ds.sel(hardware="h100"), ds.sel(hardware="h200"))
    works = ds.feasible.values
    assert 0 < works[0].sum() < works[1].sum() == 32, "the larger memory holds more sequences"
    both = works.all(axis=0)
    ratio = ds.itl.values[1] / ds.itl.values[0]
    row = found.table.loc["itl"]
    assert row["ratio"] == np.median(ratio[both]) and row["lowest"] == ratio[both].min()
    assert found.scale.loc["batch_size"]["itl"].tolist() == ratio[both].tolist()
    assert found.walls.loc[("limit", "memory")].tolist() == [(~works[0]).sum(), 0]
    text = repr(found)
    assert f"32 points: h100 works at {works[0].sum()}, h200 works at 32" in text
    assert (
        "along batch_size, ttft h200 over h100" in text
        and f"limit: h100 memory at {(~works[0]).sum()}; h200 none" in text
    )


def test_where_the_sides_change_places_is_told():
    kinds = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": [1, 8192], "batch_size": [1, 2, 4, 8, 16, 32]}
    ds = ms.SingleNodeModel.solve(**kinds, precision=["bf16", "fp8"])
    found = ms.compare(ds.isel(precision=0), ds.isel(precision=1))
    assert "along batch_size" in repr(found) and "along seq_len" in repr(found)
    from mlsysim.why.comparing import _crossing

    assert _crossing(found.scale.loc["seq_len"]["latency"]) == ""
    import pandas as pd

    assert _crossing(pd.Series([0.9, 0.95, 1.2], index=[1, 2, 4])) == "; the sides change places between 2 and 4"


def test_what_does_not_work_is_said():
    found = ms.compare(*pair(model="llama3_1_70b"))
    assert "h100 and a100 do not work" in repr(found)
    assert found.walls.loc[("limit", "memory")].tolist() == [1, 1]


def test_winners_of_a_search_can_be_compared():
    best = ms.ServingModel.best(
        "usd_per_mtok", by="hardware", hardware=["h100", "a100"], tp=[1, 2], **SERVING | {"batch_size": [1, 2, 4, 8]}
    )
    found = ms.compare(best.isel(hardware=0), best.isel(hardware=1))
    assert found.table.loc["usd_per_mtok", "h100"] == best.usd_per_mtok.values[0]


def test_a_default_that_differs_is_told_apart_from_what_was_given():
    run = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 2048}
    found = ms.compare(ms.ServingModel(**run), ms.ServingModel(**run, tp=2), names=("one", "two"))
    assert found.inputs.loc["tp"].tolist() == ["1", "2", True] and found.names == ("one", "two")


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: ms.compare(pair()[0], 3), "compare: b=3: must be a Dataset or a resolver"),
        (lambda: ms.compare(pair(tp=[1, 2])[0], pair()[1]), "one answer runs along tp, the other along no axis"),
        (lambda: ms.compare(pair(tp=[1, 2])[0], pair(tp=[1, 4])[1]), "other values along tp"),
        (lambda: ms.compare(*pair(), names="ab"), "names='ab': must be two different names"),
        (
            lambda: ms.compare(pair()[0], ms.TailLatencyModel(arrival_rate=5, service_latency="0.1 s", replicas=1)),
            "have no output in common",
        ),
    ],
)
def test_errors(ask, words):
    with pytest.raises((TypeError, ValueError), match=words):
        ask()


# --- command line ------------------------------------------------------------------------------------------


def test_compare_and_trace_on_the_command_line():
    words = ["compare", "serving", "hardware=h100,a100", *(f"{k}={v}" for k, v in SERVING.items())]
    told = runner().invoke(app, words)
    assert told.exit_code == 0 and "ServingModel: h100 against a100" in told.stdout and "assumed:" in told.stdout
    rows = json.loads(runner().invoke(app, [*words, "--json"]).stdout)
    assert "itl" in str(rows)
    words = ["trace", "serving", "itl", "hardware=h100", *(f"{k}={v}" for k, v in SERVING.items()), "depth=1"]
    told = runner().invoke(app, words)
    assert told.exit_code == 0 and "itl = phase.time" in told.stdout and "arXiv:2211.05102" in told.stdout
    assert "decode_step" in runner().invoke(app, [*words, "--json"]).stdout


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["compare", "serving", "hardware=h100", "model=llama3_1_8b"], "compare needs an input with two values"),
        (
            ["compare", "serving", "over=tp", "tp=1,2,4", "hardware=h100", "model=llama3_1_8b", "seq_len=2048"],
            "over=tp: has 3 values; compare takes two",
        ),
        (
            ["trace", "serving", "depth=two", "hardware=h100", "model=llama3_1_8b"],
            "depth='two': must be a whole number",
        ),
    ],
)
def test_errors_on_the_command_line(words, error):
    told = runner().invoke(app, words)
    assert told.exit_code == 1 and error in told.stderr
