"""Any output over two axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.engine.label import labelled
from mlsysim.plot import canvas
from mlsysim.plot.words import along, array, dataset, feasible, head, measured, places, ticks
from mlsysim.schema import check
from mlsysim.sizes import scale

if TYPE_CHECKING:
    import xarray as xr

CELLS = (9, 12)  #: most labels along x and y


def heatmap(
    ds: xr.Dataset,
    output: str,
    x: str | None = None,
    y: str | None = None,
    walls: str | None = "bottleneck",
    ax: Any = None,
) -> Any:
    """Draw an output over two axes as colours; what does not work is hatched by the reason.

    Parameters
    ----------
    ds : Dataset
        What ``solve`` returns, along two axes of more than one value (choose the others with ``ds.sel``).
    output : str
        A quantity (colour bar) or an option such as ``"bottleneck"`` (legend).
    x, y : str, optional
        The axes; default x the one with more values.
    walls : str or None
        An output with labels whose borders are drawn as lines, each region named: ``"bottleneck"``, where the answer has it.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
        Cells of equal size at the values of the axes; ``x`` and ``y`` carry the unit in which one speaks of them.

    Raises
    ------
    ValueError
        No such output or axis, or not two axes.
    ImportError
        matplotlib is not installed.
    """
    canvas.matplotlib()
    dataset(ds, "a heat map is of a Dataset, as solve gives it")
    values = array(ds, output)
    dims = along(values, 2, "a heat map has two axes")
    x, y = _sides(values, dims, x, y)
    ax = canvas.axes(ax)
    flat = {d: 0 for d in values.dims if d not in (x, y)}
    values = values.isel(flat).transpose(y, x)
    works = feasible(ds)
    good = np.isfinite(np.asarray(values.values, dtype=np.float64))
    if works is not None:
        good &= works.broadcast_like(ds[output]).isel(flat).transpose(y, x).values.astype(bool)
    if "flag_meanings" in values.attrs:
        _kinds(ax, values, good)
    else:
        _amounts(ax, values, good, output)
    _reasons(ax, ds, flat, good, x, y)
    borders = ds[walls] if walls is not None and walls != output and walls in ds else None
    if borders is not None and set(borders.dims) >= {x, y}:
        _walls(ax, labelled(borders.isel({d: 0 for d in borders.dims if d not in (x, y)}).transpose(y, x)), good)
    for axis, dim, most in ((ax.xaxis, x, CELLS[0]), (ax.yaxis, y, CELLS[1])):
        _ticks(axis, ds[dim], most)
    ax.set_xlim(-0.5, values.sizes[x] - 0.5)
    ax.set_ylim(-0.5, values.sizes[y] - 0.5)
    if ax.get_legend_handles_labels()[1]:
        canvas.below(ax)
    canvas.name_it(ax, ds, output.replace("_", " "), (x, y))
    return ax


def _sides(values: xr.DataArray, dims: list[str], x: str | None, y: str | None) -> tuple[str, str]:
    for name, given in (("x", x), ("y", y)):
        if given is not None and given not in dims:
            raise ValueError(f"{name}={check.shown(given)}: {values.name} lies along {dims[0]} and {dims[1]}")
    if x is None and y is None:
        x = max(reversed(dims), key=lambda d: values.sizes[d])
    x = x if x is not None else next(d for d in dims if d != y)
    y = y if y is not None else next(d for d in dims if d != x)
    if x == y:
        raise ValueError(f"x and y are both {x}: choose {dims[0]} and {dims[1]}")
    return x, y


def _amounts(ax: Any, values: xr.DataArray, good: np.ndarray, output: str) -> None:
    shown = measured(values, output)
    cells = np.where(good, shown.values, np.nan)
    drawn = ax.pcolormesh(
        *_edges(cells), np.ma.masked_invalid(cells), cmap="viridis", norm=canvas.norm(cells), zorder=2
    )
    if good.any():
        canvas.colourbar(ax, drawn, shown.head)


def _kinds(ax: Any, values: xr.DataArray, good: np.ndarray) -> None:
    """Labels as colours, each with its name in the legend."""
    from matplotlib.colors import BoundaryNorm, ListedColormap

    names = labelled(values)
    known = [n for n in str(values.attrs["flag_meanings"]).split() if (names[good] == n).any()]
    code = np.full(names.shape, np.nan)
    for i, name in enumerate(known):
        code[(names == name) & good] = i
    colours = [canvas.PALETTE[i % len(canvas.PALETTE)] for i in range(max(len(known), 1))]
    how = {"cmap": ListedColormap(colours), "norm": BoundaryNorm(np.arange(len(colours) + 1) - 0.5, len(colours))}
    ax.pcolormesh(*_edges(code), np.ma.masked_invalid(code), alpha=0.8, zorder=2, **how)
    for name, colour in zip(known, colours):
        ax.scatter([], [], marker="s", color=colour, alpha=0.8, label=name)


def _edges(cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Borders of the cells along x and y."""
    return np.arange(cells.shape[1] + 1) - 0.5, np.arange(cells.shape[0] + 1) - 0.5


