"""Small resolvers with the traits of real ones, for the tests of the engine.

No exp, log or power of data: every plan must give the same bits.  Half of a kernel is counting with
divisors that are no powers of two, so exact ties and infeasible shapes abound.
"""

from typing import NamedTuple

import numpy as np

from mlsysim.equations.counting import ceil_div, divides, log2_ceil, remainder
from mlsysim.equations.selection import choose, first_failing
from mlsysim.equations.stage import stage
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Bottleneck, Limit, Recompute
from mlsysim.schema.records import Accelerator

HEADS = 196.0
LAYERS = 77.0


@stage
def ladder(rungs):
    """A sum whose length depends on its data."""
    total = 0.0
    for k in range(1, int(rungs) + 1):
        total += 1.0 / k
    return total


class Step(NamedTuple):
    itl: float
    tokens_per_s: float
    memory_per_device: float
    energy: float
    n_accelerators: float
    training_time: float | None
    feasible: bool
    limit: int
    bottleneck: int


def _step(
    climb,
    hardware,
    assume,
    global_batch,
    micro_batch,
    tp,
    pp,
    dp,
    virtual_stages,
    recompute,
    sequence_parallel,
    n_accelerators,
    tokens,
):
    used = tp * pp * dp
    held = used if n_accelerators is None else n_accelerators
    shape = divides(dp * micro_batch, global_batch) & divides(tp, HEADS) & divides(pp * virtual_stages, LAYERS)
    shape = shape & (used <= held)
    waves = ceil_div(global_batch, dp * micro_batch)
    work = choose(recompute, 1.0, 7.0 / 6.0, 4.0 / 3.0, 1.0) * micro_batch * 7.7e12
    compute = work / (hardware.peak_flops * tp * pp)
    fixed = np.where(sequence_parallel == 1, 1.0, 0.7)
    traffic = micro_batch * 3.1e9 * (fixed + (1.0 - fixed) / tp) / hardware.mem_bandwidth
    hop = assume.host_step_time * log2_ceil(tp) + assume.host_sequence_time * remainder(waves, 49.0)
    slot = np.maximum(compute, traffic)
    bubble = (pp - 1.0) / virtual_stages * slot * climb
    itl = waves * (slot + hop) + bubble
    kept = choose(recompute, 3e9, 2e9, 1e8, 0.0) * micro_batch * np.minimum(waves, pp) / tp
    memory = 1.4e11 / (tp * pp) + kept
    energy = itl * held * hardware.tdp
    limit = first_failing((shape, Limit.SHAPE), (memory <= hardware.mem_capacity, Limit.MEMORY))
    binds = np.where(compute > traffic, Bottleneck.COMPUTE, Bottleneck.MEMORY)
    binds = np.where(bubble > waves * (slot + hop), Bottleneck.BUBBLE, binds)
    time = None if tokens is None else tokens / global_batch * itl
    return Step(itl, global_batch / itl, memory, energy, held, time, limit == 0, limit, binds)


@kernel
def step(
    hardware: Accelerator,
    assume: Assumptions,
    global_batch,
    micro_batch=1,
    tp=1,
    pp=1,
    dp=1,
    virtual_stages=1,
    recompute=Recompute.NONE,
    sequence_parallel=False,
    n_accelerators=None,
    tokens=None,
) -> Step:
    """A training step in miniature."""
    return _step(
        1.0 / virtual_stages,
        hardware,
        assume,
        global_batch,
        micro_batch,
        tp,
        pp,
        dp,
        virtual_stages,
        recompute,
        sequence_parallel,
        n_accelerators,
        tokens,
    )


@kernel
def climb(
    hardware: Accelerator,
    assume: Assumptions,
    global_batch,
    micro_batch=1,
    tp=1,
    pp=1,
    dp=1,
    virtual_stages=1,
    recompute=Recompute.NONE,
    sequence_parallel=False,
    n_accelerators=None,
    tokens=None,
) -> Step:
    """The same with a stage."""
    return _step(
        ladder(pp * virtual_stages),
        hardware,
        assume,
        global_batch,
        micro_batch,
        tp,
        pp,
        dp,
        virtual_stages,
        recompute,
        sequence_parallel,
        n_accelerators,
        tokens,
    )


class Bill(NamedTuple):
    tco: float
    carbon: float
    energy: float
    feasible: bool
    limit: int


@kernel
def bill(assume: Assumptions, duration, energy, n_accelerators=1, budget=None) -> Bill:
    """What a run costs, in miniature."""
    tco = duration * n_accelerators * 0.0005 + energy * 2e-8
    enough = tco > 0 if budget is None else tco <= budget
    limit = first_failing((enough, Limit.BUDGET))
    return Bill(tco, energy * 1e-7, energy * 1.2, limit == 0, limit)


StepModel = Model("StepModel", step, domain="node", walls=(1,))
ClimbModel = Model("ClimbModel", climb, domain="node", walls=(1,))
BillModel = Model("BillModel", bill, domain="operations", walls=(17,))

#: What the resolvers take besides axes.
BASE = {"hardware": "h100", "global_batch": 588}
