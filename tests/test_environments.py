"""What the script of environments would run, without running it."""

import sys

import environments
import pytest


def test_every_requirement_has_a_lower_bound_of_its_own():
    bounds = environments.lower_bounds()
    about = environments.project()
    assert {w.partition(">=")[0] for w in about["dependencies"]} <= set(bounds)
    assert {"pytest", "hypothesis", "matplotlib", "pint"} <= set(bounds) and all(bounds.values())


def test_a_requirement_without_a_lower_bound_is_refused(monkeypatch):
    for wish in ("numpy", "numpy<3", "numpy>=2,<3"):
        monkeypatch.setattr(environments, "project", lambda: {"dependencies": [wish], "optional-dependencies": {}})  # noqa: B023
        with pytest.raises(ValueError, match="numpy"):
            environments.lower_bounds()
    twice = {"dependencies": ["a>=1.9"], "optional-dependencies": {"b": ["a>=1.10"], "c": ["a>=1.2"]}}
    monkeypatch.setattr(environments, "project", lambda: twice)
    assert environments.lower_bounds() == {"a": "1.10"}


def test_the_lowest_python_runs_with_the_lowest_versions():
    lowest, newest = environments.environments([sys.executable], None)
    assert lowest.lowest and not newest.lowest and lowest.version == newest.version == sys.version_info[:3]
    assert environments.environments([sys.executable], "newest") == [newest]
    with pytest.raises(SystemExit, match="no_such_python"):
        environments.environments(["no_such_python"], None)
    assert environments.version_of("false") is None


def test_warnings_are_errors_and_the_continuous_integration_runs_the_bounds():
    hosted = (environments.ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert ".ci/run" in hosted and "tests/environments.py --only lowest" in hosted
    assert f'"{".".join(map(str, environments.lowest_python()))}"' in hosted
