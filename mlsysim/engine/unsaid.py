"""What a call did not say, and what was taken for it: defaults that follow other inputs, and all others by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from mlsysim import zoo
from mlsysim.engine.bind import Binder
from mlsysim.engine.columns import Column, Reader, column_of, few, readable
from mlsysim.engine.parameters import PART_INPUTS, REQUIRED, Parameter
from mlsysim.equations import occupancy
from mlsysim.schema import codes
from mlsysim.schema.records import Fleet
from mlsysim.schema.unsaid import assumed as sentences
from mlsysim.schema.usual import Usual
from mlsysim.schema.variables import variable_of

if TYPE_CHECKING:
    from mlsysim.engine.program import Program


def take_usual(binder: Binder) -> None:
    """Enter the defaults that follow other inputs of the call, as if they had been given."""
    for name, parameter in binder.parameters.items():
        if parameter.record is None and isinstance(parameter.default, Usual):
            _take(binder, name, parameter.default)
    for name, selector in binder.picks.items():
        if selector.usual is not None and binder.checkpoints is None:
            _take(binder, name, selector.usual)


def _take(binder: Binder, name: str, usual: Usual) -> None:
    """Enter one of them, and first what it follows."""
    if name in binder.columns:
        return
    other = binder.parameters.get(usual.follows)
    if other is not None and isinstance(other.default, Usual):
        _take(binder, other.name, other.default)
    column = binder.columns.get(usual.follows)
    if column is None and usual.follows == "hardware" and "fleet" in binder.columns:
        column = binder.from_fleet()
    if column is None:
        return
    chosen = name in binder.picks
    flat = [float(usual) if v is None else usual.rule(v) for v in column.values.reshape(-1)]
    values, dims = np.array(flat, dtype=object if chosen else np.float64).reshape(column.values.shape), column.dims
    if (values == values.flat[0]).all():
        if chosen and values.flat[0] == usual:
            return  # what the selector takes by itself
        values, dims = values.reshape(-1)[0:1].reshape(()), ()
    reader = binder.reader(name)
    labels = np.empty(values.shape, dtype=object)
    for i in np.ndindex(values.shape):
        labels[i] = reader.label(values[i], values[i])
    binder.columns[name] = Column(name, dims, values, labels)
    binder.assumed.append(name)


def standing_in(
    wanted: Mapping[str, Any], parameters: Mapping[str, Parameter], inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """What is taken for inputs that a search needs and nobody gave.

    Parameters
    ----------
    wanted : mapping
        Input -> what stands in for it: a value, or a `Usual` that follows another input.
    parameters, inputs : mapping
        Of the resolver that is asked, and of the call.

    Examples
    --------
    >>> from mlsysim.schema.records import Accelerator
    >>> standing_in({"hardware": "h100"}, {"hardware": Parameter("hardware", Accelerator)}, {"model": "llama3_1_8b"})
    {'hardware': 'h100'}
    """
    groups = inputs.get("points")
    tables = [] if groups is None else groups if isinstance(groups, (list, tuple)) else [groups]
    given = {n for n, v in inputs.items() if v is not None}
    given |= {str(n) for table in tables if hasattr(table, "keys") for n in table}
    found: dict[str, Any] = {}
    for name, value in wanted.items():
        parameter = parameters.get(name)
        if parameter is None or name in given:
            continue
        fields = parameter.record._fields if parameter.record is not None else ()
        if (name == "hardware" and "fleet" in given) or any(f in given or f"{name}.{f}" in given for f in fields):
            continue
        found[name] = _followed(value, inputs.get(value.follows)) if isinstance(value, Usual) else value
    return found


def _followed(usual: Usual, followed: Any) -> Any:
    """A default that follows models: one value, or values along the dims of the models."""
    if followed is None:
        return float(usual)
    column = column_of(Reader(usual.follows, pick=zoo.model), followed)
    values = np.array([usual.rule(row) for row in column.values.reshape(-1)]).reshape(column.values.shape)
    if (values == values.flat[0]).all():
        return float(values.flat[0])
    marks = {usual.follows: readable(column.labels)} if column.dims == (usual.follows,) else column.marks
    return xr.DataArray(values, dims=column.dims, coords={d: marks[d] for d in column.dims if d in marks})


def said_aloud(attrs: Mapping[str, Any], unsaid: Mapping[str, Any]) -> dict[str, str]:
    """The attribute of an answer that tells what was assumed, with what stood in for inputs of a search."""
    first = [f"{n}={few(v.values) if hasattr(v, 'values') else written(v)}" for n, v in unsaid.items()]
    rest = attrs.get("assumed")
    text = ", ".join([*first, *([str(rest)] if rest else [])])
    return {"assumed": text} if text else {}


def assumed(program: Program) -> str:
    """What a call rests on that it did not say: inputs with the values that were taken, and sentences where these decide much."""
    binder, resolver = program.binder, program.resolver
    values = ", ".join(f"{name}={value}" for name, value in defaults(binder).items())
    stages = [stage.name for stage in getattr(resolver, "stages", (resolver,))]
    said = [values, *sentences(stages, binder.columns, program.parameters), _rent(program)]
    return "; ".join(part for part in said if part)


def _rent(program: Program) -> str:
    """What kind of seller asks the hourly price of a device, where money is asked about and nobody gave the price."""
    sellers = dict.fromkeys(program.binder.rents.values())
    priced = any(v is not None and v.unit.startswith("USD") for v in map(variable_of, program.outputs))
    given = {"hourly_price", "hardware.hourly_price"} & set(program.binder.columns)
    return f"hourly_price is that of {' or '.join(sellers)}" if sellers and priced and not given else ""


def defaults(binder: Binder) -> dict[str, str]:
    """Every input that the call did not give and that has a default: its name, and the value that was taken, as one writes it."""
    found: dict[str, str] = {}
    plain = {n: p.default for n, p in binder.parameters.items() if p.record is None}
    picked = {n: s.default for n, s in binder.picks.items() if not s.fallback}
    for name, default in {**picked, **plain}.items():
        column = binder.columns.get(name)
        if name in binder.assumed and column is not None:
            found[name] = written(column.labels[()]) if not column.dims else few(column.labels)
        elif column is None and default is not None and default is not REQUIRED:
            found[name] = written(binder.reader(name).label(default, default))
    found.update(of_models := _of_checkpoints(binder))
    return _meant(binder) | of_models | found | _cache(binder) | _held(binder)


def _cache(binder: Binder) -> dict[str, str]:
    """The format of the cache where it comes with that of the checkpoints and nobody gave one: ``kv_precision=fp8``."""
    chosen = binder.columns.get("precision")
    given = {"kv_precision", "kv_bytes"} & set(binder.columns)
    if "kv_precision" not in binder.picks or given or chosen is None or binder.trains:
        return {}
    formats = {
        int(v): zoo.formats.CACHES.get(codes.Precision(int(v))) for v in chosen.values.reshape(-1) if v is not None
    }
    told = {
        codes.label(cache): codes.label(codes.Precision(code)) for code, cache in formats.items() if cache is not None
    }
    beside = "" if len(formats) == len(told) else f" (with {', '.join(told.values())})"
    return {"kv_precision": f"{', '.join(told)}{beside}"} if told else {}


def _meant(binder: Binder) -> dict[str, str]:
    """The rows that loose names stand for: ``model=llama3_1_70b`` where the call says llama-70b."""
    found: dict[str, str] = {}
    for name in binder.picks:
        column = binder.columns.get(name)
        if column is None or name in PART_INPUTS.values():
            continue
        keys = [getattr(row, "key", None) for row in column.values.reshape(-1)]
        loose = [str(label) != key for label, key in zip(column.labels.reshape(-1), keys) if key is not None]
        if any(loose):
            found[name] = few([str(key) for key in keys]) if column.dims else str(keys[0])
    return found


def _held(binder: Binder) -> dict[str, str]:
    """Which system is meant, with its devices, and how many of them are held, where a call asks for a fleet and says neither."""
    found: dict[str, str] = {}
    parameters, leaves = binder.parameters, binder.leaves
    if "fleet" not in parameters or "fleet.accelerators_per_node" not in leaves:
        return found
    devices = binder.columns.get("hardware")
    if "fleet" not in binder.columns and devices is not None:
        systems = [str(row["default_system"] or "a node of its own") for row in devices.values.reshape(-1)]
        found["fleet"] = few(systems) if len(set(systems)) > 1 else systems[0]
    held = parameters.get("n_accelerators")
    searched = (
        bool({"tp", "n_nodes"} & set(parameters))
        or held is None
        or held.default is not None
        or "n_accelerators" in binder.columns
    )
    if not searched:
        fleet = Fleet(**{name: leaves[f"fleet.{name}"].values for name in Fleet._fields})
        number = np.unique(occupancy.devices(fleet, None))
        which = "the whole fleet" if np.all(fleet.fleet_size > 0) else "one node"
        found["n_accelerators"] = f"{few(number) if len(number) > 1 else written(number[0])} ({which})"
    return found


def _of_checkpoints(binder: Binder) -> dict[str, str]:
    """The number formats that come with the models: ``precision=bf16, expert_precision=mxfp4``."""
    if binder.checkpoints is None:
        return {}
    rows = binder.checkpoints.values.reshape(-1)
    stated = [row.checkpoint.inputs if row.checkpoint else {} for row in rows]
    names = dict.fromkeys(n for inputs in stated for n in ("precision", *inputs))
    free = [name for name in names if name in binder.picks and name not in binder.columns]
    whole = [inputs.get("precision", binder.picks["precision"].default) for inputs in stated]
    formats = {
        name: [codes.label(codes.Precision(int(inputs.get(name, all_of)))) for inputs, all_of in zip(stated, whole)]
        for name in free
    }
    if any(len(set(labels)) > 1 for labels in formats.values()):
        return {name: few(labels) for name, labels in formats.items()}
    return {name: labels[0] for name, labels in formats.items()} | _widths(binder, rows[0].checkpoint)


def _widths(binder: Binder, checkpoint: Any) -> dict[str, str]:
    """Bytes a weight by part, where some layers of a checkpoint are wider than its formats say."""
    inputs, nbytes = checkpoint.inputs, checkpoint.nbytes
    parts = {part: inputs.get(f"{part}_precision") for part in zoo.formats.PARTS}
    weight_bytes = {"weight_bytes": nbytes["weight_bytes"]}
    plain = zoo.format_record(inputs["precision"], inputs.get("kv_precision"), parts)
    if plain.weight_bytes != nbytes["weight_bytes"]:  # parts follow it
        plain = zoo.format_record(inputs["precision"], inputs.get("kv_precision"), parts, **weight_bytes)
    else:
        weight_bytes = {}
    taken = weight_bytes | {name: n for name, n in nbytes.items() if n != getattr(plain, name)}
    return {name: written(n) for name, n in taken.items() if name not in binder.columns}


def written(value: Any) -> str:
    """A value as one writes it; a number so that it is read as the same one.

    >>> written(2048.0), written(1 / 3), written("bf16")
    ('2048', '0.3333333333333333', 'bf16')
    """
    if not isinstance(value, (float, np.floating)):
        return str(value)
    short = f"{value:.6g}"
    return short if float(short) == value else repr(float(value))
