"""Targets of a search: what the inputs ``target_<output>`` ask, and of which output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsysim.schema.check import shown
from mlsysim.schema.variables import VARIABLES, field_of
from mlsysim.search.target import Target, condition


def take(inputs: dict[str, Any], kept: Mapping[str, str]) -> list[Target]:
    """Take the targets out of the inputs, each as a condition on the output that must keep it.

    Parameters
    ----------
    inputs : dict
        Of the call; its targets are removed.
    kept : mapping
        Output that is named -> output that must keep the target, where that is another.
    """
    found = []
    for name in [n for n in inputs if n.startswith("target_")]:
        wanted = inputs.pop(name)
        if wanted is None:
            continue
        output = name.removeprefix("target_")
        asked = condition(kept.get(output, output), wanted)
        if asked.dims:
            raise ValueError(f"{name}={shown(wanted)}: one target at a time")
        found.append(asked)
    return found


def clause(target: Target) -> str:
    """A target as a condition of ``where=``."""
    unit = VARIABLES[field_of(target.output)].unit
    return f"{target.output} {target.sign}= {float(target.values)!r}{f' {unit}' if unit != '1' else ''}"
