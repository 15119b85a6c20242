"""One row of a table: what stands in it, in base units, and what follows from that by the rule of its table.

A field that the user gives may be an array, one value for each place of a grid.  What is derived from it is then
an array too, so the rules of every table are written for both.
"""

from __future__ import annotations

import functools
import html
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from mlsysim import sizes
from mlsysim.schema.records import Accelerator, Fleet, Site, Workload
from mlsysim.schema.variables import VARIABLES
from mlsysim.zoo import prices
from mlsysim.zoo.spelling import unknown

NAN = float("nan")

#: Column -> unit, for columns whose name does not say it; see `column_unit` for the suffixes that do.
_UNITS = {
    "carbon_gCO2e_per_kWh": "g/kWh",
    "offsite_water_L_per_kWh": "L/kWh",
    "industrial_price_usd_per_kWh": "USD/kWh",
    "price_low": "USD/kWh",
    "price_high": "USD/kWh",
    "wue_L_per_kWh": "L/kWh",
    "cloud_usd_per_hour": "USD/hour",
    "derived_per_device_mtbf_h": "hour",
    "embodied_kgCO2e": "kg",
    "unit_price_usd": "USD",
    "price_usd": "USD",
    "inference_flops_per_sample": "FLOP",
    "intra_bw_Bps_per_accelerator": "byte/s",
    "node_power_max_W": "W",
    "node_power_typical_W": "W",
    "die_area_mm2": "mm^2",
    "process_nm": "nm",
    "config_delta_pct": "%",
}
_SUFFIXES = (
    ("_Bps", "byte/s"),
    ("_bytes", "byte"),
    ("_W", "W"),
    ("_latency_s", "s"),
    ("latency_s", "s"),
    ("_small_s", "s"),
)

#: table -> canonical name -> (column, factor from the column's unit to the base unit)
KWH = 3.6e6
CANONICAL: dict[str, dict[str, tuple[str, float]]] = {
    "hardware": {
        "vector_flops": ("peak_fp32", 1.0),
        "mem_bandwidth": ("mem_bandwidth_Bps", 1.0),
        "mem_capacity": ("mem_capacity_bytes", 1.0),
        "sram_capacity": ("on_chip_sram_bytes", 1.0),
        "link_bandwidth": ("intra_link_Bps", 1.0),
        "link_latency": ("intra_link_latency_s", 1.0),
        "host_bandwidth": ("host_link_Bps", 1.0),
        "tdp": ("tdp_W", 1.0),
        "idle_power": ("idle_W", 1.0),
        "price": ("unit_price_usd", 1.0),
        "hourly_price": ("cloud_usd_per_hour", 1.0 / 3600.0),
        "embodied_carbon": ("embodied_kgCO2e", 1.0),
    },
    "models": {"flops_per_sample": ("inference_flops_per_sample", 1.0)},
    "systems": {
        "fleet_size": ("total_accelerators", 1.0),
        "domain_size": ("intra_domain_size", 1.0),
        "intra_bandwidth": ("intra_bw_Bps_per_accelerator", 1.0),
        "psus_per_node": ("psu_count", 1.0),
        "node_price": ("price_usd", 1.0),
        "host_memory": ("host_memory_bytes", 1.0),
        "node_power": ("node_power_max_W", 1.0),
    },
    "fabrics": {"bandwidth": ("bandwidth_Bps", 1.0), "latency": ("latency_s", 1.0)},
    "grids": {
        "carbon_intensity": ("carbon_gCO2e_per_kWh", 1e-3 / KWH),
        "electricity_price": ("industrial_price_usd_per_kWh", 1.0 / KWH),
        "offsite_water": ("offsite_water_L_per_kWh", 1.0 / KWH),
    },
    "datacenters": {"wue": ("wue_L_per_kWh", 1.0 / KWH)},
    "reliability": {"mtbf": ("derived_per_device_mtbf_h", 3600.0)},
}
#: table -> fields of the record that its rows become
FIELDS: dict[str, tuple[str, ...]] = {
    "hardware": Accelerator._fields,
    "models": Workload._fields,
    "systems": Fleet._fields,
    "grids": Site._fields[:3],
    "datacenters": Site._fields[3:],
}


class Derived(str):
    """Why a field that no source gives has a value: a sentence, with the relative `spread` of the value."""

    spread: float

    def __new__(cls, sentence: str, spread: float) -> Self:
        self = super().__new__(cls, sentence)
        self.spread = spread
        return self

    def __reduce__(self) -> tuple[type[Derived], tuple[str, float]]:
        return Derived, (str(self), self.spread)


