"""The notebooks run from top to bottom and are kept without their outputs."""

import os
import re
from pathlib import Path
from unittest import mock

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
HANGING = 300  #: seconds after which a cell is given up; it takes seconds


def test_there_is_one_for_every_question():
    assert len(NOTEBOOKS) >= 9


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_is_kept_without_outputs(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert book.cells[0].cell_type == "markdown" and book.cells[0].source.startswith("# ")
    code = [c for c in book.cells if c.cell_type == "code"]
    assert "plt.show()" in code[0].source  # it opens with a picture
    assert all(not c.outputs and c.execution_count is None for c in code)
    text = path.read_text()
    assert not re.search(r"/(home|root|work|tmp|Users|mnt|opt)/|[A-Z]:\\\\", text)
    assert "flag_meanings" not in text, "labels are read by the package, not by a decoder of one's own"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What the cells of each notebook give, in one kernel that forgets one notebook before it runs the next.

    A kernel of its own for each is what `jupyter execute` in .ci/run starts.
    """
    book, own = nbformat.v4.new_notebook(), {}
    for path in NOTEBOOKS:
        own[path] = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
        book.cells += [*own[path], nbformat.v4.new_code_cell("%reset -f")]
    for number, cell in enumerate(book.cells):
        cell.id = f"cell-{number}"  # each is unique in its own book only
    where = {"metadata": {"path": str(tmp_path_factory.mktemp("notebooks"))}}
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with mock.patch.dict(os.environ, PYTHONPATH=paths, PYTHONWARNINGS="ignore"):
        nbclient.NotebookClient(
            book, timeout=HANGING, kernel_name="python3", resources=where, allow_errors=True
        ).execute()
    return {path: [o for cell in cells for o in cell.outputs] for path, cells in own.items()}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs(path, outputs):
    failed = [o.traceback for o in outputs[path] if o.output_type == "error"]
    assert not failed, "\n".join(failed[0])
    assert any("image/png" in o.get("data", {}) for o in outputs[path])
    told = [o.text for o in outputs[path] if o.output_type == "stream" and o.name == "stderr"]
    assert not told, told
