"""Results with names: an xarray Dataset with units, meanings and the story of the call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from mlsysim import zoo
from mlsysim.engine.columns import Column, readable
from mlsysim.engine.kinds import Picked
from mlsysim.engine.program import Program
from mlsysim.engine.unsaid import assumed
from mlsysim.schema import codes
from mlsysim.schema.check import hint, names, shown
from mlsysim.schema.variables import VARIABLES, field_of, variable_of
from mlsysim.version import __version__

FEW = 12  #: rows of one's own that an answer names


def attributes(name: str) -> dict[str, Any]:
    """CF-style attributes of a variable."""
    variable = variable_of(name)
    if variable is None:
        return {}
    found: dict[str, Any] = {"units": variable.unit, "long_name": variable.meaning}
    if variable.options is not None:
        labels = codes.labels(variable.options)
        found["flag_values"] = np.array(sorted(labels.values()), dtype=np.int8)
        found["flag_meanings"] = " ".join(labels)
    return found


def labelled(array: xr.DataArray, values: np.ndarray | None = None) -> np.ndarray:
    """Values of a variable (or some of them); codes of an option as their labels."""
    values = array.values if values is None else values
    meanings = array.attrs.get("flag_meanings")
    if meanings is None or values.dtype.kind not in "iu":
        return values
    named = dict(zip(np.asarray(array.attrs["flag_values"]).tolist(), str(meanings).split()))
    by_code = np.array([named.get(code, "") for code in range(max(named) + 1)])
    return by_code[values]


def dtype(name: str) -> type:
    """Type in which an output is stored."""
    variable = variable_of(name)
    if variable is not None and variable.kind == "flag":
        return np.bool_
    if variable is not None and variable.kind == "option":
        return np.int8
    return np.float64


def coordinates(program: Program) -> dict[str, Any]:
    """Coordinates of a call: one per axis, what runs along it or over several, and the scalars.

    Their arrays are the user's own perhaps: `dataset` copies them.
    """
    found: dict[str, Any] = {}
    kinds = program.kinds
    for name, axis in program.axes.items():
        found[name] = (name, axis.values, _about(name))
        if (
            name == "sample" and program.draws is not None
        ):  # an answer along these draws goes with draws of this seed only
            found[name] = (name, axis.values, {"seed": program.draws.seed})
        if kinds is not None and kinds.axis == name:
            for other, values in program.binder.axes[kinds.name].paired.items():
                found[other] = (name, Picked(np.asarray(values), kinds.codes), _about(other))
        for other, values in axis.paired.items():
            found[other] = (name, values, _about(other))
    for name, column in program.binder.columns.items():
        if name not in found and column.values.size == 1:
            found[name] = ((), _scalar(column.labels.reshape(-1)[0]), _about(name))
        elif name not in found and name not in program.outputs:
            labels, dims = column.labels, column.dims
            if kinds is not None:
                labels, dims = kinds.spread(labels, dims)
            own = tuple(d for d in dims if d in program.axes)
            found[name] = (own, readable(labels).reshape([program.axes[d].size for d in own]), _about(name))
    return found


def _about(name: str) -> dict[str, Any]:
    about = attributes(field_of(name))
    about.pop("flag_values", None)
    about.pop("flag_meanings", None)
    return about


def _scalar(label: Any) -> Any:
    if isinstance(label, (str, int, float, np.generic)):
        return label
    return str(getattr(label, "key", label))


def story(program: Program, omitted: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """Attributes of a result: who computed what from which data."""
    found: dict[str, Any] = {
        "resolver": program.resolver.name,
        "version": __version__,
        "data": zoo.digest(program.binder.own.values()),
        "call": ", ".join(
            f"{n}={_short(*_first(program, c))}"
            for n, c in program.binder.columns.items()
            if n not in program.binder.assumed
        ),
    }
    if unsaid := assumed(program):
        found["assumed"] = unsaid
    if idle := program.unread:
        found["unread"] = "; ".join(idle.values())
    if own := program.binder.own:
        told = [f"{name}: {_given(row)}" for name, row in list(own.items())[:FEW]]
        found["own"] = "; ".join([*told, *([f"{len(own) - FEW:,} more"] if len(own) > FEW else [])])
    if omitted:
        found["omitted"] = "; ".join(f"{k}: {why}" for k, why in omitted.items())
    if program.spared:
        found["left_out"] = program.gone_without()
    offloaded = _offloaded(program)
    if offloaded:
        found["offload"] = offloaded
    if program.binder.derived:
        found["derived"] = "; ".join(f"{k}: {how}" for k, how in sorted(program.binder.derived.items()))
    rents = program.binder.rents
    if len(set(rents.values())) > 1 and any(
        VARIABLES[n].unit.startswith("USD") for n in program.outputs if n in VARIABLES
    ):
        found["rents"] = "; ".join(f"{k}: {basis}" for k, basis in sorted(rents.items()))  # not of one list: mind it
    return found | more


def _given(row: zoo.Row) -> str:
    """Who gave a row of one's own, of which row of the zoo it was made, and the source that it names."""
    made = "" if row.origin.startswith("own ") else f", made from {row.origin}"
    base = zoo.lookup(row.table, row.origin).sources if made else ""
    source = row.sources.removeprefix(base).removeprefix("; ").partition("changed by the user")[0]
    return f"{row.own}{made}{'' if source in ('', 'given by the user') else f' (source: {source})'}"


