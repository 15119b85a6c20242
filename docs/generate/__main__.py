"""`python docs/generate`: write the generated pages without building the site."""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

from generate import site  # noqa: E402

site(DOCS / "_generated")
