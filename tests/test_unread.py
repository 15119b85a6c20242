"""Inputs that are given and not read: said, with the one that decides in their place."""

import warnings

import pytest

import mlsysim as ms

SERVED = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 777}


def said(resolver, **inputs):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        answer = resolver.solve(**inputs)
    told = [str(one.message) for one in found]
    assert answer.attrs.get("unread", "") == "; ".join(told)
    return told


@pytest.mark.parametrize(
    ("resolver", "inputs", "told"),
    [
        (
            ms.ContinuousBatchingModel,
            {**SERVED, "arrival_rate": 1, "users": 5},
            ["users is given, and not read beside arrival_rate"],
        ),
        (
            ms.ContinuousBatchingModel,  # 1 is folded into the physics, and told all the same
            {**SERVED, "users": [1, 2], "think_time": 1, "n_requests": 1},
            ["n_requests is given, and not read beside users"],
        ),
        (
            ms.ContinuousBatchingModel,
            {**SERVED, "think_time": 3},
            ["think_time is given, and not read by any output of ContinuousBatchingModel here"],
        ),
        (
            ms.ScalingModel,
            {"compute_budget": 1e22, "hardware": "h100"},
            ["hardware is given, and not read by any output of ScalingModel here"],
        ),
        (
            ms.EconomicsModel,
            {"hardware": "h100", "region": "fra", "duration": "30 days", "mem_capacity": "80 GB"},
            ["mem_capacity is given, and not read by any output of EconomicsModel here"],
        ),
        (
            ms.ReliabilityModel,
            {"fleet": "dgx_h100", "job_duration": "3 days", "restore_time": "200 s", "restart_time": "500 s"},
            ["restore_time is given, and not read beside restart_time"],
        ),
    ],
)
def test_what_nothing_reads_is_said(resolver, inputs, told):
    assert said(resolver, **inputs) == told


@pytest.mark.parametrize(
    ("resolver", "inputs"),
    [
        (ms.ContinuousBatchingModel, {**SERVED, "arrival_rate": 1, "think_time": 0}),  # holds anyway
        (ms.ServingModel, {**SERVED, "link_bandwidth": ["100 GB/s", "200 GB/s"]}),  # read, of no effect on one device
        (ms.ServingModel, {**SERVED, "ep": 1, "textbook": True}),
        (ms.ContinuousBatchingModel, {**SERVED, "length_law": "exponential", "output_cv": 1.0}),
        (ms.SustainabilityModel, {"hardware": "h100", "region": "fra", "duration": "30 days"}),
    ],
)
def test_what_is_read_but_of_no_effect_here_is_not(resolver, inputs):
    assert said(resolver, **inputs) == []


def test_an_answer_asked_again_with_what_it_assumed_says_nothing():
    call = {**SERVED, "arrival_rate": 1}
    assumed = ms.ContinuousBatchingModel.solve(**call).mlsysim.assumed
    assert said(ms.ContinuousBatchingModel, **{**call, **assumed}) == []


def test_every_question_says_it():
    call = {**SERVED, "arrival_rate": [1, 2], "users": 5}
    with pytest.warns(UserWarning, match="users is given, and not read beside arrival_rate"):
        ms.ContinuousBatchingModel.best("itl", **call)
    with pytest.warns(UserWarning, match="users is given, and not read beside arrival_rate"):
        ms.ContinuousBatchingModel.pareto(minimize=["itl", "ttft"], **call)
