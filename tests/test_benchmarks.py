"""Benchmarks run, on tiny grids: what they print is measured, and what they compare agrees."""

import sys
from pathlib import Path

import pytest

import mlsysim as ms
from mlsysim.resolver import Model

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
engine = pytest.importorskip("engine")
peers = pytest.importorskip("peers")


def test_every_model_has_its_grid():
    assert set(engine.MODELS) == {name for name, resolver in ms.RESOLVERS.items() if isinstance(resolver, Model)}
    assert set(engine.LOOPS) < set(engine.MODELS)


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
    ours = figures["mlsysim-sweep"]
    assert ours["points_per_s"] > 0 and ours["rows"] == figures["rows"] and 0 < ours["median_error"] < 0.2
