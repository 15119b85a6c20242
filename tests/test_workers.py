"""Workers answer what one process answers, to the last bit; what cannot be sent, or dies, is told."""

import multiprocessing
import os
import pickle
import threading
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from test_interrupt import GRID, stop_at
from test_resume import QUESTIONS, RUN, files
from toy import ClimbModel, StepModel

import mlsysim as ms
from mlsysim.engine import elsewhere
from mlsysim.engine.run import Sweep
from mlsysim.search import Best, Counts, Pareto, Top, workers
from mlsysim.search.reduce import Pass

FOUR = [Best("itl"), Best("energy", False, by="tp", where="dp > 3"), Top(50, "itl"), Pareto(["itl", "energy"])]


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr("mlsysim.engine.run.PLAIN_TILE", 200)


class Pickling(Executor):
    """Threads that get all by pickles, as a worker on another machine does, and have no memory of this process."""

    def __init__(self):
        self.pool, self._max_workers, self.sent = ThreadPoolExecutor(2), 2, []

    def submit(self, function, token, *rest):
        message = pickle.dumps((function, f"elsewhere {token}", *rest))
        self.sent.append(len(message))
        return self.pool.submit(self._called, message)

    @staticmethod
    def _called(message):
        function, *given = pickle.loads(message)
        return pickle.loads(pickle.dumps(function(*given)))


@pytest.fixture
def pickling():
    client = Pickling()
    yield client
    client.pool.shutdown()


@pytest.mark.parametrize("question", QUESTIONS)
def test_workers_answer_what_one_process_answers(question, pickling):
    whole = QUESTIONS[question](**RUN, **GRID)
    assert QUESTIONS[question](client=pickling, **RUN, **GRID).identical(whole)
    assert len(pickling.sent) > 10 and sum(size > 4000 for size in pickling.sent) <= 4  # the call goes once to each


def rows(n):
    generator = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "hardware": generator.choice(["h100", "mi300x", "a100"], n),
            "tp": generator.choice([1, 2, 4, 7], n),
            "micro_batch": generator.integers(1, 50, n),
        }
    )


@pytest.mark.parametrize("plan", ["plain", "generic", "nest"])
def test_every_plan_and_kinds_of_points_go_elsewhere(plan, pickling):
    asked = {"points": rows(9000), "global_batch": [588, 1176], "pp": range(1, 9), "plan": plan}
    searches = [Best("itl", by="global_batch"), Counts(by="pp"), Pareto(["itl", "energy"])]
    alone = StepModel.sweep(searches, **asked)
    shared = StepModel.sweep(searches, client=pickling, **asked)
    assert all(a.identical(b) for a, b in zip(alone, shared, strict=True))


def test_where_nothing_can_be_compiled_the_plain_plan_walks_the_tiles_of_the_nest(monkeypatch, pickling):
    whole = StepModel.sweep(FOUR, plan="nest", **GRID)
    program = StepModel.program(**GRID)
    assert Pass(program, FOUR).evaluated(program, "nest", None, True).plan == "nest"
    compiled, received = elsewhere.cache.compiled, []

    def there(text, signature):
        received.append(text)
        return compiled(text, signature) if threading.current_thread() is threading.main_thread() else None

    monkeypatch.setattr("mlsysim.engine.cache.compiled", there)
    shared = StepModel.sweep(FOUR, plan="nest", client=pickling, **GRID)
    assert received and all(a.identical(b) for a, b in zip(whole, shared, strict=True))


def test_what_is_sent_is_arithmetic_alone():
    program = ClimbModel.program(**GRID)
    sweep = Sweep(program, [program.output("itl")], plan="plain")
    content = pickle.dumps(sweep)
    assert b"h100" not in content and b"Model" not in content and b"stage" not in content
    twin = pickle.loads(content)
    both = [(one, one.scratch()) for one in (sweep, twin)]
    for lo, hi in sweep.blocks():
        [here], [there] = (one.evaluate(lo, hi, scratch) for one, scratch in both)
        assert np.array_equal(here.columns, there.columns)


