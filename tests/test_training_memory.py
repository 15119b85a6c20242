"""What a training run holds: published layouts fit, and every mechanism of a trainer by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mlsysim as ms
from mlsysim.calibration.problem import Problem
from mlsysim.calibration.runs import read
from mlsysim.equations import memory, training_memory
from mlsysim.equations.layout import layout
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Precision, Recompute
from mlsysim.zoo import format_record, model, workload_record

TABLES = Path(__file__).resolve().parents[1] / "benchmarks" / "measured"
MEASURED = ("training", "own_training", "trillium")
#: arXiv:2407.21783, table 4: a layer a chunk, 16 Mi tokens a step, nothing computed again
LLAMA3 = {
    "model": "llama3_1_405b",
    "hardware": "h100",
    "tp": 8,
    "pp": 16,
    "virtual_stages": 8,
    "zero_stage": 2,
    "assume": "meta_llama",
}


@pytest.mark.parametrize("name", MEASURED)
def test_what_was_run_fits(name):
    """Every published run of a table fits into the device it ran on, with what its framework does."""
    rows = ms.validate(TABLES / f"{name}.csv", sample=0).rows
    assert len(rows) and rows.fits.all(), rows[~rows.fits.astype(bool)][["row", "source"]]


@pytest.mark.parametrize(
    ("dp", "cp", "seq_len", "global_batch"), [(64, 1, 8192, 2048), (128, 1, 8192, 2048), (8, 16, 131072, 128)]
)
def test_layouts_of_llama_3_fit_without_recomputation(dp, cp, seq_len, global_batch):
    run = ms.DistributedModel.solve(**LLAMA3, dp=dp, cp=cp, seq_len=seq_len, global_batch=global_batch)
    assert run.feasible and run.memory_per_device < run.memory_per_device / run.memory_utilization
    kept = ms.DistributedModel.solve(
        **{**LLAMA3, "assume": "megatron_lm"}, dp=dp, cp=cp, seq_len=seq_len, global_batch=global_batch
    )
    assert kept.memory_activations > 1.2 * run.memory_activations  # the product of a gate is kept, too


@pytest.mark.parametrize(("dp", "cp", "seq_len", "global_batch"), [(128, 1, 8192, 2048), (8, 16, 131072, 128)])
@pytest.mark.parametrize("virtual_stages", [1, 2, 4, 8])
def test_layouts_on_16_384_devices_fit_with_plain_assumptions(dp, cp, seq_len, global_batch, virtual_stages):
    call = {**LLAMA3, "assume": None, "virtual_stages": virtual_stages, "zero_stage": 1}
    run = ms.DistributedModel.solve(**call, dp=dp, cp=cp, seq_len=seq_len, global_batch=global_batch)
    assert run.feasible and run.n_accelerators == 16384


def test_the_optimizer_finds_what_was_run():
    found = ms.ParallelismOptimizer.solve(
        **{**LLAMA3, "virtual_stages": [1, 2, 4, 8]},
        n_accelerators=8192,
        cp=1,
        ep=1,
        micro_batch=1,
        sequence_parallel=1,
        schedule="1f1b",
        recompute="none",
        seq_len=8192,
        global_batch=2048,
    )
    assert found.feasible and (int(found.dp), int(found.virtual_stages)) == (64, 8)


#: layouts that papers print, with what their frameworks do where it is not the default
PUBLISHED = {
    "Nemotron-4 340B, arXiv:2406.11704": {
        "model": {"n_layers": 96, "hidden": 18432, "n_heads": 96, "n_kv_heads": 8, "head_dim": 192, "vocab": 256000}
        | {"gated_ffn": 0, "ffn_hidden": 73728, "tied_embeddings": 0},
        "hardware": "h100",
        "tp": 8,
        "pp": 12,
        "dp": [16, 32, 64],
        "virtual_stages": 8,
        "global_batch": 2304,
        "seq_len": 4096,
    },
    "MegaScale 175B, arXiv:2402.15627": {
        "model": "gpt3_175b",
        "hardware": "a100_sxm4_80gb",
        "tp": 8,
        "pp": 8,
        "dp": [4, 192],
        "virtual_stages": 6,
        "global_batch": 6144,
        "seq_len": 2048,
    },
    "MT-NLG 530B, arXiv:2201.11990": {
        "model": {"n_layers": 105, "hidden": 20480, "n_heads": 128, "n_kv_heads": 128, "head_dim": 160, "vocab": 51200}
        | {"gated_ffn": 0, "ffn_hidden": 81920, "tied_embeddings": 1},
        "hardware": "a100_sxm4_80gb",
        "tp": 8,
        "pp": 35,
        "dp": [8, 10, 12],
        "global_batch": 1920,
        "seq_len": 2048,
        "recompute": "full",
        "zero_stage": 0,
        "attention": "unfused",
        "sequence_parallel": 0,
    },
    "BLOOM 176B, arXiv:2211.05100": {
        "model": {"n_layers": 70, "hidden": 14336, "n_heads": 112, "n_kv_heads": 112, "head_dim": 128, "vocab": 250880}
        | {"gated_ffn": 0, "ffn_hidden": 57344, "tied_embeddings": 1},
        "hardware": "a100_sxm4_80gb",
        "tp": 4,
        "pp": 12,
        "dp": 8,
        "micro_batch": 2,
        "global_batch": 2048,
        "seq_len": 2048,
        "recompute": "full",
        "attention": "unfused",
        "sequence_parallel": 0,
    },
    "OPT 175B, arXiv:2205.01068": {
        "model": "opt_175b",
        "hardware": "a100_sxm4_80gb",
        "tp": 8,
        "dp": 124,
        "micro_batch": 8,
        "global_batch": 992,
        "seq_len": 2048,
        "recompute": "full",
        "zero_stage": 3,
        "attention": "unfused",
        "sequence_parallel": 0,
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_layouts_fit(name):
    run = dict(PUBLISHED[name])
    if isinstance(run["model"], dict):
        run["model"] = ms.Workload(name=name, **run["model"])
    assert ms.DistributedModel.solve(**run).feasible.all()


LLAMA8 = workload_record(model("llama3_1_8b"))
SIZES = {
    "seq_len": 2048.0,
    "tp": 1.0,
    "sequence_parallel": 0.0,
    "attention": 2,
    "ffn_width": 14336.0,
    "copies": 0.0,
    "stored_values": 3.0,
    "activation_bytes": 2.0,
    "gemm_input_bytes": 1.0,
    "wide_bytes": 4.0,
}


def test_inputs_of_layers_on_the_host():
    here = memory.layer_activations(LLAMA8, recompute=Recompute.FULL, **SIZES)
    there = memory.layer_activations(LLAMA8, recompute=Recompute.FULL, inputs_on_host=1.0, **SIZES)
    assert float(here.stored) == float(there.moved) == 2 * 4096 and float(there.stored) == float(here.moved) == 0
    assert float(there.working - here.working) == 2 * 2 * 4096  # one leaves, one is used
    for recompute in (Recompute.NONE, Recompute.SELECTIVE, Recompute.OFFLOAD):
        same = [memory.layer_activations(LLAMA8, recompute=recompute, inputs_on_host=s, **SIZES) for s in (0.0, 1.0)]
        assert [float(a) for a in same[0]] == [float(b) for b in same[1]]


def test_inputs_on_the_host_cost_time_where_the_link_is_slow():
    run = {"model": "llama3_1_8b", "hardware": "h100", "dp": 8, "global_batch": 8, "seq_len": 8192}
    plain, fast, slow = (
        ms.DistributedModel.solve(**run, recompute="full", **more)
        for more in ({}, {"inputs_on_host": 1}, {"inputs_on_host": 1, "host_bandwidth": 1e9})
    )
    assert fast.memory_activations < plain.memory_activations
    assert float(plain.step_time) == float(fast.step_time) < float(slow.step_time)


def test_inputs_of_activation_functions_in_a_narrow_format():
    """A gate and an up projection of 14,336 values, one byte each less; their product was narrow before."""
    for recompute, values in ((Recompute.NONE, 2), (Recompute.SELECTIVE, 2)):
        wide, narrow = (
            float(memory.layer_activations(LLAMA8, recompute=recompute, narrow_kept=n, **SIZES).stored)
            for n in (0.0, 1.0)
        )
        assert wide - narrow == values * 14336


def test_a_gate_whose_product_is_computed_again():
    """Both halves are kept, with or without selective recomputation, which drops the norms' outputs besides."""
    kept = {
        (recompute, values): float(
            memory.layer_activations(
                LLAMA8, recompute=recompute, **{**SIZES, "stored_values": values, "gemm_input_bytes": 2.0}
            ).stored
        )
        for recompute in (Recompute.NONE, Recompute.SELECTIVE)
        for values in (2.0, 3.0, 4.0)
    }
    assert kept[Recompute.NONE, 3.0] - kept[Recompute.NONE, 2.0] == 2 * 14336
    assert kept[Recompute.SELECTIVE, 2.0] == kept[Recompute.SELECTIVE, 3.0] == kept[Recompute.SELECTIVE, 4.0]
    assert kept[Recompute.NONE, 2.0] - kept[Recompute.SELECTIVE, 2.0] == 2 * 2 * 4096


