"""Weights in on-chip memory: resident in one or more devices, or streamed through one layer by layer.

Resident weights stay where they are, and so every layer has its own share of the devices: n devices hold L layers,
a layer computes and reads at ``n / L`` of a device's rates, and tokens pass the layers in turn.  A token takes

    L [t0 + max((m + h) w, r) + m c] + hops

with t0 the dispatch and reductions of a layer, w the operations of a token and r the reading of weights on a layer's
share, c the reading of a sequence's cache, m the tokens that a layer takes at once, and h the rows at which a product
reaches half of its rate.  Sequences ride free until each layer has one (m = 1); more are grouped, ``m = M / L``.

References
----------
Lie 2022, "Cerebras architecture deep dive" (Hot Chips 34): weight streaming.
Cerebras 2024, published inference rates of Llama 3.1 8B and 70B, to which t0 and h are fitted.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture, mixers, sharding
from mlsysim.equations.counting import ceil_div
from mlsysim.equations.experts import distinct_experts
from mlsysim.equations.step import Step
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Accelerator, Format, Workload

#: messages that a layer needs where its products are split over devices: two reductions, to one and back
SPLIT_MESSAGES = 4.0


def parts_needed(nbytes, capacity):
    """Devices that hold what one cannot: ``ceil(bytes / capacity)``, at least 1.

    Examples
    --------
    >>> [float(parts_needed(2.0 * n, 44e9)) for n in (8.03e9, 70.55e9, 405.85e9)]
    [1.0, 4.0, 19.0]
    """
    return np.maximum(ceil_div(nbytes, capacity), 1.0)


def bandwidth_bound(weight_bytes, bandwidth):
    """Tokens per second of one sequence if reading the weights were all (1/s): ``bandwidth / bytes``."""
    return bandwidth / weight_bytes


def layer_latency(tokens_per_s, n_layers):
    """Time a layer takes at a published rate of one sequence (s): ``1 / (rate layers)``.

    Examples
    --------
    >>> float(np.round(layer_latency(1800.0, 32.0) * 1e6, 4))
    17.3611
    """
    return 1.0 / (tokens_per_s * n_layers)


def injection_time(nbytes, injection_bandwidth):
    """Streaming a layer's weights into the device (s)."""
    return nbytes / injection_bandwidth


# --- weights that stay -----------------------------------------------------------------------------------


class Layer(NamedTuple):
    """What a token costs in a mean layer, on the share of the devices that the layer has (s)."""

    start: Any  #: t0
    work: Any  #: operations of a token, w
    empty: Any  #: operations of the rows that a product wastes, h w
    weights: Any  #: reading the weights, r
    cache: Any  #: reading the cache of a sequence, c


def token_flops(model: Workload, attention, new, positions):
    """Operations of a token in all layers, the head apart (FLOP).

    Parameters
    ----------
    attention : of a token in one layer (FLOP).
    new : tokens of a sequence that are computed at once.
    positions : that a token looks back on, mean over tokens and layers.
    """
    mixing = mixers.mixer_flops(model, new, positions)
    return architecture.linear_flops(model) + model.n_layers * attention + mixing


def layer_read(model: Workload, format: Format, tokens):
    """Bytes of weights that a mean layer reads for some tokens: all but the experts that none of them visits (byte)."""
    touched = distinct_experts(model.n_experts, model.experts_per_token, tokens)
    return _layer_bytes(model, format, touched)


def layer_held(model: Workload, format: Format):
    """Bytes of weights of a mean layer (byte)."""
    return _layer_bytes(model, format, model.n_experts)


def _layer_bytes(model: Workload, format: Format, n_experts):
    experts = architecture.moe_layers(model) * architecture.expert_params(model) * format.expert_bytes
    every = sharding.stored_layer_values(model, format, 1.0) + sharding.vector_params_per_device(model, 1.0)
    return (format.weight_bytes * every + n_experts * experts) / np.maximum(model.n_layers, 1.0)


def mean_layer(
    model: Workload, hardware: Accelerator, format: Format, assume: Assumptions, parts, flops, cached, tokens=1.0
) -> Layer:
    """A mean layer of resident weights, see the head of the module.

    Parameters
    ----------
    parts : devices that hold the weights.
    flops : operations of a token in all layers (FLOP), see `token_flops`.
    cached : bytes of a sequence's cache that a token reads in all layers (byte).
    tokens : that a layer takes at once, m.
    """
    layers = np.maximum(model.n_layers, 1.0)
    work = flops / (assume.wafer_efficiency * hardware.peak_flops * parts)
    bandwidth = hardware.mem_bandwidth * parts
    return Layer(
        start=assume.wafer_layer_latency,
        work=work,
        empty=assume.wafer_half_rows * work,
        weights=layers * layer_read(model, format, tokens) / bandwidth,
        cache=cached / bandwidth,
    )


def stage_time(layer: Layer, tokens):
    """A layer with some tokens at once (s): ``t0 + max((m + h) w, r) + m c``.

    Examples
    --------
    >>> float(stage_time(Layer(10.0, 2.0, 6.0, 4.0, 0.5), 1.0)), float(stage_time(Layer(10.0, 2.0, 6.0, 20.0, 0.5), 2.0))
    (18.5, 31.0)
    """
    return layer.start + np.maximum(tokens * layer.work + layer.empty, layer.weights) + tokens * layer.cache


