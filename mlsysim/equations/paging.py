"""A paged cache: what a running request holds, and how many requests the pool admits.

References
----------
Kwon et al. 2023, "PagedAttention" (arXiv:2309.06180).
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import batching, sharding
from mlsysim.equations.counting import floor_div, round_up
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import CacheLength, LengthLaw, Reserve
from mlsysim.schema.records import Format, Workload


class Requests(NamedTuple):
    """Requests that come to a server: mean lengths (tokens), how these vary, and the prefix that all prompts share."""

    prompt: Any
    output: Any
    prompt_cv: Any  #: coefficient of variation of the prompt's length
    output_cv: Any
    cached_prefix: Any  #: tokens at the beginning of every prompt, stored and computed once
    law: Any = LengthLaw.LOGNORMAL  #: of answers
    cache: Any = CacheLength.GROWING  #: that a decode step reads


class Pool(NamedTuple):
    """The pool of pages of a replica, seen as that of one of its devices (byte)."""

    weights: Any
    fixed: Any  #: weights, activations and what the runtime keeps
    prefix: Any  #: pages of the shared prefix
    size: Any  #: pages that requests can take
    request: Any  #: what one running request takes of it, mean
    deviation: Any  #: standard deviation of that
    admitted: Any  #: requests that the pool admits
    slots: Any  #: requests that run at once, at least 1
    max_active: Any  #: requests that run at once; 0 where none fits
    carried: Any  #: tokens that a running request holds, mean
    paged: Any  #: pages in the table of a running request: what was booked, or what it takes (byte)
    empty: Any  #: share of the pages of growing requests that holds nothing


def decoded_tokens(requests: Requests):
    """Tokens of a request that are decoded: all but the first, which the prefill emits; ``S_out - 1``."""
    return np.maximum(requests.output - 1.0, 0.0)


def computed_tokens(requests: Requests):
    """Tokens of a prompt that are computed, ``S_in - prefix``; the last one always is."""
    return np.maximum(requests.prompt - requests.cached_prefix, 1.0)


def mean_context(requests: Requests):
    """Tokens that a decoding request attends to, mean over time: ``S_in + E[S_out^2] / (2 E[S_out])``, or the prompt's.

    Examples
    --------
    >>> [float(mean_context(Requests(512.0, 128.0, 0.0, output_cv, 0.0))) for output_cv in (0.0, 1.0)]
    [576.0, 640.0]
    """
    second, _ = batching.length_moments(requests.output, requests.output_cv, requests.law)
    growing = requests.prompt + 0.5 * second / requests.output
    return np.where(requests.cache == CacheLength.FIXED, requests.prompt, growing)


def whole_deviation(requests: Requests):
    """Standard deviation of prompt and answer together, independent of each other (tokens).

    Examples
    --------
    >>> float(whole_deviation(Requests(30.0, 40.0, 1.0, 1.0, 0.0)))
    50.0
    """
    prompt = requests.prompt * requests.prompt_cv
    output = requests.output * requests.output_cv
    return np.sqrt(prompt * prompt + output * output)


def booked_longest(requests: Requests):
    """Tokens booked for a request where pages must follow each other: mean lengths and three deviations (tokens).

    Examples
    --------
    >>> float(booked_longest(Requests(500.0, 100.0, 0.0, 1.0, 0.0)))
    900.0
    """
    prompt = requests.prompt * (1.0 + 3.0 * requests.prompt_cv)
    return prompt + requests.output * (1.0 + 3.0 * requests.output_cv)


def pool(
    model: Workload,
    format: Format,
    assume: Assumptions,
    requests: Requests,
    *,
    tp,
    pp,
    ep,
    capacity,
    pool_fraction,
    page_size,
    prefill_chunk,
    max_batch,
    reserve,
    overflow,
) -> Pool:
    """The pool of pages of a replica, and how many requests it admits (see `batching.admitted_requests`).

    Parameters
    ----------
    tp, pp, ep : degrees of tensor, pipeline and expert parallelism.
    capacity : memory of a device that the server may use (byte).
    pool_fraction : share of what weights and activations leave of it that the pool takes.
    page_size : tokens of a page; on the mean half of the last one is empty, where lengths are spread out.
    prefill_chunk : tokens of a step, whose activations are held beside the pool.
    max_batch : most requests that run at once.
    reserve : `Reserve`: pages taken as a request grows, or for prompt and answer up front.
    overflow : probability that the running requests need more pages than there are.
    """
    layout = (tp, pp, ep)
    groups = sharding.attention_groups(tp, ep)
    kept = sharding.as_cached(model, assume)

    def cache_bytes(tokens):
        return sharding.kv_bytes_per_sequence_and_device(kept, format, *layout, tokens)

    weights = sharding.weights_per_device(model, format, *layout)
    working = sharding.workspace_bytes(model, assume, tp, prefill_chunk)
    working = working + sharding.gathered_workspace_bytes(model, format, tp, ep, prefill_chunk)
    fixed = weights + working + sharding.reserved_bytes(assume, *layout)
    prefix = cache_bytes(requests.cached_prefix) * groups
    size = np.maximum(pool_fraction * (capacity - fixed) - prefix, 0.0)
    booking = reserve == Reserve.RESERVE
    carried, variance = batching.carried_length(
        requests.prompt, requests.prompt_cv, requests.output, requests.output_cv, requests.law
    )
    longest = requests.prompt + requests.output
    constant = (requests.prompt_cv <= 0) & (requests.output_cv <= 0)
    exact = batching.growing_pages(requests.prompt, longest, page_size)
    paged_tokens = np.where(constant, exact, batching.paged_length(carried, page_size))
    tokens = np.where(constant, requests.prompt + 0.5 * (requests.output + 1.0), carried)
    whole = round_up(longest, page_size)
    booked = cache_bytes(np.where(booking, whole, paged_tokens))
    states = cache_bytes(0.0)  # of recurrent mixers: no pages, and every request has its own
    prefix_pages = cache_bytes(floor_div(np.maximum(requests.cached_prefix, 0.0), page_size) * page_size) - states
    token = cache_bytes(1.0) - states
    logits = sharding.logits_bytes(model, assume, tp, 1.0 / groups)
    request = np.maximum(booked - prefix_pages, token) + logits
    deviation = token * np.where(booking, whole_deviation(requests), np.sqrt(variance))
    admitted = floor_div(batching.admitted_requests(size, request, deviation, overflow), 1.0)
    slots = np.maximum(np.minimum(admitted, max_batch), 1.0)
    return Pool(
        weights=weights,
        fixed=fixed,
        prefix=prefix,
        size=size,
        request=request,
        deviation=deviation,
        admitted=admitted,
        slots=slots,
        max_active=np.where(admitted >= 1.0, slots, 0.0),
        carried=carried,
        paged=np.where(booking, booked, request),
        empty=np.maximum(1.0 - tokens / paged_tokens, 0.0),
    )
