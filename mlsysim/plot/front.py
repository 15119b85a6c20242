"""Pareto fronts."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.engine.label import labelled
from mlsysim.plot import canvas, labels
from mlsysim.plot.words import dataset, head, plain_number
from mlsysim.schema import check
from mlsysim.sizes import scale

if TYPE_CHECKING:
    import xarray as xr

SAID = 6  #: most names of what is not on the front


def front(
    ds: xr.Dataset,
    objectives: Sequence[str] = (),
    by: str = "hardware",
    best: xr.Dataset | None = None,
    ax: Any = None,
    depth: bool = False,
) -> Any:
    """Draw a Pareto front: the second objective over the first, the third as colour or depth, `by` as marker.

    Parameters
    ----------
    ds : Dataset
        What ``pareto`` returns.
    objectives : sequence of str, optional
        Two or three of its outputs: x, y, and colour or depth.  Default: those of the search.
    by : str
        A coordinate told apart by marker.  The legend says which of its values are on the front, and which are not.
    best : Dataset, optional
        What ``best(..., by=by)`` returns: drawn hollow and named where it is not on the front.
    ax : matplotlib Axes, optional
    depth : bool
        Three objectives in space instead of the third as colour.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        Not two or three objectives, or one that the front does not have.
    ImportError
        matplotlib is not installed.
    """
    canvas.matplotlib()
    dataset(ds, "a front is a Dataset, as pareto gives it")
    names = _objectives(ds, objectives)
    if not isinstance(by, str):
        raise TypeError(f"by={by!r}: must be the name of a coordinate")
    if depth and len(names) != 3:
        raise ValueError(f"depth=True takes three objectives, not {names}")
    space = depth or getattr(ax, "name", "") == "3d"
    ax = canvas.axes(ax, "3d" if space else None)
    if space and ax.name != "3d":
        raise ValueError('depth=True: ax must be made with projection="3d"')
    scales = [scale(ds[name].values, ds[name].attrs.get("units", "1")) for name in names]
    data = [np.asarray(ds[name].values, dtype=np.float64) / one for name, (one, _) in zip(names, scales)]
    heads = [head(name, unit) for name, (_, unit) in zip(names, scales)]
    groups = np.asarray(labelled(ds[by])) if by in ds.variables and ds[by].dims else np.zeros(data[0].shape)
    there = sorted(set(np.atleast_1d(groups).tolist()), key=str)
    if space:
        _in_space(ax, data, groups, there)
        ax.set_zlabel(heads[2], labelpad=9)
    else:
        drawn = _in_plane(ax, data, groups, there)
    loose = _others(ax, best, by, names, scales, there) if best is not None and not space else []
    named = by in ds.variables and bool(ds[by].dims)
    _finish(ax, heads, data, space, loose)
    if not space and len(data) > 2 and drawn is not None:
        canvas.colourbar(ax, drawn, heads[2])
    if named:
        _legend(ax, ds, by, there, best, space, [name for _, _, name in loose])
    count, points = ds.sizes["point"], ds.attrs.get("points")
    told = f"front of {count:,}" + (f" among {int(points):,} configurations" if points else "")
    canvas.name_it(ax, ds, told, (by,) if named else ())
    if not count:
        why = textwrap.fill(f"no configuration is left: {ds.attrs.get('rejected') or 'nothing is feasible'}", 50)
        ax.annotate(
            why.replace("$", r"\$"), (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", color="dimgray"
        )
    if loose:
        x, y, texts = zip(*loose)
        labels.place(ax, np.array(x), np.array(y), texts, (data[0], data[1]))
    return ax


def _objectives(ds: xr.Dataset, objectives: Sequence[str]) -> list[str]:
    names = list(check.names(objectives, "objectives")) or [
        part.split()[-1] for part in str(ds.attrs.get("objectives", "")).split(", ") if part
    ]
    if len(names) not in (2, 3):
        raise ValueError(f"a front is drawn over two or three objectives, not {names}")
    for name in names:
        if name not in ds or ds[name].dims != ("point",):
            raise ValueError(
                f"objectives: {name!r} is no output of this front{check.hint(name, map(str, ds.data_vars))}"
            )
    return names


def _in_plane(ax: Any, data: Sequence[np.ndarray], groups: np.ndarray, there: Sequence[Any]) -> Any:
    drawn = None
    for i, group in enumerate(there):
        mine = groups == group
        own: dict[str, Any] = {"color": canvas.PALETTE[i % len(canvas.PALETTE)]}
        if len(data) > 2:
            own = {"c": data[2][mine], "cmap": "viridis_r", "norm": canvas.norm(data[2])}
        drawn = ax.scatter(
            data[0][mine],
            data[1][mine],
            s=30,
            marker=canvas.MARKERS[i % len(canvas.MARKERS)],
            linewidths=0.3,
            edgecolors="black",
            label=str(group),
            zorder=3,
            **own,
        )
    return drawn


def _in_space(ax: Any, data: Sequence[np.ndarray], groups: np.ndarray, there: Sequence[Any]) -> None:
    """Points with a stem down to the floor, so that one sees where they stand."""
    flat = [np.log10(v) if canvas.wide(v) else v for v in data]
    floor = float(np.min(flat[2], initial=0.0) if not len(flat[2]) else flat[2].min())
    for i, group in enumerate(there):
        mine = groups == group
        colour = canvas.PALETTE[i % len(canvas.PALETTE)]
        x, y, z = (v[mine] for v in flat)
        ax.scatter(
            x,
            y,
            z,
            s=26,
            marker=canvas.MARKERS[i % len(canvas.MARKERS)],
            color=colour,
            edgecolors="black",
            linewidths=0.3,
            depthshade=False,
            label=str(group),
        )
        for point in zip(x, y, z):
            ax.plot(*([c, c] for c in point[:2]), [floor, point[2]], color=colour, lw=0.4, alpha=0.6)


def _finish(
    ax: Any, heads: Sequence[str], data: Sequence[np.ndarray], space: bool, loose: Sequence[tuple[float, float, str]]
) -> None:
    if space:  # a logarithmic axis in space is not drawn by matplotlib: the logarithm is
        from matplotlib import ticker

        for axis, values in zip((ax.xaxis, ax.yaxis, ax.zaxis), data):
            if canvas.wide(values):
                axis.set_major_locator(ticker.FixedLocator(_decades(values).tolist()))
                axis.set_major_formatter(ticker.FuncFormatter(lambda x, _: plain_number(float(f"{10**x:.3g}"))))
            else:
                axis.set_major_formatter(ticker.FuncFormatter(plain_number))
                axis.set_major_locator(ticker.MaxNLocator(5))
            axis.set_tick_params(labelsize=7.5, pad=1)
        ax.view_init(22, -58)
        ax.set_box_aspect(None, zoom=0.88)
    else:
        for axis, i in ((ax.xaxis, 0), (ax.yaxis, 1)):
            canvas.fitted(axis, [*data[i], *(point[i] for point in loose)])
        ax.grid(alpha=0.25)
    ax.set_xlabel(heads[0])
    ax.set_ylabel(heads[1])


def _decades(values: np.ndarray) -> np.ndarray:
    """Where ticks of a logarithm stand: 1, 2 and 5 of each decade, fewer where there are many decades."""
    low, high = np.log10(values.min()), np.log10(values.max())
    steps = (0.0,) if high - low > 2.5 else (0.0, np.log10(2.0), np.log10(5.0))
    marks = np.array([d + s for d in range(int(np.floor(low)), int(np.ceil(high)) + 1) for s in steps])
    return marks[(marks >= low - 0.05) & (marks <= high + 0.05)]


def _others(
    ax: Any,
    best: xr.Dataset,
    by: str,
    names: Sequence[str],
    scales: Sequence[tuple[float, str]],
    there: Sequence[Any],
) -> list[tuple[float, float, str]]:
    """The best of what is not on the front, hollow; where they stand and what they are called."""
    if by not in best.dims or len(best.sizes) != 1 or any(n not in best for n in names[:2]):
        return []
    x, y = (np.asarray(best[name].values, dtype=np.float64) / one for name, (one, _) in zip(names[:2], scales))
    texts = [str(v) for v in best[by].values]
    found = [
        (float(x[i]), float(y[i]), texts[i])
        for i in np.argsort(x, kind="stable")
        if texts[i] not in map(str, there) and np.isfinite(x[i]) and np.isfinite(y[i])
    ]
    if found:
        at_x, at_y, _ = zip(*found)
        ax.scatter(
            at_x, at_y, s=22, facecolors="none", edgecolors="gray", zorder=2, label="not on it: the best of each"
        )
    return found


def _asked(ds: xr.Dataset, by: str, best: xr.Dataset | None) -> tuple[list[str], int]:
    """Values of `by` that were asked for, as far as the answer says, and how many."""
    if best is not None and by in best.dims:
        return [str(v) for v in best[by].values], best.sizes[by]
    found = re.search(rf"(?:^|, ){re.escape(by)}=\[(.*?)\]", str(ds.attrs.get("call", "")))
    if not found:
        return [], 0
    names = [name.strip() for name in found[1].split(",")]
    cut = re.fullmatch(r"\.\.\. \((\d+)\)", names[-1])
    return (names[:-1], int(cut[1])) if cut else (names, len(names))


def _legend(
    ax: Any,
    ds: xr.Dataset,
    by: str,
    there: Sequence[Any],
    best: xr.Dataset | None,
    space: bool,
    drawn: Sequence[str],
) -> None:
    """What is on the front, and what is not."""
    asked, number = _asked(ds, by, best)
    absent = [name for name in asked if name not in map(str, there) and name not in drawn]
    if drawn and absent:
        ax.plot([], [], " ", label=_folded("nothing feasible: ", absent, space))
    elif absent and len(asked) == number:
        ax.plot([], [], " ", label=_folded("not on the front: ", absent, space))
    elif number > len(there) and not drawn:
        ax.plot([], [], " ", label=f"not on the front: {number - len(there)} of {number}")
    if number > len(there) or len(there) > 1:
        title = by.replace("_", " ") + " on the front"
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (-0.2, 1.02)} if space else {}
        legend = ax.legend(title=title, fontsize=7.5, title_fontsize=8, framealpha=0.85, alignment="left", **place)
        if not space and any(hasattr(h, "get_array") and h.get_array() is not None for h in legend.legend_handles):
            for handle in legend.legend_handles[: len(there)]:  # the colour is the third objective, not the device
                handle.set_array(None)
                handle.set_facecolor("0.75")


def _folded(what: str, names: Sequence[str], narrow: bool) -> str:
    text = what + ", ".join(names[:SAID]) + (f" and {len(names) - SAID} more" if len(names) > SAID else "")
    return "\n".join(textwrap.wrap(text, 22 if narrow else 34))


def save(
    ds: xr.Dataset,
    path: str,
    objectives: Sequence[str] = (),
    by: str = "hardware",
    best: xr.Dataset | None = None,
) -> str:
    """Draw a front into a file, without a window (see `front`)."""
    canvas.matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.6), dpi=110, layout="constrained")
    front(ds, objectives, by, best, figure.subplots())
    figure.savefig(path)
    return path
