"""The answer of an optimizer: the reductions it is made of, and how those over several design spaces are joined."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from mlsysim.engine import label
from mlsysim.schema.check import names
from mlsysim.search.best import Best, Top
from mlsysim.search.counts import Counts
from mlsysim.search.interrupted import handed

RIVALS = 8  #: how many of the best are kept to find one that differs


def several(value: Any) -> bool:
    """Is this a list of values?"""
    return (
        isinstance(value, (list, tuple, range, np.ndarray))
        and not hasattr(value, "_fields")
        and getattr(value, "ndim", 1) > 0
    )


def without(reduction: Any, apart: Sequence[str]) -> Any:
    """The same reduction, not by the names that are asked apart."""
    twin = copy.copy(reduction)
    twin.by = tuple(b for b in reduction.by if b not in apart)
    return twin


def also(reduction: Any, where: Sequence[str], ties: Sequence[str]) -> Any:
    """The same reduction under further conditions, with ties where it has none."""
    twin = copy.copy(reduction)
    twin.where = (*where, *names(reduction.where, "where")) or None
    if hasattr(twin, "ties") and not twin.ties:
        twin.ties = tuple(ties)
    return twin


def joined(parts: Sequence[xr.Dataset], name: str, values: Any) -> xr.Dataset:
    """Answers to the same question for several values of an input."""
    labels = np.asarray([getattr(v, "key", v) for v in values])
    flat = [
        part.reset_coords([c for c in part.coords if c not in part.dims]).drop_vars(name, errors="ignore")
        for part in parts
    ]
    whole = xr.concat(
        flat, dim=name, data_vars="all", coords="minimal", compat="override", join="outer", combine_attrs="override"
    )
    about = {k: v for k, v in label.attributes(name).items() if not k.startswith("flag_")}
    whole = whole.assign_coords({name: (name, labels, about)})
    if "found" in whole and whole["found"].dtype != bool:
        whole["found"] = whole["found"].fillna(False).astype(bool)
    for c in {c for part in parts for c in part.coords if c in whole and c not in whole.dims}:
        one = whole[c].isel({name: 0})
        whole[c] = one if bool((whole[c] == one).all()) else whole[c]
        whole = whole.set_coords(c)
    for key in ("points", "accepted", "layouts", "pruned"):
        if all(key in part.attrs for part in parts):
            whole.attrs[key] = sum(part.attrs[key] for part in parts)
    return whole


def ask_each(ask: Callable[[int, Any], list[xr.Dataset]], name: str, values: Any) -> list[xr.Dataset]:
    """Answers to some questions for several values of an input, asked one after another; `ask` is told number and value."""
    parts: list[list[xr.Dataset]] = []

    def so_far(last: list[xr.Dataset] | None) -> list[xr.Dataset] | None:
        answered = [*parts, last] if last else parts
        sentence = f"{len(parts)} of {len(values)} values of {name}"
        sentence += f", and of the next {last[0].attrs['partial']}" if last else ""
        return [whole.assign_attrs(partial=sentence) for whole in together(answered)] if answered else None

    def together(answered: list[list[xr.Dataset]]) -> list[xr.Dataset]:
        return [joined(answers, name, values[: len(answered)]) for answers in zip(*answered)]

    for number, value in enumerate(values):
        with handed(so_far):
            parts.append(ask(number, value))
    return together(parts)


class Rivals(Top):
    """Those next to the best: of their outputs only the objective is told."""

    def shown(self) -> Sequence[str]:
        return (self.objective,)


def reductions(objective: str, maximize: bool | None, by: Any, where: Any, ties: Any) -> list[Any]:
    """The reductions behind an answer: the best, those next to it, and what stops the others."""
    return [
        Best(objective, maximize, by, where, ties),
        Rivals(RIVALS, objective, maximize, by, where, ties),
        Counts(by, where),
    ]


def assembled(best: xr.Dataset, rivals: xr.Dataset, counts: xr.Dataset, objective: str) -> xr.Dataset:
    """The best, with the first of the others that is not its equal, and how many were stopped by what."""
    dims = best.variables["found"].dims

    def ranked(name: str) -> np.ndarray:
        return np.asarray(rivals.variables[name].transpose(*dims, "rank").values)

    key = ranked(objective)
    differs = (key != key[..., :1]) & ranked("found")
    exists, at = differs.any(axis=-1), differs.argmax(axis=-1)[..., np.newaxis]

    def second(name: str) -> tuple[tuple[Any, ...], np.ndarray, dict[str, Any]]:
        values = np.take_along_axis(ranked(name), at, axis=-1)[..., 0]
        about = {**best.variables[name].attrs, "long_name": f"{name} of the runner-up"}
        return dims, np.where(exists, values, "" if values.dtype.kind == "U" else np.nan), about

    found: dict[str, Any] = {"runner_up": second(objective)}
    settings = set(best.coords) - set(best.dims)
    for name in rivals.coords:
        if name in settings and set(rivals.variables[name].dims) == {*dims, "rank"}:
            own, figures, about = second(str(name))
            found[f"runner_up_{name}"] = own, figures, {"units": "1", **about}
    stopped = counts["configurations"].rename(limit="stopped_by")
    found["configurations"] = stopped.drop_vars([c for c in stopped.coords if c not in stopped.dims])
    return best.assign(found)
