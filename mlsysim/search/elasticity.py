"""How much an output moves when an input does: d ln y / d ln x along an axis of inputs, at every point of a grid.

Two axes are added to the recorded call, `parameter` (which input moves) and `side` (how far), and the engine
evaluates the grid as any other.  Each side of a point is seen at three distances, the whole perturbation, half
and a quarter of it, so that the slope at the point itself is extrapolated (Richardson: the curvature of a sum of
terms is gone) and a kink is told from a bend: the slopes of a smooth side fall into line.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from mlsysim import units
from mlsysim.engine import label
from mlsysim.engine.graph import reached
from mlsysim.engine.leaves import Leaf, expand, union
from mlsysim.engine.leaves import shape as lengths_of
from mlsysim.engine.memory import require
from mlsysim.engine.program import Program
from mlsysim.engine.progress import Progress
from mlsysim.engine.solve import solve
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.check import shown
from mlsysim.schema.variables import VARIABLES, field_of

SIDES = (-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0)  #: distances in units of the perturbation, in log space
HERE = SIDES.index(0.0)
#: what one can buy: figures of devices, networks, sites
HARDWARE = (
    "peak_flops",
    "attention_peak_flops",
    "vector_flops",
    "vector_ops",
    "mem_bandwidth",
    "mem_capacity",
    "sram_capacity",
    "link_bandwidth",
    "link_latency",
    "host_bandwidth",
    "bus_bandwidth_2",
    "bus_bandwidth_4",
    "bus_bandwidth_8",
    "tdp",
    "idle_power",
    "price",
    "hourly_price",
    "embodied_carbon",
    "intra_bandwidth",
    "intra_latency",
    "inter_bandwidth",
    "inter_latency",
    "oversubscription",
    "node_power",
    "node_price",
    "host_memory",
    "carbon_intensity",
    "electricity_price",
    "offsite_water",
    "pue",
    "wue",
)
GROUPS = ("hardware", "rates", "assumptions")
HELD = 12  #: arrays over all sides of all points, that slopes are taken from
NOISE = 1e-3  #: differences of slopes that are curvature, not a kink


class Moved(NamedTuple):
    """One input that is moved."""

    name: str  #: as the user knows it
    leaf: str
    low: float
    high: float
    whole: bool


def time_exponent(unit: str) -> int:
    """Power of seconds in a unit: -1 for a rate, 1 for a latency.

    >>> time_exponent("byte/s"), time_exponent("s"), time_exponent("W"), time_exponent("1")
    (-1, 1, -1, 0)
    """
    return dict(units.dimensions(unit)).get("s", 0)


def unit_of(name: str) -> str:
    """Unit of an input, a record field or an assumption."""
    return VARIABLES[field_of(name)].unit


def _moved(program: Program, name: str, leaf: str) -> Moved:
    variable = VARIABLES[field_of(leaf)]
    if variable.kind in ("option", "flag"):
        what = "an option" if variable.kind == "option" else "true or false"
        raise ValueError(f"{name} is {what}: an elasticity needs a number")
    return Moved(name, leaf, variable.low, variable.high, variable.kind == "count")


def _choice(program: Program, wanted: str | Sequence[str] | None, output: str) -> list[Moved]:
    """The inputs to move: those named, or a group of what the output depends on."""
    if wanted is not None and not (isinstance(wanted, str) and wanted in GROUPS):
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        return [_moved(program, n, program.leaf_name(n)) for n in dict.fromkeys(names)]
    reads = {n.payload for n in reached([program.output(output)]) if n.op == "leaf"}
    short = {leaf: field_of(leaf) for leaf in program.binder.leaves}
    group = [leaf for leaf, name in short.items() if _in_group(name, wanted or "hardware")]
    follow = {leaf: program.binder.followers([leaf]) for leaf in group}
    group = [leaf for leaf in group if leaf in reads or not reads.isdisjoint(follow[leaf])]
    if wanted == "rates":  # a rate that is derived from another one moves with it, and must not be counted twice
        with_others = {follower for leaf in group for follower in follow[leaf]}
        group = [leaf for leaf in group if leaf not in with_others]
    group = [leaf for leaf in group if np.any(program.binder.leaves[leaf].values != 0)]
    often = [short[leaf] for leaf in group]
    found = [_moved(program, leaf if often.count(short[leaf]) > 1 else short[leaf], leaf) for leaf in group]
    if not found and wanted is None:  # nothing of hardware in it: whatever number the user gave
        found = [
            _moved(program, name, name)
            for name, column in program.binder.columns.items()
            if name in reads and VARIABLES[name].kind in ("real", "count")
        ]
    if not found:
        raise ValueError(f"{output} depends on no input of the kind {wanted or 'hardware'!r}: name some, inputs=[...]")
    return found


def _in_group(name: str, group: str) -> bool:
    """Is an input one of a group of numbers?"""
    variable = VARIABLES.get(name)
    if variable is not None and variable.kind in ("option", "flag"):
        return False
    if group == "assumptions":
        return name in Assumptions._fields
    return name in HARDWARE if group == "hardware" else name in VARIABLES and time_exponent(unit_of(name)) != 0


def _candidates(wanted: str | Sequence[str] | None) -> tuple[str, ...]:
    """Names that must stay leaves for `_choice` to find them."""
    if wanted is None or (isinstance(wanted, str) and wanted in GROUPS):
        if wanted == "assumptions":
            return Assumptions._fields
        if wanted == "rates":
            return tuple(n for n in VARIABLES if time_exponent(unit_of(n)) != 0)
        return HARDWARE
    asked = [wanted] if isinstance(wanted, str) else wanted
    return (*asked, *(field_of(n) for n in asked))


def both_sides(moved: Moved, x: np.ndarray, step: float) -> np.ndarray:
    """Values of an input on every side of each of its values, inside its bounds (sides last)."""
    sides = np.array(SIDES)
    x = np.asarray(x, dtype=np.float64)[..., None]
    if moved.whole:
        up = np.maximum(x + 1.0, np.rint(x * math.exp(step)))
        down = np.maximum(np.minimum(x - 1.0, np.rint(x * math.exp(-step))), moved.low)
        return np.where(sides > 0, up, np.where(sides < 0, down, x))
    with np.errstate(all="ignore"):
        room_up = np.where(x > 0, np.log(moved.high / x), math.inf)
        room_down = np.where(x > 0, np.log(x / max(moved.low, 0.0)), math.inf)
    reach = np.where(sides > 0, np.minimum(step, room_up), np.minimum(step, room_down))
    return np.where(sides == 0, x, x * np.exp(sides * np.maximum(reach, 0.0)))


def slopes(
    x: np.ndarray, y: np.ndarray, step: float, whole: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Elasticity, its value above and below the point, and whether there is a kink between them.

    Parameters
    ----------
    x, y : ndarray, shape (..., sides)
    step : float
        The perturbation in log space.
    whole : ndarray of bool
        Where x is a count: its next values are far, and a bend is no kink.
    """
    with np.errstate(all="ignore"):
        run = np.log(x / x[..., HERE : HERE + 1])
        middle = y[..., HERE : HERE + 1]
        rise = np.where(y == middle, 0.0, np.log(y / middle))
        rise = np.where(np.isfinite(rise), rise, np.nan)
        chord = np.where(run != 0, rise / run, np.nan)
        tolerance = NOISE + 0.05 * step * step
        one_sided, bent = [], []
        for far, half, near in ((6, 5, 4), (0, 1, 2)):
            d1, d2, d4 = chord[..., far], chord[..., half], chord[..., near]
            smooth = np.abs((d1 - d2) - 2.0 * (d2 - d4)) <= tolerance
            one_sided.append(np.where(smooth, (8.0 * d4 - 6.0 * d2 + d1) / 3.0, d1))
            bent.append(~smooth & ~np.isnan(d1))
        up, down = one_sided
        kink = (bent[0] | bent[1] | (np.abs(up - down) > tolerance * np.maximum(1.0, np.abs(up)))) & ~whole
        between = (rise[..., -1] - rise[..., 0]) / (run[..., -1] - run[..., 0])
        middling = np.where(kink | whole, between, 0.5 * (up + down))
        only = np.where(np.isnan(up), down, up)
        central = np.where(np.isnan(up) | np.isnan(down), only, middling)
    return central, up, down, kink


