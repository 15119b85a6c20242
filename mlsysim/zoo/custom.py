"""Rows of one's own: a known row with some fields changed, or a new one.

>>> Hardware("h100", mem_bandwidth="4 TB/s", name="mine")["mem_bandwidth"]
4000000000000.0
>>> Workload("llama3_1_70b", n_layers=90).derived["total_params"]
'published count of llama3_1_70b, moved by what n_layers changes in the configuration'
>>> Hardware("h100", mem_bandwith="4 TB/s")
Traceback (most recent call last):
mlsysim.zoo.spelling.UnknownName: Hardware: no field is named 'mem_bandwith'; nearest: mem_bandwidth, ...
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlsysim import units
from mlsysim.schema.ranges import remark
from mlsysim.schema.variables import EXACT, LARGEST, SMALLEST, VARIABLES, beyond_reach
from mlsysim.zoo import tables, workloads
from mlsysim.zoo.row import CANONICAL, FIELDS, KWH, Row, column_unit, state
from mlsysim.zoo.spelling import unknown

#: units of columns that `units.parse` reads in another base unit: unit of the column -> (base unit, factor)
_STORED = {
    "g/kWh": ("kg/J", 1e3 * KWH),
    "L/kWh": ("L/J", KWH),
    "USD/kWh": ("USD/J", KWH),
    "USD/hour": ("USD/s", 3600.0),
    "hour": ("s", 1.0 / 3600.0),
}


def _number(where: str, value: Any, unit: str) -> float:
    """A quantity in base units; what is no quantity is refused."""
    if isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{where}={value!r} must be a number, not true or false")
    try:
        number = units.parse(value, unit, where)
    except OverflowError:
        raise ValueError(f"{where}={str(value)[:12]}... is too large for a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{where}={value!r} must be finite; None says that it is unknown")
    return number


def _checked(name: str, value: Any, maker: str) -> float:
    """A canonical field in base units, inside its bounds."""
    variable = VARIABLES[name]
    where = f"{maker}: {name}"
    if variable.kind == "flag" and isinstance(value, (bool, np.bool_)):
        return float(value)
    number = _number(where, value, variable.unit)
    low, high = variable.low, variable.high
    if number < low or number > high or (variable.above and number == low):
        bound = f"above {low:g}" if variable.above else f"at least {low:g}"
        raise ValueError(
            f"{where}={value!r} is out of bounds: {bound}"
            f"{'' if math.isinf(high) else f', at most {high:g}'} {variable.unit}".removesuffix(" 1")
        )
    if variable.kind == "count" and number >= EXACT:
        raise ValueError(f"{where}={value!r}: at most 2**53 - 1, beyond which whole numbers are not exact")
    if beyond_reach(number):
        raise ValueError(
            f"{where}={value!r} must be {'' if variable.above else '0 or '}from {SMALLEST:g} to {LARGEST:g}"
        )
    if variable.kind in ("count", "flag") and number != int(number):
        raise ValueError(f"{where}={value!r} is no whole number")
    return number


def _bare(value: Any) -> bool:
    """Is it a number without a unit?"""
    return units.number(value) is not None if isinstance(value, str) else isinstance(value, (int, float, np.number))


def _column(template: Row, column: str, value: Any, maker: str) -> Any:
    """A column as it is stored: text, or a number in the column's own unit."""
    texts = {
        cell for row in tables.rows(template.table).values() if isinstance(cell := row.values_by_column[column], str)
    }
    if value is None or (texts and isinstance(value, str)):
        return value
    unit = column_unit(template, column)
    base, factor = (unit, 1.0) if isinstance(value, (int, float)) else _STORED.get(unit, (unit, 1.0))
    number = _number(f"{maker}: {column}", value, base) * factor
    if column.startswith("peak_") and _bare(value):  # the other columns that have a unit say it in their names
        remark(column, number, f"{maker}: ", "peak_flops")
    if number < 0:
        raise ValueError(f"{maker}: {column}={value!r} must not be negative")
    return number


