"""Records that were made of the same rows and fields for an earlier call, and are taken again."""

from __future__ import annotations

import copy
import functools
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.engine.leaves import Axis, Leaves
from mlsysim.engine.memo import Memo
from mlsysim.schema.variables import field_of

if TYPE_CHECKING:
    from mlsysim.engine.bind import Binder
    from mlsysim.engine.columns import Column
    from mlsysim.engine.recipe import Recipe
    from mlsysim.zoo.row import Row

MOST = 64  #: numbers of a column beyond which looking them up costs more than it saves,
MOST_ROWS = 1024  #: and rows, of which each takes as long to make as a thousand to look up
ENTRY = 1 << 16  #: bytes of a record that weigh as much as what is kept beside them
#: plain inputs on which a record depends: a model that trains has no formats of a file that serves
_ALSO = frozenset({"is_training", "phase"})


@dataclass
class Made:
    """A record of a call: what it was made of, its leaves, and what is to be said of them."""

    recipe: Recipe | None  #: None for an optional record that nobody gave
    leaves: Leaves
    notes: dict[str, str]
    rents: dict[str, str]
    own: dict[str, Row]

    @functools.cached_property
    def weight(self) -> float:
        """What keeping it takes, one of few rows counted as 1."""
        return 1.0 + sum(leaf.values.nbytes for leaf in self.leaves.values()) / ENTRY


def recipe_for(recipe: Recipe, axes: Mapping[str, Axis]) -> Recipe:
    """A recipe that is kept, for a call with axes of its own."""
    twin = copy.copy(recipe)
    twin.axes = axes
    return twin


RECORDS: Memo[Made] = Memo(512, lambda made: made.weight)


def signature(binder: Binder) -> Hashable:
    """All that the records of a call depend on: what its selectors picked, the fields given by name; None for too much."""
    if binder.draws is not None:
        return None
    parts: list[Hashable] = [tuple((p.name, p.record, p.default is None) for p in binder.parameters.values())]
    for name, column in binder.columns.items():
        selects = name in binder.picks
        if selects or field_of(name) in binder.fields or name in _ALSO:
            if column.values.size > (MOST_ROWS if selects else MOST):
                return None
            parts.append((name, column.dims, column.values.shape, _bits(column.values), _named(column, selects)))
    return tuple(parts)


def _named(column: Column, selects: bool) -> Hashable:
    return tuple(map(str, column.labels.reshape(-1).tolist())) if selects else None


def _bits(values: np.ndarray) -> Hashable:
    """Values so that no two which differ are equal: rows are themselves, numbers their bits."""
    return values.tobytes() if values.dtype.kind == "f" else tuple(map(_one, values.reshape(-1).tolist()))


def _one(value: Any) -> Hashable:
    if isinstance(value, tuple):
        return type(value), tuple(map(_one, value))
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    return type(value), value
