"""Continuous batching: requests join and leave a running batch step by step.

A step that decodes b sequences of mean context s beside n prompt tokens takes about

    tau = c0 + c1 b + c2 n + c3 b s

(c0 weights and overhead, c1 a sequence, c2 a prompt token, c3 a cached position).  With S_in prompt and S_out
generated tokens per request and an arrival rate lambda, Little's law gives b = lambda (S_out - 1) tau and
n = lambda S_in tau, hence closed forms for open, closed and saturated loops.  Where the step is not linear,
c0..c3 are differences of its true time, and the loops below are solved in b (`solve_increasing`).

The prefill emits the first token, so S_out - 1 are decoded, at a mean context S_in + S_out / 2.

References
----------
Yu et al. 2022, "Orca" (OSDI); Kwon et al. 2023 (arXiv:2309.06180); Agrawal et al. 2024, "Sarathi-Serve"
(arXiv:2403.02310).  Reiser and Lavenberg 1980, "Mean-value analysis" (JACM 27) for the closed loop.
"""

import numpy as np

from mlsysim.equations.counting import ceil_div, floor_div
from mlsysim.equations.normal import largest_deviate, normal_quantile, normal_tail
from mlsysim.equations.queueing import EULER, harmonic, wait_quantile
from mlsysim.schema.codes import LengthLaw

# --- linear step ---------------------------------------------------------------------------------------
# Closed forms, which the loops over a step of any shape are tested against.


def request_cost(c1, c2, c3, prompt, output, context):
    """Time a request adds to its steps: ``c1 (S_out - 1) + c2 S_in + c3 (S_out - 1) s`` (s)."""
    return (output - 1.0) * (c1 + c3 * context) + c2 * prompt


def saturation_rate(c1, c2, c3, prompt, output, context):
    """Arrival rate beyond which no batch is large enough, ``1 / request cost`` (1/s).

    Examples
    --------
    >>> float(np.round(saturation_rate(5e-5, 6e-5, 2.5e-8, 512.0, 128.0, 576.0), 7))
    25.7077339
    """
    return 1.0 / request_cost(c1, c2, c3, prompt, output, context)


def open_step_time(c0, load):
    """Mean step in an open loop, ``c0 / (1 - load)`` (s), load over the saturation rate; inf from 1 on."""
    return np.where(load < 1.0, c0 / np.where(load < 1.0, 1.0 - load, 1.0), np.inf)


def open_token_time(c0, c1, c3, context, load):
    """Time between tokens of one request in an open loop, ``(c0 + c1 + c3 s) / (1 - load)`` (s).

    A token sees itself besides the others, so at vanishing load this is the step of one sequence.
    Simulated means lie 1.00 to 1.06 times higher at load 0.5, 1.06 to 1.25 at 0.85 (S_out >= 100).
    """
    return open_step_time(c0 + c1 + c3 * context, load)


def saturated_rate(c0, c1, c2, c3, prompt, output, context, batch):
    """Requests per second with `batch` slots full: ``1 / [(S_out-1)(c0/b + c1 + c3 s) + c2 S_in]`` (1/s).

    Examples
    --------
    >>> float(np.round(saturated_rate(8e-3, 5e-5, 6e-5, 2.5e-8, 512.0, 128.0, 576.0, 64.0), 7))
    18.2569038
    """
    return 1.0 / ((output - 1.0) * (c0 / batch) + request_cost(c1, c2, c3, prompt, output, context))


