"""ReliabilityModel (wall 15): will the job complete, and when."""

from typing import NamedTuple

import numpy as np

from mlsysim.equations import reliability as failures
from mlsysim.equations.occupancy import devices, fits_fleet, over
from mlsysim.equations.selection import first_failing
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Limit
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Fleet


class Reliability(NamedTuple):
    """Outputs of ReliabilityModel."""

    mtbf: Real
    mtbf_low: Real
    mtbf_high: Real
    failure_probability: Real
    expected_failures: Real
    expected_gpu_failures: Real
    expected_hbm_failures: Real
    expected_network_failures: Real
    expected_host_failures: Real
    expected_software_failures: Real
    young_interval: Real
    optimal_interval: Real
    exact_interval: Real
    effective_interval: Real
    goodput: Real
    checkpoint_share: Real
    rework_share: Real
    restart_share: Real
    spare_wait: Real | None
    completion_time: Real
    feasible: Flag
    limit: Code


@kernel
def reliability(
    fleet: Fleet,
    assume: Assumptions,
    job_duration,
    n_accelerators=None,
    checkpoint_blocking_time=None,
    checkpoint_write_time=None,
    restore_time=None,
    restart_time=None,
    checkpoint_interval=None,
    spare_nodes=None,
) -> Reliability:
    """Failures of a job that needs all its parts, and what checkpoints make of it.

    Parameters
    ----------
    fleet : accelerators per node and fleet size.
    job_duration : work to do, if nothing failed (s).
    n_accelerators : devices; default the whole fleet, or one node.
    checkpoint_blocking_time : time a checkpoint stops the job (s); default ``checkpoint_time``.
    checkpoint_write_time : time until it is safe (s); default the blocking time.  Longer means asynchronous:
        what was done in between is lost with a failure.
    restore_time : time to read a checkpoint back (s), added to detection, rescheduling, relaunch and warm-up.
    restart_time : all of that together (s), instead.
    checkpoint_interval : work between checkpoints (s); default Daly's optimum, not below what the write
        needs.
    spare_nodes : nodes kept for failures; default as many as needed.

    Returns
    -------
    Reliability
        Times in s.  ``goodput + checkpoint_share + rework_share + restart_share = 1``; ``completion_time =
        job_duration / goodput``.  `mtbf_low` to `mtbf_high` hold for eight sites of ten.  A job with less
        than `least_goodput`, which fails faster than it gets on, counts as one that never ends: ``limit`` is
        saturation.

    Notes
    -----
    Failures are a Poisson process; rates of accelerators, memory, adapters, network, hosts, power supplies
    and software add up.  The defaults are the 419 interruptions of Llama 3's 54 days on 16,384 devices;
    ``failure_level`` scales them to other sites (published ones: 0.6 to 6.8, in the zoo's reliability table, column
    failure_level, by device and site), ``failure_spread`` says how far apart sites are.  Goodput: ``tau / (M exp(R/M)
    (exp((tau + delta)/M) - 1))``.

    References
    ----------
    Young 1974, CACM 17(9); Daly 2006, FGCS 22(3); Grattafiori et al. 2024 (arXiv:2407.21783), table 5.
    """
    n_accelerators = devices(fleet, n_accelerators)
    rate = failures.failure_rate(fleet, assume, n_accelerators)
    mtbf = failures.mean_time_between(rate)
    finite = np.minimum(mtbf, failures.FAILURE_FREE)
    cost = assume.checkpoint_time if checkpoint_blocking_time is None else checkpoint_blocking_time
    lag = 0.0 if checkpoint_write_time is None else np.maximum(checkpoint_write_time - cost, 0.0)
    optimal = failures.daly_interval(cost, finite)
    interval = np.maximum(optimal, lag) if checkpoint_interval is None else checkpoint_interval
    interval = np.maximum(interval, failures.SHORTEST * finite)

    if restart_time is None:
        restart_time = assume.detection_time + assume.reschedule_time + assume.relaunch_time + assume.warmup_time
        if restore_time is not None:
            restart_time = restart_time + restore_time
    spare_wait = None
    if spare_nodes is not None:
        hardware = assume.gpu_failure_rate + assume.hbm_failure_rate + assume.nic_failure_rate
        per_device = assume.failure_level * hardware
        broken = n_accelerators * per_device + failures.nodes(fleet, n_accelerators) * failures.node_rate(assume)
        spare_wait = failures.wait_for_spare(broken, assume.repair_time, spare_nodes)
        restart_time = restart_time + spare_wait
    restart = restart_time + lag

    goodput = failures.goodput(interval, cost, restart, finite)
    saving = goodput * (cost / interval)
    reach = np.exp(failures.OUTER_DECILE * assume.failure_spread)
    restarting = failures.restart_share(restart, finite)
    completion = np.where(job_duration > 0, job_duration / goodput, 0.0)
    expected_failures = over(completion, rate)
    limit = first_failing(
        (fits_fleet(fleet, n_accelerators), Limit.SHAPE),
        (
            (goodput >= assume.least_goodput) & (completion < np.inf) & (expected_failures < np.inf),
            Limit.SATURATION,
        ),
    )

    def expected(per_device, per_node=0.0):
        per_job = n_accelerators * per_device + failures.nodes(fleet, n_accelerators) * per_node
        return over(completion, assume.failure_level * per_job)

    return Reliability(
        mtbf=mtbf,
        mtbf_low=mtbf / reach,
        mtbf_high=mtbf * reach,
        failure_probability=failures.failure_probability(job_duration, rate),
        expected_failures=expected_failures,
        expected_gpu_failures=expected(assume.gpu_failure_rate),
        expected_hbm_failures=expected(assume.hbm_failure_rate),
        expected_network_failures=expected(assume.nic_failure_rate + assume.network_failure_rate),
        expected_host_failures=expected(0.0, assume.host_failure_rate + assume.psu_failure_rate),
        expected_software_failures=expected(assume.software_failure_rate),
        young_interval=failures.young_interval(cost, finite),
        optimal_interval=optimal,
        exact_interval=failures.exact_interval(cost, finite),
        effective_interval=interval,
        goodput=goodput,
        checkpoint_share=saving,
        rework_share=np.maximum(1.0 - goodput - saving - restarting, 0.0),
        restart_share=restarting,
        spare_wait=spare_wait,
        completion_time=completion,
        feasible=limit == 0,
        limit=limit,
    )


ReliabilityModel = Model("ReliabilityModel", reliability, domain="fleet", walls=(15,))
