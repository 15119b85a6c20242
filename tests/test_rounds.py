"""Compiling under stress: together, in threads, across a fork, killed, interrupted and on a full disk.

One round of each runs with the suite; ``pytest tests/test_rounds.py --rounds 10`` tries harder.
"""

import contextlib
import os
import random
import signal
import subprocess
import textwrap
import time

import pytest
from forked import Child

CALLS = """
    import os, signal, sys, threading, time, warnings
    import numpy as np
    from toy import BillModel, ClimbModel, StepModel
    from mlsysim.engine import cache, forks

    BILL = dict(duration=np.arange(1.0, 60.0), energy=[1e3, 1e6, 1e9], n_accelerators=[1, 8, 64], budget=5.0)
    STEP = dict(hardware="h100", global_batch=[49, 98, 588], dp=[1, 3, 7, 49], tp=[1, 2, 7])

    def bill(plan="nest"):
        return float(BillModel.best("tco", plan=plan, **BILL).tco)

    def being_compiled():
        while forks._lock.acquire(blocking=False):
            forks._lock.release()
            time.sleep(0.001)
"""
ANSWER = "assert bill() == bill('plain'); print('right')"


@pytest.fixture
def rounds(request):
    return range(request.config.getoption("--rounds"))


@pytest.fixture
def cold(tmp_path):
    """A new cache each time it is asked for."""
    numbers = iter(range(10_000))
    return lambda: tmp_path / f"cache-{next(numbers)}"


def start(cache, script, kind="compiler", **more):
    script = textwrap.dedent(CALLS) + textwrap.dedent(script)
    return Child(script, kind, {"MLSYSIM_CACHE": str(cache)}, **more)


def finish(process):
    code, out, err = process.finish()
    assert code == 0, err
    return out.split(), err


def unfinished(cache):
    return [p.name for p in cache.iterdir() if not p.name.endswith(".kernel") or p.name.startswith(".")]


def test_eight_processes_that_start_cold_together(rounds, cold):
    for _ in rounds:
        cache = cold()
        for out, err in [finish(p) for p in [start(cache, ANSWER) for _ in range(8)]]:
            assert (out, err) == (["right"], "")
        assert not unfinished(cache) and len(list(cache.iterdir())) == 1


def test_eight_threads_with_different_calls(rounds, cold):
    script = """
        calls = [
            lambda plan: StepModel.best("itl", plan=plan, **STEP).itl,
            lambda plan: StepModel.top(5, "energy", plan=plan, **STEP).energy,
            lambda plan: ClimbModel.best("itl", plan=plan, **STEP).itl,
            lambda plan: ClimbModel.solve(plan=plan, keep="itl", **STEP).itl,
            lambda plan: BillModel.best("tco", plan=plan, **BILL).tco,
            lambda plan: BillModel.top(3, "carbon", plan=plan, **BILL).carbon,
            lambda plan: BillModel.solve(plan=plan, keep="tco", **BILL).tco,
            lambda plan: BillModel.best("tco", plan=plan, **BILL).tco,
        ]
        plain = [call("plain") for call in calls]
        found = [None] * len(calls)

        def work(i):
            found[i] = calls[i]("nest")

        threads = [threading.Thread(target=work, args=[i]) for i in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for a, b in zip(plain, found):
            np.testing.assert_array_equal(a, b)
        print("right")
    """
    for _ in rounds:
        cache = cold()
        assert finish(start(cache, script)) == (["right"], "")
        assert not unfinished(cache)


FORK = """
    warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of every fork beside threads
    forks.settle()  # an import, unlike a compilation, is nothing that a child can do without
    {patience}
    thread = threading.Thread(target=lambda: StepModel.best("itl", plan="nest", **STEP))
    thread.start()
    being_compiled()
    child = os.fork()
    if child == 0:
        compiles = cache.compiler()
        right = bill() == bill("plain") and int(StepModel.best("itl", plan="nest", **STEP).found) == 1
        os._exit(10 + compiles if right else 1)
    thread.join()
    _, status = os.waitpid(child, 0)
    assert cache.compiler() and bill() == bill("plain")
    print(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_forked_during_a_compilation_answers(rounds, cold):
    for _ in rounds:
        cache = cold()
        assert finish(start(cache, FORK.format(patience=""), "package"))[0] == ["11"], (
            "it waits for the compiler, and has one"
        )
        assert not unfinished(cache)
        late = start(cold(), FORK.format(patience="forks.PATIENCE = 0.0"), "package")
        assert finish(late)[0] == ["10"], "a child that could not wait answers without a compiler"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGINT"])
def test_a_process_that_is_ended_during_a_compilation_leaves_nothing(rounds, cold, name):
    from mlsysim.engine import folder

    script = """
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the one who started the tests ignores
        threading.Thread(target=lambda: (being_compiled(), print("compiling", flush=True)), daemon=True).start()
        bill()
        print("done", flush=True)
        time.sleep(600)
    """
    for i in rounds:
        cache = cold()
        process = start(cache, script, "package")  # numba is imported in the midst of it
        process.wait_for("compiling\n")
        time.sleep(random.Random(i).uniform(0.0, 2.0) if i else 0.1)
        process.kill(getattr(signal, name))
        assert process.finish()[0] != 0
        if cache.is_dir():
            for file in cache.iterdir():
                if file.name.startswith("."):  # killed in the midst of writing: swept when it is old
                    os.utime(file, (time.time() - 2 * folder.STALE,) * 2)
            folder.sweep(cache)
            assert not unfinished(cache)
        assert finish(start(cache, ANSWER)) == (["right"], "")
        assert not unfinished(cache)


@contextlib.contextmanager
def full(cache, how):
    """A folder that takes no kernel: files are limited, or a disk has no room, or no room for another file."""
    if how == "limit":
        yield {"limit": 4096}
        return
    cache.mkdir(mode=0o700)
    size = {"space": "size=16k,mode=700", "inodes": "size=1m,nr_inodes=1,mode=700"}[how]
    mount = ["mount", "-t", "tmpfs", "-o", size, "none", str(cache)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk of its own cannot be mounted here")
    try:
        yield {}
    finally:
        subprocess.run(["umount", str(cache)], check=True)


@pytest.mark.skipif(os.name != "posix", reason="limits and mounts are those of POSIX")
@pytest.mark.parametrize("how", ["limit", "space", "inodes"])
def test_a_disk_that_is_full_costs_a_warning(rounds, cold, how):
    for _ in rounds:
        cache = cold()
        with full(cache, how) as more:
            out, err = finish(start(cache, ANSWER, **more))
            assert out == ["right"] and err.count("RuntimeWarning") == 1 and str(cache) in err
            assert not list(cache.iterdir())
