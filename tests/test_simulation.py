"""Closed forms of a server's loops against a simulated batcher, event by event (`batcher.py`), over random loads.

Both take the same times of steps, so that only waiting, bursts, chunks and what prompts add to the steps of others are
compared.  The front end is left out: it would dilute the error of the first token.  Errors are per load, closed form over
simulation; what is asserted are shares of loads and medians.  Loads of one seed are the same on every machine.
"""

from typing import NamedTuple
from unittest import mock

import numpy as np
from batcher import simulate

from mlsysim import zoo
from mlsysim.equations import loops
from mlsysim.equations.normal import normal_quantile
from mlsysim.models import continuous_batching as module
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Precision

NO_FRONT_END = Assumptions(frontend_time=0.0, frontend_token_time=0.0, frontend_client_time=0.0)
#: model, device, precision, degrees of tensor parallelism, of expert parallelism (four or eight attention groups)
SERVERS = [
    ("llama3_1_8b", "h100", Precision.BF16, (1, 2), 1),
    ("llama3_1_70b", "h100", Precision.BF16, (4, 8), 1),
    ("qwen2_5_32b", "a100", Precision.BF16, (2, 4), 1),
    ("mistral_7b", "l40s", Precision.BF16, (1,), 1),
    ("mixtral_8x7b", "h100", Precision.BF16, (2, 4), 1),
    ("qwen3_30b_a3b", "h200", Precision.BF16, (1, 2), 1),
    ("gpt_oss_120b", "h100", Precision.BF16, (2, 4), 1),
    ("deepseek_v3_671b", "h200", Precision.FP8, (1, 2), 8),
]


class Load(NamedTuple):
    """One random load: its inputs, what the closed form says, and the server that it asked."""

    inputs: dict
    records: tuple
    answer: module.ContinuousBatching
    server: loops.Server
    random: np.random.Generator


def asked(records, **inputs):
    """What the closed form answers, and the server that it made for that."""
    made = []
    make = module.serve_requests

    def keep(*arguments, **options):
        made.append(make(*arguments, **options))
        return made[-1]

    with mock.patch.object(module, "serve_requests", keep):
        answer = module.continuous_batching(*records, **inputs)
    return answer, made[0]


def logarithmic(random, low, high):
    return float(np.round(np.exp(random.uniform(np.log(low), np.log(high)))))


def drawn(seed, spreads=(0.0, 0.5, 1.0)) -> Load:
    """A random server, with lengths of its requests, that holds at least four."""
    random = np.random.default_rng([seed, 11])
    while True:
        model, device, precision, degrees, ep = SERVERS[random.integers(len(SERVERS))]
        records = (
            zoo.workload_record(model),
            zoo.accelerator_record(device, precision, None),
            zoo.fleet_record(None, device),
            zoo.format_record(precision, None),
            NO_FRONT_END,
        )
        batch = float(random.choice([16, 32, 64, 128, 256]))
        inputs = {
            "seq_len": logarithmic(random, 64, 4096),
            "output_len": logarithmic(random, 64, 1024),
            "max_batch": batch,
            "prefill_chunk": max(float(random.choice([512, 2048, 8192])), 2.0 * batch),
            "prompt_cv": float(random.choice([0.0, 0.5, 1.0])),
            "output_cv": float(random.choice(spreads)),
            "tp": float(random.choice(degrees)),
            "ep": float(ep),
        }
        answer, server = asked(records, **inputs)
        if answer.feasible and answer.max_active_requests >= 4:
            return Load(inputs, records, answer, server, random)


def lengths(random, mean, cv, count):
    """Lognormal lengths whose mean is right: one of each of `count` equal shares, in random order."""
    if cv == 0:
        return np.full(count, mean)
    variance = np.log1p(cv * cv)
    deviates = np.asarray(normal_quantile((np.arange(count) + 0.5) / count))
    found = mean * np.exp(np.sqrt(variance) * deviates - 0.5 * variance)
    return np.maximum(random.permutation(np.round(found)), 1.0)


def requests_of(load: Load, count):
    return [
        lengths(load.random, load.inputs[mean], load.inputs[cv], count)
        for mean, cv in (("seq_len", "prompt_cv"), ("output_len", "output_cv"))
    ]


def errors(answer, run, kept, since="arrived", rate=None):
    """Closed form over simulation, less 1: time between tokens (mean over tokens), first token, requests per second."""
    tokens = float((run.finished - run.first)[kept].sum() / (run.outputs - 1)[kept].sum())
    first = float((run.first - getattr(run, since))[kept].mean())
    found = {"itl": answer.itl / tokens, "ttft": answer.ttft / first}
    if rate is not None:
        found["throughput"] = answer.throughput / rate
    return {name: float(value) - 1.0 for name, value in found.items()}


