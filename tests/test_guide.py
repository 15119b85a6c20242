"""The guide, row by row: its question in its own words through the command line, a value that was published or worked by hand,
and what the screen must say."""

import json
import math

import pytest
from terminal import runner

from mlsysim.cli.commands import app
from mlsysim.zoo import hardware, model

GIB, DAY, YEAR = 2.0**30, 86400.0, 365.25 * 86400.0


def ask(command, *words):
    """The outputs and coordinates of an answer as numbers or labels, and what stands on the screen."""
    told = runner().invoke(app, [command, *words, "--json"])
    assert told.exit_code in (0, 2), told.stderr
    answer = json.loads(told.stdout)
    found = {name: entry["data"] for part in ("coords", "data_vars") for name, entry in answer[part].items()}
    screen = runner().invoke(app, [command, *words], env={"COLUMNS": "400"})
    return found, screen.stdout + screen.stderr


def weights(name, bytes_each=2.0):
    """Bytes of a dense model that a token reads: all but the table of the inputs."""
    row = model(name)
    table = 0.0 if row["tied_embeddings"] else row["vocab"] * row["hidden"]
    return bytes_each * (row["total_params"] - table)


def cache_per_token(name, bytes_each=2.0):
    row = model(name)
    return bytes_each * 2 * row["n_layers"] * row["n_kv_heads"] * row["head_dim"]


# --- domain 1: node ------------------------------------------------------------------------------------


def test_is_my_model_memory_bound():
    """By hand: a token reads weights and cache once at 3.35 TB/s."""
    call = ("SingleNodeModel", "model=llama3_1_8b", "hardware=h100", "batch_size=1")
    found, screen = ask("solve", *call, "phase=decode", "textbook=1")
    by_hand = (weights("llama3_1_8b") + 2048 * cache_per_token("llama3_1_8b")) / 3.35e12
    assert found["latency"] == pytest.approx(by_hand, rel=1e-3) and found["bottleneck"] == "memory"
    assert "bottleneck" in screen and "precision=bf16" in screen and "seq_len=2048" in screen
    bare, screen = ask("solve", *call)
    assert bare["decode_bottleneck"] == "memory" and "phase=prefill" in screen
    assert {"latency", "throughput", "bottleneck"} <= set(bare)


def test_what_mfu_will_my_workload_achieve():
    """llm-foundry, MPT-7B on 128 H100, 2,048 tokens, micro-batches of 6: 0.457 of peak (its benchmark tables of 2023)."""
    words = ("model=mpt_7b", "hardware=h100", "workload_type=training", "seq_len=2048", "batch_size=6")
    found, _ = ask("solve", "EfficiencyModel", *words)
    assert found["mfu"] == pytest.approx(0.457, rel=0.2)
    assert found["achievable_flops"] == pytest.approx(found["mfu"] * 989.4e12, rel=1e-3)
    _, screen = ask("solve", "EfficiencyModel", *words[:3])
    assert "h100_sxm5_80gb" in screen and "batch_size=1" in screen and "seq_len=2048" in screen


def test_can_i_serve_this_llm_on_this_gpu():
    """By hand: 64 sequences of 4,096 tokens on four devices; and one A100 does not hold the 70B."""
    call = (
        "ServingModel",
        "model=llama3_1_70b",
        "hardware=h100",
        "tp=4",
        "batch_size=64",
        "seq_len=4096",
        "output_len=1",
        "textbook=1",
    )
    found, _ = ask("solve", *call)
    read = weights("llama3_1_70b") + 64 * 4096 * cache_per_token("llama3_1_70b")
    assert found["itl"] == pytest.approx(read / (4 * 3.35e12), rel=2e-3)
    assert found["kv_cache"] == pytest.approx(64 * 4097 * cache_per_token("llama3_1_70b"), rel=1e-3)
    none, screen = ask("solve", "ServingModel", "model=llama-70b", "hardware=a100", "seq_len=2048")
    assert none["limit"] == "memory" and not none["feasible"]
    assert "model=llama3_1_70b" in screen and "hardware=a100_sxm4_80gb" in screen and "memory" in screen


def test_what_throughput_with_paged_attention():
    """Little's law: what is in flight is arrivals times the time that each stays."""
    call = ("ContinuousBatchingModel", "model=llama3_1_8b", "hardware=h100", "seq_len=2048", "max_batch=64")
    found, screen = ask("solve", *call)
    assert found["tokens_per_s"] / found["throughput"] == pytest.approx(256.0, rel=1e-6)
    assert found["throughput"] * 255 * found["itl"] == pytest.approx(64.0, rel=0.01)
    assert 0.0 <= found["fragmentation"] < 0.05
    assert "output_len=256" in screen


