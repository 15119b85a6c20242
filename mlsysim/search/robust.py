"""How often an answer stays the same when what is uncertain is drawn again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from mlsysim.search.best import Best

if TYPE_CHECKING:
    from mlsysim.resolver import Resolver


def best(resolver: Resolver, reduction: Best, inputs: Mapping[str, Any], threads: int | None, plan: str) -> xr.Dataset:
    """The winner at the nominal values, with `win_share`: the share of samples in which it wins as well.

    `win_share` counts the same place along every reduced axis; ``attrs["rivals"]`` lists the most
    frequent winners of the first cell.
    """
    nominal = {**inputs, "sample": None}
    again = Best(reduction.objective, reduction.maximize, by=(*reduction.by, "sample"), where=reduction.where, ties=reduction.ties)
    winner = resolver.sweep([reduction], threads=threads, plan=plan, **nominal)[0]
    drawn = resolver.sweep([again], threads=threads, plan=plan, **inputs)[0]
    axes = [str(c) for c in winner.coords if winner[c].dims == tuple(reduction.by) and c in drawn.coords and "sample" in drawn[c].dims]
    if "sample" not in drawn.dims:  # nothing the objective depends on is uncertain
        return winner.assign(win_share=xr.ones_like(winner["found"], dtype=float))
    same: Any = drawn["found"]
    for axis in axes:
        same = same & (drawn[axis] == winner[axis])
    share = same.mean("sample").reset_coords(drop=True)
    share.attrs = {"units": "1", "long_name": "share of samples in which this configuration wins too"}
    result = winner.assign(win_share=share)
    low, high = (drawn[reduction.objective].where(same).quantile(q, "sample", skipna=True).reset_coords(drop=True) for q in (0.1, 0.9))
    about = winner[reduction.objective].attrs
    result[f"{reduction.objective}_p10"] = low.assign_attrs(about, long_name=f"10 % quantile of {reduction.objective} while it wins")
    result[f"{reduction.objective}_p90"] = high.assign_attrs(about, long_name=f"90 % quantile of {reduction.objective} while it wins")
    first = drawn if not reduction.by else drawn.isel({b: 0 for b in reduction.by if b in drawn.dims})
    names, counts = np.unique([", ".join(f"{a}={first[a].values[i]}" for a in axes) for i in range(first.sizes["sample"])], return_counts=True)
    order = np.argsort(-counts)[:5]
    result.attrs["rivals"] = "; ".join(f"{names[i]}: {counts[i] / counts.sum():.0%}" for i in order)
    result.attrs["samples"] = int(drawn.sizes["sample"])
    return result
