"""Predicted against measured."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlsysim.plot import canvas
from mlsysim.plot.words import head
from mlsysim.schema.variables import variable_of
from mlsysim.sizes import scale

SOURCES = 8  #: groups that a legend names, those of the most marks first
LONGEST = 36  #: characters of a name in the legend
#: of figures that are no variable of a resolver
UNITS = {"samples_per_s": "1/s", "collective_time": "s", "device_hours": "s"}


def parity(result: Any, ax: Any = None, target: str | None = None) -> Any:
    """Draw measured figures against predicted ones: a mark each, the diagonal, and 10 % on both sides.

    Parameters
    ----------
    result : Validation
        What ``ms.validate`` returns; of a calibration its ``fitted`` or ``held_out``.
    ax : matplotlib Axes, optional
    target : str, optional
        ``"step_time"``, ``"itl"`` ...  Default: the one measured most often.

    Returns
    -------
    Axes
        Both axes logarithmic and alike.  Sources are told apart by colour and marker together; the title says how many
        marks there are, and their median error.

    Raises
    ------
    ValueError
        No row was answered, or the target was not measured.
    ImportError
        matplotlib is not installed.
    """
    canvas.matplotlib()
    if not hasattr(result, "rows") or not hasattr(result, "refused"):
        raise TypeError(f"parity is of a validation, as ms.validate gives it, not {type(result).__name__}")
    rows = result.rows
    if not len(rows):
        raise ValueError("nothing to draw: no row was answered")
    known = list(rows.target.value_counts().index)
    if target is not None and target not in known:
        raise ValueError(f"target={target!r} was not measured; there are {', '.join(map(str, known))}")
    target = str(known[0]) if target is None else target
    rows = rows[rows.target == target]
    ax = canvas.axes(ax, size=(5.6, 5.6))
    variable = variable_of(target)
    one, unit = scale(rows.measured, variable.unit if variable is not None else UNITS.get(target, "1"))
    ends = (
        np.array(
            [min(rows.measured.min(), rows.predicted.min()) / 1.3, max(rows.measured.max(), rows.predicted.max()) * 1.3]
        )
        / one
    )
    ax.fill_between(ends, ends / 1.1, ends * 1.1, color="0.92", lw=0, label="within 10 %")
    ax.plot(ends, ends, color="0.6", lw=0.8)
    column = "source" if rows.source.nunique() <= len(canvas.MARKERS) * 2 else "group"
    counts = rows[column].value_counts(sort=True)
    for i, (name, number) in enumerate(counts.items()):
        here = rows[rows[column] == name]
        ax.plot(
            here.measured / one,
            here.predicted / one,
            ls="",
            marker=canvas.MARKERS[i % len(canvas.MARKERS)],
            ms=4,
            alpha=0.8,
            color=canvas.PALETTE[i % len(canvas.PALETTE)],
            mew=0,
            label=f"{_brief(str(name))} ({number})" if i < SOURCES else None,
        )
    if len(counts) > SOURCES:
        ax.plot([], [], " ", label=f"and {len(counts) - SOURCES} more")
    ax.set(xlim=ends, ylim=ends)
    for axis in (ax.xaxis, ax.yaxis):
        canvas.logarithmic(axis)
    ax.set_xlabel(head(f"measured {target}", unit))
    ax.set_ylabel(head(f"predicted {target}", unit))
    ax.legend(fontsize=7, frameon=False, loc="upper left")
    off = 100 * float((rows.predicted / rows.measured - 1.0).abs().median())
    ax.set_title(f"{target.replace('_', ' ')}: {len(rows)} measured, median error {off:.1f} %", loc="left", fontsize=10)
    return ax


def _brief(source: str) -> str:
    """A source without its address."""
    parts = [part.strip() for part in source.split("|")][1:]
    parts = [part for part in parts if part and part != "?"] or [source]
    while len(parts) > 1 and len(", ".join(parts)) > LONGEST:
        parts = parts[1:]  # the end tells sources apart
    text = ", ".join(parts)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