def test_a_part_heeds_what_the_others_have_found():
    program, told = StepModel.program(**GRID), []
    asked = Pass(program, FOUR)
    sweep = asked.evaluated(program, "plain", 300, True)
    n = sweep.layout.n_tiles
    first, states = asked.do((0, n), [None] * 4), asked.start()
    for reduction, cells, state, i in zip(FOUR, asked.cells, states, range(4)):
        own = {name.partition(".")[2]: array for name, array in first.items() if name.startswith(f"{i}.")}
        reduction.merge(state, reduction.unpack(own, cells))
        told.append(reduction.hint(state))
    parts = [(lo, lo + n // 4) for lo in range(0, n, n // 4)]
    for key in ("0.keys", "2.keys", "3.points"):
        alone, heeding = ([len(asked.do(part, hints)[key]) for part in parts] for hints in ([None] * 4, told))
        assert sum(heeding) < sum(alone), key
    for part in parts:
        alone, heeding = asked.do(part, [None] * 4), asked.do(part, told)
        assert all(np.array_equal(heeding[k], alone[k]) for k in ("0.points", "1.points", "1.verdicts", "3.seen"))


def test_several_searches_and_optimizers_share_their_parts_too(pickling):
    base = {"hardware": "h100", "global_batch": 588}
    layouts = {
        "model": "llama3_1_8b",
        "hardware": "h100",
        "seq_len": 4096,
        "global_batch": 512,
        "n_accelerators": [32, 64],
    }
    for ask in (
        lambda **more: ms.ParallelismOptimizer.solve(**layouts, **more),
        lambda **more: StepModel.best("itl", sample=3, tp=[1, 2, 7], micro_batch=range(1, 40), **base, **more),
        lambda **more: StepModel.pareto(["itl", "energy"], sample=3, tp=[1, 2], **base, **more),
    ):
        before = len(pickling.sent)
        assert ask(client=pickling).identical(ask()) and len(pickling.sent) > before


# --- with resume, progress and Ctrl-C ------------------------------------------------------------------------


def test_parts_that_are_done_are_never_done_again(tmp_path, pickling, monkeypatch):
    whole, told = StepModel.best("itl", **RUN, **GRID), []
    asked = {"resume": tmp_path, "client": pickling, **RUN, **GRID}
    with pytest.raises(KeyboardInterrupt) as caught:
        StepModel.best("itl", progress=stop_at(0.5), **asked)
    assert caught.value.partial.attrs["partial"].endswith("points")
    before, calls = files(tmp_path), len(pickling.sent)
    assert 5 < len(before) < 30
    assert StepModel.best("itl", progress=lambda done, total: told.append((done, total)), **asked).identical(whole)
    after = files(tmp_path)
    assert before.items() <= after.items() and len(pickling.sent) - calls <= len(after) - len(before) + 2
    assert told == sorted(told) and told[-1][0] == told[-1][1] and len(told) == len(after) - len(before)
    assert StepModel.best("itl", resume=tmp_path, **RUN, **GRID).identical(whole) and files(tmp_path) == after


# --- what goes wrong -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "reason"),
    [
        (4, "client=4: must be an executor, as in concurrent.futures.ProcessPoolExecutor(8)"),
        ("tcp://head:8786", "client='tcp://head:8786': must be an executor"),
        (SimpleNamespace(get_executor=list, asynchronous=True), "that is not asynchronous"),
    ],
)
def test_something_else_than_an_executor_is_refused(client, reason):
    with pytest.raises(TypeError) as told:
        StepModel.best("itl", client=client, **GRID)
    assert reason in str(told.value) and "\n" not in str(told.value)


def test_threads_beside_a_client_are_refused():
    with ThreadPoolExecutor(1) as client, pytest.raises(TypeError, match="threads=3 is for this process alone"):
        StepModel.best("itl", client=client, threads=3, **GRID)


def test_an_executor_that_is_shut_down_is_told():
    client = ThreadPoolExecutor(1)
    client.shutdown()
    with pytest.raises(ValueError, match=r"client=.*cannot schedule new futures after shutdown"):
        StepModel.best("itl", client=client, **GRID)


def test_another_version_on_a_worker_is_told(pickling, monkeypatch):
    with pytest.raises(ValueError, match=f"a worker has mlsysim {ms.__version__}, and this is 9.9"):
        workers.work("token", "9.9", None, (0, 1), None)


class Locked(Best):
    """A reduction of a user's own that holds what cannot be pickled."""

    def __init__(self):
        super().__init__("itl")
        self.lock = threading.Lock()


def test_what_cannot_be_sent_is_told_and_threads_do_not_mind(pickling):
    with pytest.raises(TypeError, match=r"client: this call cannot be sent to a worker: .*lock"):
        StepModel.sweep([Locked()], client=pickling, **GRID)
    with ThreadPoolExecutor(2) as client:
        assert StepModel.sweep([Locked()], client=client, **GRID)[0].identical(StepModel.best("itl", **GRID))
    assert not workers.own


class Deadly(Best):
    """A reduction at which a worker dies, as one does that is out of memory."""

    def take(self, state, block, columns, cells):
        if multiprocessing.parent_process() is not None and block.tiles[0] > 10:
            os._exit(1)
        super().take(state, block, columns, cells)


def test_an_error_of_a_part_is_that_of_the_call(pickling, monkeypatch):
    monkeypatch.setattr("mlsysim.search.pareto.MOST", 3)
    with pytest.raises(ValueError, match="more than 3 configurations are on the front"):
        StepModel.pareto(["itl", "energy", "memory_per_device"], client=pickling, **RUN, **GRID)
    assert not workers.own


def test_two_processes_answer_what_one_does_and_a_death_is_told(tmp_path):
    whole = StepModel.sweep(FOUR, **RUN, **GRID)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as client:
        shared = StepModel.sweep(FOUR, client=client, **RUN, **GRID)
        assert all(a.identical(b) for a, b in zip(shared, whole, strict=True))
        with pytest.raises(workers.WorkerDied, match="with resume=, the same call on a new client goes on"):
            StepModel.sweep([Deadly("itl")], client=client, resume=tmp_path, **RUN, **GRID)
    assert StepModel.sweep([Best("itl")], **RUN, **GRID)[0].identical(whole[0])


def test_a_worker_of_dask_holds_memory_that_it_frees(monkeypatch):
    asked = []
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace(mallopt=lambda *of: asked.append(of)))
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    workers._hold_memory()
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")  # somebody's own choice
    workers._hold_memory()
    assert not asked
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    workers._hold_memory()
    assert asked == [(-1, workers.HELD), (-3, workers.HELD)]


