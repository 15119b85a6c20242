"""``mlsysim sweep``: one pass over millions of configurations, and what it found."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim import grammar, headline, sizes
from mlsysim.cli import asjson, crew, estimate, results, show, stopped
from mlsysim.engine.progress import Bar

if TYPE_CHECKING:
    import xarray as xr

    from mlsysim.resolver import Resolver

#: degrees that are shown as one column
LAYOUT = ("tp", "pp", "dp", "cp", "ep")
#: axes and outputs that a reader looks for first
EARLY = ("hardware", "region", "precision")
#: outputs that are made of the price of a device -> which price
PRICES = {"purchase_cost": "price", "usd_per_mtok": "hourly_price"}
EXTRAS = ("n_accelerators", "mfu", "energy", "water")


class Meter:
    """Times the sweeping apart from what comes before it (recording, compiling)."""

    def __init__(self, tell: Callable[[int, int], None] | None):
        self.tell = tell
        self.so_far: Callable[[], str] | None = None  #: says what was found so far, for a bar
        self.begin = time.perf_counter()
        self.before = 0.0  #: seconds until the first block was done
        self.first: tuple[float, int] | None = None
        self.last: tuple[float, int] = (self.begin, 0)

    def __call__(self, done: int, total: int) -> None:
        self.last = (time.perf_counter(), done)
        if self.first is None:
            self.first = self.last
            self.before = self.first[0] - self.begin
        if isinstance(self.tell, Bar):
            self.tell.so_far = self.so_far
        if self.tell is not None:
            self.tell(done, total)

    def rate(self, points: int) -> float:
        """Points per second while sweeping."""
        if self.first is not None and self.last[1] > self.first[1]:
            return (self.last[1] - self.first[1]) / max(self.last[0] - self.first[0], 1e-9)
        return points / max(time.perf_counter() - self.begin, 1e-9)


def carbon_classes(regions: Any) -> None:
    """Warn when carbon figures of several kinds would be compared."""
    from mlsysim import zoo

    names = regions if isinstance(regions, (list, tuple)) else [regions]
    classes: dict[str, list[str]] = {}
    for name in names:
        row = zoo.grid(name)
        classes.setdefault(zoo.carbon_class(row), []).append(row.key)
    if len(classes) > 1:
        classes_text = "; ".join(f"{kind}: {show.told(keys, 4)}" for kind, keys in classes.items())
        warnings.warn(f"carbon intensities of different classes are compared ({classes_text})", stacklevel=2)


def derived_prices(resolver: Resolver, inputs: Mapping[str, Any]) -> str:
    """One line about the devices whose price is published nowhere and follows from other prices."""
    from mlsysim import zoo

    used = [price for output, price in PRICES.items() if output in resolver.outputs]
    given = inputs.get("hardware")
    names = given if isinstance(given, (list, tuple)) else [] if given is None else [given]
    rows = [zoo.hardware(name) for name in names]
    found = [row.key for row in rows if any(price in row.derived for price in used if price not in inputs)]
    return f"derived prices: {show.told(found, 12)} (mlsysim zoo hardware {found[0]} shows how)" if found else ""


def plan(words: Sequence[str] | None, options: Mapping[str, Any]) -> tuple[Resolver, dict[str, Any], dict[str, Any]]:
    """Resolver, inputs and options: the headline's where nothing else is said."""
    name = next((word for word in words or () if "=" not in word), None)
    resolver = headline.resolver() if name is None else grammar.named(name)
    texts, found, rest = grammar.split(words or (), options, grammar.names_of(resolver))
    if len(rest) > 1:
        raise ValueError(f"{rest[1]!r}: inputs are written key=value")
    if rest:
        return resolver, grammar.values(texts, resolver), found
    inputs = headline.inputs()
    given = grammar.values(texts, resolver)
    inputs |= given
    if found["minimize"] is None and found["maximize"] is None:
        found["minimize"] = ",".join(headline.OBJECTIVES)
    if found["where"] is None:
        found["where"] = headline.WHERE
    if found["by"] is None and isinstance(inputs.get(headline.BY), list):
        found["by"] = headline.BY
    return resolver, inputs, found


