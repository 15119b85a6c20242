"""BatchingOptimizer: how large a batch, how many replicas, for a load and a promise of latency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from mlsysim.engine import label
from mlsysim.engine.program import Program
from mlsysim.models.continuous_batching import ContinuousBatchingModel
from mlsysim.optimizers.targets import clause, take
from mlsysim.resolver import Optimizer, Resolver, Space
from mlsysim.schema.codes import Limit
from mlsysim.schema.usual import PROMPT
from mlsysim.search.best import Best
from mlsysim.search.reduce import reduce
from mlsysim.search.region import region
from mlsysim.search.target import Target, condition

TP = (1, 2, 4, 8)  #: tried unless given
MAX_BATCH = range(1, 1025)  #: tried unless given
NEXT = "slots_more"  #: the axis of the batch that was found and of the one after it
SEARCHED = ("tp", "max_batch", "replicas")
#: a target on -> what must keep it at a load, and with every request queued
KEEPS = {
    "ttft": ("ttft_at_percentile", "ttft"),
    "itl": ("itl_at_capacity", "itl"),
    "e2e_latency": ("e2e_at_percentile", "e2e_latency"),
}
#: share of what it can serve that a server is given where no target limits the wait: nearer to 1 waits grow without end
BUSY = 0.85
#: targets that the batch itself decides, whatever the load
OF_BATCH = ("itl_at_capacity",)


def _conditions(inputs: dict[str, Any], loaded: bool) -> list[Target]:
    """The targets among the inputs, each on the output that must keep it."""
    found = take(inputs, {output: kept[0 if loaded else 1] for output, kept in KEEPS.items()})
    if loaded and all(c.output in OF_BATCH for c in found):
        found.append(condition("queue_utilization", BUSY))
    return found


def batches(resolver: Resolver, inputs: dict[str, Any]) -> Space:
    """The largest safe throughput under latency targets: batch, replicas and tensor parallelism.

    Inputs are those of ContinuousBatchingModel; those below are searched where they are not given, and restricted to
    what is given where they are.

    Parameters
    ----------
    hardware, seq_len : where they are not given, H100 and prompts of 2,048 tokens (half of the positions of a model that has
        fewer than 4,096); ``attrs["assumed"]`` says so.
    arrival_rate : requests per second that come; without it every request is queued already (the maximum load).
    target_ttft, target_itl, target_e2e_latency : what must be kept; ``target_<output>`` for any other output.
        ``sla_latency`` is the same as `target_e2e_latency`.
    percentile : share of requests that must keep the targets on ttft and e2e_latency (0.99).
    tp : degree of tensor parallelism, 1, 2, 4 or 8.
    max_batch : most requests that run at once, 1 to 1,024.
    replicas : as many as the load needs.  Without a target on ttft or e2e_latency a server is given 0.85 of what it can serve
        (``target_queue_utilization`` is another share).

    Returns
    -------
    xarray.Dataset
        From `solve`: all outputs at the best configuration with `tp`, `max_batch` and `replicas` as coordinates, the
        `runner_up`, `configurations` (how many are stopped by what), and `batch_limit`: why the batch is no larger - the
        next one misses a target (sla), does not fit (memory), or gains nothing (none);
        not_found where no batch is safe.

    Notes
    -----
    The target on itl must hold with every slot taken, so it holds at any load.  The safe batch is the one that serves
    most requests per second within it; replicas are then the fewest that keep the targets on ttft and e2e_latency at the
    arrival rate.  Objective: tokens_per_s_per_device.  `pareto` without `max_batch` is the frontier of that against the
    time between tokens, over every batch at the maximum load.

    References
    ----------
    Yu et al. 2022, "Orca"; Zhong et al. 2024, "DistServe" (goodput under targets on both phases).

    Examples
    --------
    >>> import mlsysim as ms
    >>> best = ms.BatchingOptimizer.solve(model="llama3_1_70b", hardware="h100", seq_len=2048, output_len=256, tp=[4, 8],
    ...                                   arrival_rate=4, target_ttft="1 s", target_itl="50 ms")
    >>> bool(best.itl_at_capacity <= 0.05), bool(best.ttft_at_percentile <= 1.0), str(best.bottleneck.dtype)
    (True, True, 'int8')
    """
    inputs = dict(inputs)
    loaded = inputs.get("arrival_rate") is not None
    conditions = _conditions(inputs, loaded)
    inputs = {"tp": TP, **{n: v for n, v in inputs.items() if v is not None}}
    where = tuple(map(clause, conditions))
    story = {"targets": "; ".join(map(str, conditions))}
    if not loaded:
        inputs.setdefault("max_batch", MAX_BATCH)
        return Space(resolver, inputs, SEARCHED, where, ("n_accelerators",), story)
    if "max_batch" not in inputs:
        inputs["max_batch"] = _safe_batch(resolver, conditions, inputs)
    if "replicas" not in inputs:
        inputs["replicas"] = _replicas(resolver, conditions, inputs)
    return Space(resolver, inputs, SEARCHED, where, ("n_accelerators",), story)


def _safe_batch(resolver: Resolver, conditions: list[Target], inputs: Mapping[str, Any]) -> Any:
    """The batch that serves most within the targets that hold at any load, for every point but the load's."""
    of_batch = [c._replace(output=KEEPS["itl"][1]) for c in conditions if c.output in OF_BATCH]
    still = {n: v for n, v in inputs.items() if n not in ("arrival_rate", "replicas")}
    program = Program(resolver, {**still, "max_batch": MAX_BATCH})
    outer = [a for a in program.axes if a != "max_batch"]
    best = reduce(program, [Best("saturation_rate", True, outer, tuple(map(clause, of_batch)))])[0]
    return best["max_batch"].fillna(1.0).reset_coords(drop=True)


