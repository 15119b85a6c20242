"""Networks that are no transformers, by layer: what a convolutional or a fully connected network computes, moves and starts.

A layer is a convolution or a product with weights; it reads the values of the layer before and writes its own.  What
lies between two layers (norm, activation function, sum) is fused into them by an engine that compiles a network ahead
of time, and is a kernel of its own, with traffic of its own, in an eager framework.

References
----------
Williams, Waterman, Patterson 2009, "Roofline", CACM 52(4); Chen et al. 2018, "TVM" (arXiv:1802.04799) for the fusion of
element-wise work; Ma et al. 2018, "ShuffleNet V2" (arXiv:1807.11164) for depthwise convolutions that memory binds.
"""

from typing import Any, NamedTuple

import numpy as np

from mlsysim.equations import architecture
from mlsysim.equations.compute import WEIGHT_ONLY_BANDWIDTH, smooth_max
from mlsysim.equations.conventions import quantises
from mlsysim.equations.launches import eager_floor
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Runtime
from mlsysim.schema.records import Accelerator, Format, Workload

#: main memory below which a device is a microcontroller: code and weights in flash, activations in SRAM (byte)
MICROCONTROLLER_MEMORY = 64.0 * 2.0**20
#: a layer reads its input and writes its output
OWN_ACCESSES = 2.0
#: accesses of each value beyond those of its layer: in an eager framework the norm and the activation function read and
#: write it; compiled, one kernel does both
EAGER_ACCESSES, COMPILED_ACCESSES = 4.0, 2.0
#: a framework whose pictures lie channel by channel turns the input and the output of convolutions on matrix units, one
#: of which it shares with the neighbouring layer: a value is read and written once more
LAYOUT_ACCESSES = 2.0
#: of the smooth maximum of arithmetic and traffic, see `mlsysim.equations.compute`
EXPONENT = 2
#: the largest exponent and the fewest rows to half of the rate of those measured on 16-bit products (`zoo/curves.csv`)
WIDE_EXPONENT, WIDE_HALF_ROWS = 4.0, 3.81
#: operations per value of a depthwise convolution of 3 x 3
DEPTHWISE_FLOPS = 18.0
#: kernels that a layer starts: itself, norm and activation function; itself and what is fused; itself
EAGER_KERNELS, COMPILED_KERNELS, ENGINE_KERNELS = 3.0, 2.0, 1.0


class Software(NamedTuple):
    """What a runtime does with what lies between layers."""

    accesses: Any  #: of each value, beyond those of its layer
    kernels: Any  #: started a layer
    launch: Any  #: host time of a kernel (s)


class NetworkWork(NamedTuple):
    """One pass of a network on one device (s)."""

    arithmetic: Any  #: of layers
    traffic: Any  #: of layers: weights and values
    apart: Any  #: traffic of depthwise convolutions, and of what no layer fuses
    start: Any  #: of kernels on the device
    host: Any  #: launches, which run beside the device


def runtime_of(runtime, training):
    """The runtime that is meant: in inference an engine, in training an eager framework, unless one is named.

    Examples
    --------
    >>> [int(runtime_of(Runtime.USUAL, training)) for training in (False, True)]
    [4, 1]
    """
    usual = np.where(training, float(Runtime.EAGER), float(Runtime.ENGINE))
    return np.where(runtime == Runtime.USUAL, usual, runtime)


def software(assume: Assumptions, runtime) -> Software:
    """What a runtime does.

    Parameters
    ----------
    runtime : `Runtime`, none of them `USUAL`.

    Examples
    --------
    >>> [float(part) for part in software(Assumptions(), Runtime.EAGER)]
    [6.0, 3.0, 2.5e-05]
    """
    eager = (runtime == Runtime.EAGER) | (runtime == Runtime.EAGER_CHANNELS_LAST)
    compiled = runtime == Runtime.COMPILED
    turned = np.where(runtime == Runtime.EAGER, LAYOUT_ACCESSES, 0.0)
    return Software(
        accesses=turned + np.where(eager, EAGER_ACCESSES, np.where(compiled, COMPILED_ACCESSES, 0.0)),
        kernels=np.where(eager, EAGER_KERNELS, np.where(compiled, COMPILED_KERNELS, ENGINE_KERNELS)),
        launch=np.where(eager, assume.eager_kernel_time, np.where(compiled, assume.compiled_kernel_time, 0.0)),
    )


class Setting(NamedTuple):
    """A transformer's pass as a runtime does it."""

    hardware: Accelerator
    format: Format
    assume: Assumptions
    launch: Any  #: host time of its kernels (s)


