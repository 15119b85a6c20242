"""PlacementOptimizer: where, and when, to run."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from mlsysim import zoo
from mlsysim.engine.columns import Reader, is_sequence
from mlsysim.engine.program import Program
from mlsysim.models.economics import EconomicsModel
from mlsysim.models.sustainability import SustainabilityModel
from mlsysim.resolver import Model, Optimizer, Resolver, Space, compose, kernel
from mlsysim.schema.check import shown
from mlsysim.schema.kinds import Real
from mlsysim.schema.variables import ALIASES
from mlsysim.zoo.row import known, stored

#: words of a price that nobody read at a source
UNREAD = ("not read", "estimate")
HOUR = 3600.0  #: seconds between the values of an hourly profile
SEARCHED = ("region", "datacenter", "site", "start")


class Priced(NamedTuple):
    """Output of `priced`."""

    total_cost: Real


@kernel
def priced(tco: Real, carbon: Real, carbon_price: Real | None = None) -> Priced:
    """Cost with carbon at a price, or at none: ``tco + carbon_price carbon`` (USD, kg, USD/kg)."""
    return Priced(tco if carbon_price is None else tco + carbon_price * carbon)


RunModel = compose(
    EconomicsModel, SustainabilityModel, Model("CarbonPrice", priced, domain="operations"), name="Placement"
)


def window_means(profile: xr.DataArray, duration: float) -> xr.DataArray:
    """Mean of an hourly profile over a run that starts in each hour; the profile goes on as it began.

    >>> day = xr.DataArray([1.0, 2.0, 3.0, 4.0], dims="hour")
    >>> window_means(day, 1.5 * 3600).values.round(3)
    array([1.333, 2.333, 3.333, 3.   ])
    """
    n = profile.sizes["hour"]
    values = profile.transpose("hour", ...).values.astype(np.float64)
    hours = duration / HOUR
    whole, part = math.floor(hours), hours - math.floor(hours)
    rounds, rest = divmod(whole, n)
    twice = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(np.concatenate([values, values]), axis=0)])
    begin = np.arange(n)
    total = rounds * values.sum(axis=0) + twice[begin + rest] - twice[begin] + part * values[(begin + rest) % n]
    dims = ("start", *(d for d in profile.dims if d != "hour"))
    coords = {str(d): profile.coords[d] for d in profile.dims if d != "hour" and d in profile.coords}
    at = profile.coords["hour"].values if "hour" in profile.coords else begin
    return xr.DataArray(total / hours, dims=dims, coords={**coords, "start": at}, attrs=profile.attrs)


def sites(resolver: Resolver, inputs: dict[str, Any]) -> Space:
    """Where to run a fleet for a time: the grid and the building of least carbon, cost or both.

    Inputs are those of EconomicsModel and SustainabilityModel (or of ``resolver=``, a composition with them); the
    sites below are searched.

    Parameters
    ----------
    region : candidate grids; default every country whose carbon intensity (life cycle) and price of electricity are
        known.  Each pays its own price, `electricity_price` overrides it.
    datacenter : candidate buildings; default the US average.
    duration, hardware or fleet, n_accelerators : the run.
    budget : what it may cost; dearer sites are infeasible.
    carbon_price : USD per kg (``"100 USD/t"``); then the objective is `total_cost`, else `carbon`.
    hourly_carbon : DataArray over `hour` (and `region`) of carbon intensities: when to run as well as where, along
        `start`; the mean over the run counts.

    Returns
    -------
    xarray.Dataset
        From `solve`: all outputs at the best site with the site as coordinates, the `runner_up`, and `configurations`, how
        many sites are stopped by what.

    Notes
    -----
    ``total_cost = tco + carbon_price carbon``.  `pareto` is of `tco` and `carbon` unless said.  Conditions such as
    ``where="water_onsite < 1e6"`` cap anything else.

    References
    ----------
    Patterson et al. 2022 (where to train); Dodge et al. 2022 (arXiv:2206.05229: when to train).

    Examples
    --------
    >>> import mlsysim as ms
    >>> best = ms.PlacementOptimizer.solve(hardware="h100", n_accelerators=1024, duration_days=30, compute_utilization=0.5)
    >>> str(best.region.values)
    'pry'
    """
    inputs = dict(inputs)
    profile = inputs.pop("hourly_carbon", None)
    story: dict[str, Any] = {}
    if profile is not None:
        if inputs.get("carbon_intensity") is not None:
            raise TypeError("carbon_intensity is given twice (hourly_carbon says it hour by hour)")
        if "region" in getattr(profile, "dims", ()) and "region" not in getattr(profile, "coords", ()):
            raise ValueError("hourly_carbon: its dim region has no labels: assign_coords(region=[...])")
        if not hasattr(profile, "coords") or "hour" not in profile.dims:
            raise TypeError("hourly_carbon: pass an xarray.DataArray with a dim hour (and region, where it differs)")
        means = window_means(profile, _duration(inputs))
        inputs["carbon_intensity"] = means
        if "region" in profile.dims and inputs.get("region") is None:
            inputs["region"] = [str(r) for r in profile.coords["region"].values]
    if inputs.get("region") is None and "site" not in inputs and "points" not in inputs:
        alike = {"kind": "country", "carbon_class": "life_cycle"}  # carbon figures that can be compared
        names = [k for k in zoo.names("grids") if all(zoo.grid(k)[c] == v for c, v in alike.items())]
        program = Program(resolver, {**inputs, "region": names})
        known = program.known_along("region", [n for n in ("tco", "carbon") if n in program.outputs])
        inputs["region"] = [n for n, k in zip(names, known) if k]
        story["candidates"] = (
            f"{len(inputs['region'])} countries whose carbon intensity and electricity price are known; "
            f"{prices(inputs['region'])}"
        )
    elif inputs.get("electricity_price") is None and (named := _names(inputs.get("region"))):
        story["prices"] = prices(named)
    return Space(resolver, inputs, SEARCHED, ties=("tco",), story=story)


def prices(regions: list[str]) -> str:
    """How many places have a price of electricity of their own, and how many another's.

    >>> prices(["usa", "fra", "us-central1"])
    'price of electricity: 2 of their own, 1 of the state, country or union around them'
    """
    rows = [zoo.grid(name) for name in regions]
    around = sum("electricity_price" in row.derived for row in rows)
    own = sum(known(stored(row, "electricity_price")) for row in rows)
    unread = sum(any(w in str(row["price_basis"] or "") for w in UNREAD) for row in rows)
    said = [f"{own} of their own" + (f" ({unread} of these not read at a source)" if unread else "")]
    if around:
        said.append(f"{around} of the state, country or union around them")
    if len(rows) - own - around:
        said.append(f"{len(rows) - own - around} unknown")
    return f"price of electricity: {', '.join(said)}"


def _names(regions: Any) -> list[str]:
    """Regions of a call that are given by name."""
    listed = [regions] if isinstance(regions, str) else list(regions) if is_sequence(regions) else []
    return [str(name) for name in listed if isinstance(name, str)]


def _duration(inputs: dict[str, Any]) -> float:
    """The length of the run, which an hourly profile needs as one number."""
    for name in ("duration", *(a for a, (canonical, _) in ALIASES.items() if canonical == "duration")):
        if name in inputs:
            factor = ALIASES[name][1] if name in ALIASES else 1.0
            value = inputs[name]
            if not is_sequence(value) and not hasattr(value, "dims"):
                length = Reader("duration", factor).one(value)
                if length > 0:
                    return length
                raise ValueError(f"{name}={shown(value)}: hourly_carbon needs a run that takes some time")
    raise TypeError('hourly_carbon needs the duration of the run as one number: duration="30 days"')


def _objective(inputs: Any) -> str:
    return "total_cost" if inputs.get("carbon_price") is not None else "carbon"


PlacementOptimizer = Optimizer(
    "PlacementOptimizer",
    RunModel,
    sites,
    _objective,
    own={"hourly_carbon": None},
    front=(("tco", "carbon"), ()),
    searches=("region",),
)