def closed_loop_rate(c0, c1, c2, c3, prompt, output, context, users, think_time, chunk):
    """Requests per second of a closed loop without queue (1/s).

    ``N = X (Z + T_prefill + (S_out - 1) tau)`` where tau and the batch that a prefill meets are those of
    the N - 1 others (arrival theorem): ``tau = (c0 + c1 + c3 s) / (1 - u X / X_sat)``, ``u = (N - 1)/N``.

    Notes
    -----
    A quadratic in X.  Exact for one user, within 3 % of a simulation elsewhere.

    Examples
    --------
    >>> steps = (8e-3, 5e-5, 6e-5, 2.5e-8, 512.0, 128.0, 576.0)
    >>> [float(np.round(closed_loop_rate(*steps, n, 0.0, 512.0), 6)) for n in (1.0, 16.0, 64.0)]
    [0.940823, 9.797, 18.351219]
    """
    others = (users - 1.0) / users
    share = request_cost(c1, c2, c3, prompt, output, context) * others
    token = c0 + c1 + c3 * context
    chunks = ceil_div(prompt, chunk)
    alone = think_time + chunks * c0 + c2 * prompt
    met = chunks * (c1 + c3 * context) * others * (output - 1.0) * token
    # X [alone (1 - share X) + met X + (S_out - 1) token] = N (1 - share X)
    square = met - alone * share
    linear = alone + (output - 1.0) * token + users * share
    return 2.0 * users / (linear + np.sqrt(linear * linear + 4.0 * square * users))


def token_budget_rate(c0, c1, c2, c3, output, context, prompt, budget):
    """Arrival rate at which prompts fill the budget of every step: ``lambda S_in tau(b, C) = C`` (1/s)."""
    full = c0 + c2 * budget
    per_rate = (output - 1.0) * (c1 + c3 * context)
    # tau = full / (1 - lambda per_rate); lambda S_in tau = C
    return budget / (prompt * full + budget * per_rate)


# --- lengths and memory --------------------------------------------------------------------------------


def lognormal_moments(mean, cv):
    """Second and third moment of a lognormal length; cv = 0 is a constant length.

    ``E2 = m^2 (1 + cv^2)``, ``E3 = m^3 (1 + cv^2)^3``.
    """
    spread = 1.0 + cv * cv
    return mean * mean * spread, mean * mean * mean * spread * spread * spread


def length_moments(mean, cv, law=LengthLaw.LOGNORMAL):
    """Second and third moment of a random length: lognormal, or exponential (``E2 = 2 m^2``, ``E3 = 6 m^3``, cv aside).

    Examples
    --------
    >>> [float(moment) for moment in length_moments(10.0, 0.0, LengthLaw.EXPONENTIAL)]
    [200.0, 6000.0]
    """
    second, third = lognormal_moments(mean, cv)
    exponential = law == LengthLaw.EXPONENTIAL
    square = mean * mean
    return np.where(exponential, 2.0 * square, second), np.where(exponential, 6.0 * square * mean, third)


def carried_length(prompt_mean, prompt_cv, output_mean, output_cv, law=LengthLaw.LOGNORMAL):
    """Tokens that a running request holds at a random instant: mean, and variance.

    Long answers are met more often: mean ``S_in + E2/(2 E1)``, variance ``Var(S_in) + E3/(3 E1) - (E2/(2
    E1))^2`` with E1, E2, E3 the moments of the generated length.
    """
    second, third = length_moments(output_mean, output_cv, law)
    age = second / (2.0 * output_mean)
    spread = prompt_mean * prompt_cv
    return prompt_mean + age, spread * spread + third / (3.0 * output_mean) - age * age


def paged_length(length, page_size):
    """Tokens that the pages of a sequence of spread-out length hold room for, mean: ``s + (B - 1)/2``.

    Examples
    --------
    >>> paged_length(1000.0, 16.0)
    1007.5
    """
    return length + 0.5 * (page_size - 1.0)


def pages_up_to(length, page_size):
    """Pages of a length, summed over the lengths up to it: ``B q (q + 1) / 2 + r (q + 1)``, q whole pages and r tokens.

    Examples
    --------
    >>> float(pages_up_to(40.0, 16.0))  # 16 of one page, 16 of two, 8 of three
    72.0
    """
    whole = floor_div(length, page_size)
    return 0.5 * page_size * whole * (whole + 1.0) + (length - whole * page_size) * (whole + 1.0)


