"""Figures fitted to measured runs: recovered when known, told when they cannot be, usable wherever a name is."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mlsysim as ms
from mlsysim import zoo
from mlsysim.calibration import Calibration, calibrate, validate
from mlsysim.calibration.fit import UNCERTAIN
from mlsysim.zoo import tables

MEASURED = Path(__file__).parent.parent / "benchmarks" / "measured"
TRUTH = {"training_gemm_factor": 0.8, "elementwise_slowdown": 2.3, "data_overlap": 0.75}


def made_up_runs(truth, noise=0.03, seed=3):
    """Runs as a machine with known assumptions would have taken them."""
    grid = [
        {
            "model_key": m,
            "hardware": h,
            "n_gpus": n,
            "seq_len": s,
            "global_batch": 4 * n,
            "micro_batch": b,
            "tp": tp,
            "pp": 1,
            "dp": n // tp,
            "precision": "bf16",
            "recompute": r,
            "zero_stage": z,
        }
        for m in ("llama3_1_8b", "llama3_2_1b")
        for h in ("h100", "a100")
        for n in (8, 64)
        for s in (2048, 8192)
        for b, tp, r, z in ((1, 1, "full", 3), (2, 2, "none", 1), (4, 1, "selective", 3))
    ]
    frame = pd.DataFrame(grid)
    rng = np.random.default_rng(seed)
    frame["measured_step_time_s"] = 1.0
    frame["source_id"] = [f"machine {i % 4}" for i in range(len(frame))]
    exact = validate(frame, ms.Assumptions(**truth), sample=0).rows
    assert len(exact) == len(frame)
    frame["measured_step_time_s"] = exact.predicted.to_numpy() * np.exp(rng.normal(0.0, noise, len(frame)))
    return frame


@pytest.fixture(scope="module")
def runs():
    return made_up_runs(TRUTH)


@pytest.fixture(scope="module")
def recovered(runs):
    return calibrate(ms.DistributedModel, runs, fit=list(TRUTH), bootstrap=20)


def test_known_assumptions_are_recovered(recovered):
    for line in recovered.table.itertuples():
        assert line.low <= TRUTH[line.name] <= line.high, line
        assert line.value == pytest.approx(TRUTH[line.name], rel=0.15)
    assert recovered.table.identified.all()
    error = recovered.fitted.summary["targets"]["step_time"]["median_ape"]
    assert 0.01 < error < 0.04 < recovered.before.summary["targets"]["step_time"]["median_ape"]
    assert recovered.held_out.summary["targets"]["step_time"]["median_ape"] < 0.05
    assert "training_gemm_factor" in repr(recovered) and "held out" in repr(recovered)


def test_without_noise_recovery_is_exact():
    fit = calibrate(None, made_up_runs(TRUTH, 0.0), fit=list(TRUTH), bootstrap=0, holdout=None)
    for line in fit.table.itertuples():
        assert line.value == pytest.approx(TRUTH[line.name], rel=1e-3)
    assert fit.held_out is None


def test_what_cannot_be_told_is_named(runs):
    fit = calibrate(
        None, runs, fit=["data_overlap", "grouped_gemm_factor", "training_level", "training_scatter"], bootstrap=0
    )
    told = fit.table.set_index("name")
    assert told.identified["data_overlap"]
    assert not told.identified["grouped_gemm_factor"] and "nothing" in told.why["grouped_gemm_factor"]
    assert not told.identified["training_level"] and "training_scatter" in told.why["training_level"]
    assert "not identified" in repr(fit)
    assert told.spread["grouped_gemm_factor"] > UNCERTAIN
    assert told.low.isna().tolist() == told.high.isna().tolist() == (~told.identified).tolist()
    assert "(not identified: nothing that was measured depends on it; default" in repr(fit)


def test_a_robust_loss_is_not_led_by_a_wrong_row(runs):
    wrong = runs.copy()
    wrong.loc[5, "measured_step_time_s"] *= 20.0
    names = ["training_gemm_factor", "elementwise_slowdown"]
    values = {
        loss: calibrate(None, wrong, fit=names, loss=loss, bootstrap=0, holdout=None).table.value
        for loss in ("soft_l1", "huber", "linear")
    }
    right = calibrate(None, runs, fit=names, bootstrap=0, holdout=None).table.value
    assert abs(np.log(values["soft_l1"] / right)).max() < 0.1 > abs(np.log(values["huber"] / right)).max()
    assert abs(np.log(values["linear"] / right)).max() > 0.15


def test_sources_weigh_the_same():
    """Twenty rows that want 2 and two rows that want 1: each source has one voice."""
    row = made_up_runs({}, 0.0).iloc[0].to_dict()
    many = [{**row, "source_id": "many", "measured_step_time_s": 2 * row["measured_step_time_s"]}] * 20
    few = [{**row, "source_id": "few"}] * 2
    fit = calibrate(None, pd.DataFrame(many + few), fit=["training_level"], loss="linear", bootstrap=0)
    assert fit.table.value[0] == pytest.approx(math.sqrt(2), rel=1e-3)


def test_few_rows_give_a_level_alone(runs):
    three = runs.iloc[:3].assign(source_id="mine")
    three["measured_step_time_s"] *= 1.3
    fit = calibrate(ms.DistributedModel, three)
    assert fit.table.name.tolist() == ["training_level"] and fit.held_out is None
    base = validate(three, sample=0).rows
    assert fit.table.value[0] == pytest.approx((base.measured / base.predicted).median(), rel=0.2)
    assert (
        len(fit.assumptions) == len(ms.Assumptions()) and "3 measured figures" in fit.assumptions.training_level.source
    )


def test_by_hardware_each_device_gets_its_own(runs, monkeypatch):
    monkeypatch.setattr(tables, "_REGISTERED", {})
    slow = runs.copy()
    slow.loc[slow.hardware == "a100", "measured_step_time_s"] *= 1.5
    fit = calibrate(ms.DistributedModel, slow, fit=["training_level"], by="hardware", bootstrap=0)
    values = fit.table.set_index("group").value
    assert values["a100"] / values["h100"] == pytest.approx(1.5, rel=0.05)
    with pytest.raises(ValueError, match="assumptions_of"):
        _ = fit.assumptions
    mine = fit.hardware("a100", name="my measured a100")
    assert zoo.hardware("my measured a100") is mine
    config = {"model": "llama3_1_8b", "global_batch": 32, "seq_len": 2048, "dp": 8, "keep": ["step_time"]}
    times = ms.DistributedModel.solve(hardware=["a100", "my measured a100"], **config).step_time.values
    assert times[1] / times[0] == pytest.approx(values["a100"])
    ours = ms.DistributedModel.solve(
        hardware="my measured a100", assume=ms.Assumptions(training_level=3.0), **config
    ).step_time
    assert float(ours) / times[0] == pytest.approx(3.0)  # the user goes first
    assert fit.assumptions_of("h100").training_level == pytest.approx(values["h100"])
    with pytest.raises(ValueError, match="not measured"):
        fit.hardware("b200")


def test_figures_of_the_hardware_can_be_fitted(runs):
    some = runs[runs.hardware == "h100"]
    fit = calibrate(ms.DistributedModel, some, fit=["training_gemm_efficiency"], by="hardware", bootstrap=0)
    mine = fit.hardware("h100")
    assert mine["training_gemm_efficiency"] == pytest.approx(fit.table.value[0])
    assert mine["training_gemm_efficiency"] < zoo.hardware("h100")["training_gemm_efficiency"]


def test_round_trip_through_a_file(recovered, tmp_path):
    path = recovered.to_toml(tmp_path / "my.toml")
    again = Calibration.from_toml(path)
    pd.testing.assert_frame_equal(again.table, recovered.table)
    assert again.assumptions == recovered.assumptions and again.assumptions.data_overlap.unit == "1"
    assert again.assumptions.data_overlap.source == recovered.assumptions.data_overlap.source
    pd.testing.assert_frame_equal(again.residuals, recovered.residuals)
    assert len(again.residuals) == 48 and again.residuals.columns.tolist() == ["row", "target", "error"]
    assert again.digest == recovered.digest and len(again.digest) == 64
    assert (again.data, again.version) == ("the table", ms.__version__)
    (tmp_path / "bad.toml").write_text("x = 1")
    for name in ("bad.toml", "none.toml"):
        with pytest.raises(ValueError, match="toml"):
            Calibration.from_toml(tmp_path / name)
    with pytest.raises(ValueError, match="nothing to draw"):
        again.plot()


def test_a_file_from_before_residuals_were_kept_is_read(recovered, tmp_path):
    old = recovered.to_toml(tmp_path / "my.toml").read_text().split("[residuals]")[0]
    (tmp_path / "old.toml").write_text(
        "\n".join(line for line in old.splitlines() if not line.startswith(("data", "digest", "version")))
    )
    again = Calibration.from_toml(tmp_path / "old.toml")
    assert again.digest == again.version == "" and not len(again.residuals) and again.worse == {}
    assert again.assumptions == recovered.assumptions


def test_a_digest_is_one_of_the_figures_not_of_the_file(runs, tmp_path):
    from mlsysim.calibration.fit import digest
    from mlsysim.calibration.runs import read

    runs.to_csv(tmp_path / "a.csv", index=False)
    runs.to_csv(tmp_path / "b.csv", index=False, sep=";")
    same = {digest(read(tmp_path / name)) for name in ("a.csv", "b.csv")}
    assert len(same) == 1 and digest(read(runs.assign(tp=2))) not in same


def test_what_a_fit_makes_worse_is_said(runs):
    """Two targets that want opposite things of one figure: what the second loses is told."""
    row = {
        "model": "llama3_1_8b",
        "hardware": "h100",
        "tp": 1,
        "precision": "bf16",
        "scenario": "closed_loop",
        "batch_or_concurrency": 16,
        "input_len": 1024,
        "output_len": 256,
    }
    plain = (
        validate(pd.DataFrame([{**row, "itl_ms": 9.0, "ttft_ms": 100.0}]), sample=0).rows.set_index("target").predicted
    )
    rows = [{**row, "itl_ms": 1.3e3 * plain["itl"], "ttft_ms": 0.95e3 * plain["ttft"]}] * 2
    fit = calibrate(None, pd.DataFrame(rows), fit=["serving_level"], bootstrap=0)
    assert list(fit.worse) == ["ttft"] and fit.worse["ttft"][1] > fit.worse["ttft"][0] + 0.01
    assert "WORSE: ttft: median error 5.3 % before" in repr(fit)
    better = calibrate(None, runs.iloc[:3].assign(source_id="mine"), bootstrap=0)
    assert better.worse == {} and "WORSE" not in repr(better)


def test_fitted_assumptions_go_wherever_assumptions_do(recovered, runs):
    again = validate(runs, recovered.assumptions, sample=0).rows
    assert np.allclose(again.predicted, recovered.fitted.rows.predicted, rtol=1e-9)
    ds = ms.DistributedModel.solve(
        model="llama3_1_8b",
        hardware="h100",
        global_batch=64,
        seq_len=2048,
        dp=8,
        assume=recovered.assumptions,
        quantile=[0.1, 0.9],
        keep=["step_time"],
    )
    assert ds.step_time[0] < ds.step_time[1]


def test_holdout(runs):
    one = calibrate(None, runs, fit=["training_gemm_factor"], holdout=["machine 1"], bootstrap=0)
    assert set(one.held_out.rows.source) == {"machine 1"}
    share = calibrate(None, runs, fit=["training_gemm_factor"], holdout=0.25, bootstrap=0)
    assert len(share.held_out.rows) == 12
    every = calibrate(None, runs, fit=["training_gemm_factor"], bootstrap=0)
    assert len(every.held_out.rows) == len(runs)
    with pytest.raises(ValueError, match="no source is named"):
        calibrate(None, runs, fit=["training_gemm_factor"], holdout=["nobody"], bootstrap=0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        calibrate(None, runs, fit=["training_gemm_factor"], holdout=1.5, bootstrap=0)


def test_a_prior_keeps_figures_near_their_defaults(runs):
    free, held = (
        calibrate(None, runs, fit=["elementwise_slowdown"], prior=prior, bootstrap=0, holdout=None).table.value[0]
        for prior in (None, 0.05)
    )
    default = ms.Assumptions().elementwise_slowdown
    assert abs(math.log(held / default)) < abs(math.log(free / default))


def test_what_is_refused_is_told_in_one_line(runs):
    with pytest.raises(ValueError, match="nearest: data_overlap"):
        calibrate(None, runs, fit=["data_overlapp"])
    with pytest.raises(ValueError, match="training runs calibrate DistributedModel"):
        calibrate(ms.ServingModel, runs)
    with pytest.raises(ValueError, match="name at least one"):
        calibrate(None, runs, fit=[])
    with pytest.raises(ValueError, match="no such column"):
        calibrate(None, runs, by="colour")
    with pytest.raises(ValueError, match="allowed are linear"):
        calibrate(None, runs, fit=["data_overlap"], loss="quadratic")
    with pytest.raises(ValueError, match="cannot fix"):
        calibrate(None, runs.iloc[:1], fit=["training_gemm_factor", "elementwise_slowdown"])
    with pytest.raises(ValueError, match=r"no run to fit: .*h1000"):
        calibrate(None, runs.assign(hardware="h1000"), fit=["training_level"])


@pytest.mark.parametrize(
    "argument, value, says",
    [
        ("bootstrap", -1, "at least 0"),
        ("bootstrap", 1.5, "whole number"),
        ("bootstrap", None, "whole number"),
        ("seed", -1, "at least 0"),
        ("seed", "x", "whole number"),
        ("loss", "square", "linear, soft_l1"),
        ("prior", 0, "above 0"),
        ("prior", "weak", "above 0"),
        ("prior", math.nan, "above 0"),
        ("refit", "no", "True or False"),
        ("holdout", 3, "between 0 and 1"),
        ("holdout", True, "list of sources"),
        ("holdout", [], "list of sources"),
        ("by", ["hardware"], "no such column"),
        ("fit", 3, "no assumption"),
        ("fit", [None], "no assumption"),
        ("fit", ["training_level"] * 2, "twice"),
        ("assume", 3, "Assumptions"),
        ("progress", "yes", "function"),
    ],
)
def test_an_argument_that_cannot_be_is_named_before_anything_is_fitted(runs, argument, value, says, monkeypatch):
    monkeypatch.setattr("mlsysim.calibration.fit.Problem", None)  # nothing is computed
    with pytest.raises((ValueError, TypeError), match=rf"^{argument}.*{says}"):
        calibrate(None, runs, **{argument: value})


def test_a_name_alone_is_a_list_of_one(runs):
    few = runs.head(6)
    one, listed = (
        calibrate(None, few, fit=fit, bootstrap=0, holdout=None) for fit in ("training_level", ["training_level"])
    )
    assert one.table.equals(listed.table)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00", b"a = [", b"[calibration]\nkind = 1", b"calibration = 3\nfigure = 4"]
)
def test_a_file_that_holds_no_figures_is_refused_in_one_line(tmp_path, content):
    path = tmp_path / "fit.toml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^fit\.toml: no figures of a calibration") as caught:
        Calibration.from_toml(path)
    assert "\n" not in str(caught.value)


def test_serving_measurements_calibrate_too():
    rows = pd.read_csv(MEASURED / "serving.csv")
    rows = rows[rows.engine.str.startswith("LMDeploy")]
    fit = calibrate(ms.ServingModel, rows, fit=["serving_level"], by="model", bootstrap=0, holdout=None)
    assert len(fit.table) == 3 and fit.table.identified.all()
    before, after = (v.summary["targets"]["itl"]["median_ape"] for v in (fit.before, fit.fitted))
    assert after < before


def test_one_level_from_three_rows_leaves_little():
    """The README's claim, on a source of many rows."""
    rows = pd.read_csv(MEASURED / "training.csv").query("source_id == 'llm_foundry_h100' and precision == 'bf16'")
    fit = calibrate(None, rows.iloc[[1, 8, 20]], bootstrap=0)
    rest = validate(rows.drop(rows.index[[1, 8, 20]]), fit.assumptions, sample=0)
    assert rest.summary["targets"]["step_time"]["median_ape"] < 0.06


def test_parity_plot(recovered):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    ax = recovered.plot()
    assert "predicted" in ax.get_ylabel() and len(ax.lines) == 5
    recovered.plot(held_out=True)
    matplotlib.pyplot.close("all")


def test_the_efficiency_of_trillium_is_what_its_runs_say():
    """The zoo's share of peak for TPU v6e is reproduced by the fit that its row names: no other figure was moved."""
    root = Path(__file__).resolve().parent.parent
    fit = ms.calibrate(
        None, root / "benchmarks" / "measured" / "trillium.csv", fit=["training_gemm_factor"], bootstrap=0
    )
    moved = fit.table.value.iloc[0] / fit.table.default.iloc[0]
    assert moved == pytest.approx(1.0, abs=0.02)
    assert fit.fitted.rows.error.abs().median() < 0.05
