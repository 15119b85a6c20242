"""Pictures of a plan: functions of `mlsysim.plot` by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlsysim import plot
from mlsysim.schema.check import hint, shown

if TYPE_CHECKING:
    import xarray as xr

#: functions of `mlsysim.plot` that draw no answer of a resolver
OTHERS = ("save", "parity")


def kinds() -> dict[str, Callable[..., Any]]:
    """What can be drawn of an answer, by name."""
    return {name: getattr(plot, name) for name in plot.__all__ if name not in OTHERS}


def check(kind: str, arguments: Mapping[str, Any]) -> None:
    """Refuse a picture that cannot be, before anything is run."""
    known = kinds()
    if kind not in known:
        raise ValueError(f"picture.kind={shown(kind)}: no such picture{hint(kind, known)}")
    takes = [name for name in list(inspect.signature(known[kind]).parameters)[1:] if name != "ax"]
    for name in arguments:
        if name not in takes:
            raise ValueError(f"picture {kind}: has no argument {name!r}{hint(name, takes)}")
    needed = inspect.signature(known[kind]).parameters
    for name in takes:
        if needed[name].default is inspect.Parameter.empty and name not in arguments:
            raise ValueError(f"picture {kind}: needs {name}")


def draw(ds: xr.Dataset, kind: str, arguments: Mapping[str, Any], path: Path) -> Path:
    """Draw an answer into a file."""
    axes = kinds()[kind](ds, **arguments)
    figure = axes.figure
    figure.savefig(path, dpi=150)
    import matplotlib.pyplot as plt

    plt.close(figure)
    return path
