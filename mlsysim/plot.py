"""Pictures of results (matplotlib, an extra: ``pip install 'mlsysim-sweep[plot]'``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.engine.label import labelled
from mlsysim.schema import check
from mlsysim.sizes import scale

if TYPE_CHECKING:
    import xarray as xr

MARKERS = "osD^vP*X<>hp8dH"


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise ImportError("matplotlib is not installed: pip install 'mlsysim-sweep[plot]'") from None
    return matplotlib


def front(
    ds: xr.Dataset,
    objectives: Sequence[str] = (),
    by: str = "hardware",
    best: xr.Dataset | None = None,
    ax: Any = None,
) -> Any:
    """Draw a Pareto front: the second objective over the first, the third as colour, `by` as marker.

    Parameters
    ----------
    ds : Dataset
        What ``pareto`` returns.
    objectives : sequence of str, optional
        Two or three of its outputs: x, y, colour.  Default: those of the search.
    by : str
        A coordinate told apart by marker.
    best : Dataset, optional
        What ``best(..., by=by)`` returns: drawn hollow and named where it is not on the front.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
    """
    _matplotlib()
    if not hasattr(ds, "data_vars"):
        raise TypeError(f"a front is a Dataset, as pareto gives it, not {type(ds).__name__}")
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
    if not isinstance(by, str):
        raise TypeError(f"by={by!r}: must be the name of a coordinate")
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(layout="constrained")[1]
    scales = [scale(ds[name].values, ds[name].attrs.get("units", "1")) for name in names[:3]]
    data = [np.asarray(ds[name].values, dtype=np.float64) / one for name, (one, _) in zip(names, scales)]
    heads = [
        f"{name.replace('_', ' ')}{f' [{unit}]' if unit else ''}".replace("$", r"\$")
        for name, (_, unit) in zip(names, scales)
    ]
    groups = np.asarray(labelled(ds[by])) if by in ds.variables and ds[by].dims else np.zeros(data[0].shape)
    colour: dict[str, Any] = {}
    if len(data) > 2:
        colour = {"cmap": "viridis_r", "norm": _norm(data[2])}
    labels = sorted(set(np.atleast_1d(groups).tolist()), key=str)
    drawn = None
    for i, group in enumerate(labels):
        mine = groups == group
        own = {**colour, "c": data[2][mine]} if len(data) > 2 else {}
        drawn = ax.scatter(
            data[0][mine],
            data[1][mine],
            s=30,
            marker=MARKERS[i % len(MARKERS)],
            linewidths=0.3,
            edgecolors="black",
            label=str(group),
            zorder=3,
            **own,
        )
    if best is not None and by in best.dims and len(best.sizes) == 1:
        _others(ax, best, by, names, scales, labels)
    for axis in (ax.xaxis, ax.yaxis):
        low, high = axis.get_data_interval()
        if low > 0 and high > 5 * low:
            (ax.set_xscale if axis is ax.xaxis else ax.set_yscale)("log")
            axis.set_major_formatter("{x:,.10g}")
            axis.set_minor_formatter(_sparse)
    ax.set_xlabel(heads[0])
    ax.set_ylabel(heads[1])
    if len(data) > 2 and drawn is not None:
        bar = ax.figure.colorbar(drawn, ax=ax, label=heads[2], format="{x:,.10g}")
        bar.ax.yaxis.set_minor_formatter(_sparse)
    if len(labels) > 1:
        ax.legend(fontsize="small", framealpha=0.8)
    ax.grid(alpha=0.25)
    return ax


def _sparse(x: float, _: int) -> str:
    """Labels of minor ticks: 2 and 5 of each decade."""
    return f"{x:,.10g}" if f"{x:e}"[0] in "25" else ""


def _norm(values: np.ndarray) -> Any:
    """Colours by order of magnitude where there are several."""
    from matplotlib.colors import LogNorm, Normalize

    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    return LogNorm(low, high) if 0 < 10 * low < high else Normalize(low, high)


def _others(
    ax: Any,
    best: xr.Dataset,
    by: str,
    names: Sequence[str],
    scales: Sequence[tuple[float, str]],
    there: Sequence[Any],
) -> None:
    x, y = (np.asarray(best[name].values, dtype=np.float64) / one for name, (one, _) in zip(names[:2], scales))
    labels = best[by].values.tolist()
    shown = [i for i in np.argsort(x) if labels[i] not in there and np.isfinite(x[i]) and np.isfinite(y[i])]
    for place, i in enumerate(shown):
        left = place > len(shown) / 2
        ax.scatter(x[i], y[i], s=22, facecolors="none", edgecolors="gray", zorder=2)
        ax.annotate(
            str(labels[i]),
            (x[i], y[i]),
            xytext=(-4 if left else 4, 4 if place % 2 else -9),
            textcoords="offset points",
            fontsize=6.5,
            color="dimgray",
            ha="right" if left else "left",
        )


def save(
    ds: xr.Dataset,
    path: str,
    objectives: Sequence[str] = (),
    by: str = "hardware",
    best: xr.Dataset | None = None,
    title: str = "",
) -> str:
    """Draw a front into a file, without a window (see `front`)."""
    _matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.6), dpi=110, layout="constrained")
    ax = front(ds, objectives, by, best, figure.subplots())
    if title:
        ax.set_title(title, fontsize="medium")
    figure.savefig(path)
    return path
