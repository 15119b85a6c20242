"""What an output is made of, by the table of wholes: parts that add up to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.plot.words import array, feasible
from mlsysim.schema import check
from mlsysim.schema.variables import field_of
from mlsysim.schema.wholes import WHOLES, Whole

if TYPE_CHECKING:
    import xarray as xr

#: share of the whole below which a difference is rounding
ROUNDING = 1e-6


def wholes(ds: xr.Dataset) -> dict[str, tuple[Whole, list[str]]]:
    """Outputs of an answer that are made of at least two others of it: name -> what the table says, names of the parts."""
    return {name: (whole, parts) for whole in WHOLES for name, parts in _of(ds, whole) if len(parts) > 1}


def _of(ds: xr.Dataset, whole: Whole) -> Iterator[tuple[str, list[str]]]:
    for name in map(str, ds.data_vars):
        if field_of(name) != whole.name:
            continue
        prefix = name.removesuffix(whole.name)
        found = []
        for part in whole.parts:
            there = [n for either in part.split("|") for n in (prefix + either, either) if n in ds.data_vars]
            found += there[:1]
        yield name, found


def chosen(ds: xr.Dataset, whole: Any) -> str:
    """The whole that is asked for; of none, the first that the answer has."""
    known = wholes(ds)
    if whole is None:
        if not known:
            raise ValueError(
                "whole: no output of this answer is made of others; answers of DistributedModel, ServingModel, EconomicsModel "
                "have such (keep= must not leave them out)"
            )
        return next(iter(known))
    array(ds, whole, "whole")
    if whole not in known:
        raise ValueError(f"whole={whole!r} is not made of other outputs of this answer{check.hint(whole, known)}")
    return str(whole)


def parts_of(ds: xr.Dataset, whole: str | None = None) -> dict[str, xr.DataArray]:
    """What an output is made of.

    Parameters
    ----------
    ds : Dataset
        An answer that has the output and its parts.
    whole : str, optional
        Default: the first output of the answer that is made of others (`mlsysim.schema.wholes`).

    Returns
    -------
    dict of str to DataArray
        Name of the part -> its values, along the dims of the whole and in its unit; they add up to it.  Of parts that run
        together the longest is told in full, the next as far as nothing hides it.  NaN where the whole is.

    Raises
    ------
    ValueError
        The answer has no such output, or its parts exceed it.
    """
    name = chosen(ds, whole)
    about, names = wholes(ds)[name]
    total = ds[name]
    found = {n: ds[n].broadcast_like(total).transpose(*total.dims).astype(np.float64) for n in names}
    if about.scatter and "sample" in total.coords:
        factor = total / sum(found.values())
        found = {n: part * factor for n, part in found.items()}
    if about.together:
        found = _side_by_side(found, [n for n in names if field_of(n) in about.together], total)
    values = {n: np.where(np.isfinite(total.values), part.values, np.nan) for n, part in found.items()}
    left = total.values - np.sum(list(values.values()), axis=0)
    finite = left[np.isfinite(left)]
    scale = np.nanmax(np.abs(total.values), initial=0.0)
    if finite.size and finite.min() < -ROUNDING * scale:
        raise ValueError(f"whole={name!r}: its parts exceed it by {-finite.min() / scale:.2g} of the largest")
    found = {n: total.copy(data=part).assign_attrs(ds[n].attrs).rename(n) for n, part in zip(found, values.values())}
    if finite.size and finite.max() > ROUNDING * scale:
        rest = about.rest or "rest"
        found[rest] = total.copy(data=np.maximum(left, 0.0)).assign_attrs(long_name=rest).rename(rest)
    return {n: part for n, part in found.items() if np.nanmax(part.values, initial=0.0) > 0}


def _side_by_side(found: dict[str, xr.DataArray], names: list[str], total: xr.DataArray) -> dict[str, xr.DataArray]:
    """Of parts that run at the same time, what each adds: the longest all of it, the others what nothing hides."""
    alone = sum((part for n, part in found.items() if n not in names), start=total * 0.0)
    values = np.stack([found[n].values for n in names])
    room = total.values - alone.values
    shown = np.zeros_like(values)
    order = np.argsort(-np.nan_to_num(values), axis=0, kind="stable")
    for place in order:
        own = np.take_along_axis(values, place[None], 0)[0]
        visible = np.minimum(own, np.maximum(room, 0.0))
        np.put_along_axis(shown, place[None], visible[None], 0)
        room = room - visible
    return found | {n: total.copy(data=part) for n, part in zip(names, shown)}


def works(ds: xr.Dataset, total: xr.DataArray) -> np.ndarray:
    """Where the whole is of a configuration that works."""
    fits = feasible(ds)
    if fits is None:
        return np.ones(total.shape, dtype=bool)
    return fits.broadcast_like(total).transpose(*total.dims).values.astype(bool)
