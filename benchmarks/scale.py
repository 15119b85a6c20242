"""Searches and stores on workers, measured: `python benchmarks/scale.py [--json] [--quick] [--write]`.

Time is CPU time, of the caller and of its workers (Linux): a shared machine has no wall time.  What is identical is compared, not
assumed.  ``--write`` fills the figures of docs/scale.md, the worked estimate among them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from engine import HARDWARE, MODEL, peak_kilobytes

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "scale.md"
WORKERS = 2
POINTS, CORES = 1e13, 1_000  #: of the worked estimate
FAR, NEAR = "memory_per_device < '80 GB'", ("step_time", "n_accelerators")


def grid(step: int) -> dict[str, Any]:
    """Training configurations, global batch the longest axis: 1.1 billion at a step of 7."""
    return {
        "hardware": HARDWARE,
        "tp": [1, 2, 4, 8],
        "pp": [1, 2, 4, 8, 16],
        "dp": 2 ** np.arange(8),
        "micro_batch": [1, 2, 4, 8],
        "recompute": ["none", "selective", "full"],
        "zero_stage": [0, 1, 3],
        "seq_len": [2048, 4096, 8192, 16384],
        "global_batch": np.arange(64, 65536 + 1, step),
    }


def searches() -> list[Any]:
    """Four of them, for one pass."""
    from mlsysim.search import Best, Pareto, Top

    by = Best("step_time", by="hardware", where=FAR)
    return [Best("step_time"), by, Top(50, "mfu"), Pareto(list(NEAR), where=FAR)]


def cpu_seconds() -> float:
    """Of this process and of all below it, so far."""
    import psutil

    me = psutil.Process()
    times = [p.cpu_times() for p in (me, *me.children(recursive=True))]
    return sum(t.user + t.system for t in times)


class Stop:
    """A `progress` that ends a call after a few parts: its workers have then imported and compiled all they need."""

    def __init__(self) -> None:
        self.told = 0

    def __call__(self, done: int, total: int) -> None:
        self.told += 1
        if self.told > 3 * WORKERS:
            raise KeyboardInterrupt


def asked(client: Any, axes: dict[str, Any]) -> tuple[list[Any], dict[str, float]]:
    """The answers of four searches, and what the call took once all is compiled."""
    import mlsysim as ms

    resolver, parts = ms.DistributedModel(model=MODEL), [0]
    threads = {"threads": WORKERS} if client is None else {"client": client}  # as many cores at work

    def tell(done: int, total: int) -> None:
        parts[0] += 1

    with contextlib.suppress(KeyboardInterrupt):
        resolver.sweep(searches(), plan="nest", progress=Stop(), **threads, **axes)
    if client is not None:  # until each worker has ended what it had begun
        for rest in [client.submit(time.sleep, 0.5 + i / 10) for i in range(WORKERS)]:
            rest.result()
    before, begin = cpu_seconds(), time.perf_counter()
    answers = resolver.sweep(searches(), plan="nest", progress=tell, **threads, **axes)
    seconds = cpu_seconds() - before
    points = int(answers[0].attrs["points"])
    about = {"points": points, "cpu_seconds": seconds, "points_per_s": points / seconds, "parts": parts[0]}
    return answers, about | {"wall_seconds": time.perf_counter() - begin}


def asleep(client: Any) -> float:
    """CPU time in a second of what keeps workers going, while these do nothing."""
    before, begin = cpu_seconds(), time.perf_counter()
    for rest in [client.submit(time.sleep, 10 + i / 10) for i in range(WORKERS)]:
        rest.result()
    return (cpu_seconds() - before) / (time.perf_counter() - begin)


def shared(quick: bool) -> dict[str, Any]:
    """Two threads, two processes and two workers of dask: the same answers, at what cost.

    What a cluster takes while its workers sleep goes with the clock, not with the work: on a machine that others use as well it
    would count several times.  It is told apart.
    """
    axes = grid(4096 if quick else 7)
    alone, figures = asked(None, axes)
    found: dict[str, Any] = {"alone": figures}
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn")) as client:
        answers, found["processes"] = asked(client, axes)
        found["processes"]["asleep"] = asleep(client)
        assert all(a.identical(b) for a, b in zip(alone, answers, strict=True)), "processes answer something else"
    import distributed

    folder = tempfile.mkdtemp()
    with (
        distributed.LocalCluster(
            n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, local_directory=folder
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        answers, found["dask"] = asked(client, axes)
        found["dask"]["asleep"] = asleep(client)
        assert all(a.identical(b) for a, b in zip(alone, answers, strict=True)), "dask answers something else"
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("processes", "dask"):
        own = found[name]
        own["work_seconds"] = own["cpu_seconds"] - own["asleep"] * own["wall_seconds"]
        own["overhead"] = own["work_seconds"] / found["alone"]["cpu_seconds"] - 1.0
        own["cpu_seconds_per_part"] = own["work_seconds"] / own["parts"]
    return found


def shipped(quick: bool) -> dict[str, Any]:
    """Bytes of a call, of what a part is told and of what it answers; seconds in which the caller takes an answer in."""
    import mlsysim as ms
    from mlsysim.search.parts import Parts
    from mlsysim.search.reduce import Pass

    found: dict[str, Any] = {}
    axes = grid(4096 if quick else 64)
    for number, name in enumerate(("best", "best by hardware", "top 50", "front")):
        program = ms.DistributedModel(model=MODEL).program(**axes)
        call = Pass(program, [searches()[number]])
        parts = Parts(
            call.evaluated(program, "plain" if quick else "nest", None, True), call.reductions, call.cells, call.start
        )
        for span in parts.spans.ranges[:2]:
            answer = call.do(span, [None])
            begin = time.process_time()
            parts.take(span, answer)
            took = time.process_time() - begin
        found[name] = {
            "call_bytes": len(pickle.dumps(call)),
            "told_bytes": len(pickle.dumps(parts.hints())),
            "answer_bytes": len(pickle.dumps(answer)),
            "merge_seconds": took,
        }
    return found


def stored(quick: bool) -> dict[str, Any]:
    """More points than 10^8 into a store, in a process of its own, with what it took of memory."""
    import xarray as xr

    import mlsysim as ms

    axes, keep = grid(8192 if quick else 64), ["step_time", "mfu"]
    resolver, path = ms.DistributedModel(model=MODEL), tempfile.mkdtemp()
    before, begin = cpu_seconds(), time.perf_counter()
    ds = resolver.solve(keep=keep, store=path, threads=WORKERS, **axes)
    seconds, wall, peak = cpu_seconds() - before, time.perf_counter() - begin, peak_kilobytes() / 1024
    for at in ({"tp": 1, "pp": 2, "dp": 3, "hardware": 4}, {"tp": 3, "pp": 0, "dp": 7, "hardware": 0}):
        one = resolver.solve(keep=keep, **{**axes, **{name: axes[name][i] for name, i in at.items()}})
        part = ds.isel(at).load()
        assert all(np.array_equal(part[n], one[n].transpose(*part[n].dims), equal_nan=True) for n in one.data_vars)
    files = [f for f in Path(path).rglob("*") if f.is_file()]
    figures = {
        "points": math.prod(ds.sizes.values()),
        "bytes": sum(v.dtype.itemsize * v.size for v in xr.open_zarr(path).data_vars.values()),
        "bytes_on_disk": sum(f.stat().st_size for f in files),
        "files": len(files),
        "cpu_seconds": seconds,
        "wall_seconds": wall,
        "peak_megabytes": peak,
    }
    shutil.rmtree(path)
    return figures


def front(quick: bool) -> dict[str, Any]:
    """The whole front of more than 10^10 points, in a process of its own."""
    import mlsysim as ms

    axes = grid(4096 if quick else 1)
    axes["seq_len"] = [1024, *axes["seq_len"], 32768]
    before, begin = cpu_seconds(), time.perf_counter()
    ds = ms.DistributedModel(model=MODEL).pareto(list(NEAR), where=FAR, **axes)
    return {
        "points": int(ds.attrs["points"]),
        "front": int(ds.sizes["point"]),
        "cpu_seconds": cpu_seconds() - before,
        "wall_seconds": time.perf_counter() - begin,
        "peak_megabytes": peak_kilobytes() / 1024,
    }


APART = {"stored": stored, "front": front}


def apart(name: str, quick: bool) -> dict[str, Any]:
    """A measurement in a process of its own."""
    words = [sys.executable, __file__, "--only", name, *(["--quick"] if quick else [])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(words, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
    return dict(json.loads(run.stdout))


def estimate(figures: dict[str, Any]) -> dict[str, float]:
    """10^13 points on a thousand cores, from what was measured here."""
    from mlsysim.search.parts import MOST

    own, ship = figures["shared"]["dask"], figures["shipped"].values()
    rate = own["points"] / own["work_seconds"]
    answer, merge = sum(s["answer_bytes"] for s in ship), sum(s["merge_seconds"] for s in ship)
    return {
        "rate": rate,
        "parts": MOST,
        "part_seconds": POINTS / MOST / rate,
        "seconds": POINTS / rate / CORES,
        "answers_bytes": MOST * answer,
        "caller_seconds": MOST * merge,
        "calls_bytes": CORES * max(s["call_bytes"] for s in ship),
        "column_bytes": 8.0 * POINTS,
    }


def measure(quick: bool) -> dict[str, Any]:
    """All figures."""
    figures = {"shared": shared(quick), "shipped": shipped(quick)} | {name: apart(name, quick) for name in APART}
    return figures | {"estimate": estimate(figures)}


def table(figures: dict[str, Any]) -> str:
    """The figures as a table in Markdown."""
    s, store, whole = figures["shared"], figures["stored"], figures["front"]
    rows = [
        (
            f"four searches in one pass over {s['alone']['points'] / 1e9:.2f} billion points, {WORKERS} threads of one process",
            f"{s['alone']['cpu_seconds']:.1f} s of CPU time",
        )
    ]
    for name, words in (("processes", f"{WORKERS} processes"), ("dask", f"{WORKERS} workers of dask")):
        own = s[name]
        rows.append(
            (
                f"the same on {words}, in {own['parts']} parts of {own['cpu_seconds_per_part']:.2f} s: identical answers",
                f"{own['work_seconds']:.1f} s, {own['overhead']:+.0%}; {own['asleep']:.0%} of a core even when all sleep",
            )
        )
    for name, one in figures["shipped"].items():
        call = f"the call {one['call_bytes'] / 1e6:.1f} MB, once to each worker"
        text = f"{call}; to and from a part {one['told_bytes']:,} and {one['answer_bytes']:,} bytes"
        rows.append((f"what travels: {name}", text))
    rows += [
        (
            f"`solve` of {store['points'] / 1e6:.0f} million points into a store, {store['bytes'] / 1e9:.1f} GB",
            f"{store['cpu_seconds']:.0f} s of CPU time, at most {store['peak_megabytes']:,.0f} MB of memory; "
            f"{store['bytes_on_disk'] / 1e9:.1f} GB on disk in {store['files']:,} files",
        ),
        (
            f"the front of {whole['points'] / 1e9:.1f} billion points",
            f"{whole['cpu_seconds']:.0f} s of CPU time, at most {whole['peak_megabytes']:,.0f} MB of memory",
        ),
    ]
    return "\n".join(["| what | measured |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows)])


def worked(figures: dict[str, Any]) -> str:
    """The worked estimate in words."""
    e, million = figures["estimate"], figures["estimate"]["rate"] / 1e6
    return (
        f"Those four searches over 10^13 points, at the {million:.1f} million points that one core did in a second above: "
        f"10^13 / {million:.1f} million = {CORES * e['seconds']:,.0f} core seconds, on {CORES:,} cores {e['seconds']:,.0f} s. "
        f"It is {e['parts']:,} parts of {e['part_seconds']:.0f} s, {e['parts'] / CORES:.0f} a core. The call goes out "
        f"{CORES:,} times, {e['calls_bytes'] / 1e6:,.0f} MB in all; {e['answers_bytes'] / 1e6:,.0f} MB of answers come back, "
        f"which take the caller {e['caller_seconds']:.0f} s, meanwhile. Starting the workers, and compiling once for each kind "
        f"of processor, comes on top: seconds to minutes, by the cluster. One output of all points would be "
        f"{e['column_bytes'] / 1e12:.0f} TB: that is why one asks for a best or a front, and stores what is near it."
    )


def fill(text: str, name: str, content: str) -> str:
    """Put something between the marks of a page."""
    mark = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.S)
    assert mark.search(text), f"{PAGE} has no place for {name}"
    return mark.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--quick", action="store_true", help="small grids: checks that everything runs")
    parser.add_argument("--write", action="store_true", help="write the figures of docs/scale.md")
    parser.add_argument("--only", choices=APART, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(APART[options.only](options.quick)))
        return
    figures = measure(options.quick)
    print(json.dumps(figures, indent=2) if options.json else f"{table(figures)}\n\n{worked(figures)}")
    if options.write:
        page = fill(PAGE.read_text(encoding="utf-8"), "measured", table(figures))
        PAGE.write_text(fill(page, "estimate", worked(figures)), encoding="utf-8")


if __name__ == "__main__":
    main()
