"""One stream on devices that people own: it runs at memory bandwidth, and tables of llama.cpp are predicted."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mlsysim as ms
from mlsysim import zoo
from mlsysim.calibration import validate
from mlsysim.schema.codes import Bottleneck, Precision
from mlsysim.zoo import curves

ROOT = Path(__file__).resolve().parent.parent
STREAMS = ROOT / "benchmarks" / "measured" / "edge.csv"
sys.path.insert(0, str(ROOT / "benchmarks"))

#: engines differ by 1.15 to 1.3
ENGINES = 1.3


def speed(model, hardware, precision, **more):
    """Tokens/s of one stream at a context of 512 tokens."""
    answer = ms.ServingModel.solve(
        model=model, hardware=hardware, precision=precision, seq_len=512, batch_size=1, **more
    )
    return answer.tokens_per_s, answer.decode_bottleneck


@pytest.mark.parametrize(
    ("model", "hardware", "precision", "measured"),
    [
        ("llama3_8b", "rtx_3090", "fp16", 47.4),
        ("llama3_8b", "rtx_a6000", "fp16", 40.3),
        ("llama3_8b", "rtx_3090", "int4", 115.0),
        ("llama3_8b", "apple_m2_ultra", "int4", 78.8),
        ("llama2_7b", "apple_m2_ultra", "int4", 91.9),
        ("llama3_8b", "apple_m2_ultra", "fp16", 40.7),
        ("llama3_8b", "a10", "fp16", 29.0),
        ("llama3_8b", "a10g", "fp16", 29.0),
    ],
)
def test_one_stream_runs_at_memory_bandwidth(model, hardware, precision, measured):
    """XiongjieDai/GPU-Benchmarks-on-LLM-Inference (llama.cpp, 2024-05); apache/tvm PR 15985 (Llama 2 on M2 Ultra)."""
    found, wall = speed(model, hardware, precision)
    assert 1 / ENGINES < float(found) / measured < ENGINES
    assert int(wall) == Bottleneck.MEMORY


def test_equal_memory_gives_equal_speed_whatever_the_matrix_rate():
    """A10 and A10G differ in their matrix rate alone (125 against 70 TFLOP/s)."""
    found = speed("llama3_8b", ["a10", "a10g"], "fp16")[0]
    assert float(found.max() / found.min()) < 1.02


@pytest.mark.parametrize("precision", ["fp16", "int4"])
@pytest.mark.parametrize("device", ["rtx_3090", "apple_m2_ultra", "a100", "ryzen_ai_max_395"])
def test_more_bandwidth_is_never_slower_for_one_stream(device, precision):
    base = zoo.hardware(device)["mem_bandwidth"]
    found = speed("llama3_8b", device, precision, mem_bandwidth=base * np.geomspace(0.25, 8.0, 12))[0]
    assert (np.diff(found.values) >= 0).all()


def test_fewer_bits_are_never_slower_for_one_stream():
    for device in ("rtx_3090", "apple_m1_max", "apple_m2_ultra", "k80_one_gpu", "jetson_nano_4gb", "ryzen_9_7950x"):
        wide = "fp16" if zoo.hardware(device)["peak_fp16"] else "fp32"
        assert float(speed("llama3_8b", device, "int4")[0]) > float(speed("llama3_8b", device, wide)[0])


def test_a_constant_share_of_peak_leaves_no_other_path():
    """With `efficiency` products take their operations over that share of peak, vector units or not."""
    answer = ms.ServingModel.solve(
        model="llama3_8b",
        hardware="rtx_3090",
        precision="fp16",
        seq_len=512,
        batch_size=1,
        efficiency=1e-4,
        bandwidth_efficiency=1.0,
    )
    assert float(answer.decode_gemm_time) > 2 * 7.5e9 / (1e-4 * 71e12)


def test_a_processor_without_16_bits_computes_narrow_weights_in_32():
    for device in ("epyc_9654", "grace_cpu_72c", "threadripper_5975wx"):
        assert 5.0 < float(speed("llama3_8b", device, "int4")[0]) < 100.0


def test_devices_without_a_network_stand_beside_those_with_one():
    """One device asks for no network: a list that holds an Apple loses nothing."""
    both, alone = (
        speed("llama3_8b", ["rtx_4090", "apple_m2_ultra"], "int4")[0],
        speed("llama3_8b", "apple_m2_ultra", "int4")[0],
    )
    assert both.values[1] == pytest.approx(float(alone), rel=1e-12)


def test_llama_cpp_is_a_framework():
    plain, engine = (
        float(speed("llama3_8b", "rtx_4090", "int4", **more)[0]) for more in ({}, {"assume": "llama.cpp CUDA"})
    )
    assert plain > engine and 1 / 1.15 < engine / 130.0 < 1.15


def test_narrow_weights_are_unpacked_by_integer_units():
    """Llama 3 on A100 in 4.85 bits, one stream (XiongjieDai, 2024-05): as many integer as floating-point lanes, half as many
    on A40; 138 and 22.1 tokens/s."""
    narrow, wide = (zoo.accelerator_record("a100_pcie_80gb", p).vector_ops for p in (Precision.INT4, Precision.BF16))
    assert narrow == 2 * wide == zoo.hardware("a100_pcie_80gb")["peak_fp32"]
    assert zoo.accelerator_record("a40", Precision.INT4).vector_ops == 0.5 * zoo.hardware("a40")["peak_fp32"]
    for model, measured in (("llama3_8b", 138.3), ("llama3_70b", 22.1)):
        found = float(speed(model, "a100_pcie_80gb", "int4", assume="llama.cpp CUDA", weight_bytes=0.6)[0])
        assert 1 / 1.2 < found / measured < 1.2


def prompt(assume, seq_len=4096, precision="fp16", chunk=512, **more):
    """Seconds of one prompt of Llama 3 8B on an A100."""
    point = {"model": "llama3_8b", "hardware": "a100_pcie_80gb", "batch_size": 1, "prefill_chunk": chunk}
    point |= {"frontend_time": 0, "frontend_token_time": 0}
    return float(ms.ServingModel.solve(**point, seq_len=seq_len, precision=precision, assume=assume, **more).ttft)


def test_scores_of_an_attention_in_several_kernels_pass_through_memory():
    """Between 512 and 4,096 tokens llama.cpp of 2024 loses a fifth of its speed on A100 (7,741 to 6,138 tokens/s)."""
    for said, kept in (("llama.cpp CUDA 2024", 6138 / 7741), ("llama.cpp CUDA 2026", 0.97)):
        found = 4096 / prompt(said) / (512 / prompt(said, 512))
        assert found == pytest.approx(kept, rel=0.05), said
    by_bytes = [prompt(ms.Assumptions(score_bytes=b)) for b in (0.0, 10.0, 20.0)]
    assert by_bytes[1] - by_bytes[0] == pytest.approx(by_bytes[2] - by_bytes[1]) and by_bytes[0] < by_bytes[1]


def test_unpacking_takes_the_reading_of_narrow_and_the_writing_of_wide_weights():
    """Once for each chunk, whatever its tokens; nothing where weights are wide."""
    card, weights = (
        zoo.accelerator_record("a100_pcie_80gb", Precision.INT4),
        32 * (2 * 4096**2 + 2 * 4096 * 1024 + 3 * 4096 * 14336),
    )
    nbytes = (zoo.format_record(Precision.INT4).weight_bytes + 2.0) * weights
    each = nbytes / (card.mem_bandwidth * card.gemm_bandwidth_efficiency)
    before, after = ms.Assumptions(), ms.Assumptions(unpacks_weights=1.0)
    for chunk, chunks in ((512, 8), (4096, 1)):
        more = prompt(after, precision="int4", chunk=chunk) - prompt(before, precision="int4", chunk=chunk)
        assert more == pytest.approx(chunks * each, rel=1e-6)
    assert prompt(after) == prompt(before)


def test_an_engine_that_is_not_known_is_said_and_its_interval_is_wider():
    row = {"hardware": "rtx_4090", "model": "llama3_8b", "phase": "decode", "measured_tokens_per_s": 130.0}
    known, strange = (validate(pd.DataFrame([{**row, "engine": e}])) for e in ("vLLM 0.12", "Some Engine 3"))
    assert not len(known.said) and strange.said.what.tolist() == [
        "engine 'Some Engine 3' is not known: taken as vLLM, give or take a sixth"
    ]
    narrow, wide = (np.log(v.rows.high / v.rows.low).iloc[0] for v in (known, strange))
    assert wide > 1.1 * narrow


@pytest.fixture(scope="module")
def streams():
    return validate(STREAMS, sample=0)


def test_classes_of_devices_are_predicted(streams):
    """Decode within 20 % over all rows and 30 % in every class, prefill within 30 %, by the median."""
    table = streams.table("group").set_index("group")
    decode = streams.rows[streams.rows.group.str.startswith("decode/")].error.abs()
    prefill = streams.rows[streams.rows.group.str.startswith("prefill")].error.abs()
    assert decode.median() < 0.2 and prefill.median() < 0.3
    assert (table["median"] < 30.0).all() and {"decode/cpu", "decode/jetson", "prefill/apple"} <= set(table.index)
    assert streams.answered > 500


def test_users_of_services_on_wafers_and_chips_of_sram(streams):
    """Within 25 % by the median, over both classes and in each; nothing is fitted but to two wafer models and Groq's messages."""
    rows = streams.rows[streams.rows.group.isin(["decode_per_user/wafer", "decode_per_user/sram_asic"])]
    error = rows.error.abs()
    assert len(rows) == 11 and error.median() < 0.1
    assert (error.groupby(rows.group).median() < 0.1).all() and error.max() < 0.45


