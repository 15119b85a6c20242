"""What an answer assumed, from its attributes: values to give back, and sentences."""

from __future__ import annotations

import re
from typing import Any

import xarray as xr

from mlsysim import units

_NEXT = re.compile(r", (?=[A-Za-z_][\w.]*=)")


def assumed(ds: xr.Dataset) -> dict[str, Any]:
    """Inputs that a call did not say, with the values that were taken for them.

    Giving them back, ``resolver.solve(**call, **assumed)``, gives the same answer.  What runs along a dim is a DataArray;
    what follows another input row by row and is no coordinate stays out (`attrs["assumed"]` tells it).

    Examples
    --------
    >>> assumed(xr.Dataset(attrs={"assumed": "tp=1, memory_fraction=0.9, n_accelerators=8 (one node); epochs is 200"}))
    {'tp': 1, 'memory_fraction': 0.9, 'n_accelerators': 8}
    """
    found: dict[str, Any] = {}
    for part in _NEXT.split(str(ds.attrs.get("assumed", "")).split("; ")[0]):
        name, equals, text = part.partition("=")
        if not equals:
            continue
        if name in ds.coords and ds.coords[name].dims:
            if name in ds.dims or f"{name}=" not in str(ds.attrs.get("call", "")):  # else the winner among those given
                found[name] = ds.coords[name].reset_coords(drop=True)
            continue
        text = re.sub(r" \([^()]*\)$", "", text)
        number = units.number(text)
        if number is not None:
            found[name] = int(number) if number.is_integer() else number
        elif " " not in text and not text.startswith("["):
            found[name] = text
    return found
