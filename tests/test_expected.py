"""A winner under uncertainty: what to expect of it, how often it works, how often it wins."""

import numpy as np
import pytest

import mlsysim as ms

DRAWS = {"sample": 24, "seed": 5}
SERVE = {"model": "llama3_1_8b", "seq_len": 2048}
TRAIN = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 2048, "global_batch": 64}
SETTINGS = {"schedule": "1f1b", "virtual_stages": 1, "sequence_parallel": 1, "zero_stage": 1, "ep": 1, "cp": 1}
CHAT = {"model": "llama3_1_70b", "hardware": "h100", "seq_len": 2048, "output_len": 256}
DEGREES = ("tp", "pp", "dp", "micro_batch", "recompute")


def told(answer, objective, each):
    """Mean and quantiles are those of the samples at that point."""
    values = each.transpose("sample", ...).values
    assert float(answer[f"{objective}_expected"]) == pytest.approx(values.mean(), rel=1e-12)
    for level in (10, 90):
        assert float(answer[f"{objective}_p{level}"]) == pytest.approx(np.quantile(values, level / 100), rel=1e-12)
    assert 0 <= float(answer.win_share) <= 1 and 0 <= float(answer.feasible_share) <= 1
    assert answer[f"{objective}_expected"].attrs["units"] == answer[objective].attrs["units"]


@pytest.mark.parametrize("by", ["hardware", "tp", ()])
def test_a_model_tells_what_to_expect_of_its_best(by):
    grid = {"hardware": ["h100", "a100", "l40s"], "tp": [1, 2], "batch_size": [1, 8, 64]}
    best = ms.ServingModel.best("tokens_per_s_per_device", by=by, where="itl < 0.03", **SERVE, **grid, **DRAWS)
    plain = ms.ServingModel.best("tokens_per_s_per_device", by=by, where="itl < 0.03", **SERVE, **grid)
    every = ms.ServingModel.solve(**SERVE, **grid, **DRAWS)
    for cell in best[by].values if by else [None]:
        one = best if cell is None else best.sel({by: cell})
        nominal = plain if cell is None else plain.sel({by: cell})
        assert float(one.tokens_per_s_per_device) == float(nominal.tokens_per_s_per_device)
        at = every.sel({n: one[n].values for n in grid})
        told(one, "tokens_per_s_per_device", at.tokens_per_s_per_device)
        assert float(one.feasible_share) == pytest.approx(float((at.feasible.astype(bool) & (at.itl < 0.03)).mean()))


def test_cells_without_a_winner_expect_nothing():
    grid = {"hardware": ["h100", "l4"], "tp": [1, 2]}
    best = ms.ServingModel.best("itl", by="hardware", where="itl < 0.008", **SERVE, **grid, **DRAWS)
    assert best.found.values.tolist() == [True, False]
    assert np.isnan(best.itl_expected.values).tolist() == np.isnan(best.feasible_share.values).tolist() == [False, True]


def test_paired_inputs_stay_paired():
    points = {"tp": [1, 2, 4], "batch_size": [1, 64, 8]}
    best = ms.ServingModel.best("usd_per_mtok", hardware="h100", **SERVE, points=points, **DRAWS)
    place = int(np.flatnonzero(np.array(points["tp"]) == int(best.tp))[0])
    every = ms.ServingModel.solve(hardware="h100", **SERVE, points=points, **DRAWS)
    told(best, "usd_per_mtok", every.usd_per_mtok.isel(config=place))


def test_where_nothing_is_uncertain_the_nominal_value_is_expected():
    call = {"model": "llama3_1_8b", "hardware": "h100", "batch_size": [1, 8], "textbook": 1}
    best = ms.SingleNodeModel.best("flops", True, **call, **DRAWS)
    assert best.flops == best.flops_expected == best.flops_p10 == best.flops_p90
    assert best.win_share == best.feasible_share == 1


@pytest.mark.parametrize("by", [None, "n_accelerators", "hardware"])
def test_the_best_layout_tells_what_to_expect(by):
    choice = {**TRAIN, "n_accelerators": [8, 16], "micro_batch": [1, 2], "recompute": ["none", "full"], **SETTINGS}
    choice["hardware"] = ["h100", "a100"]
    best = ms.ParallelismOptimizer.best(**choice, **DRAWS, **({} if by is None else {"by": by}))
    plain = ms.ParallelismOptimizer.best(**choice, **({} if by is None else {"by": by}))
    assert best.mfu.dims == best.mfu_expected.dims == best.win_share.dims == (() if by is None else (by,))
    for cell in best[by].values if by else [None]:
        one = best if cell is None else best.sel({by: cell})
        assert float(one.mfu) == float(plain.mfu if cell is None else plain.mfu.sel({by: cell}))
        layout = {n: one[n].values.item() for n in (*DEGREES, "hardware")}
        at = ms.DistributedModel.solve(**{**TRAIN, **SETTINGS, **layout}, **DRAWS)
        told(one, "mfu", at.mfu)
        assert float(one.feasible_share) == pytest.approx(float(at.feasible.astype(bool).mean()))


