"""Benchmarks run, on tiny grids: what they print is measured, and what they compare agrees."""

import json
import sys
from pathlib import Path

import pytest

import mlsysim as ms
from mlsysim.resolver import Model

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
engine = pytest.importorskip("engine")
peers = pytest.importorskip("peers")
import beside  # noqa: E402


def test_every_model_has_its_grid_or_is_named_as_not_timed(monkeypatch):
    models = {name for name, resolver in ms.RESOLVERS.items() if isinstance(resolver, Model)}
    assert set(engine.MODELS) <= models and set(engine.LOOPS) < set(engine.MODELS)
    assert all(name in engine.untimed() for name in models - set(engine.MODELS))
    assert (engine.untimed() == "") == (models == set(engine.MODELS))
    monkeypatch.delitem(engine.MODELS, "ServingModel")
    assert "not timed" in engine.untimed() and "ServingModel" in engine.untimed()


def test_every_grid_in_full_is_recorded():
    """What is timed on a quiet machine only: each objective is there, over as many points as are told."""
    for name, (objective, axes) in engine.MODELS.items():
        program = ms.RESOLVERS[name].program(**axes)
        assert program.n_points > 5e5 and objective in program.available()[0], name
    sizes = [ms.DistributedModel(model=engine.MODEL).program(**g()).n_points for g in (engine.grid, engine.huge)]
    assert sizes[0] > 1e8 and sizes[1] > 1e9
    assert ms.DistributedModel(model=engine.MODEL).program(**engine.layouts()).sizes["dp"] == 256


@pytest.mark.slow
def test_speed():
    figures = engine.measure(quick=True)  # asserts that NumPy and the engine agree
    rates = [figures[k]["points_per_s"] for k in ("argmin", "layouts", "stored", "numpy")]
    rates += [v["points_per_s"] for v in figures["models"].values()]
    assert min(rates) > 0 and figures["memory"]["peak_megabytes"] > 10 and figures["start"]["import_ratio"] > 0
    lines = engine.table(figures).splitlines()
    assert len(lines) >= 12 and all(line.count("|") == 3 for line in lines) and "nan" not in "".join(lines)


@pytest.mark.slow
def test_what_travels_to_workers():
    """What `scale.py` says of a call that is shipped (it asked for what has another name since, and nothing ran it)."""
    scale = pytest.importorskip("scale")
    for figures in scale.shipped(quick=True).values():
        assert figures["call_bytes"] > figures["answer_bytes"] > 0 and figures["told_bytes"] > 0


@pytest.mark.slow
def test_neighbours():
    figures = peers.measure(quick=True)
    ours = figures["tools"]["mlsysim-sweep"]
    assert ours["points_per_s"] > 0 and ours["rows"] == figures["rows"] and 0 < ours["median_error"] < 0.2


HEAD = (
    "source,model,hardware,n_gpus,tp,pp,ep,precision,precision_kv,scenario,batch_or_concurrency,input_len,output_len,"
)
ROWS = f"""{HEAD}ttft_ms,itl_ms,tokens_per_s_total,engine,one_batch
page,llama3_1_8b,h100_sxm5_80gb,1,1,1,,fp8,,max_load,,128,128,,,28836,TensorRT-LLM 0.17,
page,llama3_1_8b,gh200_96gb,1,1,1,,fp8,,max_load,,128,128,,,29852,TensorRT-LLM 0.17,
page,falcon_180b,h100_sxm5_80gb,8,8,1,,fp8,,max_load,,128,128,,,8000,TensorRT-LLM 0.17,
page,llama2_7b,a100_sxm4_80gb,1,1,1,,fp16,,closed_loop,16,128,128,110,13,,LMDeploy TurboMind 0.1.0a1,1
aiconfigurator (InferenceX),deepseek_r1_671b,b200_sxm_180gb,4,1,1,4,nvfp4,fp8,closed_loop,64,1024,1024,400,30,,trtllm 1.2.0,
page,mixtral_8x7b,h100_sxm5_80gb,2,2,1,,fp8,,max_load,,128,128,,,20000,TensorRT-LLM 0.17,
"""


@pytest.fixture
def few(tmp_path, monkeypatch):
    path = tmp_path / "few.csv"
    path.write_text(ROWS)
    monkeypatch.setattr(beside, "FILES", (path,))
    return path


def test_a_neighbour_is_told_what_we_are_told(few):
    """Layout, lengths, formats and clients of a row; a device or a model that it has not is a word, not a call."""
    lines = beside.asked_of(few).drop_duplicates("row").set_index("row")
    dense, device, model, other, mixture, split = lines.request[[2, 3, 4, 5, 6, 7]]
    assert (device, model) == ("device", "model")
    assert (dense["kind"], dense["system"], dense["backend"]) == ("saturated", "h100_sxm", "trtllm")
    assert dense["isl"] == dense["osl"] == 128
    assert dense["gemm_quant_mode"] == dense["kvcache_quant_mode"] == "fp8"
    assert other["kind"] == "serving" and other["backend"] == beside.STAND_IN and other["batch"] == 16
    assert other["config"]["num_attention_heads"] == 32 and "num_local_experts" not in other["config"]
    assert "asked as TensorRT-LLM" in lines.group[5] and "asked as" not in lines.group[2]
    assert (mixture["dp"], mixture["ep"], mixture["batch"]) == (4, 4, 16) and "its own data" in lines.group[6]
    # the mean of the lengths that its load generator draws
    assert mixture["isl"] == 922 and "NVFP4" in mixture["model"]
    assert split["tp"] == 2 and split["dp"] == 1 and split["config"]["num_local_experts"] == 8


