"""Which resolver an answer came from."""

from __future__ import annotations

from typing import Any

import xarray as xr

from mlsysim.resolver import RESOLVERS, Optimizer, Resolver, compose


def resolver_of(ds: xr.Dataset) -> Resolver | None:
    """The resolver that evaluated the configurations of an answer: for an optimizer the model that it searched.

    None for one of the user's own, of which an answer knows the name only.
    """
    names = str(ds.attrs.get("resolver", "")).split(" + ")
    found: list[Any] = [RESOLVERS.get(name) for name in names]
    if None in found:
        return None
    found = [one.model if isinstance(one, Optimizer) else one for one in found]
    return found[0] if len(found) == 1 else compose(*found)


def works(ds: xr.Dataset) -> xr.DataArray:
    """Where the configurations of an answer work.

    Raises
    ------
    ValueError
        The answer does not say, although its resolver does.
    """
    name = next((n for n in ("feasible", "found") if n in ds.variables), None)
    if name is not None and ds[name].dtype == bool:
        return ds[name]
    if name is not None:
        raise ValueError(f"{name} is a share of samples here: which of them work is not stored")
    resolver = resolver_of(ds)
    if resolver is not None and "feasible" in resolver.outputs:
        raise ValueError("the answer does not say which configurations work: it has lost `feasible`")
    return xr.DataArray(True)
