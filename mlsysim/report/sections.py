"""What an answer is shown as."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlsysim.plot.parts import wholes
from mlsysim.plot.words import feasible
from mlsysim.report import figures, tables
from mlsysim.report.command import command
from mlsysim.report.tables import text

if TYPE_CHECKING:
    import xarray as xr

#: units of which one whole is drawn: time, memory, money, carbon
DRAWN = ("s", "byte", "USD", "kg")
BARS = 40  #: most bars of a picture of parts


class Section(NamedTuple):
    """A part of a page."""

    heading: str
    body: str


def section(item: Any, number: int) -> Section:
    """A part of a page from whatever it is: an answer, a table, a picture, text; with a heading before it, perhaps."""
    heading = ""
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
        heading, item = item
    place = f"p{number}"
    if isinstance(item, str):
        return Section(heading, "".join(f"<p>{text(part)}</p>" for part in item.split("\n\n") if part.strip()))
    if hasattr(item, "data_vars"):
        own, body = _answer(item, place)
        return Section(heading or own, body)
    if hasattr(item, "itertuples") and hasattr(item, "columns"):
        return Section(heading, tables.frame(item))
    if hasattr(item, "savefig") or hasattr(getattr(item, "figure", None), "savefig"):
        return Section(heading, _picture(item, heading))
    raise TypeError(
        "a report is made of Datasets, DataFrames, matplotlib Axes and text, or (heading, one of these), "
        f"not {type(item).__name__}"
    )


def _answer(ds: xr.Dataset, place: str) -> tuple[str, str]:
    """An answer by what it is; variables that do not lie along the dims of its points get tables of their own."""
    if "objectives" in ds.attrs and "point" in ds.sizes:
        return "The front", _front(ds, place)
    if "configurations" in ds and "limit" in ds.coords and "found" not in ds:
        return "What stops the others", _counts(ds, place)
    dims = set(next((ds[n].dims for n in ("found", "feasible", *map(str, ds.data_vars)) if n in ds), ()))
    apart = [str(n) for n, v in ds.data_vars.items() if not set(v.dims) <= dims]
    core = ds.drop_vars(apart)
    core = core.drop_vars([c for c, v in core.coords.items() if not set(v.dims) <= dims])
    heading, body = _points(core, place)
    for along in dict.fromkeys(ds[n].dims for n in apart):
        names = [n for n in apart if ds[n].dims == along]
        if "configurations" in names:
            body += f"<h3>What stopped how many</h3>{_counts(ds, f'{place}-stopped')}"
            names.remove("configurations")
        if names:
            body += tables.points(ds[names].drop_vars([c for c in ds.coords if c not in along], errors="ignore"), ())
    return heading, body


def _points(ds: xr.Dataset, place: str) -> tuple[str, str]:
    if not any(size > 1 for size in ds.sizes.values()):
        ds = ds.isel(dict.fromkeys(ds.sizes, 0))
        words = command(ds, {})
        body = f'<p><code class="command">{text(words)}</code>{tables.button(words)}</p>' if words else ""
        body += tables.single(ds, _first(ds)) + _parts(ds, place)
        return ("The best" if "found" in ds else "One configuration"), body
    if "parameter" in ds.sizes:
        what = f"What moves {str(ds.attrs.get('output', 'it')).replace('_', ' ')}"
        order = (
            np.argsort(ds["rank"].values, kind="stable") if "rank" in ds and ds["rank"].dims == ("parameter",) else None
        )
        return what, tables.points(ds, (), order)
    if "found" in ds:
        return f"The best of each {' and '.join(map(str, ds.sizes)).replace('_', ' ')}", _best(ds, place)
    return "Configurations", _grid(ds, place)


def _first(ds: xr.Dataset) -> list[str]:
    """Outputs that were asked for."""
    asked = [part.split()[-1] for part in str(ds.attrs.get("objectives", "")).split(", ") if part]
    return [n for n in (*asked, str(ds.attrs.get("objective", ""))) if n in ds.data_vars]


def _drawing(figure: Any, place: str, what: str) -> str:
    """A picture of plotly; its data cannot end the script that holds them."""
    shown = json.loads(figure.to_json())
    data = json.dumps([shown["data"], shown["layout"]], separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    return f'<div id="{place}" class="picture" role="img" aria-label="{text(what)}"></div><script>draw("{place}",{data})</script>'


def _front(ds: xr.Dataset, place: str) -> str:
    names = _first(ds)
    points, accepted = ds.attrs.get("points"), ds.attrs.get("accepted")
    told = f"{ds.sizes['point']:,} configurations that none beats in {', '.join(names)}"
    if points is not None:
        told += f", of {int(points):,}" + (f", {int(accepted):,} of them feasible" if accepted is not None else "")
    if not ds.sizes["point"]:
        return f"<p>No configuration is left: {text(ds.attrs.get('rejected', 'nothing is feasible'))}.</p>"
    body = f"<p>{text(told)}.</p>"
    if len(names) > 1:
        by = next((n for n in ("hardware", "model", "region") if n in ds.coords and ds[n].dims), "")
        drawn = _drawing(figures.front(ds, names[:3], by), place, f"front of {', '.join(names[:3])}")
        thinned = f" {figures.MOST:,} of them are drawn, evenly thinned." if ds.sizes["point"] > figures.MOST else ""
        hint = f"Touch a point to see its configuration; click to copy it as a command.{thinned}"
        body += f'{drawn}<p class="hint">{hint}</p>'
        body += f'<p><code id="{place}-command" class="command" hidden></code></p>'
    if ds.sizes["point"] > tables.ROWS:
        body += f"<p>{tables.ROWS} of them, evenly thinned:</p>"
    return body + tables.points(ds, names)


def _counts(ds: xr.Dataset, place: str) -> str:
    every = ds["configurations"]
    kind = str(every.dims[-1])  # limit, or stopped_by
    every = every.sum(list(every.dims[:-1]))
    found = [(str(n), int(v)) for n, v in zip(ds[kind].values, every.values) if v]
    names = ["feasible" if n == "none" else n for n, _ in found]
    numbers = [v for _, v in found]
    if not numbers:
        return "<p>No configuration was asked for.</p>"
    drawn = _drawing(figures.counts(names, numbers), place, "configurations by what stops them")
    rows = [[n, f"{v:,}", f"{v / sum(numbers):.1%}"] for n, v in zip(names, numbers)]
    return drawn + tables.table(["", "configurations", "share"], rows)


def _best(ds: xr.Dataset, place: str) -> str:
    first = _first(ds)
    flat = ds["found"].values.reshape(-1).astype(bool)
    order = np.flatnonzero(flat)
    if first and ds[first[0]].dims == ds["found"].dims:
        order = order[np.argsort(ds[first[0]].values.reshape(-1)[order], kind="stable")]
    body = tables.points(ds, first, order[: 2 * tables.ROWS]) if len(order) else "<p>Nothing feasible.</p>"
    if len(ds.sizes) == 1:
        dim = str(next(iter(ds.sizes)))
        none = [str(v) for v in ds[dim].values[~flat]]
        body += f"<p>Nothing feasible: {text(', '.join(none))}.</p>" if none else ""
        body += _parts(ds, place, order[:BARS]) if len(order) else ""
    return body


def _grid(ds: xr.Dataset, place: str) -> str:
    size = int(np.prod(list(ds.sizes.values()), dtype=np.int64))
    fits = feasible(ds)
    told = f"{size:,} configurations" + (
        "" if fits is None else f", {int(fits.mean().item() * size + 0.5):,} of them feasible"
    )
    told += f"; {tables.ROWS} of them, evenly thinned:" if size > tables.ROWS else ":"
    body = f"<p>{text(told)}</p>{tables.points(ds, _first(ds))}"
    axes = [d for d, n in ds.sizes.items() if n > 1]
    return body + (_parts(ds, place) if len(axes) == 1 and ds.sizes[axes[0]] <= BARS else "")


def _parts(ds: xr.Dataset, place: str, order: np.ndarray | None = None) -> str:
    """Where time, memory, money and carbon go: one picture each."""
    known = wholes(ds)
    chosen: dict[str, str] = {}
    for name in known:
        unit = str(ds[name].attrs.get("units", ""))
        if unit in DRAWN and len(ds[name].dims) <= 1 and np.isfinite(ds[name].values).any():
            chosen.setdefault(unit, name)
    body = ""
    for unit in DRAWN:
        if unit in chosen:
            name = chosen[unit]
            own = order if ds[name].dims else None
            what = f"where {name.replace('_', ' ')} goes"
            drawn = _drawing(figures.parts(ds, name, own), f"{place}-{name.replace('.', '-')}", what)
            body += f"<h3>W{text(what[1:])}</h3>{drawn}"
    return body


def _picture(item: Any, heading: str) -> str:
    """A picture of matplotlib, as it is."""
    figure = item if hasattr(item, "savefig") else item.figure
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img alt="{text(heading or "picture")}" src="data:image/svg+xml;base64,{data}">'
