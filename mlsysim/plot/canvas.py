"""What pictures share: Axes, colours that colour-blind people tell apart, scales, the title, hatching."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.plot.words import plain_number, title

if TYPE_CHECKING:
    import xarray as xr

#: Okabe and Ito 2008, the yellow last because it is faint on white
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#666666", "#B8A900", "#000000")
REST = "#D9D9D9"  #: of what is left
MARKERS = "osD^vP*X<>hp8dH"
LINES = ("-", "--", "-.", ":")
#: reason why not -> hatch
HATCHES = {
    "shape": "....",
    "capability": "xxxx",
    "memory": "////",
    "saturation": "\\\\\\\\",
    "sla": "----",
    "budget": "||||",
    "": "//",
}
CHARACTERS = 84  #: of a line below the title, in a picture of the usual width
LOGARITHMIC = 5.0  #: ratio of largest to smallest from which an axis is logarithmic


def matplotlib() -> Any:
    """The library, or how to get it."""
    try:
        import matplotlib
    except ImportError:
        raise ImportError("matplotlib is not installed: pip install 'mlsysim-sweep[plot]'") from None
    return matplotlib


def axes(ax: Any = None, projection: str | None = None, size: tuple[float, float] = (6.4, 4.2)) -> Any:
    """The Axes that were given, or new ones."""
    matplotlib()
    if ax is not None:
        if not hasattr(ax, "get_xlabel"):
            raise TypeError(f"ax={type(ax).__name__}: must be matplotlib Axes")
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained", subplot_kw={"projection": projection})[1]


def name_it(ax: Any, ds: xr.Dataset, what: str, but: Iterable[str] = ()) -> None:
    """Write what was asked above a picture: the question, and small below it the inputs that are not drawn."""
    first, rest = title(ds, what, but)
    lines = textwrap.wrap(rest, CHARACTERS)
    if len(lines) > 2:
        lines = [lines[0], textwrap.shorten(" ".join(lines[1:]), CHARACTERS, placeholder=" ...")]
    ax.set_title(first.replace("$", r"\$"), loc="left", fontsize=10, pad=6 + 10.5 * len(lines))
    if lines:
        ax.annotate(
            "\n".join(lines).replace("$", r"\$"),
            (0, 1),
            xycoords="axes fraction",
            xytext=(0, 4),
            textcoords="offset points",
            fontsize=8,
            color="dimgray",
            va="bottom",
            annotation_clip=False,
        )


def wide(values: Any) -> bool:
    """Do positive numbers differ by so much that an axis is better logarithmic?"""
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    return bool(finite.size and finite.min() > 0 and finite.max() > LOGARITHMIC * finite.min())


def logarithmic(axis: Any) -> None:
    """A logarithmic axis whose ticks are numbers that one reads: 2 and 5 as well where decades are few."""
    (axis.axes.set_xscale if axis.axis_name == "x" else axis.axes.set_yscale)("log")
    _readable(axis)


def _readable(axis: Any) -> None:
    from matplotlib import ticker

    low, high = axis.get_view_interval() if axis.axis_name != "z" else axis.get_data_interval()
    few = low > 0 and high / low < 300
    axis.set_minor_locator(ticker.LogLocator(subs=(2.0, 5.0) if few else tuple(range(2, 10))))
    axis.set_major_formatter(ticker.FuncFormatter(plain_number))
    axis.set_minor_formatter(ticker.FuncFormatter(plain_number) if few else ticker.NullFormatter())
    axis.set_tick_params(which="both", labelsize=9)


def fitted(axis: Any, values: Any) -> None:
    """Logarithmic where numbers differ by much; plain numbers at the ticks in any case."""
    from matplotlib import ticker

    if wide(values):
        logarithmic(axis)
    else:
        axis.set_major_formatter(ticker.FuncFormatter(plain_number))


def norm(values: Any) -> Any:
    """Colours by order of magnitude where numbers differ by much."""
    from matplotlib.colors import LogNorm, Normalize

    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    low, high = float(finite.min(initial=np.inf)), float(finite.max(initial=-np.inf))
    if not finite.size:
        return Normalize(0.0, 1.0)
    return LogNorm(low, high) if 0 < 10 * low < high else Normalize(low, high if high > low else low + abs(low or 1.0))


def colourbar(ax: Any, drawn: Any, label: str) -> Any:
    """A bar with plain numbers beside a picture."""
    from matplotlib import ticker
    from matplotlib.colors import LogNorm

    bar = ax.figure.colorbar(drawn, ax=ax, label=label)
    if isinstance(drawn.norm, LogNorm):
        few = float(drawn.norm.vmax or 1.0) / float(drawn.norm.vmin or 1.0) < 300
        bar.ax.yaxis.set_minor_locator(ticker.LogLocator(subs=(2.0, 5.0)))
        bar.ax.yaxis.set_minor_formatter(ticker.FuncFormatter(plain_number) if few else ticker.NullFormatter())
    bar.ax.yaxis.set_major_formatter(ticker.FuncFormatter(plain_number))
    bar.ax.tick_params(which="both", labelsize=8)
    return bar


def hatched(ax: Any, boxes: Iterable[tuple[float, float, float, float]], reason: str, label: str = "") -> Any:
    """Boxes ``(left, bottom, width, height)`` filled with the hatch of a reason why not."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    corners, codes = [], []
    for x, y, w, h in boxes:
        corners += [(x, y), (x + w, y), (x + w, y + h), (x, y + h), (x, y)]
        codes += [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY]
    patch = PathPatch(
        Path(corners, codes),
        facecolor="0.94",
        edgecolor="0.55",
        hatch=HATCHES.get(reason, HATCHES[""]),
        linewidth=0,
        label=label or reason,
        zorder=2.5,
    )
    ax.add_patch(patch)
    return patch


def below(ax: Any, columns: int = 4) -> Any:
    """A legend below the picture."""
    return ax.legend(
        loc="upper left", bbox_to_anchor=(0, -0.14), ncols=columns, fontsize=8, frameon=False, borderaxespad=0
    )


def beside(ax: Any, order: Iterable[int]) -> Any:
    """A legend to the right of the picture, its entries in an order."""
    handles, names = ax.get_legend_handles_labels()
    return ax.legend(
        [handles[i] for i in order],
        [names[i] for i in order],
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        fontsize=8,
        frameon=False,
        borderaxespad=0,
    )
