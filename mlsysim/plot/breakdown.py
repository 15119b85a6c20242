"""Where time, memory or money goes: the parts of an output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.engine.label import labelled
from mlsysim.plot import canvas
from mlsysim.plot.parts import chosen, parts_of, works
from mlsysim.plot.words import dataset, head, places, plain, ticks, varying
from mlsysim.schema import check
from mlsysim.sizes import number, scale

if TYPE_CHECKING:
    import xarray as xr

BARS = 24  #: values along an axis up to which each has a bar


def breakdown(
    ds: xr.Dataset, whole: str | None = None, along: str | None = None, share: bool = False, ax: Any = None
) -> Any:
    """Draw what an output is made of: where the time goes, the memory, the money.

    Parameters
    ----------
    ds : Dataset
        What ``solve`` or ``best`` returns, with the parts (``keep=`` must not leave them out): of one point, or along one axis.
    whole : str, optional
        ``"step_time"``, ``"latency"``, ``"ttft"``, ``"itl"``, ``"memory_per_device"``, ``"tco"``, ``"carbon"``, ``"water"``,
        ``"checkpoint_size"``, ``"expected_failures"``.  Default: the first that the answer has.
    along : str, optional
        The axis, where the answer has one of several values: that.
    share : bool
        Shares of the whole in percent instead of its unit.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
        Of one point a bar for each part, one behind the other; along an axis stacked bars, or areas where it has more than
        24 values.  Infeasible values are hatched.

    Raises
    ------
    ValueError
        No such output, parts that are not there, or more axes than one.
    ImportError
        matplotlib is not installed.
    """
    canvas.matplotlib()
    dataset(ds, "a breakdown is of a Dataset, as solve gives it")
    name = chosen(ds, whole)
    parts = parts_of(ds, name)
    total = ds[name]
    dims = varying(total)
    if along is not None and along not in total.dims:
        raise ValueError(f"along={along!r}: {name} has no such axis{check.hint(str(along), map(str, total.dims))}")
    if len(dims) > 1 or (along is not None and any(d != along for d in dims)):
        others = [d for d in dims if d != along]
        raise ValueError(f"{name} lies along {', '.join(dims)}; choose with ds.sel({others[0]}=...)")
    ax = canvas.axes(ax)
    one, unit = (1.0, "%") if share else scale(total.values, total.attrs.get("units", "1"))
    values = {n: _scaled(part.values.reshape(-1), total.values.reshape(-1), one, share) for n, part in parts.items()}
    labels = dict(zip(parts, plain(list(parts))))
    fits = works(ds, total).reshape(-1)
    text = head(f"share of {name}" if share else name, unit)
    if dims:
        _along(ax, ds, dims[0], total, values, labels, fits, text)
        canvas.name_it(ax, ds, f"where {name.replace('_', ' ')} goes", dims)
    else:
        _behind(ax, ds, values, labels, fits, text)
        canvas.name_it(ax, ds, f"where {name.replace('_', ' ')} goes")
    return ax


def _scaled(part: np.ndarray, whole: np.ndarray, one: float, share: bool) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return 100.0 * part / whole if share else part / one


def _behind(ax: Any, ds: xr.Dataset, values: Any, labels: Any, fits: np.ndarray, text: str) -> None:
    """Bars of one point, each beginning where the one above ends; the whole below."""
    names = list(values)
    sizes = [float(values[n][0]) for n in names]
    total = sum(sizes)
    left = 0.0
    colours = [canvas.PALETTE[i % len(canvas.PALETTE)] if n in ds else canvas.REST for i, n in enumerate(names)]
    rows = [*zip((labels[n] for n in names), sizes, colours), ("all", total, "0.35")]
    for row, (label, size, colour) in enumerate(rows):
        start = 0.0 if label == "all" else left
        ax.barh(row, size, left=start, height=0.7, color=colour, zorder=3)
        share = _percent(100 * size / total) if total and label != "all" else ""
        ax.annotate(
            f"{number(float(f'{size:.3g}'))}{f'  ({share})' if share else ''}",
            (start + size, row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
        left += 0.0 if label == "all" else size
    if not fits.all():
        limit = str(labelled(ds["limit"]).reshape(-1)[0]) if "limit" in ds else ""
        canvas.hatched(ax, [(0.0, len(rows) - 1.35, total, 0.7)], limit, f"infeasible: {limit or 'yes'}").set_zorder(4)
        canvas.below(ax)
    ax.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    ax.invert_yaxis()
    ax.set_xlim(0, 1.3 * total if total else 1.0)
    ax.set_xlabel(text)
    ax.grid(axis="x", alpha=0.25)
    canvas.fitted(ax.xaxis, [1.0, 2.0])


def _percent(x: float) -> str:
    return f"{x:.3g} %" if x >= 0.1 else "less than 0.1 %"


def _along(
    ax: Any, ds: xr.Dataset, dim: str, total: xr.DataArray, values: Any, labels: Any, fits: np.ndarray, text: str
) -> None:
    """Stacked bars of the values along an axis, or areas where they are many."""
    axis = total[dim]
    marks = ticks(axis)
    place = np.arange(len(marks), dtype=np.float64)
    many = len(marks) > BARS
    low = np.zeros(len(marks))
    for i, (name, part) in enumerate(values.items()):
        colour = canvas.PALETTE[i % len(canvas.PALETTE)] if name in ds else canvas.REST
        height = np.nan_to_num(part)
        if many:
            ax.fill_between(place, low, low + height, color=colour, lw=0, label=labels[name], zorder=3)
        else:
            ax.bar(place, height, 0.8, low, color=colour, label=labels[name], zorder=3)
        low = low + height
    if not fits.all():
        half = 0.5 if many else 0.4
        boxes = [(p - half, 0.0, 2 * half, top) for p, top, fit in zip(place, low, fits) if not fit and top]
        patch = canvas.hatched(ax, boxes, "", "infeasible")
        patch.set(facecolor=(1, 1, 1, 0.55), edgecolor="0.2", zorder=4)
    shown = places(axis, 12 if max(map(len, marks)) <= 6 else 8)
    slanted: dict[str, Any] = {"rotation": 30, "ha": "right"} if max(map(len, marks)) > 8 and len(shown) > 4 else {}
    ax.set_xticks(place[shown], [marks[i] for i in shown], **slanted)
    ax.set_xlim(-0.6, len(marks) - 0.4)
    ax.set_ylim(0, 1.04 * np.max(low) if np.max(low) else 1.0)
    _, unit = scale(axis.values, axis.attrs.get("units", "1")) if axis.dtype.kind in "iuf" else (1.0, "")
    ax.set_xlabel(head(dim, unit))
    ax.set_ylabel(text)
    ax.grid(axis="y", alpha=0.25)
    canvas.fitted(ax.yaxis, [1.0, 2.0])
    names = ax.get_legend_handles_labels()[1]
    stacked = [names.index(labels[name]) for name in values]
    canvas.beside(ax, [*stacked[::-1], *(i for i in range(len(names)) if i not in stacked)])  # as they are stacked
