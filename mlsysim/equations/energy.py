"""Power, energy, carbon and water: from the activity of a device to what the facility draws and emits.

References
----------
Barroso, Hölzle, Ranganathan 2018, "The Datacenter as a Computer", chapter 5 (power against utilization, PUE).
Patterson et al. 2022, "The carbon footprint of machine learning training will plateau, then shrink",
Computer 55(7):
energy x PUE x carbon intensity.
Li, Yang, Islam, Ren 2023, "Making AI less thirsty" (arXiv:2304.03271): water on site per IT energy, off site
per facility energy.
"""

import numpy as np

from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Accelerator


def activity(compute_utilization, memory_activity, memory_weight):
    """Share of the dynamic power a device draws: ``max(u, w m)``.

    Parameters
    ----------
    compute_utilization : u, busy share of the arithmetic units (1).
    memory_activity : m, share of the memory bandwidth in use (1).
    memory_weight : w, dynamic power of memory traffic at full bandwidth over that of full arithmetic (1).
    """
    return np.maximum(compute_utilization, memory_weight * memory_activity)


def device_power(idle_power, power_limit, busy):
    """Power of a device (W): linear between idle and its limit, which idle does not pass.

    Examples
    --------
    >>> float(device_power(70.0, 700.0, 0.5))
    385.0
    """
    idle = np.minimum(idle_power, power_limit)
    return idle + (power_limit - idle) * busy


def facility_energy(it_energy, pue):
    """Energy the building draws (J): ``IT energy x PUE``."""
    return it_energy * pue


def operational_carbon(facility_energy, carbon_intensity):
    """Carbon of electric energy (kg CO2e): ``E x CI``."""
    return facility_energy * carbon_intensity


def embodied_carbon(carbon, time_used, life):
    """Share of the carbon of making something that a use bears (kg): ``carbon x time / life``."""
    return carbon * (time_used / life)


def onsite_water(it_energy, wue):
    """Water evaporated on site (L): ``IT energy x WUE``."""
    return it_energy * wue


def offsite_water(facility_energy, water_intensity):
    """Water consumed in generation (L): ``facility energy x EWIF``."""
    return facility_energy * water_intensity


def water_of_mix(shares, factors):
    """Water that a mix of generation consumes: ``sum of share x factor`` over the shares' sum (the factors' unit).

    Parameters
    ----------
    shares : mapping, technology -> share of the generation.
    factors : mapping, technology -> water per energy.

    Examples
    --------
    >>> water_of_mix({"gas": 0.75, "wind": 0.25}, {"gas": 0.8, "wind": 0.0})
    0.6000000000000001
    """
    return sum(share * factors[name] for name, share in shares.items()) / sum(shares.values())


# --- per accelerator, from the records -----------------------------------------------------------------


def provisioned_power(hardware: Accelerator, assume: Assumptions):
    """IT power to provide per accelerator, with its share of host and network (W)."""
    return hardware.tdp * (1.0 + assume.host_power_fraction + assume.network_power_fraction)


def it_power(
    hardware: Accelerator,
    assume: Assumptions,
    compute_utilization,
    memory_activity=0.0,
    cluster_utilization=1.0,
):
    """Mean IT power per accelerator held, with its share of host and network (W).

    Parameters
    ----------
    compute_utilization, memory_activity : activity while in use (1).
    cluster_utilization : share of the time in use; idle for the rest (1).

    Notes
    -----
    ``P = P_idle + P_host,idle + P_network + [(TDP - P_idle) + (P_host - P_host,idle)] x busy``: everything
    before ``busy`` depends on the device alone.
    """
    busy = activity(compute_utilization, memory_activity, assume.memory_activity_power) * cluster_utilization
    host = assume.host_power_fraction * hardware.tdp
    host_idle = assume.host_idle_fraction * host
    always = hardware.idle_power + host_idle + assume.network_power_fraction * hardware.tdp
    limit = hardware.tdp + host + assume.network_power_fraction * hardware.tdp
    return device_power(always, limit, busy)
