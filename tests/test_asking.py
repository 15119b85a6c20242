"""What cannot be asked is told in one line; what is asked again under uncertainty is counted; resolvers travel."""

import pickle
from typing import NamedTuple

import numpy as np
import pytest

import mlsysim as ms
from mlsysim import kernel
from mlsysim.resolver import Model

POINT = {"model": "llama3_1_70b", "hardware": "h100", "tp": 4, "seq_len": 2048}
SERVE = ms.ServingModel


class Roof(NamedTuple):
    itl: float


@kernel
def roof(batch_size) -> Roof:
    """A kernel at the top of a module."""
    return Roof(2.0 * batch_size)


@pytest.mark.parametrize(
    "resolver",
    [
        ms.ServingModel,
        ms.ServingModel(hardware="h100"),
        ms.compose(ms.DistributedModel, ms.EconomicsModel),
        ms.BatchingOptimizer,
        ms.SynthesisSolver,
        Model("Roof", roof, domain="node"),
    ],
    ids=lambda r: r.name,
)
def test_resolvers_can_be_pickled(resolver):
    again = pickle.loads(pickle.dumps(resolver))
    assert again.name == resolver.name and again.bound == resolver.bound and again.outputs == resolver.outputs


def test_a_pickled_resolver_answers_the_same():
    again = pickle.loads(pickle.dumps(SERVE(**POINT)))
    assert again.solve(keep=["itl"]).itl == SERVE.solve(keep=["itl"], **POINT).itl


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda: ms.ReliabilityModel.solve(n_accelerators=16384, job_duration="54 days"),
            r"can tell nothing.*or fleet=\.\.\.",
        ),
        (lambda: SERVE.solve(**POINT, sample=10**9), "at most 100,000"),
        (lambda: SERVE.solve(**POINT, sample=4, seed=-1), "seed=-1"),
        (lambda: SERVE.solve(**POINT, quantile="0.5"), "quantile='0.5'"),
        (lambda: SERVE.best("itl", **POINT, batch_size=[1, 2], quantile=[0.1]), "quantile= is for solve"),
        (lambda: SERVE.top(2, "itl", **POINT, batch_size=[1, 2], sample=8), "rank draws"),
        (lambda: ms.compose(ms.ParallelismOptimizer, ms.EconomicsModel), "a stage of a composition"),
        (lambda: ms.compose(ms.SensitivitySolver, ms.EconomicsModel), "a stage of a composition"),
        (lambda: ms.ParallelismOptimizer.root("tp", {"mfu": 0.4}), "which root needs"),
        (lambda: ms.SensitivitySolver.root("tp", {"mfu": 0.4}), "which root needs"),
        (lambda: SERVE.pareto("itl", "bottleneck", **POINT, batch_size=[1, 2]), "bottleneck is a label"),
        (lambda: SERVE.best("limit", **POINT, batch_size=[1, 2]), "limit is a label"),
        (lambda: SERVE.best("itl", by="foo", **POINT), "which has none"),
        (lambda: SERVE.best("itl", where="itl", **POINT, batch_size=[1, 2]), "a number, no condition"),
        (lambda: SERVE.best("usd_per_mtok", **{**POINT, "hardware": ["maia_200", "tpu_v4i"]}), "leave that one out"),
    ],
)
def test_what_cannot_be_asked_is_told(ask, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ask()


def test_a_flag_is_a_condition():
    assert SERVE.best("itl", where="feasible", **POINT, batch_size=[1, 2]).found


def test_a_quantity_under_an_alias_brings_its_unit():
    run = {"hardware": "h100", "region": "usa", "duration": "1 year", "n_accelerators": 8}
    told, plain = (ms.EconomicsModel.solve(**run, kwh_price=p).electricity_price.item() for p in ("0.1 USD/kWh", 0.1))
    assert told == pytest.approx(plain, rel=1e-12) and plain == pytest.approx(0.1 / 3.6e6)


def test_a_front_that_nobody_could_read_is_refused(monkeypatch):
    from mlsysim.search import pareto

    monkeypatch.setattr(pareto, "MOST", 20)
    with pytest.raises(ValueError, match="more than 20 configurations"):
        SERVE.pareto("itl", "tokens_per_s", **POINT, batch_size=np.arange(1, 200))


def test_no_layout_where_none_works():
    """97 devices split in no way that holds the model."""
    common = {
        "model": "llama3_1_70b",
        "hardware": "h100",
        "seq_len": 8192,
        "global_batch": 2048,
        "schedule": ["1f1b", "gpipe"],
    }
    none = ms.ParallelismOptimizer.solve(n_accelerators=97, **common)
    assert not none.found and np.isnan(none.tp) and none.schedule.item() == ""


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda b: (b,), "returned tuple in place of Roof"),
        (lambda b: Roof(b // 2), "floor_div"),
        (lambda b: Roof(b % 2), "floor_div"),
        (lambda b: Roof(np.arctan2(b, 1.0)), "np.arctan2 is not recorded"),
    ],
)
def test_kernels_that_cannot_be_recorded_say_why(compute, message):
    @kernel
    def mine(batch_size) -> Roof:
        return compute(batch_size)

    with pytest.raises(TypeError, match=message):
        Model("Mine", mine, domain="node").solve(batch_size=[1, 2])


