"""InferenceScalingModel: what thinking longer and sampling more costs, and what it covers."""

from typing import NamedTuple

import numpy as np

from mlsysim.equations import architecture, mixers, reasoning, sharding
from mlsysim.equations import serving as serve
from mlsysim.equations.conventions import can_compute, serving_assumptions, serving_device, where_possible
from mlsysim.equations.counting import floor_div
from mlsysim.equations.occupancy import fits_fleet
from mlsysim.equations.selection import first_failing
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import CacheLength, FlopsConvention, Limit
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload


class InferenceScaling(NamedTuple):
    """What `inference_scaling` returns."""

    total_reasoning_time: Real
    ttft: Real
    itl: Real
    generated_tokens: Real
    attended_positions: Real
    tokens_per_s: Real
    kv_cache: Real
    kv_growth: Real
    memory_per_device: Real
    max_samples: Real
    coverage: Real | None
    energy_per_query: Real
    usd_per_query: Real
    usd_per_success: Real | None
    n_accelerators: Real
    feasible: Flag
    limit: Code
    bottleneck: Code


@kernel
def inference_scaling(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    reasoning_steps=8,
    tokens_per_step=256,
    seq_len=1024,
    output_len=None,
    samples=1,
    beam_width=1,
    batch_size=1,
    success_rate=None,
    verifier_cost=0,
    tp=1,
    pp=1,
    ep=1,
    prefill_chunk=8192,
    memory_fraction=0.9,
    efficiency=None,
    bandwidth_efficiency=None,
    textbook=0,
    flops_convention=FlopsConvention.CAUSAL,
    cache_length=CacheLength.GROWING,
) -> InferenceScaling:
    """Time, energy and price of a query that reasons before it answers (wall 12).

    Parameters
    ----------
    reasoning_steps, tokens_per_step : steps of reasoning, and tokens of each.
    seq_len : prompt (tokens).
    output_len : tokens of the answer after reasoning; none unless given.
    samples : independent chains per query (best of N, majority vote).
    beam_width : partial chains kept and extended together within a sample.
    batch_size : queries at once.
    success_rate : probability that one sample is right; gives `coverage` (may vary along any axis, such as
        the number of steps).
    verifier_cost : time of scoring candidates over the time of generating them.
    efficiency, bandwidth_efficiency, textbook, flops_convention, cache_length : as in ServingModel; memory is that of the
        cache as it grows.

    Returns
    -------
    InferenceScaling
        `kv_growth` is what reasoning adds to the cache of the prompts.  `max_samples` is what fits beside
        each other.

    Notes
    -----
    A step is linear in its context, so the sum over all tokens is their number times the step at the mean
    context ``s0 + (n + 1)/2``: exact, whatever the length.  Chains share the prompt, computed and stored
    once.

    References
    ----------
    Wei et al. 2022 (arXiv:2201.11903); Snell et al. 2024 (arXiv:2408.03314); Brown et al. 2024
    (arXiv:2407.21787).
    """
    assume = serving_assumptions(assume, efficiency, textbook, hardware.on_chip_memory, bandwidth_efficiency)
    device = serving_device(hardware, efficiency, bandwidth_efficiency, textbook)
    layout = (tp, pp, ep)
    replica = sharding.devices(tp, pp, ep)
    chains = samples * beam_width
    sequences = batch_size * chains
    generated = reasoning_steps * tokens_per_step + (0.0 if output_len is None else output_len)
    positions = generated * architecture.attended_positions(model, generated, cached=seq_len)
    fixed = cache_length == CacheLength.FIXED
    positions = np.where(
        fixed, generated * architecture.attended_positions(model, 1.0, cached=seq_len - 1.0), positions
    )
    context = np.where(fixed, seq_len, seq_len + 0.5 * (generated + 1.0))

    prefill = serve.prefill_step(
        model, device, fleet, format, assume, *layout, batch_size, seq_len, 0.0, prefill_chunk, flops_convention
    )
    decode = serve.decode_step(model, device, fleet, format, assume, *layout, sequences, context)
    ttft = serve.total(prefill)
    itl = serve.total(decode)
    thinking = generated * itl
    total = ttft + thinking * (1.0 + verifier_cost)

    held = sharding.weights_per_device(model, format, *layout)
    rows = np.minimum(batch_size * seq_len, prefill_chunk)
    fixed = held + sharding.workspace_bytes(model, assume, tp, rows) + sharding.reserved_bytes(assume, *layout)
    per_prompt = sharding.kv_bytes_per_sequence_and_device(model, format, *layout, seq_len)
    per_whole = sharding.kv_bytes_per_sequence_and_device(model, format, *layout, seq_len + generated)
    states = sharding.kv_bytes_per_sequence_and_device(model, format, *layout, 0.0)  # every chain has its own
    per_chain = (per_whole - per_prompt) + states + sharding.logits_bytes(model, assume, tp, 1.0)
    memory = fixed + batch_size * (per_prompt + chains * per_chain)
    room = memory_fraction * device.mem_capacity - fixed - batch_size * per_prompt
    most = floor_div(np.maximum(room, 0.0), batch_size * beam_width * per_chain)
    prompts = batch_size * format.kv_bytes * sharding.cached_values(model, seq_len)
    whole = batch_size * format.kv_bytes * sharding.cached_values(model, seq_len + generated)
    states = batch_size * mixers.state_bytes_per_sequence(model)
    growth = chains * (whole - prompts) + (chains - 1.0) * states

    power_first = serve.step_power(device, assume, prefill, ttft)
    power = serve.step_power(device, assume, decode, itl)
    energy = replica * (power_first * ttft + power * (total - ttft)) / batch_size
    usd = replica * device.hourly_price * total / batch_size
    covered = None
    per_success = None
    if success_rate is not None:
        covered = reasoning.coverage(success_rate, samples)
        per_success = np.where(covered > 0, usd / covered, np.inf)

    shape = sharding.replica_possible(model, tp, pp, ep) & (generated >= 1.0) & fits_fleet(fleet, replica)
    possible = architecture.generates(model) & can_compute(hardware)
    supported = possible & architecture.within_context(model, seq_len + generated)
    fits = memory <= memory_fraction * device.mem_capacity
    shape = shape | np.logical_not(possible)
    limit = first_failing((shape, Limit.SHAPE), (supported, Limit.CAPABILITY), (fits, Limit.MEMORY))
    answer = InferenceScaling(
        total_reasoning_time=total,
        ttft=ttft,
        itl=itl,
        generated_tokens=generated * chains,
        attended_positions=positions * chains,
        tokens_per_s=sequences / itl,
        kv_cache=prompts + growth + states,
        kv_growth=growth,
        memory_per_device=memory,
        max_samples=most,
        coverage=covered,
        energy_per_query=energy,
        usd_per_query=usd,
        usd_per_success=per_success,
        n_accelerators=replica,
        feasible=limit == 0,
        limit=limit,
        bottleneck=np.where(
            ttft > thinking, *(serve.bottleneck(step, device.on_chip_memory) for step in (prefill, decode))
        ),
    )
    return where_possible(possible, answer)


InferenceScalingModel = Model("InferenceScalingModel", inference_scaling, domain="algorithm", walls=(12,))
