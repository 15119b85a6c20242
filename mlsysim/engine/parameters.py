"""The records of a kernel: which inputs decide each, and what their rows of the zoo make of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from mlsysim import zoo
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Precision
from mlsysim.schema.records import Accelerator, Fleet, Format, Site, Workload
from mlsysim.schema.usual import Usual
from mlsysim.schema.variables import VARIABLES
from mlsysim.zoo.accelerators import usual_precision
from mlsysim.zoo.formats import PARTS, PRODUCTS

Record: TypeAlias = "type[Workload | Accelerator | Format | Fleet | Site | Assumptions]"

#: What a kernel parameter without default carries.
REQUIRED: Any = type("Required", (), {"__repr__": lambda self: "required"})()


#: plain input -> the models that take it, for one that is given to another model
TAKEN_BY: dict[str, list[str]] = {}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel: a plain input or a record."""

    name: str
    record: Record | None
    default: Any = REQUIRED


@dataclass
class Selector:
    """An input that picks rows of the zoo or an option, and so decides a record."""

    name: str
    pick: Callable[[Any], Any]
    default: Any = REQUIRED
    fallback: str = ""  #: the input that stands in when this one is not given
    usual: Usual | None = None  #: where the default follows another input


def _as_given(value: Any) -> Any:
    return value


#: the number format of a call that names none
FORMAT = Usual(Precision.BF16, "hardware", usual_precision, "bf16, or what the device computes in where it has no bf16")


#: part of a model, as a mapping given for `precision` calls it -> the input that is its number format
PART_INPUTS = {
    "default": "precision",
    "attention": "attention_precision",
    "experts": "expert_precision",
    "shared_experts": "shared_expert_precision",
    "head": "head_precision",
    "embedding": "embedding_precision",
    "cache": "kv_precision",
}


