"""What a type checker sees from outside: every import resolves, and an input that does not exist is refused."""

import json
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import mlsysim as ms

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import stubs

#: line -> what is wrong in it, nothing where all is right
SCRIPT = {
    "import mlsysim as ms": "",
    "import mlsysim.plot": "",
    f"from mlsysim import {', '.join(n for n in ms.__all__ if n != '__version__')}": "",
    "from mlsysim.search import Best, Counts, Pareto": "",
    'ms.ServingModel.solve(model="llama3_1_8b", hardware=["h100"], mem_bandwidth="4 TB/s", points=None, progress=True)': "",
    'ms.ServingModel(tp=4).best("itl", batch_size=range(1, 9), by=["tp"], sample=3).ttft': "",
    'ms.SensitivitySolver.solve(ServingModel, output="itl", seq_len=3)': "",
    'ms.SynthesisSolver.solve(targets={"latency": "1 s"}, target_mfu=0.4, model="bert_large")': "",
    'ms.ParallelismOptimizer.solve(model="m", resolver=compose(DistributedModel, EconomicsModel), region="fra")': "",
    'ms.EconomicsModel.top(3, "tco", duration_days=3, kwh_price=0.1, region="fra")': "",
    'ms.ResponsibleEngineeringModel.pareto("training_time", epsilon=[1, 3])': "",
    "compose(ServingModel, EconomicsModel).solve(anything=1)": "",
    'ms.ServingModel.solve(modle="x")': "modle",
    'ms.ServingModel.best("itl", batchsize=4)': "batchsize",
    'ms.ServingModel(hardwear="x")': "hardwear",
    "ms.ServingModel.pareto(minimise='itl')": "minimise",
    "ms.BatchingOptimizer.solve(modle='x')": "solve",
    "ms.ServingModl": "ServingModl",
}


@pytest.fixture
def script(tmp_path):
    """A script in another folder, beside an installed package."""
    try:
        metadata.distribution("mlsysim-sweep")
    except metadata.PackageNotFoundError:
        pytest.skip("mlsysim-sweep is not installed in this environment")
    path = tmp_path / "user.py"
    path.write_text("\n".join(SCRIPT) + "\n")
    return path


def test_the_stub_says_what_the_schema_says():
    assert stubs.STUB.read_text(encoding="utf-8") == stubs.text(), "python benchmarks/stubs.py --write"


def test_a_stub_that_lags_behind_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stubs, "STUB", tmp_path / "__init__.pyi")
    monkeypatch.setattr(sys, "argv", ["stubs.py", "--write"])
    assert stubs.main() == 0
    monkeypatch.setattr(sys, "argv", ["stubs.py"])
    assert stubs.main() == 0
    stubs.STUB.write_text("")
    assert stubs.main() == 1 and "--write" in capsys.readouterr().err


@pytest.mark.slow
def test_mypy_follows_the_package_from_another_folder(script):
    words = ["--python-executable", sys.executable, "--cache-dir", "cache", "--config-file", "", script.name]
    out = subprocess.run([sys.executable, "-m", "mypy", *words], cwd=script.parent, capture_output=True, text=True)
    found = re.findall(r"^user\.py:(\d+): error: (.*)$", out.stdout, flags=re.M)
    check({int(line): message for line, message in found}, out.stdout + out.stderr)


@pytest.mark.slow
def test_pyright_follows_the_package_from_another_folder(script):
    program = shutil.which("pyright", path=str(Path(sys.executable).parent)) or shutil.which("pyright")
    if program is None:
        pytest.skip("pyright is not installed")
    out = subprocess.run(
        [program, "--pythonpath", sys.executable, "--outputjson", script.name],
        cwd=script.parent,
        capture_output=True,
        text=True,
    )
    found = json.loads(out.stdout)["generalDiagnostics"]
    check({e["range"]["start"]["line"] + 1: e["message"] for e in found if e["severity"] == "error"}, out.stdout)


def check(errors, told):
    """Each wrong line has an error that names what is wrong, no other line has one."""
    wrong = {number: name for number, name in enumerate(SCRIPT.values(), 1) if name}
    assert set(errors) == set(wrong), told
    assert all(name in errors[number] for number, name in wrong.items()), told