def test_a_kernel_says_what_it_returns():
    with pytest.raises(TypeError, match="NamedTuple"):

        @kernel
        def mine(batch_size):
            return batch_size


def test_how_often_a_front_stays():
    """Against the fronts of the stored samples, one by one."""
    grid = {**POINT, "hardware": ["h100", "mi300x"], "tp": [2, 4, 8], "output_len": 256, "batch_size": np.arange(1, 65)}
    names, n = ["itl", "tokens_per_s_per_device"], 8
    front = SERVE.pareto(names[0], names[1], **grid, sample=n)
    plain = SERVE.pareto(names[0], names[1], **grid)
    assert (front.itl.values == plain.itl.values).all() and front.attrs["samples"] == n
    every = SERVE.solve(keep=[*names, "feasible"], **grid, sample=n).transpose("sample", "hardware", "tp", "batch_size")
    feasible = every.feasible.broadcast_like(every.itl).transpose(*every.itl.dims).values.reshape(n, -1)
    stays = np.zeros(front.sizes["point"])
    shape = every.itl.shape[1:]
    own = np.ravel_multi_index(
        [np.searchsorted(every[a].values, front[a].values) for a in ("hardware", "tp", "batch_size")], shape
    )
    for s in range(n):
        at = np.flatnonzero(feasible[s])
        cost = np.column_stack([every[names[0]].values[s].reshape(-1)[at], -every[names[1]].values[s].reshape(-1)[at]])
        beaten = [((cost <= row).all(axis=1) & (cost < row).any(axis=1)).any() for row in cost]
        stays += np.isin(own, at[~np.array(beaten)])
    assert front.front_share.values == pytest.approx(stays / n) and 0 < front.front_share.values.min() <= 1
    assert (SERVE.pareto("memory_weights", "tokens_per_s", textbook=1, **grid, sample=4).front_share > 0).all()


def test_prices_of_different_lists_are_told():
    both = SERVE.best("usd_per_mtok", by="hardware", **{**POINT, "hardware": ["h100", "tpu_v6e"]}, output_len=256)
    assert "specialists" in both.attrs["rents"] and "the only company" in both.attrs["rents"]
    alike = SERVE.best("usd_per_mtok", by="hardware", **{**POINT, "hardware": ["h100", "gb300"]}, output_len=256)
    assert "rents" not in alike.attrs and "gb300_per_gpu.hourly_price: no specialist" in alike.attrs["derived"]
    assert "rents" not in SERVE.solve(**POINT, keep=["itl"]).attrs


