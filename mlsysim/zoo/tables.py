"""The tables: rows read from the CSV files beside this module, looked up by key, alias or attribute.

A cell is a float, a text or None (not found; never zero).  Files are read when first asked for.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mlsysim.zoo import layers, prices
from mlsysim.zoo.row import Row
from mlsysim.zoo.spelling import OPERATORS, Index, UnknownName, alike, compact, fold, unknown

if TYPE_CHECKING:
    import pandas as pd

TABLES = (
    "hardware",
    "models",
    "fabrics",
    "systems",
    "grids",
    "datacenters",
    "reliability",
    "constants",
    "curves",
    "frameworks",
)

#: what makes a row of one's own, by table
MAKERS = {
    "hardware": "Hardware",
    "models": "Workload",
    "systems": "System",
    "grids": "Grid",
    "datacenters": "Datacenter",
}
_FOLDER = Path(__file__).parent
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")
_TEXT_COLUMNS = frozenset(
    {"generation", "name", "key", "aliases", "notes", "source", "period", "population", "oversubscription"}
)


def cell(column: str, text: str) -> Any:
    """What stands in a cell: a number, a text, or None where it is empty."""
    if not text:
        return None
    return float(text) if column not in _TEXT_COLUMNS and _NUMBER.fullmatch(text) else text


#: table -> how its rows are made where they are no lines of a file
MADE: dict[str, Callable[[], dict[str, Row]]] = {}


def records(name: str) -> list[dict[str, str]]:
    """The lines of a file of the zoo, as text."""
    with open(_FOLDER / f"{name}.csv", encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@functools.cache
def rows(table: str) -> dict[str, Row]:
    """All rows of a table by key."""
    if table not in TABLES:
        raise unknown("table", table, TABLES)
    if table in MADE:
        return MADE[table]()
    found = {}
    for record in records(table):
        values = {column: cell(column, text) for column, text in record.items()}
        key = values["name"] if table == "hardware" else values["key"]
        if table == "hardware":
            values |= prices.columns(key)
        elif table == "models":
            values |= layers.columns(key)
        found[key] = Row(table, key, values)
    return found


_REGISTERED: dict[str, dict[str, Row]] = {}


class Kept(NamedTuple):
    """How rows of one's own that lie in a folder are found; `zoo.own` gives it."""

    rows: Callable[[str], Mapping[str, Row]] = lambda table: {}  #: by folded name
    refusal: Callable[[str, str], str] = lambda table, name: ""  #: why a name that a file bears is not known
    told: Callable[[str, Row], None] = lambda table, row: None  #: its name is that of a row of the zoo by now


KEPT = Kept()


def _own(table: str) -> dict[str, Row]:
    """Rows of one's own by folded name: registered in this process, and kept under a name that is no row's of the zoo."""
    kept = {name: row for name, row in KEPT.rows(table).items() if name not in _index(table).exact}
    return kept | _REGISTERED.get(table, {})


def shipped(table: str, name: str) -> str | None:
    """The key of the row of the zoo that bears a name, None where none does."""
    return _index(table).exact.get(fold(name))


@functools.cache
def _index(table: str) -> Index:
    return Index(table, {key: (key, *row.aliases) for key, row in rows(table).items()})


def labels(table: str) -> list[str]:
    """Keys and aliases of a table."""
    return [label for row in rows(table).values() for label in (row.key, *row.aliases)] + [
        r.key for r in _own(table).values()
    ]


