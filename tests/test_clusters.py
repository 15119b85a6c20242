"""Measured clusters of prefill and decode replicas: what is read, refused and filled in, and how far off it is."""

import re
from pathlib import Path

import pandas as pd
import pytest

from mlsysim.calibration import clusters, validate
from mlsysim.calibration.problem import Problem
from mlsysim.calibration.rules import Refused
from mlsysim.calibration.runs import read
from mlsysim.engine.draws import Draws

MEASURED = Path(__file__).parent.parent / "benchmarks" / "measured" / "disaggregated.csv"


def a_cluster(**changes):
    run = {
        "hardware": "b200",
        "model": "deepseek_r1_671b",
        "engine": "trtllm",
        "precision_weights": "nvfp4",
        "precision_kv": "fp8",
        "concurrency": 128,
        "requests_per_client": 10,
        "input_len": 1000,
        "output_len": 1000,
        "prefill_workers": 1,
        "prefill_gpus": 4,
        "prefill_tp": 1,
        "prefill_attention_dp": 4,
        "prefill_ep": 4,
        "prefill_chunk": 8192,
        "decode_workers": 2,
        "decode_gpus": 8,
        "decode_tp": 8,
        "decode_attention_dp": 1,
        "decode_ep": 8,
        "decode_max_batch": 32,
        "draft_len": 0,
        "ttft_ms": 500.0,
        "itl_ms": 10.0,
        "source": "somebody",
    }
    return {**run, **changes}


def asked(**changes):
    return clusters.question(read(pd.DataFrame([a_cluster(**changes)])).table.to_dict("records")[0])


def test_a_row_is_read_as_it_says():
    found = asked()
    assert (
        found.inputs["tp"] == 1
        and found.inputs["ep"] == 4
        and found.inputs["decode_tp"] == found.inputs["decode_ep"] == 8
    )
    assert (
        found.inputs["prefill_replicas"] == 1 and found.inputs["decode_replicas"] == 2 and found.inputs["users"] == 128
    )
    assert found.inputs["seq_len"] == 900 and found.inputs["max_batch"] == 32 and found.inputs["prefill_chunk"] == 8192
    assert found.measured == pytest.approx({"itl": 0.01, "ttft": 0.5, "e2e_latency": 0.5 + 899 * 0.01})


def test_blanks_follow_the_engine():
    found = asked(
        decode_max_batch=None, prefill_chunk=None, requests_per_client=None, draft_len=None, precision_kv=None
    )
    assert found.inputs["max_batch"] == 2048 and found.inputs["prefill_chunk"] == 8192
    assert found.inputs["requests_per_user"] == 10 and found.inputs["draft_len"] == 0


def test_experts_that_are_split_beside_several_groups_are_cut_by_tensor():
    groups = {"decode_tp": 1, "decode_attention_dp": 8}
    for stated, shared in ((1, 8.0), (8, 1.0), (2, 4.0), (None, 8.0)):
        found = asked(**groups, decode_ep=stated).inputs
        assert (found["decode_ep"], found["decode_expert_tp"]) == (8, shared)
    assert asked().inputs["decode_expert_tp"] == 1 and asked(decode_ep=1).inputs["decode_expert_tp"] == 8


def test_how_an_engine_deals_requests_to_its_attention_groups():
    """SGLang by a number drawn at random, servers that decode up to 0.5.6; TensorRT-LLM evenly."""
    of_sglang = {"engine": "sglang", "precision_weights": "fp8"}
    for version, decoding in (
        ("0.5.5.post2", "random"),
        ("0.5.6", "random"),
        ("0.5.7", "shared"),
        ("0.5.8.post1", "shared"),
    ):
        found = asked(**of_sglang, engine_version=version)
        assert (found.inputs["group_routing"], found.inputs["decode_group_routing"]) == ("random", decoding)
        assert found.assumed["joining_steps"] == found.assumed["prefill_scheduled_steps"] == 1.0
    found = asked()
    assert (found.inputs["group_routing"], found.inputs["decode_group_routing"]) == ("shared", "shared")
    assert "joining_steps" not in found.assumed and "prefill_scheduled_steps" not in found.assumed


def test_a_worker_that_stands_still_while_caches_come_in():
    assert [asked(blocking_receive=on).inputs["blocking_receive"] for on in (None, 0, 1)] == [0.0, 0.0, 1.0]
    waits, goes_on = (validate(pd.DataFrame([a_cluster(blocking_receive=on)]), sample=0).rows for on in (1, 0))
    longer = waits.predicted / goes_on.predicted - 1.0
    assert 0.0 < longer[waits.target == "itl"].iloc[0] < 0.1


