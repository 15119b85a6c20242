"""Inputs to axes: what the user wrote, checked once on the short axes, becomes leaves of the graph.

Every name is looked up, every quantity brought to base units and every bound checked here, on columns
that are as long as one axis; the grid itself is never looked at.
"""

from __future__ import annotations

import difflib
import math
import numbers
import warnings
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsysim import units, zoo
from mlsysim.schema import codes
from mlsysim.schema.records import Accelerator, Assumptions, Fleet, Format, Site, Workload
from mlsysim.schema.variables import ALIASES, VARIABLES, Variable

SIMPLE = "biufU"  #: kinds of arrays whose values can be told apart by sorting
LONG = 64  #: values of a column that are looked at one by one

#: What a kernel parameter without default carries.
REQUIRED: Any = type("Required", (), {"__repr__": lambda self: "required"})()
EXACT = 2.0**53  #: whole numbers up to here are exact doubles


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel: a plain input or a record."""

    name: str
    record: type | None
    default: Any = REQUIRED


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


@dataclass
class Column:
    """One input as the user gave it, in base units, codes or rows."""

    name: str
    dims: tuple[str, ...]
    values: np.ndarray
    labels: np.ndarray  #: what the user will see


@dataclass
class Selector:
    """An input that picks rows of the zoo or an option, and so decides a record."""

    name: str
    pick: Callable[[Any], Any]
    default: Any = REQUIRED
    fallback: str = ""  #: the input that stands in when this one is not given


def _precision(value) -> int | None:
    return None if value is None else int(_option(VARIABLES["precision"], value))


def _as_given(value):
    return value


def _options_default(name: str, default) -> Selector:
    return Selector(name, _as_given, default)


def selectors(parameter: Parameter, names: Iterable[str] = ()) -> list[Selector]:
    """The inputs that decide a record parameter, and with which function of the zoo."""
    record, name = parameter.record, parameter.name
    default = None if parameter.default is None else REQUIRED
    if record is Workload:
        return [Selector(name, zoo.model, default)]
    if record is Accelerator:
        stem = name.removesuffix("hardware")  # a second device has a precision of its own: decode_precision
        return [Selector(name, zoo.hardware, default, "hardware" if stem else ""),
                Selector(f"{stem}precision", _as_given, codes.Precision.BF16, "precision" if stem else ""),
                _options_default("kv_precision", None)]
    if record is Format:
        return [_options_default("precision", codes.Precision.BF16), _options_default("kv_precision", None)]
    if record is Fleet:
        return [Selector("fleet", zoo.system, None), Selector("hardware", zoo.hardware, None),
                Selector("fabric", zoo.fabric, None)]
    if record is Site:
        return [Selector("region", zoo.grid), Selector("datacenter", zoo.datacenter, "us_average_2023")]
    if record is Assumptions:
        return [Selector("assume", lambda v: v, None)]
    raise TypeError(f"{record!r} is no record of mlsysim.schema.records")


def build(record: type, rows: Sequence) -> tuple:
    """One record from what its selectors picked."""
    if rows[0] is None and record in (Workload, Accelerator):  # every field that matters is given by name
        return record(*[math.nan] * len(record._fields))  # type: ignore[attr-defined]
    if record is Workload:
        return zoo.workload_record(rows[0])
    if record is Accelerator:
        return zoo.accelerator_record(rows[0], _code(rows[1]), None if rows[2] is None else _code(rows[2]))
    if record is Format:
        return zoo.format_record(_code(rows[0]), None if rows[1] is None else _code(rows[1]))
    if record is Fleet:
        return zoo.fleet_record(*rows)
    if record is Site:
        return zoo.site_record(*rows)
    return rows[0] if rows[0] is not None else Assumptions()


def _code(value) -> int:
    return int(value)


def nearest(name: str, known: Iterable[str]) -> str:
    """``"; nearest: a, b"`` or the whole list when it is short."""
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"; nearest: {', '.join(close)}"
    return f"; known: {', '.join(known)}" if len(known) <= 40 else ""


def _option(variable: Variable, value) -> int:
    """Code of an option's label (or of a member or code of it)."""
    assert variable.options is not None
    known = codes.labels(variable.options)
    if isinstance(value, str):
        text = value.strip().lower().replace("-", "_").replace(" ", "_")
        if text in known:
            return known[text]
    elif not isinstance(value, (bool, np.bool_)) and isinstance(value, numbers.Real) and value in set(known.values()):
        return int(value)
    raise ValueError(f"{variable.name}={value!r}: allowed are {', '.join(known)}")


