"""The axes of a call and the leaves that vary along them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsysim.engine.kinds import Picked
from mlsysim.schema.variables import variable_of

NO_ROW = "this input"  #: what lacks a datum where no row is named that could have it


@dataclass
class Axis:
    """One labelled dimension of the grid."""

    name: str
    size: int
    values: np.ndarray
    paired: dict[str, np.ndarray | Picked] = field(default_factory=dict)  #: columns that run along it together


@dataclass
class Leaf:
    """Values of one input over the axes on which they vary."""

    name: str
    dims: tuple[str, ...]
    values: np.ndarray
    missing: str = ""  #: the first label for which nobody published the datum
    labels: np.ndarray | None = None  #: what its places are called, where something is missing


def folded(leaf: Leaf) -> str | None:
    """What stands in the place of a leaf, as ``float.hex`` writes it: an option, 0 or 1 everywhere; None for a leaf."""
    if leaf.values.ndim:
        return None
    value = float(leaf.values)
    if value in (0.0, 1.0):
        return value.hex()
    variable = variable_of(leaf.name)
    return value.hex() if variable is not None and variable.kind == "option" else None


def is_option(leaf: Leaf) -> bool:
    """Is a leaf folded whatever moves?"""
    variable = variable_of(leaf.name)
    return variable is not None and variable.kind == "option"


class Leaves(dict[str, Leaf]):
    """The leaves of a record by field."""

    @functools.cached_property
    def folds(self) -> tuple[str | None, ...]:
        """What is folded in the place of each, where nothing moves (see `folded`)."""
        return tuple(map(folded, self.values()))


def expand(values: np.ndarray, dims: tuple[str, ...], onto: tuple[str, ...]) -> np.ndarray:
    """`values` over `dims`, shaped to broadcast over the dims `onto`."""
    order = [dims.index(d) for d in onto if d in dims]
    moved = np.transpose(values, order) if values.ndim else values
    sizes = iter(moved.shape)
    return moved.reshape([next(sizes) if d in dims else 1 for d in onto])


def union(axes: Mapping[str, Axis], columns: Iterable[Any]) -> tuple[str, ...]:
    """The dims of some columns (None: of none), in the order of the axes."""
    dims = {d for c in columns if c is not None for d in c.dims}
    return tuple(d for d in axes if d in dims)


def shape(axes: Mapping[str, Axis], dims: Iterable[str]) -> tuple[int, ...]:
    """How many places there are along some dims."""
    return tuple(axes[d].size for d in dims)


def _reduced(
    values: np.ndarray, dims: tuple[str, ...], labels: np.ndarray | None
) -> tuple[np.ndarray, tuple[str, ...], np.ndarray | None]:
    """Drop axes along which nothing varies."""
    if values.ndim == 1 and labels is None and (values[0] < values[-1] or values[0] > values[-1]):
        return values, dims, labels
    for d in list(dims):
        i = dims.index(d)
        first = np.take(values, [0], axis=i)
        if np.all((values == first) | (np.isnan(values) & np.isnan(first))):
            values, dims = np.take(values, 0, axis=i), dims[:i] + dims[i + 1 :]
            labels = None if labels is None else np.asarray(np.take(labels, 0, axis=i), dtype=object)
    return values, dims, labels


def leaf(name: str, values: Any, dims: tuple[str, ...], labels: np.ndarray | None = None) -> Leaf:
    """A leaf over the axes along which it varies; `labels` say what its places along the first dims are called."""
    values = np.asarray(values, dtype=np.float64)
    if not values.ndim and values == values:  # one number, and known: as most are
        return Leaf(name, dims, values)
    missing, called = "", None
    holes = np.isnan(values)
    if holes.any():
        missing = NO_ROW
        if labels is not None:
            called = np.asarray(labels, dtype=object)
            called = np.broadcast_to(called.reshape((*called.shape, *(1,) * (values.ndim - called.ndim))), values.shape)
            missing = str(called[tuple(np.argwhere(holes)[0])])
    values, dims, called = _reduced(values, dims, called)
    return Leaf(name, dims, values, missing, called)