def _make(table: str, maker: str, base: str | Row | None, name: str | None, fields: dict[str, Any]) -> Row:
    template = next(iter(tables.rows(table).values()))
    if base is None:
        if not name:
            raise ValueError(f"{maker}: give name=, or a row to start from")
        values: dict[str, Any] = dict.fromkeys(template.values_by_column)
        values.update(source="given by the user", verified=0.0)
        given: dict[str, float] = {}
        origin = ""
    else:
        row = tables.lookup(table, base, maker)
        values, given, origin = dict(row.values_by_column), dict(row.given), row.origin
    by_column = {column: canonical for canonical, (column, _) in CANONICAL.get(table, {}).items()}
    for field, value in fields.items():
        if field not in FIELDS[table] and field not in values:
            raise unknown("field", field, [*FIELDS[table], *values], maker)
        canonical = field if field in FIELDS[table] else by_column.get(field, "")
        if canonical and canonical in VARIABLES:
            column, factor = CANONICAL[table].get(canonical, (canonical, 1.0))
            if value is None:
                given.pop(canonical, None)
                for cell in (column, *(("mem_device_reported_bytes",) if canonical == "mem_capacity" else ())):
                    if cell in values:
                        values[cell] = None
                continue
            # a bare number for a column is in the column's unit
            stored = value if field == canonical else _column(template, field, value, maker) * factor
            number = _checked(canonical, stored, maker)
            if field == canonical and _bare(value):
                remark(canonical, number, f"{maker}: ")
            state(table, canonical, number, values, given)
        elif field in values and field not in ("key",):
            values[field] = _column(template, field, value, maker)
            if field == "mem_device_reported_bytes":
                given.pop("mem_capacity", None)
    if base is not None and fields:
        changes = ", ".join(f"{field}={value}" for field, value in fields.items())
        values["verified"] = 0.0
        values["notes" if "notes" in values else "source"] = "; ".join(
            text
            for text in (
                values.get("notes" if "notes" in values else "source"),
                f"changed by the user: {changes}",
            )
            if text
        )
        key = name or f"{tables.lookup(table, base).key}({changes})"
    else:
        key = name or origin
    values["aliases"] = None
    values["name" if table == "hardware" else "key"] = key
    # a row made from nothing follows no row of the table, also where it has the name of one
    made = Row(table, key, values, given, origin or f"own {key}")
    made.own = "given by you"
    if base is not None:
        row = tables.lookup(table, base, maker)
        made.assumed, made.checkpoint = dict(row.assumed), row.checkpoint
    return made


#: fields that count some of a model's layers
_COUNTS_OF_LAYERS = (
    "first_dense_layers",
    "local_layers",
    "expert_layers",
    "attention_free_layers",
    "network_free_layers",
    "recurrent_layers",
    "index_layers",
)
#: by how much a parameter count that is given may differ from what the configuration counts
COUNT_SLACK = 0.05


def _consistent(row: Row) -> Row:
    """A model's row whose shape can exist and whose parameter count is that of its shape."""
    fields = workloads.described(row)[0]

    def refuse(name: str, allowed: str) -> None:
        raise ValueError(f"Workload: {name}={fields[name]:g}: {allowed}")

    for name in _COUNTS_OF_LAYERS if fields["n_layers"] else ():
        if fields[name] > fields["n_layers"]:
            refuse(name, f"must be at most n_layers={fields['n_layers']:g}")
    if not fields["n_heads"]:
        return row
    latent = fields["kv_lora_rank"] > 0
    for name in ("n_layers", "hidden", *(() if latent else ("head_dim", "n_kv_heads"))):
        if not fields[name]:
            refuse(name, f"a model with n_heads={fields['n_heads']:g} has at least 1")
    if not latent and fields["n_heads"] % fields["n_kv_heads"]:
        refuse("n_kv_heads", f"must divide n_heads={fields['n_heads']:g}")
    if fields["n_experts"] and not 1 <= fields["experts_per_token"] <= fields["n_experts"]:
        refuse("experts_per_token", f"must be at least 1 and at most n_experts={fields['n_experts']:g}")
    for name, without in (("local_layers", "attention_free_layers"), ("expert_layers", "network_free_layers")):
        if fields[without] and fields[name] > fields["n_layers"] - fields[without]:
            refuse(name, f"must be at most n_layers={fields['n_layers']:g} less {without}={fields[without]:g}")
    if "total_params" in row.given:
        own = row.given.get("extra_params", row.values_by_column["extra_params"] or 0.0)
        count = workloads.parameters({**row.values_by_column, **fields, "extra_params": own})
        if abs(fields["total_params"] - count) > COUNT_SLACK * count:
            refuse(
                "total_params",
                f"the configuration counts {count:.4g}, {COUNT_SLACK:.0%} more or less are allowed; change n_layers, "
                "hidden or ffn_hidden, add extra_params=, or count with total_params=None",
            )
    if fields["active_params"] > fields["total_params"]:
        refuse("active_params", f"must be at most total_params={fields['total_params']:g}")
    return row