def of_runtime(
    model: Workload, hardware: Accelerator, format: Format, assume: Assumptions, runtime, training, by_hand
) -> Setting:
    """What a runtime changes for a transformer.

    An eager framework fuses no element-wise work of inference, and launches each kernel by itself.  A model that writes
    no text (pictures, encoders) passes whole sequences, all of them at once: attention fills its tiles however short they
    are, and an engine fuses all element-wise work and keeps values as narrow as products read them.  All else is as in
    `ServingModel`, and a training step as in `DistributedModel`.
    """
    infers = np.logical_not(training) & (model.n_layers > 0) & np.logical_not(by_hand)
    eager = ((runtime == Runtime.EAGER) | (runtime == Runtime.EAGER_CHANNELS_LAST)) & infers
    whole = infers & np.logical_not(architecture.generates(model))
    fused = whole & (runtime == Runtime.ENGINE)
    served = assume.serving_elementwise_slowdown
    slow = np.where(eager, np.maximum(assume.elementwise_slowdown, served), served)
    half, rows = hardware.attention_half_length, hardware.gemm_half_rows
    narrow = fused & (format.quantised > 0)
    share = wide_rate(hardware) / hardware.peak_flops  # 16-bit products, where they are faster

    def at_least(efficiency):
        return np.where(narrow, np.maximum(efficiency, share), efficiency)

    return Setting(
        hardware._replace(
            attention_half_length=np.where(whole, np.minimum(half, assume.attention_tile), half),
            gemm_efficiency=at_least(hardware.gemm_efficiency),
            training_gemm_efficiency=at_least(hardware.training_gemm_efficiency),
            gemm_bandwidth_efficiency=np.where(narrow, loaded_bandwidth(hardware), hardware.gemm_bandwidth_efficiency),
            gemm_half_rows=np.where(narrow, np.minimum(rows, WIDE_HALF_ROWS), rows),
            gemm_exponent=np.where(narrow, WIDE_EXPONENT, hardware.gemm_exponent),
        ),
        format._replace(
            activation_bytes=np.where(fused, value_bytes(hardware, format), format.activation_bytes),
        ),
        assume._replace(serving_elementwise_slowdown=np.where(fused, np.minimum(served, 1.0), slow)),
        np.where(eager, eager_floor(model, hardware, format, assume, 1.0, 1.0), 0.0),
    )


def level(model: Workload, assume: Assumptions, training, by_hand, runtime):
    """How much longer a pass takes than is predicted, of a model that writes no text: `network_level`, by an engine
    `engine_level` times that; 1 for all else."""
    silent = np.logical_not(architecture.generates(model)) & np.logical_not(training) & np.logical_not(by_hand)
    software = np.where(runtime == Runtime.ENGINE, assume.engine_level, 1.0)
    return np.where(silent, assume.network_level * software, 1.0)


def value_bytes(hardware: Accelerator, format: Format):
    """Bytes of a value between layers: as wide as products read it, so one byte in a network of 8 bits (byte)."""
    narrow = np.minimum(format.gemm_input_bytes, format.activation_bytes)
    return np.where(quantises(hardware, format), narrow, format.activation_bytes)


def missed_share(model: Workload, hardware: Accelerator, width, batch):
    """Share of the traffic of values that reaches main memory: ``W / (W + C)``.

    W is what the widest layer reads and writes for the whole batch, C the on-chip memory; layers are narrower the
    further down they are, so with W = C about half of the values never leave the chip.  A microcontroller has its
    values in SRAM, whose bandwidth is the one that counts.

    Parameters
    ----------
    width : bytes of a value.
    batch : samples.
    """
    widest = batch * width * model.widest_values
    tiny = hardware.mem_capacity < MICROCONTROLLER_MEMORY
    cache = np.where(tiny, 0.0, hardware.sram_capacity)
    return widest / np.maximum(widest + cache, 1.0)


def touched_params(model: Workload):
    """Weights that a pass reads: all of them, or as many as it has multiplications (embedding tables are looked up)."""
    return np.minimum(architecture.counted_params(model), 0.5 * model.flops_per_sample)


def weight_rate(hardware: Accelerator, weights_in_sram):
    """Bandwidth at which weights are read: of main memory (flash), or of the SRAM that holds them (byte/s)."""
    return np.where(weights_in_sram > 0, hardware.sram_bandwidth, hardware.mem_bandwidth)