def check(name: str, value, *, unit: str | None = None) -> float:
    """One number in base units, inside its bounds; a clear error otherwise."""
    variable = VARIABLES[name]
    if variable.kind == "option":
        return float(_option(variable, value))
    if variable.kind == "flag" and isinstance(value, str):
        if value.lower() in ("true", "yes", "on"):
            return 1.0
        if value.lower() in ("false", "no", "off"):
            return 0.0
    if value is None:
        raise ValueError(f"{name}=None: give a number ({variable.meaning})")
    try:
        number = units.parse(value, variable.unit) if unit is None else float(value)
    except OverflowError:
        raise ValueError(f"{name}={str(value)[:12]}...: too large for a number") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}={value!r}: {error}") from None
    described = f"{name}={value!r}: {variable.meaning}"
    if isinstance(value, (bool, np.bool_)) and variable.kind != "flag":
        raise ValueError(f"{described} must be a number, not true or false")
    if math.isnan(number):
        raise ValueError(f"{described} must be a number, not NaN")
    if number < variable.low or (variable.above and number == variable.low):
        raise ValueError(f"{described} must be {'above' if variable.above else 'at least'} {variable.low:g}")
    if number > variable.high:
        raise ValueError(f"{described} must be at most {variable.high:g}")
    if math.isinf(number):
        raise ValueError(f"{described} must be finite")
    if variable.kind == "count" and number > EXACT:
        raise ValueError(f"{described} must be at most 2**53, beyond which whole numbers are not exact")
    if variable.kind in ("count", "flag") and number != math.floor(number):
        raise ValueError(f"{described} must be a whole number")
    return number


def _is_sequence(value) -> bool:
    if isinstance(value, (str, bytes, Mapping)) or hasattr(value, "table"):
        return False
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return False
    if hasattr(value, "magnitude"):
        return np.ndim(value.magnitude) > 0
    if isinstance(value, (list, tuple, range)):
        return True
    return isinstance(value, (Sequence, np.ndarray)) and np.ndim(value) > 0 or (
        hasattr(value, "__len__") and hasattr(value, "__iter__") and np.ndim(value) > 0
    )


class Draws:
    """Seeded draws of what is uncertain: log-normal factors, stratified, one stream per quantity.

    Parameters
    ----------
    n : int
        Samples.
    seed : int
    """

    def __init__(self, n: int, seed: int = 0):
        if isinstance(n, bool) or int(n) != n or n < 2:
            raise ValueError(f"sample={n!r}: must be a whole number, at least 2")
        self.n, self.seed = int(n), seed

    def factor(self, name: str, spread: float) -> np.ndarray:
        """Factors around 1 for one quantity, with a standard deviation of `spread` in log space."""
        from scipy.special import ndtri

        stream = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        share = (stream.permutation(self.n) + stream.random(self.n)) / self.n
        return np.exp(spread * ndtri(share))


def _family(field_name: str) -> str:
    """Fields that are off together: one curve is one measurement."""
    for family in ("allreduce", "bus_bandwidth", "nccl_latency"):
        if field_name.startswith(family):
            return family
    return field_name


