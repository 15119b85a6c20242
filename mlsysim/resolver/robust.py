"""How often an answer stays the same when what is uncertain is drawn again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from mlsysim.engine.program import Program
from mlsysim.resolver.answer import ask_each, several, without
from mlsysim.resolver.luck import CANDIDATES, luck, scatter
from mlsysim.schema.check import names
from mlsysim.schema.variables import variable_of
from mlsysim.search.best import Best, Top
from mlsysim.search.interrupted import first, handed
from mlsysim.search.pareto import Drawn, Pareto
from mlsysim.search.parts import within
from mlsysim.search.reduce import Cells, accepted, require_room

if TYPE_CHECKING:
    from mlsysim.resolver.base import Resolver


class Placed(Best):
    """The best point of each cell, with its position along every reduced axis (variables ``at <axis>``)."""

    def finish(self, states: Any, program: Program, cells: Cells) -> xr.Dataset:
        result = super().finish(states, program, cells)
        index, _ = self.winning(states, cells)
        return result.assign({f"at {a}": (cells.by, index[a].reshape(cells.shape)) for a in index if a not in cells.by})


def best(resolver: Resolver, reduction: Best, inputs: Mapping[str, Any], run: Mapping[str, Any]) -> xr.Dataset:
    """The winner at the nominal values, and how it does when what is uncertain is drawn again.

    ``<objective>_expected`` is the mean of the objective at the winner's place over all samples, ``<objective>_p10`` and
    ``_p90`` their quantiles, `feasible_share` the share of samples in which it works (and meets the conditions), `win_share`
    that in which it wins as well: the same place along every reduced axis.  ``attrs["rivals"]`` lists the most frequent
    winners of the first cell.  The winner of a search is the most hopeful of many predictions:
    ``<objective>_without_luck`` is what is left of it when each prediction is off by itself (`mlsysim.resolver.luck`).
    `run` says how to sweep (threads, plan, progress, resume).
    """
    for name in getattr(resolver, "split", ()):
        values = inputs.get(name)
        if name in reduction.by and several(values):

            def ask(number: int, value: Any, name: str = name) -> list[xr.Dataset]:
                own = {**run, "resume": within(run["resume"], f"{name}-{number}")}
                return [best(resolver, without(reduction, [name]), {**inputs, name: value}, own)]

            return ask_each(ask, name, values)[0]
    nominal = {**inputs, "sample": None, "seed": None}
    objective, by = reduction.objective, reduction.by
    how = {"where": reduction.where, "ties": reduction.ties}
    again = Best(objective, reduction.maximize, by=(*by, "sample"), **how)
    _require_room(resolver.program(**inputs), again, run["threads"])
    with handed(first):
        best_of_each = Placed(objective, reduction.maximize, by=by, **how)
        once: list[Top] = [best_of_each, Top(CANDIDATES, objective, reduction.maximize, by=by, **how)]
        placed, top = resolver.sweep(once, **{**run, "resume": within(run["resume"], "nominal")}, **nominal)
    at = {str(n).removeprefix("at "): placed[n] for n in placed.data_vars if str(n).startswith("at ")}
    winner = placed.drop_vars([f"at {a}" for a in at])
    with handed(lambda _: winner.assign_attrs(partial="all points at the nominal values, not yet win_share")):
        drawn = resolver.sweep([again], **{**run, "resume": within(run["resume"], "draws")}, **inputs)[0]
    result = winner.assign(_expected(resolver, reduction, inputs, winner, at, top[objective]))
    about_share = {"units": "1", "long_name": "share of samples in which this configuration wins too"}
    if "sample" not in drawn.dims:  # nothing the objective depends on is uncertain
        return result.assign(win_share=xr.ones_like(winner["found"], dtype=float).assign_attrs(about_share))
    moves = [c for c in winner.coords if c in drawn.coords and "sample" in drawn[c].dims]
    axes = [str(c) for c in moves if winner[c].dims == winner["found"].dims]
    same: Any = drawn["found"]
    for axis in axes:
        same = same & (drawn[axis] == winner[axis])
    share = same.mean("sample").reset_coords(drop=True)
    result = result.assign(win_share=share.assign_attrs(about_share))
    cell = drawn.isel({b: 0 for b in by if b in drawn.dims})
    rivals = [", ".join(f"{a}={cell[a].values[i]}" for a in axes) for i in range(cell.sizes["sample"])]
    labels, counts = np.unique(rivals, return_counts=True)
    order = np.argsort(-counts)[:5]
    result.attrs["rivals"] = "; ".join(f"{labels[i]}: {counts[i] / counts.sum():.0%}" for i in order)
    result.attrs["samples"] = int(drawn.sizes["sample"])
    return result


def _expected(
    resolver: Resolver,
    reduction: Best,
    inputs: Mapping[str, Any],
    winner: xr.Dataset,
    at: Mapping[str, xr.DataArray],
    top: xr.DataArray,
) -> dict[str, xr.DataArray]:
    """Mean and quantiles of the objective at the winners over all samples, and how often they work.

    Parameters
    ----------
    at : positions of the winners along every reduced axis.
    top : objectives of the best of each cell, along `rank`.
    """
    asked, fixed, draws, where = _at_nominal(resolver, inputs)
    program = Program(asked, {**fixed, **draws})
    objective, dims = reduction.objective, winner["found"].dims
    works, _ = accepted(program, (*where, *names(reduction.where, "where")) or None)
    wanted = {"value": program.graph.lift(program.output(objective)), "works": works}
    samples = program.sizes.get("sample", 1)
    shape = (*winner["found"].shape, samples)
    index = {a: _along(positions.transpose(*dims).values[..., None], shape) for a, positions in at.items()}
    for axis, dim in enumerate(dims):
        places = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        index[str(dim)] = _along(places, shape)
    index["sample"] = _along(np.arange(samples), shape)
    found = program.at(wanted, {a: index[a] for a in program.axes})
    values, kept = (np.asarray(found[n]).reshape(shape) for n in ("value", "works"))
    exists, about = winner["found"].values, winner[objective].attrs
    with np.errstate(invalid="ignore"):
        low, high = np.quantile(values, (0.1, 0.9), axis=-1)
        answers = {
            f"{objective}_expected": (
                values.mean(axis=-1),
                f"mean of {objective} over the samples, at this configuration",
            ),
            f"{objective}_p10": (low, f"10 % quantile of {objective} over the samples, at this configuration"),
            f"{objective}_p90": (high, f"90 % quantile of {objective} over the samples, at this configuration"),
        }
    found_ = {
        name: xr.DataArray(np.where(exists, value, np.nan), dims=dims, attrs={**about, "long_name": meaning})
        for name, (value, meaning) in answers.items()
    }
    if "sample" in program.axes:
        points = {a: i.reshape(shape)[..., 0].reshape(-1) for a, i in index.items()}
        spreads = scatter(asked, fixed, program, objective, points)
        ranked = top.transpose(*dims, "rank").values.reshape(len(spreads), -1)
        up = _larger_is_better(reduction)
        lucky = [luck(v, float(sd), up, int(draws.get("seed", 0))) for v, sd in zip(ranked, spreads)]
        nominal = winner[objective].values * np.exp(-np.reshape(lucky, exists.shape))
        meaning = f"{objective} without the luck of the search, where each prediction is off by itself"
        found_[f"{objective}_without_luck"] = xr.DataArray(nominal, dims=dims, attrs={**about, "long_name": meaning})
    meaning = "share of samples in which this configuration works and meets the conditions"
    share = np.where(exists, kept.mean(axis=-1), np.nan)
    return found_ | {"feasible_share": xr.DataArray(share, dims=dims, attrs={"units": "1", "long_name": meaning})}


def _larger_is_better(reduction: Best) -> bool:
    """As the call or the schema says."""
    variable = variable_of(reduction.objective)
    return bool(reduction.maximize) if reduction.maximize is not None else getattr(variable, "better", "") == "more"


def _along(places: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Positions along one axis at every point of a shape, flat."""
    return np.broadcast_to(places, shape).reshape(-1)


