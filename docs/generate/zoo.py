"""The tables of the zoo with their sources, and the assumptions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from generate.page import ROOT, contents, plain, save, table
from mlsysim import zoo
from mlsysim.cli import show
from mlsysim.cli.zoo import COLUMNS
from mlsysim.resolver.explain import assumptions
from mlsysim.zoo import tables

ABOUT = {
    "hardware": "Accelerators. Rates are dense, per device; bandwidths one way.",
    "models": "Networks: language models by their shape, others by layers.",
    "fabrics": "Links inside nodes and networks between them, per device and one way.",
    "systems": "Nodes and racks: devices, links, power.",
    "grids": "Carbon intensity, water and prices of electricity.",
    "datacenters": "Buildings: PUE and water use.",
    "reliability": "Published failures and what follows from them.",
    "constants": "Figures of laws and methods.",
    "curves": "How fast kernels of a device are, fitted to measured kernels.",
    "frameworks": "Trainers and engines; `settings.csv` says what each does differently.",
}


def shown(row: Any, column: str) -> str:
    """A cell as one says it; what was derived bears a star."""
    value = row[column]
    if column.endswith("year") or column == "since":
        return f"{value:.0f}" if value else ""
    star = r"\*" if column in row.derived else ""
    if isinstance(value, float):
        return plain(show.quantity(value, row.unit(column) or "1")).replace(" ", "\N{NO-BREAK SPACE}") + star
    return plain(value or "")


def write(folder: Path) -> None:
    home = folder / "zoo"
    for name in zoo.TABLES:
        columns = COLUMNS.get(name, ("device", "dtype"))
        rows = [zoo.lookup(name, key) for key in tables.rows(name)]
        save(
            home / f"{name}.md",
            f"# {name.capitalize()}",
            f"{ABOUT[name]} An empty cell: nobody says. A star: derived by a rule; `mlsysim zoo {name} NAME` tells it with the "
            f"whole row. All columns: {{download}}`{name}.csv`.",
            table(["key", *columns], [[f"`{row.key}`", *(shown(row, column) for column in columns)] for row in rows]),
            "## Sources",
            table(["key", "source"], [[f"`{row.key}`", plain(row["source"] or "")] for row in rows]),
        )
        shutil.copy(ROOT / "mlsysim" / "zoo" / f"{name}.csv", home)
    lines = [
        [f"`{name}`", f"{row.value:.6g}", f"`{row.unit}`", f"{row.spread:.2g}", plain(row.meaning), plain(row.source)]
        for name, row in assumptions().iterrows()
    ]
    save(
        home / "assumptions.md",
        "# Assumptions",
        "What is neither workload nor datasheet. Each is an input of every resolver that takes `assume`, can be fitted by "
        "`mlsysim calibrate`, and is drawn by its spread (one standard deviation, relative) under `quantile` or `sample`.",
        table(["name", "value", "unit", "spread", "meaning", "source"], lines),
    )
    save(
        home / "index.md",
        "# Data and sources",
        f"Every row names its source. The digest of these tables is `{zoo.digest()}`; an answer carries that of the data that it "
        "rests on.",
        contents([*zoo.TABLES, "assumptions"]),
    )