@pytest.mark.parametrize("asked", [{}, {"arrival_rate": [2, 6], "by": "arrival_rate"}])
def test_the_best_batch_tells_what_to_expect_of_it(asked):
    """The batch of the nominal values stays what it is, whatever is drawn; how often it keeps the targets is said."""
    call = {**CHAT, "tp": [4, 8], "target_itl": "50 ms"}
    best = ms.BatchingOptimizer.best("tokens_per_s_per_device", **call, **asked, **DRAWS)
    for i in range(2) if asked else [None]:
        one = best if i is None else best.isel(arrival_rate=i)
        batch = {n: one[n].values.item() for n in ("tp", "max_batch", "replicas") if n in one.coords}
        rate = {} if i is None else {"arrival_rate": asked["arrival_rate"][i]}
        at = ms.ContinuousBatchingModel.solve(**CHAT, **batch, **rate, **DRAWS)
        told(one, "tokens_per_s_per_device", at.tokens_per_s_per_device)
        kept = at.feasible.astype(bool)
        kept = kept & ((at.itl <= 0.05) if i is None else (at.itl_at_capacity <= 0.05) & (at.queue_utilization <= 0.85))
        assert float(one.feasible_share) == pytest.approx(float(kept.mean()))
        assert 0 < float(one.feasible_share) < 1  # a batch at the edge of its target


def test_the_best_site_tells_what_to_expect():
    run = {"hardware": "h100", "n_accelerators": 1024, "duration": "30 days", "compute_utilization": 0.5}
    best = ms.PlacementOptimizer.best(**run, region=["fra", "deu", "usa"], **DRAWS)
    every = ms.PlacementOptimizer.solve(**run, region=[str(best.region.values)], **DRAWS)
    told(best, "carbon", every.carbon)
    assert float(best.feasible_share) == 1


def test_a_search_that_is_taken_up_again_expects_the_same(tmp_path):
    choice = {**TRAIN, "n_accelerators": [8, 16], "micro_batch": [1, 2], "recompute": "none", **SETTINGS, **DRAWS}
    whole, again = (
        ms.ParallelismOptimizer.best(by="n_accelerators", resume=tmp_path / "state", **choice) for _ in range(2)
    )
    assert (whole.mfu_expected == again.mfu_expected).all()


def test_by_an_input_of_one_value_asks_the_same():
    grid = {"hardware": ["h100"], "tp": [1, 2, 4], "batch_size": [1, 8, 64]}
    alone, by = (ms.ServingModel.best("usd_per_mtok", by=b, **SERVE, **grid, **DRAWS) for b in ((), "hardware"))
    for output in ("win_share", "feasible_share", "usd_per_mtok_expected"):
        assert float(alone[output]) == float(by[output]), output


def test_a_close_race_is_not_won_always():
    """Layouts that differ by less than what is uncertain about them, also by an input of one value."""
    plain = {**TRAIN, "seq_len": [2048], "n_accelerators": 16, "micro_batch": [1, 2, 4], **SETTINGS}
    for by in ((), "seq_len"):
        assert 0 < ms.DistributedModel.best("mfu", by=by, **plain, **DRAWS).win_share.item() < 1
    layouts = {
        **TRAIN,
        "model": [TRAIN["model"]],
        "n_accelerators": 16,
        "micro_batch": [1, 2, 4],
        "recompute": "none",
        **SETTINGS,
    }
    for by in (None, "model"):
        found = ms.ParallelismOptimizer.best(**layouts, **DRAWS, **({} if by is None else {"by": by}))
        assert 0 < found.win_share.item() < 1


# --- the luck of a search ----------------------------------------------------------------------------------


def test_the_best_published_utilization_is_what_is_left_without_luck():
    """GPT-3 on 1,024 A100: the best layout is predicted at 61.6 %; 56 % is the best that was published for such models
    (Korthikanti et al. 2022, arXiv:2205.05198, table 5: 56.0 and 56.3 % of models of 530 and 1,000 billion)."""
    found = ms.ParallelismOptimizer.best(
        model="gpt3_175b",
        hardware="a100",
        n_accelerators=1024,
        seq_len=2048,
        global_batch=1536,
        recompute=["none", "selective", "full"],
        schedule="1f1b",
        zero_stage=1,
        sequence_parallel=1,
        cp=1,
        sample=8,
    )
    assert float(found.mfu) > 0.6 and 0.54 < float(found.mfu_without_luck) < 0.59


def test_luck_goes_the_way_of_the_objective():
    layouts = {**TRAIN, "n_accelerators": 64, "micro_batch": [1, 2, 4], "recompute": "none", **SETTINGS, **DRAWS}
    fast = ms.ParallelismOptimizer.best("mfu", **layouts)
    slow = ms.ParallelismOptimizer.best("step_time", **layouts)
    assert fast.mfu_without_luck < fast.mfu and slow.step_time_without_luck > slow.step_time
    gain, loss = float(fast.mfu_without_luck / fast.mfu), float(slow.step_time / slow.step_time_without_luck)
    assert gain == pytest.approx(loss, rel=0.02)  # a step time is as uncertain as a utilization


def test_nobody_is_lucky_alone():
    """One candidate, equal ones, or a quantity without an error of its own."""
    one = {**TRAIN, "n_accelerators": 8, "micro_batch": 1, "recompute": "none", **SETTINGS, "tp": 1, "pp": 1, **DRAWS}
    alone = ms.ParallelismOptimizer.best(**one)
    assert float(alone.mfu_without_luck) == float(alone.mfu)
    twice = ms.DistributedModel.best("mfu", **TRAIN, dp=8, points={"tp": [1, 1]}, **DRAWS)
    assert float(twice.mfu_without_luck) == float(twice.mfu)


def test_a_scatter_that_the_call_gives_is_known():
    layouts = {**TRAIN, "n_accelerators": 64, "micro_batch": [1, 2, 4], "recompute": "none", **SETTINGS, **DRAWS}
    known = ms.ParallelismOptimizer.best("mfu", training_scatter=1.1, **layouts)
    assert float(known.mfu_without_luck) == float(known.mfu)
