"""What is made of what: outputs that are the sum of others, so that an answer can say where its time, memory or money goes."""

from __future__ import annotations

from typing import NamedTuple


class Whole(NamedTuple):
    """An output and the outputs that it is made of.

    Attributes
    ----------
    name : str
    parts : tuple of str
        Parts by name; ``a|b`` is whichever of the two an answer has, the first of them before the others.
    rest : str
        What is left when the parts do not reach the whole, in words; empty where they always do.
    together : tuple of str
        Parts that run at the same time: of these the longest counts in full, the next as far as nothing hides it.
    scatter : bool
        Where what is uncertain is drawn (``sample=``), the whole is its parts times a factor of this run, which each part has.
    """

    name: str
    parts: tuple[str, ...]
    rest: str = ""
    together: tuple[str, ...] = ()
    scatter: bool = False


WHOLES: tuple[Whole, ...] = (
    Whole(
        "step_time",
        (
            "compute_time",
            "bubble_time",
            "tp_time",
            "pp_time",
            "dp_time",
            "cp_time",
            "ep_time",
            "optimizer_time",
            "overhead_time",
        ),
    ),
    Whole("latency", ("compute_time", "memory_time", "overhead_time"), together=("compute_time", "memory_time")),
    Whole(
        "ttft",
        (
            "prefill_gemm_time",
            "prefill_attention_time",
            "prefill_communication_time",
            "prefill_host_time",
            "kv_transfer_time",
        ),
        scatter=True,
    ),
    Whole(
        "itl",
        ("decode_gemm_time", "decode_attention_time", "decode_communication_time", "decode_host_time"),
        scatter=True,
    ),
    Whole(
        "memory_per_device",
        (
            "memory_weights",
            "memory_gradients",
            "memory_optimizer",
            "memory_activations",
            "memory_cache|kv_cache",
            "memory_other",
        ),
        rest="workspace and reserve",
    ),
    Whole("tco", ("capex", "electricity_cost", "maintenance_cost", "staff_cost"), rest="rent"),
    Whole("carbon", ("carbon_operational", "carbon_embodied")),
    Whole("water", ("water_onsite", "water_offsite")),
    Whole("checkpoint_size", ("checkpoint_weights", "checkpoint_master_weights", "checkpoint_moments")),
    Whole(
        "expected_failures",
        (
            "expected_gpu_failures",
            "expected_hbm_failures",
            "expected_network_failures",
            "expected_host_failures",
            "expected_software_failures",
        ),
    ),
)
