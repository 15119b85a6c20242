"""One replica of a server and its requests: what a step of decoding, and of prompts beside it, costs.

References
----------
Yu et al. 2022, "Orca" (OSDI); Agrawal et al. 2024, "Sarathi-Serve" (arXiv:2403.02310).
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture, launches, operators, sharding
from mlsysim.equations import serving as serve
from mlsysim.equations.counting import ceil_div
from mlsysim.equations.paging import Requests, computed_tokens, decoded_tokens, mean_context
from mlsysim.equations.step import Step
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import FlopsConvention
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload


class Server(NamedTuple):
    """One replica and its requests: all that a step of it costs depends on."""

    model: Workload
    hardware: Accelerator
    fleet: Fleet
    format: Format
    assume: Assumptions
    tp: Any
    pp: Any
    ep: Any
    requests: Requests
    prefill_chunk: Any  #: most tokens of prompts and answers per step and attention group
    slots: Any  #: requests that run at once, at most
    groups: Any  #: attention groups, each with its own requests and queue
    context: Any  #: tokens that a decoding request attends to, mean
    decoded: Any  #: tokens of a request that are decoded
    computed: Any  #: tokens of a prompt that are computed
    prompt_attention: Any  #: attention of one prompt, all layers, mean over prompts (s)


def server(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    requests: Requests,
    *,
    tp,
    pp,
    ep,
    prefill_chunk,
    slots,
    convention=FlopsConvention.CAUSAL,
) -> Server:
    """The server of some requests; parameters as the fields of `Server`, and what attention of prompts computes."""
    computed = computed_tokens(requests)
    # attention grows with the square of a prompt: a token of random prompts is one of a prompt of E[S^2] / E[S] tokens
    met = computed * (1.0 + requests.prompt_cv * requests.prompt_cv)
    attention = operators.prefill_attention_time(
        model,
        hardware,
        format,
        assume,
        tp,
        sequences=1.0,
        new=met,
        cached=requests.cached_prefix,
        chunks=ceil_div(met, prefill_chunk),
        convention=convention,
    )
    return Server(
        model=model,
        hardware=hardware,
        fleet=fleet,
        format=format,
        assume=assume,
        tp=tp,
        pp=pp,
        ep=ep,
        requests=requests,
        prefill_chunk=prefill_chunk,
        slots=slots,
        groups=sharding.attention_groups(tp, ep),
        context=mean_context(requests),
        decoded=decoded_tokens(requests),
        computed=computed,
        prompt_attention=attention * (computed / met),
    )


def decoding_step(server: Server, batch, **prompts) -> Step:
    """A step of `batch` requests that decode, by class (s); `prompts` as in `decode_step`."""
    return serve.decode_step(
        server.model,
        server.hardware,
        server.fleet,
        server.format,
        server.assume,
        tp=server.tp,
        pp=server.pp,
        ep=server.ep,
        batch=batch,
        context=server.context,
        **prompts,
    )


def decoding_time(server: Server, batch):
    """Time of a step of `batch` requests that decode (s)."""
    return serve.total(decoding_step(server, batch))


def mixed_time(server: Server, batch, prompt_tokens):
    """Time of a step with tokens of prompts beside the requests that decode (s), kernels launched one by one."""
    starts = server.groups * (architecture.mixing_layers(server.model) * server.hardware.decode_attention_latency)
    step = decoding_step(
        server,
        batch,
        prompt_tokens=prompt_tokens,
        prompt_attention=prompt_tokens * (server.prompt_attention / server.computed) + starts,
    )
    floor = launches.eager_floor(server.model, server.hardware, server.format, server.assume, server.tp, server.ep)
    return np.maximum(serve.total(step), floor)


def last_step_time(server: Server, step):
    """Step that an engine needs for the last token of a prompt, where it computes that apart (s)."""
    return np.where(server.assume.last_token_apart > 0, step, 0.0)


def frontend_time(server: Server):
    """Time of a request in the front end, before the engine sees it (s)."""
    return server.assume.frontend_time + server.requests.prompt * server.assume.frontend_token_time