def test_cerebras_wafer_scale_inference():
    """Cerebras, August and October 2024: 1,800 tokens/s a user on Llama 3.1 8B, 450 on 70B."""
    for name, published in (("llama3_1_8b", 1800.0), ("llama3_1_70b", 450.0)):
        words = ("model=" + name, "hardware=cerebras_wse3", "seq_len=1024", "batch_size=1", "max_parts=4")
        found, screen = ask("solve", "WeightStreamingModel", *words)
        assert found["throughput"] == pytest.approx(published, rel=0.1) and found["optimal_batch"] >= 1
        assert "phase=decode" in screen
        served, _ = ask("solve", "ServingModel", *words[:3], "batch_size=1")
        if name == "llama3_1_8b":
            assert served["tokens_per_s"] == pytest.approx(found["throughput"], rel=0.02)


def test_will_i_meet_p99_latency_slas():
    """M/M/1 at 0.8: waits beyond x with probability 0.8 exp(-0.2 x / S); p99 of the response is S ln(100) / 0.2."""
    call = ("TailLatencyModel", "arrival_rate=8", "service_latency=100 ms", "replicas=1")
    found, screen = ask("solve", *call)
    assert found["wait_p99"] == pytest.approx(0.1 / 0.2 * math.log(0.8 / 0.01), rel=1e-6)
    assert found["response_p99"] == pytest.approx(0.1 / 0.2 * math.log(100.0), rel=1e-6)
    assert found["wait_p50"] == pytest.approx(0.1 / 0.2 * math.log(0.8 / 0.5), rel=1e-6)
    assert "service_cv=1" in screen


def test_how_slow_when_weights_spill_to_host_ram():
    """By hand: what does not fit goes over a link of 63 GB/s once a pass."""
    found, _ = ask("solve", "SingleNodeModel (offload)", "model=llama3_1_70b", "hardware=h100")
    assert found["spill_bytes"] > 50e9 and found["effective_bandwidth"] < 3.35e12
    assert found["offload_latency"] >= found["spill_bytes"] / 63e9
    assert found["offload_latency"] == pytest.approx(found["spill_bytes"] / (63e9 * 0.87), rel=0.01)


# --- domain 2: data ------------------------------------------------------------------------------------


def test_is_my_storage_the_bottleneck():
    """By hand: 2.2 of 2.0 GB/s is 1.1, and a step waits for 1 - 1 / 1.1 of the time."""
    call = ("DataModel", "workload_data_rate=2.2 GB/s", "hardware=h100", "storage_bandwidth=2 GB/s")
    found, screen = ask("solve", *call)
    assert found["utilization"] == pytest.approx(1.1) and found["is_stalled"]
    assert found["stall_fraction"] == pytest.approx(1.0 - 1.0 / 1.1)
    bare, _ = ask("solve", *call[:3])
    assert bare["utilization"] == pytest.approx(2.2 / 63.0) and not bare["is_stalled"]
    assert "utilization" in screen and "is_stalled" in screen


def test_is_preprocessing_starving_my_gpu():
    """By hand: 256 samples at 2,000 a second take 128 ms; a step of 100 ms waits."""
    call = ("TransformationModel", "batch_size=256", "cpu_throughput=2000")
    found, screen = ask("solve", *call)
    assert found["transform_time"] == pytest.approx(0.128)
    assert "samples per second" in screen and "step_time" in screen
    told, _ = ask("solve", *call, "step_time=100 ms")
    assert told["is_bottleneck"] and told["slowdown"] == pytest.approx(1.28)


def test_what_topology_should_i_use():
    """Al-Fares 2008: k = 48 carries 27,648 hosts on 2,880 switches; a DGX H100 has eight ports of 400 Gb/s."""
    words = ("topology=fat_tree", "radix=48", "rails=1", "port_bandwidth=1 GB/s", "inter_efficiency=1")
    found, _ = ask("solve", "TopologyModel", "fleet=dgx_h100", "num_nodes=27648", *words)
    assert found["n_switches"] == 2880 and found["bisection_bw"] == pytest.approx(13824e9)
    dgx, screen = ask(
        "solve", "TopologyModel", "fabric=infiniband", "topology=fat_tree", "fleet=dgx_h100", "num_nodes=128"
    )
    assert 0.85 * 400e9 <= dgx["effective_bw"] <= 400e9 and dgx["n_switches"] == 48
    assert "fabric=infiniband_ndr" in screen
    one, _ = ask("solve", "TopologyModel", "fleet=dgx_h100", "num_nodes=64", "message_size=1 GB")
    assert one["bus_bandwidth"] < one["peak_bus_bandwidth"] and one["network_ridge_point"] > 0


