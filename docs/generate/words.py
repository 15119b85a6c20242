"""Nomenclature: variables, limits and walls."""

from __future__ import annotations

from pathlib import Path

from generate.page import plain, save, table
from mlsysim.schema import codes
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.variables import ALIASES, VARIABLES
from mlsysim.walls import WALLS


def write(folder: Path) -> None:
    variables = [
        [
            f"`{v.name}`",
            f"`{v.unit}`" if v.unit != "1" else "",
            plain(v.meaning),
            f"{v.better} is better" if v.better else "",
        ]
        for v in sorted(VARIABLES.values(), key=lambda v: v.name)
        if v.name not in Assumptions._fields
    ]
    options = [
        [f"`{v.name}`", ", ".join(f"`{label}`" for label in codes.labels(v.options))]
        for v in VARIABLES.values()
        if v.options
    ]
    walls = [
        [
            str(w.number),
            w.name,
            f"[{w.resolver}](resolvers/{w.resolver}.md)",
            f"`{w.equation}`",
            plain(w.binds_when),
            plain(w.source),
        ]
        for w in WALLS
    ]
    also = [[f"`{alias}`", f"`{name}`", f"{factor:.8g}"] for alias, (name, factor) in ALIASES.items()]
    save(
        folder / "nomenclature.md",
        "# Nomenclature",
        "A name means one thing in the whole project. Numbers are in base units: s, byte, FLOP, USD, J, kg, L, W and their "
        "quotients; a blank unit is a plain number or a share. There are also the "
        "[words of the house](../architecture.md#words-of-the-house) and the [assumptions](zoo/assumptions.md).",
        "## Walls",
        table(["wall", "name", "resolver", "in short", "binds when", "source"], walls),
        "## Variables",
        table(["name", "unit", "meaning", "direction"], variables),
        "## Options",
        table(["name", "values"], options),
        "## Other spellings",
        "Accepted for the guide's sake: a value under the first name, times the factor, is one under the second.",
        table(["name", "means", "times"], also),
    )
