"""One configuration of a stored answer: its inputs, to paste into the resolver again."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from mlsysim.engine.bind import Binder
from mlsysim.engine.label import labelled
from mlsysim.schema.check import shown
from mlsysim.schema.variables import variable_of
from mlsysim.stored.known import resolver_of

#: axes that number points, and are no inputs
NUMBERS = ("config", "point", "rank", "sample", "quantile")


def config(ds: xr.Dataset, i: int | None = None, **labels: Any) -> dict[str, Any]:
    """The inputs of one point, which the resolver answers with the same numbers.

    Parameters
    ----------
    i : int, optional
        Number of the point in the order of the dims, from 0; not needed for an answer of one point.
    **labels
        Or where it lies along the dims: ``tp=4, hardware="h100"``.

    Returns
    -------
    dict
        Inputs by name, in base units; defaults that nobody gave are left out, those that follow the model or the device are in.

    Raises
    ------
    ValueError
        No such point, nothing was found there, or an input is an object of the user's own, which a name does not bring back.
    """
    point = _point(ds, i, labels)
    if "found" in point.variables and not bool(point["found"]):
        raise ValueError("no configuration was found there")
    resolver = resolver_of(ds)
    given = [str(name) for name in point.coords if name not in NUMBERS]
    if resolver is None:
        return {name: _plain(name, point[name]) for name in given if not name.endswith("_index")}
    binder = Binder(resolver.parameters(given), resolver.name)
    found = {name: _plain(name, point[name]) for name in given if name in binder.spellings}
    for name in binder.picks:
        if name in found and isinstance(found[name], str):
            try:
                binder.reader(name).one(found[name])
            except ValueError:
                label = shown(found[name])
                raise ValueError(f"{name}={label} is an object of your own: give it to the resolver again") from None
    return found


def _point(ds: xr.Dataset, i: int | None, labels: dict[str, Any]) -> xr.Dataset:
    """A Dataset of one point."""
    for name in ("sample", "quantile"):
        if name in ds.sizes:
            raise ValueError(
                f"the answer has a dim {name!r}: its points are draws of a configuration, select one quantile "
                "or mean first, or ask without"
            )
    says = next((name for name in ("found", "feasible", "limit") if name in ds.data_vars), None)
    ds = ds if says is None else ds[[says]]  # what else an optimizer tells has dims of its own
    for name in labels:
        if name not in ds.sizes:
            raise ValueError(f"{name} is no dim of this answer ({', '.join(map(str, ds.sizes)) or 'it has none'})")
    try:
        ds = ds.sel(labels) if labels else ds
    except KeyError:
        raise ValueError(_no_label(ds, labels)) from None
    size = int(np.prod(list(ds.sizes.values()), dtype=np.int64))
    if i is None and size != 1:
        dims = ", ".join(f"{d} ({n})" for d, n in ds.sizes.items())
        raise ValueError(f"the answer has {size:,} points along {dims}: say which, by its number or by labels")
    number = 0 if i is None else i
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or not -size <= number < size:
        raise ValueError(f"i={shown(i)}: must be a whole number from 0 to {size - 1:,}")
    places = np.unravel_index(int(number) % size, tuple(ds.sizes.values())) if ds.sizes else ()
    return ds.isel({d: int(at) for d, at in zip(ds.sizes, places)})


def _no_label(ds: xr.Dataset, labels: dict[str, Any]) -> str:
    """Which label an answer does not have, and those that it has."""
    for name, label in labels.items():
        known = labelled(ds[name]).tolist()
        if label not in known:
            few = ", ".join(map(str, known[:8])) + (f" ... ({len(known)})" if len(known) > 8 else "")
            return f"{name}={shown(label)}: the answer has {few}"
    return f"no such point: {labels}"


def _plain(name: str, array: xr.DataArray) -> Any:
    """One value as Python writes it."""
    value, variable = array.values[()].item(), variable_of(name)
    counted = variable is not None and variable.kind in ("count", "flag")
    return int(value) if isinstance(value, float) and counted and value.is_integer() else value