def _spread(row: Any, name: str) -> float:
    """Relative spread of a field: as the zoo says of a row, or as an assumption carries it."""
    if name.endswith("exponent"):
        return 0.0
    if row is None or isinstance(row, tuple):
        value = getattr(row if row is not None else Assumptions(), name, None)
        return float(getattr(value, "spread", 0.0))
    return float(row.spread(name)) if hasattr(row, "spread") else 0.0


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
        self.picks: dict[str, Selector] = {}
        self.fields: dict[str, list[str]] = {}
        for p in self.parameters.values():
            if p.record is None:
                continue
            for selector in selectors(p):
                kept = self.picks.get(selector.name)
                if kept is None or (kept.default is None and selector.default is REQUIRED):
                    self.picks[selector.name] = selector
            for name in p.record._fields:  # type: ignore[attr-defined]
                self.fields.setdefault(name, []).append(p.name)

    # --- names ---------------------------------------------------------------------------------------------

    def known(self) -> set[str]:
        """Every name that this call accepts."""
        plain = {name for name, p in self.parameters.items() if p.record is None}
        dotted = {f"{p.name}.{f}" for p in self.parameters.values() if p.record for f in p.record._fields}  # type: ignore[attr-defined]
        aliases = {a for a, (name, _) in ALIASES.items() if name in plain or name in self.fields}
        return plain | set(self.picks) | set(self.fields) | dotted | aliases

    def canonical(self, name: str) -> tuple[str, float]:
        """The canonical name of an input and the factor to its base unit."""
        if name in self.known():
            return ALIASES.get(name, (name, 1.0))
        listed = {n for n in self.known() if "." not in n and n not in Assumptions._fields}
        close = difflib.get_close_matches(name, sorted(self.known()), n=3, cutoff=0.6)
        hint = f"; nearest: {', '.join(close)}" if close else f"; known: {', '.join(sorted(listed - set(self.fields)))}"
        raise TypeError(f"{self.title} has no input {name!r}{hint}")

    def variable(self, name: str) -> Variable:
        return VARIABLES[name.rsplit(".", 1)[-1]]

    # --- values --------------------------------------------------------------------------------------------

    def _one(self, name: str, value, factor: float):
        """One element of an input: a row, a code, or a number in base units."""
        short = name.rsplit(".", 1)[-1]
        if name in self.picks:
            selector = self.picks[name]
            if short in VARIABLES and VARIABLES[short].kind == "option":
                return _option(VARIABLES[short], value)
            return selector.pick(value)
        if short not in VARIABLES and short in Assumptions._fields:
            try:
                number = units.parse(value, Assumptions._field_defaults[short].unit)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{name}={value!r}: {error}") from None
            if not math.isfinite(number):
                raise ValueError(f"{name}={value!r}: must be a finite number")
            return number
        if factor != 1.0:
            if isinstance(value, str) or hasattr(value, "magnitude"):
                raise ValueError(f"{name}: give {value!r} under its canonical name")
            value = float(value) * factor
        return check(short, value)

    @staticmethod
    def _label(value, picked):
        if isinstance(value, (str, np.str_)):
            return str(value)
        if hasattr(picked, "key"):
            return str(picked.key)
        return value

    def _label_of(self, name: str, value, picked):
        short = name.rsplit(".", 1)[-1]
        variable = VARIABLES.get(short)
        if variable is not None and variable.kind == "option":
            assert variable.options is not None
            return codes.label(variable.options(int(picked)))
        if name in self.picks:
            return self._label(value, picked)
        if variable is not None and variable.kind in ("count", "flag") and math.isfinite(picked):
            return int(picked)
        return picked

    def add(self, name: str, value, along: str | None = None) -> None:
        """Take one input of the call; `along` names the axis of paired inputs."""
        original = name
        name, factor = self.canonical(name)
        if name in self.columns:
            raise TypeError(f"{name} is given twice ({original!r} means the same)" if original != name
                            else f"{name} is given twice")
        if value is None:
            parameter = self.parameters.get(name)
            if name in self.picks or (parameter is not None and parameter.default is None):
                return
        if hasattr(value, "data_vars"):
            raise ValueError(f"{name}: a Dataset holds many variables: give one of them")
        dims: tuple[str, ...]
        coords: dict[str, np.ndarray] = {}
        if hasattr(value, "dims") and hasattr(value, "coords"):  # an xarray DataArray
            dims = tuple(str(d) for d in value.dims)
            unit = value.attrs.get("units")
            items = np.asarray(value.values)
            if unit and items.dtype.kind in "fiu" and name not in self.picks and unit != self.variable(name).unit:
                items = np.vectorize(lambda v: units.parse(f"{v!r} {unit}", self.variable(name).unit, name), otypes=[float])(
                    items.astype(float))
            for d in dims:
                if d in value.coords or dims != (name,):
                    coords[d] = np.asarray(value.coords[d].values) if d in value.coords else np.arange(value.sizes[d])
                    seen_once, number = np.unique(coords[d], return_counts=True)
                    if np.any(number > 1):
                        raise ValueError(f"{name}: {seen_once[number > 1][0]!s} is twice among the labels of axis {d!r}")
            if not items.size:
                raise ValueError(f"{name} is empty: give at least one value")
        elif _is_sequence(value):
            if hasattr(value, "magnitude"):
                value = [type(value)(m, value.units) for m in np.ravel(value.magnitude)]
            simple = isinstance(value, np.ndarray) and value.dtype.kind in SIMPLE
            if getattr(value, "ndim", 1) != 1 or (not simple and any(isinstance(v, list) or getattr(v, "shape", ()) for v in value)):
                raise ValueError(f"{name}: values of several dims need names: pass an xarray.DataArray (a table of paired "
                                 "inputs is points=...)")
            if simple:
                items = value
            else:
                listed = value.tolist() if isinstance(value, np.ndarray) else list(value)
                items = np.empty(len(listed), dtype=object)
                for i, item in enumerate(listed):
                    items[i] = item
            if not len(items):
                raise ValueError(f"{name} is empty: give at least one value")
            dims = (along or name,)
        else:
            if isinstance(value, (set, frozenset)) or hasattr(value, "__next__") or (isinstance(value, Mapping) and name not in self.picks):
                raise ValueError(f"{name}: {type(value).__name__} is not understood: give one value, a list or an array")
            items = np.empty((), dtype=object)
            items[()] = value.item() if isinstance(value, np.ndarray) else value
            dims = ()
        distinct: dict[Any, Any] = {}
        kinds, which = items.reshape(-1), None
        if kinds.dtype.kind in SIMPLE and kinds.size > LONG:  # each value of a long column is looked at once
            kinds, which = np.unique(kinds, return_inverse=True)
        flat_values, flat_labels = np.empty(kinds.size, dtype=object), np.empty(kinds.size, dtype=object)
        for i, item in enumerate(kinds.tolist()):
            try:
                seen = distinct.get((type(item), item))
            except TypeError:
                seen = None
            if seen is None:
                picked = self._one(name, item, factor)
                seen = (picked, self._label_of(name, item, picked))
                try:
                    distinct[type(item), item] = seen
                except TypeError:
                    pass
            flat_values[i], flat_labels[i] = seen
        shown = readable(flat_labels) if len(dims) == 1 else np.empty(0)
        if which is not None:
            flat_values, flat_labels, shown = flat_values[which], flat_labels[which], shown[which] if len(dims) == 1 else shown
        values, labels = flat_values.reshape(items.shape), flat_labels.reshape(items.shape)
        if dims == (name,) and along is None and name not in coords:
            keys = [getattr(v, "key", v) for v in flat_values]
            if len(set(map(repr, keys))) < len(keys):
                twice = next(lab for i, lab in enumerate(flat_labels) if repr(keys[i]) in map(repr, keys[:i]))
                raise ValueError(f"{name}: {twice!r} is given twice")
            coords[name] = shown
        for d in dims:
            size = items.shape[dims.index(d)]
            given = coords.get(d)
            axis = self.axes.get(d)
            if axis is None:
                self.axes[d] = Axis(d, size, given if given is not None else np.arange(size))
            elif axis.size != size or (given is not None and not np.array_equal(axis.values, given)):
                raise ValueError(f"axis {d!r}: {name} has labels {_few(given, size)}, an earlier input has "
                                 f"{_few(axis.values, axis.size)}; make them equal or rename one dim")
        if len(dims) == 1 and dims[0] != name:
            self.axes[dims[0]].paired[name] = shown
        self.columns[name] = Column(name, dims, values, labels)

    def points(self, table, along: str = "config") -> None:
        """Take paired inputs: the columns of a DataFrame (or of a mapping of sequences) run along one axis."""
        if not hasattr(table, "keys"):
            raise ValueError(f"points: {type(table).__name__} is not understood: give a DataFrame, or a mapping of names to lists")
        for name in table:
            if isinstance(table[name], str) or not hasattr(table[name], "__len__"):
                raise ValueError(f"points: {name}={table[name]!r} is one value: every column is a list, all of one length")
        sizes = {len(table[name]) for name in table}
        if len(sizes) != 1:
            raise ValueError(f"points: columns have different lengths {sorted(sizes)}")
        for name in table:
            column = table[name]
            column = np.asarray(column) if hasattr(column, "dtype") else column
            simple = isinstance(column, np.ndarray) and column.ndim == 1 and column.dtype.kind in SIMPLE
            self.add(str(name), column if simple else list(column.tolist() if hasattr(column, "tolist") else column), along)

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
            return self._leaf(name, np.float64(check(name, default)), ())
        return self._leaf(name, column.values.astype(np.float64), column.dims)

    def record(self, parameter: Parameter) -> dict[str, Leaf] | None:
        """The leaves of a record parameter's fields, or None for an optional record nobody gave."""
        record = parameter.record
        assert record is not None
        fields: tuple[str, ...] = record._fields  # type: ignore[attr-defined]
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
                    raise TypeError(f"{self.title} needs {selector.name} ({_says(selector.name)})")
                one = np.empty((), dtype=object)
                one[()] = None if selector.default in (None, REQUIRED) else self._one(selector.name, selector.default, 1.0)
                column = Column(selector.name, (), one, one)
            picked.append(column)
        if record is Site:
            _one_method(picked[0])
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
        return leaves

    def _sampled(self, parameter: Parameter, columns: list, values: np.ndarray, dims: tuple[str, ...]) -> tuple:
        """The fields of a record with their uncertainty drawn, along the axis ``sample``."""
        assert self.draws is not None and parameter.record is not None
        fields = parameter.record._fields  # type: ignore[attr-defined]
        drawn = np.repeat(values[..., None], self.draws.n, axis=-1)
        first = columns[0]
        rows = np.broadcast_to(_expand(first.values, first.dims, dims), self._shape(dims))
        for i, name in enumerate(fields):
            for where in np.ndindex(rows.shape):
                spread = _spread(rows[where], name)
                if spread:
                    stream = f"{getattr(rows[where], 'key', parameter.name)}.{_family(name)}"
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
            rows[i] = zoo.hardware(column.values[i]["accelerator"])
        return Column("hardware", column.dims, rows, column.labels)

    def _union(self, columns) -> tuple[str, ...]:
        dims = {d for c in columns if c is not None for d in c.dims}
        return tuple(d for d in self.axes if d in dims)

    def _shape(self, dims: tuple[str, ...]) -> tuple[int, ...]:
        return tuple(self.axes[d].size for d in dims)

    def _tabulate(self, record: type, columns: list) -> tuple[np.ndarray, tuple[str, ...]]:
        """Every field of a record over the axes that its selectors have: (fields, *dims)."""
        dims = self._union(columns)
        shape = self._shape(dims)
        combined = np.zeros(shape, dtype=np.int64)
        choices: list[list] = []
        for column in columns:
            distinct: dict[int, int] = {}
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
        table = np.empty((len(record._fields), len(used)))  # type: ignore[attr-defined]
        for j, code in enumerate(used):
            rows = []
            for options in reversed(choices):
                code, i = divmod(int(code), len(options))
                rows.append(options[i])
            rows.reverse()
            table[:, j] = [float(v) for v in build(record, rows)]
            for row in rows:
                for name, sentence in (getattr(row, "derived", None) or {}).items():
                    self.derived[f"{row.key}.{name}"] = str(sentence)
        return table[:, inverse.reshape(-1)].reshape(-1, *shape), dims


