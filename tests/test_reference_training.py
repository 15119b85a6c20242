"""Reference values of training: parameters and operations, collectives, pipelines, memory, volumes.

"Derived" values follow from the equations of the cited works, to the digits shown; "published" ones are
printed there.
"""

import pytest

from mlsysim import zoo
from mlsysim.equations import architecture, collectives, memory, pipeline, training
from mlsysim.equations.experts import nodes_touched
from mlsysim.equations.pipeline import Stages
from mlsysim.models.distributed import distributed
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Attention, FlopsConvention, Precision, Recompute, Schedule

FULL, CAUSAL = FlopsConvention.FULL, FlopsConvention.CAUSAL
NARAYANAN = "Narayanan et al. 2021"
KORTHIKANTI = "Korthikanti et al. 2022"


def model(name, **changes):
    return zoo.workload_record(zoo.model(name))._replace(**changes)


def exact(computed, expected):
    assert float(computed) == expected


def close(computed, expected, digits=9):
    assert float(computed) == pytest.approx(expected, rel=0.5 * 10.0 ** (1 - digits))


LLAMA8, LLAMA70, LLAMA405 = (model(f"llama3_1_{size}") for size in ("8b", "70b", "405b"))
MIXTRAL, DEEPSEEK = model("mixtral_8x7b"), model("deepseek_v3_671b")
GPT3 = model("gpt3_175b", vocab=51200.0)


@pytest.mark.parametrize(
    ("computed", "expected", "source"),
    [
        (architecture.total_params(LLAMA8), 8_030_261_248, "derived"),
        (architecture.total_params(LLAMA70), 70_553_706_496, "derived"),
        (architecture.total_params(LLAMA405), 405_853_388_800, "derived"),
        (architecture.total_params(MIXTRAL), 46_702_792_704, "derived"),
        (architecture.active_params(MIXTRAL), 12_879_925_248, "derived"),
        (architecture.total_params(DEEPSEEK), 671_026_404_352, "derived; 671B published"),
        (architecture.active_params(DEEPSEEK), 37_552_282_624, "derived; 37B published"),
        (architecture.active_params(DEEPSEEK, 0.0), 36_625_603_584, "derived"),
        (architecture.total_params(GPT3) - architecture.final_norm_params(GPT3), 174_615_822_336, NARAYANAN),
        (architecture.gpt_params(96, 12288, 51200, 2048), 174_615_822_336, NARAYANAN + ", Eq. 2"),
    ],
)
def test_reference_parameters(computed, expected, source):
    exact(computed, expected)


@pytest.mark.parametrize(
    ("computed", "expected"),
    [
        (architecture.forward_flops(LLAMA8, 8192.0, CAUSAL), 17_157_062_656),
        (architecture.forward_flops(LLAMA8, 8192.0, FULL), 19_304_284_160),
        (architecture.forward_flops(LLAMA70, 4096.0, CAUSAL), 144_373_448_704),
        (architecture.linear_flops(LLAMA70), 136_902_082_560),
        (80 * architecture.attention_flops(LLAMA70, architecture.causal_positions(4096.0)), 5_370_019_840),
        (architecture.head_flops(LLAMA70), 2_101_346_304),
        (architecture.forward_flops(LLAMA70, 4096.0, FULL), 149_740_847_104),
        (architecture.forward_flops(LLAMA70, 8192.0, CAUSAL), 149_742_157_824),
        (architecture.forward_flops(LLAMA70, 8192.0, FULL), 160_478_265_344),
        (architecture.forward_flops(LLAMA405, 8192.0, CAUSAL), 841_322_790_912),
        (architecture.forward_flops(LLAMA405, 8192.0, FULL), 875_141_529_600),
        (architecture.forward_flops(DEEPSEEK, 4096.0, CAUSAL), 83_485_794_304),
        (architecture.window_positions(32768.0, 4096.0), 3840.0625),
        (architecture.attention_flops(DEEPSEEK, architecture.causal_positions(4096.0)), 167_813_120),
    ],
)
def test_reference_forward_flops_per_token(computed, expected):
    exact(computed, expected)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("llama3_1_8b", 32, 131_072),
        ("llama3_1_70b", 80, 327_680),
        ("llama3_1_405b", 126, 516_096),
        ("mixtral_8x7b", 32, 131_072),
        ("deepseek_v3_671b", 61, 70_272),
    ],
)
def test_reference_cached_bytes_per_token(name, values, expected):
    exact(2.0 * values * architecture.kv_values(model(name)), expected)


