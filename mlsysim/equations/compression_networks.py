"""What a smaller network loses that is no language model: top-1 accuracy of image networks, tuned or trained anew after it.

A law is a few published points, joined geometrically in the bits and linearly in the share that is left out.  Figures are
medians over ResNet-18, ResNet-50 and MobileNet-V2 where a publication has all three; narrow and depthwise networks lose
two to three times as much as wide ones, which the spread of 0.7 covers.  All were entered from general knowledge of the
publications, not read again.

References
----------
Li et al. 2021, "BRECQ" (arXiv:2102.05426); Nagel et al. 2020, "AdaRound" (arXiv:2004.10568); Wu et al. 2020, "Integer
quantization" (arXiv:2004.09602); He et al. 2019, "FPGM" (arXiv:1811.00250); Lin et al. 2020, "HRank" (arXiv:2002.10179);
Kusupati et al. 2020, "STR" (arXiv:2002.03231); Mishra et al. 2021 (arXiv:2104.08378).
"""

from typing import Any

import numpy as np

from mlsysim.schema.codes import Quantizer

#: top-1 lost with weights of 4, 3 and 2 bits, calibrated block by block (BRECQ, table 2: ResNet-50 77.00 to 76.29, 75.61,
#: 72.40; ResNet-18 71.08 to 70.70, 69.81, 66.30; MobileNet-V2 72.49 to 71.66, 69.50, 59.67)
CALIBRATED = {4.0: 0.0071, 3.0: 0.0139, 2.0: 0.0478}
#: with weights rounded to the nearest of 4 bits (AdaRound, table 1: ResNet-18 69.68 to 23.99, ResNet-50 76.07 to 35.60)
ROUNDED_4 = 0.43
#: with weights and activations of 8 bits (Wu et al., table 5: ResNet-50 76.16 to 76.05), and of 4 (BRECQ, table 3: 77.00
#: to 75.05)
NARROW_8, NARROW_4 = 0.0011, 0.0195
#: share of filters left out, retrained: FPGM 42.2 and 53.5 % of ResNet-50's operations, HRank 62.1 and 76.0 %
FILTERS = ((0.0, 0.0), (0.422, 0.0056), (0.535, 0.0132), (0.621, 0.0417), (0.760, 0.0705))
#: share of zeros, pruned while training: ResNet-50 77.01 (STR, table 1, gradual magnitude pruning)
ZEROS = ((0.0, 0.0), (0.5, 0.0), (0.8, 0.0141), (0.9, 0.0310), (0.95, 0.0642), (0.98, 0.1911))
#: two of four values, trained anew (Mishra et al., table 4: ResNet-50 76.1 to 76.2)
TWO_OF_FOUR = 0.0
#: a uniform quantiser loses a quarter of its error with every bit
LOSS_PER_BIT = 4.0
#: one standard deviation of these figures among networks and recipes, relative; and of a published top-1, absolute
SPREAD, NOISE = 0.7, 0.003


def along(points, place):
    """Piecewise linear through points (share, lost), and on along the last piece.

    Examples
    --------
    >>> round(float(along(FILTERS, 0.5)), 5)
    0.01085
    """
    result: Any = points[0][1]
    for i in range(1, len(points)):
        (left, low), (right, high) = points[i - 1 : i + 1]
        result = result + (high - low) * np.minimum(np.maximum((place - left) / (right - left), 0.0), 1.0)
    (left, low), (right, high) = points[-2:]
    return result + (high - low) / (right - left) * np.maximum(place - right, 0.0)


def quantized_weights_drop(bits, quantizer):
    """Top-1 lost with narrow weights (1): geometric through 2, 3 and 4 bits, a quarter with every bit beyond.

    Parameters
    ----------
    bits : of a weight.
    quantizer : `Quantizer`

    Examples
    --------
    >>> round(float(quantized_weights_drop(4.0, Quantizer.GPTQ)), 4)
    0.0071
    """
    below = CALIBRATED[3.0] / CALIBRATED[4.0], CALIBRATED[2.0] / CALIBRATED[3.0]
    fewer = np.maximum(4.0 - bits, 0.0)
    more = np.power(LOSS_PER_BIT, -np.maximum(bits - 4.0, 0.0))
    tuned = CALIBRATED[4.0] * more * np.power(below[0], np.minimum(fewer, 1.0))
    tuned = tuned * np.power(below[1], np.maximum(fewer - 1.0, 0.0))
    nearest = ROUNDED_4 * np.power(LOSS_PER_BIT, 4.0 - bits)
    return np.where(quantizer == Quantizer.ROUND_TO_NEAREST, nearest, tuned)


def narrow_arithmetic_drop(bits):
    """Top-1 lost with narrow weights and activations (1): geometric through 4 and 8 bits, and beyond.

    Examples
    --------
    >>> round(float(narrow_arithmetic_drop(8.0)), 4)
    0.0011
    """
    inner = NARROW_4 * np.power(NARROW_8 / NARROW_4, 0.25 * (np.minimum(bits, 8.0) - 4.0))
    return inner * np.power(LOSS_PER_BIT, -np.maximum(bits - 8.0, 0.0))


def spread(drop):
    """One standard deviation of the top-1 lost (1)."""
    return np.sqrt(SPREAD * SPREAD * (drop * drop) + NOISE * NOISE)
