"""A continuous batcher, event by event: what the closed forms of `mlsysim.equations.loops` are tested against.

It takes the times of its steps from the product (`mlsysim.equations.server`), so that only queueing and batching differ.
A step decodes one token of every running request and computes prompts, first come first served, with what is left of the
budget of each attention group.  A request goes to the group that has fewest when its first chunk is computed, and holds a
slot from then to the last token of its answer.  Steps between two events are taken together.
"""

import heapq
from collections import deque
from typing import NamedTuple

import numpy as np

from mlsysim.equations import launches, loops, operators
from mlsysim.equations.counting import ceil_div
from mlsysim.equations.server import decoding_time, mixed_time


class StepTimes:
    """Times of the product's steps, tabulated: linear in context and attention, and between numbers of prompt tokens."""

    def __init__(self, server):
        unfloored = server._replace(
            assume=server.assume._replace(eager_kernel_time=0.0), prompt_attention=0.0 * server.prompt_attention
        )
        groups, slots = float(server.groups), int(server.slots)
        chunk = float(loops.full_steps(server).chunk)
        budget = int(groups * server.prefill_chunk)
        tokens = np.unique(np.minimum(np.concatenate([
            np.arange(0, 2049, 128), np.geomspace(2048, max(budget, 2049), 12),
            groups * np.round(chunk) * np.array([1.0, 2.0, 3.0]), [1.0, 16.0, 64.0], budget - np.array([0.0, slots])
        ]), budget))  # fmt: skip
        tokens = tokens[tokens >= 0]
        batch = np.arange(slots + 1.0)
        self.context = float(server.context)
        self.decode = np.asarray(decoding_time(server, batch)).tolist()
        longer = decoding_time(server._replace(context=1.2 * server.context), batch)
        self.per_context = ((longer - self.decode) / (0.2 * self.context)).tolist()
        some = np.unique(np.round(np.geomspace(1, slots, 24))) if slots > 24 else batch
        some = np.unique(np.concatenate([[0.0], some]))
        table = np.asarray(mixed_time(unfloored, some[:, None], tokens[None, :]))
        every = np.stack([np.interp(batch, some, table[:, i]) for i in range(len(tokens))], axis=1)
        grid = np.arange(0, budget + 1) if budget <= 16384 else None
        self.tokens, self.budget = tokens, budget
        place = np.searchsorted(tokens, grid if grid is not None else np.arange(budget + 1), side="right") - 1
        self.place = np.minimum(place, len(tokens) - 2).tolist()
        self.table = every.tolist()
        self.grid = tokens.tolist()
        second = mixed_time(unfloored._replace(prompt_attention=server.computed), 1.0, 1.0)
        first = mixed_time(unfloored, 1.0, 1.0)
        self.per_attention = float(second - first)
        self.floor = float(
            launches.eager_floor(server.model, server.hardware, server.format, server.assume, server.tp, server.ep)
        )

    def mixed(self, batch, context, tokens, attention):
        """A step with prompts (s): requests that decode, their mean context, tokens, attention of these (s)."""
        place = self.place[tokens]
        row, left, right = self.table[batch], self.grid[place], self.grid[place + 1]
        base = row[place] + (row[place + 1] - row[place]) * (tokens - left) / (right - left)
        base += self.per_attention * attention + self.per_context[batch] * (context - self.context)
        return base if base > self.floor else self.floor


def attention_of(server, prompts):
    """Attention of each prompt, all layers (s), by the product's equation."""
    return np.asarray(
        operators.prefill_attention_time(
            server.model,
            server.hardware,
            server.format,
            server.assume,
            server.tp,
            sequences=1.0,
            new=prompts,
            cached=0.0,
            chunks=ceil_div(prompts, server.prefill_chunk),
        )
    )


class Run(NamedTuple):
    """What a run measured, of each request in the order of arrival (s)."""

    arrived: np.ndarray
    started: np.ndarray  #: when it took its slot
    first: np.ndarray  #: when its first token came
    finished: np.ndarray
    outputs: np.ndarray


