"""The pages of the site that are written from the package, its data and its answers: nobody types a figure of them.

`python docs/generate` writes them into docs/_generated, as every build of the site does (docs/conf.py).  A module for each
kind of page; `page.py` is what they share.
"""

import shutil
from pathlib import Path

from generate import notebooks, project, questions, reference, resolvers, words, zoo

WRITERS = (questions, resolvers, reference, zoo, words, project)


def site(folder: Path, repository: str = "") -> None:
    """Write every generated page below a folder, from nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    for writer in WRITERS:
        writer.write(folder)
    notebooks.write(folder, repository)