def steady(run, begin, end):
    """Requests per second between the answers at two places."""
    ends = np.sort(run.finished)
    return (end - begin) / (ends[end] - ends[begin])


# --- the loads -----------------------------------------------------------------------------------------


def open_errors(seed):
    """Poisson arrivals, from 2 % to 90 % of capacity."""
    load = drawn(seed)
    share = load.random.uniform(0.02, 0.9)
    rate = share * float(load.answer.saturation_rate)
    answer, server = asked(load.records, **load.inputs, arrival_rate=rate)
    count = 8000
    arrivals = load.random.exponential(1.0 / rate, count).cumsum()
    run = simulate(server, *requests_of(load, count), arrivals=arrivals)
    return errors(answer, run, slice(count // 6, count))


def clients(load: Load):
    """From 1 to twice the slots, at most 256."""
    most = np.log(min(2.0 * float(load.server.slots), 256.0))
    return int(np.round(np.exp(load.random.uniform(0.0, most))))


def closed_errors(seed, spreads=(0.5, 1.0), cohort=False):
    """Clients in the steady state, spread over a cycle at the start; a third of them pauses."""
    load = drawn(seed, spreads)
    users = clients(load)
    think = float(load.random.choice([0.0, 0.0, 0.0, 0.0, 0.5, 5.0])) if not cohort else 0.0
    answer, server = asked(load.records, **load.inputs, users=users, think_time=think)
    count = max(3000, 12 * users)
    cycle = 0.0 if cohort else think + float(answer.e2e_latency)
    run = simulate(server, *requests_of(load, count), users=users, think_time=think, spread=cycle)
    begin, end = count // 4, count - users
    return errors(answer, run, slice(begin, end), rate=steady(run, begin, end - 1))


def started_errors(seed):
    """Clients that start together and send 2 to 16 requests each."""
    load = drawn(seed, (0.5, 1.0))
    users = min(clients(load), int(load.server.slots))
    each = int(load.random.choice([2, 4, 8, 16]))
    answer, server = asked(load.records, **load.inputs, users=users, requests_per_user=each)
    count = users * each
    run = simulate(server, *requests_of(load, count), users=users)
    return errors(answer, run, slice(0, count), rate=count / run.finished.max())


def full_errors(seed):
    """More requests than slots for ever, the first answers cut so that they do not end together."""
    load = drawn(seed)
    slots = int(load.server.slots)
    count = max(3000, 12 * slots)
    prompts, outputs = requests_of(load, count)
    outputs[:slots] = np.maximum(np.round(outputs[:slots] * load.random.uniform(size=slots)), 1.0)
    run = simulate(load.server, prompts, outputs, arrivals=np.zeros(count))
    begin, end = count // 4, count - slots
    return errors(load.answer, run, slice(begin, end), "started", steady(run, begin, end - 1))


def finite_errors(seed):
    """Half to twenty batches of requests, all queued at once."""
    load = drawn(seed)
    count = max(round(float(load.server.slots) * float(np.exp(load.random.uniform(-0.7, 3.0)))), 2)
    answer, server = asked(load.records, **load.inputs, n_requests=count)
    run = simulate(server, *requests_of(load, count), arrivals=np.zeros(count))
    found = errors(answer, run, slice(0, count), "started", count / run.finished.max())
    return {name: found[name] for name in ("itl", "throughput")}  # waits in the queue have no first token to compare


KINDS = {
    "open": (open_errors, 40),
    "closed": (closed_errors, 20),
    "started": (started_errors, 15),
    "full": (full_errors, 15),
    "finite": (finite_errors, 10),
}


def magnitudes(kind, name, count=None):
    measure, usual = KINDS[kind]
    return np.array([abs(measure(seed)[name]) for seed in range(count or usual)])


if __name__ == "__main__":
    import sys
    import time

    start = time.process_time()
    every: dict = {}
    for kind, (measure, usual) in KINDS.items():
        rows = [measure(seed) for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else usual)]
        for name in rows[0]:
            found = np.abs([row[name] for row in rows])
            every.setdefault(name, []).extend(found)
            print(
                kind,
                name,
                np.round(np.quantile(found, [0.5, 0.75, 0.9, 1.0]), 3),
                round(float(np.median([row[name] for row in rows])), 3),
            )
    for name, found in every.items():
        print(
            "all",
            name,
            np.round(np.quantile(found, [0.5, 0.75, 0.8, 0.9, 1.0]), 3),
            "within 5 %",
            np.mean(np.array(found) <= 0.05),
            "within 10 %",
            np.mean(np.array(found) <= 0.1),
            len(found),
        )
    print(time.process_time() - start)
