"""What a smaller model loses: in loss, and in accuracy.

Loss comes from published tables of
perplexity, read as ``ln(perplexity / dense perplexity)`` (nats per token) and interpolated: linearly in
ln(parameters) between the sizes measured (flat beyond them, with a wider spread), geometrically in the bits.

References
----------
Han et al. 2015, "Deep compression" (arXiv:1510.00149); Gholami et al. 2021, "A survey of quantization
methods" (arXiv:2103.13630); the tables name their own sources.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture
from mlsysim.equations import compression_networks as networks
from mlsysim.equations.selection import choose
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import AccuracyBasis, CompressionMethod, Pruner
from mlsysim.schema.records import Workload

# --- tables --------------------------------------------------------------------------------------------


def between(knots, values, place):
    """Piecewise linear through (knots, values), flat beyond the ends.

    Examples
    --------
    >>> float(between((0.0, 1.0, 3.0), (5.0, 6.0, 2.0), 2.0))
    4.0
    """
    result: Any = values[0]
    for left, right, low, high in zip(knots, knots[1:], values, values[1:], strict=False):
        inside = np.minimum(np.maximum((place - left) / (right - left), 0.0), 1.0)
        result = result + (high - low) * inside
    return result


def beyond(knots, place):
    """How far a place lies outside the knots, 0 inside."""
    return np.maximum(knots[0] - place, 0.0) + np.maximum(place - knots[-1], 0.0)


def _sizes(*billions):
    return tuple(np.log(b * 1e9) for b in billions)


def _losses(dense, *perplexities):
    """ln(perplexity / dense), column by column."""
    return tuple(np.log(p / d) for d, p in zip(dense, perplexities, strict=True))


#: WikiText-2, LLaMA 7B, 13B, 30B, 65B (github.com/IST-DASLab/gptq, README).
LLAMA_SIZES = _sizes(6.74, 13.0, 32.5, 65.2)
_LLAMA = (5.68, 5.09, 4.10, 3.53)
ROUNDED_4 = _losses(_LLAMA, 6.29, 5.53, 4.54, 3.92)
ROUNDED_3 = _losses(_LLAMA, 25.54, 11.40, 14.89, 10.59)
GPTQ_4 = _losses(_LLAMA, 6.09, 5.36, 4.45, 3.84)
GPTQ_3 = _losses(_LLAMA, 8.07, 6.63, 5.69, 5.04)
GPTQ_3_GROUPED = _losses(_LLAMA, 6.61, 5.62, 4.80, 4.17)
#: Loss with groups of 128 over loss with one scale per output channel.
GROUPING = tuple(g / w for g, w in zip(GPTQ_3_GROUPED, GPTQ_3, strict=True))
GROUPED_BY = 128.0

#: WikiText, Llama-2 7B, 13B, 70B (github.com/locuslab/wanda, README).
LLAMA2_SIZES = _sizes(6.74, 13.0, 69.0)
_LLAMA2 = (5.12, 4.57, 3.12)
PRUNED_HALF = {
    Pruner.MAGNITUDE: _losses(_LLAMA2, 14.89, 6.37, 4.98),
    Pruner.SPARSEGPT: _losses(_LLAMA2, 6.51, 5.63, 3.98),
    Pruner.WANDA: _losses(_LLAMA2, 6.42, 5.56, 3.98),
}
PRUNED_2_4 = {
    Pruner.MAGNITUDE: _losses(_LLAMA2, 54.59, 8.33, 6.33),
    Pruner.SPARSEGPT: _losses(_LLAMA2, 10.17, 8.32, 5.40),
    Pruner.WANDA: _losses(_LLAMA2, 11.02, 8.27, 5.16),
}
#: Loss grows as sparsity to these powers up to one half and beyond it: Llama-2 7B at 30, 50 and 70 % (Wanda:
#: 5.5244, 6.4154, 68.80 of 5.1140; magnitude: 5.7350, 11.832; github.com/tweizy/wanda-prunning-experiment).
_HALF = np.log(6.4154 / 5.1140)
GENTLE = np.log(_HALF / np.log(5.5244 / 5.1140)) / np.log(0.5 / 0.3)
GENTLE_MAGNITUDE = np.log(np.log(11.8324 / 5.1140) / np.log(5.7350 / 5.1140)) / np.log(0.5 / 0.3)
STEEP = np.log(np.log(68.8045 / 5.1140) / _HALF) / np.log(0.7 / 0.5)

#: C4, Llama-2 7B, 13B, 70B, 10 and 20 % of the blocks removed (Song et al. 2024, arXiv:2402.09025, table 1).
_C4 = (7.26, 6.73, 5.71)
BLOCKS_10 = _losses(_C4, 9.34, 7.80, 6.32)
BLOCKS_20 = _losses(_C4, 12.32, 9.42, 7.31)

#: WikiText-2, LLaMA-7B, share of parameters removed by truncated SVD (SVD-LLM: Wang et al. 2024,
#: arXiv:2403.07378).
REMOVED = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6)
FACTORED = _losses((5.68,) * 6, 5.68, 7.94, 9.56, 13.11, 23.97, 42.30)

#: WikiText-2 with a narrow cache, uniform, keys per channel (Tomar et al. 2025, arXiv:2508.10395, KIVI*):
#: mean of Llama-2-7B, Llama-3.1-8B and Mistral-7B, then Llama-2-13B.
CACHE_SIZES = _sizes(7.3, 13.0)


def _mean(*values):
    return sum(values) / len(values)


CACHE = {
    bits: (_mean(*_losses((5.47, 6.24, 5.32), *small)), np.log(large / 4.88))
    for bits, small, large in (
        (4.0, (5.49, 6.30, 5.34), 4.90),
        (3.0, (5.57, 6.55, 5.41), 4.96),
        (2.0, (6.20, 8.72, 6.14), 5.46),
    )
}
#: The same with 8 bits: Llama-3-8B, 6.234369 of 6.232196 (github.com/ggml-org/llama.cpp, pull request 7412).
CACHE_8 = np.log(6.234369 / 6.232196)

#: Mean accuracy lost with 8-bit weights and activations: Llama-3.1 8B 62.71 of 63.03 (model card of
#: neuralmagic/Meta-Llama-3.1-8B-quantized.w8a8), 70B 84.29 of 84.40 (Kurtic et al. 2024, arXiv:2411.02355,
#: table 2); in 4 bits, rounded to NVFP4, Llama-3.1-8B 74.0 of 78.9 (model card of ISTA-DASLab, FPQuant,
#: arXiv:2509.23202).
NARROW_SIZES = _sizes(8.03, 70.6)
NARROW_8 = (0.0032, 0.0011)
NARROW_4 = 0.049

#: A uniform quantiser loses a quarter of its error, and so of the loss, with every bit.
LOSS_PER_BIT = 4.0

#: Relative standard deviation of a table among models and recipes, by method; the same per e-fold of size
#: outside the table; of accuracy read from a loss; and that of a benchmark mean, absolute (eight AWQ deltas,
#: -0.26 +- 0.59 points: llm-awq README).
SPREADS = {
    CompressionMethod.QUANTIZE_WEIGHTS: 0.4,
    CompressionMethod.QUANTIZE_WEIGHTS_ACTIVATIONS: 0.6,
    CompressionMethod.QUANTIZE_KV: 0.6,
    CompressionMethod.PRUNE_UNSTRUCTURED: 0.3,
    CompressionMethod.PRUNE_2_4: 0.3,
    CompressionMethod.PRUNE_STRUCTURED: 0.7,
    CompressionMethod.DISTILL: 0.55,
    CompressionMethod.LOW_RANK: 0.5,
}
SPREAD_BEYOND = 0.3
SPREAD_OF_MAP = 0.5
BENCHMARK_NOISE = 0.006


# --- loss ----------------------------------------------------------------------------------------------


def quantized_weights_loss(size, bits, group_size, width, quantizer):
    """Loss of narrow weights with 16-bit arithmetic (nats/token).

    ``D4 (D3 / D4)^(4 - b)`` below four bits, ``D4 4^(4 - b)`` above; times ``f^(ln(h/g) / ln(h/128))`` with f
    what groups of 128 leave of it.

    Parameters
    ----------
    size : ln(parameters).
    bits : b, of the values alone.
    group_size : g, values that share a scale; `width` or more: one scale per output channel.
    width : h, inner width of the matrices.
    quantizer : Quantizer

    Notes
    -----
    Measured: 3 and 4 bits, 3 bits in groups of 128, 7 to 65 billion parameters.
    """
    four = choose(quantizer, between(LLAMA_SIZES, ROUNDED_4, size), between(LLAMA_SIZES, GPTQ_4, size))
    three = choose(quantizer, between(LLAMA_SIZES, ROUNDED_3, size), between(LLAMA_SIZES, GPTQ_3, size))
    ratio = np.where(bits < 4.0, three / four, LOSS_PER_BIT)
    wide = np.maximum(width, 2.0 * GROUPED_BY)
    finer = np.maximum(np.log(wide / group_size), 0.0) / np.log(wide / GROUPED_BY)
    return four * np.power(ratio, 4.0 - bits) * np.power(between(LLAMA_SIZES, GROUPING, size), finer)


def quantized_cache_loss(size, bits):
    """Loss of a narrow KV cache (nats/token), geometric between 2, 3, 4 and 8 bits.

    Parameters
    ----------
    size : ln(parameters); measured at 7 and 13 billion.
    bits : per cached value, 2 and more.
    """
    logs = [np.log(between(CACHE_SIZES, CACHE[b], size)) for b in (2.0, 3.0, 4.0)]
    eight = np.log(CACHE_8)
    inner = between((2.0, 3.0, 4.0, 8.0), (*logs, eight), bits)
    below = np.maximum(2.0 - bits, 0.0) * (logs[0] - logs[1])
    above = np.maximum(bits - 8.0, 0.0) * 0.25 * (logs[2] - eight)
    return np.exp(inner + below - above)


def pruned_loss(size, sparsity, pruner):
    """Loss of unstructured zeros (nats/token): the table at one half times ``(2 x)^p``.

    Parameters
    ----------
    size : ln(parameters).
    sparsity : x; p is 2.1 up to one half (magnitude 3.9) and 7.3 beyond.
    pruner : Pruner
    """
    half = choose(pruner, *(between(LLAMA2_SIZES, PRUNED_HALF[p], size) for p in Pruner))
    gentle = choose(pruner, GENTLE_MAGNITUDE, GENTLE, GENTLE)
    return half * np.power(2.0 * sparsity, np.where(sparsity > 0.5, STEEP, gentle))


def two_of_four_loss(size, pruner):
    """Loss of the 2:4 pattern (nats/token)."""
    return choose(pruner, *(between(LLAMA2_SIZES, PRUNED_2_4[p], size) for p in Pruner))


def removed_blocks_loss(size, share):
    """Loss of leaving out a share of the blocks, not retrained (nats): ``D20 (x / 0.2)^p`` through D10."""
    ten, twenty = between(LLAMA2_SIZES, BLOCKS_10, size), between(LLAMA2_SIZES, BLOCKS_20, size)
    return twenty * np.power(5.0 * share, np.log(twenty / ten) / np.log(2.0))


def factored_loss(removed):
    """Loss of truncated factors (nats/token), linear between the shares of parameters removed and beyond."""
    last = (FACTORED[-1] - FACTORED[-2]) / (REMOVED[-1] - REMOVED[-2])
    return between(REMOVED, FACTORED, removed) + last * np.maximum(removed - REMOVED[-1], 0.0)


def narrow_arithmetic_drop(size, bits):
    """Accuracy lost with narrow weights and activations (1): geometric between 4 and 8 bits, and beyond."""
    four, eight = np.log(NARROW_4), np.log(between(NARROW_SIZES, NARROW_8, size))
    inner = four + (eight - four) * 0.25 * (np.minimum(bits, 8.0) - 4.0)
    return np.exp(inner - np.log(LOSS_PER_BIT) * np.maximum(bits - 8.0, 0.0))


def distillation_drop(student, per_fold):
    """Accuracy lost by a student (1): ``d ln(teacher / student)``, 0 for one that is larger than its teacher.

    Parameters
    ----------
    student : parameters over those of the teacher.
    per_fold : d, lost for every factor e of parameters.

    Examples
    --------
    >>> round(float(distillation_drop(0.5, 0.1)), 9), float(distillation_drop(2.0, 0.1))
    (0.069314718, 0.0)
    """
    return per_fold * np.maximum(-np.log(student), 0.0)


def accuracy_drop(loss, per_nat, most):
    """Accuracy lost on multiple-choice tasks (1): ``most (1 - exp(-per_nat loss / most))``.

    Parameters
    ----------
    loss : nats per token.
    per_nat : accuracy lost per nat when little is lost.
    most : what separates the dense model from guessing.
    """
    return most * -np.expm1(-per_nat * loss / most)


def loss_for_drop(drop, per_nat, most):
    """The same read backwards (nats/token); inf from `most` on."""
    return -most / per_nat * np.log1p(-np.minimum(drop / most, 1.0))


def accuracy_spread(method, size, drop, measured_as_drop):
    """One standard deviation of the accuracy lost (1).

    Parameters
    ----------
    method : CompressionMethod
    size : ln(parameters).
    drop : accuracy lost (1).
    measured_as_drop : the table holds accuracy, not loss.
    """
    known = {
        CompressionMethod.QUANTIZE_WEIGHTS: LLAMA_SIZES,
        CompressionMethod.QUANTIZE_WEIGHTS_ACTIVATIONS: NARROW_SIZES,
        CompressionMethod.QUANTIZE_KV: CACHE_SIZES,
        CompressionMethod.DISTILL: _sizes(8.03, 12.2),
        CompressionMethod.LOW_RANK: _sizes(6.74, 6.74),
    }
    outside = choose(method, *(beyond(known.get(m, LLAMA2_SIZES), size) for m in CompressionMethod))
    table = choose(method, *(SPREADS[m] for m in CompressionMethod))
    extrapolated = SPREAD_BEYOND * outside
    mapped = np.where(measured_as_drop, 0.0, SPREAD_OF_MAP)
    relative = table * table + extrapolated * extrapolated + mapped * mapped
    return np.sqrt(drop * drop * relative + BENCHMARK_NOISE * BENCHMARK_NOISE)


class Harm(NamedTuple):
    """What compressing costs in quality."""

    loss: Any  #: nats/token
    drop: Any  #: mean accuracy lost (1)
    spread: Any  #: one standard deviation of that
    basis: Any  #: `AccuracyBasis`


def of_networks(harmed: Harm, model: Workload, method, bits, baseline_bits, sparsity, left, quantizer, most) -> Harm:
    """The laws of image networks for a model that is no transformer, and a word where a model's family has no law.

    Encoders and pictures cut into tokens, students and factors of a network borrow the tables of language models, with a
    spread as wide as the loss.  A network has no perplexity: its `loss` is that of a language model that loses as much.

    Parameters
    ----------
    harmed : by the tables of language models.
    most : accuracy at stake.
    """
    network = model.network_layers > 0
    own = (method != CompressionMethod.DISTILL) & (method != CompressionMethod.LOW_RANK)
    text = np.logical_not(network) & (architecture.generates(model) | (model.n_layers <= 0))
    rounded = np.where(bits < baseline_bits, networks.quantized_weights_drop(bits, quantizer), 0.0)
    drop = choose(
        method,
        rounded,
        np.where(bits < baseline_bits, networks.narrow_arithmetic_drop(bits), 0.0),
        0.0,
        networks.along(networks.ZEROS, sparsity) + rounded,
        networks.TWO_OF_FOUR + rounded,
        networks.along(networks.FILTERS, 1.0 - left) + rounded,
        0.0,
        0.0,
    )
    drop = np.minimum(drop, most)
    borrowed = np.sqrt(harmed.spread * harmed.spread + harmed.drop * harmed.drop)
    by_law = network & own
    lost = np.where(by_law, drop, harmed.drop)
    return Harm(
        loss=np.where(by_law, 0.0, harmed.loss),
        drop=lost,
        spread=np.where(by_law, networks.spread(drop), np.where(text, harmed.spread, borrowed)),
        basis=np.where(
            by_law,
            float(AccuracyBasis.IMAGE_NETWORKS),
            np.where(text, float(AccuracyBasis.LANGUAGE_MODELS), float(AccuracyBasis.BORROWED)),
        ),
    )


def harm(
    model: Workload,
    assume: Assumptions,
    method,
    *,
    bits,
    baseline_bits,
    kv_bits,
    group_size,
    sparsity,
    left,
    student,
    quantizer,
    pruner,
) -> Harm:
    """Loss and accuracy of a compressed model: the table of its method, and that of narrow weights where both are done.

    Values as wide as the dense ones lose nothing.

    Parameters
    ----------
    bits, baseline_bits, kv_bits : of a value that is kept, of a dense weight, of a dense value of the cache.
    group_size : values that share a scale.
    sparsity : share of zeros.
    left : share of parameters that structured pruning, a student or factors leave.
    student : parameters of the student over those of its teacher.
    quantizer, pruner : `Quantizer`, `Pruner`.
    """
    size = np.log(architecture.counted_params(model))
    quantized = quantized_weights_loss(size, bits, group_size, model.hidden, quantizer)
    rounded = np.where(bits < baseline_bits, quantized, 0.0)
    from_table: Any = choose(
        method,
        rounded,
        0.0,
        np.where(bits < kv_bits, quantized_cache_loss(size, bits), 0.0),
        pruned_loss(size, sparsity, pruner) + rounded,
        two_of_four_loss(size, pruner) + rounded,
        removed_blocks_loss(size, 1.0 - left) + rounded,
        0.0,
        factored_loss(1.0 - left) + rounded,
    )
    distilling = method == CompressionMethod.DISTILL
    as_drop = (method == CompressionMethod.QUANTIZE_WEIGHTS_ACTIVATIONS) | distilling
    distilled = distillation_drop(student, assume.distillation_drop)
    per_nat, most = assume.accuracy_per_nat, assume.accuracy_at_stake
    narrowed = np.where(bits < baseline_bits, narrow_arithmetic_drop(size, bits), 0.0)
    table_drop = np.minimum(np.where(distilling, distilled, narrowed), most)
    drop = np.where(as_drop, table_drop, accuracy_drop(from_table, per_nat, most))
    loss = np.where(as_drop, loss_for_drop(table_drop, per_nat, most), from_table)
    text = Harm(loss, drop, accuracy_spread(method, size, drop, as_drop), float(AccuracyBasis.LANGUAGE_MODELS))
    return of_networks(text, model, method, bits, baseline_bits, sparsity, left, quantizer, most)
