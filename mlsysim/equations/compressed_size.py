"""What a smaller model stores: bits per value, and the share of values that is left; scales and indices are counted.

References
----------
Han et al. 2015, "Deep compression" (arXiv:1510.00149); Mishra et al. 2021 (arXiv:2104.08378) for the 2:4 pattern.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture
from mlsysim.equations.selection import choose
from mlsysim.schema.records import Workload

#: Bits that place a kept value of a 2:4 pattern among its four.
INDEX_BITS = 2.0


def grouped_bits(bits, scale_bits, zero_bits, group_size):
    """Bits per value when g values share a scale and a zero point: ``b + (scale + zero) / g``.

    Examples
    --------
    >>> 16.0 / grouped_bits(4.0, 16.0, 0.0, 128.0)
    3.878787878787879
    """
    return bits + (scale_bits + zero_bits) / group_size


def two_of_four_bits(bits, index_bits=None):
    """Bits per value of the 2:4 pattern: half the values, two index bits for each of them, ``b / 2 + 1``."""
    return 0.5 * (bits + (INDEX_BITS if index_bits is None else index_bits))


def bitmap_bits(bits, sparsity, index_bits=None):
    """Bits per value with a bitmap of the zeros: ``(1 - x) b + 1``, x the share of zeros."""
    return (1.0 - sparsity) * bits + (1.0 if index_bits is None else index_bits)


def default_bits(method, baseline_bits):
    """Bits of a value that is kept: 4 for weights, 8 with activations or for the cache, else those of the baseline."""
    return choose(method, 4.0, 8.0, 8.0, *(baseline_bits for _ in range(5)))


def stored_bits(method, bits, grouped, baseline_bits, sparsity, index_bits=None):
    """Bits per weight that is stored, with what tells the zeros.

    Parameters
    ----------
    method : `CompressionMethod`
    bits : of a value that is kept.
    grouped : the same with scales and zero points, see `grouped_bits`.
    baseline_bits : of a dense weight.
    sparsity : share of zeros without a pattern.
    index_bits : of a kept value of a 2:4 pattern, and of each value of a bitmap; None for 2 and 1.

    Examples
    --------
    >>> from mlsysim.schema.codes import CompressionMethod
    >>> [float(stored_bits(float(m), 16.0, 4.125, 16.0, 0.5)) for m in CompressionMethod]
    [4.125, 4.125, 16.0, 9.0, 9.0, 16.0, 16.0, 16.0]
    """
    zeros = (bitmap_bits(bits, sparsity, index_bits), two_of_four_bits(bits, index_bits))
    return choose(method, grouped, grouped, baseline_bits, *zeros, bits, bits, bits)


class Left(NamedTuple):
    """Shares of a model that are left (1)."""

    layers: Any  #: of the parameters of the layers
    attention: Any  #: of heads and layers, and so of the cache
    student: Any  #: parameters of a student over those of its teacher


def shares_left(model: Workload, method, sparsity, factor_rank, student_params) -> Left:
    """What structured pruning, a student or factors leave; all of it with other methods.

    Parameters
    ----------
    method : `CompressionMethod`
    sparsity : share that goes, unless a rank or a student says.
    factor_rank : rank of the factors of every matrix, or None.
    student_params : parameters of the student, or None.
    """
    dense = 1.0 - sparsity
    student = dense if student_params is None else student_params / architecture.counted_params(model)
    factored = dense if factor_rank is None else factored_share(model, factor_rank)
    whole = (1.0, 1.0, 1.0, 1.0, 1.0)
    layers = choose(method, *whole, dense, student, factored)
    return Left(layers, choose(method, *whole, dense, student, 1.0), student)


def low_rank_ratio(rows, columns, rank):
    """Values of a matrix over those of its two factors: ``m n / (r (m + n))``.

    Examples
    --------
    >>> low_rank_ratio(4096.0, 4096.0, 256.0)
    8.0
    """
    return rows * columns / (rank * (rows + columns))


def factored_share(model: Workload, rank):
    """Parameters that are left when every matrix of every layer is factored at one rank (1); tables stay.

    Parameters
    ----------
    model : Workload
    rank : r, at most the smaller side of each matrix to save anything.

    Notes
    -----
    Counts query, key, value and output matrices and the feed-forward network (of every expert); latent
    attention counts as its outer shapes.
    """
    query = model.n_heads * architecture.query_key_width(model)
    value = model.n_heads * architecture.value_width(model)
    key = model.n_kv_heads * model.head_dim
    experts = model.n_experts + model.n_shared_experts
    matrices = architecture.ffn_matrices(model)
    dense = architecture.dense_layers(model)
    networks = dense * (model.hidden + architecture.dense_ffn_width(model))
    networks = networks + architecture.moe_layers(model) * experts * (model.hidden + model.ffn_hidden)
    sides = model.n_layers * (4.0 * model.hidden + query + value + 2.0 * key) + matrices * networks
    whole = layer_matrix_params(model)
    total = architecture.total_params(model)
    return (total - whole + np.minimum(rank * sides, whole)) / total


def layer_matrix_params(model: Workload):
    """Weights of the matrices of all layers, experts included, without tables, norms and routers."""
    experts = (model.n_experts + model.n_shared_experts) * architecture.ffn_matrices(model)
    return (
        model.n_layers * architecture.attention_params(model)
        + architecture.dense_layers(model) * architecture.dense_ffn_params(model)
        + architecture.moe_layers(model) * experts * model.hidden * model.ffn_hidden
    )