def Hardware(base: str | Row | None = None, /, *, name: str | None = None, **fields: Any) -> Row:
    """A device of one's own.

    Parameters
    ----------
    base : str or Row, optional
        The row to start from.  Without it everything not given is unknown (kernels take H100's curves).
    name : str, optional
        What the row is called; by default the base and the changes.
    **fields
        Fields of `mlsysim.schema.records.Accelerator` in base units or as text ("4 TB/s"), or columns of the
        hardware table.  `peak_bf16`, `peak_fp8` ... are rates by format; `peak_flops` holds at every one.
        None says that a datum is unknown.

    Examples
    --------
    >>> mine = Hardware(name="mine", peak_bf16="1 PFLOP/s", mem_bandwidth="4 TB/s", mem_capacity="96 GB",
    ...                 tdp="600 W")
    >>> mine["mem_capacity"], mine["idle_power"], mine["price"]
    (96000000000.0, 60.0, None)
    """
    return _make("hardware", "Hardware", base, name, fields)


def Workload(base: str | Row | None = None, /, *, name: str | None = None, **fields: Any) -> Row:
    """A model of one's own; parameter counts follow the configuration.

    A `total_params` within 5 % of the configuration's count is kept, the difference as `extra_params` (weights that
    every step reads and no matrix product uses); one further off contradicts the configuration and is refused.

    Examples
    --------
    >>> tiny = Workload(name="tiny", n_layers=2, hidden=64, ffn_hidden=256, n_heads=4, n_kv_heads=4,
    ...                 head_dim=16, vocab=1000)
    >>> tiny["total_params"]
    226560.0
    """
    return _consistent(_make("models", "Workload", base, name, fields))


def System(base: str | Row | None = None, /, *, name: str | None = None, **fields: Any) -> Row:
    """A system of one's own: ``System("dgx_h100", fleet_size=1024, inter_bandwidth="100 GB/s")``."""
    return _make("systems", "System", base, name, fields)


def Grid(base: str | Row | None = None, /, *, name: str | None = None, **fields: Any) -> Row:
    """A grid of one's own: ``Grid("deu", electricity_price="0.12 USD/kWh")``."""
    return _make("grids", "Grid", base, name, fields)


def Datacenter(base: str | Row | None = None, /, *, name: str | None = None, **fields: Any) -> Row:
    """A building of one's own: ``Datacenter(name="mine", pue=1.2, wue="0.1 L/kWh")``."""
    return _make("datacenters", "Datacenter", base, name, fields)


#: table -> what makes a row of it from a base and fields
MAKERS: dict[str, Callable[..., Row]] = {
    "hardware": Hardware,
    "models": Workload,
    "systems": System,
    "grids": Grid,
    "datacenters": Datacenter,
}


def content(path: str | os.PathLike[str], argument: str) -> dict[str, Any]:
    """What a TOML file holds.

    Raises
    ------
    ValueError
        There is no such file, or it is no TOML.
    """
    try:
        return tomllib.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except (OSError, RuntimeError):  # RuntimeError: no home to expand
        raise ValueError(f"{argument}: no file can be read at {str(path)!r}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{argument}: {path} is no TOML file: {' '.join(str(error).split())}") from None


def row_file(path: str | os.PathLike[str], table: str, *, name: str | None = None) -> Row:
    """A row of one's own from a TOML file: the arguments of what makes such rows, ``base`` for the row to start from.

    Parameters
    ----------
    path : path
    table : {"hardware", "models", "systems", "grids", "datacenters"}
        Which the file may say, too: ``table = "systems"``.
    name : str, optional
        What the row is called; by default what the file says, else the name of the file.

    Raises
    ------
    ValueError
        There is no such file, it is no TOML or of another table, or a field cannot be.
    """
    argument = tables.INPUTS.get(table, table)
    given = content(path, argument)
    said = given.pop("table", table)
    if said != table:
        raise ValueError(f"{argument}: {path} is a row of {said!r}, not of {table!r}")
    known = {"name": Path(path).stem, **given} | ({} if name is None else {"name": name})
    made = MAKERS[table](known.pop("base", None), **known)
    made.own = f"given by you, in {path}"
    return made


def device_file(path: str | os.PathLike[str]) -> Row:
    """A device of one's own from a TOML file: the arguments of `Hardware`, ``base`` for the row to start from.

    Without a ``name`` the device has that of the file.

    Raises
    ------
    ValueError
        There is no such file, it is no TOML, or a field cannot be.
    """
    return row_file(path, "hardware")
