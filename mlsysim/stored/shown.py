"""A stored answer as one reads it: what works, options as text, and at once however many dims it has.

What a resolver answers prints at once, and so does what xarray and NumPy make of it: the class of its arrays goes through
`where`, arithmetic, selections, reductions, `concat` (see `mlsysim.engine.label.Shown`).  SciPy and ``np.asarray`` give plain
arrays back, as in `interp` and in `apply_ufunc` with a function that makes its own: for those there is `notebook`.
"""

from __future__ import annotations

import sys
from typing import Any

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


def notebook() -> None:
    """Let every xarray object print at once in this Jupyter or IPython session, whatever its arrays are.

    Arrays of more than three dims then show one value at each end of a dim in place of three; nothing else changes, and
    nothing outside this session.

    Raises
    ------
    RuntimeError
        There is no such session.
    """
    ipython = sys.modules.get("IPython")
    session = None if ipython is None else ipython.get_ipython()
    if session is None:
        raise RuntimeError("notebook() is for Jupyter and IPython, and this is neither")
    for kind in (xr.Dataset, xr.DataArray):
        session.display_formatter.formatters["text/html"].for_type(kind, _html)
        session.display_formatter.formatters["text/plain"].for_type(kind, _plain)


def _html(shown: Any) -> str:
    with _short(shown):
        return str(shown._repr_html_())


def _plain(shown: Any, printer: Any, cycle: bool) -> None:
    with _short(shown):
        printer.text(repr(shown))


def _short(shown: Any) -> Any:
    usual = np.get_printoptions()["edgeitems"]
    return np.printoptions(edgeitems=1 if len(shown.dims) > 3 else usual)
