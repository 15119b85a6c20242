"""What is declared is used, what is installed is ours: extras, the second name of the program, the package of another project."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import mlsweep
import pytest
import xarray as xr
from test_cli import answer, fails, run

import mlsysim as ms
from mlsysim import grammar
from mlsysim.cli import doctor

ROOT = Path(__file__).parent.parent
OUTSIDE = ROOT / "mlsysim" / "cli" / "outside"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {e: wishes for e, wishes in PROJECT["optional-dependencies"].items() if e not in doctor.ASIDE}
#: package -> what stands for it in the code, where that is not its own name
WRITTEN = {"h5py": "h5netcdf", "ipykernel": "NotebookClient", "pint-xarray": "registry"}


def named(wishes):
    return {re.match(r"[\w-]+", wish)[0] for wish in wishes}


def test_the_citation_speaks_of_this_version():
    said = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {PROJECT['version']}\n" in said and f"\nlicense: {PROJECT['license']['text']}\n" in said
    assert f" {len(ms.RESOLVERS)} resolvers over" in said


# --- extras -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_extra_is_used_and_the_tests_have_it(extra):
    paths = [
        p
        for ending in ("py", "ipynb")
        for d in ("mlsysim", "tests", "notebooks")
        for p in (ROOT / d).rglob(f"*.{ending}")
    ]
    text = "\n".join(p.read_text(encoding="utf-8") for p in paths if p.name != Path(__file__).name)
    for package in named(EXTRAS[extra]):
        word = WRITTEN.get(package, package.replace("-", "_"))
        assert re.search(rf"""import {word}|from {word}|["']{word}["']|{word}\(""", text), f"{package} is used nowhere"
    assert named(EXTRAS[extra]) <= named(PROJECT["optional-dependencies"]["test"])


def test_doctor_tells_what_the_metadata_declares(monkeypatch):
    about = {"Provides-Extra": ["plot", "store", "test"], "Requires-Dist": []}
    about["Requires-Dist"] = [
        "numpy>=1.26",
        'matplotlib>=3.10; extra == "plot"',
        'no-such-package>=1; extra == "store"',
        'h5py>=999; extra == "store"',
        'pytest; extra == "test"',
    ]
    whole = metadata.metadata

    class Metadata(dict):
        get_all = dict.get

    monkeypatch.setattr(metadata, "metadata", lambda name: Metadata(about) if name == mlsweep.OURS else whole(name))
    found = doctor.requirements()
    assert list(found) == ["", "plot", "store"] and list(found[""]) == ["numpy"] and found["plot"]["matplotlib"]
    assert found["store"]["no-such-package"] == "" and found["store"]["h5py"].endswith("(>=999 is needed)")
    monkeypatch.setattr(doctor, "how_to_install", lambda extra: f"pip install mlsysim-sweep[{extra}]")
    told = run("doctor").stdout
    assert "no-such-package" in told and "pip install mlsysim-sweep[store]" in told
    assert "pip install mlsysim-sweep[plot]" not in told
    assert answer("doctor")["extras"]["store"]["no-such-package"] == ""


def test_a_clone_is_installed_from_where_it_lies(monkeypatch):
    class Distribution:
        origin = None

        def read_text(self, name):
            return self.origin

    monkeypatch.setattr(metadata, "distribution", lambda name: Distribution())
    assert doctor.how_to_install("plot") == "pip install 'mlsysim-sweep[plot]'"
    Distribution.origin = json.dumps({"url": "file:///a%20b/clone", "dir_info": {"editable": True}})
    assert doctor.how_to_install("plot") == "pip install -e '/a b/clone[plot]'"


# --- saved as Zarr ------------------------------------------------------------------------------------------

GRID = ["solve", "serving", "model=llama3_1_8b", "hardware=h100,a100", "seq_len=2048", "batch_size=1,2,4"]


def test_a_result_is_saved_as_zarr_and_read_back(tmp_path):
    store = tmp_path / "run.zarr"
    for out in (store, f"{store}/"):  # the second time in place of the first
        assert run(*GRID, "--out", str(out)).exit_code == 0
    inputs = {"model": "llama3_1_8b", "hardware": ["h100", "a100"], "seq_len": 2048, "batch_size": [1, 2, 4]}
    assert xr.open_zarr(store).load().equals(ms.ServingModel.solve(**inputs))


def test_a_store_replaces_nothing_but_a_store(tmp_path, monkeypatch):
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "thesis.tex").write_text("")
    assert "is a folder" in fails(*GRID, f"out={tmp_path / 'mine.zarr'}")
    assert "is no folder" in fails(*GRID, f"out={tmp_path / 'none' / 'x.zarr'}")
    assert ".zarr" in fails(*GRID, f"out={tmp_path / 'x.parquet'}")
    monkeypatch.setitem(sys.modules, "zarr", None)
    assert fails(*GRID, f"out={tmp_path / 'x.zarr'}") == "zarr is not installed: pip install 'mlsysim-sweep[store]'"


