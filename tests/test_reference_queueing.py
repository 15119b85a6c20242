"""Queueing figures against tables and textbooks: TailLatencyModel and OrchestrationModel.

An expected value is text: it holds to the digits printed.
"""

import math
from decimal import Decimal

import numpy as np
import pytest

from mlsysim.equations import queueing
from mlsysim.models.orchestration import orchestration
from mlsysim.models.tail_latency import tail_latency
from mlsysim.schema.codes import Limit, Routing
from mlsysim.schema.records import Fleet

TABLES = "Cooper 1981, Erlang C to the digits shown"
TEXTBOOK = "Kleinrock 1975, Queueing Systems I"
ALLEN = "Allen 1990, section 5.3"
TAIL = "Dean, Barroso 2013"
EXACT = "closed form"


def agrees(computed, expected: str):
    """Is a number the printed one, to half a unit of its last digit?"""
    printed = Decimal(expected)
    half = 0.5000001 * 10.0 ** printed.as_tuple().exponent  # type: ignore[operator]
    return abs(float(computed) - float(printed)) <= half + 1e-12 * abs(float(printed))


def service(servers, load, **more):
    """A group of `servers` with service time 1 at offered load `load`."""
    return tail_latency(arrival_rate=load, service_latency=1.0, replicas=servers, **more)


def cluster(devices=64.0, node=8.0):
    fields = dict.fromkeys(Fleet._fields, math.nan)
    return Fleet(**{**fields, "fleet_size": devices, "accelerators_per_node": node})


def shared(arrival_rate, avg_duration=1.0, **more):
    return orchestration(cluster(), arrival_rate=arrival_rate, avg_duration=avg_duration, **more)


QUEUES = [
    ("mm1", 1.0, 0.5, ".5", "1", "7.82404601"),
    ("mm2", 2.0, 1.0, ".33333333", ".33333333", "3.5065579"),
    ("mm4", 4.0, 3.0, ".50943396", ".50943396", "3.9307151"),
    ("mm10", 10.0, 8.0, ".40918015", ".20459008", "1.8557852"),
    ("mm100", 100.0, 90.0, ".21694048", ".021694048", ".30770379"),
]


@pytest.mark.parametrize(("name", "servers", "load", "waiting", "mean", "p99"), QUEUES, ids=[q[0] for q in QUEUES])
def test_reference_wait(name, servers, load, waiting, mean, p99):
    found = service(servers, load)
    assert agrees(found.wait_probability, waiting), TABLES
    assert agrees(found.avg_wait_time, mean), TABLES
    assert agrees(found.wait_p99, p99), TABLES


RESPONSES = [
    ("mm1", 1.0, 0.5, "1.3862944", "4.6051702", "5.9914645", "9.2103404", "13.815511"),
    ("mm2", 2.0, 1.0, ".97441161", "2.9948783", "3.8164603", "5.6659607", "8.2275100"),
    ("mm4", 4.0, 3.0, "1.1562836", "3.2861984", "4.1280998", "6.0063082", "8.5896762"),
    ("mm10", 10.0, 8.0, ".91214461", "2.6243200", "3.3282747", "4.9461113", "7.2505572"),
    ("mm100", 100.0, 90.0, ".71692864", "2.3264037", "3.0195508", "4.6289888", "6.9315738"),
]


@pytest.mark.parametrize("row", RESPONSES, ids=[r[0] for r in RESPONSES])
def test_reference_response(row):
    _, servers, load, *expected = row
    found = service(servers, load)
    computed = (
        found.response_p50,
        found.response_p90,
        found.response_p95,
        found.response_p99,
        found.response_p999,
    )
    for number, text in zip(computed, expected, strict=True):
        assert agrees(number, text), TABLES


def _md1(rho):
    return service(1.0, rho, service_cv=0.0).avg_wait_time