def lookup(table: str, name: str | Row, argument: str = "") -> Row:
    """The row that a name means.

    Parameters
    ----------
    table : str
    name : str or Row
        Key or alias; a row of the table is returned as it is.
    argument : str
        Named at the head of the error.

    Raises
    ------
    UnknownName
    """
    if isinstance(name, Row):
        if name.table != table:
            raise UnknownName(
                f"{argument + ': ' if argument else ''}{name.key!r} is a row of {name.table}, not of {table}"
            )
        return name
    folded = fold(name) if isinstance(name, str) else ""
    own = _REGISTERED.get(table, {}).get(folded)
    kept = own or KEPT.rows(table).get(folded)
    if kept is not None:
        if own is not None or folded not in _index(table).exact:
            return kept
        KEPT.told(table, kept)
    key = _index(table).find(name, argument) if isinstance(name, str) else None
    if key is None:
        if refusal := KEPT.refusal(table, str(name)):
            raise UnknownName(f"{argument + ': ' if argument else ''}{refusal}")
        one = "model" if table == "models" else table.rstrip("s")
        if not isinstance(name, (str, bytes, int, float)) and table in MAKERS:
            raise UnknownName(
                f"{argument + ': ' if argument else ''}{type(name).__name__} is no name of a {one}: a row of your own is "
                f"made by mlsysim.{MAKERS[table]}(...)"
            )
        near: dict[str, str] = {}  # one label a row
        for label in alike(table, str(name), labels(table)):
            near.setdefault(_index(table).exact.get(fold(label), label), label)
        if table == "grids" and (area := OPERATORS.get(compact(str(name)))):
            raise UnknownName(
                f"{argument + ': ' if argument else ''}the grid of {str(name)!r} spans several places, each with its own "
                f"figures: {', '.join(area)}"
            )
        hint = f"nearest: {', '.join([*near.values()][:4])}" if near else f"see mlsysim.zoo.names({table!r})"
        hint = _of_another_table(table, name) or hint
        raise UnknownName(f"{argument + ': ' if argument else ''}no {one} is named {str(name)!r}; {hint}")
    return rows(table)[key]


#: table -> the input that picks a row of it
INPUTS = {
    "models": "model",
    "hardware": "hardware",
    "systems": "fleet",
    "fabrics": "fabric",
    "grids": "region",
    "datacenters": "datacenter",
}


def _of_another_table(table: str, name: Any) -> str:
    """Which input a name belongs to that was given for another: a country for a building, a system for a device."""
    for other, taken_by in INPUTS.items():
        try:
            key = _index(other).find(name, "") if other != table and isinstance(name, str) else None
        except UnknownName:
            key = None
        if key is not None:
            return f"it is a row of {other}: {taken_by}={key!r}"
    return ""


def register(row: Row) -> Row:
    """Make a row of one's own known by its name, in this process, wherever a name is accepted."""
    if fold(row.key) in _index(row.table).exact:
        raise ValueError(f"{row.key!r} already names a row of {row.table}: give it another name")
    _REGISTERED.setdefault(row.table, {})[fold(row.key)] = row
    return row


def names(table: str) -> list[str]:
    """The keys of a table, in its order; rows of one's own last."""
    return [*rows(table), *(r.key for r in _own(table).values())]


def find(table: str, **attributes: Any) -> list[Row]:
    """Rows whose fields are as asked.

    Parameters
    ----------
    table : str
    **attributes
        Field -> value (text regardless of case), a collection of values, or a function of the value
        (which is not called where the field is empty).

    Examples
    --------
    >>> [row.key for row in find("hardware", vendor="amd", mem_type="HBM3")]
    ['mi300x', 'mi308x']
    >>> [row.key for row in find("hardware", tdp_W=lambda w: w > 1300)]
    ['gb300_per_gpu', 'mi355x', 'cerebras_wse2', 'cerebras_wse3', 'mtia_450_announced', 'mtia_500_announced']
    """

    def same(value: Any, wanted: Any) -> bool:
        if callable(wanted):
            return value is not None and bool(wanted(value))
        if isinstance(value, str) and isinstance(wanted, str):
            return fold(value) == fold(wanted)
        if isinstance(wanted, (set, frozenset, list, tuple)):
            return any(same(value, each) for each in wanted)
        return bool(value == wanted)

    everything = [lookup(table, key) for key in names(table)]
    return [row for row in everything if all(same(row[field], wanted) for field, wanted in attributes.items())]


def frame(table: str) -> pd.DataFrame:
    """A table as a pandas DataFrame, indexed by key."""
    import pandas as pd

    everything = [lookup(table, key) for key in names(table)]
    return pd.DataFrame(
        [row.values_by_column for row in everything],
        index=pd.Index([row.key for row in everything], name="key"),
    ).drop(columns=["key"], errors="ignore")


def digest(own: Iterable[Row] = ()) -> str:
    """Twelve hexadecimal digits of a hash over all tables and some rows of one's own: which data a result rests on."""
    contents = sorted({row.content for row in own})
    return _digest() if not contents else hashlib.sha256("\n".join([_digest(), *contents]).encode()).hexdigest()[:12]


@functools.cache
def _digest() -> str:
    total = hashlib.sha256()
    for file in sorted(_FOLDER.glob("*.csv")):
        total.update(file.stem.encode())
        total.update(file.read_bytes().replace(b"\r\n", b"\n"))
    return total.hexdigest()[:12]
