"""The program behind the commands: its errors are one line, its exit codes three."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mlsysim import __version__
from mlsysim.cli import stopped
from mlsysim.cli.results import BAD, FINE, say


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
        with warnings.catch_warnings(), stopped.terminable():
            warnings.showwarning = lambda message, *rest, **more: say(f"warning: {_line(str(message))}")
            try:
                code = super().main(
                    args, prog_name or "mlsysim", complete_var, False, windows_expand_args, **extra
                )
                sys.stdout.flush()
            except BrokenPipeError:  # the reader (head, less) has gone
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            except Exception as error:
                if os.environ.get("MLSYSIM_DEBUG", "") not in ("", "0"):
                    raise
                say(f"error: {_sentence(error)}")
        sys.exit(code if isinstance(code, int) else FINE)

    def invoke(self, context: Any) -> Any:
        try:
            return super().invoke(context)
        except KeyboardInterrupt as stop:
            return stopped.code(stop)


def _line(text: str) -> str:
    return " ".join(text.split())


def _sentence(error: BaseException) -> str:
    if hasattr(error, "format_message"):  # usage
        text = _line(error.format_message())
        hint = "; inputs are written key=value, as in tp=4" if type(error).__name__ == "NoSuchOption" else ""
        return text.rstrip(".") + hint
    if isinstance(error, (ValueError, TypeError, OSError, ImportError, MemoryError)):
        return _line(str(error)) or type(error).__name__
    if type(error).__name__ == "Abort":
        return "interrupted"
    return f"{type(error).__name__}: {_line(str(error))} (MLSYSIM_DEBUG=1 shows where)"


app = typer.Typer(
    cls=Commands,
    add_completion=False,
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