# --- domain 3: algorithm -------------------------------------------------------------------------------


def test_what_is_my_optimal_model_size():
    """Hoffmann 2022 as refitted by Besiroglu 2024: 29.4 B parameters for 1e23 FLOP; C = 6 N D by construction."""
    found, _ = ask("solve", "ScalingModel", "compute_budget=1e23")
    assert found["optimal_params"] == pytest.approx(2.94461e10, rel=1e-4)
    assert 6 * found["optimal_params"] * found["optimal_tokens"] == pytest.approx(1e23)


def test_how_much_does_cot_reasoning_cost():
    """By hand: the prompt once, then every token of every step one after another."""
    call = ("InferenceScalingModel", "model=llama3_1_8b", "hardware=h100", "reasoning_steps=8")
    found, screen = ask("solve", *call)
    tokens = 8 * 256
    assert found["total_reasoning_time"] == pytest.approx(found["ttft"] + tokens * found["itl"], rel=2e-3)
    assert "seq_len=1024" in screen


def test_is_quantization_or_pruning_worth_it():
    """By hand: 4 bits with a scale of 16 in groups of 128 are 16 / 4.125; 2:4 keeps half and its indices, 16 / 9."""
    call = ("CompressionModel", "model=llama3_1_8b", "hardware=h100")
    found, _ = ask("solve", *call, "method=quantization", "bits=4", "group_size=128")
    assert found["compression_ratio"] == pytest.approx(16 / 4.125, rel=1e-3) and found["accuracy_delta"] < 0
    pruned, _ = ask("solve", *call, "method=prune_2_4")
    assert pruned["compression_ratio"] == pytest.approx(16 / 9, rel=1e-3)
    vision, screen = ask(
        "solve", "CompressionModel", "model=resnet50", "hardware=h100", "method=pruning", "sparsity=0.5"
    )
    assert -0.03 < vision["accuracy_delta"] <= 0.0, "a network that is trained again loses a point or two"
    assert "assumed" in screen


# --- domain 4: fleet -----------------------------------------------------------------------------------


def test_how_many_gpus_do_i_need():
    """Llama 3 405B on 8,192 H100 (arXiv:2407.21783, table 4): tp 8, pp 16, dp 64, MFU 0.43, and it fits."""
    layout = ("tp=8", "pp=16", "dp=64", "virtual_stages=8", "seq_len=8192", "global_batch=2048", "assume=meta_llama")
    found, _ = ask("solve", "DistributedModel", "model=llama3_1_405b", "fleet=dgx_h100", *layout)
    assert found["mfu"] == pytest.approx(0.43, rel=0.1) and found["feasible"]
    assert 0 < found["scaling_efficiency"] <= 1 and found["communication_fraction"] > 0
    bare, screen = ask("solve", "DistributedModel", "model=llama3_1_8b", "fleet=dgx_h100", "tp=8", "pp=1", "dp=1")
    assert bare["feasible"] and "global_batch=2048" in screen and "seq_len=2048" in screen


def test_will_my_training_job_complete():
    """Llama 3 (arXiv:2407.21783, section 3.3.4): 419 unexpected interruptions of 16,384 H100 in 54 days."""
    call = ("ReliabilityModel", "fleet=dgx_h100", "n_accelerators=16384", "job_duration=54 days")
    found, _ = ask("solve", *call)
    assert found["mtbf"] == pytest.approx(54 * DAY / 419, rel=1e-3) and found["failure_probability"] == pytest.approx(
        1.0
    )
    assert found["mtbf_low"] < found["mtbf"] < found["mtbf_high"]
    bare, screen = ask("solve", *call[:2], call[3])
    assert "n_accelerators=8 (one node)" in screen and bare["mtbf"] == pytest.approx(found["mtbf"] * 2048, rel=1e-3)


def test_how_busy_is_my_cluster():
    """M/D/1 at 0.4 (service of a day): waits rho / (2 (1 - rho)) services, 28,800 s."""
    call = ("OrchestrationModel", "fleet=dgx_h100", "arrival_rate=0.4/day", "avg_duration=1 day")
    found, screen = ask("solve", *call, "duration_cv=0")
    assert found["avg_wait_time"] == pytest.approx(28800.0) and found["utilization"] == pytest.approx(0.4)
    assert "devices_per_job is the whole cluster" in screen


# --- domain 5: operations ------------------------------------------------------------------------------


