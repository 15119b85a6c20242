"""The points that a search has found, with all that is known of them, as a Dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from mlsysim.engine import label
from mlsysim.engine.kinds import Picked
from mlsysim.engine.program import Program
from mlsysim.schema import codes
from mlsysim.schema.variables import variable_of


def winners_bytes(program: Program, n: int) -> float:
    """What `winners` needs for so many points: places, outputs and labels, each with the copy that it is made from."""
    nodes, _ = program.available()
    labels = sum(_dtype(values).itemsize for dims, values, _ in label.coordinates(program).values() if dims)
    return 2.0 * n * (8 * len(program.axes) + 8 * len(nodes) + labels)


def _dtype(values: Any) -> np.dtype[Any]:
    return values.dtype if hasattr(values, "dtype") else np.asarray(values).dtype


def winners(
    program: Program,
    index: Mapping[str, np.ndarray],
    found: np.ndarray,
    dims: tuple[str, ...],
    shape: tuple[int, ...],
    free: Sequence[str],
    attrs: Mapping[str, Any],
    marks: Mapping[str, np.ndarray] | None = None,
    shown: Sequence[str] | None = None,
) -> xr.Dataset:
    """All outputs at some points, with their places along the `free` axes as coordinates.

    Parameters
    ----------
    index : mapping
        Position along every axis, flat.
    found : ndarray of bool
        Where there is a winner; elsewhere numbers are NaN, flags False, and `limit` is ``not_found``.
    marks : mapping, optional
        Labels of dims that are no axes of the program.
    shown : sequence of str, optional
        Outputs that are told; default all.
    """
    nodes, omitted = program.available()
    nodes = nodes if shown is None else {name: nodes[name] for name in shown if name in nodes}
    values = program.at(nodes, index)
    arrays: dict[str, np.ndarray] = {}
    for name, value in values.items():
        kind, variable = label.dtype(name), variable_of(name)
        of_limits = variable is not None and variable.options is codes.Limit
        otherwise = np.nan if kind is np.float64 else int(codes.Limit.NOT_FOUND) if of_limits else 0
        arrays[name] = np.where(found, value, otherwise).astype(kind).reshape(shape)
    arrays["found"] = found.reshape(shape)
    everything = label.coordinates(program)
    coords: dict[str, Any] = {}
    for name, (own, values_, about) in everything.items():
        along = (own,) if isinstance(own, str) else own
        if set(along) <= set(dims):
            coords[name] = (own, values_, about)
        elif set(along) <= {*dims, *free}:
            at = (values_ if isinstance(values_, Picked) else np.asarray(values_))[tuple(index[a] for a in along)]
            if not found.all():
                nothing: Any = {"U": "", "M": "NaT", "m": "NaT"}.get(at.dtype.kind, np.nan)
                at = np.where(found, at, np.array(nothing, dtype=at.dtype if at.dtype.kind in "mM" else None))
            coords[name] = (dims, at.reshape(shape), about)
    coords |= {name: (name, labels) for name, labels in (marks or {}).items()}
    return label.dataset(program, arrays, dims, coords, label.story(program, omitted, **attrs))
