"""Answers in files: netCDF and zarr keep everything, CSV a row a point with labels."""

from __future__ import annotations

import importlib
import math
import os
from os import PathLike
from typing import TYPE_CHECKING, Any

import xarray as xr

from mlsysim.stored.shown import quick, text_of

if TYPE_CHECKING:
    import pandas as pd

#: ending -> the package behind it and the extra that brings it
NEEDS = {".nc": ("h5netcdf", "store"), ".zarr": ("zarr", "store")}


def to_dataframe(ds: xr.Dataset) -> pd.DataFrame:
    """A row a point: labels in place of codes, every coordinate a column, units in ``frame.attrs["units"]``."""
    whole = text_of(ds)
    if not whole.sizes:
        whole = whole.expand_dims("point")
    frame = whole.to_dataframe().reset_index()
    frame = frame.drop(columns=[d for d in whole.sizes if d not in ds.coords and d in frame])
    frame.attrs["units"] = {
        str(n): str(ds[n].attrs["units"]) for n in frame if n in ds.variables and "units" in ds[n].attrs
    }
    return frame


def save(ds: xr.Dataset, path: str | PathLike[str]) -> str:
    """Write an answer, by the ending of the name: ``.nc``, ``.zarr`` or ``.csv``; what is there is replaced.

    Raises
    ------
    ValueError
        Another ending, or more than 5 million rows of CSV.
    ImportError
        The package behind the ending is not installed.
    """
    path = os.fspath(path)
    ending = _ending(path)
    if ending == ".nc":
        ds.to_netcdf(path, engine="h5netcdf")
    elif ending == ".zarr":
        ds.to_zarr(path, mode="w", zarr_format=2, consolidated=True)  # version 3 knows no text of fixed length
    else:
        rows = math.prod(ds.sizes.values())
        if rows > 5_000_000:
            raise ValueError(f"path={path}: {rows:,} rows are too many for CSV: save as .nc, or reduce")
        to_dataframe(ds).to_csv(path, index=False)
    return path


def load(path: str | PathLike[str]) -> xr.Dataset:
    """An answer that `save` wrote as ``.nc`` or ``.zarr``, the same as it was; CSV is for other programs."""
    path = os.fspath(path)
    ending = _ending(path)
    if ending not in (".nc", ".zarr"):
        raise ValueError(f"path={path}: only .nc and .zarr keep a whole answer; pandas reads {ending}")
    if not os.path.exists(path):
        raise FileNotFoundError(f"path={path}: there is no such file")
    opened: Any = xr.load_dataset(path, engine="h5netcdf") if ending == ".nc" else xr.open_zarr(path).load()
    return quick(opened.drop_encoding())


def _ending(path: str) -> str:
    ending = os.path.splitext(path.rstrip("/"))[1].lower()
    if ending not in (*NEEDS, ".csv"):
        raise ValueError(f"path={path}: the name must end in {', '.join(NEEDS)} or .csv")
    required(ending)
    return ending


def required(ending: str) -> None:
    """Refuse an ending whose package is not installed."""
    package, extra = NEEDS.get(ending, ("", ""))
    if package:
        try:
            importlib.import_module(package)
        except ImportError:
            raise ImportError(f"{package} is not installed: pip install 'mlsysim-sweep[{extra}]'") from None
