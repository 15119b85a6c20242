"""Gang scheduling: jobs that start only when all their devices are free."""

import numpy as np

from mlsysim.equations.counting import ceil_div, floor_div


def gang_slots(devices, size, node):
    """Jobs of equal size that run at the same time; a job within a node, or on whole nodes.

    Parameters
    ----------
    devices, size, node : accelerators of the cluster, of a job, of a node (1).
    """
    n_nodes = ceil_div(devices, node)
    inside = n_nodes * floor_div(np.minimum(node, devices), size)
    across = floor_div(n_nodes, ceil_div(size, node))
    return np.minimum(np.where(size < node, inside, across), floor_div(devices, size))


def blocked_devices(size, size_cv):
    """Devices that stand idle while the first job of the queue does not fit: ``g (1 + cv^2)/2 - 1/2``.

    The undershoot of a renewal process whose steps are job sizes; first come, first served, jobs smaller than
    the cluster.  Simulated at saturation it is within 3 % of the cluster when jobs are below a quarter of it.
    """
    return np.maximum(0.5 * size * (1.0 + size_cv * size_cv) - 0.5, 0.0)
