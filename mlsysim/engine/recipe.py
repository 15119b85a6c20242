"""How the fields of one record of a call come about: from the rows that were picked and the fields given by name.

A field that is given enters the row before the record is made, so that what is derived from it follows it by the
rules of the zoo.  It enters as an array over the axes on which it varies: a rule runs once for each combination of
rows, however many values there are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.engine.draws import Draws, family, spread_of
from mlsysim.engine.leaves import Axis, Leaf, Leaves, expand, leaf, shape, union
from mlsysim.engine.memory import require
from mlsysim.engine.parameters import Parameter, build, remarks
from mlsysim.schema.variables import VARIABLES

if TYPE_CHECKING:
    from mlsysim.engine.columns import Column

Given = Mapping[str, Any]  #: field -> number, or array whose first dim is 1 or that of the cells


def _beyond(value: Any) -> tuple[int, ...]:
    """The shape of a field of some cells, theirs left out."""
    return value.shape[1:] if isinstance(value, np.ndarray) else ()


class Recipe:
    """How the fields of one record of a call come about.

    Parameters
    ----------
    parameter : Parameter
        The record of the kernel.
    picked : sequence of Column
        What its selectors picked: rows, precisions.
    accepts : mapping
        Leaf -> field, for every leaf that states a field of the record or of a row that it is made of.
    given : mapping
        Field -> what the user gave for it, over dims of the call.
    axes : mapping
        Those of the call, which may grow.
    draws : Draws, optional
        How what is uncertain is drawn.
    """

    def __init__(
        self,
        parameter: Parameter,
        picked: Sequence[Column],
        accepts: Mapping[str, str],
        given: Mapping[str, Leaf],
        axes: Mapping[str, Axis],
        draws: Draws | None,
    ):
        assert parameter.record is not None
        self.name, self.record, self.accepts, self.given, self.axes = (
            parameter.name,
            parameter.record,
            accepts,
            given,
            axes,
        )
        self.draws = draws if picked else None
        self.dims = union(axes, picked)
        self.codes, self.combinations = self._combined(picked)
        self.labels = self._labelled(picked)
        ends = {n: np.array([leaf_.values.min(), leaf_.values.max()]) for n, leaf_ in given.items()}
        #: the rows of each combination with what was given for them, its ends where it varies: for the notes
        self.noted = [
            [row.having(ends) if hasattr(row, "having") else row for row in rows] for rows in self.combinations
        ]

    def _combined(self, picked: Sequence[Column]) -> tuple[np.ndarray, list[list[Any]]]:
        """Which combination of rows there is at every place, and the combinations."""
        combined = np.zeros(shape(self.axes, self.dims), dtype=np.int64)
        choices: list[list[Any]] = []
        for column in picked:
            distinct: dict[float | None, int] = {}
            rows: list[Any] = []
            number = np.empty(column.values.shape, dtype=np.int64)
            for i in np.ndindex(column.values.shape):
                row = column.values[i]
                key = row if isinstance(row, (int, float, type(None))) else id(row)
                if key not in distinct:
                    distinct[key] = len(rows)
                    rows.append(row)
                number[i] = distinct[key]
            combined = combined * len(rows) + expand(number, column.dims, self.dims)
            choices.append(rows)
        used, codes = np.unique(combined, return_inverse=True)
        found = []
        for code in used.tolist():
            rows = []
            for options in reversed(choices):
                code, which = divmod(code, len(options))
                rows.append(options[which])
            found.append(rows[::-1])
        return codes.reshape(combined.shape), found

    def _labelled(self, picked: Sequence[Column]) -> np.ndarray | None:
        """What to call each place of the record: the labels of the first selector that names rows, not an option of them."""
        for column in picked:
            if column.name in VARIABLES and VARIABLES[column.name].options is not None:
                continue
            if any(label is not None for label in column.labels.flat):
                return np.broadcast_to(expand(column.labels, column.dims, self.dims), self.codes.shape)
        return None

    def notes(self) -> Iterator[tuple[str, str]]:
        """Row and field, and how it follows from something else, for every field that no source gives."""
        for rows in self.noted:
            for row in rows:
                for field, sentence in (getattr(row, "derived", None) or {}).items():
                    yield f"{row.key}.{field}", str(sentence)
            yield from remarks(self.record, rows)

    # --- values --------------------------------------------------------------------------------------------

    def _made(self, code: int, given: Given, sample: np.ndarray | None) -> list[Any]:
        """Every field for one combination; what is uncertain is drawn along a last dim, or at the samples of the cells."""
        values: list[Any] = list(build(self.record, self.combinations[code], given))
        if self.draws is None:
            return values
        row = self.noted[code][0]
        for i, field in enumerate(self.record._fields):
            if np.ndim(values[i]) and sample is None:
                values[i] = values[i][..., None]
            spread = 0.0 if field in given else spread_of(row, field)
            if not spread:
                continue
            factor = self.draws.factor(f"{getattr(row, 'origin', self.name)}.{family(field)}", spread)
            values[i] = values[i] * (factor[None] if sample is None else factor[sample])
            variable = VARIABLES.get(field)
            if variable is not None and variable.high == 1.0:
                values[i] = np.minimum(values[i], 1.0)
        return values

    def _table(self, codes: np.ndarray, given: Given, sample: np.ndarray | None = None) -> list[np.ndarray]:
        """Every field of the record at some cells: arrays whose first dim is the cells', or 1 where all are alike."""
        order = np.argsort(codes, kind="stable")
        used, begin = np.unique(codes[order], return_index=True)
        if len(used) == 1:
            return [np.atleast_1d(v) for v in self._made(int(used[0]), given, sample)]
        parts = []
        for code, cells in zip(used.tolist(), np.split(order, begin[1:])):
            mine = {n: v if np.ndim(v) == 0 or len(v) == 1 else v[cells] for n, v in given.items()}
            parts.append((cells, self._made(code, mine, sample if sample is None else sample[cells])))
        found = []
        further = [np.broadcast_shapes(*set(map(_beyond, every))) for every in zip(*(made for _, made in parts))]
        require(
            8 * len(codes) * sum(map(math.prod, further)),
            f"what is derived for {len(codes):,} rows of {self.name}",
            "fewer rows, or fewer values, at a time",
        )
        for i, sizes in enumerate(further):
            field = np.empty((len(codes), *sizes))
            for cells, values in parts:
                field[cells] = values[i]
            found.append(field)
        return found

    def leaves(self, given: Mapping[str, Leaf] | None = None) -> Leaves:
        """Every field over the axes along which it varies; `given` takes the place of what the user gave."""
        given = self.given if given is None else given
        further = tuple(d for d in union(self.axes, given.values()) if d not in self.dims)
        if self.draws is not None:
            what = f"sample={self.draws.n}: the draws of {self.codes.size:,} rows of {self.name}"
            require(
                8 * len(self.record._fields) * self.codes.size * self.draws.n,
                what,
                "fewer samples, or fewer rows at a time",
            )
        table = self._table(self.codes.reshape(-1), {n: self._over_cells(g, further) for n, g in given.items()})
        first = None if self.labels is None else self.labels.reshape(-1)[:1].reshape(())
        found = Leaves()
        for field, values in zip(self.record._fields, table):
            full = f"{self.name}.{field}"
            if values.size == 1:
                found[field] = leaf(full, values.reshape(()), (), first)
                continue
            varied = [n > 1 for n in values.shape[1:]]
            drawn = ("sample",) if self.draws is not None else ()
            own = tuple(d for d, n in zip((*further[len(further) + len(drawn) - len(varied) :], *drawn), varied) if n)
            labels = self.labels
            if len(values) == 1:
                values = values.reshape([n for n in values.shape if n > 1])
                labels = first
            else:
                values = values.reshape((*self.codes.shape, *(n for n in values.shape[1:] if n > 1)))
                own = (*self.dims, *own)
            found[field] = leaf(full, values, own, labels)
        return found

    def _over_cells(self, given: Leaf, further: tuple[str, ...]) -> Any:
        """What was given over the cells of the rows (or 1, where it does not vary along their dims) and further dims."""
        if not given.dims:
            return float(given.values)
        values = expand(given.values, given.dims, (*self.dims, *further))
        rest = values.shape[len(self.dims) :]
        if math.prod(values.shape[: len(self.dims)]) > 1:
            values = np.broadcast_to(values, (*self.codes.shape, *rest))
            return values.reshape(-1, *rest)
        return values.reshape(1, *rest)

    # --- what moves ----------------------------------------------------------------------------------------

    def moved(self, leaves: Collection[str]) -> dict[str, str]:
        """Those of some leaves that state something here, with the field that each states."""
        return {name: self.accepts[name] for name in leaves if name in self.accepts}

    @functools.cached_property
    def _plain(self) -> tuple[dict[str, float], list[tuple[Any, ...]]]:
        """One value of each field that was given, and the record of each combination with these."""
        first = {n: float(given.values.flat[0]) for n, given in self.given.items()}
        return first, [build(self.record, rows, first) for rows in self.combinations]

    def followers(self, moved: Collection[str]) -> set[str]:
        """Fields that change, or could, when some fields are given, those themselves left out."""
        first, plain = self._plain
        probe = {n: np.full(2, first.get(n, 1.0)) for n in moved}
        found: set[str] = set()
        with np.errstate(all="ignore"):
            for rows, before in zip(self.combinations, plain):
                after = build(self.record, rows, {**first, **probe})
                found |= {
                    field
                    for field, a, b in zip(self.record._fields, before, after)
                    if field not in moved and field not in first and (np.ndim(b) or not (a == b or (a != a and b != b)))
                }
        return found

    def along(self, index: Mapping[str, np.ndarray], size: int) -> Callable[[Given], dict[str, np.ndarray]]:
        """The fields at paired positions along the axes, as a function of fields that are given there."""

        def at(values: np.ndarray, dims: tuple[str, ...]) -> np.ndarray:
            return np.broadcast_to(values[tuple(index.get(d, 0) for d in dims)], (size,))

        codes, sample = at(self.codes, self.dims), index["sample"] if self.draws is not None else None
        stated = {
            n: at(given.values, given.dims) if given.dims else float(given.values) for n, given in self.given.items()
        }

        def fields(moved: Given) -> dict[str, np.ndarray]:
            return dict(zip(self.record._fields, self._table(codes, {**stated, **moved}, sample)))

        return fields
