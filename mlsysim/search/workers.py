"""Parts of one call on the workers of somebody else: an executor of `concurrent.futures`, or a dask cluster.

A call is something with ``do(part, hint)``; a part is a few numbers, and what `do` gives for it a small answer.  A worker keeps
the call under its token, so that it travels once to each: one that does not have it says so, and gets it with the part.  Threads
of this process find it where it lies, and nothing is pickled.  Which worker does what, and what becomes of the parts of one that
dies, is the executor's own affair.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from itertools import islice
from queue import SimpleQueue
from typing import Any, Protocol

from mlsysim.engine.memo import Memo
from mlsysim.schema.check import one_line, shown
from mlsysim.version import __version__

KEPT = 1e9  #: bytes of calls that a worker keeps
AHEAD = 2  #: parts that are handed out for each worker, so that none waits for the next
MANY = 128  #: workers of an executor that does not say how many it has
FEW = 2  #: parts that are handed out where there is no worker yet: a cluster may grow with its work
COUNTED = 5.0  #: seconds after which workers are counted again
INLINE = (
    1 << 20
)  #: bytes of a call up to which it goes along with a part; a longer one is scattered where that can be done


class Call(Protocol):
    """What is done part by part."""

    def do(self, part: Any, hint: Any) -> Any:
        """The answer of a part; `hint` is what the others have found so far."""
        ...


class WorkerDied(RuntimeError):
    """A worker died, and its executor does not do its part again."""


own: dict[str, Call] = {}  #: calls of this process, by token
received: Memo[tuple[Call, int]] = Memo(KEPT, lambda kept: kept[1])  #: calls of others, by token, each with its size


def executor(client: Any) -> Executor:
    """What hands parts to workers."""
    if isinstance(client, Executor):
        return client
    if hasattr(client, "get_executor") and not getattr(client, "asynchronous", False):
        return client.get_executor()
    raise TypeError(
        f"client={shown(client)}: must be an executor, as in concurrent.futures.ProcessPoolExecutor(8), or a Client of "
        "dask.distributed that is not asynchronous"
    )


def either(client: Any, threads: int | None) -> None:
    """Refuse what is no client, and threads beside one."""
    if client is not None:
        executor(client)
        if threads is not None:
            raise TypeError(f"threads={shown(threads)} is for this process alone: with client= there are its workers")


def number(client: Any) -> int:
    """How many parts its workers do at a time."""
    if hasattr(client, "nthreads"):
        return max(1, sum(client.nthreads().values()))
    return int(getattr(client, "_max_workers", MANY))


def each(
    client: Any, call: Call, parts: Iterable[Any], hint: Callable[[], Any] = lambda: None
) -> Iterator[tuple[Any, Any]]:
    """Every part with its answer, as soon as a worker has it.

    Parameters
    ----------
    client : concurrent.futures.Executor or distributed.Client
    call : Call
    parts : iterable
    hint : callable
        What a part is told of what was found until it is handed out.

    Raises
    ------
    TypeError
        `client` is something else, or the call cannot be pickled.
    WorkerDied
    """
    pool, token, waiting = executor(client), uuid.uuid4().hex, iter(parts)
    done: SimpleQueue[Future[Any]] = SimpleQueue()
    handed: dict[Future[Any], Any] = {}
    carried: Any = None  #: the call, once a worker has asked for it
    counted, most = time.monotonic(), _abreast(client)
    first = max(FEW, most // AHEAD)  #: each of these asks for the call

    def hand(part: Any, carried: Any = None) -> None:
        try:
            future = pool.submit(work, token, __version__, carried, part, hint())
        except BrokenExecutor as error:
            raise _died(error) from None
        except RuntimeError as error:  # it was shut down
            raise ValueError(f"client={shown(client)}: {error}") from None
        handed[future] = part
        future.add_done_callback(done.put)

    own[token] = call
    try:
        for part in islice(waiting, first):
            hand(part)
        while handed:
            future = done.get()
            part, answer = handed.pop(future), _answer(future)
            if answer is None:
                carried = _carried(client, call) if carried is None else carried
                hand(part, carried)
                continue
            yield part, answer[0]
            if time.monotonic() - counted > COUNTED:
                counted, most = time.monotonic(), _abreast(client)
            for part in islice(waiting, max(0, most - len(handed))):
                hand(part)
    finally:
        del own[token]
        for future in handed:
            future.cancel()


def work(token: str, version: str, carried: bytes | None, part: Any, hint: Any) -> tuple[Any] | None:
    """What a worker does for a part: its answer, or None where it does not have the call."""
    if version != __version__:
        raise ValueError(f"client: a worker has mlsysim {__version__}, and this is {version}: install the same there")
    call = own.get(token)
    if call is None:
        kept = received.get(token)
        if kept is None and carried is None:
            return None
        if kept is None and carried is not None:
            import pickle

            kept = (pickle.loads(carried), len(carried))
            received.put(token, kept)
        assert kept is not None
        call = kept[0]
    return (call.do(part, hint),)


def _abreast(client: Any) -> int:
    """How many parts are handed out at a time."""
    return max(FEW, AHEAD * number(client))


def _carried(client: Any, call: Call) -> Any:
    """A call as it travels; functions and classes of a script or a notebook by value, where cloudpickle is there."""
    try:
        from cloudpickle import dumps
    except ImportError:
        from pickle import dumps
    try:
        content = dumps(call)
    except Exception as error:  # whatever a reduction of a user's own holds
        raise TypeError(f"client: this call cannot be sent to a worker: {one_line(str(error), 200)}") from error
    if len(content) > INLINE and hasattr(client, "scatter"):
        return client.scatter(content, broadcast=True)
    return content


def _answer(future: Future[Any]) -> tuple[Any] | None:
    """What a worker said, or why it says nothing."""
    try:
        return future.result()
    except BrokenExecutor as error:
        raise _died(error) from None
    except CancelledError:
        raise WorkerDied("client: a part was cancelled: the executor, or the cluster, was shut down") from None
    except Exception as error:
        if type(error).__name__ == "KilledWorker":  # of distributed, which is not imported for the sake of its name
            raise _died(error) from None
        raise


def _died(error: Exception) -> WorkerDied:
    return WorkerDied(
        f"client: a worker died, killed or out of memory ({type(error).__name__}): with resume=, the same call on a new "
        "client goes on from the parts that are done"
    )