def hops_time(n_layers, parts, assume: Assumptions):
    """Messages between devices on the way of a token (s): one behind each device, or four a layer that devices share."""
    messages = np.where(parts > n_layers, SPLIT_MESSAGES * n_layers, np.maximum(parts - 1.0, 0.0))
    return messages * assume.wafer_hop_latency


def head_time(model: Workload, hardware: Accelerator, format: Format, assume: Assumptions, tokens):
    """The product with the vocabulary on one device (s)."""
    arithmetic = tokens * architecture.head_flops(model) / (assume.wafer_efficiency * hardware.peak_flops)
    return np.maximum(arithmetic, format.head_bytes * architecture.embedding_params(model) / hardware.mem_bandwidth)


def tokens_at_once(n_layers, tokens):
    """Tokens that a layer takes at once where some are under way: one, or ``M / L``.

    Examples
    --------
    >>> [float(tokens_at_once(32.0, tokens)) for tokens in (1.0, 32.0, 64.0)]
    [1.0, 1.0, 2.0]
    """
    return np.maximum(tokens / np.maximum(n_layers, 1.0), 1.0)


def returning_time(layer: Layer, n_layers, tokens, checked=1.0):
    """Time until every sequence has passed all layers and may start again (s), hops and head apart.

    Parameters
    ----------
    tokens : of all sequences together, drafted ones included.
    checked : of one sequence, which follow each other.
    """
    stage = stage_time(layer, tokens_at_once(n_layers, tokens))
    return (n_layers + (checked - 1.0)) * stage


def best_chunk(layer: Layer, n_layers, tokens):
    """Tokens that layers take at once so that `tokens` are through soonest: ``sqrt(M (t0 + h w) / ((L - 1) w))``.

    Between them lie many short stages, which start anew each time, and few long ones, in which most layers wait.

    Examples
    --------
    >>> layer = Layer(start=6.0, work=1.0, empty=2.0, weights=0.0, cache=0.0)
    >>> float(best_chunk(layer, 33.0, 1024.0)), float(best_chunk(layer, 33.0, 1.0))
    (16.0, 1.0)
    """
    once = (layer.start + layer.empty) * tokens
    several = np.maximum(n_layers - 1.0, 1.0) * (layer.work + layer.cache)
    return np.minimum(np.maximum(np.sqrt(once / several), 1.0), np.maximum(tokens, 1.0))


def passing_time(layer: Layer, n_layers, tokens):
    """Time until some tokens have passed all layers in chunks, ``(L - 1 + M / m) stage(m)`` (s), hops and head apart."""
    chunk = best_chunk(layer, n_layers, tokens)
    return (n_layers - 1.0 + np.maximum(tokens / chunk, 1.0)) * stage_time(layer, chunk)


def resident_decode(
    model: Workload,
    hardware: Accelerator,
    format: Format,
    assume: Assumptions,
    parts,
    context,
    tokens,
    checked,
    prompt_attention=0.0,
) -> Step:
    """A decode step on devices with memory on the chip (s, by class).

    Parameters
    ----------
    parts : devices that hold the weights.
    context : tokens that each sequence attends to.
    tokens : of all sequences, drafted ones and those of prompts beside them included.
    checked : tokens of one sequence.
    prompt_attention : seconds of attention of those prompts at the rates of one device.
    """
    positions = architecture.attended_positions(model, 1.0, cached=context - 1.0)
    flops = token_flops(model, architecture.decode_attention_flops(model, positions), 1.0, positions)
    read = format.kv_bytes * architecture.kv_values(model) * sharding.read_positions(model, context)
    read = read + 2.0 * mixers.state_bytes_per_sequence(model)
    at_once = tokens_at_once(model.n_layers, tokens)
    layer = mean_layer(model, hardware, format, assume, parts, flops, read, at_once)
    passing = returning_time(layer, model.n_layers, tokens, checked)
    cache = model.n_layers * at_once * layer.cache
    starts = model.n_layers * layer.start
    head = head_time(model, hardware, format, assume, at_once)
    return Step(
        gemm=passing - cache - starts + head + prompt_attention / parts,
        attention=cache,
        communication=hops_time(model.n_layers, parts, assume),
        host=starts,
        arithmetic=tokens * layer.work,
        traffic=tokens / at_once * layer.weights + tokens * layer.cache,
    )


def resident_prefill(
    model: Workload, hardware: Accelerator, format: Format, assume: Assumptions, parts, prompts, new, cached, convention
) -> Step:
    """The first tokens of prompts on devices with memory on the chip (s, by class).

    Parameters
    ----------
    parts : devices that hold the weights.
    prompts, new, cached : prompts, tokens of each to compute, and tokens of each in the cache already.
    convention : `FlopsConvention`.
    """
    tokens = prompts * new
    positions = architecture.attended_positions(model, new, convention, cached)
    flops = token_flops(model, architecture.attention_flops(model, positions), new, positions)
    layer = mean_layer(model, hardware, format, assume, parts, flops, 0.0, tokens)
    passing = passing_time(layer, model.n_layers, tokens)
    starts = model.n_layers * layer.start
    return Step(
        gemm=passing - starts + head_time(model, hardware, format, assume, prompts),
        attention=0.0,
        communication=hops_time(model.n_layers, parts, assume),
        host=starts + assume.frontend_time + new * assume.frontend_token_time,
        arithmetic=tokens * layer.work,
        traffic=layer.weights,
    )
