"""Choosing without a branch, in compiled loops.

Python's ``a if c else b`` becomes four basic blocks, which LLVM has to undo before it can vectorise (and
sometimes multiplies instead, by unswitching loops): a nest of 108 operations took 14 s to compile.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic


def choosing(typingctx: Any, condition: Any, chosen: Any, other: Any) -> Any:
    """``chosen if condition else other`` as one machine operation, in the terms of numba's compilers."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    kind = types.boolean if chosen == types.boolean and other == types.boolean else types.float64
    return kind(types.boolean, kind, kind), generate


select = intrinsic(choosing)
