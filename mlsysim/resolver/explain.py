"""What a call would do, and what a resolver takes and gives: text and tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mlsysim.engine import estimate, folder
from mlsysim.engine.memory import free_memory
from mlsysim.engine.parameters import REQUIRED, Parameter
from mlsysim.engine.program import Program
from mlsysim.engine.run import COMPILE, PLAIN_OPERATION, Sweep
from mlsysim.engine.solve import result_bytes
from mlsysim.schema import codes
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.variables import ALIASES, VARIABLES, Variable, field_of


def explain(title: str, program: Program, wires: Sequence[str] | None) -> str:
    """Points, bytes, seconds and layout of a call, and the wiring of a composition."""
    nodes, omitted = program.available()
    lines = [f"{title}: {program.n_points:,} points"]
    for name, axis in program.axes.items():
        lines.append(f"  {name}: {axis.size:,} values")
    store, free = result_bytes(program, nodes), free_memory()
    full = 8 * program.n_points * len(nodes)
    lines.append(
        f"storing all {len(nodes)} outputs: {_size(store)} ({_size(full)} if every output varied along every axis); "
        f"free: {_size(free)}"
    )
    sweep = Sweep(program, list(nodes.values()), plan="plain")
    loads = sweep.loads()
    operations = estimate.operations(program, loads)
    per_point = operations / max(program.n_points, 1)
    lines.append(
        f"recorded: {len(sweep.nodes)} operations, {len(sweep.body)} of them per point, {len(sweep.tabled)} tabulated; "
        f"about {per_point:.0f} operations a point"
    )
    plain = operations * PLAIN_OPERATION
    nest, front = operations * estimate.NEST_OPERATION, operations * estimate.SEARCH_OPERATION
    lines.append(
        f"time on one core, about: plain {plain:.2g} s, nest {nest:.2g} s (one objective) to {front:.2g} s (a front) "
        f"(+ {COMPILE[0] + COMPILE[1] * len(sweep.body):.1f} s to compile once)"
    )
    lines.append(f"kernel cache: {folder.directory() or 'in memory only'}")
    if wires is not None:
        lines += ["wiring:", *(f"  {wire}" for wire in wires)]
    if omitted:
        lines.append("omitted:")
        lines += [f"  {name}: {why}" for name, why in omitted.items()]
    return "\n".join(lines)


def _size(n: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if n < 1000 or unit == "TB":
            return f"{n:.3g} {unit}"
        n /= 1000
    return ""


def schema(parameters: Mapping[str, Parameter], outputs: Sequence[str]) -> pd.DataFrame:
    """One row per input and output."""
    rows: list[dict[str, Any]] = []
    for name, p in parameters.items():
        if p.record is not None:
            default = "required" if p.default is REQUIRED else "optional"
            rows.append(
                {
                    "name": name,
                    "role": "record",
                    "unit": "",
                    "default": default,
                    "allowed": p.record.__name__,
                    "meaning": (p.record.__doc__ or "").split(".")[0] + _also(p.record._fields, named=True),
                }
            )
            continue
        v = VARIABLES[name]
        default = "required" if p.default is REQUIRED else "optional" if p.default is None else str(p.default)
        if v.options is not None:
            allowed = ", ".join(codes.labels(v.options))
            if p.default is not REQUIRED and p.default is not None:
                default = codes.label(v.options(int(p.default)))
        else:
            allowed = _bounds(v)
        rows.append(
            {
                "name": name,
                "role": "input",
                "unit": v.unit,
                "default": default,
                "allowed": allowed,
                "meaning": v.meaning + _also([name]),
            }
        )
    for name in outputs:
        v = VARIABLES[field_of(name)]
        better = f"{v.better} is better" if v.better in ("less", "more") else ""
        allowed = ", ".join(codes.labels(v.options)) if v.options is not None else better
        rows.append(
            {"name": name, "role": "output", "unit": v.unit, "default": "", "allowed": allowed, "meaning": v.meaning}
        )
    return pd.DataFrame(rows).set_index("name")


def _also(names: Sequence[str], named: bool = False) -> str:
    """How else some inputs are called, as in ``; also duration_days``; `named` says which of them is."""
    other = [f"{alias}{f' for {name}' if named else ''}" for alias, (name, _) in ALIASES.items() if name in names]
    return f"; also {', '.join(other)}" if other else ""


def _bounds(v: Variable) -> str:
    """What a number may be."""
    return f"{'>' if v.above else '>='} {v.low:g}" + (f", <= {v.high:g}" if v.high < 1e300 else "")


def assumptions() -> pd.DataFrame:
    """One row per assumption: value, unit, relative spread, what is allowed, meaning and source."""
    rows = [
        {
            "name": name,
            "value": float(default),
            "unit": default.unit,
            "spread": default.spread,
            "allowed": "0 or 1" if default.kind == "flag" else _bounds(VARIABLES[name]),
            "meaning": default.meaning,
            "source": default.source,
        }
        for name, default in Assumptions._field_defaults.items()
    ]
    return pd.DataFrame(rows).set_index("name")
