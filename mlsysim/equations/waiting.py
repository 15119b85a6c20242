"""Who waits for a step, or for the budget of a step, in a server whose step grows with what it holds.

References
----------
Kleinrock 1975, "Queueing Systems I" (residual life ``E[s^2] / (2 E[s])``).
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import batching
from mlsysim.equations.counting import ceil_div
from mlsysim.equations.normal import normal_tail
from mlsysim.schema.codes import LengthLaw

#: pieces of a prompt that are counted one by one; the rest as an area
_COUNTED = 4


class PromptSteps(NamedTuple):
    """What prompts make of the steps that they share."""

    first: Any  #: what the first chunk of a prompt adds to a step (s)
    further: Any  #: what each further one adds (s)
    most: Any  #: chunks that a step has room for


def longer_step(prompts: PromptSteps, chunks):
    """What chunks of prompts add to a step, mean over steps (s): ``(f - c) (1 - e(n)) + c n``.

    A step without a chunk is saved what the first one costs.  Chunks that come at random, with K places for them in a step,
    leave the share ``e(n)`` of the steps without one, as a queue that is served in bulk does (`empty_share`).
    Where a step is linear in its tokens only ``c n`` is left; with experts, whose matrices the first chunk has read, or
    with groups that wait for each other, what the first one adds is most of it.

    Parameters
    ----------
    chunks : chunks that come to a step, mean, n.

    Examples
    --------
    >>> one_place, many = PromptSteps(3.0, 0.0, 1.0), PromptSteps(3.0, 1.0, 1e9)
    >>> round(float(longer_step(one_place, 0.5)), 2), round(float(longer_step(many, 1.0)), 4)
    (1.5, 2.2642)
    """
    empty = empty_share(chunks, prompts.most)
    return (prompts.first - prompts.further) * (1.0 - empty) + prompts.further * chunks


def empty_share(chunks, places):
    """Probability that a server with K places has nothing to do: M/M/K, Erlang's sum in a closed form.

    ``1/P = e^a + a^K/K! [1/(1 - a/K) - S]``, S the tail of the exponential series beyond K over its first term, by its
    approximant of order one: ``S = (1 + a/((K+1)(K+2))) / (1 - a/(K+2))``; within 5 %, and
    1 - a for one place, e^-a for many.

    Parameters
    ----------
    chunks : that come while one is served, a.
    places : K, any number from 1 on.

    Examples
    --------
    >>> [round(float(empty_share(a, k)), 4) for a, k in ((0.8, 1.0), (1.0, 2.0), (2.9, 4.0), (1.0, 1e6))]
    [0.2003, 0.3338, 0.0442, 0.3679]
    """
    share = np.minimum(chunks / places, 1.0 - 1e-6)
    come = share * places
    power = places * (np.log(np.maximum(share, 1e-30)) + 1.0)  # a^K / K! by Stirling's series
    first = np.exp(np.minimum(power, 600.0)) / (np.sqrt(2.0 * np.pi * places) * (1.0 + 1.0 / (12.0 * places)))
    beyond = places + 2.0
    tail = (1.0 + come / ((places + 1.0) * beyond)) / (1.0 - come / beyond)
    return 1.0 / (np.exp(np.minimum(come, 600.0)) + first * (1.0 / (1.0 - share) - tail))


def stalled_share(prompts: PromptSteps, chunk_rate, with_chunk):
    """Share of the time that prompts add to steps, as one more of them would add to it: ``r [(f - c) (-dP0/da) + c]``.

    Where prompts take the same steps as others (many places) most of it is there already, with one place nothing: ``P0`` by
    `empty_share`, its slope over a tenth of what comes.

    Parameters
    ----------
    chunk_rate : chunks that come, r (1/s).
    with_chunk : a step with a chunk (s); a of them come in it.

    Examples
    --------
    >>> one_place, many = PromptSteps(1.0, 0.0, 1.0), PromptSteps(1.0, 0.0, 1e9)
    >>> [round(float(stalled_share(prompts, 0.5, 1.0)), 2) for prompts in (one_place, many)]
    [0.5, 0.31]
    """
    come = chunk_rate * with_chunk
    less = 0.9 * come
    slope = (empty_share(less, prompts.most) - empty_share(come, prompts.most)) / np.maximum(come - less, 1e-30)
    added = (prompts.first - prompts.further) * np.minimum(slope, 1.0) + prompts.further
    return np.minimum(chunk_rate * added, 0.99)


class Bunched(NamedTuple):
    """Steps with prompts that come at random."""

    longer: Any  #: what they add to a step, mean over steps (s)
    share: Any  #: of the steps, those with a prompt


def bunched_step(none, prompts: PromptSteps, chunks, chunk_rate, chunks_of_one) -> Bunched:
    """What chunks of prompts that come at random add to a step, mean over steps (s), where long steps gather more of them.

    As `longer_step`, but a step with a prompt lasts longer, and what comes meanwhile fills the next one.  A run of steps with
    prompts begins in a step without with the probability ``1 - e(a)``, and goes on as where all steps were long, of which
    ``e(b)`` have none: ``1/q = 1 + (1/e(b u) - 1) (1 - e(a)) / (1 - e(b))`` with ``e(x) = (1 - x/K)^K``, a and b prompts that
    come in a step without and with one, and u chunks to a prompt; ``1 - e(x)`` as ``x / (1 + x (1 - 1/K) / 2)``, and
    ``e(b u)``, which must hold for steps that are all long, by `empty_share`.  With one place, ``q = 1 - n``.

    Parameters
    ----------
    none : a step without prompts (s).
    chunks : chunks that come to a step, mean, n.
    chunk_rate : chunks that come (1/s).
    chunks_of_one : steps that a prompt takes, u.

    Examples
    --------
    >>> one_place = PromptSteps(3.0, 0.0, 1.0)  # half of the steps, of 1 and 4 s, have a chunk
    >>> round(float(bunched_step(1.0, one_place, 0.5, 0.2, 1.0).longer), 2)
    1.5
    """
    pairs = 0.5 - 0.5 / prompts.most  # what one chunk finds beside it, of those that come to a step
    met = np.maximum(1.0 + pairs * chunks, chunks)
    with_some = none + prompts.first + prompts.further * (met - 1.0)
    come = chunk_rate * with_some
    some_long = 1.0 / empty_share(come, prompts.most) - 1.0
    shorter = none / with_some
    begin = pairs * come / chunks_of_one
    with_chunk = some_long * shorter * (1.0 + begin)
    share = np.minimum(with_chunk / (1.0 + begin * shorter + with_chunk), chunks)
    return Bunched((prompts.first - prompts.further) * share + prompts.further * chunks, share)


def met_by_tokens(step, bunched: Bunched, begin, decoded):
    """What a token's step lasts beyond the mean step (s): more requests decode where steps have been long for a while.

    Requests come by the second and leave by the step, so that ``b`` follows the steps before: ``E[b s] / E[b] - E[s] =
    (1 / E[s]) sum over k of Cov(s, s_k) / J`` over the J steps of an answer.  Steps with a prompt follow each other as in a
    chain of two states, whose correlation sums to ``r = 1 / (p + q) - 1``: ``Var[s] / E[s] r / (r + J)``.

    Parameters
    ----------
    step : mean step, E[s] (s).
    begin : probability that a step without a prompt is followed by one with, p.
    decoded : J, tokens of an answer that are decoded.

    References
    ----------
    Feller 1968, "An Introduction to Probability Theory" I, chapter XV (chain of two states).

    Examples
    --------
    >>> always, halves = Bunched(1.0, 1.0), Bunched(1.0, 0.5)
    >>> float(met_by_tokens(2.0, always, 0.5, 10.0)), round(float(met_by_tokens(2.0, halves, 0.05, 9.0)), 6)
    (0.0, 0.25)
    """
    share = np.minimum(np.maximum(bunched.share, 1e-12), 1.0)
    follow = np.maximum(share / np.maximum(begin, 1e-12) - 1.0, 0.0)
    variance = bunched.longer * bunched.longer * (1.0 - share) / share
    return (variance / step) * (follow / (follow + np.maximum(decoded, 1.0)))


def over_poisson(function, mean):
    """Mean of a function of a Poisson count, by the two points of Gauss: ``m + 1/2 +- r``, ``r^2 = m + 1/4``.

    The points are the roots of Charlier's polynomial, with weights ``1/2 -+ 1/(4 r)``: exact up to the third power.

    References
    ----------
    Chihara 1978, "An Introduction to Orthogonal Polynomials", chapter VI.1.

    Examples
    --------
    >>> float(over_poisson(lambda n: n * n, 3.0)), float(over_poisson(lambda n: n + 1.0, 0.0))
    (12.0, 1.0)
    """
    root = np.sqrt(mean + 0.25)
    more = 0.5 - 0.25 / root
    return more * function(mean + 0.5 + root) + (1.0 - more) * function(np.maximum(mean + 0.5 - root, 0.0))


def prefill_wait(utilization, service, service_cv, places=1.0):
    """Wait of a prompt for those before it, M/G/1: ``rho E[S] (1 + cs^2) / (2 (1 - rho))`` (s), or inf.

    A step that takes K prompts together makes fewer wait, as K servers do: ``rho^(sqrt(2 (K + 1)) - 1)`` in place of rho
    (Sakasegawa 1977).

    Parameters
    ----------
    utilization : share of the time that prompts fill, rho.
    service : time of one prompt among those that fill a step, S (s).
    service_cv : variation of that (1).
    places : prompts that a step takes, K; below 1 as 1.

    Examples
    --------
    >>> float(prefill_wait(0.5, 1.0, 0.0)), float(prefill_wait(0.5, 1.0, 0.0, 7.0))
    (0.5, 0.125)
    """
    free = np.where(utilization < 1.0, 1.0 - utilization, 1.0)
    wait = utilization * service * (1.0 + service_cv * service_cv) / (2.0 * free)
    return np.where(utilization < 1.0, wait * places_factor(utilization, places), np.inf)


def places_factor(utilization, places):
    """Wait of K servers over that of one as fast as all: ``rho^(sqrt(2 (K + 1)) - 2)`` (Sakasegawa 1977).

    Examples
    --------
    >>> float(places_factor(0.5, 1.0)), float(places_factor(0.5, 7.0))
    (1.0, 0.25)
    """
    some = np.minimum(np.maximum(utilization, 1e-300), 1.0)
    return np.exp((np.sqrt(2.0 * (np.maximum(places, 1.0) + 1.0)) - 2.0) * np.log(some))


class Steps(NamedTuple):
    """The steps that an arrival meets."""

    mean: Any  #: step, mean over steps (s)
    residual: Any  #: what is left of a step at a random instant, mean (s)
    arrivals: Any  #: chunks of prompts that come in the step that an arrival meets, mean


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


def mean_chunks(mean, cv, room, law=LengthLaw.LOGNORMAL, deviation=0.0):
    """Steps that a prompt takes, mean: ``E[ceil(X / m)] = sum over k of P(X > k m)``; ``ceil(mean / m)`` of equal lengths.

    Where the room varies, equal lengths take ``sum over k of P(m < X / k)``, m normal; four terms, as below.

    Exponential lengths: ``1 / (1 - exp(-m / mean))``.  Of lognormal lengths four terms are summed and the rest is the area
    above four and a half, ``E[(X - 4.5 m)+] / m + P/2``, within 0.1 %.

    Parameters
    ----------
    mean, cv : of the prompt's length (tokens, 1).
    room : tokens of prompts in a step, m, mean.
    deviation : standard deviation of the room, as the number of requests beside it varies (tokens).

    Examples
    --------
    >>> float(mean_chunks(700.0, 0.0, 512.0)), round(float(mean_chunks(700.0, 1.0, 512.0)), 3)
    (2.0, 1.872)
    >>> round(float(mean_chunks(500.0, 0.0, 500.0, deviation=5.0)), 6)  # half of the steps are too full
    1.5
    """
    sigma = np.sqrt(np.log1p(np.where(cv > 0, cv * cv, 1.0)))
    share, per_sigma = mean / room, 1.0 / sigma
    distance = -(np.log(share) * per_sigma)

    def deviates(pieces):
        """How far a length of so many pieces lies from the mean."""
        return distance + np.log(pieces) * per_sigma

    half, last = 0.5 * sigma, _COUNTED + 0.5
    some = np.where(deviation > 0, deviation, 1.0)
    counted = 1.0
    for k in range(1, _COUNTED + 1):
        counted = counted + normal_tail(np.where(cv > 0, deviates(k) + half, (room - mean / k) / some))
    rest = share * normal_tail(deviates(last) - half) - last * normal_tail(deviates(last) + half)
    random = np.where(law == LengthLaw.EXPONENTIAL, -1.0 / np.expm1(-1.0 / share), counted + rest)
    whole = ceil_div(mean, room)
    varied = counted + np.maximum(whole - (1.0 + _COUNTED), 0.0)
    return np.where(cv > 0, random, np.where(deviation > 0, varied, whole))


#: nodes and weights of three points: of Gauss and Hermite (normal), of Gauss and Laguerre (exponential)
_NORMAL = ((-(3.0**0.5), 1.0 / 6.0), (0.0, 2.0 / 3.0), (3.0**0.5, 1.0 / 6.0))
_EXPONENTIAL = (
    (0.4157745567834791, 0.711093009929173),
    (2.2942803602790417, 0.2785177335692408),
    (6.289945082937479, 0.0103892565015861),
)


def three_lengths(cv, law=LengthLaw.LOGNORMAL):
    """Three lengths over the mean one, each with its weight, for means over random lengths (quadrature by Gauss).

    References
    ----------
    Abramowitz and Stegun 1964, tables 25.9 and 25.10.

    Examples
    --------
    >>> points = three_lengths(1.0)
    >>> [round(float(sum(weight * length**power for length, weight in points)), 2) for power in (1, 2)]
    [1.0, 1.83]
    """
    sigma = np.sqrt(np.log1p(cv * cv))
    exponential = law == LengthLaw.EXPONENTIAL
    return tuple(
        (
            np.where(exponential, random, np.exp(sigma * deviate - 0.5 * sigma * sigma)),
            np.where(exponential, share, weight),
        )
        for (deviate, weight), (random, share) in zip(_NORMAL, _EXPONENTIAL, strict=True)
    )


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


def shorter_of_two(cv, law=LengthLaw.LOGNORMAL):
    """Mean of the shorter of two lengths over the mean of one: ``2 Phi(-sigma / sqrt 2)`` of lognormal ones, 1/2 exponential.

    Examples
    --------
    >>> round(float(shorter_of_two(0.0)), 6), round(float(shorter_of_two(1.0)), 3)
    (1.0, 0.556)
    """
    lognormal = 2.0 * normal_tail(np.sqrt(0.5 * np.log1p(cv * cv)))
    return np.where(law == LengthLaw.EXPONENTIAL, 0.5, lognormal)


def shorter_age(mean, cv, law=LengthLaw.LOGNORMAL):
    """Steps since the begin of two random lengths, mean over those in which both go on: ``E[min^2] / (2 E[min])``.

    Lognormal: ``m (1 + cv^2) Phi(-sqrt(2) sigma) / (2 Phi(-sigma / sqrt 2))``; exponential: ``m / 2``.

    Examples
    --------
    >>> float(shorter_age(10.0, 0.0)), round(float(shorter_age(10.0, 1.0)), 2)
    (5.0, 4.3)
    """
    sigma = np.sqrt(np.log1p(cv * cv))
    square = (1.0 + cv * cv) * normal_tail(np.sqrt(2.0) * sigma) / (2.0 * normal_tail(np.sqrt(0.5) * sigma))
    return mean * np.where(law == LengthLaw.EXPONENTIAL, 0.5, square)


class RunDown(NamedTuple):
    """How a batch of answers runs down when no request is left to take the place of one that ends."""

    late: Any  #: steps of the last answer after the mean one
    shared: Any  #: requests that an answer decodes beside, over those that the batch began with
    tokens: Any  #: steps that are left of an answer, mean
    older: Any  #: tokens that a request holds then beyond the mean of a steady state
    younger: Any  #: and by how much fewer it holds before, as the first answers begin together


def run_down(output, cv, batch, waves, law=LengthLaw.LOGNORMAL) -> RunDown:
    """The end of a run: `late` is the longest of what is left of the answers less the mean, ``shared = E[min of two] / mean``.

    In the first wave that is whole answers, from the second on what is left of them at a random instant: mean ``E2/(2 E1)``,
    second moment ``E3/(3 E1)``; a line between.  Of two lognormal lengths the shorter is ``2 Phi(-sigma / sqrt 2)`` of the mean.
    Requests hold what they have written: on the mean ``a = E2/(2 E1)`` in a steady state, `shorter_age` where all began
    together, that and a where what is left began at random.  From a common begin to the steady state each lacks the tokens of
    ``D = E3/(3 E1) - a^2`` steps (renewal theory): ``(D/T) (1 - exp(-a T/D))`` in the mean over T steps.

    Parameters
    ----------
    output, cv : of the answers (tokens, 1).
    batch : requests that run when the queue is empty.
    waves : requests of the run over `batch`.

    References
    ----------
    Cox 1962, "Renewal Theory", chapters 4 and 5.

    Examples
    --------
    >>> found = run_down(100.0, 0.0, 64.0, 1.0)
    >>> float(found.late), float(found.shared)
    (0.0, 1.0)
    >>> found = run_down(100.0, 1.0, 64.0, 1.0)
    >>> round(float(found.late), 1), round(float(found.shared), 3), round(float(found.older), 1)
    (394.7, 0.556, -57.0)
    """
    second, third = batching.length_moments(output, cv, law)
    age = 0.5 * second / output
    lacking = third / (3.0 * output) - age * age
    left_cv = np.sqrt(np.maximum(lacking, 0.0)) / age
    random = cv > 0
    begun = np.minimum(np.maximum(waves - 1.0, 0.0), 1.0)
    mean, spread = output + begun * (age - output), cv + begun * (left_cv - cv)
    longest = batching.longest_of(mean, spread, np.maximum(batch, 1.0), law)
    older = shorter_age(mean, spread, law) - (1.0 - begun) * age
    before = np.maximum(output * waves - mean, 1e-9)
    some = np.where(random, lacking, 1.0)
    return RunDown(
        late=np.where(random, np.maximum(longest - mean, 0.0), 0.0),
        shared=np.where(random, shorter_of_two(spread, law), 1.0),
        tokens=mean,
        older=np.where(random, older, 0.0),
        younger=np.where(random, (some / before) * -np.expm1(-age * before / some), 0.0),
    )
