"""Which outputs are parts of which: where the time, the memory, the money and the carbon go.

A total and its parts are outputs of one resolver, in one unit.  What the parts leave is the rest, and it is negative where parts
overlap (traffic behind arithmetic).
"""

from collections.abc import Collection

PARTS: dict[str, tuple[str, ...]] = {
    # seconds
    "ttft": (
        "prefill_gemm_time",
        "prefill_attention_time",
        "prefill_communication_time",
        "prefill_host_time",
        "kv_transfer_time",
    ),
    "itl": ("decode_gemm_time", "decode_attention_time", "decode_communication_time", "decode_host_time"),
    "step_time": (
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
    "latency": ("compute_time", "memory_time", "overhead_time"),
    "avg_response_time": ("avg_wait_time",),
    # byte
    "memory_per_device": (
        "memory_weights",
        "memory_gradients",
        "memory_optimizer",
        "memory_activations",
        "memory_other",
    ),
    "checkpoint_size": ("checkpoint_weights", "checkpoint_master_weights", "checkpoint_moments"),
    # USD
    "tco": ("capex", "electricity_cost", "maintenance_cost", "staff_cost"),
    # kg, L
    "carbon": ("carbon_operational", "carbon_embodied"),
    "water": ("water_onsite", "water_offsite"),
}


def parts_of(outputs: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The totals among some outputs that have parts there, each with those.

    >>> parts_of(["latency", "compute_time", "memory_time", "feasible"])
    {'latency': ('compute_time', 'memory_time')}
    """
    found = {total: tuple(p for p in parts if p in outputs) for total, parts in PARTS.items() if total in outputs}
    return {total: parts for total, parts in found.items() if parts}