class Row(Mapping[str, Any]):
    """One row: a mapping from fields to values in base units, None where nobody says.

    Fields are the names of `mlsysim.schema.variables` (``row["mem_bandwidth"]``: base units, derived where
    the row is silent, see `derived`) and the columns of the table (``row["mem_capacity_bytes"]``: as
    stored, `unit` says in what).  Rows are compared and hashed by identity.

    Attributes
    ----------
    table, key : str
    """

    def __init__(
        self,
        table: str,
        key: str,
        values: dict[str, Any],
        given: dict[str, float] | None = None,
        origin: str = "",
    ):
        self.table, self.key, self.origin = table, key, origin or key
        self.values_by_column = values
        self.given = given or {}
        self.assumed: dict[str, float] = {}  #: assumptions that were calibrated on this device
        self.own = ""  #: who gave a row that is none of the zoo's, and where

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def having(self, given: Mapping[str, Any]) -> Row:
        """The row with those of its fields that the user gives: base units, each a number or an array of them.

        What is derived from them follows.  Names that are no fields of this table are left alone.
        """
        mine = {name: value for name, value in given.items() if name in FIELDS.get(self.table, ())}
        if not mine:
            return self
        values, all_given = dict(self.values_by_column), dict(self.given)
        for name, value in mine.items():
            state(self.table, name, value, values, all_given)
        changed = Row(self.table, self.key, values, all_given, self.origin)
        changed.assumed, changed.checkpoint, changed.own = self.assumed, self.checkpoint, self.own
        return changed

    @functools.cached_property
    def checkpoint(self) -> Any:
        """The number formats in which a model is published, None where it is in 16 bits: `mlsysim.zoo.checkpoint_format`."""
        return RULES[self.table].checkpoint(self) if self.table in RULES else None

    @functools.cached_property
    def _record(self) -> tuple[dict[str, float], dict[str, Derived]]:
        return RULES[self.table].described(self) if self.table in RULES else ({}, {})

    def __getitem__(self, field: str) -> Any:
        if field in self.given:
            return self.given[field]
        stored = self.values_by_column.get(field)
        if field in self.values_by_column and (
            field not in FIELDS.get(self.table, ()) or (stored is not None and field not in self._record[1])
        ):
            return stored
        if field in CANONICAL.get(self.table, {}) and self.table in ("fabrics", "reliability"):
            column, factor = CANONICAL[self.table][field]
            value = self.values_by_column[column]
            return None if value is None else value * factor
        fields, _ = self._record
        if field not in fields:
            raise unknown(f"field of {self.table}", field, [*self.values_by_column, *fields])
        return None if fields[field] != fields[field] else fields[field]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_column)

    def __len__(self) -> int:
        return len(self.values_by_column)

    @property
    def aliases(self) -> tuple[str, ...]:
        """Other names of the row."""
        return tuple(a for a in (self.values_by_column.get("aliases") or "").split(";") if a)

    @property
    def notes(self) -> str:
        """Remarks of the table."""
        return self.values_by_column.get("notes") or ""

    @property
    def sources(self) -> str:
        """The documents the row rests on."""
        return self.values_by_column.get("source") or ""

    @property
    def quotes(self) -> tuple[prices.Quote, ...]:
        """What sellers ask for a device and who they are; the price of the row is chosen from these (`zoo.prices`)."""
        return prices.quotes(self.origin) if self.table == "hardware" else ()

    @property
    def verified(self) -> bool:
        """Were the headline figures read in the named source?"""
        return bool(self.values_by_column.get("verified"))

    @property
    def derived(self) -> dict[str, Derived]:
        """Field -> how it follows from something else, for every field that no source gives."""
        return dict(self._record[1])

    def source(self, field: str | None = None) -> str:
        """Where a field's value comes from."""
        if field is None:
            return self.sources
        self[field]
        if field in self.given:
            return "given by the user"
        return self.derived.get(field) or self._fitted(field)[1] or self.sources

    def spread(self, field: str) -> float:
        """Relative standard deviation of a derived or fitted field; 0 for one that was read or given."""
        if field in self.given:
            return 0.0
        found = self.derived.get(field)
        return found.spread if found is not None else self._fitted(field)[0]

    def _fitted(self, field: str) -> tuple[float, str]:
        return RULES[self.table].fitted(self, field) if self.table in RULES else (0.0, "")

    def unit(self, field: str) -> str:
        """Unit of a field: a base unit, or the column's own."""
        if field in self.values_by_column:
            return column_unit(self, field)
        self[field]
        return (
            VARIABLES[field].unit if field in VARIABLES else {"bandwidth": "byte/s", "latency": "s", "mtbf": "s"}[field]
        )

    def content(self) -> str:
        """All that the row says, as text of which a digest can be taken."""
        return repr((self.table, self.key, sorted(self.values_by_column.items(), key=str), sorted(self.given.items()),
                     self.checkpoint))  # fmt: skip

    def _lines(self) -> list[tuple[str, str]]:
        hidden = {"key", "name", "aliases", "source", "notes", "verified"}
        lines = []
        for column, value in self.values_by_column.items():
            if value is None or (column in hidden and not (column == "name" and self.table == "grids")):
                continue
            unit = column_unit(self, column)
            if isinstance(value, str):
                lines.append((column, value))
            elif unit in ("byte", "byte/s", "FLOP/s", "s", "W"):
                lines.append((column, sizes.text(value, unit)))
            else:
                lines.append((column, f"{value:.10g}{'' if unit == '1' else ' ' + unit}"))
        lines += [(f"{name} (given)", f"{value:.6g}") for name, value in self.given.items()]
        if self.aliases:
            lines.append(("aliases", ", ".join(self.aliases)))
        lines += [("quote", str(quote)) for quote in self.quotes]
        lines += [(name, text) for name, text in (("notes", self.notes), ("source", self.sources)) if text]
        lines += [("yours", self.own)] if self.own else []
        lines.append(("verified", "yes" if self.verified else "no"))
        return lines

    def __repr__(self) -> str:
        lines = self._lines()
        width = max((len(name) for name, _ in lines), default=0)
        return "\n".join([f"<{self.table}: {self.key}>", *(f"  {name:<{width}}  {text}" for name, text in lines)])

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(n)}</th>"
            f"<td style='text-align:left'>{html.escape(t)}</td></tr>"
            for n, t in self._lines()
        )
        return f"<table><caption><b>{html.escape(self.key)}</b> ({self.table})</caption>{cells}</table>"


