"""CheckpointModel (wall 19): size of a checkpoint, time to write it, and what it costs."""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture
from mlsysim.equations import reliability as failures
from mlsysim.equations.occupancy import devices, fits_fleet
from mlsysim.equations.selection import choose, first_failing
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Bottleneck, Limit, Optimizer, PenaltyBasis
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload


class Checkpoint(NamedTuple):
    """Outputs of CheckpointModel."""

    checkpoint_size: Real
    checkpoint_weights: Real
    checkpoint_master_weights: Real
    checkpoint_moments: Real
    write_bandwidth: Real
    checkpoint_write_time: Real
    checkpoint_blocking_time: Real
    restore_time: Real
    optimal_interval: Real
    effective_interval: Real
    required_bandwidth: Real
    snapshot_memory: Real
    mfu_penalty: Real
    feasible: Flag
    limit: Code
    bottleneck: Code


@kernel
def checkpoint(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    n_accelerators=None,
    optimizer=Optimizer.ADAM,
    sharded=1.0,
    writers=None,
    asynchronous=0.0,
    checkpoint_interval=None,
    penalty_basis=PenaltyBasis.CYCLE,
) -> Checkpoint:
    """Write the state of a training to storage every so often.

    Parameters
    ----------
    model, format : parameters and bytes per working weight.
    hardware : link to the host, for the snapshot of an asynchronous checkpoint.
    fleet : accelerators per node, host memory; default `n_accelerators` is the whole fleet, or one node.
    optimizer : adam, adam_8bit, sgd_momentum, sgd.
    sharded : every node writes its part; otherwise one node writes all.
    writers : nodes that write at the same time, if not all of them.
    asynchronous : training stops only for the copy to host memory.
    checkpoint_interval : work between checkpoints (s); default the optimum for the failure rate of the job
        (ReliabilityModel).
    penalty_basis : cycle, or interval for the hand calculation ``write / interval``.

    Returns
    -------
    Checkpoint
        Sizes in byte, times in s.  `mfu_penalty` is ``write / (interval + write)``, the share of the time in which
        checkpoints stop the job, or ``write / interval`` (`penalty_basis`), which may exceed 1.

    Notes
    -----
    Mixed-precision Adam: 2 (weight) + 4 (fp32 copy) + 8 (moments) = 14 byte per parameter; gradients are not
    saved. Written at ``min(checkpoint_bandwidth, writers x writer_bandwidth)``; the snapshot passes the host
    link at ``host_link_efficiency`` of its rate.  Infeasible by memory if the snapshot does not fit in host
    memory, by saturation if a write takes longer than the interval or leaves no time for work (an interval of 0).

    References
    ----------
    Eisenman et al. 2022, "Check-N-Run" (NSDI); Rajbhandari et al. 2020 (arXiv:1910.02054) for bytes per
    parameter.
    """
    n_accelerators = devices(fleet, n_accelerators)
    params = architecture.counted_params(model)
    working = format.parameter_bytes
    copy = assume.master_weight_bytes
    moments = choose(
        optimizer, np.maximum(assume.optimizer_bytes - copy, 0.0), assume.adam_8bit_bytes, assume.momentum_bytes, 0.0
    )
    weights = failures.checkpoint_bytes(params, working)
    master = failures.checkpoint_bytes(params, np.where(working < copy, copy, 0.0))
    moment_bytes = failures.checkpoint_bytes(params, moments)
    size = weights + master + moment_bytes

    split = sharded != 0
    n_nodes = failures.nodes(fleet, n_accelerators)
    if writers is None:
        writers = np.where(split, n_nodes, 1.0)
    path = writers * assume.writer_bandwidth
    bandwidth = np.minimum(assume.checkpoint_bandwidth, path)
    write_time = size / bandwidth
    per_node = size / np.where(split, n_nodes, 1.0)
    per_device = size / np.where(split, n_accelerators, 1.0)
    copy_time = per_device / (hardware.host_bandwidth * assume.host_link_efficiency)
    in_background = asynchronous != 0
    blocking = np.where(in_background, np.minimum(copy_time, write_time), write_time)

    rate = failures.failure_rate(fleet, assume, n_accelerators)
    mtbf = np.minimum(failures.mean_time_between(rate), failures.FAILURE_FREE)
    optimal = failures.daly_interval(blocking, mtbf)
    in_flight = write_time - blocking
    interval = np.maximum(optimal, in_flight) if checkpoint_interval is None else checkpoint_interval
    fits = np.logical_not(in_background) | (per_node <= fleet.host_memory)
    limit = first_failing(
        (fits_fleet(fleet, n_accelerators) & (writers <= n_nodes), Limit.SHAPE),
        (fits, Limit.MEMORY),
        ((interval >= in_flight) & ((interval > 0) | (blocking <= 0)), Limit.SATURATION),
    )
    cycle = interval + blocking
    held_against = np.where(penalty_basis == PenaltyBasis.INTERVAL, interval, cycle)
    slow_path = np.where(path < assume.checkpoint_bandwidth, float(Bottleneck.NETWORK), float(Bottleneck.STORAGE))
    snapshot: Any = np.where(in_background, per_node, 0.0)
    bottleneck: Any = np.where(in_background & (copy_time < write_time), float(Bottleneck.HOST), slow_path)
    return Checkpoint(
        checkpoint_size=size,
        checkpoint_weights=weights,
        checkpoint_master_weights=master,
        checkpoint_moments=moment_bytes,
        write_bandwidth=bandwidth,
        checkpoint_write_time=write_time,
        checkpoint_blocking_time=blocking,
        restore_time=write_time,
        optimal_interval=optimal,
        effective_interval=interval,
        required_bandwidth=size / cycle,
        snapshot_memory=snapshot,
        mfu_penalty=np.where(blocking > 0, blocking / held_against, 0.0),
        feasible=limit == 0,
        limit=limit,
        bottleneck=bottleneck,
    )


CheckpointModel = Model("CheckpointModel", checkpoint, domain="operations", walls=(19,))