@pytest.mark.parametrize(
    ("layers", "hidden", "expected"),
    [
        (24, 2304, 1.65223),
        (30, 3072, 3.56216),
        (36, 4096, 7.46778),
        (40, 6144, 18.4497),
        (48, 8192, 39.0960),
        (60, 10240, 76.0507),
        (80, 12288, 145.622),
        (96, 16384, 310.131),
        (105, 20480, 529.601),
        (128, 25600, 1008.04),
    ],
)
def test_reference_gpt_table_parameters(layers, hidden, expected):
    close(architecture.gpt_params(layers, hidden, 51200, 2048) / 1e9, expected, 6)


@pytest.mark.parametrize(
    ("computed", "expected", "digits", "source"),
    [
        (architecture.gpt_step_flops(1536, 2048, 96, 12288, 51200), 4.51097075e18, 9, NARAYANAN + ", Eq. 3"),
        (architecture.gpt_step_flops(1536, 2048, 96, 12288, 51200, 0.0), 3.38619675e18, 9, NARAYANAN),
        (1536 * 2048 * 3 * architecture.forward_flops(GPT3, 2048.0, FULL), 3.38619675e18, 9, "general form"),
        (training.run_flops(1.008e12, 450e9, 1.0) / (3072 * 163e12) / 86400, 83.8765, 6, "84 days published"),
        (training.run_flops(175e9, 300e9, 1.0) / (1024 * 140e12) / 86400, 33.9084, 6, "34 days published"),
    ],
)
def test_reference_gpt_flops(computed, expected, digits, source):
    close(computed, expected, digits)


@pytest.mark.parametrize(
    ("mfu", "layers", "hidden", "printed", "forward"),
    [
        (41.5, 48, 6144, 43.6547, 42.2182),
        (51.4, 96, 12288, 52.7843, 51.8614),
        (56.0, 105, 20480, 56.9162, 56.3054),
        (56.3, 128, 25600, 57.0398, 56.5466),
    ],
)
def test_reference_hfu_of_selective_recomputation(mfu, layers, hidden, printed, forward):
    where = (layers, hidden, 51200, 2048)
    close(training.recompute_utilization(mfu, *where, 1 / 3), printed, 6)
    close(training.recompute_utilization(mfu, *where, 2 / 9), forward, 6)


NVLINK = (1e9, 450e9, 1e-6)


@pytest.mark.parametrize(
    ("computed", "expected"),
    [
        (collectives.ring_all_reduce(8.0, *NVLINK), 3.90288889e-3),
        (collectives.ring_all_gather(8.0, *NVLINK), 1.95144444e-3),
        (collectives.tree_all_reduce(8.0, *NVLINK), 4.45044444e-3),
        (collectives.switch_all_reduce(*NVLINK), 2.22422222e-3),
        (collectives.multicast_all_reduce(8.0, *NVLINK), 2.502e-3),
        (collectives.two_level_all_reduce(8.0, 16.0, *NVLINK, 50e9, 5e-6), 8.74038889e-3),
        (collectives.ring_all_reduce(128.0, 1e9, 50e9, 5e-6), 4.09575e-2),
        (collectives.all_to_all_cross(8.0, 16.0, 1e9, 50e9, 0.0), 0.01875),
        (collectives.all_to_all_intra(8.0, 16.0, 1e9, 450e9, 0.0), 1.21527778e-4),
        (nodes_touched(256.0, 8.0, 8.0), 5.2947),
    ],
)
def test_reference_collectives(computed, expected):
    close(computed, expected, 5 if expected > 1 else 9)


def equal_stages(each, pp):
    return Stages(each, each, each, each * (pp - 2.0))


def one_slow(pp, slow, factor, each):
    """Forward or backward time of p stages, one of them slower; the second stands for those between."""
    first = each * (factor if slow == 0 else 1.0)
    middle = each * (factor if slow == 1 else 1.0)
    last = each * (factor if slow == pp - 1 else 1.0)
    return Stages(first, middle, last, middle + each * (pp - 3.0))


