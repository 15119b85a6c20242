"""Speed of the engine, measured: `python benchmarks/engine.py [--json] [--quick] [--write]`.

Every figure is a median of several runs in one process (or of fresh processes where a start is measured),
on one thread unless said.  Ratios compare things measured in the same run; machines are shared and noisy.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
HARDWARE = ["a100_sxm4_80gb", "h100_sxm5_80gb", "h200_sxm_141gb", "b200_sxm_180gb", "mi300x"]
MODEL = "llama3_1_70b"


def grid(quick: bool = False) -> dict[str, Any]:
    """118 million training configurations, global batch the longest axis."""
    return {
        "hardware": HARDWARE[: 2 if quick else 5],
        "tp": [1, 2, 4, 8],
        "pp": [1, 2, 4, 8, 16],
        "dp": 2 ** np.arange(8),
        "micro_batch": [1, 2, 4, 8],
        "recompute": ["none", "selective", "full"],
        "zero_stage": [0, 1, 3],
        "seq_len": [2048, 4096, 8192, 16384][: 1 if quick else 4],
        "global_batch": np.arange(64, 65536 + 1, 4096 if quick else 64),
    }


def layouts(quick: bool = False) -> dict[str, Any]:
    """Layouts at one global batch: tp, pp, dp and micro-batch are the longest axes, nothing else to hoist over."""
    if quick:
        return grid(True)
    return {
        "hardware": HARDWARE[:2],
        "tp": np.arange(1, 17),
        "pp": np.arange(1, 41),
        "dp": np.arange(1, 257),
        "micro_batch": np.arange(1, 17),
        "recompute": ["none", "selective", "full"],
        "zero_stage": [0, 1],
        "seq_len": 8192,
        "global_batch": 5040,
    }


def huge(quick: bool = False) -> dict[str, Any]:
    """More than a thousand million configurations."""
    if quick:
        return grid(True)
    return {**grid(), "global_batch": np.arange(8, 8 * 8704 + 1, 8)}


def many(low: float, high: float, n: int) -> np.ndarray:
    """`n` different values."""
    return np.geomspace(low, high, n)


#: A grid of about a million points of every other model, and what is minimized over it; the continuous axes vary
#: everywhere, so that nothing is hoisted that a user's sweep would not hoist.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "SingleNodeModel": (
        "latency",
        {
            "model": "llama3_1_8b",
            "hardware": HARDWARE,
            "batch_size": np.arange(1, 513),
            "seq_len": np.arange(128, 50000, 128),
        },
    ),
    "EfficiencyModel": (
        "achievable_flops",
        {
            "model": "llama3_1_8b",
            "hardware": HARDWARE,
            "batch_size": np.arange(1, 513),
            "seq_len": np.arange(128, 50000, 128),
        },
    ),
    "ServingModel": (
        "itl",
        {
            "model": MODEL,
            "hardware": HARDWARE,
            "batch_size": np.arange(1, 1025),
            "seq_len": np.arange(128, 8193, 128),
            "output_len": 512,
            "tp": [2, 4, 8],
        },
    ),
    "ContinuousBatchingModel": (
        "itl",
        {
            "model": MODEL,
            "hardware": ["h100_sxm5_80gb", "h200_sxm_141gb"],
            "tp": [4, 8],
            "seq_len": [512, 2048],
            "output_len": [128, 512],
            "prompt_cv": 0.5,
            "max_batch": np.arange(8, 264, 4),
            "arrival_rate": many(0.01, 50, 4096),
        },
    ),
    "WeightStreamingModel": (
        "layer_compute_time",
        {
            "model": MODEL,
            "hardware": "cerebras_wse3",
            "batch_size": np.arange(1, 1025),
            "seq_len": np.arange(16, 16385, 16),
        },
    ),
    "TailLatencyModel": (
        "avg_wait_time",
        {"arrival_rate": many(0.1, 90, 4096), "service_latency": 0.1, "replicas": np.arange(1, 257)},
    ),
    "DataModel": (
        "stall_fraction",
        {"hardware": "h100", "workload_data_rate": many(1e8, 1e11, 1024), "storage_bandwidth": many(1e9, 1e11, 1024)},
    ),
    "TransformationModel": (
        "transform_time",
        {"batch_size": np.arange(1, 1025), "step_time": many(0.01, 10, 1024), "cores": 64.0, "sample_cpu_time": 0.01},
    ),
    "TopologyModel": (
        "effective_bw",
        {
            "fabric": "infiniband_ndr",
            "topology": "fat_tree",
            "n_nodes": np.arange(2, 4098),
            "oversubscription": many(1, 8, 256),
        },
    ),
    "ScalingModel": ("predicted_loss", {"compute_budget": many(1e20, 1e26, 1024), "params": many(1e8, 1e12, 1024)}),
    "InferenceScalingModel": (
        "total_reasoning_time",
        {
            "model": "llama3_1_8b",
            "hardware": "h100",
            "reasoning_steps": np.arange(1, 257),
            "tokens_per_step": np.arange(16, 1040, 16),
            "batch_size": np.arange(1, 65),
        },
    ),
    "CompressionModel": (
        "compression_ratio",
        {
            "model": "llama3_1_8b",
            "hardware": "h100",
            "bits": [2, 3, 4, 5, 6, 8],
            "group_size": np.arange(16, 528, 1),
            "batch_size": np.arange(1, 401),
        },
    ),
    "DistributedModel": (
        "step_time",
        {
            "model": MODEL,
            "hardware": HARDWARE,
            "tp": [1, 2, 4, 8],
            "pp": [1, 2, 4, 8],
            "dp": np.arange(1, 65),
            "global_batch": np.arange(64, 16385, 64),
            "seq_len": 8192,
        },
    ),
    "ReliabilityModel": (
        "completion_time",
        {
            "fleet": "dgx_h100",
            "job_duration": many(1e4, 1e8, 1024),
            "n_accelerators": np.arange(8, 8200, 8),
            "checkpoint_write_time": 60.0,
        },
    ),
    "OrchestrationModel": (
        "avg_wait_time",
        {
            "fleet": "dgx_h100",
            "arrival_rate": many(1e-5, 1e-2, 1024),
            "avg_duration": many(600, 6e5, 1024),
            "n_accelerators": 1024,
            "devices_per_job": 64,
        },
    ),
    "EconomicsModel": (
        "tco",
        {
            "hardware": "h100",
            "region": "usa",
            "n_accelerators": np.arange(8, 8200, 8),
            "duration": many(1e5, 1e9, 1024),
        },
    ),
    "SustainabilityModel": (
        "carbon",
        {
            "hardware": "h100",
            "region": "usa",
            "n_accelerators": np.arange(8, 8200, 8),
            "duration": many(1e5, 1e9, 1024),
        },
    ),
    "CheckpointModel": (
        "mfu_penalty",
        {
            "model": MODEL,
            "hardware": "h100",
            "n_accelerators": np.arange(8, 8200, 8),
            "checkpoint_interval": many(60, 1e5, 1024),
        },
    ),
    "ResponsibleEngineeringModel": (
        "dp_training_time",
        {
            "base_training_time": many(1e3, 1e7, 65536),
            "noise_multiplier": many(0.5, 5, 16),
            "batch_size": 256,
            "dataset_size": 60000,
            "epochs": 60,
        },
    ),
}


#: models that loop inside: what loops is staged on its own axes where it has fewer of them, or runs in lanes
LOOPS = {
    "ContinuousBatchingModel": "the fixed point of a server, percentiles",
    "TailLatencyModel": "Erlang-C at every load and number of servers",
    "OrchestrationModel": "Erlang-C of gangs",
    "ResponsibleEngineeringModel": "a privacy accountant of 16 noise levels, staged",
}


def each_model(ms, quick: bool) -> dict[str, dict[str, float]]:
    """Points per second of every model over about a million points, one thread; what loops is timed as its own stage."""
    found = {}
    for name, (objective, axes) in MODELS.items():
        resolver = ms.RESOLVERS[name]
        if quick:
            axes = {k: v[:: max(1, len(v) // 4)] if isinstance(v, (list, np.ndarray)) else v for k, v in axes.items()}
        plan = "plain" if quick else "nest"
        ask = functools.partial(resolver.best, objective, maximize=False, threads=1, plan=plan, **axes)
        if not quick:
            ask(), ask()  # compiled, and the point that wins written as a function of numbers
        seconds, best = median_time(ask, 1 if quick else 3)
        found[name] = {"points": best.attrs["points"], "points_per_s": best.attrs["points"] / seconds}
    return found


def untimed() -> str:
    """The models that have no grid here, in brackets; empty where every one has."""
    import mlsysim as ms
    from mlsysim.resolver import Model

    missing = [name for name, resolver in ms.RESOLVERS.items() if isinstance(resolver, Model) and name not in MODELS]
    return f" (not timed: {', '.join(missing)})" if missing else ""


def median_time(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Median wall time of `work`, and its last result."""
    times, result = [], None
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return statistics.median(times), result


