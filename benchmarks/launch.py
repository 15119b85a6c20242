"""Hands launch words to the parsers of the engines themselves: `python benchmarks/launch.py [ENGINE ...] [--write]`.

The configurations reach every line of `mlsysim/stored/launch.csv`. An engine that is not installed beside this package is
told and passed over. `--write` keeps in `parsers.json` what a parser said: its version, how many options it has, a digest of
their names, and what those take that we write. `tests/test_launch.py` holds the table against it. No accelerator is needed:

=========== ==================================================================================================================
vllm        the parser of `vllm serve`; where it finds no device, that of its CPU platform
sglang      `ServerArgs.add_cli_args`
trtllm      the click command `trtllm-serve`; without a GPU it cannot be installed, and a package of that name which
            declares the options as its source does, with the commit as version, stands for it
megatron    `megatron.training.arguments` of megatron-core (0.19 and later bring it)
torchtitan  its `ConfigManager`, which checks the whole configuration; by default that of Llama 3 8B
=========== ==================================================================================================================
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from mlsysim.stored import launch

KEPT = Path(__file__).with_name("parsers.json")
CHECKPOINTS = {"torchtitan": "llama3/llama3_8b"}


class Parser(NamedTuple):
    """What an engine's parser takes, and what it makes of words."""

    version: str
    takes: dict[str, Any]  #: option -> "flag", "value", or the values that it may have
    read: Callable[[list[str]], Mapping[str, Any]]  #: words without the command -> option's name there -> value


# --- configurations -----------------------------------------------------------------------------------------------


def configurations(engine: str) -> list[dict[str, Any]]:
    """Configurations of which every line of the table that belongs to an engine holds in at least one."""
    values: dict[str, list[Any]] = {}
    for row in launch.table():
        if row.engine == engine and row.input not in ("command", *launch.DERIVED):
            values.setdefault(row.input, []).append(_value(row))
    train = engine not in launch.SERVING
    base = {"global_batch": 64, "dp": 2} if train else {"seq_len": 2048, "output_len": 256}
    batch = values.pop("batch_size", None)  # it and max_batch are two names of one setting
    found = [
        base | {name: several[min(i, len(several) - 1)] for name, several in values.items()}
        for i in range(max(len(several) for several in values.values()))
    ]
    return found if batch is None else [*found, base | {"batch_size": batch[0]}]


def _value(row: launch.Row) -> Any:
    if row.input == "dp":
        return 2
    if row.when.startswith("above ") or not row.when:
        return {"memory_fraction": 0.9, "page_size": 16, "seq_len": 4096, "global_batch": 64}.get(row.input, 2)
    return int(row.when) if row.when.isdigit() else row.when


def reached(engine: str) -> set[launch.Row]:
    """Lines of the table that the configurations reach."""
    found = set()
    for config in configurations(engine):
        asked = {**config, **launch._derived(config)}
        rows = [row for row in launch.table() if row.engine == engine]
        found |= {row for row in rows if row.input == "command"}
        for name, value in asked.items():
            found |= set([row for row in rows if row.input == name and launch._holds(row.when, value)][:1])
    return found


def flags(words: list[str]) -> Iterator[tuple[str, str | None]]:
    """Options of a line with their values; None for a flag. What stands alone is an option of its own."""
    for at, word in enumerate(words):
        if word.startswith("-"):
            bare = at + 1 == len(words) or words[at + 1].startswith("-") or ":" in words[at + 1]
            yield word, None if bare else words[at + 1]
        elif ":" in word:
            yield word, None


# --- parsers ------------------------------------------------------------------------------------------------------


def of_argparse(version: str, parser: argparse.ArgumentParser, before: list[str] | None = None) -> Parser:
    """A parser of Python's own kind."""
    whole, parser = parser, parser if before is None else parser._subparsers._group_actions[0].choices[before[0]]
    takes: dict[str, Any] = {}
    for action in parser._actions:
        for option in action.option_strings:
            takes[option] = "flag" if action.nargs == 0 else "value"
            if action.choices is not None and action.nargs != 0:
                takes[option] = sorted(str(choice) for choice in action.choices)
            if isinstance(action, argparse.BooleanOptionalAction):
                takes[option] = "flag"

    def read(words: list[str]) -> Mapping[str, Any]:
        found = vars(whole.parse_args([*(before or []), *words]))
        return {option: found.get(action.dest) for action in parser._actions for option in action.option_strings}

    return Parser(version, takes, read)


def vllm() -> Parser:
    platforms = importlib.import_module("vllm.platforms")
    if not platforms.current_platform.device_type:
        platforms._current_platform = importlib.import_module("vllm.platforms.cpu").CpuPlatform()
    arguments = importlib.import_module("vllm.utils.argparse_utils")
    parser = arguments.FlexibleArgumentParser()
    serve = importlib.import_module("vllm.entrypoints.cli.serve").ServeSubcommand()
    serve.subparser_init(parser.add_subparsers(dest="subparser"))
    return of_argparse(metadata.version("vllm"), parser, ["serve"])


def sglang() -> Parser:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    importlib.import_module("sglang.srt.server_args").ServerArgs.add_cli_args(parser)
    return of_argparse(metadata.version("sglang"), parser)