def test_a_search_goes_on_without_the_labels_that_lack_a_datum():
    names = ["maia_200", "h100", "b200", "tpu_v4i"]
    asked = {**POINT, "hardware": names, "precision": "bf16", "output_len": 256}
    best = SERVE.best("usd_per_mtok", **asked)
    assert bool(best.found) and str(best.hardware.values) in ("h100", "b200") and float(best.usd_per_mtok) > 0
    assert "where hourly_price is not known: maia_200" in best.attrs["left_out"] and "tpu_v4i" in best.attrs["left_out"]
    cells = SERVE.best("usd_per_mtok", by="hardware", **asked)
    assert cells.found.values.tolist() == [False, True, True, False]
    front = SERVE.pareto("usd_per_mtok", "itl", **asked)
    assert set(front.hardware.values.tolist()) <= {"h100", "b200"} and "maia_200" in front.attrs["left_out"]
    within = SERVE.best("itl", where="usd_per_mtok > 0", **asked)
    assert str(within.hardware.values) in ("h100", "b200") and "left_out" in within.attrs
    with pytest.raises(ValueError, match=r"usd_per_mtok needs .* not known for"):
        SERVE.best("usd_per_mtok", **{**asked, "hardware": ["maia_200", "tpu_v4i"]})
    with pytest.raises(
        ValueError, match=r"usd_per_mtok needs .* not known for"
    ):  # what answers at every point does not
        SERVE.solve(**asked, keep=["usd_per_mtok"])


def test_optimizers_say_how_often_their_front_stays():
    run = {"model": "llama3_1_8b", "hardware": "h100", "n_accelerators": 8, "seq_len": 2048, "global_batch": 64}
    front = ms.ParallelismOptimizer.pareto(**run, schedule="1f1b", zero_stage=[0, 1], sample=4)
    assert front.sizes["point"] > 1 and front.front_share.max() > 0 and front.front_share.max() <= 1


def test_what_a_branch_does_not_need_may_be_unknown():
    """One device sends nothing to others: that nobody knows how fast its network is does not matter."""
    alone = {"model": "llama3_1_8b", "hardware": "inferentia2", "seq_len": 2048, "keep": ["itl"]}
    plain, nest = (SERVE.solve(plan=plan, batch_size=np.arange(1, 600), **alone).itl for plan in ("plain", "nest"))
    assert np.isfinite(plain).all() and np.allclose(plain, nest, rtol=1e-12)
    with pytest.raises(ValueError, match="inter_latency"):
        SERVE.solve(tp=16, **alone)


def test_a_count_that_a_transformer_has_by_itself_is_not_overridden():
    with pytest.raises(ValueError, match="follows from its layers"):
        SERVE.solve(**POINT, total_params=1e9)
    assert ms.SingleNodeModel.solve(model="resnet50", hardware="h100", total_params=[2e7, 4e7]).latency.size == 2


@pytest.mark.parametrize(
    ("resolver", "given", "told"),
    [
        (ms.DataModel, {}, ['hardware="h100"', 'workload_data_rate="2 GB/s") or samples_per_s and sample_bytes']),
        (
            ms.DataModel,
            {"hardware": "h100", "samples_per_s": 3},
            ["workload_data_rate (", "samples_per_s and sample_bytes"],
        ),
        (ms.TransformationModel, {}, ["batch_size=32", 'sample_cpu_time="3 ms") or cpu_throughput']),
        (ms.TopologyModel, {}, ["n_nodes=64) or n_accelerators or side_x"]),
        (
            ms.ScalingModel,
            {"hardware": "h100"},
            ['compute_budget="1e24 FLOP") or hardware and n_accelerators'],
        ),
        (ms.compose(ms.TransformationModel, ms.DataModel), {}, ["batch_size=32", "cpu_throughput", "sample_bytes"]),
        (ms.EconomicsModel, {}, ['hardware="h100"', 'region="fra" (or kwh_price=0.12', 'duration="30 days"']),
    ],
    ids=lambda v: getattr(v, "name", ""),
)
def test_all_that_is_missing_is_told_at_once_with_the_ways_to_give_it(resolver, given, told):
    with pytest.raises(TypeError) as caught:
        resolver.solve(**given)
    text = str(caught.value)
    assert text.startswith(f"{resolver.name} needs ") and all(word in text for word in told), text


def test_one_way_is_enough():
    assert ms.ScalingModel.solve(hardware="h100", n_accelerators=1024, duration="30 days").optimal_params > 1e9
    assert ms.TopologyModel.solve(side_x=4, side_y=4, topology="torus").diameter == 4
    fed = ms.compose(ms.TransformationModel, ms.EconomicsModel, wire={"duration": "transform_time"})
    assert fed.solve(batch_size=32, sample_cpu_time="3 ms", hardware="h100", region="fra").tco > 0


def test_the_command_line_names_its_own_words():
    from test_cli import fails

    assert "see mlsysim zoo models" in fails("solve", "serving") and "zoo.names" not in fails("solve", "serving")