def growing_pages(shortest, longest, page_size):
    """Tokens that the pages of a growing sequence hold room for, mean over its lengths: above `shortest`, up to `longest`.

    Exact for a length that is known, where `paged_length` holds for lengths that are spread out.

    Examples
    --------
    >>> float(growing_pages(1000.0, 1008.0, 16.0)), float(growing_pages(992.0, 1008.0, 16.0))
    (1008.0, 1008.0)
    """
    pages = (pages_up_to(longest, page_size) - pages_up_to(shortest, page_size)) / (longest - shortest)
    return page_size * pages


def paged_blocks(length, page_size):
    """Pages of a sequence of spread-out length, mean: `paged_length` over the page."""
    return paged_length(length, page_size) / page_size


def usable_share(length, page_size):
    """Share of the pages that holds tokens of lengths that are spread out: s over its `paged_length`.

    Examples
    --------
    >>> float(np.round(usable_share(1000.0, 16.0), 9))
    0.992555831
    """
    return length / paged_length(length, page_size)


def admitted_requests(blocks, mean, deviation, overflow):
    """Requests that may run so that the pool overflows with a probability of about `overflow`.

    The largest N with ``N mu + z sqrt(N) sigma <= blocks``, z the normal quantile of 1 - overflow (a real
    number: the caller rounds down).

    Parameters
    ----------
    blocks : pages in the pool.
    mean, deviation : pages of a running request.
    """
    margin = normal_quantile(1.0 - overflow) * deviation
    root = 0.5 * (np.sqrt(margin * margin + 4.0 * mean * blocks) - margin) / mean
    return root * root


def overflow_probability(active, blocks, mean, deviation):
    """Probability that `active` running requests need more than `blocks` pages at a random instant."""
    room = blocks - active * mean
    spread = np.sqrt(active) * deviation
    certain = np.where(room >= 0, 0.0, 1.0)
    return np.where(spread > 0, normal_tail(room / np.where(spread > 0, spread, 1.0)), certain)


def length_quantile(mean, cv, probability, law=LengthLaw.LOGNORMAL):
    """Length that a share `probability` of lengths stays below.

    Examples
    --------
    >>> float(length_quantile(100.0, 0.0, 0.99)), round(float(length_quantile(100.0, 1.0, 0.99)), 4)
    (100.0, 490.4916)
    """
    variance = np.log1p(cv * cv)
    lognormal = mean * np.exp(np.sqrt(variance) * normal_quantile(probability) - 0.5 * variance)
    return np.where(law == LengthLaw.EXPONENTIAL, -mean * np.log1p(-probability), lognormal)


def longest_of(mean, cv, count, law=LengthLaw.LOGNORMAL):
    """Expected longest of `count` lengths: lognormal, see `normal.largest_deviate`, or exponential, ``m H_n``."""
    variance = np.log1p(cv * cv)
    deviate = largest_deviate(count)
    lognormal = np.where(cv > 0, mean * np.exp(np.sqrt(variance) * deviate - 0.5 * variance), mean)
    return np.where(law == LengthLaw.EXPONENTIAL, mean * harmonic(count), lognormal)


def wait_at_percentile(waiting, mean, percentile):
    """Wait that a share `percentile` of arrivals keeps (s): `queueing.wait_quantile`, from the mean wait of all.

    Parameters
    ----------
    waiting : probability of waiting, P.
    mean : mean wait of all arrivals, W (s); those who wait do so for W/P.

    Examples
    --------
    >>> round(float(wait_at_percentile(0.5, 1.0, 0.99)), 8), float(wait_at_percentile(0.5, 1.0, 0.4))
    (7.82404601, 0.0)
    >>> float(wait_at_percentile(0.5, 0.0, 0.99)), float(wait_at_percentile(0.5, np.inf, 0.4))
    (0.0, inf)
    """
    some = (mean > 0) & (mean < np.inf)
    wait = wait_quantile(waiting, waiting / np.where(some, mean, 1.0), 1.0 - percentile)
    return np.where(some, wait, np.where(mean < np.inf, 0.0, np.inf))


