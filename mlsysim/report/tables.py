"""Tables of answers, in the units in which one speaks of their figures."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.engine.label import labelled
from mlsysim.plot.words import feasible
from mlsysim.report.command import command
from mlsysim.schema.judged import MAIN, main_first
from mlsysim.schema.variables import field_of, variable_of
from mlsysim.sizes import number, quantity, scale

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

ROWS = 20  #: of a table of points
COLUMNS = 7  #: outputs in a table of points


def text(value: Any) -> str:
    """Text in a page as it stands."""
    return html.escape(str(value))


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], dim: Sequence[bool] = (), commands: Sequence[str] = ()
) -> str:
    """A table; rows may be dimmed, and have a button that copies a command."""
    numeric = [all(_is_number(row[c]) for row in rows) and bool(rows) for c in range(len(heads))]
    body = []
    for r, row in enumerate(rows):
        cells = "".join(f"<td{' class=n' if n else ''}>{_marked(cell)}</td>" for cell, n in zip(row, numeric))
        if commands:
            cells = f"<td>{button(commands[r])}</td>{cells}"
        body.append(f"<tr{' class=out' if r < len(dim) and dim[r] else ''}>{cells}</tr>")
    top = "".join(f"<th{' class=n' if n else ''}>{text(h)}</th>" for h, n in zip(heads, numeric))
    top = f"<th></th>{top}" if commands else top
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def button(words: str) -> str:
    """A button that copies a command, if there is one."""
    return f'<button type="button" class="copy" data-command="{text(words)}">copy</button>' if words else ""


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() or cell[:1] in "-." or cell in ("inf", "-")


def _marked(cell: str) -> str:
    return f'<span class="{cell.lower()}">{cell}</span>' if cell in ("PASS", "FAIL") else text(cell)


def outputs(ds: xr.Dataset, first: Sequence[str]) -> list[str]:
    """Outputs that a table of points shows: those that were asked for, then what a configuration is judged by."""
    names = [str(n) for n in ds.data_vars]
    telling = [n for n in names if (v := variable_of(n)) is not None and v.better]
    judged = [n for n in main_first(telling) if field_of(n) in MAIN]
    return [*dict.fromkeys([*first, *judged, *telling, *names])][: max(COLUMNS, len(first))]


def points(ds: xr.Dataset, first: Sequence[str], order: np.ndarray | None = None) -> str:
    """A row for each of some points, evenly thinned where they are many."""
    size = int(np.prod(list(ds.sizes.values()), dtype=np.int64)) if ds.sizes else 1
    if order is None:
        order = np.arange(size) if size <= ROWS else np.unique(np.linspace(0, size - 1, ROWS).round().astype(np.int64))
    index = dict(zip(ds.sizes, np.unravel_index(order, tuple(ds.sizes.values())))) if ds.sizes else {}
    where = [n for n in map(str, ds.coords) if ds[n].dims and n != "point"]
    fits = feasible(ds)
    dim: list[bool] = []
    if fits is not None:
        dim = [not bool(v) for v in np.broadcast_to(fits.values[tuple(index[d] for d in fits.dims)], order.shape)]
    names = [*dict.fromkeys([*where, *outputs(ds, first), *(["limit"] if any(dim) and "limit" in ds else [])])]
    columns, heads = [], []
    for n in names:
        cells, unit = _column(ds[n], index, len(order))
        columns.append(cells)
        one_line = unit.replace(" ", "\N{NO-BREAK SPACE}")
        heads.append(f"{n.replace('_', ' ')}{f' [{one_line}]' if unit else ''}")
    commands = [command(ds, {str(d): int(i[k]) for d, i in index.items()}) for k in range(len(order))]
    return table(heads, list(zip(*columns)), dim, commands if any(commands) else ())


def _column(values: xr.DataArray, index: dict[Any, np.ndarray], count: int) -> tuple[list[str], str]:
    shown = labelled(values, values.values[tuple(index[d] for d in values.dims)] if values.dims else values.values)
    shown = np.broadcast_to(shown, (count,))
    if shown.dtype.kind not in "iuf":
        return [number(v) for v in shown], ""
    one, unit = scale(shown, values.attrs.get("units", "1"))
    return [number(v / one) for v in shown], unit


def single(ds: xr.Dataset, first: Sequence[str]) -> str:
    """One point: a row for each output, those that one judges by before the others."""
    names = [*dict.fromkeys([*first, *main_first([str(n) for n in ds.data_vars])])]
    rows = []
    for n in names:
        value = np.asarray(labelled(ds[n])).reshape(-1)
        if value.size == 1:
            shown = quantity(value[0].item(), str(ds[n].attrs.get("units", "1")))
            rows.append([n.replace("_", " "), shown, str(ds[n].attrs.get("long_name", ""))])
    few = rows[: len(MAIN)]
    more = rows[len(MAIN) :]
    found = table(["output", "value", "meaning"], few)
    if more:
        found += f"<details><summary>{len(more)} more outputs</summary>{table(['output', 'value', 'meaning'], more)}</details>"
    return found


def frame(data: pd.DataFrame) -> str:
    """A table as it is."""
    heads = [str(c).replace("_", " ") for c in data.columns]
    return table(heads, [[number(v) for v in row] for row in data.itertuples(index=False, name=None)])
