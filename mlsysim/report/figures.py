"""Interactive pictures of answers."""

from __future__ import annotations

import html
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from mlsysim.engine.label import labelled
from mlsysim.plot.canvas import PALETTE, REST, wide
from mlsysim.plot.parts import parts_of, works
from mlsysim.plot.words import head, plain, plain_number, ticks
from mlsysim.report.command import command
from mlsysim.sizes import quantity, scale

if TYPE_CHECKING:
    import xarray as xr

SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "cross", "x", "star", "hexagram")
MOST = 1000  #: points of a front that are drawn: more would make the page larger than most mail takes
FONT = {"family": "system-ui, sans-serif", "size": 13, "color": "#1a1a1a"}
#: an axis of names, the first on top; its ticks, which nobody sees, keep them off the bars
CATEGORIES = {
    "autorange": "reversed",
    "automargin": True,
    "ticks": "outside",
    "ticklen": 5,
    "tickcolor": "rgba(0,0,0,0)",
}


def plotly() -> Any:
    """The library's pictures, or how to get it."""
    try:
        import plotly.graph_objects
    except ImportError:
        raise ImportError("plotly is not installed: pip install 'mlsysim-sweep[report]'") from None
    return plotly.graph_objects


def safe(text: Any) -> str:
    """Text that is shown as it stands, whatever is in it."""
    return html.escape(str(text), quote=False)


def _figure(height: int, **layout: Any) -> Any:
    go = plotly()
    figure = go.Figure()
    figure.update_layout(
        height=height,
        font=FONT,
        paper_bgcolor="white",
        plot_bgcolor="white",
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "title": {"text": ""}},
        hoverlabel={"bgcolor": "white", "font": {"color": "#1a1a1a", "size": 12}, "align": "left"},
        **layout,
    )
    return figure


def _axis(text: str, values: np.ndarray | None = None) -> dict[str, Any]:
    """An axis; logarithmic, with plain numbers at its ticks, where the values differ by much."""
    found: dict[str, Any] = {
        "title": {"text": safe(text.replace(r"\$", "$"))},
        "gridcolor": "#e5e5e5",
        "linecolor": "#888888",
        "zeroline": False,
        "automargin": True,
    }
    if values is not None and wide(values):
        marks, texts = _decades(values)
        found |= {"type": "log", "tickvals": [10**m for m in marks], "ticktext": texts}
    return found


def _decades(values: np.ndarray) -> tuple[list[float], list[str]]:
    """Logarithms of 1, 2 and 5 in each decade of some values (1 where decades are many), and how they are written."""
    low, high = float(np.log10(values.min())), float(np.log10(values.max()))
    steps = [0.0] if high - low > 2.5 else np.log10([1.0, 2.0, 5.0]).tolist()
    marks = [d + s for d in range(int(np.floor(low)) - 1, int(np.ceil(high)) + 1) for s in steps]
    marks = [m for m in marks if low - 0.15 <= m <= high + 0.15]
    return marks, [plain_number(float(f"{10**m:.3g}")) for m in marks]


def front(ds: xr.Dataset, names: list[str], by: str) -> Any:
    """A front: two objectives as axes, the third as colour; the configuration at the pointer, its command at a click."""
    go = plotly()
    ds = thinned(ds, MOST)
    scales = [scale(ds[n].values, ds[n].attrs.get("units", "1")) for n in names]
    data = [np.asarray(ds[n].values, dtype=np.float64) / one for n, (one, _) in zip(names, scales)]
    heads = [head(n, unit) for n, (_, unit) in zip(names, scales)]
    texts = [hover(ds, i, names) for i in range(ds.sizes["point"])]
    commands = [command(ds, {"point": i}) for i in range(ds.sizes["point"])]
    groups = labelled(ds[by]).astype(str) if by in ds.coords and ds[by].dims else np.full(ds.sizes["point"], "")
    figure = _figure(430, hovermode="closest")
    third = data[2] if len(data) > 2 else None
    if third is not None:
        figure.update_layout(coloraxis=_colours(third, heads[2]))
    for i, group in enumerate(dict.fromkeys(sorted(groups.tolist()))):
        mine = np.flatnonzero(groups == group)
        marker: dict[str, Any] = {
            "size": 9,
            "symbol": SYMBOLS[i % len(SYMBOLS)],
            "line": {"width": 0.6, "color": "#222222"},
        }
        if third is None:
            marker["color"] = PALETTE[i % len(PALETTE)]
        else:
            marker |= {"color": np.log10(third[mine]) if wide(third) else third[mine], "coloraxis": "coloraxis"}
        figure.add_trace(
            go.Scatter(
                x=data[0][mine].tolist(),
                y=data[1][mine].tolist(),
                mode="markers",
                name=safe(group) if group else "",
                showlegend=bool(group),
                marker=marker,
                customdata=[[texts[k], commands[k]] for k in mine],
                hovertemplate="%{customdata[0]}<extra></extra>",
            )
        )
    figure.update_layout(xaxis=_axis(heads[0], data[0]), yaxis=_axis(heads[1], data[1]))
    return figure


