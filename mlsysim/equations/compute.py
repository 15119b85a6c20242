"""Time of one operator on one device: matrix products, attention, element-wise work.

An operator takes as long as its arithmetic or its traffic, whichever is longer, plus the time to start it.
Between the two regimes real kernels follow a smooth maximum ``(a^q + b^q)^(1/q)``; q is 2, 4 or infinity
(code 0), because fits with these are as good as with a free exponent and need square roots only, which
vectorise.

The small products of decoding never reach the rate of large ones: ``rows / (rows + half_rows)`` says how the
rate climbs with the rows of the activation matrix.  Written as ``flops * (1 + half_rows / rows)`` the compute
time is *linear* in the rows, which the functions below keep visible, so that a sweep over batch sizes costs
one multiplication.
"""

import numpy as np

from mlsysim.equations.counting import ceil_div


def smooth_max(first, second, exponent):
    """Smooth maximum ``(first^q + second^q)^(1/q)`` of two non-negative times.

    Parameters
    ----------
    first, second : times (s), any common unit works; not negative.
    exponent : 2, 4, or 0 for the plain maximum.

    Notes
    -----
    Never below the larger argument, and above it by at most 2^(1/q): 41 % for q = 2, 19 % for q = 4.

    Examples
    --------
    >>> float(smooth_max(3.0, 4.0, 2)), float(smooth_max(3.0, 4.0, 0))
    (5.0, 4.0)
    """
    first_squared = first * first
    second_squared = second * second
    square = first_squared + second_squared
    fourth = first_squared * first_squared + second_squared * second_squared
    largest = np.maximum(first, second)
    smooth = np.sqrt(np.where(exponent == 2, square, np.sqrt(fourth)))
    return np.where(exponent == 0, largest, smooth)


def gemm_flops(rows, columns, inner):
    """Operations of one matrix product (rows x inner) @ (inner x columns); a multiply-add is 2 (FLOP)."""
    return 2.0 * rows * columns * inner


def gemm_traffic(rows, columns, inner, weight_bytes, input_bytes, output_bytes):
    """Bytes one matrix product moves when each operand moves once (byte).

    Parameters
    ----------
    rows, columns, inner : shape.
    weight_bytes, input_bytes, output_bytes : bytes per element of the (inner x columns) weights, of the
        (rows x inner) input and of the (rows x columns) output.
    """
    return weight_bytes * (columns * inner) + rows * (input_bytes * inner + output_bytes * columns)


def gemm_compute_time(rows, columns, inner, peak_flops, efficiency, half_rows):
    """Arithmetic alone: ``flops (1 + half_rows / rows) / (efficiency peak)`` (s).

    Parameters
    ----------
    rows, columns, inner : shape; any positive size.
    peak_flops : dense peak of the format (FLOP/s).
    efficiency : share of peak that a large product reaches.
    half_rows : rows at which a product reaches half of that rate.
    """
    return (rows + half_rows) * (2.0 * columns * inner / (efficiency * peak_flops))


def faster_path(matrix_time, flops, vector_ops, vector_efficiency):
    """Arithmetic of a product on the faster of two paths: matrix units, or vector units row by row (s).

    ``min(matrix time, flops / (vector_efficiency vector_ops))``: with few rows the tiles of the matrix units stay
    nearly empty, and libraries take a matrix-vector kernel, which wastes no row.

    Parameters
    ----------
    matrix_time : on the matrix units, empty rows of their tiles included (s); see `gemm_compute_time`.
    flops : of the product (FLOP).
    vector_ops : rate of the vector units (FLOP/s), which unpack or convert what they multiply; 0 leaves the matrix units alone.
    vector_efficiency : share of it that these kernels reach.

    Notes
    -----
    On A100, H100, H200 and B200 the measured curve decides either way: there both paths are hidden by the reading of
    the weights.  It matters where the matrix rate is low for the bandwidth, or the curve is another device's.

    References
    ----------
    github.com/ggml-org/llama.cpp, ggml-cuda/mmvf.cu and mmvq.cu: matrix-vector kernels for up to 8 rows.

    Examples
    --------
    >>> float(faster_path(4.0, 10.0, 10.0, 0.5)), float(faster_path(1.0, 10.0, 10.0, 0.5))
    (2.0, 1.0)
    """
    has_vectors = vector_ops > 0
    vector_time = flops * (1.0 / (vector_efficiency * np.where(has_vectors, vector_ops, 1.0)))
    return np.where(has_vectors, np.minimum(matrix_time, vector_time), matrix_time)


