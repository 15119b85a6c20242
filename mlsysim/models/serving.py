"""ServingModel: can this model be served on this device, and how fast."""

from typing import NamedTuple

import numpy as np

from mlsysim.equations import architecture, replica, sharding
from mlsysim.equations import serving as serve
from mlsysim.equations.cache_transfer import cache_transfer_time
from mlsysim.equations.conventions import can_compute, serving_assumptions, serving_device, where_possible
from mlsysim.equations.counting import ceil_div, floor_div
from mlsysim.equations.occupancy import fits_fleet
from mlsysim.equations.selection import first_failing
from mlsysim.equations.speculation import tokens_per_round as accepted_tokens
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import CacheLength, CacheTransfer, FlopsConvention, Limit, Reserve
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Fleet, Format, Workload


class Serving(NamedTuple):
    """What `serving` returns."""

    ttft: Real
    itl: Real
    tokens_per_s: Real
    tokens_per_s_per_device: Real
    tokens_per_s_per_user: Real
    e2e_latency: Real | None
    throughput: Real | None
    prefill_gemm_time: Real
    prefill_attention_time: Real
    prefill_communication_time: Real
    prefill_host_time: Real
    decode_gemm_time: Real
    decode_attention_time: Real
    decode_communication_time: Real
    decode_host_time: Real
    tokens_per_round: Real
    kv_bytes_per_token: Real
    kv_cache: Real
    kv_transfer_time: Real | None
    memory_weights: Real
    memory_cache: Real
    memory_per_device: Real
    memory_utilization: Real
    max_batch: Real
    n_accelerators: Real
    compute_utilization: Real
    memory_activity: Real
    prefill_decode_ratio: Real | None
    usd_per_mtok: Real
    joule_per_mtok: Real
    prefill_bottleneck: Code
    decode_bottleneck: Code
    feasible: Flag
    limit: Code
    bottleneck: Code


