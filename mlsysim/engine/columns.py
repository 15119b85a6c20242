"""One input as a column: whatever the user wrote, in base units, codes or rows, with its labels.

Long columns of numbers are read and held against their bounds as arrays; text, rows and whatever else is looked at
once a distinct value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlsysim import units
from mlsysim.engine.kinds import Picked
from mlsysim.schema import codes
from mlsysim.schema.check import check, one_line, option, shown, sound, unsound
from mlsysim.schema.ranges import RANGES, remark
from mlsysim.schema.variables import VARIABLES, field_of

LONGEST = 100_000_000  #: values of one axis: its labels alone take a gigabyte
MANY = 512  #: texts that are told apart at once: fewer are looked at one by one


@dataclass
class Column:
    """One input as the user gave it, in base units, codes or rows."""

    name: str
    dims: tuple[str, ...]
    values: np.ndarray
    labels: np.ndarray  #: what the user will see
    marks: dict[str, np.ndarray] = field(default_factory=dict)  #: the user's labels of some dims
    beside: np.ndarray | None = None  #: labels that run along with the values (the index of a Series)
    seed: int | None = None  #: of the draws that an earlier answer numbers along ``sample``
    picked: Picked | None = None  #: the labels of a column of few texts, by the distinct ones


@dataclass
class Written:
    """What the user wrote, before its values are read."""

    items: np.ndarray
    dims: tuple[str, ...] = ()
    unit: str = ""  #: that the container says of all values
    marks: dict[str, np.ndarray] = field(default_factory=dict)
    mark_units: dict[str, str] = field(default_factory=dict)
    beside: np.ndarray | None = None
    seed: int | None = None


class Reader:
    """How the values of one input are read: as numbers within bounds, as options, or as rows of the zoo.

    Parameters
    ----------
    name : str
        Canonical, dotted perhaps.
    factor : float
        Of the spelling that the user took (days, percent) to the base unit, for numbers without a unit of their own.
    pick : callable, optional
        What finds the row that a value stands for.
    """

    def __init__(self, name: str, factor: float = 1.0, pick: Callable[[Any], Any] | None = None):
        self.name, self.factor, self.short = name, factor, field_of(name)
        self.variable = VARIABLES.get(self.short)
        self.chosen = self.variable is not None and self.variable.kind == "option"
        self.pick = pick

    def one(self, value: Any) -> Any:
        """One value: a row, a code, or a number in base units."""
        if self.pick is not None:
            if self.chosen and self.variable is not None:
                return option(self.variable, value)
            try:
                return self.pick(value)
            except (TypeError, ValueError) as error:  # with the value as Python shows it, a table perhaps
                raise ValueError(one_line(str(error), 600)) from None
        if self.factor != 1.0 and not isinstance(value, (bool, np.bool_)):
            unit = "" if self.variable is None else self.variable.unit
            if not isinstance(value, str) and not hasattr(value, "magnitude"):  # a unit of its own needs no factor
                value = units.parse(value, unit, self.name) * self.factor
        return check(self.short, value)

    def label(self, value: Any, read: Any) -> Any:
        """What the user will see of a value."""
        if self.chosen and self.variable is not None:
            assert self.variable.options is not None
            return codes.label(self.variable.options(int(read)))
        if self.pick is not None:
            return str(value) if isinstance(value, str) else str(read.key) if hasattr(read, "key") else read
        return int(read) if self.variable is not None and self.variable.kind in ("count", "flag") else read

    def read(self, items: np.ndarray, unit: str = "") -> tuple[np.ndarray, np.ndarray, Picked | None]:
        """Values and labels of some items, all in `unit` when it is given; the labels of many texts by the distinct ones, too."""
        found = self._read(items, unit)
        if self.short in RANGES and not unit and self.factor == 1.0 and self.pick is None:
            remark(self.name, _bare(items))
        return found

    def _read(self, items: np.ndarray, unit: str) -> tuple[np.ndarray, np.ndarray, Picked | None]:
        variable = self.variable
        if self.pick is None and not self.chosen and variable is not None:
            if (
                items.dtype.kind == "m"
                and variable.unit == "s"
                and np.datetime_data(items.dtype)[0] not in ("Y", "M", "generic")
            ):
                items, unit = items / np.timedelta64(1, "s"), "s"
            if items.dtype.kind in "iuf" or (items.dtype.kind == "b" and variable.kind == "flag"):
                return *self._numbers(items, unit), None
        return self._distinct(items)

    def _numbers(self, items: np.ndarray, unit: str) -> tuple[np.ndarray, np.ndarray]:
        assert self.variable is not None
        whole = self.variable.kind in ("count", "flag")
        if items.dtype == np.int64 and not unit and self.factor == 1.0 and sound(self.variable, items):
            numbers = items.astype(np.float64)
            return numbers, items if whole else numbers
        with np.errstate(over="ignore"):
            numbers = items.astype(np.float64)
            if unit:
                numbers = units.convert(numbers, unit, self.variable.unit, self.name)
            elif self.factor != 1.0:
                numbers = numbers * self.factor
        if not sound(self.variable, numbers) and (wrong := unsound(self.variable, numbers)).any():
            first = items.reshape(-1)[int(np.argmax(wrong.reshape(-1)))].item()
            self.one(f"{first!r} {unit}" if unit and unit != self.variable.unit else first)
            raise ValueError(f"{self.name}={shown(first)}: out of bounds")
        return numbers, numbers.astype(np.int64) if whole else numbers

    def _distinct(self, items: np.ndarray) -> tuple[np.ndarray, np.ndarray, Picked | None]:
        """Each distinct item is read once."""
        texts = _texts(items.reshape(-1)) if items.size >= MANY and items.dtype.kind in "UO" else None
        which, found = texts or _told_apart(items.reshape(-1))
        read, labels = np.empty(len(found), dtype=object), np.empty(len(found), dtype=object)
        for i, item in enumerate(found):
            read[i] = self.one(item)
            labels[i] = self.label(item, read[i])
        values = read if self.pick is not None else read.astype(np.float64)
        picked = None if texts is None else Picked(labels, which)
        return values[which].reshape(items.shape), labels[which].reshape(items.shape), picked


def _texts(flat: np.ndarray) -> tuple[np.ndarray, list[Any]] | None:
    """Many texts as numbers among the distinct ones; None where something is no text."""
    import pandas as pd

    objects = flat.astype(object)
    if pd.api.types.infer_dtype(objects, skipna=False) != "string":
        return None
    which, found = pd.factorize(objects)
    return (which, found.tolist()) if (which >= 0).all() else None


def _told_apart(flat: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """Anything as numbers among the distinct ones: an item of another type is another."""
    number: dict[Any, int] = {}
    found: list[Any] = []
    which = np.empty(len(flat), dtype=np.intp)
    for i, item in enumerate(list(flat) if flat.dtype.kind in "mM" else flat.tolist()):
        try:
            place = number.setdefault((type(item), item), len(found))
        except TypeError:  # cannot be hashed
            place = number.setdefault(id(item), len(found))
        if place == len(found):
            found.append(item)
        which[i] = place
    return which, found


def _bare(items: np.ndarray) -> Any:
    """The numbers among some items that have no unit."""
    if items.dtype.kind != "O":
        return items if items.dtype.kind in "iuf" else ()
    numbers = [units.number(item) if isinstance(item, str) else item for item in items.reshape(-1).tolist()]
    return [number for number in numbers if isinstance(number, (int, float, np.number))]


def column_of(reader: Reader, value: Any, along: str | None = None) -> Column:
    """What the user wrote for one input; `along` names the axis of paired inputs."""
    name = reader.name
    written = _written(reader, value, along)
    if not written.items.size:
        raise ValueError(f"{name} is empty: give at least one value")
    values, labels, picked = reader.read(written.items, written.unit)
    made = Column(name, written.dims, values, labels, written.marks, written.beside, written.seed, picked)
    if name in written.dims and along is None:
        _own_axis(reader, made, written)
    return made


def _own_axis(reader: Reader, made: Column, written: Written) -> None:
    """Along the axis of its own name an input is its own label: each value once, and no coordinate says otherwise."""
    name = made.name
    if made.dims != (name,):
        raise ValueError(
            f"{name} varies along {' and '.join(made.dims)}, so its values are no labels of an axis {name!r}: "
            f"rename that dim"
        )
    shown = readable(made.labels)
    same = identity(made.values)
    if len(np.unique(same)) < len(same):
        seen: set[Any] = set()
        for mark, label in zip(same.tolist(), shown.tolist()):
            if mark in seen:
                raise ValueError(f"{name}: {label!r} is given twice")
            seen.add(mark)
    given = made.marks.pop(name, None)
    if given is not None:
        try:
            agrees = np.array_equal(identity(reader.read(given, written.mark_units.get(name, ""))[0]), same)
        except (TypeError, ValueError):
            agrees = False
        if not agrees:
            raise ValueError(
                f"{name}: its coordinate {name!r} says {few(given)} where the values are {few(shown)}: "
                f"drop it (drop_vars({name!r})) or rename that dim"
            )
    made.marks[name] = shown


def identity(values: np.ndarray) -> np.ndarray:
    """What tells values apart: numbers themselves, rows by their keys."""
    return values if values.dtype.kind == "f" else np.array([str(getattr(v, "key", v)) for v in values.tolist()])


def _written(reader: Reader, value: Any, along: str | None) -> Written:
    name = reader.name
    if hasattr(value, "data_vars"):
        raise ValueError(f"{name}: a Dataset holds many variables: give one of them")
    if hasattr(value, "dims") and hasattr(value, "coords"):
        return _of_dataarray(reader, value)
    if is_sequence(value):
        return _of_sequence(reader, value, along or name, along is None)
    stray = isinstance(value, Mapping) and reader.pick is None
    if stray or isinstance(value, (set, frozenset)) or hasattr(value, "__next__"):
        raise ValueError(f"{name}: {type(value).__name__} is not understood: give one value, a list or an array")
    if isinstance(value, np.ma.MaskedArray) and value.mask:
        raise ValueError(f"{name}=masked: give a number")
    items = np.empty((), dtype=object)
    items[()] = value[()] if isinstance(value, np.ndarray) else value
    return Written(items)


def is_sequence(value: Any) -> bool:
    """Does an input have several values?"""
    if isinstance(value, (str, bytes, bytearray, memoryview, Mapping)) or hasattr(value, "table"):
        return False
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return False
    if hasattr(value, "magnitude"):
        return getattr(value.magnitude, "ndim", 0) > 0
    if isinstance(value, (list, tuple, range)):
        return True
    if hasattr(value, "ndim"):
        return value.ndim > 0
    if isinstance(value, Sequence):
        return True
    try:  # a container of another library
        return hasattr(value, "__len__") and hasattr(value, "__iter__") and np.ndim(value) > 0
    except ValueError:
        return False


def _of_dataarray(reader: Reader, value: Any) -> Written:
    """A DataArray: its dims with their labels; an axis that nobody labelled counts from 0."""
    name, dims = reader.name, tuple(str(d) for d in value.dims)
    if len(set(dims)) < len(dims):
        raise ValueError(f"{name}: two of its dims are written {', '.join(sorted(dims))}: rename one")
    data, unit = value.data, str(value.attrs.get("units") or "")
    if hasattr(data, "magnitude"):  # pint-xarray
        items, unit = np.asarray(data.magnitude), f"{data.units:~}" if reader.variable is not None else ""
        if reader.pick is None and reader.variable is not None:
            items, unit = np.asarray(units.parse(data, reader.variable.unit, name)), reader.variable.unit
    else:
        items = np.asarray(value.values)
    written = Written(items, dims, unit)
    for d, text in zip(value.dims, dims):
        if d in value.coords:
            coordinate = value.coords[d]
            written.marks[text] = np.asarray(coordinate.values)
            written.mark_units[text] = str(coordinate.attrs.get("units") or "")
            written.seed = coordinate.attrs.get("seed") if text == "sample" else written.seed
        elif text != name:
            written.marks[text] = np.arange(value.sizes[d])
        _labels_once(name, text, written.marks.get(text))
    return written


def _labels_once(name: str, dim: str, labels: np.ndarray | None) -> None:
    import pandas as pd

    if labels is None or not len(labels):
        return
    twice = pd.Index(labels).duplicated()
    if twice.any():
        raise ValueError(f"{name}: {labels[int(np.argmax(twice))]!s} is twice among the labels of axis {dim!r}")


def _of_sequence(reader: Reader, value: Any, dim: str, alone: bool) -> Written:
    """A list, range, array, Series or array of quantities: an axis of its own."""
    name = reader.name
    if getattr(value, "ndim", 1) != 1 or getattr(getattr(value, "magnitude", None), "ndim", 1) != 1:
        raise _two_dims(name)
    if len(value) > LONGEST:
        raise ValueError(f"{name}: {len(value):,} values on one axis are more than {LONGEST:,}")
    written = Written(np.empty(0), (dim,))
    if hasattr(value, "magnitude"):
        if reader.pick is None and reader.variable is not None:
            written.items = np.asarray(units.parse(value, reader.variable.unit, name), dtype=np.float64)
            written.unit = reader.variable.unit
            return written
        value = list(value.magnitude)
    if isinstance(value, np.ma.MaskedArray):
        if np.any(value.mask):
            raise ValueError(f"{name}=masked: value {int(np.argmax(value.mask))} is masked: give a number")
        value = value.data
    if hasattr(value, "index") and hasattr(value, "to_numpy") and alone:
        _index_of(name, value.index, written)
    if isinstance(value, range) and abs(value.start) < 2**62 and abs(value.stop) < 2**62:
        written.items = np.arange(value.start, value.stop, value.step)
    elif (
        isinstance(getattr(value, "dtype", None), np.dtype) and value.dtype.kind != "O"
    ):  # an array, a Series, an Index
        written.items = np.asarray(value)
    else:
        written.items = _of_objects(name, value.tolist() if hasattr(value, "tolist") else list(value))
    return written


def _of_objects(name: str, listed: list[Any]) -> np.ndarray:
    """A list as an array: of numbers where all are, else of objects."""
    kinds = set(map(type, listed))
    if all(
        issubclass(kind, (int, float, np.integer, np.floating)) and kind not in (bool, np.timedelta64) for kind in kinds
    ):
        whole = all(issubclass(kind, (int, np.integer)) for kind in kinds)
        try:
            return np.array(listed, dtype=np.int64 if whole else np.float64)
        except OverflowError:  # too large: told by the value itself
            pass
    if kinds != {str} and any(isinstance(v, list) or getattr(v, "shape", ()) for v in listed):
        raise _two_dims(name)
    return np.fromiter(
        listed, dtype=object, count=len(listed)
    )  # as they are: older NumPys look into a quantity otherwise


def _two_dims(name: str) -> ValueError:
    return ValueError(
        f"{name}: values of several dims need names: pass an xarray.DataArray (a table of paired inputs is points=...)"
    )


def _index_of(name: str, index: Any, written: Written) -> None:
    """The index of a Series: labels of a dim of its name; without a name, labels that run along with the values."""
    if index.nlevels > 1:
        raise ValueError(f"{name}: a Series with an index of {index.nlevels} levels: give its table as points=...")
    if index.name is not None:
        written.dims = (str(index.name),)
        written.marks[written.dims[0]] = np.asarray(index)
        _labels_once(name, written.dims[0], written.marks[written.dims[0]])
    elif not np.array_equal(np.asarray(index), np.arange(len(index))):
        written.beside = np.asarray(index)


def readable(labels: np.ndarray) -> np.ndarray:
    """Labels as an array of text or numbers."""
    if labels.dtype.kind == "O":
        items = labels.reshape(-1).tolist()
        if not all(isinstance(v, (int, float)) for v in items):
            return np.array([str(v) for v in items]).reshape(labels.shape)
        labels = np.array(items, dtype=np.float64).reshape(labels.shape)
    if labels.dtype == np.int64:
        return labels
    numeric = labels.astype(np.float64, copy=False)
    if numeric.size and numeric.flat[0] % 1:  # a NaN and what is no whole number alike
        return numeric
    whole = numeric.astype(np.int64) if np.all(np.abs(numeric) < 2**53) else None
    return whole if whole is not None and np.array_equal(whole, numeric) else numeric


def few(values: Any) -> str:
    """Some labels for an error: the first four and how many there are."""
    flat = np.asarray(values).reshape(-1)
    return f"[{', '.join(map(str, flat[:4]))}{', ...' if len(flat) > 4 else ''}] ({len(flat)})"
