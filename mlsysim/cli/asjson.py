"""A Dataset as strict JSON, in the layout of ``xarray.Dataset.to_dict()``.

``{"dims": {name: size}, "coords": {name: variable}, "data_vars": {name: variable}, "attrs": {...}}`` where a
variable is ``{"dims": [...], "attrs": {"units": ..., "long_name": ...}, "data": nested lists}``.  Options and
limits are their labels, NaN is null, infinities are the texts "inf" and "-inf"; `read` makes a Dataset again.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.engine.label import labelled

if TYPE_CHECKING:
    import xarray as xr


def plain(value: Any) -> Any:
    """Anything as what JSON can hold."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return plain(value.tolist())
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value if value is None or isinstance(value, (str, bool, int, float)) else str(value)


def dataset(ds: xr.Dataset) -> dict[str, Any]:
    """A Dataset as nested dictionaries and lists (see the module).

    >>> import xarray as xr
    >>> dataset(xr.Dataset({"itl": ("tp", [0.5, np.inf])}, {"tp": [1, 2]}))["data_vars"]
    {'itl': {'dims': ['tp'], 'attrs': {}, 'data': [0.5, 'inf']}}
    """

    def variable(array: xr.DataArray) -> dict[str, Any]:
        attrs = {k: v for k, v in array.attrs.items() if not str(k).startswith("flag_")}
        return {"dims": [str(d) for d in array.dims], "attrs": plain(attrs), "data": plain(labelled(array))}

    return {
        "dims": {str(k): int(v) for k, v in ds.sizes.items()},
        "coords": {str(k): variable(v) for k, v in ds.coords.items()},
        "data_vars": {str(k): variable(v) for k, v in ds.data_vars.items()},
        "attrs": plain(ds.attrs),
    }


def read(text: str) -> xr.Dataset:
    """The Dataset that `dataset` wrote."""
    import xarray as xr

    def number(value: Any) -> Any:
        if isinstance(value, list):
            return [number(v) for v in value]
        return math.nan if value is None else math.inf if value == "inf" else -math.inf if value == "-inf" else value

    found = json.loads(text)
    for part in ("coords", "data_vars"):
        for variable in found[part].values():
            variable["data"] = number(variable["data"])
    return xr.Dataset.from_dict(found)


def text(value: Any) -> str:
    """Strict JSON of a Dataset, a table, or anything that holds them."""
    return json.dumps(_deep(value), allow_nan=False, ensure_ascii=False)


def _deep(value: Any) -> Any:
    if hasattr(value, "data_vars"):
        return dataset(value)
    if hasattr(value, "iterrows"):  # a table: one object a row
        return plain(value.reset_index().to_dict(orient="records"))
    if isinstance(value, dict):
        return {str(k): _deep(v) for k, v in value.items()}
    return plain(value)