def megatron() -> Parser:
    arguments = importlib.import_module("megatron.training.arguments")
    parser = arguments.add_megatron_arguments(argparse.ArgumentParser(allow_abbrev=False))
    return of_argparse(metadata.version("megatron-core"), parser)


def trtllm() -> Parser:
    serve = importlib.import_module("tensorrt_llm.commands.serve")
    command = serve.serve
    takes: dict[str, Any] = {}
    for option in command.params:
        for name in option.opts if option.param_type_name == "option" else ():
            choices = getattr(option.type, "choices", None)
            takes[name] = "flag" if option.is_flag else sorted(choices) if choices else "value"

    def read(words: list[str]) -> Mapping[str, Any]:
        found = command.make_context("trtllm-serve", list(words)).params
        return {name: found[option.name] for option in command.params for name in option.opts}

    return Parser(importlib.import_module("tensorrt_llm").__version__, takes, read)


def torchtitan() -> Parser:
    import tyro

    manager = importlib.import_module("torchtitan.config.manager")
    default, _ = manager.ConfigManager()._load_config(["--module", "llama3", "--config", "llama3_8b"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        parser = tyro.extras.get_parser(type(default), default=default, registry=manager.custom_registry)
    takes = of_argparse("", parser).takes | {"--module": "value", "--config": "value"}
    kinds = [name for action in parser._actions if not action.option_strings for name in action.choices]

    def read(words: list[str]) -> Mapping[str, Any]:
        config = manager.ConfigManager().parse_args(list(words))
        found: dict[str, Any] = {"--module": words[1], "--config": words[3]}
        for name, _ in flags(words):
            value: Any = config
            for part in [] if name in found else name.removeprefix("--").replace("-", "_").split("."):
                value = getattr(value, part.removeprefix("no_"), True)
            found.setdefault(name, value)
        return found

    return Parser(metadata.version("torchtitan"), takes | dict.fromkeys(kinds, "flag"), read)


PARSERS = {parser.__name__: parser for parser in (vllm, sglang, trtllm, megatron, torchtitan)}


# --- verdicts -----------------------------------------------------------------------------------------------------


def refused(engine: str, parser: Parser) -> list[str]:
    """What a parser does not take, or reads as something else; nothing where all is well."""
    missing = {row for row in launch.table() if row.engine == engine} - reached(engine)
    found = [f"no configuration reaches {row}" for row in missing]
    for config in configurations(engine):
        said = launch.launch(config, engine, CHECKPOINTS.get(engine, "org/model"))
        words = arguments(engine, said.words)
        try:
            read = parser.read(words)
        except (Exception, SystemExit) as error:  # each engine has its own way to refuse
            found.append(f"{said}: {type(error).__name__}: {error}")
            continue
        options = words[1:] if words[0] == "org/model" else words
        found += [f"{said}: {o} is read as {read.get(o)!r}" for o, v in flags(options) if not _same(v, read.get(o))]
    return found


def arguments(engine: str, words: list[str]) -> list[str]:
    """What the parser of an engine is given: the words after the name of the program."""
    command = next(row.words for row in launch.table() if row.engine == engine and row.input == "command").split()
    return words[
        next((i for i, word in enumerate(command) if word == "MODEL" or word.startswith("--")), len(command)) :
    ]


def _same(written: str | None, read: Any) -> bool:
    if written is None:
        return read is not None
    try:
        return math.isclose(float(written), float(read))
    except (TypeError, ValueError):
        return str(getattr(read, "value", read)) == written


def kept(engine: str, parser: Parser) -> dict[str, Any]:
    """What is kept of a parser."""
    written = {option for config in configurations(engine) for option in _written(engine, config)}
    names = "\n".join(sorted(parser.takes))
    return {
        "version": parser.version,
        "asked": "options of its source" if parser.version.startswith("commit") else "its parser",
        "options": len(parser.takes),
        "digest": hashlib.sha256(names.encode()).hexdigest()[:12],
        "takes": {option: parser.takes[option] for option in sorted(written)},
    }


def _written(engine: str, config: dict[str, Any]) -> list[str]:
    words = arguments(engine, launch.launch(config, engine, CHECKPOINTS.get(engine, "org/model")).words)
    return [option for option, _ in flags(words[1:] if words[0] == "org/model" else words)]


def main() -> int:
    asked = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asked.add_argument("engines", nargs="*", choices=[*PARSERS, []], metavar="ENGINE", help=", ".join(PARSERS))
    asked.add_argument("--write", action="store_true", help=f"keep what the parsers said in {KEPT.name}")
    said = asked.parse_args()
    table = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    wrong = 0
    for engine in said.engines or PARSERS:
        try:
            parser = PARSERS[engine]()
        except ImportError as error:
            print(f"{engine}: not asked ({error})")
            continue
        faults = refused(engine, parser)
        wrong += len(faults)
        lines = len(reached(engine))
        print(f"{engine} {parser.version}: {f'{len(faults)} refused' if faults else f'all {lines} lines parse'}")
        for fault in faults:
            print(f"  {fault}")
        if not faults:
            table[engine] = kept(engine, parser)
    if said.write:
        KEPT.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
