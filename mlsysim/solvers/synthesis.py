"""SynthesisSolver (wall 22): what an input must be for an output to meet its target."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import xarray as xr

from mlsysim import zoo
from mlsysim.engine import label
from mlsysim.engine.progress import Progress
from mlsysim.engine.unsaid import said_aloud
from mlsysim.models.single_node import SingleNodeModel
from mlsysim.resolver import Resolver, Solver
from mlsysim.schema.check import flag, hint, mapping, names, whole
from mlsysim.schema.records import Accelerator
from mlsysim.search.region import region
from mlsysim.search.target import condition
from mlsysim.solvers.devices import fitting_devices

#: what is asked for when no unknown is named, and what it is called in the answer
REQUIRED = {"mem_bandwidth": "required_bw", "peak_flops": "required_flops", "mem_capacity": "required_capacity"}
#: a device that is never in the way
UNLIMITED = {
    "peak_flops": 1e30,
    "mem_bandwidth": 1e30,
    "mem_capacity": 1e30,
    "sram_capacity": 1e30,
    "link_bandwidth": 1e30,
    "host_bandwidth": 1e30,
}


def synthesis(
    resolver: Resolver,
    *,
    targets: Mapping[str, Any] | None = None,
    unknown: str | Sequence[str] | None = None,
    bounds: tuple[Any, Any] | Mapping[str, tuple[Any, Any]] | None = None,
    feasible: bool | None = None,
    devices: int = 3,
    keep: Sequence[str] | None = None,
    threads: int | None = None,
    progress: Progress = None,
    plan: str = "auto",
    **point: Any,
) -> xr.Dataset:
    """The value of an input that the targets need, at every point of a grid.

    Parameters
    ----------
    resolver : Resolver
        Any model or composition; SingleNodeModel unless said.
    targets : mapping
        ``{"itl": "20 ms", "tokens_per_s": ">= 1000"}``; a list of values makes an axis.  ``target_itl="20 ms"`` says the
        same.  Without a sign the direction is that of the schema: times at most, rates at least.
    unknown : str or sequence of str
        Inputs or record fields, each solved for alone; default memory bandwidth, peak rate and memory capacity.
    bounds : (low, high), or a mapping of them by unknown
        Where to look; default the bounds of the schema.
    feasible : bool
        Must the configuration work too (fit in memory, have a valid shape)?  Default: if that depends on the unknown.
    devices : int
        How many devices of the zoo to name, those that meet all targets with least to spare first.
    keep : sequence of str
        Variables to return.
    **point
        Inputs of the resolver; lists make a grid.  Without `hardware` each figure is what an otherwise unlimited
        device would need (with the kernel curves and start times of an H100).

    Returns
    -------
    xarray.Dataset
        `required_bw`, `required_flops`, `required_capacity`, or the unknown by its name: the boundary value, on the side
        where all targets hold; NaN where there is none. ``side`` tells at_least, at_most, always or never;
        ``binding_target`` what fails first beyond it; ``nearest`` where the targets are missed by least; the outputs there.
        With several unknowns these are prefixed by the unknown.  `device` and `device_price` along `place`; where no device
        meets the targets they are empty, and `nearest_device` misses by least: `nearest_limit` is what stops it, and
        `nearest_excess` what it needs over what it may (NaN where that is no matter of amount).

    Notes
    -----
    Bisection on the doubles: the answer and its neighbour lie on the two sides of the boundary, so a root is met as
    closely as the arithmetic can.  A first look over the range finds regions that end inside it.

    References
    ----------
    Williams, Waterman, Patterson 2009: the inverse of the roofline.

    Examples
    --------
    >>> import mlsysim as ms
    >>> need = ms.SynthesisSolver.solve(ms.ServingModel, targets={"itl": "20 ms"}, unknown="mem_bandwidth",
    ...                                 model="llama3_1_70b", hardware="h100", tp=4, seq_len=2048, batch_size=[16, 32], devices=0)
    >>> need.itl.values.round(12)
    array([0.02, 0.02])
    """
    given = {**resolver.bound, **point}
    wanted = mapping("targets", targets, "{'itl': '20 ms'}")
    for name in [n for n in given if n.startswith("target_")]:
        output, value = name.removeprefix("target_"), given.pop(name)
        if output in wanted:
            raise TypeError(f"the target on {output} is given twice: targets= and {name}=")
        if value is not None:
            wanted[output] = value
    if not wanted:
        raise TypeError("SynthesisSolver needs a target: targets={'itl': '20 ms'} or target_itl='20 ms'")
    for name in wanted:
        if name not in resolver.outputs:
            raise ValueError(f"targets: {resolver.name} has no output {name!r}{hint(name, resolver.outputs)}")
    conditions = [condition(n, v) for n, v in wanted.items()]
    anyone = "hardware" not in given and "hardware" in resolver.parameters(given)
    if anyone:
        given["hardware"] = _unlimited()
    several = not isinstance(unknown, str)
    asked = list(REQUIRED) if unknown is None else list(names(unknown, "unknown"))
    if not asked:
        raise ValueError("unknown=[] is empty: name an input")
    feasible, devices = flag("feasible", feasible), whole("devices", devices, 0)
    limits = (
        mapping("bounds", bounds, "{'mem_bandwidth': ('1 TB/s', '8 TB/s')}")
        if isinstance(bounds, Mapping)
        else dict.fromkeys(asked, bounds)
    )
    if stray := [n for n in limits if n not in asked]:
        raise ValueError(f"bounds: {stray[0]!r} is none of the unknowns, {', '.join(asked)}")
    found: dict[str, xr.DataArray] = {}
    attrs: dict[str, Any] = {}
    depends = False
    for name in asked:
        answer = region(resolver, name, conditions, limits.get(name), given, feasible, unknown is None)
        if answer is None:
            continue
        depends = depends or any(n in answer for n in wanted)
        called = REQUIRED.get(name, name) if unknown is None else name
        rest = {v: f"{called}_{v}" for v in answer.data_vars if v != name} if several else {}
        answer = answer.rename({name: called, **rest})
        found |= {str(k): v for k, v in answer.data_vars.items()}
        attrs = {**answer.attrs, "unknown": ", ".join(asked)}
    if not depends:
        raise ValueError(f"{', '.join(wanted)} depends on none of {', '.join(asked)}: name the unknown, unknown=...")
    if anyone:
        device = "an otherwise unlimited device, with the kernel curves and start times of an H100"
        attrs |= said_aloud(attrs, {"hardware": device})
        found = {k: v.drop_vars("hardware", errors="ignore") for k, v in found.items()}
    ds = xr.Dataset(found, attrs=attrs)
    if devices and "hardware" in resolver.parameters(given) and all(n in Accelerator._fields for n in asked):
        fitting = fitting_devices(resolver, conditions, given, devices, threads, progress, plan)
        ds = ds.merge(fitting, compat="override", join="exact", combine_attrs="override")
    return label.kept(ds, keep)


@functools.cache
def _unlimited() -> zoo.Row:
    """A device that is never in the way; the same one in every call, so that its records are kept."""
    device = zoo.Hardware(name="unlimited", **UNLIMITED)
    device.own = ""  # of this solver, not of the user
    return device


SynthesisSolver = Solver(
    "SynthesisSolver",
    synthesis,
    SingleNodeModel,
    (*REQUIRED.values(), "device", "device_price", "nearest_device", "nearest_limit", "nearest_excess"),
    walls=(22,),
)