def by_part(precision: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that a mapping of parts to number formats stands for.

    >>> by_part({"default": "bf16", "experts": "mxfp4"})
    {'precision': 'bf16', 'expert_precision': 'mxfp4'}
    """
    for part in precision:
        if part not in PART_INPUTS:
            raise ValueError(f"precision: {part!r} is no part of a model: allowed are {', '.join(PART_INPUTS)}")
    return {PART_INPUTS[part]: one for part, one in precision.items()}


def _parts(names: Sequence[str]) -> list[Selector]:
    """The number formats of parts of a model."""
    return [Selector(f"{part}_precision", _as_given, None) for part in names]


def selectors(parameter: Parameter) -> list[Selector]:
    """The inputs that decide a record parameter, and with which function of the zoo."""
    record, name = parameter.record, parameter.name
    default = None if parameter.default is None else REQUIRED
    if record is Workload:
        return [Selector(name, zoo.model, default)]
    if record is Accelerator:
        stem = name.removesuffix("hardware")  # a second device has a precision of its own: decode_precision
        return [
            Selector(name, zoo.hardware, default, "hardware" if stem else ""),
            Selector(
                f"{stem}precision", _as_given, Precision.BF16, "precision" if stem else "", None if stem else FORMAT
            ),
            Selector("kv_precision", _as_given, None),
            *_parts(PRODUCTS),
        ]
    if record is Format:
        stem = name.removesuffix(
            "format"
        )  # weights of a second pool in a format of its own; the cache moves, so it has one
        return [
            Selector(
                f"{stem}precision", _as_given, Precision.BF16, "precision" if stem else "", None if stem else FORMAT
            ),
            Selector("kv_precision", _as_given, None),
            *_parts(PARTS),
        ]
    if record is Fleet:
        stem = name.removesuffix("fleet")  # a second pool, of the second device
        return [
            Selector(name, zoo.system, None, "fleet" if stem else ""),
            Selector(f"{stem}hardware", zoo.hardware, None, "hardware" if stem else ""),
            Selector("fabric", zoo.fabric, None),
        ]
    if record is Site:
        return [Selector("region", zoo.grid), Selector("datacenter", zoo.datacenter, "us_average_2023")]
    if record is Assumptions:
        return [Selector("assume", zoo.assumptions, None)]
    raise TypeError(f"{record!r} is no record of mlsysim.schema.records")


#: what holds of a record whose fields are all given by name
_PLAIN: dict[Record, dict[str, float]] = {
    Workload: {},
    Accelerator: {"widens_weights": 0.0, "on_chip_memory": 0.0, **{f"{part}_gemm_rate": 1.0 for part in PRODUCTS}},
}


def _following(record: Record, given: Mapping[str, Any]) -> dict[str, Any]:
    """What follows by rules of the zoo from fields that are all given by name."""
    if record is Workload:
        return zoo.layers.by_rule(given.get("flops_per_sample", 0.0))
    follows = {"sram_bandwidth": "mem_bandwidth", "wide_gemm_efficiency": "gemm_efficiency"}
    found = {name: given[other] for name, other in follows.items() if other in given}
    if "mem_capacity" in given:
        found["sram_capacity"] = zoo.accelerators.unknown_scratchpad(given["mem_capacity"])
    return found


def build(record: Record, rows: Sequence[Any], given: Mapping[str, Any]) -> tuple[Any, ...]:
    """One record from what its selectors picked and the fields that the user gave, numbers or arrays of them."""
    if rows[0] is None and record in (Workload, Accelerator):  # every field that matters is given by name
        return record(
            **{**dict.fromkeys(record._fields, math.nan), **_PLAIN[record], **_following(record, given), **given}
        )
    if record is Workload:
        return zoo.workload_record(rows[0], **given)
    if record is Accelerator:
        return zoo.accelerator_record(rows[0], int(rows[1]), rows[2], dict(zip(PRODUCTS, rows[3:])), **given)
    if record is Format:
        return zoo.format_record(int(rows[0]), rows[1], dict(zip(PARTS, rows[2:])), **given)
    if record is Fleet:
        return zoo.fleet_record(*rows, **given)
    if record is Site:
        return zoo.site_record(*rows, **given)
    return (rows[0] if rows[0] is not None else Assumptions())._replace(**given)


def remarks(record: Record, rows: Sequence[Any]) -> Iterator[tuple[str, str]]:
    """Row and field, and what the picks of a record mean together, where that is not a matter of the row alone."""
    if record is Accelerator and rows[0] is not None:
        wide = zoo.accelerators.widened(rows[0], Precision(int(rows[1])))
        if wide is not None:
            yield f"{rows[0].key}.peak_flops", str(wide)
        said = zoo.accelerators.one_rate(rows[0], Precision(int(rows[1])))
        if said is not None:
            yield f"{rows[0].key}.peak_flops", said


#: selector -> what may be given for it, and what it decides
ROWS: dict[str, tuple[str, str]] = {
    "model": (
        "a model of the zoo, a Workload, hf://org/name",
        "what runs; any field of it may be given by name: hidden=...",
    ),
    "draft": ("a model of the zoo", "the model that drafts tokens"),
    "hardware": (
        "a device of the zoo, a Hardware",
        "the device; any field of it may be given by name: mem_bandwidth=...",
    ),
    "fleet": (
        "a system of the zoo",
        "node and network: devices, links, ports; default the usual system of the device",
    ),
    "fabric": ("a fabric of the zoo", "the network between nodes, in place of that of the system"),
    "region": ("a grid of the zoo", "where it runs: carbon, price and water of the electricity"),
    "datacenter": ("a building of the zoo", "what the building adds: PUE, WUE"),
    "assume": (
        "Assumptions",
        "overheads, efficiencies, latencies: mlsysim schema assumptions; any may be given by name",
    ),
}


def says(name: str) -> str:
    """What a selector wants, for an error."""
    return {
        "model": "a model of the zoo, see zoo.names('models')",
        "hardware": "a device of the zoo, see zoo.names('hardware')",
        "region": "a grid of the zoo, see zoo.names('grids')",
        "draft": "a model of the zoo",
    }.get(name, VARIABLES[name].meaning if name in VARIABLES else "a row of the zoo")
