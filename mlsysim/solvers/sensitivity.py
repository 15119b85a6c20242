"""SensitivitySolver (wall 21): which input is worth investing in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlsysim import units
from mlsysim.engine import label
from mlsysim.engine.progress import Progress
from mlsysim.models.single_node import SingleNodeModel
from mlsysim.resolver import Resolver, Solver
from mlsysim.schema.check import check, flag, hint, mapping, names, shown
from mlsysim.schema.variables import variable_of
from mlsysim.search.elasticity import elasticity, sobol

if TYPE_CHECKING:
    import xarray as xr


def sensitivity(
    resolver: Resolver,
    *,
    output: str | None = None,
    inputs: str | Sequence[str] | None = None,
    perturbation: float = 0.1,
    perturbation_pct: float | None = None,
    maximize: bool | None = None,
    prices: Mapping[str, Any] | None = None,
    ranges: Mapping[str, tuple[Any, Any]] | None = None,
    samples: int = 1024,
    seed: int = 0,
    keep: Sequence[str] | None = None,
    threads: int | None = None,
    progress: Progress = None,
    plan: str = "auto",
    **point: Any,
) -> xr.Dataset:
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
    output = resolver.outputs[0] if output is None else _quantity(resolver, output)
    given = {**resolver.bound, **point}
    alone = {
        "inputs": inputs,
        "perturbation_pct": perturbation_pct,
        "maximize": flag("maximize", maximize),
        "prices": prices,
    }
    if ranges is not None:
        for name, value in alone.items():
            if value is not None:
                raise TypeError(
                    f"{name}={shown(value)} moves one input after the other, ranges= all of them: leave one out"
                )
        ranges = mapping("ranges", ranges, "{'mem_bandwidth': ('1 TB/s', '4 TB/s')}")
        return label.kept(sobol(resolver, output, ranges, samples, seed, given, threads, progress, plan), keep)
    if perturbation_pct is not None:
        if perturbation != 0.1:
            raise TypeError(
                f"perturbation={shown(perturbation)} and perturbation_pct={shown(perturbation_pct)} say the same: "
                "leave one of them out"
            )
        perturbation = 0.01 * units.parse(perturbation_pct, "1", "perturbation_pct")
    if prices is not None:
        prices = mapping("prices", prices, "{'mem_bandwidth': '$4 per GB/s'}")
    moved = inputs if inputs is None or isinstance(inputs, str) else names(inputs, "inputs")
    step = check("perturbation", perturbation)
    found = elasticity(resolver, output, moved, step, maximize, prices, given, threads, progress, plan)
    return label.kept(found, keep)


def _quantity(resolver: Resolver, output: Any) -> str:
    """The output that is asked about: one that is a number."""
    if not isinstance(output, str):
        raise TypeError(f"output={shown(output)}: must be the name of an output")
    variable = variable_of(output)
    if output not in resolver.outputs:
        raise ValueError(f"{resolver.name} has no output {output!r}{hint(output, resolver.outputs)}")
    if variable is not None and variable.kind in ("option", "flag"):
        kind = "a label" if variable.kind == "option" else "true or false"
        raise ValueError(f"output={shown(output)} is {kind}: an elasticity needs a quantity")
    return output


SensitivitySolver = Solver(
    "SensitivitySolver",
    sensitivity,
    SingleNodeModel,
    walls=(21,),
    outputs=("sensitivities", "sensitivities_up", "sensitivities_down", "kink", "gain", "rank", "binding_constraint"),
)