def _offloaded(program: Program) -> str:
    """What offloading means in this call, and how much host memory it may take; empty where nothing may leave a device."""
    asked, leaves = program.binder.columns.get("offload"), program.binder.leaves
    needed = ("fleet.host_memory", "fleet.accelerators_per_node", "assume.host_memory_share")
    if asked is None or not asked.values.any() or not all(name in leaves for name in needed):
        return ""
    host, devices, share = (leaves[name].values for name in needed)
    ends = [
        float(np.min(host) / np.max(devices) * np.min(share)),
        float(np.max(host) / np.min(devices) * np.max(share)),
    ]
    room = " to ".join(dict.fromkeys(f"{end / 1e9:.4g}" for end in ends))
    return (
        f"what does not fit, experts too, is fetched over the link to the host and computed on the device; the host keeps "
        f"up to {room} GB for each device, storage the rest"
    )


def _first(program: Program, column: Column) -> tuple[np.ndarray, int]:
    """The first labels of a column, and how many there are."""
    kinds = program.kinds
    if kinds is not None and column.dims == (kinds.name,):
        return column.labels[kinds.codes[:3]], len(kinds.codes)
    return column.labels.reshape(-1)[:3], column.labels.size


def _short(labels: np.ndarray, size: int) -> str:
    flat = [str(_scalar(v)) for v in labels]
    if size == 1:
        return flat[0]
    return f"[{', '.join(flat)}{f', ... ({size})' if size > 3 else ''}]"


def kept(ds: xr.Dataset, keep: Any, also: tuple[str, ...] = ()) -> xr.Dataset:
    """Some variables of an answer, and those of `also` that it has."""
    if keep is None:
        return ds
    wanted = names(keep, "keep")
    for name in wanted:
        if name not in ds:
            raise ValueError(f"keep: the answer has no {shown(name)}{hint(name, map(str, ds.data_vars))}")
    return ds[list(dict.fromkeys((*wanted, *(n for n in also if n in ds))))]


class Shown(np.ndarray):
    """An array of many dims that prints at once.

    NumPy shows six values along every axis: 6**8 of a sweep over eight axes, 29 s for a Dataset in a
    notebook.  One at each end is 0.1 s.  Nothing else differs from an ndarray.
    """

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """What NumPy's functions (``where``, ``stack`` ...) make of such an array prints at once too."""
        found = super().__array_function__(func, types, args, kwargs)
        return found.view(Shown) if type(found) is np.ndarray else found

    def __repr__(self) -> str:
        if self.ndim > 10:
            return f"[{self.size:,} values, {self.dtype}]"
        with np.printoptions(edgeitems=1 if self.ndim > 3 else np.get_printoptions()["edgeitems"]):
            return repr(self.view(np.ndarray))

    __str__ = __repr__


def _variable(dims: tuple[str, ...], array: np.ndarray, about: Mapping[str, Any]) -> Any:
    if array.ndim < 4 or array.size <= np.get_printoptions()["threshold"]:
        return (dims, array, about)
    return xr.Variable(dims, array.view(Shown), dict(about), fastpath=True)  # the plain way makes it an ndarray again


def single(program: Program, values: Mapping[str, float | bool], omitted: Mapping[str, str]) -> xr.Dataset:
    """The Dataset of a call without axes: what `dataset` makes of it, without looking for indexes that there are not."""
    coords = {n: _scalar_variable(value, about) for n, (_, value, about) in coordinates(program).items()}
    found: dict[Any, xr.Variable] = {}
    for name, value in values.items():
        if name not in coords:
            found[name] = _scalar_variable(np.array(value, dtype=dtype(name)), attributes(name))
            found[name].data.setflags(write=False)
    attrs = story(program, omitted)
    if not hasattr(
        xr.Dataset, "_construct_direct"
    ):  # it is none of xarray's public names, and saves half a millisecond
        return xr.Dataset(found, coords=coords, attrs=attrs)
    return xr.Dataset._construct_direct({**found, **coords}, set(coords), {}, attrs, {}, None)


def _scalar_variable(value: Any, about: Mapping[str, Any]) -> xr.Variable:
    return xr.Variable((), np.asarray(value), dict(about), fastpath=True)


def dataset(
    program: Program,
    arrays: Mapping[str, np.ndarray],
    dims: tuple[str, ...],
    coords: Mapping[str, Any],
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """A Dataset of outputs over `dims`; a name that the user gave (`n_accelerators`) stays a coordinate."""
    data = {name: _variable(dims, array, attributes(name)) for name, array in arrays.items() if name not in coords}
    own = {n: (c[0], np.array(c[1]), *c[2:]) if isinstance(c, tuple) else c for n, c in coords.items()}
    return xr.Dataset(data, coords=own, attrs=dict(attrs))