def wide_rate(hardware: Accelerator):
    """Rate of large 16-bit products on a device whose narrow ones are asked for (FLOP/s)."""
    return hardware.wide_gemm_efficiency * np.minimum(hardware.attention_peak_flops, hardware.peak_flops)


def loaded_bandwidth(hardware: Accelerator):
    """Share of bandwidth that products reach: an engine widens weights when it loads them, not on the way to each product."""
    return hardware.gemm_bandwidth_efficiency / np.where(hardware.widens_weights > 0, WEIGHT_ONLY_BANDWIDTH, 1.0)


def layer_rate(hardware: Accelerator, format: Format, assume: Assumptions, by_hand, efficiency):
    """Rate of the layers of a network (FLOP/s).

    In narrow formats an engine takes 16-bit products where they are faster: on devices whose narrow rate is hardly above.

    Parameters
    ----------
    by_hand : is it a textbook's calculation.
    efficiency : constant share of peak, or None for the curves.
    """
    plain = hardware.gemm_efficiency * hardware.peak_flops
    if efficiency is not None:
        return plain
    tiny = hardware.mem_capacity < MICROCONTROLLER_MEMORY
    wide = np.where(format.quantised > 0, wide_rate(hardware), 0.0)
    curves = np.minimum(assume.convolution_efficiency * np.maximum(plain, wide), hardware.peak_flops)
    counted = np.where(tiny, assume.microcontroller_efficiency * hardware.peak_flops, curves)
    return np.where(by_hand, plain, counted)


def joined(arithmetic, traffic):
    """Time of layers some of which arithmetic binds and some traffic: a smooth maximum with exponent 2 (s)."""
    return smooth_max(arithmetic, traffic, EXPONENT)


def work(
    model: Workload,
    hardware: Accelerator,
    format: Format,
    assume: Assumptions,
    batch,
    *,
    runtime,
    by_hand,
    efficiency,
    weights_in_sram=0.0,
) -> NetworkWork:
    """One forward pass of a network; zeros for a transformer.

    ``arithmetic = b (F + 18 d V (1 / g - 1)) / (e c P)``, ``traffic = (w n + 2 x b V (1 - d) m) / (f B)``,
    ``apart = x b V m (2 d / g + a) / (f B)``: b samples, F operations, P peak, e share of large products, c of
    convolutions; n weights of w bytes, V values of x bytes, d the share of depthwise layers among them, m what misses
    the on-chip memory, B bandwidth, f the share that products reach, g what depthwise kernels reach of rate and
    bandwidth, a accesses apart: what the runtime does not fuse, and norms over groups or layers, which none does.  On a
    microcontroller e c is one figure, and P the rate that loads leave room for.

    Parameters
    ----------
    batch : samples.
    runtime : `Runtime`, none of them `USUAL`.
    by_hand : is it a textbook's calculation: arithmetic and weights only.
    efficiency : constant share of peak, or None for that of convolutions.
    weights_in_sram : are weights read from SRAM.
    """
    network = model.n_layers <= 0
    done = software(assume, runtime)
    rate_of_layers = layer_rate(hardware, format, assume, by_hand, efficiency)
    width = value_bytes(hardware, format)
    values = np.where(network & np.logical_not(by_hand), batch * model.activation_values, 0.0)
    moved = np.where(network, width * values * missed_share(model, hardware, width, batch), 0.0)
    reached = np.where(format.quantised > 0, loaded_bandwidth(hardware), hardware.gemm_bandwidth_efficiency)
    rate = 1.0 / (reached * hardware.mem_bandwidth)
    read = 1.0 / (reached * weight_rate(hardware, weights_in_sram))
    layers = np.where(network, model.network_layers, 0.0)
    depthwise = model.depthwise_share
    apart = OWN_ACCESSES * depthwise / assume.depthwise_efficiency + np.maximum(done.accesses, model.unfused_accesses)
    slower = DEPTHWISE_FLOPS * depthwise * values * (1.0 / assume.depthwise_efficiency - 1.0)
    flops = batch * np.where(network, model.flops_per_sample, 0.0) + (slower if efficiency is None else 0.0)
    between = (done.kernels - 1.0) * assume.elementwise_kernel_time
    started = np.where(by_hand, 0.0, assume.layer_kernel_time + between)
    return NetworkWork(
        arithmetic=flops / rate_of_layers,
        traffic=read * (format.weight_bytes * np.where(network, touched_params(model), 0.0))
        + rate * (OWN_ACCESSES * (1.0 - depthwise) * moved),
        apart=rate * (apart * moved),
        start=layers * started,
        host=np.where(by_hand, 0.0, layers * done.kernels * done.launch),
    )
