"""Sensitivities: what an output does when an input moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.plot import canvas
from mlsysim.plot.words import dataset, head, varying
from mlsysim.schema import check
from mlsysim.sizes import scale

if TYPE_CHECKING:
    import xarray as xr


SEEN = 1e-3  #: share of the output below which a bar is not seen


def tornado(ds: xr.Dataset, most: int = 12, ax: Any = None) -> Any:
    """Draw what an output does when each input moves, the most powerful input on top.

    Parameters
    ----------
    ds : Dataset
        What ``SensitivitySolver.solve`` returns, at one point; or with ``ranges=``, the shares of the variance.
    most : int
        Inputs to show.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
        The output with every input down and up by the perturbation, around its value; of shares of the variance what an
        input explains alone, and what it has part in.

    Raises
    ------
    ValueError
        No answer of SensitivitySolver, or one of several points.
    ImportError
        matplotlib is not installed.
    """
    canvas.matplotlib()
    dataset(ds, "a tornado is of a Dataset, as SensitivitySolver.solve gives it")
    check.whole("most", most)
    if "parameter" not in ds.dims or not ({"sensitivities", "total_order"} & set(map(str, ds.data_vars))):
        raise ValueError("a tornado is of an answer of SensitivitySolver: this one has no sensitivities")
    main = ds["sensitivities" if "sensitivities" in ds else "total_order"]
    others = [d for d in varying(main) if d != "parameter"]
    if others:
        raise ValueError(f"the sensitivities lie along {', '.join(others)}; choose with ds.sel({others[0]}=...)")
    ds = ds.isel({d: 0 for d in main.dims if d != "parameter"})
    ax = canvas.axes(ax)
    output = str(ds.attrs.get("output", ""))
    names = [str(n) for n in ds["parameter"].values]
    if "sensitivities" in ds:
        moved = _moved(ax, ds, names, output, most)
    else:
        moved = _shares(ax, ds, names, output, most)
    ax.invert_yaxis()
    ax.grid(axis="x", alpha=0.25)
    ax.legend(fontsize=8, loc="lower right", framealpha=0.85)
    rest = len(names) - moved
    canvas.name_it(ax, ds, f"what moves {output.replace('_', ' ')}")
    if rest:
        said = f"{rest} more input{'s move' if rest > 1 else ' moves'} it less"
        ax.set_xlabel(f"{ax.get_xlabel()}\n{said}")
    low = ax.get_ylim()[0]
    ax.set_ylim(max(low, 3.6), -0.6)
    return ax


def _moved(ax: Any, ds: xr.Dataset, names: list[str], output: str, most: int) -> int:
    """Bars from the output with an input lowered to that with it raised."""
    base = float(ds[output])
    ends = [np.asarray(ds[f"{output}_{end}"].values, dtype=np.float64) for end in ("low", "high")]
    one, unit = scale(base, ds[output].attrs.get("units", "1"))
    span = np.nanmax(np.abs(np.stack(ends) - base), axis=0, initial=0.0)
    order: list[int] = [int(i) for i in np.argsort(-span, kind="stable") if span[i] > SEEN * abs(base)][:most]
    step = float(ds.attrs.get("perturbation", 0.1))
    for end, values, colour in zip(("lowered", "raised"), ends, (canvas.PALETTE[1], canvas.PALETTE[0])):
        width = (np.nan_to_num(values[order], nan=base) - base) / one
        text = f"input {end} by {100 * step:.3g} %"
        ax.barh(range(len(order)), width, left=base / one, color=colour, height=0.65, label=text, zorder=3)
    ax.axvline(base / one, color="0.3", lw=0.8, zorder=4)
    marks = [names[i].replace("_", " ") + (" *" if "kink" in ds and bool(ds["kink"][i]) else "") for i in order]
    ax.set_yticks(range(len(order)), marks)
    ax.margins(x=0.12)
    kinks = any(mark.endswith("*") for mark in marks)
    ax.set_xlabel(head(output, unit) + ("    * another wall binds on the other side" if kinks else ""))
    canvas.fitted(ax.xaxis, [1.0, 2.0])
    return len(order)


def _shares(ax: Any, ds: xr.Dataset, names: list[str], output: str, most: int) -> int:
    """Shares of the variance, alone and together with others."""
    total, alone = (100 * np.asarray(ds[n].values, dtype=np.float64) for n in ("total_order", "first_order"))
    order = np.argsort(-np.nan_to_num(total), kind="stable")[:most]
    place = np.arange(len(order))
    ax.barh(place, total[order], color="0.8", height=0.7, label="together with others", zorder=3)
    ax.barh(place, np.maximum(alone[order], 0.0), color=canvas.PALETTE[0], height=0.4, label="alone", zorder=4)
    ax.set_yticks(place, [names[i].replace("_", " ") for i in order])
    ax.set_xlabel(head(f"share of the variance of {output}", "%"))
    return len(order)
