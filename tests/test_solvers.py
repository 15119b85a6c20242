"""Tier 2: elasticities of functions that are known, roots that lead back, regions against brute force."""

from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings

import mlsysim as ms
from mlsysim import zoo
from mlsysim.resolver import Model, kernel
from mlsysim.schema.codes import Region
from mlsysim.schema.variables import VARIABLES
from mlsysim.search.bisection import bisect
from mlsysim.search.elasticity import slopes, time_exponent, unit_of


class Known(NamedTuple):
    step_time: float
    tokens_per_s: float
    energy: float
    margin: float
    feasible: bool


@kernel
def known(duration, tokens, samples_per_s=1.0, workers=1, memory_fraction=0.5, budget=None) -> Known:
    """Functions whose elasticities and roots can be written down."""
    power = 3.0 * duration * np.sqrt(duration) / (tokens * tokens)
    hill = tokens * 8.0 / (tokens * tokens + 16.0)  # 1 at 4, less on both sides
    roof = np.maximum(duration / samples_per_s, 2.0 / tokens)
    return Known(power, hill * workers, roof + 0.0 * workers, memory_fraction - 0.25, duration * workers <= 12.0)


KnownModel = Model("KnownModel", known, domain="node")


def exponents(ds):
    return np.array([time_exponent(unit_of(p)) for p in ds.parameter.values])


# --- SensitivitySolver -----------------------------------------------------------------------------------


