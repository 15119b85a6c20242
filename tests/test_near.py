"""What does not work never passes for what does: why, by how much, and what is nearest to working."""

import json
import math

import numpy as np
import pytest
from terminal import runner

import mlsysim as ms
from mlsysim.cli.commands import app
from mlsysim.search.near import amounts, checks

SEVENTY = {"model": "llama3_1_70b", "seq_len": 2048}
TABLE = ["model=llama3_1_70b", "hardware=h100,a100", "tp=2,4,8", "seq_len=2048", "batch_size=1:257"]


def asked(*words, **env):
    return runner().invoke(app, list(words), env={"COLUMNS": "160", **env})


@pytest.mark.parametrize("keep", ["itl", ["itl"], ("ttft", "itl"), ["limit", "itl"]])
def test_no_choice_of_outputs_hides_what_does_not_work(keep):
    found = ms.ServingModel.solve(**SEVENTY, hardware="h100", tp=2, batch_size=[1, 64], keep=keep)
    wanted = {keep} if isinstance(keep, str) else set(keep)
    assert set(found.data_vars) == wanted | {"feasible", "limit"}
    assert found.feasible.values.tolist() == [True, False]


def test_how_much_is_missing_is_what_the_memory_says():
    call = {**SEVENTY, "hardware": ["h100", "a100"], "tp": [1, 2], "batch_size": [1, 13, 64]}
    for fraction in (0.5, 0.9):
        found = ms.ServingModel.solve(**call, memory_fraction=fraction)
        far = amounts(ms.ServingModel.program(**call, memory_fraction=fraction), np.arange(found.feasible.size))
        far = far.reshape(found.feasible.shape)
        short = (found.limit == 3).values
        assert short.any() and np.isnan(far[~short]).all()
        assert far[short] == pytest.approx(found.memory_utilization.values[short] / fraction, rel=1e-12)
        assert (far[short] >= 1).all()


@pytest.mark.parametrize(
    ("resolver", "call", "limit", "cure"),
    [
        (ms.ServingModel, {**SEVENTY, "hardware": "a100"}, "memory", {"tp": 2}),
        (
            ms.ServingModel,
            {**SEVENTY, "hardware": "h100", "tp": 2, "batch_size": [13, 20]},
            "memory",
            {"batch_size": 12},
        ),
        (ms.SingleNodeModel, {"model": "llama3_1_70b", "hardware": "a100"}, "memory", {"offload": 1}),
        (ms.DistributedModel, {"model": "llama3_1_70b", "fleet": "dgx_h100", "tp": 8, "dp": 1}, "memory", {"pp": 4}),
        (
            ms.TailLatencyModel,
            {"arrival_rate": 50, "service_latency": 0.1, "replicas": 3},
            "saturation",
            {"replicas": 6},
        ),
        (
            ms.compose(ms.ServingModel, ms.EconomicsModel),
            {**SEVENTY, "hardware": "h100", "duration": "1 day", "region": "usa"},
            "memory",
            {"precision": "fp8"},
        ),
    ],
)
def test_the_smallest_change_works_and_a_smaller_one_does_not(resolver, call, limit, cure):
    miss = ms.nearest(resolver, **call)
    assert miss.limit == limit and miss.excess >= 1 and cure in miss.changes
    point = {**call, **miss.configuration}
    for change in miss.changes:
        assert resolver.solve(**{**point, **change}).feasible, change
        for name, value in change.items():
            before = point.get(name, 1)
            if isinstance(value, int) and name not in ("offload", "recompute"):
                between = (
                    (value + 1 if value < before else value - 1) if name in ("batch_size", "replicas") else value // 2
                )
                if between != before:
                    assert not resolver.solve(**{**point, name: between}).feasible, change


def test_the_nearest_is_the_least_of_all_points():
    call = {**SEVENTY, "hardware": ["a100", "h100"], "tp": 1, "batch_size": [8, 1, 3]}
    miss = ms.nearest(ms.ServingModel, **call)
    stored = ms.ServingModel.solve(**call)
    least = stored.memory_utilization.isel(stored.memory_utilization.argmin(...))
    assert miss.configuration == {"hardware": least.hardware.item(), "batch_size": least.batch_size.item()}
    assert miss.excess == pytest.approx(least.item() / 0.9)
    assert str(miss).startswith("nearest: hardware=h100 batch_size=1, memory 1.86 x; works with tp=2 or ")