def test_a_service_that_drafts_is_refused_and_others_on_dataflow_devices_are_answered(streams):
    dataflow = streams.rows[streams.rows.group == "decode_per_user/cloud"]
    assert len(dataflow) == 3 and dataflow.error.abs().median() < 0.2  # nothing is fitted to them
    assert streams.refused.why.str.contains("drafted").sum() == 2


def test_a_stream_of_a_device_that_the_zoo_lacks():
    """Rate and bandwidth are enough; a GGUF type gives the bits."""
    row = {
        "hardware": "",
        "model": "llama3_1_8b",
        "quant_label": "Q4_K_M",
        "measured_tokens_per_s": 40.0,
        "device_peak_fp16_TFLOPs": 60.0,
        "device_mem_bandwidth_GBps": 256.0,
    }
    found = validate(
        pd.DataFrame([{**row, "phase": "decode"}, {**row, "phase": "prefill"}, {**row, "phase": "both"}]), sample=0
    )
    assert len(found.rows) == 2 and 20 < found.rows.predicted[0] < 60 < found.rows.predicted[1]
    assert "prefill, decode" in found.refused.why[0]


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ({"quant_label": "Q9_Z"}, "q9_z"),
        ({"model": "no such model"}, "no such model"),
        ({"hardware": ""}, "device_mem_bandwidth_GBps"),
        ({"phase": "decode_per_user"}, "a service has a load"),
    ],
)
def test_a_stream_that_cannot_be_predicted_says_why(cell, told):
    row = {"hardware": "rtx_3090", "model": "llama3_8b", "phase": "decode", "measured_tokens_per_s": 100.0, **cell}
    found = validate(pd.DataFrame([row]), sample=0)
    assert told in found.refused.why[0]


