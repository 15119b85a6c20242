"""The page: everything in one file that opens without a network."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from mlsysim.report import facts, figures
from mlsysim.report.sections import Section, section
from mlsysim.report.tables import text
from mlsysim.schema import check

STYLE = """
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1080px;padding:1rem 1.2rem 3rem;font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;
color:#1a1a1a;background:#fff}
h1{font-size:1.6rem;line-height:1.25;margin:.6rem 0;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2rem 0 .5rem;border-top:1px solid #ddd;padding-top:1rem}
h3{font-size:1rem;margin:1.2rem 0 .2rem}
nav{font-size:.9rem;margin:.5rem 0 1rem}nav a{margin-right:.8rem;color:#00598c;display:inline-block}
.picture{width:100%;min-height:90px;overflow:hidden}
.scroll{overflow-x:auto;margin:.5rem 0}
table{border-collapse:collapse;font-size:.85rem}
th,td{padding:.25rem .6rem;text-align:left;border-bottom:1px solid #e5e5e5;vertical-align:top}
th{color:#555;font-weight:600;vertical-align:bottom}
.n{text-align:right;font-variant-numeric:tabular-nums}
tr.out td{color:#777;font-style:italic}
.pass,.fail{font-weight:700;color:#fff;border-radius:4px;padding:.05rem .45rem}
.pass{background:#00785a}.fail{background:#b84d00}
.hint,footer{color:#555;font-size:.85rem}
.command{display:block;overflow-wrap:anywhere;background:#f4f4f4;padding:.5rem .7rem;border-radius:4px;font-size:.8rem}
.command[hidden]{display:none}
button{font:inherit;font-size:.8rem;border:1px solid #999;background:#fff;border-radius:4px;cursor:pointer;padding:.1rem .5rem}
details{margin:.4rem 0}.source{font-size:.85rem;margin:.5rem 0;overflow-wrap:anywhere}summary{cursor:pointer}li{font-size:.85rem}
img{max-width:100%;height:auto}
#said{position:fixed;left:50%;bottom:1rem;transform:translateX(-50%);max-width:92vw;background:#1a1a1a;color:#fff;
padding:.5rem .9rem;border-radius:6px;font-size:.8rem;overflow-wrap:anywhere;opacity:0;transition:opacity .2s;pointer-events:none}
#said.on{opacity:1}
@media(max-width:600px){body{padding:.6rem .7rem 2rem;font-size:15px}h1{font-size:1.3rem}}
@media print{nav,button,#said,.hint{display:none}body{max-width:none;padding:0;font-size:11px}h2,h3{break-after:avoid}
.picture,tr,img{break-inside:avoid}.scroll{overflow:visible}table{font-size:9px}}
"""

SCRIPT = """
function say(t){var s=document.getElementById("said");s.textContent=t;s.className="on";clearTimeout(s.timer);
s.timer=setTimeout(function(){s.className=""},2500)}
function copy(t){function old(){var a=document.createElement("textarea");a.value=t;document.body.appendChild(a);a.select();
var done=false;try{done=document.execCommand("copy")}catch(e){}a.remove();say((done?"copied: ":"")+t)}
if(navigator.clipboard&&navigator.clipboard.writeText){navigator.clipboard.writeText(t).then(function(){say("copied: "+t)},old)}
else{old()}}
function narrow(l){if(window.innerWidth<600){if(l.coloraxis&&l.coloraxis.colorbar){var b=l.coloraxis.colorbar;b.orientation="h";
b.y=-0.22;b.yanchor="top";b.title.side="bottom";l.height=(l.height||400)+70}if(l.font){l.font.size=11}}return l}
function draw(id,d){var e=document.getElementById(id);Plotly.newPlot(e,d[0],narrow(d[1]),
{responsive:true,displayModeBar:false}).then(function(){
e.on("plotly_click",function(c){var p=c.points[0].customdata,t=p&&p[1];if(t){copy(t);
var k=document.getElementById(id+"-command");if(k){k.textContent=t;k.hidden=false}}})})}
document.addEventListener("click",function(c){var b=c.target.closest&&c.target.closest("button.copy");
if(b){copy(b.getAttribute("data-command"))}});
window.addEventListener("beforeprint",function(){document.querySelectorAll("details").forEach(function(d){d.open=true});
document.querySelectorAll(".picture").forEach(function(p){Plotly.Plots.resize(p)})});
"""
#: nothing is fetched: no address outside the file can be loaded, whatever stands in it
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; worker-src blob:"
)


def report(content: Any, path: str | os.PathLike[str], *, title: str = "") -> str:
    """Write answers as one HTML file that opens without a network and can be passed on.

    Parameters
    ----------
    content : Dataset, or sequence of parts
        A part is a Dataset (a front is drawn with its configurations to point at and copy; counts by limit as bars; the best of
        each, one configuration and grids as tables, with where time, memory, money and carbon go), a DataFrame, matplotlib
        Axes, text, or a pair ``(heading, part)``.
    path : str or path
        Ends in ``.html``; what is there is replaced.
    title : str
        Default: the resolver and the model of the first Dataset.

    Returns
    -------
    str
        The path.  What was assumed, derived and left out, and the sources of models, devices, systems and grids stand at the
        end of the page.

    Raises
    ------
    ImportError
        plotly is not installed.
    TypeError, ValueError
        A part that is none of these, nothing to show, or a path that does not end in ``.html``.

    Examples
    --------
    >>> import mlsysim as ms
    >>> front = ms.ServingModel.pareto(["itl", "usd_per_mtok"], model="llama3_1_8b", hardware=["h100", "a100"],
    ...     batch_size=range(1, 65), seq_len=2048)
    >>> ms.report(front, "front.html")                                        # doctest: +SKIP
    'front.html'
    >>> ms.report([("What we asked", "Which device serves it for less?"), front], "front.html")  # doctest: +SKIP
    'front.html'
    """
    figures.plotly()
    target = os.fspath(path)
    if not isinstance(target, str) or not target.lower().endswith((".html", ".htm")):
        raise ValueError(f"path={check.shown(target)}: the name must end in .html")
    if not isinstance(title, str):
        raise TypeError(f"title={check.shown(title)}: must be text")
    parts = _parts(content)
    answers = [
        part
        for part in (p[1] if isinstance(p, tuple) and len(p) == 2 else p for p in parts)
        if hasattr(part, "data_vars")
    ]
    made = [section(part, i) for i, part in enumerate(parts)]
    for heading, body in (
        ("What was assumed", facts.assumed(answers)),
        ("What was derived and left out", facts.notes(answers)),
        ("Sources", facts.sources(answers)),
    ):
        if body:
            made.append(Section(heading, body))
    with open(target, "w", encoding="utf-8") as handle:
        handle.write(_page(made, title or _title(answers), answers))
    return target


def _parts(content: Any) -> Sequence[Any]:
    pair = isinstance(content, tuple) and len(content) == 2 and isinstance(content[0], str)
    parts = list(content) if isinstance(content, (list, tuple)) and not pair else [content]
    if not parts:
        raise ValueError("content is empty: give a Dataset or a list of them")
    return parts


def _title(answers: Sequence[Any]) -> str:
    for ds in answers:
        named = [str(ds[n].values) for n in ("model", "hardware") if n in ds.coords and not ds[n].dims]
        return ": ".join(part for part in (str(ds.attrs.get("resolver", "")), " on ".join(named)) if part) or "mlsysim"
    return "mlsysim"


def _page(made: Sequence[Section], title: str, answers: Sequence[Any]) -> str:
    from plotly.offline import get_plotlyjs

    links = " ".join(f'<a href="#s{i}">{text(s.heading)}</a>' for i, s in enumerate(made) if s.heading)
    body = "".join(
        f'<section id="s{i}">{f"<h2>{text(s.heading)}</h2>" if s.heading else ""}{s.body}</section>'
        for i, s in enumerate(made)
    )
    versions = dict.fromkeys(
        f"mlsysim {ds.attrs['version']}, data {ds.attrs.get('data', '')}" for ds in answers if "version" in ds.attrs
    )
    calls = dict.fromkeys(f"{ds.attrs.get('resolver', '')}: {ds.attrs['call']}" for ds in answers if "call" in ds.attrs)
    asked = "".join(f"<p>{text(call)}</p>" for call in calls)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{text(title)}</title><style>{STYLE}</style>"
        f"<script>{get_plotlyjs()}</script><script>{SCRIPT}</script></head>\n"
        f"<body><h1>{text(title)}</h1><nav>{links}</nav>{body}"
        f"<footer><h2>What was asked</h2>{asked}<p>{text('; '.join(versions))}</p></footer>"
        '<div id="said" role="status"></div></body></html>\n'
    )