def test_tokens_at_experts_are_kept_as_their_products_read_them():
    routed = {**SIZES, "copies": 8.0}
    sixteen, eight = (
        float(memory.layer_activations(LLAMA8, recompute=Recompute.NONE, **{**routed, "gemm_input_bytes": w}).stored)
        - float(memory.layer_activations(LLAMA8, recompute=Recompute.NONE, **{**SIZES, "gemm_input_bytes": w}).stored)
        for w in (2.0, 1.0)
    )
    assert (sixteen, eight) == (8 * 4096 * 2, 8 * 4096)


def test_shards_that_are_the_masters():
    """16 bytes a parameter in place of 18, from ZeRO-3 on only."""
    plan = {"tp": 1.0, "cp": 1.0, "dp": 8.0, "pp": 1.0, "ep": 1.0, "expert_tp": None, "sequence_parallel": 0.0}
    plan |= {"schedule": 0, "virtual_stages": 1.0, "n_accelerators": 8.0, "shard_size": None}
    bf16 = format_record(Precision.BF16)
    for zero_stage, masters, expected in ((3.0, 0.0, 18 / 8), (3.0, 1.0, 16 / 8), (2.0, 1.0, 2 + 16 / 8)):
        states = training_memory.stage_states(
            layout(**plan, zero_stage=zero_stage),
            bf16,
            Assumptions(sharded_masters=masters),
            1e9,
            0.0,
            experts=False,
            optimizer_offload=0.0,
        )
        assert float(sum(states)) == pytest.approx(expected * 1e9, rel=1e-12)


