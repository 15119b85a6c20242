"""Equations that loop: a recursion, a fixed point, a long sum.

Arithmetic and comparisons vectorise; a loop whose length depends on its data does not.  Such an equation
is marked ``@stage``: a scalar function of numbers (numba compiles it on first use), which the engine
evaluates once per distinct combination of its own inputs and feeds to the rest as a table.  Where that table
would be large, rounds of a loop can be done for many elements side by side instead (``lanes=True``).
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

#: elements that plain Python does before a compiler would have begun
FEW = 4
#: what stands before the parts of a stage
HEAD = 'import math\n\nimport numba\nimport numpy as np\n\njit = numba.njit(error_model="numpy", nogil=True)\n'
#: elements that a compiled loop does before it returns to Python
PIECE = 16


def equal_pieces(count: int) -> Iterator[tuple[int, int]]:
    """Where pieces of `PIECE` elements begin and end: Python hears Ctrl-C only between two calls of a compiled loop."""
    for begin in range(0, count, PIECE):
        yield begin, min(begin + PIECE, count)


class Stage:
    """A scalar function with loops, callable with numbers, arrays or the engine's symbols.

    Parameters
    ----------
    function : callable
        Takes and returns floats; numba must be able to compile it.  It may call other stages.
    outputs : int
        1 for a float, otherwise the length of the returned tuple.
    few : int
        Elements up to which plain Python is tried; 0 where one element takes longer than compiling.
    lanes : bool
        Is it straight lines, one ``while`` and straight lines, where further rounds of the loop would change nothing of what
        it gives?  A nest then does its rounds for many elements side by side (see `mlsysim.engine.lanes`), in place of a table.
    """

    def __init__(self, function: Callable, outputs: int = 1, few: int = FEW, lanes: bool = False):
        functools.update_wrapper(self, function)
        self.function = function
        self.outputs = outputs
        self.few = few
        self._lanes = lanes
        if lanes and outputs != 1:
            raise ValueError(f"stage {function.__name__}: lanes=True gives one output, not {outputs}")

    @functools.cached_property
    def lanes(self) -> bool:
        """Can a nest do its rounds: is it said to be of that form, and its source to be had?"""
        with contextlib.suppress(OSError):
            return self._lanes and bool(self.parts)
        return False

    def __reduce__(self) -> str:
        return self.function.__qualname__  # a name of its module

    def __call__(self, *args):
        for arg in args:
            if hasattr(arg, "__stage__"):
                return arg.__stage__(self, args)
        if self.few and all(isinstance(arg, (float, int)) for arg in args):
            with contextlib.suppress(ArithmeticError, ValueError), np.errstate(all="ignore"):
                result = self.plain(*map(float, args))
                return np.float64(result) if self.outputs == 1 else tuple(map(np.float64, result))
        return self.over(args)

    def over(
        self,
        args: Sequence,
        compiler: Callable[[str, str], Callable | None] | None = None,
        pieces: Callable[[int], Iterator[tuple[int, int]]] = equal_pieces,
        few: int | None = None,
    ):
        """The function over arrays that broadcast.

        Parameters
        ----------
        args : sequence of array_like
        compiler : callable, optional
            Takes `source` and `signature`, gives the compiled loop, or None where there is no compiler (default:
            compiled in memory; the engine keeps it on disk).  A few elements run as plain Python, unless that
            overflows.
        pieces : callable, optional
            Takes the number of elements and gives where each piece of the compiled loop begins and ends (default:
            equal ones; the engine lets them grow as long as they are quick).
        few : int, optional
            Elements up to which plain Python is tried (default: `few` of the stage).
        """
        arrays = [np.asarray(a, dtype=np.float64) for a in args]
        whole = np.broadcast_shapes(*(a.shape for a in arrays))
        order = sorted(range(len(whole)), key=whole.__getitem__)  # the longest axis runs fastest, as in a nest
        shape = [whole[i] for i in order]
        columns = [
            np.require(
                np.ravel(a if a.size == 1 else np.broadcast_to(a, whole).transpose(order)), requirements=["C", "W"]
            )
            for a in arrays  # what is the same everywhere stays one number
        ]
        out = np.empty((self.outputs, math.prod(shape)))
        few = self.few if few is None else few
        if out.shape[1] > few or not self._interpreted(out, columns):
            try:
                loop = self.loop if compiler is None else compiler(self.source, self.signature)
            except OSError:  # its source is not to be had: typed at a prompt, or installed without sources
                loop = None
            if loop is None:
                self._by_hand(out, columns)
            else:
                for begin, end in pieces(out.shape[1]):
                    loop(out, begin, end, *columns)
        back = np.argsort(order)
        shaped = [row.reshape(shape).transpose(back)[()] for row in out]
        return shaped[0] if self.outputs == 1 else tuple(shaped)

    def _interpreted(self, out: np.ndarray, columns: Sequence[np.ndarray]) -> bool:
        """Fill `out` by plain Python; False where Python raises and IEEE arithmetic would go on."""
        columns = [np.broadcast_to(c, out.shape[1]) for c in columns]
        # Python's numbers first: NumPy's are slow, but only they divide by zero
        for points in (zip(*(c.tolist() for c in columns)), zip(*columns)):
            with contextlib.suppress(ArithmeticError, ValueError), np.errstate(all="ignore"):
                for i, point in enumerate(points):
                    out[:, i] = self.plain(*point)
                return True
        return False

    @functools.cached_property
    def plain(self) -> Callable:
        """The function with plain calls in place of its calls of other stages, which would look at every argument."""
        return self._made("plain", {})

    @functools.cached_property
    def ieee(self) -> Callable:
        """The plain function that goes on where Python raises: ``log(0)``, ``exp(1000)``, ``int(inf)``."""
        return self._made("ieee", {"math": IEEE, "int": _integer})

    def _made(self, kind: str, names: Mapping[str, Any]) -> Callable:
        """The function with other meanings of some names, and stages of the same kind in place of other stages."""
        scope = {**self.function.__globals__, **names}
        made = types.FunctionType(
            self.function.__code__, scope, self.function.__name__, self.function.__defaults__, self.function.__closure__
        )
        for name in _names(self.function.__code__):
            value = scope.get(name)
            if isinstance(value, Stage):
                scope[name] = made if value is self else getattr(value, kind)
        return made

    def _by_hand(self, out: np.ndarray, columns: Sequence[np.ndarray]) -> None:
        """Fill `out` without a compiler: each element by plain Python, or by `ieee` where that raises."""
        columns = [np.broadcast_to(c, out.shape[1]) for c in columns]
        for i in range(out.shape[1]):
            if not self._interpreted(out[:, i : i + 1], [values[i : i + 1] for values in columns]):
                with np.errstate(all="ignore"):
                    out[:, i] = self.ieee(*(values[i] for values in columns))

    @functools.cached_property
    def loop(self) -> Callable | None:
        """The compiled loop, in memory; None where numba is told not to compile, or cannot be imported."""
        try:
            import numba
        except Exception:
            return None
        if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
            return None
        scope: dict = {}
        exec(compile(self.source, f"<stage {self.function.__name__}>", "exec"), scope)
        return numba.njit(self.signature, error_model="numpy", nogil=True)(scope["nest"])

    @functools.cached_property
    def signature(self) -> str:
        """Types of ``nest(out, begin, end, *columns)``."""
        return f"void(float64[:, ::1], int64, int64{', float64[::1]' * self.function.__code__.co_argcount})"

    @functools.cached_property
    def source(self) -> str:
        """The function, all that it calls and a loop over some elements of flat arrays (of one for all), as one module."""
        names = [f"a{i}" for i in range(self.function.__code__.co_argcount)]
        lines = [
            f"def nest(out, begin, end, {', '.join(names)}):",
            *(f"    step_{n} = 1 if {n}.size > 1 else 0" for n in names),
            "    for i in range(begin, end):",
            f"        result = {self.function.__name__}({', '.join(f'{n}[i * step_{n}]' for n in names)})",
        ]
        each = [f"        out[{k}, i] = result{f'[{k}]' if self.outputs > 1 else ''}" for k in range(self.outputs)]
        return "\n\n".join([HEAD, *self.parts.values(), "\n".join([*lines, *each])]) + "\n"

    @functools.cached_property
    def entry(self) -> tuple[str, str]:
        """Source and signature of ``nest(*numbers)``, which gives the outputs of one element as a tuple."""
        count, name = self.function.__code__.co_argcount, self.function.__name__
        names = ", ".join(f"a{i}" for i in range(count))
        found = f"{name}({names})" if self.outputs > 1 else f"({name}({names}),)"
        lines = f"def nest({names}):\n    return {found}\n"
        signature = f"UniTuple(float64, {self.outputs})({', '.join(['float64'] * count)})"
        return "\n\n".join([HEAD, *self.parts.values(), lines]), signature

    @functools.cached_property
    def parts(self) -> dict[str, str]:
        """The source of the function and of all that it names, by name."""
        parts: dict[str, str] = {}
        _collect(self, parts)
        return parts


def _integer(value: float = 0.0) -> int:
    """``int`` as a processor has it: what fits in no integer is the least one."""
    return int(value) if math.isfinite(value) else -(2**63)


def _ieee(name: str) -> Callable:
    """A function of `math` that gives infinity or NaN where `math` raises."""
    function, ufunc = getattr(math, name), getattr(np, {"pow": "power"}.get(name, name), None)

    def call(*args):
        try:
            return np.float64(function(*args))
        except (ArithmeticError, ValueError) as error:
            if isinstance(ufunc, np.ufunc):
                return ufunc(*map(np.float64, args))
            return np.float64(math.inf if isinstance(error, OverflowError) else math.nan)

    return call


def _rounded(name: str) -> Callable:
    function = getattr(math, name)
    return lambda x: function(x) if math.isfinite(x) else _integer(x)


_RAISING = (
    "sqrt",
    "exp",
    "expm1",
    "log",
    "log1p",
    "log2",
    "log10",
    "pow",
    "fmod",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "acosh",
    "atanh",
    "sinh",
    "cosh",
    "gamma",
    "lgamma",
)
#: `math` without exceptions
IEEE = types.SimpleNamespace(
    **vars(math)
    | {name: _ieee(name) for name in _RAISING}
    | {name: _rounded(name) for name in ("floor", "ceil", "trunc")}
)


def _collect(stage: Stage, parts: dict[str, str]) -> None:
    """The source of a stage and, before it, of everything that it names."""
    function = stage.function
    name = function.__name__
    if name in parts:
        return
    for used in _names(function.__code__):
        value = function.__globals__.get(used)
        if isinstance(value, Stage) and value is not stage:
            _collect(value, parts)
        elif isinstance(value, (bool, int, float)):
            parts[used] = f"{used} = {_literal(value)}"
        elif isinstance(value, tuple):
            parts[used] = f"{used} = ({' '.join(f'{_literal(v)},' for v in value)})"
        elif value is not None and not inspect.ismodule(value) and value is not stage:
            raise TypeError(f"stage {name} uses {used}: numbers, math, numpy and other stages are what it may name")
    lines = inspect.getsource(function).splitlines()
    start = next((i for i, line in enumerate(lines) if line.lstrip().startswith(f"def {name}(")), None)
    if start is None:  # lines of something else: Python 3.13 finds some for what was typed
        raise OSError(f"the source of stage {name} is not to be had")
    parts[name] = "@jit\n" + textwrap.dedent("\n".join(lines[start:]))


def _names(code: types.CodeType) -> list[str]:
    """Global names that a function's code mentions, those of inner functions included."""
    inner = [n for c in code.co_consts if isinstance(c, types.CodeType) for n in _names(c)]
    return [*code.co_names, *inner]


def _literal(value: float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "math.nan" if math.isnan(value) else "math.inf" if value > 0 else "-math.inf"
    return repr(value)


def stage(function: Callable | None = None, *, outputs: int = 1, few: int = FEW, lanes: bool = False):
    """Mark a scalar function with loops (see the module).

    Examples
    --------
    >>> @stage
    ... def harmonic(n):
    ...     total = 0.0
    ...     for k in range(1, int(n) + 1):
    ...         total += 1.0 / k
    ...     return total
    >>> float(round(harmonic(4.0), 6))
    2.083333

    One that runs in lanes, as its rounds change nothing once the loop has ended:

    >>> @stage(lanes=True)
    ... def square_root(x):
    ...     root = 0.5 * (1.0 + x)
    ...     rest = root * root - x
    ...     while rest > 1e-12 * x:
    ...         root = root if rest <= 1e-12 * x else 0.5 * (root + x / root)
    ...         rest = root * root - x
    ...     return root
    >>> float(round(square_root(2.0), 9))
    1.414213562
    """
    if function is None:
        return lambda f: Stage(f, outputs, few, lanes)
    return Stage(function, outputs, few, lanes)
