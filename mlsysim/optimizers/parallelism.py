"""ParallelismOptimizer: how to split a training over a cluster."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from mlsysim.engine.memory import require
from mlsysim.engine.needs import lacking
from mlsysim.engine.program import Program
from mlsysim.models.distributed import DistributedModel
from mlsysim.resolver import Optimizer, Resolver, Space
from mlsysim.resolver.answer import several
from mlsysim.schema import codes
from mlsysim.schema.check import check, hint, shown
from mlsysim.search.prune import possible

DEGREES = ("tp", "pp", "dp", "cp")  #: multiply to the devices
PAIRED = ("micro_batch", "virtual_stages", "schedule")  #: what the shape rules tie to the degrees
#: what is tried, unless the call says otherwise
CHOICES: dict[str, Sequence[Any]] = {
    "micro_batch": (1, 2, 4, 8, 16),
    "virtual_stages": tuple(range(1, 17)),
    "schedule": tuple(codes.labels(codes.Schedule)),
    "zero_stage": (0, 1, 2, 3),
    "recompute": ("none", "selective", "full"),
    "sequence_parallel": (0, 1),
}
BOUND = 200 * (len(DEGREES) + 1)  #: bytes of a layout while its degrees are checked and bound
TIES = ("pp", "memory_per_device")  #: among equals: fewer stages, then less memory


@functools.cache
def prime_powers(n: int) -> tuple[tuple[int, int], ...]:
    """Primes of a whole number with their exponents.

    >>> prime_powers(360)
    ((2, 3), (3, 2), (5, 1))
    """
    found, p = [], 2
    while p * p <= n:
        exponent = 0
        while n % p == 0:
            n, exponent = n // p, exponent + 1
        if exponent:
            found.append((p, exponent))
        p += 1 if p == 2 else 2
    return (*found, (n, 1)) if n > 1 else tuple(found)


@functools.cache
def divisors(n: int) -> tuple[int, ...]:
    """Divisors of a whole number, ascending.

    >>> divisors(12)
    (1, 2, 3, 4, 6, 12)
    """
    found = [1]
    for p, exponent in prime_powers(n):
        found = [d * p**k for d in found for k in range(exponent + 1)]
    return tuple(sorted(found))


def n_factorisations(n: int, parts: int) -> int:
    """How many ordered products of `parts` whole numbers make `n`.

    >>> n_factorisations(16384, 4), n_factorisations(735_134_400, 4)
    (680, 4300800)
    """
    return math.prod(math.comb(exponent + parts - 1, parts - 1) for _, exponent in prime_powers(n))


def factorisations(n: int, parts: int) -> np.ndarray:
    """Every ordered product of `parts` whole numbers that makes `n`, one row each.

    >>> len(factorisations(16384, 4)), factorisations(6, 2).tolist()
    (680, [[1, 6], [2, 3], [3, 2], [6, 1]])
    """
    rows, rest = np.empty((1, 0), dtype=np.int64), np.array([n])
    for _ in range(parts - 1):  # the next factor: every divisor of what is left
        left, which = np.unique(rest, return_inverse=True)
        own = [divisors(r) for r in left.tolist()]
        lengths = np.array([len(d) for d in own])
        begins = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        times = lengths[which]
        row = np.repeat(np.arange(len(rows)), times)
        within = np.arange(len(row)) - np.repeat(np.cumsum(times) - times, times)
        factor = np.concatenate(own)[begins[which][row] + within]
        rows, rest = np.column_stack([rows[row], factor]), rest[row] // factor
    return np.column_stack([rows, rest])


def _values(name: str, given: Any) -> list[Any]:
    """One value or several of an input as a list."""
    if hasattr(given, "dims") or isinstance(given, Mapping):
        raise TypeError(f"{name}: the optimizer tries every value of a list; give a value or a list")
    found = list(given) if several(given) else [given]
    if not found:
        raise ValueError(f"{name} is empty: give at least one value")
    seen: set[str] = set()
    for value in found:
        if (text := shown(value)) in seen:
            raise ValueError(f"{name}: {text} is given twice")
        seen.add(text)
    return found


def _chosen(values: Sequence[Any], which: np.ndarray) -> np.ndarray:
    """Some of the choices; of texts the very ones, which are told apart faster than copies."""
    return np.array(values, dtype=object if any(isinstance(v, str) for v in values) else None)[which]


def _whole(name: str, values: Iterable[Any]) -> list[int]:
    return [int(check(name, v)) for v in values]


def layouts(resolver: Resolver, inputs: dict[str, Any]) -> Space:
    """The best split of a training over a cluster: every factorisation of its size, with all that goes with it.

    Inputs are those of DistributedModel (or of ``resolver=``, a composition that begins with it); those below are
    searched where they are not given, and restricted to what is given where they are.

    Parameters
    ----------
    model, n_accelerators : what is trained, and devices of the cluster; several are searched one after another.
    hardware : of the cluster; H100 where neither it nor a `fleet` is given (``attrs["assumed"]`` says so).
    tp, pp, dp, cp : every whole factorisation of `n_accelerators`.
    ep : every divisor of the cluster size that the experts of the model allow.
    micro_batch, virtual_stages, schedule, zero_stage, recompute, sequence_parallel : the choices listed in
        ``mlsysim.optimizers.parallelism.CHOICES``.

    Returns
    -------
    xarray.Dataset
        From `solve`: all outputs of the best layout with its settings as coordinates, `runner_up` and its settings, and
        `configurations`, how many of the evaluated layouts are stopped by what.

    Notes
    -----
    What the shape rules of the model exclude is left out before the physics: ``attrs["layouts"]`` counts all of them,
    ``attrs["pruned"]`` those left out, ``attrs["points"]`` those evaluated.  `solve` answers for each model, device,
    cluster size ... of the call; objective `mfu` unless said.  Ties: fewer stages, then less memory.

    References
    ----------
    Narayanan et al. 2021, section 3; Zheng et al. 2022, "Alpa" (the space).

    Examples
    --------
    >>> import mlsysim as ms
    >>> best = ms.ParallelismOptimizer.solve(model="llama3_1_8b", hardware="h100", n_accelerators=64, seq_len=8192,
    ...                                      global_batch=512, schedule="1f1b", recompute="none", zero_stage=1)
    >>> int(best.tp * best.pp * best.dp * best.cp), bool(best.feasible)
    (64, True)
    """
    inputs = dict(inputs)
    if "points" in inputs:
        raise TypeError("ParallelismOptimizer makes its own points: give degrees and choices as lists")
    for name in (*DEGREES, "ep", *CHOICES):
        if name not in resolver.parameters(inputs):
            raise TypeError(
                f"{resolver.name} has no input {name}: the resolver must begin with DistributedModel"
                f"{hint(name, resolver.parameters(inputs))}"
            )
    given = {n for n, v in inputs.items() if v is not None}
    lacking(
        "ParallelismOptimizer", resolver.parameters(given), given, also={"n_accelerators": "the size of the cluster"}
    )
    sizes = _whole("n_accelerators", _values("n_accelerators", inputs.pop("n_accelerators")))
    degrees = {n: _whole(n, _values(n, inputs.pop(n))) for n in (*DEGREES, "ep") if inputs.get(n) is not None}
    choices = {n: _values(n, inputs.pop(n, CHOICES[n])) for n in CHOICES}
    number = sum(n_factorisations(n, len(DEGREES)) for n in sizes)
    require(3 * 8 * len(DEGREES) * number, f"n_accelerators: {number:,} layouts", "a cluster size of fewer divisors")
    rows = np.concatenate([factorisations(n, len(DEGREES)) for n in sizes])
    for i, name in enumerate(DEGREES):
        if name in degrees:
            rows = rows[np.isin(rows[:, i], degrees[name])]
    if not len(rows):
        raise ValueError(
            f"no factorisation of {', '.join(map(str, sizes))} has these degrees: "
            f"{', '.join(f'{n}={v}' for n, v in degrees.items())}"
        )
    crossed = {n: v if len(v) > 1 else v[0] for n, v in choices.items()}
    table = {name: rows[:, i] for i, name in enumerate(DEGREES)}
    program = Program(resolver, {**inputs, **crossed, "points": table})
    most = np.nanmax(program.binder.leaves[program.leaf_name("n_experts")].values)
    eps = degrees.get("ep") or [d for d in divisors(math.lcm(*sizes)) if d == 1 or d <= most]
    enumerated = len(rows) * len(eps) * math.prod(len(v) for v in choices.values())
    fits = possible(program, ["config"], alone=True).reshape(-1)  # not yet knowing how experts are spread
    rows = rows[fits] if fits.any() else rows[:1]
    require(BOUND * len(rows) * len(eps), f"{len(rows):,} layouts x {len(eps)} values of ep", "fewer degrees (ep=...)")
    table = {name: np.repeat(rows[:, i], len(eps)) for i, name in enumerate(DEGREES)} | {"ep": np.tile(eps, len(rows))}
    program = Program(resolver, {**inputs, **crossed, "points": table})
    alive = np.argwhere(possible(program, ["config", *PAIRED]))
    if not len(alive):  # nothing works: one layout stands for all, and says why
        alive = np.zeros((1, 1 + len(PAIRED)), dtype=np.int64)
    points = {n: v[alive[:, 0]] for n, v in table.items()}
    points |= {n: _chosen(choices[n], alive[:, 1 + i]) for i, n in enumerate(PAIRED)}
    kept = {n: v for n, v in crossed.items() if n not in PAIRED}
    evaluated = len(alive) * math.prod(len(choices[n]) for n in kept)
    questions = program.n_points // (
        len(table["tp"]) * math.prod(len(v) for v in choices.values())
    )  # axes of the user's own
    story = {"layouts": enumerated * questions, "pruned": (enumerated - evaluated) * questions}
    return Space(resolver, {**inputs, **kept, "points": points}, ("config", *kept), ties=TIES, story=story)


def _finish(resolver: Resolver, inputs: dict[str, Any], answer: xr.Dataset) -> xr.Dataset:
    """No settings where no layout works."""
    if answer["found"].all():
        return answer
    blank = {
        n: xr.where(answer["found"], answer[n], "" if answer[n].dtype.kind == "U" else np.nan)
        for n in (*DEGREES, "ep", *CHOICES)
        if n in answer.coords
    }
    return answer.assign_coords(blank)


ParallelismOptimizer = Optimizer(
    "ParallelismOptimizer",
    DistributedModel,
    layouts,
    "mfu",
    split=("model", "n_accelerators"),
    front=(("memory_per_device",), ("mfu",)),
    finish=_finish,
    stands_in={"hardware": "h100_sxm5_80gb"},
    searches=(*DEGREES, "ep", *CHOICES),
)
