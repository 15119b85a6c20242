"""Predicted against measured, drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlsysim.calibration.validate import Validation

LABELS = {
    "step_time": "step time, s",
    "memory_per_device": "memory per device, byte",
    "itl": "time between tokens, s",
    "ttft": "time to first token, s",
    "tokens_per_s": "output tokens/s",
}


def parity(result: Validation, ax: Any = None, target: str | None = None) -> Any:
    """One mark a measured figure, logarithmic axes, the diagonal and 10 % on both sides.

    Parameters
    ----------
    result : Validation
    ax : matplotlib axes, optional
    target : str, optional
        Default: the one measured most often.

    Returns
    -------
    matplotlib axes
    """
    try:
        import matplotlib.pyplot as plt
        from matplotlib import ticker
    except ImportError:
        raise ImportError("a parity plot needs matplotlib: pip install 'mlsysim-sweep[plot]'") from None
    rows = result.rows
    if not len(rows):
        raise ValueError("nothing to draw: no row was answered")
    target = target or str(rows.target.value_counts().index[0])
    rows = rows[rows.target == target]
    if not len(rows):
        raise ValueError(f"nothing to draw: no {target} was measured")
    if ax is None:
        _, ax = plt.subplots(figsize=(5.5, 5.5), layout="constrained")
    ends = np.array(
        [min(rows.measured.min(), rows.predicted.min()) / 1.3, max(rows.measured.max(), rows.predicted.max()) * 1.3]
    )
    ax.fill_between(ends, ends / 1.1, ends * 1.1, color="0.92", lw=0, label="within 10 %")
    ax.plot(ends, ends, color="0.6", lw=0.8)
    groups = list(dict.fromkeys(rows.source)) if rows.source.nunique() <= 20 else list(dict.fromkeys(rows.group))
    column = "source" if rows.source.nunique() <= 20 else "group"
    for i, name in enumerate(groups):
        here = rows[rows[column] == name]
        ax.plot(
            here.measured,
            here.predicted,
            "os^vD<>ph*"[i % 10],
            ms=3.5,
            alpha=0.8,
            color=f"C{i % 10}",
            mew=0,
            label=", ".join(part for part in name.split(" | ")[1:] if part != "?")[:60] or name[:60],
        )
    about = LABELS[target]
    ax.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel=f"measured {about}", ylabel=f"predicted {about}")
    if ends[1] / ends[0] < 30:  # numbers at the small ticks, too, and few of them
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_minor_locator(ticker.LogLocator(subs=(2.0, 5.0)))
            for formatted in (axis.set_major_formatter, axis.set_minor_formatter):
                formatted(ticker.FuncFormatter(lambda x, _: f"{x:g}"))
    ax.legend(fontsize=6, frameon=False, loc="upper left")
    return ax
