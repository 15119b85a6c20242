"""Searches in numba's simulator of CUDA, which must be asked for before numba is imported: `python tests/on_device.py`.

Every answer must be that of the plain plan, to the last bit; one line of JSON tells how many were compared.
"""

import json
import os
import sys
import warnings
from unittest import mock

if __name__ == "__main__":
    os.environ["NUMBA_ENABLE_CUDASIM"] = "1"

import numpy as np
import pandas as pd
import xarray as xr
from toy import ClimbModel, StepModel

import mlsysim as ms
from mlsysim.engine import cuda, device
from mlsysim.resolver import compose
from mlsysim.search import Best, Counts, Pareto, Top

#: axes of real resolvers; of each call some values of some of them are drawn
REAL = {
    ms.ServingModel: (
        {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 2048, "batch_size": 8},
        {"hardware": ["h100", "a100", "mi300x"], "tp": [1, 2, 4], "batch_size": [1, 3, 8, 200], "seq_len": [77, 8192]},
        ["itl", "ttft", "memory_per_device"],
    ),
    ms.DistributedModel: (
        {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 4096, "global_batch": 96},
        {"tp": [1, 2, 3, 4], "pp": [1, 2, 4, 5], "dp": [1, 6, 8], "micro_batch": [1, 2, 3], "zero_stage": [0, 3]},
        ["step_time", "memory_per_device"],
    ),
    ms.SingleNodeModel: (
        {"model": "bert_large", "hardware": "a100", "batch_size": 8},
        {"hardware": ["h100", "a100", "v100"], "batch_size": [1, 7, 64, 500, 4096], "precision": ["fp32", "fp16"]},
        ["latency", "throughput"],
    ),
    ms.EconomicsModel: (
        {"hardware": "h100", "region": "usa", "n_accelerators": 64, "duration": 1e6},
        {"n_accelerators": [8, 9, 64, 512], "duration": [1e5, 1e6, 3e7], "region": ["usa", "swe", "fra"]},
        ["tco"],
    ),
    ms.TailLatencyModel: (
        {"arrival_rate": 10.0, "service_latency": 0.1, "replicas": 4},
        {"arrival_rate": [0.5, 7.0, 33.0, 90.0], "replicas": [1, 2, 5, 30], "service_latency": [0.01, 0.3]},
        ["avg_wait_time", "response_p99"],
    ),
    ms.ScalingModel: (
        {"compute_budget": 1e23, "params": 1e10},
        {"compute_budget": [1e20, 1e22, 3e24], "params": [1e8, 1e9, 7e10, 1e12]},
        ["predicted_loss"],
    ),
}
TOY = {
    "hardware": ["h100", "a100", "mi300x"],
    "global_batch": [7, 49, 60, 98, 196, 343, 588],
    "micro_batch": [1, 2, 7],
    "tp": [1, 2, 7, 14, 49],
    "pp": [1, 7, 11, 77],
    "dp": [1, 2, 7, 11, 98],
    "recompute": ["none", "selective", "full"],
    "sequence_parallel": [False, True],
    "n_accelerators": [7, 98, 1078],
}
compared = 0


def same(resolver, ask, *args, **inputs):
    """Compare an answer of the device with that of the plain plan."""
    global compared
    on_cpu = getattr(resolver, ask)(*args, plan="plain", **inputs)
    on_device = getattr(resolver, ask)(*args, plan="cuda", **inputs)
    for one, other in zip(*((a if isinstance(a, list) else [a]) for a in (on_cpu, on_device))):
        xr.testing.assert_identical(one, other)
        compared += 1
    return on_device


def drawn(rng, pool, fixed, most):
    """A call: some values on some axes, the axes in any order, `most` points at the most."""
    inputs, points = dict(fixed), 1
    for name in rng.permutation(list(pool)):
        values = list(
            rng.choice(np.array(pool[name], dtype=object), rng.integers(1, len(pool[name]) + 1), replace=False)
        )
        if points * len(values) <= most:
            inputs.pop(name, None)
            inputs[str(name)] = values
            points *= len(values)
    return inputs, [name for name in inputs if isinstance(inputs[name], list) and len(inputs[name]) > 1]


def searches(rng, resolver, inputs, axes, objectives):
    """All searches over one grid, in small pieces."""
    by = [str(a) for a in rng.permutation(axes)[: rng.integers(0, 3)]]
    one, last = objectives[0], objectives[-1]
    full = resolver.solve(keep=[last], plan="plain", **inputs)[last].values
    middle = float(np.nanmedian(full)) if np.isfinite(full).any() else 1.0
    where = [None, f"{last} <= {middle!r}", f"{last} < -1"][rng.integers(0, 3)]
    maximize = bool(rng.integers(0, 2))
    reductions = [
        Best(one, maximize, by=by, where=where),
        Top(int(rng.choice([2, 5, 1000])), last, maximize, by=by, where=where, ties=objectives[:-1]),
        Pareto(
            minimize=[o for o in objectives if maximize or o != one], maximize=[] if maximize else [one], where=where
        ),
        Counts(by=by, where=where),
    ]
    same(resolver, "sweep", reductions, **inputs)
    same(resolver, "solve", **inputs)