#: calls of one point, as somebody's loop makes them
POINTS: dict[str, dict[str, Any]] = {
    "ServingModel": {"model": MODEL, "hardware": "h100", "tp": 8, "batch_size": 32, "seq_len": 2048},
    "DistributedModel": {
        "model": MODEL,
        "hardware": "h100",
        "n_accelerators": 1024,
        "tp": 8,
        "pp": 4,
        "global_batch": 1024,
        "seq_len": 4096,
    },
    "ContinuousBatchingModel": {
        "model": MODEL,
        "hardware": "h100",
        "tp": 8,
        "seq_len": 1024,
        "output_len": 256,
        "prompt_cv": 0.5,
        "max_batch": 64,
        "arrival_rate": 2.0,
    },
}


def cpu_time(work: Callable[[], Any], repeats: int, times: int = 1) -> float:
    """Median seconds of CPU time of this process that one of `times` runs of `work` takes."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        for _ in range(times):
            work()
        found.append((time.process_time() - start) / times)
    return statistics.median(found)


def calls(ms, quick: bool) -> dict[str, Any]:
    """What one call costs, in CPU time: a point by `solve` and by a function, and a search apart from its points."""
    repeats = 3 if quick else 21
    solve = {}
    for name, inputs in POINTS.items():
        ask = functools.partial(ms.RESOLVERS[name].solve, **inputs)
        ask(), ask()  # recorded, and written as a function of numbers
        solve[name] = cpu_time(ask, repeats)
    inputs = {k: v for k, v in POINTS["ServingModel"].items() if k != "batch_size"}
    function = ms.ServingModel.function("batch_size", **inputs)
    each = cpu_time(lambda: function(32.0), repeats, 100 if quick else 10_000)
    resolver, axes = ms.DistributedModel(model=MODEL), grid(quick)
    best = functools.partial(resolver.best, "step_time", threads=1, plan="nest", **axes)
    few = functools.partial(
        resolver.best, "step_time", threads=1, plan="nest", **{**axes, "global_batch": axes["global_batch"][:8]}
    )
    best(), few()
    call, whole = cpu_time(few, min(repeats, 5)), cpu_time(best, min(repeats, 5))
    points = math.prod(np.size(v) for v in axes.values())
    return {
        "solve_seconds": solve,
        "function_seconds": each,
        "function_calls_per_s": 1 / each,
        "solve_over_function": solve["ServingModel"] / each,
        "search_seconds": call,
        "search_seconds_per_point": max(whole - call, 0.0) / points,
    }


def searches(ms, quick: bool) -> dict[str, Any]:
    """One warm `solve` of an optimizer with a large design space, CPU time: a question, its counts and its runner-up."""
    serve = {"model": MODEL, "seq_len": 2048, "output_len": 256, "target_ttft": "2 s", "target_itl": "25 ms"}
    train = {"model": MODEL, "hardware": "h100", "seq_len": 8192, "global_batch": 2048}
    asked = {
        "ParallelismOptimizer": train | {"n_accelerators": 16 if quick else 16384},
        "DisaggregationOptimizer": serve
        | dict.fromkeys(("hardware", "decode_hardware"), HARDWARE[: 1 if quick else 5]),
    }
    if quick:
        asked["DisaggregationOptimizer"] |= {
            "decode_batch": [8, 64],
            "prefill_replicas": [1, 8],
            "decode_replicas": [2, 4],
        }
    found = {}
    for name, inputs in asked.items():
        ask = functools.partial(ms.RESOLVERS[name].solve, threads=1, plan="plain" if quick else "nest", **inputs)
        ask()
        points = ask().attrs["points"]
        seconds = cpu_time(ask, 1 if quick else 9)
        found[name] = {"points": points, "seconds": seconds, "points_per_s": points / seconds}
    return found


def rows(ms, quick: bool) -> dict[str, Any]:
    """Rows of a table of random configurations with device labels through `best`, and through the compiled nest alone."""
    import pandas as pd

    from mlsysim.engine.run import Sweep
    from mlsysim.search import Best

    n, rng = 5_000 if quick else 3_000_000, np.random.default_rng(0)
    columns = {"tp": 2 ** rng.integers(0, 4, n), "pp": 2 ** rng.integers(0, 4, n), "dp": rng.integers(1, 65, n)}
    columns |= {"micro_batch": rng.integers(1, 9, n), "global_batch": rng.integers(64, 65536, n)}
    frame = pd.DataFrame({"hardware": np.array(HARDWARE)[rng.integers(0, 5, n)], **columns, "seq_len": 8192})
    frame = frame.astype({"hardware": "category"})
    resolver, plan = ms.DistributedModel(model=MODEL), "plain" if quick else "nest"
    ask = functools.partial(resolver.best, "step_time", points=frame, threads=1, plan=plan)
    ask()
    program = resolver.program(points=frame)
    sweep = Sweep(program, Best("step_time").columns(program), plan=plan)
    call, nest = cpu_time(ask, 3), cpu_time(lambda: sweep.run(threads=1), 3)
    return {"rows": n, "rows_per_s": n / call, "nest_rows_per_s": n / nest, "share_of_nest": nest / call}


def streamed(ms, axes: dict[str, Any], repeats: int) -> dict[str, Any]:
    """`best("step_time")` through the public call, one thread."""
    resolver = ms.DistributedModel(model=MODEL)
    start = time.perf_counter()
    resolver.best("step_time", threads=1, plan="nest", **axes)
    first = time.perf_counter() - start
    seconds, best = median_time(lambda: resolver.best("step_time", threads=1, plan="nest", **axes), repeats)
    points = best.attrs["points"]
    return {
        "points": points,
        "seconds": seconds,
        "first_call_seconds": first,
        "points_per_s": points / seconds,
        "feasible_share": best.attrs["accepted"] / points,
    }


def stored(ms, axes: dict[str, Any], repeats: int, outputs: int | None = None) -> dict[str, Any]:
    """All outputs (or the first few) stored, against filling the same, already touched arrays with a constant."""
    from mlsysim.engine.label import dtype
    from mlsysim.engine.run import Sweep
    from mlsysim.engine.solve import axes_of

    program = ms.DistributedModel(model=MODEL).program(**axes)
    nodes = dict(list(program.available()[0].items())[:outputs])
    full = {}
    for name, node in nodes.items():
        points = math.prod(program.sizes[a] for a in axes_of(program, node))
        full[name] = np.ones(points, dtype=np.uint8 if dtype(name) is np.bool_ else dtype(name))
    sweep = Sweep(program, list(nodes.values()), plan="nest", stored=list(full.values()))
    sweep.run(threads=1)
    ratios, times, fills = [], [], []
    for _ in range(repeats):
        start = time.perf_counter()
        for array in full.values():
            array.fill(2)
        middle = time.perf_counter()
        sweep.run(threads=1)
        end = time.perf_counter()
        fills.append(middle - start)
        times.append(end - middle)
        ratios.append(fills[-1] / times[-1])
    whole, seconds = program.n_points, statistics.median(times)
    return {
        "points": whole,
        "outputs": len(nodes),
        "bytes": sum(a.nbytes for a in full.values()),
        "seconds": seconds,
        "fill_seconds": statistics.median(fills),
        "points_per_s": whole / seconds,
        "share_of_constant_fill": statistics.median(ratios),
    }


def broadcasting(ms, quick: bool) -> dict[str, Any]:
    """The same physics in broadcasting NumPy (the kernel called with whole arrays) against the streamed nest."""
    axes = {
        **grid(),
        "hardware": ["h100_sxm5_80gb"],
        "seq_len": [8192],
        "global_batch": np.arange(64, 65536 + 1, 16384 if quick else 2048),
    }
    program = ms.DistributedModel(model=MODEL).program(**axes)
    names = list(program.axes)

    def whole(node):
        if node is None or isinstance(node, tuple):
            return node if node is None else type(node)(*map(whole, node))
        if node.op == "const":
            return np.float64(node.payload)
        return program.leaf_array(node)

    arguments = {k: whole(v) for k, v in program.arguments.items()}

    def numpy_way():
        with np.errstate(all="ignore"):
            out = ms.DistributedModel.kernel.function(**arguments)
            return np.min(np.broadcast_to(np.where(out.feasible, out.step_time, np.inf), program.shape))

    seconds, least = median_time(numpy_way, 1 if quick else 3)
    best = ms.DistributedModel(model=MODEL).best("step_time", threads=1, **axes)
    assert float(best.step_time) == float(least) or not bool(best.found), "NumPy and the engine disagree"
    return {"points": program.n_points, "axes": names, "seconds": seconds, "points_per_s": program.n_points / seconds}


def fresh(code: str, repeats: int, **environment: str) -> float:
    """Median wall time of a fresh interpreter that runs `code`."""
    env = {**os.environ, **environment, "PYTHONPATH": str(ROOT)}
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, env=env, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


ONE_POINT = (
    "import mlsysim as ms\n"
    f"ms.DistributedModel.solve(model='{MODEL}', hardware='h100', tp=8, pp=4, dp=8, global_batch=1024, micro_batch=1, "
    "seq_len=8192)"
)


def starts(repeats: int) -> dict[str, Any]:
    """Import and first answers, in fresh interpreters."""
    base = fresh("import xarray, numba", repeats)
    ours = fresh("import mlsysim", repeats)
    with tempfile.TemporaryDirectory() as cold:
        point = fresh(ONE_POINT, repeats, MLSYSIM_CACHE=cold)
    return {
        "import_xarray_numba_seconds": base,
        "import_seconds": ours,
        "import_ratio": ours / base,
        "first_point_cold_seconds": point,
        "first_point_minus_import": point - ours,
    }


def compiling(quick: bool) -> dict[str, Any]:
    """The same large sweep in a fresh interpreter, with an empty and with a filled kernel cache."""
    large = f"ms.DistributedModel(model='{MODEL}').best('step_time', plan='nest', **engine.grid())"
    small = (
        "ms.CheckpointModel.best('checkpoint_size', plan='nest', model='gpt2', hardware='h100', n_accelerators=[8, 64])"
    )
    code = f"import sys; sys.path.insert(0, 'benchmarks')\nimport engine, mlsysim as ms\n{small if quick else large}"
    with tempfile.TemporaryDirectory() as folder:
        cold = fresh(code, 1, MLSYSIM_CACHE=folder)
        warm = fresh(code, 1 if quick else 3, MLSYSIM_CACHE=folder)
    return {"cold_seconds": cold, "warm_seconds": warm, "compile_seconds": cold - warm}


def peak_kilobytes() -> int:
    """Peak resident memory of this process (`ru_maxrss` would count the parent's before exec)."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0])
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def memory(quick: bool) -> dict[str, Any]:
    """Peak memory of a streamed `best`, in a process of its own."""
    text = "quick=True" if quick else ""
    code = (
        "import sys, json, time; sys.path.insert(0, 'benchmarks')\n"
        "import engine, mlsysim as ms\nt = time.perf_counter()\n"
        f"b = ms.DistributedModel(model='{MODEL}').best('step_time', **engine.huge({text}))\n"
        "print(json.dumps([int(b.attrs['points']), engine.peak_kilobytes(), time.perf_counter() - t]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    points, peak, seconds = json.loads(run.stdout)
    return {
        "points": points,
        "peak_megabytes": peak / 1024,
        "seconds": seconds,
        "points_per_s_all_cores": points / seconds,
    }


def measure(quick: bool = False) -> dict[str, Any]:
    """All figures."""
    import mlsysim as ms

    repeats = 1 if quick else 5
    figures: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "numpy": np.__version__},
        "argmin": streamed(ms, grid(quick), repeats),
        "layouts": streamed(ms, layouts(quick), repeats),
    }
    store = {**grid(quick), "global_batch": np.arange(64, 65536 + 1, 8192 if quick else 736)}
    figures["stored"] = stored(ms, store, repeats, 3 if quick else None)
    figures["numpy"] = broadcasting(ms, quick)
    figures["argmin_over_numpy"] = figures["argmin"]["points_per_s"] / figures["numpy"]["points_per_s"]
    figures["start"] = starts(1 if quick else 3)
    figures["compile"] = compiling(quick)
    figures["models"] = each_model(ms, quick)
    figures["memory"] = memory(quick)
    figures["calls"] = calls(ms, quick)
    figures["searches"] = searches(ms, quick)
    figures["rows"] = rows(ms, quick)
    return figures