@given(st.floats(1e-4, 1.0), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
@settings(max_examples=20)
def test_a_product_of_powers_has_its_exponents(perturbation, duration, tokens):
    ds = ms.SensitivitySolver.solve(
        KnownModel, inputs=["duration", "tokens"], perturbation=perturbation, duration=duration, tokens=tokens
    )
    for name in ("sensitivities", "sensitivities_up", "sensitivities_down"):
        assert ds[name].values == pytest.approx([1.5, -2.0], abs=1e-6)
    assert not ds.kink.any() and list(ds.parameter.values) == ["duration", "tokens"]
    assert ds.step_time.item() == pytest.approx(3 * duration**1.5 / tokens**2)
    assert ds.step_time_high.values / ds.step_time.item() == pytest.approx(
        [(1 + perturbation) ** 1.5, (1 + perturbation) ** -2]
    )


@given(st.floats(0.01, 0.3), st.floats(0.05, 20.0))
@settings(max_examples=20)
def test_a_sum_has_the_shares_of_its_terms(perturbation, tokens):
    ds = ms.SensitivitySolver.solve(
        KnownModel, output="tokens_per_s", inputs="tokens", perturbation=perturbation, tokens=tokens, duration=1.0
    )
    exact = 1.0 - 2.0 * tokens**2 / (tokens**2 + 16.0)
    assert ds.sensitivities.item() == pytest.approx(exact, abs=3 * perturbation**4 + 1e-9)


RATES = [
    (
        ms.ServingModel,
        "itl",
        {"model": "llama3_1_70b", "hardware": ["h100", "a100"], "tp": 8, "seq_len": 2000, "batch_size": [1, 24]},
    ),
    (ms.ServingModel, "ttft", {"model": "mixtral_8x7b", "hardware": "h100", "tp": 2, "seq_len": [500, 3000]}),
    (ms.SingleNodeModel, "latency", {"model": "llama3_1_8b", "hardware": ["h100", "l4"], "batch_size": [1, 32]}),
    (
        ms.DistributedModel,
        "step_time",
        {
            "model": "llama3_1_70b",
            "hardware": "h100",
            "tp": 8,
            "pp": 4,
            "dp": [4, 16],
            "global_batch": 256,
            "seq_len": 8192,
        },
    ),
    (
        ms.ContinuousBatchingModel,
        "itl",
        {"model": "llama3_1_70b", "hardware": "h100", "tp": 4, "seq_len": 2048, "arrival_rate": [0.5, 2.0]},
    ),
    (ms.TailLatencyModel, "response_p95", {"arrival_rate": [1.0, 3.0], "service_latency": 0.3, "replicas": 2}),
]


@pytest.mark.parametrize("model, output, point", RATES, ids=lambda v: getattr(v, "name", None))
def test_elasticities_of_a_time_over_all_rates_sum_to_minus_one(model, output, point):
    ds = ms.SensitivitySolver.solve(model, output=output, inputs="rates", perturbation=0.05, **point)
    total = (ds.sensitivities * -exponents(ds)).sum("parameter")
    smooth = ~ds.kink.any("parameter")
    assert smooth.any()
    assert np.abs(total.where(smooth) + 1.0).max() < 1e-4
    assert set(ds.sensitivities.dims) == {*(n for n, v in point.items() if isinstance(v, list)), "parameter"}


@pytest.mark.parametrize("perturbation", [0.01, 0.1, 0.5])
def test_at_a_kink_each_side_sums_to_minus_one(perturbation):
    ds = ms.SensitivitySolver.solve(
        KnownModel,
        output="energy",
        inputs=["duration", "samples_per_s", "tokens"],
        maximize=False,
        perturbation=perturbation,
        duration=4.0,
        samples_per_s=4.0,
        tokens=2.0,
    )
    # max(duration / samples_per_s, 2 / tokens): both are 1 here; only what raises the larger one counts
    assert ds.kink.all()
    assert ds.sensitivities_up.values == pytest.approx([1.0, 0.0, 0.0], abs=1e-9)
    assert ds.sensitivities_down.values == pytest.approx([0.0, -1.0, -1.0], abs=1e-9)
    assert ds.binding_constraint.item() == "none"  # making one faster leaves the other
    both = ms.SensitivitySolver.solve(
        KnownModel,
        output="energy",
        inputs=["duration", "samples_per_s", "tokens"],
        maximize=False,
        perturbation=perturbation,
        duration=8.0,
        samples_per_s=4.0,
        tokens=2.0,
    )
    assert both.sensitivities.sel(parameter="samples_per_s").item() == pytest.approx(
        -1.0, abs=0.01 if perturbation > 0.4 else 1e-9
    )
    assert both.binding_constraint.item() in ("duration", "samples_per_s") and both.gain.max() > 0.9


def test_a_kink_inside_the_step_gives_the_slope_over_it():
    ds = ms.SensitivitySolver.solve(
        KnownModel,
        output="energy",
        inputs="samples_per_s",
        perturbation=0.1,
        maximize=False,
        duration=4.2,
        samples_per_s=4.0,
        tokens=2.0,
    )
    assert ds.kink.all()
    assert ds.sensitivities_up.item() == pytest.approx(-np.log(1.05) / np.log(1.1))
    assert ds.sensitivities_down.item() == pytest.approx(-1.0)
    assert ds.sensitivities.item() == pytest.approx(-(np.log(1.05) + np.log(1.1)) / (2 * np.log(1.1)))


def test_every_point_of_a_grid_is_the_point_alone():
    grid = {
        "model": "llama3_1_70b",
        "hardware": ["h100", "a100"],
        "tp": [4, 8],
        "seq_len": 1000,
        "batch_size": [1, 200],
    }
    whole = ms.SensitivitySolver.solve(ms.ServingModel, output="itl", **grid)
    for device in grid["hardware"]:
        for tp in grid["tp"]:
            one = ms.SensitivitySolver.solve(
                ms.ServingModel, output="itl", **{**grid, "hardware": device, "tp": tp, "batch_size": 200}
            )
            there = whole.sel(hardware=device, tp=tp, batch_size=200)
            for p in one.parameter.values:
                assert one.sensitivities.sel(parameter=p).item() == there.sensitivities.sel(parameter=p).item()
            assert one.binding_constraint.item() == there.binding_constraint.item()


def test_guide_spelling_and_what_binds():
    ds = ms.SensitivitySolver.solve(model="llama3_1_8b", hardware="h100", perturbation_pct=10)
    assert ds.attrs["output"] == "latency" and ds.attrs["perturbation"] == pytest.approx(0.1)
    same = ms.SensitivitySolver(perturbation=0.1, model="llama3_1_8b").solve(hardware="h100")
    assert (same.sensitivities == ds.sensitivities).all()
    decode = ms.SensitivitySolver.solve(model="llama3_1_8b", hardware="h100", seq_len=1, cached_prefix=2000, textbook=1)
    prefill = ms.SensitivitySolver.solve(model="llama3_1_8b", hardware="h100", seq_len=4000, textbook=1)
    assert decode.binding_constraint.item() == "mem_bandwidth" and prefill.binding_constraint.item() == "peak_flops"
    assert decode["rank"].sel(parameter="mem_bandwidth").item() == 1
    assert decode.gain.sel(parameter="mem_bandwidth").item() == pytest.approx(1.0)


def test_more_throughput_is_a_gain_and_more_latency_a_loss():
    point = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 1000, "batch_size": 8}
    up = ms.SensitivitySolver.solve(ms.ServingModel, output="tokens_per_s", **point)
    down = ms.SensitivitySolver.solve(ms.ServingModel, output="itl", **point)
    xr.testing.assert_allclose(up.gain.drop_attrs(), down.gain.drop_attrs(), rtol=1e-6)
    fixed = ms.SensitivitySolver.solve(ms.ServingModel, output="itl", inputs=["host_step_time"], **point)
    assert fixed.sensitivities.item() > 0 and fixed.gain.item() == pytest.approx(fixed.sensitivities_down.item())


