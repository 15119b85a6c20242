"""Commands run in the process of the tests."""

import functools
import inspect

from typer import testing

if hasattr(testing, "_get_command"):  # typer makes its tree of commands anew for every call
    testing._get_command = functools.cache(testing._get_command)


def runner():
    """Runs a command and keeps its two streams apart; click before 8.2 has to be asked to."""
    apart = {"mix_stderr": False} if "mix_stderr" in inspect.signature(testing.CliRunner).parameters else {}
    return testing.CliRunner(**apart)
