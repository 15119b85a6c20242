"""What a call did not say: defaults follow the model and the device, and every answer tells what was taken."""

import numpy as np
import pytest
from terminal import runner

import mlsysim as ms
from mlsysim.schema.codes import Bottleneck, Limit, Precision

ENCODERS = ["bert_large", "vit_b16", "whisper_large_v3", "t5_base"]


def told(answer):
    return answer.attrs["assumed"]


@pytest.mark.parametrize("model", [*ENCODERS, "gpt2_small"])
def test_a_sequence_nobody_gave_is_one_that_the_model_can_read(model):
    """BERT, ViT, Whisper, T5 and GPT-2 were refused at 2,048 tokens that nobody had asked for."""
    found = ms.SingleNodeModel.solve(model=model, hardware="h100")
    assert found.feasible and found.seq_len == min(2048, ms.zoo.model(model)["max_context"])
    assert f"seq_len={int(found.seq_len)}" in told(found)


@pytest.mark.parametrize(
    "device", ["t4", "v100_sxm2_32gb", "k80_one_gpu", "stm32h743", "coral_edge_tpu", "rp2040", "apple_m2_ultra"]
)
def test_a_format_nobody_gave_is_one_that_the_device_computes_in(device):
    small = "mlperf_tiny_kws_dscnn"
    found = ms.SingleNodeModel.solve(model=small, hardware=device)
    row = ms.zoo.hardware(device)
    assert row[f"peak_{found.precision.item()}"] > 0 and f"precision={found.precision.item()}" in told(found)
    assert found.limit != Limit.CAPABILITY and np.isfinite(found.latency)
    same = ms.SingleNodeModel.solve(model=small, hardware=device, precision=found.precision.item())
    assert same.latency == found.latency


def test_defaults_that_follow_lie_along_what_they_follow():
    found = ms.SingleNodeModel.solve(model=["llama3_1_8b", "bert_large"], hardware=["h100", "t4"])
    assert found.seq_len.dims == ("model",) and found.seq_len.values.tolist() == [2048, 512]
    assert found.precision.dims == ("hardware",) and found.precision.values.tolist() == ["bf16", "fp16"]
    again = ms.SingleNodeModel.solve(
        model=["llama3_1_8b", "bert_large"], hardware=["h100", "t4"], seq_len=found.seq_len, precision=found.precision
    )
    for name in found.data_vars:
        assert np.array_equal(found[name], again[name], equal_nan=True), name
    assert "seq_len" not in told(again) and "precision" not in told(again)


def test_a_given_value_goes_before_every_default():
    found = ms.SingleNodeModel.solve(model="bert_large", hardware="t4", seq_len=128, precision="int8", phase="prefill")
    assert found.seq_len == 128 and found.precision == "int8" and "phase" not in told(found)


def test_the_formats_that_a_file_states_go_before_what_the_device_prefers():
    found = ms.ServingModel.solve(model=["llama3_1_8b", "gpt_oss_20b"], hardware="v100_sxm2_32gb", seq_len=512)
    assert not found.feasible[1] and found.mlsysim.labels().limit[1] == "capability"  # no products of bfloat16
    found = ms.ServingModel.solve(model="llama3_1_8b", hardware="v100_sxm2_32gb", seq_len=512)
    assert found.precision == "fp16" and "precision=fp16" in told(found) and found.feasible


def test_a_checkpoint_brings_the_format_of_its_cache():
    """NVFP4 is what ModelOpt writes, with a cache of 8 bits, which engines obey unless they are told otherwise."""
    asked = {"model": "llama3_1_70b", "hardware": "b200", "batch_size": 32, "seq_len": 4096}
    wide = ms.ServingModel.solve(precision="bf16", **asked)
    narrow = ms.ServingModel.solve(precision="nvfp4", **asked)
    assert float(narrow.kv_cache) == 0.5 * float(wide.kv_cache) and narrow.itl < wide.itl
    assert "kv_precision=fp8" in told(narrow) and "kv_precision" not in told(wide)
    explicit = ms.ServingModel.solve(precision="nvfp4", kv_precision="bf16", **asked)
    assert float(explicit.kv_cache) == float(wide.kv_cache) and "kv_precision" not in told(explicit)
    both = ms.ServingModel.solve(precision=["fp8", "nvfp4"], **asked)
    assert both.kv_cache.values.tolist() == [float(wide.kv_cache), float(narrow.kv_cache)]
    assert "kv_precision=fp8 (with nvfp4)" in told(both)
    del asked["batch_size"]
    assert "kv_precision=fp8" in told(ms.ContinuousBatchingModel.solve(precision="nvfp4", output_len=256, **asked))
    training = {"model": "llama3_1_8b", "hardware": "b200", "precision": "nvfp4"}
    assert "kv_precision" not in told(ms.DistributedModel.solve(dp=8, **training))  # it has none