def test_a_neighbour_is_compared_on_rows_that_both_answer(few, monkeypatch):
    """Groups count what it lacks; errors, levels and means over sources are of the same rows for both."""

    def ask(python, requests, budget):
        steady = {"ttft": 0.4, "itl": 0.02, "tokens_per_s": 14418.0, "throughput": 40.0, "batch": 8, "ctx_tokens": 128}
        answers = [
            {"why": "memory", "words": "more"} if r["experts"] and r["kind"] == "saturated"
            else {**steady, "chunk": {**steady, "itl": 0.03}} if r["kind"] == "closed" else steady
            for r in requests
        ]  # fmt: skip
        entry = [{**a, "ttft": 0.44} if r["public"] and "why" not in a else None for r, a in zip(requests, answers)]
        return {"answers": answers, "public": entry, "rates": {"one step": 1e5}, "tables": {"h100_sxm trtllm": "1"}}

    monkeypatch.setattr(beside, "ask", ask)
    found = beside.measure(Path("python"), held=False)
    groups = {g["group"]: g for g in found["groups"]}
    dense = groups["published: dense, maximum load"]
    assert (dense["rows"], dense["both"], dense["sources"], dense["without"]) == (3, 1, 1, {"device": 1, "model": 1})
    assert dense["theirs"]["median_error"] == pytest.approx(0.5, abs=1e-3) == -dense["theirs"]["level"]
    assert 0 < dense["ours"]["median_error"] < 0.2
    mixture = groups["published: mixtures, maximum load"]
    assert mixture["both"] == 0 and mixture["without"] == {"memory": 1} and "theirs" not in mixture
    itl, ttft = (groups[f"its own data: mixtures, {what}"] for what in ("time between tokens", "first token"))
    assert itl["step"] == "the engine's tokens a step" and itl["theirs"]["median_error"] == pytest.approx(0.0)
    assert ttft["step"] == "one prompt a step" and len(itl["ways"]) == 2
    text = peers.section(
        {"beside": found, "tools": {"mlsysim-sweep": {"calls_per_s": 9.0, "listed_per_s": 1e4, "points_per_s": 1e8}}}
    )
    assert "nan" not in text and "device 1, model 1" in text and "its own data: mixtures, time between tokens (" in text
    assert peers.section({"beside": {"skipped": "no network"}}) is None


def test_accuracy_takes_in_what_the_neighbours_said(tmp_path, monkeypatch):
    import accuracy

    monkeypatch.setattr(accuracy, "PEERS", tmp_path / "peers.md")
    assert "Beside" not in accuracy.markdown({})
    accuracy.PEERS.write_text("## Beside a neighbour\n")
    assert "\n## Beside a neighbour\n" in accuracy.markdown({}) + "\n"


def test_figures_that_moved_are_named_for_the_changelog():
    import changes

    before = {"training": {"step_time | a": 0.04, "step_time | b": 0.05, "step_time | c": 0.1}}
    now = {"training": {"step_time | a": 0.07, "step_time | b": 0.052, "step_time | d": 0.2}}
    assert changes.moved(before, now) == [
        "- training, step_time | c: no longer predicted",
        "- training, step_time | a: 4.0 -> 7.0 %",
        "- training, step_time | d: new, 20.0 %",
    ]
    assert changes.accepted_at("no-such-revision") == {}


def test_what_moved_since_the_last_release_is_told(monkeypatch):
    """The panel of the history answers, its first line reads, and a number that moves by more than 2 % is named."""
    history = pytest.importorskip("history")
    few = [
        name for name in history.PANEL if name.startswith(("mtbf", "step_time of llama3_1_8b", "itl of llama3_1_8b"))
    ]
    monkeypatch.setattr(history, "PANEL", {name: history.PANEL[name] for name in few})
    now = history.line(samples=4)
    assert list(now["predicted"]) == few and all(f["standard_error"] > 0 for f in now["predicted"].values())
    assert history.moved(now, now) == []
    before = json.loads(json.dumps(now))
    before["predicted"][few[0]]["value"] *= 1.1
    del before["predicted"][few[1]]
    before["predicted"]["gone"] = {"value": 1.0, "standard_error": 0.1}
    told = history.moved(before, now)
    assert len(told) == 3 and "no longer predicted" in told[0] and "-9.1%" in told[1] and "new, " in told[2]
    recorded = history.history()
    assert recorded and {"version", "date", "data", "predicted", "median_error"} <= set(recorded[0])