def grids(rng):
    """Random grids of toys and of real resolvers."""
    for i in range(8):
        resolver = (StepModel, ClimbModel)[i % 2]
        inputs, axes = drawn(rng, TOY, {"hardware": "h100", "global_batch": 588}, 120)
        searches(rng, resolver, inputs, axes, ["itl", "memory_per_device", "energy"])
    for resolver, (fixed, pool, objectives) in REAL.items():
        inputs, axes = drawn(rng, pool, fixed, 60)
        searches(rng, resolver, inputs, axes, objectives)


def ties():
    """Equals, of which the first along the signature wins; and what nothing comes after."""
    grid = {
        "hardware": "h100",
        "pp": [1, 2, 7],
        "tp": [1, 7, 14],
        "micro_batch": [1, 2],
        "global_batch": [98, 196, 588],
    }
    found = same(StepModel, "best", "n_accelerators", False, n_accelerators=9604, **grid)
    assert found["found"] and found["tp"] == 1 and found["global_batch"] == 98 and found.attrs["accepted"] > 20
    same(StepModel, "top", 20, "n_accelerators", False, n_accelerators=9604, **grid)
    same(StepModel, "top", 20, "n_accelerators", False, ties=["memory_per_device"], n_accelerators=9604, **grid)
    front = same(StepModel, "pareto", [], ["n_accelerators"], n_accelerators=9604, **grid)
    assert front["count"].item() == front.attrs["accepted"] > 1
    nothing = same(StepModel, "best", "itl", by="tp", where="itl < 0", **grid)
    assert not nothing["found"].any() and nothing.attrs["accepted"] == 0
    assert same(StepModel, "pareto", ["itl"], where="itl < 0", **grid).sizes["point"] == 0


def shapes():
    """Points of a table and kinds of them, samples, a composition, a single point, more than a launch has room for."""
    rng = np.random.default_rng(5)
    table = pd.DataFrame(
        {name: rng.choice(TOY[name], 60) for name in ("hardware", "tp", "pp", "global_batch", "tdp")[:4]}
    )
    same(StepModel, "top", 4, "itl", points=table, micro_batch=[1, 2])
    with mock.patch("mlsysim.engine.kinds.LEAST", 8):
        same(StepModel, "best", "itl", points=table, micro_batch=[1, 2])
        same(StepModel, "pareto", ["itl", "energy"], points=table, micro_batch=[1, 2])
    serving = {"model": "llama3_1_8b", "hardware": ["h100", "a100"], "seq_len": 2048, "batch_size": [1, 8, 64]}
    same(ms.ServingModel, "best", "itl", sample=6, **serving)
    with mock.patch("mlsysim.engine.solve.TOGETHER", 7):
        same(ms.ServingModel, "solve", quantile=[0.1, 0.5, 0.9], sample=7, **serving)
    same(ms.ServingModel, "pareto", ["itl"], ["tokens_per_s"], sample=5, **serving)
    chain = compose(ms.DistributedModel, ms.EconomicsModel)
    training = {"model": "llama3_1_8b", "tokens": 1e12, "seq_len": 4096, "region": ["usa", "swe"], "dp": [8, 16]}
    same(chain, "best", "tco", by="region", global_batch=512, hardware="h100", tp=[1, 2], **training)
    for ask in (("best", "itl"), ("solve",)):
        same(StepModel, *ask, hardware="h100", global_batch=588)
    grid = {"hardware": "h100", "pp": [1, 7], "tp": [1, 7, 14], "micro_batch": [1, 2], "global_batch": [98, 196, 588]}
    with mock.patch.multiple(device, ROOM=9, BLOCKS=3):
        same(StepModel, "top", 30, "itl", **grid)
        same(StepModel, "pareto", ["itl", "memory_per_device", "energy"], **grid)


def shared(block, shape, dtype):
    """One shared array for each line: in the simulator's own way two lanes may both look, and both make one."""
    return block._allocations.setdefault(sys._getframe(1).f_lineno, np.empty(shape, dtype))


def main():
    sys.setswitchinterval(1e-5)  # the simulator waits for its threads by asking them again and again
    rng = np.random.default_rng(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
    from numba.cuda.simulator import kernelapi  # before warnings are errors: it has one of its own beside NumPy 2.5

    with (
        mock.patch.object(kernelapi.FakeCUDAShared, "array", shared),
        mock.patch("mlsysim.engine.run.TABLE", 1),
        mock.patch.multiple(cuda, LANES=8, STRAIGHT=9),
        mock.patch.multiple(device, WARP=4, ENOUGH=48, FIRST=16),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")
        ties()
        shapes()
        grids(rng)
    print(json.dumps({"compared": compared}))


if __name__ == "__main__":
    main()