@kernel
def serving(
    model: Workload,
    hardware: Accelerator,
    fleet: Fleet,
    format: Format,
    assume: Assumptions,
    seq_len,
    output_len=None,
    batch_size=1,
    tp=1,
    pp=1,
    ep=1,
    cached_prefix=0,
    prefill_chunk=8192,
    prefill_batch=None,
    reserve=Reserve.RESERVE,
    memory_fraction=0.9,
    draft: Workload | None = None,
    acceptance=0.7,
    draft_len=0,
    decode_hardware: Accelerator | None = None,
    efficiency=None,
    bandwidth_efficiency=None,
    textbook=0,
    flops_convention=FlopsConvention.CAUSAL,
    cache_length=CacheLength.GROWING,
    cache_transfer=CacheTransfer.STREAMED,
) -> Serving:
    """Prefill and decode of a batch of requests on one replica of ``pp max(tp, ep)`` devices.

    Parameters
    ----------
    seq_len : prompt (tokens).
    output_len : generated tokens per request; without it one decode step at context `seq_len` is priced, and
        nothing that needs the length of an answer.
    batch_size : sequences in flight.
    tp, pp, ep : tensor, pipeline, expert parallelism.
    cached_prefix : tokens of the prompt that are in the cache already, fewer than `seq_len`.
    prefill_chunk : most tokens per prefill step.
    prefill_batch : prompts prefilled together; all of the batch unless said, and no more than it where one device
        does both phases.
    reserve : cache booked for prompt + output up front, or for the mean length of requests of mixed age.
    memory_fraction : share of the device that the server may use.
    draft : model that drafts; without it drafting is free (look-up, or heads of the target).
    acceptance, draft_len : probability that a drafted token is accepted, and drafted tokens per round.
    decode_hardware : device of the decode replicas, when prefill and decode run apart.
    efficiency, bandwidth_efficiency : constant shares of peak and bandwidth in place of the measured curves.
    textbook : 1 for the hand calculation: weights and cache over the full bandwidth, operations over the full
        peak (or the given shares), no overhead, no communication.
    flops_convention : `causal`, or `full`: attention of prompts computes the masked positions, too (hand calculations,
        kernels without a mask).
    cache_length : `growing` reads the mean cache of an answer, `fixed` that of the prompt, however long the answer (hand
        calculations); memory is booked for what grows either way.
    cache_transfer : with `decode_hardware`, `streamed` moves the cache layer by layer behind the prefill, so that only the
        last layer, or what the link is too slow for, adds to `ttft`, `chunked` chunk by chunk of the prompt; `serial` adds all
        of it after the prefill.

    Returns
    -------
    Serving
        `memory_weights` includes those of a draft.  `compute_utilization` and `memory_activity` are of the whole
        time that requests take (of decoding, where an answer has no length or another device prefills), so that
        energy and cost can
        follow. `tokens_per_s` is the decode rate; `throughput` and the prices per token count prefill
        where `output_len` is given. `max_batch` is what fits. `prefill_decode_ratio` is how many prefill
        replicas keep one decode replica busy, a ratio; `n_accelerators` counts whole ones beside one
        decode replica, while rates per device and prices divide by the ratio, as in a pool of many
        decode replicas.

    Notes
    -----
    Matrix products follow the measured curve of the device, decode attention and experts their measured
    share of bandwidth, all-reduces the measured points (`mlsysim.equations.operators`).  On devices with all memory on the
    chip every layer has its share of the ``pp max(tp, ep)`` devices (`mlsysim.equations.streaming`), and no host is in the
    way: the answer is that of `WeightStreamingModel` with as many parts.  Speculation: a round
    of g drafted tokens costs g draft steps and one step over g + 1 tokens per sequence.  A transferred
    cache streams layer by layer behind the prefill.

    References
    ----------
    Pope et al. 2023 (arXiv:2211.05102); Leviathan et al. 2023 (arXiv:2211.17192); Zhong et al. 2024,
    "DistServe" (arXiv:2401.09670).
    """
    decoder = hardware if decode_hardware is None else decode_hardware
    on_chip = hardware.on_chip_memory * decoder.on_chip_memory
    assume = serving_assumptions(assume, efficiency, textbook, on_chip, bandwidth_efficiency)
    computes = can_compute(hardware) & can_compute(decoder)
    prefill_device, decode_device = (
        serving_device(each, efficiency, bandwidth_efficiency, textbook) for each in (hardware, decoder)
    )
    layout = (tp, pp, ep)
    generated = 0.0 if output_len is None else output_len
    middle = seq_len + 0.5 * generated
    context = np.where(cache_length == CacheLength.FIXED, seq_len, middle)

    prompts = batch_size if prefill_batch is None else prefill_batch
    if prefill_batch is not None and decode_hardware is None:
        prompts = np.minimum(prompts, batch_size)
    new = np.maximum(seq_len - cached_prefix, 1.0)  # the last token of a prompt is always computed
    records = (model, prefill_device, fleet, format, assume)
    prompting = (prompts, new, cached_prefix, prefill_chunk, flops_convention)
    prefill = serve.prefill_step(*records, *layout, *prompting)
    prefilling = replica.phase(hardware, assume, prefill)

    per_round = accepted_tokens(acceptance, draft_len)
    each_round = serve.drafted_step(
        model, draft, decode_device, fleet, format, assume, layout, batch_size, context, draft_len
    )
    decode = serve.per_token(each_round, per_round)
    decoding = replica.phase(decode_device, assume, decode)
    tokens_per_s = batch_size / decoding.time

    booked = np.where(reserve == Reserve.RESERVE, seq_len + generated, middle)
    rows = np.minimum(np.maximum(prompts / sharding.attention_groups(tp, ep), 1.0) * new, prefill_chunk)
    held = replica.held(model, draft, format, assume, layout, booked, rows, 1.0 + draft_len)
    memory, room = replica.bytes_held(held, batch_size), memory_fraction * decode_device.mem_capacity
    fits = memory <= room
    transfer, ttft = None, prefilling.time
    if decode_hardware is not None:
        fits = fits & (replica.bytes_held(held, prompts) <= memory_fraction * hardware.mem_capacity)
        chunks = ceil_div(new, prefill_chunk)
        transfer = cache_transfer_time(model, format, fleet, tp, seq_len, prefilling.time, cache_transfer, chunks)
        ttft = ttft + transfer
    given = replica.delivered(
        sharding.devices(*layout), batch_size, prompts, output_len, prefilling, decoding, decode_hardware
    )

    possible = computes & architecture.generates(model)
    if draft is not None:
        possible = possible & architecture.generates(draft)
    shape = _shape(model, fleet, layout, given, generated) & (cached_prefix < seq_len) | np.logical_not(possible)
    supported = possible & architecture.within_context(model, seq_len + generated)
    limit = first_failing((shape, Limit.SHAPE), (supported, Limit.CAPABILITY), (fits, Limit.MEMORY))
    prefill_bottleneck = serve.bottleneck(prefill, prefill_device.on_chip_memory)
    decode_bottleneck = longer = serve.bottleneck(decode, decode_device.on_chip_memory)
    if output_len is not None:
        longer = np.where(prefilling.time > given.decoding, prefill_bottleneck, decode_bottleneck)
    answer = Serving(
        ttft=ttft * assume.first_token_scatter,
        itl=decoding.time * assume.token_scatter,
        tokens_per_s=tokens_per_s,
        tokens_per_s_per_device=tokens_per_s / given.pooled,
        tokens_per_s_per_user=1.0 / decoding.time,
        e2e_latency=None if output_len is None else ttft + given.decoding,
        throughput=given.throughput,
        prefill_gemm_time=prefill.gemm,
        prefill_attention_time=prefill.attention,
        prefill_communication_time=prefill.communication,
        prefill_host_time=prefill.host,
        decode_gemm_time=decode.gemm,
        decode_attention_time=decode.attention,
        decode_communication_time=decode.communication,
        decode_host_time=decode.host,
        tokens_per_round=per_round,
        kv_bytes_per_token=sharding.kv_bytes_per_token(model, format),
        kv_cache=batch_size * sharding.kept_bytes(sharding.as_cached(model, assume), format, booked),
        kv_transfer_time=transfer,
        memory_weights=held.weights,
        memory_cache=batch_size * held.per_sequence,
        memory_per_device=memory,
        memory_utilization=memory / decode_device.mem_capacity,
        max_batch=floor_div(np.maximum(room - held.fixed, 0.0), held.per_sequence),
        n_accelerators=given.devices,
        compute_utilization=np.minimum(given.arithmetic, 1.0),
        memory_activity=np.minimum(given.traffic, 1.0),
        prefill_decode_ratio=given.prefill_decode_ratio,
        usd_per_mtok=serve.TOKENS_PER_MTOK * given.usd,
        joule_per_mtok=serve.TOKENS_PER_MTOK * given.joule,
        prefill_bottleneck=prefill_bottleneck,
        decode_bottleneck=decode_bottleneck,
        feasible=limit == 0,
        limit=limit,
        bottleneck=longer,
    )
    return where_possible(possible, answer)


def _shape(model: Workload, fleet: Fleet, layout, given: replica.Delivered, generated):
    """Can a replica be laid out so, and have decode devices of its own something to do?"""
    possible = sharding.replica_possible(model, *layout) & fits_fleet(fleet, given.devices)
    if given.prefill_decode_ratio is None:
        return possible
    return possible & (generated > 1.0)  # the first token is the prefill's


ServingModel = Model("ServingModel", serving, domain="node", walls=(4,))