def test_a_training_needs_no_more_than_a_model_a_fleet_and_degrees():
    found = ms.DistributedModel.solve(model="llama3_1_8b", fleet="dgx_h100", tp=8, pp=1, dp=1)
    assert found.feasible and found.global_batch * found.seq_len == 2**22
    assert "global_batch=2048" in told(found) and "precision=bf16" in told(found)
    longer = ms.DistributedModel.solve(model="llama3_1_8b", fleet="dgx_h100", tp=8, seq_len=[2048, 8192])
    assert longer.global_batch.values.tolist() == [2048, 512]


def test_a_cluster_is_split_with_a_model_and_a_size_alone():
    found = ms.ParallelismOptimizer.solve(model="llama3_1_8b", cluster_size=16, recompute="none", schedule="1f1b")
    assert found.found and found.hardware == "h100_sxm5_80gb" and told(found).startswith("hardware=h100_sxm5_80gb, ")
    named = ms.ParallelismOptimizer.solve(
        model="llama3_1_8b", cluster_size=16, fleet="DGX A100 640GB", recompute="none", schedule="1f1b"
    )
    assert "hardware=h100" not in told(named) and named.mfu != found.mfu


def test_a_load_is_batched_with_a_model_a_rate_and_a_promise_alone():
    found = ms.BatchingOptimizer.solve(model=["gpt2_small", "llama3_1_8b"], arrival_rate=1, sla_latency="5 s", tp=1)
    assert found.found.all() and found.seq_len.values.tolist() == [512, 2048]
    assert told(found).startswith("hardware=h100_sxm5_80gb, seq_len=[512")


def test_own_hardware_and_own_fields_stand_for_the_device():
    own = ms.Hardware(name="chip", peak_flops="500 TFLOP/s", mem_bandwidth="2 TB/s", mem_capacity="64 GB")
    found = ms.BatchingOptimizer.solve(model="llama3_1_8b", hardware=own, arrival_rate=1, sla_latency="5 s", tp=1)
    assert "hardware=" not in told(found)
    bare = ms.SynthesisSolver.solve(model="llama3_1_8b", target_latency="20 ms", phase="decode", devices=0)
    assert "unlimited device" in told(bare) and 0.7e12 < bare.required_bw < 1.2e12


def test_the_devices_that_are_held_are_told():
    year = {"duration": "1 year", "region": "usa"}
    assert "n_accelerators=8 (one node)" in told(ms.EconomicsModel.solve(fleet="dgx_h100", **year))
    assert "n_accelerators" not in told(ms.EconomicsModel.solve(hardware="h100", n_accelerators=16, **year))
    assert "fleet=dgx_h100" in told(ms.EconomicsModel.solve(hardware="h100", **year))


def test_a_language_model_generates_by_its_memory_whatever_the_pass_is_bound_by():
    """Is my model memory-bound? A prompt is not; a token is."""
    found = ms.SingleNodeModel.solve(model="llama3_1_8b", hardware="h100", batch_size=1)
    assert found.bottleneck == Bottleneck.COMPUTE and found.decode_bottleneck == Bottleneck.MEMORY
    step = ms.SingleNodeModel.solve(model="llama3_1_8b", hardware="h100", phase="decode", textbook=1)
    weights = 2 * (8030261248 - 128256 * 4096)  # all but the table of the inputs, 16 bits
    cache = 2048 * 2 * 2 * 32 * 1024  # tokens, key and value, bytes, layers, heads x width
    assert step.bottleneck == Bottleneck.MEMORY
    assert step.latency.item() == pytest.approx((weights + cache) / 3.35e12, rel=1e-3)
    by_hand = ms.SingleNodeModel.solve(model="llama3_1_8b", hardware="h100", seq_len=1, cached_prefix=2048, textbook=1)
    assert by_hand.latency == step.latency and by_hand.bottleneck == step.bottleneck


def test_phases_are_passes():
    call = {"model": "llama3_1_8b", "hardware": "h200", "seq_len": 512}
    trained = ms.SingleNodeModel.solve(**call, phase="training")
    assert trained.latency == ms.SingleNodeModel.solve(**call, is_training=1).latency
    none = ms.SingleNodeModel.solve(model="bert_large", hardware="h100", phase="decode")
    assert not none.feasible and none.limit == Limit.CAPABILITY
    both = ms.SingleNodeModel.solve(**call, phase="decode", is_training=1)
    assert not both.feasible and both.limit == Limit.CAPABILITY


def test_every_format_has_a_device_or_is_refused():
    assert ms.zoo.accelerators.usual_precision(ms.zoo.hardware("stm32f407")) == Precision.INT8