def test_a_stream_reads_as_many_bytes_as_its_file_holds():
    """Head and layers together: the file's bits a weight, the table of the input apart."""
    from mlsysim.calibration.streams import layer_bytes

    row = zoo.model("llama3_8b")
    table = row["vocab"] * row["hidden"]
    layers = row["total_params"] - 2 * table
    assert layer_bytes(row, 4.85) * layers + 2.0 * table == pytest.approx(4.85 / 8 * (layers + table))


def test_how_surely_memory_is_read_follows_from_many_devices_of_its_kind(streams):
    """The estimate of `READING_SPREADS`: deviation of devices from their median, four devices of the usual spread more."""
    table = pd.read_csv(STREAMS)
    rows = streams.rows.assign(n=table.n_devices.reindex(streams.rows.row - 2).fillna(1.0).to_numpy())
    for column in ("hardware", "engine"):
        rows[column] = table[column].reindex(rows.row - 2).fillna("").to_numpy()
    rows = rows[rows.group.str.startswith("decode/") & (rows.n == 1) & rows.engine.str.contains("llama")]
    kind = rows.hardware.map(lambda device: str(zoo.hardware(device)["mem_type"]))
    for stem in ("GDDR", "LPDDR"):
        off = np.log(rows.measured / rows.predicted)[kind.str.startswith(stem)]
        devices = off.groupby(rows.hardware).median()
        deviation = 1.4826 * (devices - devices.median()).abs().median()
        usual, many = curves.READING_SPREAD, len(devices)
        found = np.sqrt((many * deviation**2 + 4 * usual**2) / (many + 4))
        assert many >= 8 and found == pytest.approx(curves.READING_SPREADS.get(stem, usual), abs=0.006), stem


def test_what_several_devices_gain_is_open_where_their_split_is_not_stated():
    """Between nothing and n times; layers in turn are known, and so is one device."""
    row = {
        "hardware": "a10g",
        "model": "llama2_70b",
        "phase": "decode",
        "quant_label": "4-bit",
        "measured_tokens_per_s": 10.0,
    }
    told = {"split": "layer", "engine": "llama.cpp"}

    def width(**more):
        found = validate(pd.DataFrame([{**row, "n_devices": 8.0, "engine": "llama.cpp", **more}]))
        return float(np.log(found.rows.high / found.rows.low).iloc[0])

    layers, open_, one = width(**told), width(), width(n_devices=1.0)
    assert open_ == pytest.approx(np.hypot(layers, 2 * 1.2816 * np.log(8) / np.sqrt(12)), rel=0.1)
    assert width(n_devices=1.0, split="layer") == pytest.approx(one)
    assert width(split="tensor") > 2.0 * layers  # over PCIe: the exchange is that of another device