def simulate(server, prompts, outputs, *, arrivals=None, users=None, think_time=0.0, spread=0.0, times=None):
    """Serve requests of these lengths: at `arrivals`, or each by the next of `users` that is free.

    Parameters
    ----------
    server : the product's server; constant context aside, all that its steps depend on.
    prompts, outputs : tokens, whole numbers.
    arrivals : times, rising (s).
    users, think_time : clients, and how long each waits after an answer, exponential (s).
    spread : time over which the clients start (s); 0 all at once.
    times : the `StepTimes` of the server, where several runs share them.
    """
    times = StepTimes(server) if times is None else times
    decode, per_context, usual, mixed = times.decode, times.per_context, times.context, times.mixed
    rates = (attention_of(server, prompts.astype(float)) / prompts).tolist()
    prompts, outputs = prompts.astype(int).tolist(), outputs.astype(int).tolist()
    pauses = (think_time * np.random.default_rng(len(prompts)).exponential(size=len(prompts))).tolist()
    count, groups, slots = len(prompts), int(server.groups), int(server.slots)
    chunk_budget = int(server.prefill_chunk)
    coming = [] if arrivals is None else list(zip(arrivals.tolist(), range(count), strict=True))
    issued = count if arrivals is not None else min(users, count)
    if arrivals is None:
        coming = [(spread * i / issued, i) for i in range(issued)]
    arrived, started, first, finished = ([0.0] * count for _ in range(4))
    lobby: deque = deque()  # requests that wait for a slot and for a place in a step
    begun: list = []  # prompts that are computed: request, tokens left
    inside = [0] * groups  # requests of each group
    group_of = [0] * count
    decoding = [0] * groups
    ends = []  # heap: step at which a request has its last token, request
    now, steps, held, taken, done, batch = 0.0, 0, 0, 0, 0, 0

    def take(request, left, group, room, seconds):
        """Compute what fits of a prompt in this step; its tokens."""
        fitting = min(left, max(room[group], 0))
        room[group] -= fitting
        seconds[group] += fitting * rates[request]
        return fitting

    def leave(request):
        nonlocal issued, taken, done
        finished[request] = now
        taken -= 1
        done += 1
        inside[group_of[request]] -= 1
        if arrivals is None and issued < count:
            heapq.heappush(coming, (now + pauses[issued], issued))
            issued += 1

    while done < count:
        while coming and coming[0][0] <= now:
            arrived[coming[0][1]] = coming[0][0]
            lobby.append(heapq.heappop(coming)[1])
        most = attention = 0
        completed = []
        if lobby or begun:
            room = [chunk_budget - n for n in decoding]
            seconds = [0.0] * groups
            still = []
            for request, left in begun:  # what was begun goes first, by its group
                group = group_of[request]
                left -= take(request, left, group, room, seconds)
                still.append((request, left)) if left else completed.append(request)
            while lobby and taken < slots:
                group = min((g for g in range(groups) if room[g] > 0), key=inside.__getitem__, default=None)
                if group is None:
                    break
                request = lobby.popleft()
                started[request], group_of[request] = now, group
                taken += 1
                inside[group] += 1
                left = prompts[request] - take(request, prompts[request], group, room, seconds)
                still.append((request, left)) if left else completed.append(request)
            begun = still
            most = max(chunk_budget - n - r for n, r in zip(decoding, room, strict=True))
            attention = max(seconds)
        if most:  # a step with prompts
            context = held / batch if batch else usual
            now += mixed(batch, context, groups * most, groups * attention)
            steps += 1
            held += batch
        elif batch:  # steps until something happens
            several = ends[0][0] - steps
            slope = per_context[batch]
            step = decode[batch] + slope * (held / batch - usual)
            if coming:
                gap = coming[0][0] - now
                half = 0.5 * slope  # several steps take several (step + half (several - 1))
                if gap < several * (step + half * (several - 1)):
                    linear = step - half
                    several = max(
                        1, min(several, int(2.0 * gap / (linear + (linear**2 + 4.0 * half * gap) ** 0.5)) + 1)
                    )
            now += several * (step + 0.5 * slope * (several - 1))
            steps += several
            held += several * batch
        else:
            now = coming[0][0]
            continue
        while ends and ends[0][0] <= steps:
            request = heapq.heappop(ends)[1]
            batch -= 1
            decoding[group_of[request]] -= 1
            held -= prompts[request] + outputs[request]
            leave(request)
        for request in completed:
            first[request] = now
            if outputs[request] > 1:
                heapq.heappush(ends, (steps + outputs[request] - 1, request))
                batch += 1
                decoding[group_of[request]] += 1
                held += prompts[request] + 1
            else:
                leave(request)
    return Run(*(np.array(column) for column in (arrived, started, first, finished)), np.array(outputs))