# --- dask ----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_cluster_of_dask_answers_what_one_process_does(tmp_path):
    distributed = pytest.importorskip("distributed")
    settings = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "worker_dashboard_address": None}
    with (
        distributed.LocalCluster(processes=False, **settings) as cluster,
        distributed.Client(cluster) as client,
    ):
        whole = StepModel.sweep(FOUR, **RUN, **GRID)
        shared = StepModel.sweep(FOUR, client=client, resume=tmp_path, **RUN, **GRID)
        assert all(a.identical(b) for a, b in zip(shared, whole, strict=True)) and len(files(tmp_path)) == 32
        assert workers.number(client) == 2
        program = StepModel.program(**GRID)
        call = Pass(program, FOUR)
        call.evaluated(program, "plain", None, True)
        call.ballast = np.zeros(workers.INLINE)  # too long to go along with a part
        carried = workers._carried(client, call)
        assert client.submit(workers.work, "token", ms.__version__, carried, (0, 2), [None] * 4).result()[0].keys()


class Losing(Pickling):
    """A cluster that loses the call with the worker that held it."""

    def __init__(self, often):
        super().__init__()
        self.often = often

    def submit(self, function, token, version, carried, *rest):
        if carried is not None and self.often:
            self.often -= 1
            lost = Future()
            lost.cancel()
            lost.set_running_or_notify_cancel()
            return lost
        return super().submit(function, token, version, carried, *rest)


def test_what_a_cluster_has_lost_is_sent_again_and_not_for_ever():
    whole = StepModel.best("itl", **RUN, **GRID)
    client = Losing(3)
    with client.pool:
        assert StepModel.best("itl", client=client, **RUN, **GRID).identical(whole) and not client.often
    client = Losing(1000)
    with client.pool, pytest.raises(workers.WorkerDied, match="a part was cancelled: the executor, or the cluster"):
        StepModel.best("itl", client=client, **RUN, **GRID)
