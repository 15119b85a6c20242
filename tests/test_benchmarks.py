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
    assert min(rates) > 0 and figures["memory"]["peak_megabytes"] > 10 and figures["start"]["import_ratio"] > 0.5
    lines = engine.table(figures).splitlines()
    assert len(lines) >= 12 and all(line.count("|") == 3 for line in lines) and "nan" not in "".join(lines)


@pytest.mark.slow
def test_neighbours():
    figures = peers.measure(quick=True)
    ours = figures["tools"]["mlsysim-sweep"]
    assert ours["points_per_s"] > 0 and ours["rows"] == figures["rows"] and 0 < ours["median_error"] < 0.2


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
