"""How many devices a run of the operations resolvers holds."""

import numpy as np

from mlsysim.schema.records import Fleet


def devices(fleet: Fleet, n_accelerators):
    """Accelerators held: as given, else the whole fleet, else one node."""
    if n_accelerators is not None:
        return n_accelerators
    return np.where(fleet.fleet_size > 0, fleet.fleet_size, fleet.accelerators_per_node)


def fits_fleet(fleet: Fleet, n_accelerators):
    """Does the fleet have so many (a fleet without size has as many as asked for)?"""
    return (fleet.fleet_size == 0) | (n_accelerators <= fleet.fleet_size)


def over(time, rate):
    """What a rate adds up to over a time; a zero rate gives zero even for a run that never ends."""
    return np.where(rate > 0, time * np.where(rate > 0, rate, 1.0), 0.0)