def test_conditions_miss_by_an_amount_as_well():
    call = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 2048, "batch_size": [32, 64]}
    miss = ms.nearest(ms.ServingModel, where="itl < 5 ms", **call)
    itl = ms.ServingModel.solve(**call).itl.min().item()
    assert miss.limit == "itl < '5 ms'" and miss.excess == pytest.approx(itl / 0.005)
    for change in miss.changes:
        assert ms.ServingModel.solve(**{**call, **miss.configuration, **change}).itl < 0.005
    assert ms.nearest(ms.ServingModel, where="itl < 1 s", **call) is None


def test_a_shape_has_no_amount_and_some_things_no_cure():
    wrong = ms.nearest(ms.ServingModel, **SEVENTY, hardware="h100", tp=7)
    assert wrong.limit == "shape" and math.isnan(wrong.excess) and str(wrong) == "shape; works with tp=8"
    poor = ms.nearest(ms.EconomicsModel, fleet="dgx_h100", duration="1 year", region="usa", budget=1000)
    assert poor.limit == "budget" and poor.excess > 100 and not poor.changes and poor.tried > 0
    assert str(poor).endswith(f"none of {poor.tried} small changes works")


@pytest.mark.parametrize("name", ms.RESOLVERS)
def test_every_limit_of_every_model_is_read_from_its_graph(name):
    """`checks` finds each condition of `limit`: with none of them failing, limit is 0."""
    from answers import recorded

    if not isinstance(ms.RESOLVERS[name], ms.Model) or "limit" not in ms.RESOLVERS[name].outputs:
        return
    program = recorded(name, 0)
    limit = program.graph.lift(program.outputs["limit"])
    node = limit
    for _ in checks(limit):
        node = node.args[1]
    assert node.op == "const" and node.payload == 0.0


def test_the_first_example_of_the_readme_says_what_does_not_fit():
    shown = asked("solve", "serving", *TABLE, "--keep", "ttft,itl", TTY_COMPATIBLE="1", FORCE_COLOR="1")
    rows = [
        line
        for line in shown.stdout.splitlines()
        if "h100" in line and "hardware" not in line and "assumed" not in line
    ]
    assert len(rows) == 20
    for row in rows:
        assert ("memory 1.0" in row) == ("\x1b[2m" in row)
    assert sum("memory 1.0" in row for row in rows) == 8  # from a batch of 13 on
    plain = asked("solve", "serving", *TABLE, "--keep", "ttft,itl").stdout
    assert "none" in plain and "memory 1.0039 x" in plain


def test_a_single_point_says_it_too():
    shown = asked("solve", "serving", "model=llama3_1_70b", "hardware=h100", "seq_len=2048", "tp=2", "batch_size=13")
    assert "82.56 of 85.52 GB" not in shown.stdout  # of a point with a batch of 64 GB more
    assert "of 85.52 GB" in shown.stdout and "memory 1.0039 x" in shown.stdout and shown.exit_code == 2
    assert "nothing feasible: memory stops 1 of 1; memory 1.0039 x; works with tp=4 or " in shown.stderr
    assert "batch_size=12" in shown.stderr
    fine = asked("solve", "serving", "model=llama3_1_8b", "hardware=h100", "seq_len=2048", "keep=memory_per_device")
    assert "16.78 of 85.52 GB" in fine.stdout or " of 85.52 GB" in fine.stdout
    assert fine.exit_code == 0 and "limit" not in fine.stdout


@pytest.mark.parametrize(
    "words", [["best", "serving", "itl"], ["top", "serving", "itl"], ["pareto", "serving", "minimize=itl"]]
)
def test_a_search_that_finds_nothing_names_the_nearest(words):
    shown = asked(*words, "model=llama3_1_70b", "hardware=h100,a100", "seq_len=2048", "batch_size=1:17")
    assert (
        shown.exit_code == 2
        and "memory stops 32 of 32; nearest: hardware=h100 batch_size=1, memory 1.86 x" in shown.stderr
    )
    assert "works with tp=2 or pp=2 or precision=fp8" in shown.stderr


def test_json_keeps_why():
    shown = asked("solve", "serving", *TABLE[:-1], "batch_size=12,13", "keep=itl", "--json")
    assert {"itl", "feasible", "limit"} == set(json.loads(shown.stdout)["data_vars"])


@pytest.mark.parametrize("name", ["SingleNodeModel", "ServingModel", "DistributedModel", "WeightStreamingModel"])
def test_memory_over_its_share_is_the_capacity(name):
    call = {"model": "llama3_1_8b", "hardware": ["h100", "a100"], "seq_len": 512}
    found = ms.RESOLVERS[name].solve(**call)
    if "memory_per_device" in found:
        capacity = (found.memory_per_device / found.memory_utilization).values
        rows = [ms.zoo.accelerator_record(ms.zoo.hardware(key), 3, None, {}) for key in call["hardware"]]
        assert capacity == pytest.approx([row.mem_capacity for row in rows])
