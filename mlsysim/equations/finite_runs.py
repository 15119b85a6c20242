"""Runs of finite length: all requests queued at once, or clients that start together and stop.

The first batch comes together, and the last one runs down to its longest answer, which a steady state knows nothing of.
Validity: time between tokens within 5 %, requests per second within 10 %, for 19 of 20 random loads
(`tests/test_simulation.py`); a run of some batches is as long as its longest answer happens to be.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import batching, waiting
from mlsysim.equations.counting import ceil_div, floor_div
from mlsysim.equations.normal import normal_tail
from mlsysim.equations.server import Server, decoding_time, last_step_time, mixed_time
from mlsysim.equations.shared_steps import FullSteps
from mlsysim.schema.codes import CacheLength

#: of a batch that runs down, the share that its last steps are taken to hold: long answers are few, and not alone
LAST_SHARE = 0.05
#: points of Gauss-Legendre on 0..1
GAUSS = (0.5 - 0.5 / 3.0**0.5, 0.5 + 0.5 / 3.0**0.5)


def last_steps(server: Server, batch):
    """A step of the few requests that are left of a batch (s)."""
    return decoding_time(server, np.maximum(LAST_SHARE * batch, 1.0))


def run_down_step(server: Server, batch, shared):
    """Mean step that a token meets while a batch of random answers runs down (s).

    It sees the share s of the others, mean.  Of exponential answers it sees each number as often (s = 1/2), of others U^p of
    them, U uniform and ``p = 1/s - 1``; the mean by two points of Gauss.

    Parameters
    ----------
    batch : requests that begin.
    shared : s, see `waiting.run_down`.
    """
    power = 1.0 / shared - 1.0
    return 0.5 * sum(decoding_time(server, 1.0 + (batch - 1.0) * point**power) for point in GAUSS)


def bunched_share(server: Server, full: FullSteps):
    """Time that a prompt adds to steps which prompts fill, over that in the steady state, at most 1."""
    bunched = full.prompt_time - (server.computed / full.room) * full.step_time
    return np.minimum(bunched / np.maximum(full.added_time, 1e-30), 1.0)


def together_share(server: Server, full: FullSteps, n_requests):
    """Time that prompts add to the steps of a run, per request, over that in the steady state.

    The first batch comes together and fills its steps; later ones come one by one, as slots get free.  (Batches of equal
    answers would keep together for ever; published runs at maximum load lie closer to batches that come apart.)
    """
    first = np.minimum(full.decoders / n_requests, 1.0)
    return 1.0 + first * (bunched_share(server, full) - 1.0)


def run_rate(server: Server, full: FullSteps, n_requests):
    """Requests per second of a run of `n_requests` queued at once (1/s).

    Equal answers: full rounds, then what is left.  Others: slots are taken again at once, and in the end the batch runs down to
    the longest answer (`waiting.run_down`).
    """
    asked = server.requests
    batch = np.minimum(server.slots, n_requests)
    rounds = floor_div(n_requests, batch)
    left = n_requests - rounds * batch
    step = decoding_time(server, batch)
    last = np.where(left > 0, decoding_time(server, np.maximum(left, 1.0)), 0.0)
    end = waiting.run_down(asked.output, asked.output_cv, batch, n_requests / batch, asked.law)
    late = end.late * last_steps(server, batch)
    steps = np.where(asked.output_cv > 0, (n_requests / batch) * step, rounds * step + last)
    added = full.added_time * together_share(server, full, n_requests)
    duration = n_requests * added + server.decoded * steps
    return n_requests / (np.maximum(duration, n_requests * full.prompt_time) + late)


def run_token_time(server: Server, full: FullSteps, n_requests):
    """Time between tokens in such a run (s): its batch, running down, and the prompts that come after one's own.

    Requests that began together hold less than those of a steady state, and what is left of them more (`waiting.run_down`).
    Of n prompts the last ``n - b`` lengthen the steps of a whole batch.  The first b fill u steps (`bunched_share`, f), of
    which each prompt meets those that began before: ``1 - b/n + f (1 - 1/u) b / (2 n)`` of all; where all begin and end
    together it is half.
    """
    asked = server.requests
    batch = np.minimum(full.decoders, n_requests)
    waves = n_requests / batch
    end = waiting.run_down(asked.output, asked.output_cv, batch, waves, asked.law)
    grows = np.where(asked.cache == CacheLength.FIXED, 0.0, 1.0)

    def holding(more):
        """The server whose requests hold more tokens than in a steady state, or fewer, but their prompts in any case."""
        return server._replace(
            context=np.maximum(server.context + grows * more, np.minimum(asked.prompt, server.context))
        )

    step = decoding_time(holding(-end.younger), batch)
    running_down = run_down_step(holding(end.older), batch, end.shared)
    down = np.where(asked.output_cv > 0, np.minimum(end.tokens / (asked.output * waves), 1.0), 0.0)
    longer = (full.token_time - full.step_time) * (batch / full.decoders)
    prompt_steps = ceil_div(batch * server.computed, full.room)
    first = 0.5 * (1.0 - 1.0 / prompt_steps) * bunched_share(server, full)
    seen = np.where(asked.output_cv > 0, 1.0 - (1.0 - first) / waves, 0.5 * together_share(server, full, n_requests))
    return step + down * (running_down - step) + seen * longer


def to_the_end(server: Server, throughput, users, requests_per_user):
    """Requests per second of a run up to its last answer, which ends when most clients have none left (1/s)."""
    asked = server.requests
    batch = np.minimum(users, server.slots)
    requests = users * requests_per_user
    late = waiting.run_down(asked.output, asked.output_cv, batch, requests / batch, asked.law).late
    return requests / (requests / throughput + late * last_steps(server, batch))


def ended_clients(server: Server, users, requests_per_user):
    """What clients that have had all their answers save of the mean step of a run (s).

    Each decodes the sum of its answers, whose variation is that of one over ``sqrt(n)``; a token meets the share of the others
    that the shorter of two sums is of the mean.  Where clients wait for a slot, others take those that are left.

    Parameters
    ----------
    users, requests_per_user : clients that start together, and requests of each.
    """
    cv = server.requests.output_cv
    batch = np.minimum(users, server.slots)
    shared = 2.0 * normal_tail(np.sqrt(0.5 * np.log1p(cv * cv / requests_per_user)))
    saved = decoding_time(server, batch) - run_down_step(server, batch, shared)
    return saved * (batch / users)


class FirstUse(NamedTuple):
    """What a server that was not warmed up costs the first wave, mean over its requests (s)."""

    ttft: Any  #: of those that wait for a step that goes on with a prompt
    itl: Any  #: of those that decode already


def first_use(server: Server, users) -> FirstUse:
    """The first step that goes on with a prompt waits for its kernels, which no start of the engine has run.

    Prompts that the first step holds whole have their first token before it, and wait for their second one.

    Parameters
    ----------
    users : clients that start together.
    """
    starting = np.minimum(users, server.slots)
    whole = np.minimum(server.groups * floor_div(server.prefill_chunk, server.computed), starting)
    split = starting * server.computed > server.groups * server.prefill_chunk
    late = np.where(split, server.assume.first_use_time, 0.0)
    share = whole / starting
    return FirstUse(late * (1.0 - share), late * share / np.maximum(server.decoded, 1.0))


def first_wave_ttft(server: Server, users, step_of_all):
    """Mean time to the first token when all clients start together (s), see `batching.burst_ttft`.

    Parameters
    ----------
    users : clients, of whom as many as there are slots start at once.
    step_of_all : a step in which all of them decode (s).
    """
    starting = np.minimum(users, server.slots)
    whole = ceil_div(starting, server.groups) * server.groups  # a step takes as long as its fullest group
    asked = server.requests
    of_one = waiting.mean_chunks(server.computed, asked.prompt_cv, server.prefill_chunk, asked.law)
    steps = np.maximum(ceil_div(starting * server.computed, server.groups * server.prefill_chunk), of_one)
    tokens = whole * server.computed / steps
    burst = steps * mixed_time(server, 0.5 * starting, tokens)
    return batching.burst_ttft(burst, steps, of_one) + last_step_time(server, step_of_all)
