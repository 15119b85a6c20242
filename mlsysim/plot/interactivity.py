"""What a user sees against what a device earns, of several searches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.plot import canvas
from mlsysim.plot.words import dataset

if TYPE_CHECKING:
    import xarray as xr

#: outputs that a front of interactivity needs, and what tells the first one, too
USER, DEVICE, TIME = "tokens_per_s_per_user", "tokens_per_s_per_device", "itl"


def interactivity(
    fronts: Mapping[str, xr.Dataset] | xr.Dataset, aggregated: Mapping[str, xr.Dataset] | None = None, ax: Any = None
) -> Any:
    """Draw tokens per second of a device over tokens per second of a user, a line a front.

    Parameters
    ----------
    fronts : mapping or Dataset
        Name -> what ``pareto`` of DisaggregationOptimizer or BatchingOptimizer returns; or one of these.
    aggregated : mapping, optional
        Fronts of servers that prefill and decode on the same devices, by the same names: drawn dashed in the same colour.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    TypeError
        A front that is no Dataset.
    ValueError
        No front, or one without tokens per second of a user and of a device.
    ImportError
        matplotlib is not installed.
    """
    canvas.matplotlib()
    one: Any = fronts
    apart: dict[str, Any] = {"front": one} if hasattr(one, "data_vars") else _by_name(one)
    together: dict[str, Any] = dict(aggregated or {})
    if not apart and not together:
        raise ValueError("fronts={}: must be one front at least, name -> what pareto gives")
    ax = canvas.axes(ax)
    names = list(dict.fromkeys([*apart, *together]))
    for kind, line, mark in ((apart, "-", "o"), (together, "--", "")):
        for name, front in kind.items():
            user, device = _both(name, front)
            colour = canvas.PALETTE[names.index(name) % len(canvas.PALETTE)]
            label = name if kind is apart else f"{name}, aggregated"
            ax.plot(user, device, line, marker=mark, markersize=2.5, linewidth=1.4, color=colour, label=label)
    ax.set(xlabel="tokens/s of a user", ylabel="tokens/s of a device", yscale="log")
    ax.set_title("What a user sees, and what a device earns", loc="left", fontsize=10)
    ax.grid(visible=True, which="major", linewidth=0.4, alpha=0.5)
    ax.legend(fontsize=8, frameon=False)
    return ax


def _by_name(fronts: Any) -> dict[str, Any]:
    if not isinstance(fronts, Mapping):
        raise TypeError(f"fronts: must be Datasets by name, as pareto gives them, not {type(fronts).__name__}")
    return dict(fronts)


def _both(name: str, front: Any) -> tuple[np.ndarray, np.ndarray]:
    """Tokens per second of a user and of a device, from the slowest user on."""
    dataset(front, f"fronts[{name!r}] is a Dataset, as pareto gives it")
    if DEVICE not in front or not (USER in front or TIME in front):
        raise ValueError(f"fronts[{name!r}]: needs {DEVICE} and {USER} (or {TIME}); keep them in the search")
    user = front[USER].values if USER in front else 1.0 / front[TIME].values
    order = np.argsort(user)
    return user[order], front[DEVICE].values[order]