def traffic_time(nbytes, mem_bandwidth, bandwidth_efficiency):
    """Traffic alone: ``bytes / (bandwidth_efficiency bandwidth)`` (s); bytes (byte), bandwidth (byte/s)."""
    return nbytes / (bandwidth_efficiency * mem_bandwidth)


def operator_time(compute_time, memory_time, latency, exponent):
    """One operator: ``latency + smooth maximum of arithmetic and traffic`` (s); all times in s.

    References
    ----------
    Williams, Waterman, Patterson 2009, "Roofline", CACM 52(4) for the plain maximum.
    """
    return latency + smooth_max(compute_time, memory_time, exponent)


def gemm_time(rows, columns, inner, weight_bytes, input_bytes, output_bytes, hardware):
    """Time of one matrix product on one device at its fitted curve (s).

    Parameters
    ----------
    rows, columns, inner : shape.
    weight_bytes, input_bytes, output_bytes : bytes per element of weights, input and output.
    hardware : Accelerator, whose ``gemm_*`` fields are the curve.

    Notes
    -----
    Fitted to measured GEMM latencies for rows 1..16384 and sides of 1024 and more: median error 4 to 8 % on
    products not seen (16-bit), 6 to 12 % (8- and 4-bit formats).
    """
    return operator_time(
        gemm_compute_time(rows, columns, inner, hardware.peak_flops, hardware.gemm_efficiency, hardware.gemm_half_rows),
        traffic_time(
            gemm_traffic(rows, columns, inner, weight_bytes, input_bytes, output_bytes),
            hardware.mem_bandwidth,
            hardware.gemm_bandwidth_efficiency,
        ),
        hardware.gemm_latency,
        hardware.gemm_exponent,
    )


#: products that unpack 4-bit weights on the way, over the 16-bit products of the same device: share of peak, share of
#: bandwidth, rows at half rate; A100, weight-only kernels of TensorRT-LLM 1.0 (curves: a100_sxm_int4, a100_sxm_bf16)
WEIGHT_ONLY_RATE = 0.807 / 0.8261
WEIGHT_ONLY_BANDWIDTH = 0.807 / 0.8293
WEIGHT_ONLY_HALF_ROWS = 29.07


def weight_only(efficiency, bandwidth_efficiency):
    """Curve of products with narrow weights and 16-bit arithmetic, from the device's 16-bit curve.

    Parameters
    ----------
    efficiency, bandwidth_efficiency : shares of peak and of bandwidth of the device's 16-bit products.

    Returns
    -------
    dict
        Fields of an accelerator; the plain maximum joins arithmetic and traffic.  The start is not among them: it
        is that of the device's 16-bit products.  The kernels of serving engines reach 3.87 of 3.88 times at one row and
        close to it up to 16 to 32 (Marlin); those measured start 12 us later on narrow matrices, 2 us on wide ones.

    References
    ----------
    Frantar et al. 2024, "MARLIN" (arXiv:2408.11743), and its repository's benchmarks on A10 and A100.
    """
    return {
        "gemm_efficiency": WEIGHT_ONLY_RATE * efficiency,
        "gemm_bandwidth_efficiency": WEIGHT_ONLY_BANDWIDTH * bandwidth_efficiency,
        "gemm_half_rows": WEIGHT_ONLY_HALF_ROWS,
        "gemm_exponent": 0.0,
    }


