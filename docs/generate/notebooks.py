"""The notebooks as pages, with a badge that opens them in Colab where the address of the repository is known."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat

from generate.page import ROOT, block, contents, save

NOTEBOOKS = ROOT / "notebooks"


def badge(repository: str, name: str) -> str:
    """A link that opens a notebook in Colab.

    >>> badge("https://github.com/owner/name", "x.ipynb")
    '[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/owner/name/blob/main/notebooks/x.ipynb)'
    """
    match = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git|/)?", repository)
    if match is None:
        raise ValueError(f"DOCS_REPOSITORY={repository!r}: must be https://github.com/OWNER/NAME, which Colab can open")
    colab = "https://colab.research.google.com"
    return f"[![Open in Colab]({colab}/assets/colab-badge.svg)]({colab}/github/{match[1]}/blob/main/notebooks/{name})"


def write(folder: Path, repository: str = "") -> None:
    home = folder / "notebooks"
    home.mkdir(parents=True, exist_ok=True)
    paths = sorted(NOTEBOOKS.glob("*.ipynb"))
    for path in paths:
        book = nbformat.read(path, as_version=4)
        if repository:
            title, _, rest = book.cells[0].source.partition("\n")
            book.cells[0].source = f"{title}\n\n{badge(repository, path.name)}\n{rest}"
        nbformat.write(book, home / path.name)
    colab = f"In Colab, run `%pip install git+{repository}` first." if repository else ""
    save(
        home / "index.md",
        "# Notebooks",
        "Questions answered step by step, in seconds each. To open them:",
        block("pip install -e '.[notebooks]' jupyterlab && jupyter lab notebooks", "sh"),
        colab,
        contents([path.stem for path in paths]),
    )
