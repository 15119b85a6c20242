"""Clusters of prefill and decode replicas against an event simulation of the same steps (`cluster_simulation`)."""

import functools

import numpy as np
import pytest
from cluster_simulation import simulate

from mlsysim import zoo
from mlsysim.equations import cache_transfer, decode_pool, pool_limits, pools, prefill_pool
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import FirstToken

CLUSTERS = 60
#: share of the fullest stage up to which clusters are loaded
MOST = 0.85
REQUESTS = 3000  #: of a run of an open loop
EVERY, CLIENTS = 10, 250  #: requests of a client in a closed loop, and the most clients
#: a cluster is simulated until the standard error of its first token is this share, in so many runs
ERROR, RUNS = 0.02, (3, 40)


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
        draft_layers=None,
        per_round=1.0,
        slots=float(rng.choice([16, 64, 256])),
        replicas=float(rng.integers(1, 5)),
    )
    way = cache_transfer.Path(4e10, 1e-5)
    moved = cache_transfer.moved_bytes(model, fp8, prompt, decode_tp)
    transfer = pools.transfer_between(way, moved, tp, decode_tp, 8.0, 8.0, pieces=1.0, latency=3e-3)
    return pools.Cluster(prefill, decode, transfer, 0.013, FirstToken.DECODE, cv)


def lengths(rng, cluster, count):
    """Answers: uniform within 11 % of the mean, or lognormal; those of a run have the mean that is asked for."""
    mean, cv = float(cluster.decode.decoded) + 1.0, cluster.output_cv
    deviation = np.sqrt(np.log1p(cv * cv))
    drawn = rng.uniform(8 / 9, 10 / 9, count) if cv < 0.1 else np.exp(deviation * rng.normal(size=count))
    return np.maximum(np.round(drawn * (mean / drawn.mean())), 2)