def test_what_was_assumed_is_on_the_screen():
    from mlsysim.cli.commands import app

    shown = runner().invoke(app, ["solve", "single_node", "model=bert_large", "hardware=t4"], env={"COLUMNS": "200"})
    line = shown.stdout.splitlines()[-1]
    assert line.startswith("assumed: ") and "precision=fp16" in line and "seq_len=512" in line


def test_a_wall_says_when_it_binds():
    walls = ms.walls()
    assert len(walls) == 22 and walls.binds_when.str.len().between(20, 120).all() and walls.binds_when.is_unique


GUIDE = {
    "SingleNodeModel": "model hardware batch_size precision phase",
    "EfficiencyModel": "model hardware workload_type",
    "ServingModel": "model hardware seq_len",
    "ContinuousBatchingModel": "model hardware seq_len max_batch",
    "WeightStreamingModel": "model hardware seq_len batch_size",
    "TailLatencyModel": "arrival_rate service_latency replicas",
    "DataModel": "workload_data_rate hardware",
    "TransformationModel": "batch_size cpu_throughput",
    "TopologyModel": "fabric topology num_nodes",
    "ScalingModel": "compute_budget",
    "InferenceScalingModel": "model hardware reasoning_steps",
    "CompressionModel": "model hardware method",
    "DistributedModel": "model fleet tp pp dp",
    "ReliabilityModel": "fleet job_duration",
    "OrchestrationModel": "fleet arrival_rate avg_duration",
    "EconomicsModel": "fleet duration_days kwh_price",
    "SustainabilityModel": "fleet duration_days datacenter region",
    "CheckpointModel": "model hardware optimizer",
    "ResponsibleEngineeringModel": "base_training_time epsilon",
    "SensitivitySolver": "model hardware perturbation_pct",
    "SynthesisSolver": "model target_latency",
    "ParallelismOptimizer": "model cluster_size",
    "BatchingOptimizer": "model arrival_rate sla_latency",
    "PlacementOptimizer": "fleet duration_days budget region datacenter",
}


@pytest.mark.parametrize("name", GUIDE)
def test_the_words_of_the_guide_stand_in_the_schema(name):
    schema = getattr(ms, name).schema
    inputs = schema[schema.role != "output"]
    listed = " ".join([*inputs.index, *inputs.meaning])
    for word in GUIDE[name].split():
        known = word in listed.replace(",", " ").replace(";", " ").split() or word.startswith("target_")
        assert known, (name, word)
    assert (schema.meaning.str.len() > 0).all(), schema.index[schema.meaning == ""].tolist()


def test_a_loose_name_is_told_by_its_row():
    found = ms.ServingModel.solve(model="llama-70b", hardware="a100", tp=4, seq_len=512)
    assert told(found).startswith("model=llama3_1_70b, hardware=a100_sxm4_80gb")
    assert "fabric=infiniband_ndr" in told(ms.TopologyModel.solve(fabric="infiniband", num_nodes=8))
    assert "hardware" not in told(ms.ServingModel.solve(model="llama3_1_8b", hardware="h100_sxm5_80gb", seq_len=512))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ({"datacenter": "sweden", "region": "usa"}, "it is a row of grids: region='swe'"),
        ({"hardware": "dgx_h100", "region": "usa"}, "it is a row of systems: fleet='dgx_h100'"),
        ({"region": "h100"}, "it is a row of hardware: hardware='h100_sxm5_80gb'"),
    ],
)
def test_a_name_of_another_table_says_which_input_it_is_for(call, words):
    with pytest.raises(ValueError, match=words):
        ms.SustainabilityModel.solve(**{"hardware": "h100", "duration": "1 day", **call})


def test_the_name_of_the_guide_sets_its_flag():
    from mlsysim.grammar import named

    one = named("SingleNodeModel (offload)")
    assert one.bound == {"offload": 1} and named("single_node(offload)").bound == one.bound
    with pytest.raises((TypeError, ValueError), match="has no input 'of_load'"):
        named("SingleNodeModel (of_load)")


def test_fewer_devices_are_better():
    best = ms.DistributedModel.best("n_accelerators", model="llama3_1_8b", hardware="h100", tp=8, dp=[1, 2, 4])
    assert best.dp == 1


@pytest.mark.parametrize("building", ms.zoo.names("datacenters"))
def test_every_building_answers_for_its_water(building):
    found = ms.SustainabilityModel.solve(hardware="h100", duration="1 day", region="swe", datacenter=building)
    assert found.water >= 0 and found.water_onsite >= 0
    own = ms.zoo.datacenter(building).values_by_column["wue_L_per_kWh"]
    assert (own is None) == (f"{building}.wue" in found.attrs["derived"])