def thinned(ds: xr.Dataset, most: int) -> xr.Dataset:
    """A front evenly thinned, both ends kept."""
    count = ds.sizes["point"]
    return ds if count <= most else ds.isel(point=np.unique(np.linspace(0, count - 1, most).round().astype(np.int64)))


def _colours(values: np.ndarray, text: str) -> dict[str, Any]:
    bar: dict[str, Any] = {"title": {"text": safe(text.replace(r"\$", "$")), "side": "right"}, "thickness": 14}
    if wide(values):
        marks, texts = _decades(values)
        bar |= {"tickvals": marks, "ticktext": texts}
    return {"colorscale": "Viridis", "reversescale": True, "colorbar": bar}


def hover(ds: xr.Dataset, i: int, first: list[str]) -> str:
    """What stands at the pointer: the objectives, then the configuration."""
    names = [*first, *(str(n) for n, v in ds.coords.items() if v.dims and n not in ("point", *first))]
    lines = []
    for n in names:
        value = labelled(ds[n].isel(point=i))[()]
        shown = quantity(value.item() if hasattr(value, "item") else value, ds[n].attrs.get("units", "1"))
        line = f"{safe(n.replace('_', ' '))} {safe(shown)}"
        lines.append(f"<b>{line}</b>" if n in first else line)
    return "<br>".join(lines)


def counts(names: list[str], numbers: list[int]) -> Any:
    """How many configurations each limit stops."""
    go = plotly()
    total = sum(numbers)
    figure = _figure(60 + 34 * len(names), showlegend=False, bargap=0.3)
    figure.add_trace(
        go.Bar(
            x=numbers,
            y=["<br>".join(map(safe, textwrap.wrap(n, 26))) for n in names],
            orientation="h",
            marker={"color": [PALETTE[2] if n == "feasible" else "#8c8c8c" for n in names]},
            text=[f"{n:,} ({n / total:.1%})" for n in numbers],
            textposition="auto",
            cliponaxis=False,
            hovertemplate="%{y}: %{text}<extra></extra>",
        )
    )
    figure.update_layout(xaxis=_axis("configurations"), yaxis=CATEGORIES)
    return figure


def parts(ds: xr.Dataset, whole: str, order: np.ndarray | None = None) -> Any:
    """What an output is made of: a stacked bar for each value of the one axis, or a single one."""
    go = plotly()
    found, total = parts_of(ds, whole), ds[whole]
    fits = works(ds, total).reshape(-1)
    dim = str(total.dims[0]) if total.dims else ""
    labels = ticks(total[dim]) if dim else [""]
    order = np.arange(len(labels)) if order is None else order
    one, unit = scale(total.values, total.attrs.get("units", "1"))
    names = [_row(safe(labels[i]), bool(fits[i])) for i in order]
    figure = _figure(110 + 30 * len(names), barmode="stack", bargap=0.25)
    for i, (part, short) in enumerate(zip(found, plain(list(found)))):
        values = found[part].values.reshape(-1)[order]
        figure.add_trace(
            go.Bar(
                x=(np.nan_to_num(values) / one).tolist(),
                y=names,
                orientation="h",
                name=safe(short),
                marker={
                    "color": PALETTE[i % len(PALETTE)] if part in ds else REST,
                    "pattern": {"shape": ["" if fits[k] else "/" for k in order]},
                },
                text=[quantity(float(v), str(total.attrs.get("units", "1"))) for v in values],
                textposition="none",
                hovertemplate=f"%{{y}}: {safe(short)} %{{text}}<extra></extra>",
            )
        )
    figure.update_layout(
        xaxis=_axis(head(whole, unit)),
        yaxis=CATEGORIES | {"type": "category"},
        legend={"traceorder": "normal"},
    )
    return figure


def _row(label: str, fits: bool) -> str:
    return label if fits else f"{label} (infeasible)".strip()
