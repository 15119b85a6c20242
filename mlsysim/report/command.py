"""One configuration of an answer as words to paste on a command line."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.engine.label import labelled

if TYPE_CHECKING:
    import xarray as xr

#: coordinates that number answers and are no inputs
NUMBERS = ("point", "rank", "sample", "quantile", "parameter")


def command(ds: xr.Dataset, place: dict[str, int]) -> str:
    """``mlsysim solve ...`` for one place of an answer.

    Parameters
    ----------
    ds : Dataset
        What ``pareto``, ``best`` or ``solve`` returns.
    place : dict
        Dim -> position.

    Returns
    -------
    str
        Inputs in base units; empty where the answer does not say which resolver gave it, or where rows of one's own, which no
        command line knows, stand among the inputs.
    """
    resolver = re.sub(r"(Model|Solver|Optimizer)\b", "", str(ds.attrs.get("resolver", "")))
    words = []
    for name, values in ds.coords.items():
        if name in NUMBERS or not resolver:
            continue
        value = labelled(values.isel({d: i for d, i in place.items() if d in values.dims}))
        if value.ndim or value.dtype.kind not in "iufbU":
            return ""
        if value.dtype.kind == "U" and not str(value):
            return ""
        words.append(f"{name}={shlex.quote(_written(value[()]))}")
    return " ".join(["mlsysim", "solve", shlex.quote(resolver.replace(" ", "").lower()), *words]) if words else ""


def _written(value: Any) -> str:
    if isinstance(value, (np.bool_, bool)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)):
        short = f"{float(value):g}"
        return short if float(short) == float(value) else repr(float(value))
    return str(value)
