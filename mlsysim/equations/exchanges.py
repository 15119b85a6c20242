"""Messages of one layer of a training step, and how much of them computation does not hide.

References
----------
Shoeybi et al. 2019 and Korthikanti et al. 2022 (tensor and sequence parallelism); Liu et al. 2023 (ring attention,
arXiv:2310.01889); DeepSeek-AI 2024 (arXiv:2412.19437) for experts.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture, collectives
from mlsysim.equations.compute import traffic_time
from mlsysim.equations.experts import nodes_touched
from mlsysim.equations.layout import Layout
from mlsysim.equations.links import Links, exchange_time, gather_time, reduce_time, send_time
from mlsysim.equations.training import Passes, repeated_set
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Recompute
from mlsysim.schema.records import Accelerator, Format, Workload


class Exchanges(NamedTuple):
    """Messages of one layer, each once and not hidden (s).  A block is attention or the feed-forward network."""

    block: Any  #: forward pass of a block: its input gathered and its sum scattered, or its sum all-reduced
    block_sum: Any  #: the sum alone: scattered with sequence parallelism, else all-reduced
    block_input: Any  #: the input alone, gathered with sequence parallelism as the matrix products take it, else 0
    full_gather: Any  #: a block's input gathered in the width of activations
    copy: Any  #: moving a message into the place where the collective, or the matrix product, wants it
    key_value_block: Any  #: keys and values of one rank's tokens sent to the next rank of the ring
    dispatch: Any  #: tokens to their experts
    combine: Any  #: and back


class Exposed(NamedTuple):
    """Seconds of communication that computation does not hide, forward and backward."""

    forward: Any
    backward: Any


# --- messages ------------------------------------------------------------------------------------------


def message_bytes(model: Workload, format: Format, rows):
    """Activations of `rows` tokens between two blocks, ``rows h`` values (byte)."""
    return rows * (model.hidden * format.activation_bytes)


def cached_width(model: Workload, tp):
    """Values per token of the keys and values that ring attention passes on, on one of t devices.

    ``2 d max(k / t, 1)``; latent attention passes the expanded heads, ``(a / t) (query-key + value width)``.

    Examples
    --------
    >>> from mlsysim import zoo
    >>> float(cached_width(zoo.workload_record(zoo.model("llama3_1_8b")), 2.0))  # 2 x 128 x 8 / 2
    1024.0
    """
    heads = model.n_heads / tp
    return np.where(
        model.kv_lora_rank > 0,
        heads * (architecture.query_key_width(model) + architecture.value_width(model)),
        2.0 * model.head_dim * np.maximum(model.n_kv_heads / tp, 1.0),
    )


def crossing_share(model: Workload, domains, single_copy):
    """Share of a token's copies for other domains that cross the network: ``min(domains touched / k, 1)``.

    Parameters
    ----------
    domains : fast domains over which the experts are spread.
    single_copy : 1 where a token is sent once to each domain and spread by its fast links; else 1 copy per expert.
    """
    touched = nodes_touched(model.n_experts, model.experts_per_token, domains, limit=model.expert_node_limit)
    per_copy = np.minimum(touched / np.maximum(model.experts_per_token, 1.0), 1.0)
    return np.where(single_copy > 0, per_copy, 1.0)


def expert_exchanges(model: Workload, layout: Layout, links: Links, format: Format, assume: Assumptions, rows):
    """Dispatch of tokens to their experts, and combining the results (s, s).

    Each rank sends ``rows k h t_e / t`` values, times the imbalance, over a group of e.

    Parameters
    ----------
    rows : tokens on the tensor-parallel group.
    """
    local = collectives.local_ranks(layout.ep, layout.expert_tp, links.domain_size)
    crossing = crossing_share(model, layout.ep / local, assume.single_copy_per_node)
    values = rows * (model.experts_per_token * model.hidden * layout.expert_tp / layout.tp) * assume.expert_imbalance

    def exchange(value_bytes):
        return exchange_time(links, layout.ep, layout.expert_tp, values * value_bytes, crossing)

    combine = exchange(format.activation_bytes)
    dispatch = np.where(assume.narrow_dispatch > 0, exchange(format.gemm_input_bytes), combine)
    return dispatch, combine


def exchanges(
    model: Workload, layout: Layout, links: Links, hardware: Accelerator, format: Format, assume: Assumptions, rows
) -> Exchanges:
    """The messages of one layer for one micro-batch.

    Parameters
    ----------
    rows : tokens of the micro-batch on the tensor-parallel group.

    Notes
    -----
    Inputs of matrix products are gathered in the width in which these take them, sums are scattered in full width.
    """
    width = format.activation_bytes
    message = message_bytes(model, format, rows)
    full_gather = gather_time(links, layout.tp, 1.0, message)
    all_reduce = reduce_time(links, layout.tp, 1.0, message)
    narrow_gather = gather_time(links, layout.tp, 1.0, message * (format.gemm_input_bytes / width))
    split = layout.sequence_parallel > 0
    copy = assume.exchange_copies * traffic_time(2.0 * message, hardware.mem_bandwidth, assume.streaming_efficiency)
    dispatch, combine = expert_exchanges(model, layout, links, format, assume, rows)
    return Exchanges(
        block=np.where(split, full_gather + narrow_gather, all_reduce),
        block_sum=np.where(split, full_gather, all_reduce),
        block_input=np.where(split, narrow_gather, 0.0),
        full_gather=full_gather,
        copy=np.where(split, copy, 0.0),
        key_value_block=send_time(links, layout.tp * layout.cp, rows * (cached_width(model, layout.tp) * width)),
        dispatch=dispatch,
        combine=combine,
    )


# --- what computation hides ----------------------------------------------------------------------------


def tensor_exposed(passes: Passes, exchanges: Exchanges, blocks, assume: Assumptions) -> Exposed:
    """Exposed exchanges of tensor parallelism in one layer (s).

    Forward they run beside the matrix products as far as `tensor_overlap` says.  Backward the exchange that follows an
    input gradient can also run beside the weight gradient.

    Parameters
    ----------
    blocks : blocks of the layer that are split over the tensor-parallel group, 1 or 2.

    Examples
    --------
    Two blocks of 3 s each, nothing hidden, then with weight gradients (4 s) that hide all of the backward exchange:

    >>> from mlsysim.schema.assumptions import Assumptions
    >>> passes = Passes(10.0, 20.0, 4.0, 8.0, 0.0, 0.0, 0.0, 0.0)
    >>> sent = Exchanges(3.0, 2.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0)
    >>> bare = Assumptions(tensor_overlap=0.0, weight_gradient_overlap=0.0)
    >>> [float(part) for part in tensor_exposed(passes, sent, 2.0, bare)]
    [6.0, 4.0]
    >>> [float(part) for part in tensor_exposed(passes, sent, 2.0, bare._replace(weight_gradient_overlap=1.0))]
    [6.0, 0.0]
    """
    copies = blocks * (2.0 * exchanges.copy)
    hidden_by_products = assume.tensor_overlap
    hidden_by_gradients = np.maximum(assume.tensor_overlap, assume.weight_gradient_overlap)
    forward = collectives.exposed_time(blocks * exchanges.block, passes.products, hidden_by_products) + copies
    inputs = collectives.exposed_time(blocks * exchanges.block_input, passes.products, hidden_by_products) + copies
    sums = collectives.exposed_time(blocks * exchanges.block_sum, passes.weight, hidden_by_gradients)
    return Exposed(forward, inputs + sums)


def ring_exposed(cp, key_value_block, attention, attention_backward) -> Exposed:
    """Exposed exchanges of ring attention over c ranks in one layer (s); 0 for one rank.

    Keys and values go round while attention works on the block that is there: forward ``(c - 1) (x - A / c)``; backward
    the gradients of keys and values travel too, ``(2 c - 1) x - A_b``; not below 0.

    Parameters
    ----------
    key_value_block : x, one block sent to the next rank (s).
    attention, attention_backward : A, A_b, attention of the layer on one device (s).

    Examples
    --------
    >>> [float(part) for part in ring_exposed(4.0, 3.0, 8.0, 16.0)]  # 3 (3 - 2), 7 x 3 - 16
    [3.0, 5.0]

    References
    ----------
    Liu et al. 2023 (arXiv:2310.01889).
    """
    forward = np.maximum((cp - 1.0) * (key_value_block - attention / cp), 0.0)
    backward = np.maximum((2.0 * cp - 1.0) * key_value_block - attention_backward, 0.0)
    return Exposed(np.where(cp > 1, forward, 0.0), np.where(cp > 1, backward, 0.0))


def expert_exposed(passes: Passes, exchanges: Exchanges, overlap) -> Exposed:
    """Exposed exchanges of expert parallelism in one layer (s); backward both messages are as wide as combining.

    Parameters
    ----------
    overlap : share of the smaller of exchange and pass that is hidden.
    """
    both = exchanges.dispatch + exchanges.combine
    return Exposed(
        collectives.exposed_time(both, passes.forward, overlap),
        collectives.exposed_time(2.0 * exchanges.combine, passes.backward, overlap),
    )


def layer_exchanges(exchanges: Exchanges, cp, blocks, experts, repeated, full) -> Any:
    """All exchanges of one layer for a micro-batch, hidden or not (s).

    Parameters
    ----------
    cp : ranks of ring attention, which pass ``c - 1`` blocks forward and ``2 c - 1`` backward.
    blocks : blocks of the layer that are split over the tensor-parallel group, 1 or 2.
    experts : has the layer experts: tokens go there and back, forward and backward.
    repeated : share of the forward exchanges of tensor parallelism that the backward pass repeats.
    full : does it repeat those of ring attention and of the experts.

    Examples
    --------
    >>> sent = Exchanges(3.0, 2.0, 1.0, 2.0, 0.5, 4.0, 5.0, 6.0)
    >>> float(layer_exchanges(sent, 1.0, 2.0, False, 0.0, False))  # 2 (3 + 2 x 0.5) + 2 (1 + 2 + 2 x 0.5)
    16.0
    >>> float(layer_exchanges(sent, 2.0, 2.0, True, 0.0, True))  # 16 + (1 + 3 + 1) 4 + (11 + 12 + 11)
    70.0
    """
    again = np.where(full, 1.0, 0.0)
    copies = 2.0 * exchanges.copy
    forward = blocks * (exchanges.block + copies)
    tensor = forward + blocks * (exchanges.block_input + exchanges.block_sum + copies) + repeated * forward
    passed = np.where(cp > 1, (1.0 + again) * (cp - 1.0) + (2.0 * cp - 1.0), 0.0)
    there = exchanges.dispatch + exchanges.combine
    sent = np.where(experts, (1.0 + again) * there + 2.0 * exchanges.combine, 0.0)
    return tensor + passed * exchanges.key_value_block + sent


def host_transfer_exposed(transfer, forward, backward):
    """Activations on their way to the host, and back, beyond the pass that runs beside each (s).

    ``max(0, x - F) + max(0, x - B)``.

    Parameters
    ----------
    transfer : x, one way (s).
    forward, backward : F, B, the passes (s).

    Examples
    --------
    >>> float(host_transfer_exposed(10.0, 4.0, 8.0))
    8.0
    """
    return np.maximum(transfer - forward, 0.0) + np.maximum(transfer - backward, 0.0)


#: exchanges of a layer that selective recomputation repeats with the products that it repeats: one of the two blocks
REPEATED_BLOCKS = 0.5


def repeated_tensor_exchange(forward, recompute, assume: Assumptions):
    """Tensor-parallel exchanges that the backward pass repeats with the products it computes again (s).

    All of them with full recomputation, half of them where selective recomputation repeats matrix products.

    Parameters
    ----------
    forward : exposed exchanges of the forward pass (s).
    """
    selective = (repeated_set(recompute) == Recompute.SELECTIVE) & (assume.selective_products > 0)
    part = np.where(selective, REPEATED_BLOCKS, 0.0)
    return np.where(recompute == Recompute.FULL, 1.0, part) * forward
