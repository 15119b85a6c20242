"""What pages are made of: Markdown text, tables, blocks, docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def save(path: Path, *parts: str) -> None:
    """Write a page of parts."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n\n".join(part.strip("\n") for part in parts if part) + "\n", encoding="utf-8")


def plain(text: object) -> str:
    r"""Text as Markdown that shows just this; what stands in backquotes stays code.

    >>> plain("a_b * c|d of ``x_y``")
    'a\\_b \\* c\\|d of `x_y`'
    """
    pieces = re.split(r"(`[^`]*`)", " ".join(str(text).replace("``", "`").split()))
    return "".join(
        piece.replace("|", r"\|") if n % 2 else re.sub(r"([\\*_<>\[\]|$~#])", r"\\\1", piece)
        for n, piece in enumerate(pieces)
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are Markdown already."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell or ' ' for cell in line)} |" for line in lines)


def block(text: str, language: str = "text") -> str:
    """A block of code, or of what a program said."""
    trimmed = "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
    return f"```{language}\n{trimmed}\n```"


def contents(pages: Iterable[str]) -> str:
    """A list of the pages below this one."""
    return "\n".join(["```{toctree}", ":maxdepth: 1", "", *pages, "```"])


def sections(docstring: str) -> dict[str, str]:
    """A numpydoc docstring by section; the first line is `Summary`, what follows it `Extended`.

    >>> sections("One.\\n\\nMore.\\n\\nNotes\\n-----\\nTrue below 1.\\n")
    {'Summary': 'One.', 'Extended': 'More.', 'Notes': 'True below 1.'}
    """
    pieces = re.split(r"^(\w[\w ]*)\n-{3,}$", inspect.cleandoc(docstring), flags=re.M)
    summary, _, extended = pieces[0].strip().partition("\n\n")
    found = {"Summary": " ".join(summary.split()), "Extended": extended.strip("\n")}
    found |= {name: text.strip("\n") for name, text in zip(pieces[1::2], pieces[2::2])}
    return {name: text for name, text in found.items() if text}


def prose(text: str) -> str:
    """Paragraphs of a docstring as Markdown; indented blocks stay as they are.

    >>> print(prose("A * b of ``x``::\\n\\n    y = x"))
    A \\* b of `x`:
    <BLANKLINE>
        y = x
    """
    parts = []
    for part in re.split(r"\n\s*\n", text):
        if part.startswith("    "):
            parts.append(part)
        elif part.startswith(("* ", "- ")):
            parts.append(
                "\n".join(f"* {plain(item)}" for item in re.split(r"^[*-] ", part, flags=re.M) if item.strip())
            )
        else:
            parts.append(re.sub(r"::$", ":", plain(part)))
    return "\n\n".join(parts)


def entries(text: str) -> list[tuple[str, str]]:
    """Names and meanings of a section like `Parameters`.

    >>> entries("a, b : degrees of\\n    two kinds.\\nc : byte, optional\\n    What is held.")
    [('a, b', 'degrees of two kinds.'), ('c', 'byte, optional. What is held.')]
    """
    found: list[tuple[str, str]] = []
    for item in re.split(r"^(?=\S)", text, flags=re.M):
        line, _, rest = item.partition("\n")
        names, _, head = line.partition(" : ")
        body = " ".join(rest.split())
        typed = head and body[:1].isupper() and not head.endswith((".", ",", ";"))
        if names:
            found.append((names.strip(), f"{head}. {body}" if typed else f"{head} {body}".strip()))
    return found
