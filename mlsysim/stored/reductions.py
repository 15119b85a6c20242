"""Best, top, Pareto front and limits of a stored answer: the same as those that are found while sweeping."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from mlsysim.engine.label import attributes
from mlsysim.schema import codes
from mlsysim.schema.check import flag, hint, names, shown, whole
from mlsysim.schema.variables import variable_of
from mlsysim.search.pareto import front_of
from mlsysim.search.reduce import in_signature_order
from mlsysim.search.thin import thin
from mlsysim.stored.known import resolver_of, works

CHUNK = 1 << 16  #: points of which a front is made at once


def best(ds: xr.Dataset, objective: str, maximize: bool | None = None, by: Any = (), where: Any = None) -> xr.Dataset:
    """The best configuration that works, one for each cell of `by` (see `Resolver.best`)."""
    return top(ds, 1, objective, maximize, by, where).isel(rank=0).drop_vars("rank")


def top(
    ds: xr.Dataset, k: int, objective: str, maximize: bool | None = None, by: Any = (), where: Any = None
) -> xr.Dataset:
    """The `k` best along a dim `rank`, for each cell of `by` (see `Resolver.top`)."""
    k, cells = whole("k", k), names(by, "by")
    for name in cells:
        if name not in ds.dims:
            raise ValueError(f"by={shown(name)} is no dim of this answer{hint(name, map(str, ds.dims))}")
    free = _free(ds, cells)
    accepted = _accepted(ds, where)
    signed = _signed(ds, objective, maximize)
    key = _flat(signed.where(accepted & ~np.isnan(signed), np.inf), ds, cells, free)
    k = min(k, key.shape[-1])
    order: np.ndarray = key.argmin(axis=-1)[..., None] if k == 1 else np.argsort(key, axis=-1, kind="stable")[..., :k]
    found = xr.DataArray(np.take_along_axis(key, order, axis=-1) < np.inf, dims=(*cells, "rank"))
    answer = _masked(_picked(ds, free, order, (*cells, "rank")), found)
    about = {"objective": objective, "points": math.prod(ds.sizes.values()), "accepted": int((key < np.inf).sum())}
    return answer.assign_coords(rank=np.arange(k)).assign_attrs(about)


def pareto(
    ds: xr.Dataset, minimize: Any = (), maximize: Any = (), epsilon: float | None = None, where: Any = None
) -> xr.Dataset:
    """The exact front of the configurations that work (see `Resolver.pareto`)."""
    wanted = [(n, False) for n in names(minimize, "minimize")] + [(n, True) for n in names(maximize, "maximize")]
    if not wanted:
        raise ValueError("pareto needs objectives: minimize=[...], maximize=[...]")
    if epsilon is not None and not (isinstance(epsilon, numbers.Real) and 0 < epsilon < 1):
        raise ValueError(f"epsilon={shown(epsilon)}: a relative amount between 0 and 1")
    free = _free(ds, ())
    accepted = _flat(_accepted(ds, where), ds, (), free).astype(bool)
    columns = [_flat(_signed(ds, name, up), ds, (), free) for name, up in wanted]
    alive = np.flatnonzero(np.all([accepted, *(c < np.inf for c in columns)], axis=0))
    points, places = np.empty((0, len(columns))), np.empty(0, dtype=np.int64)
    count = places
    for begin in range(0, len(alive), CHUNK):
        part = alive[begin : begin + CHUNK]
        fresh = np.stack([c[part] for c in columns], axis=1)
        points, places, count = front_of(
            np.concatenate([points, fresh]),
            np.concatenate([places, part]),
            np.concatenate([count, np.ones(len(part), dtype=np.int64)]),
        )
    full = len(points)
    if epsilon is not None:
        kept = thin(points, epsilon)
        places, count = places[kept], count[kept]
    answer = _picked(ds, free, places, ("point",))
    about = {"units": "1", "long_name": "configurations with these objectives"}
    return answer.assign(count=("point", count, about)).assign_attrs(
        objectives=", ".join(f"{'max' if up else 'min'} {n}" for n, up in wanted),
        points=math.prod(ds.sizes.values()),
        accepted=len(alive),
        front=full,
    )


def limits(ds: xr.Dataset, by: Any = ()) -> xr.DataArray:
    """How many configurations work (``none``) and how many each limit stops, in each cell of `by`."""
    if "limit" not in ds.variables:
        raise ValueError("the answer does not say what stops its configurations: it has no `limit`")
    cells = names(by, "by")
    flat = _flat(ds["limit"], ds, cells, _free(ds, cells))
    kinds = [codes.label(one) for one in codes.Limit]
    counts = np.stack([(flat == int(one)).sum(axis=-1) for one in codes.Limit], axis=-1)
    coords = {name: ds[name] for name in cells if name in ds.coords}
    about = {"units": "1", "long_name": "configurations by what stops them"}
    return xr.DataArray(counts, {**coords, "limit": kinds}, (*cells, "limit"), "configurations", about)


# --- how -----------------------------------------------------------------------------------------------------


def _free(ds: xr.Dataset, cells: Sequence[str]) -> list[str]:
    """The dims that a reduction is over, in the order in which the lowest position breaks ties."""
    dims, resolver = [str(d) for d in ds.dims if d not in cells], resolver_of(ds)
    return dims if resolver is None else in_signature_order(resolver.parameters(map(str, ds.coords)), dims)


def _accepted(ds: xr.Dataset, where: Any) -> xr.DataArray:
    """Where the configurations work and meet a condition."""
    if where is None:
        return works(ds)
    if not (isinstance(where, xr.DataArray) and where.dtype == bool):
        raise TypeError(
            f"where={shown(where)}: of a stored answer a DataArray of truth values, as in where=ds.itl < 0.05"
        )
    return works(ds) & where


def _signed(ds: xr.Dataset, objective: str, maximize: bool | None) -> xr.DataArray:
    """An objective to be minimized."""
    if objective not in ds.variables:
        raise ValueError(f"the answer has no {shown(objective)}{hint(str(objective), map(str, ds.data_vars))}")
    variable = variable_of(objective)
    if flag("maximize", maximize) is None:
        if variable is None or not variable.better:
            raise ValueError(f"{objective} has no direction in the schema: say maximize=True or maximize=False")
        maximize = variable.better == "more"
    return -ds[objective].astype(float) if maximize else ds[objective].astype(float)


def _flat(array: xr.DataArray, ds: xr.Dataset, cells: Sequence[str], free: Sequence[str]) -> np.ndarray:
    """Values over the cells and, flat, the free dims."""
    missing = {d: ds.sizes[d] for d in (*cells, *free) if d not in array.dims}
    values = np.asarray(array.expand_dims(missing).transpose(*cells, *free).values)
    return values.reshape(*(ds.sizes[d] for d in cells), -1)


def _picked(ds: xr.Dataset, free: Sequence[str], order: np.ndarray, dims: tuple[str, ...]) -> xr.Dataset:
    """Some points of an answer, by their flat numbers along the free dims."""
    if not free:
        return ds.expand_dims({dims[-1]: order.shape[-1]}, axis=-1)
    places = np.unravel_index(order, tuple(ds.sizes[d] for d in free))
    found = ds.isel({d: xr.DataArray(at, dims=dims) for d, at in zip(free, places)})
    return found.drop_vars([d for d in free if d in found.coords and d not in ds.coords])


def _masked(ds: xr.Dataset, found: xr.DataArray) -> xr.Dataset:
    """Nothing where nothing was found: NaN, False, no label, and the limit ``not_found``."""
    about = attributes("found")
    if not bool(found.all()):
        reached = {str(n): c for n, c in ds.coords.items() if "rank" in c.dims}
        ds = ds.assign({str(n): _blank(str(n), v, found) for n, v in ds.data_vars.items()})
        ds = ds.assign_coords({n: _blank(n, c, found) for n, c in reached.items()})
    return ds.assign(found=found.assign_attrs(about))


def _blank(name: str, array: xr.DataArray, found: xr.DataArray) -> xr.DataArray:
    variable = variable_of(name)
    limit = variable is not None and variable.options is codes.Limit
    kinds: Mapping[str, Any] = {"b": False, "i": int(codes.Limit.NOT_FOUND) if limit else 0, "U": "", "M": "NaT"}
    if array.dtype.kind == "i" and array.dtype != np.int8:  # a coordinate
        return array.where(found)
    other = kinds.get(array.dtype.kind, np.nan)
    return xr.where(found, array, np.array(other, dtype=array.dtype if other is not np.nan else None)).assign_attrs(
        array.attrs
    )