def _expand(values: np.ndarray, dims: tuple[str, ...], onto: tuple[str, ...]) -> np.ndarray:
    """`values` over `dims`, shaped to broadcast over the dims `onto`."""
    order = [dims.index(d) for d in onto if d in dims]
    moved = np.transpose(values, order) if values.ndim else values
    sizes = iter(moved.shape)
    return moved.reshape([next(sizes) if d in dims else 1 for d in onto])


def readable(labels: np.ndarray) -> np.ndarray:
    """Labels as an array of text or numbers."""
    items = labels.reshape(-1).tolist()
    if all(isinstance(v, str) for v in items):
        return np.array(items).reshape(labels.shape)
    numeric = np.array(items, dtype=np.float64).reshape(labels.shape)
    whole = numeric.astype(np.int64) if np.all(np.abs(numeric) < 2**53) else None
    return whole if whole is not None and np.array_equal(whole, numeric) else numeric


def _few(values, size: int) -> str:
    if values is None:
        return f"({size} values)"
    shown = ", ".join(map(str, np.asarray(values)[:4]))
    return f"[{shown}{', ...' if size > 4 else ''}] ({size})"


def _one_method(column: Column | None) -> None:
    """Warn when carbon figures in one call were not counted alike."""
    rows = [] if column is None else [row for row in column.values.reshape(-1) if row is not None]
    classes = {row["carbon_class"]: row.key for row in rows if row["carbon_class"]}
    if len(classes) > 1:
        told = ", ".join(f"{kind} ({key})" for kind, key in sorted(classes.items()))
        warnings.warn(f"region: carbon figures of different methods are not comparable: {told}", UserWarning, stacklevel=2)


def _says(name: str) -> str:
    return {
        "model": "a model of the zoo, see zoo.names('models')", "hardware": "a device of the zoo, see zoo.names('hardware')",
        "region": "a grid of the zoo, see zoo.names('grids')", "draft": "a model of the zoo",
    }.get(name, VARIABLES[name].meaning if name in VARIABLES else "a row of the zoo")  # fmt: skip