def elasticity(
    resolver: Any,
    output: str,
    wanted: str | Sequence[str] | None,
    perturbation: float,
    maximize: bool | None,
    prices: Mapping[str, Any] | None,
    inputs: Mapping[str, Any],
    threads: int | None = None,
    progress: Progress = None,
    plan: str = "auto",
) -> xr.Dataset:
    """See `mlsysim.solvers.sensitivity`."""
    if not 0 < perturbation <= 10:
        raise ValueError(f"perturbation={shown(perturbation)}: a relative amount above 0 and at most 10")
    step = math.log1p(perturbation)
    program = Program(resolver, inputs, _candidates(wanted))
    program.available([output])
    moved = _choice(program, wanted, output)
    better = VARIABLES[field_of(output)].better
    sign = {True: 1.0, False: -1.0, None: {"more": 1.0, "less": -1.0}.get(better, 0.0)}[maximize]
    costs = _costs(moved, prices)

    dims, shape = tuple(program.axes), program.shape
    n = program.n_points * len(moved) * len(SIDES)
    require(HELD * 8.0 * n, f"{output} at {n:,} points", "fewer axes, fewer values on them, or fewer inputs=[...]")
    here = _move(program, moved, output, step)
    full = (*shape, len(moved), len(SIDES))
    x = np.empty(full)
    for number, m in enumerate(moved):
        own = program.binder.leaves[m.leaf].dims
        array = program.leaf_array(program.graph.leaf(m.leaf))
        array = array.reshape([n if d in own else 1 for n, d in zip(full, (*dims, "parameter", "side"))])
        x[..., number, :] = array[..., number, :]
    y = solve(program, [output], threads, progress, plan)[output].values.astype(np.float64).reshape(full)
    central, up, down, kink = slopes(x, y, step, np.array([m.whole for m in moved]))
    gain = np.fmax(np.fmax(sign * up, -sign * down), 0.0) if sign else np.abs(central)
    rank = np.argsort(np.argsort(-np.nan_to_num(gain), axis=-1, kind="stable"), axis=-1, kind="stable") + 1

    along = (*dims, "parameter")
    found: dict[str, Any] = {
        "sensitivities": (along, central),
        "sensitivities_up": (along, up),
        "sensitivities_down": (along, down),
        "kink": (along, kink),
        "gain": (along, gain),
        "rank": (along, rank),
        f"{output}_low": (along, y[..., 0]),
        f"{output}_high": (along, y[..., -1]),
        "binding_constraint": (dims, _strongest(gain, moved)),
        output: (dims, y[..., (here or [0])[0], HERE]),
    }
    if costs is not None:
        with np.errstate(all="ignore"):
            worth = gain / (x[..., HERE] * costs)
        found |= {"value_per_dollar": (along, worth), "best_buy": (dims, _strongest(worth, moved))}
    coords = label.coordinates(program)
    coords.pop("side")
    coords["parameter"] = ("parameter", np.array([m.name for m in moved]), {"long_name": "the input that moves"})
    result = xr.Dataset(found, coords=coords, attrs=label.story(program, {}, output=output, perturbation=perturbation))
    for name in found:
        result[name].attrs = label.attributes(name)
    for end, moved_ in (("low", "lowered"), ("high", "raised")):
        about = f"{output} with the input {moved_} by the perturbation"
        result[f"{output}_{end}"].attrs = {"units": VARIABLES[field_of(output)].unit, "long_name": about}
    return result


