"""Pictures: what is drawn, what stands beside it, and what is refused."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from configurations import CONFIGURATIONS

import mlsysim as ms
from mlsysim.plot.labels import overlap
from mlsysim.plot.parts import parts_of, wholes
from mlsysim.plot.scorecard import judged
from mlsysim.schema.variables import VARIABLES
from mlsysim.schema.wholes import WHOLES

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.patches import PathPatch  # noqa: E402

ROOT = Path(__file__).parent.parent
SERVING = {"model": "llama3_1_70b", "hardware": "h100", "seq_len": 4096, "output_len": 512}
TRAINING = {"model": "llama3_1_70b", "hardware": "h100", "tp": 8, "pp": 4, "global_batch": 1024, "seq_len": 8192}


def axes(**more):
    return Figure(layout="constrained").subplots(**more)


def texts(ax):
    return [t.get_text() for t in ax.texts]


def legend(ax):
    return [t.get_text() for t in ax.get_legend().get_texts()]


def hatches(ax):
    return [p for p in ax.patches if isinstance(p, PathPatch) and p.get_hatch()]


@pytest.fixture(scope="module")
def served():
    return ms.ServingModel.solve(**SERVING, tp=[1, 2, 4, 8], batch_size=[1, 4, 16, 64, 256])


@pytest.fixture(scope="module")
def trained():
    return ms.DistributedModel.solve(**TRAINING, dp=[1, 4, 16, 64], tokens=15e12)


@pytest.fixture(scope="module")
def owned():
    chain = ms.compose(ms.DistributedModel, ms.EconomicsModel, ms.SustainabilityModel)
    return chain.solve(**TRAINING, dp=16, tokens=15e12, region="usa")


@pytest.fixture(scope="module")
def searched():
    grid = SERVING | {"hardware": ["h100", "a100", "mi300x", "l40s"], "tp": [2, 4, 8], "batch_size": [1, 4, 16, 64]}
    front = ms.ServingModel.pareto(["usd_per_mtok", "itl"], **grid)
    return front, ms.ServingModel.best("usd_per_mtok", by="hardware", **grid)


# --- the package --------------------------------------------------------------------------------------------


def test_importing_mlsysim_imports_no_drawing_library():
    code = "import sys, mlsysim; print([m for m in ('matplotlib', 'plotly') if m in sys.modules], mlsysim.plot.front.__name__)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert told.stdout.split("\n")[0] == "[] front"


@pytest.mark.parametrize("name", [n for n in ms.plot.__all__ if n not in ("save", "parity", "scorecard")])
def test_without_matplotlib_one_line_names_the_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    more = ("itl",) if name == "heatmap" else ()
    with pytest.raises(ImportError, match=r"pip install 'mlsysim-sweep\[plot\]'"):
        getattr(ms.plot, name)(xr.Dataset(), *more)


@pytest.mark.parametrize("name", [n for n in ms.plot.__all__ if n not in ("save",)])
def test_what_is_no_answer_is_refused_in_one_line(name):
    more = {"heatmap": ("itl",), "scorecard": (["itl < 1"],)}.get(name, ())
    with pytest.raises(TypeError, match=r"not list$"):
        getattr(ms.plot, name)([1], *more)


def test_axes_of_ones_own_are_drawn_into_and_others_made(trained):
    own = axes()
    assert ms.plot.breakdown(trained, ax=own) is own
    made = ms.plot.breakdown(trained)
    assert made.figure is not own.figure
    matplotlib.pyplot.close(made.figure)
    with pytest.raises(TypeError, match="ax=str: must be matplotlib Axes"):
        ms.plot.breakdown(trained, ax="mine")


# --- titles and heads ---------------------------------------------------------------------------------------


def test_the_title_says_what_was_asked(served):
    ax = ms.plot.heatmap(served, "itl", ax=axes())
    assert ax.get_title(loc="left") == "itl: llama3_1_70b on h100"
    small = texts(ax)[-1].replace("\N{NO-BREAK SPACE}", " ")
    assert small == "Serving: seq len 4,096, output len 512, precision bf16"


def test_text_with_a_dollar_is_no_formula(searched):
    ax = ms.plot.front(searched[0], ax=axes())
    assert ax.get_xlabel() == r"usd per mtok [\$]"
    ax.figure.draw_without_rendering()


# --- heat map -----------------------------------------------------------------------------------------------


def test_heatmap_hatches_what_does_not_work_by_its_reason(served):
    ax = ms.plot.heatmap(served, "itl", ax=axes())
    assert ax.get_xlabel() == "batch size" and ax.get_ylabel() == "tp"
    assert ax.figure.axes[1].get_ylabel() == "itl [ms]"  # the colour bar
    assert legend(ax) == ["infeasible: memory"]
    cells = ax.collections[0].get_array()
    bad = ~served.feasible.transpose("tp", "batch_size").values
    assert np.array_equal(np.ma.getmaskarray(cells).reshape(bad.shape), bad) and bad.any()
    vertices = hatches(ax)[0].get_path().vertices.reshape(-1, 5, 2)
    covered = sum(np.ptp(box[:, 0]) * np.ptp(box[:, 1]) for box in vertices)
    assert covered == bad.sum()


def test_heatmap_draws_walls_between_what_works(served):
    ax = ms.plot.heatmap(served, "itl", ax=axes())
    assert {"memory", "compute"} <= set(texts(ax))
    lines = [c for c in ax.collections if type(c).__name__ == "LineCollection"]
    names = served.bottleneck.transpose("tp", "batch_size").values
    good = served.feasible.transpose("tp", "batch_size").values
    across = ((names[:, 1:] != names[:, :-1]) & good[:, 1:] & good[:, :-1]).sum()
    up = ((names[1:] != names[:-1]) & good[1:] & good[:-1]).sum()
    assert len(lines[-1].get_segments()) == across + up > 0
    assert "memory" not in texts(ms.plot.heatmap(served, "itl", walls=None, ax=axes()))


def test_heatmap_of_an_option_has_a_legend_in_place_of_a_colour_bar(served):
    ax = ms.plot.heatmap(served, "bottleneck", ax=axes())
    assert set(legend(ax)) == {"compute", "memory", "infeasible: memory"} and len(ax.figure.axes) == 1


def test_heatmap_with_everything_infeasible_shows_no_number():
    ds = ms.ServingModel.solve(**SERVING, tp=[1, 2], batch_size=[512, 1024])
    assert not ds.feasible.any()
    ax = ms.plot.heatmap(ds, "itl", ax=axes())
    assert len(ax.figure.axes) == 1 and legend(ax) == ["infeasible: memory"]


def test_heatmap_chooses_its_sides_and_says_what_is_wrong(served):
    ax = ms.plot.heatmap(served, "itl", y="batch_size", ax=axes())
    assert ax.get_xlabel() == "tp" and ax.get_ylabel() == "batch size"
    with pytest.raises(ValueError, match=r"x='pp': itl lies along tp and batch_size"):
        ms.plot.heatmap(served, "itl", x="pp")
    with pytest.raises(ValueError, match="x and y are both tp"):
        ms.plot.heatmap(served, "itl", x="tp", y="tp")
    with pytest.raises(ValueError, match=r"output='itll': the answer has none; nearest: itl"):
        ms.plot.heatmap(served, "itll")
    with pytest.raises(ValueError, match=r"two axes: itl lies along batch_size"):
        ms.plot.heatmap(served.isel(tp=3), "itl")


def test_axes_with_many_values_are_labelled_at_round_ones():
    ds = ms.ServingModel.solve(**SERVING, tp=[4, 8], batch_size=range(1, 301))
    ax = ms.plot.heatmap(ds, "itl", ax=axes())
    assert [t.get_text() for t in ax.get_xticklabels()] == ["50", "100", "150", "200", "250", "300"]
    assert [ax.get_xticks()[0], ax.get_xticks()[-1]] == [49, 299]


# --- where it goes ------------------------------------------------------------------------------------------


def test_the_table_of_wholes_names_variables_of_one_unit():
    for whole in WHOLES:
        units = {VARIABLES[name].unit for part in whole.parts for name in part.split("|")} | {
            VARIABLES[whole.name].unit
        }
        assert len(units) == 1, whole


def has_parts(resolver):
    names = set(resolver.outputs)
    return any(w.name in names and len(names & {n for p in w.parts for n in p.split("|")}) > 1 for w in WHOLES)


WITH_PARTS = [name for name, resolver in ms.RESOLVERS.items() if has_parts(resolver)]


def test_resolvers_that_have_parts():
    assert len(WITH_PARTS) >= 8


@pytest.mark.parametrize(("resolver", "i"), [(n, i) for n in WITH_PARTS for i in range(len(CONFIGURATIONS.get(n, [])))])
def test_parts_add_up_to_the_whole(resolver, i):
    ds = ms.RESOLVERS[resolver].solve(**CONFIGURATIONS[resolver][i])
    assert wholes(ds)
    for name in wholes(ds):
        found = parts_of(ds, name)
        total = ds[name].values
        added = sum(part.values for part in found.values())
        known = np.isfinite(total)
        assert np.allclose(added[known], total[known], rtol=1e-6, atol=0.0), name
        assert all((part.values[known] >= 0).all() for part in found.values()), name


EXACT = {  #: wholes that are the sum of what the answer has, with nothing left to name
    "DistributedModel": ["step_time", "memory_per_device"],
    "ServingModel": ["ttft", "itl"],
    "SingleNodeModel": ["latency"],
    "CheckpointModel": ["checkpoint_size"],
    "ReliabilityModel": ["expected_failures"],
    "SustainabilityModel": ["carbon", "water"],
}


@pytest.mark.parametrize("resolver", EXACT)
def test_nothing_is_left_where_the_parts_are_all_known(resolver):
    calls = [c for c in CONFIGURATIONS[resolver] if "assume" not in c]
    ds = ms.RESOLVERS[resolver].solve(**calls[0])
    assert set(EXACT[resolver]) <= set(wholes(ds))
    for name in EXACT[resolver]:
        assert set(parts_of(ds, name)) <= set(map(str, ds.data_vars)), name


def test_the_cache_of_a_server_is_a_part_of_its_memory(served):
    found = parts_of(served, "memory_per_device")
    assert list(found) == ["memory_weights", "memory_cache", "workspace and reserve"]
    one = served.sel(tp=8, batch_size=[4, 16, 64])
    growth = one.memory_per_device.diff("batch_size") - one.memory_cache.diff("batch_size")
    assert np.allclose(growth, 0.0, atol=1.0)  # once a step is full, nothing else grows


def test_the_part_that_another_hides_is_told_as_far_as_it_shows():
    ds = ms.SingleNodeModel.solve(model="llama3_1_8b", hardware="h100", phase=["prefill", "decode"], seq_len=2048)
    found = parts_of(ds, "latency")
    for i, longer in enumerate(("compute_time", "memory_time")):
        assert found[longer].values[i] == ds[longer].values[i]
    assert (found["memory_time"].values[0]) < ds.memory_time.values[0]


def test_breakdown_stacks_the_parts_along_an_axis(trained):
    ax = ms.plot.breakdown(trained, ax=axes())
    assert ax.get_ylabel() == "step time [s]" and ax.get_xlabel() == "dp"
    tops = np.zeros(4)
    for container in ax.containers:
        tops += [bar.get_height() for bar in container]
    assert np.allclose(tops, trained.step_time.values)
    assert "compute" in legend(ax) and "compute time" not in legend(ax)
    assert legend(ax)[::-1].index("compute") == 0  # the lowest stands last
    shares = ms.plot.breakdown(trained, share=True, ax=axes())
    assert shares.get_ylabel() == "share of step time [%]"
    assert np.allclose(sum(np.array([bar.get_height() for bar in c]) for c in shares.containers), 100.0)


def test_breakdown_of_one_point_puts_the_parts_one_behind_the_other(owned):
    ax = ms.plot.breakdown(owned, "tco", ax=axes())
    assert ax.get_xlabel() == r"tco [M\$]"
    bars = [bar for container in ax.containers for bar in container]
    ends = np.cumsum([bar.get_width() for bar in bars[:-1]])
    assert np.allclose([bar.get_x() for bar in bars[:-1]], [0, *ends[:-1]])
    assert np.isclose(ends[-1], bars[-1].get_width()) and np.isclose(ends[-1], owned.tco.item() / 1e6)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["capex", "electricity", "maintenance", "staff", "all"]


def test_breakdown_hatches_what_does_not_work(served):
    few = served.sel(tp=4)
    assert not few.feasible.all()
    for ds in (few, ms.ServingModel.solve(**SERVING, tp=4, batch_size=range(1, 200)), few.isel(batch_size=-1)):
        assert hatches(ms.plot.breakdown(ds, "itl", ax=axes()))
    assert not hatches(ms.plot.breakdown(served.sel(tp=8, batch_size=[1, 4]), "itl", ax=axes()))


def test_draws_of_a_time_have_parts_that_scatter_with_it():
    ds = ms.ServingModel.solve(**SERVING, tp=8, batch_size=4, sample=8)
    raw = sum(ds[f"decode_{part}_time"] for part in ("gemm", "attention", "communication", "host"))
    assert (raw > 1.01 * ds.itl).any()
    added = sum(parts_of(ds, "itl").values())
    assert np.allclose(added, ds.itl, rtol=1e-12)
    ms.plot.breakdown(ds.isel(sample=0), "itl", ax=axes())


def test_rented_devices_cost_their_rent():
    ds = ms.EconomicsModel.solve(hardware="h100", region="usa", duration="30 days", procurement=["own", "on_demand"])
    found = parts_of(ds, "tco")
    assert found["rent"].values[0] == 0 and found["rent"].values[1] == ds.tco.values[1] > 0


def test_breakdown_says_what_is_not_there(trained, served):
    with pytest.raises(ValueError, match=r"whole='mfu' is not made of other outputs"):
        ms.plot.breakdown(trained, "mfu")
    with pytest.raises(ValueError, match=r"whole='stept_time': the answer has none; nearest: step_time"):
        ms.plot.breakdown(trained, "stept_time")
    with pytest.raises(ValueError, match="no output of this answer is made of others"):
        ms.plot.breakdown(trained[["mfu"]])
    with pytest.raises(ValueError, match=r"itl lies along tp, batch_size; choose with ds.sel\(tp=...\)"):
        ms.plot.breakdown(served, "itl")
    with pytest.raises(ValueError, match="along='pp': itl has no such axis"):
        ms.plot.breakdown(served, "itl", along="pp")


def test_parts_that_exceed_their_whole_are_refused(trained):
    wrong = trained.assign(step_time=trained.step_time * 0.9)
    with pytest.raises(ValueError, match="whole='step_time': its parts exceed it by"):
        parts_of(wrong)


# --- fronts -------------------------------------------------------------------------------------------------


def test_the_legend_of_a_front_names_what_is_not_on_it(searched):
    front, best = searched
    on = set(front.hardware.values)
    ax = ms.plot.front(front, best=best, ax=axes())
    told = legend(ax)
    assert on <= set(told) and ax.get_legend().get_title().get_text() == "hardware on the front"
    absent = [h for h in ("h100", "a100", "mi300x", "l40s") if h not in on]
    assert absent and told[-1] == "not on it: the best of each" and set(absent) <= set(texts(ax))
    none = best.where(best.hardware != absent[0])
    lacking = ms.plot.front(front, best=none, ax=axes())
    assert legend(lacking)[-1] == f"nothing feasible: {absent[0]}" and absent[0] not in texts(lacking)
    without = legend(ms.plot.front(front, ax=axes()))  # the call itself says how many were asked for
    assert without[-1] == f"not on the front: {len(absent)} of 4"


def test_labels_of_a_front_lie_on_nothing_else(searched):
    front, best = searched
    ax = ms.plot.front(front, best=best, ax=axes())
    ax.figure.draw_without_rendering()
    boxes = [t.get_window_extent() for t in ax.texts if t.get_text() in best.hardware.values]
    boxes.append(ax.get_legend().get_window_extent())
    corners = [(b.x0, b.y0, b.x1, b.y1) for b in boxes]
    assert len(corners) > 2
    for i, a in enumerate(corners):
        assert all(overlap(a, b) == 0 for b in corners[i + 1 :])


def test_a_crowd_of_labels_is_spread():
    from mlsysim.plot.labels import place

    ax = axes()
    ax.set(xlim=(0, 1), ylim=(0, 1))
    x = 0.5 + 0.01 * np.arange(12) / 12
    notes = place(ax, x, x, [f"device number {i}" for i in range(12)])
    ax.figure.draw_without_rendering()
    boxes = [(b.x0, b.y0, b.x1, b.y1) for b in (matplotlib.text.Text.get_window_extent(n) for n in notes)]
    assert all(overlap(a, b) < 1.0 for i, a in enumerate(boxes) for b in boxes[i + 1 :])


def test_no_line_to_a_point_runs_through_the_label_of_another():
    from mlsysim.plot.labels import within

    names = {"model": ["resnet50", "bert_large", "llama3_1_8b", "llama3_1_70b"], "batch_size": [1, 32]}
    ax = ms.plot.roofline(ms.SingleNodeModel.solve(hardware="h100", seq_len=512, **names))
    ax.figure.draw_without_rendering()
    notes = [note for note in ax.texts if ", batch size " in note.get_text()]
    boxes = [matplotlib.text.Text.get_window_extent(note) for note in notes]
    ends = ax.transData.transform([note.xy for note in notes])
    assert len(notes) == 8 and sum(note.arrowprops is not None for note in notes) >= 3
    for i, note in enumerate(notes):
        line = ((boxes[i].x0 + boxes[i].x1) / 2, (boxes[i].y0 + boxes[i].y1) / 2, *ends[i])
        others = [(b.x0, b.y0, b.x1, b.y1) for j, b in enumerate(boxes) if j != i]
        assert note.arrowprops is None or max(within(line, box) for box in others) < 1.0, note.get_text()


def test_three_objectives_are_colour_or_depth():
    chain = ms.compose(ms.DistributedModel, ms.EconomicsModel, ms.SustainabilityModel)
    grid = TRAINING | {"hardware": ["h100", "gb200"], "dp": [16, 64, 256], "tokens": 15e12, "region": ["usa", "swe"]}
    front = chain.pareto(["tco", "training_time", "carbon"], **grid)
    flat = ms.plot.front(front, ax=axes())
    assert flat.figure.axes[1].get_ylabel() == "carbon [t CO2e]"
    assert flat.get_xlabel() == r"tco [M\$]" and flat.get_ylabel() == "training time [days]"
    for given in ({"depth": True, "ax": axes(subplot_kw={"projection": "3d"})}, {"depth": True}):
        deep = ms.plot.front(front, **given)
        assert deep.name == "3d" and deep.get_zlabel() == "carbon [t CO2e]"
        deep.figure.draw_without_rendering()
    matplotlib.pyplot.close("all")
    with pytest.raises(ValueError, match='must be made with projection="3d"'):
        ms.plot.front(front, depth=True, ax=axes())
    with pytest.raises(ValueError, match="depth=True takes three objectives"):
        ms.plot.front(front, ["tco", "carbon"], depth=True)


def test_an_empty_front_says_why():
    front = ms.ServingModel.pareto(["itl", "ttft"], where="itl < '1 us'", tp=[1, 4], **SERVING)
    assert any(t.startswith("no configuration is left: memory: 1") for t in texts(ms.plot.front(front, ax=axes())))


# --- roofline -----------------------------------------------------------------------------------------------


def test_points_of_a_roofline_lie_below_their_roof():
    ds = ms.SingleNodeModel.solve(
        model="llama3_1_8b", hardware=["h100", "a100"], phase=["prefill", "decode"], batch_size=[1, 64], seq_len=2048
    )
    ax = ms.plot.roofline(ds, ax=axes())
    assert ax.get_xlabel() == "arithmetic intensity [FLOP/byte]" and ax.get_ylabel() == "rate [TFLOP/s]"
    assert ax.get_xscale() == ax.get_yscale() == "log"
    roofs = [line for line in ax.get_lines() if len(line.get_xdata()) == 3]
    assert len(roofs) == 2
    dots = [c.get_offsets() for c in ax.collections if len(c.get_offsets()) == 4]
    assert len(dots) == 2
    for roof, points in zip(roofs, dots):
        at = np.exp(np.interp(np.log(points[:, 0]), np.log(roof.get_xdata()), np.log(roof.get_ydata())))
        assert (points[:, 1] <= at * 1.000001).all() and (points[:, 1] > 0.05 * at).all()
    peak, bandwidth = ms.zoo.hardware("h100")["peak_bf16"], ms.zoo.hardware("h100")["mem_bandwidth"]
    assert np.isclose(roofs[0].get_ydata()[1] * 1e12, peak)
    assert np.isclose(roofs[0].get_xdata()[1], peak / bandwidth)
    assert {"prefill, batch size 1", "decode, batch size 64"} <= set(texts(ax))


def test_infeasible_passes_are_hollow():
    ds = ms.SingleNodeModel.solve(model=["llama3_1_8b", "llama3_1_70b"], hardware="h100", seq_len=512)
    ax = ms.plot.roofline(ds, ax=axes())
    assert "infeasible" in legend(ax)
    assert [len(c.get_facecolors()) for c in ax.collections if len(c.get_offsets()) == 1] == [1, 0]


def test_an_answer_without_operations_says_whom_to_ask(served):
    with pytest.raises(ValueError, match=r"a roofline needs flops, .*: ask SingleNodeModel, with phase="):
        ms.plot.roofline(served)
    ds = ms.SingleNodeModel.solve(model="llama3_1_8b", hardware="h100", batch_size=[1, 2], seq_len=512)
    with pytest.raises(ValueError, match="label='tp': the answer has no such axis"):
        ms.plot.roofline(ds, label="tp")


# --- sensitivities, scaling, parity, scores -----------------------------------------------------------------


def test_tornado_runs_from_the_lowered_input_to_the_raised():
    ds = ms.SensitivitySolver.solve(resolver=ms.ServingModel, output="itl", tp=8, batch_size=32, **SERVING)
    ax = ms.plot.tornado(ds, ax=axes())
    assert ax.get_xlabel().startswith("itl [ms]\n") and legend(ax) == ["input lowered by 10 %", "input raised by 10 %"]
    first = ax.get_yticklabels()[0].get_text()
    assert first == "mem bandwidth"
    lowered, raised = (container[0] for container in ax.containers)
    one = ds.sel(parameter="mem_bandwidth")
    assert np.isclose(lowered.get_x() + lowered.get_width(), 1e3 * one.itl_low.item())
    assert np.isclose(raised.get_x() + raised.get_width(), 1e3 * one.itl_high.item())
    widths = [abs(bar.get_width()) for bar in ax.containers[0]]
    assert widths == sorted(widths, reverse=True)


def test_tornado_of_shares_of_the_variance():
    ranges = {"mem_bandwidth": ("2 TB/s", "5 TB/s"), "peak_flops": ("5e14", "2e15")}
    ds = ms.SensitivitySolver.solve(ranges=ranges, samples=64, model="llama3_1_8b", hardware="h100", seq_len=512)
    ax = ms.plot.tornado(ds, ax=axes())
    assert ax.get_xlabel() == "share of the variance of latency [%]" and legend(ax) == ["together with others", "alone"]


def test_tornado_says_what_it_needs(served):
    with pytest.raises(ValueError, match="is of an answer of SensitivitySolver"):
        ms.plot.tornado(served)
    ds = ms.SensitivitySolver.solve(model="llama3_1_8b", hardware="h100", seq_len=512, batch_size=[1, 2])
    with pytest.raises(ValueError, match=r"lie along batch_size; choose with ds.sel\(batch_size=...\)"):
        ms.plot.tornado(ds)
    with pytest.raises(ValueError, match="most=0: must be a whole number"):
        ms.plot.tornado(ds, most=0)


def test_scaling_starts_from_the_first_feasible_point(trained):
    ax = ms.plot.scaling(trained, ax=axes())
    assert ax.get_xlabel() == "devices" and ax.get_ylabel() == "tokens per s [/s]"
    ideal, real = ax.get_lines()[:2]
    n = trained.n_accelerators.values
    rates = trained.tokens_per_s.values
    assert np.allclose(ideal.get_ydata(), rates[0] * n / n[0]) and np.allclose(real.get_ydata(), rates)
    left = rates[-1] / (rates[0] * n[-1] / n[0])
    assert f"{100 * left:.0f} %" in texts(ax)
    falls = ms.plot.scaling(trained, "training_time", ax=axes())
    assert np.allclose(falls.get_lines()[0].get_ydata(), trained.training_time.values[0] / 86400 * n[0] / n)


def test_scaling_has_a_line_for_each_value_of_another_axis():
    ds = ms.DistributedModel.solve(**TRAINING | {"hardware": ["h100", "a100"], "pp": 1}, zero_stage=3, dp=[1, 2, 8, 32])
    assert not ds.feasible.all()
    ax = ms.plot.scaling(ds, ax=axes())
    assert {"h100", "a100", "infeasible"} <= set(legend(ax))
    with pytest.raises(ValueError, match="is the same everywhere: ask along an axis that changes it"):
        ms.plot.scaling(ds.isel(dp=0))
    with pytest.raises(ValueError, match="over='n_devices': the answer has none"):
        ms.plot.scaling(ds, over="n_devices")


def test_parity_of_a_validation():
    found = ms.validate(str(ROOT / "benchmarks" / "measured" / "serving.csv"), sample=0)
    ax = found.plot("itl", ax=axes())
    rows = found.rows[found.rows.target == "itl"]
    assert ax.get_xlabel() == "measured itl [ms]" and ax.get_ylabel() == "predicted itl [ms]"
    marks = np.concatenate([line.get_xdata() for line in ax.get_lines()[1:]])
    assert sorted(marks) == pytest.approx(sorted(1e3 * rows.measured))
    error = 100 * (rows.predicted / rows.measured - 1).abs().median()
    assert ax.get_title(loc="left") == f"itl: {len(rows)} measured, median error {error:.1f} %"
    drawn = [(line.get_color(), line.get_marker()) for line in ax.get_lines()[1:]]
    assert len(set(drawn)) == len(drawn)  # no two sources look alike
    with pytest.raises(ValueError, match="target='mfu' was not measured; there are"):
        found.plot("mfu")


def test_scorecard_says_what_was_asked_and_found(owned):
    asked = {"utilization": "mfu >= 0.4", "in time": "training_time <= 60 days", "wall": "bottleneck == compute"}
    scores = judged(owned, asked)
    assert [s.name for s in scores] == ["feasible", "utilization", "in time", "wall"]
    assert [s.met for s in scores] == [
        bool(owned.feasible),
        owned.mfu.item() >= 0.4,
        owned.training_time.item() <= 60 * 86400,
        True,
    ]
    assert scores[2].condition == "<= 60 days" and scores[2].value.endswith("days")
    ax = ms.plot.scorecard(owned, asked, ax=axes())
    assert texts(ax).count("PASS") == sum(s.met for s in scores) and texts(ax).count("FAIL") == sum(
        not s.met for s in scores
    )
    assert ax.get_title(loc="left").startswith(f"{sum(s.met for s in scores)} of 4 conditions met")


def test_scorecard_never_passes_what_does_not_work(served):
    one = served.sel(tp=1, batch_size=64)
    scores = judged(one, ["itl < 10 s"])
    assert [s.met for s in scores] == [False, True] and scores[0].value == "no: memory"
    missing = one.assign(itl=one.itl * np.nan)
    assert not judged(missing, "itl < 10 s")[1].met


def test_scorecard_refuses_what_is_no_condition(served, owned):
    for text, why in (
        ("mfu", "is no condition; write for example 'mfu >= 0.4'"),
        ("mfuu >= 0.4", "conditions='mfuu': the answer has none"),
        ("mfu >= 4 ms", "mfu="),
        ("bottleneck < compute", "compares words; use == or !="),
    ):
        with pytest.raises(ValueError, match=why):
            judged(owned, [text])
    with pytest.raises(ValueError, match=r"a scorecard is of one point: feasible lies along tp, batch_size"):
        judged(served, ["itl < 1 s"])
