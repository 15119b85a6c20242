"""One configuration of an answer as words to paste on a command line."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim import zoo
from mlsysim.engine.label import labelled
from mlsysim.resolver import Model

if TYPE_CHECKING:
    import xarray as xr

#: inputs that pick a row of a table
LOOKED_UP: dict[str, Callable[[Any], Any]] = {
    "model": zoo.model,
    "draft": zoo.model,
    "hardware": zoo.hardware,
    "decode_hardware": zoo.hardware,
    "fleet": zoo.system,
    "fabric": zoo.fabric,
    "assume": zoo.framework,
    "region": zoo.grid,
    "datacenter": zoo.datacenter,
}
#: coordinates that number answers and are no inputs
NUMBERS = ("point", "rank", "count")
#: coordinates of answers that are not those of one configuration
OTHER = ("sample", "quantile", "parameter")


def command(ds: xr.Dataset, place: dict[str, int]) -> str:
    """``mlsysim solve ...`` for one place of an answer.

    Parameters
    ----------
    ds : Dataset
        What ``pareto``, ``best`` or ``solve`` returns.
    place : dict
        Dim -> position.

    Returns
    -------
    str
        Inputs in base units.  Empty where no such command gives this answer: of a solver, an optimizer, a root or a draw, and
        with rows of one's own, which no command line knows.
    """
    resolver = _resolver(str(ds.attrs.get("resolver", "")))
    if not resolver or "reached" in ds or any(name in ds.coords for name in OTHER):
        return ""
    words = []
    for name, values in ds.coords.items():
        if name in NUMBERS:
            continue
        value = labelled(values.isel({d: i for d, i in place.items() if d in values.dims}))
        if value.ndim or value.dtype.kind not in "iufbU":
            return ""
        if value.dtype.kind == "U" and not _known(str(name), str(value)):
            return ""
        words.append(f"{name}={shlex.quote(_written(value[()]))}")
    return " ".join(["mlsysim", "solve", resolver, *words]) if words else ""


@functools.lru_cache(maxsize=64)
def _resolver(name: str) -> str:
    """Models by name, as one writes them: ``distributed+economics``; empty for what is no model."""
    parts = name.split(" + ")
    return "+".join(part.removesuffix("Model").lower() for part in parts) if set(parts) <= _models() else ""


@functools.cache
def _models() -> frozenset[str]:
    """Names of the models that a command line knows."""
    folder = importlib.import_module("mlsysim.models").__path__
    modules = [importlib.import_module(f"mlsysim.models.{found.name}") for found in pkgutil.iter_modules(folder)]
    return frozenset(value.name for module in modules for value in vars(module).values() if isinstance(value, Model))


@functools.lru_cache(maxsize=1024)
def _known(name: str, value: str) -> bool:
    """Does a command line understand a word?  Rows of one's own have names that it does not know."""
    look = LOOKED_UP.get(name)
    if look is None or not value:
        return bool(value)
    try:
        return look(value).key is not None
    except (ValueError, OSError):
        return False


def _written(value: Any) -> str:
    if isinstance(value, (np.bool_, bool)):
        return "true" if value else "false"
    if isinstance(value, (float, np.floating)):
        short = f"{float(value):g}"
        return short if float(short) == float(value) else repr(float(value))
    return str(value)
