"""What a number is inside a kernel: a float at one point, an array where it is called with arrays, a symbol of the engine."""

from typing import Any, TypeAlias

import numpy as np

Real: TypeAlias = float | Any  #: a quantity, in base units
Flag: TypeAlias = bool | Any  #: true or false
Code: TypeAlias = int | Any  #: an option, by its code in `mlsysim.schema.codes`


def asked(condition: Any) -> Any:
    """A condition, or None where it is false at every point of a call: what only it needs is then not worked out.

    >>> asked(np.float64(1.0) > 2.0), asked(True)
    (None, True)
    """
    value = condition.payload if getattr(condition, "op", None) == "const" else condition
    constant = isinstance(value, (bool, int, float, np.bool_, np.number))
    return None if constant and not value else condition
