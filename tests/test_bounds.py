"""Outputs are held to their own schema, on all calls of the contract, on random points, and where they once were not."""

import fuzz
import numpy as np
import pytest
import xarray as xr
from answers import plainly
from configurations import CONFIGURATIONS
from random_points import WINDOWED, flaws

import mlsysim as ms

CALLS = [(name, i) for name in fuzz.MODELS for i in range(len(CONFIGURATIONS[name]))]


@pytest.mark.parametrize("name, i", CALLS)
def test_a_call_keeps_to_the_schema(name, i):
    assert flaws(plainly(name, i)) == {}


@pytest.mark.parametrize("name", fuzz.MODELS)
def test_ten_thousand_random_points_keep_to_the_schema(name):
    found = fuzz.fuzz(name, 10_000, seed=1, batch=2_500)
    assert found["points"] >= 10_000 and found["feasible"] > 0
    assert found["first"] == {}


def test_a_flaw_is_found():
    good = ms.ServingModel.solve(model="llama3_1_8b", hardware="h100", seq_len=777, batch_size=[1, 2, 4])
    assert flaws(good) == {}
    for output, value, kind in (
        ("itl", np.nan, "nan"),
        ("itl", -1.0, "bounds"),
        ("compute_utilization", 1.0 + 1e-9, "bounds"),
        ("itl", np.inf, "infinite"),
        ("memory_utilization", 1.1, "capacity"),
        ("limit", 3, "capacity"),
        ("bottleneck", 77, "bounds"),
        ("limit", 0.5, "bounds"),
    ):
        values = np.broadcast_to(good[output].values, 3).astype(float)
        values[1] = value
        bad = good.assign({output: xr.DataArray(values, dims="batch_size")})
        assert output in flaws(bad).get(kind, {}), (output, value)


def test_the_script_says_what_it_found(capsys):
    assert fuzz.main(["--points", "300", "--batch", "100", "--models", "DataModel", "CheckpointModel"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["model", "DataModel", "CheckpointModel"]
    assert all(line.split()[1] == "300" for line in lines[1:])


# --- a kind each ---------------------------------------------------------------------------------------

LENGTHS = [1, 777, 8192, 32768, 131072]


def test_operations_time_and_traffic_count_the_same_positions():
    """A local layer reads its window, however long the sequence."""
    kinds = ["attention", "decode_attention", "prefill", "decode"]
    call = {"model": list(WINDOWED), "hardware": ["h100", "a100"], "workload_type": kinds}
    found = ms.EfficiencyModel.solve(**call, batch_size=64, seq_len=LENGTHS)
    assert (found.bandwidth_utilization <= 1).all() and (found.mfu <= 1).all()
    step = {"hardware": "h100", "batch_size": 8, "seq_len": 1, "cached_prefix": [32767, 131071]}
    everywhere = [ms.Workload(model, name=f"{model} in full", local_layers=0) for model in WINDOWED]
    found = ms.SingleNodeModel.solve(model=[*WINDOWED, *everywhere], **step)
    for output in ("flops", "bytes_moved"):
        windowed, full = np.split(found[output].transpose("model", ...).values, 2)
        assert (windowed < full).all(), output


@pytest.mark.parametrize("model", ["bert_large", "vit_b16", "t5_base", "whisper_large_v3"])
def test_an_encoder_takes_time_for_every_position(model):
    """Its operations count all of them: at full efficiency the share of peak is one, not more."""
    found = ms.SingleNodeModel.solve(model=model, hardware="h100", batch_size=512, seq_len=[512, 8192], textbook=True)
    assert (found.mfu <= 1).all()
    core = ms.EfficiencyModel.solve(
        model=model, hardware="h100", workload_type="attention", batch_size=512, seq_len=8192
    )
    assert core.mfu <= ms.zoo.accelerator_record(ms.zoo.hardware("h100"), 3).flash3_kernel_efficiency


def test_a_utilization_ends_at_one():
    call = {"model": "llama3_1_8b", "hardware": "h100", "batch_size": 8, "seq_len": 8192, "efficiency": 0.9999}
    found = ms.SingleNodeModel.solve(**call, flops_convention="full", textbook=True, is_training=True, lora_rank=[0, 8])
    assert (found.mfu <= 1).all() and (found.hfu <= 1).all() and (found.mfu > 0.9).any()


def test_what_serving_eats_is_no_training():
    found = ms.ScalingModel.solve(compute_budget="1e20 FLOP", tokens="1B", served_tokens=[1e12, 1e21], mfu=0.4)
    assert found.feasible.values.tolist() == [True, False] and found.limit[1] == ms.schema.codes.Limit.BUDGET
    assert not np.isnan(found.optimal_loss).any() and (found.optimal_tokens >= 0).all()


def test_more_memory_never_slows_a_device_with_memory_on_the_chip():
    for inject, memory in (("1 TB/s", "100 GB/s"), ("900 GB/s", "3 TB/s")):
        found = ms.WeightStreamingModel.solve(
            model="llama3_1_8b",
            hardware="cerebras_wse3",
            mem_bandwidth=memory,
            injection_bandwidth=inject,
            seq_len=777,
            batch_size=[1, 49, 512],
            mem_capacity=[f"{n} GB" for n in (12, 17, 20, 44, 100, 300)],
        )
        latency = found.latency.where(found.feasible)
        slower = latency.values[..., 1:] > latency.values[..., :-1] * (1 + 1e-12)
        assert not slower.any()


@pytest.mark.parametrize("load", [{}, {"arrival_rate": 0.02}])
@pytest.mark.parametrize("chunk", [1, 8, 512])
def test_more_bandwidth_never_lengthens_the_time_between_tokens(load, chunk):
    bandwidth = np.geomspace(0.5e12, 2e13, 40)
    found = ms.ContinuousBatchingModel.solve(
        model="llama3_1_70b",
        hardware="h100",
        seq_len=[430, 3640],
        output_len=[2, 5, 300],
        max_batch=[1, 64],
        tp=4,
        prefill_chunk=chunk,
        mem_bandwidth=bandwidth,
        **load,
    )
    for output in ("itl", "itl_at_capacity"):
        times = found[output].transpose(..., "mem_bandwidth").values
        works = found.feasible.broadcast_like(found[output]).transpose(..., "mem_bandwidth").values
        both = works[..., 1:] & works[..., :-1]
        assert both.any() and not (both & (times[..., 1:] > times[..., :-1] * (1 + 1e-9))).any(), output


@pytest.mark.parametrize("name", ["mem_bandwidth", "efficiency", "memory_fraction"])
def test_what_is_next_to_nothing_is_refused(name):
    call = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 777}
    for given in (5e-324, [5e-324], np.full(100, 5e-324)):
        with pytest.raises(ValueError, match=rf"{name}=.*from 1e-18"):
            ms.ServingModel.solve(**call, **{name: given})
    with pytest.raises(ValueError, match=r"mem_bandwidth.*from 1e-18"):
        ms.Hardware("h100", mem_bandwidth=5e-324)


def test_nothing_to_decode_is_infeasible():
    call = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 777}
    found = ms.ServingModel.solve(**call, decode_hardware="h200", output_len=[1, 2])
    assert found.feasible.values.tolist() == [False, True] and np.isfinite(found.prefill_decode_ratio[1])
    assert not ms.ServingModel.solve(**call, draft="resnet50", draft_len=3).feasible