def slowest_to_fastest(rates: list[float]) -> str:
    """The slowest, the median and the fastest of some rates."""
    low, middle, high = (f(rates) / 1e6 for f in (min, statistics.median, max))
    return f"{low:.0f} to {high:.0f} M points/s, median {middle:.0f}"


def of_searches(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Lines of the searches."""
    return [
        (
            f"`{name}.solve`, {v['points'] / 1e6:.1f} M configurations evaluated, CPU time",
            f"{v['seconds'] * 1e3:.0f} ms, {v['points_per_s'] / 1e6:.1f} M/s",
        )
        for name, v in figures["searches"].items()
    ]


def table(figures: dict[str, Any], readme: bool = False) -> str:
    """The figures, all of them or those that the README shows."""
    a, lay, s, n, st, c, m, one, r = (
        figures[k] for k in ("argmin", "layouts", "stored", "numpy", "start", "compile", "memory", "calls", "rows")
    )
    rows = [
        (
            "`best` of the full DistributedModel, one core",
            f"{a['points'] / 1e6:.0f} M points, {a['points_per_s'] / 1e6:.0f} M points/s",
        ),
        (
            "the same, layouts only",
            f"{lay['points'] / 1e6:.0f} M points, {lay['points_per_s'] / 1e6:.0f} M points/s",
        ),
        (
            f"all {s['outputs']} outputs stored",
            f"{s['points_per_s'] / 1e6:.0f} M points/s, {s['share_of_constant_fill']:.0%} of filling the arrays with a constant",
        ),
        (
            "against broadcasting NumPy",
            f"{figures['argmin_over_numpy']:.0f} x ({n['points_per_s'] / 1e6:.2f} M points/s)",
        ),
        (
            f"every other closed form, a million points or more, one core{untimed()}",
            slowest_to_fastest([v["points_per_s"] for k, v in figures["models"].items() if k not in LOOPS]),
        ),
        (
            f"models that loop: {', '.join(k.removesuffix('Model') for k in LOOPS)}",
            ", ".join(f"{figures['models'][k]['points_per_s'] / 1e6:.1f}" for k in LOOPS) + " M points/s",
        ),
        (
            f"`best` over {m['points'] / 1e9:.2f} thousand million points",
            f"{m['peak_megabytes']:.0f} MB peak, {m['seconds']:.0f} s on all cores",
        ),
        (
            "one warm `solve` of one point, CPU time",
            ", ".join(f"{k.removesuffix('Model')} {v * 1e3:.1f} ms" for k, v in one["solve_seconds"].items()),
        ),
        (
            "`ServingModel.function('batch_size', ...)`, all outputs",
            f"{one['function_calls_per_s']:,.0f} calls/s, {one['solve_over_function']:.0f} x `solve`",
        ),
        (
            "`best` of the full DistributedModel, CPU time",
            f"{one['search_seconds'] * 1e3:.0f} ms a call + {one['search_seconds_per_point'] * 1e9:.2f} ns a point",
        ),
        (
            f"`points=` of {r['rows'] / 1e6:.0f} M random rows with devices",
            f"{r['rows_per_s'] / 1e6:.1f} M rows/s, {r['share_of_nest']:.0%} of it in the compiled nest",
        ),
        ("import, against xarray and numba alone", f"{st['import_seconds']:.2f} s, {st['import_ratio']:.2f} x"),
        ("first large sweep, cold / warm cache", f"{c['cold_seconds']:.1f} s / {c['warm_seconds']:.1f} s"),
    ]
    rows += [] if readme else of_searches(figures)
    return "\n".join(["| what | measured |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--quick", action="store_true", help="tiny grids: checks that everything runs")
    parser.add_argument("--write", action="store_true", help="write the README's table")
    options = parser.parse_args()
    figures = measure(options.quick)
    print(json.dumps(figures, indent=2) if options.json else table(figures))
    if options.write:
        from readme import fill

        fill("speed", table(figures, readme=True))


if __name__ == "__main__":
    main()
