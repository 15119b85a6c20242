"""The two sides of a comparison: where they work, their figures over all dims, the inputs that set them apart."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mlsysim.sizes import number

if TYPE_CHECKING:
    import xarray as xr

HIDDEN = ("found", "feasible", "limit", "configurations")


def without_counts(ds: xr.Dataset) -> xr.Dataset:
    """An answer without what an optimizer says of the others: how many are stopped by what."""
    return ds.drop_dims("stopped_by", errors="ignore")


def works(ds: xr.Dataset) -> np.ndarray:
    """Where an answer is of a configuration that works."""
    at = np.ones(tuple(ds.sizes.values()), dtype=bool)
    for name in ("feasible", "found"):
        if name in ds:
            at = at & (broadcast(ds, ds[name].values, ds[name].dims) > 0.5)
    return at


def broadcast(ds: xr.Dataset, values: np.ndarray, dims: tuple[Hashable, ...]) -> np.ndarray:
    """Values over some dims as values over all of them."""
    order = [dims.index(d) for d in ds.sizes if d in dims]
    values = np.transpose(values, order).reshape([n if d in dims else 1 for d, n in ds.sizes.items()])
    return np.broadcast_to(values, tuple(ds.sizes.values()))


def figures(a: xr.Dataset, b: xr.Dataset) -> list[str]:
    """Outputs that both sides have as numbers."""
    return [
        str(n)
        for n, v in a.data_vars.items()
        if n in b.data_vars
        and n not in HIDDEN
        and v.dtype.kind in "iuf"
        and "flag_meanings" not in v.attrs
        and set(v.dims) <= set(a.sizes)
    ]


def median_ratio(sides: Sequence[xr.Dataset], name: str, both: np.ndarray) -> float:
    """Median of second over first, of an output where both work."""
    left, right = (broadcast(s, np.asarray(s[name].values, dtype=np.float64), s[name].dims)[both] for s in sides)
    with np.errstate(all="ignore"):
        ratio = np.where(left == right, 1.0, right / left)
    ratio = ratio[np.isfinite(ratio)]
    return float(np.median(ratio)) if ratio.size else np.nan


def _given(ds: xr.Dataset) -> dict[str, str]:
    """Inputs of an answer, as they were said."""
    return {str(n): number(c.values[()]) for n, c in ds.coords.items() if not c.dims and n not in ds.attrs}


def _assumed(ds: xr.Dataset) -> dict[str, str]:
    """Inputs that an answer took by default."""
    text = str(ds.attrs.get("assumed", "")).split(";")[0]
    return dict(re.findall(r"(\w+)=(.*?)(?=, \w+=|$)", text))


def differing(a: xr.Dataset, b: xr.Dataset) -> pd.DataFrame:
    said, taken = (_given(a), _given(b)), (_assumed(a), _assumed(b))
    rows = {}
    for name in dict.fromkeys([*said[0], *said[1], *taken[0], *taken[1]]):
        given = name in said[0] or name in said[1]
        left, right = (s.get(name, t.get(name, "-")) for s, t in zip(said, taken))
        if left != right:
            rows[name] = (left, right, given)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["a", "b", "given"]).rename_axis("input")


def called(inputs: pd.DataFrame) -> tuple[str, str]:
    """The values of the one input that differs, else a and b."""
    given = inputs[inputs["given"].astype(bool)]
    if len(given) == 1:
        return str(given["a"].iloc[0]), str(given["b"].iloc[0])
    return "a", "b"
