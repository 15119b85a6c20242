"""``mlsweep``: the command line of mlsysim-sweep under a name that no other project has.

Another project on PyPI is called ``mlsysim``, too, and installs a package and a command of that name: in one environment
each overwrites files of the other.  This module lies outside that package, so it can tell whose it is.
"""

from __future__ import annotations

import os
import sys
from importlib import metadata
from importlib.util import find_spec

OURS, THEIRS = "mlsysim-sweep", "mlsysim"
CURE = f"pip uninstall {THEIRS}, then pip install --force-reinstall --no-deps {OURS} (in its clone: -e .)"


def package() -> str:
    """The folder that ``import mlsysim`` finds, empty where there is none."""
    spec = find_spec(THEIRS)
    return os.path.dirname(spec.origin) if spec is not None and spec.origin else ""


def is_ours(folder: str) -> bool:
    """Is the front door of a package that of mlsysim-sweep?"""
    try:
        with open(os.path.join(folder, "__init__.py"), encoding="utf-8") as text:
            return OURS in text.read()
    except OSError:
        return False


def clash() -> str:
    """One sentence where ``import mlsysim`` is not mlsysim-sweep alone, empty where it is."""
    folder = package()
    if not folder:
        return f"{OURS} is not installed here: pip install {OURS}"
    try:
        other = f"{THEIRS} {metadata.version(THEIRS)}, a package of another project,"
    except metadata.PackageNotFoundError:
        other = ""
    if other and is_ours(folder):
        return f"{other} is installed beside {OURS}, and both write into {folder}: {CURE}"
    return "" if is_ours(folder) else f"{folder} belongs to {other or 'another package'} not to {OURS}: {CURE}"


def main() -> None:
    """Run the command line, or say that it would be another project's."""
    if not is_ours(package()):
        print(f"error: {clash()}", file=sys.stderr)
        sys.exit(1)
    from mlsysim.cli import main as start

    start()


if __name__ == "__main__":
    main()