def _move(program: Program, moved: Sequence[Moved], output: str, step: float) -> list[int]:
    """Let each input move in its row of `parameter`, along `side`, and with it what is derived from it.

    Returns
    -------
    list of int
        Numbers of the inputs that, given as they are, leave everything else as it is.
    """
    program.widen("parameter", np.array([m.name for m in moved]))
    program.widen("side", np.arange(len(SIDES)))
    nominal = dict(program.binder.leaves)
    depends = {n.payload for n in reached([program.output(output)]) if n.op == "leaf"}
    moves: dict[str, dict[int, Leaf]] = {}  #: leaf -> number of the input that moves -> what it is then
    here: list[int] = []
    for number, m in enumerate(moved):
        leaf = nominal[m.leaf]
        own = Leaf(m.leaf, (*leaf.dims, "side"), both_sides(m, leaf.values, step))
        follow = {n: follower for n, follower in program.binder.following({m.leaf: own}).items() if n in depends}
        for name, moving in (follow | {m.leaf: own}).items():
            moves.setdefault(name, {})[number] = moving
        if all(_same_here(program, nominal[n], follower) for n, follower in follow.items()):
            here.append(number)
    program.replace(_along(program, nominal[n], moving, len(moved)) for n, moving in moves.items())
    return here


def _along(program: Program, nominal: Leaf, moves: Mapping[int, Leaf], count: int) -> Leaf:
    """A leaf along `parameter` and `side`: its own values, except where an input moves that it is or follows."""
    dims = tuple(d for d in union(program.binder.axes, [nominal, *moves.values()]) if d not in ("parameter", "side"))
    lengths = lengths_of(program.binder.axes, dims)
    values = np.empty((*lengths, count, len(SIDES)))
    values[...] = expand(nominal.values, nominal.dims, dims)[..., None, None]
    for number, moved in moves.items():
        values[..., number, :] = expand(moved.values, moved.dims, (*dims, "side"))
    return Leaf(nominal.name, (*dims, "parameter", "side"), values)


