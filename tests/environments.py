"""The tests in fresh environments: every Python that is found, and the lowest versions that pyproject.toml allows.

::

    python tests/environments.py                            # every Python on the PATH; the quick tests
    python tests/environments.py --all                      # the slow ones too
    python tests/environments.py --only lowest              # just the lowest versions, on the lowest Python
    python tests/environments.py --python ~/py/3.13/bin/python --python python3.14
    python tests/environments.py -- -k zoo -x               # what stands behind -- is pytest's

An environment is a Python with the newest versions of all that the project depends on; the lowest Python that is found
also runs with the lowest ones.  Each is made from nothing, the project is installed in it as the README says, with its
``test`` extra, and each ends with one line on the screen.  Exit code 0: all passed, 1: something failed, 2: no Python was found.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AHEAD = 9  #: minor versions of Python after the lowest that are looked for
TOLD = ("numpy", "pandas", "scipy", "xarray", "numba", "typer", "rich")  #: packages whose versions a closing line names


@dataclass(frozen=True)
class Environment:
    """One Python with the newest or the lowest versions of what the project depends on."""

    python: str
    version: tuple[int, ...]
    lowest: bool = False

    @property
    def name(self) -> str:
        """As in ``3.11.7 lowest``."""
        return f"{'.'.join(map(str, self.version))} {'lowest' if self.lowest else 'newest'}"


def project() -> dict:
    """The table ``project`` of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def lowest_python() -> tuple[int, int]:
    """The lowest Python that the project supports."""
    major, minor = re.fullmatch(r">=(\d+)\.(\d+)", project()["requires-python"]).groups()
    return int(major), int(minor)


def lower_bounds() -> dict[str, str]:
    """The lowest version of every package that the project or one of its extras asks for.

    Where two extras ask for one package the higher bound holds, as it does for pip.
    """
    about = project()
    found: dict[str, str] = {}
    for wish in [*about["dependencies"], *(w for extra in about["optional-dependencies"].values() for w in extra)]:
        match = re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?>=([\d.]+)", wish)
        if match is None:
            raise ValueError(f"pyproject.toml: {wish!r} has no lower bound alone (name>=version)")
        name, version = match.groups()
        found[name] = max(found.get(name, version), version, key=lambda v: tuple(map(int, v.split("."))))
    return found


def version_of(python: str) -> tuple[int, ...] | None:
    """Version of an interpreter, or None where it does not run (shims of version managers often do not)."""
    asked = [python, "-c", "import sys; print(*sys.version_info[:3])"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return tuple(map(int, told.stdout.split())) if told.returncode == 0 else None


def environments(pythons: list[str], only: str | None) -> list[Environment]:
    """What is to be run, the lowest Python first."""
    major, minor = lowest_python()
    names = pythons or [f"python{major}.{m}" for m in range(minor, minor + AHEAD)]
    found: dict[tuple[int, ...], str] = {}
    for name in names:
        version = version_of(name) if shutil.which(name) else None
        if version is None or version < (major, minor):
            if pythons:
                sys.exit(f"error: --python {name}: {'does not run' if version is None else 'is too old'}")
            continue
        found.setdefault(version, shutil.which(name) or name)
    newest = [Environment(found[v], v) for v in sorted(found)]
    lowest = [Environment(e.python, e.version, lowest=True) for e in newest[:1]]
    return {"newest": newest, "lowest": lowest, None: lowest + newest}[only]


def run(environment: Environment, folder: Path, everything: bool, more: list[str]) -> tuple[bool, str]:
    """Make an environment, run the tests in it; whether they passed, and the closing line."""
    home = folder / environment.name.replace(" ", "-")
    log = home.with_suffix(home.suffix + ".log")
    python = str(home / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e", ".[test]"]
    if environment.lowest:
        constraints = folder / "lowest.txt"
        constraints.write_text("".join(f"{name}=={version}\n" for name, version in lower_bounds().items()))
        install += ["-c", str(constraints)]
    tests = [python, "-m", "pytest", "-n", "auto", *([] if everything else ["-m", "not slow"]), *more]
    with log.open("w", encoding="utf-8") as out:
        for words in ([environment.python, "-m", "venv", "--clear", str(home)], install, tests):
            print("+", *words, file=out, flush=True)
            if subprocess.run(words, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT).returncode:
                return False, f"{environment.name}: FAILED\n{indented(log)}\n    all of it: {log}"
    last = log.read_text(encoding="utf-8").rstrip().rpartition("\n")[2].strip("= ")
    return True, f"{environment.name}: {last} ({versions(python)})"


def indented(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(f"    {line}" for line in log.read_text(encoding="utf-8").splitlines()[-lines:])


def versions(python: str) -> str:
    """What an environment holds, as in ``numpy 2.4.6, ...``."""
    code = f"from importlib.metadata import version; print(', '.join(f'{{n}} {{version(n)}}' for n in {TOLD!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout.strip()


def main(words: list[str] | None = None) -> int:
    """Run them all, one after another."""
    about, _, usage = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=about, epilog=usage, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--python", action="append", default=[], metavar="NAME", help="an interpreter, in place of those found"
    )
    parser.add_argument(
        "--only", choices=["newest", "lowest"], help="just these versions of what the project depends on"
    )
    parser.add_argument("--all", action="store_true", help="the slow tests too")
    parser.add_argument(
        "--folder", type=Path, help="where the environments are made and stay (default: a temporary folder)"
    )
    parser.add_argument("more", nargs="*", metavar="-- ARGUMENTS", help="arguments of pytest")
    asked = parser.parse_args(words)
    wanted = environments(asked.python, asked.only)
    if not wanted:
        print("no Python was found: name one with --python", file=sys.stderr)
        return 2
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="mlsysim-environments-"))
    folder.mkdir(parents=True, exist_ok=True)
    passed = []
    for environment in wanted:
        fine, line = run(environment, folder.resolve(), asked.all, asked.more)
        passed.append(fine)
        print(line, flush=True)
    if asked.folder is None and all(passed):
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
