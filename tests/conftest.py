"""One cache of compiled code for all processes of a test run, and tests that are the same every time."""

import gc
import os
import shutil
import signal
import tempfile

import pytest

# ignored in the background of a shell: tests interrupt what they start
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

gc.set_threshold(100_000, 50, 100)  # graphs of thousands of nodes come and go: the collector need not look so often

_own: list[str] = []


def pytest_addoption(parser):
    parser.addoption("--rounds", type=int, default=1, help="how often the rounds of tests/test_rounds.py are run")


def pytest_configure(config):
    """Workers of pytest-xdist inherit the directory from the process that started them, and keep what they compile of us."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["MLSYSIM_ZOO"] = "off"  # no rows of whoever runs the tests
    if "MLSYSIM_CACHE" not in os.environ:
        _own.append(tempfile.mkdtemp(prefix="mlsysim-tests-"))
        os.environ["MLSYSIM_CACHE"] = _own[0]
    if not config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        _same()


def _same():
    """Examples are the same every time; of no use to a process that only hands out tests."""
    import hypothesis

    hypothesis.settings.register_profile(
        "same",
        derandomize=True,
        deadline=None,
        database=None,
        max_examples=25,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.load_profile("same")


@pytest.fixture(autouse=True, scope="module")
def _no_reasons(request):
    """Calls that give all they can need not be told which input decides: to find it they are recorded once per input."""
    from mlsysim.engine import unread

    with pytest.MonkeyPatch.context() as patch:
        if "test_unread" not in request.node.nodeid:
            patch.setattr(unread, "MOST_NODES", 0)
            patch.setattr(unread, "FEW", 0)
        yield


def pytest_unconfigure(config):
    for directory in _own:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def interpreted():
    """``with interpreted(chunk=8, tile=64, table=16): ...``: nests interpreted, cut into small pieces."""
    from interpreting import interpreted

    return interpreted
