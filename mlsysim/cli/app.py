"""The program behind the commands: its errors are one line, its exit codes three."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mlsysim.cli import stopped, streams
from mlsysim.cli.results import BAD, FINE, say
from mlsysim.version import __version__


class Commands(TyperGroup):
    """Commands whose errors are one line, whatever raised them."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        code: Any = BAD
        streams.prepare()
        with warnings.catch_warnings(), stopped.terminable():
            warnings.showwarning = lambda message, *rest, **more: say(f"warning: {_line(str(message))}")
            try:
                code = super().main(args, prog_name or _name(), complete_var, False, windows_expand_args, **extra)
                error: BaseException | None = streams.undelivered()
            except (Exception, SystemExit) as raised:
                lost = streams.undelivered()
                error = lost if lost and isinstance(raised, (OSError, SystemExit)) else raised
            code = _ended(error, code)
        sys.exit(code if isinstance(code, int) else FINE)

    def invoke(self, context: Any) -> Any:
        try:
            return super().invoke(context)
        except KeyboardInterrupt as stop:
            return stopped.code(stop)


def _ended(error: BaseException | None, code: Any) -> Any:
    """Say in a line what went wrong; the exit code, `code` where nothing did."""
    if error is None:
        return code
    if isinstance(error, SystemExit):  # typer leaves by one where the reader has gone
        return streams.LEFT if isinstance(error.__context__, BrokenPipeError) else error.code
    if isinstance(error, BrokenPipeError):
        return streams.LEFT
    if os.environ.get("MLSYSIM_DEBUG", "") not in ("", "0"):
        raise error
    say(f"error: {_sentence(error)}")
    return BAD


def _name() -> str:
    """What the program was called: both names have a completion of their own."""
    called = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    return called if called == "mlsweep" else "mlsysim"


def _line(text: str) -> str:
    """Text on one line, in words of the command line."""
    return re.sub(r"(mlsysim\.)?zoo\.names\('(\w+)'\)", r"mlsysim zoo \2", " ".join(text.split()))


def _sentence(error: BaseException) -> str:
    if hasattr(error, "format_message"):  # usage
        text = _line(error.format_message())
        hint = "; inputs are written key=value, as in tp=4" if type(error).__name__ == "NoSuchOption" else ""
        return text.rstrip(".") + hint
    if isinstance(error, OSError) and error.errno:
        where = error.filename or ("standard output" if error.errno in streams.FAULTS else "")
        return f"{where}: {error.strerror}" if where else str(error.strerror)
    if isinstance(error, (ValueError, TypeError, OSError, ImportError, MemoryError)):
        return _line(str(error)) or type(error).__name__
    if type(error).__name__ == "Abort":
        return "interrupted"
    return f"{type(error).__name__}: {_line(str(error))} (MLSYSIM_DEBUG=1 shows where)"


app = typer.Typer(
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> int:
    """What an ML system will do, cost, emit and break on."""
    if version:
        print(f"mlsysim {__version__}")
        raise typer.Exit(FINE)
    if context.invoked_subcommand is None:
        print(context.get_help())
    return FINE