F_1 = Schedule.ONE_F_ONE_B


def span(m, pp, virtual_stages=1.0, schedule=F_1, forward=1.0, backward=2.0, weight=1.0):
    return pipeline.makespan(
        schedule, m, pp, virtual_stages, equal_stages(forward, pp), equal_stages(backward, pp), weight
    )


def uneven(slow):
    return pipeline.makespan(F_1, 8.0, 4.0, 1.0, one_slow(4.0, slow, 1.5, 1.0), one_slow(4.0, slow, 1.5, 2.0), 1.0)


def sends(m, pp, virtual_stages=1.0):
    each, once = pipeline.hand_over(F_1, pp, virtual_stages, 1.0)
    return m * each + once


@pytest.mark.parametrize(
    ("computed", "expected"),
    [
        (pipeline.bubble_fraction(4.0, 8.0, 1.0), 0.272727273),
        (pipeline.bubble_fraction(16.0, 128.0, 1.0), 0.104895105),
        (pipeline.bubble_fraction(16.0, 32.0, 6.0), 0.0724637681),
        (span(16.0, 8.0), 69),
        (span(16.0, 8.0, 4.0), 53.25),
        (uneven(3), 45),
        (uneven(0), 40.5),
        (uneven(1), 42),
        (span(64.0, 8.0) + 0.1 * sends(64.0, 8.0), 225.4),
        (span(64.0, 8.0), 213),
        (sends(64.0, 8.0), 124),
        (sends(64.0, 8.0, 4.0), 62),
        (span(32.0, 8.0), 117),
        (span(32.0, 8.0, schedule=Schedule.ZB_H1), 103),
        (pipeline.dualpipe_bubble(16.0, 3.0, 2.0, 1.0), 14),
        (span(16.0, 8.0, schedule=Schedule.GPIPE), 69),
    ],
)
def test_reference_pipeline(computed, expected):
    close(computed, expected, 9)


@pytest.mark.parametrize(("zero_stage", "expected"), [(0, 120.0), (1, 31.40625), (2, 16.640625), (3, 1.875)])
def test_reference_zero_states(zero_stage, expected):
    exact(sum(memory.model_states(7.5e9, 64.0, zero_stage, 2.0, 2.0, 12.0)) / 1e9, expected)


def test_reference_megatron_states():
    exact(sum(memory.model_states(7.5e9, 64.0, 1, 2.0, 4.0, 12.0)) / 1e9, 46.40625)


def gpt3_layer(tp, split, recompute, tokens=2048.0):
    kept = memory.layer_activations(
        GPT3, 2048.0, tp, split, recompute, Attention.UNFUSED, 49152.0, 0.0, 2.0, 2.0, 2.0, 4.0
    )
    return tokens * kept.stored


def llama_layer(values):
    kept = memory.layer_activations(
        LLAMA70, 8192.0, 8.0, 1.0, Recompute.NONE, Attention.FLASH2, 28672.0, 0.0, values, 2.0, 2.0, 4.0
    )
    return 8192.0 * kept.stored


NONE, SELECTIVE, WHOLE = Recompute.NONE, Recompute.SELECTIVE, Recompute.FULL