def test_what_will_this_cost_over_three_years():
    """By hand: the electricity of a year at a price; and the parts make up the whole."""
    call = ("EconomicsModel", "fleet=dgx_h100", "duration_days=1095", "kwh_price=0.10")
    found, screen = ask("solve", *call)
    power = found["electricity_cost"] / (1095 * 24 * 0.10 / 1e3)
    assert 8 * 700 < power < 8 * 700 * 2.2
    assert found["capex"] + found["opex"] == pytest.approx(found["tco"])
    assert "n_accelerators=8 (one node)" in screen and "compute_activity" in screen


def test_where_should_i_train_to_minimise_carbon():
    """By hand: 1,024 devices x 700 W x 720 h x 1.2 at 0.4 kg/kWh, hosts and network left out: 247,726 kg."""
    words = (
        "compute_utilization=1",
        "host_power_fraction=0",
        "network_power_fraction=0",
        "pue=1.2",
        "carbon_intensity=400 g/kWh",
    )
    call = ("SustainabilityModel", "hardware=h100", "n_accelerators=1024", "duration_days=30", "region=usa", *words)
    found, _ = ask("solve", *call)
    assert found["carbon_operational"] == pytest.approx(1024 * 0.7 * 720 * 1.2 * 0.4, rel=1e-6)
    bare, screen = ask(
        "solve", "SustainabilityModel", "fleet=dgx_h100", "duration_days=30", "datacenter=google", "region=swe"
    )
    assert {"energy", "carbon", "water"} <= set(bare) and "datacenter=google_global_2024" in screen


def test_how_much_mfu_do_i_lose_to_checkpoints():
    """By hand: 14 bytes a parameter under Adam; 987.8 GB at 25 GB/s take 39.5 s."""
    call = ("CheckpointModel", "model=llama3_1_70b", "hardware=h100", "optimizer=adam")
    found, screen = ask("solve", *call)
    assert found["checkpoint_size"] == pytest.approx(14 * model("llama3_1_70b")["total_params"], rel=1e-4)
    slow, _ = ask("solve", *call, "checkpoint_bandwidth=25 GB/s", "checkpoint_interval=1 hour")
    write = slow["checkpoint_size"] / 25e9
    assert slow["checkpoint_write_time"] == pytest.approx(write)
    assert slow["mfu_penalty"] == pytest.approx(write / (3600 + write), rel=1e-6)
    assert "n_accelerators=8 (one node)" in screen


def test_what_is_the_cost_of_differential_privacy():
    """The cost falls with epsilon; noise 1.1, 60,000 samples, batches of 256, 60 epochs: 3.01 (TensorFlow Privacy, tutorial)."""
    found, screen = ask("solve", "ResponsibleEngineeringModel", "base_training_time=10 days", "epsilon=1,8,100")
    slower = found["dp_slowdown"]
    assert slower[0] > slower[1] > slower[2] > 1
    assert "dataset_size" in screen and "batch_size" in screen and "epochs" in screen
    words = (
        "noise_multiplier=1.1",
        "dataset_size=60000",
        "batch_size=256",
        "epochs=60",
        "delta=1e-5",
        "conversion=classic",
    )
    spent, _ = ask("solve", "ResponsibleEngineeringModel", "base_training_time=10 days", *words)
    assert spent["epsilon_spent"] == pytest.approx(3.01, rel=0.005)


# --- tiers 2 and 3 -------------------------------------------------------------------------------------


def test_which_parameter_should_i_invest_in():
    """Of a step that reads memory all the time, by hand: one more percent of bandwidth is one percent of time."""
    call = (
        "SensitivitySolver",
        "model=llama3_1_8b",
        "hardware=h100",
        "perturbation_pct=1",
        "phase=decode",
        "textbook=1",
    )
    found, screen = ask("solve", *call)
    assert found["binding_constraint"] == "mem_bandwidth"
    by_name = dict(zip(found["parameter"], found["sensitivities"]))
    assert by_name["mem_bandwidth"] == pytest.approx(-1.0, abs=0.01) and "phase" not in screen.split("assumed:")[1]


def test_what_hardware_do_i_need_for_this_sla():
    """By hand: a token in 20 ms reads weights and cache at 0.7639 TB/s."""
    found, screen = ask(
        "solve", "SynthesisSolver", "model=llama3_1_8b", "target_latency=20 ms", "phase=decode", "textbook=1"
    )
    read = weights("llama3_1_8b") + 2048 * cache_per_token("llama3_1_8b")
    assert found["required_bw"] == pytest.approx(read / 0.02, rel=2e-3) and "required_flops" in found
    assert "unlimited device" in screen


def test_what_the_program_itself_makes_up_is_not_given_by_you():
    _, screen = ask("solve", "SynthesisSolver", "model=llama3_1_70b", "target_latency=50ms")
    assert "unlimited device" in screen and "given by you" not in screen