# --- loops over a step of any shape ---------------------------------------------------------------------


def solve_increasing(function, low, high, rounds=6, at_low=None):
    """Root of an increasing function by the Illinois rule, a fixed number of rounds (so that it vectorises).

    Regula falsi that halves the value of an end kept twice; on functions as smooth as a step time six
    rounds leave a relative error below 1e-6.  The nearer to a straight line the function is, the better.

    Parameters
    ----------
    function : callable, negative below its root and positive above.
    low, high : bracket; without a sign change the nearer end is returned.
    rounds : times that `function` is asked between them.
    at_low : value of `function` at `low`, where that is known without asking.

    Examples
    --------
    >>> float(np.round(solve_increasing(lambda x: x * x - 2.0, 0.0, 4.0, rounds=8), 6))
    1.414214
    """
    at_high = function(high)
    if at_low is None:
        at_low = function(low)
    only_low, only_high = at_low >= 0, at_high <= 0
    left, right = low, high
    kept_left = kept_right = False

    def between():
        rise = at_high - at_low
        return right - at_high * ((right - left) / np.where(rise > 0, rise, 1.0))

    for _ in range(rounds):
        middle = between()
        value = function(middle)
        above = value > 0
        at_low = np.where(above, np.where(kept_left, 0.5 * at_low, at_low), value)
        at_high = np.where(above, value, np.where(kept_right, 0.5 * at_high, at_high))
        left, right = np.where(above, left, middle), np.where(above, middle, right)
        kept_left, kept_right = above, np.logical_not(above)
    return np.where(only_low, low, np.where(only_high, high, between()))


# --- prefill beside decode ------------------------------------------------------------------------------


def mixed_fraction(arrival_rate, step_time, prompt, budget):
    """Share of steps with prompts: ``min(1, lambda tau S_in / C)``, ``1 - exp(-lambda tau)`` if S_in < C."""
    arrivals = arrival_rate * step_time
    return np.where(prompt >= budget, np.minimum(arrivals * prompt / budget, 1.0), -np.expm1(-arrivals))


def poisson_quantile(mean, probability, largest=8):
    """Smallest k with P(Poisson(mean) <= k) >= probability, at most `largest`."""
    term = np.exp(-mean)
    below = term
    count = np.where(below < probability, 1.0, 0.0)
    for k in range(1, largest):
        term = term * mean / k
        below = below + term
        count = count + np.where(below < probability, 1.0, 0.0)
    return count


# --- runs of finite length ------------------------------------------------------------------------------


def burst_ttft(prefill_time, chunks, of_one=1.0):
    """Mean time to the first token when prompts start together and are served in turn (s).

    ``T (u + c) / (2 u)``: the first is done after c of u steps, the last after T.

    Parameters
    ----------
    prefill_time : of all prompts (s).
    chunks : steps it takes, u.
    of_one : steps that one prompt takes, c.

    Examples
    --------
    >>> burst_ttft(4.0, 4.0), burst_ttft(4.0, 4.0, 4.0)  # four steps of some prompts each, or of one prompt
    (2.5, 4.0)
    """
    return prefill_time * (chunks + of_one) / (2.0 * chunks)


