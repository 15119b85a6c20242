"""Numbers that a change moved: `python benchmarks/changes.py [REVISION]`, as lines for CHANGELOG.md.

Compares the accepted errors (``benchmarks/accepted.json``) of this tree with those of another revision (by default the
last tag, else the first commit), and prints every figure that moved by more than `LEAST`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
LEAST = 0.005  #: a difference of errors that is worth a line: half a percentage point


def accepted_at(revision: str) -> dict[str, dict[str, float]]:
    """The accepted errors of a revision; none where the file was not there yet."""
    found = subprocess.run(
        ["git", "show", f"{revision}:benchmarks/accepted.json"], cwd=HERE, capture_output=True, text=True, check=False
    )
    return json.loads(found.stdout) if found.returncode == 0 else {}


def last_release() -> str:
    """The last tag, or the first commit of a tree without tags."""
    for command in (["git", "describe", "--tags", "--abbrev=0"], ["git", "rev-list", "--max-parents=0", "HEAD"]):
        found = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
        if found.returncode == 0:
            return found.stdout.split()[0]
    raise SystemExit("this is no git checkout: name nothing to compare with")


def moved(before: dict[str, dict[str, float]], now: dict[str, dict[str, float]]) -> list[str]:
    """One line for every figure that moved, appeared or went, the largest move first."""
    lines = []
    for runs in {**before, **now}:
        old, new = before.get(runs, {}), now.get(runs, {})
        for key in {**old, **new}:
            if key not in new:
                lines.append((1.0, f"- {runs}, {key}: no longer predicted"))
            elif key not in old:
                lines.append((0.0, f"- {runs}, {key}: new, {100 * new[key]:.1f} %"))
            elif abs(new[key] - old[key]) > LEAST:
                lines.append(
                    (abs(new[key] - old[key]), f"- {runs}, {key}: {100 * old[key]:.1f} -> {100 * new[key]:.1f} %")
                )
    return [text for _, text in sorted(lines, key=lambda line: (-line[0], line[1]))]


if __name__ == "__main__":
    revision = sys.argv[1] if len(sys.argv) > 1 else last_release()
    lines = moved(accepted_at(revision), json.loads((HERE / "accepted.json").read_text(encoding="utf-8")))
    print(
        "\n".join(lines) if lines else f"no accepted error moved by more than {100 * LEAST:g} points since {revision}"
    )