def test_counts_move_to_their_next_values_and_bounds_are_kept():
    ds = ms.SensitivitySolver.solve(
        KnownModel, output="tokens_per_s", inputs="workers", workers=[1, 5, 100], duration=1.0, tokens=4.0
    )
    assert ds.sensitivities.values.reshape(-1) == pytest.approx(1.0) and not ds.kink.any()
    assert ds.tokens_per_s_high.values.reshape(-1) == pytest.approx([2.0, 6.0, 110.0])
    edge = ms.SensitivitySolver.solve(
        KnownModel, output="margin", inputs="memory_fraction", memory_fraction=[1.0, 0.99], duration=1.0, tokens=1.0
    )
    assert np.isnan(edge.sensitivities_up.values[0, 0]) and np.isfinite(edge.sensitivities.values).all()
    assert edge.margin_high.values.max() == 0.75
    zero = ms.SensitivitySolver.solve(
        KnownModel, output="margin", inputs="memory_fraction", memory_fraction=0.25, duration=1.0, tokens=1.0
    )
    assert np.isnan(zero.sensitivities.item())  # of an output that is zero


def test_what_a_dollar_buys():
    point = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 1000, "batch_size": 200}
    ds = ms.SensitivitySolver.solve(
        ms.ServingModel, output="itl", prices={"mem_bandwidth": "$4 per GB/s", "peak_flops": 2e-11}, **point
    )
    bandwidth = ds.sel(parameter="mem_bandwidth")
    assert bandwidth.value_per_dollar.item() == pytest.approx(bandwidth.gain.item() / (3.35e12 * 4e-9))
    assert np.isnan(ds.value_per_dollar.sel(parameter="attention_peak_flops"))
    assert ds.best_buy.item() == "mem_bandwidth" and ds.value_per_dollar.attrs["units"] == "1/USD"


def test_shares_of_variance():
    ranges = {"duration": (1.0, 3.0), "tokens": (1.0, 3.0)}
    flat = ms.SensitivitySolver.solve(
        KnownModel, output="energy", ranges=ranges, samples=256, duration=2.0, tokens=2.0, samples_per_s=[0.01, 1e9]
    )
    # duration alone at first, then 2 / tokens alone
    assert flat.first_order.sel(parameter="duration").values == pytest.approx([1.0, 0.0], abs=0.02)
    assert flat.total_order.sel(parameter="tokens").values == pytest.approx([0.0, 1.0], abs=0.02)
    again = ms.SensitivitySolver.solve(
        KnownModel, output="energy", ranges=ranges, samples=256, duration=2.0, tokens=2.0, samples_per_s=[0.01, 1e9]
    )
    xr.testing.assert_identical(flat, again)