def test_a_late_first_token_is_left_out():
    assert set(asked(ttft_suspect=1).measured) == {"itl"}


def test_copies_of_experts_make_a_layout_possible():
    """256 experts do not spread over 48 devices, 288 do; those of SGLang are of the first experts, not of the popular ones."""
    wide = {"engine": "sglang", "engine_version": "0.5.8", "hardware": "gb200_per_gpu", "precision_weights": "fp8"}
    wide |= {"prefill_gpus": 8, "prefill_attention_dp": 8, "prefill_ep": 8, "decode_max_batch": 4800}
    wide |= {"decode_workers": 1, "decode_gpus": 48, "decode_tp": 1, "decode_attention_dp": 48, "decode_ep": 48}
    assert asked(**wide, redundant_experts=32).assumed["redundant_relief"] == 0.0
    found = validate(pd.DataFrame([a_cluster(**wide), a_cluster(**wide, redundant_experts=32)]), sample=0)
    assert found.answered == 1 and list(found.refused.row) == [2] and "impossible" in found.refused.why.iloc[0]


def test_several_front_ends_deal_requests_out_at_random():
    assert asked().inputs["routing"] == asked(front_ends=1).inputs["routing"] == "shared"
    assert asked(front_ends=10).inputs["routing"] == "random"
    odd = pd.DataFrame([a_cluster(redundant_experts=0), a_cluster(front_ends=0), a_cluster(front_ends=1.5)])
    found = validate(odd, sample=0)
    assert (
        found.answered == 1
        and list(found.refused.row) == [3, 4]
        and found.refused.why.str.startswith("front_ends=").all()
    )


def test_a_stated_rate_is_a_target():
    assert asked(tokens_per_s_per_gpu=123.0).measured["tokens_per_s_per_device"] == 123.0


def test_rates_and_times_are_held_against_littles_law():
    """128 clients, 9.5 s a request, 900 tokens: 12,100 tokens/s over 20 devices, or over the 16 that decode."""
    request = 0.5 + 899 * 0.01
    everyone = 128 * 900 / request / 20
    for rate, measured, what in (
        (everyone, everyone, ""),
        (1.25 * everyone, everyone, "one of a device that decodes: 1.25 times"),
        (0.8 * everyone, 0.8 * everyone, "0.80 times clients .* start and end of the run"),
        (1.5 * everyone, 1.5 * everyone, "1.50 times clients .* more than the clients"),
    ):
        run = a_cluster(tokens_per_s_per_gpu=rate)
        assert asked(tokens_per_s_per_gpu=rate).measured["tokens_per_s_per_device"] == pytest.approx(measured)
        said = validate(pd.DataFrame([run]), sample=0).said
        assert bool(re.search(what, said.what.iloc[0]) if len(said) else not what), said


def test_wide_experts_of_sglang_are_deepeps():
    """Beyond a node its 8-bit experts are DeepGEMM's, in stages of their own; inside a node, and elsewhere, as of the engine."""
    wide = {"engine": "sglang", "engine_version": "0.5.8", "hardware": "gb200_per_gpu", "precision_weights": "fp8"}
    wide |= {"prefill_gpus": 8, "prefill_attention_dp": 8, "prefill_ep": 8}
    wide |= {"decode_workers": 1, "decode_gpus": 32, "decode_tp": 1, "decode_attention_dp": 32, "decode_ep": 32}
    assert (
        asked(**wide).assumed["expert_gemm_efficiency"] == 0.8 and asked(**wide).assumed["moe_layer_latency"] == 50e-6
    )
    assert asked(**{**wide, "engine": "trtllm"}).assumed["expert_gemm_efficiency"] == 0.48
    assert asked(**{**wide, "hardware": "h200", "moe_backend": "trtllm"}).assumed["expert_gemm_efficiency"] == 0.77
    inside = {"prefill_gpus": 4, "prefill_attention_dp": 4, "prefill_ep": 4, "decode_gpus": 4, "decode_attention_dp": 4}
    assert asked(**{**wide, **inside, "decode_ep": 4}).assumed["expert_gemm_efficiency"] == 0.48
    assert asked(**{**wide, "precision_weights": "nvfp4"}).assumed["moe_layer_latency"] == 50e-6


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"decode_gpus": 4}, "decode_gpus=4, but decode_tp=8 and decode_attention_dp=1 make a worker of 8"),
        ({"decode_workers": None}, "a cluster needs decode_workers"),
        ({"precision_weights": "fp3"}, "fp3"),
        ({"prefill_gpus": 1, "prefill_tp": 1, "prefill_attention_dp": 1, "prefill_ep": 1}, "do not fit 1 x"),
    ],
)
def test_what_cannot_be_is_refused_by_its_row(changes, why):
    with pytest.raises(Refused, match=why):
        asked(**changes)
    found = validate(pd.DataFrame([a_cluster(), a_cluster(**changes)]), sample=0)
    assert found.kind == "cluster" and found.answered == 1 and why[:20] in found.refused.why.iloc[0]