@pytest.mark.parametrize(
    ("computed", "expected", "source"),
    [
        (gpt3_layer(1.0, 0.0, NONE), 2_868_903_936, KORTHIKANTI),
        (gpt3_layer(8.0, 0.0, NONE), 578_813_952, KORTHIKANTI),
        (gpt3_layer(8.0, 1.0, NONE), 358_612_992, KORTHIKANTI),
        (gpt3_layer(8.0, 1.0, SELECTIVE), 106_954_752, KORTHIKANTI),
        (gpt3_layer(8.0, 0.0, SELECTIVE), 327_155_712, KORTHIKANTI),
        (gpt3_layer(8.0, 0.0, WHOLE), 50_331_648, KORTHIKANTI),
        (12 * 8 * gpt3_layer(8.0, 1.0, SELECTIVE), 10_267_656_192, "1F1B, p = 8: eight in flight"),
        (pipeline.in_flight_limit(F_1, 8.0, 1.0, 0.0), 8, "the same"),
        (
            4 * pipeline.in_flight_limit(F_1, 8.0, 3.0, 0.0) * gpt3_layer(8.0, 1.0, SELECTIVE),
            13_262_389_248,
            KORTHIKANTI,
        ),
        (llama_layer(2.0), 222_560_256, "derived"),
        (llama_layer(3.0), 281_280_512, "derived"),
        (llama_layer(4.0), 340_000_768, "derived"),
        (8192 * 4 * LLAMA70.vocab / 8, 525_336_576, "derived: logits in fp32"),
        (8192 * (memory.head_activations(LLAMA70, 8.0, 1.0, 2.0, 4.0) - 4 * 8192 / 8), 525_336_576, "same"),
    ],
)
def test_reference_activations(computed, expected, source):
    exact(computed, expected)


#: bytes on the wire: the time of a collective at 1 byte/s without latency
WIRE = (1.0, 0.0)
MESSAGE = 8192 * 8192 * 2.0


@pytest.mark.parametrize(
    ("computed", "expected"),
    [
        (4 * collectives.ring_all_reduce(8.0, MESSAGE, *WIRE), 939_524_096),
        (collectives.ring_all_reduce(16.0, 2 * LLAMA70.total_params / 32, *WIRE), 8_268_012_480),
        (3 * collectives.ring_all_gather(16.0, 2 * LLAMA70.total_params / 32, *WIRE), 12_402_018_720),
        (7 * collectives.point_to_point(2 * 131072 / 8 * 128 * 2, *WIRE), 58_720_256),
        (collectives.all_to_all(64.0, 4096 * 8 * 7168 * 2, *WIRE), 462_422_016),
    ],
)
def test_reference_volumes(computed, expected):
    exact(computed, expected)


def records(name, hardware, precision=Precision.BF16, **changes):
    device = zoo.hardware(hardware)
    return {
        "model": zoo.workload_record(zoo.model(name)),
        "hardware": zoo.accelerator_record(device, precision),
        "fleet": zoo.fleet_record(None, device),
        "format": zoo.format_record(precision),
        "assume": Assumptions(**changes),
    }


def test_reference_textbook_step():
    """With a constant efficiency and no overhead a step takes model_flops / (n P efficiency)."""
    out = distributed(
        **records("llama3_1_8b", "h100", training_host_time=0.0, straggler_loss=0.0),
        global_batch=64,
        seq_len=8192,
        efficiency=0.5,
        zero_stage=0,
    )
    assert out.compute_time == pytest.approx(out.model_flops / (989.4e12 * 0.5), rel=1e-12)
    assert out.model_flops == 3 * 17_157_062_656 * 64 * 8192


@pytest.mark.parametrize(
    ("layout", "published", "tolerance", "source"),
    [
        (
            {"name": "gpt3_175b", "recompute": WHOLE, "sequence_parallel": 0},
            18.13,
            0.15,
            KORTHIKANTI + ", Table 5",
        ),
        (
            {"name": "gpt3_175b", "recompute": SELECTIVE, "sequence_parallel": 1},
            13.75,
            0.15,
            KORTHIKANTI + ", Table 5",
        ),
    ],
)
def test_reference_published_step_times(layout, published, tolerance, source):
    layout = dict(layout)
    out = distributed(
        **records(layout.pop("name"), "a100", tensor_overlap=0.0),
        global_batch=64,
        seq_len=2048,
        tp=8,
        pp=8,
        virtual_stages=3,
        zero_stage=0,
        attention=Attention.UNFUSED,
        **layout,
    )
    assert out.feasible
    assert abs(out.step_time / published - 1) < tolerance


def test_encoders_see_every_position():
    """BERT's attention is not causal: twice the scores of a decoder of its size, under either convention."""
    bert, decoder = (zoo.workload_record(zoo.model(name)) for name in ("bert_large", "gpt3_350m"))
    for convention in FlopsConvention:
        assert architecture.attended_positions(bert, 512.0, convention) == 512.0
    assert architecture.attended_positions(decoder, 511.0, FlopsConvention.CAUSAL) == 256.0
