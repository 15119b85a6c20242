"""Pipelines: how long m micro-batches take on p stages, and what stays in flight.

A stage needs `forward` and `backward` seconds per micro-batch (communication that it waits for included); the
first stage also holds the embedding, the last one the head, the ones between are alike.  Every schedule but
plain 1F1B takes ``m x slowest stage + bubble`` with a bubble that does not depend on m, so that a sweep over
batch sizes costs one multiplication.

References
----------
Huang et al. 2019 (GPipe); Narayanan et al. 2021 (1F1B, interleaved); Qi et al. 2023, 2024 (zero bubble,
V-shaped); DeepSeek-AI 2024 (DualPipe).
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations.counting import ceil_div, divides, floor_div
from mlsysim.equations.selection import choose
from mlsysim.schema.codes import Schedule


class Stages(NamedTuple):
    """One quantity on the first stage, on one between, on the last, and summed over those between.

    With one stage `first` is all there is; with two, `middle` and `between` are 0.
    """

    first: Any
    middle: Any
    last: Any
    between: Any

    def total(self):
        """Sum over all stages."""
        return self.first + self.between + self.last

    def plus(self, other):
        """Sum with another quantity, stage by stage."""
        return Stages(*(a + b for a, b in zip(self, other)))

    def with_ends(self, first, last):
        """With something more on the first and on the last stage."""
        return Stages(self.first + first, self.middle, self.last + last, self.between)

    def largest(self):
        """The slowest stage."""
        return np.maximum(self.first, np.maximum(self.middle, self.last))


def stage_layers(n_layers, pp) -> Stages:
    """Layers on each stage: L / p where that is whole, else the fullest holds ceil(L / p).

    Where p divides L + 2, embedding and head take the place of a layer on the first and last stage (126
    layers on 16 stages: 7, 8 ... 8, 7).  Otherwise the last stage has floor(L / p).
    """
    even = divides(pp, n_layers)
    slotted = np.logical_not(even) & divides(pp, n_layers + 2.0)
    most = ceil_div(n_layers, pp)
    first = most - np.where(slotted, 1.0, 0.0)
    last = np.where(even, most, np.where(slotted, most - 1.0, floor_div(n_layers, pp)))
    last = np.where(pp > 1, last, 0.0)
    between = np.where(pp > 2, n_layers - first - last, 0.0)
    return Stages(first, np.where(pp > 2, most, 0.0), last, between)


def most_layers(n_layers, pp):
    """Layers on the fullest stage, at least 1.

    Examples
    --------
    >>> float(most_layers(126.0, 16.0))
    8.0
    """
    layers = stage_layers(n_layers, pp)
    return np.maximum(np.maximum(layers.first, layers.middle), 1.0)


def chunk_share(most_layers, virtual_stages):
    """Share of a stage's layers that its fullest chunk holds: ``ceil(l / v) / l``.

    Examples
    --------
    >>> float(chunk_share(10.0, 4.0))
    0.3
    """
    return ceil_div(most_layers, virtual_stages) / most_layers


def bubble_fraction(pp, n_microbatches, virtual_stages):
    """Idle share of a pipeline of equal stages: ``(p - 1) / (v m + p - 1)``.

    Examples
    --------
    >>> float(round(bubble_fraction(16.0, 32.0, 6.0), 10))
    0.0724637681
    """
    return (pp - 1.0) / (virtual_stages * n_microbatches + pp - 1.0)


def interleaved_bubble(total, largest, virtual_stages):
    """Interleaved 1F1B: ``(sum t - max t) / v`` (s); within 9 % for unequal stages, exact for equal ones."""
    return (total - largest) / virtual_stages


def one_f_one_b_time(n_microbatches, pp, forward: Stages, backward: Stages):
    """1F1B with unequal stages, m >= p: the stage that closes last, over first, second and last (s).

    ``max_k [sum_{i<k} t_i + m t_k + max(0, S_k - w_k f_k) + max(0, S_k - w_k b_k)]`` with
    ``S_k = sum_{i>k} t_i`` and ``w_k = p - 1 - k``.  Exact where b/f is the same on all
    stages, within 2.2 % otherwise.
    """
    first, middle, last = (f + b for f, b in zip(forward[:3], backward[:3]))
    between = forward.between + backward.between

    def fill(after, waits, f, b):
        return np.maximum(after - waits * f, 0.0) + np.maximum(after - waits * b, 0.0)

    behind_first = between + last
    behind_second = np.maximum(between - middle, 0.0) + last
    start_first = fill(behind_first, pp - 1.0, forward.first, backward.first)
    start_second = first + fill(behind_second, np.maximum(pp - 2.0, 0.0), forward.middle, backward.middle)
    start_last = first + between
    return np.maximum(
        n_microbatches * first + start_first,
        np.maximum(n_microbatches * middle + start_second, n_microbatches * last + start_last),
    )


def zero_bubble_h1(pp, forward, backward, weight):
    """Bubble of ZB-H1: ``(p - 1)(F + B - W)``, B the input gradient, W the weight gradient (s)."""
    return np.maximum((pp - 1.0) * (forward + backward - weight), 0.0)


def zero_bubble_h2(pp, forward, backward, weight, post_validation):
    """Bubble of ZB-H2: ``(p - 1)(F + B - 2 W)``, at least ``(p - 1) F`` if the optimizer waits for all (s).

    Parameters
    ----------
    post_validation : 1 when the optimizer step is checked afterwards, so that stages may start staggered.
    """
    stagger = np.where(post_validation > 0, 0.0, (pp - 1.0) * forward)
    return np.maximum((pp - 1.0) * (forward + backward - 2.0 * weight), stagger)


def zero_bubble_v(pp, forward, post_validation):
    """Bubble of ZBV: 0, or the stagger ``(p - 1) F / 2`` when the optimizer waits for all (s)."""
    return np.where(post_validation > 0, 0.0, 0.5 * (pp - 1.0) * forward)


def dualpipe_bubble(pp, together, backward, weight):
    """Bubble of DualPipe: ``(p/2 - 1)(F&B + B - 3 W)`` (s).

    Parameters
    ----------
    together : F&B, a forward and a backward pass run beside each other.
    backward : B, the full backward pass.
    weight : W, its weight-gradient part.

    Examples
    --------
    >>> float(dualpipe_bubble(16.0, 3.0, 2.0, 1.0))
    14.0
    """
    return np.maximum((0.5 * pp - 1.0) * (together + backward - 3.0 * weight), 0.0)


def schedule_bubble(schedule, pp, virtual_stages, forward: Stages, backward: Stages, weight, post_validation=0.0):
    """Time beyond m x the slowest stage, for every schedule but plain 1F1B with m >= p (s).

    Parameters
    ----------
    schedule : `Schedule`; 1F1B means interleaved here, and plain 1F1B with fewer micro-batches than stages.
    pp, virtual_stages : stages, chunks per device.
    forward, backward : seconds per micro-batch; `backward` holds the weight gradients.
    weight : weight-gradient part of `backward`, mean over the stages (s).
    post_validation : see `zero_bubble_h2`.

    Notes
    -----
    Zero-bubble forms hold for equal stages and m >= 2 p; means over the stages are taken here.  V-half and
    V-min idle p/2 and 2p/3 micro-batches (Qi 2024).
    """
    total = forward.total() + backward.total()
    largest = forward.plus(backward).largest()
    mean_forward, mean_backward = forward.total() / pp, backward.total() / pp
    inputs = mean_backward - weight
    several = np.where(pp > 1, 1.0, 0.0)
    mean = mean_forward + mean_backward
    fill = total - (forward.largest() + backward.largest())
    return choose(
        schedule,
        interleaved_bubble(total, largest, virtual_stages),
        np.maximum(fill, 0.0),
        zero_bubble_h1(pp, mean_forward, inputs, weight),
        zero_bubble_h2(pp, mean_forward, inputs, weight, post_validation),
        zero_bubble_v(pp, mean_forward, post_validation),
        several * (0.5 * pp) * mean,
        several * (2.0 / 3.0 * pp) * mean,
        np.where(pp > 1, dualpipe_bubble(pp, mean, mean_backward, weight), 0.0),
    )


def makespan(
    schedule, n_microbatches, pp, virtual_stages, forward: Stages, backward: Stages, weight, post_validation=0.0
):
    """Time of all micro-batches on all stages, without hand-overs (s).

    Parameters as `schedule_bubble`.  GPipe takes the slowest forward and the slowest backward pass apart.

    Examples
    --------
    >>> f, b = Stages(1.0, 1.0, 1.0, 6.0), Stages(2.0, 2.0, 2.0, 12.0)
    >>> float(makespan(Schedule.ONE_F_ONE_B, 16.0, 8.0, 1.0, f, b, 1.0))
    69.0
    >>> float(makespan(Schedule.ONE_F_ONE_B, 16.0, 8.0, 4.0, f, b, 1.0))
    53.25
    """
    both = forward.plus(backward)
    apart = forward.largest() + backward.largest()
    slowest = np.where(schedule == Schedule.GPIPE, apart, both.largest())
    bubble = schedule_bubble(schedule, pp, virtual_stages, forward, backward, weight, post_validation)
    linear = n_microbatches * slowest + bubble
    plain = (schedule == Schedule.ONE_F_ONE_B) & (virtual_stages == 1) & (pp > 1)
    exact = one_f_one_b_time(n_microbatches, pp, forward, backward)
    return np.where(plain & (n_microbatches >= pp), exact, linear)


def hand_over(schedule, pp, virtual_stages, transfer, blocking=0.0):
    """What sending activations adds to the makespan, sends asynchronous: per micro-batch, and once (s, s).

    Plain 1F1B has no slack: ``2 x [(p - 1) m / p + p - 2]``.  Interleaved ``2 (p v - 1) x``; GPipe, and
    zero-bubble schedules with their longer warm-up, ``2 (p - 1) x``; V-shaped ones pass every device twice,
    ``2 (2 p - 1) x``.

    Parameters
    ----------
    transfer : x, one message between neighbours (s).
    blocking : 1 when a device waits for its messages: interleaved, every chunk waits on its way there and
        back, ``2 v x`` a micro-batch.

    Examples
    --------
    >>> each, once = hand_over(Schedule.ONE_F_ONE_B, 8.0, 1.0, 1.0)
    >>> float(64 * each + once)
    124.0
    >>> each, once = hand_over(Schedule.ONE_F_ONE_B, 8.0, 4.0, 1.0)
    >>> float(64 * each + once)
    62.0
    """
    once = 2.0 * (pp - 1.0)
    twice = 2.0 * (2.0 * pp - 1.0)
    plain = (schedule == Schedule.ONE_F_ONE_B) & (virtual_stages == 1)
    start = choose(
        schedule,
        np.where(virtual_stages > 1, 2.0 * (pp * virtual_stages - 1.0), 2.0 * (pp - 2.0)),
        once,
        once,
        once,
        twice,
        twice,
        twice,
        once,
    )
    several = np.where(pp > 1, transfer, 0.0)
    waiting = np.where((schedule == Schedule.ONE_F_ONE_B) & (blocking > 0), 2.0 * virtual_stages, 0.0)
    return several * np.where(plain, 2.0 * (pp - 1.0) / pp, waiting), several * start


def in_flight_limit(schedule, pp, virtual_stages, stage):
    """Chunks whose activations stage i (from 0) keeps at most; min(this, m v) are kept.

    1F1B ``p - i``; interleaved ``2 (p - 1 - i) + (v - 1) p + 1`` chunks; GPipe all; ZB-H2 ``2 p - 1`` on the
    first stage; V-half and V-min ``(p + 2)/2`` and ``(p + 4)/3``; DualPipe ``p + 1``.
    """
    behind = pp - stage
    interleaved = 2.0 * (behind - 1.0) + (virtual_stages - 1.0) * pp + 1.0
    return choose(
        schedule,
        np.where(virtual_stages > 1, interleaved, behind),
        np.inf,
        behind,
        np.maximum(2.0 * behind - 1.0, 1.0),
        pp,
        np.where(pp > 1, (pp + 2.0) / 2.0, 1.0),
        np.where(pp > 1, (pp + 4.0) / 3.0, 1.0),
        np.where(pp > 1, pp + 1.0, 1.0),
    )
