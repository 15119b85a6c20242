"""Inputs to axes: what the user wrote, checked once on the short axes, becomes leaves of the graph.

Every name is looked up, every quantity brought to base units and every bound checked here, on columns
that are as long as one axis; the grid itself is never looked at.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mlsysim import zoo
from mlsysim.engine.columns import Column, Reader, column_of, few, readable
from mlsysim.engine.draws import Draws
from mlsysim.engine.kinds import Kinds, Picked, told_apart
from mlsysim.engine.leaves import Axis, Leaf, Leaves, expand, leaf, shape, union
from mlsysim.engine.made import RECORDS, Made, recipe_for, signature
from mlsysim.engine.parameters import PART_INPUTS, REQUIRED, Parameter, by_part, selectors
from mlsysim.engine.recipe import Recipe
from mlsysim.engine.vocabulary import vocabulary
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.check import check, shown
from mlsysim.schema.codes import Phase, Precision, WorkloadType
from mlsysim.schema.records import Accelerator, Fleet, Format, Site, Workload
from mlsysim.schema.variables import ALIASES, field_of
from mlsysim.zoo.formats import PRODUCTS

#: records of which a resolver may have a second one, and the name of the first
PLAIN = (("hardware", Accelerator), ("fleet", Fleet), ("format", Format))
#: years between two carbon figures of one call from which on a word is said: grids lose some percent a year
YEARS_APART = 3


class Binder:
    """Collects axes and leaves for one call of a resolver."""

    def __init__(self, parameters: Mapping[str, Parameter], title: str, draws: Draws | None = None):
        self.title = title
        self.draws = draws
        self.parameters = parameters
        self.axes: dict[str, Axis] = {}
        self.columns: dict[str, Column] = {}
        self.leaves: dict[str, Leaf] = {}
        self.recipes: dict[str, Recipe] = {}  #: by record parameter
        self.derived: dict[str, str] = {}
        self.rents: dict[str, str] = {}  #: what kind of seller asks the hourly price of a device
        self.own: dict[str, zoo.Row] = {}  #: rows that are none of the zoo's
        self.assumed: list[str] = []  #: columns that nobody gave
        self.by_kind = True  #: may long tables be bound by the kinds of their points?
        self.kinds: Kinds | None = None
        self.vocabulary = vocabulary(parameters)
        self.picks, self.fields = self.vocabulary.picks, self.vocabulary.fields

    # --- names ---------------------------------------------------------------------------------------------

    @property
    def spellings(self) -> frozenset[str]:
        """Every name that this call accepts."""
        return self.vocabulary.spellings

    def canonical(self, name: str) -> tuple[str, float]:
        """The canonical name of an input and the factor to its base unit."""
        if name in self.spellings:
            return ALIASES.get(name, (name, 1.0))
        raise TypeError(f"{self.title} has no input {shown(name)}{self.vocabulary.hint(name, self.title)}")

    def _spellings(self, name: str) -> tuple[str, ...]:
        """Names that mean the same as a canonical one: ``mem_bandwidth`` and ``hardware.mem_bandwidth``."""
        record, dot, short = name.rpartition(".")
        if dot and self.fields[short][0] == record and short not in self.parameters:
            return name, short
        return (
            (name, f"{self.fields[name][0]}.{name}") if name in self.fields and name not in self.parameters else (name,)
        )

    # --- values --------------------------------------------------------------------------------------------

    def reader(self, name: str, factor: float = 1.0) -> Reader:
        return Reader(name, factor, self.picks[name].pick if name in self.picks else None)

    def add(self, name: str, value: Any, along: str | None = None) -> None:
        """Take one input of the call; `along` names the axis of paired inputs."""
        original = name
        name, factor = self.canonical(name)
        if name == "precision" and isinstance(value, Mapping):
            for input_of_part, one in by_part(value).items():
                self.add(input_of_part, one, along)
            return
        for same in self._spellings(name):
            if same in self.columns:
                other = original if original != same else ""
                raise TypeError(f"{same} is given twice" + (f" ({other!r} means the same)" if other else ""))
        if value is None:
            parameter = self.parameters.get(name)
            if name in self.picks or (parameter is not None and parameter.default is None):
                return
        made = column_of(self.reader(name, factor), value, along)
        for d, size in zip(made.dims, made.values.shape):
            self._axis(name, d, size, made.marks.get(d))
        if len(made.dims) == 1 and made.dims[0] != name:
            some = made.picked
            along_it = readable(made.labels) if some is None else Picked(readable(some.labels), some.codes)
            self.axes[made.dims[0]].paired[name] = along_it
        if made.beside is not None:
            self.axes[name].paired[f"{name}_index"] = made.beside
        self.columns[name] = made

    def _axis(self, name: str, dim: str, size: int, marks: np.ndarray | None) -> None:
        """The axis along which an input varies: a new one, or one that an earlier input made."""
        axis = self.axes.get(dim)
        if axis is None:
            self.axes[dim] = Axis(dim, size, marks if marks is not None else np.arange(size))
        elif axis.size != size or (marks is not None and not np.array_equal(axis.values, marks)):
            raise ValueError(
                f"axis {dim!r}: {name} has labels {few(marks) if marks is not None else f'({size} values)'}, "
                f"an earlier input has {few(axis.values)}; make them equal or rename one dim"
            )

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
                    raise ValueError(
                        f"{name}: its dim 'sample' is not that of the {drawn.n} draws of this call: {cure}"
                    )
                if d == name or d not in self.spellings | records:
                    continue
                if own is None:
                    raise ValueError(
                        f"{name} lies along {d!r}, which is an input of {self.title}: give {d}=... as well, "
                        f"with the same values, or {cure}"
                    )
                alone = own.dims == () and self.axes[d].size == 1 and str(own.labels[()]) == str(self.axes[d].values[0])
                if own.dims != (d,) and not alone:
                    raise ValueError(
                        f"{name} lies along {d!r}, but {d} itself is {few(own.labels)}: give {d} the values of that "
                        f"dim, or {cure}"
                    )

    def points(self, table: Any, along: str = "config") -> None:
        """Take paired inputs: the columns of a DataFrame (or of a mapping of sequences) run along one axis."""
        if not hasattr(table, "keys") or (hasattr(table, "index") and not hasattr(table, "columns")):
            raise ValueError(
                f"points: {type(table).__name__} is not understood: give a DataFrame, or a mapping of names to lists"
            )
        names = list(table)
        if len(set(map(str, names))) < len(names):
            raise ValueError(f"points: {next(n for n in names if names.count(n) > 1)} is given twice")
        for name in names:
            listed = table[name]
            if isinstance(listed, (str, bytes)) or not hasattr(listed, "__len__") or getattr(listed, "ndim", 1) == 0:
                raise ValueError(
                    f"points: {name}={shown(table[name])} is one value: every column is a list, all of one length"
                )
        sizes = {str(name): len(table[name]) for name in table}
        if len(set(sizes.values())) != 1:
            raise ValueError(
                f"points: columns have different lengths: {', '.join(f'{n} {k}' for n, k in sizes.items())}"
            )
        self.kinds = self.kinds or self._kinds(table, along)
        for name in table:
            listed = table[name]
            if self.kinds is not None and self.kinds.axis == along and name in self.kinds.rows:
                self.add(str(name), self.kinds.rows[name], self.kinds.name)
                continue
            self.add(str(name), np.asarray(listed) if hasattr(listed, "coords") else listed, along)

    def _kinds(self, table: Any, along: str) -> Kinds | None:
        """The kinds of points of a long table, where no field of their rows is given point by point."""
        if not self.by_kind or self.draws is not None:
            return None
        known = {name: self.canonical(str(name))[0] for name in table}
        if any(field_of(n) in self.fields and n not in self.parameters and n not in self.picks for n in known.values()):
            return None
        picking = [name for name, n in known.items() if n in self.picks]
        numbers = [name for name, n in known.items() if n not in self.picks and n in self.parameters]
        kinds = told_apart(table, picking, numbers, along)
        if kinds is not None:
            self._axis(kinds.axis, along, len(kinds.codes), None)
        return kinds

    # --- leaves --------------------------------------------------------------------------------------------

    def plain(self, name: str) -> Leaf | None:
        """The leaf of a plain input, its default, or None when it is absent."""
        column = self.columns.get(name)
        if column is None:
            default = self.parameters[name].default
            if default is None:
                return None
            found = leaf(name, check(name, default), ())
        else:
            found = leaf(name, column.values.astype(np.float64, copy=False), column.dims)
        self.leaves[name] = found
        return found

    def record(self, parameter: Parameter) -> Leaves | None:
        """The leaves of a record parameter's fields, or None for an optional record nobody gave."""
        key = (parameter.name, self._signature)
        kept = None if self._signature is None else RECORDS.get(key)
        if kept is None:
            kept = self._made(parameter)
            if self._signature is not None:
                RECORDS.put(key, kept)
        if kept.recipe is None:
            return None
        if parameter.record is Site:
            _one_method(self.columns.get(selectors(parameter)[0].name))
        self.recipes[parameter.name] = recipe_for(kept.recipe, self.axes)
        self.derived.update(kept.notes)
        self.rents.update(kept.rents)
        self.own.update(kept.own)
        self.leaves.update((found.name, found) for found in kept.leaves.values())
        return kept.leaves

    @functools.cached_property
    def _signature(self) -> Hashable:
        """What the records depend on, once every input is entered."""
        _ = self.checkpoints  # which notes what it finds
        return signature(self)

    def _made(self, parameter: Parameter) -> Made:
        assert parameter.record is not None
        accepts = self._accepts(parameter)
        given = {f: column for name, f in accepts.items() if (column := self._stated(name)) is not None}
        if parameter.record is Format and f"{parameter.name.removesuffix('format')}precision" not in self.columns:
            given |= self._bytes_of_checkpoint(given)
        picked = self._picked(parameter)
        if picked is None:
            return Made(None, Leaves(), {}, {}, {})
        stated = {f: Leaf(f, column.dims, column.values.astype(np.float64)) for f, column in given.items()}
        if self.draws is not None and picked:
            self.axes.setdefault("sample", Axis("sample", self.draws.n, np.arange(self.draws.n)))
        recipe = Recipe(parameter, picked, accepts, stated, self.axes, self.draws)
        rents = {
            str(row.key): str(basis).partition(":")[0]
            for rows in recipe.noted
            for row in rows
            if (basis := getattr(row, "values_by_column", {}).get("cloud_price_basis"))
        }
        leaves = recipe.leaves()
        if parameter.record is Workload and "total_params" in given and np.any(leaves["n_layers"].values > 0):
            raise ValueError(
                "total_params: the count of a transformer follows from its layers and widths: give those, or "
                "ms.Workload(model, total_params=...)"
            )
        own = {f"{row.table} {row.key}": row for rows in recipe.combinations for row in rows if getattr(row, "own", "")}
        return Made(recipe, leaves, dict(recipe.notes()), rents, own)

    def _accepts(self, parameter: Parameter) -> dict[str, str]:
        """Leaves that state a field of a record or of a row that it is made of, and which field; what wins comes last."""
        assert parameter.record is not None
        found: dict[str, str] = {}
        for name, fields in self._same(parameter).items():
            found |= {f"{name}.{f}": f for f in fields if self._own(parameter, f) is None}
        return found | {f"{parameter.name}.{f}": f for f in parameter.record._fields}

    def _own(self, parameter: Parameter, field: str) -> Column | None:
        """What the user gave for a field of this very record."""
        assert parameter.record is not None
        return self._stated(f"{parameter.name}.{field}") if field in parameter.record._fields else None

    def _same(self, parameter: Parameter) -> dict[str, tuple[str, ...]]:
        """Records with their fields, which hold for this one, too, what wins last: a fleet is made of its device; and a second
        device, fleet or format is the first one, unless it is named, a fleet by its device."""
        plain = next((name for name, record in PLAIN if record is parameter.record), "")
        stem = parameter.name.removesuffix(plain) if plain else ""
        names = []
        if plain == "fleet":
            named = f"{stem}hardware" in self.columns or parameter.name in self.columns
            names = [f"{stem}hardware"] if named else ["hardware", f"{stem}hardware"]
        else:
            named = (f"{stem}precision" if plain == "format" else parameter.name) in self.columns
        if stem and not named:
            names.append(plain)
        records = [self.parameters[name] for name in dict.fromkeys(names) if name in self.parameters]
        return {p.name: p.record._fields for p in records if p is not parameter and p.record is not None}

    def _stated(self, name: str) -> Column | None:
        """What the user gave for a field of a record, by its dotted name or its plain one."""
        record, _, short = name.partition(".")
        plain = self.columns.get(short) if self.fields[short][0] == record else None
        return self.columns.get(name, plain)

    def _picked(self, parameter: Parameter) -> list[Column] | None:
        """What the selectors of a record picked, None for an optional record nobody gave."""
        picked: list[Column] = []
        chosen = selectors(parameter)
        named = {*self.columns, *(("hardware",) if "fleet" in self.columns else ())}  # a fleet names its devices
        if parameter.default is None and not any(s.name in named for s in chosen if s.fallback or s is chosen[0]):
            return None
        for selector in chosen:
            column = self.columns.get(selector.name)
            if column is None and selector.fallback:
                column = self.columns.get(selector.fallback)
            if (
                column is None
                and "hardware" in (selector.name, selector.fallback)
                and parameter.record is not Fleet
                and "fleet" in self.columns
            ):
                column = self.from_fleet()
            if column is None:
                column = self._of_checkpoint(selector.fallback or selector.name, selector.default)
            if column is None:
                one = np.empty((), dtype=object)
                one[()] = (
                    None if selector.default in (None, REQUIRED) else self.reader(selector.name).one(selector.default)
                )
                column = Column(selector.name, (), one, one)
            picked.append(column)
        return [self._calibrated(picked[0])] if parameter.record is Assumptions else picked

    @functools.cached_property
    def trains(self) -> bool:
        """Is the call about training?"""
        words = {"is_training": 1.0, "phase": float(Phase.TRAINING), "workload_type": float(WorkloadType.TRAINING)}
        said = any((self.columns[n].values == v).any() for n, v in words.items() if n in self.columns)
        return said or ("recompute" in self.parameters and "is_training" not in self.parameters)

    @functools.cached_property
    def checkpoints(self) -> Column | None:
        """The models, where a file of one states number formats that the call is free to take: it serves and names none."""
        models = self.columns.get("model")
        if models is None or self.trains or "precision" in self.columns:
            return None
        rows = [row for row in models.values.reshape(-1) if row is not None]
        stated = [(row.key, row.checkpoint.sentence) for row in rows if row.checkpoint]
        if not set(PART_INPUTS.values()) & set(self.columns):
            noted = ((row.key, row.values_by_column.get("weight_note") or "") for row in rows if not row.checkpoint)
            self.derived.update(
                (f"{key}.precision", f"16 bits, as the call names no format; published: {note}")
                for key, note in noted
                if "FP8" in note or "MXFP4" in note
            )
        self.derived.update((f"{key}.precision", sentence) for key, sentence in stated)
        return models if stated else None

    def _of_checkpoint(self, name: str, default: Any) -> Column | None:
        """The number format that the files of the models state for a part of them."""
        models = self.checkpoints if name in PART_INPUTS.values() else None
        if models is None:
            return None
        values = np.empty(models.values.shape, dtype=object)
        for i in np.ndindex(values.shape):
            row: Any = models.values[i]
            made = row.checkpoint
            values[i] = made.inputs.get(name, default) if made else default
        return Column(name, models.dims, values, values)

    def _bytes_of_checkpoint(self, given: Mapping[str, Column]) -> dict[str, Column]:
        """Bytes per weight by part as the files of the models state them, where no format of a part is given."""
        models, parts = self.checkpoints, set(PART_INPUTS.values()) - {"kv_precision"}
        if (
            models is None
            or parts & set(self.columns)
            or any(f"{part}_bytes" in given for part in ("weight", *PRODUCTS))
        ):
            return {}
        plain = zoo.format_record(Precision.BF16)
        stated = [getattr(row.checkpoint, "nbytes", {}) for row in models.values.reshape(-1)]
        found = {}
        for name in (f"{part}_bytes" for part in ("weight", *PRODUCTS)):
            values = np.array([made.get(name, getattr(plain, name)) for made in stated]).reshape(models.values.shape)
            found[name] = Column(name, models.dims, values, values)
        return found

    def _calibrated(self, assume: Column) -> Column:
        """Assumptions with what the devices of the call were calibrated to."""
        devices = self.columns.get("hardware")
        if devices is None or not any(getattr(v, "assumed", None) for v in devices.values.reshape(-1)):
            return assume
        dims = union(self.axes, [assume, devices])
        whole = shape(self.axes, dims)
        ours: Any = np.broadcast_to(expand(assume.values, assume.dims, dims), whole)
        theirs: Any = np.broadcast_to(expand(devices.values, devices.dims, dims), whole)
        labels = np.broadcast_to(expand(devices.labels, devices.dims, dims), whole)
        once: dict[tuple[int, int], Any] = {}
        values = np.empty(whole, dtype=object)
        for i in np.ndindex(whole):
            key = (id(ours[i]), id(theirs[i]))
            values[i] = once.setdefault(key, zoo.frameworks.merged(ours[i], theirs[i]))
        return replace(assume, dims=dims, values=values, labels=labels)

    def from_fleet(self) -> Column:
        """The accelerator of a fleet, when the call names a fleet and no hardware."""
        column = self.columns["fleet"]
        rows = np.empty(column.values.shape, dtype=object)
        for i in np.ndindex(column.values.shape):
            system: Any = column.values[i]
            rows[i] = zoo.hardware(system["accelerator"])
        return replace(column, name="hardware", values=rows)

    # --- what moves ----------------------------------------------------------------------------------------

    def followers(self, moved: Iterable[str]) -> set[str]:
        """Leaves that follow when some leaves are given other values, those themselves left out."""
        names = set(moved)
        return {
            f"{recipe.name}.{field}"
            for recipe in self.recipes.values()
            if (own := recipe.moved(names))
            for field in recipe.followers(own.values())
        } - names

    def following(self, moved: Mapping[str, Leaf]) -> dict[str, Leaf]:
        """Those leaves, as they are when others have the values given here."""
        found: dict[str, Leaf] = {}
        for recipe in self.recipes.values():
            own = recipe.moved(moved)
            fields = recipe.followers(own.values()) if own else set()
            if fields:
                leaves = recipe.leaves({**recipe.given, **{field: moved[name] for name, field in own.items()}})
                found |= {leaves[field].name: leaves[field] for field in fields}
        return {name: found[name] for name in found if name not in moved}


def _one_method(column: Column | None) -> None:
    """Warn when carbon figures in one call were not counted alike."""
    rows = [] if column is None else [row for row in column.values.reshape(-1) if row is not None]
    classes = {kind: row.key for row in rows if (kind := zoo.carbon_class(row))}
    if len(classes) > 1:
        methods = ", ".join(f"{kind} ({key})" for kind, key in sorted(classes.items()))
        warnings.warn(
            f"region: carbon figures of different methods are not comparable: {methods}", UserWarning, stacklevel=2
        )
        return
    years = {year: row.key for row in rows if (year := zoo.carbon_year(row))}
    if years and max(years) - min(years) >= YEARS_APART:
        dated = ", ".join(f"{year:g} ({years[year]})" for year in (min(years), max(years)))
        warnings.warn(f"region: carbon figures of years far apart: {dated}", UserWarning, stacklevel=2)
