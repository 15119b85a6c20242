"""The figures at which a robust, weighted sum of squares is least, and how well it fixes them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mlsysim.calibration.system import System

#: log error beyond which a residual counts linearly (what errors of "soft_l1" are about)
ROBUST = 0.05


def softened(residual: np.ndarray, loss: str, scale: float) -> np.ndarray:
    """A residual whose square is the loss: linear beyond `scale`."""
    if loss == "linear":
        return residual
    z = (residual / scale) ** 2
    if loss == "soft_l1":
        rho = 2.0 * (np.sqrt(1.0 + z) - 1.0)
    elif loss == "huber":
        rho = np.where(z <= 1.0, z, 2.0 * np.sqrt(z) - 1.0)
    else:  # "cauchy"
        rho = np.log1p(z)
    return np.asarray(np.sign(residual) * scale * np.sqrt(rho))


class Solution(NamedTuple):
    x: np.ndarray
    covariance: np.ndarray  #: of x, from the data alone; inf where nothing is known
    information: np.ndarray  #: normal matrix of the data


def solve(
    system: System,
    weight: np.ndarray,
    loss: str,
    prior: np.ndarray,
    start: np.ndarray | None = None,
    rough: bool = False,
) -> Solution:
    """The knobs at which the weighted loss is least (to a hundredth when `rough`), and what is known about them."""
    from scipy.optimize import least_squares

    n = len(system.knobs)
    used = np.flatnonzero((weight > 0) & system.good)
    root = np.sqrt(weight[used] / weight[used].sum())
    pull = np.where(np.isfinite(prior), 1.0 / np.where(np.isfinite(prior), prior, 1.0), 0.0)
    scale = 1.0 / math.sqrt(max(len(used), 1))
    centre = np.array([k.centre for k in system.knobs])

    def cost(x: np.ndarray) -> np.ndarray:
        residual = system.residuals(x)[used]
        residual = np.where(np.isfinite(residual), residual, 5.0)
        return np.concatenate([root * softened(residual, loss, ROBUST), ROBUST * scale * pull * (x - centre)])

    low, high = np.array([k.low for k in system.knobs]), np.array([k.high for k in system.knobs])
    at = np.zeros(n) if start is None else start
    found = least_squares(
        cost,
        np.clip(at, low + 1e-9, high - 1e-9),
        bounds=(low, high),
        diff_step=1e-4,
        x_scale=0.1,
        ftol=1e-4 if rough else 1e-7,
        xtol=1e-3 if rough else 1e-5,
        gtol=1e-9,
        max_nfev=60,
    )
    x = found.x
    jacobian = found.jac[: len(used)]
    residual = cost(x)[: len(used)]
    information = jacobian.T @ jacobian
    return Solution(x, _covariance(jacobian, residual, system.sources[used], information), information)


def _covariance(jacobian: np.ndarray, residual: np.ndarray, sources: np.ndarray, information: np.ndarray) -> np.ndarray:
    """Covariance of the estimates: sources are independent, the rows of one are not.

    A figure that a single source fixes is as uncertain as that source's rows, or as all rows together, say.
    """
    n = information.shape[0]
    inverse = np.linalg.pinv(information, rcond=1e-10, hermitian=True)
    freedom = max(len(residual) - n, 1)
    names = np.unique(sources)
    meats = [
        (jacobian * residual[:, None]).T @ (jacobian * residual[:, None]) * (len(residual) / freedom),
        information * float(residual @ residual) / freedom,
    ]
    if len(names) > n:
        scores = np.array([jacobian[sources == name].T @ residual[sources == name] for name in names])
        meats.append(scores.T @ scores * (len(names) / (len(names) - n)))
    each = [inverse @ meat @ inverse for meat in meats]
    widest = np.max([np.diag(c) for c in each], axis=0)
    stretch = np.sqrt(widest / np.maximum(np.diag(each[-1]), 1e-300))
    covariance = each[-1] * np.outer(stretch, stretch)
    np.fill_diagonal(covariance, widest)
    values, vectors = np.linalg.eigh(information)
    lost = values < 1e-9 * max(values.max(), 1e-300)
    for vector in vectors.T[lost]:
        covariance += 1e6 * np.outer(vector, vector)
    return np.asarray(covariance)
