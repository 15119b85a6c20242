"""One cache of compiled code for all processes of a test run, and tests that are the same every time."""

import contextlib
import gc
import os
import shutil
import signal
import tempfile
import types
from unittest import mock

import hypothesis
import numpy as np
import pytest

from mlsysim.engine import cache

hypothesis.settings.register_profile(
    "same",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=25,
    suppress_health_check=list(hypothesis.HealthCheck),
)
hypothesis.settings.load_profile("same")

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as in the background of a shell: tests interrupt what they start
    signal.signal(signal.SIGINT, signal.default_int_handler)

_own: list[str] = []


def pytest_addoption(parser):
    parser.addoption("--rounds", type=int, default=1, help="how often the rounds of tests/test_rounds.py are run")


gc.set_threshold(100_000, 50, 100)  # graphs of thousands of nodes come and go: the collector need not look so often


def pytest_configure(config):
    """Workers of pytest-xdist inherit the directory from the process that started them."""
    if "MLSYSIM_CACHE" not in os.environ:
        _own.append(tempfile.mkdtemp(prefix="mlsysim-tests-"))
        os.environ["MLSYSIM_CACHE"] = _own[0]


def pytest_unconfigure(config):
    for directory in _own:
        shutil.rmtree(directory, ignore_errors=True)


#: what generated code uses, without numba's intrinsics and without Python's exceptions for log(0) or exp(1000)
PLAIN = {
    "select": lambda condition, a, b: a if condition else b,
    "math": types.SimpleNamespace(
        sqrt=np.sqrt,
        exp=np.exp,
        log=np.log,
        expm1=np.expm1,
        log1p=np.log1p,
        pow=lambda a, b: np.power(np.float64(a), b),
    ),
}


COMPILED = cache.compiled


def _interpret(text, signature):
    """The nest as plain Python: generated code is Python, so any layout can be tried without a compiler."""
    if "numba.njit" in text:  # a stage compiles what it calls
        return COMPILED(text, signature)
    scope = {}
    exec(compile(text, "<nest>", "exec"), scope)
    scope.update(PLAIN, u=int)  # places: before NumPy 2 an unsigned integer and a Python one made a float

    def nest(*args):
        with np.errstate(all="ignore"):
            return scope["nest"](*args)

    return nest


@pytest.fixture
def interpreted():
    """``with interpreted(chunk=8, tile=64, table=16): ...``: nests interpreted, cut into small pieces."""

    @contextlib.contextmanager
    def patched(chunk=1024, tile=4096, enough=512, table=1 << 17, stores=8):
        with (
            mock.patch("mlsysim.engine.cache.compiled", _interpret),
            mock.patch("mlsysim.engine.plan.CHUNK", chunk),
            mock.patch("mlsysim.engine.plan.TILE", tile),
            mock.patch("mlsysim.engine.plan.ENOUGH", enough),
            mock.patch("mlsysim.engine.run.TABLE", table),
            mock.patch("mlsysim.engine.nest.STORES", stores),
        ):
            yield

    return patched