def _reasons(ax: Any, ds: xr.Dataset, flat: dict[Any, int], good: np.ndarray, x: str, y: str) -> None:
    """Hatch what does not work, by its limit."""
    if good.all():
        return
    why = np.full(good.shape, "no answer", dtype=object)
    if "limit" in ds:
        limits = ds["limit"].isel({d: 0 for d in ds["limit"].dims if d not in (x, y)})
        both = [d for d in (y, x) if d in limits.dims]
        names = labelled(limits.transpose(*both))
        names = np.broadcast_to(names if len(both) == 2 else names[:, None] if both == [y] else names, good.shape)
        why = np.where(names == "none", why, names)
    for reason in dict.fromkeys(why[~good].tolist()):
        boxes = []
        for row, here in enumerate((why == reason) & ~good):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], here.astype(np.int8), [0]])))
            boxes += [(a - 0.5, row - 0.5, b - a, 1.0) for a, b in edges.reshape(-1, 2).astype(float)]
        canvas.hatched(ax, boxes, str(reason), f"infeasible: {reason}")


def _walls(ax: Any, names: np.ndarray, good: np.ndarray) -> None:
    """Lines between cells whose walls differ, and the name of each region in its middle."""
    from matplotlib.collections import LineCollection
    from matplotlib.patheffects import withStroke
    from scipy import ndimage

    lines = []
    for r, c in np.argwhere((names[:, 1:] != names[:, :-1]) & good[:, 1:] & good[:, :-1]):
        lines.append([(c + 0.5, r - 0.5), (c + 0.5, r + 0.5)])
    for r, c in np.argwhere((names[1:] != names[:-1]) & good[1:] & good[:-1]):
        lines.append([(c - 0.5, r + 0.5), (c + 0.5, r + 0.5)])
    ax.add_collection(LineCollection(lines, colors="white", linewidths=2.2, zorder=3), autolim=False)
    ax.add_collection(LineCollection(lines, colors="black", linewidths=1.0, zorder=3.1), autolim=False)
    for name in dict.fromkeys(names[good].tolist()):
        regions = ndimage.label((names == name) & good)[0]
        largest = int(np.argmax(np.bincount(regions.reshape(-1))[1:])) + 1
        deep = ndimage.distance_transform_edt(np.pad(regions == largest, 1))[1:-1, 1:-1]
        rows, columns = np.nonzero(deep > 0.99 * deep.max())
        middle = len(rows) // 2
        column, edge = columns[middle], 0.06 * names.shape[1]
        side = "left" if column < edge else "right" if column > names.shape[1] - 1 - edge else "center"
        note = ax.text(column, rows[middle], str(name), ha=side, va="center", fontsize=8, zorder=5)
        note.set(path_effects=[withStroke(linewidth=2.5, foreground="white")], clip_on=True)


def _ticks(axis: Any, values: xr.DataArray, most: int) -> None:
    """Values at some of the cells."""
    labels = ticks(values)
    shown = places(values, most)
    axis.set_ticks(shown, [labels[i] for i in shown])
    if axis.axis_name == "x" and max(map(len, labels)) > 8:
        for label in axis.get_ticklabels():
            label.set(rotation=30, ha="right", rotation_mode="anchor")
    unit = scale(values.values, values.attrs.get("units", "1"))[1] if values.dtype.kind in "iuf" else ""
    axis.set_label_text(head(str(values.name), unit))
