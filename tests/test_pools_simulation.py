"""Clusters of prefill and decode replicas against an event simulation of the same steps (`cluster_simulation`)."""

import functools

import numpy as np
import pytest
from cluster_simulation import simulate

from mlsysim import zoo
from mlsysim.equations import cache_transfer, decode_pool, pools, prefill_pool
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import FirstToken

CLUSTERS = 60
#: share of the fullest stage up to which clusters are loaded
MOST = 0.85
REQUESTS = 2500
EVERY = 10  #: requests of a client in a closed loop


def random_cluster(rng):
    """Any model, device, degrees, lengths and numbers of replicas."""
    model = zoo.workload_record(zoo.model(str(rng.choice(["llama3_1_8b", "llama3_1_70b", "deepseek_r1_671b"]))))
    hardware, fp8, assume = (
        zoo.hardware(str(rng.choice(["h200", "b200", "gb200"]))),
        zoo.format_record(4),
        Assumptions(),
    )
    device, fleet = zoo.accelerator_record(hardware, 4, None, {}), zoo.fleet_record(None, hardware)
    mixture = float(model.n_experts) > 0
    tp, decode_tp = (float(rng.choice([1, 8] if mixture else [1, 2, 4, 8])) for _ in range(2))
    ep = 8.0 if mixture else 1.0
    prompt, answer, cv = float(rng.integers(100, 8000)), float(rng.integers(32, 1000)), float(rng.choice([0.0642, 0.5]))
    prefill = prefill_pool.prefill_pool(
        *(model, device, fleet, fp8, assume, (tp, 1.0, ep)),
        replicas=float(rng.integers(1, 5)),
        new=prompt,
        cached=0.0,
        chunk=float(rng.choice([4096, 8192, 16384, 32768])),
        most=float(rng.choice([4, 16, 64])),
        cv=0.0,
    )
    decode = decode_pool.Decode(
        *(model, device, fleet, fp8, assume, (decode_tp, 1.0, ep)),
        context=prompt + answer / 2,
        decoded=answer - 1,
        draft_len=0.0,
        per_round=1.0,
        slots=float(rng.choice([16, 64, 256])),
        replicas=float(rng.integers(1, 5)),
    )
    way = cache_transfer.Path(4e10, 1e-5)
    moved = cache_transfer.moved_bytes(model, fp8, prompt, decode_tp)
    transfer = pools.transfer_between(way, moved, tp, decode_tp, 8.0, 8.0, pieces=1.0, latency=3e-3)
    return pools.Cluster(prefill, decode, transfer, 0.013, FirstToken.DECODE, cv)


def lengths(rng, cluster, count):
    """Answers: uniform within 11 % of the mean, or lognormal."""
    mean, cv = float(cluster.decode.decoded) + 1.0, cluster.output_cv
    if cv < 0.1:
        return np.maximum(np.round(rng.uniform(8 / 9, 10 / 9, count) * mean), 2)
    deviation = np.sqrt(np.log1p(cv * cv))
    return np.maximum(np.round(mean * np.exp(deviation * rng.normal(size=count) - deviation**2 / 2)), 2)


def compared(seed):
    """Predicted over simulated: first token, time between tokens, throughput, of one random cluster below `MOST`."""
    rng = np.random.default_rng(seed)
    cluster = random_cluster(rng)
    most = min(map(float, pools.capacity(cluster)))
    if seed % 2:
        rate = most * rng.uniform(0.1, MOST)
        answers = lengths(rng, cluster, REQUESTS)
        run = pools.open_loop(cluster, rate, 0.9)
        found = simulate(cluster, answers, arrivals=np.cumsum(rng.exponential(1.0 / rate, REQUESTS)))
        counted, simulated = slice(REQUESTS // 5, 4 * REQUESTS // 5), rate
    else:
        alone = pools.closed_loop(cluster, 1.0, 0.0, None)
        users = max(int(rng.uniform(0.05, MOST) * most * float(alone.e2e)), 1)
        users = min(users, REQUESTS // EVERY)
        run = pools.closed_loop(cluster, float(users), 0.0, float(EVERY))
        found = simulate(cluster, lengths(rng, cluster, users * EVERY), users=users)
        counted, simulated = slice(None), users / float((found.finished - found.arrived).mean())
    first = (found.first - found.arrived)[counted].mean()
    between = ((found.finished - found.first) / np.maximum(found.outputs - 2, 1))[counted]
    weights = (found.outputs - 2)[counted]
    return (
        float(run.ttft) / first,
        float(run.itl) / np.average(between, weights=weights),
        float(run.throughput) / simulated,
        max(map(float, pools.shares(cluster, run))),
    )


@functools.cache
def ratios():
    return np.array([compared(seed) for seed in range(CLUSTERS)])


@pytest.mark.parametrize(
    ("what", "within", "at_least", "worst"), [(0, 0.1, 52, 0.42), (1, 0.05, 58, 0.08), (2, 0.05, 58, 0.22)]
)
def test_clusters_run_as_simulated(what, within, at_least, worst):
    """First token within 10 % for 52 clusters of 60, time between tokens and throughput within 5 % for 58."""
    off = np.abs(ratios()[:, what] - 1.0)
    assert (off <= within).sum() >= at_least, np.sort(off)[-12:]
    assert off.max() <= worst
