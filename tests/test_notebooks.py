"""The notebooks run from top to bottom and are kept without their outputs."""

import os
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytest.importorskip("matplotlib")

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
HANGING = 300  #: seconds after which a cell is given up; it takes seconds


def test_there_is_one_for_every_question():
    assert len(NOTEBOOKS) >= 5


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


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    book = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=HANGING, kernel_name="python3", resources=where).execute()
    outputs = [o for c in book.cells if c.cell_type == "code" for o in c.outputs]
    assert any("image/png" in o.get("data", {}) for o in outputs)
    told = [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"]
    assert not told, told
