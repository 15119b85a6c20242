"""What a call would do, and what a resolver takes and gives: text and tables for people."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mlsysim.engine import estimate, folder
from mlsysim.engine.memory import free_memory
from mlsysim.engine.parameters import REQUIRED, ROWS, Parameter, Selector, selectors
from mlsysim.engine.program import Program
from mlsysim.engine.run import COMPILE, PLAIN_OPERATION, Sweep
from mlsysim.engine.solve import result_bytes
from mlsysim.schema import codes
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Precision
from mlsysim.schema.usual import Usual
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
        f"recorded: {len(sweep.whole.nodes)} operations, {len(sweep.body)} of them per point, {len(sweep.tabled)} tabulated; "
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


#: what a second device or fleet is of
SECOND = {"hardware": "the device of", "fleet": "node and network of"}
DOES = {"decode": "the replicas that decode", "compressed": "the compressed model"}


def schema(
    parameters: Mapping[str, Parameter], outputs: Sequence[str], stands_in: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """One row per input and output; `stands_in` is what a search takes for inputs that nobody gives."""
    stands_in = stands_in or {}
    rows: dict[str, dict[str, str]] = {}
    for p in parameters.values():
        if p.record is None:
            rows[p.name] = _plain(p.name, stands_in.get(p.name, p.default))
            continue
        fields = _also(p.record._fields, named=True)
        for selector in selectors(p):
            if selector.name not in rows or rows[selector.name]["default"] == "optional":
                rows[selector.name] = _selector(selector, stands_in.get(selector.name, selector.default), fields)
            fields = ""
    given = [{"name": name, **row} for name, row in rows.items()]
    for name in outputs:
        v = VARIABLES[field_of(name)]
        better = f"{v.better} is better" if v.better in ("less", "more") else ""
        allowed = ", ".join(codes.labels(v.options)) if v.options is not None else better
        given.append({"name": name, **_row("output", v.unit, "", allowed, v.meaning)})
    return pd.DataFrame(given).set_index("name")


def _row(role: str, unit: str, default: str, allowed: str, meaning: str) -> dict[str, str]:
    return {"role": role, "unit": unit, "default": default, "allowed": allowed, "meaning": meaning}


def _plain(name: str, default: Any) -> dict[str, str]:
    """The row of a plain input."""
    v = VARIABLES[name]
    shown = "required" if default is REQUIRED else "optional" if default is None else str(default)
    if v.options is not None:
        allowed = ", ".join(codes.labels(v.options))
        if default is not REQUIRED and default is not None and default != "searched":
            shown = codes.label(v.options(int(default)))
    else:
        allowed = _bounds(v)
    if isinstance(default, Usual):
        shown = default.says
    return _row("input", v.unit, shown, allowed, v.meaning + _also([name]))


def _selector(selector: Selector, default: Any, fields: str) -> dict[str, str]:
    """The row of an input that picks a row of the zoo or a number format."""
    shown = "required" if default is REQUIRED else "optional" if default is None else str(default)
    if selector.usual is not None:
        shown = selector.usual.says
    elif selector.fallback:
        shown = f"that of {selector.fallback}"
    stem, _, kind = selector.name.rpartition("_")
    if selector.name in ROWS or kind in SECOND:
        allowed, meaning = ROWS.get(selector.name) or (ROWS[kind][0], f"{SECOND[kind]} {DOES.get(stem, stem)}")
        return _row("input", "", shown, allowed, meaning + fields)
    variable = VARIABLES.get(selector.name, VARIABLES["precision"])
    if isinstance(default, int) and selector.usual is None and not selector.fallback:
        shown = codes.label(Precision(default))
    allowed = ", ".join(codes.labels(Precision)) if selector.name == "precision" else "as precision"
    return _row("input", "", shown, allowed, variable.meaning + fields)


#: options that many questions take
OPTIONS = {
    "keep": "outputs to give",
    "threads": "default every core",
    "progress": "true draws a bar; a function is told points done and points in all",
    "plan": "auto, plain or nest: how to evaluate, with the same results",
    "seed": "of what is drawn",
}


def options(defaults: Mapping[str, Any], docstring: str) -> pd.DataFrame:
    r"""One row per option of a solver; what each means is read in its docstring.

    >>> options({"unknown": None}, "Parameters\n----------\nunknown : str\n    What is looked for.\n")["meaning"].item()
    'What is looked for'
    """
    told: dict[str, str] = {}
    text = inspect.cleandoc(docstring)
    for match in re.finditer(r"^([\w, ]+) : .*\n((?:    .*\n?)+)", text, flags=re.M):
        meaning = " ".join(match[2].split()).split(". ")[0].rstrip(".")
        told |= dict.fromkeys(map(str.strip, match[1].split(",")), meaning)
    rows = []
    for name, default in defaults.items():
        also = next((about for other, about in told.items() if f"`{name}`" in about and other != name), "")
        meaning = told.get(name) or OPTIONS.get(name) or also
        shown = "optional" if default is None else str(default)
        rows.append({"name": name, **_row("option", "", shown, "", meaning)})
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
