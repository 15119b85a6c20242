"""A cluster of prefill and decode replicas, event by event: what the forms of `mlsysim.equations.pools` are tested against.

It takes the times of its steps from the product, so that only queueing differs.  Prompts wait in one queue; the replicas that
are free share what waits, and each takes as many as one step holds; a request that is prefilled waits until its cache has
moved, then for a slot of the decode replica with the fewest requests (or of one that is chosen at random), and joins at the
next step there.  Steps between two events are taken together.  Where prompts are dealt to attention groups each of these takes
its own in their order; a replica that plans ahead takes prompts for its next step while one runs.
"""

import heapq
from collections import deque
from typing import NamedTuple

import numpy as np

from mlsysim.equations import cache_transfer, decode_pool, prefill_pool


class Run(NamedTuple):
    """What a run measured, of each request (s)."""

    arrived: np.ndarray
    first: np.ndarray
    finished: np.ndarray
    outputs: np.ndarray


class Replica:
    """A replica that decodes: its requests leave after a number of its steps."""

    def __init__(self, slots, table):
        self.slots, self.table = slots, table
        self.steps, self.ends, self.waiting, self.since = 0, [], [], 0.0
        self.turn = 0  # of plans: what was planned for an earlier one is overtaken

    @property
    def held(self):
        return len(self.ends) + len(self.waiting)


def simulate(
    cluster, outputs, *, arrivals=None, users=None, think_time=0.0, sent=None, chosen=None, dealt=None, launch=None
):
    """Serve requests of these answers (tokens, whole): at `arrivals`, or each by the next of `users` that is free.

    `sent` are the prefill replicas that prompts go to, busy or not, and `chosen` the decode replicas, free or not; without
    them prompts go to any that is free, and requests where fewest are.  `dealt` are attention groups that prompts go to, and
    `launch` is the host's time to launch a step, after which it plans the next one (s); both with `sent`.
    """
    prefill, decode, transfer = cluster.prefill, cluster.decode, cluster.transfer
    servers, most = int(prefill.replicas), int(prefill.most)
    steps = [float(prefill_pool.step_time(prefill, float(n))) for n in range(most + 1)]
    moving = [float(transfer.moving * prefill_pool.sharing(prefill, float(n))) for n in range(most + 1)]
    gone = [
        float(transfer.latency + cache_transfer.behind_pieces(m, t, transfer.pieces)) for m, t in zip(moving, steps)
    ]
    slots = int(decode.slots)
    table = np.asarray(decode_pool.token_time(decode, np.arange(slots + 1.0))).tolist()
    replicas = [Replica(slots, table) for _ in range(int(decode.replicas))]
    count = len(outputs)
    left = (np.asarray(outputs) - 1).astype(int).tolist()
    arrived, first, finished = (np.zeros(count) for _ in range(3))
    events: list = []  # time, order, what, payload
    order = 0

    def at(time, what, payload):
        nonlocal order
        order += 1
        heapq.heappush(events, (time, order, what, payload))

    if arrivals is not None:
        for i, time in enumerate(arrivals):
            at(float(time), "arrive", i)
        issued = count
    else:
        issued = min(users, count)
        for i in range(issued):
            at(0.0, "arrive", i)
    queues = [deque() for _ in range(servers if sent is not None else 1)]
    ready = [deque() for _ in replicas] if chosen is not None else [deque()]  # caches that wait for a slot
    free = [1] * servers if sent is not None else [servers]
    front = float(cluster.front)

    each, groups = prefill_pool.slopes(prefill), int(prefill.groups)
    planned = [[] for _ in queues]

    def taken(which):
        queue = queues[which]
        if dealt is None:
            return [queue.popleft() for _ in range(min(most, -(-len(queue) // max(free[which], 1))))]
        room, batch, rest = [max(most // groups, 1)] * groups, [], []
        for request in queue:
            (batch if room[dealt[request]] else rest).append(request)
            room[dealt[request]] = max(room[dealt[request]] - 1, 0)
        queues[which] = deque(rest)
        return batch

    def lasts(batch):
        if dealt is None:
            return steps[len(batch)]
        fullest = np.bincount([dealt[request] for request in batch]).max()
        own = groups * float(each.behind - each.beside) * (fullest - 1)
        return float(prefill.one) + float(each.beside) * (len(batch) - 1) + own

    def run(which, batch, now, was_planned):
        free[which] -= 1
        at(now + lasts(batch), "prefilled", (which, batch))
        if launch is not None:
            at(now if was_planned else now + launch, "plan", which)

    def start(which, now):
        while free[which] and queues[which]:
            run(which, taken(which), now, False)

    def join(now):
        for own, waiting in zip(replicas, ready):
            enter(waiting, [own] if chosen is not None else replicas, now)

    def enter(waiting, among, now):
        while waiting:
            replica = min(among, key=lambda r: r.held)
            if replica.held >= replica.slots:
                return
            request = waiting.popleft()
            replica.waiting.append(request)
            if not replica.ends and len(replica.waiting) == 1:
                at(now, "step", (replica, replica.turn))
            elif len(replica.waiting) == 1:  # it joins at the end of the step under way
                step = table[len(replica.ends)]
                whole = np.ceil((now - replica.since) / step - 1e-9)
                at(replica.since + whole * step, "step", (replica, replica.turn))

    def run_on(replica, now):
        """Bring a replica to an instant at which a step ends: who ends, who joins, and when the next one ends."""
        nonlocal issued
        batch = len(replica.ends)
        if batch:
            replica.steps += round((now - replica.since) / table[batch])
        replica.since = now
        while replica.ends and replica.ends[0][0] <= replica.steps:
            request = heapq.heappop(replica.ends)[1]
            finished[request] = now
            if arrivals is None and issued < count:
                at(now + think_time, "arrive", issued)
                issued += 1
        for request in replica.waiting:
            heapq.heappush(replica.ends, (replica.steps + left[request], request))
        first[replica.waiting] = now + table[len(replica.ends)]
        replica.waiting = []
        replica.turn += 1
        if replica.ends:
            whole = replica.ends[0][0] - replica.steps
            at(now + whole * table[len(replica.ends)], "step", (replica, replica.turn))

    while events:
        now, _, what, payload = heapq.heappop(events)
        if what == "arrive":
            arrived[payload] = now
            at(now + front, "queued", payload)
        elif what == "queued":
            queues[0 if sent is None else sent[payload]].append(payload)
            if not events or events[0][0] > now or events[0][2] != "queued":
                for which in range(len(queues)):
                    start(which, now)
        elif what == "prefilled":
            which, batch = payload
            free[which] += 1
            for request in batch:
                at(now + gone[len(batch)], "moved", request)
            following, planned[which] = planned[which], []
            if following:
                run(which, following, now, True)
            else:
                start(which, now)
        elif what == "plan":
            if not free[payload] and not planned[payload] and queues[payload]:
                planned[payload] = taken(payload)
        elif what == "moved":
            ready[chosen[payload] if chosen is not None else 0].append(payload)
            join(now)
        else:
            replica, turn = payload
            if turn == replica.turn:
                run_on(replica, now)
                join(now)
    return Run(arrived, first, finished, np.asarray(outputs))