VALUES = [
    ("erlang-c-1000-950", lambda: queueing.erlang_c(1000.0, 950.0), ".0682534153771", TABLES),
    ("erlang-c-10000-9000", lambda: queueing.erlang_c(1e4, 9000.0) * 1e25, "2.09161979", TABLES),
    ("erlang-c-10000-9900", lambda: queueing.erlang_c(1e4, 9900.0), ".222776928864", TABLES),
    ("erlang-c-10000-9990", lambda: queueing.erlang_c(1e4, 9990.0), ".880541711374", TABLES),
    ("erlang-c-10-8", lambda: queueing.erlang_c(10.0, 8.0), ".4092", TABLES),
    ("md1", lambda: _md1(0.8), "2", TEXTBOOK),
    (
        "mg1-cs2-2",
        lambda: service(1.0, 0.8, service_cv=math.sqrt(2.0)).avg_wait_time,
        "6.0000000000",
        TEXTBOOK,
    ),
    (
        "allen-cunneen-half-of-mmc",
        lambda: service(10.0, 8.0, service_cv=0.0).avg_wait_time * 2.0,
        ".20459008",
        ALLEN,
    ),
    ("gg1-batches", lambda: service(1.0, 0.5, arrival_cv=2.0).avg_wait_time, "2.5", ALLEN),
    ("mean-response-mm1", lambda: service(1.0, 0.5).avg_response_time, "2.00000000000", TEXTBOOK),
    ("leaf-quantile", lambda: 1.0 - queueing.fan_out_tail(0.01, 100.0), ".9998995017", TAIL),
    ("fan-out-mean", lambda: service(100.0, 1e-9, fan_out=100.0).avg_response_time, "5.18737752", TAIL),
    ("fan-out-harmonic", lambda: queueing.harmonic(100.0), "5.18737752", TAIL),
    ("fan-out-p99", lambda: service(100.0, 1e-9, fan_out=100.0).response_p99, "9.20536966", TAIL),
    ("hedged-p99", lambda: service(100.0, 1e-9, hedge_after=math.log(20.0)).response_p99, "3.80045123", TAIL),
    ("unhedged-p99", lambda: service(100.0, 1e-9).response_p99, "4.60517019", TAIL),
    (
        "hedged-load",
        lambda: service(100.0, 1e-9, hedge_after=math.log(20.0)).hedged_share,
        ".05000000000",
        TAIL,
    ),
    ("low-load-p99-in-service-times", lambda: service(8.0, 1e-6).response_p99, "4.6", EXACT),
    (
        "md1-p99-atom-and-exponential",
        lambda: service(1.0, 0.8, service_cv=0.0).wait_p99,
        "10.95506659",
        ALLEN,
    ),
]


@pytest.mark.parametrize(("name", "computed", "expected", "source"), VALUES, ids=[v[0] for v in VALUES])
def test_reference_tail_latency(name, computed, expected, source):
    assert agrees(computed(), expected), source


@pytest.mark.parametrize("service_latency", [1.0, 0.25, 3.0])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_reference_mm1_response_is_exact(service_latency, share):
    found = tail_latency(share / service_latency, service_latency, 1.0)
    assert float(found.response_p99) == pytest.approx(service_latency * math.log(100.0) / (1.0 - share), rel=1e-12)


