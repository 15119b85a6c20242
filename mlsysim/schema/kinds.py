"""What a number is inside a kernel: a float at one point, an array where it is called with arrays, a symbol of the engine."""

from typing import Any, TypeAlias

Real: TypeAlias = float | Any  #: a quantity, in base units
Flag: TypeAlias = bool | Any  #: true or false
Code: TypeAlias = int | Any  #: an option, by its code in `mlsysim.schema.codes`
