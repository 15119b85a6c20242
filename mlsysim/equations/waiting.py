"""Who waits for a step, for the budget of a step, or for a slot, in a server whose step grows with what it holds.

References
----------
Kleinrock 1975, "Queueing Systems I" (residual life ``E[s^2] / (2 E[s])``; birth and death of a population).
Kelly 1979, "Reversibility and Stochastic Networks" (shared service depends on no more of a law than its mean).
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import batching
from mlsysim.equations.counting import ceil_div
from mlsysim.equations.normal import normal_tail
from mlsysim.equations.stage import stage
from mlsysim.schema.codes import LengthLaw

_LOST = 2.0**-54  # a term of a sum, over the sum, that no longer changes a bit of it
_HOPELESS = 1e30  # 1/B beyond which nobody waits

#: pieces of a prompt that are counted one by one; the rest as an area
_COUNTED = 4


class PromptSteps(NamedTuple):
    """What prompts make of the steps that they share."""

    first: Any  #: what the first chunk of a prompt adds to a step (s)
    further: Any  #: what each further one adds (s)
    most: Any  #: chunks that a step has room for


def longer_step(prompts: PromptSteps, chunks):
    """What chunks of prompts add to a step, mean over steps (s): ``(f - c) (1 - (1 - n/K)^K) + c n``.

    K places in a step, each taken with the probability n/K: a step without a chunk is saved what the first one costs.
    Where a step is linear in its tokens only ``c n`` is left; with experts, whose matrices the first chunk has read, or
    with groups that wait for each other, what the first one adds is most of it.

    Parameters
    ----------
    chunks : chunks that come to a step, mean, n.

    Examples
    --------
    >>> one_place, many = PromptSteps(3.0, 0.0, 1.0), PromptSteps(3.0, 1.0, 1e9)
    >>> float(longer_step(one_place, 0.5)), round(float(longer_step(many, 1.0)), 4)
    (1.5, 2.2642)
    """
    empty = np.exp(prompts.most * np.log1p(-np.minimum(chunks / prompts.most, 1.0 - 1e-12)))
    return (prompts.first - prompts.further) * (1.0 - empty) + prompts.further * chunks


def bunched_step(none, prompts: PromptSteps, chunks, chunk_rate, chunks_of_one):
    """What chunks of prompts that come at random add to a step, mean over steps (s), where long steps gather more of them.

    As `longer_step`, but a step with a prompt lasts longer, and what comes meanwhile fills the next one.  A run of steps with
    prompts begins in a step without with the probability ``1 - e(a)``, and goes on as where all steps were long, of which
    ``e(b)`` have none: ``1/q = 1 + (1/e(b u) - 1) (1 - e(a)) / (1 - e(b))`` with ``e(x) = (1 - x/K)^K``, a and b prompts that
    come in a step without and with one, and u chunks to a prompt; ``1 - e(x)`` as ``x / (1 + x (1 - 1/K) / 2)``.  With one
    place, ``q = 1 - n``.

    Parameters
    ----------
    none : a step without prompts (s).
    chunks : chunks that come to a step, mean, n.
    chunk_rate : chunks that come (1/s).
    chunks_of_one : steps that a prompt takes, u.

    Examples
    --------
    >>> one_place = PromptSteps(3.0, 0.0, 1.0)  # half of the steps, of 1 and 4 s, have a chunk
    >>> float(np.round(bunched_step(1.0, one_place, 0.5, 0.2, 1.0), 9))
    1.5
    """
    pairs = 0.5 - 0.5 / prompts.most  # what one chunk finds beside it, of those that come to a step
    met = np.maximum(1.0 + pairs * chunks, chunks)
    with_some = none + prompts.first + prompts.further * (met - 1.0)
    come = chunk_rate * with_some
    empty = -prompts.most * np.log1p(-np.minimum(come / prompts.most, 1.0 - 1e-6))
    some_long = np.expm1(np.minimum(empty, 600.0))  # beyond, every step has a prompt to all digits
    shorter = none / with_some
    begin = pairs * come / chunks_of_one
    with_chunk = some_long * shorter * (1.0 + begin)
    share = with_chunk / (1.0 + begin * shorter + with_chunk)
    return (prompts.first - prompts.further) * share + prompts.further * chunks


class Steps(NamedTuple):
    """The steps that an arrival meets."""

    mean: Any  #: step, mean over steps (s)
    residual: Any  #: what is left of a step at a random instant, mean (s)
    arrivals: Any  #: chunks of prompts that come in the step that an arrival meets, mean


def longer_by_one(prompts: PromptSteps, chunks):
    """What one chunk more to a step adds (s), the derivative of `longer_step`: ``(f - c) (1 - n/K)^(K - 1) + c``.

    Examples
    --------
    >>> round(float(longer_by_one(PromptSteps(3.0, 1.0, 4.0), 2.0)), 6)
    1.25
    """
    vacant = np.exp((prompts.most - 1.0) * np.log1p(-np.minimum(chunks / prompts.most, 1.0 - 1e-12)))
    return (prompts.first - prompts.further) * vacant + prompts.further


def met_steps(decoding, with_chunk, per_chunk, chunks_a_second, step) -> Steps:
    """Steps of a server to which chunks of prompts come at random: ``s = T + J [n > 0] + c n``, n Poisson.

    An arrival meets long steps more often: it waits for ``E[s^2] / (2 E[s])``, and ``lambda E[s^2] / E[s]`` others come in the
    same step.

    Parameters
    ----------
    decoding, with_chunk : a step without a prompt, and with one chunk (s).
    per_chunk : what a further chunk adds (s).
    chunks_a_second : chunks of prompts that come (1/s).
    step : mean step (s).

    Examples
    --------
    >>> found = met_steps(0.01, 0.03, 0.0, 0.0, 0.01)
    >>> float(found.residual), float(found.arrivals)
    (0.005, 0.0)
    """
    count = chunks_a_second * step
    some = -np.expm1(-count)
    jump = with_chunk - decoding - per_chunk
    mean = decoding + jump * some + per_chunk * count
    extra = jump * jump * some + 2.0 * jump * per_chunk * count + per_chunk * per_chunk * (count + count * count)
    square = decoding * decoding + 2.0 * decoding * (mean - decoding) + extra
    twice = square / mean
    return Steps(mean, 0.5 * twice, chunks_a_second * twice)


def mean_chunks(mean, cv, room, law=LengthLaw.LOGNORMAL):
    """Steps that a prompt takes, mean: ``E[ceil(X / m)] = sum over k of P(X > k m)``; ``ceil(mean / m)`` of equal lengths.

    Exponential lengths: ``1 / (1 - exp(-m / mean))``.  Of lognormal lengths four terms are summed and the rest is the area
    above four and a half, ``E[(X - 4.5 m)+] / m + P/2``, within 0.1 %.

    Parameters
    ----------
    mean, cv : of the prompt's length (tokens, 1).
    room : tokens of prompts in a step, m.

    Examples
    --------
    >>> float(mean_chunks(700.0, 0.0, 512.0)), round(float(mean_chunks(700.0, 1.0, 512.0)), 3)
    (2.0, 1.872)
    """
    deviation = np.sqrt(np.log1p(np.where(cv > 0, cv * cv, 1.0)))
    share, per_deviation = mean / room, 1.0 / deviation
    distance = -(np.log(share) * per_deviation)

    def deviates(pieces):
        """How far a length of so many pieces lies from the mean."""
        return distance + np.log(pieces) * per_deviation

    half, last = 0.5 * deviation, _COUNTED + 0.5
    counted = 1.0
    for k in range(1, _COUNTED + 1):
        counted = counted + normal_tail(deviates(k) + half)
    counted = counted + share * normal_tail(deviates(last) - half) - last * normal_tail(deviates(last) + half)
    random = np.where(law == LengthLaw.EXPONENTIAL, -1.0 / np.expm1(-1.0 / share), counted)
    return np.where(cv > 0, random, ceil_div(mean, room))


def chunks_among_others(chunks, steps, filled):
    """Steps that a prompt takes where others fill part of them: so many begin behind another one, anywhere in a step.

    Parameters
    ----------
    chunks : steps that it takes from the beginning of a step, see `mean_chunks`.
    steps : what it fills of them, X/m: begun anywhere it meets ``1 + X/m``.
    filled : share of the room of steps that prompts fill, 0..1.

    Examples
    --------
    >>> float(chunks_among_others(1.0, 0.5, 0.5))
    1.25
    """
    return chunks + filled * np.maximum(1.0 + steps - chunks, 0.0)


@stage(lanes=True)
def all_slots_taken(slots, load, growth, queue_load):
    """Probability that an arrival finds no slot, where a step grows with the requests in it.

    Requests share their server, each leaving after its number of steps, so that the number that runs is that of a birth and
    death: b of them leave at the rate ``b / t(b)``, with ``t(b)`` linear, and each that waits at the rate of a full server.  Of
    the length of answers only the mean counts below the last slot (Kelly 1979, shared service).  With a step that does not
    grow it is Erlang C.

    Parameters
    ----------
    slots : c, whole (1).
    load : arrivals over what c requests can leave at while prompts come as they arrive (1).
    growth : share of the step of c requests that comes with them, ``1 - t(0) / t(c)``, 0..1.
    queue_load : arrivals over those that a full server takes, rho (1); from 1 on everybody waits.

    Examples
    --------
    >>> round(float(all_slots_taken(10.0, 0.8, 0.0, 0.8)), 8)  # Erlang C of 10 servers and a load of 8
    0.40918015
    >>> round(float(all_slots_taken(10.0, 0.8, 0.5, 0.8)), 8)
    0.31752508
    """
    total = 1.0 if load > 0.0 and queue_load < 1.0 else _HOPELESS  # over the states up to c, of which the last counts 1
    term = 1.0
    fixed = load * slots * (1.0 - growth)  # of ``load slots t(j) / t(c)``, and what each request adds
    each = load * growth
    j = slots
    while term > _LOST * total and total < _HOPELESS:  # the term of no request is 0, and so are all after it
        leaving = fixed + each * j
        term *= j / (leaving if leaving > 0.0 else 1.0)
        total += term
        j -= 1.0
    queue = 1.0 / (1.0 - queue_load)
    taken = queue / (total - 1.0 + queue) if total < _HOPELESS else 0.0
    return 1.0 if queue_load >= 1.0 else (taken if queue_load < 1.0 and load == load else load + queue_load)


class RunDown(NamedTuple):
    """How a batch of answers runs down when no request is left to take the place of one that ends."""

    late: Any  #: steps of the last answer after the mean one
    shared: Any  #: requests that an answer decodes beside, over those that the batch began with


def run_down(output, cv, batch, waves, law=LengthLaw.LOGNORMAL) -> RunDown:
    """The end of a run: `late` is the longest of what is left of the answers less the mean, ``shared = E[min of two] / mean``.

    In the first wave that is whole answers, later what is left of them at a random instant: mean ``E2/(2 E1)``, second
    moment ``E3/(3 E1)``.  Of two lognormal lengths the shorter is ``2 Phi(-sigma / sqrt 2)`` of the mean.

    Parameters
    ----------
    output, cv : of the answers (tokens, 1).
    batch : requests that run when the queue is empty.
    waves : requests of the run over `batch`.

    Examples
    --------
    >>> found = run_down(100.0, 0.0, 64.0, 1.0)
    >>> float(found.late), float(found.shared)
    (0.0, 1.0)
    >>> found = run_down(100.0, 1.0, 64.0, 1.0)
    >>> round(float(found.late), 1), round(float(found.shared), 3)
    (394.7, 0.556)
    """
    second, third = batching.length_moments(output, cv, law)
    left = 0.5 * second / output
    left_cv = np.sqrt(np.maximum(third / (3.0 * output * left * left) - 1.0, 0.0))
    whole = waves <= 1.0
    mean, spread = np.where(whole, output, left), np.where(whole, cv, left_cv)
    longest = batching.longest_of(mean, spread, np.maximum(batch, 1.0), law)
    shorter = 2.0 * normal_tail(np.sqrt(0.5 * np.log1p(spread * spread)))
    random = cv > 0
    share = np.where(law == LengthLaw.EXPONENTIAL, 0.5, shorter)
    return RunDown(np.where(random, np.maximum(longest - mean, 0.0), 0.0), np.where(random, share, 1.0))
