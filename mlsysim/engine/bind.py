"""Inputs to axes: what the user wrote, checked once on the short axes, becomes leaves of the graph.

Every name is looked up, every quantity brought to base units and every bound checked here, on columns
that are as long as one axis; the grid itself is never looked at.
"""

from __future__ import annotations

import difflib
import functools
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsysim import zoo
from mlsysim.engine.check import check
from mlsysim.engine.columns import Column, Reader, column_of, few, readable
from mlsysim.engine.draws import Draws, family, spread_of
from mlsysim.engine.memory import require
from mlsysim.engine.selectors import REQUIRED, Parameter, Record, Selector, build, says, selectors
from mlsysim.schema.records import Assumptions, Fleet, Site, Workload
from mlsysim.schema.variables import ALIASES, VARIABLES


@dataclass
class Axis:
    """One labelled dimension of the grid."""

    name: str
    size: int
    values: np.ndarray
    paired: dict[str, np.ndarray] = field(default_factory=dict)  #: columns that run along it together


@dataclass
class Leaf:
    """Values of one input over the axes on which they vary."""

    name: str
    dims: tuple[str, ...]
    values: np.ndarray
    missing: str = ""  #: the first label for which nobody published the datum


class Binder:
    """Collects axes and leaves for one call of a resolver."""

    def __init__(self, parameters: Mapping[str, Parameter], title: str, draws: Draws | None = None):
        self.title = title
        self.draws = draws
        self.parameters = dict(parameters)
        self.axes: dict[str, Axis] = {}
        self.columns: dict[str, Column] = {}
        self.leaves: dict[str, Leaf] = {}
        self.derived: dict[str, str] = {}
        self.rents: dict[str, str] = {}  #: whose list the hourly price of a device is from
        self.picks: dict[str, Selector] = {}
        self.fields: dict[str, list[str]] = {}
        for p in self.parameters.values():
            if p.record is None:
                continue
            for selector in selectors(p):
                kept = self.picks.get(selector.name)
                if kept is None or (kept.default is None and selector.default is REQUIRED):
                    self.picks[selector.name] = selector
            for name in p.record._fields:
                self.fields.setdefault(name, []).append(p.name)

    # --- names ---------------------------------------------------------------------------------------------

    @functools.cached_property
    def known(self) -> frozenset[str]:
        """Every name that this call accepts."""
        plain = {name for name, p in self.parameters.items() if p.record is None}
        dotted = {f"{p.name}.{f}" for p in self.parameters.values() if p.record for f in p.record._fields}
        aliases = {a for a, (name, _) in ALIASES.items() if name in plain or name in self.fields}
        return frozenset(plain | set(self.picks) | set(self.fields) | dotted | aliases)

    def canonical(self, name: str) -> tuple[str, float]:
        """The canonical name of an input and the factor to its base unit."""
        if name in self.known:
            return ALIASES.get(name, (name, 1.0))
        listed = {n for n in self.known if "." not in n and n not in Assumptions._fields}
        close = difflib.get_close_matches(name, sorted(self.known), n=3, cutoff=0.6)
        hint = f"; nearest: {', '.join(close)}" if close else f"; known: {', '.join(sorted(listed - set(self.fields)))}"
        raise TypeError(f"{self.title} has no input {name!r}{hint}")

    def _spellings(self, name: str) -> tuple[str, ...]:
        """Names that mean the same as a canonical one: ``mem_bandwidth`` and ``hardware.mem_bandwidth``."""
        record, dot, short = name.rpartition(".")
        if dot and self.fields[short][0] == record and short not in self.parameters:
            return name, short
        return (name, f"{self.fields[name][0]}.{name}") if name in self.fields and name not in self.parameters else (name,)

    # --- values --------------------------------------------------------------------------------------------

    def _reader(self, name: str, factor: float = 1.0) -> Reader:
        return Reader(name, factor, self.picks[name].pick if name in self.picks else None)

    def add(self, name: str, value: Any, along: str | None = None) -> None:
        """Take one input of the call; `along` names the axis of paired inputs."""
        original = name
        name, factor = self.canonical(name)
        for same in self._spellings(name):
            if same in self.columns:
                other = original if original != same else ""
                raise TypeError(f"{same} is given twice" + (f" ({other!r} means the same)" if other else ""))
        if value is None:
            parameter = self.parameters.get(name)
            if name in self.picks or (parameter is not None and parameter.default is None):
                return
        made = column_of(self._reader(name, factor), value, along)
        for d, size in zip(made.dims, made.values.shape):
            self._axis(name, d, size, made.marks.get(d))
        if len(made.dims) == 1 and made.dims[0] != name:
            self.axes[made.dims[0]].paired[name] = readable(made.labels)
        if made.beside is not None:
            self.axes[name].paired[f"{name}_index"] = made.beside
        self.columns[name] = made

    def _axis(self, name: str, dim: str, size: int, marks: np.ndarray | None) -> None:
        """The axis along which an input varies: a new one, or one that an earlier input made."""
        axis = self.axes.get(dim)
        if axis is None:
            self.axes[dim] = Axis(dim, size, marks if marks is not None else np.arange(size))
        elif axis.size != size or (marks is not None and not np.array_equal(axis.values, marks)):
            raise ValueError(f"axis {dim!r}: {name} has labels {few(marks) if marks is not None else f'({size} values)'}, "
                             f"an earlier input has {few(axis.values)}; make them equal or rename one dim")

    def settle(self) -> None:
        """Refuse axes whose name means something else in this call: their labels would be taken for what was computed.

        A dim that bears the name of an input is the axis of that input, with its very labels.
        """
        records = {p.name for p in self.parameters.values()}
        for name, made in self.columns.items():
            for d in made.dims:
                cure = f"rename that dim, as in rename({d}={name}_of)" if d.isidentifier() else "rename that dim"
                own = self.columns.get(d)
                drawn = self.draws
                if d == "sample" and drawn is not None and (drawn.seed, drawn.n) != (made.seed, self.axes[d].size):
                    raise ValueError(f"{name}: its dim 'sample' is not that of the {drawn.n} draws of this call: {cure}")
                if d == name or d not in self.known | records:
                    continue
                if own is None:
                    raise ValueError(f"{name} lies along {d!r}, which is an input of {self.title}: give {d}=... as well, "
                                     f"with the same values, or {cure}")
                alone = own.dims == () and self.axes[d].size == 1 and str(own.labels[()]) == str(self.axes[d].values[0])
                if own.dims != (d,) and not alone:
                    raise ValueError(f"{name} lies along {d!r}, but {d} itself is {few(own.labels)}: give {d} the values of that "
                                     f"dim, or {cure}")

    def points(self, table, along: str = "config") -> None:
        """Take paired inputs: the columns of a DataFrame (or of a mapping of sequences) run along one axis."""
        if not hasattr(table, "keys"):
            raise ValueError(f"points: {type(table).__name__} is not understood: give a DataFrame, or a mapping of names "
                             "to lists")
        names = list(table)
        if len(set(map(str, names))) < len(names):
            raise ValueError(f"points: {next(n for n in names if names.count(n) > 1)} is given twice")
        for name in names:
            if isinstance(table[name], (str, bytes)) or not hasattr(table[name], "__len__"):
                raise ValueError(f"points: {name}={table[name]!r} is one value: every column is a list, all of one length")
        sizes = {len(table[name]) for name in table}
        if len(sizes) != 1:
            raise ValueError(f"points: columns have different lengths {sorted(sizes)}")
        for name in table:
            listed = table[name]
            self.add(str(name), np.asarray(listed) if hasattr(listed, "coords") else listed, along)

    # --- leaves --------------------------------------------------------------------------------------------

    def _reduce(self, values: np.ndarray, dims: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
        """Drop axes along which nothing varies."""
        for d in list(dims):
            i = dims.index(d)
            first = np.take(values, [0], axis=i)
            if np.all((values == first) | (np.isnan(values) & np.isnan(first))):
                values, dims = np.take(values, 0, axis=i), dims[:i] + dims[i + 1 :]
        return values, dims

    def _leaf(self, name: str, values: np.ndarray, dims: tuple[str, ...], labels: np.ndarray | None = None) -> Leaf:
        values = np.asarray(values, dtype=np.float64)
        missing = ""
        holes = np.isnan(values)
        if holes.any():
            where = np.argwhere(holes)[0]
            missing = ", ".join(f"{d}={self._coordinate(d, int(i))}" for d, i in zip(dims, where)) or "this input"
            if labels is not None:
                named = np.asarray(labels, dtype=object)
                missing = str(named[tuple(where)[: named.ndim]])
        values, dims = self._reduce(values, dims)
        leaf = Leaf(name, dims, values, missing)
        self.leaves[name] = leaf
        return leaf

    def _coordinate(self, dim: str, index: int):
        axis = self.axes[dim]
        return axis.paired.get("hardware", axis.values)[index] if axis.paired else axis.values[index]

    def plain(self, name: str) -> Leaf | None:
        """The leaf of a plain input, its default, or None when it is absent."""
        column = self.columns.get(name)
        if column is None:
            default = self.parameters[name].default
            if default is REQUIRED:
                meaning = VARIABLES[name].meaning if name in VARIABLES else ""
                raise TypeError(f"{self.title} needs {name} ({meaning})")
            if default is None:
                return None
            return self._leaf(name, np.asarray(check(name, default)), ())
        return self._leaf(name, column.values.astype(np.float64), column.dims)

    def record(self, parameter: Parameter) -> dict[str, Leaf] | None:
        """The leaves of a record parameter's fields, or None for an optional record nobody gave."""
        record = parameter.record
        assert record is not None
        fields: tuple[str, ...] = record._fields
        own = {f: self._override(parameter.name, f) for f in fields}
        picked: list[Column | None] = []
        chosen = selectors(parameter)
        if parameter.default is None and not any(s.name in self.columns for s in chosen if s.fallback or s is chosen[0]):
            return None
        for selector in chosen:
            column = self.columns.get(selector.name)
            if column is None and selector.fallback:
                column = self.columns.get(selector.fallback)
            if column is None and selector.name == "hardware" and record is not Fleet and "fleet" in self.columns:
                column = self._from_fleet()
            if column is None:
                if selector.default is REQUIRED and not any(own.values()):
                    raise TypeError(f"{self.title} needs {selector.name} ({says(selector.name)})")
                one = np.empty((), dtype=object)
                one[()] = None if selector.default in (None, REQUIRED) else self._reader(selector.name).one(selector.default)
                column = Column(selector.name, (), one, one)
            picked.append(column)
        if record is Site:
            _one_method(picked[0])
        if record is Assumptions:
            picked = [self._calibrated(picked[0])]
        tables = self._tabulate(record, picked) if picked else (np.full((len(fields),), math.nan), ())
        if self.draws is not None and picked:
            tables = self._sampled(parameter, picked, *tables)
        leaves = {}
        for i, name in enumerate(fields):
            full = f"{parameter.name}.{name}"
            column = own[name]
            if column is not None:
                leaves[name] = self._leaf(full, column.values.astype(np.float64), column.dims)
            else:
                labels = self._labels(picked)
                leaves[name] = self._leaf(full, tables[0][i], tables[1], labels)
        if record is Workload and own["total_params"] is not None and np.any(leaves["n_layers"].values > 0):
            raise ValueError("total_params: the count of a transformer follows from its layers and widths: give those, or "
                             "ms.Workload(model, total_params=...)")
        return leaves

    def _calibrated(self, assume: Column | None) -> Column | None:
        """Assumptions with what the devices of the call were calibrated to."""
        devices = self.columns.get("hardware")
        if assume is None or devices is None or not any(getattr(v, "assumed", None) for v in devices.values.reshape(-1)):
            return assume
        dims = self._union([assume, devices])
        shape = self._shape(dims)
        ours: Any = np.broadcast_to(_expand(assume.values, assume.dims, dims), shape)
        theirs: Any = np.broadcast_to(_expand(devices.values, devices.dims, dims), shape)
        labels = np.broadcast_to(_expand(devices.labels, devices.dims, dims), shape)
        once: dict[tuple[int, int], Any] = {}
        values = np.empty(shape, dtype=object)
        for i in np.ndindex(shape):
            key = (id(ours[i]), id(theirs[i]))
            values[i] = once.setdefault(key, zoo.frameworks.merged(ours[i], theirs[i]))
        return Column("assume", dims, values, labels)

    def _sampled(self, parameter: Parameter, columns: list, values: np.ndarray, dims: tuple[str, ...]) -> tuple:
        """The fields of a record with their uncertainty drawn, along the axis ``sample``."""
        assert self.draws is not None and parameter.record is not None
        fields = parameter.record._fields
        what = f"sample={self.draws.n}: the draws of {values[0].size:,} rows of {parameter.name}"
        require(8 * values.size * self.draws.n, what, "fewer samples, or fewer rows at a time")
        drawn = np.repeat(values[..., None], self.draws.n, axis=-1)
        first = columns[0]
        rows = np.broadcast_to(_expand(first.values, first.dims, dims), self._shape(dims))
        for i, name in enumerate(fields):
            for where in np.ndindex(rows.shape):
                spread = spread_of(rows[where], name)
                if spread:
                    stream = f"{getattr(rows[where], 'key', parameter.name)}.{family(name)}"
                    drawn[(i, *where)] *= self.draws.factor(stream, spread)
            variable = VARIABLES.get(name)
            if variable is not None and variable.high == 1.0:
                drawn[i] = np.minimum(drawn[i], 1.0)
        self.axes.setdefault("sample", Axis("sample", self.draws.n, np.arange(self.draws.n)))
        return drawn, (*dims, "sample")

    def _labels(self, picked: list) -> np.ndarray | None:
        """What to call each cell of a record: the labels of its first selector."""
        for column in picked:
            if column is not None and column.labels is not None and any(label is not None for label in column.labels.flat):
                dims = self._union(picked)
                return np.broadcast_to(_expand(column.labels, column.dims, dims), self._shape(dims))
        return None

    def _override(self, parameter: str, name: str) -> Column | None:
        dotted = self.columns.get(f"{parameter}.{name}")
        return dotted if dotted is not None else self.columns.get(name) if self.fields[name][0] == parameter else None

    def _from_fleet(self) -> Column:
        """The accelerator of a fleet, when the call names a fleet and no hardware."""
        column = self.columns["fleet"]
        rows = np.empty(column.values.shape, dtype=object)
        for i in np.ndindex(column.values.shape):
            system: Any = column.values[i]
            rows[i] = zoo.hardware(system["accelerator"])
        return Column("hardware", column.dims, rows, column.labels)

    def _union(self, columns) -> tuple[str, ...]:
        dims = {d for c in columns if c is not None for d in c.dims}
        return tuple(d for d in self.axes if d in dims)

    def _shape(self, dims: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(self.axes[d].size for d in dims)

    def _tabulate(self, record: Record, columns: list) -> tuple[np.ndarray, tuple[str, ...]]:
        """Every field of a record over the axes that its selectors have: (fields, *dims)."""
        dims = self._union(columns)
        shape = self._shape(dims)
        combined = np.zeros(shape, dtype=np.int64)
        choices: list[list] = []
        for column in columns:
            distinct: dict[int | None, int] = {}
            rows: list = []
            number = np.empty(column.values.shape, dtype=np.int64)
            for i in np.ndindex(column.values.shape):
                row = column.values[i]
                key = row if isinstance(row, (int, type(None))) else id(row)
                if key not in distinct:
                    distinct[key] = len(rows)
                    rows.append(row)
                number[i] = distinct[key]
            combined = combined * len(rows) + _expand(number, column.dims, dims)
            choices.append(rows)
        used, inverse = np.unique(combined, return_inverse=True)
        table = np.empty((len(record._fields), len(used)))
        for j, code in enumerate(used.tolist()):
            rows = []
            for options in reversed(choices):
                code, which = divmod(code, len(options))
                rows.append(options[which])
            rows.reverse()
            table[:, j] = [float(v) for v in build(record, rows)]
            for row in rows:
                for name, sentence in (getattr(row, "derived", None) or {}).items():
                    self.derived[f"{row.key}.{name}"] = str(sentence)
                if basis := getattr(row, "values_by_column", {}).get("cloud_price_basis"):
                    self.rents[str(row.key)] = str(basis)
        return table[:, inverse.reshape(-1)].reshape(-1, *shape), dims


def _expand(values: np.ndarray, dims: tuple[str, ...], onto: tuple[str, ...]) -> np.ndarray:
    """`values` over `dims`, shaped to broadcast over the dims `onto`."""
    order = [dims.index(d) for d in onto if d in dims]
    moved = np.transpose(values, order) if values.ndim else values
    sizes = iter(moved.shape)
    return moved.reshape([next(sizes) if d in dims else 1 for d in onto])


def _one_method(column: Column | None) -> None:
    """Warn when carbon figures in one call were not counted alike."""
    rows = [] if column is None else [row for row in column.values.reshape(-1) if row is not None]
    classes = {row["carbon_class"]: row.key for row in rows if row["carbon_class"]}
    if len(classes) > 1:
        told = ", ".join(f"{kind} ({key})" for kind, key in sorted(classes.items()))
        warnings.warn(f"region: carbon figures of different methods are not comparable: {told}", UserWarning, stacklevel=2)
