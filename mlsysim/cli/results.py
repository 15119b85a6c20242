"""What a command gives back: a table, JSON, a file, or why there is nothing; and a bar while one waits."""

from __future__ import annotations

import itertools
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim import grammar
from mlsysim.cli import asjson, show, streams
from mlsysim.engine.label import labelled
from mlsysim.engine.progress import Bar
from mlsysim.schema.judged import main_first
from mlsysim.stored.files import NEEDS, required, save

if TYPE_CHECKING:
    import xarray as xr

    from mlsysim.resolver import Resolver

FINE, BAD, NOTHING = 0, 1, 2
#: how the name of a file of results may end
ENDINGS = (".csv", ".json", *NEEDS)
#: points of a call up to which the nearest miss is looked for, in one more pass
NEAR = 100_000_000
STRONGEST = 4  #: assumptions that a line names
#: outputs that a table of points shows when nobody says which
FEW = 6


def say(text: str) -> None:
    """A line on stderr, if anyone can read it."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        streams.forget(sys.stderr)


def on_terminal() -> bool:
    """Does somebody watch stderr?"""
    return sys.stderr.isatty()


@contextmanager
def progress(wanted: bool = True, noun: str = "points") -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal; nothing elsewhere."""
    if wanted and on_terminal():
        with Bar(noun, transient=True) as bar:
            yield bar
    else:
        yield None


