"""Kernels that a host launches one by one, which a step of a serving engine cannot outrun."""

import numpy as np

from mlsysim.equations import architecture
from mlsysim.equations.conventions import quantises
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Accelerator, Format, Workload

#: kernels a prefill step starts per layer when launched one by one: dense, with experts, what narrowing the inputs of
#: every product adds beside experts, and what latent attention adds; counted in traces of PyTorch serving engines (14, 24,
#: 45 to 55 in all, exchanges included), the last fitted to published first tokens of DeepSeek-R1 (engines of 2024 had 86)
KERNELS_DENSE, KERNELS_EXPERTS, KERNELS_NARROWING, KERNELS_LATENT = 14.0, 24.0, 26.0, 50.0
#: of these, exchanges with other devices: after attention and after the network
KERNELS_EXCHANGES = 2.0
#: width of weights from which on inputs are narrowed by kernels of their own: 8 bits with scales of blocks.  Engines narrow to
#: 4 bits in the kernels that write the values (TensorRT-LLM and FlashInfer: norm and activation with NVFP4 outputs) (byte)
NARROWED_APART = 1.0


def eager_floor(model: Workload, hardware: Accelerator, format: Format, assume: Assumptions, tp, ep):
    """Least time of one prefill step whose kernels are launched one by one (s); a device alone exchanges nothing."""
    alone = np.where((tp > 1) | (ep > 1), 0.0, KERNELS_EXCHANGES)
    with_experts = architecture.moe_layers(model)
    latent = np.where(model.kv_lora_rank > 0, KERNELS_LATENT, 0.0)
    narrowing = quantises(hardware, format) & (format.weight_bytes >= NARROWED_APART) & (assume.fused_quantise == 0)
    experts = KERNELS_EXPERTS + np.where(narrowing, KERNELS_NARROWING, 0.0)
    layers = 0.5 * architecture.residual_blocks(model)
    kernels = (KERNELS_DENSE - alone) * (layers - with_experts) + (experts - alone) * with_experts
    return assume.eager_kernel_time * (kernels + latent * architecture.attention_layers(model))
