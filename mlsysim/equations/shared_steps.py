"""Steps that prompts share with requests that decode: how prompts are cut, and how long the steps are that they share.

Validity: the time of a step is asked at the mean chunk; what chunks of unequal lengths add to that is taken at three lengths.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import waiting
from mlsysim.equations.counting import ceil_div
from mlsysim.equations.server import Server, decoding_time, mixed_time
from mlsysim.equations.step import Step


class FullSteps(NamedTuple):
    """A server at its maximum load: prompts fill every step, and one request leaves for each that comes."""

    decoders: Any  #: requests that decode
    room: Any  #: tokens of prompts that a step takes beside them
    chunks: Any  #: steps that one prompt takes
    chunk: Any  #: tokens of a prompt in each of them
    uneven: Any  #: what it adds to a step with a chunk that chunks are not all alike (s)
    step: Step  #: a step that only decodes, by class
    step_time: Any  #: and its time (s)
    added_time: Any  #: what the prompt of one request adds to the steps (s)
    prompt_time: Any  #: the steps that it fills, all of their time (s)
    prompt_step: Any  #: a step that a prompt shares with others (s)
    token_time: Any  #: time between tokens of a request (s)
    rate: Any  #: requests per second


class Loaded(NamedTuple):
    """The steps of an open loop to which some requests come in each, mean."""

    mean: Any  #: the mean step (s)
    none: Any  #: a step that only decodes, as a running request sees it (s)
    one: Any  #: a step with one chunk of a prompt (s)
    further: Any  #: what a further chunk adds (s)
    filled: Any  #: a step that prompts fill (s)
    token: Any  #: time between tokens (s)
    chunks: Any  #: steps that a prompt takes


class Meeting(NamedTuple):
    """How often the prompts of a closed loop meet each other."""

    groups_with_prompt: Any  #: groups that have a prompt when one of them has
    polled_together: Any  #: prompts whose time adds to one's own because the same look at the queue found them
    balancing: Any  #: steps until all groups have a prompt
    queue_factor: Any  #: time of a prompt over that of a prompt alone
    together: Any = 1.0  #: prompts of a group in one step, found by the same look at the queue


def balanced_decoders(server: Server):
    """Requests that decode beside prompts that fill every step: each step takes as many of both as requests are made of."""
    budget = server.groups * server.prefill_chunk
    return np.maximum(budget * server.decoded / (server.computed + server.decoded), 1.0)


def chunk_time(server: Server, full: FullSteps, batch):
    """Time of a step in which a group computes a chunk of a prompt; the other groups can take one in that time (s)."""
    return mixed_time(server, batch, server.groups * full.chunk) + full.uneven


def uneven_time(server: Server, room, batch):
    """What it adds to a step with a chunk of a prompt that prompts differ in length, mean over chunks (s).

    ``E[T(c)] - T(E[c])`` over three lengths (`waiting.three_lengths`), each cut into equal chunks: a step takes its least
    time whatever the chunk, for weights to be read or kernels to be launched, so that short chunks save less than long ones cost.

    Parameters
    ----------
    room : tokens of prompts that a step takes, all groups.
    batch : requests that decode.
    """
    asked = server.requests
    pieces = met = tokens = 0.0
    for factor, weight in waiting.three_lengths(asked.prompt_cv, asked.law):
        length = server.computed * factor
        cut = ceil_div(length * server.groups, room)
        tokens = tokens + weight * length
        pieces = pieces + weight * cut
        met = met + weight * cut * mixed_time(server, batch, server.groups * length / cut)
    uneven = met / pieces - mixed_time(server, batch, server.groups * tokens / pieces)
    return np.where(asked.prompt_cv > 0, uneven, 0.0)


def room_beside(server: Server, decoding):
    """Tokens of prompts that a step takes beside requests that decode: these leave less of its budget."""
    return np.maximum(server.groups * server.prefill_chunk - decoding, 1.0)


def with_room(server: Server, full: FullSteps, decoding, varying=0.0) -> FullSteps:
    """The same with prompts cut as where so many requests decode beside them: fewer leave more of a step's budget.

    Parameters
    ----------
    decoding : requests that decode, mean.
    varying : variance of that number over the mean; 1 where they come at random.
    """
    room = room_beside(server, decoding)
    asked = server.requests
    deviation = np.sqrt(varying * decoding / server.groups)
    chunks = waiting.mean_chunks(server.computed, asked.prompt_cv, room / server.groups, asked.law, deviation)
    uneven = uneven_time(server, room, decoding)
    return full._replace(room=room, chunks=chunks, chunk=server.computed / chunks, uneven=uneven)


def prompt_addition(server: Server, full: FullSteps, batch, groups_with_prompt, together=1.0):
    """What one prompt adds to the steps that it shares, where several groups compute one at a time (s).

    Parameters
    ----------
    together : prompts of a group in one step; they share what a step of prompts takes at least.
    """
    shared = mixed_time(server, batch, server.groups * full.chunk * together) + full.uneven
    longer = shared - decoding_time(server, batch)
    return full.chunks * longer / (groups_with_prompt * together)
