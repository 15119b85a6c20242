"""TailLatencyModel (wall 7): percentiles of wait and response of replicas under random arrivals."""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import queueing
from mlsysim.equations.selection import first_failing
from mlsysim.resolver import Model, kernel
from mlsysim.schema.codes import Bottleneck, Limit, Routing
from mlsysim.schema.kinds import Code, Flag, Real


class TailLatency(NamedTuple):
    """Outputs of TailLatencyModel."""

    queue_utilization: Real
    wait_probability: Real
    avg_wait_time: Real
    wait_p50: Real
    wait_p90: Real
    wait_p95: Real
    wait_p99: Real
    wait_p999: Real
    wait_at_percentile: Real
    avg_response_time: Real
    response_p50: Real
    response_p90: Real
    response_p95: Real
    response_p99: Real
    response_p999: Real
    response_at_percentile: Real
    queue_length: Real
    throughput: Real
    hedged_share: Real
    sla_attainment: Real | None
    stable: Flag
    feasible: Flag
    limit: Code
    bottleneck: Code


@kernel
def tail_latency(
    arrival_rate,
    service_latency,
    replicas=1.0,
    arrival_cv=1.0,
    service_cv=1.0,
    percentile=0.99,
    fan_out=1.0,
    hedge_after=None,
    latency_target=None,
    routing=Routing.SHARED,
) -> TailLatency:
    """Wait and response of a group of replicas: M/M/c exactly, G/G/c by Allen and Cunneen.

    Parameters
    ----------
    arrival_rate : requests per second that reach the group.
    service_latency : mean service time of one request on one replica (s); a replica serves one at a time.
    replicas : servers.
    arrival_cv, service_cv : coefficients of variation: 1 Poisson arrivals, exponential service; 0 regular,
        constant.
    percentile : for `wait_at_percentile`, `response_at_percentile` and the target, 0..1.
    fan_out : leaves that each request asks, one group of replicas each; the response is the slowest of them.
    hedge_after : time after which a leaf is asked a second time and the faster answer taken (s).
    latency_target : response that the percentile must keep (s).
    routing : shared (one queue) or random (a queue per replica).

    Returns
    -------
    TailLatency
        Times in s.  `queue_utilization` is the offered load per replica, hedges included, and may exceed 1:
        then the queue grows for ever, times are inf and ``limit`` is saturation.  Waits are those of one
        leaf.

    Notes
    -----
    A response percentile is that of the sum of wait and service, not a wait percentile plus the mean service:
    at low load, where nobody waits, the 99th is 4.6 service times. The wait is an atom at 0 and an
    exponential; service is exponential at ``service_cv=1``, constant at 0 and gamma otherwise.  Validity off
    M/M/c: equations.queueing.variability.  Hedges are not cancelled and load the group too.

    References
    ----------
    Allen 1990, "Probability, Statistics and Queueing Theory", 2nd edition, section 5.3.5.
    Dean, Barroso 2013, "The tail at scale", CACM 56(2).
    """
    alone = routing == Routing.RANDOM
    ways = np.where(alone, replicas, 1.0)
    servers = np.where(alone, 1.0, replicas)
    load = arrival_rate * service_latency / ways
    arrival_scv = queueing.thinned_scv(arrival_cv * arrival_cv, ways)
    service_scv = service_cv * service_cv
    hedge = np.inf if hedge_after is None else hedge_after / service_latency
    offered, waiting, decay = queueing.state(
        servers, load, arrival_scv, service_scv, None if hedge_after is None else hedge
    )
    stable = offered < servers

    def wait(tail):
        return service_latency * queueing.wait_quantile(waiting, decay, tail)

    def response(tail):
        leaf = queueing.fan_out_tail(tail, fan_out)
        return service_latency * queueing.response_quantile(leaf, waiting, decay, service_scv, hedge)

    alone_late: Any = 0.0  # without load a leaf waits for nobody: its service alone may be late
    if hedge_after is not None:
        alone_late = queueing.response_tail(hedge, 0.0, np.inf, service_scv)
    mean_wait = service_latency * queueing.mean_wait(waiting, decay)
    at_percentile = response(1.0 - percentile)
    attainment: Any = None
    on_time: Any = True
    if latency_target is not None:
        leaf = queueing.hedged_tail(latency_target / service_latency, waiting, decay, service_scv, hedge)
        attainment = np.where(stable, 1.0 - queueing.slowest_tail(leaf, fan_out), 0.0)
        on_time = at_percentile <= latency_target
    limit = first_failing((stable, Limit.SATURATION), (on_time, Limit.SLA))
    bottleneck: Any = np.where(mean_wait > service_latency, float(Bottleneck.QUEUE), float(Bottleneck.COMPUTE))
    return TailLatency(
        queue_utilization=offered / servers,
        wait_probability=waiting,
        avg_wait_time=mean_wait,
        wait_p50=wait(0.5),
        wait_p90=wait(0.1),
        wait_p95=wait(0.05),
        wait_p99=wait(0.01),
        wait_p999=wait(0.001),
        wait_at_percentile=wait(1.0 - percentile),
        avg_response_time=service_latency * queueing.mean_slowest(waiting, decay, service_scv, hedge, fan_out),
        response_p50=response(0.5),
        response_p90=response(0.1),
        response_p95=response(0.05),
        response_p99=response(0.01),
        response_p999=response(0.001),
        response_at_percentile=at_percentile,
        queue_length=arrival_rate * mean_wait,
        throughput=np.minimum(arrival_rate, replicas / service_latency),
        hedged_share=np.where(load > 0, offered / np.where(load > 0, load, 1.0) - 1.0, alone_late),
        sla_attainment=attainment,
        stable=stable,
        feasible=limit == 0,
        limit=limit,
        bottleneck=bottleneck,
    )


TailLatencyModel = Model("TailLatencyModel", tail_latency, domain="node", walls=(7,))