def tile_efficiency(rows, columns, tile_rows, tile_columns, compute_units):
    """Share of the machine that useful outputs fill when a product is cut into tiles and tiles into waves.

    ``[M N / (tiles Tm Tn)] [tiles / (waves units)]`` with ``tiles = ceil(M/Tm) ceil(N/Tn)`` and
    ``waves = ceil(tiles/units)``.

    Parameters
    ----------
    rows, columns : output shape; a product without columns fills nothing.
    tile_rows, tile_columns : tile of one thread block.
    compute_units : tiles in flight at once (streaming multiprocessors).

    Examples
    --------
    >>> round(float(tile_efficiency(4096.0, 4096.0, 128.0, 256.0, 132.0)), 6)
    0.969697
    """
    tiles = ceil_div(rows, tile_rows) * ceil_div(columns, tile_columns)
    waves = ceil_div(tiles, compute_units)
    held = tile_rows * tile_columns * waves * compute_units
    return np.where(held > 0, rows * columns / np.where(held > 0, held, 1.0), 0.0)


#: inputs of a block that shares a scale
SCALED_INPUTS = 128.0


def scaled_rate(peak_flops, vector_flops):
    """Rate of products whose sums are scaled every 128 inputs by the vector units: ``1 / (1 + P / (128 V))``.

    A sum of 128 inputs is 256 operations of the matrix units and one multiply-add, 2 operations, of the vector units,
    which the matrix units wait for.

    Parameters
    ----------
    peak_flops, vector_flops : P, V (FLOP/s); 1 where a device has no vector rate.

    Notes
    -----
    Measured products with scales of blocks over those with a scale a tensor: 0.80 on H100 and H200 (aiconfigurator
    0.12.0 kernel tables).

    References
    ----------
    DeepSeek-AI 2024 (arXiv:2412.19437), section 3.3.2.

    Examples
    --------
    >>> float(scaled_rate(128e12, 1e12)), float(scaled_rate(1e15, 0.0))
    (0.5, 1.0)
    """
    vectors = np.where(vector_flops > 0, vector_flops, np.inf)
    return 1.0 / (1.0 + peak_flops / (SCALED_INPUTS * vectors))


def attention_efficiency(length, plateau, half_length):
    """Share of peak that prefill attention reaches: ``plateau length / (length + half_length)``.

    Parameters
    ----------
    length : tokens attended to; fitted for 512..16384.
    plateau : share of peak that long sequences tend to.
    half_length : tokens at which half of it is reached.

    Examples
    --------
    >>> float(round(attention_efficiency(512.0, 0.57, 1300.0), 2))
    0.16
    """
    return plateau * length / (length + half_length)


def attention_time(flops, length, peak_flops, plateau, half_length):
    """Fused attention over many queries: ``flops (1 + half_length / length) / (plateau peak)`` (s).

    Parameters
    ----------
    flops : of the scores and of their product with the values (FLOP).
    length : tokens attended to.
    peak_flops : dense peak of the format attention computes in (FLOP/s).
    plateau, half_length : see `attention_efficiency`.
    """
    return flops * (1.0 + half_length / length) / (plateau * peak_flops)


def elementwise_time(nbytes, mem_bandwidth, bandwidth_efficiency, slowdown=1.0):
    """Norms, residuals, activations: traffic only (s).

    Parameters
    ----------
    nbytes : bytes read and written (byte).
    mem_bandwidth : (byte/s).
    bandwidth_efficiency : share of it that streaming reaches.
    slowdown : measured time over ideal time.
    """
    return slowdown * traffic_time(nbytes, mem_bandwidth, bandwidth_efficiency)


def elementwise_bytes_per_token(hidden, ffn_hidden, gated_ffn, element_bytes):
    """Element-wise traffic of one token in one layer, forward: ``bytes (10 h + (3 or 2) f)`` (byte).

    Parameters
    ----------
    hidden, ffn_hidden : widths; `ffn_hidden` is the width a token really passes (experts: all it visits).
    gated_ffn : 1 when the feed-forward network has a gate.
    element_bytes : bytes per activation.

    Notes
    -----
    Two norms (read, write), two residual additions (two reads, one write) make 10 h; the activation function
    reads one or two and writes one value per unit of the feed-forward network.
    """
    return element_bytes * (10.0 * hidden + (2.0 + gated_ffn) * ffn_hidden)
