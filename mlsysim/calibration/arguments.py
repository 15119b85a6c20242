"""What `validate` and `calibrate` were asked for, checked before a run is read or a figure is fitted."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any

from mlsysim import zoo
from mlsysim.engine.draws import MOST
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.check import check, hint, mapping, whole
from mlsysim.schema.records import Accelerator

LOSSES = ("linear", "soft_l1", "huber", "cauchy")
LONGEST = 40  #: letters of a value that an error shows


def shown(value: Any) -> str:
    """A value in an error, in one short line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def assumed(assume: Any) -> Assumptions | None:
    """Assumptions, or those of a framework by name."""
    if assume is None:
        return None
    found = zoo.assumptions(assume)
    for name, default in Assumptions._field_defaults.items():
        if float(getattr(found, name)) != float(default):
            check(name, float(getattr(found, name)))
    return found


def samples(sample: Any) -> int:
    """How many draws stand behind an interval; 0 for no interval."""
    number = 0 if sample is None else whole("sample", sample, 0)
    if number == 1 or number > MOST:
        raise ValueError(f"sample={sample!r}: must be 0 (no intervals), or at least 2 and at most {MOST:,}")
    return number


def stated(columns: Any) -> dict[str, Any]:
    """What holds for every run of a table, by column."""
    return mapping("columns", columns, "{'hardware': 'h100'}")


def figures(fit: Any) -> list[str] | None:
    """The names of what is to be fitted, each once; None for the usual ones."""
    if fit is None:
        return None
    names = [fit] if isinstance(fit, str) else list(fit) if isinstance(fit, Iterable) else [fit]
    if not names:
        raise ValueError("fit=[]: name at least one figure")
    for name in names:
        if name not in Assumptions._fields and name not in Accelerator._fields:
            near = hint(str(name), [*Assumptions._fields, *Accelerator._fields])
            raise ValueError(f"fit: {shown(name)} is no assumption and no figure of hardware{near}")
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ValueError(f"fit: {twice!r} is named twice")
    return names


def loss_named(loss: Any) -> str:
    """A loss that the fit knows."""
    if loss not in LOSSES:
        raise ValueError(f"loss={shown(loss)}: allowed are {', '.join(LOSSES)}")
    return str(loss)


def pull(prior: Any) -> float | None:
    """How strongly defaults hold, in their spreads."""
    if prior is None:
        return None
    real = isinstance(prior, numbers.Real) and not isinstance(prior, bool)
    if not real or not math.isfinite(prior) or float(prior) <= 0:
        raise ValueError(
            f"prior={shown(prior)}: must be a number above 0 (how many of its spreads a figure may move), or None"
        )
    return float(prior)


def left_out(holdout: Any) -> str | float | Sequence[str] | None:
    """Which runs are to be predicted without having been fitted."""
    if holdout is None or isinstance(holdout, str):
        return holdout
    if isinstance(holdout, numbers.Real) and not isinstance(holdout, bool):
        if not 0.0 < float(holdout) < 1.0:
            raise ValueError(f"holdout={holdout!r}: a share of the rows lies between 0 and 1")
        return float(holdout)
    if isinstance(holdout, (list, tuple)) and holdout and all(isinstance(name, str) for name in holdout):
        return list(holdout)
    raise ValueError(
        f"holdout={shown(holdout)}: give 'source', 'publication', a list of sources, a share of the rows, or None"
    )


def truth(name: str, value: Any) -> bool:
    """True or false, and nothing that merely counts as one of them."""
    if not isinstance(value, bool):
        raise ValueError(f"{name}={shown(value)}: must be True or False")
    return value