def test_what_hardly_arrives_slows_without_end_but_by_a_number():
    fed = ms.DataModel.solve(
        hardware="h100", workload_data_rate="1 TB/s", storage_bandwidth="1e-9 byte/s", rate_cv=[0.0, 1.0]
    )
    assert np.allclose(fed.slowdown, 1e21)
    step = ms.TransformationModel.solve(batch_size=64, step_time="1 ms", cores=1, sample_cpu_time=[1e12, 1e18])
    assert np.isfinite(step.fed_step_time).all()


def test_many_spares_answer_at_once():
    found = ms.ReliabilityModel.solve(
        fleet="dgx_h100", job_duration="54 days", n_accelerators=[1e6, 1e15], spare_nodes=10**9
    )
    assert np.isfinite(found.spare_wait).all()


def test_a_run_above_its_level_is_faster_in_all_its_parts():
    run = ms.DistributedModel.solve(
        model="llama3_1_8b",
        hardware="h100",
        global_batch=512,
        seq_len=4096,
        tp=2,
        dp=16,
        pp=[1, 2],
        training_scatter=[0.5, 1.0, 2.0],
    )
    parts = run.compute_time + run.bubble_time + run.exposed_communication + run.optimizer_time + run.overhead_time
    assert (
        (run.overhead_time >= 0).all()
        and (run.communication_fraction <= 1).all()
        and (run.compute_utilization <= 1).all()
    )
    alone = parts.isel(pp=0)
    assert np.allclose(alone, run.step_time.isel(pp=0))


def test_nothing_is_left_of_states_that_are_smaller_than_their_copy():
    call = {"model": "llama3_1_8b", "hardware": "h100"}
    saved = ms.CheckpointModel.solve(**call, n_accelerators=8, master_weight_bytes=50.0)
    assert saved.checkpoint_moments == 0
    run = ms.DistributedModel.solve(**call, global_batch=8, seq_len=4096, precision="fp32", optimizer_bytes=1.0)
    assert run.memory_optimizer == 0
    drawn = ms.SustainabilityModel.solve(hardware="h100", region="usa", duration="1 day", idle_power=1e9)
    assert drawn.average_power > 0


def test_what_a_process_reserves_besides_is_never_less_than_nothing():
    """Draws of `memory_scatter` below 1 shrink what is reserved, not the classes that it is made of."""
    call = {"model": "llama3_1_8b", "hardware": "h100", "dp": 8, "global_batch": 8, "seq_len": 2048}
    for scatter in (1e-12, 0.5, 1.0):
        found = ms.DistributedModel.solve(memory_scatter=scatter, **call)
        assert found.memory_other >= 0.0 and found.memory_gradients >= 0.0


def test_what_is_free_costs_nothing_and_no_tokens_have_no_price():
    run = {"hardware": "h100", "duration": 1e6, "region": "usa", "n_accelerators": 8, "plan": "plain"}
    free = ms.EconomicsModel.solve(procurement="spot", spot_discount=1.0, tokens_per_s=1e3, **run)
    assert free.tco == 0.0 == free.usd_per_mtok and free.feasible
    none = ms.EconomicsModel.solve(procurement="on_demand", tokens_per_s=0.0, **run)
    assert none.usd_per_mtok == np.inf and np.isfinite(none.tco)
