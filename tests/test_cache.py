"""Compiled code on disk: never stale, never half written, and not needed."""

import inspect
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from forked import Child

import mlsysim

ROOT = Path(mlsysim.__file__).parents[1]

RESOLVER = '''
    from typing import NamedTuple
    import numpy as np
    from mlsysim.resolver import Model, kernel
    from mlsysim.equations.counting import ceil_div
    from equation import cost

    class Out(NamedTuple):
        itl: float
        feasible: bool

    @kernel
    def toll(global_batch, tp, dp, micro_batch=1) -> Out:
        """Small."""
        return Out(cost(ceil_div(global_batch, dp * micro_batch), tp), dp < 4)

    Toll = Model("Toll", toll, domain="node")
'''
EQUATION = "def cost(waves, tp):\n    return waves / tp + {literal}\n"
ASK = """
    import numpy as np
    from toll import Toll
    grid = dict(global_batch=np.arange(1, 200), tp=[1, 2, 3, 4, 7], dp=[1, 2, 3], micro_batch=[1, 3])
    best = Toll.best("itl", plan="nest", **grid)
    stored = Toll.solve(plan="nest", keep="itl", **grid)
    print(float(best.itl), float(stored.itl.min()), float(Toll.solve(plan="plain", **grid).itl.min()))
"""


@pytest.fixture
def project(tmp_path):
    """A user's resolver with its equation in a file of its own."""
    (tmp_path / "toll.py").write_text(textwrap.dedent(RESOLVER))
    (tmp_path / "equation.py").write_text(EQUATION.format(literal=0.0))
    (tmp_path / "ask.py").write_text(textwrap.dedent(ASK))
    return tmp_path


def start(project, script="ask.py", kind="compiler", **environment):
    env = {"PYTHONWARNINGS": "error", **environment}
    return Child((project / script).read_text(), kind, env, path=[project])


def finish(process):
    code, out, err = process.finish()
    assert code == 0, err
    return out.split()


def test_an_edited_equation_never_gives_the_old_number(project):
    cache = project / "cache"
    first = finish(start(project, MLSYSIM_CACHE=str(cache)))
    assert len(set(first)) == 1
    entries = {p.name for p in cache.iterdir()}
    assert entries and not any(name.startswith(".") for name in entries), "nothing half done is left"
    (project / "equation.py").write_text(EQUATION.format(literal=0.5))
    second = finish(start(project, MLSYSIM_CACHE=str(cache)))
    assert len(set(second)) == 1 and float(second[0]) == float(first[0]) + 0.5
    assert entries < {p.name for p in cache.iterdir()}
    (project / "equation.py").write_text(EQUATION.format(literal=0.0))
    before = {p: p.stat().st_mtime_ns for p in cache.iterdir()}
    assert finish(start(project, MLSYSIM_CACHE=str(cache))) == first
    assert {p: p.stat().st_mtime_ns for p in cache.iterdir()} == before, "the third run compiled nothing"


def test_four_processes_starting_cold_together(project):
    cache = project / "cache"
    answers = [finish(p) for p in [start(project, MLSYSIM_CACHE=str(cache)) for _ in range(4)]]
    assert len({tuple(a) for a in answers}) == 1
    assert not [p for p in cache.iterdir() if p.name.startswith(".")]
    assert finish(start(project, MLSYSIM_CACHE=str(cache))) == answers[0]


