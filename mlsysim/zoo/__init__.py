"""Hardware, models, fabrics, systems, grids, data centers and constants, each row with its source.

>>> from mlsysim import zoo
>>> zoo.hardware("H100")["peak_bf16"]
989400000000000.0
>>> zoo.model("Llama-3.1-70B")["n_layers"]
80.0
>>> zoo.constant("besiroglu_a"), zoo.constant("besiroglu_a").unit
(482.01, '-')
>>> zoo.hardware("h1000")
Traceback (most recent call last):
mlsysim.zoo.spelling.UnknownName: hardware: no hardware is named 'h1000'; nearest: ...

A row is a mapping (`Row`): canonical names give base units, columns of the table what is stored.  What
no source gives and a rule supplies is in ``row.derived``; what nobody knows is None, and NaN in a record.
"""

import os
from typing import TypeGuard

from mlsysim.zoo import hub as _hub
from mlsysim.zoo import tables as _tables
from mlsysim.zoo.accelerators import accelerator_record
from mlsysim.zoo.custom import Datacenter, Grid, Hardware, System, Workload, device_file, row_file
from mlsysim.zoo.fleets import fleet_record
from mlsysim.zoo.formats import format_record
from mlsysim.zoo.frameworks import assumptions
from mlsysim.zoo.huggingface import from_config
from mlsysim.zoo.own import add, remove
from mlsysim.zoo.row import Constant, Derived, Row
from mlsysim.zoo.sites import carbon_class, carbon_year, site_record
from mlsysim.zoo.spelling import UnknownName
from mlsysim.zoo.tables import (
    digest,
    find,
    lookup,
    names,
    register,
)
from mlsysim.zoo.tables import frame as table
from mlsysim.zoo.workloads import parameters, workload_record

#: The names of the tables.
TABLES = _tables.TABLES

#: The building that is meant when none is named.
DEFAULT_DATACENTER = "us_average_2023"

__all__ = [
    "DEFAULT_DATACENTER",
    "TABLES",
    "Constant",
    "Datacenter",
    "Derived",
    "Grid",
    "Hardware",
    "Row",
    "System",
    "UnknownName",
    "Workload",
    "accelerator_record",
    "add",
    "assumptions",
    "carbon_class",
    "carbon_year",
    "constant",
    "datacenter",
    "device_file",
    "digest",
    "fabric",
    "find",
    "fleet_record",
    "format_record",
    "framework",
    "from_config",
    "grid",
    "hardware",
    "lookup",
    "model",
    "names",
    "parameters",
    "register",
    "reliability",
    "remove",
    "site_record",
    "system",
    "table",
    "workload_record",
]


def model(name: str | os.PathLike[str] | Row) -> Row:
    """A row of the models table; the path of a ``config.json`` (or of its folder), or of a ``.toml`` file, is read instead.

    ``hf://org/name`` is the row of that model, where there is one, and else read from the Hugging Face hub.

    Raises
    ------
    UnknownName
        No row bears the name, or several may be meant.
    ValueError
        The file is none that `from_config` understands.
    """
    if _is_toml(name):
        return row_file(name, "models")
    if isinstance(name, os.PathLike) or (isinstance(name, str) and _is_file(name)):
        return from_config(name)
    try:
        return _tables.lookup("models", name, "model")
    except UnknownName:
        if not _hub.is_named(name):
            raise
    return from_config(str(name))


def _is_file(name: str) -> bool:
    """Does a text name a file or a folder rather than a row?"""
    return name.endswith(".json") or name.startswith(("./", "../", "/", "~"))


def _is_toml(name: object) -> TypeGuard[str | os.PathLike[str]]:
    """Is it the path of a TOML file?"""
    return isinstance(name, (str, os.PathLike)) and os.fspath(name).endswith(".toml")


def _row(table: str, name: str | os.PathLike[str] | Row, argument: str) -> Row:
    """A row by name, or one of the user's own from the path of a ``.toml`` file."""
    return row_file(name, table) if _is_toml(name) else _tables.lookup(table, name, argument)  # type: ignore[arg-type]


def hardware(name: str | os.PathLike[str] | Row) -> Row:
    """A row of the hardware table; the path of a ``.toml`` file (see `device_file`) is read instead."""
    return _row("hardware", name, "hardware")


def fabric(name: str | Row) -> Row:
    """A row of the fabrics table."""
    return _tables.lookup("fabrics", name, "fabric")


def system(name: str | os.PathLike[str] | Row) -> Row:
    """A row of the systems table: a node, a rack, a pod or a fleet."""
    return _row("systems", name, "fleet")


def grid(name: str | os.PathLike[str] | Row) -> Row:
    """A row of the grids table: a country, state or cloud region."""
    return _row("grids", name, "region")


def datacenter(name: str | os.PathLike[str] | Row = DEFAULT_DATACENTER) -> Row:
    """A row of the data center table."""
    return _row("datacenters", name, "datacenter")


def reliability(name: str | Row) -> Row:
    """A row of the reliability table; ``row["mtbf"]`` is seconds between failures of one device.

    Rows of whole fleets have a `hardware` and a `failure_level`, for `ReliabilityModel` (``failure_level=row["failure_level"]``).
    """
    return _tables.lookup("reliability", name, "reliability")


def framework(name: str | Row) -> Row:
    """A row of the frameworks table: what a training framework, serving engine or load generator does by default."""
    return _tables.lookup("frameworks", name, "framework")


def constant(name: str) -> Constant:
    """A published constant: a float with its unit, source and range."""
    return Constant(_tables.lookup("constants", name, "constant"))
