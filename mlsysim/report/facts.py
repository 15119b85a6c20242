"""What answers rest on: what was assumed, derived and left out, and the sources of what they name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.engine.label import labelled
from mlsysim.report.command import LOOKED_UP
from mlsysim.report.tables import table, text

if TYPE_CHECKING:
    import xarray as xr

#: figures of a row that may have a source of their own
OWN: dict[str, tuple[str, ...]] = {
    "hardware": ("price", "hourly_price", "embodied_carbon"),
    "decode_hardware": ("price", "hourly_price"),
    "fleet": ("node_price",),
    "region": ("carbon_intensity", "electricity_price"),
}


def assumed(answers: Sequence[xr.Dataset]) -> str:
    """Inputs that nobody gave, with what was taken for them; sentences where these decide much."""
    rows: dict[tuple[str, str], None] = {}
    sentences: dict[str, None] = {}
    for ds in answers:
        for place, part in enumerate(str(ds.attrs.get("assumed", "")).split("; ")):
            pairs = re.split(r", (?=[\w.]+=)", part) if place == 0 else [part]
            for pair in pairs:
                name, equals, value = pair.partition("=")
                if equals and re.fullmatch(r"[\w.]+", name):
                    rows[name, value] = None
                elif pair:
                    sentences[pair] = None
    found = table(["input", "taken for it"], [[n.replace("_", " "), v] for n, v in rows]) if rows else ""
    return found + "".join(f"<p>{text(s)}</p>" for s in sentences)


def notes(answers: Sequence[xr.Dataset]) -> str:
    """What was derived, left out or is not of one list."""
    parts = []
    for key, heading in (
        ("derived", "Follows from other data, because no source gives it"),
        ("rents", "Rents: whose they are"),
        ("own", "Rows of your own"),
        ("unread", "Given and not read"),
        ("left_out", "Left out"),
        ("omitted", "Outputs left out"),
    ):
        told = dict.fromkeys(str(ds.attrs[key]) for ds in answers if ds.attrs.get(key))
        lines = dict.fromkeys(line for one in told for line in re.split(r"; (?=[\w.]+(?:: | is given))", one))
        said = together(list(lines)) if key == "derived" else list(lines)
        if said:
            items = "".join(f"<li>{text(line)}</li>" for line in said)
            parts.append(f"<details><summary>{heading} ({len(lines)})</summary><ul>{items}</ul></details>")
    return "".join(parts)


def together(lines: Sequence[str]) -> list[str]:
    """Fields of one row that follow by one rule, in one line.

    >>> together(["b200.tdp: as H100", "b200.price: as H100", "b200.idle_power: 0.1 of TDP"])
    ['b200: tdp, price: as H100', 'b200: idle power: 0.1 of TDP']
    """
    found: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        name, _, sentence = line.partition(": ")
        row, _, field = name.rpartition(".")
        found.setdefault((row, sentence), []).append(field.replace("_", " "))
    return [": ".join(part for part in (row, ", ".join(fields), said) if part) for (row, said), fields in found.items()]


def sources(answers: Sequence[xr.Dataset]) -> str:
    """Where the figures of models, devices, systems and grids come from."""
    rows: dict[tuple[str, str], str] = {}
    for name, look in LOOKED_UP.items():
        for value in dict.fromkeys(v for ds in answers for v in _named(ds, name)):
            row = _row(look, value)
            key = value if row is None else row.key
            own = "not of the tables of mlsysim: given by the user"
            rows[name.replace("_", " "), key] = own if row is None else _sentence(row, OWN.get(name, ()))
    return "".join(
        f"<p class=source><b>{text(kind)} {text(key)}</b>: {text(source)}</p>" for (kind, key), source in rows.items()
    )


def _named(ds: xr.Dataset, name: str) -> Iterable[str]:
    """Rows that an answer names: of its coordinates, or taken because nobody gave one."""
    if name in ds.coords:
        labels = np.asarray(labelled(ds[name])).reshape(-1)
        return [str(v) for v in dict.fromkeys(labels.tolist()) if str(v) and v == v]
    found = re.search(rf"(?:^|, ){name}=(\[[^\]]*\]|[^,;]+)", str(ds.attrs.get("assumed", "")))
    if not found:
        return []
    return [v.strip() for v in found[1].strip("[]").split(",") if v.strip() not in ("...", "")]


def _row(look: Callable[[Any], Any], value: str) -> Any:
    try:
        return look(value)
    except (ValueError, OSError):
        return None


def _sentence(row: Any, figures: Sequence[str]) -> str:
    parts = [row.sources]
    for figure in figures:
        own = row.source(figure)
        if own and own != row.sources:
            parts.append(f"{figure.replace('_', ' ')}: {own}")
    return "; ".join(part for part in parts if part) or "none stated"
