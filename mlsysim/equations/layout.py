"""How a training run is laid out over its devices: degrees of parallelism, and the groups that follow from them.

Ranks are laid out tensor innermost, then context, data, pipeline.  Experts are spread over the devices that also hold
the dense layers, whatever their tensor, context and data rank.

References
----------
Shoeybi et al. 2019 (arXiv:1909.08053); Narayanan et al. 2021 (arXiv:2104.04473); Rajbhandari et al. 2020
(arXiv:1910.02054); Lepikhin et al. 2020 (arXiv:2006.16668) for experts.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations.counting import divides, floor_div
from mlsysim.equations.pipeline import most_layers
from mlsysim.equations.sharding import model_divides
from mlsysim.schema.codes import Schedule
from mlsysim.schema.records import Workload


class Layout(NamedTuple):
    """Degrees of parallelism of a run, its pipeline schedule, and the groups of devices that share something."""

    tp: Any
    cp: Any
    dp: Any
    pp: Any
    ep: Any
    expert_tp: Any  #: devices that share the matrices of one expert
    sequence_parallel: Any  #: 1 where norms are split over a tensor-parallel group of more than one
    schedule: Any
    virtual_stages: Any
    zero_stage: Any
    n_accelerators: Any
    replicas: Any  #: devices that hold the same dense weights
    expert_group: Any  #: devices over which one copy of all experts of a layer is spread
    expert_replicas: Any  #: devices that hold the same experts
    shards: Any  #: devices that share one copy of sharded states


def device_count(n_accelerators, dp, model_parallel):
    """Devices, degree of data parallelism, and whether the two agree: ``n = d x model_parallel``.

    Parameters
    ----------
    n_accelerators : n, or None where it follows from d.
    dp : d, or None where it follows from n; 1 where both are None.
    model_parallel : devices that hold one copy of the model, ``t p c``.

    Examples
    --------
    >>> count, degree, agree = device_count(768.0, None, 32.0)
    >>> float(degree), bool(agree)
    (24.0, True)
    >>> device_count(None, 4.0, 32.0)
    (128.0, 4.0, True)
    """
    if n_accelerators is None:
        dp = 1.0 if dp is None else dp
        return model_parallel * dp, dp, True
    if dp is None:
        dp = np.maximum(floor_div(n_accelerators, model_parallel), 1.0)
        return n_accelerators, dp, divides(model_parallel, n_accelerators)
    return n_accelerators, dp, n_accelerators == model_parallel * dp


def layout(
    *,
    tp,
    cp,
    dp,
    pp,
    ep,
    expert_tp,
    sequence_parallel,
    schedule,
    virtual_stages,
    zero_stage,
    n_accelerators,
    shard_size,
) -> Layout:
    """The layout of a run from its degrees of parallelism.

    Parameters
    ----------
    expert_tp : None for 1 with expert parallelism, t without.
    shard_size : devices that share one copy of sharded states; None for all that hold the same weights.

    Examples
    --------
    >>> run = layout(tp=2.0, cp=2.0, dp=8.0, pp=4.0, ep=4.0, expert_tp=None, sequence_parallel=1.0, schedule=0,
    ...              virtual_stages=1.0, zero_stage=1.0, n_accelerators=128.0, shard_size=None)
    >>> float(run.replicas), float(run.expert_group), float(run.expert_replicas)
    (16.0, 4.0, 8.0)
    """
    if expert_tp is None:
        expert_tp = np.where(ep > 1, 1.0, tp)
    replicas = dp * cp
    expert_group = ep * expert_tp
    return Layout(
        tp=tp,
        cp=cp,
        dp=dp,
        pp=pp,
        ep=ep,
        expert_tp=expert_tp,
        sequence_parallel=np.where(tp > 1, sequence_parallel, 0.0),
        schedule=schedule,
        virtual_stages=virtual_stages,
        zero_stage=zero_stage,
        n_accelerators=n_accelerators,
        replicas=replicas,
        expert_group=expert_group,
        expert_replicas=np.maximum(replicas * tp / expert_group, 1.0),
        shards=replicas if shard_size is None else np.minimum(shard_size, replicas),
    )


def layout_possible(model: Workload, layout: Layout, seq_len):
    """Can a run be laid out so: every group divides what it shares.

    Parameters
    ----------
    seq_len : tokens of a sequence; context parallelism cuts it into 2 c pieces (zig-zag).

    Notes
    -----
    Serving asks less, see `sharding.replica_possible`.  Each chunk of an interleaved schedule has at least one of the
    layers of the fullest stage.
    """
    tp, cp, pp, ep = layout.tp, layout.cp, layout.pp, layout.ep
    key_value_heads = np.maximum(model.n_kv_heads, 1.0)
    chunks_have_layers = layout.virtual_stages <= most_layers(model.n_layers, pp)
    interleaves = (layout.schedule == Schedule.ONE_F_ONE_B) & (pp > 1) & chunks_have_layers
    return (
        model_divides(model, tp, pp)
        & ((ep == 1) | (divides(ep, model.n_experts) & (model.n_experts > 0)))
        & (divides(tp, key_value_heads) | divides(key_value_heads, tp))
        & (divides(2.0 * cp, seq_len) | (cp == 1))
        & (divides(tp * cp, seq_len) | (layout.sequence_parallel == 0))
        & divides(layout.expert_group, layout.replicas * tp)
        & ((layout.virtual_stages == 1) | interleaves)
        & ((layout.schedule != Schedule.DUALPIPE) | (pp == 1) | divides(2.0, pp))
        & divides(layout.shards, layout.replicas)
    )


def least_microbatches(schedule, pp):
    """Micro-batches below which a schedule is not defined: 2 p for those without bubble and for V shapes, else 1.

    Examples
    --------
    >>> float(least_microbatches(Schedule.ZB_H1, 4.0)), float(least_microbatches(Schedule.ONE_F_ONE_B, 4.0))
    (8.0, 1.0)
    """
    zero_bubble = (schedule != Schedule.ONE_F_ONE_B) & (schedule != Schedule.GPIPE) & (pp > 1)
    return np.where(zero_bubble, 2.0 * pp, 1.0)
