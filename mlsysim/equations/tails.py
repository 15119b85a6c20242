"""What a share of tokens and requests stays below, and batches that are formed once and for all, to compare with.

References
----------
Yu et al. 2022, "Orca" (OSDI): batches that wait for their longest answer.
"""

import numpy as np

from mlsysim.equations import batching
from mlsysim.equations.loops import Operation
from mlsysim.equations.server import Server, decoding_time, mixed_time
from mlsysim.equations.shared_steps import FullSteps


def token_time_at(server: Server, full: FullSteps, operation: Operation, percentile):
    """Time between tokens that a share of tokens stays below (s): a token that shares its step with prompts is late.

    Parameters
    ----------
    percentile : that share, 0..1.
    """
    budget = server.groups * server.prefill_chunk
    rate, step = operation.throughput, operation.step_time
    with_prompt = batching.mixed_fraction(rate, step, server.computed, budget)
    prompts = np.maximum(batching.poisson_quantile(rate * step, percentile), 1.0)
    tokens = np.minimum(budget, np.maximum(prompts, server.groups) * full.chunk)
    shared = np.maximum(mixed_time(server, operation.active, tokens), operation.itl)
    return np.where(with_prompt > 1.0 - percentile, shared, operation.itl)


def request_time_at(server: Server, operation: Operation, percentile):
    """Time of a whole request that a share of requests stays below (s); None where the first token has none.

    Parameters
    ----------
    percentile : that share, 0..1.
    """
    if operation.ttft_at_percentile is None:
        return None
    asked = server.requests
    longest = batching.length_quantile(asked.output, asked.output_cv, percentile, asked.law)
    return operation.ttft_at_percentile + np.maximum(longest - 1.0, 0.0) * operation.itl


def static_rate(server: Server, full: FullSteps, static_slots):
    """Requests per second of batches that start together and wait for their longest answer (1/s).

    Parameters
    ----------
    static_slots : requests of a batch.
    """
    asked = server.requests
    longest = batching.longest_of(asked.output, asked.output_cv, static_slots, asked.law)
    prefill = (static_slots * server.computed / full.room) * mixed_time(server, 0.0 * server.slots + 1.0, full.room)
    return static_slots / (prefill + longest * decoding_time(server, static_slots))
