"""What compiled loops are written with besides arithmetic: choosing without a branch, and elementary functions.

Python's ``a if c else b`` becomes four basic blocks, which LLVM has to undo before it can vectorise (and
sometimes multiplies instead, by unswitching loops): a nest of 108 operations took 14 s to compile.  The elementary
functions are plain arithmetic (`mlsysim.engine.elementary`) on whole-number operations on the bits of doubles, which
vectorise, and are written into the loops that call them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from mlsysim.engine.elementary import ROUND, functions

_BITS, _DOUBLE = ir.IntType(64), ir.DoubleType()
PRIMITIVES: dict[str, Callable[..., Any]] = {}  #: what numba makes intrinsics of, for another of its compilers


def _primitive(function: Callable[..., Any]) -> Any:
    PRIMITIVES[function.__name__] = function
    return intrinsic(function)


@_primitive
def select(typingctx: Any, condition: Any, chosen: Any, other: Any) -> Any:
    """``chosen if condition else other`` as one machine operation."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    kind = types.boolean if chosen == types.boolean and other == types.boolean else types.float64
    return kind(types.boolean, kind, kind), generate


@_primitive
def power_of_two(typingctx: Any, n: Any) -> Any:
    """See `mlsysim.engine.elementary`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        rounded = builder.fadd(args[0], ir.Constant(_DOUBLE, ROUND + 1023.0))
        bits = builder.shl(builder.bitcast(rounded, _BITS), ir.Constant(_BITS, 52))
        return builder.bitcast(bits, _DOUBLE)

    return types.float64(types.float64), generate


@_primitive
def exponent(typingctx: Any, x: Any) -> Any:
    """See `mlsysim.engine.elementary`: its bits become the last ones of 2**52, which is taken away again."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.lshr(builder.bitcast(args[0], _BITS), ir.Constant(_BITS, 52))
        beside = builder.or_(bits, ir.Constant(_BITS, 0x4330000000000000))
        return builder.fsub(builder.bitcast(beside, _DOUBLE), ir.Constant(_DOUBLE, 2.0**52 + 1023.0))

    return types.float64(types.float64), generate


@_primitive
def significand(typingctx: Any, x: Any) -> Any:
    """See `mlsysim.engine.elementary`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.and_(builder.bitcast(args[0], _BITS), ir.Constant(_BITS, 0x000FFFFFFFFFFFFF))
        return builder.bitcast(builder.or_(bits, ir.Constant(_BITS, 0x3FF0000000000000)), _DOUBLE)

    return types.float64(types.float64), generate


@intrinsic
def wide(typingctx: Any) -> Any:
    """Let the loops of a function use the widest vectors that the processor has: LLVM keeps to half of these on some."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')  # llvmlite's own `add` knows no such words
        return context.get_dummy_value()

    return types.void(), generate


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


_compiled = functions(
    {
        "select": select,
        "power_of_two": power_of_two,
        "exponent": exponent,
        "significand": significand,
        "copysign": np.copysign,
        "floor": np.floor,
    },
    numba.njit(error_model="numpy", forceinline=True),
)
exp, expm1, log, log1p, power = (_compiled[name] for name in ("exp", "expm1", "log", "log1p", "pow"))
