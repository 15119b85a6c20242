"""Choosing without a branch, in compiled loops.

Python's ``a if c else b`` becomes four basic blocks, which LLVM has to undo before it can vectorise (and
sometimes multiplies instead, by unswitching loops): a nest of 108 operations took 14 s to compile.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic


@intrinsic
def select(typingctx: Any, condition: Any, chosen: Any, other: Any) -> Any:
    """``chosen if condition else other`` as one machine operation."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    kind = types.boolean if chosen == types.boolean and other == types.boolean else types.float64
    return kind(types.boolean, kind, kind), generate


@intrinsic
def lower(typingctx: Any, one: Any, other: Any) -> Any:
    """The lower of two numbers, neither of which is NaN; of 0.0 and -0.0 either.

    LLVM keeps the least of a loop in vector registers only where it is told both.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        less = builder.fcmp_ordered("<", *args, flags=("nnan", "nsz"))
        return builder.select(less, *args, flags=("nnan", "nsz"))

    return types.float64(types.float64, types.float64), generate


@intrinsic
def count(typingctx: Any, condition: Any) -> Any:
    """1 where a condition holds, else 0, as a number that can be added up."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.zext(args[0], context.get_value_type(types.uint64))

    return types.uint64(types.boolean), generate