def _same_here(program: Program, nominal: Leaf, moved: Leaf) -> bool:
    """Is a leaf at the point itself what it is when nothing moves?"""
    dims = union(program.binder.axes, [nominal, moved])
    values = expand(moved.values, moved.dims, dims)
    if "side" in dims:
        values = np.take(values, [HERE], axis=dims.index("side"))
    return np.allclose(values, expand(nominal.values, nominal.dims, dims), rtol=1e-12, atol=0.0)


def _strongest(values: np.ndarray, moved: Sequence[Moved]) -> np.ndarray:
    """Name of the largest along the last axis, "none" where nothing helps."""
    names = np.array([m.name for m in moved] + ["none"])
    safe = np.nan_to_num(values, nan=0.0)
    return names[np.where(safe.max(axis=-1) > 0, safe.argmax(axis=-1), len(moved))]


def _costs(moved: Sequence[Moved], prices: Mapping[str, Any] | None) -> np.ndarray | None:
    """USD per base unit of each input, NaN where nobody said."""
    if prices is None:
        return None
    unknown = set(prices) - {m.name for m in moved}
    if unknown:
        raise ValueError(
            f"prices: {', '.join(sorted(unknown))} is none of the inputs moved: {', '.join(m.name for m in moved)}"
        )
    found = []
    for m in moved:
        price = prices.get(m.name)
        unit = unit_of(m.leaf)
        one = "USD" if unit == "1" else f"USD/({unit})"
        found.append(math.nan if price is None else _price(m.name, price, unit, one))
    return np.array(found)