def _at_nominal(
    resolver: Resolver, inputs: Mapping[str, Any]
) -> tuple[Resolver, dict[str, Any], dict[str, Any], tuple[str, ...]]:
    """What evaluates a configuration, the design space of the nominal values, the samples, the space's own conditions.

    An optimizer may derive settings from a prediction (a batch that keeps a target): the configuration that it proposes
    is that of the nominal values, whatever is drawn.
    """
    draws = {n: inputs[n] for n in ("sample", "seed") if inputs.get(n) is not None}
    arrange: Any = getattr(resolver, "space", None)
    space = None if arrange is None else arrange(**{**inputs, "sample": None, "seed": None})
    asked, given = (resolver, inputs) if space is None else (space.resolver, space.inputs)
    fixed = {n: v for n, v in given.items() if n not in ("sample", "seed")}
    return asked, fixed, draws, () if space is None else space.where


def _require_room(program: Program, drawn: Any, threads: int | None) -> None:
    """Ask for the room of the second pass, the larger one, before the first one runs."""
    if all(b in program.binder.axes for b in drawn.by):  # an optimizer may ask by what it searches apart
        require_room(program, [drawn], threads)


def pareto(resolver: Resolver, reduction: Pareto, inputs: Mapping[str, Any], run: Mapping[str, Any]) -> xr.Dataset:
    """The front at the nominal values, with `front_share`: the share of samples in which each point is on the front too."""
    least, most = ([n for n, up in reduction.objectives if up == want] for want in (False, True))
    again = Drawn(least, most, where=reduction.where)
    _require_room(resolver.program(**inputs), again, run["threads"])
    with handed(first):
        nominal = {**inputs, "sample": None, "seed": None}
        front = resolver.sweep([reduction], **{**run, "resume": within(run["resume"], "nominal")}, **nominal)[0]
    about_share = {"units": "1", "long_name": "share of samples in which this configuration is on the front too"}
    if "sample" not in resolver.program(**inputs).axes:
        return front.assign(front_share=("point", np.ones(front.sizes["point"]), about_share))
    with handed(lambda _: front.assign_attrs(partial="all points at the nominal values, not yet front_share")):
        drawn = resolver.sweep([again], **{**run, "resume": within(run["resume"], "draws")}, **inputs)[0]
    axes = sorted(reduction.index)
    own = list(zip(*(np.broadcast_to(reduction.index[a], front.sizes["point"]).tolist() for a in axes)))
    members = zip(*(drawn[f"at {a}"].values.tolist() for a in axes))
    often = Counter(members)  # a member stands once in each sample
    n = int(inputs["sample"])
    return front.assign(front_share=("point", np.array([often[place] for place in own]) / n, about_share)).assign_attrs(
        samples=n
    )
