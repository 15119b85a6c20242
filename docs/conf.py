"""The site: `sphinx-build -W --keep-going -b html docs docs/_build/html`.

Options are environment variables:

* ``DOCS_NOTEBOOKS=cache`` runs the notebooks so that the site shows their pictures (default ``off``: their text alone; `.ci/run`
  runs them anyway);
* ``DOCS_REPOSITORY=https://github.com/OWNER/NAME`` puts a Colab badge on every notebook.  Without it the address is read from
  ``[project.urls] Repository`` in pyproject.toml, and where there is none there is no badge.
"""

import os
import sys
import tomllib
from pathlib import Path

from docutils.parsers.rst import roles
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import generate  # noqa: E402

ABOUT = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "mlsysim"
author = copyright = "The developers of mlsysim"
version = release = ABOUT["version"]

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.githubpages", "myst_nb"]
exclude_patterns = ["_build", "generate"]
default_role = "named"  # see Named

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say types, units and shapes
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = os.environ.get("DOCS_NOTEBOOKS", "off")
nb_execution_timeout = 300
nb_execution_raise_on_error = True

html_theme = "furo"
html_title = f"mlsysim {version}"
html_static_path = ["site.css"]
html_css_files = ["site.css"]


class Named(SphinxRole):
    """A name in single quotes: a link where it is a full name of the package, else code."""

    def run(self):
        link = self.text.startswith("mlsysim.")
        role, _ = roles.role(
            "py:obj" if link else "literal", self.inliner.document.settings, self.lineno, self.inliner.reporter
        )
        return role("py:obj" if link else "literal", self.rawtext, self.text, self.lineno, self.inliner)


def hidden(app, what, name, found, skip, options):
    """Fields of tuples have nothing to say for themselves; their class does."""
    return True if type(found).__name__ == "_tuplegetter" else None


def unsplit(app, what, name, found, options, lines):
    """Keep Napoleon from reading what stands before a colon in a constant's comment as its type."""
    if what in ("data", "attribute"):
        lines.insert(0, "")


def complete(app, env):
    """Warn of a public name that has no entry, which ends a build with -W."""
    known = env.get_domain("py").objects
    for name in sorted(generate.reference.public() - set(known)):
        logging.getLogger(__name__).warning("%s has no entry on the site", name)


def setup(app):
    """Write the generated pages before Sphinx looks for sources."""
    repository = os.environ.get("DOCS_REPOSITORY") or ABOUT.get("urls", {}).get("Repository", "")
    app.add_role("named", Named())
    app.connect("autodoc-skip-member", hidden)
    app.connect("env-check-consistency", complete)
    app.connect("autodoc-process-docstring", unsplit, priority=400)  # before Napoleon's
    app.connect("builder-inited", lambda _: generate.site(HERE / "_generated", repository))