def run(words: Sequence[str] | None, options: Mapping[str, Any], threads: int | None, yes: bool, json: bool) -> int:
    """Sweep, show, save."""
    from mlsysim.search import Best, Counts, Pareto

    resolver, inputs, found = plan(words, options)
    down, up = grammar.objectives(found)
    if not down and not up:
        raise ValueError(f"say what {resolver.name} is swept for: minimize=tco,carbon and/or maximize=mfu")
    target = grammar.listed(found["objective"])[:1] or (down or up)[:1]
    direction = False if target[0] in down else True if target[0] in up else None
    where, by = grammar.conditions(found["where"]), grammar.listed(found["by"])
    # what nobody named must not replace a front, or anything else, that is there
    path = found["out"] or results.unused("front.csv", ".csv", ".png")
    if path != "none":
        results.place(path)
    page = page_at(found["report"])
    if "region" in inputs:
        carbon_classes(inputs["region"])
    searches = [
        Best(target[0], direction, by, where),
        Pareto(down, up, grammar.thinning(found["epsilon"]), where),
        Counts(where=where),
    ]
    estimate.before(resolver, inputs, searches, crew.number(found, threads), yes)
    with results.progress(not json) as tell, crew.client(found) as client:
        meter = Meter(tell)
        (best, front, counts), stop = stopped.answer(
            lambda: resolver.sweep(
                searches, threads=threads, progress=meter, resume=found["resume"], client=client, **inputs
            )
        )
    seconds = time.perf_counter() - meter.begin
    points = int(counts.attrs["points"])
    numbers = dict(zip(counts["limit"].values.tolist(), counts["configurations"].values.tolist()))
    feasible = int(sum(n for name, n in numbers.items() if name == "none"))
    saved, lost = "", ""
    if stop and not found["out"]:  # half a front is saved where the user wanted the whole, and nowhere else
        path = "none"
    if path != "none" and front.sizes["point"]:
        try:
            saved = results.write(front, path)
        except OSError as error:  # what was found is still told
            lost = f"the front is not saved: {error}"
    picture, note = draw(front, best, [*down, *up], "" if stop else saved, by[0] if by else headline.BY)
    if page and not stop:
        try:
            write_page(page, resolver, inputs, best, front, counts)
        except OSError as error:
            page, lost = "", lost or f"the report is not written: {error}"
    if json:
        print(
            asjson.text(
                {
                    "resolver": resolver.name,
                    "points": points,
                    "seconds": seconds,
                    "points_per_second": meter.rate(points),
                    "feasible": feasible,
                    "counts": counts,
                    "best": best,
                    "front": front,
                    "saved": saved,
                    "picture": picture,
                    "report": "" if stop else page,
                }
            )
        )
    else:
        report(resolver, inputs, seconds, meter, numbers, best, front, target[0], [*down, *up])
        if saved:
            print(
                f"The front is in {saved} ({show.count(front.sizes['point'], 'row')}, every output, base units)"
                f"{f', drawn in {picture}' if picture else ''}."
            )
        if page and not stop:
            print(f"The report is in {page}.")
        if note:
            print(note)
        for line in (results.left_out(front), derived_prices(resolver, inputs)):
            if line:
                show.note(line)
    if lost:
        results.say(f"error: {lost}")
    if stop:
        return stopped.code(stop, found["resume"])
    if lost:
        return results.BAD
    if front.sizes["point"]:
        return results.FINE
    return results.nothing(counts, "no configuration is left", lambda: results.near_miss(resolver, where, inputs))


def draw(front: xr.Dataset, best: xr.Dataset, objectives: Sequence[str], saved: str, by: str) -> tuple[str, str]:
    """The picture beside the saved front, or why there is none."""
    if not saved or len(objectives) < 2:
        return "", ""
    from mlsysim import plot

    try:
        return plot.save(front, os.path.splitext(saved)[0] + ".png", objectives[:3], by, best), ""
    except (ImportError, OSError) as error:
        return "", f"No picture: {error}"


def page_at(path: str | None) -> str:
    """A path to which a report can be written, checked before the sweep."""
    if not path:
        return ""
    folder = os.path.dirname(path) or "."
    if not path.lower().endswith((".html", ".htm")):
        raise ValueError(f"report={path}: the name must end in .html")
    if os.path.isdir(path) or not os.path.isdir(folder):
        raise ValueError(f"report={path}: {f'{folder} is no folder' if not os.path.isdir(path) else 'is a folder'}")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise ValueError(f"report={path}: cannot be written there")
    try:
        import plotly  # noqa: F401
    except ImportError:
        raise ImportError("plotly is not installed: pip install 'mlsysim-sweep[report]'") from None
    return path