class Rule(NamedTuple):
    """How the rows of one table become a record; what derives its fields adds it to `RULES`."""

    #: all canonical fields of a row, and how the derived ones came about
    described: Callable[[Row], tuple[dict[str, Any], dict[str, Derived]]]
    #: relative spread of a field that was fitted to measurements, and to which; 0 and nothing for one that was read
    fitted: Callable[[Row, str], tuple[float, str]] = lambda row, field: (0.0, "")
    #: the number formats of what the row describes
    checkpoint: Callable[[Row], Any] = lambda row: None


#: table -> how its rows become a record
RULES: dict[str, Rule] = {}


def state(table: str, name: str, value: Any, values: dict[str, Any], given: dict[str, Any]) -> None:
    """Enter a canonical field that the user gives into the cells and the given fields of a row."""
    column, factor = CANONICAL.get(table, {}).get(name, (name, 1.0))
    given[name] = value
    if column in values:
        values[column] = value / factor
    if name == "mem_capacity":
        values["mem_device_reported_bytes"] = None


class Constant(float):
    """A published number with what one must know to use it.

    Attributes
    ----------
    unit, source, conditions, topic : str
    low, high : float or None
    verified : bool
    """

    unit: str
    source: str
    conditions: str
    topic: str
    low: float | None
    high: float | None
    verified: bool

    def __new__(cls, row: Row) -> Self:
        self = super().__new__(cls, row["value"])
        self.unit, self.source, self.topic = row["unit"] or "1", row.sources, row["topic"]
        self.conditions, self.low, self.high, self.verified = (
            row["conditions"] or "",
            row["low"],
            row["high"],
            row.verified,
        )
        return self

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        return float, (float(self),)


def column_unit(row: Row, column: str) -> str:
    """Unit of a column as stored."""
    if column in _UNITS:
        return _UNITS[column]
    if column in ("value", "low", "high"):
        return row.values_by_column.get("unit") or "1"
    if column.startswith("peak_"):
        return "FLOP/s"
    for suffix, unit in _SUFFIXES:
        if column.endswith(suffix):
            return unit
    return VARIABLES[column].unit if column in VARIABLES else "1"


# --- what a table gives, and rules for numbers and for arrays ---------------------------------------------


def stored(row: Row, name: str) -> Any:
    """A canonical field as the table (or the user) gives it, in base units; NaN if nobody does."""
    if name in row.given:
        return row.given[name]
    column, factor = CANONICAL[row.table].get(name, (name, 1.0))
    value = row.values_by_column.get(column)
    if value is None or isinstance(value, str):
        return NAN
    return value * factor


def known(value: Any) -> bool:
    """Is there a number?  An array comes from what the user gave, which is never NaN."""
    return isinstance(value, np.ndarray) or not math.isnan(value)


def where(condition: Any, yes: Any, no: Any) -> Any:
    """`yes` where the condition holds, else `no`; a plain condition picks one of them as it is."""
    return np.where(condition, yes, no) if isinstance(condition, np.ndarray) else yes if condition else no


def first(*rates: Any) -> Any:
    """The first rate that is above zero, else the last."""
    found = rates[-1]
    for rate in reversed(rates[:-1]):
        found = where(rate > 0, rate, found)
    return found


def filled(value: Any, otherwise: Any) -> Any:
    """`value`, and `otherwise` where it is not known."""
    return (
        where(np.isnan(value), otherwise, value)
        if isinstance(value, np.ndarray)
        else value
        if known(value)
        else otherwise
    )


def plain(value: Any) -> Any:
    """A number out of an equation as a plain one, an array as it is."""
    return value if np.ndim(value) else float(value)