def test_the_cache_can_be_off_or_nowhere(project, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no directory")
    home = tmp_path / "home"
    running = {
        "off": start(project, MLSYSIM_CACHE="off", HOME=str(home), TMPDIR=str(tmp_path / "t1")),
        "home is a file": start(project, HOME=str(blocked), TMPDIR=str(tmp_path / "t2")),
    }
    for i in (1, 2):
        (tmp_path / f"t{i}").mkdir()
    answers = {how: finish(process) for how, process in running.items()}
    assert len({tuple(a) for a in answers.values()}) == 1
    assert not home.exists() and not list((tmp_path / "t1").iterdir())
    assert [p.name for p in (tmp_path / "t2").iterdir()] and not blocked.is_dir()


def test_the_key_covers_all_that_a_nest_is_made_of(monkeypatch):
    from mlsysim.engine import cache

    keys = {cache.digest("a", "b"), cache.digest("b", "b"), cache.digest("a", "a")}
    for place, value in (
        ("numba.__version__", "9.9"),
        ("llvmlite.__version__", "9.9"),
        ("llvmlite.binding.get_host_cpu_name", lambda: "another"),
        ("numba.config.CPU_FEATURES", "+none"),
        ("numba.config.OPT", 1),
        ("mlsysim.engine.cache.OPTIONS", {"fastmath": True}),
        ("mlsysim.engine.cache.imported", lambda text: "other"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, value)
            cache.machine.cache_clear()
            keys.add(cache.digest("a", "b"))
    cache.machine.cache_clear()
    assert len(keys) == 10


def test_the_key_covers_what_a_source_imports(monkeypatch):
    from mlsysim.engine import cache, elementary, intrinsics, nest

    head = "\n".join(nest._HEAD)
    assert "import mlsysim" not in head.replace("from mlsysim.engine.intrinsics import", "")
    for module in (intrinsics, elementary):  # the one imports the other
        assert inspect.getsource(module) in cache.imported(head)
    assert cache.imported("import numpy\nfrom mlsysim.units import parse\n").startswith('"""Quantities')


def test_where_the_cache_lies(monkeypatch, tmp_path):
    from mlsysim.engine.folder import directory

    with monkeypatch.context() as patch:
        patch.setenv("MLSYSIM_CACHE", str(tmp_path / "here"))
        assert directory() == tmp_path / "here"
        for off in ("off", "OFF", "0", "none"):
            patch.setenv("MLSYSIM_CACHE", off)
            assert directory() is None
        patch.delenv("MLSYSIM_CACHE")
        patch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert directory() == tmp_path / "xdg" / "mlsysim"
        patch.delenv("XDG_CACHE_HOME")
        patch.setenv("HOME", str(tmp_path / "home"))
        assert directory() == tmp_path / "home" / ".cache" / "mlsysim"
        (tmp_path / "file").write_text("")
        patch.setenv("HOME", str(tmp_path / "file"))
        patch.setattr("tempfile.tempdir", str(tmp_path))
        assert directory().parent == tmp_path and directory().name.startswith("mlsysim-")
    assert not (tmp_path / "here").exists() and not (tmp_path / "home").exists(), "asking makes nothing"


def test_a_tilde_is_the_home_and_a_relative_path_stays_where_it_began(monkeypatch, tmp_path):
    from mlsysim.engine.folder import directory

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLSYSIM_CACHE", "~/kernels")
    assert directory() == tmp_path / "home" / "kernels"
    monkeypatch.setenv("MLSYSIM_CACHE", "kernels-of-this-test")
    assert directory() == tmp_path / "kernels-of-this-test"
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert directory() == tmp_path / "kernels-of-this-test"
    monkeypatch.setenv("MLSYSIM_CACHE", "~nobody-of-this-name/kernels")
    assert directory() is None


def test_importing_is_light_and_one_answer_needs_no_compiler():
    script = """
        import sys
        import mlsysim
        print(*sorted(m for m in sys.modules if m.count('.') < 2))
        from toy import StepModel
        best = StepModel.best("itl", hardware="h100", global_batch=[49, 98], tp=[2, 7])
        StepModel.solve(hardware="h100", global_batch=49)
        assert best.found
        print("numba" in sys.modules)
    """
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    imported, compiler = done.stdout.splitlines()
    loaded = imported.split()
    assert "mlsysim" in loaded
    for heavy in (
        "rich",
        "typer",
        "matplotlib",
        "dask",
        "zarr",
        "pint",
        "h5netcdf",
        "scipy.optimize",
        "scipy.stats",
    ):
        assert heavy not in loaded
    assert compiler == "False"


VERBS = """
    import numpy as np
    from mlsysim.engine import cache
    from toy import ClimbModel, StepModel

    grid = dict(hardware="h100", global_batch=[49, 98, 147, 588], tp=[1, 2, 7, 14, 28], dp=[1, 3, 7, 49], pp=[1, 7, 11, 77],
                virtual_stages=[1, 7], mem_bandwidth=np.linspace(1e12, 3e12, 40))
    for plan in ("auto", "nest"):
        for model in (StepModel, ClimbModel):
            print(model.best("itl", by="tp", plan=plan, **grid).itl.values.tolist())
            print(model.top(3, "energy", plan=plan, **grid).energy.values.tolist())
            front = model.pareto(["itl", "memory_per_device"], maximize="mem_bandwidth", plan=plan, **grid)
            print(front.itl.values.tolist())
            print(float(model.solve(plan=plan, keep="itl", **grid).itl.sum()))
    print(StepModel.best("itl", plan="generic", **grid).itl.values.tolist())
    root = ClimbModel.root("mem_bandwidth", {"itl": 0.1}, hardware="h100", global_batch=[49, 98], pp=[1, 7, 11, 77])
    print(root.mem_bandwidth.values.tolist())
    print(cache.compiler())
"""


def test_without_a_compiler_every_verb_answers_the_same(project):
    (project / "verbs.py").write_text(textwrap.dedent(VERBS))
    odd = {"NUMBA_NUM_THREADS": "many", "NUMBA_CACHE_DIR": str(project / "foreign"), "PYTHONWARNINGS": "default"}
    environments = [
        odd,
        {"NUMBA_DISABLE_JIT": "1"},
        {"NUMBA_NUM_THREADS": "0", "PYTHONWARNINGS": "default"},
    ]
    running = [  # from a template without numba, which reads its settings when it is imported
        start(project, "verbs.py", "package", MLSYSIM_CACHE=str(project / f"cache-{i}"), **more)
        for i, more in enumerate(environments)
    ]
    answers = [finish(process) for process in running]
    assert [answer.pop() for answer in answers] == ["True", "False", "False"]
    assert answers[1] == answers[0] and answers[2] == answers[0]
    assert not (project / "foreign").exists() and len(list((project / "cache-0").iterdir())) > 4


def test_a_numba_that_cannot_be_imported_is_told(monkeypatch):
    from mlsysim.engine import cache, folder

    monkeypatch.setattr(folder, "_told", set())
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.warns(RuntimeWarning, match="numba cannot be imported"):
        assert not cache._numba_serves.__wrapped__()