def test_a_limit_without_an_amount_is_said_once():
    words = ("model=llama3_1_70b", "hardware=h100", "seq_len=2048", "max_batch=64")
    screen = ask("solve", "ContinuousBatchingModel", *words)[1]
    assert "memory stops 1 of 1; works with tp=2" in screen


def test_what_is_the_optimal_split():
    """Published A100 runs of GPT-3 reach 0.45 to 0.57 of peak (arXiv:2104.04473, 2205.05198): the optimum is not below."""
    found, screen = ask(
        "solve",
        "ParallelismOptimizer",
        "model=gpt3_175b",
        "cluster_size=1024",
        "hardware=a100",
        "recompute=none,selective",
    )
    assert found["tp"] * found["pp"] * found["dp"] * found["cp"] == 1024 and 0.45 < found["mfu"] < 0.7
    bare, screen = ask("solve", "ParallelismOptimizer", "model=llama3_1_8b", "cluster_size=16")
    assert bare["feasible"] and "hardware=h100_sxm5_80gb" in screen and "seq_len=2048" in screen


def test_what_max_batch_is_safe_for_my_sla():
    """What is promised is kept, and the next batch breaks it or does not fit."""
    found, screen = ask("solve", "BatchingOptimizer", "model=llama3_1_8b", "arrival_rate=10", "sla_latency=4 s")
    assert found["e2e_at_percentile"] <= 4.0 and found["found"] and found["tokens_per_s"] == pytest.approx(2560.0)
    assert "hardware=h100_sxm5_80gb" in screen and "seq_len=2048" in screen and "output_len=256" in screen


def test_where_should_i_build_my_datacenter():
    """Nobody does better in carbon than Paraguay's water power; a budget that nothing keeps is said so."""
    found, screen = ask("solve", "PlacementOptimizer", "fleet=dgx_h100", "duration_days=30", "budget=1e6")
    assert found["region"] == "pry" and found["tco"] <= 1e6 and "n_accelerators=8" in screen
    words, _ = ask("solve", "PlacementOptimizer", "fleet=dgx_h100", "training_duration=30 days", "budget=1e6")
    assert words["tco"] == found["tco"]
    none, screen = ask("solve", "PlacementOptimizer", "fleet=dgx_h100", "duration_days=30", "budget=1")
    assert not none["found"] and "budget" in screen


# --- chains --------------------------------------------------------------------------------------------


def test_can_i_serve_llama_70b_on_four_h100_within_budget():
    words = (
        "model=Llama-70B",
        "hardware=h100",
        "tp=4",
        "seq_len=2048",
        "batch_size=32",
        "duration_days=1095",
        "region=usa",
    )
    found, screen = ask("solve", "ServingModel+EconomicsModel", *words, "n_accelerators=4")
    assert found["feasible"] and found["ttft"] > 0 and 0.005 < found["itl"] < 0.05
    assert 4 * 20e3 < found["tco"] < 4 * 100e3 and "model=llama3_1_70b" in screen


def test_what_is_the_most_sustainable_way_to_train_gpt3():
    split = (
        "model=gpt3_175b",
        "cluster_size=1024",
        "hardware=a100",
        "tokens=300e9",
        "seq_len=2048",
        "global_batch=1536",
    )
    best, _ = ask("solve", "ParallelismOptimizer", *split, "recompute=selective", "schedule=1f1b")
    assert 15 * DAY < best["training_time"] < 40 * DAY, "34 days as published in 2021, without selective recomputation"
    run = ("hardware=a100", "n_accelerators=1024", f"duration={best['training_time']:.0f} s")
    found, screen = ask("solve", "PlacementOptimizer", *run)
    assert found["found"] and found["carbon"] < 552e3 and "region" in screen, (
        "552 t of Patterson 2021, on a dirtier grid"
    )


def test_should_i_use_a100s_or_h100s_for_inference():
    words = ("model=llama3_1_8b", "hardware=a100,h100", "arrival_rate=20", "sla_latency=6 s", "seq_len=1024")
    found, screen = ask("solve", "BatchingOptimizer", *words)
    hourly = [hardware(name)["hourly_price"] for name in ("a100", "h100")]
    by_hand = [n * price / (20 * 256) * 1e6 for n, price in zip(found["n_accelerators"], hourly)]
    assert found["usd_per_mtok"] == pytest.approx(by_hand, rel=1e-6)
    assert found["n_accelerators"][0] > found["n_accelerators"][1], "an H100 carries more"
    assert "a100_sxm4_80gb, h100_sxm5_80gb" in screen
