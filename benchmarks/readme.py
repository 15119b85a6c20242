"""Writes what the README shows of the package itself: `python benchmarks/readme.py [--picture]`.

The table of resolvers always; the picture (the headline sweep, some seconds) when asked for.
"""

from __future__ import annotations

import sys
from pathlib import Path

import mlsysim as ms

ROOT = Path(__file__).resolve().parent.parent


def fill(section: str, text: str, path: Path = ROOT / "README.md") -> None:
    """Put a text between the markers of a section."""
    begin, end = f"<!-- {section}:begin -->", f"<!-- {section}:end -->"
    head, rest = path.read_text(encoding="utf-8").split(begin)
    tail = rest.split(end)[1]
    path.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


def resolvers() -> str:
    """The public resolvers by domain, each with the walls that it evaluates."""
    domains: dict[str, list[str]] = {}
    for name, resolver in ms.RESOLVERS.items():
        walls = ", ".join(map(str, resolver.walls))
        domains.setdefault(resolver.domain, []).append(f"`{name}`{f' ({walls})' if walls else ''}")
    lines = [f"| {domain} | {', '.join(names)} |" for domain, names in domains.items()]
    return "\n".join(["| domain | resolvers, and the walls that each evaluates |", "|---|---|", *lines])


def picture() -> str:
    """The front of the headline sweep, drawn."""
    from mlsysim import headline, plot
    from mlsysim.search import Best, Pareto

    best, front = headline.resolver().sweep(
        [
            Best(headline.OBJECTIVES[0], by=headline.BY, where=headline.WHERE),
            Pareto(headline.OBJECTIVES, where=headline.WHERE),
        ],
        **headline.inputs(),
    )
    path = str(ROOT / "benchmarks" / "headline.png")
    return plot.save(front, path, headline.OBJECTIVES, headline.BY, best)


if __name__ == "__main__":
    fill("resolvers", resolvers())
    if "--picture" in sys.argv[1:]:
        print(picture())
