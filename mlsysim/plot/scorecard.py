"""A scorecard: which conditions one configuration meets."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlsysim.engine.label import labelled
from mlsysim.plot import canvas
from mlsysim.plot.words import array, dataset
from mlsysim.schema import check
from mlsysim.schema.variables import variable_of
from mlsysim.sizes import quantity

if TYPE_CHECKING:
    import xarray as xr

_COMPARE = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(r"\s*([A-Za-z_][\w.]*)\s*(<=|>=|==|!=|<|>)\s*(.+?)\s*$")
PASS, FAIL = "PASS", "FAIL"


class Score(NamedTuple):
    """A condition that was held against a configuration."""

    name: str
    condition: str
    value: str
    met: bool


def scorecard(ds: xr.Dataset, conditions: Sequence[str] | Mapping[str, str], ax: Any = None) -> Any:
    """Draw which conditions one configuration meets.

    Parameters
    ----------
    ds : Dataset
        One point: of ``solve`` or ``best``, or chosen with ``ds.sel``.
    conditions : sequence of str, or mapping of a name to each
        ``"mfu >= 0.4"``, ``"itl < 20 ms"``, ``"bottleneck == compute"``.  That the configuration works is always the first.
    ax : matplotlib Axes, optional

    Returns
    -------
    Axes
        A table: name, what is asked, what it is, PASS or FAIL.

    Raises
    ------
    ValueError
        More than one point, a name that the answer does not have, or text that is no condition.
    ImportError
        matplotlib is not installed.
    """
    canvas.matplotlib()
    scores = judged(ds, conditions)
    height = 0.75 + 0.32 * len(scores)
    ax = canvas.axes(ax, size=(6.4, max(height, 1.6)))
    ax.set(xlim=(0, 1), ylim=(len(scores), -1))
    ax.set_axis_off()
    columns = (0.0, 0.34, 0.60, 0.88)
    for x, text in zip(columns, ("", "asked", "found", "")):
        ax.text(x, -0.5, text, fontsize=8, color="dimgray", va="center")
    for row, score in enumerate(scores):
        colour = canvas.PALETTE[2] if score.met else canvas.PALETTE[5]
        ax.axhline(row, color="0.85", lw=0.8)
        cells = (score.name, score.condition, score.value, PASS if score.met else FAIL)
        for x, text in zip(columns, cells):
            last = x == columns[-1]
            ax.text(
                x + (0.06 if last else 0.0),
                row + 0.5,
                text.replace("$", r"\$"),
                fontsize=9,
                va="center",
                ha="center" if last else "left",
                color="white" if last else "black",
                fontweight="bold" if last else "normal",
                bbox={"boxstyle": "round,pad=0.3", "facecolor": colour, "edgecolor": "none"} if last else None,
            )
    met = sum(score.met for score in scores)
    canvas.name_it(ax, ds, f"{met} of {len(scores)} conditions met")
    return ax


def judged(ds: xr.Dataset, conditions: Sequence[str] | Mapping[str, str]) -> list[Score]:
    """Hold conditions against one configuration (see `scorecard`)."""
    dataset(ds, "a scorecard is of a Dataset, as solve gives it")
    if isinstance(conditions, str):
        conditions = [conditions]
    named = dict(conditions) if isinstance(conditions, Mapping) else {str(i): c for i, c in enumerate(conditions)}
    found = []
    if "feasible" in ds:
        works = bool(_only(ds["feasible"]))
        limit = "" if works or "limit" not in ds else f": {_only(ds['limit'])}"
        found.append(Score("feasible", "it works", "yes" if works else f"no{limit}", works))
    for name, text in named.items():
        found.append(_score(ds, name if isinstance(conditions, Mapping) else "", text))
    return found


def _score(ds: xr.Dataset, name: str, text: Any) -> Score:
    form = _FORM.match(text) if isinstance(text, str) else None
    if form is None:
        raise ValueError(
            f"conditions: {check.shown(text)} is no condition; write for example 'mfu >= 0.4' or 'itl < 20 ms'"
        )
    what, sign, asked = form.groups()
    values = array(ds, what, "conditions")
    value, unit = _only(values), str(values.attrs.get("units", "1"))
    asked = asked.strip("'\"")
    variable = variable_of(what)
    if isinstance(value, str):
        if sign not in ("==", "!="):
            raise ValueError(f"conditions: {text!r} compares words; use == or !=")
        met = _COMPARE[sign](value, asked)
        return Score(name or what.replace("_", " "), f"{sign} {asked}", value, bool(met))
    number = check.check(variable.name, _number(asked), wanted=True) if variable is not None else float(asked)
    with np.errstate(invalid="ignore"):
        met = bool(_COMPARE[sign](float(value), number))
    return Score(name or what.replace("_", " "), f"{sign} {quantity(number, unit)}", quantity(float(value), unit), met)


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _only(values: xr.DataArray) -> Any:
    """The one value of a variable, its label where it is an option."""
    if values.size != 1:
        dims = [str(d) for d in values.dims if values.sizes[d] > 1]
        raise ValueError(
            f"a scorecard is of one point: {values.name} lies along {', '.join(dims)}; choose with ds.sel({dims[0]}=...)"
        )
    return np.asarray(labelled(values)).reshape(-1)[0].item()
