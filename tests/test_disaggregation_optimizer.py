"""DisaggregationOptimizer against brute force on small spaces, and what its answers must keep."""

import numpy as np
import pytest

import mlsysim as ms

SMALL = {
    "model": "llama3_1_70b",
    "hardware": ["h100", "h200"],
    "decode_hardware": ["h100", "h200"],
    "seq_len": 2048,
    "output_len": 256,
    "tp": [2, 4],
    "decode_tp": [4, 8],
    "decode_batch": [8, 32, 64],
    "max_batch": 128,
    "prefill_replicas": [1, 2, 4, 8],
    "decode_replicas": [1, 2, 3],
}
TARGETS = {"target_ttft": "2 s", "target_itl": "25 ms"}


@pytest.mark.parametrize("objective", [None, "usd_per_mtok", "joule_per_mtok"])
def test_best_cluster_is_that_of_brute_force(objective):
    grid = ms.DisaggregatedServingModel.solve(**SMALL)
    kept = grid.feasible.astype(bool) & (grid.ttft_at_percentile <= 2.0) & (grid.itl <= 0.025)
    found = ms.DisaggregationOptimizer.solve(objective, **SMALL, **TARGETS)
    wish = objective or "tokens_per_s_per_device"
    best = grid[wish].where(kept)
    assert float(found[wish]) == pytest.approx(float(best.max() if objective is None else best.min()), rel=1e-12)
    assert int(found.configurations.sum()) == grid.feasible.size


def test_targets_are_kept_and_a_tighter_one_costs():
    rates = []
    for itl in ("40 ms", "20 ms", "15 ms"):
        found = ms.DisaggregationOptimizer.solve(**SMALL, target_itl=itl, target_ttft="2 s")
        assert float(found.itl) <= float(itl.split()[0]) / 1e3 and float(found.ttft_at_percentile) <= 2.0
        rates.append(float(found.tokens_per_s_per_device))
    assert rates == sorted(rates, reverse=True)
    assert not bool(ms.DisaggregationOptimizer.solve(**SMALL, target_itl="1 ms").found)


def test_more_replicas_to_choose_from_never_hurt():
    few = ms.DisaggregationOptimizer.solve(**SMALL, **TARGETS)
    many = ms.DisaggregationOptimizer.solve(
        **{**SMALL, "prefill_replicas": range(1, 17), "decode_replicas": range(1, 9)}, **TARGETS
    )
    assert float(many.tokens_per_s_per_device) >= float(few.tokens_per_s_per_device)


def test_a_load_is_served_by_the_fewest_devices():
    asked = {k: v for k, v in SMALL.items() if k not in ("decode_batch", "max_batch")}
    found = ms.DisaggregationOptimizer.solve(
        **asked, arrival_rate=[1.0, 4.0, 9.0], target_itl="30 ms", target_ttft="3 s"
    )
    devices = found.n_accelerators.values
    assert found.n_accelerators.dims == ("arrival_rate",) and (np.diff(devices) >= 0).all()
    assert np.allclose(found.throughput, [1.0, 4.0, 9.0])
    grid = ms.DisaggregatedServingModel.solve(**asked, arrival_rate=4.0, max_batch=1024)
    kept = grid.feasible.astype(bool) & (grid.ttft_at_percentile <= 3.0) & (grid.itl <= 0.03)
    assert float(devices[1]) == float(grid.n_accelerators.where(kept).min())


def test_front_of_interactivity_against_throughput():
    """The points that no other one beats in both, as the field draws them."""
    front = ms.DisaggregationOptimizer.pareto(**SMALL)
    order = np.argsort(front.tokens_per_s_per_user.values)
    assert (np.diff(front.tokens_per_s_per_device.values[order]) < 0).all()
    grid = ms.DisaggregatedServingModel.solve(**SMALL)
    works = grid.feasible.values.astype(bool).reshape(-1)
    users, rates = (grid[n].values.reshape(-1)[works] for n in ("tokens_per_s_per_user", "tokens_per_s_per_device"))
    for user, rate in zip(front.tokens_per_s_per_user.values, front.tokens_per_s_per_device.values):
        assert not ((users >= user) & (rates >= rate) & ((users > user) | (rates > rate))).any()


def test_aggregated_servers_stand_beside():
    found = ms.DisaggregationOptimizer.solve(**SMALL, **TARGETS)
    alone = ms.BatchingOptimizer.solve(
        model="llama3_1_70b", hardware=["h100", "h200"], seq_len=2048, output_len=256, tp=[2, 4], **TARGETS
    )
    best = float(alone.tokens_per_s_per_device.where(alone.found).max())
    assert float(found.aggregated_tokens_per_s_per_device) == pytest.approx(best, rel=1e-12)
    two = ms.DisaggregationOptimizer.solve(**{**SMALL, "seq_len": [512, 2048]}, **TARGETS)
    assert two.aggregated_tokens_per_s_per_device.dims == ("seq_len",)
    assert float(two.aggregated_tokens_per_s_per_device[1]) == pytest.approx(best, rel=1e-12)


def test_mixtures_are_laid_out_by_experts_and_a_rack_can_be_kept_to():
    found = ms.DisaggregationOptimizer.solve(
        model="deepseek_r1_671b",
        hardware="gb200",
        precision="nvfp4",
        seq_len=2048,
        output_len=256,
        prefill_replicas=[1, 2, 4],
        decode_replicas=[1, 2, 4],
        decode_batch=[16, 64],
        where="n_accelerators <= 72",
        target_itl="30 ms",
    )
    assert bool(found.found) and int(found.n_accelerators) <= 72
    assert {"ep", "decode_ep"} <= set(found.coords) and int(found.configurations.sum()) == 4 * 4 * 2 * 2 * 3 * 3 * 2


def test_one_target_at_a_time():
    with pytest.raises(ValueError, match=r"target_itl=.*one target at a time"):
        ms.DisaggregationOptimizer.solve(**SMALL, target_itl=[0.01, 0.02])