def test_a_tiled_loss_and_planned_memory():
    run = {"model": "llama3_1_8b", "hardware": "h200", "dp": 8, "zero_stage": 3, "global_batch": 8, "seq_len": 65536}
    run |= {"recompute": "full"}
    whole, tiled, planned = (
        float(ms.DistributedModel.solve(**run, **more).memory_activations)
        for more in ({}, {"loss_tile": 2.0**30}, {"planned_memory": 1})
    )
    head = 65536 * (4 * 4096 + 8 * 128256)
    assert whole - tiled == pytest.approx(head - 2.0**30, rel=1e-9)
    rest = whole - head  # what layers keep, and the one that is computed
    kept = 32 * 65536 * 2 * 4096
    assert planned == pytest.approx(kept + max(head, rest - kept), rel=1e-9)


def test_no_mechanism_makes_memory_grow():
    base = {"model": "deepseek_v3_671b", "hardware": "h100", "tp": 1, "pp": 16, "ep": 64, "dp": 128, "precision": "fp8"}
    base |= {"global_batch": 2048, "seq_len": 4096, "zero_stage": [1, 3], "recompute": ["none", "selective", "full"]}
    held = ms.DistributedModel.solve(**base).memory_per_device
    for name in ("narrow_kept", "sharded_masters", "planned_memory"):
        less = ms.DistributedModel.solve(**base, **{name: 1}).memory_per_device
        assert bool((less <= held).all()), name


def test_measured_rows_say_which_mechanism_they_used():
    table = pd.read_csv(TABLES / "trillium.csv")
    offloaded = table.notes.str.contains("layer inputs")
    assert (table.framework.str.contains("inputs_on_host") == offloaded).all()
    problem = Problem(read(TABLES / "trillium.csv", None))
    assert len(problem.kept) == len(table) and np.isfinite([r.measured["step_time"] for r in problem.kept]).all()


@pytest.mark.parametrize(
    ("tp", "sequence_parallel", "per_layer"),
    [
        (1, 0, lambda s, h, a, t: s * h * (34 + 5 * a * s / h)),
        (8, 0, lambda s, h, a, t: s * h * (10 + 24 / t + 5 * a * s / (h * t))),
        (8, 1, lambda s, h, a, t: s * h / t * (34 + 5 * a * s / h)),
    ],
)
def test_activations_by_hand_where_attention_is_not_fused(tp, sequence_parallel, per_layer):
    """Korthikanti et al. 2022 (arXiv:2205.05198), equations 1, 2 and 4, for GPT-3; the head's two inputs come on top."""
    run = ms.DistributedModel.solve(
        model="gpt3_175b",
        hardware="a100",
        tp=tp,
        sequence_parallel=sequence_parallel,
        micro_batch=2,
        global_batch=2,
        seq_len=2048,
        attention="unfused",
        training_logit_bytes=0,
    )
    s, b, h, a, layers = 2048, 2, 12288, 96, 96
    split = tp if sequence_parallel else 1
    head = b * s * 4 * h / split
    gathered = 2 * 2 * b * s * h * (1 - 1 / split)
    expected = b * layers * per_layer(s, h, a, tp) + head + gathered
    assert float(run.memory_activations) == pytest.approx(expected, rel=1e-9)


def test_a_micro_batch_is_whole():
    run = {"model": "gpt3_175b", "hardware": "a100", "tp": 8, "pp": 8, "dp": 1, "global_batch": 64, "seq_len": 2048}
    with pytest.raises(ValueError, match=r"micro_batch=1\.5: sequences per micro-batch must be a whole number"):
        ms.DistributedModel.solve(**run, micro_batch=1.5)
    assert ms.DistributedModel.solve(**run, micro_batch=3).limit == ms.schema.codes.Limit.SHAPE  # no whole rounds
