"""SustainabilityModel (wall 18): energy, carbon and water of a run."""

from typing import NamedTuple

from mlsysim.equations import energy
from mlsysim.equations.money import per_million
from mlsysim.equations.occupancy import devices, fits_fleet, over
from mlsysim.equations.selection import first_failing
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Limit
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Fleet, Site


class Sustainability(NamedTuple):
    """Outputs of SustainabilityModel."""

    average_power: Real
    it_energy: Real
    energy: Real
    carbon_operational: Real
    carbon_operational_market: Real
    carbon_embodied: Real
    carbon: Real
    water_onsite: Real
    water_offsite: Real
    water: Real
    joule_per_mtok: Real | None
    carbon_per_mtok: Real | None
    feasible: Flag
    limit: Code


@kernel
def sustainability(
    hardware: Accelerator,
    fleet: Fleet,
    site: Site,
    assume: Assumptions,
    duration,
    n_accelerators=None,
    compute_utilization=None,
    memory_activity=0.0,
    cluster_utilization=1.0,
    clean_energy_share=0.0,
    tokens=None,
) -> Sustainability:
    """Energy, carbon and water of holding accelerators for a time.

    Parameters
    ----------
    hardware, fleet, site : power and embodied carbon; size; carbon intensity, PUE, WUE, water of generation.
    duration : time for which the devices are held (s).
    n_accelerators : devices; default the whole fleet, or one node.
    compute_utilization, memory_activity : activity while in use (1); default `compute_activity` of the
        assumptions (0.8), a training with its waits.
    cluster_utilization : share of the time in use (1); idle for the rest.
    clean_energy_share : share of the energy covered by carbon-free contracts (1); only
        `carbon_operational_market` counts it.
    tokens : tokens of the whole run, for the figures per token.

    Returns
    -------
    Sustainability
        Energy in J, carbon in kg CO2e, water in L.  ``carbon = carbon_operational + carbon_embodied`` at the
        grid's intensity. Off-site water is published for few grids; elsewhere it follows from how the grid
        generates, with a wide spread (``attrs["derived"]``): `water_onsite` stands alone.

    Notes
    -----
    IT power per device with its share of host and network is linear in activity (equations.energy); facility
    energy is IT energy x PUE; on-site water follows IT energy, off-site water facility energy; embodied
    carbon is spread over ``hardware_life``.  An hourly profile of the grid is `carbon_intensity` along an
    axis of its own.

    The textbook's ``devices x TDP x time x PUE`` is ``host_power_fraction=0, network_power_fraction=0`` at
    full activity.

    References
    ----------
    Patterson et al. 2022, "The carbon footprint of machine learning training will plateau, then shrink",
    Computer 55(7).
    Luccioni, Viguier, Ligozat 2023, "Estimating the carbon footprint of BLOOM", JMLR 24(253): embodied share.
    Li, Yang, Islam, Ren 2023, "Making AI less thirsty" (arXiv:2304.03271): water.
    """
    n_accelerators = devices(fleet, n_accelerators)
    if compute_utilization is None:
        compute_utilization = assume.compute_activity
    # per device and second
    it_power = energy.it_power(hardware, assume, compute_utilization, memory_activity, cluster_utilization)
    power = energy.facility_energy(it_power, site.pue)
    operational_rate = energy.operational_carbon(power, site.carbon_intensity)
    market_rate = operational_rate * (1.0 - clean_energy_share)
    embodied_rate = energy.embodied_carbon(
        hardware.embodied_carbon * assume.embodied_multiplier, 1.0, assume.hardware_life
    )
    onsite_rate = energy.onsite_water(it_power, site.wue)
    offsite_rate = energy.offsite_water(power, site.offsite_water)

    device_time = n_accelerators * duration
    facility = over(device_time, power)
    carbon = over(device_time, operational_rate + embodied_rate)
    limit = first_failing((fits_fleet(fleet, n_accelerators), Limit.SHAPE))
    return Sustainability(
        average_power=n_accelerators * power,
        it_energy=over(device_time, it_power),
        energy=facility,
        carbon_operational=over(device_time, operational_rate),
        carbon_operational_market=over(device_time, market_rate),
        carbon_embodied=over(device_time, embodied_rate),
        carbon=carbon,
        water_onsite=over(device_time, onsite_rate),
        water_offsite=over(device_time, offsite_rate),
        water=over(device_time, onsite_rate + offsite_rate),
        joule_per_mtok=None if tokens is None else per_million(facility, tokens),
        carbon_per_mtok=None if tokens is None else per_million(carbon, tokens),
        feasible=limit == 0,
        limit=limit,
    )


SustainabilityModel = Model("SustainabilityModel", sustainability, domain="operations", walls=(18,))
