"""Tables for people: sizes in the units in which one speaks of them, and only as many rows as one reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlsysim.engine.label import labelled
from mlsysim.sizes import number, quantity, scale

if TYPE_CHECKING:
    import xarray as xr

#: memory that is taken, and its share of what there is: together they tell how much there is
HELD, USED = "memory_per_device", "memory_utilization"
#: rows that a table shows
ROWS = 20


def console(stderr: bool = False) -> Any:
    """A rich console; wide where nothing sets a width."""
    import os

    from rich.console import Console

    found = Console(stderr=stderr, highlight=False)
    return (
        found if found.is_terminal or os.environ.get("COLUMNS") else Console(stderr=stderr, highlight=False, width=160)
    )


def note(text: str) -> None:
    """A dim line below a table, not folded."""
    from rich.text import Text

    console().print(Text(text, style="dim"), soft_wrap=True)


def count(n: int, noun: str) -> str:
    """A number of things.

    >>> count(1, "configuration"), count(2000, "configuration")
    ('1 configuration', '2,000 configurations')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


class Column(NamedTuple):
    """One column of a table."""

    head: str
    cells: list[str]
    numeric: bool = False
    droppable: bool = False  #: may go when the terminal is narrow


def head(name: str, unit: str = "") -> str:
    """A head on several short lines.

    >>> head("training_time", "days")
    'training_\\ntime\\n[days]'
    """
    lines = [""]
    for part in name.split("_"):
        word = part if lines == [""] else f"_{part}"
        if lines[-1] and len(lines[-1]) + len(word) > 12:
            lines[-1] += "_"
            lines.append(part)
        else:
            lines[-1] += word
    return "\n".join([*lines, *([f"[{unit}]"] if unit else [])])


def grid(columns: Sequence[Column], title: str = "", faint: Sequence[bool] = ()) -> list[str]:
    """Print a table; the `faint` rows are dim.

    Returns
    -------
    list of str
        Heads of the columns for which there was no room.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    out = console()
    # texts are written for the documentation as well, which marks names so
    columns = [c._replace(cells=[cell.replace("``", "") for cell in c.cells]) for c in columns]
    kept, gone = list(columns), []
    while sum(_width(c) + 3 for c in kept) > out.width:
        drop = next((c for c in reversed(kept) if c.droppable), None)
        if drop is None:
            break
        kept.remove(drop)
        gone.append(drop.head.replace("\n", ""))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(c.head for c in kept))
    for column in kept:
        table.add_column(
            Text(column.head), justify="right" if column.numeric else "left", overflow="fold", vertical="top"
        )
    for i, row in enumerate(zip(*(c.cells for c in kept))):
        table.add_row(*map(Text, row), style="dim" if faint and faint[i] else None)
    if title:
        out.print(Text(title, style="bold"))
    out.print(table)
    return gone


def _width(column: Column) -> int:
    return max(len(line) for cell in (column.head, *column.cells) for line in cell.split("\n"))


def column(ds: xr.Dataset, name: str, positions: np.ndarray, droppable: bool = False) -> Column:
    """A variable at flat positions of a Dataset, as a column."""
    array = ds[name]
    index = dict(zip(ds.sizes, np.unravel_index(positions, tuple(ds.sizes.values())))) if ds.sizes else {}
    values = labelled(array, array.values[tuple(index[d] for d in array.dims)] if array.dims else array.values)
    values = np.broadcast_to(values, positions.shape)
    numeric = values.dtype.kind in "iuf"
    one, unit = scale(values, array.attrs.get("units", "1")) if numeric else (1.0, "")
    cells = [number(v / one if numeric else v) for v in values]
    if name == HELD and USED in ds:
        shares = np.broadcast_to(ds[USED].values[tuple(index[d] for d in ds[USED].dims)], positions.shape)
        cells = [
            cell if not share > 0 else f"{cell} of {number(v / share / one)}"
            for cell, v, share in zip(cells, values, shares)
        ]
    return Column(head(name, unit), cells, numeric, droppable)


def points(
    ds: xr.Dataset,
    names: Sequence[str],
    positions: np.ndarray,
    title: str = "",
    must: int = 0,
    extra: Sequence[Column] = (),
    misses: Sequence[str] = (),
) -> list[str]:
    """Print some variables of a Dataset, one row a point; the first `must` columns stay in a narrow terminal.

    Parameters
    ----------
    misses : sequence of str
        What stops each row, and by how much, in place of the cells of `limit`; "" where it works: other rows are dim.

    Returns
    -------
    list of str
        What there was no room for.
    """
    columns = [
        column(ds, name, positions, i >= must and not (misses and name == "limit")) for i, name in enumerate(names)
    ]
    if misses:
        cells = [miss or "none" for miss in misses]
        columns = [c._replace(cells=cells) if name == "limit" else c for name, c in zip(names, columns)]
    return grid([*columns[:must], *extra, *columns[must:]], title, [bool(miss) for miss in misses])


def one(ds: xr.Dataset, names: Sequence[str], title: str = "", miss: str = "") -> None:
    """Print a single point: one row a variable; `miss` is what stops it, and by how much."""
    rows = []
    for name in names:
        array = ds[name]
        value, unit = labelled(array).reshape(-1)[0].item(), array.attrs.get("units", "1")
        text = quantity(value, unit)
        if name == "limit" and miss:
            text = miss
        elif name == HELD and USED in ds and (share := float(ds[USED].values.reshape(-1)[0])) > 0:
            one, called = scale(value, unit)
            text = f"{number(value / one)} of {number(value / share / one)} {called}"
        rows.append([name, text, str(array.attrs.get("long_name", ""))])
    names_, values, meanings = map(list, zip(*rows))
    grid([Column("output", names_), Column("value", values, True), Column("meaning", meanings)], title)


def evenly(size: int, rows: int = ROWS) -> np.ndarray:
    """Positions that thin a list evenly, both ends kept.

    >>> evenly(5).tolist(), len(evenly(1000)), int(evenly(1000)[-1])
    ([0, 1, 2, 3, 4], 20, 999)
    """
    return np.arange(size) if size <= rows else np.unique(np.linspace(0, size - 1, rows).round().astype(np.int64))


def told(names: Sequence[Any], most: int = 8) -> str:
    """A list in a sentence, shortened."""
    shown = [str(n) for n in names]
    return ", ".join(shown) if len(shown) <= most else f"{', '.join(shown[: most - 2])}, ... {shown[-1]} ({len(shown)})"