# --- the other project of the name --------------------------------------------------------------------------


def python(code, *folders):
    """What a Python that finds packages in some folders says."""
    script = f"import sys; sys.path[:0] = {list(map(str, folders))!r}; {code}"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=folders[0])


@pytest.fixture
def beside(tmp_path):
    """A folder in which the other project left its mark beside a copy of our front door."""
    (tmp_path / "mlsysim-0.3.0.dist-info").mkdir()
    (tmp_path / "mlsysim-0.3.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: mlsysim\nVersion: 0.3.0\n"
    )
    (tmp_path / "mlsysim").mkdir()
    return tmp_path


def test_ours_beside_theirs_warns_and_works(beside):
    door = f"__path__.append({str(ROOT / 'mlsysim')!r})\n" + (ROOT / "mlsysim" / "__init__.py").read_text(
        encoding="utf-8"
    )
    (beside / "mlsysim" / "__init__.py").write_text(door)
    out = python("import mlsysim; print(mlsysim.ServingModel.name)", beside, ROOT)
    assert out.stdout.strip() == "ServingModel" and out.returncode == 0
    assert "mlsysim 0.3.0, a package of another project, is installed beside mlsysim-sweep" in out.stderr
    assert "pip uninstall mlsysim" in out.stderr and out.stderr.count("another project") == 1
    quiet = python("import mlsysim", ROOT, ROOT)
    assert quiet.stderr == ""


def test_theirs_in_place_of_ours_is_refused_under_our_own_name(beside):
    (beside / "mlsysim" / "__init__.py").write_text("'''The textbook.'''\n")
    out = python("import mlsweep; mlsweep.main()", beside, OUTSIDE)
    assert out.returncode == 1 and out.stdout == "" and len(out.stderr.splitlines()) == 1
    assert (
        f"error: {beside / 'mlsysim'} belongs to mlsysim 0.3.0" in out.stderr and "not to mlsysim-sweep" in out.stderr
    )
    nothing = python("import mlsweep; mlsweep.package = str; mlsweep.main()", beside, OUTSIDE)
    assert nothing.returncode == 1 and "mlsysim-sweep is not installed here" in nothing.stderr


def test_doctor_tells_of_the_other_project(monkeypatch):
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.3.0" if name == "mlsysim" else version(name))
    out = run("doctor")
    assert out.exit_code == 1 and "mlsysim 0.3.0, a package of another project, is installed beside" in out.stderr
    monkeypatch.setattr(metadata, "version", version)
    assert mlsweep.clash() == ""


def test_the_second_name_runs_the_same_program():
    assert PROJECT["scripts"] == {"mlsysim": "mlsysim.cli:main", "mlsweep": "mlsweep:main"}
    out = python("import mlsweep; sys.argv[1:] = ['--version']; mlsweep.main()", ROOT, ROOT)
    assert out.stdout.strip() == f"mlsysim {ms.__version__}" and importlib.util.find_spec("mlsweep")
    assert grammar.named("serving") is ms.ServingModel
