"""Inputs that a call gives and no output depends on, whatever their values: another one decides, or nothing asks for them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlsysim.engine.leaves import Leaf
from mlsysim.engine.recording import Entered, leaves_read

if TYPE_CHECKING:
    from mlsysim.engine.program import Program

MOST_NODES = 100_000  #: recorded in search of the input that decides, unless that leaves too few to look at
FEW = 4  #: of these


def unread(program: Program) -> dict[str, str]:
    """Such inputs, and why: ``{"users": "users is given, and not read beside arrival_rate"}``."""
    reads = program.recorded.leaves_read
    rest = {name: leaves for name, leaves in _given(program) if reads.isdisjoint(leaves)}
    if rest:  # 0, 1 and options are folded into the physics, and all that they leave out with them
        reads = _reads(program, program.entered)
    optional = [
        n for n, p in program.parameters.items() if p.record is None and p.default is None and n in program.given
    ]
    optional = optional[: max(FEW, MOST_NODES // len(program.recorded.graph.entered))]
    found: dict[str, str] = {}
    for name, leaves in rest.items():
        if reads.isdisjoint(leaves):
            other = next(_deciding(program, leaves, optional), None)
            why = f"beside {other}" if other else f"by any output of {program.resolver.name} here"
            found[name] = f"{name} is given, and not read {why}"
    return found


def _given(program: Program) -> Iterator[tuple[str, set[str]]]:
    """Inputs that somebody gave, with the leaves that they decide; selectors of formats and the like stay out."""
    binder, parameters = program.binder, program.parameters
    followed = {str(getattr(p.default, "follows", "")) for n, p in parameters.items() if n in binder.assumed}
    for name in binder.columns:
        if name in binder.assumed or name in followed or (name == "fleet" and "hardware" in parameters):
            continue  # a system goes with its devices
        parameter = parameters.get(name)
        if parameter is not None and parameter.record is not None:
            own = {leaf.name for leaf in _leaves(program.entered[name])}
            derived = program.entered.get("fleet") if name == "hardware" and "fleet" not in binder.columns else None
            yield name, own | {leaf.name for leaf in _leaves(derived)}
        elif parameter is not None and _is_default(binder.leaves.get(name), parameter.default):
            continue  # who says what holds anyway is not misread
        elif name in binder.leaves:
            yield name, {name, *binder.following({name: binder.leaves[name]})}
        elif name in binder.fields and (full := f"{binder.fields[name][0]}.{name}") in binder.leaves:
            yield name, {full, *binder.following({full: binder.leaves[full]})}


def _is_default(leaf: Leaf | None, default: Any) -> bool:
    return leaf is not None and isinstance(default, (int, float)) and bool((leaf.values == float(default)).all())


def _leaves(entered: Any) -> list[Leaf]:
    return [entered] if isinstance(entered, Leaf) else [] if entered is None else list(entered.values())


def _deciding(program: Program, leaves: Collection[str], among: Sequence[str]) -> Iterator[str]:
    """Those of some given inputs without which one of these leaves would be read."""
    for name in among:
        try:
            reads = _reads(program, {**program.entered, name: None})
        except (TypeError, ValueError):  # that one must be given
            continue
        if not reads.isdisjoint(leaves):
            yield name


def _reads(program: Program, entered: Entered) -> frozenset[str]:
    """Leaves that would be read of what was entered, whatever their values."""
    given = {name for name in program.given if entered.get(name) is not None}
    folds: Mapping[str, Any] = {n: None if isinstance(e, Leaf) else e and (None,) * len(e) for n, e in entered.items()}
    return leaves_read(program.resolver, given, program.parameters, entered, folds)