def collision_factor(users, prefill_time, elsewhere, length_cv, sharing, servers=1.0, done=0.5):
    """How much longer than alone a prompt takes in a closed loop, q: others are in prefill at that moment.

    Mean values of a closed queue with a constant service s: who comes meets the others' prompts, of which the one in service
    has the share d behind it, ``R = s + s (N - 1) (R - d s) / (Z + R)``, solved for ``q = R/s - 1``; far from saturation
    ``rho (1 - d) / (1 - rho)``.  A prompt goes to that of several attention groups which is free: m servers are one of
    s/m behind a delay of ``s (m - 1) / m`` (Seidmann, Schweitzer and Shalev-Oren 1987, "Computerized closed queueing network
    models").  Requests of equal length keep meeting: ``max(that, rho g / 2 + 0.05 (g - 1))`` with g prompts to a step.

    Parameters
    ----------
    users : clients of one server, N/m.
    prefill_time : time one prompt adds to a mixed step, s (s).
    elsewhere : time of a client's cycle outside of its prompt, Z: decoding and thinking (s).
    sharing : g, prompts that one step holds.
    servers : m, attention groups.
    done : d; ``(1 - c^2) / 2`` of services that vary by c, and more where all come at the ends of steps.

    Examples
    --------
    >>> [round(float(collision_factor(n, 1.0, 9.0, 1.0, 1.0)), 4) for n in (1.0, 2.0, 10.0, 100.0)]
    [0.0, 0.0552, 1.6794, 89.5527]
    """
    service = np.maximum(prefill_time, 1e-12)
    rest = elsewhere / service
    clients, away = users * servers, rest * servers + servers - 1.0
    surplus = clients - away
    inside = surplus * surplus + 4.0 * away - 4.0 * done * (clients - 1.0)
    random = np.maximum(0.5 * (surplus + np.sqrt(np.maximum(inside, 0.0))) - 1.0, 0.0) / servers
    busy = np.minimum(np.maximum(users - 1.0, 0.0) / np.maximum(rest, 1.0), 0.99)
    locked = np.maximum(random, 0.5 * busy * sharing + LOCKED_SHARE * (sharing - 1.0))
    return np.where(length_cv > 0, random, locked)


def at_least_one(mean):
    """Mean of a Poisson count that is not 0: ``m / (1 - exp(-m))``, 1 where m is 0."""
    some = mean > 1e-9
    held = np.where(some, mean, 1.0)
    return np.where(some, held / -np.expm1(-held), 1.0)


def occupied(groups, prompts):
    """Groups that have a prompt when some have come to groups at random, at least 1: ``a (1 - (1 - 1/a)^n)``."""
    several = np.maximum(groups, 2.0)
    return np.where(groups > 1.0, several * -np.expm1(prompts * np.log1p(-1.0 / several)), 1.0)


def steps_between_looks(poll_steps, decoding):
    """Mean steps until the scheduler looks at its queue, ``(n - 1) / 2``; it looks at once where nothing decodes.

    Parameters
    ----------
    decoding : sequences that decode when a prompt comes, mean.
    """
    return 0.5 * np.maximum(poll_steps - 1.0, 0.0) * np.minimum(decoding, 1.0)


def steps_to_balance(most, groups, prompts_a_step, decoding):
    """Steps from the first prompt until every attention group has one, at most `most`; 0 where a group has nothing to decode.

    ``a H(a) / p`` for p prompts a step that go to a groups at random (coupon collector, H harmonic); groups that idle take
    prompts at once, so the wait is there with the probability ``(1 - (1 - 1/a)^n)^a`` that n sequences leave none idle.

    Notes
    -----
    H by ``ln a + 0.577 + 1 / (2 a)``, which holds for a mean number of groups, too, and needs no table: 1.4 % high at two
    groups, 0.1 % at eight.  The exact sum of a whole number of terms is `queueing.harmonic`.
    """
    harmonic = np.log(groups) + EULER + 0.5 / groups
    needed = groups * harmonic / np.maximum(prompts_a_step, 1e-12)
    share = occupied(groups, np.maximum(decoding, 0.0)) / groups
    none_idle = np.exp(groups * np.log(np.minimum(np.maximum(share, 1e-30), 1.0)))
    return np.where(groups > 1.0, np.minimum(most, needed) * none_idle, 0.0)


def seen_together(others, per_step):
    """Prompts whose time is added to one's own when one look finds `others` besides.

    All of them where they fit into one step (``n + 1 <= g``), half of them where they are served in turn.
    """
    fitting = np.minimum(per_step / (others + 1.0), 1.0)
    return others * 0.5 * (1.0 + fitting)


#: part of a prompt's time added per prompt that shares its step, equal lengths (fitted to closed-loop runs)
LOCKED_SHARE = 0.05
