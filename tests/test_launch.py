"""Launch words against the engines' own parsers, as `benchmarks/launch.py` asked them."""

import argparse
import json
import sys
from pathlib import Path

import pytest

from mlsysim.stored import launch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))
import launch as asking

KEPT = json.loads(asking.KEPT.read_text())


@pytest.mark.parametrize("engine", asking.PARSERS)
def test_every_line_is_reached_and_its_words_were_taken(engine):
    rows = {row for row in launch.table() if row.engine == engine}
    assert asking.reached(engine) == rows
    takes = KEPT[engine]["takes"]
    assert KEPT[engine]["version"] and KEPT[engine]["options"] >= len(takes) and len(KEPT[engine]["digest"]) == 12
    written = set()
    for config in asking.configurations(engine):
        said = launch.launch(config, engine, asking.CHECKPOINTS.get(engine, "org/model"))
        assert said.left_out == [], said
        words = asking.arguments(engine, said.words)
        for option, value in asking.flags(words[1:] if words[0] == "org/model" else words):
            written.add(option)
            kind = takes[option]
            assert (value is None) == (kind == "flag"), (option, value)
            assert not isinstance(kind, list) or value in kind, (option, value)
    assert written == set(takes)  # nothing is kept of which no line speaks


def parser(**replaced):
    """A parser of the words for vLLM with some of its options otherwise."""
    takes = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    takes.add_argument("model")
    for option, kind in KEPT["vllm"]["takes"].items():
        more = {"action": "store_true"} if kind == "flag" else {"choices": kind if isinstance(kind, list) else None}
        more |= replaced.get(option.removeprefix("--").replace("-", "_"), {})
        if more.pop("known", True):
            takes.add_argument(option, **more)
    return asking.of_argparse("0", takes)


def test_what_a_parser_refuses_or_misreads_is_told():
    assert asking.refused("vllm", parser()) == []
    gone = asking.refused("vllm", parser(tensor_parallel_size={"known": False}))
    assert gone and "--tensor-parallel-size 2" in gone[0]
    other = asking.refused("vllm", parser(dtype={"choices": ["half"]}))
    assert other and "--dtype bfloat16" in other[0]
    misread = asking.refused("vllm", parser(block_size={"type": lambda text: 2 * int(text)}))
    assert misread and "--block-size is read as 32" in misread[0]


def test_an_engine_that_is_not_installed_is_told(monkeypatch, capsys):
    def absent():
        raise ImportError("No module named 'vllm'")

    monkeypatch.setitem(asking.PARSERS, "vllm", absent)
    monkeypatch.setattr(sys, "argv", ["launch.py", "vllm"])
    assert asking.main() == 0
    assert capsys.readouterr().out == "vllm: not asked (No module named 'vllm')\n"
