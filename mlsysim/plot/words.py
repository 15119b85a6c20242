"""What pictures say: heads with units, titles from what was asked, what an answer has."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlsysim.engine.label import labelled
from mlsysim.schema import check
from mlsysim.sizes import number, quantity, scale

if TYPE_CHECKING:
    import xarray as xr

#: inputs that a title names first, in its own words
FIRST = ("model", "hardware")


class Measured(NamedTuple):
    """Numbers as they stand on an axis, and what stands beside it."""

    values: np.ndarray
    head: str
    one: float  #: base units in one of the axis
    unit: str


def dataset(ds: Any, what: str) -> None:
    """Refuse what is no Dataset."""
    if not hasattr(ds, "data_vars"):
        raise TypeError(f"{what}, not {type(ds).__name__}")


def array(ds: xr.Dataset, name: Any, argument: str = "output") -> xr.DataArray:
    """A variable of an answer by name."""
    if not isinstance(name, str):
        raise TypeError(f"{argument}={check.shown(name)}: must be the name of an output")
    if name not in ds.variables:
        raise ValueError(f"{argument}={name!r}: the answer has none{check.hint(name, map(str, ds.variables))}")
    return ds[name]


def head(name: str, unit: str) -> str:
    """A name with its unit, as it stands at an axis.

    >>> head("training_time", "days"), head("mfu", "")
    ('training time [days]', 'mfu')
    """
    return f"{name.replace('_', ' ')}{f' [{unit}]' if unit else ''}".replace("$", r"\$")


def measured(values: xr.DataArray, name: str = "") -> Measured:
    """Numbers of an answer in the unit in which one speaks of them."""
    one, unit = scale(values.values, values.attrs.get("units", "1"))
    return Measured(np.asarray(values.values, dtype=np.float64) / one, head(name or str(values.name), unit), one, unit)


def ticks(values: xr.DataArray) -> list[str]:
    """Values along an axis, as one writes them."""
    shown = labelled(values)
    if shown.dtype.kind not in "iuf":
        return [str(v) for v in shown]
    one, _ = scale(shown, values.attrs.get("units", "1"))
    return [number(v / one) for v in shown]


def feasible(ds: xr.Dataset) -> xr.DataArray | None:
    """Where an answer works; None where it does not say."""
    for name, works in (("feasible", True), ("found", True), ("limit", 0)):
        if name in ds:
            return ds[name] == works
    return None


def varying(values: xr.DataArray) -> list[str]:
    """Dims of more than one value."""
    return [str(d) for d in values.dims if values.sizes[d] > 1]


def along(values: xr.DataArray, wanted: int, what: str) -> list[str]:
    """Dims along which a picture runs, no more than it can show."""
    dims = varying(values)
    if len(dims) != wanted:
        name, some = values.name, dims[0] if dims else "tp"
        lies = f"lies along {', '.join(dims)}" if dims else "is one number"
        advice = f"; choose with ds.sel({some}=...) or ds.isel({some}=0)" if len(dims) > wanted else ""
        raise ValueError(f"{what}: {name} {lies}{advice}")
    return dims


def title(ds: xr.Dataset, what: str, but: Iterable[str] = ()) -> tuple[str, str]:
    """What was asked: the question, of which model, on which device; then resolver and inputs that the picture does not show."""
    left_out = set(but)
    fixed = {str(n): c for n, c in ds.coords.items() if not c.dims and str(n) not in left_out}
    said = [text for n in FIRST if n in fixed and (text := str(fixed[n].values))]
    first = ": ".join(part for part in (what, " on ".join(said)) if part)
    resolver = re.sub(r"(Model|Solver|Optimizer)\b", "", str(ds.attrs.get("resolver", "")))
    rest = [f"{n.replace('_', ' ')} {_written(c)}" for n, c in fixed.items() if n not in FIRST and _short(c)]
    if "precision" not in ds.coords and "precision" not in left_out:
        assumed = re.search(r"(?:^|, )precision=([\w.]+)", str(ds.attrs.get("assumed", "")))
        rest = [*rest, f"precision {assumed[1]}"] if assumed else rest
    parts = [part.replace(" ", "\N{NO-BREAK SPACE}") for part in rest]  # a name and its value stay on one line
    return first, ": ".join(part for part in (resolver.strip(), ", ".join(parts)) if part)


def _written(value: xr.DataArray) -> str:
    one = np.asarray(labelled(value)).reshape(-1)[0].item()
    unit = str(value.attrs.get("units", "1"))
    return plain_number(one) if unit == "1" and isinstance(one, (int, float)) else quantity(one, unit)


def plain_number(x: float, _: Any = None) -> str:
    """A number as it stands at a tick.

    >>> plain_number(20000.0), plain_number(0.05), plain_number(2e9)
    ('20,000', '0.05', '2e9')
    """
    if x and not 1e-4 <= abs(x) < 1e6:
        digits, power = f"{x:.3e}".split("e")
        return f"{float(digits):g}e{int(power)}"
    return f"{x:,.10g}"


def places(values: xr.DataArray, most: int) -> np.ndarray:
    """Which values along an axis get a label: all, or the round ones, or every so many."""
    shown = labelled(values)
    count = shown.size
    if count <= most:
        return np.arange(count)
    if shown.dtype.kind in "iuf":
        from matplotlib.ticker import MaxNLocator

        numbers = shown / scale(shown, values.attrs.get("units", "1"))[0]
        if np.allclose(np.diff(numbers), numbers[1] - numbers[0]):
            marks = np.asarray(
                MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(np.min(numbers), np.max(numbers)), dtype=float
            )
            found = np.flatnonzero(np.isclose(numbers[:, None], marks, rtol=1e-9).any(axis=1))
            if len(found) > 2:
                return found
    return np.arange(0, count, -(-count // most))


def _short(value: xr.DataArray) -> bool:
    """Is a coordinate short enough for a title?  (Figures of a calibration are text of some pages.)"""
    return value.dtype.kind != "O" and len(str(value.values)) <= 40


def plain(names: Sequence[str]) -> list[str]:
    """Names without the words that most of them share.

    >>> plain(["compute_time", "bubble_time", "tp_time"]), plain(["capex", "staff_cost", "electricity_cost", "rent"])
    (['compute', 'bubble', 'tp'], ['capex', 'staff', 'electricity', 'rent'])
    """
    words = [name.split("_") for name in names]
    times = {w: sum(w in other for other in words) for one in words for w in one}
    common = {w for w, n in times.items() if n > 1 and 2 * n >= len(names)}
    return [" ".join(w for w in one if w not in common) or name.replace("_", " ") for one, name in zip(words, names)]
