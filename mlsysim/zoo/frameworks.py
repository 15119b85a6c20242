"""What a framework or an engine does differently, as assumptions.

>>> assumptions("vLLM").host_step_time
0.0016
>>> assumptions("torchtitan").eager_factor
2.0
"""

from __future__ import annotations

from typing import Any

from mlsysim.schema.records import Assumptions
from mlsysim.zoo import tables
from mlsysim.zoo.tables import Row


def scaled(value: Any, default: float) -> float:
    """A setting of the frameworks table: a number, or ``x2``, a multiple of the default."""
    if isinstance(value, str):
        return float(value.removeprefix("x")) * default
    return float(value)


def settings(row: Row) -> dict[str, float]:
    """The assumptions that a row of the frameworks table sets."""
    defaults = Assumptions._field_defaults
    cells = row.values_by_column
    return {n: scaled(cells[n], float(defaults[n])) for n in cells if n in defaults and cells[n] is not None}


def assumptions(value: str | Row | Assumptions) -> Assumptions:
    """Assumptions as they are, or those of a framework or engine by name (``assume="vllm"``)."""
    if isinstance(value, Assumptions):
        return value
    if not isinstance(value, (str, Row)):
        raise ValueError(f"assume={value!r}: give ms.Assumptions(...), or a framework by name, see zoo.names('frameworks')")
    row = tables.lookup("frameworks", value, "assume")
    defaults = Assumptions._field_defaults
    found = {}
    for name, number in settings(row).items():
        known = defaults[name]
        found[name] = known.moved(number, f"{row.key}: {row.sources}")
    return Assumptions()._replace(**found)


def merged(assume: Assumptions | None, hardware: Row | None) -> Assumptions:
    """What a device was calibrated to, below what the user assumes: a figure that the user left alone is the device's."""
    own = assume if assume is not None else Assumptions()
    calibrated = getattr(hardware, "assumed", None) or {}
    defaults = Assumptions._field_defaults
    kept = {n: v for n, v in calibrated.items() if float(getattr(own, n)) == float(defaults[n])}
    return own._replace(**kept)
