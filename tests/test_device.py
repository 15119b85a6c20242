"""The plan of a GPU: its answers in numba's simulator, what its walks look like, and what is said where there is none."""

import dis
import json
import operator
import pathlib
import re
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
from toy import StepModel

import mlsysim as ms
from mlsysim.engine import cuda, device, elementary
from mlsysim.engine.plan import walked
from mlsysim.engine.program import Program
from mlsysim.search import Best, Pareto, counts
from mlsysim.search.reduce import Cells

ROOT = pathlib.Path(__file__).parent
GRID = {"hardware": ["h100", "a100"], "global_batch": [60, 98, 588], "tp": [1, 2, 7, 14], "pp": [1, 7, 11]}


class NoDevice:
    """What numba-cuda answers while nothing is launched."""

    def to_device(self, array):
        return array

    def current_context(self):
        return self

    def get_memory_info(self):
        return 1 << 40, 1 << 40


def prepared(resolver, reduction, **inputs):
    """A reduction as a device would run it."""
    program = Program(resolver, inputs)
    cells, columns = Cells(program, reduction.by), reduction.columns(program)
    verdicts = counts.kinds(reduction.clauses) if reduction.clauses else 0
    with mock.patch.object(device, "api", NoDevice):
        return device.Device(program, columns, cells.by, cells.strides, verdicts)


def test_the_simulator_answers_as_the_plain_plan():
    told = subprocess.run(
        [sys.executable, str(ROOT / "on_device.py")], capture_output=True, text=True, cwd=ROOT.parent, check=False
    )
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["compared"] > 65


def test_no_product_can_be_fused_with_a_sum():
    training = {"model": "llama3_1_8b", "seq_len": 4096, "hardware": ["h100", "a100"], "dp": range(1, 400)}
    layouts = {"global_batch": range(64, 700), "tp": [1, 2, 4], "pp": [1, 2, 4], "micro_batch": [1, 2]}
    front = Pareto(["step_time", "memory_per_device"], where="step_time < 5 and tp > 1")
    found = prepared(ms.DistributedModel, front, **training, **layouts)
    lines = found.walk.picking(cuda.front(2, found.verdicts), found.at).splitlines()
    physics = [line.strip() for line in lines if re.match(r" *x\d+ = ", line) and "data[" not in line]
    assert len(physics) > 30 and sum("times(" in line for line in physics) > 5
    assert not [line for line in physics if " * " in line or re.search(r"/ \(?-?(0\.5|0\.25|2\.0|4\.0|8\.0)\b", line)]


def test_nor_one_in_an_exponential_a_logarithm_or_a_power():
    own = device.unfused()["functions"]({"times": operator.mul})
    code = [f.__code__ for f in own.values()]
    assert len(code) == 5 and all("times" in c.co_names or "exponential" in c.co_names for c in code)
    assert not any(i.argrepr in ("*", "*=") for c in code for i in dis.get_instructions(c))
    rng = np.random.default_rng(2)
    x, y = np.exp(rng.uniform(-30, 30, 500)), rng.uniform(-9, 9, 500)
    for op, function in elementary.NAMES.items():
        values = (x, y) if op == "pow" else (y,) if op.startswith("exp") else (x,)
        assert np.array_equal(own[op](*values), function(*values)), op


def test_every_point_lies_in_one_block():
    for reduction in (Best("itl"), Best("itl", by="tp"), Best("itl", by=["tp", "hardware", "pp", "global_batch"])):
        with mock.patch.object(cuda, "LANES", 8), mock.patch.multiple(device, WARP=4, ENOUGH=40):
            found = prepared(StepModel, reduction, **GRID)
        each = [found.points(np.array([block])) for block in range(found.blocks)]
        assert sum(each) == found.points(np.arange(found.blocks)) == 72 and min(each) > 0


def test_what_much_depends_on_stays_in_the_tile():
    sizes = {"heavy": 300, "light": 40, "short": 3}
    loads = {frozenset({"heavy"}): 50.0, frozenset({"heavy", "light"}): 5.0, frozenset(sizes): 1.0}
    layout = walked(sizes, loads, (), 256, 32)
    assert layout.tile == ("heavy",) and layout.chunk == 150 and layout.chunks == 2
    assert layout.outer == ("light", "short")
    assert walked(sizes, loads, ("heavy", "light"), 256, 32).outer == ("heavy", "light")
    assert walked(sizes, loads, tuple(sizes), 256, 32).tile == ()


def test_what_a_device_cannot_have(tmp_path):
    with pytest.raises(ValueError, match="plan='cuda' fills memory at once: store=, client= and resume= go with every"):
        StepModel.solve(plan="cuda", store=tmp_path / "run.zarr", **GRID)
    with pytest.raises(ValueError, match=r"resume='here': plan='cuda' has no parts"):
        StepModel.best("itl", plan="cuda", resume="here", **GRID)
    with pytest.raises(ValueError, match="plan='gpu': allowed are auto, plain, generic, nest, cuda"):
        StepModel.best("itl", plan="gpu", **GRID)


#: of numba-cuda's own, from NumPy 2.5 on
@pytest.mark.filterwarnings("ignore:The 'generic' unit for NumPy timedelta:DeprecationWarning")
def test_what_is_said_where_there_is_none():
    with (
        mock.patch("importlib.util.find_spec", return_value=None),
        pytest.raises(ImportError, match=r"numba-cuda is not installed: pip install 'mlsysim-sweep\[gpu\]'"),
    ):
        StepModel.best("itl", plan="cuda", **GRID)
    with (
        mock.patch("numba.cuda.is_available", return_value=False),
        pytest.raises(ValueError, match="plan='cuda': no CUDA device answers here; plan='auto' gives the same answer"),
    ):
        StepModel.best("itl", plan="cuda", **GRID)


def test_a_reduction_that_knows_no_device_is_named():
    class Mine:
        by = ()
        columns = finish = start = room = take = mock.Mock(return_value=[])

    with mock.patch("mlsysim.search.reduce.require_room"), pytest.raises(TypeError, match="Mine has no on_device"):
        StepModel.sweep([Mine()], plan="cuda", **GRID)