def write_page(
    path: str, resolver: Resolver, inputs: Mapping[str, Any], best: xr.Dataset, front: xr.Dataset, counts: xr.Dataset
) -> None:
    """What was found as a page to pass on."""
    import pandas as pd

    from mlsysim.report import report as page

    swept = pd.DataFrame({"input": list(inputs), "values": [_values(v) for v in inputs.values()]})
    objectives = ", ".join(part.split()[-1] for part in str(front.attrs["objectives"]).split(", "))
    what = f"{objectives} of {show.count(int(counts.attrs['points']), 'configuration')}"
    parts: list[Any] = [front, counts, *([best] if best.sizes else []), ("What was swept", swept)]
    page(parts, path, title=f"{_subject(inputs) or resolver.name}: {what}")


def _values(value: Any) -> str:
    return ", ".join(map(_said, value)) if _several(value) else _said(value)


def _subject(inputs: Mapping[str, Any]) -> str:
    named = [_said(inputs[n]) for n in ("model", "hardware") if n in inputs and not _several(inputs[n])]
    return " on ".join(named)


def report(
    resolver: Resolver,
    inputs: Mapping[str, Any],
    seconds: float,
    meter: Meter,
    numbers: Mapping[str, int],
    best: xr.Dataset,
    front: xr.Dataset,
    target: str,
    objectives: Sequence[str],
) -> None:
    """Tell what was swept and what was found."""
    points = sum(numbers.values())
    fixed = [f"{k} {_said(v)}" for k, v in inputs.items() if not _several(v)]
    print(f"{resolver.name}\n  {', '.join(fixed)}")
    for name, values in inputs.items():
        if _several(values):
            print(f"  {name}: {show.told([_said(v) for v in values], 16)}")
    first = f" ({meter.before:.1f} s of them to record and compile, once)" if meter.before > 2 else ""
    print(
        f"\n{show.count(points, 'configuration')} in {seconds:.1f} s{first}"
        + (f", {meter.rate(points) / 1e6:,.1f} million a second while sweeping" if points > 100_000 else "")
        + "\n"
    )
    rows = [("feasible" if name == "none" else name, n) for name, n in numbers.items() if n]
    show.grid(
        [
            show.Column("", [name for name, _ in rows]),
            show.Column("configurations", [f"{n:,}" for _, n in rows], True),
            show.Column("share", [f"{n / points:.1%}" for _, n in rows], True),
        ],
        "What stops them",
    )
    if not front.sizes["point"]:
        return
    axes = [str(n) for n, v in front.coords.items() if v.dims and n not in ("point", *LAYOUT, *objectives)]
    early = [n for n in EARLY if n in axes]
    extras = [n for n in EXTRAS if n in front.data_vars]
    rest = [*extras, *(n for n in axes if n not in early)]
    if best.sizes:
        dims = [str(d) for d in best.sizes]
        places = np.flatnonzero(best["found"].values.reshape(-1))
        order = places[
            np.argsort(best[target].values.reshape(-1)[places] * (1 if target in _less(front) else -1), kind="stable")
        ]
        names = [*dict.fromkeys([*dims, target, *objectives, *early, *rest])]
        show.points(
            best,
            names,
            order,
            f"The best {target} of each {' x '.join(dims)}",
            len({*dims, target, *objectives, *early}),
            layout(best, order),
        )
        nowhere = np.flatnonzero(~best["found"].values.reshape(-1))
        if nowhere.size and len(dims) == 1:
            print(f"Nothing feasible: {show.told(best[dims[0]].values[nowhere].tolist(), 12)}\n")
    size = front.sizes["point"]
    thinned = show.evenly(size)
    title = f"The front of {', '.join(objectives)}: {show.count(size, 'configuration')}" + (
        f", {len(thinned)} of them here (evenly thinned)" if len(thinned) < size else ""
    )
    show.points(
        front,
        [*objectives, *early, *rest],
        thinned,
        title,
        len(objectives) + len(early),
        layout(front, thinned),
    )


def _less(front: xr.Dataset) -> list[str]:
    return [part.split()[-1] for part in str(front.attrs["objectives"]).split(", ") if part.startswith("min ")]


def layout(ds: xr.Dataset, positions: np.ndarray) -> list[show.Column]:
    """The degrees of parallelism of some configurations in one column."""
    names = [n for n in LAYOUT if n in ds.coords and ds[n].dims]
    if not names:
        return []
    columns = [show.column(ds, n, positions).cells for n in names]
    return [show.Column(" x ".join(names), [" x ".join(row) for row in zip(*columns)])]


def _several(value: Any) -> bool:
    return isinstance(value, (list, tuple, np.ndarray)) and len(value) > 1


def _said(value: Any) -> str:
    return sizes.number(value) if isinstance(value, (int, float)) else str(value)