def _replicas(resolver: Resolver, conditions: list[Target], inputs: Mapping[str, Any]) -> Any:
    """The fewest replicas that keep the targets at the load."""
    of_load = [c for c in conditions if c.output not in OF_BATCH]
    found = region(resolver, "replicas", of_load, None, inputs, feasible=True)
    assert found is not None
    least = found["replicas"].where(found["side"] != 3, 1.0)  # always: one is enough
    return least.fillna(1.0).reset_coords(drop=True)


def _finish(resolver: Resolver, inputs: dict[str, Any], answer: xr.Dataset) -> xr.Dataset:
    """Why the batch is no larger."""
    inputs = {n: v for n, v in inputs.items() if v is not None}
    conditions = _conditions(inputs, "arrival_rate" in inputs)
    rest = {n: v for n, v in inputs.items() if n not in SEARCHED}
    here: dict[str, Any] = {
        n: answer[n].where(answer["found"], 1.0).reset_coords(drop=True) for n in SEARCHED if n in answer
    }
    keep = ["max_active_requests", "feasible", *(c.output for c in conditions)]
    one_more = here["max_batch"] + xr.DataArray([0.0, 1.0], dims=NEXT)
    both = resolver.solve(keep=keep, **rest, **{**here, "max_batch": one_more})
    now, more = (both.isel({NEXT: i}, missing_dims="ignore").drop_vars(NEXT, errors="ignore") for i in (0, 1))
    misses: Any = False
    for c in conditions:
        misses = misses | ~c.met(more[c.output], float(c.values))
    full = (more["max_active_requests"] <= now["max_active_requests"]) | ~more["feasible"].astype(bool)
    code = xr.where(misses, int(Limit.SLA), xr.where(full, int(Limit.MEMORY), int(Limit.NONE)))
    code = code.where(answer["found"], int(Limit.NOT_FOUND))
    about = label.attributes("batch_limit")
    return answer.assign(batch_limit=code.astype(np.int8).reset_coords(drop=True).assign_attrs(about))


BatchingOptimizer = Optimizer(
    "BatchingOptimizer",
    ContinuousBatchingModel,
    batches,
    "tokens_per_s_per_device",
    own=dict.fromkeys(("target_ttft", "target_itl", "target_e2e_latency")),
    front=(("itl",), ("tokens_per_s_per_device",)),
    finish=_finish,
    stands_in={"hardware": "h100_sxm5_80gb", "seq_len": PROMPT},
    searches=SEARCHED,
)