def one_run(rng, cluster, rate, users):
    """Simulated first token, time between tokens and throughput: means of one run."""
    if rate is not None:
        answers = lengths(rng, cluster, REQUESTS)
        found = simulate(cluster, answers, arrivals=np.cumsum(rng.exponential(1.0 / rate, REQUESTS)))
        counted = slice(REQUESTS // 5, 4 * REQUESTS // 5)
    else:
        found = simulate(cluster, lengths(rng, cluster, users * EVERY), users=users)
        counted = slice(None)
    between = ((found.finished - found.first) / np.maximum(found.outputs - 2, 1))[counted]
    return (
        (found.first - found.arrived)[counted].mean(),
        np.average(between, weights=(found.outputs - 2)[counted]),
        rate if users is None else users / float((found.finished - found.arrived).mean()),
    )


def compared(seed):
    """Predicted over simulated: first token, time between tokens, throughput, of one random cluster below `MOST`."""
    rng = np.random.default_rng(seed)
    cluster = random_cluster(rng)
    most = min(map(float, pools.capacity(cluster)))
    rate = users = None
    if seed % 2:
        rate = most * rng.uniform(0.1, MOST)
        run = pools.open_loop(cluster, rate, 0.9)
    else:
        alone = pools.closed_loop(cluster, 1.0, 0.0, None)
        users = min(max(int(rng.uniform(0.05, MOST) * most * float(alone.e2e)), 1), CLIENTS)
        run = pools.closed_loop(cluster, float(users), 0.0, float(EVERY))
    found = []
    for runs in range(1, RUNS[1] + 1):
        found.append(one_run(rng, cluster, rate, users))
        first = np.array(found)[:, 0]
        if runs >= RUNS[0] and first.std(ddof=1) < ERROR * np.sqrt(runs) * first.mean():
            break
    first, between, throughput = np.mean(found, axis=0)
    ratios = float(run.ttft) / first, float(run.itl) / between, float(run.throughput) / throughput
    return (*ratios, max(map(float, pool_limits.shares(cluster, run))))


@functools.cache
def ratios():
    return np.array([compared(seed) for seed in range(CLUSTERS)])


@pytest.mark.parametrize(("what", "within"), [(0, 0.1), (1, 0.05), (2, 0.05)])
def test_clusters_run_as_simulated(what, within):
    """First token within 10 %, time between tokens and throughput within 5 %, of all clusters."""
    off = np.abs(ratios()[:, what] - 1.0)
    assert off.max() <= within, {int(seed): round(float(ratios()[seed, what]), 3) for seed in np.argsort(off)[-4:]}


def test_replicas_chosen_at_random_leave_slots_empty():
    """As many clients as slots, or a few more: some replicas have more than they hold, others none (median 2 %, 7 at most)."""
    rng, off = np.random.default_rng(5), []
    for users, replicas, slots in (
        (7, 7, 1),
        (6, 5, 1),
        (5, 4, 1),
        (10, 8, 1),
        (28, 7, 4),
        (60, 15, 4),
        (12, 4, 2),
        (80, 4, 16),
    ):
        cluster = random_cluster(rng)
        decode = cluster.decode._replace(replicas=float(replicas), slots=float(slots), decoded=999.0)
        prefill = cluster.prefill._replace(replicas=4.0)
        cluster = cluster._replace(decode=decode, prefill=prefill, output_cv=0.0642)
        rates = []
        for _ in range(6):
            answers = lengths(rng, cluster, users * EVERY)
            chosen = rng.integers(replicas, size=len(answers))
            found = simulate(cluster, answers, users=users, chosen=chosen)
            rates.append(users / (found.finished - found.arrived).mean())
        told = [
            float(
                pools.closed_loop(
                    cluster._replace(decode=decode._replace(random=r)), float(users), 0.0, EVERY
                ).throughput
            )
            for r in (1.0, None)
        ]
        off.append(told[0] / np.mean(rates) - 1.0)
        assert told[0] < told[1]
    assert np.abs(off).max() < 0.1 and np.median(np.abs(off)) < 0.06, off


def test_prompts_that_go_to_replicas_at_random_have_queues_of_their_own():
    """Open loops, the decode pool large: wait and step of eight prefill pools at 0.3 to 0.8 of their rate."""
    rng, off = np.random.default_rng(7), []
    for load in np.linspace(0.3, 0.8, 8):
        cluster = random_cluster(rng)
        decode = cluster.decode._replace(replicas=8.0, slots=4096.0, decoded=3.0)
        prefill = cluster.prefill._replace(replicas=float(rng.integers(2, 6)))
        cluster = cluster._replace(decode=decode, prefill=prefill)
        rate = load * float(prefill_pool.prefill_rate(prefill))
        waits = []
        for _ in range(4):
            arrivals = np.cumsum(rng.exponential(1.0 / rate, REQUESTS))
            sent = rng.integers(int(prefill.replicas), size=REQUESTS)
            found = simulate(cluster, np.full(REQUESTS, 4), arrivals=arrivals, sent=sent)
            waits.append((found.first - found.arrived)[REQUESTS // 5 :].mean())
        own, shared = (
            float(pools.open_loop(cluster._replace(prefill=prefill._replace(random=r)), rate, 0.9).ttft)
            for r in (1.0, None)
        )
        off.append(own / np.mean(waits) - 1.0)
        assert own > shared
    assert np.median(np.abs(off)) < 0.05 and np.abs(off).max() < 0.12, off


def grouped(rng):
    """A cluster whose prefill replica has eight attention groups, and whose decode pool nobody waits for."""
    while True:
        cluster = random_cluster(rng)
        if float(cluster.prefill.groups) > 1 and float(cluster.prefill.most) >= float(cluster.prefill.groups):
            break
    decode = cluster.decode._replace(replicas=8.0, slots=4096.0, decoded=3.0)
    return cluster._replace(decode=decode, prefill=cluster.prefill._replace(replicas=1.0))


def waits(rng, cluster, rate, **how):
    """Simulated first token of an open loop, mean of four runs (s)."""
    found = []
    for _ in range(4):
        arrivals = np.cumsum(rng.exponential(1.0 / rate, REQUESTS))
        dealt = rng.integers(int(cluster.prefill.groups), size=REQUESTS) if how.get("dealt") else None
        run = simulate(
            cluster, np.full(REQUESTS, 4), arrivals=arrivals, sent=np.zeros(REQUESTS, int), **{**how, "dealt": dealt}
        )
        found.append((run.first - run.arrived)[REQUESTS // 5 :].mean())
    return np.mean(found)


def test_prompts_that_are_dealt_to_attention_groups_wait_for_their_own():
    """Open loops, the decode pool large: first token of ten replicas at 0.2 to 0.8 of their rate."""
    rng, off = np.random.default_rng(11), []
    for load in np.linspace(0.2, 0.8, 10):
        cluster = grouped(rng)
        rate = load * float(prefill_pool.prefill_rate(cluster.prefill))
        own, shared = (
            float(pools.open_loop(cluster._replace(prefill=cluster.prefill._replace(dealt=r)), rate, 0.9).ttft)
            for r in (1.0, None)
        )
        off.append(own / waits(rng, cluster, rate, dealt=True) - 1.0)
        assert own > shared
    assert np.median(np.abs(off)) < 0.06 and np.abs(off).max() < 0.15, off


def test_prompts_that_come_too_late_for_a_planned_step_wait_for_it():
    """The same of replicas that plan a step ahead, launched in a tenth to all of a step with one prompt."""
    rng, off = np.random.default_rng(13), []
    for load, dealt in zip(np.linspace(0.2, 0.8, 10), [True, False] * 5):
        cluster = grouped(rng)
        launch = rng.uniform(0.1, 1.0) * float(cluster.prefill.one)
        rate = load * float(prefill_pool.prefill_rate(cluster.prefill))
        prefill = cluster.prefill._replace(dealt=1.0 if dealt else None, launch=launch)
        late, at_once = (
            float(pools.open_loop(cluster._replace(prefill=prefill._replace(ahead=a)), rate, 0.9).ttft)
            for a in (1.0, 0.0)
        )
        off.append(late / waits(rng, cluster, rate, dealt=dealt, launch=launch) - 1.0)
        assert late > at_once
    assert np.median(np.abs(off)) < 0.08 and np.abs(off).max() < 0.2, off


def test_clients_whose_prompts_are_dealt_to_attention_groups_leave_some_of_them_idle():
    """Closed loops in which prefill is all there is: 1 to 8 clients a group reach 0.6 to 0.9 of the rate of full steps."""
    rng, off = np.random.default_rng(17), []
    for each in (1, 2, 4, 8):
        for _ in range(2):
            cluster = grouped(rng)
            prefill = cluster.prefill._replace(most=cluster.prefill.groups, full=cluster.prefill.side, dealt=1.0)
            cluster, users = cluster._replace(prefill=prefill, front=0.0), each * int(prefill.groups)
            count = users * EVERY
            dealt = rng.integers(int(prefill.groups), size=count)
            run = simulate(cluster, np.full(count, 4), users=users, sent=np.zeros(count, int), dealt=dealt)
            told = pools.closed_loop(cluster, float(users), 0.0, float(EVERY))
            off.append(float(told.throughput) / (users / (run.finished - run.arrived).mean()) - 1.0)
    assert np.median(np.abs(off)) < 0.06 and np.abs(off).max() < 0.12, off
