"""EconomicsModel (wall 17, capital): what a run costs, part by part, and whether to rent instead."""

from typing import NamedTuple

import numpy as np

from mlsysim.equations import energy, money
from mlsysim.equations.occupancy import devices, fits_fleet, over
from mlsysim.equations.selection import choose, first_failing
from mlsysim.resolver import Model, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Limit, PriceBasis, Procurement
from mlsysim.schema.kinds import Code, Flag, Real
from mlsysim.schema.records import Accelerator, Fleet, Site


class Economics(NamedTuple):
    """Outputs of EconomicsModel."""

    purchase_cost: Real
    capex: Real
    electricity_cost: Real
    maintenance_cost: Real
    staff_cost: Real
    opex: Real
    tco: Real
    capex_per_device_time: Real
    cost_per_device_time: Real
    usd_per_mtok: Real | None
    rent_cost: Real
    break_even_duration: Real
    break_even_utilization: Real
    feasible: Flag
    limit: Code


@kernel
def economics(
    hardware: Accelerator,
    fleet: Fleet,
    site: Site,
    assume: Assumptions,
    duration,
    n_accelerators=None,
    compute_utilization=None,
    memory_activity=0.0,
    cluster_utilization=1.0,
    tokens=None,
    tokens_per_s=None,
    budget=None,
    procurement=Procurement.OWN,
    price_basis=PriceBasis.DEVICE,
) -> Economics:
    """Cost of holding accelerators for a time: capital, electricity, maintenance, staff, or rent.

    Parameters
    ----------
    hardware, fleet, site : price, power; price of a node; electricity price and PUE.
    duration : time for which the devices are held (s).
    n_accelerators : devices; default the whole fleet, or one node.
    compute_utilization, memory_activity : activity while in use (1), for the electricity; default
        `compute_activity` of the assumptions (0.8).
    cluster_utilization : share of the time in use (1); idle devices cost the same, less electricity.
    tokens : tokens of the whole run; or `tokens_per_s` while in use.
    budget : what the run may cost (USD); above it, infeasible.
    procurement : own, on_demand, reserved, spot.  Rented devices cost their rent and nothing else; on demand
        and spot only while in use.  Owned ones are compared with on demand.
    price_basis : device (times `server_multiplier`) or node.

    Returns
    -------
    Economics
        Money in USD, money per device-time in USD/s.  ``tco = capex + opex`` falls on the run;
        `purchase_cost` is what the hardware it occupies was bought for.

    Notes
    -----
    Hardware and building are charged as annuities: ``CRF (price - residual (1 + i)^-n)`` a year over the
    life n (equations.money).

    A hand calculation by straight line is ``cost_of_capital=0, residual_share=0``, with ``hardware_life``
    equal to the duration for the full price; ``server_multiplier=1, infrastructure_multiplier=1,
    facility_price=0, maintenance_share=0, staff_price=0, host_power_fraction=0, network_power_fraction=0``
    leaves the bare devices.

    Break-even: owning from a share of use ``own rate / rent`` on; the price is paid back after ``price /
    (rent - running cost)``.

    References
    ----------
    Barroso, Hölzle, Ranganathan 2018, "The Datacenter as a Computer", 3rd edition, chapter 6.
    """
    n_accelerators = devices(fleet, n_accelerators)
    if compute_utilization is None:
        compute_utilization = assume.compute_activity
    # per device and second: nothing here knows how many devices or how long
    node = fleet.node_price / fleet.accelerators_per_node
    server = np.where(price_basis == PriceBasis.NODE, node, hardware.price * assume.server_multiplier)
    installed = server * assume.infrastructure_multiplier
    per_year = 1.0 / assume.year
    life = assume.hardware_life * per_year
    hardware_rate = per_year * money.capital_charge(
        installed, assume.residual_share * installed, assume.cost_of_capital, life
    )
    building = assume.facility_price * energy.provisioned_power(hardware, assume)
    building_life = assume.facility_life * per_year
    building_rate = per_year * money.capital_charge(building, 0.0, assume.cost_of_capital, building_life)
    own_capital_rate = hardware_rate + building_rate
    maintenance_rate = per_year * assume.maintenance_share * installed
    power = energy.it_power(hardware, assume, compute_utilization, memory_activity, cluster_utilization)
    electricity_rate = energy.facility_energy(power, site.pue) * site.electricity_price
    own_running_rate = electricity_rate + (maintenance_rate + assume.staff_price)
    discount = choose(procurement, 0.0, 0.0, assume.reserved_discount, assume.spot_discount)
    rent_price = hardware.hourly_price * (1.0 - discount)
    rent_rate = rent_price * np.where(procurement == Procurement.RESERVED, 1.0, cluster_utilization)

    own = procurement == Procurement.OWN
    capital_rate = np.where(own, own_capital_rate, 0.0)
    running_rate = np.where(own, own_running_rate, rent_rate)
    rate = np.where(own, own_capital_rate + own_running_rate, rent_rate)
    device_time = n_accelerators * duration
    tco = over(device_time, rate)
    usd_per_mtok = None
    if tokens is not None:
        usd_per_mtok = money.per_million(tco, tokens)
    elif tokens_per_s is not None:
        usd_per_mtok = money.per_million(n_accelerators * rate, tokens_per_s * cluster_utilization)
    affordable = True if budget is None else tco <= budget
    limit = first_failing((fits_fleet(fleet, n_accelerators), Limit.SHAPE), (affordable, Limit.BUDGET))
    return Economics(
        purchase_cost=n_accelerators * np.where(own, installed, 0.0),
        capex=over(device_time, capital_rate),
        electricity_cost=over(device_time, np.where(own, electricity_rate, 0.0)),
        maintenance_cost=over(device_time, np.where(own, maintenance_rate, 0.0)),
        staff_cost=over(device_time, np.where(own, assume.staff_price, 0.0)),
        opex=over(device_time, running_rate),
        tco=tco,
        capex_per_device_time=money.per_unit(capital_rate, cluster_utilization),
        cost_per_device_time=money.per_unit(rate, cluster_utilization),
        usd_per_mtok=usd_per_mtok,
        rent_cost=over(device_time, rent_rate),
        break_even_duration=money.payback_time(installed, rent_rate - (own_running_rate + building_rate)),
        break_even_utilization=(own_capital_rate + own_running_rate) / rent_price,
        feasible=limit == 0,
        limit=limit,
    )


EconomicsModel = Model("EconomicsModel", economics, domain="operations", walls=(17,))