def place(path: str | None) -> str:
    """A path to which a result can be written, checked before the result is computed."""
    if not path:
        return ""
    ending = _ending(path)
    if ending not in ENDINGS:
        raise ValueError(f"out={path}: the name must end in {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    folder = os.path.dirname(path.rstrip(os.sep)) or "."
    is_store = ending == ".zarr" and _is_zarr(path)
    if (os.path.isdir(path) and not is_store) or not os.path.isdir(folder):
        raise ValueError(f"out={path}: {f'{folder} is no folder' if not os.path.isdir(path) else 'is a folder'}")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise ValueError(f"out={path}: cannot be written there")
    if ending in NEEDS:
        required(ending)
    return path


def _ending(path: str) -> str:
    return os.path.splitext(path.rstrip(os.sep))[1].lower()  # a Zarr store is a folder


def _is_zarr(path: str) -> bool:
    """Is this the folder of a Zarr store, or a folder that is empty?"""
    if not os.path.isdir(path):
        return False
    names = os.listdir(path)
    return not names or "zarr.json" in names or ".zgroup" in names


def unused(path: str, *endings: str) -> str:
    """`path`, or the first of path-2, path-3 ... that exists with none of some endings.

    >>> unused("/no/such/folder/front.csv", ".csv", ".png")
    '/no/such/folder/front.csv'
    """
    stem, ending = os.path.splitext(path)
    names = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
    return next(name for name in names if not any(os.path.lexists(name + e) for e in endings)) + ending


@contextmanager
def named(path: str) -> Iterator[None]:
    """An error of writing a file bears its name: without one it is that of a stream."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None:
            error.filename = path
        raise


def write(ds: xr.Dataset, path: str) -> str:
    """Save a result at its `place`, by the ending of its name; base units, options as labels."""
    ending = _ending(path)
    if ending == ".json":
        with named(path), open(path, "w", encoding="utf-8") as handle:
            handle.write(asjson.text(ds))
    elif ending == ".csv":
        if math.prod(ds.sizes.values()) > 5_000_000:
            raise ValueError(
                f"out={path}: {math.prod(ds.sizes.values()):,} rows are too many for CSV: write a .nc or .zarr file, or reduce"
            )
        table = ds.assign({k: (v.dims, labelled(v)) for k, v in ds.data_vars.items()})
        index = not all(d in ("point", "rank") for d in ds.sizes)
        if not ds.sizes:
            table = table.expand_dims("point")
        with named(path):
            table.to_dataframe().to_csv(path, index=index)
    else:
        with named(path):
            save(ds, path)
    return path


def chosen(ds: xr.Dataset, first: Sequence[str], keep: Sequence[str]) -> list[str]:
    """Outputs that a table of points shows: those named, or a few that say most."""
    data = [str(n) for n in ds.data_vars]
    if keep:
        return [*dict.fromkeys([*first, *(k for k in keep if k in data)])]
    from mlsysim.schema.variables import VARIABLES

    searched = "found" in data or "count" in data
    last: list[str] = [n for n in ("limit", "bottleneck") if n in data and not (searched and n == "limit")]
    if "found" in data and not bool(ds["found"].all()):
        last.append("found")
    telling = [n for n in data if n not in last and n in VARIABLES and VARIABLES[n].better]
    telling = main_first(telling) + [n for n in data if n not in last and n not in telling]
    return [*dict.fromkeys([*first, *telling])][: max(FEW, len(first))] + [n for n in last if n not in first]


def omitted(ds: xr.Dataset) -> dict[str, str]:
    """Outputs that an answer lacks, and why, from its attributes.

    >>> import xarray as xr
    >>> omitted(xr.Dataset(attrs={"omitted": "tco: needs price (a; b, USD), which ...; mfu: an optional input was not given"}))
    {'tco': 'needs price (a; b, USD), which ...', 'mfu': 'an optional input was not given'}
    """
    text = str(ds.attrs.get("omitted", ""))
    parts = re.split(r"; (?=[\w.]+: (?:needs |an optional input))", text) if text else []
    return {name: why for name, _, why in (part.partition(": ") for part in parts)}


def left_out(ds: xr.Dataset, keep: Sequence[str] = ()) -> str:
    """One line about the outputs that an answer lacks; with `keep`, about those of them."""
    from mlsysim.engine.leaves import NO_ROW

    lacking: dict[str, list[str]] = {}
    for name, why in omitted(ds).items():
        if not keep or name in keep:
            lacking.setdefault(why, []).append(name)
    parts = []
    for why, names in lacking.items():
        if why.startswith("needs "):
            datum, place = re.match(r"needs (\S+)(?:.* not known for (.*): give )?", why).groups()  # type: ignore[union-attr]
            unknown = f", not known for {place}" if place and place != NO_ROW else ""
            parts.append(f"{show.told(names)} (needs {datum}{unknown}: give {datum}=...)")
    optional = [name for why, names in lacking.items() if not why.startswith("needs ") for name in names]
    if optional:
        schema = f"mlsysim schema {str(ds.attrs.get('resolver', '')).replace(' ', '')}"
        parts.append(f"{show.count(len(optional), 'output')} for want of optional inputs (--json names them; {schema})")
    if ds.attrs.get("left_out"):
        parts.append(str(ds.attrs["left_out"]))
    return f"left out: {'; '.join(parts)}" if parts else ""


def give(
    ds: xr.Dataset,
    found: Mapping[str, Any],
    json: bool,
    title: str,
    first: Sequence[str] = (),
    places: bool = False,
    amounts: Callable[[np.ndarray], np.ndarray] | None = None,
) -> None:
    """Show, print or save a result.

    Parameters
    ----------
    first : sequence of str
        Outputs that are shown before others.
    places : bool
        The coordinates of a single point are its answer (`best`), not what the user said.
    amounts : callable, optional
        By how much some points, by their flat numbers, miss what stops them.
    """
    keep = grammar.listed(found.get("keep"))
    unknown = [k for k in keep if k not in ds.variables]
    if unknown:
        from mlsysim.schema.check import hint

        if line := left_out(ds, unknown[:1]):
            raise ValueError(f"keep={unknown[0]!r} is {line}")
        raise ValueError(f"keep={unknown[0]!r} is no output of this call{hint(unknown[0], map(str, ds.data_vars))}")
    if found.get("out"):
        write(ds, found["out"])
    if json:
        print(asjson.text(ds))
        return
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, array in ds.data_vars.items():
        groups.setdefault(tuple(map(str, array.dims)), []).append(str(name))
    hidden, notes = 0, []
    for dims, members in sorted(groups.items(), key=lambda item: len(item[0])):
        part = ds[members]
        wanted = [k for k in keep if k in part.variables]
        if keep and not wanted:
            continue
        if not dims:
            outputs = dict.fromkeys([*(n for n in first if n in members), *main_first(members)])
            missed = misses(part, np.zeros(1, dtype=np.int64), amounts)
            wanted += [n for n in ("limit",) if wanted and missed and n not in wanted]
            show.one(part, [*(map(str, part.coords) if places else ()), *(wanted or outputs)], title, *missed)
            title = ""
            continue
        rest, left = several(part, wanted, title, [n for n in first if n in part], not title, amounts)
        title = ""
        hidden += left
        if rest:
            count, thinned = math.prod(part.sizes.values()), " (evenly thinned)" if "point" in dims else ""
            notes.append(f"{count - rest} of {count:,} rows{thinned}: --out FILE.csv for all.")
    if hidden:
        notes.append(f"{hidden} more output{'s' if hidden > 1 else ''}: --keep NAME,... or --json.")
    if found.get("out"):
        notes.append(f"Saved in {found['out']}.")
    if notes:
        print(" ".join(notes))
    if unsaid := ds.attrs.get("assumed"):
        rests = "" if ds.sizes else rests_on(ds, [*first, *keep, *main_first([str(n) for n in ds.data_vars])])
        show.note(f"assumed: {unsaid}{rests}")
    if own := ds.attrs.get("own"):
        show.note(own)
    if line := left_out(ds, keep):
        show.note(line)


def rests_on(ds: xr.Dataset, outputs: Sequence[str]) -> str:
    """The assumptions on which the first quantity among some outputs of one point rests most, for the end of a line."""
    from mlsysim.schema.variables import variable_of
    from mlsysim.stored.known import resolver_of

    resolver = resolver_of(ds)
    told = () if resolver is None else resolver.outputs
    kinds = {name: variable_of(name) for name in outputs if name in told}
    name = next((name for name, v in kinds.items() if v is not None and v.kind == "real" and v.better), None)
    if name is None:
        return ""
    try:
        found = ds.mlsysim.rests_on(name)
    except (ValueError, TypeError):  # of an object of the user's own, or of what has no slope here
        return ""
    slopes = {n: e for n, e in found["elasticity"].items() if not n.endswith(("_level", "_scatter"))}  # those are 1
    parts = [f"{n} (elasticity {e:.2g})" for n, e in list(slopes.items())[:STRONGEST]]
    more = f" and {len(slopes) - STRONGEST} more" if len(slopes) > STRONGEST else ""
    return f"; {name} rests most on {', '.join(parts)}{more}" if parts else ""


def misses(ds: xr.Dataset, positions: np.ndarray, amounts: Callable[[np.ndarray], np.ndarray] | None) -> list[str]:
    """What stops each of some points and by how much, "" where nothing does; nothing at all where all of them work."""
    from mlsysim.search.near import amount

    if "limit" not in ds or "feasible" not in ds or ds["feasible"].dtype != bool:
        return []
    works = ds["feasible"].values.reshape(-1)[positions]
    if works.all():
        return []
    named = labelled(ds["limit"]).reshape(-1)[positions]
    far = np.full(len(positions), np.nan)
    if amounts is not None:
        far[~works] = amounts(positions[~works])
    return ["" if fine else amount(str(name), miss) for fine, name, miss in zip(works, named, far)]


def several(
    ds: xr.Dataset,
    keep: Sequence[str],
    title: str,
    first: Sequence[str],
    further: bool,
    amounts: Callable[[np.ndarray], np.ndarray] | None = None,
) -> tuple[int, int]:
    """Print a table of points; how many there are for which it has no room, and how many outputs.

    A `further` table of an answer shows just its dims, and no zero counts.
    """
    axes = [str(c) for c, v in ds.coords.items() if v.dims and not (c == "rank" and len(ds.sizes) == 1)]
    if further:
        axes = [str(d) for d in ds.sizes if d in ds.coords]
    names = [*axes, *chosen(ds, first, keep)]
    count = math.prod(ds.sizes.values())
    every = np.arange(count)
    if "configurations" in ds:
        every = np.flatnonzero(ds["configurations"].values.reshape(-1))
    positions = show.evenly(count) if "point" in ds.sizes else every[: show.ROWS]
    missed = misses(ds, positions, amounts)
    names += [n for n in ("limit",) if missed and n not in names]
    if keep and "found" in ds and not bool(ds["found"].all()) and "found" not in names:
        names.append("found")
    gone = show.points(ds, names, positions, title, len(names) if keep else len(axes) + len(first), misses=missed)
    hidden = [n for n in ds.data_vars if n not in names and not (keep and n in ("feasible", "limit"))]
    return len(every) - len(positions), len(hidden) + len(gone)


def stops(numbers: Mapping[str, int]) -> str:
    """What stops how many configurations.

    >>> stops({"memory": 1, "none": 2})
    'memory stops 1 of 3'
    """
    total = sum(numbers.values())
    return ", ".join(f"{name} stops {n:,} of {total:,}" for name, n in numbers.items() if n and name != "none")


def amounts_of(resolver: Resolver, inputs: Mapping[str, Any]) -> Callable[[np.ndarray], np.ndarray] | None:
    """What tells by how much points of a call miss; None for a search, which gives no points that do."""
    from mlsysim.resolver import Optimizer, Solver
    from mlsysim.search.near import amounts

    if isinstance(resolver, (Optimizer, Solver)):
        return None
    return lambda positions: amounts(resolver.program(**inputs), positions)


def near_miss(resolver: Resolver, where: Any, inputs: Mapping[str, Any]) -> Any:
    """What comes nearest to working; None where nobody would wait for it, or where something works."""
    from mlsysim.resolver import Solver
    from mlsysim.search.near import nearest

    if isinstance(resolver, Solver) or resolver.program(**inputs).n_points > NEAR:
        return None
    return nearest(resolver, where, **inputs)


def nothing(counts: xr.Dataset | None, what: str, near: Callable[[], Any] | None = None) -> int:
    """Say why nothing is feasible, and what is nearest to it."""
    if counts is not None:
        table = counts["configurations"]
        table = table.sum(table.dims[:-1])
        what = f"{what}; {stops(dict(zip(table[table.dims[0]].values.tolist(), table.values.astype(int).tolist())))}"
    miss = None if near is None else near()
    told = (
        "" if miss is None else str(miss).removeprefix(f"{miss.limit}; ")
    )  # which is said already, where no amount is
    say(f"nothing feasible: {what}{f'; {told}' if told else ''}")
    return NOTHING
