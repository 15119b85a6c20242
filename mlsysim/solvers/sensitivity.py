"""SensitivitySolver (wall 21): which input is worth investing in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlsysim.models.single_node import SingleNodeModel
from mlsysim.resolver import Resolver, Solver
from mlsysim.search.elasticity import elasticity, sobol

if TYPE_CHECKING:
    import xarray as xr


def sensitivity(resolver: Resolver, *, output: str | None = None, inputs: str | Sequence[str] | None = None,
                perturbation: float = 0.1, perturbation_pct: float | None = None, maximize: bool | None = None,
                prices: Mapping[str, Any] | None = None, ranges: Mapping[str, tuple[Any, Any]] | None = None,
                samples: int = 1024, seed: int = 0, keep: Sequence[str] | None = None, threads: int | None = None,
                progress: Any = None, plan: str = "auto", **point: Any) -> xr.Dataset:
    """Elasticities d ln y / d ln x of an output with respect to inputs, at every point of a grid.

    Parameters
    ----------
    resolver : Resolver
        Any model or composition; SingleNodeModel unless said.
    output : str
        Default: the first output of the resolver.
    inputs : str or sequence of str
        Inputs, record fields or assumptions to move, or a group of those that the output depends on: ``"hardware"``
        (default: figures of devices, networks and sites), ``"rates"`` (whatever has time in its unit) or ``"assumptions"``.
        What is derived from an input moves with it; of the rates those move that follow from no other.
    perturbation : float
        Relative step, both ways; `perturbation_pct` is the same in percent.  Counts move to their next values.
    maximize : bool
        Direction of the output; default that of the schema.
    prices : mapping
        What more of an input costs: ``{"mem_bandwidth": "$4 per GB/s"}``, or USD per base unit.
    ranges : mapping
        ``{input: (low, high)}``: instead of elasticities, the share of the variance that each input explains when all
        vary over their ranges (Sobol indices, from `samples` draws with `seed`).
    keep : sequence of str
        Variables to return.
    **point
        Inputs of the resolver; lists make a grid.

    Returns
    -------
    xarray.Dataset
        Along `parameter`: `sensitivities` (central), `sensitivities_up` and `sensitivities_down` (one-sided), `kink`
        (they differ), ``<output>_low`` and ``<output>_high`` (the output at both ends), `gain` and `rank`,
        `value_per_dollar`.  At every point the output and `binding_constraint`, the input with the largest gain
        ("none": nothing alone helps).

    Notes
    -----
    Each side is seen at three distances: where they line up the slope at the point is extrapolated from them, and of a
    product of powers the exponents come out exactly; where a kink lies between, the slope over the whole step is
    returned.  With ``inputs="rates"`` the elasticities of a time, latencies counted negative, sum to -1.

    References
    ----------
    Williams, Waterman, Patterson 2009 (what binds); Saltelli et al. 2010 (variance shares).

    Examples
    --------
    >>> import mlsysim as ms
    >>> ds = ms.SensitivitySolver.solve(ms.ServingModel, output="itl", model="llama3_1_70b", hardware="h100", tp=4,
    ...                                 seq_len=2048, batch_size=[1, 512], perturbation_pct=10)
    >>> ds.binding_constraint.values
    array(['mem_bandwidth', 'mem_bandwidth'], dtype='<U20')
    """
    if perturbation_pct is not None:
        perturbation = 0.01 * perturbation_pct
    output = output or resolver.outputs[0]
    given = {**resolver.bound, **point}
    if ranges is not None:
        return _kept(sobol(resolver, output, ranges, samples, seed, given, threads, progress, plan), keep)
    return _kept(elasticity(resolver, output, inputs, perturbation, maximize, prices, given, threads, progress, plan), keep)


def _kept(ds: xr.Dataset, keep: Sequence[str] | None) -> xr.Dataset:
    return ds if keep is None else ds[[n for n in ([keep] if isinstance(keep, str) else keep) if n in ds]]


SensitivitySolver = Solver(
    "SensitivitySolver", sensitivity, SingleNodeModel, walls=(21,),
    outputs=("sensitivities", "sensitivities_up", "sensitivities_down", "kink", "gain", "rank", "binding_constraint"),
)  # fmt: skip
