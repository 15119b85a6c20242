"""What a shell may do to the streams of a command: close them, fill them, stop reading."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from forked import LEFT, Child

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a shell and /dev/full")

COMMANDS = {
    "short": "--version",
    "long": "zoo hardware",
    "table": "solve serving model=llama3_1_8b hardware=h100 seq_len=100 batch_size=1:3",
    "json": "solve serving model=llama3_1_8b hardware=h100 seq_len=100 batch_size=1:3 --json",
    "bad": "solve serving model=no_such_model seq_len=100",
}
EXPECTED = {"short": 0, "long": 0, "table": 0, "json": 0, "bad": 1}
#: streams by their number, as a shell says it and as a child takes it: None is closed
STREAMS = {
    ">&-": {"1": None},
    ">/dev/full": {"1": "/dev/full"},
    "2>&-": {"2": None},
    "2>/dev/full": {"2": "/dev/full"},
    "<&-": {"0": None},
    ">&- 2>&- <&-": {"0": None, "1": None, "2": None},
}


def shell(words, streams):
    """Exit code of the command and what it wrote to both streams; started by a shell."""
    command = f"{sys.executable} -c 'from mlsysim.cli import main; main()' {words} {streams}"
    where = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=where, timeout=300)
    return done.returncode, done.stdout, done.stderr


def forked(words, streams):
    """The same of a child that has its streams as the interpreter makes them."""
    script = f"import sys; sys.argv[1:] = {shlex.split(words)}; from mlsysim.cli import main; main()"
    return Child(script, "command", streams=streams if isinstance(streams, dict) else STREAMS[streams]).finish()


@pytest.mark.parametrize(
    ("kind", "streams"), [("long", ">&-"), ("json", "2>&-"), ("bad", "<&-"), ("short", ">&- 2>&- <&-")]
)
def test_a_child_is_what_a_shell_starts(kind, streams):
    """An interpreter finds out at its start that a stream is closed; with all else, a child begins the same."""
    assert shell(COMMANDS[kind], streams) == forked(COMMANDS[kind], streams)


@pytest.mark.parametrize("kind", ["long", "json", "bad"])
@pytest.mark.parametrize("streams, why", [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")])
def test_an_answer_that_cannot_be_written_is_one_line_and_a_failure(kind, streams, why):
    code, out, err = forked(COMMANDS[kind], streams)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1 and (err == f"error: standard output: {why}\n" or kind == "bad"), err


@pytest.mark.parametrize("kind", ["short", "json", "bad"])
@pytest.mark.parametrize("streams", ["2>&-", "2>/dev/full", "<&-"])
def test_nobody_reads_what_is_said_beside_the_answer(kind, streams):
    code, out, err = forked(COMMANDS[kind], streams)
    assert code == EXPECTED[kind] and bool(out) == (kind != "bad")
    assert (err == "") == (kind != "bad" or streams != "<&-")


@pytest.mark.parametrize("kind", ["long", "bad"])
def test_without_any_stream_the_exit_code_tells(kind):
    assert forked(COMMANDS[kind], ">&- 2>&- <&-") == (1, "", "")


@pytest.mark.parametrize("kind", ["short", "long"])
def test_a_reader_that_leaves_ends_the_command_silently(kind, tmp_path):
    assert forked(COMMANDS[kind], {"1": LEFT}) == (141, "", "")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["head", "-1", pipe], stdout=subprocess.PIPE) as head:
        code, _, err = forked(COMMANDS[kind], {"1": str(pipe)})
        assert code in (0, 141) and err == "" and head.stdout.read().count(b"\n") == 1


def test_a_file_that_cannot_be_written_is_told_by_its_name(tmp_path):
    path = tmp_path / "answer.csv"
    path.symlink_to("/dev/full")
    code, _, err = forked(f"{COMMANDS['table']} out={path}", {})
    assert (code, err) == (1, f"error: {path}: No space left on device\n")


def test_a_file_is_not_taken_for_a_closed_stream(tmp_path):
    path = tmp_path / "answer.csv"
    assert shell(COMMANDS["table"], f"out={path} 2>&-")[0] == 0
    assert len(path.read_text().splitlines()) == 3
