"""``mlsysim solve``: every point of a grid, shown, saved or written to a store; or what an optimizer or a solver finds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim import grammar
from mlsysim.cli import asjson, crew, show, stopped
from mlsysim.cli.options import (
    By,
    Json,
    Keep,
    Maximize,
    Minimize,
    Objective,
    Out,
    Quantile,
    Resume,
    Sample,
    Scheduler,
    Seed,
    Store,
    Threads,
    Ties,
    Where,
    Words,
    Workers,
)
from mlsysim.cli.request import DRAWS, asked
from mlsysim.cli.results import FINE, amounts_of, give, near_miss, nothing, progress, say, stops
from mlsysim.engine.label import labelled

if TYPE_CHECKING:
    import xarray as xr


def solve(
    words: Words = None,
    objective: Objective = None,
    minimize: Minimize = None,
    maximize: Maximize = None,
    by: By = None,
    where: Where = None,
    ties: Ties = None,
    keep: Keep = None,
    sample: Sample = None,
    quantile: Quantile = None,
    seed: Seed = None,
    out: Out = None,
    threads: Threads = None,
    store: Store = None,
    resume: Resume = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    json: Json = False,
) -> int:
    """Every output at every point of the grid; an optimizer takes an objective, by, where and ties.

    ``solve A ... then B ...`` asks B with what A finds.
    """
    from mlsysim.resolver import Optimizer, Solver

    given = {
        "objective": objective,
        "minimize": minimize,
        "maximize": maximize,
        "by": by,
        "where": where,
        "ties": ties,
        "keep": keep,
        "sample": sample,
        "quantile": quantile,
        "seed": seed,
        "out": out,
    }
    shared = {"store": store, "resume": resume, "workers": workers, "scheduler": scheduler}
    if "then" in (words or ()):
        from mlsysim.cli.chain import chained

        if needless := [k for k, v in shared.items() if v is not None]:
            raise ValueError(f"{needless[0]}: is for one question, and not for a chain of them")
        return chained(words or (), given, threads, json)
    resolver, inputs, found = asked(words, given | shared)
    search: dict[str, Any] = {}
    if isinstance(resolver, Optimizer):
        search["objective"], search["maximize"] = grammar.objective(found, resolver.usual(inputs))
        search |= {k: v for k in ("by", "ties") if (v := grammar.listed(found[k]))}
        search["where"] = grammar.conditions(found["where"])
        if found["store"] is not None:
            raise ValueError(
                f"store={found['store']}: is for every point of a grid; {resolver.name} answers with the best"
            )
    elif needless := [k for k in given if found[k] is not None and k not in ("keep", "out", *DRAWS)]:
        raise ValueError(f"{needless[0]}: solve gives every point; mlsysim best, top and pareto search")
    if found["store"] is not None and found["out"] is not None:
        raise ValueError(f"out={found['out']}: the answer is in the store; leave one of the two out")
    drawn = grammar.draws(found)
    if "quantile" in drawn and isinstance(resolver, (Optimizer, Solver)):
        raise ValueError(f"quantile={found['quantile']}: {resolver.name} has one answer a draw; sample=64 gives them")
    if resolver.name == "SynthesisSolver" and not any(n == "targets" or n.startswith("target_") for n in inputs):
        raise ValueError("SynthesisSolver needs a target: targets=itl=20ms (several by commas), or target_itl=20ms")
    outputs = grammar.listed(found["keep"])
    beside = {"memory_per_device": "memory_utilization"}  # they tell the capacity
    wanted = [*dict.fromkeys([*outputs, *(beside[n] for n in outputs if n in beside)])] if outputs else None
    with progress() as tell, crew.client(found) as client:
        run = {"keep": wanted, "threads": threads, "progress": tell} | search | drawn | inputs
        shared = {"store": found["store"], "resume": found["resume"], "client": client}
        run |= {name: value for name, value in shared.items() if value is not None}  # a solver has none of them
        ds, stop = stopped.answer(lambda: resolver.solve(**run))
    if found["store"] is not None:
        return in_store(ds, found["store"], json)
    first = [search["objective"]] if search else []
    nearest = unfit(ds)
    if nearest and not json and not (ds["device"] != "").any():
        ds = ds.drop_vars([n for n in ("device", "device_price") if n in ds])  # empty
    give(ds, found, json, resolver.name, first, bool(search), amounts_of(resolver, inputs | drawn))
    if nearest:
        say(nearest)
    if stop:
        return stopped.code(stop)
    if "found" in ds and not bool(ds["found"].any()):
        what, why = str(search.get("objective") or resolver.name), ds if "configurations" in ds else None
        return nothing(why, what, lambda: near_miss(resolver, search.get("where"), inputs))
    if "feasible" in ds and not bool(ds["feasible"].any()):
        if "limit" not in ds:  # quantiles have none
            return nothing(None, f"in none of {ds.attrs['samples']:,} samples (without quantile= the limits are told)")
        names, numbers = np.unique(labelled(ds["limit"]), return_counts=True)
        why = stops(dict(zip(names.tolist(), numbers.tolist())))
        return nothing(None, why, lambda: near_miss(resolver, None, inputs))
    return FINE


def unfit(ds: xr.Dataset) -> str:
    """Where no device of the zoo meets the targets (SynthesisSolver): the nearest one, and by how much it misses."""
    from mlsysim.search.near import amount

    told = ("device", "nearest_device", "nearest_limit", "nearest_excess")
    if not all(name in ds for name in told):
        return ""
    names, limits, excess = (ds[name].values.reshape(-1) for name in told[1:])
    lost = np.flatnonzero(names != "")
    best = lost[np.argmin(np.nan_to_num(excess[lost], nan=np.inf))]
    where = f" at {len(lost)} of {len(names)} points" if len(names) > 1 else ""
    nearest = f"hardware={names[best]}, {amount(str(limits[best]), float(excess[best]))}"
    return f"no device meets the targets{where}; nearest: {nearest}"


def in_store(ds: xr.Dataset, path: str, json: bool) -> int:
    """Tell what a store holds, of which nothing but the feasible ones are counted."""
    points, names = math.prod(ds.sizes.values()), [str(name) for name in ds.data_vars]
    feasible = int(ds["feasible"].sum()) if "feasible" in ds else points
    if json:
        print(asjson.text({"store": path, "points": points, "feasible": feasible, "outputs": names}))
    else:
        print(
            f"{show.count(points, 'point')}, {feasible:,} of them feasible, with {', '.join(names)}, are in {path}: "
            f"xarray.open_zarr({path!r})"
        )
    return FINE if feasible else nothing(None, "no point works; `limit` in the store says why")