def test_any_composition_and_several_records_of_a_kind():
    run = ms.compose(ms.EconomicsModel, ms.SustainabilityModel)
    ds = ms.SensitivitySolver.solve(
        run,
        output="tco",
        hardware="h100",
        region=["usa", "swe"],
        duration="1 year",
        n_accelerators=64,
        compute_utilization=0.5,
    )
    assert {"price", "tdp", "electricity_price", "pue"} <= set(ds.parameter.values)
    assert (ds.binding_constraint == "price").all()
    two = ms.SensitivitySolver.solve(
        ms.ServingModel,
        output="e2e_latency",
        model="llama3_1_8b",
        hardware="h100",
        decode_hardware="a100",
        seq_len=2000,
        output_len=100,
    )
    assert {"hardware.mem_bandwidth", "decode_hardware.mem_bandwidth"} <= set(two.parameter.values)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"inputs": "mem_bandwith"}, "nearest.*mem_bandwidth"),
        ({"inputs": ["reserve"]}, "an option"),
        ({"perturbation": 0.0}, "above 0"),
        ({"output": "itll"}, "no output"),
        ({"prices": {"tdp": 3.0}}, "none of the inputs moved"),
        ({"prices": {"mem_bandwidth": "$3"}}, "per"),
        ({"ranges": {"tp": (1, 2)}}, "count"),
        ({"ranges": {"mem_bandwidth": (2.0, 1.0)}}, "low, high"),
        ({"ranges": {"mem_bandwidth": (1.0, 2.0)}, "samples": 100}, "power of two"),
        ({"inputs": "draft_len_"}, "no input"),
    ],
)
def test_what_cannot_be_asked_is_told(wrong, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ms.SensitivitySolver.solve(
            ms.ServingModel, **{"output": "itl", **wrong}, model="llama3_1_8b", hardware="h100", seq_len=1000
        )


def test_a_solver_is_bound_described_and_answers_only_solve():
    bound = ms.SensitivitySolver(resolver=ms.ServingModel, output="itl", tp=4)
    ds = bound.solve(model="llama3_1_70b", hardware="h100", seq_len=1000, keep=["binding_constraint"])
    assert list(ds.data_vars) == ["binding_constraint"]
    assert "perturbation" in ms.SensitivitySolver.schema.index and "SensitivitySolver" in repr(bound)
    with pytest.raises(TypeError, match="answers solve"):
        ms.SensitivitySolver.best("gain", model="llama3_1_8b", hardware="h100")
    with pytest.raises(TypeError, match="no input"):
        ms.SensitivitySolver(batch_sise=3)


def test_noise_is_no_kink():
    x = np.exp(0.1 * np.array([-1, -0.5, -0.25, 0, 0.25, 0.5, 1.0]))
    for y in (x**-0.7 + 0.3, 1 / (1 + x), x**4, np.sqrt(1 + x**2)):
        central, up, down, kink = slopes(x, y, 0.1, np.array(False))
        step = 1e-6
        assert not kink and up == pytest.approx(down, abs=1e-3) and step < 1
        assert central == pytest.approx(np.gradient(np.log(y), np.log(x))[3], abs=1e-2)


# --- SynthesisSolver and root ----------------------------------------------------------------------------

PAIRS = [
    (
        ms.ServingModel,
        {"model": "llama3_1_70b", "hardware": "h100", "output_len": 200},
        {"tp": [2, 4, 8], "batch_size": [1, 9, 64], "seq_len": [128, 3000]},
        [
            ("itl", "mem_bandwidth", 1),
            ("ttft", "peak_flops", 1),
            ("ttft", "gemm_latency", 1),
            ("ttft", "attention_efficiency", 1),
            ("tokens_per_s", "mem_bandwidth", 1),
            ("memory_utilization", "mem_capacity", 1),
            ("usd_per_mtok", "hourly_price", 1),
            ("joule_per_mtok", "tdp", 1),
            ("itl", "host_step_time", 1),
        ],
    ),
    (
        ms.DistributedModel,
        {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 4096, "tokens": 1e12},
        {"tp": [1, 2, 8], "pp": [1, 4], "dp": [2, 16], "global_batch": [128, 512], "recompute": ["none", "full"]},
        [
            ("step_time", "peak_flops", 1),
            ("mfu", "mem_bandwidth", 1),
            ("training_time", "inter_bandwidth", 0),
            ("memory_per_device", "gradient_bytes", 1),
        ],
    ),
    (
        ms.compose(ms.EconomicsModel, ms.SustainabilityModel),
        {"hardware": "h100", "region": "usa"},
        {"duration": [1e5, 1e7], "n_accelerators": [8, 4096], "compute_utilization": [0.1, 0.9]},
        [
            ("tco", "price", 1),
            ("tco", "electricity_price", 1),
            ("carbon", "carbon_intensity", 1),
            ("water_onsite", "wue", 1),
            ("tco", "cost_of_capital", 1),
            ("energy", "pue", 1),
            ("carbon", "hardware_life", 1),
        ],
    ),
    (
        ms.TailLatencyModel,
        {},
        {"service_latency": [0.01, 0.3], "replicas": [3, 40], "service_cv": [0.0, 1.0]},
        [("response_p99", "arrival_rate", 1), ("avg_wait_time", "arrival_rate", 1)],
    ),
]


@pytest.mark.parametrize("model, fixed, varied, pairs", PAIRS, ids=lambda v: getattr(v, "name", None))
def test_roots_lead_back(model, fixed, varied, pairs):
    rng = np.random.default_rng(3)
    n = 60
    points = {k: [v[i] for i in rng.integers(0, len(v), n)] for k, v in varied.items()}
    for output, unknown, everywhere in pairs:
        if unknown == "arrival_rate":
            base = np.array(points["replicas"]) / np.array(points["service_latency"]) * rng.uniform(0.2, 0.95, n)
        else:
            program = model.program(**fixed, points=points)
            base = float(program.binder.leaves[program.leaf_name(unknown)].values) * np.exp(rng.normal(0.0, 0.5, n))
        bounds = VARIABLES[unknown.rsplit(".", 1)[-1]]
        base = np.clip(base, max(bounds.low, 1.0) if unknown == "pue" else bounds.low, bounds.high)
        truth = model.solve(keep=[output], **fixed, points={**points, unknown: base})[output]
        target = xr.DataArray(truth.values, dims="config")
        root = model.root(unknown, {output: target}, **fixed, points=points)
        depends = (
            np.ones(n, dtype=bool)
            if everywhere
            else np.array(
                model.solve(keep=[output], **fixed, points={**points, unknown: 2 * base})[output].values != truth.values
            )
        )
        assert depends.any() and root.found.values[depends].all(), (output, unknown)
        assert root.reached.values[depends] == pytest.approx(truth.values[depends], rel=1e-9), (output, unknown)
        back = model.solve(
            keep=[output], **fixed, points={**points, unknown: np.where(root.found, root[unknown], base)}
        )[output]
        assert back.values[depends] == pytest.approx(truth.values[depends], rel=1e-9), (output, unknown)


def test_the_guides_inverse_roofline():
    need = ms.SynthesisSolver.solve(model="llama3_1_8b", target_latency="300 ms")
    rest = {"host_bandwidth": 1e30, "sram_capacity": 1e30}
    for name, figures in (
        ("required_bw", {"mem_bandwidth": need.required_bw.item(), "peak_bf16": 1e30}),
        ("required_flops", {"mem_bandwidth": 1e30, "peak_bf16": need.required_flops.item()}),
    ):
        device = ms.Hardware(name=name, mem_capacity=need.required_capacity.item(), **figures, **rest)
        fed = ms.SingleNodeModel.solve(model="llama3_1_8b", hardware=device)
        assert fed.latency.item() == pytest.approx(0.3, rel=1e-9) and fed.feasible
    tighter = ms.Hardware(
        name="tight",
        peak_bf16=1e30,
        mem_bandwidth=1e30,
        mem_capacity=need.required_capacity.item() * (1 - 1e-12),
        **rest,
    )
    assert not ms.SingleNodeModel.solve(model="llama3_1_8b", hardware=tighter).feasible
    by_hand = ms.SynthesisSolver.solve(
        model="llama3_1_8b", target_latency=["0.1 s", "0.2 s"], textbook=1, efficiency=0.5, devices=0
    )
    alone = ms.SingleNodeModel.solve(model="llama3_1_8b", hardware="h100", textbook=1, efficiency=0.5)
    assert by_hand.required_flops.values == pytest.approx(
        alone.compute_time.item() * 989.4e12 / np.array([0.1, 0.2]), rel=1e-9
    )
    assert by_hand.required_bw.values == pytest.approx(
        alone.memory_time.item() * 3.35e12 / np.array([0.1, 0.2]), rel=1e-9
    )


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("size", [1, 3, 40, 300])
def test_halvings_that_are_looked_at_together_end_where_one_after_the_other_does(whole, size):
    """Also where the verdict changes many times in between."""
    rng = np.random.default_rng([size, whole])
    low, high = (np.ones(size), np.full(size, 2.0**40)) if whole else (np.full(size, 1e-18), np.full(size, 1e27))
    edges = np.sort(np.exp(rng.uniform(0.0, 27.0, (7, size))), axis=0)
    looked = []

    def verdict(x):
        looked.append(np.size(x))
        return (x[..., None, :] > edges).sum(axis=-2) % 2 == 1

    start = verdict(low[None])[0]
    looked.clear()
    found = bisect(verdict, low, high, start, whole)
    looks = len(looked)
    single = bisect(verdict, low, high, start, whole, lanes=1)
    assert all(np.array_equal(one, other) for one, other in zip(found, single))
    assert (verdict(found[0][None]) == start).all() and (verdict(found[1][None]) != start).any()
    gap = found[1] - found[0] if whole else np.nextafter(found[0], np.inf) - found[1] + 1.0
    assert (gap == 1.0).all() and max(looked) <= max(256, size)
    assert looks <= {1: 8, 3: 11, 40: 32, 300: 64}[size]


def test_counts_give_the_boundary():
    point = {"model": "llama3_1_70b", "tp": 4, "seq_len": 2048}
    targets = [0.02, 0.03, 0.2]
    got = ms.SynthesisSolver.solve(
        ms.ServingModel, targets={"itl": targets}, unknown="batch_size", hardware=["h100", "mi300x"], **point
    )
    every = ms.ServingModel.solve(hardware=["h100", "mi300x"], batch_size=np.arange(1, 1500), **point)
    for i, device in enumerate(["h100", "mi300x"]):
        here = every.sel(hardware=device)
        for j, target in enumerate(targets):
            good = here.batch_size.values[(here.itl.values <= target) & here.feasible.values]
            assert got.batch_size.values[i, j] == good.max()
            assert got.side.values[i, j] == Region.AT_MOST
    assert (
        got.binding_target.values.tolist() == [["itl", "itl", "feasible"], ["itl", "itl", "itl"]]
        or "feasible" in got.binding_target.values
    )
    assert "device" not in got


def test_no_root_is_no_number():
    point = {"model": "llama3_1_70b", "hardware": "a100", "tp": 4, "seq_len": 2048, "batch_size": 64}
    got = ms.SynthesisSolver.solve(
        ms.ServingModel, targets={"itl": ["1 ms", "1000 s"]}, unknown="mem_bandwidth", devices=0, **point
    )
    assert np.isnan(got.mem_bandwidth.values).tolist() == [True, False]
    assert got.side.values.tolist() == [Region.NEVER, Region.AT_LEAST]
    best = ms.ServingModel.solve(mem_bandwidth=1e27, **point).itl.item()
    assert got.itl.values[0] == pytest.approx(best, rel=1e-6) and got.nearest.values[0] > 1e15
    easy = ms.SynthesisSolver.solve(
        ms.ServingModel,
        targets={"itl": "10 s"},
        unknown="mem_bandwidth",
        bounds=("1 TB/s", "2 TB/s"),
        devices=0,
        **point,
    )
    assert (
        easy.side.item() == Region.ALWAYS
        and np.isnan(easy.mem_bandwidth.item())
        and easy.binding_target.item() == "none"
    )
    root = ms.ServingModel.root("mem_bandwidth", {"itl": "1 ms"}, **point)
    assert not root.found and np.isnan(root.mem_bandwidth) and root.reached.item() == pytest.approx(best, rel=1e-6)


def test_several_targets_give_the_corner():
    point = {"model": "llama3_1_70b", "hardware": "h100", "tp": 8, "seq_len": 3000, "batch_size": [1, 8], "devices": 0}
    wanted = {"itl": "12 ms", "ttft": "1.2 s"}
    both = ms.SynthesisSolver.solve(ms.ServingModel, targets=wanted, unknown="mem_bandwidth", **point)
    alone = [
        ms.SynthesisSolver.solve(ms.ServingModel, targets={n: v}, unknown="mem_bandwidth", **point)
        for n, v in wanted.items()
    ]
    corner = np.fmax(*(np.nan_to_num(one.mem_bandwidth.values, nan=-1.0) for one in alone))
    assert np.where(both.side == Region.AT_LEAST, both.mem_bandwidth, corner) == pytest.approx(corner)
    assert both.binding_target.values[0] == "itl"
    window = ms.SynthesisSolver.solve(
        KnownModel,
        targets={"tokens_per_s": "<= 3", "feasible": True},
        unknown="workers",
        duration=[1.0, 5.0],
        tokens=4.0,
    )
    assert window.workers.values.tolist() == [3.0, 2.0] and window.binding_target.values.tolist() == [
        "tokens_per_s",
        "feasible",
    ]


def test_a_region_that_ends_inside_the_range_is_found():
    got = ms.SynthesisSolver.solve(KnownModel, targets={"tokens_per_s": ">= 0.8"}, unknown="tokens", duration=1.0)
    assert got.tokens.item() == pytest.approx(2.0, rel=1e-9) and got.side.item() == Region.AT_LEAST
    root = KnownModel.root("tokens", {"tokens_per_s": 0.8}, duration=1.0)
    assert root.found and root.tokens.item() == pytest.approx(2.0, rel=1e-9)
    never = ms.SynthesisSolver.solve(KnownModel, targets={"tokens_per_s": ">= 1.2"}, unknown="tokens", duration=1.0)
    assert never.side.item() == Region.NEVER and never.tokens_per_s.item() > 0.85 and 2 < never.nearest.item() < 8


def test_targets_lie_along_axes_of_the_call_or_make_their_own():
    ours = xr.DataArray([3.0, 24.0], dims="duration", coords={"duration": [1.0, 4.0]})
    got = ms.SynthesisSolver.solve(KnownModel, targets={"step_time": ours}, unknown="tokens", duration=[1.0, 4.0])
    assert got.tokens.dims == ("duration",) and got.tokens.values == pytest.approx([1.0, 1.0])
    own = ms.SynthesisSolver.solve(
        KnownModel, targets={"step_time": [3.0, 12.0]}, unknown="tokens", duration=[1.0, 4.0]
    )
    assert own.tokens.dims == ("duration", "target_step_time") and own.tokens.values[0] == pytest.approx([1.0, 0.5])


def test_devices_of_the_zoo_that_meet_the_targets():
    got = ms.SynthesisSolver.solve(
        ms.ServingModel, model="llama3_1_8b", seq_len=[500, 4000], target_itl="20 ms", target_ttft="1 s", devices=4
    )
    assert got.device.dims == ("seq_len", "place") and (got.device != "").all()
    for length in (500, 4000):
        slack = []
        for key, price in zip(got.device.sel(seq_len=length).values, got.device_price.sel(seq_len=length).values):
            row = zoo.hardware(str(key))
            fed = ms.ServingModel.solve(model="llama3_1_8b", seq_len=length, hardware=str(key))
            assert fed.itl <= 0.02 and fed.ttft <= 1.0 and fed.feasible and row["status"] == "shipping"
            assert np.isnan(price) if row["price"] is None else price == row["price"]
            slack.append(min(1 - fed.itl.item() / 0.02, 1 - fed.ttft.item()))
        assert slack == sorted(slack)
    none = ms.SynthesisSolver.solve(ms.ServingModel, model="llama3_1_405b", seq_len=500, target_itl="1 ms", devices=2)
    assert (none.device == "").all() and np.isnan(none.device_price).all()
    assert "nearest_device" not in got  # every point has a device


def shipping():
    return [n for n in zoo.names("hardware") if zoo.hardware(n)["status"] == "shipping"]


@pytest.mark.parametrize(
    "call, targets, clauses",
    [
        ({"model": "llama3_1_70b", "batch_size": 8}, {"itl": "1 ms"}, "itl <= 1 ms"),
        ({"model": "llama3_1_70b", "batch_size": 8, "tp": 8}, {"itl": "1 ms"}, "itl <= 1 ms"),
        (
            {"model": "llama3_1_8b", "tp": 4},
            {"tokens_per_s": 1e6, "ttft": "1 us"},
            ["tokens_per_s >= 1e6", "ttft <= 1 us"],
        ),
        ({"model": "llama3_1_8b", "tp": 7}, {"itl": "1 s"}, "itl <= 1 s"),
    ],
    ids=["memory", "one target", "two targets", "no amount"],
)
def test_where_no_device_meets_the_targets_the_nearest_is_that_of_every_search(call, targets, clauses):
    call = {**call, "seq_len": 2048}
    got = ms.SynthesisSolver.solve(ms.ServingModel, targets=targets, devices=2, **call)
    miss = ms.nearest(ms.ServingModel, clauses, hardware=shipping(), **call)
    assert (got.device == "").all() and got.nearest_device.item() == miss.configuration["hardware"]
    assert got.nearest_excess.item() == pytest.approx(miss.excess, rel=1e-12, nan_ok=True)
    output = miss.limit.split()[0]
    assert got.nearest_limit.item().split()[0] == output
    assert np.isnan(miss.excess) == (output == "shape") and not miss.excess < 1.0


def test_the_nearest_device_is_told_where_there_is_none_and_only_there():
    call = {"model": "llama3_1_8b", "batch_size": 1}
    got = ms.SynthesisSolver.solve(target_latency=["1 us", "10 ms"], seq_len=[512, 2048], **call)
    assert got.nearest_device.dims == ("seq_len", "target_latency")
    fits = (got.device != "").any("place")
    assert fits.values.tolist() == [[False, True], [False, True]]
    assert ((got.nearest_device == "") == fits).all() and ((got.nearest_limit == "") == fits).all()
    assert (np.isnan(got.nearest_excess) == fits).all()
    for length in (512, 2048):
        here = got.sel(seq_len=length, target_latency=1e-6)
        each = {name: ms.SingleNodeModel.solve(hardware=name, seq_len=length, **call) for name in shipping()}
        works = {name: ds.latency.item() for name, ds in each.items() if "latency" in ds and ds.feasible}
        least = min(works, key=works.__getitem__)
        assert here.nearest_device.item() == least
        assert here.nearest_excess.item() == pytest.approx(works[least] / 1e-6, rel=1e-12)
        assert here.nearest_limit.item() == "latency <= 1 us"


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({}, "needs a target"),
        ({"target_ittl": 1.0}, "no output 'ittl'"),
        ({"target_itl": "20 GB"}, "no value in s"),
        ({"target_itl": ["< 1", "> 2"]}, "all at most or all at least"),
        ({"target_kv_bytes_per_token": 5.0}, "no direction|does not depend|depends on none"),
        ({"target_itl": 1.0, "unknown": "seq_len"}, "unknown and must not be given"),
        ({"target_itl": 1.0, "unknown": "reserve"}, "an option"),
        ({"target_itl": 1.0, "unknown": "psus_per_node"}, "does not depend"),
        ({"target_itl": 1.0, "unknown": "mem_bandwidth", "bounds": (2.0, 1.0)}, "low must be below"),
        ({"target_itl": 1.0, "unknown": "mem_bandwith"}, "nearest: mem_bandwidth"),
    ],
)
def test_what_cannot_be_sought_is_told(wrong, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ms.SynthesisSolver.solve(ms.ServingModel, model="llama3_1_8b", hardware="h100", seq_len=1000, **wrong)


def test_targets_keep_their_units():
    """A quantity of any package that has a magnitude and a unit, alone, in a list, as an array or in a DataArray."""
    pint = pytest.importorskip("pint")
    Q = pint.UnitRegistry().Quantity
    point = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 100}
    plain = ms.ServingModel.root("mem_bandwidth", {"itl": [0.020, 0.030]}, **point).mem_bandwidth.values
    array = Q([20.0, 30.0], "ms")
    for several in ([Q(20, "ms"), "30 ms"], array, xr.DataArray(array, dims="slo"), ["20 ms", 0.03]):
        got = ms.ServingModel.root("mem_bandwidth", {"itl": several}, **point).mem_bandwidth.values
        assert got == pytest.approx(plain, rel=1e-12)
    assert ms.ServingModel.root("mem_bandwidth", {"itl": Q(20, "ms")}, **point).mem_bandwidth.item() == pytest.approx(
        plain[0]
    )
    with pytest.raises(ValueError, match="itl"):
        ms.ServingModel.root("mem_bandwidth", {"itl": [Q(20, "W")]}, **point)
    with pytest.raises(ValueError, match="values along one axis"):
        ms.ServingModel.root("mem_bandwidth", {"itl": [[0.02], [0.03]]}, **point)
