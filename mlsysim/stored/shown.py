"""A stored answer as one reads it: what works, options as text, and at once however many dims it has."""

from __future__ import annotations

import numpy as np
import xarray as xr

from mlsysim.engine.label import Shown, labelled
from mlsysim.stored.known import works


def feasible(ds: xr.Dataset) -> xr.Dataset:
    """The answer with NaN for the numbers of configurations that do not work; options, flags and `limit` stay."""
    ok = works(ds)
    return quick(ds.assign({n: v.where(ok) for n, v in ds.data_vars.items() if v.dtype.kind == "f"}))


def text_of(ds: xr.Dataset) -> xr.Dataset:
    """The answer with the labels of its options in place of their codes."""
    found = {}
    for name, array in ds.data_vars.items():
        if "flag_meanings" in array.attrs:
            about = {k: v for k, v in array.attrs.items() if not k.startswith("flag_")}
            found[name] = (array.dims, labelled(array), about)
    return quick(ds.assign(found))


def quick(ds: xr.Dataset) -> xr.Dataset:
    """The same answer, that prints at once however many dims it has (see `mlsysim.engine.label.Shown`)."""
    found = {}
    for name, array in ds.data_vars.items():
        data = array.variable._data
        if type(data) is np.ndarray and data.ndim > 3:
            found[name] = xr.Variable(array.dims, data.view(Shown), dict(array.attrs), fastpath=True)
    return ds.assign(found)