ORCHESTRATION = [
    ("md1", lambda: shared(0.8, duration_cv=0.0).avg_wait_time, "2", "rho S / (2 (1 - rho)), " + TEXTBOOK),
    ("md1-hours", lambda: shared(0.5 / 3600.0, 3600.0, duration_cv=0.0).avg_wait_time, "1800", TEXTBOOK),
    ("mm1", lambda: shared(0.5).avg_wait_time, "1", TEXTBOOK),
    ("mm1-p99", lambda: shared(0.5).wait_p99, "7.82404601", TEXTBOOK),
    ("mm1-little", lambda: shared(0.8).queue_length, "3.2", "Little 1961: rho^2 / (1 - rho)"),
    ("mg1", lambda: shared(0.8, duration_cv=math.sqrt(2.0)).avg_wait_time, "6.0000000000", TEXTBOOK),
    ("mm4-gangs", lambda: shared(3.0, devices_per_job=16.0).avg_wait_time, ".50943396", TABLES),
    ("mm4-gangs-p99", lambda: shared(3.0, devices_per_job=16.0).wait_p99, "3.9307151", TABLES),
    ("mm8-in-use", lambda: shared(4.0, devices_per_job=8.0).cluster_utilization, ".5", EXACT),
    ("six-of-eight", lambda: shared(1.0, devices_per_job=6.0).cluster_fragmentation, ".25", EXACT),
    ("offered", lambda: shared(12.0, devices_per_job=8.0).queue_utilization, "1.5", EXACT),
    (
        "cobham-high",
        lambda: shared(0.8, priority_share=0.5).high_priority_wait_time,
        "1.33333333333",
        "Cobham 1954: W0 / (1 - rho1), W0 = .8",
    ),
    (
        "cobham-low",
        lambda: shared(0.8, priority_share=0.5).low_priority_wait_time,
        "6.6666666667",
        "Cobham 1954: W0 / ((1 - rho1)(1 - rho))",
    ),
    (
        "preemptive-high",
        lambda: shared(0.8, priority_share=0.5, preemptive=1.0).high_priority_wait_time,
        ".66666666667",
        "M/M/1 at rho1 = .4",
    ),
]


@pytest.mark.parametrize(("name", "computed", "expected", "source"), ORCHESTRATION, ids=[v[0] for v in ORCHESTRATION])
def test_reference_orchestration(name, computed, expected, source):
    assert agrees(computed(), expected), source


def test_reference_erlang_c_equals_the_recursion():
    for servers in (1, 2, 7, 64, 500, 10_000):
        for share in (0.3, 0.8, 0.95, 0.999):
            load = share * servers
            blocked = 1.0
            for j in range(1, servers + 1):
                blocked = load * blocked / (j + load * blocked)
            expected = blocked / (1.0 - share * (1.0 - blocked))
            found = float(queueing.erlang_c(float(servers), load))
            assert found == pytest.approx(expected, rel=1e-12) or (expected < 1e-29 and found == 0.0)


def test_reference_random_routing_is_a_queue_per_replica():
    found = tail_latency(4.0, 1.0, 8.0, routing=Routing.RANDOM)
    assert float(found.avg_wait_time) == pytest.approx(1.0, rel=1e-12)
    assert float(found.response_p99) == pytest.approx(math.log(100.0) / 0.5, rel=1e-12)


def test_reference_saturation_is_data():
    found = service(10.0, 12.0, latency_target=5.0)
    assert float(found.queue_utilization) == 1.2
    assert not found.stable and not found.feasible and found.limit == Limit.SATURATION
    assert np.isinf(found.avg_wait_time) and np.isinf(found.response_p99) and found.sla_attainment == 0.0
    assert float(found.throughput) == 10.0


def test_reference_gamma_service_by_quadrature():
    """Responses of gamma service against the convolution integral, done numerically."""
    integrate = pytest.importorskip("scipy.integrate")
    stats = pytest.importorskip("scipy.stats")
    for waiting, decay, scv in (
        (0.5, 0.4, 4.0),
        (0.5, 30.0, 4.0),
        (0.5, 8.0, 0.25),
        (0.5, 4.0, 0.25),
        (0.3, 500.0, 0.04),
    ):
        law = stats.gamma(1.0 / scv, scale=scv)
        for x in (0.3, 1.0, 2.5, 6.0):
            bends = sorted({min(x, 1.0 / decay), max(0.0, x - 1.0)})
            mixed, _ = integrate.quad(
                lambda u, x=x, decay=decay, law=law: decay * math.exp(-decay * u) * law.sf(x - u),
                0.0,
                x,
                points=bends,
                limit=500,
                epsabs=1e-13,
            )
            expected = (1.0 - waiting) * law.sf(x) + waiting * (math.exp(-decay * x) + mixed)
            assert float(queueing.response_tail(x, waiting, decay, scv)) == pytest.approx(expected, abs=1e-9)
