"""DisaggregationOptimizer: how many replicas that prefill and that decode, on what, and how laid out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from mlsysim import zoo
from mlsysim.engine import label
from mlsysim.engine.bind import Binder
from mlsysim.engine.columns import Reader, column_of, is_sequence
from mlsysim.models.continuous_batching import ContinuousBatchingModel
from mlsysim.models.disaggregated_serving import DisaggregatedServingModel
from mlsysim.optimizers.batching import BatchingOptimizer
from mlsysim.optimizers.targets import clause, take
from mlsysim.resolver import Optimizer, Resolver, Space
from mlsysim.schema.usual import PROMPT
from mlsysim.search import Best

TP = (1, 2, 4, 8)  #: degrees of tensor parallelism tried unless given
EP = (1, 8)  #: degrees of expert parallelism tried unless given, of models with experts
REPLICAS = range(1, 17)  #: of either pool, tried unless given
#: requests that decode in a replica, tried unless given: a quarter more from one to the next
DECODE_BATCH = tuple(sorted({round(1.25**n) for n in range(32)}))
SEARCHED = (
    *("hardware", "decode_hardware", "tp", "pp", "ep", "decode_tp", "decode_pp", "decode_ep"),
    *("prefill_replicas", "decode_replicas", "decode_batch", "max_batch", "precision", "decode_precision"),
)
#: a target on -> what must keep it
KEEPS = {"ttft": "ttft_at_percentile"}
#: slots beyond the mean number of requests that decode, in standard deviations of a Poisson number
SPARE = 4.0
#: inputs of a cluster that mean something else of one server, or that a server at its maximum load lacks
OF_CLUSTERS = ("arrival_rate", "users", "think_time", "requests_per_user")
#: targets that an aggregated server has, too
OF_BOTH = ("target_ttft", "target_itl", "target_e2e_latency")
AGGREGATED = "aggregated_tokens_per_s_per_device"


def clusters(resolver: Resolver, inputs: dict[str, Any]) -> Space:
    """The cluster of prefill and decode replicas that serves most per device under latency targets: how many of each, of what.

    Inputs are those of DisaggregatedServingModel; those below are searched where they are not given, and restricted to what
    is given where they are.

    Parameters
    ----------
    hardware, decode_hardware : devices of both pools, one or several of each; where `hardware` is not given, H100, and
        where `decode_hardware` is not, the same device for both.
    seq_len : where it is not given, prompts of 2,048 tokens (half of the positions of a model that has fewer than 4,096).
    target_ttft, target_itl, target_e2e_latency : what must be kept; ``target_<output>`` for any other output.
    percentile : share of requests that must keep the target on ttft (0.99).
    tp, decode_tp : degrees of tensor parallelism, 1, 2, 4 or 8.
    ep, decode_ep : degrees of expert parallelism, 1 or 8, of models with experts.
    prefill_replicas, decode_replicas : replicas of each pool, 1 to 16.
    decode_batch : requests that decode in a replica, 1 to 1,012 in steps of a quarter: they set the rate of requests.
    arrival_rate : requests per second that come; then `decode_batch` follows, and the objective is the number of devices.
    max_batch : slots of a decode replica; four standard deviations above `decode_batch`, or 1,024 with `arrival_rate`.

    Returns
    -------
    xarray.Dataset
        From `solve`: all outputs at the best cluster with what was searched as coordinates, the `runner_up`, `configurations`
        (how many are stopped by what), and `aggregated_tokens_per_s_per_device`: what BatchingOptimizer finds for servers that
        do both on one of the same devices, with the same targets, at their maximum load; NaN where none keeps them.

    Notes
    -----
    Objective: tokens_per_s_per_device, or any other output (``usd_per_mtok``, ``joule_per_mtok``);
    ``where="n_accelerators <= 72"`` keeps a cluster within a rack.  `pareto` is the front of tokens_per_s_per_user
    (interactivity) against tokens_per_s_per_device.  Steps of either pool depend on its own device, degrees and batch only, so
    that millions of clusters cost as much as some thousand steps and a queue each.

    References
    ----------
    Zhong et al. 2024, "DistServe" (arXiv:2401.09670); Mitra et al. 2025, "Beyond the Buzz" (arXiv:2506.05508).

    Examples
    --------
    >>> import mlsysim as ms
    >>> best = ms.DisaggregationOptimizer.solve(model="llama3_1_70b", hardware="h100", seq_len=2048, output_len=256,
    ...     tp=[4, 8], decode_tp=[4, 8], decode_batch=[8, 16, 32], decode_replicas=[1, 2, 3, 4], prefill_replicas=[1, 2, 4, 8],
    ...     target_ttft="2 s", target_itl="25 ms")
    >>> bool(best.itl <= 0.025), bool(best.ttft_at_percentile <= 2.0)
    (True, True)
    """
    inputs = {n: v for n, v in inputs.items() if v is not None}
    where = take(inputs, KEEPS)
    degrees = {"tp": TP, "decode_tp": TP, **({"ep": EP, "decode_ep": EP} if _with_experts(inputs) else {})}
    inputs = {**degrees, "prefill_replicas": REPLICAS, "decode_replicas": REPLICAS, **inputs}
    if "arrival_rate" in inputs:
        inputs = {"max_batch": 1024, **inputs}
    else:
        inputs.setdefault("decode_batch", DECODE_BATCH)
        inputs.setdefault("max_batch", _slots(inputs["decode_batch"]))
    story = {"targets": "; ".join(map(str, where))}
    return Space(resolver, inputs, SEARCHED, tuple(map(clause, where)), ("n_accelerators",), story)


def _with_experts(inputs: Mapping[str, Any]) -> bool:
    """Has any of the models experts?"""
    model = inputs.get("model")
    if model is None:
        return False
    return any(bool(row["n_experts"]) for row in column_of(Reader("model", pick=zoo.model), model).values.reshape(-1))


def _slots(batch: Any) -> Any:
    """Slots that so many requests, a Poisson number, hardly ever fill; along the axis of their mean number."""
    mean = column_of(Reader("decode_batch"), batch)
    values = mean.values.astype(np.float64)
    slots = np.ceil(values + SPARE * np.sqrt(values))
    return xr.DataArray(slots, dims=mean.dims, coords={d: mean.marks[d] for d in mean.dims if d in mean.marks})


def _objective(inputs: Mapping[str, Any]) -> str:
    """Fewest devices for a load, else most tokens per device."""
    return "n_accelerators" if inputs.get("arrival_rate") is not None else "tokens_per_s_per_device"


def _finish(resolver: Resolver, inputs: dict[str, Any], answer: xr.Dataset) -> xr.Dataset:
    """What servers that do both on one of the same devices reach with the same targets, every request queued."""
    given = {n: v for n, v in inputs.items() if v is not None}
    if "points" in given or "fleet" in given:  # which devices are meant, stands in no list of them
        return answer
    known = Binder(ContinuousBatchingModel.parameters(), BatchingOptimizer.name).spellings
    asked = {n: v for n, v in given.items() if n in known and n not in (*SEARCHED, *OF_CLUSTERS)}
    asked |= {n: given[n] for n in OF_BOTH if n in given}
    devices = list(dict.fromkeys(d for n in ("hardware", "decode_hardware") for d in _listed(given.get(n))))
    degrees = {n: given[n] for n in ("tp", "ep", "precision") if n in given}
    if _with_experts(given):
        degrees.setdefault("ep", EP)
    outer = [str(d) for d in answer["found"].dims if d not in OF_CLUSTERS]
    best = Best("tokens_per_s_per_device", by=outer)
    (found,) = BatchingOptimizer.sweep([best], **asked, hardware=devices, **degrees)
    most = found["tokens_per_s_per_device"].where(found["found"]).reset_coords(drop=True)
    return answer.assign(aggregated_tokens_per_s_per_device=most.assign_attrs(label.attributes(AGGREGATED)))


def _listed(value: Any) -> list[Any]:
    """One, several or no values, as a list."""
    values = getattr(value, "values", value)
    if values is None:
        return []
    return (
        list(np.ravel(values)) if isinstance(values, np.ndarray) else list(values) if is_sequence(values) else [values]
    )


DisaggregationOptimizer = Optimizer(
    "DisaggregationOptimizer",
    DisaggregatedServingModel,
    clusters,
    _objective,
    own=dict.fromkeys(("target_ttft", "target_itl", "target_e2e_latency")),
    front=((), ("tokens_per_s_per_user", "tokens_per_s_per_device")),
    finish=_finish,
    stands_in={"hardware": "h100_sxm5_80gb", "seq_len": PROMPT},
)