def _price(name: str, price: Any, unit: str, one: str) -> float:
    """``"$40 per GB/s"`` or a number of USD per base unit."""
    if not isinstance(price, str):
        return _amount(f"prices: {name}", price)
    amount, per, what = price.partition(" per ")
    if not per:
        raise ValueError(f'prices: {name}={shown(price)}: write a number in {one}, or "$40 per 1 GB/s"')
    what = what.strip() if what.strip()[:1].isdigit() else f"1 {what.strip()}"
    return units.parse(amount.strip(), "USD", name) / units.parse(what, unit, name)


def _amount(name: str, price: Any) -> float:
    """A price as a plain number, not negative."""
    number = math.nan if isinstance(price, bool) else units.parse(price, "1", name)
    if not 0 <= number < math.inf:
        raise ValueError(f"{name}={shown(price)}: must be a finite number, at least 0")
    return number


def sobol(
    resolver: Any,
    output: str,
    ranges: Mapping[str, tuple[Any, Any]],
    samples: int,
    seed: int,
    inputs: Mapping[str, Any],
    threads: int | None = None,
    progress: Progress = None,
    plan: str = "auto",
) -> xr.Dataset:
    """Shares of an output's variance when inputs vary over ranges (Saltelli 2010; `scipy.stats.sobol_indices`)."""
    from scipy import stats

    from mlsysim.schema.check import check, whole

    samples, seed = whole("samples", samples, 2), whole("seed", seed, 0)
    if len(ranges) < 1 or samples & (samples - 1):
        raise ValueError(f"ranges of at least one input, and samples={shown(samples)} a power of two")
    sample = Program(resolver, inputs, tuple(ranges))
    sample.available([output])
    moved = [_moved(sample, n, sample.leaf_name(n)) for n in ranges]
    dists: list[Any] = []
    for m, ends in zip(moved, ranges.values()):
        if m.whole:
            raise ValueError(f"{m.name} is a count: ranges are of quantities that vary without steps")
        short = field_of(m.leaf)
        if not isinstance(ends, (list, tuple)) or len(ends) != 2:
            raise ValueError(f"ranges: {m.name}={shown(ends)}: (low, high)")
        low, high = (check(short, e) if short in VARIABLES else units.parse(e, unit_of(short)) for e in ends)
        if not low < high:
            raise ValueError(f"ranges: {m.name}={shown(ends)}: (low, high)")
        dists.append(stats.uniform(low, high - low))
    dims, shape = tuple(sample.axes), sample.shape
    n = sample.n_points * samples * (len(moved) + 2)
    require(24.0 * n, f"{output} at {n:,} points", "fewer samples, axes or ranges")

    def outputs(x: np.ndarray) -> np.ndarray:
        program = Program(resolver, inputs, tuple(ranges))
        flat = x.reshape(len(moved), -1)
        program.widen("draw", np.arange(flat.shape[1]))
        program.assign(Leaf(m.leaf, ("draw",), values) for m, values in zip(moved, flat))
        y = solve(program, [output], threads, progress, plan)[output].values
        return np.array(y, dtype=np.float64).reshape(-1, *x.shape[1:])

    found = stats.sobol_indices(func=outputs, n=samples, dists=dists, rng=np.random.default_rng(seed))
    along = (*dims, "parameter")
    coords = label.coordinates(sample)
    for m in moved:
        coords.pop(m.name, None)
    coords["parameter"] = ("parameter", np.array([m.name for m in moved]), {"long_name": "the input that varies"})
    ranges_text = ", ".join(f"{n} {a} to {b}" for n, (a, b) in ranges.items())
    result = xr.Dataset(
        {
            "first_order": (along, np.reshape(found.first_order, (*shape, len(moved)))),
            "total_order": (along, np.reshape(found.total_order, (*shape, len(moved)))),
        },
        coords=coords,
        attrs=label.story(sample, {}, output=output, ranges=ranges_text, samples=samples, seed=seed),
    )
    for name in result.data_vars:
        result[name].attrs = label.attributes(str(name))
    return result
