"""On which assumptions a figure of an answer rests: those that move it by more than a hundredth of what they move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from mlsysim import zoo
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.check import hint, shown
from mlsysim.schema.variables import variable_of
from mlsysim.search.elasticity import elasticity
from mlsysim.stored.known import resolver_of
from mlsysim.stored.point import config

ABOVE = 0.01  #: elasticity from which on an assumption is told
STEP = 0.01  #: by how much each is moved, both ways


def rests_on(ds: xr.Dataset, output: str, i: int | None = None, above: float = ABOVE, **labels: Any) -> pd.DataFrame:
    """The assumptions on which an output of one configuration rests, the strongest first.

    Parameters
    ----------
    output : str
        A quantity among the outputs of the resolver.
    i, labels
        Which configuration (see `mlsysim.stored.point.config`).
    above : float
        Elasticity, d ln output / d ln assumption, of either sign, from which on an assumption is listed.

    Returns
    -------
    pandas.DataFrame
        Index `assumption`; columns elasticity, value, unit, spread (one standard deviation, relative), meaning, source.

    Raises
    ------
    ValueError
        No such output, an output that is no quantity, or an answer of a resolver of the user's own.
    """
    resolver = resolver_of(ds)
    if resolver is None:
        raise ValueError(
            f"{ds.attrs.get('resolver', 'the resolver')} is of your own: ask SensitivitySolver with it, "
            'inputs="assumptions"'
        )
    variable = variable_of(output)
    if output not in resolver.outputs or variable is None:
        raise ValueError(
            f"output={shown(output)}: {resolver.name} has no such output{hint(str(output), resolver.outputs)}"
        )
    if variable.kind in ("option", "flag"):
        raise ValueError(f"output={shown(output)}: is no quantity")
    point = {**resolver.bound, **config(ds, i, **labels)}
    try:
        found = elasticity(resolver, output, "assumptions", STEP, None, None, point, None, None, "auto")
    except ValueError as error:
        if "depends on no" not in str(error):
            raise
        return _table([], np.zeros(0), point)
    slopes = np.asarray(found["sensitivities"].values, dtype=np.float64).reshape(-1)
    names = [str(name).rpartition(".")[2] for name in found["parameter"].values.tolist()]
    strong = [k for k in np.argsort(-np.abs(np.nan_to_num(slopes)), kind="stable") if abs(slopes[k]) > above]
    return _table([names[k] for k in strong], slopes[strong], point)


def _table(names: list[str], slopes: np.ndarray, point: Mapping[str, Any]) -> pd.DataFrame:
    rows = [Assumptions._field_defaults[name] for name in names]
    now = zoo.assumptions(point["assume"]) if "assume" in point else Assumptions()
    columns = {
        "elasticity": slopes,
        "value": [float(point.get(name, getattr(now, name))) for name in names],
        **{word: [getattr(row, word) for row in rows] for word in ("unit", "spread", "meaning", "source")},
    }
    return pd.DataFrame(columns, index=pd.Index(names, name="assumption"))
