"""The roofline: what a device can reach at an arithmetic intensity, and where workloads stand below it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlsysim.engine.label import labelled
from mlsysim.plot import canvas, labels
from mlsysim.plot.words import dataset, feasible, head, ticks, varying
from mlsysim.sizes import quantity, scale

if TYPE_CHECKING:
    import xarray as xr

#: outputs of a pass from which its place and its roof follow
NEEDED = ("flops", "latency", "arithmetic_intensity", "ridge_point", "mfu")
MOST = 40  #: names that one can still read


class Roof(NamedTuple):
    """Peak and ridge of a device at one precision."""

    name: str
    peak: float  #: FLOP/s
    ridge: float  #: FLOP/byte


def roofline(ds: xr.Dataset, label: str | Sequence[str] | None = None, ax: Any = None) -> Any:
    """Draw where workloads stand below the roofs of their devices.

    Parameters
    ----------
    ds : Dataset
        What ``SingleNodeModel.solve`` returns, over any axes (for a language model that serves: ``phase=["prefill", "decode"]``).
        Every point is a pass: its operations over the bytes that it moves, and its operations over the time that it takes.
    label : str or sequence of str, optional
        Axes whose values name the points, at the fastest device; default those of more than one value, the device apart.
        No names where there are more than 40.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
        FLOP/s over FLOP/byte, both logarithmic; a roof for each device and precision, its ridge point marked; infeasible
        passes hollow.

    Raises
    ------
    ValueError
        An answer without operations, time and intensity.
    ImportError
        matplotlib is not installed.
    """
    canvas.matplotlib()
    dataset(ds, "a roofline is of a Dataset, as SingleNodeModel.solve gives it")
    missing = [name for name in NEEDED if name not in ds]
    if missing:
        raise ValueError(
            f"a roofline needs {', '.join(missing)}, which this answer lacks: ask SingleNodeModel, "
            "with phase=['prefill', 'decode'] for a model that serves"
        )
    flat = ds[list(NEEDED)].broadcast_like(ds["latency"])
    intensity = flat["arithmetic_intensity"].values.reshape(-1)
    rate = (flat["flops"] / flat["latency"]).values.reshape(-1)
    dims = varying(flat["latency"])
    device = [d for d in dims if d in ("hardware", "precision")]
    names = (
        [label]
        if isinstance(label, str)
        else list(label)
        if label is not None
        else [d for d in dims if d not in device]
    )
    for name in names:
        if name not in flat.dims:
            raise ValueError(
                f"label={name!r}: the answer has no such axis of several values: {', '.join(dims) or 'none'}"
            )
    ax = canvas.axes(ax)
    owners = _text(flat, device)
    one, unit = scale(rate, "FLOP/s")
    roofs = _roofs(flat, owners, ds)
    fits = feasible(ds)
    good = (
        np.ones(rate.shape, bool)
        if fits is None
        else fits.broadcast_like(flat["latency"]).values.reshape(-1).astype(bool)
    )
    good &= np.isfinite(rate) & np.isfinite(intensity)
    _limits(ax, roofs, intensity, rate, one)
    for i, roof in enumerate(roofs):
        _roof(ax, roof, canvas.PALETTE[i % len(canvas.PALETTE)], canvas.LINES[i // len(canvas.PALETTE) % 4], one)
    for i, roof in enumerate(roofs):
        mine = np.array([o == roof.name for o in owners]) | (len(roofs) == 1)
        for here, full in ((mine & good, True), (mine & ~good & np.isfinite(rate), False)):
            colour = canvas.PALETTE[i % len(canvas.PALETTE)]
            ax.scatter(
                intensity[here],
                rate[here] / one,
                s=32,
                marker=canvas.MARKERS[i % len(canvas.MARKERS)],
                facecolors=colour if full else "none",
                edgecolors="black" if full else colour,
                linewidths=0.4 if full else 1.0,
                zorder=4,
            )
    ax.set_xlabel(head("arithmetic intensity", "FLOP/byte"))
    ax.set_ylabel(head("rate", unit))
    ax.grid(alpha=0.25, which="major")
    if (~good & np.isfinite(rate)).any():
        ax.scatter([], [], s=32, facecolors="none", edgecolors="gray", label="infeasible")
    ax.legend(fontsize=8, loc="lower right", framealpha=0.85)
    canvas.name_it(ax, ds, "roofline", (*names, *device))
    finite = np.isfinite(rate) & np.isfinite(intensity)
    if names:
        _name_points(ax, _text(flat, names), intensity, rate / one, finite, roofs)
    return ax


def _name_points(
    ax: Any, texts: Sequence[str], x: np.ndarray, y: np.ndarray, finite: np.ndarray, roofs: Sequence[Roof]
) -> None:
    """Each configuration once, at the fastest device: the others stand below it."""
    tops: dict[str, int] = {}
    for i in np.flatnonzero(finite).tolist():
        if texts[i] not in tops or y[i] > y[tops[texts[i]]]:
            tops[texts[i]] = i
    if len(tops) > MOST:
        return
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) == 3][: len(roofs)]
    busy = [x[finite], y[finite]]
    for line in lines:
        corner = np.log(np.asarray(line.get_xdata(), float)), np.log(np.asarray(line.get_ydata(), float))
        along = np.linspace(corner[0][0], corner[0][-1], 80)
        busy = [np.append(busy[0], np.exp(along)), np.append(busy[1], np.exp(np.interp(along, *corner)))]
    at = list(tops.values())
    labels.place(ax, x[at], y[at], list(tops), (busy[0], busy[1]))


def _text(ds: xr.Dataset, dims: Sequence[str]) -> list[str]:
    """What each point is called along some axes, in the order of the flattened answer."""
    own = {d: [_said(d, t, ds[d]) for t in ticks(ds[d])] if d in ds.coords else [] for d in dims}
    places = itertools.product(*(range(n) for n in ds["latency"].shape))
    order = [str(d) for d in ds["latency"].dims]
    return [", ".join(own[d][place[order.index(d)]] for d in dims) for place in places]


def _said(dim: str, text: str, values: xr.DataArray) -> str:
    return text if labelled(values).dtype.kind not in "iuf" else f"{dim.replace('_', ' ')} {text}"


def _roofs(flat: xr.Dataset, owners: Sequence[str], ds: xr.Dataset) -> list[Roof]:
    """Peak and bandwidth of each device, as the answer itself has them: operations over time and utilization."""
    peak = (flat["flops"] / flat["latency"] / flat["mfu"]).values.reshape(-1)
    ridge = flat["ridge_point"].values.reshape(-1)
    found: dict[str, Roof] = {}
    for owner, p, r in zip(owners, peak, ridge):
        if np.isfinite(p) and np.isfinite(r):
            found.setdefault(owner, Roof(owner, float(p), float(r)))
    if not found:
        raise ValueError("nothing to draw: no pass of this answer has a rate")
    if len(found) == 1 and "hardware" in ds.coords and not ds["hardware"].dims:
        (only,) = found.values()
        return [only._replace(name=str(ds["hardware"].values))]
    return list(found.values())


def _limits(ax: Any, roofs: Sequence[Roof], intensity: np.ndarray, rate: np.ndarray, one: float) -> None:
    x = np.concatenate([intensity[np.isfinite(intensity) & (intensity > 0)], [r.ridge for r in roofs]])
    y = np.concatenate([rate[np.isfinite(rate) & (rate > 0)], [r.peak for r in roofs]]) / one
    ax.set_xlim(np.min(x) / 2.5, np.max(x) * 6)
    ax.set_ylim(np.min(y) / 6, np.max(y) * 3)
    for axis in (ax.xaxis, ax.yaxis):
        canvas.logarithmic(axis)


def _roof(ax: Any, roof: Roof, colour: str, line: str, one: float) -> None:
    low, high = ax.get_xlim()
    x = np.array([low, roof.ridge, max(high, roof.ridge)])
    y = np.minimum(x / roof.ridge, 1.0) * roof.peak / one
    text = f"{roof.name}: {quantity(roof.peak, 'FLOP/s')}, {quantity(roof.peak / roof.ridge, 'byte/s')}"
    ax.plot(x, y, color=colour, ls=line, lw=1.4, label=f"{text}, ridge {roof.ridge:.3g} FLOP/byte", zorder=3)
    ax.plot([roof.ridge] * 2, [ax.get_ylim()[0], y[1]], color=colour, lw=0.7, ls=":", zorder=2)
