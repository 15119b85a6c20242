"""Do predictions still hold?  The errors of a table of runs, target by target, against a limit.

A target fails when its median error, with the figures of the fit, is above the limit: not when it is worse than it was when
they were fitted, which is told beside it.  A table of which no row is answered fails, too.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from mlsysim import units
from mlsysim.calibration.figures import Calibration
from mlsysim.calibration.part import TARGETS
from mlsysim.calibration.validate import Validation, statistics


class Judged(NamedTuple):
    """One target: runs that measured it, its median error, that of the fit (NaN where its file says none), whether it holds."""

    target: str
    n: int
    error: float
    fitted: float
    holds: bool

    def told(self, above: float) -> str:
        """A line that says so."""
        before = "" if math.isnan(self.fitted) else f"; {100 * self.fitted:.1f} % when the figures were fitted"
        verdict = f"at most {100 * above:g} %: holds" if self.holds else f"above {100 * above:g} %: FAILS"
        return f"{self.target}: median error {100 * self.error:.1f} % (n {self.n}{before}), {verdict}"


def limit(text: str | float) -> float:
    """A share above which a median error fails: "10 %" or 0.1.

    >>> limit("10 %"), limit("0.1")
    (0.1, 0.1)
    """
    share = float(units.parse(text, "1", "fail-above"))
    if not 0.0 < share <= 1.0:
        raise ValueError(f"fail-above={text}: give a share of the measured value, as in 10 % or 0.1")
    return share


def judged(result: Validation, above: float, fit: Calibration | None = None) -> list[Judged]:
    """Every target that was measured, in the order of the targets.

    Parameters
    ----------
    result : Validation
        Predictions with the figures of the fit.
    above : float
        Median error, as a share, above which a target fails.
    fit : Calibration, optional
        For the errors that it had.

    Raises
    ------
    ValueError
        Where the fit is one of other runs.
    """
    if fit is not None and fit.kind != result.kind:
        raise ValueError(f"the fit is one of {fit.kind} runs, these are {result.kind} runs")
    found = []
    for target in TARGETS:
        rows = result.rows[result.rows.target == target]
        if not len(rows):
            continue
        error = float(statistics(rows)["median_ape"])
        own = fit.residuals[fit.residuals.target == target].error.astype(float) if fit is not None else None
        before = float(own.abs().median()) if own is not None and len(own) else math.nan
        found.append(Judged(target, len(rows), error, before, error <= above))
    return found