def test_rows_are_told_apart_by_slots_and_drafting():
    assert clusters.group(a_cluster()) == "slots full/plain"
    assert clusters.group(a_cluster(concurrency=57, draft_len=3)) == "slots free/drafted"
    assert clusters.group(a_cluster(decode_max_batch=None)) == "slots not stated/plain"


@pytest.fixture(scope="module")
def published():
    return validate(MEASURED)


def by_source(rows, target):
    rows = rows[rows.target == target]
    return (rows.predicted / rows.measured - 1.0).abs().groupby(rows.source).median()


def test_published_clusters_are_predicted_as_told(published):
    """Mean over ten sources of the median error; none of the rows was fitted to."""
    assert published.answered == 369 and not len(published.refused)
    most = {"itl": 0.081, "ttft": 0.225, "e2e_latency": 0.092, "tokens_per_s_per_device": 0.1}
    found = {target: float(by_source(published.rows, target).mean()) for target in most}
    assert all(found[target] <= most[target] for target in most), found


def test_clusters_are_predicted_where_no_stage_is_nearly_full(published):
    """Elsewhere first tokens are what Little's law leaves: 5 % of the time between tokens are 35 % of them."""
    problem = Problem(read(MEASURED))
    busy = {
        problem.runs.lines[int(row)]: share
        for part in problem.parts
        for row, share in zip(part.rows, part.values(["prefill_utilization"])["prefill_utilization"])
    }
    free = published.rows[published.rows.group.str.startswith("slots free")]
    free = free[free.row.map(lambda row: busy[int(row)] < 0.9)]
    assert (free.target == "ttft").sum() > 150
    most = {"itl": 0.07, "ttft": 0.245, "e2e_latency": 0.075, "tokens_per_s_per_device": 0.081}
    found = {target: float(by_source(free, target).mean()) for target in most}
    assert all(found[target] <= most[target] for target in most), found


def test_chunks_of_sglang_are_shared_by_attention_groups():
    stated = {"engine": "sglang", "engine_version": "0.5.8", "prefill_chunk": None}
    assert asked(**stated).inputs["prefill_chunk"] == 4096
    assert asked(**stated, hardware="h200", prefill_gpus=8, prefill_attention_dp=8, precision_weights="fp8").inputs[
        "prefill_chunk"
    ] == pytest.approx(1024)
    assert asked(prefill_chunk=None).inputs["prefill_chunk"] == 8192


def test_slots_that_are_not_stated_are_in_the_interval():
    """As often none waits as clients are 1.13 or 1.31 times the slots, who wait for up to a third of an answer."""
    stated, blank = (validate(pd.DataFrame([a_cluster(decode_max_batch=slots)])).rows for slots in (2048, None))
    assert (stated.predicted == blank.predicted).all()
    upper = {row.target: row.high / row.predicted for row in blank.itertuples()}
    known = {row.target: row.high / row.predicted for row in stated.itertuples()}
    assert upper["ttft"] > 4.0 * known["ttft"] and upper["e2e_latency"] > 1.05 * known["e2e_latency"]
    found = clusters.uncertain(a_cluster(decode_max_batch=None, concurrency=131))
    assert found["max_batch"] == (None, None, 57.0, 50.0)
    drawn = Draws(100).choice("max_batch", 4)
    assert [int((drawn == which).sum()) for which in range(4)] == [25] * 4


def test_intervals_hold_what_was_measured(published):
    rows = published.rows.dropna(subset=["low"])
    inside = ((rows.measured >= rows.low) & (rows.measured <= rows.high)).groupby(rows.target).mean()
    assert len(inside) == 4 and inside.between(0.7, 0.9).all(), inside
    unsaid = (
        pd.read_csv(MEASURED).iloc[::3].assign(decode_max_batch=None, moe_backend=None)
    )  # as if nobody had said them
    rows = validate(unsaid).rows.dropna(subset=["low"])
    assert rows.group.str.startswith("slots not stated").all()
    inside = ((rows.measured >= rows.low) & (rows.measured <= rows.high)).groupby(rows.target).mean()
    assert len(inside) == 4 and inside.between(0.7, 0.95).all(), inside
