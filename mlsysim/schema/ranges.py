"""What some variables usually are: a bare number far outside was meant in another unit, and a warning says so.

Only variables that people give in other units than the base one: bandwidths in GB/s, capacities in GB, latencies in µs or ms,
durations in days, prices by the hour or kWh.  A range holds every device of the zoo, from microcontroller to wafer.  Not
`duration`: kernels of one's own count steps and seconds by it.
"""

from __future__ import annotations

import math
import warnings
from typing import Any, NamedTuple

import numpy as np

from mlsysim.schema.variables import VARIABLES, field_of
from mlsysim.sizes import scale


class Range(NamedTuple):
    """Usual values of a variable, in its base unit, and how one writes one of them."""

    low: float
    high: float  #: inf where nobody slips upwards
    example: str


FAR = 100.0  #: times below or above the usual from which on a bare number is remarked on
_HOUR, _DAY, _YEAR, _KWH = 3600.0, 86400.0, 31536000.0, 3.6e6

_KINDS: tuple[tuple[str, Range], ...] = (
    ("mem_bandwidth sram_bandwidth", Range(1e8, math.inf, "3.35 TB/s")),
    (
        "link_bandwidth intra_bandwidth bus_bandwidth_2 bus_bandwidth_4 bus_bandwidth_8",
        Range(1e8, math.inf, "450 GB/s"),
    ),
    ("host_bandwidth host_memory_bandwidth", Range(1e8, math.inf, "64 GB/s")),
    ("inter_bandwidth port_bandwidth", Range(1e8, math.inf, "400 Gb/s")),
    ("storage_bandwidth shared_bandwidth cache_bandwidth local_storage_bandwidth", Range(1e7, math.inf, "10 GB/s")),
    ("streaming_bandwidth checkpoint_bandwidth writer_bandwidth write_bandwidth", Range(1e7, math.inf, "25 GB/s")),
    ("peak_flops attention_peak_flops vector_flops vector_ops", Range(1e6, math.inf, "989 TFLOP/s")),
    ("mem_capacity host_memory", Range(1e5, math.inf, "80 GB")),
    ("link_latency intra_latency inter_latency port_latency switch_latency", Range(1e-8, 1e-3, "5 us")),
    ("gemm_latency decode_attention_latency exchange_latency_intra exchange_latency_inter", Range(1e-7, 1e-3, "5 us")),
    ("storage_latency", Range(1e-6, 0.1, "400 us")),
    ("target_itl itl", Range(1e-4, 0.1, "50 ms")),
    ("target_ttft ttft", Range(1e-3, 5.0, "500 ms")),
    ("job_duration", Range(_HOUR, 10 * _YEAR, "30 days")),
    ("avg_duration", Range(60.0, 30 * _DAY, "4 hours")),
    ("base_training_time", Range(_HOUR, _YEAR, "10 days")),
    ("electricity_price", Range(0.01 / _KWH, 1.0 / _KWH, "0.12 USD/kWh")),
    ("carbon_intensity hourly_carbon", Range(1e-3 / _KWH, 1.5 / _KWH, "400 g/kWh")),
    ("wue offsite_water", Range(0.01 / _KWH, 20.0 / _KWH, "1.8 L/kWh")),
    ("hourly_price", Range(0.01 / _HOUR, 20.0 / _HOUR, "2.5 USD/hour")),
)
#: variable -> what it usually is
RANGES: dict[str, Range] = {name: usual for names, usual in _KINDS for name in names.split()}


def remark(name: str, numbers: Any, place: str = "", like: str = "") -> None:
    """Warn where all numbers that were given without a unit are far from what is usual; 0 is nothing, not little.

    A name that is no variable is one `like` another.  Who sweeps over decades, some of them usual, knows the unit.

    Examples
    --------
    >>> with warnings.catch_warnings(record=True) as said:
    ...     warnings.simplefilter("always")
    ...     remark("hardware.mem_bandwidth", 3350)
    ...     remark("itl", 50, "where: ")
    >>> for one in said:
    ...     print(one.message)
    hardware.mem_bandwidth=3350 is in byte/s, far from the usual (from 100 MB/s): write the unit, as in "3.35 TB/s"
    where: itl=50 is in s, far from the usual (100 µs to 100 ms): write the unit, as in "50 ms"
    """
    variable = like or field_of(name)
    usual = RANGES.get(variable)
    if usual is None:
        return
    given = np.asarray(numbers, dtype=np.float64).reshape(-1)
    given = given[(given > 0) & (given < math.inf)]
    if given.size and np.all((given * FAR <= usual.low) | (given >= usual.high * FAR)):
        unit = VARIABLES[variable].unit
        low, high = (_said(end, unit) for end in (usual.low, usual.high))
        warnings.warn(
            f"{place}{name}={given[0]:g} is in {unit}, far from the usual ({f'{low} to {high}' if high else f'from {low}'}): "
            f'write the unit, as in "{usual.example}"',
            UserWarning,
            stacklevel=2,
        )


def _said(value: float, unit: str) -> str:
    one, name = scale(value, unit)
    return f"{value / one:.3g} {name}" if math.isfinite(value) else ""
