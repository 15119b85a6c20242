"""How often an answer stays the same when what is uncertain is drawn again."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import xarray as xr

from mlsysim.engine.program import Program
from mlsysim.search.best import Best
from mlsysim.search.interrupted import first, handed
from mlsysim.search.pareto import Drawn, Pareto
from mlsysim.search.parts import within
from mlsysim.search.reduce import require_room

Sweep = Callable[..., list[xr.Dataset]]  #: `Resolver.sweep`
Recorded = Callable[..., Program]  #: `Resolver.program`


def best(
    sweep: Sweep, recorded: Recorded, reduction: Best, inputs: Mapping[str, Any], run: Mapping[str, Any]
) -> xr.Dataset:
    """The winner at the nominal values, with `win_share`: the share of samples in which it wins as well.

    `win_share` counts the same place along every reduced axis; ``attrs["rivals"]`` lists the most
    frequent winners of the first cell.  `run` says how to sweep (threads, plan, progress, resume).
    """
    nominal = {**inputs, "sample": None, "seed": None}
    objective, by = reduction.objective, reduction.by
    again = Best(objective, reduction.maximize, by=(*by, "sample"), where=reduction.where, ties=reduction.ties)
    _require_room(recorded(**inputs), again, run["threads"])
    with handed(first):
        winner = sweep([reduction], **{**run, "resume": within(run["resume"], "nominal")}, **nominal)[0]
    with handed(lambda _: winner.assign_attrs(partial="all points at the nominal values, not yet win_share")):
        drawn = sweep([again], **{**run, "resume": within(run["resume"], "draws")}, **inputs)[0]
    moves = [c for c in winner.coords if c in drawn.coords and "sample" in drawn[c].dims]
    axes = [str(c) for c in moves if winner[c].dims == tuple(by)]
    if "sample" not in drawn.dims:  # nothing the objective depends on is uncertain
        return winner.assign(win_share=xr.ones_like(winner["found"], dtype=float))
    same: Any = drawn["found"]
    for axis in axes:
        same = same & (drawn[axis] == winner[axis])
    share = same.mean("sample").reset_coords(drop=True)
    share.attrs = {"units": "1", "long_name": "share of samples in which this configuration wins too"}
    result = winner.assign(win_share=share)
    about = winner[objective].attrs
    for level in (10, 90):
        with warnings.catch_warnings():  # where it never wins there is no quantile
            warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)
            quantile = drawn[objective].where(same).quantile(level / 100, "sample", skipna=True).reset_coords(drop=True)
        meaning = f"{level} % quantile of {objective} while it wins"
        result[f"{objective}_p{level}"] = quantile.assign_attrs(about, long_name=meaning)
    cell = drawn.isel({b: 0 for b in by if b in drawn.dims})
    rivals = [", ".join(f"{a}={cell[a].values[i]}" for a in axes) for i in range(cell.sizes["sample"])]
    names, counts = np.unique(rivals, return_counts=True)
    order = np.argsort(-counts)[:5]
    result.attrs["rivals"] = "; ".join(f"{names[i]}: {counts[i] / counts.sum():.0%}" for i in order)
    result.attrs["samples"] = int(drawn.sizes["sample"])
    return result


def _require_room(program: Program, drawn: Any, threads: int | None) -> None:
    """Ask for the room of the second pass, the larger one, before the first one runs."""
    if all(b in program.binder.axes for b in drawn.by):  # an optimizer may ask by what it searches apart
        require_room(program, [drawn], threads)


def pareto(
    sweep: Sweep, recorded: Recorded, reduction: Pareto, inputs: Mapping[str, Any], run: Mapping[str, Any]
) -> xr.Dataset:
    """The front at the nominal values, with `front_share`: the share of samples in which each point is on the front too."""
    least, most = ([n for n, up in reduction.objectives if up == want] for want in (False, True))
    again = Drawn(least, most, where=reduction.where)
    _require_room(recorded(**inputs), again, run["threads"])
    with handed(first):
        nominal = {**inputs, "sample": None, "seed": None}
        front = sweep([reduction], **{**run, "resume": within(run["resume"], "nominal")}, **nominal)[0]
    about_share = {"units": "1", "long_name": "share of samples in which this configuration is on the front too"}
    if "sample" not in recorded(**inputs).axes:
        return front.assign(front_share=("point", np.ones(front.sizes["point"]), about_share))
    with handed(lambda _: front.assign_attrs(partial="all points at the nominal values, not yet front_share")):
        drawn = sweep([again], **{**run, "resume": within(run["resume"], "draws")}, **inputs)[0]
    axes = sorted(reduction.index)
    own = list(zip(*(np.broadcast_to(reduction.index[a], front.sizes["point"]).tolist() for a in axes)))
    members = zip(*(drawn[f"at {a}"].values.tolist() for a in axes))
    often = Counter(members)  # a member stands once in each sample
    n = int(inputs["sample"])
    return front.assign(front_share=("point", np.array([often[place] for place in own]) / n, about_share)).assign_attrs(
        samples=n
    )
