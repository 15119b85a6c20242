"""Processes that start at once: forked from one that has imported the package.

A process spends most of its time on imports, and most tests that need one are not about them.  A *template* imports
once and forks a child for every `start`.  The child has the environment, the streams and the script that it is given,
and ends as any interpreter does.  What is about the start of an interpreter starts one.
"""

import atexit
import contextlib
import functools
import gc
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PATIENCE = 300  #: seconds after which a process hangs
#: what a child does not have of the environment of the tests, unless it is given
OWN = ("MLSYSIM_", "NUMBA_", "XDG_")
LEFT = "|"  #: a stream whose reader has gone
#: what a template has done before it forks
TEMPLATES = {
    "package": "import toy",
    "command": """
from mlsysim.cli.commands import app
from terminal import runner
for words in ("zoo hardware", "solve single_node model=llama3_1_8b hardware=h100 --json"):  # they import late what they need
    assert runner().invoke(app, words.split()).exit_code == 0
""",
    "compiler": "import toy, numba; numba.njit('f8(f8)')(lambda x: x + 1.0)",  # the first compilation sets LLVM up
}


@functools.cache
def _template(kind):
    env = {k: v for k, v in os.environ.items() if not k.startswith(OWN)}
    env |= {
        "PYTHONPATH": f"{TESTS.parent}{os.pathsep}{TESTS}",
        "PYTHONDONTWRITEBYTECODE": "1",  # of sources that a test edits twice in a second
        "OPENBLAS_NUM_THREADS": "1",  # nothing but the main thread is there when it forks
    }
    server = subprocess.Popen([sys.executable, __file__, kind], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    atexit.register(server.communicate)  # closes its input, at which it ends
    return server


def _ask(server, **order):
    server.stdin.write(json.dumps(order).encode() + b"\n")
    server.stdin.flush()
    if not select.select([server.stdout], [], [], PATIENCE)[0]:
        return None
    return int(server.stdout.readline())


class Child:
    """A process, and what it writes."""

    def __init__(self, script, kind="package", env=(), path=(), streams=(), limit=0):
        self.folder = Path(tempfile.mkdtemp(prefix="mlsysim-child-"))
        self.streams = {"0": os.devnull, "1": str(self.folder / "1"), "2": str(self.folder / "2"), **dict(streams)}
        self.server = _template(kind)
        order = {"script": script, "env": dict(env), "path": list(map(str, path)), "limit": limit}
        self.pid = _ask(self.server, streams=self.streams, **order)

    def kill(self, number):
        os.kill(self.pid, number)

    def text(self, stream):
        """What it has written to a stream so far."""
        path = self.folder / str(stream)
        return path.read_text() if path.exists() else ""

    def wait_for(self, text):
        """Until it has written so much."""
        end = time.monotonic() + PATIENCE
        while self.text(1) != text:
            if time.monotonic() > end:
                self.kill(9)
                raise AssertionError(f"it does not say {text!r}: {self.finish()}")
            time.sleep(0.001)

    def finish(self):
        """Its exit code (a signal that ended it is negative), and what it wrote to its streams."""
        code = _ask(self.server, wait=self.pid)
        if code is None:
            self.kill(9)
            raise AssertionError(f"it hangs: {self.text(1)}{self.text(2)}")
        out, err = self.text(1), self.text(2)
        shutil.rmtree(self.folder)
        return code, out, err


# --- inside the template --------------------------------------------------------------------------------------


def _lines(handle):
    """Lines of a pipe, without a buffer that a child would share."""
    rest = b""
    while more := os.read(handle, 1 << 16):
        *whole, rest = (rest + more).split(b"\n")
        yield from whole


def _stream(number, path):
    """One of the three streams as the interpreter makes it at its start; None where the shell has closed it."""
    if path is None:
        with contextlib.suppress(OSError):
            os.close(number)
        return None
    if path == LEFT:
        reader, handle = os.pipe()
        os.close(reader)
    else:
        handle = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    if handle != number:
        os.dup2(handle, number)
        os.close(handle)
    made = open(number, "w" if number else "r", closefd=False, encoding="utf-8")  # noqa: SIM115 - it stays open
    if number == 2:
        made.reconfigure(errors="backslashreplace", line_buffering=True)
    return made


def _serve():
    """Fork for every order, answer with numbers; returns in the children only, with their order."""
    answers = os.dup(1)
    for line in _lines(0):
        order = json.loads(line)
        if "wait" in order:
            answer = os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1])
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = os.fork()
            if answer == 0:
                os.close(answers)
                return order
        os.write(answers, b"%d\n" % answer)
    return None


def _become(order):
    """Take the place that the order describes."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        made = _stream(number, order["streams"][str(number)])
        setattr(sys, name, made)
        setattr(sys, f"__{name}__", made)
    os.environ.update(order["env"])
    sys.path[:0] = order["path"]
    sys.argv[:] = ["-c"]
    if order["env"].get("PYTHONWARNINGS"):
        warnings.simplefilter(order["env"]["PYTHONWARNINGS"])
    if order["limit"]:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


if __name__ == "__main__":
    exec(TEMPLATES[sys.argv[1]], {})
    gc.freeze()  # nobody looks through what all children share when one ends
    order = _serve()
    if order is not None:
        _become(order)
        exec(compile(order["script"], "<child>", "exec"), {"__name__": "__main__"})
