"""Number formats: what runs with 16-bit arithmetic, formats by part, and formats that a checkpoint states."""

import numpy as np
import pytest

import mlsysim as ms
from mlsysim import zoo
from mlsysim.schema.codes import Limit, Precision

SERVED = {"seq_len": 2048, "plan": "plain"}


def solve(**inputs):
    return ms.ServingModel.solve(**{**SERVED, **inputs})


# --- formats that the device lacks -----------------------------------------------------------------------


def test_fp8_weights_run_in_16_bits_on_ampere():
    """vllm-project/vllm PR 5975, issue 6689 (405B on 8 x A100); sgl-project/sglang issue 3007 (A10)."""
    large = solve(model="llama3_1_405b", hardware="a100", tp=8, precision="fp8", seq_len=4096)
    assert large.feasible and np.isfinite(large.itl)
    small = solve(model="llama3_1_8b", hardware="a10", precision=["fp8", "int8", "bf16"])
    assert small.feasible.all()
    assert small.itl.values[0] == pytest.approx(small.itl.values[1], rel=0.1)
    assert small.itl.values[0] < 0.65 * small.itl.values[2]
    assert "a10.peak_flops: no fp8 products on this device" in small.attrs["derived"]


@pytest.mark.parametrize("hardware, precision", [("v100", "fp8"), ("rtx_3090", "fp8"), ("mi250x", "fp8"), ("h100", "nvfp4"),
                                                 ("a100", "nvfp4"), ("mi300x", "nvfp4"), ("h100", "mxfp4")])  # fmt: skip
def test_narrow_weights_run_where_their_products_do_not(hardware, precision):
    row, code = zoo.hardware(hardware), Precision[precision.upper()]
    device, plain = zoo.accelerator_record(row, code), zoo.accelerator_record(row, Precision.INT4)
    assert device.widens_weights == 1 and device.peak_flops == plain.peak_flops > 0
    result = solve(model="llama3_1_8b", hardware=hardware, precision=precision)
    assert result.feasible and 0 < float(result.itl) < np.inf


@pytest.mark.parametrize("precision", ["fp8", "nvfp4", "mxfp4"])
def test_a_format_that_the_device_lacks_does_not_train(precision):
    on = {"model": "llama3_2_1b", "hardware": "a100", "precision": precision, "plan": "plain"}
    step = ms.DistributedModel.solve(**on, seq_len=2048, global_batch=8, dp=8)
    alone = ms.SingleNodeModel.solve(**on, seq_len=512, is_training=1)
    assert step.limit == alone.limit == Limit.CAPABILITY and not step.feasible and not alone.feasible
    assert ms.SingleNodeModel.solve(**on, seq_len=512).feasible


def test_widened_weights_are_served_without_narrowing_activations():
    """Prompts take as long as in 16 bits: arithmetic is the same, and no kernel narrows its inputs."""
    wide, narrow = (solve(model="llama3_1_8b", hardware="a100", precision=p, seq_len=8192) for p in ("bf16", "fp8"))
    assert float(narrow.ttft) == pytest.approx(float(wide.ttft), rel=0.05)


def test_fp4_is_a_label():
    one, other = (solve(model="llama3_1_8b", hardware="b200", precision=p) for p in ("fp4", "nvfp4"))
    assert float(one.itl) == float(other.itl) and one.precision.item() == "nvfp4"
