"""Scaling: an output over the number of devices, beside what it would be if devices only added up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.plot import canvas, labels
from mlsysim.plot.words import array, dataset, feasible, head, ticks, varying
from mlsysim.schema.variables import variable_of
from mlsysim.sizes import scale

if TYPE_CHECKING:
    import xarray as xr

DEVICES = "n_accelerators"


def scaling(ds: xr.Dataset, output: str | None = None, over: str = DEVICES, ax: Any = None) -> Any:
    """Draw an output over the number of devices, and the line of ideal scaling from its first feasible point.

    Parameters
    ----------
    ds : Dataset
        What ``solve`` or ``best`` returns, along an axis that changes the number of devices (`dp`, `tp`, `n_accelerators`), and
        at most one more, which gives a line each.
    output : str, optional
        A rate, which ideally grows as the devices do, or a time, which ideally falls; by default the first of
        ``tokens_per_s``, ``throughput``, ``training_time``, ``step_time`` that the answer has.
    over : str
        An input or output with the number of devices.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
        Both axes logarithmic; at the end of each line the share of the ideal that is left; infeasible points are hollow
        and joined by no line.

    Raises
    ------
    ValueError
        No such output, no number of devices, or more axes than two.
    ImportError
        matplotlib is not installed.
    """
    canvas.matplotlib()
    dataset(ds, "scaling is of a Dataset, as solve gives it")
    usual = ("tokens_per_s", "throughput", "training_time", "step_time")
    output = output if output is not None else next((n for n in usual if n in ds), usual[0])
    values, devices = array(ds, output), array(ds, over, "over")
    dims = varying(values)
    runs = [d for d in dims if d in devices.dims and bool((devices != devices.isel({d: 0})).any())]
    if not runs:
        raise ValueError(f"over={over!r} is the same everywhere: ask along an axis that changes it, as dp=[8, 16, 32]")
    main = next((d for d in runs if d == over), runs[0])
    lines = [d for d in dims if d != main]
    if len(lines) > 1:
        raise ValueError(f"{output} lies along {', '.join(dims)}; choose with ds.sel({lines[1]}=...)")
    ax = canvas.axes(ax)
    flat = {d: 0 for d in values.dims if d not in (main, *lines)}
    values = values.isel(flat).transpose(*lines, main)
    fits = feasible(ds)
    good = np.isfinite(values.values)
    if fits is not None:
        good &= fits.broadcast_like(ds[output]).isel(flat).transpose(*lines, main).values.astype(bool)
    counts = devices.broadcast_like(ds[output]).isel(flat).transpose(*lines, main).values.astype(np.float64)
    one, unit = scale(values.values, values.attrs.get("units", "1"))
    variable = variable_of(output)
    falls = variable is not None and variable.better == "less"
    names = ticks(ds[lines[0]]) if lines else [""]
    shape = (len(names), -1)
    ends = _lines(ax, counts.reshape(shape), values.values.reshape(shape) / one, good.reshape(shape), names, falls)
    for axis in (ax.xaxis, ax.yaxis):
        canvas.logarithmic(axis)
    _at_devices(ax, counts)
    ax.set_xlabel(head("devices" if over == DEVICES else over, ""))
    ax.set_ylabel(head(output, unit))
    ax.grid(alpha=0.25, which="major")
    ax.legend(fontsize=8, framealpha=0.85, title=lines[0].replace("_", " ") if lines else None, title_fontsize=8)
    canvas.name_it(ax, ds, f"scaling of {output.replace('_', ' ')}", (main, *lines, over))
    if ends:
        x, y, texts = zip(*ends)
        labels.place(ax, np.array(x), np.array(y), texts)
    return ax


def _lines(
    ax: Any, counts: np.ndarray, values: np.ndarray, good: np.ndarray, names: Sequence[str], falls: bool
) -> list[tuple[float, float, str]]:
    """A line each; where it ends, and what share of the ideal is left there."""
    ends: list[tuple[float, float, str]] = []
    for i, (n, y, fit, name) in enumerate(zip(counts, values, good, names)):
        order = np.argsort(n, kind="stable")
        n, y, fit = n[order], y[order], fit[order]
        colour, marker = canvas.PALETTE[i % len(canvas.PALETTE)], canvas.MARKERS[i % len(canvas.MARKERS)]
        if fit.any():
            first = int(np.argmax(fit))
            line = y[first] * (n[first] / n if falls else n / n[first])
            last = len(n) - 1 - int(np.argmax(fit[::-1]))
            ax.plot(n[first:], line[first:], color=colour, lw=0.9, ls="--", alpha=0.7, zorder=2)
            ax.plot(
                n, np.where(fit, y, np.nan), color=colour, marker=marker, ms=5, lw=1.4, label=name or None, zorder=3
            )
            left = line[last] / y[last] if falls else y[last] / line[last]
            ends.append((n[last], y[last], f"{100 * left:.0f} %"))
        out = ~fit & np.isfinite(y)
        ax.plot(n[out], y[out], ls="", marker=marker, ms=5, mfc="none", mec=colour, zorder=3)
    if ends:
        ax.plot([], [], color="0.4", lw=0.9, ls="--", label="ideal, from the first feasible point")
    if (~good & np.isfinite(values)).any():
        ax.plot([], [], ls="", marker="o", mfc="none", mec="0.4", label="infeasible")
    return ends


def _at_devices(ax: Any, counts: np.ndarray) -> None:
    """Ticks at the numbers of devices that were asked, as far as there is room."""
    from matplotlib import ticker

    low, high = np.nanmin(counts), np.nanmax(counts)
    ax.set_xlim(low / 1.15, high * (high / low) ** 0.1 * 1.05)
    marks = np.unique(counts[np.isfinite(counts)])
    marks = marks[:: max(1, -(-len(marks) // 8))]
    ax.xaxis.set_major_locator(ticker.FixedLocator(marks.tolist()))
    ax.xaxis.set_minor_locator(ticker.NullLocator())
