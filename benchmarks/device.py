"""The plan of a GPU, measured on one: `python benchmarks/device.py [--quick]`, a few minutes.

Prints one object of JSON: of each search whether its answer is the CPU's to the last bit, the seconds of the first call
(with compiling), of later ones and of the walk alone, and points a second.  Where no device answers it says so in a line.
``--quick`` takes small grids, for numba's simulator (``NUMBA_ENABLE_CUDASIM=1``).
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from engine import HARDWARE, MODEL, grid, huge, layouts

import mlsysim as ms
from mlsysim.engine import cuda, device
from mlsysim.search import Best, Pareto, Top
from mlsysim.search.reduce import Cells

REPEATS = 5
FRONT = ["step_time", "memory_per_device"]


def vast() -> dict[str, Any]:
    """About 10^11 configurations, of which a CPU is not asked."""
    return {
        **grid(),
        "tp": np.arange(1, 17),
        "pp": np.arange(1, 33),
        "dp": np.arange(1, 129),
        "seq_len": 8192,
        "global_batch": np.arange(16, 65537, 16)[:4096],
    }


def scattered(rows: int) -> dict[str, Any]:
    """Random configurations: nothing depends on fewer axes than all."""
    rng = np.random.default_rng(0)
    columns = {
        "tp": 2 ** rng.integers(0, 4, rows),
        "pp": 2 ** rng.integers(0, 4, rows),
        "dp": rng.integers(1, 65, rows),
    }
    columns |= {"micro_batch": rng.integers(1, 9, rows), "global_batch": rng.integers(64, 65536, rows)}
    frame = pd.DataFrame({"hardware": np.array(HARDWARE)[rng.integers(0, 5, rows)], **columns, "seq_len": 8192})
    return {"points": frame.astype({"hardware": "category"})}


def short(axes: dict[str, Any]) -> dict[str, Any]:
    """The first two values of every axis."""
    if "points" in axes:
        return {"points": axes["points"].iloc[:200]}
    return {name: values if np.ndim(values) == 0 else list(values)[:2] for name, values in axes.items()}


def cases() -> dict[str, tuple[Any, Any, bool]]:
    """By name: a reduction, its axes, and whether the CPU is asked too."""
    return {
        "headline": (Best("step_time"), grid(), True),
        "huge": (Best("step_time"), huge(), True),
        "vast": (Best("step_time"), vast(), False),
        "where, by": (Best("step_time", by="hardware", where="memory_per_device < 60e9"), grid(), True),
        "top": (Top(100, "step_time", ties=["memory_per_device"]), grid(), True),
        "pareto": (Pareto(FRONT), grid(), True),
        "layouts": (Best("step_time"), layouts(), True),
        "layouts, pareto": (Pareto(FRONT), layouts(), True),
        "random points": (Best("step_time"), scattered(3_000_000), True),
    }


def timed(ask: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """The median of some runs in seconds, and the last answer."""
    took = []
    for _ in range(repeats):
        start = time.perf_counter()
        answer = ask()
        took.append(time.perf_counter() - start)
    return statistics.median(took), answer


def walked(resolver: Any, reduction: Any, axes: dict[str, Any], repeats: int) -> dict[str, Any]:
    """The walk that looks for the least point, alone: seconds, registers, and what was fused in it, which must be nothing."""
    program = resolver.program(**axes)
    cells, columns = Cells(program, reduction.by), reduction.columns(program)
    prepared = device.Device(program, columns, cells.by, cells.strides, 0)
    seconds, _ = timed(lambda: list(prepared.least()), repeats + 1)
    walk = device.compiled(prepared.walk.picking(cuda.least(prepared.width, 0), prepared.at))
    found: dict[str, Any] = {"walk_seconds": seconds, "walk_points_per_s": program.n_points / seconds}
    if hasattr(walk, "inspect_asm"):  # not in the simulator
        found["registers"] = max(walk.get_regs_per_thread().values())
        found["spilled_bytes"] = max(walk.get_local_mem_per_thread().values())
        found["fused"] = sum(text.count("fma.rn.f64") for text in walk.inspect_asm().values())
    return found


def measured(resolver: Any, reduction: Any, axes: dict[str, Any], on_cpu: bool, repeats: int) -> dict[str, Any]:
    """One search on the device, and on the CPU where it is asked too."""

    def ask(plan: str) -> Any:
        return resolver.sweep([reduction], plan=plan, **axes)[0]

    first, _ = timed(lambda: ask("cuda"), 1)
    seconds, answer = timed(lambda: ask("cuda"), repeats)
    points = answer.attrs["points"]
    found = {"points": points, "first_call_seconds": first, "seconds": seconds, "points_per_s": points / seconds}
    if isinstance(reduction, Best) and not reduction.where:
        found |= walked(resolver, reduction, axes, repeats)
    if on_cpu:
        found["equal"] = bool(answer.identical(ask("nest")))
        found["cpu_seconds"], _ = timed(lambda: ask("nest"), min(repeats, 3))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    try:
        api = device.api()
    except (ImportError, ValueError) as error:
        print(f"nothing measured: {error}")
        return
    resolver = ms.DistributedModel(model=MODEL)
    name = getattr(api.get_current_device(), "name", b"simulator")
    found: dict[str, Any] = {"device": name.decode() if isinstance(name, bytes) else str(name)}
    for case, (reduction, axes, on_cpu) in cases().items():
        try:
            found[case] = measured(resolver, reduction, short(axes) if quick else axes, on_cpu, 1 if quick else REPEATS)
        except Exception as error:  # the other cases are measured all the same
            found[case] = f"{type(error).__name__}: {error}"
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
